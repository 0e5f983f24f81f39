//! Hits of a search to objects. They are made while the answer is read, and only what is returned of a document is
//! parsed.

use std::mem;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::{Map, Value};

use super::fields;
use super::find::Find;
use crate::cluster::{ClusterResult, Hit, HitRef, Hits, Page, Search};
use crate::document::{Attributes, DocumentHeader};
use crate::environment::Task;
use crate::layout::IndexNames;
use crate::model::{EncryptedAttribute, VirtualVersion};
use crate::registry::TypeDefinition;
use crate::repository::pipeline::errors;
use crate::repository::pipeline::item::Items;
use crate::repository::pipeline::read::{Fetched, Loaded};
use crate::repository::pipeline::target::Target;
use crate::repository::{ObjectKey, Repository, SavedObject};
use crate::{Error, ErrorKind, Result};

/// The number of hits that one task converts.
pub(in crate::repository) const PER_TASK: usize = 125;

/// One page of objects.
#[derive(Debug, Serialize)]
pub struct Found<A = Attributes> {
    /// The objects of this page.
    pub objects: Vec<SavedObject<A>>,
    /// The number of objects on all pages, including unreadable documents.
    pub total: u64,
    /// The documents of this page that cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// The results of the aggregations over all objects found, by the name given to [`Find::aggregation`], as
    /// Elasticsearch returns them.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub aggregations: Map<String, Value>,
}

/// A document that was found and cannot be read as an object.
#[derive(Debug, Serialize)]
pub struct Unreadable {
    /// The document's `_id`.
    #[serde(rename = "id")]
    pub raw_id: String,
    /// The reason.
    pub error: Error,
}

/// The items of some hits, in their order, which a task reads.
pub(super) type ReadApart<T> = BoxFuture<'static, Result<Vec<Result<T, Unreadable>>>>;

/// A page whose objects are made while the answer is read. Several tasks convert a large page, because a thousand
/// objects take a considerable part of the time that the server needs to find them.
pub(in crate::repository) struct Reading {
    repository: Repository,
    wanted: Arc<Wanted>,
    taken: usize,
    tasks: Vec<Task<Part>>,
    /// The hits that were read last. No task converts them.
    last: Option<Hits>,
}

/// What a search returns of its types.
pub(in crate::repository) struct Wanted {
    types: Vec<String>,
    fields: Option<Vec<String>>,
}

impl Wanted {
    pub(in crate::repository) fn of(types: &[&str], request: &Find) -> Arc<Self> {
        let types = types.iter().map(|&name| name.to_owned()).collect();
        Arc::new(Self { types, fields: request.fields.clone() })
    }

    /// Returns the attributes to return; `None` means all.
    pub(super) fn fields(&self) -> Option<&[String]> {
        self.fields.as_deref()
    }

    /// Returns the names of the types that are searched for.
    pub(in crate::repository) fn types(&self) -> impl Iterator<Item = &str> {
        self.types.iter().map(String::as_str)
    }
}

impl Reading {
    /// Reads the page that a search finds. Tasks begin to convert its hits while others are read.
    pub(in crate::repository) async fn search(&mut self, search: &Search) -> ClusterResult<Page> {
        let cluster = Arc::clone(&self.repository.shared.engine.cluster);
        cluster.search_in_parts(search, PER_TASK, &mut |hits| self.take(hits)).await
    }

    fn take(&mut self, hits: Hits) {
        self.taken += hits.len();
        if let Some(before) = self.last.replace(hits) {
            self.tasks.push(self.repository.task(&self.wanted, before));
        }
    }

    /// Returns the number of hits.
    pub(in crate::repository) fn taken(&self) -> usize {
        self.taken
    }

    /// Returns the objects of the page.
    pub(in crate::repository) async fn end(self, page: Page) -> Result<Found> {
        let mut last = Part::default();
        if let Some(hits) = self.last {
            last = self.repository.read_part(self.wanted, hits).await;
        }
        let mut found = Found {
            objects: Vec::with_capacity(self.taken),
            total: page.total.unwrap_or_default(),
            unreadable: Vec::new(),
            aggregations: page.aggregations,
        };
        for task in self.tasks {
            found.add(task.await?);
        }
        found.add(last);
        Ok(found)
    }
}

impl Found {
    fn add(&mut self, mut part: Part) {
        self.objects.append(&mut part.objects);
        self.unreadable.extend(part.unreadable.into_iter().map(|(_, unreadable)| unreadable));
    }
}

/// A part of a page.
#[derive(Default)]
struct Part {
    objects: Vec<SavedObject>,
    /// By their index among the hits.
    unreadable: Vec<(usize, Unreadable)>,
    postponed: Vec<Postponed>,
}

