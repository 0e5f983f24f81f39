//! Searches: documents' sequence numbers, points in time, pages, and queries with their JSON form.

use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The position of a document's last write in the history of its shard, for conditional writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SequenceNumber {
    /// `_seq_no`.
    pub seq_no: u64,
    /// `_primary_term`.
    pub primary_term: u64,
}

/// A stored document as the cluster returns it.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The concrete index.
    pub index: String,
    /// `_id`.
    pub id: String,
    /// The sequence number, for conditional writes.
    pub sequence: SequenceNumber,
    /// `_source`, unparsed.
    pub source: Box<RawValue>,
}

/// An open point in time. Its id may change with each search on it: use the latest one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointInTime {
    /// The id that the server gave.
    pub id: String,
    /// How long it stays open after each use.
    pub keep_alive: Duration,
}

/// What a search reads.
#[derive(Debug, Clone, PartialEq)]
pub enum SearchIn {
    /// The indices behind a name.
    Index(String),
    /// A point in time.
    PointInTime(PointInTime),
}

/// A part of a point in time, for parallel reading: part `id` of `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// The number of the part, from 0.
    pub id: u32,
    /// The number of parts, at least 2.
    pub max: u32,
}

/// A search for one page of documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Where to search.
    pub within: SearchIn,
    /// Which documents to find.
    pub query: Query,
    /// The order of the hits. If empty, the cheapest order that [`Search::after`] can continue (on a point in time
    /// only).
    pub sort: Vec<Sort>,
    /// The largest number of hits.
    pub size: u32,
    /// The number of hits to skip; together with `size` at most 10,000.
    pub from: u32,
    /// The sort values of the last hit of the previous page: [`Page::last_sort`].
    pub after: Option<Vec<Value>>,
    /// Which part of a point in time to read.
    pub slice: Option<Slice>,
    /// Whether to count all matching documents.
    pub count_total: bool,
    /// Aggregations over all matching documents, by name, in Elasticsearch's language.
    pub aggregations: serde_json::Map<String, Value>,
}

impl Search {
    /// Creates a search for at most ten documents that match `query`, in no particular order.
    pub fn new(within: SearchIn, query: Query) -> Self {
        Self {
            within,
            query,
            sort: Vec::new(),
            size: 10,
            from: 0,
            after: None,
            slice: None,
            count_total: false,
            aggregations: serde_json::Map::new(),
        }
    }
}

/// The field that sorts by relevance to the searched texts ([`Query::Text`]).
pub const SCORE: &str = "_score";

/// The largest number of values that a query lists for one field. Source: the default of `index.max_terms_count`.
const MAX_TERMS: usize = 65_536;

/// A field to sort by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The field's full path in the document.
    pub field: String,
    /// The direction. Documents without the field come last.
    pub direction: Direction,
}

/// The direction of a sort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Smallest first.
    #[default]
    Ascending,
    /// Largest first.
    Descending,
}

/// One page of search results.
#[derive(Debug, Clone)]
pub struct Page {
    /// The documents.
    pub hits: Vec<Hit>,
    /// The number of all matching documents, if it was requested.
    pub total: Option<u64>,
    /// The sort values of the last hit, for [`Search::after`]. `None` if there are no hits or no sort.
    pub last_sort: Option<Vec<Value>>,
    /// The point in time to continue with, if the search was on one.
    pub point_in_time: Option<PointInTime>,
    /// The results of the aggregations, by name.
    pub aggregations: serde_json::Map<String, Value>,
}

