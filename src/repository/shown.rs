use super::many::Items;
use super::read::Newer;
use super::{ObjectKey, Repository, SavedObject};
use crate::document::{StoredDocument, VersionToken};

/// Answers the items of a call with the objects that were written, as callers see them. What has to be opened for that is
/// opened in the end, on the blocking pool.
pub(super) struct Shown<'a> {
    repository: &'a Repository,
    items: &'a mut Items<SavedObject>,
    to_open: Vec<(usize, (ObjectKey, Written))>,
}

/// A document as it was written.
pub(super) struct Written {
    pub(super) document: StoredDocument,
    /// Set if its model version is beyond this software.
    pub(super) newer: Option<Newer>,
    pub(super) version: VersionToken,
}

impl<'a> Shown<'a> {
    pub(super) fn new(repository: &'a Repository, items: &'a mut Items<SavedObject>) -> Self {
        Self { repository, items, to_open: Vec::new() }
    }

    /// The item at `at` was written.
    pub(super) fn add(&mut self, at: usize, key: &ObjectKey, written: Written) {
        match self.repository.definition(&key.type_name) {
            Ok(definition) if definition.exposed().next().is_none() => {
                self.items.answer(at, self.repository.updated(definition, key, written));
            }
            _ => self.to_open.push((at, (key.clone(), written))),
        }
    }

    /// Answers an item that was not written.
    pub(super) fn fail(&mut self, at: usize, error: crate::Error) {
        self.items.answer(at, Err(error));
    }

    /// Answers the rest.
    pub(super) async fn end(self) {
        let repository = self.repository.clone();
        let opening = move |(key, written): (ObjectKey, Written)| {
            repository.updated(repository.definition(&key.type_name)?, &key, written)
        };
        for (at, object) in self.items.each(self.to_open, opening).await {
            self.items.answer(at, Ok(object));
        }
    }
}
