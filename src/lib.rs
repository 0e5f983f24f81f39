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
mod objects;
pub mod registry;
pub mod repository;
mod store;
pub mod tokens;
pub mod verify;

#[cfg(feature = "cli")]
pub mod cli;

pub use error::{Error, ErrorKind, Result};
pub use objects::{Change, Object, Objects, SecretAttributes};
pub use repository::{Repository, SavedObject};
pub use store::{SavedObjects, SavedObjectsBuilder, Start};
