//! Pages of the objects as they were at one moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::cluster::Direction;
use saved_objects::document::Namespace;
use saved_objects::repository::{Delete, Filter, Find, PageCursor, PointInTimeReader, RootField};
use saved_objects::{ErrorKind, Start};
use serde_json::json;

use super::{key, kind, note, put, refresh, repository, store_on, types};
use crate::context::Context;
use crate::faults::disturbed::{Call, Disturbed, Disturber, Fate};
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        pages_follow_one_another_whatever_is_written,
        a_point_in_time_ends,
        a_cursor_of_another_search_is_refused,
        a_page_that_is_lost_on_the_way_is_asked_for_again,
    )
}

const MINUTE: Duration = Duration::from_secs(60);

/// Returns the ids of all pages.
async fn all_pages(reader: &mut PointInTimeReader, request: &Find) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor: Option<PageCursor> = None;
    loop {
        let page = reader.page(request, cursor.as_ref()).await.expect("a page");
        assert_eq!(page.found.total, 5);
        pages.push(page.found.objects.into_iter().map(|object| object.id).collect());
        // A cursor can be kept as text between two pages.
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
    assert_eq!(all_pages(&mut reader, &sorted).await, expected);
    // Again, in the server's own order; a last page that is exactly full is followed by an empty one.
    assert_eq!(all_pages(&mut reader, &Find::new().per_page(3)).await.concat().len(), 5);
    assert_eq!(all_pages(&mut reader, &Find::new().per_page(5)).await.iter().map(Vec::len).collect::<Vec<_>>(), [5, 0]);
    // Objects with equal sort values are distinguished.
    let equal = Find::new().sort(RootField::CreatedBy, Direction::Ascending).per_page(1);
    let mut all = all_pages(&mut reader, &equal).await.concat();
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
    // Dropped without being closed: nothing is left open, which the test run checks at its end.
    drop(reader);
    for (types, time) in
        [(&["nothing"][..], MINUTE), (&[], MINUTE), (&["note"], 90 * MINUTE), (&["note"], Duration::ZERO)]
    {
        assert_eq!(kind(repository.open_point_in_time(types, time).await), ErrorKind::Invalid, "{types:?} {time:?}");
    }
    let mut reader = repository.open_point_in_time(&["note"], Duration::from_millis(1)).await.expect("opened");
    let mut answer = reader.page(&Find::new(), None).await;
    // The server closes expired points in time once a minute; the cluster in memory closes them immediately.
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
    let others = [
        Find::new().sort("title", Direction::Ascending),
        by_two.clone().filter(Filter::equals("title", "a")),
        by_two.clone().namespaces([Namespace::new("ops").expect("a name")]).filter(Filter::exists("title")),
        // The same number of values, in another order.
        Find::new()
            .sort("title", Direction::Descending)
            .sort(RootField::CreatedAt, Direction::Ascending)
            .sort(RootField::UpdatedAt, Direction::Ascending),
        Find::new()
            .sort("title", Direction::Ascending)
            .sort(RootField::UpdatedAt, Direction::Ascending)
            .sort(RootField::CreatedAt, Direction::Ascending),
    ];
    for other in others {
        let outcome = reader.page(&other.clone().per_page(1), Some(&cursor)).await;
        assert_eq!(kind(outcome), ErrorKind::Invalid, "{other:?}");
    }
    // The same search with another reader, which sees another moment.
    let mut other = repository.open_point_in_time(&["note"], MINUTE).await.expect("opened");
    assert_eq!(kind(other.page(&by_two, Some(&cursor)).await), ErrorKind::Invalid);
    other.close().await;
    // Another size and other fields do not change the search.
    let narrow = by_two.clone().per_page(10).fields(["title"]);
    assert_eq!(reader.page(&narrow, Some(&cursor)).await.expect("a page").found.objects.len(), 1);
    assert_eq!(kind("nonsense".parse::<PageCursor>()), ErrorKind::Invalid);
    reader.close().await;
}

/// Loses the answer to the first search, after its hits were passed on.
#[derive(Debug, Default)]
struct FirstPageIsLost(AtomicBool);

#[async_trait]
impl Disturber for FirstPageIsLost {
    async fn fate(&self, call: &Call) -> Fate {
        if call.method == "search" && !self.0.swap(true, Ordering::Relaxed) { Fate::Lost } else { Fate::Done }
    }
}

async fn a_page_that_is_lost_on_the_way_is_asked_for_again(context: Context) {
    const OBJECTS: usize = 400;
    let created = (0..OBJECTS).map(|n| note(&format!("n{n:03}"), json!({"title": "t", "count": n})));
    for created in repository(&context).await.create_many(created).await {
        created.expect("created");
    }
    refresh(&context).await;
    let cluster = Disturbed::new(context.cluster(), Arc::new(FirstPageIsLost::default()));
    let store = store_on(&context, Arc::new(cluster), types::all(), Start::Skip).await;
    let mut reader = store.repository().open_point_in_time(&["note"], MINUTE).await.expect("opened");
    let request = Find::new().sort("count", Direction::Ascending).per_page(300);
    assert_eq!(kind(reader.page(&request, None).await), ErrorKind::Unavailable);
    let first = reader.page(&request, None).await.expect("a page");
    let second = reader.page(&request, first.next.as_ref()).await.expect("a page");
    let ids = [first.found, second.found].map(|found| found.objects.into_iter().map(|object| object.id)).into_iter();
    assert_eq!(ids.flatten().collect::<Vec<_>>(), (0..OBJECTS).map(|n| format!("n{n:03}")).collect::<Vec<_>>());
    reader.close().await;
}
