//! Points in time: they see an index as it was when they were opened.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::case::named_cases;
use super::room::Room;
use super::verdict::{Failure, Verdict, equal, refused, some};
use crate::cluster::{
    AliasAction, BulkAction, ClusterErrorKind, Direction, Gone, PointInTime, Query, Search, SearchIn, Slice, Sort,
};

named_cases!(
    it_sees_the_index_as_it_was,
    it_does_not_see_what_was_not_refreshed,
    it_is_read_to_its_end_page_by_page,
    equal_documents_are_told_apart_by_their_place,
    slices_share_all_documents,
    impossible_slices_are_refused,
    it_outlives_its_alias,
    a_closed_one_is_missing,
    closing_twice_is_fine,
    a_malformed_one_is_refused,
    a_missing_index_has_none,
);

const KEEP_ALIVE: Duration = Duration::from_secs(60);

async fn open(room: &Room) -> Result<PointInTime, Failure> {
    Ok(room.cluster.open_point_in_time(&room.alias(), KEEP_ALIVE).await?)
}

fn all(point_in_time: &PointInTime) -> Search {
    Search { size: 100, ..Search::new(SearchIn::PointInTime(point_in_time.clone()), Query::Everything) }
}

/// Returns every document by its id and source, read in pages of `size`.
async fn read(room: &Room, mut search: Search, size: u32) -> Result<Vec<(String, String)>, Failure> {
    search.size = size;
    let mut documents = Vec::new();
    loop {
        let page = room.cluster.search(&search).await?;
        search.within = SearchIn::PointInTime(some("the point in time", page.point_in_time)?);
        let is_last = page.hits.len() < size as usize;
        documents.extend(page.hits.into_iter().map(|hit| (hit.id, hit.source.get().to_owned())));
        if is_last {
            return Ok(documents);
        }
        search.after = Some(some("the last sort values", page.last_sort)?);
    }
}

async fn ten_documents(room: &Room) -> Verdict {
    room.create_plain().await?;
    let documents: Vec<_> = (0..10).map(|n| (n.to_string(), json!({ "n": n % 2 }))).collect();
    let documents: Vec<_> = documents.iter().map(|(id, document)| (id.as_str(), document.clone())).collect();
    room.fill(&documents).await
}

