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

/// The last line of an export.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportSummary {
    /// How many objects were exported.
    pub exported_count: u64,
    /// How many documents could not be.
    pub excluded_objects_count: u64,
    /// Which, and why: the first thousand.
    pub excluded_objects: Vec<Skipped>,
    /// How many references lead to an object that is not there, if references were followed.
    pub missing_ref_count: u64,
    /// Which: the first thousand.
    pub missing_references: Vec<NamedObject>,
}

/// A document that was not exported.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Skipped {
    /// Its stored `_id`.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// What became of an import.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportSummary {
    /// Whether every object was imported.
    pub success: bool,
    /// How many objects were written.
    pub success_count: u64,
    /// How many were left out because the request said so.
    pub skipped_count: u64,
    /// How many the store had already, as the file has them: with [`OnConflict::Resume`](super::OnConflict::Resume) only.
    pub already_there_count: u64,
    /// How many of the written objects keep the secrets of the object that they overwrote, because the file has none.
    pub kept_secrets_count: u64,
    /// Whether the file has all that was exported: its last line says how many objects are before it. `None` if no line of the file
    /// says so: it may have been cut.
    pub is_complete: Option<bool>,
    /// The objects that were written under another id than in the file.
    pub relocated: Vec<Relocated>,
    /// The objects that were not written, or of which that is unknown. If there are such before the first write, nothing is written.
    pub errors: Vec<Problem>,
    /// How many more problems there are than `errors` names. Nothing was written then.
    pub not_listed: u64,
    /// The line at which writing stopped, from 1: it and all later ones were not written. Of the lines before it all were that
    /// `errors` does not name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped_at_line: Option<u64>,
}

/// An object that got another id.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Relocated {
    /// What it is called in the file.
    #[serde(flatten)]
    pub object: NamedObject,
    /// Its id now.
    pub destination_id: String,
}

/// Why an object was not imported.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The line of the file, from 1.
    pub line: u64,
    /// The column, in bytes from 1, if the line is malformed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u64>,
    /// What it is called in the file, if the line says so.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub object: Option<NamedObject>,
    /// `conflict`, `ambiguous_conflict`, `missing_references`, `unsupported_type`, `invalid`, `unreadable`, `forbidden` (the server does
    /// not allow it to these credentials), `unavailable`, `outcome_unknown` or `internal`.
    pub kind: &'static str,
    /// What is wrong, and what helps.
    pub message: String,
    /// The objects that stand in the way, if they are called otherwise: an import can be told to overwrite one of them. If the
    /// object was being written, the other id that it was to get: with `outcome_unknown` it may be there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<String>,
    /// What the object refers to and is neither in the file nor in the store, if that was asked for.
    #[serde(rename = "missingReferences", skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<NamedObject>,
}
