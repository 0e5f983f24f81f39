//! Measures finding a page of objects and getting one by id, against the bare requests over the same connection.

use std::sync::Arc;

use super::place::Place;
use super::result::BenchResult;
use super::rounds::{Rounds, Run, Side, Stopwatch};
use super::token;
use crate::connection::Connection;
use crate::output::Output;
use crate::seed::Seeder;
use saved_objects::cluster::{Hit, Query, Search, SearchIn};
use saved_objects::environment::Environment;
use saved_objects::layout::IndexNames;
use saved_objects::repository::{Find, ObjectKey, Repository};
use saved_objects::{Error, ErrorKind, Result};

/// The number of objects in the index.
const OBJECTS: usize = 10_000;

/// The operation that is measured.
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

    /// Returns the number of requests in one run.
    fn requests(self) -> usize {
        match self {
            Self::Find => 40,
            Self::Get => 2_000,
        }
    }
}

const PER_PAGE: u32 = 1_000;

struct Bench<'a> {
    place: Place<'a>,
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
    let bench = Bench::prepare(Place::empty(connection, environment).await?).await?;
    let (measure, documents) = (read.measure().to_owned(), read.requests());
    let rounds = Rounds { measure, unit: "requests/s", runs, documents, output };
    let measured = rounds.measure(async |side| bench.run(read, side).await).await;
    bench.place.delete_all().await?;
    measured
}

impl<'a> Bench<'a> {
    /// Creates an index and fills it with objects.
    async fn prepare(place: Place<'a>) -> Result<Self> {
        let definition = token::first_definition(true)?;
        let repository = place.repository(definition.clone()).await?;
        let names = place.prefix.group(token::GROUP);
        let seeder = Seeder {
            cluster: place.cluster.as_ref(),
            encryption: &place.encryption,
            environment: place.environment,
            definition: &Arc::new(definition),
            names: &names,
        };
        seeder.write((OBJECTS, 0), token::seed).await?;
        place.cluster.refresh(names.alias()).await?;
        let mut bench = Self { place, repository, names, ids: Vec::new() };
        bench.ids = bench.raw_page().await?.into_iter().map(|hit| hit.id).collect();
        Ok(bench)
    }

    async fn run(&self, read: Read, side: Side) -> Result<Run> {
        let mut run: Option<Run> = None;
        for request in 0..read.requests() {
            let part = self.request(read, side, request, run.is_none()).await?;
            run = Some(run.map_or(part, |before| before.and_then(part)));
        }
        run.ok_or_else(|| Error::new(ErrorKind::Internal, "nothing is measured"))
    }

    /// Makes one of the requests of a run. The time ends with the answer; what the caller does with the answer, even
    /// dropping it, is not measured.
    async fn request(&self, read: Read, side: Side, number: usize, is_first: bool) -> Result<Run> {
        let environment = self.place.environment;
        let stopwatch = if is_first { Stopwatch::start(environment) } else { Stopwatch::go_on(environment) };
        let requests = read.requests();
        match (read, side) {
            (Read::Find, Side::Ours) => {
                let found = self.repository.find(&[token::TYPE], Find::new().per_page(PER_PAGE)).await?;
                let run = stopwatch.stop(requests);
                found_all(found.objects.len(), PER_PAGE as usize).map(|()| run)
            }
            (Read::Find, Side::Raw) => {
                let hits = self.raw_page().await?;
                let run = stopwatch.stop(requests);
                found_all(hits.len(), PER_PAGE as usize).map(|()| run)
            }
            (Read::Get, side) => {
                let raw_id = self.ids.get(number % self.ids.len().max(1)).map(String::as_str).unwrap_or_default();
                let found = match side {
                    Side::Ours => {
                        let id = raw_id.split_once(':').map_or("", |(_, id)| id);
                        self.repository.get_opt(&ObjectKey::new(token::TYPE, id)).await?.is_some()
                    }
                    Side::Raw => self.place.cluster.get(self.names.alias(), raw_id).await?.is_some(),
                };
                let run = stopwatch.stop(requests);
                found_all(usize::from(found), 1).map(|()| run)
            }
        }
    }

    /// Makes the same search as the repository and leaves the hits unread.
    async fn raw_page(&self) -> Result<Vec<Hit>> {
        let within = SearchIn::Index(self.names.alias().to_owned());
        let query = Query::And(vec![Query::equals("type", token::TYPE)]);
        let search = Search { size: PER_PAGE, count_total: true, ..Search::new(within, query) };
        Ok(self.place.cluster.search(&search).await?.hits)
    }
}

fn found_all(found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Conflict, format!("{found} objects were found instead of {expected}"))
        .with_hint("run one benchmark at a time"))
}
