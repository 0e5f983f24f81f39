use super::filter::{Field, Filter};
use super::read::Fetched;
use super::searchable::Use;
use super::{Repository, SavedObject, errors};
use crate::cluster::{ClusterError, ClusterErrorKind, Direction, Hit, Query, Search, SearchIn, Sort};
use crate::document::{Attributes, Namespace, NamespaceKind, StoredDocument};
use crate::layout::IndexNames;
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result};

/// How far into its result a search can go by page: the server keeps all before it in memory.
const MAX_RESULT_WINDOW: u32 = 10_000;

/// Which objects are wanted, in which order, and which page of them.
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
    namespaces: Vec<Namespace>,
    filter: Option<Filter>,
    sort: Vec<(Field, Direction)>,
    page: u32,
    per_page: u32,
}

/// One page of objects.
#[derive(Debug)]
pub struct Found<A = Attributes> {
    /// The objects of this page.
    pub objects: Vec<SavedObject<A>>,
    /// How many there are on all pages, unreadable ones included.
    pub total: u64,
    /// What belongs to this page and cannot be read.
    pub unreadable: Vec<Unreadable>,
}

/// A document that was found and is not a readable object.
#[derive(Debug)]
pub struct Unreadable {
    /// The document's `_id`.
    pub raw_id: String,
    /// Why it cannot be read.
    pub error: Error,
}

impl Default for Find {
    fn default() -> Self {
        Self { namespaces: Vec::new(), filter: None, sort: Vec::new(), page: 1, per_page: 20 }
    }
}

impl Find {
    /// All objects seen from the default namespace, in no particular order: the first page, of 20.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only those seen from one of these namespaces. Without a call of this, the default one is meant.
    #[must_use]
    pub fn namespaces(mut self, namespaces: impl IntoIterator<Item = Namespace>) -> Self {
        self.namespaces.extend(namespaces);
        self
    }

    /// Only those that the filter fits.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Sorts by this field, and by those of later calls where objects have the same value. Objects without the field come
    /// last. An attribute can be sorted by only if one type is asked for.
    #[must_use]
    pub fn sort(mut self, field: impl Into<Field>, direction: Direction) -> Self {
        self.sort.push((field.into(), direction));
        self
    }

    /// The page, from 1.
    #[must_use]
    pub fn page(mut self, page: u32) -> Self {
        self.page = page;
        self
    }

    /// How many objects make a page; 0 only counts.
    #[must_use]
    pub fn per_page(mut self, per_page: u32) -> Self {
        self.per_page = per_page;
        self
    }

    /// The namespaces given, or else `default`.
    pub(crate) fn or_in_namespace(mut self, default: &Namespace) -> Self {
        if self.namespaces.is_empty() {
            self.namespaces.push(default.clone());
        }
        self
    }

    /// How many objects are passed over.
    fn from(&self) -> Result<u32> {
        let Some(pages_before) = self.page.checked_sub(1) else {
            return Err(Error::invalid("there is no page 0", "count pages from 1"));
        };
        let from = pages_before.checked_mul(self.per_page);
        match from.filter(|from| from.checked_add(self.per_page).is_some_and(|end| end <= MAX_RESULT_WINDOW)) {
            Some(from) => Ok(from),
            None => Err(Error::invalid(
                format!("page {} of {} objects reaches beyond the first {MAX_RESULT_WINDOW}", self.page, self.per_page),
                "ask for smaller pages, or narrow the filter: by a range of the field sorted by, say",
            )),
        }
    }

