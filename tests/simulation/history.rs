//! What users requested and what they were answered, by object.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use saved_objects::document::VersionToken;
use saved_objects::{ErrorKind, Result, SavedObject};

use crate::executor::{Simulator, lock};

/// What an operation requires of an object's state: the value that was written last, or `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum From {
    Any,
    Absent,
    Present,
    /// One of these values.
    OneOf(Vec<String>),
}

/// What an operation does to one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It returns the value, or that there is none.
    Read(Option<String>),
    /// It writes a value that no other operation writes, or deletes the object.
    Write { from: From, to: Option<String> },
    /// It raises a counter by one, and returns the sum.
    Count(Option<i64>),
}

impl Effect {
    /// Returns the same effect on any state.
    fn of_any_state(self) -> Self {
        match self {
            Self::Write { to, .. } => Self::Write { from: From::Any, to },
            other => other,
        }
    }
}

/// How an operation ended for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Done,
    /// The answer says that it was not done.
    NotDone(ErrorKind),
    /// The answer says that it may have been done, or the caller died before the answer.
    Unknown,
}

/// One operation on one object.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) who: String,
    pub(crate) effect: Effect,
    pub(crate) invoked: Duration,
    pub(crate) answered: Duration,
    pub(crate) ended: Ended,
    /// The version token of the answer.
    pub(crate) token: Option<VersionToken>,
    /// Its number; `None` for an operation that began before the given state.
    pub(crate) number: Option<u64>,
}

/// All operations of a world.
#[derive(Debug)]
pub(crate) struct History {
    simulator: Simulator,
    objects: Mutex<BTreeMap<String, Object>>,
    begun: Mutex<u64>,
    /// The time since when the stored state of a type is given.
    given: Mutex<BTreeMap<String, Duration>>,
}

/// The operations on one object.
#[derive(Debug, Default, Clone)]
pub(crate) struct Object {
    /// The value before the first operation; `None` if the object did not exist.
    pub(crate) first: Option<String>,
    pub(crate) operations: Vec<Operation>,
    /// Creations from before the given state: the network may do them again.
    pub(crate) forgotten: Vec<Operation>,
}

/// An operation that has begun.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    pub(crate) key: String,
    number: u64,
}

impl History {
    pub(crate) fn new(simulator: Simulator) -> Self {
        Self { simulator, objects: Mutex::default(), begun: Mutex::default(), given: Mutex::default() }
    }

    /// Records that an operation begins. Until its end is recorded its outcome is unknown.
    pub(crate) fn begin(&self, key: &str, who: &str, effect: Effect) -> Begun {
        self.begin_at(key, who, effect, self.simulator.now())
    }

    /// Records an operation that has begun earlier.
    pub(crate) fn begin_at(&self, key: &str, who: &str, effect: Effect, invoked: Duration) -> Begun {
        let mut objects = lock(&self.objects);
        let operations = &mut objects.entry(key.to_owned()).or_default().operations;
        let (who, answered) = (who.to_owned(), Duration::MAX);
        let mut begun = lock(&self.begun);
        *begun += 1;
        let type_name = key.split(':').next().unwrap_or_default();
        let is_older = lock(&self.given).get(type_name).is_some_and(|given| invoked < *given);
        let number = (!is_older).then_some(*begun);
        let effect = if is_older { effect.of_any_state() } else { effect };
        operations.push(Operation { who, effect, invoked, answered, ended: Ended::Unknown, token: None, number });
        Begun { key: key.to_owned(), number: *begun }
    }

    /// Records how a write ended; `from` is what is known by now of what it replaced.
    pub(crate) fn end_write(&self, begun: &Begun, answer: &Result<Option<VersionToken>>, from: Option<From>) {
        self.end(begun, answer.as_ref().err().map(saved_objects::Error::kind), |operation| {
            operation.token = answer.as_ref().ok().copied().flatten();
            if let (Effect::Write { from: known, .. }, Some(from)) = (&mut operation.effect, from) {
                *known = from;
            }
        });
    }

    /// Records how an increment ended.
    pub(crate) fn end_count(&self, begun: &Begun, answer: &Result<SavedObject>) {
        self.end(begun, answer.as_ref().err().map(saved_objects::Error::kind), |operation| {
            let object = answer.as_ref().ok();
            operation.token = object.map(|object| object.version);
            operation.effect = Effect::Count(object.and_then(|object| object.attributes["count"].as_i64()));
        });
    }

    /// Records what a read returned. A failed read returns nothing.
    pub(crate) fn end_read(&self, begun: &Begun, answer: &Result<Option<(String, VersionToken)>>) {
        self.end(begun, answer.as_ref().err().map(saved_objects::Error::kind), |operation| {
            if let Ok(found) = answer {
                operation.effect = Effect::Read(found.as_ref().map(|(value, _)| value.clone()));
                operation.token = found.as_ref().map(|(_, token)| *token);
            }
        });
    }

    /// Records how a write ended that returns no version.
    pub(crate) fn end_as(&self, begun: &Begun, ended: Ended) {
        self.end_with(begun, ended, |_| {});
    }

    fn end(&self, begun: &Begun, error: Option<ErrorKind>, also: impl FnOnce(&mut Operation)) {
        let ended = match error {
            None => Ended::Done,
            Some(ErrorKind::OutcomeUnknown) => Ended::Unknown,
            Some(kind) => Ended::NotDone(kind),
        };
        self.end_with(begun, ended, also);
    }

    fn end_with(&self, begun: &Begun, ended: Ended, also: impl FnOnce(&mut Operation)) {
        let now = self.simulator.now();
        let mut objects = lock(&self.objects);
        let mut operations = objects.get_mut(&begun.key).into_iter().flat_map(|object| object.operations.iter_mut());
        // What precedes a restore is forgotten.
        let Some(operation) = operations.find(|operation| operation.number == Some(begun.number)) else { return };
        operation.answered = now;
        operation.ended = ended;
        also(operation);
    }

    /// Forgets the operations on objects of a type, and takes what `stored` returns as their state. An operation
    /// without an answer may still be done.
    pub(crate) fn forget(&self, type_name: &str, stored: impl Fn(&str) -> Option<String>) {
        lock(&self.given).insert(type_name.to_owned(), self.simulator.now());
        for (key, object) in lock(&self.objects).iter_mut() {
            if key.split(':').next() != Some(type_name) {
                continue;
            }
            object.first = stored(key);
            let is_creation =
                |operation: &&Operation| matches!(operation.effect, Effect::Write { from: From::Absent, to: Some(_) });
            let creations: Vec<Operation> = object.operations.iter().filter(is_creation).cloned().collect();
            object.forgotten.extend(creations);
            object.operations.retain(|operation| operation.ended == Ended::Unknown);
            for operation in &mut object.operations {
                operation.number = None;
                operation.effect = operation.effect.clone().of_any_state();
            }
        }
    }

    /// Returns the objects with their operations.
    pub(crate) fn objects(&self) -> BTreeMap<String, Object> {
        lock(&self.objects).clone()
    }

    /// Returns the names of the existing objects of a type.
    pub(crate) fn keys(&self) -> Vec<String> {
        lock(&self.objects).keys().cloned().collect()
    }

    /// Returns the number of operations on an object.
    pub(crate) fn count(&self, key: &str) -> usize {
        lock(&self.objects).get(key).map_or(0, |object| object.operations.len())
    }
}
