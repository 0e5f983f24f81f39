//! Finding a page of objects and getting one by id, beside the bare requests over the same connection.

use std::sync::Arc;

use super::place::Place;
use super::result::BenchResult;
use super::rounds::{Rounds, Run, Side, Stopwatch};
use super::token;
use crate::cli::connection::Connection;
use crate::cli::output::Output;
use crate::cli::seed::Seeder;
use crate::cluster::{Hit, Query, Search, SearchIn};
use crate::environment::Environment;
use crate::layout::IndexNames;
use crate::repository::{Find, ObjectKey, Repository};
use crate::{Error, ErrorKind, Result};

/// Objects in the index.
const OBJECTS: usize = 10_000;

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
    /// An index full of objects.
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
        seeder.write(OBJECTS, token::seed).await?;
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

    /// One of the requests of a run, until its answer is there: what is done with that, and be it to drop it, is the caller's.
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

    /// The same search as the repository's, its hits unread.
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
        .with_cure("run one benchmark at a time"))
}
