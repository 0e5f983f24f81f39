//! Blockers that follow from an index's name, aliases and blocks. Pure.

use std::collections::BTreeMap;

use super::Blocker;
use super::metadata::is_behind;
use crate::cluster::IndexState;
use crate::layout::IndexNames;

/// Returns the blocker of an index that another program made under a name of ours. It may be in use, so the hint names
/// its deletion last.
pub(super) fn foreign_index(alias: &str, index: &str) -> Blocker {
    let hint = match index == alias {
        true => format!(
            "use another prefix (--prefix), or see whose it is: GET /{index}/_search; only if its content is not \
             needed, as when a client wrote before the first start: DELETE /{index}"
        ),
        false => format!(
            "use another prefix (--prefix), or have those who use the alias name the index by another one, and rename \
             it: POST /_aliases {{\"actions\":[{{\"add\":{{\"index\":\"{index}\",\"alias\":\"<another \
             name>\"}}}},{{\"remove\":{{\"index\":\"{index}\",\"alias\":\"{alias}\"}}}}]}}"
        ),
    };
    Blocker { what: format!("the name {alias} leads to the index {index}, which this library did not make"), hint }
}

/// Returns the blocker of an alias that leads to two indices, as after a restore next to the live index.
pub(super) fn several_indices(alias: &str, one: &str, other: &str) -> Blocker {
    Blocker {
        what: format!("the alias {alias} points to several indices: {one}, {other}"),
        hint: format!(
            "find out which one holds the objects (the current one has its alias {alias}-<number>-write too), and take \
             the alias from the other: {}",
            removal_of("<the other>", alias)
        ),
    }
}

/// Returns the blocker of an index that is not current but has an alias for writes, as after an alias was moved by hand
/// or a snapshot was restored. Nodes write to that index, or, if the alias leads to two indices, to neither.
pub(super) fn still_written_to(names: &IndexNames, current: &str, name: &str, state: &IndexState) -> Option<Blocker> {
    let alias = names.alias();
    let write_alias = state.aliases.keys().find(|alias| names.is_write_alias(alias))?;
    if state.aliases.contains_key(alias) {
        return None;
    }
    let close = removal_of(name, write_alias);
    let what = format!(
        "{name} still has its alias for writes, {write_alias}, though {current} is the current index of {alias}: some \
         nodes may write to the one and some to the other, or to neither"
    );
    let hint = match names.generation(name) {
        Some(_) => format!(
            "compare the two. If {name} holds the newest objects, make it current again: POST /_aliases \
             {{\"actions\":[{{\"remove\":{{\"index\":\"{current}\",\"alias\":\"{alias}\"}}}},\
             {{\"add\":{{\"index\":\"{name}\",\"alias\":\"{alias}\",\"is_hidden\":true}}}}]}}. If {current} does, \
             close {name}, which keeps what was written to it: {close}"
        ),
        None => {
            format!("compare the two; then take the alias from {name}, which keeps what was written to it: {close}")
        }
    };
    Some(Blocker { what, hint })
}

/// Returns the blocker of a current index that has the alias for writes of another generation: nodes that remember that
/// generation would write here under its version tokens.
pub(super) fn other_write_alias(
    names: &IndexNames,
    index: &str,
    generation: u32,
    state: &IndexState,
) -> Option<Blocker> {
    let own = names.write_alias(generation);
    let other = state.aliases.keys().find(|alias| names.is_write_alias(alias) && **alias != own)?;
    Some(Blocker {
        what: format!("{index} has {other}, which is the alias for writes of another generation"),
        hint: format!("take it away: {}", removal_of(index, other)),
    })
}

/// Returns the request that removes an alias from an index.
pub(super) fn removal_of(index: &str, alias: &str) -> String {
    format!("POST /_aliases {{\"actions\":[{{\"remove\":{{\"index\":\"{index}\",\"alias\":\"{alias}\"}}}}]}}")
}

/// Returns the blocker of generations that the alias does not lead to. A restore or a clean-up removed the alias, and a
/// new first generation would hide their objects.
pub(super) fn alias_missing(names: &IndexNames, indices: &BTreeMap<String, IndexState>) -> Option<Blocker> {
    aliases_missing(names, indices, |generation| vec![names.alias().to_owned(), names.write_alias(generation)])
}

