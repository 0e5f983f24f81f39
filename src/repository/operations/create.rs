//! Creation of one object or many.

use std::any::Any;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use serde::Serialize;
use serde_json::Value;

use crate::cluster::Refresh;
use crate::document::{Attributes, Namespace, NamespaceKind, Reference, RootFields, StoredDocument};
use crate::encryption::{Secret, Secrets};
use crate::repository::access::Admitted;
use crate::repository::pipeline::content;
use crate::repository::pipeline::errors;
use crate::repository::pipeline::item::Items;
use crate::repository::pipeline::limits;
use crate::repository::pipeline::many::{Named, Pages, only, strongest};
use crate::repository::pipeline::target::Target;
use crate::repository::pipeline::write::{Ready, Sources};
use crate::repository::{Action, ObjectKey, Repository, SavedObject};
use crate::{Error, Result};

/// The pages that are prepared or written at the same time.
pub const CREATED_AT_ONCE: usize = 4;

/// An object to be created.
///
/// ```
/// # use saved_objects::repository::Create;
/// # use serde_json::json;
/// let request = Create::new("note", json!({ "title": "Hello" })).id("n1");
/// ```
#[derive(Debug, Clone)]
pub struct Create {
    pub(in crate::repository) type_name: String,
    pub(in crate::repository) id: Option<String>,
    pub(in crate::repository) namespace: Namespace,
    pub(in crate::repository) content: Content,
    pub(in crate::repository) refresh: Refresh,
}

/// The content of an object to be created: everything but its key.
#[derive(Debug, Clone)]
pub(in crate::repository) struct Content {
    pub(in crate::repository) attributes: Attributes,
    pub(in crate::repository) secrets: Secrets,
    pub(in crate::repository) references: Vec<Reference>,
    pub(in crate::repository) managed: bool,
    pub(in crate::repository) origin_id: Option<String>,
    pub(in crate::repository) overwrite: bool,
    /// The reason why the attributes are not those that were given, if they cannot be written as an object.
    pub(in crate::repository) unfit: Option<Error>,
}

impl Content {
    pub(in crate::repository) fn new(attributes: Attributes) -> Self {
        Self {
            unfit: None,
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
    /// Creates a request for an object of type `type_name` with these attributes, in the default namespace and with a
    /// random id. The attributes are any value that serializes to a JSON object; the creation refuses another one.
    pub fn new(type_name: impl Into<String>, attributes: impl Serialize + 'static) -> Self {
        let (attributes, unfit) = match to_attributes(attributes) {
            Ok(attributes) => (attributes, None),
            Err(error) => (Attributes::new(), Some(error)),
        };
        Self {
            type_name: type_name.into(),
            id: None,
            namespace: Namespace::DEFAULT,
            content: Content { unfit, ..Content::new(attributes) },
            refresh: Refresh::Later,
        }
    }

    /// Sets the id.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Sets the namespace. Agnostic types ignore it.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// Sets the value of the encrypted attribute `name`.
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, secret: Secret) -> Self {
        self.content.secrets.insert(name.into(), secret);
        self
    }

    /// Sets the values of these encrypted attributes.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.content.secrets.extend(secrets);
        self
    }

    /// Sets the references to other objects.
    #[must_use]
    pub fn references(mut self, references: Vec<Reference>) -> Self {
        self.content.references = references;
        self
    }

    /// Sets whether the platform manages the object.
    #[must_use]
    pub fn managed(mut self, managed: bool) -> Self {
        self.content.managed = managed;
        self
    }

    /// Sets the id that the object had where it came from.
    #[must_use]
    pub fn origin_id(mut self, origin_id: impl Into<String>) -> Self {
        self.content.origin_id = Some(origin_id.into());
        self
    }

    /// Replaces the object if it exists already. It then has exactly the attributes, secrets and references of the
    /// request, and keeps when and by whom it was created.
    #[must_use]
    pub fn overwrite(mut self) -> Self {
        self.content.overwrite = true;
        self
    }

    /// Sets when [`Repository::find`] sees the object. Reads by id always see it at once.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }
}

