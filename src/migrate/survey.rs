//! The counts of documents that a plan and a status are made from.

use std::collections::BTreeMap;

use super::{Blocker, DocumentCounts, GroupPlan, IndexReport, TakeOverReport, TypePlan, TypeReport, Unregistered, Way};
use crate::cluster::TypeCount;
use crate::model::VirtualVersion;

/// The numbers of documents by index, type and version.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// By index. An index that is not in the map was not counted; it may have documents.
    counts: BTreeMap<String, Vec<TypeCount>>,
    unregistered: BTreeMap<Option<String>, u64>,
    /// Why the counts may be incomplete.
    pub(super) skipped: Vec<Blocker>,
}

impl Survey {
    /// Adds the counts of a group's index.
    pub(super) fn add(&mut self, group: &GroupPlan, counts: Vec<TypeCount>) {
        for count in &counts {
            let registered = count.type_name.as_deref().is_some_and(|name| group.definition(name).is_some());
            if !registered {
                *self.unregistered.entry(count.type_name.clone()).or_default() += count.documents;
            }
        }
        self.counts.insert(group.index.clone(), counts);
    }

    /// Adds documents from indices of groups that are not registered.
    pub(super) fn add_unregistered(&mut self, counts: impl Iterator<Item = TypeCount>) {
        for count in counts {
            *self.unregistered.entry(count.type_name).or_default() += count.documents;
        }
    }

    fn counts(&self, group: &GroupPlan) -> Option<&[TypeCount]> {
        self.counts.get(&group.index).map(Vec::as_slice)
    }

    /// Returns the number of documents that a migration of the group converts: all in a take-over, else the
    /// [outdated](Self::outdated) ones.
    pub(super) fn to_be_converted(&self, group: &GroupPlan) -> u64 {
        let counted = match group.take_over {
            Some(_) => self.documents(group),
            None => self.outdated(group),
        };
        counted.unwrap_or_default()
    }

    /// Returns the number of documents of registered types that are older than the registered version, or `None` if
    /// they were not counted.
    pub(super) fn outdated(&self, group: &GroupPlan) -> Option<u64> {
        let is_outdated = |count: &&TypeCount| {
            let latest = count.type_name.as_deref().and_then(|name| group.definition(name)).map(|d| d.latest().number);
            let version = VirtualVersion::of_document(count.version.as_deref());
            latest.is_some_and(|latest| version.map_or(true, |version| version.number() < latest))
        };
        Some(self.counts(group)?.iter().filter(is_outdated).map(|count| count.documents).sum())
    }

    /// Returns the number of documents of the group's index, or `None` if they were not counted.
    pub(super) fn documents(&self, group: &GroupPlan) -> Option<u64> {
        Some(self.counts(group)?.iter().map(|count| count.documents).sum())
    }

    /// Returns the number of documents of these types in the group's index, as far as they were counted.
    pub(super) fn documents_of(&self, group: &GroupPlan, types: &[String]) -> u64 {
        let is_one = |count: &&TypeCount| count.type_name.as_ref().is_some_and(|name| types.contains(name));
        self.counts(group).unwrap_or_default().iter().filter(is_one).map(|count| count.documents).sum()
    }

    /// Returns the numbers of documents of types that `group` does not have, by type.
    pub(super) fn foreign(&self, group: &GroupPlan) -> BTreeMap<&str, u64> {
        let mut foreign = BTreeMap::new();
        for count in self.counts(group).unwrap_or_default() {
            match &count.type_name {
                Some(name) if group.definition(name).is_none() => {
                    *foreign.entry(name.as_str()).or_default() += count.documents;
                }
                _ => {}
            }
        }
        foreign
    }

    /// Returns the registered types and those of stored documents, with the versions of the documents.
    pub(super) fn types(&self, group: &GroupPlan) -> Vec<TypeReport> {
        let counts = self.counts(group);
        let by_version = || counts.map(|_| BTreeMap::new());
        let registered = |plan: &TypePlan| {
            let name = plan.definition.name().to_owned();
            let to = Some(plan.definition.latest().number);
            (name.clone(), TypeReport { type_name: name, to, by_version: by_version(), registered: true })
        };
        let mut types: BTreeMap<String, TypeReport> = group.types.iter().map(registered).collect();
        for count in counts.unwrap_or_default() {
            // Documents without a type are reported as unregistered.
            let Some(name) = &count.type_name else { continue };
            let report = types.entry(name.clone()).or_insert_with(|| TypeReport {
                type_name: name.clone(),
                to: None,
                by_version: by_version(),
                registered: false,
            });
            let version = VirtualVersion::label(count.version.as_deref());
            *report.by_version.get_or_insert_default().entry(version).or_default() += count.documents;
        }
        types.into_values().collect()
    }

    /// Returns the report of a group as planned, before anything is done.
    pub(super) fn report(&self, group: &GroupPlan) -> IndexReport {
        IndexReport {
            alias: group.names.alias().to_owned(),
            index: group.index.clone(),
            way: group.way,
            done: false,
            documents: DocumentCounts::default(),
            docs_per_s: 0,
            types: self.types(group),
            carried: if group.way == Way::Copy { group.carried().reported() } else { Vec::new() },
            take_over: group.take_over.as_ref().map(|source| TakeOverReport {
                alias: source.alias.clone(),
                index: source.index.clone(),
                ..TakeOverReport::default()
            }),
        }
    }

    /// Returns the documents of types that are not registered.
    pub(super) fn unregistered(&self) -> Vec<Unregistered> {
        let entry = |(type_name, documents): (&Option<String>, &u64)| Unregistered {
            type_name: type_name.clone(),
            documents: *documents,
        };
        self.unregistered.iter().map(entry).collect()
    }
}