    fn query(&self, definitions: &[&TypeDefinition]) -> Result<Query> {
        let of_type = |definition: &&TypeDefinition| {
            let mut parts = vec![Query::equals("type", definition.name())];
            parts.extend(seen_from(definition.namespace_kind(), &self.namespaces));
            if let Some(filter) = &self.filter {
                parts.push(filter.compile(definition)?);
            }
            Ok(Query::And(parts))
        };
        let mut queries = definitions.iter().map(of_type).collect::<Result<Vec<_>>>()?;
        match queries.len() {
            1 => Ok(queries.remove(0)),
            _ => Ok(Query::Or(queries)),
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
        self.sort.iter().map(sort).collect()
    }
}

impl Repository {
    /// One page of the objects of these types. A search: it sees a write after the index's next refresh, within a second
    /// usually, or at once if the write waited for it ([`Refresh::WaitFor`](crate::cluster::Refresh::WaitFor)).
    ///
    /// A document that cannot be read does not fail the page: it is in [`Found::unreadable`].
    ///
    /// ```no_run
    /// # use saved_objects::repository::{Filter, Find, Repository};
    /// # async fn example(repository: &Repository) -> saved_objects::Result<()> {
    /// let found = repository.find(&["note"], Find::new().filter(Filter::equals("state", "open"))).await?;
    /// println!("{} of {}", found.objects.len(), found.total);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Invalid`](crate::ErrorKind::Invalid) if a type is not available here, if the filter or the sort is on what cannot
    ///   be searched, if a value does not fit its field, or if the page reaches beyond the first 10,000 objects.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if an index does not exist.
    /// - [`Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn find(&self, types: &[&str], request: Find) -> Result<Found> {
        let definitions = types.iter().map(|name| self.definition(name)).collect::<Result<Vec<_>>>()?;
        if definitions.is_empty() {
            return Err(no_types());
        }
        let request = request.or_in_namespace(&Namespace::DEFAULT);
        let mut groups: Vec<IndexNames> = Vec::new();
        for definition in &definitions {
            let names = self.names(definition);
            if !groups.contains(&names) {
                groups.push(names);
            }
        }
        let aliases: Vec<&str> = groups.iter().map(IndexNames::alias).collect();
        let search = Search {
            sort: request.sorts(&definitions)?,
            size: request.per_page,
            from: request.from()?,
            count_total: true,
            ..Search::new(SearchIn::Index(aliases.join(",")), request.query(&definitions)?)
        };
        let page = self.shared.cluster.search(&search).await.map_err(|error| refused(&aliases, error))?;
        let mut found = Found { objects: Vec::new(), total: page.total.unwrap_or_default(), unreadable: Vec::new() };
        for hit in &page.hits {
            match self.read_hit(&definitions, hit) {
                Ok(object) => found.objects.push(object),
                Err(error) => found.unreadable.push(Unreadable { raw_id: hit.id.clone(), error }),
            }
        }
        Ok(found)
    }

    fn read_hit(&self, definitions: &[&TypeDefinition], hit: &Hit) -> Result<SavedObject> {
        let corrupt = |corruption| errors::corrupt(&hit.id, corruption);
        let document = StoredDocument::from_source(hit.source.get().as_bytes()).map_err(corrupt)?;
        let definition = definitions
            .iter()
            .find(|definition| definition.name() == document.type_name)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a document of a type that was not asked for was found"))?;
        let id = document.object_id(&hit.id, definition.namespace_kind()).map_err(corrupt)?.to_owned();
        let version = self.version_of(&self.names(definition), hit)?;
        let loaded = self.load(definition, &id, Fetched { document, version });
        self.view(definition, &id, loaded?)
    }
}

/// What documents of a type seen from one of the namespaces have in common.
fn seen_from(kind: NamespaceKind, namespaces: &[Namespace]) -> Option<Query> {
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

fn no_types() -> Error {
    Error::invalid("no type is named to be found", "name at least one")
}

fn refused(aliases: &[&str], error: ClusterError) -> Error {
    match error.kind {
        ClusterErrorKind::IndexNotFound => errors::no_indices(aliases).with_source(error),
        // The query's form is this library's; what the server can object to is a value.
        ClusterErrorKind::Rejected => {
            Error::invalid("the server refuses the search", "give values that fit the fields' types in the mapping")
                .with_source(error)
        }
        _ => error.into(),
    }
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
            assert!(from.is_ok() || from.is_err_and(|error| error.cure().is_some()));
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
