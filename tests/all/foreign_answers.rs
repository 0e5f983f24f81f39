//! Answers that do not come from the server: pages of proxies, redirects, incomplete answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::cluster::elastic::{HttpAnswer, HttpRequest, NoAnswer, Transport};
use saved_objects::cluster::{AliasAction, Cluster, Elastic};
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::repository::{Create, Increment, ObjectKey};
use saved_objects::{SavedObjects, Start};
use serde_json::json;

use crate::context::{self, Context};
use crate::migration::{note, object, version};
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        an_answer_to_a_redirect_is_none,
        a_write_that_was_done_is_settled_whatever_came_in_the_place_of_the_answer,
        a_read_with_half_an_answer_is_repeated,
    )
}

async fn an_answer_to_a_redirect_is_none(_: Context) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            tokio::spawn(async move {
                let mut buffer = vec![0; 65536];
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                let line = text.lines().next().unwrap_or_default().to_owned();
                let answer = if line.starts_with("GET") {
                    "HTTP/1.1 200 OK\r\nX-Elastic-Product: Elasticsearch\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}".to_owned()
                } else {
                    let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
                    format!(
                        "HTTP/1.1 301 Moved Permanently\r\nlocation: /elsewhere{path}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    )
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    let cluster = Elastic::builder(&url).build().expect("fine");
    let swapped = cluster.update_aliases(&[AliasAction::Add { index: "a".to_owned(), alias: "b".to_owned() }]).await;
    let lifted = cluster.remove_write_block("a").await;
    let mapped = cluster.put_mapping("a", &json!({})).await;
    assert!(swapped.is_err() && lifted.is_err() && mapped.is_err(), "{swapped:?} {lifted:?} {mapped:?}");
}

/// Does each request, and replaces the first answers by another one, or cuts them in half.
#[derive(Debug)]
struct Answers {
    inner: Arc<dyn Transport>,
    ends: &'static str,
    status: u16,
    cut: bool,
    times: AtomicUsize,
}

#[async_trait]
impl Transport for Answers {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, NoAnswer> {
        let is_it = request.path.contains(self.ends) && self.times.load(Ordering::SeqCst) > 0;
        let mut answer = self.inner.send(request).await?;
        if is_it {
            self.times.fetch_sub(1, Ordering::SeqCst);
            if self.cut {
                answer.body = answer.body.slice(..answer.body.len() / 2);
            } else {
                answer = HttpAnswer {
                    status: self.status,
                    is_elasticsearch: false,
                    retry_after: None,
                    body: "<html>no</html>".into(),
                };
            }
        }
        Ok(answer)
    }
}

async fn through(context: &Context, ends: &'static str, status: u16, cut: bool, times: usize) -> SavedObjects {
    let inner = Arc::new(context.memory.as_ref().expect("memory").transport());
    let transport = Arc::new(Answers { inner, ends, status, cut, times: times.into() });
    let cluster = Elastic::builder("http://memory").transport(transport).build().expect("fine");
    let registry = Registry::builder().with(counters()).build().expect("fine");
    SavedObjects::builder(registry)
        .prefix(context.prefix.clone())
        .key_ring(context::key_ring())
        .cluster(Arc::new(cluster))
        .start(Start::Migrate)
        .await
        .expect("it starts")
}

fn counters() -> Vec<TypeDefinition> {
    let sets = json!({"encrypted": [], "bound": []});
    let first = version(json!({"count": {"type": "integer"}}), sets);
    note(first, json!({"dynamic": false, "properties": {"count": {"type": "long"}}}), &[])
}

async fn a_write_that_was_done_is_settled_whatever_came_in_the_place_of_the_answer(context: Context) {
    let plain = through(&context, "nothing", 0, false, 0).await;
    plain.repository().create(Create::new("note", object(json!({"count": 0}))).id("c")).await.expect("created");
    let mut told = Vec::new();
    for status in [429, 413, 401, 407, 400, 403, 404, 421, 499, 500, 501, 520, 302] {
        let before =
            plain.repository().get(&ObjectKey::new("note", "c")).await.expect("there").attributes["count"].as_i64();
        let store = through(&context, "notes-000001-write/_bulk", status, false, 1).await;
        let answer = store.repository().increment(Increment::new(ObjectKey::new("note", "c")).field("count")).await;
        let after =
            plain.repository().get(&ObjectKey::new("note", "c")).await.expect("there").attributes["count"].as_i64();
        told.push((
            status,
            answer.map(|o| o.attributes["count"].clone()).map_err(|e| e.to_string()),
            after.unwrap() - before.unwrap(),
        ));
    }
    assert!(told.iter().all(|(_, _, n)| *n == 1), "{told:?}");
    assert!(told.iter().all(|(_, answer, _)| answer.is_ok()), "{told:?}");
}

async fn a_read_with_half_an_answer_is_repeated(context: Context) {
    let plain = through(&context, "nothing", 0, false, 0).await;
    plain.repository().create(Create::new("note", object(json!({"count": 0}))).id("c")).await.expect("created");
    let store = through(&context, "/_doc/", 0, true, 1).await;
    let got = store
        .repository()
        .get(&ObjectKey::new("note", "c"))
        .await
        .map(|o| o.attributes)
        .map_err(|e| (e.kind(), e.to_string()));
    assert!(got.is_ok(), "{got:?}");
}
