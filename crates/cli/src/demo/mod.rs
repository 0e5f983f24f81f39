//! The command `demo`: the main job from start to end, explained to a person. It runs on a real server, or in memory on
//! a machine that cannot start one.

mod place;
mod seeds;
mod story;
mod tour;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::connection::Connection;
use crate::exit::Exit;
use crate::output::Output;
use crate::{progress, report};
use saved_objects::cluster::Cluster;
use saved_objects::encryption::{EncryptionService, KeyRing};
use saved_objects::environment::Environment;
use saved_objects::internals::Engine;
use saved_objects::layout::Prefix;
use saved_objects::migrate::{Migrator, Outcome, Report};
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::{Error, ErrorKind, Result, SavedObjects, Start, tokens};
use saved_objects_devserver as devserver;

use place::{Place, Server};
use story::Story;
use tour::{Step, Tour};

/// The prefix of all indices that the demo writes.
const PREFIX: &str = "saved-objects-demo";
/// The group of the token types.
const GROUP: &str = "connectors";

/// Run the main job from start to end on a real Elasticsearch, or in memory if this machine cannot start one
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Fail if this machine cannot start a real Elasticsearch
    #[arg(long)]
    real: bool,
    /// Run on the cluster in memory
    #[arg(long, conflicts_with = "real")]
    in_memory: bool,
}

/// The document that `demo --json` prints.
#[derive(Debug, Serialize)]
struct Document {
    /// `elasticsearch` or `memory`.
    cluster: &'static str,
    /// The server; null in memory.
    elasticsearch: Option<Server>,
    seeded: usize,
    plan: Report,
    migration: Report,
    tokens: Steps,
    ok: bool,
}

#[derive(Debug, Serialize)]
struct Steps {
    steps: Vec<Step>,
}

/// The context of the demo.
struct Demo<'a> {
    story: Story,
    output: Output,
    environment: &'a Environment,
    cluster: Arc<dyn Cluster>,
    prefix: Prefix,
    encryption: EncryptionService,
}

/// Runs the demo on the given cluster. If none is given, starts a server for the demo and stops it afterwards, or runs in
/// memory.
pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    if arguments.in_memory && connection.elasticsearch_url.is_some() {
        output.failure(&Error::invalid(
            "`--in-memory` runs on no server, and a URL of one is given",
            "leave out --in-memory, or --elasticsearch-url and the variable SAVED_OBJECTS_ELASTICSEARCH_URL",
        ));
        return Ok(Exit::Usage);
    }
    let story = Story::new(output);
    story.title("saved-objects: typed, versioned, encrypted objects in Elasticsearch");
    story.chapter("The cluster");
    let say = |line: &str| output.indented().say(line);
    let place = Place::find(arguments, connection, output, devserver::Output::new(&say)).await?;
    let played = async {
        let cluster = place.cluster(environment)?;
        let server = place.server(cluster.as_ref()).await?;
        let prefix = PREFIX.parse()?;
        let encryption = EncryptionService::new(Some(KeyRing::demo()?), environment.clone());
        let demo = Demo { story, output, environment, cluster, prefix, encryption };
        demo.play(place.kind(), server).await
    };
    let document = played.await;
    let left = place.leave(output).await;
    let document = document?;
    left?;
    output.document(&document)?;
    Ok(if document.ok { Exit::Done } else { Exit::Failed })
}

