use super::attempts::Attempts;
use super::write::Written;
use super::{Action, ObjectKey, Repository, SavedObject, content, errors, read};
use crate::Result;
use crate::cluster::Refresh;
use crate::document::{
    Attributes, Namespace, NamespaceKind, RawId, Reference, RootFields, StoredDocument, VersionToken,
};
use crate::encryption::{Secret, Secrets};
use crate::registry::TypeDefinition;

/// An object to be created.
///
/// ```
/// # use saved_objects::repository::Create;
/// # use serde_json::json;
/// let request = Create::new("note", json!({ "title": "Hello" }).as_object().cloned().unwrap_or_default()).id("n1");
/// ```
#[derive(Debug, Clone)]
pub struct Create {
    pub(super) type_name: String,
    id: Option<String>,
    namespace: Namespace,
    attributes: Attributes,
    secrets: Secrets,
    references: Vec<Reference>,
    managed: bool,
    origin_id: Option<String>,
    overwrite: bool,
    refresh: Refresh,
}

impl Create {
    /// An object of type `type_name` with these attributes, in the default namespace, with a random id.
    pub fn new(type_name: impl Into<String>, attributes: Attributes) -> Self {
        Self {
            type_name: type_name.into(),
            id: None,
            namespace: Namespace::DEFAULT,
            attributes,
            secrets: Secrets::new(),
            references: Vec::new(),
            managed: false,
            origin_id: None,
            overwrite: false,
            refresh: Refresh::Later,
        }
    }

    /// Gives it this id.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Puts it into this namespace; agnostic types ignore it.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// Gives the encrypted attribute `name` this value.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, secret: Secret) -> Self {
        self.secrets.insert(name.into(), secret);
        self
    }

    /// Gives the encrypted attributes these values.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.secrets.extend(secrets);
        self
    }

    /// Lets it refer to these objects.
    #[must_use]
    pub fn references(mut self, references: Vec<Reference>) -> Self {
        self.references = references;
        self
    }

    /// Marks it as managed by the platform.
    #[must_use]
    pub fn managed(mut self, managed: bool) -> Self {
        self.managed = managed;
        self
    }

    /// Says which id it had where it came from.
    #[must_use]
    pub fn origin_id(mut self, origin_id: impl Into<String>) -> Self {
        self.origin_id = Some(origin_id.into());
        self
    }

    /// Replaces the object if it exists already: its attributes, secrets and references become these and no others, when
    /// and by whom it was created stays.
    #[must_use]
    pub fn overwrite(mut self) -> Self {
        self.overwrite = true;
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
    /// Creates an object at the newest model version.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{Create, Repository};
    /// # use saved_objects::document::Attributes;
    /// # use saved_objects::encryption::Secret;
    /// # async fn example(repository: &Repository, attributes: Attributes) -> saved_objects::Result<()> {
    /// let request = Create::new("credential", attributes).secret("password", Secret::text("…"));
    /// let object = repository.create(request).await?;
    /// println!("{} {}", object.id, object.version);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Conflict`](crate::ErrorKind::Conflict) if an object has the id and the request does not say
    ///   [`Create::overwrite`]; with it, if that object is not seen from the namespace, or if others went on writing it.
    /// - [`Invalid`](crate::ErrorKind::Invalid) if the id, an attribute or a secret is not one that the type takes, or if
    ///   the attributes do not satisfy the create schema: the message lists each place. Nothing is written then.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if the index does not exist.
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if the index takes no writes,
    ///   [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown), [`Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn create(&self, request: Create) -> Result<SavedObject> {
        let definition = self.definition(&request.type_name)?;
        self.admit_to(Action::Create, definition.name(), request.id.as_deref(), &request.namespace).await?;
        let id = match &request.id {
            Some(id) => id.clone(),
            None => self.shared.environment.random_uuid()?.to_string(),
        };
        let key = ObjectKey::new(definition.name(), id).in_namespace(request.namespace.clone());
        // An id that cannot be stored is refused as such before one that the type does not take.
        RawId::new(definition.name(), definition.namespace_kind(), &key.namespace, &key.id)?;
        content::check_new_id(definition, &key.id)?;
        let root = self.new_root(definition, &request);
        let Create { attributes, secrets, .. } = request;
        let document = self.seal_whole(definition, &key, root, attributes, secrets)?;
        if request.overwrite {
            return self.create_or_overwrite(definition, &key, document, request.refresh).await;
        }
        match self.create_document(definition, &key, &document, request.refresh).await? {
            Written::Done(version) => self.written(definition, &key, document, version),
            Written::Conflict => Err(errors::exists_already(&key)),
            Written::Moved(_) => Err(errors::changed(&key)),
        }
    }

    async fn create_or_overwrite(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        document: StoredDocument,
        refresh: Refresh,
    ) -> Result<SavedObject> {
        let mut attempts = Attempts::several(&self.shared.environment);
        loop {
            if let Written::Done(version) = self.create_document(definition, key, &document, refresh).await? {
                return self.written(definition, key, document, version);
            }
            // It may be gone again by now; then the next attempt creates it.
            if let Some(fetched) = self.fetch_existing(definition, key).await? {
                let replacement = overwritten(definition, &fetched.document, document.clone())?;
                let read = fetched.version;
                if let Some(version) = self.replace_document(definition, key, &replacement, read, refresh).await? {
                    return self.written(definition, key, replacement, version);
                }
            }
            if !attempts.wait_for_next().await {
                return Err(errors::changed(key));
            }
        }
    }

    /// The document whose id stands in the way of creating `key`.
    async fn fetch_existing(&self, definition: &TypeDefinition, key: &ObjectKey) -> Result<Option<read::Fetched>> {
        let found = self.fetch_any(definition, key).await?;
        match found {
            Some(fetched) if !read::is_asked_for(definition, key, &fetched.document) => {
                Err(errors::exists_elsewhere(key))
            }
            found => Ok(found),
        }
    }

    fn new_root(&self, definition: &TypeDefinition, request: &Create) -> RootFields {
        let kind = definition.namespace_kind();
        let now = self.shared.environment.now_iso();
        RootFields {
            namespace: match kind {
                NamespaceKind::Single => request.namespace.id_form().map(str::to_owned),
                NamespaceKind::Agnostic | NamespaceKind::Multiple | NamespaceKind::MultipleIsolated => None,
            },
            namespaces: kind.is_multiple().then(|| vec![request.namespace.to_string()]),
            origin_id: request.origin_id.clone(),
            references: request.references.clone(),
            managed: Some(request.managed),
            created_at: Some(now.clone()),
            updated_at: Some(now),
            ..RootFields::default()
        }
    }

    /// A document that was just written, as callers see it.
    pub(super) fn written(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        document: StoredDocument,
        version: VersionToken,
    ) -> Result<SavedObject> {
        let model_version = definition.latest().number;
        let loaded = read::Loaded { document, version, model_version, newer: None, unopened: None };
        self.view(definition, &key.id, loaded)
    }
}

/// `new` in the place of `old`: who sees it and where it came from is not the writer's to change.
fn overwritten(definition: &TypeDefinition, old: &StoredDocument, mut new: StoredDocument) -> Result<StoredDocument> {
    content::check_identity(definition, &old.attributes, &new.attributes)?;
    new.root = RootFields {
        references: new.root.references,
        managed: new.root.managed,
        origin_id: new.root.origin_id.or_else(|| old.root.origin_id.clone()),
        type_migration_version: new.root.type_migration_version,
        updated_at: new.root.updated_at,
        updated_by: None,
        ..old.root.clone()
    };
    Ok(new)
}
