//! Copies during a snapshot that takes as long as the test needs, and what a restore brings back. On a server that may
//! write snapshots and whose settings a test may change.

use std::sync::Arc;

use saved_objects::SavedObjects;
use saved_objects::cluster::IndexState;
use saved_objects::migrate::{Outcome, Way};
use saved_objects::repository::{Create, ObjectKey};
use serde_json::{Value, json};

use super::limits::notes;
use super::processes::single_node;
use super::seed::Dice;
use crate::context::Context;
use crate::migration::object;
use crate::ownership;
use crate::proxy::{Fault, Proxy};

/// A snapshot that a test controls.
struct Slow {
    context: Context,
    repository: String,
}

impl Slow {
    /// Creates the snapshot's repository, which writes ten kilobytes a second.
    async fn ready(context: &Context) -> Self {
        let repository = format!("/_snapshot/{}", context.prefix);
        let slow = json!({"type": "fs", "settings": {
            "location": context.prefix.to_string(), "compress": false, "max_snapshot_bytes_per_sec": "10kb"}});
        let made = context.raw("PUT", &repository, Some(slow)).await;
        assert_eq!(made["acknowledged"], true, "{made}");
        Self { context: context.clone(), repository }
    }

    fn path(&self) -> String {
        format!("{}/one", self.repository)
    }

    /// Starts a snapshot of all indices of the store.
    async fn begin(&self) {
        let body = json!({"indices": format!("{}-*", self.context.prefix), "include_global_state": false});
        self.context.raw("PUT", &self.path(), Some(body)).await;
        // The snapshot is in the cluster's state before its request is accepted.
        self.indices_under_way().await;
    }

    /// Returns the indices in the running snapshot.
    async fn indices_under_way(&self) -> Vec<String> {
        let status = self.context.raw("GET", &format!("{}/_status", self.path()), None).await;
        assert_eq!(status["snapshots"][0]["state"], "STARTED", "the snapshot is under way: {status}");
        status["snapshots"][0]["indices"].as_object().expect("indices").keys().cloned().collect()
    }

    /// Ends the snapshot.
    async fn end(&self) {
        self.context.raw("DELETE", &self.path(), None).await;
        self.context.raw("DELETE", &self.repository, None).await;
    }
}

/// Stores notes that cannot be compressed, so that their snapshot takes minutes.
async fn written(context: &Context) -> SavedObjects {
    let store = context.store(notes(1)).await;
    let dice = Dice::new(1);
    for number in 0..4 {
        let text: String = (0..30_000).map(|_| format!("{:08x}", dice.below(1 << 32))).collect();
        let create = Create::new("note", object(json!({"title": "t", "text": text}))).id(format!("{number}"));
        store.repository().create(create).await.expect("created");
    }
    store
}

async fn create(store: &SavedObjects, id: &str) {
    let create = Create::new("note", object(json!({"title": "t"}))).id(id);
    store.repository().create(create).await.expect("it takes writes");
}

fn part(context: &Context, name: &str) -> Context {
    Context { prefix: format!("{}-{name}", context.prefix).parse().expect("a prefix"), ..context.clone() }
}

/// Returns the names of the staging indices of the notes.
async fn fills(context: &Context) -> Vec<String> {
    let names = context.prefix.group("notes");
    let found = context.cluster().indices(&[&names.any()]).await.expect("answered");
    found.into_keys().filter(|name| names.is_fill(name)).collect()
}

async fn source(context: &Context) -> IndexState {
    let index = context.index("notes");
    context.cluster().indices(&[&index]).await.expect("answered").remove(&index).expect("it is there")
}

/// Starts a proxy that runs `act` before the first matching request.
async fn before<F: Future<Output = ()> + Send>(
    url: &str,
    is_meant: impl Fn(&str, usize) -> bool + Send + Sync + 'static,
    act: impl Fn() -> F + Send + Sync + 'static,
) -> Proxy {
    let handle = tokio::runtime::Handle::current();
    Proxy::start(url, move |seen, before| {
        if is_meant(&seen.path, before) {
            // This must not block a worker thread: all other tasks may wait for it to poll the network.
            tokio::task::block_in_place(|| handle.block_on(act()));
        }
        Fault::None
    })
    .await
}

