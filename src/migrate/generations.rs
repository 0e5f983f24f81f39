//! Classifies the indices of a group, and deletes one only with proof that no object is lost. Names and numbers prove
//! nothing; the record in an index's `_meta` does.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::gate::{Gatekeeper, update_aliases};
use crate::Result;
use crate::cluster::{AliasAction, Cluster, ClusterError, ClusterErrorKind, Health, History, IndexState};
use crate::layout::{CopyRecord, Gate, IndexMeta, IndexNames};

/// Returns the record of the copy that made an index, or `None` if the index is no copy or its `_meta` cannot be read.
fn copy_of(state: &IndexState) -> Option<CopyRecord> {
    IndexMeta::from_mapping(&state.mapping).ok()?.copy
}

/// Returns the record of a staging index. The name of a staging index is derived from its record; an index of another
/// name is not one of ours.
pub(super) fn fill_record(names: &IndexNames, name: &str, state: &IndexState) -> Option<CopyRecord> {
    let record = copy_of(state).filter(|_| names.is_fill(name))?;
    (names.fill(&record.digest()) == name).then_some(record)
}

/// Returns whether an index is a staging index of the group.
pub(crate) fn is_staging_index(names: &IndexNames, name: &str, state: &IndexState) -> bool {
    fill_record(names, name, state).is_some()
}

/// Returns the group's staging indices, with their records.
pub(super) fn fills<'a>(
    names: &'a IndexNames,
    indices: &'a BTreeMap<String, IndexState>,
) -> impl Iterator<Item = (&'a String, &'a IndexState, CopyRecord)> {
    indices.iter().filter_map(|(name, state)| Some((name, state, fill_record(names, name, state)?)))
}

/// Returns whether an index is a generation that a copy made and that never became current: its source does not record
/// so high a number, as it would after a rollback, and nothing was copied from the index. [`remove_generation`] finds
/// out whether the index holds objects that no other index has.
pub(super) fn is_abandoned(names: &IndexNames, name: &str, indices: &BTreeMap<String, IndexState>) -> bool {
    let (Some(generation), Some(state)) = (names.generation(name), indices.get(name)) else { return false };
    let Some(record) = clone_record(state) else { return false };
    let known = source_of(&record, indices)
        .and_then(|(_, source)| IndexMeta::from_mapping(&source.mapping).ok())
        .map(|meta| meta.highest_generation);
    let is_source = indices.values().filter_map(copy_of).any(|other| other.source_uuid == state.uuid);
    known.is_some_and(|known| known < generation) && !is_source && !state.aliases.contains_key(names.alias())
}

/// Returns the clones of a source that have no alias except the mark of a removal, and whose deletion loses nothing. A
/// clone that lost its aliases, as in a restore, may hold what users wrote, and is left out.
///
/// # Errors
/// Those of the cluster.
pub(super) async fn unused_clones(
    cluster: &dyn Cluster,
    names: &IndexNames,
    indices: &BTreeMap<String, IndexState>,
    source_uuid: &str,
) -> Result<Vec<String>> {
    let mut unused = Vec::new();
    for (name, state) in indices {
        let Some(generation) = names.generation(name) else { continue };
        let Some(record) = clone_record(state).filter(|record| record.source_uuid == source_uuid) else { continue };
        if Gate::of(names, generation, state.aliases.keys()).marks().count() < state.aliases.len() {
            continue;
        }
        if is_unused_clone(cluster, name, &record, indices).await? {
            unused.push(name.clone());
        } else {
            tracing::warn!(name, "left a clone that a take-over made: it was written to since");
        }
    }
    Ok(unused)
}

/// Returns the record of a clone that the engine made of a complete staging index.
fn clone_record(state: &IndexState) -> Option<CopyRecord> {
    copy_of(state).filter(|record| record.complete.is_some() && record.is_of(&state.uuid))
}

/// Returns the index that a copy was made from.
fn source_of<'a>(
    record: &CopyRecord,
    indices: &'a BTreeMap<String, IndexState>,
) -> Option<(&'a String, &'a IndexState)> {
    indices.get_key_value(&record.source).filter(|(_, source)| source.uuid == record.source_uuid)
}

/// Returns the highest number that a generation of the group has, or that an index records.
pub(super) fn highest(names: &IndexNames, indices: &BTreeMap<String, IndexState>) -> u32 {
    let known = indices.iter().flat_map(|(name, state)| {
        let generation = names.generation(name);
        let is_ours = generation.is_some() || fill_record(names, name, state).is_some();
        let meta = IndexMeta::from_mapping(&state.mapping).ok().filter(|_| is_ours);
        [generation, meta.map(|meta| meta.highest_generation)]
    });
    known.flatten().max().unwrap_or_default()
}

