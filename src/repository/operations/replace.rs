//! Replacement: an object gets new attributes and secrets.

use futures::future::Either;

use crate::Result;
use crate::cluster::Refresh;
use crate::document::{Attributes, Namespace, Reference, RootFields, StoredDocument, VersionToken};
use crate::encryption::{Secret, Secrets};
use crate::repository::pipeline::attempts::Attempts;
use crate::repository::pipeline::content::{self, Identity};
use crate::repository::pipeline::errors;
use crate::repository::pipeline::item::Items;
use crate::repository::pipeline::limits;
use crate::repository::pipeline::many::only;
use crate::repository::pipeline::read::Fetched;
use crate::repository::pipeline::target::Target;
use crate::repository::pipeline::write::Sources;
use crate::repository::{Action, ObjectKey, Repository, SavedObject};

/// A request that gives an existing object new content.
#[derive(Debug, Clone)]
pub struct Replace {
    key: ObjectKey,
    content: Replacement,
    refresh: Refresh,
}

/// The new content, and the version that it replaces.
#[derive(Debug, Clone)]
struct Replacement {
    over: Over,
    attributes: Attributes,
    secrets: Secrets,
    references: Option<Vec<Reference>>,
    managed: Option<bool>,
}

/// The version of the object that is replaced.
#[derive(Debug, Clone)]
enum Over {
    Whatever,
    Version(VersionToken),
    /// A version that the caller has read, so that it is not read again.
    Read(Box<ReadObject>),
}

/// What a replacement needs of the object that it replaces.
#[derive(Debug, Clone)]
struct ReadObject {
    root: RootFields,
    /// `None` if the caller cannot have changed it.
    identity: Option<Identity>,
    version: VersionToken,
}

impl Replace {
    /// Creates a request that gives the object at `key` these attributes, at any version. The object is read first.
    pub fn new(key: impl Into<ObjectKey>, attributes: Attributes) -> Self {
        Self::over(key.into(), Over::Whatever, attributes)
    }

    fn over(key: ObjectKey, over: Over, attributes: Attributes) -> Self {
        let content = Replacement { over, attributes, secrets: Secrets::new(), references: None, managed: None };
        Self { key, content, refresh: Refresh::Later }
    }

    /// Like [`of`](Self::of), for a caller that works in `namespace`: the replacement must be allowed there.
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

    /// Creates a request that gives `object` these attributes, if it is still at the version that was read. It is not
    /// read again: one request. If the object is seen from several namespaces, the replacement must be allowed in the
    /// first.
    pub fn of<A>(object: &SavedObject<A>, attributes: Attributes) -> Self {
        let read =
            ReadObject { root: object.root(), identity: Some(object.identity().clone()), version: object.version };
        Self::over(object.key(), Over::Read(Box::new(read)), attributes)
    }

    /// Creates a request that gives the object at `key` these attributes, if it is still at `version`, for a caller
    /// that has read no more of it. Its root fields become those of a new object, except for `created_at`. One request.
    pub(crate) fn unread(key: ObjectKey, version: VersionToken, created_at: String, attributes: Attributes) -> Self {
        let root = RootFields { created_at: Some(created_at), managed: Some(false), ..RootFields::default() };
        // The caller derived the id from the identity.
        let read = ReadObject { root, identity: None, version };
        Self::over(key, Over::Read(Box::new(read)), attributes)
    }

    /// Replaces the object only if it is at this version.
    #[must_use]
    pub fn version(mut self, version: VersionToken) -> Self {
        self.content.over = Over::Version(version);
        self
    }

    /// Sets the value of the encrypted attribute `name`.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, secret: Secret) -> Self {
        self.content.secrets.insert(name.into(), secret);
        self
    }

    /// Sets the values of these encrypted attributes. Encrypted attributes without a value are removed.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.content.secrets.extend(secrets);
        self
    }

    /// Sets the references to other objects. Without this, the references stay.
    #[must_use]
    pub fn references(mut self, references: Vec<Reference>) -> Self {
        self.content.references = Some(references);
        self
    }

    /// Sets whether the platform manages the object. Without this, it stays as it is.
    #[must_use]
    pub fn managed(mut self, managed: bool) -> Self {
        self.content.managed = Some(managed);
        self
    }

    /// Sets when [`Repository::find`] sees the change. Reads by id always see it at once.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }
}

