//! Batches that are too large for the server: they are divided, and grow back.

use std::sync::{Arc, Mutex};

use libtest_mimic::Trial;
use saved_objects::migrate::{Fate, OnBad, Outcome, Report};
use serde_json::{Value, json};

use crate::context::Context;
use crate::migration::{current, seed_version_1, source};
use crate::named_trials;
use crate::proxy::{Fault, Proxy, Seen};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        bulks_are_divided_to_what_the_server_takes,
        a_busy_server_is_sent_less_and_waited_for,
        pages_are_divided_to_what_the_server_has_memory_for,
        one_document_that_is_too_large_is_named,
        one_document_that_is_too_large_has_a_fate,
    )
}

const DOCUMENTS: u64 = 40;

fn is_bulk(seen: &Seen) -> bool {
    seen.path.contains("/_bulk") && !seen.path.contains("-control/")
}

/// Migrates through a proxy that answers requests that are too large with `fault`. Returns the report, the sizes of the
/// bulks that reached the server, and the number of refused requests.
async fn migrate(
    context: &Context,
    on_bad: OnBad,
    fault: impl Fn(&Seen, usize) -> Option<Fault> + Send + Sync + 'static,
) -> (Report, Vec<usize>, usize) {
    let seen: Arc<Mutex<(Vec<usize>, usize)>> = Arc::default();
    let remembered = seen.clone();
    let proxy = Proxy::start(&context.url, move |request, before| {
        let fault = fault(request, before);
        let mut seen = remembered.lock().expect("not poisoned");
        match fault {
            Some(_) => seen.1 += 1,
            None if is_bulk(request) => seen.0.push(request.body_bytes),
            None => {}
        }
        fault.unwrap_or(Fault::None)
    })
    .await;
    let through = Context { url: proxy.url().to_owned(), ..context.clone() };
    let report = through.migrator(current()).on_bad(on_bad).migrate().await;
    let (sizes, refused) = seen.lock().expect("not poisoned").clone();
    (report, sizes, refused)
}

fn assert_all_written(report: &Report) {
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    let documents = report.indices[0].documents;
    assert_eq!((documents.written, documents.conflicts, documents.bad), (DOCUMENTS, 0, 0));
}

async fn bulks_are_divided_to_what_the_server_takes(context: Context) {
    seed_version_1(&context).await;
    let limit = 5_000;
    let too_much = move |seen: &Seen, _| (is_bulk(seen) && seen.body_bytes > limit).then_some(Fault::Status(413));
    let (report, sizes, refused) = migrate(&context, OnBad::Fail, too_much).await;
    assert_all_written(&report);
    assert!(refused > 0 && refused < 20, "{refused} were refused");
    assert!(sizes.len() > 3 && sizes.iter().any(|size| size * 3 > limit), "not one by one: {sizes:?}");
}

async fn a_busy_server_is_sent_less_and_waited_for(context: Context) {
    seed_version_1(&context).await;
    let busy = |seen: &Seen, before| {
        let fault = if before == 0 { Fault::Busy(Some(1)) } else { Fault::Busy(None) };
        (is_bulk(seen) && before < 3).then_some(fault)
    };
    let (report, sizes, refused) = migrate(&context, OnBad::Fail, busy).await;
    assert_all_written(&report);
    assert_eq!(refused, 3);
    assert!(report.elapsed_ms >= 1_000, "it waited as long as it was asked to: {report:?}");
    assert!(
        sizes.len() > 2 && sizes.iter().any(|size| *size > sizes[0]),
        "it is sent less at first, and then more again: {sizes:?}"
    );
}

async fn pages_are_divided_to_what_the_server_has_memory_for(context: Context) {
    seed_version_1(&context).await;
    let no_memory = |seen: &Seen, _| seen.search_size.is_some_and(|size| size > 10).then_some(Fault::NoMemory);
    let (report, _, refused) = migrate(&context, OnBad::Fail, no_memory).await;
    assert_all_written(&report);
    assert!(refused > 0, "the pages were too large at first");
}

/// Stores forty tokens, one of which has 20,000 bytes.
async fn seed_large(context: &Context) -> (String, Value) {
    let ids = seed_version_1(context).await;
    let id = format!("connector_token:{}", ids[3]);
    let mut large = source(context, &id).await;
    large["connector_token"]["connectorId"] = json!("c".repeat(20_000));
    context.put("connectors", &id, &large).await;
    (id, large)
}

async fn one_document_that_is_too_large_is_named(context: Context) {
    let (id, large) = seed_large(&context).await;
    let too_much = |seen: &Seen, _| (is_bulk(seen) && seen.body_bytes > 10_000).then_some(Fault::Status(413));
    let (report, ..) = migrate(&context, OnBad::Fail, too_much).await;
    assert_eq!((report.outcome, report.bad_total), (Outcome::Failed, 1), "{report:?}");
    assert_eq!(report.bad[0].id, id);
    let reason = &report.bad[0].reason;
    assert!(
        reason.starts_with("it has ")
            && reason.ends_with(" bytes, more than the server takes in one request (http.max_content_length)"),
        "{reason}"
    );
    let error = report.error.as_ref().expect("it failed");
    assert_eq!(
        error.hint,
        "raise http.max_content_length in the elasticsearch.yml of all nodes (1 of them is too large for the server), and start again"
    );
    assert_eq!(report.indices[0].documents.written, DOCUMENTS - 1, "the others are converted");
    assert_eq!(source(&context, &id).await, large, "it is as it was");
    // With the limit raised the server accepts it.
    let (report, ..) = migrate(&context, OnBad::Fail, |_, _| None).await;
    assert_eq!((report.outcome, report.bad_total), (Outcome::Migrated, 0), "{report:?}");
}

/// A document that was small enough when it was stored is too large now, because the server's limit was lowered.
async fn one_document_that_is_too_large_has_a_fate(context: Context) {
    let cases = [
        ("discard", OnBad::Discard, false, Fate::Discarded, Outcome::Migrated),
        ("quarantine", OnBad::Quarantine, false, Fate::Quarantined, Outcome::Migrated),
        ("kept", OnBad::Quarantine, true, Fate::Kept, Outcome::Failed),
    ];
    for (name, on_bad, is_for_quarantine_too, fate, outcome) in cases {
        let prefix = format!("{}-{name}", context.prefix).parse().expect("a prefix");
        let context = Context { prefix, ..context.clone() };
        let (id, large) = seed_large(&context).await;
        let too_much = move |seen: &Seen, _| {
            let is_limited = is_for_quarantine_too || !seen.path.contains("-control-quarantine");
            (is_bulk(seen) && is_limited && seen.body_bytes > 10_000).then_some(Fault::Status(413))
        };
        let (report, ..) = migrate(&context, on_bad, too_much).await;
        assert_eq!((report.outcome, report.bad_total), (outcome, 1), "{name}: {report:?}");
        assert_eq!(report.bad[0].fate, fate, "{name}: {report:?}");
        assert_eq!((&report.bad[0].id, report.indices[0].documents.written), (&id, DOCUMENTS - 1), "{name}");
        let stored = source(&context, &id).await;
        assert_eq!(stored, if fate == Fate::Kept { large } else { Value::Null }, "{name}");
        let quarantined = context.quarantine().list().await.expect("listed");
        assert_eq!(quarantined.len(), usize::from(fate == Fate::Quarantined), "{name}");
        assert_eq!(report.bad[0].reason.contains("it cannot be put aside"), fate == Fate::Kept, "{:?}", report.bad[0]);
    }
}
