//! Documents that cannot be converted: named, put aside, restored, discarded.

use libtest_mimic::Trial;
use saved_objects::migrate::{Fate, OnBad, Outcome, Way};
use saved_objects::quarantine::Quarantine;
use saved_objects::repository::{Create, ObjectKey};
use serde_json::{Value, json};

use crate::context::{Context, KEY, MEMORY};
use crate::migration::{current, notes_before_and_after, object, seed_version_1, source};
use crate::named_trials;
use crate::proxy::{Fault, Proxy};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        every_bad_document_is_found,
        bad_documents_go_to_quarantine_and_back,
        a_copy_leaves_bad_documents_out,
    );
    if url != MEMORY {
        trials.extend(named_trials!(
            url,
            bad_documents_are_discarded_only_as_they_were_read,
            a_quarantine_that_stopped_goes_on,
            the_command_line_lists_and_restores,
        ));
    }
    trials
}

fn quarantine(context: &Context) -> Quarantine {
    Quarantine::new(context.cluster(), context.prefix.clone())
}

/// Forty good documents, and one of each kind of bad ones.
async fn seed_bad(context: &Context) -> Vec<&'static str> {
    let ids = seed_version_1(context).await;
    let good = source(context, &format!("connector_token:{}", ids[0])).await;
    let mut unknown = good.clone();
    unknown["connector_token"]["unknown"] = json!("VALUE");
    let mut current_without_attributes = good.clone();
    current_without_attributes["typeMigrationVersion"] = json!("10.2.0");
    current_without_attributes["connector_token"] = json!(null);
    let bad = [
        ("connector_token:current", current_without_attributes),
        ("connector_token:unknown", unknown),
        ("no-type", json!({"references": []})),
        ("wrong-id", good),
    ];
    for (id, body) in &bad {
        put(context, id, body).await;
    }
    // A type that nobody registered is not bad.
    let mapping = json!({"properties": {"board": {"type": "object", "dynamic": false}}});
    context.cluster().put_mapping(&context.index("connectors"), &mapping).await.expect("added");
    put(context, "board:1", &json!({"type": "board", "board": {}})).await;
    bad.into_iter().map(|(id, _)| id).collect()
}

async fn put(context: &Context, id: &str, body: &Value) {
    context.put("connectors", id, body).await;
}

fn named(report: &saved_objects::migrate::Report) -> Vec<(&str, Fate)> {
    let mut named: Vec<_> = report.bad.iter().map(|bad| (bad.id.as_str(), bad.fate)).collect();
    named.sort_unstable_by_key(|(id, _)| *id);
    named
}

async fn every_bad_document_is_found(context: Context) {
    let bad = seed_bad(&context).await;
    let kept: Vec<_> = bad.iter().map(|&id| (id, Fate::Kept)).collect();
    let plan = context.migrator(current()).describe().await;
    assert_eq!((plan.outcome, plan.bad_total, named(&plan)), (Outcome::Planned, 4, kept.clone()), "{plan:?}");
    let report = context.migrator(current()).migrate().await;
    assert_eq!((report.outcome, named(&report)), (Outcome::Failed, kept), "{report:?}");
    assert_eq!(report.indices[0].documents.written, 40);
    assert!(report.error.as_ref().is_some_and(|error| error.cure.contains("--on-bad")), "{report:?}");
    assert!(!format!("{report:?}").contains("VALUE"));
}

