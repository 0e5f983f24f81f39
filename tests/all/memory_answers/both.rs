//! A server and a cluster in memory that get the same requests, and the comparison of their answers.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use saved_objects::cluster::InMemory;
use saved_objects::cluster::elastic::{HttpAnswer, HttpRequest};
use saved_objects::cluster::memory::{RestoreOptions, Snapshot};
use saved_objects::environment::Environment;
use serde_json::{Value, json};

use crate::context::Context;

/// The version whose messages the cluster in memory uses.
const MODELLED: &str = "9.5.3";

/// Fields that differ between any two servers, and that no client reads.
const PASSED_OVER: &[&str] =
    &["took", "id", "pit_id", "_score", "max_score", "node", "nodes", "cluster_name", "root_cause", "creation_date"];

/// A server and a cluster in memory, which get the same requests.
pub(super) struct Both {
    pub(super) context: Context,
    pub(super) memory: InMemory,
    client: reqwest::Client,
    /// The server's uuids, by the uuids of the cluster in memory.
    uuids: BTreeMap<String, String>,
    /// The points in time that were opened last: the server's, and that of the cluster in memory.
    pub(super) points_in_time: [String; 2],
    compares_reasons: bool,
}

impl Both {
    pub(super) async fn new(context: Context) -> Self {
        let memory = InMemory::new(Environment::system());
        let client = reqwest::Client::new();
        let version = context.cluster().version().await.expect("the server answers");
        Self {
            context,
            memory,
            client,
            uuids: BTreeMap::new(),
            points_in_time: Default::default(),
            compares_reasons: version == MODELLED,
        }
    }

    /// Replaces names: `{a}` becomes `<prefix>-a`.
    pub(super) fn named(&self, text: &str) -> String {
        let mut named = text.to_owned();
        for name in ["a", "b", "c", "al", "bl", "nothing", "new"] {
            named = named.replace(&format!("{{{name}}}"), &format!("{}-{name}", self.context.prefix));
        }
        named
    }

