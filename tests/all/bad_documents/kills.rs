//! A good note and a bad one, and processes that are killed or overtaken while they quarantine or restore the bad one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use saved_objects::cluster::Cluster;
use saved_objects::document::Attributes;
use saved_objects::migrate::{Migrator, OnBad, Outcome, Way};
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::repository::{Create, Repository};
use serde_json::{Value, json};

use crate::context::{Context, MEMORY, key_ring};
use crate::faults::disturbed::{Call, Disturbed, Disturber, Fate as Kill};
use crate::migration::{note, object, version};

pub(super) const BAD: &str = "note:bad";

/// Returns notes of two releases. The second release migrates in place or by a copy; it wraps the attribute `free` of a
/// note.
pub(super) fn notes(way: Way) -> (Vec<TypeDefinition>, Vec<TypeDefinition>) {
    let sets = || json!({"encrypted": [], "bound": []});
    let (text, free) = (json!({"type": "string"}), json!({}));
    let first = version(json!({"title": text, "free": free}), sets());
    let mut second = version(json!({"title": text, "free": free, "stars": {"type": "integer"}}), sets());
    second["changes"] = json!([{"type": "transform", "name": "wrap"}]);
    if way == Way::Copy {
        second["changes"]
            .as_array_mut()
            .expect("a list")
            .push(json!({"type": "mappings_change", "attributes": ["title"]}));
    }
    let mapping = |kind: &str| json!({"dynamic": false, "properties": {"title": {"type": kind}}});
    let title = if way == Way::Copy { "text" } else { "keyword" };
    (note(first.clone(), mapping("keyword"), &[]), note(first, mapping(title), &[second]))
}

pub(super) fn migrator(context: &Context, cluster: Arc<dyn Cluster>, types: Vec<TypeDefinition>) -> Migrator {
    let wrap = |attributes: &mut Attributes| {
        if let Some(free) = attributes.remove("free") {
            attributes.insert("free".to_owned(), json!([[free]]));
        }
        Ok(())
    };
    let registry = Registry::builder().with(types).transform("wrap", wrap).build().expect("the types are fine");
    Migrator::new(&context.engine_on(cluster, registry, key_ring())).without_lease()
}

/// Stores one good note and one bad note.
pub(super) async fn seed_notes(context: &Context, types: Vec<TypeDefinition>) -> Repository {
    let repository = context.store(types).await.repository().clone();
    repository.create(Create::new("note", object(json!({"title": "a"}))).id("1")).await.expect("created");
    context.put("notes", BAD, &json!({"type": "note", "typeMigrationVersion": "10.1.0"})).await;
    repository
}

pub(super) async fn note_is_stored(context: &Context, id: &str) -> bool {
    context.stored("notes", id).await != Value::Null
}

/// Gives one request of a process a fate.
#[derive(Debug)]
struct Nth(usize, Kill);

#[async_trait]
impl Disturber for Nth {
    async fn fate(&self, call: &Call) -> Kill {
        if call.number == self.0 { self.1 } else { Kill::Done }
    }
}

const KILLS: [Kill; 2] = [Kill::Unsent, Kill::Unheard];

/// Kills a process at each of its requests, and the last time at none. `work` is what the process does, and `after`
/// runs afterwards.
pub(super) async fn killed_at_each<W, A>(
    work: impl Fn(Context, Arc<dyn Cluster>) -> W,
    after: impl Fn(Context) -> A,
    way: Way,
    quarantined: bool,
) where
    W: Future<Output = ()>,
    A: Future<Output = ()>,
{
    for kill in KILLS {
        for number in 0.. {
            let context = Context::new(MEMORY, "killed");
            let (before, newer) = notes(way);
            seed_notes(&context, before).await;
            if quarantined {
                let report = migrator(&context, context.cluster(), newer).on_bad(OnBad::Quarantine).migrate().await;
                assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
            }
            let cluster = Arc::new(Disturbed::new(context.cluster(), Arc::new(Nth(number, kill))));
            let is_killed = tokio::select! {
                biased;
                () = cluster.killed() => true,
                () = work(context.clone(), cluster.clone()) => false,
            };
            after(context).await;
            if !is_killed {
                assert!(number > 5, "only {number} requests");
                break;
            }
        }
    }
}

/// Lets another process do all of its work before one request of this process.
#[derive(Debug)]
pub(super) struct Overtaken {
    pub(super) context: Context,
    pub(super) number: usize,
    pub(super) met: AtomicBool,
}

#[async_trait]
impl Disturber for Overtaken {
    async fn fate(&self, call: &Call) -> Kill {
        if call.number == self.number {
            self.met.store(true, Ordering::Relaxed);
            let types = notes(Way::InPlace).1;
            let other =
                migrator(&self.context, self.context.cluster(), types).on_bad(OnBad::Quarantine).migrate().await;
            assert!(matches!(other.outcome, Outcome::Migrated | Outcome::NothingToDo), "{other:?}");
        }
        Kill::Done
    }
}
