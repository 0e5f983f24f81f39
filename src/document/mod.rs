//! Stored objects: their ids, namespaces, version tokens, references and stored form. Nothing here does I/O.

mod corruption;
pub(crate) mod date;
pub(crate) mod depth;
pub(crate) mod exact;
mod fields;
mod header;
mod id;
mod in_order;
mod json_text;
mod json_tokens;
mod namespace;
pub(crate) mod numbers;
mod reference;
mod source;
mod stored;
mod version_token;

pub(crate) use corruption::Corruption;
pub use fields::Attributes;
pub(crate) use fields::{ROOT_FIELDS, WRITE_NONCE, write_nonce};
pub use namespace::{Namespace, NamespaceKind};
pub use reference::Reference;
pub use version_token::VersionToken;

// Inner forms, for this workspace alone.
#[doc(hidden)]
pub use depth::MAX_DEPTH;
#[doc(hidden)]
pub use fields::RootFields;
#[doc(hidden)]
pub use header::DocumentHeader;
#[doc(hidden)]
pub use id::RawId;
#[doc(hidden)]
pub use stored::StoredDocument;
