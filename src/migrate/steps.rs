//! Documents whose conversion takes long, as when every secret costs milliseconds: a page is divided, so that all cores are
//! at work and little is done twice after a kill.

use futures::{StreamExt, TryStreamExt};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::bad::Defect;
use super::convert::{Converter, Pass};
use super::{Fate, GroupPlan, OnUnreadable};
use crate::cluster::Hit;
use crate::document::StoredDocument;
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
    pub(super) fn new(cores: usize) -> Self {
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
    let found = converter.cluster.get_many(converter.write_alias, &ids).await?;
    let (mut pass, mut missing) = (Pass::default(), Vec::new());
    for (hit, filled) in step.into_iter().zip(found) {
        let Some(filled) = filled else {
            missing.push(hit);
            continue;
        };
        pass.counts.read += 1;
        pass.counts.conflicts += 1;
        if converter.policy.on_unreadable == OnUnreadable::Strip
            && let Some(defect) = stripped(converter.plan, &hit, &filled)
        {
            converter.disposal().name_one(&mut pass, hit.id, defect, Fate::Stripped);
        }
    }
    converter.progress.add(pass.counts.read, pass.counts.read);
    if !missing.is_empty() {
        pass.add(converter.convert_page(missing).await?);
    }
    Ok(pass)
}

/// What an earlier start removed from a document, so that this one names it too: secrets that are in the source only.
fn stripped(plan: &GroupPlan, hit: &Hit, filled: &Hit) -> Option<Defect> {
    let of = |hit: &Hit| StoredDocument::from_source(hit.source.get().as_bytes()).ok();
    let (before, after) = (of(hit)?, of(filled)?);
    let definition = plan.definition(&before.type_name)?;
    let is_there = |document: &StoredDocument, name: &str| document.attributes.get(name).is_some_and(|v| !v.is_null());
    let encrypted = definition.latest().sets.encrypted.iter().map(|attribute| attribute.name.as_str());
    let gone: Vec<&str> = encrypted.filter(|name| is_there(&before, name) && !is_there(&after, name)).collect();
    let first = gone.first()?;
    Some(Defect {
        type_name: Some(before.type_name.clone()),
        reason: format!("secrets that do not open were removed by an earlier start: {}", gone.join(", ")),
        unreadable: Some((*first).to_owned()),
    })
}
