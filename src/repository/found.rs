//! From what a search found to objects: they are made while the answer is read, and of each document only what is shown is parsed.

use std::mem;
use std::sync::Arc;

use serde_json::{Map, Value};
use tokio::task::JoinHandle;

use super::find::Find;
use super::many::Items;
use super::read::{Fetched, Loaded};
use super::{ObjectKey, Repository, SavedObject, errors};
use crate::cluster::{ClusterResult, Hit, HitRef, Hits, Page, Search};
use crate::document::{Attributes, DocumentHeader};
use crate::layout::IndexNames;
use crate::model::{EncryptedAttribute, VirtualVersion};
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result};

/// Objects of a page that one task makes.
const PER_TASK: usize = 125;

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
    tasks: Vec<JoinHandle<Part>>,
    /// What came last, and has no task.
    last: Option<Hits>,
}

/// What is wanted of a page.
struct Wanted {
    types: Vec<String>,
    fields: Option<Vec<String>>,
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
            self.tasks.push(tokio::spawn(self.repository.clone().read_part(Arc::clone(&self.wanted), before)));
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
            found.add(task.await.map_err(|error| {
                Error::new(ErrorKind::Internal, "reading a page of objects was aborted").with_source(error)
            })?);
        }
        found.add(last);
        Ok(found)
    }
}

impl Found {
    fn add(&mut self, mut part: Part) {
        self.objects.append(&mut part.objects);
        self.unreadable.append(&mut part.unreadable);
    }
}

/// A part of a page.
#[derive(Default)]
struct Part {
    objects: Vec<SavedObject>,
    unreadable: Vec<Unreadable>,
    postponed: Vec<Postponed>,
}

/// A document that takes more than reading it: older ones are converted, newer ones may have to be asked about, and exposed
/// secrets are opened.
struct Postponed {
    /// How many of the objects come before it.
    at: usize,
    raw_id: String,
    key: ObjectKey,
    fetched: Fetched,
}

impl Part {
    fn read(&mut self, repository: &Repository, asked: &[Asked<'_>], hit: HitRef<'_>) -> Result<()> {
        let (definition, id, fetched) = repository.document_of(asked, hit, unseen)?;
        if shows_as_it_is(definition, fetched.document.root.type_migration_version.as_deref()) {
            let object = repository.view(definition, id, repository.converted(definition, id, fetched)?)?;
            self.objects.push(object);
        } else {
            let (at, key) = (self.objects.len(), ObjectKey::new(definition.name(), id));
            self.postponed.push(Postponed { at, raw_id: hit.id.to_owned(), key, fetched });
        }
        Ok(())
    }

    async fn see_postponed(&mut self, repository: &Repository) {
        let mut items = Items::new(self.postponed.len());
        let (mut places, mut documents) = (Vec::new(), Vec::new());
        for (number, Postponed { at, raw_id, key, fetched }) in self.postponed.drain(..).enumerate() {
            places.push((at, raw_id));
            documents.push((number, (key, fetched)));
        }
        repository.see_each(documents, &mut items).await;
        let mut others = mem::take(&mut self.objects).into_iter();
        let mut others_before = 0;
        for ((at, raw_id), object) in places.into_iter().zip(items.end()) {
            self.objects.extend(others.by_ref().take(at - others_before));
            others_before = at;
            match object {
                Ok(object) => self.objects.push(object),
                Err(error) => self.unreadable.push(Unreadable { raw_id, error }),
            }
        }
        self.objects.extend(others);
    }
}

impl Repository {
    /// Reads a page of objects of these types.
    pub(super) fn reading(&self, types: &[&str], request: &Find) -> Reading {
        let types = types.iter().map(|&name| name.to_owned()).collect();
        let wanted = Arc::new(Wanted { types, fields: request.fields.clone() });
        Reading { repository: self.clone(), wanted, taken: 0, tasks: Vec::new(), last: None }
    }

    async fn read_part(self, wanted: Arc<Wanted>, hits: Hits) -> Part {
        let asked = self.asked(wanted.types.iter().filter_map(|name| self.definition(name).ok()));
        let mut part = Part { objects: Vec::with_capacity(hits.len()), ..Part::default() };
        for hit in hits.iter() {
            if let Err(error) = part.read(&self, &asked, hit) {
                part.unreadable.push(Unreadable { raw_id: hit.id.to_owned(), error });
            }
        }
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

    /// The object of a hit that is of one of the types.
    pub(super) async fn read_hit(&self, asked: &[Asked<'_>], hit: &Hit) -> Result<SavedObject> {
        let (definition, id, mut loaded) = self.convert_hit(asked, hit.borrowed(), unseen)?;
        self.learn_sets(definition, &mut loaded).await?;
        self.view(definition, id, loaded)
    }

    /// The type, the id and the document of a hit that is of one of the types.
    pub(super) async fn load_hit<'a>(
        &self,
        asked: &[Asked<'a>],
        hit: &Hit,
    ) -> Result<(&'a TypeDefinition, String, Loaded)> {
        let (definition, id, mut loaded) = self.convert_hit(asked, hit.borrowed(), |_, _| &[])?;
        self.learn_sets(definition, &mut loaded).await?;
        Ok((definition, id.to_owned(), loaded))
    }

    /// The document of a hit at the newest model version, without the attributes that `left_out` names.
    fn convert_hit<'a, 'h>(
        &self,
        asked: &[Asked<'a>],
        hit: HitRef<'h>,
        left_out: impl Fn(&'a TypeDefinition, &DocumentHeader<'_>) -> &'a [EncryptedAttribute],
    ) -> Result<(&'a TypeDefinition, &'h str, Loaded)> {
        let (definition, id, fetched) = self.document_of(asked, hit, left_out)?;
        Ok((definition, id, self.converted(definition, id, fetched)?))
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
pub(super) fn pick(fields: Option<&[String]>, object: &mut SavedObject) {
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
