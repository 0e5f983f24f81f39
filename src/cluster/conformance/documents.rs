//! Reads by id see every write immediately; searches do not.

use serde_json::json;

use super::case::named_cases;
use super::room::Room;
use super::verdict::{Verdict, equal, refused, some};
use crate::cluster::{BulkAction, ClusterErrorKind, Gone, Query};

named_cases!(
    a_get_sees_a_write_at_once,
    a_source_is_given_back_as_it_was_sent,
    a_missing_document_is_none,
    a_missing_index_is_not_a_missing_document,
    many_documents_come_in_the_order_asked_for,
    an_alias_gives_its_index,
    a_search_sees_a_write_after_a_refresh,
    a_search_sees_a_delete_after_a_refresh,
    a_write_block_lets_documents_be_read,
    a_cluster_says_how_large_a_request_it_takes,
);

async fn a_get_sees_a_write_at_once(room: Room) -> Verdict {
    room.create_plain().await?;
    let sequence = room.put("1", json!({ "n": 1 })).await?;
    let stored = some("the document", room.cluster.get(&room.index(), "1").await?)?;
    equal("the sequence number", stored.sequence, sequence)?;
    let sequence = room.put("1", json!({ "n": 2 })).await?;
    let many = room.cluster.get_many(&room.index(), &["1"]).await?;
    let stored = some("the document", many.into_iter().next().flatten())?;
    equal("the sequence number", stored.sequence, sequence)?;
    equal("the source", stored.source.get(), r#"{"n":2}"#)
}

async fn a_source_is_given_back_as_it_was_sent(room: Room) -> Verdict {
    room.create(json!({ "o": { "dynamic": false, "properties": {} } })).await?;
    let text = r#"{"o":{"z":1.50,"a":[ 1e3 , null ],"big":12345678901234567890123,"ä":"\u00e4","e":{}}}"#;
    let source = bytes::Bytes::from_static(text.as_bytes());
    room.write("1", BulkAction::Create { source }).await??;
    room.cluster.refresh(&room.index()).await?;
    let stored = some("the document", room.cluster.get(&room.index(), "1").await?)?;
    equal("the source", stored.source.get(), text)?;
    let found = room.cluster.search(&room.search_for(Query::Everything)).await?;
    equal("the source found", found.hits.first().map(|hit| hit.source.get()), Some(text))
}

async fn a_cluster_says_how_large_a_request_it_takes(room: Room) -> Verdict {
    room.create_plain().await?;
    let limit = room.cluster.max_content_length().await?;
    equal("a server that is worth it takes a megabyte", limit >= 1 << 20, true)?;
    let read = room.cluster.requests();
    equal("it says the same again", room.cluster.max_content_length().await?, limit)?;
    equal("more requests than one", room.cluster.requests().total() > read.total() + 1, false)
}

async fn a_missing_document_is_none(room: Room) -> Verdict {
    room.create_plain().await?;
    equal("it is there", room.cluster.get(&room.index(), "1").await?.is_some(), false)?;
    let read = room.put("1", json!({ "n": 1 })).await?;
    room.write("1", BulkAction::Delete { read, gone: Gone::Done }).await??;
    equal("it is there", room.cluster.get(&room.index(), "1").await?.is_some(), false)
}

async fn a_missing_index_is_not_a_missing_document(room: Room) -> Verdict {
    let index = room.name("nothing");
    refused("a get", room.cluster.get(&index, "1").await, ClusterErrorKind::IndexNotFound)?;
    refused("a multi-get", room.cluster.get_many(&index, &["1"]).await, ClusterErrorKind::IndexNotFound)?;
    equal("of nothing", room.cluster.get_many(&index, &[]).await?.len(), 0)
}

async fn many_documents_come_in_the_order_asked_for(room: Room) -> Verdict {
    room.create_plain().await?;
    for id in ["a", "b", "c"] {
        room.put(id, json!({ "n": 1 })).await?;
    }
    let found = room.cluster.get_many(&room.index(), &["c", "x", "a", "c"]).await?;
    let ids: Vec<_> = found.iter().map(|hit| hit.as_ref().map(|hit| hit.id.as_str())).collect();
    equal("the documents", ids, [Some("c"), None, Some("a"), Some("c")])
}

async fn an_alias_gives_its_index(room: Room) -> Verdict {
    room.create_plain().await?;
    room.put("1", json!({ "n": 1 })).await?;
    let stored = some("the document", room.cluster.get(&room.alias(), "1").await?)?;
    equal("the index", stored.index, room.index())
}

async fn a_search_sees_a_write_after_a_refresh(room: Room) -> Verdict {
    room.create_plain().await?;
    room.put("1", json!({ "n": 1 })).await?;
    room.expect_found(&[(Query::Everything, "")]).await?;
    room.cluster.refresh(&room.alias()).await?;
    room.expect_found(&[(Query::equals("n", 1), "1")]).await?;
    room.put("1", json!({ "n": 2 })).await?;
    room.expect_found(&[(Query::equals("n", 1), "1"), (Query::equals("n", 2), "")]).await?;
    room.cluster.refresh(&room.index()).await?;
    room.expect_found(&[(Query::equals("n", 1), ""), (Query::equals("n", 2), "1")]).await
}

async fn a_search_sees_a_delete_after_a_refresh(room: Room) -> Verdict {
    room.create_plain().await?;
    let read = room.put("1", json!({ "n": 1 })).await?;
    room.cluster.refresh(&room.index()).await?;
    room.write("1", BulkAction::Delete { read, gone: Gone::Done }).await??;
    room.expect_found(&[(Query::Everything, "1")]).await?;
    room.cluster.refresh(&room.index()).await?;
    room.expect_found(&[(Query::Everything, "")]).await
}

async fn a_write_block_lets_documents_be_read(room: Room) -> Verdict {
    room.create_plain().await?;
    room.put("1", json!({ "n": 1 })).await?;
    room.cluster.add_write_block(&room.index()).await?;
    room.cluster.refresh(&room.index()).await?;
    equal("it is there", room.cluster.get(&room.index(), "1").await?.is_some(), true)?;
    room.expect_found(&[(Query::Everything, "1")]).await
}
