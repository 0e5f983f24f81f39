//! Bulk writes: each conditional operation is done once or not at all.

use bytes::Bytes;
use serde_json::json;

use super::case::named_cases;
use super::room::{Room, item_refused, operation, put, source};
use super::verdict::{Verdict, equal, refused, some};
use crate::cluster::{
    AliasAction, BulkAction, BulkRequest, ClusterErrorKind, CreateIndex, Gone, IndexPurpose, ItemErrorKind, Query,
    Refresh, SequenceNumber,
};

named_cases!(
    a_document_is_created_once,
    a_document_is_replaced_if_it_is_the_one_read,
    a_document_is_deleted_if_it_is_the_one_read,
    what_is_not_there_can_neither_be_replaced_nor_deleted,
    a_put_needs_no_condition,
    a_deleted_document_can_be_created_again,
    sequence_numbers_grow_by_one_a_write,
    a_refused_operation_takes_no_sequence_number,
    every_operation_is_answered_in_order,
    operations_on_one_document_are_done_in_order,
    a_refused_document_is_named_before_a_conflict,
    no_operations_are_fine,
    a_missing_alias_creates_no_index,
    an_index_is_no_alias,
    an_alias_of_two_indices_takes_no_writes,
    a_removed_alias_takes_no_writes,
    a_write_block_refuses_every_operation,
    ids_have_a_length,
    ids_can_hold_anything,
    a_line_break_is_refused,
    a_write_waited_for_is_found,
);

const NOWHERE: SequenceNumber = SequenceNumber { seq_no: 77, primary_term: 1 };

fn create(n: i64) -> BulkAction {
    BulkAction::Create { source: source(&json!({ "n": n })) }
}

fn replace(n: i64, read: SequenceNumber) -> BulkAction {
    BulkAction::Replace { source: source(&json!({ "n": n })), read }
}

/// Fails unless the stored document has this number and sequence number.
async fn expect_stored(room: &Room, id: &str, n: i64, sequence: SequenceNumber) -> Verdict {
    let stored = some(id, room.cluster.get(&room.alias(), id).await?)?;
    equal("the source", stored.source.get(), json!({ "n": n }).to_string())?;
    equal("the sequence number", stored.sequence, sequence)
}

async fn a_document_is_created_once(room: Room) -> Verdict {
    room.create_plain().await?;
    let sequence = room.write("1", create(1)).await??;
    item_refused("a second create", &room.write("1", create(2)).await?, ItemErrorKind::Conflict)?;
    expect_stored(&room, "1", 1, sequence).await
}

async fn a_document_is_replaced_if_it_is_the_one_read(room: Room) -> Verdict {
    room.create_plain().await?;
    let first = room.write("1", create(1)).await??;
    let second = room.write("1", replace(2, first)).await??;
    item_refused("an old read", &room.write("1", replace(3, first)).await?, ItemErrorKind::Conflict)?;
    let other_term = SequenceNumber { primary_term: second.primary_term + 1, ..second };
    item_refused("another term", &room.write("1", replace(3, other_term)).await?, ItemErrorKind::Conflict)?;
    expect_stored(&room, "1", 2, second).await
}

async fn a_document_is_deleted_if_it_is_the_one_read(room: Room) -> Verdict {
    room.create_plain().await?;
    let first = room.write("1", create(1)).await??;
    let second = room.write("1", replace(2, first)).await??;
    item_refused(
        "an old read",
        &room.write("1", BulkAction::Delete { read: first, gone: Gone::Done }).await?,
        ItemErrorKind::Conflict,
    )?;
    room.write("1", BulkAction::Delete { read: second, gone: Gone::Done }).await??;
    equal("it is there", room.cluster.get(&room.alias(), "1").await?.is_some(), false)
}

async fn what_is_not_there_can_neither_be_replaced_nor_deleted(room: Room) -> Verdict {
    room.create_plain().await?;
    item_refused("a replace", &room.write("1", replace(1, NOWHERE)).await?, ItemErrorKind::Conflict)?;
    item_refused(
        "a delete",
        &room.write("1", BulkAction::Delete { read: NOWHERE, gone: Gone::Done }).await?,
        ItemErrorKind::Conflict,
    )?;
    let read = room.write("2", create(1)).await??;
    room.write("2", BulkAction::Delete { read, gone: Gone::Done }).await??;
    item_refused(
        "a second delete",
        &room.write("2", BulkAction::Delete { read, gone: Gone::Done }).await?,
        ItemErrorKind::Conflict,
    )
}

