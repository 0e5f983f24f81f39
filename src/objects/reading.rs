//! Typed reads: by id, by a search, and as a stream.

use super::client::{typed, typed_of_many};
use super::{Object, Objects, SecretAttributes};
use crate::Result;
use crate::repository::{Find, Found, FoundStream, SavedObject, Unreadable};

/// An object and its secrets.
type WithSecrets<T> = (SavedObject<<T as Object>::Attributes>, <T as Object>::Secrets);

impl<T: Object> Objects<T> {
    /// Returns the object `id` without its secrets. Sends one request.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// let created = logins.create(&login("kim"), password("s3cret")).await?;
    /// assert_eq!(logins.get(&created.id).await?, created);
    /// assert_eq!(logins.get("nobody").await.map_err(|error| error.kind()), Err(ErrorKind::NotFound));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::get`](crate::Repository::get), and [`Corrupt`](crate::ErrorKind::Corrupt)
    /// if the attributes do not fit the struct.
    pub async fn get(&self, id: &str) -> Result<SavedObject<T::Attributes>> {
        typed(self.repository().get(&self.key(id)).await?)
    }

    /// Returns the object `id` like [`get`](Self::get), or `None` if it does not exist.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// assert_eq!(logins.get_opt("nobody").await?, None);
    /// let created = logins.create(&login("kim"), password("s3cret")).await?;
    /// assert_eq!(logins.get_opt(&created.id).await?, Some(created));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::get_opt`](crate::Repository::get_opt), and [`Corrupt`](crate::ErrorKind::Corrupt)
    /// if the attributes do not fit the struct.
    pub async fn get_opt(&self, id: &str) -> Result<Option<SavedObject<T::Attributes>>> {
        self.repository().get_opt(&self.key(id)).await?.map(typed).transpose()
    }

    /// Returns the object `id` and its decrypted secrets. Sends one request.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// let created = logins.create(&login("kim"), password("s3cret")).await?;
    /// let (object, secrets) = logins.get_with_secrets(&created.id).await?;
    /// assert_eq!((object, &secrets["password"]), (created, &Secret::text("s3cret")));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::get_with_secrets`](crate::Repository::get_with_secrets), and
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the attributes or the secrets do not fit their structs.
    pub async fn get_with_secrets(&self, id: &str) -> Result<WithSecrets<T>> {
        let (object, secrets) = self.repository().get_with_secrets(&self.key(id)).await?;
        Ok((typed(object)?, T::Secrets::from_secrets(secrets)?))
    }

    /// Returns the object `id` like [`get_with_secrets`](Self::get_with_secrets), or `None` if it does not exist.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// assert!(logins.get_with_secrets_opt("nobody").await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::get_with_secrets_opt`](crate::Repository::get_with_secrets_opt), and
    /// [`Corrupt`](crate::ErrorKind::Corrupt) if the attributes or the secrets do not fit their structs.
    pub async fn get_with_secrets_opt(&self, id: &str) -> Result<Option<WithSecrets<T>>> {
        let Some((object, secrets)) = self.repository().get_with_secrets_opt(&self.key(id)).await? else {
            return Ok(None);
        };
        Ok(Some((typed(object)?, T::Secrets::from_secrets(secrets)?)))
    }

    /// Returns one page of objects, of the client's namespace unless the request names others. Objects whose attributes
    /// do not fit the struct are in [`Found::unreadable`].
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// for user in ["kim", "lee"] {
    ///     // The search below sees it at once.
    ///     let now = saved_objects::cluster::Refresh::WaitFor;
    ///     logins.create_with(&login(user), password("s3cret"), |request| request.refresh(now)).await?;
    /// }
    /// let found = logins.find(Find::new().filter(Filter::equals("user", "kim"))).await?;
    /// assert_eq!((found.total, found.objects[0].attributes.user.as_str()), (1, "kim"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::find`](crate::Repository::find).
    pub async fn find(&self, request: Find) -> Result<Found<T::Attributes>> {
        let found = self.repository().find(&[T::TYPE], request.or_in_namespace(self.namespace())).await?;
        let mut typed_found = Found {
            objects: Vec::with_capacity(found.objects.len()),
            total: found.total,
            unreadable: found.unreadable,
            aggregations: found.aggregations,
        };
        for object in found.objects {
            match typed_of_many(object) {
                Ok(object) => typed_found.objects.push(object),
                Err(unreadable) => typed_found.unreadable.push(unreadable),
            }
        }
        Ok(typed_found)
    }

    /// Returns everything that the request finds, without a limit and in bounded memory: see
    /// [`Repository::stream`](crate::Repository::stream). An object whose attributes do not fit the struct is an
    /// [`Unreadable`].
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// use futures::TryStreamExt;
    ///
    /// for user in ["kim", "lee"] {
    ///     // The stream below sees it at once.
    ///     let now = saved_objects::cluster::Refresh::WaitFor;
    ///     logins.create_with(&login(user), password("s3cret"), |request| request.refresh(now)).await?;
    /// }
    /// let mut users = Vec::new();
    /// let mut stream = logins.stream(Find::new())?;
    /// while let Some(item) = stream.try_next().await? {
    ///     match item {
    ///         Ok(login) => users.push(login.attributes.user),
    ///         Err(unreadable) => eprintln!("{}: {}", unreadable.raw_id, unreadable.error),
    ///     }
    /// }
    /// users.sort();
    /// assert_eq!(users, ["kim", "lee"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::stream`](crate::Repository::stream).
    pub fn stream(&self, request: Find) -> Result<FoundStream<SavedObject<T::Attributes>>> {
        let stream = self.repository().stream(&[T::TYPE], request.or_in_namespace(self.namespace()))?;
        Ok(stream.map_objects(typed_of_many))
    }

    /// Returns everything that the request finds, with its decrypted secrets. Otherwise like [`stream`](Self::stream);
    /// see [`Repository::stream_with_secrets`](crate::Repository::stream_with_secrets). An object whose attributes or
    /// secrets do not fit their structs is an [`Unreadable`].
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// use futures::TryStreamExt;
    ///
    /// // The stream below sees the object at once.
    /// let now = saved_objects::cluster::Refresh::WaitFor;
    /// logins.create_with(&login("kim"), password("s3cret"), |request| request.refresh(now)).await?;
    /// let mut stream = logins.stream_with_secrets(Find::new())?;
    /// while let Some(item) = stream.try_next().await? {
    ///     match item {
    ///         Ok((_login, secrets)) => assert_eq!(secrets["password"], Secret::text("s3cret")),
    ///         Err(unreadable) => eprintln!("{}: {}", unreadable.raw_id, unreadable.error),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::stream_with_secrets`](crate::Repository::stream_with_secrets).
    pub fn stream_with_secrets(&self, request: Find) -> Result<FoundStream<WithSecrets<T>>> {
        let request = request.or_in_namespace(self.namespace());
        let stream = self.repository().stream_with_secrets(&[T::TYPE], request)?;
        Ok(stream.map_objects(|(object, secrets)| {
            let object = typed_of_many(object)?;
            match T::Secrets::from_secrets(secrets) {
                Ok(secrets) => Ok((object, secrets)),
                Err(error) => Err(Unreadable { raw_id: object.raw_id(), error }),
            }
        }))
    }
}
