//! Measures a migration against a raw loop.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use clap::ValueEnum;
use serde::Serialize;

use super::place::{Place, succeeded};
use super::raw::{self, RawCopy, RawLoop};
use super::result::BenchResult;
use super::rounds::{Rounds, Run, Side, Stopwatch};
use super::token;
use crate::connection::Connection;
use crate::output::Output;
use crate::seed::Seeder;
use saved_objects::cluster::Query;
use saved_objects::environment::Environment;
use saved_objects::layout::IndexNames;
use saved_objects::migrate::Migrator;
use saved_objects::model::VirtualVersion;
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::{Error, ErrorKind, Result};

const GENERATION: u32 = 1;

/// Measure a migration of documents of about 1 KB or more to the next model version, against the same requests without
/// a transform
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The number of documents
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) docs: u32,
    /// The size of each document in bytes, if more than 1 KB; the relevant result is then the memory used
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100_000_000))]
    pub(super) document_bytes: u32,
    /// The way of the migration
    #[arg(long, value_enum, default_value_t = Way::InPlace)]
    pub(super) way: Way,
    /// Let the new version bind one more attribute, so that both secrets of every document are encrypted again
    #[arg(long)]
    pub(super) encrypted: bool,
    /// Start this many nodes at once, and compare them with a single node instead of the raw loop
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(super) nodes: u32,
}

/// The ways of a migration that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// Rewrite documents in their index
    InPlace,
    /// Copy documents into a new index, which is cloned and swapped in
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

/// The context of a benchmark of migrations.
pub(super) struct Bench<'a> {
    pub(super) place: Place<'a>,
    pub(super) names: IndexNames,
    way: Way,
    documents: usize,
    document_bytes: usize,
    nodes: u32,
    /// The type with both model versions.
    pub(super) definition: TypeDefinition,
    /// The number of requests of the engine's last run.
    requests: Cell<u64>,
}

pub(super) async fn run(
    arguments: &Arguments,
    runs: usize,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<BenchResult> {
    let bench = Bench::new(arguments, Place::empty(connection, environment).await?)?;
    let mut suffix = if arguments.encrypted { "_encrypted" } else { "" }.to_owned();
    if arguments.document_bytes > 0 {
        suffix += "_large";
    }
    if arguments.nodes > 1 {
        suffix += &format!("_{}_nodes", arguments.nodes);
    }
    let measure = format!("{}{suffix}", arguments.way.measure());
    let rounds = Rounds { measure, unit: "documents/s", runs, documents: bench.documents, output };
    let measured = rounds.measure(async |side| bench.run(side).await).await;
    let emptied = bench.place.delete_all().await;
    let result = measured?;
    emptied?;
    let requests = BTreeMap::from([("migration", bench.requests.get() as f64)]);
    Ok(BenchResult { requests: Some(requests), ..result })
}

impl<'a> Bench<'a> {
    pub(super) fn new(arguments: &Arguments, place: Place<'a>) -> Result<Self> {
        Ok(Self {
            names: place.prefix.group(token::GROUP),
            place,
            way: arguments.way,
            documents: usize::try_from(arguments.docs).unwrap_or(usize::MAX),
            document_bytes: usize::try_from(arguments.document_bytes).unwrap_or(usize::MAX),
            nodes: arguments.nodes,
            definition: token::definition(arguments.encrypted, arguments.way == Way::Copy)?,
            requests: Cell::default(),
        })
    }

    /// Creates a new index with all documents at version 1. The control index stays, as it does on a platform.
    pub(super) async fn restore(&self) -> Result<()> {
        self.place.delete(&format!("{}-*", self.names.alias())).await?;
        let first = self.definition.as_of(1).ok_or_else(|| Error::new(ErrorKind::Internal, "there is no version 1"))?;
        succeeded(&self.place.store(first.clone())?.migrator().migrate().await)?;
        let seeder = Seeder {
            cluster: self.place.cluster.as_ref(),
            encryption: &self.place.encryption,
            environment: self.place.environment,
            definition: &Arc::new(first),
            names: &self.names,
        };
        let bytes = self.document_bytes;
        let seed = move |number: usize, environment: &Environment| token::large_seed(number, bytes, environment);
        seeder.write((self.documents, bytes), seed).await?;
        self.place.cluster.refresh(&self.names.index(GENERATION)).await?;
        Ok(())
    }

    /// Makes one run, on documents that are written for it.
    async fn run(&self, side: Side) -> Result<Run> {
        self.restore().await?;
        let stopwatch = Stopwatch::start(self.place.environment);
        let written = match side {
            Side::Ours => self.ours(self.nodes).await?,
            Side::Raw if self.nodes > 1 => self.ours(1).await?,
            Side::Raw => self.raw().await?,
        };
        let run = stopwatch.stop(written);
        if written != self.documents {
            let reason = format!("{written} of {} documents were written ({side:?})", self.documents);
            return Err(Error::new(ErrorKind::Conflict, reason).with_hint("run one benchmark at a time"));
        }
        Ok(run)
    }

    /// Migrates on `nodes` nodes at once and returns how many documents they wrote. The elapsed time is that of the
    /// slowest node. If two nodes write the same document, the sum exceeds the number of documents.
    async fn ours(&self, nodes: u32) -> Result<usize> {
        let requests_before = self.place.cluster.requests().total();
        let migrators = (0..nodes)
            .map(|_| Ok(self.place.store(self.definition.clone())?.migrator()))
            .collect::<Result<Vec<_>>>()?;
        let reports = futures::future::join_all(migrators.iter().map(Migrator::migrate)).await;
        reports.iter().try_for_each(succeeded)?;
        self.requests.set(self.place.cluster.requests().total() - requests_before);
        let indices = reports.iter().flat_map(|report| &report.indices);
        let written: u64 = indices.map(|index| index.documents.written).sum();
        Ok(usize::try_from(written).unwrap_or(usize::MAX))
    }

    async fn raw(&self) -> Result<usize> {
        let registry = Registry::builder().with([self.definition.clone()]).build()?;
        let digest = "0123456789abcdef";
        let latest = VirtualVersion::of(self.definition.latest().number).to_string();
        let raw = RawLoop {
            cluster: self.place.cluster.as_ref(),
            alias: self.names.alias(),
            index: &self.names.index(GENERATION),
            write_alias: &self.names.write_alias(GENERATION),
            query: Query::Not(Box::new(Query::equals("typeMigrationVersion", latest))),
            mapping: &registry.index_mapping(token::GROUP),
            page_size: raw::page_size(self.document_bytes),
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
}
