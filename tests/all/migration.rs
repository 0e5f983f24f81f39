//! Migration on the real server.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use saved_objects::document::Attributes;
use saved_objects::encryption::{Secret, Secrets};
use saved_objects::migrate::{DocumentCounts, Fate, Outcome, Way};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Create, ObjectKey, Repository};
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
        a_refused_mapping_is_an_error_with_its_cure,
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

/// Forty tokens as version 1 writes them.
pub(crate) async fn seed_version_1(context: &Context) -> Vec<String> {
    let store = context.store(version_1()).await;
    let repository = store.repository().including(&["connector_token"]).expect("registered");
    let mut ids = Vec::new();
    for number in 0..40 {
        ids.push(create_token(&repository, number).await);
    }
    context.raw("POST", &format!("/{}/_refresh", context.index("connectors")), None).await;
    ids
}

pub(crate) async fn source(context: &Context, id: &str) -> Value {
    context.raw("GET", &format!("/{}/_doc/{id}", context.index("connectors")), None).await["_source"].clone()
}

async fn a_second_start_has_nothing_to_do(context: Context) {
    let first = context.migrator(current()).migrate().await;
    assert_eq!((first.outcome, first.indices[0].way), (Outcome::Migrated, Way::Create), "{first:?}");

    let proxy = Proxy::start(&context.url, |_, _| Fault::None).await;
    let second = Context { url: proxy.url().to_owned(), ..context.clone() }.migrator(current()).migrate().await;
    assert_eq!((second.outcome, second.requests), (Outcome::NothingToDo, 1));
    let expected = format!("GET /{}?ignore_unavailable=true", context.prefix.group("connectors").alias());
    assert_eq!(proxy.seen(), [expected], "one GET for the one index, and no write");
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
    assert_eq!(tokens.by_version, BTreeMap::from([("1".to_owned(), 40)]));

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
    assert_eq!(report.indices[0].types[0].by_version, BTreeMap::from([("1".to_owned(), 40)]));
    let writes: Vec<_> =
        proxy.seen().into_iter().filter(|seen| !seen.contains("_search") && !seen.starts_with("GET")).collect();
    assert_eq!(writes, Vec::<String>::new());
}

async fn a_document_changed_meanwhile_is_left_to_whoever_changed_it(context: Context) {
    let ids = seed_version_1(&context).await;
    // An older node changes a document in the moment between its reading and its writing.
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
    // Their node still finds them at its own version, and may bring them on.
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
    // The cure, as it is written.
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
    assert!(report.blockers[0].cure.contains("model version 2"), "{report:?}");
}

async fn a_foreign_index_under_the_alias_is_a_blocker(context: Context) {
    let alias = context.prefix.group("connectors").alias().to_owned();
    context.raw("PUT", &format!("/{alias}"), None).await;
    let report = context.migrator(current()).migrate().await;
    assert_eq!(report.outcome, Outcome::Blocked, "{report:?}");
    assert!(report.blockers[0].cure.contains("another prefix"), "{report:?}");
}

async fn a_refused_mapping_is_an_error_with_its_cure(context: Context) {
    let sets = json!({"encrypted": [], "bound": []});
    let first = version(json!({"title": {"type": "string"}}), sets.clone());
    context
        .store(note(first.clone(), json!({"dynamic": false, "properties": {"title": {"type": "keyword"}}}), &[]))
        .await;
    // The index got another mapping for the field from elsewhere.
    let field = json!({"properties": {"note": {"properties": {"count": {"type": "keyword"}}}}});
    context.raw("PUT", &format!("/{}/_mapping", context.index("notes")), Some(field)).await;
    let mut second = version(json!({"title": {"type": "string"}, "count": {"type": "integer"}}), sets);
    second["changes"] = json!([{"type": "mappings_addition", "properties": {"count": {"type": "long"}}}]);
    let mapping = json!({"dynamic": false, "properties": {"title": {"type": "keyword"}, "count": {"type": "long"}}});
    let report = context.migrator(note(first, mapping, &[second])).migrate().await;
    assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
    let error = report.error.expect("an error");
    assert_eq!(error.kind, ErrorKind::Incompatible);
    assert!(error.message.contains("count") && !error.cure.is_empty(), "{error:?}");
}

async fn an_attribute_that_becomes_bound_is_encrypted_anew(context: Context) {
    let mapping = json!({"dynamic": false, "properties": {"owner": {"type": "keyword"}}});
    let properties = json!({"owner": {"type": "string"}, "password": {"type": "string"}});
    let encrypted = json!([{"name": "password"}]);
    let first = version(properties.clone(), json!({"encrypted": encrypted, "bound": []}));
    let mut second = version(properties, json!({"encrypted": encrypted, "bound": ["owner"]}));
    second["waivers"] = json!([{"rule": "two_releases", "attributes": ["owner"], "reason": "a test"}]);
    let old = context.store(note(first.clone(), mapping.clone(), &[])).await;
    let secrets = Secrets::from([("password".to_owned(), Secret::text("hidden"))]);
    let create = |owner: &str| Create::new("note", object(json!({"owner": owner}))).id(owner).secrets(secrets.clone());
    old.repository().create(create("kim")).await.expect("created");
    old.repository().create(Create::new("note", object(json!({"owner": "lee"}))).id("lee")).await.expect("created");

    let new = context.store(note(first, mapping, &[second])).await;
    assert_eq!(new.start_report().expect("migrated").indices[0].documents.written, 2);
    let key = ObjectKey::new("note", "kim");
    let (_, opened) = new.repository().get_with_secrets(&key).await.expect("it opens under the new sets");
    assert_eq!(opened, secrets);
    let error = old.repository().get_with_secrets(&key).await.expect_err("and no longer under the old ones");
    assert!(matches!(error.kind(), ErrorKind::Decrypt | ErrorKind::Incompatible), "{error}");
}
