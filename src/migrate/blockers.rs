//! Blockers that follow from an index's name, aliases and blocks. Pure.

use std::collections::BTreeMap;

use super::Blocker;
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
    let generations: Vec<&String> = indices.keys().filter(|index| names.generation(index).is_some()).collect();
    let newest = *generations.last()?;
    let (alias, write_alias) = (names.alias(), names.write_alias(names.generation(newest)?));
    let all = generations.iter().map(|index| index.as_str()).collect::<Vec<_>>().join(", ");
    let add = |alias: &str| format!("{{\"add\":{{\"index\":\"{newest}\",\"alias\":\"{alias}\",\"is_hidden\":true}}}}");
    Some(Blocker {
        what: format!("the alias {alias} is missing, and there are indices that it once led to: {all}"),
        hint: format!(
            "find out which one holds the objects; if it is {newest}, give it its aliases back: POST /_aliases \
             {{\"actions\":[{},{}]}}",
            add(alias),
            add(&write_alias)
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