impl Repository {
    /// Replaces all attributes and secrets of an object by the given ones, at the newest model version that this
    /// software knows (even if the stored document is at a newer one). When and by whom the object was created, its
    /// namespaces and its origin stay. Nothing is decrypted, so an object whose secrets cannot be decrypted can be
    /// replaced.
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
    /// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such object that is seen from the key's namespace, or
    ///   if the index does not exist.
    /// - [`Conflict`](crate::ErrorKind::Conflict) if the object is no longer at the given version; without a version,
    ///   if other writers kept changing it.
    /// - [`Invalid`](crate::ErrorKind::Invalid) as for [`create`](Self::create), and if an identity attribute changes.
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if the index takes no writes,
    ///   [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown), [`Unavailable`](crate::ErrorKind::Unavailable).
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "replace"))]
    pub async fn replace(&self, request: Replace) -> Result<SavedObject> {
        let refresh = request.refresh;
        let mut items = Items::with_capacity(1);
        let Replace { key, content, .. } = request;
        items.admit(0, self.admit_target(Action::Update, key).await, content);
        let (read, mut unread) = items.divide(|_, mut content| match content.over {
            Over::Read(read) => {
                content.over = Over::Version(read.version);
                Either::Left((content, read))
            }
            _ => Either::Right(content),
        });
        let mut replaced = self.replace_read(read, refresh).await;
        let mut attempts = Attempts::several(&self.shared.engine.environment);
        while !unread.are_answered() {
            let fetched = self.fetch_seen(unread, |target| Err(errors::not_found(&target.key))).await;
            let read = fetched.each(|target, (content, Fetched { document, version })| {
                if matches!(content.over, Over::Version(expected) if expected != version) {
                    return Err(errors::changed(&target.key));
                }
                let identity = Some(content::identity_of(&target.definition, &document.attributes));
                Ok((content, Box::new(ReadObject { root: document.root, identity, version })))
            });
            unread = self.replace_read(read, refresh).await;
            if !unread.are_answered() && !attempts.wait_for_next().await {
                break;
            }
        }
        replaced.append(unread);
        let mut object = only(replaced.end(1, |target, _| Err(errors::changed(&target.key))))?;
        self.leave_out_unseen(vec![&mut object]).await;
        Ok(object)
    }

    /// Replaces what was read of the open items. An item stays open if another writer was faster, unless its caller
    /// expects a version.
    async fn replace_read(
        &self,
        items: Items<(Replacement, Box<ReadObject>), SavedObject>,
        refresh: Refresh,
    ) -> Items<Replacement, SavedObject> {
        let mut sources = Sources::of(items.open_count(), &self.shared.engine.environment);
        let ready = items.each(|target, (content, read)| {
            let version = read.version;
            let document = self.replacement(target, &content, *read)?;
            Ok((content, self.ready(target, document, Some(version), None, &mut sources)?))
        });
        self.write_objects(ready, refresh).await.each(|target, content| match content.over {
            Over::Whatever => Ok(content),
            Over::Version(_) | Over::Read(_) => Err(errors::changed(&target.key)),
        })
    }

    /// Refuses what [`replace`](Self::replace) of an object that was read would refuse before it sends the document,
    /// because of the document's content or the keys.
    pub(crate) async fn check_replaceable(&self, request: &Replace) -> Result<()> {
        let Over::Read(read) = &request.content.over else { return Ok(()) };
        let target = self.target(request.key.clone())?;
        let document = self.replacement(&target, &request.content, ReadObject::clone(read))?;
        self.check_writable(&target, &document, read.version).await
    }

    /// Returns the document that takes the place of the one that was read.
    fn replacement(&self, target: &Target, new: &Replacement, read: ReadObject) -> Result<StoredDocument> {
        if let Some(identity) = &read.identity {
            content::check_identity(&target.definition, identity, &new.attributes)?;
        }
        if let Some(references) = &new.references {
            limits::check_references(&target.key, references)?;
        }
        let root = RootFields {
            references: new.references.clone().unwrap_or(read.root.references),
            managed: new.managed.or(read.root.managed),
            updated_at: Some(self.shared.engine.environment.now_iso()),
            updated_by: self.actor(),
            ..read.root
        };
        self.seal_whole(target, root, new.attributes.clone(), new.secrets.clone())
    }
}
