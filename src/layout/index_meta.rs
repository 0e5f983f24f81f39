//! The facts about types and copies that an index records in its `_meta`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::model::EncryptionSets;
use crate::{Error, ErrorKind, Result};

/// The key of an index's `_meta` that belongs to this library. Other keys are kept.
const META_KEY: &str = "saved_objects";

/// The part of an index's `_meta` about its types. It has only facts that grow, so that records of two nodes can be
/// merged by maximum (record 22).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexMeta {
    /// The facts by type.
    #[serde(default)]
    pub types: BTreeMap<String, TypeMeta>,
    /// The highest generation that the group ever had, so that no number, and therefore no version token, is used
    /// twice.
    #[serde(default)]
    pub highest_generation: u32,
    /// The copy that made the index. `None` for an index that was created empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyRecord>,
    /// The index of Kibana that the group began with. `None` for a group that was not taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_over: Option<TakenOver>,
}

/// An index that Kibana wrote and that a group was copied from. It stays unchanged and write-blocked (record 28).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenOver {
    /// The alias through which Kibana reached the index.
    pub alias: String,
    /// The name of the index.
    pub index: String,
    /// The unique id of the index.
    pub uuid: String,
}

/// The source of a copy, its state, and the result and policies of the copy. The record's digest is part of the name of
/// the staging index and of its alias, so that no request of a copy of another state can reach it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRecord {
    /// The name of the source.
    pub source: String,
    /// The unique id of the source.
    pub source_uuid: String,
    /// The number of writes that the source had taken when its gate was closed.
    pub source_writes: u64,
    /// The history id of the source. A restore over the index replaces it.
    #[serde(default)]
    pub source_history: String,
    /// The primary term of the source.
    #[serde(default)]
    pub source_term: u64,
    /// The definitions that the copy was made for: [`TypeMeta::digest`] of all its types.
    pub definitions: String,
    /// The policies for documents that could not be converted and for secrets that could not be decrypted.
    #[serde(default)]
    pub policies: String,
    /// The proof that the staging index had every document. Absent until they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<Complete>,
    /// The unique id of the generation that the copy became. Absent until just before that generation becomes current.
    /// An index that has this record but another id is an operator's clone of that generation, or a restore under
    /// another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_uuid: Option<String>,
    /// The number of documents of the source that the copy lacks because they are bad.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// The number of those that it lacks because one of their secrets cannot be decrypted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out_unreadable: u64,
}

/// A staging index that had every document when they were counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// The unique id of the staging index. Another index of the same name has another id.
    pub uuid: String,
    /// The number of writes that the staging index had taken, which its clone has when it becomes the current
    /// generation.
    pub writes: u64,
}

impl CopyRecord {
    /// Returns the record without the results of the copy.
    #[must_use]
    pub fn begun(&self) -> Self {
        Self { complete: None, generation_uuid: None, left_out: 0, left_out_unreadable: 0, ..self.clone() }
    }

    /// Returns whether an index with this record is a copy like `wanted`, whatever its results.
    pub fn is_made_as(&self, wanted: &Self) -> bool {
        self.begun() == wanted.begun()
    }

    /// Returns whether the index with this record and this id is the copy itself, and not an operator's clone of it.
    pub fn is_of(&self, uuid: &str) -> bool {
        self.generation_uuid.as_deref().is_none_or(|own| own == uuid)
    }

    /// Returns whether a source with this history id and number of writes still has everything that the copy was made
    /// from.
    pub fn is_held_by(&self, history: &str, writes: u64) -> bool {
        self.source_history == history && self.source_writes <= writes
    }

    /// Returns whether the record is of the same source in a state before its current one.
    pub fn is_outdated_by(&self, current: &Self) -> bool {
        self.source_uuid == current.source_uuid
            && (self.source_history != current.source_history
                || self.source_writes < current.source_writes
                || self.source_term < current.source_term)
    }

