//! Typed, versioned, encrypted objects in Elasticsearch, for platforms that keep their own state there.
//!
//! A platform registers its types. At start-up every index is migrated to the registered model versions. From then on
//! the platform reads and writes through typed clients. Definitions are data (`docs/definitions.md`): a mapping, and
//! one file for each model version.
//!
//! ```no_run
//! use saved_objects::encryption::KeyRing;
//! use saved_objects::registry::{Registry, read_definitions};
//! use saved_objects::repository::{Filter, Find};
//! use saved_objects::{Object, SavedObjects, Start};
//! use serde::{Deserialize, Serialize};
//!
//! /// The type `note`, as `definitions/mappings/note.json` and `definitions/model_versions/note/1.json` define it.
//! struct Note;
//!
//! #[derive(Serialize, Deserialize)]
//! struct NoteAttributes {
//!     title: String,
//!     state: String,
//! }
//!
//! impl Object for Note {
//!     const TYPE: &'static str = "note";
//!     type Attributes = NoteAttributes;
//!     type Secrets = ();
//! }
//!
//! # async fn example() -> saved_objects::Result<()> {
//! let registry = Registry::builder().with(read_definitions("definitions".as_ref())?).build()?;
//! let store = SavedObjects::builder(registry)
//!     .elasticsearch("http://127.0.0.1:9200")
//!     .key_ring(KeyRing::from_env()?)
//!     .start(Start::Migrate)
//!     .await?;
//!
//! let notes = store.objects::<Note>()?;
//! let note = NoteAttributes { title: "Hello".to_owned(), state: "open".to_owned() };
//! let created = notes.create(&note, ()).await?;
//! notes.update(&created.id, |note| note.state = "done".to_owned()).await?;
//! let done = notes.find(Find::new().filter(Filter::equals("state", "done"))).await?;
//! println!("{} notes are done", done.total);
//! # Ok(())
//! # }
//! ```
//!
//! Where to begin:
//!
//! | to | see |
//! |---|---|
//! | open a store, which migrates its indices and returns clients | [`SavedObjects`], [`Start`] |
//! | read and write objects of one type | [`Objects`], [`Object`] |
//! | read and write objects of any type as JSON, search, export and import | [`Repository`], [`repository`] |
//! | keep secrets: keys, and [`Secret`](encryption::Secret), in which they leave the library | [`encryption`] |
//! | store the tokens of connectors | [`tokens`] |
//! | define types | [`registry`], and `docs/definitions.md` |
//! | connect to a cluster with credentials and certificates | [`ElasticSettings`](cluster::elastic::ElasticSettings) |
//! | migrate, and see to documents that no migration could convert | [`migrate`], [`quarantine`] |
//! | verify what is stored, change keys | [`verify`], [`rotation`] |
//! | give time, randomness, tasks or a stop signal | [`environment`] |
//! | watch it: metrics and spans | [`telemetry`], and `docs/observability.md` |
//! | implement another cluster | [`Cluster`](cluster::Cluster), [`cluster`] |
//!
//! An [`Error`] has an [`ErrorKind`], which tells what a caller can do, and a hint.
//!
//! # Features
//!
//! None is on by default.
//!
//! - `in-memory`: a cluster in memory, for tests of platforms.
//! - `oauth`: OAuth 2.0 for tokens.
//! - `kibana`: takes over what Kibana encrypted.
//! - `testing`: the suite that an implementation of [`Cluster`](cluster::Cluster) must pass; implies `in-memory`.

pub mod cluster;
pub mod document;
pub mod encryption;
mod engine;
pub mod environment;
mod error;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod fuzzing;
#[doc(hidden)]
pub mod layout;
mod maintenance;
pub mod migrate;
#[doc(hidden)]
pub mod model;
mod objects;
pub mod registry;
pub mod repository;
mod store;
pub mod telemetry;
pub mod tokens;

pub use engine::quarantine;
pub use error::{Error, ErrorKind, Result};
pub use layout::Prefix;
pub use maintenance::{rotation, verify};
pub use objects::{Change, Object, Objects, SecretAttributes};
pub use repository::{Repository, SavedObject};
pub use store::{FailedStart, SavedObjects, SavedObjectsBuilder, Start};

/// The items that the other crates of this workspace and its tests use. They may change at any time.
#[doc(hidden)]
pub mod internals {
    pub use crate::engine::Engine;
    pub use crate::engine::control::LackingKeys;
    pub use crate::engine::under_prefix::UnderPrefix;
    pub use crate::migrate::field_limits::{FieldCounts, too_many};
}

/// The README's example, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The example of the security page, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../docs/security.md")]
struct Security;

/// The program of the guide, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../docs/using.md")]
struct Guide;
