//! Rolls back from a copy to the generation that it was made from (record 23).

use std::collections::BTreeMap;

use super::carry::move_aliases;
use super::gate::{Gatekeeper, update_aliases};
use super::metadata::is_behind;
use super::migrator::unseen_blocker;
use super::record::record_facts;
use super::work::{Run, Work};
use super::{Blocker, CheckName, DocumentCounts, IndexReport, Migrator, Outcome, Report, Way};
use crate::cluster::{AliasAction, History, IndexState};
use crate::layout::{CopyRecord, Gate, IndexMeta, IndexNames};
use crate::{ErrorKind, Result};

/// What a rollback does for one group.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Decision {
    /// Roll back, if the current generation was not written to.
    RollBack(Box<Rollback>),
    /// A rollback made this generation current already.
    RolledBack(String),
    /// The group has no older generation. Another group may have one.
    Nothing(Blocker),
    /// The group has or had an older generation, but cannot be rolled back to it.
    Refused(Blocker),
}

/// The rollback of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rollback {
    from: String,
    from_generation: u32,
    to: String,
    to_generation: u32,
    /// The highest generation that the group ever had.
    highest_generation: u32,
    /// The record of the copy that made the current generation.
    copy: CopyRecord,
    /// The number of writes that the current generation had taken when it became current.
    writes: u64,
    /// The gate of the current generation.
    gate: Gate,
    /// The actions that move the aliases of operators back.
    aliases: Vec<AliasAction>,
}

/// Decides from the indices of a group. Pure.
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
                check: CheckName::Generations,
                what: format!("the alias {alias} points to several indices"),
                hint: SEE_STATUS.to_owned(),
            }));
        }
    };
    let meta = IndexMeta::from_mapping(&state.mapping).map_err(|error| error.context(index))?;
    if meta.highest_generation > generation {
        return Ok(Decision::RolledBack(index.clone()));
    }
    let Some(copy) = meta.copy else {
        return Ok(nothing(index, "was created, and not copied from an older generation", "nothing needs to be done"));
    };
    if let Some(source) = meta.taken_over.as_ref().filter(|source| source.index == copy.source) {
        return Ok(nothing(
            index,
            &format!("was taken over from {}", source.index),
            &super::report::way_back(&source.index),
        ));
    }
    let refused =
        |what: String| Ok(Decision::Refused(Blocker { check: CheckName::Generations, what, hint: RESTORE.to_owned() }));
    let writes = copy.complete.as_ref().map(|complete| complete.writes);
    match (indices.get(&copy.source), names.generation(&copy.source), writes) {
        (None, _, _) => Ok(nothing(index, &format!("was copied from {}, which is gone", copy.source), RESTORE)),
        (Some(old), Some(to_generation), Some(writes)) if old.uuid == copy.source_uuid => {
            Ok(Decision::RollBack(Box::new(Rollback {
                from: index.clone(),
                from_generation: generation,
                to: copy.source.clone(),
                to_generation,
                highest_generation: meta.highest_generation.max(generation),
                writes,
                gate: Gate::of(names, generation, state.aliases.keys()),
                aliases: move_aliases(names, index, state, &copy.source),
                copy,
            })))
        }
        (Some(old), Some(_), _) if old.uuid != copy.source_uuid => {
            refused(format!("{} is no longer the index that {index} was copied from", copy.source))
        }
        _ => refused(format!("{index} does not say how much was written to it when it became current")),
    }
}

const SEE_STATUS: &str = "see `saved-objects status`";
const RESTORE: &str = "continue with this generation, or restore a snapshot";

fn nothing(subject: &str, what: &str, hint: &str) -> Decision {
    Decision::Nothing(Blocker {
        check: CheckName::Generations,
        what: format!("there is nothing to roll back: {subject} {what}"),
        hint: hint.to_owned(),
    })
}

