//! Permissions and the audit: the platform's rules, which are asked before anything else, and its record of what was
//! done.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::document::Namespace;
use crate::environment::Stopwatch;
use crate::telemetry::{self, TypeLabel};
use crate::{ErrorKind, Result};

/// An action on objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Creating an object, overwriting one by creating, and asking whether an id is free.
    Create,
    /// Reading an object by id, or by the id that it had before an import.
    Get,
    /// Reading an object's decrypted secrets.
    GetSecrets,
    /// Finding and streaming objects.
    Find,
    /// Changing or replacing an object, including its counters and references.
    Update,
    /// Deleting an object.
    Delete,
    /// Exporting objects.
    Export,
    /// Importing an object: asked in every namespace from which it will be seen. An object that will be seen from
    /// everywhere needs [`ShareEverywhere`](Self::ShareEverywhere) too. An object with encrypted attributes in their
    /// stored form needs [`GetSecrets`](Self::GetSecrets) where they live, since the import decrypts them.
    Import,
    /// Changing from which namespaces an object is seen: asked in each namespace that is added or removed, and in the
    /// one from which the object is seen. Adding a namespace to an object of a type with secrets needs
    /// [`GetSecrets`](Self::GetSecrets) in the namespace from which it is seen too, since its secrets can be read in
    /// the added one.
    Share,
    /// Changing whether an object is seen from everywhere.
    ShareEverywhere,
    /// Removing all objects of a type from a namespace.
    DeleteNamespace,
    /// Reaching objects of every namespace at once. The audit receives it in addition to the action itself;
    /// [`Authorization::allows_everywhere`] decides.
    Everywhere,
    /// Listing the namespaces in use. [`Authorization::allows_everywhere`] decides.
    ListNamespaces,
}

impl Action {
    /// Returns the name that metrics have.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::GetSecrets => "get_secrets",
            Self::Find => "find",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Export => "export",
            Self::Import => "import",
            Self::Share => "share",
            Self::ShareEverywhere => "share_everywhere",
            Self::DeleteNamespace => "delete_namespace",
            Self::Everywhere => "everywhere",
            Self::ListNamespaces => "list_namespaces",
        }
    }
}

/// Allows or refuses an action on objects of a type in a namespace. It is asked before anything is read or written, so
/// that a refusal does not reveal whether an object exists.
#[async_trait]
pub trait Authorization: Send + Sync + fmt::Debug {
    /// Returns whether the action may be done. For a type whose objects have no namespace, `namespace` is the default
    /// one.
    async fn allows(&self, action: Action, type_name: &str, namespace: &Namespace) -> bool;

    /// Returns whether the action may be done to objects of every namespace, including future ones. It is asked with
    /// [`Action::Find`], [`Action::Export`] and [`Action::GetSecrets`] for
    /// [`Find::everywhere`](super::Find::everywhere), with [`Action::ListNamespaces`], before searches that reveal the
    /// names of namespaces, and before an import opens envelopes if the store does not say where they live. The default
    /// implementation refuses: permissions in each known namespace say nothing about other namespaces.
    async fn allows_everywhere(&self, action: Action, type_name: &str) -> bool {
        let _ = (action, type_name);
        false
    }
}

/// Receives every operation: first whether it is admitted or refused, and then the end of an admitted one. If an
/// operation has no end, the process ended before it, and what the operation did is not known.
pub trait Audit: Send + Sync + fmt::Debug {
    /// Records an event. It should be quick, because the operation waits for it. It is called from any task, so take no
    /// context from the current one.
    fn record(&self, event: AuditEvent);
}

/// An event of an operation. It holds names only, neither attributes nor secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// The action that was asked for.
    pub action: Action,
    /// The type's name.
    pub type_name: String,
    /// The object's id, if one object was named. Empty for a new object with a random id until it has one.
    pub id: Option<String>,
    /// The namespace.
    pub namespace: Namespace,
    /// How far the operation is.
    pub outcome: AuditOutcome,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditOutcome {
    /// It is not allowed, and is not done.
    Refused,
    /// It is allowed, and begins.
    Admitted,
    /// It was done. A read of an object that does not exist is done too, if the operation answers so.
    Done,
    /// It ended with an error of this kind. With [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) it may have been done.
    Failed(ErrorKind),
    /// It was given up before its end. Either its caller dropped it (a stream that is not read to its end, a call that
    /// is cancelled), and what was done until then is not known; or it was part of an operation, such as an import,
    /// that failed before it began.
    GivenUp,
}

