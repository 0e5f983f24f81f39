//! Objects are moved from one store to another.

use std::io::Cursor;

use libtest_mimic::Trial;
use saved_objects::document::{Namespace, Reference};
use saved_objects::encryption::Secret;
use saved_objects::repository::{
    Create, Decision, Delete, Export, Find, Import, ImportSummary, NamedObject, OnConflict, Repository, SecretForm,
};
use saved_objects::{ErrorKind, SavedObject, Start};
use serde_json::{Value, json};

use super::{key, kind, object, refresh, store_of, types};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        what_is_exported_is_imported_as_it_was,
        secrets_leave_as_the_caller_says,
        references_are_followed,
        nothing_is_imported_if_one_object_is_in_the_way,
        objects_are_overwritten_renamed_or_left_out,
        new_ids_take_the_references_along,
        an_object_with_another_id_is_found_by_its_origin,
        malformed_files_are_refused,
        an_import_stops_where_nothing_can_be_written,
        what_cannot_be_read_is_left_out_and_named,
        missing_references_are_named,
        references_follow_what_was_imported_before,
    )
}

async fn repository(context: &Context) -> Repository {
    store_of(context, types::all_exportable(), Start::Migrate).await.0.repository().clone()
}

fn reference(type_name: &str, id: &str) -> Reference {
    Reference { name: format!("to {id}"), type_name: type_name.to_owned(), id: id.to_owned() }
}

async fn fill(context: &Context, repository: &Repository) {
    let ops = Namespace::new("ops").expect("a name");
    let requests = [
        Create::new("note", object(json!({"title": "a", "count": 1})))
            .id("a")
            .references(vec![reference("board", "b")]),
        Create::new("note", object(json!({"title": "b"}))).id("b").managed(true).origin_id("before"),
        Create::new("login", object(json!({"user": "kim", "hint": "h"})))
            .id("l")
            .secret("password", Secret::text("s3cret")),
        Create::new("page", object(json!({"title": "p"})))
            .id("p")
            .namespace(ops.clone())
            .secret("secret", Secret::text("ops")),
        Create::new("board", object(json!({"title": "t"})))
            .id("b")
            .references(vec![reference("note", "b"), reference("note", "gone")]),
    ];
    for request in requests {
        repository.create(request).await.expect("created");
    }
    refresh(context).await;
}

