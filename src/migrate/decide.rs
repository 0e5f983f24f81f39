//! Decides how each index group is migrated. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::blockers::{alias_missing, block_of, foreign_index, other_write_alias, several_indices, still_written_to};
use super::carry::Carried;
use super::metadata::{GroupMetadata, is_behind};
use super::plan::CurrentIndex;
use super::{Blocker, GroupPlan, Plan, TypePlan, Way};
use super::{field_limits, generations, take_over};
use crate::Result;
use crate::cluster::IndexState;
use crate::layout::{Gate, IndexMeta, Prefix};
use crate::registry::{self, Registry, TypeDefinition};

/// Returns a plan for every group of the registry, as if there were no index yet.
pub(super) fn new_plans(registry: &Registry, prefix: &Prefix) -> Vec<GroupPlan> {
    let new_plan = |(group, types): (&str, Vec<&Arc<TypeDefinition>>)| {
        let names = prefix.group(group);
        let plan_of = |&definition: &&Arc<TypeDefinition>| TypePlan { definition: definition.clone(), recorded: None };
        GroupPlan {
            group: group.to_owned(),
            index: names.index(1),
            names,
            generation: 1,
            way: Way::Create,
            types: types.iter().map(plan_of).collect(),
            mapping: registry.index_mapping(group),
            current: None,
            highest_generation: 0,
            kept: Vec::new(),
            leftover_fills: Vec::new(),
            abandoned: Vec::new(),
            gate: Gate::default(),
            lacks_nonce_field: false,
            take_over: None,
        }
    };
    registry.groups().into_iter().map(new_plan).collect()
}

/// Plans the migration of all groups from the registered types and the metadata of the indices. Sends no request.
///
/// # Errors
/// [`Incompatible`](crate::ErrorKind::Incompatible) if an index's `_meta` has a form that this version does not know.
pub fn plan(registry: &Registry, prefix: &Prefix, metadata: &BTreeMap<String, GroupMetadata>) -> Result<Plan> {
    let mut blockers = Vec::new();
    let mut groups = new_plans(registry, prefix);
    for group in &mut groups {
        if let Some(found) = metadata.get(&group.group) {
            plan_existing(group, found, &mut blockers)?;
        }
        blockers.extend(field_limits::blocker(group));
    }
    Ok(Plan { groups, blockers, ..Plan::default() })
}

/// Turns the plan of a group without an index into the plan of a group with the found indices.
fn plan_existing(group: &mut GroupPlan, found: &GroupMetadata, blockers: &mut Vec<Blocker>) -> Result<()> {
    if let Some(source) = &found.take_over
        && !take_over::is_done(&group.names, found, source)?
    {
        return take_over::plan(group, found, source, blockers);
    }
    group.highest_generation = generations::highest(&group.names, &found.indices);
    let alias = group.names.alias();
    let mut behind = found.indices.iter().filter(|(name, state)| is_behind(alias, name, state));
    let (index, state) = match (behind.next(), behind.next()) {
        (None, _) => {
            let half_made = take_over::unfinished(group, found);
            blockers.extend(half_made.or_else(|| alias_missing(&group.names, &found.indices)));
            return Ok(());
        }
        (Some(index), None) => index,
        (Some((one, _)), Some((other, _))) => {
            blockers.push(several_indices(alias, one, other));
            return Ok(());
        }
    };
    let Some(generation) = group.names.generation(index) else {
        blockers.push(foreign_index(alias, index));
        return Ok(());
    };
    let meta = IndexMeta::from_mapping(&state.mapping).map_err(|error| error.context(index))?;
    for plan in &mut group.types {
        plan.recorded = meta.types.get(plan.definition.name()).cloned();
    }
    group.index.clone_from(index);
    group.generation = generation;
    let is_other = |name: &&String| *name != index && group.names.generation(name).is_some();
    group.kept = found.indices.keys().filter(is_other).cloned().collect();
    let is_abandoned = |name: &&String| {
        generations::is_abandoned(&group.names, name, &found.indices)
            || generations::is_orphan(&group.names, name, &found.indices)
    };
    group.abandoned = group.kept.iter().filter(is_abandoned).cloned().collect();
    blockers.extend(
        found
            .indices
            .iter()
            .filter(|(name, _)| *name != index)
            .filter_map(|(name, state)| still_written_to(&group.names, index, name, state)),
    );
    blockers.extend(other_write_alias(&group.names, index, generation, state));
    group.current = Some(CurrentIndex {
        uuid: state.uuid.clone(),
        mapping: state.mapping.clone(),
        meta,
        settings: state.settings.clone(),
        carried: Carried::of(&group.names, state),
    });
    group.way = way(group, state, found.mapping_refused);
    group.gate = Gate::of(&group.names, generation, state.aliases.keys());
    group.leftover_fills = generations::fills(&group.names, &found.indices).map(|(name, ..)| name.clone()).collect();
    group.lacks_nonce_field = group.way != Way::Copy && registry::lacks_nonce_field(&state.mapping);
    blockers.extend(group.types.iter().filter_map(|plan| type_blocker(index, plan)));
    blockers.extend(group.types.iter().filter_map(|plan| left_behind(index, plan, &state.mapping)));
    blockers.extend(block_of(&group.index, state, group.gate.is_marked()));
    Ok(())
}

