use std::collections::BTreeMap;

use serde::Serialize;

use crate::encryption::Fingerprint;

/// What is stored, and what of it cannot be read. Its JSON form is part of the command line's contract.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whether every document can be read and every secret opens.
    pub ok: bool,
    /// The indices.
    pub indices: Vec<IndexReport>,
    /// What cannot be read, sorted, a hundred thousand entries at most.
    pub unreadable: Vec<Unreadable>,
    /// How many entries `unreadable` leaves out.
    #[serde(skip)]
    pub not_listed: u64,
    /// What is in quarantine.
    pub quarantined: Vec<Unreadable>,
    /// The names that may belong to indices which the credentials do not see: nothing is said of those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<String>,
}

/// What is stored behind one alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IndexReport {
    /// The alias.
    pub alias: String,
    /// The types of the documents, registered or not, and the registered ones without documents.
    pub types: Vec<TypeReport>,
}

/// The documents of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TypeReport {
    /// The type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// How many there are, readable or not.
    pub documents: u64,
    /// How many are stored at each model version.
    pub by_version: BTreeMap<String, u64>,
    /// The sum of the fingerprints of those that can be read.
    pub digest: Fingerprint,
}

/// A document that cannot be read, or a secret that does not open, as a verification or a rotation finds it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unreadable {
    /// The alias of its index.
    pub alias: String,
    /// The document's `_id`.
    pub id: String,
    /// Its type, if it has one.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// The attribute that does not open; none if it is the document as a whole.
    pub attribute: Option<String>,
    /// Why.
    pub reason: String,
}