    /// Returns the digest of [the record without results](Self::begun), in 16 hexadecimal digits.
    pub fn digest(&self) -> String {
        let begun = json!(self.begun()).to_string();
        Sha256::digest(begun).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The facts about one type in an index's `_meta`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeMeta {
    /// The model version whose mapping the index has.
    #[serde(default)]
    pub mapping_version: u32,
    /// The model version that all documents were converted to. Older nodes may have written documents since then.
    #[serde(default)]
    pub document_version: u32,
    /// The digest of the definition at `document_version`.
    #[serde(default)]
    pub digest: String,
    /// The encryption sets of each known model version, for nodes that do not know the version.
    #[serde(default)]
    pub sets: BTreeMap<u32, EncryptionSets>,
    /// The documents that may have been written before their fields were mapped. Absent if that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapped: Option<Mapped>,
}

/// The moment at which an index got the mapping of a type. Documents of earlier sequence numbers may have fields that
/// no search finds until they are written again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mapped {
    /// The model version whose mapping it is.
    pub version: u32,
    /// The number of writes that the index had taken when it had the mapping.
    pub writes: u64,
}

impl TypeMeta {
    /// Returns whether any recorded model version of the type has secrets.
    pub(crate) fn encrypts(&self) -> bool {
        self.sets.values().any(|sets| !sets.encrypted.is_empty())
    }
}

impl IndexMeta {
    /// Reads the facts from an index's mapping. An index without them was not made by this library, and has no types
    /// yet.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if they have a form that this version does not know.
    pub fn from_mapping(mapping: &Value) -> Result<Self> {
        match mapping.get("_meta").and_then(|meta| meta.get(META_KEY)) {
            None => Ok(Self::default()),
            Some(meta) => Self::deserialize(meta).map_err(|error| {
                Error::new(ErrorKind::Incompatible, "an index's _meta.saved_objects has an unknown form")
                    .with_hint("run the version of this software that wrote it, or a newer one")
                    .with_source(error)
            }),
        }
    }

    /// Returns whether the mapping of an index has the facts, in any form.
    pub(crate) fn is_in(mapping: &Value) -> bool {
        mapping.get("_meta").and_then(|meta| meta.get(META_KEY)).is_some()
    }

    /// Returns the whole `_meta` for an index whose mapping is `mapping`. Its other keys are kept.
    pub fn into_meta(self, mapping: Option<&Value>) -> Value {
        let mut meta = match mapping.and_then(|mapping| mapping.get("_meta")) {
            Some(Value::Object(meta)) => meta.clone(),
            _ => Map::new(),
        };
        meta.insert(META_KEY.to_owned(), json!(self));
        Value::Object(meta)
    }

