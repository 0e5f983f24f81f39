//! Documents that cannot be converted, and why.

use crate::Error;
use crate::cluster::Hit;

/// Why a document is bad.
#[derive(Debug, Default)]
pub(super) struct Defect {
    pub(super) type_name: Option<String>,
    pub(super) reason: String,
    /// The first attribute whose secret cannot be decrypted, if that is the defect. The document itself may be fine.
    pub(super) unreadable: Option<String>,
    /// The error that ends the migration, if this software lacks a transform. The document itself may be fine, so no
    /// policy applies to it.
    pub(super) missing_transform: Option<Error>,
    /// Whether the document is too large for one request to the server. The document itself may be fine.
    pub(super) is_too_large: bool,
}

/// A bad document as it was read.
#[derive(Debug)]
pub(super) struct BadHit {
    pub(super) hit: Hit,
    pub(super) defect: Defect,
}
