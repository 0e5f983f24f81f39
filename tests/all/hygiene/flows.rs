//! The flows, and what they print. Each is tried as it works and as it fails.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::encryption::{EncryptionService, KeyRing, KibanaCodec, KibanaKeys, Secret, Secrets};
use saved_objects::migrate::{Migrator, OnBad};
use saved_objects::quarantine::Quarantine;
use saved_objects::registry::{Registry, read_definitions};
use saved_objects::repository::{
    Create, Delete, Export, Filter, Find, Import, Kql, ObjectKey, OnConflict, Replace, SecretChange, SecretForm, Update,
};
use saved_objects::rotation::KeyRotation;
use saved_objects::tokens::{
    self, AccessTokens, ConnectorId, ConnectorTokens, Credentials, CredentialsChange, Grant, NewToken, ProfileUid,
    ProviderError, RefreshRequest, Refresher, Scope, TokenClient, TokenUpdate,
};
use saved_objects::verify::Verifier;
use saved_objects::{Change, Object, Objects, Result, SavedObjects, SecretAttributes, Start};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{KIBANA_KEY, OTHER_KEY, SECRETS};
use crate::cli::run_with;
use crate::context::{Context, KEY, key_ring};
use crate::migration::object;
use crate::take_over::kibana::{CORRUPT, Kibana, broken, documents, keys as kibana_keys};

const TOKEN: &str = SECRETS[0];
const REFRESH: &str = SECRETS[1];
const PASSWORD: &str = SECRETS[2];
const HINT: &str = SECRETS[3];
const IN_CLEAR: &str = SECRETS[4];
const QUOTED: &str = SECRETS[5];

/// Prints all that a value tells of itself.
fn show(what: &str, value: &impl Debug) {
    println!("{what}: {value:?}\n{value:#?}");
}

/// Prints an error as it is shown, with all its causes.
fn show_error<T: Debug, E: std::error::Error>(what: &str, result: Result<T, E>) {
    let error = result.expect_err(what);
    show(what, &error);
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        println!("{what}: {error}");
        cause = error.source();
    }
}

pub(super) async fn all(context: Context) {
    let folder = tempfile::tempdir().expect("a folder");
    write_definitions(folder.path(), 1);
    println!("flow: keys");
    keys();
    println!("flow: objects");
    let store = start(&context, folder.path(), key_ring()).await;
    objects(&context, &store).await;
    println!("flow: tokens");
    token_clients(&store).await;
    println!("flow: many objects at once");
    many_objects(&store).await;
    println!("flow: access tokens");
    access_tokens(&store).await;
    println!("flow: odd documents");
    odd_documents(&context, &store).await;
    println!("flow: other keys");
    other_keys(&context, folder.path()).await;
    println!("flow: transfer");
    transfer(&store).await;
    println!("flow: command line");
    command_line(
        &context,
        folder.path(),
        &["status", "verify", "tokens list", "keys status", "migrate --plan", "migrate --rescan"],
    )
    .await;
    println!("flow: migration");
    write_definitions(folder.path(), 2);
    migrations(&context, folder.path()).await;
    println!("flow: rotation");
    rotation(&context, folder.path(), &store).await;
    println!("flow: take-over");
    take_over(&context, folder.path()).await;
    let all =
        ["migrate", "verify", "keys rotate", "keys status", "quarantine list", "quarantine restore --all", "status"];
    command_line(&context, folder.path(), &all).await;
}

/// A type with secrets; its second version binds one attribute more.
fn write_definitions(folder: &Path, versions: usize) {
    let write = |path: String, content: Value| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, content.to_string()).expect("written");
    };
    write(
        "mappings/login.json".to_owned(),
        json!({
            "type": "login", "group": "logins", "namespace_kind": "single", "exportable": true, "random_id": false,
            "mapping": { "dynamic": false, "properties": { "user": { "type": "keyword" }, "rank": { "type": "long" } } }
        }),
    );
    let mut properties = json!({ "rank": { "type": "integer" } });
    for name in ["user", "password", "hint", "realm"] {
        properties[name] = json!({ "type": "string" });
    }
    let create =
        json!({ "type": "object", "additionalProperties": false, "required": ["user"], "properties": properties });
    let forward = json!({ "type": "object", "properties": properties });
    let waiver = json!({ "rule": "two_releases", "attributes": ["realm"], "reason": "a test has one release only" });
    let encrypted = json!([{ "name": "password" }, { "name": "hint" }]);
    let all = [
        json!({ "changes": [], "create": create, "forward": forward, "encrypted": encrypted, "bound": ["user"] }),
        json!({
            "create": create, "forward": forward, "encrypted": encrypted, "bound": ["user", "realm"],
            "changes": [{ "type": "data_backfill", "defaults": { "realm": "main" } }], "waivers": [waiver]
        }),
    ];
    for (number, version) in (1..).zip(&all[..versions]) {
        write(format!("model_versions/login/{number}.json"), version.clone());
    }
}

