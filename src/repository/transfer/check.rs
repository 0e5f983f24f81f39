//! The first reading: can every object be imported, and under which id.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

use super::import::{Decision, Import, MAX_NAMED, OnConflict, kind_of};
use super::line::Line;
use super::references::Outgoing;
use super::summary::{NamedObject, Problem, Relocated};
use crate::cluster::{Query, Search, SearchIn};
use crate::conversion;
use crate::document::{Namespace, NamespaceKind, RawId, RootFields, StoredDocument, VersionToken};
use crate::registry::TypeDefinition;
use crate::repository::find;
use crate::repository::read::{self, Fetched};
use crate::repository::{Action, ObjectKey, Repository, content, errors, limits};
use crate::{Error, Result};

/// Objects with an origin in question that one search gives.
const ORIGINS: u32 = 10_000;

/// What the first reading found.
pub(super) struct Checked {
    pub(super) problems: Vec<Problem>,
    pub(super) not_listed: u64,
    pub(super) skipped: u64,
    pub(super) targets: Targets,
}

/// The ids of objects that get another one, and whether they overwrite.
#[derive(Debug, Default)]
pub(super) struct Targets {
    objects: BTreeMap<NamedObject, Target>,
    /// Ids of objects of the store that references of the file have under older ones.
    references: BTreeMap<ObjectKey, String>,
}

#[derive(Debug, Clone)]
struct Target {
    id: String,
    /// Whether the id it had is remembered as its origin.
    keeps_origin: bool,
    overwrites: bool,
}

/// An object to be written.
pub(super) struct Prepared {
    pub(super) line: u64,
    pub(super) object: NamedObject,
    pub(super) key: ObjectKey,
    pub(super) document: StoredDocument,
    /// What it overwrites.
    pub(super) existing: Option<(StoredDocument, VersionToken)>,
}

impl Prepared {
    pub(super) fn problem(&self, error: &Error) -> Problem {
        problem(self.line, Some(&self.object), kind_of(error), error.to_string())
    }
}

type RawLines = Vec<(u64, Zeroizing<Vec<u8>>)>;

pub(super) struct Checker<'a> {
    repository: &'a Repository,
    request: &'a Import,
    /// Every object so far, by its namespace too.
    seen: BTreeSet<String>,
    /// Objects of the store that an object of the file overwrites though it is called otherwise.
    claimed: BTreeSet<NamedObject>,
    outgoing: Outgoing,
    checked: Checked,
}

impl<'a> Checker<'a> {
    pub(super) fn new(repository: &'a Repository, request: &'a Import) -> Self {
        let checked = Checked { problems: Vec::new(), not_listed: 0, skipped: 0, targets: Targets::default() };
        Self {
            repository,
            request,
            seen: BTreeSet::new(),
            claimed: BTreeSet::new(),
            outgoing: Outgoing::default(),
            checked,
        }
    }

    /// Once every line is checked: where do the references lead that the file does not answer?
    pub(super) async fn end(mut self) -> Result<Checked> {
        let followed = std::mem::take(&mut self.outgoing).follow(self.repository, &self.seen).await?;
        followed.problems.into_iter().for_each(|problem| self.problem(problem));
        self.checked.targets.references = followed.moved;
        Ok(self.checked)
    }

    /// Checks some lines.
    pub(super) async fn check(&mut self, lines: RawLines) -> Result<()> {
        let mut objects = Vec::new();
        for (number, line) in lines {
            let Some(line) = parse(self.request, number, &line)? else { continue };
            match self.request.decisions.get(&line.object) {
                Some(Decision::Skip) => {
                    self.checked.skipped += 1;
                    continue;
                }
                None if self.request.only_decided => {
                    self.checked.skipped += 1;
                    continue;
                }
                _ => {}
            }
            objects.extend(self.one(number, line).await?);
        }
        self.conflicts(objects).await
    }

