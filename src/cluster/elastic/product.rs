//! The product that answers at the URL, as `GET /` names it. Some products answer like Elasticsearch and lack requests
//! that this library sends.

use serde::Deserialize;

use super::trust::Misconfiguration;

/// The product behind a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Product {
    /// Elasticsearch, of this version.
    Elasticsearch(String),
    /// Another product, and therefore the wrong URL.
    Other(Misconfiguration),
}

#[derive(Deserialize)]
struct Root {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    number: String,
    build_flavor: Option<String>,
    distribution: Option<String>,
}

impl Product {
    /// Returns the product that an answer to `GET /` names. Returns `None` for any other answer: credentials may not
    /// allow the request, and a server without the module for it answers 405.
    pub(super) fn named_in(body: &[u8]) -> Option<Self> {
        let Root { version } = serde_json::from_slice(body).ok()?;
        Some(match (version.distribution.as_deref(), version.build_flavor.as_deref()) {
            (Some("opensearch"), _) => Self::Other(Misconfiguration::OpenSearch),
            (_, Some("serverless")) => Self::Other(Misconfiguration::Serverless),
            _ => Self::Elasticsearch(version.number),
        })
    }
}

/// Returns whether an answer may come from another product: it lacks Elasticsearch's header, or refuses a request that
/// every Elasticsearch can do. Refused credentials and a server that is busy or away are no such signs.
pub(super) fn is_suspicious(status: u16, is_elasticsearch: bool) -> bool {
    match status {
        401 | 407 | 408 | 413 | 429 | 502..=504 => false,
        400 | 405 | 406 | 410 => true,
        _ => !is_elasticsearch,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn products_are_known_by_flavor_and_distribution() {
        let other = |wrong| Some(Product::Other(wrong));
        let table = [
            (
                json!({"version": {"number": "9.5.3", "build_flavor": "default"}}),
                Some(Product::Elasticsearch("9.5.3".into())),
            ),
            (
                json!({"version": {"number": "8.11.0", "build_flavor": "serverless"}}),
                other(Misconfiguration::Serverless),
            ),
            (
                json!({"version": {"number": "3.6.0", "distribution": "opensearch"}}),
                other(Misconfiguration::OpenSearch),
            ),
            (json!({"error": "Incorrect HTTP method for uri [/] and method [GET]", "status": 405}), None),
            (json!({"version": "9.5.3"}), None),
            (json!([]), None),
        ];
        for (body, expected) in table {
            assert_eq!(Product::named_in(body.to_string().as_bytes()), expected, "{body}");
        }
        assert_eq!(Product::named_in(b"<html>"), None);
    }

    #[test]
    fn only_answers_that_elasticsearch_would_not_give_are_suspicious() {
        for (status, is_elasticsearch, expected) in [
            (200, true, false),
            (200, false, true),
            (401, false, false),
            (403, true, false),
            (404, true, false),
            (410, true, true),
            (429, false, false),
            (503, true, false),
            (503, false, false),
            (500, false, true),
        ] {
            assert_eq!(is_suspicious(status, is_elasticsearch), expected, "{status} {is_elasticsearch}");
        }
    }
}