async fn it_sees_the_index_as_it_was(room: Room) -> Verdict {
    room.create_plain().await?;
    room.fill(&[("1", json!({ "n": 1 })), ("2", json!({ "n": 2 }))]).await?;
    let point_in_time = open(&room).await?;
    let read_2 = some("the document", room.cluster.get(&room.index(), "2").await?)?.sequence;
    room.write("2", BulkAction::Delete { read: read_2, gone: Gone::Done }).await??;
    room.fill(&[("1", json!({ "n": 9 })), ("3", json!({ "n": 3 }))]).await?;
    let seen = read(&room, all(&point_in_time), 10).await?;
    let expected = [("1".to_owned(), r#"{"n":1}"#.to_owned()), ("2".to_owned(), r#"{"n":2}"#.to_owned())];
    equal("the documents", seen, expected)?;
    room.expect_found(&[(Query::Everything, "1 3")]).await?;
    Ok(room.cluster.close_point_in_time(&point_in_time).await?)
}

async fn it_does_not_see_what_was_not_refreshed(room: Room) -> Verdict {
    room.create_plain().await?;
    room.fill(&[("1", json!({ "n": 1 }))]).await?;
    room.put("2", json!({ "n": 2 })).await?;
    let point_in_time = open(&room).await?;
    room.cluster.refresh(&room.index()).await?;
    equal("the documents", read(&room, all(&point_in_time), 10).await?.len(), 1)?;
    Ok(room.cluster.close_point_in_time(&point_in_time).await?)
}

async fn it_is_read_to_its_end_page_by_page(room: Room) -> Verdict {
    ten_documents(&room).await?;
    let point_in_time = open(&room).await?;
    for size in [1, 3, 5, 10, 11] {
        let seen = read(&room, all(&point_in_time), size).await?;
        let ids: Vec<_> = seen.into_iter().map(|(id, _)| id).collect();
        equal(&format!("pages of {size}"), ids.join(" "), "0 1 2 3 4 5 6 7 8 9")?;
    }
    Ok(room.cluster.close_point_in_time(&point_in_time).await?)
}

async fn equal_documents_are_told_apart_by_their_place(room: Room) -> Verdict {
    ten_documents(&room).await?;
    let point_in_time = open(&room).await?;
    let sort = vec![Sort { field: "n".to_owned(), direction: Direction::Descending }];
    let seen = read(&room, Search { sort, ..all(&point_in_time) }, 3).await?;
    let ids: Vec<_> = seen.into_iter().map(|(id, _)| id).collect();
    equal("the order", ids.join(" "), "1 3 5 7 9 0 2 4 6 8")?;
    Ok(room.cluster.close_point_in_time(&point_in_time).await?)
}

async fn slices_share_all_documents(room: Room) -> Verdict {
    ten_documents(&room).await?;
    let point_in_time = open(&room).await?;
    for max in [2, 3, 7] {
        let mut seen = Vec::new();
        for id in 0..max {
            let search = Search { slice: Some(Slice { id, max }), ..all(&point_in_time) };
            seen.extend(read(&room, search, 2).await?.into_iter().map(|(id, _)| id));
        }
        equal(&format!("documents in {max} slices"), seen.len(), 10)?;
        equal("different ones", seen.into_iter().collect::<BTreeSet<_>>().len(), 10)?;
    }
    Ok(room.cluster.close_point_in_time(&point_in_time).await?)
}

async fn impossible_slices_are_refused(room: Room) -> Verdict {
    room.create_plain().await?;
    let point_in_time = open(&room).await?;
    for slice in [Slice { id: 0, max: 1 }, Slice { id: 2, max: 2 }] {
        let search = Search { slice: Some(slice), ..all(&point_in_time) };
        refused(&format!("{slice:?}"), room.cluster.search(&search).await, ClusterErrorKind::Rejected)?;
    }
    Ok(room.cluster.close_point_in_time(&point_in_time).await?)
}

async fn it_outlives_its_alias(room: Room) -> Verdict {
    ten_documents(&room).await?;
    let point_in_time = open(&room).await?;
    room.cluster.update_aliases(&[AliasAction::Remove { index: room.index(), alias: room.alias() }]).await?;
    equal("the documents", read(&room, all(&point_in_time), 4).await?.len(), 10)?;
    Ok(room.cluster.close_point_in_time(&point_in_time).await?)
}

async fn a_closed_one_is_missing(room: Room) -> Verdict {
    room.create_plain().await?;
    let point_in_time = open(&room).await?;
    room.cluster.close_point_in_time(&point_in_time).await?;
    refused("a search", room.cluster.search(&all(&point_in_time)).await, ClusterErrorKind::PointInTimeMissing)
}

async fn closing_twice_is_fine(room: Room) -> Verdict {
    room.create_plain().await?;
    let point_in_time = open(&room).await?;
    room.cluster.close_point_in_time(&point_in_time).await?;
    Ok(room.cluster.close_point_in_time(&point_in_time).await?)
}

async fn a_malformed_one_is_refused(room: Room) -> Verdict {
    let odd = PointInTime { id: "garbage".to_owned(), keep_alive: KEEP_ALIVE };
    refused("a search", room.cluster.search(&all(&odd)).await, ClusterErrorKind::Rejected)?;
    refused("closing it", room.cluster.close_point_in_time(&odd).await, ClusterErrorKind::Rejected)
}

async fn a_missing_index_has_none(room: Room) -> Verdict {
    let opened = room.cluster.open_point_in_time(&room.name("nothing"), KEEP_ALIVE).await;
    refused("opening one", opened, ClusterErrorKind::IndexNotFound)
}
