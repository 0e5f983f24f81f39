//! The client of the real server: repetitions, lost answers, complete errors.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libtest_mimic::Trial;
use saved_objects::cluster::{
    AliasAction, BulkAction, BulkOperation, BulkRequest, CloneIndex, Cluster, ClusterErrorKind, CreateIndex, Elastic,
    Gone, IndexPurpose, ItemErrorKind, ItemOutcome, Refresh, SequenceNumber,
};
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::{Error, ErrorKind};
use serde_json::json;

use crate::clock::ImpatientClock;
use crate::context::Context;
use crate::proxy::{Fault, Proxy};
use crate::{named_trials, trials_without_cluster};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let on_the_server = named_trials!(
        url,
        a_server_that_answers_503_for_20_seconds_is_given_up,
        a_passing_503_is_outlived,
        an_answer_that_is_not_from_elasticsearch_says_nothing_of_documents,
        a_bulk_whose_answer_was_lost_is_settled,
        what_was_done_is_settled_whatever_was_answered,
        changes_of_indices_are_settled_whatever_was_answered,
        a_bulk_whose_request_was_lost_is_repeated,
        a_change_by_others_after_a_lost_answer_leaves_the_outcome_unknown,
        lost_answers_of_index_changes_are_settled,
        a_copy_whose_answers_were_lost_is_settled,
        every_item_of_a_bulk_is_answered,
        a_missing_alias_creates_no_index,
        what_a_block_or_a_limit_refuses_is_told_as_that,
    );
    let without_cluster = trials_without_cluster!(a_server_that_is_not_there_is_named_with_its_hint,);
    on_the_server.into_iter().chain(without_cluster).collect()
}

fn impatient(url: &str) -> (Arc<ImpatientClock>, Elastic) {
    let clock = Arc::new(ImpatientClock::default());
    let environment = Environment::new(clock.clone(), Arc::new(SystemRng));
    (clock, Elastic::builder(url).environment(environment).build().expect("a good URL"))
}

async fn create(cluster: &dyn Cluster, context: &Context) -> String {
    let name = format!("{}-index", context.prefix);
    let alias = format!("{name}-write");
    let mapping = json!({"dynamic": "strict", "properties": {"n": {"type": "long"}}});
    let request = CreateIndex {
        name,
        mapping,
        aliases: vec![alias.clone()],
        purpose: IndexPurpose::Serving,
        settings: Default::default(),
    };
    cluster.create_index(&request).await.expect("the index is created");
    alias
}

fn operation(id: &str, action: BulkAction) -> BulkOperation {
    BulkOperation { id: id.to_owned(), action }
}

fn source(n: i64) -> Bytes {
    Bytes::from(json!({ "n": n }).to_string())
}

async fn write(cluster: &dyn Cluster, alias: &str, operations: &[BulkOperation]) -> Vec<ItemOutcome> {
    let request = BulkRequest { alias, operations, refresh: Refresh::Later };
    cluster.bulk(&request).await.expect("the bulk is answered")
}

async fn a_server_that_is_not_there_is_named_with_its_hint(_: Context) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let (clock, cluster) = impatient(&format!("http://{free}"));
    let error = Error::from(cluster.indices(&["any"]).await.expect_err("nobody listens"));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.contains("GET any") && text.contains("attempts=") && text.contains("refused"), "{text}");
    assert!(text.contains("check that Elasticsearch runs"), "{text}");
    assert!(clock.slept() > Duration::from_secs(5), "it tried for a while: {:?}", clock.slept());
}

async fn a_server_that_answers_503_for_20_seconds_is_given_up(context: Context) {
    let proxy = Proxy::start(&context.url, |_, _| Fault::Status(503)).await;
    let (clock, cluster) = impatient(proxy.url());
    let error = Error::from(cluster.indices(&["any"]).await.expect_err("503"));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("status=503"), "{error}");
    assert!(clock.slept() <= Duration::from_secs(15), "{:?}", clock.slept());
    assert!(proxy.seen().len() > 3, "{:?}", proxy.seen());
}

