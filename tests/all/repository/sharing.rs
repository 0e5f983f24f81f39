//! The namespaces that see an object are changed for each object, and a namespace is removed as a whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::document::{Namespace, Reference};
use saved_objects::encryption::Secret;
use saved_objects::repository::{
    Action, Authorization, ChangeNamespaces, Create, Delete, DeleteNamespace, NamespacesChanged, ObjectKey, Repository,
};
use saved_objects::{ErrorKind, Result, SavedObject, Start};
use serde_json::json;

use super::{key, kind, note, object, put, refresh, repository, store_on, stored, types};
use crate::context::Context;
use crate::faults::disturbed::{Call, Disturbed, Disturber, Fate};
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        objects_are_shared_one_by_one,
        each_object_is_answered,
        the_last_namespace_takes_the_object_along,
        references_that_an_added_namespace_does_not_see_are_named,
        sharing_loses_no_update,
        a_namespace_goes_with_all_it_has_and_nothing_else,
        a_namespace_that_others_keep_writing_to_is_not_said_to_be_empty,
        what_of_a_namespace_cannot_be_read_is_named,
    )
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).expect("a name")
}

fn within(type_name: &str, id: &str, name: &str) -> ObjectKey {
    key(type_name, id).in_namespace(namespace(name))
}

async fn create(repository: &Repository, type_name: &str, id: &str, name: &str) -> SavedObject {
    let request = Create::new(type_name, object(json!({"title": id}))).id(id).namespace(namespace(name));
    repository.create(request.secret("secret", Secret::text(id))).await.expect("created")
}

async fn change(repository: &Repository, request: ChangeNamespaces) -> Result<NamespacesChanged> {
    let mut answers = repository.change_namespaces(request).await.expect("answered");
    assert_eq!(answers.len(), 1);
    answers.remove(0)
}

fn board() -> ChangeNamespaces {
    ChangeNamespaces::new([key("board", "b")])
}

async fn objects_are_shared_one_by_one(context: Context) {
    let repository = repository(&context).await;
    let created = create(&repository, "board", "b", "default").await;
    let changed = change(&repository, board().add(namespace("ops"))).await.expect("shared");
    assert_eq!(changed.namespaces, ["default", "ops"]);
    let (read, secrets) = repository.get_with_secrets(&within("board", "b", "ops")).await.expect("seen and opened");
    assert_eq!((Some(read.version), &secrets["secret"]), (changed.version, &Secret::text("b")));
    assert_eq!((&read.created_at, &read.attributes), (&created.created_at, &created.attributes));

    // A change without effect writes nothing.
    let same = change(&repository, board().add(namespace("ops")).remove(namespace("dev"))).await.expect("answered");
    assert_eq!(same, changed);
    let everywhere = change(&repository, board().add_everywhere().remove(namespace("ops"))).await.expect("shared");
    assert_eq!(everywhere.namespaces, ["default", "*"]);
    repository.get(&within("board", "b", "anywhere")).await.expect("seen from everywhere");
    let moved = change(&repository, board().remove_everywhere().remove(Namespace::DEFAULT).add(namespace("dev")));
    assert_eq!(moved.await.expect("moved").namespaces, ["dev"]);
    assert_eq!(repository.get_opt(&key("board", "b")).await.expect("answered"), None);
    assert_eq!(kind(change(&repository, board().add(namespace("ops"))).await), ErrorKind::NotFound);
    let at_dev = repository.get(&within("board", "b", "dev")).await.expect("seen");

    // With a version, only that version is changed.
    let at_version = || ChangeNamespaces::new([]).of(&at_dev);
    let first = change(&repository, at_version().add(namespace("x"))).await.expect("it is the current one");
    assert_eq!(kind(change(&repository, at_version().add(namespace("y"))).await), ErrorKind::Conflict);
    assert_eq!(first.namespaces, ["dev", "x"]);
    let all = (0..100).fold(ChangeNamespaces::new([at_dev.key()]), |all, n| all.add(namespace(&format!("n{n}"))));
    assert_eq!(kind(change(&repository, all).await), ErrorKind::Invalid);
}

async fn each_object_is_answered(context: Context) {
    let repository = repository(&context).await;
    for (type_name, id, name) in
        [("board", "a", "default"), ("board", "b", "ops"), ("card", "c", "default"), ("page", "p", "default")]
    {
        create(&repository, type_name, id, name).await;
    }
    put(&context, "things", "board:broken", json!({"type": "board"})).await;
    let keys = [
        ("board", "b"),
        ("card", "c"),
        ("page", "p"),
        ("nothing", "n"),
        ("board", ""),
        ("board", "broken"),
        ("board", "a"),
        ("board", "a"),
    ];
    let keys = keys.map(|(type_name, id)| key(type_name, id));
    let answers = repository.change_namespaces(ChangeNamespaces::new(keys).add(namespace("dev"))).await;
    let told: Vec<_> = answers.expect("answered").into_iter().map(|it| it.map_err(|error| error.kind())).collect();
    let refused = told.iter().filter_map(|answer| answer.as_ref().err().copied()).collect::<Vec<_>>();
    use ErrorKind::{Corrupt, Invalid, NotFound};
    assert_eq!(refused, [NotFound, Invalid, Invalid, Invalid, Invalid, Corrupt, Invalid], "{told:?}");
    assert_eq!(told[6].as_ref().expect("shared").namespaces, ["default", "dev"]);
    let nothing = repository.change_namespaces(ChangeNamespaces::new([key("board", "a")])).await;
    assert_eq!(kind(nothing), ErrorKind::Invalid);
}

