//! If the server refuses a part of an operation, that part is reported with the missing privilege.

use serde_json::{Value, json};

use super::commands::clean;
use super::jobs::{assert_asks_for, prepare, printed};
use super::secured;
use crate::context::{Context, KEY};
use crate::faults::types::platform_files;

/// Two groups, and an API key that may write one of them.
pub(super) async fn an_import_names_the_privilege_that_a_group_lacks(context: Context) {
    let server = secured().await;
    let prefix = context.prefix.to_string();
    clean(&server, &prefix).await;
    let folder = tempfile::tempdir().expect("a folder");
    platform_files(1).iter().for_each(|files| files.write(folder.path()).expect("written"));
    let of_relics = folder.path().join("mappings/relic.json");
    let text = std::fs::read_to_string(&of_relics).expect("read");
    let mut mapping: Value = serde_json::from_str(&text).expect("JSON");
    mapping["group"] = json!("relics");
    std::fs::write(&of_relics, mapping.to_string()).expect("written");
    let types = folder.path().to_str().expect("UTF-8");
    let all = server.api_key(json!({ "name": "all" })).await;
    let ran = server.run_with_key(&context, &["migrate", "--types", types], &all).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let line = |type_name: &str, id: &str, attributes: Value| {
        format!("{}\n", json!({ "type": type_name, "id": id, "attributes": attributes }))
    };
    let file = |name: &str, lines: &[String]| {
        let path = folder.path().join(name);
        std::fs::write(&path, lines.concat()).expect("written");
        path.to_str().expect("UTF-8").to_owned()
    };
    let both = [line("vault", "v", json!({ "title": "t" })), line("relic", "r", json!({ "age": 1 }))];
    let (refused, half) = (file("refused.ndjson", &both[1..]), file("half.ndjson", &both));
    let reading = json!(["read", "view_index_metadata", "maintenance"]);
    let role = json!({ "indices": [
        { "names": [format!("{prefix}-*")], "privileges": reading },
        { "names": [format!("{prefix}-vaults*"), format!("{prefix}-control*")], "privileges": ["write"] },
    ]});
    let key = server.key_with_role(role).await;
    let of_relics = json!({ "indices": [{ "privileges": reading }] });
    // First nothing was written, and then a part.
    for (file, code, written) in [(refused, 2, 0), (half, 1, 1)] {
        let ran = server.run_with_key(&context, &["import", &file, "--types", types, "--json"], &key).await;
        let summary = ran.json();
        assert_eq!((ran.code, &summary["successCount"]), (code, &json!(written)), "{ran:?}");
        let [problem] = summary["errors"].as_array().expect("errors").as_slice() else { panic!("{ran:?}") };
        assert_eq!((&problem["type"], &problem["kind"]), (&json!("relic"), &json!("forbidden")), "{ran:?}");
        assert_asks_for(problem["message"].as_str().expect("a message"), "write", &of_relics);
    }
    clean(&server, &prefix).await;
}

/// With credentials that may write the control index only, the rotation starts, and each of its writes is refused.
pub(super) async fn a_rotation_whose_writes_are_refused_is_blocked(context: Context) {
    let server = secured().await;
    let prefix = format!("{}-rotating", context.prefix);
    prepare(&server, &context, &prefix).await;
    let mut role = printed(&server, &context, "operate", &prefix).await;
    let privileges = role["indices"][0]["privileges"].as_array_mut().expect("privileges");
    privileges.retain(|privilege| privilege != "write");
    let of_documents = role.clone();
    let control = json!({ "names": [format!("{prefix}-control*")], "privileges": ["write"] });
    role["indices"].as_array_mut().expect("indices").push(control);
    let key = server.key_with_role(role).await;
    let variables = [
        ("SAVED_OBJECTS_ELASTICSEARCH_API_KEY", key.as_str()),
        ("SAVED_OBJECTS_ENCRYPTION_KEY", "a new key for tests only: 0123456789abcdef"),
        ("SAVED_OBJECTS_DECRYPTION_ONLY_KEYS", KEY),
    ];
    let ran = server.run(&context, &["keys", "rotate", "--prefix", &prefix, "--json"], &variables).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    let error = &ran.json()["error"];
    assert_eq!(error["kind"], "forbidden", "{ran:?}");
    assert_asks_for(error["hint"].as_str().expect("a hint"), "write", &of_documents);
    assert!(error["message"].as_str().is_some_and(|said| said.contains("-connectors")), "{ran:?}");
    clean(&server, &prefix).await;
}