async fn lines(repository: &Repository, request: Export) -> Vec<Value> {
    let mut bytes = Vec::new();
    repository.export(request, &mut bytes).await.expect("exported");
    let text = String::from_utf8(bytes).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

const TYPES: [&str; 4] = ["note", "login", "page", "board"];

fn everywhere() -> Find {
    Find::new().namespaces([Namespace::DEFAULT, Namespace::new("ops").expect("a name")])
}

async fn file(repository: &Repository, secrets: SecretForm) -> Vec<u8> {
    let mut bytes = Vec::new();
    let request = Export::found(TYPES, everywhere()).secrets(secrets);
    repository.export(request, &mut bytes).await.expect("exported");
    bytes
}

async fn delete_all(context: &Context, repository: &Repository) {
    let found = repository.find(&TYPES, everywhere()).await.expect("found");
    for object in &found.objects {
        repository.delete(Delete::of(object).force()).await.expect("deleted");
    }
    refresh(context).await;
}

async fn import(repository: &Repository, request: Import, file: &[u8]) -> ImportSummary {
    repository.import(request, Cursor::new(file.to_vec())).await.expect("it came to an end")
}

async fn note(repository: &Repository, id: &str) -> SavedObject {
    repository.get(&key("note", id)).await.expect("it is there")
}

async fn what_is_exported_is_imported_as_it_was(context: Context) {
    let repository = repository(&context).await;
    fill(&context, &repository).await;
    let digests = async || {
        refresh(&context).await;
        let report = context.verifier(types::all_exportable()).verify().await.expect("verified");
        assert!(report.ok);
        format!("{:?}", report.indices)
    };
    let before = digests().await;
    for secrets in [SecretForm::Encrypted, SecretForm::Clear] {
        let file = file(&repository, secrets).await;
        delete_all(&context, &repository).await;
        assert_ne!(digests().await, before);
        let summary = import(&repository, Import::new(), &file).await;
        assert_eq!((summary.success, summary.success_count), (true, 5), "{summary:?}");
        assert_eq!(digests().await, before, "{secrets:?}");
    }
}

async fn secrets_leave_as_the_caller_says(context: Context) {
    let repository = repository(&context).await;
    fill(&context, &repository).await;
    let login = || Export::objects([key("login", "l")]);
    let [stripped, encrypted, clear] = [SecretForm::Strip, SecretForm::Encrypted, SecretForm::Clear];
    let line = lines(&repository, login().secrets(stripped)).await.remove(0);
    assert_eq!(line["attributes"], json!({"user": "kim"}));
    assert!(line.get("secrets").is_none() && line.get("envelopes").is_none(), "{line}");
    let line = lines(&repository, login().secrets(encrypted)).await.remove(0);
    assert!(!line.to_string().contains("s3cret") && line["envelopes"]["password"].is_string(), "{line}");
    let line = lines(&repository, login().secrets(clear)).await.remove(0);
    assert_eq!(line["secrets"], json!({"password": "s3cret", "hint": "h"}));
    // An envelope that was moved to another object cannot be decrypted.
    let mut moved = lines(&repository, login().secrets(encrypted)).await.remove(0);
    moved["id"] = json!("other");
    let summary = import(&repository, Import::new(), moved.to_string().as_bytes()).await;
    assert_eq!((summary.errors[0].kind, summary.success_count), ("unreadable", 0));
    // With a new id from this import it is sealed again.
    let file = lines(&repository, login().secrets(encrypted)).await.remove(0).to_string();
    let renamed = Import::new().decide("login", "l", Decision::NewId(Some("l2".to_owned())));
    assert!(import(&repository, renamed, file.as_bytes()).await.success);
    let (_, secrets) = repository.get_with_secrets(&key("login", "l2")).await.expect("it opens");
    assert_eq!(secrets["password"], Secret::text("s3cret"));
}

async fn references_are_followed(context: Context) {
    let repository = repository(&context).await;
    fill(&context, &repository).await;
    let mut lines = lines(&repository, Export::objects([key("note", "a")]).references()).await;
    let summary = lines.pop().expect("a summary");
    let exported: Vec<_> = lines.iter().map(|line| format!("{}/{}", line["type"], line["id"])).collect();
    assert_eq!(exported, ["\"note\"/\"a\"", "\"board\"/\"b\"", "\"note\"/\"b\""]);
    assert_eq!(summary["missingReferences"], json!([{"type": "note", "id": "gone"}]));
    assert_eq!((summary["exportedCount"].as_u64(), summary["missingRefCount"].as_u64()), (Some(3), Some(1)));
}

async fn nothing_is_imported_if_one_object_is_in_the_way(context: Context) {
    let repository = repository(&context).await;
    fill(&context, &repository).await;
    let file = file(&repository, SecretForm::Clear).await;
    repository.delete(Delete::new(key("note", "a"))).await.expect("deleted");
    let summary = import(&repository, Import::new(), &file).await;
    assert_eq!((summary.success, summary.success_count, summary.errors.len()), (false, 0, 4), "{summary:?}");
    assert!(summary.errors.iter().all(|problem| problem.kind == "conflict"));
    assert!(repository.get_opt(&key("note", "a")).await.expect("read").is_none(), "nothing was written");
}

async fn objects_are_overwritten_renamed_or_left_out(context: Context) {
    let repository = repository(&context).await;
    fill(&context, &repository).await;
    let file = file(&repository, SecretForm::Clear).await;
    repository
        .update(&key("note", "a"), |draft| {
            draft.attributes.insert("title".to_owned(), json!("changed"));
            Ok(())
        })
        .await
        .expect("updated");
    let summary = import(&repository, Import::new().on_conflict(OnConflict::Overwrite), &file).await;
    assert_eq!((summary.success, summary.success_count), (true, 5), "{summary:?}");
    assert_eq!(note(&repository, "a").await.attributes["title"], "a");

    let decided = Import::new()
        .decide("note", "a", Decision::NewId(Some("a2".to_owned())))
        .decide("note", "b", Decision::Skip)
        .only_decided();
    let summary = import(&repository, decided, &file).await;
    assert_eq!((summary.success, summary.success_count, summary.skipped_count), (true, 1, 4), "{summary:?}");
    assert_eq!(summary.relocated[0].destination_id, "a2");
    assert_eq!(note(&repository, "a2").await.attributes["title"], "a");

    let elsewhere =
        Import::new().namespace(Namespace::new("dev").expect("a name")).decide("board", "b", Decision::NewId(None));
    let some = lines(&repository, Export::found(["page"], everywhere())).await.remove(0).to_string();
    assert!(import(&repository, elsewhere, some.as_bytes()).await.success);
    let page = key("page", "p").in_namespace(Namespace::new("dev").expect("a name"));
    assert_eq!(repository.get(&page).await.expect("it is there").namespaces, ["dev"]);
}

async fn new_ids_take_the_references_along(context: Context) {
    let repository = repository(&context).await;
    fill(&context, &repository).await;
    let file = file(&repository, SecretForm::Clear).await;
    let summary = import(&repository, Import::new().on_conflict(OnConflict::NewIds), &file).await;
    assert_eq!((summary.success, summary.success_count, summary.relocated.len()), (true, 5, 5), "{summary:?}");
    let id_of = |type_name: &str, id: &str| {
        let is_it = |relocated: &&saved_objects::repository::Relocated| {
            relocated.object.type_name == type_name && relocated.object.id == id
        };
        summary.relocated.iter().find(is_it).expect("relocated").destination_id.clone()
    };
    let copy = note(&repository, &id_of("note", "a")).await;
    assert_eq!(copy.references[0].id, id_of("board", "b"));
    assert_eq!(copy.origin_id, None);
    assert_eq!(note(&repository, "a").await.references[0].id, "b");
}

async fn an_object_with_another_id_is_found_by_its_origin(context: Context) {
    let repository = repository(&context).await;
    let board = |id: &str| Create::new("board", object(json!({"title": id}))).id(id);
    repository.create(board("copy").origin_id("first")).await.expect("created");
    refresh(&context).await;
    let file = json!({"type": "board", "id": "first", "attributes": {"title": "new"}}).to_string();
    let summary = import(&repository, Import::new(), file.as_bytes()).await;
    assert_eq!((summary.errors[0].kind, &summary.errors[0].destinations), ("conflict", &vec!["copy".to_owned()]));
    let summary = import(&repository, Import::new().on_conflict(OnConflict::Overwrite), file.as_bytes()).await;
    assert!(summary.success, "{summary:?}");
    assert_eq!(summary.relocated[0].destination_id, "copy");
    assert_eq!(repository.get(&key("board", "copy")).await.expect("there").attributes["title"], "new");

    repository.create(board("copy2").origin_id("first")).await.expect("created");
    refresh(&context).await;
    let summary = import(&repository, Import::new().on_conflict(OnConflict::Overwrite), file.as_bytes()).await;
    assert_eq!((summary.errors[0].kind, summary.errors[0].destinations.len()), ("ambiguous_conflict", 2));
    let chosen = Import::new().decide("board", "first", Decision::Overwrite(Some("copy2".to_owned())));
    assert!(import(&repository, chosen, file.as_bytes()).await.success);
    assert_eq!(repository.get(&key("board", "copy2")).await.expect("there").attributes["title"], "new");

    // An object of another namespace has the id: the imported object gets its own id.
    let hidden = board("taken").namespace(Namespace::new("ops").expect("a name"));
    repository.create(hidden).await.expect("created");
    let file = json!({"type": "board", "id": "taken", "attributes": {"title": "mine"}}).to_string();
    let summary = import(&repository, Import::new(), file.as_bytes()).await;
    assert!(summary.success, "{summary:?}");
    let moved = repository.get(&key("board", &summary.relocated[0].destination_id)).await.expect("there");
    assert_eq!((moved.origin_id.as_deref(), moved.namespaces), (Some("taken"), vec!["default".to_owned()]));
}

async fn malformed_files_are_refused(context: Context) {
    let repository = repository(&context).await;
    let note = |id: &str| json!({"type": "note", "id": id, "attributes": {"title": "t"}}).to_string();
    for text in ["{", "[]", "{}", "nonsense", "{\"type\": \"note\"}", &format!("{}\n{}", note("a"), note("a"))] {
        let text = format!("{text}\n{}\n", note("fine"));
        let summary = import(&repository, Import::new(), text.as_bytes()).await;
        let [problem] = summary.errors.as_slice() else { panic!("{text}: {summary:?}") };
        assert_eq!((problem.kind, summary.success, summary.success_count), ("invalid", false, 0), "{text}");
    }
    let table = [
        (json!({"type": "nothing", "id": "a", "attributes": {}}), "unsupported_type"),
        (json!({"type": "vault", "id": "a", "attributes": {}}), "unsupported_type"),
        (json!({"type": "note", "id": "a", "attributes": {"title": 5}}), "invalid"),
        (json!({"type": "note", "id": "", "attributes": {"title": "t"}}), "invalid"),
        (json!({"type": "note", "id": "a", "attributes": {"title": "x".repeat(40_000)}}), "invalid"),
        (
            json!({"type": "note", "id": "a", "attributes": {"title": "t"}, "typeMigrationVersion": "10.9.0"}),
            "unreadable",
        ),
        (json!({"type": "login", "id": "a", "attributes": {"user": "u", "password": "clear"}}), "invalid"),
        (json!({"type": "login", "id": "a", "attributes": {"user": "u", "password": {"a": 1}}}), "invalid"),
        (json!({"type": "login", "id": "a", "attributes": {"user": "u"}, "envelopes": {"password": "x"}}), "invalid"),
        (json!({"type": "login", "id": "a", "attributes": {"user": "u"}, "secrets": {"user": "x"}}), "invalid"),
    ];
    for (line, kind) in table {
        let text = format!("{}\n\n{line}\n", note("fine"));
        let summary = import(&repository, Import::new(), text.as_bytes()).await;
        assert_eq!((summary.success, summary.success_count), (false, 0), "{line}");
        assert_eq!((summary.errors[0].kind, summary.errors[0].line), (kind, 3), "{line}: {summary:?}");
    }
    assert!(repository.get_opt(&key("note", "fine")).await.expect("read").is_none(), "nothing was written");
    let empty = import(&repository, Import::new(), b"\n\n{\"exportedCount\":0}\n").await;
    assert_eq!((empty.success, empty.success_count), (true, 0));
}

async fn an_import_stops_where_nothing_can_be_written(context: Context) {
    let repository = repository(&context).await;
    context.cluster().add_write_block(&context.index("things")).await.expect("blocked");
    let line = |n: usize| json!({"type": "note", "id": format!("n{n}"), "attributes": {"title": "t"}}).to_string();
    let file: Vec<String> = (0..1_200).map(line).collect();
    let summary = import(&repository, Import::new(), file.join("\n").as_bytes()).await;
    assert_eq!((summary.success, summary.success_count, summary.stopped_at_line), (false, 0, Some(501)), "{summary:?}");
    // Every line before that is reported.
    assert_eq!(summary.errors.iter().map(|problem| problem.line).collect::<Vec<_>>(), (1..=500).collect::<Vec<_>>());
    assert!(summary.errors.iter().all(|problem| problem.kind == "unavailable"));
}

async fn what_cannot_be_read_is_left_out_and_named(context: Context) {
    let repository = repository(&context).await;
    fill(&context, &repository).await;
    super::put(&context, "things", "wrong-id", json!({"type": "note", "note": {}})).await;
    let mut lines = lines(&repository, Export::found(["note"], Find::new())).await;
    let summary = lines.pop().expect("a summary");
    assert_eq!((lines.len(), summary["excludedObjectsCount"].as_u64()), (2, Some(1)));
    assert_eq!(summary["excludedObjects"][0]["id"], "wrong-id");
    let badge = Export::found(["badge"], Find::new());
    assert_eq!(kind(repository.export(badge, &mut Vec::new()).await), ErrorKind::Invalid, "not exportable");
}

fn named(type_name: &str, id: &str) -> NamedObject {
    NamedObject { type_name: type_name.to_owned(), id: id.to_owned() }
}

async fn missing_references_are_named(context: Context) {
    let repository = repository(&context).await;
    repository.create(Create::new("note", object(json!({"title": "t"}))).id("there")).await.expect("created");
    let to = |type_name: &str, id: &str| json!({"name": id, "type": type_name, "id": id});
    let references = [
        to("note", "there"),
        to("note", "later"),
        to("note", "gone"),
        to("note", "gone"),
        to("nothing", "x"),
        to("page", "p"),
    ];
    let first = json!({"type": "note", "id": "a", "attributes": {"title": "a"}, "references": references});
    let later = json!({"type": "note", "id": "later", "attributes": {"title": "b"}});
    let file = format!("{first}\n{later}\n").into_bytes();
    let required = || Import::new().require_references("note").require_references("nothing");

    let summary = import(&repository, required(), &file).await;
    assert_eq!((summary.success, summary.success_count), (false, 0), "{summary:?}");
    let [problem] = summary.errors.as_slice() else { panic!("{summary:?}") };
    assert_eq!(
        (problem.kind, problem.line, problem.object.clone()),
        ("missing_references", 1, Some(named("note", "a")))
    );
    assert_eq!(problem.missing, [named("note", "gone"), named("nothing", "x")]);
    assert_eq!(repository.get_opt(&key("note", "later")).await.expect("read"), None, "nothing was written");

    let elsewhere = required().replace_reference(named("note", "a"), named("note", "gone"), "there").replace_reference(
        named("note", "b"),
        named("nothing", "x"),
        "there",
    );
    let summary = import(&repository, elsewhere.clone(), &file).await;
    assert_eq!(summary.errors[0].missing, [named("nothing", "x")]);
    let summary = import(&repository, elsewhere.may_miss_references(named("note", "a")), &file).await;
    assert_eq!((summary.success, summary.success_count), (true, 2), "{summary:?}");
    let ids: Vec<String> = note(&repository, "a").await.references.into_iter().map(|it| it.id).collect();
    assert_eq!(ids, ["there", "later", "there", "there", "x", "p"]);
    // The skipped object is not in the file.
    let skipped = required().decide("note", "later", Decision::Skip).on_conflict(OnConflict::NewIds);
    repository.delete(Delete::new(key("note", "later"))).await.expect("deleted");
    let summary = import(&repository, skipped, &file).await;
    assert_eq!(summary.errors[0].missing, [named("note", "gone"), named("note", "later"), named("nothing", "x")]);
}

async fn references_follow_what_was_imported_before(context: Context) {
    let repository = repository(&context).await;
    let copy = Create::new("board", object(json!({"title": "t"}))).id("copy").origin_id("first");
    repository.create(copy).await.expect("created");
    refresh(&context).await;
    let reference = json!([{"name": "b", "type": "board", "id": "first"}]);
    let line = json!({"type": "note", "id": "n", "attributes": {"title": "t"}, "references": reference});
    let summary = import(&repository, Import::new().require_references("board"), line.to_string().as_bytes()).await;
    assert!(summary.success, "{summary:?}");
    assert_eq!(note(&repository, "n").await.references[0].id, "copy");
}
