//! [`Repository`], the client of objects as JSON, and what all of its operations use.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::access::Access;
use super::pipeline::errors;
use super::pipeline::generations::Generations;
use super::pipeline::recorded_sets::RecordedSets;
use crate::Result;
use crate::engine::Engine;
use crate::engine::control::Control;
use crate::environment::Environment;
use crate::layout::IndexNames;
use crate::model::CreateSchema;
use crate::registry::TypeDefinition;

/// Reads and writes objects of the registered types, with attributes as JSON. Cloning is cheap and shares everything.
///
/// Types whose definition says `hidden` are reachable only through a repository that [includes](Repository::including)
/// them.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(super) shared: Arc<Shared>,
    pub(super) included: Arc<BTreeSet<String>>,
    pub(super) access: Access,
}

/// What all clones of a repository share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) generations: Generations,
    pub(super) recorded_sets: RecordedSets,
}

impl Repository {
    /// Creates a repository of the engine's objects.
    pub(crate) fn new(engine: Engine) -> Self {
        let shared = Shared { engine, generations: Generations::default(), recorded_sets: RecordedSets::default() };
        Self { shared: Arc::new(shared), included: Arc::default(), access: Access::default() }
    }

    /// Returns a repository that reaches these hidden types too. Naming one that is not hidden changes nothing.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if one of them is not registered.
    pub fn including(&self, hidden_types: &[&str]) -> Result<Self> {
        if let Some(unknown) = hidden_types.iter().find(|name| self.shared.engine.registry.get(name).is_none()) {
            return Err(errors::unavailable_type(unknown));
        }
        let mut included = BTreeSet::clone(&self.included);
        included.extend(hidden_types.iter().map(|name| (*name).to_owned()));
        Ok(Self { included: Arc::new(included), ..self.clone() })
    }

    /// Returns the definition of a type that this repository may use.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if it is not registered, or if it is hidden and not included.
    pub(super) fn definition(&self, type_name: &str) -> Result<&TypeDefinition> {
        self.registered(type_name).map(Arc::as_ref)
    }

    /// Like [`definition`](Self::definition), for callers that share the definition.
    pub(super) fn registered(&self, type_name: &str) -> Result<&Arc<TypeDefinition>> {
        let reachable = |definition: &&Arc<TypeDefinition>| !definition.hidden() || self.included.contains(type_name);
        let definition = self.shared.engine.registry.get(type_name).filter(reachable);
        definition.ok_or_else(|| errors::unavailable_type(type_name))
    }

    /// Refuses a type that this repository does not reach.
    pub(crate) fn check_type(&self, type_name: &str) -> Result<()> {
        self.definition(type_name).map(drop)
    }

    /// Returns the schema that new objects of a type satisfy.
    pub(crate) fn create_schema(&self, type_name: &str) -> Result<&CreateSchema> {
        Ok(&self.definition(type_name)?.latest().create)
    }

    /// Returns the time, randomness and tasks that this repository works with.
    pub(crate) fn environment(&self) -> &Environment {
        &self.shared.engine.environment
    }

    /// Returns the control index, in which nodes coordinate.
    pub(crate) fn control(&self) -> Control {
        self.shared.engine.control()
    }

    /// Returns the names of the group that a type belongs to.
    pub(super) fn names(&self, definition: &TypeDefinition) -> IndexNames {
        self.shared.engine.prefix.group(definition.group())
    }

    /// Remembers which generation of `group` is the current one, so that the first write does not look it up.
    pub(crate) fn remember_generation(&self, group: &str, generation: u32) {
        self.shared.generations.remember(group, generation);
    }

    /// Remembers that the current generation of `group` was migrated to the types of this software.
    pub(crate) fn remember_migrated(&self, group: &str, generation: u32) {
        self.remember_generation(group, generation);
        let of_group = self.shared.engine.registry.types().filter(|definition| definition.group() == group);
        let versions = of_group.map(|definition| (definition.name().to_owned(), definition.mapping_version()));
        self.shared.generations.remember_mapped(group, generation, versions.collect());
    }
}