/// The documents that a search finds. A structure, never text, so that values cannot become syntax.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// Every document.
    Everything,
    /// The field has one of the values.
    AnyOf {
        /// The field's full path.
        field: String,
        /// The values; an empty list matches nothing.
        values: Vec<Value>,
    },
    /// The field has a value.
    Exists {
        /// The field's full path.
        field: String,
    },
    /// The field's value lies between the bounds.
    Range {
        /// The field's full path.
        field: String,
        /// An inclusive lower bound.
        from: Option<Value>,
        /// An exclusive lower bound.
        above: Option<Value>,
        /// An inclusive upper bound.
        to: Option<Value>,
        /// An exclusive upper bound.
        below: Option<Value>,
    },
    /// The `text` field has one of the words of the text.
    Words {
        /// The field's full path.
        field: String,
        /// The words.
        text: String,
    },
    /// The `text` field has these words in sequence.
    Phrase {
        /// The field's full path.
        field: String,
        /// The words.
        text: String,
    },
    /// The field matches a pattern. In a `text` field each word is compared on its own.
    Pattern {
        /// The field's full path.
        field: String,
        /// The parts of the pattern between its wildcards; a single part has no wildcard.
        parts: Vec<String>,
    },
    /// One of the fields matches a search text written by a user: words, `"phrases"`, `+`, `|`, `-` and `prefix*`.
    /// Parts that do not fit a field's type are ignored, and no text is malformed.
    Text {
        /// The fields' full paths.
        fields: Vec<String>,
        /// The search text.
        text: String,
        /// Whether every word must match, not only one.
        all_words: bool,
    },
    /// One of the nested documents at a path matches the query. The query's fields have full paths.
    Nested {
        /// The full path of the nested field.
        path: String,
        /// What a nested document must match.
        query: Box<Query>,
    },
    /// The document's `_id` is one of these.
    Ids(Vec<String>),
    /// All queries match.
    And(Vec<Query>),
    /// At least one query matches; an empty list matches nothing.
    Or(Vec<Query>),
    /// The query does not match.
    Not(Box<Query>),
}

impl Query {
    /// Creates a query for documents in which the field has this value.
    pub fn equals(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::AnyOf { field: field.into(), values: vec![value.into()] }
    }

    /// Creates a query for documents that match at least one of `queries`.
    ///
    /// Adjacent conditions on the same field are merged, because a query may have more values than clauses.
    pub fn any(queries: impl IntoIterator<Item = Self>) -> Self {
        let mut any: Vec<Self> = Vec::new();
        for query in queries {
            match (any.last_mut(), query) {
                (Some(Self::AnyOf { field, values }), Self::AnyOf { field: same, values: others })
                    if *field == same =>
                {
                    values.extend(others);
                }
                (Some(Self::Ids(ids)), Self::Ids(others)) => ids.extend(others),
                (_, query) => any.push(query),
            }
        }
        if any.len() == 1 { any.remove(0) } else { Self::Or(any) }
    }

    /// Returns the query in Elasticsearch's query language. Only [`Query::Text`] is scored.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Everything => json!({ "match_all": {} }),
            Self::AnyOf { field, values } if values.len() > MAX_TERMS => {
                let parts: Vec<_> = values.chunks(MAX_TERMS).map(|part| json!({ "terms": { field: part } })).collect();
                json!({ "bool": { "should": parts, "minimum_should_match": 1 } })
            }
            Self::AnyOf { field, values } => json!({ "terms": { field: values } }),
            Self::Exists { field } => json!({ "exists": { "field": field } }),
            Self::Range { field, from, above, to, below } => {
                let bounds: serde_json::Map<String, Value> = [("gte", from), ("gt", above), ("lte", to), ("lt", below)]
                    .into_iter()
                    .filter_map(|(name, bound)| Some((name.to_owned(), bound.clone()?)))
                    .collect();
                json!({ "range": { field: bounds } })
            }
            Self::Words { field, text } => json!({ "match": { field: { "query": text } } }),
            Self::Phrase { field, text } => json!({ "match_phrase": { field: { "query": text } } }),
            Self::Pattern { field, parts } => {
                let parts: Vec<_> = parts.iter().map(|part| pattern_part(part)).collect();
                json!({ "query_string": { "fields": [field], "query": parts.join("*"), "analyze_wildcard": true } })
            }
            Self::Text { fields, text, all_words } => {
                let operator = if *all_words { "and" } else { "or" };
                let query = json!({ "query": text, "fields": fields, "default_operator": operator, "lenient": true });
                json!({ "simple_query_string": query })
            }
            Self::Nested { path, query } => {
                json!({ "nested": { "path": path, "query": query.to_json(), "score_mode": "none" } })
            }
            Self::Ids(ids) => json!({ "ids": { "values": ids } }),
            Self::And(queries) => {
                let (scored, others): (Vec<_>, Vec<_>) = queries.iter().partition(|query| query.is_scored());
                let list = |queries: Vec<&Self>| queries.into_iter().map(Self::to_json).collect::<Vec<_>>();
                match scored.is_empty() {
                    true => json!({ "bool": { "filter": list(others) } }),
                    false => json!({ "bool": { "must": list(scored), "filter": list(others) } }),
                }
            }
            Self::Or(queries) if queries.is_empty() => json!({ "match_none": {} }),
            Self::Or(queries) => json!({ "bool": { "should": Self::list(queries), "minimum_should_match": 1 } }),
            Self::Not(query) => json!({ "bool": { "must_not": [query.to_json()] } }),
        }
    }

    /// Returns whether matching documents can differ in relevance.
    pub fn is_scored(&self) -> bool {
        match self {
            Self::Text { .. } => true,
            Self::And(queries) | Self::Or(queries) => queries.iter().any(Self::is_scored),
            _ => false,
        }
    }

    fn list(queries: &[Self]) -> Vec<Value> {
        queries.iter().map(Self::to_json).collect()
    }
}

