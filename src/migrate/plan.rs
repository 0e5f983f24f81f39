//! The plan of a migration, and what follows from it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::carry::Carried;
use crate::cluster::{History, IndexSettings, Query};
use crate::layout::{CopyRecord, Gate, IndexMeta, IndexNames, Mapped, TakenOver, TypeMeta};
use crate::model::VirtualVersion;
use crate::registry::TypeDefinition;

/// The most model versions beyond the newest registered one that a search for outdated documents names. No rolling
/// upgrade has so many.
const MAX_NEWER: usize = 1_000;

/// How an index group is migrated to the registered versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// The group is at the registered versions already, and nothing is written.
    None,
    /// There is no index yet: one is created.
    Create,
    /// The mapping grows, and outdated documents are rewritten in their index.
    InPlace,
    /// The documents are copied into a new generation, because the index cannot take the mapping. This is a breaking
    /// change: older software cannot run next to it.
    Copy,
}

/// What a migration will do for all index groups.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// One plan for each group, in the order of their names.
    pub groups: Vec<GroupPlan>,
    /// What keeps the migration from beginning. Nothing is written to any index while there is a blocker.
    pub blockers: Vec<Blocker>,
    /// The names of indices that may exist without being seen by the credentials. A blocker names them.
    pub unseen: Vec<String>,
    /// Types with documents in the index of another group than the registered one. A blocker names them.
    pub moved_types: Vec<String>,
    /// The current indices of groups that are not registered.
    pub unregistered_indices: Vec<String>,
    /// Whether the control index exists. A migration creates it if it is missing.
    pub(super) has_control: bool,
    /// Whether the alias of the control index does not lead to it alone, so that nothing can be read there. A blocker
    /// says so.
    pub(super) control_misled: bool,
}

impl Plan {
    /// Returns whether every group is at the registered versions, and nothing blocks or needs healing.
    pub fn is_nothing_to_do(&self) -> bool {
        let is_reached = |group: &GroupPlan| group.way == Way::None && !group.needs_healing();
        self.blockers.is_empty() && self.groups.iter().all(is_reached)
    }

    /// Returns whether a node that leaves migrations to others can start. The remains of a copy do not prevent that.
    pub(super) fn is_ready(&self) -> bool {
        let is_ready = |group: &GroupPlan| group.way == Way::None && !group.lacks_something();
        self.blockers.is_empty() && self.groups.iter().all(is_ready)
    }
}

/// A condition that keeps a migration from beginning, with its hint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocker {
    /// What is wrong.
    pub what: String,
    /// What an operator can do about it.
    pub hint: String,
}

/// What a migration will do for one index group.
#[derive(Debug, Clone)]
pub struct GroupPlan {
    /// The group.
    pub group: String,
    /// Its names.
    pub names: IndexNames,
    /// The current index, or the index that the migration creates, or Kibana's index in a take-over.
    pub index: String,
    /// The generation of that index.
    pub generation: u32,
    /// How the group is migrated.
    pub way: Way,
    /// Its registered types.
    pub types: Vec<TypePlan>,
    /// The mapping that the registered types need, without `_meta`.
    pub mapping: Value,
    /// The current index, or `None` if there is no index yet.
    pub current: Option<CurrentIndex>,
    /// The highest number that a generation of the group has, or that an index records.
    pub highest_generation: u32,
    /// The generations that are not current: older ones that are kept for a rollback, newer ones after a rollback, and
    /// those that copies made and abandoned.
    pub kept: Vec<String>,
    /// The staging indices of interrupted copies.
    pub leftover_fills: Vec<String>,
    /// Those of the kept generations that copies made and that never became current.
    pub abandoned: Vec<String>,
    /// Whether the index takes writes.
    pub gate: Gate,
    /// Whether the current index lacks the field of the nonce that every write has.
    pub lacks_nonce_field: bool,
    /// The source of the take-over, or `None` if the group is not taken over.
    pub take_over: Option<TakenOver>,
}

/// The current index as its metadata shows it.
#[derive(Debug, Clone)]
pub struct CurrentIndex {
    /// Its unique id.
    pub uuid: String,
    /// Its mapping.
    pub mapping: Value,
    /// The content of its `_meta`.
    pub meta: IndexMeta,
    /// Its settings.
    pub settings: IndexSettings,
    /// The settings and aliases of operators, which a copy keeps.
    pub carried: Carried,
}

/// What a migration will do for one type.
#[derive(Debug, Clone)]
pub struct TypePlan {
    /// The type.
    pub definition: Arc<TypeDefinition>,
    /// What the index records of the type, if it does.
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

    /// Returns the query for documents that are older than the newest registered version. Versions are listed and not
    /// compared, because `typeMigrationVersion` is a keyword, in which `10.10.0` comes before `10.9.0`. Of the newer
    /// versions only those are listed that the index has records of, since it may claim any number.
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
    /// Returns whether an interrupted copy left something, or the current index lacks something.
    pub fn needs_healing(&self) -> bool {
        let is_left = !self.leftover_fills.is_empty() || !self.abandoned.is_empty();
        self.way != Way::Copy && (is_left || self.lacks_something())
    }

