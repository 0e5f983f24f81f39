//! Tests of the client over a transport with scripted answers: how each answer is understood, without a server.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;

use super::{Elastic, HttpAnswer, HttpRequest, NoAnswer, NoAnswerKind, Transport};
use crate::Error;
use crate::cluster::{
    AliasAction, BulkAction, BulkOperation, BulkRequest, CloneIndex, Cluster, ClusterErrorKind, CreateIndex,
    IndexPurpose, ItemErrorKind, ItemOutcome, Refresh, SequenceNumber,
};
use crate::environment::set_clock::SetClock;
use crate::environment::{Clock, Environment, SystemRng};

/// The server's answer to one request whose path contains a text.
type Step = (&'static str, HttpAnswer);

/// A transport that answers a test's requests in order. It repeats the last step.
#[derive(Debug)]
struct Scripted {
    steps: Mutex<VecDeque<Step>>,
    sent: Mutex<Vec<HttpRequest>>,
}

#[async_trait]
impl Transport for Scripted {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, NoAnswer> {
        let mut steps = self.steps.lock().expect("no test panics with the lock");
        let step = if steps.len() > 1 { steps.pop_front() } else { steps.front().cloned() };
        let (path, answer) = step.expect("a step");
        assert!(request.path.contains(path), "{} was sent where {path} was due", request.path);
        self.sent.lock().expect("no test panics with the lock").push(request);
        match answer.status {
            0 => Err(NoAnswer { kind: NoAnswerKind::Lost, source: Box::new(io::Error::other("lost")) }),
            1 => Err(NoAnswer { kind: NoAnswerKind::NotConnected, source: Box::new(io::Error::other("refused")) }),
            _ => Ok(answer),
        }
    }
}

impl Scripted {
    fn sent(&self) -> usize {
        self.sent.lock().expect("no test panics with the lock").len()
    }

    fn bulks(&self) -> Vec<usize> {
        let sent = self.sent.lock().expect("no test panics with the lock");
        let bulks = sent.iter().filter(|request| request.path.ends_with("_bulk"));
        bulks.map(|request| request.body.as_ref().map_or(0, Bytes::len)).collect()
    }
}

fn client(steps: impl IntoIterator<Item = Step>) -> (Arc<Scripted>, Elastic) {
    let script = Arc::new(Scripted { steps: Mutex::new(steps.into_iter().collect()), sent: Mutex::default() });
    let environment = Environment::new(Arc::new(SetClock::default()), Arc::new(SystemRng));
    let elastic = Elastic::builder("").transport(script.clone()).environment(environment).build();
    (script, elastic.expect("a client"))
}

fn answer(status: u16, body: impl ToString) -> HttpAnswer {
    let body = Bytes::from(body.to_string());
    HttpAnswer { status, is_elasticsearch: true, retry_after: None, body }
}

/// Loads an answer that was recorded from the server.
fn recorded(name: &str) -> HttpAnswer {
    let file = format!("{}/tests/fixtures/answers/{name}.http", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(file).expect("a recorded answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let is_elasticsearch = head.to_ascii_lowercase().contains("x-elastic-product: elasticsearch");
    HttpAnswer { is_elasticsearch, ..answer(status, body) }
}

#[tokio::test]
async fn a_shard_that_starts_is_waited_for() {
    let shard = |stats: serde_json::Value| answer(200, json!({"indices": {"made": {"shards": {"0": [stats]}}}}));
    let starting = shard(json!({"routing": {"primary": true}}));
    let started = shard(json!({"routing": {"primary": true}, "seq_no": {"max_seq_no": 6}}));
    let nothing = answer(200, json!({}));
    let (script, elastic) = client([("_stats", nothing), ("_stats", starting.clone()), ("_stats", started)]);
    assert_eq!(elastic.write_count("made").await.expect("counted"), 7);
    assert_eq!(script.sent(), 3);
    let (_, elastic) = client([("_stats", starting)]);
    let error = elastic.write_count("made").await.expect_err("it never starts");
    assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_server_that_was_never_reached_is_given_up_sooner() {
    let (nothing, lost, busy) = (answer(1, ""), answer(0, ""), answer(503, json!({})));
    let hit = answer(200, r#"{"_index":"i","_id":"1","_seq_no":7,"_primary_term":2,"found":true,"_source":{}}"#);
    let table = [
        (vec![("i/_doc/1", nothing.clone())], 3),
        // A server that is starting, and one that is gone.
        (vec![("i/_doc/1", busy), ("i/_doc/1", nothing.clone())], 10),
        (vec![("i/_doc/1", lost), ("i/_doc/1", nothing.clone())], 10),
        (
            vec![
                ("i/_doc/1", nothing.clone()),
                ("i/_doc/1", nothing.clone()),
                ("i/_doc/1", hit),
                ("i/_doc/1", nothing),
            ],
            3,
        ),
    ];
    for (steps, attempts) in table {
        let script = Arc::new(Scripted { steps: Mutex::new(steps.into_iter().collect()), sent: Mutex::default() });
        let environment = Environment::new(Arc::new(SetClock::default()), Arc::new(SystemRng));
        let builder = Elastic::builder("").transport(script.clone()).environment(environment).attempts_to_reach(3);
        let elastic = builder.build().expect("a client");
        let is_answered = elastic.get("i", "1").await.is_ok();
        assert_eq!(script.sent(), attempts);
        if is_answered {
            elastic.get("i", "1").await.expect_err("it is gone");
            assert_eq!(script.sent(), attempts + 10, "it was reached before");
        }
    }
}

/// A clock of tokio's time, which a test can advance, and which passes by itself while all tasks wait.
#[derive(Debug)]
struct Passing(tokio::time::Instant);

#[async_trait]
impl Clock for Passing {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "this is a clock")]
    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn passes_by_itself(&self) -> bool {
        true
    }
}

/// Why the first request takes longer than requests are repeated.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Pace {
    /// The process is suspended.
    Suspended,
    /// The process runs and waits.
    Waiting,
}

/// A network on which the first request takes longer than requests are repeated.
#[derive(Debug)]
struct Slow {
    script: Scripted,
    clock: Arc<Passing>,
    pace: Pace,
}

#[async_trait]
impl Transport for Slow {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, NoAnswer> {
        const LONG: Duration = Duration::from_secs(45);
        if self.script.sent() == 0 {
            match self.pace {
                Pace::Suspended => tokio::time::advance(LONG).await,
                Pace::Waiting => self.clock.sleep(LONG).await,
            }
        }
        self.script.send(request).await
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the clock begins")]
fn slow(pace: Pace, steps: &[Step]) -> Elastic {
    let script = Scripted { steps: Mutex::new(steps.iter().cloned().collect()), sent: Mutex::default() };
    let clock = Arc::new(Passing(tokio::time::Instant::now()));
    let environment = Environment::new(clock.clone(), Arc::new(SystemRng));
    let slow = Slow { script, clock, pace };
    Elastic::builder("").transport(Arc::new(slow)).environment(environment).build().expect("a client")
}

#[tokio::test(start_paused = true)]
async fn the_time_for_which_a_process_was_suspended_does_not_count() {
    let found = || answer(200, r#"{"_index":"i","_id":"1","_seq_no":7,"_primary_term":2,"found":true,"_source":{}}"#);
    let acknowledged = || answer(200, r#"{"acknowledged":true}"#);
    let busy = || item(429, "es_rejected_execution_exception", "full");
    let no_shard = {
        let error = json!({"type": "no_shard_available_action_exception", "reason": "no shard"});
        answer(200, json!({"docs": [{"_index": "i", "_id": "1", "error": error}]}))
    };
    let shard = json!({"routing": {"primary": true}, "seq_no": {"max_seq_no": 6}});
    let started = || answer(200, json!({"indices": {"made": {"shards": {"0": [shard]}}}}));
    for pace in [Pace::Suspended, Pace::Waiting] {
        let is_repeated = pace == Pace::Suspended;
        let client = |steps: &[Step]| slow(pace, steps);

        let elastic = client(&[("_doc/1", lost()), ("_doc/1", found())]);
        assert_eq!(elastic.get("i", "1").await.is_ok(), is_repeated, "{pace:?}");
        let elastic = client(&[("_mapping", lost()), ("_mapping", acknowledged())]);
        assert_eq!(elastic.put_mapping("i", &json!({})).await.is_ok(), is_repeated, "{pace:?}");
        let elastic = client(&[("_mget", no_shard.clone()), ("_mget", stored())]);
        assert_eq!(elastic.get_many("i", &["1"]).await.is_ok(), is_repeated, "{pace:?}");
        let elastic = client(&[("_stats", answer(200, json!({}))), ("_stats", started())]);
        assert_eq!(elastic.write_count("made").await.is_ok(), is_repeated, "{pace:?}");
        for steps in [
            vec![("_bulk", busy()), ("_bulk", created())],
            vec![("_bulk", lost()), ("_mget", missing()), ("_bulk", created())],
            vec![("_bulk", answer(429, "{}")), ("_bulk", created())],
        ] {
            let elastic = client(&steps);
            let outcome = create(&elastic).await;
            assert_eq!(outcome.is_ok_and(|item| item.is_ok()), is_repeated, "{pace:?} {steps:?}");
        }
    }
    let elastic = slow(Pace::Suspended, &[("_doc/1", lost())]);
    let error = elastic.get("i", "1").await.expect_err("it is never answered");
    assert!(error.attempts > 3 && error.elapsed > Duration::from_secs(45), "all of the time is told: {error}");
    assert!(error.elapsed < Duration::from_secs(65), "it ends: {error}");
}

#[tokio::test]
async fn what_was_recorded_from_the_server_is_understood() {
    let table = [
        ("400", true, ClusterErrorKind::Rejected, 1),
        ("401", false, ClusterErrorKind::Forbidden, 1),
        ("403", false, ClusterErrorKind::Forbidden, 1),
        ("403-blocked", false, ClusterErrorKind::Blocked, 1),
        ("413", false, ClusterErrorKind::TooLarge, 1),
        ("429", true, ClusterErrorKind::Unavailable, 10),
        ("429-memory", true, ClusterErrorKind::Unavailable, 10),
        ("503", true, ClusterErrorKind::OutcomeUnknown, 10),
    ];
    for (name, has_header, kind, most) in table {
        let recorded = recorded(name);
        assert_eq!(recorded.is_elasticsearch, has_header, "{name}");
        let (script, elastic) = client([("_mapping", recorded)]);
        let error = elastic.put_mapping("i", &json!({})).await.expect_err(name);
        assert_eq!(error.kind, kind, "{name}: {error}");
        assert!(script.sent() <= most && (script.sent() > 1) == (most > 1), "{name}: sent {} times", script.sent());
    }
}

/// Creates an answer from an intermediary between the client and the server.
fn foreign(status: u16, body: &str) -> HttpAnswer {
    HttpAnswer { is_elasticsearch: false, ..answer(status, body) }
}

fn lost() -> HttpAnswer {
    answer(0, "")
}

const NEW: SequenceNumber = SequenceNumber { seq_no: 7, primary_term: 2 };

/// Creates the answer to a multi-get that finds the document `{"n":1}`.
fn stored() -> HttpAnswer {
    let document = json!({"_index": "i", "_id": "1", "_version": 1, "_seq_no": 7, "_primary_term": 2, "found": true,
        "_source": {"n": 1}});
    answer(200, json!({ "docs": [document] }))
}

fn missing() -> HttpAnswer {
    answer(200, json!({"docs": [{"_index": "i", "_id": "1", "found": false}]}))
}

fn created() -> HttpAnswer {
    answer(200, json!({"items": [{"create": {"status": 201, "_seq_no": 7, "_primary_term": 2}}]}))
}

fn item(status: u16, server_type: &str, reason: &str) -> HttpAnswer {
    let error = json!({"type": server_type, "reason": reason});
    answer(200, json!({"items": [{"create": {"status": status, "error": error}}]}))
}

/// Returns the answers that leave the outcome of a write unknown.
fn unknown_answers() -> Vec<(&'static str, HttpAnswer)> {
    let failure = json!({"error": {"type": "null_pointer_exception", "reason": "oops"}, "status": 500});
    let not_found = json!({"error": {"type": "index_not_found_exception", "reason": "no such index"}, "status": 404});
    vec![
        ("no answer", lost()),
        ("500", answer(500, &failure)),
        ("408", answer(408, "{}")),
        ("502", answer(502, "{}")),
        ("503", answer(503, "{}")),
        ("504", answer(504, "{}")),
        ("500 of a proxy", foreign(500, "<html>")),
        ("404 of a proxy", foreign(404, "<html>")),
        ("404 of another server", foreign(404, &not_found.to_string())),
        ("400 of a proxy", foreign(400, "<html>")),
        ("403 of a firewall", foreign(403, "<html>")),
        ("302 of a proxy", foreign(302, "")),
        ("200 of a login page", foreign(200, "<html>")),
        ("200 that is garbage", answer(200, "<html>")),
        ("200 that is cut", answer(200, r#"{"items":[{"create":{"status":201,"#)),
        ("200 that is something else", answer(200, r#"{"acknowledged":true}"#)),
        ("200 for fewer operations", answer(200, r#"{"items":[]}"#)),
    ]
}

async fn create(elastic: &Elastic) -> Result<ItemOutcome, crate::cluster::ClusterError> {
    let operations = [operation("1", r#"{"n":1}"#)];
    let request = BulkRequest { alias: "w", operations: &operations, refresh: Refresh::Later };
    elastic.bulk(&request).await.map(|mut outcomes| outcomes.remove(0))
}

fn operation(id: &str, source: &str) -> BulkOperation {
    BulkOperation { id: id.to_owned(), action: BulkAction::Create { source: source.to_owned().into() } }
}

#[tokio::test]
async fn a_write_that_was_done_is_settled_whatever_was_answered() {
    for (what, unclear) in unknown_answers() {
        let (script, elastic) = client([("_bulk", unclear), ("_mget", stored())]);
        assert_eq!(create(&elastic).await.expect(what), Ok(NEW), "{what}");
        assert_eq!(script.sent(), 2, "{what}: nothing is sent twice that was done");
    }
}

#[tokio::test]
async fn a_write_that_was_not_done_is_repeated_whatever_was_answered() {
    for (what, unclear) in unknown_answers() {
        let (script, elastic) = client([("_bulk", unclear), ("_mget", missing()), ("_bulk", created())]);
        assert_eq!(create(&elastic).await.expect(what), Ok(NEW), "{what}");
        assert_eq!(script.sent(), 3, "{what}");
    }
}

#[tokio::test]
async fn a_write_that_cannot_be_read_back_is_unknown() {
    for (what, unclear) in unknown_answers() {
        let (_, elastic) = client([("_bulk", unclear), ("_mget", answer(503, "{}"))]);
        let error = create(&elastic).await.expect(what).expect_err(what);
        assert_eq!(error.kind, ItemErrorKind::OutcomeUnknown, "{what}: {error:?}");
    }
}

#[tokio::test]
async fn an_operation_whose_item_says_nothing_is_read_back() {
    let quoting = "[i][0] primary shard is not active Timeout: [1m], request: [BulkShardRequest [[i][0]] containing \
        [index {[i][1], source[{\"n\":\"SECRET\"}]}]]";
    let unclear = [
        (500, "already_closed_exception", "engine is closed"),
        (503, "unavailable_shards_exception", quoting),
        (503, "node_closed_exception", "node closed"),
        (504, "timeout_exception", ""),
        (408, "", ""),
    ];
    for (status, server_type, reason) in unclear {
        let (script, elastic) = client([("_bulk", item(status, server_type, reason)), ("_mget", stored())]);
        assert_eq!(create(&elastic).await.expect(server_type), Ok(NEW), "{server_type}");
        assert_eq!(script.sent(), 2, "{server_type}");
        let steps = [("_bulk", item(status, server_type, reason)), ("_mget", missing()), ("_bulk", created())];
        assert_eq!(create(&client(steps).1).await.expect(server_type), Ok(NEW), "{server_type}");
        let steps = [("_bulk", item(status, server_type, reason)), ("_mget", answer(503, "{}"))];
        let error = create(&client(steps).1).await.expect(server_type).expect_err(server_type);
        assert_eq!(error.kind, ItemErrorKind::OutcomeUnknown, "{error:?}");
        assert!(!error.reason.contains("SECRET"), "{error:?}");
    }
}

#[tokio::test]
async fn a_write_that_is_refused_is_sent_once() {
    let blocked = json!({"error": {"type": "cluster_block_exception",
        "reason": "blocked by: [FORBIDDEN/6/cluster read-only (api)];"}, "status": 403});
    let denied = json!({"error": {"type": "security_exception", "reason": "no"}, "status": 403});
    let not_found = json!({"error": {"type": "index_not_found_exception", "reason": "no such index"}, "status": 404});
    let table = [
        (answer(400, r#"{"error":{"type":"illegal_argument_exception","reason":"r"}}"#), ClusterErrorKind::Rejected),
        (answer(404, not_found), ClusterErrorKind::IndexNotFound),
        (foreign(401, ""), ClusterErrorKind::Forbidden),
        (foreign(407, "<html>"), ClusterErrorKind::Forbidden),
        (foreign(403, &denied.to_string()), ClusterErrorKind::Forbidden),
        (foreign(403, &blocked.to_string()), ClusterErrorKind::Blocked),
    ];
    for (refusal, kind) in table {
        // A refusal that an intermediary may have sent is believed if reading back is refused too.
        let is_read_back = matches!(refusal.status, 401 | 407);
        let read_back = is_read_back.then(|| ("_mget", refusal.clone()));
        let (script, elastic) = client([("_bulk", refusal.clone())].into_iter().chain(read_back));
        let error = create(&elastic).await.expect_err("refused");
        assert_eq!((error.kind, script.bulks().len()), (kind, 1), "{refusal:?}");
        assert_eq!(script.sent(), 1 + usize::from(is_read_back), "{refusal:?}");
    }
}

/// Elasticsearch itself sends a 413 without its header and without a body; a proxy's page is read back first.
#[tokio::test]
async fn a_bulk_that_is_answered_413_is_divided() {
    let both: HttpAnswer = answer(
        200,
        json!({"items": [{"create": {"status": 201, "_seq_no": 7, "_primary_term": 2}},
            {"create": {"status": 201, "_seq_no": 8, "_primary_term": 2}}]}),
    );
    let missing = |ids: &[&str]| {
        let docs: Vec<_> = ids.iter().map(|id| json!({"_index": "i", "_id": id, "found": false})).collect();
        answer(200, json!({ "docs": docs }))
    };
    let ids = ["1", "2", "3", "4"];
    let own = vec![("_bulk", foreign(413, "")), ("_bulk", both.clone()), ("_bulk", both.clone())];
    let proxys =
        vec![("_bulk", foreign(413, "<html>")), ("_mget", missing(&ids)), ("_bulk", both.clone()), ("_bulk", both)];
    let operations: Vec<BulkOperation> =
        ids.iter().map(|id| operation(id, r#"{"n":"a document of some length"}"#)).collect();
    let request = BulkRequest { alias: "w", operations: &operations, refresh: Refresh::Later };
    for steps in [own, proxys] {
        let (script, elastic) = client(steps);
        let outcomes = elastic.bulk(&request).await.expect("answered");
        assert!(outcomes.len() == 4 && outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        let bulks = script.bulks();
        assert!(bulks.len() == 3 && bulks[0] > bulks[1] && bulks[1] == bulks[2], "{bulks:?}");
    }

    let (script, elastic) = client([("_bulk", foreign(413, "<html>")), ("_mget", missing(&["1"]))]);
    let error = create(&elastic).await.expect("it has an answer").expect_err("too large");
    assert_eq!((error.kind, script.bulks().len()), (ItemErrorKind::TooLarge, 1), "{error:?}");
}

#[tokio::test]
async fn nothing_is_concluded_of_a_document_from_what_is_not_the_servers_answer() {
    let found = r#"{"_index":"i","_id":"1","_seq_no":7,"_primary_term":2,"found":true,"_source":{"n":1}}"#;
    for strange in [foreign(404, "{}"), foreign(404, r#"{"found":false}"#), foreign(200, "{}"), foreign(500, "<html>")]
    {
        let (script, elastic) = client([("_doc/1", strange.clone())]);
        let error = elastic.get("i", "1").await.expect_err("no answer");
        assert_eq!(error.kind, ClusterErrorKind::Unavailable, "{strange:?}");
        assert!(error.to_string().contains("does not come from Elasticsearch"), "{error}");
        assert!(script.sent() > 3 && error.attempts as usize == script.sent(), "it is repeated: {error}");

        let (_, elastic) = client([("_doc/1", strange), ("_doc/1", answer(200, found))]);
        assert_eq!(elastic.get("i", "1").await.expect("the second answer").expect("found").sequence, NEW);
    }
    let (_, elastic) = client([("_doc/1", answer(404, r#"{"_index":"i","_id":"1","found":false}"#))]);
    assert!(elastic.get("i", "1").await.expect("the server's answer").is_none());
    for odd in ["", "{}", "<html>", r#"{"error":"no handler found for uri"}"#] {
        let (_, elastic) = client([("_doc/1", answer(404, odd))]);
        let error = elastic.get("i", "1").await.expect_err("it does not say that the document is missing");
        assert_eq!(error.kind, ClusterErrorKind::Unexpected, "{odd}");
    }
}

fn create_request() -> CreateIndex {
    let mapping = json!({"_meta": {"digest": "ours"}});
    CreateIndex {
        name: "i".to_owned(),
        mapping,
        aliases: Vec::new(),
        purpose: IndexPurpose::Serving,
        settings: Default::default(),
    }
}

fn there(digest: &str) -> HttpAnswer {
    let index = json!({"aliases": {}, "mappings": {"_meta": {"digest": digest}}, "settings": {"index": {"uuid": "u"}}});
    answer(200, json!({"i": index, "source": index}))
}

#[tokio::test]
async fn changes_of_indices_are_settled_by_what_is_there() {
    let exists = json!({"error": {"type": "resource_already_exists_exception", "reason": "[i] exists"}, "status": 400});
    let snapshot =
        json!({"error": {"type": "snapshot_in_progress_exception", "reason": "Cannot delete"}, "status": 400});
    let acknowledged = || answer(200, r#"{"acknowledged":true}"#);
    let drop_index = [AliasAction::RemoveIndex { index: "gone".to_owned() }];
    let clone = CloneIndex {
        source: "source".to_owned(),
        target: "i".to_owned(),
        aliases: Vec::new(),
        settings: Default::default(),
    };
    for (what, unclear) in unknown_answers() {
        // A JSON body that is not an error is no valid answer to a bulk, but is one to these requests.
        if unclear.is_elasticsearch
            && unclear.status == 200
            && serde_json::from_slice::<serde_json::Value>(&unclear.body).is_ok()
        {
            continue;
        }
        let (_, elastic) = client([("i", unclear.clone()), ("i", answer(400, &exists)), ("i", there("ours"))]);
        elastic.create_index(&create_request()).await.expect(what);
        let (_, elastic) = client([("i", unclear.clone()), ("i", answer(400, &exists)), ("i", there("theirs"))]);
        let error = elastic.create_index(&create_request()).await.expect_err(what);
        assert_eq!(error.kind, ClusterErrorKind::IndexExists, "{what}");

        let health = answer(200, r#"{"status":"green"}"#);
        let steps = [
            ("_clone", unclear.clone()),
            ("_clone", answer(400, &exists)),
            ("source,i", there("ours")),
            ("health", health),
        ];
        client(steps).1.clone_index(&clone).await.expect(what);

        // A repeat is refused for another reason, although the first attempt succeeded.
        let (_, elastic) =
            client([("_aliases", unclear.clone()), ("_aliases", answer(400, &snapshot)), ("gone", answer(200, "{}"))]);
        elastic.update_aliases(&drop_index).await.expect(what);

        for is_mapping in [true, false] {
            let (script, elastic) = client([("i", unclear.clone()), ("i", acknowledged())]);
            match is_mapping {
                true => elastic.put_mapping("i", &json!({})).await.expect(what),
                false => elastic.add_write_block("i").await.expect(what),
            }
            assert_eq!(script.sent(), 2, "{what}");
        }
        // The only step answers every request.
        let (_, elastic) = client([("i", unclear)]);
        let error = elastic.put_mapping("i", &json!({})).await.expect_err(what);
        assert_eq!(error.kind, ClusterErrorKind::OutcomeUnknown, "{what}: {error}");
    }
}

#[tokio::test]
async fn what_a_snapshot_or_a_limit_refuses_is_told_as_that() {
    let refused = |server_type: &str, reason: &str| {
        let error = json!({"type": server_type, "reason": reason});
        answer(400, json!({"error": error, "status": 400}))
    };
    let snapshot =
        || refused("snapshot_in_progress_exception", "Cannot delete indices that are being snapshotted: [[i/x]].");
    let (script, elastic) = client([("i", snapshot())]);
    for error in [
        elastic.delete_index("i").await.expect_err("refused"),
        elastic.put_mapping("i", &json!({})).await.expect_err("refused"),
    ] {
        assert_eq!((error.kind, error.attempts), (ClusterErrorKind::SnapshotInProgress, 1));
        let error = Error::from(error);
        assert_eq!(error.kind(), crate::ErrorKind::Unavailable);
        assert!(error.to_string().contains("GET _snapshot/_status"), "{error}");
    }
    assert_eq!(script.sent(), 2, "the caller waits for the snapshot");

    let limit = refused("illegal_argument_exception", "Limit of total fields [1500] has been exceeded");
    let error = client([("i", limit)]).1.put_mapping("i", &json!({})).await.expect_err("refused");
    assert_eq!(error.kind, ClusterErrorKind::FieldLimit);
    assert!(Error::from(error).to_string().contains("index.mapping.total_fields.limit"));
    let other = refused("illegal_argument_exception", "unknown setting");
    let error = client([("i", other)]).1.put_mapping("i", &json!({})).await.expect_err("refused");
    assert_eq!(error.kind, ClusterErrorKind::Rejected, "not all that is refused is a refused mapping");
}

#[tokio::test]
async fn a_server_that_asks_for_an_age_is_not_waited_for() {
    for asked in ["18446744073709551615", "9223372036854775807", "99999999999999999999", "-1", "1e308", "soon", ""] {
        let busy = HttpAnswer { retry_after: Some(asked.to_owned()), ..recorded("429") };
        let (script, elastic) = client([("i", busy)]);
        let error = elastic.get("i", "note:1").await.expect_err(asked);
        assert_eq!(error.status, Some(429), "{asked}: {error}");
        assert_eq!(script.sent() == 1, asked.parse::<u64>().is_ok(), "{asked} is waited for, or no number");
    }
}
