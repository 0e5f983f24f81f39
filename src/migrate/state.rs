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
}

impl State {
    /// The first state of a way.
    pub fn first(way: Way) -> Self {
        match way {
            Way::None => Self::Ended(Ended::NothingToDo),
            Way::Create => Self::Create,
            Way::InPlace => Self::AddMapping,
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
            Self::RecordDocuments => Self::Ended(Ended::Migrated),
            Self::Ended(ended) => Self::Ended(ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            states.push(state.next(Brought { read, bad }));
        }
        states
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
