//! Five migrators at once: one is killed and one stalls at random, one is of another version, and a writer is at work.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::cluster::{BulkAction, BulkRequest, Cluster, ItemOutcome};
use saved_objects::encryption::{Secret, Secrets};
use saved_objects::migrate::Outcome;
use saved_objects::repository::{Create, Draft, ObjectKey, Repository};
use saved_objects::{ErrorKind, Start};
use serde_json::{Value, json};

use super::disturbed::{Call, Disturbed, Disturber, Fate};
use super::room::{Job, Room, in_its_own_time, process};
use super::seed::{Dice, Named, seeds};
use crate::migration::object;

/// Successful writes of migrations, by alias, `_id`, sequence number read and version written.
type Written = Arc<Mutex<BTreeMap<(String, String, u64, String), u64>>>;

/// A process on a slow network that meets its fate at one of its requests.
#[derive(Debug)]
struct Migrating {
    dice: Dice,
    end: Option<(usize, End)>,
    written: Written,
    fills: Arc<Mutex<u64>>,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Killed(Fate),
    Stalled,
}

#[async_trait]
impl Disturber for Migrating {
    async fn fate(&self, call: &Call) -> Fate {
        tokio::time::sleep(Duration::from_millis(self.dice.below(30))).await;
        if call.method == "create_index" && call.state == "prepare_fill" {
            *self.fills.lock().expect("not poisoned") += 1;
        }
        match self.end {
            Some((number, End::Killed(fate))) if number == call.number => fate,
            // Longer than anybody waits for it.
            Some((number, End::Stalled)) if number == call.number => {
                tokio::time::sleep(Duration::from_secs(40)).await;
                Fate::Done
            }
            _ => Fate::Done,
        }
    }

    fn done(&self, request: &BulkRequest<'_>, outcomes: &[ItemOutcome]) {
        // The lease is no object.
        if request.alias.ends_with("-control") {
            return;
        }
        let mut written = self.written.lock().expect("not poisoned");
        for (operation, outcome) in request.operations.iter().zip(outcomes) {
            let read = match &operation.action {
                BulkAction::Replace { read, .. } => read.seq_no,
                _ => u64::MAX,
            };
            let Some(source) = operation.action.source().filter(|_| outcome.is_ok()) else { continue };
            let source: Value = serde_json::from_slice(source).expect("JSON");
            let version = source["typeMigrationVersion"].as_str().unwrap_or_default().to_owned();
            *written.entry((request.alias.to_owned(), operation.id.clone(), read, version)).or_default() += 1;
        }
    }
}

/// A node on a slow network.
#[derive(Debug)]
struct Slow(Dice);

#[async_trait]
impl Disturber for Slow {
    async fn fate(&self, _: &Call) -> Fate {
        tokio::time::sleep(Duration::from_millis(self.0.below(30))).await;
        Fate::Done
    }
}

/// What the writer has been told, and what must therefore be stored.
#[derive(Debug, Default)]
struct Ledger {
    /// The owner of each vault; none if it is deleted.
    owners: BTreeMap<String, Option<String>>,
    done: u64,
    refused: BTreeMap<String, u64>,
}

/// Updates, deletes and creates vaults until it is dropped. Nobody else changes what they say.
struct Writer {
    nodes: Vec<Repository>,
    dice: Dice,
    ledger: Arc<Mutex<Ledger>>,
}

impl Writer {
    async fn run(self) {
        for step in 0_u64.. {
            let node = &self.nodes[self.dice.below(self.nodes.len() as u64) as usize];
            let id = format!("v{}", self.dice.below(8));
            let key = ObjectKey::new("vault", &id);
            let owner = format!("w{step}");
            let known = self.ledger.lock().expect("not poisoned").owners.get(&id).cloned().flatten();
            // Nothing is awaited between an answer and its entry: what is not entered is not known.
            let (answer, now) = match (&known, self.dice.happens(15)) {
                (None, _) => {
                    let vault = Create::new("vault", object(json!({"title": id, "owner": owner}))).id(&id);
                    let created = node.create(vault.secret("password", Secret::text("hidden"))).await.map(drop);
                    (created, Some(owner))
                }
                (Some(_), true) => (node.delete(&key).await, None),
                (Some(_), false) => {
                    let change = |draft: &mut Draft| {
                        draft.attributes.insert("owner".to_owned(), owner.as_str().into());
                        Ok(())
                    };
                    (node.update(&key, change).await.map(drop), Some(owner.clone()))
                }
            };
            let mut ledger = self.ledger.lock().expect("not poisoned");
            match answer {
                Ok(()) => {
                    ledger.owners.insert(id, now);
                    ledger.done += 1;
                }
                Err(error) => {
                    // Refused for now: a block, a generation that is gone, a newer document. It must not be half done.
                    let passing =
                        [ErrorKind::Forbidden, ErrorKind::NotFound, ErrorKind::Conflict, ErrorKind::Incompatible];
                    assert!(passing.contains(&error.kind()), "{error}");
                    *ledger.refused.entry(format!("{:?}", error.kind())).or_default() += 1;
                }
            }
        }
    }
}

