//! A simple model of a repository: a map of objects, and the versions that each client has read.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;
use saved_objects::ErrorKind;
use saved_objects::repository::{IdState, Resolution};

use super::operations::{Change, Key, Kind, New, Operation, Step, Target, Wanted, key_of, operations};

pub(super) const CLIENTS: usize = 3;
/// A stored object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    kind: Kind,
    pub(super) key: Key,
    /// In the order of a read; empty for agnostic objects.
    pub(super) namespaces: Vec<String>,
    pub(super) title: String,
    pub(super) count: u64,
    /// Type and id of the object that it refers to.
    pub(super) refers_to: Option<(String, String)>,
    /// The id of the object that it is a copy of.
    pub(super) origin: Option<String>,
    /// The number of the write that it comes from.
    written: u64,
}

impl Stored {
    fn is_seen_by(&self, key: &Key) -> bool {
        self.key.type_name == key.type_name && self.is_seen_from(key.namespace)
    }

    fn first_id(&self) -> &str {
        self.origin.as_deref().unwrap_or(self.key.id)
    }

    fn is_seen_from(&self, namespace: &str) -> bool {
        self.kind == Kind::Agnostic || self.namespaces.iter().any(|name| name == namespace || name == "*")
    }
}

/// The answer for one object: the object as it is then; `None` if it is deleted.
pub(super) type Item = Result<Option<Stored>, ErrorKind>;

/// A resolved object, and how it was resolved.
pub(super) type Resolved = Result<(Stored, Resolution), ErrorKind>;

/// An object that references lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Collected {
    pub(super) type_name: String,
    pub(super) id: String,
    pub(super) state: State,
    /// Type and id of the objects that refer to it.
    pub(super) inbound: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Found { namespaces: Vec<String>, origin: Option<String>, of_same_origin: Vec<String> },
    Missing,
    NotFollowed,
}

/// The expected answer of the last operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    Nothing,
    Items(Vec<Item>),
    Ids(Vec<IdState>),
    Resolved(Vec<Resolved>),
    Collected(Vec<Collected>),
    /// In any order.
    Found(Vec<Stored>),
    /// The number of objects, and the lines with a conflict, for which nothing is written.
    Imported {
        written: u64,
        conflicts: Vec<u64>,
    },
    Swept {
        updated: u64,
        deleted: u64,
    },
    Refused(ErrorKind),
}

/// Everything that is stored, and the expected answer of the last operation.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) objects: BTreeMap<String, Stored>,
    /// The last write of a stored id that each client knows.
    known: BTreeMap<(usize, String), u64>,
    writes: u64,
    pub(super) expected: Expected,
}

impl Model {
    /// Returns whether the client knows a version of the object with the key's stored id.
    pub(super) fn knows(&self, client: usize, key: &Key) -> bool {
        self.known.contains_key(&(client, key.raw()))
    }

    fn seen(&self, key: &Key) -> Option<&Stored> {
        self.objects.get(&key.raw()).filter(|stored| stored.is_seen_by(key))
    }

    fn store(&mut self, client: usize, raw: &str, mut stored: Stored) -> Item {
        self.writes += 1;
        stored.written = self.writes;
        self.known.insert((client, raw.to_owned()), self.writes);
        self.objects.insert(raw.to_owned(), stored.clone());
        Ok(Some(stored))
    }

    /// Returns the stored object, if it has the version that the client names.
    fn at_version(&self, client: usize, (key, versioned): &Target) -> Result<Stored, ErrorKind> {
        let stored = self.seen(key).ok_or(ErrorKind::NotFound)?;
        match self.known.get(&(client, key.raw())) {
            Some(known) if *versioned && *known != stored.written => Err(ErrorKind::Conflict),
            _ => Ok(stored.clone()),
        }
    }

    fn create(&mut self, client: usize, new: &New) -> Item {
        let raw = new.key.raw();
        let refers_to = new.refers_to.as_ref().map(|key| (key.type_name.to_owned(), key.id.to_owned()));
        let mut stored = Stored {
            kind: new.key.kind,
            key: new.key.clone(),
            namespaces: match new.key.kind {
                Kind::Agnostic => Vec::new(),
                _ => vec![new.key.namespace.to_owned()],
            },
            title: new.title.clone(),
            count: 0,
            refers_to,
            origin: new.origin.map(str::to_owned),
            written: 0,
        };
        match self.objects.get(&raw) {
            None => {}
            Some(existing) if new.overwrite && existing.is_seen_by(&new.key) => {
                stored.namespaces.clone_from(&existing.namespaces);
                stored.key = existing.key.clone();
                stored.origin = stored.origin.or_else(|| existing.origin.clone());
            }
            Some(_) => return Err(ErrorKind::Conflict),
        }
        self.store(client, &raw, stored)
    }

