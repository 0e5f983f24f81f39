//! Users of a node: they create, read, change, count and delete, and record the answers.

use std::sync::Arc;
use std::time::Duration;

use saved_objects::document::{Attributes, VersionToken};
use saved_objects::encryption::Secret;
use saved_objects::repository::{
    Create, Delete, Draft, Import, ImportSummary, Increment, ObjectKey, OnConflict, Repository, Update,
};
use saved_objects::{Error, ErrorKind, Result, SavedObject, SavedObjects};
use serde_json::json;

use crate::dice::Dice;
use crate::history::{Effect, Ended, From};
use crate::journal::About;
use crate::node::Life;
use crate::profile::Only;
use crate::witness::SECRET;
use crate::world::World;
use crate::{claims, refreshes};

/// The largest number of operations on one object: the check looks for an order of them.
const MAX_OPERATIONS: usize = 60;

/// The number of vaults and tallies whose ids all users share.
const VAULTS: u64 = 10;
const TALLIES: u64 = 3;

/// One user of a node.
pub(crate) struct User {
    world: Arc<World>,
    name: String,
    repository: Repository,
    dice: Dice,
    /// What the user read or wrote last: the object's id, its value, its version.
    known: Option<(String, String, VersionToken)>,
    step: u64,
    /// The node that the user works through; `None` for the very first user.
    node: Option<(Arc<Life>, SavedObjects)>,
}

/// Works until the node ends, or until the world's time is over.
pub(crate) async fn work(world: Arc<World>, life: Arc<Life>, name: String, store: SavedObjects, until: Duration) {
    let seed = name.bytes().fold(u64::from(life.id.0), |sum, byte| sum.wrapping_mul(31) + u64::from(byte));
    let dice = world.fork(seed);
    let repository = store.repository().clone();
    let node = Some((life, store));
    let mut user = User { world: world.clone(), name, repository, dice, known: None, step: 0, node };
    while !world.is_over() && world.simulator.now() < until {
        user.act().await;
        let pause = user.dice.below(world.profile.pause.as_millis() as u64);
        world.simulator.sleep(Duration::from_millis(1 + pause)).await;
    }
}

/// Creates the objects that exist before any fault.
pub(crate) async fn fill(world: Arc<World>, life: Arc<Life>, store: SavedObjects) {
    let (dice, repository) = (world.fork(u64::from(life.id.0)), store.repository().clone());
    let mut user = User { world, name: "n0".to_owned(), repository, dice, known: None, step: 0, node: None };
    for number in 0..VAULTS {
        user.create(&format!("v{number}")).await;
    }
    for number in 0..TALLIES {
        user.count(&format!("t{number}")).await;
    }
}

impl User {
    async fn act(&mut self) {
        let vault = format!("v{}", self.dice.below(VAULTS));
        let tally = format!("t{}", self.dice.below(TALLIES));
        if self.world.history.count(&format!("vault:{vault}")) > MAX_OPERATIONS {
            return self.count(&tally).await;
        }
        match self.world.profile.users_only {
            Some(Only::Count) => return self.count("t0").await,
            Some(Only::Claim) => return self.claim().await,
            None => {}
        }
        match self.dice.below(100) {
            98..100 => self.claim().await,
            95..98 => self.ask_for_token().await,
            92..95 => self.import().await,
            0..15 => self.create(&vault).await,
            15..18 => self.create_without_id().await,
            18..24 => self.create_many().await,
            24..44 => self.read(&vault).await,
            44..60 => self.update(&vault).await,
            60..68 => self.update_known().await,
            68..74 => self.delete(&vault).await,
            74..78 => self.delete_known().await,
            78..82 => self.read_counter(&tally).await,
            _ => self.count(&tally).await,
        }
    }

    /// Returns a value that no other write has.
    fn value(&mut self) -> String {
        self.step += 1;
        format!("{}#{}", self.name, self.step)
    }

