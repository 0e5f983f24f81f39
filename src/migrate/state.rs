use super::Way;

/// How often outdated documents are looked for. What an older node writes after the last pass is converted when it is read.
const MAX_PASSES: u32 = 3;

/// Where the migration of one index group stands. Each state is one action on the cluster; the machine itself is
/// [`State::first`] and [`State::next`], which are pure. A migration that stops anywhere begins again from a new plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Creates the first generation with mapping, `_meta` and both aliases, in one request.
    ///
    /// Guarantees: the index is there with all of it, or not at all. Assumes: no index stood behind the alias. Repeating:
    /// an index with the same `_meta` counts as created.
    Create,
    /// Adds the mapping, and records mapping version and encrypted and bound sets in `_meta`.
    ///
    /// Guarantees: every field of the new versions can be written, and any node can look up how a new version encrypts,
    /// before the first document has that version. Assumes: the mapping only adds. Repeating: the same mapping and a
    /// merged `_meta` again; older nodes are not disturbed.
    AddMapping,
    /// Makes all writes so far visible to the search that follows.
    ///
    /// Guarantees: the next pass sees what was written before it began. Repeating: harmless.
    Refresh {
        /// The pass that follows, from 1.
        pass: u32,
    },
    /// Rewrites the documents that are at older versions.
    ///
    /// Guarantees: each rewritten document was still the one read (a conditional write); one changed meanwhile is left to
    /// whoever changed it. Assumes: `AddMapping`. Repeating: finds only what is still outdated.
    Convert {
        /// The pass, from 1.
        pass: u32,
    },
    /// Records in `_meta` that the documents are at the registered versions.
    ///
    /// Guarantees: the next start has nothing to do. Assumes: a pass found nothing outdated, or the passes are used up and
    /// the rest is converted on read. Repeating: merges the same facts.
    RecordDocuments,
    /// Closes the gate of the source, sets a write block on it so that the writes under way end, and reads its history.
    ///
    /// Guarantees: the source does not change any more while the mark is there; what is read from it afterwards is all there
    /// is. Repeating: joins the copy that has the mark.
    BlockSource,
    /// Creates the staging index, which no user reads, with the mapping and `_meta` of the next generation, and records in it
    /// what it is made from. Its name is made from that record.
    ///
    /// Guarantees: an empty staging index, or one that was begun for the same definitions from the same state of the source.
    /// One of a state that the source has left is deleted. Assumes: `BlockSource`. Repeating: finds it.
    PrepareFill,
    /// Copies every document, converted, into the staging index through that index's own alias.
    ///
    /// Guarantees: it has every document of the source. Assumes: `PrepareFill`. Repeating: documents that are there already
    /// are left alone; several nodes may fill at once.
    Fill,
    /// Sets a write block on the staging index, counts its documents, and records that it is complete.
    ///
    /// Guarantees: nothing is written to it any more, so neither is it to the clone: a late write cannot revive what users
    /// delete later. Assumes: `Fill`. Repeating: harmless.
    BlockFill,
    /// Clones the staging index to the next generation, and waits until it can be searched and, where there are nodes for it,
    /// has its replicas.
    ///
    /// Guarantees: the next generation is complete, no user sees it yet, and its number was never used. Assumes: `BlockFill`.
    /// Repeating: a generation cloned from the same staging index is reused.
    Clone,
    /// Reads the source's history again.
    ///
    /// Guarantees: if it goes on, the copy is of what the source holds now. Else the copy starts over. Repeating: harmless.
    CheckSource,
    /// Moves the alias from the source to the next generation and opens the gate there, in one request that fails if the
    /// source is not the current generation, or its mark is gone. In a take-over the source has neither: it fails if the alias
    /// of the staging index is gone, which the same request removes.
    ///
    /// Guarantees: from one moment to the next all users read and write the new generation; a write meant for the old one
    /// fails. Assumes: `CheckSource`. Repeating: fails, and planning anew finds it done.
    Swap,
    /// Deletes the staging indices of the source, and looks at the source for the last time. The old generation stays,
    /// write-blocked, for a rollback.
    ///
    /// Guarantees: a write that somebody let through to the source by hand is told. Repeating: harmless.
    DeleteFill,
    /// Undoes a copy that cannot be finished: opens the gate of the source again, then deletes the staging index.
    ///
    /// Guarantees: the source takes writes again, and no swap of the copy can happen any more. Repeating: harmless.
    AbortCopy,
    /// The end.
    Ended(Ended),
}

/// How the migration of one group ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ended {
    /// It was where it should be.
    NothingToDo,
    /// It is where it should be.
    Migrated,
    /// Bad documents were found: the good ones are converted, `_meta` does not claim the new version.
    BadDocuments,
}

/// What one action brought, as far as the next state depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Brought {
    /// Documents that a pass read.
    pub read: u64,
    /// Documents of them that are bad.
    pub bad: u64,
    /// Whether the source of a copy is no longer in the state that is copied.
    pub source_moved: bool,
    /// How far the staging index was found.
    pub fill: FillState,
}

