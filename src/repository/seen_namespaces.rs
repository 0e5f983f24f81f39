//! Where an object is seen, as far as the caller may know: the names of namespaces in which he may do nothing with objects of the
//! type are left out of what he is told, and no search finds them out.

use std::collections::BTreeMap;

use super::change_namespaces::EVERYWHERE;
use super::compared_names::telling;
use super::find::Find;
use super::{Action, Repository, SavedObject};
use crate::Result;
use crate::document::Namespace;
use crate::registry::TypeDefinition;

/// What gives a namespace's name away, if one of it is allowed there.
const TELLING: [Action; 9] = [
    Action::Get,
    Action::Find,
    Action::Update,
    Action::Create,
    Action::Delete,
    Action::GetSecrets,
    Action::Export,
    Action::Import,
    Action::Share,
];

/// The answers of one call, by type and namespace.
#[derive(Debug, Default)]
pub(super) struct Told(BTreeMap<(String, String), bool>);

impl Repository {
    /// Leaves out of objects where else they are seen, as far as the caller may not know.
    pub(super) async fn leave_out_unseen(&self, objects: Vec<&mut SavedObject>) {
        if !self.has_rules() {
            return;
        }
        let mut told = Told::default();
        for object in objects {
            // One that lives in exactly one namespace was asked for there.
            if object.namespaces.len() < 2 {
                continue;
            }
            let shown = self.known_namespaces(&object.type_name, &object.namespaces, &mut told).await;
            object.show_namespaces(shown);
        }
    }

    /// Those of `names` that the caller may know. What is seen from everywhere is seen from the caller's own.
    pub(super) async fn known_namespaces(&self, type_name: &str, names: &[String], told: &mut Told) -> Vec<String> {
        let mut known = Vec::with_capacity(names.len());
        for name in names {
            if self.may_know(type_name, name, told).await {
                known.push(name.clone());
            }
        }
        known
    }

    /// Refuses a search that would find out names of namespaces that the caller may not know.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden), and [`Invalid`](crate::ErrorKind::Invalid) if a filter given as text is not one.
    pub(super) async fn check_compared_names(
        &self,
        action: Action,
        definitions: &[&TypeDefinition],
        request: &Find,
    ) -> Result<()> {
        let mut types = Vec::new();
        for definition in definitions {
            let is_multiple = definition.namespace_kind().is_multiple();
            if is_multiple && !self.allows_everywhere(action, definition.name()).await {
                types.push(definition.name());
            }
        }
        if types.is_empty() {
            return Ok(());
        }
        let mut told = Told::default();
        for (type_name, name) in request.compared_names(&types, definitions)? {
            if !self.may_know(&type_name, &name, &mut told).await {
                return Err(telling(&format!("objects of the type {type_name} must not be compared with {name:?} in")));
            }
        }
        Ok(())
    }

    async fn may_know(&self, type_name: &str, name: &str, told: &mut Told) -> bool {
        if !self.has_rules() || name == EVERYWHERE {
            return true;
        }
        let of = (type_name.to_owned(), name.to_owned());
        if let Some(may_know) = told.0.get(&of) {
            return *may_know;
        }
        let mut may_know = self.allows_everywhere(Action::ListNamespaces, type_name).await;
        if let Ok(namespace) = Namespace::new(name) {
            for action in TELLING {
                may_know = may_know || self.allows(action, type_name, &namespace).await;
            }
        }
        told.0.insert(of, may_know);
        may_know
    }
}
