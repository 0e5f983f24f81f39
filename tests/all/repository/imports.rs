//! What an import does about ids, origins and namespaces, and what it tells when it ends half-way.

use std::io::{Cursor, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::cluster::Elastic;
use saved_objects::document::Namespace;
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::repository::{
    Action, AuditOutcome, Authorization, Create, Decision, Find, Import, ImportSummary, OnConflict, RecordingAudit,
    Repository,
};
use saved_objects::{ErrorKind, Result, SavedObject, Start};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};

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
    );
    if url != MEMORY {
        trials.extend(named_trials!(url, an_object_that_fails_alone_is_named_alone));
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
    // The id is taken by an object of another namespace, so this one gets another.
    let first = import(&repository, Import::new(), &lines).await;
    assert!(first.success, "{first:?}");
    let id = first.relocated[0].destination_id.clone();
    refresh(&context).await;
    // The second time it is in the way, and does not become one more.
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

/// No test waits here: what searches decide must see what was written a moment ago.
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

    // References follow, and what is required is there.
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
    // Nobody can say which of the two the copy is, so neither overwrites it.
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
        let error = try_import(&repository, request.clone(), &lines).await.expect_err("two become one");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.message().contains("two objects of the file would become note:"), "{error}");
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
    // Where the file would put it does not matter then.
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
    // Only a cluster in memory has a limit that a test can reach within reason.
    let Some(memory) = &context.memory else { return };
    memory.limit_requests(2 << 20);
    let mut large = line("note", "large");
    large["attributes"]["free"] = json!("y".repeat(3 << 20));
    let summary = import(&repository, Import::new(), &[line("note", "fine"), large]).await;
    assert_eq!((summary.errors[0].kind, summary.errors[0].line, summary.success_count), ("invalid", 2, 0));
    assert!(summary.errors[0].message.contains("http.max_content_length"), "{summary:?}");
    assert_eq!(context.documents("things").await, 0);
}

/// A file that has something else in it when it is read the second time.
struct Changing {
    now: Cursor<Vec<u8>>,
    then: Option<Vec<u8>>,
    /// Whether the end is an error the second time.
    fails: bool,
}

impl AsyncRead for Changing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        poller: &mut Poller<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.now).poll_read(poller, into);
        if self.then.is_none() && self.fails && into.filled().len() == before {
            return Poll::Ready(Err(std::io::Error::other("the disk is gone")));
        }
        read
    }
}

impl AsyncSeek for Changing {
    fn start_seek(mut self: Pin<&mut Self>, position: SeekFrom) -> std::io::Result<()> {
        if matches!(position, SeekFrom::Start(_))
            && let Some(then) = self.then.take()
        {
            self.now = Cursor::new(then);
        }
        Pin::new(&mut self.now).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, poller: &mut Poller<'_>) -> Poll<std::io::Result<u64>> {
        Pin::new(&mut self.now).poll_complete(poller)
    }
}

fn notes(count: usize) -> Vec<Value> {
    (0..count).map(|n| line("note", &format!("n{n}"))).collect()
}

async fn a_file_that_ends_early_leaves_nothing_untold(context: Context) {
    let audit = RecordingAudit::default();
    let repository = repository(&context).await.audited_by(Arc::new(audit.clone()));
    let all = notes(600);
    let then = Some(file(&all[..550]));
    let changing = Changing { now: Cursor::new(file(&all)), then, fails: true };
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
    let changing = Changing { now: Cursor::new(file(&notes(500))), then: Some(file(&then)), fails: false };
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
    // A line that is no object, too.
    let outcome = repository.import(Import::new(), Cursor::new(b"{\"type\":\"note\"".to_vec())).await;
    assert_eq!((kind(outcome), told().len()), (ErrorKind::Invalid, 4));
    let twice = [line("note", "twice"), line("note", "twice")];
    assert_eq!(kind(try_import(&repository, Import::new(), &twice).await), ErrorKind::Invalid);
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
    // The first operation of every bulk meets a busy server, however often it is repeated: one of the first batch, at which the
    // import stops.
    let summary = import(store.repository(), Import::new(), &notes(600)).await;
    let named: Vec<_> = summary.errors.iter().map(|problem| (problem.line, problem.kind)).collect();
    assert_eq!((summary.success, summary.success_count + named.len() as u64), (false, 500), "{summary:?}");
    assert_eq!((summary.stopped_at_line, context.documents("things").await), (Some(501), summary.success_count));
    assert!(!named.is_empty() && named.iter().all(|(line, kind)| *line <= 500 && *kind == "unavailable"), "{named:?}");
}