    /// What can be said of an object by itself.
    async fn one(&mut self, number: u64, line: Line) -> Result<Option<Prepared>> {
        let object = line.object.clone();
        let definition = match self.repository.exportable(&object.type_name) {
            Ok(definition) => definition,
            Err(error) => {
                self.problem(problem(number, Some(&object), "unsupported_type", error.to_string()));
                return Ok(None);
            }
        };
        let key = match key_of(self.request, definition, &line) {
            Ok(key) => key,
            Err(error) => {
                self.problem(problem(number, Some(&object), kind_of(&error), error.to_string()));
                return Ok(None);
            }
        };
        // What becomes of it is told when it is written.
        drop(self.repository.admit(Action::Import, &key).await?);
        let raw_id = RawId::new(definition.name(), definition.namespace_kind(), &key.namespace, &key.id);
        if let Ok(raw_id) = &raw_id
            && !self.seen.insert(raw_id.to_string())
        {
            return Err(Error::invalid(format!("line {number}: the file has {key} twice"), "leave one of them out"));
        }
        self.outgoing.note(self.repository, self.request, number, &key, &line);
        let new_id = match (self.request.decisions.get(&object), self.request.on_conflict) {
            (Some(Decision::NewId(id)), _) => Some((id.clone(), false)),
            (Some(Decision::Overwrite(id)), _) => Some((Some(id.clone().unwrap_or_else(|| object.id.clone())), true)),
            (None, OnConflict::NewIds) => Some((None, false)),
            _ => None,
        };
        if let Some((id, overwrites)) = new_id {
            let id = match id {
                Some(id) => id,
                None => self.repository.environment().random_uuid()?.to_string(),
            };
            if definition.identity().is_some() && id != object.id {
                let message =
                    "objects of this type are named by their attributes, and cannot get another id".to_owned();
                self.problem(problem(number, Some(&object), "invalid", message));
                return Ok(None);
            }
            let target = Target { id, keeps_origin: overwrites, overwrites };
            self.checked.targets.objects.insert(object.clone(), target);
        }
        let prepared = self.checked.targets.prepare_one(self.repository, self.request, number, line).await;
        prepared.map(Some).or_else(|error| {
            self.problem(problem(number, Some(&object), kind_of(&error), error.to_string()));
            Ok(None)
        })
    }

    /// What the store has to say.
    async fn conflicts(&mut self, mut objects: Vec<Prepared>) -> Result<()> {
        look_up(self.repository, &mut objects).await?;
        let mut maybe_elsewhere = Vec::new();
        for object in objects {
            let definition = self.repository.definition(&object.key.type_name)?;
            let is_new = self.checked.targets.objects.contains_key(&object.object);
            match &object.existing {
                Some((existing, _)) if !read::is_asked_for(definition, &object.key, existing) => {
                    if definition.namespace_kind().is_multiple() && !is_new && definition.identity().is_none() {
                        self.relocate(&object, true)?;
                    } else {
                        self.problem(object.problem(&errors::exists_elsewhere(&object.key)));
                    }
                }
                Some(_) if self.overwrites(&object.object) => {}
                Some(_) => self.problem(object.problem(&errors::exists_already(&object.key))),
                None if definition.namespace_kind().is_multiple() && !is_new => maybe_elsewhere.push(object),
                None => {}
            }
        }
        self.origins(maybe_elsewhere).await
    }

    fn overwrites(&self, object: &NamedObject) -> bool {
        match self.checked.targets.objects.get(object) {
            Some(target) => target.overwrites,
            None => self.request.on_conflict == OnConflict::Overwrite,
        }
    }

    fn relocate(&mut self, object: &Prepared, keeps_origin: bool) -> Result<()> {
        let id = self.repository.environment().random_uuid()?.to_string();
        let target = Target { id, keeps_origin, overwrites: false };
        self.checked.targets.objects.insert(object.object.clone(), target);
        Ok(())
    }

    /// Objects that were imported before under another id: they have the same origin.
    async fn origins(&mut self, objects: Vec<Prepared>) -> Result<()> {
        let mut by_type: BTreeMap<String, Vec<Prepared>> = BTreeMap::new();
        for object in objects {
            by_type.entry(object.object.type_name.clone()).or_default().push(object);
        }
        for (type_name, objects) in by_type {
            let definition = self.repository.definition(&type_name)?;
            let found = self.with_origin(definition, &objects).await?;
            for object in objects {
                let is_same = |(id, origin): &&(String, StoredDocument)| {
                    let own = object.document.root.origin_id.as_deref();
                    let theirs = origin.root.origin_id.as_deref();
                    let asked = read::is_asked_for(definition, &object.key, origin);
                    asked
                        && (theirs == Some(&object.object.id)
                            || own.is_some_and(|own| theirs == Some(own) || id == own))
                };
                let destinations: Vec<String> = found.iter().filter(is_same).map(|(id, _)| id.clone()).collect();
                self.destined(&object, destinations)?;
            }
        }
        Ok(())
    }

    fn destined(&mut self, object: &Prepared, destinations: Vec<String>) -> Result<()> {
        match destinations.as_slice() {
            [] => {}
            [one] => {
                let destination = NamedObject { type_name: object.object.type_name.clone(), id: one.clone() };
                if !self.claimed.insert(destination) {
                    self.relocate(object, false)?;
                } else if self.overwrites(&object.object) {
                    let target = Target { id: one.clone(), keeps_origin: true, overwrites: true };
                    self.checked.targets.objects.insert(object.object.clone(), target);
                } else {
                    let conflict = object.problem(&errors::exists_already(&object.key));
                    self.problem(Problem { destinations, ..conflict });
                }
            }
            _ => {
                let message = "several objects have the same origin; decide which of them it overwrites".to_owned();
                let ambiguous = problem(object.line, Some(&object.object), "ambiguous_conflict", message);
                self.problem(Problem { destinations, ..ambiguous });
            }
        }
        Ok(())
    }

