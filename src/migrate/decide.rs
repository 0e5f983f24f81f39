use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::generations;
use super::plan::CurrentIndex;
use super::take_over::{self, Source};
use super::{Blocker, GroupPlan, Plan, TypePlan, Way};
use crate::Result;
use crate::cluster::IndexState;
use crate::layout::{Gate, IndexMeta, IndexNames, Prefix};
use crate::registry::{self, Registry, TypeDefinition};

/// What is known of an index group before it is planned.
#[derive(Debug, Clone, Default)]
pub struct GroupMetadata {
    /// The indices behind the group's alias, and all whose names begin with it: every generation and every fill.
    pub indices: BTreeMap<String, IndexState>,
    /// Whether the index has already refused the registered mapping.
    pub mapping_refused: bool,
    /// What of Kibana's the group is to be made of; none if it is not to be taken over.
    pub take_over: Option<Source>,
}

/// A plan for every group of the registry, as if there were no index yet.
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

/// Decides what is to be done, from the registered types and what each group's index says. Pure: it asks nobody.
///
/// # Errors
/// [`Incompatible`](crate::ErrorKind::Incompatible) if an index's `_meta` has a form that this version does not know.
pub fn plan(registry: &Registry, prefix: &Prefix, metadata: &BTreeMap<String, GroupMetadata>) -> Result<Plan> {
    let missing_transform = |name: &str| Blocker {
        what: format!("a model version needs the transform `{name}`, which this software does not have"),
        cure: "register the transform with the registry, or migrate with the software that has it".to_owned(),
    };
    let mut blockers: Vec<Blocker> = registry.missing_transforms().into_iter().map(missing_transform).collect();
    let mut groups = new_plans(registry, prefix);
    for group in &mut groups {
        if let Some(found) = metadata.get(&group.group) {
            look_at(group, found, &mut blockers)?;
        }
    }
    Ok(Plan { groups, blockers, unseen: Vec::new() })
}

/// Turns the plan of a group without an index into that of one with these indices.
fn look_at(group: &mut GroupPlan, found: &GroupMetadata, blockers: &mut Vec<Blocker>) -> Result<()> {
    if let Some(source) = &found.take_over
        && !take_over::is_done(&group.names, found, source)?
    {
        return take_over::look_at(group, found, source, blockers);
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
            blockers.push(Blocker {
                what: format!("the alias {alias} points to several indices: {one}, {other}"),
                cure: format!(
                    "find out which one holds the objects (the current one has its alias {alias}-<number>-write too), and take \
                     the alias from the other: {}",
                    removal_of("<the other>", alias)
                ),
            });
            return Ok(());
        }
    };
    let Some(generation) = group.names.generation(index) else {
        blockers.push(Blocker {
            what: format!(
                "the name {} leads to the index {index}, which this library did not make",
                group.names.alias()
            ),
            cure: format!("see what is in it; delete it if nobody needs it: DELETE /{index}; or use another prefix"),
        });
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
    let is_abandoned = |name: &&String| generations::is_abandoned(&group.names, name, &found.indices);
    group.abandoned = group.kept.iter().filter(is_abandoned).cloned().collect();
    blockers.extend(
        found
            .indices
            .iter()
            .filter(|(name, _)| *name != index)
            .filter_map(|(name, state)| still_written_to(&group.names, index, name, state)),
    );
    blockers.extend(other_write_alias(&group.names, index, generation, state));
    group.current = Some(CurrentIndex { uuid: state.uuid.clone(), mapping: state.mapping.clone(), meta });
    group.way = way(group, state, found.mapping_refused);
    group.gate = Gate::of(&group.names, generation, state.aliases.keys());
    group.leftover_fills = generations::fills(&group.names, &found.indices).map(|(name, ..)| name.clone()).collect();
    group.lacks_nonce_field = group.way != Way::Copy && registry::lacks_nonce_field(&state.mapping);
    blockers.extend(group.types.iter().filter_map(|plan| type_blocker(index, plan)));
    blockers.extend(group.types.iter().filter_map(|plan| left_behind(index, plan, &state.mapping)));
    blockers.extend(block_of(&group.index, state, group.gate.is_marked()));
    Ok(())
}

/// Whether a name leads to the index: because it is an alias of it, or its own name.
pub(super) fn is_behind(alias: &str, name: &str, state: &IndexState) -> bool {
    name == alias || state.aliases.contains_key(alias)
}

/// An index that is not current and has an alias for writes all the same, as after an alias was moved by hand or a snapshot
/// restored: nodes write to it, or, if the alias leads to two indices, to neither.
fn still_written_to(names: &IndexNames, current: &str, name: &str, state: &IndexState) -> Option<Blocker> {
    let alias = names.alias();
    let write_alias = state.aliases.keys().find(|alias| names.is_write_alias(alias))?;
    if state.aliases.contains_key(alias) {
        return None;
    }
    let close = removal_of(name, write_alias);
    let what = format!(
        "{name} still has its alias for writes, {write_alias}, though {current} is the current index of {alias}: some nodes may \
         write to the one and some to the other, or to neither"
    );
    let cure = match names.generation(name) {
        Some(_) => format!(
            "compare the two. If {name} holds the newest objects, make it current again: POST /_aliases \
             {{\"actions\":[{{\"remove\":{{\"index\":\"{current}\",\"alias\":\"{alias}\"}}}},{{\"add\":{{\"index\":\"{name}\",\
             \"alias\":\"{alias}\",\"is_hidden\":true}}}}]}}. If {current} does, close {name}, which keeps what was written to it: \
             {close}"
        ),
        None => {
            format!("compare the two; then take the alias from {name}, which keeps what was written to it: {close}")
        }
    };
    Some(Blocker { what, cure })
}

