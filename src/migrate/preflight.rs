//! Checks, before the first write, for conditions of the cluster that would stop a migration half-way.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::plan::OwnIndex;
use super::{Blocker, CheckName, GroupPlan, Plan, Way};
use crate::cluster::{Cluster, ClusterErrorKind, ClusterResult, Conditions, DataNode, Health, Interference};
use crate::environment::Environment;
use crate::{Error, Result};

/// How long a migration waits for the primary shard of an index, as after the start of a node.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// How long a plan or a status waits for it.
pub(super) const SHORT_PATIENCE: Duration = Duration::from_secs(1);

/// What the checks are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// What the plan does.
    Planned,
    /// Also what a later migration may do, and all that exists.
    Everything,
}

/// The checks.
#[derive(Debug)]
pub(super) struct Preflight<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) environment: &'a Environment,
    pub(super) plan: &'a Plan,
    /// The names and states of the indices that the engine uses for itself.
    pub(super) own: [(String, OwnIndex); 2],
    pub(super) scope: Scope,
    /// How long to wait for the primary shard of an index.
    pub(super) patience: Duration,
}

/// The results of the checks.
#[derive(Debug, Default)]
pub(super) struct Obstacles {
    pub(super) blockers: Vec<Blocker>,
    /// Checks that the credentials do not allow. What they check for may exist.
    pub(super) skipped: Vec<Blocker>,
    /// The conditions of the cluster, if they were needed and can be read.
    pub(super) conditions: Option<ConditionsNow>,
}

/// Conditions, and the time of this machine when the answer came.
#[derive(Debug)]
pub(super) struct ConditionsNow {
    pub(super) conditions: Conditions,
    pub(super) at: Timestamp,
}

