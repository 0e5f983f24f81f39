use std::fmt;

use serde_json::{Map, Value};

use super::ObjectKey;
use super::key::Keyed;
use crate::document::{Attributes, Namespace, NamespaceKind, RawId, Reference, RootFields, VersionToken};
use crate::encryption::AttributeError;

/// A stored object as a read or a write gives it. `A` is the form of its attributes: JSON here, a struct of the platform in
/// [`Objects`](crate::Objects).
///
/// Encrypted attributes are not among the attributes, unless their definition says `exposed`: see
/// [`Repository::get_with_secrets`](super::Repository::get_with_secrets).
#[derive(Debug, Clone, PartialEq)]
pub struct SavedObject<A = Attributes> {
    /// The type's name.
    pub type_name: String,
    /// The object's id, without type and namespace.
    pub id: String,
    /// Where the object is seen: `default` is written out, `*` is everywhere. Empty for agnostic types. Without the namespaces in
    /// which the caller may do nothing with objects of the type.
    pub namespaces: Vec<String>,
    /// The version that this is, for writes that must not overwrite a later one.
    pub version: VersionToken,
    /// The model version at which the document is stored. The attributes are at the newest one that this software knows.
    pub model_version: u32,
    /// The attributes.
    pub attributes: A,
    /// The exposed attributes that did not open; they are not among the attributes.
    pub unopened: Vec<AttributeError>,
    /// References to other objects.
    pub references: Vec<Reference>,
    /// Whether the platform manages the object and people should not edit it.
    pub managed: bool,
    /// The id the object had where it came from.
    pub origin_id: Option<String>,
    /// When it was created: ISO 8601, UTC.
    pub created_at: Option<String>,
    /// The profile id of who created it.
    pub created_by: Option<String>,
    /// When it was last changed by a caller: ISO 8601, UTC. Migrations leave it alone.
    pub updated_at: Option<String>,
    /// The profile id of who changed it last, if that is known.
    pub updated_by: Option<String>,
    kept: Kept,
}

/// What an object carries that is not for callers, so that it can be replaced without being read again.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    kind: NamespaceKind,
    core_migration_version: Option<String>,
    others: Map<String, Value>,
    identity: Attributes,
    /// All namespaces, if the caller is not shown some.
    namespaces: Hidden,
}

/// Names that no `Debug` shows.
#[derive(Clone, Default, PartialEq)]
struct Hidden(Option<Vec<String>>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

/// What is known of a document beside its content.
pub(super) struct Header {
    pub(super) type_name: String,
    pub(super) id: String,
    pub(super) kind: NamespaceKind,
    pub(super) version: VersionToken,
    pub(super) model_version: u32,
    /// The stored values of the identity attributes.
    pub(super) identity: Attributes,
}

impl SavedObject {
    pub(super) fn new(header: Header, root: RootFields, attributes: Attributes, unopened: Vec<AttributeError>) -> Self {
        let namespaces = match header.kind {
            NamespaceKind::Agnostic => Vec::new(),
            NamespaceKind::Single => vec![root.namespace.unwrap_or_else(|| Namespace::DEFAULT.to_string())],
            NamespaceKind::Multiple | NamespaceKind::MultipleIsolated => root.namespaces.unwrap_or_default(),
        };
        Self {
            type_name: header.type_name,
            id: header.id,
            namespaces,
            version: header.version,
            model_version: header.model_version,
            attributes,
            unopened,
            references: root.references,
            managed: root.managed.unwrap_or_default(),
            origin_id: root.origin_id,
            created_at: root.created_at,
            created_by: root.created_by,
            updated_at: root.updated_at,
            updated_by: root.updated_by,
            kept: Kept {
                kind: header.kind,
                core_migration_version: root.core_migration_version,
                others: root.others,
                identity: header.identity,
                namespaces: Hidden::default(),
            },
        }
    }

    /// Shows only these of its namespaces. A write of the object keeps all.
    pub(super) fn show_namespaces(&mut self, shown: Vec<String>) {
        if shown.len() < self.namespaces.len() {
            let all = std::mem::replace(&mut self.namespaces, shown);
            self.kept.namespaces.0.get_or_insert(all);
        }
    }
}

impl Keyed for SavedObject {
    fn type_name(&self) -> &str {
        &self.type_name
    }

    fn key(&self) -> ObjectKey {
        self.key()
    }
}

impl<A> SavedObject<A> {
    /// What the object is called, in a namespace in which it is seen: the first, if there are several. Whoever works in another
    /// one, and is allowed there, says so: `object.key().in_namespace(…)`.
    pub fn key(&self) -> ObjectKey {
        let namespace = self.namespaces.first().and_then(|name| Namespace::new(name).ok()).unwrap_or_default();
        ObjectKey::new(&self.type_name, &self.id).in_namespace(namespace)
    }

    /// The `_id` of the object's document.
    pub(crate) fn raw_id(&self) -> String {
        RawId::of_stored(&self.type_name, self.kept.kind, &self.key().namespace, &self.id)
    }

    /// The same object with its attributes in another form.
    ///
    /// # Errors
    /// Those of `convert`.
    pub fn try_map<B, E>(self, convert: impl FnOnce(A) -> Result<B, E>) -> Result<SavedObject<B>, E> {
        Ok(SavedObject {
            type_name: self.type_name,
            id: self.id,
            namespaces: self.namespaces,
            version: self.version,
            model_version: self.model_version,
            attributes: convert(self.attributes)?,
            unopened: self.unopened,
            references: self.references,
            managed: self.managed,
            origin_id: self.origin_id,
            created_at: self.created_at,
            created_by: self.created_by,
            updated_at: self.updated_at,
            updated_by: self.updated_by,
            kept: self.kept,
        })
    }

    /// The stored values of the identity attributes.
    pub(super) fn identity(&self) -> &Attributes {
        &self.kept.identity
    }

    /// The root fields of the object's document, of which the model version is still to be set.
    pub(super) fn root(&self) -> RootFields {
        let kind = self.kept.kind;
        let namespace = match kind {
            NamespaceKind::Single => self.key().namespace.id_form().map(str::to_owned),
            NamespaceKind::Agnostic | NamespaceKind::Multiple | NamespaceKind::MultipleIsolated => None,
        };
        RootFields {
            namespace,
            namespaces: kind.is_multiple().then(|| self.kept.namespaces.0.as_ref().unwrap_or(&self.namespaces).clone()),
            origin_id: self.origin_id.clone(),
            references: self.references.clone(),
            managed: Some(self.managed),
            type_migration_version: None,
            core_migration_version: self.kept.core_migration_version.clone(),
            created_at: self.created_at.clone(),
            created_by: self.created_by.clone(),
            updated_at: self.updated_at.clone(),
            updated_by: self.updated_by.clone(),
            write_nonce: None,
            others: self.kept.others.clone(),
        }
    }
}