fn registry(folder: &Path) -> Registry {
    let own = read_definitions(folder).expect("fine definitions");
    Registry::builder().with(tokens::types().expect("built in")).with(own).build().expect("fine together")
}

async fn start(context: &Context, folder: &Path, ring: KeyRing) -> SavedObjects {
    let builder = SavedObjects::builder(registry(folder))
        .elasticsearch(&context.url)
        .prefix(context.prefix.clone())
        .key_ring(ring);
    show("builder", &builder);
    let store = builder.start(Start::Migrate).await.expect("started");
    show("store", &store);
    show("start report", &store.start_report());
    store
}

fn ring(primary: &str, others: &[&str]) -> KeyRing {
    KeyRing::new(primary.into(), others.iter().map(|other| (*other).into()).collect()).expect("fine keys")
}

fn keys() {
    show("ring", &ring(KEY, &[OTHER_KEY]));
    let too_short = |text: &str| KeyRing::new(text[..20].into(), Vec::new());
    show_error("short key", too_short(OTHER_KEY));
    show_error("key twice", KeyRing::new(KEY.into(), vec![OTHER_KEY.into(), OTHER_KEY.into()]));
    let file = |content: String| {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("written");
        file
    };
    for content in [
        format!(r#"{{"primary": ["{KEY}"]}}"#),
        format!(r#"{{"primary": "{KEY}", "decryption_only": "{OTHER_KEY}"}}"#),
        format!(r#"{{"primary": "{KEY}", "{OTHER_KEY}": 1}}"#),
        format!(r#"{{"{KEY}"#),
    ] {
        show_error("key file", KeyRing::from_file(file(content).path()));
    }
    let kibana = KibanaKeys::new(KIBANA_KEY.into(), Vec::new()).expect("a fine key");
    show("kibana keys", &kibana);
    let environment = saved_objects::environment::Environment::system();
    show("kibana codec", &KibanaCodec::new(kibana, environment.clone()));
    show_error(
        "kibana keys",
        KibanaKeys::from_file(file(format!(r#"{{"encryptionKey": {{"{KIBANA_KEY}": 1}}}}"#)).path()),
    );
    let service = EncryptionService::new(Some(ring(KEY, &[])), environment);
    show("service", &service);
    show("fingerprinter", &service.fingerprinter().expect("made"));
}

/// A typed view of the type, whose secrets are numbers: which they are not.
struct Numbers;

#[derive(Debug, Serialize, Deserialize)]
struct NumbersAttributes {
    user: String,
    rank: Option<u32>,
}

#[derive(Debug)]
struct Pins(#[allow(dead_code, reason = "shown by Debug")] u32);

impl Object for Numbers {
    const TYPE: &'static str = "login";
    type Attributes = NumbersAttributes;
    type Secrets = Pins;
}

impl SecretAttributes for Pins {
    fn from_secrets(secrets: Secrets) -> Result<Self> {
        show("secrets", &secrets);
        secrets["password"].parse().map(Self)
    }

    fn into_secrets(self) -> Secrets {
        Secrets::new()
    }
}

fn login(id: &str) -> Create {
    Create::new("login", object(json!({"user": "kim"})))
        .id(id)
        .secret("password", Secret::text(PASSWORD))
        .secret("hint", Secret::json(&json!({"a": [HINT, QUOTED]})).expect("JSON"))
}

async fn objects(context: &Context, store: &SavedObjects) {
    let repository = store.repository();
    show("repository", repository);
    let request = login("a");
    show("create", &request);
    let created = repository.create(request).await.expect("created");
    show("created", &created);
    let key = ObjectKey::new("login", "a");
    show("read", &repository.get(&key).await.expect("there"));
    let (read, secrets) = repository.get_with_secrets(&key).await.expect("there");
    assert_eq!(secrets["password"], Secret::text(PASSWORD), "it is there, and not shown");
    show("read with secrets", &(read, secrets));
    let found = repository.find(&["login"], Find::new()).await;
    show("found", &found);

    let update = |draft: &mut saved_objects::repository::Draft| {
        draft.attributes.insert("user".to_owned(), json!("lee"));
        draft.secret("hint", SecretChange::Set(Secret::text(QUOTED)));
        show("draft", draft);
        Ok(())
    };
    show("update", &Update::new(&key));
    let updated = repository.update(&key, update).await.expect("updated");
    let replace = Replace::of(&updated, object_with("lee")).secret("password", Secret::text(PASSWORD));
    show("replace", &replace);
    show("replaced", &repository.replace(replace).await.expect("replaced"));
    show("secret change", &SecretChange::Set(Secret::text(PASSWORD)));

    // A secret in the place of a plain attribute, an unknown attribute, and a number.
    let in_attributes = |attributes: Value| Create::new("login", object(attributes)).id("odd");
    for (what, request) in [
        ("secret among attributes", in_attributes(json!({"user": "kim", "password": PASSWORD}))),
        ("wrong type of an attribute", in_attributes(json!({"user": {"deep": PASSWORD}}))),
        ("unknown attribute", in_attributes(json!({"user": "kim", "more": PASSWORD}))),
        ("secret for a plain attribute", in_attributes(json!({})).secret("user", Secret::text(PASSWORD))),
        ("unknown secret", in_attributes(json!({"user": "kim"})).secret("more", Secret::text(PASSWORD))),
        ("rank", in_attributes(json!({"user": "kim", "rank": PASSWORD}))),
        ("again", login("a")),
    ] {
        show_error(what, repository.create(request).await);
    }
    show_error("null", Secret::json(&Value::Null));
    show_error("keyed by a secret", Secret::json(&BTreeMap::from([(vec![PASSWORD], 1)])));
    show_error("parsed", Secret::text(PASSWORD).parse::<u32>());
    show_error("parsed", Secret::json(&json!({"a": PASSWORD})).expect("JSON").parse::<BTreeMap<String, u32>>());
    show_error("text", Secret::json(&json!([PASSWORD])).expect("JSON").expose_text());

    // Nobody can search for a secret: whoever tries is told so.
    let filters = [Filter::equals("password", PASSWORD), Filter::any_of("hint", [PASSWORD])];
    for filter in filters {
        show_error("filter", repository.find(&["login"], Find::new().filter(filter)).await);
    }
    if let Ok(kql) = format!("password: \"{PASSWORD}\"").parse::<Kql>() {
        let outcome = repository.find(&["login"], Find::new().kql(kql)).await;
        println!("kql: {}", outcome.expect_err("it is encrypted"));
    }

    let numbers: Objects<Numbers> = store.objects().expect("registered");
    show("typed", &numbers);
    show_error("typed secrets", numbers.get_with_secrets("a").await);
    show("change", &Change::new("a").secret("password", SecretChange::Set(Secret::text(PASSWORD))));
    let deleted = repository.delete(Delete::new(ObjectKey::new("login", "none"))).await;
    show_error("deleted", deleted);
    repository.create(login("b")).await.expect("created");
    context.cluster().refresh(context.prefix.group("logins").alias()).await.expect("refreshed");
}

fn object_with(user: &str) -> saved_objects::document::Attributes {
    object(json!({"user": user}))
}

async fn token_clients(store: &SavedObjects) {
    let tokens = ConnectorTokens::new(store).expect("registered");
    show("tokens", &tokens);
    let connector = ConnectorId::new("github").expect("an id");
    for scope in [Scope::Shared, Scope::User(ProfileUid::new("kim").expect("an id"))] {
        let (token, refresh_token) = (Secret::text(TOKEN), Some(Secret::text(REFRESH)));
        let new = NewToken::new(Credentials::Token { token, refresh_token });
        show("new token", &new);
        let metadata = tokens.create(scope.clone(), &connector, new).await.expect("stored");
        show("metadata", &metadata);
        let read = tokens.get(scope.clone(), &connector).await.expect("readable");
        show("token", &read);
        show("credentials", &tokens.get_oauth_credentials(scope.clone(), &connector).await.expect("readable"));
        let refresh_token = SecretChange::Set(Secret::text(REFRESH));
        let change = CredentialsChange::Token { token: Secret::text(TOKEN), refresh_token };
        let update = TokenUpdate::new(change);
        show("token update", &update);
        show("updated", &tokens.update(&metadata.id, update).await.expect("updated"));
        let empty =
            NewToken::new(Credentials::Token { token: Secret::text(""), refresh_token: Some(Secret::text(REFRESH)) });
        show_error("empty token", tokens.create(scope.clone(), &connector, empty).await);
        let odd = Secret::json(&json!({"token": TOKEN})).expect("JSON");
        show_error("odd token", tokens.create(scope, &connector, NewToken::token(odd)).await);
    }
}

/// Operations on many objects, of which some fail.
async fn many_objects(store: &SavedObjects) {
    let repository = store.repository();
    let odd = Create::new("login", object(json!({"user": "kim", "password": PASSWORD}))).id("many-3");
    let created = repository.create_many([login("many-1"), login("many-2"), odd, login("a")]).await;
    show("created many", &created);
    let keys = ["many-1", "many-2", "none"].map(|id| ObjectKey::new("login", id));
    let updated = repository
        .update_many(keys.iter().map(Update::new), |_, draft| {
            draft.secret("password", SecretChange::Set(Secret::text(PASSWORD)));
            Ok(())
        })
        .await;
    show("updated many", &updated);
    let upserted = repository.upsert(login("many-1"), |draft| {
        draft.attributes.insert("more".to_owned(), json!(PASSWORD));
        Ok(())
    });
    show_error("upserted", upserted.await);
    for id in ["many-1", "many-2"] {
        repository.delete(Delete::new(ObjectKey::new("login", id))).await.expect("deleted");
    }
}

/// A provider that grants, or does not.
#[derive(Debug)]
struct Provider(Option<ProviderError>);

#[async_trait]
impl Refresher for Provider {
    async fn refresh(&self, request: &RefreshRequest) -> Result<Grant, ProviderError> {
        show("refresh request", request);
        let grant = Grant {
            access_token: Secret::text(TOKEN),
            refresh_token: Some(Secret::text(REFRESH)),
            expires_in: Some(Duration::from_nanos(1)),
            refresh_token_expires_in: None,
        };
        show("grant", &grant);
        self.0.clone().map_or(Ok(grant), Err)
    }
}

async fn access_tokens(store: &SavedObjects) {
    let access = AccessTokens::new(store).expect("registered");
    show("access tokens", &access);
    let connector = ConnectorId::new("github").expect("an id");
    let refused = ProviderError::Refused { reason: "no".to_owned() };
    for provider in [Provider(None), Provider(Some(ProviderError::InvalidGrant)), Provider(Some(refused))] {
        let provider: Arc<dyn Refresher> = Arc::new(provider);
        let failing = Secret::text(TOKEN);
        show("access token", &access.get_instead_of(Scope::Shared, &connector, &failing, &provider).await);
        show("access token", &access.get(Scope::Shared, &connector, &provider).await);
    }
}

/// An index that Kibana wrote: with secrets that open, some that do not, and documents that are none.
async fn take_over(context: &Context, folder: &Path) {
    let context = Context { prefix: format!("{}x", context.prefix).parse().expect("a prefix"), ..context.clone() };
    let kibana = Kibana::with(context.cluster().as_ref(), &format!("{}-source", context.prefix), &of_kibana()).await;
    let (types, argument) = (folder.to_string_lossy().into_owned(), kibana.argument());
    let files = [kibana_keys(false), kibana_keys(true)];
    for (file, more) in
        files.iter().zip([&["--plan"][..], &["--on-unreadable", "quarantine", "--on-bad", "quarantine"]])
    {
        let path = file.path().to_string_lossy().into_owned();
        let variables =
            [("RUST_LOG", "trace"), ("SAVED_OBJECTS_ENCRYPTION_KEY", KEY), ("SAVED_OBJECTS_KIBANA_KEYS_FILE", &path)];
        let arguments = [&["migrate", "--take-over", &argument, "--types", &types][..], more].concat();
        let ran = run_with(&context, &arguments, &variables).await;
        println!("{arguments:?} ended with {}\n{}\n{}", ran.code, ran.out, ran.err);
        assert!(ran.err.contains("TRACE") && ran.out.contains("connector_token"), "it did something");
    }
    command_line(&context, folder, &["verify", "quarantine list"]).await;
}

/// Some tokens of each kind as Kibana has them, by `_id`.
pub(super) fn of_kibana() -> Vec<(String, Value)> {
    let broken = broken();
    let is_wanted = |id: &str| id.contains("connector_token");
    let (odd, fine): (Vec<_>, Vec<_>) = documents()
        .into_iter()
        .filter(|(id, _)| is_wanted(id))
        .partition(|(id, _)| broken.contains(id) || CORRUPT.contains(&id.as_str()));
    odd.into_iter().chain(fine.into_iter().step_by(80).take(12)).collect()
}

/// Documents that others changed: secrets in clear where an envelope or something else belongs.
async fn odd_documents(context: &Context, store: &SavedObjects) {
    let good = context.stored("logins", "login:b").await;
    let with = |pointer: &str, value: Value| {
        let mut source = good.clone();
        *source.pointer_mut(pointer).expect("there") = value;
        source
    };
    let odd = [
        ("in-clear", with("/login/password", json!(IN_CLEAR))),
        ("object", with("/login/password", json!({ IN_CLEAR: IN_CLEAR }))),
        ("bound", with("/login/user", json!("mallory"))),
        ("moved", with("/login/hint", good["login"]["password"].clone())),
        ("unknown", {
            let mut source = good.clone();
            source["login"]["more"] = json!("odd");
            source
        }),
        ("references", with("/references", json!([{ "name": IN_CLEAR }]))),
    ];
    for (id, source) in &odd {
        context.put("logins", &format!("login:{id}"), source).await;
        let key = ObjectKey::new("login", *id);
        let (read, with_secrets) =
            (store.repository().get(&key).await, store.repository().get_with_secrets(&key).await);
        show("odd", &read);
        show("odd with secrets", &with_secrets);
        let update = store.repository().update(&key, |draft| {
            draft.attributes.insert("user".to_owned(), json!("lee"));
            Ok(())
        });
        show("odd updated", &update.await);
    }
    show("found", &store.repository().find(&["login"], Find::new()).await);
    let rank = with("/login/user", json!("kim"));
    let mut rank = rank;
    rank["login"]["rank"] = json!(IN_CLEAR);
    // The server's own words quote what a mapping does not take.
    let names = context.prefix.group("logins");
    let action = saved_objects::cluster::BulkAction::Put { source: rank.to_string().into() };
    let operations = [saved_objects::cluster::BulkOperation { id: "login:rank".to_owned(), action }];
    let alias = names.write_alias(1);
    let refresh = saved_objects::cluster::Refresh::Later;
    let request = saved_objects::cluster::BulkRequest { alias: &alias, operations: &operations, refresh };
    let outcome = context.cluster().bulk(&request).await.expect("answered").remove(0);
    show_error("mapping", outcome.map_err(|error| saved_objects::Error::invalid(format!("{error:?}"), "none")));
}

async fn other_keys(context: &Context, folder: &Path) {
    let builder = |ring: KeyRing| {
        SavedObjects::builder(registry(folder))
            .elasticsearch(&context.url)
            .prefix(context.prefix.clone())
            .key_ring(ring)
    };
    show_error("refused", builder(ring(OTHER_KEY, &[])).start(Start::Migrate).await);
    let store = builder(ring(OTHER_KEY, &[])).start(Start::Skip).await.expect("started");
    let key = ObjectKey::new("login", "b");
    show_error("wrong keys", store.repository().get_with_secrets(&key).await);
    show_error("reloaded", store.reload_keys(ring(OTHER_KEY, &[])).await);
    let without = SavedObjects::builder(registry(folder)).elasticsearch(&context.url).prefix(context.prefix.clone());
    let without = without.start(Start::Skip).await.expect("started");
    show_error("no keys", without.repository().get_with_secrets(&key).await);
    show_error("no keys", without.repository().create(login("c")).await);
}

async fn transfer(store: &SavedObjects) {
    let repository = store.repository();
    for form in [SecretForm::Strip, SecretForm::Encrypted, SecretForm::Clear] {
        let mut lines = Vec::new();
        let export = Export::found(["login"], Find::new()).secrets(form);
        show("export", &export);
        let summary = repository.export(export, &mut lines).await.expect("exported");
        show("exported", &summary);
        assert_eq!(String::from_utf8_lossy(&lines).contains(PASSWORD), form == SecretForm::Clear, "{form:?}");
        let import = Import::new().on_conflict(OnConflict::Overwrite);
        show("import", &import);
        show("imported", &repository.import(import, std::io::Cursor::new(lines)).await);
    }
    let line = |secrets: Value| {
        json!({"type": "login", "id": "i", "attributes": {"user": "kim"}, "secrets": secrets}).to_string()
    };
    let odd = [
        line(json!({"password": null, "more": PASSWORD})),
        line(json!([PASSWORD])),
        line(json!({"password": {"deep": PASSWORD}})),
        format!("{{\"type\": \"login\", \"secrets\": {{\"password\": \"{PASSWORD}\""),
        json!({"type": "login", "id": "i", "attributes": {"user": "kim", "password": PASSWORD}}).to_string(),
        json!({"type": "login", "id": "i", "attributes": {"user": "kim"}, "envelopes": {"password": PASSWORD}})
            .to_string(),
        json!({"type": "login", "id": "i", "attributes": PASSWORD}).to_string(),
        format!("\"{PASSWORD}\""),
        PASSWORD.to_owned(),
    ];
    for line in odd {
        show("imported", &repository.import(Import::new(), std::io::Cursor::new(line.into_bytes())).await);
    }
}

async fn migrations(context: &Context, folder: &Path) {
    let encryption = |ring| EncryptionService::new(Some(ring), context.environment.clone());
    let migrator = |ring| {
        let (registry, prefix) = (Arc::new(registry(folder)), context.prefix.clone());
        Migrator::new(context.cluster(), registry, prefix, encryption(ring), context.environment.clone())
    };
    let failing = migrator(key_ring());
    show("migrator", &failing);
    show("plan", &failing.describe().await);
    show("failed", &failing.migrate().await);
    show("status", &failing.status().await);
    show("wrong keys", &migrator(ring(OTHER_KEY, &[])).migrate().await);
    show("quarantined", &migrator(key_ring()).on_bad(OnBad::Quarantine).migrate().await);
    let quarantine = Quarantine::new(context.cluster(), context.prefix.clone());
    show("quarantine", &quarantine);
    show("in quarantine", &quarantine.list().await);
    for ring in [key_ring(), ring(OTHER_KEY, &[])] {
        let (registry, prefix) = (Arc::new(registry(folder)), context.prefix.clone());
        let verifier = Verifier::new(context.cluster(), registry, prefix, encryption(ring)).expect("made");
        show("verifier", &verifier);
        show("verified", &verifier.verify().await);
    }
}

async fn rotation(context: &Context, folder: &Path, store: &SavedObjects) {
    store.reload_keys(ring(OTHER_KEY, &[KEY])).await.expect("changed");
    let (registry, prefix) = (Arc::new(registry(folder)), context.prefix.clone());
    let encryption = EncryptionService::new(Some(ring(OTHER_KEY, &[KEY])), context.environment.clone());
    let rotation =
        KeyRotation::new(context.cluster(), registry, prefix, encryption.clone(), context.environment.clone());
    show("rotation", &rotation);
    show("key status", &rotation.status().await.expect("counted"));
    show("rotated", &rotation.rotate().await.expect("ended"));
    show("encryption", &encryption);
    let key = ObjectKey::new("login", "b");
    let (_, secrets) = store.repository().get_with_secrets(&key).await.expect("under the new key");
    assert_eq!(secrets["password"], Secret::text(PASSWORD));
}

/// Commands, each with its own log at trace level, for a person and with `--json`.
async fn command_line(context: &Context, folder: &Path, commands: &[&str]) {
    let types = folder.to_string_lossy().into_owned();
    let file = folder.join("in.ndjson");
    let line =
        json!({"type": "login", "id": "imported", "attributes": {"user": "kim"}, "secrets": {"password": PASSWORD}});
    let odd = json!({"type": "login", "id": "odd", "attributes": {"user": "kim"}, "secrets": {"more": PASSWORD}});
    std::fs::write(&file, format!("{line}\n{odd}\n")).expect("written");
    let out = folder.join("out.ndjson");
    let import = format!("import {}", file.display());
    let exports = ["strip", "encrypted", "clear --i-know-this-prints-secrets"]
        .map(|form| format!("export {} --secrets {form}", out.display()));
    let variables = [
        ("RUST_LOG", "trace"),
        ("SAVED_OBJECTS_ENCRYPTION_KEY", OTHER_KEY),
        ("SAVED_OBJECTS_DECRYPTION_ONLY_KEYS", KEY),
    ];
    let before = [("RUST_LOG", "trace"), ("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)];
    let variables: &[(&str, &str)] = if commands.contains(&"keys rotate") { &variables } else { &before };
    for command in commands.iter().map(|command| (*command).to_owned()).chain([import]).chain(exports) {
        for json in [&[][..], &["--json"]] {
            let arguments: Vec<&str> =
                command.split(' ').chain(["--types", &types]).chain(json.iter().copied()).collect();
            let ran = run_with(context, &arguments, variables).await;
            println!("{arguments:?} ended with {}\n{}\n{}", ran.code, ran.out, ran.err);
            assert!(ran.err.contains("TRACE"), "{command} logs at trace level");
        }
    }
}
