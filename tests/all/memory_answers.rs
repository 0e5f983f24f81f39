//! The same requests and acts of an operator, on a real server and on the cluster in memory: every answer of the latter is
//! what the former answers, as far as it goes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use libtest_mimic::Trial;
use saved_objects::cluster::InMemory;
use saved_objects::cluster::elastic::{HttpAnswer, HttpRequest};
use saved_objects::cluster::memory::{RestoreOptions, Snapshot};
use saved_objects::environment::Environment;
use serde_json::{Value, json};

use crate::context::Context;
use crate::named_trials;

/// The version whose words the memory cluster uses.
const MODELLED: &str = "9.2.2";

/// What no two servers answer alike, and no client looks at.
const PASSED_OVER: &[&str] =
    &["took", "id", "pit_id", "_score", "max_score", "node", "nodes", "cluster_name", "root_cause", "creation_date"];

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        indices_and_aliases,
        documents,
        searches,
        clones,
        closed_indices,
        blocks,
        limits,
        restores,
        a_snapshot_under_way,
    )
}

/// A server and a cluster in memory, which are asked the same.
struct Both {
    context: Context,
    memory: InMemory,
    client: reqwest::Client,
    /// The server's uuids by the memory cluster's.
    uuids: BTreeMap<String, String>,
    /// The points in time opened last: the server's and the memory cluster's.
    points_in_time: [String; 2],
    compares_reasons: bool,
}

impl Both {
    async fn new(context: Context) -> Self {
        let memory = InMemory::new(Environment::system());
        let client = reqwest::Client::new();
        let root = context.raw("GET", "/", None).await;
        Self {
            context,
            memory,
            client,
            uuids: BTreeMap::new(),
            points_in_time: Default::default(),
            compares_reasons: root["version"]["number"] == MODELLED,
        }
    }