async fn a_passing_503_is_outlived(context: Context) {
    let proxy = Proxy::start(&context.url, |_, before| if before < 2 { Fault::Status(503) } else { Fault::None }).await;
    let (_, cluster) = impatient(proxy.url());
    assert!(cluster.max_content_length().await.expect("the third attempt is answered") > 0);
    assert_eq!(proxy.seen().len(), 3);
}

async fn an_answer_that_is_not_from_elasticsearch_says_nothing_of_documents(context: Context) {
    for status in [200, 302, 400, 404, 500] {
        let proxy = Proxy::start(&context.url, move |_, _| Fault::Foreign(status)).await;
        let (_, cluster) = impatient(proxy.url());
        let error = cluster.get("any", "1").await.expect_err("an answer of a proxy is not a missing document");
        assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("does not come from Elasticsearch"), "{error}");
        assert!(proxy.seen().len() > 3, "it is repeated: {:?}", proxy.seen());
    }
}

/// Faults after which the client does not know that the write was done.
pub(crate) const DONE_BUT: [Fault; 8] = [
    Fault::DoneButStatus(500),
    Fault::DoneButStatus(408),
    Fault::DoneButStatus(503),
    Fault::DoneButForeign(200),
    Fault::DoneButForeign(302),
    Fault::DoneButForeign(404),
    Fault::DoneButForeign(500),
    Fault::DoneButGarbled,
];

async fn what_was_done_is_settled_whatever_was_answered(context: Context) {
    for (number, fault) in (0..).zip(DONE_BUT) {
        let context =
            Context { prefix: format!("{}-{number}", context.prefix).parse().expect("a prefix"), ..context.clone() };
        let proxy = Proxy::start(&context.url, move |seen, _| if seen.is_write() { fault } else { Fault::None }).await;
        let alias = create(context.cluster().as_ref(), &context).await;
        let (_, cluster) = impatient(proxy.url());
        let written = write(&cluster, &alias, &[operation("1", BulkAction::Create { source: source(1) })]).await;
        let read = written[0].clone().unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        assert_eq!(read, SequenceNumber { seq_no: 0, primary_term: 1 }, "{fault:?}");
        let replaced =
            write(&cluster, &alias, &[operation("1", BulkAction::Replace { source: source(2), read })]).await;
        let read = replaced[0].clone().unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        assert_eq!(read, SequenceNumber { seq_no: 1, primary_term: 1 }, "{fault:?}");
        let bulks = proxy.seen().iter().filter(|seen| seen.contains("/_bulk?")).count();
        assert_eq!(bulks, 2, "{fault:?}: nothing is sent twice that was done");
    }
}

/// The proxy replaces the first answer to each change.
async fn changes_of_indices_are_settled_whatever_was_answered(context: Context) {
    for (number, fault) in (0..).zip(DONE_BUT) {
        let context =
            Context { prefix: format!("{}-{number}", context.prefix).parse().expect("a prefix"), ..context.clone() };
        let proxy = Proxy::start(
            &context.url,
            move |seen, before| {
                if seen.is_write() && before == 0 { fault } else { Fault::None }
            },
        )
        .await;
        let (_, cluster) = impatient(proxy.url());
        let alias = create(&cluster, &context).await;
        let (index, target) = (format!("{}-index", context.prefix), format!("{}-clone", context.prefix));
        cluster.put_mapping(&index, &json!({"properties": {"m": {"type": "long"}}})).await.expect("mapped");
        cluster.add_write_block(&index).await.expect("blocked");
        let clone =
            CloneIndex { source: index.clone(), target: target.clone(), aliases: vec![], settings: Default::default() };
        cluster.clone_index(&clone).await.expect("cloned");
        cluster.remove_write_block(&index).await.expect("unblocked");
        let swapped = [
            AliasAction::Add { index: target.clone(), alias: alias.clone() },
            AliasAction::RemoveIndex { index: index.clone() },
        ];
        cluster.update_aliases(&swapped).await.expect("swapped");
        let found = cluster.indices(&[&index, &target]).await.expect("answered");
        assert!(found.len() == 1 && found[&target].aliases.contains_key(&alias), "{fault:?}: {found:?}");
        cluster.delete_index(&target).await.expect("deleted");
        assert_eq!(cluster.indices(&[&target]).await.expect("answered").len(), 0);
    }
}

