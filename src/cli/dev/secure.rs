//! A server with security: certificates of an own CA, the password of the user `elastic`, and an API key. All are files that only
//! the user of this machine can read who started the server.

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
use crate::cluster::elastic::{Credentials, ElasticSettings};
use crate::environment::{Rng, SystemRng};
use crate::{Error, ErrorKind, Result};

/// The user that may do everything.
const USER: &str = "elastic";
const PASSWORD_BYTES: usize = 24;
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// How to connect to a server with security: names and files, no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Access {
    /// The certificate of the CA that the server's is by.
    pub(crate) ca_cert: PathBuf,
    /// A user that may do everything.
    pub(crate) username: String,
    /// The file with that user's password.
    pub(crate) password_file: PathBuf,
    /// The file with an API key that may do everything.
    pub(crate) api_key_file: PathBuf,
}

impl Access {
    /// The files of the cluster in `state`.
    pub(super) fn of(state: &State, layout: &Layout) -> Self {
        let folder = layout.secrets(state);
        Self {
            ca_cert: folder.join("ca.crt"),
            username: USER.to_owned(),
            password_file: folder.join("elastic.password"),
            api_key_file: folder.join("api-key"),
        }
    }

    /// How to reach the server at `url` with the API key.
    pub(crate) fn by_api_key(&self, url: &str) -> ElasticSettings {
        ElasticSettings::new(url)
            .ca_certificates(&self.ca_cert)
            .credentials(Credentials::api_key(self.api_key_file.clone()))
    }

    /// How to reach the server at `url` as the user that may do everything.
    pub(super) fn by_password(&self, url: &str) -> ElasticSettings {
        ElasticSettings::new(url)
            .ca_certificates(&self.ca_cert)
            .credentials(Credentials::basic(&self.username, self.password_file.clone()))
    }

    /// The variables by which commands reach the server at `url`, as a shell takes them.
    pub(super) fn exports(&self, url: &str) -> [String; 3] {
        let export = |name: &str, value: &str| format!("export SAVED_OBJECTS_ELASTICSEARCH_{name}='{value}'");
        [
            export("URL", url),
            export("CA_CERT", &self.ca_cert.to_string_lossy()),
            export("API_KEY_FILE", &self.api_key_file.to_string_lossy()),
        ]
    }

    /// Makes certificates and the password, unless an earlier start did: the data that was kept knows them.
    pub(super) fn prepare(&self, folder: &Path) -> Result<()> {
        files::create_folder(folder)?;
        if !self.password_file.is_file() {
            let mut bytes = [0; PASSWORD_BYTES];
            SystemRng.fill(&mut bytes)?;
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
/// Where the launcher of a node looks for the password.
const NODE_PASSWORD: &str = "bootstrap.password";

/// Copies what a node needs into its config folder, which the server reads nothing outside of.
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

/// The settings of a node with security. Paths are from its config folder.
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

/// As PEM.
struct Certificates {
    ca: String,
    certificate: String,
    key: String,
}

/// Makes a certificate for this machine by a CA whose key nobody keeps.
fn make_certificates() -> Result<Certificates, rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = parameters("saved-objects development CA", Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = ca.self_signed(&ca_key)?;
    let key = KeyPair::generate()?;
    let mut certificate = parameters("saved-objects development server", NAMES.map(str::to_owned).to_vec())?;
    // Nodes show it to each other, too.
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
