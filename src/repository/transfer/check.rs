//! The first reading of an import: whether every object can be imported, and under which id.

use std::collections::{BTreeMap, BTreeSet};

use super::line::Line;
use super::opening::SealedAt;
use super::origins::{Destinations, Newcomer};
use super::problem::{MAX_NAMED, kind_of, problem};
use super::read_line::Content;
use super::references::{Outgoing, can_move};
use super::request::{Decision, Import, OnConflict};
use super::sameness::Sameness;
use super::summary::{NamedObject, Problem};
use super::targets::{self, RawLines, Target, Targets, Unsealed, key_of, namespaces_of, parse};
use crate::document::{Namespace, RawId};
use crate::registry::TypeDefinition;
use crate::repository::access::Admitted;
use crate::repository::pipeline::errors;
use crate::repository::pipeline::read::Fetched;
use crate::repository::pipeline::seen_namespaces::EVERYWHERE;
use crate::repository::{Action, ObjectKey, Repository};
use crate::{ErrorKind, Result};

/// The result of the first reading.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) problems: Vec<Problem>,
    pub(super) not_listed: u64,
    pub(super) skipped: u64,
    /// The number of objects that the store already has as the file has them.
    pub(super) already_there: u64,
    /// Whether the file has as many objects as its last line says; `None` if no line says so.
    pub(super) is_complete: Option<bool>,
    pub(super) targets: Targets,
    /// What was admitted, by line, if there is an audit.
    pub(super) admitted: BTreeMap<u64, Admitted>,
}

pub(super) struct Checker<'a> {
    repository: &'a Repository,
    request: &'a Import,
    /// The `_id`s that the request gives to objects of the file, with their lines.
    chosen: BTreeMap<String, u64>,
    /// The `_id`s of objects of the file that are written under another one.
    left: BTreeSet<String>,
    /// The objects that the file must have and that were not found yet.
    unmet: BTreeSet<NamedObject>,
    newcomers: Vec<Newcomer>,
    outgoing: Outgoing,
    /// The number of lines with an object since the beginning or since the last line of an export.
    since_summary: u64,
    checked: Checked,
}

impl<'a> Checker<'a> {
    pub(super) fn new(repository: &'a Repository, request: &'a Import) -> Self {
        Self {
            repository,
            request,
            chosen: BTreeMap::new(),
            left: BTreeSet::new(),
            unmet: request.named(),
            newcomers: Vec::new(),
            outgoing: Outgoing::default(),
            since_summary: 0,
            checked: Checked::default(),
        }
    }

    /// Finishes the check once every line is read: that no two objects become the same one, which objects of the file
    /// the store has under another id, and where references lead that no object of the file answers.
    pub(super) async fn end(mut self) -> Result<Checked> {
        let in_file = &self.checked.targets.in_file;
        let is_written = |raw_id: &String| in_file.contains(raw_id) && !self.left.contains(raw_id);
        let met = self.chosen.iter().filter(|(raw_id, _)| is_written(raw_id));
        let met: Vec<Problem> = met.map(|(raw_id, line)| twice(*line, raw_id)).collect();
        met.into_iter().for_each(|problem| self.problem(problem));
        let newcomers = std::mem::take(&mut self.newcomers);
        let in_file = &self.checked.targets.in_file;
        let outgoing = std::mem::take(&mut self.outgoing).outside(self.repository, in_file);
        // The results of the searches decide what is written, so the searches must see the most recent writes.
        let searched = newcomers.iter().map(|newcomer| newcomer.object.type_name.as_str()).chain(outgoing.types());
        if let Some(unrefreshed) = self.repository.refresh_each(searched).await?.pop() {
            return Err(unrefreshed.into_error());
        }
        let destinations = Destinations::find(self.repository, &newcomers, in_file).await?;
        for (newcomer, found) in newcomers.iter().zip(&destinations.of_each) {
            self.destined(newcomer, found, &destinations).await?;
        }
        let followed = outgoing.follow(self.repository).await?;
        followed.problems.into_iter().for_each(|problem| self.problem(problem));
        self.checked.targets.references = followed.moved;
        // The object may be in a malformed line.
        if self.checked.problems.is_empty() {
            std::mem::take(&mut self.unmet).iter().for_each(|object| self.problem(not_in_file(object)));
        }
        self.checked.problems.sort_by_key(|problem| problem.line);
        Ok(self.checked)
    }