    fn get(&mut self, client: usize, key: &Key) -> Item {
        let stored = self.seen(key).cloned().ok_or(ErrorKind::NotFound)?;
        self.known.insert((client, key.raw()), stored.written);
        Ok(Some(stored))
    }

    fn update(&mut self, client: usize, target: &Target, change: &Change) -> Item {
        let mut stored = self.at_version(client, target)?;
        match change {
            Change::Count => stored.count += 1,
            Change::Title(title) => stored.title.clone_from(title),
            Change::Refuse => return Err(ErrorKind::Invalid),
        }
        self.store(client, &target.0.raw(), stored)
    }

    fn upsert(&mut self, client: usize, new: &New) -> Item {
        match self.objects.get(&new.key.raw()) {
            None => self.create(client, new),
            Some(stored) if stored.is_seen_by(&new.key) => {
                self.update(client, &(new.key.clone(), false), &Change::Count)
            }
            Some(_) => Err(ErrorKind::Conflict),
        }
    }

    fn replace(&mut self, client: usize, target: &Target, title: &str) -> Item {
        let stored = self.at_version(client, target)?;
        self.store(client, &target.0.raw(), Stored { title: title.to_owned(), count: 0, ..stored })
    }

    fn delete(&mut self, client: usize, target: &Target, force: bool) -> Item {
        let (key, versioned) = target;
        let raw = key.raw();
        // For an agnostic object the version is enough, and nothing is read, unless its stored id may belong to another
        // object.
        let is_unread = key.kind == Kind::Agnostic && !key.id.contains(':');
        let stored = match self.at_version(client, target) {
            Err(ErrorKind::NotFound) if is_unread && *versioned && self.knows(client, key) => {
                return Err(ErrorKind::Conflict);
            }
            stored => stored?,
        };
        let is_shared = stored.namespaces.len() > 1 || stored.namespaces.iter().any(|name| name == "*");
        if is_shared && !force {
            return Err(ErrorKind::Invalid);
        }
        self.objects.remove(&raw);
        Ok(None)
    }

    fn increment(&mut self, client: usize, key: &Key, create: bool) -> Item {
        match self.objects.get(&key.raw()) {
            Some(stored) if stored.is_seen_by(key) => self.update(client, &(key.clone(), false), &Change::Count),
            Some(_) if create => Err(ErrorKind::Conflict),
            None if create => {
                let title = "new".to_owned();
                let new = New { key: key.clone(), title, refers_to: None, origin: None, overwrite: false };
                self.create(client, &new)?;
                self.update(client, &(key.clone(), false), &Change::Count)
            }
            _ => Err(ErrorKind::NotFound),
        }
    }

    fn change_namespaces(&mut self, client: usize, key: &Key, add: &[&str], remove: Option<&str>) -> Item {
        if key.kind != Kind::Multiple {
            return Err(ErrorKind::Invalid);
        }
        let mut stored = self.seen(key).cloned().ok_or(ErrorKind::NotFound)?;
        let before = stored.namespaces.clone();
        stored.namespaces.retain(|name| Some(name.as_str()) != remove);
        for name in add {
            if !stored.namespaces.iter().any(|other| other == name) {
                stored.namespaces.push((*name).to_owned());
            }
        }
        if stored.namespaces == before {
            self.known.insert((client, key.raw()), stored.written);
            return Ok(Some(stored));
        }
        if stored.namespaces.is_empty() {
            self.objects.remove(&key.raw());
            return Ok(None);
        }
        self.store(client, &key.raw(), stored)
    }

    fn resolve(&self, key: &Key) -> Resolved {
        let is_origin = |stored: &&Stored| {
            stored.is_seen_by(key) && stored.origin.as_deref() == Some(key.id) && stored.key.id != key.id
        };
        let mut others: Vec<&Stored> = self.objects.values().filter(is_origin).collect();
        others.sort_by_key(|stored| stored.key.id);
        match (self.seen(key), others.as_slice()) {
            (Some(exact), []) => Ok((exact.clone(), Resolution::ExactMatch)),
            (Some(exact), others) => {
                let others = others.iter().map(|stored| stored.key.id.to_owned()).collect();
                Ok((exact.clone(), Resolution::Conflict { others }))
            }
            (None, []) => Err(ErrorKind::NotFound),
            (None, [one]) => Ok(((*one).clone(), Resolution::OriginMatch)),
            (None, _) => Err(ErrorKind::Conflict),
        }
    }

