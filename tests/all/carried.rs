//! What operators configured on an index (limits on its fields, settings, aliases), and what a copy keeps of it.

use libtest_mimic::Trial;
use saved_objects::migrate::{Outcome, Way};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::Create;
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::migration::{note, notes_of_release, object, version};
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_copy_keeps_what_operators_gave_the_index,
        aliases_of_operators_go_back_with_a_rollback,
        too_many_fields_are_a_blocker_before_anything_is_written,
        the_limit_of_fields_is_the_indexs_own,
        a_new_index_with_too_many_fields_is_a_blocker,
    )
}

async fn seed(context: &Context) {
    let store = context.store(notes_of_release(1)).await;
    for number in 0..5 {
        let request = Create::new("note", object(json!({"title": format!("t{number}")}))).id(number.to_string());
        store.repository().create(request).await.expect("created");
    }
}

/// Returns the value of an index setting, by its name without `index.`.
async fn setting(context: &Context, index: &str, path: &str) -> Value {
    let found = context.raw("GET", &format!("/{index}"), None).await;
    found[index]["settings"]["index"].pointer(&format!("/{}", path.replace('.', "/"))).cloned().unwrap_or_default()
}

async fn aliases(context: &Context, index: &str) -> Value {
    context.raw("GET", &format!("/{index}"), None).await[index]["aliases"].clone()
}

async fn give(context: &Context) -> [String; 2] {
    let index = context.index("notes");
    let settings = json!({"index": {
        "refresh_interval": "30s", "auto_expand_replicas": "false", "number_of_replicas": "0", "priority": "7",
        "mapping.total_fields.limit": "3000", "max_result_window": "20000", "search.slowlog.threshold.query.warn": "2s",
    }});
    let answer = context.raw("PUT", &format!("/{index}/_settings"), Some(settings)).await;
    assert_eq!(answer["acknowledged"], true, "{answer}");
    let [starred, report] = ["starred", "report"].map(|name| format!("{}-{name}", context.prefix));
    let actions = json!({"actions": [
        {"add": {"index": index, "alias": starred, "filter": {"term": {"type": "note"}}}},
        {"add": {"index": index, "alias": report, "index_routing": "1", "search_routing": "1", "is_hidden": true}},
    ]});
    let answer = context.raw("POST", "/_aliases", Some(actions)).await;
    assert_eq!(answer["acknowledged"], true, "{answer}");
    [starred, report]
}

async fn a_copy_keeps_what_operators_gave_the_index(context: Context) {
    seed(&context).await;
    let [starred, report_alias] = give(&context).await;
    let plan = context.migrator(notes_of_release(2)).describe().await;
    let told = |alias: &str| format!("alias {alias}");
    assert!(plan.indices[0].carried.contains(&told(&starred)), "{plan:?}");
    let report = context.migrator(notes_of_release(2)).migrate().await;
    assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::Copy), "{report:?}");
    let names = context.prefix.group("notes");
    let (old, new) = (names.index(1), names.index(2));
    for (name, value) in [
        ("refresh_interval", "30s"),
        ("auto_expand_replicas", "false"),
        ("number_of_replicas", "0"),
        ("priority", "7"),
        ("mapping.total_fields.limit", "3000"),
        ("max_result_window", "20000"),
        ("search.slowlog.threshold.query.warn", "2s"),
    ] {
        assert_eq!(setting(&context, &new, name).await, value, "{name}");
        assert!(report.indices[0].carried.contains(&format!("setting index.{name} = {value}")), "{report:?}");
    }
    let on_new = aliases(&context, &new).await;
    assert_eq!(on_new[&starred], json!({"filter": {"term": {"type": "note"}}}), "{on_new}");
    assert_eq!(
        on_new[&report_alias],
        json!({"index_routing": "1", "search_routing": "1", "is_hidden": true}),
        "{on_new}"
    );
    assert_eq!(aliases(&context, &old).await, json!({}), "an alias of both would find everything twice");
    assert_eq!(report.indices[0].carried.len(), 9, "{report:?}");
    // A copy of an index without an operator's changes reports none.
    let again = context.migrator(notes_of_release(2)).migrate().await;
    assert_eq!((again.outcome, again.indices[0].carried.len()), (Outcome::NothingToDo, 0), "{again:?}");
}

