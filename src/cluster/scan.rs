//! Scans: all documents that a query finds, read page by page and processed concurrently in bounded memory.

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::pace::Pace;
use super::page_size::{PAGE_BYTES, bytes_of};
use super::page_stream::PageStream;
use super::{Cluster, Hit, Query, Search, SearchIn};
use crate::environment::Environment;
use crate::{Error, ErrorKind, Result};

/// The largest number of documents in a page. At 1 KB each a page is 1 MB; larger pages are hardly faster.
const MAX_PAGE: u32 = 1_000;
/// The number of pages that wait to be processed while the next one is read.
const PAGES_AHEAD: usize = 2;
/// The number of pages that are processed concurrently: some are transformed while the server takes the others.
const PAGES_IN_FLIGHT: usize = 6;
/// The total bytes of all pages that are being read, waiting or being processed. A larger document has the scan to
/// itself.
const BYTES_UNDER_WAY: usize = 4 * PAGE_BYTES;

/// A scan of an index's documents as they are at one moment. It processes pages while it reads others, in bounded
/// memory.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    pub(crate) cluster: &'a Arc<dyn Cluster>,
    /// Ends the scan early if its work is stopped.
    pub(crate) environment: &'a Environment,
    pub(crate) index: &'a str,
    /// Which documents to read.
    pub(crate) query: Query,
    /// The pace of the writes that follow: a limited one has small pages, and a paused one ends the scan.
    pub(crate) pace: Option<&'a Pace>,
}

impl Scan<'_> {
    /// Passes every page to `work`, several concurrently, and each result to `collect`, in no particular order. The
    /// first error ends the scan. If the scan is stopped or paused, the pages already read are processed. The point in
    /// time is closed in any case.
    pub(crate) async fn run<T, W>(self, work: impl Fn(Vec<Hit>) -> W, collect: impl FnMut(T)) -> Result<()>
    where
        W: Future<Output = Result<T>>,
    {
        let within = SearchIn::Index(self.index.to_owned());
        let size = self.pace.map_or(MAX_PAGE, |pace| pace.page(MAX_PAGE));
        let search = Search { size, ..Search::new(within, self.query) };
        let mut pages = PageStream::new(self.cluster, self.environment, search);
        let budget = Budget::new();
        let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
        // Both run in this task, so that dropping the task ends both.
        let reading = read(&mut pages, &budget, self.pace, sender);
        let ended = futures::future::try_join(reading, work_on(receiver, work, collect)).await;
        pages.close().await;
        let (early, ()) = ended?;
        early.map_or(Ok(()), Err)
    }
}

/// Reads all pages. Returns the reason if the scan was stopped or paused before the last one.
async fn read(
    pages: &mut PageStream,
    budget: &Budget,
    pace: Option<&Pace>,
    processing: mpsc::Sender<Weighed>,
) -> Result<Option<Error>> {
    loop {
        if let Some(Err(paused)) = pace.map(Pace::check) {
            return Ok(Some(paused));
        }
        let mut taken = budget.take(pages.expected_bytes()).await?;
        let page = match pages.next().await {
            Ok(page) => page?,
            Err(stopped) => return Ok(Some(stopped)),
        };
        let Some(hits) = page else { return Ok(None) };
        budget.adjust(&mut taken, hits.iter().map(bytes_of).sum()).await?;
        // The processing side only goes away with an error of its own, which is the one to report.
        if !hits.is_empty() && processing.send((hits, taken)).await.is_err() || pages.is_read() {
            return Ok(None);
        }
    }
}

/// A page, and the bytes that it reserves until it is processed.
type Weighed = (Vec<Hit>, OwnedSemaphorePermit);

/// The bytes that the pages of a scan may have in total.
struct Budget(Arc<Semaphore>);

impl Budget {
    fn new() -> Self {
        Self(Arc::new(Semaphore::new(BYTES_UNDER_WAY)))
    }

    /// Waits until this many bytes are free, or all of them if `bytes` exceeds the total.
    async fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes.min(BYTES_UNDER_WAY)).unwrap_or(u32::MAX);
        let ended = |error| Error::new(ErrorKind::Internal, "a scan was ended").with_source(error);
        self.0.clone().acquire_many_owned(bytes).await.map_err(ended)
    }

    /// Releases reserved bytes that a page does not need, or waits for those that it lacks.
    async fn adjust(&self, taken: &mut OwnedSemaphorePermit, bytes: usize) -> Result<()> {
        let (had, needed) = (taken.num_permits(), bytes.min(BYTES_UNDER_WAY));
        if let Some(more) = needed.checked_sub(had) {
            taken.merge(self.take(more).await?);
        } else {
            drop(taken.split(had.saturating_sub(needed)));
        }
        Ok(())
    }
}

async fn work_on<T, W>(
    pages: mpsc::Receiver<Weighed>,
    work: impl Fn(Vec<Hit>) -> W,
    mut collect: impl FnMut(T),
) -> Result<()>
where
    W: Future<Output = Result<T>>,
{
    let pages = futures::stream::unfold(pages, |mut pages| async move { Some((pages.recv().await?, pages)) });
    let working = |(page, taken): Weighed| {
        let done = work(page);
        async move {
            let done = done.await;
            drop(taken);
            done
        }
    };
    let mut done = pin!(pages.map(working).buffer_unordered(PAGES_IN_FLIGHT));
    while let Some(outcome) = done.next().await {
        collect(outcome?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_wait_until_their_bytes_are_free() {
        let budget = Budget::new();
        let free = || budget.0.available_permits();
        let mut first = budget.take(PAGE_BYTES).await.expect("free");
        budget.adjust(&mut first, 10).await.expect("less");
        assert_eq!(free(), BYTES_UNDER_WAY - 10);
        budget.adjust(&mut first, 2 * PAGE_BYTES).await.expect("more");
        assert_eq!(free(), BYTES_UNDER_WAY - 2 * PAGE_BYTES);
        assert!(futures::poll!(pin!(budget.take(usize::MAX))).is_pending(), "it needs the whole budget");
        drop(first);
        let all = budget.take(usize::MAX).await.expect("the whole budget");
        assert_eq!(free(), 0);
        assert!(futures::poll!(pin!(budget.take(1))).is_pending());
        drop(all);
        assert_eq!(free(), BYTES_UNDER_WAY);
    }
}