    /// Checks some lines.
    pub(super) async fn check(&mut self, lines: RawLines) -> Result<()> {
        let mut objects = Vec::new();
        for (number, raw) in lines {
            let content = match &raw {
                Ok(raw) => parse(self.request, raw),
                Err(error) => {
                    self.since_summary += 1;
                    self.problem(problem(number, None, kind_of(error), error.to_string()));
                    continue;
                }
            };
            match content {
                Ok(Content::Summary(count)) => self.summed_up(number, count),
                Ok(Content::Object(line)) => {
                    self.since_summary += 1;
                    self.unmet.remove(&line.object);
                    match self.request.takes(&line.object) {
                        true => objects.extend(self.one(number, raw.map_or(0, |raw| raw.len()), *line).await?),
                        false => self.checked.skipped += 1,
                    }
                }
                Err(malformed) => {
                    self.since_summary += 1;
                    let of_line = problem(number, None, kind_of(&malformed.error), malformed.error.to_string());
                    self.problem(Problem { column: Some(malformed.column), ..of_line });
                }
            }
        }
        if self.since_summary > 0 {
            self.checked.is_complete = self.checked.is_complete.filter(|is_complete| !is_complete);
        }
        self.conflicts(objects).await
    }

    /// Compares the last line of an export with the lines before it.
    fn summed_up(&mut self, number: u64, count: u64) {
        let before = std::mem::take(&mut self.since_summary);
        if count == before {
            self.checked.is_complete = Some(self.checked.is_complete != Some(false));
            return;
        }
        self.checked.is_complete = Some(false);
        let message = format!(
            "the last line of the export says that {count} objects were exported, and {before} are before it: the file was cut or \
             changed; take a whole copy of it, or remove this line to import what is there"
        );
        self.problem(problem(number, None, "invalid", message));
    }

    /// Checks an object by itself.
    async fn one(&mut self, number: u64, bytes: usize, line: Line) -> Result<Option<Unsealed>> {
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
        let mut admitted = self.admit(definition, &key, &line).await?;
        if let Some(sealed) = SealedAt::of(definition, &line) {
            match self.repository.admit_opening(definition, &key, &line).await {
                Ok(more) => admitted = admitted.and(more),
                Err(refused) => return admitted.end(Err(refused)),
            }
            self.checked.targets.opened.insert(sealed);
        }
        // A file may have millions of lines: the writer counts them, and nothing is kept of each for that.
        let admitted = admitted.unmeasured();
        self.checked.admitted.extend(admitted.is_heard().then_some((number, admitted)));
        let raw_id = key.raw_id(definition);
        if let Ok(raw_id) = &raw_id
            && !self.checked.targets.in_file.insert(raw_id.to_string())
        {
            let message = format!("the file has {key} twice; leave one of them out");
            self.problem(problem(number, Some(&object), "invalid", message));
            return Ok(None);
        }
        self.outgoing.note(self.repository, self.request, number, &key, &line);
        if let Some(refused) = self.choose(number, definition, &key, raw_id.ok())? {
            self.problem(refused);
            return Ok(None);
        }
        let unsealed = self.checked.targets.unsealed(self.repository, self.request, (number, bytes), line).await;
        unsealed.map(Some).or_else(|error| {
            self.problem(problem(number, Some(&object), kind_of(&error), error.to_string()));
            Ok(None)
        })
    }

    /// Admits the import of an object if the caller may import it into every namespace that will see it.
    async fn admit(&self, definition: &TypeDefinition, key: &ObjectKey, line: &Line) -> Result<Admitted> {
        let repository = self.repository;
        let mut admitted = repository.admit(Action::Import, key).await?;
        for name in namespaces_of(self.request, definition, line)? {
            let more = match name.as_str() {
                EVERYWHERE => repository.admit(Action::ShareEverywhere, key).await,
                name if name == key.namespace.as_str() => continue,
                name => {
                    let (type_name, namespace) = (definition.name(), Namespace::new(name)?);
                    repository.admit_to(Action::Import, type_name, Some(&key.id), &namespace).await
                }
            };
            match more {
                Ok(more) => admitted = admitted.and(more),
                Err(refused) => return admitted.end(Err(refused)),
            }
        }
        Ok(admitted)
    }

