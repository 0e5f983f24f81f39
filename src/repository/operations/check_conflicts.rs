//! Asks whether ids are free for new objects.

use crate::Result;
use crate::repository::{Action, ObjectKey, Repository};

/// Whether an id is free for a new object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdState {
    /// No object has the id.
    Free,
    /// An object that is seen from the namespace has the id: a creation needs
    /// [`Create::overwrite`](crate::repository::Create::overwrite).
    Taken,
    /// An object that is not seen from the namespace has the id: the new object needs another one.
    TakenElsewhere,
}

impl Repository {
    /// Returns for each id, in order, whether an object could be created with it now. If another caller takes the id
    /// before it is used, the creation fails.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{IdState, ObjectKey, Repository};
    /// # async fn example(repository: &Repository) {
    /// let keys = ["a", "b"].map(|id| ObjectKey::new("note", id));
    /// for (key, state) in keys.iter().zip(repository.check_conflicts(&keys).await) {
    ///     match state {
    ///         Ok(IdState::Free) => println!("{key} is free"),
    ///         Ok(IdState::Taken | IdState::TakenElsewhere) => println!("{key} is taken"),
    ///         Err(error) => println!("{key}: {error}"),
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// For each item: [`Invalid`](crate::ErrorKind::Invalid) if the type is not available here or the id cannot be one,
    /// [`Forbidden`](crate::ErrorKind::Forbidden), [`NotFound`](crate::ErrorKind::NotFound) if the index does not
    /// exist, [`Corrupt`](crate::ErrorKind::Corrupt) if the document with the id is not a well-formed object,
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "check_conflicts"))]
    pub async fn check_conflicts(&self, keys: &[ObjectKey]) -> Vec<Result<IdState>> {
        let items = self.admit_each(Action::Create, &keys.iter().collect::<Vec<_>>()).await;
        self.fetch_items(items).await.end(keys.len(), |target, ((), fetched)| {
            Ok(match fetched {
                None => IdState::Free,
                Some(fetched) if target.is_in(&fetched.document) => IdState::Taken,
                Some(_) => IdState::TakenElsewhere,
            })
        })
    }
}
