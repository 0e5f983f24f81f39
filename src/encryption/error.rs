//! The errors of encryption and decryption.

use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use thiserror::Error;

use super::{Descriptor, KeyId};
use crate::{ErrorKind, telemetry};

/// The reason why an attribute could not be encrypted or decrypted. It is the source of the [`crate::Error`] that
/// reports it.
///
/// Its text is the same for every cause, so that it can be shown to anyone. Trusted code reads `cause`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unable to {operation} attribute {attribute:?} of saved object {descriptor:?}")]
pub struct AttributeError {
    /// The attribute's name.
    pub attribute: String,
    /// The object's [`Descriptor`], as text.
    pub descriptor: String,
    /// The operation that failed.
    pub operation: Operation,
    /// The cause of the failure.
    #[source]
    pub cause: DecryptionCause,
}

/// Writes `attribute` and `message`, which can be shown to anyone. The cause is left out.
impl Serialize for AttributeError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut error = serializer.serialize_struct("AttributeError", 2)?;
        error.serialize_field("attribute", &self.attribute)?;
        error.serialize_field("message", &self.to_string())?;
        error.end()
    }
}

/// An operation on an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Encrypting a value to an envelope.
    Encrypt,
    /// Decrypting an envelope.
    Decrypt,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
        })
    }
}

/// The reason why a value cannot be decrypted. The causes are in the order in which they are checked. Encryption fails
/// only with [`DecryptionCause::NoKeys`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecryptionCause {
    /// The stored value is not a JSON string.
    #[error("the stored value is not a string")]
    NotAString,
    /// No key is configured.
    #[error("no encryption key is configured")]
    NoKeys,
    /// The value was in the document in clear text before the model version that encrypts it.
    #[error("the stored value is in clear, and no upgrade wrote it")]
    NotSealed,
    /// The text is not strict base64, is too short, or does not begin like an envelope.
    #[error("the stored value is not an envelope")]
    Malformed,
    /// The envelope has a version that this software does not know.
    #[error("the envelope has version {0}, which this software does not know")]
    UnsupportedVersion(u8),
    /// The key ring has no key with this id.
    #[error("the envelope was made with the key {0}, which is not configured")]
    UnknownKeyId(KeyId),
    /// The envelope was sealed under this model version, which is beyond the document's, or since which the versions
    /// encrypt, expose or bind something else.
    #[error("the envelope was made at model version {0}, and is not one that the document can have at its own")]
    ModelVersion(u32),
    /// The model version of the document is beyond what this software knows, and the index does not record what it
    /// encrypts.
    #[error("neither this software nor the index knows what the document's model version encrypts")]
    UnrecordedVersion,
    /// The envelope, a bound attribute or the place of the attribute changed since the value was encrypted.
    #[error("the envelope, a bound attribute or the place of the attribute was changed")]
    Authentication,
    /// The decrypted value is not JSON text.
    #[error("the decrypted value is not JSON")]
    PlaintextNotJson,
}

impl DecryptionCause {
    /// Returns the name that metrics have.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NotAString => "not_a_string",
            Self::NoKeys => "no_keys",
            Self::NotSealed => "not_sealed",
            Self::Malformed => "malformed",
            Self::UnsupportedVersion(_) => "unsupported_version",
            Self::UnknownKeyId(_) => "unknown_key",
            Self::ModelVersion(_) => "model_version",
            Self::UnrecordedVersion => "unrecorded_version",
            Self::Authentication => "authentication",
            Self::PlaintextNotJson => "not_json",
        }
    }
}

impl AttributeError {
    /// Returns the library's error for a failed encryption.
    pub(super) fn encrypt(descriptor: &Descriptor<'_>, attribute: &str, cause: DecryptionCause) -> crate::Error {
        let error = Self::new(descriptor, attribute, Operation::Encrypt, cause);
        crate::Error::new(ErrorKind::Invalid, error.to_string())
            .with_hint(format!("configure an encryption key: {}", super::key_source::KEY_SOURCES))
            .with_source(error)
    }

    /// Returns the library's error for a failed decryption.
    pub(super) fn decrypt(descriptor: &Descriptor<'_>, attribute: &str, cause: DecryptionCause) -> crate::Error {
        let error = Self::new(descriptor, attribute, Operation::Decrypt, cause);
        crate::Error::new(ErrorKind::Decrypt, error.to_string())
            .with_hint(
                "check that every key that this object's secrets were written with is configured, and that the document \
                 was not changed from outside",
            )
            .with_source(error)
    }

    /// Creates the error for an attribute of a document whose model version has unknown encryption sets.
    pub(crate) fn unrecorded(descriptor: &Descriptor<'_>, attribute: &str) -> Self {
        let cause = DecryptionCause::UnrecordedVersion;
        telemetry::secret_unopened(descriptor.type_name, cause.name());
        Self::new(descriptor, attribute, Operation::Decrypt, cause)
    }

    /// Creates the error and logs the cause, because the error's own text omits it.
    fn new(descriptor: &Descriptor<'_>, attribute: &str, operation: Operation, cause: DecryptionCause) -> Self {
        let descriptor = descriptor.to_string();
        tracing::error!("failed to {operation} attribute {attribute:?} of saved object {descriptor:?}: {cause}");
        Self { attribute: attribute.to_owned(), descriptor, operation, cause }
    }
}
