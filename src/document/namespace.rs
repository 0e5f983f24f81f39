//! Namespaces, and how the objects of a type relate to them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The relation of a type's objects to namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamespaceKind {
    /// Objects belong to no namespace and are visible in every one.
    Agnostic,
    /// An object lives in exactly one namespace, which is part of its stored id.
    Single,
    /// An object can be shared with several namespaces.
    Multiple,
    /// An object lives in one namespace, but its id is unique across all namespaces.
    MultipleIsolated,
}

impl NamespaceKind {
    /// Returns whether the document lists its namespaces in `namespaces`.
    pub fn is_multiple(self) -> bool {
        matches!(self, Self::Multiple | Self::MultipleIsolated)
    }
}

/// A namespace: the default one or a named one. The name `default` means the default one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Namespace(Option<String>);

impl Namespace {
    /// The default namespace.
    pub const DEFAULT: Self = Self(None);

    /// Returns the namespace called `name`.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the name is empty, is `*`, or contains `:`, `,`, white space or a
    /// control character.
    pub fn new(name: &str) -> Result<Self> {
        if name == "default" {
            return Ok(Self::DEFAULT);
        }
        if name.is_empty() || name == "*" {
            return Err(Error::invalid(
                format!("the namespace {name:?} is not a namespace's name"),
                "give the name of one namespace, or `default`",
            ));
        }
        if name.contains(|c: char| c == ':' || c == ',' || c.is_control() || c.is_whitespace()) {
            return Err(Error::invalid(
                format!("the namespace {name:?} contains a character that names cannot have"),
                "use a name without `:`, `,`, white space and control characters",
            ));
        }
        Ok(Self(Some(name.to_owned())))
    }

    /// Returns the name in the form that `_id`, `namespace` and associated data use: `None` for the default namespace.
    pub fn id_form(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Returns the name in the form that `namespaces` uses: `default` for the default namespace.
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or("default")
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Namespace {
    type Err = Error;

    /// Returns the namespace called `name`, like [`Namespace::new`].
    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_has_two_forms() {
        let namespace = Namespace::new("default").expect("valid");
        assert_eq!(namespace, Namespace::DEFAULT);
        assert_eq!((namespace.id_form(), namespace.as_str()), (None, "default"));
        let named = Namespace::new("ops").expect("valid");
        assert_eq!((named.id_form(), named.as_str()), (Some("ops"), "ops"));
    }

    #[test]
    fn odd_names_are_refused() {
        for name in ["", "*", "a:b", "a b", "a\n", "a,b"] {
            assert!(Namespace::new(name).is_err(), "{name:?}");
            assert!(name.parse::<Namespace>().is_err(), "{name:?}");
        }
        for name in ["default", "ops"] {
            assert_eq!(name.parse::<Namespace>().expect("valid").to_string(), name);
        }
    }
}
