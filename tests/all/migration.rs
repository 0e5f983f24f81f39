//! Migrations on the real server.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use saved_objects::document::Attributes;
use saved_objects::encryption::{Secret, Secrets};
use saved_objects::migrate::{DocumentCounts, Fate, Outcome, Way};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Create, ObjectKey, Replace, Repository};
use saved_objects::{ErrorKind, tokens};
use serde_json::{Value, json};

use crate::context::Context;
use crate::named_trials;
use crate::proxy::{Fault, Proxy};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_second_start_has_nothing_to_do,
        documents_of_version_1_become_version_2_in_place,
        the_plan_is_shown_and_nothing_is_written,
        a_document_changed_meanwhile_is_left_to_whoever_changed_it,
        bad_documents_are_all_named_and_nothing_is_lost,
        types_nobody_registered_are_left_as_they_are,
        a_write_block_left_behind_is_a_blocker,
        a_changed_release_is_a_blocker,
        a_foreign_index_under_the_alias_is_a_blocker,
        a_mapping_that_the_index_refuses_leads_to_a_copy,
        a_mappings_change_is_copied_into_the_next_generation,
        a_copy_with_bad_documents_is_undone,
        five_migrators_copy_at_once,
        two_registries_copy_at_once,
        documents_of_removed_types_go_only_when_asked,
        an_attribute_that_becomes_bound_is_encrypted_anew,
    )
}

pub(crate) fn current() -> Vec<TypeDefinition> {
    tokens::types().expect("built-in types")
}

pub(crate) fn version_1() -> Vec<TypeDefinition> {
    current().iter().map(|definition| definition.as_of(1).expect("version 1")).collect()
}

pub(crate) fn object(value: Value) -> Attributes {
    serde_json::from_value(value).expect("an object")
}

async fn create_token(repository: &Repository, number: usize) -> String {
    let attributes = object(json!({
        "connectorId": format!("c{number}"), "tokenType": "access_token", "expiresAt": "2030-01-01T00:00:00.000Z",
        "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
    }));
    let request = Create::new("connector_token", attributes).secret("token", Secret::text(&format!("Bearer {number}")));
    repository.create(request).await.expect("created").id
}

/// Stores forty tokens as version 1 writes them.
pub(crate) async fn seed_version_1(context: &Context) -> Vec<String> {
    let store = context.store(version_1()).await;
    let repository = store.repository().including(&["connector_token"]).expect("registered");
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(create_token(&repository, number).await);
    }
    context.cluster().refresh(&context.index("connectors")).await.expect("refreshed");
    ids
}

/// Returns what is stored of a token; null if it does not exist.
pub(crate) async fn source(context: &Context, id: &str) -> Value {
    context.stored("connectors", id).await
}

async fn a_second_start_has_nothing_to_do(context: Context) {
    let first = context.migrator(current()).migrate().await;
    assert_eq!((first.outcome, first.indices[0].way), (Outcome::Migrated, Way::Create), "{first:?}");

    let proxy = Proxy::start(&context.url, |_, _| Fault::None).await;
    let second = Context { url: proxy.url().to_owned(), ..context.clone() }.migrator(current()).migrate().await;
    assert_eq!((second.outcome, second.requests), (Outcome::NothingToDo, 2));
    let seen = proxy.seen();
    let index = format!("GET /{}-*?", context.prefix);
    let keys = format!("GET /{}/_doc/keys", context.prefix.group("control").alias());
    let is_expected = seen.len() == 2 && seen[0].starts_with(&index) && seen[1].starts_with(&keys);
    assert!(is_expected, "one GET for the one index, one for the keys in use, and no write: {seen:?}");
}

