//! The transport over the network: the official client's, opened again when a file of its settings changes.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use elasticsearch::auth::Credentials as OfficialCredentials;
use elasticsearch::cert::CertificateValidation;
use elasticsearch::http::headers::{AUTHORIZATION, HeaderMap, HeaderValue};
use elasticsearch::http::transport::{
    ConnectionPool, MultiNodeConnectionPool, SingleNodeConnectionPool, Transport as OfficialTransport, TransportBuilder,
};
use elasticsearch::http::{Method, Url};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::product::{Product, is_suspicious};
use super::settings::ElasticSettings;
use super::transport::{HttpAnswer, HttpRequest, NoAnswer, NoAnswerKind, Transport};
use super::trust::{self, Misconfiguration};
use crate::encryption::secret_file::Stamp;
use crate::environment::is_this_machine;
use crate::{Error, Result};

/// The time limit for the probes whether a server speaks TLS, and what product it is.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The official client's transport.
pub(super) struct Official {
    settings: ElasticSettings,
    opened: RwLock<Arc<Opened>>,
    /// True while nothing has answered and no probe for TLS was made.
    may_be_tls: AtomicBool,
    /// True until an answer shows which product the server is.
    may_be_other: AtomicBool,
}

/// The official client, with what the files of its settings contained.
struct Opened {
    client: OfficialTransport,
    nodes: Vec<Url>,
    authorization: Option<HeaderValue>,
    stamps: Vec<Stamp>,
    /// The number of clients that were opened before this one.
    number: u64,
}

impl fmt::Debug for Official {
    /// Leaves the client out, whose own `Debug` shows keys and certificates.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Official").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Official {
    pub(super) fn open(settings: &ElasticSettings) -> Result<Self> {
        let opened = RwLock::new(Arc::new(Opened::open(settings, 0)?));
        let (may_be_tls, may_be_other) = (AtomicBool::new(true), AtomicBool::new(true));
        Ok(Self { settings: settings.clone(), opened, may_be_tls, may_be_other })
    }

    /// Returns the client. Opens it again if a file of its settings changed.
    fn current(&self) -> Arc<Opened> {
        let current = self.opened();
        if self.settings.stamps() == current.stamps { current } else { self.open_anew(&current) }
    }

