//! What a migration is measured beside: a client that makes the same requests and no transform. It shares the connection
//! with the engine, and nothing of the pipeline: every document is written back as it was read.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::cluster::{
    AliasAction, BulkAction, BulkOperation, BulkRequest, CloneIndex, Cluster, CreateIndex, Health, Hit, IndexPurpose,
    PointInTime, Query, Refresh, Search, SearchIn,
};
use crate::{Error, ErrorKind, Result};

const PAGE_SIZE: u32 = 1_000;
const PAGES_AHEAD: usize = 2;
const BULKS_IN_FLIGHT: usize = 6;
const KEEP_ALIVE: Duration = Duration::from_secs(300);

const CLONE_TIMEOUT: Duration = Duration::from_secs(60);

/// Where the raw loop copies to.
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
    /// The documents to be rewritten.
    pub(super) query: Query,
    /// The mapping of the new version.
    pub(super) mapping: &'a Value,
}

impl RawLoop<'_> {
    /// Rewrites every document in place, with the fixed steps that the engine makes before and after it, and gives their
    /// number.
    pub(super) async fn in_place(&self) -> Result<usize> {
        self.cluster.indices(&[self.alias]).await?;
        self.cluster.count_by_type(self.index).await?;
        self.record(self.index, "before").await?;
        self.cluster.refresh(self.index).await?;
        let rewritten = self.pass(self.query.clone(), None).await?;
        self.cluster.refresh(self.index).await?;
        // The engine looks a second time, and finds nothing.
        self.pass(Query::Or(Vec::new()), None).await?;
        self.record(self.index, "after").await?;
        Ok(rewritten)
    }

    /// Copies every document as it is, with the fixed steps that the engine makes before and after it, and gives their
    /// number.
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
        cluster.create_index(&CreateIndex { name, mapping, aliases, purpose: IndexPurpose::Filling }).await?;
        let copied = self.pass(Query::Everything, Some(copy.fill_alias)).await?;
        cluster.add_write_block(copy.fill).await?;
        let (source, target) = (copy.fill.to_owned(), copy.target.to_owned());
        cluster.clone_index(&CloneIndex { source, target, aliases: Vec::new() }).await?;
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

    /// The engine records by reading, writing and reading back. What is the same as before would cost the server nothing.
    async fn record(&self, index: &str, fact: &str) -> Result<()> {
        self.cluster.indices(&[index]).await?;
        let mut mapping = self.mapping.clone();
        mapping["_meta"] = json!({ "bench": fact });
        self.cluster.put_mapping(index, &mapping).await?;
        self.cluster.indices(&[index]).await?;
        Ok(())
    }

    /// Writes every document that is found back to where it was, or into the fill behind an alias.
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
        let mut search = Search { size: PAGE_SIZE, ..Search::new(within, query) };
        loop {
            let page = self.cluster.search(&search).await?;
            let is_last = page.hits.len() < PAGE_SIZE as usize;
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
