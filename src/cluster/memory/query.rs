//! Queries: compiled for a mapping, and matched against documents.

use std::collections::BTreeSet;
use std::ops::{Bound, RangeBounds};

use jiff::Timestamp;
use serde_json::Value;

use super::document::{Document, Fields};
use super::field_value::{FieldType, FieldValue};
use super::mapping::{Found, LeafField, Mapping};
use super::refusals::Refused;
use super::search_text::{self, TextQuery};
use super::words::{normalized, words};

use crate::cluster::{Query, pattern};

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
    /// The field has one of the terms. Its terms are the words of a text, or a keyword as a whole.
    Terms(String, Vec<String>),
    /// A text of the field has these words in sequence.
    Phrase(String, Vec<String>),
    /// A term of the field consists of these parts, with anything or nothing between them.
    Pattern(String, Vec<String>),
    And(Vec<Filter>),
    Or(Vec<Filter>),
    /// Like `Or`, but relevance is that of the best one, not the sum.
    Best(Vec<Filter>),
    Not(Box<Filter>),
    /// The filter matches, and counts nothing for relevance.
    Unscored(Box<Filter>),
    /// One of the nested documents at the path matches.
    Nested(String, Box<Filter>),
}

type ValueRange = (Bound<FieldValue>, Bound<FieldValue>);

/// The name of the field that queries and sorts by sequence number use.
pub(super) const SEQ_NO: &str = "_seq_no";

/// What a query is compiled for: the fields of an index, and the time that `now` means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) mapping: &'a Mapping,
    pub(super) now: Timestamp,
}

impl Filter {
    /// Compiles a query. Fails if a real server refuses it, or if the cluster in memory does not model it.
    pub(super) fn compile(query: &Query, scope: Scope<'_>) -> Result<Self, Refused> {
        let mapping = scope.mapping;
        let all = |queries: &[Query]| queries.iter().map(|query| Self::compile(query, scope)).collect::<Result<_, _>>();
        Ok(match query {
            Query::Everything => Self::All,
            Query::Ids(ids) => Self::Ids(ids.iter().cloned().collect()),
            Query::And(queries) => {
                let compile = |query: &Query| {
                    let filter = Self::compile(query, scope)?;
                    Ok(if query.is_scored() { filter } else { Self::Unscored(Box::new(filter)) })
                };
                Self::And(queries.iter().map(compile).collect::<Result<_, Refused>>()?)
            }
            Query::Or(queries) => Self::Or(all(queries)?),
            Query::Not(query) => Self::Not(Box::new(Self::compile(query, scope)?)),
            Query::Exists { field } => match (field.as_str(), mapping.find(field)) {
                ("_id" | SEQ_NO, _) => Self::All,
                (_, Found::Leaf(_) | Found::Key(_)) => Self::Exists(field.clone()),
                (_, Found::Object) => Self::ExistsWithin(format!("{field}.")),
                (_, Found::Nothing) => Self::Nothing,
            },
            Query::Nested { path, query } => {
                let inside = mapping.inside(path).ok_or_else(|| {
                    let reason = format!("[nested] failed to find nested object under path [{path}]");
                    Refused::mapping(reason)
                })?;
                let inside = Scope { mapping: &inside, ..scope };
                Self::Nested(path.clone(), Box::new(Self::compile(query, inside)?))
            }
            Query::Words { field, text } => Self::words(field, text, scope)?,
            Query::Phrase { field, text } => Self::phrase(field, text, scope)?,
            Query::Pattern { field, parts } => Self::pattern(field, parts, scope)?,
            Query::Text { fields, text, all_words } => Self::text(fields, text, *all_words, scope)?,
            Query::AnyOf { field, values } => Self::any_of(field, values, scope)?,
            Query::Range { field, from, above, to, below } => {
                let Some(searched) = Searched::find(field, scope)? else { return Ok(Self::Nothing) };
                let has_both = (from.is_some() || above.is_some()) && (to.is_some() || below.is_some());
                if matches!(mapping.find(field), Found::Key(_)) && !has_both {
                    let reason =
                        "[range] queries on keyed [flattened] fields must include both an upper and a lower bound.";
                    return Err(Refused::query("illegal_argument_exception", reason));
                }
                if searched.field_type == FieldType::Binary {
                    let reason = format!("Field [{field}] of type [binary] does not support range queries");
                    return Err(Refused::query("illegal_argument_exception", reason));
                }
                Self::Within(field.clone(), vec![searched.range(from, above, to, below)?])
            }
        })
    }

    fn any_of(field: &str, values: &[Value], scope: Scope<'_>) -> Result<Self, Refused> {
        if values.iter().any(|value| matches!(value, Value::Null | Value::Array(_) | Value::Object(_))) {
            return Err("a terms query compares with texts, numbers and booleans only".into());
        }
        if field == "_id" {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            return Ok(Self::Ids(values.iter().map(text).collect()));
        }
        let Some(searched) = Searched::find(field, scope)? else { return Ok(Self::Nothing) };
        let range = |value| {
            let (first, last) = searched.typed(value)?;
            Ok((Bound::Included(first), Bound::Included(last)))
        };
        Ok(Self::Within(field.to_owned(), values.iter().map(range).collect::<Result<_, Refused>>()?))
    }

