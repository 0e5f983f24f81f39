//! The raw loop that a migration is measured against: a client that makes the same requests without a transform. It
//! shares the connection with the engine but nothing of the pipeline: it writes every document back as it read it.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use saved_objects::cluster::{
    AliasAction, BulkAction, BulkOperation, BulkRequest, CloneIndex, Cluster, CreateIndex, Health, Hit, IndexPurpose,
    PointInTime, Query, Refresh, Search, SearchIn,
};
use saved_objects::{Error, ErrorKind, Result};

const PAGE_SIZE: u32 = 1_000;
/// The size in bytes of a page of large documents.
const PAGE_BYTES: usize = 4 << 20;
const PAGES_AHEAD: usize = 2;
const BULKS_IN_FLIGHT: usize = 6;
const KEEP_ALIVE: Duration = Duration::from_secs(300);

const CLONE_TIMEOUT: Duration = Duration::from_secs(60);

/// The target of a raw copy.
pub(super) struct RawCopy<'a> {
    pub(super) fill: &'a str,
    pub(super) fill_alias: &'a str,
    pub(super) target: &'a str,
    pub(super) target_alias: &'a str,
}

/// The raw loop on one index.
pub(super) struct RawLoop<'a> {
    pub(super) cluster: &'a dyn Cluster,
    pub(super) alias: &'a str,
    pub(super) index: &'a str,
    pub(super) write_alias: &'a str,
    /// Finds the documents to rewrite.
    pub(super) query: Query,
    /// The mapping of the new version.
    pub(super) mapping: &'a Value,
    /// The number of documents in one page.
    pub(super) page_size: u32,
}

/// Returns the page size of a client that knows that its documents have this size.
pub(super) fn page_size(document_bytes: usize) -> u32 {
    let fitting = PAGE_BYTES.checked_div(document_bytes).unwrap_or(usize::MAX);
    u32::try_from(fitting).unwrap_or(PAGE_SIZE).clamp(1, PAGE_SIZE)
}

