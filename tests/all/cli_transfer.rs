//! Export and import as an operator runs them.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::cli::run_with;
use crate::context::{Context, KEY};
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        objects_go_out_and_come_in_again,
        secrets_are_not_printed_by_mistake,
        references_of_a_file_are_looked_after,
        many_objects_are_the_same_after_a_transfer,
    )
}

/// A folder with an exportable type that has a secret, and an index of it.
async fn prepare(context: &Context) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |path: &str, content: Value| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, content.to_string()).expect("written");
    };
    let properties = json!({ "title": { "type": "string" }, "secret": { "type": "string" } });
    write(
        "mappings/note.json",
        json!({
            "type": "note", "group": "things", "namespace_kind": "agnostic", "exportable": true, "random_id": false,
            "mapping": { "dynamic": false, "properties": { "title": { "type": "keyword" } } }
        }),
    );
    write(
        "model_versions/note/1.json",
        json!({ "changes": [], "create": { "type": "object", "properties": properties }, "encrypted": [{ "name": "secret" }] }),
    );
    let ran = command(context, &folder, &["migrate"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    folder
}

async fn command(context: &Context, folder: &tempfile::TempDir, arguments: &[&str]) -> crate::cli::Ran {
    let types = folder.path().to_string_lossy().into_owned();
    let arguments = [arguments, &["--only-types", "--types", &types]].concat();
    run_with(context, &arguments, &[("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)]).await
}

async fn objects_go_out_and_come_in_again(context: Context) {
    let folder = prepare(&context).await;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (file, copy) = (path("in.ndjson"), path("out.ndjson"));
    let line = |id: &str| {
        json!({"type": "note", "id": id, "attributes": {"title": id}, "secrets": {"secret": "s3cret"}}).to_string()
    };
    std::fs::write(&file, format!("{}\n{}\n", line("a"), line("b"))).expect("written");

    let ran = command(&context, &folder, &["import", &file, "--json"]).await;
    assert_eq!((ran.code, &ran.json()["successCount"]), (0, &json!(2)), "{ran:?}");
    context.cluster().refresh(&context.index("things")).await.expect("refreshed");
    let ran = command(&context, &folder, &["export", &copy, "--secrets", "encrypted", "--json"]).await;
    assert_eq!((ran.code, &ran.json()["exportedCount"]), (0, &json!(2)), "{ran:?}");
    assert!(!std::fs::read_to_string(&copy).expect("a file").contains("s3cret"));

    // Again: all are in the way, and nothing is written. Then they are overwritten, or one of them gets another id.
    let ran = command(&context, &folder, &["import", &copy, "--json"]).await;
    assert_eq!((ran.code, ran.json()["errors"].as_array().map(Vec::len)), (2, Some(2)), "{ran:?}");
    let ran = command(&context, &folder, &["import", &copy, "--overwrite", "--json"]).await;
    assert_eq!((ran.code, &ran.json()["successCount"]), (0, &json!(2)), "{ran:?}");
    let renamed = ["import", &copy, "--rename", "note/a=c", "--only-named", "--json"];
    let ran = command(&context, &folder, &renamed).await;
    assert_eq!((ran.code, &ran.json()["relocated"][0]["destinationId"]), (0, &json!("c")), "{ran:?}");

    context.cluster().refresh(&context.index("things")).await.expect("refreshed");
    let ran = command(&context, &folder, &["export", "--filter", "note.attributes.title: a", "--no-summary"]).await;
    let titles: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((ran.code, titles.len()), (0, 2), "the object and its copy: {ran:?}");
    assert!(titles.iter().all(|line| line.get("envelopes").is_none() && line.get("secrets").is_none()));
    let ran = command(&context, &folder, &["export", "--object", "note/a", "--no-summary"]).await;
    assert_eq!((ran.code, ran.out.lines().count()), (0, 1), "{ran:?}");
}

async fn secrets_are_not_printed_by_mistake(context: Context) {
    let folder = prepare(&context).await;
    let ran = command(&context, &folder, &["export", "--secrets", "clear"]).await;
    assert_eq!(ran.code, 64, "{ran:?}");
    assert!(ran.err.contains("--i-know-this-prints-secrets"), "{ran:?}");
    let known = ["export", "--secrets", "clear", "--i-know-this-prints-secrets"];
    assert_eq!(command(&context, &folder, &known).await.code, 0);
    let wrong = command(&context, &folder, &["export", "--filter", "note.attributes.title: (a or"]).await;
    assert_eq!(wrong.code, 64, "{wrong:?}");
    assert!(wrong.err.contains("at character"), "{wrong:?}");
}

async fn references_of_a_file_are_looked_after(context: Context) {
    let folder = prepare(&context).await;
    let file = folder.path().join("in.ndjson").to_string_lossy().into_owned();
    let reference = json!([{"name": "r", "type": "note", "id": "gone"}]);
    let line = json!({"type": "note", "id": "a", "attributes": {"title": "a"}, "references": reference});
    std::fs::write(&file, line.to_string()).expect("written");
    let required = ["import", &file, "--json", "--require-references", "note"];
    let ran = command(&context, &folder, &required).await;
    let error = &ran.json()["errors"][0];
    assert_eq!((ran.code, &error["kind"]), (2, &json!("missing_references")), "{ran:?}");
    assert_eq!(error["missingReferences"], json!([{"type": "note", "id": "gone"}]));
    let elsewhere = [&required[..], &["--replace-reference", "note/a,note/gone=a"]].concat();
    let ran = command(&context, &folder, &elsewhere).await;
    assert_eq!((ran.code, &ran.json()["successCount"]), (0, &json!(1)), "{ran:?}");
    assert_eq!(context.stored("things", "note:a").await["references"][0]["id"], "a");
    let missing = [&required[..], &["--overwrite", "--may-miss-references", "note/a"]].concat();
    assert_eq!(command(&context, &folder, &missing).await.code, 0);
    let wrong = [&required[..], &["--replace-reference", "note/a"]].concat();
    assert_eq!(command(&context, &folder, &wrong).await.code, 64);
}

/// The measure of a hundred thousand objects, with few.
async fn many_objects_are_the_same_after_a_transfer(context: Context) {
    let ran = run_with(&context, &["bench", "transfer", "--docs", "300", "--runs", "1", "--json"], &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let result = ran.json();
    assert_eq!((&result["measure"], &result["documents"]), (&json!("transfer"), &json!(300)));
    assert!(result["peak_rss_mb"].as_u64().is_none_or(|peak| peak < 100), "{result}");
}
