//! Examines one document: reads it, decrypts its secrets, and computes its fingerprint. Pure.

use std::borrow::Cow;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::report::{DigestForm, VerifiedSecret};
use crate::cluster::Hit;
use crate::document::{Attributes, RootFields, StoredDocument, WRITE_NONCE};
use crate::encryption::{AttributeError, EncryptionService, Fingerprint, Fingerprinter, KeyRing, KeysOf, Secrets};
use crate::engine::conversion::{Conversion, VersionStatus, descriptor, stored_sets};
use crate::environment::Environment;
use crate::layout::IndexMeta;
use crate::model::VirtualVersion;
use crate::registry::{Registry, TypeDefinition};
use crate::{Error, Result};

/// Examines documents of any registered type.
#[derive(Debug, Clone)]
pub(super) struct Examiner {
    registry: Arc<Registry>,
    encryption: EncryptionService,
    conversion: Conversion,
    fingerprinter: Fingerprinter,
    digests: DigestForm,
}

/// The result for one document.
#[derive(Debug)]
pub(super) struct Examined {
    /// The document's type, if it has one.
    pub(super) type_name: Option<String>,
    /// The model version of the stored document, as reports name it.
    pub(super) version: String,
    /// The fingerprint of the document, or the reasons why it cannot be read.
    pub(super) outcome: Result<Fingerprint, Vec<Defect>>,
}

/// The reason why a document, or one attribute of it, cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Defect {
    pub(super) attribute: Option<String>,
    pub(super) reason: String,
}

impl From<Error> for Defect {
    fn from(error: Error) -> Self {
        match error.find_source::<AttributeError>() {
            Some(of_attribute) => {
                Self { attribute: Some(of_attribute.attribute.clone()), reason: of_attribute.cause.to_string() }
            }
            None => Self { attribute: None, reason: error.message().to_owned() },
        }
    }
}

/// The fields that are reported even if the document is not well-formed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    #[serde(default)]
    r#type: Value,
    #[serde(default)]
    type_migration_version: Value,
}

impl Examiner {
    pub(super) fn environment(&self) -> &Environment {
        self.encryption.environment()
    }

    pub(super) fn new(registry: Arc<Registry>, encryption: EncryptionService) -> Result<Self> {
        let conversion = Conversion::new(registry.clone(), encryption.clone());
        let fingerprinter = encryption.fingerprinter()?;
        let key = encryption.key_ring().map(|ring| ring.primary_key_id());
        let digests = DigestForm { key, namespaces: true };
        Ok(Self { registry, encryption, conversion, fingerprinter, digests })
    }

    /// Returns the examiner with another key of fingerprints: the primary key of `ring`.
    pub(super) fn fingerprinting_with(self, ring: &KeyRing) -> Result<Self> {
        let digests = DigestForm { key: Some(ring.primary_key_id()), ..self.digests };
        Ok(Self { fingerprinter: ring.fingerprinter()?, digests, ..self })
    }

    /// Returns the examiner with fingerprints that do not cover the namespaces of an object.
    pub(super) fn without_namespaces(self) -> Self {
        Self { digests: DigestForm { namespaces: false, ..self.digests }, ..self }
    }

    /// Returns how fingerprints are computed.
    pub(super) fn digests(&self) -> DigestForm {
        self.digests
    }

    /// Returns whether a type is registered.
    pub(super) fn knows(&self, type_name: &str) -> bool {
        self.registry.get(type_name).is_some()
    }

    /// Examines a document of the index with this `_meta`.
    pub(super) fn examine(&self, meta: &IndexMeta, hit: &Hit) -> Examined {
        let source = hit.source.get().as_bytes();
        let document = match StoredDocument::from_source(source) {
            Ok(document) => document,
            Err(corruption) => {
                let header: Header = serde_json::from_slice(source).unwrap_or_default();
                let type_name = header.r#type.as_str().filter(|name| !name.is_empty()).map(str::to_owned);
                let version = VirtualVersion::label(header.type_migration_version.as_str());
                let foreign = type_name.as_deref().filter(|name| self.registry.get(name).is_none());
                let outcome = match foreign.and_then(|name| Self::read_foreign(name, source)) {
                    Some(document) => self.fingerprint(&hit.id, document, &Secrets::new()),
                    None => Err(vec![Defect { attribute: None, reason: corruption.to_string() }]),
                };
                return Examined { type_name, version, outcome };
            }
        };
        let type_name = document.type_name.clone();
        let version = VirtualVersion::label(document.root.type_migration_version.as_deref());
        let read = match self.registry.get(&type_name) {
            Some(definition) => self.read(definition, meta, &hit.id, document),
            None => Ok((document, Secrets::new())),
        };
        let outcome = read.and_then(|(document, secrets)| self.fingerprint(&hit.id, document, &secrets));
        Examined { type_name: Some(type_name), version, outcome }
    }

