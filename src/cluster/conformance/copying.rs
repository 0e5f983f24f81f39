//! Write blocks, clones and write counts, on which the copy of an index relies.

use std::time::Duration;

use serde_json::{Value, json};

use super::case::named_cases;
use super::room::{Room, item_refused, operation, put, source};
use super::verdict::{Verdict, equal, refused, some};
use crate::cluster::{
    AliasAction, BulkAction, CloneIndex, ClusterErrorKind, CreateIndex, Gone, Health, IndexPurpose, ItemErrorKind,
    Query, Search, SearchIn,
};

named_cases!(
    a_write_block_is_shown,
    a_write_block_can_be_set_and_lifted_twice,
    a_missing_index_takes_no_write_block,
    a_write_blocked_index_can_change_its_aliases,
    a_write_blocked_index_can_be_deleted,
    a_clone_has_everything_but_the_block_and_the_aliases,
    a_clone_is_on_its_own,
    a_clone_gives_unrefreshed_documents,
    a_clone_keeps_sequence_numbers,
    a_clone_writes_under_a_later_term,
    a_clone_needs_a_write_block,
    cloning_again_is_fine,
    another_index_of_the_target_name_is_refused,
    a_missing_index_cannot_be_cloned,
    a_copy_swaps_in_one_step,
    writes_are_counted,
    a_missing_index_has_no_write_count,
);

fn clone_request(room: &Room) -> CloneIndex {
    CloneIndex {
        source: room.index(),
        target: room.name("clone"),
        aliases: vec![room.name("clone-alias")],
        settings: Default::default(),
    }
}

fn meta_mapping(meta: Value) -> Value {
    json!({ "dynamic": "strict", "_meta": meta, "properties": { "n": { "type": "long" } } })
}

/// Creates an index with `_meta`, one document and a write block.
async fn blocked_index(room: &Room) -> Verdict {
    room.cluster.create_index(&room.create_request(meta_mapping(json!({ "digest": "a" })))).await?;
    room.put("1", json!({ "n": 1 })).await?;
    Ok(room.cluster.add_write_block(&room.index()).await?)
}

async fn a_write_block_is_shown(room: Room) -> Verdict {
    room.create_plain().await?;
    room.cluster.add_write_block(&room.index()).await?;
    equal("with the block", room.state_of(&room.index()).await?.write_blocked, true)?;
    room.cluster.remove_write_block(&room.index()).await?;
    equal("without it", room.state_of(&room.index()).await?.write_blocked, false)
}

async fn a_write_block_can_be_set_and_lifted_twice(room: Room) -> Verdict {
    room.create_plain().await?;
    room.cluster.remove_write_block(&room.index()).await?;
    for _ in 0..2 {
        room.cluster.add_write_block(&room.index()).await?;
    }
    let refused = room.write("1", BulkAction::Put { source: source(&json!({ "n": 1 })) }).await?;
    item_refused("a write", &refused, ItemErrorKind::WriteBlocked)?;
    for _ in 0..2 {
        room.cluster.remove_write_block(&room.index()).await?;
    }
    room.put("1", json!({ "n": 1 })).await.map(drop)
}

async fn a_missing_index_takes_no_write_block(room: Room) -> Verdict {
    let index = room.name("nothing");
    refused("setting it", room.cluster.add_write_block(&index).await, ClusterErrorKind::IndexNotFound)?;
    refused("lifting it", room.cluster.remove_write_block(&index).await, ClusterErrorKind::IndexNotFound)
}

async fn a_write_blocked_index_can_change_its_aliases(room: Room) -> Verdict {
    blocked_index(&room).await?;
    let new = room.name("new");
    room.cluster
        .update_aliases(&[
            AliasAction::Remove { index: room.index(), alias: room.alias() },
            AliasAction::Add { index: room.index(), alias: new.clone() },
        ])
        .await?;
    equal("its aliases", room.state_of(&room.index()).await?.aliases.into_keys().collect::<Vec<_>>(), [new])
}

async fn a_write_blocked_index_can_be_deleted(room: Room) -> Verdict {
    blocked_index(&room).await?;
    room.cluster.delete_index(&room.index()).await?;
    equal("it is there", room.cluster.indices(&[&room.index()]).await?.len(), 0)
}

async fn a_clone_has_everything_but_the_block_and_the_aliases(room: Room) -> Verdict {
    blocked_index(&room).await?;
    let request = clone_request(&room);
    room.cluster.clone_index(&request).await?;
    let (source, clone) = (room.state_of(&room.index()).await?, room.state_of(&request.target).await?);
    equal("the mapping", clone.mapping, source.mapping)?;
    equal("the aliases", clone.aliases.into_keys().collect::<Vec<_>>(), request.aliases)?;
    equal("the source's block", source.write_blocked, true)?;
    equal("the clone's block", clone.write_blocked, false)?;
    equal("its uuid is the source's", clone.uuid == source.uuid, false)?;
    // Also with one node, although the source could have replicas configured.
    let health = room.cluster.wait_for_health(&request.target, Health::Green, Duration::from_secs(60)).await?;
    equal("the health", health, Health::Green)
}

