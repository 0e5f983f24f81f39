//! Types that move to another index group while their documents stay in the old index.

use std::io::Cursor;

use libtest_mimic::Trial;
use saved_objects::migrate::{Blocker, Outcome};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Create, Export, Find, Import, ObjectKey, SecretForm};
use saved_objects::{ErrorKind, Start};
use serde_json::json;

use crate::context::Context;
use crate::migration::{object, version};
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_type_that_moved_to_another_group_is_a_blocker,
        a_group_that_is_renamed_is_a_blocker,
        a_type_that_moved_back_is_a_blocker_where_it_has_documents,
        a_type_without_documents_may_move,
        types_of_a_group_that_nobody_registers_are_told,
        the_hint_moves_documents_out_of_a_group_with_other_types,
        the_hint_moves_documents_out_of_a_group_that_ends,
    )
}

fn of_group(name: &str, group: &str) -> TypeDefinition {
    definition(name, group, false)
}

fn definition(name: &str, group: &str, removed: bool) -> TypeDefinition {
    let file = json!({"type": name, "group": group, "namespace_kind": "agnostic", "hidden": false, "exportable": true,
        "random_id": false, "identity": null, "removed": removed,
        "mapping": {"dynamic": false, "properties": {"title": {"type": "keyword"}}}});
    let first = version(json!({"title": {"type": "string"}}), json!({"encrypted": [], "bound": []}));
    TypeDefinition::from_json("t.json", &file.to_string(), &[("1.json".to_owned(), first.to_string())]).expect("valid")
}

async fn create(context: &Context, types: Vec<TypeDefinition>, name: &str, ids: &[&str]) {
    let store = context.store(types).await;
    for id in ids {
        let create = Create::new(name, object(json!({"title": id}))).id(*id);
        store.repository().create(create).await.expect("created");
    }
}

/// Returns the one blocker that a start, a plan and the status report.
async fn blocker(context: &Context, types: &[TypeDefinition]) -> Blocker {
    let migrated = context.migrator(types.to_vec()).migrate().await;
    assert_eq!(migrated.outcome, Outcome::Blocked, "{migrated:?}");
    let planned = context.migrator(types.to_vec()).describe().await;
    assert_eq!((planned.outcome, &planned.blockers), (Outcome::Blocked, &migrated.blockers), "{planned:?}");
    let status = context.migrator(types.to_vec()).status().await.expect("seen");
    assert_eq!(status.blockers, migrated.blockers);
    let waited = context.migrator(types.to_vec()).wait().await;
    assert_eq!((waited.outcome, &waited.blockers), (Outcome::Blocked, &migrated.blockers), "no other node can help");
    let error = context.try_store(types.to_vec()).await.expect_err("blocked");
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
    let [blocker] = &migrated.blockers[..] else { panic!("{migrated:?}") };
    blocker.clone()
}

async fn a_type_that_moved_to_another_group_is_a_blocker(context: Context) {
    let before = || vec![of_group("memo", "notes"), of_group("note", "notes")];
    create(&context, before(), "memo", &["1", "2"]).await;
    let after = vec![of_group("memo", "memos"), of_group("note", "notes")];
    let blocker = blocker(&context, &after).await;
    let index = context.index("notes");
    assert!(blocker.what.contains(&index) && blocker.what.contains("2 of type memo"), "{blocker:?}");
    assert!(blocker.hint.contains("\"group\": \"notes\" in mappings/memo.json"), "{blocker:?}");
    assert!(
        context.cluster().indices(&[&context.index("memos")]).await.expect("seen").is_empty(),
        "nothing is written"
    );
    assert_eq!(context.migrator(before()).migrate().await.outcome, Outcome::NothingToDo, "as the hint says");
}

async fn a_group_that_is_renamed_is_a_blocker(context: Context) {
    create(&context, vec![of_group("memo", "memos"), of_group("note", "memos")], "memo", &["1"]).await;
    let blocker = blocker(&context, &[of_group("memo", "papers"), of_group("note", "papers")]).await;
    assert!(blocker.what.contains("1 of type memo") && !blocker.what.contains("of type note"), "{blocker:?}");
}

