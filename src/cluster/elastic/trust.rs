//! Certificates: those that the client trusts, its own, and the reasons why a connection is refused permanently.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use elasticsearch::auth::ClientCertificate as Identity;
use elasticsearch::cert::Certificate;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, InvalidMessage, RootCertStore};

use super::settings::{ClientCertificate, ElasticSettings};
use crate::encryption::secret_file;
use crate::{Error, Result};

/// The extensions of certificate files in a folder.
const CERTIFICATE_ENDINGS: &[&str] = &["pem", "crt", "cer"];

/// Returns the certificates to trust in addition to the built-in ones: those of the settings and those of the system.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if a file of the settings cannot be read or has no certificate.
pub(super) fn roots(settings: &ElasticSettings) -> Result<Vec<Certificate>> {
    let mut found = Vec::new();
    if let Some(path) = settings.ca_path() {
        for file in certificate_files(path)? {
            found.extend(certificates_in(&file)?);
        }
        if found.is_empty() {
            return Err(Error::invalid(
                format!("{} holds no certificate", path.display()),
                "name a PEM file that begins with -----BEGIN CERTIFICATE-----, or a folder of such files",
            ));
        }
    }
    // A system may have certificates that cannot be used for verification.
    found.extend(rustls_native_certs::load_native_certs().certs.into_iter().filter(is_usable));
    // All were parsed above.
    Ok(found.iter().filter_map(|certificate| Certificate::from_der(certificate).ok()).collect())
}

/// Returns the file, or the files of a folder that have a certificate's extension, sorted by name.
fn certificate_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| unreadable(path, error))?;
    let is_certificate = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        let is_known = |ending: &str| CERTIFICATE_ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known));
        ending.is_some_and(is_known) && path.is_file()
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_certificate).collect();
    files.sort();
    Ok(files)
}

fn certificates_in(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let malformed = |reason: String| {
        Error::invalid(
            format!("the certificate file {} is malformed: {reason}", file.display()),
            "name a PEM file that begins with -----BEGIN CERTIFICATE-----, or a folder of such files",
        )
    };
    let text = std::fs::read(file).map_err(|error| unreadable(file, error))?;
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| malformed(error.to_string()))?;
    match found.iter().all(is_usable) {
        true => Ok(found),
        false => Err(malformed("a certificate in it cannot be read".to_owned())),
    }
}

fn is_usable(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}

/// Returns the client's certificate with its key.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if a file cannot be read, or does not contain what it should.
pub(super) fn identity(files: &ClientCertificate) -> Result<Identity> {
    let ClientCertificate { certificate, key } = files;
    if certificates_in(certificate)?.is_empty() {
        return Err(Error::invalid(
            format!("{} holds no certificate", certificate.display()),
            "name the PEM file of the client's certificate, with those between it and its CA",
        ));
    }
    let shown = secret_file::Shown(key);
    let key_text = secret_file::read(key)
        .map_err(|error| error.context(format_args!("the file {shown} with the client's key")))?;
    if PrivateKeyDer::from_pem_slice(key_text.as_bytes()).is_err() {
        return Err(Error::invalid(
            format!("{shown} holds no key that can be used"),
            "name a PEM file with an unencrypted key (PKCS #8, PKCS #1 or SEC 1)",
        ));
    }
    let mut pem = std::fs::read(certificate).map_err(|error| unreadable(certificate, error))?;
    pem.push(b'\n');
    pem.extend_from_slice(key_text.as_bytes());
    Ok(Identity::Pem(pem))
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::invalid(
        format!("{} cannot be read: {error}", secret_file::Shown(path)),
        "check the path and who may read it",
    )
    .with_source(error)
}

/// The reasons why no connection is possible until settings or certificates are corrected. A repeat does not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misconfiguration {
    /// The issuer of the server's certificate is not trusted.
    UnknownIssuer,
    /// The server's certificate has expired, or is not valid yet.
    Expired,
    /// The server's certificate is for other names.
    WrongName,
    /// The server's certificate is refused for another reason.
    Certificate,
    /// The URL says `https`, but the server does not speak TLS.
    NoTls,
    /// The URL says `http`, but the server speaks TLS.
    OnlyTls,
    /// The server refuses the client's certificate, or asks for one.
    ClientCertificate,
    /// Server and client have no TLS version or cipher in common.
    NothingInCommon,
    /// The URL leads to OpenSearch.
    OpenSearch,
    /// The URL leads to a project of Elasticsearch Serverless.
    Serverless,
}

