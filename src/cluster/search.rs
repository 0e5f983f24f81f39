use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Value, json};

/// The place of a document's last write in the history of its shard, for conditional writes.
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

/// An open point in time. Its id may change with every search on it: keep the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointInTime {
    /// The server's id of it.
    pub id: String,
    /// How long it stays open after each use.
    pub keep_alive: Duration,
}

/// What a search looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum SearchIn {
    /// The indices behind a name.
    Index(String),
    /// A point in time.
    PointInTime(PointInTime),
}

/// A part of a point in time, for reading in parallel: part `id` of `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Which part, from 0.
    pub id: u32,
    /// How many parts there are, at least 2.
    pub max: u32,
}

/// A search for one page of documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Where.
    pub within: SearchIn,
    /// Which documents.
    pub query: Query,
    /// In which order. Empty: the cheapest one that [`Search::after`] can go on in (on a point in time only).
    pub sort: Vec<Sort>,
    /// At most how many.
    pub size: u32,
    /// How many are passed over first; with `size` at most 10,000.
    pub from: u32,
    /// The sort values of the page before: [`Page::last_sort`].
    pub after: Option<Vec<Value>>,
    /// Which part of a point in time.
    pub slice: Option<Slice>,
    /// Whether to count all that match.
    pub count_total: bool,
    /// What is computed over all that match, by name, in Elasticsearch's language.
    pub aggregations: serde_json::Map<String, Value>,
}

impl Search {
    /// All that match `query`, ten at most, in no particular order.
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

/// A field to sort by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The field's full path in the document.
    pub field: String,
    /// Which end comes first. Documents without the field come last.
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

/// One page of a search's answer.
#[derive(Debug, Clone)]
pub struct Page {
    /// The documents.
    pub hits: Vec<Hit>,
    /// How many match in all, if that was asked.
    pub total: Option<u64>,
    /// The sort values of the last hit, for [`Search::after`]. None if there are no hits or no sort.
    pub last_sort: Option<Vec<Value>>,
    /// The point in time to go on with, if the search was on one.
    pub point_in_time: Option<PointInTime>,
    /// What was computed, by name.
    pub aggregations: serde_json::Map<String, Value>,
}

/// Which documents a search finds. A structure, never text: values cannot become syntax.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// Every document.
    Everything,
    /// The field has one of the values.
    AnyOf {
        /// The field's full path.
        field: String,
        /// The values; none finds nothing.
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
        /// At least this.
        from: Option<Value>,
        /// More than this.
        above: Option<Value>,
        /// At most this.
        to: Option<Value>,
        /// Less than this.
        below: Option<Value>,
    },
    /// The `text` field has one of the words of the text.
    Words {
        /// The field's full path.
        field: String,
        /// The words.
        text: String,
    },
    /// The `text` field has these words one after the other.
    Phrase {
        /// The field's full path.
        field: String,
        /// The words.
        text: String,
    },
    /// The field fits a pattern. A text's words are compared one by one.
    Pattern {
        /// The field's full path.
        field: String,
        /// What the pattern has between its wildcards; a single part has none.
        parts: Vec<String>,
    },
    /// One of the fields fits a search text for people: words, `"phrases"`, `+`, `|`, `-` and `prefix*`. What does not fit a
    /// field's type is passed over, and no text is malformed.
    Text {
        /// The fields' full paths.
        fields: Vec<String>,
        /// What is looked for.
        text: String,
        /// Whether every word must be there, not just one.
        all_words: bool,
    },
    /// One of the nested documents at a path fits the query, whose fields' paths are full ones.
    Nested {
        /// The full path of the nested field.
        path: String,
        /// What a nested document must fit.
        query: Box<Query>,
    },
    /// The document's `_id` is one of these.
    Ids(Vec<String>),
    /// All of them apply.
    And(Vec<Query>),
    /// At least one applies; none of none does.
    Or(Vec<Query>),
    /// It does not apply.
    Not(Box<Query>),
}

impl Query {
    /// The field has this value.
    pub fn equals(field: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::AnyOf { field: field.into(), values: vec![value.into()] }
    }

    /// The query in Elasticsearch's query language, in filter context: nothing is scored.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Everything => json!({ "match_all": {} }),
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
            Self::And(queries) => json!({ "bool": { "filter": Self::list(queries) } }),
            Self::Or(queries) if queries.is_empty() => json!({ "match_none": {} }),
            Self::Or(queries) => json!({ "bool": { "should": Self::list(queries), "minimum_should_match": 1 } }),
            Self::Not(query) => json!({ "bool": { "must_not": [query.to_json()] } }),
        }
    }

    fn list(queries: &[Self]) -> Vec<Value> {
        queries.iter().map(Self::to_json).collect()
    }
}

/// A text as it stands in a query string: nothing of it is syntax, not even blanks and words like `OR`.
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
