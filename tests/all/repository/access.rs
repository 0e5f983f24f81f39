//! The platform's `Authorization` is asked before each operation, and its `Audit` receives each operation.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::cluster::Direction;
use saved_objects::document::Namespace;
use saved_objects::encryption::Secret;
use saved_objects::repository::{
    Action, Aggregation, AllowAll,
    AuditOutcome::{Admitted, Done, Failed, GivenUp, Refused},
    Authorization, ChangeNamespaces, CollectReferences, CollectedState, Create, Delete, DeleteNamespace, Export,
    Filter, Find, Import, Increment, RecordingAudit, Replace, RootField, SecretForm,
};
use serde_json::json;

use super::{key, kind, note, object, store_of, types};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        what_is_not_allowed_is_refused_first,
        every_operation_is_heard_of,
        exports_and_imports_are_heard_of,
        every_other_operation_is_asked_for,
        names_of_namespaces_that_a_caller_may_not_know_are_told_nowhere,
        an_import_does_not_tell_where_an_object_lives_or_that_it_does,
        a_search_finds_no_names_of_namespaces,
    )
}

/// Allows one action on notes.
#[derive(Debug)]
struct Only(Option<Action>);

#[async_trait]
impl Authorization for Only {
    async fn allows(&self, action: Action, type_name: &str, _namespace: &Namespace) -> bool {
        Some(action) == self.0 && type_name == "note"
    }
}

async fn what_is_not_allowed_is_refused_first(context: Context) {
    let open = store_of(&context, types::all_exportable(), saved_objects::Start::Migrate).await.0.repository().clone();
    let there = open.create(note("there", json!({"title": "t"}))).await.expect("created");
    let none = open.authorized_by(Arc::new(Only(None)));
    // An agnostic object is in no namespace, whichever namespace the caller names.
    let only_in_ops = open.authorized_by(Arc::new(AtHomeIn("ops")));
    let ops = || Namespace::new("ops").expect("a name");
    assert_eq!(kind(only_in_ops.get(&key("note", "there").in_namespace(ops())).await), ErrorKind::Forbidden);
    assert_eq!(only_in_ops.get_opt(&key("page", "x").in_namespace(ops())).await.expect("allowed"), None);
    // Both are refused in the same way, whether or not the object exists.
    for id in ["there", "missing"] {
        assert_eq!(kind(none.get(&key("note", id)).await), ErrorKind::Forbidden);
        assert_eq!(kind(none.get_with_secrets(&key("note", id)).await), ErrorKind::Forbidden);
        assert_eq!(kind(none.create(note(id, json!({"title": "t"}))).await), ErrorKind::Forbidden);
        assert_eq!(kind(none.update(&key("note", id), |_| Ok(())).await), ErrorKind::Forbidden);
        assert_eq!(kind(none.delete(Delete::new(key("note", id))).await), ErrorKind::Forbidden);
    }
    assert_eq!(kind(none.replace(Replace::of(&there, object(json!({"title": "u"})))).await), ErrorKind::Forbidden);
    assert_eq!(kind(none.find(&["note"], Find::new()).await), ErrorKind::Forbidden);
    let mut stream = none.stream(&["note"], Find::new()).expect("a stream");
    let first = futures::StreamExt::next(&mut stream).await.expect("an item");
    assert_eq!(first.expect_err("refused").kind(), ErrorKind::Forbidden);
    assert_eq!(kind(none.export(Export::found(["note"], Find::new()), Vec::new()).await), ErrorKind::Forbidden);
    let line = json!({"type": "note", "id": "n", "attributes": {"title": "t"}}).to_string();
    let file = || std::io::Cursor::new(line.clone().into_bytes());
    assert_eq!(kind(none.import(Import::new(), file()).await), ErrorKind::Forbidden);

    let reader = open.authorized_by(Arc::new(Only(Some(Action::Get))));
    assert_eq!(reader.get(&key("note", "there")).await.expect("allowed").id, "there");
    assert_eq!(kind(reader.find(&["note"], Find::new()).await), ErrorKind::Forbidden);
    assert_eq!(kind(reader.get(&key("login", "there")).await), ErrorKind::Forbidden, "another type");
    // Secrets in clear need more than the permission to export.
    let exporter = open.authorized_by(Arc::new(Only(Some(Action::Export))));
    let export = || Export::found(["note"], Find::new());
    assert!(exporter.export(export(), Vec::new()).await.is_ok());
    let clear = export().secrets(SecretForm::Clear);
    assert_eq!(kind(exporter.export(clear, Vec::new()).await), ErrorKind::Forbidden);
    let unchanged = open.get(&key("note", "there")).await.expect("it is there");
    assert_eq!(unchanged, there, "nothing was written");
}

