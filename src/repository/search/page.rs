//! `find`: one page of a search. Also what every search does first: it is admitted, and its types and aliases are
//! looked up.

use super::find::{Find, SeenFrom, no_types};
use super::found::Found;
use super::refusals;
use crate::Result;
use crate::cluster::{Search, SearchIn};
use crate::document::Namespace;
use crate::registry::TypeDefinition;
use crate::repository::access::Admitted;
use crate::repository::{Action, Repository};

impl Repository {
    /// Returns one page of the objects of these types. A search sees a write after the index's next refresh, usually
    /// within a second, or at once if the write waited for it ([`Refresh::WaitFor`](crate::cluster::Refresh::WaitFor)).
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
    /// - [`Invalid`](crate::ErrorKind::Invalid) if a type is not available here, if the filter or the sort is on a
    ///   field that cannot be searched, if a value does not fit its field, or if the page reaches beyond the first
    ///   10,000 objects.
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if the caller may not search like this. With rules, filters, sorts
    ///   and aggregations on [`RootField::Namespaces`] must not reveal names that the caller may not know.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if an index does not exist.
    /// - [`Unavailable`](crate::ErrorKind::Unavailable).
    ///
    /// [`RootField::Namespaces`]: crate::repository::RootField::Namespaces
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "find"))]
    pub async fn find(&self, types: &[&str], request: Find) -> Result<Found> {
        let definitions = self.definitions(types)?;
        let request = request.or_in_namespace(&Namespace::DEFAULT);
        let admitted = self.admit_all(&[Action::Find], types, &request).await?;
        admitted.end(self.find_admitted(types, &definitions, request).await)
    }

    async fn find_admitted(&self, types: &[&str], definitions: &[&TypeDefinition], request: Find) -> Result<Found> {
        let aliases = self.aliases(definitions);
        let (from, size) = (request.from()?, request.size()?);
        let search = Search {
            size,
            from,
            count_total: true,
            ..request.to_search(SearchIn::Index(aliases.clone()), definitions)?
        };
        let mut reading = self.reading(types, &request);
        let page = reading.search(&search).await.map_err(|error| {
            let compared = request.compared(search.query.clone(), definitions);
            refusals::naming_misfit(refusals::of(&aliases, error), &compared, definitions)
        })?;
        let mut found = reading.end(page).await?;
        self.leave_out_unseen(found.objects.iter_mut().collect()).await;
        Ok(found)
    }

    /// Admits a search if the caller may do `actions` to all of its types in all of its namespaces, and if the search
    /// reveals no names of other namespaces.
    pub(in crate::repository) async fn admit_all(
        &self,
        actions: &[Action],
        types: &[&str],
        request: &Find,
    ) -> Result<Admitted> {
        let mut admitted = self.nothing_admitted();
        for action in actions {
            for type_name in types {
                let everywhere = (request.seen_from == SeenFrom::Everywhere).then_some(None);
                for namespace in everywhere.into_iter().chain(request.seen_from().iter().map(Some)) {
                    let another = match namespace {
                        None => self.admit_everywhere(*action, type_name).await,
                        Some(namespace) => self.admit_to(*action, type_name, None, namespace).await,
                    };
                    match another {
                        Ok(another) => admitted = admitted.and(another),
                        Err(refused) => return admitted.end(Err(refused)),
                    }
                }
            }
            if let Err(refused) = self.check_compared_names(*action, &self.definitions(types)?, request).await {
                return admitted.end(Err(refused));
            }
        }
        Ok(admitted)
    }

    /// Returns the definitions of types that are searched for.
    pub(in crate::repository) fn definitions(&self, types: &[&str]) -> Result<Vec<&TypeDefinition>> {
        match types {
            [] => Err(no_types()),
            types => types.iter().map(|name| self.definition(name)).collect(),
        }
    }

    /// Returns the aliases of the types' groups, as a search names them.
    pub(in crate::repository) fn aliases(&self, definitions: &[&TypeDefinition]) -> String {
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
