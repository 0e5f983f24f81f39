//! Where an object is seen, as far as the caller may know it. Answers leave out the names of namespaces in which the
//! caller may do nothing with objects of the type, and no search reveals them.

use std::collections::BTreeMap;

use crate::Result;
use crate::document::Namespace;
use crate::registry::TypeDefinition;
use crate::repository::search::compared_names::telling;
use crate::repository::search::find::Find;
use crate::repository::{Action, Repository, SavedObject};

/// The name that stands for every namespace.
pub(in crate::repository) const EVERYWHERE: &str = "*";
/// The most namespaces that one object can have.
pub(in crate::repository) const MAX_NAMESPACES: usize = 100;

/// The actions of which one that is allowed in a namespace lets the caller know the namespace's name.
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

/// Which names the caller of one call may know, by type and namespace.
#[derive(Debug, Default)]
pub(in crate::repository) struct KnownNames(BTreeMap<(String, String), bool>);

impl Repository {
    /// Removes from objects the names of namespaces that the caller may not know.
    pub(in crate::repository) async fn leave_out_unseen(&self, objects: Vec<&mut SavedObject>) {
        if !self.has_rules() {
            return;
        }
        let mut known = KnownNames::default();
        for object in objects {
            // An object that is seen from exactly one namespace was asked for there.
            if object.namespaces.len() < 2 {
                continue;
            }
            let shown = self.known_namespaces(&object.type_name, &object.namespaces, &mut known).await;
            object.show_namespaces(shown);
        }
    }

    /// Returns those of `names` that the caller may know. What is seen from everywhere is seen from the caller's own
    /// namespace.
    pub(in crate::repository) async fn known_namespaces(
        &self,
        type_name: &str,
        names: &[String],
        known: &mut KnownNames,
    ) -> Vec<String> {
        let mut shown = Vec::with_capacity(names.len());
        for name in names {
            if self.may_know(type_name, name, known).await {
                shown.push(name.clone());
            }
        }
        shown
    }

    /// Refuses a search that would reveal names of namespaces that the caller may not know.
    ///
    /// # Errors
    /// [`Forbidden`](crate::ErrorKind::Forbidden), and [`Invalid`](crate::ErrorKind::Invalid) if a filter given as text
    /// cannot be parsed.
    pub(in crate::repository) async fn check_compared_names(
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
        let mut known = KnownNames::default();
        for (type_name, name) in request.compared_names(&types, definitions)? {
            if !self.may_know(&type_name, &name, &mut known).await {
                return Err(telling(&format!("objects of the type {type_name} must not be compared with {name:?} in")));
            }
        }
        Ok(())
    }

    async fn may_know(&self, type_name: &str, name: &str, known: &mut KnownNames) -> bool {
        if !self.has_rules() || name == EVERYWHERE {
            return true;
        }
        let of = (type_name.to_owned(), name.to_owned());
        if let Some(may_know) = known.0.get(&of) {
            return *may_know;
        }
        let mut may_know = self.allows_everywhere(Action::ListNamespaces, type_name).await;
        if let Ok(namespace) = Namespace::new(name) {
            for action in TELLING {
                may_know = may_know || self.allows(action, type_name, &namespace).await;
            }
        }
        known.0.insert(of, may_know);
        may_know
    }
}
