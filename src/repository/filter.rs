use std::fmt;
use std::ops::{Bound, RangeBounds};

use serde_json::Value;

use super::compared_names::{self, ComparedNames};
use super::searchable::{self, Use};
use crate::cluster::Query;
use crate::registry::TypeDefinition;
use crate::{Error, Result};

/// Which objects [`Repository::find`](super::Repository::find) finds. A structure, never text: values cannot become syntax.
///
/// ```
/// # use saved_objects::repository::{Filter, RootField};
/// let filter = Filter::and([
///     Filter::equals("connectorId", "c1"),
///     Filter::any_of("tokenType", ["access_token", "oauth"]),
///     Filter::range(RootField::UpdatedAt, .."2026-01-01T00:00:00Z"),
/// ]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The field has one of the values; of none, nothing is found.
    AnyOf(Field, Vec<Value>),
    /// The field has a value.
    Exists(Field),
    /// The field's value lies between the bounds.
    Range(Field, Bound<Value>, Bound<Value>),
    /// The field has one of these words, if it is a text; any other field has this value.
    Words(Field, String),
    /// The field has these words one after the other, if it is a text; any other field has this value.
    Phrase(Field, String),
    /// The field fits the pattern: these texts, with anything or nothing between them. A text's words are compared one by one.
    Pattern(Field, Vec<String>),
    /// One of the nested objects at the attribute fits the filter, whose paths begin with the attribute's.
    Nested(String, Box<Filter>),
    /// The object refers to one of these objects of the type.
    RefersTo(String, Vec<String>),
    /// The stored `_id` is one of these.
    RawIds(Vec<String>),
    /// It is an object of this type, and the filter applies to it.
    OfType(String, Box<Filter>),
    /// All of them apply.
    And(Vec<Filter>),
    /// At least one applies; of none, nothing is found.
    Or(Vec<Filter>),
    /// It does not apply.
    Not(Box<Filter>),
}

/// What a filter or a sort looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// An attribute, or a path into one: `config.retries`. It must be in the type's mapping.
    Attribute(String),
    /// A field that every object has.
    Root(RootField),
}

/// A field that every object has beside its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RootField {
    /// When it was created.
    CreatedAt,
    /// The profile id of who created it.
    CreatedBy,
    /// When it was last changed.
    UpdatedAt,
    /// The profile id of who changed it last.
    UpdatedBy,
    /// The id it had where it came from.
    OriginId,
    /// Whether the platform manages it.
    Managed,
    /// The namespaces in which an object of a multi-namespace type is seen. A caller with rules compares it with names that he
    /// may know only, and neither sorts nor aggregates by it.
    Namespaces,
    /// The type's name.
    Type,
}

impl Filter {
    /// The field has this value. An attribute that holds a list has each of its elements.
    pub fn equals(field: impl Into<Field>, value: impl Into<Value>) -> Self {
        Self::AnyOf(field.into(), vec![value.into()])
    }

    /// The field has one of these values.
    pub fn any_of<V: Into<Value>>(field: impl Into<Field>, values: impl IntoIterator<Item = V>) -> Self {
        Self::AnyOf(field.into(), values.into_iter().map(Into::into).collect())
    }

    /// The field has a value.
    pub fn exists(field: impl Into<Field>) -> Self {
        Self::Exists(field.into())
    }

    /// The field's value lies in the range, such as `1..=5` or `"2026-01-01".."2027-01-01"`.
    pub fn range<V: Into<Value> + Clone>(field: impl Into<Field>, range: impl RangeBounds<V>) -> Self {
        let value = |bound: Bound<&V>| bound.cloned().map(Into::into);
        Self::Range(field.into(), value(range.start_bound()), value(range.end_bound()))
    }

    /// The object refers to the object `id` of type `type_name`. Several such filters within [`and`](Self::and),
    /// [`or`](Self::or) and [`not`](Self::not) ask for several references, for any, or for none.
    pub fn refers_to(type_name: impl Into<String>, id: impl Into<String>) -> Self {
        Self::RefersTo(type_name.into(), vec![id.into()])
    }

    /// One of the nested objects at the attribute `path` fits `filter`, whose paths begin with `path` too.
    pub fn nested(path: impl Into<String>, filter: Self) -> Self {
        Self::Nested(path.into(), Box::new(filter))
    }

    /// All of them apply.
    pub fn and(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::And(filters.into_iter().collect())
    }

    /// At least one of them applies.
    pub fn or(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::Or(filters.into_iter().collect())
    }

    /// The filter does not apply.
    #[expect(clippy::should_implement_trait, reason = "a constructor beside `and` and `or`")]
    pub fn not(filter: Self) -> Self {
        Self::Not(Box::new(filter))
    }

