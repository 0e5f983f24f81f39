//! Namespaces: which objects each one sees, and how stored ids keep them apart.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use libtest_mimic::Trial;
use saved_objects::cluster::Refresh;
use saved_objects::document::Namespace;
use saved_objects::encryption::Secret;
use saved_objects::repository::{
    Action, AuditOutcome, Authorization, Create, Delete, Find, ObjectKey, RecordingAudit, Replace, Repository, Update,
};
use saved_objects::{ErrorKind, SavedObject};
use serde_json::json;

use super::{ids, key, kind, object, put, repository, stored};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        each_kind_is_seen_from_its_namespaces,
        one_stored_id_of_two_objects_reaches_the_right_one_only,
        each_kind_has_its_stored_form,
        finds_keep_to_the_namespaces,
        from_no_namespace_nothing_is_seen,
        reaching_all_namespaces_is_a_permission_of_its_own,
        shared_objects_are_deleted_only_on_purpose,
        the_namespaces_in_use_are_listed,
    )
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).expect("a name")
}

async fn create(repository: &Repository, type_name: &str, id: &str, name: &str) -> SavedObject {
    let request = Create::new(type_name, object(json!({"title": id}))).id(id).namespace(namespace(name));
    let request = request.secret("secret", Secret::text(id));
    repository.create(request).await.expect("created")
}

async fn each_kind_is_seen_from_its_namespaces(context: Context) {
    let repository = repository(&context).await;
    // Type, namespaces of the object, `_id`.
    let table = [("page", &["ops"][..], "ops:page:a"), ("board", &["ops"], "board:a"), ("card", &["ops"], "card:a")];
    for (type_name, namespaces, raw_id) in table {
        let created = create(&repository, type_name, "a", "ops").await;
        assert_eq!(created.namespaces, namespaces);
        assert!(stored(&context, "things", raw_id).await.is_object(), "{raw_id}");

        let (inside, outside) = (created.key(), key(type_name, "a"));
        let (read, secrets) = repository.get_with_secrets(&inside).await.expect("seen");
        assert_eq!((&read, secrets.get("secret")), (&created, Some(&Secret::text("a"))));
        assert_eq!(repository.get_opt(&outside).await.expect("answered"), None, "{type_name}");
        assert_eq!(kind(repository.update(&outside, |_| Ok(())).await), ErrorKind::NotFound);
        assert_eq!(kind(repository.replace(Replace::new(&outside, object(json!({})))).await), ErrorKind::NotFound);
        assert_eq!(kind(repository.delete(&outside).await), ErrorKind::NotFound);
        let updated = repository.update(&inside, |_| Ok(())).await.expect("updated");
        let replaced =
            repository.replace(Replace::of(&updated, object(json!({"title": "b"})))).await.expect("replaced");
        assert_eq!(replaced.namespaces, namespaces);
        repository.delete(Delete::of(&replaced)).await.expect("deleted");
    }
    let everywhere = key("note", "a").in_namespace(namespace("ops"));
    repository.create(super::note("a", json!({"title": "t"})).namespace(namespace("other"))).await.expect("created");
    repository.get(&everywhere).await.expect("agnostic objects are seen from everywhere");

    // Ids are unique in each namespace, or across all.
    create(&repository, "page", "b", "ops").await;
    create(&repository, "page", "b", "default").await;
    create(&repository, "board", "b", "ops").await;
    let taken = Create::new("board", object(json!({}))).id("b");
    assert_eq!(kind(repository.create(taken.clone()).await), ErrorKind::Conflict);
    assert_eq!(kind(repository.create(taken.overwrite()).await), ErrorKind::Conflict);
}

