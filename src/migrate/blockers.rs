//! Blockers that follow from an index's name, aliases and blocks, and from its being closed. Pure.

use std::collections::BTreeMap;

use super::metadata::is_behind;
use super::plan::OwnIndex;
use super::{Blocker, CheckName, sequence_numbers};
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
    let what = format!("the name {alias} leads to the index {index}, which this library did not make");
    Blocker { check: CheckName::Aliases, what, hint }
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
    Some(Blocker { check: CheckName::Aliases, what, hint })
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
        check: CheckName::Aliases,
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
    let write_alias = names.write_alias(names.generation(newest)?);
    Some(without_alias(names.alias(), &generations, &[names.alias(), &write_alias]))
}

/// Returns the blocker of generations that an alias does not lead to, of which the newest one needs `aliases`.
fn without_alias(alias: &str, generations: &[&String], aliases: &[&str]) -> Blocker {
    let newest = generations.last().map_or("", |newest| newest.as_str());
    let all = generations.iter().map(|index| index.as_str()).collect::<Vec<_>>().join(", ");
    let add = |alias: &&str| format!("{{\"add\":{{\"index\":\"{newest}\",\"alias\":\"{alias}\",\"is_hidden\":true}}}}");
    let actions = aliases.iter().map(add).collect::<Vec<_>>().join(",");
    Blocker {
        check: CheckName::Aliases,
        what: format!("the alias {alias} is missing, and there are indices that it once led to: {all}"),
        hint: format!(
            "find out which one holds the objects; if it is {newest}, give it its aliases back: POST /_aliases \
             {{\"actions\":[{actions}]}}"
        ),
    }
}

/// Returns the blocker of an alias that leads to more than one index.
pub(super) fn several_behind(alias: &str, one: &str, other: &str) -> Blocker {
    Blocker {
        check: CheckName::Aliases,
        what: format!("the alias {alias} points to several indices: {one}, {other}"),
        hint: format!(
            "find out which one holds the objects (the current one has its alias {alias}-<number>-write too), and take \
             the alias from the other: {}",
            removal_of("<the other>", alias)
        ),
    }
}

/// Returns the state of an index that the engine uses for itself, with its blockers. `aliases` are all that it needs,
/// the one for reads first. `indices` are those under the prefix.
pub(super) fn own_index(
    names: &IndexNames,
    aliases: &[&str],
    indices: &BTreeMap<String, IndexState>,
) -> (OwnIndex, Vec<Blocker>) {
    let alias = names.alias();
    let generations: Vec<&String> = indices.keys().filter(|index| names.generation(index).is_some()).collect();
    let behind: Vec<(&String, &IndexState)> =
        indices.iter().filter(|(name, state)| is_behind(alias, name, state)).collect();
    let mut blockers = Vec::new();
    match behind.as_slice() {
        [] if generations.is_empty() => return (OwnIndex::Missing, blockers),
        [] => blockers.push(without_alias(alias, &generations, aliases)),
        [(index, _)] if names.generation(index).is_none() => blockers.push(foreign_index(alias, index)),
        [(index, state)] => {
            let lacks = |alias: &&&str| !state.aliases.contains_key(**alias);
            let missing: Vec<&str> = aliases.iter().filter(lacks).copied().collect();
            blockers.extend(missing.first().map(|first| without_alias(first, &[*index], &missing)));
        }
        [(one, _), (other, _), ..] => blockers.push(several_behind(alias, one, other)),
    }
    let of_it =
        indices.iter().filter(|(name, _)| generations.contains(name) || behind.iter().any(|(it, _)| it == name));
    let (mut found, mut is_readable) = (Vec::new(), blockers.is_empty());
    for (name, state) in of_it {
        found.extend(blocks_of(name, state, false));
        is_readable &= is_open_to_reads(state);
    }
    blockers.extend(found);
    (if is_readable { OwnIndex::Readable } else { OwnIndex::Unreadable }, blockers)
}

fn is_open_to_reads(state: &IndexState) -> bool {
    !state.is_closed() && !state.other_blocks.contains("read")
}

/// Returns the blockers of an index of ours that its users cannot read or write: it is closed, or has a block.
/// `is_gate_closed`: the gate has a mark. A copy marks its source before it sets the write block, and removes the mark
/// after the block, so a write block next to a mark is a copy's.
pub(super) fn blocks_of(index: &str, state: &IndexState, is_gate_closed: bool) -> Vec<Blocker> {
    let closed = state.is_closed().then(|| Blocker {
        check: CheckName::Closed,
        what: format!("the index {index} is closed, so that it can be neither read nor written"),
        hint: format!("find out who closed it; then open it: POST /{index}/_open"),
    });
    let others = state.other_blocks.iter().map(|block| blocked_by(block, index));
    let write = (state.write_blocked && !is_gate_closed).then(|| Blocker {
        check: CheckName::Blocks,
        what: format!("the index {index} has a write block, and not that of a copy that is at work"),
        hint: format!(
            "find out who set it, or whether a copy was stopped that left it behind; then lift it: PUT \
             /{index}/_settings {{\"index.blocks.write\":null}}"
        ),
    });
    let unnumbered = sequence_numbers::disabled(index, state);
    closed.into_iter().chain(others).chain(write).chain(unnumbered).collect()
}

/// Returns the blocker of a block that a migration neither sets nor lifts.
pub(super) fn blocked_by(block: &str, index: &str) -> Blocker {
    let lift = format!("PUT /{index}/_settings {{\"index.blocks.{block}\":null}}");
    match block {
        "read_only_allow_delete" => Blocker {
            check: CheckName::Blocks,
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
            check: CheckName::Blocks,
            what: format!("the index {index} has the block index.blocks.{block}"),
            hint: format!("find out who set it; if it was left behind, lift it: {lift}"),
        },
    }
}