async fn every_operation_is_heard_of(context: Context) {
    let audit = RecordingAudit::default();
    let open = store_of(&context, types::all(), saved_objects::Start::Migrate).await.0.repository().clone();
    let repository = open.audited_by(Arc::new(audit.clone()));
    let created = repository.create(note("a", json!({"title": "do not tell"}))).await.expect("created");
    repository.get(&key("note", "a")).await.expect("read");
    repository.find(&["note", "badge"], Find::new()).await.expect("found");
    assert!(repository.create(note("a", json!({"title": "do not tell"}))).await.is_err());
    repository.delete(Delete::of(&created)).await.expect("deleted");
    assert!(repository.update(&key("note", "a"), |_| Ok(())).await.is_err());
    let refused = repository.authorized_by(Arc::new(Only(None)));
    assert!(refused.get(&key("note", "a")).await.is_err());
    let events = audit.events();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.action, event.type_name.as_str(), event.id.as_deref(), event.outcome))
        .collect();
    assert_eq!(
        told,
        [
            (Action::Create, "note", Some("a"), Admitted),
            (Action::Create, "note", Some("a"), Done),
            (Action::Get, "note", Some("a"), Admitted),
            (Action::Get, "note", Some("a"), Done),
            (Action::Find, "note", None, Admitted),
            (Action::Find, "badge", None, Admitted),
            (Action::Find, "note", None, Done),
            (Action::Find, "badge", None, Done),
            (Action::Create, "note", Some("a"), Admitted),
            (Action::Create, "note", Some("a"), Failed(ErrorKind::Conflict)),
            (Action::Delete, "note", Some("a"), Admitted),
            (Action::Delete, "note", Some("a"), Done),
            (Action::Update, "note", Some("a"), Admitted),
            (Action::Update, "note", Some("a"), Failed(ErrorKind::NotFound)),
            (Action::Get, "note", Some("a"), Refused),
        ]
    );
    assert!(!format!("{events:?}").contains("do not tell"));

    // The audit receives streams, exports and imports too, and a new object with its random id.
    let audit = RecordingAudit::default();
    let repository = open.audited_by(Arc::new(audit.clone()));
    let told = || -> Vec<_> { audit.events().iter().map(|event| (event.action, event.outcome)).collect() };
    let created = repository.create(Create::new("note", object(json!({"title": "t"})))).await.expect("created");
    let events = audit.events();
    assert_eq!(events[0].id, None, "it has none yet");
    assert_eq!(events[1].id.as_deref(), Some(created.id.as_str()));
    let mut stream = repository.stream(&["note"], Find::new()).expect("a stream");
    while futures::StreamExt::next(&mut stream).await.is_some() {}
    assert_eq!(told()[2..], [(Action::Find, Admitted), (Action::Find, Done)]);
    // A stream that is never read is not admitted. A stream that is not read to its end is given up, and so is a
    // cancelled call.
    drop(repository.stream(&["note"], Find::new()).expect("a stream"));
    assert_eq!(told().len(), 4);
    super::refresh(&context).await;
    let mut stream = repository.stream(&["note"], Find::new()).expect("a stream");
    futures::StreamExt::next(&mut stream).await.expect("an item").expect("found").expect("readable");
    drop(stream);
    assert_eq!(told()[4..], [(Action::Find, Admitted), (Action::Find, GivenUp)]);
    let mut call = Box::pin(repository.delete(Delete::of(&created)));
    // Runs up to its first wait; in memory there may be none.
    if futures::poll!(&mut call).is_pending() {
        drop(call);
        assert_eq!(told()[6..], [(Action::Delete, Admitted), (Action::Delete, GivenUp)]);
    }
    // Lets the points in time of the dropped stream be closed before the end of the test.
    let until = repository.stream(&["note"], Find::new()).expect("a stream");
    futures::StreamExt::count(until).await;
}

