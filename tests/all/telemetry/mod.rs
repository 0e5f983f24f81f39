//! What is measured: a platform's life, with a recorder of the crate `metrics` and a subscriber of the crate `tracing`,
//! moves each metric that the library declares and opens each span.
//!
//! A recorder and a subscriber of a test are those of one thread, so a test runs on a thread of its own.

mod recorder;

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use libtest_mimic::Trial;
use saved_objects::cluster::elastic::{HttpAnswer, HttpRequest, NoAnswer, NoAnswerKind, Transport};
use saved_objects::cluster::{Cluster, Elastic};
use saved_objects::document::Namespace;
use saved_objects::encryption::{KeyRing, Secret};
use saved_objects::environment::{Environment, Executor, SystemRng};
use saved_objects::migrate::OnBad;
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Action, Authorization, Create, Delete, Find, ObjectKey, Repository};
use saved_objects::telemetry::{LabelValues, METRICS, SEVERAL_TYPES, SPANS, UNREGISTERED_TYPE};
use saved_objects::tokens::{
    self, AccessTokens, ConnectorId, ConnectorTokenClient, Credentials, Grant, NewToken, ProviderError, RefreshRequest,
    Refresher, Scope, TokenClient, TokenError,
};
use saved_objects::{ErrorKind, SavedObjects, SavedObjectsBuilder, Start};
use secrecy::SecretString;
use serde_json::json;
use tracing_subscriber::layer::SubscriberExt;

use crate::clock::PollingClock;
use crate::context::{Context, MEMORY};
use crate::hygiene::{OTHER_KEY, SECRETS};
use crate::migration::{note, object, version};
use crate::named_trials;
use crate::proxy::{Fault, Proxy};
use recorder::{Recording, Spans};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, every_metric_moves_and_every_span_opens)
}

async fn every_metric_moves_and_every_span_opens(context: Context) {
    let (recording, spans) = (Recording::default(), Spans::default());
    let secret = SECRETS[0];
    std::thread::scope(|scope| {
        let life = scope.spawn(|| {
            let _recorder = metrics::set_default_local_recorder(&recording);
            // With a single subscriber, tracing would treat what threads of other tests reach first as disabled.
            let _second = tracing::Dispatch::new(tracing_subscriber::registry());
            let _subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(spans.clone()));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(a_life(&context, &recording, secret));
        });
        life.join().expect("it ends");
    });
    check_metrics(&context, &recording);
    check_spans(&spans, secret);
}

/// Checks that every metric moved, and that nothing was recorded that is not declared.
fn check_metrics(context: &Context, recording: &Recording) {
    let names: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(recording.described(), names);
    let mut moved = BTreeSet::new();
    for (series, recorded) in recording.series() {
        let metric = METRICS.iter().find(|metric| metric.name == series.name);
        let metric = metric.unwrap_or_else(|| panic!("{series:?} is not declared"));
        assert_eq!(series.kind, format!("{:?}", metric.kind), "{series:?}");
        assert_eq!(series.labels.len(), metric.labels.len(), "{series:?}");
        for (label, (name, value)) in metric.labels.iter().zip(&series.labels) {
            assert_eq!(label.name, name, "{series:?}");
            let is_known = match label.values {
                LabelValues::OneOf(values) => values.contains(&value.as_str()),
                LabelValues::Type => {
                    let types = ["note", "page", "connector_token", "user_connector_token"];
                    types.contains(&value.as_str()) || [SEVERAL_TYPES, UNREGISTERED_TYPE].contains(&value.as_str())
                }
                LabelValues::Alias => {
                    ["notes", "pages", "connectors"].iter().any(|group| *value == format!("{}-{group}", context.prefix))
                }
            };
            assert!(is_known, "{series:?}");
        }
        if recorded.moves > 0 {
            moved.insert(series.name);
        }
    }
    let still: Vec<_> = names.difference(&moved).collect();
    assert!(still.is_empty(), "{still:?} did not move");
}

