//! One world: a cluster, nodes of several releases, users, an operator and an adversary, from one seed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use saved_objects::cluster::elastic::HttpRequest;
use saved_objects::cluster::{
    BulkAction, BulkOperation, BulkRequest, Cluster, CreateIndex, Gone, InMemory, IndexPurpose, Refresh,
};
use saved_objects::layout::Prefix;
use saved_objects::{SavedObjects, Start};
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::executor::{Simulator, WORLD, lock};
use crate::history::History;
use crate::journal::{About, Broken, Coverage, Journal};
use crate::network::Network;
use crate::node::{Life, live};
use crate::profile::Profile;
use crate::refreshes::Provider;
use crate::surroundings::environment;
use crate::types::GROUPS;
use crate::witness::{Witness, indices};
use crate::{aftermath, model, operator, users};

/// The id of the document that cannot be converted from any version.
pub(crate) const BAD: &str = "vault:bad";

/// What everything in a world shares.
pub(crate) struct World {
    seed: u64,
    pub(crate) simulator: Simulator,
    pub(crate) memory: InMemory,
    pub(crate) network: Arc<Network>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) history: History,
    pub(crate) prefix: Prefix,
    pub(crate) profile: Profile,
    /// The number of lives so far.
    pub(crate) lives: Mutex<u32>,
    /// The nodes that have started.
    pub(crate) stores: Mutex<Vec<(Arc<Life>, SavedObjects)>>,
    /// Whether nodes encrypt with the second key.
    pub(crate) is_key_new: Mutex<bool>,
    /// The provider of a connector's tokens.
    pub(crate) provider: Provider,
    /// Whether there was a document that cannot be converted.
    pub(crate) has_bad_document: AtomicBool,
    /// Whether the operator deleted the document that cannot be converted.
    pub(crate) is_bad_deleted: AtomicBool,
    /// When its time is over, and the quiet time begins.
    ends: Mutex<Duration>,
}

/// The result of a world.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) broken: Vec<Broken>,
    pub(crate) coverage: Coverage,
    pub(crate) trace_hash: u64,
    pub(crate) story: String,
}

/// Runs a world to its end. With `told` it keeps a story: all of it with `whole`, otherwise the relevant part.
pub(crate) fn run(profile: &str, seed: u64, told: bool, whole: bool) -> Ended {
    let dice = Dice::new(seed);
    let profile = Profile::new(profile, &dice);
    let simulator = Simulator::new(fork(seed, 1));
    let journal = Arc::new(Journal::new(simulator.clone(), told));
    let memory = InMemory::new(environment(&simulator, WORLD, fork(seed, 2), true));
    let prefix: Prefix = "sim".parse().expect("a prefix");
    let witness = Witness::new(&prefix);
    let network =
        Network::new(simulator.clone(), memory.clone(), journal.clone(), witness, profile.content_limit, fork(seed, 3));
    let world = Arc::new(World {
        seed,
        simulator: simulator.clone(),
        memory,
        network: Arc::new(network),
        journal: journal.clone(),
        history: History::new(simulator.clone()),
        prefix,
        profile,
        lives: Mutex::new(0),
        stores: Mutex::default(),
        is_key_new: Mutex::new(false),
        provider: Provider::default(),
        has_bad_document: AtomicBool::new(false),
        is_bad_deleted: AtomicBool::new(false),
        ends: Mutex::new(Duration::MAX),
    });
    if let Err(stuck) = simulator.run(script(world.clone())) {
        journal.broken("a world comes to its end", "", stuck);
    }
    for (key, object) in world.history.objects() {
        model::check(&key, &object, &journal, &world.network.witness);
    }
    let story = if told { format!("{:#?}\n{}", world.profile, journal.story(whole)) } else { String::new() };
    Ended { broken: journal.all_broken(), coverage: journal.coverage(), trace_hash: simulator.trace_hash(), story }
}

impl World {
    /// Returns randomness for one purpose.
    pub(crate) fn fork(&self, purpose: u64) -> Dice {
        fork(self.seed, 100 + purpose)
    }

    /// Forgets what is known of a group's objects, and takes what is stored now as the given state.
    pub(crate) fn take_as_given(&self, group: &str) {
        let (alias, type_name) = (self.prefix.group(group), group_type(group));
        self.network.witness.is_given(type_name, self.simulator.now());
        self.history.forget(type_name, |key| {
            let found = self.memory.get(alias.alias(), key).now_or_never()?.ok()??;
            let source: Value = serde_json::from_str(found.source.get()).ok()?;
            let value = ["owner", "count"].iter().find_map(|field| source[type_name].get(field))?;
            Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
        });
    }

    /// Stores a vault past the library that cannot be converted from any version.
    async fn put_bad_document(&self) {
        let source = json!({"type": "vault", "typeMigrationVersion": "10.1.0", "vault": {"title": 7}});
        let action = BulkAction::Create { source: source.to_string().into() };
        self.write_past(action).await;
        self.has_bad_document.store(true, Ordering::Relaxed);
        self.journal.act("a bad document", || format!("there is a document that cannot be converted: {BAD}"));
    }

