//! What must be true after a quiet time, when all faults are over and each release was started again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use saved_objects::cluster::Cluster;
use saved_objects::encryption::KeyId;
use saved_objects::migrate::Outcome;
use saved_objects::quarantine::Quarantine;
use saved_objects::repository::{Filter, Find, Repository};
use saved_objects::verify::Verifier;
use saved_objects::{ErrorKind, SavedObjects, Start};
use serde_json::Value;

use crate::executor::lock;
use crate::node::key_ring;
use crate::types::{GROUPS, model_version};
use crate::users::{read_counter, read_vault};
use crate::weather::Weather;
use crate::witness::indices;
use crate::world::{BAD, World};
use crate::{operator, refreshes};

const LEFT_OVER: &str = "after a quiet while nothing is blocked or left over";

/// Waits until everything is quiet, starts each release, and checks what is stored.
pub(crate) async fn check(world: &Arc<World>) {
    world.network.set_weather(Weather::quiet());
    world.network.set_no_ambush();
    world.journal.act("quiet", || "all faults are over".to_owned());
    world.simulator.sleep(Duration::from_secs(60)).await;
    let newest_first: BTreeSet<u32> = world.profile.releases.iter().copied().collect();
    let mut newest = None;
    for release in newest_first.into_iter().rev() {
        let store = start(world, release, newest.is_none()).await;
        newest = newest.or_else(|| store.map(|store| (release, store)));
        if newest.is_none() {
            break;
        }
    }
    // A start that is blocked records nothing again.
    let Some((release, store)) = newest else { return };
    world.network.witness.check_the_end(&world.network);
    // What the first start could not distinguish from the work of a live node is left to the next start.
    start(world, release, true).await;
    check_left_overs(world, release).await;
    let repository = store.repository().clone();
    for key in world.history.keys() {
        match key.split_once(':') {
            Some(("vault", id)) => read_vault(world, "the last reader", &repository, id).await,
            Some(("tally", id)) => read_counter(world, "the last reader", &repository, id).await,
            _ => {}
        }
    }
    refreshes::check(world, &store).await;
    check_bad_document(world, release).await;
    check_versions(world, release).await;
    check_searches(world, release, &repository).await;
    check_keys(world, release).await;
}

/// Asserts that the document that cannot be converted is in its index or in quarantine, unless the operator deleted it.
async fn check_bad_document(world: &World, release: u32) {
    if !world.has_bad_document.load(Ordering::Relaxed) || world.is_bad_deleted.load(Ordering::Relaxed) {
        return;
    }
    let life = world.life("quarantine", release);
    let held = Quarantine::new(&operator::engine(world, &life)).list().await.expect("everything can be reached");
    let held = held.iter().filter(|held| held.id == BAD).count();
    let is_stored = world.memory.get(world.prefix.group("vaults").alias(), BAD).await.expect("answered").is_some();
    if held + usize::from(is_stored) != 1 {
        let how = format!("it is {held} times in quarantine, and in its index: {is_stored}");
        world.journal.broken("a document is in exactly one of index and quarantine", BAD, how);
    }
    world.journal.count(if is_stored { "a bad document stayed" } else { "a bad document is in quarantine" });
}

/// Asserts that after a rescan every document that has a value for a mapped field is found by it.
async fn check_searches(world: &World, release: u32, repository: &Repository) {
    let fields = [("vault", "vaults", "level", 2), ("tally", "tallies", "unit", 3), ("tally", "tallies", "count", 1)];
    for (type_name, group, field, _) in fields.into_iter().filter(|(.., since)| *since <= release) {
        let names = world.prefix.group(group);
        world.memory.refresh(names.alias()).await.expect("answered");
        let has_value = |source: &Value| source["type"] == type_name && !source[type_name][field].is_null();
        let stored = world.documents(names.alias()).iter().filter(|(_, source)| has_value(source)).count() as u64;
        match repository.find(&[type_name], Find::new().filter(Filter::exists(field))).await {
            Ok(found) if found.total == stored => world.journal.count("all found by a field"),
            Ok(found) => {
                let how = format!("{} of {stored} of type {type_name} are found by {field}", found.total);
                world.journal.broken("what is written is found", names.alias(), how);
            }
            Err(error) => world.journal.broken("what is written can be read", names.alias(), error.to_string()),
        }
    }
}

/// Asserts that a key that a rotation reports as not needed is in no document of any index.
async fn check_keys(world: &World, release: u32) {
    if !*lock(&world.is_key_new) {
        return;
    }
    let life = world.life("keys", release);
    let report = match operator::key_rotation(world, &life).rotate().await {
        Ok(report) => report,
        Err(error) => return world.journal.broken("after a quiet while keys can be rotated", "", error.to_string()),
    };
    let old = key_ring(world).key_ids().into_iter().find(|id| *id != report.primary).expect("it has both");
    if report.still_needed.iter().any(|key| key.id == old) {
        return world.journal.count("a key is still needed");
    }
    world.journal.count("a key can be removed");
    for (index, _) in indices(&world.memory) {
        for (id, source) in world.documents(&index) {
            if key_ids(&source).contains(&old) {
                let how = format!("{id} in {index} has a secret under {old}: {source}");
                world.journal.broken("a key that can be removed is needed nowhere", index.clone(), how);
            }
        }
    }
}

