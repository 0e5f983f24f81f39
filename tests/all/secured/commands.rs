//! Every command with every form of credentials that the basic licence has, over TLS with the server's own CA.

use serde_json::json;

use super::{Secured, secured};
use crate::context::Context;
use crate::faults::types::platform_files;

/// What an operator runs, in an order in which each command has something to do.
const COMMANDS: &[&[&str]] = &[
    &["migrate", "--plan"],
    &["migrate"],
    &["migrate", "--rescan"],
    &["migrate", "--drop-old", "--yes"],
    &["status"],
    &["doctor"],
    &["verify"],
    &["keys", "status"],
    &["keys", "rotate"],
    &["quarantine", "list"],
    &["quarantine", "restore", "--all"],
    &["quarantine", "drop", "--all", "--yes"],
    &["tokens", "list"],
    &["tokens", "clean-up", "--expired-for", "1d"],
    &["tokens", "delete", "--connector", "c1"],
    &["export"],
    &["bench", "tokens", "--runs", "1"],
];

pub(super) async fn every_command_by_user_and_by_key(context: Context) {
    let server = secured().await;
    let key = server.api_key(json!({ "name": "all" })).await;
    let (password, file) = (server.password(), server.password_file.to_str().expect("UTF-8").to_owned());
    let folder = tempfile::tempdir().expect("a folder");
    let key_file = folder.path().join("key");
    super::stub::write_secret(&key_file, &format!("{key}\n"));
    let key_file = key_file.to_str().expect("UTF-8").to_owned();
    platform_files(1).iter().for_each(|files| files.write(folder.path()).expect("written"));
    let types = folder.path().to_str().expect("UTF-8");
    let name = |end: &str| format!("SAVED_OBJECTS_ELASTICSEARCH_{end}");
    let forms: [(&str, Vec<(String, String)>); 4] = [
        ("user", vec![(name("USERNAME"), "elastic".to_owned()), (name("PASSWORD_FILE"), file)]),
        ("password", vec![(name("USERNAME"), "elastic".to_owned()), (name("PASSWORD"), password.clone())]),
        ("key", vec![(name("API_KEY"), key.clone())]),
        ("key-file", vec![(name("API_KEY_FILE"), key_file)]),
    ];
    for (form, variables) in forms {
        let prefix = format!("{}-{form}", context.prefix);
        let variables: Vec<(&str, &str)> = variables.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        for command in COMMANDS {
            // A benchmark takes long, and uses the same connection as all commands.
            if command[0] == "bench" && form != "key" {
                continue;
            }
            let arguments = [*command, &["--prefix", &prefix, "--types", types]].concat();
            let ran = server.run(&context, &arguments, &variables).await;
            // There is no token.
            let expected = i32::from(matches!(command, ["tokens", "delete", ..]));
            assert_eq!(ran.code, expected, "{form} {command:?}: {ran:?}");
            let all = format!("{ran:?}");
            assert!(!all.contains(&password) && !all.contains(&key), "{form} {command:?}: {all}");
        }
        let file = folder.path().join(format!("{form}.ndjson"));
        let file = file.to_str().expect("UTF-8");
        for command in [&["export", file][..], &["import", file, "--overwrite"]] {
            let arguments = [command, &["--prefix", &prefix, "--types", types]].concat();
            let ran = server.run(&context, &arguments, &variables).await;
            assert_eq!(ran.code, 0, "{form} {command:?}: {ran:?}");
        }
        clean(&server, &prefix).await;
    }
    // By a copy: release 3 of the tests' platform changes a mapping.
    let prefix = format!("{}-copy", context.prefix);
    for (release, way) in [(1, "create"), (3, "copy")] {
        let types = tempfile::tempdir().expect("a folder");
        platform_files(release).iter().for_each(|files| files.write(types.path()).expect("written"));
        let types = types.path().to_str().expect("UTF-8");
        let arguments = ["migrate", "--json", "--only-types", "--types", types, "--prefix", &prefix];
        let ran = server.run_with_key(&context, &arguments, &key).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.json()["indices"].to_string().contains(&format!("\"way\":\"{way}\"")), "{ran:?}");
    }
    clean(&server, &prefix).await;
}

/// Deletes all indices under a prefix.
pub(super) async fn clean(server: &Secured, prefix: &str) {
    let (_, all) = server.send("GET", &format!("/{prefix}-*?expand_wildcards=all"), None).await;
    for index in all.as_object().into_iter().flat_map(|all| all.keys()) {
        server.send("DELETE", &format!("/{index}"), None).await;
    }
}

pub(super) async fn the_demo_with_the_privileges_of_a_migration(context: Context) {
    let server = secured().await;
    let arguments = ["privileges", "migrate", "--api-key", "--prefix", "saved-objects-demo"];
    let printed = server.run(&context, &arguments, &[]).await;
    assert_eq!(printed.code, 0, "{printed:?}");
    let key = server.api_key(printed.json()).await;
    let ran = server.run_with_key(&context, &["demo", "--json"], &key).await;
    assert_eq!((ran.code, &ran.json()["ok"]), (0, &json!(true)), "{ran:?}");
    assert_eq!(ran.json()["elasticsearch"]["url"], server.url());
    clean(&server, "saved-objects-demo").await;
}
