//! The types of a platform that is written in any language: a folder of definitions, used by the command line only.

use std::path::Path;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::cli::{Ran, run, write};
use crate::context::Context;
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_folder_is_migrated_in_place_and_then_by_copy,
        an_unknown_transform_is_a_blocker,
        removed_types_are_deleted_when_asked_for,
    )
}

/// Writes the files of the type `task` up to version `versions`: 2 adds `state` to the mapping and fills it in, 3
/// removes `color`, 4 maps `rank` as a number.
fn task(folder: &Path, versions: usize) {
    let keyword = json!({ "type": "keyword" });
    let mut properties = json!({ "title": keyword, "rank": keyword });
    if versions >= 2 {
        properties["state"] = keyword.clone();
    }
    if versions >= 4 {
        properties["rank"] = json!({ "type": "long" });
    }
    definition(folder, "task", "tasks", properties);
    let changes = [
        json!([]),
        json!([
            { "type": "mappings_addition", "properties": { "state": keyword } },
            { "type": "data_backfill", "defaults": { "state": "open" } },
        ]),
        json!([{ "type": "data_removal", "paths": ["color"] }]),
        json!([{ "type": "mappings_change", "attributes": ["rank"] }]),
    ];
    for (number, changes) in (1..=versions).zip(changes) {
        version(folder, "task", number, changes);
    }
}

fn definition(folder: &Path, name: &str, group: &str, properties: Value) {
    let file = json!({ "type": name, "group": group, "namespace_kind": "agnostic",
        "mapping": { "dynamic": false, "properties": properties } });
    write(folder, &format!("mappings/{name}.json"), &file);
}

fn version(folder: &Path, name: &str, number: usize, changes: Value) {
    let create = json!({ "type": "object", "properties":
        { "title": { "type": "string" }, "rank": {}, "state": { "type": "string" }, "color": { "type": "string" } } });
    let forward = json!({ "properties": { "title": {}, "rank": {} } });
    let file = json!({ "changes": changes, "create": create, "forward": forward });
    write(folder, &format!("model_versions/{name}/{number}.json"), &file);
}

async fn migrate(context: &Context, folder: &Path, options: &[&str]) -> Ran {
    let types = folder.to_str().expect("UTF-8");
    run(context, &[&["migrate", "--json", "--types", types][..], options].concat()).await
}

/// Returns what a report says about a group.
fn index<'a>(context: &Context, report: &'a Value, group: &str) -> &'a Value {
    let alias = context.prefix.group(group).alias().to_owned();
    let indices = report["indices"].as_array().expect("indices");
    indices.iter().find(|index| index["alias"] == *alias).expect("the group's index")
}

async fn put_task(context: &Context, id: &str) {
    let source = json!({ "type": "task", "typeMigrationVersion": "10.1.0", "references": [],
        "task": { "title": id, "rank": "7", "color": "red" } });
    context.put("tasks", &format!("task:{id}"), &source).await;
}

