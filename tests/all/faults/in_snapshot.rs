//! Starts during a snapshot of indices that they change: the server refuses these changes until the snapshot has ended.
//! In memory, through the client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use saved_objects::cluster::elastic::{HttpAnswer, HttpRequest, NoAnswer, Transport};
use saved_objects::cluster::{Elastic, InMemory};
use saved_objects::environment::Environment;
use saved_objects::repository::ObjectKey;
use saved_objects::{Error, ErrorKind, SavedObjects, Start};

use super::deployment::{Deployment, in_its_own_time};
use super::types::registry;
use crate::context::key_ring;
use crate::log::Log;

/// A server that makes a snapshot for a while and refuses some requests during it.
#[derive(Debug)]
struct InSnapshot {
    memory: InMemory,
    environment: Environment,
    /// What the path of a refused request contains.
    refused: &'static str,
    until: Duration,
    refusals: AtomicUsize,
}

#[async_trait]
impl Transport for InSnapshot {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, NoAnswer> {
        if !request.path.contains(self.refused) || self.environment.clock().monotonic() >= self.until {
            return Ok(self.memory.answer(&request));
        }
        self.refusals.fetch_add(1, Ordering::Relaxed);
        let body =
            r#"{"error":{"type":"snapshot_in_progress_exception","reason":"it is being snapshotted"},"status":400}"#;
        Ok(HttpAnswer {
            status: 400,
            is_elasticsearch: true,
            retry_after: None,
            body: Bytes::from_static(body.as_bytes()),
        })
    }
}

/// The waiting of a start that must change an index in a snapshot.
struct Waiting {
    deployment: Deployment,
    server: Arc<InSnapshot>,
}

impl Waiting {
    async fn on(refused: &'static str, lasts: Duration) -> Self {
        let deployment = Deployment::with_release_1().await;
        let until = deployment.environment.clock().monotonic() + lasts;
        let (memory, environment, refusals) =
            (deployment.memory().clone(), deployment.environment.clone(), AtomicUsize::new(0));
        let server = Arc::new(InSnapshot { memory, environment, refused, until, refusals });
        Self { deployment, server }
    }

    /// Starts a release.
    async fn start(&self, release: u32, deadline: Duration) -> Result<SavedObjects, Error> {
        let elastic =
            Elastic::builder("").transport(self.server.clone()).environment(self.deployment.environment.clone());
        let builder = SavedObjects::builder((*registry(release)).clone()).prefix(self.deployment.prefix.clone());
        let builder = builder.cluster(Arc::new(elastic.build().expect("a client"))).key_ring(key_ring());
        builder.environment(self.deployment.environment.clone()).deadline(deadline).start(Start::Migrate).await
    }

    /// Changes a vault as a user of the first release.
    async fn update(&self, id: &str) {
        let node = self.deployment.repository(self.deployment.cluster(), 1, Start::Skip).await;
        let change = |draft: &mut saved_objects::repository::Draft| {
            draft.attributes.insert("owner".to_owned(), "jo".into());
            Ok(())
        };
        node.update(&ObjectKey::new("vault", id), change).await.expect("it takes writes");
    }

    async fn staging_indices(&self) -> Vec<String> {
        let names = self.deployment.prefix.group("vaults");
        let found = self.deployment.cluster().indices(&[&names.any()]).await.expect("answered");
        found.into_keys().filter(|name| names.is_fill(name)).collect()
    }
}

/// The refused requests of a copy and of a migration in place, with the release that they lead to.
const REFUSED: [(&str, u32); 2] = [("/_clone/", 3), ("/_mapping", 2)];

pub(crate) fn a_start_goes_on_when_the_snapshot_has_ended() {
    for (refused, release) in REFUSED {
        let log = Log::new();
        let _guard = tracing::subscriber::set_default(log.subscriber());
        in_its_own_time(async {
            let waiting = Waiting::on(refused, Duration::from_secs(90)).await;
            let clock = waiting.deployment.environment.clock();
            let begun = clock.monotonic();
            let user = async {
                clock.sleep(Duration::from_millis(45_500)).await;
                waiting.update("v1").await;
                let lease = waiting.deployment.migrator(waiting.deployment.cluster(), registry(release)).status().await;
                lease.expect("answered").lease.expect("it is held")
            };
            let starting = waiting.start(release, Duration::from_secs(300));
            let (started, lease) = futures::future::join(starting, user).await;
            let store = started.expect("it starts");
            let took = clock.monotonic() - begun;
            assert!((90..100).contains(&took.as_secs()), "{refused}: {took:?}");
            let refusals = waiting.server.refusals.load(Ordering::Relaxed);
            assert!((45..=100).contains(&refusals), "{refused}: {refusals}");
            let reason = lease.note.last_failure.expect("others are told what it waits for");
            assert!(lease.held && reason.message.contains("a snapshot of the index is being made"), "{reason:?}");
            let vault = store.repository().get(&ObjectKey::new("vault", "v1")).await.expect("there");
            assert_eq!(vault.attributes["owner"], "jo", "what users wrote meanwhile is there");
            assert_eq!(waiting.staging_indices().await, Vec::<String>::new());
            let after = waiting.deployment.migrator(waiting.deployment.cluster(), registry(release)).status().await;
            assert_eq!(after.expect("answered").lease, None, "nothing is waited for any more");
        });
        let log = log.text();
        assert!(log.contains("a snapshot is being made: waiting for it"), "{refused}: {log}");
    }
}

pub(crate) fn a_snapshot_that_outlasts_the_deadline_is_named() {
    for (refused, release) in REFUSED {
        in_its_own_time(async {
            let waiting = Waiting::on(refused, Duration::MAX / 2).await;
            let clock = waiting.deployment.environment.clock();
            let begun = clock.monotonic();
            let error = waiting.start(release, Duration::from_secs(60)).await.expect_err("it is too late");
            let took = clock.monotonic() - begun;
            assert!((60..70).contains(&took.as_secs()), "{refused}: {took:?}");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
            let text = error.to_string();
            for part in ["was not done after 60 s", "a snapshot of the index is being made"] {
                assert!(text.contains(part), "{refused}: {part} is not in {text}");
            }
            let hint = error.hint().expect("it has one");
            assert!(hint.contains("GET _snapshot/_status") && hint.contains("longer deadline"), "{refused}: {hint}");
            waiting.update("v1").await;
            assert_eq!(waiting.staging_indices().await, Vec::<String>::new());
        });
    }
}
