//! Answers that do not come from the server: pages of proxies, redirects, incomplete answers, other products.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::cluster::elastic::{HttpAnswer, HttpRequest, NoAnswer, Transport};
use saved_objects::cluster::{AliasAction, Cluster, Elastic};
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::repository::{Create, Increment, ObjectKey};
use saved_objects::{Error, ErrorKind, SavedObjects, Start};
use serde_json::json;

use crate::context::{self, Context};
use crate::migration::{note, object, version};
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        an_answer_to_a_redirect_is_none,
        opensearch_is_refused_by_name,
        serverless_is_refused_by_name,
        a_write_that_was_done_is_settled_whatever_came_in_the_place_of_the_answer,
        a_read_with_half_an_answer_is_repeated,
    )
}

/// A server that answers each request by its line, such as `GET / HTTP/1.1`, with a status, headers and a body.
struct Stub {
    url: String,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    async fn start(answer: impl Fn(&str) -> (u16, String, String) + Send + Sync + 'static) -> Self {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (lines, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let seen = lines.clone();
        tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let (seen, answer) = (seen.clone(), answer.clone());
                tokio::spawn(async move {
                    let mut buffer = vec![0; 65536];
                    let read = stream.read(&mut buffer).await.unwrap_or(0);
                    let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
                    let line = text.lines().next().unwrap_or_default().to_owned();
                    let (status, headers, body) = answer(&line);
                    seen.lock().expect("not poisoned").push(line);
                    let length = body.len();
                    let head = format!(
                        "HTTP/1.1 {status} Any\r\n{headers}content-type: application/json\r\ncontent-length: {length}\r\n\
                         connection: close\r\n\r\n"
                    );
                    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
                });
            }
        });
        Self { url, lines }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("not poisoned").clone()
    }
}

const PRODUCT: &str = "X-Elastic-Product: Elasticsearch\r\n";

/// Asserts that a start, a command and a read of a store that did not migrate name the product, and that nothing is
/// written.
async fn assert_refused_by_name(context: &Context, stub: &Stub, name: &str, hint: &str) {
    let builder = || {
        let registry = Registry::builder().with(counters()).build().expect("fine");
        let builder = SavedObjects::builder(registry).prefix(context.prefix.clone()).key_ring(context::key_ring());
        builder.elasticsearch(stub.url.as_str())
    };
    for start in [Start::Migrate, Start::WaitOnly] {
        let error = builder().start(start).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.message().contains(name), "{error}");
        assert!(error.hint().is_some_and(|given| given.contains(hint)), "{error}");
    }
    for command in [&["migrate", "--json"][..], &["migrate", "--plan", "--json"], &["status", "--json"]] {
        let ran =
            crate::cli::spawn(&stub.url, &context.prefix, command, &[]).wait_with_output().await.expect("it ends");
        let text = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(1), "{command:?}: {text}");
        assert!(text.contains(name) && text.contains(hint), "{command:?}: {text}");
    }
    let cluster = Elastic::builder(stub.url.as_str()).build().expect("fine");
    let error = Error::from(cluster.version().await.expect_err("refused"));
    assert!(error.message().contains(name), "{error}");
    let store = builder().start(Start::Skip).await.expect("it sends nothing");
    let error = store.repository().get(&ObjectKey::new("note", "c")).await.expect_err("refused");
    assert!(error.message().contains(name), "{error}");
    let is_write =
        |line: &String| ["PUT", "DELETE"].iter().any(|verb| line.starts_with(verb)) || line.contains("_bulk");
    assert!(!stub.lines().iter().any(is_write), "{:?}", stub.lines());
}

async fn opensearch_is_refused_by_name(context: Context) {
    // As OpenSearch 3.6.0 answers: without the header, and with the errors of Elasticsearch.
    let stub = Stub::start(|line| match line {
        "GET / HTTP/1.1" => {
            let version = json!({"distribution": "opensearch", "number": "3.6.0", "build_type": "tar"});
            (200, String::new(), json!({"name": "node", "version": version}).to_string())
        }
        line if line.contains("/_doc/") => (404, String::new(), json!({"found": false}).to_string()),
        _ => (200, String::new(), "{}".to_owned()),
    })
    .await;
    assert_refused_by_name(&context, &stub, "OpenSearch", "points in time").await;
    let of_one_start = stub.lines().iter().filter(|line| *line == "GET / HTTP/1.1").count();
    assert!(of_one_start <= 8, "no request is repeated: {:?}", stub.lines());
}

async fn serverless_is_refused_by_name(context: Context) {
    let stub = Stub::start(|line| match line {
        "GET / HTTP/1.1" => {
            let version = json!({"number": "8.11.0", "build_flavor": "serverless", "build_type": "docker"});
            (200, PRODUCT.to_owned(), json!({"name": "serverless", "version": version}).to_string())
        }
        line if line.contains("?ignore_unavailable") => (200, PRODUCT.to_owned(), "{}".to_owned()),
        _ => {
            let error = json!({"type": "api_not_available_exception", "reason": "not available in serverless mode"});
            (410, PRODUCT.to_owned(), json!({"error": error, "status": 410}).to_string())
        }
    })
    .await;
    assert_refused_by_name(&context, &stub, "Serverless", "self-managed").await;
}

async fn an_answer_to_a_redirect_is_none(_: Context) {
    let stub = Stub::start(|line| {
        if line.starts_with("GET") {
            return (200, PRODUCT.to_owned(), "{}".to_owned());
        }
        let path = line.split(' ').nth(1).unwrap_or("/");
        (301, format!("location: /elsewhere{path}\r\n"), String::new())
    })
    .await;
    let url = stub.url.as_str();
    let cluster = Elastic::builder(url).build().expect("fine");
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
