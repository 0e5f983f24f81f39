//! Relevance: how well documents fit a search text, by BM25 as the server computes it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::document::Document;
use super::query::Filter;

/// How soon a repeated word stops counting.
const K1: f64 = 1.2;
/// How much the length of a text counts.
const B: f64 = 0.75;

/// The statistics of one index that relevance depends on.
#[derive(Debug, Default)]
pub(super) struct Relevance {
    /// By field.
    lengths: BTreeMap<String, Lengths>,
    /// The number of documents that have a term, by field and term.
    with_term: BTreeMap<(String, String), f64>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Lengths {
    /// The number of documents that have the field.
    documents: f64,
    /// The number of terms in all of them.
    terms: f64,
}

impl Relevance {
    /// Counts what the filter's words need.
    pub(super) fn of(filter: &Filter, documents: &[Arc<Document>]) -> Self {
        let mut relevance = Self::default();
        relevance.collect(filter);
        for (field, lengths) in &mut relevance.lengths {
            let counts =
                documents.iter().map(|document| document.fields.terms(field).count()).filter(|count| *count > 0);
            for count in counts {
                lengths.documents += 1.0;
                lengths.terms += count as f64;
            }
        }
        for ((field, term), with_term) in &mut relevance.with_term {
            let has_term = |document: &&Arc<Document>| document.fields.terms(field).any(|other| other == term);
            *with_term = documents.iter().filter(has_term).count() as f64;
        }
        relevance
    }

    fn collect(&mut self, filter: &Filter) {
        match filter {
            Filter::Terms(field, terms) | Filter::Phrase(field, terms) => {
                self.lengths.insert(field.clone(), Lengths::default());
                self.with_term.extend(terms.iter().map(|term| ((field.clone(), term.clone()), 0.0)));
            }
            Filter::And(filters) | Filter::Or(filters) | Filter::Best(filters) => {
                filters.iter().for_each(|filter| self.collect(filter));
            }
            _ => {}
        }
    }

    /// Returns how well a document fits the filter, which finds it.
    pub(super) fn score(&self, filter: &Filter, document: &Document) -> f64 {
        let matching = |filters: &'_ [Filter]| -> Vec<f64> {
            let found = filters.iter().filter(|filter| filter.finds(document));
            found.map(|filter| self.score(filter, document)).collect()
        };
        match filter {
            Filter::Terms(field, terms) => terms
                .iter()
                .map(|term| {
                    let frequency = document.fields.terms(field).filter(|other| other == term).count();
                    self.inverse_frequency(field, term) * self.saturated(field, frequency, document)
                })
                .sum(),
            Filter::Phrase(field, words) => {
                let inverse: f64 = words.iter().map(|word| self.inverse_frequency(field, word)).sum();
                inverse * self.saturated(field, document.fields.phrases(field, words), document)
            }
            Filter::And(filters) => filters.iter().map(|filter| self.score(filter, document)).sum(),
            Filter::Or(filters) => matching(filters).iter().sum(),
            Filter::Best(filters) => matching(filters).into_iter().fold(0.0, f64::max),
            Filter::Not(_) | Filter::Unscored(_) | Filter::Nested(..) | Filter::Nothing => 0.0,
            Filter::All
            | Filter::Ids(_)
            | Filter::Exists(_)
            | Filter::ExistsWithin(_)
            | Filter::Within(..)
            | Filter::Pattern(..) => 1.0,
        }
    }

    /// Returns how much it says that a document has the term: more if few have it.
    fn inverse_frequency(&self, field: &str, term: &str) -> f64 {
        let documents = self.lengths.get(field).map_or(0.0, |lengths| lengths.documents);
        let with_term = self.with_term.get(&(field.to_owned(), term.to_owned())).copied().unwrap_or_default();
        (1.0 + (documents - with_term + 0.5) / (with_term + 0.5)).ln()
    }

    /// Returns how much `frequency` occurrences count in a field of this length.
    fn saturated(&self, field: &str, frequency: usize, document: &Document) -> f64 {
        if frequency == 0 {
            return 0.0;
        }
        let Lengths { documents, terms } = self.lengths.get(field).copied().unwrap_or_default();
        let average = if documents > 0.0 { terms / documents } else { 1.0 };
        // The server does not keep the length of keywords, nor how often one occurs.
        let (frequency, length) = match document.fields.has_words(field) {
            true => (frequency as f64, stored_length(document.fields.terms(field).count()) as f64),
            false => (1.0, 1.0),
        };
        (K1 + 1.0) * frequency / (frequency + K1 * (1.0 - B + B * length / average))
    }
}

/// Returns a length as the server stores it in one byte: lengths above 40 become shorter.
fn stored_length(length: usize) -> usize {
    const EXACT: usize = 24;
    const BITS: u32 = 4;
    let Some(rest) = length.checked_sub(EXACT) else { return length };
    let bits = usize::BITS - rest.leading_zeros();
    let cut = bits.saturating_sub(BITS);
    EXACT + ((rest >> cut) << cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_stored_in_a_byte() {
        let table = [(0, 0), (24, 24), (39, 39), (40, 40), (41, 40), (42, 42), (56, 56), (57, 56), (60, 60), (100, 96)];
        for (length, expected) in table {
            assert_eq!(stored_length(length), expected, "{length}");
        }
    }
}
