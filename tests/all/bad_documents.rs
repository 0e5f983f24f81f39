//! Documents that cannot be converted: reported, quarantined, restored, discarded.

mod kills;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use libtest_mimic::Trial;
use saved_objects::Start;
use saved_objects::cluster::{Cluster, IndexState};
use saved_objects::document::MAX_DEPTH;
use saved_objects::migrate::{Fate, OnBad, Outcome, Way};
use saved_objects::quarantine::Quarantine;
use saved_objects::repository::{Create, Delete, ObjectKey};
use serde_json::{Value, json};

use crate::context::{Context, KEY, MEMORY, nested};
use crate::faults::disturbed::Disturbed;
use crate::migration::{current, notes_before_and_after, object, seed_version_1, source};
use crate::named_trials;
use crate::proxy::{Fault, Proxy};
use kills::{BAD, Overtaken, killed_at_each, migrator, note_is_stored, notes, seed_notes};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        every_bad_document_is_found,
        bad_documents_go_to_quarantine_and_back,
        a_copy_leaves_bad_documents_out,
        what_is_too_deep_to_be_read_is_bad,
        what_a_transform_nests_too_deep_is_bad,
        a_rollback_leaves_nothing_to_be_revived,
    );
    if url == MEMORY {
        trials.extend(named_trials!(
            url,
            what_a_user_deletes_after_a_crash_in_place_is_not_revived,
            what_a_user_deletes_after_a_crash_of_a_copy_is_not_revived,
            what_a_user_deletes_after_a_crash_of_a_restore_is_not_revived,
            two_nodes_lose_no_document_between_them,
        ));
    } else {
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
    context.quarantine()
}

/// Stores forty good documents, and one bad document of each kind.
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
    // A document of an unregistered type is not bad.
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
    assert!(report.error.as_ref().is_some_and(|error| error.hint.contains("--on-bad")), "{report:?}");
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
    assert_eq!(status.indices[0].quarantined, Some(4));

    let one = ["connector_token:unknown".to_owned()];
    let restored = quarantine(&context).restore(&one).await.expect("restored");
    assert_eq!((restored.restored.len(), restored.refused.len()), (1, 0));
    assert_eq!(source(&context, "connector_token:unknown").await, before, "as it was");
    // The document is as bad as before, and a rescan finds it.
    let again = context.migrator(current()).rescan().on_bad(OnBad::Quarantine).migrate().await;
    assert_eq!((again.outcome, again.bad_total), (Outcome::Migrated, 1), "{again:?}");
    let again = context.migrator(current()).rescan().on_bad(OnBad::Quarantine).migrate().await;
    assert_eq!(again.outcome, Outcome::NothingToDo, "{again:?}");
    // The id of another document is taken again.
    put(&context, "wrong-id", &json!({"type": "board"})).await;
    let refused = quarantine(&context).restore(&["wrong-id".to_owned()]).await.expect("answered");
    assert_eq!((refused.restored.len(), refused.refused.len()), (0, 1));
    let dropped = quarantine(&context).drop(&[]).await.expect("dropped");
    assert_eq!(dropped.len(), 4);
    assert_eq!(quarantine(&context).list().await.expect("listed"), []);
}

