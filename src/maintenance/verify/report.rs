//! The report of a verification.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::encryption::{Fingerprint, KeyId};

/// The report of a verification: the stored documents, and those that cannot be read. Its JSON form is part of the
/// command line's contract.
#[derive(Debug, Clone, Serialize)]
pub struct VerificationReport {
    /// True if an index exists under the prefix, all indices were visited, and every document can be read with every
    /// secret.
    pub ok: bool,
    /// How the digests are computed. Only digests of the same form can be compared.
    pub digests: DigestForm,
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

/// How digests are computed (record 36).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DigestForm {
    /// The id of the key that the digests are computed with. `None` if no key is configured.
    pub key: Option<KeyId>,
    /// Whether the namespaces of an object count.
    pub namespaces: bool,
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

/// What a verification of one object found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectVerification {
    /// True if the object exists once, can be read, and every secret in it opens.
    pub ok: bool,
    /// How the digest is computed.
    pub digests: DigestForm,
    /// The documents with the object's `_id`: one, unless indices of several groups have it.
    pub objects: Vec<VerifiedObject>,
    /// The documents with that `_id` in quarantine.
    pub quarantined: Vec<Unreadable>,
}

/// A document that was verified alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedObject {
    /// The alias of its index.
    pub alias: String,
    /// The name of its index.
    pub index: String,
    /// The document's `_id`.
    pub id: String,
    /// Its type, if it has one.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// Whether its type is registered. Secrets of other types are not opened.
    pub registered: bool,
    /// The model version of the stored document.
    pub version: String,
    /// Whether it can be read with every secret.
    pub readable: bool,
    /// Its fingerprint, or `None` if it cannot be read.
    pub digest: Option<Fingerprint>,
    /// Its secrets.
    pub secrets: Vec<VerifiedSecret>,
    /// Why it, or a secret in it, cannot be read.
    pub unreadable: Vec<Unreadable>,
}

/// A secret of a document that was verified alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerifiedSecret {
    /// The encrypted attribute.
    pub attribute: String,
    /// Whether it can be decrypted as it is stored.
    pub opens: bool,
    /// The id of the key that it is encrypted with. `None` if the stored value is no envelope.
    pub key: Option<KeyId>,
    /// Why it cannot be decrypted.
    pub reason: Option<String>,
}
