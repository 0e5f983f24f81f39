//! What a stored object is: its id and namespaces, its version token, its references, and the form in which Elasticsearch
//! holds it. Nothing here does I/O.

pub(crate) mod date;
pub(crate) mod depth;
mod header;
mod id;
mod in_order;
mod json_text;
mod namespace;
mod reference;
mod source;
mod stored;
mod version_token;

pub use depth::MAX_DEPTH;
pub use header::DocumentHeader;
pub use id::{MAX_RAW_ID_BYTES, RawId, check_object_id};
pub use namespace::{Namespace, NamespaceKind};
pub use reference::Reference;
pub use stored::{Attributes, Corruption, ROOT_FIELDS, RootFields, StoredDocument};
pub(crate) use stored::{WRITE_NONCE, write_nonce};
pub use version_token::VersionToken;
