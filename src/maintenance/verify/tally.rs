//! The counts of a verification.

use std::collections::BTreeMap;

use super::examine::Examined;
use super::report::{TypeReport, Unreadable};
use crate::encryption::Fingerprint;

/// The largest number of unreadable documents and secrets that a report lists. They take some 30 MB.
const MAX_LISTED: usize = 100_000;

/// The counts of the documents that were examined so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    types: BTreeMap<String, TypeTally>,
    pub(super) unreadable: Vec<Unreadable>,
    pub(super) not_listed: u64,
}

#[derive(Debug, Default)]
struct TypeTally {
    documents: u64,
    by_version: BTreeMap<String, u64>,
    digest: Fingerprint,
}

impl Tally {
    /// Lists a type, even if it has no documents.
    pub(super) fn begin(&mut self, type_name: &str) {
        self.types.entry(type_name.to_owned()).or_default();
    }

    /// Counts the document at `id` behind `alias`.
    pub(super) fn count(&mut self, alias: &str, id: &str, examined: Examined) {
        let Examined { type_name, version, outcome } = examined;
        // A document without a type is only in the list of unreadable ones.
        if let Some(name) = &type_name {
            let tally = self.types.entry(name.clone()).or_default();
            tally.documents += 1;
            *tally.by_version.entry(version).or_default() += 1;
            tally.digest += outcome.as_ref().copied().unwrap_or_default();
        }
        self.unreadable.extend(outcome.err().into_iter().flatten().map(|defect| Unreadable {
            alias: alias.to_owned(),
            id: id.to_owned(),
            type_name: type_name.clone(),
            attribute: defect.attribute,
            reason: defect.reason,
        }));
    }

    /// Returns the number of documents that have a type.
    pub(super) fn documents(&self) -> u64 {
        self.types.values().map(|tally| tally.documents).sum()
    }

    pub(super) fn add(&mut self, other: Self) {
        for (name, theirs) in other.types {
            let ours = self.types.entry(name).or_default();
            ours.documents += theirs.documents;
            ours.digest += theirs.digest;
            for (version, documents) in theirs.by_version {
                *ours.by_version.entry(version).or_default() += documents;
            }
        }
        self.list(other.unreadable);
        self.not_listed += other.not_listed;
    }

    /// Takes the counts of the types, for one alias, and leaves the unreadable documents and secrets.
    pub(super) fn take_types(&mut self) -> Vec<TypeReport> {
        std::mem::take(&mut self.types)
            .into_iter()
            .map(|(type_name, TypeTally { documents, by_version, digest })| TypeReport {
                type_name,
                documents,
                by_version,
                digest,
            })
            .collect()
    }

    fn list(&mut self, unreadable: Vec<Unreadable>) {
        let listed = unreadable.len().min(MAX_LISTED.saturating_sub(self.unreadable.len()));
        self.not_listed += (unreadable.len() - listed) as u64;
        self.unreadable.extend(unreadable.into_iter().take(listed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maintenance::verify::examine::Defect;

    fn unreadable(count: usize) -> Tally {
        let mut tally = Tally::default();
        for number in 0..count {
            let defect = Defect { attribute: None, reason: "odd".to_owned() };
            let examined = Examined { type_name: None, version: String::new(), outcome: Err(vec![defect]) };
            tally.count("alias", &number.to_string(), examined);
        }
        tally
    }

    #[test]
    fn tallies_add_up() {
        let page = || {
            let mut tally = Tally::default();
            for version in ["1", "2", "2"] {
                let type_name = Some("note".to_owned());
                let outcome = Ok(Fingerprint::default());
                tally.count("alias", "note:1", Examined { type_name, version: version.to_owned(), outcome });
            }
            tally
        };
        let mut tally = page();
        tally.begin("empty");
        tally.add(page());
        let types = tally.take_types();
        let counts: Vec<_> = types.iter().map(|found| (found.type_name.as_str(), found.documents)).collect();
        assert_eq!(counts, [("empty", 0), ("note", 6)]);
        assert_eq!(types[1].by_version, BTreeMap::from([("1".to_owned(), 2), ("2".to_owned(), 4)]));
    }

    #[test]
    fn the_list_has_an_end_and_the_rest_is_counted() {
        let mut tally = unreadable(MAX_LISTED - 1);
        tally.add(unreadable(3));
        tally.add(unreadable(2));
        assert_eq!((tally.unreadable.len(), tally.not_listed), (MAX_LISTED, 4));
    }
}