async fn bad_documents_are_discarded_only_as_they_were_read(context: Context) {
    let bad = seed_bad(&context).await;
    // Another process repairs one document between its reading and its deletion.
    let ids = seed_ids(&context).await;
    let mut mended = source(&context, &ids).await;
    mended["connector_token"]["connectorId"] = json!("mended");
    let (url, path) = (context.url.clone(), format!("/{}/_doc/connector_token:unknown", context.index("connectors")));
    let proxy = Proxy::start(&context.url, move |seen, before| {
        // The first bulk converts, the second bulk deletes.
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

/// Returns the `_id` of a good document.
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
    // The deletion does not reach the server: the documents are both in quarantine and in their index.
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
        // The process is killed once, just before the swap.
        crate::faults::killed_at_swap(&context, after.clone(), on_bad).await;
        // A later start without the policy does not silently omit the documents that the killed start left out.
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
        // In the old generation the document is in its index again, and so no longer in quarantine.
        assert_eq!(context.migrator(after).rollback().await.outcome, Outcome::RolledBack);
        assert_eq!(quarantine(&context).list().await.expect("listed"), []);
    }
}

async fn what_is_too_deep_to_be_read_is_bad(context: Context) {
    for (way, on_bad) in
        [(Way::InPlace, OnBad::Quarantine), (Way::Copy, OnBad::Quarantine), (Way::InPlace, OnBad::Discard)]
    {
        let prefix = format!("{}-{way:?}-{on_bad}", context.prefix).to_lowercase().parse().expect("a prefix");
        let context = Context { prefix, ..context.clone() };
        let (before, after) = notes(way);
        seed_notes(&context, before).await;
        let source = |levels| format!("{{\"type\":\"note\",\n\"note\":{{\"free\":{}}}}}", nested(levels));
        // The last one has the greatest depth that the server accepts.
        let levels = [MAX_DEPTH + 2, 500, 998];
        let deep = levels.map(|levels| (format!("note:{levels}"), source(levels)));
        for (id, source) in &deep {
            // No library writes a document like this one: with a line break.
            match &context.memory {
                Some(_) => context.put_text("notes", id, source.replace('\n', " ")).await,
                None => {
                    let path = format!("/{}/_doc/{id}?refresh=true", context.index("notes"));
                    crate::server::send_text(&context.url, "PUT", &path, source).await;
                }
            }
        }
        let report = migrator(&context, context.cluster(), after.clone()).migrate().await;
        assert_eq!((report.outcome, report.bad_total), (Outcome::Failed, 4), "{report:?}");
        assert!(report.bad.iter().any(|bad| bad.reason.contains("nested too deep")), "{report:?}");
        let report = migrator(&context, context.cluster(), after).on_bad(on_bad).migrate().await;
        assert_eq!(
            (report.outcome, report.bad_total, report.indices[0].way),
            (Outcome::Migrated, 4, way),
            "{report:?}"
        );
        let here = quarantine(&context).list().await.expect("listed").len();
        assert_eq!(here, if on_bad == OnBad::Quarantine { 4 } else { 0 });
        assert!(note_is_stored(&context, "note:1").await);
        let restored = quarantine(&context).restore(&[]).await.expect("restored");
        assert_eq!((restored.restored.len(), restored.refused.len()), (here, 0), "{restored:?}");
        for (id, source) in deep.iter().take(here) {
            let hit = context.cluster().get(context.prefix.group("notes").alias(), id).await.expect("answered");
            assert_eq!(hit.expect("it is back").source.get(), source.replace('\n', " "));
        }
        assert_eq!(quarantine(&context).list().await.expect("listed"), []);
    }
}

async fn what_a_transform_nests_too_deep_is_bad(context: Context) {
    for way in [Way::InPlace, Way::Copy] {
        let prefix = format!("{}-{way:?}", context.prefix).to_lowercase().parse().expect("a prefix");
        let context = Context { prefix, ..context.clone() };
        let (before, after) = notes(way);
        let repository = context.store(before).await.repository().clone();
        for levels in [MAX_DEPTH - 3, MAX_DEPTH - 2, MAX_DEPTH - 1, MAX_DEPTH] {
            let free: Value = serde_json::from_str(&nested(levels)).expect("JSON");
            let request = Create::new("note", object(json!({"title": "t", "free": free}))).id(levels.to_string());
            repository.create(request).await.expect("created");
        }
        let report = migrator(&context, context.cluster(), after.clone()).migrate().await;
        assert_eq!((report.outcome, report.bad_total), (Outcome::Failed, 2), "{report:?}");
        assert!(report.bad.iter().all(|bad| bad.reason.contains(&MAX_DEPTH.to_string())), "{report:?}");
        let report = migrator(&context, context.cluster(), after).on_bad(OnBad::Quarantine).migrate().await;
        assert_eq!((report.outcome, report.bad_total), (Outcome::Migrated, 2), "{report:?}");
        let converted = context.stored("notes", &format!("note:{}", MAX_DEPTH - 2)).await;
        assert_eq!(converted["typeMigrationVersion"], "10.2.0");
        assert_eq!(quarantine(&context).list().await.expect("listed").len(), 2);
    }
}

async fn a_rollback_leaves_nothing_to_be_revived(context: Context) {
    let (before, after) = notes(Way::Copy);
    let old = seed_notes(&context, before).await;
    let copy = async || {
        let report = migrator(&context, context.cluster(), after.clone()).on_bad(OnBad::Quarantine).migrate().await;
        assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
        quarantine(&context).list().await.expect("listed").len()
    };
    assert_eq!(copy().await, 1);
    let report = migrator(&context, context.cluster(), after.clone()).rollback().await;
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    assert_eq!(quarantine(&context).list().await.expect("listed"), []);
    old.delete(Delete::new(ObjectKey::new("note", "bad")).force()).await.expect("deleted");
    let restored = quarantine(&context).restore(&[BAD.to_owned()]).await.expect("answered");
    assert_eq!((restored.restored, restored.refused), (vec![], vec![]));
    assert!(!note_is_stored(&context, BAD).await);
    // The next copy has nothing to leave out.
    assert_eq!(copy().await, 0);
}

/// A user deletes the bad note if it exists, and then no restore brings it back. If it does not exist, it is not lost.
async fn delete_and_restore(context: Context, way: Way) {
    let user = context.builder(notes(way).0).start(Start::Skip).await.expect("it starts").repository().clone();
    let key = ObjectKey::new("note", "bad");
    if note_is_stored(&context, BAD).await {
        let alias = context.prefix.group("notes").alias().to_owned();
        let indices = context.cluster().indices(&[&alias]).await.expect("answered");
        let takes_writes = |state: &IndexState| state.aliases.keys().any(|alias| alias.ends_with("-write"));
        if !indices.values().all(takes_writes) {
            // The next start undoes the killed copy.
            let report = migrator(&context, context.cluster(), notes(way).1).migrate().await;
            assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
        }
        user.delete(Delete::new(&key).force()).await.expect("deleted");
        // A user creates another object with its id.
        user.create(Create::new("note", object(json!({"title": "b"}))).id("bad")).await.expect("created");
        user.delete(&key).await.expect("deleted");
        let restored = quarantine(&context).restore(&[]).await.expect("answered");
        assert_eq!(restored.restored, [], "it was deleted");
        assert!(!note_is_stored(&context, BAD).await, "it is revived");
        let report = migrator(&context, context.cluster(), notes(way).1).on_bad(OnBad::Quarantine).migrate().await;
        assert!(matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo), "{report:?}");
        quarantine(&context).restore(&[]).await.expect("answered");
        assert!(!note_is_stored(&context, BAD).await, "it is revived by the next migration");
    } else {
        let listed = quarantine(&context).list().await.expect("listed");
        assert_eq!(listed.len(), 1, "it is lost");
        let all = quarantine(&context).restore(&[]).await.expect("answered");
        assert_eq!(all.restored.is_empty(), listed[0].undecided, "{all:?}");
        if listed[0].undecided {
            let named = quarantine(&context).restore(&[BAD.to_owned()]).await.expect("answered");
            assert_eq!(named.restored.len(), 1, "{named:?}");
        }
        assert!(note_is_stored(&context, BAD).await, "it is restored");
        assert_eq!(quarantine(&context).list().await.expect("listed"), []);
    }
}

