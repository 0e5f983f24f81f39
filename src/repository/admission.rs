//! Admission: each operation asks whether it is allowed, and the audit receives the decision.

use std::sync::Arc;

use super::access::{Access, Admitted, Measured};
use super::pipeline::item::Items;
use super::pipeline::many::Named;
use super::pipeline::target::Target;
use super::{Action, Audit, AuditEvent, AuditOutcome, Authorization, ObjectKey, Repository};
use crate::document::{Namespace, NamespaceKind};
use crate::telemetry::{self, TypeLabel};
use crate::{Error, ErrorKind, Result};

impl Repository {
    /// Returns a repository that asks `authorization` before each operation. A platform can use one for each of its
    /// callers.
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

    /// Returns a repository that reports each operation to `audit`.
    #[must_use]
    pub fn audited_by(&self, audit: Arc<dyn Audit>) -> Self {
        Self { access: Access { audit: Some(audit), ..self.access.clone() }, ..self.clone() }
    }

    /// Returns a repository whose writes record `actor` as their author: `created_by` of what it creates, `updated_by` of
    /// what it creates or changes. Other repositories remove `updated_by` when they change an object, because its author
    /// is not known. An import keeps what its file says; `remove_references_to` and `delete_namespace` change neither.
    ///
    /// ```no_run
    /// # use saved_objects::Repository;
    /// # use saved_objects::repository::Create;
    /// # use serde_json::json;
    /// # async fn example(repository: &Repository) -> saved_objects::Result<()> {
    /// let of_kim = repository.acting_as("u_kim_0")?;
    /// let note = of_kim.create(Create::new("note", json!({ "title": "Hello" }))).await?;
    /// assert_eq!(note.created_by.as_deref(), Some("u_kim_0"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if `actor` is blank.
    pub fn acting_as(&self, actor: &str) -> Result<Self> {
        if actor.trim().is_empty() {
            return Err(Error::invalid("the actor is blank", "give the profile id of the user who acts"));
        }
        Ok(Self { access: Access { actor: Some(actor.into()), ..self.access.clone() }, ..self.clone() })
    }

    /// Returns the profile id that writes record as their author, if it is known.
    pub(super) fn actor(&self) -> Option<String> {
        self.access.actor.as_deref().map(str::to_owned)
    }

    /// Admits an operation on one object, or refuses it.
    pub(super) async fn admit(&self, action: Action, key: &ObjectKey) -> Result<Admitted> {
        self.admit_to(action, &key.type_name, Some(&key.id), &key.namespace).await
    }

    /// Admits an operation on objects of a type, or refuses it.
    pub(super) async fn admit_to(
        &self,
        action: Action,
        type_name: &str,
        id: Option<&str>,
        namespace: &Namespace,
    ) -> Result<Admitted> {
        if self.access.authorization.is_none() && self.access.audit.is_none() {
            return Ok(self.measured(action, type_name));
        }
        let namespace = &self.namespace_of(type_name, namespace);
        let is_allowed = self.allows(action, type_name, namespace).await;
        let admitted = self.heard(is_allowed, &[action], type_name, id, namespace);
        if is_allowed { Ok(admitted) } else { Err(refused(action, type_name, namespace)) }
    }

    /// Admits an operation on objects of every namespace, or refuses it.
    pub(super) async fn admit_everywhere(&self, action: Action, type_name: &str) -> Result<Admitted> {
        if self.definition(type_name)?.namespace_kind() == NamespaceKind::Agnostic {
            return self.admit_to(action, type_name, None, &Namespace::DEFAULT).await;
        }
        let is_allowed = self.allows_everywhere(action, type_name).await;
        let actions = [action, Action::Everywhere];
        let admitted = self.heard(is_allowed, &actions, type_name, None, &Namespace::DEFAULT);
        if is_allowed { Ok(admitted) } else { Err(refused_everywhere(action, type_name)) }
    }

