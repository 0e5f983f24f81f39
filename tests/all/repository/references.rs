//! The objects that references lead to are collected, and references to an object are removed.

use libtest_mimic::Trial;
use saved_objects::document::{Namespace, Reference};
use saved_objects::encryption::Secret;
use saved_objects::repository::{
    Action, Authorization, ChangeNamespaces, CollectReferences, CollectedObject, CollectedState, Create, Delete, Draft,
    Filter, Find, ObjectKey, Replace, Repository, Update,
};
use saved_objects::{ErrorKind, SavedObject};
use serde_json::json;

use super::{key, kind, object, put, refresh, repository};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        references_are_collected_once_each,
        there_is_an_end_to_references,
        objects_of_the_same_origin_are_named,
        references_are_taken_out_of_a_namespace,
        references_are_taken_out_while_others_write,
        references_to_nothing_are_refused,
    )
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).expect("a name")
}

fn to(type_name: &str, id: &str) -> Reference {
    Reference { name: format!("to {id}"), type_name: type_name.to_owned(), id: id.to_owned() }
}

fn request(type_name: &str, id: &str, references: &[Reference]) -> Create {
    let attributes = if type_name == "login" { json!({"user": "u"}) } else { json!({"title": id}) };
    Create::new(type_name, object(attributes)).id(id).references(references.to_vec())
}

async fn create(repository: &Repository, type_name: &str, id: &str, references: &[Reference]) -> SavedObject {
    repository.create(request(type_name, id, references)).await.expect("created")
}

fn describe(collected: &[CollectedObject]) -> Vec<String> {
    let state = |object: &CollectedObject| match &object.state {
        CollectedState::Found { namespaces, .. } => namespaces.join(","),
        CollectedState::Missing => "missing".to_owned(),
        CollectedState::NotFollowed => "not followed".to_owned(),
        CollectedState::Unreadable(error) => format!("{:?}", error.kind()),
    };
    let inbound = |object: &CollectedObject| {
        let from: Vec<_> = object.inbound.iter().map(|from| format!("{}/{}", from.type_name, from.id)).collect();
        from.join(" ")
    };
    collected.iter().map(|it| format!("{}/{} {} <- {}", it.type_name, it.id, state(it), inbound(it))).collect()
}

async fn references_are_collected_once_each(context: Context) {
    let repository = repository(&context).await;
    let ops = request("board", "hidden", &[]).namespace(namespace("ops"));
    repository.create(ops).await.expect("created");
    create(&repository, "note", "n", &[to("board", "b")]).await;
    let of_a = [to("board", "b"), to("card", "c"), to("note", "n"), to("board", "gone"), to("board", "hidden")];
    create(&repository, "board", "a", &of_a).await;
    create(&repository, "board", "b", &[to("board", "a"), to("board", "b"), to("board", "a/b")]).await;
    create(&repository, "card", "c", &[to("board", "b"), to("board", "broken"), to("nothing", "x"), to("page", "p")])
        .await;
    put(&context, "things", "board:broken", json!({"type": "board"})).await;
    let roots = || [key("board", "a"), key("note", "n"), key("nothing", "y"), key("board", "a")];
    let all = repository.collect_references(CollectReferences::new(roots())).await.expect("collected");
    let expected = [
        "board/a default <- board/b",
        "note/n not followed <- ",
        "nothing/y not followed <- ",
        "board/b default <- board/a board/b card/c",
        "card/c default <- board/a",
        "board/gone missing <- board/a",
        "board/hidden missing <- board/a",
        "board/a/b Invalid <- board/b",
        "board/broken Corrupt <- card/c",
        "nothing/x not followed <- card/c",
        "page/p not followed <- card/c",
    ];
    assert_eq!(describe(&all), expected);
    let shareable = CollectReferences::new([key("board", "a"), key("card", "c")]).shareable();
    let all = repository.collect_references(shareable).await.expect("collected");
    assert!(describe(&all).contains(&"card/c not followed <- board/a".to_owned()), "{:?}", describe(&all));
    assert!(!describe(&all).iter().any(|line| line.starts_with("board/broken")), "only by way of the card");
    assert!(repository.collect_references(CollectReferences::new([])).await.expect("nothing").is_empty());
}

