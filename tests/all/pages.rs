//! How much is read in one page, and is in memory, when documents are large: counted in bytes.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::cluster::{BulkRequest, Cluster, Hit, ItemOutcome};
use saved_objects::migrate::{OnBad, Outcome};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Create, Export, Find, Import, ObjectKey, OnConflict, Repository};
use saved_objects::rotation::KeyRotation;
use saved_objects::verify::Verifier;
use saved_objects::{SavedObjects, Start};
use serde_json::json;

use crate::context::{Context, key_ring, registry};
use crate::faults::disturbed::{Call, Disturbed, Disturber, Fate};
use crate::migration::{note, object, version};
use crate::named_trials;

const DOCUMENTS: usize = 40;
const BYTES: usize = 1 << 20;
/// The approximate size of a page in bytes.
const PAGE: usize = 4 << 20;
/// The largest number of bytes that are in memory.
const UNDER_WAY: usize = 4 * PAGE;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_migration_reads_and_holds_few_large_documents_at_once,
        whoever_reads_everything_reads_few_large_documents_at_once,
        large_documents_in_quarantine_are_not_read_together,
        small_documents_need_few_pages,
    )
}

/// Counts the bytes that are read.
#[derive(Debug, Default)]
struct Scales {
    /// The size of the largest answer in bytes.
    page: AtomicUsize,
    pages: AtomicUsize,
    /// The bytes that were read and are not written yet, and their maximum.
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Scales {
    fn heaviest_page(&self) -> usize {
        self.page.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Disturber for Scales {
    async fn fate(&self, call: &Call) -> Fate {
        if call.method == "bulk" {
            // Reading may be faster than a slow server writes.
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        }
        Fate::Done
    }

    fn done(&self, request: &BulkRequest<'_>, _: &[ItemOutcome]) {
        let bytes =
            request.operations.iter().filter_map(|operation| operation.action.source()).map(|it| it.len()).sum();
        let _ = self.now.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(now.saturating_sub(bytes)));
    }

    fn found(&self, hits: &[Hit]) {
        let bytes = hits.iter().map(|hit| hit.source.get().len()).sum::<usize>();
        self.pages.fetch_add(1, Ordering::SeqCst);
        self.page.fetch_max(bytes, Ordering::SeqCst);
        let now = self.now.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.most.fetch_max(now, Ordering::SeqCst);
    }
}

fn weighed(context: &Context) -> (Arc<Scales>, Arc<dyn Cluster>) {
    let scales = Arc::new(Scales::default());
    let cluster = Arc::new(Disturbed::new(context.cluster(), scales.clone()));
    (scales, cluster)
}

/// Returns notes with a text that is not mapped. The second release changes documents, and refuses those that it cannot
/// count.
fn notes(release: usize) -> Vec<TypeDefinition> {
    let sets = json!({"encrypted": [], "bound": []});
    let properties = json!({"text": {"type": "string"}, "stars": {"type": "integer"}});
    let first = version(json!({"text": {"type": "string"}, "stars": {}}), sets.clone());
    let mut second = version(properties, sets);
    second["changes"] = json!([{"type": "data_backfill", "defaults": {"stars": 0}}]);
    note(first, json!({"dynamic": false, "properties": {}}), &[second][..release - 1])
}

async fn seed(context: &Context, large: usize, small: usize, bad: bool) -> Repository {
    let store = context.store(notes(1)).await;
    let text = |bytes| "x".repeat(bytes);
    for number in 0..small {
        let attributes = object(json!({"text": "small"}));
        store.repository().create(Create::new("note", attributes).id(format!("a{number}"))).await.expect("created");
    }
    for number in 0..large {
        let mut attributes = object(json!({"text": text(BYTES)}));
        if bad {
            attributes.insert("stars".to_owned(), json!("many"));
        }
        store.repository().create(Create::new("note", attributes).id(format!("b{number}"))).await.expect("created");
    }
    context.cluster().refresh(&context.index("notes")).await.expect("refreshed");
    store.repository().clone()
}

async fn a_migration_reads_and_holds_few_large_documents_at_once(context: Context) {
    seed(&context, DOCUMENTS, 0, false).await;
    let (scales, cluster) = weighed(&context);
    let report = context.migrator_on(cluster, notes(2)).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    assert_eq!(report.indices[0].documents.written, DOCUMENTS as u64, "{report:?}");
    assert!(scales.heaviest_page() <= PAGE, "{scales:?}");
    let most = scales.most.load(Ordering::SeqCst);
    assert!(most <= UNDER_WAY && most > PAGE, "the pages overlap, and not too many of them: {scales:?}");
}

async fn whoever_reads_everything_reads_few_large_documents_at_once(context: Context) {
    seed(&context, DOCUMENTS, 0, false).await;
    let (scales, cluster) = weighed(&context);
    let verifier = Verifier::new(&context.engine_on(cluster, registry(notes(1)), key_ring()));
    let report = verifier.expect("it has keys").verify().await.expect("verified");
    assert!(report.ok && scales.heaviest_page() <= PAGE, "{scales:?}");

    let (scales, cluster) = weighed(&context);
    let rotation = KeyRotation::new(&context.engine_on(cluster, registry(notes(1)), key_ring()));
    rotation.rotate().await.expect("rotated");
    assert!(scales.heaviest_page() <= PAGE, "{scales:?}");

    let (scales, cluster) = weighed(&context);
    let builder = SavedObjects::builder(registry(notes(1))).cluster(cluster).prefix(context.prefix.clone());
    let store = builder.start(Start::Skip).await.expect("made");
    let repository = store.repository();
    let mut file = Vec::new();
    let summary = repository.export(Export::found(["note"], Find::new()), &mut file).await.expect("exported");
    assert_eq!(summary.exported_count, DOCUMENTS as u64);
    assert!(scales.heaviest_page() <= PAGE, "{scales:?}");
    let keys = (0..DOCUMENTS).map(|number| ObjectKey::new("note", format!("b{number}")));
    let summary = repository.export(Export::objects(keys), &mut Vec::new()).await.expect("exported");
    assert_eq!(summary.exported_count, DOCUMENTS as u64);
    assert!(scales.heaviest_page() <= PAGE, "by their ids: {scales:?}");
    let import = Import::new().on_conflict(OnConflict::Overwrite);
    let summary = repository.import(import, Cursor::new(file)).await.expect("imported");
    assert!(summary.success, "{summary:?}");
    assert!(scales.heaviest_page() <= PAGE + BYTES, "what lines are compared with: {scales:?}");
}

async fn large_documents_in_quarantine_are_not_read_together(context: Context) {
    seed(&context, DOCUMENTS, 0, true).await;
    let (scales, cluster) = weighed(&context);
    let report = context.migrator_on(cluster, notes(2)).on_bad(OnBad::Quarantine).migrate().await;
    assert_eq!((report.outcome, report.bad_total), (Outcome::Migrated, DOCUMENTS as u64), "{report:?}");
    assert!(scales.heaviest_page() <= PAGE, "{scales:?}");
    let (scales, cluster) = weighed(&context);
    let quarantine = context.quarantine_on(cluster);
    assert_eq!(quarantine.list().await.expect("listed").len(), DOCUMENTS);
    let restored = quarantine.restore(&[]).await.expect("restored");
    assert_eq!((restored.restored.len(), restored.refused.len()), (DOCUMENTS, 0), "{:?}", restored.refused);
    assert!(scales.heaviest_page() <= PAGE, "{scales:?}");
    assert_eq!(quarantine.list().await.expect("listed"), []);
    assert_eq!(context.documents("notes").await, DOCUMENTS as u64);
}

async fn small_documents_need_few_pages(context: Context) {
    seed(&context, 0, 3_000, false).await;
    let (scales, cluster) = weighed(&context);
    let verifier = Verifier::new(&context.engine_on(cluster, registry(notes(1)), key_ring()));
    assert!(verifier.expect("it has keys").verify().await.expect("verified").ok);
    // 1, 10, 100, and then a thousand each.
    assert_eq!(scales.pages.load(Ordering::SeqCst), 6);
}
