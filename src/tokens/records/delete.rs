use futures::StreamExt;
use futures::stream;

use super::{Records, is_conflict};
use crate::repository::{Attempts, Filter, Find, SavedObject};
use crate::tokens::TokenError;
use crate::tokens::identity::Identity;
use crate::{Error, ErrorKind, Result};

/// How many records one search gives.
const PER_PAGE: u32 = 1000;
/// How many deletions are under way at once.
const IN_FLIGHT: usize = 8;

impl<I: Identity> Records<I> {
    /// Deletes every record that the filter fits, readable or not, each at the version that was seen, until a search that
    /// misses no write finds none. Those that somebody else deletes meanwhile are deleted too.
    pub(in crate::tokens) async fn delete_all(&self, filter: Filter) -> Result<(), TokenError> {
        let mut attempts = Attempts::several(self.environment());
        loop {
            self.repository().refresh(I::TYPE).await?;
            // Not through the typed client: what does not fit the struct is deleted as well.
            let request = Find::new().filter(filter.clone()).per_page(PER_PAGE);
            let found = self.repository().find(&[I::TYPE], request).await?;
            if found.objects.is_empty() {
                return match found.unreadable.into_iter().next() {
                    Some(unreadable) => Err(not_deleted(&unreadable.raw_id, unreadable.error).into()),
                    None => Ok(()),
                };
            }
            let deleted = self.delete_each(&found.objects).await?;
            if deleted == 0 && !attempts.wait_for_next().await {
                return Err(no_progress::<I>().into());
            }
        }
    }

    /// How many of `objects` were deleted as they were read.
    async fn delete_each(&self, objects: &[SavedObject]) -> Result<usize> {
        let mut deletions = Vec::with_capacity(objects.len());
        for object in objects {
            deletions.push(self.objects.delete(&object.id, Some(object.version)));
        }
        let outcomes: Vec<_> = stream::iter(deletions).buffer_unordered(IN_FLIGHT).collect().await;
        let mut deleted = 0;
        for outcome in outcomes {
            match outcome {
                Ok(()) => deleted += 1,
                Err(error) if is_conflict(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(deleted)
    }
}

fn not_deleted(raw_id: &str, error: Error) -> Error {
    Error::new(error.kind(), format!("the document {raw_id} was not deleted, because it is not a readable object"))
        .with_cure("`saved-objects verify` lists all such documents; correct or remove them")
        .with_source(error)
}

fn no_progress<I: Identity>() -> Error {
    Error::new(ErrorKind::Conflict, format!("others go on writing the {} tokens that are to be deleted", I::KIND))
        .with_cure("stop what writes them, and delete again")
}
