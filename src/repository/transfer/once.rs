//! JSON objects in which no name may occur twice: the last value would silently win.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use crate::document::Attributes;

/// An object with distinct names.
pub(super) struct Once<M>(pub(super) M);

impl<'de, M: Names + Default> Deserialize<'de> for Once<M>
where
    M::Value: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Once(M::default()))
    }
}

impl<'de, M: Names> Visitor<'de> for Once<M>
where
    M::Value: Deserialize<'de>,
{
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object that has each name once")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some((name, value)) = map.next_entry()? {
            if self.0.replaced(name, value) {
                return Err(A::Error::custom("a name is there twice"));
            }
        }
        Ok(self)
    }
}

/// A map by name.
pub(super) trait Names {
    type Value;

    /// Inserts a value. Returns whether there was another one.
    fn replaced(&mut self, name: String, value: Self::Value) -> bool;
}

impl Names for Attributes {
    type Value = Value;

    fn replaced(&mut self, name: String, value: Value) -> bool {
        self.insert(name, value).is_some()
    }
}

impl<V> Names for BTreeMap<String, V> {
    type Value = V;

    fn replaced(&mut self, name: String, value: V) -> bool {
        self.insert(name, value).is_some()
    }
}
