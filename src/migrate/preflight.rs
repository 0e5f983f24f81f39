//! Checks, before the first write, for conditions of the cluster that would stop a migration half-way.

use std::time::Duration;

use super::{Blocker, GroupPlan, Plan, Way};
use crate::cluster::{Cluster, ClusterErrorKind, ClusterResult, Conditions, Health};
use crate::{Error, Result};

/// How long a migration waits for the primary shard of an index, as after the start of a node.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a plan or a status waits for it.
pub(super) const SHORT_PATIENCE: Duration = Duration::from_secs(1);

/// The results of the checks.
#[derive(Debug, Default)]
pub(super) struct Obstacles {
    pub(super) blockers: Vec<Blocker>,
    /// Checks that the credentials do not allow. What they check for may exist.
    pub(super) skipped: Vec<Blocker>,
}

/// Returns the obstacles of all groups that the plan changes.
///
/// # Errors
/// Those of the cluster. A check that the credentials do not allow is no error.
pub(super) async fn obstacles(cluster: &dyn Cluster, plan: &Plan, patience: Duration) -> Result<Obstacles> {
    let Obstacles { mut blockers, mut skipped } = Obstacles::default();
    refuse_other_products(cluster).await?;
    for group in plan.groups.iter().filter(|group| matches!(group.way, Way::InPlace | Way::Copy)) {
        if cluster.wait_for_health(&group.index, Health::Yellow, patience).await? == Health::Red {
            blockers.push(red(&group.index));
        }
    }
    let new: Vec<&GroupPlan> =
        plan.groups.iter().filter(|group| matches!(group.way, Way::Create | Way::Copy)).collect();
    // The control index is created before documents are converted, for the lease.
    let makes_control = !plan.has_control && plan.groups.iter().any(|group| group.way == Way::InPlace);
    if new.is_empty() && !makes_control {
        return Ok(Obstacles { blockers, skipped });
    }
    let allocation_and_shards = "whether the cluster allocates shards and takes more of them";
    if let Some(conditions) = allowed(cluster.conditions().await, allocation_and_shards, &mut skipped) {
        blockers.extend(allocation(&conditions));
        let mut needed = needed_shards(&conditions, &new);
        // The keys in use are recorded before the first write, in the control index.
        if makes_control || !plan.has_control && encrypts(&new) {
            needed += shards_of_an_index(&conditions);
        }
        blockers.extend(shards(&conditions, needed));
    }
    for group in new {
        // Templates match by name, so one staging index represents all.
        let index = if group.way == Way::Copy { group.names.fill(&group.digest()) } else { group.index.clone() };
        let what = format!("whether a template would change the new index {index}");
        let templates = allowed(cluster.interfering_templates(&index).await, &what, &mut skipped).unwrap_or_default();
        blockers.extend(templates.iter().map(|template| interfering(template, &index)));
    }
    Ok(Obstacles { blockers, skipped })
}

