//! An operator: rolls back, drops old generations, encrypts with a new key, blocks an index, moves an alias by hand.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use saved_objects::cluster::memory::{RestoreOptions, Snapshot};
use saved_objects::cluster::{AliasAction, Cluster, IndexState};
use saved_objects::encryption::EncryptionService;
use saved_objects::internals::Engine;
use saved_objects::layout::IndexNames;
use saved_objects::migrate::{Migrator, OnBad, Outcome};
use saved_objects::quarantine::Quarantine;
use saved_objects::rotation::KeyRotation;

use crate::dice::Dice;
use crate::executor::lock;
use crate::journal::About;
use crate::node::{Life, key_ring};
use crate::types::{GROUPS, registry};
use crate::witness::indices;
use crate::world::{BAD, World};

/// The operator's acts.
pub(crate) const ACTS: [&str; 12] = [
    "roll back",
    "drop old",
    "rotate keys",
    "block by hand",
    "move an alias",
    "take a snapshot",
    "restore a snapshot",
    "let a snapshot run",
    "fail over",
    "close an index",
    "put aside",
    "bring back",
];

/// Acts until the world's time is over.
pub(crate) async fn work(world: Arc<World>) {
    let dice = world.fork(7);
    let mut snapshots = Vec::new();
    loop {
        world.simulator.sleep(Duration::from_millis(3_000 + dice.below(15_000))).await;
        if world.is_over() {
            return;
        }
        let act = ACTS[dice.below(ACTS.len() as u64) as usize];
        let releases = &world.profile.releases;
        let release = releases[dice.below(releases.len() as u64) as usize];
        let life = world.life("operator", release);
        world.journal.act(act, || format!("the operator, with release {release}: {act}"));
        match act {
            "roll back" => command(&world, &life, roll_back).await,
            "drop old" => command(&world, &life, drop_old).await,
            "rotate keys" => command(&world, &life, rotate_keys).await,
            "block by hand" => block(&world, &dice).await,
            "move an alias" => move_alias(&world, &dice),
            "take a snapshot" => snapshots.extend(take_snapshot(&world, &dice)),
            "restore a snapshot" => restore(&world, &dice, &snapshots),
            "let a snapshot run" => let_snapshot_run(&world, &dice).await,
            "close an index" => close(&world, &dice).await,
            "put aside" => {
                command(&world, &life, put_aside).await;
                // By chance alone there would rarely be something to restore.
                command(&world, &life, bring_back).await;
            }
            "bring back" => command(&world, &life, bring_back).await,
            _ => fail_over(&world, &dice),
        }
        world.simulator.kill(life.id);
    }
}

pub(crate) type Command = fn(Arc<World>, Arc<Life>) -> futures::future::BoxFuture<'static, String>;

/// Runs a command of the operator to its end, unless it is killed.
pub(crate) async fn command(world: &Arc<World>, life: &Arc<Life>, command: Command) {
    let ended = world.simulator.spawn_joined(life.id, command(world.clone(), life.clone())).await;
    world.journal.tell(|| {
        let words = ended.unwrap_or_else(|| "killed".to_owned());
        (About::Act, format!("{} is done: {words}", life.name))
    });
}

pub(crate) fn engine(world: &World, life: &Arc<Life>) -> Engine {
    let environment = world.surroundings(life);
    let cluster = Arc::new(world.elastic(life, &environment));
    let encryption = EncryptionService::new(Some(key_ring(world)), environment.clone());
    Engine::new(cluster, Arc::new(registry(life.release)), world.prefix.clone(), encryption, environment)
}

pub(crate) fn migrator(world: &World, life: &Arc<Life>) -> Migrator {
    Migrator::new(&engine(world, life))
}

fn roll_back(world: Arc<World>, life: Arc<Life>) -> futures::future::BoxFuture<'static, String> {
    async move {
        let report = migrator(&world, &life).rollback().await;
        world.journal.count(&format!("roll back: {:?}", report.outcome));
        format!("{:?} {:?} {:?}", report.outcome, report.blockers, report.error)
    }
    .boxed()
}

