//! The request of a search: which objects to find, in which order, and which page of them to return.

use super::aggregation::{self, Aggregation};
use super::compared_names::{self, ComparedNames};
use super::fields;
use super::filter::{Field, Filter};
use super::kql::Kql;
use super::searchable::{self, Use};
use crate::cluster::{Direction, Query, SCORE, Search, SearchIn, Sort};
use crate::document::{Namespace, NamespaceKind};
use crate::registry::TypeDefinition;
use crate::{Error, Result};

/// The number of results that pages can reach. The server keeps all results before a page in memory.
const MAX_RESULT_WINDOW: u32 = 10_000;

/// A search: which objects to find, in which order, and which page of them to return.
///
/// ```
/// # use saved_objects::cluster::Direction;
/// # use saved_objects::repository::{Filter, Find, RootField};
/// let newest_first = Find::new()
///     .filter(Filter::equals("connectorId", "c1"))
///     .sort(RootField::UpdatedAt, Direction::Descending)
///     .per_page(100);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Find {
    pub(super) seen_from: SeenFrom,
    filters: Vec<Filter>,
    kql: Vec<Kql>,
    search: Option<TextSearch>,
    pub(in crate::repository) fields: Option<Vec<String>>,
    sort: Vec<(Field, Direction)>,
    aggregations: Vec<(String, Aggregation)>,
    page: u32,
    per_page: Option<u32>,
}

/// The namespaces that see the objects to find.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum SeenFrom {
    /// The request names none: the namespace of the client.
    #[default]
    Unsaid,
    /// At least one of these. An empty list finds nothing.
    OneOf(Vec<Namespace>),
    /// Any namespace.
    Everywhere,
}

/// A text to search for, as people type it.
#[derive(Debug, Clone, PartialEq, Default)]
struct TextSearch {
    text: String,
    /// The attributes to search; `None` means all that can be searched.
    fields: Option<Vec<String>>,
    all_words: bool,
}

/// The namespaces that are searched by default.
const DEFAULT_ONLY: &[Namespace] = &[Namespace::DEFAULT];
/// The default number of objects on a page.
const PER_PAGE: u32 = 20;

impl Default for Find {
    fn default() -> Self {
        Self {
            seen_from: SeenFrom::default(),
            filters: Vec::new(),
            kql: Vec::new(),
            search: None,
            fields: None,
            sort: Vec::new(),
            aggregations: Vec::new(),
            page: 1,
            per_page: None,
        }
    }
}

impl Find {
    /// Creates a search for the first 20 objects that the default namespace sees, in no particular order unless a text
    /// is searched for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Finds only objects that at least one of these namespaces sees, and nothing if the list is empty. By default the
    /// search is in the default namespace.
    #[must_use]
    pub fn namespaces(mut self, namespaces: impl IntoIterator<Item = Namespace>) -> Self {
        self.seen_from = match self.seen_from {
            SeenFrom::OneOf(mut names) => {
                names.extend(namespaces);
                SeenFrom::OneOf(names)
            }
            SeenFrom::Unsaid => SeenFrom::OneOf(namespaces.into_iter().collect()),
            SeenFrom::Everywhere => SeenFrom::Everywhere,
        };
        self
    }

    /// Finds objects of every namespace and overrides [`namespaces`](Self::namespaces). Needs the permission of
    /// [`Authorization::allows_everywhere`](crate::repository::Authorization::allows_everywhere).
    #[must_use]
    pub fn everywhere(mut self) -> Self {
        self.seen_from = SeenFrom::Everywhere;
        self
    }

