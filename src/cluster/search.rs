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
}

impl Search {
    /// All that match `query`, ten at most, in no particular order.
    pub fn new(within: SearchIn, query: Query) -> Self {
        Self { within, query, sort: Vec::new(), size: 10, from: 0, after: None, slice: None, count_total: false }
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