fn way(group: &GroupPlan, state: &IndexState, mapping_refused: bool) -> Way {
    let changes_mapping = |plan: &TypePlan| {
        let recorded = plan.recorded.as_ref().map_or(0, |recorded| recorded.mapping_version);
        recorded > 0 && plan.definition.requires_copy_from(recorded)
    };
    if group.types.iter().all(TypePlan::is_reached) {
        Way::None
    } else if mapping_refused
        || group.types.iter().any(changes_mapping)
        || has_other_field_type(&state.mapping, &group.mapping)
    {
        Way::Copy
    } else {
        Way::InPlace
    }
}

/// Returns whether a field has different types in the two mappings. No index takes such a change.
fn has_other_field_type(current: &Value, wanted: &Value) -> bool {
    let fields = |mapping: &Value| mapping.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let current_fields = fields(current);
    fields(wanted).iter().any(|(name, wanted)| {
        let Some(current) = current_fields.get(name) else { return false };
        let type_of = |field: &Value| field.get("type").and_then(Value::as_str).unwrap_or("object").to_owned();
        type_of(current) != type_of(wanted) || has_other_field_type(current, wanted)
    })
}

/// Returns whether this software cannot work with the indices, whatever other nodes do.
pub(super) fn is_beyond_others(plan: &Plan) -> bool {
    let cannot_run = |group: &GroupPlan| group.types.iter().any(|plan| type_blocker(&group.index, plan).is_some());
    !plan.unseen.is_empty() || plan.control_misled || !plan.moved_types.is_empty() || plan.groups.iter().any(cannot_run)
}

/// Returns the blocker of an older node whose fields a newer copy changed. An older node can run next to newer ones as
/// long as the index has the fields that it searches, which a `mappings_change` ends.
fn left_behind(index: &str, plan: &TypePlan, mapping: &Value) -> Option<Blocker> {
    let recorded = plan.recorded.as_ref()?;
    let (name, latest) = (plan.definition.name(), plan.latest());
    let of_type = mapping.get("properties").and_then(|properties| properties.get(name)).unwrap_or(&Value::Null);
    let wanted = plan.definition.mapping();
    let is_left =
        recorded.mapping_version > latest && (lacks_field(of_type, wanted) || has_other_field_type(of_type, wanted));
    is_left.then(|| Blocker {
        what: format!(
            "the index {index} was copied for model version {} of type {name}, which changed the mapping that version \
             {latest} of this software searches",
            recorded.mapping_version
        ),
        hint:
            "run software that knows the newer version; `saved-objects migrate --rollback` goes back, if nothing was \
               written since"
                .to_owned(),
    })
}

/// Returns whether `current` lacks a field of `wanted`, at any depth.
fn lacks_field(current: &Value, wanted: &Value) -> bool {
    let Some(wanted) = wanted.get("properties").and_then(Value::as_object) else { return false };
    let current = current.get("properties");
    wanted.iter().any(|(name, wanted)| {
        let field = current.and_then(|current| current.get(name));
        field.is_none_or(|field| lacks_field(field, wanted))
    })
}

/// Returns the blocker of a type whose documents, or whose version, this software does not know.
fn type_blocker(index: &str, plan: &TypePlan) -> Option<Blocker> {
    let recorded = plan.recorded.as_ref()?;
    let (name, latest) = (plan.definition.name(), plan.latest());
    if recorded.document_version > latest && plan.definition.latest().forward.is_none() {
        return Some(Blocker {
            what: format!(
                "the index {index} has documents of type {name} at model version {}, and version {latest} of this \
                 software has no forward schema to read them with",
                recorded.document_version
            ),
            hint: "run software that knows the newer version".to_owned(),
        });
    }
    if recorded.document_version == latest && recorded.digest != plan.definition.digest(plan.definition.latest()) {
        return Some(Blocker {
            what: format!("model version {latest} of type {name} is not the one that {index} was migrated to"),
            hint: format!(
                "restore the released definition and put the change into model version {}; during development, use \
                 another prefix",
                latest + 1
            ),
        });
    }
    None
}
