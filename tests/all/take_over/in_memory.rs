//! Take-overs of a few documents, on any cluster.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use saved_objects::cluster::{AliasAction, BulkAction, BulkOperation, BulkRequest, Cluster, Refresh};
use saved_objects::document::Namespace;
use saved_objects::encryption::{KeyRing, KibanaKeys, Secrets};
use saved_objects::migrate::{Fate as BadFate, Migrator, OnUnreadable, Outcome, Report, Way};
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::repository::ObjectKey;
use saved_objects::rotation::KeyRotation;
use saved_objects::verify::Verifier;
use saved_objects::{SavedObjects, Start};
use serde_json::{Value, json};
use tracing::instrument::WithSubscriber;

use super::kibana::Kibana;
use crate::context::{Context, KEY, key_ring};
use crate::faults::disturbed::{Call, Disturbed, Disturber, Fate};
use crate::log::Log;
use crate::migration::{current, version};

const VECTORS: &str = include_str!("../../fixtures/kibana_crypto_vectors.json");

/// A document that Kibana wrote, and its attributes in clear.
#[derive(Debug, Clone)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) raw_id: String,
    pub(crate) source: Value,
    pub(crate) clear: Value,
    key: String,
}

/// Returns the documents of the vectors, which all have the same key.
pub(crate) fn vectors() -> Vec<Vector> {
    static VECTORS: OnceLock<Vec<Vector>> = OnceLock::new();
    VECTORS.get_or_init(read_vectors).clone()
}

fn read_vectors() -> Vec<Vector> {
    let mut file: Value = serde_json::from_str(VECTORS).expect("the vectors");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let vector = |mut document: Value| Vector {
        name: text(&document["name"]),
        raw_id: text(&document["raw_id"]),
        key: text(&document["key"]),
        source: document["source"].take(),
        clear: document["decrypted_attributes"].take(),
    };
    let documents: Vec<Value> = serde_json::from_value(file["documents"].take()).expect("a list");
    documents.into_iter().map(vector).collect()
}

/// Returns the key of the vectors, as a former key of Kibana.
fn kibana_keys() -> KibanaKeys {
    let key = vectors()[0].key.clone();
    KibanaKeys::new("a-key-that-opens-nothing-0123456789-abc".into(), vec![key.into()]).expect("good keys")
}

/// Returns the key of the vectors alone.
pub(crate) fn kibana_key() -> KibanaKeys {
    KibanaKeys::new(vectors()[0].key.as_str().into(), Vec::new()).expect("a good key")
}

/// Returns the built-in types, and two other types of their group: one whose objects are in one namespace, and one
/// whose objects are in several.
fn types(more_versions: bool) -> Vec<TypeDefinition> {
    let definition = |name: &str, kind: &str, attributes: &[&str], secret: &str, bound: &[&str]| {
        let mapping = json!({"type": name, "group": "connectors", "namespace_kind": kind, "hidden": false, "exportable": true,
            "random_id": true, "identity": null, "removed": false, "mapping": {"dynamic": false, "properties": {}}});
        let properties: Value =
            attributes.iter().map(|name| ((*name).to_owned(), json!({}))).collect::<serde_json::Map<_, _>>().into();
        let mut properties = properties;
        properties[secret] = json!({"type": "string"});
        let sets = json!({"encrypted": [{"name": secret, "exposed": false}], "bound": bound});
        let mut versions = vec![version(properties.clone(), sets.clone())];
        if more_versions {
            properties["stars"] = json!({"type": "integer"});
            let mut second = version(properties, sets);
            second["changes"] = json!([{"type": "data_backfill", "defaults": {"stars": 1}}]);
            versions.push(second);
        }
        let versions: Vec<_> =
            (1..).zip(versions).map(|(number, version)| (format!("{number}.json"), version.to_string())).collect();
        TypeDefinition::from_json("type.json", &mapping.to_string(), &versions).expect("a valid definition")
    };
    let mut types = current();
    types.push(definition(
        "demo_secret",
        "single",
        &["name", "url", "config", "limit"],
        "secret",
        &["url", "config", "limit"],
    ));
    let attributes = ["actionTypeId", "name", "isMissingSecrets", "config"];
    let bound = ["actionTypeId", "isMissingSecrets", "config"];
    types.push(definition("action", "multiple-isolated", &attributes, "secrets", &bound));
    types
}

fn registry(more_versions: bool) -> Registry {
    Registry::builder().with(types(more_versions)).build().expect("the types go together")
}

fn migrator(context: &Context, kibana: &Kibana, keys: Option<KibanaKeys>) -> Migrator {
    migrator_on(context, context.cluster(), kibana, keys)
}

