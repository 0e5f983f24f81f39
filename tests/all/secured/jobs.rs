//! The privileges that `saved-objects privileges` prints: each job succeeds with exactly these, and with one less it
//! fails and names the missing one.

use std::collections::BTreeSet;

use saved_objects::cluster::Elastic;
use saved_objects::encryption::Secret;
use saved_objects::repository::{Create, Find};
use saved_objects::tokens::{ConnectorId, ConnectorTokenClient, Credentials, NewToken, Scope, TokenClient, types};
use saved_objects::{Error, ErrorKind, SavedObjects, Start};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::commands::clean;
use super::{Secured, secured};
use crate::context::{Context, key_ring};
use crate::faults::types::platform_files;
use crate::migration::object;
use crate::take_over::kibana::{Kibana, documents, keys, truth};

/// The commands that try the job `read`. Each must end with 0.
const READ: &[&[&str]] =
    &[&["status"], &["migrate", "--plan"], &["export"], &["tokens", "list"], &["doctor", "--job", "read"]];
const OPERATE: &[&[&str]] = &[
    &["status"],
    &["verify"],
    &["keys", "status"],
    &["keys", "rotate"],
    &["quarantine", "list"],
    &["tokens", "clean-up", "--expired-for", "1d"],
    &["tokens", "delete", "--connector", "c1"],
    &["export"],
    &["doctor", "--job", "operate"],
    &["migrate", "--pause"],
    &["migrate", "--resume"],
];