    fn new_vault(&self, value: &str) -> Create {
        let attributes = object(json!({"title": "t", "owner": value}));
        Create::new("vault", attributes).secret("password", Secret::text(&format!("{SECRET}{value}")))
    }

    async fn create(&mut self, id: &str) {
        let value = self.value();
        let key = format!("vault:{id}");
        let begun = self.world.history.begin(&key, &self.name, creating(&value));
        let answer = self.repository.create(self.new_vault(&value).id(id)).await;
        self.world.history.end_write(&begun, &token(&answer), None);
        self.remember(id, &value, &answer);
        self.record("create", &key, &answer);
    }

    async fn create_without_id(&mut self) {
        let value = self.value();
        let invoked = self.world.simulator.now();
        let answer = self.repository.create(self.new_vault(&value)).await;
        if let Ok(created) = &answer {
            let key = format!("vault:{}", created.id);
            let begun = self.world.history.begin_at(&key, &self.name, creating(&value), invoked);
            self.world.history.end_write(&begun, &token(&answer), None);
            self.record("create without an id", &key, &answer);
        }
    }

    async fn create_many(&mut self) {
        let first = self.dice.below(VAULTS);
        let count = 2 + self.dice.below(4);
        let mut begun = Vec::new();
        let mut requests = Vec::new();
        for id in (first..first + count).map(|number| format!("v{}", number % VAULTS)) {
            let value = self.value();
            begun.push((
                format!("vault:{id}"),
                self.world.history.begin(&format!("vault:{id}"), &self.name, creating(&value)),
            ));
            requests.push(self.new_vault(&value).id(id));
        }
        let answers = self.repository.create_many(requests).await;
        for ((key, begun), answer) in begun.into_iter().zip(&answers) {
            self.world.history.end_write(&begun, &token(answer), None);
            self.record("create many", &key, answer);
        }
    }

    async fn read(&mut self, id: &str) {
        let key = format!("vault:{id}");
        let begun = self.world.history.begin(&key, &self.name, Effect::Read(None));
        let with_secrets = self.dice.happens(30);
        let found = match with_secrets {
            true => self
                .repository
                .get_with_secrets_opt(&ObjectKey::new("vault", id))
                .await
                .map(|found| found.map(|(vault, _)| vault)),
            false => self.repository.get_opt(&ObjectKey::new("vault", id)).await,
        };
        let value = found.as_ref().map(|found| found.as_ref().map(|vault| (owner(&vault.attributes), vault.version)));
        let value = value.map_err(Clone::clone);
        self.world.history.end_read(&begun, &value);
        if let Ok(Some((value, version))) = &value {
            self.known = Some((id.to_owned(), value.clone(), *version));
        }
        self.record(if with_secrets { "read with secrets" } else { "read" }, &key, &value);
    }

    async fn update(&mut self, id: &str) {
        let (value, key) = (self.value(), format!("vault:{id}"));
        let effect = Effect::Write { from: From::Present, to: Some(value.clone()) };
        let begun = self.world.history.begin(&key, &self.name, effect);
        let mut based = Vec::new();
        let change = |draft: &mut Draft| {
            based.push(owner(&draft.attributes));
            draft.attributes.insert("owner".to_owned(), value.as_str().into());
            Ok(())
        };
        let answer = self.repository.update(&ObjectKey::new("vault", id), change).await;
        // The write replaced what was read last, if it was done.
        let from = if answer.is_ok() { based.last().cloned().into_iter().collect() } else { based };
        self.world.history.end_write(&begun, &token(&answer), Some(From::OneOf(from)));
        self.remember(id, &value, &answer);
        self.record("update", &key, &answer);
    }

    async fn update_known(&mut self) {
        let Some((id, before, version)) = self.known.take() else { return };
        let (value, key) = (self.value(), format!("vault:{id}"));
        let effect = Effect::Write { from: From::OneOf(vec![before]), to: Some(value.clone()) };
        let begun = self.world.history.begin(&key, &self.name, effect);
        let change = |draft: &mut Draft| {
            draft.attributes.insert("owner".to_owned(), value.as_str().into());
            Ok(())
        };
        let request = Update::new(ObjectKey::new("vault", &id)).version(version);
        let answer = self.repository.update(request, change).await;
        self.world.history.end_write(&begun, &token(&answer), None);
        self.record("update a version", &key, &answer);
    }