/// How far a staging index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FillState {
    /// Documents may be missing.
    #[default]
    Begun,
    /// It has its write block, so a pass over all documents ended; they were not counted.
    Blocked,
    /// All documents were counted.
    Complete,
}

impl State {
    /// The names of all states, so that tests can tell which ones they did not reach.
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

    /// The state's name, one of [`NAMES`](Self::NAMES).
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

    /// The first state of a way.
    pub fn first(way: Way) -> Self {
        match way {
            Way::None => Self::Ended(Ended::NothingToDo),
            Way::Create => Self::Create,
            Way::InPlace => Self::AddMapping,
            Way::Copy => Self::BlockSource,
        }
    }

    /// The state after this one's action was done and brought `brought`.
    #[must_use]
    pub fn next(self, brought: Brought) -> Self {
        match self {
            Self::Create => Self::Ended(Ended::Migrated),
            Self::AddMapping => Self::Refresh { pass: 1 },
            Self::Refresh { pass } => Self::Convert { pass },
            Self::Convert { .. } if brought.bad > 0 => Self::Ended(Ended::BadDocuments),
            Self::Convert { pass } if brought.read > 0 && pass < MAX_PASSES => Self::Refresh { pass: pass + 1 },
            Self::Convert { .. } => Self::RecordDocuments,
            Self::BlockSource => Self::PrepareFill,
            Self::PrepareFill => match brought.fill {
                FillState::Begun => Self::Fill,
                FillState::Blocked => Self::BlockFill,
                FillState::Complete => Self::Clone,
            },
            Self::Fill if brought.bad > 0 => Self::AbortCopy,
            Self::Fill => Self::BlockFill,
            Self::BlockFill | Self::CheckSource if brought.source_moved => Self::BlockSource,
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

    /// The states of a copy whose staging index is found so, has so many bad documents, and whose source moves once or not.
    fn copy(fill: FillState, bad: u64, mut moves: bool) -> Vec<State> {
        let mut states = vec![State::first(Way::Copy)];
        while let Some(&state) = states.last()
            && !matches!(state, State::Ended(_))
        {
            let bad = if state == State::Fill { bad } else { 0 };
            let source_moved = state == State::CheckSource && std::mem::take(&mut moves);
            states.push(state.next(Brought { read: 1, bad, source_moved, fill }));
        }
        states
    }

    #[test]
    fn a_copy_goes_through_its_states() {
        use State::{AbortCopy, BlockFill, BlockSource, CheckSource, Clone, DeleteFill, Fill, PrepareFill, Swap};
        let migrated = State::Ended(Ended::Migrated);
        let (begin, end) = ([BlockSource, PrepareFill], [Clone, CheckSource, Swap, DeleteFill, migrated]);
        assert_eq!(copy(FillState::Begun, 0, false), [&begin[..], &[Fill, BlockFill], &end].concat());
        assert_eq!(copy(FillState::Blocked, 0, false), [&begin[..], &[BlockFill], &end].concat());
        assert_eq!(copy(FillState::Complete, 0, false), [&begin[..], &end].concat());
        let aborted = [&begin[..], &[Fill, AbortCopy, State::Ended(Ended::BadDocuments)]].concat();
        assert_eq!(copy(FillState::Begun, 1, false), aborted);
        let moved = copy(FillState::Begun, 0, true);
        assert_eq!(moved[5..8], [CheckSource, BlockSource, PrepareFill], "a source that changed is copied anew");
        assert_eq!(moved.last(), Some(&migrated));
    }

    fn walk(way: Way, reads: &[(u64, u64)]) -> Vec<State> {
        let mut reads = reads.iter().copied();
        let mut states = vec![State::first(way)];
        while let Some(&state) = states.last()
            && !matches!(state, State::Ended(_))
        {
            let (read, bad) = match state {
                State::Convert { .. } => reads.next().unwrap_or_default(),
                _ => (0, 0),
            };
            states.push(state.next(Brought { read, bad, ..Brought::default() }));
        }
        states
    }

    #[test]
    fn every_state_has_its_name_in_the_list() {
        let ways = [
            walk(Way::Create, &[]),
            walk(Way::InPlace, &[]),
            copy(FillState::Begun, 0, false),
            copy(FillState::Begun, 1, false),
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
        assert_eq!(walk(Way::None, &[]), [State::Ended(Ended::NothingToDo)]);
        assert_eq!(walk(Way::Create, &[]), [Create, migrated]);
        assert_eq!(
            walk(Way::InPlace, &[(5, 0)]),
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
        let states = walk(Way::InPlace, &[(9, 0), (9, 0), (9, 0), (9, 0)]);
        assert_eq!(states.iter().filter(|state| matches!(state, State::Convert { .. })).count(), 3);
        assert_eq!(states.last(), Some(&State::Ended(Ended::Migrated)));
    }

    #[test]
    fn bad_documents_end_it_before_the_record() {
        let states = walk(Way::InPlace, &[(9, 1)]);
        assert!(!states.contains(&State::RecordDocuments));
        assert_eq!(states.last(), Some(&State::Ended(Ended::BadDocuments)));
    }
}