    /// Adds the names of namespaces that objects of `types` are compared with.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) if they are compared with anything but whole names, which finds out others.
    pub(super) fn add_compared_names(&self, types: &[&str], names: &mut ComparedNames) -> Result<()> {
        match self {
            Self::And(filters) | Self::Or(filters) => {
                filters.iter().try_for_each(|filter| filter.add_compared_names(types, names))
            }
            Self::Not(filter) | Self::Nested(_, filter) => filter.add_compared_names(types, names),
            Self::OfType(type_name, filter) => match types.contains(&type_name.as_str()) {
                true => filter.add_compared_names(&[type_name.as_str()], names),
                false => Ok(()),
            },
            Self::RefersTo(..) | Self::RawIds(_) | Self::Exists(_) => Ok(()),
            Self::AnyOf(field, _)
            | Self::Range(field, ..)
            | Self::Words(field, _)
            | Self::Phrase(field, _)
            | Self::Pattern(field, _)
                if !field.is_namespaces() =>
            {
                Ok(())
            }
            Self::AnyOf(_, values) => values.iter().try_for_each(|value| match value.as_str() {
                Some(name) => compared_names::add(types, name, names),
                None => Err(compared_names::telling("objects must not be compared with values that are no names in")),
            }),
            Self::Words(_, name) | Self::Phrase(_, name) => compared_names::add(types, name, names),
            Self::Range(..) | Self::Pattern(..) => {
                Err(compared_names::telling("objects must not be compared with ranges and patterns of"))
            }
        }
    }

    /// The query for documents of one type.
    pub(super) fn compile(&self, definition: &TypeDefinition) -> Result<Query> {
        self.compile_within(definition, None)
    }

    /// The same inside of the nested objects at the attribute `within`.
    pub(super) fn compile_within(&self, definition: &TypeDefinition, within: Option<&str>) -> Result<Query> {
        let compile = |filter: &Self| filter.compile_within(definition, within);
        let all = |filters: &[Self]| filters.iter().map(compile).collect::<Result<_>>();
        let path = |field: &Field, purpose| field.path_within(definition, within, purpose).map(|(path, _)| path);
        Ok(match self {
            Self::AnyOf(field, values) => {
                values.iter().try_for_each(|value| check_scalar(field, value))?;
                Query::AnyOf { field: path(field, Use::Compare)?, values: values.clone() }
            }
            Self::Exists(field) => Query::Exists { field: path(field, Use::Exists)? },
            Self::Range(field, lower, upper) => {
                let (from, above) = split(field, lower)?;
                let (to, below) = split(field, upper)?;
                Query::Range { field: path(field, Use::Compare)?, from, above, to, below }
            }
            Self::And(filters) => Query::And(all(filters)?),
            Self::Or(filters) => Query::Or(all(filters)?),
            Self::Not(filter) => Query::Not(Box::new(compile(filter)?)),
            Self::Words(field, text) | Self::Phrase(field, text) => {
                let (path, is_text) = field.path_within(definition, within, Use::Match)?;
                match self {
                    _ if !is_text => Query::equals(path, text.as_str()),
                    Self::Phrase(..) => Query::Phrase { field: path, text: text.clone() },
                    _ => Query::Words { field: path, text: text.clone() },
                }
            }
            Self::Pattern(field, parts) => Query::Pattern { field: path(field, Use::Pattern)?, parts: parts.clone() },
            Self::Nested(attribute, filter) => {
                searchable::check_nested(definition, attribute, within)?;
                let query = Box::new(filter.compile_within(definition, Some(attribute))?);
                Query::Nested { path: format!("{}.{attribute}", definition.name()), query }
            }
            Self::RefersTo(type_name, ids) => {
                let is_id = |id: &String| Value::from(id.as_str());
                Query::Nested {
                    path: "references".to_owned(),
                    query: Box::new(Query::And(vec![
                        Query::equals("references.type", type_name.as_str()),
                        Query::AnyOf { field: "references.id".to_owned(), values: ids.iter().map(is_id).collect() },
                    ])),
                }
            }
            Self::RawIds(ids) => Query::Ids(ids.clone()),
            Self::OfType(type_name, _) if type_name != definition.name() => Query::Or(Vec::new()),
            Self::OfType(_, filter) => compile(filter)?,
        })
    }
}

impl Field {
    /// Whether it holds the names of the namespaces in which an object is seen.
    pub(super) fn is_namespaces(&self) -> bool {
        *self == Self::Root(RootField::Namespaces)
    }

    /// The field's full path in documents of one type.
    pub(super) fn path(&self, definition: &TypeDefinition, purpose: Use) -> Result<String> {
        self.path_within(definition, None, purpose).map(|(path, _)| path)
    }