impl Demo<'_> {
    async fn play(&self, cluster: &'static str, server: Option<Server>) -> Result<Document> {
        let in_memory = || "the cluster in memory, not a real Elasticsearch".to_owned();
        let ran_on = server.as_ref().map_or_else(in_memory, Server::to_string);
        self.story.line(&ran_on);
        let current = tokens::types()?;
        let is_migrated = |definition: &&TypeDefinition| seeds::TYPES.contains(&definition.name());
        let version_1: Vec<TypeDefinition> =
            current.iter().filter(is_migrated).filter_map(|definition| definition.as_of(1)).collect();

        self.story.chapter("Objects of model version 1");
        self.empty().await?;
        let began = self.now();
        let seeded = self.seed(version_1).await?;
        let seeding = self.now().saturating_sub(began);
        self.story.line(format!("{seeded} tokens written, each secret encrypted with AES-SIV for its place"));

        self.story.chapter("The plan");
        let migrator = self.migrator(tokens::types()?)?;
        let planning = migrator.describe();
        let plan = progress::watch(self.output, self.environment.clock(), migrator.progress(), planning).await;
        report::describe(&plan, self.output.indented());

        self.story.chapter("The migration to model version 2");
        let migration =
            progress::watch(self.output, self.environment.clock(), migrator.progress(), migrator.migrate()).await;
        report::describe(&migration, self.output.indented());
        if let Some(error) = &migration.error {
            return Err(error.into());
        }
        let again = migrator.migrate().await;
        self.story.line(format!("a second start: {} requests, nothing written", again.requests));

        self.story.chapter("The token clients");
        let store = self.store(current).await?;
        let tour = Tour::take(&self.story, &store, self.environment, self.cluster.as_ref()).await?;

        self.story.chapter("What an administrator sees");
        self.story.line("the same token as it is stored: names and times in the clear, every secret an envelope");
        self.story.json(&tour.stored);

        self.story.chapter("In short");
        self.story.table(&[
            ("ran on", ran_on),
            ("objects written at version 1", format!("{seeded} in {}", seconds(seeding))),
            ("migrated to version 2", migrated(&migration)),
            ("started again", format!("nothing to do, in {} ms with {} requests", again.elapsed_ms, again.requests)),
            ("token steps", format!("{} of {} as expected", tour.good(), tour.steps.len())),
            ("a token read", format!("{:.2} ms (median of {}, decryption included)", tour.read_ms, tour::READS)),
        ]);
        let ok = tour.good() == tour.steps.len()
            && migration.outcome == Outcome::Migrated
            && again.outcome == Outcome::NothingToDo;
        let steps = Steps { steps: tour.steps };
        Ok(Document { cluster, elasticsearch: server, seeded, plan, migration, tokens: steps, ok })
    }

    /// Deletes what an earlier demo left: the index behind the demo's alias, and the index without an alias that an
    /// interrupted demo left.
    async fn empty(&self) -> Result<()> {
        let names = self.prefix.group(GROUP);
        for index in self.cluster.indices(&[names.alias(), &names.index(1)]).await?.keys() {
            self.cluster.delete_index(index).await?;
        }
        Ok(())
    }

    /// Writes ten thousand tokens of each type, as software that knows only `version_1` would have.
    async fn seed(&self, version_1: Vec<TypeDefinition>) -> Result<usize> {
        let created = self.migrator(version_1.clone())?.migrate().await;
        if let Some(error) = &created.error {
            return Err(error.into());
        }
        seeds::write(self.cluster.as_ref(), &self.encryption, self.environment, &self.prefix, version_1).await
    }

    fn migrator(&self, types: Vec<TypeDefinition>) -> Result<Migrator> {
        let registry = Arc::new(Registry::builder().with(types).build()?);
        let (cluster, prefix, encryption) = (self.cluster.clone(), self.prefix.clone(), self.encryption.clone());
        Ok(SavedObjects::over(Engine::new(cluster, registry, prefix, encryption, self.environment.clone())).migrator())
    }

    async fn store(&self, types: Vec<TypeDefinition>) -> Result<SavedObjects> {
        SavedObjects::builder(Registry::builder().with(types).build()?)
            .cluster(self.cluster.clone())
            .prefix(self.prefix.clone())
            .key_ring(KeyRing::demo()?)
            .environment(self.environment.clone())
            .start(Start::Migrate)
            .await
    }

    fn now(&self) -> Duration {
        self.environment.clock().monotonic()
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn migrated(migration: &Report) -> String {
    let documents: u64 = migration.indices.iter().map(|index| index.documents.written).sum();
    let rate: u64 = migration.indices.iter().map(|index| index.docs_per_s).sum();
    format!("{documents} in {:.1} s ({rate} a second)", migration.elapsed_ms as f64 / 1000.0)
}

/// Returns the error for an object that the demo wrote and that is missing: another process works under its prefix.
fn vanished(what: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("{what} is not there, though the demo wrote it"))
        .with_hint("run one demo at a time")
}
