//! A dry run of the conversion over documents, for a plan, and before an index gets a new mapping.

use std::sync::Arc;

use super::bad::fate;
use super::convert::convert_document;
use super::defect::Defect;
use super::misfits::NewMappings;
use super::pass::Pass;
use super::report::MAX_BAD_NAMED;
use super::survey::Survey;
use super::{BadDocument, Fate, GroupPlan, Migrator, OnBad, OnUnreadable, Way};
use crate::Result;
use crate::cluster::{Cluster, Hit, Query, Scan};
use crate::engine::conversion::Conversion;

/// A dry run over the documents of a group's index. Writes nothing.
#[derive(Debug, Clone)]
pub(super) struct DryRun {
    pub(super) conversion: Conversion,
    pub(super) group: GroupPlan,
    pub(super) policies: (OnBad, OnUnreadable),
    pub(super) new_mappings: NewMappings,
    /// Whether only documents count that the new mappings do not fit.
    pub(super) finds_misfits_only: bool,
}

impl Migrator {
    /// Finds the documents of a group's index that cannot be converted, or that its new mapping does not fit, and what
    /// a migration would do with each. Writes nothing.
    pub(super) async fn dry_run(&self, conversion: &Conversion, group: &GroupPlan, survey: &Survey) -> Result<Pass> {
        self.progress.begin(group.names.alias(), survey.documents(group).unwrap_or_default());
        let policies = match group.way {
            // Such a group is not migrated, so its bad documents are kept.
            Way::None => (OnBad::Fail, OnUnreadable::Fail),
            Way::Create | Way::InPlace | Way::Copy => (self.on_bad, self.on_unreadable),
        };
        let dry_run = DryRun {
            conversion: conversion.clone(),
            group: group.clone(),
            policies,
            new_mappings: NewMappings::of(group),
            finds_misfits_only: false,
        };
        dry_run.over(&self.engine.cluster, Query::Everything, |read| self.progress.examined(read)).await
    }
}

impl DryRun {
    /// Examines the documents that a query finds, and tells `examined` their number after each page.
    pub(super) async fn over(self, cluster: &Arc<dyn Cluster>, query: Query, examined: impl Fn(u64)) -> Result<Pass> {
        let mut found = Pass::default();
        let environment = self.conversion.environment();
        let scan = Scan { cluster, environment, index: &self.group.index, query, pace: None };
        let add = |page: Pass| {
            examined(page.counts.read);
            found.add(page);
        };
        scan.run(|page| self.examine(page), add).await?;
        Ok(found)
    }

    /// Converts the documents of a page, and returns the bad ones.
    async fn examine(&self, page: Vec<Hit>) -> Result<Pass> {
        let dry_run = self.clone();
        let examining = move || {
            let mut found = Pass::default();
            found.counts.read = page.len() as u64;
            for hit in page {
                if let Some(defect) = dry_run.defect(&hit) {
                    add(&mut found, dry_run.group.names.alias(), hit.id, defect, dry_run.policies);
                }
            }
            found
        };
        let environment = self.conversion.environment();
        environment.blocking(examining).await.map_err(|error| error.context("examining documents"))
    }

    fn defect(&self, hit: &Hit) -> Option<Defect> {
        match convert_document(&self.conversion, &self.group, OnUnreadable::Fail, hit) {
            Ok(Some(new)) => self.new_mappings.defect(&new.source),
            Ok(None) => self.new_mappings.defect(hit.source.get().as_bytes()),
            Err(defect) => (!self.finds_misfits_only).then_some(defect),
        }
    }
}

/// Adds a bad document to `found`.
fn add(found: &mut Pass, alias: &str, id: String, defect: Defect, (on_bad, on_unreadable): (OnBad, OnUnreadable)) {
    let is_unreadable = defect.unreadable.is_some();
    let fate = match on_unreadable {
        _ if defect.missing_transform.is_some() => Fate::Kept,
        OnUnreadable::Strip if is_unreadable => Fate::Stripped,
        _ => fate(is_unreadable, on_bad, on_unreadable),
    };
    found.counts.bad += 1;
    found.kept += u64::from(fate == Fate::Kept);
    found.kept_unreadable += u64::from(fate == Fate::Kept && is_unreadable);
    if found.bad.len() < MAX_BAD_NAMED {
        let (alias, type_name) = (alias.to_owned(), defect.type_name);
        found.bad.push(BadDocument { alias, id, type_name, reason: defect.reason, fate });
    }
}