/// Returns whether the deletion of a generation that is not current loses nothing.
///
/// # Errors
/// Those of the cluster.
async fn is_held_elsewhere(
    cluster: &dyn Cluster,
    name: &str,
    current: &str,
    indices: &BTreeMap<String, IndexState>,
) -> Result<bool> {
    let Some(state) = indices.get(name) else { return Ok(true) };
    if is_copied_on(cluster, name, &state.uuid, current, indices).await? {
        return Ok(true);
    }
    match clone_record(state) {
        Some(record) => is_unused_clone(cluster, name, &record, indices).await,
        None => Ok(false),
    }
}

/// Returns whether the current generation was copied from this one, directly or through others that exist, and this one
/// has taken no write since. The record of a copy that was undone proves nothing.
async fn is_copied_on(
    cluster: &dyn Cluster,
    name: &str,
    uuid: &str,
    current: &str,
    indices: &BTreeMap<String, IndexState>,
) -> Result<bool> {
    let mut copy = indices.get(current).and_then(copy_of);
    // No chain is longer than the number of indices.
    for _ in indices {
        let Some(record) = copy else { return Ok(false) };
        if record.source == name && record.source_uuid == uuid {
            let now = history(cluster, name).await?;
            return Ok(now.is_some_and(|now| now.id == record.source_history && now.writes == record.source_writes));
        }
        copy = source_of(&record, indices).and_then(|(_, source)| copy_of(source));
    }
    Ok(false)
}

/// Returns whether a clone with this record took no write, and its source still holds everything that it was made from.
async fn is_unused_clone(
    cluster: &dyn Cluster,
    name: &str,
    record: &CopyRecord,
    indices: &BTreeMap<String, IndexState>,
) -> Result<bool> {
    let source = &record.source;
    // The source of a take-over is not an index of the group.
    if source_of(record, indices).is_none() && source_of(record, &cluster.indices(&[source]).await?).is_none() {
        return Ok(false);
    }
    let writes = record.complete.as_ref().map(|complete| complete.writes);
    Ok(history(cluster, name).await?.map(|now| now.writes) == writes
        && history(cluster, source).await?.is_some_and(|now| record.is_held_by(&now.id, now.writes)))
}

