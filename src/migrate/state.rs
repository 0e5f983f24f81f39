//! The state machine of a migration. Pure.

use super::Way;

/// The most passes that search for outdated documents. What an older node writes after the last pass is converted when
/// it is read.
const MAX_PASSES: u32 = 3;

/// The state of the migration of one index group. In each state the executor performs one action on the cluster; which
/// state follows is a pure function of the action's result. A migration that stops anywhere begins again with a new
/// plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Creates the first generation with mapping, `_meta` and both aliases, in one request.
    ///
    /// Guarantees: the index exists with all of these, or not at all. Assumes: the alias led to no index. Repeating: an
    /// index with the same `_meta` counts as created.
    Create,
    /// Adds the mapping, and records mapping version and encrypted and bound sets in `_meta`. Finds before that the
    /// documents that the mapping does not fit. If bad documents are kept, such a document ends the migration.
    ///
    /// Guarantees: every field of the new versions can be written, and any node can look up how a new version encrypts,
    /// before the first document has that version. Assumes: the mapping only grows. Repeating: writes the same mapping
    /// and a merged `_meta` again, which does not affect older nodes.
    AddMapping,
    /// Makes all earlier writes visible to the search that follows.
    ///
    /// Guarantees: the next pass sees what was written before it began. Repeating: harmless.
    Refresh {
        /// The pass that follows, from 1.
        pass: u32,
    },
    /// Rewrites the documents that are at older versions.
    ///
    /// Guarantees: only documents that did not change since they were read are rewritten (a conditional write). The
    /// next pass reads the others again. Assumes: `AddMapping`. Repeating: finds only what is still outdated.
    Convert {
        /// The pass, from 1.
        pass: u32,
    },
    /// Records in `_meta` that the documents are at the registered versions.
    ///
    /// Guarantees: the next start has nothing to do. Assumes: a pass found nothing outdated, or no pass is left and the
    /// remaining documents are converted when they are read. Repeating: merges the same facts.
    RecordDocuments,
    /// Closes the gate of the source, sets a write block on it so that running writes end, and reads its history.
    ///
    /// Guarantees: the source does not change while it has the mark, so a later scan reads all of its documents.
    /// Repeating: joins the copy that has the mark.
    BlockSource,
    /// Creates the staging index, which no user reads, with the mapping and `_meta` of the next generation, and records
    /// in it what it is made from. Its name is derived from that record.
    ///
    /// Guarantees: there is an empty staging index, or one that was begun for the same definitions from the same state
    /// of the source. A staging index of an earlier state of the source is deleted. Assumes: `BlockSource`. Repeating:
    /// finds the staging index.
    PrepareFill,
    /// Copies every document, converted, into the staging index through that index's own alias.
    ///
    /// Guarantees: the staging index has every document of the source. Assumes: `PrepareFill`. Repeating: skips the
    /// documents that are already there; several nodes may write to one staging index.
    Fill,
    /// Sets a write block on the staging index, counts its documents, and records that it is complete.
    ///
    /// Guarantees: nothing more is written to the staging index, and so nothing to its clone: a late write cannot
    /// revive what users delete later. Assumes: `Fill`. Repeating: harmless.
    BlockFill,
    /// Clones the staging index to the next generation, and waits until that can be searched and, if there are nodes
    /// for them, has its replicas.
    ///
    /// Guarantees: the next generation is complete, no user sees it yet, and its number was never used. Assumes:
    /// `BlockFill`. Repeating: uses the generation that was cloned from the same staging index.
    Clone,
    /// Reads the source's history again.
    ///
    /// Guarantees: if the migration continues, the copy is of the current state of the source. Otherwise the copy
    /// starts over. Repeating: harmless.
    CheckSource,
    /// Moves the alias from the source to the next generation and opens the gate there, in one request that fails if
    /// the source is not the current generation or its mark is gone. In a take-over the source has neither: the request
    /// removes the alias of the staging index, and fails if that alias is gone.
    ///
    /// Guarantees: all users read and write the new generation from one moment on; a write meant for the old one fails.
    /// Assumes: `CheckSource`. Repeating: fails, and a new plan finds it done.
    Swap,
    /// Deletes the staging indices of the source, and checks the source for the last time. The old generation stays,
    /// write-blocked, for a rollback.
    ///
    /// Guarantees: a write that an operator let through to the source by hand is reported. Repeating: harmless.
    DeleteFill,
    /// Undoes a copy that cannot be finished: opens the gate of the source again, then deletes the staging index.
    ///
    /// Guarantees: the source takes writes again, and the copy can no longer be swapped in. Repeating: harmless.
    AbortCopy,
    /// The end.
    Ended(Ended),
}