async fn documents_of_version_1_become_version_2_in_place(context: Context) {
    let ids = seed_version_1(&context).await;
    let before = source(&context, &format!("connector_token:{}", ids[0])).await;
    assert_eq!(before["typeMigrationVersion"], "10.1.0");

    let report = context.migrator(current()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    let index = &report.indices[0];
    assert_eq!(index.way, Way::InPlace);
    assert_eq!(index.documents, DocumentCounts { read: 40, written: 40, ..DocumentCounts::default() });
    let tokens = index.types.iter().find(|found| found.type_name == "connector_token").expect("reported");
    assert_eq!(tokens.by_version, Some(BTreeMap::from([("1".to_owned(), 40)])));

    let after = source(&context, &format!("connector_token:{}", ids[0])).await;
    let mut expected = before.clone();
    expected["typeMigrationVersion"] = json!("10.2.0");
    assert_eq!(after, expected, "the version is all that changed, the envelopes and updated_at included");

    let store = context.store(current()).await;
    assert_eq!(store.start_report().expect("migrated").outcome, Outcome::NothingToDo);
    let repository = store.repository().including(&["connector_token"]).expect("registered");
    for (number, id) in ids.iter().enumerate() {
        let (_, secrets) = repository.get_with_secrets(&ObjectKey::new("connector_token", id)).await.expect("readable");
        assert_eq!(secrets["token"], Secret::text(&format!("Bearer {number}")));
    }
    let mapping = context.raw("GET", &format!("/{}/_mapping", context.index("connectors")), None).await;
    let mapping = &mapping[context.index("connectors")]["mappings"];
    assert_eq!(mapping["properties"]["user_connector_token"]["properties"]["userCloudId"]["type"], "keyword");
    let recorded = &mapping["_meta"]["saved_objects"]["types"]["connector_token"];
    assert_eq!(recorded["document_version"], 2);
    assert_eq!(recorded["sets"]["1"]["encrypted"], json!([{"name": "token", "exposed": false}]));
}

async fn the_plan_is_shown_and_nothing_is_written(context: Context) {
    seed_version_1(&context).await;
    let proxy = Proxy::start(&context.url, |_, _| Fault::None).await;
    let through = Context { url: proxy.url().to_owned(), ..context.clone() };
    let report = through.migrator(current()).describe().await;
    assert_eq!((report.outcome, report.indices[0].way), (Outcome::Planned, Way::InPlace));
    assert_eq!(report.indices[0].types[0].by_version, Some(BTreeMap::from([("1".to_owned(), 40)])));
    let reads = ["_search", "_pit", "_has_privileges", "_refresh"];
    let is_read = |seen: &String| seen.starts_with("GET") || reads.iter().any(|api| seen.contains(api));
    let writes: Vec<_> = proxy.seen().into_iter().filter(|seen| !is_read(seen)).collect();
    assert_eq!(writes, Vec::<String>::new());
}

async fn a_document_changed_meanwhile_is_left_to_whoever_changed_it(context: Context) {
    let ids = seed_version_1(&context).await;
    // An older node changes a document between its reading and its writing.
    let (url, path) =
        (context.url.clone(), format!("/{}/_doc/connector_token:{}", context.index("connectors"), ids[7]));
    let changed = {
        let mut document = source(&context, &format!("connector_token:{}", ids[7])).await;
        document["updated_by"] = json!("somebody");
        document
    };
    let expected = changed.clone();
    let proxy = Proxy::start(&context.url, move |seen, before| {
        if seen.path.contains("/_bulk?") && before == 0 {
            let (url, path, body) = (url.clone(), path.clone(), Some(changed.clone()));
            let other = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(crate::server::send(&url, crate::server::Request { method: "PUT", path: &path, body }))
            });
            other.join().expect("the older node writes");
        }
        Fault::None
    })
    .await;
    let report = Context { url: proxy.url().to_owned(), ..context.clone() }.migrator(current()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    let documents = report.indices[0].documents;
    assert_eq!((documents.written, documents.conflicts), (40, 1), "the second pass converts it");
    let mut expected = expected;
    expected["typeMigrationVersion"] = json!("10.2.0");
    assert_eq!(source(&context, &format!("connector_token:{}", ids[7])).await, expected, "no update is lost");
}

