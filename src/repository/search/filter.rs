//! Filters: which objects a search finds, as a structure, and their compilation to a query.

use std::fmt;
use std::ops::{Bound, RangeBounds};

use serde_json::Value;

use super::compared_names::{self, ComparedNames};
use super::searchable::{self, Use};
use crate::cluster::Query;
use crate::registry::TypeDefinition;
use crate::repository::pipeline::limits;
use crate::{Error, Result};

/// A condition on objects, for [`Find::filter`](crate::repository::Find::filter). It is a structure, never text, so
/// that values cannot become syntax. Each condition has a constructor; its text form is
/// [`Kql`](crate::repository::Kql).
///
/// | constructor | the object is found if |
/// |---|---|
/// | [`equals`](Self::equals), [`any_of`](Self::any_of) | the field has the value, or one of the values |
/// | [`exists`](Self::exists) | the field has a value |
/// | [`range`](Self::range) | the field's value is in the range |
/// | [`words`](Self::words), [`phrase`](Self::phrase) | the text has one of the words, or all of them in sequence |
/// | [`pattern`](Self::pattern) | the field matches a pattern with wildcards |
/// | [`nested`](Self::nested) | one of the nested objects at an attribute matches |
/// | [`refers_to`](Self::refers_to), [`refers_to_any`](Self::refers_to_any) | it refers to the object, or one of them |
/// | [`raw_ids`](Self::raw_ids) | its stored `_id` is one of these |
/// | [`of_type`](Self::of_type) | it is of the type, and a filter matches |
/// | [`and`](Self::and), [`or`](Self::or), [`not`](Self::not) | all filters match, or one, or the filter does not |
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
    /// The field has one of the values. An empty list finds nothing.
    AnyOf(Field, Vec<Value>),
    /// The field has a value.
    Exists(Field),
    /// The field's value lies between the bounds.
    Range(Field, Bound<Value>, Bound<Value>),
    /// The field has one of these words if it is a text. Any other field has this value.
    Words(Field, String),
    /// The field has these words in sequence if it is a text. Any other field has this value.
    Phrase(Field, String),
    /// The field matches the pattern: these texts, with any text or none between them. In a text field each word is
    /// compared on its own.
    Pattern(Field, Vec<String>),
    /// One of the nested objects at the attribute matches the filter, whose paths begin with the attribute's path.
    Nested(String, Box<Filter>),
    /// The object refers to one of these objects of the type.
    RefersTo(String, Vec<String>),
    /// The stored `_id` is one of these.
    RawIds(Vec<String>),
    /// The object is of this type, and the filter matches.
    OfType(String, Box<Filter>),
    /// All filters match.
    And(Vec<Filter>),
    /// At least one filter matches. An empty list finds nothing.
    Or(Vec<Filter>),
    /// The filter does not match.
    Not(Box<Filter>),
}

/// A field that a filter or a sort reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// An attribute, or a path into one: `config.retries`. It must be in the type's mapping.
    Attribute(String),
    /// A field that every object has.
    Root(RootField),
}

/// A field that every object has in addition to its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RootField {
    /// The time of creation.
    CreatedAt,
    /// The profile id of the user who created the object.
    CreatedBy,
    /// The time of the last change.
    UpdatedAt,
    /// The profile id of the user who changed the object last.
    UpdatedBy,
    /// The id that the object had before an import gave it another one.
    OriginId,
    /// Whether the platform manages the object.
    Managed,
    /// The namespaces that see an object of a multi-namespace type. A caller with rules may compare it only with names
    /// that the caller may know, and may neither sort nor aggregate by it.
    Namespaces,
    /// The type's name.
    Type,
}

impl Filter {
    /// Creates a filter for objects whose field has this value. An attribute that holds a list has each of its
    /// elements.
    ///
    /// ```
    /// # use saved_objects::repository::{Filter, RootField};
    /// let open = Filter::equals("state", "open");
    /// let managed = Filter::equals(RootField::Managed, true);
    /// ```
    pub fn equals(field: impl Into<Field>, value: impl Into<Value>) -> Self {
        Self::AnyOf(field.into(), vec![value.into()])
    }

    /// Creates a filter for objects whose field has one of these values. An empty list finds nothing.
    ///
    /// ```
    /// # use saved_objects::repository::Filter;
    /// let unfinished = Filter::any_of("state", ["open", "blocked"]);
    /// ```
    pub fn any_of<V: Into<Value>>(field: impl Into<Field>, values: impl IntoIterator<Item = V>) -> Self {
        Self::AnyOf(field.into(), values.into_iter().map(Into::into).collect())
    }

    /// Creates a filter for objects whose field has a value.
    pub fn exists(field: impl Into<Field>) -> Self {
        Self::Exists(field.into())
    }

