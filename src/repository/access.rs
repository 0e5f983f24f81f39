//! Who may do what, and what was done: the platform's own rules, asked before anything else.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{ObjectKey, Repository};
use crate::document::Namespace;
use crate::{Error, ErrorKind, Result};

/// What is done to objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Creating an object, or overwriting one by creating.
    Create,
    /// Reading an object by id.
    Get,
    /// Reading an object's decrypted secrets.
    GetSecrets,
    /// Finding and streaming objects.
    Find,
    /// Changing or replacing an object.
    Update,
    /// Deleting an object.
    Delete,
    /// Exporting objects.
    Export,
    /// Importing an object.
    Import,
}

/// Says yes or no to an action on objects of a type in a namespace. It is asked before anything is read or written: what is
/// refused tells nobody whether an object exists.
#[async_trait]
pub trait Authorization: Send + Sync + fmt::Debug {
    /// Whether it may be done. For a type whose objects have no namespace, the default one is given.
    async fn allows(&self, action: Action, type_name: &str, namespace: &Namespace) -> bool;
}

/// Hears of every operation, once, when it is admitted or refused.
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
    /// The object's id, if one object was named; none for a new one with a random id.
    pub id: Option<String>,
    /// The namespace.
    pub namespace: Namespace,
    /// Whether it was admitted. What then became of it is in the operation's answer.
    pub admitted: bool,
}

/// Allows everything: what a repository does unless told otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllowAll;

#[async_trait]
impl Authorization for AllowAll {
    async fn allows(&self, _action: Action, _type_name: &str, _namespace: &Namespace) -> bool {
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
#[derive(Debug, Clone)]
pub(super) struct Access {
    authorization: Arc<dyn Authorization>,
    audit: Option<Arc<dyn Audit>>,
}

impl Default for Access {
    fn default() -> Self {
        Self { authorization: Arc::new(AllowAll), audit: None }
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
        Self { access: Access { authorization, ..self.access.clone() }, ..self.clone() }
    }

    /// A repository that tells `audit` of each operation.
    #[must_use]
    pub fn audited_by(&self, audit: Arc<dyn Audit>) -> Self {
        Self { access: Access { audit: Some(audit), ..self.access.clone() }, ..self.clone() }
    }

    /// Lets an operation on one object pass, or refuses it.
    pub(super) async fn admit(&self, action: Action, key: &ObjectKey) -> Result<()> {
        self.admit_to(action, &key.type_name, Some(&key.id), &key.namespace).await
    }

    /// Lets an operation on objects of a type pass, or refuses it.
    pub(super) async fn admit_to(
        &self,
        action: Action,
        type_name: &str,
        id: Option<&str>,
        namespace: &Namespace,
    ) -> Result<()> {
        let admitted = self.access.authorization.allows(action, type_name, namespace).await;
        if let Some(audit) = &self.access.audit {
            audit.record(AuditEvent {
                action,
                type_name: type_name.to_owned(),
                id: id.map(str::to_owned),
                namespace: namespace.clone(),
                admitted,
            });
        }
        match admitted {
            true => Ok(()),
            false => Err(refused(action, type_name, namespace)),
        }
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
    };
    Error::new(
        ErrorKind::Forbidden,
        format!("objects of the type {type_name} must not be {verb} in namespace {namespace}"),
    )
    .with_cure("ask whoever administers the platform for permission")
}