async fn a_put_needs_no_condition(room: Room) -> Verdict {
    room.create_plain().await?;
    room.put("1", json!({ "n": 1 })).await?;
    let sequence = room.put("1", json!({ "n": 2 })).await?;
    expect_stored(&room, "1", 2, sequence).await
}

async fn a_deleted_document_can_be_created_again(room: Room) -> Verdict {
    room.create_plain().await?;
    let first = room.write("1", create(1)).await??;
    room.write("1", BulkAction::Delete { read: first, gone: Gone::Done }).await??;
    let again = room.write("1", create(2)).await??;
    item_refused("the first read", &room.write("1", replace(3, first)).await?, ItemErrorKind::Conflict)?;
    expect_stored(&room, "1", 2, again).await
}

async fn sequence_numbers_grow_by_one_a_write(room: Room) -> Verdict {
    room.create_plain().await?;
    let first = room.write("1", create(1)).await??;
    let second = room.write("1", replace(2, first)).await??;
    let third = room.write("1", BulkAction::Delete { read: second, gone: Gone::Done }).await??;
    let fourth = room.write("2", create(1)).await??;
    let numbers = [first, second, third, fourth].map(|sequence| sequence.seq_no);
    equal("the sequence numbers", numbers, [0, 1, 2, 3])?;
    equal("the term changes", fourth.primary_term, first.primary_term)
}

async fn a_refused_operation_takes_no_sequence_number(room: Room) -> Verdict {
    room.create_plain().await?;
    room.write("1", create(1)).await??;
    item_refused("a create", &room.write("1", create(2)).await?, ItemErrorKind::Conflict)?;
    let mistyped = BulkAction::Put { source: source(&json!({ "n": "x" })) };
    item_refused("a mistyped one", &room.write("2", mistyped).await?, ItemErrorKind::MappingRefused)?;
    equal("the next sequence number", room.write("2", create(1)).await??.seq_no, 1)
}

async fn every_operation_is_answered_in_order(room: Room) -> Verdict {
    room.create_plain().await?;
    let operations = [
        operation("1", create(1)),
        put("2", &json!({ "new": 1 })),
        operation("1", create(2)),
        operation("3", replace(1, NOWHERE)),
        operation("", create(1)),
        operation("4", create(4)),
    ];
    let outcomes = room.bulk(&room.alias(), &operations).await?;
    let kinds: Vec<_> = outcomes.iter().map(|outcome| outcome.as_ref().err().map(|error| error.kind)).collect();
    use ItemErrorKind::{Conflict, MappingRefused, Other};
    equal("the outcomes", kinds, [None, Some(MappingRefused), Some(Conflict), Some(Conflict), Some(Other), None])?;
    equal("the last is stored", room.cluster.get(&room.alias(), "4").await?.is_some(), true)
}

async fn operations_on_one_document_are_done_in_order(room: Room) -> Verdict {
    room.create_plain().await?;
    let operations = [put("1", &json!({ "n": 1 })), put("1", &json!({ "n": 2 })), operation("1", create(3))];
    let outcomes = room.bulk(&room.alias(), &operations).await?;
    item_refused("the create", some("the third outcome", outcomes.get(2))?, ItemErrorKind::Conflict)?;
    let sequence = some("the second outcome", outcomes.get(1))?.clone()?;
    expect_stored(&room, "1", 2, sequence).await
}

async fn a_refused_document_is_named_before_a_conflict(room: Room) -> Verdict {
    room.create_plain().await?;
    room.write("1", create(1)).await??;
    let both = BulkAction::Create { source: source(&json!({ "new": 1 })) };
    item_refused("a create", &room.write("1", both).await?, ItemErrorKind::MappingRefused)
}

async fn no_operations_are_fine(room: Room) -> Verdict {
    equal("the outcomes", room.bulk(&room.name("nothing"), &[]).await?.len(), 0)
}

async fn a_missing_alias_creates_no_index(room: Room) -> Verdict {
    let alias = room.name("nothing");
    let operations = [operation("1", create(1)), operation("2", replace(1, NOWHERE))];
    for outcome in room.bulk(&alias, &operations).await? {
        item_refused("the write", &outcome, ItemErrorKind::AliasMissing)?;
    }
    equal("the indices of the name", room.cluster.indices(&[&alias]).await?.len(), 0)
}

