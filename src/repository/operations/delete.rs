//! Deletion of one object or many.

use std::ops::ControlFlow;

use futures::future::Either;

use crate::cluster::{Gone, Refresh};
use crate::document::{NamespaceKind, VersionToken};
use crate::repository::pipeline::attempts::Attempts;
use crate::repository::pipeline::errors;
use crate::repository::pipeline::item::Items;
use crate::repository::pipeline::many::{Named, only, strongest};
use crate::repository::pipeline::read::{self, Fetched, Owner};
use crate::repository::pipeline::target::Target;
use crate::repository::pipeline::write::{Write, Written};
use crate::repository::{Action, ObjectKey, Repository, SavedObject};
use crate::{Error, ErrorKind, Result};

/// A request to delete an object.
#[derive(Debug, Clone)]
pub struct Delete {
    key: ObjectKey,
    condition: Condition,
    refresh: Refresh,
}

/// What is deleted, and when it counts as done.
#[derive(Debug, Clone, Copy, Default)]
struct Condition {
    version: Option<VersionToken>,
    force: bool,
    gone_is_done: bool,
}

impl Delete {
    /// Creates a request for the object at `key`, at any version.
    pub fn new(key: impl Into<ObjectKey>) -> Self {
        Self { key: key.into(), condition: Condition::default(), refresh: Refresh::Later }
    }

    /// Creates a request for `object`, if it is still at the version that was read. If the object is seen from several
    /// namespaces, the deletion must be allowed in the first.
    pub fn of<A>(object: &SavedObject<A>) -> Self {
        Self::new(object.key()).version(object.version)
    }

    /// Deletes the object only if it is at this version. Of several callers that delete one version, at most one gets
    /// the answer that it did.
    #[must_use]
    pub fn version(mut self, version: VersionToken) -> Self {
        self.condition.version = Some(version);
        self
    }

    /// Counts as done if the answer is lost and the object is gone, even if another caller deleted it: for callers that
    /// only need it to be gone.
    #[must_use]
    pub(crate) fn gone_is_done(mut self) -> Self {
        self.condition.gone_is_done = true;
        self
    }

    /// Deletes the object even if it is seen from other namespaces too, and even if it is corrupt and cannot be read.
    #[must_use]
    pub fn force(mut self) -> Self {
        self.condition.force = true;
        self
    }

    /// Sets when [`Repository::find`] no longer sees the object. Reads by id always miss it at once.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }
}

impl From<&ObjectKey> for Delete {
    fn from(key: &ObjectKey) -> Self {
        Self::new(key)
    }
}

impl From<ObjectKey> for Delete {
    fn from(key: ObjectKey) -> Self {
        Self::new(key)
    }
}

