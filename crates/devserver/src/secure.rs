//! A server with security: certificates of its own CA, the password of the user `elastic`, and an API key. All of them
//! are files that only the user who started the server can read.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
};
use serde::Serialize;

use super::files;
use super::layout::{Layout, NodeFolder};
use super::state::State;
use crate::{Error, ErrorKind, Result};

/// The user with all privileges.
const USER: &str = "elastic";
const PASSWORD_BYTES: usize = 24;
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// How to connect to a server with security: names and paths, no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Access {
    /// The certificate of the CA that issued the server's certificate.
    pub ca_cert: PathBuf,
    /// A user with all privileges.
    pub username: String,
    /// The file with that user's password.
    pub password_file: PathBuf,
    /// The file with an API key that has all privileges.
    pub api_key_file: PathBuf,
}

impl Access {
    /// Returns the paths for the cluster in `state`.
    pub(super) fn of(state: &State, layout: &Layout) -> Self {
        let folder = layout.secrets(state);
        Self {
            ca_cert: folder.join("ca.crt"),
            username: USER.to_owned(),
            password_file: folder.join("elastic.password"),
            api_key_file: folder.join("api-key"),
        }
    }

    /// Returns the variables by which commands reach the server at `url`, in shell syntax.
    pub fn exports(&self, url: &str) -> [String; 3] {
        let export = |name: &str, value: &str| format!("export SAVED_OBJECTS_ELASTICSEARCH_{name}='{value}'");
        [
            export("URL", url),
            export("CA_CERT", &self.ca_cert.to_string_lossy()),
            export("API_KEY_FILE", &self.api_key_file.to_string_lossy()),
        ]
    }

    /// Creates the certificates and the password, unless an earlier start did: kept data depends on them.
    pub(super) fn prepare(&self, folder: &Path) -> Result<()> {
        files::create_folder(folder)?;
        if !self.password_file.is_file() {
            let mut bytes = [0; PASSWORD_BYTES];
            getrandom::fill(&mut bytes).map_err(|error| {
                Error::new(ErrorKind::Internal, format!("the operating system gives no random bytes: {error}"))
            })?;
            write_secret(&self.password_file, &URL_SAFE_NO_PAD.encode(bytes))?;
        }
        if !folder.join(CERTIFICATE).is_file() {
            let certificates = make_certificates().map_err(|error| {
                Error::new(ErrorKind::Internal, format!("the certificates could not be made: {error}"))
                    .with_source(error)
            })?;
            write_secret(&folder.join(KEY), &certificates.key)?;
            files::write(&self.ca_cert, certificates.ca)?;
            files::write(&folder.join(CERTIFICATE), certificates.certificate)?;
        }
        Ok(())
    }
}

const CERTIFICATE: &str = "http.crt";
const KEY: &str = "http.key";
const CA: &str = "ca.crt";
/// Where the node's launcher reads the password.
const NODE_PASSWORD: &str = "bootstrap.password";

/// Copies the files that a node needs into its config folder; the server reads no file outside it.
pub(super) fn equip(node: &NodeFolder, secrets: &Path) -> Result<()> {
    let config = node.config();
    let read = |name: &str| {
        let path = secrets.join(name);
        std::fs::read_to_string(&path).map_err(|error| files::failed("read", &path, error))
    };
    for (from, to) in [(KEY, KEY), ("elastic.password", NODE_PASSWORD)] {
        write_secret(&config.join(to), &read(from)?)?;
    }
    for name in [CERTIFICATE, CA] {
        files::write(&config.join(name), read(name)?)?;
    }
    Ok(())
}

/// Returns the settings of a node with security. Paths are relative to its config folder.
pub(super) fn settings() -> Vec<(&'static str, &'static str)> {
    vec![
        ("xpack.security.enabled", "true"),
        ("xpack.license.self_generated.type", "basic"),
        ("xpack.security.http.ssl.enabled", "true"),
        ("xpack.security.http.ssl.key", KEY),
        ("xpack.security.http.ssl.certificate", CERTIFICATE),
        ("xpack.security.transport.ssl.enabled", "true"),
        ("xpack.security.transport.ssl.key", KEY),
        ("xpack.security.transport.ssl.certificate", CERTIFICATE),
        ("xpack.security.transport.ssl.certificate_authorities", CA),
    ]
}

/// Writes a file that only its owner can read.
pub(super) fn write_secret(path: &Path, secret: &str) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;

    const OWNER: u32 = 0o600;
    files::remove(path)?;
    let file = OpenOptions::new().write(true).create_new(true).mode(OWNER).open(path);
    let written = file.and_then(|mut file| file.write_all(secret.as_bytes()));
    written.map_err(|error| files::failed("write", path, error))
}

/// The certificates and the key, as PEM.
struct Certificates {
    ca: String,
    certificate: String,
    key: String,
}

/// Creates a certificate for this machine, issued by a CA whose key is not kept.
fn make_certificates() -> Result<Certificates, rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = parameters("saved-objects development CA", Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = ca.self_signed(&ca_key)?;
    let key = KeyPair::generate()?;
    let mut certificate = parameters("saved-objects development server", NAMES.map(str::to_owned).to_vec())?;
    // Nodes also present it to each other, as clients.
    certificate.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = certificate.signed_by(&key, &ca, &ca_key)?;
    Ok(Certificates { ca: ca.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
}

fn parameters(name: &str, names: Vec<String>) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name.push(DnType::CommonName, name);
    (parameters.not_before, parameters.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2049, 1, 1));
    Ok(parameters)
}