fn check_spans(spans: &Spans, secret: &str) {
    let seen = spans.seen();
    for span in &seen {
        let described = SPANS.iter().find(|described| described.name == span.name);
        let described = described.unwrap_or_else(|| panic!("{span:?} is not declared"));
        assert_eq!(span.level, described.level.as_str(), "{span:?}");
        assert_eq!(span.fields.iter().map(|(name, _)| *name).collect::<Vec<_>>(), described.fields, "{span:?}");
        let names_nothing = |(_, value): &(_, String)| ["n1", "u_kim", secret].iter().all(|word| !value.contains(word));
        assert!(span.fields.iter().all(names_nothing), "{span:?}");
    }
    let is_within = |name, parent| seen.iter().any(|span| span.name == name && span.parent == Some(parent));
    for (name, parent) in [
        ("migrate", "start"),
        ("step", "migrate"),
        ("request", "step"),
        ("request", "operation"),
        ("request", "refresh"),
    ] {
        assert!(is_within(name, parent), "{name} within {parent}: {seen:#?}");
    }
    let names: BTreeSet<&str> = seen.iter().map(|span| span.name).collect();
    assert_eq!(names, SPANS.iter().map(|span| span.name).collect());
}

/// Runs everything on the thread of the test.
#[derive(Debug)]
struct OneThread;

impl Executor for OneThread {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        drop(tokio::spawn(task));
    }

    fn spawn_blocking(&self, work: Box<dyn FnOnce() + Send>) {
        work();
    }

    fn parallelism(&self) -> usize {
        1
    }
}

/// How many of the next bulks lose their answer, and how many of those after them do not arrive.
#[derive(Debug, Default)]
struct Losses {
    answers: AtomicUsize,
    requests: AtomicUsize,
}

impl Losses {
    fn fault(&self, path: &str) -> Fault {
        let takes_one = |left: &AtomicUsize| {
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        };
        match path.contains("notes-000001-write/_bulk") {
            true if takes_one(&self.answers) => Fault::LoseAnswer,
            true if takes_one(&self.requests) => Fault::LoseRequest,
            _ => Fault::None,
        }
    }
}

/// A network before the cluster in memory.
#[derive(Debug)]
struct Lossy {
    inner: Arc<dyn Transport>,
    losses: Arc<Losses>,
}

#[async_trait]
impl Transport for Lossy {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, NoAnswer> {
        let lost = || NoAnswer { kind: NoAnswerKind::Lost, source: "the connection ended".into() };
        match self.losses.fault(&request.path) {
            Fault::LoseRequest => Err(lost()),
            Fault::LoseAnswer => self.inner.send(request).await.and_then(|_| Err(lost())),
            _ => self.inner.send(request).await,
        }
    }
}

/// Answers with what is in the list, and then with grants that rotate.
#[derive(Debug)]
struct Provider {
    failures: Mutex<VecDeque<ProviderError>>,
    grants: AtomicUsize,
    /// The index that takes no writes any more once the next grant is made.
    blocks: Mutex<Option<(Arc<dyn Cluster>, String)>>,
}

#[async_trait]
impl Refresher for Provider {
    async fn refresh(&self, _: &RefreshRequest) -> Result<Grant, ProviderError> {
        let failure = self.failures.lock().expect("no test panics with the lock").pop_front();
        if let Some(failure) = failure {
            return Err(failure);
        }
        let blocks = self.blocks.lock().expect("no test panics with the lock").take();
        if let Some((cluster, index)) = blocks {
            cluster.add_write_block(&index).await.expect("blocked");
        }
        let number = self.grants.fetch_add(1, Ordering::SeqCst);
        Ok(Grant {
            access_token: Secret::text(&format!("access {number}")),
            refresh_token: Some(Secret::text(&format!("refresh {number}"))),
            expires_in: Some(Duration::from_secs(1)),
            refresh_token_expires_in: None,
        })
    }
}

#[derive(Debug)]
struct ReadOnly;

#[async_trait]
impl Authorization for ReadOnly {
    async fn allows(&self, action: Action, _: &str, _: &Namespace) -> bool {
        matches!(action, Action::Get | Action::Find)
    }
}

/// Returns notes with a secret. The second release changes all of them, and refuses those without a number of stars.
fn types(release: usize) -> Vec<TypeDefinition> {
    let sets = json!({"encrypted": [{"name": "pin"}], "bound": []});
    let first = version(json!({"stars": {}, "pin": {"type": "string"}}), sets.clone());
    let mut second = version(json!({"stars": {"type": "integer"}, "read": {}, "pin": {"type": "string"}}), sets);
    second["changes"] = json!([{"type": "data_backfill", "defaults": {"read": false}}]);
    let mapping = json!({"dynamic": false, "properties": {}});
    let mut types = note(first, mapping, &[second][..release - 1]);
    let page = json!({"type": "page", "group": "pages", "namespace_kind": "agnostic",
        "mapping": {"dynamic": false, "properties": {}}});
    let version = version(json!({"title": {}}), json!({"encrypted": [], "bound": []})).to_string();
    let page = TypeDefinition::from_json("page.json", &page.to_string(), &[("1.json".to_owned(), version)]);
    types.push(page.expect("a valid definition"));
    types.extend(tokens::types().expect("built-in types"));
    types
}

