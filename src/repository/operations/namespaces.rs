//! Lists the namespaces in use.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Result;
use crate::cluster::{Query, Search, SearchIn};
use crate::document::{Namespace, NamespaceKind};
use crate::registry::TypeDefinition;
use crate::repository::access::Admitted;
use crate::repository::search::refusals;
use crate::repository::{Action, Repository};

/// The groups that one search returns.
const PAGE: u32 = 1_000;

/// How many objects of a type a namespace has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamespaceInUse {
    /// The namespace: `default` is written out, `*` stands for objects that every namespace sees.
    pub namespace: String,
    /// The type's name.
    #[serde(rename = "type")]
    pub type_name: String,
    /// How many objects of the type are seen from it. Objects that every namespace sees count for `*` only.
    pub objects: u64,
}

/// One group of documents.
#[derive(Deserialize)]
struct Bucket {
    key: BTreeMap<String, Option<String>>,
    doc_count: u64,
}

#[derive(Deserialize)]
struct Groups {
    #[serde(default)]
    after_key: Option<Map<String, Value>>,
    buckets: Vec<Bucket>,
}

impl Repository {
    /// Lists the namespaces that objects of these types are in, by name and type. Types whose objects have no namespace
    /// are skipped. This is a search: it sees a write after the index's next refresh.
    ///
    /// ```no_run
    /// # use saved_objects::repository::Repository;
    /// # async fn example(repository: &Repository) -> saved_objects::Result<()> {
    /// for in_use in repository.namespaces(&["note"]).await? {
    ///     println!("{}: {} of {}", in_use.namespace, in_use.objects, in_use.type_name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) unless
    ///   [`Authorization::allows_everywhere`](crate::repository::Authorization::allows_everywhere) allows
    ///   [`Action::ListNamespaces`].
    /// - [`Invalid`](crate::ErrorKind::Invalid) if a type is not available here.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if an index does not exist,
    ///   [`Unavailable`](crate::ErrorKind::Unavailable).
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "namespaces"))]
    pub async fn namespaces(&self, types: &[&str]) -> Result<Vec<NamespaceInUse>> {
        let mut definitions = self.definitions(types)?;
        definitions.retain(|definition| definition.namespace_kind() != NamespaceKind::Agnostic);
        let mut admitted = self.nothing_admitted();
        for definition in &definitions {
            match self.admit_everywhere(Action::ListNamespaces, definition.name()).await {
                Ok(another) => admitted = admitted.and(another),
                Err(refused) => return admitted.end(Err(refused)),
            }
        }
        self.list(definitions, admitted).await
    }

    async fn list(&self, definitions: Vec<&TypeDefinition>, admitted: Admitted) -> Result<Vec<NamespaceInUse>> {
        let is_multiple = |definition: &&TypeDefinition| definition.namespace_kind().is_multiple();
        let (multiple, single): (Vec<_>, Vec<_>) = definitions.into_iter().partition(is_multiple);
        let mut all = Vec::new();
        for (definitions, field) in [(single, "namespace"), (multiple, "namespaces")] {
            match self.groups(&definitions, field).await {
                Ok(groups) => all.extend(groups),
                Err(error) => return admitted.end(Err(error)),
            }
        }
        all.sort_by(|one, other| (&one.namespace, &one.type_name).cmp(&(&other.namespace, &other.type_name)));
        admitted.end(Ok(all))
    }

    /// Counts the objects of these types by the value of a field.
    async fn groups(&self, definitions: &[&TypeDefinition], field: &str) -> Result<Vec<NamespaceInUse>> {
        let mut all = Vec::new();
        if definitions.is_empty() {
            return Ok(all);
        }
        let aliases = self.aliases(definitions);
        let values = definitions.iter().map(|definition| definition.name().into()).collect();
        let query = Query::AnyOf { field: "type".to_owned(), values };
        let mut groups = json!({ "size": PAGE, "sources": [
            { "type": { "terms": { "field": "type" } } },
            // A document without the field is in the default namespace.
            { "namespace": { "terms": { "field": field, "missing_bucket": field == "namespace" } } },
        ]});
        loop {
            let aggregation = json!({ "composite": groups });
            let aggregations = Map::from_iter([("groups".to_owned(), aggregation)]);
            let within = SearchIn::Index(aliases.clone());
            let search = Search { size: 0, aggregations, ..Search::new(within, query.clone()) };
            let mut page =
                self.shared.engine.cluster.search(&search).await.map_err(|error| refusals::of(&aliases, error))?;
            let answer = page.aggregations.remove("groups").unwrap_or_default();
            let Groups { after_key, buckets } = serde_json::from_value(answer).map_err(|error| {
                crate::Error::new(crate::ErrorKind::Internal, "the server's answer has no groups of documents")
                    .with_source(error)
            })?;
            for Bucket { mut key, doc_count } in buckets {
                let Some(type_name) = key.remove("type").flatten() else { continue };
                let namespace = key.remove("namespace").flatten();
                let namespace = namespace.unwrap_or_else(|| Namespace::DEFAULT.to_string());
                all.push(NamespaceInUse { namespace, type_name, objects: doc_count });
            }
            match after_key {
                Some(after) => groups["after"] = after.into(),
                None => return Ok(all),
            }
        }
    }
}
