use std::sync::Arc;

use super::access::Admitted;
use super::read::{self, Fetched};
use super::rewrite::Decision;
use super::sweep::{Swept, Task};
use super::{Action, ObjectKey, Repository, find};
use crate::Result;
use crate::cluster::Query;
use crate::document::{Namespace, Reference};
use crate::registry::TypeDefinition;

impl Repository {
    /// Takes all references to an object out of the objects that are seen from its namespace: those of every registered type, hidden
    /// ones included. The object itself need not exist. When objects were last updated stays as it is, and so do the bytes of their
    /// secrets.
    ///
    /// References that were written before the call are found; those that somebody writes while it runs may stay. It can be
    /// repeated at any time. Objects that are seen from other namespaces too lose the reference for these as well.
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
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if objects of one of the types must not be changed in the namespace: nothing
    ///   is then.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if an index does not exist, [`Unavailable`](crate::ErrorKind::Unavailable): the
    ///   message says what was done before.
    pub async fn remove_references_to(&self, key: &ObjectKey) -> Result<Swept> {
        let types: Vec<&TypeDefinition> = self.shared.registry.types().map(AsRef::as_ref).collect();
        let admitted = self.admit_types(Action::Update, &types, &key.namespace).await?;
        admitted.end(self.reaching_all().sweep(&types, &ReferencesTo(key)).await)
    }

    /// A repository that reaches hidden types too.
    pub(super) fn reaching_all(&self) -> Self {
        let all = self.shared.registry.types().map(|definition| definition.name().to_owned()).collect();
        Self { included: Arc::new(all), ..self.clone() }
    }

    /// Lets an operation on all of these types pass, or refuses it.
    pub(super) async fn admit_types(
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

struct ReferencesTo<'a>(&'a ObjectKey);

impl ReferencesTo<'_> {
    fn is_one(&self, reference: &Reference) -> bool {
        reference.type_name == self.0.type_name && reference.id == self.0.id
    }
}

impl Task for ReferencesTo<'_> {
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