    fn collect(&self, roots: &[Key]) -> Vec<Collected> {
        let mut collected: Vec<Collected> = Vec::new();
        let mut level = Vec::new();
        let place = |collected: &mut Vec<Collected>, key: &Key| {
            let at = collected.iter().position(|other| other.type_name == key.type_name && other.id == key.id);
            let is_new = at.is_none();
            let at = at.unwrap_or_else(|| {
                let (type_name, id) = (key.type_name.to_owned(), key.id.to_owned());
                collected.push(Collected { type_name, id, state: State::NotFollowed, inbound: Vec::new() });
                collected.len() - 1
            });
            (at, is_new)
        };
        for root in roots {
            let (at, is_new) = place(&mut collected, root);
            level.extend((is_new && root.is_collected()).then(|| (at, root.clone())));
        }
        while !level.is_empty() {
            let mut next = Vec::new();
            for (at, key) in level {
                let Some(stored) = self.seen(&key) else {
                    collected[at].state = State::Missing;
                    continue;
                };
                let namespaces = stored.namespaces.clone();
                collected[at].state = State::Found {
                    namespaces,
                    origin: stored.origin.clone(),
                    of_same_origin: self.of_same_origin(stored),
                };
                let target = stored.refers_to.as_ref().and_then(|target| key_of(target, key.namespace));
                if let Some(target) = target.filter(|target| target.kind != Kind::Agnostic) {
                    let (to, is_new) = place(&mut collected, &target);
                    collected[to].inbound.push((key.type_name.to_owned(), key.id.to_owned()));
                    next.extend((is_new && target.is_collected()).then_some((to, target)));
                }
            }
            level = next;
        }
        collected
    }

    /// Returns where other objects of the same origin are seen.
    fn of_same_origin(&self, stored: &Stored) -> Vec<String> {
        let is_other = |other: &&Stored| {
            other.key.type_name == stored.key.type_name
                && other.first_id() == stored.first_id()
                && other.key.id != stored.key.id
        };
        let namespaces: BTreeSet<String> =
            self.objects.values().filter(is_other).flat_map(|other| other.namespaces.iter().cloned()).collect();
        namespaces.into_iter().collect()
    }

    fn find(&self, wanted: &Wanted) -> Vec<Stored> {
        let is_wanted = |stored: &&Stored| {
            wanted.types.contains(&stored.key.type_name)
                && wanted.namespaces.iter().any(|namespace| stored.is_seen_from(namespace))
                && wanted.title.as_ref().is_none_or(|title| stored.title == *title)
        };
        self.objects.values().filter(is_wanted).cloned().collect()
    }

    fn import(&mut self, lines: &[New], overwrite: bool) -> Expected {
        let mut named = BTreeSet::new();
        if !lines.iter().all(|new| named.insert(new.key.raw())) {
            return Expected::Refused(ErrorKind::Invalid);
        }
        let is_in_the_way = |new: &New| {
            let existing = self.objects.get(&new.key.raw());
            existing.is_some_and(|existing| !overwrite || !existing.is_seen_by(&new.key))
        };
        let conflicts: Vec<u64> =
            (1..).zip(lines).filter(|(_, new)| is_in_the_way(new)).map(|(line, _)| line).collect();
        if !conflicts.is_empty() {
            return Expected::Imported { written: 0, conflicts };
        }
        for new in lines {
            self.objects.remove(&new.key.raw());
            let refers_to = new.refers_to.as_ref().map(|target| self.followed(new, target));
            // No client learns its version.
            let client = CLIENTS;
            self.create(client, &New { refers_to, ..new.clone() }).expect("nothing is in the way");
        }
        Expected::Imported { written: lines.len() as u64, conflicts }
    }

    /// Returns what a reference of an imported object leads to: the object that an earlier import created under another
    /// id, if there is one.
    fn followed(&self, new: &New, target: &Key) -> Key {
        let namespace = if new.key.kind == Kind::Agnostic { "default" } else { new.key.namespace };
        let seen = Key { namespace, ..target.clone() };
        match self.resolve(&seen) {
            Ok((stored, Resolution::OriginMatch)) if target.is_collected() => {
                Key { id: stored.key.id, ..target.clone() }
            }
            _ => target.clone(),
        }
    }

    /// Lets `change` change each object, or delete it by removing all its namespaces. Returns the numbers of changed
    /// and deleted objects.
    fn sweep(&mut self, change: impl Fn(&mut Stored) -> bool) -> Expected {
        let (mut updated, mut deleted) = (0, 0);
        let mut left = BTreeMap::new();
        for (raw, mut stored) in std::mem::take(&mut self.objects) {
            if change(&mut stored) {
                if stored.kind != Kind::Agnostic && stored.namespaces.is_empty() {
                    deleted += 1;
                    continue;
                }
                updated += 1;
                self.writes += 1;
                stored.written = self.writes;
            }
            left.insert(raw, stored);
        }
        self.objects = left;
        Expected::Swept { updated, deleted }
    }

