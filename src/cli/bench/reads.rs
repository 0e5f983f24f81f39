//! Finding a page of objects and getting one by id, beside the bare requests over the same connection.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::result::BenchResult;
use super::rounds::{Rounds, Run, Side, Stopwatch};
use super::token;
use crate::cli::connection::Connection;
use crate::cli::output::Output;
use crate::cli::seed::Seeder;
use crate::cluster::{Cluster, Hit, Query, Search, SearchIn};
use crate::encryption::{EncryptionService, KeyRing, SecretString};
use crate::environment::Environment;
use crate::layout::{IndexNames, Prefix};
use crate::migrate::Migrator;
use crate::registry::{Registry, TypeDefinition};
use crate::repository::{Find, ObjectKey, Repository};
use crate::{Error, ErrorKind, Result};

const PREFIX: &str = "saved-objects-bench";
/// Objects in the index.
const OBJECTS: usize = 10_000;
const KEY_BYTES: usize = 48;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// Pages of a thousand objects.
    Find,
    /// Single objects by id.
    Get,
}

impl Read {
    fn measure(self) -> &'static str {
        match self {
            Self::Find => "find",
            Self::Get => "get",
        }
    }

    /// Requests in one run.
    fn requests(self) -> usize {
        match self {
            Self::Find => 40,
            Self::Get => 2_000,
        }
    }
}

const PER_PAGE: u32 = 1_000;

struct Bench<'a> {
    environment: &'a Environment,
    cluster: Arc<dyn Cluster>,
    repository: Repository,
    names: IndexNames,
    ids: Vec<String>,
}

pub(super) async fn run(
    read: Read,
    runs: usize,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<BenchResult> {
    let bench = Bench::prepare(connection, environment).await?;
    let (measure, documents) = (read.measure().to_owned(), read.requests());
    let rounds = Rounds { measure, unit: "requests/s", runs, documents, output };
    let measured = rounds.measure(async |side| bench.run(read, side).await).await;
    bench.empty().await?;
    measured
}

impl<'a> Bench<'a> {
    /// An index full of objects.
    async fn prepare(connection: &Connection, environment: &'a Environment) -> Result<Self> {
        let prefix: Prefix = PREFIX.parse()?;
        let names = prefix.group(token::GROUP);
        let cluster = connection.cluster(environment)?;
        let mut key = [0; KEY_BYTES];
        environment.rng().fill(&mut key)?;
        let ring = KeyRing::new(SecretString::from(STANDARD.encode(key)), Vec::new())?;
        let encryption = EncryptionService::new(Some(ring), environment.clone());
        let missing = || Error::new(ErrorKind::Internal, "the measured type has no version 1");
        let definition: TypeDefinition = token::definition(false, false)?.as_of(1).ok_or_else(missing)?;
        let registry = Arc::new(Registry::builder().with([definition.clone()]).build()?);
        let repository =
            Repository::new(cluster.clone(), registry.clone(), prefix.clone(), encryption.clone(), environment.clone());
        let mut bench = Self { environment, cluster, repository, names, ids: Vec::new() };
        bench.empty().await?;
        let migrator = Migrator::new(bench.cluster.clone(), registry, prefix, encryption.clone(), environment.clone());
        migrator.migrate().await.error.as_ref().map_or(Ok(()), |error| Err(Error::from(error)))?;
        let seeder = Seeder {
            cluster: bench.cluster.as_ref(),
            encryption: &encryption,
            environment,
            definition: &Arc::new(definition),
            names: &bench.names,
        };
        seeder.write(OBJECTS, token::seed).await?;
        bench.cluster.refresh(bench.names.alias()).await?;
        bench.ids = bench.raw_page().await?.into_iter().map(|hit| hit.id).collect();
        Ok(bench)
    }

    async fn empty(&self) -> Result<()> {
        // Also what says that the key of an earlier run is in use.
        let control: Prefix = PREFIX.parse()?;
        let control = control.control();
        for index in self.cluster.indices(&[self.names.alias(), &self.names.index(1), control.alias()]).await?.keys() {
            self.cluster.delete_index(index).await?;
        }
        Ok(())
    }

    async fn run(&self, read: Read, side: Side) -> Result<Run> {
        let is_ours = side == Side::Ours;
        let stopwatch = Stopwatch::start(self.environment);
        for request in 0..read.requests() {
            let found = match (read, is_ours) {
                (Read::Find, true) => {
                    let found = self.repository.find(&[token::TYPE], Find::new().per_page(PER_PAGE)).await?;
                    found.objects.len()
                }
                (Read::Find, false) => self.raw_page().await?.len(),
                (Read::Get, _) => self.get(request, is_ours).await?,
            };
            let expected = if read == Read::Find { PER_PAGE as usize } else { 1 };
            if found != expected {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("{found} objects were found instead of {expected}"),
                )
                .with_cure("run one benchmark at a time"));
            }
        }
        Ok(stopwatch.stop(read.requests()))
    }

    async fn get(&self, request: usize, is_ours: bool) -> Result<usize> {
        let Some(raw_id) = self.ids.get(request % self.ids.len().max(1)) else { return Ok(0) };
        let found = if is_ours {
            let id = raw_id.split_once(':').map_or("", |(_, id)| id);
            self.repository.get_opt(&ObjectKey::new(token::TYPE, id)).await?.is_some()
        } else {
            self.cluster.get(self.names.alias(), raw_id).await?.is_some()
        };
        Ok(usize::from(found))
    }

    /// The same search as the repository's, its hits unread.
    async fn raw_page(&self) -> Result<Vec<Hit>> {
        let within = SearchIn::Index(self.names.alias().to_owned());
        let query = Query::And(vec![Query::equals("type", token::TYPE)]);
        let search = Search { size: PER_PAGE, count_total: true, ..Search::new(within, query) };
        Ok(self.cluster.search(&search).await?.hits)
    }
}