    fn opened(&self) -> Arc<Opened> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens a client with the files' current contents. If that fails, the previous client stays in use until the next
    /// change.
    fn open_anew(&self, before: &Arc<Opened>) -> Arc<Opened> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.number != before.number {
            return opened.clone();
        }
        *opened = Arc::new(match Opened::open(&self.settings, before.number + 1) {
            Ok(anew) => {
                tracing::info!("a file with credentials or certificates changed, and was read again");
                anew
            }
            Err(error) => {
                tracing::warn!(%error, "a file with credentials or certificates changed, and what was read before stays in use");
                Opened {
                    client: before.client.clone(),
                    nodes: before.nodes.clone(),
                    authorization: before.authorization.clone(),
                    stamps: self.settings.stamps(),
                    number: before.number + 1,
                }
            }
        });
        opened.clone()
    }

    /// Opens the client again if its credentials have changed, for a change of their file that the stamps do not show.
    fn renew_credentials(&self, refused: &Arc<Opened>) {
        let now = self.settings.nodes().and_then(|nodes| self.settings.request_headers(&nodes));
        if now.is_ok_and(|headers| headers.get(AUTHORIZATION) != refused.authorization.as_ref()) {
            self.open_anew(refused);
        }
    }

    /// Returns true if a node whose URL says `http` speaks TLS. Sends no credentials.
    async fn speaks_tls(node: &Url) -> bool {
        let mut url = node.clone();
        let port = url.port_or_known_default();
        if url.scheme() != "http" || url.set_scheme("https").is_err() || url.set_port(port).is_err() {
            return false;
        }
        // The probe accepts any certificate: nothing is read from the node.
        let probe = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .cert_validation(CertificateValidation::None)
            .disable_proxy()
            .build();
        let Ok(probe) = probe else { return false };
        match probe.send(Method::Get, "", HeaderMap::new(), None::<&()>, None::<()>, Some(PROBE_TIMEOUT)).await {
            Ok(_) => true,
            Err(error) => trust::is_of_tls(&error),
        }
    }

    /// Returns true if the server speaks TLS although the URL says `http`. Probes until a probe
    /// finds no TLS, and not after anything has answered.
    async fn is_only_tls(&self, opened: &Opened) -> bool {
        if !self.may_be_tls.swap(false, Ordering::Relaxed) {
            return false;
        }
        for node in &opened.nodes {
            if Self::speaks_tls(node).await {
                // Stays set, so that the next request gets the same error.
                self.may_be_tls.store(true, Ordering::Relaxed);
                return true;
            }
        }
        false
    }

    /// Returns the product of the server if it is not Elasticsearch. `answer` is its answer to a request for `path`. If
    /// it is suspicious, `GET /` asks for the product, until that has an answer of Elasticsearch.
    async fn other_product(&self, opened: &Opened, path: &str, answer: &HttpAnswer) -> Option<Misconfiguration> {
        if !is_suspicious(answer.status, answer.is_elasticsearch) || !self.may_be_other.load(Ordering::Relaxed) {
            return None;
        }
        let asked = if path.is_empty() {
            answer.clone()
        } else {
            let (content_type, timeout) = ("application/json", PROBE_TIMEOUT);
            let root = HttpRequest {
                method: "GET",
                path: String::new(),
                query: Vec::new(),
                content_type,
                body: None,
                timeout,
            };
            self.exchange(opened, root).await.ok()?
        };
        match Product::named_in(&asked.body) {
            Some(Product::Other(product)) => return Some(product),
            Some(Product::Elasticsearch(_)) => self.may_be_other.store(false, Ordering::Relaxed),
            None if asked.is_elasticsearch => self.may_be_other.store(false, Ordering::Relaxed),
            // A proxy may have answered in the place of the server.
            None => {}
        }
        None
    }

    async fn exchange(&self, opened: &Opened, request: HttpRequest) -> Result<HttpAnswer, elasticsearch::Error> {
        let method = match request.method {
            "GET" => Method::Get,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            _ => Method::Post,
        };
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(request.content_type));
        headers.insert("accept", HeaderValue::from_static("application/json"));
        // Envelopes cannot be compressed, and the server's attempt costs more than the network saves.
        headers.insert("accept-encoding", HeaderValue::from_static("identity"));
        let (path, query) = (url_path(&request.path), Some(&request.query));
        let response = opened.client.send(method, &path, headers, query, request.body, Some(request.timeout)).await?;
        let text = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
        let is_redirected = opened.is_redirected(&path, response.url());
        let status = if is_redirected { REDIRECTED } else { response.status_code().as_u16() };
        let is_elasticsearch =
            !is_redirected && text("x-elastic-product").is_some_and(|product| product == "Elasticsearch");
        let retry_after = text("retry-after");
        let body = response.bytes().await?;
        Ok(HttpAnswer { status, is_elasticsearch, retry_after, body })
    }
}

#[async_trait]
impl Transport for Official {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, NoAnswer> {
        let opened = self.current();
        let path = request.path.clone();
        let error = match self.exchange(&opened, request).await {
            Ok(answer) if answer.status == 401 => {
                self.may_be_tls.store(false, Ordering::Relaxed);
                self.renew_credentials(&opened);
                return Ok(answer);
            }
            Ok(answer) => {
                self.may_be_tls.store(false, Ordering::Relaxed);
                return match self.other_product(&opened, &path, &answer).await {
                    Some(product) => {
                        let source =
                            Box::new(std::io::Error::other(format!("its answer has status {}", answer.status)));
                        Err(NoAnswer { kind: NoAnswerKind::Misconfigured(product), source })
                    }
                    None => Ok(answer),
                };
            }
            Err(error) => no_answer(error),
        };
        match error.kind {
            NoAnswerKind::Lost if self.is_only_tls(&opened).await => {
                Err(NoAnswer { kind: NoAnswerKind::Misconfigured(Misconfiguration::OnlyTls), ..error })
            }
            _ => Err(error),
        }
    }

    fn address(&self) -> Option<String> {
        let nodes = self.opened().nodes.iter().map(|node| node.origin().ascii_serialization()).collect::<Vec<_>>();
        Some(nodes.join(", "))
    }

    fn credentials_number(&self) -> u64 {
        self.opened().number
    }
}

impl Opened {
    fn open(settings: &ElasticSettings, number: u64) -> Result<Self> {
        // Taken before the files are read, so that a change in between is noticed.
        let stamps = settings.stamps();
        let nodes = settings.nodes()?;
        let headers = settings.request_headers(&nodes)?;
        let authorization = headers.get(AUTHORIZATION).cloned();
        let urls = nodes.urls.clone();
        let client = match <[_; 1]>::try_from(nodes.urls) {
            Ok([url]) => Self::client(settings, &urls, headers, SingleNodeConnectionPool::new(url)),
            Err(nodes) => Self::client(settings, &urls, headers, MultiNodeConnectionPool::round_robin(nodes, None)),
        };
        Ok(Self { client: client?, nodes: urls, authorization, stamps, number })
    }

