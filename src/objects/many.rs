//! Operations on many objects, and `upsert`.

use super::client::typed;
use super::{Change, Object, Objects, SecretAttributes, convert};
use crate::Result;
use crate::repository::{Create, Delete, Draft, ObjectKey, SavedObject};

impl<T: Object> Objects<T> {
    /// Creates objects with random ids. Returns a result for each, in order.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins: Objects<Login> = store().await?.objects()?;
    /// let created = logins.create_many(["kim", "ada"].map(|user| (login(user), password("…")))).await;
    /// let users = created.into_iter().map(|login| Ok(login?.attributes.user));
    /// let users: Vec<String> = users.collect::<saved_objects::Result<_>>()?;
    /// assert_eq!(users, ["kim", "ada"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`create_many_with`](Self::create_many_with).
    pub async fn create_many(
        &self,
        objects: impl IntoIterator<Item = (T::Attributes, T::Secrets)>,
    ) -> Vec<Result<SavedObject<T::Attributes>>> {
        self.create_many_with(objects, |_, request| request).await
    }

    /// Creates objects. `options` sets the id of each, its references and the other options of [`Create`]. Returns a
    /// result for each, in order.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins: Objects<Login> = store().await?.objects()?;
    /// let new = ["kim", "ada", "kim"].map(|user| (login(user), password("…")));
    /// let created = logins.create_many_with(new, |login, request| request.id(&login.user)).await;
    /// assert!(created[0].is_ok() && created[1].is_ok());
    /// // The second kim is refused, and the others are created.
    /// assert!(created[2].as_ref().is_err_and(|error| error.kind() == ErrorKind::Invalid));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::create_many`](crate::Repository::create_many), for each object.
    pub async fn create_many_with(
        &self,
        objects: impl IntoIterator<Item = (T::Attributes, T::Secrets)>,
        mut options: impl FnMut(&T::Attributes, Create) -> Create,
    ) -> Vec<Result<SavedObject<T::Attributes>>> {
        let mut refused = Vec::new();
        let mut requests = Vec::new();
        for (at, (attributes, secrets)) in objects.into_iter().enumerate() {
            match convert::to_json(&attributes) {
                Ok(json) => {
                    let request =
                        Create::new(T::TYPE, json).namespace(self.namespace().clone()).secrets(secrets.into_secrets());
                    requests.push(options(&attributes, request));
                }
                Err(error) => refused.push((at, error)),
            }
        }
        let mut created: Vec<_> = each_typed(self.repository().create_many(requests).await);
        for (at, error) in refused {
            created.insert(at, Err(error));
        }
        created
    }

    /// Returns the objects with these ids without their secrets: a result for each, in order. Sends one request for
    /// each thousand.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins: Objects<Login> = store().await?.objects()?;
    /// let kim = logins.create(&login("kim"), password("…")).await?;
    /// let read = logins.get_many([kim.id.as_str(), "missing"]).await;
    /// assert_eq!(read[0].as_ref().ok(), Some(&kim));
    /// assert!(read[1].as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::get_many`](crate::Repository::get_many), for each object, and
    /// [`Corrupt`](crate::ErrorKind::Corrupt) for one whose attributes do not fit the struct.
    pub async fn get_many<I: AsRef<str>>(
        &self,
        ids: impl IntoIterator<Item = I>,
    ) -> Vec<Result<SavedObject<T::Attributes>>> {
        let keys: Vec<ObjectKey> = ids.into_iter().map(|id| self.key(id.as_ref())).collect();
        each_typed(self.repository().get_many(&keys).await)
    }