async fn the_last_namespace_takes_the_object_along(context: Context) {
    let repository = repository(&context).await;
    create(&repository, "board", "b", "default").await;
    let changed = change(&repository, board().remove(Namespace::DEFAULT)).await.expect("removed");
    assert_eq!(changed, NamespacesChanged { namespaces: vec![], version: None, dangling: vec![] });
    assert!(stored(&context, "things", "board:b").await.is_null());
}

/// Allows everything but reading.
#[derive(Debug)]
struct SharesOnly;

#[async_trait]
impl Authorization for SharesOnly {
    async fn allows(&self, action: Action, type_name: &str, _namespace: &Namespace) -> bool {
        action != Action::Get || type_name != "board"
    }
}

async fn references_that_an_added_namespace_does_not_see_are_named(context: Context) {
    let repository = repository(&context).await;
    create(&repository, "board", "seen", "default").await;
    create(&repository, "board", "left", "default").await;
    create(&repository, "page", "p", "default").await;
    repository.create(note("n", json!({"title": "n"}))).await.expect("created");
    let to = |type_name: &str, id: &str| Reference {
        name: id.to_owned(),
        type_name: type_name.to_owned(),
        id: id.to_owned(),
    };
    let references =
        vec![to("board", "seen"), to("board", "left"), to("page", "p"), to("note", "n"), to("board", "gone")];
    let request = Create::new("board", json!({"title": "b"})).id("b").references(references);
    repository.create(request).await.expect("created");
    let shared =
        repository.change_namespaces(ChangeNamespaces::new([key("board", "seen")]).add(namespace("ops"))).await;
    assert!(shared.expect("answered")[0].as_ref().expect("shared").dangling.is_empty());
    let ids = |changed: NamespacesChanged| changed.dangling.into_iter().map(|it| it.id).collect::<Vec<_>>();
    let changed = change(&repository, board().add(namespace("ops"))).await.expect("shared");
    assert_eq!(ids(changed), ["left", "p", "gone"]);
    let changed = change(&repository, board().add_everywhere()).await.expect("shared");
    assert_eq!(ids(changed), ["seen", "left", "p", "gone"]);
    let changed = change(&repository, board().remove(namespace("ops"))).await.expect("taken back");
    assert_eq!(ids(changed), Vec::<String>::new(), "nothing was added");
    // The references of an object are its content, which sharing alone does not reveal.
    let sharer = repository.authorized_by(Arc::new(SharesOnly));
    let changed = change(&sharer, board().add(namespace("ops"))).await.expect("shared");
    assert_eq!(ids(changed), Vec::<String>::new());
}

async fn sharing_loses_no_update(context: Context) {
    let repository = repository(&context).await;
    create(&repository, "board", "b", "default").await;
    let share = async {
        for n in 0..6 {
            change(&repository, board().add(namespace(&format!("n{n}")))).await.expect("shared");
        }
    };
    let update = async {
        for n in 0..6 {
            let set = |draft: &mut saved_objects::repository::Draft| {
                draft.attributes.insert(format!("a{n}"), json!(n));
                Ok(())
            };
            repository.update(&key("board", "b"), set).await.expect("updated");
        }
    };
    futures::join!(share, update);
    let board = repository.get(&key("board", "b")).await.expect("there");
    assert_eq!(board.namespaces, ["default", "n0", "n1", "n2", "n3", "n4", "n5"]);
    assert!((0..6).all(|n| board.attributes[&format!("a{n}")] == n), "{:?}", board.attributes);
}

