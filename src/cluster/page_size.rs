//! The page size of scans and streams, which adapts to the documents' sizes and to what the server accepts.

use super::adaptive::AdaptiveSize;
use super::{ClusterError, ClusterErrorKind, Hit};

/// The target size of a page in bytes: pages of larger documents have fewer documents.
pub(super) const PAGE_BYTES: usize = 4 << 20;
/// A page has at most this many times the documents of the previous page, because the size of the next documents is
/// unknown.
const GROWTH: usize = 10;

/// The number of documents to request at once, such that the answer fits the server and this process's memory. The
/// first page has one document, because a document may be as large as a request can be.
#[derive(Debug)]
pub(crate) struct PageSize {
    /// The number that the server accepts.
    size: AdaptiveSize,
    /// The number of documents like those of the last page that fill [`PAGE_BYTES`].
    fitting: usize,
    /// The average bytes of a document on the last page.
    average: usize,
    max: usize,
}

impl PageSize {
    /// Creates a page size that grows to `max` documents, unless the documents are large.
    pub(crate) fn new(max: usize) -> Self {
        Self { size: AdaptiveSize::new(max, max), fitting: 1, average: PAGE_BYTES, max }
    }

    /// Returns the number of documents to request now, at least 1.
    pub(crate) fn get(&self) -> usize {
        self.size.get().min(self.fitting)
    }

    /// Returns the expected bytes of the next page, if its documents are like those of the last page.
    pub(super) fn expected_bytes(&self) -> usize {
        self.average.saturating_mul(self.get())
    }

    /// Records that the server answered a request for `asked` documents with these.
    pub(crate) fn took<'h>(&mut self, asked: usize, hits: impl IntoIterator<Item = &'h Hit>) {
        self.size.grow();
        let (documents, bytes) = hits.into_iter().fold((0, 0), |(n, bytes), hit| (n + 1, bytes + bytes_of(hit)));
        self.average = usize::checked_div(bytes, documents).unwrap_or_default().max(1);
        self.fitting = self.fitting_for(asked);
    }

    /// Returns the number of documents for the page after one of `documents`, judged by their bytes and their number.
    fn fitting_for(&self, documents: usize) -> usize {
        let most = documents.saturating_mul(GROWTH).min(self.max).max(1);
        (PAGE_BYTES / self.average).clamp(1, most)
    }

    /// Records that the server failed to answer a request for `asked` documents. Returns true if fewer documents may be
    /// requested instead.
    pub(crate) fn divides(&mut self, asked: usize, error: &ClusterError) -> bool {
        let is_too_much = error.kind == ClusterErrorKind::TooLarge || error.status == Some(429);
        if asked <= 1 || !is_too_much {
            return false;
        }
        tracing::debug!(documents = asked, %error, "a page is too much for the server, and is divided");
        self.size.halve(asked);
        true
    }
}

/// Returns the bytes of a document.
pub(super) fn bytes_of(hit: &Hit) -> usize {
    hit.source.get().len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::SequenceNumber;

    fn hits(count: usize, bytes: usize) -> Vec<Hit> {
        let source = format!("{:?}", "x".repeat(bytes - 2));
        let hit = |n: usize| Hit {
            id: n.to_string(),
            index: "index".to_owned(),
            sequence: SequenceNumber { seq_no: 0, primary_term: 1 },
            source: serde_json::value::RawValue::from_string(source.clone()).expect("JSON"),
        };
        (0..count).map(hit).collect()
    }

    #[test]
    fn pages_begin_with_one_document_and_grow_by_bytes() {
        let mut size = PageSize::new(1_000);
        let mut pages = Vec::new();
        for _ in 0..5 {
            pages.push(size.get());
            size.took(size.get(), &hits(1, 1 << 10));
        }
        assert_eq!(pages, [1, 10, 100, 1_000, 1_000]);
        // The first page of documents of another size adjusts the page size.
        let table = [(1 << 20, 1_000, 4), (16 << 20, 4, 1), (1 << 13, 1, 10), (1 << 13, 10, 100), (1 << 13, 100, 512)];
        for (bytes, asked, expected) in table {
            size.took(asked, &hits(1, bytes));
            assert_eq!(size.get(), expected, "{bytes}");
        }
        // An empty page says nothing about the size of other documents.
        size.took(1, &[]);
        assert_eq!(size.get(), 10);
        assert_eq!(PageSize::new(7).get(), 1);
    }

    #[test]
    fn what_is_too_much_is_divided_down_to_one() {
        let too_large = ClusterError::new(ClusterErrorKind::TooLarge, "POST", "/_search", "too large");
        let mut size = PageSize::new(100);
        size.took(10, &hits(10, 10));
        for expected in [50, 25, 12, 6, 3, 1] {
            assert!(size.divides(size.get(), &too_large));
            assert_eq!(size.get(), expected);
        }
        assert!(!size.divides(1, &too_large));
        assert!(!size.divides(100, &ClusterError::new(ClusterErrorKind::Rejected, "POST", "/_search", "no")));
    }
}