    fn each<T>(
        &mut self,
        items: &[T],
        key: impl Fn(&T) -> &Key,
        mut one: impl FnMut(&mut Self, &T) -> Item,
    ) -> Expected {
        let mut named = BTreeSet::new();
        let answers = items.iter().map(|item| match named.insert(key(item).raw()) {
            true => one(self, item),
            false => Err(ErrorKind::Invalid),
        });
        Expected::Items(answers.collect())
    }

    fn do_step(&mut self, (client, operation): &Step) -> Expected {
        let client = *client;
        let one = |item: Item| Expected::Items(vec![item]);
        match operation {
            Operation::Create(new) => one(self.create(client, new)),
            Operation::CreateMany(all) => self.each(all, |new| &new.key, |model, new| model.create(client, new)),
            Operation::Get(key) => one(self.get(client, key)),
            Operation::GetMany(keys) => Expected::Items(keys.iter().map(|key| self.get(client, key)).collect()),
            Operation::Update(target, change) => one(self.update(client, target, change)),
            Operation::UpdateMany(targets, change) => {
                self.each(targets, |target| &target.0, |model, target| model.update(client, target, change))
            }
            Operation::Upsert(new) => one(self.upsert(client, new)),
            Operation::Replace(target, title) => one(self.replace(client, target, title)),
            Operation::Delete(target, force) => one(self.delete(client, target, *force)),
            Operation::DeleteMany(targets, force) => {
                self.each(targets, |target| &target.0, |model, target| model.delete(client, target, *force))
            }
            Operation::Increment(key, create) => one(self.increment(client, key, *create)),
            Operation::CheckConflicts(keys) => Expected::Ids(
                keys.iter()
                    .map(|key| match self.objects.get(&key.raw()) {
                        None => IdState::Free,
                        Some(stored) if stored.is_seen_by(key) => IdState::Taken,
                        Some(_) => IdState::TakenElsewhere,
                    })
                    .collect(),
            ),
            Operation::Resolve(keys) => Expected::Resolved(keys.iter().map(|key| self.resolve(key)).collect()),
            Operation::CollectReferences(roots) => Expected::Collected(self.collect(roots)),
            Operation::Find(wanted) => Expected::Found(self.find(wanted)),
            Operation::Import(lines, overwrite) => self.import(lines, *overwrite),
            Operation::ChangeNamespaces { keys, add, remove, everywhere } => {
                let added: Vec<&str> = add.iter().copied().chain(everywhere.then_some("*")).collect();
                let is_both = remove.is_some_and(|name| added.contains(&name));
                if is_both || (added.is_empty() && remove.is_none()) {
                    return Expected::Refused(ErrorKind::Invalid);
                }
                let mut named = BTreeSet::new();
                let answers = keys.iter().map(|key| match named.insert((key.type_name, key.id)) {
                    true => self.change_namespaces(client, key, &added, *remove),
                    false => Err(ErrorKind::Invalid),
                });
                Expected::Items(answers.collect())
            }
            Operation::RemoveReferencesTo(key) => self.sweep(|stored| {
                let is_it = |(type_name, id): &(String, String)| type_name == key.type_name && id == key.id;
                stored.is_seen_from(key.namespace) && stored.refers_to.take_if(|reference| is_it(reference)).is_some()
            }),
            Operation::DeleteNamespace(namespace) => self.sweep(|stored| {
                let before = stored.namespaces.len();
                stored.namespaces.retain(|name| name != namespace);
                stored.namespaces.len() < before
            }),
            Operation::CountAtOnce(keys) => {
                let mut named = BTreeSet::new();
                let keys: Vec<&Key> = keys.iter().filter(|key| named.insert(key.raw())).collect();
                let items = keys.iter().map(|key| {
                    let counted = self.seen(key).cloned().ok_or(ErrorKind::NotFound).and_then(|mut stored| {
                        stored.count += CLIENTS as u64;
                        self.store(client, &key.raw(), stored)
                    });
                    // It is unknown which client's write was the last.
                    self.known.retain(|(_, raw), _| *raw != key.raw());
                    counted
                });
                Expected::Items(items.collect())
            }
        }
    }
}

impl ReferenceStateMachine for Model {
    type State = Model;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Model> {
        let (objects, known) = (BTreeMap::new(), BTreeMap::new());
        Just(Model { objects, known, writes: 0, expected: Expected::Nothing }).boxed()
    }

    fn transitions(_model: &Model) -> BoxedStrategy<Step> {
        (0..CLIENTS, operations()).boxed()
    }

    fn apply(mut model: Model, step: &Step) -> Model {
        model.expected = model.do_step(step);
        model
    }
}
