//! A dry run of the conversion over all documents, for a plan.

use super::bad::fate;
use super::convert::convert_document;
use super::defect::Defect;
use super::pass::Pass;
use super::report::MAX_BAD_NAMED;
use super::survey::Survey;
use super::{BadDocument, Fate, GroupPlan, Migrator, OnBad, OnUnreadable, Way};
use crate::Result;
use crate::cluster::{Hit, Query, Scan};
use crate::engine::conversion::Conversion;

impl Migrator {
    /// Finds the documents of a group's index that cannot be converted, and what a migration would do with each. Writes
    /// nothing.
    pub(super) async fn dry_run(&self, conversion: &Conversion, group: &GroupPlan, survey: &Survey) -> Result<Pass> {
        self.progress.begin(group.names.alias(), survey.documents(group).unwrap_or_default());
        let policies = match group.way {
            // Such a group is not migrated, so its bad documents are kept.
            Way::None => (OnBad::Fail, OnUnreadable::Fail),
            Way::Create | Way::InPlace | Way::Copy => (self.on_bad, self.on_unreadable),
        };
        let mut found = Pass::default();
        let scan = Scan {
            cluster: &self.engine.cluster,
            environment: &self.engine.environment,
            index: &group.index,
            query: Query::Everything,
        };
        let add = |page: Pass| {
            self.progress.examined(page.counts.read);
            found.add(page);
        };
        scan.run(|page| examine(conversion, group, policies, page), add).await?;
        Ok(found)
    }
}

/// Converts the documents of a page, and returns the bad ones.
async fn examine(
    conversion: &Conversion,
    group: &GroupPlan,
    policies: (OnBad, OnUnreadable),
    page: Vec<Hit>,
) -> Result<Pass> {
    let environment = conversion.environment();
    let (conversion, group) = (conversion.clone(), group.clone());
    let examining = move || {
        let mut found = Pass::default();
        found.counts.read = page.len() as u64;
        for hit in page {
            if let Err(defect) = convert_document(&conversion, &group, OnUnreadable::Fail, &hit) {
                add(&mut found, group.names.alias(), hit.id, defect, policies);
            }
        }
        found
    };
    environment.blocking(examining).await.map_err(|error| error.context("examining documents"))
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
