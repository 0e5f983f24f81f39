use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;

use super::{Cluster, Hit, PageSize, PointInTime, Query, Search, SearchIn};
use crate::Result;

/// Documents read at once, at most. At 1 KB each a page is 1 MB; larger pages are hardly faster.
const MAX_PAGE: usize = 1_000;
/// Pages that wait to be worked on while the next one is read.
const PAGES_AHEAD: usize = 2;
/// Pages that are worked on at the same time: some are transformed while the server takes the others.
const PAGES_IN_FLIGHT: usize = 6;
/// How long a page may take from being read to the reading of the next one.
const KEEP_ALIVE: Duration = Duration::from_secs(300);

/// Reads the documents of an index as they are at one moment, and works on them meanwhile, in bounded memory.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    pub(crate) cluster: &'a dyn Cluster,
    pub(crate) index: &'a str,
    /// Which documents.
    pub(crate) query: Query,
}

impl Scan<'_> {
    /// Gives every page to `work`, several at the same time, and what comes of it to `collect`, in no particular order. The
    /// first error ends the scan. The point in time is closed whatever happens.
    pub(crate) async fn run<T, W>(self, work: impl Fn(Vec<Hit>) -> W, collect: impl FnMut(T)) -> Result<()>
    where
        W: Future<Output = Result<T>>,
    {
        let point_in_time = self.cluster.open_point_in_time(self.index, KEEP_ALIVE).await?;
        let mut newest = point_in_time.clone();
        let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
        let reading = self.read(point_in_time, &mut newest, sender);
        let working = work_on(receiver, work, collect);
        // Both run in this task, so that ending it for whatever reason ends them too.
        let ended = futures::future::try_join(reading, working).await;
        if let Err(error) = self.cluster.close_point_in_time(&newest).await {
            tracing::debug!(%error, "a point in time could not be closed; it expires by itself");
        }
        ended.map(drop)
    }

    async fn read(
        &self,
        point_in_time: PointInTime,
        newest: &mut PointInTime,
        pages: mpsc::Sender<Vec<Hit>>,
    ) -> Result<()> {
        let within = SearchIn::PointInTime(point_in_time);
        let mut search = Search::new(within, self.query.clone());
        let mut size = PageSize::growing(MAX_PAGE.min(self.cluster.page_limit()));
        loop {
            let asked = size.get();
            search.size = u32::try_from(asked).unwrap_or(u32::MAX);
            let page = match self.cluster.search(&search).await {
                Ok(page) => page,
                Err(error) if size.divides(asked, &error) => continue,
                Err(error) => return Err(error.into()),
            };
            size.took(&page.hits);
            if let Some(current) = page.point_in_time {
                newest.clone_from(&current);
                search.within = SearchIn::PointInTime(current);
            }
            let is_last = page.hits.len() < asked;
            search.after = page.last_sort;
            // The working side only goes away with an error of its own, which is the one to report.
            if !page.hits.is_empty() && pages.send(page.hits).await.is_err() {
                return Ok(());
            }
            if is_last || search.after.is_none() {
                return Ok(());
            }
        }
    }
}

async fn work_on<T, W>(
    pages: mpsc::Receiver<Vec<Hit>>,
    work: impl Fn(Vec<Hit>) -> W,
    mut collect: impl FnMut(T),
) -> Result<()>
where
    W: Future<Output = Result<T>>,
{
    let pages = futures::stream::unfold(pages, |mut pages| async move { Some((pages.recv().await?, pages)) });
    let mut done = pin!(pages.map(work).buffer_unordered(PAGES_IN_FLIGHT));
    while let Some(outcome) = done.next().await {
        collect(outcome?);
    }
    Ok(())
}