async fn a_bulk_whose_answer_was_lost_is_settled(context: Context) {
    let alias = create(context.cluster().as_ref(), &context).await;
    let proxy = Proxy::start(&context.url, |seen, before| {
        if seen.path.contains("/_bulk?") && before % 2 == 0 { Fault::LoseAnswer } else { Fault::None }
    })
    .await;
    let (_, cluster) = impatient(proxy.url());
    let created = write(&cluster, &alias, &[operation("1", BulkAction::Create { source: source(1) })]).await;
    let read = created[0].clone().expect("it was done, and reading back tells");
    let stored = cluster.get(&alias, "1").await.expect("answered").expect("stored");
    assert_eq!(stored.sequence, read);

    let bulks = |proxy: &Proxy| proxy.seen().iter().filter(|seen| seen.contains("/_bulk?")).count();
    assert_eq!(bulks(&proxy), 1, "nothing is sent twice that was done: {:?}", proxy.seen());
    let deleted = {
        // The second bulk is delivered, the third loses its answer.
        let replaced =
            write(&cluster, &alias, &[operation("1", BulkAction::Replace { source: source(2), read })]).await;
        let read = replaced[0].clone().expect("answered");
        write(&cluster, &alias, &[operation("1", BulkAction::Delete { read, gone: Gone::Done })]).await
    };
    assert!(deleted[0].is_ok(), "{deleted:?}");
    assert!(cluster.get(&alias, "1").await.expect("answered").is_none());
}

async fn a_bulk_whose_request_was_lost_is_repeated(context: Context) {
    let alias = create(context.cluster().as_ref(), &context).await;
    let proxy = Proxy::start(&context.url, |seen, before| {
        if seen.path.contains("/_bulk?") && before == 0 { Fault::LoseRequest } else { Fault::None }
    })
    .await;
    let (_, cluster) = impatient(proxy.url());
    let outcomes = write(&cluster, &alias, &[operation("1", BulkAction::Create { source: source(1) })]).await;
    assert_eq!(outcomes, [Ok(SequenceNumber { seq_no: 0, primary_term: 1 })]);
}

async fn a_change_by_others_after_a_lost_answer_leaves_the_outcome_unknown(context: Context) {
    let direct = context.cluster();
    let alias = create(direct.as_ref(), &context).await;
    let first = write(direct.as_ref(), &alias, &[operation("1", BulkAction::Create { source: source(1) })]).await;
    let read = first[0].clone().expect("created");
    // The replacement never arrives, and another process replaces the document before the client reads it back. The
    // proxy does both at the moment at which it loses the request.
    let url = context.url.clone();
    let path = format!("/{alias}/_doc/1");
    let proxy = Proxy::start(&context.url, move |seen, _| {
        if !seen.path.contains("/_bulk?") {
            return Fault::None;
        }
        let (url, path) = (url.clone(), path.clone());
        let other = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let body = Some(json!({ "n": 99 }));
            runtime.block_on(crate::server::send(&url, crate::server::Request { method: "PUT", path: &path, body }))
        });
        other.join().expect("the other one writes");
        Fault::LoseRequest
    })
    .await;
    let (_, cluster) = impatient(proxy.url());
    let replaced = write(&cluster, &alias, &[operation("1", BulkAction::Replace { source: source(2), read })]).await;
    assert_eq!(replaced[0].as_ref().expect_err("nobody can tell").kind, ItemErrorKind::OutcomeUnknown);
}

