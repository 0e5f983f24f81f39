//! What an export follows, omits and reports.

use std::sync::Arc;

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::document::{Namespace, Reference};
use saved_objects::repository::{
    Action, AuditOutcome, Authorization, ChangeNamespaces, Create, Export, ExportSummary, Filter, Find, NamedObject,
    ObjectKey, RecordingAudit, Repository,
};
use saved_objects::{ErrorKind, Start};
use serde_json::{Value, json};

use super::{key, kind, object, put, refresh, store_of, types};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        references_are_followed_from_where_they_are_seen,
        a_reference_that_leads_nowhere_fails_nothing,
        an_id_that_others_write_fails_nothing,
        what_must_not_be_exported_is_left_out_and_named,
        no_object_is_written_twice,
        an_export_that_breaks_off_was_given_up,
        large_objects_come_a_few_at_a_time,
    )
}

async fn repository(context: &Context) -> Repository {
    store_of(context, types::all_exportable(), Start::Migrate).await.0.repository().clone()
}

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).expect("a name")
}

fn at(type_name: &str, id: &str, name: &str) -> ObjectKey {
    key(type_name, id).in_namespace(namespace(name))
}

async fn create(repository: &Repository, key: &ObjectKey, refers_to: &[(&str, &str)]) {
    let reference = |(type_name, id): &(&str, &str)| Reference {
        name: "it".to_owned(),
        type_name: (*type_name).to_owned(),
        id: (*id).to_owned(),
    };
    let title = format!("{key} in {}", key.namespace);
    let request = Create::new(&key.type_name, object(json!({"title": title})))
        .id(&key.id)
        .namespace(key.namespace.clone())
        .references(refers_to.iter().map(reference).collect());
    repository.create(request).await.expect("created");
}

async fn export(repository: &Repository, request: Export) -> (Vec<String>, ExportSummary) {
    let mut bytes = Vec::new();
    let summary = repository.export(request.without_summary(), &mut bytes).await.expect("exported");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut titles: Vec<String> =
        lines.map(|line| line["attributes"]["title"].as_str().expect("a title").to_owned()).collect();
    titles.sort();
    (titles, summary)
}

async fn references_are_followed_from_where_they_are_seen(context: Context) {
    let repository = repository(&context).await;
    for name in ["default", "ops"] {
        create(&repository, &at("page", "a", name), &[("page", "b"), ("board", "c"), ("note", "n")]).await;
        create(&repository, &at("page", "b", name), &[("page", "a")]).await;
    }
    create(&repository, &at("board", "c", "ops"), &[]).await;
    create(&repository, &key("note", "n"), &[]).await;
    let everything = ["board/c in ops", "note/n in default", "page/a in default", "page/a in ops", "page/b in default"];
    let everything: Vec<&str> = everything.into_iter().chain(["page/b in ops"]).collect();
    let named = Export::objects([at("page", "a", "default"), at("page", "a", "ops")]).references();
    let (titles, summary) = export(&repository, named).await;
    assert_eq!(titles, everything);
    // The board is not seen from the default namespace.
    let board = NamedObject { type_name: "board".to_owned(), id: "c".to_owned() };
    assert_eq!((summary.exported_count, summary.missing_references), (6, vec![board]));
    refresh(&context).await;
    let found = Export::found(["page"], Find::new().namespaces([Namespace::DEFAULT, namespace("ops")])).references();
    assert_eq!(export(&repository, found).await.0, everything);

    // An object that is seen from several namespaces refers to one that is seen from the namespace of the export.
    create(&repository, &at("board", "shared", "default"), &[("page", "b")]).await;
    let shared = ChangeNamespaces::new([at("board", "shared", "default")]).add(namespace("ops"));
    assert!(repository.change_namespaces(shared).await.expect("answered").iter().all(Result::is_ok));
    refresh(&context).await;
    for name in ["default", "ops"] {
        let found =
            Find::new().namespaces([namespace(name)]).filter(Filter::equals("title", "board/shared in default"));
        let (titles, _) = export(&repository, Export::found(["board"], found).references()).await;
        let pages: Vec<&String> = titles.iter().filter(|title| title.starts_with("page")).collect();
        assert_eq!(pages, [&format!("page/a in {name}"), &format!("page/b in {name}")]);
        assert!(titles.contains(&"board/shared in default".to_owned()), "{titles:?}");
    }
}

async fn a_reference_that_leads_nowhere_fails_nothing(context: Context) {
    let repository = repository(&context).await;
    let too_long = "x".repeat(600);
    let nowhere = [
        ("page", ""),
        ("page", "a/b"),
        ("page", too_long.as_str()),
        ("nothing", "x"),
        ("badge", "b"),
        ("page", "gone"),
    ];
    // Other software may have written this: this library refuses the first reference.
    let references: Vec<Value> =
        nowhere.iter().map(|(type_name, id)| json!({"name": "it", "type": type_name, "id": id})).collect();
    put(&context, "things", "note:n", json!({"type": "note", "note": {"title": "t"}, "references": references})).await;
    let (titles, summary) = export(&repository, Export::objects([key("note", "n")]).references()).await;
    assert_eq!((titles.len(), summary.missing_ref_count, summary.excluded_objects_count), (1, 6, 0), "{summary:?}");
    // The caller who names such an object gets an error.
    for refused in [key("page", ""), key("nothing", "x"), key("badge", "b")] {
        let outcome = repository.export(Export::objects([key("note", "n"), refused]), &mut Vec::new()).await;
        assert_eq!(kind(outcome), ErrorKind::Invalid);
    }
}

