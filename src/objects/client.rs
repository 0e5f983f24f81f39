//! The typed client and the change that its updates take.

use std::fmt;
use std::marker::PhantomData;

use super::{Object, convert};
use crate::Result;
use crate::cluster::Refresh;
use crate::document::{Attributes, Namespace, VersionToken};
use crate::repository::{ObjectKey, Repository, SavedObject, SecretChange, Unreadable, Update};

/// The typed client of the type `T`. Cloning is cheap and shares everything.
///
/// Reads by id see every write at once; [`find`](Self::find) sees it after the index's next refresh.
///
/// The examples of its methods use this type, whose secret is a `password` that is bound to the user:
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

/// The object that an update changes, the version it requires, and the changes of secrets.
#[derive(Debug, Clone)]
pub struct Change {
    id: String,
    version: Option<VersionToken>,
    secrets: Vec<(String, SecretChange)>,
    refresh: Refresh,
}

impl Change {
    /// Creates a change of the object `id` at any version. Its secrets stay.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), version: None, secrets: Vec::new(), refresh: Refresh::Later }
    }

    /// Creates a change of `object` at the version that was read. Its secrets stay.
    pub fn of<A>(object: &SavedObject<A>) -> Self {
        Self::new(&object.id).version(object.version)
    }

    /// Requires this version.
    #[must_use]
    pub fn version(mut self, version: VersionToken) -> Self {
        self.version = Some(version);
        self
    }

    /// Sets, removes or keeps the encrypted attribute `name`.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, change: SecretChange) -> Self {
        self.secrets.push((name.into(), change));
        self
    }

    /// Sets when [`Objects::find`] sees the change.
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
    /// Creates the client of `T` over a repository, in the default namespace.
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
    /// [`Invalid`](crate::ErrorKind::Invalid) if the repository does not include the type.
    pub fn new(repository: Repository) -> Result<Self> {
        repository.check_type(T::TYPE)?;
        Ok(Self { repository, namespace: Namespace::DEFAULT, object: PhantomData })
    }

    /// Returns the client of `T` in another namespace.
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

    /// Returns the repository that the client uses.
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

    /// Returns the key of the object `id` in the client's namespace.
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

    /// Returns the request to the repository, and the changes of secrets.
    pub(super) fn update_request(&self, change: Change) -> (Update, Vec<(String, SecretChange)>) {
        let Change { id, version, secrets, refresh } = change;
        let request = Update::new(self.key(&id)).refresh(refresh);
        (version.into_iter().fold(request, Update::version), secrets)
    }

    /// Returns the client's namespace.
    pub(super) fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// Returns an object with its attributes as a struct.
pub(super) fn typed<A: serde::de::DeserializeOwned>(object: SavedObject<Attributes>) -> Result<SavedObject<A>> {
    typed_of_many(object).map_err(|unreadable| unreadable.error)
}

/// Returns an object with its attributes as a struct, or the `_id` and the error for a list of unreadable objects.
pub(super) fn typed_of_many<A: serde::de::DeserializeOwned>(
    mut object: SavedObject<Attributes>,
) -> Result<SavedObject<A>, Unreadable> {
    let attributes = std::mem::take(&mut object.attributes);
    match convert::from_json(attributes) {
        Ok(attributes) => object.try_map(|_| Ok(attributes)),
        Err(error) => {
            let error = error.context(format!("saved object {}", object.key()));
            Err(Unreadable { raw_id: object.raw_id(), error })
        }
    }
}
