//! What the node that holds the lease of a migration reports: the note in the lease, and the form in which `status`
//! shows it. Notes of older software have fewer fields.

use serde::{Deserialize, Serialize, Serializer};

use crate::environment::Environment;

/// What the migrating node reports to the nodes that watch.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeaseNote {
    /// A digest of the definitions that it migrates to.
    pub digest: String,
    /// The progress of the current index group, or `None` before the first group.
    pub progress: Option<LeaseProgress>,
    /// Why the last attempt failed, or `None` if it succeeded. While a node holds the lease: what that node waits for,
    /// or why an earlier node failed.
    pub last_failure: Option<LastFailure>,
    /// The process that took the lease. `None` in the notes of older software.
    pub holder: Option<LeaseHolder>,
    /// Whether the node has ended its work for now, because migrations are paused.
    pub paused: bool,
}

/// The process that took the lease. All times are by that process's clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeaseHolder {
    /// The name of its host, container or pod, if it is known.
    pub host: Option<String>,
    /// Its process id on that host, if it is known.
    pub process_id: Option<u32>,
    /// The time at which it took the lease, in RFC 3339.
    pub since: String,
    /// The time of its last sign of life, in RFC 3339.
    pub renewed_at: String,
}

/// The progress of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseProgress {
    /// The alias of the current index group.
    pub alias: String,
    /// The number of documents to convert, as counted before the migration.
    pub outdated: u64,
    /// Documents read so far.
    pub read: u64,
    /// Documents written so far.
    pub written: u64,
    /// Documents written per second, or `None` if that is not measured yet, or the node runs older software.
    #[serde(default)]
    pub docs_per_s: Option<u64>,
}

/// Why an attempt at a migration failed, on any node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFailure {
    /// The time of the failure by that node's clock.
    pub at: String,
    /// What was wrong.
    pub message: String,
    /// What the reader can do about it; empty if that is not known. The stored key is older than the field's name.
    #[serde(rename = "cure")]
    pub hint: String,
}

/// The current state of the lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeaseStatus {
    /// Whether a node holds the lease. A node that died holds it until another node takes it over, or until
    /// [`status`](super::Migrator::status) finds that it is not renewed.
    pub held: bool,
    /// What that node, or the last holder, reports.
    #[serde(flatten, serialize_with = "reported")]
    pub note: LeaseNote,
}

/// Serializes a note in the form of reports, whose key for the hint differs from the stored one.
fn reported<S: Serializer>(note: &LeaseNote, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Note<'a> {
        digest: &'a str,
        progress: &'a Option<LeaseProgress>,
        last_failure: Option<Failure<'a>>,
        holder: &'a Option<LeaseHolder>,
        paused: bool,
    }
    #[derive(Serialize)]
    struct Failure<'a> {
        at: &'a str,
        message: &'a str,
        hint: &'a str,
    }
    let LeaseNote { digest, progress, last_failure, holder, paused } = note;
    let last_failure = last_failure.as_ref().map(|LastFailure { at, message, hint }| Failure { at, message, hint });
    Note { digest, progress, last_failure, holder, paused: *paused }.serialize(serializer)
}

impl LeaseHolder {
    /// Returns the current process, which takes the lease now.
    pub(super) fn begin(environment: &Environment) -> Self {
        let (process, now) = (environment.process().clone(), environment.now_iso());
        Self { host: process.host, process_id: process.process_id, since: now.clone(), renewed_at: now }
    }
}

impl LeaseProgress {
    /// Returns the seconds that the remaining documents of the group take at the measured rate, if there is one.
    pub fn remaining_seconds(&self) -> Option<u64> {
        let rate = self.docs_per_s.filter(|rate| *rate > 0)?;
        Some(self.outdated.saturating_sub(self.written).div_ceil(rate))
    }
}

impl LeaseNote {
    /// Returns the note of a renewal at this moment.
    pub(super) fn renewed(&self, environment: &Environment, progress: Option<LeaseProgress>) -> Self {
        let mut renewed = Self { progress, ..self.clone() };
        renewed.holder.iter_mut().for_each(|holder| holder.renewed_at = environment.now_iso());
        renewed
    }

    /// Returns the holder and its progress in words that follow the word "node", or an empty text if the note says
    /// nothing about them.
    pub fn described(&self) -> String {
        let process = self.holder.as_ref().map(|LeaseHolder { host, process_id, since, renewed_at }| {
            let process = process_id.map(|id| format!("process {id} ")).unwrap_or_default();
            let host = host.as_deref().map(|host| format!("on {host}, ")).unwrap_or_default();
            format!("{process}{host}since {since}, last sign of life {renewed_at}")
        });
        let progress = self.progress.as_ref().map(|progress| {
            let LeaseProgress { alias, outdated, written, .. } = progress;
            let left = progress.remaining_seconds().map(|left| format!(", about {left} s left")).unwrap_or_default();
            format!("{written} of {outdated} documents of {alias} written{left}")
        });
        let parts: Vec<String> = process.into_iter().chain(progress).collect();
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn notes_of_older_software_are_read_and_described_as_far_as_they_go() {
        let progress = json!({ "alias": "x", "outdated": 9, "read": 5, "written": 4 });
        let holder = json!({ "host": "web-3", "process_id": 7, "since": "12:00", "renewed_at": "12:01", "later": 1 });
        let with_rate = json!({ "alias": "x", "outdated": 9, "read": 5, "written": 4, "docs_per_s": 2 });
        let table = [
            (json!({ "digest": "d" }), ""),
            (json!({ "digest": "d", "progress": progress, "last_failure": null }), " (4 of 9 documents of x written)"),
            (
                json!({ "holder": { "since": "12:00", "renewed_at": "12:01" } }),
                " (since 12:00, last sign of life 12:01)",
            ),
            (
                json!({ "holder": holder, "progress": with_rate }),
                " (process 7 on web-3, since 12:00, last sign of life 12:01; \
                 4 of 9 documents of x written, about 3 s left)",
            ),
        ];
        for (note, expected) in table {
            let read: LeaseNote = serde_json::from_value(note.clone()).expect("readable");
            assert_eq!(read.described(), expected, "{note}");
        }
    }
}