/// Returns the blocker of the control index if its alias does not lead to it, or also to another index. Without
/// the alias no key would seem to be in use, and no lease and no claim could be taken.
pub(super) fn control_misled(names: &IndexNames, indices: &BTreeMap<String, IndexState>) -> Option<Blocker> {
    misled(names, indices, || aliases_missing(names, indices, |_| vec![names.alias().to_owned()]))
}

/// Returns the blocker of the quarantine if its alias does not lead to it, or also to another index. Without the
/// alias the quarantine would seem to be empty.
pub(super) fn quarantine_misled(names: &IndexNames, indices: &BTreeMap<String, IndexState>) -> Option<Blocker> {
    misled(names, indices, || alias_missing(names, indices))
}

/// Returns the blocker of an alias that leads to several indices or to one of others, or `missing` if it leads to none.
fn misled(
    names: &IndexNames,
    indices: &BTreeMap<String, IndexState>,
    missing: impl FnOnce() -> Option<Blocker>,
) -> Option<Blocker> {
    let alias = names.alias();
    let mut behind = indices.iter().filter(|(name, state)| is_behind(alias, name, state)).map(|(name, _)| name);
    match (behind.next(), behind.next()) {
        (None, _) => missing(),
        (Some(one), Some(other)) => Some(several_indices(alias, one, other)),
        (Some(index), None) => names.generation(index).is_none().then(|| foreign_index(alias, index)),
    }
}

/// Returns the blocker of generations without the aliases that `aliases` returns for the newest of them.
fn aliases_missing(
    names: &IndexNames,
    indices: &BTreeMap<String, IndexState>,
    aliases: impl FnOnce(u32) -> Vec<String>,
) -> Option<Blocker> {
    let generations: Vec<&String> = indices.keys().filter(|index| names.generation(index).is_some()).collect();
    let newest = *generations.last()?;
    let all = generations.iter().map(|index| index.as_str()).collect::<Vec<_>>().join(", ");
    let add =
        |alias: String| format!("{{\"add\":{{\"index\":\"{newest}\",\"alias\":\"{alias}\",\"is_hidden\":true}}}}");
    let actions: Vec<String> = aliases(names.generation(newest)?).into_iter().map(add).collect();
    Some(Blocker {
        what: format!("the alias {} is missing, and there are indices that it once led to: {all}", names.alias()),
        hint: format!(
            "find out which one holds the objects; if it is {newest}, give it its aliases back: POST /_aliases \
             {{\"actions\":[{}]}}",
            actions.join(",")
        ),
    })
}

/// Returns the blocker of a block that affects the users of our index. `is_closed`: the gate has a mark. A copy marks
/// its source before it sets the write block, and removes the mark after the block, so a write block next to a mark is
/// a copy's.
pub(super) fn block_of(index: &str, state: &IndexState, is_closed: bool) -> Option<Blocker> {
    if let Some(block) = state.other_blocks.first() {
        return Some(blocked_by(block, index));
    }
    (state.write_blocked && !is_closed).then(|| Blocker {
        what: format!("the index {index} has a write block, and not that of a copy that is at work"),
        hint: format!(
            "find out who set it, or whether a copy was stopped that left it behind; then lift it: PUT \
             /{index}/_settings {{\"index.blocks.write\":null}}"
        ),
    })
}

/// Returns the blocker of a block that a migration neither sets nor lifts.
pub(super) fn blocked_by(block: &str, index: &str) -> Blocker {
    let lift = format!("PUT /{index}/_settings {{\"index.blocks.{block}\":null}}");
    match block {
        "read_only_allow_delete" => Blocker {
            what: format!(
                "the index {index} takes no writes, because the disk of its node is nearly full \
                 (index.blocks.read_only_allow_delete)"
            ),
            hint: format!(
                "free disk space on the data nodes or add one, see GET /_cat/allocation?v; the server then lifts the \
                 block by itself, or lift it: {lift}"
            ),
        },
        _ => Blocker {
            what: format!("the index {index} has the block index.blocks.{block}"),
            hint: format!("find out who set it; if it was left behind, lift it: {lift}"),
        },
    }
}
