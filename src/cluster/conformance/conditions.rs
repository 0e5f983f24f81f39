//! The cluster-wide conditions that decide whether an index can be created.

use super::case::named_cases;
use super::room::Room;
use super::verdict::{Failure, Verdict, equal};
use crate::cluster::Privileges;

named_cases!(
    a_healthy_cluster_takes_indices,
    no_template_interferes_where_there_is_none,
    without_security_everything_is_allowed,
    looking_at_the_conditions_changes_nothing,
);

async fn a_healthy_cluster_takes_indices(room: Room) -> Verdict {
    let conditions = room.cluster.conditions().await?;
    equal("what is allocated", conditions.allocation.as_str(), "all")?;
    equal("whether there are nodes with data", conditions.data_nodes > 0, true)?;
    equal("whether shards are left", conditions.shards_left.is_none_or(|left| left > 0), true)?;
    equal("the nodes", conditions.nodes.len() as u64, conditions.data_nodes)?;
    equal("whether they tell the time", conditions.nodes.iter().all(|node| node.at_ms > 0), true)
}

async fn no_template_interferes_where_there_is_none(room: Room) -> Verdict {
    equal("the templates", room.cluster.interfering_templates(&[&room.index()]).await?, Vec::new())
}

async fn without_security_everything_is_allowed(room: Room) -> Verdict {
    let indices = [(room.index(), vec!["read".to_owned()])].into();
    let asked = Privileges { cluster: vec!["monitor".to_owned()], indices };
    equal("what is lacking", room.cluster.lacking(&asked).await?, None)
}

async fn looking_at_the_conditions_changes_nothing(room: Room) -> Verdict {
    let before = room.cluster.requests();
    room.cluster.conditions().await?;
    room.cluster.interfering_templates(&[&room.index()]).await?;
    let after = room.cluster.requests();
    equal("writes", after.writes, before.writes)?;
    match after.reads > before.reads {
        true => Ok(()),
        false => Err(Failure("the reads are not counted".to_owned())),
    }
}