/// Kills a migration that quarantines the bad note, and deletes the note afterwards.
async fn delete_after_a_crash(way: Way) {
    let quarantining = |context: Context, cluster: Arc<dyn Cluster>| async move {
        let report = migrator(&context, cluster, notes(way).1).on_bad(OnBad::Quarantine).migrate().await;
        assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    };
    killed_at_each(quarantining, |context| delete_and_restore(context, way), way, false).await;
}

async fn what_a_user_deletes_after_a_crash_in_place_is_not_revived(_: Context) {
    delete_after_a_crash(Way::InPlace).await;
}

async fn what_a_user_deletes_after_a_crash_of_a_copy_is_not_revived(_: Context) {
    delete_after_a_crash(Way::Copy).await;
}

async fn what_a_user_deletes_after_a_crash_of_a_restore_is_not_revived(_: Context) {
    let way = Way::InPlace;
    let restoring = |context: Context, cluster: Arc<dyn Cluster>| async move {
        let restored = context.quarantine_on(cluster).restore(&[]).await.expect("restored");
        assert_eq!(restored.restored.len(), 1, "{restored:?}");
    };
    killed_at_each(restoring, |context| delete_and_restore(context, way), way, true).await;
}

async fn two_nodes_lose_no_document_between_them(_: Context) {
    for number in 0.. {
        let context = Context::new(MEMORY, "overtaken");
        seed_notes(&context, notes(Way::InPlace).0).await;
        let overtaken = Arc::new(Overtaken { context: context.clone(), number, met: AtomicBool::default() });
        let cluster = Arc::new(Disturbed::new(context.cluster(), overtaken.clone()));
        let report = migrator(&context, cluster, notes(Way::InPlace).1).on_bad(OnBad::Quarantine).migrate().await;
        if !overtaken.met.load(Ordering::Relaxed) {
            assert!(number > 5, "only {number} requests");
            break;
        }
        assert!(matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo), "{number}: {report:?}");
        assert!(!note_is_stored(&context, BAD).await);
        let listed = quarantine(&context).list().await.expect("listed");
        assert_eq!((listed.len(), listed.iter().any(|one| one.undecided)), (1, false), "{number}: {listed:?}");
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
    let dropped = run(&["quarantine", "drop", "--all", "--yes", "--json"]).await;
    assert_eq!((dropped.code, dropped.json()["dropped"].as_array().expect("a list").len()), (0, 3));
    assert_eq!(run(&["quarantine", "drop"]).await.code, 64);
    assert_eq!(run(&["migrate", "--on-bad", "ignore"]).await.code, 64);
}
