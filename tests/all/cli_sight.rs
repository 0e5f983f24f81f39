//! What operators' commands see (writes that were answered a moment ago), and what they report if a name is wrong.

use std::path::Path;

use libtest_mimic::Trial;
use saved_objects::SavedObjects;
use saved_objects::encryption::Secret;
use saved_objects::repository::Create;
use saved_objects::tokens::{ConnectorId, ConnectorTokenClient, Credentials, NewToken, ProfileUid, Scope, TokenClient};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{Ran, run_with, write};
use crate::context::{Context, KEY};
use crate::faults::types::{platform_files, types};
use crate::migration::object;
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        what_was_written_a_moment_ago_is_counted,
        what_was_not_counted_is_not_said_to_be_none,
        indices_of_types_that_are_not_registered_are_named,
        secrets_of_types_that_are_not_registered_are_not_well,
        a_prefix_with_nothing_under_it_is_said,
        a_connector_or_user_without_tokens_is_said,
        a_list_that_knows_no_token_deletes_none,
        a_namespace_without_objects_is_said,
        a_folder_without_types_is_refused,
        an_import_that_names_what_the_file_does_not_have_writes_nothing,
    )
}

pub(crate) async fn run(context: &Context, arguments: &[&str]) -> Ran {
    run_with(context, arguments, &[("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)]).await
}

/// Creates a folder with the definitions of one release of the tests' platform.
pub(crate) fn folder(release: u32) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    platform_files(release).iter().for_each(|files| files.write(folder.path()).expect("written"));
    folder
}

pub(crate) fn path(folder: &Path) -> &str {
    folder.to_str().expect("UTF-8")
}

fn token() -> NewToken {
    NewToken::new(Credentials::Token { token: Secret::text("Bearer s3cret"), refresh_token: None })
}

pub(crate) fn connector(id: &str) -> ConnectorId {
    ConnectorId::new(id).expect("a connector id")
}

/// Creates a platform of release 1, with the token of a connector and a vault.
pub(crate) async fn platform(context: &Context) -> (SavedObjects, ConnectorTokenClient) {
    let folder = folder(1);
    let ran = run(context, &["migrate", "--types", path(folder.path())]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let mut all = saved_objects::tokens::types().expect("built-in");
    all.extend(types(1).into_iter().filter(|definition| definition.name() != "connector_token"));
    let store = context.store(all).await;
    let tokens = ConnectorTokenClient::new(&store).expect("the types are there");
    tokens.create(Scope::Shared, &connector("c1"), token()).await.expect("stored");
    let vault = Create::new("vault", object(json!({"title": "v", "owner": "kim"}))).id("v");
    store.repository().create(vault.secret("password", Secret::text("s3cret"))).await.expect("created");
    (store, tokens)
}

fn count(list: &Value) -> u64 {
    list.as_array().map_or(0, Vec::len) as u64
}

/// Returns the number of connector tokens that a report of a migration or of the status counts.
fn tokens_in(report: &Value) -> u64 {
    let types =
        report["indices"].as_array().into_iter().flatten().filter_map(|index| index["types"].as_array()).flatten();
    let tokens = types.filter(|of_type| of_type["type"] == "connector_token");
    tokens
        .filter_map(|of_type| of_type["by_version"].as_object())
        .flat_map(|it| it.values())
        .filter_map(Value::as_u64)
        .sum()
}

async fn what_was_written_a_moment_ago_is_counted(context: Context) {
    let folder = folder(1);
    let (_store, tokens) = platform(&context).await;
    // Searches see nothing until a refresh is requested.
    let never = json!({"index": {"refresh_interval": "-1"}});
    context.raw("PUT", &format!("/{}/_settings", context.index("connectors")), Some(never)).await;
    type Counted = fn(&Value) -> u64;
    let commands: [(&[&str], Counted); 6] = [
        (&["status"], tokens_in),
        (&["migrate", "--plan"], tokens_in),
        (&["tokens", "list"], |report| count(&report["tokens"])),
        (&["tokens", "clean-up", "--dry-run"], |report| report["examined"].as_u64().unwrap_or_default()),
        (&["verify"], tokens_in),
        (&["keys", "status"], |report| report["keys"][0]["documents"].as_u64().unwrap_or_default() - 1),
    ];
    for (number, (command, counted)) in (2..).zip(commands) {
        let connector = connector(&format!("c{number}"));
        tokens.create(Scope::Shared, &connector, token()).await.expect("stored");
        let ran = run(&context, &[command, &["--types", path(folder.path()), "--json"]].concat()).await;
        assert_eq!((ran.code, counted(&ran.json())), (0, number), "{command:?}: {ran:?}");
    }
    tokens.create(Scope::Shared, &connector("late"), token()).await.expect("stored");
    let ran = run(&context, &["tokens", "delete", "--connector", "late", "--json"]).await;
    assert_eq!((ran.code, count(&ran.json()["deleted"])), (0, 1), "{ran:?}");
}

async fn what_was_not_counted_is_not_said_to_be_none(context: Context) {
    let folder = folder(1);
    drop(platform(&context).await);
    let again = run(&context, &["migrate", "--types", path(folder.path())]).await;
    assert!(again.code == 0 && again.out.contains("nothing to do"), "{again:?}");
    assert!(!again.out.contains("no documents"), "{again:?}");
    let json = run(&context, &["migrate", "--types", path(folder.path()), "--json"]).await.json();
    assert_eq!(json["indices"][0]["types"][0]["by_version"], Value::Null, "{json}");
    let status = run(&context, &["status", "--types", path(folder.path())]).await;
    assert!(status.out.contains("no documents"), "of what was counted it is said: {status:?}");
}

async fn indices_of_types_that_are_not_registered_are_named(context: Context) {
    let folder = folder(1);
    drop(platform(&context).await);
    let vaults = context.index("vaults");
    let table: [(&[&str], i32); 6] = [
        (&["verify"], 2),
        (&["export"], 2),
        (&["status"], 0),
        (&["migrate", "--plan"], 0),
        (&["keys", "rotate"], 0),
        (&["tokens", "list"], 0),
    ];
    for (command, code) in table {
        let without = run(&context, command).await;
        let said = format!("{}{}", without.out, without.err);
        assert_eq!(without.code, code, "{command:?}: {said}");
        let visits_all = matches!(command, ["keys", _] | ["tokens", _]);
        assert_eq!(said.contains(&vaults), !visits_all, "{command:?}: {said}");
        assert!(!said.contains("all well") || said.contains("not all well"), "{said}");
        let with = run(&context, &[command, &["--types", path(folder.path())]].concat()).await;
        assert_eq!(with.code, 0, "{command:?}: {with:?}");
        assert!(!format!("{}{}", with.out, with.err).contains("not visited"), "{with:?}");
    }
    let report = run(&context, &["verify", "--json"]).await.json();
    assert_eq!((&report["ok"], &report["not_visited"]), (&json!(false), &json!([vaults])), "{report}");
    let status = run(&context, &["status", "--json"]).await.json();
    assert_eq!(status["not_visited"], json!([vaults]), "{status}");
}

/// Adds a type with a secret to the group of the tokens.
fn letter(folder: &Path) {
    let mapping = json!({"type": "letter", "group": "connectors", "namespace_kind": "agnostic", "exportable": true,
        "random_id": false, "mapping": {"dynamic": false, "properties": {}}});
    write(folder, "mappings/letter.json", &mapping);
    let create = json!({"type": "object", "properties": {"text": {"type": "string"}, "title": {"type": "string"}}});
    let version = json!({"changes": [], "create": create, "encrypted": [{"name": "text"}]});
    write(folder, "model_versions/letter/1.json", &version);
}

async fn secrets_of_types_that_are_not_registered_are_not_well(context: Context) {
    let folder = tempfile::tempdir().expect("a folder");
    letter(folder.path());
    let types = ["--types", path(folder.path())];
    assert_eq!(run(&context, &[&["migrate"][..], &types].concat()).await.code, 0);
    let file = folder.path().join("in.ndjson");
    let line = json!({"type": "letter", "id": "a", "attributes": {"title": "a"}, "secrets": {"text": "s3cret"}});
    std::fs::write(&file, line.to_string()).expect("written");
    assert_eq!(run(&context, &[&["import", path(&file)][..], &types].concat()).await.code, 0);
    let with = run(&context, &[&["verify"][..], &types].concat()).await;
    assert!(with.code == 0 && with.out.contains("all well: each of 1 documents"), "{with:?}");
    let without = run(&context, &["verify"]).await;
    assert_eq!(without.code, 2, "{without:?}");
    assert!(without.out.contains("the type letter") && without.out.contains("not all well"), "{without:?}");
    let export = run(&context, &["export"]).await;
    assert!(export.code == 2 && export.err.contains("not registered: 1 documents of letter"), "{export:?}");
}

async fn a_prefix_with_nothing_under_it_is_said(context: Context) {
    let nothing = format!("there is no index under the prefix {}", context.prefix);
    let table: [(&[&str], i32); 10] = [
        (&["status"], 0),
        (&["namespaces"], 0),
        (&["verify"], 2),
        (&["keys", "status"], 2),
        (&["keys", "rotate"], 2),
        (&["quarantine", "list"], 0),
        (&["quarantine", "restore", "--all"], 0),
        (&["quarantine", "drop", "--all", "--yes"], 0),
        (&["migrate", "--drop-old", "--yes"], 0),
        (&["verify", "--json"], 2),
    ];
    for (command, code) in table {
        let ran = run(&context, command).await;
        let said = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, code, "{command:?}: {said}");
        assert!(said.contains(&nothing), "{command:?}: {said}");
        let said = said.replace("not all well", "");
        for conclusion in ["all well", "can be removed", "whatever opens is under"] {
            assert!(!said.contains(conclusion), "{command:?} concludes {conclusion}: {said}");
        }
    }
    let indices = context.raw("GET", &format!("/{}*", context.prefix), None).await;
    assert_eq!(indices, json!({}), "nothing is created");
}

async fn a_connector_or_user_without_tokens_is_said(context: Context) {
    let (_store, tokens) = platform(&context).await;
    let user = Scope::User(ProfileUid::new("u1").expect("a profile uid"));
    tokens.create(user, &connector("c1"), token()).await.expect("stored");
    let table: [(&[&str], &str); 5] = [
        (&["--connector", "c9"], "there is no token for the connector c9"),
        (&["--user", "u9"], "there is no token of the user u9"),
        (&["--connector", "c1", "--user", "u9"], "there is no token of the user u9 for the connector c1"),
        (&["--connector", "c9", "--shared"], "there is no shared token for the connector c9"),
        (&["--connector", "c9", "--all-users"], "there is no token of any user for the connector c9"),
    ];
    for (selection, expected) in table {
        for (command, code) in [("list", 0), ("delete", 1)] {
            let ran = run(&context, &[&["tokens", command][..], selection].concat()).await;
            assert!(ran.code == code && ran.out.contains(expected), "{command} {selection:?}: {ran:?}");
        }
    }
    assert_eq!(context.documents("connectors").await, 2, "nothing is deleted");
}

async fn a_list_that_knows_no_token_deletes_none(context: Context) {
    let (_store, tokens) = platform(&context).await;
    tokens.create(Scope::Shared, &connector("c2"), token()).await.expect("stored");
    let user = Scope::User(ProfileUid::new("u1").expect("a profile uid"));
    tokens.create(user, &connector("c2"), token()).await.expect("stored");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("known");
    let clean_up = ["tokens", "clean-up", "--orphaned-for", "0s", "--json"];
    let table = [
        ("--known-connectors", "", "empty"),
        ("--known-connectors", "\u{feff}\n", "empty"),
        ("--known-connectors", "[\"c1\", \"c2\"]", "JSON"),
        ("--known-connectors", "u1\nu2\n", "connectors"),
        ("--known-users", "c1\nc2\n", "users"),
    ];
    for (option, content, said) in table {
        std::fs::write(&file, content).expect("written");
        let ran = run(&context, &[&clean_up[..], &[option, path(&file)]].concat()).await;
        assert_eq!((ran.code, &ran.json()["error"]["kind"]), (1, &json!("invalid")), "{content:?}: {ran:?}");
        assert!(ran.out.contains(said), "{content:?}: {ran:?}");
        assert_eq!(context.documents("connectors").await, 3, "{content:?}");
    }
    // The same list as another editor saves it.
    std::fs::write(&file, "\u{feff}c1\r\n").expect("written");
    let ran = run(&context, &[&clean_up[..], &["--known-connectors", path(&file)]].concat()).await;
    assert_eq!((ran.code, &ran.json()["removed"]), (0, &json!({"orphaned": 2})), "{ran:?}");
    assert_eq!(context.documents("connectors").await, 1, "what is known stays");
}

async fn a_namespace_without_objects_is_said(context: Context) {
    let folder = tempfile::tempdir().expect("a folder");
    let mapping = json!({"type": "note", "group": "notes", "namespace_kind": "single", "exportable": true, "random_id": false,
        "mapping": {"dynamic": false, "properties": {}}});
    write(folder.path(), "mappings/note.json", &mapping);
    let create = json!({"type": "object", "properties": {"title": {"type": "string"}}});
    write(folder.path(), "model_versions/note/1.json", &json!({"changes": [], "create": create}));
    let types = ["--only-types", "--types", path(folder.path())];
    assert_eq!(run(&context, &[&["migrate"][..], &types].concat()).await.code, 0);
    let file = folder.path().join("in.ndjson");
    let line = json!({"type": "note", "id": "a", "namespaces": ["team-a"], "attributes": {"title": "a"}});
    std::fs::write(&file, line.to_string()).expect("written");
    let ran = run(&context, &[&["import", path(&file)][..], &types].concat()).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let good = run(&context, &[&["export", "--namespace", "team-a"][..], &types].concat()).await;
    assert_eq!((good.code, good.out.lines().count()), (0, 2), "{good:?}");
    let wrong = run(&context, &[&["export", "--namespace", "taem-a"][..], &types].concat()).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(wrong.err.contains("no objects of these types are in taem-a; there are some in team-a"), "{wrong:?}");
    let both = ["export", "--namespace", "team-a", "--namespace", "taem-a"];
    let both = run(&context, &[&both[..], &types].concat()).await;
    assert_eq!((both.code, both.out.lines().count()), (2, 2), "{both:?}");
}

async fn a_folder_without_types_is_refused(context: Context) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("mappings")).expect("made");
    for arguments in [&["--only-types"][..], &["--types", path(folder.path())]] {
        for command in [&["migrate"][..], &["status"], &["verify"]] {
            let ran = run(&context, &[command, arguments].concat()).await;
            assert!(ran.code == 1 && ran.err.contains("there are no types"), "{command:?} {arguments:?}: {ran:?}");
        }
    }
    let indices = context.raw("GET", &format!("/{}*", context.prefix), None).await;
    assert_eq!(indices, json!({}), "nothing is created");
}