async fn bad_documents_are_all_named_and_nothing_is_lost(context: Context) {
    let ids = seed_version_1(&context).await;
    let put = async |id: &str, body: Value| {
        let path = format!("/{}/_doc/{id}?refresh=true", context.index("connectors"));
        context.raw("PUT", &path, Some(body)).await
    };
    let good = source(&context, &format!("connector_token:{}", ids[0])).await;
    put("without-prefix", good.clone()).await;
    put("connector_token:no-attributes", json!({"type": "connector_token", "typeMigrationVersion": "10.1.0"})).await;
    put(
        "connector_token:odd-version",
        json!({"type": "connector_token", "connector_token": {}, "typeMigrationVersion": "10.1"}),
    )
    .await;
    let mut extra = good.clone();
    extra["connector_token"]["unknown"] = json!("VALUE");
    put("connector_token:unknown-attribute", extra.clone()).await;

    let report = context.migrator(current()).migrate().await;
    assert_eq!((report.outcome, report.bad_total), (Outcome::Failed, 4), "{report:?}");
    assert_eq!(report.indices[0].documents.written, 40, "the good ones are converted");
    let mut bad: Vec<_> = report.bad.iter().map(|bad| (bad.id.as_str(), bad.fate)).collect();
    bad.sort_unstable_by_key(|(id, _)| *id);
    let expected = [
        "connector_token:no-attributes",
        "connector_token:odd-version",
        "connector_token:unknown-attribute",
        "without-prefix",
    ];
    assert_eq!(bad, expected.map(|id| (id, Fate::Kept)));
    assert!(report.bad.iter().all(|bad| !bad.reason.contains("VALUE")), "{:?}", report.bad);
    assert_eq!(source(&context, "connector_token:unknown-attribute").await, extra, "as it was");

    let again = context.migrator(current()).migrate().await;
    assert_eq!((again.outcome, again.bad_total), (Outcome::Failed, 4), "nothing claims the new version");
    for id in expected {
        context.raw("DELETE", &format!("/{}/_doc/{id}?refresh=true", context.index("connectors")), None).await;
    }
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated, "once they are gone");
}

async fn types_nobody_registered_are_left_as_they_are(context: Context) {
    seed_version_1(&context).await;
    let only_users =
        || current().into_iter().filter(|definition| definition.name() == "user_connector_token").collect();
    let report = context.migrator(only_users()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated);
    let unregistered: Vec<_> =
        report.unregistered.iter().map(|found| (found.type_name.as_deref(), found.documents)).collect();
    assert_eq!(unregistered, [(Some("connector_token"), 40)]);
    // Their node still reads them at its own version, and may migrate them.
    assert_eq!(context.migrator(current()).migrate().await.indices[0].documents.written, 40);
}

async fn a_write_block_left_behind_is_a_blocker(context: Context) {
    seed_version_1(&context).await;
    let index = context.index("connectors");
    context.raw("PUT", &format!("/{index}/_block/write"), None).await;
    let report = context.migrator(current()).migrate().await;
    assert_eq!(report.outcome, Outcome::Blocked, "{report:?}");
    assert!(report.blockers[0].what.contains("write block"), "{report:?}");
    let error = context.try_store(current()).await.expect_err("blocked");
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.to_string().contains("index.blocks.write"), "{error}");
    // Follows the hint literally.
    context.raw("PUT", &format!("/{index}/_settings"), Some(json!({"index.blocks.write": false}))).await;
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated);
}

pub(crate) fn note(version_1: Value, mapping: Value, more: &[Value]) -> Vec<TypeDefinition> {
    let mapping = json!({"type": "note", "group": "notes", "namespace_kind": "agnostic", "hidden": false, "exportable": true,
        "random_id": false, "identity": null, "removed": false, "mapping": mapping});
    let versions: Vec<_> = std::iter::once(&version_1)
        .chain(more)
        .enumerate()
        .map(|(index, version)| (format!("{}.json", index + 1), version.to_string()))
        .collect();
    vec![TypeDefinition::from_json("note.json", &mapping.to_string(), &versions).expect("a valid definition")]
}

pub(crate) fn version(properties: Value, sets: Value) -> Value {
    json!({"changes": [], "create": {"type": "object", "properties": properties, "additionalProperties": false}, "forward": null,
        "encrypted": sets["encrypted"], "bound": sets["bound"], "waivers": []})
}

async fn a_changed_release_is_a_blocker(context: Context) {
    let mapping = json!({"dynamic": false, "properties": {"title": {"type": "keyword"}}});
    let sets = json!({"encrypted": [], "bound": []});
    let released = version(json!({"title": {"type": "string"}}), sets.clone());
    let edited = version(json!({"title": {"type": "string"}, "text": {"type": "string"}}), sets);
    context.store(note(released, mapping.clone(), &[])).await;
    let report = context.migrator(note(edited, mapping, &[])).migrate().await;
    assert_eq!(report.outcome, Outcome::Blocked, "{report:?}");
    assert!(report.blockers[0].hint.contains("model version 2"), "{report:?}");
}