    /// Compiles the search for one of the words of `text`. A field that has no words is compared with the whole text.
    fn words(field: &str, text: &str, scope: Scope<'_>) -> Result<Self, Refused> {
        match scope.mapping.find(field) {
            Found::Leaf(leaf) if leaf.field_type == FieldType::Text => {
                Searched::find(field, scope)?;
                Ok(Self::Terms(field.to_owned(), words(text)))
            }
            Found::Leaf(leaf) if leaf.field_type == FieldType::Keyword => {
                Searched::find(field, scope)?;
                Ok(Self::Terms(field.to_owned(), vec![text.to_owned()]))
            }
            _ => Self::any_of(field, &[text.into()], scope),
        }
    }

    fn phrase(field: &str, text: &str, scope: Scope<'_>) -> Result<Self, Refused> {
        Ok(match Self::words(field, text, scope)? {
            Self::Terms(field, words) if words.len() > 1 => Self::Phrase(field, words),
            other => other,
        })
    }

    /// Compiles a pattern. A server takes one that ends with its only wildcard apart into words; it compares any other
    /// one with each word as a whole.
    fn pattern(field: &str, parts: &[String], scope: Scope<'_>) -> Result<Self, Refused> {
        let (first, is_prefix) = match parts {
            [] => return Ok(Self::Nothing),
            [whole] if whole.is_empty() => return Ok(Self::Nothing),
            [whole] => return Self::words(field, whole, scope),
            [first, last] if first.is_empty() && last.is_empty() => {
                return Self::compile(&Query::Exists { field: field.to_owned() }, scope);
            }
            [first, last] => (first, last.is_empty()),
            [first, ..] => (first, false),
        };
        let what = if is_prefix { "prefix" } else { "wildcard" };
        match (Self::term_field(field, what, scope)?, is_prefix) {
            (None, _) => Ok(Self::Nothing),
            (Some(FieldType::Text), true) => {
                let mut words = words(first);
                let Some(last) = words.pop() else { return Ok(Self::Nothing) };
                let prefix = Self::Pattern(field.to_owned(), vec![last, String::new()]);
                match words.is_empty() {
                    true => Ok(prefix),
                    false => Ok(Self::Or(vec![Self::Terms(field.to_owned(), words), prefix])),
                }
            }
            (Some(FieldType::Text), false) => {
                // The query of the server escapes capital letters of ASCII, and it leaves what is escaped as it is.
                let lower = |letter: char| match letter.is_ascii() {
                    true => letter.to_string(),
                    false => normalized(&letter.to_string()),
                };
                let parts = parts.iter().map(|part| part.chars().map(lower).collect()).collect();
                Ok(Self::Pattern(field.to_owned(), parts))
            }
            (Some(_), _) => Ok(Self::Pattern(field.to_owned(), parts.to_vec())),
        }
    }

    /// Returns the type of a field that is compared with a part of a term, or `None` if there is no such field.
    fn term_field(field: &str, what: &str, scope: Scope<'_>) -> Result<Option<FieldType>, Refused> {
        match scope.mapping.find(field) {
            Found::Key(_) if what == "wildcard" => {
                let reason = "[wildcard] queries are not currently supported on keyed [flattened] fields.";
                Err(Refused::query("unsupported_operation_exception", reason))
            }
            Found::Leaf(leaf) | Found::Key(leaf) if leaf.field_type.has_terms() => {
                Ok(Searched::find(field, scope)?.map(|searched| searched.field_type))
            }
            Found::Leaf(leaf) | Found::Key(leaf) => Err(Refused::mapping(format!(
                "Can only use {what} queries on keyword, text and wildcard fields - not on [{field}] which is of type [{}]",
                leaf.field_type.name()
            ))),
            _ if field == "_id" => Err(Refused::unsupported(format!("a {what} query of `_id`"))),
            Found::Object | Found::Nothing => Ok(None),
        }
    }

    /// Compiles a search text in several fields. A value that does not fit a field is not found in it.
    fn text(fields: &[String], text: &str, all_words: bool, scope: Scope<'_>) -> Result<Self, Refused> {
        let is_text = |field: &String| match scope.mapping.find(field) {
            Found::Leaf(leaf) => leaf.field_type == FieldType::Text,
            _ => false,
        };
        // If all fields have words, a term without words asks for nothing.
        let has_words = |term: &TextQuery| match term {
            TextQuery::Words(text) | TextQuery::Phrase(text) => !fields.iter().all(is_text) || !words(text).is_empty(),
            _ => true,
        };
        match search_text::parse(text, all_words, &has_words)? {
            Some(query) => Self::text_query(&query, fields, scope),
            None => Ok(Self::Nothing),
        }
    }

