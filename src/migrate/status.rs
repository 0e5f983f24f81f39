//! The status of a store: what is stored, and what a migration would do.

use serde::Serialize;

use super::survey::Survey;
use super::{Blocker, CheckName, GroupPlan, LeaseStatus, Pause, Plan, TypeReport, Unregistered, Way};

/// What is stored under a prefix, and what a migration would do. Its JSON form is part of the command line's contract.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The indices.
    pub indices: Vec<IndexStatus>,
    /// The documents of types that are not registered.
    pub unregistered: Vec<Unregistered>,
    /// What would keep a migration from beginning.
    pub blockers: Vec<Blocker>,
    /// The node that migrates now, or how the last migration failed, or `None` if neither is the case.
    pub lease: Option<LeaseStatus>,
    /// The pause of migrations. Absent if they are not paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<Pause>,
    /// The checks that the credentials do not allow, and what to do about them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<Blocker>,
    /// The indices under the prefix of groups without a registered type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_visited: Vec<String>,
}

/// What is stored in one index.
#[derive(Debug, Clone, Serialize)]
pub struct IndexStatus {
    /// Its alias.
    pub alias: String,
    /// Its name.
    pub index: String,
    /// Whether it exists.
    pub exists: bool,
    /// How a migration would migrate its group.
    pub way: Way,
    /// The number of documents that are older than the registered versions, or `None` if they were not counted. They
    /// are converted when they are read.
    pub outdated: Option<u64>,
    /// Its types.
    pub types: Vec<TypeReport>,
    /// The generations that are not current. `migrate --rollback` goes back to the one that the current one was copied
    /// from, and `migrate --drop-old` deletes them.
    pub kept: Vec<KeptIndex>,
    /// The number of its documents in quarantine, or `None` if the quarantine cannot be read.
    pub quarantined: Option<u64>,
    /// Why the index takes no writes, and what to do, if a copy or a rollback closed it. Absent if it takes writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<Blocker>,
}

/// A kept generation that is not current.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptIndex {
    /// Its name.
    pub index: String,
    /// The number of its documents, or `None` if the index is closed or blocked, and cannot be counted.
    pub documents: Option<u64>,
}

/// Returns the status, without the parts that take further requests.
pub(super) fn status(plan: &Plan, survey: &Survey, lease: Option<LeaseStatus>) -> Status {
    let indices: Vec<IndexStatus> = plan
        .groups
        .iter()
        .map(|group| IndexStatus {
            alias: group.names.alias().to_owned(),
            index: group.index.clone(),
            exists: group.way != Way::Create,
            way: group.way,
            outdated: survey.outdated(group),
            types: survey.types(group),
            kept: Vec::new(),
            quarantined: None,
            closed: closed(group, lease.as_ref()),
        })
        .collect();
    let mut blockers = plan.blockers.clone();
    if !lease.as_ref().is_some_and(|lease| lease.held) {
        // No node is at work that would open them.
        blockers.extend(indices.iter().filter_map(|index| index.closed.clone()));
    }
    Status {
        indices,
        unregistered: survey.unregistered(),
        blockers,
        lease,
        paused: None,
        skipped: survey.skipped.clone(),
        not_visited: Vec::new(),
    }
}

/// Returns why users cannot write to the index because of a copy or a rollback, by any release.
fn closed(group: &GroupPlan, lease: Option<&LeaseStatus>) -> Option<Blocker> {
    if !group.is_closed() {
        return None;
    }
    let index = &group.index;
    let what = match group.gate.is_marked() {
        true => {
            format!("{index} takes no writes, because it is being copied or rolled back, or was when a process stopped")
        }
        false => format!("{index} takes no writes, because its alias for writes is missing"),
    };
    let hint = match lease.is_some_and(|lease| lease.held) {
        true => "wait for the node that migrates, see `lease`",
        false => "start the platform, or `saved-objects migrate`: it resumes what was begun, or undoes it",
    };
    Some(Blocker { check: CheckName::Blocks, what, hint: hint.to_owned() })
}
