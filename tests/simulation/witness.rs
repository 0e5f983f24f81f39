//! Checks the cluster after each request that was done, and records what must never happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use saved_objects::cluster::elastic::HttpAnswer;
use saved_objects::cluster::{Cluster, InMemory, IndexState};
use saved_objects::layout::{IndexNames, Prefix};
use serde_json::Value;

use crate::executor::{NodeId, lock};
use crate::network::{Network, Sender};
use crate::node::Life;
use crate::request::Sent;
use crate::types::GROUPS;

/// A record in `_meta` that was read before another one was made, and written after it. Elasticsearch has no condition
/// for it, so what was recorded is lost until the next node records it. Counted separately; in the end nothing may be
/// missing.
const OVERWRITTEN: &str = "known limit: a record in _meta was overwritten by an older one";

/// A creation that was delivered again, or that landed when its sender had given up on it, after the object was
/// deleted: no condition distinguishes it from a new one. Counted separately.
pub(crate) const REVIVED: &str = "known limit: a creation delivered again after a deletion";

/// The network delivered an answered request again, and its condition was true by then: a write that was refused
/// because the gate of a copy was closed is done after it opens. Counted separately.
pub(crate) const REPEATED: &str = "known limit: the network repeated an answered request, and it was done then";

/// A request from before a restore, or from before a move of an alias, landed after it, where its sequence number
/// exists again. Counted separately.
pub(crate) const OF_BEFORE: &str = "known limit: a request of before a restore landed after it";

/// The beginning of all secrets: it must never be in a request.
pub(crate) const SECRET: &str = "plain-secret-";

/// Sees everything that the server does.
#[derive(Debug)]
pub(crate) struct Witness {
    groups: Vec<IndexNames>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// The indices of other software, by name, with their ids.
    foreign: BTreeMap<String, String>,
    /// The generations that were current at any time, by id, with their names.
    was_current: BTreeMap<String, String>,
    /// The ids of indices that the operator asked to be deleted.
    may_be_dropped: BTreeSet<String>,
    /// The number of running commands that delete what is not current.
    dropping: usize,
    /// The documents of writes that a proxy called too large, by id.
    too_large: BTreeSet<String>,
    /// How often the creation of a document with a value was delivered.
    creations: BTreeMap<(String, Option<String>), u64>,
    /// What the network did by itself to documents, by id.
    echoes: BTreeMap<String, Vec<Echo>>,
    /// The time since when the stored state of a type is given.
    given: BTreeMap<&'static str, Duration>,
    /// The number of writes that each formerly current generation had taken before the last deletion, by id, if
    /// everything that it was copied from was still in its source.
    writes: BTreeMap<String, u64>,
    /// The authorization that each node began last.
    authorizations: BTreeMap<NodeId, String>,
    /// The maximum of what `_meta` said, by the id of the index.
    most: BTreeMap<String, Value>,
}

/// A write that the network did by itself: its sender had stopped waiting, and its condition was true.
#[derive(Debug, Clone)]
pub(crate) struct Echo {
    /// The name of the limit.
    pub(crate) limit: &'static str,
    /// What was written; `None` if the document was deleted.
    pub(crate) value: Option<String>,
    pub(crate) at: Duration,
}

impl Witness {
    pub(crate) fn new(prefix: &Prefix) -> Self {
        let groups = GROUPS.into_iter().chain(["connectors"]).map(|group| prefix.group(group)).collect();
        Self { groups, seen: Mutex::default() }
    }

    /// Registers an index of other software, which must not change.
    pub(crate) fn is_foreign(&self, name: &str, state: &IndexState) {
        lock(&self.seen).foreign.insert(name.to_owned(), state.uuid.clone());
    }

    /// Returns whether an index belongs to other software.
    pub(crate) fn is_of_others(&self, name: &str) -> bool {
        lock(&self.seen).foreign.contains_key(name)
    }

    /// Returns whether an index was current at any time.
    pub(crate) fn was_current(&self, uuid: &str) -> bool {
        lock(&self.seen).was_current.contains_key(uuid)
    }

    /// Returns whether an index with this name was current at any time.
    pub(crate) fn was_current_by_name(&self, name: &str) -> bool {
        lock(&self.seen).was_current.values().any(|known| known == name)
    }

    /// Records that an index gets older content: what its `_meta` said since then is lost.
    pub(crate) fn is_restored(&self, uuid: &str) {
        lock(&self.seen).most.remove(uuid);
    }

    /// Records that a proxy calls a bulk too large.
    pub(crate) fn is_called_too_large(&self, sent: &Sent) {
        lock(&self.seen).too_large.extend(sent.bulk().into_iter().map(|(_, id, _)| id));
    }