/// Returns the role that the command prints for a job under a prefix.
pub(super) async fn printed(server: &Secured, context: &Context, job: &str, prefix: &str) -> Value {
    let ran = server.run(context, &["privileges", job, "--prefix", prefix], &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

/// A privilege that a hint asks for: one of these, on the cluster or on indices.
#[derive(Debug)]
struct Asked {
    level: String,
    any_of: BTreeSet<String>,
}

/// Returns all privileges that the hints of a text ask for: "grant the index privilege `create_index` (or manage, all)
/// on …", as a refusal says, and "grant the index privileges `read` and `view_index_metadata` (which `manage` includes)
/// on …", as a report of unseen indices says.
fn asked_for(text: &str) -> Vec<Asked> {
    let names = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '_');
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let mut asked = Vec::new();
    for hint in text.split("grant the ").skip(1) {
        let Some((level, rest)) = hint.split_once(" privilege") else { continue };
        let (first, rest) = rest.split_once(" (").map_or((rest, ""), |(first, rest)| (first, rest));
        let others = rest.split_once(')').filter(|_| first.ends_with('`')).map_or("", |(others, _)| others);
        let any_of = |privilege: &str, others: Vec<String>| Asked {
            level: level.to_owned(),
            any_of: others.into_iter().chain([privilege.to_owned()]).collect(),
        };
        if let Some(privileges) = first.strip_prefix("s `").and_then(|all| all.strip_suffix('`')) {
            // The privilege that includes others includes the last one.
            let including = names(others.trim_start_matches("which `").trim_end_matches("` includes"));
            let (before, last) = privileges.rsplit_once("` and `").unwrap_or(("", privileges));
            asked.extend(before.split("` and `").map(|privilege| any_of(privilege, Vec::new())));
            asked.push(any_of(last, including));
        } else if let Some(privilege) = first.strip_prefix(" `").and_then(|rest| rest.split('`').next()) {
            asked.push(any_of(privilege, names(others.trim_start_matches("or "))));
        }
    }
    asked
}

/// Asserts that a text asks for a privilege, and that the role has no privilege that would replace it.
pub(super) fn assert_asks_for(text: &str, privilege: &str, role: &Value) {
    let has = |asked: &Asked| {
        let granted: Vec<&Value> = match asked.level.as_str() {
            "cluster" => role["cluster"].as_array().into_iter().flatten().collect(),
            _ => role["indices"]
                .as_array()
                .into_iter()
                .flatten()
                .flat_map(|it| it["privileges"].as_array())
                .flatten()
                .collect(),
        };
        granted.iter().any(|granted| granted.as_str().is_some_and(|granted| asked.any_of.contains(granted)))
    };
    let asked = asked_for(text);
    let names_it = |asked: &Asked| asked.any_of.contains(privilege) && !has(asked);
    assert!(asked.iter().any(names_it), "without {privilege}, and with {role}, {asked:?} is asked for: {text}");
}

/// Returns the role without one privilege, for each of its privileges.
fn with_one_less(role: &Value) -> Vec<(String, Value)> {
    let mut roles = Vec::new();
    for place in ["/cluster", "/indices/0/privileges"] {
        let all = role.pointer(place).and_then(Value::as_array).expect("privileges").clone();
        for (at, privilege) in all.iter().enumerate() {
            let mut less = role.clone();
            let mut left = all.clone();
            left.remove(at);
            *less.pointer_mut(place).expect("privileges") = Value::Array(left);
            roles.push((privilege.as_str().expect("a name").to_owned(), less));
        }
    }
    roles
}

/// Runs commands until one fails. Returns its exit code, and its output.
async fn first_failure(
    server: &Secured,
    context: &Context,
    prefix: &str,
    commands: &[&[&str]],
    key: &str,
) -> Option<(i32, String)> {
    for command in commands {
        let types = types_of(1);
        let types = types.path().to_str().expect("UTF-8");
        let arguments = [*command, &["--prefix", prefix, "--types", types]].concat();
        let ran = server.run_with_key(context, &arguments, key).await;
        if ran.code != 0 {
            return Some((ran.code, format!("{command:?} ended with {}: {}{}", ran.code, ran.out, ran.err)));
        }
    }
    None
}

/// Each job succeeds with its privileges; with one less it fails, and names the missing one.
pub(super) async fn each_job_needs_exactly_its_privileges(context: Context) {
    let server = secured().await;
    let prefix = format!("{}-jobs", context.prefix);
    for (job, commands) in [("read", READ), ("operate", OPERATE)] {
        prepare(&server, &context, &prefix).await;
        let role = printed(&server, &context, job, &prefix).await;
        let key = server.key_with_role(role.clone()).await;
        let failure = first_failure(&server, &context, &prefix, commands, &key).await;
        assert_eq!(failure, None, "{job} with {role}");
        for (privilege, less) in with_one_less(&role) {
            prepare(&server, &context, &prefix).await;
            let key = server.key_with_role(less.clone()).await;
            let failure = first_failure(&server, &context, &prefix, commands, &key).await;
            let (code, failure) = failure.unwrap_or_else(|| panic!("{job} does not need {privilege}"));
            assert_eq!(code, 2, "{job} without {privilege}: {failure}");
            assert_asks_for(&failure, &privilege, &less);
            println!("{job} without {privilege}: {failure}");
        }
    }
    clean(&server, &prefix).await;
    let role = printed(&server, &context, "migrate", &prefix).await;
    let key = server.key_with_role(role.clone()).await;
    assert_eq!(migrate_all(&server, &context, &prefix, &key).await, (None, String::new()), "migrate with {role}");
    for (privilege, less) in with_one_less(&role) {
        let key = server.key_with_role(less.clone()).await;
        let (failure, _) = migrate_all(&server, &context, &prefix, &key).await;
        let (code, said) = failure.unwrap_or_else(|| panic!("migrate does not need {privilege}"));
        // Unseen indices are a blocker; a forbidden request makes the migration fail. A pause has no report.
        let is_blocked = said.contains("may not see everything") || said.contains("--pause");
        let expected = if is_blocked { 2 } else { 1 };
        assert_eq!(code, expected, "migrate without {privilege}: {said}");
        assert_asks_for(&said, &privilege, &less);
        println!("migrate without {privilege}: {said}");
    }
}

/// The doctor says what the credentials lack for a job, and what it could not check without a privilege.
pub(super) async fn the_doctor_names_the_privileges_that_a_job_lacks(context: Context) {
    let server = secured().await;
    let prefix = format!("{}-doctor", context.prefix);
    prepare(&server, &context, &prefix).await;
    let role = printed(&server, &context, "read", &prefix).await;
    let key = server.key_with_role(role).await;
    let types = types_of(1);
    let types = ["--types", types.path().to_str().expect("UTF-8"), "--prefix", &prefix, "--json"];
    let look =
        async |job: &str| server.run_with_key(&context, &[&["doctor", "--job", job], &types[..]].concat(), &key).await;
    let finding = |json: &Value, check: &str| {
        let found = json["checks"].as_array().expect("checks").iter().find(|it| it["check"] == check);
        found.cloned().unwrap_or_else(|| panic!("{check} in {json}"))
    };
    let fits = look("read").await;
    assert_eq!((fits.code, &fits.json()["ok"]), (0, &json!(true)), "{fits:?}");
    assert_eq!(finding(&fits.json(), "security")["what"], "security is on");
    assert_eq!(finding(&fits.json(), "privileges")["state"], "ok");
    for check in ["version", "health", "templates", "shards", "disk", "clock"] {
        assert_eq!(finding(&fits.json(), check)["state"], "not_checked", "{check}: {fits:?}");
    }
    let lacks = look("migrate").await;
    assert_eq!((lacks.code, &lacks.json()["ok"]), (2, &json!(false)), "{lacks:?}");
    let privileges = finding(&lacks.json(), "privileges");
    let what = privileges["what"].as_str().expect("a text");
    assert!(what.ends_with(&format!("`migrate`: monitor on the cluster; manage, write on {prefix}-*")), "{what}");
}

/// Creates a folder with the definitions of a release of the tests' platform, whose types can be exported.
fn types_of(release: u32) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    platform_files(release).iter().for_each(|files| files.write(folder.path()).expect("written"));
    folder
}

