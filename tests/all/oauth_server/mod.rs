//! A small OAuth 2.0 server for tests and examples: authorization, token and revocation endpoints, and a service that
//! accepts its tokens. It rotates refresh tokens, notices when one is used twice, can give unusual answers, and records
//! its requests. Its refusals quote the secrets that it received, as real servers do.

mod grants;
mod http;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use grants::Grants;
use http::{Answer, Request};

/// The server, which listens until it is dropped.
pub(crate) struct OAuthServer {
    url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// The configuration of a server.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) client_id: String,
    /// `None` for a public client.
    pub(crate) client_secret: Option<String>,
    /// The lifetime of access tokens in seconds.
    pub(crate) expires_in: u64,
    /// Whether each refresh grants another refresh token, and a second use of one invalidates all tokens of its
    /// authorization.
    pub(crate) rotates: bool,
    /// Whether users consent.
    pub(crate) consents: bool,
    /// Decides whether an assertion is one of the client's.
    pub(crate) accepts_assertion: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            client_id: "client-1".to_owned(),
            client_secret: Some("s3cret of client 1 + & %".to_owned()),
            expires_in: 3_600,
            rotates: true,
            consents: true,
            accepts_assertion: Arc::new(|_| false),
        }
    }
}

/// What happens to a request instead of, or in addition to, its usual handling.
#[derive(Debug, Clone)]
pub(crate) enum Odd {
    /// The request is done after this delay.
    Delay(Duration),
    /// The request is done once this is notified.
    Held(Arc<Notify>),
    /// The request is done, and the connection ends before the answer.
    LoseAnswer,
    /// The request is not done, and never answered.
    Hang,
    /// The request is not done. The answer has this status, these header lines and this body.
    Say { status: u16, headers: &'static str, body: String },
    /// The request is not done. The answer does not end.
    Endless,
}

/// A recorded request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) authorization: Option<String>,
}

struct Shared {
    options: Options,
    grants: Mutex<Grants>,
    asked: Mutex<Vec<Asked>>,
    /// The number of requests.
    count: watch::Sender<usize>,
    odd: Mutex<BTreeMap<String, VecDeque<Odd>>>,
}

impl OAuthServer {
    pub(crate) async fn start(options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            options,
            grants: Mutex::new(Grants::default()),
            asked: Mutex::default(),
            count: watch::Sender::new(0),
            odd: Mutex::default(),
        });
        let for_connections = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(for_connections.clone().serve(stream));
            }
        });
        Self { url: format!("http://{address}"), shared, accepting }
    }

    /// Returns the URL of `/authorize`, `/token`, `/revoke` or `/service`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Sets how the next request to this path is answered. Further calls are for the requests after it.
    pub(crate) fn next(&self, path: &str, odd: Odd) {
        lock(&self.shared.odd).entry(path.to_owned()).or_default().push_back(odd);
    }

    /// Returns the requests to the token endpoint with this grant type.
    pub(crate) fn asked_for(&self, grant_type: &str) -> Vec<Asked> {
        let is_it = |asked: &&Asked| asked.fields.get("grant_type").is_some_and(|other| other == grant_type);
        lock(&self.shared.asked).iter().filter(is_it).cloned().collect()
    }

    /// Returns the requests to this path.
    pub(crate) fn asked_at(&self, path: &str) -> Vec<Asked> {
        lock(&self.shared.asked).iter().filter(|asked| asked.path == path).cloned().collect()
    }

    /// Waits until this path got `times` requests.
    pub(crate) async fn until_asked_at(&self, path: &str, times: usize) {
        let mut count = self.shared.count.subscribe();
        let is_there = |_: &usize| self.asked_at(path).len() >= times;
        count.wait_for(is_there).await.expect("the server is there");
    }

    /// Returns whether the service accepts this access token, with or without its scheme.
    pub(crate) fn takes(&self, access_token: &str) -> bool {
        lock(&self.shared.grants).takes(access_token.strip_prefix("Bearer ").unwrap_or(access_token))
    }

    /// Returns whether the next refresh with this refresh token would be granted.
    pub(crate) fn refreshes(&self, refresh_token: &str) -> bool {
        lock(&self.shared.grants).refreshes(refresh_token)
    }

    /// Invalidates the access tokens that were granted so far. Their refresh tokens stay valid.
    pub(crate) fn end_access_tokens(&self) {
        lock(&self.shared.grants).end_access_tokens();
    }

    /// Follows the URL like the browser of a user who is logged in there, and returns the query of the redirect.
    pub(crate) async fn visit(&self, authorization_url: &str) -> String {
        let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        let answer = browser.get(authorization_url).send().await.expect("the server answers");
        let location = answer.headers().get("location").and_then(|location| location.to_str().ok());
        let location = location.unwrap_or_else(|| panic!("it redirects: {}", answer.status()));
        location.split_once('?').expect("a query").1.to_owned()
    }
}

impl Drop for OAuthServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nobody panics with the lock")
}

impl Shared {
    /// Serves one request per connection: answers say `Connection: close`.
    async fn serve(self: Arc<Self>, mut client: TcpStream) {
        let Some(request) = Request::read(&mut client).await else { return };
        let (path, fields) = (request.path.clone(), request.fields.clone());
        lock(&self.asked).push(Asked { path, fields, authorization: request.authorization.clone() });
        self.count.send_modify(|count| *count += 1);
        let odd = lock(&self.odd).get_mut(&request.path).and_then(VecDeque::pop_front);
        let answer = match odd {
            None => self.answer(&request),
            Some(Odd::Delay(time)) => {
                tokio::time::sleep(time).await;
                self.answer(&request)
            }
            Some(Odd::Held(let_go)) => {
                let_go.notified().await;
                self.answer(&request)
            }
            Some(Odd::LoseAnswer) => {
                drop(self.answer(&request));
                return;
            }
            Some(Odd::Hang) => return http::wait_for_end(&mut client).await,
            Some(Odd::Say { status, headers, body }) => Answer::new(status, headers, body),
            Some(Odd::Endless) => return http::write_endlessly(&mut client).await,
        };
        // The client may have closed the connection.
        let _ = answer.write(&mut client).await;
    }

    fn answer(&self, request: &Request) -> Answer {
        let mut grants = lock(&self.grants);
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/authorize") => grants.authorize(&self.options, request),
            ("POST", "/token" | "/revoke") if !request.is_from(&self.options) => {
                let words = format!("{:?} {:?} is not the secret", request.authorization, request.fields);
                Answer::json(401, &json!({"error": "invalid_client", "error_description": words}))
            }
            ("POST", "/token") => grants.token(&self.options, request),
            ("POST", "/revoke") => grants.revoke(request),
            ("GET", "/service") => {
                let token = request.authorization.as_deref().and_then(|value| value.strip_prefix("Bearer "));
                match token.is_some_and(|token| grants.takes(token)) {
                    true => Answer::json(200, &json!({"hello": "user"})),
                    false => Answer::json(401, &json!({"error": "invalid_token"})),
                }
            }
            _ => Answer::json(404, &json!({})),
        }
    }
}
