//! The way back from a copy to the generation it was made from (design decision 9).

use std::collections::BTreeMap;

use super::decide::is_behind;
use super::gate::{Gatekeeper, update_aliases};
use super::record::record_facts;
use super::work::{Run, Work};
use super::{Blocker, DocumentCounts, IndexReport, Migrator, Outcome, Report, Way};
use crate::cluster::{AliasAction, History, IndexState};
use crate::layout::{CopyRecord, Gate, IndexMeta, IndexNames};
use crate::{ErrorKind, Result};

/// What a rollback does for one group.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    /// Goes back, if the current generation was not written to.
    Back(Box<Back>),
    /// The current generation is the one that a rollback went back to.
    IsBack(String),
    /// There is nothing to go back to. Another group may have something.
    Nothing(Blocker),
    /// There is, or was, and it cannot be gone back to.
    Refused(Blocker),
}

/// From where to where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Back {
    from: String,
    from_generation: u32,
    to: String,
    to_generation: u32,
    /// The highest generation that the group ever had.
    highest_generation: u32,
    /// What the current generation was copied from.
    copy: CopyRecord,
    /// How many writes the current generation had taken when it became current.
    writes: u64,
    /// The gate of the current generation.
    gate: Gate,
}

/// Decides from the indices of a group. Pure: it asks nobody.
fn decide(names: &IndexNames, indices: &BTreeMap<String, IndexState>) -> Result<Decision> {
    let alias = names.alias();
    let mut behind = indices.iter().filter(|(name, state)| is_behind(alias, name, state));
    let (index, state, generation) = match (behind.next(), behind.next()) {
        (Some((index, state)), None) => match names.generation(index) {
            Some(generation) => (index, state, generation),
            None => return Ok(nothing(alias, "leads to an index that this library did not make", SEE_STATUS)),
        },
        (None, _) => return Ok(nothing(alias, "does not exist", SEE_STATUS)),
        (Some(_), Some(_)) => {
            return Ok(Decision::Refused(Blocker {
                what: format!("the alias {alias} points to several indices"),
                cure: SEE_STATUS.to_owned(),
            }));
        }
    };
    let meta = IndexMeta::from_mapping(&state.mapping).map_err(|error| error.context(index))?;
    if meta.highest_generation > generation {
        return Ok(Decision::IsBack(index.clone()));
    }
    let Some(copy) = meta.copy else {
        return Ok(nothing(
            index,
            "was created, and not copied from an older generation",
            "there is nothing to be done",
        ));
    };
    if let Some(source) = meta.taken_over.as_ref().filter(|source| source.index == copy.source) {
        return Ok(nothing(
            index,
            &format!("was taken over from {}", source.index),
            &super::take_over::way_back(&source.index),
        ));
    }
    let refused = |what: String| Ok(Decision::Refused(Blocker { what, cure: RESTORE.to_owned() }));
    let writes = copy.complete.as_ref().map(|complete| complete.writes);
    match (indices.get(&copy.source), names.generation(&copy.source), writes) {
        (None, _, _) => Ok(nothing(index, &format!("was copied from {}, which is gone", copy.source), RESTORE)),
        (Some(old), Some(to_generation), Some(writes)) if old.uuid == copy.source_uuid => {
            Ok(Decision::Back(Box::new(Back {
                from: index.clone(),
                from_generation: generation,
                to: copy.source.clone(),
                copy,
                to_generation,
                highest_generation: meta.highest_generation.max(generation),
                writes,
                gate: Gate::of(names, generation, state.aliases.keys()),
            })))
        }
        (Some(old), Some(_), _) if old.uuid != copy.source_uuid => {
            refused(format!("{} is not the index any more that {index} was copied from", copy.source))
        }
        _ => refused(format!("{index} does not say how much was written to it when it became current")),
    }
}

const SEE_STATUS: &str = "see `saved-objects status`";
const RESTORE: &str = "go on with this generation, or restore a snapshot";

fn nothing(subject: &str, what: &str, cure: &str) -> Decision {
    Decision::Nothing(Blocker {
        what: format!("there is nothing to roll back: {subject} {what}"),
        cure: cure.to_owned(),
    })
}

impl Back {
    /// What stands against it once the current generation has taken `writes` writes.
    fn refusal(&self, writes: u64) -> Option<Blocker> {
        (writes != self.writes).then(|| Blocker {
            what: format!(
                "{} was written to since it became current ({} writes); a rollback would lose that",
                self.from,
                writes.saturating_sub(self.writes)
            ),
            cure: format!(
                "go on with {}; what was written since can be compared with {}, which is kept",
                self.from, self.to
            ),
        })
    }