async fn lost_answers_of_index_changes_are_settled(context: Context) {
    let proxy = Proxy::start(&context.url, |seen, before| {
        if matches!(seen.method.as_str(), "PUT" | "POST") && before == 0 { Fault::LoseAnswer } else { Fault::None }
    })
    .await;
    let (_, cluster) = impatient(proxy.url());
    let alias = create(&cluster, &context).await;
    let index = format!("{}-index", context.prefix);
    let swapped = [
        AliasAction::Remove { index: index.clone(), alias: alias.clone() },
        AliasAction::Add { index: index.clone(), alias: format!("{alias}-2") },
    ];
    cluster.update_aliases(&swapped).await.expect("the second attempt finds it done");
    let aliases = cluster.indices(&[&index]).await.expect("answered").remove(&index).expect("there").aliases;
    assert_eq!(aliases.into_keys().collect::<Vec<_>>(), [format!("{alias}-2")]);

    let other = CreateIndex {
        name: index,
        mapping: json!({"_meta": {"other": 1}}),
        aliases: vec![],
        purpose: IndexPurpose::Serving,
        settings: Default::default(),
    };
    let error = cluster.create_index(&other).await.expect_err("another index has the name");
    assert_eq!(error.kind, ClusterErrorKind::IndexExists);
}

async fn a_copy_whose_answers_were_lost_is_settled(context: Context) {
    let proxy = Proxy::start(&context.url, |seen, before| {
        let is_lost = ["_block", "_clone", "_settings", "_bulk"].iter().any(|api| seen.path.contains(api));
        if is_lost && before == 0 { Fault::LoseAnswer } else { Fault::None }
    })
    .await;
    let (_, cluster) = impatient(proxy.url());
    let alias = create(&cluster, &context).await;
    let put = |n| operation("1", BulkAction::Put { source: source(n) });
    for n in [1, 2] {
        write(&cluster, &alias, &[put(n)]).await[0].clone().expect("a lost answer is read back, a document replaced");
    }
    let (index, target) = (format!("{}-index", context.prefix), format!("{}-clone", context.prefix));
    let clone = CloneIndex {
        source: index.clone(),
        target: target.clone(),
        aliases: vec![format!("{target}-write")],
        settings: Default::default(),
    };
    let error = cluster.clone_index(&clone).await.expect_err("the source takes writes");
    assert_eq!(error.kind, ClusterErrorKind::NotWriteBlocked);
    cluster.add_write_block(&index).await.expect("blocked");
    cluster.clone_index(&clone).await.expect("the second attempt finds the clone");
    assert_eq!(cluster.write_count(&target).await.expect("counted"), 2);
    let refused = write(&cluster, &alias, &[put(3)]).await;
    assert_eq!(refused[0].as_ref().expect_err("blocked").kind, ItemErrorKind::WriteBlocked);
    cluster.remove_write_block(&index).await.expect("unblocked");
    write(&cluster, &alias, &[put(3)]).await[0].clone().expect("the block is gone");
    write(&cluster, &format!("{target}-write"), &[put(4)]).await[0].clone().expect("the clone has no block");
}

async fn every_item_of_a_bulk_is_answered(context: Context) {
    let cluster = context.cluster();
    let alias = create(cluster.as_ref(), &context).await;
    let nowhere = SequenceNumber { seq_no: 77, primary_term: 1 };
    let refused = Bytes::from(json!({ "unknown": "SECRET" }).to_string());
    let mistyped = Bytes::from(json!({ "n": "SECRET" }).to_string());
    let outcomes = write(
        cluster.as_ref(),
        &alias,
        &[
            operation("1", BulkAction::Create { source: source(1) }),
            operation("2", BulkAction::Create { source: refused }),
            operation("3", BulkAction::Create { source: mistyped }),
            operation("1", BulkAction::Create { source: source(2) }),
            operation("1", BulkAction::Replace { source: source(2), read: nowhere }),
            operation("4", BulkAction::Delete { read: nowhere, gone: Gone::Done }),
        ],
    )
    .await;
    let kinds: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().err().map(|error| error.kind)).collect();
    use ItemErrorKind::{Conflict, MappingRefused};
    assert_eq!(
        kinds,
        [None, Some(MappingRefused), Some(MappingRefused), Some(Conflict), Some(Conflict), Some(Conflict)],
        "{outcomes:?}"
    );
    assert!(!format!("{outcomes:?}").contains("SECRET"), "{outcomes:?}");
}

