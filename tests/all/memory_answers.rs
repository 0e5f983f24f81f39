//! The same requests and operators' actions on a real server and on the cluster in memory: everything that the cluster
//! in memory answers is also in the server's answer.

mod both;

use std::time::Duration;

use bytes::Bytes;
use libtest_mimic::Trial;
use saved_objects::cluster::elastic::{HttpAnswer, HttpRequest};
use saved_objects::cluster::memory::RestoreOptions;
use serde_json::{Value, json};

use crate::context::Context;
use crate::named_trials;
use both::Both;

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

async fn indices_and_aliases(context: Context) {
    let mut both = Both::new(context).await;
    both.create().await;
    both.compare_index("{a}").await;
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
    both.compare_index("{a}").await;
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
        both.compare_index("{a}").await;
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
        both.compare_index("{a}").await;
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
    both.compare_index("{a}").await;
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
    both.compare_index("{b}").await;
    both.ask("PUT", "{a}/_clone/{b}", &[], body).await;
    both.put("{bl}", "2").await;
    both.ask("GET", "{b}/_doc/1", &[], "").await;
    // Settings that the request omits come from the source, the block included.
    both.ask("PUT", "{a}/_clone/{c}", &[], "{}").await;
    both.compare_index("{c}").await;
    both.compare_index("{a}").await;
    both.end().await;
}

async fn closed_indices(context: Context) {
    let mut both = Both::new(context).await;
    both.create().await;
    both.put("{al}", "1").await;
    both.compare_index("{a}").await;
    both.ask("POST", "{al}/_pit", &[("keep_alive", "60s")], "").await;
    both.ask("POST", "{a}/_close", &[], "").await;
    both.compare_index("{a}").await;
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
        both.compare_index("{a}").await;
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
        // Where a block was set as a setting, a server sets it again, and reports it.
        if block != "write" {
            both.ask("PUT", "{a}/_block/write", &[], "").await;
        }
        both.ask("PUT", "{a}/_settings", &[], r#"{"index.blocks.write":null}"#).await;
        both.compare_index("{a}").await;
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
    both.compare_index("{a}").await;
    both.ask("PUT", "{a}/_mapping", &[], r#"{"properties":{"b":{"type":"long"}}}"#).await;
    let body = r#"{"settings":{"index.mapping.total_fields.limit":1},"mappings":{"properties":{"k":{"type":"keyword","fields":{"t":{"type":"text"}}}}}}"#;
    both.ask("PUT", "{b}", &[], body).await;
    // A request that is too large. The server does not read it completely, so only its answer is compared.
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

async fn restores(context: Context) {
    let mut both = Both::new(context).await;
    both.create().await;
    both.put("{al}", "1").await;
    both.ask("PUT", "{a}/_block/write", &[], "").await;
    both.compare_index("{a}").await;
    let snapshot = both.snapshot().await;
    both.ask("PUT", "{a}/_settings", &[], r#"{"index.blocks.write":null}"#).await;
    both.put("{al}", "2").await;
    both.ask("PUT", "{a}/_mapping", &[], r#"{"_meta":{"x":2},"properties":{"m":{"type":"long"}}}"#).await;
    let actions = r#"{"actions":[{"add":{"index":"{a}","alias":"{new}"}},{"remove":{"index":"{a}","alias":"{al}"}}]}"#;
    both.ask("POST", "_aliases", &[], actions).await;
    let options = |with_aliases, over_closed| RestoreOptions { with_aliases, over_closed };
    // Restores over an open index; over a closed index, which keeps its aliases or gets those of the snapshot; and
    // where no index exists.
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
    both.compare_index("{a}").await;
    let repository = format!("_snapshot/{}", both.name("a"));
    // So slow that it does not end without an abort.
    let location =
        json!({ "type": "fs", "settings": { "location": both.name("a"), "max_snapshot_bytes_per_sec": "50b" } });
    both.on_server("PUT", &repository, &[], &location).await;
    both.on_server("PUT", &format!("{repository}/s"), &[], &json!({ "indices": both.name("a") })).await;
    both.memory.begin_snapshot(&[&both.name("a")]);
    both.ask("DELETE", "{a}", &[], "").await;
    both.ask("POST", "{a}/_close", &[], "").await;
    let actions = r#"{"actions":[{"add":{"index":"{a}","alias":"{new}"}},{"remove_index":{"index":"{a}"}}]}"#;
    both.ask("POST", "_aliases", &[], actions).await;
    both.compare_index("{a}").await;
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