    /// Tells the audit and the metrics whether an operation is allowed, and returns what was admitted. The metrics count
    /// it as the first of `actions`.
    pub(super) fn heard(
        &self,
        is_allowed: bool,
        actions: &[Action],
        type_name: &str,
        id: Option<&str>,
        namespace: &Namespace,
    ) -> Admitted {
        let mut admitted = match (actions.first(), is_allowed) {
            (Some(action), true) => self.measured(*action, type_name),
            (Some(action), false) => {
                telemetry::operation_counted(action.name(), self.type_label(type_name), "refused");
                self.nothing_admitted()
            }
            (None, _) => self.nothing_admitted(),
        };
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
            // A refused operation has no end.
            admitted.events.extend(is_allowed.then_some(event));
        }
        admitted
    }

    /// Returns whether there are rules that say what may be done.
    pub(super) fn has_rules(&self) -> bool {
        self.access.authorization.is_some()
    }

    /// Returns whether the caller may know something of objects that it did not ask for. No audit receives the
    /// question.
    pub(super) async fn allows(&self, action: Action, type_name: &str, namespace: &Namespace) -> bool {
        match &self.access.authorization {
            Some(authorization) => authorization.allows(action, type_name, namespace).await,
            None => true,
        }
    }

    /// Like [`allows`](Self::allows), for objects of every namespace.
    pub(super) async fn allows_everywhere(&self, action: Action, type_name: &str) -> bool {
        match &self.access.authorization {
            Some(authorization) => authorization.allows_everywhere(action, type_name).await,
            None => true,
        }
    }

    /// Admits an operation on one object, or refuses it, and returns the object's target.
    pub(super) async fn admit_target(&self, action: Action, key: ObjectKey) -> Result<(Target, Admitted)> {
        let definition = self.registered(&key.type_name)?;
        let admitted = self.admit(action, &key).await?;
        admitted.with(Target::new(definition, key))
    }

    /// Like [`admit_target`](Self::admit_target), for a call that may name each object once.
    pub(super) async fn admit_once(
        &self,
        action: Action,
        key: ObjectKey,
        named: &mut Named,
    ) -> Result<(Target, Admitted)> {
        let (target, admitted) = self.admit_target(action, key).await?;
        admitted.with(named.add(&target).map(|()| target))
    }

    /// Returns the objects of a call as items. Those on which `action` is not allowed are answered.
    pub(super) async fn admit_each<A>(&self, action: Action, keys: &[&ObjectKey]) -> Items<(), A> {
        let mut items = Items::with_capacity(keys.len());
        for (at, key) in keys.iter().enumerate() {
            items.admit(at, self.admit_target(action, ObjectKey::clone(key)).await, ());
        }
        items
    }

    /// Returns the namespace that the rules are asked about. Objects of agnostic types have none, so a caller must not
    /// reach them by naming a namespace in which it is allowed more.
    fn namespace_of(&self, type_name: &str, namespace: &Namespace) -> Namespace {
        match self.shared.engine.registry.get(type_name).map(|definition| definition.namespace_kind()) {
            Some(NamespaceKind::Agnostic) => Namespace::DEFAULT,
            _ => namespace.clone(),
        }
    }

    /// Returns an admission of nothing, which others can be joined to.
    pub(super) fn nothing_admitted(&self) -> Admitted {
        Admitted { audit: self.access.audit.clone(), events: Vec::new(), measured: None }
    }

    /// Returns an admission of which no audit hears, and which is measured from now on.
    fn measured(&self, action: Action, type_name: &str) -> Admitted {
        let since = self.shared.engine.environment.stopwatch();
        let measured = Measured { action, type_name: self.type_label(type_name), since };
        let mut admitted = self.nothing_admitted();
        admitted.measured = Some(measured);
        admitted
    }

    /// Returns the value of the label for a type. A name that a caller made up is no value of a label.
    fn type_label(&self, type_name: &str) -> TypeLabel {
        let definition = self.shared.engine.registry.get(type_name);
        definition.map_or_else(telemetry::unregistered_type, |definition| definition.label())
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
    .with_hint(ASK)
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
    .with_hint(ASK)
}

const ASK: &str = "ask an administrator of the platform for permission";
