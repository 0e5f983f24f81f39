//! An object as reads and writes return it.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::content::Identity;
use crate::document::numbers::Numbers;
use crate::document::{Attributes, Namespace, NamespaceKind, RawId, Reference, RootFields, VersionToken};
use crate::encryption::AttributeError;
use crate::repository::ObjectKey;

/// A stored object as a read or a write returns it. `A` is the form of its attributes: JSON here, a struct of the
/// platform in [`Objects`](crate::Objects).
///
/// Encrypted attributes are not among the attributes, unless their definition says `exposed`: see
/// [`Repository::get_with_secrets`](crate::repository::Repository::get_with_secrets).
///
/// `Serialize` writes the keys of an export's lines, and `version`, `modelVersion` and `unopened`. What is empty is
/// left out. Secrets are not part of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedObject<A = Attributes> {
    /// The type's name.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The object's id, without type and namespace.
    pub id: String,
    /// Where the object is seen: `default` is written out, `*` is everywhere. Empty for agnostic types. Without the
    /// namespaces in which the caller may do nothing with objects of the type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// The version of this state, for writes that must not overwrite a later one.
    pub version: VersionToken,
    /// The model version at which the document is stored. The attributes are at the newest one that this software
    /// knows.
    pub model_version: u32,
    /// The attributes.
    pub attributes: A,
    /// The exposed attributes that cannot be decrypted. They are not among the attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unopened: Vec<AttributeError>,
    /// References to other objects.
    pub references: Vec<Reference>,
    /// Whether the platform manages the object and people should not edit it.
    pub managed: bool,
    /// The id that the object had before an import gave it another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_id: Option<String>,
    /// When it was created: ISO 8601, UTC.
    #[serde(rename = "created_at", skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// The profile id of the user who created it.
    #[serde(rename = "created_by", skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When it was last changed by a caller: ISO 8601, UTC. Migrations leave it alone.
    #[serde(rename = "updated_at", skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// The profile id of the user who changed it last, if that is known.
    #[serde(rename = "updated_by", skip_serializing_if = "Option::is_none")]
    pub updated_by: Option<String>,
    #[serde(skip)]
    kept: Kept,
}

/// What callers do not see of an object, kept so that the object can be replaced without being read again.
#[derive(Debug, Clone, PartialEq)]
struct Kept {
    kind: NamespaceKind,
    core_migration_version: Option<String>,
    others: Map<String, Value>,
    numbers: Numbers,
    other_numbers: Numbers,
    identity: Identity,
    /// All namespaces, if the caller is not shown some.
    namespaces: Hidden,
}

/// Names that `Debug` does not print.
#[derive(Clone, Default, PartialEq)]
struct Hidden(Option<Vec<String>>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

/// What is known of a document in addition to its content.
pub(in crate::repository) struct Header {
    pub(in crate::repository) type_name: String,
    pub(in crate::repository) id: String,
    pub(in crate::repository) kind: NamespaceKind,
    pub(in crate::repository) version: VersionToken,
    pub(in crate::repository) model_version: u32,
    /// The stored values of the identity attributes.
    pub(in crate::repository) identity: Identity,
}

impl SavedObject {
    pub(in crate::repository) fn new(
        header: Header,
        root: RootFields,
        attributes: Attributes,
        unopened: Vec<AttributeError>,
    ) -> Self {
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
                numbers: root.numbers,
                other_numbers: root.other_numbers,
                identity: header.identity,
                namespaces: Hidden::default(),
            },
        }
    }

    /// Shows only these of its namespaces. A write of the object keeps all of them.
    pub(in crate::repository) fn show_namespaces(&mut self, shown: Vec<String>) {
        if shown.len() < self.namespaces.len() {
            let all = std::mem::replace(&mut self.namespaces, shown);
            self.kept.namespaces.0.get_or_insert(all);
        }
    }
}

impl<A> SavedObject<A> {
    /// Returns the object's key, in the first namespace from which the object is seen. A caller that works in another
    /// namespace, and is allowed there, names it: `object.key().in_namespace(…)`.
    pub fn key(&self) -> ObjectKey {
        let namespace = self.namespaces.first().and_then(|name| Namespace::new(name).ok()).unwrap_or_default();
        ObjectKey::new(&self.type_name, &self.id).in_namespace(namespace)
    }

    /// Returns the `_id` of the object's document.
    pub(crate) fn raw_id(&self) -> String {
        RawId::of_stored(&self.type_name, self.kept.kind, &self.key().namespace, &self.id)
    }

    /// Returns the object with its attributes converted.
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

    /// Returns the stored values of the identity attributes.
    pub(in crate::repository) fn identity(&self) -> &Identity {
        &self.kept.identity
    }

    /// Returns the root fields of the object's document, without the model version.
    pub(in crate::repository) fn root(&self) -> RootFields {
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
            numbers: self.kept.numbers.clone(),
            other_numbers: self.kept.other_numbers.clone(),
        }
    }
}
