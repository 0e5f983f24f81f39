use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;

use super::raw::{RawCopy, RawLoop};
use super::result::BenchResult;
use super::rounds::{Rounds, Run, Side, Stopwatch};
use super::token;
use crate::cli::connection::Connection;
use crate::cli::output::Output;
use crate::cli::seed::Seeder;
use crate::cluster::{Cluster, Query};
use crate::encryption::{EncryptionService, KeyRing, SecretString};
use crate::environment::Environment;
use crate::layout::{IndexNames, Prefix};
use crate::migrate::{Migrator, Report};
use crate::model::VirtualVersion;
use crate::registry::{Registry, TypeDefinition};
use crate::{Error, ErrorKind, Result};

/// All that the benchmark writes is under this prefix.
const PREFIX: &str = "saved-objects-bench";
const GENERATION: u32 = 1;
/// Random bytes of the key.
const KEY_BYTES: usize = 48;

/// A migration of documents of about 1 KB to the next model version, beside the same requests without a transform
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many documents
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    docs: u32,
    /// How the index gets to the new version
    #[arg(long, value_enum, default_value_t = Way::InPlace)]
    way: Way,
    /// Let the new version bind one more attribute, so that both secrets of every document are encrypted again
    #[arg(long)]
    encrypted: bool,
    /// Let so many nodes start at once, and compare with one of them alone instead of with the raw loop
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    nodes: u32,
}

/// The ways of a migration that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Way {
    /// Documents are rewritten where they are
    InPlace,
    /// Documents are copied into a new index, which is cloned and swapped in
    Copy,
}

impl Way {
    fn measure(self) -> &'static str {
        match self {
            Self::InPlace => "migrate_in_place",
            Self::Copy => "migrate_copy",
        }
    }
}

/// What the benchmark works with.
struct Bench<'a> {
    environment: &'a Environment,
    cluster: Arc<dyn Cluster>,
    encryption: EncryptionService,
    prefix: Prefix,
    names: IndexNames,
    way: Way,
    documents: usize,
    nodes: u32,
    /// The type with both versions.
    definition: TypeDefinition,
}

pub(super) async fn run(
    arguments: &Arguments,
    runs: usize,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<BenchResult> {
    let prefix: Prefix = PREFIX.parse()?;
    let mut key = [0; KEY_BYTES];
    environment.rng().fill(&mut key)?;
    let ring = KeyRing::new(SecretString::from(STANDARD.encode(key)), Vec::new())?;
    let bench = Bench {
        environment,
        cluster: connection.cluster(environment)?,
        encryption: EncryptionService::new(Some(ring), environment.clone()),
        names: prefix.group(token::GROUP),
        prefix,
        way: arguments.way,
        documents: usize::try_from(arguments.docs).unwrap_or(usize::MAX),
        nodes: arguments.nodes,
        definition: token::definition(arguments.encrypted, arguments.way == Way::Copy)?,
    };
    let mut suffix = if arguments.encrypted { "_encrypted" } else { "" }.to_owned();
    if arguments.nodes > 1 {
        suffix += &format!("_{}_nodes", arguments.nodes);
    }
    let measure = format!("{}{suffix}", arguments.way.measure());
    let rounds = Rounds { measure, unit: "documents/s", runs, documents: bench.documents, output };
    // What a benchmark left that was stopped: its key is gone, and so nobody could start.
    bench.delete_all(&format!("{PREFIX}-*")).await?;
    let measured = rounds.measure(async |side| bench.run(side).await).await;
    let emptied = bench.delete_all(&format!("{PREFIX}-*")).await;
    let result = measured?;
    emptied?;
    Ok(result)
}

impl Bench<'_> {
    /// Removes what an earlier benchmark or the run before left. The control index stays, as it does on a platform.
    async fn empty(&self) -> Result<()> {
        self.delete_all(&format!("{}-*", self.names.alias())).await
    }

    async fn delete_all(&self, pattern: &str) -> Result<()> {
        for index in self.cluster.indices(&[pattern]).await?.keys() {
            self.cluster.delete_index(index).await?;
        }
        Ok(())
    }

    /// A new index with all documents at version 1.
    async fn restore(&self) -> Result<()> {
        self.empty().await?;
        let first = self.definition.as_of(1).ok_or_else(|| Error::new(ErrorKind::Internal, "there is no version 1"))?;
        succeeded(&self.migrator(first.clone())?.migrate().await)?;
        let seeder = Seeder {
            cluster: self.cluster.as_ref(),
            encryption: &self.encryption,
            environment: self.environment,
            definition: &Arc::new(first),
            names: &self.names,
        };
        seeder.write(self.documents, token::seed).await?;
        self.cluster.refresh(&self.names.index(GENERATION)).await?;
        Ok(())
    }

    /// One run, on documents written anew.
    async fn run(&self, side: Side) -> Result<Run> {
        self.restore().await?;
        let stopwatch = Stopwatch::start(self.environment);
        let written = match side {
            Side::Ours => self.ours(self.nodes).await?,
            Side::Raw if self.nodes > 1 => self.ours(1).await?,
            Side::Raw => self.raw().await?,
        };
        let run = stopwatch.stop(written);
        if written != self.documents {
            let reason = format!("{written} of {} documents were written ({side:?})", self.documents);
            return Err(Error::new(ErrorKind::Conflict, reason).with_cure("run one benchmark at a time"));
        }
        Ok(run)
    }

    /// The time is that of the slowest node. If a document was written by two of them, they are more than there are.
    async fn ours(&self, nodes: u32) -> Result<usize> {
        let migrators = (0..nodes).map(|_| self.migrator(self.definition.clone())).collect::<Result<Vec<_>>>()?;
        let reports = futures::future::join_all(migrators.iter().map(Migrator::migrate)).await;
        reports.iter().try_for_each(succeeded)?;
        let indices = reports.iter().flat_map(|report| &report.indices);
        let written: u64 = indices.map(|index| index.documents.written).sum();
        Ok(usize::try_from(written).unwrap_or(usize::MAX))
    }

    async fn raw(&self) -> Result<usize> {
        let registry = Registry::builder().with([self.definition.clone()]).build()?;
        let digest = "0123456789abcdef";
        let latest = VirtualVersion::of(self.definition.latest().number).to_string();
        let raw = RawLoop {
            cluster: self.cluster.as_ref(),
            alias: self.names.alias(),
            index: &self.names.index(GENERATION),
            write_alias: &self.names.write_alias(GENERATION),
            query: Query::Not(Box::new(Query::equals("typeMigrationVersion", latest))),
            mapping: &registry.index_mapping(token::GROUP),
        };
        let copy = RawCopy {
            fill: &self.names.fill(digest),
            fill_alias: &self.names.fill_alias(digest),
            target: &self.names.index(GENERATION + 1),
            target_alias: &self.names.write_alias(GENERATION + 1),
        };
        match self.way {
            Way::InPlace => raw.in_place().await,
            Way::Copy => raw.copy(&copy).await,
        }
    }

    fn migrator(&self, definition: TypeDefinition) -> Result<Migrator> {
        let registry = Arc::new(Registry::builder().with([definition]).build()?);
        let (cluster, prefix, encryption) = (self.cluster.clone(), self.prefix.clone(), self.encryption.clone());
        Ok(Migrator::new(cluster, registry, prefix, encryption, self.environment.clone()))
    }
}

fn succeeded(report: &Report) -> Result<()> {
    report.error.as_ref().map_or(Ok(()), |error| Err(error.into()))
}