fn drop_old(world: Arc<World>, life: Arc<Life>) -> futures::future::BoxFuture<'static, String> {
    async move {
        let witness = &world.network.witness;
        witness.begins_to_drop(&world.network);
        // The command may be killed while its requests can still land: then it never ends.
        let report = migrator(&world, &life).drop_old().await;
        witness.ends_to_drop();
        world.journal.count(&format!("drop old: {:?}", report.outcome));
        // A failed command may have dropped some before.
        let says_so = report.outcome == Outcome::Dropped;
        if report.outcome != Outcome::Failed && says_so == report.dropped.is_empty() {
            let how = format!("{:?} with {:?} dropped", report.outcome, report.dropped);
            world.journal.broken("what a start reports is true", "", how);
        }
        format!("{:?} {:?} {:?} {:?}", report.outcome, report.dropped, report.blockers, report.error)
    }
    .boxed()
}

fn rotate_keys(world: Arc<World>, life: Arc<Life>) -> futures::future::BoxFuture<'static, String> {
    async move {
        // Nodes that start from now on encrypt with the new key; all have both.
        *lock(&world.is_key_new) = true;
        match key_rotation(&world, &life).rotate().await {
            Ok(_) => {
                world.journal.count("rotate keys: done");
                "done".to_owned()
            }
            Err(error) => {
                world.journal.count(&format!("rotate keys: {:?}", error.kind()));
                format!("{error}")
            }
        }
    }
    .boxed()
}

pub(crate) fn key_rotation(world: &World, life: &Arc<Life>) -> KeyRotation {
    KeyRotation::new(&engine(world, life))
}

/// Migrates, and quarantines what cannot be converted.
pub(crate) fn put_aside(world: Arc<World>, life: Arc<Life>) -> futures::future::BoxFuture<'static, String> {
    async move {
        let report = migrator(&world, &life).on_bad(OnBad::Quarantine).migrate().await;
        world.journal.count(&format!("put aside: {:?}", report.outcome));
        format!("{:?} {:?} {:?}", report.outcome, report.bad, report.error)
    }
    .boxed()
}

/// Restores documents from the quarantine to their index.
fn bring_back(world: Arc<World>, life: Arc<Life>) -> futures::future::BoxFuture<'static, String> {
    async move {
        let quarantine = Quarantine::new(&engine(&world, &life));
        let restored = quarantine.restore(&[BAD.to_owned()]).await;
        if restored.as_ref().is_ok_and(|restored| !restored.restored.is_empty()) {
            world.journal.count("a document was brought back");
        }
        format!("{restored:?}")
    }
    .boxed()
}

/// Closes a current generation for a while, unless it is being copied.
async fn close(world: &World, dice: &Dice) {
    let (_, names) = any_group(world, dice);
    let Some((index, state)) = current(world, &names) else { return };
    if state.aliases.keys().any(|name| name.contains("-copying-")) {
        return;
    }
    by_hand(world, &format!("closes {index}"), &index, async { world.memory.close_index(&index) });
    world.simulator.sleep(Duration::from_millis(500 + dice.below(10_000))).await;
    by_hand(world, &format!("opens {index}"), &index, async { world.memory.open_index(&index) });
}

/// Blocks the writes to a current generation for a while, unless it is being copied.
async fn block(world: &World, dice: &Dice) {
    let (_, names) = any_group(world, dice);
    let is_copied =
        |state: &IndexState| state.write_blocked || state.aliases.keys().any(|name| name.contains("-copying-"));
    let Some((index, state)) = current(world, &names) else { return };
    if is_copied(&state) {
        return;
    }
    by_hand(world, &format!("blocks {index}"), &index, world.memory.add_write_block(&index));
    world.simulator.sleep(Duration::from_millis(500 + dice.below(10_000))).await;
    by_hand(world, &format!("unblocks {index}"), &index, world.memory.remove_write_block(&index));
}

