//! One line of an export: an object, and how it is written.

use std::collections::BTreeMap;

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::summary::NamedObject;
use crate::document::exact::Numbered;
use crate::document::numbers::{self, Numbers};
use crate::document::{Attributes, Reference};
use crate::encryption::{Secret, Secrets};
use crate::{Error, ErrorKind, Result};

/// An object as a line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    #[serde(flatten)]
    pub(super) object: NamedObject,
    /// The namespaces that see it; `default` is written out. Absent for agnostic types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespaces: Option<Vec<String>>,
    pub(super) attributes: Numbered,
    /// Encrypted attributes as they are stored. An empty map says that the object has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) envelopes: Option<Attributes>,
    /// Encrypted attributes in clear. An empty map says that the object has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secrets: Option<BTreeMap<String, Clear>>,
    pub(super) references: Vec<Reference>,
    #[serde(skip_serializing_if = "Given::is_absent")]
    pub(super) managed: Given<bool>,
    #[serde(skip_serializing_if = "Given::is_absent")]
    pub(super) origin_id: Given<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) type_migration_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) core_migration_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) access_control: Option<Numbered>,
    #[serde(rename = "created_at", skip_serializing_if = "Given::is_absent")]
    pub(super) created_at: Given<String>,
    #[serde(rename = "created_by", skip_serializing_if = "Option::is_none")]
    pub(super) created_by: Option<String>,
    #[serde(rename = "updated_at", skip_serializing_if = "Given::is_absent")]
    pub(super) updated_at: Given<String>,
    #[serde(rename = "updated_by", skip_serializing_if = "Option::is_none")]
    pub(super) updated_by: Option<String>,
}

/// A value of a line that distinguishes absent from null: an absent value is left to the import, a null says that there
/// is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Given<T> {
    #[default]
    Absent,
    Said(Option<T>),
}

impl<T> Given<T> {
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Returns what the line says, or what `otherwise` returns if it says nothing.
    pub(super) fn unwrap_or_else(self, otherwise: impl FnOnce() -> Option<T>) -> Option<T> {
        match self {
            Self::Absent => otherwise(),
            Self::Said(value) => value,
        }
    }
}

/// A secret that is written to or read from a file in clear, because its owner requested it.
#[derive(Debug)]
pub(super) struct Clear(pub(super) Secret);

impl Serialize for Clear {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(self.0.expose_json())
            .map_err(|_| serde::ser::Error::custom("a secret is not JSON"))?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Clear {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let value: Value = serde_json::from_str(raw.get()).map_err(|_| D::Error::custom("a secret cannot be read"))?;
        let wrapped = Zeroizing::new(format!("{{\"\":{}}}", raw.get()));
        let members = Attributes::from_iter([(String::new(), value)]);
        let numbers = Numbers::read(&wrapped, "", &members);
        let value = members.get("").unwrap_or(&Value::Null);
        let secret = Secret::numbered(value, &numbers, &numbers::pointer_to(""));
        secret.map(Self).map_err(|_| D::Error::custom("null is not a secret"))
    }
}

impl Line {
    /// Returns the namespaces that the line names.
    pub(super) fn names(&self) -> &[String] {
        self.namespaces.as_deref().unwrap_or_default()
    }

    /// Takes the secrets that the line has in clear.
    pub(super) fn take_secrets(&mut self) -> Secrets {
        let secrets = self.secrets.take().unwrap_or_default();
        secrets.into_iter().map(|(name, Clear(secret))| (name, secret)).collect()
    }

    /// Returns the line's bytes with the line break.
    pub(super) fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(2048));
        serde_json::to_writer(&mut *bytes, self)
            .map_err(|_| Error::new(ErrorKind::Internal, "an object cannot be written as JSON"))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}