    async fn delete(&mut self, id: &str) {
        let key = format!("vault:{id}");
        // A delete without a version is done if the object is gone, also if another user deleted it while the answer
        // was lost.
        let begun = self.world.history.begin(&key, &self.name, Effect::Write { from: From::Any, to: None });
        let answer = self.repository.delete(&ObjectKey::new("vault", id)).await;
        self.world.history.end_write(&begun, &answer.clone().map(|()| None), None);
        self.record("delete", &key, &answer);
    }

    async fn delete_known(&mut self) {
        let Some((id, before, version)) = self.known.take() else { return };
        let key = format!("vault:{id}");
        let effect = Effect::Write { from: From::OneOf(vec![before]), to: None };
        let begun = self.world.history.begin(&key, &self.name, effect);
        let answer = self.repository.delete(Delete::new(ObjectKey::new("vault", &id)).version(version)).await;
        self.world.history.end_write(&begun, &answer.clone().map(|()| None), None);
        self.record("delete a version", &key, &answer);
    }

    async fn count(&mut self, id: &str) {
        let key = format!("tally:{id}");
        let begun = self.world.history.begin(&key, &self.name, Effect::Count(None));
        let request = Increment::new(ObjectKey::new("tally", id)).field("count");
        let answer = self.repository.increment(request.or_create(object(json!({"name": id})))).await;
        self.world.history.end_count(&begun, &answer);
        self.record("count", &key, &answer);
    }

    async fn claim(&mut self) {
        if let Some((life, store)) = self.node.clone() {
            claims::authorize(self.world.clone(), life, store, &self.dice).await;
        }
    }

    async fn ask_for_token(&mut self) {
        if let Some((life, store)) = self.node.clone() {
            refreshes::ask(self.world.clone(), life, store, &self.dice).await;
        }
    }

    /// Imports a file with a few vaults.
    async fn import(&mut self) {
        let (first, count) = (self.dice.below(VAULTS), 1 + self.dice.below(3));
        let is_overwriting = self.dice.happens(60);
        let (from, on_conflict) =
            if is_overwriting { (From::Any, OnConflict::Overwrite) } else { (From::Absent, OnConflict::Fail) };
        let (mut begun, mut file) = (Vec::new(), String::new());
        for id in (first..first + count).map(|number| format!("v{}", number % VAULTS)) {
            let (value, key) = (self.value(), format!("vault:{id}"));
            let effect = Effect::Write { from: from.clone(), to: Some(value.clone()) };
            begun.push(self.world.history.begin(&key, &self.name, effect));
            let line = json!({"type": "vault", "id": id, "attributes": {"title": "t", "owner": value},
                "references": [], "typeMigrationVersion": "10.1.0"});
            file.push_str(&format!("{line}\n"));
        }
        let request = Import::new().on_conflict(on_conflict);
        let answer = self.repository.import(request, std::io::Cursor::new(file.into_bytes())).await;
        for (line, begun) in (1..).zip(&begun) {
            let ended = match &answer {
                Ok(summary) => ended(summary, line),
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => Ended::Unknown,
                Err(error) => Ended::NotDone(error.kind()),
            };
            self.world.history.end_as(begun, ended);
        }
        let keys = begun.iter().map(|begun| begun.key.as_str()).collect::<Vec<_>>().join(" ");
        let is_whole = answer.as_ref().is_ok_and(|summary| summary.success);
        self.world.journal.count(if is_whole { "import" } else { "import: not all" });
        self.world.journal.tell(|| {
            let names = begun.iter().map(|begun| begun.key.clone()).collect();
            (About::Names(names), format!("{} asked to import {keys}: {answer:?}", self.name))
        });
    }