fn migrator_on(context: &Context, cluster: Arc<dyn Cluster>, kibana: &Kibana, keys: Option<KibanaKeys>) -> Migrator {
    let migrator = Migrator::new(&context.engine_on(cluster, registry(false), key_ring()));
    keys.into_iter().fold(migrator.take_over(kibana.take_over()), Migrator::kibana_keys)
}

async fn seeded(context: &Context, vectors: &[Vector]) -> Kibana {
    let documents: Vec<_> = vectors.iter().map(|vector| (vector.raw_id.clone(), vector.source.clone())).collect();
    Kibana::with(context.cluster().as_ref(), &format!(".{}", context.prefix), &documents).await
}

/// Returns what a repository reads, with secrets.
async fn read(context: &Context, vector: &Vector) -> Value {
    read_with(context, key_ring(), vector).await
}

async fn read_with(context: &Context, ring: KeyRing, vector: &Vector) -> Value {
    let builder = SavedObjects::builder(registry(false)).prefix(context.prefix.clone()).key_ring(ring);
    let store = builder.cluster(context.cluster()).start(Start::Skip).await.expect("the store starts");
    let type_name = vector.source["type"].as_str().expect("a type");
    let repository = store.repository().including(&[type_name]).expect("registered");
    let id = vector.raw_id.rsplit_once(':').expect("an id").1;
    let namespace = vector.source["namespace"].as_str().or_else(|| vector.source["namespaces"][0].as_str());
    let key = ObjectKey::new(type_name, id);
    let key = match namespace {
        Some(name) => key.in_namespace(Namespace::new(name).expect("a namespace")),
        None => key,
    };
    let (object, secrets): (_, Secrets) =
        repository.get_with_secrets(&key).await.unwrap_or_else(|error| panic!("{}: {error}", vector.name));
    let mut attributes = object.attributes;
    for (name, secret) in secrets {
        attributes.insert(name, secret.parse().expect("JSON"));
    }
    Value::Object(attributes)
}

pub(super) async fn every_vector_is_taken_over(context: Context) {
    let vectors = vectors();
    let kibana = seeded(&context, &vectors).await;
    let report = migrator(&context, &kibana, Some(kibana_keys())).migrate().await;
    assert_eq!((report.outcome, report.bad_total), (Outcome::Migrated, 0), "{report:?}");
    let index = &report.indices[0];
    assert_eq!((index.way, index.documents.written), (Way::Copy, 9), "{report:?}");
    let of_take_over = index.take_over.as_ref().expect("said so");
    assert!(of_take_over.key_derivation_ms > 0 && of_take_over.cores > 0, "{of_take_over:?}");
    assert!(of_take_over.key_derivation_share > 0.0 && of_take_over.key_derivation_share <= 1.0, "{of_take_over:?}");
    for vector in &vectors {
        assert_eq!(read(&context, vector).await, vector.clear, "{}", vector.name);
        let stored = context.stored("connectors", &vector.raw_id).await.to_string();
        assert!(stored.contains("\"U09FA"), "it has an envelope: {stored}");
    }
    let again = migrator(&context, &kibana, None).migrate().await;
    assert_eq!(again.outcome, Outcome::NothingToDo, "{again:?}");
    kibana.remove(context.cluster().as_ref()).await;
}

/// Kibana lists an attribute as bound in one release and writes it from the next one on, sometimes at the same version.
pub(super) async fn what_kibana_bound_one_release_early_is_tried(context: Context) {
    let mut vector =
        vectors().into_iter().find(|vector| vector.name == "user_connector_token_mv2_cloud").expect("there");
    vector.source["typeMigrationVersion"] = json!("10.1.0");
    let kibana = seeded(&context, std::slice::from_ref(&vector)).await;
    let report = migrator(&context, &kibana, Some(kibana_keys())).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    assert_eq!(read(&context, &vector).await, vector.clear);
}

