//! Verification of what is stored on the real server.

use std::collections::BTreeMap;
use std::process::Output;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::Trial;
use saved_objects::encryption::{Secret, Secrets};
use saved_objects::migrate::{Outcome, Way};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::Create;
use saved_objects::verify::{TypeReport, VerificationReport};
use serde_json::{Value, json};

use crate::context::{Context, KEY};
use crate::migration::{current, notes_that_bind_the_owner, object, seed_version_1, source, version_1};
use crate::named_trials;
use crate::proxy::{Fault, Proxy};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        digests_stay_through_a_migration_in_place_and_another,
        digests_stay_when_secrets_are_encrypted_again,
        a_lost_document_and_a_changed_one_change_the_digest,
        an_index_that_is_not_there_has_no_documents,
        whatever_is_unreadable_is_listed_with_its_reason,
        without_keys_the_secrets_are_unreadable,
        what_an_index_says_in_an_unknown_form_fails,
        the_point_in_time_is_closed_when_reading_fails,
    )
}

async fn verify(context: &Context, types: Vec<TypeDefinition>) -> VerificationReport {
    context.verifier(types).verify().await.expect("everything can be reached")
}

fn of_type<'a>(report: &'a VerificationReport, name: &str) -> &'a TypeReport {
    let mut types = report.indices.iter().flat_map(|index| &index.types);
    types.find(|found| found.type_name == name).expect("every registered type is reported")
}

fn at(version: &str, documents: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([(version.to_owned(), documents)])
}

/// Runs `saved-objects verify`, with the tests' key or without a key.
async fn command(context: &Context, arguments: &[&str], key: Option<&str>) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_saved-objects"));
    command.args(["verify", "--elasticsearch-url", &context.url, "--prefix", &context.prefix.to_string()]);
    command.args(arguments);
    for name in
        ["SAVED_OBJECTS_ENCRYPTION_KEY_FILE", "SAVED_OBJECTS_ENCRYPTION_KEY", "SAVED_OBJECTS_DECRYPTION_ONLY_KEYS"]
    {
        command.env_remove(name);
    }
    command.envs(key.map(|key| ("SAVED_OBJECTS_ENCRYPTION_KEY", key)));
    command.output().await.expect("the command runs")
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

async fn digests_stay_through_a_migration_in_place_and_another(context: Context) {
    seed_version_1(&context).await;
    let before = verify(&context, current()).await;
    assert!(before.ok, "{before:?}");
    assert_eq!(of_type(&before, "connector_token").by_version, at("1", 40));

    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated);
    let after = verify(&context, current()).await;
    assert_eq!(of_type(&after, "connector_token").by_version, at("2", 40));
    assert_eq!(of_type(&after, "connector_token").digest, of_type(&before, "connector_token").digest);

    // Older software writes, the record of the migration is lost, and the migration runs again. The record also holds
    // when the index got its mapping, so all documents are written again.
    let older = json!({"doc": {"typeMigrationVersion": "10.1.0", "updated_at": "2026-03-01T00:00:00.000Z"}});
    let id = context.raw("GET", &format!("/{}/_search?size=1", context.index("connectors")), None).await;
    let id = id["hits"]["hits"][0]["_id"].as_str().expect("a document");
    context.raw("POST", &format!("/{}/_update/{id}?refresh=true", context.index("connectors")), Some(older)).await;
    let forgotten = json!({"_meta": {}});
    context.raw("PUT", &format!("/{}/_mapping", context.index("connectors")), Some(forgotten)).await;
    let again = context.migrator(current()).migrate().await;
    assert_eq!((again.indices[0].way, again.indices[0].documents.written), (Way::InPlace, 40), "{again:?}");
    let after = verify(&context, current()).await;
    assert_eq!(of_type(&after, "connector_token").digest, of_type(&before, "connector_token").digest);
}

async fn digests_stay_when_secrets_are_encrypted_again(context: Context) {
    let newest = || notes_that_bind_the_owner().1;
    let old = context.store(notes_that_bind_the_owner().0).await;
    for owner in ["kim", "lee"] {
        let secrets = Secrets::from([("password".to_owned(), Secret::text(&format!("hidden from {owner}")))]);
        let create = Create::new("note", object(json!({"owner": owner}))).id(owner).secrets(secrets);
        old.repository().create(create).await.expect("created");
    }
    let path = format!("/{}/_doc/note:kim", context.index("notes"));
    let envelope = async || context.raw("GET", &path, None).await["_source"]["note"]["password"].clone();
    let at_version_1 = envelope().await;
    let before = verify(&context, newest()).await;
    assert_eq!(context.migrator(newest()).migrate().await.outcome, Outcome::Migrated);
    let after = verify(&context, newest()).await;
    assert_ne!(envelope().await, at_version_1);
    assert_eq!(of_type(&after, "note").digest, of_type(&before, "note").digest);
    assert!(before.ok && after.ok);
}

async fn a_lost_document_and_a_changed_one_change_the_digest(context: Context) {
    let ids = seed_version_1(&context).await;
    let index = context.index("connectors");
    let mut digests = vec![of_type(&verify(&context, current()).await, "connector_token").digest];
    let change = json!({"doc": {"updated_by": "somebody"}});
    context.raw("POST", &format!("/{index}/_update/connector_token:{}", ids[3]), Some(change)).await;
    // Nothing was refreshed: a verification sees it anyway.
    digests.push(of_type(&verify(&context, current()).await, "connector_token").digest);
    context.raw("DELETE", &format!("/{index}/_doc/connector_token:{}", ids[3]), None).await;
    let after = verify(&context, current()).await;
    assert_eq!(of_type(&after, "connector_token").documents, 39);
    digests.push(of_type(&after, "connector_token").digest);
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[0] != digests[2], "{digests:?}");
}

