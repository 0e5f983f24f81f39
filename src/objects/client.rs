use std::fmt;
use std::marker::PhantomData;

use super::many::change_typed;
use super::{Object, SecretAttributes, convert};
use crate::Result;
use crate::cluster::Refresh;
use crate::document::{Attributes, Namespace, VersionToken};
use crate::repository::{
    Create, Delete, Draft, Find, Found, FoundStream, ObjectKey, Replace, Repository, SavedObject, SecretChange,
    Unreadable, Update,
};

/// The typed client of the type `T`. Cloning is cheap and shares everything.
///
/// Reads by id see every write at once; [`find`](Self::find) sees it after the index's next refresh.
///
/// The examples of its methods are about this type, whose secret is a `password` that is bound to the user:
///
/// ```
/// use saved_objects::Object;
/// use saved_objects::encryption::Secrets;
/// use serde::{Deserialize, Serialize};
///
/// struct Login;
///
/// #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
/// struct LoginAttributes {
///     user: String,
///     #[serde(default)]
///     uses: i64,
/// }
///
/// impl Object for Login {
///     const TYPE: &'static str = "login";
///     type Attributes = LoginAttributes;
///     type Secrets = Secrets;
/// }
///
/// fn login(user: &str) -> LoginAttributes {
///     LoginAttributes { user: user.to_owned(), uses: 0 }
/// }
/// ```
pub struct Objects<T> {
    repository: Repository,
    namespace: Namespace,
    object: PhantomData<fn() -> T>,
}

/// What is to be changed in an object beside its attributes, and under which condition.
#[derive(Debug, Clone)]
pub struct Change {
    id: String,
    version: Option<VersionToken>,
    secrets: Vec<(String, SecretChange)>,
    refresh: Refresh,
}

impl Change {
    /// The object `id`, whatever is there; its secrets stay.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), version: None, secrets: Vec::new(), refresh: Refresh::Later }
    }

    /// `object`, if it still is as it was read; its secrets stay.
    pub fn of<A>(object: &SavedObject<A>) -> Self {
        Self::new(&object.id).version(object.version)
    }

    /// Changes this version only.
    #[must_use]
    pub fn version(mut self, version: VersionToken) -> Self {
        self.version = Some(version);
        self
    }

    /// Says what becomes of the encrypted attribute `name`.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, change: SecretChange) -> Self {
        self.secrets.push((name.into(), change));
        self
    }

    /// Decides when [`Objects::find`] sees it.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }
}

impl From<&str> for Change {
    fn from(id: &str) -> Self {
        Self::new(id)
    }
}

impl From<String> for Change {
    fn from(id: String) -> Self {
        Self::new(id)
    }
}

impl From<&String> for Change {
    fn from(id: &String) -> Self {
        Self::new(id)
    }
}

impl<T> Clone for Objects<T> {
    fn clone(&self) -> Self {
        Self { repository: self.repository.clone(), namespace: self.namespace.clone(), object: PhantomData }
    }
}

impl<T: Object> fmt::Debug for Objects<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("type", &T::TYPE).field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl<T: Object> Objects<T> {
    /// The client of `T` over a repository, in the default namespace.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// let store = store().await?;
    /// let logins = Objects::<Login>::new(store.repository().clone())?;
    /// assert_eq!(logins.get_opt("nobody").await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the repository does not reach the type.
    pub fn new(repository: Repository) -> Result<Self> {
        repository.check_type(T::TYPE)?;
        Ok(Self { repository, namespace: Namespace::DEFAULT, object: PhantomData })
    }

