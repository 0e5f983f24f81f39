//! A request that was sent, for the story, the network and the checks.

use std::time::Duration;

use bytes::Bytes;
use saved_objects::cluster::elastic::{HttpAnswer, HttpRequest};
use serde_json::Value;

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) request: HttpRequest,
    pub(crate) at: Duration,
    /// The state of the migration that sends it; `-` outside of a migration.
    pub(crate) state: &'static str,
    /// The number of its operations, if it is a bulk.
    pub(crate) operations: usize,
    /// Whether it changes documents, indices or aliases.
    pub(crate) is_write: bool,
}

impl Sent {
    pub(crate) fn new(request: HttpRequest, at: Duration, state: &'static str) -> Self {
        let last = request.path.rsplit('/').next().unwrap_or_default();
        let reads = ["_search", "_mget", "_pit", "_refresh", "_count", "_has_privileges"];
        let is_write = request.method != "GET" && !reads.contains(&last);
        let mut sent = Self { request, at, state, operations: 0, is_write };
        sent.operations = sent.bulk().len();
        sent
    }

    pub(crate) fn is_bulk(&self) -> bool {
        self.request.path.ends_with("/_bulk")
    }

    pub(crate) fn size(&self) -> usize {
        self.request.body.as_ref().map_or(0, Bytes::len)
    }

    /// Returns the operations of a bulk: the action, the id, and the lines.
    pub(crate) fn bulk(&self) -> Vec<(String, String, Vec<&[u8]>)> {
        let body = match &self.request.body {
            Some(body) if self.is_bulk() => body,
            _ => return Vec::new(),
        };
        let mut lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut operations = Vec::new();
        while let Some(line) = lines.next() {
            let action: Value = serde_json::from_slice(line).expect("an action is JSON");
            let (name, target) = action.as_object().and_then(|action| action.iter().next()).expect("one action");
            let id = target["_id"].as_str().unwrap_or_default().to_owned();
            let mut whole = vec![line];
            if name != "delete" {
                whole.extend(lines.next());
            }
            operations.push((name.clone(), id, whole));
        }
        operations
    }

    /// Returns the names of the objects and indices that it is about.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.bulk().into_iter().map(|(_, id, _)| id).collect();
        let decoded = self.request.path.replace("%3A", ":");
        names.extend(decoded.split(['/', ',']).map(str::to_owned));
        names
    }

    /// Returns a short description of the request.
    pub(crate) fn words(&self) -> String {
        let HttpRequest { method, path, body, .. } = &self.request;
        let path = path.replace("%3A", ":");
        if self.is_bulk() {
            let operations: Vec<String> =
                self.bulk().iter().map(|(name, id, lines)| operation(name, id, lines)).collect();
            return format!("{method} {path} {}", operations.join(", "));
        }
        let told = ["_aliases", "_settings", "_mget"];
        match body {
            Some(body) if told.iter().any(|end| path.ends_with(end)) => {
                format!("{method} {path} {}", String::from_utf8_lossy(body))
            }
            _ => format!("{method} {path}"),
        }
    }

    /// Returns a short description of the server's answer.
    pub(crate) fn outcome(&self, answer: &HttpAnswer) -> String {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if let Some(items) = body["items"].as_array() {
            let item = |item: &Value| {
                let item = item.as_object().and_then(|item| item.values().next()).cloned().unwrap_or_default();
                match item["_seq_no"].as_u64() {
                    Some(number) => format!("{} #{number}", item["status"]),
                    None => format!("{} {}", item["status"], item["error"]["type"].as_str().unwrap_or_default()),
                }
            };
            return format!("{}: {}", answer.status, items.iter().map(item).collect::<Vec<_>>().join(", "));
        }
        match body["error"]["type"].as_str() {
            Some(kind) => format!("{} {kind}", answer.status),
            None => match body["_seq_no"].as_u64() {
                Some(number) => format!("{} #{number}", answer.status),
                None => answer.status.to_string(),
            },
        }
    }
}

fn operation(name: &str, id: &str, lines: &[&[u8]]) -> String {
    let json =
        |at: usize| lines.get(at).and_then(|line| serde_json::from_slice::<Value>(line).ok()).unwrap_or_default();
    let (action, source) = (json(0), json(1));
    let condition = match action[name]["if_seq_no"].as_u64() {
        Some(number) => format!(" if #{number}"),
        None => String::new(),
    };
    let type_name = source["type"].as_str().unwrap_or_default();
    let value = ["owner", "count"].iter().find_map(|field| source[type_name].get(field));
    let value = value.map(|value| format!(" = {value}")).unwrap_or_default();
    let version = source["typeMigrationVersion"].as_str().map(|version| format!(" at {version}")).unwrap_or_default();
    format!("{name} {id}{condition}{value}{version}")
}