    /// Creates a filter for objects whose field has a value in the range, such as `1..=5` or
    /// `"2026-01-01".."2027-01-01"`.
    pub fn range<V: Into<Value> + Clone>(field: impl Into<Field>, range: impl RangeBounds<V>) -> Self {
        let value = |bound: Bound<&V>| bound.cloned().map(Into::into);
        Self::Range(field.into(), value(range.start_bound()), value(range.end_bound()))
    }

    /// Creates a filter for objects whose field has one of the words of `text`, if the field is a text. Any other field
    /// must have `text` as its value.
    pub fn words(field: impl Into<Field>, text: impl Into<String>) -> Self {
        Self::Words(field.into(), text.into())
    }

    /// Creates a filter for objects whose field has the words of `text` in sequence, if the field is a text. Any other
    /// field must have `text` as its value.
    pub fn phrase(field: impl Into<Field>, text: impl Into<String>) -> Self {
        Self::Phrase(field.into(), text.into())
    }

    /// Creates a filter for objects whose field matches a pattern: the `parts` in this order, with any text or none
    /// between them. A single part has no wildcard. In a text field each word is compared on its own.
    ///
    /// ```
    /// # use saved_objects::repository::Filter;
    /// // What KQL writes as `title: rep*` and `title: *port*`.
    /// let begins = Filter::pattern("title", ["rep", ""]);
    /// let contains = Filter::pattern("title", ["", "port", ""]);
    /// ```
    pub fn pattern<P: Into<String>>(field: impl Into<Field>, parts: impl IntoIterator<Item = P>) -> Self {
        Self::Pattern(field.into(), parts.into_iter().map(Into::into).collect())
    }

    /// Creates a filter for objects that refer to the object `id` of type `type_name`. Several such filters within
    /// [`and`](Self::and), [`or`](Self::or) and [`not`](Self::not) find objects with several references, with any of
    /// them, or without them.
    pub fn refers_to(type_name: impl Into<String>, id: impl Into<String>) -> Self {
        Self::refers_to_any(type_name, [id])
    }

    /// Creates a filter for objects that refer to at least one of these objects of type `type_name`. An empty list
    /// finds nothing.
    pub fn refers_to_any<I: Into<String>>(type_name: impl Into<String>, ids: impl IntoIterator<Item = I>) -> Self {
        Self::RefersTo(type_name.into(), ids.into_iter().map(Into::into).collect())
    }

    /// Creates a filter for objects of which one of the nested objects at the attribute `path` matches `filter`. The
    /// paths of `filter` begin with `path` too.
    ///
    /// ```
    /// # use saved_objects::repository::Filter;
    /// let undone = Filter::nested("steps", Filter::equals("steps.done", false));
    /// ```
    pub fn nested(path: impl Into<String>, filter: Self) -> Self {
        Self::Nested(path.into(), Box::new(filter))
    }

    /// Creates a filter for objects whose stored `_id` is one of these, such as
    /// [`Unreadable::raw_id`](crate::repository::Unreadable::raw_id). An empty list finds nothing.
    pub fn raw_ids<I: Into<String>>(ids: impl IntoIterator<Item = I>) -> Self {
        Self::RawIds(ids.into_iter().map(Into::into).collect())
    }

    /// Creates a filter for objects of the type `type_name` that match `filter`. In a search for several types, the
    /// attributes of `filter` need to exist in this type only.
    ///
    /// ```
    /// # use saved_objects::repository::Filter;
    /// let wanted = Filter::or([
    ///     Filter::of_type("note", Filter::equals("state", "open")),
    ///     Filter::of_type("board", Filter::and([])),
    /// ]);
    /// ```
    pub fn of_type(type_name: impl Into<String>, filter: Self) -> Self {
        Self::OfType(type_name.into(), Box::new(filter))
    }

    /// Creates a filter for objects that match all of these. An empty list finds every object.
    pub fn and(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::And(filters.into_iter().collect())
    }

    /// Creates a filter for objects that match at least one of these. An empty list finds nothing.
    pub fn or(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::Or(filters.into_iter().collect())
    }

    /// Creates a filter for objects that do not match `filter`.
    #[expect(clippy::should_implement_trait, reason = "a constructor like `and` and `or`")]
    pub fn not(filter: Self) -> Self {
        Self::Not(Box::new(filter))
    }

