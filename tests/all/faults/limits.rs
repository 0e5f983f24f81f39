//! What a server with lowered limits refuses: requests above its limit, and the deletion of an index that is in a
//! running snapshot.

use std::io::Cursor;

use saved_objects::cluster::{
    AliasAction, BulkAction, BulkOperation, BulkRequest, CloneIndex, ClusterErrorKind, CreateIndex, IndexPurpose,
    Refresh,
};
use saved_objects::migrate::{Outcome, Way};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Create, Export, Find, Import, ObjectKey, OnConflict};
use saved_objects::{Error, ErrorKind};
use serde_json::json;

use super::processes::single_node;
use super::seed::Dice;
use crate::context::Context;
use crate::migration::{note, object, version};

/// Together fifteen times the size that the server accepts in one request, which is 1 MB.
const DOCUMENTS: u64 = 50;
const BYTES: usize = 300_000;

/// Returns notes with a long text that is not mapped. The second release changes documents, the third also the mapping.
pub(super) fn notes(release: usize) -> Vec<TypeDefinition> {
    let sets = json!({"encrypted": [], "bound": []});
    let properties = json!({"title": {"type": "string"}, "text": {"type": "string"}, "stars": {"type": "integer"}});
    let first = version(properties.clone(), sets.clone());
    let mut second = version(properties.clone(), sets.clone());
    second["changes"] = json!([{"type": "data_backfill", "defaults": {"stars": 0}}]);
    let mut third = version(properties, sets);
    third["changes"] = json!([{"type": "mappings_change", "attributes": ["title"]}]);
    let kind = if release == 3 { "text" } else { "keyword" };
    let mapping = json!({"dynamic": false, "properties": {"title": {"type": kind}}});
    note(first, mapping, &[second, third][..release - 1])
}

fn large(number: u64) -> Create {
    let id = number.to_string();
    Create::new("note", object(json!({"title": &id, "text": "x".repeat(BYTES)}))).id(id)
}

pub(super) async fn large_documents_go_through_small_requests(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    let store = context.store(notes(1)).await;
    let created = store.repository().create_many((0..DOCUMENTS).map(large)).await;
    assert_eq!(created.len() as u64, DOCUMENTS);
    for answer in created {
        answer.expect("created");
    }
    let report = context.migrator(notes(2)).migrate().await;
    assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::InPlace), "{report:?}");
    assert_eq!(report.indices[0].documents.written, DOCUMENTS, "{report:?}");
    let report = context.migrator(notes(3)).migrate().await;
    assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::Copy), "{report:?}");
    assert_eq!(report.indices[0].documents.written, DOCUMENTS, "{report:?}");

    let store = context.store(notes(3)).await;
    let repository = store.repository();
    let mut file = Vec::new();
    let summary = repository.export(Export::found(["note"], Find::new()), &mut file).await.expect("exported");
    assert_eq!(summary.exported_count, DOCUMENTS);
    let import = Import::new().on_conflict(OnConflict::Overwrite);
    let imported = repository.import(import, Cursor::new(file)).await.expect("imported");
    assert_eq!((imported.success, imported.success_count), (true, DOCUMENTS), "{:?}", imported.errors);

    let keys: Vec<ObjectKey> = (0..DOCUMENTS).map(|number| ObjectKey::new("note", number.to_string())).collect();
    let found = repository.get_many(&keys).await;
    assert!(
        found.iter().all(|object| object.as_ref().is_ok_and(|object| object.attributes["text"] == "x".repeat(BYTES)))
    );
    context.cluster().refresh(context.prefix.group("notes").alias()).await.expect("refreshed");
    let page = repository.find(&["note"], Find::new().per_page(50)).await.expect("found");
    assert_eq!((page.objects.len() as u64, page.total), (DOCUMENTS, DOCUMENTS));
}

pub(super) async fn an_index_outlives_the_snapshot_that_is_made_of_it(context: Context) {
    let (_turn, _, context) = single_node(&context).await;
    let cluster = context.cluster();
    let (index, clone) = (format!("{}-index", context.prefix), format!("{}-clone", context.prefix));
    let alias = format!("{index}-write");
    let mapping = json!({"dynamic": false, "properties": {"n": {"type": "long"}}});
    let request = CreateIndex {
        name: index.clone(),
        mapping,
        aliases: vec![alias.clone()],
        purpose: IndexPurpose::Serving,
        settings: Default::default(),
    };
    cluster.create_index(&request).await.expect("created");
    // Data that cannot be compressed, so that its snapshot takes minutes.
    let dice = Dice::new(1);
    let operations: Vec<BulkOperation> = (0..4)
        .map(|number| {
            let text: String = (0..40_000).map(|_| format!("{:08x}", dice.below(1 << 32))).collect();
            let source = json!({ "text": text }).to_string().into();
            BulkOperation { id: format!("{number}"), action: BulkAction::Create { source } }
        })
        .collect();
    let bulk = BulkRequest { alias: &alias, operations: &operations, refresh: Refresh::Later };
    assert!(cluster.bulk(&bulk).await.expect("answered").iter().all(Result::is_ok));
    let repository = format!("/_snapshot/{}", context.prefix);
    let slow = json!({"type": "fs", "settings": {
        "location": context.prefix.to_string(), "compress": false, "max_snapshot_bytes_per_sec": "10kb"}});
    context.raw("PUT", &repository, Some(slow)).await;
    let snapshot = format!("{repository}/one");
    context.raw("PUT", &snapshot, Some(json!({ "indices": index }))).await;
    // The snapshot is in the cluster's state before its request is accepted.
    let status = context.raw("GET", &format!("{snapshot}/_status"), None).await;
    assert_eq!(status["snapshots"][0]["state"], "STARTED", "{status}");

    let removal = [AliasAction::RemoveIndex { index: index.clone() }];
    for (what, error) in [
        ("DELETE", cluster.delete_index(&index).await.expect_err("refused")),
        ("_aliases", cluster.update_aliases(&removal).await.expect_err("refused")),
    ] {
        assert_eq!(
            (error.kind, error.status, error.attempts),
            (ClusterErrorKind::SnapshotInProgress, Some(400), 1),
            "{what}"
        );
        let error = Error::from(error);
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("GET _snapshot/_status"), "{error}");
    }
    let closed = context.raw("POST", &format!("/{index}/_close"), None).await;
    assert_eq!(closed["error"]["type"], "snapshot_in_progress_exception", "{closed}");
    // Everything else works as usual.
    cluster.put_mapping(&index, &json!({"properties": {"m": {"type": "long"}}})).await.expect("mapped");
    cluster.add_write_block(&index).await.expect("blocked");
    let copy =
        CloneIndex { source: index.clone(), target: clone.clone(), aliases: Vec::new(), settings: Default::default() };
    cluster.clone_index(&copy).await.expect("cloned");
    cluster.remove_write_block(&index).await.expect("unblocked");
    let action = BulkAction::Create { source: r#"{"n":1}"#.into() };
    let operations = [BulkOperation { id: "new".to_owned(), action }];
    let bulk = BulkRequest { alias: &alias, operations: &operations, refresh: Refresh::Later };
    cluster.bulk(&bulk).await.expect("answered").remove(0).expect("written");

    let status = context.raw("GET", &format!("{snapshot}/_status"), None).await;
    assert_eq!(status["snapshots"][0]["state"], "STARTED", "the snapshot was under way all the time: {status}");
    context.raw("DELETE", &snapshot, None).await;
    cluster.delete_index(&index).await.expect("deleted");
    cluster.delete_index(&clone).await.expect("deleted");
    context.raw("DELETE", &repository, None).await;
}
