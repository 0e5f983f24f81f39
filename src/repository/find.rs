use super::access::Admitted;
use super::aggregation::{self, Aggregation};
use super::compared_names::{self, ComparedNames};
use super::filter::{Field, Filter};
use super::found::Found;
use super::kql::Kql;
use super::searchable::{self, Use};
use super::{Action, Repository, errors};
use crate::cluster::{ClusterError, ClusterErrorKind, Direction, Query, Search, SearchIn, Sort};
use crate::document::{Namespace, NamespaceKind};
use crate::registry::TypeDefinition;
use crate::{Error, Result};

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
    seen_from: SeenFrom,
    filters: Vec<Filter>,
    kql: Vec<Kql>,
    search: Option<TextSearch>,
    pub(super) fields: Option<Vec<String>>,
    sort: Vec<(Field, Direction)>,
    aggregations: Vec<(String, Aggregation)>,
    page: u32,
    per_page: Option<u32>,
}

/// From where the objects are seen that a search finds.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum SeenFrom {
    /// Nothing was said: from the namespace that the client is at home in.
    #[default]
    Unsaid,
    /// From one of these; of none nothing is found.
    OneOf(Vec<Namespace>),
    /// From any.
    Everywhere,
}

/// A text that is looked for, as people type it.
#[derive(Debug, Clone, PartialEq, Default)]
struct TextSearch {
    text: String,
    /// `None` is every one that can be searched.
    fields: Option<Vec<String>>,
    all_words: bool,
}

