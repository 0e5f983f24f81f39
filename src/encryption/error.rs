use std::fmt;

use thiserror::Error;

use super::{Descriptor, KeyId};
use crate::ErrorKind;

/// Why an attribute could not be encrypted or decrypted. It is the source of the [`crate::Error`] that tells so.
///
/// Its text is the same for every cause, so that it can be shown to anyone; who may know more looks at `cause`.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unable to {operation} attribute {attribute:?} of saved object {descriptor:?}")]
pub struct AttributeError {
    /// The attribute's name.
    pub attribute: String,
    /// The object's [`Descriptor`], as text.
    pub descriptor: String,
    /// What was tried.
    pub operation: Operation,
    /// Why it failed.
    #[source]
    pub cause: DecryptionCause,
}

/// What was tried with an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Making an envelope.
    Encrypt,
    /// Opening an envelope.
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

/// Why an envelope does not open, in the order in which it is looked at. Of these, encrypting knows only
/// [`DecryptionCause::NoKeys`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecryptionCause {
    /// The stored value is not a JSON string.
    #[error("the stored value is not a string")]
    NotAString,
    /// No keys are configured at all.
    #[error("no encryption key is configured")]
    NoKeys,
    /// The value was in the document in clear before the model version that encrypts it.
    #[error("the stored value is in clear, and no upgrade wrote it")]
    NotSealed,
    /// The text is not strict base64, is too short, or does not begin as envelopes do.
    #[error("the stored value is not an envelope")]
    Malformed,
    /// An envelope of a version that this software does not know.
    #[error("the envelope has version {0}, which this software does not know")]
    UnsupportedVersion(u8),
    /// The key ring has no key of this id.
    #[error("the envelope was made with the key {0}, which is not configured")]
    UnknownKeyId(KeyId),
    /// The envelope was sealed under this model version, which is beyond the document's, or the versions since then encrypt,
    /// expose or bind something else.
    #[error("the envelope was made at model version {0}, and is not one that the document can have at its own")]
    ModelVersion(u32),
    /// The model version of the document is beyond what this software knows, and the index does not say what it encrypts.
    #[error("neither this software nor the index knows what the document's model version encrypts")]
    UnrecordedVersion,
    /// The envelope, a bound attribute or the place of the attribute is not as it was when the value was encrypted.
    #[error("the envelope, a bound attribute or the place of the attribute was changed")]
    Authentication,
    /// The envelope opens, but holds no JSON text.
    #[error("the decrypted value is not JSON")]
    PlaintextNotJson,
}

impl AttributeError {
    /// The library's error for a failed encryption.
    pub(super) fn encrypt(descriptor: &Descriptor<'_>, attribute: &str, cause: DecryptionCause) -> crate::Error {
        let error = Self::new(descriptor, attribute, Operation::Encrypt, cause);
        crate::Error::new(ErrorKind::Invalid, error.to_string())
            .with_cure(format!("configure an encryption key: {}", super::key_source::KEY_SOURCES))
            .with_source(error)
    }

    /// The library's error for a failed decryption.
    pub(super) fn decrypt(descriptor: &Descriptor<'_>, attribute: &str, cause: DecryptionCause) -> crate::Error {
        let error = Self::new(descriptor, attribute, Operation::Decrypt, cause);
        crate::Error::new(ErrorKind::Decrypt, error.to_string())
            .with_cure(
                "check that every key that this object's secrets were written with is configured, and that the document \
                 was not changed from outside",
            )
            .with_source(error)
    }

    /// Of an attribute of a document at a model version of which nobody knows what it encrypts.
    pub(crate) fn unrecorded(descriptor: &Descriptor<'_>, attribute: &str) -> Self {
        Self::new(descriptor, attribute, Operation::Decrypt, DecryptionCause::UnrecordedVersion)
    }

    /// The cause goes to the log, because the error's own text does not tell it.
    fn new(descriptor: &Descriptor<'_>, attribute: &str, operation: Operation, cause: DecryptionCause) -> Self {
        let descriptor = descriptor.to_string();
        tracing::error!("failed to {operation} attribute {attribute:?} of saved object {descriptor:?}: {cause}");
        Self { attribute: attribute.to_owned(), descriptor, operation, cause }
    }
}