async fn there_is_an_end_to_references(context: Context) {
    let repository = repository(&context).await;
    for n in 0..=21 {
        create(&repository, "board", &format!("b{n}"), &[to("board", &format!("b{}", n + 1))]).await;
    }
    let from = async |id: &str| repository.collect_references(CollectReferences::new([key("board", id)])).await;
    // From b2 it is twenty steps to b22, which does not exist.
    assert_eq!(from("b2").await.expect("collected").len(), 21);
    let error = from("b1").await.expect_err("one step more");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.message().contains("20 steps"), "{error}");
}

async fn objects_of_the_same_origin_are_named(context: Context) {
    let repository = repository(&context).await;
    repository.create(request("board", "copy", &[]).origin_id("first")).await.expect("created");
    for (id, origin, name) in [("first", None, "ops"), ("again", Some("first"), "dev"), ("other", Some("x"), "dev")] {
        let request = request("board", id, &[]).namespace(namespace(name));
        let request = origin.into_iter().fold(request, |request, origin| request.origin_id(origin));
        repository.create(request).await.expect("created");
    }
    refresh(&context).await;
    let all = repository.collect_references(CollectReferences::new([key("board", "copy")])).await.expect("collected");
    let CollectedState::Found { origin_id, namespaces_of_same_origin, .. } = &all[0].state else {
        panic!("it is there: {all:?}")
    };
    assert_eq!(origin_id.as_deref(), Some("first"));
    assert_eq!(namespaces_of_same_origin, &["dev", "ops"]);
    // The answer names no namespaces that the caller may not read.
    let in_ops_too = repository.authorized_by(std::sync::Arc::new(ReadsIn(&["default", "ops"])));
    let all = in_ops_too.collect_references(CollectReferences::new([key("board", "copy")])).await.expect("collected");
    let CollectedState::Found { namespaces_of_same_origin, .. } = &all[0].state else { panic!("it is there: {all:?}") };
    assert_eq!(namespaces_of_same_origin, &["ops"]);
}

/// Allows reading in some namespaces.
#[derive(Debug)]
struct ReadsIn(&'static [&'static str]);

#[async_trait::async_trait]
impl Authorization for ReadsIn {
    async fn allows(&self, action: Action, _type_name: &str, namespace: &Namespace) -> bool {
        action == Action::Get && self.0.contains(&namespace.as_str())
    }
}

async fn references_are_taken_out_of_a_namespace(context: Context) {
    let repository = repository(&context).await;
    let target = to("board", "target");
    let both = [target.clone(), to("board", "other"), Reference { name: "twice".to_owned(), ..target.clone() }];
    let note = create(&repository, "note", "n", &both).await;
    let login = request("login", "l", &both).secret("password", Secret::text("s"));
    repository.create(login).await.expect("created");
    create(&repository, "board", "b", &both).await;
    create(&repository, "page", "p", &both).await;
    create(&repository, "page", "unrelated", &[to("page", "target")]).await;
    let hidden = repository.including(&["vault"]).expect("registered");
    let vault = Create::new("vault", object(json!({}))).references(both.to_vec());
    let vault = hidden.create(vault).await.expect("created");
    let in_ops = request("page", "p", &both).namespace(namespace("ops"));
    let in_ops = repository.create(in_ops).await.expect("created");
    let shared = request("board", "shared", &both).namespace(namespace("ops"));
    repository.create(shared).await.expect("created");
    let share = ChangeNamespaces::new([key("board", "shared").in_namespace(namespace("ops"))]).add(Namespace::DEFAULT);
    repository.change_namespaces(share).await.expect("answered").remove(0).expect("shared");
    put(&context, "things", "note:broken", json!({"type": "note", "references": both})).await;

    // The object that they refer to does not exist.
    let swept = repository.remove_references_to(&key("board", "target")).await.expect("swept");
    assert_eq!((swept.updated, swept.deleted), (6, 0), "{swept:?}");
    let failed: Vec<_> = swept.failures.iter().map(|it| (it.raw_id.as_str(), it.error.kind())).collect();
    assert_eq!(failed, [("note:broken", ErrorKind::Corrupt)]);
    let other = [to("board", "other")];
    for (type_name, id) in [("note", "n"), ("login", "l"), ("board", "b"), ("page", "p"), ("board", "shared")] {
        let object = repository.get(&key(type_name, id)).await.expect("there");
        assert_eq!(object.references, other, "{type_name}/{id}");
    }
    assert_eq!(hidden.get(&vault.key()).await.expect("there").references, other);
    let after = repository.get(&note.key()).await.expect("there");
    assert_eq!((after.updated_at, after.attributes), (note.updated_at, note.attributes));
    let (_, secrets) = repository.get_with_secrets(&key("login", "l")).await.expect("it opens");
    assert_eq!(secrets["password"], Secret::text("s"));
    assert_eq!(repository.get(&in_ops.key()).await.expect("there"), in_ops, "another namespace");
    let unrelated = repository.get(&key("page", "unrelated")).await.expect("there");
    assert_eq!(unrelated.references, [to("page", "target")]);
}