    /// Returns the documents of an index, as they are stored.
    pub(crate) fn documents(&self, index: &str) -> Vec<(String, Value)> {
        let body = json!({"size": 10_000, "query": {"match_all": {}}}).to_string();
        let request = HttpRequest {
            method: "POST",
            path: format!("{index}/_search"),
            query: Vec::new(),
            content_type: "application/json",
            body: Some(body.into()),
            timeout: Duration::MAX,
        };
        let answer: Value = serde_json::from_slice(&self.memory.answer(&request).body).expect("JSON");
        let hits = answer["hits"]["hits"].as_array().cloned().unwrap_or_default();
        hits.iter().map(|hit| (hit["_id"].as_str().unwrap_or_default().to_owned(), hit["_source"].clone())).collect()
    }

    /// Deletes the vault that cannot be converted, where it is current.
    pub(crate) async fn delete_bad_document(&self) {
        let alias = self.prefix.group("vaults");
        if let Ok(Some(found)) = self.memory.get(alias.alias(), BAD).await {
            self.write_past(BulkAction::Delete { read: found.sequence, gone: Gone::Done }).await;
            self.is_bad_deleted.store(true, Ordering::Relaxed);
            self.journal.act("a bad document is deleted", || format!("the operator deletes {BAD}"));
        }
    }

    /// Writes the bad document past the library.
    async fn write_past(&self, action: BulkAction) {
        let names = self.prefix.group("vaults");
        let Some((index, state)) = operator::current(self, &names) else { return };
        if state.write_blocked {
            // A copy that died blocks it; the next start heals that first.
            return self.journal.tell(|| (About::Act, format!("{index} takes no writes")));
        }
        let alias = names.write_alias(names.generation(&index).expect("a generation"));
        let operations = [BulkOperation { id: BAD.to_owned(), action }];
        let request = BulkRequest { alias: &alias, operations: &operations, refresh: Refresh::WaitFor };
        let done = self.memory.bulk(&request).await.expect("answered");
        assert!(done.iter().all(Result::is_ok), "{done:?}");
    }

    /// Returns whether its time is over.
    pub(crate) fn is_over(&self) -> bool {
        self.simulator.now() >= *lock(&self.ends)
    }
}

fn group_type(group: &str) -> &'static str {
    if group == "vaults" { "vault" } else { "tally" }
}

fn fork(seed: u64, purpose: u64) -> Dice {
    Dice::new(seed.rotate_left(32) ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

async fn script(world: Arc<World>) {
    neighbours(&world).await;
    if !world.profile.begins_empty {
        begin(&world).await;
    }
    let releases = world.profile.releases.clone();
    world.network.set_weather(world.profile.weather.clone());
    world.network.set_ambush(&world.profile);
    *lock(&world.ends) = world.simulator.now() + world.profile.lasts;
    let lives = (1..).zip(releases).map(|(number, release)| {
        let living = live(world.clone(), number, release);
        world.simulator.spawn_joined(WORLD, living)
    });
    let mut lives: Vec<_> = lives.collect();
    if world.profile.has_operator {
        lives.push(world.simulator.spawn_joined(WORLD, operator::work(world.clone())));
    }
    futures::future::join_all(lives).await;
    aftermath::check(&world).await;
}

/// Creates indices of other software whose names begin as ours do.
async fn neighbours(world: &World) {
    if !world.profile.has_neighbours {
        return;
    }
    for group in GROUPS {
        let name = format!("{}-fill-report", world.prefix.group(group).alias());
        let mapping = json!({"dynamic": false, "properties": {"text": {"type": "keyword"}}});
        let create = CreateIndex {
            name: name.clone(),
            mapping,
            aliases: Vec::new(),
            purpose: IndexPurpose::Serving,
            settings: Default::default(),
        };
        world.memory.create_index(&create).await.expect("created");
        world.network.witness.is_foreign(&name, &indices(&world.memory)[&name]);
    }
    world.journal.act("foreign indices", || "there are indices of somebody else, with names like ours".to_owned());
}

/// Lets a node of the oldest release create the indices, and users some objects, before any fault.
async fn begin(world: &Arc<World>) {
    let oldest = world.profile.releases.iter().copied().min().unwrap_or(1);
    let life = world.life("n0", oldest);
    let starting = world.clone().start(life.clone(), Start::Migrate);
    let store = world.simulator.spawn_joined(life.id, starting).await.expect("not killed").expect("it starts");
    let filling = users::fill(world.clone(), life.clone(), store);
    world.simulator.spawn_joined(life.id, filling).await;
    if world.profile.has_bad_document {
        world.put_bad_document().await;
    }
    world.simulator.kill(life.id);
}
