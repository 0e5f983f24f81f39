//! The report of a verification.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::encryption::Fingerprint;

/// The report of a verification: the stored documents, and those that cannot be read. Its JSON form is part of the
/// command line's contract.
#[derive(Debug, Clone, Serialize)]
pub struct VerificationReport {
    /// True if an index exists under the prefix, all indices were visited, and every document can be read with every
    /// secret.
    pub ok: bool,
    /// The indices of the registered groups.
    pub indices: Vec<IndexReport>,
    /// The documents and secrets that cannot be read, sorted, at most a hundred thousand entries.
    pub unreadable: Vec<Unreadable>,
    /// The number of entries that `unreadable` leaves out.
    #[serde(skip)]
    pub not_listed: u64,
    /// The documents in quarantine.
    pub quarantined: Vec<Unreadable>,
    /// The names that may belong to indices which the credentials do not see. The report says nothing about these
    /// indices.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
    /// The aliases of registered groups that have no index.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// The indices under the prefix of groups without a registered type. They were not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_visited: Vec<String>,
    /// The types that are not registered and have secrets according to their index. These secrets were not decrypted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_opened: Vec<NotOpened>,
}

/// The documents of a type that is not registered and has secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotOpened {
    /// The alias of their index.
    pub alias: String,
    /// The type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The number of documents.
    pub documents: u64,
}

/// The documents behind one alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexReport {
    /// The alias.
    pub alias: String,
    /// The types of the documents, registered or not, and the registered types without documents.
    pub types: Vec<TypeReport>,
}

/// The documents of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TypeReport {
    /// The type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The number of documents, readable or not.
    pub documents: u64,
    /// The number of documents at each model version.
    pub by_version: BTreeMap<String, u64>,
    /// The sum of the fingerprints of the documents that can be read.
    pub digest: Fingerprint,
}

/// A document that cannot be read, or a secret that cannot be decrypted, as found by a verification or a rotation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unreadable {
    /// The alias of its index.
    pub alias: String,
    /// The document's `_id`.
    pub id: String,
    /// Its type, if it has one.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// The attribute that cannot be decrypted. `None` if the document as a whole cannot be read.
    pub attribute: Option<String>,
    /// The reason.
    pub reason: String,
}
