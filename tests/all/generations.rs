//! Rolling back a copy, and dropping the generations that are kept for a rollback: on the real server and in memory.

use std::sync::Arc;

use libtest_mimic::Trial;
use saved_objects::cluster::{Cluster, InMemory};
use saved_objects::environment::Environment;
use saved_objects::migrate::{Migrator, Outcome, Way};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Create, ObjectKey};
use saved_objects::{SavedObjects, Start};
use serde_json::json;

use crate::context::Context;
use crate::migration::{notes_before_and_after, object};
use crate::{named_trials, trials_without_cluster};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let on_the_server = named_trials!(
        url,
        a_copy_is_rolled_back_and_made_again,
        a_generation_that_was_written_to_is_kept,
        a_rollback_that_stopped_is_ended,
        a_swap_of_a_copy_that_was_undone_fails,
        the_command_line_says_what_it_did,
    );
    let without_cluster = trials_without_cluster!(a_copy_is_rolled_back_and_made_again_in_memory,);
    on_the_server.into_iter().chain(without_cluster).collect()
}

/// A cluster, and the operations that a node of some version does on it.
struct Node {
    context: Context,
    cluster: Arc<dyn Cluster>,
}

impl Node {
    fn real(context: Context) -> Self {
        let cluster = context.cluster();
        Self { context, cluster }
    }

    fn memory(context: Context) -> Self {
        Self { context, cluster: Arc::new(InMemory::new(Environment::system())) }
    }

    fn migrator(&self, types: Vec<TypeDefinition>) -> Migrator {
        self.context.migrator_on(self.cluster.clone(), types)
    }

    async fn store(&self, types: Vec<TypeDefinition>) -> SavedObjects {
        let builder = self.context.builder(types).cluster(self.cluster.clone());
        builder.start(Start::Migrate).await.expect("the store starts")
    }

    /// Stores ten notes with the older software, and copies them with the newer one.
    async fn copied(&self) {
        let (before, after) = notes_before_and_after();
        let old = self.store(before).await;
        for number in 0..10 {
            let request = Create::new("note", object(json!({"title": "t"}))).id(format!("{number}"));
            old.repository().create(request).await.expect("created");
        }
        assert_eq!(self.migrator(after).migrate().await.outcome, Outcome::Migrated);
    }

    async fn indices(&self) -> Vec<String> {
        let names = self.context.prefix.group("notes");
        self.cluster.indices(&[&names.any()]).await.expect("answered").into_keys().collect()
    }
}

async fn a_copy_is_rolled_back_and_made_again(context: Context) {
    rolled_back_and_again(Node::real(context)).await;
}

async fn a_copy_is_rolled_back_and_made_again_in_memory(context: Context) {
    rolled_back_and_again(Node::memory(context)).await;
}

async fn rolled_back_and_again(node: Node) {
    let (before, after) = notes_before_and_after();
    let names = node.context.prefix.group("notes");
    let nothing = node.migrator(after.clone()).rollback().await;
    assert_eq!(nothing.outcome, Outcome::Blocked, "{nothing:?}");
    assert!(!nothing.blockers[0].hint.is_empty());
    node.copied().await;
    let status = node.migrator(after.clone()).status().await.expect("answered");
    let kept: Vec<_> = status.indices[0].kept.iter().map(|kept| (kept.index.clone(), kept.documents)).collect();
    assert_eq!(kept, [(names.index(1), Some(10))]);

    let back = node.migrator(after.clone()).rollback().await;
    assert_eq!((back.outcome, &back.indices[0].index), (Outcome::RolledBack, &names.index(1)), "{back:?}");
    let again = node.migrator(after.clone()).rollback().await;
    assert_eq!(again.outcome, Outcome::NothingToDo, "{again:?}");

    // The older software continues.
    let old = node.store(before.clone()).await;
    assert_eq!(old.start_report().expect("migrated").outcome, Outcome::NothingToDo);
    let key = ObjectKey::new("note", "3");
    let stale = old.repository().get(&key).await.expect("not lost").version;
    let request = Create::new("note", object(json!({"title": "late"}))).id("late");
    old.repository().create(request).await.expect("it takes writes again");

    // The newer software starts again: its copy gets a number that was never used.
    let report = node.migrator(after.clone()).migrate().await;
    assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::Copy), "{report:?}");
    assert_eq!(report.indices[0].index, names.index(3));
    let new = node.store(after.clone()).await;
    let found = new.repository().get(&ObjectKey::new("note", "late")).await.expect("what was written meanwhile");
    assert_eq!(found.attributes, object(json!({"title": "late", "stars": 0})));
    assert_ne!(new.repository().get(&key).await.expect("there").version, stale);

    let dropped = node.migrator(after.clone()).drop_old().await;
    assert_eq!((dropped.outcome, &dropped.dropped), (Outcome::Dropped, &vec![names.index(1), names.index(2)]));
    assert_eq!(node.indices().await, [names.index(3)]);
    assert_eq!(node.migrator(after.clone()).drop_old().await.outcome, Outcome::NothingToDo);
    let late = node.migrator(after.clone()).rollback().await;
    assert_eq!(late.outcome, Outcome::Blocked);
    assert!(late.blockers[0].what.contains("which is gone"), "{late:?}");
    assert_eq!(node.migrator(after).migrate().await.outcome, Outcome::NothingToDo);
}