/// Returns the history of an index, or `None` if the index is closed or deleted.
async fn history(cluster: &dyn Cluster, name: &str) -> Result<Option<History>> {
    match cluster.history(name).await {
        Ok(history) => Ok(Some(history)),
        Err(error) if matches!(error.kind, ClusterErrorKind::IndexClosed | ClusterErrorKind::IndexNotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The result of removing a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    Removed,
    /// It may hold objects that no other index has: users may have written to it, or the index that it was copied from
    /// was restored to an older state.
    Unproven,
    /// A snapshot in progress keeps it for now.
    Kept,
}

/// Deletes a generation that is not current, if its deletion loses nothing. It is marked and blocked first, and then
/// examined again. The request that deletes it fails if the index of `current` is not the current generation. A
/// generation that stays is left as it was.
///
/// `indices` may have generations that were removed since it was read: their records of copies stay true.
///
/// # Errors
/// [`Conflict`](crate::ErrorKind::Conflict) if another node was faster, and those of the cluster.
pub(super) async fn remove_generation(
    current: &Gatekeeper<'_>,
    name: &str,
    indices: &BTreeMap<String, IndexState>,
) -> Result<Removal> {
    let Gatekeeper { cluster, names, .. } = *current;
    let (Some(state), Some(generation)) = (indices.get(name), names.generation(name)) else {
        return Ok(Removal::Removed);
    };
    // Nothing can be proved of a closed index, so it stays.
    if !is_removable(current, name, indices).await? {
        return Ok(Removal::Unproven);
    }
    let victim = Gatekeeper { index: name, generation, ..*current };
    let mark = victim.mark_for_removal(current.index).await?;
    let removed = async {
        cluster.add_write_block(name).await?;
        let now = cluster.indices(&[name]).await?;
        let is_same = now.get(name).is_some_and(|now| now.uuid == state.uuid && !has_users(names, now));
        if !is_same || !is_held_elsewhere(cluster, name, current.index, indices).await? {
            return Ok(Removal::Unproven);
        }
        delete_while_current(current, name).await
    }
    .await;
    if !matches!(removed, Ok(Removal::Removed))
        && let Err(error) = victim.unmark(&mark, state.write_blocked).await
    {
        tracing::warn!(name, %error, "a generation that was not removed keeps a mark");
    }
    removed
}

/// Returns whether the deletion of a generation that is not current loses nothing, as far as that shows before it is
/// marked and blocked.
///
/// # Errors
/// Those of the cluster.
pub(super) async fn is_removable(
    current: &Gatekeeper<'_>,
    name: &str,
    indices: &BTreeMap<String, IndexState>,
) -> Result<bool> {
    let is_used = indices.get(name).is_some_and(|state| has_users(current.names, state));
    Ok(!is_used && is_held_elsewhere(current.cluster, name, current.index, indices).await?)
}

/// Returns whether users reach an index, for reading or for writing.
fn has_users(names: &IndexNames, state: &IndexState) -> bool {
    state.aliases.contains_key(names.alias()) || state.aliases.keys().any(|alias| names.is_write_alias(alias))
}

/// Returns whether an index is a clone of a staging index that is gone, and never had a shard: a clone gets its
/// mapping, `_meta` included, together with its shard.
pub(super) fn is_orphan(names: &IndexNames, name: &str, indices: &BTreeMap<String, IndexState>) -> bool {
    let Some(state) = indices.get(name) else { return false };
    let source = |what: &str| state.settings.get(&format!("resize.source.{what}")).and_then(Value::as_str);
    let (Some(source_name), Some(source_uuid)) = (source("name"), source("uuid")) else { return false };
    let is_clone = names.generation(name).is_some() && names.is_fill(source_name) && state.aliases.is_empty();
    let has_source = indices.values().any(|other| other.uuid == source_uuid);
    is_clone && !has_source && !IndexMeta::is_in(&state.mapping)
}

/// Deletes the [orphans](is_orphan) that have no shard, and returns them: they can never get one, and never had a
/// document. Elasticsearch 9.2 assigns no shard of any new index while such a clone exists, since its allocator fails
/// to find the source.
///
/// # Errors
/// [`Conflict`](crate::ErrorKind::Conflict) if another node was faster, and those of the cluster.
pub(super) async fn remove_dead_clones<'i>(
    current: &Gatekeeper<'_>,
    indices: &'i BTreeMap<String, IndexState>,
) -> Result<Vec<&'i String>> {
    let mut dead = Vec::new();
    for name in indices.keys().filter(|name| is_orphan(current.names, name, indices)) {
        if current.cluster.wait_for_health(name, Health::Yellow, Duration::ZERO).await? == Health::Red {
            tracing::info!(name, "deleting a clone that can never start: its staging index is gone");
            delete_while_current(current, name).await?;
            dead.push(name);
        }
    }
    Ok(dead)
}

/// Deletes an index in a request that fails if the index of `current` is not the current generation.
async fn delete_while_current(current: &Gatekeeper<'_>, name: &str) -> Result<Removal> {
    let mut actions = current.while_current();
    actions.push(AliasAction::RemoveIndex { index: name.to_owned() });
    match update_aliases(current.cluster, &actions).await {
        Ok(()) => Ok(Removal::Removed),
        Err(error) if error.find_source::<ClusterError>().is_some_and(is_in_snapshot) => Ok(Removal::Kept),
        Err(error) => Err(error),
    }
}

/// Deletes an index that the caller knows, by its record, to be a staging index. Returns whether it is gone, or may be
/// because the answer was lost. A staging index that cannot be deleted now, as while a snapshot is being made of it,
/// does no harm, and the next start deletes it.
pub(super) async fn remove_fill(cluster: &dyn Cluster, name: &str) -> bool {
    let Err(error) = cluster.delete_index(name).await else { return true };
    if is_in_snapshot(&error) {
        tracing::info!(name, "a snapshot is being made of what a copy left behind: the next start deletes it");
    } else {
        tracing::warn!(name, %error, "what a copy left behind was not deleted: the next start does it");
    }
    matches!(error.kind, ClusterErrorKind::OutcomeUnknown | ClusterErrorKind::Unavailable | ClusterErrorKind::Timeout)
}

