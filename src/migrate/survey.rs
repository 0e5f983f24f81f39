//! The survey that reads documents: a dry run of the transforms over everything, for a plan.

use super::convert::convert_document;
use super::report::{BadDocuments, MAX_BAD_NAMED};
use super::{BadDocument, Fate, GroupPlan, OnUnreadable};
use crate::Result;
use crate::cluster::{Cluster, Hit, Query, Scan};
use crate::conversion::Conversion;

/// Finds the documents of a group's index that could not be converted now. Writes nothing.
pub(super) async fn dry_run(cluster: &dyn Cluster, conversion: &Conversion, group: &GroupPlan) -> Result<BadDocuments> {
    let mut found = BadDocuments::default();
    let scan = Scan { cluster, index: &group.index, query: Query::Everything };
    scan.run(|page| examine(conversion, group, page), |bad: BadDocuments| found.add(bad.named, bad.total)).await?;
    Ok(found)
}

async fn examine(conversion: &Conversion, group: &GroupPlan, page: Vec<Hit>) -> Result<BadDocuments> {
    let environment = conversion.environment();
    let (conversion, group) = (conversion.clone(), group.clone());
    let examining = move || {
        let mut bad = BadDocuments::default();
        for hit in page {
            let Err(defect) = convert_document(&conversion, &group, OnUnreadable::Fail, &hit) else { continue };
            bad.total += 1;
            if bad.named.len() < MAX_BAD_NAMED {
                let (alias, type_name) = (group.names.alias().to_owned(), defect.type_name);
                let document = BadDocument { alias, id: hit.id, type_name, reason: defect.reason, fate: Fate::Kept };
                bad.named.push(document);
            }
        }
        bad
    };
    environment.blocking(examining).await.map_err(|error| error.context("examining documents"))
}
