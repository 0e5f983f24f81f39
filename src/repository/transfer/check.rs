//! The first reading: can every object be imported, and under which id.

use std::collections::{BTreeMap, BTreeSet};

use super::import::{Decision, Import, MAX_NAMED, OnConflict, kind_of};
use super::line::Line;
use super::opening::SealedAt;
use super::origins::{Destinations, Newcomer};
use super::references::Outgoing;
use super::summary::{NamedObject, Problem};
use super::targets::{self, Prepared, RawLines, Target, Targets, key_of, namespaces_of, parse, problem};
use crate::document::{Namespace, RawId};
use crate::registry::TypeDefinition;
use crate::repository::access::Admitted;
use crate::repository::change_namespaces::EVERYWHERE;
use crate::repository::read::{self, Fetched};
use crate::repository::{Action, ObjectKey, Repository, errors};
use crate::{Error, ErrorKind, Result};

/// What the first reading found.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) problems: Vec<Problem>,
    pub(super) not_listed: u64,
    pub(super) skipped: u64,
    pub(super) targets: Targets,
    /// What may be imported, by its line, if somebody hears of it.
    pub(super) admitted: BTreeMap<u64, Admitted>,
}

pub(super) struct Checker<'a> {
    repository: &'a Repository,
    request: &'a Import,
    /// The `_id`s that the request gives to objects of the file, with their lines.
    chosen: BTreeMap<String, u64>,
    /// The `_id`s of objects of the file that are written under another one.
    left: BTreeSet<String>,
    newcomers: Vec<Newcomer>,
    outgoing: Outgoing,
    checked: Checked,
}

impl<'a> Checker<'a> {
    pub(super) fn new(repository: &'a Repository, request: &'a Import) -> Self {
        Self {
            repository,
            request,
            chosen: BTreeMap::new(),
            left: BTreeSet::new(),
            newcomers: Vec::new(),
            outgoing: Outgoing::default(),
            checked: Checked::default(),
        }
    }

    /// Once every line is checked: is each to become another object, what of the file is in the store under another id, and where
    /// do the references lead that the file does not answer?
    pub(super) async fn end(mut self) -> Result<Checked> {
        let in_file = &self.checked.targets.in_file;
        if let Some((raw_id, line)) =
            self.chosen.iter().find(|(raw_id, _)| in_file.contains(*raw_id) && !self.left.contains(*raw_id))
        {
            return Err(twice(*line, raw_id));
        }
        let newcomers = std::mem::take(&mut self.newcomers);
        let outgoing = std::mem::take(&mut self.outgoing).outside(self.repository, in_file);
        // What the searches find decides what is written: they must see all that was written before, a moment ago too.
        let searched = newcomers.iter().map(|newcomer| newcomer.object.type_name.as_str()).chain(outgoing.types());
        self.repository.refresh_each(searched).await?;
        let destinations = Destinations::find(self.repository, &newcomers, in_file).await?;
        for (newcomer, found) in newcomers.iter().zip(&destinations.of_each) {
            self.destined(newcomer, found, &destinations)?;
        }
        let followed = outgoing.follow(self.repository).await?;
        followed.problems.into_iter().for_each(|problem| self.problem(problem));
        self.checked.targets.references = followed.moved;
        Ok(self.checked)
    }

    /// Checks some lines.
    pub(super) async fn check(&mut self, lines: RawLines) -> Result<()> {
        let mut objects = Vec::new();
        for (number, raw) in lines {
            let Some(line) = parse(self.request, number, &raw)? else { continue };
            match self.request.takes(&line.object) {
                true => objects.extend(self.one(number, raw.len(), line).await?),
                false => self.checked.skipped += 1,
            }
        }
        self.conflicts(objects).await
    }

    /// What can be said of an object by itself.
    async fn one(&mut self, number: u64, bytes: usize, line: Line) -> Result<Option<Prepared>> {
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
        self.checked.admitted.extend(admitted.is_heard().then_some((number, admitted)));
        let raw_id = key.raw_id(definition);
        if let Ok(raw_id) = &raw_id
            && !self.checked.targets.in_file.insert(raw_id.to_string())
        {
            return Err(Error::invalid(format!("line {number}: the file has {key} twice"), "leave one of them out"));
        }
        self.outgoing.note(self.repository, self.request, number, &key, &line);
        if let Some(refused) = self.choose(number, definition, &key, raw_id.ok())? {
            self.problem(refused);
            return Ok(None);
        }
        let prepared = self.checked.targets.prepare_one(self.repository, self.request, number, line).await;
        let prepared = match prepared {
            Ok(prepared) => targets::check_size(self.repository, bytes, &prepared).await.map(|()| prepared),
            Err(error) => Err(error),
        };
        prepared.map(Some).or_else(|error| {
            self.problem(problem(number, Some(&object), kind_of(&error), error.to_string()));
            Ok(None)
        })
    }

    /// Lets the object be imported, if that may be done in every namespace from which it is to be seen.
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

    /// Notes which id the request gives to an object; a problem if it cannot have it.
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
        // An id that cannot be one is refused when the object is prepared.
        if is_chosen
            && let Ok(raw_id) = RawId::new(definition.name(), definition.namespace_kind(), &key.namespace, &id)
            && self.chosen.insert(raw_id.to_string(), line).is_some()
        {
            return Err(twice(line, raw_id.as_str()));
        }
        self.checked.targets.set(object, Target { id, keeps_origin: overwrites, overwrites });
        Ok(None)
    }

    /// What the store has to say.
    async fn conflicts(&mut self, objects: Vec<Prepared>) -> Result<()> {
        let found = targets::look_up(self.repository, &objects).await?;
        for (object, found) in objects.into_iter().zip(found) {
            let definition = self.repository.definition(&object.key.type_name)?;
            let existing = match found {
                Ok(existing) => existing,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    self.problem(object.problem(&error));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let can_move = definition.namespace_kind().is_multiple()
                && definition.identity().is_none()
                && self.checked.targets.get(&object.object).is_none();
            let is_own = |it: &Fetched| read::is_asked_for(definition, &object.key, &it.document);
            let is_taken = match existing {
                None => false,
                Some(existing) if is_own(&existing) => {
                    if !self.overwrites(&object.object) {
                        self.problem(object.problem(&errors::exists_already(&object.key)));
                    }
                    continue;
                }
                Some(_) if can_move => true,
                Some(_) => {
                    self.problem(object.problem(&errors::exists_elsewhere(&object.key)));
                    continue;
                }
            };
            if can_move {
                self.newcomers.push(Newcomer::new(object, is_taken));
            }
        }
        Ok(())
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

    /// Decides about an object that was imported before under another id, as far as `found` says.
    fn destined(&mut self, newcomer: &Newcomer, found: &[String], all: &Destinations) -> Result<()> {
        match found {
            [] if newcomer.is_taken => self.relocate(newcomer, true),
            [] => Ok(()),
            // Which of several objects of the file is the one of the store, nobody can say: they are all new.
            [one] if all.is_contested(newcomer, one) || self.is_chosen(newcomer, one) => self.relocate(newcomer, false),
            [one] if self.overwrites(&newcomer.object) => {
                let target = Target { id: one.clone(), keeps_origin: true, overwrites: true };
                self.checked.targets.set(newcomer.object.clone(), target);
                Ok(())
            }
            [_] => {
                let error = errors::exists_already(&newcomer.key);
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

    /// Whether the request lets another object of the file become the one with this id.
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

fn twice(line: u64, raw_id: &str) -> Error {
    Error::invalid(
        format!("line {line}: two objects of the file would become {raw_id}"),
        "decide for another id, or leave one of them out",
    )
}
