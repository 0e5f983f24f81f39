//! Taking over an index that Kibana wrote.

pub(crate) mod in_memory;
pub(crate) mod kibana;
mod killed;

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::cli::{Ran, run_with};
use crate::context::{Context, KEY, MEMORY};
use crate::named_trials;
use kibana::{CORRUPT, Kibana, broken, keys};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let on_the_server = named_trials!(
        url,
        the_plan_counts_and_names_and_writes_nothing,
        without_keys_it_is_blocked_before_the_first_write,
        with_the_primary_key_alone_it_stops_and_lists,
        killed::killed_ten_times_it_ends_the_same,
        in_memory::every_vector_is_taken_over,
    );
    let in_memory = named_trials!(
        MEMORY,
        in_memory::every_vector_is_taken_over,
        in_memory::what_kibana_bound_one_release_early_is_tried,
        in_memory::a_namespace_that_a_type_has_not_is_not_bound,
        in_memory::what_does_not_open_is_stripped,
        in_memory::a_group_that_exists_is_not_taken_over,
        in_memory::a_hidden_source_is_named,
        in_memory::migrating_on_begins_where_it_ended,
        in_memory::an_undone_take_over_deletes_only_clones_that_nobody_wrote_to,
    );
    on_the_server.into_iter().chain(in_memory).collect()
}

