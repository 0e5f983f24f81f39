//! The scan of one index: counts the keys of its documents, and encrypts their secrets again. Reading, encrypting and
//! writing overlap in bounded memory.

use std::sync::Arc;

use bytes::Bytes;

use super::inspect::{Inspector, Work};
use super::progress::ProgressSender;
use super::tally::Tally;
use crate::Result;
use crate::cluster::{BulkAction, BulkOperation, Hit, ItemError, Pace, Query, Scan};
use crate::engine::Engine;
use crate::engine::rewrite::{self, Bulk, Conflicts, Decide, Refusals, Rewrite, Written};
use crate::layout::IndexMeta;

/// The number of times that a document is read again which another process wrote first.
const MAX_REREADS: u32 = 3;

/// A scan of one index.
#[derive(Debug)]
pub(super) struct IndexScan<'a> {
    pub(super) engine: &'a Engine,
    pub(super) inspector: &'a Inspector,
    pub(super) progress: &'a ProgressSender,
    /// The alias that reports name.
    pub(super) alias: &'a str,
    pub(super) index: &'a str,
    pub(super) meta: Arc<IndexMeta>,
    /// The alias that the writes go through. Without it the scan only counts keys.
    pub(super) write_alias: Option<&'a str>,
    pub(super) pace: Option<&'a Pace>,
}

impl IndexScan<'_> {
    /// Scans every document of the index.
    ///
    /// # Errors
    /// [`Conflict`](crate::ErrorKind::Conflict) if the index takes no writes any more, because a migration is in
    /// progress; [`Unavailable`](crate::ErrorKind::Unavailable) if the cluster cannot be reached. Documents that were
    /// written stay written.
    pub(super) async fn run(self) -> Result<Tally> {
        let Self { engine, inspector, progress, alias, index, meta, write_alias, pace } = self;
        let (cluster, environment) = (engine.cluster(), engine.environment());
        let failure =
            |id: &str, error: ItemError| rewrite::failure(error, format!("{id} of {index} could not be written"));
        let bulk = |alias| Bulk {
            cluster,
            alias,
            conflicts: Conflicts::ReadAgain { index, times: MAX_REREADS },
            refusals: Refusals::Abort,
            failure: &failure,
        };
        let work = if write_alias.is_some() { Work::Rotate } else { Work::Count };
        let inspections = Inspections { inspector: inspector.clone(), meta, alias: alias.to_owned(), work };
        let rewrite = Rewrite {
            environment,
            decisions: Arc::new(inspections),
            what: "encrypting documents",
            bulk: write_alias.map(bulk),
            keys: &engine.keys,
            encryption: &engine.encryption,
            pace,
        };
        let scan = Scan { cluster: &engine.cluster, environment, index, query: Query::Everything, pace };
        let mut tally = Tally::default();
        let collect = |page: Tally| {
            progress.add(page.counts.read, page.counts.rotated);
            tally.add(page);
        };
        scan.run(|page| rewrite.page(page), collect).await?;
        Ok(tally)
    }
}

/// The decisions of a scan.
struct Inspections {
    inspector: Inspector,
    meta: Arc<IndexMeta>,
    alias: String,
    work: Work,
}

impl Decide for Inspections {
    type Tally = Tally;

    fn decide(&self, hit: Hit, tally: &mut Tally) -> Option<BulkOperation> {
        let mut inspected = self.inspector.inspect(&self.meta, &hit.id, hit.source.get(), self.work);
        let source = inspected.source.take();
        tally.counts.read += 1;
        tally.count(&self.alias, &hit.id, inspected);
        let action = BulkAction::Replace { source: Bytes::from(source?), read: hit.sequence };
        Some(BulkOperation { id: hit.id, action })
    }

    fn count(&self, _: BulkOperation, written: Written, tally: &mut Tally) {
        match written {
            Written::Done => tally.counts.rotated += 1,
            Written::ReadAgain => tally.counts.conflicts += 1,
            Written::Changed | Written::Refused(_) => tally.unsettled += 1,
        }
    }
}