async fn exports_and_imports_are_heard_of(context: Context) {
    let audit = RecordingAudit::default();
    let open = store_of(&context, types::all_exportable(), saved_objects::Start::Migrate).await.0.repository().clone();
    let repository = open.audited_by(Arc::new(audit.clone()));
    let line = json!({"type": "note", "id": "n", "attributes": {"title": "do not tell"}}).to_string();
    let file = || std::io::Cursor::new(line.clone().into_bytes());
    assert!(repository.import(Import::new(), file()).await.expect("imported").success);
    assert!(!repository.import(Import::new(), file()).await.expect("refused").success);
    repository.export(Export::objects([key("note", "n"), key("note", "gone")]), Vec::new()).await.expect("exported");
    let events = audit.events();
    let told: Vec<_> = events.iter().map(|event| (event.action, event.id.as_deref(), event.outcome)).collect();
    assert_eq!(
        told,
        [
            (Action::Import, Some("n"), Admitted),
            (Action::Import, Some("n"), Done),
            (Action::Import, Some("n"), Admitted),
            (Action::Import, Some("n"), GivenUp),
            (Action::Export, Some("n"), Admitted),
            (Action::Export, Some("gone"), Admitted),
            (Action::Export, Some("n"), Done),
            (Action::Export, Some("gone"), Failed(ErrorKind::NotFound)),
        ]
    );
    assert!(!format!("{events:?}").contains("do not tell"));
}

async fn every_other_operation_is_asked_for(context: Context) {
    let audit = RecordingAudit::default();
    let open = store_of(&context, types::all(), saved_objects::Start::Migrate).await.0.repository().clone();
    open.create(note("there", json!({"title": "t"}))).await.expect("created");
    open.create(Create::new("board", object(json!({}))).id("b")).await.expect("created");
    let none = open.authorized_by(Arc::new(Only(None))).audited_by(Arc::new(audit.clone()));
    let (there, board) = (key("note", "there"), key("board", "b"));
    assert_eq!(kind(none.resolve(&there).await), ErrorKind::Forbidden);
    assert_eq!(kind(none.increment(Increment::new(&there).field("count")).await), ErrorKind::Forbidden);
    assert_eq!(kind(none.check_conflicts(std::slice::from_ref(&there)).await.remove(0)), ErrorKind::Forbidden);
    assert_eq!(kind(none.remove_references_to(&there).await), ErrorKind::Forbidden);
    assert_eq!(
        kind(none.delete_namespace(DeleteNamespace::new(Namespace::DEFAULT).even_default()).await),
        ErrorKind::Forbidden
    );
    let share = || ChangeNamespaces::new([board.clone()]).add(Namespace::new("ops").expect("a name"));
    assert_eq!(kind(none.change_namespaces(share()).await.expect("answered").remove(0)), ErrorKind::Forbidden);
    let collected = none.collect_references(CollectReferences::new([board.clone()])).await.expect("answered");
    assert!(matches!(&collected[0].state, CollectedState::Unreadable(error) if error.kind() == ErrorKind::Forbidden));
    assert!(audit.events().iter().all(|event| event.outcome == Refused));

    // The permission to change an object is not the permission to create it, and sharing is admitted in both
    // namespaces.
    let changer = open.authorized_by(Arc::new(Only(Some(Action::Update))));
    let counted = changer.increment(Increment::new(&there).field("count")).await.expect("allowed");
    assert_eq!(counted.attributes["count"], 1);
    let or_create = Increment::new(key("note", "new")).field("count").or_create(object(json!({"title": "t"})));
    assert_eq!(kind(changer.increment(or_create).await), ErrorKind::Forbidden);
    let in_ops = open.authorized_by(Arc::new(SharesIn("default")));
    assert_eq!(kind(in_ops.change_namespaces(share()).await.expect("answered").remove(0)), ErrorKind::Forbidden);
    let everywhere = ChangeNamespaces::new([board.clone()]).add_everywhere();
    assert_eq!(kind(in_ops.change_namespaces(everywhere).await.expect("answered").remove(0)), ErrorKind::Forbidden);
    assert_eq!(open.get(&board).await.expect("there").namespaces, ["default"]);
}

