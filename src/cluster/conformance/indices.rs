//! Creation, description and deletion of indices.

use std::time::Duration;

use serde_json::json;

use super::case::named_cases;
use super::room::Room;
use super::verdict::{Verdict, equal, refused};
use crate::cluster::{AliasState, ClusterErrorKind, CreateIndex, Health, IndexPurpose, TypeCount};

named_cases!(
    the_version_has_three_numbers,
    requests_are_counted,
    an_index_is_as_it_was_created,
    names_that_do_not_exist_are_left_out,
    a_name_ending_in_an_asterisk_finds_hidden_indices,
    an_alias_stands_for_its_index,
    creating_an_index_again_with_its_meta_is_fine,
    creating_another_index_of_the_name_is_refused,
    an_index_cannot_have_the_name_of_an_alias,
    an_index_cannot_have_an_alias_of_an_index_name,
    odd_names_are_refused,
    a_deleted_index_is_gone_and_comes_back_as_another,
    deleting_what_is_not_there_is_fine,
    deleting_an_alias_deletes_nothing,
    a_new_index_has_health,
    a_missing_index_has_no_health,
    refreshing_a_missing_index_is_refused,
    documents_are_counted_by_type_and_version,
    counts_of_an_index_without_such_fields,
);

async fn the_version_has_three_numbers(room: Room) -> Verdict {
    let version = room.cluster.version().await?;
    let is_number = |part: &str| part.parse::<u32>().is_ok();
    equal(&version, version.split('.').filter(|part| is_number(part)).count(), 3)
}

async fn requests_are_counted(room: Room) -> Verdict {
    let before = room.cluster.requests();
    room.create_plain().await?;
    room.cluster.indices(&[&room.index()]).await?;
    let after = room.cluster.requests();
    equal("a write was counted", after.writes > before.writes, true)?;
    equal("a read was counted", after.reads > before.reads, true)?;
    equal("all were counted", after.total(), after.reads + after.writes)
}

async fn an_index_is_as_it_was_created(room: Room) -> Verdict {
    let mapping = json!({ "dynamic": "strict", "_meta": { "a": { "b": 1 } }, "properties": {
        "k": { "type": "keyword", "ignore_above": 5, "fields": { "t": { "type": "text" } } },
        "o": { "dynamic": "false", "properties": { "a": { "type": "long" } } },
        "e": { "type": "object" },
        "n": { "type": "nested", "properties": { "id": { "type": "keyword" } } },
    } });
    room.cluster.create_index(&room.create_request(mapping.clone())).await?;
    let state = room.state_of(&room.index()).await?;
    equal("the mapping", state.mapping, mapping)?;
    equal("the aliases", state.aliases, [(room.alias(), AliasState::hidden())].into())?;
    equal("the write block", state.write_blocked, false)?;
    equal("there is a uuid", state.uuid.is_empty(), false)
}

async fn names_that_do_not_exist_are_left_out(room: Room) -> Verdict {
    room.create_plain().await?;
    let found = room.cluster.indices(&[&room.name("nothing"), &room.index()]).await?;
    equal("the indices", found.into_keys().collect::<Vec<_>>(), [room.index()])?;
    equal("the indices of one missing name", room.cluster.indices(&[&room.name("nothing")]).await?.len(), 0)?;
    equal("the indices of no name", room.cluster.indices(&[]).await?.len(), 0)
}

async fn a_name_ending_in_an_asterisk_finds_hidden_indices(room: Room) -> Verdict {
    room.create_plain().await?;
    for pattern in [room.name("ind*"), room.name("al*")] {
        let found = room.cluster.indices(&[&pattern]).await?;
        equal(&pattern, found.into_keys().collect::<Vec<_>>(), [room.index()])?;
    }
    equal("other names", room.cluster.indices(&[&room.name("other*")]).await?.len(), 0)
}

async fn an_alias_stands_for_its_index(room: Room) -> Verdict {
    room.create_plain().await?;
    let found = room.cluster.indices(&[&room.alias()]).await?;
    equal("the index behind the alias", found.into_keys().collect::<Vec<_>>(), [room.index()])
}

async fn creating_an_index_again_with_its_meta_is_fine(room: Room) -> Verdict {
    let request = room.create_request(json!({ "dynamic": "strict", "_meta": { "digest": "a" } }));
    room.cluster.create_index(&request).await?;
    let uuid = room.state_of(&room.index()).await?.uuid;
    room.cluster.create_index(&request).await?;
    equal("it is the same index", room.state_of(&room.index()).await?.uuid, uuid)
}

async fn creating_another_index_of_the_name_is_refused(room: Room) -> Verdict {
    room.cluster.create_index(&room.create_request(json!({ "_meta": { "digest": "a" } }))).await?;
    let other = room.create_request(json!({ "_meta": { "digest": "b" } }));
    refused("another index of the name", room.cluster.create_index(&other).await, ClusterErrorKind::IndexExists)
}

