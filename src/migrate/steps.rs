//! Divides pages of documents whose conversion takes long, as when every secret costs milliseconds. All cores work, and
//! little is repeated after a kill.

use futures::{StreamExt, TryStreamExt};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::pass::Pass;
use crate::cluster::Hit;
use crate::{Error, ErrorKind, Result};

/// The number of documents that are converted and written together: some tenths of a second of one core.
const STEP: usize = 32;

/// Divides pages, and converts as many steps at the same time as there are cores.
#[derive(Debug)]
pub(super) struct Steps {
    cores: usize,
    turns: Semaphore,
}

impl Steps {
    pub(super) fn new(cores: usize) -> Self {
        Self { cores, turns: Semaphore::new(cores) }
    }

    /// Returns the number of steps that are converted at the same time.
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

    /// Converts a page step by step, each with `convert_step`.
    pub(super) async fn convert<F>(&self, page: Vec<Hit>, convert_step: impl Fn(Vec<Hit>) -> F) -> Result<Pass>
    where
        F: Future<Output = Result<Pass>>,
    {
        let mut rest = page.into_iter();
        let steps = std::iter::from_fn(|| {
            let step: Vec<Hit> = rest.by_ref().take(STEP).collect();
            (!step.is_empty()).then_some(step)
        });
        futures::stream::iter(steps)
            .map(convert_step)
            // One more than are converted, which is read or written meanwhile.
            .buffer_unordered(self.cores + 1)
            .try_fold(Pass::default(), |mut pass, done| async move {
                pass.add(done);
                Ok(pass)
            })
            .await
    }
}
