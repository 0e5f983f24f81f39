//! The summaries of exports and imports.

use serde::{Deserialize, Serialize};

/// The type and id of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamedObject {
    /// The type's name.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The object's id.
    pub id: String,
}

/// The summary of an export, its last line.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportSummary {
    /// The number of exported objects.
    pub exported_count: u64,
    /// The number of documents that could not be exported.
    pub excluded_objects_count: u64,
    /// The excluded documents with the reasons: the first thousand.
    pub excluded_objects: Vec<Skipped>,
    /// The number of references that lead to no object, if references were followed.
    pub missing_ref_count: u64,
    /// The missing objects: the first thousand.
    pub missing_references: Vec<NamedObject>,
}

/// A document that was not exported.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Skipped {
    /// Its stored `_id`.
    pub id: String,
    /// The reason.
    pub reason: String,
}

/// The summary of an import.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportSummary {
    /// Whether every object was imported.
    pub success: bool,
    /// The number of objects written.
    pub success_count: u64,
    /// The number of objects that were left out because the request said so.
    pub skipped_count: u64,
    /// The number of objects that the store already had as the file has them, with
    /// [`OnConflict::Resume`](super::OnConflict::Resume) only.
    pub already_there_count: u64,
    /// The number of written objects that keep the secrets of the object that they overwrote, because the file has
    /// none.
    pub kept_secrets_count: u64,
    /// Whether the file has everything that was exported, according to its last line, which has the number of objects
    /// before it. `None` if the file has no such line; it may have been cut.
    pub is_complete: Option<bool>,
    /// The objects that were written under another id than in the file.
    pub relocated: Vec<Relocated>,
    /// The objects that were not written, or for which that is unknown. If there are any before the first write,
    /// nothing is written.
    pub errors: Vec<Problem>,
    /// The number of problems that `errors` does not name. Nothing was written in that case.
    pub not_listed: u64,
    /// The line at which writing stopped, from 1. It and all later lines were not written. The lines before it were
    /// written, except those that `errors` names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at_line: Option<u64>,
}

/// An object that got another id.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Relocated {
    /// Its type and id in the file.
    #[serde(flatten)]
    pub object: NamedObject,
    /// Its id in the store.
    pub destination_id: String,
}

/// The reason why an object was not imported.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The line of the file, from 1; 0 if the request is wrong.
    pub line: u64,
    /// The column, in bytes from 1, if the line is malformed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// The object's type and id in the file, if the line has them.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub object: Option<NamedObject>,
    /// `conflict`, `ambiguous_conflict`, `missing_references`, `unsupported_type`, `invalid`, `unreadable`, `forbidden`
    /// (the server refuses these credentials), `unavailable`, `outcome_unknown` or `internal`.
    pub kind: &'static str,
    /// What is wrong, and what to do about it.
    pub message: String,
    /// The ids of the objects in the way, if they differ from the object's: an import can be requested to overwrite one
    /// of them. If the object was being written, the other id that it was given: with `outcome_unknown` it may exist
    /// under that id.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<String>,
    /// The referenced objects that are neither in the file nor in the store, if the request required them.
    #[serde(rename = "missingReferences", skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<NamedObject>,
}
