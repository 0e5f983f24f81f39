//! Typed, versioned, encrypted objects in Elasticsearch, for platforms that keep their own state there.
//!
//! A platform registers its types; at start-up every index is brought to the registered model versions; from then on the
//! platform reads and writes through typed clients. Definitions are data (`docs/definitions.md`): a mapping, and one file
//! for each model version.
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
//! - [`SavedObjects`] opens a store: it migrates, then hands out clients. [`Objects`] is the typed client of one type,
//!   [`Repository`] the untyped one of all.
//! - [`tokens`] has the connectors' tokens: their types and their clients.
//! - [`registry`] and [`model`] say what types and model versions are; [`migrate`] brings indices to them.
//! - [`encryption`] has keys, and [`Secret`](encryption::Secret), the only form in which a secret leaves the library.
//! - [`Error`] says by its [`ErrorKind`] what a caller can do, and in its text what the cure is.

pub mod cluster;
mod control;
mod conversion;
pub mod document;
pub mod encryption;
pub mod environment;
mod error;
#[cfg(any(test, feature = "testing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod layout;
pub mod migrate;
pub mod model;
mod objects;
pub mod quarantine;
pub mod registry;
pub mod repository;
pub mod rotation;
mod secret_file;
mod store;
pub mod tokens;
pub mod verify;

#[cfg(feature = "cli")]
pub mod cli;

pub use error::{Error, ErrorKind, Result};
pub use objects::{Change, Object, Objects, SecretAttributes};
pub use repository::{Repository, SavedObject};
pub use store::{SavedObjects, SavedObjectsBuilder, Start};

/// The README's example, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The example of the page on security, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../docs/security.md")]
struct Security;

/// The guide's program, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../docs/using.md")]
struct Guide;
