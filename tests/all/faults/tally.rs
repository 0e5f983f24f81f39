//! Counts the writes of migrations: at most one for each state of a document and written version.

use std::collections::BTreeMap;
use std::sync::Mutex;

use saved_objects::cluster::{BulkAction, BulkRequest, ItemOutcome};
use serde_json::Value;

/// A write: alias, `_id`, sequence number that was read (none if it created the document), and written version.
type Write = (String, String, Option<u64>, String);

/// What all migrators of a race have written, according to the cluster's answers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    written: Mutex<BTreeMap<Write, u64>>,
    /// The number of staging indices. Each one gets every document once.
    fills: Mutex<u64>,
}

impl Tally {
    pub(super) fn fill_created(&self) {
        *self.fills.lock().expect("not poisoned") += 1;
    }

    /// Counts what a bulk did.
    pub(super) fn bulk(&self, request: &BulkRequest<'_>, outcomes: &[ItemOutcome]) {
        for (operation, _) in request.operations.iter().zip(outcomes).filter(|(_, outcome)| outcome.is_ok()) {
            let read = match &operation.action {
                BulkAction::Replace { read, .. } => Some(read.seq_no),
                _ => None,
            };
            let Some(source) = operation.action.source() else { continue };
            self.count(request.alias, &operation.id, read, source);
        }
    }

    /// Counts the writes of a request over HTTP.
    pub(super) fn exchange(&self, path: &str, request: &[u8], answer: &[u8]) {
        let path = path.trim_start_matches('/').split('?').next().unwrap_or_default();
        let Ok(answer) = serde_json::from_slice::<Value>(answer) else { return };
        // No other request about a whole index has a body.
        if path.contains("-fill-") && !path.contains('/') && !request.is_empty() && answer["acknowledged"] == true {
            self.fill_created();
        }
        let Some(alias) = path.strip_suffix("/_bulk") else { return };
        let mut lines = request.split(|byte| *byte == b'\n');
        for item in answer["items"].as_array().into_iter().flatten() {
            let action: Value = serde_json::from_slice(lines.next().expect("as many operations")).expect("JSON");
            let (name, action) = action.as_object().and_then(|action| action.iter().next()).expect("an action");
            if name == "delete" {
                continue;
            }
            let source = lines.next().expect("a document");
            if item[name]["status"].as_u64().is_some_and(|status| status < 300) {
                let id = action["_id"].as_str().expect("an id");
                self.count(alias, id, action["if_seq_no"].as_u64(), source);
            }
        }
    }

    fn count(&self, alias: &str, id: &str, read: Option<u64>, source: &[u8]) {
        // The lease is not an object.
        if alias.ends_with("-control") {
            return;
        }
        let source: Value = serde_json::from_slice(source).expect("JSON");
        let version = source["typeMigrationVersion"].as_str().unwrap_or_default().to_owned();
        let write = (alias.to_owned(), id.to_owned(), read, version);
        *self.written.lock().expect("not poisoned").entry(write).or_default() += 1;
    }

    /// Asserts that no write was done twice, and returns the number of writes.
    pub(super) fn check(&self) -> u64 {
        let fills = *self.fills.lock().expect("not poisoned");
        let written = self.written.lock().expect("not poisoned");
        for (write, count) in written.iter() {
            let most = if write.0.contains("-fill-") { fills } else { 1 };
            assert!(*count <= most, "{write:?} was written {count} times, with {fills} fills");
        }
        written.values().sum()
    }
}