async fn a_generation_that_was_written_to_is_kept(context: Context) {
    let node = Node::real(context);
    node.copied().await;
    let (_, after) = notes_before_and_after();
    let new = node.store(after.clone()).await;
    new.repository().delete(&ObjectKey::new("note", "3")).await.expect("deleted");
    let refused = node.migrator(after).rollback().await;
    assert_eq!(refused.outcome, Outcome::Blocked);
    assert!(refused.blockers[0].what.contains("was written to"), "{refused:?}");
    let request = Create::new("note", object(json!({"title": "on", "stars": 1}))).id("on");
    new.repository().create(request).await.expect("it takes writes as before");
}

async fn a_rollback_that_stopped_is_ended(context: Context) {
    let node = Node::real(context.clone());
    node.copied().await;
    let (_, after) = notes_before_and_after();
    // The copy stops before the swap, and cannot be undone: no alias can be changed once the gate is closed.
    let proxy = crate::proxy::Proxy::start(&context.url, |seen, before| {
        match seen.path.starts_with("/_aliases") && before > 0 {
            true => crate::proxy::Fault::Status(400),
            false => crate::proxy::Fault::None,
        }
    })
    .await;
    let stopped = Context { url: proxy.url().to_owned(), ..context.clone() }.migrator(after.clone()).rollback().await;
    assert_eq!(stopped.outcome, Outcome::Failed);
    let index = context.prefix.group("notes").index(2);
    let is_blocked = async || node.cluster.indices(&[&index]).await.expect("answered")[&index].write_blocked;
    assert!(is_blocked().await);
    // A start opens the gate again, and reports that it did something.
    assert_eq!(node.migrator(after.clone()).migrate().await.outcome, Outcome::Migrated);
    assert_eq!(node.migrator(after.clone()).migrate().await.outcome, Outcome::NothingToDo);
    assert!(!is_blocked().await);
    let aliases = node.cluster.indices(&[&index]).await.expect("answered")[&index].aliases.clone();
    let names = context.prefix.group("notes");
    assert_eq!(aliases.keys().collect::<Vec<_>>(), [names.alias(), &names.write_alias(2)]);
    assert_eq!(node.migrator(after.clone()).rollback().await.outcome, Outcome::RolledBack);
}

async fn a_swap_of_a_copy_that_was_undone_fails(context: Context) {
    let (before, after) = notes_before_and_after();
    let node = Node::real(context.clone());
    let old = node.store(before.clone()).await;
    let create = |id: &str| Create::new("note", object(json!({"title": "t"}))).id(id);
    old.repository().create(create("1")).await.expect("created");
    // Just before the swap another process undoes the copy, and a user writes.
    let (url, names) = (context.url.clone(), context.prefix.group("notes"));
    let repository = old.repository().clone();
    let handle = tokio::runtime::Handle::current();
    let proxy = crate::proxy::Proxy::start(&context.url, move |seen, before| {
        // The first request of this kind closes the gate of the source.
        if seen.path.starts_with("/_aliases") && before == 1 {
            let (url, names, repository, handle) = (url.clone(), names.clone(), repository.clone(), handle.clone());
            let undone = async move {
                let request = async |method, path: &str, body| {
                    crate::server::send(&url, crate::server::Request { method, path, body }).await
                };
                let index = names.index(1);
                let found = request("GET", &format!("/{index}"), None).await;
                let aliases = found[&index]["aliases"].as_object().expect("aliases");
                let mark = aliases.keys().find(|alias| alias.contains("-copying-")).expect("a mark");
                let open = json!({"actions": [
                    {"remove": {"index": index, "alias": mark, "must_exist": true}},
                    {"add": {"index": index, "alias": names.write_alias(1), "is_hidden": true}},
                ]});
                request("POST", "/_aliases", Some(open)).await;
                let lift = json!({"index.blocks.write": null});
                request("PUT", &format!("/{}/_settings", names.index(1)), Some(lift)).await;
                let request = Create::new("note", object(json!({"title": "t"}))).id("2");
                repository.create(request).await.expect("the source takes writes");
            };
            // This must not block a worker thread: all other tasks may wait for it to poll the network.
            tokio::task::block_in_place(|| handle.block_on(undone));
        }
        crate::proxy::Fault::None
    })
    .await;
    let through = Context { url: proxy.url().to_owned(), ..context.clone() };
    let report = through.migrator(after.clone()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    let new = node.store(after).await;
    new.repository().get(&ObjectKey::new("note", "2")).await.expect("the swap failed, and the copy was made again");
}

async fn the_command_line_says_what_it_did(context: Context) {
    let ran = crate::cli::run(&context, &["migrate", "--rollback", "--json"]).await;
    assert_eq!((ran.code, &ran.json()["outcome"]), (2, &json!("blocked")), "{ran:?}");
    let ran = crate::cli::run(&context, &["migrate", "--drop-old", "--yes", "--json"]).await;
    assert_eq!((ran.code, &ran.json()["outcome"]), (0, &json!("nothing_to_do")), "{ran:?}");
    let ran = crate::cli::run(&context, &["migrate", "--drop-old", "--rollback"]).await;
    assert_eq!(ran.code, 64);
}