async fn names_of_namespaces_that_a_caller_may_not_know_are_told_nowhere(context: Context) {
    let open = store_of(&context, types::all_exportable(), saved_objects::Start::Migrate).await.0.repository().clone();
    let namespace = |name: &str| Namespace::new(name).expect("a name");
    let board =
        |id: &str| Create::new("board", object(json!({"title": id}))).id(id).namespace(namespace("hidden-team"));
    let mut keys = Vec::new();
    for id in ["a", "b"] {
        let created = open.create(board(id)).await.expect("created");
        let shared = ChangeNamespaces::new([created.key()]).add(namespace("ops"));
        assert!(open.change_namespaces(shared).await.expect("answered").remove(0).is_ok());
        keys.push(key("board", id).in_namespace(namespace("ops")));
    }
    super::refresh(&context).await;
    let all = ["hidden-team", "ops"];
    assert_eq!(open.get(&keys[0]).await.expect("there").namespaces, all, "without rules all are shown");

    let caller = open.authorized_by(Arc::new(AtHomeIn("ops")));
    let in_ops = || Find::new().namespaces([namespace("ops")]);
    let read = caller.get(&keys[0]).await.expect("there");
    assert_eq!((read.namespaces.as_slice(), read.key()), (["ops".to_owned()].as_slice(), keys[0].clone()));
    let mut told = vec![format!("{read:?}")];
    told.push(format!("{:?}", caller.get_with_secrets(&keys[0]).await));
    told.push(format!("{:?}", caller.get_many(&keys).await));
    told.push(format!("{:?}", caller.resolve(&keys[0]).await));
    told.push(format!("{:?}", caller.find(&["board"], in_ops()).await));
    let streamed: Vec<_> = futures::StreamExt::collect(caller.stream(&["board"], in_ops()).expect("a stream")).await;
    assert_eq!(streamed.len(), 2);
    told.push(format!("{streamed:?}"));
    told.push(format!("{:?}", caller.update(&keys[0], |_| Ok(())).await));
    told.push(format!("{:?}", caller.collect_references(CollectReferences::new(keys.clone())).await));
    told.push(format!("{:?}", caller.delete(Delete::new(keys[0].clone())).await));
    let mut file = Vec::new();
    caller.export(Export::found(["board"], in_ops()), &mut file).await.expect("exported");
    told.push(String::from_utf8(file).expect("UTF-8"));
    let again = ChangeNamespaces::new([keys[1].clone()]).add(namespace("ops"));
    told.push(format!("{:?}", caller.change_namespaces(again).await));
    for (number, told) in told.iter().enumerate() {
        assert!(!told.contains("hidden-team"), "{number}: {told}");
    }
    // A write that is based on this read is seen from the namespace of the object.
    let read = caller.get(&keys[1]).await.expect("there");
    caller.replace(Replace::of(&read, object(json!({"title": "new"})))).await.expect("replaced");
    assert_eq!(open.get(&keys[1]).await.expect("there").namespaces, all);
}

