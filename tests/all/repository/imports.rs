//! How an import handles ids, origins and namespaces, and what it reports when it ends early.

mod first_reading;
mod secrets;

use std::io::Cursor;
use std::sync::Arc;

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::cluster::Elastic;
use saved_objects::document::Namespace;
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::repository::{
    Action, AuditOutcome, Authorization, Create, Decision, Find, Import, ImportProgress, ImportSummary, OnConflict,
    RecordingAudit, Repository,
};
use saved_objects::{ErrorKind, Result, SavedObject, Start};
use serde_json::{Value, json};

use super::changing::Changing;
use super::{key, kind, object, put, refresh, store_of, types};
use crate::clock::ImpatientClock;
use crate::context::{Context, MEMORY};
use crate::named_trials;
use crate::proxy::{Fault, Proxy, Seen};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        what_was_imported_before_is_found_again,
        imports_back_to_back_find_what_the_one_before_wrote,
        one_origin_of_many_namespaces_is_found_in_the_own,
        several_objects_of_one_origin_are_all_new,
        an_object_of_the_file_is_no_stranger_wherever_it_stands,
        two_objects_cannot_become_one,
        an_import_is_asked_for_in_every_namespace,
        namespaces_that_a_type_cannot_have_are_named,
        a_corrupt_object_in_the_way_is_one_problem,
        a_line_above_the_servers_limit_is_found_first,
        a_file_that_ends_early_leaves_nothing_untold,
        a_line_that_was_not_checked_is_not_written,
        an_import_that_is_refused_was_given_up,
        secrets::a_line_without_secrets_keeps_those_of_what_it_overwrites,
        secrets::secrets_that_cannot_be_kept_are_found_first,
        what_a_line_leaves_out_stays,
        an_import_that_was_cut_off_is_resumed,
        how_far_an_import_is_can_be_watched,
    );
    if url != MEMORY {
        trials.extend(named_trials!(
            url,
            an_object_that_fails_alone_is_named_alone,
            first_reading::the_first_reading_refuses_what_the_index_refuses,
        ));
    }
    trials
}

async fn repository(context: &Context) -> Repository {
    store_of(context, types::all_exportable(), Start::Migrate).await.0.repository().clone()
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).expect("a name")
}

fn board(id: &str) -> Create {
    Create::new("board", object(json!({"title": id}))).id(id)
}

fn line(type_name: &str, id: &str) -> Value {
    json!({"type": type_name, "id": id, "attributes": {"title": "new"}})
}

fn login(keys: Value) -> Value {
    let attributes = json!({"user": "kim"});
    let mut line = json!({"type": "login", "id": "l", "attributes": attributes, "typeMigrationVersion": "10.2.0"});
    line.as_object_mut().expect("an object").extend(object(keys));
    line
}