async fn a_foreign_index_under_the_alias_is_a_blocker(context: Context) {
    let alias = context.prefix.group("connectors").alias().to_owned();
    context.raw("PUT", &format!("/{alias}"), None).await;
    let report = context.migrator(current()).migrate().await;
    assert_eq!(report.outcome, Outcome::Blocked, "{report:?}");
    assert!(report.blockers[0].hint.contains("another prefix"), "{report:?}");
}

async fn a_mapping_that_the_index_refuses_leads_to_a_copy(context: Context) {
    let sets = json!({"encrypted": [], "bound": []});
    let first = version(json!({"title": {"type": "string"}}), sets.clone());
    let old = context
        .store(note(first.clone(), json!({"dynamic": false, "properties": {"title": {"type": "keyword"}}}), &[]))
        .await;
    old.repository().create(Create::new("note", object(json!({"title": "a"}))).id("1")).await.expect("created");
    // The index got other mappings from outside: another type for one field, and for the other field a setting that a
    // comparison of types does not show.
    let field = json!({"properties": {"note": {"properties": {"count": {"type": "long", "store": true}}}}});
    context.raw("PUT", &format!("/{}/_mapping", context.index("notes")), Some(field)).await;
    let mut second = version(json!({"title": {"type": "string"}, "count": {"type": "integer"}}), sets);
    second["changes"] = json!([{"type": "mappings_addition", "properties": {"count": {"type": "long"}}}]);
    let mapping = json!({"dynamic": false, "properties": {"title": {"type": "keyword"}, "count": {"type": "long"}}});
    let report = context.migrator(note(first, mapping, &[second])).migrate().await;
    assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::Copy), "{report:?}");
    assert_eq!(report.indices[0].index, context.prefix.group("notes").index(2));
}

/// Returns a note type whose `title` becomes another kind of field in version 2.
pub(crate) fn notes_before_and_after() -> (Vec<TypeDefinition>, Vec<TypeDefinition>) {
    (notes_of_release(1), notes_of_release(2))
}

/// Returns notes of each of three releases. The second and the third change the mapping of titles.
pub(crate) fn notes_of_release(release: usize) -> Vec<TypeDefinition> {
    let sets = json!({"encrypted": [], "bound": []});
    let first = version(json!({"title": {"type": "string"}}), sets.clone());
    let mut second = version(json!({"title": {"type": "string"}, "stars": {"type": "integer"}}), sets);
    let mut third = second.clone();
    third["changes"] = json!([{"type": "mappings_change", "attributes": ["title"]}]);
    second["changes"] = json!([
        {"type": "mappings_change", "attributes": ["title"]},
        {"type": "data_backfill", "defaults": {"stars": 0}},
    ]);
    let kind = if release == 2 { "text" } else { "keyword" };
    let mapping = json!({"dynamic": false, "properties": {"title": {"type": kind}}});
    note(first, mapping, &[second, third][..release - 1])
}