async fn an_import_does_not_tell_where_an_object_lives_or_that_it_does(context: Context) {
    let open = store_of(&context, types::all_exportable(), saved_objects::Start::Migrate).await.0.repository().clone();
    let hidden = Namespace::new("hidden-team").expect("a name");
    let secret = || Secret::text("what the hidden team hides");
    for type_name in ["board", "card"] {
        let create = Create::new(type_name, object(json!({"title": "t"}))).id("there").namespace(hidden.clone());
        open.create(create.secret("secret", secret())).await.expect("created");
    }
    let audit = RecordingAudit::default();
    let caller = open.authorized_by(Arc::new(AtHomeIn("ops"))).audited_by(Arc::new(audit.clone()));
    for type_name in ["board", "card"] {
        let mut told = Vec::new();
        for id in ["there", "missing"] {
            let line = json!({
                "type": type_name, "id": id, "namespaces": ["ops"], "attributes": {}, "envelopes": {"secret": "x"},
            });
            let file = std::io::Cursor::new(line.to_string().into_bytes());
            let error = caller.import(Import::new(), file).await.expect_err("refused");
            assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
            assert!(error.hint().is_some(), "{error}");
            told.push(format!("{error:?}").replace(id, "ID"));
        }
        assert_eq!(told[0], told[1]);
        assert!(!told[0].contains("hidden-team"), "{told:?}");
    }
    let asked: Vec<_> = audit.events().into_iter().filter(|event| event.action == Action::GetSecrets).collect();
    assert!(asked.len() == 4 && asked.iter().all(|event| event.outcome == Refused), "{asked:?}");
    // A caller who may read secrets in all namespaces may restore an export of a deleted object.
    let key = key("board", "there").in_namespace(hidden);
    let mut file = Vec::new();
    let export = Export::objects([key.clone()]).secrets(SecretForm::Encrypted).without_summary();
    open.export(export, &mut file).await.expect("exported");
    open.delete(Delete::new(key.clone())).await.expect("deleted");
    let all = open.authorized_by(Arc::new(AllowAll));
    let summary = all.import(Import::new(), std::io::Cursor::new(file)).await.expect("imported");
    assert!(summary.success, "{summary:?}");
    let (_, secrets) = open.get_with_secrets(&key).await.expect("there");
    assert_eq!(secrets["secret"].expose_json(), secret().expose_json());
}

