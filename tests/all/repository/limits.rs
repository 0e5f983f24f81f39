//! JSON that is nested too deeply, and other documents that cannot be read: refused, reported, and deleted.

use std::io::Cursor;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use libtest_mimic::Trial;
use saved_objects::document::{MAX_DEPTH, Namespace};
use saved_objects::repository::{
    Action, Authorization, Create, Delete, Export, Find, Import, OnConflict, Replace, Repository, SecretForm, Update,
};
use saved_objects::{Error, ErrorKind, Result, Start};
use serde_json::{Value, json};

use super::{ids, key, kind, note, object, store_of, types};
use crate::context::{Context, MEMORY, nested};
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        what_could_not_be_read_again_is_refused_on_every_way,
        what_is_stored_too_deep_is_named_and_deleted,
        what_is_no_object_is_deleted_by_force,
        force_reaches_no_object_of_another_namespace,
        a_namespace_takes_its_corrupt_objects_along,
        a_deletion_by_force_names_a_version,
    );
    if url != MEMORY {
        trials.extend(named_trials!(url, comments_between_values_fail_no_page));
    }
    trials
}

async fn repository(context: &Context) -> Repository {
    store_of(context, types::all_exportable(), Start::Migrate).await.0.repository().clone()
}

/// Returns a value of that many levels, built without parsing.
fn value(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| Value::Array(vec![inner]))
}

fn deep(levels: usize) -> saved_objects::document::Attributes {
    let mut attributes = object(json!({ "title": "t" }));
    attributes.insert("free".to_owned(), value(levels));
    attributes
}

fn ops() -> Namespace {
    Namespace::new("ops").expect("a name")
}

async fn import(repository: &Repository, line: String) -> Result<()> {
    let request = Import::new().on_conflict(OnConflict::Overwrite);
    let summary = repository.import(request, Cursor::new(line.into_bytes())).await?;
    match summary.errors.into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(Error::invalid(problem.message, "see the problem")),
    }
}

