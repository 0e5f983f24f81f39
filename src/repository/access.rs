//! Who may do what, and what was done: the platform's own rules, asked before anything else.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::many::Items;
use super::{ObjectKey, Repository};
use crate::document::{Namespace, NamespaceKind};
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result};

/// What is done to objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Creating an object, or overwriting one by creating; asking whether an id is free for it.
    Create,
    /// Reading an object by id, or by the id that it had where it came from.
    Get,
    /// Reading an object's decrypted secrets.
    GetSecrets,
    /// Finding and streaming objects.
    Find,
    /// Changing or replacing an object, its counters and references included.
    Update,
    /// Deleting an object.
    Delete,
    /// Exporting objects.
    Export,
    /// Importing an object: asked in every namespace that it is to be seen from. One that is to be seen from everywhere needs
    /// [`ShareEverywhere`](Self::ShareEverywhere), too. One with encrypted attributes as they were stored needs
    /// [`GetSecrets`](Self::GetSecrets) where they live, since they are opened for it.
    Import,
    /// Letting an object be seen from a namespace, or no longer: asked in each of these, and in the one that it is seen from.
    /// Letting one of a type with secrets be seen from another namespace needs [`GetSecrets`](Self::GetSecrets) in the one
    /// that it is seen from, too, since its secrets can be read there.
    Share,
    /// Letting an object be seen from everywhere, or no longer.
    ShareEverywhere,
    /// Removing all that a namespace has of a type.
    DeleteNamespace,
    /// Reaching objects of every namespace at once. The audit hears of it beside the action itself;
    /// [`Authorization::allows_everywhere`] decides.
    Everywhere,
    /// Listing the namespaces in use. [`Authorization::allows_everywhere`] decides.
    ListNamespaces,
}

/// Says yes or no to an action on objects of a type in a namespace. It is asked before anything is read or written: what is
/// refused tells nobody whether an object exists.
#[async_trait]
pub trait Authorization: Send + Sync + fmt::Debug {
    /// Whether it may be done. For a type whose objects have no namespace, the default one is given.
    async fn allows(&self, action: Action, type_name: &str, namespace: &Namespace) -> bool;

    /// Whether it may be done to objects of every namespace, those to come included. It is asked with [`Action::Find`],
    /// [`Action::Export`] and [`Action::GetSecrets`] for [`Find::everywhere`](super::Find::everywhere), with
    /// [`Action::ListNamespaces`], before searches that tell the names of namespaces, and before an import opens envelopes of which
    /// the store does not say where they live. The answer is no unless an implementation says otherwise: what may be done in each
    /// namespace that is known says nothing of the others.
    async fn allows_everywhere(&self, action: Action, type_name: &str) -> bool {
        let _ = (action, type_name);
        false
    }
}

/// Hears of every operation: first whether it is admitted or refused, and if it was admitted, what became of it. Of an
/// operation without an end the process ended: what it did is not known.
pub trait Audit: Send + Sync + fmt::Debug {
    /// Takes note of an operation. It should be quick: the operation waits.
    fn record(&self, event: AuditEvent);
}

/// An operation that somebody asked for. It holds names only, neither attributes nor secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// What was asked for.
    pub action: Action,
    /// The type's name.
    pub type_name: String,
    /// The object's id, if one object was named; none for a new one with a random id until it has one.
    pub id: Option<String>,
    /// The namespace.
    pub namespace: Namespace,
    /// How far it is.
    pub outcome: AuditOutcome,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditOutcome {
    /// It must not be done, and is not.
    Refused,
    /// It may be done, and begins.
    Admitted,
    /// It was done. Reading what is not there is done, too, if the operation says so by its answer.
    Done,
    /// It ended with an error of this kind. With [`OutcomeUnknown`](ErrorKind::OutcomeUnknown) it may have been done.
    Failed(ErrorKind),
    /// It was given up before its end: its caller went away (a stream that is not read on, a call that is cancelled), which
    /// leaves open what was done until then; or it was part of a whole, such as an import, that failed before its turn.
    GivenUp,
}

/// Allows everything: what a repository does unless told otherwise.
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

/// Keeps every event in memory, for tests. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct RecordingAudit(Arc<Mutex<Vec<AuditEvent>>>);