async fn a_mappings_change_is_copied_into_the_next_generation(context: Context) {
    let (before, after) = notes_before_and_after();
    let old = context.store(before.clone()).await;
    for number in 0..30 {
        let request = Create::new("note", object(json!({"title": format!("t{number}")}))).id(format!("{number}"));
        old.repository().create(request).await.expect("created");
    }
    // A document of an unregistered type, with its mapping.
    let index = context.index("notes");
    let foreign = json!({"properties": {"board": {"dynamic": "strict", "properties": {"name": {"type": "keyword"}}}}});
    context.raw("PUT", &format!("/{index}/_mapping"), Some(foreign)).await;
    let board = json!({"type": "board", "board": {"name": "b"}});
    context.raw("PUT", &format!("/{index}/_doc/board:1?refresh=true"), Some(board.clone())).await;
    let stale = old.repository().get(&ObjectKey::new("note", "3")).await.expect("there");

    let plan = context.migrator(after.clone()).describe().await;
    assert_eq!((plan.outcome, plan.indices[0].way), (Outcome::Planned, Way::Copy));
    let report = context.migrator(after.clone()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    assert_eq!(report.indices[0].documents, DocumentCounts { read: 31, written: 31, ..DocumentCounts::default() });

    let names = context.prefix.group("notes");
    let found = context.raw("GET", &format!("/{}*?expand_wildcards=all", names.alias()), None).await;
    let indices: Vec<&String> = found.as_object().expect("indices").keys().collect();
    assert_eq!(indices, [&names.index(1), &names.index(2)], "the fill is gone, the old generation stays");
    let aliases: Vec<&String> = found[names.index(2)]["aliases"].as_object().expect("aliases").keys().collect();
    assert_eq!(aliases, [names.alias(), names.write_alias(2).as_str()]);
    assert_eq!(found[names.index(1)]["aliases"], json!({}));
    assert_eq!(found[names.index(1)]["settings"]["index"]["blocks"]["write"], "true");
    let copied = context.raw("GET", &format!("/{}/_doc/board:1", names.index(2)), None).await;
    assert_eq!(copied["_source"], board);

    let new = context.store(after.clone()).await;
    assert_eq!(new.start_report().expect("migrated").outcome, Outcome::NothingToDo, "once more, nothing to do");
    let key = ObjectKey::new("note", "3");
    let read = new.repository().get(&key).await.expect("there");
    assert_eq!(read.attributes, object(json!({"title": "t3", "stars": 0})));
    let replace = Replace::of(&stale, object(json!({"title": "late"})));
    let error = new.repository().replace(replace).await.expect_err("its version is of the old generation");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    new.repository().delete(&key).await.expect("deleted");

    // A write of the copy that arrives late, and a write of a node that does not know the new generation.
    let late = json!({"type": "note", "note": {"title": "late"}, "references": []});
    for alias in [names.fill_alias("0000000000000000"), names.write_alias(1)] {
        let path = format!("/{alias}/_doc/note:3?require_alias=true");
        let answer = context.raw("PUT", &path, Some(late.clone())).await;
        assert_eq!(answer["status"], 404, "{answer}");
    }
    let gone = new.repository().get_opt(&key).await.expect("answered");
    assert!(gone.is_none(), "what was deleted after the swap stays deleted");
}

async fn a_copy_with_bad_documents_is_undone(context: Context) {
    let (before, after) = notes_before_and_after();
    let old = context.store(before).await;
    old.repository().create(Create::new("note", object(json!({"title": "a"}))).id("1")).await.expect("created");
    let index = context.index("notes");
    let bad = json!({"type": "note", "typeMigrationVersion": "10.1.0"});
    context.raw("PUT", &format!("/{index}/_doc/note:bad?refresh=true"), Some(bad)).await;
    let report = context.migrator(after.clone()).migrate().await;
    assert_eq!((report.outcome, report.bad_total), (Outcome::Failed, 1), "{report:?}");
    let found =
        context.raw("GET", &format!("/{}*?expand_wildcards=all", context.prefix.group("notes").alias()), None).await;
    assert_eq!(found.as_object().expect("indices").keys().collect::<Vec<_>>(), [&index], "the fill is deleted");
    old.repository().create(Create::new("note", object(json!({"title": "b"}))).id("2")).await.expect("not blocked");
    context.raw("DELETE", &format!("/{index}/_doc/note:bad?refresh=true"), None).await;
    assert_eq!(context.migrator(after).migrate().await.outcome, Outcome::Migrated);
}

async fn five_migrators_copy_at_once(context: Context) {
    let (before, after) = notes_before_and_after();
    let old = context.store(before).await;
    for number in 0..50 {
        let request = Create::new("note", object(json!({"title": format!("t{number}")}))).id(format!("{number}"));
        old.repository().create(request).await.expect("created");
    }
    let runs = (0..5).map(|_| {
        let migrator = context.migrator(after.clone());
        async move { migrator.migrate().await }
    });
    for report in futures::future::join_all(runs).await {
        assert!(matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo | Outcome::Waited), "{report:?}");
    }
    // A slower node may have created a staging index that is not needed; the next start removes it.
    context.migrator(after.clone()).migrate().await;
    let names = context.prefix.group("notes");
    let found = context.raw("GET", &format!("/{}*?expand_wildcards=all", names.alias()), None).await;
    assert_eq!(found.as_object().expect("indices").keys().collect::<Vec<_>>(), [&names.index(1), &names.index(2)]);
    let new = context.store(after).await;
    for number in 0..50 {
        new.repository().get(&ObjectKey::new("note", number.to_string())).await.expect("not lost");
    }
}