async fn one_stored_id_of_two_objects_reaches_the_right_one_only(context: Context) {
    let repository = repository(&context).await;
    // A namespace with the name of a type: `page:page:x` is page `x` there, and page `page:x` in the default namespace.
    let created = create(&repository, "page", "x", "page").await;
    let other = key("page", "page:x");
    assert!(stored(&context, "things", "page:page:x").await.is_object());
    assert_eq!(repository.get_opt(&other).await.expect("answered"), None);
    assert_eq!(kind(repository.delete(&other).await), ErrorKind::NotFound);
    assert_eq!(kind(repository.delete(Delete::new(&other).version(created.version)).await), ErrorKind::NotFound);
    let overwrite = Create::new("page", object(json!({}))).id("page:x").overwrite();
    assert_eq!(kind(repository.create(overwrite).await), ErrorKind::Conflict);
    // `note:page:y` is page `y` in the namespace `note`, and note `page:y`.
    let hidden = create(&repository, "page", "y", "note").await;
    let disguised = key("note", "page:y");
    assert_eq!(repository.get_opt(&disguised).await.expect("answered"), None);
    // A version can be guessed, but gives no access to the other namespace, although an agnostic object is deleted
    // without a read.
    assert_eq!(kind(repository.delete(Delete::new(&disguised).version(hidden.version)).await), ErrorKind::NotFound);
    assert_eq!(
        kind(repository.update(Update::new(&disguised).version(hidden.version), |_| Ok(())).await),
        ErrorKind::NotFound
    );
    repository.get(&hidden.key()).await.expect("untouched");
    repository.get(&created.key()).await.expect("untouched");
}

async fn each_kind_has_its_stored_form(context: Context) {
    let repository = repository(&context).await;
    // Type, namespace, `_id`, `namespace`, `namespaces`.
    let table = [
        ("note", "default", "note:a", json!(null), json!(null)),
        ("note", "ops", "note:b", json!(null), json!(null)),
        ("page", "default", "page:c", json!(null), json!(null)),
        ("page", "ops", "ops:page:d", json!("ops"), json!(null)),
        ("board", "default", "board:e", json!(null), json!(["default"])),
        ("board", "ops", "board:f:g", json!(null), json!(["ops"])),
        ("card", "default", "card:h", json!(null), json!(["default"])),
        ("card", "ops", "card:i", json!(null), json!(["ops"])),
    ];
    for (type_name, name, raw_id, single, several) in table {
        let id = raw_id.rsplit_once(&format!("{type_name}:")).expect("its type").1;
        let request = Create::new(type_name, object(json!({"title": "t"}))).id(id).namespace(namespace(name));
        let created = repository.create(request).await.expect("created");
        let source = stored(&context, "things", raw_id).await;
        assert_eq!((&source["namespace"], &source["namespaces"]), (&single, &several), "{raw_id}");
        let here = key(type_name, id).in_namespace(namespace(name));
        assert_eq!(repository.get(&here).await.expect("seen").version, created.version);
        let elsewhere = repository.get_opt(&key(type_name, id).in_namespace(namespace("dev"))).await.expect("answered");
        assert_eq!(elsewhere.is_some(), type_name == "note", "{raw_id}");
    }
    // A document whose `namespace` differs from its `_id` is an object of neither namespace, and a list reports it.
    put(&context, "things", "ops:page:x", json!({"type": "page", "page": {}, "namespace": "dev"})).await;
    put(&context, "things", "page:y", json!({"type": "page", "page": {}, "namespace": "dev"})).await;
    for (id, name) in [("x", "ops"), ("x", "dev"), ("y", "default"), ("y", "dev")] {
        let there = key("page", id).in_namespace(namespace(name));
        assert_eq!(repository.get_opt(&there).await.expect("answered"), None, "{id} {name}");
    }
    let found = repository.find(&["page"], Find::new().namespaces([namespace("dev")])).await.expect("found");
    let mut named: Vec<_> = found.unreadable.iter().map(|it| (it.raw_id.as_str(), it.error.kind())).collect();
    named.sort_by_key(|(raw_id, _)| *raw_id);
    assert_eq!(named, [("ops:page:x", ErrorKind::Corrupt), ("page:y", ErrorKind::Corrupt)]);
    // Isolated objects are seen from everywhere if other software stored them so.
    put(&context, "things", "card:z", json!({"type": "card", "card": {}, "namespaces": ["*"]})).await;
    repository.get(&key("card", "z").in_namespace(namespace("dev"))).await.expect("seen");
}

