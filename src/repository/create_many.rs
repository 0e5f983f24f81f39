use std::collections::BTreeMap;

use tokio::task::JoinSet;

use super::access::Admitted;
use super::create::Create;
use super::many::{Items, Named, Pages, on_pool};
use super::rounds::Rounds;
use super::write::Write;
use super::{Action, ObjectKey, Repository, SavedObject, content, errors, read};
use crate::Result;
use crate::cluster::Refresh;
use crate::document::{Attributes, NamespaceKind, RootFields, StoredDocument};
use crate::registry::TypeDefinition;

/// Pages that are prepared or written at the same time.
const IN_FLIGHT: usize = 4;

/// A document to be written, as callers will see it.
pub(super) struct New {
    pub(super) document: StoredDocument,
    /// Whether it may overwrite.
    overwrite: bool,
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
        let refresh = strongest(requests.iter().map(|request| request.refresh));
        let mut items = Items::new(requests.len());
        let mut named = Named::default();
        let mut pages = Pages::new(requests.into_iter().enumerate(), |(_, request)| bytes_of(&request.attributes));
        // Each page on a task of its own: while one is made ready, others are under way to the server and back.
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < IN_FLIGHT
                && let Some(page) = pages.next()
            {
                let mut admitted = Vec::with_capacity(page.len());
                for (at, request) in page {
                    let admission = self.admit_creation(&request, &mut named).await;
                    admitted.extend(items.admit(at, admission.map(|(key, it)| ((at, key, request), it))));
                }
                under_way.spawn(self.clone().create_page(admitted, refresh));
            }
            match under_way.join_next().await {
                Some(Ok(page)) => page.into_iter().for_each(|(at, answer)| items.answer(at, answer)),
                // Its items stay without an answer, which is told.
                Some(Err(_)) => {}
                None => return items.end(),
            }
        }
    }

    /// What a new object is called, if it may be created.
    pub(super) async fn admit_creation(&self, request: &Create, named: &mut Named) -> Result<(ObjectKey, Admitted)> {
        let definition = self.definition(&request.type_name)?;
        let admitted =
            self.admit_to(Action::Create, definition.name(), request.id.as_deref(), &request.namespace).await?;
        match self.new_key(definition, request, named) {
            Ok(key) => {
                let admitted = admitted.named(&key.id);
                Ok((key, admitted))
            }
            Err(error) => admitted.end(Err(error)),
        }
    }

    fn new_key(&self, definition: &TypeDefinition, request: &Create, named: &mut Named) -> Result<ObjectKey> {
        let id = match &request.id {
            Some(id) => id.clone(),
            None => self.shared.environment.random_uuid()?.to_string(),
        };
        let key = ObjectKey::new(definition.name(), id).in_namespace(request.namespace.clone());
        // An id that cannot be stored is refused as such before one that the type does not take.
        let raw_id = key.raw_id(definition)?;
        content::check_new_id(definition, &key.id)?;
        named.add(&key, raw_id)?;
        Ok(key)
    }

    async fn create_page(
        self,
        page: Vec<(usize, ObjectKey, Create)>,
        refresh: Refresh,
    ) -> Vec<(usize, Result<SavedObject>)> {
        let mut places = Vec::with_capacity(page.len());
        let mut keys = Vec::with_capacity(page.len());
        let mut requests = Vec::with_capacity(page.len());
        for (at, key, request) in page {
            places.push(at);
            keys.push(key.clone());
            requests.push((key, request));
        }
        let mut rounds = Rounds::new(&self, keys);
        let repository = self.clone();
        let prepared = on_pool(requests, move |(key, request)| {
            let definition = repository.definition(&key.type_name)?;
            let new = repository.new_document(definition, &key, request)?;
            let write = Write::create(definition, &key, &new.document)?;
            Ok((new, write))
        })
        .await;
        let mut news: Vec<Option<New>> = Vec::with_capacity(prepared.len());
        let mut writes = Vec::with_capacity(prepared.len());
        for (at, prepared) in prepared.into_iter().enumerate() {
            match prepared {
                Ok((new, write)) => {
                    news.push(Some(new));
                    writes.push((at, write));
                }
                Err(error) => {
                    news.push(None);
                    rounds.end(at, Err(error));
                }
            }
        }
        let mut written = Vec::new();
        for (at, version) in rounds.write(writes, refresh).await {
            match (version, &mut news[at]) {
                (Some(version), new) => written.extend(new.take().map(|new| (at, new.document, None, version))),
                // It may be gone again by now; then the next attempt creates it.
                (None, Some(New { overwrite: true, .. })) => {}
                (None, _) => {
                    let error = errors::exists_already(rounds.key(at));
                    rounds.end(at, Err(error));
                }
            }
        }
        rounds.end_written(written).await;
        while let Some(read) = rounds.read().await {
            let mut writes = Vec::new();
            let mut documents = BTreeMap::new();
            for (at, existing) in read {
                let Some(new) = &news[at] else { continue };
                match self.overwrite(rounds.key(at), existing, &new.document) {
                    Ok((document, write)) => {
                        documents.insert(at, document);
                        writes.push((at, write));
                    }
                    Err(error) => rounds.end(at, Err(error)),
                }
            }
            let done = rounds.write(writes, refresh).await.into_iter();
            let written = done.filter_map(|(at, version)| Some((at, documents.remove(&at)?, None, version?))).collect();
            rounds.end_written(written).await;
        }
        places.into_iter().zip(rounds.into_answers()).collect()
    }

    pub(super) fn new_document(&self, definition: &TypeDefinition, key: &ObjectKey, request: Create) -> Result<New> {
        let root = self.new_root(definition, &request);
        let Create { attributes, secrets, overwrite, .. } = request;
        let document = self.seal_whole(definition, key, root, attributes, secrets)?;
        Ok(New { document, overwrite })
    }

    /// The write of `new` over what was read, if anything.
    fn overwrite(
        &self,
        key: &ObjectKey,
        existing: Option<read::Fetched>,
        new: &StoredDocument,
    ) -> Result<(StoredDocument, Write)> {
        let definition = self.definition(&key.type_name)?;
        match existing {
            None => Ok((new.clone(), Write::create(definition, key, new)?)),
            Some(existing) if !read::is_asked_for(definition, key, &existing.document) => {
                Err(errors::exists_elsewhere(key))
            }
            Some(existing) => {
                let document = overwritten(definition, &existing.document, new.clone())?;
                let write = Write::replace(definition, key, &document, existing.version)?;
                Ok((document, write))
            }
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