/// Creates a new prefix with some tokens, as the user that may do everything.
pub(super) async fn prepare(server: &Secured, context: &Context, prefix: &str) {
    prepare_empty(server, context, prefix).await;
    store_token(server, prefix).await;
}

/// Migrates to the first release, and stores nothing.
async fn prepare_empty(server: &Secured, context: &Context, prefix: &str) {
    clean(server, prefix).await;
    let folder = types_of(1);
    let arguments = ["migrate", "--prefix", prefix, "--types", folder.path().to_str().expect("UTF-8")];
    let variables = [
        ("SAVED_OBJECTS_ELASTICSEARCH_USERNAME", "elastic"),
        ("SAVED_OBJECTS_ELASTICSEARCH_PASSWORD_FILE", server.password_file.to_str().expect("UTF-8")),
    ];
    let ran = server.run(context, &arguments, &variables).await;
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// Stores a token of the connector `c1`, as the user that may do everything.
pub(super) async fn store_token(server: &Secured, prefix: &str) {
    let all =
        server.settings(saved_objects::cluster::elastic::Credentials::basic("elastic", server.password_file.clone()));
    let registry =
        saved_objects::registry::Registry::builder().with(types().expect("built-in")).build().expect("valid");
    let store = SavedObjects::builder(registry).prefix(prefix.parse().expect("a prefix")).key_ring(key_ring());
    let store = store.elasticsearch(all).start(Start::Migrate).await.expect("it starts");
    let tokens = ConnectorTokenClient::new(&store).expect("the types are there");
    let connector = ConnectorId::new("c1").expect("an id");
    let token = Credentials::Token { token: Secret::text("Bearer 1"), refresh_token: None };
    tokens.create(Scope::Shared, &connector, NewToken::new(token)).await.expect("stored");
}

/// Migrates through all releases, by creation, in place and by copy, and back. Returns the exit code and the output of
/// the command that failed, and what was reported as skipped.
async fn migrate_all(server: &Secured, context: &Context, prefix: &str, key: &str) -> (Option<(i32, String)>, String) {
    clean(server, prefix).await;
    let mut skipped = String::new();
    let steps: [(u32, &[&str]); 11] = [
        (1, &["migrate"]),
        (2, &["migrate", "--plan"]),
        (2, &["migrate", "--pause"]),
        (2, &["migrate", "--resume"]),
        (2, &["migrate"]),
        (3, &["migrate"]),
        (3, &["verify"]),
        (3, &["migrate", "--rollback"]),
        (3, &["migrate"]),
        (3, &["migrate", "--drop-old", "--yes"]),
        (3, &["doctor"]),
    ];
    for (release, command) in steps {
        let types = types_of(release);
        let types = types.path().to_str().expect("UTF-8");
        let arguments = [command, &["--only-types", "--types", types, "--prefix", prefix]].concat();
        let ran = server.run_with_key(context, &arguments, key).await;
        if ran.code != 0 {
            let said = format!("{command:?} ended with {}: {}{}", ran.code, ran.out, ran.err);
            return (Some((ran.code, said)), skipped);
        }
        let said = ran.out.lines().chain(ran.err.lines()).filter(|line| line.contains("skipped"));
        skipped.extend(said.map(|line| format!("{line}\n")));
    }
    (None, skipped)
}

/// Runs a platform that starts after a migration, and reads and writes as platforms do.
async fn platform(server: &Secured, prefix: &str, key: &str) -> Result<(), Error> {
    let registry =
        saved_objects::registry::Registry::builder().with(types().expect("built-in")).build().expect("valid");
    let store = SavedObjects::builder(registry).prefix(prefix.parse().expect("a prefix")).key_ring(key_ring());
    let working = async {
        let store = store.elasticsearch(server.settings_of_key(key)).start(Start::Migrate).await?;
        let tokens = ConnectorTokenClient::new(&store)?;
        let connector = ConnectorId::new("c2").expect("an id");
        let token = || Credentials::Token { token: Secret::text("Bearer 2"), refresh_token: None };
        tokens.create(Scope::Shared, &connector, NewToken::new(token())).await?;
        tokens.get_oauth_credentials(Scope::Shared, &connector).await?;
        tokens.delete(Scope::Shared, &connector, None).await?;
        let repository = store.repository().including(&["connector_token"])?;
        repository.find(&["connector_token"], Find::new()).await?;
        let attributes = object(json!({
            "connectorId": "c3", "tokenType": "access_token", "expiresAt": "2030-01-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z", "updatedAt": "2026-01-01T00:00:00.000Z",
        }));
        let created = repository
            .create_many(vec![Create::new("connector_token", attributes).secret("token", Secret::text("Bearer 3"))])
            .await;
        for outcome in created {
            outcome?;
        }
        Ok::<(), Error>(())
    };
    working.await
}

/// Kibana's index needs privileges in addition to those under the prefix.
pub(super) async fn a_take_over_needs_exactly_its_privileges(context: Context) {
    let server = secured().await;
    let all =
        server.settings(saved_objects::cluster::elastic::Credentials::basic("elastic", server.password_file.clone()));
    let cluster = Elastic::builder(all).build().expect("fine settings");
    let prefix = context.prefix.to_string();
    let opens: BTreeSet<String> = truth().into_iter().filter(|it| it.opens).map(|it| it.id).collect();
    let documents: Vec<_> = documents().into_iter().filter(|(id, _)| opens.contains(id)).take(50).collect();
    let kibana = Kibana::with(&cluster, &format!(".{prefix}-kibana"), &documents).await;
    let file = keys(true);
    let arguments = ["migrate", "--take-over", &kibana.argument(), "--json"];
    let take_over = async |role: Value| {
        let key = server.key_with_role(role).await;
        let variables = [
            ("SAVED_OBJECTS_ELASTICSEARCH_API_KEY", key.as_str()),
            ("SAVED_OBJECTS_KIBANA_KEYS_FILE", file.path().to_str().expect("UTF-8")),
        ];
        server.run(&context, &arguments, &variables).await
    };
    let job = ["privileges", "migrate", "--take-over", &kibana.alias];
    let role = server.run(&context, &job, &[]).await.json();
    for at in 0..role["indices"][1]["privileges"].as_array().expect("privileges").len() {
        let mut less = role.clone();
        let removed = less["indices"][1]["privileges"].as_array_mut().expect("privileges").remove(at);
        let ran = take_over(less.clone()).await;
        let said = format!("{}{}", ran.out, ran.err);
        let expected = if said.contains("may not see everything") { 2 } else { 1 };
        assert_eq!(ran.code, expected, "without {removed}: {said}");
        // Takes a privilege from the role for Kibana's indices.
        let of_source = json!({ "indices": [less["indices"][1]] });
        assert_asks_for(&said, removed.as_str().expect("a name"), &of_source);
        println!("take-over without {removed}: {said}");
    }
    // The privileges of the job under the prefix alone do not show Kibana's index.
    let without_source = server.run(&context, &["privileges", "migrate"], &[]).await.json();
    let blind = take_over(without_source).await;
    assert_eq!(blind.code, 2, "{blind:?}");
    assert!(!blind.out.contains("there is no index behind"), "{blind:?}");
    let ran = take_over(role).await;
    assert_eq!((ran.code, &ran.json()["outcome"]), (0, &json!("migrated")), "{ran:?}");
    clean(&server, &prefix).await;
    kibana.remove(&cluster).await;
}

pub(super) async fn a_platform_runs_with_its_privileges(context: Context) {
    let server = secured().await;
    let prefix = format!("{}-run", context.prefix);
    let role = printed(&server, &context, "run", &prefix).await;
    // The platform stores the very first secret.
    prepare_empty(&server, &context, &prefix).await;
    let key = server.key_with_role(role.clone()).await;
    platform(&server, &prefix, &key).await.unwrap_or_else(|error| panic!("run with {role}: {error}"));
    for (privilege, less) in with_one_less(&role) {
        prepare(&server, &context, &prefix).await;
        let key = server.key_with_role(less.clone()).await;
        let failure = platform(&server, &prefix, &key).await.expect_err(&privilege);
        assert_eq!(failure.kind(), ErrorKind::Forbidden, "run without {privilege}: {failure}");
        assert_asks_for(&failure.to_string(), &privilege, &less);
        println!("run without {privilege}: {failure}");
    }
    clean(&server, &prefix).await;
}
