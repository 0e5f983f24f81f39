//! Which of a group's indices are whose, and the only way in which one of them is deleted: with proof that nothing in it is
//! lost. Names and numbers prove nothing; what an index's `_meta` says of itself does.

use std::collections::BTreeMap;

use super::gate::update_aliases;
use crate::Result;
use crate::cluster::{AliasAction, Cluster, ClusterError, ClusterErrorKind, IndexState};
use crate::layout::{CopyRecord, IndexMeta, IndexNames};

/// What an index's `_meta` says that it was copied from; none if it was not, or if what it says cannot be read.
fn copy_of(state: &IndexState) -> Option<CopyRecord> {
    IndexMeta::from_mapping(&state.mapping).ok()?.copy
}

/// Returns the record of a staging index: its name is made from it, else it is another's.
pub(super) fn fill_record(names: &IndexNames, name: &str, state: &IndexState) -> Option<CopyRecord> {
    let record = copy_of(state).filter(|_| names.is_fill(name))?;
    (names.fill(&record.digest()) == name).then_some(record)
}

/// Returns the group's staging indices, with their records.
pub(super) fn fills<'a>(
    names: &'a IndexNames,
    indices: &'a BTreeMap<String, IndexState>,
) -> impl Iterator<Item = (&'a String, &'a IndexState, CopyRecord)> {
    indices.iter().filter_map(|(name, state)| Some((name, state, fill_record(names, name, state)?)))
}

/// Returns whether an index is a generation that a copy made and that never became current: the source knows of no such number,
/// as it does after a rollback, and nothing was copied from it.
pub(super) fn is_abandoned(names: &IndexNames, name: &str, indices: &BTreeMap<String, IndexState>) -> bool {
    let (Some(generation), Some(state)) = (names.generation(name), indices.get(name)) else { return false };
    let Some(record) = copy_of(state).filter(|record| record.complete.is_some()) else { return false };
    let source = indices.get(&record.source).filter(|source| source.uuid == record.source_uuid);
    let known =
        source.and_then(|source| IndexMeta::from_mapping(&source.mapping).ok()).map(|meta| meta.highest_generation);
    let is_source = indices.values().filter_map(copy_of).any(|other| other.source_uuid == state.uuid);
    known.is_some_and(|known| known < generation) && !is_source && !state.aliases.contains_key(names.alias())
}

/// Returns the clones of a source that have no alias and took no write since they were made. One that lost its aliases, as in
/// a restore, may hold what users wrote.
///
/// # Errors
/// Whatever the cluster answers.
pub(super) async fn unused_clones(
    cluster: &dyn Cluster,
    names: &IndexNames,
    indices: &BTreeMap<String, IndexState>,
    source_uuid: &str,
) -> Result<Vec<String>> {
    let is_one = |(name, state): &(&String, &IndexState)| {
        let is_of_source = |copy: CopyRecord| copy.source_uuid == source_uuid && copy.complete.is_some();
        names.generation(name).is_some() && state.aliases.is_empty() && copy_of(state).is_some_and(is_of_source)
    };
    let mut unused = Vec::new();
    for (name, state) in indices.iter().filter(is_one) {
        if recorded_writes(name, state, indices) == Some(cluster.write_count(name).await?) {
            unused.push(name.clone());
        } else {
            tracing::warn!(name, "left a clone that a take-over made: it was written to since");
        }
    }
    Ok(unused)
}

/// Returns the highest number that a generation of the group has, or that an index knows of.
pub(super) fn highest(names: &IndexNames, indices: &BTreeMap<String, IndexState>) -> u32 {
    let known = indices.iter().flat_map(|(name, state)| {
        let generation = names.generation(name);
        let is_ours = generation.is_some() || fill_record(names, name, state).is_some();
        let meta = IndexMeta::from_mapping(&state.mapping).ok().filter(|_| is_ours);
        [generation, meta.map(|meta| meta.highest_generation)]
    });
    known.flatten().max().unwrap_or_default()
}