async fn a_clone_is_on_its_own(room: Room) -> Verdict {
    blocked_index(&room).await?;
    let request = clone_request(&room);
    room.cluster.clone_index(&request).await?;
    let written = room.bulk(&room.name("clone-alias"), &[put("1", &json!({ "n": 2 }))]).await?;
    some("the outcome", written.into_iter().next())??;
    let stored = some("the source's", room.cluster.get(&room.index(), "1").await?)?;
    equal("the source's document", stored.source.get(), r#"{"n":1}"#)?;
    room.cluster.delete_index(&room.index()).await?;
    let stored = some("the clone's", room.cluster.get(&request.target, "1").await?)?;
    equal("the clone's document", stored.source.get(), r#"{"n":2}"#)
}

async fn a_clone_gives_unrefreshed_documents(room: Room) -> Verdict {
    blocked_index(&room).await?;
    let request = clone_request(&room);
    room.cluster.clone_index(&request).await?;
    let found = room.cluster.search(&Search::new(SearchIn::Index(request.target), Query::equals("n", 1))).await?;
    equal("the documents", found.hits.len(), 1)
}

async fn a_clone_keeps_sequence_numbers(room: Room) -> Verdict {
    room.create_plain().await?;
    room.put("2", json!({ "n": 2 })).await?;
    let read = room.put("1", json!({ "n": 1 })).await?;
    room.cluster.add_write_block(&room.index()).await?;
    let request = clone_request(&room);
    room.cluster.clone_index(&request).await?;
    let stored = some("the document", room.cluster.get(&request.target, "1").await?)?;
    equal("the sequence number", stored.sequence.seq_no, read.seq_no)?;
    equal("the write count", room.cluster.write_count(&request.target).await?, 2)?;
    let replace = BulkAction::Replace { source: source(&json!({ "n": 3 })), read: stored.sequence };
    let outcome = some("the outcome", room.bulk(&room.name("clone-alias"), &[operation("1", replace)]).await?.pop())??;
    equal("the next sequence number", outcome.seq_no, 2)
}

async fn a_clone_writes_under_a_later_term(room: Room) -> Verdict {
    room.create_plain().await?;
    let read = room.put("1", json!({ "n": 1 })).await?;
    room.cluster.add_write_block(&room.index()).await?;
    let request = clone_request(&room);
    room.cluster.clone_index(&request).await?;
    let stored = some("the document", room.cluster.get(&request.target, "1").await?)?;
    equal("the term of what was copied", stored.sequence, read)?;
    let written = room.bulk(&room.name("clone-alias"), &[put("2", &json!({ "n": 2 }))]).await?;
    let written = some("the outcome", written.into_iter().next())??;
    equal("the later term", written.primary_term > read.primary_term, true)
}

async fn a_clone_needs_a_write_block(room: Room) -> Verdict {
    room.create_plain().await?;
    refused("the clone", room.cluster.clone_index(&clone_request(&room)).await, ClusterErrorKind::NotWriteBlocked)?;
    equal("the indices of its name", room.cluster.indices(&[&room.name("clone")]).await?.len(), 0)
}

async fn cloning_again_is_fine(room: Room) -> Verdict {
    blocked_index(&room).await?;
    let request = clone_request(&room);
    room.cluster.clone_index(&request).await?;
    let uuid = room.state_of(&request.target).await?.uuid;
    room.cluster.clone_index(&request).await?;
    equal("the uuid", room.state_of(&request.target).await?.uuid, uuid)
}

async fn another_index_of_the_target_name_is_refused(room: Room) -> Verdict {
    blocked_index(&room).await?;
    let request = clone_request(&room);
    let other = CreateIndex {
        name: request.target.clone(),
        mapping: meta_mapping(json!({ "digest": "b" })),
        aliases: vec![],
        purpose: IndexPurpose::Serving,
        settings: Default::default(),
    };
    room.cluster.create_index(&other).await?;
    refused("the clone", room.cluster.clone_index(&request).await, ClusterErrorKind::IndexExists)
}

async fn a_missing_index_cannot_be_cloned(room: Room) -> Verdict {
    refused("the clone", room.cluster.clone_index(&clone_request(&room)).await, ClusterErrorKind::IndexNotFound)
}

async fn a_copy_swaps_in_one_step(room: Room) -> Verdict {
    blocked_index(&room).await?;
    let request = clone_request(&room);
    room.cluster.clone_index(&request).await?;
    let swap = [
        AliasAction::Remove { index: room.index(), alias: room.alias() },
        AliasAction::Add { index: request.target.clone(), alias: room.alias() },
    ];
    room.cluster.update_aliases(&swap).await?;
    let stored = some("the document", room.cluster.get(&room.alias(), "1").await?)?;
    equal("the index", stored.index, request.target)
}

async fn writes_are_counted(room: Room) -> Verdict {
    room.create_plain().await?;
    equal("before the first write", room.cluster.write_count(&room.index()).await?, 0)?;
    let read = room.put("1", json!({ "n": 1 })).await?;
    equal("after a write", room.cluster.write_count(&room.alias()).await?, 1)?;
    room.write("1", BulkAction::Delete { read, gone: Gone::Done }).await??;
    equal("after a delete", room.cluster.write_count(&room.index()).await?, 2)?;
    let conflict = room.write("1", BulkAction::Delete { read, gone: Gone::Done }).await?;
    item_refused("a second delete", &conflict, ItemErrorKind::Conflict)?;
    equal("after a conflict", room.cluster.write_count(&room.index()).await?, 2)
}

async fn a_missing_index_has_no_write_count(room: Room) -> Verdict {
    let counted = room.cluster.write_count(&room.name("nothing")).await;
    refused("the count", counted, ClusterErrorKind::IndexNotFound)
}