pub(super) async fn what_does_not_open_is_stripped(context: Context) {
    let mut vectors = vectors();
    let both = vectors.iter_mut().find(|vector| vector.name == "connector_token_mv2_both_tokens").expect("there");
    // The refresh token belongs to another object.
    let foreign = json!("A".repeat(128));
    both.source["connector_token"]["refreshToken"] = foreign;
    both.clear.as_object_mut().expect("an object").remove("refreshToken");
    let id = both.raw_id.clone();
    let kibana = seeded(&context, &vectors).await;
    let failed = migrator(&context, &kibana, Some(kibana_keys())).migrate().await;
    assert_eq!(
        (failed.outcome, failed.bad_total, failed.bad[0].fate),
        (Outcome::Failed, 1, BadFate::Kept),
        "{failed:?}"
    );
    assert!(failed.bad[0].reason.contains("any of Kibana's keys"), "{failed:?}");
    assert!(!kibana.state(context.cluster().as_ref()).await.0, "the source takes writes as before");

    let stripping = migrator(&context, &kibana, Some(kibana_keys())).on_unreadable(OnUnreadable::Strip);
    let report = stripping.migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    let named: Vec<_> = report.bad.iter().map(|bad| (bad.id.as_str(), bad.fate)).collect();
    assert_eq!(named, [(id.as_str(), BadFate::Stripped)]);
    for vector in &vectors {
        assert_eq!(read(&context, vector).await, vector.clear, "{}", vector.name);
    }
}

/// Documents that are older than the sharing of their type can still have a `namespace`: no secret is bound to it, in
/// any way.
pub(super) async fn a_namespace_that_a_type_has_not_is_not_bound(context: Context) {
    let vectors = vectors();
    let mut as_stored = vectors.clone();
    for vector in as_stored.iter_mut().filter(|vector| vector.source["type"] != "demo_secret") {
        vector.source["namespace"] = json!("marketing");
    }
    let kibana = seeded(&context, &as_stored).await;
    let report = migrator(&context, &kibana, Some(kibana_keys())).migrate().await;
    assert_eq!((report.outcome, report.bad_total), (Outcome::Migrated, 0), "{report:?}");
    for vector in &vectors {
        assert_eq!(read(&context, vector).await, vector.clear, "{}", vector.name);
    }
    let new_ring = |others: &[&str]| {
        let others = others.iter().map(|other| (*other).into()).collect();
        KeyRing::new("a new key for tests only: 0123456789abcdef".into(), others).expect("good keys")
    };
    let engine = context.engine(registry(false), new_ring(&[KEY]));
    let verified = Verifier::new(&engine).expect("it has keys").verify().await.expect("verified");
    assert!(verified.ok, "{verified:?}");
    let rotated = KeyRotation::new(&engine).rotate().await.expect("it ends");
    assert_eq!((rotated.not_rotated.len(), rotated.dropped.len()), (0, 1), "{rotated:?}");
    for vector in &vectors {
        assert_eq!(read_with(&context, new_ring(&[]), vector).await, vector.clear, "{}", vector.name);
    }
}

pub(super) async fn a_group_that_exists_is_not_taken_over(context: Context) {
    let kibana = seeded(&context, &vectors()).await;
    context.migrator(current()).migrate().await;
    let before = kibana.state(context.cluster().as_ref()).await;
    let report = migrator(&context, &kibana, Some(kibana_keys())).migrate().await;
    assert_eq!(report.outcome, Outcome::Blocked, "{report:?}");
    assert!(report.blockers[0].what.contains("was not taken over"), "{report:?}");
    assert_eq!(kibana.state(context.cluster().as_ref()).await, before);
}

/// A group that was taken over is like any other: later versions migrate it, with or without the option.
pub(super) async fn migrating_on_begins_where_it_ended(context: Context) {
    let vectors = vectors();
    let kibana = seeded(&context, &vectors).await;
    let report = migrator(&context, &kibana, Some(kibana_keys())).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    let newer = Migrator::new(&context.engine(registry(true), key_ring()));
    let migrated = newer.take_over(kibana.take_over()).migrate().await;
    let index = &migrated.indices[0];
    assert_eq!(
        (migrated.outcome, index.way, index.documents.written),
        (Outcome::Migrated, Way::InPlace, 3),
        "{migrated:?}"
    );
    // No document is decrypted as Kibana's any more, whoever wrote it.
    let planted = &vectors[0];
    context.put("connectors", &planted.raw_id, &planted.source).await;
    let verified = context.verifier(current()).verify().await.expect("verified");
    assert!(verified.unreadable.iter().any(|one| one.id == planted.raw_id), "{verified:?}");
}

/// What happened to a clone that a take-over created and could not make current.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Since {
    Nothing,
    /// It was written to while it had aliases, which a restore removed.
    Written,
    /// It has the write alias.
    Open,
}

/// Gives the swap a fate, but not the requests that undo the copy after it.
#[derive(Debug)]
struct AtSwap(Fate, AtomicBool);

#[async_trait]
impl Disturber for AtSwap {
    async fn fate(&self, call: &Call) -> Fate {
        let is_swap = (call.method, call.state) == ("update_aliases", "swap");
        if is_swap && !self.1.swap(true, Ordering::Relaxed) { self.0 } else { Fate::Done }
    }
}