    /// What stands against it if the old generation is in the state `old` by now.
    fn lacks(&self, old: &History) -> Option<Blocker> {
        let Self { from, to, copy, .. } = self;
        (!copy.is_held_by(&old.id, old.writes)).then(|| Blocker {
            what: format!(
                "{to} is not as it was when {from} was copied from it: a snapshot was restored over it, and a rollback would lose \
                 what that has not got"
            ),
            cure: RESTORE.to_owned(),
        })
    }

    /// Makes the old generation current again. Every step can be repeated, and until the last one the current generation
    /// stays the current one.
    async fn go(&self, place: &Gatekeeper<'_>) -> Result<Option<Blocker>> {
        let Gatekeeper { cluster, names, .. } = *place;
        // First of all, so that whatever happens next the old generation knows which numbers are used.
        let facts = IndexMeta { highest_generation: self.highest_generation, ..IndexMeta::default() };
        record_facts(cluster, &self.to, &facts).await?;
        let mark = place.close(&self.gate).await?;
        let ended = self.go_on(place, &mark).await;
        if !matches!(ended, Ok(None)) {
            let seen = Gate { copying: vec![mark], ..Gate::default() };
            match place.open(&seen).await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => {
                    let (index, alias) = (&self.from, names.alias());
                    tracing::warn!(index, alias, %error, "a rollback was not undone: the next start does it");
                }
            }
        }
        ended
    }

    /// Goes on once the gate of the current generation is closed, which users find again if this does not end well.
    async fn go_on(&self, place: &Gatekeeper<'_>, mark: &str) -> Result<Option<Blocker>> {
        let Gatekeeper { cluster, names, .. } = *place;
        cluster.add_write_block(&self.from).await?;
        if let Some(refusal) = self.refusal(cluster.write_count(&self.from).await?) {
            return Ok(Some(refusal));
        }
        // Nothing is written to it before the swap: its gate is closed.
        cluster.remove_write_block(&self.to).await?;
        let (alias, from, to) = (names.alias(), &self.from, &self.to);
        let swap = [
            AliasAction::Remove { index: from.clone(), alias: alias.to_owned() },
            AliasAction::Remove { index: from.clone(), alias: mark.to_owned() },
            AliasAction::Add { index: to.clone(), alias: alias.to_owned() },
            AliasAction::Add { index: to.clone(), alias: names.write_alias(self.to_generation) },
        ];
        update_aliases(cluster, &swap).await.map(|()| None)
    }
}

impl Migrator {
    /// Makes the generation current again that the last copy was made from, in every group that has one: the newer one stays,
    /// write-blocked. Refused for all groups if one was written to since its copy. Stop the newer software first; it would
    /// copy again at its next start. Errors are in the report.
    pub async fn rollback(&self) -> Report {
        let run = Run::begin(self);
        let mut work = Work::default();
        match self.try_rollback(&mut work).await {
            Ok(outcome) => run.report(outcome, work, None),
            Err(error) => run.report(Outcome::Failed, work, Some(&error)),
        }
    }

    async fn try_rollback(&self, work: &mut Work) -> Result<Outcome> {
        let unseen = self.unseen_groups().await?;
        if !unseen.is_empty() {
            work.blockers.push(Blocker { what: unseen.what(), cure: unseen.cure() });
            return Ok(Outcome::Blocked);
        }
        let (mut ways, mut nothing, mut is_back) = (Vec::new(), Vec::new(), false);
        for names in self.registry.groups().into_keys().map(|group| self.prefix.group(group)) {
            match decide(&names, &self.indices_of(&names).await?)? {
                Decision::Back(back) => {
                    work.blockers.extend(back.refusal(self.cluster.write_count(&back.from).await?));
                    work.blockers.extend(back.lacks(&self.cluster.history(&back.to).await?));
                    ways.push((names, back));
                }
                Decision::IsBack(index) => {
                    work.indices.insert(names.alias().to_owned(), rolled_back(&names, index));
                    is_back = true;
                }
                Decision::Nothing(blocker) => nothing.push(blocker),
                Decision::Refused(blocker) => work.blockers.push(blocker),
            }
        }
        if ways.is_empty() && !is_back {
            work.blockers.append(&mut nothing);
        }
        if !work.blockers.is_empty() {
            return Ok(Outcome::Blocked);
        }
        let outcome = if ways.is_empty() { Outcome::NothingToDo } else { Outcome::RolledBack };
        for (names, back) in ways {
            let place = Gatekeeper {
                cluster: self.cluster.as_ref(),
                environment: &self.environment,
                names: &names,
                generation: back.from_generation,
                index: &back.from,
            };
            if let Some(blocker) = back.go(&place).await? {
                work.blockers.push(blocker);
                return Ok(Outcome::Blocked);
            }
            tracing::info!(alias = names.alias(), from = back.from, to = back.to, "rolled back");
            work.indices.insert(names.alias().to_owned(), rolled_back(&names, back.to));
        }
        Ok(outcome)
    }
}

