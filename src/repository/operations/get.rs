//! Reads by id: one object or many, and one with its secrets.

use futures::StreamExt;

use crate::Result;
use crate::encryption::Secrets;
use crate::repository::pipeline::errors;
use crate::repository::pipeline::item::Items;
use crate::repository::pipeline::many::only;
use crate::repository::{Action, ObjectKey, Repository, SavedObject};

/// The pages that are requested or read at the same time.
const IN_FLIGHT: usize = 2;

impl Repository {
    /// Returns the object at `key`, without its secrets. One request, which sees every write so far.
    ///
    /// A document at an older model version is converted to the newest one for the reader. A document at a newer
    /// version is projected onto what this software knows. The stored document stays as it is.
    ///
    /// # Errors
    /// - [`NotFound`](crate::ErrorKind::NotFound) if no such object is seen from the key's namespace, or if the index
    ///   does not exist.
    /// - [`Corrupt`](crate::ErrorKind::Corrupt) if the document is not a well-formed object or a transform refuses it.
    /// - [`Incompatible`](crate::ErrorKind::Incompatible) if this software cannot read the document's version.
    /// - [`Invalid`](crate::ErrorKind::Invalid) if the type is not available here or the id cannot be one,
    ///   [`Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn get(&self, key: &ObjectKey) -> Result<SavedObject> {
        self.get_opt(key).await?.ok_or_else(|| errors::not_found(key))
    }

    /// Like [`get`](Self::get), but returns `None` for an object that does not exist.
    ///
    /// # Errors
    /// Those of [`get`](Self::get). [`NotFound`](crate::ErrorKind::NotFound) means that the index does not exist.
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "get_opt"))]
    pub async fn get_opt(&self, key: &ObjectKey) -> Result<Option<SavedObject>> {
        let items = self.admit_each(Action::Get, &[key]).await;
        let mut items = self.view_items(self.fetch_seen(items, |_| Ok(None)).await).await;
        self.leave_out_unseen(items.states().map(|(_, object)| object).collect()).await;
        only(items.end(1, |_, ((), object)| Ok(Some(object))))
    }

    /// Returns the objects at `keys`, without their secrets, each answered in order. An object that cannot be read does
    /// not prevent reading the others. One request for a thousand objects of an index group, which sees every write so
    /// far.
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
    /// Those of [`get`](Self::get), for each object. An error of a whole request is the answer for all objects that it
    /// asked for.
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "get_many"))]
    pub async fn get_many<'a>(&self, keys: impl IntoIterator<Item = &'a ObjectKey>) -> Vec<Result<SavedObject>> {
        let keys: Vec<&ObjectKey> = keys.into_iter().collect();
        let asked = self.admit_each(Action::Get, &keys).await;
        let reading = |page| async {
            let read = self.fetch_seen(page, |target| Err(errors::not_found(&target.key))).await;
            self.view_items(read).await
        };
        let mut pages = futures::stream::iter(asked.pages()).map(reading).buffered(IN_FLIGHT);
        let mut items = Items::with_capacity(keys.len());
        while let Some(page) = pages.next().await {
            items.append(page);
        }
        drop(pages);
        self.leave_out_unseen(items.states().map(|(_, object)| object).collect()).await;
        items.end(keys.len(), |_, ((), object)| Ok(object))
    }

    /// Returns the object at `key`, and its decrypted secrets by attribute. One request.
    ///
    /// # Errors
    /// Those of [`get`](Self::get), and [`Decrypt`](crate::ErrorKind::Decrypt) if a secret cannot be decrypted.
    pub async fn get_with_secrets(&self, key: &ObjectKey) -> Result<(SavedObject, Secrets)> {
        self.get_with_secrets_opt(key).await?.ok_or_else(|| errors::not_found(key))
    }

    /// Like [`get_with_secrets`](Self::get_with_secrets), but returns `None` for an object that does not exist.
    ///
    /// # Errors
    /// Those of [`get_opt`](Self::get_opt), and [`Decrypt`](crate::ErrorKind::Decrypt) if a secret cannot be decrypted.
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "get_with_secrets_opt"))]
    pub async fn get_with_secrets_opt(&self, key: &ObjectKey) -> Result<Option<(SavedObject, Secrets)>> {
        let items = self.admit_each(Action::GetSecrets, &[key]).await;
        let mut items = self.open_items(self.fetch_seen(items, |_| Ok(None)).await).await;
        self.leave_out_unseen(items.states().map(|(object, _)| object).collect()).await;
        only(items.end(1, |_, found| Ok(Some(found))))
    }
}
