use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::model::EncryptionSets;
use crate::{Error, ErrorKind, Result};

/// The key of an index's `_meta` that belongs to this library. Other keys are kept as they are.
const META_KEY: &str = "saved_objects";

/// What an index's `_meta` says of the types in it: only facts that grow, so that two nodes that record at once can be
/// merged by maximum (design decision 6).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexMeta {
    /// By type.
    #[serde(default)]
    pub types: BTreeMap<String, TypeMeta>,
    /// The highest generation that the group ever had, so that no number, and with it no version token, is used twice.
    #[serde(default)]
    pub highest_generation: u32,
    /// What the index was copied from; none for one that was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyRecord>,
    /// The index of Kibana that the group began with; none for a group that was not taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_over: Option<TakenOver>,
}

/// An index that Kibana wrote and that a group was copied from. It stays as it was, write-blocked (design decision 19).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenOver {
    /// The alias that Kibana reached it by.
    pub alias: String,
    /// Its name.
    pub index: String,
    /// Its unique id.
    pub uuid: String,
}

/// What an index was copied from, in which state, to what and how. Its digest names the staging index and its alias, so that
/// no request of a copy of another state can reach it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRecord {
    /// The source's name.
    pub source: String,
    /// The source's unique id.
    pub source_uuid: String,
    /// How many writes the source had taken once its gate was closed.
    pub source_writes: u64,
    /// The source's history id, which a restore over the index replaces.
    #[serde(default)]
    pub source_history: String,
    /// The source's primary term.
    #[serde(default)]
    pub source_term: u64,
    /// What the copy was made to: [`TypeMeta::digest`] of all its types.
    pub definitions: String,
    /// What was done about documents that could not be converted, and about secrets that did not open.
    #[serde(default)]
    pub policies: String,
    /// Says that the staging index had every document. Absent until they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<Complete>,
    /// The unique id of the generation that the copy became. Absent until just before that generation becomes current. If the index
    /// with this record has another id, it is an operator's clone of that generation, or a restore under another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_uuid: Option<String>,
    /// How many documents of the source the copy lacks because they are bad.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
    /// How many of those it lacks because a secret of them does not open.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out_unreadable: u64,
}

/// A staging index that had every document when they were counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complete {
    /// The unique id of that staging index: another one of its name is another one.
    pub uuid: String,
    /// How many writes it had taken, and so its clone when that became the current generation.
    pub writes: u64,
}

impl CopyRecord {
    /// Returns what the copy is made from and to, without what became of it.
    #[must_use]
    pub fn begun(&self) -> Self {
        Self { complete: None, generation_uuid: None, left_out: 0, left_out_unreadable: 0, ..self.clone() }
    }

    /// Returns whether an index with this record is a copy as `wanted` says, whatever became of it later.
    pub fn is_made_as(&self, wanted: &Self) -> bool {
        self.begun() == wanted.begun()
    }

    /// Returns whether the index with this record and this id is the copy itself, and not an operator's clone of it.
    pub fn is_of(&self, uuid: &str) -> bool {
        self.generation_uuid.as_deref().is_none_or(|own| own == uuid)
    }

    /// Returns whether a source with this history id and so many writes still holds all that the copy was made from.
    pub fn is_held_by(&self, history: &str, writes: u64) -> bool {
        self.source_history == history && self.source_writes <= writes
    }

    /// Returns whether the record is of the same source, in a state that it has left.
    pub fn is_outdated_by(&self, current: &Self) -> bool {
        self.source_uuid == current.source_uuid
            && (self.source_history != current.source_history
                || self.source_writes < current.source_writes
                || self.source_term < current.source_term)
    }

    /// Returns the digest of [what the copy is made from and to](Self::begun), in 16 hexadecimal digits.
    pub fn digest(&self) -> String {
        let begun = json!(self.begun()).to_string();
        Sha256::digest(begun).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What an index's `_meta` says of one type.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeMeta {
    /// The model version whose mapping the index has.
    #[serde(default)]
    pub mapping_version: u32,
    /// The model version that all documents have been brought to. Older nodes may have written behind it.
    #[serde(default)]
    pub document_version: u32,
    /// The digest of the definition at `document_version`.
    #[serde(default)]
    pub digest: String,
    /// What each model version seen encrypts and binds, for nodes that do not know the version.
    #[serde(default)]
    pub sets: BTreeMap<u32, EncryptionSets>,
}

impl IndexMeta {
    /// Reads it from an index's mapping; an index that has none was not made by this library, and has no types yet.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if it has a form that this version does not know.
    pub fn from_mapping(mapping: &Value) -> Result<Self> {
        match mapping.get("_meta").and_then(|meta| meta.get(META_KEY)) {
            None => Ok(Self::default()),
            Some(meta) => Self::deserialize(meta).map_err(|error| {
                Error::new(ErrorKind::Incompatible, "an index's _meta.saved_objects has an unknown form")
                    .with_cure("run the version of this software that wrote it, or a newer one")
                    .with_source(error)
            }),
        }
    }

    /// The whole `_meta` for an index whose mapping is `mapping`: its other keys are kept.
    pub fn into_meta(self, mapping: Option<&Value>) -> Value {
        let mut meta = match mapping.and_then(|mapping| mapping.get("_meta")) {
            Some(Value::Object(meta)) => meta.clone(),
            _ => Map::new(),
        };
        meta.insert(META_KEY.to_owned(), json!(self));
        Value::Object(meta)
    }

    /// Both merged: the higher version of each fact wins, and no recorded set is lost. What `other` says of a model version's sets
    /// counts: it is what software says that knows the version, and what the index says may be made up.
    #[must_use]
    pub fn merged(mut self, other: &Self) -> Self {
        for (name, theirs) in &other.types {
            let ours = self.types.entry(name.clone()).or_default();
            ours.mapping_version = ours.mapping_version.max(theirs.mapping_version);
            if theirs.document_version > ours.document_version || ours.digest.is_empty() {
                ours.digest.clone_from(&theirs.digest);
            }
            ours.document_version = ours.document_version.max(theirs.document_version);
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
            // It may lack secrets, which nothing tells from their never having been there.
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
