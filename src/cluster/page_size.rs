use super::adaptive::AdaptiveSize;
use super::{ClusterError, ClusterErrorKind, Hit};

/// Documents on the first page, when it is not known how large they are.
const FIRST_PAGE: usize = 100;
/// Bytes read at once: pages of larger documents have fewer.
const PAGE_BYTES: usize = 4 << 20;

/// How many documents are asked for at once: so many that the answer fits the server and the memory here.
#[derive(Debug)]
pub(crate) struct PageSize {
    /// What the server takes.
    size: AdaptiveSize,
    /// How many documents like the last ones make a page of [`PAGE_BYTES`].
    fitting: usize,
    max: usize,
}

impl PageSize {
    /// Pages of `max` documents, once it is known from the first one how large they are.
    pub(crate) fn new(max: usize) -> Self {
        Self { size: AdaptiveSize::new(max, max), fitting: FIRST_PAGE.min(max), max }
    }

    /// Pages that grow to `max` documents one after the other.
    pub(crate) fn growing(max: usize) -> Self {
        Self { size: AdaptiveSize::new(FIRST_PAGE, max), fitting: max, max }
    }

    /// How many documents are to be asked for now, at least 1.
    pub(crate) fn get(&self) -> usize {
        self.size.get().min(self.fitting)
    }

    /// The server gave these.
    pub(crate) fn took(&mut self, hits: &[Hit]) {
        self.size.grow();
        let bytes: usize = hits.iter().map(|hit| hit.source.get().len()).sum();
        let average = bytes.checked_div(hits.len()).unwrap_or_default().max(1);
        self.fitting = (PAGE_BYTES / average).clamp(1, self.max);
    }

    /// The server did not answer for `asked` documents. Whether fewer may be asked for instead.
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
    fn pages_fit_the_documents() {
        let mut size = PageSize::new(1_000);
        let table = [(1 << 10, 1_000), (1 << 20, 4), (16 << 20, 1), (1 << 13, 512)];
        assert_eq!(size.get(), FIRST_PAGE);
        for (bytes, expected) in table {
            size.took(&hits(2, bytes));
            assert_eq!(size.get(), expected, "{bytes}");
        }
        size.took(&[]);
        assert_eq!(size.get(), 1_000);
        assert_eq!(PageSize::new(7).get(), 7);
    }

    #[test]
    fn what_is_too_much_is_divided_down_to_one() {
        let too_large = ClusterError::new(ClusterErrorKind::TooLarge, "POST", "/_search", "too large");
        let mut size = PageSize::new(100);
        for expected in [50, 25, 12, 6, 3, 1] {
            assert!(size.divides(size.get(), &too_large));
            assert_eq!(size.get(), expected);
        }
        assert!(!size.divides(1, &too_large));
        assert!(!size.divides(100, &ClusterError::new(ClusterErrorKind::Rejected, "POST", "/_search", "no")));
        let mut growing = PageSize::growing(1_000);
        growing.took(&hits(1, 10));
        assert!((FIRST_PAGE + 1..1_000).contains(&growing.get()));
    }
}
