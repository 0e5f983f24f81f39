//! What a migration reports while it runs: to other machines, and in traces. In memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::cluster::Cluster;
use saved_objects::migrate::Outcome;
use tokio::sync::Notify;
use tracing_subscriber::fmt::format::FmtSpan;

use super::crash::Recorder;
use super::deployment::{Deployment, in_its_own_time, process};
use super::disturbed::{Call, Disturber, Fate};
use super::late::COPY;
use super::types::registry;
use crate::log::Log;

/// Holds a process before it closes a point in time in one state, until it is released.
#[derive(Debug)]
struct Gate {
    state: &'static str,
    open: Notify,
}

#[async_trait]
impl Disturber for Gate {
    async fn fate(&self, call: &Call) -> Fate {
        if (call.method, call.state) == ("close_point_in_time", self.state) {
            self.open.notified().await;
        }
        Fate::Done
    }
}

pub(crate) fn another_machine_sees_how_far_the_holder_is() {
    in_its_own_time(async {
        let deployment = Deployment::with_release_1().await;
        deployment.memory().refresh(deployment.prefix.group("vaults").alias()).await.expect("refreshed");
        let gate = Arc::new(Gate { state: "fill", open: Notify::new() });
        let migrating = process(&deployment, COPY, gate.clone());
        let elsewhere = deployment.migrator(deployment.cluster(), registry(3));
        let watching = async {
            let told = loop {
                let lease = elsewhere.status().await.expect("answered").lease;
                // The holder reports every two seconds.
                let told = lease.filter(|lease| lease.note.progress.as_ref().is_some_and(|told| told.written > 0));
                if let Some(told) = told.filter(|lease| lease.held) {
                    break told.note.progress.expect("it was there");
                }
                deployment.environment.clock().sleep(Duration::from_millis(500)).await;
            };
            gate.open.notify_one();
            told
        };
        let (report, told) = futures::future::join(migrating, watching).await;
        assert_eq!(report.expect("it is not killed").outcome, Outcome::Migrated);
        // Five vaults, and the documents of the removed type with them.
        assert_eq!(told.alias, deployment.prefix.group("vaults").alias());
        assert_eq!((told.outdated, told.read, told.written), (5, 10, 10));
    });
}

pub(crate) fn spans_say_what_is_migrated_and_how() {
    let log = Log::new();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_span_events(FmtSpan::NEW)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    {
        let _guard = tracing::subscriber::set_default(subscriber);
        in_its_own_time(async {
            let deployment = Deployment::with_release_1().await;
            process(&deployment, COPY, Arc::<Recorder>::default()).await.expect("it is not killed");
        });
    }
    let log = log.text();
    let expected = [
        r#"migrate{alias="deployment-connectors" way=InPlace}:step{state=Convert { pass: 1 }}"#,
        r#"migrate{alias="deployment-vaults" way=Copy}:step{state=BlockSource}"#,
        r#"migrate{alias="deployment-vaults" way=Copy}:step{state=Swap}"#,
        "migration step done",
    ];
    for part in expected {
        assert!(log.contains(part), "{part} is not in {log}");
    }
}
