//! Updates: an object is read, changed by its caller, and written.

use std::ops::ControlFlow;

use crate::Result;
use crate::cluster::Refresh;
use crate::document::{Attributes, VersionToken};
use crate::repository::pipeline::attempts::Attempts;
use crate::repository::pipeline::change::Draft;
use crate::repository::pipeline::errors;
use crate::repository::pipeline::item::Items;
use crate::repository::pipeline::many::{Named, only, strongest};
use crate::repository::{Action, ObjectKey, Repository, SavedObject};

/// The object to change.
#[derive(Debug, Clone)]
pub struct Update {
    pub(crate) key: ObjectKey,
    pub(in crate::repository) version: Option<VersionToken>,
    pub(in crate::repository) refresh: Refresh,
}

impl Update {
    /// Creates a request for the object at `key`, at any version.
    pub fn new(key: impl Into<ObjectKey>) -> Self {
        Self { key: key.into(), version: None, refresh: Refresh::Later }
    }

    /// Changes the object only if it is at this version.
    #[must_use]
    pub fn version(mut self, version: VersionToken) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets when [`Repository::find`] sees the change. Reads by id always see it at once.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }
}

impl From<&ObjectKey> for Update {
    fn from(key: &ObjectKey) -> Self {
        Self::new(key)
    }
}

impl From<ObjectKey> for Update {
    fn from(key: ObjectKey) -> Self {
        Self::new(key)
    }
}

impl Repository {
    /// Changes an object: reads it, calls `change` with a draft of it, and writes it unless another writer changed it
    /// meanwhile. In that case all of this is repeated, a few times. With [`Update::version`] there is one attempt.
    ///
    /// Secrets that `change` does not set or remove stay. If it touches neither a secret nor an attribute that secrets
    /// are bound to, their ciphertexts stay byte for byte. If it changes a bound attribute, the secrets are decrypted
    /// and encrypted again in the same write.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{ObjectKey, Repository};
    /// # async fn example(repository: &Repository, key: &ObjectKey) -> saved_objects::Result<()> {
    /// let object = repository
    ///     .update(key, |draft| {
    ///         draft.attributes.insert("title".to_owned(), "new".into());
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such object that is seen from the key's namespace, or
    ///   if the index does not exist.
    /// - [`Conflict`](crate::ErrorKind::Conflict) if the object is no longer at the given version; without a version,
    ///   if other writers kept changing it.
    /// - [`Invalid`](crate::ErrorKind::Invalid) if the type does not take an attribute or a secret, if the attributes
    ///   no longer satisfy the create schema, or if an identity attribute changes.
    /// - [`Decrypt`](crate::ErrorKind::Decrypt) if a secret must be encrypted again and cannot be decrypted; not if the
    ///   change sets or removes every secret that the object has.
    /// - [`Incompatible`](crate::ErrorKind::Incompatible) if the document is at a newer model version, and this
    ///   software has no forward schema to read it with, or the index does not record what that version encrypts, or
    ///   records that it binds less than this software does. Otherwise the change is merged into the document: what
    ///   this software does not know of it stays, and so does its version.
    /// - [`Corrupt`](crate::ErrorKind::Corrupt), [`Forbidden`](crate::ErrorKind::Forbidden) if the index takes no
    ///   writes, [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown), [`Unavailable`](crate::ErrorKind::Unavailable).
    /// - The errors of `change`, unchanged.
    pub async fn update<F>(&self, request: impl Into<Update>, mut change: F) -> Result<SavedObject>
    where
        F: FnMut(&mut Draft) -> Result<()>,
    {
        only(self.update_many([request.into()], |_, draft| change(draft)).await)
    }

    /// Merges a JSON merge patch into the attributes of an object, as [`Draft::merge`] does, for platforms that pass
    /// JSON on. Everything else is as for [`update`](Self::update).
    ///
    /// ```no_run
    /// # use saved_objects::document::Attributes;
    /// # use saved_objects::repository::{ObjectKey, Repository};
    /// # async fn example(repository: &Repository, body: &Attributes) -> saved_objects::Result<()> {
    /// let object = repository.patch(&ObjectKey::new("note", "n1"), body).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`update`](Self::update).
    pub async fn patch(&self, request: impl Into<Update>, patch: &Attributes) -> Result<SavedObject> {
        let merge = |draft: &mut Draft| {
            draft.merge(patch);
            Ok(())
        };
        self.update(request, merge).await
    }

