//! The diagnosis: everything that stands in the way of a start and of the users of a store, check by check. It consists
//! of the blockers of a start and of a status, and of what only an operator asks. Writes nothing.

use std::collections::BTreeSet;

use serde::Serialize;

use super::describe::Look;
use super::plan::OwnIndex;
use super::preflight::{ConditionsNow, Scope};
use super::{Blocker, LeaseStatus, Migrator, Way};
use crate::Result;
use crate::cluster::{Cluster, ClusterErrorKind, DataNode, Privileges};

/// A clock that differs more, in milliseconds, gives tokens another lifetime than their provider did.
const MAX_SKEW_MS: u64 = 60_000;
/// The oldest major version of Elasticsearch that this library is tested with.
const OLDEST_VERSION: u64 = 8;

/// What a check is about. The names are part of the command line's contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// Whether the server answers.
    Reachable,
    /// The server's version.
    Version,
    /// Whether the server has security.
    Security,
    /// The privileges of the credentials.
    Privileges,
    /// The primary shards.
    Health,
    /// Closed indices.
    Closed,
    /// Blocks of indices, and indices that take no writes because of a copy.
    Blocks,
    /// Aliases, and names that lead to indices of others.
    Aliases,
    /// Index templates that would change new indices.
    Templates,
    /// The allocation of shards, and their limit.
    Shards,
    /// The disk watermarks.
    Disk,
    /// The limits on fields.
    Fields,
    /// The definitions and the stored documents.
    Definitions,
    /// Generations that are kept for a rollback.
    Generations,
    /// The keys in use.
    Keys,
    /// The lease of a migration.
    Lease,
    /// The documents in quarantine.
    Quarantine,
    /// Documents at older versions, which older nodes wrote after the migration.
    LateWriters,
    /// This machine's clock and those of the server's nodes.
    Clock,
}

impl CheckName {
    /// All checks, in the order in which they are reported.
    pub const ALL: [Self; 19] = [
        Self::Reachable,
        Self::Version,
        Self::Security,
        Self::Privileges,
        Self::Health,
        Self::Closed,
        Self::Blocks,
        Self::Aliases,
        Self::Templates,
        Self::Shards,
        Self::Disk,
        Self::Fields,
        Self::Definitions,
        Self::Generations,
        Self::Keys,
        Self::Lease,
        Self::Quarantine,
        Self::LateWriters,
        Self::Clock,
    ];

    /// Returns whether the check reads the metadata or the documents of indices.
    fn is_about_indices(self) -> bool {
        !matches!(
            self,
            Self::Reachable
                | Self::Version
                | Self::Security
                | Self::Privileges
                | Self::Shards
                | Self::Disk
                | Self::Clock
        )
    }
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// Nothing is in the way.
    Ok,
    /// Something is in the way.
    Blocked,
    /// The check could not be made.
    NotChecked,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check.
    pub check: CheckName,
    /// Its result.
    pub state: CheckState,
    /// What was found, or why nothing was checked.
    pub what: String,
    /// What an operator can do about it; empty if nothing needs to be done.
    pub hint: String,
}

/// The findings of all checks. Its JSON form is part of the command line's contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// Whether nothing is in the way. What was not checked may be.
    pub ok: bool,
    /// At least one finding of each check.
    pub checks: Vec<Finding>,
}

impl Migrator {
    /// Returns everything that is in the way of a start and of the store's users. `job` names the credentials' job, and
    /// `needed` the privileges that it needs. Writes nothing.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the cluster cannot be reached, and those of
    /// [`plan`](Self::plan).
    pub async fn diagnose(&self, job: &str, needed: &Privileges) -> Result<Diagnosis> {
        let cluster = self.engine.cluster.as_ref();
        let mut findings = Findings::default();
        findings.version(cluster).await?;
        findings.privileges(cluster, job, needed).await?;
        let look = self.look(Scope::Everything).await?;
        findings.read(&look);
        findings.clock(look.conditions.as_ref());
        let is_empty = look.status.indices.iter().all(|index| !index.exists) && look.status.not_visited.is_empty();
        if is_empty && !look.plan.is_partial() {
            findings.add_ok(
                CheckName::Definitions,
                format!("there is no index under the prefix {} yet", self.engine.prefix),
                "check --prefix and the URL, if there should be some",
            );
        }
        Ok(findings.complete(&look, self.engine.encryption.can_encrypt()))
    }
}