/// How the migration of one group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// The group was at the registered versions already.
    NothingToDo,
    /// The group is at the registered versions.
    Migrated,
    /// Bad documents were found, and `_meta` does not claim the new version. The others are converted, unless the index
    /// did not get the mapping.
    BadDocuments,
}

/// The result of one state's action, as far as the next state depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct StepResult {
    /// The number of documents that a pass read.
    pub(super) read: u64,
    /// The number of bad documents that the pass left in their index.
    pub(super) bad: u64,
    /// Whether the source of a copy is no longer in the state that is copied.
    pub(super) source_moved: bool,
    /// The state in which the staging index was found.
    pub(super) staging: StagingState,
}

/// The state of a staging index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum StagingState {
    /// Documents may be missing.
    #[default]
    Begun,
    /// It has its write block, so a pass over all documents ended; they were not counted.
    Blocked,
    /// All documents were counted.
    Complete,
}

impl State {
    /// The names of all states, so that tests can find the ones that they did not reach.
    pub const NAMES: &'static [&'static str] = &[
        "create",
        "add_mapping",
        "refresh",
        "convert",
        "record_documents",
        "block_source",
        "prepare_fill",
        "fill",
        "block_fill",
        "clone",
        "check_source",
        "swap",
        "delete_fill",
        "abort_copy",
        "ended",
    ];

    /// Returns the state's name, one of [`NAMES`](Self::NAMES).
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::AddMapping => "add_mapping",
            Self::Refresh { .. } => "refresh",
            Self::Convert { .. } => "convert",
            Self::RecordDocuments => "record_documents",
            Self::BlockSource => "block_source",
            Self::PrepareFill => "prepare_fill",
            Self::Fill => "fill",
            Self::BlockFill => "block_fill",
            Self::Clone => "clone",
            Self::CheckSource => "check_source",
            Self::Swap => "swap",
            Self::DeleteFill => "delete_fill",
            Self::AbortCopy => "abort_copy",
            Self::Ended(_) => "ended",
        }
    }

    /// Returns the first state of a way.
    pub(super) fn first(way: Way) -> Self {
        match way {
            Way::None => Self::Ended(Ended::NothingToDo),
            Way::Create => Self::Create,
            Way::InPlace => Self::AddMapping,
            Way::Copy => Self::BlockSource,
        }
    }

    /// Returns the state that follows when this one's action had `result`.
    pub(super) fn next(self, result: StepResult) -> Self {
        match self {
            Self::Create => Self::Ended(Ended::Migrated),
            Self::AddMapping if result.bad > 0 => Self::Ended(Ended::BadDocuments),
            Self::AddMapping => Self::Refresh { pass: 1 },
            Self::Refresh { pass } => Self::Convert { pass },
            Self::Convert { .. } if result.bad > 0 => Self::Ended(Ended::BadDocuments),
            Self::Convert { pass } if result.read > 0 && pass < MAX_PASSES => Self::Refresh { pass: pass + 1 },
            Self::Convert { .. } => Self::RecordDocuments,
            Self::BlockSource => Self::PrepareFill,
            Self::PrepareFill => match result.staging {
                StagingState::Begun => Self::Fill,
                StagingState::Blocked => Self::BlockFill,
                StagingState::Complete => Self::Clone,
            },
            Self::Fill if result.bad > 0 => Self::AbortCopy,
            Self::Fill => Self::BlockFill,
            Self::BlockFill | Self::CheckSource if result.source_moved => Self::BlockSource,
            Self::BlockFill => Self::Clone,
            Self::Clone => Self::CheckSource,
            Self::CheckSource => Self::Swap,
            Self::Swap => Self::DeleteFill,
            Self::AbortCopy => Self::Ended(Ended::BadDocuments),
            Self::RecordDocuments | Self::DeleteFill => Self::Ended(Ended::Migrated),
            Self::Ended(ended) => Self::Ended(ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the states of a copy whose staging index is found in the state `staging`. `bad` documents are found, and
    /// the source is written to once if it `moves`.
    fn copy(staging: StagingState, bad: u64, mut moves: bool) -> Vec<State> {
        let mut states = vec![State::first(Way::Copy)];
        while let Some(&state) = states.last()
            && !matches!(state, State::Ended(_))
        {
            let bad = if state == State::Fill { bad } else { 0 };
            let source_moved = state == State::CheckSource && std::mem::take(&mut moves);
            states.push(state.next(StepResult { read: 1, bad, source_moved, staging }));
        }
        states
    }

    #[test]
    fn a_copy_goes_through_its_states() {
        use State::{AbortCopy, BlockFill, BlockSource, CheckSource, Clone, DeleteFill, Fill, PrepareFill, Swap};
        let migrated = State::Ended(Ended::Migrated);
        let (begin, end) = ([BlockSource, PrepareFill], [Clone, CheckSource, Swap, DeleteFill, migrated]);
        assert_eq!(copy(StagingState::Begun, 0, false), [&begin[..], &[Fill, BlockFill], &end].concat());
        assert_eq!(copy(StagingState::Blocked, 0, false), [&begin[..], &[BlockFill], &end].concat());
        assert_eq!(copy(StagingState::Complete, 0, false), [&begin[..], &end].concat());
        let aborted = [&begin[..], &[Fill, AbortCopy, State::Ended(Ended::BadDocuments)]].concat();
        assert_eq!(copy(StagingState::Begun, 1, false), aborted);
        let moved = copy(StagingState::Begun, 0, true);
        assert_eq!(moved[5..8], [CheckSource, BlockSource, PrepareFill], "a source that changed is copied again");
        assert_eq!(moved.last(), Some(&migrated));
    }

    /// Returns the states of a way whose passes read these numbers of documents, and of bad ones.
    fn states(way: Way, reads: &[(u64, u64)]) -> Vec<State> {
        let mut reads = reads.iter().copied();
        let mut states = vec![State::first(way)];
        while let Some(&state) = states.last()
            && !matches!(state, State::Ended(_))
        {
            let (read, bad) = match state {
                State::Convert { .. } => reads.next().unwrap_or_default(),
                _ => (0, 0),
            };
            states.push(state.next(StepResult { read, bad, ..StepResult::default() }));
        }
        states
    }

    #[test]
    fn every_state_has_its_name_in_the_list() {
        let ways = [
            states(Way::Create, &[]),
            states(Way::InPlace, &[]),
            copy(StagingState::Begun, 0, false),
            copy(StagingState::Begun, 1, false),
        ];
        let mut names: Vec<&str> = ways.into_iter().flatten().map(State::name).collect();
        let mut listed = State::NAMES.to_vec();
        for list in [&mut names, &mut listed] {
            list.sort_unstable();
            list.dedup();
        }
        assert_eq!(names, listed);
    }

    #[test]
    fn ways_go_through_their_states() {
        use State::{AddMapping, Convert, Create, RecordDocuments, Refresh};
        let migrated = State::Ended(Ended::Migrated);
        assert_eq!(states(Way::None, &[]), [State::Ended(Ended::NothingToDo)]);
        assert_eq!(states(Way::Create, &[]), [Create, migrated]);
        assert_eq!(
            states(Way::InPlace, &[(5, 0)]),
            [
                AddMapping,
                Refresh { pass: 1 },
                Convert { pass: 1 },
                Refresh { pass: 2 },
                Convert { pass: 2 },
                RecordDocuments,
                migrated
            ]
        );
    }

    #[test]
    fn a_busy_older_node_does_not_keep_it_for_ever() {
        let states = states(Way::InPlace, &[(9, 0), (9, 0), (9, 0), (9, 0)]);
        assert_eq!(states.iter().filter(|state| matches!(state, State::Convert { .. })).count(), 3);
        assert_eq!(states.last(), Some(&State::Ended(Ended::Migrated)));
    }

    #[test]
    fn bad_documents_end_it_before_the_record() {
        let states = states(Way::InPlace, &[(9, 1)]);
        assert!(!states.contains(&State::RecordDocuments));
        assert_eq!(states.last(), Some(&State::Ended(Ended::BadDocuments)));
    }
}