/// Runs every operation that writes, with a note of that many levels. The ids distinguish them.
async fn write_each(repository: &Repository, levels: usize) -> Vec<(&'static str, Result<()>)> {
    let id = |way: &str| format!("{way}-{levels}");
    let of = |way: &str| Create::new("note", deep(levels)).id(id(way));
    for way in ["overwrite", "update", "upsert", "replace"] {
        repository.create(note(&id(way), json!({ "title": "before" }))).await.expect("created");
    }
    let set = |draft: &mut saved_objects::repository::Draft| {
        draft.attributes.insert("free".to_owned(), value(levels));
        Ok(())
    };
    let line =
        format!(r#"{{"type":"note","id":"import-{levels}","attributes":{{"title":"t","free":{}}}}}"#, nested(levels));
    let many = repository.create_many([of("many"), note(&id("beside"), json!({ "title": "b" }))]).await;
    let mut many = many.into_iter();
    let first = many.next().expect("two answers").map(drop);
    many.next().expect("two answers").expect("what is fine is written beside it");
    vec![
        ("create", repository.create(of("create")).await.map(drop)),
        ("many", first),
        ("overwrite", repository.create(of("overwrite").overwrite()).await.map(drop)),
        ("update", repository.update(&key("note", &id("update")), set).await.map(drop)),
        ("upsert", repository.upsert(of("upsert"), set).await.map(drop)),
        ("replace", repository.replace(Replace::new(key("note", &id("replace")), deep(levels))).await.map(drop)),
        ("import", import(repository, line).await),
    ]
}

async fn what_could_not_be_read_again_is_refused_on_every_way(context: Context) {
    let repository = repository(&context).await;
    let limit = MAX_DEPTH.to_string();
    for levels in [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, 127, 128, 500, 990] {
        for (way, written) in write_each(&repository, levels).await {
            let (key, what) = (key("note", &format!("{way}-{levels}")), format!("{way} of {levels} levels"));
            let stored = repository.get_opt(&key).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            if levels <= MAX_DEPTH {
                written.unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(stored.expect("there").attributes["free"].is_array(), "{what}");
                // It can be exported and imported.
                let mut lines = Vec::new();
                let summary = repository.export(Export::objects([key.clone()]), &mut lines).await.expect("exported");
                assert_eq!((summary.exported_count, summary.excluded_objects_count), (1, 0), "{what}");
                import(&repository, String::from_utf8(lines).expect("text")).await.expect(&what);
                repository.update(&key, |_| Ok(())).await.expect(&what);
                repository.delete(&key).await.expect(&what);
            } else {
                let error = written.expect_err(&what);
                assert_eq!(error.kind(), ErrorKind::Invalid, "{what}");
                assert!(error.message().contains(&limit), "{what}: {error}");
                assert!(stored.is_none_or(|note| !note.attributes.contains_key("free")), "{what}: it is as it was");
            }
        }
    }
}

/// Stores objects past the library that cannot be read: nested too deeply, or without a valid form.
async fn put_deep(context: &Context) {
    for levels in [MAX_DEPTH + 2, 500, 990] {
        let source = |type_name: &str, root: &str| {
            format!(
                r#"{{"type":"{type_name}",{root}"{type_name}":{{"title":"t","free":{}}},"typeMigrationVersion":"10.1.0"}}"#,
                nested(levels)
            )
        };
        context.put_text("things", &format!("note:{levels}"), source("note", "")).await;
        context.put_text("things", &format!("ops:page:{levels}"), source("page", r#""namespace":"ops","#)).await;
        context.put_text("things", &format!("board:{levels}"), source("board", r#""namespaces":["ops"],"#)).await;
    }
}

async fn what_is_stored_too_deep_is_named_and_deleted(context: Context) {
    let repository = repository(&context).await;
    put_deep(&context).await;
    repository.create(note("fine", json!({ "title": "t" }))).await.expect("created");
    super::refresh(&context).await;

    let found = repository.find(&["note"], Find::new()).await.expect("found");
    assert_eq!((ids(&found.objects), found.unreadable.len()), (vec!["fine"], 3));
    assert!(found.unreadable.iter().all(|unreadable| unreadable.error.kind() == ErrorKind::Corrupt));
    let streamed: Vec<_> = repository.stream(&["note"], Find::new()).expect("a stream").collect().await;
    assert_eq!(streamed.iter().filter(|item| matches!(item, Ok(Ok(_)))).count(), 1);
    assert_eq!(streamed.iter().filter(|item| matches!(item, Ok(Err(_)))).count(), 3);
    for secrets in [SecretForm::Strip, SecretForm::Encrypted, SecretForm::Clear] {
        let mut lines = Vec::new();
        let export = Export::found(["note"], Find::new()).secrets(secrets);
        let summary = repository.export(export, &mut lines).await.expect("exported");
        assert_eq!((summary.exported_count, summary.excluded_objects_count), (1, 3));
    }
    let all = [key("note", "fine"), key("note", "990"), key("note", "500")];
    let got: Vec<_> = repository.get_many(&all).await.into_iter().map(|it| it.map_err(|error| error.kind())).collect();
    assert!(matches!(got[..], [Ok(_), Err(ErrorKind::Corrupt), Err(ErrorKind::Corrupt)]), "{got:?}");

    for levels in [MAX_DEPTH + 2, 500, 990] {
        let id = levels.to_string();
        for asked in [key("note", &id), key("page", &id).in_namespace(ops()), key("board", &id).in_namespace(ops())] {
            assert_eq!(kind(repository.get(&asked).await), ErrorKind::Corrupt, "{asked}");
            assert_eq!(kind(repository.update(Update::new(&asked), |_| Ok(())).await), ErrorKind::Corrupt, "{asked}");
            let refused = repository.delete(&asked).await.expect_err("only by force");
            assert_eq!(refused.kind(), ErrorKind::Corrupt, "{asked}");
            assert!(refused.hint().is_some_and(|hint| hint.contains("force")), "{refused}");
            repository.delete(Delete::new(&asked).force()).await.unwrap_or_else(|error| panic!("{asked}: {error}"));
            assert_eq!(repository.get_opt(&asked).await.expect("answered"), None, "{asked}");
        }
    }
    assert_eq!(context.documents("things").await, 1);
}

async fn what_is_no_object_is_deleted_by_force(context: Context) {
    let repository = repository(&context).await;
    let odd = [
        json!({ "type": "note" }),
        json!({ "type": "note", "note": [] }),
        json!({ "type": "note", "note": {}, "references": [{ "name": "n" }] }),
        json!({}),
        json!({ "type": 7 }),
    ];
    let mut requests = Vec::new();
    for (number, source) in odd.iter().enumerate() {
        context.put("things", &format!("note:{number}"), source).await;
        requests.push(Delete::new(key("note", &number.to_string())).force());
    }
    repository.create(note("fine", json!({ "title": "t" }))).await.expect("created");
    requests.push(Delete::new(key("note", "fine")).force());
    requests.push(Delete::new(key("note", "missing")).force());
    let mut answers = repository.delete_many(requests).await;
    assert_eq!(kind(answers.pop().expect("an answer")), ErrorKind::NotFound);
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(context.documents("things").await, 0);
}

/// Allows everything except sharing with every namespace.
#[derive(Debug)]
struct NotEverywhere;

#[async_trait]
impl Authorization for NotEverywhere {
    async fn allows(&self, action: Action, _type_name: &str, _namespace: &Namespace) -> bool {
        action != Action::ShareEverywhere
    }
}

async fn force_reaches_no_object_of_another_namespace(context: Context) {
    let repository = repository(&context).await;
    let put = async |raw_id: &str, source: Value| context.put("things", raw_id, &source).await;
    put("ops:page:x", json!({ "type": "page", "namespace": "ops" })).await;
    put("page:y", json!({ "type": "page", "namespace": "ops" })).await;
    put("board:x", json!({ "type": "board", "namespaces": ["ops"] })).await;
    put("board:unknown", json!({ "type": "board" })).await;
    put("note:board", json!({ "type": "board" })).await;
    let limited = repository.authorized_by(Arc::new(NotEverywhere));
    let delete = async |repository: &Repository, asked| repository.delete(Delete::new(asked).force()).await;
    for other in [key("page", "x"), key("page", "y"), key("board", "x"), key("note", "board")] {
        assert_eq!(kind(delete(&repository, other.clone()).await), ErrorKind::NotFound, "{other}");
    }
    assert_eq!(context.documents("things").await, 5);
    // The namespaces of the object are unknown.
    assert_eq!(kind(delete(&limited, key("board", "unknown")).await), ErrorKind::Forbidden);
    delete(&repository, key("board", "unknown")).await.expect("deleted");
    delete(&limited, key("board", "x").in_namespace(ops())).await.expect("deleted");
    delete(&limited, key("page", "x").in_namespace(ops())).await.expect("deleted");
    assert_eq!(context.documents("things").await, 2);
}

async fn a_namespace_takes_its_corrupt_objects_along(context: Context) {
    let repository = repository(&context).await;
    put_deep(&context).await;
    let put = async |raw_id: &str, source: Value| context.put("things", raw_id, &source).await;
    put("ops:page:bare", json!({ "type": "page", "namespace": "ops" })).await;
    put("board:single", json!({ "type": "board", "namespaces": "ops" })).await;
    put("board:shared", json!({ "type": "board", "namespaces": ["ops", "default"] })).await;
    put("page:default", json!({ "type": "page" })).await;
    let swept = repository.delete_namespace(&ops()).await.expect("removed");
    let failures: Vec<_> = swept.failures.iter().map(|failure| failure.raw_id.as_str()).collect();
    assert_eq!((swept.deleted, failures), (8, vec!["board:shared"]), "{swept:?}");
    // Three notes, the shared board and the page of the default namespace.
    assert_eq!(context.documents("things").await, 5);
}

async fn a_deletion_by_force_names_a_version(context: Context) {
    let repository = repository(&context).await;
    repository.create(Create::new("board", object(json!({ "title": "t" }))).id("x")).await.expect("created");
    let read = repository.get(&key("board", "x")).await.expect("there");
    context.put("things", "board:x", &json!({ "type": "board", "namespaces": ["default"] })).await;
    let stale = Delete::of(&read).force();
    assert_eq!(kind(repository.delete(stale).await), ErrorKind::Conflict);
    repository.delete(Delete::new(key("board", "x")).force()).await.expect("deleted");
}

async fn comments_between_values_fail_no_page(context: Context) {
    let repository = repository(&context).await;
    for id in ["a", "b", "c"] {
        repository.create(note(id, json!({ "title": format!("/* {id} */ http://x") }))).await.expect("created");
    }
    let path = format!("/{}/_doc/note:b?refresh=true", context.index("things"));
    let commented = r#"{"type":"note",/* " */"note":{"title":"\"/*" /**/},"typeMigrationVersion":"10.1.0"}"#;
    crate::server::send_text(&context.url, "PUT", &path, commented).await;
    let found = repository.find(&["note"], Find::new()).await.expect("found");
    assert_eq!(found.objects.len() + found.unreadable.len(), 3, "{found:?}");
    assert_eq!(repository.get(&key("note", "b")).await.expect("there").attributes["title"], "\"/*");
    let keys = ["a", "b", "c"].map(|id| key("note", id));
    assert!(repository.get_many(&keys).await.iter().all(Result::is_ok));
    let verified = context.verifier(types::all_exportable()).verify().await.expect("verified");
    assert!(verified.ok, "{verified:?}");
    repository.update(&key("note", "b"), |_| Ok(())).await.expect("updated");
    repository.delete(&key("note", "b")).await.expect("deleted");
}