/// Asks which product the server is.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if the product answers like Elasticsearch but lacks requests of a migration.
pub(super) async fn refuse_other_products(cluster: &dyn Cluster) -> Result<()> {
    match cluster.version().await {
        Err(error) if matches!(error.kind, ClusterErrorKind::Misconfigured(_)) => Err(error.into()),
        // Whatever else is wrong, the next checks report.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Returns the answer of a check, or `None` if it failed. A check that lacks a privilege is added to `skipped`.
fn allowed<T>(answer: ClusterResult<T>, what: &str, skipped: &mut Vec<Blocker>) -> Option<T> {
    match answer {
        Ok(found) => Some(found),
        Err(error) => {
            tracing::debug!(%error, "a condition of the cluster cannot be checked");
            if error.kind == ClusterErrorKind::Forbidden {
                let error = Error::from(error);
                skipped.push(Blocker {
                    what: format!("skipped, because a privilege is missing: the check {what}"),
                    hint: error.hint().unwrap_or_default().to_owned(),
                });
            }
            None
        }
    }
}

fn red(index: &str) -> Blocker {
    Blocker {
        what: format!("the index {index} is red: its primary shard is not there"),
        hint: format!(
            "see why with GET /_cluster/allocation/explain; bring back the node that has the shard; only if it is \
             lost, restore {index} from a snapshot, which lacks what was written since"
        ),
    }
}

fn allocation(conditions: &Conditions) -> Option<Blocker> {
    (conditions.allocation == "none").then(|| Blocker {
        what: "the cluster allocates no shards (cluster.routing.allocation.enable is none), so no index can be \
               made"
            .to_owned(),
        hint: "allow it again: PUT /_cluster/settings \
               {\"persistent\":{\"cluster.routing.allocation.enable\":null},\
               \"transient\":{\"cluster.routing.allocation.enable\":null}}"
            .to_owned(),
    })
}

/// Returns the number of shards of a new index: one, and a replica if there is a node for it.
fn shards_of_an_index(conditions: &Conditions) -> u64 {
    if conditions.data_nodes > 1 { 2 } else { 1 }
}

/// Returns the number of shards that the new indices of these groups need. A copy also has a staging index, without a
/// replica.
fn needed_shards(conditions: &Conditions, new: &[&GroupPlan]) -> u64 {
    new.iter().map(|group| shards_of_an_index(conditions) + u64::from(group.way == Way::Copy)).sum()
}

fn encrypts(groups: &[&GroupPlan]) -> bool {
    groups.iter().flat_map(|group| &group.types).any(|plan| plan.definition.encrypts())
}

fn shards(conditions: &Conditions, needed: u64) -> Option<Blocker> {
    let left = conditions.shards_left.filter(|left| *left < needed)?;
    Some(Blocker {
        what: format!("the cluster takes {left} more shards (cluster.max_shards_per_node), and {needed} are needed"),
        hint: "raise the limit: PUT /_cluster/settings {\"persistent\":{\"cluster.max_shards_per_node\":<more>}}; or \
               make room, for example by deleting the generations that are kept for a rollback: `saved-objects migrate \
               --drop-old`"
            .to_owned(),
    })
}

fn interfering(template: &str, index: &str) -> Blocker {
    Blocker {
        what: format!(
            "the template {template} would give the new index {index} settings, mappings or aliases of its own"
        ),
        hint: format!(
            "see GET /{template}; change its index_patterns so that it leaves out the indices of this prefix; or, if \
             it is not needed, delete it: DELETE /{template}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(allocation: &str, data_nodes: u64, shards_left: Option<u64>) -> Conditions {
        Conditions { allocation: allocation.to_owned(), data_nodes, shards_left }
    }

    #[test]
    fn only_what_keeps_an_index_from_being_made_is_in_the_way() {
        for (setting, is_blocked) in [("all", false), ("primaries", false), ("new_primaries", false), ("none", true)] {
            assert_eq!(allocation(&conditions(setting, 1, None)).is_some(), is_blocked, "{setting}");
        }
    }

    #[test]
    fn shards_are_counted_with_their_replicas() {
        let registry = crate::registry::Registry::builder().with(crate::tokens::types().expect("built-in"));
        let mut plans = super::super::decide::new_plans(&registry.build().expect("valid"), &Default::default());
        let mut is_blocked = |way, nodes, left| {
            plans[0].way = way;
            let conditions = conditions("all", nodes, left);
            shards(&conditions, needed_shards(&conditions, &[&plans[0]])).is_some()
        };
        let table = [
            (Way::Create, 1, Some(0), true),
            (Way::Create, 1, Some(1), false),
            (Way::Create, 3, Some(1), true),
            (Way::Copy, 1, Some(1), true),
            (Way::Copy, 1, Some(2), false),
            (Way::Copy, 3, Some(2), true),
            (Way::Copy, 3, None, false),
        ];
        for (way, nodes, left, expected) in table {
            assert_eq!(is_blocked(way, nodes, left), expected, "{way:?} {nodes} {left:?}");
        }
    }
}
