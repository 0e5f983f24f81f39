//! The command line as users see it: exit codes, JSON, and answers to bad input.

use std::path::Path;
use std::process::{Output, Stdio};

use libtest_mimic::Trial;
use saved_objects::layout::Prefix;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::context::{Context, KEY, NOWHERE};
use crate::{named_trials, trials_without_cluster};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let on_the_server = named_trials!(
        url,
        migrate_status_and_again,
        a_broken_definition_is_named_with_file_and_hint,
        keys_are_checked_before_anything_is_written,
        a_blocked_migration_is_2,
        the_demo_goes_to_its_end,
    );
    let without_cluster = trials_without_cluster!(
        without_a_command_it_helps,
        wrong_usage_is_64,
        a_server_that_is_not_there,
        definitions_are_checked_and_released,
        on_a_machine_with_nothing_the_demo_runs_in_memory,
        the_demo_on_a_real_server_needs_one,
        in_memory_contradicts_a_real_server,
    );
    on_the_server.into_iter().chain(without_cluster).collect()
}

/// The output and the exit code of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("one JSON document: {error}: {self:?}"))
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code().expect("an exit code"), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Starts a command as a process of the server at `url`, with the tests' key.
pub(crate) fn spawn(url: &str, prefix: &Prefix, arguments: &[&str], variables: &[(&str, &str)]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_saved-objects"))
        .args(arguments)
        .args(["--elasticsearch-url", url, "--prefix", &prefix.to_string()])
        .env_remove("SAVED_OBJECTS_ENCRYPTION_KEY_FILE")
        .env("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the command runs")
}

pub(crate) async fn run_with(context: &Context, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    run_binary(env!("CARGO_BIN_EXE_saved-objects").as_ref(), context, arguments, variables).await
}

/// Runs the command line in `binary`.
pub(crate) async fn run_binary(
    binary: &Path,
    context: &Context,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Ran {
    let output = Command::new(binary)
        .args(arguments)
        .args(["--prefix", &context.prefix.to_string()])
        .env_remove("SAVED_OBJECTS_ENCRYPTION_KEY")
        .env_remove("SAVED_OBJECTS_ENCRYPTION_KEY_FILE")
        .env("SAVED_OBJECTS_ELASTICSEARCH_URL", &context.url)
        .envs(variables.iter().copied())
        .kill_on_drop(true)
        .output()
        .await
        .expect("the command runs");
    output.into()
}

pub(crate) async fn run(context: &Context, arguments: &[&str]) -> Ran {
    run_with(context, arguments, &[]).await
}

async fn without_a_command_it_helps(context: Context) {
    let ran = run(&context, &[]).await;
    assert_eq!(ran.code, 0);
    for command in ["migrate", "status", "check", "dev", "demo"] {
        assert!(ran.out.contains(&format!("\n  {command} ")), "{}", ran.out);
    }
}

async fn wrong_usage_is_64(context: Context) {
    for arguments in [&["migrat"][..], &["migrate", "--unknown"], &["migrate", "--prefix=A B"], &["check", "--release"]]
    {
        let ran = run(&context, arguments).await;
        assert_eq!(ran.code, 64, "{ran:?}");
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{ran:?}");
    }
}

async fn migrate_status_and_again(context: Context) {
    let plan = run(&context, &["migrate", "--plan", "--json"]).await;
    assert_eq!((plan.code, &plan.json()["outcome"]), (0, &json!("planned")));
    let first = run(&context, &["migrate", "--json"]).await;
    assert_eq!((first.code, &first.json()["outcome"]), (0, &json!("migrated")));
    let alias = context.prefix.group("connectors").alias().to_owned();
    assert_eq!(first.json()["indices"][0]["alias"], json!(alias));
    assert_eq!(first.json()["indices"][0]["way"], "create");
    let again = run(&context, &["migrate", "--json"]).await;
    assert_eq!(
        (again.code, &again.json()["outcome"], &again.json()["requests"]),
        (0, &json!("nothing_to_do"), &json!(2)),
        "one for the index, one for the keys in use"
    );
    let status = run(&context, &["status", "--json"]).await;
    assert_eq!((status.code, &status.json()["indices"][0]["way"]), (0, &json!("none")));
    let words = run(&context, &["migrate"]).await;
    assert!(words.out.contains("nothing to do"), "{words:?}");
}

async fn a_server_that_is_not_there(context: Context) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let nowhere = Context { url: format!("http://{free}"), ..context };
    let started = std::time::Instant::now();
    let ran = run(&nowhere, &["migrate", "--json"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        started.elapsed() < std::time::Duration::from_secs(5),
        "the user waits for nothing: {:?}",
        started.elapsed()
    );
    let report = ran.json();
    assert!(report["error"]["message"].as_str().is_some_and(|it| it.contains(&free.to_string())), "{report}");
    assert_eq!((&report["outcome"], &report["error"]["kind"]), (&json!("failed"), &json!("unavailable")));
    assert!(report["error"]["hint"].as_str().expect("a hint").contains("check that Elasticsearch runs"), "{report}");
    let malformed = Context { url: "127.0.0.1:9200".to_owned(), ..nowhere };
    let ran = run(&malformed, &["status"]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("http://127.0.0.1:9200"), "{ran:?}");
}

pub(crate) fn write(folder: &Path, name: &str, content: &Value) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
    std::fs::write(path, content.to_string()).expect("the file is written");
}

