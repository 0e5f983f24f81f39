//! Deleting the objects of a namespace.

use crate::cluster::{Gone, Query};
use crate::document::{DocumentHeader, Namespace, NamespaceKind, RawId, RootFields};
use crate::registry::TypeDefinition;
use crate::repository::pipeline::read::Fetched;
use crate::repository::pipeline::rewrite::Decision;
use crate::repository::pipeline::sweep::{SweepTask, Swept};
use crate::repository::search::find;
use crate::repository::{Action, Repository};
use crate::{Error, Result};

/// The request of [`Repository::delete_namespace`]. A reference to a [`Namespace`] converts into one; the namespace
/// `default` also needs [`even_default`](Self::even_default).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteNamespace {
    namespace: Namespace,
    even_default: bool,
}

impl DeleteNamespace {
    /// Creates a request to delete the objects of this namespace.
    pub fn new(namespace: Namespace) -> Self {
        Self { namespace, even_default: false }
    }

    /// Allows the request for the default namespace, which has the objects that were stored without a namespace.
    /// Without this, such a request is refused.
    #[must_use]
    pub fn even_default(mut self) -> Self {
        self.even_default = true;
        self
    }
}

impl From<&Namespace> for DeleteNamespace {
    fn from(namespace: &Namespace) -> Self {
        Self::new(namespace.clone())
    }
}

impl Repository {
    /// Removes all objects from a namespace, of every registered type including hidden types. Objects of types with one
    /// namespace are deleted. Shared objects are no longer seen from the namespace, and are deleted if no other
    /// namespace sees them. Objects that all namespaces see, or that have no namespace, stay. A corrupt document is
    /// deleted if only this namespace sees it; if others see it too, the answer names it.
    ///
    /// The call finds everything that was written before it, and later writes too if they come to an end. A namespace
    /// that is written to continuously does not become empty. The call can be repeated at any time.
    ///
    /// ```no_run
    /// # use saved_objects::document::Namespace;
    /// # use saved_objects::repository::Repository;
    /// # async fn example(repository: &Repository) -> saved_objects::Result<()> {
    /// let swept = repository.delete_namespace(&Namespace::new("team-a")?).await?;
    /// println!("{} objects deleted, {} left to other namespaces", swept.deleted, swept.updated);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Invalid`](crate::ErrorKind::Invalid) for the default namespace without
    ///   [`even_default`](DeleteNamespace::even_default).
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if the caller must not do this for one of the types. Then nothing
    ///   is done.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if an index does not exist, and
    ///   [`Unavailable`](crate::ErrorKind::Unavailable). The message says what was done before.
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "delete_namespace"))]
    pub async fn delete_namespace(&self, request: impl Into<DeleteNamespace>) -> Result<Swept> {
        let DeleteNamespace { namespace, even_default } = &request.into();
        if *namespace == Namespace::DEFAULT && !even_default {
            return Err(Error::invalid(
                "the namespace `default` holds what was stored without naming one, and would be emptied",
                "name another namespace; if `default` is meant, say so: `DeleteNamespace::even_default`, on the command line `--yes`",
            ));
        }
        let has_namespaces = |definition: &&TypeDefinition| definition.namespace_kind() != NamespaceKind::Agnostic;
        let types = self.shared.engine.registry.types().map(AsRef::as_ref).filter(has_namespaces);
        let types: Vec<&TypeDefinition> = types.collect();
        let admitted = self.admit_types(Action::DeleteNamespace, &types, namespace).await?;
        admitted.end(self.reaching_all().sweep(&types, &AllOf(namespace)).await)
    }
}

/// Removes all objects from this namespace.
struct AllOf<'a>(&'a Namespace);

impl SweepTask for AllOf<'_> {
    fn query(&self, definition: &TypeDefinition) -> Option<Query> {
        let AllOf(namespace) = self;
        let of_type = Query::equals("type", definition.name());
        let part = match definition.namespace_kind() {
            NamespaceKind::Agnostic => return None,
            NamespaceKind::Single => find::seen_from(NamespaceKind::Single, std::slice::from_ref(*namespace))
                .unwrap_or(Query::Or(Vec::new())),
            // The query leaves out `*`, so objects that all namespaces see stay.
            NamespaceKind::Multiple | NamespaceKind::MultipleIsolated => {
                Query::equals("namespaces", namespace.as_str())
            }
        };
        Some(Query::And(vec![of_type, part]))
    }

    fn decide(&self, definition: &TypeDefinition, fetched: Fetched) -> Result<Decision> {
        let mut document = fetched.document;
        Ok(match rest(&document.root, definition.namespace_kind(), self.0) {
            None => Decision::Keep,
            Some(rest) if rest.is_empty() => Decision::Delete(Gone::Done),
            Some(rest) => {
                document.root.namespaces = Some(rest);
                Decision::Replace(Box::new(document))
            }
        })
    }

    fn deletes_corrupt(&self, definition: &TypeDefinition, raw_id: &str, header: &DocumentHeader<'_>) -> bool {
        let kind = definition.namespace_kind();
        let namespace = header.namespace().map(str::to_owned);
        let root = RootFields { namespaces: header.namespaces(), namespace, ..RootFields::default() };
        let is_its_id = RawId::object_id(raw_id, definition.name(), kind, root.namespace.as_deref()).is_some();
        is_its_id && rest(&root, kind, self.0).is_some_and(|rest| rest.is_empty())
    }
}

/// Returns the namespaces of a document without `namespace`, or `None` if `namespace` is not one of them.
fn rest(root: &RootFields, kind: NamespaceKind, namespace: &Namespace) -> Option<Vec<String>> {
    match kind {
        NamespaceKind::Agnostic => None,
        NamespaceKind::Single => (root.namespace.as_deref() == namespace.id_form()).then(Vec::new),
        NamespaceKind::Multiple | NamespaceKind::MultipleIsolated => {
            let all = root.namespaces.as_deref().unwrap_or_default();
            let rest: Vec<String> = all.iter().filter(|name| *name != namespace.as_str()).cloned().collect();
            (rest.len() < all.len()).then_some(rest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_an_object() {
        let shared = |names: &[&str]| RootFields {
            namespaces: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            ..RootFields::default()
        };
        let single = |name: Option<&str>| RootFields { namespace: name.map(str::to_owned), ..RootFields::default() };
        let table = [
            (single(Some("ops")), NamespaceKind::Single, "ops", Some(&[][..])),
            (single(Some("ops")), NamespaceKind::Single, "default", None),
            (single(None), NamespaceKind::Single, "default", Some(&[])),
            (single(None), NamespaceKind::Single, "ops", None),
            (single(None), NamespaceKind::Agnostic, "default", None),
            (shared(&["ops"]), NamespaceKind::Multiple, "ops", Some(&[])),
            (shared(&["ops", "default"]), NamespaceKind::Multiple, "ops", Some(&["default"])),
            (shared(&["ops", "*"]), NamespaceKind::Multiple, "ops", Some(&["*"])),
            (shared(&["*"]), NamespaceKind::Multiple, "ops", None),
            (shared(&["default"]), NamespaceKind::MultipleIsolated, "ops", None),
            (shared(&["default"]), NamespaceKind::MultipleIsolated, "default", Some(&[])),
        ];
        for (root, kind, name, expected) in table {
            let left = rest(&root, kind, &Namespace::new(name).expect("a name"));
            let expected: Option<Vec<String>> =
                expected.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
            assert_eq!(left, expected, "{kind:?} {name} {root:?}");
        }
    }
}
