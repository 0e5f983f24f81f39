//! Which documents a query finds.

use std::collections::BTreeSet;
use std::ops::{Bound, RangeBounds};

use serde_json::Value;

use super::document::{Document, Fields};
use super::field_value::{FieldType, FieldValue};
use super::mapping::{Found, LeafField, Mapping};
use crate::cluster::Query;

/// The most values that a query may list for one field.
const MAX_TERMS: usize = 65_536;

/// A query whose values have the types of the fields that they are compared with.
#[derive(Debug)]
pub(super) enum Filter {
    All,
    Nothing,
    Ids(BTreeSet<String>),
    /// The field has a value.
    Exists(String),
    /// A field in the object has a value.
    ExistsWithin(String),
    /// A value of the field lies within one of the ranges.
    Within(String, Vec<ValueRange>),
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    /// One of the nested documents at the path fits.
    Nested(String, Box<Filter>),
}

type ValueRange = (Bound<FieldValue>, Bound<FieldValue>);

/// The name under which the sequence number is searched and sorted by.
pub(super) const SEQ_NO: &str = "_seq_no";

impl Filter {
    /// An error if a real server refuses the query, or if it is beyond what the memory cluster models.
    pub(super) fn compile(query: &Query, mapping: &Mapping) -> Result<Self, String> {
        let all =
            |queries: &[Query]| queries.iter().map(|query| Self::compile(query, mapping)).collect::<Result<_, _>>();
        Ok(match query {
            Query::Everything => Self::All,
            Query::Ids(ids) => Self::Ids(ids.iter().cloned().collect()),
            Query::And(queries) => Self::And(all(queries)?),
            Query::Or(queries) => Self::Or(all(queries)?),
            Query::Not(query) => Self::Not(Box::new(Self::compile(query, mapping)?)),
            Query::Exists { field } => match (field.as_str(), mapping.find(field)) {
                ("_id" | SEQ_NO, _) => Self::All,
                (_, Found::Leaf(_) | Found::Key(_)) => Self::Exists(field.clone()),
                (_, Found::Object) => Self::ExistsWithin(format!("{field}.")),
                (_, Found::Nothing) => Self::Nothing,
            },
            Query::Nested { path, query } => {
                let inside = mapping
                    .inside(path)
                    .ok_or_else(|| format!("[nested] failed to find nested object under path [{path}]"))?;
                Self::Nested(path.clone(), Box::new(Self::compile(query, &inside)?))
            }
            Query::Words { .. } | Query::Phrase { .. } | Query::Pattern { .. } | Query::Text { .. } => {
                return Err("the memory cluster does not look for words".to_owned());
            }
            Query::AnyOf { field, values } => Self::any_of(field, values, mapping)?,
            Query::Range { field, from, above, to, below } => {
                let Some(searched) = Searched::find(field, mapping)? else { return Ok(Self::Nothing) };
                let has_both = (from.is_some() || above.is_some()) && (to.is_some() || below.is_some());
                if matches!(mapping.find(field), Found::Key(_)) && !has_both {
                    return Err("a range of a key in a flattened field needs both bounds".to_owned());
                }
                Self::Within(field.clone(), vec![searched.range(from, above, to, below)?])
            }
        })
    }

    fn any_of(field: &str, values: &[Value], mapping: &Mapping) -> Result<Self, String> {
        if values.len() > MAX_TERMS {
            return Err(format!("a terms query may list {MAX_TERMS} values, and has {}", values.len()));
        }
        if values.iter().any(|value| matches!(value, Value::Null | Value::Array(_) | Value::Object(_))) {
            return Err("a terms query compares with texts, numbers and booleans only".to_owned());
        }
        if field == "_id" {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            return Ok(Self::Ids(values.iter().map(text).collect()));
        }
        let Some(searched) = Searched::find(field, mapping)? else { return Ok(Self::Nothing) };
        let range = |value| {
            let (first, last) = searched.0.of_query(value)?;
            Ok((Bound::Included(first), Bound::Included(last)))
        };
        Ok(Self::Within(field.to_owned(), values.iter().map(range).collect::<Result<_, String>>()?))
    }

    pub(super) fn finds(&self, document: &Document) -> bool {
        self.finds_in(document, &document.fields)
    }

    /// Whether it fits these fields of the document: its own, or those of a nested document.
    fn finds_in(&self, document: &Document, fields: &Fields) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Ids(ids) => ids.contains(&document.id),
            Self::Exists(path) => !fields.values(path).is_empty(),
            Self::ExistsWithin(path) => fields.has_within(path),
            Self::Within(path, ranges) if path == SEQ_NO => {
                let seq_no = i64::try_from(document.sequence.seq_no).unwrap_or(i64::MAX);
                ranges.iter().any(|range| range.contains(&FieldValue::Whole(seq_no)))
            }
            Self::Within(path, ranges) => {
                fields.values(path).iter().any(|value| ranges.iter().any(|range| range.contains(value)))
            }
            Self::And(filters) => filters.iter().all(|filter| filter.finds_in(document, fields)),
            Self::Or(filters) => filters.iter().any(|filter| filter.finds_in(document, fields)),
            Self::Not(filter) => !filter.finds_in(document, fields),
            Self::Nested(path, filter) => fields.nested(path).iter().any(|nested| filter.finds_in(document, nested)),
        }
    }
}

/// The type of a field that values are compared with.
struct Searched(FieldType);

impl Searched {
    /// None if there is no such field, in which nothing is found.
    fn find(path: &str, mapping: &Mapping) -> Result<Option<Self>, String> {
        let of_leaf = |leaf: &LeafField| match leaf.is_searchable() {
            true => Ok(Some(Self(leaf.field_type))),
            false => Err(format!("cannot search on field [{path}] since it is neither indexed nor has doc values")),
        };
        match mapping.find(path) {
            _ if path == SEQ_NO => Ok(Some(Self(FieldType::Whole("_seq_no", i64::MIN, i64::MAX)))),
            _ if path == "_id" => Err("field [_id] does not support range queries".to_owned()),
            Found::Leaf(leaf) | Found::Key(leaf) => of_leaf(leaf),
            Found::Object | Found::Nothing => Ok(None),
        }
    }

    fn range(
        &self,
        from: &Option<Value>,
        above: &Option<Value>,
        to: &Option<Value>,
        below: &Option<Value>,
    ) -> Result<ValueRange, String> {
        let typed = |value: &Option<Value>| value.as_ref().map(|value| self.0.of_query(value)).transpose();
        let lower = match (typed(from)?, typed(above)?) {
            (Some(_), Some(_)) => return Err("a range has two lower bounds".to_owned()),
            (Some((first, _)), None) => Bound::Included(first),
            (None, Some((_, last))) => Bound::Excluded(last),
            (None, None) => Bound::Unbounded,
        };
        let upper = match (typed(to)?, typed(below)?) {
            (Some(_), Some(_)) => return Err("a range has two upper bounds".to_owned()),
            (Some((_, last)), None) => Bound::Included(last),
            (None, Some((first, _))) => Bound::Excluded(first),
            (None, None) => Bound::Unbounded,
        };
        Ok((lower, upper))
    }
}
