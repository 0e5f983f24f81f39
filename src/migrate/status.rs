use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Blocker, DocumentCounts, GroupPlan, IndexReport, LeaseStatus, Plan, TakeOverReport, TypeReport, Unregistered, Way,
};
use crate::cluster::TypeCount;
use crate::model::VirtualVersion;

/// What is stored under a prefix, and what a migration would do. Its JSON form is part of the command line's contract.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The indices.
    pub indices: Vec<IndexStatus>,
    /// Documents of types that nobody registered.
    pub unregistered: Vec<Unregistered>,
    /// What would keep a migration from beginning.
    pub blockers: Vec<Blocker>,
    /// The node that migrates now, or how the last migration failed; none if neither is the case.
    pub lease: Option<LeaseStatus>,
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
    /// What a migration would do.
    pub way: Way,
    /// Documents that are older than the registered versions; they are converted when they are read.
    pub outdated: u64,
    /// Its types.
    pub types: Vec<TypeReport>,
    /// Generations that are not current: `migrate --rollback` goes back to the one that the current one was copied from,
    /// `migrate --drop-old` deletes them.
    pub kept: Vec<KeptIndex>,
    /// Documents of it in quarantine.
    pub quarantined: u64,
    /// Why it takes no writes, and what to do, if a copy or a rollback closed it. Absent if it takes writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<Blocker>,
}

/// A generation that is not current and is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptIndex {
    /// Its name.
    pub index: String,
    /// The number of its documents, or `None` if the index is closed and cannot be counted.
    pub documents: Option<u64>,
}

pub(super) fn status(plan: &Plan, survey: &Survey, lease: Option<LeaseStatus>) -> Status {
    let indices = plan
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
            quarantined: 0,
            closed: closed(group, lease.as_ref()),
        })
        .collect();
    Status { indices, unregistered: survey.unregistered(), blockers: plan.blockers.clone(), lease }
}

/// Says why users of the index cannot write because of a copy or a rollback, by this release or another.
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
    let cure = match lease.is_some_and(|lease| lease.held) {
        true => "wait for the node that migrates, see `lease`; if its numbers stand still, start any node again",
        false => "start the platform, or `saved-objects migrate`: it ends what was begun, or undoes it",
    };
    Some(Blocker { what, cure: cure.to_owned() })
}

/// How many documents there are, counted by index, type and version.
#[derive(Debug, Default)]
pub(super) struct Survey {
    counts: BTreeMap<String, Vec<TypeCount>>,
    unregistered: BTreeMap<Option<String>, u64>,
}

impl Survey {
    pub(super) fn add(&mut self, group: &GroupPlan, counts: Vec<TypeCount>) {
        for count in &counts {
            let registered = count.type_name.as_deref().is_some_and(|name| group.definition(name).is_some());
            if !registered {
                *self.unregistered.entry(count.type_name.clone()).or_default() += count.documents;
            }
        }
        self.counts.insert(group.index.clone(), counts);
    }

    fn counts(&self, group: &GroupPlan) -> &[TypeCount] {
        self.counts.get(&group.index).map_or(&[], Vec::as_slice)
    }

    /// How many documents a migration of the group is about: of a take-over all, else the [outdated](Self::outdated) ones.
    pub(super) fn to_be_converted(&self, group: &GroupPlan) -> u64 {
        match group.take_over {
            Some(_) => self.counts(group).iter().map(|count| count.documents).sum(),
            None => self.outdated(group),
        }
    }

    /// Documents of registered types that are at an older version than the registered one.
    pub(super) fn outdated(&self, group: &GroupPlan) -> u64 {
        self.counts(group)
            .iter()
            .filter(|count| {
                let latest =
                    count.type_name.as_deref().and_then(|name| group.definition(name)).map(|d| d.latest().number);
                let version = VirtualVersion::of_document(count.version.as_deref());
                latest.is_some_and(|latest| version.map_or(true, |version| version.number() < latest))
            })
            .map(|count| count.documents)
            .sum()
    }

    /// How many documents there are of types that `group` does not have, by type.
    pub(super) fn foreign(&self, group: &GroupPlan) -> BTreeMap<&str, u64> {
        let mut foreign = BTreeMap::new();
        for count in self.counts(group) {
            match &count.type_name {
                Some(name) if group.definition(name).is_none() => {
                    *foreign.entry(name.as_str()).or_default() += count.documents;
                }
                _ => {}
            }
        }
        foreign
    }

    /// The registered types and those of stored documents, with the versions of the documents.
    pub(super) fn types(&self, group: &GroupPlan) -> Vec<TypeReport> {
        let registered = |plan: &super::TypePlan| {
            let name = plan.definition.name().to_owned();
            let to = Some(plan.definition.latest().number);
            (name.clone(), TypeReport { type_name: name, to, by_version: BTreeMap::new(), registered: true })
        };
        let mut types: BTreeMap<String, TypeReport> = group.types.iter().map(registered).collect();
        for count in self.counts(group) {
            // Documents without a type are reported as unregistered.
            let Some(name) = &count.type_name else { continue };
            let report = types.entry(name.clone()).or_insert_with(|| TypeReport {
                type_name: name.clone(),
                to: None,
                by_version: BTreeMap::new(),
                registered: false,
            });
            let version = VirtualVersion::label(count.version.as_deref());
            *report.by_version.entry(version).or_default() += count.documents;
        }
        types.into_values().collect()
    }

    /// The group's report before anything was done.
    pub(super) fn report(&self, group: &GroupPlan) -> IndexReport {
        IndexReport {
            alias: group.names.alias().to_owned(),
            index: group.index.clone(),
            way: group.way,
            documents: DocumentCounts::default(),
            docs_per_s: 0,
            types: self.types(group),
            take_over: group.take_over.as_ref().map(|source| TakeOverReport {
                alias: source.alias.clone(),
                index: source.index.clone(),
                ..TakeOverReport::default()
            }),
        }
    }

    pub(super) fn unregistered(&self) -> Vec<Unregistered> {
        let entry = |(type_name, documents): (&Option<String>, &u64)| Unregistered {
            type_name: type_name.clone(),
            documents: *documents,
        };
        self.unregistered.iter().map(entry).collect()
    }
}
