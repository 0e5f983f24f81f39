//! Hits that borrow from the answer in which they came, so that they are not copied.

use std::ops::Range;

use bytes::Bytes;

use super::{Hit, SequenceNumber};

/// Some hits of a page, in order. They share the buffer of the answer, so that they can be passed on without a copy.
#[derive(Debug, Clone)]
pub struct Hits {
    answer: Bytes,
    hits: Vec<Kept>,
}

/// A borrowed [`Hit`].
#[derive(Debug, Clone, Copy)]
pub struct HitRef<'a> {
    /// The concrete index.
    pub index: &'a str,
    /// `_id`.
    pub id: &'a str,
    /// The sequence number, for conditional writes.
    pub sequence: SequenceNumber,
    /// `_source`, the JSON of an object.
    pub source: &'a str,
}

#[derive(Debug, Clone)]
struct Kept {
    index: Text,
    id: Text,
    sequence: SequenceNumber,
    source: Text,
}

#[derive(Debug, Clone)]
enum Text {
    /// A range of the answer.
    Shared(Range<usize>),
    /// A copy, because the answer has the text in another form (escaped).
    Own(String),
}

impl Hits {
    /// Creates an empty list for hits of `answer`, with this capacity.
    pub(super) fn in_answer(answer: Bytes, capacity: usize) -> Self {
        Self { answer, hits: Vec::with_capacity(capacity) }
    }

    /// Adds a hit. Texts that are not slices of the answer are copied.
    pub(super) fn push(&mut self, hit: HitRef<'_>) {
        let HitRef { index, id, sequence, source } = hit;
        let keep = |text: &str| match part_of(&self.answer, text.as_bytes()) {
            Some(range) => Text::Shared(range),
            None => Text::Own(text.to_owned()),
        };
        let kept = Kept { index: keep(index), id: keep(id), sequence, source: keep(source) };
        self.hits.push(kept);
    }

    /// Returns the number of hits.
    pub fn len(&self) -> usize {
        self.hits.len()
    }

    /// Returns true if there are no hits.
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }

    /// Returns the hits in order.
    pub fn iter(&self) -> impl Iterator<Item = HitRef<'_>> {
        self.hits.iter().map(|Kept { index, id, sequence, source }| HitRef {
            index: self.text(index),
            id: self.text(id),
            sequence: *sequence,
            source: self.text(source),
        })
    }

    fn text<'a>(&'a self, text: &'a Text) -> &'a str {
        match text {
            Text::Own(text) => text,
            // The range was made from a `str`, so it is valid UTF-8.
            Text::Shared(range) => {
                self.answer.get(range.clone()).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
            }
        }
    }
}

impl From<Vec<Hit>> for Hits {
    fn from(hits: Vec<Hit>) -> Self {
        let own = |Hit { index, id, sequence, source }| {
            let source = String::from(Box::<str>::from(source));
            Kept { index: Text::Own(index), id: Text::Own(id), sequence, source: Text::Own(source) }
        };
        Self { answer: Bytes::new(), hits: hits.into_iter().map(own).collect() }
    }
}

impl Hit {
    /// Returns a borrowed form of this hit.
    pub fn borrowed(&self) -> HitRef<'_> {
        HitRef { index: &self.index, id: &self.id, sequence: self.sequence, source: self.source.get() }
    }
}

/// Returns the range of `part` in `whole` if `part` is a slice of it.
fn part_of(whole: &[u8], part: &[u8]) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let end = start.checked_add(part.len())?;
    (end <= whole.len()).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEQUENCE: SequenceNumber = SequenceNumber { seq_no: 1, primary_term: 2 };

    #[test]
    fn what_is_in_the_answer_is_shared_and_all_else_is_copied() {
        let answer = Bytes::from_static(b"index,id,{}");
        let text = std::str::from_utf8(&answer).expect("text");
        let mut hits = Hits::in_answer(answer.clone(), 2);
        assert!(hits.is_empty());
        hits.push(HitRef { index: &text[..5], id: &text[6..8], sequence: SEQUENCE, source: &text[9..] });
        let escaped = String::from("\u{e4}");
        hits.push(HitRef { index: &text[..5], id: &escaped, sequence: SEQUENCE, source: &text[9..] });
        drop(escaped);
        assert!(matches!(&hits.hits[0], Kept { id: Text::Shared(range), .. } if *range == (6..8)));
        assert!(matches!(&hits.hits[1], Kept { id: Text::Own(_), .. }));
        let seen: Vec<_> = hits.iter().map(|hit| (hit.index, hit.id, hit.source, hit.sequence)).collect();
        assert_eq!(seen, [("index", "id", "{}", SEQUENCE), ("index", "\u{e4}", "{}", SEQUENCE)]);
        assert_eq!(hits.len(), 2);
    }

    #[test]
    fn a_slice_is_found_only_in_what_it_is_of() {
        let whole = *b"0123456789";
        assert_eq!(part_of(&whole, &whole[3..7]), Some(3..7));
        assert_eq!(part_of(&whole, &whole[10..]), Some(10..10));
        for (whole, part) in [(&whole[4..], &whole[3..7]), (&whole[..5], &whole[3..7])] {
            assert_eq!(part_of(whole, part), None);
        }
    }
}