async fn an_index_that_is_not_there_has_no_documents(context: Context) {
    let report = verify(&context, current()).await;
    assert!(!report.ok, "nothing was there to be read");
    assert_eq!(report.missing, [context.prefix.group("connectors").alias()]);
    assert_eq!(of_type(&report, "connector_token").documents, 0);
    let indices = context.raw("GET", &format!("/{}*", context.prefix), None).await;
    assert_eq!(indices, json!({}), "and it is not created");
}

async fn whatever_is_unreadable_is_listed_with_its_reason(context: Context) {
    let ids = seed_version_1(&context).await;
    let good = command(&context, &["--json"], Some(KEY)).await;
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    let report = json_of(&good);
    assert_eq!((&report["ok"], &report["unreadable"], &report["quarantined"]), (&json!(true), &json!([]), &json!([])));
    let tokens = &report["indices"][0]["types"][0];
    assert_eq!((&tokens["type"], &tokens["documents"]), (&json!("connector_token"), &json!(40)));
    assert_eq!(tokens["digest"].as_str().expect("a text").len(), 64);

    let index = context.index("connectors");
    type Change = fn(&mut [u8]);
    let changes: [(&str, Change); 2] =
        [(&ids[0], |envelope| envelope[50] ^= 1), (&ids[1], |envelope| envelope[4..12].fill(7))];
    for (id, change) in changes {
        let mut document = source(&context, &format!("connector_token:{id}")).await;
        let token = document["connector_token"]["token"].as_str().expect("an envelope");
        let mut envelope = STANDARD.decode(token).expect("base64");
        change(&mut envelope);
        document["connector_token"]["token"] = STANDARD.encode(envelope).into();
        context.raw("PUT", &format!("/{index}/_doc/connector_token:{id}"), Some(document)).await;
    }
    let corrupt = json!({"type": "connector_token", "typeMigrationVersion": "10.1.0"});
    context.raw("PUT", &format!("/{index}/_doc/connector_token:corrupt"), Some(corrupt)).await;

    let bad = command(&context, &["--json"], Some(KEY)).await;
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
    let report = json_of(&bad);
    assert_eq!(report["ok"], false);
    assert_eq!(report["indices"][0]["types"][0]["by_version"], json!({"1": 41}));
    let alias = context.prefix.group("connectors").alias().to_owned();
    let entry = |id: &str, attribute: Option<&str>, reason: &str| {
        json!({"alias": alias, "id": format!("connector_token:{id}"), "type": "connector_token", "attribute": attribute,
            "reason": reason})
    };
    let mut expected = [
        entry(&ids[0], Some("token"), "the envelope, a bound attribute or the place of the attribute was changed"),
        entry(&ids[1], Some("token"), "the envelope was made with the key 0707070707070707, which is not configured"),
        entry("corrupt", None, "the document has no attributes object `connector_token`"),
    ];
    expected.sort_by_key(|entry| entry["id"].to_string());
    assert_eq!(report["unreadable"], json!(expected));

    let told = command(&context, &[], Some(KEY)).await;
    assert_eq!(told.status.code(), Some(2));
    let text = String::from_utf8(told.stdout.clone()).expect("UTF-8");
    assert!(text.contains("unreadable: connector_token:corrupt in"), "{text}");
    assert!(text.ends_with("not all well: of 41 documents, 3 documents or secrets cannot be read\n"), "{text}");
    for stream in [good.stdout, good.stderr, bad.stdout, bad.stderr, told.stdout, told.stderr] {
        let text = String::from_utf8(stream).expect("UTF-8");
        assert!(!text.contains("Bearer") && !text.contains("U09FA") && !text.contains(KEY), "{text}");
    }
}

async fn without_keys_the_secrets_are_unreadable(context: Context) {
    seed_version_1(&context).await;
    let output = command(&context, &["--json"], None).await;
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let report = json_of(&output);
    assert_eq!(report["unreadable"].as_array().expect("a list").len(), 40);
    assert_eq!(report["unreadable"][0]["reason"], "no encryption key is configured");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(text.contains("set SAVED_OBJECTS_ENCRYPTION_KEY_FILE or SAVED_OBJECTS_ENCRYPTION_KEY"), "{text}");
}

async fn what_an_index_says_in_an_unknown_form_fails(context: Context) {
    context.store(version_1()).await;
    let odd = json!({"_meta": {"saved_objects": {"types": 7}}});
    context.raw("PUT", &format!("/{}/_mapping", context.index("connectors")), Some(odd)).await;
    let output = command(&context, &["--json"], Some(KEY)).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(json_of(&output)["error"]["kind"], "incompatible");
}

async fn the_point_in_time_is_closed_when_reading_fails(context: Context) {
    seed_version_1(&context).await;
    let proxy = Proxy::start(&context.url, |seen, _| match seen.path.starts_with("/_search") {
        true => Fault::Status(400),
        false => Fault::None,
    })
    .await;
    let through = Context { url: proxy.url().to_owned(), ..context.clone() };
    through.verifier(current()).verify().await.expect_err("the pages cannot be read");
    let seen = proxy.seen();
    assert!(seen.iter().any(|request| request.starts_with("DELETE /_pit")), "{seen:?}");
}