/// Allows everything except one type.
#[derive(Debug)]
struct AllBut(&'static str);

#[async_trait]
impl Authorization for AllBut {
    async fn allows(&self, _action: Action, type_name: &str, _namespace: &Namespace) -> bool {
        type_name != self.0
    }
}

async fn an_id_that_others_write_fails_nothing(context: Context) {
    let repository = repository(&context).await;
    create(&repository, &key("page", "b"), &[]).await;
    let references = json!([{"name": "it", "type": "page", "id": "b"}]);
    let source = json!({"type": "page", "page": {"title": "page/a/b"}, "references": references});
    put(&context, "things", "page:a/b", source).await;
    refresh(&context).await;
    let found = Export::found(["page"], Find::new().filter(Filter::equals("title", "page/a/b"))).references();
    let (titles, summary) = export(&repository, found).await;
    assert_eq!((titles, summary.missing_ref_count), (vec!["page/a/b".to_owned(), "page/b in default".to_owned()], 0));
}

async fn what_must_not_be_exported_is_left_out_and_named(context: Context) {
    let open = repository(&context).await;
    create(&open, &key("note", "a"), &[("page", "secret"), ("note", "b")]).await;
    create(&open, &key("note", "b"), &[]).await;
    create(&open, &key("page", "secret"), &[]).await;
    let repository = open.authorized_by(Arc::new(AllBut("page")));
    let (titles, summary) = export(&repository, Export::objects([key("note", "a")]).references()).await;
    assert_eq!(titles, ["note/a in default", "note/b in default"]);
    assert_eq!((summary.excluded_objects_count, summary.excluded_objects[0].id.as_str()), (1, "page:secret"));
    let mut bytes = Vec::new();
    let named = Export::objects([key("note", "a"), key("page", "secret")]);
    assert_eq!(kind(repository.export(named, &mut bytes).await), ErrorKind::Forbidden);
    assert!(bytes.is_empty(), "nothing was written");
}

async fn no_object_is_written_twice(context: Context) {
    let repository = repository(&context).await;
    create(&repository, &at("board", "b", "ops"), &[("board", "b"), ("note", "n")]).await;
    create(&repository, &key("note", "n"), &[("board", "b")]).await;
    let twice = [at("board", "b", "ops"), key("note", "n"), key("note", "n"), at("note", "n", "ops")];
    for request in [Export::objects(twice.clone()), Export::objects(twice).references()] {
        let (titles, summary) = export(&repository, request).await;
        assert_eq!(
            (titles, summary.exported_count),
            (vec!["board/b in ops".to_owned(), "note/n in default".to_owned()], 2)
        );
    }
}

/// A writer that accepts nothing.
#[derive(Debug)]
struct Full;

impl tokio::io::AsyncWrite for Full {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        _: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Err(std::io::Error::other("the disk is full")))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Err(std::io::Error::other("the disk is full")))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        self.poll_flush(context)
    }
}

async fn an_export_that_breaks_off_was_given_up(context: Context) {
    let audit = RecordingAudit::default();
    let open = repository(&context).await;
    // More than the export buffers before it writes.
    let large = |id: &str| Create::new("note", object(json!({"title": "t", "free": "x".repeat(20_000)}))).id(id);
    for id in ["a", "b"] {
        open.create(large(id)).await.expect("created");
    }
    let repository = open.audited_by(Arc::new(audit.clone()));
    let error = repository.export(Export::objects([key("note", "a"), key("note", "b")]), Full).await;
    assert_eq!(kind(error), ErrorKind::Unavailable);
    let told: Vec<_> = audit.events().iter().map(|event| (event.id.clone(), event.outcome)).collect();
    let id = |id: &str| Some(id.to_owned());
    for (id, outcome) in [(id("a"), AuditOutcome::GivenUp), (id("b"), AuditOutcome::GivenUp)] {
        assert!(told.contains(&(id, outcome)), "{told:?}");
    }
    refresh(&context).await;
    let before = audit.events().len();
    assert_eq!(kind(repository.export(Export::found(["note"], Find::new()), Full).await), ErrorKind::Unavailable);
    let told: Vec<_> = audit.events()[before..].iter().map(|event| event.outcome).collect();
    assert_eq!(told, [AuditOutcome::Admitted, AuditOutcome::Failed(ErrorKind::Unavailable)]);
}

async fn large_objects_come_a_few_at_a_time(context: Context) {
    let (store, cluster) = store_of(&context, types::all_exportable(), Start::Migrate).await;
    let repository = store.repository();
    let free = "x".repeat(100 << 10);
    let large = |n: usize| Create::new("note", object(json!({"title": "t", "free": free}))).id(format!("n{n}"));
    assert!(repository.create_many((0..250).map(large)).await.iter().all(Result::is_ok));
    refresh(&context).await;
    let before = cluster.requests().reads;
    let (titles, summary) = export(repository, Export::found(["note"], Find::new())).await;
    assert_eq!((titles.len(), summary.exported_count), (250, 250));
    // The first page has one object, because their size is not known yet, the second ten, and each later page forty.
    let requests = cluster.requests().reads - before;
    assert!((8..=12).contains(&requests), "{requests} requests");
}
