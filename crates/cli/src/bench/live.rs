//! Measures how long users wait for tokens while a migration in place works on the same index.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use futures::future::{Either, select};
use serde::Serialize;
use tokio::sync::oneshot;

use super::migrate::{self, Bench, Way};
use super::place::{Place, succeeded};
use super::token;
use crate::connection::Connection;
use crate::output::Output;
use saved_objects::cluster::{Query, Search, SearchIn};
use saved_objects::environment::{Environment, Task};
use saved_objects::repository::{ObjectKey, Repository};
use saved_objects::{Error, ErrorKind, Result};

/// The number of tokens that are read, in turn.
const TOKENS_READ: u32 = 1_000;
/// The time between the writing of the documents and a phase, in which the server merges what was written.
const REST: Duration = Duration::from_secs(5);

/// Measure how long reads of tokens take on a live index: without a migration, during one in place, and during one
/// with `--max-rate`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The number of documents
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    docs: u32,
    /// The rate of the limited migration, in documents a second
    #[arg(long, value_name = "N", default_value = "1000")]
    max_rate: NonZeroU32,
    /// The number of reads that are begun in each second, however long the ones before take
    #[arg(long, value_name = "N", default_value = "100")]
    reads_per_second: NonZeroU32,
    /// The length of the phase without a migration, in seconds
    #[arg(long, value_name = "N", default_value_t = 30)]
    seconds: u32,
}

/// The document that `bench live --json` prints.
#[derive(Debug, Serialize)]
pub(super) struct LiveResult {
    measure: &'static str,
    documents: u32,
    reads_per_second: NonZeroU32,
    phases: Vec<Phase>,
}

/// The reads during one phase.
#[derive(Debug, Serialize)]
struct Phase {
    during: &'static str,
    /// The limit of the migration, in documents a second.
    max_rate: Option<NonZeroU32>,
    seconds: f64,
    /// The rate of the migration.
    docs_per_s: Option<f64>,
    reads: usize,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl fmt::Display for LiveResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { documents, reads_per_second, phases, .. } = self;
        write!(f, "reads of tokens, {reads_per_second} a second, in an index of {documents} documents:")?;
        for phase in phases {
            let Phase { during, seconds, docs_per_s, reads, p50_ms, p99_ms, max_ms, .. } = phase;
            write!(f, "\n  {during}: p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, at most {max_ms:.2} ms ")?;
            write!(f, "({reads} reads in {seconds:.1} s")?;
            if let Some(rate) = docs_per_s {
                write!(f, "; {rate:.0} documents/s")?;
            }
            write!(f, ")")?;
        }
        Ok(())
    }
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<LiveResult> {
    let of_migration =
        migrate::Arguments { docs: arguments.docs, document_bytes: 0, way: Way::InPlace, encrypted: false, nodes: 1 };
    let bench = Bench::new(&of_migration, Place::empty(connection, environment).await?)?;
    let measured = phases(arguments, &bench, output).await;
    bench.place.delete_all().await?;
    let Arguments { docs: documents, reads_per_second, .. } = *arguments;
    Ok(LiveResult { measure: "live", documents, reads_per_second, phases: measured? })
}

