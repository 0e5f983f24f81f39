//! Inspects one document: finds the keys of its secrets, and seals them again under the primary key. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::document::{DocumentHeader, StoredDocument};
use crate::encryption::{DecryptionCause, EncryptionHistory, EncryptionService, KeyId, KeysOf};
use crate::engine::conversion::{descriptor, stored_sets};
use crate::layout::IndexMeta;
use crate::model::VirtualVersion;
use crate::registry::{Registry, TypeDefinition};
use crate::{Error, Result};

/// The beginning of every envelope. A text without it contains no envelope.
const ENVELOPES_BEGIN: &str = "U09FA";

/// What a scan does with documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Counts the keys of their secrets.
    Count,
    /// Seals again the secrets that are not under the primary key.
    Rotate,
}

/// The result for one document.
#[derive(Debug, Default)]
pub(super) struct Inspected {
    pub(super) type_name: Option<String>,
    /// The keys of its secrets, as it is stored.
    pub(super) keys: BTreeSet<KeyId>,
    /// The document to store in its place, if it changes.
    pub(super) source: Option<String>,
    /// The secrets that are under another key and cannot be sealed again.
    pub(super) defects: Vec<Defect>,
}

/// The reason why a document, or one attribute of it, cannot be sealed again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Defect {
    pub(super) attribute: Option<String>,
    pub(super) reason: String,
}

impl From<(String, DecryptionCause)> for Defect {
    fn from((attribute, cause): (String, DecryptionCause)) -> Self {
        Self { attribute: Some(attribute), reason: cause.to_string() }
    }
}

/// Inspects documents of any type.
#[derive(Debug, Clone)]
pub(super) struct Inspector {
    registry: Arc<Registry>,
    encryption: EncryptionService,
}

impl Inspector {
    pub(super) fn new(registry: Arc<Registry>, encryption: EncryptionService) -> Self {
        Self { registry, encryption }
    }

    /// Inspects a document of the index with this `_meta`.
    pub(super) fn inspect(&self, meta: &IndexMeta, raw_id: &str, source: &str, work: Work) -> Inspected {
        let header = match DocumentHeader::from_source(source) {
            Ok(header) => header,
            Err(corruption) => return self.unknown(None, source, &corruption.to_string()),
        };
        let type_name = header.type_name();
        let unknown = |reason: &str| self.unknown(Some(type_name), source, reason);
        let version = match VirtualVersion::of_document(header.version()) {
            Ok(version) => version.number(),
            Err(error) => return unknown(error.message()),
        };
        let Some(definition) = self.registry.get(type_name) else {
            return unknown("nobody registered its type here");
        };
        match stored_sets(definition, meta, version) {
            Ok(history) if history.sets().is_empty() => Inspected::of(type_name),
            Ok(history) => {
                self.inspect_known(definition, &history, raw_id, source, work).unwrap_or_else(|why| unknown(&why))
            }
            Err(error) => unknown(error.message()),
        }
    }

    fn inspect_known(
        &self,
        definition: &TypeDefinition,
        history: &EncryptionHistory,
        raw_id: &str,
        source: &str,
        work: Work,
    ) -> Result<Inspected, String> {
        let mut document =
            StoredDocument::from_source(source.as_bytes()).map_err(|corruption| corruption.to_string())?;
        let mut inspected = Inspected::of(definition.name());
        if work == Work::Count {
            let found = KeysOf::attributes(history.sets(), &document.attributes);
            inspected.keys = found.keys;
            inspected.defects = found.failures.into_iter().map(Defect::from).collect();
            return Ok(inspected);
        }
        let id =
            document.object_id(raw_id, definition.namespace_kind()).map_err(|corruption| corruption.to_string())?;
        let descriptor = descriptor(definition, document.root.namespace.as_deref(), id);
        let resealed = self
            .encryption
            .reseal(&descriptor, history, &mut document.attributes)
            .map_err(|error: Error| error.message().to_owned())?;
        inspected.keys = resealed.keys;
        inspected.defects = resealed.failures.into_iter().map(Defect::from).collect();
        if resealed.changed > 0 {
            inspected.source = Some(String::from_utf8_lossy(&document.to_source()).into_owned());
        }
        Ok(inspected)
    }

    /// Inspects a document whose encrypted attributes are not known here. Every string that has the form of an envelope
    /// counts.
    fn unknown(&self, type_name: Option<&str>, source: &str, reason: &str) -> Inspected {
        let mut inspected = Inspected { type_name: type_name.map(str::to_owned), ..Inspected::default() };
        if !source.contains(ENVELOPES_BEGIN) {
            return inspected;
        }
        inspected.keys = match serde_json::from_str::<Value>(source) {
            Ok(value) => KeysOf::anywhere(&value).keys,
            // It may be nested too deep for the parser. An envelope has no quotation mark, so each text between two
            // quotation marks may be one.
            Err(_) => KeysOf::anywhere(&source.split('"').map(Value::from).collect()).keys,
        };
        let primary = self.encryption.key_ring().map(|ring| ring.primary_key_id());
        if inspected.keys.iter().any(|key| Some(*key) != primary) {
            inspected.defects.push(Defect { attribute: None, reason: reason.to_owned() });
        }
        inspected
    }
}

impl Inspected {
    fn of(type_name: &str) -> Self {
        Self { type_name: Some(type_name.to_owned()), ..Self::default() }
    }
}
