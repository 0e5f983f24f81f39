//! The platform's functions that upgrade attributes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::document::Attributes;

/// A function that upgrades attributes. An error refuses the document. Its text appears in reports, so it must not
/// quote values. A panic also refuses the document and affects nothing else.
pub type Transform = dyn Fn(&mut Attributes) -> Result<(), String> + Send + Sync;

/// The transforms of this software, by the name that definitions use.
#[derive(Clone, Default)]
pub struct Transforms(BTreeMap<String, Arc<Transform>>);

impl Transforms {
    /// Returns the transform `name`, if this software has it.
    pub fn get(&self, name: &str) -> Option<&Arc<Transform>> {
        self.0.get(name)
    }

    /// Returns the names of all transforms, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Adds a transform and returns the one that had the name before.
    pub fn insert(&mut self, name: impl Into<String>, transform: Arc<Transform>) -> Option<Arc<Transform>> {
        self.0.insert(name.into(), transform)
    }
}

impl fmt::Debug for Transforms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