    /// Finds only objects that match the filter. With several filters, as text or structure, all must match.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filters.push(filter);
        self
    }

    /// Finds only objects that match a filter given as text.
    #[must_use]
    pub fn kql(mut self, filter: Kql) -> Self {
        self.kql.push(filter);
        self
    }

    /// Finds only objects that have a word of this text in one of the [`search_fields`](Self::search_fields). Some
    /// characters are operators: `"a phrase"`, `+must`, `-must_not`, `a | b`, `prefix*`. No text is malformed. The best
    /// matches come first, unless a [`sort`](Self::sort) is given.
    #[must_use]
    pub fn search(mut self, text: impl Into<String>) -> Self {
        self.search.get_or_insert_default().text = text.into();
        self
    }

    /// Sets the attributes that [`search`](Self::search) uses. An empty list means none. Default: every `text` and
    /// `keyword` of the types' mappings.
    #[must_use]
    pub fn search_fields(mut self, attributes: impl IntoIterator<Item: Into<String>>) -> Self {
        let fields = self.search.get_or_insert_default().fields.get_or_insert_default();
        fields.extend(attributes.into_iter().map(Into::into));
        self
    }

    /// Makes [`search`](Self::search) find only objects that have all of its words.
    #[must_use]
    pub fn all_words(mut self) -> Self {
        self.search.get_or_insert_default().all_words = true;
        self
    }

    /// Returns only these of each object's attributes. An empty list returns none of them. A path returns a part of an
    /// attribute: `owner.name`. Names that no object of the types can have are refused.
    #[must_use]
    pub fn fields(mut self, attributes: impl IntoIterator<Item: Into<String>>) -> Self {
        self.fields.get_or_insert_default().extend(attributes.into_iter().map(Into::into));
        self
    }

    /// Computes an aggregation over all objects that are found, on all pages.
    #[must_use]
    pub fn aggregation(mut self, name: impl Into<String>, aggregation: Aggregation) -> Self {
        self.aggregations.push((name.into(), aggregation));
        self
    }

    /// Sorts by this field, and objects with the same value by the fields of later calls. Objects without the field
    /// come last. A search for several types cannot be sorted by an attribute.
    #[must_use]
    pub fn sort(mut self, field: impl Into<Field>, direction: Direction) -> Self {
        self.sort.push((field.into(), direction));
        self
    }

    /// Sets the page, from 1.
    #[must_use]
    pub fn page(mut self, page: u32) -> Self {
        self.page = page;
        self
    }

    /// Sets the number of objects on a page. Default: 20. With 0 the search only counts. A
    /// [stream](crate::repository::Repository::stream) reads pages of at most this size, a thousand by default.
    #[must_use]
    pub fn per_page(mut self, per_page: u32) -> Self {
        self.per_page = Some(per_page);
        self
    }

    /// Returns the namespaces to search. The list is empty if the search is everywhere.
    pub(in crate::repository) fn seen_from(&self) -> &[Namespace] {
        match &self.seen_from {
            SeenFrom::OneOf(namespaces) => namespaces,
            SeenFrom::Unsaid => DEFAULT_ONLY,
            SeenFrom::Everywhere => &[],
        }
    }

    /// Searches the namespace `default` if the request names none.
    pub(crate) fn or_in_namespace(mut self, default: &Namespace) -> Self {
        if self.seen_from == SeenFrom::Unsaid {
            self.seen_from = SeenFrom::OneOf(vec![default.clone()]);
        }
        self
    }

    /// Returns the number of objects before the page.
    pub(super) fn from(&self) -> Result<u32> {
        let Some(pages_before) = self.page.checked_sub(1) else {
            return Err(Error::invalid("there is no page 0", "count pages from 1"));
        };
        let per_page = self.per_page.unwrap_or(PER_PAGE);
        let from = pages_before.checked_mul(per_page);
        match from.filter(|from| from.checked_add(per_page).is_some_and(|end| end <= MAX_RESULT_WINDOW)) {
            Some(from) => Ok(from),
            None => Err(Error::invalid(
                format!("page {} of {per_page} objects reaches beyond the first {MAX_RESULT_WINDOW}", self.page),
                "read everything with `stream`, ask for smaller pages, or narrow the filter",
            )),
        }
    }

    /// Returns the number of objects on a page.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the server does not return so many at once.
    pub(in crate::repository) fn size(&self) -> Result<u32> {
        match self.per_page.unwrap_or(PER_PAGE) {
            size if size <= MAX_RESULT_WINDOW => Ok(size),
            size => Err(Error::invalid(
                format!("a page of {size} objects is larger than {MAX_RESULT_WINDOW}"),
                "read everything with `stream`, or ask for smaller pages",
            )),
        }
    }

    /// Returns the largest number of documents of a stream's page.
    pub(in crate::repository) fn page_of_stream(&self, default: u32) -> u32 {
        self.per_page.unwrap_or(default).clamp(1, MAX_RESULT_WINDOW)
    }

    /// Returns the search for everything that the request finds, without its page.
    pub(in crate::repository) fn to_search(&self, within: SearchIn, definitions: &[&TypeDefinition]) -> Result<Search> {
        fields::check(self.fields.as_deref().unwrap_or_default(), definitions)?;
        Ok(Search {
            sort: self.sorts(definitions)?,
            aggregations: aggregation::compile_all(&self.aggregations, definitions, 0)?,
            ..Search::new(within, self.query(definitions)?)
        })
    }

    pub(in crate::repository) fn query(&self, definitions: &[&TypeDefinition]) -> Result<Query> {
        let mut filters = self.filters.clone();
        for kql in &self.kql {
            filters.push(kql.to_filter(definitions)?);
        }
        let of_type = |definition: &&TypeDefinition| {
            let mut parts = vec![Query::equals("type", definition.name())];
            parts.extend(match &self.seen_from {
                SeenFrom::Everywhere => None,
                // An empty list excludes also the objects that every namespace sees.
                SeenFrom::OneOf(namespaces) if namespaces.is_empty() => Some(Query::Or(Vec::new())),
                _ => seen_from(definition.namespace_kind(), self.seen_from()),
            });
            for filter in &filters {
                parts.push(filter.compile(definition)?);
            }
            if let Some(search) = &self.search {
                parts.push(search.compile(definition)?);
            }
            Ok(Query::And(parts))
        };
        let mut queries = definitions.iter().map(of_type).collect::<Result<Vec<_>>>()?;
        match queries.len() {
            1 => Ok(queries.remove(0)),
            _ => Ok(Query::Or(queries)),
        }
    }

    /// Returns a query with all values that the search compares with, including those of its aggregations' filters.
    pub(in crate::repository) fn compared(&self, query: Query, definitions: &[&TypeDefinition]) -> Query {
        let mut queries = vec![query];
        self.aggregations.iter().for_each(|(_, aggregation)| aggregation.add_queries(definitions, &mut queries));
        Query::And(queries)
    }

    /// Returns the names of namespaces that objects of `types`, which are among the definitions, are compared with.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) if the request would reveal names that it does not contain,
    /// [`Invalid`](crate::ErrorKind::Invalid) if a filter given as text does not fit the types.
    pub(in crate::repository) fn compared_names(
        &self,
        types: &[&str],
        definitions: &[&TypeDefinition],
    ) -> Result<ComparedNames> {
        let mut names = ComparedNames::new();
        for kql in &self.kql {
            kql.to_filter(definitions)?.add_compared_names(types, &mut names)?;
        }
        for filter in &self.filters {
            filter.add_compared_names(types, &mut names)?;
        }
        for (_, aggregation) in &self.aggregations {
            aggregation.add_compared_names(types, &mut names)?;
        }
        match self.sort.iter().any(|(field, _)| field.is_namespaces()) {
            true => Err(compared_names::telling("objects must not be sorted by")),
            false => Ok(names),
        }
    }

    fn sorts(&self, definitions: &[&TypeDefinition]) -> Result<Vec<Sort>> {
        let sort = |(field, direction): &(Field, Direction)| match (field, definitions) {
            (Field::Attribute(path), [_, _, ..]) => Err(Error::invalid(
                format!("objects of several types cannot be sorted by the attribute {path:?}"),
                "sort by a root field, or ask for one type",
            )),
            (field, [definition, ..]) => Ok(Sort { field: field.path(definition, Use::Sort)?, direction: *direction }),
            (_, []) => Err(no_types()),
        };
        if self.sort.is_empty() && self.search.is_some() {
            // The best matches come first.
            return Ok(vec![Sort { field: SCORE.to_owned(), direction: Direction::Descending }]);
        }
        self.sort.iter().map(sort).collect()
    }
}