/// A document that takes more than parsing: an older one is converted, the sets of a newer one may have to be
/// requested, and exposed secrets are decrypted.
struct Postponed {
    /// Its index among the hits.
    place: usize,
    /// The number of objects before it.
    at: usize,
    target: Target,
    fetched: Fetched,
}

impl Part {
    /// Returns an item for each hit, in their order.
    fn into_items(self) -> Vec<Result<SavedObject, Unreadable>> {
        let hits = self.objects.len() + self.unreadable.len();
        let (mut objects, mut unreadable) = (self.objects.into_iter(), self.unreadable.into_iter().peekable());
        let item = |place| match unreadable.next_if(|(at, _)| *at == place) {
            Some((_, unreadable)) => Some(Err(unreadable)),
            None => objects.next().map(Ok),
        };
        (0..hits).filter_map(item).collect()
    }

    fn read(&mut self, repository: &Repository, asked: &[Asked<'_>], place: usize, hit: HitRef<'_>) -> Result<()> {
        let (definition, id, fetched) = repository.document_of(asked, hit, unseen)?;
        if shows_as_it_is(definition, fetched.document.root.type_migration_version.as_deref()) {
            let object = repository.view(definition, id, repository.converted(definition, id, fetched)?)?;
            self.objects.push(object);
        } else {
            let (at, key) = (self.objects.len(), ObjectKey::new(definition.name(), id));
            let target = Target::stored(repository.registered(definition.name())?, key, hit.id);
            self.postponed.push(Postponed { place, at, target, fetched });
        }
        Ok(())
    }

    async fn see_postponed(&mut self, repository: &Repository) {
        let mut items = Items::with_capacity(self.postponed.len());
        let mut places = Vec::with_capacity(self.postponed.len());
        for (number, Postponed { place, at, target, fetched }) in self.postponed.drain(..).enumerate() {
            places.push((place, at, target.raw_id.clone().into()));
            items.open(number, target, ((), fetched));
        }
        let seen = repository.view_items(items).await.end(places.len(), |_, ((), object)| Ok(object));
        let mut others = mem::take(&mut self.objects).into_iter();
        let mut others_before = 0;
        for ((place, at, raw_id), object) in places.into_iter().zip(seen) {
            self.objects.extend(others.by_ref().take(at - others_before));
            others_before = at;
            match object {
                Ok(object) => self.objects.push(object),
                Err(error) => self.unreadable.push((place, Unreadable { raw_id, error })),
            }
        }
        self.objects.extend(others);
        self.unreadable.sort_by_key(|(place, _)| *place);
    }
}

impl Repository {
    /// Begins to read a page of objects of these types.
    pub(in crate::repository) fn reading(&self, types: &[&str], request: &Find) -> Reading {
        let wanted = Wanted::of(types, request);
        Reading { repository: self.clone(), wanted, taken: 0, tasks: Vec::new(), last: None }
    }

    /// Reads these hits, in a task of its own that begins now. Returns them in their order.
    pub(super) fn read_apart(&self, wanted: &Arc<Wanted>, hits: Vec<Hit>) -> ReadApart<SavedObject> {
        let task = self.task(wanted, Hits::from(hits));
        async move { Ok(task.await?.into_items()) }.boxed()
    }

    /// Converts a part in a task that ends with the page: a call that was cancelled, or an answer that was cut, needs
    /// no part.
    fn task(&self, wanted: &Arc<Wanted>, hits: Hits) -> Task<Part> {
        self.shared.engine.environment.spawn(self.clone().read_part(Arc::clone(wanted), hits)).ending_with_owner()
    }

    async fn read_part(self, wanted: Arc<Wanted>, hits: Hits) -> Part {
        let asked = self.asked(wanted.types.iter().filter_map(|name| self.definition(name).ok()));
        let mut part = Part { objects: Vec::with_capacity(hits.len()), ..Part::default() };
        for (place, hit) in hits.iter().enumerate() {
            if let Err(error) = part.read(&self, &asked, place, hit) {
                part.unreadable.push((place, Unreadable { raw_id: hit.id.to_owned(), error }));
            }
        }
        // The rest may take a while, and does not need the answer.
        drop(hits);
        if !part.postponed.is_empty() {
            part.see_postponed(&self).await;
        }
        if let Some(wanted) = wanted.fields() {
            part.objects.iter_mut().for_each(|object| fields::pick(wanted, &mut object.attributes));
        }
        part
    }

