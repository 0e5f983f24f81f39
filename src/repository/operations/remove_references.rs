//! Removing all references to an object.

use std::sync::Arc;

use crate::Result;
use crate::cluster::Query;
use crate::document::{Namespace, Reference};
use crate::registry::TypeDefinition;
use crate::repository::access::Admitted;
use crate::repository::pipeline::limits;
use crate::repository::pipeline::read::{self, Fetched};
use crate::repository::pipeline::rewrite::Decision;
use crate::repository::pipeline::sweep::{SweepTask, Swept};
use crate::repository::search::find;
use crate::repository::{Action, ObjectKey, Repository};

impl Repository {
    /// Removes all references to an object from the objects that are seen from its namespace, of every registered type
    /// including hidden types. The object itself need not exist. The `updated_at` of the changed objects and the bytes
    /// of their secrets stay as they are.
    ///
    /// The call finds all references that were written before it; references that are written while it runs may stay.
    /// It can be repeated at any time. An object that other namespaces see too loses the reference for these as well.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{ObjectKey, Repository};
    /// # async fn example(repository: &Repository, key: &ObjectKey) -> saved_objects::Result<()> {
    /// let swept = repository.remove_references_to(key).await?;
    /// for failure in &swept.failures {
    ///     eprintln!("{} still refers to it: {}", failure.raw_id, failure.error);
    /// }
    /// repository.delete(key).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Invalid`](crate::ErrorKind::Invalid) if the type or the id is empty.
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if the caller must not change objects of one of the types in the
    ///   namespace. Then nothing is changed.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if an index does not exist, and
    ///   [`Unavailable`](crate::ErrorKind::Unavailable). The message says what was done before.
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "remove_references_to"))]
    pub async fn remove_references_to(&self, key: &ObjectKey) -> Result<Swept> {
        limits::check_named(&key.type_name, &key.id)?;
        let types: Vec<&TypeDefinition> = self.shared.engine.registry.types().map(AsRef::as_ref).collect();
        let admitted = self.admit_types(Action::Update, &types, &key.namespace).await?;
        admitted.end(self.reaching_all().sweep(&types, &ReferencesTo(key)).await)
    }

    /// Returns a repository that also reaches hidden types.
    pub(in crate::repository) fn reaching_all(&self) -> Self {
        let all = self.shared.engine.registry.types().map(|definition| definition.name().to_owned()).collect();
        Self { included: Arc::new(all), ..self.clone() }
    }

    /// Admits an operation on all of these types, or refuses it.
    pub(in crate::repository) async fn admit_types(
        &self,
        action: Action,
        types: &[&TypeDefinition],
        namespace: &Namespace,
    ) -> Result<Admitted> {
        let mut admitted = self.nothing_admitted();
        for definition in types {
            match self.admit_to(action, definition.name(), None, namespace).await {
                Ok(another) => admitted = admitted.and(another),
                Err(refused) => return admitted.end(Err(refused)),
            }
        }
        Ok(admitted)
    }
}

/// Removes the references to this object.
struct ReferencesTo<'a>(&'a ObjectKey);

impl ReferencesTo<'_> {
    fn is_one(&self, reference: &Reference) -> bool {
        reference.type_name == self.0.type_name && reference.id == self.0.id
    }
}

impl SweepTask for ReferencesTo<'_> {
    fn query(&self, definition: &TypeDefinition) -> Option<Query> {
        let ReferencesTo(key) = self;
        let reference = Query::And(vec![
            Query::equals("references.type", key.type_name.as_str()),
            Query::equals("references.id", key.id.as_str()),
        ]);
        let mut parts = vec![Query::equals("type", definition.name())];
        parts.extend(find::seen_from(definition.namespace_kind(), std::slice::from_ref(&key.namespace)));
        parts.push(Query::Nested { path: "references".to_owned(), query: Box::new(reference) });
        Some(Query::And(parts))
    }

    fn decide(&self, definition: &TypeDefinition, fetched: Fetched) -> Result<Decision> {
        let mut document = fetched.document;
        let is_seen = read::is_seen_from(&document.root, definition.namespace_kind(), &self.0.namespace);
        let before = document.root.references.len();
        document.root.references.retain(|reference| !self.is_one(reference));
        match is_seen && document.root.references.len() < before {
            true => Ok(Decision::Replace(Box::new(document))),
            false => Ok(Decision::Keep),
        }
    }
}
