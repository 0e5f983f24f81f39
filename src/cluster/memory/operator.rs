//! What an operator does to a cluster, or what happens to it, apart from clients' requests.

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

    /// Restores an index of a snapshot under its name.
    ///
    /// The index gets the snapshot's documents, mapping and settings (blocks too), and a new history uuid; its primary
    /// term rises. An existing index keeps its uuid.
    ///
    /// # Errors
    /// [`IndexNotFound`](crate::cluster::ClusterErrorKind::IndexNotFound) if the snapshot does not have it,
    /// [`Unexpected`](crate::cluster::ClusterErrorKind::Unexpected) if an open index has the name.
    pub fn restore(&self, snapshot: &Snapshot, index: &str, options: RestoreOptions) -> ClusterResult<()> {
        let restored = self.inner.state().restore(snapshot, index, options);
        restored.map_err(|error| at("POST", "_snapshot/_restore", error))
    }

    /// Begins a snapshot of these indices: from now on they can be neither deleted nor closed.
    pub fn begin_snapshot(&self, names: &[&str]) {
        self.inner.state().in_snapshot = names.iter().map(|&name| name.to_owned()).collect();
    }

    /// Ends the snapshot in progress.
    pub fn end_snapshot(&self) {
        self.inner.state().in_snapshot.clear();
    }

    /// Hides the indices whose names begin with `prefix` from the credentials:
    /// [`indices`](crate::cluster::Cluster::indices) leaves them out as if they did not exist.
    pub fn hide(&self, prefix: &str) {
        self.inner.state().hidden.push(prefix.to_owned());
    }

    /// Closes an index. Its documents can be neither read nor written until it is opened.
    ///
    /// # Errors
    /// [`IndexNotFound`](crate::cluster::ClusterErrorKind::IndexNotFound), or the reason why the index cannot be
    /// closed.
    pub fn close_index(&self, index: &str) -> ClusterResult<()> {
        let closed = self.inner.state().close_index(index);
        closed.map(drop).map_err(|error| at("POST", format!("{index}/_close"), error))
    }

    /// Opens a closed index.
    ///
    /// # Errors
    /// [`IndexNotFound`](crate::cluster::ClusterErrorKind::IndexNotFound).
    pub fn open_index(&self, index: &str) -> ClusterResult<()> {
        self.inner.state().open_index(index).map_err(|error| at("POST", format!("{index}/_open"), error))
    }

    /// Makes another copy of the index's shard the primary: later writes have a higher primary term.
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
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::elastic::{HttpAnswer, HttpRequest};
    use crate::cluster::{Cluster, ClusterErrorKind, Elastic, Query, Search, SearchIn};
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

    #[tokio::test]
    async fn an_error_of_the_cluster_in_memory_blames_no_server() {
        let memory = with_index();
        let text = |text: &str| Query::Text { fields: vec!["n".into()], text: text.into(), all_words: false };
        let search = |query| Search::new(SearchIn::Index("index".into()), query);
        let mapping = serde_json::json!({ "properties": { "a": { "type": "ip" } } });
        let elastic = Elastic::builder("http://memory").transport(Arc::new(memory.transport())).build().expect("fine");
        let clusters: [&dyn Cluster; 2] = [&memory, &elastic];
        for cluster in clusters {
            let errors = [
                cluster.search(&search(text("secret~"))).await.expect_err("not supported"),
                cluster.put_mapping("index", &mapping).await.expect_err("not supported"),
            ];
            for error in errors {
                assert_eq!(error.kind, ClusterErrorKind::Unsupported);
                let error = crate::Error::from(error);
                assert_eq!(error.kind(), crate::ErrorKind::Invalid);
                assert!(error.message().starts_with("the cluster in memory does not support "), "{error}");
                assert!(error.hint().is_some_and(|hint| hint.contains("saved-objects dev up")), "{error}");
                assert!(!error.to_string().contains("secret"), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn searches_can_see_writes_immediately() {
        let memory = with_index();
        let all = Search::new(SearchIn::Index("index".into()), Query::Everything);
        ask(&memory, "POST", "alias/_bulk", TWO);
        assert_eq!(memory.search(&all).await.expect("found").hits.len(), 0);
        memory.refresh_immediately();
        assert_eq!(memory.search(&all).await.expect("found").hits.len(), 2);
    }

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
    fn what_is_not_supported_is_refused_and_says_so() {
        let memory = with_index();
        for (method, path, body) in [
            ("POST", "index/_update/1", "{}"),
            ("POST", "index/_search", r#"{"aggs":{"a":{"percentiles":{"field":"n"}}}}"#),
            ("POST", "index/_search", r#"{"aggs":{"a":{"terms":{"field":"n","missing":1}}}}"#),
            ("POST", "index/_search", r#"{"query":{"fuzzy":{"n":1}}}"#),
            (
                "POST",
                "index/_search",
                r#"{"query":{"simple_query_string":{"query":"a~","fields":["n"],"lenient":true}}}"#,
            ),
            ("PUT", "other", r#"{"mappings":{"properties":{"a":{"type":"ip"}}}}"#),
            ("PUT", "other", r#"{"mappings":{"properties":{"a":{"type":"text","analyzer":"english"}}}}"#),
            ("PUT", "other", r#"{"mappings":{"dynamic_templates":[]}}"#),
        ] {
            let answer = ask(&memory, method, path, body);
            assert_eq!(answer.status, 400, "{method} {path} {body}");
            let text = String::from_utf8_lossy(&answer.body);
            assert!(text.contains("the cluster in memory does not support "), "{method} {path} {body}: {text}");
        }
        for (method, path, body) in [
            ("POST", "index/_search", r#"{"highlight":{}}"#),
            ("POST", "alias/_bulk", "{\"update\":{\"_id\":\"1\"}}\n{}\n"),
            ("PUT", "other", r#"{"settings":{"index.sort.field":"n"}}"#),
        ] {
            assert_eq!(ask(&memory, method, path, body).status, 400, "{method} {path} {body}");
        }
    }
}
