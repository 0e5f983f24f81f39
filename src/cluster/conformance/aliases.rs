//! Alias updates are atomic.

use serde_json::json;

use super::case::named_cases;
use super::room::Room;
use super::verdict::{Failure, Verdict, equal, refused};
use crate::cluster::{AliasAction, ClusterErrorKind, CreateIndex};

named_cases!(
    an_alias_moves_in_one_step,
    what_is_done_already_is_fine,
    nothing_happens_if_one_action_is_refused,
    a_removed_alias_must_exist,
    the_index_must_exist,
    an_alias_cannot_have_the_name_of_an_index,
    an_alias_stands_in_for_no_index,
    no_actions_are_refused,
    adding_an_alias_twice_is_fine,
    an_alias_can_be_on_two_indices,
);

fn add(index: &str, alias: &str) -> AliasAction {
    AliasAction::Add { index: index.to_owned(), alias: alias.to_owned() }
}

fn remove(index: &str, alias: &str) -> AliasAction {
    AliasAction::Remove { index: index.to_owned(), alias: alias.to_owned() }
}

/// Creates two indices, of which the first has the alias.
async fn two_indices(room: &Room) -> Result<(String, String), Failure> {
    room.create_plain().await?;
    let request = CreateIndex { name: room.name("other"), aliases: vec![], ..room.create_request(json!({})) };
    room.cluster.create_index(&request).await?;
    Ok((room.index(), request.name))
}

async fn behind(room: &Room, alias: &str) -> Result<Vec<String>, Failure> {
    Ok(room.cluster.indices(&[alias]).await?.into_keys().collect())
}

async fn an_alias_moves_in_one_step(room: Room) -> Verdict {
    let (first, other) = two_indices(&room).await?;
    room.cluster.update_aliases(&[remove(&first, &room.alias()), add(&other, &room.alias())]).await?;
    equal("the index behind the alias", behind(&room, &room.alias()).await?, [other.clone()])?;
    let state = room.state_of(&other).await?;
    equal("it is hidden", state.aliases.get(&room.alias()).map(|alias| alias.is_hidden), Some(true))
}

async fn what_is_done_already_is_fine(room: Room) -> Verdict {
    let (first, other) = two_indices(&room).await?;
    let swap = [remove(&first, &room.alias()), add(&other, &room.alias())];
    room.cluster.update_aliases(&swap).await?;
    room.cluster.update_aliases(&swap).await?;
    equal("the index behind the alias", behind(&room, &room.alias()).await?, [other])
}

async fn nothing_happens_if_one_action_is_refused(room: Room) -> Verdict {
    let (first, other) = two_indices(&room).await?;
    let actions =
        [add(&other, &room.name("new")), remove(&first, &room.alias()), remove(&first, &room.name("nothing"))];
    refused("the update", room.cluster.update_aliases(&actions).await, ClusterErrorKind::AliasNotFound)?;
    equal("the index behind the alias", behind(&room, &room.alias()).await?, [first])?;
    equal("the indices behind the new alias", behind(&room, &room.name("new")).await?.len(), 0)
}

async fn a_removed_alias_must_exist(room: Room) -> Verdict {
    let (_, other) = two_indices(&room).await?;
    // The alias exists, but on another index.
    let removed = room.cluster.update_aliases(&[remove(&other, &room.alias()), add(&other, &room.name("x"))]).await;
    refused("the update", removed, ClusterErrorKind::AliasNotFound)
}

async fn the_index_must_exist(room: Room) -> Verdict {
    room.create_plain().await?;
    for action in [add(&room.name("nothing"), &room.alias()), remove(&room.name("nothing"), &room.alias())] {
        refused(&format!("{action:?}"), room.cluster.update_aliases(&[action]).await, ClusterErrorKind::IndexNotFound)?;
    }
    Ok(())
}

async fn an_alias_cannot_have_the_name_of_an_index(room: Room) -> Verdict {
    let (first, other) = two_indices(&room).await?;
    refused("the update", room.cluster.update_aliases(&[add(&first, &other)]).await, ClusterErrorKind::Rejected)
}

async fn an_alias_stands_in_for_no_index(room: Room) -> Verdict {
    room.create_plain().await?;
    let added = room.cluster.update_aliases(&[add(&room.alias(), &room.name("new"))]).await;
    refused("an alias of an alias", added, ClusterErrorKind::Rejected)
}

async fn no_actions_are_refused(room: Room) -> Verdict {
    refused("no actions", room.cluster.update_aliases(&[]).await, ClusterErrorKind::Rejected)
}

async fn adding_an_alias_twice_is_fine(room: Room) -> Verdict {
    room.create_plain().await?;
    room.cluster.update_aliases(&[add(&room.index(), &room.alias())]).await?;
    equal("the index behind the alias", behind(&room, &room.alias()).await?, [room.index()])
}

async fn an_alias_can_be_on_two_indices(room: Room) -> Verdict {
    let (first, other) = two_indices(&room).await?;
    room.cluster.update_aliases(&[add(&other, &room.alias())]).await?;
    equal("the indices behind the alias", behind(&room, &room.alias()).await?, [first, other])?;
    let alias = room.alias();
    refused("a get", room.cluster.get(&alias, "1").await, ClusterErrorKind::Rejected)?;
    refused("a multi-get", room.cluster.get_many(&alias, &["1"]).await, ClusterErrorKind::Rejected)
}