pub(super) fn is_in_snapshot(error: &ClusterError) -> bool {
    error.kind == ClusterErrorKind::SnapshotInProgress
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::AliasState;
    use crate::layout::{Complete, Prefix};

    fn state(uuid: &str, aliases: &[&str], meta: IndexMeta) -> IndexState {
        let aliases = aliases.iter().map(|&alias| (alias.to_owned(), AliasState::hidden())).collect();
        let mapping = json!({ "_meta": meta.into_meta(None) });
        IndexState {
            uuid: uuid.to_owned(),
            mapping,
            aliases,
            write_blocked: false,
            other_blocks: Default::default(),
            settings: Default::default(),
        }
    }

    fn record(source: &str, source_uuid: &str, source_writes: u64) -> CopyRecord {
        let (source, source_uuid) = (source.to_owned(), source_uuid.to_owned());
        CopyRecord { source, source_uuid, source_writes, definitions: "d".to_owned(), ..CopyRecord::default() }
    }

    fn with_copy(copy: CopyRecord) -> IndexMeta {
        IndexMeta { highest_generation: 1, copy: Some(copy), ..IndexMeta::default() }
    }

    #[test]
    fn a_staging_index_is_known_by_its_record_and_not_by_its_name() {
        let names = "p".parse::<Prefix>().expect("a prefix").group("notes");
        let made = record("p-notes-000001", "one", 3);
        let (own, other) = (names.fill(&made.digest()), names.fill("0123456789abcdef"));
        let indices: BTreeMap<String, IndexState> = [
            (own.clone(), state("a", &[], with_copy(made.clone()))),
            (other, state("b", &[], with_copy(made.clone()))),
            ("p-notes-fill-report".to_owned(), state("c", &[], IndexMeta::default())),
            ("p-notes-fill-fedcba9876543210".to_owned(), state("d", &[], IndexMeta::default())),
            ("p-notes-fill-x-000001".to_owned(), state("e", &[], with_copy(made))),
        ]
        .into();
        assert_eq!(fills(&names, &indices).map(|(name, ..)| name).collect::<Vec<_>>(), [&own]);
        assert_eq!(highest(&names, &indices), 1);
    }

    #[test]
    fn a_clone_without_a_mapping_whose_staging_index_is_gone_is_an_orphan() {
        let names = "p".parse::<Prefix>().expect("a prefix").group("notes");
        let of = |source: &str, uuid: &str, mapping: Value, aliases: &[&str]| {
            let mut clone = state("2", aliases, IndexMeta::default());
            clone.mapping = mapping;
            let settings = [("resize.source.name", source), ("resize.source.uuid", uuid)];
            clone.settings = settings.map(|(name, value)| (name.to_owned(), value.into())).into();
            let fill = ("p-notes-fill-0123456789abcdef".to_owned(), state("there", &[], IndexMeta::default()));
            is_orphan(&names, "p-notes-000002", &[("p-notes-000002".to_owned(), clone), fill].into())
        };
        let fill = "p-notes-fill-0123456789abcdef";
        let begun = json!({ "_meta": IndexMeta::default().into_meta(None) });
        assert!(of(fill, "gone", json!({}), &[]));
        assert!(!of(fill, "there", json!({}), &[]), "it may still start");
        assert!(!of(fill, "gone", begun, &[]), "it had a shard");
        assert!(!of(fill, "gone", json!({}), &["p-notes"]), "it is in use");
        assert!(!of("another", "gone", json!({}), &[]), "no copy made it");
    }

    #[test]
    fn a_clone_that_never_became_current_is_told_from_what_is_kept() {
        let names = "p".parse::<Prefix>().expect("a prefix").group("notes");
        let clone = |source: &str, uuid: &str| {
            let complete = Some(Complete { uuid: "f".to_owned(), writes: 4 });
            with_copy(CopyRecord { complete, ..record(source, uuid, 7) })
        };
        let knows = |highest_generation| IndexMeta { highest_generation, ..IndexMeta::default() };
        let of = |first: IndexMeta, second: IndexMeta, third: Option<IndexMeta>| {
            let mut indices: BTreeMap<String, IndexState> = [
                ("p-notes-000001".to_owned(), state("1", &["p-notes"], first)),
                ("p-notes-000002".to_owned(), state("2", &[], second)),
            ]
            .into();
            indices.extend(third.map(|meta| ("p-notes-000003".to_owned(), state("3", &[], meta))));
            is_abandoned(&names, "p-notes-000002", &indices)
        };
        let second = || clone("p-notes-000001", "1");
        assert!(of(knows(1), second(), None));
        assert!(of(knows(1), second(), Some(clone("p-notes-000001", "1"))), "another copy of the same source");
        assert!(!of(knows(2), second(), None), "it was current, and was rolled back");
        assert!(!of(knows(1), second(), Some(clone("p-notes-000002", "2"))), "it was current, and was copied from");
        assert!(!of(knows(1), clone("p-notes-000001", "another"), None), "its source is gone");
        assert!(
            !of(knows(1), with_copy(record("p-notes-000001", "1", 7)), None),
            "it is not complete, so it is no clone"
        );
    }
}
