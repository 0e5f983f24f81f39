//! Everything that a search finds, however much it is.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};

use super::access::Admitted;
use super::find::{self, Find};
use super::found::{PER_TASK, Unreadable, Wanted};
use super::{Action, Repository, SavedObject};
use crate::Result;
use crate::cluster::{Cluster, Hit, PageSize, PointInTime, Search, SearchIn};
use crate::document::{Attributes, Namespace};
use crate::environment::Environment;

/// Objects read at once, unless said otherwise, or unless they are large.
const PAGE: u32 = 1_000;
/// Parts of a page that objects are made of while the part before them is given away, and the next page is asked for.
const AHEAD: usize = 2;
/// How long a reader may take for a page. Each page read begins it anew.
const KEEP_ALIVE: Duration = Duration::from_secs(300);

/// A stream of everything that a search finds: objects, and documents among them that cannot be read. An error ends it.
///
/// It reads the objects as they are at one moment: the first read. Dropping it closes what it holds on the server.
pub struct FoundStream<A = Attributes> {
    items: BoxStream<'static, Result<Result<SavedObject<A>, Unreadable>>>,
}

impl<A> fmt::Debug for FoundStream<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundStream").finish_non_exhaustive()
    }
}

impl<A> Stream for FoundStream<A> {
    type Item = Result<Result<SavedObject<A>, Unreadable>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.poll_next_unpin(context)
    }
}

impl<A: 'static> FoundStream<A> {
    /// The same with its objects in another form.
    pub(crate) fn map_objects<B>(
        self,
        mut convert: impl FnMut(SavedObject<A>) -> Result<SavedObject<B>, Unreadable> + Send + 'static,
    ) -> FoundStream<B> {
        FoundStream { items: self.items.map(move |item| item.map(|item| item.and_then(&mut convert))).boxed() }
    }
}

impl Repository {
    /// Everything that the request finds, page and aggregations left aside: without a limit, in memory for three pages (each of a few
    /// megabytes, or of one object), and as it was when the first object was read. Without a sort it comes in the order that is cheapest for the server.
    ///
    /// ```no_run
    /// # use futures::TryStreamExt;
    /// # use saved_objects::repository::{Filter, Find, Repository};
    /// # async fn example(repository: &Repository) -> saved_objects::Result<()> {
    /// let mut stream = repository.stream(&["note"], Find::new().filter(Filter::equals("state", "open")))?;
    /// while let Some(item) = stream.try_next().await? {
    ///     match item {
    ///         Ok(object) => println!("{}", object.id),
    ///         Err(unreadable) => eprintln!("{}: {}", unreadable.raw_id, unreadable.error),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`find`](Self::find): what is wrong with the request now, what the server says as an item of the stream.
    pub fn stream(&self, types: &[&str], request: Find) -> Result<FoundStream> {
        let request = request.or_in_namespace(&Namespace::DEFAULT);
        let definitions = self.definitions(types)?;
        let search = Search {
            size: request.page_of_stream(PAGE),
            ..request.to_search(SearchIn::Index(self.aliases(&definitions)), &definitions)?
        };
        let (repository, wanted) = (self.clone(), Wanted::of(types, &request));
        let making = move |hits: Vec<Result<Hit>>| {
            let mut failed = None;
            let hits = hits.into_iter().map_while(|hit| hit.map_err(|error| failed = Some(error)).ok()).collect();
            let making = repository.read_apart(&wanted, hits);
            async move {
                let (made, failed) = match making.await {
                    Ok(made) => (made, failed),
                    Err(error) => (Vec::new(), Some(error)),
                };
                stream::iter(made.into_iter().map(Ok).chain(failed.map(Err)))
            }
        };
        let items = self.hits(search).ready_chunks(PER_TASK).map(making).buffered(AHEAD).flatten();
        let reader = self.clone();
        let showing = move |mut item: Result<Result<SavedObject, Unreadable>>| {
            let reader = reader.clone();
            async move {
                if let Ok(Ok(object)) = &mut item {
                    reader.leave_out_unseen(vec![object]).await;
                }
                item
            }
        };
        let items = if self.has_rules() { items.then(showing).boxed() } else { items.boxed() };
        let (caller, types) = (self.clone(), types.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        let admitted = async move {
            let types: Vec<&str> = types.iter().map(String::as_str).collect();
            caller.admit_all(Action::Find, &types, &request).await.map(|admitted| heard(items, admitted))
        };
        Ok(FoundStream { items: stream::once(admitted).try_flatten().boxed() })
    }

    /// Every document that a search on an index finds, page by page.
    pub(super) fn hits(&self, search: Search) -> BoxStream<'static, Result<Hit>> {
        let page_limit = self.shared.cluster.page_limit();
        let pages = Pages {
            cluster: Arc::clone(&self.shared.cluster),
            environment: self.shared.environment.clone(),
            size: PageSize::new((search.size as usize).min(page_limit)),
            search,
            open: None,
            waiting: VecDeque::new(),
            done: false,
        };
        stream::try_unfold(pages, |mut pages| async move {
            let hit = pages.next().await?;
            Ok(hit.map(|hit| (hit, pages)))
        })
        .boxed()
    }
}

