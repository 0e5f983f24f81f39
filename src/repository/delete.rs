use super::attempts::Attempts;
use super::{Action, ObjectKey, Repository, SavedObject, errors};
use crate::cluster::Refresh;
use crate::document::{NamespaceKind, VersionToken};
use crate::registry::TypeDefinition;
use crate::{Error, Result};

/// An object to be deleted.
#[derive(Debug, Clone)]
pub struct Delete {
    key: ObjectKey,
    version: Option<VersionToken>,
    force: bool,
    refresh: Refresh,
}

impl Delete {
    /// The object called `key`, whatever is there.
    pub fn new(key: impl Into<ObjectKey>) -> Self {
        Self { key: key.into(), version: None, force: false, refresh: Refresh::Later }
    }

    /// `object`, if it still is as it was read.
    pub fn of<A>(object: &SavedObject<A>) -> Self {
        Self::new(object.key()).version(object.version)
    }

    /// Deletes this version only.
    #[must_use]
    pub fn version(mut self, version: VersionToken) -> Self {
        self.version = Some(version);
        self
    }

    /// Deletes the object even if it is seen from other namespaces too.
    #[must_use]
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }

    /// Decides when [`Repository::find`] no longer sees it. Reads by id miss it at once in any case.
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
    /// Deletes an object. With the version of an agnostic object that is one request, else it is read first.
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
    /// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such object that is seen from the key's namespace, or if
    ///   the index does not exist.
    /// - [`Conflict`](crate::ErrorKind::Conflict) if the object no longer is at the version given, or is gone; if none was
    ///   given, if others went on writing it.
    /// - [`Invalid`](crate::ErrorKind::Invalid) if the object is seen from other namespaces too and the request does not say
    ///   [`Delete::force`]; if the type is not available here.
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if the index takes no writes,
    ///   [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown), [`Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn delete(&self, request: impl Into<Delete>) -> Result<()> {
        let request = request.into();
        let definition = self.definition(&request.key.type_name)?;
        self.admit(Action::Delete, &request.key).await?;
        let changed = || errors::changed(&request.key);
        if let (Some(version), NamespaceKind::Agnostic) = (request.version, definition.namespace_kind()) {
            let done = self.delete_document(definition, &request.key, version, request.refresh).await?;
            return done.map(drop).ok_or_else(changed);
        }
        let mut attempts = match request.version {
            Some(_) => Attempts::one(&self.shared.environment),
            None => Attempts::several(&self.shared.environment),
        };
        loop {
            let read = self.version_to_delete(definition, &request).await?;
            if self.delete_document(definition, &request.key, read, request.refresh).await?.is_some() {
                return Ok(());
            }
            if !attempts.wait_for_next().await {
                return Err(changed());
            }
        }
    }

    async fn version_to_delete(&self, definition: &TypeDefinition, request: &Delete) -> Result<VersionToken> {
        let fetched = self.fetch(definition, &request.key).await?.ok_or_else(|| errors::not_found(&request.key))?;
        if request.version.is_some_and(|expected| expected != fetched.version) {
            return Err(errors::changed(&request.key));
        }
        let namespaces = fetched.document.root.namespaces.unwrap_or_default();
        let is_shared = namespaces.len() > 1 || namespaces.iter().any(|name| name == "*");
        if definition.namespace_kind().is_multiple() && is_shared && !request.force {
            return Err(Error::invalid(
                format!("saved object {} is seen from several namespaces: {}", request.key, namespaces.join(", ")),
                "delete it with `force` to take it from all of them",
            ));
        }
        Ok(fetched.version)
    }
}