/// One registry is a release newer, so that both copy, to different mappings.
async fn two_registries_copy_at_once(context: Context) {
    let (before, after) = notes_before_and_after();
    let further = notes_of_release(3);
    let old = context.store(before).await;
    for number in 0..50 {
        let request = Create::new("note", object(json!({"title": format!("t{number}")}))).id(format!("{number}"));
        old.repository().create(request).await.expect("created");
    }
    // Without the lease, which would make one node wait for the other.
    let (one, other) = (context.migrator(after).without_lease(), context.migrator(further.clone()).without_lease());
    let (one, other) = tokio::join!(one.migrate(), other.migrate());
    assert!(matches!(one.outcome, Outcome::Migrated | Outcome::Blocked), "{one:?}");
    assert_eq!(other.outcome, Outcome::Migrated, "{other:?}");
    let again = context.migrator(further.clone()).migrate().await;
    assert_eq!(again.indices[0].types[0].to, Some(3), "{again:?}");
    let new = context.store(further).await;
    for number in 0..50 {
        let found = new.repository().get(&ObjectKey::new("note", number.to_string())).await.expect("not lost");
        assert_eq!(found.model_version, 3);
    }
}

async fn documents_of_removed_types_go_only_when_asked(context: Context) {
    let (before, _) = notes_before_and_after();
    let old = context.store(before).await;
    old.repository().create(Create::new("note", object(json!({"title": "a"}))).id("1")).await.expect("created");
    context.raw("POST", &format!("/{}/_refresh", context.index("notes")), None).await;
    let file = |name: &str, removed: bool| {
        let file = json!({"type": name, "group": "notes", "namespace_kind": "agnostic", "hidden": false, "exportable": true,
            "random_id": false, "identity": null, "removed": removed,
            "mapping": {"dynamic": false, "properties": {"title": {"type": "keyword"}}}});
        let version = version(json!({"title": {"type": "string"}}), json!({"encrypted": [], "bound": []}));
        let versions = [("1.json".to_owned(), version.to_string())];
        TypeDefinition::from_json("type.json", &file.to_string(), &versions).expect("a valid definition")
    };
    let types = || vec![file("note", true), file("board", false)];
    let kept = context.migrator(types()).migrate().await;
    assert_eq!(kept.unregistered[0].documents, 1, "{kept:?}");
    let deleted = context.migrator(types()).delete_removed().migrate().await;
    assert_eq!(deleted.indices[0].documents.deleted, 1, "{deleted:?}");
    let again = context.migrator(types()).delete_removed().migrate().await;
    assert_eq!((again.outcome, again.indices[0].documents.deleted), (Outcome::NothingToDo, 0));
}

/// Returns notes with a secret, whose second version binds the owner.
pub(crate) fn notes_that_bind_the_owner() -> (Vec<TypeDefinition>, Vec<TypeDefinition>) {
    let mapping = json!({"dynamic": false, "properties": {"owner": {"type": "keyword"}}});
    let properties = json!({"owner": {"type": "string"}, "password": {"type": "string"}});
    let encrypted = json!([{"name": "password"}]);
    let first = version(properties.clone(), json!({"encrypted": encrypted, "bound": []}));
    let mut second = version(properties, json!({"encrypted": encrypted, "bound": ["owner"]}));
    second["waivers"] = json!([{"rule": "two_releases", "attributes": ["owner"], "reason": "a test"}]);
    (note(first.clone(), mapping.clone(), &[]), note(first, mapping, &[second]))
}

async fn an_attribute_that_becomes_bound_is_encrypted_anew(context: Context) {
    let (before, after) = notes_that_bind_the_owner();
    let old = context.store(before).await;
    let secrets = Secrets::from([("password".to_owned(), Secret::text("hidden"))]);
    let create = |owner: &str| Create::new("note", object(json!({"owner": owner}))).id(owner).secrets(secrets.clone());
    old.repository().create(create("kim")).await.expect("created");
    old.repository().create(Create::new("note", object(json!({"owner": "lee"}))).id("lee")).await.expect("created");

    let new = context.store(after).await;
    assert_eq!(new.start_report().expect("migrated").indices[0].documents.written, 2);
    let key = ObjectKey::new("note", "kim");
    let (_, opened) = new.repository().get_with_secrets(&key).await.expect("it opens under the new sets");
    assert_eq!(opened, secrets);
    let error = old.repository().get_with_secrets(&key).await.expect_err("and no longer under the old ones");
    assert!(matches!(error.kind(), ErrorKind::Decrypt | ErrorKind::Incompatible), "{error}");
}