impl Misconfiguration {
    /// Returns what to do about it.
    pub(in crate::cluster) fn hint(self) -> &'static str {
        match self {
            Self::UnknownIssuer => {
                "name the certificate of its CA in SAVED_OBJECTS_ELASTICSEARCH_CA_CERT (a PEM file, or a folder of them), or \
                 add it to those of the system"
            }
            Self::Expired => "renew the server's certificate, and check the clock of this machine",
            Self::WrongName => {
                "use a name or address in the URL that the certificate is for, or give the server a certificate for this one"
            }
            Self::Certificate => "give the server a certificate that is right: the cause says what is wrong with it",
            Self::NoTls => "use http:// in the URL, or the port that speaks TLS",
            Self::OnlyTls => "use https:// in the URL",
            Self::ClientCertificate => {
                "give a certificate that the server trusts: SAVED_OBJECTS_ELASTICSEARCH_CLIENT_CERT with \
                 SAVED_OBJECTS_ELASTICSEARCH_CLIENT_KEY"
            }
            Self::NothingInCommon => "let the server speak TLS 1.2 or 1.3, with a cipher of today",
            Self::OpenSearch => {
                "use the URL of an Elasticsearch: OpenSearch opens points in time by other requests and lacks field types \
                 of the mappings"
            }
            Self::Serverless => {
                "use the URL of a hosted or self-managed Elasticsearch: Serverless lacks requests that a migration sends, \
                 such as the cloning of an index"
            }
        }
    }
}

impl fmt::Display for Misconfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "the server's certificate is by an issuer that is not trusted",
            Self::Expired => "the server's certificate has expired or is not valid yet",
            Self::WrongName => "the server's certificate is for another name",
            Self::Certificate => "the server's certificate is refused",
            Self::NoTls => "the URL says https, and the server does not speak TLS",
            Self::OnlyTls => "the URL says http, and the server speaks TLS",
            Self::ClientCertificate => "the server refuses the client's certificate, or asks for one",
            Self::NothingInCommon => "server and client have no version or cipher of TLS in common",
            Self::OpenSearch => "the server is OpenSearch, which this library does not work with",
            Self::Serverless => "the server is Elasticsearch Serverless, which this library does not work with",
        })
    }
}

/// Returns the reason why no connection is possible, if `error` says that it never will be.
pub(crate) fn misconfiguration(error: &(dyn StdError + 'static)) -> Option<Misconfiguration> {
    use rustls::Error as Tls;
    match find::<Tls>(error)? {
        Tls::InvalidCertificate(cause) => Some(match cause {
            CertificateError::UnknownIssuer => Misconfiguration::UnknownIssuer,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Misconfiguration::Expired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Misconfiguration::WrongName
            }
            _ => Misconfiguration::Certificate,
        }),
        Tls::InvalidMessage(InvalidMessage::InvalidContentType) => Some(Misconfiguration::NoTls),
        Tls::PeerIncompatible(_) => Some(Misconfiguration::NothingInCommon),
        Tls::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => Some(Misconfiguration::ClientCertificate),
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity => Some(Misconfiguration::NothingInCommon),
            _ => None,
        },
        _ => None,
    }
}

/// Returns whether the error is a TLS error that only a server which speaks TLS can cause.
pub(super) fn is_of_tls(error: &(dyn StdError + 'static)) -> bool {
    find::<rustls::Error>(error).is_some_and(|error| !matches!(error, rustls::Error::InvalidMessage(_)))
}

/// Returns the first error of type `E` among the causes. An I/O error can contain one without naming it as its source.
pub(super) fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<E>() {
            return Some(found);
        }
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_found_within_io_errors() {
        let tls = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let nested = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        assert_eq!(misconfiguration(&nested), Some(Misconfiguration::UnknownIssuer));
        let plain = rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_eq!(misconfiguration(&plain), Some(Misconfiguration::NoTls));
        assert!(!is_of_tls(&plain) && is_of_tls(&rustls::Error::AlertReceived(AlertDescription::CertificateRequired)));
        assert_eq!(misconfiguration(&io::Error::from(io::ErrorKind::ConnectionReset)), None);
    }

    #[test]
    fn files_without_certificates_and_keys_are_invalid() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("garbage.pem"), "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
            .expect("written");
        std::fs::write(at("empty.txt"), "").expect("written");
        let settings = |path: PathBuf| ElasticSettings::new("https://es").ca_certificates(path);
        for path in [at("garbage.pem"), at("empty.txt"), at("missing.pem"), folder.path().to_owned()] {
            let error = roots(&settings(path.clone())).err().unwrap_or_else(|| panic!("{}", path.display()));
            assert_eq!(error.kind(), crate::ErrorKind::Invalid);
            assert!(
                error.message().contains(folder.path().to_str().expect("UTF-8")) && error.hint().is_some(),
                "{error}"
            );
        }
    }
}
