use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::cluster::{IndexState, Query};
use crate::layout::{IndexMeta, IndexNames, Prefix, TypeMeta};
use crate::model::VirtualVersion;
use crate::registry::{Registry, TypeDefinition};

/// What one GET told of an index group: the indices behind its alias, by name.
pub type GroupMetadata = BTreeMap<String, IndexState>;

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
}

/// What is to be done for all index groups.
#[derive(Debug, Clone)]
pub struct Plan {
    /// One plan a group, in the order of their names.
    pub groups: Vec<GroupPlan>,
    /// What must be put right first. Nothing is written to any index while there is one.
    pub blockers: Vec<Blocker>,
}

impl Plan {
    /// Whether every group is where it should be.
    pub fn is_nothing_to_do(&self) -> bool {
        self.blockers.is_empty() && self.groups.iter().all(|group| group.way == Way::None)
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
    /// The index that is written to.
    pub index: String,
    /// The generation of that index.
    pub generation: u32,
    /// How it gets to the registered versions.
    pub way: Way,
    /// Its registered types.
    pub types: Vec<TypePlan>,
    /// The mapping that the registered types need, without `_meta`.
    pub mapping: Value,
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
    fn latest(&self) -> u32 {
        self.definition.latest().number
    }

    fn is_reached(&self) -> bool {
        self.recorded.as_ref().is_some_and(|recorded| {
            recorded.document_version >= self.latest() && recorded.mapping_version >= self.definition.mapping_version()
        })
    }

    /// The highest version that documents of the type may have.
    fn highest_version(&self) -> u32 {
        let recorded = self.recorded.as_ref().and_then(|recorded| recorded.sets.keys().max().copied());
        self.latest().max(recorded.unwrap_or_default())
    }

    /// The documents that are at an older version than the newest one registered. Versions are listed and not compared:
    /// `typeMigrationVersion` is a keyword, in which `10.10.0` comes before `10.9.0`.
    fn outdated(&self) -> Query {
        let current = (self.latest()..=self.highest_version()).map(|n| Value::from(VirtualVersion::of(n).to_string()));
        Query::And(vec![
            Query::equals("type", self.definition.name()),
            Query::Not(Box::new(Query::AnyOf { field: "typeMigrationVersion".to_owned(), values: current.collect() })),
        ])
    }
}

impl GroupPlan {
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
        IndexMeta { types }
    }

    /// The definition of a registered type of this group.
    pub fn definition(&self, type_name: &str) -> Option<&Arc<TypeDefinition>> {
        self.types.iter().map(|plan| &plan.definition).find(|definition| definition.name() == type_name)
    }
}

/// Decides what is to be done, from the registered types and what each group's index says. Pure: it asks nobody.
///
/// # Errors
/// [`Incompatible`](crate::ErrorKind::Incompatible) if an index's `_meta` has a form that this version does not know.
pub fn plan(registry: &Registry, prefix: &Prefix, metadata: &BTreeMap<String, GroupMetadata>) -> crate::Result<Plan> {
    let mut blockers: Vec<Blocker> = registry
        .missing_transforms()
        .into_iter()
        .map(|name| Blocker {
            what: format!("a model version needs the transform `{name}`, which this software does not have"),
            cure: "register the transform with the registry, or migrate with the software that has it".to_owned(),
        })
        .collect();
    let mut groups = Vec::new();
    for (group, types) in registry.groups() {
        let found = metadata.get(group);
        let empty = GroupMetadata::new();
        let mapping = registry.index_mapping(group);
        let planned = plan_group(group, prefix.group(group), &types, mapping, found.unwrap_or(&empty), &mut blockers)?;
        groups.extend(planned);
    }
    Ok(Plan { groups, blockers })
}

/// None if the blockers leave nothing to say about the group.
fn plan_group(
    group: &str,
    names: IndexNames,
    types: &[&Arc<TypeDefinition>],
    mapping: Value,
    found: &GroupMetadata,
    blockers: &mut Vec<Blocker>,
) -> crate::Result<Option<GroupPlan>> {
    let mut indices = found.iter();
    let (index, state) = match (indices.next(), indices.next()) {
        (None, _) => {
            let types = types.iter().map(|&definition| TypePlan { definition: definition.clone(), recorded: None });
            let index = names.index(1);
            let group = group.to_owned();
            let types = types.collect();
            return Ok(Some(GroupPlan { group, names, index, generation: 1, way: Way::Create, types, mapping }));
        }
        (Some(index), None) => index,
        (Some(_), Some(_)) => {
            let indices = found.keys().cloned().collect::<Vec<_>>().join(", ");
            blockers.push(Blocker {
                what: format!("the alias {} points to several indices: {indices}", names.alias()),
                cure: "find out which one holds the objects, and remove the alias from the others".to_owned(),
            });
            return Ok(None);
        }
    };
    let Some(generation) = names.generation(index) else {
        blockers.push(Blocker {
            what: format!("the name {} leads to the index {index}, which this library did not make", names.alias()),
            cure: "use another prefix, or move that index out of the way".to_owned(),
        });
        return Ok(None);
    };
    let meta = IndexMeta::from_mapping(&state.mapping).map_err(|error| error.context(index))?;
    let types: Vec<TypePlan> = types
        .iter()
        .map(|&definition| TypePlan {
            definition: definition.clone(),
            recorded: meta.types.get(definition.name()).cloned(),
        })
        .collect();
    blockers.extend(types.iter().filter_map(|plan| type_blocker(index, plan)));
    let has_write_alias = state.aliases.contains_key(&names.write_alias(generation));
    let is_reached = has_write_alias && types.iter().all(TypePlan::is_reached);
    let way = if is_reached { Way::None } else { Way::InPlace };
    if way != Way::None && state.write_blocked {
        blockers.push(Blocker {
            what: format!("the index {index} has a write block"),
            cure: format!("find out who set it; if it was left behind, set index.blocks.write of {index} to false"),
        });
    }
    if !has_write_alias {
        blockers.push(Blocker {
            what: format!("the index {index} lacks its alias {}", names.write_alias(generation)),
            cure: format!("add the hidden alias {} to {index}", names.write_alias(generation)),
        });
    }
    Ok(Some(GroupPlan { group: group.to_owned(), names, index: index.clone(), generation, way, types, mapping }))
}

fn type_blocker(index: &str, plan: &TypePlan) -> Option<Blocker> {
    let recorded = plan.recorded.as_ref()?;
    let (name, latest) = (plan.definition.name(), plan.latest());
    if recorded.document_version > latest && plan.definition.latest().forward.is_none() {
        return Some(Blocker {
            what: format!(
                "the index {index} has documents of type {name} at model version {}, and version {latest} of this software \
                 has no forward schema to read them with",
                recorded.document_version
            ),
            cure: "run software that knows the newer version".to_owned(),
        });
    }
    if recorded.document_version == latest && recorded.digest != plan.definition.digest(plan.definition.latest()) {
        return Some(Blocker {
            what: format!("model version {latest} of type {name} is not the one that {index} was migrated to"),
            cure: format!(
                "restore the released definition and put the change into model version {}; while developing, another prefix \
                 starts anew",
                latest + 1
            ),
        });
    }
    if recorded.mapping_version > 0 && plan.definition.requires_copy_from(recorded.mapping_version) {
        return Some(Blocker {
            what: format!("type {name} has a mappings_change, which needs a copy of {index}"),
            cure: "keep the field's mapping and add a new field, which is possible in place".to_owned(),
        });
    }
    None
}
