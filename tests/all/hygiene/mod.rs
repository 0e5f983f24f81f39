//! Secrets and keys are never printed: in no line of the log (at trace level, of all crates), in no error, report or
//! output of the command line, and in the `Debug` of no public type.
//!
//! All flows run in their own process, so that the log has no lines of other tests, and print every result.
//!
//! [`citations`] checks that comments and pages cite only what is in the repository, [`floors`] that modules use only
//! modules above them, [`packages`] that what is published is complete.

mod citations;
mod floors;
mod flows;
mod needles;
mod operator_flows;
mod packages;

use std::process::Stdio;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::context::{Context, KEY, key_ring};
use crate::named_trials;
use crate::take_over::kibana::{keys, truth};
use needles::Needles;

/// The variable of the process that runs the flows.
const VARIABLE: &str = "SAVED_OBJECTS_TEST_HYGIENE";

/// Secrets of the flows. They are long and random enough to be found, and have no common parts.
pub(crate) const SECRETS: [&str; 6] = [
    "cai7eeKoh3Oochie-token",
    "Ohng0wah9Shi5chu-refresh",
    "eiPh4ahX2aeNgo8i-password",
    "Xae1Quoh7ohcheid-hint",
    "uu3aiYa9Ieth6koh-stored-in-clear",
    "Ieg5ahm2Joo8fieY \"quoted\" \\ \u{e4}",
];
/// A key that is not the tests' key.
pub(crate) const OTHER_KEY: &str = "Deil8thoh3Aec9ja-another-key-0123456789";
/// A key of Kibana.
pub(crate) const KIBANA_KEY: &str = "eiNgoh0ooShaigh4-a-key-of-kibana-0123456";

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    match std::env::var_os(VARIABLE) {
        None => named_trials!(
            url,
            no_secret_is_told,
            citations::what_is_cited_exists,
            floors::modules_use_only_what_is_above_them,
            packages::packages_have_what_they_need,
        ),
        Some(_) => named_trials!(url, the_flows),
    }
}

async fn no_secret_is_told(context: Context) {
    needles::self_test();
    let output = tokio::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "hygiene::the_flows", "--nocapture"])
        .env(VARIABLE, context.prefix.to_string())
        .env("RUST_BACKTRACE", "0")
        .env("SAVED_OBJECTS_TEST_URL", &context.url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await
        .expect("it runs");
    let told = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&told);
    let end: Vec<&str> = text.lines().skip_while(|line| !line.contains("panicked at")).take(5).collect();
    assert!(output.status.success(), "{end:#?}");
    // Otherwise the output would have nothing to search.
    for part in ["TRACE hyper", "DEBUG", "flow: done", "Secret(redacted)", "unable to decrypt", "--json"] {
        assert!(text.contains(part), "{part:?} is in what was told: {} bytes", text.len());
    }
    let found = needles().find(&text);
    assert!(found.is_empty(), "{} secrets were told: {found:#?}", found.len());
    println!("{} bytes were told, and no secret is among them", told.len());
}

fn needles() -> Needles {
    let mut needles = Needles::default();
    for secret in SECRETS {
        needles.add("secret", secret.as_bytes());
        let json = serde_json::to_string(secret).expect("a text is JSON");
        needles.add("secret as JSON", json.trim_matches('"').as_bytes());
    }
    for key in [KEY, OTHER_KEY, KIBANA_KEY] {
        needles.add("key", key.as_bytes());
    }
    for key in texts(&kibana_keys()) {
        needles.add("key of Kibana", key.as_bytes());
    }
    let taken_over: Vec<String> = operator_flows::of_kibana().into_iter().map(|(id, _)| id).collect();
    assert!(taken_over.len() > 12, "there is something to be taken over");
    for truth in truth().into_iter().filter(|truth| taken_over.contains(&truth.id)) {
        for secret in ["token", "refreshToken", "credentials"].iter().flat_map(|name| texts(&truth.attributes[*name])) {
            // Long secrets are printed partly at most.
            let part: String = secret.trim_start_matches("Bearer ").chars().take(40).collect();
            if part.len() >= 12 {
                needles.add("secret of Kibana", part.as_bytes());
            }
        }
    }
    for key in [KEY, OTHER_KEY] {
        needles.add_derived(key, &["login", "connector_token", "user_connector_token"]);
    }
    needles
}

/// Returns all texts in a value.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(values) => values.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

fn kibana_keys() -> Value {
    let file = std::fs::read(keys(true).path()).expect("readable");
    serde_json::from_slice(&file).expect("JSON")
}

async fn the_flows(context: Context) {
    let prefix = std::env::var(VARIABLE).expect("a prefix").parse().expect("a prefix");
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    subscriber.init();
    all_flows(Context { prefix, ..context }).await;
    println!("flow: done");
}

async fn all_flows(context: Context) {
    let folder = tempfile::tempdir().expect("a folder");
    flows::write_definitions(folder.path(), 1);
    println!("flow: keys");
    flows::keys();
    println!("flow: objects");
    let store = flows::start(&context, folder.path(), key_ring()).await;
    flows::objects(&context, &store).await;
    println!("flow: tokens");
    flows::token_clients(&store).await;
    println!("flow: many objects at once");
    flows::many_objects(&store).await;
    println!("flow: access tokens");
    flows::access_tokens(&store).await;
    println!("flow: odd documents");
    operator_flows::odd_documents(&context, &store).await;
    println!("flow: other keys");
    operator_flows::other_keys(&context, folder.path()).await;
    println!("flow: transfer");
    flows::transfer(&store).await;
    println!("flow: command line");
    operator_flows::command_line(
        &context,
        folder.path(),
        &["status", "verify", "tokens list", "keys status", "migrate --plan", "migrate --rescan"],
    )
    .await;
    println!("flow: migration");
    flows::write_definitions(folder.path(), 2);
    operator_flows::migrations(&context, folder.path()).await;
    println!("flow: rotation");
    operator_flows::rotation(&context, folder.path(), &store).await;
    println!("flow: take-over");
    operator_flows::take_over(&context, folder.path()).await;
    let all =
        ["migrate", "verify", "keys rotate", "keys status", "quarantine list", "quarantine restore --all", "status"];
    operator_flows::command_line(&context, folder.path(), &all).await;
}