    async fn read_counter(&mut self, id: &str) {
        read_counter(&self.world, &self.name, &self.repository, id).await;
        self.world.journal.count("read a counter");
    }

    fn remember(&mut self, id: &str, value: &str, answer: &Result<SavedObject>) {
        if let Ok(written) = answer {
            self.known = Some((id.to_owned(), value.to_owned(), written.version));
        }
    }

    /// Records the answer of an operation; some answers break promises by themselves.
    fn record<T: std::fmt::Debug>(&self, what: &str, key: &str, answer: &Result<T>) {
        record(&self.world, &self.name, what, key, answer);
    }
}

/// Reads a counter.
pub(crate) async fn read_counter(world: &World, name: &str, repository: &Repository, id: &str) {
    let key = format!("tally:{id}");
    let begun = world.history.begin(&key, name, Effect::Read(None));
    let found = repository.get_opt(&ObjectKey::new("tally", id)).await;
    let value = found.map(|found| found.map(|tally| (tally.attributes["count"].to_string(), tally.version)));
    world.history.end_read(&begun, &value);
    record(world, name, "read", &key, &value);
}

/// Reads a vault by its id.
pub(crate) async fn read_vault(world: &World, name: &str, repository: &Repository, id: &str) {
    let key = format!("vault:{id}");
    let begun = world.history.begin(&key, name, Effect::Read(None));
    let found = repository.get_with_secrets_opt(&ObjectKey::new("vault", id)).await;
    let value = found.map(|found| found.map(|(vault, _)| (owner(&vault.attributes), vault.version)));
    world.history.end_read(&begun, &value);
    record(world, name, "read", &key, &value);
}

fn record<T: std::fmt::Debug>(world: &World, name: &str, what: &str, key: &str, answer: &Result<T>) {
    world.journal.count(&match answer {
        Ok(_) => what.to_owned(),
        Err(error) => format!("{what}: {:?}", error.kind()),
    });
    world.simulator.record(answer.is_ok());
    world.journal.tell(|| {
        let words = match answer {
            Ok(_) => "done".to_owned(),
            Err(error) => format!("{:?}: {error}", error.kind()),
        };
        (About::Names(vec![key.to_owned()]), format!("{name} asked to {what} {key}: {words}"))
    });
    // A proxy said so, and reading back showed that nothing was done.
    let is_too_large =
        |error: &Error| error.message().contains("too large") && world.network.witness.was_called_too_large(key);
    if let Err(error) = answer
        && matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Decrypt | ErrorKind::Invalid)
        && !is_too_large(error)
    {
        world.journal.broken("what is written can be read", key, format!("{name} asked to {what}: {error}"));
    }
}

/// Returns what an import reports of a line.
fn ended(summary: &ImportSummary, line: u64) -> Ended {
    let problem = summary.errors.iter().find(|problem| problem.line == line);
    let is_behind_stop = summary.stopped_at_line.is_some_and(|stopped| line >= stopped);
    match problem.map(|problem| problem.kind) {
        Some("outcome_unknown") => Ended::Unknown,
        Some("conflict") => Ended::NotDone(ErrorKind::Conflict),
        Some(_) => Ended::NotDone(ErrorKind::Unavailable),
        None if is_behind_stop || summary.success_count == 0 => Ended::NotDone(ErrorKind::Unavailable),
        None => Ended::Done,
    }
}

fn creating(value: &str) -> Effect {
    Effect::Write { from: From::Absent, to: Some(value.to_owned()) }
}

fn token(answer: &Result<SavedObject>) -> Result<Option<VersionToken>> {
    answer.as_ref().map(|object| Some(object.version)).map_err(Clone::clone)
}

fn owner(attributes: &Attributes) -> String {
    attributes["owner"].as_str().unwrap_or_default().to_owned()
}

fn object(value: serde_json::Value) -> Attributes {
    serde_json::from_value(value).expect("an object")
}
