use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::document::Attributes;

/// A function that upgrades attributes. An error refuses the document; its text ends up in reports, so it must not
/// quote values.
pub type Transform = dyn Fn(&mut Attributes) -> Result<(), String> + Send + Sync;

/// The transforms that this software has, by the name that definitions use.
#[derive(Clone, Default)]
pub struct Transforms(BTreeMap<String, Arc<Transform>>);

impl Transforms {
    /// The transform `name`, if this software has it.
    pub fn get(&self, name: &str) -> Option<&Arc<Transform>> {
        self.0.get(name)
    }

    /// The names of all of them, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Adds a transform and gives the one that had the name before.
    pub fn insert(&mut self, name: impl Into<String>, transform: Arc<Transform>) -> Option<Arc<Transform>> {
        self.0.insert(name.into(), transform)
    }
}

impl fmt::Debug for Transforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
