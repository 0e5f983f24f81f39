//! Pages over the objects as they were at one moment.

use std::time::Duration;

use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::cluster::Direction;
use saved_objects::repository::{Delete, Find, PageCursor, PointInTimeReader, RootField};
use serde_json::json;

use super::{key, kind, note, put, refresh, repository};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        pages_follow_one_another_whatever_is_written,
        a_point_in_time_ends,
        a_cursor_of_another_search_is_refused,
    )
}

const MINUTE: Duration = Duration::from_secs(60);

/// The ids of all pages.
async fn walk(reader: &mut PointInTimeReader, request: &Find) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor: Option<PageCursor> = None;
    loop {
        let page = reader.page(request, cursor.as_ref()).await.expect("a page");
        assert_eq!(page.found.total, 5);
        pages.push(page.found.objects.into_iter().map(|object| object.id).collect());
        // A cursor may be kept as text between two pages.
        cursor = page.next.map(|next| next.to_string().parse().expect("a cursor"));
        if cursor.is_none() {
            return pages;
        }
    }
}

async fn pages_follow_one_another_whatever_is_written(context: Context) {
    let repository = repository(&context).await;
    for n in 0..5 {
        repository.create(note(&format!("n{n}"), json!({"title": "t", "count": n}))).await.expect("created");
    }
    refresh(&context).await;
    let mut reader = repository.open_point_in_time(&["note"], MINUTE).await.expect("opened");
    repository.delete(Delete::new(key("note", "n1"))).await.expect("deleted");
    repository.create(note("late", json!({"title": "t", "count": 0}))).await.expect("created");
    refresh(&context).await;
    let sorted = Find::new().sort("count", Direction::Descending).per_page(2);
    let expected = [vec!["n4", "n3"], vec!["n2", "n1"], vec!["n0"]];
    assert_eq!(walk(&mut reader, &sorted).await, expected);
    // Again, in the server's own order; and with a page that ends exactly at the end there is an empty one after it.
    assert_eq!(walk(&mut reader, &Find::new().per_page(3)).await.concat().len(), 5);
    assert_eq!(walk(&mut reader, &Find::new().per_page(5)).await.iter().map(Vec::len).collect::<Vec<_>>(), [5, 0]);
    // Equal values are told apart.
    let equal = Find::new().sort(RootField::CreatedBy, Direction::Ascending).per_page(1);
    let mut all = walk(&mut reader, &equal).await.concat();
    all.sort();
    assert_eq!(all, ["n0", "n1", "n2", "n3", "n4"]);
    reader.close().await;
}

async fn a_point_in_time_ends(context: Context) {
    let repository = repository(&context).await;
    put(&context, "things", "note:broken", json!({"type": "note"})).await;
    let mut reader = repository.open_point_in_time(&["note"], MINUTE).await.expect("opened");
    let page = reader.page(&Find::new(), None).await.expect("a page");
    assert_eq!((page.found.unreadable.len(), page.next), (1, None));
    // Dropped without being closed: nothing is left open, which the suite looks at in its end.
    drop(reader);
    for (types, time) in
        [(&["nothing"][..], MINUTE), (&[], MINUTE), (&["note"], 90 * MINUTE), (&["note"], Duration::ZERO)]
    {
        assert_eq!(kind(repository.open_point_in_time(types, time).await), ErrorKind::Invalid, "{types:?} {time:?}");
    }
    let mut reader = repository.open_point_in_time(&["note"], Duration::from_millis(1)).await.expect("opened");
    let mut answer = reader.page(&Find::new(), None).await;
    // The server looks for points in time to be closed once a minute; the one in memory closes it at once.
    if context.memory.is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        answer = reader.page(&Find::new(), None).await;
        assert_eq!(answer.as_ref().map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::NotFound));
    }
    assert!(answer.is_ok() || kind(answer) == ErrorKind::NotFound);
    reader.close().await;
}

async fn a_cursor_of_another_search_is_refused(context: Context) {
    let repository = repository(&context).await;
    for id in ["a", "b"] {
        repository.create(note(id, json!({"title": id}))).await.expect("created");
    }
    refresh(&context).await;
    let mut reader = repository.open_point_in_time(&["note"], MINUTE).await.expect("opened");
    let by_two = Find::new()
        .sort("title", Direction::Ascending)
        .sort(RootField::CreatedAt, Direction::Ascending)
        .sort(RootField::UpdatedAt, Direction::Ascending)
        .per_page(1);
    let cursor = reader.page(&by_two, None).await.expect("a page").next.expect("there is another one");
    let other = Find::new().sort("title", Direction::Ascending).per_page(1);
    assert_eq!(kind(reader.page(&other, Some(&cursor)).await), ErrorKind::Invalid);
    assert_eq!(kind("nonsense".parse::<PageCursor>()), ErrorKind::Invalid);
    reader.close().await;
}