async fn finds_keep_to_the_namespaces(context: Context) {
    let repository = repository(&context).await;
    for type_name in ["page", "board"] {
        create(&repository, type_name, "here", "default").await;
        create(&repository, type_name, "there", "ops").await;
    }
    let everywhere = json!({"type": "board", "board": {}, "references": [], "namespaces": ["*"]});
    put(&context, "things", "board:every", everywhere).await;
    let find = async |types: &[&str], request: Find| {
        let found = repository.find(types, request).await.expect("found");
        let mut ids: Vec<_> = ids(&found.objects).into_iter().map(str::to_owned).collect();
        ids.sort();
        ids.join(" ")
    };
    let seen_from = |names: &[&str]| Find::new().namespaces(names.iter().map(|name| namespace(name)));
    assert_eq!(find(&["page"], Find::new()).await, "here");
    assert_eq!(find(&["page"], seen_from(&["ops"])).await, "there");
    assert_eq!(find(&["page"], seen_from(&["ops", "default"])).await, "here there");
    assert_eq!(find(&["page"], seen_from(&["ops"]).namespaces([namespace("default")])).await, "here there");
    assert_eq!(find(&["board"], seen_from(&["ops"])).await, "every there");
    assert_eq!(find(&["board", "page"], Find::new()).await, "every here here");
    assert_eq!(find(&["board", "page"], Find::new().everywhere()).await, "every here here there there");
    assert_eq!(find(&["page"], seen_from(&["ops"]).everywhere()).await, "here there");
}

/// A list of allowed namespaces may be empty: then no namespace is seen.
async fn from_no_namespace_nothing_is_seen(context: Context) {
    let repository = repository(&context).await;
    for type_name in ["page", "board", "card", "note"] {
        create_plain(&repository, type_name).await;
    }
    let everywhere = json!({"type": "board", "board": {}, "references": [], "namespaces": ["*"]});
    put(&context, "things", "board:every", everywhere).await;
    let none = || Find::new().namespaces(Vec::<Namespace>::new());
    for types in [&["page"][..], &["board"], &["card"], &["note"], &["page", "board", "card", "note"]] {
        let found = repository.find(types, none()).await.expect("found");
        assert_eq!((found.total, found.objects.len(), found.unreadable.len()), (0, 0, 0), "{types:?}");
        let items: Vec<_> = repository.stream(types, none()).expect("a stream").collect().await;
        assert!(items.is_empty(), "{types:?}: {items:?}");
        let mut reader =
            repository.open_point_in_time(types, std::time::Duration::from_secs(60)).await.expect("opened");
        assert_eq!(reader.page(&none(), None).await.expect("a page").found.total, 0, "{types:?}");
        reader.close().await;
    }
    assert_eq!(repository.find(&["page"], none().namespaces([Namespace::DEFAULT])).await.expect("found").total, 1);
    // An empty list of search fields: no field matches the word.
    let by_no_field = Find::new().search("t").search_fields(Vec::<String>::new());
    assert_eq!(repository.find(&["page"], by_no_field).await.expect("found").total, 0);
    assert_eq!(repository.find(&["page"], Find::new().search("t")).await.expect("found").total, 1);
    // The same with a typed client, which has a namespace of its own.
    assert_eq!(repository.find(&["page"], Find::new()).await.expect("found").total, 1);
}

async fn create_plain(repository: &Repository, type_name: &str) {
    let request = Create::new(type_name, object(json!({"title": "t"}))).id("a").refresh(Refresh::WaitFor);
    repository.create(request).await.expect("created");
}

