use super::attempts::Attempts;
use super::{Action, ObjectKey, Repository, SavedObject, content, errors, limits};
use crate::Result;
use crate::cluster::Refresh;
use crate::document::{Attributes, Namespace, Reference, RootFields, StoredDocument, VersionToken};
use crate::encryption::{Secret, Secrets};
use crate::registry::TypeDefinition;

/// New content for an object that exists.
#[derive(Debug, Clone)]
pub struct Replace {
    key: ObjectKey,
    over: Over,
    attributes: Attributes,
    secrets: Secrets,
    references: Option<Vec<Reference>>,
    managed: Option<bool>,
    refresh: Refresh,
}

/// Which version of the object is replaced.
#[derive(Debug, Clone)]
enum Over {
    Whatever,
    Version(VersionToken),
    /// One that the caller has, so that it need not be read again.
    Read(Box<ReadObject>),
}

/// What a replacement needs to know of the object that it replaces.
#[derive(Debug, Clone)]
struct ReadObject {
    root: RootFields,
    identity: Attributes,
    version: VersionToken,
}

impl Replace {
    /// New attributes for the object called `key`, whatever is there. It is read first.
    pub fn new(key: impl Into<ObjectKey>, attributes: Attributes) -> Self {
        Self {
            key: key.into(),
            over: Over::Whatever,
            attributes,
            secrets: Secrets::new(),
            references: None,
            managed: None,
            refresh: Refresh::Later,
        }
    }

    /// As [`of`](Self::of), for whoever works in `namespace`: that is where it must be allowed.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the object is not seen from there.
    pub(crate) fn of_seen<A>(object: &SavedObject<A>, namespace: &Namespace, attributes: Attributes) -> Result<Self> {
        let request = Self::of(object, attributes);
        if object.namespaces.is_empty()
            || object.namespaces.iter().any(|name| name == namespace.as_str() || name == "*")
        {
            let key = request.key.clone().in_namespace(namespace.clone());
            return Ok(Self { key, ..request });
        }
        Err(errors::not_found(&request.key.in_namespace(namespace.clone())))
    }

    /// New attributes for `object`, if it still is as it was read. It is not read again: one request. Of an object that is seen
    /// from several namespaces it is the first in which it must be allowed.
    pub fn of<A>(object: &SavedObject<A>, attributes: Attributes) -> Self {
        let read = ReadObject { root: object.root(), identity: object.identity().clone(), version: object.version };
        Self { over: Over::Read(Box::new(read)), ..Self::new(object.key(), attributes) }
    }

    /// New attributes for the object called `key`, if it still is at `version`, by a caller who has not read more of it than
    /// that. What it has beside its attributes is as if it were created anew, but for when. One request.
    pub(crate) fn unread(key: ObjectKey, version: VersionToken, created_at: String, attributes: Attributes) -> Self {
        let root = RootFields { created_at: Some(created_at), managed: Some(false), ..RootFields::default() };
        // Whoever derives the id from the identity cannot have changed that.
        let read = ReadObject { root, identity: attributes.clone(), version };
        Self { over: Over::Read(Box::new(read)), ..Self::new(key, attributes) }
    }

    /// Replaces this version only.
    #[must_use]
    pub fn version(mut self, version: VersionToken) -> Self {
        self.over = Over::Version(version);
        self
    }

    /// Gives the encrypted attribute `name` this value.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, secret: Secret) -> Self {
        self.secrets.insert(name.into(), secret);
        self
    }

    /// Gives the encrypted attributes these values. Those not given are removed.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.secrets.extend(secrets);
        self
    }

    /// Lets it refer to these objects; otherwise its references stay.
    #[must_use]
    pub fn references(mut self, references: Vec<Reference>) -> Self {
        self.references = Some(references);
        self
    }

    /// Marks it as managed by the platform or not; otherwise that stays.
    #[must_use]
    pub fn managed(mut self, managed: bool) -> Self {
        self.managed = Some(managed);
        self
    }

    /// Decides when [`Repository::find`] sees it. Reads by id see it at once in any case.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }
}

