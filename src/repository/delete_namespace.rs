use super::read::Fetched;
use super::rewrite::Decision;
use super::sweep::{Swept, Task};
use super::{Action, Repository, find};
use crate::Result;
use crate::cluster::{Gone, Query};
use crate::document::{DocumentHeader, Namespace, NamespaceKind, RawId, RootFields};
use crate::registry::TypeDefinition;

impl Repository {
    /// Removes all that a namespace has, of every registered type, hidden ones included: objects of types with one namespace are
    /// deleted, others are no longer seen from it, and are deleted if they are seen from nowhere else. What is seen from everywhere
    /// and what has no namespace stays. A corrupt document is deleted if it is seen from this namespace only, and named if others
    /// see it too.
    ///
    /// All that was written before the call is found, and what is written during it as far as that ends; a namespace that is
    /// written to on and on does not become empty. It can be repeated at any time.
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
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if it must not be done for one of the types: nothing is done then.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if an index does not exist, [`Unavailable`](crate::ErrorKind::Unavailable): the
    ///   message says what was done before.
    pub async fn delete_namespace(&self, namespace: &Namespace) -> Result<Swept> {
        let has_namespaces = |definition: &&TypeDefinition| definition.namespace_kind() != NamespaceKind::Agnostic;
        let types = self.shared.registry.types().map(AsRef::as_ref).filter(has_namespaces);
        let types: Vec<&TypeDefinition> = types.collect();
        let admitted = self.admit_types(Action::DeleteNamespace, &types, namespace).await?;
        admitted.end(self.reaching_all().sweep(&types, &AllOf(namespace)).await)
    }
}

struct AllOf<'a>(&'a Namespace);

impl Task for AllOf<'_> {
    fn query(&self, definition: &TypeDefinition) -> Option<Query> {
        let AllOf(namespace) = self;
        let of_type = Query::equals("type", definition.name());
        let part = match definition.namespace_kind() {
            NamespaceKind::Agnostic => return None,
            NamespaceKind::Single => find::seen_from(NamespaceKind::Single, std::slice::from_ref(*namespace))
                .unwrap_or(Query::Or(Vec::new())),
            // Without `*`: what is seen from everywhere stays.
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

/// From where a document is still seen without `namespace`; none if that is not one of its namespaces.
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
