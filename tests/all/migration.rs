//! Migration on the real server.

use libtest_mimic::Trial;
use saved_objects::migrate::{Outcome, Way};
use saved_objects::tokens;

use crate::context::Context;
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, a_second_start_has_nothing_to_do)
}

async fn a_second_start_has_nothing_to_do(context: Context) {
    let first = context.migrator(tokens::types().expect("built-in types")).migrate().await;
    assert_eq!(first.outcome, Outcome::Migrated, "{first:?}");
    assert_eq!(first.indices[0].way, Way::Create);

    let cluster = context.cluster();
    let second = context.migrator(tokens::types().expect("built-in types"));
    let report = second.migrate().await;
    assert_eq!(report.outcome, Outcome::NothingToDo);
    assert_eq!(report.requests, 1, "one GET for the one index");
    drop(cluster);
}