impl TextSearch {
    fn compile(&self, definition: &TypeDefinition) -> Result<Query> {
        let paths = match &self.fields {
            None => searchable::words_of(definition),
            Some(fields) => fields.clone(),
        };
        let full = |path: &String| {
            searchable::check(definition, path, None, Use::Match)?;
            Ok(format!("{}.{path}", definition.name()))
        };
        let fields = paths.iter().map(full).collect::<Result<Vec<_>>>()?;
        match fields.is_empty() {
            // The server takes an empty list for all fields.
            true => Ok(Query::Or(Vec::new())),
            false => Ok(Query::Text { fields, text: self.text.clone(), all_words: self.all_words }),
        }
    }
}

/// Returns the condition on documents of a type that at least one of the namespaces sees; `None` means all documents.
pub(in crate::repository) fn seen_from(kind: NamespaceKind, namespaces: &[Namespace]) -> Option<Query> {
    let mut names: Vec<&str> = namespaces.iter().map(Namespace::as_str).collect();
    match kind {
        NamespaceKind::Agnostic => None,
        NamespaceKind::Single => {
            let has_default = namespaces.contains(&Namespace::DEFAULT);
            names.retain(|name| *name != Namespace::DEFAULT.as_str());
            let named = any_of("namespace", &names);
            let in_default = Query::Not(Box::new(Query::Exists { field: "namespace".to_owned() }));
            Some(match (has_default, names.is_empty()) {
                (true, true) => in_default,
                (true, false) => Query::Or(vec![in_default, named]),
                (false, _) => named,
            })
        }
        NamespaceKind::Multiple | NamespaceKind::MultipleIsolated => {
            names.push("*");
            Some(any_of("namespaces", &names))
        }
    }
}