async fn bad_documents_go_to_quarantine_and_back(context: Context) {
    let bad = seed_bad(&context).await;
    let before = source(&context, "connector_token:unknown").await;
    let report = context.migrator(current()).on_bad(OnBad::Quarantine).migrate().await;
    let expected: Vec<_> = bad.iter().map(|&id| (id, Fate::Quarantined)).collect();
    assert_eq!((report.outcome, named(&report)), (Outcome::Migrated, expected), "{report:?}");
    let documents = report.indices[0].documents;
    assert_eq!((documents.written, documents.bad, documents.quarantined), (40, 4, 4));
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::NothingToDo);

    assert_eq!(source(&context, "connector_token:unknown").await, Value::Null, "it is not in its index any more");
    let ids: Vec<_> = quarantine(&context).list().await.expect("listed").into_iter().map(|one| one.id).collect();
    assert_eq!(ids, bad);
    let verified = context.verifier(current()).verify().await.expect("verified");
    assert!(verified.ok);
    assert_eq!(verified.quarantined.len(), 4);
    let status = context.migrator(current()).status().await.expect("answered");
    assert_eq!(status.indices[0].quarantined, 4);

    let one = ["connector_token:unknown".to_owned()];
    let restored = quarantine(&context).restore(&one).await.expect("restored");
    assert_eq!((restored.restored.len(), restored.refused.len()), (1, 0));
    assert_eq!(source(&context, "connector_token:unknown").await, before, "as it was");
    // It is bad as before, and a rescan finds it.
    let again = context.migrator(current()).rescan().on_bad(OnBad::Quarantine).migrate().await;
    assert_eq!((again.outcome, again.bad_total), (Outcome::Migrated, 1), "{again:?}");
    let again = context.migrator(current()).rescan().on_bad(OnBad::Quarantine).migrate().await;
    assert_eq!(again.outcome, Outcome::NothingToDo, "{again:?}");
    // The place of another one is taken by now.
    put(&context, "wrong-id", &json!({"type": "board"})).await;
    let refused = quarantine(&context).restore(&["wrong-id".to_owned()]).await.expect("answered");
    assert_eq!((refused.restored.len(), refused.refused.len()), (0, 1));
    let dropped = quarantine(&context).drop(&[]).await.expect("dropped");
    assert_eq!(dropped.len(), 4);
    assert_eq!(quarantine(&context).list().await.expect("listed"), []);
}

async fn bad_documents_are_discarded_only_as_they_were_read(context: Context) {
    let bad = seed_bad(&context).await;
    // Somebody mends one in the moment between its reading and its deletion.
    let ids = seed_ids(&context).await;
    let mut mended = source(&context, &ids).await;
    mended["connector_token"]["connectorId"] = json!("mended");
    let (url, path) = (context.url.clone(), format!("/{}/_doc/connector_token:unknown", context.index("connectors")));
    let proxy = Proxy::start(&context.url, move |seen, before| {
        // The first bulk converts, the second deletes.
        if seen.path.contains("connectors-000001-write/_bulk?") && before == 1 {
            let (url, path, body) = (url.clone(), path.clone(), Some(mended.clone()));
            let other = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(crate::server::send(&url, crate::server::Request { method: "PUT", path: &path, body }))
            });
            other.join().expect("it is mended");
        }
        Fault::None
    })
    .await;
    let through = Context { url: proxy.url().to_owned(), ..context.clone() };
    let report = through.migrator(current()).on_bad(OnBad::Discard).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    let expected: Vec<_> =
        bad.iter().filter(|&&id| id != "connector_token:unknown").map(|&id| (id, Fate::Discarded)).collect();
    assert_eq!(named(&report), expected);
    assert_eq!(report.indices[0].documents.deleted, 3);
    let stored = source(&context, "connector_token:unknown").await;
    assert_eq!(stored["connector_token"]["connectorId"], "mended", "what was mended is not deleted");
    assert_eq!(stored["typeMigrationVersion"], "10.2.0", "but converted by the next pass");
}

/// The `_id` of a good document.
async fn seed_ids(context: &Context) -> String {
    let path = format!(
        "/{}/_search?q=type:connector_token%20AND%20_exists_:connector_token.connectorId",
        context.index("connectors")
    );
    let found = context.raw("GET", &path, None).await;
    let hits = found["hits"]["hits"].as_array().expect("hits");
    let id = hits.iter().filter_map(|hit| hit["_id"].as_str()).find(|id| id.len() > 40).expect("a good one");
    id.to_owned()
}

