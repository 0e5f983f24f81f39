use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::cluster::{History, Query};
use crate::layout::{CopyRecord, Gate, IndexMeta, IndexNames, TakenOver, TypeMeta};
use crate::model::VirtualVersion;
use crate::registry::TypeDefinition;

/// Model versions beyond the newest one that a search for outdated documents names. No rolling upgrade has so many.
const MAX_NEWER: usize = 1_000;

/// How an index group gets to the registered versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It is there already: nothing is written.
    None,
    /// There is no index yet: one is created.
    Create,
    /// The mapping is added to and outdated documents are rewritten where they are.
    InPlace,
    /// The documents are copied into a new generation, because the index cannot take the mapping. This is a breaking
    /// change: older software cannot go on beside it.
    Copy,
}

/// What is to be done for all index groups.
#[derive(Debug, Clone)]
pub struct Plan {
    /// One plan a group, in the order of their names.
    pub groups: Vec<GroupPlan>,
    /// What must be put right first. Nothing is written to any index while there is one.
    pub blockers: Vec<Blocker>,
    /// The names that may belong to indices which the credentials do not see. There is a blocker for them.
    pub unseen: Vec<String>,
}

impl Plan {
    /// Whether every group is where it should be.
    pub fn is_nothing_to_do(&self) -> bool {
        let is_reached = |group: &GroupPlan| group.way == Way::None && !group.needs_healing();
        self.blockers.is_empty() && self.groups.iter().all(is_reached)
    }

    /// Whether a node that leaves migrations to others can go on. What a copy left over does not disturb it.
    pub(super) fn is_ready(&self) -> bool {
        let is_ready = |group: &GroupPlan| group.way == Way::None && !group.lacks_something();
        self.blockers.is_empty() && self.groups.iter().all(is_ready)
    }
}

/// Something that keeps a migration from beginning, with its cure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocker {
    /// What is wrong.
    pub what: String,
    /// What the operator does about it.
    pub cure: String,
}

/// What is to be done for one index group.
#[derive(Debug, Clone)]
pub struct GroupPlan {
    /// The group.
    pub group: String,
    /// Its names.
    pub names: IndexNames,
    /// The current index, or the one to be created, or Kibana's that is to be taken over.
    pub index: String,
    /// The generation of that index.
    pub generation: u32,
    /// How it gets to the registered versions.
    pub way: Way,
    /// Its registered types.
    pub types: Vec<TypePlan>,
    /// The mapping that the registered types need, without `_meta`.
    pub mapping: Value,
    /// What a copy of the index takes over; none if there is no index yet.
    pub current: Option<CurrentIndex>,
    /// The highest number that an index of the group has, or that one knows of.
    pub highest_generation: u32,
    /// Generations that are not current: older ones that are kept for a rollback, newer ones that one left, and those that
    /// copies made and abandoned.
    pub kept: Vec<String>,
    /// Staging indices of copies that ended half-way.
    pub leftover_fills: Vec<String>,
    /// Those of them that copies made and that never became current.
    pub abandoned: Vec<String>,
    /// Whether the index takes writes.
    pub gate: Gate,
    /// Whether the current index lacks the field of the nonce that every write has.
    pub lacks_nonce_field: bool,
    /// What of Kibana's is to be taken over; none for a group that is migrated as it is.
    pub take_over: Option<TakenOver>,
}

/// The current index as the metadata shows it.
#[derive(Debug, Clone)]
pub struct CurrentIndex {
    /// Its unique id.
    pub uuid: String,
    /// Its mapping.
    pub mapping: Value,
    /// What its `_meta` says.
    pub meta: IndexMeta,
}

/// What is to be done for one type.
#[derive(Debug, Clone)]
pub struct TypePlan {
    /// The type.
    pub definition: Arc<TypeDefinition>,
    /// What the index says of it, if it knows it.
    pub recorded: Option<TypeMeta>,
}

impl TypePlan {
    pub(super) fn latest(&self) -> u32 {
        self.definition.latest().number
    }

    pub(super) fn is_reached(&self) -> bool {
        self.recorded.as_ref().is_some_and(|recorded| {
            recorded.document_version >= self.latest() && recorded.mapping_version >= self.definition.mapping_version()
        })
    }

    /// The documents that are at an older version than the newest one registered. Versions are listed and not compared:
    /// `typeMigrationVersion` is a keyword, in which `10.10.0` comes before `10.9.0`. Those beyond the newest one are as many as
    /// the index has recorded: it may claim any number.
    fn outdated(&self) -> Query {
        let recorded = self.recorded.iter().flat_map(|recorded| recorded.sets.keys().copied());
        let newer = recorded.filter(|version| *version > self.latest()).take(MAX_NEWER);
        let current = std::iter::once(self.latest()).chain(newer);
        let values = current.map(|version| Value::from(VirtualVersion::of(version).to_string())).collect();
        Query::And(vec![
            Query::equals("type", self.definition.name()),
            Query::Not(Box::new(Query::AnyOf { field: "typeMigrationVersion".to_owned(), values })),
        ])
    }
}