#[derive(Debug, Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, check: CheckName, state: CheckState, what: impl Into<String>, hint: impl Into<String>) {
        self.0.push(Finding { check, state, what: what.into(), hint: hint.into() });
    }

    fn add_ok(&mut self, check: CheckName, what: impl Into<String>, hint: impl Into<String>) {
        self.add(check, CheckState::Ok, what, hint);
    }

    fn add_all(&mut self, state: CheckState, found: &[Blocker]) {
        found.iter().for_each(|Blocker { check, what, hint }| self.add(*check, state, what, hint));
    }

    async fn version(&mut self, cluster: &dyn Cluster) -> Result<()> {
        match cluster.version().await {
            Ok(version) => {
                self.add_ok(CheckName::Reachable, "Elasticsearch answers", "");
                let major = version.split('.').next().and_then(|major| major.parse::<u64>().ok());
                match major.is_some_and(|major| major < OLDEST_VERSION) {
                    true => self.add(
                        CheckName::Version,
                        CheckState::Blocked,
                        format!("Elasticsearch is of version {version}"),
                        format!("use version {OLDEST_VERSION} or newer: this library is not tested with older ones"),
                    ),
                    false => self.add_ok(CheckName::Version, format!("Elasticsearch is of version {version}"), ""),
                }
            }
            Err(error) if error.kind == ClusterErrorKind::Forbidden && error.status == Some(403) => {
                self.add_ok(CheckName::Reachable, "Elasticsearch answers", "");
                let error = crate::Error::from(error);
                let hint = error.hint().unwrap_or_default();
                self.add(CheckName::Version, CheckState::NotChecked, "a privilege is missing", hint);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn privileges(&mut self, cluster: &dyn Cluster, job: &str, needed: &Privileges) -> Result<()> {
        let Some(lacking) = cluster.lacking(needed).await? else {
            self.add_ok(CheckName::Security, "security is off: every client may do everything", "");
            self.add_ok(CheckName::Privileges, "security is off, so the server refuses nothing", "");
            return Ok(());
        };
        self.add_ok(CheckName::Security, "security is on", "");
        match lacking.is_empty() {
            true => self.add_ok(CheckName::Privileges, format!("these credentials may do the job `{job}`"), ""),
            false => self.add(
                CheckName::Privileges,
                CheckState::Blocked,
                format!("these credentials lack privileges for the job `{job}`: {lacking}"),
                format!(
                    "grant them; `saved-objects privileges {job}` prints all that the job needs; if the credentials \
                     are for another job, name it: `saved-objects doctor --job JOB`"
                ),
            ),
        }
        Ok(())
    }

    /// Adds what a start and a status report too.
    fn read(&mut self, look: &Look) {
        let Look { status, plan, quarantined, .. } = look;
        self.add_all(CheckState::Blocked, &status.blockers);
        self.add_all(CheckState::NotChecked, &status.skipped);
        if !status.not_visited.is_empty() {
            self.add(
                CheckName::Definitions,
                CheckState::NotChecked,
                format!("no type is registered for {}", status.not_visited.join(", ")),
                "name the folder of its definitions with --types",
            );
        }
        for (check, index) in [
            (CheckName::Keys, plan.control),
            (CheckName::Lease, plan.control),
            (CheckName::Quarantine, plan.quarantine),
        ] {
            if index == OwnIndex::Unreadable {
                self.add(check, CheckState::NotChecked, "its index cannot be read, see the other checks", "");
            }
        }
        if let Some(lease) = &status.lease {
            self.lease(lease);
        }
        if let Some(quarantined) = quarantined.filter(|quarantined| *quarantined > 0) {
            self.add_ok(
                CheckName::Quarantine,
                format!("{quarantined} documents are in quarantine"),
                "see `saved-objects quarantine list`",
            );
        }
        let due: Vec<&str> =
            status.indices.iter().filter(|it| it.exists && it.way != Way::None).map(|it| it.alias.as_str()).collect();
        if !due.is_empty() {
            self.add_ok(
                CheckName::Definitions,
                format!("a migration is due: {}", due.join(", ")),
                "see what it would do with `saved-objects migrate --plan`",
            );
        }
        for index in status.indices.iter().filter(|index| index.exists && index.way == Way::None) {
            match index.outdated {
                Some(0) => {}
                Some(outdated) => self.add_ok(
                    CheckName::LateWriters,
                    format!("{outdated} documents of {} are at older versions; reads convert them", index.alias),
                    "when no older software runs any more: `saved-objects migrate --rescan`",
                ),
                None => self.add(
                    CheckName::LateWriters,
                    CheckState::NotChecked,
                    format!("the documents of {} could not be counted, see the other checks", index.alias),
                    "",
                ),
            }
        }
    }

    fn lease(&mut self, lease: &LeaseStatus) {
        match (&lease.note.progress, lease.held) {
            (Some(progress), true) => self.add_ok(
                CheckName::Lease,
                format!(
                    "a node migrates {}: {} of {} documents are written",
                    progress.alias, progress.written, progress.outdated
                ),
                "",
            ),
            (None, true) => self.add_ok(CheckName::Lease, "a node is about to migrate", ""),
            (_, false) => {}
        }
        if let Some(failure) = &lease.note.last_failure {
            let what = format!("the last migration failed at {}: {}", failure.at, failure.message);
            self.add_ok(CheckName::Lease, what, &*failure.hint);
        }
    }

    fn clock(&mut self, now: Option<&ConditionsNow>) {
        let nodes = now.map(|now| now.conditions.nodes.as_slice()).unwrap_or_default();
        let ahead = |node: &DataNode| now.map_or(0, |now| now.at.as_millisecond().saturating_sub(node.at_ms));
        let Some(furthest) = nodes.iter().max_by_key(|node| ahead(node).unsigned_abs()) else {
            return self.add(
                CheckName::Clock,
                CheckState::NotChecked,
                "the server's time cannot be read",
                "grant the cluster privilege `monitor`",
            );
        };
        let ahead = ahead(furthest);
        let seconds = ahead.unsigned_abs() as f64 / 1_000.0;
        let direction = if ahead < 0 { "behind" } else { "ahead of" };
        let what = format!("this machine's clock is {seconds:.1} s {direction} that of {}", furthest.name);
        match ahead.unsigned_abs() > MAX_SKEW_MS {
            false => self.add_ok(CheckName::Clock, what, ""),
            true => self.add(
                CheckName::Clock,
                CheckState::Blocked,
                format!("{what}: tokens seem to expire too early or too late"),
                "set both clocks by the same time server (NTP)",
            ),
        }
    }

    /// Adds the checks that found nothing, and sorts.
    fn complete(mut self, look: &Look, has_keys: bool) -> Diagnosis {
        let found: BTreeSet<CheckName> = self.0.iter().map(|finding| finding.check).collect();
        let plan = &look.plan;
        for check in CheckName::ALL.into_iter().filter(|check| !found.contains(check)) {
            let is_unknown = match check {
                CheckName::Shards | CheckName::Disk => look.conditions.is_none(),
                _ => plan.is_partial() && check.is_about_indices(),
            };
            match is_unknown {
                true => self.add(check, CheckState::NotChecked, "not everything can be read, see the other checks", ""),
                false => self.add_ok(check, well(check, look, has_keys), ""),
            }
        }
        self.0.sort_by_key(|finding| finding.check);
        let ok = self.0.iter().all(|finding| finding.state != CheckState::Blocked);
        Diagnosis { ok, checks: self.0 }
    }
}

/// Returns the text of a check that found nothing in the way.
fn well(check: CheckName, look: &Look, has_keys: bool) -> String {
    let conditions = look.conditions.as_ref().map(|now| &now.conditions);
    let text = match check {
        CheckName::Health => "each index has its primary shard",
        CheckName::Closed => "no index is closed",
        CheckName::Blocks => "no index has a block",
        CheckName::Aliases => "each index has its aliases",
        CheckName::Templates => "no template changes a new index",
        CheckName::Shards => match conditions.and_then(|conditions| conditions.shards_left) {
            Some(left) => return format!("the cluster allocates shards, and takes {left} more"),
            None => "the cluster allocates shards",
        },
        CheckName::Disk => {
            let nodes: Vec<String> = conditions
                .into_iter()
                .flat_map(|conditions| &conditions.nodes)
                .filter(|node| node.disk.is_some())
                .map(ToString::to_string)
                .collect();
            match nodes.is_empty() {
                true => "the cluster watches no disks",
                false => return nodes.join("; "),
            }
        }
        CheckName::Fields => "no index has too many fields",
        CheckName::Definitions => "the stored documents and these definitions fit together",
        CheckName::Generations => {
            let kept: Vec<&str> =
                look.status.indices.iter().flat_map(|index| &index.kept).map(|kept| kept.index.as_str()).collect();
            match kept.is_empty() {
                true => "no generation is kept for a rollback",
                false => return format!("kept for a rollback: {}", kept.join(", ")),
            }
        }
        CheckName::Keys if has_keys => "each key in use is configured",
        CheckName::Keys => "no key is in use, and none is configured",
        CheckName::Lease => "no node migrates, and the last migration did not fail",
        CheckName::Quarantine => "nothing is in quarantine",
        CheckName::LateWriters => "no document is at an older version than its index",
        CheckName::Reachable | CheckName::Version | CheckName::Security | CheckName::Privileges | CheckName::Clock => {
            ""
        }
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::cluster::Conditions;

    #[test]
    fn a_clock_that_differs_from_a_node_by_more_than_a_minute_is_in_the_way() {
        let table: [(&[i64], CheckState, &str); 6] = [
            (&[], CheckState::NotChecked, "cannot be read"),
            (&[0], CheckState::Ok, "0.0 s ahead of"),
            (&[60_000], CheckState::Ok, "60.0 s behind"),
            (&[60_001], CheckState::Blocked, "60.0 s behind"),
            (&[1_000, -3_600_000], CheckState::Blocked, "3600.0 s ahead of that of node-1"),
            (&[i64::MAX], CheckState::Blocked, "behind"),
        ];
        for (nodes, state, text) in table {
            let node = |(at, at_ms): (usize, &i64)| DataNode { name: format!("node-{at}"), at_ms: *at_ms, disk: None };
            let nodes: Vec<DataNode> = nodes.iter().enumerate().map(node).collect();
            let conditions = Conditions { allocation: "all".to_owned(), data_nodes: 1, shards_left: None, nodes };
            let mut findings = Findings::default();
            findings.clock(Some(&ConditionsNow { conditions, at: Timestamp::UNIX_EPOCH }));
            let finding = &findings.0[0];
            assert!(finding.state == state && finding.what.contains(text), "{finding:?}");
        }
    }
}
