//! What an operator does to a cluster, or what befalls it, beside the requests of clients.

use super::snapshot::{RestoreOptions, Snapshot};
use super::{InMemory, at};
use crate::cluster::ClusterResult;

impl InMemory {
    /// Takes a snapshot of indices.
    ///
    /// # Errors
    /// [`IndexNotFound`](crate::cluster::ClusterErrorKind::IndexNotFound).
    pub fn snapshot(&self, names: &[&str]) -> ClusterResult<Snapshot> {
        self.inner.state().snapshot(names).map_err(|error| at("PUT", "_snapshot", error))
    }

    /// Restores an index of a snapshot under its name. It gets the documents, mapping and settings (blocks too) of the
    /// snapshot, and a new history uuid; its primary term rises. An index that is there keeps its uuid.
    ///
    /// # Errors
    /// [`IndexNotFound`](crate::cluster::ClusterErrorKind::IndexNotFound) if the snapshot does not have it,
    /// [`Unexpected`](crate::cluster::ClusterErrorKind::Unexpected) if an open index has the name.
    pub fn restore(&self, snapshot: &Snapshot, index: &str, options: RestoreOptions) -> ClusterResult<()> {
        let restored = self.inner.state().restore(snapshot, index, options);
        restored.map_err(|error| at("POST", "_snapshot/_restore", error))
    }

    /// A snapshot of these indices is under way from now on: they can be neither deleted nor closed.
    pub fn begin_snapshot(&self, names: &[&str]) {
        self.inner.state().in_snapshot = names.iter().map(|&name| name.to_owned()).collect();
    }

    /// No snapshot is under way any more.
    pub fn end_snapshot(&self) {
        self.inner.state().in_snapshot.clear();
    }

    /// The credentials no longer see the indices whose names begin with `prefix`: [`indices`](crate::cluster::Cluster::indices)
    /// leaves them out as if they were not there.
    pub fn hide(&self, prefix: &str) {
        self.inner.state().hidden.push(prefix.to_owned());
    }

    /// Closes an index. Its documents can be neither read nor written until it is opened.
    ///
    /// # Errors
    /// [`IndexNotFound`](crate::cluster::ClusterErrorKind::IndexNotFound), or why it cannot be closed.
    pub fn close_index(&self, index: &str) -> ClusterResult<()> {
        let closed = self.inner.state().close_index(index);
        closed.map(drop).map_err(|error| at("POST", format!("{index}/_close"), error))
    }

    /// Opens an index that was closed.
    ///
    /// # Errors
    /// [`IndexNotFound`](crate::cluster::ClusterErrorKind::IndexNotFound).
    pub fn open_index(&self, index: &str) -> ClusterResult<()> {
        self.inner.state().open_index(index).map_err(|error| at("POST", format!("{index}/_open"), error))
    }

    /// Another copy of the index's shard becomes the primary: later writes carry a higher primary term.
    ///
    /// # Errors
    /// [`IndexNotFound`](crate::cluster::ClusterErrorKind::IndexNotFound).
    pub fn fail_over(&self, index: &str) -> ClusterResult<()> {
        let mut state = self.inner.state();
        let documents = &mut state.index_mut(index).map_err(|error| at("POST", "_cluster/reroute", error))?.documents;
        documents.set_primary_term(documents.primary_term() + 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::elastic::{HttpAnswer, HttpRequest};
    use crate::environment::Environment;

    fn ask(memory: &InMemory, method: &'static str, path: &str, body: &str) -> HttpAnswer {
        memory.answer(&request(method, path, body))
    }

    fn request(method: &'static str, path: &str, body: &str) -> HttpRequest {
        HttpRequest {
            method,
            path: path.to_owned(),
            query: vec![("require_alias", "true".to_owned())],
            content_type: "application/json",
            body: (!body.is_empty()).then(|| Bytes::from(body.to_owned())),
            timeout: Duration::from_secs(1),
        }
    }

    fn json_of(answer: &HttpAnswer) -> Value {
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    fn with_index() -> InMemory {
        let memory = InMemory::new(Environment::system());
        let body = r#"{"mappings":{"properties":{"n":{"type":"long"}}},"aliases":{"alias":{}}}"#;
        assert_eq!(ask(&memory, "PUT", "index", body).status, 200);
        memory
    }

    const TWO: &str = "{\"create\":{\"_id\":\"1\"}}\n{\"n\":1}\n{\"create\":{\"_id\":\"2\"}}\n{\"n\":2}\n";

    #[test]
    fn a_server_can_die_in_the_middle_of_a_bulk() {
        for done in 0..=2 {
            let memory = with_index();
            memory.answer_part(&request("POST", "alias/_bulk", TWO), done);
            let answer = ask(&memory, "POST", "alias/_mget", r#"{"ids":["1","2"]}"#);
            let found: Vec<Value> = ["/docs/0/found", "/docs/1/found"]
                .iter()
                .map(|path| json_of(&answer).pointer(path).expect("a document").clone())
                .collect();
            assert_eq!(found, [json!(done > 0), json!(done > 1)], "{done}");
        }
    }

    #[test]
    fn a_new_primary_writes_under_a_new_term() {
        let memory = with_index();
        ask(&memory, "POST", "alias/_bulk", TWO);
        memory.fail_over("index").expect("it is there");
        ask(&memory, "POST", "alias/_bulk", "{\"index\":{\"_id\":\"2\"}}\n{\"n\":3}\n");
        for (id, sequence) in [("1", [0, 1]), ("2", [2, 2])] {
            let answer = json_of(&ask(&memory, "GET", &format!("alias/_doc/{id}"), ""));
            assert_eq!([&answer["_seq_no"], &answer["_primary_term"]], sequence, "{id}");
        }
        let stats = json_of(&ask(&memory, "GET", "index/_stats", ""));
        let shard = &stats["indices"]["index"]["shards"]["0"][0];
        assert_eq!([&shard["seq_no"]["max_seq_no"], &shard["retention_leases"]["primary_term"]], [2, 2]);
        assert!(memory.fail_over("nothing").is_err());
    }

    #[test]
    fn the_same_requests_get_the_same_answers() {
        let run = || {
            let memory = with_index();
            let answers = [
                ask(&memory, "POST", "alias/_bulk", TWO),
                ask(&memory, "GET", "index,alias", ""),
                ask(&memory, "GET", "index/_stats", ""),
                ask(&memory, "POST", "alias/_search", "{}"),
            ];
            assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
            answers
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn what_is_not_modelled_is_refused() {
        let memory = with_index();
        for (method, path, body) in [
            ("POST", "index/_update/1", "{}"),
            ("POST", "index/_search", r#"{"aggs":{"a":{"terms":{"field":"n"}}}}"#),
            ("POST", "index/_search", r#"{"query":{"fuzzy":{"n":1}}}"#),
            ("POST", "index/_search", r#"{"highlight":{}}"#),
            ("POST", "alias/_bulk", "{\"update\":{\"_id\":\"1\"}}\n{}\n"),
            ("PUT", "other", r#"{"settings":{"index.sort.field":"n"}}"#),
            ("POST", "_aliases", r#"{"actions":[{"add":{"index":"index","alias":"x","filter":{}}}]}"#),
        ] {
            assert_eq!(ask(&memory, method, path, body).status, 400, "{method} {path} {body}");
        }
    }
}
