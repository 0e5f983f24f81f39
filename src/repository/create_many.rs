use std::collections::BTreeMap;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::access::Admitted;
use super::create::{Content, Create};
use super::many::{Items, Named, Pages, on_pool};
use super::write::{Sources, Write, Written};
use super::{Action, ObjectKey, Repository, SavedObject, content, errors, limits};
use crate::Result;
use crate::cluster::Refresh;
use crate::document::{Attributes, NamespaceKind, RootFields, StoredDocument, VersionToken};
use crate::registry::TypeDefinition;

/// Pages that are prepared or written at the same time.
pub(crate) const CREATED_AT_ONCE: usize = 4;

/// Objects that are created by one request.
struct Page {
    /// Their places in the call.
    places: Vec<usize>,
    objects: Vec<(ObjectKey, Content)>,
    /// What all of them ask for.
    refresh: Refresh,
}

/// An object that is ready to be written.
struct Ready {
    /// As its caller will see it, but for the version.
    object: SavedObject,
    write: Write,
    /// Its document, if it may overwrite another one.
    overwriting: Option<Box<StoredDocument>>,
}

impl Repository {
    /// Creates objects at the newest model version, and answers for each in order: one that cannot be created keeps no other
    /// from being created. Objects of all types go in one call, a thousand a request; their secrets are sealed on the blocking
    /// pool meanwhile.
    ///
    /// Each object may be named once: a second one of the same id is refused. If one of the requests waits for a refresh, all
    /// that are sent with it do.
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
    /// let note = |attributes: serde_json::Value| Create::new("note", attributes.as_object().cloned().unwrap_or_default());
    /// let requests = [note(json!({ "title": "one" })), note(json!({})), note(json!({ "title": "three" })).id("n3")];
    /// let created = repository.create_many(requests).await;
    /// assert!(created[0].is_ok() && created[2].is_ok());
    /// assert!(created[1].as_ref().is_err_and(|error| error.kind() == ErrorKind::Invalid));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`create`](Self::create), for each object. What fails a whole request fails all objects that were sent in it.
    pub async fn create_many(&self, requests: impl IntoIterator<Item = Create>) -> Vec<Result<SavedObject>> {
        let requests: Vec<Create> = requests.into_iter().collect();
        let mut items = Items::new(requests.len());
        let mut named = Named::new(requests.len());
        let mut places = 0..requests.len();
        let mut pages = Pages::new(requests, |request| bytes_of(&request.content.attributes));
        // Each page on a task of its own: while one is made ready, others are under way to the server and back.
        let mut under_way = FuturesUnordered::new();
        loop {
            while under_way.len() < CREATED_AT_ONCE
                && let Some(requests) = pages.next_page()
            {
                let mut page = Page::of(requests.len());
                for (request, at) in requests.zip(&mut places) {
                    let refresh = request.refresh;
                    let admission = self.admit_creation(request, &mut named).await;
                    if let Some(new) = items.admit(at, admission) {
                        page.add(at, new, refresh);
                    }
                }
                let task = self.shared.environment.spawn(self.clone().create_page(page));
                under_way.push(task.ending_with_owner());
            }
            match under_way.next().await {
                Some(Ok((places, answers))) => {
                    places.into_iter().zip(answers).for_each(|(at, answer)| items.answer(at, answer));
                }
                // Its items stay without an answer, which is told.
                Some(Err(_)) => {}
                None => break,
            }
        }
        drop(under_way);
        let mut answers = items.end();
        // What is overwritten may be seen from elsewhere, too.
        self.leave_out_unseen(answers.iter_mut().flatten().collect()).await;
        answers
    }

    /// What a new object is called, if it may be created, and what it is.
    pub(super) async fn admit_creation(
        &self,
        request: Create,
        named: &mut Named,
    ) -> Result<((ObjectKey, Content), Admitted)> {
        let Create { type_name, id, namespace, content, .. } = request;
        let definition = self.definition(&type_name)?;
        let admitted = self.admit_to(Action::Create, &type_name, id.as_deref(), &namespace).await?;
        let key = self.new_id(id).map(|id| ObjectKey { type_name, id, namespace });
        match key.and_then(|key| check_new(definition, key, named)) {
            Ok(key) => {
                let admitted = admitted.named(&key.id);
                Ok(((key, content), admitted))
            }
            Err(error) => admitted.end(Err(error)),
        }
    }