/// The surroundings of a platform in this test.
struct Surroundings<'a> {
    context: &'a Context,
    clock: Arc<PollingClock>,
    environment: Environment,
    losses: Arc<Losses>,
    /// Between the library and the server, if there is one.
    proxy: Option<Proxy>,
}

impl Surroundings<'_> {
    fn builder(&self, release: usize) -> SavedObjectsBuilder {
        let environment = self.environment.clone();
        let builder = match (&self.context.memory, &self.proxy) {
            (Some(memory), _) => {
                let transport = Lossy { inner: Arc::new(memory.transport()), losses: self.losses.clone() };
                Elastic::builder("http://memory").transport(Arc::new(transport))
            }
            (None, Some(proxy)) => Elastic::builder(proxy.url()),
            (None, None) => panic!("there is a proxy before the server"),
        };
        let cluster = builder.environment(environment.clone()).build().expect("a fine URL");
        let builder = self.context.builder(types(release)).cluster(Arc::new(cluster)).environment(environment);
        // Each renewal of a lease moves the clock.
        builder.deadline(Duration::from_secs(365 * 24 * 60 * 60))
    }

    async fn started(&self, release: usize) -> SavedObjects {
        self.builder(release).start(Start::Migrate).await.expect("it starts")
    }
}

async fn a_life(context: &Context, recording: &Recording, secret: &str) {
    let clock = PollingClock::new();
    let environment = Environment::new(clock.clone(), Arc::new(SystemRng)).with_executor(Arc::new(OneThread));
    let losses = Arc::new(Losses::default());
    let proxy = match context.url == MEMORY {
        true => None,
        false => {
            let losses = losses.clone();
            Some(Proxy::start(&context.url, move |seen, _| losses.fault(&seen.path)).await)
        }
    };
    let surroundings = Surroundings { context, clock, environment, losses, proxy };
    let store = surroundings.started(1).await;
    objects(&surroundings, &store, recording, secret).await;
    lost_answers(&surroundings, store.repository(), recording).await;
    secrets(&surroundings, recording).await;
    access_tokens(&surroundings, &store, recording).await;
    migrations(&surroundings, recording).await;
}

async fn objects(surroundings: &Surroundings<'_>, store: &SavedObjects, recording: &Recording, secret: &str) {
    let repository = store.repository();
    let operations = |labels: &[(&str, &str)]| recording.sum("saved_objects_repository_operations_total", labels);
    let note = || Create::new("note", object(json!({"stars": 1}))).id("n1").secret("pin", Secret::text(secret));
    let key = ObjectKey::new("note", "n1");
    repository.create(note()).await.expect("created");
    repository.create(Create::new("page", object(json!({"title": "one"})))).await.expect("created");
    assert_eq!(repository.create(note()).await.expect_err("it exists").kind(), ErrorKind::Conflict);
    assert_eq!(operations(&[("action", "create"), ("type", "note"), ("outcome", "done")]), 1.0);
    assert_eq!(operations(&[("action", "create"), ("type", "note"), ("outcome", "conflict")]), 1.0);
    assert_eq!(operations(&[("action", "create"), ("type", "page"), ("outcome", "done")]), 1.0);
    assert_eq!(recording.sum("saved_objects_repository_conflicts_total", &[("type", "note")]), 1.0);

    repository.get(&key).await.expect("read");
    repository.get_with_secrets(&key).await.expect("opened");
    assert_eq!(operations(&[("action", "get"), ("outcome", "done")]), 1.0);
    assert_eq!(operations(&[("action", "get_secrets"), ("outcome", "done")]), 1.0);
    let missing = repository.get_many(&[key.clone(), ObjectKey::new("note", "missing")]).await;
    assert!(missing[0].is_ok() && missing[1].is_err());
    assert_eq!(operations(&[("action", "get"), ("outcome", "done")]), 2.0);
    assert_eq!(operations(&[("action", "get"), ("outcome", "not_found")]), 1.0);

    let of_guest = repository.authorized_by(Arc::new(ReadOnly));
    let refused = of_guest.create(Create::new("page", object(json!({})))).await.expect_err("not allowed");
    assert_eq!(refused.kind(), ErrorKind::Forbidden);
    assert_eq!(operations(&[("action", "create"), ("type", "page"), ("outcome", "refused")]), 1.0);
    assert_eq!(operations(&[("action", "create"), ("type", "page"), ("outcome", "given_up")]), 0.0);

    repository.find(&["note", "page"], Find::new()).await.expect("found");
    assert_eq!(operations(&[("action", "find"), ("type", SEVERAL_TYPES), ("outcome", "done")]), 1.0);
    surroundings.context.cluster().refresh(&surroundings.context.index("notes")).await.expect("refreshed");
    let mut stream = repository.stream(&["note"], Find::new()).expect("a stream");
    drop(stream.next().await.expect("one").expect("read"));
    drop(stream);
    assert_eq!(operations(&[("action", "find"), ("type", "note"), ("outcome", "given_up")]), 1.0);
    let durations = recording.series();
    let of_durations = durations.iter().filter(|(series, _)| series.name.ends_with("operation_duration_seconds"));
    assert!(of_durations.map(|(_, recorded)| recorded.moves).sum::<u64>() >= 9, "{durations:#?}");
}

