//! Reading, writing and finding objects, on the real server and in memory.

mod access;
mod changing;
mod counters;
mod exports;
mod find;
mod imports;
mod limits;
mod lost_answers;
mod machine;
mod many;
mod namespaces;
mod network;
mod permissions;
mod points_in_time;
mod references;
mod resolve;
mod search;
mod secrets;
mod sharing;
mod transfer;
mod typed;
mod types;
mod versions;
mod writes;

use std::sync::Arc;

use libtest_mimic::Trial;
use saved_objects::cluster::{AliasAction, CloneIndex, Cluster};
use saved_objects::document::Attributes;
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::repository::{Create, ObjectKey, Repository};
use saved_objects::{ErrorKind, Result, SavedObject, SavedObjects, Start};
use serde_json::Value;

use crate::context::{Context, key_ring};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    [
        writes::trials(url),
        secrets::trials(url),
        namespaces::trials(url),
        find::trials(url),
        search::trials(url),
        access::trials(url),
        transfer::trials(url),
        imports::trials(url),
        limits::trials(url),
        exports::trials(url),
        versions::trials(url),
        permissions::trials(url),
        typed::trials(url),
        counters::trials(url),
        resolve::trials(url),
        references::trials(url),
        sharing::trials(url),
        points_in_time::trials(url),
        network::trials(url),
        lost_answers::trials(url),
        many::trials(url),
        machine::trials(url),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Starts a store of these types, which creates their indices, and returns it with its cluster.
async fn store_of(context: &Context, types: Vec<TypeDefinition>, start: Start) -> (SavedObjects, Arc<dyn Cluster>) {
    let cluster = context.cluster();
    (store_on(context, cluster.clone(), types, start).await, cluster)
}

/// Starts a store of these types that uses this cluster.
async fn store_on(
    context: &Context,
    cluster: Arc<dyn Cluster>,
    types: Vec<TypeDefinition>,
    start: Start,
) -> SavedObjects {
    SavedObjects::builder(Registry::builder().with(types).build().expect("the types are fine"))
        .cluster(cluster)
        .prefix(context.prefix.clone())
        .key_ring(key_ring())
        .start(start)
        .await
        .expect("the store starts")
}

/// Returns a repository of all test types.
async fn repository(context: &Context) -> Repository {
    store_of(context, types::all(), Start::Migrate).await.0.repository().clone()
}

fn object(value: Value) -> Attributes {
    value.as_object().cloned().expect("an object")
}

fn note(id: &str, attributes: Value) -> Create {
    Create::new("note", object(attributes)).id(id)
}

fn key(type_name: &str, id: &str) -> ObjectKey {
    ObjectKey::new(type_name, id)
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("refused").kind()
}

/// Refreshes the indices.
async fn refresh(context: &Context) {
    context.cluster().refresh(&format!("{}-things", context.prefix)).await.expect("refreshed");
}

/// Returns the `_source` that the cluster has.
async fn stored(context: &Context, group: &str, raw_id: &str) -> Value {
    context.stored(group, raw_id).await
}

/// Writes a document past the library.
async fn put(context: &Context, group: &str, raw_id: &str, source: Value) {
    context.put(group, raw_id, &source).await;
}

/// Makes a copy of the first generation current, as a migration does.
async fn copy_things(context: &Context) {
    let (cluster, names) = (context.cluster(), context.prefix.group("things"));
    let (source, target) = (names.index(1), names.index(2));
    cluster.add_write_block(&source).await.expect("blocked");
    let clone = CloneIndex {
        source: source.clone(),
        target: target.clone(),
        aliases: vec![names.write_alias(2)],
        settings: Default::default(),
    };
    cluster.clone_index(&clone).await.expect("cloned");
    let alias = names.alias().to_owned();
    let swap = [
        AliasAction::Remove { index: source.clone(), alias: alias.clone() },
        AliasAction::Remove { index: source, alias: names.write_alias(1) },
        AliasAction::Add { index: target, alias },
    ];
    cluster.update_aliases(&swap).await.expect("swapped");
}

fn ids(objects: &[SavedObject]) -> Vec<&str> {
    objects.iter().map(|object| object.id.as_str()).collect()
}