async fn an_index_is_no_alias(room: Room) -> Verdict {
    room.create_plain().await?;
    let outcomes = room.bulk(&room.index(), &[operation("1", create(1))]).await?;
    item_refused("the write", some("the outcome", outcomes.first())?, ItemErrorKind::AliasMissing)
}

async fn an_alias_of_two_indices_takes_no_writes(room: Room) -> Verdict {
    room.create_plain().await?;
    let other = CreateIndex { name: room.name("other"), ..room.create_request(json!({ "dynamic": "strict" })) };
    room.cluster.create_index(&other).await?;
    item_refused("the write", &room.write("1", create(1)).await?, ItemErrorKind::Other)
}

async fn a_removed_alias_takes_no_writes(room: Room) -> Verdict {
    room.create_plain().await?;
    let read = room.write("1", create(1)).await??;
    room.cluster.update_aliases(&[AliasAction::Remove { index: room.index(), alias: room.alias() }]).await?;
    item_refused("a late write", &room.write("1", replace(2, read)).await?, ItemErrorKind::AliasMissing)
}

async fn a_write_block_refuses_every_operation(room: Room) -> Verdict {
    room.create_plain().await?;
    let read = room.write("1", create(1)).await??;
    room.cluster.add_write_block(&room.index()).await?;
    let operations = [
        operation("1", replace(2, read)),
        operation("2", create(1)),
        operation("1", BulkAction::Delete { read, gone: Gone::Done }),
        put("1", &json!({ "new": 1 })),
    ];
    for outcome in room.bulk(&room.alias(), &operations).await? {
        item_refused("the write", &outcome, ItemErrorKind::WriteBlocked)?;
    }
    expect_stored(&room, "1", 1, read).await
}

async fn ids_have_a_length(room: Room) -> Verdict {
    room.create_plain().await?;
    room.write(&"x".repeat(512), create(1)).await??;
    let (alias, operations) = (room.alias(), [operation("1", create(1)), operation(&"ä".repeat(257), create(1))]);
    let request = BulkRequest { alias: &alias, operations: &operations, refresh: Refresh::Later };
    refused("an id of 514 bytes", room.cluster.bulk(&request).await, ClusterErrorKind::Rejected)?;
    equal("the other is stored", room.cluster.get(&alias, "1").await?.is_some(), false)
}

async fn ids_can_hold_anything(room: Room) -> Verdict {
    room.create_plain().await?;
    for id in ["a b", "a/b?c#d%20", "a\"b\\c", "a\nb", "ä🦀", "_id", "*", ".", ".."] {
        room.write(id, create(1)).await??;
        let stored = some(id, room.cluster.get(&room.alias(), id).await?)?;
        equal("the id", stored.id.as_str(), id)?;
        let found = room.cluster.get_many(&room.alias(), &[id]).await?;
        equal("the id by multi-get", found.first().and_then(Option::as_ref).map(|hit| hit.id.as_str()), Some(id))?;
    }
    Ok(())
}

async fn a_line_break_is_refused(room: Room) -> Verdict {
    room.create_plain().await?;
    let source = Bytes::from_static(b"{\"n\":1}\n{\"delete\":{\"_id\":\"1\"}}");
    let (alias, operations) = (room.alias(), [operation("1", BulkAction::Put { source })]);
    let request = BulkRequest { alias: &alias, operations: &operations, refresh: Refresh::Later };
    refused("a line break", room.cluster.bulk(&request).await, ClusterErrorKind::Rejected)
}

async fn a_write_waited_for_is_found(room: Room) -> Verdict {
    let mapping = json!({ "dynamic": "strict", "properties": { "n": { "type": "long" } } });
    let serving = CreateIndex { purpose: IndexPurpose::Serving, ..room.create_request(mapping) };
    room.cluster.create_index(&serving).await?;
    let (alias, operations) = (room.alias(), [operation("1", create(1))]);
    let request = BulkRequest { alias: &alias, operations: &operations, refresh: Refresh::WaitFor };
    room.cluster.bulk(&request).await?;
    room.expect_found(&[(Query::equals("n", 1), "1")]).await
}