fn rolled_back(names: &IndexNames, index: String) -> IndexReport {
    IndexReport {
        alias: names.alias().to_owned(),
        index,
        way: Way::None,
        documents: DocumentCounts::default(),
        docs_per_s: 0,
        types: Vec::new(),
        take_over: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::AliasState;
    use crate::layout::{Complete, Prefix};

    fn index(uuid: &str, aliases: &[&str], meta: IndexMeta) -> IndexState {
        let aliases = aliases.iter().map(|&alias| (alias.to_owned(), AliasState { is_hidden: true })).collect();
        let mapping = json!({ "_meta": meta.into_meta(None) });
        IndexState { uuid: uuid.to_owned(), mapping, aliases, write_blocked: false, other_blocks: Default::default() }
    }

    fn meta(highest_generation: u32, writes: Option<u64>) -> IndexMeta {
        let copy = CopyRecord {
            source: "p-notes-000001".to_owned(),
            source_uuid: "one".to_owned(),
            source_writes: 3,
            definitions: "d".to_owned(),
            complete: writes.map(|writes| Complete { uuid: "f".to_owned(), writes }),
            ..CopyRecord::default()
        };
        IndexMeta { highest_generation, copy: Some(copy), ..IndexMeta::default() }
    }

    fn created() -> IndexMeta {
        IndexMeta { highest_generation: 1, ..IndexMeta::default() }
    }

    #[test]
    fn it_is_decided_by_what_the_indices_say() {
        let names = "p".parse::<Prefix>().expect("a prefix").group("notes");
        let old = || ("p-notes-000001", index("one", &[], created()));
        let new = |meta| ("p-notes-000002", index("two", &["p-notes"], meta));
        let words = |indices: &[(&str, IndexState)]| {
            let indices = indices.iter().map(|(name, state)| ((*name).to_owned(), state.clone())).collect();
            match decide(&names, &indices).expect("readable") {
                Decision::Back(back) => format!("back to {} at {}", back.to, back.writes),
                Decision::IsBack(index) => format!("is back at {index}"),
                Decision::Nothing(blocker) => format!("nothing: {}", blocker.what),
                Decision::Refused(blocker) => format!("refused: {}", blocker.what),
            }
        };
        let table: [(&[(&str, IndexState)], &str); 7] = [
            (&[], "nothing"),
            (&[("p-notes-000001", index("one", &["p-notes"], created()))], "nothing"),
            (&[old(), new(meta(2, Some(5)))], "back to p-notes-000001 at 5"),
            (&[new(meta(2, Some(5)))], "nothing: there is nothing to roll back: p-notes-000002 was copied from"),
            (&[("p-notes-000001", index("other", &[], created())), new(meta(2, Some(5)))], "refused"),
            (&[old(), new(meta(2, None))], "refused"),
            (&[("p-notes-000001", index("one", &["p-notes"], meta(2, None)))], "is back at p-notes-000001"),
        ];
        for (indices, expected) in table {
            let words = words(indices);
            assert!(words.starts_with(expected), "{words} and not {expected}");
        }
    }

    #[test]
    fn a_generation_that_was_written_to_is_not_left() {
        let back = Back {
            from: "new".to_owned(),
            from_generation: 2,
            to: "old".to_owned(),
            to_generation: 1,
            highest_generation: 2,
            copy: CopyRecord { source_history: "h".to_owned(), source_writes: 3, ..CopyRecord::default() },
            writes: 5,
            gate: Gate::default(),
        };
        assert_eq!(back.refusal(5), None);
        let old = |id: &str, writes| History { id: id.to_owned(), writes, primary_term: 1 };
        assert_eq!(back.lacks(&old("h", 3)), None);
        assert_eq!(back.lacks(&old("h", 4)), None, "what came late is in it");
        assert!(back.lacks(&old("h", 2)).is_some() && back.lacks(&old("restored", 3)).is_some());
        assert!(back.refusal(6).is_some_and(|blocker| blocker.what.contains("(1 writes)")));
    }
}
