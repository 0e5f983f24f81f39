//! A stopgap: HTTP over the cluster in memory, as far as the engine asks.

use bytes::Bytes;
use futures::FutureExt;
use saved_objects::cluster::elastic::{HttpAnswer, HttpRequest};
use saved_objects::cluster::{
    AliasAction, BulkAction, BulkOperation, BulkRequest, CloneIndex, Cluster, ClusterError, ClusterErrorKind,
    CreateIndex, Direction, Hit, InMemory, IndexPurpose, ItemErrorKind, PointInTime, Query, Refresh, Search, SearchIn,
    SequenceNumber, Sort,
};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) trait Front {
    fn answer(&self, request: &HttpRequest) -> HttpAnswer;
}

type Answered = Result<(u16, Value), ClusterError>;

impl Front for InMemory {
    fn answer(&self, request: &HttpRequest) -> HttpAnswer {
        let (status, body) = match answer(self, request).now_or_never().expect("at once") {
            Ok(answer) => answer,
            Err(error) => refused(&error),
        };
        HttpAnswer { status, is_elasticsearch: true, retry_after: None, body: Bytes::from(body.to_string()) }
    }
}

fn refused(error: &ClusterError) -> (u16, Value) {
    let reason = error.reason.clone().unwrap_or_default();
    let (status, kind, reason) = match error.kind {
        ClusterErrorKind::IndexNotFound => (404, "index_not_found_exception", reason),
        ClusterErrorKind::IndexExists => (400, "resource_already_exists_exception", reason),
        ClusterErrorKind::AliasNotFound => (404, "aliases_not_found_exception", reason),
        ClusterErrorKind::PointInTimeMissing => (404, "search_context_missing_exception", reason),
        ClusterErrorKind::WriteBlocked => (403, "cluster_block_exception", format!("FORBIDDEN/8/ {reason}")),
        ClusterErrorKind::NotWriteBlocked => {
            (500, "illegal_state_exception", format!("must be read-only to resize index {reason}"))
        }
        ClusterErrorKind::MappingRefused => (400, "mapper_parsing_exception", reason),
        ClusterErrorKind::Unavailable => (503, "unavailable", reason),
        _ => (400, "illegal_argument_exception", reason),
    };
    (status, json!({"error": {"type": kind, "reason": reason}, "status": status}))
}

