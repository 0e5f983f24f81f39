//! From what a search found to objects: a large page is read by several tasks, and of each document only what is shown is parsed.

use serde_json::{Map, Value};

use super::find::Find;
use super::read::{Fetched, Loaded};
use super::{Repository, SavedObject, errors};
use crate::cluster::{Hit, Page};
use crate::document::{Attributes, DocumentHeader};
use crate::layout::IndexNames;
use crate::model::{EncryptedAttribute, VirtualVersion};
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result};

/// Objects of a page that one task reads.
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

impl Repository {
    /// The objects of a page that was found.
    pub(super) async fn found(&self, types: &[&str], request: &Find, page: Page) -> Result<Found> {
        let mut found = Found {
            objects: Vec::with_capacity(page.hits.len()),
            total: page.total.unwrap_or_default(),
            unreadable: Vec::new(),
            aggregations: page.aggregations,
        };
        for mut part in self.read_page(types, request, page.hits).await? {
            found.objects.append(&mut part.objects);
            found.unreadable.append(&mut part.unreadable);
        }
        Ok(found)
    }

    /// The objects of a page, in order and in parts: those of a large page are read by several tasks, for a thousand take a good
    /// part of the time that the server takes to find them.
    async fn read_page(&self, types: &[&str], request: &Find, mut hits: Vec<Hit>) -> Result<Vec<Part>> {
        let types: Vec<String> = types.iter().map(|&name| name.to_owned()).collect();
        let mut others = Vec::new();
        while hits.len() > PER_TASK {
            let part = hits.split_off(hits.len() - PER_TASK);
            others.push(tokio::spawn(self.clone().read_part(types.clone(), request.fields.clone(), part)));
        }
        let mut parts = vec![self.clone().read_part(types, request.fields.clone(), hits).await];
        for part in others.into_iter().rev() {
            parts.push(part.await.map_err(|error| {
                Error::new(ErrorKind::Internal, "reading a page of objects was aborted").with_source(error)
            })?);
        }
        Ok(parts)
    }

    async fn read_part(self, types: Vec<String>, fields: Option<Vec<String>>, hits: Vec<Hit>) -> Part {
        let asked = self.asked(types.iter().filter_map(|name| self.definition(name).ok()));
        let mut part = Part { objects: Vec::with_capacity(hits.len()), unreadable: Vec::new() };
        for hit in &hits {
            match self.read_hit(&asked, hit).await {
                Ok(mut object) => {
                    pick(fields.as_deref(), &mut object);
                    part.objects.push(object);
                }
                Err(error) => part.unreadable.push(Unreadable { raw_id: hit.id.clone(), error }),
            }
        }
        part
    }

    /// Types that are searched for, as those need them that read what was found.
    pub(super) fn asked<'a>(&self, definitions: impl IntoIterator<Item = &'a TypeDefinition>) -> Vec<Asked<'a>> {
        definitions.into_iter().map(|definition| Asked { definition, names: self.names(definition) }).collect()
    }

    /// The object of a hit that is of one of the types.
    pub(super) async fn read_hit(&self, asked: &[Asked<'_>], hit: &Hit) -> Result<SavedObject> {
        let (definition, id, mut loaded) = self.convert_hit(asked, hit, unseen)?;
        self.learn_sets(definition, &mut loaded).await?;
        self.view(definition, id, loaded)
    }

    /// The type, the id and the document of a hit that is of one of the types.
    pub(super) async fn load_hit<'a>(
        &self,
        asked: &[Asked<'a>],
        hit: &Hit,
    ) -> Result<(&'a TypeDefinition, String, Loaded)> {
        let (definition, id, mut loaded) = self.convert_hit(asked, hit, |_, _| &[])?;
        self.learn_sets(definition, &mut loaded).await?;
        Ok((definition, id.to_owned(), loaded))
    }

    /// The document of a hit at the newest model version, without the attributes that `left_out` names.
    fn convert_hit<'a, 'h>(
        &self,
        asked: &[Asked<'a>],
        hit: &'h Hit,
        left_out: impl Fn(&'a TypeDefinition, &DocumentHeader<'_>) -> &'a [EncryptedAttribute],
    ) -> Result<(&'a TypeDefinition, &'h str, Loaded)> {
        let corrupt = |corruption| errors::corrupt(&hit.id, corruption);
        let its = |header: &DocumentHeader<'_>| asked.iter().find(|it| it.definition.name() == header.type_name());
        let wanted = |definition, header: &DocumentHeader<'_>| {
            let left_out = left_out(definition, header);
            move |name: &str| left_out.iter().all(|attribute| attribute.name != name)
        };
        let choose = |header: &DocumentHeader<'_>| its(header).map(|it| wanted(it.definition, header));
        let header = DocumentHeader::with_attributes(hit.source.get(), choose).map_err(corrupt)?;
        let Asked { definition, names } = its(&header)
            .ok_or_else(|| Error::new(ErrorKind::Internal, "a document of a type that was not asked for was found"))?;
        let is_wanted = wanted(definition, &header);
        let document = header.into_document_with(is_wanted).map_err(corrupt)?;
        let id = document.object_id(&hit.id, definition.namespace_kind()).map_err(corrupt)?;
        let version = self.version_of(names, hit)?;
        Ok((definition, id, self.converted(definition, id, Fetched { document, version })?))
    }
}

/// A type that is searched for, and where its objects are.
pub(super) struct Asked<'a> {
    definition: &'a TypeDefinition,
    names: IndexNames,
}

/// Objects of a part of a page.
struct Part {
    objects: Vec<SavedObject>,
    unreadable: Vec<Unreadable>,
}

/// Takes the attributes away that were not asked for.
pub(super) fn pick(fields: Option<&[String]>, object: &mut SavedObject) {
    if let Some(fields) = fields {
        object.attributes.retain(|name, _| fields.contains(name));
    }
}

/// The attributes of a document that nothing is needed of to show the others: those that are encrypted, if it need not be
/// converted and none of them is shown in clear.
fn unseen<'a>(definition: &'a TypeDefinition, header: &DocumentHeader<'_>) -> &'a [EncryptedAttribute] {
    let latest = definition.latest();
    let is_current =
        || VirtualVersion::of_document(header.version()).is_ok_and(|version| version.number() == latest.number);
    match latest.sets.encrypted.as_slice() {
        encrypted if definition.exposed().next().is_none() && is_current() => encrypted,
        _ => &[],
    }
}