/// What is searched unless said otherwise.
const DEFAULT_ONLY: &[Namespace] = &[Namespace::DEFAULT];
/// Objects on a page, unless said otherwise.
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
    /// All objects seen from the default namespace, in no particular order: the first page, of 20.
    pub fn new() -> Self {
        Self::default()
    }

    /// Finds only objects seen from one of these namespaces, and nothing at all if the list is empty. Without a call of this, the
    /// default namespace is searched.
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

    /// Finds objects of every namespace, whatever [`namespaces`](Self::namespaces) says, if
    /// [`Authorization::allows_everywhere`](super::Authorization::allows_everywhere) lets the caller do that.
    #[must_use]
    pub fn everywhere(mut self) -> Self {
        self.seen_from = SeenFrom::Everywhere;
        self
    }

    /// Only those that the filter fits. Of several filters, text and structure alike, all must fit.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filters.push(filter);
        self
    }

    /// Only those that a filter given as text fits.
    #[must_use]
    pub fn kql(mut self, filter: Kql) -> Self {
        self.kql.push(filter);
        self
    }

    /// Only those that have a word of this text in one of the [`search_fields`](Self::search_fields). Some characters mean
    /// something: `"a phrase"`, `+must`, `-must_not`, `a | b`, `prefix*`. No text is malformed.
    #[must_use]
    pub fn search(mut self, text: impl Into<String>) -> Self {
        self.search.get_or_insert_default().text = text.into();
        self
    }

    /// Lets [`search`](Self::search) look at these attributes only, at none if the list is empty. Default: every `text` and
    /// `keyword` of the types' mappings.
    #[must_use]
    pub fn search_fields(mut self, attributes: impl IntoIterator<Item: Into<String>>) -> Self {
        let fields = self.search.get_or_insert_default().fields.get_or_insert_default();
        fields.extend(attributes.into_iter().map(Into::into));
        self
    }

    /// Lets [`search`](Self::search) find only what has all of its words.
    #[must_use]
    pub fn all_words(mut self) -> Self {
        self.search.get_or_insert_default().all_words = true;
        self
    }

    /// Gives of each object's attributes only these; none at all if the list is empty.
    #[must_use]
    pub fn fields(mut self, attributes: impl IntoIterator<Item: Into<String>>) -> Self {
        self.fields.get_or_insert_default().extend(attributes.into_iter().map(Into::into));
        self
    }

    /// Computes something over all objects that are found, on whichever page.
    #[must_use]
    pub fn aggregation(mut self, name: impl Into<String>, aggregation: Aggregation) -> Self {
        self.aggregations.push((name.into(), aggregation));
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

    /// How many objects make a page: 20 unless said otherwise; 0 only counts. A [stream](Repository::stream) reads a thousand at
    /// a time unless said otherwise.
    #[must_use]
    pub fn per_page(mut self, per_page: u32) -> Self {
        self.per_page = Some(per_page);
        self
    }

    /// Returns the namespaces given; none if every one is searched.
    pub(super) fn seen_from(&self) -> &[Namespace] {
        match &self.seen_from {
            SeenFrom::OneOf(namespaces) => namespaces,
            SeenFrom::Unsaid => DEFAULT_ONLY,
            SeenFrom::Everywhere => &[],
        }
    }

    /// Searches `default` if nothing was said of namespaces.
    pub(crate) fn or_in_namespace(mut self, default: &Namespace) -> Self {
        if self.seen_from == SeenFrom::Unsaid {
            self.seen_from = SeenFrom::OneOf(vec![default.clone()]);
        }
        self
    }

    /// How many objects are passed over.
    fn from(&self) -> Result<u32> {
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

    /// How many objects are on a page.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if they are more than the server gives at once.
    pub(super) fn size(&self) -> Result<u32> {
        match self.per_page.unwrap_or(PER_PAGE) {
            size if size <= MAX_RESULT_WINDOW => Ok(size),
            size => Err(Error::invalid(
                format!("a page of {size} objects is larger than {MAX_RESULT_WINDOW}"),
                "read everything with `stream`, or ask for smaller pages",
            )),
        }
    }

    /// How many objects a stream reads at once.
    pub(super) fn page_of_stream(&self, default: u32) -> u32 {
        self.per_page.unwrap_or(default).clamp(1, MAX_RESULT_WINDOW)
    }

    /// The search for all that is wanted, from its beginning.
    pub(super) fn to_search(&self, within: SearchIn, definitions: &[&TypeDefinition]) -> Result<Search> {
        Ok(Search {
            sort: self.sorts(definitions)?,
            aggregations: aggregation::compile_all(&self.aggregations, definitions, 0)?,
            ..Search::new(within, self.query(definitions)?)
        })
    }

    pub(super) fn query(&self, definitions: &[&TypeDefinition]) -> Result<Query> {
        let mut filters = self.filters.clone();
        for kql in &self.kql {
            filters.push(kql.to_filter(definitions)?);
        }
        let of_type = |definition: &&TypeDefinition| {
            let mut parts = vec![Query::equals("type", definition.name())];
            parts.extend(match &self.seen_from {
                SeenFrom::Everywhere => None,
                // Not even objects that every namespace sees.
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

    /// Returns the names of namespaces that objects of `types`, which are among the definitions, are compared with.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden) if the request finds out names that it does not give,
    /// [`Invalid`](crate::ErrorKind::Invalid) if a filter given as text is not one.
    pub(super) fn compared_names(&self, types: &[&str], definitions: &[&TypeDefinition]) -> Result<ComparedNames> {
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
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if it must not be searched so: with rules, the names of namespaces that the
    ///   caller may not know cannot be found out by filters, sorts and aggregations on [`RootField::Namespaces`].
    /// - [`NotFound`](crate::ErrorKind::NotFound) if an index does not exist.
    /// - [`Unavailable`](crate::ErrorKind::Unavailable).
    ///
    /// [`RootField::Namespaces`]: super::RootField::Namespaces
    pub async fn find(&self, types: &[&str], request: Find) -> Result<Found> {
        let definitions = self.definitions(types)?;
        let request = request.or_in_namespace(&Namespace::DEFAULT);
        let admitted = self.admit_all(Action::Find, types, &request).await?;
        admitted.end(self.find_admitted(types, &definitions, request).await)
    }

    async fn find_admitted(&self, types: &[&str], definitions: &[&TypeDefinition], request: Find) -> Result<Found> {
        let aliases = self.aliases(definitions);
        let search = Search {
            size: request.per_page.unwrap_or(PER_PAGE),
            from: request.from()?,
            count_total: true,
            ..request.to_search(SearchIn::Index(aliases.clone()), definitions)?
        };
        let mut reading = self.reading(types, &request);
        let page = reading.search(&search).await.map_err(|error| refused(&aliases, error))?;
        let mut found = reading.end(page).await?;
        self.leave_out_unseen(found.objects.iter_mut().collect()).await;
        Ok(found)
    }

    /// Lets a search pass if it may look for all of its types in all of its namespaces, and finds out no names of others.
    pub(super) async fn admit_all(&self, action: Action, types: &[&str], request: &Find) -> Result<Admitted> {
        let mut admitted = self.nothing_admitted();
        for type_name in types {
            let everywhere = (request.seen_from == SeenFrom::Everywhere).then_some(None);
            for namespace in everywhere.into_iter().chain(request.seen_from().iter().map(Some)) {
                let another = match namespace {
                    None => self.admit_everywhere(action, type_name).await,
                    Some(namespace) => self.admit_to(action, type_name, None, namespace).await,
                };
                match another {
                    Ok(another) => admitted = admitted.and(another),
                    Err(refused) => return admitted.end(Err(refused)),
                }
            }
        }
        match self.check_compared_names(action, &self.definitions(types)?, request).await {
            Ok(()) => Ok(admitted),
            Err(refused) => admitted.end(Err(refused)),
        }
    }

    /// The definitions of types that are searched for.
    pub(super) fn definitions(&self, types: &[&str]) -> Result<Vec<&TypeDefinition>> {
        match types {
            [] => Err(no_types()),
            types => types.iter().map(|name| self.definition(name)).collect(),
        }
    }

    /// The aliases of the types' groups, as a search names them.
    pub(super) fn aliases(&self, definitions: &[&TypeDefinition]) -> String {
        let mut aliases: Vec<String> = Vec::new();
        for definition in definitions {
            let names = self.names(definition);
            if !aliases.iter().any(|alias| alias == names.alias()) {
                aliases.push(names.alias().to_owned());
            }
        }
        aliases.join(",")
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
            // No fields would mean all of them.
            true => Ok(Query::Or(Vec::new())),
            false => Ok(Query::Text { fields, text: self.text.clone(), all_words: self.all_words }),
        }
    }
}

/// What documents of a type seen from one of the namespaces have in common.
pub(super) fn seen_from(kind: NamespaceKind, namespaces: &[Namespace]) -> Option<Query> {
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

/// Why a search of these aliases failed.
pub(super) fn refused(aliases: &str, error: ClusterError) -> Error {
    match error.kind {
        ClusterErrorKind::IndexNotFound => errors::no_indices(&[aliases]).with_source(error),
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