impl GroupPlan {
    /// Whether something is left of a copy that ended half-way, or is missing.
    pub fn needs_healing(&self) -> bool {
        let is_left = !self.leftover_fills.is_empty() || !self.abandoned.is_empty();
        self.way != Way::Copy && (is_left || self.lacks_something())
    }

    /// Returns whether users of the current index are kept from writing until it is healed.
    fn lacks_something(&self) -> bool {
        self.is_closed() || self.lacks_nonce_field
    }

    /// Returns whether users of the current index are kept from writing until its gate is opened.
    pub(super) fn is_closed(&self) -> bool {
        self.current.is_some() && self.take_over.is_none() && !self.gate.is_plain()
    }

    /// The documents to be rewritten.
    pub fn outdated(&self) -> Query {
        Query::Or(self.types.iter().map(TypePlan::outdated).collect())
    }

    /// What `_meta` says before the first document of a new version is written: its mapping is there, and what it encrypts
    /// and binds is on record.
    pub fn meta_before(&self) -> IndexMeta {
        let of_type = |plan: &TypePlan| TypeMeta {
            mapping_version: plan.definition.mapping_version(),
            sets: plan.definition.versions().iter().map(|version| (version.number, version.sets.clone())).collect(),
            ..TypeMeta::default()
        };
        self.meta(of_type)
    }

    /// What `_meta` says when all documents are at the registered versions.
    pub fn meta_after(&self) -> IndexMeta {
        let of_type = |plan: &TypePlan| TypeMeta {
            document_version: plan.latest(),
            digest: plan.definition.digest(plan.definition.latest()),
            ..TypeMeta::default()
        };
        self.meta(of_type).merged(&self.meta_before())
    }

    fn meta(&self, of_type: impl Fn(&TypePlan) -> TypeMeta) -> IndexMeta {
        let types = self.types.iter().map(|plan| (plan.definition.name().to_owned(), of_type(plan))).collect();
        IndexMeta { types, highest_generation: self.generation, ..IndexMeta::default() }
    }

    /// The mapping of a copy: the registered types' as they are now, and beside it what the index has for others, so that
    /// their documents can come along.
    pub fn copy_mapping(&self) -> Value {
        let mut mapping = self.mapping.clone();
        let theirs = self.current.as_ref().and_then(|current| current.mapping.get("properties")?.as_object());
        if let Some(properties) = mapping.get_mut("properties").and_then(Value::as_object_mut) {
            for (name, field) in theirs.into_iter().flatten() {
                properties.entry(name.clone()).or_insert_with(|| field.clone());
            }
        }
        mapping
    }

    /// What the definitions of the group are, in 16 hexadecimal digits: two registries that would copy to the same have the
    /// same.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for plan in &self.types {
            hash.update(plan.definition.digest(plan.definition.latest()));
        }
        if let Some(source) = &self.take_over {
            hash.update("take-over of ");
            hash.update(&source.alias);
        }
        hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns what a copy of the current index is made from when that has this history. `policies` says what is done about
    /// documents and secrets that cannot be converted.
    pub fn copy_record(&self, source: &History, policies: String) -> Option<CopyRecord> {
        let source_uuid = self.current.as_ref()?.uuid.clone();
        Some(CopyRecord {
            source: self.index.clone(),
            source_uuid,
            source_writes: source.writes,
            source_history: source.id.clone(),
            source_term: source.primary_term,
            definitions: self.digest(),
            policies,
            ..CopyRecord::default()
        })
    }

    /// What the `_meta` of a copy says: what the index says, what is registered, and what the copy is made from.
    pub fn meta_of_copy(&self, record: CopyRecord) -> IndexMeta {
        let recorded = self.current.as_ref().map(|current| current.meta.clone()).unwrap_or_default();
        let facts = IndexMeta { highest_generation: self.highest_generation, ..self.meta_after() };
        let taken_over = recorded.taken_over.clone().or_else(|| self.take_over.clone());
        IndexMeta { copy: Some(record), taken_over, ..recorded.merged(&facts) }
    }

    /// The definition of a registered type of this group.
    pub fn definition(&self, type_name: &str) -> Option<&Arc<TypeDefinition>> {
        self.types.iter().map(|plan| &plan.definition).find(|definition| definition.name() == type_name)
    }
}
