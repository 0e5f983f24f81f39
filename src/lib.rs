//! Typed, versioned, encrypted objects in Elasticsearch.

pub mod document;
pub mod environment;
mod error;
pub mod model;
pub mod registry;
pub mod tokens;

#[cfg(feature = "cli")]
pub mod cli;

pub use error::{Error, ErrorKind, Result};
