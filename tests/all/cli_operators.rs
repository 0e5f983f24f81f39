//! What operators do with single objects, keys and old generations: they look first, are asked before something is
//! deleted, and compare what they restored.

use libtest_mimic::Trial;
use saved_objects::layout::Prefix;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{Ran, run_with, write};
use crate::cli_sight::{folder, path, platform, run};
use crate::context::{Context, KEY};
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        one_quarantined_document_is_shown_without_its_secrets,
        a_drop_says_what_it_would_drop_and_asks,
        old_generations_are_dropped_after_a_question,
        documents_of_removed_types_are_counted_before_they_are_deleted,
        one_object_is_verified_by_either_name,
        digests_with_a_key_of_their_own_stay_over_a_rotation_and_a_restore,
        digests_without_namespaces_stay_in_another_namespace,
        what_a_lost_key_takes_along_is_counted_before_it_is_given_up,
        an_export_takes_both_forms_of_an_id,
        a_plan_invents_no_duration,
    )
}

const NEW_KEY: &str = "a new key for tests only: 0123456789abcdef";

async fn with_new_key(context: &Context, arguments: &[&str], old: bool) -> Ran {
    let both = [("SAVED_OBJECTS_ENCRYPTION_KEY", NEW_KEY), ("SAVED_OBJECTS_DECRYPTION_ONLY_KEYS", KEY)];
    run_with(context, arguments, if old { &both } else { &both[..1] }).await
}

/// Creates a platform of release 1 whose vault `bad` cannot be migrated to release 2, and puts that into quarantine.
async fn with_quarantine(context: &Context) -> TempDir {
    drop(platform(context).await);
    let bad = json!({"type": "vault", "vault": {"title": 7, "owner": "kim", "password": "s3cret", "odd": "s3cret"},
        "typeMigrationVersion": "10.1.0", "created_at": "2026-01-01T00:00:00.000Z"});
    context.put("vaults", "vault:bad", &bad).await;
    let second = folder(2);
    let options = ["migrate", "--on-bad", "quarantine", "--on-unreadable", "quarantine", "--json"];
    let ran = run(context, &[&options[..], &["--types", path(second.path())]].concat()).await;
    assert_eq!((ran.code, &ran.json()["bad_total"]), (0, &json!(1)), "{ran:?}");
    second
}