async fn phases(arguments: &Arguments, bench: &Bench<'_>, output: Output) -> Result<Vec<Phase>> {
    let environment = bench.place.environment;
    let mut phases = Vec::new();
    for (during, max_rate) in
        [("no migration", None), ("a migration", None), ("a limited migration", Some(arguments.max_rate))]
    {
        bench.restore().await?;
        environment.clock().sleep(REST).await;
        let store = bench.place.store(bench.definition.clone())?;
        let migrator = store.migrator();
        let migrator = max_rate.into_iter().fold(migrator, |migrator, max_rate| migrator.max_rate(max_rate));
        let reads = Reads {
            environment: environment.clone(),
            repository: store.repository().clone(),
            keys: keys(bench).await?,
            interval: Duration::from_secs(1) / arguments.reads_per_second.get(),
        };
        let begun = environment.clock().monotonic();
        let (migrated, mut latencies) = if phases.is_empty() {
            let waiting = environment.clock().sleep(Duration::from_secs(arguments.seconds.into()));
            let ((), latencies) = reads.during(waiting).await?;
            (None, latencies)
        } else {
            let (report, latencies) = reads.during(migrator.migrate()).await?;
            succeeded(&report)?;
            (Some(report), latencies)
        };
        let seconds = environment.clock().monotonic().saturating_sub(begun).as_secs_f64();
        latencies.sort_unstable();
        let written = |report: &saved_objects::migrate::Report| {
            report.indices.iter().map(|index| index.documents.written).sum::<u64>() as f64
        };
        let phase = Phase {
            during,
            max_rate,
            seconds,
            docs_per_s: migrated.as_ref().map(|report| written(report) / seconds),
            reads: latencies.len(),
            p50_ms: percentile(&latencies, 50),
            p99_ms: percentile(&latencies, 99),
            max_ms: percentile(&latencies, 100),
        };
        output.say(format!("{during}: {} reads, p99 {:.2} ms", phase.reads, phase.p99_ms));
        phases.push(phase);
    }
    Ok(phases)
}

/// Returns the keys of the tokens that are read.
async fn keys(bench: &Bench<'_>) -> Result<Vec<ObjectKey>> {
    let within = SearchIn::Index(bench.names.alias().to_owned());
    let search = Search { size: TOKENS_READ, ..Search::new(within, Query::Everything) };
    let hits = bench.place.cluster.search(&search).await?.hits;
    let key = |id: &str| ObjectKey::new(token::TYPE, id.split_once(':').map_or("", |(_, id)| id));
    Ok(hits.iter().map(|hit| key(&hit.id)).collect())
}

/// Reads of tokens with their secrets, which begin at a fixed rate: a slow answer does not delay the next read.
#[derive(Clone)]
struct Reads {
    environment: Environment,
    repository: Repository,
    keys: Vec<ObjectKey>,
    interval: Duration,
}

impl Reads {
    /// Reads until `work` ends. Returns how long each read took.
    async fn during<T>(&self, work: impl Future<Output = T>) -> Result<(T, Vec<Duration>)> {
        let (sender, is_done) = oneshot::channel::<()>();
        // A task of its own, so that the work does not delay the beginning of a read.
        let reading = self.environment.spawn(self.clone().begin_until(is_done)).ending_with_owner();
        let result = work.await;
        drop(sender);
        let mut latencies = Vec::new();
        for read in reading.await? {
            latencies.push(read.await??);
        }
        Ok((result, latencies))
    }

    async fn begin_until(self, mut is_done: oneshot::Receiver<()>) -> Vec<Task<Result<Duration>>> {
        let clock = self.environment.clock();
        let mut next = clock.monotonic();
        let mut reads = Vec::new();
        for key in self.keys.iter().cycle() {
            let wait = next.saturating_sub(clock.monotonic());
            if let Either::Left(_) = select(&mut is_done, clock.sleep(wait)).await {
                break;
            }
            next = next.saturating_add(self.interval);
            let (environment, repository, key) = (self.environment.clone(), self.repository.clone(), key.clone());
            reads.push(self.environment.spawn(async move {
                let begun = environment.clock().monotonic();
                let found = repository.get_with_secrets_opt(&key).await?;
                let took = environment.clock().monotonic().saturating_sub(begun);
                let gone = || Error::new(ErrorKind::Conflict, "a token is no longer there");
                found.map(|_| took).ok_or_else(|| gone().with_hint("run one benchmark at a time"))
            }));
        }
        reads
    }
}

/// Returns the smallest of the sorted durations that is not exceeded by `percent` of them, in milliseconds.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    let found = sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default();
    found.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_durations_that_occurred() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let found = [1, 50, 99, 100].map(|percent| percentile(&sorted, percent));
        assert_eq!(found.map(|ms| ms.round() as u64), [2, 100, 198, 200]);
        assert!(percentile(&[], 99).abs() < f64::EPSILON);
    }
}
