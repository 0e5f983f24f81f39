//! From what a search found to objects: they are made while the answer is read, and of each document only what is shown is parsed.

use std::mem;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::find::Find;
use super::many::Items;
use super::read::{Fetched, Loaded};
use super::{ObjectKey, Repository, SavedObject, errors};
use crate::cluster::{ClusterResult, Hit, HitRef, Hits, Page, Search};
use crate::document::{Attributes, DocumentHeader};
use crate::environment::Task;
use crate::layout::IndexNames;
use crate::model::{EncryptedAttribute, VirtualVersion};
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result};

/// Objects of a page that one task makes.
pub(super) const PER_TASK: usize = 125;

/// One page of objects.
#[derive(Debug)]
pub struct Found<A = Attributes> {
    /// The objects of this page.
    pub objects: Vec<SavedObject<A>>,
    /// How many there are on all pages, unreadable ones included.
    pub total: u64,
    /// What belongs to this page and cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// What was computed over all objects found, by the name given to [`Find::aggregation`], as the server answers it.
    pub aggregations: Map<String, Value>,
}

/// A document that was found and is not a readable object.
#[derive(Debug)]
pub struct Unreadable {
    /// The document's `_id`.
    pub raw_id: String,
    /// Why it cannot be read.
    pub error: Error,
}

/// The objects of a page, made while it is read: those of a large page by several tasks, for a thousand take a good part of the
/// time that the server takes to find them.
pub(super) struct Reading {
    repository: Repository,
    wanted: Arc<Wanted>,
    taken: usize,
    tasks: Vec<Task<Part>>,
    /// What came last, and has no task.
    last: Option<Hits>,
}

/// What is wanted of a page.
pub(super) struct Wanted {
    types: Vec<String>,
    fields: Option<Vec<String>>,
}

impl Wanted {
    pub(super) fn of(types: &[&str], request: &Find) -> Arc<Self> {
        let types = types.iter().map(|&name| name.to_owned()).collect();
        Arc::new(Self { types, fields: request.fields.clone() })
    }
}

impl Reading {
    /// The page that a search finds, whose hits are being read from now on.
    pub(super) async fn search(&mut self, search: &Search) -> ClusterResult<Page> {
        let cluster = Arc::clone(&self.repository.shared.cluster);
        cluster.search_in_parts(search, PER_TASK, &mut |hits| self.take(hits)).await
    }

    fn take(&mut self, hits: Hits) {
        self.taken += hits.len();
        if let Some(before) = self.last.replace(hits) {
            self.tasks.push(self.repository.task(&self.wanted, before));
        }
    }