    /// Records the id that the request gives to an object. Returns a problem if the object cannot have it.
    fn choose(
        &mut self,
        line: u64,
        definition: &TypeDefinition,
        key: &ObjectKey,
        raw_id: Option<RawId>,
    ) -> Result<Option<Problem>> {
        let object = NamedObject { type_name: key.type_name.clone(), id: key.id.clone() };
        let (id, overwrites) = match (self.request.decisions.get(&object), self.request.on_conflict) {
            (Some(Decision::NewId(id)), _) => (id.clone(), false),
            (Some(Decision::Overwrite(id)), _) => (Some(id.clone().unwrap_or_else(|| key.id.clone())), true),
            (None, OnConflict::NewIds) => (None, false),
            _ => return Ok(None),
        };
        let is_chosen = id.as_ref().is_some_and(|id| *id != key.id);
        let id = match id {
            Some(id) => id,
            None => self.repository.environment().random_uuid()?.to_string(),
        };
        if id != key.id {
            if definition.identity().is_some() {
                let message = "objects of this type are named by their attributes, and cannot get another id";
                return Ok(Some(problem(line, Some(&object), "invalid", message.to_owned())));
            }
            self.left.extend(raw_id.map(|raw_id| raw_id.to_string()));
        }
        // An invalid id is refused when the object is prepared.
        if is_chosen
            && let Ok(raw_id) = RawId::new(definition.name(), definition.namespace_kind(), &key.namespace, &id)
            && self.chosen.insert(raw_id.to_string(), line).is_some()
        {
            return Ok(Some(twice(line, raw_id.as_str())));
        }
        self.checked.targets.set(object, Target { id, keeps_origin: overwrites, overwrites });
        Ok(None)
    }

