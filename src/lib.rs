//! Typed, versioned, encrypted objects in Elasticsearch.

pub mod cluster;
mod conversion;
pub mod document;
pub mod encryption;
pub mod environment;
mod error;
pub mod layout;
pub mod migrate;
pub mod model;
pub mod registry;
pub mod tokens;

#[cfg(feature = "cli")]
pub mod cli;

pub use error::{Error, ErrorKind, Result};