/// Returns how many writes a generation has taken if no user wrote to it since a record was made of it: when it was copied
/// from, else when it was made. None if there is no record.
fn recorded_writes(name: &str, state: &IndexState, indices: &BTreeMap<String, IndexState>) -> Option<u64> {
    let as_source = indices
        .values()
        .filter_map(copy_of)
        .filter(|record| record.source == name && record.source_uuid == state.uuid)
        .map(|record| record.source_writes);
    let own = || Some(copy_of(state)?.complete?.writes);
    as_source.max().or_else(own)
}

/// What became of a generation that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    Removed,
    /// It is not what a record says of it: users may have written to it.
    Unproven,
    /// A snapshot that is being made keeps it for now.
    Kept,
}

/// Deletes a generation that is not current, if it is known to hold nothing else than what it was copied to or from. It is
/// blocked first and counted after that, and deleted in one request that fails if `current` is not the current generation.
///
/// # Errors
/// [`Conflict`](crate::ErrorKind::Conflict) if another node was faster, and whatever the cluster answers.
pub(super) async fn remove_generation(
    cluster: &dyn Cluster,
    names: &IndexNames,
    current: &str,
    name: &str,
    indices: &BTreeMap<String, IndexState>,
) -> Result<Removal> {
    let Some(state) = indices.get(name) else { return Ok(Removal::Removed) };
    let has_users = |state: &IndexState| {
        let generation = names.generation(name).unwrap_or_default();
        [names.alias(), &names.write_alias(generation)].iter().any(|alias| state.aliases.contains_key(*alias))
    };
    let Some(expected) = recorded_writes(name, state, indices).filter(|_| !has_users(state)) else {
        return Ok(Removal::Unproven);
    };
    if cluster.write_count(name).await? != expected {
        return Ok(Removal::Unproven);
    }
    cluster.add_write_block(name).await?;
    let now = cluster.indices(&[name]).await?;
    if now.get(name).is_none_or(|now| now.uuid != state.uuid || has_users(now)) {
        return Ok(Removal::Unproven);
    }
    if cluster.write_count(name).await? != expected {
        return Ok(Removal::Unproven);
    }
    let (index, alias) = (current.to_owned(), names.alias().to_owned());
    let actions = [
        AliasAction::Remove { index: index.clone(), alias: alias.clone() },
        AliasAction::Add { index, alias },
        AliasAction::RemoveIndex { index: name.to_owned() },
    ];
    match update_aliases(cluster, &actions).await {
        Ok(()) => Ok(Removal::Removed),
        Err(error) if error.find_source::<ClusterError>().is_some_and(is_in_snapshot) => Ok(Removal::Kept),
        Err(error) => Err(error),
    }
}

/// Deletes a staging index: the caller knows its record. One that cannot be deleted now, as while a snapshot is being made of
/// it, disturbs nobody, and is left to the next start. Returns whether it is gone.
pub(super) async fn remove_fill(cluster: &dyn Cluster, name: &str) -> bool {
    match cluster.delete_index(name).await {
        Ok(()) => return true,
        Err(error) if is_in_snapshot(&error) => {
            tracing::info!(name, "a snapshot is being made of what a copy left behind: the next start deletes it");
        }
        Err(error) => tracing::warn!(name, %error, "what a copy left behind was not deleted: the next start does it"),
    }
    false
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
        let aliases = aliases.iter().map(|&alias| (alias.to_owned(), AliasState { is_hidden: true })).collect();
        let mapping = json!({ "_meta": meta.into_meta(None) });
        IndexState { uuid: uuid.to_owned(), mapping, aliases, write_blocked: false, other_blocks: Default::default() }
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
    fn what_a_generation_had_taken_is_read_off_the_newest_record() {
        let complete = Some(Complete { uuid: "f".to_owned(), writes: 4 });
        let made = CopyRecord { complete, ..record("one", "1", 7) };
        let indices: BTreeMap<String, IndexState> = [
            ("one".to_owned(), state("1", &[], IndexMeta::default())),
            ("two".to_owned(), state("2", &[], with_copy(made))),
            ("three".to_owned(), state("3", &[], with_copy(record("one", "another", 99)))),
        ]
        .into();
        let of = |name: &str| recorded_writes(name, &indices[name], &indices);
        assert_eq!([of("one"), of("two"), of("three")], [Some(7), Some(4), None]);
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