/// The alias for writes of another generation on the current index: nodes that remember that generation would write here under
/// its version tokens.
fn other_write_alias(names: &IndexNames, index: &str, generation: u32, state: &IndexState) -> Option<Blocker> {
    let own = names.write_alias(generation);
    let other = state.aliases.keys().find(|alias| names.is_write_alias(alias) && **alias != own)?;
    Some(Blocker {
        what: format!("{index} has {other}, which is the alias for writes of another generation"),
        cure: format!("take it away: {}", removal_of(index, other)),
    })
}

/// The request that takes an alias from an index.
fn removal_of(index: &str, alias: &str) -> String {
    format!("POST /_aliases {{\"actions\":[{{\"remove\":{{\"index\":\"{index}\",\"alias\":\"{alias}\"}}}}]}}")
}

/// Generations without the alias: a restore or a clean-up lost it, and a new first generation would hide them.
pub(super) fn alias_missing(names: &IndexNames, indices: &BTreeMap<String, IndexState>) -> Option<Blocker> {
    let generations: Vec<&String> = indices.keys().filter(|index| names.generation(index).is_some()).collect();
    let newest = *generations.last()?;
    let (alias, write_alias) = (names.alias(), names.write_alias(names.generation(newest)?));
    let all = generations.iter().map(|index| index.as_str()).collect::<Vec<_>>().join(", ");
    let add = |alias: &str| format!("{{\"add\":{{\"index\":\"{newest}\",\"alias\":\"{alias}\",\"is_hidden\":true}}}}");
    Some(Blocker {
        what: format!("the alias {alias} is missing, and there are indices that it once led to: {all}"),
        cure: format!(
            "find out which one holds the objects; if it is {newest}, give it its aliases back: POST /_aliases \
             {{\"actions\":[{},{}]}}",
            add(alias),
            add(&write_alias)
        ),
    })
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

/// Whether a field that both mappings have is of another type in each: no index takes such a change.
fn has_other_field_type(current: &Value, wanted: &Value) -> bool {
    let fields = |mapping: &Value| mapping.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let current_fields = fields(current);
    fields(wanted).iter().any(|(name, wanted)| {
        let Some(current) = current_fields.get(name) else { return false };
        let type_of = |field: &Value| field.get("type").and_then(Value::as_str).unwrap_or("object").to_owned();
        type_of(current) != type_of(wanted) || has_other_field_type(current, wanted)
    })
}

/// The block of an index of ours that users meet. `is_closed`: a mark says that a write block is a copy's, which marks its
/// source before it blocks it, and takes the mark away after the block.
pub(super) fn block_of(index: &str, state: &IndexState, is_closed: bool) -> Option<Blocker> {
    if let Some(block) = state.other_blocks.first() {
        return Some(blocked_by(block, index));
    }
    (state.write_blocked && !is_closed).then(|| Blocker {
        what: format!("the index {index} has a write block, and not that of a copy that is at work"),
        cure: format!(
            "find out who set it, or whether a copy was stopped that left it behind; then lift it: PUT /{index}/_settings \
             {{\"index.blocks.write\":null}}"
        ),
    })
}

/// A block that a migration neither sets nor lifts.
pub(super) fn blocked_by(block: &str, index: &str) -> Blocker {
    let lift = format!("PUT /{index}/_settings {{\"index.blocks.{block}\":null}}");
    match block {
        "read_only_allow_delete" => Blocker {
            what: format!(
                "the index {index} takes no writes, because the disk of its node is nearly full \
                 (index.blocks.read_only_allow_delete)"
            ),
            cure: format!(
                "free disk space on the data nodes or add one, see GET /_cat/allocation?v; the server then lifts the block by \
                 itself, or lift it: {lift}"
            ),
        },
        _ => Blocker {
            what: format!("the index {index} has the block index.blocks.{block}"),
            cure: format!("find out who set it; if it was left behind, lift it: {lift}"),
        },
    }
}

/// Whether this software can never go on with the indices as they are, whatever other nodes do.
pub(super) fn is_beyond_others(registry: &Registry, plan: &Plan) -> bool {
    let cannot_run = |group: &GroupPlan| group.types.iter().any(|plan| type_blocker(&group.index, plan).is_some());
    !registry.missing_transforms().is_empty() || !plan.unseen.is_empty() || plan.groups.iter().any(cannot_run)
}

/// An older node goes on beside a newer one as long as it finds the fields that it searches: not across a `mappings_change`.
fn left_behind(index: &str, plan: &TypePlan, mapping: &Value) -> Option<Blocker> {
    let recorded = plan.recorded.as_ref()?;
    let (name, latest) = (plan.definition.name(), plan.latest());
    let of_type = mapping.get("properties").and_then(|properties| properties.get(name)).unwrap_or(&Value::Null);
    let wanted = plan.definition.mapping();
    let is_left =
        recorded.mapping_version > latest && (lacks_field(of_type, wanted) || has_other_field_type(of_type, wanted));
    is_left.then(|| Blocker {
        what: format!(
            "the index {index} was copied for model version {} of type {name}, which changed the mapping that version {latest} \
             of this software searches",
            recorded.mapping_version
        ),
        cure: "run software that knows the newer version; `saved-objects migrate --rollback` goes back, if nothing was \
               written since"
            .to_owned(),
    })
}

/// Whether `current` has no field where `wanted` has one, at any depth.
fn lacks_field(current: &Value, wanted: &Value) -> bool {
    let Some(wanted) = wanted.get("properties").and_then(Value::as_object) else { return false };
    let current = current.get("properties");
    wanted.iter().any(|(name, wanted)| {
        let field = current.and_then(|current| current.get(name));
        field.is_none_or(|field| lacks_field(field, wanted))
    })
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
    None
}