impl Rollback {
    /// Returns the blocker if the current generation, which has taken `writes` writes by now, was written to.
    fn if_written(&self, writes: u64) -> Option<Blocker> {
        (writes != self.writes).then(|| Blocker {
            check: CheckName::Generations,
            what: format!(
                "{} was written to since it became current ({} writes); a rollback would lose that",
                self.from,
                writes.saturating_sub(self.writes)
            ),
            hint: format!(
                "continue with {}; what was written since can be compared with {}, which is kept",
                self.from, self.to
            ),
        })
    }

    /// Returns the blocker if the old generation, which has the history `old` by now, was restored to another state.
    fn if_restored(&self, old: &History) -> Option<Blocker> {
        let Self { from, to, copy, .. } = self;
        (!copy.is_held_by(&old.id, old.writes)).then(|| Blocker {
            check: CheckName::Generations,
            what: format!(
                "{to} is not as it was when {from} was copied from it: a snapshot was restored over it, and a rollback \
                 would lose what the snapshot lacks"
            ),
            hint: RESTORE.to_owned(),
        })
    }

    /// Makes the old generation current again. Every step can be repeated, and until the last step the current
    /// generation stays current.
    async fn run(&self, gatekeeper: &Gatekeeper<'_>) -> Result<Option<Blocker>> {
        let Gatekeeper { cluster, names, .. } = *gatekeeper;
        // First of all, so that the old generation records the used numbers, whatever happens next.
        let facts = IndexMeta { highest_generation: self.highest_generation, ..IndexMeta::default() };
        record_facts(cluster, &self.to, &facts).await?;
        let mark = gatekeeper.close(&self.gate).await?;
        let ended = self.swap(gatekeeper, &mark).await;
        if !matches!(ended, Ok(None)) {
            let seen = Gate { copying: vec![mark], ..Gate::default() };
            match gatekeeper.open(&seen).await {
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

    /// Swaps the generations once the gate of the current one is closed. If this fails, the caller opens the gate
    /// again.
    async fn swap(&self, gatekeeper: &Gatekeeper<'_>, mark: &str) -> Result<Option<Blocker>> {
        let Gatekeeper { cluster, names, .. } = *gatekeeper;
        cluster.add_write_block(&self.from).await?;
        if let Some(blocker) = self.if_written(cluster.write_count(&self.from).await?) {
            return Ok(Some(blocker));
        }
        // Nothing is written to the old generation before the swap, since its gate is closed.
        cluster.remove_write_block(&self.to).await?;
        let (alias, from, to) = (names.alias(), &self.from, &self.to);
        let mut swap = vec![
            AliasAction::Remove { index: from.clone(), alias: alias.to_owned() },
            AliasAction::Remove { index: from.clone(), alias: mark.to_owned() },
            AliasAction::Add { index: to.clone(), alias: alias.to_owned() },
            AliasAction::Add { index: to.clone(), alias: names.write_alias(self.to_generation) },
        ];
        swap.extend(self.aliases.iter().cloned());
        update_aliases(cluster, &swap).await.map(|()| None)
    }
}

impl Migrator {
    /// Makes the generation that the last copy was made from current again, in every group that has one. The newer
    /// generation stays, write-blocked.
    ///
    /// The rollback is refused for all groups if one of them was written to since its copy. Stop the newer software
    /// first: it would copy again at its next start. Errors are in the report.
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
            work.blockers.push(unseen_blocker(&unseen));
            return Ok(Outcome::Blocked);
        }
        let (mut rollbacks, mut nothing, mut is_rolled_back) = (Vec::new(), Vec::new(), false);
        for names in self.engine.registry.groups().into_keys().map(|group| self.engine.prefix.group(group)) {
            match decide(&names, &self.indices_of(&names).await?)? {
                Decision::RollBack(rollback) => {
                    work.blockers.extend(rollback.if_written(self.engine.cluster.write_count(&rollback.from).await?));
                    work.blockers.extend(rollback.if_restored(&self.engine.cluster.history(&rollback.to).await?));
                    rollbacks.push((names, rollback));
                }
                Decision::RolledBack(index) => {
                    work.indices.insert(names.alias().to_owned(), rolled_back(&names, index));
                    is_rolled_back = true;
                }
                Decision::Nothing(blocker) => nothing.push(blocker),
                Decision::Refused(blocker) => work.blockers.push(blocker),
            }
        }
        if rollbacks.is_empty() && !is_rolled_back {
            work.blockers.append(&mut nothing);
        }
        if !work.blockers.is_empty() {
            return Ok(Outcome::Blocked);
        }
        let outcome = if rollbacks.is_empty() { Outcome::NothingToDo } else { Outcome::RolledBack };
        for (names, rollback) in rollbacks {
            let gatekeeper = Gatekeeper {
                cluster: self.engine.cluster.as_ref(),
                environment: &self.engine.environment,
                names: &names,
                generation: rollback.from_generation,
                index: &rollback.from,
            };
            if let Some(blocker) = rollback.run(&gatekeeper).await? {
                work.blockers.push(blocker);
                return Ok(Outcome::Blocked);
            }
            tracing::info!(alias = names.alias(), from = rollback.from, to = rollback.to, "rolled back");
            work.indices.insert(names.alias().to_owned(), rolled_back(&names, rollback.to));
        }
        Ok(outcome)
    }
}

/// Returns the report of a group whose current generation is `index` after a rollback.
fn rolled_back(names: &IndexNames, index: String) -> IndexReport {
    IndexReport {
        alias: names.alias().to_owned(),
        index,
        way: Way::None,
        done: true,
        documents: DocumentCounts::default(),
        docs_per_s: 0,
        types: Vec::new(),
        carried: Vec::new(),
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
                Decision::RollBack(rollback) => format!("roll back to {} at {}", rollback.to, rollback.writes),
                Decision::RolledBack(index) => format!("rolled back to {index}"),
                Decision::Nothing(blocker) => format!("nothing: {}", blocker.what),
                Decision::Refused(blocker) => format!("refused: {}", blocker.what),
            }
        };
        let table: [(&[(&str, IndexState)], &str); 7] = [
            (&[], "nothing"),
            (&[("p-notes-000001", index("one", &["p-notes"], created()))], "nothing"),
            (&[old(), new(meta(2, Some(5)))], "roll back to p-notes-000001 at 5"),
            (&[new(meta(2, Some(5)))], "nothing: there is nothing to roll back: p-notes-000002 was copied from"),
            (&[("p-notes-000001", index("other", &[], created())), new(meta(2, Some(5)))], "refused"),
            (&[old(), new(meta(2, None))], "refused"),
            (&[("p-notes-000001", index("one", &["p-notes"], meta(2, None)))], "rolled back to p-notes-000001"),
        ];
        for (indices, expected) in table {
            let words = words(indices);
            assert!(words.starts_with(expected), "{words} and not {expected}");
        }
    }

    #[test]
    fn a_generation_that_was_written_to_is_not_left() {
        let rollback = Rollback {
            from: "new".to_owned(),
            from_generation: 2,
            to: "old".to_owned(),
            to_generation: 1,
            highest_generation: 2,
            copy: CopyRecord { source_history: "h".to_owned(), source_writes: 3, ..CopyRecord::default() },
            writes: 5,
            gate: Gate::default(),
            aliases: Vec::new(),
        };
        assert_eq!(rollback.if_written(5), None);
        let old = |id: &str, writes| History { id: id.to_owned(), writes, primary_term: 1 };
        assert_eq!(rollback.if_restored(&old("h", 3)), None);
        assert_eq!(rollback.if_restored(&old("h", 4)), None, "late writes are in the old generation");
        assert!(rollback.if_restored(&old("h", 2)).is_some() && rollback.if_restored(&old("restored", 3)).is_some());
        assert!(rollback.if_written(6).is_some_and(|blocker| blocker.what.contains("(1 writes)")));
    }
}