fn any_of(field: &str, values: &[&str]) -> Query {
    Query::AnyOf { field: field.to_owned(), values: values.iter().map(|value| (*value).into()).collect() }
}

pub(super) fn no_types() -> Error {
    Error::invalid("no type is named to be found", "name at least one")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pages_reach_the_first_ten_thousand() {
        let table = [
            (1, 20, Some(0)),
            (3, 20, Some(40)),
            (1, 10_000, Some(0)),
            (500, 20, Some(9_980)),
            (501, 20, None),
            (2, 10_000, None),
            (1, 10_001, None),
            (u32::MAX, u32::MAX, None),
            (7, 0, Some(0)),
            (0, 20, None),
        ];
        for (page, per_page, expected) in table {
            let from = Find::new().page(page).per_page(per_page).from();
            assert_eq!(from.as_ref().ok(), expected.as_ref(), "{page} {per_page}");
            assert!(from.is_ok() || from.is_err_and(|error| error.hint().is_some()));
        }
    }

    #[test]
    fn namespaces_by_kind() {
        let namespaces =
            |names: &[&str]| -> Vec<_> { names.iter().map(|name| Namespace::new(name).expect("a name")).collect() };
        let absent = json!({"bool": {"must_not": [{"exists": {"field": "namespace"}}]}});
        let named = json!({"terms": {"namespace": ["ops"]}});
        let table = [
            (NamespaceKind::Single, &["default"][..], absent.clone()),
            (NamespaceKind::Single, &["ops"], named.clone()),
            (
                NamespaceKind::Single,
                &["ops", "default"],
                json!({"bool": {"should": [absent, named], "minimum_should_match": 1}}),
            ),
            (NamespaceKind::Multiple, &["default"], json!({"terms": {"namespaces": ["default", "*"]}})),
            (NamespaceKind::MultipleIsolated, &["ops"], json!({"terms": {"namespaces": ["ops", "*"]}})),
        ];
        for (kind, names, expected) in table {
            assert_eq!(seen_from(kind, &namespaces(names)).map(|query| query.to_json()), Some(expected));
        }
        assert_eq!(seen_from(NamespaceKind::Agnostic, &namespaces(&["ops"])), None);
    }
}