async fn a_search_finds_no_names_of_namespaces(context: Context) {
    let open = store_of(&context, types::all_exportable(), saved_objects::Start::Migrate).await.0.repository().clone();
    let namespace = |name: &str| Namespace::new(name).expect("a name");
    for type_name in ["board", "card", "page"] {
        let create = Create::new(type_name, object(json!({"title": "t"}))).id("a").namespace(namespace("ops"));
        open.create(create).await.expect("created");
    }
    let share = ChangeNamespaces::new([key("board", "a").in_namespace(namespace("ops"))]);
    let shared = open.change_namespaces(share.add(namespace("hidden-team"))).await.expect("answered").remove(0);
    assert!(shared.is_ok(), "{shared:?}");
    super::refresh(&context).await;
    let caller = open.authorized_by(Arc::new(AtHomeIn("ops")));
    let in_ops = || Find::new().namespaces([namespace("ops")]);
    let names = || RootField::Namespaces;
    let nested = Aggregation::by_value(RootField::Type, 10).with("inner", Aggregation::by_value(names(), 10));
    let within = Filter::or([Filter::equals("title", "t"), Filter::not(Filter::equals(names(), "hidden-team"))]);
    let telling = [
        in_ops().aggregation("names", Aggregation::by_value(names(), 10)),
        in_ops().aggregation("names", Aggregation::count(names())),
        in_ops().aggregation("names", nested),
        in_ops().aggregation("names", Aggregation::fitting(Filter::equals(names(), "hidden-team"))),
        in_ops().sort(names(), Direction::Descending),
        in_ops().sort(RootField::UpdatedAt, Direction::Ascending).sort(names(), Direction::Ascending),
        in_ops().filter(Filter::equals(names(), "hidden-team")),
        in_ops().filter(Filter::any_of(names(), ["ops", "hidden-team"])),
        in_ops().filter(Filter::any_of(names(), ["ops", "there-is-none"])),
        in_ops().filter(Filter::equals(names(), 5)),
        in_ops().filter(Filter::range(names(), "h".."i")),
        in_ops().filter(Filter::Words(names().into(), "hidden-team".to_owned())),
        in_ops().filter(Filter::Phrase(names().into(), "hidden-team".to_owned())),
        in_ops().filter(Filter::Pattern(names().into(), vec!["h".to_owned(), String::new()])),
        in_ops().filter(within),
        in_ops().kql("board.namespaces: h*".parse().expect("KQL")),
        in_ops().kql("board.namespaces: hidden-team".parse().expect("KQL")),
        in_ops().kql("not board.namespaces >= \"h\"".parse().expect("KQL")),
    ];
    for request in telling {
        // Allowed without an `Authorization`, and with one that allows everything.
        for open in [open.clone(), open.authorized_by(Arc::new(AllowAll))] {
            let found = open.find(&["board"], request.clone()).await;
            assert!(found.is_ok(), "{request:?}: {found:?}");
        }
        let mut errors = vec![caller.find(&["board"], request.clone()).await.expect_err("refused")];
        let mut stream = caller.stream(&["board"], request.clone()).expect("a stream");
        errors.push(futures::StreamExt::next(&mut stream).await.expect("an item").expect_err("refused"));
        let mut reader = caller.open_point_in_time(&["board"], Duration::from_secs(60)).await.expect("open");
        errors.push(reader.page(&request, None).await.expect_err("refused"));
        reader.close().await;
        let mut file = Vec::new();
        errors.push(caller.export(Export::found(["board"], request.clone()), &mut file).await.expect_err("refused"));
        assert!(file.is_empty(), "{request:?}");
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Forbidden, "{request:?}: {error}");
            assert!(error.hint().is_some() && error.message().contains("namespaces"), "{error}");
        }
    }
    // A caller may search for values that the caller can read.
    let known = [
        in_ops().filter(Filter::any_of(names(), ["ops", "*"])),
        in_ops().filter(Filter::exists(names())),
        in_ops().kql("board.namespaces: ops".parse().expect("KQL")),
        in_ops().kql("board.namespaces: *".parse().expect("KQL")),
        in_ops().sort(RootField::UpdatedAt, Direction::Descending),
    ];
    for request in known {
        let found = caller.find(&["board"], request.clone()).await.expect("allowed");
        assert_eq!(found.total, 1, "{request:?}");
    }
    let ours = in_ops().aggregation("ours", Aggregation::fitting(Filter::equals(names(), "ops")));
    let found = caller.find(&["board"], ours).await.map_err(|error| error.kind());
    assert!(!matches!(found, Err(ErrorKind::Forbidden)), "{found:?}");
    // The names are checked for the types that they are compared in.
    let of_page = in_ops().filter(Filter::OfType("page".to_owned(), Box::new(Filter::equals(names(), "hidden-team"))));
    assert_eq!(caller.find(&["board", "page"], of_page).await.expect("allowed").total, 0);
    let of_card = in_ops().filter(Filter::OfType("card".to_owned(), Box::new(Filter::equals(names(), "hidden-team"))));
    assert_eq!(kind(caller.find(&["board", "card"], of_card).await), ErrorKind::Forbidden);
}

/// Allows everything in one namespace.
#[derive(Debug)]
struct AtHomeIn(&'static str);

#[async_trait]
impl Authorization for AtHomeIn {
    async fn allows(&self, _action: Action, _type_name: &str, namespace: &Namespace) -> bool {
        namespace.as_str() == self.0
    }
}

/// Allows sharing in one namespace.
#[derive(Debug)]
struct SharesIn(&'static str);

#[async_trait]
impl Authorization for SharesIn {
    async fn allows(&self, action: Action, _type_name: &str, namespace: &Namespace) -> bool {
        action == Action::Share && namespace.as_str() == self.0
    }
}