async fn an_index_cannot_have_the_name_of_an_alias(room: Room) -> Verdict {
    room.create_plain().await?;
    let request = CreateIndex { name: room.alias(), aliases: vec![], ..room.create_request(json!({})) };
    refused("an index named as an alias", room.cluster.create_index(&request).await, ClusterErrorKind::Rejected)
}

async fn an_index_cannot_have_an_alias_of_an_index_name(room: Room) -> Verdict {
    room.create_plain().await?;
    for alias in [room.index(), room.name("other")] {
        let request = CreateIndex { name: room.name("other"), aliases: vec![alias], ..room.create_request(json!({})) };
        let created = room.cluster.create_index(&request).await;
        refused("an alias named as an index", created, ClusterErrorKind::Rejected)?;
    }
    Ok(())
}

async fn odd_names_are_refused(room: Room) -> Verdict {
    for name in [room.name("UPPER"), room.name("a b"), room.name("a#b"), room.name(&"x".repeat(256))] {
        let request = CreateIndex { name: name.clone(), ..room.create_request(json!({})) };
        refused(&name, room.cluster.create_index(&request).await, ClusterErrorKind::Rejected)?;
    }
    Ok(())
}

async fn a_deleted_index_is_gone_and_comes_back_as_another(room: Room) -> Verdict {
    room.create_plain().await?;
    let uuid = room.state_of(&room.index()).await?.uuid;
    room.put("1", json!({ "n": 1 })).await?;
    room.cluster.delete_index(&room.index()).await?;
    equal("it is gone", room.cluster.indices(&[&room.index(), &room.alias()]).await?.len(), 0)?;
    room.create_plain().await?;
    equal("its uuid is the same", room.state_of(&room.index()).await?.uuid == uuid, false)?;
    equal("the document is there", room.cluster.get(&room.index(), "1").await?.is_some(), false)
}

async fn deleting_what_is_not_there_is_fine(room: Room) -> Verdict {
    Ok(room.cluster.delete_index(&room.name("nothing")).await?)
}

async fn deleting_an_alias_deletes_nothing(room: Room) -> Verdict {
    room.create_plain().await?;
    room.cluster.delete_index(&room.alias()).await?;
    equal("the alias is there", room.state_of(&room.index()).await?.aliases.contains_key(&room.alias()), true)
}

async fn a_new_index_has_health(room: Room) -> Verdict {
    for purpose in [IndexPurpose::Filling, IndexPurpose::Serving] {
        let name = room.name(if purpose == IndexPurpose::Filling { "filling" } else { "serving" });
        let request = CreateIndex { name: name.clone(), aliases: vec![], purpose, ..room.create_request(json!({})) };
        room.cluster.create_index(&request).await?;
        // Also with one node: no replica is configured that cannot be allocated.
        let health = room.cluster.wait_for_health(&name, Health::Green, Duration::from_secs(30)).await?;
        equal(&name, health, Health::Green)?;
    }
    Ok(())
}

async fn a_missing_index_has_no_health(room: Room) -> Verdict {
    let health = room.cluster.wait_for_health(&room.name("nothing"), Health::Yellow, Duration::from_secs(1)).await?;
    equal("the health", health, Health::Red)
}

async fn refreshing_a_missing_index_is_refused(room: Room) -> Verdict {
    refused("a refresh", room.cluster.refresh(&room.name("nothing")).await, ClusterErrorKind::IndexNotFound)
}

async fn documents_are_counted_by_type_and_version(room: Room) -> Verdict {
    room.create(json!({ "type": { "type": "keyword" }, "typeMigrationVersion": { "type": "keyword" } })).await?;
    room.fill(&[
        ("1", json!({ "type": "a", "typeMigrationVersion": "10.1.0" })),
        ("2", json!({ "type": "a", "typeMigrationVersion": "10.1.0" })),
        ("3", json!({ "type": "a", "typeMigrationVersion": "10.2.0" })),
        ("4", json!({ "type": "b" })),
        ("5", json!({})),
    ])
    .await?;
    room.put("6", json!({ "type": "unseen" })).await?;
    let count = |type_name: Option<&str>, version: Option<&str>, documents| TypeCount {
        type_name: type_name.map(str::to_owned),
        version: version.map(str::to_owned),
        documents,
    };
    let mut counts = room.cluster.count_by_type(&room.index()).await?;
    counts.sort_by_key(|count| (count.type_name.clone(), count.version.clone()));
    let expected = [
        count(None, None, 1),
        count(Some("a"), Some("10.1.0"), 2),
        count(Some("a"), Some("10.2.0"), 1),
        count(Some("b"), None, 1),
    ];
    equal("the counts", counts, expected)?;
    let missing = room.cluster.count_by_type(&room.name("nothing")).await;
    refused("counting in a missing index", missing, ClusterErrorKind::IndexNotFound)
}

async fn counts_of_an_index_without_such_fields(room: Room) -> Verdict {
    room.create_plain().await?;
    room.fill(&[("1", json!({ "n": 1 }))]).await?;
    let counts = room.cluster.count_by_type(&room.index()).await?;
    equal("the counts", counts, [TypeCount { type_name: None, version: None, documents: 1 }])
}