    /// Returns the types that are searched for, with the names of their indices.
    pub(in crate::repository) fn asked<'a>(
        &self,
        definitions: impl IntoIterator<Item = &'a TypeDefinition>,
    ) -> Vec<Asked<'a>> {
        definitions.into_iter().map(|definition| Asked { definition, names: self.names(definition) }).collect()
    }

    /// Returns the type, the id and the document of a hit that is of one of the types.
    pub(in crate::repository) async fn load_hit<'a>(
        &self,
        asked: &[Asked<'a>],
        hit: &Hit,
    ) -> Result<(&'a TypeDefinition, String, Loaded)> {
        let (definition, id, fetched) = self.document_of(asked, hit.borrowed(), |_, _| &[])?;
        Ok((definition, id.to_owned(), self.load(definition, id, fetched).await?))
    }

    /// Returns the document of a hit without the attributes that `left_out` names.
    pub(super) fn document_of<'a, 'h>(
        &self,
        asked: &[Asked<'a>],
        hit: HitRef<'h>,
        left_out: impl Fn(&'a TypeDefinition, &DocumentHeader<'_>) -> &'a [EncryptedAttribute],
    ) -> Result<(&'a TypeDefinition, &'h str, Fetched)> {
        let corrupt = |corruption| errors::corrupt(hit.id, corruption);
        let its = |header: &DocumentHeader<'_>| asked.iter().find(|it| it.definition.name() == header.type_name());
        let wanted = |definition, header: &DocumentHeader<'_>| {
            let left_out = left_out(definition, header);
            move |name: &str| left_out.iter().all(|attribute| attribute.name != name)
        };
        let choose = |header: &DocumentHeader<'_>| its(header).map(|it| wanted(it.definition, header));
        let header = DocumentHeader::with_attributes(hit.source, choose).map_err(corrupt)?;
        let Asked { definition, names } = its(&header)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a document of a type that was not asked for was found"))?;
        let is_wanted = wanted(definition, &header);
        let document = header.into_document_with(is_wanted).map_err(corrupt)?;
        let id = document.object_id(hit.id, definition.namespace_kind()).map_err(corrupt)?;
        let version = self.version_of(names, hit)?;
        Ok((definition, id, Fetched { document, version }))
    }
}

/// A type that is searched for, and the names of its indices.
pub(in crate::repository) struct Asked<'a> {
    definition: &'a TypeDefinition,
    names: IndexNames,
}

/// Returns the attributes of a document that are not needed to show the others: the encrypted ones.
fn unseen<'a>(definition: &'a TypeDefinition, header: &DocumentHeader<'_>) -> &'a [EncryptedAttribute] {
    match shows_as_it_is(definition, header.version()) {
        true => &definition.latest().sets.encrypted,
        false => &[],
    }
}

