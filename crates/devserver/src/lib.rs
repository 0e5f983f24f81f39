//! A real Elasticsearch for development and tests, from Maven Central, without Docker.
//!
//! [`DevServer`] starts, stops and describes the server whose files are in one folder. Concurrent commands wait for
//! each other.

mod client;
mod error;
mod files;
mod health;
mod install;
mod jdk;
mod launch;
mod layout;
mod lock;
mod maven;
mod modules;
mod node;
mod options;
mod output;
mod ports;
mod process;
mod secure;
mod server;
mod settings;
mod state;

pub use error::{Error, ErrorKind, Result};
pub use options::{Heap, UpOptions};
pub use output::Output;
pub use secure::Access;
pub use server::{DevServer, NodeStatus, Status};
