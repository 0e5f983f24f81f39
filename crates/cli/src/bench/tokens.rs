//! Measures reading tokens against the bare request by id and one decryption, and counts the requests of each
//! operation.

use std::collections::BTreeMap;

use super::place::Place;
use super::result::BenchResult;
use super::rounds::{Rounds, Run, Side, Stopwatch};
use crate::connection::Connection;
use crate::output::Output;
use saved_objects::document::StoredDocument;
use saved_objects::encryption::{Descriptor, EncryptionHistory, Secret};
use saved_objects::environment::Environment;
use saved_objects::registry::Registry;
use saved_objects::repository::SecretChange;
use saved_objects::tokens::{
    self, ConnectorId, ConnectorTokenClient, CredentialsChange, NewToken, Scope, TokenClient, TokenMetadata,
    TokenUpdate,
};
use saved_objects::{Error, ErrorKind, Result, SavedObjects, Start};

const TYPE: &str = "connector_token";
const GROUP: &str = "connectors";
/// The number of tokens in the index.
const TOKENS: usize = 1_000;
/// The number of reads in one run.
const READS: usize = 2_000;
/// How many operations of each kind are made to count their requests.
const COUNTED: usize = 20;
const SECRET_BYTES: usize = 500;

struct Bench<'a> {
    place: Place<'a>,
    tokens: ConnectorTokenClient,
    history: EncryptionHistory,
    stored: Vec<TokenMetadata>,
}

pub(super) async fn run(
    runs: usize,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<BenchResult> {
    let bench = Bench::prepare(Place::empty(connection, environment).await?).await?;
    let rounds = Rounds { measure: "tokens".to_owned(), unit: "reads/s", runs, documents: READS, output };
    let measured = rounds.measure(async |side| bench.run(side).await).await;
    let requests = bench.requests().await;
    bench.place.delete_all().await?;
    Ok(BenchResult { requests: Some(requests?), ..measured? })
}

impl<'a> Bench<'a> {
    /// Creates an index and fills it with tokens.
    async fn prepare(place: Place<'a>) -> Result<Self> {
        let types = tokens::types()?;
        let token = types.iter().find(|definition| definition.name() == TYPE);
        let history = token
            .map(|token| token.encryption().clone())
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the type of tokens is not among the built-in ones"))?;
        let store = SavedObjects::builder(Registry::builder().with(types).build()?)
            .cluster(place.cluster.clone())
            .prefix(place.prefix.clone())
            .key_ring(place.key_ring()?)
            .environment(place.environment.clone())
            .start(Start::Migrate)
            .await?;
        let tokens = ConnectorTokenClient::new(&store)?;
        let mut bench = Self { place, tokens, history, stored: Vec::new() };
        for number in 0..TOKENS {
            let stored = bench.create(number).await?;
            bench.stored.push(stored);
        }
        bench.place.cluster.refresh(bench.place.prefix.group(GROUP).alias()).await?;
        Ok(bench)
    }

    async fn create(&self, number: usize) -> Result<TokenMetadata> {
        let connector = ConnectorId::new(format!("connector-{number}"))?;
        Ok(self.tokens.create(Scope::Shared, &connector, NewToken::token(self.secret()?)).await?)
    }

    fn secret(&self) -> Result<Secret> {
        let mut bytes = [0; SECRET_BYTES];
        self.place.environment.rng().fill(&mut bytes)?;
        Ok(Secret::text(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
    }

    async fn run(&self, side: Side) -> Result<Run> {
        let stopwatch = Stopwatch::start(self.place.environment);
        for number in 0..READS {
            let Some(stored) = self.stored.get(number % self.stored.len().max(1)) else { break };
            let is_found = match side {
                Side::Ours => self.tokens.get(Scope::Shared, &stored.connector_id).await?.is_some(),
                Side::Raw => self.raw(stored).await?,
            };
            if !is_found {
                return Err(Error::new(ErrorKind::Conflict, "a token is no longer there")
                    .with_hint("run one benchmark at a time"));
            }
        }
        Ok(stopwatch.stop(READS))
    }

    /// Makes the bare request and one decryption.
    async fn raw(&self, stored: &TokenMetadata) -> Result<bool> {
        let name = stored.id.to_string();
        let id = name.rsplit_once(':').map_or("", |(_, uuid)| uuid);
        let found = self.place.cluster.get(self.place.prefix.group(GROUP).alias(), &format!("{TYPE}:{id}")).await?;
        let Some(hit) = found else { return Ok(false) };
        let document = StoredDocument::from_source(hit.source.get().as_bytes())
            .map_err(|corruption| Error::new(ErrorKind::Corrupt, corruption.to_string()))?;
        let descriptor = Descriptor { type_name: TYPE, namespace: None, id };
        let secret = self.place.encryption.open_attribute(&descriptor, &self.history, &document.attributes, "token")?;
        Ok(secret.is_some())
    }

    /// Returns the number of requests of each operation, on existing tokens; `replace` names the version that was read.
    async fn requests(&self) -> Result<BTreeMap<&'static str, f64>> {
        let known = self.stored.iter().take(COUNTED);
        let mut counts = BTreeMap::new();
        let before = self.count();
        for stored in known.clone() {
            self.tokens.get(Scope::Shared, &stored.connector_id).await?;
        }
        counts.insert("read", self.each_since(before));
        let before = self.count();
        for stored in known.clone() {
            self.tokens.replace(stored, NewToken::token(self.secret()?)).await?;
        }
        counts.insert("replace", self.each_since(before));
        let before = self.count();
        for stored in known {
            let change = CredentialsChange::Token { token: self.secret()?, refresh_token: SecretChange::Keep };
            let update = TokenUpdate { credentials: change, expires_at: None, refresh_token_expires_at: None };
            self.tokens.update(&stored.id, update).await?;
        }
        counts.insert("update", self.each_since(before));
        let before = self.count();
        for number in 0..COUNTED {
            self.create(TOKENS + number).await?;
        }
        counts.insert("creation", self.each_since(before));
        Ok(counts)
    }

    fn count(&self) -> u64 {
        self.place.cluster.requests().total()
    }

    fn each_since(&self, before: u64) -> f64 {
        (self.count() - before) as f64 / COUNTED as f64
    }
}