/// Returns whether a document at this version needs no conversion and has no exposed secret.
fn shows_as_it_is(definition: &TypeDefinition, version: Option<&str>) -> bool {
    definition.exposed().next().is_none()
        && VirtualVersion::of_document(version).is_ok_and(|version| version.number() == definition.latest().number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::*;
    use crate::cluster::{Refresh, SequenceNumber};
    use crate::document::Reference;
    use crate::encryption::Secret;
    use crate::registry::{Registry, testing};
    use crate::repository::{Create, Export};
    use crate::{SavedObjects, Start};

    /// Returns a repository of notes, and a function that makes a hit of one.
    async fn notes() -> (Repository, impl Fn(&str, Value) -> Hit) {
        let note = testing::read(&testing::note(json!({})), &[testing::version(json!({}))]).expect("the type is fine");
        let index = |repository: &Repository| repository.names(repository.definition("note").expect("known")).index(1);
        let registry = Registry::builder().with([note]).build().expect("the types are fine");
        let store = SavedObjects::in_memory(registry).expect("a store").start(Start::Migrate).await.expect("it starts");
        let index = index(store.repository());
        let hit = move |id: &str, source: Value| Hit {
            index: index.clone(),
            id: format!("note:{id}"),
            sequence: SequenceNumber { seq_no: 1, primary_term: 1 },
            source: RawValue::from_string(source.to_string()).expect("JSON"),
        };
        (store.repository().clone(), hit)
    }

    fn note(version: &str) -> Value {
        json!({ "type": "note", "note": { "title": "t" }, "typeMigrationVersion": version })
    }

    #[tokio::test]
    async fn what_is_found_is_written_with_the_words_of_an_export_and_without_secrets() {
        let file = json!({ "namespace_kind": "multiple", "exportable": true });
        let note = testing::read(&testing::note(file), &[testing::version(json!({}))]).expect("the type is fine");
        let registry = Registry::builder().with([note]).build().expect("the types are fine");
        let store = SavedObjects::in_memory(registry).expect("a store").start(Start::Migrate).await.expect("it starts");
        let repository = store.repository();
        let attributes = json!({ "title": "t" }).as_object().cloned().expect("an object");
        let reference = Reference { name: "r".to_owned(), type_name: "note".to_owned(), id: "other".to_owned() };
        let request = Create::new("note", attributes).secret("body", Secret::text("TOP-SECRET")).origin_id("before");
        let request = request.references(vec![reference]).refresh(Refresh::WaitFor);
        let created = repository.create(request).await.expect("created");

        let mut found = repository.find(&["note"], Find::new()).await.expect("found");
        let error = Error::invalid("it is odd", "look at it");
        found.unreadable.push(Unreadable { raw_id: "note:odd".to_owned(), error });
        let json = serde_json::to_value(&found).expect("JSON");
        assert!(!json.to_string().contains("TOP-SECRET") && json["objects"][0]["attributes"].get("body").is_none());
        assert_eq!(json["total"], 1);
        let unreadable = json!({"id": "note:odd", "error":
            {"kind": "invalid", "message": "it is odd", "hint": "look at it"}});
        assert_eq!(json["unreadable"], json!([unreadable]));
        assert!(json.get("aggregations").is_none());

        let mut object = json["objects"][0].as_object().cloned().expect("an object");
        let export = Export::found(["note"], Find::new()).without_summary();
        let mut lines = Vec::new();
        repository.export(export, &mut lines).await.expect("exported");
        let line: Map<String, Value> = serde_json::from_slice(&lines).expect("one line");
        assert_eq!(object.remove("version"), Some(json!(created.version.to_string())));
        assert_eq!(object.remove("modelVersion"), Some(json!(1)));
        for (key, value) in &object {
            assert_eq!(line.get(key), Some(value), "{key}");
        }
        let left_out = line.keys().filter(|key| !object.contains_key(*key)).map(String::as_str);
        let left_out: Vec<_> = left_out.filter(|key| !key.ends_with("MigrationVersion")).collect();
        assert_eq!(left_out, Vec::<&str>::new());
    }

    /// Compiles only for types without `Serialize`: for others the marker is ambiguous.
    trait IsNotSerialized<Marker> {
        fn check() {}
    }

    impl<T: ?Sized> IsNotSerialized<()> for T {}

    impl<T: ?Sized + Serialize> IsNotSerialized<u8> for T {}

    #[test]
    fn secrets_cannot_be_serialized() {
        <Secret as IsNotSerialized<_>>::check();
        <crate::encryption::Secrets as IsNotSerialized<_>>::check();
        <(SavedObject, crate::encryption::Secrets) as IsNotSerialized<_>>::check();
    }

    #[tokio::test]
    async fn a_page_is_in_order_although_documents_take_different_times() {
        let (repository, hit) = notes().await;
        let mut reading = repository.reading(&["note"], &Find::new());
        let part = |at: usize| {
            let sources = [
                ("odd", note("nonsense")),
                ("older", json!({ "type": "note", "note": {} })),
                ("corrupt", json!({ "type": "note" })),
                ("current", note("10.1.0")),
                ("odd-again", note("10.x")),
                ("newer", note("10.9.0")),
                ("last", note("10.1.0")),
            ];
            sources.map(|(id, source)| hit(&format!("{at}-{id}"), source)).to_vec()
        };
        (0..3).for_each(|at| reading.take(Hits::from(part(at))));
        assert_eq!(reading.taken(), 21);
        let page =
            Page { hits: vec![], total: None, last_sort: None, point_in_time: None, aggregations: Map::default() };
        let found = reading.end(page).await.expect("read");
        let all = |ids: &[&str]| -> Vec<String> {
            (0..3).flat_map(|at| ids.iter().map(move |id| format!("{at}-{id}"))).collect()
        };
        let objects: Vec<_> = found.objects.iter().map(|object| object.id.clone()).collect();
        assert_eq!(objects, all(&["older", "current", "newer", "last"]));
        let unreadable: Vec<_> = found.unreadable.iter().map(|it| it.raw_id.trim_start_matches("note:")).collect();
        assert_eq!(unreadable, all(&["odd", "corrupt", "odd-again"]));
    }

    #[tokio::test]
    async fn a_page_that_is_given_up_is_not_read_on() {
        let (repository, hit) = notes().await;
        // What a newer version encrypts is requested from the server.
        let parts = || (9..12).map(|version| Hits::from(vec![hit("n", note(&format!("10.{version}.0")))]));
        let requests = || repository.shared.engine.cluster.requests().total();
        let idle = async || {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        };
        let before = requests();
        for is_given_up in [true, false] {
            let mut reading = repository.reading(&["note"], &Find::new());
            parts().for_each(|part| reading.take(part));
            let kept = (!is_given_up).then_some(reading);
            idle().await;
            assert_eq!(requests() > before, kept.is_some());
        }
    }
}