async fn an_import_that_names_what_the_file_does_not_have_writes_nothing(context: Context) {
    let folder = tempfile::tempdir().expect("a folder");
    letter(folder.path());
    let types = ["--types", path(folder.path())];
    assert_eq!(run(&context, &[&["migrate"][..], &types].concat()).await.code, 0);
    let file = folder.path().join("in.ndjson");
    let line = |id: &str| json!({"type": "letter", "id": id, "attributes": {"title": id}}).to_string();
    std::fs::write(&file, format!("{}\n{}\n", line("a"), line("b"))).expect("written");
    for option in ["--skip", "--replace", "--rename", "--may-miss-references"] {
        let ran = run(&context, &[&["import", path(&file), option, "letter/c", "--json"][..], &types].concat()).await;
        assert_eq!((ran.code, &ran.json()["successCount"]), (2, &json!(0)), "{option}: {ran:?}");
        let error = &ran.json()["errors"][0];
        assert_eq!(
            (&error["line"], &error["id"], &error["kind"]),
            (&json!(0), &json!("c"), &json!("invalid")),
            "{ran:?}"
        );
    }
    assert_eq!(context.documents("connectors").await, 0);
    let ran = run(&context, &[&["import", path(&file), "--skip", "letter/b", "--json"][..], &types].concat()).await;
    assert_eq!((ran.code, &ran.json()["successCount"]), (0, &json!(1)), "{ran:?}");
}
