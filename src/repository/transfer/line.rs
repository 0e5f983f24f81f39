//! One line of a file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::summary::NamedObject;
use crate::document::{Attributes, MAX_DEPTH, Reference, depth};
use crate::encryption::{Secret, Secrets};
use crate::{Error, ErrorKind, Result};

/// An object in a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    #[serde(flatten)]
    pub(super) object: NamedObject,
    /// Where it is seen; `default` is written out. Not for agnostic types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) namespaces: Vec<String>,
    pub(super) attributes: Attributes,
    /// Encrypted attributes as they are stored.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub(super) envelopes: Attributes,
    /// Encrypted attributes in the clear.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) secrets: BTreeMap<String, Clear>,
    #[serde(default)]
    pub(super) references: Vec<Reference>,
    #[serde(default)]
    pub(super) managed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) type_migration_version: Option<String>,
    #[serde(rename = "created_at", default, skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<String>,
    #[serde(rename = "created_by", default, skip_serializing_if = "Option::is_none")]
    pub(super) created_by: Option<String>,
    #[serde(rename = "updated_at", default, skip_serializing_if = "Option::is_none")]
    pub(super) updated_at: Option<String>,
    #[serde(rename = "updated_by", default, skip_serializing_if = "Option::is_none")]
    pub(super) updated_by: Option<String>,
}

/// A secret on its way into or out of a file, in the clear because its owner said so.
#[derive(Debug)]
pub(super) struct Clear(pub(super) Secret);

impl Serialize for Clear {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &serde_json::value::RawValue = serde_json::from_str(self.0.expose_json())
            .map_err(|_| serde::ser::Error::custom("a secret is not JSON"))?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Clear {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Secret::json(&value).map(Self).map_err(|_| serde::de::Error::custom("null is not a secret"))
    }
}

impl Line {
    /// The object of a line; none for the line that sums up an export.
    pub(super) fn parse(line: &[u8]) -> Result<Option<Self>> {
        // serde's messages can quote values, and a value may be a secret: only the place is passed on.
        let malformed = |error: serde_json::Error| {
            if std::str::from_utf8(line).is_ok_and(depth::is_unreadable) {
                return Error::invalid(
                    format!("the line is nested too deep: the value of an attribute may have {MAX_DEPTH} levels"),
                    depth::FLATTEN,
                );
            }
            Error::invalid(
                format!("the line is not an object of an export, at column {}", error.column()),
                "each line is a JSON object with `type`, `id` and `attributes`",
            )
        };
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Summary {
            exported_count: Option<u64>,
        }
        match serde_json::from_slice(line) {
            Ok(object) => Ok(Some(object)),
            Err(error) => match serde_json::from_slice::<Summary>(line) {
                Ok(Summary { exported_count: Some(_) }) => Ok(None),
                _ => Err(malformed(error)),
            },
        }
    }

    pub(super) fn take_secrets(&mut self) -> Secrets {
        std::mem::take(&mut self.secrets).into_iter().map(|(name, Clear(secret))| (name, secret)).collect()
    }

    /// The line's bytes, with the line break.
    pub(super) fn to_bytes(&self) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(2048));
        serde_json::to_writer(&mut *bytes, self)
            .map_err(|_| Error::new(ErrorKind::Internal, "an object cannot be written as JSON"))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}