    /// Adds the names of namespaces that objects of `types` are compared with.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) if they are compared with anything but whole names, because that
    /// would reveal other names.
    pub(in crate::repository) fn add_compared_names(&self, types: &[&str], names: &mut ComparedNames) -> Result<()> {
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

    /// Returns the query for documents of one type.
    pub(in crate::repository) fn compile(&self, definition: &TypeDefinition) -> Result<Query> {
        self.compile_within(definition, None)
    }

    /// Returns the query for documents of one type, for a filter on the nested objects at the attribute `within`.
    pub(in crate::repository) fn compile_within(
        &self,
        definition: &TypeDefinition,
        within: Option<&str>,
    ) -> Result<Query> {
        let compile = |filter: &Self| filter.compile_within(definition, within);
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
            Self::And(filters) => Query::And(filters.iter().map(compile).collect::<Result<_>>()?),
            Self::Or(filters) => Query::any(filters.iter().map(compile).collect::<Result<Vec<_>>>()?),
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
                ids.iter().try_for_each(|id| limits::check_named(type_name, id))?;
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
    /// Returns whether the field holds the names of the namespaces that see an object.
    pub(in crate::repository) fn is_namespaces(&self) -> bool {
        *self == Self::Root(RootField::Namespaces)
    }

    /// Returns the field's full path in documents of one type.
    pub(in crate::repository) fn path(&self, definition: &TypeDefinition, purpose: Use) -> Result<String> {
        self.path_within(definition, None, purpose).map(|(path, _)| path)
    }

    /// Returns the field's full path, within the nested objects at `within` if there is one, and whether the field is
    /// compared word by word.
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
    /// All root fields.
    pub(in crate::repository) const ALL: [Self; 8] = [
        Self::CreatedAt,
        Self::CreatedBy,
        Self::Managed,
        Self::Namespaces,
        Self::OriginId,
        Self::Type,
        Self::UpdatedAt,
        Self::UpdatedBy,
    ];

    /// Returns whether its values are texts.
    fn is_keyword(self) -> bool {
        self.mapped_as() == "keyword"
    }

    /// Returns the field type that every index maps it as.
    pub(in crate::repository) fn mapped_as(self) -> &'static str {
        match self {
            Self::CreatedAt | Self::UpdatedAt => "date",
            Self::Managed => "boolean",
            _ => "keyword",
        }
    }

    /// Returns the field's name in the document.
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

/// Returns the inclusive and the exclusive form of a bound, one of which is empty.
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
    let (what, hint) = match value {
        Value::Null => ("null", "ask for what does not exist with `Filter::not(Filter::exists(…))`"),
        Value::Array(_) => ("a list", "give each value on its own, with `Filter::any_of`"),
        Value::Object(_) => ("an object", "filter by a path into it"),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => return Ok(()),
    };
    Err(Error::invalid(format!("the filter on {field} compares with {what}"), hint))
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
    fn each_condition_has_a_constructor() {
        let field = || Field::Attribute("title".to_owned());
        let text = || "t".to_owned();
        let any = || Filter::exists("title");
        let table = [
            (Filter::equals("title", "t"), Filter::AnyOf(field(), vec![json!("t")])),
            (Filter::any_of("title", ["t"]), Filter::AnyOf(field(), vec![json!("t")])),
            (any(), Filter::Exists(field())),
            (Filter::range("title", 1..), Filter::Range(field(), Bound::Included(json!(1)), Bound::Unbounded)),
            (Filter::words("title", "t"), Filter::Words(field(), text())),
            (Filter::phrase("title", "t"), Filter::Phrase(field(), text())),
            (Filter::pattern("title", ["t", ""]), Filter::Pattern(field(), vec![text(), String::new()])),
            (Filter::nested("steps", any()), Filter::Nested("steps".to_owned(), Box::new(any()))),
            (Filter::refers_to("note", "t"), Filter::RefersTo("note".to_owned(), vec![text()])),
            (Filter::refers_to_any("note", ["t"]), Filter::RefersTo("note".to_owned(), vec![text()])),
            (Filter::raw_ids(["t"]), Filter::RawIds(vec![text()])),
            (Filter::of_type("note", any()), Filter::OfType("note".to_owned(), Box::new(any()))),
            (Filter::and([any()]), Filter::And(vec![any()])),
            (Filter::or([any()]), Filter::Or(vec![any()])),
            (Filter::not(any()), Filter::Not(Box::new(any()))),
        ];
        for (constructed, expected) in table {
            assert_eq!(constructed, expected);
        }
    }

    #[test]
    fn attributes_are_compiled_to_paths_under_their_type() {
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
    fn filters_that_can_find_nothing_are_refused() {
        let table = [
            (Filter::equals("titel", "t"), "is not searchable"),
            (Filter::not(Filter::and([Filter::equals("body", "b")])), "is encrypted"),
            (Filter::equals("title", Value::Null), "with null"),
            (Filter::equals("title", json!(["a"])), "with a list"),
            (Filter::range("title", json!({})..), "with an object"),
        ];
        for (filter, expected) in table {
            let error = compile(&filter).expect_err("refused");
            assert!(error.message().contains(expected) && error.hint().is_some(), "{error}");
        }
    }
}
