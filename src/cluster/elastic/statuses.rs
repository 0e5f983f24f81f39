//! What an answer's status says about the request, for every status in one place.

/// What an answer says about the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Elasticsearch did it.
    Done,
    /// It was not done, and would be refused again.
    Refused,
    /// It was not done because the server has no time or memory for it now.
    Busy,
    /// Elasticsearch failed at it. A write may have been done.
    Failed,
    /// The answer says nothing: the server had no answer in time, or something between answered in its place. A write may
    /// have been done.
    Unknown,
}

/// What `status` means. `is_elasticsearch` says that the answer has the header `X-Elastic-Product`, `is_servers_error` that
/// its body is an error as Elasticsearch writes it, with this status.
///
/// | status | with the header | without it |
/// |---|---|---|
/// | 2xx | done | unknown: a login page, for example |
/// | 401, 407 | refused | refused: a gateway checks credentials first, and Elasticsearch leaves the header off its own 401 |
/// | 403 | refused | refused if the body is the server's error, for it leaves the header off; else unknown: a firewall that reads answers refuses with it too |
/// | 413 | refused | refused: Elasticsearch leaves the header off |
/// | 429 | busy | busy: limits of rates are checked first |
/// | 408, 502, 503, 504 | unknown | unknown |
/// | other 4xx | refused | unknown: a missing document or index cannot be concluded from it |
/// | all others | failed | unknown |
///
/// A proxy can put any status in the place of the server's answer (an error page, a redirect to one), so that without the
/// header only those remain conclusive that are given before the request is passed on. Of a bulk even those are read back
/// first (`bulk.rs`).
pub(super) fn meaning(status: u16, is_elasticsearch: bool, is_servers_error: bool) -> Meaning {
    match status {
        401 | 407 | 413 => Meaning::Refused,
        403 if is_elasticsearch || is_servers_error => Meaning::Refused,
        429 => Meaning::Busy,
        _ if !is_elasticsearch => Meaning::Unknown,
        200..300 => Meaning::Done,
        408 | 502..=504 => Meaning::Unknown,
        400..500 => Meaning::Refused,
        _ => Meaning::Failed,
    }
}

/// Returns whether it is the one refusal that Elasticsearch gives without its header and without a body: that of a request which is
/// too large.
pub(super) fn is_bare_refusal(status: u16, body: &[u8]) -> bool {
    status == 413 && body.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning_with_and_without_the_header() {
        use Meaning::{Busy, Done, Failed, Refused, Unknown};
        let table = [
            (100, Failed, Unknown),
            (200, Done, Unknown),
            (201, Done, Unknown),
            (299, Done, Unknown),
            (302, Failed, Unknown),
            (307, Failed, Unknown),
            (400, Refused, Unknown),
            (401, Refused, Refused),
            (403, Refused, Unknown),
            (404, Refused, Unknown),
            (405, Refused, Unknown),
            (407, Refused, Refused),
            (408, Unknown, Unknown),
            (409, Refused, Unknown),
            (413, Refused, Refused),
            (429, Busy, Busy),
            (499, Refused, Unknown),
            (500, Failed, Unknown),
            (501, Failed, Unknown),
            (502, Unknown, Unknown),
            (503, Unknown, Unknown),
            (504, Unknown, Unknown),
            (520, Failed, Unknown),
            (599, Failed, Unknown),
        ];
        for (status, with, without) in table {
            assert_eq!(meaning(status, true, false), with, "{status} with the header");
            assert_eq!(meaning(status, false, false), without, "{status} without the header");
        }
        assert_eq!(meaning(403, false, true), Refused, "the server's own 403 has no header");
        for status in [200, 404, 500] {
            assert_eq!(meaning(status, false, true), Unknown, "only 403 is believed by its body: {status}");
        }
    }
}