pub(crate) fn five_migrators_and_a_writer_lose_nothing() {
    let (mut done, mut refused) = (0, BTreeMap::<String, u64>::new());
    for seed in seeds(1..31) {
        let _named = Named(seed);
        let ledger = in_its_own_time(race(seed));
        done += ledger.done;
        ledger.refused.into_iter().for_each(|(kind, count)| *refused.entry(kind).or_default() += count);
    }
    println!("{done} writes done meanwhile; refused: {refused:?}");
    assert!(done > 0, "the writer never wrote");
}

async fn race(seed: u64) -> Ledger {
    let dice = Dice::new(seed);
    let room = Room::with_release_1().await;
    let target = if dice.happens(50) { 2 } else { 3 };
    // Another version beside them: an older one, or a newer one that turns their way into a copy.
    let other = if target == 3 { 2 } else { 1 };
    let (written, fills): (Written, Arc<Mutex<u64>>) = Default::default();
    let mut migrators = Vec::new();
    for number in 0..5 {
        let at = dice.below(60) as usize;
        let end = match number {
            0 => Some((at, End::Killed([Fate::Unsent, Fate::Unheard, Fate::Half][dice.below(3) as usize]))),
            1 => Some((at, End::Stalled)),
            _ => None,
        };
        let release = if number == 2 { other } else { target };
        // With the lease they take turns; in half of the races they do without it, and all work at once.
        let job = Job { release, delete_removed: false, without_lease: seed.is_multiple_of(2) };
        let (written, fills) = (written.clone(), fills.clone());
        let disturber = Arc::new(Migrating { dice: Dice::new(seed * 1_000 + number), end, written, fills });
        let (offset, room) = (Duration::from_millis(dice.below(300)), &room);
        migrators.push(async move {
            tokio::time::sleep(offset).await;
            (number, process(room, job, disturber).await)
        });
    }
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    for number in 0..5 {
        ledger.lock().expect("not poisoned").owners.insert(format!("v{number}"), Some("kim".to_owned()));
    }
    // In half of the races the writer's node is as old as the documents, in half it is new.
    let writes_old = dice.happens(50);
    let mut nodes = Vec::new();
    for release in if writes_old { vec![1, target] } else { vec![target] } {
        let cluster: Arc<dyn Cluster> =
            Arc::new(Disturbed::new(room.cluster(), Arc::new(Slow(Dice::new(seed * 7_000 + u64::from(release))))));
        nodes.push(room.repository(cluster, release, Start::Skip).await);
    }
    let writer = Writer { nodes, dice: Dice::new(seed * 9_000), ledger: ledger.clone() };
    let ended = tokio::select! {
        ended = futures::future::join_all(migrators) => ended,
        () = writer.run() => unreachable!("it goes on for ever"),
    };
    for (number, report) in ended {
        match report {
            None => assert_eq!(number, 0, "nobody kills another one"),
            Some(report) if number == 2 => {
                assert_ne!(report.outcome, Outcome::Failed, "the other version: {report:#?}")
            }
            Some(report) => {
                let is_well = matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo | Outcome::Waited);
                assert!(is_well, "migrator {number}: {report:#?}");
            }
        }
    }
    let job = Job { release: target, delete_removed: false, without_lease: false };
    let quiet = || Arc::new(Slow(Dice::new(1)));
    let report = process(&room, job, quiet()).await.expect("nobody kills it");
    assert!(matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo | Outcome::Waited), "{report:#?}");
    let again = process(&room, job, quiet()).await.expect("nobody kills it");
    assert_eq!(again.outcome, Outcome::NothingToDo, "{again:#?}");

    let ledger = std::mem::take(&mut *ledger.lock().expect("not poisoned"));
    check_objects(&room, &ledger, target).await;
    check_documents(&room, target, writes_old).await;
    let fills = *fills.lock().expect("not poisoned");
    for (write, count) in written.lock().expect("not poisoned").iter() {
        let most = if write.0.contains("-fill-") { fills } else { 1 };
        assert!(*count <= most, "{write:?} was written {count} times, with {fills} fills");
    }
    ledger
}

/// No update is lost, and no deleted object revived.
async fn check_objects(room: &Room, ledger: &Ledger, target: u32) {
    let repository = room.repository(room.cluster(), target, Start::Skip).await;
    for (id, owner) in &ledger.owners {
        let found = repository.get_with_secrets_opt(&ObjectKey::new("vault", id)).await.expect("readable");
        let stored = found.as_ref().map(|(vault, _)| vault.attributes["owner"].as_str().expect("a text").to_owned());
        assert_eq!(&stored, owner, "the owner of {id}");
        if let Some((_, secrets)) = found.filter(|_| id != "v0") {
            assert_eq!(secrets, Secrets::from([("password".to_owned(), Secret::text("hidden"))]), "of {id}");
        }
    }
}

/// Every document is readable, and at the newest version unless an older node wrote it later.
async fn check_documents(room: &Room, target: u32, writes_old: bool) {
    let stored = room.stored().await;
    assert_eq!(stored.unreadable, 0, "{stored:?}");
    assert!(stored.indices.keys().all(|name| !name.contains("-fill-")), "{stored:?}");
    for found in stored.documents.iter().flat_map(|index| &index.types) {
        let newest = match found.type_name.as_str() {
            "relic" => 1,
            "connector_token" => target.min(2),
            _ => target,
        };
        let is_there = found.by_version.keys().all(|version| *version == newest.to_string());
        assert!(is_there || writes_old, "{found:?}");
    }
}