async fn a_namespace_goes_with_all_it_has_and_nothing_else(context: Context) {
    let repository = repository(&context).await;
    for name in ["default", "ops", "page"] {
        create(&repository, "page", "x", name).await;
    }
    create(&repository, "page", "page:y", "default").await;
    create(&repository, "board", "alone", "ops").await;
    create(&repository, "board", "shared", "ops").await;
    create(&repository, "board", "every", "ops").await;
    create(&repository, "card", "c", "ops").await;
    create(&repository, "card", "d", "default").await;
    repository.create(note("n", json!({"title": "t"})).namespace(namespace("ops"))).await.expect("created");
    let of = |id: &str| ChangeNamespaces::new([within("board", id, "ops")]);
    change(&repository, of("shared").add(Namespace::DEFAULT)).await.expect("shared");
    change(&repository, of("every").add_everywhere()).await.expect("shared");

    let swept = repository.delete_namespace(&namespace("ops")).await.expect("removed");
    assert_eq!((swept.deleted, swept.updated, swept.is_complete()), (3, 2, true), "{swept:?}");
    for (type_name, id) in [("page", "x"), ("board", "alone"), ("card", "c")] {
        assert_eq!(repository.get_opt(&within(type_name, id, "ops")).await.expect("answered"), None, "{type_name}");
    }
    assert!(stored(&context, "things", "board:alone").await.is_null());
    assert_eq!(repository.get(&key("board", "shared")).await.expect("kept").namespaces, ["default"]);
    let (every, secrets) = repository.get_with_secrets(&within("board", "every", "ops")).await.expect("kept");
    assert_eq!((every.namespaces, &secrets["secret"]), (vec!["*".to_owned()], &Secret::text("every")));
    for kept in
        [key("page", "x"), key("page", "page:y"), within("page", "x", "page"), key("card", "d"), key("note", "n")]
    {
        repository.get(&kept).await.expect("kept");
    }
    let again = repository.delete_namespace(&namespace("ops")).await.expect("nothing is left");
    assert_eq!((again.deleted, again.updated), (0, 0));

    // `page:page:x` is page `x` in the namespace `page`, not page `page:x` in the default one.
    let refused = repository.delete_namespace(&Namespace::DEFAULT).await.expect_err("not said to be meant");
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(refused.hint().is_some_and(|hint| hint.contains("even_default")), "{refused}");
    repository.get(&key("page", "x")).await.expect("kept");
    let default = DeleteNamespace::new(Namespace::DEFAULT).even_default();
    let swept = repository.delete_namespace(default).await.expect("removed");
    assert_eq!((swept.deleted, swept.updated), (4, 0), "{swept:?}");
    repository.get(&within("page", "x", "page")).await.expect("kept");
    let swept = repository.delete_namespace(&namespace("page")).await.expect("removed");
    assert_eq!((swept.deleted, swept.updated), (1, 0), "{swept:?}");
}

/// Another process that creates an object before each look at the index.
#[derive(Debug)]
struct KeepsCreating {
    repository: Repository,
    created: AtomicUsize,
}

#[async_trait]
impl Disturber for KeepsCreating {
    async fn fate(&self, call: &Call) -> Fate {
        if call.method == "refresh" {
            let number = self.created.fetch_add(1, Ordering::Relaxed);
            create(&self.repository, "page", &format!("p{number}"), "ops").await;
        }
        Fate::Done
    }
}

async fn a_namespace_that_others_keep_writing_to_is_not_said_to_be_empty(context: Context) {
    let others = Arc::new(KeepsCreating { repository: repository(&context).await, created: AtomicUsize::new(0) });
    let cluster = Arc::new(Disturbed::new(context.cluster(), others.clone()));
    let store = store_on(&context, cluster, types::all(), Start::Skip).await;
    let swept = store.repository().delete_namespace(&namespace("ops")).await.expect("removed");
    assert_eq!(swept.deleted as usize, others.created.load(Ordering::Relaxed));
    assert!(swept.failures.is_empty() && swept.unsettled && !swept.is_complete(), "{swept:?}");
    let again = others.repository.delete_namespace(&namespace("ops")).await.expect("removed");
    assert!(again.is_complete(), "{again:?}");
}

async fn what_of_a_namespace_cannot_be_read_is_named(context: Context) {
    let repository = repository(&context).await;
    create(&repository, "page", "x", "ops").await;
    put(&context, "things", "ops:page:broken", json!({"type": "page", "namespace": "ops"})).await;
    put(&context, "things", "wrong-id", json!({"type": "page", "namespace": "ops", "page": {}})).await;
    let swept = repository.delete_namespace(&namespace("ops")).await.expect("removed");
    let mut failed: Vec<_> = swept.failures.iter().map(|it| (it.raw_id.as_str(), it.error.kind())).collect();
    failed.sort_by_key(|(raw_id, _)| *raw_id);
    // What certainly belongs to the namespace is deleted, readable or not.
    assert_eq!(failed, [("wrong-id", ErrorKind::Corrupt)]);
    assert_eq!((swept.deleted, swept.is_complete()), (2, false));
    // Many objects are removed page by page.
    refresh(&context).await;
    for n in 0..30 {
        let request = Create::new("page", object(json!({}))).id(format!("p{n}")).namespace(namespace("many"));
        repository.create(request).await.expect("created");
    }
    let kept = create(&repository, "page", "kept", "default").await;
    assert_eq!(repository.delete_namespace(&namespace("many")).await.expect("removed").deleted, 30);
    repository.delete(Delete::of(&kept)).await.expect("it was left alone");
}