fn note_files(folder: &Path) {
    let mapping = json!({"type": "note", "group": "notes", "namespace_kind": "single", "hidden": false, "exportable": true,
        "random_id": false, "identity": null, "removed": false,
        "mapping": {"dynamic": false, "properties": {"title": {"type": "keyword"}}}});
    write(folder, "mappings/note.json", &mapping);
    let version = json!({"changes": [], "create": {"type": "object", "properties": {"title": {"type": "string"}},
        "required": ["title"], "additionalProperties": false}, "forward": null, "encrypted": [], "bound": [], "waivers": []});
    write(folder, "model_versions/note/1.json", &version);
}

async fn a_broken_definition_is_named_with_file_and_hint(context: Context) {
    let folder = tempfile::tempdir().expect("a folder");
    note_files(folder.path());
    let file = folder.path().join("mappings/note.json");
    let mut mapping: Value = serde_json::from_slice(&std::fs::read(&file).expect("readable")).expect("JSON");
    mapping["hiden"] = json!(true);
    write(folder.path(), "mappings/note.json", &mapping);
    let types = folder.path().to_str().expect("UTF-8");
    let migrated = run(&context, &["migrate", "--types", types]).await;
    assert_eq!(migrated.code, 1, "{migrated:?}");
    assert!(migrated.err.contains("mappings/note.json") && migrated.err.contains("hiden"), "{migrated:?}");
    let checked = run(&context, &["check", "--types", types, "--json"]).await;
    assert_eq!(checked.code, 2, "{checked:?}");
    let violation = &checked.json()["violations"][0];
    assert!(violation["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{violation}");
    // Nothing was written for the valid types either.
    let index = context.raw("GET", &format!("/{}*", context.prefix), None).await;
    assert_eq!(index, json!({}));
}

async fn definitions_are_checked_and_released(context: Context) {
    let folder = tempfile::tempdir().expect("a folder");
    note_files(folder.path());
    let types = folder.path().to_str().expect("UTF-8");
    let unreleased = run(&context, &["check", "--types", types, "--json"]).await;
    assert_eq!((unreleased.code, &unreleased.json()["ok"]), (0, &json!(true)), "{unreleased:?}");
    let released = run(&context, &["check", "--types", types, "--release", "--json"]).await;
    assert_eq!((released.code, &released.json()["released"]), (0, &json!(true)), "{released:?}");
    // An edit after the release.
    let file = folder.path().join("model_versions/note/1.json");
    let mut version: Value = serde_json::from_slice(&std::fs::read(&file).expect("readable")).expect("JSON");
    version["create"]["required"] = json!([]);
    write(folder.path(), "model_versions/note/1.json", &version);
    let edited = run(&context, &["check", "--types", types, "--json"]).await;
    assert_eq!(edited.code, 2, "{edited:?}");
    assert!(edited.json()["violations"].to_string().contains("model_versions/note/1.json"), "{edited:?}");
}

async fn keys_are_checked_before_anything_is_written(context: Context) {
    let short = run_with(&context, &["migrate"], &[("SAVED_OBJECTS_ENCRYPTION_KEY", "too short")]).await;
    assert_eq!(short.code, 1, "{short:?}");
    assert!(short.err.contains("at least 32 are needed") && short.err.contains("openssl rand"), "{short:?}");
    assert!(!short.err.contains("too short"), "the key is not shown: {short:?}");
    let index = context.raw("GET", &format!("/{}*", context.prefix), None).await;
    assert_eq!(index, json!({}));
}

async fn a_blocked_migration_is_2(context: Context) {
    let alias = context.prefix.group("connectors").alias().to_owned();
    context.raw("PUT", &format!("/{alias}"), None).await;
    let ran = run(&context, &["migrate", "--json"]).await;
    assert_eq!((ran.code, &ran.json()["outcome"]), (2, &json!("blocked")));
    let status = run(&context, &["status"]).await;
    assert_eq!(status.code, 2);
    assert!(status.out.contains("blocker: "), "{status:?}");
}

async fn the_demo_goes_to_its_end(context: Context) {
    let ran = run(&context, &["demo", "--json"]).await;
    let document = to_its_end(&ran);
    assert_eq!(document["cluster"], "elasticsearch");
    assert_eq!(document["elasticsearch"]["url"], context.url);
}

/// Asserts that the demo ended well, and returns its document.
fn to_its_end(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    let document = ran.json();
    assert_eq!((&document["ok"], &document["seeded"]), (&json!(true), &json!(20_000)));
    assert_eq!(document["migration"]["indices"][0]["documents"]["written"], json!(20_000));
    let steps = document["tokens"]["steps"].as_array().expect("steps");
    assert!(steps.len() == 14 && steps.iter().all(|step| step["ok"] == json!(true)), "{steps:?}");
    document
}

/// Runs the demo in an empty folder, without commands and without variables that lead to a JDK or a server.
async fn demo_with_nothing(arguments: &[&str]) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_saved-objects"));
    for variable in ["JAVA_HOME", "ES_JAVA_HOME", "SAVED_OBJECTS_ELASTICSEARCH_URL"] {
        command.env_remove(variable);
    }
    command.arg("demo").args(arguments).env("PATH", "").current_dir(&folder).kill_on_drop(true);
    command.output().await.expect("the command runs").into()
}