    /// Returns whether a proxy called a write of this document too large.
    pub(crate) fn was_called_too_large(&self, id: &str) -> bool {
        lock(&self.seen).too_large.contains(id)
    }

    /// Records that the operator starts to delete what is not current: any index that is not current, then or before
    /// the command ends, may be deleted.
    pub(crate) fn begins_to_drop(&self, network: &Network) {
        lock(&self.seen).dropping += 1;
        self.check(network, "the operator drops what is old");
    }

    /// Records that such a command ends.
    pub(crate) fn ends_to_drop(&self) {
        lock(&self.seen).dropping -= 1;
    }

    /// Returns how often the creation of a document with a value was delivered.
    pub(crate) fn creations(&self, id: &str, value: Option<&str>) -> u64 {
        let creation = (id.to_owned(), value.map(str::to_owned));
        lock(&self.seen).creations.get(&creation).copied().unwrap_or_default()
    }

    /// Returns what the network did by itself to a document.
    pub(crate) fn echoes(&self, id: &str) -> Vec<Echo> {
        lock(&self.seen).echoes.get(id).cloned().unwrap_or_default()
    }

    /// Records that the stored state of a type is given from now on.
    pub(crate) fn is_given(&self, type_name: &'static str, now: Duration) {
        lock(&self.seen).given.insert(type_name, now);
    }

    /// Returns the authorization that a node began last.
    pub(crate) fn last_authorization(&self, node: NodeId) -> Option<String> {
        lock(&self.seen).authorizations.get(&node).cloned()
    }

    /// Checks a request before it is done: what it deletes cannot be checked later.
    pub(crate) fn before(&self, network: &Network, sent: &Sent) {
        let body = sent.request.body.as_deref().unwrap_or_default();
        if sent.request.method != "DELETE" && !body.windows(12).any(|window| window == b"remove_index") {
            return;
        }
        let mut seen = lock(&self.seen);
        let history = |name: &str| network.memory.history(name).now_or_never()?.ok();
        let writes = seen.was_current.iter().filter_map(|(uuid, name)| {
            // What it was copied from must still be in its source, otherwise it is not only a copy.
            let copy = &seen.most.get(uuid)?["copy"];
            let source = history(copy["source"].as_str()?)?;
            let is_held =
                copy["source_history"].as_str()? == source.id && copy["source_writes"].as_u64()? <= source.writes;
            is_held.then_some((uuid.clone(), history(name)?.writes))
        });
        seen.writes = writes.collect();
    }

    /// Checks what `sent` did.
    pub(crate) fn done(&self, network: &Network, life: &Life, sent: &Sent, answer: &HttpAnswer, sender: Sender) {
        if !sent.is_write {
            return;
        }
        let has_secret = |body: &Bytes| body.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        if sent.request.body.as_ref().is_some_and(has_secret) {
            let how = format!("{} sent a secret in clear: {}", life.name, sent.words());
            network.journal.broken("no secret is stored in clear", sent.request.path.clone(), how);
        }
        if sent.is_bulk() {
            let now = network.simulator.now();
            return lock(&self.seen).written(life.id, sent, answer, sender, now);
        }
        if (200..300).contains(&answer.status) {
            self.check(network, &format!("{}: {}", life.name, sent.words()));
        }
    }

    /// Checks all indices in the quiet time at the end.
    pub(crate) fn check_the_end(&self, network: &Network) {
        self.check_indices(network, "the end", true);
    }

    /// Checks all indices after `what` was done.
    pub(crate) fn check(&self, network: &Network, what: &str) {
        self.check_indices(network, what, false);
    }

