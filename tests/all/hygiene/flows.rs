//! The flows, and what they print. Each flow runs with and without an error.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use saved_objects::encryption::{EncryptionService, KeyRing, KibanaCodec, KibanaKeys, Secret, Secrets};
use saved_objects::registry::{Registry, read_definitions};
use saved_objects::repository::{
    Create, Delete, Export, Filter, Find, Import, Kql, ObjectKey, OnConflict, Replace, SecretChange, SecretForm, Update,
};
use saved_objects::tokens::{
    self, AccessTokens, ConnectorId, ConnectorTokenClient, Credentials, CredentialsChange, Grant, NewToken, ProfileUid,
    ProviderError, RefreshRequest, Refresher, Scope, TokenClient, TokenUpdate,
};
use saved_objects::{Change, Object, Objects, Result, SavedObjects, SecretAttributes, Start};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{KIBANA_KEY, OTHER_KEY, SECRETS};
use crate::context::{Context, KEY};
use crate::migration::object;

pub(super) const TOKEN: &str = SECRETS[0];
pub(super) const REFRESH: &str = SECRETS[1];
pub(super) const PASSWORD: &str = SECRETS[2];
pub(super) const HINT: &str = SECRETS[3];
pub(super) const IN_CLEAR: &str = SECRETS[4];
pub(super) const QUOTED: &str = SECRETS[5];

/// Prints the `Debug` form of a value.
pub(super) fn show(what: &str, value: &impl Debug) {
    println!("{what}: {value:?}\n{value:#?}");
}

/// Prints an error with all its sources.
pub(super) fn show_error<T: Debug, E: std::error::Error>(what: &str, result: Result<T, E>) {
    let error = result.expect_err(what);
    show(what, &error);
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        println!("{what}: {error}");
        cause = error.source();
    }
}

/// Writes the definition of a type with secrets; its second version binds one more attribute.
pub(super) fn write_definitions(folder: &Path, versions: usize) {
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

pub(super) fn registry(folder: &Path) -> Registry {
    let own = read_definitions(folder).expect("fine definitions");
    Registry::builder().with(tokens::types().expect("built in")).with(own).build().expect("fine together")
}

pub(super) async fn start(context: &Context, folder: &Path, ring: KeyRing) -> SavedObjects {
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

pub(super) fn ring(primary: &str, others: &[&str]) -> KeyRing {
    KeyRing::new(primary.into(), others.iter().map(|other| (*other).into()).collect()).expect("fine keys")
}

pub(super) fn keys() {
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

/// A typed view that takes the type's secrets for numbers, which they are not.
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

pub(super) fn login(id: &str) -> Create {
    Create::new("login", object(json!({"user": "kim"})))
        .id(id)
        .secret("password", Secret::text(PASSWORD))
        .secret("hint", Secret::json(&json!({"a": [HINT, QUOTED]})).expect("JSON"))
}

pub(super) async fn objects(context: &Context, store: &SavedObjects) {
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

    // A secret in a plain attribute, an unknown attribute, and a number.
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

    // Secrets cannot be searched: the caller gets an error that says so.
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

pub(super) fn object_with(user: &str) -> saved_objects::document::Attributes {
    object(json!({"user": user}))
}

pub(super) async fn token_clients(store: &SavedObjects) {
    let tokens = ConnectorTokenClient::new(store).expect("registered");
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

/// Runs operations on many objects, some of which fail.
pub(super) async fn many_objects(store: &SavedObjects) {
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

/// A provider that grants, or refuses.
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

pub(super) async fn access_tokens(store: &SavedObjects) {
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

pub(super) async fn transfer(store: &SavedObjects) {
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