async fn one_quarantined_document_is_shown_without_its_secrets(context: Context) {
    let types = with_quarantine(&context).await;
    let types = ["--types", path(types.path())];
    for id in ["vault:bad", "vault/bad"] {
        let ran = run(&context, &[&["quarantine", "show", id, "--json"][..], &types].concat()).await;
        let shown = &ran.json()["shown"][0];
        assert_eq!((ran.code, &shown["id"]), (0, &json!("vault:bad")), "{ran:?}");
        assert_eq!(shown["index"], json!(context.index("vaults")), "{shown}");
        assert_eq!((&shown["version"], &shown["attributes"]["owner"]), (&json!("1"), &json!("kim")), "{shown}");
        assert_eq!(shown["fields"]["created_at"], "2026-01-01T00:00:00.000Z", "{shown}");
        let left_out = shown["left_out"].as_array().expect("a list");
        assert!(left_out.contains(&json!("/vault/password")) && left_out.contains(&json!("/vault/odd")), "{shown}");
        assert!(shown["since"].as_str().is_some() && !shown["reason"].as_str().expect("a text").is_empty(), "{shown}");
        let words = run(&context, &[&["quarantine", "show", id][..], &types].concat()).await;
        assert!(words.code == 0 && words.out.contains("reason") && words.out.contains("/vault/password"), "{words:?}");
        for said in [&ran.out, &ran.err, &words.out, &words.err] {
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
    // What is not known of a type is not shown either.
    let unregistered = run(&context, &["quarantine", "show", "vault:bad", "--json"]).await;
    assert_eq!(
        (unregistered.code, &unregistered.json()["shown"][0]["attributes"]),
        (0, &json!({})),
        "{unregistered:?}"
    );
    let none = run(&context, &["quarantine", "show", "vault:none", "--json"]).await;
    assert_eq!((none.code, &none.json()["shown"]), (1, &json!([])), "{none:?}");
}

async fn a_drop_says_what_it_would_drop_and_asks(context: Context) {
    let types = with_quarantine(&context).await;
    let drop = async |more: &[&str]| {
        run(&context, &[&["quarantine", "drop", "--types", path(types.path()), "--json"][..], more].concat()).await
    };
    let listed = async || run(&context, &["quarantine", "list", "--json"]).await.json()["quarantined"].clone();
    let before = listed().await;
    let asked = drop(&["--all"]).await;
    assert_eq!((asked.code, &asked.json()["error"]["kind"]), (64, &json!("invalid")), "{asked:?}");
    let hint = asked.json()["error"]["hint"].clone();
    assert!(hint.as_str().is_some_and(|hint| hint.contains("--dry-run") && hint.contains("--yes")), "{asked:?}");
    for selection in ["--all", "vault/bad", "vault:bad"] {
        let dry = drop(&[selection, "--dry-run"]).await;
        assert_eq!((dry.code, &dry.json()["dry_run"], &dry.json()["dropped"]), (0, &json!(true), &before), "{dry:?}");
    }
    assert_eq!(drop(&["--all", "--dry-run", "--yes"]).await.json()["dropped"], before, "a dry run is one");
    assert_eq!(drop(&["vault:none", "--dry-run"]).await.code, 1);
    assert_eq!(listed().await, before, "nothing was deleted");
    let dropped = drop(&["--all", "--yes"]).await;
    assert_eq!((dropped.code, &dropped.json()["dropped"]), (0, &before), "{dropped:?}");
    assert_eq!(listed().await, json!([]));
}

async fn old_generations_are_dropped_after_a_question(context: Context) {
    drop(platform(&context).await);
    let types = folder(3);
    let migrate = async |more: &[&str]| {
        run(&context, &[&["migrate", "--types", path(types.path()), "--json"][..], more].concat()).await
    };
    let copied = migrate(&[]).await;
    assert_eq!((copied.code, copied.out.contains(r#""way": "copy""#)), (0, true), "{copied:?}");
    let old = context.index("vaults");
    let asked = migrate(&["--drop-old"]).await;
    assert_eq!((asked.code, &asked.json()["error"]["kind"]), (64, &json!("invalid")), "{asked:?}");
    for name in ["--plan", "--dry-run"] {
        let dry = migrate(&["--drop-old", name]).await;
        let report = dry.json();
        assert_eq!(
            (dry.code, &report["outcome"], &report["dropped"]),
            (0, &json!("planned"), &json!([old])),
            "{dry:?}"
        );
    }
    assert!(context.cluster().indices(&[&old]).await.expect("answered").contains_key(&old), "nothing was deleted");
    let dropped = migrate(&["--drop-old", "--yes"]).await;
    let report = dropped.json();
    assert_eq!((dropped.code, &report["outcome"], &report["dropped"]), (0, &json!("dropped"), &json!([old])));
    let again = migrate(&["--drop-old", "--dry-run"]).await;
    assert_eq!((again.code, &again.json()["outcome"]), (0, &json!("nothing_to_do")), "{again:?}");
    assert_eq!(migrate(&["--yes"]).await.code, 64, "it belongs to --drop-old");
}

async fn documents_of_removed_types_are_counted_before_they_are_deleted(context: Context) {
    let (store, _) = platform(&context).await;
    let relic = saved_objects::repository::Create::new("relic", crate::migration::object(json!({"age": 7}))).id("r");
    store.repository().create(relic).await.expect("created");
    // Release 2 removes the type.
    let types = folder(2);
    let migrate = async |more: &[&str]| {
        run(&context, &[&["migrate", "--types", path(types.path()), "--json"][..], more].concat()).await
    };
    let vaults = context.prefix.group("vaults").alias().to_owned();
    let deleted = |report: &Value| {
        let indices = report["indices"].as_array().expect("a list");
        indices.iter().find(|index| index["alias"] == json!(vaults)).map(|index| index["documents"]["deleted"].clone())
    };
    let dry = migrate(&["--delete-removed", "--dry-run"]).await;
    assert_eq!(
        (dry.code, &dry.json()["outcome"], deleted(&dry.json())),
        (0, &json!("planned"), Some(json!(1))),
        "{dry:?}"
    );
    assert!(!context.stored("vaults", "relic:r").await.is_null(), "nothing was deleted");
    assert_eq!(migrate(&[]).await.code, 0);
    // There is nothing to convert any more, and still something to delete.
    let dry = migrate(&["--delete-removed", "--dry-run"]).await;
    assert_eq!(
        (dry.code, &dry.json()["outcome"], deleted(&dry.json())),
        (0, &json!("planned"), Some(json!(1))),
        "{dry:?}"
    );
    let done = migrate(&["--delete-removed"]).await;
    assert_eq!((done.code, deleted(&done.json())), (0, Some(json!(1))), "{done:?}");
    assert!(context.stored("vaults", "relic:r").await.is_null());
}

async fn one_object_is_verified_by_either_name(context: Context) {
    drop(platform(&context).await);
    let types = folder(1);
    let types = ["--types", path(types.path())];
    let verify = async |more: &[&str]| run(&context, &[&["verify", "--json"][..], &types, more].concat()).await;
    let all = verify(&[]).await.json();
    let of_vaults =
        all["indices"].as_array().expect("indices").iter().flat_map(|index| index["types"].as_array().expect("types"));
    let digest = of_vaults.into_iter().find(|of_type| of_type["type"] == "vault").expect("vaults")["digest"].clone();
    let key = run(&context, &["keys", "status", "--json"]).await.json()["primary"].clone();
    for name in ["vault/v", "vault:v"] {
        let ran = verify(&["--object", name]).await;
        let report = ran.json();
        assert_eq!((ran.code, &report["ok"]), (0, &json!(true)), "{ran:?}");
        let object = &report["objects"][0];
        assert_eq!((&object["id"], &object["index"]), (&json!("vault:v"), &json!(context.index("vaults"))), "{object}");
        assert_eq!((&object["version"], &object["digest"]), (&json!("1"), &digest), "the only vault: {object}");
        let secret = json!({"attribute": "password", "opens": true, "key": key, "reason": null});
        assert_eq!(object["secrets"], json!([secret]), "{object}");
        let words = run(&context, &[&["verify", "--object", name][..], &types].concat()).await;
        assert!(words.code == 0 && words.out.contains("can be read") && words.out.contains("opens"), "{words:?}");
        assert!(!ran.out.contains("s3cret") && !words.out.contains("s3cret"));
    }
    let wrong =
        with_new_key(&context, &[&["verify", "--json", "--object", "vault/v"][..], &types].concat(), false).await;
    let object = &wrong.json()["objects"][0];
    assert_eq!((wrong.code, &object["readable"], &object["digest"]), (2, &json!(false), &json!(null)), "{wrong:?}");
    assert_eq!((&object["secrets"][0]["opens"], &object["secrets"][0]["key"]), (&json!(false), &key), "{object}");
    assert!(object["secrets"][0]["reason"].as_str().is_some_and(|why| why.contains("not configured")), "{object}");
    context.put("vaults", "vault:bad", &json!({"type": "vault", "typeMigrationVersion": "10.1.0"})).await;
    let bad = verify(&["--object", "vault/bad"]).await;
    let reason = bad.json()["objects"][0]["unreadable"][0]["reason"].clone();
    assert_eq!(bad.code, 2, "{bad:?}");
    assert!(reason.as_str().is_some_and(|reason| reason.contains("no attributes object")), "{bad:?}");
    let none = verify(&["--object", "vault/none"]).await;
    assert_eq!((none.code, &none.json()["error"]["kind"]), (1, &json!("not_found")), "{none:?}");
    assert_eq!(verify(&["--object", "vault"]).await.code, 64);
    let token = verify(&["--object", "connector_token/none"]).await;
    assert_eq!(token.code, 1, "{token:?}");
}

/// Writes a key file as only its owner can read it.
fn key_file(folder: &TempDir, name: &str, key: &str) -> String {
    let file = folder.path().join(name);
    crate::secured::write_secret(&file, key);
    path(&file).to_owned()
}

/// Writes the output of a command to a file.
fn save(folder: &TempDir, name: &str, ran: &Ran) -> String {
    assert_eq!(ran.code, 0, "{ran:?}");
    let file = folder.path().join(name);
    std::fs::write(&file, &ran.out).expect("written");
    path(&file).to_owned()
}

async fn digests_with_a_key_of_their_own_stay_over_a_rotation_and_a_restore(context: Context) {
    drop(platform(&context).await);
    let (types, files) = (folder(1), tempfile::tempdir().expect("a folder"));
    let types = ["--types", path(types.path())];
    let verify = [&["verify", "--json"][..], &types].concat();
    let digest_key = key_file(&files, "digest-key", "a key for digests only: 0123456789abcdef");
    let by_own_key = [&verify[..], &["--digest-key", &digest_key]].concat();
    let before = save(&files, "before.json", &run(&context, &verify).await);
    let own_before = save(&files, "own-before.json", &run(&context, &by_own_key).await);
    let old_key = key_file(&files, "old-key", KEY);
    let rotated = with_new_key(&context, &[&["keys", "rotate"][..], &types].concat(), true).await;
    assert_eq!(rotated.code, 0, "{rotated:?}");

    // With the new key alone, digests of the old one cannot be computed, and nothing is concluded.
    let after = [&verify[..], &["--compare-with", &before]].concat();
    let refused = with_new_key(&context, &after, false).await;
    assert_eq!((refused.code, &refused.json()["error"]["kind"]), (1, &json!("invalid")), "{refused:?}");
    assert!(refused.err.contains("--digest-key"), "{refused:?}");
    let own_after = [&by_own_key[..], &["--compare-with", &own_before]].concat();
    for arguments in [&own_after, &[&after[..], &["--digest-key", &old_key]].concat()] {
        let same = with_new_key(&context, arguments, false).await;
        assert_eq!((same.code, &same.json()["comparison"]["same"]), (0, &json!(true)), "{arguments:?}: {same:?}");
    }

    // A restore into another store: another prefix, and another key.
    let file = files.path().join("all.ndjson");
    let export = ["export", path(&file), "--all-namespaces", "--secrets", "clear", "--i-know-this-prints-secrets"];
    let exported = with_new_key(&context, &[&export[..], &types].concat(), false).await;
    assert_eq!(exported.code, 0, "{exported:?}");
    let prefix: Prefix = format!("{}-restored", context.prefix).parse().expect("a prefix");
    let restored = Context { prefix, ..context.clone() };
    let third_key = [("SAVED_OBJECTS_ENCRYPTION_KEY", "a third key for tests only: 0123456789abcdef")];
    for command in [&["migrate"][..], &["import", path(&file)]] {
        let ran = run_with(&restored, &[command, &types].concat(), &third_key).await;
        assert_eq!(ran.code, 0, "{ran:?}");
    }
    let exportable = run_with(&restored, &own_after, &third_key).await;
    let comparison = &exportable.json()["comparison"];
    // The built-in tokens are not exportable, and everything else is the same.
    let differing: Vec<_> =
        comparison["differences"].as_array().expect("a list").iter().map(|it| &it["type"]).collect();
    assert_eq!((exportable.code, differing), (2, vec![&json!("connector_token")]), "{exportable:?}");

    // What differs is found.
    let mut changed = context.stored("vaults", "vault:v").await;
    changed["updated_by"] = json!("mallory");
    context.put("vaults", "vault:v", &changed).await;
    let differs = with_new_key(&context, &own_after, false).await;
    let expected = json!([{"type": "vault", "documents_before": 1, "documents_now": 1}]);
    assert_eq!((differs.code, &differs.json()["comparison"]["differences"]), (2, &expected), "{differs:?}");
    restored.remove().await;
}

async fn digests_without_namespaces_stay_in_another_namespace(context: Context) {
    let files = tempfile::tempdir().expect("a folder");
    let mapping = json!({"type": "note", "group": "notes", "namespace_kind": "single", "exportable": true, "random_id": false,
        "mapping": {"dynamic": false, "properties": {}}});
    write(files.path(), "mappings/note.json", &mapping);
    let create = json!({"type": "object", "properties": {"title": {"type": "string"}, "pin": {"type": "string"}}});
    write(
        files.path(),
        "model_versions/note/1.json",
        &json!({"changes": [], "create": create, "encrypted": [{"name": "pin"}]}),
    );
    let types = ["--types", path(files.path())];
    let line = json!({"type": "note", "id": "n", "attributes": {"title": "t"}, "secrets": {"pin": "1234"},
        "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z"});
    let file = files.path().join("in.ndjson");
    std::fs::write(&file, line.to_string()).expect("written");
    let other = Context { prefix: format!("{}-ops", context.prefix).parse().expect("a prefix"), ..context.clone() };
    for (context, more) in [(&context, &[][..]), (&other, &["--namespace", "ops"])] {
        assert_eq!(run(context, &[&["migrate"][..], &types].concat()).await.code, 0);
        let imported = run(context, &[&["import", path(&file)][..], &types, more].concat()).await;
        assert_eq!(imported.code, 0, "{imported:?}");
    }
    let verify = |more: &[&'static str]| [&["verify", "--json"][..], more].concat();
    for (option, expected) in [(&["--without-namespaces"][..], 0), (&[], 2)] {
        let here = run(&context, &[&verify(option)[..], &types].concat()).await;
        let before = save(&files, "before.json", &here);
        let there = run(&other, &[&verify(option)[..], &types, &["--compare-with", &before]].concat()).await;
        assert_eq!(there.code, expected, "{option:?}: {there:?}");
    }
    let by_name = run(&other, &[&verify(&["--object", "ops:note:n"])[..], &types].concat()).await;
    assert_eq!((by_name.code, &by_name.json()["objects"][0]["id"]), (0, &json!("ops:note:n")), "{by_name:?}");
    other.remove().await;
}

async fn what_a_lost_key_takes_along_is_counted_before_it_is_given_up(context: Context) {
    drop(platform(&context).await);
    let types = folder(1);
    let types = ["--types", path(types.path())];
    let status = run(&context, &[&["keys", "status", "--json"][..], &types].concat()).await.json();
    let lost = status["primary"].as_str().expect("a key").to_owned();
    let forget = async |more: &[&str]| {
        with_new_key(&context, &[&["keys", "forget", &lost, "--json"][..], &types, more].concat(), false).await
    };
    let dry = forget(&["--dry-run"]).await;
    let expected = json!({"dry_run": true, "forgotten": lost, "documents": 2, "quarantined": 0, "kept": 0});
    assert_eq!((dry.code, dry.json()), (0, expected), "{dry:?}");
    let has_it = run(&context, &[&["keys", "forget", &lost, "--dry-run"][..], &types].concat()).await;
    assert!(has_it.code == 1 && has_it.err.contains("is not lost"), "{has_it:?}");
    let done = forget(&[]).await;
    assert_eq!((done.code, done.json()), (0, json!({"dry_run": false, "forgotten": lost})), "{done:?}");
    let again = forget(&["--dry-run"]).await;
    assert_eq!((again.code, &again.json()["error"]["kind"]), (1, &json!("not_found")), "{again:?}");
}

async fn an_export_takes_both_forms_of_an_id(context: Context) {
    drop(platform(&context).await);
    let types = folder(1);
    let export = async |name: &str| {
        run(&context, &["export", "--object", name, "--no-summary", "--types", path(types.path())]).await
    };
    let (by_key, by_id) = (export("vault/v").await, export("vault:v").await);
    assert_eq!((by_key.code, by_key.json()["id"].clone()), (0, json!("v")), "{by_key:?}");
    assert_eq!((by_id.code, &by_id.out), (0, &by_key.out), "{by_id:?}");
    assert_eq!(export("vault").await.code, 64);
}

async fn a_plan_invents_no_duration(context: Context) {
    drop(platform(&context).await);
    let types = folder(2);
    let plan = [&["migrate", "--plan"][..], &["--types", path(types.path())]].concat();
    let report = run(&context, &[&plan[..], &["--json"]].concat()).await.json();
    assert_eq!((&report["estimate"]["to_convert"], &report["estimate"]["read"]), (&json!(1), &json!(2)), "{report}");
    assert!(report["estimate"]["reading_ms"].as_u64().is_some(), "{report}");
    let words = run(&context, &plan).await;
    assert!(words.out.contains("documents to convert: 1") && words.out.contains("measured while it runs"), "{words:?}");
    let migrated = run(&context, &["migrate", "--types", path(types.path()), "--json"]).await.json();
    assert_eq!(migrated["estimate"], Value::Null, "only a plan estimates: {migrated}");
}