async fn the_namespaces_in_use_are_listed(context: Context) {
    let repository = repository(&context).await;
    for (type_name, id, name) in
        [("page", "a", "default"), ("page", "a", "ops"), ("page", "b", "ops"), ("card", "c", "dev")]
    {
        create(&repository, type_name, id, name).await;
    }
    create_plain(&repository, "note").await;
    let shared = |id: &str, namespaces: &[&str]| {
        (format!("board:{id}"), json!({"type": "board", "board": {}, "namespaces": namespaces}))
    };
    for (raw_id, source) in [shared("two", &["ops", "team"]), shared("every", &["*"]), shared("mine", &["default"])] {
        put(&context, "things", &raw_id, source).await;
    }
    let in_use = repository.namespaces(&["page", "board", "card", "note"]).await.expect("listed");
    let told: Vec<String> =
        in_use.iter().map(|it| format!("{} {} {}", it.namespace, it.type_name, it.objects)).collect();
    let expected =
        ["* board 1", "default board 1", "default page 1", "dev card 1", "ops board 1", "ops page 2", "team board 1"];
    assert_eq!(told, expected);
    assert_eq!(repository.namespaces(&["note"]).await.expect("listed"), []);
    assert_eq!(kind(repository.namespaces(&["nothing"]).await), ErrorKind::Invalid);
    // More than the server returns in one page.
    let pages = (0..1_100).map(|n| {
        let request = Create::new("page", object(json!({"title": "t"}))).id("a");
        request.namespace(namespace(&format!("team-{n:04}")))
    });
    assert!(repository.create_many(pages).await.iter().all(Result::is_ok));
    context.cluster().refresh(&context.index("things")).await.expect("refreshed");
    let in_use = repository.namespaces(&["page"]).await.expect("listed");
    assert_eq!((in_use.len(), in_use[0].namespace.as_str()), (1_102, "default"));
}

/// Allows everything in each single namespace, and the listed actions in all namespaces.
#[derive(Debug)]
struct Over(&'static [Action]);

#[async_trait]
impl Authorization for Over {
    async fn allows(&self, _action: Action, _type_name: &str, _namespace: &Namespace) -> bool {
        true
    }

    async fn allows_everywhere(&self, action: Action, _type_name: &str) -> bool {
        self.0.contains(&action)
    }
}

async fn reaching_all_namespaces_is_a_permission_of_its_own(context: Context) {
    let open = repository(&context).await;
    create(&open, "page", "a", "ops").await;
    create_plain(&open, "note").await;
    let audit = RecordingAudit::default();
    let of =
        |actions: &'static [Action]| open.authorized_by(Arc::new(Over(actions))).audited_by(Arc::new(audit.clone()));
    let everywhere = || Find::new().everywhere();
    assert_eq!(kind(of(&[]).find(&["page"], everywhere()).await), ErrorKind::Forbidden);
    assert_eq!(kind(of(&[Action::Export]).find(&["page"], everywhere()).await), ErrorKind::Forbidden);
    assert_eq!(kind(of(&[]).namespaces(&["page"]).await), ErrorKind::Forbidden);
    let streamed: Vec<_> = of(&[]).stream(&["page"], everywhere()).expect("a stream").collect().await;
    assert!(streamed[0].as_ref().is_err_and(|error| error.kind() == ErrorKind::Forbidden), "{streamed:?}");
    // Types without a namespace need no more than before.
    assert_eq!(of(&[]).find(&["note"], everywhere()).await.expect("found").total, 1);
    assert_eq!(of(&[Action::Find]).find(&["page"], everywhere()).await.expect("found").total, 1);
    let of_page =
        |action| audit.events().iter().any(|event| event.action == action && event.outcome == AuditOutcome::Done);
    assert!(of_page(Action::Find) && of_page(Action::Everywhere), "{:#?}", audit.events());
}

async fn shared_objects_are_deleted_only_on_purpose(context: Context) {
    let repository = repository(&context).await;
    let source =
        |namespaces: &[&str]| json!({"type": "board", "board": {}, "references": [], "namespaces": namespaces});
    for (id, namespaces) in [("two", &["default", "ops"][..]), ("every", &["*"])] {
        put(&context, "things", &format!("board:{id}"), source(namespaces)).await;
        let key: ObjectKey = key("board", id);
        let error = repository.delete(&key).await.expect_err("shared");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.hint().is_some_and(|hint| hint.contains("force")), "{error}");
        repository.delete(Delete::new(&key).force()).await.expect("deleted");
    }
}