/// Escapes a text for a query string, so that none of it is syntax, not even blanks and words such as `OR`.
fn pattern_part(part: &str) -> String {
    let mut escaped = String::with_capacity(part.len() * 2);
    for character in part.chars() {
        if !character.is_alphanumeric() || character.is_ascii_uppercase() {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_on_one_field_are_one_and_long_ones_are_parted() {
        let is = |field: &str, value: &str| Query::equals(field, value);
        let any = Query::any([
            is("a", "1"),
            is("a", "2"),
            is("b", "3"),
            Query::Ids(vec!["4".into()]),
            Query::Ids(vec!["5".into()]),
        ]);
        assert_eq!(
            any.to_json(),
            json!({"bool": {"minimum_should_match": 1, "should": [
                {"terms": {"a": ["1", "2"]}}, {"terms": {"b": ["3"]}}, {"ids": {"values": ["4", "5"]}},
            ]}})
        );
        assert_eq!(Query::any([is("a", "1")]), is("a", "1"));
        assert_eq!(Query::any([]), Query::Or(vec![]));
        let many = Query::AnyOf { field: "a".into(), values: (0..MAX_TERMS + 1).map(Value::from).collect() }.to_json();
        let parts = many["bool"]["should"].as_array().expect("parts");
        let lengths: Vec<_> = parts.iter().map(|part| part["terms"]["a"].as_array().map(Vec::len)).collect();
        assert_eq!(lengths, [Some(MAX_TERMS), Some(1)]);
    }

    #[test]
    fn only_a_text_that_is_looked_for_is_scored() {
        let text = Query::Text { fields: vec!["t".into()], text: "word".into(), all_words: false };
        let both = Query::And(vec![Query::equals("a", "1"), text.clone()]);
        assert!(
            both.is_scored() && !Query::equals("a", "1").is_scored() && !Query::Not(Box::new(text.clone())).is_scored()
        );
        assert_eq!(both.to_json(), json!({"bool": {"must": [text.to_json()], "filter": [{"terms": {"a": ["1"]}}]}}));
    }

    #[test]
    fn queries_become_filters() {
        let table = [
            (Query::equals("type", "note"), json!({"terms": {"type": ["note"]}})),
            (Query::Or(vec![]), json!({"match_none": {}})),
            (
                Query::And(vec![
                    Query::Exists { field: "a".into() },
                    Query::Not(Box::new(Query::Ids(vec!["1".into()]))),
                ]),
                json!({"bool": {"filter": [
                    {"exists": {"field": "a"}},
                    {"bool": {"must_not": [{"ids": {"values": ["1"]}}]}},
                ]}}),
            ),
            (
                Query::Range { field: "n".into(), from: Some(1.into()), above: None, to: None, below: Some(5.into()) },
                json!({"range": {"n": {"gte": 1, "lt": 5}}}),
            ),
        ];
        for (query, expected) in table {
            assert_eq!(query.to_json(), expected);
        }
    }
}
