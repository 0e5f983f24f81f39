//! Migrations and rotations whose rate is limited, in virtual time.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::Start;
use saved_objects::cluster::{BulkRequest, ItemOutcome};
use saved_objects::encryption::{EncryptionService, KeyRing, Secret};
use saved_objects::environment::Environment;
use saved_objects::internals::Engine;
use saved_objects::migrate::Outcome;
use saved_objects::repository::Create;
use saved_objects::rotation::KeyRotation;
use serde_json::json;

use super::deployment::{Deployment, in_its_own_time};
use super::disturbed::{Call, Disturbed, Disturber, Fate};
use super::types::registry;
use crate::context::KEY;
use crate::migration::object;

/// The rates, in documents a second.
const RATES: [u32; 4] = [3, 40, 155, 2_000];
/// The number of vaults, next to the five of release 1.
const VAULTS: usize = 450;
/// The number of documents with secrets that release 2 converts, and that a rotation encrypts again.
const CONVERTED: u64 = VAULTS as u64 + 10;

/// Records when the bulks were done, and how many documents they had.
#[derive(Debug)]
struct Recorder {
    environment: Environment,
    bulks: Mutex<Vec<(Duration, usize)>>,
}

#[async_trait]
impl Disturber for Recorder {
    async fn fate(&self, _: &Call) -> Fate {
        Fate::Done
    }

    fn done(&self, request: &BulkRequest<'_>, _: &[ItemOutcome]) {
        if !request.alias.contains("-control") {
            let bulk = (self.environment.clock().monotonic(), request.operations.len());
            self.bulks.lock().expect("no test panics with the lock").push(bulk);
        }
    }
}

impl Recorder {
    fn new(deployment: &Deployment) -> Arc<Self> {
        Arc::new(Self { environment: deployment.environment.clone(), bulks: Mutex::default() })
    }

    /// Asserts that no second has more documents than the rate and one page, and returns how long all bulks took.
    fn assert_rate(&self, rate: u32) -> Duration {
        let bulks = self.bulks.lock().expect("no test panics with the lock").clone();
        let page = bulks.iter().map(|(_, documents)| *documents).max().unwrap_or_default();
        assert!(page <= (rate as usize / 10).max(1), "a page of {page} documents at {rate} a second");
        for (at, &(begun, _)) in bulks.iter().enumerate() {
            let second = bulks[at..].iter().take_while(|(time, _)| *time < begun + Duration::from_secs(1));
            let documents: usize = second.map(|(_, documents)| *documents).sum();
            assert!(documents <= rate as usize + page, "{documents} documents in a second at {rate}");
        }
        let (first, last) = (bulks.first().expect("bulks").0, bulks.last().expect("bulks").0);
        last - first
    }
}

async fn seeded() -> Deployment {
    let deployment = Deployment::with_release_1().await;
    let repository = deployment.repository(deployment.cluster(), 1, Start::Skip).await;
    let vault = |number: usize| {
        let create = Create::new("vault", object(json!({"title": "v", "owner": "kim"}))).id(format!("many{number}"));
        create.secret("password", Secret::text("s3cret"))
    };
    let created = repository.create_many((0..VAULTS).map(vault).collect::<Vec<_>>()).await;
    assert!(created.iter().all(Result::is_ok));
    deployment
}

fn rate(rate: u32) -> NonZeroU32 {
    NonZeroU32::new(rate).expect("a rate")
}

fn seconds(documents: u64, rate: u32) -> f64 {
    documents as f64 / f64::from(rate)
}

pub(crate) fn a_limited_migration_keeps_its_rate() {
    for max_rate in RATES {
        in_its_own_time(async {
            let deployment = seeded().await;
            let recorder = Recorder::new(&deployment);
            let cluster = Arc::new(Disturbed::new(deployment.cluster(), recorder.clone()));
            let report = deployment.migrator(cluster, registry(2)).max_rate(rate(max_rate)).migrate().await;
            assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
            let written: u64 = report.indices.iter().map(|index| index.documents.written).sum();
            assert_eq!(written, CONVERTED);
            let took = recorder.assert_rate(max_rate).as_secs_f64();
            let expected = seconds(CONVERTED, max_rate);
            assert!((took - expected).abs() <= 0.5, "{took} s at {max_rate} a second, where {expected} s are expected");
        });
    }
}

pub(crate) fn a_limited_rotation_keeps_its_rate() {
    for max_rate in RATES {
        in_its_own_time(async {
            let deployment = seeded().await;
            let recorder = Recorder::new(&deployment);
            let cluster = Arc::new(Disturbed::new(deployment.cluster(), recorder.clone()));
            let new = "a new key for tests only: 0123456789abcdef";
            let ring = KeyRing::new(new.into(), vec![KEY.into()]).expect("a ring");
            let environment = deployment.environment.clone();
            let encryption = EncryptionService::new(Some(ring), environment.clone());
            let (prefix, registry) = (deployment.prefix.clone(), registry(1));
            let engine = Engine::new(cluster, registry, prefix, encryption, environment.clone());
            let begun = environment.clock().monotonic();
            let report = KeyRotation::new(&engine).max_rate(rate(max_rate)).rotate().await.expect("rotated");
            let took = (environment.clock().monotonic() - begun).as_secs_f64();
            recorder.assert_rate(max_rate);
            // The second pass only reads. The five relics and a vault have no secret.
            assert_eq!((report.passes, report.documents.rotated), (2, CONVERTED - 1), "{report:?}");
            let expected = seconds(CONVERTED - 1, max_rate);
            assert!((took - expected).abs() <= 0.5, "{took} s at {max_rate} a second, where {expected} s are expected");
        });
    }
}

pub(crate) fn a_copy_is_not_limited() {
    in_its_own_time(async {
        let deployment = seeded().await;
        let report = deployment.migrator(deployment.cluster(), registry(3)).max_rate(rate(1)).migrate().await;
        assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
        let index = |alias: &str| report.indices.iter().find(|index| index.alias.ends_with(alias)).expect("reported");
        assert!(index("vaults").documents.written > VAULTS as u64, "{report:?}");
        let limited = u128::from(index("connectors").documents.written) * 1000;
        assert!(u128::from(report.elapsed_ms) <= limited, "only the tokens are converted in place: {report:?}");
    });
}