    /// Changes objects: reads them, calls `change` with the id and the attributes of each, and writes those that no
    /// other caller wrote meanwhile. The others are read and changed again, a few times. Returns a result for each, in
    /// order.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins: Objects<Login> = store().await?.objects()?;
    /// let kim = logins.create(&login("kim"), password("…")).await?;
    /// let ada = logins.create(&login("ada"), password("…")).await?;
    /// let used = logins.update_many([&kim.id, &ada.id], |_id, login| login.uses += 1).await;
    /// assert!(used.iter().all(|login| login.as_ref().is_ok_and(|login| login.attributes.uses == 1)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::update_many`](crate::Repository::update_many), for each object, and
    /// [`Corrupt`](crate::ErrorKind::Corrupt) for one whose attributes do not fit the struct.
    pub async fn update_many<C, F>(
        &self,
        targets: impl IntoIterator<Item = C>,
        mut change: F,
    ) -> Vec<Result<SavedObject<T::Attributes>>>
    where
        C: Into<Change>,
        F: FnMut(&str, &mut T::Attributes),
    {
        let mut requests = Vec::new();
        let mut secrets = std::collections::BTreeMap::new();
        for target in targets {
            let (request, of_secrets) = self.update_request(target.into());
            // A second target of the same object is refused, so its changes of secrets must not be used.
            secrets.entry(request.key.id.clone()).or_insert(of_secrets);
            requests.push(request);
        }
        let updated = self.repository().update_many(requests, |key, draft: &mut Draft| {
            for (name, change) in secrets.get(&key.id).into_iter().flatten() {
                draft.secret(name, change.clone());
            }
            change_typed::<T>(draft, |attributes| {
                change(&key.id, attributes);
                Ok(())
            })
        });
        each_typed(updated.await)
    }

    /// Deletes the objects with these ids. Returns a result for each, in order.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins: Objects<Login> = store().await?.objects()?;
    /// let kim = logins.create(&login("kim"), password("…")).await?;
    /// let deleted = logins.delete_many([kim.id.as_str(), "missing"]).await;
    /// assert!(deleted[0].is_ok());
    /// assert!(deleted[1].as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::delete_many`](crate::Repository::delete_many), for each object.
    pub async fn delete_many<I: AsRef<str>>(&self, ids: impl IntoIterator<Item = I>) -> Vec<Result<()>> {
        let requests: Vec<Delete> = ids.into_iter().map(|id| Delete::new(self.key(id.as_ref()))).collect();
        self.repository().delete_many(requests).await
    }

    /// Creates the object `id` with these attributes and secrets, or calls `change` if it exists; its secrets stay in
    /// that case. Nothing is overwritten unread: if others write meanwhile, it reads and decides again, a few times.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins: Objects<Login> = store().await?.objects()?;
    /// let uses = async || logins.upsert("kim", &login("kim"), password("…"), |login| login.uses += 1).await;
    /// assert_eq!(uses().await?.attributes.uses, 0, "created");
    /// assert_eq!(uses().await?.attributes.uses, 1, "changed");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::upsert`](crate::Repository::upsert), and [`Corrupt`](crate::ErrorKind::Corrupt) if the
    /// stored attributes do not fit the struct.
    pub async fn upsert<F>(
        &self,
        id: &str,
        attributes: &T::Attributes,
        secrets: T::Secrets,
        mut change: F,
    ) -> Result<SavedObject<T::Attributes>>
    where
        F: FnMut(&mut T::Attributes),
    {
        let request = Create::new(T::TYPE, convert::to_json(attributes)?)
            .id(id)
            .namespace(self.namespace().clone())
            .secrets(secrets.into_secrets());
        let changing = |draft: &mut Draft| {
            change_typed::<T>(draft, |attributes| {
                change(attributes);
                Ok(())
            })
        };
        typed(self.repository().upsert(request, changing).await?)
    }
}

fn each_typed<A: serde::de::DeserializeOwned>(objects: Vec<Result<SavedObject>>) -> Vec<Result<SavedObject<A>>> {
    objects.into_iter().map(|object| object.and_then(typed)).collect()
}

/// Changes the attributes of a draft that the struct has.
pub(super) fn change_typed<T: Object>(
    draft: &mut Draft,
    change: impl FnOnce(&mut T::Attributes) -> Result<()>,
) -> Result<()> {
    let mut attributes: T::Attributes = convert::from_json(draft.attributes.clone())?;
    let before = convert::to_json(&attributes)?;
    change(&mut attributes)?;
    crate::repository::difference::apply(&before, &convert::to_json(&attributes)?, &mut draft.attributes);
    Ok(())
}
