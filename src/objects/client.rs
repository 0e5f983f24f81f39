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
}

pub(super) fn typed<A: serde::de::DeserializeOwned>(object: SavedObject<Attributes>) -> Result<SavedObject<A>> {
    typed_of_many(object).map_err(|unreadable| unreadable.error)
}

/// As [`typed`], of an object among others.
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
