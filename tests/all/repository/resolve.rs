//! Old ids lead to the objects that had them, and the repository reports whether ids are free or taken.

use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::cluster::Refresh;
use saved_objects::document::Namespace;
use saved_objects::repository::{ChangeNamespaces, Create, IdState, ObjectKey, Resolution};
use serde_json::json;

use super::{key, kind, note, object, put, repository};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, old_ids_lead_to_their_objects, each_of_many_is_resolved, ids_are_free_or_taken)
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).expect("a name")
}

fn board(id: &str, origin: Option<&str>, name: &str) -> Create {
    let request = Create::new("board", object(json!({"title": id}))).id(id).namespace(namespace(name));
    let request = request.refresh(Refresh::WaitFor);
    origin.into_iter().fold(request, |request, origin| request.origin_id(origin))
}

async fn old_ids_lead_to_their_objects(context: Context) {
    let repository = repository(&context).await;
    for request in [
        board("exact", None, "default"),
        board("moved", Some("old"), "default"),
        board("both", None, "default"),
        board("rival", Some("both"), "default"),
        board("one", Some("split"), "default"),
        board("two", Some("split"), "default"),
        board("there", Some("old"), "ops"),
        board("itself", Some("itself"), "default"),
    ] {
        repository.create(request).await.expect("created");
    }
    let resolve = async |id: &str| repository.resolve(&key("board", id)).await;
    for (id, found, resolution) in [
        ("exact", "exact", Resolution::ExactMatch),
        ("moved", "moved", Resolution::ExactMatch),
        ("old", "moved", Resolution::OriginMatch),
        ("both", "both", Resolution::Conflict { others: vec!["rival".to_owned()] }),
        ("itself", "itself", Resolution::ExactMatch),
    ] {
        let resolved = resolve(id).await.expect("resolved");
        assert_eq!((resolved.object.id.as_str(), &resolved.resolution), (found, &resolution), "{id}");
        let same = repository.get(&key("board", found)).await.expect("read");
        assert_eq!(resolved.object, same);
    }
    let split = resolve("split").await.expect_err("two");
    assert_eq!(split.kind(), ErrorKind::Conflict);
    assert!(split.message().ends_with("one, two"), "{split}");
    assert_eq!(kind(resolve("nothing").await), ErrorKind::NotFound);
    assert_eq!(kind(repository.resolve(&key("nothing", "a")).await), ErrorKind::Invalid);
    // From another namespace the id leads to another object.
    let from_ops = repository.resolve(&key("board", "old").in_namespace(namespace("ops"))).await.expect("resolved");
    assert_eq!(from_ops.object.id, "there");
    let elsewhere = repository.resolve(&key("board", "exact").in_namespace(namespace("ops"))).await;
    assert_eq!(kind(elsewhere), ErrorKind::NotFound);
}

async fn each_of_many_is_resolved(context: Context) {
    let repository = repository(&context).await;
    repository.create(board("moved", Some("old"), "default")).await.expect("created");
    repository.create(note("n", json!({"title": "t"}))).await.expect("created");
    put(&context, "things", "note:broken", json!({"type": "note"})).await;
    let keys = [("board", "old"), ("note", "n"), ("note", "gone"), ("nothing", "x"), ("note", ""), ("note", "broken")];
    let keys: Vec<ObjectKey> = keys.into_iter().map(|(type_name, id)| key(type_name, id)).collect();
    let answers = repository.resolve_many(&keys).await;
    let told: Vec<Result<String, ErrorKind>> =
        answers.into_iter().map(|answer| answer.map(|it| it.object.id).map_err(|error| error.kind())).collect();
    let expected = [
        Ok("moved".to_owned()),
        Ok("n".to_owned()),
        Err(ErrorKind::NotFound),
        Err(ErrorKind::Invalid),
        Err(ErrorKind::Invalid),
        Err(ErrorKind::Corrupt),
    ];
    assert_eq!(told, expected);
    assert!(repository.resolve_many(&[]).await.is_empty());
    // A key that is given twice has two answers.
    let twice = repository.resolve_many(&[keys[0].clone(), keys[1].clone(), keys[0].clone()]).await;
    let told: Vec<_> = twice.into_iter().map(|answer| answer.expect("resolved")).collect();
    assert_eq!((told[0].object.id.as_str(), &told[0]), ("moved", &told[2]));
}

async fn ids_are_free_or_taken(context: Context) {
    let repository = repository(&context).await;
    repository.create(board("b", None, "ops")).await.expect("created");
    repository.create(note("n", json!({"title": "t"}))).await.expect("created");
    let page = Create::new("page", object(json!({}))).id("x").namespace(namespace("page"));
    repository.create(page).await.expect("created");
    let keys = [
        key("note", "n"),
        key("note", "n").in_namespace(namespace("ops")),
        key("note", "free"),
        key("board", "b"),
        key("board", "b").in_namespace(namespace("ops")),
        key("page", "x"),
        key("page", "page:x"),
        key("page", "x").in_namespace(namespace("page")),
        key("nothing", "x"),
        key("note", "a/b"),
    ];
    use IdState::{Free, Taken, TakenElsewhere};
    let expected = [
        Ok(Taken),
        Ok(Taken),
        Ok(Free),
        Ok(TakenElsewhere),
        Ok(Taken),
        Ok(Free),
        Ok(TakenElsewhere),
        Ok(Taken),
        Err(ErrorKind::Invalid),
        Err(ErrorKind::Invalid),
    ];
    let states = repository.check_conflicts(&keys).await;
    let states: Vec<_> = states.into_iter().map(|state| state.map_err(|error| error.kind())).collect();
    assert_eq!(states, expected);
    // The answer is the one that a creation gives.
    let create = Create::new("page", object(json!({}))).id("page:x");
    assert_eq!(kind(repository.create(create.overwrite()).await), ErrorKind::Conflict);
    let shared = ChangeNamespaces::new([key("board", "b").in_namespace(namespace("ops"))]).add(Namespace::DEFAULT);
    repository.change_namespaces(shared).await.expect("answered").remove(0).expect("shared");
    let states = repository.check_conflicts(&[key("board", "b")]).await;
    assert!(matches!(states.as_slice(), [Ok(Taken)]), "{states:?}");
}
