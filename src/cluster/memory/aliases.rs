use super::state::{State, missing, rejected};
use crate::cluster::{AliasAction, ClusterError, ClusterErrorKind, ClusterResult};

/// The longest name of an index or alias.
const MAX_NAME_BYTES: usize = 255;

/// Does all the actions, or none.
pub(super) fn update(state: &mut State, actions: &[AliasAction]) -> ClusterResult<()> {
    if actions.is_empty() {
        return Err(rejected("POST", "_aliases", "no action specified"));
    }
    match actions.iter().try_for_each(|action| check(state, action)) {
        Err(error) if AliasAction::refusals_when_done(actions).contains(&error.kind) && are_done(state, actions) => {
            return Ok(());
        }
        checked => checked?,
    }
    for action in actions {
        match action {
            AliasAction::Add { index, alias } => {
                state.index_mut(index, "POST")?.aliases.insert(alias.clone());
            }
            AliasAction::Remove { index, alias } => {
                state.index_mut(index, "POST")?.aliases.remove(alias);
            }
            AliasAction::RemoveIndex { index } => drop(state.indices.remove(index)),
        }
    }
    Ok(())
}

/// Whether all is as the actions want it, as for whoever repeats them.
fn are_done(state: &State, actions: &[AliasAction]) -> bool {
    let has = |index: &str, alias: &str| state.indices.get(index).is_some_and(|index| index.aliases.contains(alias));
    AliasAction::are_done(actions, has, |index| state.indices.contains_key(index))
}

fn check(state: &State, action: &AliasAction) -> ClusterResult<()> {
    let (AliasAction::Add { index: name, .. }
    | AliasAction::Remove { index: name, .. }
    | AliasAction::RemoveIndex { index: name }) = action;
    let Some(index) = state.indices.get(name) else {
        return Err(match state.behind(name).is_empty() {
            true => missing("POST", "_aliases"),
            false => rejected("POST", "_aliases", format!("{name} is an alias, where an index is expected")),
        });
    };
    match action {
        AliasAction::RemoveIndex { .. } => Ok(()),
        AliasAction::Add { alias, .. } => check_alias_name(state, alias),
        AliasAction::Remove { alias, .. } if index.aliases.contains(alias) => Ok(()),
        AliasAction::Remove { alias, .. } => {
            let reason = format!("aliases [{alias}] missing");
            Err(ClusterError::new(ClusterErrorKind::AliasNotFound, "POST", "_aliases", reason))
        }
    }
}

pub(super) fn check_alias_name(state: &State, alias: &str) -> ClusterResult<()> {
    match state.indices.contains_key(alias) {
        true => Err(rejected("POST", "_aliases", format!("there is an index of the alias's name {alias}"))),
        false => check_name(alias),
    }
}

pub(super) fn check_index_name(state: &State, name: &str) -> ClusterResult<()> {
    match state.behind(name).is_empty() {
        true if name.chars().any(char::is_uppercase) => {
            Err(rejected("PUT", name, "an index's name must be lower-case"))
        }
        true => check_name(name),
        false => Err(rejected("PUT", name, "there is an alias of the index's name")),
    }
}

fn check_name(name: &str) -> ClusterResult<()> {
    let is_odd = |c: char| matches!(c, '\\' | '/' | '*' | '?' | '"' | '<' | '>' | '|' | ' ' | ',' | '#' | ':');
    let is_fine = !name.is_empty()
        && name.len() <= MAX_NAME_BYTES
        && !name.starts_with(['-', '_', '+'])
        && !matches!(name, "." | "..")
        && !name.contains(is_odd);
    if is_fine { Ok(()) } else { Err(rejected("PUT", name, "the name of an index or alias is malformed")) }
}
