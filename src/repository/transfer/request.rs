//! The request of an import: which objects of a file to import, and what to do if they already exist.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

use super::summary::NamedObject;
use crate::cluster::Refresh;
use crate::document::{Namespace, Reference};

/// The default limit of a line's length, in bytes. While it is read, a line of small values takes thirty times its
/// size.
const DEFAULT_MAX_LINE_BYTES: usize = 10 * 1024 * 1024;

/// What to do about objects that already exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// Imports nothing.
    #[default]
    Fail,
    /// Overwrites them, whatever they are. What a line leaves out stays: when and by whom the object was created, its
    /// origin, whether it is managed, and its secrets if the line has neither `envelopes` nor `secrets`.
    Overwrite,
    /// Skips those that are as the file has them: what an interrupted import has written. If one is different, nothing
    /// is imported.
    Resume,
    /// Gives every object a new id, which references within the file follow.
    NewIds,
}

/// What to do about one object of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Leaves it out.
    Skip,
    /// Overwrites the object with its id, or with the given id.
    Overwrite(Option<String>),
    /// Creates it with a random id, or with the given id.
    NewId(Option<String>),
}

/// The request of an import.
#[derive(Debug, Clone)]
pub struct Import {
    pub(super) max_line_bytes: usize,
    pub(super) namespace: Option<Namespace>,
    pub(super) on_conflict: OnConflict,
    pub(super) decisions: BTreeMap<NamedObject, Decision>,
    only_decided: bool,
    required: BTreeSet<String>,
    may_miss: BTreeSet<NamedObject>,
    redirected: BTreeMap<NamedObject, BTreeMap<NamedObject, String>>,
    requires_named: bool,
    pub(super) refresh: Refresh,
    pub(super) progress: watch::Sender<ImportProgress>,
}

/// The progress of an import ([`Import::progress`]).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportProgress {
    /// Whether this is the second reading, which writes the objects.
    pub is_writing: bool,
    /// The number of lines of the file; an estimate during the first reading.
    pub lines: u64,
    /// The number of lines read, in this reading.
    pub read: u64,
    /// The number of objects written.
    pub written: u64,
}

impl Default for Import {
    fn default() -> Self {
        Self {
            max_line_bytes: DEFAULT_MAX_LINE_BYTES,
            namespace: None,
            on_conflict: OnConflict::default(),
            decisions: BTreeMap::new(),
            only_decided: false,
            required: BTreeSet::new(),
            may_miss: BTreeSet::new(),
            redirected: BTreeMap::new(),
            requires_named: false,
            refresh: Refresh::default(),
            progress: watch::Sender::default(),
        }
    }
}

impl Import {
    /// Creates a request for all objects, into the namespaces that the file names. Nothing is imported if one of them
    /// already exists.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the longest line to accept, in bytes. Default: 10 MiB. An object that the server does not accept is named
    /// in any case.
    #[must_use]
    pub fn max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// Imports the objects into this namespace instead.
    #[must_use]
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Sets what to do about objects that already exist.
    #[must_use]
    pub fn on_conflict(mut self, on_conflict: OnConflict) -> Self {
        self.on_conflict = on_conflict;
        self
    }

    /// Sets what to do about one object, as the answer to a problem of an earlier import.
    #[must_use]
    pub fn decide(mut self, type_name: impl Into<String>, id: impl Into<String>, decision: Decision) -> Self {
        self.decisions.insert(NamedObject { type_name: type_name.into(), id: id.into() }, decision);
        self
    }

    /// Imports only the objects that have a decision.
    #[must_use]
    pub fn only_decided(mut self) -> Self {
        self.only_decided = true;
        self
    }

    /// Imports nothing if an object refers to an object of this type that is neither in the file nor in the store.
    #[must_use]
    pub fn require_references(mut self, type_name: impl Into<String>) -> Self {
        self.required.insert(type_name.into());
        self
    }

    /// Allows this object of the file to refer to missing objects.
    #[must_use]
    pub fn may_miss_references(mut self, object: NamedObject) -> Self {
        self.may_miss.insert(object);
        self
    }

    /// Changes the references of this object of the file from `from` to `to`, of the same type.
    #[must_use]
    pub fn replace_reference(mut self, object: NamedObject, from: NamedObject, to: impl Into<String>) -> Self {
        self.redirected.entry(object).or_default().insert(from, to.into());
        self
    }

    /// Imports nothing if the request names an object that the file does not have.
    #[must_use]
    pub fn require_named(mut self) -> Self {
        self.requires_named = true;
        self
    }

    /// Returns the objects that the file must have.
    pub(super) fn named(&self) -> BTreeSet<NamedObject> {
        let named = self.decisions.keys().chain(&self.may_miss).chain(self.redirected.keys());
        named.filter(|_| self.requires_named).cloned().collect()
    }

    /// Returns whether the object is to be imported.
    pub(super) fn takes(&self, object: &NamedObject) -> bool {
        match self.decisions.get(object) {
            Some(Decision::Skip) => false,
            Some(_) => true,
            None => !self.only_decided,
        }
    }

    /// Returns whether the import fails if `object` refers to a missing object of this type.
    pub(super) fn is_required(&self, object: &NamedObject, type_name: &str) -> bool {
        self.required.contains(type_name) && !self.may_miss.contains(object)
    }

    /// Changes the references of an object as the request says.
    pub(super) fn redirect(&self, object: &NamedObject, references: &mut [Reference]) {
        let Some(redirected) = self.redirected.get(object) else { return };
        for reference in references {
            let from = NamedObject { type_name: reference.type_name.clone(), id: reference.id.clone() };
            if let Some(to) = redirected.get(&from) {
                reference.id.clone_from(to);
            }
        }
    }

    /// Returns the progress of this request's import while it runs.
    pub fn progress(&self) -> watch::Receiver<ImportProgress> {
        self.progress.subscribe()
    }

    /// Sets when [`Repository::find`](crate::repository::Repository::find) sees the objects.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }
}