    async fn with_origin(
        &self,
        definition: &TypeDefinition,
        objects: &[Prepared],
    ) -> Result<Vec<(String, StoredDocument)>> {
        let mut origins = BTreeSet::new();
        for object in objects {
            origins.insert(object.object.id.as_str());
            origins.extend(object.document.root.origin_id.as_deref());
        }
        let raw_ids = origins.iter().map(|id| format!("{}:{id}", definition.name())).collect();
        let query = Query::And(vec![
            Query::equals("type", definition.name()),
            Query::Or(vec![
                Query::AnyOf { field: "originId".to_owned(), values: origins.iter().map(|id| (*id).into()).collect() },
                Query::Ids(raw_ids),
            ]),
        ]);
        let alias = self.repository.names(definition).alias().to_owned();
        let search = Search { size: ORIGINS, ..Search::new(SearchIn::Index(alias.clone()), query) };
        let page = self.repository.shared.cluster.search(&search).await;
        let page = page.map_err(|error| find::refused(&alias, error))?;
        let readable = |hit: &crate::cluster::Hit| {
            let document = StoredDocument::from_source(hit.source.get().as_bytes()).ok()?;
            let id = document.object_id(&hit.id, definition.namespace_kind()).ok()?.to_owned();
            let raw_id = hit.id.clone();
            // What the file has itself is no stranger.
            (!self.seen.contains(&raw_id)).then_some((id, document))
        };
        Ok(page.hits.iter().filter_map(readable).collect())
    }

    fn problem(&mut self, problem: Problem) {
        match self.checked.problems.len() < MAX_NAMED {
            true => self.checked.problems.push(problem),
            false => self.checked.not_listed += 1,
        }
    }
}

impl Targets {
    /// The objects that get another id.
    pub(super) fn relocated(&self) -> Vec<Relocated> {
        let moved = self.objects.iter().filter(|(object, target)| object.id != target.id);
        moved.map(|(object, target)| Relocated { object: object.clone(), destination_id: target.id.clone() }).collect()
    }

    /// The objects of some lines, ready to be written.
    pub(super) async fn prepare(
        &self,
        repository: &Repository,
        request: &Import,
        lines: RawLines,
    ) -> Result<Vec<Prepared>> {
        let mut objects = Vec::new();
        for (number, line) in lines {
            let Some(line) = parse(request, number, &line)? else { continue };
            let decision = request.decisions.get(&line.object);
            if decision == Some(&Decision::Skip) || (decision.is_none() && request.only_decided) {
                continue;
            }
            objects.push(self.prepare_one(repository, request, number, line).await?);
        }
        let overwrites =
            request.on_conflict == OnConflict::Overwrite || self.objects.values().any(|target| target.overwrites);
        if overwrites {
            look_up(repository, &mut objects).await?;
            for object in &mut objects {
                let may = self
                    .objects
                    .get(&object.object)
                    .map_or(request.on_conflict == OnConflict::Overwrite, |t| t.overwrites);
                let definition = repository.definition(&object.key.type_name)?;
                let is_same =
                    object.existing.as_ref().is_some_and(|(it, _)| read::is_asked_for(definition, &object.key, it));
                // A creation where something is fails by itself.
                if !may || !is_same {
                    object.existing = None;
                }
            }
        }
        Ok(objects)
    }