impl Repository {
    /// Replaces an object's attributes and secrets by those given and no others, at the newest model version that this
    /// software knows (even if the stored document is at a newer one). When and by whom it was created, its namespaces and
    /// its origin stay. Nothing is decrypted, so an object whose secrets do not open can be replaced.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{ObjectKey, Replace, Repository};
    /// # use saved_objects::encryption::Secret;
    /// # async fn example(repository: &Repository, key: &ObjectKey) -> saved_objects::Result<()> {
    /// let object = repository.get(key).await?;
    /// let mut attributes = object.attributes.clone();
    /// attributes.insert("user".to_owned(), "kim".into());
    /// repository.replace(Replace::of(&object, attributes).secret("password", Secret::text("…"))).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such object that is seen from the key's namespace, or if
    ///   the index does not exist.
    /// - [`Conflict`](crate::ErrorKind::Conflict) if the object no longer is at the version given; if none was given, if
    ///   others went on writing it.
    /// - [`Invalid`](crate::ErrorKind::Invalid) as for [`create`](Self::create), and if an identity attribute changes.
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if the index takes no writes,
    ///   [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown), [`Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn replace(&self, request: Replace) -> Result<SavedObject> {
        let definition = self.definition(&request.key.type_name)?;
        let admitted = self.admit(Action::Update, &request.key).await?;
        let mut replaced = admitted.end(self.replace_admitted(definition, request).await)?;
        self.leave_out_unseen(vec![&mut replaced]).await;
        Ok(replaced)
    }

    async fn replace_admitted(&self, definition: &TypeDefinition, request: Replace) -> Result<SavedObject> {
        if let Over::Read(read) = &request.over {
            let done = self.replace_over(definition, &request, read.root.clone(), &read.identity, read.version).await?;
            return done.ok_or_else(|| errors::changed(&request.key));
        }
        let mut attempts = match request.over {
            Over::Version(_) => Attempts::one(&self.shared.environment),
            _ => Attempts::several(&self.shared.environment),
        };
        loop {
            let fetched = self.fetch(definition, &request.key).await?;
            let fetched = fetched.ok_or_else(|| errors::not_found(&request.key))?;
            if matches!(&request.over, Over::Version(expected) if *expected != fetched.version) {
                return Err(errors::changed(&request.key));
            }
            let identity = content::identity_of(definition, &fetched.document.attributes);
            let root = fetched.document.root;
            if let Some(object) = self.replace_over(definition, &request, root, &identity, fetched.version).await? {
                return Ok(object);
            }
            if !attempts.wait_for_next().await {
                return Err(errors::changed(&request.key));
            }
        }
    }

    /// Refuses what [`replace`](Self::replace) over an object that was read would refuse before it sends the document: for what is in
    /// it, or for the keys.
    pub(crate) async fn check_replaceable(&self, request: &Replace) -> Result<()> {
        let definition = self.definition(&request.key.type_name)?;
        let Over::Read(read) = &request.over else { return Ok(()) };
        let document = self.replacement(definition, request, read.root.clone(), &read.identity)?;
        self.check_writable(definition, &request.key, &document, read.version).await
    }

    /// Replaces the document that has these root fields; none if it no longer is at `read`.
    async fn replace_over(
        &self,
        definition: &TypeDefinition,
        request: &Replace,
        root: RootFields,
        identity: &Attributes,
        read: VersionToken,
    ) -> Result<Option<SavedObject>> {
        let document = self.replacement(definition, request, root, identity)?;
        match self.replace_document(definition, &request.key, &document, read, request.refresh).await? {
            Some(version) => self.updated(definition, &request.key, document, version, None).map(Some),
            None => Ok(None),
        }
    }

    /// The document that a request makes of the one that has these root fields.
    fn replacement(
        &self,
        definition: &TypeDefinition,
        request: &Replace,
        root: RootFields,
        identity: &Attributes,
    ) -> Result<StoredDocument> {
        content::check_identity(definition, identity, &request.attributes)?;
        if let Some(references) = &request.references {
            limits::check_references(&request.key, references)?;
        }
        let root = RootFields {
            references: request.references.clone().unwrap_or(root.references),
            managed: request.managed.or(root.managed),
            updated_at: Some(self.shared.environment.now_iso()),
            updated_by: None,
            ..root
        };
        self.seal_whole(definition, &request.key, root, request.attributes.clone(), request.secrets.clone())
    }
}