async fn a_quarantine_that_stopped_goes_on(context: Context) {
    let bad = seed_bad(&context).await;
    // The deletion does not come through: the documents are in quarantine and in their index.
    let proxy = Proxy::start(&context.url, |seen, before| match seen.path.contains("connectors-000001-write/_bulk") {
        true if before >= 1 => Fault::Status(400),
        _ => Fault::None,
    })
    .await;
    let through = Context { url: proxy.url().to_owned(), ..context.clone() };
    let stopped = through.migrator(current()).on_bad(OnBad::Quarantine).migrate().await;
    assert_eq!(stopped.outcome, Outcome::Failed, "{stopped:?}");
    assert_eq!(quarantine(&context).list().await.expect("listed"), [], "each is in exactly one place: its index");
    let again = context.migrator(current()).on_bad(OnBad::Quarantine).migrate().await;
    assert_eq!(again.outcome, Outcome::Migrated, "{again:?}");
    let ids: Vec<_> = quarantine(&context).list().await.expect("listed").into_iter().map(|one| one.id).collect();
    assert_eq!(ids, bad, "each is in exactly one place: quarantine");
}

async fn a_copy_leaves_bad_documents_out(context: Context) {
    for (on_bad, fate) in [(OnBad::Quarantine, Fate::Quarantined), (OnBad::Discard, Fate::Discarded)] {
        let prefix = format!("{}-{on_bad}", context.prefix).parse().expect("a prefix");
        let context = Context { prefix, ..context.clone() };
        let (before, after) = notes_before_and_after();
        let old = context.store(before).await;
        old.repository().create(Create::new("note", object(json!({"title": "a"}))).id("1")).await.expect("created");
        let bad = json!({"type": "note", "typeMigrationVersion": "10.1.0"});
        context.put("notes", "note:bad", &bad).await;
        // Once it stops just before the swap.
        crate::faults::killed_at_swap(&context, after.clone(), on_bad).await;
        // What was left out is not left out silently by whoever did not ask for it.
        let refused = context.migrator(after.clone()).migrate().await;
        assert_eq!((refused.outcome, named(&refused)), (Outcome::Failed, vec![("note:bad", Fate::Kept)]));
        assert_eq!(quarantine(&context).list().await.expect("listed"), []);

        let report = context.migrator(after.clone()).on_bad(on_bad).migrate().await;
        assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::Copy), "{report:?}");
        assert_eq!(named(&report), [("note:bad", fate)]);
        let new = context.store(after.clone()).await;
        new.repository().get(&ObjectKey::new("note", "1")).await.expect("copied");
        let in_quarantine = usize::from(on_bad == OnBad::Quarantine);
        assert_eq!(quarantine(&context).list().await.expect("listed").len(), in_quarantine);
        // Back in the old generation it is in its index, and so not in quarantine.
        assert_eq!(context.migrator(after).rollback().await.outcome, Outcome::RolledBack);
        assert_eq!(quarantine(&context).list().await.expect("listed"), []);
    }
}

async fn the_command_line_lists_and_restores(context: Context) {
    let key = [("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)];
    let run = async |arguments: &[&str]| crate::cli::run_with(&context, arguments, &key).await;
    let none = run(&["quarantine", "list", "--json"]).await;
    assert_eq!((none.code, none.json()), (0, json!({"quarantined": []})));
    seed_bad(&context).await;
    let failed = run(&["migrate", "--json"]).await;
    assert_eq!((failed.code, &failed.json()["bad_total"]), (1, &json!(4)), "{failed:?}");
    let migrated = run(&["migrate", "--on-bad", "quarantine", "--json"]).await;
    assert_eq!((migrated.code, &migrated.json()["bad"][0]["fate"]), (0, &json!("quarantined")), "{migrated:?}");
    let listed = run(&["quarantine", "list", "--json"]).await.json();
    assert_eq!(listed["quarantined"].as_array().expect("a list").len(), 4);
    let restored = run(&["quarantine", "restore", "no-type", "not-there", "--json"]).await;
    assert_eq!((restored.code, &restored.json()["restored"][0]["id"]), (1, &json!("no-type")), "{restored:?}");
    let dropped = run(&["quarantine", "drop", "--all", "--json"]).await;
    assert_eq!((dropped.code, dropped.json()["dropped"].as_array().expect("a list").len()), (0, 3));
    assert_eq!(run(&["quarantine", "drop"]).await.code, 64);
    assert_eq!(run(&["migrate", "--on-bad", "ignore"]).await.code, 64);
}
