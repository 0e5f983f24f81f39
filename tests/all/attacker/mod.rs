//! An attacker who can write the index and has no key. Each change is refused when a secret is opened, sealed again or
//! migrated, or is one of the changes that `docs/encryption.md` lists as not detected.

mod documents;
mod meta;
mod said;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use libtest_mimic::Trial;
use saved_objects::document::{Attributes, Namespace};
use saved_objects::encryption::Secret;
use saved_objects::migrate::Migrator;
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::repository::{Create, Draft, ObjectKey, Repository, SecretChange};
use saved_objects::verify::Verifier;
use saved_objects::{ErrorKind, SavedObjects, Start};
use serde_json::{Value, json};

use crate::context::{Context, key_ring};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    [documents::trials(url), meta::trials(url), said::trials(url)].into_iter().flatten().collect()
}

const TOKEN: &str = "the token of the owner";
const MEMO: &str = "a memo that nobody reads";
const REFRESH: &str = "the refresh token of the owner";

/// Returns vaults and safes, as releases 1 to 3 have them. The second release encrypts a refresh token, encrypts the
/// pin under another name and an exposed hint without its surrounding white space, and binds a scope; the third fills
/// in a kind, which no secret is bound to.
fn types(release: usize) -> Vec<TypeDefinition> {
    let properties = |names: &[&str]| -> Value {
        names
            .iter()
            .map(|name| ((*name).to_owned(), json!({"type": "string"})))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let create =
        |names: &[&str]| json!({"type": "object", "properties": properties(names), "additionalProperties": false});
    let sealed = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<Value>>();
    let newer = ["owner", "note", "scope", "kind", "token", "memo", "refreshToken", "sealedPin", "hint"];
    let mut encrypted = sealed(&["token", "memo", "refreshToken", "sealedPin"]);
    encrypted.push(json!({"name": "hint", "exposed": true}));
    let forward = json!({"type": "object", "properties": properties(&newer)});
    let versions = [
        json!({
            "create": create(&["owner", "note", "pin", "oldHint", "token", "memo"]), "forward": forward,
            "encrypted": sealed(&["token", "memo"]), "bound": ["owner"],
        }),
        json!({
            "create": create(&newer), "forward": forward, "encrypted": encrypted, "bound": ["owner", "scope"],
            "changes": [{"type": "transform", "name": "tidy"}],
        }),
        json!({
            "create": create(&newer), "forward": forward, "encrypted": encrypted, "bound": ["owner", "scope"],
            "changes": [{"type": "data_backfill", "defaults": {"kind": "plain"}}],
        }),
    ];
    let versions: Vec<_> =
        (1..).zip(&versions[..release]).map(|(n, version)| (format!("{n}.json"), version.to_string())).collect();
    let read = |name: &str| {
        let file = json!({
            "type": name, "group": "vaults", "namespace_kind": "single", "random_id": false,
            "mapping": {"dynamic": false, "properties": {"owner": {"type": "keyword"}}},
        });
        TypeDefinition::from_json("type.json", &file.to_string(), &versions).expect("a valid definition")
    };
    ["vault", "safe"].map(read).into()
}

fn registry(release: usize) -> Registry {
    let tidy = |attributes: &mut Attributes| {
        for (from, to) in [("pin", "sealedPin"), ("oldHint", "hint")] {
            if let Some(value) = attributes.remove(from) {
                let trimmed = value.as_str().map(|text| json!(text.trim()));
                attributes.insert(to.to_owned(), trimmed.unwrap_or(value));
            }
        }
        Ok(())
    };
    Registry::builder().with(types(release)).transform("tidy", tidy).build().expect("the types go together")
}

async fn store(context: &Context, release: usize, start: Start) -> Repository {
    let builder = SavedObjects::builder(registry(release)).prefix(context.prefix.clone()).key_ring(key_ring());
    let store = builder.cluster(context.cluster()).start(start).await.expect("the store starts");
    store.repository().clone()
}

fn migrator(context: &Context, release: usize) -> Migrator {
    Migrator::new(&context.engine(registry(release), key_ring()))
}

/// Returns the `_id`s of the documents that a verification by this release cannot read.
async fn unreadable(context: &Context, release: usize) -> Vec<String> {
    let verifier = Verifier::new(&context.engine(registry(release), key_ring()));
    let report = verifier.expect("it has keys").verify().await.expect("everything can be reached");
    report.unreadable.into_iter().map(|one| one.id).collect()
}

fn key(id: &str) -> ObjectKey {
    ObjectKey::new("vault", id)
}

fn object(value: Value) -> Attributes {
    value.as_object().cloned().expect("an object")
}

/// Creates a vault or a safe as the first release writes it.
async fn create(repository: &Repository, type_name: &str, id: &str, namespace: &str) {
    let request = Create::new(type_name, object(json!({"owner": "kim", "note": "n"})))
        .id(id)
        .namespace(Namespace::new(namespace).expect("a name"))
        .secret("token", Secret::text(TOKEN))
        .secret("memo", Secret::text(MEMO));
    repository.create(request).await.expect("created");
}

/// Adds the secrets of the second release.
async fn add_secrets(repository: &Repository, id: &str) {
    let change = |draft: &mut Draft| {
        draft.attributes.insert("scope".to_owned(), json!("own"));
        draft.secret("refreshToken", SecretChange::Set(Secret::text(REFRESH)));
        draft.secret("hint", SecretChange::Set(Secret::text("a hint")));
        Ok(())
    };
    repository.update(key(id), change).await.expect("updated");
}

async fn stored(context: &Context, id: &str) -> Value {
    context.stored("vaults", &format!("vault:{id}")).await
}

async fn put(context: &Context, id: &str, source: &Value) {
    context.put("vaults", &format!("vault:{id}"), source).await;
}

/// Asserts that no call returns a secret of the object, and that nothing is written: neither what the attacker planted
/// for sealing with our key, nor an envelope that was sealed for another object.
async fn expect_refused(context: &Context, reader: &Repository, id: &str, what: &str) {
    let before = stored(context, id).await;
    let shown = match reader.get(&key(id)).await {
        Ok(read) => format!("{} {:?}", Value::Object(read.attributes), read.unopened),
        Err(error) => format!("{error:?}"),
    };
    assert!(![TOKEN, MEMO, REFRESH].iter().any(|secret| shown.contains(secret)), "{what}: {shown}");
    let is_refusal = |kind| matches!(kind, ErrorKind::Decrypt | ErrorKind::Incompatible | ErrorKind::Corrupt);
    match reader.get_with_secrets(&key(id)).await {
        Ok((read, secrets)) => panic!("{what}: it opens: {:?} {read:?}", secrets.keys().collect::<Vec<_>>()),
        Err(error) => assert!(is_refusal(error.kind()), "{what}: {error:?}"),
    }
    // This update would seal every secret again.
    let rename = |draft: &mut Draft| {
        draft.attributes.insert("owner".to_owned(), json!("somebody else"));
        Ok(())
    };
    let error = reader.update(key(id), rename).await.map(drop).expect_err(what);
    assert!(is_refusal(error.kind()), "{what}: {error:?}");
    assert_eq!(stored(context, id).await, before, "{what}: nothing was written");
}

/// Returns the envelope with changed bytes.
fn changed(envelope: &Value, change: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut bytes = STANDARD.decode(envelope.as_str().expect("an envelope")).expect("base64");
    change(&mut bytes);
    json!(STANDARD.encode(bytes))
}

/// Returns the envelope with the number of another model version.
fn renamed(envelope: &Value, version: u8) -> Value {
    changed(envelope, |bytes| bytes[15] = version)
}