    /// The field's full path, inside of the nested objects at `within`, and whether it is compared by its words.
    fn path_within(&self, definition: &TypeDefinition, within: Option<&str>, purpose: Use) -> Result<(String, bool)> {
        match self {
            Self::Root(field) if purpose == Use::Pattern && !field.is_keyword() => Err(Error::invalid(
                format!("the field {} cannot be compared with a pattern", field.as_str()),
                "compare it with a value or a range",
            )),
            Self::Root(field) => Ok((field.as_str().to_owned(), false)),
            Self::Attribute(path) => {
                let kind = searchable::check(definition, path, within, purpose)?;
                Ok((format!("{}.{path}", definition.name()), kind.is_text()))
            }
        }
    }
}

impl RootField {
    /// All of them.
    pub(super) const ALL: [Self; 8] = [
        Self::CreatedAt,
        Self::CreatedBy,
        Self::Managed,
        Self::Namespaces,
        Self::OriginId,
        Self::Type,
        Self::UpdatedAt,
        Self::UpdatedBy,
    ];

    /// Whether its values are texts.
    fn is_keyword(self) -> bool {
        !matches!(self, Self::CreatedAt | Self::UpdatedAt | Self::Managed)
    }

    /// The field's name in the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreatedAt => "created_at",
            Self::CreatedBy => "created_by",
            Self::UpdatedAt => "updated_at",
            Self::UpdatedBy => "updated_by",
            Self::OriginId => "originId",
            Self::Managed => "managed",
            Self::Namespaces => "namespaces",
            Self::Type => "type",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute(path) => f.write_str(path),
            Self::Root(field) => f.write_str(field.as_str()),
        }
    }
}

impl From<&str> for Field {
    fn from(path: &str) -> Self {
        Self::Attribute(path.to_owned())
    }
}

impl From<String> for Field {
    fn from(path: String) -> Self {
        Self::Attribute(path)
    }
}

impl From<RootField> for Field {
    fn from(field: RootField) -> Self {
        Self::Root(field)
    }
}

/// The inclusive and the exclusive form of a bound.
fn split(field: &Field, bound: &Bound<Value>) -> Result<(Option<Value>, Option<Value>)> {
    let bounds = match bound {
        Bound::Included(value) => (Some(value.clone()), None),
        Bound::Excluded(value) => (None, Some(value.clone())),
        Bound::Unbounded => (None, None),
    };
    [&bounds.0, &bounds.1].into_iter().flatten().try_for_each(|value| check_scalar(field, value))?;
    Ok(bounds)
}

fn check_scalar(field: &Field, value: &Value) -> Result<()> {
    let (what, cure) = match value {
        Value::Null => ("null", "ask for what does not exist with `Filter::not(Filter::exists(…))`"),
        Value::Array(_) => ("a list", "give each value on its own, with `Filter::any_of`"),
        Value::Object(_) => ("an object", "filter by a path into it"),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(()),
    };
    Err(Error::invalid(format!("the filter on {field} compares with {what}"), cure))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::testing::{note, read, version};

    fn compile(filter: &Filter) -> Result<Value> {
        let definition = read(&note(json!({})), &[version(json!({}))]).expect("fine");
        filter.compile(&definition).map(|query| query.to_json())
    }

    #[test]
    fn attributes_are_looked_for_under_their_type() {
        let table = [
            (Filter::equals("title", "t"), json!({"terms": {"note.title": ["t"]}})),
            (Filter::any_of("title", ["a", "b"]), json!({"terms": {"note.title": ["a", "b"]}})),
            (Filter::exists(RootField::UpdatedBy), json!({"exists": {"field": "updated_by"}})),
            (Filter::range("title", "a".."c"), json!({"range": {"note.title": {"gte": "a", "lt": "c"}}})),
            (
                Filter::range(RootField::CreatedAt, (Bound::Excluded(2026), Bound::Included(2027))),
                json!({"range": {"created_at": {"gt": 2026, "lte": 2027}}}),
            ),
            (
                Filter::or([Filter::not(Filter::exists("title")), Filter::and([])]),
                json!({"bool": {"minimum_should_match": 1, "should": [
                    {"bool": {"must_not": [{"exists": {"field": "note.title"}}]}},
                    {"bool": {"filter": []}},
                ]}}),
            ),
        ];
        for (filter, expected) in table {
            assert_eq!(compile(&filter).expect("fine"), expected);
        }
    }

    #[test]
    fn what_would_find_nothing_is_refused() {
        let table = [
            (Filter::equals("titel", "t"), "is not searchable"),
            (Filter::not(Filter::and([Filter::equals("body", "b")])), "is encrypted"),
            (Filter::equals("title", Value::Null), "with null"),
            (Filter::equals("title", json!(["a"])), "with a list"),
            (Filter::range("title", json!({})..), "with an object"),
        ];
        for (filter, expected) in table {
            let error = compile(&filter).expect_err("refused");
            assert!(error.message().contains(expected) && error.cure().is_some(), "{error}");
        }
    }
}
