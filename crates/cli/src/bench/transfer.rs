//! Measures exporting objects with their secrets and importing them again, against a loop that copies bare documents
//! into a file and back. The digest after the import must equal the digest before the export.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncSeekExt, AsyncWriteExt, BufReader, BufWriter};

use super::result::BenchResult;
use super::rounds::{Rounds, Run, Side, Stopwatch};
use super::token;
use crate::connection::Connection;
use crate::output::Output;
use crate::seed::Seeder;
use saved_objects::cluster::{BulkAction, BulkOperation, BulkRequest, Cluster, Query, Refresh, Search, SearchIn};
use saved_objects::encryption::{EncryptionService, KeyRing, SecretString};
use saved_objects::environment::Environment;
use saved_objects::internals::Engine;
use saved_objects::layout::{IndexNames, Prefix};
use saved_objects::registry::Registry;
use saved_objects::repository::{Export, Find, Import, SecretForm};
use saved_objects::{Error, ErrorKind, Result, SavedObjects};

const PREFIX: &str = "saved-objects-bench";
const KEY_BYTES: usize = 48;
const PAGE: u32 = 1_000;
/// The number of documents in one write of the raw loop, as in an import.
const BATCH: usize = 500;
const KEEP_ALIVE: Duration = Duration::from_secs(300);

/// Measure exporting and importing objects of 1 KB with two secrets, against copying bare documents; the digests before
/// and after must be equal
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The number of objects
    #[arg(long, default_value_t = 100_000)]
    docs: usize,
}

struct Bench<'a> {
    environment: &'a Environment,
    cluster: Arc<dyn Cluster>,
    registry: Arc<Registry>,
    prefix: Prefix,
    encryption: EncryptionService,
    store: SavedObjects,
    names: IndexNames,
}

