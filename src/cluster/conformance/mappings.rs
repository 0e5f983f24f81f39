//! Mappings: how they change, and which changes are refused.

use serde_json::{Value, json};

use super::case::named_cases;
use super::room::Room;
use super::verdict::{Verdict, equal, refused};
use crate::cluster::{ClusterErrorKind, Query};

named_cases!(
    malformed_mappings_are_refused,
    properties_are_merged,
    meta_is_replaced_whole,
    meta_stays_if_it_is_not_named,
    fields_can_be_put_again,
    ignore_above_can_change,
    incompatible_changes_are_refused,
    a_refused_change_changes_nothing,
    documents_written_before_a_field_are_not_found_by_it,
    a_missing_index_has_no_mapping_to_change,
    a_write_block_lets_the_mapping_change,
);

async fn malformed_mappings_are_refused(room: Room) -> Verdict {
    for mapping in [
        json!({ "properties": { "a": { "type": "nope" } } }),
        json!({ "properties": { "a": {} } }),
        json!({ "properties": { "a": { "type": "keyword", "nope": 1 } } }),
        json!({ "nope": 1 }),
        json!({ "dynamic": "nope" }),
    ] {
        let created = room.cluster.create_index(&room.create_request(mapping.clone())).await;
        refused(&mapping.to_string(), created, ClusterErrorKind::MappingRefused)?;
    }
    room.create_plain().await?;
    let put = room.cluster.put_mapping(&room.index(), &json!({ "nope": 1 })).await;
    refused("an unknown parameter", put, ClusterErrorKind::MappingRefused)
}

/// Creates the index with one mapping, adds another, and compares the result.
async fn expect_merged(room: &Room, first: Value, second: Value, merged: Value) -> Verdict {
    room.cluster.create_index(&room.create_request(first)).await?;
    room.cluster.put_mapping(&room.index(), &second).await?;
    equal("the mapping", room.state_of(&room.index()).await?.mapping, merged)
}

async fn properties_are_merged(room: Room) -> Verdict {
    let first = json!({ "dynamic": "strict", "properties": {
        "a": { "type": "keyword" }, "o": { "dynamic": "false", "properties": { "x": { "type": "long" } } } } });
    let second = json!({ "properties": {
        "b": { "type": "date" }, "o": { "properties": { "y": { "type": "boolean" } } } } });
    let merged = json!({ "dynamic": "strict", "properties": {
        "a": { "type": "keyword" }, "b": { "type": "date" },
        "o": { "dynamic": "false", "properties": { "x": { "type": "long" }, "y": { "type": "boolean" } } } } });
    expect_merged(&room, first, second, merged).await
}

async fn meta_is_replaced_whole(room: Room) -> Verdict {
    let first = json!({ "_meta": { "a": 1, "b": { "c": 2 } } });
    expect_merged(&room, first, json!({ "_meta": { "b": { "d": 3 } } }), json!({ "_meta": { "b": { "d": 3 } } })).await
}

async fn meta_stays_if_it_is_not_named(room: Room) -> Verdict {
    let merged = json!({ "dynamic": "strict", "_meta": { "a": 1 } });
    expect_merged(&room, json!({ "_meta": { "a": 1 } }), json!({ "dynamic": "strict" }), merged).await
}

async fn fields_can_be_put_again(room: Room) -> Verdict {
    let mapping = json!({ "dynamic": "strict", "properties": {
        "k": { "type": "keyword", "fields": { "t": { "type": "text" } } },
        "n": { "type": "nested", "properties": { "id": { "type": "keyword" } } } } });
    let without_subfield = json!({ "properties": { "k": { "type": "keyword" } } });
    expect_merged(&room, mapping.clone(), without_subfield, mapping.clone()).await?;
    room.cluster.put_mapping(&room.index(), &mapping).await?;
    equal("the mapping", room.state_of(&room.index()).await?.mapping, mapping)
}

async fn ignore_above_can_change(room: Room) -> Verdict {
    let keyword = |limit: u32| json!({ "properties": { "k": { "type": "keyword", "ignore_above": limit } } });
    expect_merged(&room, keyword(5), keyword(9), keyword(9)).await
}

async fn incompatible_changes_are_refused(room: Room) -> Verdict {
    room.create(json!({
        "k": { "type": "keyword" }, "n": { "type": "long" },
        "o": { "properties": { "a": { "type": "keyword" } } },
        "refs": { "type": "nested", "properties": { "id": { "type": "keyword" } } },
    }))
    .await?;
    for properties in [
        json!({ "k": { "type": "long" } }),
        json!({ "n": { "type": "integer" } }),
        json!({ "k": { "type": "keyword", "index": false } }),
        json!({ "k": { "type": "keyword", "doc_values": false } }),
        json!({ "k": { "properties": { "a": { "type": "keyword" } } } }),
        json!({ "o": { "type": "keyword" } }),
        json!({ "o": { "type": "nested" } }),
        json!({ "o": { "type": "object", "enabled": false } }),
        json!({ "o": { "properties": { "a": { "type": "text" } } } }),
        json!({ "refs": { "properties": { "id": { "type": "keyword" } } } }),
    ] {
        let changed = room.cluster.put_mapping(&room.index(), &json!({ "properties": properties })).await;
        refused(&properties.to_string(), changed, ClusterErrorKind::MappingRefused)?;
    }
    Ok(())
}

async fn a_refused_change_changes_nothing(room: Room) -> Verdict {
    room.create_plain().await?;
    let before = room.state_of(&room.index()).await?.mapping;
    let change =
        json!({ "_meta": { "new": 1 }, "properties": { "a": { "type": "long" }, "n": { "type": "keyword" } } });
    let changed = room.cluster.put_mapping(&room.index(), &change).await;
    refused("the change", changed, ClusterErrorKind::MappingRefused)?;
    equal("the mapping", room.state_of(&room.index()).await?.mapping, before)
}

async fn documents_written_before_a_field_are_not_found_by_it(room: Room) -> Verdict {
    room.cluster.create_index(&room.create_request(json!({ "dynamic": false, "properties": {} }))).await?;
    room.put("before", json!({ "k": "a" })).await?;
    room.cluster.put_mapping(&room.index(), &json!({ "properties": { "k": { "type": "keyword" } } })).await?;
    room.fill(&[("after", json!({ "k": "a" }))]).await?;
    room.expect_found(&[(Query::equals("k", "a"), "after"), (Query::Everything, "after before")]).await
}

async fn a_missing_index_has_no_mapping_to_change(room: Room) -> Verdict {
    let put = room.cluster.put_mapping(&room.name("nothing"), &json!({ "_meta": {} })).await;
    refused("the change", put, ClusterErrorKind::IndexNotFound)
}

async fn a_write_block_lets_the_mapping_change(room: Room) -> Verdict {
    room.create_plain().await?;
    room.cluster.add_write_block(&room.index()).await?;
    room.cluster.put_mapping(&room.index(), &json!({ "_meta": { "a": 1 } })).await?;
    equal("_meta", room.state_of(&room.index()).await?.mapping["_meta"].clone(), json!({ "a": 1 }))
}