    fn new_id(&self, asked_for: Option<String>) -> Result<String> {
        match asked_for {
            Some(id) => Ok(id),
            None => Ok(self.shared.environment.random_uuid()?.to_string()),
        }
    }

    /// Makes the objects of a page ready, writes them, and answers, with their places in the call.
    async fn create_page(self, page: Page) -> (Vec<usize>, Vec<Result<SavedObject>>) {
        let Page { places, objects, refresh } = page;
        // As they are if all is written.
        let mut answers = Vec::with_capacity(objects.len());
        let mut writes = Vec::with_capacity(objects.len());
        let mut may_overwrite = BTreeMap::new();
        self.make_ready(objects).await.enumerate().for_each(|(at, ready)| {
            answers.push(ready.map(|Ready { object, write, overwriting }| {
                writes.push(write);
                may_overwrite.extend(overwriting.map(|document| (at, document)));
                object
            }));
        });
        let outcomes = self.write_many(answers.iter().flatten().zip(writes).collect(), refresh).await;
        let written = answers.iter_mut().enumerate().filter(|(_, answer)| answer.is_ok());
        let mut to_overwrite = Vec::new();
        for ((at, answer), outcome) in written.zip(outcomes) {
            let Ok(object) = answer else { continue };
            match (outcome, may_overwrite.remove(&at)) {
                (Ok(Written::Done(version)), _) => object.version = version,
                (Ok(Written::Conflict), Some(document)) => to_overwrite.push((at, object.key(), document)),
                (Ok(Written::Conflict), None) => *answer = Err(errors::exists_already(&object.key())),
                (Err(error), _) => *answer = Err(error),
            }
        }
        for (at, answer) in self.overwrite(to_overwrite, refresh).await {
            answers[at] = answer;
        }
        (places, answers)
    }

    /// Makes objects ready to be written, each unless it cannot be stored: on the blocking pool.
    async fn make_ready(&self, objects: Vec<(ObjectKey, Content)>) -> impl Iterator<Item = Result<Ready>> {
        let (repository, now) = (self.clone(), self.shared.environment.now_iso());
        let mut sources = Sources::of(objects.len(), &self.shared.environment);
        let making = move |(key, content): (ObjectKey, Content)| {
            let definition = repository.definition(&key.type_name)?;
            let overwrites = content.overwrite;
            let document = repository.new_document(definition, &key, content, &now)?;
            let write = Write::create(definition, &key, &document, &mut sources)?;
            let overwriting = overwrites.then(|| Box::new(document.clone()));
            // Now, and not when it is written: it will be out of the processor's caches then.
            let object = repository.updated(definition, &key, document, VersionToken::UNWRITTEN, None)?;
            Ok(Ready { object, write, overwriting })
        };
        on_pool(&self.shared.environment, objects, making).await
    }

    /// The document of a new object that is created `now`.
    pub(super) fn new_document(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        content: Content,
        now: &str,
    ) -> Result<StoredDocument> {
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
            updated_at: Some(now.to_owned()),
            ..RootFields::default()
        };
        self.seal_whole(definition, key, root, content.attributes, content.secrets)
    }
}

impl Page {
    /// For so many objects.
    fn of(objects: usize) -> Self {
        Self { places: Vec::with_capacity(objects), objects: Vec::with_capacity(objects), refresh: Refresh::default() }
    }

    fn add(&mut self, place: usize, object: (ObjectKey, Content), refresh: Refresh) {
        self.places.push(place);
        self.objects.push(object);
        self.refresh = strongest([self.refresh, refresh]);
    }
}

/// Refuses a key under which nothing new can be stored.
fn check_new(definition: &TypeDefinition, key: ObjectKey, named: &mut Named) -> Result<ObjectKey> {
    // An id that cannot be stored is refused as such before one that the type does not take.
    let raw_id = key.raw_id(definition)?;
    content::check_new_id(definition, &key.id)?;
    named.add(&key, raw_id)?;
    Ok(key)
}

/// What all of these ask for.
pub(super) fn strongest(refreshes: impl IntoIterator<Item = Refresh>) -> Refresh {
    if refreshes.into_iter().any(|refresh| refresh == Refresh::WaitFor) { Refresh::WaitFor } else { Refresh::Later }
}

/// How large attributes are, roughly.
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
