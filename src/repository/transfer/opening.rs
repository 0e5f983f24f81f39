//! Who may import encrypted attributes. An import opens them where they were sealed and seals them where they are imported to, so
//! it needs the permission to read them there: an export of encrypted attributes needs none.

use std::collections::BTreeSet;

use super::line::Line;
use super::summary::NamedObject;
use crate::document::{Namespace, NamespaceKind};
use crate::registry::TypeDefinition;
use crate::repository::access::Admitted;
use crate::repository::change_namespaces::EVERYWHERE;
use crate::repository::{Action, ObjectKey, Repository};
use crate::{ErrorKind, Result};

/// Where envelopes of a file open: the namespace, for types whose objects live in exactly one, and the object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SealedAt {
    namespace: Option<String>,
    object: NamedObject,
}

/// The places whose envelopes may be opened.
pub(super) type Opened = BTreeSet<SealedAt>;

impl SealedAt {
    /// Returns where the envelopes of a line open; `None` if it has none.
    pub(super) fn of(definition: &TypeDefinition, line: &Line) -> Option<Self> {
        // What was encrypted at any version may be opened to bring it to the newest one.
        let is_encrypted = |name: &str| definition.versions().iter().any(|version| version.sets.encrypts(name));
        let mut sealed =
            line.attributes.iter().filter(|(name, _)| is_encrypted(name)).chain(line.envelopes.iter().flatten());
        sealed.find(|(_, value)| !value.is_null())?;
        Some(Self { namespace: namespace_of(definition, line), object: line.object.clone() })
    }
}

/// Returns the namespace of a line's object, if its type has exactly one and it is not the default one.
pub(super) fn namespace_of(definition: &TypeDefinition, line: &Line) -> Option<String> {
    let first = line.names().first().filter(|name| *name != Namespace::DEFAULT.as_str());
    first.filter(|_| definition.namespace_kind() == NamespaceKind::Single).cloned()
}

impl Repository {
    /// Lets the envelopes at `sealed` be opened, or refuses it: `GetSecrets` is asked in the namespace that they are bound to. Those
    /// of types with several namespaces are bound to none: it is asked in one of those that the store's object with this id
    /// is seen from, or, if the store has none, in all that the line names.
    pub(super) async fn admit_opening(
        &self,
        definition: &TypeDefinition,
        sealed: &SealedAt,
        key: &ObjectKey,
        line: &Line,
    ) -> Result<Admitted> {
        let namespace = |name: &String| match name == EVERYWHERE {
            true => Ok(key.namespace.clone()),
            false => Namespace::new(name),
        };
        let needed: Vec<Namespace> = match definition.namespace_kind() {
            NamespaceKind::Agnostic => vec![Namespace::DEFAULT],
            NamespaceKind::Single => vec![sealed.namespace.as_ref().map_or(Ok(Namespace::DEFAULT), namespace)?],
            NamespaceKind::Multiple | NamespaceKind::MultipleIsolated => {
                match self.seen_from(definition, line).await? {
                    None if line.names().is_empty() => vec![Namespace::DEFAULT],
                    None => line.names().iter().map(namespace).collect::<Result<_>>()?,
                    Some(names) => {
                        let names: Vec<Namespace> = names.iter().filter_map(|name| namespace(name).ok()).collect();
                        vec![self.readable_from(definition, names).await]
                    }
                }
            }
        };
        let mut admitted = self.nothing_admitted();
        for namespace in needed {
            let (type_name, id) = (definition.name(), Some(sealed.object.id.as_str()));
            match self.admit_to(Action::GetSecrets, type_name, id, &namespace).await {
                Ok(more) => admitted = admitted.and(more),
                Err(refused) => return admitted.end(Err(refused)),
            }
        }
        Ok(admitted)
    }

    /// From where the store's object is seen that has the id of a line's; `None` if there is none.
    async fn seen_from(&self, definition: &TypeDefinition, line: &Line) -> Result<Option<Vec<String>>> {
        let key = ObjectKey::new(definition.name(), &line.object.id);
        // Without rules nobody has to know; an id that cannot be one is refused later.
        if !self.has_rules() || key.raw_id(definition).is_err() {
            return Ok(None);
        }
        let found = match self.fetch_any(definition, &key).await {
            // What cannot be read is seen from nowhere.
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(Some(Vec::new())),
            outcome => outcome?,
        };
        let own = found.filter(|found| found.document.type_name == definition.name());
        Ok(own.map(|found| found.document.root.namespaces.unwrap_or_default()))
    }

    /// One of these namespaces from which the caller may read secrets of the type; any if there is none.
    async fn readable_from(&self, definition: &TypeDefinition, names: Vec<Namespace>) -> Namespace {
        for name in &names {
            if self.allows(Action::GetSecrets, definition.name(), name).await {
                return name.clone();
            }
        }
        names.into_iter().next().unwrap_or_default()
    }
}