/// Returns the keys that envelopes in a document name: eight bytes after a magic number and a version. Read past the
/// library.
fn key_ids(source: &Value) -> Vec<KeyId> {
    match source {
        Value::Object(fields) => fields.values().flat_map(key_ids).collect(),
        Value::Array(items) => items.iter().flat_map(key_ids).collect(),
        Value::String(text) if text.starts_with("U09F") => {
            let header = STANDARD.decode(&text[..16]).expect("sixteen characters of Base64");
            vec![header[4..12].iter().map(|byte| format!("{byte:02x}")).collect::<String>().parse().expect("a key id")]
        }
        // The quarantine keeps a document as text.
        Value::String(text) if text.starts_with('{') => {
            serde_json::from_str(text).map_or(Vec::new(), |json| key_ids(&json))
        }
        _ => Vec::new(),
    }
}

/// Starts a node of `release` in the quiet time; the newest must start, unless it reports a blocker.
async fn start(world: &Arc<World>, release: u32, must_start: bool) -> Option<SavedObjects> {
    for attempt in 1.. {
        let life = world.life(&format!("last{release}.{attempt}"), release);
        let starting = world.clone().start(life.clone(), Start::Migrate);
        match world.simulator.spawn_joined(life.id, starting).await? {
            Ok(store) => return Some(store),
            Err(error) if error.kind() == ErrorKind::Incompatible => {
                world.journal.count("blocked at the end");
                return None;
            }
            Err(error) if attempt == 4 => {
                if must_start {
                    let how = format!("{} does not start: {error}", life.name);
                    world.journal.broken("after a quiet while a node starts", "", how);
                }
                return None;
            }
            // A start reports the bad document; the operator deletes it, or quarantines it.
            Err(_) => {
                match world.profile.has_quarantine {
                    true => operator::command(world, &life, operator::put_aside).await,
                    false => world.delete_bad_document().await,
                }
                world.simulator.sleep(Duration::from_secs(10)).await;
            }
        }
    }
    None
}

async fn check_left_overs(world: &World, release: u32) {
    let all = indices(&world.memory);
    // A rollback hides some indices from the start that would delete them. `status` reports them, for `migrate
    // --drop-old`.
    let life = world.life("status", release);
    let status = operator::migrator(world, &life).status().await.expect("everything can be reached");
    let named: BTreeSet<String> =
        status.indices.into_iter().flat_map(|index| index.kept).map(|kept| kept.index).collect();
    for names in GROUPS.into_iter().chain(["connectors"]).map(|group| world.prefix.group(group)) {
        let broken = |name: &str, how: String| world.journal.broken(LEFT_OVER, name, how);
        let current: Vec<&String> =
            all.iter().filter(|(_, state)| state.aliases.contains_key(names.alias())).map(|(name, _)| name).collect();
        if current.len() != 1 {
            broken(names.alias(), format!("the alias {} leads to {current:?}", names.alias()));
        }
        for (name, state) in &all {
            if names.is_fill(name) && !world.network.witness.is_of_others(name) {
                broken(name, format!("{name} is left over"));
            }
            if names.generation(name).is_none() {
                continue;
            }
            let marks: Vec<&String> = state
                .aliases
                .keys()
                .filter(|alias| alias.contains("-copying-") || alias.contains("-undoing-"))
                .collect();
            // A generation that an operator made old during its copy keeps its mark, which has no effect.
            if !marks.is_empty() && (current.contains(&name) || !named.contains(name)) {
                broken(name, format!("{name} still has {marks:?}"));
            }
            let is_current = current.contains(&name);
            if is_current && state.write_blocked {
                broken(name, format!("{name} takes no writes"));
            }
            if !is_current && !world.network.witness.was_current(&state.uuid) && !named.contains(name) {
                broken(name, format!("{name} was never current, and is left over"));
            }
        }
    }
}

/// Asserts that after a rescan every document is at the version of the newest release, and can be decrypted.
async fn check_versions(world: &World, release: u32) {
    let life = world.life("rescan", release);
    world.delete_bad_document().await;
    let report = operator::migrator(world, &life).rescan().migrate().await;
    if !matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo) {
        let how = format!("the rescan ended with {:?}: {:?} {:?}", report.outcome, report.error, report.bad);
        return world.journal.broken("after a quiet while a node starts", "", how);
    }
    let verifier = Verifier::new(&operator::engine(world, &life)).expect("it has keys");
    let found = verifier.verify().await.expect("everything can be reached");
    if !found.unreadable.is_empty() {
        world.journal.broken("what is written can be read", "", format!("{:?}", found.unreadable));
    }
    for (index, found) in found.indices.iter().flat_map(|index| index.types.iter().map(move |found| (index, found))) {
        let version = model_version(&found.type_name, release).to_string();
        if found.by_version.keys().any(|stored| *stored != version) {
            let how = format!("{:?} of {} after a rescan to version {version}", found.by_version, found.type_name);
            world.journal.broken("what a start reports is true", index.alias.clone(), how);
        }
    }
}
