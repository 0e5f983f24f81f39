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
    /// Marks the source as being copied, sets a write block on it, and waits until the writes under way have ended.
    ///
    /// Guarantees: the source does not change any more; what is read from it afterwards is all there is. Assumes: nobody
    /// lifts the block. Repeating: a block that is there stays.
    BlockSource,
    /// Creates the fill, an index that nobody reads, with the mapping and `_meta` of the next generation, and records in it
    /// what it is made from.
    ///
    /// Guarantees: an empty fill, or one that was begun for the same definitions from the same state of the source; one
    /// begun for another state was deleted. Assumes: `BlockSource`. Repeating: finds the fill.
    PrepareFill {
        /// How many writes the source has taken.
        source_writes: u64,
    },
    /// Copies every document, converted, into the fill through the fill's own alias.
    ///
    /// Guarantees: the fill has every document of the source. Assumes: `PrepareFill`. Repeating: documents that are there
    /// already are left alone; several nodes may fill at once.
    Fill {
        /// How many writes the source has taken.
        source_writes: u64,
    },
    /// Sets a write block on the fill, which cloning needs.
    ///
    /// Guarantees: nothing is written to the fill any more, so neither is it to the clone: a late write cannot revive what
    /// users delete later. Assumes: `Fill`. Repeating: harmless.
    BlockFill {
        /// How many writes the source has taken.
        source_writes: u64,
    },
    /// Clones the fill to the next generation, and waits until it can be searched and, where there are nodes for it, has
    /// its replicas.
    ///
    /// Guarantees: the next generation is complete, and nobody sees it yet. Assumes: `BlockFill`. Repeating: a generation
    /// cloned from the same fill is reused; another one that nobody made current is removed.
    Clone {
        /// How many writes the source has taken.
        source_writes: u64,
    },
    /// Counts the source's writes again.
    ///
    /// Guarantees: if it goes on, the copy is of what the source holds now. If the source was written to, the copy starts
    /// over. Repeating: harmless.
    CheckSource {
        /// How many writes the source had taken.
        source_writes: u64,
    },
    /// Moves both aliases from the source to the next generation, in one request that fails if they are not on the source, or if
    /// the generation is not the very clone that was looked at, which an alias tells. In a take-over the source never had them: it fails if the fill is gone, which the same request removes.
    ///
    /// Guarantees: from one moment to the next everybody reads and writes the new generation; a write meant for the old
    /// one fails. Assumes: `CheckSource`. Repeating: fails, and planning anew finds it done.
    Swap,
    /// Deletes the fill, and looks at the source for the last time. The old generation stays, write-blocked, for a rollback.
    ///
    /// Guarantees: if a write reached the source after `CheckSource` and before `Swap`, it is told. Repeating: harmless.
    DeleteFill,
    /// Undoes a copy that cannot be finished: deletes the fill first, then lifts the source's block, then takes its mark away.
    ///
    /// Guarantees: the source takes writes again, and no fill is left that a later write could make incomplete. Repeating:
    /// harmless.
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
    /// How many writes the source of a copy has taken.
    pub source_writes: u64,
    /// Whether the fill was found complete, with its write block.
    pub fill_is_complete: bool,
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
            Self::PrepareFill { .. } => "prepare_fill",
            Self::Fill { .. } => "fill",
            Self::BlockFill { .. } => "block_fill",
            Self::Clone { .. } => "clone",
            Self::CheckSource { .. } => "check_source",
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
            Self::BlockSource => Self::PrepareFill { source_writes: brought.source_writes },
            Self::PrepareFill { source_writes } if brought.fill_is_complete => Self::Clone { source_writes },
            Self::PrepareFill { source_writes } => Self::Fill { source_writes },
            Self::Fill { .. } if brought.bad > 0 => Self::AbortCopy,
            Self::Fill { source_writes } => Self::BlockFill { source_writes },
            Self::BlockFill { source_writes } => Self::Clone { source_writes },
            Self::Clone { source_writes } => Self::CheckSource { source_writes },
            Self::CheckSource { source_writes } if brought.source_writes != source_writes => Self::BlockSource,
            Self::CheckSource { .. } => Self::Swap,
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

    /// The states of a copy whose source has taken 7 writes, or after the first count `then`.
    fn copy(fill_is_complete: bool, bad: u64, then: u64) -> Vec<State> {
        let mut states = vec![State::first(Way::Copy)];
        let mut writes = 7;
        while let Some(&state) = states.last()
            && !matches!(state, State::Ended(_))
            && states.len() < 12
        {
            if matches!(state, State::CheckSource { .. }) {
                writes = then;
            }
            let in_fill = if matches!(state, State::Fill { .. }) { bad } else { 0 };
            let brought = Brought { read: 1, bad: in_fill, source_writes: writes, fill_is_complete };
            states.push(state.next(brought));
        }
        states
    }

    #[test]
    fn a_copy_goes_through_its_states() {
        use State::{AbortCopy, BlockFill, BlockSource, CheckSource, Clone, DeleteFill, Fill, PrepareFill, Swap};
        let (source_writes, migrated) = (7, State::Ended(Ended::Migrated));
        let (begin, end) =
            ([BlockSource, PrepareFill { source_writes }], [CheckSource { source_writes }, Swap, DeleteFill, migrated]);
        let fill = [Fill { source_writes }, BlockFill { source_writes }, Clone { source_writes }];
        assert_eq!(copy(false, 0, 7), [&begin[..], &fill, &end].concat());
        assert_eq!(
            copy(true, 0, 7),
            [&begin[..], &[Clone { source_writes }], &end].concat(),
            "it goes on with what it finds"
        );
        let aborted = [&begin[..], &[Fill { source_writes }, AbortCopy, State::Ended(Ended::BadDocuments)]].concat();
        assert_eq!(copy(false, 1, 7), aborted);
        let moved = copy(false, 0, 8);
        assert_eq!(
            moved[6..8],
            [BlockSource, PrepareFill { source_writes: 8 }],
            "a source that was written to is copied anew"
        );
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
        let ways = [walk(Way::Create, &[]), walk(Way::InPlace, &[]), copy(false, 0, 7), copy(false, 1, 7)];
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