    /// Checks objects against the store.
    async fn conflicts(&mut self, objects: Vec<Unsealed>) -> Result<()> {
        let types: BTreeSet<&str> = objects.iter().map(|object| object.item.target.key.type_name.as_str()).collect();
        for name in types {
            self.repository.check_mapped(self.repository.definition(name)?).await?;
        }
        let found = targets::look_up(self.repository, &objects).await;
        for (object, found) in objects.into_iter().zip(found) {
            let existing = match found {
                Ok(existing) => existing,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.problem(object.item.problem(&error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.conflict(object, existing).await?;
        }
        Ok(())
    }

    /// Checks one object against the store, where `existing` has its `_id`.
    async fn conflict(&mut self, object: Unsealed, existing: Option<Fetched>) -> Result<()> {
        let repository = self.repository;
        let target = &object.item.target;
        let (definition, key) = (&target.definition, &target.key);
        let can_move = can_move(definition) && self.checked.targets.get(&object.item.object).is_none();
        let is_taken = existing.is_some();
        let own = existing.filter(|it| target.is_in(&it.document));
        let overwrites = self.overwrites(&object.item.object);
        let mut conflict = None;
        let mut newcomer = None;
        match &own {
            Some(own) if self.resumes() && !overwrites => {
                let sameness = Sameness::of(repository, &object);
                if sameness.is_of(repository, target, own.clone()).await? {
                    let in_file = ObjectKey { id: object.item.object.id.clone(), ..key.clone() };
                    self.is_there(object.item.line, in_file.raw_id(definition)?);
                    return Ok(());
                }
                conflict = Some(object.item.problem(&errors::exists_already(key)));
            }
            Some(_) if !overwrites => conflict = Some(object.item.problem(&errors::exists_already(key))),
            Some(_) => {}
            None if can_move => {
                let sameness = self.resumes().then(|| Sameness::of(repository, &object));
                let keeps_secrets = definition.encrypts() && !object.says.secrets;
                newcomer = Some(Newcomer { is_taken, keeps_secrets, sameness, ..Newcomer::of(&object) });
            }
            None if is_taken => conflict = Some(object.item.problem(&errors::exists_elsewhere(key))),
            None => {}
        }
        let (item, line_bytes, ready) = object.sealed(repository, own.filter(|_| overwrites)).await;
        let checked = match ready {
            Ok(ready) => targets::check_size(repository, &item.target.key, line_bytes, &ready.document).await,
            Err(error) => Err(error),
        };
        match (checked, conflict) {
            (Err(error), _) => self.problem(item.problem(&error)),
            (Ok(()), Some(conflict)) => self.problem(conflict),
            (Ok(()), None) => self.newcomers.extend(newcomer),
        }
        Ok(())
    }

    /// Records that the store already has the object of a line, whose `_id` in the file is `raw_id`.
    fn is_there(&mut self, line: u64, raw_id: RawId) {
        self.checked.already_there += 1;
        self.checked.targets.there.insert(raw_id.to_string());
        if let Some(admitted) = self.checked.admitted.remove(&line) {
            admitted.tell(&Ok(()));
        }
    }

    fn resumes(&self) -> bool {
        self.request.on_conflict == OnConflict::Resume
    }

    fn overwrites(&self, object: &NamedObject) -> bool {
        match self.checked.targets.get(object) {
            Some(target) => target.overwrites,
            None => self.request.on_conflict == OnConflict::Overwrite,
        }
    }

    fn relocate(&mut self, newcomer: &Newcomer, keeps_origin: bool) -> Result<()> {
        let id = self.repository.environment().random_uuid()?.to_string();
        self.checked.targets.set(newcomer.object.clone(), Target { id, keeps_origin, overwrites: false });
        Ok(())
    }

    /// Decides about an object that was imported before under another id, according to `found`.
    async fn destined(&mut self, newcomer: &Newcomer, found: &[String], all: &Destinations) -> Result<()> {
        if let ([one], Some(sameness)) = (found, &newcomer.sameness)
            && !all.is_contested(newcomer, one)
            && self.has_moved(newcomer, one, sameness).await?
        {
            return Ok(());
        }
        match found {
            [] if newcomer.is_taken => self.relocate(newcomer, true),
            [] => Ok(()),
            // It is not possible to tell which of several objects of the file is the one of the store, so all of them
            // are new.
            [one] if all.is_contested(newcomer, one) || self.is_chosen(newcomer, one) => self.relocate(newcomer, false),
            [one] if self.overwrites(&newcomer.object) => {
                if newcomer.keeps_secrets
                    && let Err(error) = self.opens(newcomer, one).await
                {
                    self.problem(problem(newcomer.line, Some(&newcomer.object), kind_of(&error), error.to_string()));
                }
                let target = Target { id: one.clone(), keeps_origin: true, overwrites: true };
                self.checked.targets.set(newcomer.object.clone(), target);
                Ok(())
            }
            [_] => {
                let error = errors::exists_already(&newcomer.target.key);
                let conflict = problem(newcomer.line, Some(&newcomer.object), kind_of(&error), error.to_string());
                self.problem(Problem { destinations: found.to_vec(), ..conflict });
                Ok(())
            }
            _ => {
                let message = "several objects have the same origin; decide which of them it overwrites".to_owned();
                let ambiguous = problem(newcomer.line, Some(&newcomer.object), "ambiguous_conflict", message);
                self.problem(Problem { destinations: found.to_vec(), ..ambiguous });
                Ok(())
            }
        }
    }

    /// Returns whether the store already has a newcomer, as the file has it, under the id `one`. If so, records it.
    async fn has_moved(&mut self, newcomer: &Newcomer, one: &str, sameness: &Sameness) -> Result<bool> {
        let moved = newcomer.target.with_id(one)?;
        let Some(stored) = self.repository.fetch(&moved).await? else { return Ok(false) };
        if !sameness.is_of(self.repository, &moved, stored).await? {
            return Ok(false);
        }
        let target = Target { id: moved.key.id, keeps_origin: true, overwrites: false };
        self.checked.targets.set(newcomer.object.clone(), target);
        self.is_there(newcomer.line, newcomer.target.raw_id.clone());
        Ok(true)
    }

    /// Opens the secrets of the object with the id `one`, which a newcomer is to overwrite and whose secrets it keeps.
    async fn opens(&self, newcomer: &Newcomer, one: &str) -> Result<()> {
        let target = newcomer.target.with_id(one)?;
        if let Some(stored) = self.repository.fetch(&target).await? {
            let definition = &target.definition;
            let mut loaded = self.repository.load_for_secrets(definition, one, stored).await?;
            self.repository.open(definition, one, &mut loaded)?;
        }
        Ok(())
    }

    /// Returns whether the request gives this id to another object of the file.
    fn is_chosen(&self, newcomer: &Newcomer, id: &str) -> bool {
        self.chosen.contains_key(&format!("{}:{id}", newcomer.object.type_name))
    }

    fn problem(&mut self, problem: Problem) {
        match self.checked.problems.len() < MAX_NAMED {
            true => self.checked.problems.push(problem),
            false => self.checked.not_listed += 1,
        }
    }
}

/// Returns the problem of a request that names an object that the file does not have.
fn not_in_file(object: &NamedObject) -> Problem {
    let NamedObject { type_name, id } = object;
    problem(0, Some(object), "invalid", format!("the request names {type_name}/{id}, which the file does not have"))
}

fn twice(line: u64, raw_id: &str) -> Problem {
    let message =
        format!("two objects of the file would become {raw_id}; decide for another id, or leave one of them out");
    problem(line, None, "invalid", message)
}