    /// Returns whether users cannot write to the current index until it is healed.
    fn lacks_something(&self) -> bool {
        self.is_closed() || self.lacks_nonce_field
    }

    /// Returns whether users cannot write to the current index until its gate is opened.
    pub(super) fn is_closed(&self) -> bool {
        self.current.is_some() && self.take_over.is_none() && !self.gate.is_plain()
    }

    /// Returns the query for the documents that an in-place migration rewrites.
    pub fn outdated(&self) -> Query {
        Query::Or(self.types.iter().map(TypePlan::outdated).collect())
    }

    /// Returns, by type, how many writes an index with this `meta` had taken before it had the mapping.
    pub(super) fn writes_before_mapping(meta: IndexMeta) -> BTreeMap<String, u64> {
        let writes = |(name, recorded): (String, TypeMeta)| Some((name, recorded.mapped?.writes));
        meta.types.into_iter().filter_map(writes).filter(|(_, writes)| *writes > 0).collect()
    }

    /// Returns the query for documents that were written before their type was mapped. Searches may miss fields of
    /// them.
    pub(super) fn written_before(mapped: &BTreeMap<String, u64>) -> Query {
        let of_type = |(name, writes): (&String, &u64)| {
            let earlier = Query::Range {
                field: "_seq_no".to_owned(),
                from: None,
                above: None,
                to: None,
                below: Some(Value::from(*writes)),
            };
            Query::And(vec![Query::equals("type", name.as_str()), earlier])
        };
        Query::Or(mapped.iter().map(of_type).collect())
    }

    /// Returns the `_meta` that is written before the first document of a new version: it says that the mapping exists,
    /// and records what the version encrypts and binds.
    pub fn meta_before(&self) -> IndexMeta {
        let of_type = |plan: &TypePlan| TypeMeta {
            mapping_version: plan.definition.mapping_version(),
            sets: plan.definition.versions().iter().map(|version| (version.number, version.sets.clone())).collect(),
            ..TypeMeta::default()
        };
        self.meta(of_type)
    }

    /// Returns the `_meta` of a new index: all of its documents are written after the mapping.
    pub fn meta_of_new(&self) -> IndexMeta {
        let mut meta = self.meta_after();
        mapped_from_the_beginning(&mut meta);
        meta
    }

    /// Returns the `_meta` that records that these types were mapped when the index had taken `writes` writes.
    pub(super) fn meta_of_mapped(&self, types: &BTreeSet<&str>, writes: u64) -> IndexMeta {
        let of_type = |plan: &TypePlan| TypeMeta {
            mapped: types
                .contains(plan.definition.name())
                .then(|| Mapped { version: plan.definition.mapping_version(), writes }),
            ..TypeMeta::default()
        };
        self.meta(of_type)
    }

    /// Returns the types of which an index with this `meta` does not record when it got their mapping.
    pub(super) fn not_marked<'a>(&'a self, meta: &IndexMeta) -> BTreeSet<&'a str> {
        let is_marked = |definition: &TypeDefinition| {
            let mapped = meta.types.get(definition.name()).and_then(|recorded| recorded.mapped);
            mapped.is_some_and(|mapped| mapped.version >= definition.mapping_version())
        };
        let definitions = self.types.iter().map(|plan| plan.definition.as_ref());
        definitions.filter(|definition| !is_marked(definition)).map(TypeDefinition::name).collect()
    }

    /// Returns the `_meta` of an index whose documents are all at the registered versions.
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

    /// Returns the mapping of a copy: the current one of the registered types, and what the index has for other types,
    /// so that their documents can be copied too.
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

    /// Returns the operators' settings and aliases of the current index, which a copy keeps. A take-over keeps none.
    pub(super) fn carried(&self) -> Carried {
        let current = self.current.as_ref().filter(|_| self.take_over.is_none());
        current.map(|current| current.carried.clone()).unwrap_or_default()
    }

    /// Returns a digest of the group's definitions, as 16 hexadecimal digits. Two registries whose copies would be
    /// equal have the same digest.
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

    /// Returns the record of a copy of the current index with the history `source`. `policies` names the policies for
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

    /// Returns the `_meta` of a copy: that of the current index, the registered versions, and the record of the copy.
    pub fn meta_of_copy(&self, record: CopyRecord) -> IndexMeta {
        let recorded = self.current.as_ref().map(|current| current.meta.clone()).unwrap_or_default();
        let facts = IndexMeta { highest_generation: self.highest_generation, ..self.meta_after() };
        let taken_over = recorded.taken_over.clone().or_else(|| self.take_over.clone());
        let mut meta = IndexMeta { copy: Some(record), taken_over, ..recorded.merged(&facts) };
        mapped_from_the_beginning(&mut meta);
        meta
    }

    /// Returns the definition of a registered type of this group.
    pub fn definition(&self, type_name: &str) -> Option<&Arc<TypeDefinition>> {
        self.types.iter().map(|plan| &plan.definition).find(|definition| definition.name() == type_name)
    }
}

fn mapped_from_the_beginning(meta: &mut IndexMeta) {
    for recorded in meta.types.values_mut() {
        recorded.mapped = Some(Mapped { version: recorded.mapping_version, writes: 0 });
    }
}
