//! What a migration tells while it runs: to other machines, and to whoever traces it. In memory.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::cluster::Cluster;
use saved_objects::migrate::Outcome;
use tokio::sync::Notify;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::FmtSpan;

use super::crash::Recorder;
use super::disturbed::{Call, Disturber, Fate};
use super::late::COPY;
use super::room::{Room, in_its_own_time, process};
use super::types::registry;

/// Stops a process where it would close a point in time, in one state, until it is let go.
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
        let room = Room::with_release_1().await;
        room.memory().refresh(room.prefix.group("vaults").alias()).await.expect("refreshed");
        let gate = Arc::new(Gate { state: "fill", open: Notify::new() });
        let migrating = process(&room, COPY, gate.clone());
        let elsewhere = room.migrator(room.cluster(), registry(3));
        let watching = async {
            let told = loop {
                let lease = elsewhere.status().await.expect("answered").lease;
                // The holder tells every two seconds.
                let told = lease.filter(|lease| lease.note.progress.as_ref().is_some_and(|told| told.written > 0));
                if let Some(told) = told.filter(|lease| lease.held) {
                    break told.note.progress.expect("it was there");
                }
                room.environment.clock().sleep(Duration::from_millis(500)).await;
            };
            gate.open.notify_one();
            told
        };
        let (report, told) = futures::future::join(migrating, watching).await;
        assert_eq!(report.expect("nobody kills it").outcome, Outcome::Migrated);
        // Five vaults, and with them what nobody knows any more.
        assert_eq!(told.alias, room.prefix.group("vaults").alias());
        assert_eq!((told.outdated, told.read, told.written), (5, 10, 10));
    });
}

/// What was traced.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

pub(crate) fn spans_say_what_is_migrated_and_how() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_span_events(FmtSpan::NEW)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    // With a single one, what other threads come across first would count as switched off.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    {
        let _guard = tracing::subscriber::set_default(subscriber);
        in_its_own_time(async {
            let room = Room::with_release_1().await;
            process(&room, COPY, Arc::<Recorder>::default()).await.expect("nobody kills it");
        });
    }
    let log = String::from_utf8(log.0.lock().expect("not poisoned").clone()).expect("UTF-8");
    let expected = [
        r#"migrate{alias="room-connectors" way=InPlace}:step{state=Convert { pass: 1 }}"#,
        r#"migrate{alias="room-vaults" way=Copy}:step{state=BlockSource}"#,
        r#"migrate{alias="room-vaults" way=Copy}:step{state=Swap}"#,
        "migration step done",
    ];
    for part in expected {
        assert!(log.contains(part), "{part} is not in {log}");
    }
}
