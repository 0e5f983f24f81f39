//! Alias updates, and the names that indices and aliases may have.

use super::refusals::{missing, refusal, rejected};
use super::settings::Level;
use super::state::State;
use crate::cluster::{AliasAction, AliasState, ClusterError, ClusterResult};

/// The longest name of an index or alias.
const MAX_NAME_BYTES: usize = 255;

/// Applies all actions, or none of them.
pub(super) fn update(state: &mut State, steps: &[AliasAction]) -> ClusterResult<()> {
    if steps.is_empty() {
        return Err(rejected("No action specified"));
    }
    steps.iter().try_for_each(|step| check(state, step))?;
    for step in steps {
        match step {
            AliasAction::Add { index, alias } => {
                state.index_mut(index)?.aliases.insert(alias.clone(), AliasState::hidden());
            }
            AliasAction::AddAs { index, alias, state: alias_state } => {
                state.index_mut(index)?.aliases.insert(alias.clone(), alias_state.clone());
            }
            AliasAction::Remove { index, alias } => {
                state.index_mut(index)?.aliases.remove(alias);
            }
            AliasAction::RemoveIndex { index } => drop(state.indices.remove(index)),
        }
    }
    Ok(())
}

/// Returns whether everything is as the actions leave it, which settles a client's repeat.
pub(super) fn are_done(state: &State, actions: &[AliasAction]) -> bool {
    let has =
        |index: &str, alias: &str| state.indices.get(index).is_some_and(|index| index.aliases.contains_key(alias));
    AliasAction::are_done(actions, has, |index| state.indices.contains_key(index))
}

fn check(state: &State, action: &AliasAction) -> ClusterResult<()> {
    let (AliasAction::Add { index: name, .. }
    | AliasAction::AddAs { index: name, .. }
    | AliasAction::Remove { index: name, .. }
    | AliasAction::RemoveIndex { index: name }) = action;
    let Some(index) = state.indices.get(name) else {
        return Err(if state.behind(name).is_empty() { missing(name) } else { is_alias(name) });
    };
    if let Some(block) = index.settings.block(Level::MetadataWrite) {
        return Err(block.refusal(name));
    }
    match action {
        AliasAction::RemoveIndex { .. } => state.check_not_in_snapshot("delete", &[name]),
        AliasAction::Add { alias, .. } | AliasAction::AddAs { alias, .. } => check_alias_name(state, alias),
        AliasAction::Remove { alias, .. } if index.aliases.contains_key(alias) => Ok(()),
        AliasAction::Remove { alias, .. } => {
            Err(refusal(404, "aliases_not_found_exception", format!("aliases [{alias}] missing")))
        }
    }
}

/// Returns the refusal of an alias where an index is expected.
pub(super) fn is_alias(name: &str) -> ClusterError {
    rejected(format!(
        "The provided expression [{name}] matches an alias, specify the corresponding concrete indices instead."
    ))
}

pub(super) fn check_alias_name(state: &State, alias: &str) -> ClusterResult<()> {
    match state.indices.contains_key(alias) {
        true => Err(invalid_alias(
            alias,
            "an index, data stream, ESQL view, or ESQL dataset exists with the same name as the alias",
        )),
        false => check_name(alias, "alias").map_err(|reason| invalid_alias(alias, &reason)),
    }
}

fn invalid_alias(alias: &str, reason: &str) -> ClusterError {
    refusal(400, "invalid_alias_name_exception", format!("Invalid alias name [{alias}]: {reason}"))
}

pub(super) fn check_index_name(state: &State, name: &str) -> ClusterResult<()> {
    let refused =
        |reason: String| refusal(400, "invalid_index_name_exception", format!("Invalid index name [{name}], {reason}"));
    check_name(name, "index").map_err(refused)?;
    if name.chars().any(char::is_uppercase) {
        return Err(refused("must be lowercase".to_owned()));
    }
    if let Some(index) = state.indices.get(name) {
        let reason = format!("index [{name}/{}] already exists", index.uuid);
        return Err(refusal(400, "resource_already_exists_exception", reason));
    }
    if state.behind(name).is_empty() { Ok(()) } else { Err(refused("already exists as alias".to_owned())) }
}

fn check_name(name: &str, what: &str) -> Result<(), String> {
    let is_odd = |c: char| matches!(c, '\\' | '/' | '*' | '?' | '"' | '<' | '>' | '|' | ' ' | ',');
    if name.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if name.contains(is_odd) {
        return Err(r#"must not contain the following characters [' ','"','*',',','/','<','>','?','\','|']"#.to_owned());
    }
    if let Some(odd) = ['#', ':'].into_iter().find(|&odd| name.contains(odd)) {
        return Err(format!("must not contain '{odd}'"));
    }
    if name.starts_with(['-', '_', '+']) {
        return Err("must not start with '_', '-', or '+'".to_owned());
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("{what} name is too long, ({} > {MAX_NAME_BYTES})", name.len()));
    }
    if matches!(name, "." | "..") { Err("must not be '.' or '..'".to_owned()) } else { Ok(()) }
}