    /// Changes objects: reads them, calls `change` with a draft of each, and writes those that no other writer changed
    /// meanwhile. The others are read, changed and written again, a few times. With [`Update::version`] there is one
    /// attempt at an object. Each object is answered in order, and one that cannot be changed does not prevent changing
    /// the others. Each object may be named once.
    ///
    /// A thousand objects are read by one request and written by another. `change` receives the key of the object too.
    ///
    /// ```
    /// # use saved_objects::registry::{Registry, TypeDefinition};
    /// # use saved_objects::repository::{Create, ObjectKey};
    /// # use saved_objects::{ErrorKind, SavedObjects, Start};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let file = r#"{ "type": "note", "group": "notes", "namespace_kind": "agnostic",
    /// #     "mapping": { "dynamic": false, "properties": {} } }"#;
    /// # let version = r#"{ "create": { "type": "object", "properties": { "state": {} } } }"#;
    /// # let types = vec![TypeDefinition::from_json("note.json", file, &[("1.json".to_owned(), version.to_owned())])?];
    /// # let store = SavedObjects::in_memory(Registry::builder().with(types).build()?)?.start(Start::Migrate).await?;
    /// # let repository = store.repository();
    /// # repository.create(Create::new("note", serde_json::Map::new()).id("n1")).await?;
    /// let keys = [ObjectKey::new("note", "n1"), ObjectKey::new("note", "missing")];
    /// let closed = repository
    ///     .update_many(&keys, |_key, draft| {
    ///         draft.attributes.insert("state".to_owned(), "closed".into());
    ///         Ok(())
    ///     })
    ///     .await;
    /// assert!(closed[0].is_ok());
    /// assert!(closed[1].as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`update`](Self::update), for each object. An error of a whole request is the answer for all objects
    /// sent in it.
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "update_many"))]
    pub async fn update_many<U, F>(
        &self,
        requests: impl IntoIterator<Item = U>,
        mut change: F,
    ) -> Vec<Result<SavedObject>>
    where
        U: Into<Update>,
        F: FnMut(&ObjectKey, &mut Draft) -> Result<()>,
    {
        let requests: Vec<Update> = requests.into_iter().map(Into::into).collect();
        let count = requests.len();
        let refresh = strongest(requests.iter().map(|request| request.refresh));
        let (mut items, mut named) = (Items::with_capacity(count), Named::new(count));
        for (at, Update { key, version, .. }) in requests.into_iter().enumerate() {
            items.admit(at, self.admit_once(Action::Update, key, &mut named).await, version);
        }
        let mut updated = Items::with_capacity(count);
        for page in items.pages() {
            updated.append(self.update_page(page, refresh, &mut change).await);
        }
        let mut answers = updated.end(count, |target, _| Err(errors::changed(&target.key)));
        self.leave_out_unseen(answers.iter_mut().flatten().collect()).await;
        answers
    }

    /// Changes the open items, each over the version that its caller expects, if any. Items that are still open lost
    /// against other writers in each attempt.
    async fn update_page(
        &self,
        mut items: Items<Option<VersionToken>, SavedObject>,
        refresh: Refresh,
        change: &mut impl FnMut(&ObjectKey, &mut Draft) -> Result<()>,
    ) -> Items<Option<VersionToken>, SavedObject> {
        let mut attempts = Attempts::several(&self.shared.engine.environment);
        loop {
            let read = self.fetch_seen(items, |target| Err(errors::not_found(&target.key))).await;
            let expected = read.each(|target, (expected, fetched)| match expected {
                Some(expected) if expected != fetched.version => Err(errors::changed(&target.key)),
                _ => Ok((expected, fetched)),
            });
            let changed = self.change_items(expected, change).await;
            let written = self.write_objects(changed, refresh).await;
            items = written.each_or_answer(|target, expected| match expected {
                Some(_) => ControlFlow::Break(Err(errors::changed(&target.key))),
                None => ControlFlow::Continue(None),
            });
            if items.are_answered() || !attempts.wait_for_next().await {
                return items;
            }
        }
    }
}
