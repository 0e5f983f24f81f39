use futures::StreamExt;

use super::many::{Items, Pages};
use super::read::{Fetched, Loaded};
use super::{Action, ObjectKey, Repository, SavedObject, errors, read};
use crate::Result;

/// Pages that are asked for or read at the same time.
const IN_FLIGHT: usize = 2;

impl Repository {
    /// The objects called so, without their secrets, each answered in order: one that cannot be read keeps no other from being
    /// read. One request for a thousand objects of an index group; every write so far is seen.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{ObjectKey, Repository};
    /// # async fn example(repository: &Repository) {
    /// let keys = ["n1", "n2", "n3"].map(|id| ObjectKey::new("note", id));
    /// for (key, object) in keys.iter().zip(repository.get_many(&keys).await) {
    ///     match object {
    ///         Ok(object) => println!("{key}: {}", object.version),
    ///         Err(error) => eprintln!("{key}: {error}"),
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`get`](Self::get), for each object. What fails a whole request fails all objects that were asked for in it.
    pub async fn get_many<'a>(&self, keys: impl IntoIterator<Item = &'a ObjectKey>) -> Vec<Result<SavedObject>> {
        let keys: Vec<&ObjectKey> = keys.into_iter().collect();
        let mut items = Items::new(keys.len());
        let admitted = self.admit_each(Action::Get, keys, &mut items).await;
        let pages = Pages::new(admitted.into_iter().map(|(at, _, key)| (at, key.clone())).collect(), |_| 0);
        let mut done = futures::stream::iter(pages).map(|page| self.get_page(page)).buffered(IN_FLIGHT);
        while let Some(page) = done.next().await {
            for (at, answer) in page {
                items.answer(at, answer);
            }
        }
        drop(done);
        let mut answers = items.end();
        self.leave_out_unseen(answers.iter_mut().flatten().collect()).await;
        answers
    }

    async fn get_page(&self, page: Vec<(usize, ObjectKey)>) -> Vec<(usize, Result<SavedObject>)> {
        let (places, keys): (Vec<usize>, Vec<ObjectKey>) = page.into_iter().unzip();
        let mut items = Items::new(keys.len());
        let mut wanted = Vec::with_capacity(keys.len());
        for (at, key) in keys.iter().enumerate() {
            match self.definition(&key.type_name) {
                Ok(definition) => wanted.push((at, (definition, key))),
                Err(error) => items.answer(at, Err(error)),
            }
        }
        let asked: Vec<_> = wanted.iter().map(|(_, pair)| *pair).collect();
        let fetched = self.fetch_many(&asked).await;
        let mut found = Vec::with_capacity(fetched.len());
        for ((at, (definition, key)), fetched) in wanted.into_iter().zip(fetched) {
            match fetched {
                Ok(Some(it)) if read::is_asked_for(definition, key, &it.document) => {
                    found.push((at, (key.clone(), it)))
                }
                Ok(_) => items.answer(at, Err(errors::not_found(key))),
                Err(error) => items.answer(at, Err(error)),
            }
        }
        self.see_each(found, &mut items).await;
        places.into_iter().zip(items.end()).collect()
    }

    /// Answers items with the objects of what was fetched for them.
    pub(super) async fn see_each(&self, fetched: Vec<(usize, (ObjectKey, Fetched))>, items: &mut Items<SavedObject>) {
        let repository = self.clone();
        let converting = move |(key, fetched): (ObjectKey, Fetched)| {
            let loaded = repository.converted(repository.definition(&key.type_name)?, &key.id, fetched)?;
            Ok((key, loaded))
        };
        let mut loaded = Vec::new();
        for (at, (key, mut one)) in items.each(&self.shared.environment, fetched, converting).await {
            let learnt = match self.definition(&key.type_name) {
                Ok(definition) => self.learn_sets(definition, &mut one).await,
                Err(error) => Err(error),
            };
            match learnt {
                Ok(()) => loaded.push((at, (key, one))),
                Err(error) => items.answer(at, Err(error)),
            }
        }
        let repository = self.clone();
        let seeing = move |(key, loaded): (ObjectKey, Loaded)| {
            repository.view(repository.definition(&key.type_name)?, &key.id, loaded)
        };
        for (at, object) in items.each(&self.shared.environment, loaded, seeing).await {
            items.answer(at, Ok(object));
        }
    }
}