    fn text_query(query: &TextQuery, fields: &[String], scope: Scope<'_>) -> Result<Self, Refused> {
        let all = |queries: &[TextQuery]| {
            queries.iter().map(|query| Self::text_query(query, fields, scope)).collect::<Result<Vec<_>, _>>()
        };
        let in_fields = |compile: &dyn Fn(&str) -> Result<Self, Refused>| {
            let lenient = |field: &String| match compile(field) {
                Err(refused) if !refused.is_unsupported() => Ok(Self::Nothing),
                compiled => compiled,
            };
            fields.iter().map(lenient).collect::<Result<Vec<_>, _>>()
        };
        Ok(match query {
            TextQuery::All => Self::All,
            TextQuery::Words(text) => Self::Or(in_fields(&|field| Self::words(field, text, scope))?),
            TextQuery::Phrase(text) => Self::Best(in_fields(&|field| Self::phrase(field, text, scope))?),
            TextQuery::Prefix(start) => Self::Or(in_fields(&|field| {
                Ok(match Self::term_field(field, "prefix", scope)? {
                    None => Self::Nothing,
                    Some(field_type) => {
                        let start = if field_type == FieldType::Text { normalized(start) } else { start.clone() };
                        Self::Pattern(field.to_owned(), vec![start, String::new()])
                    }
                })
            })?),
            TextQuery::Not(query) => {
                Self::And(vec![Self::All, Self::Not(Box::new(Self::text_query(query, fields, scope)?))])
            }
            TextQuery::And(queries) => Self::And(all(queries)?),
            TextQuery::Or(queries) => Self::Or(all(queries)?),
        })
    }

    pub(super) fn finds(&self, document: &Document) -> bool {
        self.finds_in(document, &document.fields)
    }

    /// Returns whether the filter matches these fields of the document: its own, or those of a nested document.
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
                let is_within = |value: &FieldValue| ranges.iter().any(|range| range.contains(value));
                fields.values(path).iter().any(|value| match value {
                    FieldValue::Words(words) => {
                        words.iter().cloned().map(FieldValue::Text).any(|word| is_within(&word))
                    }
                    value => is_within(value),
                })
            }
            Self::Terms(path, terms) => fields.terms(path).any(|term| terms.iter().any(|wanted| wanted == term)),
            Self::Phrase(path, words) => fields.phrases(path, words) > 0,
            Self::Pattern(path, parts) => fields.terms(path).any(|term| pattern::fits(parts, term)),
            Self::And(filters) => filters.iter().all(|filter| filter.finds_in(document, fields)),
            Self::Or(filters) | Self::Best(filters) => filters.iter().any(|filter| filter.finds_in(document, fields)),
            Self::Not(filter) => !filter.finds_in(document, fields),
            Self::Unscored(filter) => filter.finds_in(document, fields),
            Self::Nested(path, filter) => fields.nested(path).iter().any(|nested| filter.finds_in(document, nested)),
        }
    }
}

/// A field that values are compared with.
struct Searched {
    field_type: FieldType,
    now: Timestamp,
}

impl Searched {
    /// Returns the field at `path`, or `None` if there is no such field: then nothing matches.
    fn find(path: &str, scope: Scope<'_>) -> Result<Option<Self>, Refused> {
        let of_type = |field_type| Ok(Some(Self { field_type, now: scope.now }));
        let of_leaf = |leaf: &LeafField| match leaf.is_searchable() {
            true => of_type(leaf.field_type),
            false => {
                let reason = format!("Cannot search on field [{path}] since it is not indexed nor has doc values.");
                Err(Refused::query("illegal_argument_exception", reason))
            }
        };
        match scope.mapping.find(path) {
            _ if path == SEQ_NO => of_type(FieldType::Whole("_seq_no", i64::MIN, i64::MAX)),
            _ if path == "_id" => {
                let reason = "Field [_id] of type [_id] does not support range queries";
                Err(Refused::query("illegal_argument_exception", reason))
            }
            Found::Leaf(leaf) | Found::Key(leaf) => of_leaf(leaf),
            Found::Object | Found::Nothing => Ok(None),
        }
    }

    fn typed(&self, value: &Value) -> Result<(FieldValue, FieldValue), Refused> {
        self.field_type.of_query(value, self.now)
    }

    fn range(
        &self,
        from: &Option<Value>,
        above: &Option<Value>,
        to: &Option<Value>,
        below: &Option<Value>,
    ) -> Result<ValueRange, Refused> {
        let typed = |value: &Option<Value>| {
            let typed = value.as_ref().map(|value| self.typed(value)).transpose();
            typed.map_err(
                |refused| if self.field_type == FieldType::Date { refused.before_the_query() } else { refused },
            )
        };
        let lower = match (typed(from)?, typed(above)?) {
            (Some(_), Some(_)) => return Err("a range has two lower bounds".into()),
            (Some((first, _)), None) => Bound::Included(first),
            (None, Some((_, last))) => Bound::Excluded(last),
            (None, None) => Bound::Unbounded,
        };
        let upper = match (typed(to)?, typed(below)?) {
            (Some(_), Some(_)) => return Err("a range has two upper bounds".into()),
            (Some((_, last)), None) => Bound::Included(last),
            (None, Some((first, _))) => Bound::Excluded(first),
            (None, None) => Bound::Unbounded,
        };
        Ok((lower, upper))
    }
}
