//! Starts that fail: the error reports what they did, the builder has options for policies, and a transform that panics
//! does not end the process.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::document::Attributes;
use saved_objects::migrate::{Fate, OnBad, Outcome};
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::repository::{Create, Draft, Export, Find, Import, ObjectKey};
use saved_objects::verify::Verifier;
use saved_objects::{ErrorKind, FailedStart, SavedObjects, SavedObjectsBuilder, Start};
use serde_json::json;

use crate::context::{Context, key_ring};
use crate::faults::disturbed::{Call, Disturbed, Disturber, Fate as Disturbance};
use crate::migration::{note, object, version};
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_failed_start_has_its_report,
        a_blocked_start_has_its_report,
        a_missing_transform_blocks_only_while_a_document_needs_it,
        a_document_that_needs_a_missing_transform_is_never_bad,
        a_start_puts_bad_documents_aside,
        a_panicking_transform_is_named_with_its_document,
        a_document_that_a_transform_panics_at_is_told_by_every_reader,
    )
}

/// Returns notes whose second release transforms them: the transform panics at notes with the title `odd`.
pub(crate) fn notes(release: usize) -> Vec<TypeDefinition> {
    let sets = json!({"encrypted": [], "bound": []});
    let properties = json!({"title": {"type": "string"}});
    let first = version(properties.clone(), sets.clone());
    let mut second = version(properties, sets);
    second["changes"] = json!([{"type": "transform", "name": "shout"}]);
    note(first, json!({"dynamic": false, "properties": {}}), &[second][..release - 1])
}

pub(crate) fn shout(attributes: &mut Attributes) -> Result<(), String> {
    let title = attributes.get("title").and_then(|title| title.as_str()).unwrap_or_default().to_owned();
    assert_ne!(title, "odd", "a transform that does not know its documents");
    attributes.insert("title".to_owned(), json!(title.to_uppercase()));
    Ok(())
}

fn registry(release: usize) -> Registry {
    Registry::builder().with(notes(release)).transform("shout", shout).build().expect("valid")
}

fn builder(context: &Context, release: usize) -> SavedObjectsBuilder {
    let builder = SavedObjects::builder(registry(release)).prefix(context.prefix.clone()).key_ring(key_ring());
    builder.cluster(context.cluster())
}

async fn seed(context: &Context, titles: &[&str]) {
    let store = context.store(notes(1)).await;
    for title in titles {
        let create = Create::new("note", object(json!({"title": title}))).id(*title);
        store.repository().create(create).await.expect("created");
    }
    context.cluster().refresh(&context.index("notes")).await.expect("refreshed");
}

async fn a_failed_start_has_its_report(context: Context) {
    seed(&context, &["even", "odd"]).await;
    let error = builder(&context, 2).start(Start::Migrate).await.expect_err("a document is bad");
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    let report = error.find_source::<FailedStart>().expect("the report").report();
    assert_eq!((report.outcome, report.bad_total, report.indices[0].documents.written), (Outcome::Failed, 1, 1));
    assert_eq!((report.bad[0].id.as_str(), report.bad[0].fate), ("note:odd", Fate::Kept), "{report:?}");
}

async fn a_blocked_start_has_its_report(context: Context) {
    seed(&context, &["even"]).await;
    let without = Registry::builder().with(notes(2)).build().expect("valid");
    let builder = SavedObjects::builder(without).prefix(context.prefix.clone()).cluster(context.cluster());
    let error = builder.start(Start::Migrate).await.expect_err("the transform is missing");
    let report = error.find_source::<FailedStart>().expect("the report").report();
    assert_eq!((report.outcome, report.blockers.len()), (Outcome::Blocked, 1), "{report:?}");
}

async fn a_missing_transform_blocks_only_while_a_document_needs_it(context: Context) {
    let without = || {
        let registry = Registry::builder().with(notes(2)).build().expect("valid");
        SavedObjects::builder(registry).prefix(context.prefix.clone()).cluster(context.cluster())
    };
    seed(&context, &["even"]).await;
    let error = without().start(Start::Migrate).await.expect_err("a document needs the transform");
    let report = error.find_source::<FailedStart>().expect("the report").report();
    assert!(report.blockers[0].what.contains("a stored document needs the transform `shout`"), "{report:?}");
    builder(&context, 2).start(Start::Migrate).await.expect("migrated");
    let store = without().start(Start::Migrate).await.expect("no document needs the transform any more");
    let read = store.repository().get(&ObjectKey::new("note", "even")).await.expect("read");
    assert_eq!(read.attributes["title"], "EVEN");
    let create = Create::new("note", object(json!({"title": "new"}))).id("new");
    store.repository().create(create).await.expect("created at the version that the transform leads to");
}