    /// The client of `T` in another namespace.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// let team = logins.in_namespace(saved_objects::document::Namespace::new("team-a")?);
    /// let created = team.create(&login("kim"), password("s3cret")).await?;
    /// assert_eq!(created.namespaces, ["team-a"]);
    /// assert_eq!(logins.get_opt(&created.id).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn in_namespace(&self, namespace: Namespace) -> Self {
        Self { namespace, ..self.clone() }
    }

    /// The repository beneath.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// assert!(logins.repository().get_opt(&logins.key("nobody")).await?.is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// What the object `id` is called.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// assert_eq!(logins.key("l1").to_string(), "login/l1");
    /// # Ok(())
    /// # }
    /// ```
    pub fn key(&self, id: &str) -> ObjectKey {
        ObjectKey::new(T::TYPE, id).in_namespace(self.namespace.clone())
    }

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

    /// Creates an object; `options` sets its id, references and whatever else [`Create`] knows.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// let created = logins.create_with(&login("kim"), password("s3cret"), |request| request.id("l1").managed(true)).await?;
    /// assert_eq!((created.id.as_str(), created.managed), ("l1", true));
    /// let twice = logins.create_with(&login("lee"), password("other"), |request| request.id("l1")).await;
    /// assert_eq!(twice.map_err(|error| error.kind()), Err(ErrorKind::Conflict));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::create`].
    pub async fn create_with(
        &self,
        attributes: &T::Attributes,
        secrets: T::Secrets,
        options: impl FnOnce(Create) -> Create,
    ) -> Result<SavedObject<T::Attributes>> {
        let request = Create::new(T::TYPE, convert::to_json(attributes)?)
            .namespace(self.namespace.clone())
            .secrets(secrets.into_secrets());
        typed(self.repository.create(options(request)).await?)
    }

    /// The object `id`, without its secrets. One request.
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
    /// Those of [`Repository::get`], and [`Corrupt`](crate::ErrorKind::Corrupt) if the attributes do not fit the struct.
    pub async fn get(&self, id: &str) -> Result<SavedObject<T::Attributes>> {
        typed(self.repository.get(&self.key(id)).await?)
    }

    /// As [`get`](Self::get), with none for an object that is not there.
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
    /// Those of [`Repository::get_opt`], and [`Corrupt`](crate::ErrorKind::Corrupt) if the attributes do not fit the struct.
    pub async fn get_opt(&self, id: &str) -> Result<Option<SavedObject<T::Attributes>>> {
        self.repository.get_opt(&self.key(id)).await?.map(typed).transpose()
    }

    /// The object `id` and its decrypted secrets. One request.
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
    /// Those of [`Repository::get_with_secrets`], and [`Corrupt`](crate::ErrorKind::Corrupt) if the attributes or the
    /// secrets do not fit their structs.
    pub async fn get_with_secrets(&self, id: &str) -> Result<(SavedObject<T::Attributes>, T::Secrets)> {
        let (object, secrets) = self.repository.get_with_secrets(&self.key(id)).await?;
        Ok((typed(object)?, T::Secrets::from_secrets(secrets)?))
    }

    /// As [`get_with_secrets`](Self::get_with_secrets), with none for an object that is not there.
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
    /// Those of [`Repository::get_with_secrets_opt`], and [`Corrupt`](crate::ErrorKind::Corrupt) if the attributes or the
    /// secrets do not fit their structs.
    pub async fn get_with_secrets_opt(&self, id: &str) -> Result<Option<(SavedObject<T::Attributes>, T::Secrets)>> {
        let Some((object, secrets)) = self.repository.get_with_secrets_opt(&self.key(id)).await? else {
            return Ok(None);
        };
        Ok(Some((typed(object)?, T::Secrets::from_secrets(secrets)?)))
    }

    /// One page of objects, those of the client's namespace unless the request names others. One whose attributes do not
    /// fit the struct is in [`Found::unreadable`].
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// for user in ["kim", "lee"] {
    ///     // Only so that the search below sees it at once.
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
    /// Those of [`Repository::find`].
    pub async fn find(&self, request: Find) -> Result<Found<T::Attributes>> {
        let found = self.repository.find(&[T::TYPE], request.or_in_namespace(&self.namespace)).await?;
        let mut typed_found = Found {
            objects: Vec::with_capacity(found.objects.len()),
            total: found.total,
            unreadable: found.unreadable,
            aggregations: found.aggregations,
        };
        for object in found.objects {
            let raw_id = self.repository.raw_id(&object.key())?.to_string();
            match typed(object) {
                Ok(object) => typed_found.objects.push(object),
                Err(error) => typed_found.unreadable.push(Unreadable { raw_id, error }),
            }
        }
        Ok(typed_found)
    }

    /// Everything that the request finds, without a limit and in bounded memory: see [`Repository::stream`]. An object whose
    /// attributes do not fit the struct is an [`Unreadable`].
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
    ///     // Only so that the stream below sees it at once.
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
    /// Those of [`Repository::stream`].
    pub fn stream(&self, request: Find) -> Result<FoundStream<T::Attributes>> {
        let stream = self.repository.stream(&[T::TYPE], request.or_in_namespace(&self.namespace))?;
        let repository = self.repository.clone();
        Ok(stream.map_objects(move |object| {
            let raw_id = repository.raw_id(&object.key()).map(|raw_id| raw_id.to_string()).unwrap_or_default();
            typed(object).map_err(|error| Unreadable { raw_id, error })
        }))
    }

    /// Changes an object: reads it, lets `change` change it, and writes it if nobody wrote it meanwhile; else all of that is
    /// repeated, a few times. What the struct does not know of the attributes stays, and so do secrets, unless the
    /// [`Change`] says something else of them.
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
    /// // Only if it still is as it was read, and with another password.
    /// let password = SecretChange::Set(Secret::text("new"));
    /// logins.update(Change::of(&updated).secret("password", password), |_| ()).await?;
    /// let late = logins.update(Change::of(&updated), |login| login.uses = 0).await;
    /// assert_eq!(late.map_err(|error| error.kind()), Err(ErrorKind::Conflict));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::update`], and [`Corrupt`](crate::ErrorKind::Corrupt) if the attributes do not fit the struct.
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

    /// As [`update`](Self::update), with a change that may refuse: nothing is written then.
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
            .repository
            .update(request, |draft: &mut Draft| {
                for (name, change) in &secrets {
                    draft.secret(name, change.clone());
                }
                change_typed::<T>(draft, &mut change)
            })
            .await?;
        typed(object)
    }

    /// What the repository is asked for, and what becomes of secrets.
    pub(super) fn update_request(&self, change: Change) -> (Update, Vec<(String, SecretChange)>) {
        let Change { id, version, secrets, refresh } = change;
        let request = Update::new(self.key(&id)).refresh(refresh);
        (version.into_iter().fold(request, Update::version), secrets)
    }

    /// The namespace that the client works in.
    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Replaces `object`, if it still is as it was read, by these attributes and secrets and no others. One request.
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
    /// Those of [`Repository::replace`].
    pub async fn replace<A>(
        &self,
        object: &SavedObject<A>,
        attributes: &T::Attributes,
        secrets: T::Secrets,
    ) -> Result<SavedObject<T::Attributes>> {
        let request = Replace::of(object, convert::to_json(attributes)?).secrets(secrets.into_secrets());
        typed(self.repository.replace(request).await?)
    }

    /// As [`replace`](Self::replace), for a caller who has read no more of the object than its version and when it was
    /// created.
    pub(crate) async fn replace_unread(
        &self,
        id: &str,
        version: VersionToken,
        created_at: String,
        attributes: &T::Attributes,
        secrets: T::Secrets,
    ) -> Result<SavedObject<T::Attributes>> {
        let request = Replace::unread(self.key(id), version, created_at, convert::to_json(attributes)?);
        typed(self.repository.replace(request.secrets(secrets.into_secrets())).await?)
    }

    /// Deletes the object `id`; with `version`, only if it still is at that one.
    ///
    /// ```
    /// # #![allow(unused_imports, dead_code)]
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/objects/example.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let logins = store().await?.objects::<Login>()?;
    /// let created = logins.create(&login("kim"), password("s3cret")).await?;
    /// logins.update(&created.id, |login| login.uses += 1).await?;
    /// // It was changed since, so that version is no longer there to be deleted.
    /// let late = logins.delete(&created.id, Some(created.version)).await;
    /// assert_eq!(late.map_err(|error| error.kind()), Err(ErrorKind::Conflict));
    /// logins.delete(&created.id, None).await?;
    /// assert_eq!(logins.get_opt(&created.id).await?, None);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Repository::delete`].
    pub async fn delete(&self, id: &str, version: Option<VersionToken>) -> Result<()> {
        let request = Delete::new(self.key(id));
        self.repository.delete(version.into_iter().fold(request, Delete::version)).await
    }
}

pub(super) fn typed<A: serde::de::DeserializeOwned>(object: SavedObject<Attributes>) -> Result<SavedObject<A>> {
    let key = object.key();
    object.try_map(convert::from_json).map_err(|error| error.context(format!("saved object {key}")))
}