/// Runs a take-over whose swap meets this fate.
async fn take_over_until_swap(context: &Context, kibana: &Kibana, fate: Fate) -> Option<Report> {
    let cluster = Arc::new(Disturbed::new(context.cluster(), Arc::new(AtSwap(fate, AtomicBool::new(false)))));
    let migrator = migrator_on(context, cluster.clone(), kibana, Some(kibana_keys())).without_lease();
    cluster.watch(migrator.progress());
    tokio::select! {
        biased;
        () = cluster.killed() => None,
        report = migrator.migrate() => Some(report),
    }
}

/// A source that the credentials do not see is not taken for an absent one.
pub(super) async fn a_hidden_source_is_named(context: Context) {
    let kibana = seeded(&context, &vectors()).await;
    context.memory.as_ref().expect("in memory").hide(&kibana.alias);
    let migrator = migrator(&context, &kibana, None);
    for report in [migrator.describe().await, migrator.migrate().await] {
        assert_eq!(report.outcome, Outcome::Blocked, "{report:?}");
        let named = report.blockers.iter().any(|it| it.what.contains(&kibana.alias) && it.hint.contains("privileges"));
        assert!(named, "{:?}", report.blockers);
        let concludes = report.blockers.iter().any(|it| it.what.contains("there is no index"));
        assert!(!concludes, "{:?}", report.blockers);
    }
}

pub(super) async fn an_undone_take_over_deletes_only_clones_that_nobody_wrote_to(context: Context) {
    for since in [Since::Nothing, Since::Written, Since::Open] {
        let prefix = format!("{}-{since:?}", context.prefix).to_lowercase().parse().expect("a prefix");
        let context = Context { prefix, ..context.clone() };
        let (cluster, names) = (context.cluster(), context.prefix.group("connectors"));
        let kibana = seeded(&context, &vectors()).await;
        assert!(take_over_until_swap(&context, &kibana, Fate::Unsent).await.is_none(), "it dies");
        let (index, alias) = (names.index(1), names.write_alias(1));
        let add = AliasAction::Add { index: index.clone(), alias: alias.clone() };
        let remove = AliasAction::Remove { index: index.clone(), alias: alias.clone() };
        if since != Since::Nothing {
            cluster.update_aliases(&[add]).await.expect("added");
        }
        if since == Since::Written {
            let action = BulkAction::Create { source: r#"{"type":"note"}"#.into() };
            let operations = [BulkOperation { id: "note:of-a-user".to_owned(), action }];
            let request = BulkRequest { alias: &alias, operations: &operations, refresh: Refresh::Later };
            cluster.bulk(&request).await.expect("answered").remove(0).expect("written");
            cluster.update_aliases(&[remove]).await.expect("removed");
        }

        let log = Log::new();
        let undone = take_over_until_swap(&context, &kibana, Fate::Refused).with_subscriber(log.subscriber()).await;
        let undone = undone.expect("it is not killed");
        assert_eq!(undone.outcome, Outcome::Failed, "{since:?}: {undone:?}");
        assert!(!kibana.state(cluster.as_ref()).await.0, "{since:?}: Kibana can go on");
        let left = cluster.indices(&[&names.any()]).await.expect("answered");
        let left: Vec<_> = left.keys().collect();
        match since {
            Since::Nothing => assert!(left.is_empty(), "{left:?}"),
            Since::Written => {
                assert_eq!(left, [&index]);
                assert!(cluster.get(&index, "note:of-a-user").await.expect("answered").is_some());
                let expected = format!("left a clone that a take-over made: it was written to since name={index:?}");
                assert!(log.text().contains(&expected), "{}", log.text());
            }
            Since::Open => assert_eq!(left, [&index]),
        }
        // A start without the take-over reports the clone, and a take-over that succeeds uses another number.
        let plain = || Migrator::new(&context.engine_on(cluster.clone(), registry(false), key_ring()));
        let named = plain().status().await.expect("answered").blockers;
        let is_named = named.iter().any(|blocker| blocker.what.ends_with(&index));
        assert_eq!(is_named, since != Since::Nothing, "{since:?}: {named:?}");
        let report = migrator(&context, &kibana, Some(kibana_keys())).migrate().await;
        assert_eq!(report.outcome, Outcome::Migrated, "{since:?}: {report:?}");
        plain().migrate().await;
        let found = cluster.indices(&[&names.any()]).await.expect("answered");
        assert_eq!(found.contains_key(&index), report.indices[0].index == index || since != Since::Nothing);
    }
}