    fn check_indices(&self, network: &Network, what: &str, is_end: bool) {
        let now = indices(&network.memory);
        let mut seen = lock(&self.seen);
        let broken = |promise, subject: &str, how: String| network.journal.broken(promise, subject, how);
        for (name, uuid) in &seen.foreign {
            if now.get(name).is_none_or(|state| state.uuid != *uuid) {
                broken("a foreign index is left alone", name, format!("{name} is gone after: {what}"));
            }
        }
        let ids: BTreeSet<&str> = now.values().map(|state| state.uuid.as_str()).collect();
        let gone: Vec<String> = seen.was_current.keys().filter(|id| !ids.contains(id.as_str())).cloned().collect();
        for id in gone {
            let name = seen.was_current.remove(&id).unwrap_or_default();
            // What a rollback left can be made again, since it has no writes of users.
            let recorded = seen.most.get(&id).and_then(|meta| meta["copy"]["complete"]["writes"].as_u64());
            let is_a_copy_only = recorded.is_some() && recorded == seen.writes.get(&id).copied();
            if !is_a_copy_only && !seen.may_be_dropped.contains(&id) {
                let how = format!("{name} was current and was written to, and is deleted after: {what}");
                broken("no generation that was current is deleted unasked", &name, how);
            }
        }
        for (name, state) in &now {
            if self.groups.iter().any(|names| state.aliases.contains_key(names.alias())) {
                seen.was_current.insert(state.uuid.clone(), name.clone());
            } else if seen.dropping > 0 {
                seen.may_be_dropped.insert(state.uuid.clone());
            }
            let meta = state.mapping.get("_meta").and_then(|meta| meta.get("saved_objects"));
            let Some(meta) = meta else { continue };
            let most = seen.most.entry(state.uuid.clone()).or_insert_with(|| meta.clone());
            if let Some(lost) = shrunk(most, meta, "") {
                let is_current = self.groups.iter().any(|names| state.aliases.contains_key(names.alias()));
                if is_end && is_current {
                    broken("facts in _meta never shrink", name, format!("{lost} of {name} in the end"));
                }
                network.journal.count(OVERWRITTEN);
            }
            merge(most, meta);
        }
    }
}

impl Seen {
    /// Records the documents of a bulk.
    fn written(&mut self, node: NodeId, sent: &Sent, answer: &HttpAnswer, sender: Sender, now: Duration) {
        // Copies, rotations and other passes write what users wrote before.
        let is_of_user = sent.state == "-";
        let is_old = self.given.values().any(|given| sent.at < *given);
        let answer: Value = match sender != Sender::Waits || is_old {
            true => serde_json::from_slice(&answer.body).unwrap_or_default(),
            false => Value::Null,
        };
        for (place, (name, id, lines)) in sent.bulk().into_iter().enumerate() {
            let source: Value = lines.get(1).and_then(|line| serde_json::from_slice(line).ok()).unwrap_or_default();
            let type_name = id.split(':').next().unwrap_or_default();
            let value = ["owner", "count"].iter().find_map(|field| source[type_name].get(field));
            let value = value.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            if name == "create" {
                if type_name == "oauth_state" {
                    self.authorizations.insert(node, id.clone());
                }
                *self.creations.entry((id.clone(), value.clone())).or_default() += 1;
            }
            let is_done = answer["items"][place][&name]["status"].as_u64().is_some_and(|status| status < 300);
            let limit = match sender {
                _ if self.given.get(type_name).is_some_and(|given| sent.at < *given) => Some(OF_BEFORE),
                Sender::WasAnswered => Some(REPEATED),
                Sender::GaveUp if name == "create" => Some(REVIVED),
                Sender::GaveUp | Sender::Waits => None,
            };
            if let (Some(limit), true, true) = (limit, is_of_user, is_done) {
                self.echoes.entry(id).or_default().push(Echo { limit, value, at: now });
            }
        }
    }
}

/// Returns all indices.
pub(crate) fn indices(memory: &InMemory) -> BTreeMap<String, IndexState> {
    memory.indices(&["*"]).now_or_never().expect("a cluster in memory answers at once").expect("it answers")
}

/// Merges `now` into `most`, by maximum.
fn merge(most: &mut Value, now: &Value) {
    match (most, now) {
        (Value::Object(most), Value::Object(now)) => {
            for (key, value) in now {
                match most.get_mut(key) {
                    Some(known) => merge(known, value),
                    None => drop(most.insert(key.clone(), value.clone())),
                }
            }
        }
        (most @ Value::Number(_), Value::Number(now)) if now.as_f64() <= most.as_f64() => {}
        (most, now) => *most = now.clone(),
    }
}

/// Returns what `after` lacks of the facts of `before`; `None` if it has all of them.
fn shrunk(before: &Value, after: &Value, at: &str) -> Option<String> {
    match (before, after) {
        // The record of when an index got a mapping is for the next pass, and a rescan repairs its loss: what counts is
        // that documents are found.
        (Value::Object(before), Value::Object(after)) => {
            before.iter().filter(|(key, _)| *key != "mapped").find_map(|(key, value)| {
                let at = format!("{at}.{key}");
                match after.get(key) {
                    None => Some(format!("{at} is gone")),
                    Some(now) => shrunk(value, now, &at),
                }
            })
        }
        (Value::Number(before), Value::Number(after)) if after.as_f64() < before.as_f64() => {
            Some(format!("{at} went from {before} to {after}"))
        }
        _ => None,
    }
}
