use super::many::only;
use super::{Repository, SavedObject};
use crate::Result;
use crate::cluster::Refresh;
use crate::document::{Attributes, Namespace, Reference};
use crate::encryption::{Secret, Secrets};

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
    pub(super) id: Option<String>,
    pub(super) namespace: Namespace,
    pub(super) content: Content,
    pub(super) refresh: Refresh,
}

/// What an object to be created is, whatever it is called.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) attributes: Attributes,
    pub(super) secrets: Secrets,
    pub(super) references: Vec<Reference>,
    pub(super) managed: bool,
    pub(super) origin_id: Option<String>,
    pub(super) overwrite: bool,
}

impl Content {
    pub(super) fn new(attributes: Attributes) -> Self {
        Self {
            attributes,
            secrets: Secrets::new(),
            references: Vec::new(),
            managed: false,
            origin_id: None,
            overwrite: false,
        }
    }
}

impl Create {
    /// An object of type `type_name` with these attributes, in the default namespace, with a random id.
    pub fn new(type_name: impl Into<String>, attributes: Attributes) -> Self {
        Self {
            type_name: type_name.into(),
            id: None,
            namespace: Namespace::DEFAULT,
            content: Content::new(attributes),
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
        self.content.secrets.insert(name.into(), secret);
        self
    }

    /// Gives the encrypted attributes these values.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.content.secrets.extend(secrets);
        self
    }

    /// Lets it refer to these objects.
    #[must_use]
    pub fn references(mut self, references: Vec<Reference>) -> Self {
        self.content.references = references;
        self
    }

    /// Marks it as managed by the platform.
    #[must_use]
    pub fn managed(mut self, managed: bool) -> Self {
        self.content.managed = managed;
        self
    }

    /// Says which id it had where it came from.
    #[must_use]
    pub fn origin_id(mut self, origin_id: impl Into<String>) -> Self {
        self.content.origin_id = Some(origin_id.into());
        self
    }

    /// Replaces the object if it exists already: its attributes, secrets and references become these and no others, when
    /// and by whom it was created stays.
    #[must_use]
    pub fn overwrite(mut self) -> Self {
        self.content.overwrite = true;
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
    /// If the answer is lost, this looks whether the object is there, and repeats what did not happen. A creation has no other
    /// condition than that nothing has the id: a network that delivers it twice, or so late that it was repeated, creates the
    /// object anew if it was deleted between the two, and after a conflict, too. [`delete`](Self::delete) says what to do about objects that must not come
    /// back.
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
        only(self.create_many([request]).await)
    }
}