    /// Returns both merged: the higher version of each fact wins, and no recorded set is lost. For a model version in
    /// both, the sets of `other` win, because they come from software that knows the version, while those in the index
    /// may be forged.
    #[must_use]
    pub fn merged(mut self, other: &Self) -> Self {
        for (name, theirs) in &other.types {
            let ours = self.types.entry(name.clone()).or_default();
            ours.mapping_version = ours.mapping_version.max(theirs.mapping_version);
            if theirs.document_version > ours.document_version || ours.digest.is_empty() {
                ours.digest.clone_from(&theirs.digest);
            }
            ours.document_version = ours.document_version.max(theirs.document_version);
            ours.mapped = ours.mapped.max(theirs.mapped);
            ours.sets.extend(theirs.sets.iter().map(|(version, sets)| (*version, sets.clone())));
        }
        self.highest_generation = self.highest_generation.max(other.highest_generation);
        self.copy = match (self.copy.take(), &other.copy) {
            (Some(mut ours), Some(theirs)) => {
                ours.complete = ours.complete.or_else(|| theirs.complete.clone());
                ours.generation_uuid = ours.generation_uuid.or_else(|| theirs.generation_uuid.clone());
                ours.left_out = ours.left_out.max(theirs.left_out);
                ours.left_out_unreadable = ours.left_out_unreadable.max(theirs.left_out_unreadable);
                Some(ours)
            }
            (ours, theirs) => ours.or_else(|| theirs.clone()),
        };
        self.taken_over = self.taken_over.or_else(|| other.taken_over.clone());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(mapping_version: u32, document_version: u32, digest: &str) -> IndexMeta {
        let type_meta =
            TypeMeta { mapping_version, document_version, digest: digest.to_owned(), ..TypeMeta::default() };
        IndexMeta { types: [("note".to_owned(), type_meta)].into(), ..IndexMeta::default() }
    }

    #[test]
    fn merging_takes_the_maximum_of_each_fact() {
        let merged = meta(3, 1, "one").merged(&meta(2, 2, "two"));
        assert_eq!(merged, meta(3, 2, "two"));
        assert_eq!(meta(2, 2, "two").merged(&meta(3, 1, "one")), merged);
        assert_eq!(merged.clone().merged(&merged), merged);
    }

    #[test]
    fn what_software_knows_of_a_version_replaces_what_an_index_says() {
        let meta = |versions: &[(u32, &str)]| {
            let sets = |name: &str| EncryptionSets { encrypted: Vec::new(), bound: vec![name.to_owned()] };
            let sets = versions.iter().map(|(version, name)| (*version, sets(name))).collect();
            IndexMeta {
                types: [("note".to_owned(), TypeMeta { sets, ..TypeMeta::default() })].into(),
                ..IndexMeta::default()
            }
        };
        let merged = meta(&[(1, "made up"), (9, "of newer software")]).merged(&meta(&[(1, "one"), (2, "two")]));
        assert_eq!(merged, meta(&[(1, "one"), (2, "two"), (9, "of newer software")]));
    }

    #[test]
    fn a_copy_is_known_by_what_it_is_made_from() {
        let record = CopyRecord {
            source: "one".to_owned(),
            source_uuid: "u".to_owned(),
            source_writes: 7,
            source_history: "h".to_owned(),
            source_term: 1,
            definitions: "d".to_owned(),
            policies: "fail".to_owned(),
            ..CopyRecord::default()
        };
        let complete = Some(Complete { uuid: "f".to_owned(), writes: 3 });
        let later = CopyRecord { complete, left_out: 3, left_out_unreadable: 2, ..record.clone() };
        assert!(later.is_made_as(&record) && later.digest() == record.digest());
        let others = [
            CopyRecord { source_uuid: "v".to_owned(), ..record.clone() },
            CopyRecord { source_writes: 8, ..record.clone() },
            CopyRecord { source_history: "i".to_owned(), ..record.clone() },
            CopyRecord { source_term: 2, ..record.clone() },
            CopyRecord { definitions: "e".to_owned(), ..record.clone() },
            // The copy may lack secrets, which cannot be distinguished from secrets that never existed.
            CopyRecord { policies: "strip".to_owned(), ..record.clone() },
        ];
        for other in &others {
            assert!(!other.is_made_as(&record) && other.digest() != record.digest(), "{other:?}");
        }
        let outdates = others.map(|other| record.is_outdated_by(&other));
        assert_eq!(outdates, [false, true, true, true, false, false]);
    }

    #[test]
    fn foreign_keys_are_kept() {
        let mapping = json!({"_meta": {"theirs": 1, "saved_objects": {"types": {}}}});
        let value = meta(1, 1, "d").into_meta(Some(&mapping));
        assert_eq!(value["theirs"], 1);
        assert_eq!(IndexMeta::from_mapping(&json!({ "_meta": value })).expect("readable"), meta(1, 1, "d"));
    }

    #[test]
    fn an_unknown_form_is_incompatible() {
        let mapping = json!({"_meta": {"saved_objects": {"types": 7}}});
        assert_eq!(IndexMeta::from_mapping(&mapping).expect_err("unknown").kind(), ErrorKind::Incompatible);
        assert_eq!(IndexMeta::from_mapping(&json!({})).expect("none"), IndexMeta::default());
    }
}