impl RawLoop<'_> {
    /// Rewrites every document in place and returns their number. Makes the same fixed steps before and after as the
    /// engine.
    pub(super) async fn in_place(&self) -> Result<usize> {
        self.cluster.indices(&[self.alias]).await?;
        self.cluster.count_by_type(self.index).await?;
        self.record(self.index, "before").await?;
        self.cluster.refresh(self.index).await?;
        let rewritten = self.pass(self.query.clone(), None).await?;
        self.cluster.refresh(self.index).await?;
        // The engine searches a second time and finds nothing.
        self.pass(Query::Or(Vec::new()), None).await?;
        self.record(self.index, "after").await?;
        Ok(rewritten)
    }

    /// Copies every document as it is and returns their number. Makes the same fixed steps before and after as the
    /// engine.
    pub(super) async fn copy(&self, copy: &RawCopy<'_>) -> Result<usize> {
        let cluster = self.cluster;
        cluster.indices(&[self.alias]).await?;
        cluster.count_by_type(self.index).await?;
        cluster.add_write_block(self.index).await?;
        cluster.refresh(self.index).await?;
        cluster.write_count(self.index).await?;
        cluster.indices(&[copy.fill]).await?;
        let (name, aliases) = (copy.fill.to_owned(), vec![copy.fill_alias.to_owned()]);
        let mapping = self.mapping.clone();
        cluster
            .create_index(&CreateIndex {
                name,
                mapping,
                aliases,
                purpose: IndexPurpose::Filling,
                settings: Default::default(),
            })
            .await?;
        let copied = self.pass(Query::Everything, Some(copy.fill_alias)).await?;
        cluster.add_write_block(copy.fill).await?;
        let (source, target) = (copy.fill.to_owned(), copy.target.to_owned());
        cluster.clone_index(&CloneIndex { source, target, aliases: Vec::new(), settings: Default::default() }).await?;
        cluster.wait_for_health(copy.target, Health::Green, CLONE_TIMEOUT).await?;
        cluster.refresh(copy.target).await?;
        cluster.count_by_type(self.index).await?;
        cluster.count_by_type(copy.target).await?;
        cluster.write_count(self.index).await?;
        cluster.write_count(copy.target).await?;
        self.record(copy.target, "after").await?;
        let remove = |alias: &str| AliasAction::Remove { index: self.index.to_owned(), alias: alias.to_owned() };
        let add = |alias: &str| AliasAction::Add { index: copy.target.to_owned(), alias: alias.to_owned() };
        let swap = [remove(self.alias), remove(self.write_alias), add(self.alias), add(copy.target_alias)];
        cluster.update_aliases(&swap).await?;
        cluster.delete_index(copy.fill).await?;
        Ok(copied)
    }

    /// Records a fact as the engine does: reads, writes and reads back. The fact differs each time, because an
    /// unchanged mapping would cost the server nothing.
    async fn record(&self, index: &str, fact: &str) -> Result<()> {
        self.cluster.indices(&[index]).await?;
        let mut mapping = self.mapping.clone();
        mapping["_meta"] = json!({ "bench": fact });
        self.cluster.put_mapping(index, &mapping).await?;
        self.cluster.indices(&[index]).await?;
        Ok(())
    }

    /// Writes every found document back to its index, or into the staging index behind an alias.
    async fn pass(&self, query: Query, fill_alias: Option<&str>) -> Result<usize> {
        let point_in_time = self.cluster.open_point_in_time(self.index, KEEP_ALIVE).await?;
        let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
        let both =
            futures::future::try_join(self.read(&point_in_time, query, sender), self.write(receiver, fill_alias)).await;
        self.cluster.close_point_in_time(&point_in_time).await?;
        both.map(|((), rewritten)| rewritten)
    }

    async fn read(&self, point_in_time: &PointInTime, query: Query, pages: mpsc::Sender<Vec<Hit>>) -> Result<()> {
        let within = SearchIn::PointInTime(point_in_time.clone());
        let mut search = Search { size: self.page_size, ..Search::new(within, query) };
        loop {
            let page = self.cluster.search(&search).await?;
            let is_last = page.hits.len() < self.page_size as usize;
            search.after = page.last_sort;
            if pages.send(page.hits).await.is_err() || is_last {
                return Ok(());
            }
        }
    }

    async fn write(&self, pages: mpsc::Receiver<Vec<Hit>>, fill_alias: Option<&str>) -> Result<usize> {
        let pages = futures::stream::unfold(pages, |mut pages| async move { Some((pages.recv().await?, pages)) });
        let mut bulks = pin!(pages.map(|page| self.write_page(page, fill_alias)).buffer_unordered(BULKS_IN_FLIGHT));
        let mut rewritten = 0;
        while let Some(written) = bulks.next().await {
            rewritten += written?;
        }
        Ok(rewritten)
    }

    async fn write_page(&self, page: Vec<Hit>, fill_alias: Option<&str>) -> Result<usize> {
        if page.is_empty() {
            return Ok(0);
        }
        let operations: Vec<BulkOperation> = page
            .into_iter()
            .map(|hit| {
                let source = Bytes::copy_from_slice(hit.source.get().as_bytes());
                let action = match fill_alias {
                    Some(_) => BulkAction::Create { source },
                    None => BulkAction::Replace { source, read: hit.sequence },
                };
                BulkOperation { id: hit.id, action }
            })
            .collect();
        let request = BulkRequest {
            alias: fill_alias.unwrap_or(self.write_alias),
            operations: &operations,
            refresh: Refresh::Later,
        };
        for outcome in self.cluster.bulk(&request).await? {
            outcome.map_err(|error| {
                Error::new(ErrorKind::Internal, format!("the raw loop could not write: {}", error.reason))
            })?;
        }
        Ok(operations.len())
    }
}