async fn on_a_machine_with_nothing_the_demo_runs_in_memory(_: Context) {
    let ran = demo_with_nothing(&["--json"]).await;
    let document = to_its_end(&ran);
    assert_eq!((&document["cluster"], &document["elasticsearch"]), (&json!("memory"), &Value::Null));
    // The machine that runs this test may have a JDK where installers put one.
    let first: Vec<&str> = ran.err.lines().take(5).collect();
    assert!(first.iter().any(|line| line.contains("this machine cannot start a real Elasticsearch: ")), "{first:?}");
    let (_, short) = ran.err.split_once("In short").expect("a closing table");
    assert!(short.contains("the cluster in memory, not a real Elasticsearch"), "{short}");
    assert!(short.contains("install ") && short.contains("`saved-objects demo --real`"), "{short}");
}

async fn the_demo_on_a_real_server_needs_one(_: Context) {
    let ran = demo_with_nothing(&["--real", "--json"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let error = &ran.json()["error"];
    assert_eq!(error["kind"], "invalid");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("install ")), "{error}");
}

async fn in_memory_contradicts_a_real_server(_: Context) {
    for arguments in [&["--in-memory", "--real"][..], &["--in-memory", "--elasticsearch-url", NOWHERE]] {
        assert_eq!(demo_with_nothing(arguments).await.code, 64, "{arguments:?}");
    }
}
