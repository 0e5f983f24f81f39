//! Documents whose conversion takes long, as when every secret costs milliseconds: a page is divided, so that all cores are
//! at work and little is done twice after a kill.

use std::collections::BTreeSet;
use std::thread::available_parallelism;

use futures::{StreamExt, TryStreamExt};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::convert::{Converter, Pass};
use crate::cluster::Hit;
use crate::{Error, ErrorKind, Result};

/// Documents converted and written at once: some tenths of a second of one core.
const STEP: usize = 32;

/// Divides pages, and lets as many steps be converted at the same time as there are cores.
#[derive(Debug)]
pub(super) struct Steps {
    cores: usize,
    turns: Semaphore,
}

impl Steps {
    pub(super) fn new() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self { cores, turns: Semaphore::new(cores) }
    }

    /// How many steps are converted at the same time.
    pub(super) fn cores(&self) -> usize {
        self.cores
    }

    /// Waits for a core.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>> {
        self.turns
            .acquire()
            .await
            .map_err(|error| Error::new(ErrorKind::Internal, "the steps of a migration were ended").with_source(error))
    }

    /// Converts a page step by step. What an earlier start brought into the fill is not opened once more.
    pub(super) async fn convert(&self, converter: Converter<'_>, page: Vec<Hit>) -> Result<Pass> {
        let mut rest = page.into_iter();
        let steps = std::iter::from_fn(|| {
            let step: Vec<Hit> = rest.by_ref().take(STEP).collect();
            (!step.is_empty()).then_some(step)
        });
        futures::stream::iter(steps)
            .map(|step| convert_rest(converter, step))
            // One more than are converted: it is read or written meanwhile.
            .buffer_unordered(self.cores + 1)
            .try_fold(Pass::default(), |mut pass, done| async move {
                pass.add(done);
                Ok(pass)
            })
            .await
    }
}

/// Converts what of these documents is not in the fill.
async fn convert_rest(converter: Converter<'_>, step: Vec<Hit>) -> Result<Pass> {
    let ids: Vec<&str> = step.iter().map(|hit| hit.id.as_str()).collect();
    let found = converter.cluster.get_many(&converter.plan.fill(), &ids).await?;
    let is_there: BTreeSet<String> = found.into_iter().flatten().map(|hit| hit.id).collect();
    let missing: Vec<Hit> = step.into_iter().filter(|hit| !is_there.contains(&hit.id)).collect();
    let mut pass = Pass::default();
    let there = is_there.len() as u64;
    pass.counts.read += there;
    pass.counts.conflicts += there;
    converter.progress.add(there, there);
    pass.add(converter.convert_page(missing).await?);
    Ok(pass)
}