    fn fingerprint(
        &self,
        raw_id: &str,
        mut document: StoredDocument,
        secrets: &Secrets,
    ) -> Result<Fingerprint, Vec<Defect>> {
        let mut id = Cow::Borrowed(raw_id);
        // What the fields of an unregistered type mean is not known, so such a document counts as it is.
        let definition = self.registry.get(&document.type_name).filter(|_| !self.digests.namespaces);
        if let Some(definition) = definition {
            if let Ok(object_id) = document.object_id(raw_id, definition.namespace_kind()) {
                id = Cow::Owned(format!("{}:{object_id}", definition.name()));
            }
            (document.root.namespace, document.root.namespaces) = (None, None);
        }
        self.fingerprinter.fingerprint(&id, document, secrets).map_err(|error| vec![error.into()])
    }

    /// Returns the secrets of a document of the index with this `_meta`, and whether each can be decrypted as it is
    /// stored. The list is empty if the document is malformed or its type is not registered.
    pub(super) fn secrets(&self, meta: &IndexMeta, hit: &Hit) -> Vec<VerifiedSecret> {
        let Ok(document) = StoredDocument::from_source(hit.source.get().as_bytes()) else { return Vec::new() };
        let Some(definition) = self.registry.get(&document.type_name) else { return Vec::new() };
        self.try_secrets(definition, meta, &hit.id, &document).unwrap_or_default()
    }

    /// Like [`secrets`](Self::secrets). [`examine`](Self::examine) reports the same errors.
    fn try_secrets(
        &self,
        definition: &TypeDefinition,
        meta: &IndexMeta,
        raw_id: &str,
        document: &StoredDocument,
    ) -> Result<Vec<VerifiedSecret>> {
        let Ok(id) = document.object_id(raw_id, definition.namespace_kind()) else { return Ok(Vec::new()) };
        let descriptor = descriptor(definition, document.root.namespace.as_deref(), id);
        let version = VirtualVersion::of_document(document.root.type_migration_version.as_deref())?;
        let history = stored_sets(definition, meta, version.number())?;
        let opened = self.encryption.open_each(&descriptor, &history, &document.attributes)?;
        let names = history.sets().encrypted.iter().map(|encrypted| &encrypted.name);
        let secret = |name: &String| {
            let failure = opened.failures.iter().find(|(failed, _)| failed == name);
            let key = document.attributes.get(name).and_then(|value| KeysOf::anywhere(value).keys.first().copied());
            (failure.is_some() || opened.secrets.contains_key(name)).then(|| VerifiedSecret {
                attribute: name.clone(),
                opens: failure.is_none(),
                key,
                reason: failure.map(|(_, cause)| cause.to_string()),
            })
        };
        Ok(names.filter_map(secret).collect())
    }

    /// Reads a document of an unregistered type. It may have any form, because its proper form is not known here and a
    /// migration leaves it as it is. Only JSON objects can be read at all.
    fn read_foreign(type_name: &str, source: &[u8]) -> Option<StoredDocument> {
        let mut attributes: Attributes = serde_json::from_slice(source).ok()?;
        attributes.remove("updated_at");
        attributes.remove(WRITE_NONCE);
        Some(StoredDocument { type_name: type_name.to_owned(), attributes, root: RootFields::default() })
    }