/// Runs `saved-objects migrate --take-over` with these arguments, with our key and with Kibana's keys, if there are
/// some.
async fn migrate(context: &Context, kibana: &Kibana, arguments: &[&str], keys: Option<&str>) -> Ran {
    let argument = kibana.argument();
    let mut all = vec!["migrate", "--take-over", &argument, "--json"];
    all.extend(arguments);
    let mut variables = vec![("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)];
    variables.extend(keys.map(|path| ("SAVED_OBJECTS_KIBANA_KEYS_FILE", path)));
    run_with(context, &all, &variables).await
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().expect("a path")
}

/// Returns the ids that a report calls bad, with their fates, sorted.
fn bad(report: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let list = report["bad"].as_array().expect("a list");
    let mut bad: Vec<_> = list.iter().map(|bad| (text(&bad["id"]), text(&bad["fate"]))).collect();
    bad.sort_unstable();
    bad
}

fn corrupt(fate: &str) -> Vec<(String, String)> {
    CORRUPT.map(|id| (id.to_owned(), fate.to_owned())).to_vec()
}

/// Returns the indices of the group.
async fn indices(context: &Context) -> Vec<String> {
    let found = context.cluster().indices(&[&context.prefix.group("connectors").any()]).await.expect("answered");
    found.into_keys().collect()
}

fn check_counts(report: &Value) {
    let types = report["indices"][0]["types"].as_array().expect("a list");
    let of_type = |name: &str| types.iter().find(|of_type| of_type["type"] == name).expect("named").clone();
    assert_eq!(
        of_type("connector_token"),
        json!({"type": "connector_token", "to": 2, "by_version": {"0": 1, "1": 450, "2": 451}, "registered": true})
    );
    assert_eq!(
        of_type("user_connector_token"),
        json!({"type": "user_connector_token", "to": 2, "by_version": {"1": 500}, "registered": true})
    );
    assert_eq!(
        of_type("connector_usage_note"),
        json!({"type": "connector_usage_note", "to": null, "by_version": {"1": 30}, "registered": false})
    );
    assert_eq!(
        report["unregistered"],
        json!([{"type": null, "documents": 1}, {"type": "connector_usage_note", "documents": 30}])
    );
    let reasons: BTreeMap<&str, &str> = report["bad"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|bad| Some((bad["id"].as_str()?, bad["reason"].as_str()?)))
        .collect();
    for (id, words) in CORRUPT.into_iter().zip(["no attributes object", "the _id does not have the form", "no type"]) {
        assert!(reasons[id].contains(words), "{id}: {}", reasons[id]);
    }
}

async fn the_plan_counts_and_names_and_writes_nothing(context: Context) {
    let kibana = Kibana::load(&context, &format!(".{}", context.prefix)).await;
    let (cluster, file) = (context.cluster(), keys(true));
    let before = kibana.state(cluster.as_ref()).await;
    let planned = migrate(&context, &kibana, &["--plan"], Some(path(&file))).await;
    let report = planned.json();
    assert_eq!((planned.code, &report["outcome"]), (2, &json!("planned")), "{report}");
    assert_eq!(report["error"]["kind"], "corrupt", "the take-over would fail: {report}");
    let index = &report["indices"][0];
    assert_eq!((&index["way"], &index["index"]), (&json!("copy"), &json!(kibana.index)), "{index}");
    assert_eq!(index["take_over"]["alias"], json!(kibana.alias));
    check_counts(&report);
    assert_eq!((bad(&report), &report["bad_total"]), (corrupt("kept"), &json!(3)));
    for words in ["stop Kibana on every node", "snapshot"] {
        assert!(planned.err.contains(words), "{}", planned.err);
    }
    assert_eq!(
        (kibana.state(cluster.as_ref()).await, indices(&context).await),
        (before, vec![]),
        "nothing was written"
    );
    kibana.remove(cluster.as_ref()).await;
}

async fn without_keys_it_is_blocked_before_the_first_write(context: Context) {
    let kibana = Kibana::load(&context, &format!(".{}", context.prefix)).await;
    let cluster = context.cluster();
    let before = kibana.state(cluster.as_ref()).await;
    let plan = migrate(&context, &kibana, &["--plan"], None).await;
    check_counts(&plan.json());
    for ran in [plan, migrate(&context, &kibana, &[], None).await] {
        let report = ran.json();
        assert_eq!((ran.code, &report["outcome"]), (2, &json!("blocked")), "{report}");
        let blockers = report["blockers"].as_array().expect("a list");
        assert_eq!(blockers.len(), 1, "{report}");
        assert!(blockers[0]["hint"].as_str().expect("a hint").contains("SAVED_OBJECTS_KIBANA_KEYS_FILE"), "{report}");
    }
    let file = keys(true);
    let (argument, variables) = (kibana.argument(), [("SAVED_OBJECTS_KIBANA_KEYS_FILE", path(&file))]);
    let without_own = run_with(&context, &["migrate", "--take-over", &argument, "--json"], &variables).await;
    assert_eq!(without_own.code, 2, "{without_own:?}");
    let hint = without_own.json()["blockers"][0]["hint"].to_string();
    assert!(hint.contains("SAVED_OBJECTS_ENCRYPTION_KEY_FILE"), "{hint}");
    assert_eq!(
        (kibana.state(cluster.as_ref()).await, indices(&context).await),
        (before, vec![]),
        "nothing was written"
    );
    kibana.remove(cluster.as_ref()).await;
}

async fn with_the_primary_key_alone_it_stops_and_lists(context: Context) {
    let kibana = Kibana::load(&context, &format!(".{}", context.prefix)).await;
    let (cluster, file) = (context.cluster(), keys(false));
    let (_, writes) = kibana.state(cluster.as_ref()).await;
    let ran = migrate(&context, &kibana, &["--on-bad", "discard"], Some(path(&file))).await;
    let report = ran.json();
    assert_eq!((ran.code, &report["outcome"], &report["error"]["kind"]), (1, &json!("failed"), &json!("decrypt")));
    let hint = report["error"]["hint"].as_str().expect("a hint");
    assert!(hint.contains("every key") && hint.contains("--on-unreadable quarantine"), "{hint}");
    // All documents that no key decrypts, and all that only the old key decrypts; none of them is discarded.
    let kept: Vec<String> = bad(&report).into_iter().filter(|(_, fate)| fate == "kept").map(|(id, _)| id).collect();
    let reason =
        |id: &String| report["bad"].as_array().and_then(|bad| bad.iter().find(|bad| bad["id"] == **id)).cloned();
    assert!(broken().iter().all(|id| kept.contains(id)), "{kept:?}");
    assert!(kept.len() > 100, "{} documents do not open with the primary key", kept.len());
    for id in &kept {
        let reason = reason(id).expect("listed")["reason"].to_string();
        assert!(reason.contains("does not open"), "{id}: {reason}");
    }
    assert_eq!(bad(&report).len(), kept.len() + 3, "{report}");
    let of_take_over = &report["indices"][0]["take_over"];
    println!("{of_take_over}");
    let share = of_take_over["key_derivation_share"].as_f64().expect("a number");
    assert!(of_take_over["key_derivation_ms"].as_u64() > Some(0) && share > 0.0 && share <= 1.0, "{of_take_over}");
    assert!(ran.err.contains("deriving Kibana's keys took"), "{}", ran.err);
    assert_eq!(kibana.state(cluster.as_ref()).await, (false, writes), "it is Kibana's as before");
    assert_eq!(indices(&context).await, Vec::<String>::new());
    kibana.remove(cluster.as_ref()).await;
}