async fn a_type_that_moved_back_is_a_blocker_where_it_has_documents(context: Context) {
    // Nothing was stored when the type moved, but since then something was.
    let (there, back) = (vec![of_group("memo", "notes")], vec![of_group("memo", "memos")]);
    context.store(there.clone()).await;
    create(&context, back.clone(), "memo", &["1"]).await;
    let blocker = blocker(&context, &there).await;
    assert!(blocker.what.contains(&context.index("memos")), "{blocker:?}");
    assert_eq!(context.migrator(back).migrate().await.outcome, Outcome::NothingToDo);
}

async fn a_type_without_documents_may_move(context: Context) {
    create(&context, vec![of_group("memo", "notes"), of_group("note", "notes")], "note", &["1"]).await;
    let moved = vec![of_group("memo", "memos"), of_group("note", "notes")];
    let report = context.migrator(moved.clone()).migrate().await;
    assert_eq!((report.outcome, report.blockers.len()), (Outcome::Migrated, 0), "{report:?}");
    assert!(context.builder(moved).start(Start::WaitOnly).await.is_ok());
}

async fn types_of_a_group_that_nobody_registers_are_told(context: Context) {
    create(&context, vec![of_group("memo", "memos"), of_group("note", "notes")], "memo", &["1", "2"]).await;
    context.cluster().refresh(&context.index("memos")).await.expect("refreshed");
    let rest = vec![of_group("note", "notes")];
    let planned = context.migrator(rest.clone()).describe().await;
    assert_eq!((planned.outcome, planned.unregistered.len()), (Outcome::NothingToDo, 1), "{planned:?}");
    let status = context.migrator(rest).status().await.expect("seen");
    let told = &status.unregistered[0];
    assert_eq!((told.type_name.as_deref(), told.documents), (Some("memo"), 2), "{status:?}");
}

/// Returns the file of an export that follows the hint.
async fn exported(context: &Context, types: Vec<TypeDefinition>, hint: &str) -> Vec<u8> {
    let command = "`saved-objects export moved.ndjson --all-namespaces --secrets encrypted --type memo`";
    assert!(hint.contains(command), "{hint}");
    let store = context.store(types).await;
    context.cluster().refresh(&context.index("notes")).await.expect("refreshed");
    let mut file = Vec::new();
    let export = Export::found(["memo"], Find::new().everywhere()).secrets(SecretForm::Encrypted);
    let summary = store.repository().export(export, &mut file).await.expect("exported");
    assert_eq!(summary.exported_count, 2, "{summary:?}");
    file
}

async fn imported(context: &Context, types: Vec<TypeDefinition>, file: Vec<u8>) {
    let report = context.migrator(types.clone()).migrate().await;
    assert_eq!((report.outcome, report.blockers.len()), (Outcome::Migrated, 0), "{report:?}");
    let store = context.store(types).await;
    let summary = store.repository().import(Import::new(), Cursor::new(file)).await.expect("imported");
    assert!(summary.success, "{summary:?}");
    for id in ["1", "2"] {
        store.repository().get(&ObjectKey::new("memo", id)).await.expect("it is where it is looked for");
    }
}

async fn the_hint_moves_documents_out_of_a_group_with_other_types(context: Context) {
    let before = || vec![of_group("memo", "notes"), of_group("note", "notes")];
    create(&context, before(), "memo", &["1", "2"]).await;
    create(&context, before(), "note", &["1"]).await;
    let after = || vec![of_group("memo", "memos"), of_group("note", "notes")];
    let hint = blocker(&context, &after()).await.hint;
    let file = exported(&context, before(), &hint).await;
    assert!(hint.contains("`saved-objects migrate --delete-removed`"), "{hint}");
    let removed = vec![definition("memo", "notes", true), of_group("note", "notes")];
    let report = context.migrator(removed).delete_removed().migrate().await;
    assert_eq!(report.indices[0].documents.deleted, 2, "{report:?}");
    imported(&context, after(), file).await;
    assert_eq!(context.documents("notes").await, 1);
}

async fn the_hint_moves_documents_out_of_a_group_that_ends(context: Context) {
    create(&context, vec![of_group("memo", "notes")], "memo", &["1", "2"]).await;
    let after = || vec![of_group("memo", "memos")];
    let hint = blocker(&context, &after()).await.hint;
    let file = exported(&context, vec![of_group("memo", "notes")], &hint).await;
    let index = context.index("notes");
    assert!(hint.contains(&format!("DELETE /{index};")), "{hint}");
    context.cluster().delete_index(&index).await.expect("deleted");
    imported(&context, after(), file).await;
}