/// The same items, of whose end the audit hears.
fn heard<T: Send + 'static>(items: BoxStream<'static, Result<T>>, admitted: Admitted) -> BoxStream<'static, Result<T>> {
    stream::unfold(Some((items, admitted)), |open| async move {
        let (mut items, admitted) = open?;
        match items.next().await {
            Some(Ok(item)) => Some((Ok(item), Some((items, admitted)))),
            Some(Err(error)) => Some((admitted.end(Err(error)), None)),
            None => {
                admitted.tell(&Ok(()));
                None
            }
        }
    })
    .boxed()
}

/// What is still to be read.
struct Pages {
    cluster: Arc<dyn Cluster>,
    environment: Environment,
    size: PageSize,
    search: Search,
    open: Option<Open>,
    waiting: VecDeque<Hit>,
    done: bool,
}

impl Pages {
    async fn next(&mut self) -> Result<Option<Hit>> {
        loop {
            if let Some(hit) = self.waiting.pop_front() {
                return Ok(Some(hit));
            }
            if self.done {
                return Ok(None);
            }
            let outcome = self.read().await;
            if (self.done || outcome.is_err())
                && let Some(open) = self.open.take()
            {
                open.close().await;
            }
            outcome?;
        }
    }

    async fn read(&mut self) -> Result<()> {
        if let SearchIn::Index(aliases) = &self.search.within {
            let opened = self.cluster.open_point_in_time(aliases, KEEP_ALIVE).await;
            let opened = opened.map_err(|error| find::refused(aliases, error))?;
            self.search.within = SearchIn::PointInTime(opened.clone());
            self.search.aggregations.clear();
            self.open = Some(Open::new(Arc::clone(&self.cluster), self.environment.clone(), opened));
        }
        let (asked, page) = loop {
            let asked = self.size.get();
            self.search.size = u32::try_from(asked).unwrap_or(u32::MAX);
            match self.cluster.search(&self.search).await {
                Ok(page) => break (asked, page),
                Err(error) if self.size.divides(asked, &error) => {}
                Err(error) => return Err(find::refused("that is read", error)),
            }
        };
        self.size.took(&page.hits);
        if let (Some(current), Some(open)) = (page.point_in_time, &mut self.open) {
            self.search.within = SearchIn::PointInTime(current.clone());
            open.go_on_with(current);
        }
        self.done = page.hits.len() < asked || page.last_sort.is_none();
        self.search.after = page.last_sort;
        self.waiting = page.hits.into();
        Ok(())
    }
}

/// An open point in time. It is closed when this is dropped, in a task of its own; without a runtime it expires.
#[derive(Debug)]
pub(super) struct Open {
    cluster: Arc<dyn Cluster>,
    environment: Environment,
    point_in_time: Option<PointInTime>,
}

impl Open {
    pub(super) fn new(cluster: Arc<dyn Cluster>, environment: Environment, point_in_time: PointInTime) -> Self {
        Self { cluster, environment, point_in_time: Some(point_in_time) }
    }

    /// The newest id of it.
    pub(super) fn current(&self) -> Option<PointInTime> {
        self.point_in_time.clone()
    }

    pub(super) fn go_on_with(&mut self, current: PointInTime) {
        self.point_in_time = Some(current);
    }

    pub(super) async fn close(mut self) {
        if let Some(point_in_time) = self.point_in_time.take() {
            close(self.cluster.as_ref(), &point_in_time).await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(point_in_time) = self.point_in_time.take() {
            let cluster = Arc::clone(&self.cluster);
            // The task goes on without its owner.
            drop(self.environment.spawn(async move { close(cluster.as_ref(), &point_in_time).await }));
        }
    }
}

async fn close(cluster: &dyn Cluster, point_in_time: &PointInTime) {
    if let Err(error) = cluster.close_point_in_time(point_in_time).await {
        tracing::debug!(%error, "a point in time could not be closed; it expires by itself");
    }
}
