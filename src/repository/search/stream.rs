//! Streams: everything that a search finds, without a limit, with or without secrets.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};

use super::find::Find;
use super::found::{PER_TASK, ReadApart, Unreadable, Wanted};
use super::refusals;
use crate::cluster::{Hit, PageStream, Search, SearchIn};
use crate::document::Namespace;
use crate::encryption::Secrets;
use crate::repository::access::Admitted;
use crate::repository::{Action, Repository, SavedObject};
use crate::{Error, Result};

/// The number of documents of a page, unless the request says otherwise or the documents are large.
const PAGE: u32 = 1_000;
/// The number of parts of a page that are converted while the caller takes the part before them and the next page is
/// requested.
const AHEAD: usize = 2;

/// A stream of everything that a search finds: objects (`T`), and the documents among them that cannot be read. An
/// error ends it.
///
/// The objects are as they were at one moment, when the first page was read. Dropping the stream closes its point in
/// time on the server.
pub struct FoundStream<T = SavedObject> {
    items: BoxStream<'static, Result<Result<T, Unreadable>>>,
}

impl<T> fmt::Debug for FoundStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundStream").finish_non_exhaustive()
    }
}

impl<T> Stream for FoundStream<T> {
    type Item = Result<Result<T, Unreadable>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.items.poll_next_unpin(context)
    }
}

impl<T: 'static> FoundStream<T> {
    /// Returns the stream with its objects in another form.
    pub(crate) fn map_objects<U>(
        self,
        mut convert: impl FnMut(T) -> Result<U, Unreadable> + Send + 'static,
    ) -> FoundStream<U> {
        FoundStream { items: self.items.map(move |item| item.map(|item| item.and_then(&mut convert))).boxed() }
    }
}

/// The form of a stream's items, and how they are read.
struct StreamForm<T> {
    /// What the caller must be allowed to do.
    actions: &'static [Action],
    /// Begins to read hits, in a task of its own. Returns them in their order.
    read: fn(&Repository, &Arc<Wanted>, Vec<Hit>) -> ReadApart<T>,
    /// Returns the object of an item.
    object: fn(&mut T) -> &mut SavedObject,
}

impl Repository {
    /// Returns everything that the request finds, without a limit. The request's page and aggregations are ignored.
    ///
    /// The stream uses memory for three pages, each of a few megabytes or of one object. The objects are as they were
    /// when the first one was read. Without a sort they come in the order that is cheapest for the server, or by
    /// relevance if a text is searched for.
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
    /// Those of [`find`](Self::find). This call returns what is wrong with the request; what the server answers is an
    /// item of the stream.
    pub fn stream(&self, types: &[&str], request: Find) -> Result<FoundStream> {
        let form = StreamForm { actions: &[Action::Find], read: Self::read_apart, object: |object| object };
        self.stream_of(types, request, form)
    }

    /// Returns everything that the request finds, with its decrypted secrets by attribute. Otherwise like
    /// [`stream`](Self::stream). [`Find::fields`] picks attributes only.
    ///
    /// An object with a secret that cannot be decrypted is an [`Unreadable`] item, with an error of the kind
    /// [`Decrypt`](crate::ErrorKind::Decrypt). The caller needs [`Action::Find`] and [`Action::GetSecrets`]; the audit
    /// receives both.
    ///
    /// ```no_run
    /// # use futures::TryStreamExt;
    /// # use saved_objects::repository::{Find, Repository};
    /// # async fn example(repository: &Repository) -> saved_objects::Result<()> {
    /// let mut stream = repository.stream_with_secrets(&["login"], Find::new())?;
    /// while let Some(item) = stream.try_next().await? {
    ///     if let Ok((object, secrets)) = item {
    ///         println!("{} has a password: {}", object.id, secrets.contains_key("password"));
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`stream`](Self::stream).
    pub fn stream_with_secrets(&self, types: &[&str], request: Find) -> Result<FoundStream<(SavedObject, Secrets)>> {
        let actions = &[Action::Find, Action::GetSecrets];
        let form = StreamForm { actions, read: Self::read_with_secrets, object: |(object, _)| object };
        self.stream_of(types, request, form)
    }

    fn stream_of<T: Send + 'static>(
        &self,
        types: &[&str],
        request: Find,
        form: StreamForm<T>,
    ) -> Result<FoundStream<T>> {
        let StreamForm { actions, read, object } = form;
        let request = request.or_in_namespace(&Namespace::DEFAULT);
        let definitions = self.definitions(types)?;
        let search = Search {
            size: request.page_of_stream(PAGE),
            ..request.to_search(SearchIn::Index(self.aliases(&definitions)), &definitions)?
        };
        let (repository, wanted) = (self.clone(), Wanted::of(types, &request));
        let (query, names) = (search.query.clone(), Arc::clone(&wanted));
        let reading = move |hits: Vec<Result<Hit>>| {
            let mut failed = None;
            let hits = hits.into_iter().map_while(|hit| hit.map_err(|error| failed = Some(error)).ok()).collect();
            let failed = failed.map(|error| {
                let definitions: Vec<_> = names.types().filter_map(|name| repository.definition(name).ok()).collect();
                refusals::naming_misfit(error, &query, &definitions)
            });
            let reading = read(&repository, &wanted, hits);
            async move {
                let (items, failed) = match reading.await {
                    Ok(items) => (items, failed),
                    Err(error) => (Vec::new(), Some(error)),
                };
                stream::iter(items.into_iter().map(Ok).chain(failed.map(Err)))
            }
        };
        let items = self.hits(search).ready_chunks(PER_TASK).map(reading).buffered(AHEAD).flatten();
        let reader = self.clone();
        let showing = move |mut item: Result<Result<T, Unreadable>>| {
            let reader = reader.clone();
            async move {
                if let Ok(Ok(item)) = &mut item {
                    reader.leave_out_unseen(vec![object(item)]).await;
                }
                item
            }
        };
        let items = if self.has_rules() { items.then(showing).boxed() } else { items.boxed() };
        let (caller, types) = (self.clone(), types.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        let admitted = async move {
            let types: Vec<&str> = types.iter().map(String::as_str).collect();
            caller.admit_all(actions, &types, &request).await.map(|admitted| heard(items, admitted))
        };
        Ok(FoundStream { items: stream::once(admitted).try_flatten().boxed() })
    }

    /// Returns every document that a search on an index finds. The search's size is the largest number of documents of
    /// a page. An error ends the stream.
    pub(in crate::repository) fn hits(&self, search: Search) -> BoxStream<'static, Result<Hit>> {
        let aliases = match &search.within {
            SearchIn::Index(aliases) => aliases.clone(),
            SearchIn::PointInTime(_) => String::new(),
        };
        let pages = PageStream::new(&self.shared.engine.cluster, &self.shared.engine.environment, search);
        stream::try_unfold((pages, aliases), |(mut pages, aliases)| async move {
            let page = pages.next().await;
            if pages.is_read() {
                pages.close().await;
            }
            let page = page?.map_err(|error| refusals::of(&aliases, error))?;
            Ok::<_, Error>(page.map(|hits| (stream::iter(hits.into_iter().map(Ok)), (pages, aliases))))
        })
        .try_flatten()
        .boxed()
    }
}

/// Returns the same items. The audit is told how the stream ends.
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