impl Preflight<'_> {
    /// Returns the obstacles.
    ///
    /// # Errors
    /// Those of the cluster. A check that the credentials do not allow is no error.
    pub(super) async fn obstacles(self) -> Result<Obstacles> {
        let mut found = Obstacles::default();
        refuse_other_products(self.cluster).await?;
        for index in self.existing() {
            let health = self.cluster.wait_for_health(index, Health::Yellow, self.patience).await;
            let health = match self.scope {
                // A migration could not go on without the health of its indices.
                Scope::Planned => Some(health?),
                Scope::Everything => {
                    let what = format!("whether {index} has its primary shard");
                    allowed(health, CheckName::Health, &what, &mut found.skipped)
                }
            };
            if health == Some(Health::Red) {
                found.blockers.push(red(index));
            }
        }
        let is_new = |group: &&GroupPlan| matches!(group.way, Way::Create | Way::Copy);
        let new: Vec<&GroupPlan> = self.plan.groups.iter().filter(is_new).collect();
        let has_control = self.plan.control != OwnIndex::Missing;
        // The control index is created before documents are converted, for the lease.
        let makes_control = !has_control && self.plan.groups.iter().any(|group| group.way == Way::InPlace);
        let is_everything = self.scope == Scope::Everything;
        if !new.is_empty() || makes_control || is_everything {
            let what = "whether the cluster allocates shards, takes more of them, and has disk space";
            let conditions = self.cluster.conditions().await;
            let at = self.environment.clock().now();
            let conditions = allowed(conditions, CheckName::Shards, what, &mut found.skipped);
            if let Some(conditions) = conditions {
                found.blockers.extend(allocation(&conditions));
                let mut needed = needed_shards(&conditions, &new);
                // The keys in use are recorded before the first write, in the control index.
                if makes_control || !has_control && encrypts(&new) {
                    needed += shards_of_an_index(&conditions);
                }
                if needed == 0 {
                    // A later copy needs them.
                    needed = shards_of_an_index(&conditions) + 1;
                }
                found.blockers.extend(shards(&conditions, needed));
                found.blockers.extend(no_disk_space(&conditions));
                if is_everything {
                    found.blockers.extend(conditions.nodes.iter().filter_map(nearly_full));
                }
                found.conditions = Some(ConditionsNow { conditions, at });
            }
        }
        let names = self.made();
        if !names.is_empty() {
            let what = format!("whether a template would change the new indices {}", names.join(", "));
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let templates = self.cluster.interfering_templates(&names).await;
            let templates = allowed(templates, CheckName::Templates, &what, &mut found.skipped).unwrap_or_default();
            found.blockers.extend(interfering(&templates));
        }
        Ok(found)
    }

    /// Returns the indices whose health matters.
    fn existing(&self) -> Vec<&str> {
        let is_everything = self.scope == Scope::Everything;
        let matters = |group: &&GroupPlan| match group.way {
            Way::InPlace | Way::Copy => true,
            Way::None => is_everything,
            Way::Create => false,
        };
        let groups = self.plan.groups.iter().filter(matters).map(|group| group.index.as_str());
        let is_there = |(_, state): &&(String, OwnIndex)| is_everything && *state == OwnIndex::Readable;
        groups.chain(self.own.iter().filter(is_there).map(|(index, _)| index.as_str())).collect()
    }

    /// Returns the names of the indices that the plan makes, or that a later write may make. Templates match by name, so
    /// one staging index represents all.
    fn made(&self) -> Vec<String> {
        let is_everything = self.scope == Scope::Everything;
        let made = |group: &GroupPlan| match group.way {
            Way::Create => Some(group.index.clone()),
            Way::Copy => Some(group.names.fill(&group.digest())),
            Way::None | Way::InPlace => is_everything.then(|| group.names.fill(&group.digest())),
        };
        let mut names: Vec<String> = self.plan.groups.iter().filter_map(made).collect();
        // A migration may create both at any time, for a lease or a document that cannot be converted.
        if is_everything || self.plan.groups.iter().any(|group| group.way != Way::None) {
            let missing = self.own.iter().filter(|(_, state)| *state == OwnIndex::Missing);
            names.extend(missing.map(|(index, _)| index.clone()));
        }
        names
    }
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
fn allowed<T>(answer: ClusterResult<T>, check: CheckName, what: &str, skipped: &mut Vec<Blocker>) -> Option<T> {
    match answer {
        Ok(found) => Some(found),
        Err(error) => {
            tracing::debug!(%error, "a condition of the cluster cannot be checked");
            if error.kind == ClusterErrorKind::Forbidden {
                let error = Error::from(error);
                skipped.push(Blocker {
                    check,
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
        check: CheckName::Health,
        what: format!("the index {index} is red: its primary shard is not there"),
        hint: format!(
            "see why with GET /_cluster/allocation/explain; bring back the node that has the shard; only if it is \
             lost, restore {index} from a snapshot, which lacks what was written since"
        ),
    }
}

fn allocation(conditions: &Conditions) -> Option<Blocker> {
    (conditions.allocation == "none").then(|| Blocker {
        check: CheckName::Shards,
        what: "the cluster allocates no shards (cluster.routing.allocation.enable is none), so no index can be \
               made"
            .to_owned(),
        hint: "allow it again: PUT /_cluster/settings \
               {\"persistent\":{\"cluster.routing.allocation.enable\":null},\
               \"transient\":{\"cluster.routing.allocation.enable\":null}}"
            .to_owned(),
    })
}

const FREE_SPACE: &str = "free disk space on the data nodes or add one, see GET /_cat/allocation?v";

/// Returns the blocker of a cluster whose data nodes are all above the high watermark, where no shard is put.
fn no_disk_space(conditions: &Conditions) -> Option<Blocker> {
    let is_full = |node: &DataNode| node.disk.as_ref().is_some_and(|disk| disk.free < disk.high);
    let is_everywhere = !conditions.nodes.is_empty() && conditions.nodes.iter().all(is_full);
    let described: Vec<String> = conditions.nodes.iter().map(DataNode::to_string).collect();
    is_everywhere.then(|| Blocker {
        check: CheckName::Disk,
        what: format!(
            "no data node has the disk space for a new index, by the high disk watermark: {}",
            described.join("; ")
        ),
        hint: format!("{FREE_SPACE}; or change cluster.routing.allocation.disk.watermark.high"),
    })
}

/// Returns the blocker of a node above the flood stage.
fn nearly_full(node: &DataNode) -> Option<Blocker> {
    let is_flooded = node.disk.as_ref().is_some_and(|disk| disk.free < disk.flood);
    is_flooded.then(|| Blocker {
        check: CheckName::Disk,
        what: format!("a disk is above the flood stage, so that indices with a shard on it take no writes: {node}"),
        hint: format!("{FREE_SPACE}; the server then lifts the blocks by itself"),
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
        check: CheckName::Shards,
        what: format!("the cluster takes {left} more shards (cluster.max_shards_per_node), and {needed} are needed"),
        hint: "raise the limit: PUT /_cluster/settings {\"persistent\":{\"cluster.max_shards_per_node\":<more>}}; or \
               make room, for example by deleting the generations that are kept for a rollback: `saved-objects migrate \
               --drop-old`"
            .to_owned(),
    })
}

/// Returns a blocker for each template.
fn interfering(found: &[Interference]) -> Vec<Blocker> {
    let mut by_template: BTreeMap<&str, Vec<&Interference>> = BTreeMap::new();
    found.iter().for_each(|it| by_template.entry(&it.template).or_default().push(it));
    let blocker = |(template, of_it): (&str, Vec<&Interference>)| {
        let indices = of_it.iter().map(|it| it.index.as_str()).collect::<Vec<_>>().join(", ");
        let first = of_it.first();
        let adds = first.map(|it| it.adds.join(", ")).unwrap_or_default();
        let what = match first.is_some_and(|it| it.is_for_data_streams) {
            true => format!("the template {template} reserves names of new indices for data streams: {indices}"),
            false => format!(
                "the template {template} would give new indices settings, mappings or aliases of its own ({adds}): \
                 {indices}"
            ),
        };
        let hint = format!(
            "see GET /{template}; change its index_patterns so that it leaves out the indices of this prefix; or, if \
             it is not needed, delete it: DELETE /{template}"
        );
        Blocker { check: CheckName::Templates, what, hint }
    };
    by_template.into_iter().map(blocker).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Disk;

    fn conditions(allocation: &str, data_nodes: u64, shards_left: Option<u64>) -> Conditions {
        Conditions { allocation: allocation.to_owned(), data_nodes, shards_left, nodes: Vec::new() }
    }

    #[test]
    fn a_disk_is_in_the_way_where_no_shard_is_put_or_written() {
        let node = |free| DataNode {
            name: format!("n{free}"),
            at_ms: 0,
            disk: Some(Disk { free, total: 100, high: 10, flood: 5 }),
        };
        let of = |free: &[u64]| Conditions {
            nodes: free.iter().copied().map(node).collect(),
            ..conditions("all", free.len() as u64, None)
        };
        // The free space of each node, whether no index can be made, and the number of nodes without writes.
        let table: [(&[u64], bool, usize); 6] = [
            (&[], false, 0),
            (&[50], false, 0),
            (&[10], false, 0),
            (&[9], true, 0),
            (&[9, 50], false, 0),
            (&[4, 9], true, 1),
        ];
        for (free, is_full, flooded) in table {
            let conditions = of(free);
            assert_eq!(no_disk_space(&conditions).is_some(), is_full, "{free:?}");
            assert_eq!(conditions.nodes.iter().filter_map(nearly_full).count(), flooded, "{free:?}");
        }
        let unknown = Conditions { nodes: vec![DataNode { disk: None, ..node(1) }], ..of(&[]) };
        assert!(no_disk_space(&unknown).is_none());
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
