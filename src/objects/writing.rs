//! Typed writes of one object.

use super::client::typed;
use super::many::change_typed;
use super::{Change, Object, Objects, SecretAttributes, convert};
use crate::Result;
use crate::document::VersionToken;
use crate::repository::{Create, Delete, Draft, Replace, SavedObject};

impl<T: Object> Objects<T> {
    /// Creates an object with a random id.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// let created = logins.create(&login("kim"), password("s3cret")).await?;
    /// assert_eq!(created.attributes.user, "kim");
    /// assert!(created.unopened.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`create_with`](Self::create_with).
    pub async fn create(&self, attributes: &T::Attributes, secrets: T::Secrets) -> Result<SavedObject<T::Attributes>> {
        self.create_with(attributes, secrets, |request| request).await
    }

    /// Creates an object. `options` sets its id, references and the other options of [`Create`].
    ///
    /// A deleted id can be created again, also by a late copy of this request: see
    /// [`Repository::create`](crate::Repository::create).
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// let (kim, secret) = (login("kim"), password("s3cret"));
    /// let created = logins.create_with(&kim, secret, |request| request.id("l1").managed(true)).await?;
    /// assert_eq!((created.id.as_str(), created.managed), ("l1", true));
    /// let twice = logins.create_with(&login("lee"), password("other"), |request| request.id("l1")).await;
    /// assert_eq!(twice.map_err(|error| error.kind()), Err(ErrorKind::Conflict));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::create`](crate::Repository::create).
    pub async fn create_with(
        &self,
        attributes: &T::Attributes,
        secrets: T::Secrets,
        options: impl FnOnce(Create) -> Create,
    ) -> Result<SavedObject<T::Attributes>> {
        let request = Create::new(T::TYPE, convert::to_json(attributes)?)
            .namespace(self.namespace().clone())
            .secrets(secrets.into_secrets());
        typed(self.repository().create(options(request)).await?)
    }

    /// Changes an object: reads it, calls `change`, and writes it if no other caller wrote it meanwhile. Otherwise it
    /// repeats this, a few times. Attributes that the struct does not have stay, and so do secrets, unless the
    /// [`Change`] changes them.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// let created = logins.create(&login("kim"), password("s3cret")).await?;
    /// let updated = logins.update(&created.id, |login| login.uses += 1).await?;
    /// assert_eq!(updated.attributes.uses, 1);
    ///
    /// // Requires the version that was read, and sets another password.
    /// let password = SecretChange::Set(Secret::text("new"));
    /// logins.update(Change::of(&updated).secret("password", password), |_| ()).await?;
    /// let late = logins.update(Change::of(&updated), |login| login.uses = 0).await;
    /// assert_eq!(late.map_err(|error| error.kind()), Err(ErrorKind::Conflict));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::update`](crate::Repository::update), and [`Corrupt`](crate::ErrorKind::Corrupt) if the
    /// attributes do not fit the struct.
    pub async fn update<F>(&self, target: impl Into<Change>, mut change: F) -> Result<SavedObject<T::Attributes>>
    where
        F: FnMut(&mut T::Attributes),
    {
        self.try_update(target, |attributes| {
            change(attributes);
            Ok(())
        })
        .await
    }

    /// Changes an object like [`update`](Self::update). If `change` returns an error, nothing is written.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// let created = logins.create(&login("kim"), password("s3cret")).await?;
    /// let refused = logins
    ///     .try_update(&created.id, |login| match login.uses {
    ///         0 => Err(saved_objects::Error::invalid("it was never used", "use it first")),
    ///         _ => Ok(login.uses = 0),
    ///     })
    ///     .await;
    /// assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Invalid));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`update`](Self::update), and those of `change`, unchanged.
    pub async fn try_update<F>(&self, target: impl Into<Change>, mut change: F) -> Result<SavedObject<T::Attributes>>
    where
        F: FnMut(&mut T::Attributes) -> Result<()>,
    {
        let (request, secrets) = self.update_request(target.into());
        let object = self
            .repository()
            .update(request, |draft: &mut Draft| {
                for (name, change) in &secrets {
                    draft.secret(name, change.clone());
                }
                change_typed::<T>(draft, &mut change)
            })
            .await?;
        typed(object)
    }

    /// Replaces all attributes and secrets of `object` by these, if it is still at the version that was read. Sends one
    /// request. The client's namespace must see the object.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// let created = logins.create(&login("kim"), password("s3cret")).await?;
    /// let replaced = logins.replace(&created, &login("lee"), password("other")).await?;
    /// assert_eq!((replaced.id, replaced.attributes.user.as_str()), (created.id, "lee"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::replace`](crate::Repository::replace).
    pub async fn replace<A>(
        &self,
        object: &SavedObject<A>,
        attributes: &T::Attributes,
        secrets: T::Secrets,
    ) -> Result<SavedObject<T::Attributes>> {
        let request = Replace::of_seen(object, self.namespace(), convert::to_json(attributes)?)?;
        let request = request.secrets(secrets.into_secrets());
        typed(self.repository().replace(request).await?)
    }

    /// Deletes the object `id`, with `version` only if it is still at that version. For objects that must not come back
    /// see [`Repository::delete`](crate::Repository::delete).
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// let created = logins.create(&login("kim"), password("s3cret")).await?;
    /// logins.update(&created.id, |login| login.uses += 1).await?;
    /// // It was changed since, so the deletion of that version is refused.
    /// let late = logins.delete(&created.id, Some(created.version)).await;
    /// assert_eq!(late.map_err(|error| error.kind()), Err(ErrorKind::Conflict));
    /// logins.delete(&created.id, None).await?;
    /// assert_eq!(logins.get_opt(&created.id).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::delete`](crate::Repository::delete).
    pub async fn delete(&self, id: &str, version: Option<VersionToken>) -> Result<()> {
        let request = Delete::new(self.key(id));
        self.repository().delete(version.into_iter().fold(request, Delete::version)).await
    }
}
