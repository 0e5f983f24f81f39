//! No secret and no key is told: in no line of the log, at trace level and of all crates, in no error, no report, no output of
//! the command line, and in the `Debug` of no public type.
//!
//! All flows run in a process of their own, so that nobody else's log is in the way, and print whatever they get.

mod flows;
mod needles;

use std::process::Stdio;

use libtest_mimic::Trial;

use crate::context::{Context, KEY};
use crate::named_trials;
use needles::Needles;

/// Set for the process that runs the flows.
const VARIABLE: &str = "SAVED_OBJECTS_TEST_HYGIENE";

/// Secrets of the flows. They are long and random enough to be found, and have no parts in common.
pub(crate) const SECRETS: [&str; 6] = [
    "cai7eeKoh3Oochie-token",
    "Ohng0wah9Shi5chu-refresh",
    "eiPh4ahX2aeNgo8i-password",
    "Xae1Quoh7ohcheid-hint",
    "uu3aiYa9Ieth6koh-stored-in-clear",
    "Ieg5ahm2Joo8fieY \"quoted\" \\ \u{e4}",
];
/// A key that is not the tests' own.
pub(crate) const OTHER_KEY: &str = "Deil8thoh3Aec9ja-another-key-0123456789";
/// A key of Kibana's.
pub(crate) const KIBANA_KEY: &str = "eiNgoh0ooShaigh4-a-key-of-kibana-0123456";

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    match std::env::var_os(VARIABLE) {
        None => named_trials!(url, no_secret_is_told),
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
    // Otherwise there was nothing to be found.
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
    for key in [KEY, OTHER_KEY] {
        needles.add_derived(key, &["login", "connector_token", "user_connector_token"]);
    }
    needles
}

async fn the_flows(context: Context) {
    let prefix = std::env::var(VARIABLE).expect("a prefix").parse().expect("a prefix");
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_writer(std::io::stderr)
        .with_ansi(false);
    subscriber.init();
    flows::all(Context { prefix, ..context }).await;
    println!("flow: done");
}