pub(super) async fn run(
    arguments: &Arguments,
    runs: usize,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<BenchResult> {
    let (bench, documents) = (Bench::new(connection, environment)?, arguments.docs);
    bench.make_empty().await?;
    bench.seed(documents).await?;
    let before = bench.digest().await?;
    let rounds = Rounds { measure: "transfer".to_owned(), unit: "documents/s", runs, documents, output };
    let result = rounds
        .measure(async |side| {
            let run = bench.run(documents, side).await?;
            if side == Side::Ours && bench.digest().await? != before {
                return Err(Error::new(ErrorKind::Internal, "what was imported is not what was exported")
                    .with_hint("report this; the objects are still under the prefix saved-objects-bench"));
            }
            Ok(run)
        })
        .await?;
    bench.delete_index().await?;
    Ok(result)
}

impl<'a> Bench<'a> {
    fn new(connection: &Connection, environment: &'a Environment) -> Result<Self> {
        let prefix: Prefix = PREFIX.parse()?;
        let names = prefix.group(token::GROUP);
        let cluster = connection.cluster(environment)?;
        let mut key = [0; KEY_BYTES];
        environment.rng().fill(&mut key)?;
        let ring = KeyRing::new(SecretString::from(STANDARD.encode(key)), Vec::new())?;
        let encryption = EncryptionService::new(Some(ring), environment.clone());
        let missing = || Error::new(ErrorKind::Internal, "the measured type has no version 1");
        let definition = token::definition(false, false)?.as_of(1).ok_or_else(missing)?;
        let registry = Arc::new(Registry::builder().with([definition]).build()?);
        let engine =
            Engine::new(cluster.clone(), registry.clone(), prefix.clone(), encryption.clone(), environment.clone());
        let store = SavedObjects::over(engine);
        Ok(Self { environment, cluster, registry, prefix, encryption, store, names })
    }

    async fn delete_index(&self) -> Result<()> {
        // The control index also records that the key of an earlier run is in use.
        let control = self.prefix.group("control");
        for index in self.cluster.indices(&[self.names.alias(), &self.names.index(1), control.alias()]).await?.keys() {
            self.cluster.delete_index(index).await?;
        }
        Ok(())
    }

    /// Replaces the index with an empty one.
    async fn make_empty(&self) -> Result<()> {
        self.delete_index().await?;
        self.store.migrator().migrate().await.error.as_ref().map_or(Ok(()), |error| Err(Error::from(error)))
    }

    async fn seed(&self, documents: usize) -> Result<()> {
        let definition =
            self.registry.get(token::TYPE).ok_or_else(|| Error::new(ErrorKind::Internal, "no measured type"))?;
        let seeder = Seeder {
            cluster: self.cluster.as_ref(),
            encryption: &self.encryption,
            environment: self.environment,
            definition,
            names: &self.names,
        };
        seeder.write((documents, 0), token::seed).await?;
        Ok(self.cluster.refresh(self.names.alias()).await?)
    }

    /// Returns a digest of the stored objects; fails if a secret cannot be decrypted.
    async fn digest(&self) -> Result<String> {
        self.cluster.refresh(self.names.alias()).await?;
        let report = self.store.verifier()?.verify().await?;
        if !report.ok {
            return Err(Error::new(ErrorKind::Corrupt, "not every object and secret is readable")
                .with_hint("report this; the objects are still under the prefix saved-objects-bench"));
        }
        let types = report.indices.iter().flat_map(|index| &index.types);
        Ok(types.map(|it| format!("{} {} {:?};", it.type_name, it.documents, it.digest)).collect())
    }

    /// Exports all objects into a file, and imports them into an empty index.
    async fn run(&self, documents: usize, side: Side) -> Result<Run> {
        let file = tempfile::tempfile().map_err(no_file)?;
        let mut file = tokio::fs::File::from_std(file);
        // Makes the writes of the previous run visible, whichever side made them.
        self.cluster.refresh(self.names.alias()).await?;
        let stopwatch = Stopwatch::start(self.environment);
        let exported = match side {
            Side::Ours => {
                let export = Export::found([token::TYPE], Find::new()).secrets(SecretForm::Encrypted);
                self.store.repository().export(export, &mut file).await?.exported_count
            }
            Side::Raw => self.raw_export(&mut file).await?,
        };
        let out = stopwatch.stop(documents);
        self.make_empty().await?;
        file.rewind().await.map_err(no_file)?;
        let stopwatch = Stopwatch::go_on(self.environment);
        let imported = match side {
            Side::Ours => self.store.repository().import(Import::new(), &mut file).await?.success_count,
            Side::Raw => self.raw_import(&mut file).await?,
        };
        for (what, count) in [("exported", exported), ("imported", imported)] {
            if count != documents as u64 {
                return Err(Error::new(ErrorKind::Internal, format!("{count} of {documents} objects were {what}"))
                    .with_hint("run one benchmark at a time; if none else ran, report this"));
            }
        }
        Ok(out.and_then(stopwatch.stop(documents)))
    }

    async fn raw_export(&self, file: &mut tokio::fs::File) -> Result<u64> {
        let mut writer = BufWriter::new(file);
        let mut point_in_time = self.cluster.open_point_in_time(self.names.alias(), KEEP_ALIVE).await?;
        let (mut after, mut count) = (None, 0);
        loop {
            let within = SearchIn::PointInTime(point_in_time.clone());
            let search = Search { size: PAGE, after, ..Search::new(within, Query::Everything) };
            let page = self.cluster.search(&search).await?;
            point_in_time = page.point_in_time.unwrap_or(point_in_time);
            for hit in &page.hits {
                for part in [hit.id.as_bytes(), b" ", hit.source.get().as_bytes(), b"\n"] {
                    writer.write_all(part).await.map_err(no_file)?;
                }
                count += 1;
            }
            after = page.last_sort;
            if page.hits.len() < PAGE as usize {
                break;
            }
        }
        self.cluster.close_point_in_time(&point_in_time).await?;
        writer.flush().await.map_err(no_file)?;
        Ok(count)
    }

    async fn raw_import(&self, file: &mut tokio::fs::File) -> Result<u64> {
        let mut lines = BufReader::new(file).lines();
        let (mut operations, mut count) = (Vec::new(), 0);
        let alias = self.names.write_alias(1);
        loop {
            let line = lines.next_line().await.map_err(no_file)?;
            let is_end = line.is_none();
            if let Some((id, source)) = line.as_deref().and_then(|line| line.split_once(' ')) {
                let action = BulkAction::Create { source: Bytes::copy_from_slice(source.as_bytes()) };
                operations.push(BulkOperation { id: id.to_owned(), action });
            }
            if operations.len() == BATCH || (is_end && !operations.is_empty()) {
                let request = BulkRequest { alias: &alias, operations: &operations, refresh: Refresh::Later };
                count += self.cluster.bulk(&request).await?.iter().filter(|outcome| outcome.is_ok()).count() as u64;
                operations.clear();
            }
            if is_end {
                return Ok(count);
            }
        }
    }
}

fn no_file(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the file in between cannot be used: {error}"))
        .with_hint("look at the folder for temporary files and how full its disk is")
        .with_source(error)
}