async fn lost_answers(surroundings: &Surroundings<'_>, repository: &Repository, recording: &Recording) {
    let settled = |outcome| recording.sum("saved_objects_cluster_settled_writes_total", &[("outcome", outcome)]);
    surroundings.losses.answers.store(1, Ordering::SeqCst);
    repository.create(Create::new("note", object(json!({"stars": 2}))).id("n2")).await.expect("settled");
    assert_eq!((settled("done"), settled("not_done"), settled("unknown")), (1.0, 0.0, 0.0));
    surroundings.losses.requests.store(1, Ordering::SeqCst);
    repository.create(Create::new("note", object(json!({"stars": 3}))).id("n3")).await.expect("repeated");
    assert_eq!((settled("done"), settled("not_done"), settled("unknown")), (1.0, 1.0, 0.0));
    assert_eq!(recording.sum("saved_objects_cluster_repeats_total", &[("reason", "lost")]), 1.0);
    assert!(recording.sum("saved_objects_cluster_requests_total", &[("api", "bulk"), ("outcome", "lost")]) >= 1.0);
    // The document is gone afterwards, whoever deleted it.
    surroundings.losses.answers.store(1, Ordering::SeqCst);
    let key = ObjectKey::new("note", "n2");
    let version = repository.get(&key).await.expect("read").version;
    let deleted = repository.delete(Delete::new(key).version(version)).await;
    assert_eq!(deleted.expect_err("not known").kind(), ErrorKind::OutcomeUnknown);
    assert_eq!(settled("unknown"), 1.0);
}

async fn secrets(surroundings: &Surroundings<'_>, recording: &Recording) {
    let other = KeyRing::new(SecretString::from(OTHER_KEY), Vec::new()).expect("a key");
    let store = surroundings.builder(1).key_ring(other).start(Start::Skip).await.expect("nothing is checked");
    let unreadable = store.repository().get_with_secrets(&ObjectKey::new("note", "n1")).await.expect_err("other key");
    assert_eq!(unreadable.kind(), ErrorKind::Decrypt);
    let labels = [("type", "note"), ("cause", "unknown_key")];
    assert_eq!(recording.sum("saved_objects_encryption_unopened_secrets_total", &labels), 1.0);
    let labels = [("action", "get_secrets"), ("type", "note"), ("outcome", "decrypt")];
    assert_eq!(recording.sum("saved_objects_repository_operations_total", &labels), 1.0);
}