    /// Returns the document as a reader gets it, and its secrets. Decrypts the secrets as they are stored, and once
    /// more as they would be after a migration.
    fn read(
        &self,
        definition: &TypeDefinition,
        meta: &IndexMeta,
        raw_id: &str,
        mut document: StoredDocument,
    ) -> Result<(StoredDocument, Secrets), Vec<Defect>> {
        let whole = |error: Error| vec![Defect::from(error)];
        let id = document
            .object_id(raw_id, definition.namespace_kind())
            .map_err(|corruption| vec![Defect { attribute: None, reason: corruption.to_string() }])?;
        let namespace = document.root.namespace.clone();
        let descriptor = descriptor(definition, namespace.as_deref(), id);
        let version = VirtualVersion::of_document(document.root.type_migration_version.as_deref()).map_err(whole)?;
        let history = stored_sets(definition, meta, version.number()).map_err(whole)?;
        let opened = self.encryption.open_each(&descriptor, &history, &document.attributes).map_err(whole)?;
        if !opened.failures.is_empty() {
            let defect = |(name, cause): (String, _)| Defect { attribute: Some(name), reason: format!("{cause}") };
            return Err(opened.failures.into_iter().map(defect).collect());
        }
        let secrets = match self.conversion.upgrade(definition, id, &mut document).map_err(whole)? {
            VersionStatus::Current => opened.secrets,
            VersionStatus::Older => {
                self.encryption.open(&descriptor, definition.encryption(), &document.attributes).map_err(whole)?
            }
            VersionStatus::Newer(version) => {
                self.conversion.project(definition, version, &document.attributes).map_err(whole)?;
                opened.secrets
            }
        };
        Ok((document, secrets))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;
    use crate::cluster::SequenceNumber;
    use crate::encryption::Descriptor;
    use crate::encryption::Secret;
    use crate::environment::Environment;
    use crate::layout::TypeMeta;
    use crate::registry::testing;

    fn note(versions: usize) -> TypeDefinition {
        let encrypting = |changes: Value, bound: Value| {
            testing::version(json!({
                "changes": changes, "encrypted": [{ "name": "body" }], "bound": bound,
                "create": { "type": "object", "properties": {
                    "title": { "type": "string" }, "body": { "type": "string" }, "kind": { "type": "string" } } },
                "forward": { "type": "object", "properties": { "title": {}, "body": {} } },
            }))
        };
        let backfill = json!([{ "type": "data_backfill", "defaults": { "kind": "plain" } }]);
        let all = [
            encrypting(json!([]), json!([])),
            encrypting(backfill, json!(["title"])),
            encrypting(json!([]), json!(["title", "kind"])),
        ];
        let file = testing::note(json!({ "namespace_kind": "agnostic" }));
        testing::read(&file, &all[..versions]).expect("a valid definition")
    }

    fn encryption() -> EncryptionService {
        let ring = KeyRing::new("a key for tests only: 0123456789abcdef".to_owned().into(), Vec::new());
        EncryptionService::new(Some(ring.expect("a fine key")), Environment::system())
    }

    fn examiner(versions: usize, encryption: EncryptionService) -> Examiner {
        let registry = Registry::builder().with([note(versions)]).build().expect("valid");
        Examiner::new(Arc::new(registry), encryption).expect("a fingerprinter")
    }

    /// Returns a note as software with that many versions stores it.
    fn stored(versions: usize, title: &str) -> Value {
        let definition = note(versions);
        let mut attributes = serde_json::Map::from_iter([("title".to_owned(), json!(title))]);
        if versions > 1 {
            attributes.insert("kind".to_owned(), json!("plain"));
        }
        let descriptor = Descriptor { type_name: "note", namespace: None, id: "1" };
        let secrets = Secrets::from([("body".to_owned(), Secret::text("hidden"))]);
        encryption().seal(&descriptor, definition.encryption(), &mut attributes, &secrets).expect("sealed");
        json!({ "type": "note", "note": attributes, "typeMigrationVersion": format!("10.{versions}.0") })
    }

    fn hit(id: &str, source: &Value) -> Hit {
        let sequence = SequenceNumber { seq_no: 0, primary_term: 1 };
        Hit { index: "i".into(), id: id.into(), sequence, source: to_raw_value(source).expect("JSON") }
    }

    fn fingerprint(examiner: &Examiner, source: &Value) -> Fingerprint {
        examiner.examine(&IndexMeta::default(), &hit("note:1", source)).outcome.expect("readable")
    }

    fn defects(examiner: &Examiner, id: &str, source: &Value) -> Vec<(Option<String>, String)> {
        let examined = examiner.examine(&IndexMeta::default(), &hit(id, source));
        let defects = examined.outcome.expect_err("not readable");
        defects.into_iter().map(|defect| (defect.attribute, defect.reason)).collect()
    }

    #[test]
    fn a_document_has_one_fingerprint_at_all_versions_and_under_all_envelopes() {
        let examiner = examiner(2, encryption());
        let (old, new) = (stored(1, "t"), stored(2, "t"));
        assert_ne!(old["note"]["body"], new["note"]["body"]);
        assert_eq!(fingerprint(&examiner, &old), fingerprint(&examiner, &new));
        assert_ne!(fingerprint(&examiner, &old), fingerprint(&examiner, &stored(1, "another")));
        let mut written_again = old.clone();
        written_again["writeNonce"] = json!("n");
        assert_eq!(fingerprint(&examiner, &old), fingerprint(&examiner, &written_again));
    }

    #[test]
    fn a_newer_document_is_opened_with_what_the_index_knows_of_its_version() {
        let (newer, examiner) = (stored(3, "t"), examiner(2, encryption()));
        let unknown = "neither this software nor the index knows what model version 3 encrypts".to_owned();
        assert_eq!(defects(&examiner, "note:1", &newer), [(None, unknown)]);
        let recorded = TypeMeta { sets: [(3, note(3).latest().sets.clone())].into(), ..TypeMeta::default() };
        let meta = IndexMeta { types: [("note".to_owned(), recorded)].into(), ..IndexMeta::default() };
        let examined = examiner.examine(&meta, &hit("note:1", &newer));
        assert!(examined.outcome.is_ok(), "{examined:?}");
        assert_eq!(examined.version, "3");
    }

    #[test]
    fn whatever_cannot_be_read_is_told_with_its_reason() {
        let examiner = examiner(2, encryption());
        let good = stored(2, "t");
        let with = |pointer: &str, value: Value| {
            let mut source = good.clone();
            *source.pointer_mut(pointer).expect("there") = value;
            source
        };
        let body = || Some("body".to_owned());
        let table = [
            (with("/note/title", json!("changed")), body(), "the envelope, a bound attribute or the place"),
            (with("/note/body", json!("plain text")), body(), "the stored value is not an envelope"),
            (with("/note/body", json!(7)), body(), "the stored value is not a string"),
            (with("/note", json!(7)), None, "no attributes object"),
            (with("/typeMigrationVersion", json!("11.0.0")), None, "of another engine"),
        ];
        for (source, attribute, reason) in table {
            let found = defects(&examiner, "note:1", &source);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].0 == attribute && found[0].1.contains(reason), "{found:?}");
        }
        assert!(defects(&examiner, "other:1", &good)[0].1.contains("the _id does not have the form"));
    }

    #[test]
    fn without_keys_secrets_are_unreadable_and_the_rest_is_not() {
        let examiner = examiner(2, EncryptionService::new(None, Environment::system()));
        let expected = (Some("body".to_owned()), "no encryption key is configured".to_owned());
        assert_eq!(defects(&examiner, "note:1", &stored(1, "t")), [expected]);
        let plain = json!({ "type": "note", "note": { "title": "t" }, "typeMigrationVersion": "10.1.0" });
        let upgraded =
            json!({ "type": "note", "note": { "title": "t", "kind": "plain" }, "typeMigrationVersion": "10.2.0" });
        assert_eq!(fingerprint(&examiner, &plain), fingerprint(&examiner, &upgraded));
    }

    #[test]
    fn types_nobody_registered_may_have_any_form() {
        let examiner = examiner(2, encryption());
        let other = json!({ "type": "other", "other": { "body": "whatever" }, "typeMigrationVersion": "odd" });
        let examined = examiner.examine(&IndexMeta::default(), &hit("whatever", &other));
        assert_eq!((examined.type_name.as_deref(), &*examined.version), (Some("other"), "odd"));
        assert!(examined.outcome.is_ok());
        let odd = |body: Value| json!({ "type": "other", "other": body, "updated_at": "2026-01-01T00:00:00.000Z" });
        let without = fingerprint(&examiner, &json!({ "type": "other" }));
        let (one, other) = (fingerprint(&examiner, &odd(json!(1))), fingerprint(&examiner, &odd(json!(2))));
        assert!(without != one && one != other, "what is in it counts all the same");
        let written_again = json!({ "type": "other", "writeNonce": "n" });
        assert_eq!(fingerprint(&examiner, &written_again), without);
        assert!(defects(&examiner, "x", &json!({ "type": "note" }))[0].1.contains("no attributes object"));
        assert!(defects(&examiner, "x", &json!({ "type": "" }))[0].1.contains("no type"));
    }
}