async fn references_are_taken_out_while_others_write(context: Context) {
    let repository = repository(&context).await;
    let target = to("board", "target");
    for n in 0..8 {
        create(&repository, "board", &format!("b{n}"), std::slice::from_ref(&target)).await;
    }
    let write = async {
        for round in 0..4 {
            for n in 0..8 {
                let set = |draft: &mut Draft| {
                    draft.attributes.insert("round".to_owned(), json!(round));
                    Ok(())
                };
                repository.update(&key("board", &format!("b{n}")), set).await.expect("updated");
            }
        }
    };
    let remove = async { repository.remove_references_to(&key("board", "target")).await };
    let ((), swept) = futures::join!(write, remove);
    let swept = swept.expect("swept");
    assert_eq!((swept.updated, swept.failures.len()), (8, 0), "{swept:?}");
    for n in 0..8 {
        let board = repository.get(&key("board", &format!("b{n}"))).await.expect("there");
        assert!(board.references.is_empty(), "{board:?}");
        assert_eq!(board.attributes["round"], 3);
    }
    assert_eq!(kind(repository.get(&key("board", "target")).await), ErrorKind::NotFound);
}

async fn references_to_nothing_are_refused(context: Context) {
    let repository = repository(&context).await;
    let kept = create(&repository, "board", "kept", &[to("board", "b")]).await;
    for (type_name, id) in [("", "x"), ("board", ""), ("", ""), (" ", "x"), ("board", " ")] {
        let nothing = vec![to("board", "fine"), to(type_name, id)];
        let what = format!("{type_name:?} {id:?}");
        let named = |error: saved_objects::Error| {
            assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
            assert!(error.message().contains("has an empty type or id"), "{what}: {error}");
        };
        named(repository.create(request("board", "new", &nothing)).await.expect_err("created"));
        let many = repository.create_many([request("board", "new", &nothing), request("board", "fine", &[])]).await;
        let [refused, fine] = many.try_into().expect("two answers");
        named(refused.expect_err("created in a bulk"));
        repository.delete(Delete::of(&fine.expect("one fails no other"))).await.expect("deleted");
        let overwriting = request("board", "kept", &nothing).overwrite();
        named(repository.create(overwriting).await.expect_err("overwritten"));
        let update = Update::new(key("board", "kept"));
        let change = |draft: &mut Draft| {
            draft.references.clone_from(&nothing);
            Ok(())
        };
        named(repository.update(update, change).await.expect_err("updated"));
        let replace = Replace::of(&kept, kept.attributes.clone()).references(nothing.clone());
        named(repository.replace(replace).await.expect_err("replaced"));
        let upsert = request("board", "kept", &nothing);
        named(repository.upsert(upsert, change).await.expect_err("upserted"));

        let of = ObjectKey::new(type_name, id);
        named(
            repository
                .collect_references(CollectReferences::new([key("board", "kept"), of.clone()]))
                .await
                .expect_err("root"),
        );
        named(repository.remove_references_to(&of).await.expect_err("taken out"));
        let refers = Find::new().filter(Filter::refers_to(type_name, id));
        named(repository.find(&["board"], refers).await.expect_err("found"));
    }
    assert_eq!(repository.get(&key("board", "kept")).await.expect("read").references, [to("board", "b")]);
    assert_eq!(repository.get_opt(&key("board", "new")).await.expect("answered"), None);
}
