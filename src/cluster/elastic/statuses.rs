//! What the status of an answer says about the request, for every status in one table.

/// What an answer says about the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Elasticsearch did it.
    Done,
    /// It was not done, and would be refused again.
    Refused,
    /// It was not done, because the server has no time or memory for it now.
    Busy,
    /// Elasticsearch failed. A write may have been done.
    Failed,
    /// The answer says nothing: the server had no answer in time, or an intermediary answered in its place. A write may
    /// have been done.
    Unknown,
}

/// Returns the meaning of `status`. `is_elasticsearch` says that the answer has the header `X-Elastic-Product`;
/// `is_servers_error` says that its body is an error in Elasticsearch's form, with this status.
///
/// | status | with the header | without it |
/// |---|---|---|
/// | 2xx | done | unknown: a login page, for example |
/// | 401, 407 | refused | refused: a gateway checks credentials first, and Elasticsearch's own 401 has no header |
/// | 403 | refused | refused if the body is the server's error, otherwise unknown (see below) |
/// | 413 | refused | refused: Elasticsearch's own 413 has no header |
/// | 429 | busy | busy: rate limits are checked first |
/// | 408, 502, 503, 504 | unknown | unknown |
/// | other 4xx | refused | unknown: it does not prove that a document or index is missing |
/// | all others | failed | unknown |
///
/// Elasticsearch's own 403 has no header either; but a firewall that inspects answers also refuses with a 403.
///
/// A proxy can replace the server's answer by any status (an error page, a redirect to one). Without the header, only
/// those statuses are conclusive that are given before a request is passed on. For a bulk even those are verified by
/// reading back (`bulk.rs`).
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

/// Returns true for the one refusal that Elasticsearch sends without its header and without a body: that of a request
/// which is too large.
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
