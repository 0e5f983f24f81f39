//! A platform's own command line (`saved_objects_cli::run_with`), which has the transforms that the binary
//! `saved-objects` lacks. This test binary is that command line when [`CHILD`] is set.

use std::process::ExitCode;

use libtest_mimic::Trial;
use saved_objects::registry::Registry;
use saved_objects::repository::Create;
use serde_json::json;

use crate::cli::{Ran, run_binary};
use crate::context::Context;
use crate::migration::object;
use crate::starts::{notes, shout};
use crate::{named_trials, trials_without_cluster};

pub(crate) const CHILD: &str = "SAVED_OBJECTS_TEST_PLATFORM_BINARY";

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let on_the_server = named_trials!(url, a_platforms_command_line_has_its_transforms);
    on_the_server.into_iter().chain(trials_without_cluster!(the_types_are_the_platforms)).collect()
}

/// Is the platform's command line.
pub(crate) fn child() -> ExitCode {
    let registry = Registry::builder().with(notes(2)).transform("shout", shout).build().expect("valid");
    saved_objects_cli::run_with(registry)
}

async fn platform(context: &Context, arguments: &[&str]) -> Ran {
    let binary = std::env::current_exe().expect("this binary");
    run_binary(&binary, context, arguments, &[(CHILD, "1")]).await
}

async fn a_platforms_command_line_has_its_transforms(context: Context) {
    let store = context.store(notes(1)).await;
    let create = Create::new("note", object(json!({"title": "quiet"}))).id("n");
    store.repository().create(create).await.expect("created");
    let status = platform(&context, &["status", "--json"]).await;
    assert_eq!((status.code, &status.json()["blockers"]), (0, &json!([])), "{status:?}");
    let migrated = platform(&context, &["migrate", "--json"]).await;
    assert_eq!((migrated.code, &migrated.json()["outcome"]), (0, &json!("migrated")), "{migrated:?}");
    assert_eq!(context.stored("notes", "note:n").await["note"]["title"], "QUIET");
    let verified = platform(&context, &["verify"]).await;
    assert_eq!(verified.code, 0, "{verified:?}");
}

async fn the_types_are_the_platforms(context: Context) {
    let ran = platform(&context, &["status", "--only-types"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("the types are those of the platform"), "{ran:?}");
}
