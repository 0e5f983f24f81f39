//! One error type for the whole library: a coarse [`ErrorKind`] that says what the caller can do about it, a lower-case
//! message, the cure, and the source. No error ever holds a secret.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

/// A `Result` whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an [`Error`]. Reports write it in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The object, index or alias does not exist. Create it, or treat it as absent.
    NotFound,
    /// Somebody else wrote first, or the object exists already. Read again and decide anew.
    Conflict,
    /// The input is wrong. Correct it as the message says; repeating does not help.
    Invalid,
    /// The server refuses these credentials, or the operation is not allowed here.
    Forbidden,
    /// A secret does not open: the key is missing, or the document was changed from outside.
    Decrypt,
    /// The server cannot be reached, is overloaded, or did not answer in time. Try again later.
    Unavailable,
    /// This software is too old or too new for what is stored. Run the version that the message names.
    Incompatible,
    /// What is stored is not a well-formed object.
    Corrupt,
    /// A write was sent and its answer lost, and reading back did not tell whether it happened.
    OutcomeUnknown,
    /// A defect of this library, or an answer of the server that it does not understand.
    Internal,
}

/// The error of every fallible call of this library.
///
/// [`fmt::Display`] shows `message; cure`. The source chain keeps what caused it. Cloning shares the source: what fails a
/// request fails everything that was asked for in it.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    cure: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of `kind`. The message is lower-case, names what was wrong, and holds no secret.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), cure: None, source: None }))
    }

    /// [`ErrorKind::Invalid`] with its cure.
    pub fn invalid(message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, message).with_cure(cure)
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn with_cure(mut self, cure: impl Into<String>) -> Self {
        self.0.cure = Some(cure.into());
        self
    }

    /// Keeps the error that caused this one.
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

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was wrong, without the cure.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the reader can do about it, if known.
    pub fn cure(&self) -> Option<&str> {
        self.0.cure.as_deref()
    }

    /// The innermost source of type `E`, if the chain has one.
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
        match &self.0.cure {
            Some(cure) => write!(f, "; {cure}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("cure", &self.0.cure)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