    /// How many hits there were.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// The objects of the page.
    pub(super) async fn end(self, page: Page) -> Result<Found> {
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
    /// By their place among the hits.
    unreadable: Vec<(usize, Unreadable)>,
    postponed: Vec<Postponed>,
}

/// A document that takes more than reading it: older ones are converted, newer ones may have to be asked about, and exposed
/// secrets are opened.
struct Postponed {
    /// Its place among the hits.
    place: usize,
    /// How many of the objects come before it.
    at: usize,
    raw_id: String,
    key: ObjectKey,
    fetched: Fetched,
}

impl Part {
    /// What became of the hits, in their order.
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
            self.postponed.push(Postponed { place, at, raw_id: hit.id.to_owned(), key, fetched });
        }
        Ok(())
    }

    async fn see_postponed(&mut self, repository: &Repository) {
        let mut items = Items::new(self.postponed.len());
        let (mut places, mut documents) = (Vec::new(), Vec::new());
        for (number, Postponed { place, at, raw_id, key, fetched }) in self.postponed.drain(..).enumerate() {
            places.push((place, at, raw_id));
            documents.push((number, (key, fetched)));
        }
        repository.see_each(documents, &mut items).await;
        let mut others = mem::take(&mut self.objects).into_iter();
        let mut others_before = 0;
        for ((place, at, raw_id), object) in places.into_iter().zip(items.end()) {
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
    /// Reads a page of objects of these types.
    pub(super) fn reading(&self, types: &[&str], request: &Find) -> Reading {
        let wanted = Wanted::of(types, request);
        Reading { repository: self.clone(), wanted, taken: 0, tasks: Vec::new(), last: None }
    }

    /// What becomes of these hits, in their order. It is found out in a task of its own, from now on.
    pub(super) fn read_apart(
        &self,
        wanted: &Arc<Wanted>,
        hits: Vec<Hit>,
    ) -> impl Future<Output = Result<Vec<Result<SavedObject, Unreadable>>>> + use<> {
        let task = self.task(wanted, Hits::from(hits));
        async move { Ok(task.await?.into_items()) }
    }

    /// Makes a part in a task that ends with the page: a call that was cancelled, or an answer that was cut, needs no part.
    fn task(&self, wanted: &Arc<Wanted>, hits: Hits) -> Task<Part> {
        self.shared.environment.spawn(self.clone().read_part(Arc::clone(wanted), hits)).ending_with_owner()
    }

    async fn read_part(self, wanted: Arc<Wanted>, hits: Hits) -> Part {
        let asked = self.asked(wanted.types.iter().filter_map(|name| self.definition(name).ok()));
        let mut part = Part { objects: Vec::with_capacity(hits.len()), ..Part::default() };
        for (place, hit) in hits.iter().enumerate() {
            if let Err(error) = part.read(&self, &asked, place, hit) {
                part.unreadable.push((place, Unreadable { raw_id: hit.id.to_owned(), error }));
            }
        }
        // The rest may take a while, and needs no answer.
        drop(hits);
        if !part.postponed.is_empty() {
            part.see_postponed(&self).await;
        }
        part.objects.iter_mut().for_each(|object| pick(wanted.fields.as_deref(), object));
        part
    }

    /// Types that are searched for, as those need them that read what was found.
    pub(super) fn asked<'a>(&self, definitions: impl IntoIterator<Item = &'a TypeDefinition>) -> Vec<Asked<'a>> {
        definitions.into_iter().map(|definition| Asked { definition, names: self.names(definition) }).collect()
    }

    /// The type, the id and the document of a hit that is of one of the types.
    pub(super) async fn load_hit<'a>(
        &self,
        asked: &[Asked<'a>],
        hit: &Hit,
    ) -> Result<(&'a TypeDefinition, String, Loaded)> {
        let (definition, id, fetched) = self.document_of(asked, hit.borrowed(), |_, _| &[])?;
        Ok((definition, id.to_owned(), self.load(definition, id, fetched).await?))
    }

    /// The document of a hit, without the attributes that `left_out` names.
    fn document_of<'a, 'h>(
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

/// A type that is searched for, and where its objects are.
pub(super) struct Asked<'a> {
    definition: &'a TypeDefinition,
    names: IndexNames,
}

/// Takes the attributes away that were not asked for.
fn pick(fields: Option<&[String]>, object: &mut SavedObject) {
    if let Some(fields) = fields {
        object.attributes.retain(|name, _| fields.contains(name));
    }
}

/// The attributes of a document that nothing is needed of to show the others: those that are encrypted.
fn unseen<'a>(definition: &'a TypeDefinition, header: &DocumentHeader<'_>) -> &'a [EncryptedAttribute] {
    match shows_as_it_is(definition, header.version()) {
        true => &definition.latest().sets.encrypted,
        false => &[],
    }
}

/// Whether a document at this version need not be converted, and no secret of it is shown in clear.
fn shows_as_it_is(definition: &TypeDefinition, version: Option<&str>) -> bool {
    definition.exposed().next().is_none()
        && VirtualVersion::of_document(version).is_ok_and(|version| version.number() == definition.latest().number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use serde_json::value::RawValue;

    use super::*;
    use crate::cluster::SequenceNumber;
    use crate::registry::{Registry, testing};
    use crate::{SavedObjects, Start};

    /// A repository of notes, and a hit that is one of them.
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
    async fn a_page_is_in_order_whatever_its_documents_take() {
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
    async fn of_a_page_that_is_given_up_no_more_is_read() {
        let (repository, hit) = notes().await;
        // What a newer version encrypts is asked of the server.
        let parts = || (9..12).map(|version| Hits::from(vec![hit("n", note(&format!("10.{version}.0")))]));
        let requests = || repository.shared.cluster.requests().total();
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
