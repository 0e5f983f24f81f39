//! The error type of the library. An error has a coarse [`ErrorKind`] that tells what the caller can do, a lower-case
//! message, a hint, and a source. No error contains a secret.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// A `Result` whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of an [`Error`], which tells what a caller can do. Reports write it in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The object, index or alias does not exist. Create it, or treat it as absent.
    NotFound,
    /// Another client wrote first, or the object exists already. Read again and decide again.
    Conflict,
    /// The input is wrong. Correct it as the message says. Repeating the call does not help.
    Invalid,
    /// The server refuses these credentials, or the operation is not allowed here.
    Forbidden,
    /// A secret cannot be decrypted: the key is missing, or the document was changed from outside.
    Decrypt,
    /// The server cannot be reached, is overloaded, or did not answer in time. Try again later.
    Unavailable,
    /// This software is too old or too new for the stored data. Run the version that the message names.
    Incompatible,
    /// The stored data is not a well-formed object.
    Corrupt,
    /// A write was sent, its answer was lost, and reading back did not settle whether it was done.
    OutcomeUnknown,
    /// A defect of this library, or an answer of the server that the library does not understand.
    Internal,
}

/// The error of every fallible call of this library.
///
/// [`fmt::Display`] shows `message; hint`. The source chain has the cause. Clones share the source, because one failed
/// request fails every operation that it carried.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl ErrorKind {
    /// Returns the name that reports and metrics have.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Forbidden => "forbidden",
            Self::Decrypt => "decrypt",
            Self::Unavailable => "unavailable",
            Self::Incompatible => "incompatible",
            Self::Corrupt => "corrupt",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Internal => "internal",
        }
    }
}

impl Serialize for ErrorKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Error {
    /// Creates an error of `kind`. The message is lower-case, names what was wrong, and contains no secret.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), hint: None, source: None }))
    }

    /// Creates an [`ErrorKind::Invalid`] error with a hint.
    pub fn invalid(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message).with_hint(hint)
    }

    /// Adds a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Puts `context` before the message: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the message without the hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the hint, if there is one.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Returns the first source of type `E` in the chain, if there is one.
    pub fn find_source<E: StdError + 'static>(&self) -> Option<&E> {
        let mut source = self.source();
        while let Some(error) = source {
            if let Some(found) = error.downcast_ref::<E>() {
                return Some(found);
            }
            source = error.source();
        }
        None
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match &self.0.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("hint", &self.0.hint)
            .field("source", &self.0.source)
            .finish()
    }
}

/// Writes `kind`, `message` and `hint`; the hint is empty if there is none. The source is left out.
impl Serialize for Error {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut error = serializer.serialize_struct("Error", 3)?;
        error.serialize_field("kind", &self.kind())?;
        error.serialize_field("message", self.message())?;
        error.serialize_field("hint", self.hint().unwrap_or_default())?;
        error.end()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