    /// Names of the test's own: `{a}` becomes `<prefix>-a`.
    fn named(&self, text: &str) -> String {
        let mut named = text.to_owned();
        for name in ["a", "b", "c", "al", "bl", "nothing", "new"] {
            named = named.replace(&format!("{{{name}}}"), &format!("{}-{name}", self.context.prefix));
        }
        named
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.context.prefix)
    }

    async fn ask(&mut self, method: &'static str, path: &str, query: &[(&'static str, &str)], body: &str) -> u16 {
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

    async fn ask_server(&self, method: &str, path: &str, query: &[(&str, &str)], body: &str) -> HttpAnswer {
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

    /// Only the server is asked, and does it. Null is no body.
    async fn on_server(&self, method: &str, path: &str, query: &[(&str, &str)], body: &Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.ask_server(method, path, query, &body).await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
    }

    /// All that the memory cluster answers is in the server's answer.
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
        // Where in the document it is, and what follows, no client goes by.
        let is_parsing = real.starts_with("[1:");
        if self.compares_reasons && !is_parsing {
            let with_uuids = self.uuids.iter().fold(memory.to_owned(), |reason, (memory, real)| {
                reason.replace(&format!("/{memory}]"), &format!("/{real}]"))
            });
            assert_eq!(with_uuids, real, "{what}");
        }
    }

    async fn create(&mut self) {
        let body = json!({
            "mappings": { "dynamic": "strict", "_meta": { "x": 1 }, "properties": { "n": { "type": "long" } } },
            "aliases": { "{al}": { "is_hidden": true } },
            "settings": { "index": { "hidden": true, "auto_expand_replicas": "0-1", "refresh_interval": "-1", "number_of_shards": 1 } },
        });
        self.ask("PUT", "{a}", &[("wait_for_active_shards", "1")], &body.to_string()).await;
    }

    /// The whole state of an index, as far as it is answered.
    async fn look(&mut self, index: &str) {
        self.ask("GET", index, &[("ignore_unavailable", "true"), ("expand_wildcards", "all")], "").await;
        self.ask("GET", &format!("{index}/_stats"), &[("level", "shards")], "").await;
    }

    async fn write(&mut self, alias: &str, lines: &[&str]) {
        let body = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        self.ask("POST", &format!("{alias}/_bulk"), &[("require_alias", "true")], &body).await;
    }

    async fn put(&mut self, alias: &str, id: &str) {
        self.write(alias, &[&format!(r#"{{"index":{{"_id":"{id}"}}}}"#), r#"{"n":1}"#]).await;
    }

    async fn end(self) {
        let repository = format!("_snapshot/{}", self.name("a"));
        for path in [format!("{repository}/s"), repository] {
            // Most tests have none.
            self.ask_server("DELETE", &path, &[], "").await;
        }
        for name in ["a", "b", "c"] {
            self.context.raw("DELETE", &format!("/{}?ignore_unavailable=true", self.name(name)), None).await;
        }
    }
}

fn content_type(path: &str) -> &'static str {
    if path.ends_with("_bulk") { "application/x-ndjson" } else { "application/json" }
}

async fn indices_and_aliases(context: Context) {
    let mut both = Both::new(context).await;
    both.create().await;
    both.look("{a}").await;
    both.create().await;
    for (name, body) in [
        ("{al}", json!({})),
        ("{a}%20x", json!({})),
        ("{a}%23x", json!({})),
        ("{a}X", json!({})),
        ("_{a}", json!({})),
        ("{b}", json!({ "aliases": { "{a}": {} } })),
        ("{b}", json!({ "aliases": { "{b}": {} } })),
        ("{b}", json!({ "mappings": { "properties": { "x": { "type": "nope" } } } })),
        ("{b}", json!({ "mappings": { "properties": { "x": { "type": "keyword", "zzz": 1 } } } })),
    ] {
        assert_eq!(both.ask("PUT", name, &[], &body.to_string()).await, 400, "{name}");
    }
    both.ask("GET", "{nothing}", &[("ignore_unavailable", "true")], "").await;
    both.ask("GET", "{nothing}", &[], "").await;
    for body in [
        json!({ "properties": { "n": { "type": "keyword" } } }),
        json!({ "properties": { "n": { "properties": {} } } }),
        json!({ "properties": { "o": { "type": "object", "enabled": false } } }),
        json!({ "properties": { "o": { "type": "object", "enabled": true } } }),
        json!({ "properties": { "o": { "type": "keyword" } } }),
        json!({ "_meta": { "y": 2 }, "properties": { "p": { "type": "nested", "properties": { "q": { "type": "date" } } } } }),
    ] {
        both.ask("PUT", "{a}/_mapping", &[], &body.to_string()).await;
    }
    both.look("{a}").await;
    both.ask("PUT", "{nothing}/_mapping", &[], r#"{"properties":{}}"#).await;
    let ignore = [("ignore_unavailable", "true")];
    both.ask("DELETE", "{nothing}", &[], "").await;
    both.ask("DELETE", "{nothing}", &ignore, "").await;
    both.ask("DELETE", "{al}", &[], "").await;
    both.ask("DELETE", "{al}", &ignore, "").await;
    for actions in [
        json!([]),
        json!([{ "remove": { "index": "{a}", "alias": "{nothing}", "must_exist": true } }]),
        json!([{ "add": { "index": "{nothing}", "alias": "{new}" } }]),
        json!([{ "remove": { "index": "{nothing}", "alias": "{new}", "must_exist": true } }]),
        json!([{ "add": { "index": "{al}", "alias": "{new}" } }]),
        json!([{ "add": { "index": "{a}", "alias": "{a}" } }]),
        json!([{ "add": { "index": "{a}", "alias": "{new} b" } }]),
        json!([{ "remove_index": { "index": "{nothing}" } }]),
        json!([{ "remove_index": { "index": "{al}" } }]),
        json!([{ "add": { "index": "{a}", "alias": "{new}" } }, { "remove": { "index": "{a}", "alias": "{nothing}", "must_exist": true } }]),
        json!([{ "add": { "index": "{a}", "alias": "{new}" } }, { "remove": { "index": "{a}", "alias": "{al}", "must_exist": true } }]),
    ] {
        both.ask("POST", "_aliases", &[], &json!({ "actions": actions }).to_string()).await;
        both.look("{a}").await;
    }
    for (path, body) in [
        ("{a}/_settings", r#"{"index.zzz":1}"#),
        ("{nothing}/_settings", r#"{"index.blocks.write":null}"#),
        ("{nothing}/_block/write", ""),
        ("{a}/_block/write", ""),
        ("{a}/_block/write", ""),
        ("{a}/_settings", r#"{"index":{"refresh_interval":"5s","blocks":{"write":null}}}"#),
    ] {
        both.ask("PUT", path, &[], body).await;
        both.look("{a}").await;
    }
    both.ask("GET", "_cluster/health/{a}", &[("wait_for_status", "green")], "").await;
    both.ask("GET", "_cluster/health/{nothing}", &[("wait_for_status", "yellow"), ("timeout", "1s")], "").await;
    both.ask("POST", "{nothing}/_refresh", &[], "").await;
    both.ask("GET", "{nothing}/_stats", &[], "").await;
    both.end().await;
}

async fn documents(context: Context) {
    let mut both = Both::new(context).await;
    both.create().await;
    both.write(
        "{al}",
        &[
            r#"{"create":{"_id":"1"}}"#,
            r#"{"n":1}"#,
            r#"{"create":{"_id":"1"}}"#,
            r#"{"n":2}"#,
            r#"{"index":{"_id":"1","if_seq_no":7,"if_primary_term":1}}"#,
            r#"{"n":2}"#,
            r#"{"index":{"_id":"2","if_seq_no":7,"if_primary_term":1}}"#,
            r#"{"n":2}"#,
            r#"{"delete":{"_id":"1","if_seq_no":7,"if_primary_term":1}}"#,
            r#"{"delete":{"_id":"9","if_seq_no":7,"if_primary_term":1}}"#,
            r#"{"delete":{"_id":"9"}}"#,
            r#"{"create":{"_id":""}}"#,
            r#"{"n":2}"#,
            r#"{"create":{"_id":"3"}}"#,
            r#"{"x":2}"#,
            r#"{"create":{"_id":"3"}}"#,
            r#"{"n":"abc"}"#,
            r#"{"index":{"_id":"1"}}"#,
            r#"{"n":5}"#,
            r#"{"delete":{"_id":"1","if_seq_no":2,"if_primary_term":1}}"#,
            r#"{"create":{"_id":"1"}}"#,
            r#"{"n":6}"#,
        ],
    )
    .await;
    for id in ["1", "2"] {
        both.ask("GET", &format!("{{al}}/_doc/{id}"), &[], "").await;
    }
    both.ask("GET", "{nothing}/_doc/1", &[], "").await;
    both.ask("POST", "{al}/_mget", &[], r#"{"ids":["1","2"]}"#).await;
    both.ask("POST", "{nothing}/_mget", &[], r#"{"ids":["1","2"]}"#).await;
    both.look("{a}").await;
    both.put("{a}", "1").await;
    both.put("{nothing}", "1").await;
    both.put("{al}", &"x".repeat(513)).await;
    for body in ["", "{\"create\":{\"_id\":\"1\"}}\n{\"n\":1}"] {
        assert_eq!(both.ask("POST", "{al}/_bulk", &[], body).await, 400, "{body}");
    }
    both.end().await;
}

async fn searches(context: Context) {
    let mut both = Both::new(context).await;
    both.create().await;
    for id in ["1", "2", "3"] {
        both.put("{al}", id).await;
    }
    both.ask("POST", "{al}/_refresh", &[], "").await;
    let by_seq_no = r#""sort":[{"_seq_no":{"order":"desc","missing":"_last"}}]"#;
    for body in [
        format!(r#"{{"size":2,"seq_no_primary_term":true,"version":true,"track_total_hits":true,{by_seq_no}}}"#),
        format!(r#"{{"size":2,"search_after":[1],"track_total_hits":false,{by_seq_no}}}"#),
        format!(r#"{{"query":{{"ids":{{"values":["2","9"]}}}},{by_seq_no}}}"#),
        r#"{"query":{"match_none":{}}}"#.to_owned(),
        r#"{"query":{"zzz":{}}}"#.to_owned(),
        r#"{"size":10001}"#.to_owned(),
    ] {
        let status = both.ask_status("POST", "{al}/_search", &body).await;
        assert_eq!(status[0], status[1], "{body}");
    }
    both.ask("POST", "{al}/_pit", &[("keep_alive", "60s")], "").await;
    both.ask(
        "POST",
        "_search",
        &[],
        r#"{"size":2,"pit":{"id":"{pit}","keep_alive":"60s"},"sort":[{"_shard_doc":"asc"}]}"#,
    )
    .await;
    both.ask("DELETE", "_pit", &[], r#"{"id":"{pit}"}"#).await;
    both.ask("DELETE", "_pit", &[], r#"{"id":"{pit}"}"#).await;
    both.ask("POST", "_search", &[], r#"{"pit":{"id":"{pit}","keep_alive":"60s"}}"#).await;
    both.ask("POST", "{al}/_pit", &[("keep_alive", "60s")], "").await;
    both.ask("DELETE", "{a}", &[], "").await;
    both.ask("POST", "_search", &[], r#"{"pit":{"id":"{pit}","keep_alive":"60s"}}"#).await;
    both.ask_server("DELETE", "_pit", &[], &json!({ "id": both.points_in_time[0] }).to_string()).await;
    both.ask("POST", "{nothing}/_search", &[], "{}").await;
    both.ask("POST", "{nothing}/_pit", &[("keep_alive", "60s")], "").await;
    both.end().await;
}

async fn clones(context: Context) {
    let mut both = Both::new(context).await;
    both.create().await;
    both.put("{al}", "1").await;
    let body =
        r#"{"settings":{"index":{"hidden":true,"blocks":{"write":null}}},"aliases":{"{bl}":{"is_hidden":true}}}"#;
    both.ask("PUT", "{a}/_clone/{b}", &[], body).await;
    both.ask("PUT", "{nothing}/_clone/{b}", &[], body).await;
    both.ask("PUT", "{a}/_block/write", &[], "").await;
    both.ask("PUT", "{a}/_clone/{b}", &[], body).await;
    both.look("{b}").await;
    both.ask("PUT", "{a}/_clone/{b}", &[], body).await;
    both.put("{bl}", "2").await;
    both.ask("GET", "{b}/_doc/1", &[], "").await;
    // What is not said comes from the source, the block too.
    both.ask("PUT", "{a}/_clone/{c}", &[], "{}").await;
    both.look("{c}").await;
    both.look("{a}").await;
    both.end().await;
}

async fn closed_indices(context: Context) {
    let mut both = Both::new(context).await;
    both.create().await;
    both.put("{al}", "1").await;
    both.look("{a}").await;
    both.ask("POST", "{al}/_pit", &[("keep_alive", "60s")], "").await;
    both.ask("POST", "{a}/_close", &[], "").await;
    both.look("{a}").await;
    both.put("{al}", "2").await;
    both.ask("GET", "{a}/_doc/1", &[], "").await;
    both.ask("POST", "{al}/_mget", &[], r#"{"ids":["1"]}"#).await;
    both.ask("POST", "{al}/_search", &[], "{}").await;
    both.ask("POST", "{al}/_pit", &[("keep_alive", "60s")], "").await;
    both.ask("POST", "{a}/_refresh", &[], "").await;
    both.ask("PUT", "{a}/_mapping", &[], r#"{"properties":{"m":{"type":"long"}}}"#).await;
    both.ask("POST", "_aliases", &[], r#"{"actions":[{"add":{"index":"{a}","alias":"{new}"}}]}"#).await;
    both.create().await;
    both.ask("POST", "{a}/_close", &[], "").await;
    both.ask("POST", "{nothing}/_close", &[], "").await;
    both.ask("POST", "{nothing}/_open", &[], "").await;
    for _ in 0..2 {
        both.ask("POST", "{a}/_open", &[], "").await;
        both.look("{a}").await;
    }
    both.put("{al}", "2").await;
    both.ask("GET", "{a}/_doc/1", &[], "").await;
    both.end().await;
}

async fn blocks(context: Context) {
    let mut both = Both::new(context).await;
    for block in ["write", "read_only", "read_only_allow_delete", "metadata", "read"] {
        both.create().await;
        both.put("{al}", "1").await;
        both.ask("PUT", "{a}/_settings", &[], &json!({ format!("index.blocks.{block}"): true }).to_string()).await;
        both.put("{al}", "1").await;
        both.write("{al}", &[r#"{"delete":{"_id":"1"}}"#]).await;
        both.ask("GET", "{a}/_doc/1", &[], "").await;
        both.ask("POST", "{al}/_mget", &[], r#"{"ids":["1"]}"#).await;
        both.ask("POST", "{al}/_search", &[], r#"{"size":0,"track_total_hits":false}"#).await;
        both.ask("PUT", "{a}/_mapping", &[], r#"{"properties":{"m":{"type":"long"}}}"#).await;
        both.ask("POST", "_aliases", &[], r#"{"actions":[{"add":{"index":"{a}","alias":"{new}"}}]}"#).await;
        // Where a block was set as a setting, a server sets it once more, and says so.
        if block != "write" {
            both.ask("PUT", "{a}/_block/write", &[], "").await;
        }
        both.ask("PUT", "{a}/_settings", &[], r#"{"index.blocks.write":null}"#).await;
        both.look("{a}").await;
        both.ask("POST", "{a}/_refresh", &[], "").await;
        both.ask("POST", "{a}/_close", &[], "").await;
        both.ask("POST", "_aliases", &[], r#"{"actions":[{"remove_index":{"index":"{a}"}}]}"#).await;
        both.ask("PUT", "{a}/_settings", &[], &json!({ format!("index.blocks.{block}"): null }).to_string()).await;
        both.ask("DELETE", "{a}", &[("ignore_unavailable", "true")], "").await;
    }
    both.end().await;
}

async fn limits(context: Context) {
    let mut both = Both::new(context).await;
    let body =
        r#"{"settings":{"index.mapping.total_fields.limit":2},"mappings":{"properties":{"k":{"type":"keyword"}}}}"#;
    both.ask("PUT", "{a}", &[], body).await;
    both.ask("PUT", "{a}/_mapping", &[], r#"{"properties":{"b":{"type":"long"},"c":{"type":"long"}}}"#).await;
    both.ask("PUT", "{a}/_mapping", &[], r#"{"properties":{"o":{"properties":{"c":{"type":"long"}}}}}"#).await;
    both.look("{a}").await;
    both.ask("PUT", "{a}/_mapping", &[], r#"{"properties":{"b":{"type":"long"}}}"#).await;
    let body = r#"{"settings":{"index.mapping.total_fields.limit":1},"mappings":{"properties":{"k":{"type":"keyword","fields":{"t":{"type":"text"}}}}}}"#;
    both.ask("PUT", "{b}", &[], body).await;
    // A request that is too large. The server does not read it to its end, so only its answer is compared.
    both.memory.limit_requests(10);
    let request = HttpRequest {
        method: "POST",
        path: both.named("{a}/_bulk"),
        query: vec![],
        content_type: "application/x-ndjson",
        body: Some(Bytes::from_static(b"12345678901")),
        timeout: Duration::from_secs(30),
    };
    assert_eq!(both.memory.answer(&request), HttpAnswer::too_large());
    both.end().await;
}

impl Both {
    /// The two statuses, where the words of the server have more than one place.
    async fn ask_status(&self, method: &'static str, path: &str, body: &str) -> [u16; 2] {
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

    async fn snapshot(&mut self) -> Snapshot {
        let repository = format!("_snapshot/{}", self.name("a"));
        let location = json!({ "type": "fs", "settings": { "location": self.name("a") } });
        self.on_server("PUT", &repository, &[], &location).await;
        let indices = json!({ "indices": self.name("a"), "include_global_state": false });
        self.on_server("PUT", &format!("{repository}/s"), &[("wait_for_completion", "true")], &indices).await;
        self.memory.snapshot(&[&self.name("a")]).expect("it is there")
    }

    async fn restore(&mut self, snapshot: &Snapshot, options: RestoreOptions) {
        if options.over_closed {
            self.on_server("POST", "{a}/_close", &[], &Value::Null).await;
        }
        let path = format!("_snapshot/{}/s/_restore", self.name("a"));
        let body = json!({ "indices": self.name("a"), "include_aliases": options.with_aliases }).to_string();
        let real = self.ask_server("POST", &path, &[("wait_for_completion", "true")], &body).await;
        let memory = self.memory.restore(snapshot, &self.name("a"), options);
        let status = memory.err().map_or(Some(200), |error| error.status);
        assert_eq!(status, Some(real.status), "{options:?} {real:?}");
        self.look("{a}").await;
    }
}

async fn restores(context: Context) {
    let mut both = Both::new(context).await;
    both.create().await;
    both.put("{al}", "1").await;
    both.ask("PUT", "{a}/_block/write", &[], "").await;
    both.look("{a}").await;
    let snapshot = both.snapshot().await;
    both.ask("PUT", "{a}/_settings", &[], r#"{"index.blocks.write":null}"#).await;
    both.put("{al}", "2").await;
    both.ask("PUT", "{a}/_mapping", &[], r#"{"_meta":{"x":2},"properties":{"m":{"type":"long"}}}"#).await;
    let actions = r#"{"actions":[{"add":{"index":"{a}","alias":"{new}"}},{"remove":{"index":"{a}","alias":"{al}"}}]}"#;
    both.ask("POST", "_aliases", &[], actions).await;
    let options = |with_aliases, over_closed| RestoreOptions { with_aliases, over_closed };
    // Over an open index; over the closed one, which keeps its aliases or gets those of the snapshot; and where there is none.
    both.restore(&snapshot, options(false, false)).await;
    both.restore(&snapshot, options(false, true)).await;
    both.ask("GET", "{a}/_doc/2", &[], "").await;
    both.restore(&snapshot, options(true, true)).await;
    both.ask("PUT", "{a}/_settings", &[], r#"{"index.blocks.write":null}"#).await;
    both.put("{al}", "3").await;
    both.ask("GET", "{a}/_doc/1", &[], "").await;
    for with_aliases in [true, false] {
        both.ask("DELETE", "{a}", &[], "").await;
        both.restore(&snapshot, options(with_aliases, false)).await;
    }
    both.end().await;
}

async fn a_snapshot_under_way(context: Context) {
    let mut both = Both::new(context).await;
    both.create().await;
    both.put("{al}", "1").await;
    both.look("{a}").await;
    let repository = format!("_snapshot/{}", both.name("a"));
    // So slow that it does not end by itself.
    let location =
        json!({ "type": "fs", "settings": { "location": both.name("a"), "max_snapshot_bytes_per_sec": "50b" } });
    both.on_server("PUT", &repository, &[], &location).await;
    both.on_server("PUT", &format!("{repository}/s"), &[], &json!({ "indices": both.name("a") })).await;
    both.memory.begin_snapshot(&[&both.name("a")]);
    both.ask("DELETE", "{a}", &[], "").await;
    both.ask("POST", "{a}/_close", &[], "").await;
    let actions = r#"{"actions":[{"add":{"index":"{a}","alias":"{new}"}},{"remove_index":{"index":"{a}"}}]}"#;
    both.ask("POST", "_aliases", &[], actions).await;
    both.look("{a}").await;
    both.put("{al}", "2").await;
    both.ask("PUT", "{a}/_mapping", &[], r#"{"properties":{"m":{"type":"long"}}}"#).await;
    both.ask("PUT", "{a}/_block/write", &[], "").await;
    both.ask("PUT", "{a}/_clone/{b}", &[], "{}").await;
    both.ask("DELETE", "{b}", &[], "").await;
    both.on_server("DELETE", &format!("{repository}/s"), &[], &Value::Null).await;
    both.memory.end_snapshot();
    both.ask("DELETE", "{a}", &[], "").await;
    both.end().await;
}