    pub(super) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.context.prefix)
    }

    pub(super) async fn ask(
        &mut self,
        method: &'static str,
        path: &str,
        query: &[(&'static str, &str)],
        body: &str,
    ) -> u16 {
        let [of_server, of_memory] = self.points_in_time.clone();
        let real = self.ask_server(method, path, query, &body.replace("{pit}", &of_server)).await;
        let memory = self.memory.answer(&HttpRequest {
            method,
            path: self.named(path),
            query: query.iter().map(|&(name, value)| (name, value.to_owned())).collect(),
            content_type: content_type(path),
            body: (!body.is_empty()).then(|| Bytes::from(self.named(&body.replace("{pit}", &of_memory)))),
            timeout: Duration::from_secs(30),
        });
        let what = format!("{method} {path} {body}");
        assert_eq!(memory.status, real.status, "{what}: {memory:?} {real:?}");
        assert_eq!(memory.is_elasticsearch, real.is_elasticsearch, "{what}: {memory:?} {real:?}");
        assert_eq!(memory.retry_after, real.retry_after, "{what}");
        let parse = |answer: &HttpAnswer| serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let (memory_json, real_json) = (parse(&memory), parse(&real));
        self.compare(&what, &memory_json, &real_json);
        if path.ends_with("/_pit") {
            self.points_in_time =
                [&real_json, &memory_json].map(|answer| answer["id"].as_str().unwrap_or("").to_owned());
        }
        real.status
    }

    pub(super) async fn ask_server(&self, method: &str, path: &str, query: &[(&str, &str)], body: &str) -> HttpAnswer {
        let url = format!("{}/{}", self.context.url, self.named(path));
        let request = self.client.request(method.parse().expect("a method"), url).query(query);
        let request = match body {
            "" => request,
            body => request.header("content-type", content_type(path)).body(self.named(body)),
        };
        let answer = request.send().await.expect("the server answers");
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text").to_owned());
        let (is_elasticsearch, retry_after) = (header("x-elastic-product").is_some(), header("retry-after"));
        let status = answer.status().as_u16();
        HttpAnswer { status, is_elasticsearch, retry_after, body: answer.bytes().await.expect("a body") }
    }

    /// Sends a request to the server only, which must do it. Null is no body.
    pub(super) async fn on_server(&self, method: &str, path: &str, query: &[(&str, &str)], body: &Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.ask_server(method, path, query, &body).await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
    }

    /// Asserts that the server's answer has everything that the cluster in memory answers.
    fn compare(&mut self, what: &str, memory: &Value, real: &Value) {
        match (memory, real) {
            (Value::Object(memory), Value::Object(real)) => {
                for (key, value) in memory.iter().filter(|(key, _)| !PASSED_OVER.contains(&key.as_str())) {
                    let what = format!("{what}: {key}");
                    let other = real.get(key).unwrap_or(&Value::Null);
                    match (key.as_str(), value, other) {
                        ("uuid" | "history_uuid", Value::String(memory), Value::String(real)) => {
                            let known = self.uuids.entry(memory.clone()).or_insert_with(|| real.clone());
                            assert_eq!(known, real, "{what}");
                        }
                        ("reason", Value::String(memory), Value::String(real)) => {
                            self.compare_reasons(&what, memory, real)
                        }
                        ("aliases" | "mappings" | "_source", ..) => assert_eq!(value, other, "{what}"),
                        _ => self.compare(&what, value, other),
                    }
                }
                let blocks = |json: &serde_json::Map<String, Value>| {
                    let blocks = json.get("blocks").and_then(Value::as_object).cloned().unwrap_or_default();
                    blocks.into_iter().filter(|(_, value)| value == "true").map(|(name, _)| name).collect::<Vec<_>>()
                };
                assert_eq!(blocks(memory), blocks(real), "{what}");
            }
            (Value::Array(memory), Value::Array(real)) => {
                assert_eq!(memory.len(), real.len(), "{what}: {memory:?} {real:?}");
                memory.iter().zip(real).for_each(|(memory, real)| self.compare(what, memory, real));
            }
            _ => assert_eq!(memory, real, "{what}"),
        }
    }

    fn compare_reasons(&self, what: &str, memory: &str, real: &str) {
        // No client depends on the location in the document, or on what follows it.
        let is_parsing = real.starts_with("[1:");
        if self.compares_reasons && !is_parsing {
            let with_uuids = self.uuids.iter().fold(memory.to_owned(), |reason, (memory, real)| {
                reason.replace(&format!("/{memory}]"), &format!("/{real}]"))
            });
            assert_eq!(with_uuids, real, "{what}");
        }
    }

    pub(super) async fn create(&mut self) {
        let body = json!({
            "mappings": { "dynamic": "strict", "_meta": { "x": 1 }, "properties": { "n": { "type": "long" } } },
            "aliases": { "{al}": { "is_hidden": true } },
            "settings": { "index": { "hidden": true, "auto_expand_replicas": "0-1", "refresh_interval": "-1", "number_of_shards": 1 } },
        });
        self.ask("PUT", "{a}", &[("wait_for_active_shards", "1")], &body.to_string()).await;
    }

    /// Compares the whole state of an index, as far as it is answered.
    pub(super) async fn compare_index(&mut self, index: &str) {
        self.ask("GET", index, &[("ignore_unavailable", "true"), ("expand_wildcards", "all")], "").await;
        self.ask("GET", &format!("{index}/_stats"), &[("level", "shards")], "").await;
    }

    pub(super) async fn write(&mut self, alias: &str, lines: &[&str]) {
        let body = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        self.ask("POST", &format!("{alias}/_bulk"), &[("require_alias", "true")], &body).await;
    }

    pub(super) async fn put(&mut self, alias: &str, id: &str) {
        self.write(alias, &[&format!(r#"{{"index":{{"_id":"{id}"}}}}"#), r#"{"n":1}"#]).await;
    }

    pub(super) async fn end(self) {
        let repository = format!("_snapshot/{}", self.name("a"));
        for path in [format!("{repository}/s"), repository] {
            // Most tests have no snapshot repository.
            self.ask_server("DELETE", &path, &[], "").await;
        }
        for name in ["a", "b", "c"] {
            self.context.raw("DELETE", &format!("/{}?ignore_unavailable=true", self.name(name)), None).await;
        }
    }

    /// Returns both statuses, for answers whose text the server can take from several places.
    pub(super) async fn ask_status(&self, method: &'static str, path: &str, body: &str) -> [u16; 2] {
        let real = self.ask_server(method, path, &[], body).await.status;
        let memory = self.memory.answer(&HttpRequest {
            method,
            path: self.named(path),
            query: vec![],
            content_type: content_type(path),
            body: Some(Bytes::from(self.named(body))),
            timeout: Duration::from_secs(30),
        });
        [memory.status, real]
    }

    pub(super) async fn snapshot(&mut self) -> Snapshot {
        let repository = format!("_snapshot/{}", self.name("a"));
        let location = json!({ "type": "fs", "settings": { "location": self.name("a") } });
        self.on_server("PUT", &repository, &[], &location).await;
        let indices = json!({ "indices": self.name("a"), "include_global_state": false });
        self.on_server("PUT", &format!("{repository}/s"), &[("wait_for_completion", "true")], &indices).await;
        self.memory.snapshot(&[&self.name("a")]).expect("it is there")
    }

    pub(super) async fn restore(&mut self, snapshot: &Snapshot, options: RestoreOptions) {
        if options.over_closed {
            self.on_server("POST", "{a}/_close", &[], &Value::Null).await;
        }
        let path = format!("_snapshot/{}/s/_restore", self.name("a"));
        let body = json!({ "indices": self.name("a"), "include_aliases": options.with_aliases }).to_string();
        let real = self.ask_server("POST", &path, &[("wait_for_completion", "true")], &body).await;
        let memory = self.memory.restore(snapshot, &self.name("a"), options);
        let status = memory.err().map_or(Some(200), |error| error.status);
        assert_eq!(status, Some(real.status), "{options:?} {real:?}");
        self.compare_index("{a}").await;
    }
}

fn content_type(path: &str) -> &'static str {
    if path.ends_with("_bulk") { "application/x-ndjson" } else { "application/json" }
}
