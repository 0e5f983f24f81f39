//! The fields of a document's `_source`, and how each of them is read.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Reference;
use super::numbers::Numbers;

/// The attributes of an object, by name.
pub type Attributes = Map<String, Value>;

/// The fields of a stored document other than its attributes. No type may have one of these names.
pub(crate) const ROOT_FIELDS: &[&str] = &[
    "type",
    "namespace",
    "namespaces",
    "originId",
    "references",
    "managed",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
    "typeMigrationVersion",
    "coreMigrationVersion",
    "migrationVersion",
    "accessControl",
    WRITE_NONCE,
];

/// The root field that holds the nonce of the user's write that stored the document.
pub(crate) const WRITE_NONCE: &str = "writeNonce";

/// The fields of a stored document other than `type` and the attributes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RootFields {
    /// The namespace of a single-namespace object. Absent in the default namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The namespaces of a multi-namespace object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Vec<String>>,
    /// The id that the object had at its origin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin_id: Option<String>,
    /// References to other objects.
    #[serde(default)]
    pub references: Vec<Reference>,
    /// Whether the platform manages the object, so that users should not edit it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed: Option<bool>,
    /// The model version of the attributes, in its stored form `10.<n>.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub type_migration_version: Option<String>,
    /// Written by Kibana, whose document form this library uses. Kept unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub core_migration_version: Option<String>,
    /// When the object was created, in ISO 8601.
    #[serde(rename = "created_at", default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// The profile id of the user who created the object.
    #[serde(rename = "created_by", default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When a caller last changed the object, in ISO 8601. A migration does not change it.
    #[serde(rename = "updated_at", default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
    /// The profile id of the user who last changed the object.
    #[serde(rename = "updated_by", default, skip_serializing_if = "Option::is_none")]
    pub updated_by: Option<String>,
    /// A random value that differs in each attempt at a write. When an answer is lost, it shows whose write is stored.
    /// Operations that rewrite a document without changing its meaning keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_nonce: Option<String>,
    /// Fields that this library does not know.
    #[serde(flatten)]
    pub others: Map<String, Value>,
    /// The texts of the attributes' numbers whose digits the values do not hold.
    #[serde(skip)]
    pub(crate) numbers: Numbers,
    /// The same for the fields that this library does not know.
    #[serde(skip)]
    pub(crate) other_numbers: Numbers,
}

/// Reads one root field. Treats null as absent. Hand-written because `#[serde(flatten)]` buffers each document.
pub(super) struct RootField<'r> {
    pub(super) root: &'r mut RootFields,
    pub(super) name: &'r str,
}

impl<'de> DeserializeSeed<'de> for RootField<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        let Self { root, name } = self;
        match name {
            "namespace" => root.namespace = Deserialize::deserialize(value)?,
            "namespaces" => root.namespaces = Deserialize::deserialize(value)?,
            "originId" => root.origin_id = Deserialize::deserialize(value)?,
            "references" => root.references = Option::deserialize(value)?.unwrap_or_default(),
            "managed" => root.managed = Deserialize::deserialize(value)?,
            "typeMigrationVersion" => root.type_migration_version = Deserialize::deserialize(value)?,
            "coreMigrationVersion" => root.core_migration_version = Deserialize::deserialize(value)?,
            "created_at" => root.created_at = Deserialize::deserialize(value)?,
            "created_by" => root.created_by = Deserialize::deserialize(value)?,
            "updated_at" => root.updated_at = Deserialize::deserialize(value)?,
            "updated_by" => root.updated_by = Deserialize::deserialize(value)?,
            WRITE_NONCE => root.write_nonce = Deserialize::deserialize(value)?,
            _ => drop(root.others.insert(name.to_owned(), Deserialize::deserialize(value)?)),
        }
        Ok(())
    }
}

/// Reads only the wanted members of a map.
pub(super) struct Wanted<F>(pub(super) F);

impl<'de, F: Fn(&str) -> bool> DeserializeSeed<'de> for Wanted<F> {
    type Value = Attributes;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Attributes, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: Fn(&str) -> bool> Visitor<'de> for Wanted<F> {
    type Value = Attributes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("attributes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Attributes, A::Error> {
        let mut attributes = Attributes::new();
        while let Some(name) = map.next_key_seed(Text)? {
            if (self.0)(&name) {
                attributes.insert(name.into_owned(), map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(attributes)
    }
}

/// Reads a string. Borrows it if it contains no escapes.
pub(super) struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Returns the write nonce of a document's `_source`, if it has one.
pub(crate) fn write_nonce(source: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Nonce {
        write_nonce: Option<String>,
    }
    serde_json::from_slice::<Nonce>(source).ok()?.write_nonce
}