async fn access_tokens(surroundings: &Surroundings<'_>, store: &SavedObjects, recording: &Recording) {
    let context = surroundings.context;
    let provider =
        Arc::new(Provider { failures: Mutex::default(), grants: AtomicUsize::new(1), blocks: Mutex::default() });
    let refresher: Arc<dyn Refresher> = provider.clone();
    let (access, client) = (AccessTokens::new(store).expect("types"), ConnectorTokenClient::new(store).expect("types"));
    let connector = ConnectorId::new("c1").expect("an id");
    let credentials =
        Credentials::Token { token: Secret::text("access 0"), refresh_token: Some(Secret::text("refresh 0")) };
    let mut token = NewToken::new(credentials);
    token.expires_at = Some(Timestamp::UNIX_EPOCH);
    client.create(Scope::Shared, &connector, token).await.expect("stored");
    let get = || async {
        // What was granted before has expired by now.
        surroundings.clock.forward(Duration::from_secs(2));
        access.get(Scope::Shared, &connector, &refresher).await
    };
    let refreshes = |outcome| recording.sum("saved_objects_tokens_refreshes_total", &[("outcome", outcome)]);

    get().await.expect("refreshed");
    assert_eq!(refreshes("refreshed"), 1.0);
    assert_eq!(recording.sum("saved_objects_control_claims_total", &[("kind", "claim"), ("outcome", "taken")]), 1.0);
    assert_eq!(recording.sum("saved_objects_control_claims_total", &[("kind", "claim"), ("outcome", "released")]), 1.0);

    let busy = ProviderError::Transient { reason: "busy".to_owned(), retry_after: Some(Duration::from_secs(60)) };
    provider.failures.lock().expect("no test panics with the lock").push_back(busy);
    for _ in 0..2 {
        assert!(matches!(get().await, Err(TokenError::RefreshFailed { .. })));
    }
    assert_eq!(refreshes("transient"), 1.0);
    assert_eq!(recording.sum("saved_objects_tokens_provider_pauses_total", &[("reason", "busy")]), 1.0);
    assert_eq!(recording.sum("saved_objects_tokens_held_off_total", &[("reason", "busy")]), 1.0);
    surroundings.clock.forward(Duration::from_secs(60));

    let unstored = || recording.sum("saved_objects_tokens_unstored_grants", &[]);
    let index = context.index("connectors");
    *provider.blocks.lock().expect("no test panics with the lock") = Some((context.cluster(), index.clone()));
    assert!(matches!(get().await, Err(TokenError::NotStored { .. })));
    assert_eq!((refreshes("not_stored"), unstored()), (1.0, 1.0));
    context.cluster().remove_write_block(&index).await.expect("no longer blocked");
    get().await.expect("stored and refreshed");
    assert_eq!((refreshes("refreshed"), unstored()), (2.0, 0.0));
}

async fn migrations(surroundings: &Surroundings<'_>, recording: &Recording) {
    let context = surroundings.context;
    let bad = json!({"type": "note", "note": {"stars": "many"}, "references": [], "typeMigrationVersion": "10.1.0",
        "updated_at": "2021-01-01T12:16:40.000Z"});
    context.put("notes", "note:bad", &bad).await;
    let failed = surroundings.builder(2).start(Start::Migrate).await.expect_err("one is bad");
    assert_eq!(failed.kind(), ErrorKind::Corrupt, "{failed}");
    let alias = context.prefix.group("notes").alias().to_owned();
    let of_alias = |name: &str| recording.sum(name, &[("alias", &alias)]);
    let runs = |outcome| recording.sum("saved_objects_migration_runs_total", &[("outcome", outcome)]);
    assert_eq!(runs("failed"), 1.0);
    let bad_documents =
        |fate| recording.sum("saved_objects_migration_bad_documents_total", &[("alias", &alias), ("fate", fate)]);
    assert!(bad_documents("kept") >= 1.0);
    assert!(of_alias("saved_objects_migration_left_documents") >= 1.0);

    let migrated = surroundings.builder(2).on_bad(OnBad::Quarantine).start(Start::Migrate).await.expect("it starts");
    assert_eq!(bad_documents("quarantined"), 1.0);
    assert_eq!(of_alias("saved_objects_migration_left_documents"), 0.0);
    assert!(of_alias("saved_objects_migration_documents_read_total") >= 2.0);
    assert!(of_alias("saved_objects_migration_documents_written_total") >= 1.0);
    assert!(runs("migrated") >= 2.0, "the first start created the indices");
    assert!(recording.sum("saved_objects_control_claims_total", &[("kind", "lease"), ("outcome", "taken")]) >= 2.0);
    assert_eq!(recording.sum("saved_objects_migration_lease_age_seconds", &[]), 0.0, "there is no migration");

    migrated.migrator().status().await.expect("read");
    assert_eq!(recording.sum("saved_objects_quarantine_documents", &[]), 1.0);
    migrated.key_rotation().rotate().await.expect("rotated");
}