impl Repository {
    /// Creates an object at the newest model version.
    ///
    /// If the answer is lost, this reads whether the object is there, and repeats a write that was not done. The only
    /// condition of a creation is that no object has the id. So if a network delivers the request twice, or so late
    /// that it was repeated, and the object was deleted between the two, it is created again; after a conflict, too.
    /// [`delete`](Self::delete) describes what to do about objects that must not come back.
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
    /// - [`Conflict`](crate::ErrorKind::Conflict) if an object has the id and the request does not have
    ///   [`Create::overwrite`]. With it, if that object is not seen from the namespace, or if other writers kept
    ///   changing it.
    /// - [`Invalid`](crate::ErrorKind::Invalid) if the type does not take the id, an attribute or a secret, or if the
    ///   attributes do not satisfy the create schema; the message lists each violation. Nothing is written then.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if the index does not exist.
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if the index takes no writes,
    ///   [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown), [`Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn create(&self, request: Create) -> Result<SavedObject> {
        only(self.create_many([request]).await)
    }

    /// Creates objects at the newest model version, and answers for each in order. An object that cannot be created
    /// does not prevent the creation of the others. One call takes objects of all types. A request has a thousand of
    /// them, and secrets are sealed on the blocking pool while other requests are in progress.
    ///
    /// Each object may be named once: a second one with the same id is refused. If one of the objects waits for a
    /// refresh, all objects that are sent with it wait.
    ///
    /// ```
    /// # use saved_objects::registry::{Registry, TypeDefinition};
    /// # use saved_objects::repository::Create;
    /// # use saved_objects::{ErrorKind, SavedObjects, Start};
    /// # use serde_json::json;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let file = r#"{ "type": "note", "group": "notes", "namespace_kind": "agnostic",
    /// #     "mapping": { "dynamic": false, "properties": {} } }"#;
    /// # let version = r#"{ "create": { "type": "object", "required": ["title"], "properties": { "title": {} } } }"#;
    /// # let types = vec![TypeDefinition::from_json("note.json", file, &[("1.json".to_owned(), version.to_owned())])?];
    /// # let store = SavedObjects::in_memory(Registry::builder().with(types).build()?)?.start(Start::Migrate).await?;
    /// # let repository = store.repository();
    /// let note = |attributes: serde_json::Value| Create::new("note", attributes);
    /// let requests = [note(json!({ "title": "one" })), note(json!({})), note(json!({ "title": "three" })).id("n3")];
    /// let created = repository.create_many(requests).await;
    /// assert!(created[0].is_ok() && created[2].is_ok());
    /// assert!(created[1].as_ref().is_err_and(|error| error.kind() == ErrorKind::Invalid));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`create`](Self::create), for each object. An error of a whole request is the answer for all objects
    /// sent in it.
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "create_many"))]
    pub async fn create_many(&self, requests: impl IntoIterator<Item = Create>) -> Vec<Result<SavedObject>> {
        let requests: Vec<Create> = requests.into_iter().collect();
        let count = requests.len();
        let (mut created, mut named) = (Items::with_capacity(count), Named::new(count));
        let mut places = 0..count;
        let mut pages = Pages::new(requests, |request| bytes_of(&request.content.attributes));
        // Each page has its own task: while one page is prepared, others are on their way to the server and back.
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < CREATED_AT_ONCE
                && let Some(page) = pages.next_page()
            {
                let (mut items, mut refresh) = (Items::with_capacity(page.len()), Refresh::Later);
                for (request, at) in page.zip(&mut places) {
                    let Create { type_name, id, namespace, content, refresh: of_one } = request;
                    let admission = self.admit_new(type_name, id, namespace, &mut named).await;
                    if admission.is_ok() {
                        refresh = strongest([refresh, of_one]);
                    }
                    items.admit(at, admission, content);
                }
                let task = self.shared.engine.environment.spawn(self.clone().create_page(items, refresh));
                under_way.push(task.ending_with_owner());
            }
            match under_way.next().await {
                Some(Ok(page)) => created.append(page),
                // The items of a task that ended early stay without an answer, which `end` says.
                Some(Err(_)) => {}
                None => break,
            }
        }
        drop(under_way);
        let mut answers = created.end(count, |target, _| Err(errors::changed(&target.key)));
        // An object that is overwritten may be seen from other namespaces too.
        self.leave_out_unseen(answers.iter_mut().flatten().collect()).await;
        answers
    }

    /// Returns the target of a new object, if it may be created.
    pub(in crate::repository) async fn admit_new(
        &self,
        type_name: String,
        id: Option<String>,
        namespace: Namespace,
        named: &mut Named,
    ) -> Result<(Target, Admitted)> {
        let definition = self.registered(&type_name)?;
        let admitted = self.admit_to(Action::Create, &type_name, id.as_deref(), &namespace).await?;
        let target = self.new_id(id).and_then(|id| {
            // An id that cannot be stored is refused as such before one that the type does not take.
            let target = Target::new(definition, ObjectKey { type_name, id, namespace })?;
            content::check_new_id(&target)?;
            named.add(&target)?;
            Ok(target)
        });
        let (target, admitted) = admitted.with(target)?;
        let admitted = admitted.named(&target.key.id);
        Ok((target, admitted))
    }

    fn new_id(&self, asked_for: Option<String>) -> Result<String> {
        match asked_for {
            Some(id) => Ok(id),
            None => Ok(self.shared.engine.environment.random_uuid()?.to_string()),
        }
    }

    /// Creates the open items. Items that are still open lost against other writers in each attempt.
    async fn create_page(
        self,
        items: Items<Content, SavedObject>,
        refresh: Refresh,
    ) -> Items<Box<StoredDocument>, SavedObject> {
        let ready = self.make_ready(items).await;
        let conflicts = self.write_objects(ready, refresh).await;
        let to_overwrite = conflicts.each(|target, new| new.ok_or_else(|| errors::exists_already(&target.key)));
        self.overwrite(to_overwrite, refresh).await
    }

    /// Prepares the writes of new objects, on the blocking pool if there are many. With each comes its document, if it
    /// may overwrite another one.
    async fn make_ready(
        &self,
        items: Items<Content, SavedObject>,
    ) -> Items<(Option<Box<StoredDocument>>, Ready), SavedObject> {
        let environment = &self.shared.engine.environment;
        let (repository, now) = (self.clone(), environment.now_iso());
        let mut sources = Sources::of(items.open_count(), environment);
        let preparing = move |target: &mut Target, content: Content| {
            let overwrites = content.overwrite;
            let document = repository.new_document(target, content, &now)?;
            let overwriting = overwrites.then(|| Box::new(document.clone()));
            Ok((overwriting, repository.ready(target, document, None, None, &mut sources)?))
        };
        items.each_on_pool(environment, preparing).await
    }

    /// Returns the document of a new object that is created `now`.
    pub(in crate::repository) fn new_document(
        &self,
        target: &Target,
        content: Content,
        now: &str,
    ) -> Result<StoredDocument> {
        let Target { definition, key, .. } = target;
        if let Some(error) = content.unfit {
            return Err(error.context(key));
        }
        limits::check_references(key, &content.references)?;
        let kind = definition.namespace_kind();
        let namespace = key.namespace.id_form().filter(|_| kind == NamespaceKind::Single);
        let root = RootFields {
            namespace: namespace.map(str::to_owned),
            namespaces: kind.is_multiple().then(|| vec![key.namespace.to_string()]),
            origin_id: content.origin_id,
            references: content.references,
            managed: Some(content.managed),
            created_at: Some(now.to_owned()),
            created_by: self.actor(),
            updated_at: Some(now.to_owned()),
            updated_by: self.actor(),
            ..RootFields::default()
        };
        self.seal_whole(target, root, content.attributes, content.secrets)
    }
}

/// Returns the JSON object of a value. Attributes are taken as they are.
fn to_attributes(value: impl Serialize + 'static) -> Result<Attributes> {
    let mut value = Some(value);
    if let Some(attributes) = (&mut value as &mut dyn Any).downcast_mut::<Option<Attributes>>() {
        return Ok(attributes.take().unwrap_or_default());
    }
    let unfit = |what: &str| Error::invalid(what, "give a value that serializes to a JSON object");
    // The error of the serializer may quote a value.
    match serde_json::to_value(value).map_err(|_| unfit("the attributes cannot be written as JSON"))? {
        Value::Object(attributes) => Ok(attributes),
        _ => Err(unfit("the attributes are not an object")),
    }
}

/// Returns about how many bytes attributes have.
fn bytes_of(attributes: &Attributes) -> usize {
    fn of(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::String(text) => text.len() + 3,
            serde_json::Value::Array(elements) => elements.iter().map(of).sum::<usize>() + 3,
            serde_json::Value::Object(members) => bytes_of(members),
            _ => 8,
        }
    }
    attributes.iter().map(|(name, value)| name.len() + 4 + of(value)).sum::<usize>() + 3
}