    async fn prepare_one(
        &self,
        repository: &Repository,
        request: &Import,
        number: u64,
        mut line: Line,
    ) -> Result<Prepared> {
        let definition = repository.exportable(&line.object.type_name)?;
        let secrets = line.take_secrets();
        let mut key = key_of(request, definition, &line)?;
        let kind = definition.namespace_kind();
        let object = line.object.clone();
        let old_root = RootFields {
            namespace: match kind {
                NamespaceKind::Single => {
                    line.namespaces.first().filter(|name| *name != Namespace::DEFAULT.as_str()).cloned()
                }
                _ => None,
            },
            type_migration_version: line.type_migration_version.take(),
            ..RootFields::default()
        };
        let mut attributes = line.attributes;
        attributes.extend(line.envelopes);
        let document = StoredDocument { type_name: object.type_name.clone(), attributes, root: old_root };
        let version = VersionToken { seq_no: 0, primary_term: 0, generation: 0 };
        let mut loaded = repository.load(definition, &object.id, Fetched { document, version }).await?;
        if let Some(newer) = &loaded.newer {
            return Err(conversion::newer(definition, newer.version));
        }
        let mut all = repository.open(definition, &object.id, &mut loaded)?;
        all.extend(secrets);
        let mut attributes = loaded.document.attributes;
        for encrypted in &definition.latest().sets.encrypted {
            attributes.remove(&encrypted.name);
        }
        let mut origin_id = line.origin_id;
        if let Some(target) = self.objects.get(&object) {
            if target.id != object.id {
                origin_id = target.keeps_origin.then(|| origin_id.unwrap_or_else(|| object.id.clone()));
            }
            key.id.clone_from(&target.id);
        }
        RawId::new(definition.name(), kind, &key.namespace, &key.id)?;
        content::check_new_id(definition, &key.id)?;
        for reference in &mut line.references {
            let named = NamedObject { type_name: reference.type_name.clone(), id: reference.id.clone() };
            if let Some(target) = self.objects.get(&named) {
                reference.id.clone_from(&target.id);
                continue;
            }
            let outside = ObjectKey::new(&named.type_name, &named.id).in_namespace(key.namespace.clone());
            if let Some(id) = self.references.get(&outside) {
                reference.id.clone_from(id);
            }
        }
        let now = || Some(repository.environment().now_iso());
        let root = RootFields {
            namespace: match kind {
                NamespaceKind::Single => key.namespace.id_form().map(str::to_owned),
                _ => None,
            },
            namespaces: kind.is_multiple().then(|| match &request.namespace {
                Some(namespace) => vec![namespace.to_string()],
                None if line.namespaces.is_empty() => vec![Namespace::DEFAULT.to_string()],
                None => line.namespaces,
            }),
            origin_id,
            references: line.references,
            managed: Some(line.managed),
            created_at: line.created_at.or_else(now),
            created_by: line.created_by,
            updated_at: line.updated_at.or_else(now),
            updated_by: line.updated_by,
            ..RootFields::default()
        };
        let document = repository.seal_whole(definition, &key, root, attributes, all)?;
        // Its size is not known yet, and so counts as any.
        limits::check(definition, &key, &document, usize::MAX)?;
        Ok(Prepared { line: number, object, key, document, existing: None })
    }
}

/// What an object will be called.
fn key_of(request: &Import, definition: &TypeDefinition, line: &Line) -> Result<ObjectKey> {
    let namespace = match (&request.namespace, line.namespaces.first()) {
        _ if definition.namespace_kind() == NamespaceKind::Agnostic => Namespace::DEFAULT,
        (Some(namespace), _) => namespace.clone(),
        (None, Some(name)) if name != "*" => Namespace::new(name)?,
        (None, _) => Namespace::DEFAULT,
    };
    Ok(ObjectKey::new(definition.name(), &line.object.id).in_namespace(namespace))
}

/// Notes which of the objects exist.
async fn look_up(repository: &Repository, objects: &mut [Prepared]) -> Result<()> {
    let mut by_alias: BTreeMap<String, Vec<(usize, String)>> = BTreeMap::new();
    for (at, object) in objects.iter().enumerate() {
        let (definition, key) = (repository.definition(&object.key.type_name)?, &object.key);
        let raw_id = RawId::new(definition.name(), definition.namespace_kind(), &key.namespace, &key.id)?;
        let alias = repository.names(definition).alias().to_owned();
        by_alias.entry(alias).or_default().push((at, raw_id.to_string()));
    }
    for (alias, wanted) in by_alias {
        let ids: Vec<&str> = wanted.iter().map(|(_, raw_id)| raw_id.as_str()).collect();
        let found = repository.shared.cluster.get_many(&alias, &ids).await;
        let found = found.map_err(|error| find::refused(&alias, error))?;
        for ((at, raw_id), hit) in wanted.iter().zip(found) {
            let Some(hit) = hit else { continue };
            let document = StoredDocument::from_source(hit.source.get().as_bytes())
                .map_err(|corruption| errors::corrupt(raw_id, corruption))?;
            let definition = repository.definition(&objects[*at].key.type_name)?;
            let version = repository.version_of(&repository.names(definition), &hit)?;
            objects[*at].existing = Some((document, version));
        }
    }
    Ok(())
}

fn parse(request: &Import, number: u64, line: &[u8]) -> Result<Option<Line>> {
    let mut line = Line::parse(line).map_err(|error| error.context(format!("line {number}")))?;
    if let Some(line) = &mut line {
        request.redirect(&line.object, &mut line.references);
    }
    Ok(line)
}

fn problem(line: u64, object: Option<&NamedObject>, kind: &'static str, message: String) -> Problem {
    Problem { line, object: object.cloned(), kind, message, destinations: Vec::new(), missing: Vec::new() }
}
