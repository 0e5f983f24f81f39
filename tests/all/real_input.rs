//! Tokens from Kibana: each token of the fixture is stored through the clients and read back equal.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use jiff::Timestamp;
use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::environment::{Clock, Environment, SystemClock, SystemRng};
use saved_objects::tokens::{
    self, ConnectorId, ConnectorTokenClient, Credentials, NewToken, ProfileUid, Scope, TokenClient, TokenType,
};
use serde_json::{Value, json};

use crate::context::Context;
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, every_token_comes_back_as_it_was_given)
}

/// The attributes in clear of 900 shared tokens and 500 tokens of users. Ten of them say `"opens": false`: their
/// secrets were damaged in the index that they come from, but their original values are here.
const TOKENS: &str = include_str!("../fixtures/kibana_truth.ndjson");

/// A clock that shows a fixed time.
#[derive(Debug)]
struct SetClock {
    shown: Mutex<Timestamp>,
    system: SystemClock,
}

#[async_trait]
impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        *self.shown.lock().expect("no test panics with the lock")
    }

    fn monotonic(&self) -> Duration {
        self.system.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.system.sleep(duration).await;
    }
}

/// A line of the fixture.
struct Given(Value);

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0["_id"])
    }
}

impl Given {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.0["attributes"].get(name).map(|value| value.as_str().expect("a text"))
    }

    fn required(&self, name: &str) -> &str {
        self.attribute(name).unwrap_or_else(|| panic!("{self} has no {name}"))
    }

    fn moment(&self, name: &str) -> Option<Timestamp> {
        self.attribute(name).map(|text| text.parse().expect("a moment"))
    }

    fn scope(&self) -> Scope {
        match self.attribute("profileUid") {
            Some(profile_uid) => Scope::User(ProfileUid::new(profile_uid).expect("a profile uid")),
            None => Scope::Shared,
        }
    }

    fn connector_id(&self) -> ConnectorId {
        ConnectorId::new(self.required("connectorId")).expect("a connector id")
    }

    fn token_type(&self) -> TokenType {
        let name = self.attribute("tokenType").unwrap_or_else(|| self.required("credentialType"));
        TokenType::new(name).expect("a type")
    }

    fn credentials(&self) -> Credentials {
        match self.0["attributes"].get("credentials") {
            Some(credentials) => Credentials::Object(Secret::json(credentials).expect("not null")),
            None => Credentials::Token {
                token: Secret::text(self.required("token")),
                refresh_token: self.attribute("refreshToken").map(Secret::text),
            },
        }
    }

    fn new_token(&self) -> NewToken {
        let token = NewToken::new(self.credentials()).of_type(self.token_type());
        let token = self.moment("expiresAt").into_iter().fold(token, NewToken::expires_at);
        self.moment("refreshTokenExpiresAt").into_iter().fold(token, NewToken::refresh_token_expires_at)
    }
}

async fn every_token_comes_back_as_it_was_given(context: Context) {
    let clock = Arc::new(SetClock { shown: Mutex::new(Timestamp::UNIX_EPOCH), system: SystemClock::start() });
    let builder = context.builder(tokens::types().expect("built-in types"));
    let builder = builder.environment(Environment::new(clock.clone(), Arc::new(SystemRng)));
    let store = builder.start(saved_objects::Start::Migrate).await.expect("the store starts");
    let client = ConnectorTokenClient::new(&store).expect("the types are there");

    let given: Vec<_> = TOKENS.lines().map(|line| Given(serde_json::from_str(line).expect("a line of JSON"))).collect();
    assert_eq!(given.len(), 1_400);
    for one in &given {
        *clock.shown.lock().expect("no test panics with the lock") = one.moment("createdAt").expect("a moment");
        client.create(one.scope(), &one.connector_id(), one.new_token()).await.expect("stored");
    }

    for some in given.chunks(16) {
        join_all(some.iter().map(|one| check(&client, one))).await;
    }

    // The stored attributes that are not secret are the given ones, character for character.
    let index = format!("/{}-connectors", context.prefix);
    context.raw("POST", &format!("{index}/_refresh"), None).await;
    let body = json!({ "size": 10_000, "query": { "match_all": {} } });
    let mut answer = context.raw("POST", &format!("{index}/_search"), Some(body)).await;
    let hits = answer["hits"]["hits"].as_array_mut().expect("hits");
    assert_eq!(hits.len(), given.len());
    let mut stored: Vec<_> = hits.iter_mut().map(|hit| in_clear(hit["_source"].take())).collect();
    let mut expected: Vec<_> = given.into_iter().map(|one| without_secrets(one.0["attributes"].clone())).collect();
    stored.sort();
    expected.sort();
    assert_eq!(stored, expected);
}

/// Reads what was given, and compares all of it.
async fn check(client: &ConnectorTokenClient, given: &Given) {
    let read = client.get_of_type(given.scope(), &given.connector_id(), &given.token_type()).await.expect("readable");
    let read = read.unwrap_or_else(|| panic!("{given} is not there"));
    let metadata = &read.metadata;
    assert_eq!(metadata.scope, given.scope(), "{given}");
    assert_eq!(metadata.connector_id, given.connector_id(), "{given}");
    assert_eq!(metadata.token_type, given.token_type(), "{given}");
    assert_eq!(metadata.expires_at, given.moment("expiresAt"), "{given}");
    assert_eq!(metadata.refresh_token_expires_at, given.moment("refreshTokenExpiresAt"), "{given}");
    assert_eq!(Some(metadata.created_at), given.moment("createdAt"), "{given}");
    assert_eq!(Some(metadata.updated_at), given.moment("updatedAt"), "{given}");
    assert_eq!(read.credentials, given.credentials(), "{given}");
}

/// Returns the attributes of a source that are not encrypted, as text.
fn in_clear(mut source: Value) -> String {
    let type_name = source["type"].as_str().expect("a type").to_owned();
    without_secrets(source[type_name.as_str()].take())
}

fn without_secrets(mut attributes: Value) -> String {
    let members = attributes.as_object_mut().expect("an object");
    members.retain(|name, _| !["token", "refreshToken", "credentials"].contains(&name.as_str()));
    attributes.to_string()
}