/// Lets a node of the release before write a document when a migration has planned and writes the mapping.
#[derive(Debug)]
struct LateWriter {
    context: Context,
    has_written: AtomicBool,
}

#[async_trait]
impl Disturber for LateWriter {
    async fn fate(&self, call: &Call) -> Disturbance {
        if call.method == "put_mapping" && !self.has_written.swap(true, Ordering::SeqCst) {
            let source = json!({"type": "note", "note": {"title": "late"}, "typeMigrationVersion": "10.1.0"});
            self.context.put("notes", "note:late", &source).await;
        }
        Disturbance::Done
    }
}

async fn a_document_that_needs_a_missing_transform_is_never_bad(context: Context) {
    seed(&context, &[]).await;
    let writer = Arc::new(LateWriter { context: context.clone(), has_written: AtomicBool::new(false) });
    let cluster = Arc::new(Disturbed::new(context.cluster(), writer.clone()));
    let registry = Registry::builder().with(notes(2)).build().expect("valid");
    let builder = SavedObjects::builder(registry).prefix(context.prefix.clone()).cluster(cluster);
    let error = builder.on_bad(OnBad::Discard).start(Start::Migrate).await.expect_err("it cannot be converted");
    assert!(writer.has_written.load(Ordering::SeqCst));
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
    assert!(error.message().contains("note:late") && error.message().contains("`shout`"), "{error}");
    assert_eq!(context.documents("notes").await, 1, "it is not discarded");
    self::builder(&context, 2).start(Start::Migrate).await.expect("migrated by software that has it");
    assert_eq!(context.stored("notes", "note:late").await["note"]["title"], "LATE");
}

async fn a_start_puts_bad_documents_aside(context: Context) {
    seed(&context, &["even", "odd"]).await;
    let store = builder(&context, 2).on_bad(OnBad::Quarantine).start(Start::Migrate).await.expect("started");
    let report = store.start_report().expect("it migrated");
    assert_eq!((report.bad_total, report.bad[0].fate), (1, Fate::Quarantined), "{report:?}");
    assert_eq!(context.documents("notes").await, 1);
}

async fn a_panicking_transform_is_named_with_its_document(context: Context) {
    seed(&context, &["even", "odd", "other"]).await;
    let error = builder(&context, 2).start(Start::Migrate).await.expect_err("a document is bad");
    let report = error.find_source::<FailedStart>().expect("the report").report();
    assert_eq!((report.bad_total, report.indices[0].documents.written), (1, 2), "the others are done: {report:?}");
    let bad = &report.bad[0];
    assert_eq!((bad.id.as_str(), bad.type_name.as_deref()), ("note:odd", Some("note")));
    assert_eq!(bad.reason, "the transform `shout` of model version 2 panicked");
}

async fn a_document_that_a_transform_panics_at_is_told_by_every_reader(context: Context) {
    seed(&context, &["even", "odd"]).await;
    let store = builder(&context, 2).start(Start::Skip).await.expect("it asks nothing");
    let repository = store.repository();
    let key = ObjectKey::new("note", "odd");
    let read = repository.get(&key).await.expect_err("it cannot be converted");
    let change = |draft: &mut Draft| {
        draft.attributes.insert("title".to_owned(), json!("new"));
        Ok(())
    };
    let written = repository.update(&key, change).await.expect_err("it cannot be converted");
    for error in [read, written] {
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        for part in ["note/odd", "`shout`", "model version 2"] {
            assert!(error.message().contains(part), "{error}");
        }
    }
    let found = repository.find(&["note"], Find::new()).await.expect("found");
    assert_eq!((found.objects.len(), found.unreadable.len()), (1, 1));
    assert!(found.unreadable[0].error.message().contains("`shout`"), "{found:?}");
    let mut file = Vec::new();
    let summary = repository.export(Export::found(["note"], Find::new()), &mut file).await.expect("exported");
    assert!(summary.excluded_objects[0].reason.contains("`shout`"), "{summary:?}");
    let line = json!({"type": "note", "id": "new", "attributes": {"title": "odd"}, "typeMigrationVersion": "10.1.0"});
    let summary = repository.import(Import::new(), Cursor::new(line.to_string())).await.expect("read");
    assert!(summary.errors[0].message.contains("`shout`"), "{summary:?}");
    let verifier = Verifier::new(&context.engine(registry(2), key_ring()));
    let report = verifier.expect("it has keys").verify().await.expect("verified");
    assert!(report.unreadable[0].reason.contains("`shout`"), "{report:?}");
}