async fn aliases_of_operators_go_back_with_a_rollback(context: Context) {
    seed(&context).await;
    let [starred, report_alias] = give(&context).await;
    assert_eq!(context.migrator(notes_of_release(2)).migrate().await.outcome, Outcome::Migrated);
    let report = context.migrator(notes_of_release(2)).rollback().await;
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    let names = context.prefix.group("notes");
    let back = aliases(&context, &names.index(1)).await;
    assert_eq!(back[&starred], json!({"filter": {"term": {"type": "note"}}}), "{back}");
    assert!(back.get(&report_alias).is_some(), "{back}");
    assert!(aliases(&context, &names.index(2)).await.get(&starred).is_none());
}

/// Returns notes whose second release has `fields` more fields.
fn with_fields(fields: usize) -> Vec<TypeDefinition> {
    let sets = json!({"encrypted": [], "bound": []});
    let added: Map<String, Value> = (0..fields).map(|n| (format!("f{n}"), json!({"type": "keyword"}))).collect();
    let mut properties = Map::from_iter([("title".to_owned(), json!({"type": "keyword"}))]);
    properties.extend(added.clone());
    let schema: Map<String, Value> = properties.keys().map(|name| (name.clone(), json!({"type": "string"}))).collect();
    let first = version(json!({"title": {"type": "string"}}), sets.clone());
    let mut second = version(Value::Object(schema), sets);
    second["changes"] = json!([{"type": "mappings_addition", "properties": added}]);
    note(first, json!({"dynamic": false, "properties": properties}), &[second])
}

async fn too_many_fields_are_a_blocker_before_anything_is_written(context: Context) {
    let many = with_fields(1_500);
    context.store(many.iter().map(|it| it.as_of(1).expect("version 1")).collect()).await;
    let index = context.index("notes");
    let before = context.raw("GET", &format!("/{index}"), None).await;
    for report in [context.migrator(many.clone()).describe().await, context.migrator(many.clone()).migrate().await] {
        assert_eq!(report.outcome, Outcome::Blocked, "{report:?}");
        let [blocker] = &report.blockers[..] else { panic!("{report:?}") };
        assert!(blocker.what.contains("index.mapping.total_fields.limit"), "{blocker:?}");
        assert!(blocker.hint.contains(&format!("PUT /{index}/_settings")), "{blocker:?}");
    }
    let status = context.migrator(many.clone()).status().await.expect("seen");
    assert_eq!(status.blockers.len(), 1, "{status:?}");
    assert_eq!(context.raw("GET", &format!("/{index}"), None).await, before, "nothing was written");
    // Follows the hint.
    let blocker = &status.blockers[0];
    let body = blocker.hint.split_once("/_settings ").and_then(|(_, rest)| rest.split_once("; or")).expect("a body").0;
    let body = serde_json::from_str(body).expect("JSON");
    let answer = context.raw("PUT", &format!("/{index}/_settings"), Some(body)).await;
    assert_eq!(answer["acknowledged"], true, "{answer}");
    let report = context.migrator(many).migrate().await;
    assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::InPlace), "{report:?}");
}

async fn the_limit_of_fields_is_the_indexs_own(context: Context) {
    let some = with_fields(40);
    context.store(some.iter().map(|it| it.as_of(1).expect("version 1")).collect()).await;
    let index = context.index("notes");
    let limit = |limit: u32| json!({"index": {"mapping.total_fields.limit": limit}});
    context.raw("PUT", &format!("/{index}/_settings"), Some(limit(50))).await;
    let report = context.migrator(some.clone()).migrate().await;
    assert_eq!(report.outcome, Outcome::Blocked, "{report:?}");
    let fields: u32 = report.blockers[0]
        .what
        .split_once("would have ")
        .and_then(|(_, rest)| rest.split_once(' ')?.0.parse().ok())
        .expect("a number");
    // With one field too few the server refuses the mapping as well, and with `fields` it accepts it: both count alike.
    context.raw("PUT", &format!("/{index}/_settings"), Some(limit(fields - 1))).await;
    let mapping = some[0].mapping().clone();
    let mapping = json!({"properties": {"note": mapping}});
    let refused = context.raw("PUT", &format!("/{index}/_mapping"), Some(mapping)).await;
    assert!(refused["error"]["reason"].as_str().is_some_and(|reason| reason.contains("Limit of total")), "{refused}");
    context.raw("PUT", &format!("/{index}/_settings"), Some(limit(fields))).await;
    let report = context.migrator(some).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
}

async fn a_new_index_with_too_many_fields_is_a_blocker(context: Context) {
    let report = context.migrator(with_fields(1_500)).migrate().await;
    assert_eq!(report.outcome, Outcome::Blocked, "{report:?}");
    assert!(report.blockers[0].hint.contains("another group"), "{report:?}");
    assert_eq!(context.raw("GET", &format!("/{}*", context.prefix), None).await, json!({}));
}