fn file(lines: &[Value]) -> Vec<u8> {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

async fn try_import(repository: &Repository, request: Import, lines: &[Value]) -> Result<ImportSummary> {
    repository.import(request, Cursor::new(file(lines))).await
}

async fn import(repository: &Repository, request: Import, lines: &[Value]) -> ImportSummary {
    try_import(repository, request, lines).await.expect("it came to an end")
}

fn overwriting() -> Import {
    Import::new().on_conflict(OnConflict::Overwrite)
}

async fn title(repository: &Repository, id: &str) -> Value {
    repository.get(&key("board", id)).await.expect("it is there").attributes["title"].clone()
}

async fn boards(context: &Context, repository: &Repository) -> Vec<SavedObject> {
    refresh(context).await;
    repository.find(&["board"], Find::new()).await.expect("found").objects
}

async fn what_was_imported_before_is_found_again(context: Context) {
    let repository = repository(&context).await;
    repository.create(board("taken").namespace(namespace("ops"))).await.expect("created");
    let lines = [line("board", "taken")];
    // An object of another namespace has the id, so this object gets another id.
    let first = import(&repository, Import::new(), &lines).await;
    assert!(first.success, "{first:?}");
    let id = first.relocated[0].destination_id.clone();
    refresh(&context).await;
    // The second time the object conflicts with the first import, and is not created again.
    let second = import(&repository, Import::new(), &lines).await;
    assert_eq!((second.errors[0].kind, &second.errors[0].destinations), ("conflict", &vec![id.clone()]));
    let mut again = lines.clone();
    again[0]["attributes"]["title"] = json!("newer");
    let third = import(&repository, overwriting(), &again).await;
    assert!(third.success, "{third:?}");
    assert_eq!(third.relocated[0].destination_id, id);
    let all = boards(&context, &repository).await;
    assert_eq!(all.iter().map(|board| &board.id).collect::<Vec<_>>(), [&id]);
    assert_eq!((all[0].attributes["title"].clone(), all[0].origin_id.as_deref()), (json!("newer"), Some("taken")));
}

/// The test does not wait: the searches that decide must see what was written just before.
async fn imports_back_to_back_find_what_the_one_before_wrote(context: Context) {
    let repository = repository(&context).await;
    for id in ["a", "b"] {
        repository.create(board(id).namespace(namespace("ops"))).await.expect("created");
    }
    let lines = [line("board", "a"), line("board", "b")];
    let first = import(&repository, overwriting(), &lines).await;
    let again = import(&repository, overwriting(), &lines).await;
    assert!(first.success && again.success, "{first:?} {again:?}");
    let destinations = |summary: &ImportSummary| -> Vec<String> {
        summary.relocated.iter().map(|relocated| relocated.destination_id.clone()).collect()
    };
    assert_eq!(destinations(&again), destinations(&first), "they overwrite what the first import made");
    let refused = import(&repository, Import::new(), &lines).await;
    assert_eq!(refused.errors.iter().map(|problem| problem.kind).collect::<Vec<_>>(), ["conflict", "conflict"]);

    // References are rewritten, and required objects exist.
    repository.create(board("c").namespace(namespace("ops"))).await.expect("created");
    let moved = import(&repository, Import::new(), &[line("board", "c")]).await;
    let mut referring = line("note", "n");
    referring["references"] = json!([{"name": "to c", "type": "board", "id": "c"}]);
    let requiring = Import::new().require_references("board");
    let summary = import(&repository, requiring, &[referring]).await;
    assert!(summary.success, "{summary:?}");
    let note = repository.get(&key("note", "n")).await.expect("there");
    assert_eq!(note.references[0].id, destinations(&moved)[0]);
    assert_eq!(boards(&context, &repository).await.len(), 3);
}

async fn one_origin_of_many_namespaces_is_found_in_the_own(context: Context) {
    let repository = repository(&context).await;
    let copies = (0..40).map(|n| board(&format!("c{n}")).namespace(namespace(&format!("team-{n}"))).origin_id("first"));
    assert!(repository.create_many(copies).await.iter().all(Result::is_ok));
    refresh(&context).await;
    let into = Import::new().namespace(namespace("team-7"));
    let summary = import(&repository, into, &[line("board", "first")]).await;
    assert_eq!((summary.errors[0].kind, &summary.errors[0].destinations), ("conflict", &vec!["c7".to_owned()]));
}

async fn several_objects_of_one_origin_are_all_new(context: Context) {
    let repository = repository(&context).await;
    repository.create(board("copy").origin_id("first")).await.expect("created");
    refresh(&context).await;
    let mut other = line("board", "other");
    other["originId"] = json!("first");
    // The copy could be either of the two objects, so neither is overwritten.
    let summary = import(&repository, overwriting(), &[line("board", "first"), other]).await;
    assert_eq!((summary.success, summary.relocated.len()), (true, 2), "{summary:?}");
    assert_eq!(title(&repository, "copy").await, "copy");
    for relocated in &summary.relocated {
        let new = repository.get(&key("board", &relocated.destination_id)).await.expect("there");
        assert_eq!((new.attributes["title"].clone(), new.origin_id), (json!("new"), None));
    }
}

async fn an_object_of_the_file_is_no_stranger_wherever_it_stands(context: Context) {
    let repository = repository(&context).await;
    repository.create(board("copy").origin_id("first")).await.expect("created");
    refresh(&context).await;
    // So far below that it is in another batch.
    let mut lines = vec![line("board", "first")];
    lines.extend((0..600).map(|n| line("note", &format!("n{n}"))));
    let mut copy = line("board", "copy");
    copy["attributes"]["title"] = json!("the copy");
    lines.push(copy);
    let summary = import(&repository, overwriting(), &lines).await;
    assert_eq!((summary.success, summary.success_count, summary.relocated.len()), (true, 602, 0), "{summary:?}");
    assert_eq!(
        (title(&repository, "first").await, title(&repository, "copy").await),
        (json!("new"), json!("the copy"))
    );
}

async fn two_objects_cannot_become_one(context: Context) {
    let repository = repository(&context).await;
    let lines = [line("note", "a"), line("note", "b"), line("note", "c")];
    let new_id = |id: &str| Decision::NewId(Some(id.to_owned()));
    let over = |id: &str| Decision::Overwrite(Some(id.to_owned()));
    let twice = [
        Import::new().decide("note", "a", new_id("x")).decide("note", "b", new_id("x")),
        Import::new().decide("note", "a", over("x")).decide("note", "b", over("x")),
        Import::new().decide("note", "a", new_id("c")),
        Import::new().decide("note", "c", over("a")),
    ];
    for request in twice {
        let summary = import(&repository, request, &lines).await;
        let [problem] = summary.errors.as_slice() else { panic!("{summary:?}") };
        assert_eq!((problem.kind, summary.success_count), ("invalid", 0));
        assert!(problem.message.contains("two objects of the file would become note:"), "{problem:?}");
    }
    assert_eq!(context.documents("things").await, 0);
    let moved = Import::new().decide("note", "a", new_id("b")).decide("note", "b", new_id("x"));
    let summary = import(&repository, moved, &lines).await;
    assert_eq!((summary.success, summary.relocated.len()), (true, 2), "{summary:?}");
}

/// Allows importing in one namespace, and nothing else.
#[derive(Debug)]
struct ImportsInto(&'static str);

#[async_trait]
impl Authorization for ImportsInto {
    async fn allows(&self, action: Action, _type_name: &str, namespace: &Namespace) -> bool {
        action == Action::Import && namespace.as_str() == self.0
    }
}

async fn an_import_is_asked_for_in_every_namespace(context: Context) {
    let audit = RecordingAudit::default();
    let open = repository(&context).await;
    let repository = open.authorized_by(Arc::new(ImportsInto("ops"))).audited_by(Arc::new(audit.clone()));
    let seen_from = |namespaces: Value| {
        let mut line = line("board", "b");
        line["namespaces"] = namespaces;
        [line]
    };
    for namespaces in
        [json!(["default"]), json!(["ops", "secret"]), json!(["secret", "ops"]), json!(["*"]), json!(["ops", "*"])]
    {
        let refused = try_import(&repository, Import::new(), &seen_from(namespaces.clone())).await;
        assert_eq!(kind(refused), ErrorKind::Forbidden, "{namespaces}");
    }
    let events = audit.events();
    let told = |action, namespace: &str| {
        let is_it = |event: &&saved_objects::repository::AuditEvent| {
            (event.action, event.namespace.as_str(), event.outcome) == (action, namespace, AuditOutcome::Refused)
        };
        events.iter().any(|event| is_it(&event))
    };
    assert!(told(Action::Import, "secret") && told(Action::ShareEverywhere, "ops"), "{events:#?}");
    assert_eq!(context.documents("things").await, 0);
    // The namespaces of the file do not matter then.
    let into_ops = Import::new().namespace(namespace("ops"));
    assert!(import(&repository, into_ops, &seen_from(json!(["secret", "*"]))).await.success);
    assert!(import(&open, overwriting(), &seen_from(json!(["ops", "secret", "ops"]))).await.success);
    let there = open.get(&key("board", "b").in_namespace(namespace("ops"))).await.expect("there");
    assert_eq!(there.namespaces, ["ops"], "overwriting shares nothing");
}

async fn namespaces_that_a_type_cannot_have_are_named(context: Context) {
    let repository = repository(&context).await;
    let many: Vec<String> = (0..101).map(|n| format!("n{n}")).collect();
    let table = [
        ("page", json!(["default", "ops"])),
        ("page", json!(["*"])),
        ("page", json!(["a:b"])),
        ("card", json!(["default", "ops"])),
        ("card", json!(["*"])),
        ("board", json!([""])),
        ("board", json!(["default", "a b"])),
        ("board", json!(many)),
    ];
    for (type_name, namespaces) in table {
        let mut refused = line(type_name, "x");
        refused["namespaces"] = namespaces.clone();
        let summary = import(&repository, Import::new(), &[line("note", "fine"), refused]).await;
        assert_eq!((summary.errors[0].kind, summary.errors[0].line), ("invalid", 2), "{type_name} {namespaces}");
    }
    assert_eq!(context.documents("things").await, 0);
    let mut shared = line("board", "b");
    shared["namespaces"] = json!(["ops", "*", "ops"]);
    assert!(import(&repository, Import::new(), &[shared]).await.success);
    assert_eq!(repository.get(&key("board", "b")).await.expect("there").namespaces, ["ops", "*"]);
}

async fn a_corrupt_object_in_the_way_is_one_problem(context: Context) {
    let repository = repository(&context).await;
    put(&context, "things", "note:a", json!({"type": "note"})).await;
    repository.create(board("b")).await.expect("created");
    let lines = [line("note", "a"), line("note", "fine"), line("board", "b")];
    let summary = import(&repository, Import::new(), &lines).await;
    let told: Vec<_> = summary.errors.iter().map(|problem| (problem.line, problem.kind)).collect();
    assert_eq!(told, [(1, "unreadable"), (3, "conflict")]);
    assert_eq!(repository.get_opt(&key("note", "fine")).await.expect("read"), None, "nothing was written");
}

async fn a_line_above_the_servers_limit_is_found_first(context: Context) {
    let repository = repository(&context).await;
    // Only a cluster in memory has a limit that a test can reach in reasonable time.
    let Some(memory) = &context.memory else { return };
    memory.limit_requests(2 << 20);
    let mut large = line("note", "large");
    large["attributes"]["free"] = json!("y".repeat(3 << 20));
    let summary = import(&repository, Import::new(), &[line("note", "fine"), large]).await;
    assert_eq!((summary.errors[0].kind, summary.errors[0].line, summary.success_count), ("invalid", 2, 0));
    assert!(summary.errors[0].message.contains("http.max_content_length"), "{summary:?}");
    assert_eq!(context.documents("things").await, 0);
}

fn notes(count: usize) -> Vec<Value> {
    (0..count).map(|n| line("note", &format!("n{n}"))).collect()
}

async fn a_file_that_ends_early_leaves_nothing_untold(context: Context) {
    let audit = RecordingAudit::default();
    let repository = repository(&context).await.audited_by(Arc::new(audit.clone()));
    let all = notes(600);
    let changing = Changing::new(file(&all), file(&all[..550])).failing();
    let summary = repository.import(Import::new(), changing).await.expect("it says what it wrote");
    assert_eq!((summary.success, summary.success_count, summary.stopped_at_line), (false, 500, Some(501)));
    let [problem] = summary.errors.as_slice() else { panic!("{summary:?}") };
    assert_eq!((problem.kind, problem.line, problem.object.is_none()), ("unavailable", 501, true));
    assert!(problem.message.contains("the disk is gone"), "{problem:?}");
    assert_eq!(context.documents("things").await, 500);
    let ends = |outcome| audit.events().iter().filter(|event| event.outcome == outcome).count();
    assert_eq!((ends(AuditOutcome::Done), ends(AuditOutcome::GivenUp)), (500, 100));
}

async fn a_line_that_was_not_checked_is_not_written(context: Context) {
    let repository = repository(&context).await;
    let mut then = notes(500);
    then.push(line("note", "smuggled in"));
    let changing = Changing::new(file(&notes(500)), file(&then));
    let summary = repository.import(Import::new(), changing).await.expect("it says what it wrote");
    assert_eq!((summary.success, summary.success_count, summary.stopped_at_line), (false, 500, Some(501)));
    assert!(summary.errors[0].message.contains("line 501: the file changed"), "{:?}", summary.errors);
    assert_eq!(context.documents("things").await, 500);
}

async fn an_import_that_is_refused_was_given_up(context: Context) {
    let audit = RecordingAudit::default();
    let open = repository(&context).await;
    open.create(board("there")).await.expect("created");
    let repository = open.audited_by(Arc::new(audit.clone()));
    let told = || -> Vec<_> { audit.events().iter().map(|event| (event.id.clone(), event.outcome)).collect() };
    let id = |id: &str| Some(id.to_owned());
    assert!(!import(&repository, Import::new(), &[line("note", "new"), line("board", "there")]).await.success);
    let expected = [
        (id("new"), AuditOutcome::Admitted),
        (id("there"), AuditOutcome::Admitted),
        (id("new"), AuditOutcome::GivenUp),
        (id("there"), AuditOutcome::GivenUp),
    ];
    assert_eq!(told(), expected);
    // Also with a line that is not an object.
    let summary = repository.import(Import::new(), Cursor::new(b"{\"type\":\"note\"".to_vec())).await;
    assert_eq!((summary.expect("it came to an end").success, told().len()), (false, 4));
    let twice = [line("note", "twice"), line("note", "twice")];
    assert!(!import(&repository, Import::new(), &twice).await.success);
    assert_eq!(told()[4..].iter().filter(|(_, outcome)| *outcome == AuditOutcome::GivenUp).count(), 2);
}

async fn an_object_that_fails_alone_is_named_alone(context: Context) {
    drop(repository(&context).await);
    let is_bulk = |seen: &Seen, _| match seen.path.split('?').next().is_some_and(|path| path.ends_with("/_bulk")) {
        true => Fault::FailItem,
        false => Fault::None,
    };
    let proxy = Proxy::start(&context.url, is_bulk).await;
    let environment = Environment::new(Arc::new(ImpatientClock::default()), Arc::new(SystemRng));
    let cluster = Elastic::builder(proxy.url()).environment(environment.clone()).build().expect("a fine URL");
    let builder = context.builder(types::all_exportable()).cluster(Arc::new(cluster)).environment(environment);
    let store = builder.start(Start::Skip).await.expect("nothing is asked at the start");
    // The first operation of every bulk meets a busy server at each repetition: an operation of the first batch, at
    // which the import stops.
    let summary = import(store.repository(), Import::new(), &notes(600)).await;
    let named: Vec<_> = summary.errors.iter().map(|problem| (problem.line, problem.kind)).collect();
    assert_eq!((summary.success, summary.success_count + named.len() as u64), (false, 500), "{summary:?}");
    assert_eq!((summary.stopped_at_line, context.documents("things").await), (Some(501), summary.success_count));
    assert!(!named.is_empty() && named.iter().all(|(line, kind)| *line <= 500 && *kind == "unavailable"), "{named:?}");
}

async fn what_a_line_leaves_out_stays(context: Context) {
    let repository = repository(&context).await;
    let (then, by) = ("2020-02-03T04:05:06.000Z", "u_kim");
    let mut first = line("board", "b");
    let said = json!({
        "created_at": then, "created_by": by, "managed": true, "originId": "before", "coreMigrationVersion": "8.8.0",
        "accessControl": {"owner": "u_lee", "accessMode": "default"}, "updated_at": then,
    });
    first.as_object_mut().expect("an object").extend(object(said.clone()));
    assert!(import(&repository, Import::new(), &[first]).await.success);
    let stored = async || context.stored("things", "board:b").await;
    let same = |stored: &Value, names: &[&str]| {
        for name in names {
            assert_eq!(stored[name], said[name], "{name}: {stored}");
        }
    };
    same(
        &stored().await,
        &["created_at", "created_by", "managed", "originId", "coreMigrationVersion", "accessControl"],
    );
    assert!(import(&repository, overwriting(), &[line("board", "b")]).await.success);
    let after = stored().await;
    same(&after, &["created_at", "created_by", "managed", "originId", "coreMigrationVersion", "accessControl"]);
    assert_ne!(after["updated_at"], then, "it was changed now");
    // The line decides, and a null means that there is none.
    let mut other = line("board", "b");
    let now = json!({"created_at": "2021-01-01T00:00:00.000Z", "managed": false, "originId": "elsewhere"});
    other.as_object_mut().expect("an object").extend(object(now.clone()));
    assert!(import(&repository, overwriting(), &[other]).await.success);
    let after = stored().await;
    assert_eq!(
        (&after["created_at"], &after["managed"], &after["originId"], &after["created_by"]),
        (&now["created_at"], &now["managed"], &now["originId"], &Value::Null)
    );
    let mut unknown = line("board", "b");
    unknown["created_at"] = Value::Null;
    assert!(import(&repository, overwriting(), &[unknown]).await.success);
    assert_eq!(stored().await["created_at"], Value::Null);
    // A new object can be created now.
    assert!(import(&repository, Import::new(), &[line("board", "new")]).await.success);
    let new = context.stored("things", "board:new").await;
    assert!(new["created_at"].is_string() && new["managed"] == false, "{new}");
}

async fn an_import_that_was_cut_off_is_resumed(context: Context) {
    let repository = repository(&context).await;
    // Objects of another namespace have the ids of two lines, so these get other ids.
    for id in ["b0", "b1"] {
        repository.create(board(id).namespace(namespace("ops"))).await.expect("created");
    }
    let refers = |mut line: Value, id: &str| {
        line["references"] = json!([{"name": "r", "type": "board", "id": id}]);
        line
    };
    let secret = login(json!({"secrets": {"password": "s3cret", "hint": "h"}}));
    let lines: Vec<Value> = (0..4)
        .map(|n| refers(line("board", &format!("b{n}")), "b1"))
        .chain([secret, refers(line("note", "n"), "b0")])
        .collect();
    let resumed = || Import::new().on_conflict(OnConflict::Resume);
    let cut = import(&repository, Import::new(), &lines[..5]).await;
    assert_eq!((cut.success, cut.success_count, cut.relocated.len()), (true, 5, 2), "{cut:?}");
    assert!(!import(&repository, Import::new(), &lines).await.success, "what is there is in the way");
    let documents = context.documents("things").await;

    let rest = import(&repository, resumed(), &lines).await;
    assert_eq!((rest.success, rest.success_count, rest.already_there_count), (true, 1, 5), "{rest:?}");
    assert_eq!(context.documents("things").await, documents + 1);
    // The imported references lead to the new ids of the objects.
    let note = repository.get(&key("note", "n")).await.expect("there");
    assert_eq!(note.references[0].id, cut.relocated[0].destination_id);
    let again = import(&repository, resumed(), &lines).await;
    assert_eq!((again.success, again.success_count, again.already_there_count), (true, 0, 6), "{again:?}");
    assert_eq!(context.documents("things").await, documents + 1);

    // An object that was changed since conflicts, whatever its id is now: nothing is written.
    let changes = [("board", cut.relocated[0].destination_id.as_str(), 1), ("board", "b2", 3), ("note", "n", 6)];
    for (type_name, id, line) in changes {
        let change = |draft: &mut saved_objects::repository::Draft| {
            draft.attributes.insert("title".to_owned(), json!("changed"));
            Ok(())
        };
        repository.update(&key(type_name, id), change).await.expect("updated");
        let summary = import(&repository, resumed(), &lines).await;
        assert!(summary.errors.iter().any(|problem| (problem.line, problem.kind) == (line, "conflict")), "{summary:?}");
        assert_eq!(summary.success_count, 0);
    }
    let mut other = login(json!({"secrets": {"password": "another", "hint": "h"}}));
    let summary = import(&repository, resumed(), &[other.clone()]).await;
    assert_eq!(summary.errors[0].kind, "conflict", "its secret is another one: {summary:?}");
    other.as_object_mut().expect("an object").remove("secrets");
    assert_eq!(import(&repository, resumed(), &[other]).await.already_there_count, 1);
}

async fn how_far_an_import_is_can_be_watched(context: Context) {
    let repository = repository(&context).await;
    let request = Import::new();
    let mut progress = request.progress();
    let watching = async {
        let mut all = Vec::new();
        while progress.changed().await.is_ok() {
            all.push(progress.borrow_and_update().clone());
        }
        all
    };
    let lines = notes(1_200);
    let (summary, all) = futures::join!(import(&repository, request, &lines), watching);
    assert_eq!(summary.success_count, 1_200);
    // During the first reading the file's length is an estimate.
    let is_near = |now: &ImportProgress| (1_000..=1_500).contains(&now.lines) && now.read <= now.lines;
    assert!(all.iter().all(is_near), "{all:?}");
    let last = all.last().expect("something was told");
    assert_eq!((last.is_writing, last.lines, last.read, last.written), (true, 1_200, 1_200, 1_200));
}