impl RecordingAudit {
    /// The events so far, in order.
    pub fn events(&self) -> Vec<AuditEvent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Audit for RecordingAudit {
    fn record(&self, event: AuditEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

/// The platform's rules.
#[derive(Debug, Clone, Default)]
pub(super) struct Access {
    /// None allows everything, as [`AllowAll`] does.
    authorization: Option<Arc<dyn Authorization>>,
    audit: Option<Arc<dyn Audit>>,
}

/// What was admitted, until its end is told. Whoever drops it without that has given it up.
#[derive(Debug)]
#[must_use = "the audit is to hear of its end"]
pub(super) struct Admitted {
    audit: Option<Arc<dyn Audit>>,
    /// None if nobody hears of them.
    events: Vec<AuditEvent>,
}

impl Admitted {
    /// Names the object, which had no id before.
    pub(super) fn named(mut self, id: &str) -> Self {
        for event in &mut self.events {
            event.id = Some(id.to_owned());
        }
        self
    }

    /// Whether somebody hears of its end.
    pub(super) fn is_heard(&self) -> bool {
        !self.events.is_empty()
    }

    /// Both of them, with one end.
    pub(super) fn and(mut self, mut other: Self) -> Self {
        self.events.append(&mut other.events);
        self
    }

    /// Tells what became of it, and gives it on.
    pub(super) fn end<T>(self, result: Result<T>) -> Result<T> {
        self.tell(&result);
        result
    }

    /// Tells what became of it.
    pub(super) fn tell<T>(mut self, result: &Result<T>) {
        self.record(match result {
            Ok(_) => AuditOutcome::Done,
            Err(error) => AuditOutcome::Failed(error.kind()),
        });
    }

    fn record(&mut self, outcome: AuditOutcome) {
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

impl Repository {
    /// A repository that asks `authorization` before each operation: one for each caller, say.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use saved_objects::Repository;
    /// # use saved_objects::document::Namespace;
    /// # use saved_objects::repository::{Action, Authorization};
    /// #[derive(Debug)]
    /// struct ReadOnly;
    ///
    /// #[async_trait::async_trait]
    /// impl Authorization for ReadOnly {
    ///     async fn allows(&self, action: Action, _type_name: &str, _namespace: &Namespace) -> bool {
    ///         matches!(action, Action::Get | Action::Find)
    ///     }
    /// }
    ///
    /// # fn example(repository: &Repository) {
    /// let for_guests = repository.authorized_by(Arc::new(ReadOnly));
    /// # }
    /// ```
    #[must_use]
    pub fn authorized_by(&self, authorization: Arc<dyn Authorization>) -> Self {
        Self { access: Access { authorization: Some(authorization), ..self.access.clone() }, ..self.clone() }
    }

    /// A repository that tells `audit` of each operation.
    #[must_use]
    pub fn audited_by(&self, audit: Arc<dyn Audit>) -> Self {
        Self { access: Access { audit: Some(audit), ..self.access.clone() }, ..self.clone() }
    }

    /// Lets an operation on one object pass, or refuses it.
    pub(super) async fn admit(&self, action: Action, key: &ObjectKey) -> Result<Admitted> {
        self.admit_to(action, &key.type_name, Some(&key.id), &key.namespace).await
    }

    /// Lets an operation on objects of a type pass, or refuses it.
    pub(super) async fn admit_to(
        &self,
        action: Action,
        type_name: &str,
        id: Option<&str>,
        namespace: &Namespace,
    ) -> Result<Admitted> {
        if self.access.authorization.is_none() && self.access.audit.is_none() {
            return Ok(self.nothing_admitted());
        }
        let namespace = &self.namespace_of(type_name, namespace);
        let is_allowed = self.allows(action, type_name, namespace).await;
        let admitted = self.heard(is_allowed, &[action], type_name, id, namespace);
        if is_allowed { Ok(admitted) } else { Err(refused(action, type_name, namespace)) }
    }

    /// Lets an operation on objects of every namespace pass, or refuses it.
    pub(super) async fn admit_everywhere(&self, action: Action, type_name: &str) -> Result<Admitted> {
        if self.definition(type_name)?.namespace_kind() == NamespaceKind::Agnostic {
            return self.admit_to(action, type_name, None, &Namespace::DEFAULT).await;
        }
        let is_allowed = self.allows_everywhere(action, type_name).await;
        let actions = [action, Action::Everywhere];
        let admitted = self.heard(is_allowed, &actions, type_name, None, &Namespace::DEFAULT);
        if is_allowed { Ok(admitted) } else { Err(refused_everywhere(action, type_name)) }
    }

    /// Lets the audit hear whether an operation is allowed.
    pub(super) fn heard(
        &self,
        is_allowed: bool,
        actions: &[Action],
        type_name: &str,
        id: Option<&str>,
        namespace: &Namespace,
    ) -> Admitted {
        let mut admitted = self.nothing_admitted();
        let Some(audit) = &self.access.audit else { return admitted };
        for action in actions {
            let event = AuditEvent {
                action: *action,
                type_name: type_name.to_owned(),
                id: id.map(str::to_owned),
                namespace: namespace.clone(),
                outcome: if is_allowed { AuditOutcome::Admitted } else { AuditOutcome::Refused },
            };
            audit.record(event.clone());
            // Of what is refused no end is told.
            admitted.events.extend(is_allowed.then_some(event));
        }
        admitted
    }

    /// Whether anybody is asked what may be done.
    pub(super) fn has_rules(&self) -> bool {
        self.access.authorization.is_some()
    }

    /// Whether something may be told of objects that nobody asked for; no audit hears of that.
    pub(super) async fn allows(&self, action: Action, type_name: &str, namespace: &Namespace) -> bool {
        match &self.access.authorization {
            Some(authorization) => authorization.allows(action, type_name, namespace).await,
            None => true,
        }
    }

    /// As [`allows`](Self::allows), for objects of every namespace.
    pub(super) async fn allows_everywhere(&self, action: Action, type_name: &str) -> bool {
        match &self.access.authorization {
            Some(authorization) => authorization.allows_everywhere(action, type_name).await,
            None => true,
        }
    }

    /// Those of `keys` that `action` may be done to, with their places and types; the others are answered.
    pub(super) async fn admit_each<'k, T>(
        &self,
        action: Action,
        keys: Vec<&'k ObjectKey>,
        items: &mut Items<T>,
    ) -> Vec<(usize, &TypeDefinition, &'k ObjectKey)> {
        let mut asked = Vec::with_capacity(keys.len());
        for (at, key) in keys.into_iter().enumerate() {
            let admission = match self.definition(&key.type_name) {
                Ok(definition) => self.admit(action, key).await.map(|admitted| ((at, definition, key), admitted)),
                Err(error) => Err(error),
            };
            asked.extend(items.admit(at, admission));
        }
        asked
    }

    /// The namespace that is asked about: objects of agnostic types have none, so naming one must not open them to whoever is
    /// at home there.
    fn namespace_of(&self, type_name: &str, namespace: &Namespace) -> Namespace {
        match self.shared.registry.get(type_name).map(|definition| definition.namespace_kind()) {
            Some(NamespaceKind::Agnostic) => Namespace::DEFAULT,
            _ => namespace.clone(),
        }
    }

    /// What is admitted before anything else is.
    pub(super) fn nothing_admitted(&self) -> Admitted {
        Admitted { audit: self.access.audit.clone(), events: Vec::new() }
    }
}

fn refused(action: Action, type_name: &str, namespace: &Namespace) -> Error {
    let verb = match action {
        Action::Create => "created",
        Action::Get => "read",
        Action::GetSecrets => "read with their secrets",
        Action::Find => "found",
        Action::Update => "changed",
        Action::Delete => "deleted",
        Action::Export => "exported",
        Action::Import => "imported",
        Action::Share => "shared",
        Action::ShareEverywhere => "shared with every namespace",
        Action::DeleteNamespace => "removed all at once",
        Action::Everywhere => "reached everywhere at once",
        Action::ListNamespaces => "listed by namespace",
    };
    Error::new(
        ErrorKind::Forbidden,
        format!("objects of the type {type_name} must not be {verb} in namespace {namespace}"),
    )
    .with_cure(ASK)
}

fn refused_everywhere(action: Action, type_name: &str) -> Error {
    let what = match action {
        Action::GetSecrets => "read with their secrets",
        Action::Export => "exported",
        Action::ListNamespaces => "listed by namespace",
        _ => "found",
    };
    Error::new(
        ErrorKind::Forbidden,
        format!("objects of the type {type_name} must not be {what} in every namespace at once"),
    )
    .with_cure(ASK)
}

const ASK: &str = "ask whoever administers the platform for permission";