/// Moves the alias of a group to an older generation, which then takes writes. Its content is the given state from now
/// on.
fn move_alias(world: &World, dice: &Dice) {
    let (group, names) = any_group(world, dice);
    let Some((from, state)) = current(world, &names) else { return };
    let older = indices(&world.memory).into_keys().find(|name| {
        *name != from && names.generation(name).is_some() && world.network.witness.was_current_by_name(name)
    });
    let Some(to) = older else { return };
    let (Some(old), Some(new)) = (names.generation(&to), names.generation(&from)) else { return };
    // Like a rollback: without the write alias nodes would write to a generation that is not read.
    let mut actions = vec![
        AliasAction::Remove { index: from.clone(), alias: names.alias().to_owned() },
        AliasAction::Add { index: to.clone(), alias: names.alias().to_owned() },
        AliasAction::Add { index: to.clone(), alias: names.write_alias(old) },
    ];
    if state.aliases.contains_key(&names.write_alias(new)) {
        actions.push(AliasAction::Remove { index: from.clone(), alias: names.write_alias(new) });
    }
    let text = format!("moves the alias {} from {from} to {to}", names.alias());
    by_hand(world, &text, &to, world.memory.update_aliases(&actions));
    by_hand(world, &format!("unblocks {to}"), &to, world.memory.remove_write_block(&to));
    world.journal.count("an alias was moved by hand");
    world.take_as_given(group);
}

/// Takes a snapshot of the current generation of a group.
fn take_snapshot(world: &World, dice: &Dice) -> Option<(&'static str, String, Snapshot)> {
    let (group, names) = any_group(world, dice);
    let (index, _) = current(world, &names)?;
    let snapshot = world.memory.snapshot(&[&index]).ok()?;
    Some((group, index, snapshot))
}

/// Restores a snapshot over the index that it was taken of, which keeps its aliases. If that index is current, its
/// content is the given state from now on.
fn restore(world: &World, dice: &Dice, snapshots: &[(&'static str, String, Snapshot)]) {
    let Some((group, index, snapshot)) = snapshots.get(dice.below(snapshots.len().max(1) as u64) as usize) else {
        return;
    };
    let names = world.prefix.group(group);
    let Some(before) = indices(&world.memory).remove(index) else { return };
    let is_current = before.aliases.contains_key(names.alias());
    let options = RestoreOptions { with_aliases: false, over_closed: true };
    world.network.witness.is_restored(&before.uuid);
    by_hand(world, &format!("restores {index}"), index, async { world.memory.restore(snapshot, index, options) });
    let is_copied = before.aliases.keys().any(|alias| alias.contains("-copying-"));
    if is_current && !is_copied {
        by_hand(world, &format!("unblocks {index}"), index, world.memory.remove_write_block(index));
    }
    match is_current {
        true => world.take_as_given(group),
        false => world.journal.count("a kept generation was restored"),
    }
}

/// Runs a snapshot of the current generations for a while: they can be neither deleted nor closed.
async fn let_snapshot_run(world: &World, dice: &Dice) {
    let all = indices(&world.memory);
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    world.memory.begin_snapshot(&names);
    world.simulator.sleep(Duration::from_millis(500 + dice.below(8_000))).await;
    world.memory.end_snapshot();
    world.journal.tell(|| (About::Act, "the snapshot has ended".to_owned()));
}

/// Makes another copy of a shard the primary.
fn fail_over(world: &World, dice: &Dice) {
    let (_, names) = any_group(world, dice);
    let Some((index, _)) = current(world, &names) else { return };
    by_hand(world, &format!("fails {index} over"), &index, async { world.memory.fail_over(&index) });
}

fn any_group(world: &World, dice: &Dice) -> (&'static str, IndexNames) {
    let group = GROUPS[dice.below(GROUPS.len() as u64) as usize];
    (group, world.prefix.group(group))
}

/// Returns the current generation of a group.
pub(crate) fn current(world: &World, names: &IndexNames) -> Option<(String, IndexState)> {
    indices(&world.memory).into_iter().find(|(_, state)| state.aliases.contains_key(names.alias()))
}

/// Sends a request of the operator past the library, without faults.
fn by_hand<T>(
    world: &World,
    text: &str,
    index: &str,
    asked: impl Future<Output = saved_objects::cluster::ClusterResult<T>>,
) {
    let answer = asked.now_or_never().expect("a cluster in memory answers at once");
    world.journal.tell(|| {
        let words = match &answer {
            Ok(_) => String::new(),
            Err(error) => format!(": {error}"),
        };
        (About::Act, format!("by hand, the operator {text}{words}"))
    });
    world.network.witness.check(&world.network, &format!("the operator {text} ({index})"));
}
