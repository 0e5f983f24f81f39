//! Measures creating many objects in one call, against bare bulks of such documents over the same connection.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use serde_json::Value;

use super::place::Place;
use super::result::BenchResult;
use super::rounds::{Rounds, Run, Side, Stopwatch};
use super::token;
use crate::connection::Connection;
use crate::output::Output;
use crate::seed::Seed;
use saved_objects::cluster::{BulkAction, BulkOperation, BulkRequest, Refresh};
use saved_objects::document::{Attributes, RootFields, StoredDocument};
use saved_objects::encryption::Secrets;
use saved_objects::environment::Environment;
use saved_objects::model::VirtualVersion;
use saved_objects::repository::CREATED_AT_ONCE;
use saved_objects::repository::Create;
use saved_objects::{Error, ErrorKind, Result};

/// The number of objects created in one run.
const OBJECTS: usize = 20_000;
/// The number of documents in one raw bulk, as in the engine.
const BATCH: usize = 1_000;
/// The bytes of an envelope in addition to the value.
const ENVELOPE_OVERHEAD: usize = 44;

/// Measure creating objects of 1 KB in one call, against bare bulks
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Make two attributes of each object secrets, which are encrypted
    #[arg(long)]
    encrypted: bool,
}

struct Bench<'a> {
    place: Place<'a>,
    is_encrypted: bool,
}

pub(super) async fn run(
    arguments: &Arguments,
    runs: usize,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<BenchResult> {
    let bench = Bench { place: Place::empty(connection, environment).await?, is_encrypted: arguments.encrypted };
    let measure = if arguments.encrypted { "bulk_create_encrypted" } else { "bulk_create" }.to_owned();
    let rounds = Rounds { measure, unit: "documents/s", runs, documents: OBJECTS, output };
    let measured = rounds.measure(async |side| bench.run(side).await).await;
    bench.place.delete_all().await?;
    measured
}

impl Bench<'_> {
    /// Makes one run into a new index. The requests are prepared before the time starts.
    async fn run(&self, side: Side) -> Result<Run> {
        let place = &self.place;
        place.delete_all().await?;
        let repository = place.repository(token::first_definition(self.is_encrypted)?).await?;
        match side {
            Side::Ours => {
                let requests = (0..OBJECTS).map(|number| self.request(number)).collect::<Result<Vec<_>>>()?;
                let stopwatch = Stopwatch::start(place.environment);
                let answers = repository.create_many(requests).await;
                let run = stopwatch.stop(answers.len());
                answers.into_iter().try_for_each(|answer| answer.map(drop))?;
                Ok(run)
            }
            Side::Raw => {
                let operations = (0..OBJECTS).map(|number| self.operation(number)).collect::<Result<Vec<_>>>()?;
                let stopwatch = Stopwatch::start(place.environment);
                let written = self.write(&operations).await?;
                Ok(stopwatch.stop(written))
            }
        }
    }

    fn request(&self, number: usize) -> Result<Create> {
        let Seed { id, attributes, secrets } = token::seed(number, self.place.environment)?;
        match self.is_encrypted {
            true => Ok(Create::new(token::TYPE, attributes).id(id).secrets(secrets)),
            false => Ok(Create::new(token::TYPE, self.with_texts(attributes, &secrets)?).id(id)),
        }
    }

    /// Adds random texts of the same length in place of the secrets' envelopes.
    fn with_texts(&self, mut attributes: Attributes, secrets: &Secrets) -> Result<Attributes> {
        for (name, secret) in secrets {
            let bytes = secret.expose_json().len() + ENVELOPE_OVERHEAD;
            let mut random = vec![0; bytes.div_ceil(3) * 3];
            self.place.environment.rng().fill(&mut random)?;
            attributes.insert(name.clone(), Value::from(STANDARD.encode(random)));
        }
        Ok(attributes)
    }

    /// Returns the write of the document that a request makes.
    fn operation(&self, number: usize) -> Result<BulkOperation> {
        let Seed { id, attributes, secrets } = token::seed(number, self.place.environment)?;
        let attributes = self.with_texts(attributes, &secrets)?;
        let now = self.place.environment.now_iso();
        let mut root = RootFields::default();
        root.managed = Some(false);
        root.type_migration_version = Some(VirtualVersion::of(1).to_string());
        root.created_at = Some(now.clone());
        root.updated_at = Some(now);
        let document = StoredDocument { type_name: token::TYPE.to_owned(), attributes, root };
        let action = BulkAction::Create { source: Bytes::from(document.to_source()) };
        Ok(BulkOperation { id: format!("{}:{id}", token::TYPE), action })
    }

    async fn write(&self, operations: &[BulkOperation]) -> Result<usize> {
        let alias = self.place.prefix.group(token::GROUP).write_alias(1);
        let bulks = operations.chunks(BATCH).map(async |operations| {
            let request = BulkRequest { alias: &alias, operations, refresh: Refresh::Later };
            for outcome in self.place.cluster.bulk(&request).await? {
                outcome.map_err(|error| {
                    Error::new(ErrorKind::Internal, format!("the raw bulk could not write: {}", error.reason))
                })?;
            }
            Ok::<usize, Error>(operations.len())
        });
        let written: Vec<usize> = futures::stream::iter(bulks).buffer_unordered(CREATED_AT_ONCE).try_collect().await?;
        Ok(written.iter().sum())
    }
}
