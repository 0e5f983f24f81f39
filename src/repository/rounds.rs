//! Reading, changing and writing many objects. What lost against other writers is read, changed and written again, while the
//! others are done.

use std::collections::BTreeSet;

use super::attempts::Attempts;
use super::many::{Items, on_pool};
use super::read::{Fetched, Newer};
use super::write::{Write, Written};
use super::{ObjectKey, Repository, SavedObject, errors};
use crate::Result;
use crate::cluster::Refresh;
use crate::document::{StoredDocument, VersionToken};

/// The objects of a call, as far as they are not done. They are known by their places.
pub(super) struct Rounds<'a, T> {
    repository: &'a Repository,
    keys: Vec<ObjectKey>,
    pending: BTreeSet<usize>,
    items: Items<T>,
    attempts: Attempts<'a>,
    was_read: bool,
}

impl<'a, T> Rounds<'a, T> {
    pub(super) fn new(repository: &'a Repository, keys: Vec<ObjectKey>) -> Self {
        Self::with_attempts(repository, keys, Attempts::several(&repository.shared.environment))
    }

    /// Of one object that many write at the same time.
    pub(super) fn patient(repository: &'a Repository, key: ObjectKey) -> Self {
        Self::with_attempts(repository, vec![key], Attempts::patient(&repository.shared.environment))
    }

    fn with_attempts(repository: &'a Repository, keys: Vec<ObjectKey>, attempts: Attempts<'a>) -> Self {
        Self {
            repository,
            pending: (0..keys.len()).collect(),
            items: Items::new(keys.len()),
            keys,
            attempts,
            was_read: false,
        }
    }

    /// What is stored under the ids of the objects that are not done; none once all are. It waits before each time but the
    /// first, and gives up at last.
    pub(super) async fn read(&mut self) -> Option<Vec<(usize, Option<Fetched>)>> {
        if self.pending.is_empty() {
            return None;
        }
        if self.was_read && !self.attempts.wait_for_next().await {
            for at in std::mem::take(&mut self.pending) {
                self.items.answer(at, Err(errors::changed(&self.keys[at])));
            }
            return None;
        }
        self.was_read = true;
        let places: Vec<usize> = self.pending.iter().copied().collect();
        let mut wanted = Vec::with_capacity(places.len());
        let mut asked = Vec::with_capacity(places.len());
        for at in places {
            match self.repository.definition(&self.keys[at].type_name) {
                Ok(definition) => {
                    wanted.push((definition, &self.keys[at]));
                    asked.push(at);
                }
                Err(error) => self.items.answer(at, Err(error)),
            }
        }
        let fetched = self.repository.fetch_many(&wanted).await;
        let mut read = Vec::with_capacity(asked.len());
        for (at, fetched) in asked.into_iter().zip(fetched) {
            match fetched {
                Ok(fetched) => read.push((at, fetched)),
                Err(error) => self.end(at, Err(error)),
            }
        }
        Some(read)
    }

    /// Writes, and gives for each what it made; none for one that another writer was faster than, which stays to be done.
    pub(super) async fn write(
        &mut self,
        writes: Vec<(usize, Write)>,
        refresh: Refresh,
    ) -> Vec<(usize, Option<VersionToken>)> {
        let (places, writes): (Vec<usize>, Vec<(&ObjectKey, Write)>) =
            writes.into_iter().map(|(at, write)| (at, (&self.keys[at], write))).unzip();
        let outcomes = self.repository.write_many(writes, refresh).await;
        let mut written = Vec::with_capacity(places.len());
        for (at, outcome) in places.into_iter().zip(outcomes) {
            match outcome {
                Ok(Written::Done(version)) => written.push((at, Some(version))),
                Ok(Written::Conflict) => written.push((at, None)),
                Err(error) => self.end(at, Err(error)),
            }
        }
        written
    }

    pub(super) fn key(&self, at: usize) -> &ObjectKey {
        &self.keys[at]
    }

    /// The object at `at` is done.
    pub(super) fn end(&mut self, at: usize, answer: Result<T>) {
        self.pending.remove(&at);
        self.items.answer(at, answer);
    }

    pub(super) fn into_answers(self) -> Vec<Result<T>> {
        self.items.end()
    }
}

impl Rounds<'_, SavedObject> {
    /// Ends the objects that were written, as these documents.
    pub(super) async fn end_written(&mut self, written: Vec<(usize, StoredDocument, Option<Newer>, VersionToken)>) {
        let mut places = Vec::new();
        let mut objects = Vec::new();
        for (at, document, newer, version) in written {
            let key = &self.keys[at];
            match self.repository.definition(&key.type_name) {
                // There is nothing to open.
                Ok(definition) if definition.exposed().next().is_none() => {
                    let object = self.repository.updated(definition, key, document, version, newer);
                    self.end(at, object);
                }
                _ => {
                    places.push(at);
                    objects.push((key.clone(), document, newer, version));
                }
            }
        }
        let repository = self.repository.clone();
        let seen = on_pool(&self.repository.shared.environment, objects, move |(key, document, newer, version)| {
            repository.updated(repository.definition(&key.type_name)?, &key, document, version, newer)
        });
        for (at, object) in places.into_iter().zip(seen.await) {
            self.end(at, object);
        }
    }
}
