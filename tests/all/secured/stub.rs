//! A server that speaks HTTP, with or without TLS, and records its requests.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A CA that issues certificates in its own folder.
pub(super) struct Authority {
    folder: TempDir,
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// The PEM files of a certificate and its key.
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = parameters("a CA for tests", &[]);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = parameters.self_signed(&key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).expect("written");
        Self { folder, certificate, key }
    }

    pub(super) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Issues a certificate for these names that expires in the year `expires`.
    pub(super) fn issue(&self, name: &str, names: &[&str], expires: i32) -> Files {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = parameters(name, names);
        parameters.not_after = date_time_ymd(expires, 1, 1);
        let certificate = parameters.signed_by(&key, &self.certificate, &self.key).expect("a certificate");
        let files = Files {
            certificate: self.folder.path().join(format!("{name}.pem")),
            key: self.folder.path().join(format!("{name}.key")),
        };
        std::fs::write(&files.certificate, certificate.pem()).expect("written");
        write_secret(&files.key, &key.serialize_pem());
        files
    }
}

fn parameters(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(names).expect("fine names");
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters
}

/// Writes a file that only its owner can read.
pub(crate) fn write_secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("its permissions");
}

/// A request to the stub.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The request's line and headers.
    pub(super) head: String,
    /// Whether the client presented a certificate.
    pub(super) has_certificate: bool,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let is_it = |line: &&str| line.split_once(':').is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
        self.head.lines().find(is_it).and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }
}

type Answer = dyn Fn(&Asked) -> (u16, String) + Send + Sync;

/// The stub. It ends with the runtime of its test.
pub(super) struct Stub {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// What a node answers about itself.
pub(super) const NODE: &str = r#"{"version":{"number":"9.9.9"},"nodes":{"a":{"version":"9.9.9"}}}"#;

impl Stub {
    /// Starts a stub that answers every request as a node does.
    pub(super) async fn start(tls: Option<TlsAcceptor>) -> Self {
        Self::answering(tls, |_| (200, NODE.to_owned())).await
    }

    pub(super) async fn answering(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Asked) -> (u16, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (remembered, answer): (_, Arc<Answer>) = (asked.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, remembered, answer) = (tls.clone(), remembered.clone(), answer.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, false, &remembered, &*answer).await,
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            let has_certificate = stream.get_ref().1.peer_certificates().is_some();
                            serve(stream, has_certificate, &remembered, &*answer).await;
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    has_certificate: bool,
    remembered: &Mutex<Vec<Asked>>,
    answer: &Answer,
) {
    let mut text = Vec::new();
    let end = loop {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(read) if read > 0 => text.extend_from_slice(&part[..read]),
            _ => return,
        }
        if let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
    };
    let asked = Asked { head: String::from_utf8_lossy(&text[..end]).into_owned(), has_certificate };
    let length: usize = asked.header("content-length").map_or(0, |length| length.parse().expect("a number"));
    while text.len() < end + 4 + length {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(read) if read > 0 => text.extend_from_slice(&part[..read]),
            _ => return,
        }
    }
    let (status, body) = answer(&asked);
    remembered.lock().expect("not poisoned").push(asked);
    let head = format!(
        "HTTP/1.1 {status} Any\r\nX-Elastic-Product: Elasticsearch\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// Returns TLS with the certificate in these files; with `clients`, it accepts only clients with a certificate of that
/// CA.
pub(super) fn tls(files: &Files, clients: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(authority.ca()).expect("the CA")).expect("added");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let certificates = vec![CertificateDer::from_pem_file(&files.certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(&files.key).expect("a key");
    TlsAcceptor::from(Arc::new(builder.with_single_cert(certificates, key).expect("a pair")))
}