pub(super) async fn a_copy_goes_on_while_a_snapshot_is_made(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    for moment in ["start", "clone", "swap"] {
        let context = part(&context, moment);
        let names = context.prefix.group("notes");
        written(&context).await;
        let slow = Arc::new(Slow::ready(&context).await);
        if moment == "start" {
            slow.begin().await;
        }
        let is_meant = move |path: &str, before: usize| match moment {
            "clone" => path.contains("/_clone/") && before == 0,
            // The first request of its kind closes the gate.
            "swap" => path.starts_with("/_aliases") && before == 1,
            _ => false,
        };
        let begun = slow.clone();
        let proxy = before(&context.url, is_meant, move || {
            let slow = begun.clone();
            async move { slow.begin().await }
        })
        .await;
        let through = Context { url: proxy.url().to_owned(), ..context.clone() };
        let report = through.migrator(notes(3)).migrate().await;
        assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::Copy), "{moment}: {report:?}");
        let under_way = slow.indices_under_way().await;
        assert!(under_way.contains(&names.index(1)), "{moment}: {under_way:?}");
        assert_eq!(under_way.contains(&names.index(2)), moment == "swap", "{under_way:?}");
        // Users continue, and what the snapshot protects is deleted later.
        let store = context.store(notes(3)).await;
        create(&store, "new").await;
        let left = fills(&context).await;
        assert_eq!(left.len(), usize::from(moment != "start"), "{moment}: {left:?}");
        assert!(left.iter().all(|fill| under_way.contains(fill)), "{left:?} of {under_way:?}");
        assert_eq!(context.migrator(notes(3)).migrate().await.outcome, Outcome::NothingToDo, "{moment}");
        slow.end().await;
        let expected = if left.is_empty() { Outcome::NothingToDo } else { Outcome::Migrated };
        assert_eq!(context.migrator(notes(3)).migrate().await.outcome, expected, "{moment}: what was left is deleted");
        assert_eq!(fills(&context).await, Vec::<String>::new(), "{moment}");
        for id in ["0", "3", "new"] {
            store.repository().get(&ObjectKey::new("note", id)).await.expect("not lost");
        }
    }
}

/// Sets the cluster's shard limit to the number of shards that it has.
async fn fill_up(context: &Context) {
    let health = context.raw("GET", "/_cluster/health", None).await;
    let count = |name: &str| health[name].as_u64().expect("a count");
    let used = count("active_shards") + count("initializing_shards") + count("unassigned_shards");
    limit_shards(context, json!(used)).await;
}

async fn limit_shards(context: &Context, limit: Value) {
    let body = json!({"persistent": {"cluster.max_shards_per_node": limit}});
    let set = context.raw("PUT", "/_cluster/settings", Some(body)).await;
    assert_eq!(set["acknowledged"], true, "{set}");
}

/// The cluster reaches its shard limit between the filling of the staging index and the clone, and a snapshot may
/// protect the staging index from deletion.
pub(super) async fn a_refused_clone_is_undone(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    for with_snapshot in [false, true] {
        let context = part(&context, if with_snapshot { "kept" } else { "alone" });
        let old = written(&context).await;
        let slow = Arc::new(Slow::ready(&context).await);
        let (inner, begun) = (context.clone(), slow.clone());
        let proxy = before(
            &context.url,
            |path, before| path.contains("/_clone/") && before == 0,
            move || {
                let (context, slow) = (inner.clone(), begun.clone());
                async move {
                    let status = context.migrator(notes(1)).status().await.expect("answered");
                    let closed = status.indices[0].closed.as_ref().expect("an older release says that it is closed");
                    assert!(!closed.hint.is_empty(), "{closed:?}");
                    fill_up(&context).await;
                    if with_snapshot {
                        slow.begin().await;
                    }
                }
            },
        )
        .await;
        let through = Context { url: proxy.url().to_owned(), ..context.clone() };
        let report = through.migrator(notes(3)).migrate().await;
        assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
        let error = report.error.expect("it failed");
        assert!(error.message.contains("shards") && error.hint.contains("shards"), "{error:?}");
        // Immediately, without another start.
        create(&old, "new").await;
        if with_snapshot {
            let under_way = slow.indices_under_way().await;
            let left = fills(&context).await;
            assert!(left.len() == 1 && under_way.contains(&left[0]), "{left:?} of {under_way:?}");
            assert!(!source(&context).await.write_blocked);
        } else {
            ownership::assert_as_before(&context).await;
        }
        let status = context.migrator(notes(1)).status().await.expect("answered");
        assert!(status.indices[0].closed.is_none() && status.blockers.is_empty(), "{status:?}");
        assert_eq!(context.migrator(notes(1)).migrate().await.outcome, Outcome::NothingToDo);
        create(&context.store(notes(1)).await, "newer").await;
        if with_snapshot {
            slow.indices_under_way().await;
        }
        limit_shards(&context, Value::Null).await;
        slow.end().await;
        let report = context.migrator(notes(3)).migrate().await;
        assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::Copy), "{report:?}");
        assert_eq!(fills(&context).await, Vec::<String>::new());
        let store = context.store(notes(3)).await;
        for id in ["0", "3", "new", "newer"] {
            store.repository().get(&ObjectKey::new("note", id)).await.expect("not lost");
        }
    }
}

pub(super) async fn a_restored_generation_loses_nothing_on_the_server(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    ownership::a_restored_generation_loses_nothing(context).await;
}

pub(super) async fn a_number_is_not_given_again_on_the_server(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    ownership::a_number_is_not_given_again_after_a_restore(context).await;
}