async fn a_folder_is_migrated_in_place_and_then_by_copy(context: Context) {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    task(folder, 1);
    definition(folder, "memo", "memos", json!({}));
    version(folder, "memo", 1, json!([]));
    let created = migrate(&context, folder, &[]).await;
    assert_eq!((created.code, &created.json()["outcome"]), (0, &json!("migrated")), "{created:?}");
    for group in ["connectors", "memos", "tasks"] {
        assert_eq!(index(&context, &created.json(), group)["way"], "create", "several groups at once");
    }
    for id in ["a", "b"] {
        put_task(&context, id).await;
    }
    let stranger = json!({ "type": "stranger", "stranger": {}, "references": [] });
    let cluster = context.cluster();
    let tasks = context.index("tasks");
    let mapping = json!({ "properties": { "stranger": { "type": "object", "dynamic": "false" } } });
    let meta = cluster.indices(&[&tasks]).await.expect("answered")[&tasks].mapping["_meta"].clone();
    cluster.put_mapping(&tasks, &json!({ "properties": mapping["properties"], "_meta": meta })).await.expect("mapped");
    context.put("tasks", "stranger:s", &stranger).await;

    task(folder, 3);
    let planned = migrate(&context, folder, &["--plan"]).await.json();
    let of_tasks = index(&context, &planned, "tasks");
    let expected = json!([
        { "type": "stranger", "to": null, "by_version": { "0": 1 }, "registered": false },
        { "type": "task", "to": 3, "by_version": { "1": 2 }, "registered": true },
    ]);
    let mut types = of_tasks["types"].as_array().expect("types").clone();
    types.sort_by_key(|one| one["type"].as_str().map(str::to_owned));
    assert_eq!(Value::Array(types), expected, "{planned}");
    assert_eq!(planned["unregistered"], json!([{ "type": "stranger", "documents": 1 }]));

    let in_place = migrate(&context, folder, &[]).await;
    assert_eq!(in_place.code, 0, "{in_place:?}");
    let in_place = in_place.json();
    assert_eq!(index(&context, &in_place, "tasks")["way"], "in_place", "{in_place}");
    assert_eq!(index(&context, &in_place, "tasks")["documents"]["written"], 2, "{in_place}");
    assert_eq!(index(&context, &in_place, "memos")["way"], "none");
    let stored = context.stored("tasks", "task:a").await;
    assert_eq!(stored["task"], json!({ "title": "a", "rank": "7", "state": "open" }));
    assert_eq!(stored["typeMigrationVersion"], "10.3.0");
    assert_eq!(migrate(&context, folder, &[]).await.json()["outcome"], "nothing_to_do");

    task(folder, 4);
    let copied = migrate(&context, folder, &[]).await;
    assert_eq!(copied.code, 0, "{copied:?}");
    assert_eq!(index(&context, &copied.json(), "tasks")["way"], "copy", "{copied:?}");
    assert_eq!(context.stored("tasks", "task:b").await["typeMigrationVersion"], "10.4.0");
    assert_eq!(context.stored("tasks", "stranger:s").await, stranger, "what nobody registered came along");
    assert_eq!(migrate(&context, folder, &[]).await.json()["outcome"], "nothing_to_do");

    let older = tempfile::tempdir().expect("a folder");
    task(older.path(), 3);
    let blocked = migrate(&context, older.path(), &[]).await;
    assert_eq!((blocked.code, &blocked.json()["outcome"]), (2, &json!("blocked")), "{blocked:?}");
    let blocker = &blocked.json()["blockers"][0];
    assert!(blocker["what"].as_str().is_some_and(|what| what.contains("type task")), "{blocker}");
    assert!(blocker["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{blocker}");
}

async fn an_unknown_transform_is_a_blocker(context: Context) {
    let folder = tempfile::tempdir().expect("a folder");
    task(folder.path(), 1);
    assert_eq!(migrate(&context, folder.path(), &[]).await.code, 0);
    put_task(&context, "a").await;
    let indices = || async { context.cluster().indices(&[&format!("{}*", context.prefix)]).await.expect("answered") };
    let before = indices().await;
    version(folder.path(), "task", 2, json!([{ "type": "transform", "name": "rename_titles" }]));
    let blocked = migrate(&context, folder.path(), &[]).await;
    assert_eq!((blocked.code, &blocked.json()["outcome"]), (2, &json!("blocked")), "{blocked:?}");
    let blocker = &blocked.json()["blockers"][0];
    assert!(blocker["what"].as_str().is_some_and(|what| what.contains("`rename_titles`")), "{blocker}");
    assert_eq!(indices().await, before, "nothing was written for any group");
}

async fn removed_types_are_deleted_when_asked_for(context: Context) {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    task(folder, 1);
    definition(folder, "memo", "tasks", json!({}));
    version(folder, "memo", 1, json!([]));
    assert_eq!(migrate(&context, folder, &[]).await.code, 0);
    put_task(&context, "a").await;
    let memo = json!({ "type": "memo", "memo": {}, "references": [], "typeMigrationVersion": "10.1.0" });
    context.put("tasks", "memo:m", &memo).await;

    let mut file: Value =
        serde_json::from_slice(&std::fs::read(folder.join("mappings/memo.json")).expect("readable")).expect("JSON");
    file["removed"] = json!(true);
    write(folder, "mappings/memo.json", &file);
    assert_eq!(migrate(&context, folder, &[]).await.code, 0);
    assert_eq!(context.stored("tasks", "memo:m").await, memo, "only when asked for");
    let deleted = migrate(&context, folder, &["--delete-removed"]).await;
    assert_eq!(deleted.code, 0, "{deleted:?}");
    assert_eq!(index(&context, &deleted.json(), "tasks")["documents"]["deleted"], 1, "{deleted:?}");
    assert!(context.stored("tasks", "memo:m").await.is_null());
    assert!(context.stored("tasks", "task:a").await.is_object(), "others stay");
    let again = migrate(&context, folder, &["--delete-removed"]).await;
    assert_eq!((again.code, &again.json()["outcome"]), (0, &json!("nothing_to_do")), "{again:?}");
}