impl Repository {
    /// Deletes an object. With the version of an agnostic object whose id has no `:` this is one request. Otherwise the
    /// object is read first.
    ///
    /// A late copy of a request to [create](Self::create) the object, which the network delayed or delivered twice, may
    /// arrive after the deletion. It creates the object again, with the content of that request, even if the request
    /// overwrote the object or was answered with a conflict. An object that must not come back, such as a revoked
    /// grant, should be marked by an [`update`](Self::update) first, and be deleted when no request can be on its way
    /// any more: an hour later is enough. A late request never changes or overwrites an object that exists.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{Delete, ObjectKey, Repository};
    /// # async fn example(repository: &Repository, key: &ObjectKey) -> saved_objects::Result<()> {
    /// let object = repository.get(key).await?;
    /// repository.delete(Delete::of(&object)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such object that is seen from the key's namespace, or
    ///   if the index does not exist.
    /// - [`Conflict`](crate::ErrorKind::Conflict) if the object is no longer at the given version, or is gone; without
    ///   a version, if other writers kept changing it.
    /// - [`Invalid`](crate::ErrorKind::Invalid) if the object is seen from other namespaces too and the request does
    ///   not have [`Delete::force`], or if the type is not available here.
    /// - [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if a version was given, the answer was lost and the
    ///   object is gone: another caller may have deleted it. Without a version, the deletion counts as done then. Also
    ///   as for other writes.
    /// - [`Corrupt`](crate::ErrorKind::Corrupt) if the document is not a well-formed object and the request does not
    ///   have [`Delete::force`]. With it, the `_id` and the readable parts of the document decide which object it is.
    ///   If they do not say from which namespaces it is seen, the caller needs [`Action::ShareEverywhere`] too; without
    ///   that permission, the error is [`Forbidden`](crate::ErrorKind::Forbidden).
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if the index takes no writes,
    ///   [`Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn delete(&self, request: impl Into<Delete>) -> Result<()> {
        only(self.delete_many([request.into()]).await)
    }

    /// Deletes objects, and answers for each in order. An object that cannot be deleted does not prevent deleting the
    /// others. An object that changed between the reading and the deletion is read again, as by
    /// [`delete`](Self::delete). Each object may be named once.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{Delete, ObjectKey, Repository};
    /// # async fn example(repository: &Repository, keys: &[ObjectKey]) {
    /// for (key, deleted) in keys.iter().zip(repository.delete_many(keys).await) {
    ///     match deleted {
    ///         Ok(()) => println!("{key} is gone"),
    ///         Err(error) => eprintln!("{key}: {error}"),
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`delete`](Self::delete), for each object. An error of a whole request is the answer for all objects
    /// sent in it.
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "delete_many"))]
    pub async fn delete_many<D: Into<Delete>>(&self, requests: impl IntoIterator<Item = D>) -> Vec<Result<()>> {
        let requests: Vec<Delete> = requests.into_iter().map(Into::into).collect();
        let count = requests.len();
        let refresh = strongest(requests.iter().map(|request| request.refresh));
        let (mut items, mut named) = (Items::with_capacity(count), Named::new(count));
        for (at, Delete { key, condition, .. }) in requests.into_iter().enumerate() {
            items.admit(at, self.admit_once(Action::Delete, key, &mut named).await, condition);
        }
        let mut deleted = Items::with_capacity(count);
        for page in items.pages() {
            deleted.append(self.delete_page(page, refresh).await);
        }
        deleted.end(count, |target, _| Err(errors::changed(&target.key)))
    }

    /// Deletes the open items. Items that are still open lost against other writers in each attempt.
    async fn delete_page(&self, items: Items<Condition, ()>, refresh: Refresh) -> Items<Condition, ()> {
        let (known, mut unread) = items.divide(|target, condition| match condition.known_deletion(target) {
            Some(write) => Either::Left((condition, write)),
            None => Either::Right(condition),
        });
        let mut deleted = self.write_deletions(known, refresh).await;
        let mut attempts = Attempts::several(&self.shared.engine.environment);
        while !unread.are_answered() {
            let fetched = self.fetch_many(&unread.targets()).await;
            let read = unread.zip(fetched, |_, condition, fetched| ControlFlow::Continue((condition, fetched)));
            let (read, mut corrupt) = read.divide(|_, (condition, fetched)| match fetched {
                Err(error) if condition.force && error.kind() == ErrorKind::Corrupt => Either::Right(condition),
                fetched => Either::Left((condition, fetched)),
            });
            let writes = read.each(|target, (condition, fetched)| {
                let write = condition.deletion(target, fetched?)?;
                Ok((condition, write))
            });
            unread = self.write_deletions(writes, refresh).await;
            for item in corrupt.iter_mut() {
                if let Some((target, condition)) = item.open() {
                    let answer = self.delete_corrupt(target, *condition, refresh).await;
                    item.answer(answer);
                }
            }
            deleted.append(corrupt);
            if !unread.are_answered() && !attempts.wait_for_next().await {
                break;
            }
        }
        deleted.append(unread);
        deleted
    }

    /// Deletes what is not a well-formed object, if it is the one that the target means.
    async fn delete_corrupt(&self, target: &Target, condition: Condition, refresh: Refresh) -> Result<()> {
        let key = &target.key;
        let Some((hit, version)) = self.hit(target).await? else { return Err(errors::not_found(key)) };
        if condition.version.is_some_and(|expected| expected != version) {
            return Err(errors::changed(key));
        }
        let deletion = self.delete_at(target, version, condition.gone(), refresh);
        match read::owner(target, hit.source.get(), |name| self.shared.engine.registry.get(name).is_some()) {
            Owner::Another => Err(errors::not_found(key)),
            Owner::Key => deletion.await,
            Owner::Unknown => {
                let admitted = self.admit(Action::ShareEverywhere, key).await?;
                admitted.end(deletion.await)
            }
        }
    }

    /// Deletes the document at `version`.
    pub(in crate::repository) async fn delete_at(
        &self,
        target: &Target,
        version: VersionToken,
        gone: Gone,
        refresh: Refresh,
    ) -> Result<()> {
        match only(self.write_many(vec![(target, Write::delete(version, gone))], refresh).await)? {
            Written::Done(_) => Ok(()),
            Written::Conflict => Err(errors::changed(&target.key)),
        }
    }

    /// Does the deletions of the open items. An item stays open if another writer was faster, unless its caller expects
    /// a version.
    async fn write_deletions(&self, items: Items<(Condition, Write), ()>, refresh: Refresh) -> Items<Condition, ()> {
        self.write_items(items, refresh).await.each_or_answer(|target, (condition, written)| match written {
            Written::Done(_) => ControlFlow::Break(Ok(())),
            Written::Conflict if condition.version.is_some() => ControlFlow::Break(Err(errors::changed(&target.key))),
            Written::Conflict => ControlFlow::Continue(condition),
        })
    }
}

impl Condition {
    /// What it means if the answer is lost and the object is gone.
    fn gone(self) -> Gone {
        if self.version.is_none() || self.gone_is_done { Gone::Done } else { Gone::Unknown }
    }

    /// Returns the deletion if it needs no reading: for an agnostic object, no caller has to see it. With `:` in its id
    /// it may be stored like an object of a namespace that is called like the type, and only reading tells them apart.
    fn known_deletion(self, target: &Target) -> Option<Write> {
        let is_known = target.definition.namespace_kind() == NamespaceKind::Agnostic && !target.key.id.contains(':');
        let version = self.version.filter(|_| is_known)?;
        Some(Write::delete(version, self.gone()))
    }

    /// Returns the deletion of what was read.
    fn deletion(self, target: &Target, fetched: Option<Fetched>) -> Result<Write> {
        let fetched = fetched.filter(|fetched| target.is_in(&fetched.document));
        let Fetched { document, version } = fetched.ok_or_else(|| errors::not_found(&target.key))?;
        if self.version.is_some_and(|expected| expected != version) {
            return Err(errors::changed(&target.key));
        }
        let namespaces = document.root.namespaces.unwrap_or_default();
        let is_shared = namespaces.len() > 1 || namespaces.iter().any(|name| name == "*");
        if target.definition.namespace_kind().is_multiple() && is_shared && !self.force {
            return Err(Error::invalid(
                // Without their names, which the caller may not be allowed to know.
                format!("saved object {} is seen from several namespaces", target.key),
                "delete it with `force` to take it from all of them",
            ));
        }
        Ok(Write::delete(version, self.gone()))
    }
}
