//! Typed, versioned, encrypted objects in Elasticsearch.

pub mod environment;
mod error;

#[cfg(feature = "cli")]
pub mod cli;

pub use error::{Error, ErrorKind, Result};