async fn answer(memory: &InMemory, request: &HttpRequest) -> Answered {
    let body: Value = request.body.as_ref().and_then(|body| serde_json::from_slice(body).ok()).unwrap_or_default();
    let path = percent(&request.path);
    let parts: Vec<&str> = path.split('/').collect();
    let ok = Ok((200, json!({"acknowledged": true})));
    match (request.method, parts.as_slice()) {
        ("GET", ["_nodes", "_local"]) => Ok((200, json!({"nodes": {"n": {"version": "9.2.2"}}}))),
        ("GET", ["_nodes", "_local", "http"]) => {
            Ok((200, json!({"nodes": {"n": {"http": {"max_content_length_in_bytes": 104857600}}}})))
        }
        ("GET", ["_cluster", "settings"]) => {
            Ok((200, json!({"defaults": {"cluster": {"max_shards_per_node": "1000"}}})))
        }
        ("GET", ["_cluster", "health"]) => Ok((
            200,
            json!({"status": "green", "number_of_data_nodes": 1, "active_shards": 1, "initializing_shards": 0, "unassigned_shards": 0}),
        )),
        ("GET", ["_cluster", "health", index]) => {
            let found = memory.indices(&[index]).await?;
            if found.is_empty() { Ok((408, json!({"status": "red"}))) } else { Ok((200, json!({"status": "green"}))) }
        }
        ("GET", ["_index_template"]) => Ok((200, json!({"index_templates": []}))),
        ("GET", ["_template"]) => Ok((200, json!({}))),
        ("GET", [index, "_stats"]) => {
            let count = memory.write_count(index).await? as i64;
            let shard = json!([{"routing": {"primary": true}, "seq_no": {"max_seq_no": count - 1}}]);
            Ok((200, json!({"indices": {*index: {"shards": {"0": shard}}}})))
        }
        ("GET", [index, "_doc", id]) => match memory.get(index, id).await? {
            Some(hit) => Ok((200, hit_json(&hit, true))),
            None => Ok((404, json!({"_index": index, "_id": id, "found": false}))),
        },
        ("GET", [names]) => {
            let names: Vec<&str> = names.split(',').collect();
            let found = memory.indices(&names).await?;
            let state = found.into_iter().map(|(name, state)| {
                let aliases: serde_json::Map<String, Value> = state.aliases.keys().map(|alias| (alias.clone(), json!({"is_hidden": true}))).collect();
                let blocks = if state.write_blocked { json!({"write": "true"}) } else { json!({}) };
                (name, json!({"aliases": aliases, "mappings": state.mapping, "settings": {"index": {"uuid": state.uuid, "blocks": blocks}}}))
            });
            Ok((200, Value::Object(state.collect())))
        }
        ("POST", [index, "_mget"]) => {
            let ids: Vec<&str> = body["ids"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let found = memory.get_many(index, &ids).await?;
            let docs: Vec<Value> = found
                .iter()
                .zip(&ids)
                .map(|(hit, id)| match hit {
                    Some(hit) => hit_json(hit, true),
                    None => json!({"_index": index, "_id": id, "found": false}),
                })
                .collect();
            Ok((200, json!({"docs": docs})))
        }
        ("POST", [index, "_refresh"]) => memory.refresh(index).await.map(|()| (200, json!({}))),
        ("POST", [index, "_pit"]) => {
            let opened = memory.open_point_in_time(index, Duration::from_secs(60)).await?;
            Ok((200, json!({"id": opened.id})))
        }
        ("DELETE", ["_pit"]) => {
            let id = body["id"].as_str().unwrap_or_default().to_owned();
            memory.close_point_in_time(&PointInTime { id, keep_alive: Duration::from_secs(60) }).await?;
            Ok((200, json!({})))
        }
        ("POST", [index, "_search"]) => match body["aggs"]["types"]["composite"].is_object() {
            true => {
                let counts = memory.count_by_type(index).await?;
                let bucket = |count: saved_objects::cluster::TypeCount| json!({"key": {"type": count.type_name, "version": count.version}, "doc_count": count.documents});
                let buckets: Vec<Value> = counts.into_iter().map(bucket).collect();
                Ok((200, json!({"hits": {"hits": []}, "aggregations": {"types": {"buckets": buckets}}})))
            }
            false => search(memory, SearchIn::Index((*index).to_owned()), &body).await,
        },
        ("POST", ["_search"]) => {
            let id = body["pit"]["id"].as_str().unwrap_or_default().to_owned();
            search(memory, SearchIn::PointInTime(PointInTime { id, keep_alive: Duration::from_secs(60) }), &body).await
        }
        ("POST", [alias, "_bulk"]) => bulk(memory, alias, request).await,
        ("POST", ["_aliases"]) => {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let action = |action: &Value| {
                if action["add"].is_object() {
                    AliasAction::Add { index: text(&action["add"]["index"]), alias: text(&action["add"]["alias"]) }
                } else if action["remove"].is_object() {
                    AliasAction::Remove {
                        index: text(&action["remove"]["index"]),
                        alias: text(&action["remove"]["alias"]),
                    }
                } else {
                    AliasAction::RemoveIndex { index: text(&action["remove_index"]["index"]) }
                }
            };
            let actions: Vec<AliasAction> = body["actions"].as_array().into_iter().flatten().map(action).collect();
            memory.update_aliases(&actions).await?;
            ok
        }
        ("PUT", [index, "_mapping"]) => {
            memory.put_mapping(index, &body).await?;
            ok
        }
        ("PUT", [index, "_block", "write"]) => {
            memory.add_write_block(index).await?;
            ok
        }
        ("PUT", [index, "_settings"]) => {
            memory.remove_write_block(index).await?;
            ok
        }
        ("PUT", [source, "_clone", target]) => {
            if memory.indices(&[target]).await?.contains_key(*target) {
                return Err(ClusterError::new(ClusterErrorKind::IndexExists, "PUT", *target, "exists"));
            }
            let aliases = body["aliases"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
            memory
                .clone_index(&CloneIndex { source: (*source).to_owned(), target: (*target).to_owned(), aliases })
                .await?;
            ok
        }
        ("PUT", [index]) => {
            if memory.indices(&[index]).await?.contains_key(*index) {
                return Err(ClusterError::new(ClusterErrorKind::IndexExists, "PUT", *index, "exists"));
            }
            let aliases = body["aliases"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
            let filling = body["settings"]["index"]["refresh_interval"] == "-1";
            let purpose = if filling { IndexPurpose::Filling } else { IndexPurpose::Serving };
            let mapping = body["mappings"].clone();
            memory.create_index(&CreateIndex { name: (*index).to_owned(), mapping, aliases, purpose }).await?;
            ok
        }
        ("DELETE", [index]) => {
            memory.delete_index(index).await?;
            ok
        }
        other => panic!("not modelled: {other:?}"),
    }
}

fn percent(path: &str) -> String {
    percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned()
}

fn hit_json(hit: &Hit, found: bool) -> Value {
    let source: Value = serde_json::from_str(hit.source.get()).expect("JSON");
    json!({"_index": hit.index, "_id": hit.id, "_seq_no": hit.sequence.seq_no, "_primary_term": hit.sequence.primary_term,
        "_source": source, "found": found})
}

async fn search(memory: &InMemory, within: SearchIn, body: &Value) -> Answered {
    let mut search = Search::new(within, query(&body["query"]));
    search.size = body["size"].as_u64().unwrap_or(10) as u32;
    search.from = body["from"].as_u64().unwrap_or(0) as u32;
    search.count_total = body["track_total_hits"] == true;
    search.after = body["search_after"].as_array().cloned();
    for sort in body["sort"].as_array().into_iter().flatten() {
        let (field, order) = sort.as_object().and_then(|sort| sort.iter().next()).expect("a sort");
        if field != "_shard_doc" {
            let direction = if order["order"] == "desc" { Direction::Descending } else { Direction::Ascending };
            search.sort.push(Sort { field: field.clone(), direction });
        }
    }
    let page = memory.search(&search).await?;
    let mut hits: Vec<Value> = page.hits.iter().map(|hit| hit_json(hit, true)).collect();
    if let (Some(last), Some(sort)) = (hits.last_mut(), &page.last_sort) {
        last["sort"] = sort.clone().into();
    }
    let mut answer = json!({"hits": {"hits": hits}});
    if let Some(total) = page.total {
        answer["hits"]["total"] = json!({"value": total, "relation": "eq"});
    }
    if let Some(point) = page.point_in_time {
        answer["pit_id"] = point.id.into();
    }
    Ok((200, answer))
}

fn query(json: &Value) -> Query {
    let (name, body) = json.as_object().and_then(|json| json.iter().next()).expect("a query");
    let list = |value: &Value| value.as_array().into_iter().flatten().map(query).collect::<Vec<_>>();
    match name.as_str() {
        "match_all" => Query::Everything,
        "match_none" => Query::Or(Vec::new()),
        "terms" => {
            let (field, values) = body.as_object().and_then(|body| body.iter().next()).expect("a field");
            Query::AnyOf { field: field.clone(), values: values.as_array().cloned().unwrap_or_default() }
        }
        "exists" => Query::Exists { field: body["field"].as_str().unwrap_or_default().to_owned() },
        "range" => {
            let (field, bounds) = body.as_object().and_then(|body| body.iter().next()).expect("a field");
            let bound = |name: &str| bounds.get(name).cloned();
            Query::Range {
                field: field.clone(),
                from: bound("gte"),
                above: bound("gt"),
                to: bound("lte"),
                below: bound("lt"),
            }
        }
        "ids" => Query::Ids(
            body["values"].as_array().into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).collect(),
        ),
        "bool" if body["filter"].is_array() => Query::And(list(&body["filter"])),
        "bool" if body["should"].is_array() => Query::Or(list(&body["should"])),
        "bool" => Query::Not(Box::new(query(&body["must_not"][0]))),
        other => panic!("not modelled: {other}"),
    }
}

async fn bulk(memory: &InMemory, alias: &str, request: &HttpRequest) -> Answered {
    let body = request.body.clone().unwrap_or_default();
    let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let (mut operations, mut names) = (Vec::new(), Vec::new());
    while let Some(line) = lines.next() {
        let action: Value = serde_json::from_slice(line).expect("JSON");
        let (name, target) = action.as_object().and_then(|action| action.iter().next()).expect("an action");
        let read = target["if_seq_no"]
            .as_u64()
            .map(|seq_no| SequenceNumber { seq_no, primary_term: target["if_primary_term"].as_u64().unwrap_or(1) });
        let mut source = || Bytes::copy_from_slice(lines.next().expect("a source"));
        let action = match (name.as_str(), read) {
            ("create", _) => BulkAction::Create { source: source() },
            ("index", Some(read)) => BulkAction::Replace { source: source(), read },
            ("index", None) => BulkAction::Put { source: source() },
            (_, read) => BulkAction::Delete { read: read.expect("a condition") },
        };
        operations.push(BulkOperation { id: target["_id"].as_str().unwrap_or_default().to_owned(), action });
        names.push(name.clone());
    }
    let wait = request.query.iter().any(|(name, _)| *name == "refresh");
    let refresh = if wait { Refresh::WaitFor } else { Refresh::Later };
    let outcomes = memory.bulk(&BulkRequest { alias, operations: &operations, refresh }).await?;
    let item = |(outcome, name): (saved_objects::cluster::ItemOutcome, String)| {
        let body = match outcome {
            Ok(sequence) => json!({"status": 200, "_seq_no": sequence.seq_no, "_primary_term": sequence.primary_term}),
            Err(error) => {
                let (status, kind, reason) = match error.kind {
                    ItemErrorKind::Conflict => (409, "version_conflict_engine_exception", error.reason),
                    ItemErrorKind::NotFound => return json!({name: {"status": 404}}),
                    ItemErrorKind::AliasMissing => (404, "index_not_found_exception", error.reason),
                    ItemErrorKind::WriteBlocked => {
                        (403, "cluster_block_exception", format!("FORBIDDEN/8/ {}", error.reason))
                    }
                    ItemErrorKind::MappingRefused => (400, "document_parsing_exception", error.reason),
                    _ => (500, "other", error.reason),
                };
                json!({"status": status, "error": {"type": kind, "reason": reason}})
            }
        };
        json!({name: body})
    };
    Ok((200, json!({"items": outcomes.into_iter().zip(names).map(item).collect::<Vec<_>>()})))
}
