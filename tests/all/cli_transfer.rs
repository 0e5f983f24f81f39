//! Export and import as operators run them.

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
        everything_is_the_same_in_another_store,
        an_export_of_one_namespace_names_the_others,
        an_export_without_secrets_takes_none_away,
        an_import_that_was_cut_off_goes_on,
        a_file_that_may_be_cut_is_named,
    )
}

/// Creates a folder with an exportable type that has a secret, and the type's index.
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

    // The same import again: all objects conflict, and nothing is written. Then they are overwritten, or one of them
    // gets a new id.
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

/// The acceptance test for a hundred thousand objects, with few objects.
async fn many_objects_are_the_same_after_a_transfer(context: Context) {
    let ran = run_with(&context, &["bench", "transfer", "--docs", "300", "--runs", "1", "--json"], &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let result = ran.json();
    assert_eq!((&result["measure"], &result["documents"]), (&json!("transfer"), &json!(300)));
    assert!(result["peak_rss_mb"].as_u64().is_none_or(|peak| peak < 100), "{result}");
}

/// Creates types of every namespace kind, each with a secret, and their index.
async fn prepare_all_kinds(context: &Context) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |path: &str, content: Value| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, content.to_string()).expect("written");
    };
    let kinds = [("note", "agnostic"), ("page", "single"), ("board", "multiple"), ("card", "multiple-isolated")];
    for (name, kind) in kinds {
        write(
            &format!("mappings/{name}.json"),
            json!({
                "type": name, "group": "things", "namespace_kind": kind, "exportable": true, "random_id": false,
                "mapping": { "dynamic": false, "properties": { "title": { "type": "keyword" } } }
            }),
        );
        let properties = json!({ "title": {}, "free": {}, "secret": { "type": "string" } });
        let create = json!({ "type": "object", "additionalProperties": true, "properties": properties });
        let encrypted = json!([{ "name": "secret" }]);
        write(
            &format!("model_versions/{name}/1.json"),
            json!({ "create": create, "encrypted": encrypted, "bound": ["title"] }),
        );
    }
    let ran = command(context, &folder, &["migrate"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    folder
}

/// Creates objects in several namespaces, with and without each optional part.
async fn fill_all_kinds(context: &Context, folder: &tempfile::TempDir) {
    let file = folder.path().join("seed.ndjson").to_string_lossy().into_owned();
    let mut lines = Vec::new();
    for (type_name, namespaces) in [
        ("note", vec![Value::Null]),
        ("page", vec![json!(["default"]), json!(["ops"]), json!(["team"])]),
        ("board", vec![json!(["default", "ops"]), json!(["team"]), json!(["*"]), json!(["ops", "*"])]),
        ("card", vec![json!(["default"]), json!(["team"])]),
    ] {
        for (n, namespaces) in namespaces.into_iter().enumerate() {
            // Ids of types with one namespace are unique in each namespace only.
            let id = if type_name == "page" { "p".to_owned() } else { format!("{type_name}-{n}") };
            let mut line = json!({
                "type": type_name, "id": id, "attributes": { "title": id, "free": { "": [1, 2.5, null, "ä"] } },
                "secrets": { "secret": { "of": id } }, "references": [{ "name": "r", "type": "note", "id": "gone" }],
                "created_by": "u_kim", "updated_by": "u_lee",
            });
            if !namespaces.is_null() {
                line["namespaces"] = namespaces;
            }
            lines.push(line.to_string());
            if type_name == "note" {
                let more = [
                    json!({ "type": "note", "id": "plain", "attributes": {}, "created_at": null, "managed": null }),
                    json!({
                        "type": "note", "id": "kibana", "attributes": { "title": "k" }, "coreMigrationVersion": "8.8.0", "managed": true,
                        "accessControl": { "owner": "u_kim", "accessMode": "write_restricted" }, "originId": "before",
                    }),
                ];
                lines.extend(more.iter().map(Value::to_string));
            }
        }
    }
    std::fs::write(&file, lines.join("\n")).expect("written");
    let ran = command(context, folder, &["import", &file, "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
}

async fn digests(context: &Context, folder: &tempfile::TempDir) -> Value {
    let ran = command(context, folder, &["verify", "--json"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()["indices"][0]["types"].clone()
}

async fn everything_is_the_same_in_another_store(context: Context) {
    let folder = prepare_all_kinds(&context).await;
    fill_all_kinds(&context, &folder).await;
    let before = digests(&context, &folder).await;
    let documents = context.documents("things").await;
    assert_eq!(documents, 12);
    let forms = [&["--secrets", "encrypted"][..], &["--secrets", "clear", "--i-know-this-prints-secrets"]];
    for (n, form) in forms.into_iter().enumerate() {
        let file = folder.path().join(format!("all-{n}.ndjson")).to_string_lossy().into_owned();
        // The test does not wait: an export contains what was written before it.
        let arguments = [&["export", &file, "--all-namespaces", "--json"][..], form].concat();
        let ran = command(&context, &folder, &arguments).await;
        assert_eq!((ran.code, &ran.json()["exportedCount"]), (0, &json!(documents)), "{ran:?}");
        let prefix = format!("{}-copy-{n}", context.prefix).parse().expect("a prefix");
        let other = Context { prefix, ..context.clone() };
        let ran = command(&other, &folder, &["migrate"]).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        let ran = command(&other, &folder, &["import", &file, "--json"]).await;
        let report = ran.json();
        assert_eq!((ran.code, &report["successCount"], &report["isComplete"]), (0, &json!(documents), &json!(true)));
        assert_eq!(digests(&other, &folder).await, before, "{form:?}");
        // Overwrites the existing objects, too.
        let ran = command(&other, &folder, &["import", &file, "--overwrite", "--json"]).await;
        assert_eq!((ran.code, &ran.json()["keptSecretsCount"]), (0, &json!(0)), "{ran:?}");
        assert_eq!(digests(&other, &folder).await, before, "{form:?}");
    }
}

async fn an_export_of_one_namespace_names_the_others(context: Context) {
    let folder = prepare_all_kinds(&context).await;
    fill_all_kinds(&context, &folder).await;
    let file = folder.path().join("out.ndjson").to_string_lossy().into_owned();
    let ran = command(&context, &folder, &["export", &file]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("objects of 2 other namespaces are not exported (ops, team)"), "{ran:?}");
    // Standard output has the lines of the file and nothing else.
    let ran = command(&context, &folder, &["export"]).await;
    assert!(ran.err.contains("(ops, team)") && !ran.out.contains("--all-namespaces"), "{ran:?}");
    for told in [&["--all-namespaces"][..], &["--namespace", "ops"]] {
        let ran = command(&context, &folder, &[&["export"], told].concat()).await;
        assert!(ran.code == 0 && !ran.err.contains("other namespaces"), "{ran:?}");
    }
    let both = command(&context, &folder, &["export", "--all-namespaces", "--namespace", "ops"]).await;
    assert_eq!(both.code, 64, "{both:?}");

    let ran = command(&context, &folder, &["namespaces", "--json"]).await;
    let of = |name: &str, types: Value| json!({ "namespace": name, "types": types });
    let count = |type_name: &str, objects: u64| json!({ "type": type_name, "objects": objects });
    let expected = [
        of("*", json!([count("board", 2)])),
        of("default", json!([count("board", 1), count("card", 1), count("page", 1)])),
        of("ops", json!([count("board", 2), count("page", 1)])),
        of("team", json!([count("board", 1), count("card", 1), count("page", 1)])),
    ];
    assert_eq!((ran.code, &ran.json()["namespaces"]), (0, &json!(expected)), "{ran:?}");
    let ran = command(&context, &folder, &["namespaces", "--type", "page"]).await;
    assert_eq!((ran.code, ran.out.trim()), (0, "default: 1 page\nops: 1 page\nteam: 1 page"), "{ran:?}");
    assert_eq!(command(&context, &folder, &["namespaces", "--type", "nothing"]).await.code, 1);
    // Nothing is deleted without a second confirmation.
    for name in ["team", "default"] {
        let ran = command(&context, &folder, &["namespaces", "delete", name]).await;
        assert_eq!(ran.code, 64, "{ran:?}");
        assert!(ran.err.contains(&format!("the namespace {name} has ")) && ran.err.contains("--yes"), "{ran:?}");
    }
    let ran = command(&context, &folder, &["namespaces", "--json"]).await;
    assert_eq!(ran.json()["namespaces"], json!(expected), "{ran:?}");
    let ran = command(&context, &folder, &["namespaces", "delete", "default", "--yes", "--json"]).await;
    let report = ran.json();
    let done = report["deleted"].as_u64().zip(report["no_longer_seen"].as_u64()).map(|(deleted, left)| deleted + left);
    assert_eq!((ran.code, done, &report["complete"]), (0, Some(3), &json!(true)), "{ran:?}");
    let ran = command(&context, &folder, &["namespaces"]).await;
    assert!(ran.out.contains("team: ") && !ran.out.contains("default: "), "{ran:?}");
}

async fn an_export_without_secrets_takes_none_away(context: Context) {
    let folder = prepare_all_kinds(&context).await;
    fill_all_kinds(&context, &folder).await;
    let before = digests(&context, &folder).await;
    let file = folder.path().join("out.ndjson").to_string_lossy().into_owned();
    let ran = command(&context, &folder, &["export", &file, "--all-namespaces"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = std::fs::read_to_string(&file).expect("a file");
    assert!(!text.contains("envelopes") && !text.contains("secrets"), "{text}");
    let ran = command(&context, &folder, &["import", &file, "--overwrite", "--json"]).await;
    let report = ran.json();
    assert_eq!(
        (ran.code, &report["successCount"], &report["keptSecretsCount"]),
        (0, &json!(12), &json!(10)),
        "{ran:?}"
    );
    assert!(ran.err.contains("10 objects keep the secrets that they had"), "{ran:?}");
    assert_eq!(digests(&context, &folder).await, before);
}

async fn an_import_that_was_cut_off_goes_on(context: Context) {
    let folder = prepare_all_kinds(&context).await;
    fill_all_kinds(&context, &folder).await;
    let before = digests(&context, &folder).await;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (whole, half) = (path("whole.ndjson"), path("half.ndjson"));
    let ran = command(&context, &folder, &["export", &whole, "--all-namespaces", "--secrets", "encrypted"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = std::fs::read_to_string(&whole).expect("a file");
    std::fs::write(&half, text.lines().take(5).collect::<Vec<_>>().join("\n")).expect("written");
    let other = Context { prefix: format!("{}-copy", context.prefix).parse().expect("a prefix"), ..context.clone() };
    assert_eq!(command(&other, &folder, &["migrate"]).await.code, 0);
    // What a killed import has written.
    assert_eq!(command(&other, &folder, &["import", &half]).await.code, 0);
    let again = command(&other, &folder, &["import", &whole]).await;
    assert!(again.code == 2 && again.out.contains("--resume passes over what it wrote"), "{again:?}");
    let resumed = command(&other, &folder, &["import", &whole, "--resume", "--json"]).await;
    let report = resumed.json();
    assert_eq!((resumed.code, &report["successCount"], &report["alreadyThereCount"]), (0, &json!(7), &json!(5)));
    assert_eq!(digests(&other, &folder).await, before);
    for others in [["--resume", "--overwrite"], ["--resume", "--new-ids"]] {
        assert_eq!(command(&other, &folder, &[&["import", &whole][..], &others].concat()).await.code, 64);
    }
}

async fn a_file_that_may_be_cut_is_named(context: Context) {
    let folder = prepare(&context).await;
    let file = folder.path().join("in.ndjson").to_string_lossy().into_owned();
    let line = |id: &str| format!("{{\"type\":\"note\",\"id\":\"{id}\",\"attributes\":{{\"title\":\"t\"}}}}\n");
    let said = "no last line that sums it up";
    for (text, is_complete, code) in [
        (line("a"), Value::Null, 0),
        (format!("{}{{\"exportedCount\":1}}\n", line("b")), json!(true), 0),
        (format!("{}{{\"exportedCount\":1}}\n{}", line("c"), line("d")), Value::Null, 0),
        (format!("{}{{\"exportedCount\":9}}\n", line("e")), json!(false), 2),
    ] {
        std::fs::write(&file, &text).expect("written");
        let ran = command(&context, &folder, &["import", &file, "--json"]).await;
        assert_eq!((ran.code, &ran.json()["isComplete"]), (code, &is_complete), "{text}: {ran:?}");
        assert_eq!(ran.err.contains(said), is_complete.is_null(), "{text}: {ran:?}");
    }
}