/// Allows everything. This is the default of a repository.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

#[async_trait]
impl Authorization for AllowAll {
    async fn allows(&self, _action: Action, _type_name: &str, _namespace: &Namespace) -> bool {
        true
    }

    async fn allows_everywhere(&self, _action: Action, _type_name: &str) -> bool {
        true
    }
}

/// Keeps every event in memory, for tests. Clones share the events.
#[derive(Debug, Clone, Default)]
pub struct RecordingAudit(Arc<Mutex<Vec<AuditEvent>>>);

impl RecordingAudit {
    /// Returns the events so far, in order.
    pub fn events(&self) -> Vec<AuditEvent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Audit for RecordingAudit {
    fn record(&self, event: AuditEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

/// The platform's rules and its audit.
#[derive(Debug, Clone, Default)]
pub(super) struct Access {
    /// Empty if everything is allowed, like [`AllowAll`].
    pub(super) authorization: Option<Arc<dyn Authorization>>,
    pub(super) audit: Option<Arc<dyn Audit>>,
    /// The profile id that writes record as their author.
    pub(super) actor: Option<Arc<str>>,
}

/// What was admitted, until the audit and the metrics receive its end. If it is dropped before that, they receive that
/// it was given up.
#[derive(Debug)]
#[must_use = "the audit must receive its end"]
pub(super) struct Admitted {
    pub(super) audit: Option<Arc<dyn Audit>>,
    /// Empty if there is no audit.
    pub(super) events: Vec<AuditEvent>,
    /// `None` before anything is admitted, and after the end.
    pub(super) measured: Option<Measured>,
}

/// An operation as metrics count it.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) action: Action,
    pub(super) type_name: TypeLabel,
    pub(super) since: Stopwatch,
}

impl Measured {
    /// Joins the parts of one operation. It counts once, as the action that was admitted first.
    fn and(mut self, other: Self) -> Self {
        if self.type_name != other.type_name {
            self.type_name = telemetry::several_types();
        }
        self
    }

    fn end(self, outcome: AuditOutcome) {
        let outcome = match outcome {
            AuditOutcome::Refused => "refused",
            AuditOutcome::Admitted | AuditOutcome::Done => "done",
            AuditOutcome::Failed(kind) => kind.name(),
            AuditOutcome::GivenUp => "given_up",
        };
        telemetry::operation_ended(self.action.name(), self.type_name, outcome, self.since.elapsed());
    }
}

impl Admitted {
    /// Sets the id of an object that had none before.
    pub(super) fn named(mut self, id: &str) -> Self {
        for event in &mut self.events {
            event.id = Some(id.to_owned());
        }
        self
    }

    /// Returns whether an audit receives its end.
    pub(super) fn is_heard(&self) -> bool {
        !self.events.is_empty()
    }

    /// Leaves it to the caller to count the end in the metrics.
    pub(super) fn unmeasured(mut self) -> Self {
        self.measured = None;
        self
    }

    /// Joins two admissions, which have one end.
    pub(super) fn and(mut self, mut other: Self) -> Self {
        self.events.append(&mut other.events);
        self.measured = match (self.measured.take(), other.measured.take()) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        };
        self
    }

    /// Returns what was made after the admission, together with the admission. If it could not be made, tells the audit
    /// the error.
    pub(super) fn with<T>(self, made: Result<T>) -> Result<(T, Self)> {
        match made {
            Ok(made) => Ok((made, self)),
            Err(error) => self.end(Err(error)),
        }
    }

    /// Tells the audit the end, and returns it.
    pub(super) fn end<T>(self, result: Result<T>) -> Result<T> {
        self.tell(&result);
        result
    }

    /// Tells the audit the end.
    pub(super) fn tell<T>(mut self, result: &Result<T>) {
        self.record(match result {
            Ok(_) => AuditOutcome::Done,
            Err(error) => AuditOutcome::Failed(error.kind()),
        });
    }

    fn record(&mut self, outcome: AuditOutcome) {
        if let Some(measured) = self.measured.take() {
            measured.end(outcome);
        }
        let Some(audit) = &self.audit else { return };
        for event in self.events.drain(..) {
            audit.record(AuditEvent { outcome, ..event });
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.record(AuditOutcome::GivenUp);
    }
}
