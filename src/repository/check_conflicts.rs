use super::many::Items;
use super::{Action, ObjectKey, Repository, read};
use crate::Result;

/// Whether an object can be created with an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IdState {
    /// No object has the id.
    Free,
    /// An object that is seen from the namespace has it: creating needs [`Create::overwrite`](super::Create::overwrite).
    Taken,
    /// An object that is not seen from the namespace has it: another id is needed.
    TakenElsewhere,
}

impl Repository {
    /// Says of each id, in order, whether an object could be created with it. It says how things are now: somebody else may
    /// take the id before it is used, and creating fails then.
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
    /// Of each item: [`Invalid`](crate::ErrorKind::Invalid) if the type is not available here or the id cannot be one,
    /// [`Forbidden`](crate::ErrorKind::Forbidden), [`NotFound`](crate::ErrorKind::NotFound) if the index does not exist,
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if what has the id is no object,
    /// [`Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn check_conflicts(&self, keys: &[ObjectKey]) -> Vec<Result<IdState>> {
        let mut items = Items::new(keys.len());
        let asked = self.admit_each(Action::Create, keys.iter().collect(), &mut items).await;
        let wanted: Vec<_> = asked.iter().map(|&(_, definition, key)| (definition, key)).collect();
        let found = self.fetch_many(&wanted).await;
        for ((at, definition, key), fetched) in asked.into_iter().zip(found) {
            let state = fetched.map(|fetched| match fetched {
                None => IdState::Free,
                Some(fetched) if read::is_asked_for(definition, key, &fetched.document) => IdState::Taken,
                Some(_) => IdState::TakenElsewhere,
            });
            items.answer(at, state);
        }
        items.end()
    }
}