    fn client<P>(settings: &ElasticSettings, urls: &[Url], headers: HeaderMap, pool: P) -> Result<OfficialTransport>
    where
        P: ConnectionPool + fmt::Debug + Clone + Send + 'static,
    {
        let mut builder = TransportBuilder::new(pool).headers(headers);
        let has_certificates = settings.ca_path().is_some() || settings.client_certificate_files().is_some();
        if urls.iter().any(|url| url.scheme() == "https") {
            let mut roots = trust::roots(settings)?.into_iter();
            if let Some(mut first) = roots.next() {
                roots.for_each(|root| first.append(root));
                builder = builder.cert_validation(CertificateValidation::Full(first));
            }
            if let Some(files) = settings.client_certificate_files() {
                // The official client takes one kind of credentials, so the others are sent in a header.
                builder = builder.auth(OfficialCredentials::Certificate(trust::identity(files)?));
            }
        } else if has_certificates {
            return Err(Error::invalid(
                "certificates are given, and no URL says https",
                "use https:// in the URL, or leave the certificates out",
            ));
        }
        // Requests to this machine need no proxy, and a proxy would see the credentials.
        let on_this_machine = urls.iter().filter(|url| is_this_machine(url.host_str().unwrap_or_default())).count();
        if on_this_machine == urls.len() {
            builder = builder.disable_proxy();
        } else if on_this_machine > 0 {
            return Err(Error::invalid(
                "some of the nodes are on this machine and others are not, so that a proxy for the others would see what is for these",
                "name this machine by the address that other machines know it by",
            ));
        }
        builder.build().map_err(|error| {
            Error::invalid(
                format!("the Elasticsearch client could not be set up: {error}"),
                "check URL and headers, and that certificate and key of the client belong together",
            )
            .with_source(error)
        })
    }

    /// Returns true if the client followed a redirect: the answer comes from another address than that of `path`, and
    /// may answer a `GET`.
    fn is_redirected(&self, path: &str, url: &Url) -> bool {
        let is_asked = |node: &Url| {
            node.origin() == url.origin() && url.path() == format!("{}/{path}", node.path().trim_end_matches('/'))
        };
        !self.nodes.iter().any(is_asked)
    }
}

/// The status that replaces the status of a redirect's target.
const REDIRECTED: u16 = 302;

/// Returns the path with those characters encoded that would end it in a URL. Document ids in it are already encoded.
fn url_path(path: &str) -> String {
    const ENDING_A_PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?');
    utf8_percent_encode(path, ENDING_A_PATH).to_string()
}

fn no_answer(error: elasticsearch::Error) -> NoAnswer {
    let kind = if let Some(wrong) = trust::misconfiguration(&error) {
        NoAnswerKind::Misconfigured(wrong)
    } else if was_not_connected(&error) {
        NoAnswerKind::NotConnected
    } else if error.is_timeout() {
        NoAnswerKind::TimedOut
    } else {
        NoAnswerKind::Lost
    };
    NoAnswer { kind, source: Box::new(error) }
}

fn was_not_connected(error: &elasticsearch::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    let cause = trust::find::<std::io::Error>(error);
    cause.is_some_and(|cause| matches!(cause.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn nodes_on_this_machine_have_no_others_beside_them() {
        let table = [
            ("http://127.0.0.1:9200", true),
            ("http://127.0.0.1:9200,http://localhost.:9201,http://[::1]:9202,http://es.localhost:9203", true),
            ("http://es-1.example:9200,http://es-2.example:9200", true),
            ("http://127.0.0.1:9200,http://es-2.example:9200", false),
            ("http://es-1.example:9200,http://[::ffff:127.0.0.1]:9200", false),
            ("http://es-1.example:9200,http://LOCALHOST.:9200", false),
        ];
        for (urls, is_fine) in table {
            let opened = Opened::open(&ElasticSettings::new(urls), 0);
            assert_eq!(opened.is_ok(), is_fine, "{urls}");
            let error = opened.err();
            assert!(error.is_none_or(|error| error.kind() == ErrorKind::Invalid && error.hint().is_some()), "{urls}");
        }
    }
}