async fn a_missing_alias_creates_no_index(context: Context) {
    let cluster = context.cluster();
    let name = format!("{}-nowhere", context.prefix);
    let outcomes = write(cluster.as_ref(), &name, &[operation("1", BulkAction::Create { source: source(1) })]).await;
    assert_eq!(outcomes[0].as_ref().expect_err("refused").kind, ItemErrorKind::AliasMissing);
    assert!(cluster.indices(&[&name]).await.expect("answered").is_empty());
    let error = cluster.get(&name, "1").await.expect_err("no index is not no document");
    assert_eq!(error.kind, ClusterErrorKind::IndexNotFound);
}

async fn what_a_block_or_a_limit_refuses_is_told_as_that(context: Context) {
    let cluster = context.cluster();
    let alias = create(cluster.as_ref(), &context).await;
    let index = format!("{}-index", context.prefix);
    let mapping = json!({"properties": {"m": {"type": "long"}}});
    let creates = [operation("1", BulkAction::Create { source: source(1) })];
    let block = async |name: &str, value: serde_json::Value| {
        let setting = json!({ format!("index.blocks.{name}"): value });
        context.raw("PUT", &format!("/{index}/_settings"), Some(setting)).await;
    };
    // The server omits its header in these refusals.
    for name in ["read_only", "metadata"] {
        block(name, json!(true)).await;
        let error = cluster.put_mapping(&index, &mapping).await.expect_err(name);
        assert_eq!((error.kind, error.status), (ClusterErrorKind::Blocked, Some(403)), "{error}");
        let error = Error::from(cluster.delete_index(&index).await.expect_err(name));
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        assert!(error.to_string().contains(&format!("{{\"index.blocks.{name}\":null}}")), "{error}");
        if name == "read_only" {
            let refused = write(cluster.as_ref(), &alias, &creates).await;
            assert_eq!(refused[0].as_ref().expect_err(name).kind, ItemErrorKind::WriteBlocked);
        }
        block(name, json!(null)).await;
    }
    block("read", json!(true)).await;
    assert_eq!(cluster.get(&index, "1").await.expect_err("blocked").kind, ClusterErrorKind::Blocked);
    block("read", json!(null)).await;
    // As on a full disk: the condition may pass.
    block("read_only_allow_delete", json!(true)).await;
    let (_, impatient) = impatient(&context.url);
    let refused = write(&impatient, &alias, &creates).await;
    assert_eq!(refused[0].as_ref().expect_err("blocked").kind, ItemErrorKind::Unavailable, "{refused:?}");
    block("read_only_allow_delete", json!(null)).await;

    let many: serde_json::Map<_, _> = (0..1_500).map(|n| (format!("f{n}"), json!({"type": "long"}))).collect();
    let error = cluster.put_mapping(&index, &json!({ "properties": many })).await.expect_err("too many");
    assert_eq!(error.kind, ClusterErrorKind::FieldLimit, "{error}");
    assert!(Error::from(error).to_string().contains("index.mapping.total_fields.limit"));
    let error = cluster.put_mapping(&index, &json!({"properties": {"n": {"type": "keyword"}}})).await;
    assert_eq!(error.expect_err("another type").kind, ClusterErrorKind::MappingRefused);

    context.raw("POST", &format!("/{index}/_close"), None).await;
    assert_eq!(cluster.get(&index, "1").await.expect_err("closed").kind, ClusterErrorKind::IndexClosed);
    assert_eq!(cluster.get_many(&index, &["1"]).await.expect_err("closed").kind, ClusterErrorKind::IndexClosed);
    let refused = write(cluster.as_ref(), &alias, &creates).await;
    assert_eq!(refused[0].as_ref().expect_err("closed").kind, ItemErrorKind::WriteBlocked, "{refused:?}");
}
