//! Object ids, and the `_id` under which Elasticsearch stores an object.

use std::fmt;

use super::{Corruption, Namespace, NamespaceKind};
use crate::{Error, Result};

/// The longest `_id` that Elasticsearch stores, in bytes of UTF-8.
pub(crate) const MAX_RAW_ID_BYTES: usize = 512;

/// Checks that an object id can be stored: it is not empty and contains no `/` and no control characters.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if it cannot be stored. The error names the type and the rule.
pub(crate) fn check_object_id(type_name: &str, id: &str) -> Result<()> {
    if id.is_empty() {
        return Err(Error::invalid(format!("an id of type {type_name} is empty"), "give the object's id"));
    }
    // This check runs for every object. Without a branch, the compiler vectorizes it.
    let is_plain = id.bytes().fold(true, |all, byte| all & (byte > 0x1f) & (byte != b'/') & (byte < 0x7f));
    if !is_plain && (id.contains('/') || id.contains(char::is_control)) {
        return Err(Error::invalid(
            format!("an id of type {type_name} contains `/` or a control character"),
            "use an id without them, such as a UUID",
        ));
    }
    Ok(())
}

/// The `_id` of a stored object (record 29). It is `<namespace>:<type>:<id>` for an object of a single-namespace type
/// outside the default namespace, and `<type>:<id>` otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RawId(String);

impl RawId {
    /// Returns the `_id` of object `id` of type `type_name`.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the id cannot be stored (see [`check_object_id`]), or if the `_id` is
    /// longer than [`MAX_RAW_ID_BYTES`]. One such id would make the server refuse a whole bulk request.
    pub fn new(type_name: &str, kind: NamespaceKind, namespace: &Namespace, id: &str) -> Result<Self> {
        check_object_id(type_name, id)?;
        let raw = Self::of_stored(type_name, kind, namespace, id);
        if raw.len() > MAX_RAW_ID_BYTES {
            return Err(Error::invalid(
                format!("an id of type {type_name} is too long: its stored form has {} bytes", raw.len()),
                format!("use an id whose stored form `{type_name}:<id>` has at most {MAX_RAW_ID_BYTES} bytes"),
            ));
        }
        Ok(Self(raw))
    }

    /// Returns the `_id` of a stored object, without checking that a new object could have it.
    pub(crate) fn of_stored(type_name: &str, kind: NamespaceKind, namespace: &Namespace, id: &str) -> String {
        match namespace.id_form() {
            Some(name) if kind == NamespaceKind::Single => [name, ":", type_name, ":", id].concat(),
            _ => [type_name, ":", id].concat(),
        }
    }

    /// Returns the `_id` of a stored document, without checking it.
    pub(crate) fn stored(raw_id: impl Into<String>) -> Self {
        Self(raw_id.into())
    }

    /// Returns the `_id` as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the object's id within `raw_id`, or `None` if `raw_id` does not have the required form. `raw_id` is the
    /// `_id` of a stored document of type `type_name` whose `namespace` field is `namespace`. The prefix is cut off by
    /// its length, because ids may contain `:`.
    pub fn object_id<'a>(
        raw_id: &'a str,
        type_name: &str,
        kind: NamespaceKind,
        namespace: Option<&str>,
    ) -> Option<&'a str> {
        let rest = match namespace {
            Some(name) if kind == NamespaceKind::Single => raw_id.strip_prefix(name)?.strip_prefix(':')?,
            _ => raw_id,
        };
        let id = rest.strip_prefix(type_name)?.strip_prefix(':')?;
        (!id.is_empty()).then_some(id)
    }

    /// Like [`object_id`](Self::object_id), but returns an error that names the required form.
    ///
    /// # Errors
    /// [`Corruption::WrongId`] if `raw_id` does not have the required form.
    pub fn check_form<'a>(
        raw_id: &'a str,
        type_name: &str,
        kind: NamespaceKind,
        namespace: Option<&str>,
    ) -> Result<&'a str, Corruption> {
        Self::object_id(raw_id, type_name, kind, namespace).ok_or_else(|| {
            let prefix = match namespace {
                Some(name) if kind == NamespaceKind::Single => format!("{name}:"),
                _ => String::new(),
            };
            Corruption::WrongId { expected: format!("{prefix}{type_name}:<id>") }
        })
    }
}

impl From<RawId> for String {
    fn from(raw_id: RawId) -> Self {
        raw_id.0
    }
}

impl fmt::Display for RawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_by_namespace_kind() {
        let ops = Namespace::new("ops").expect("valid");
        let table = [
            (NamespaceKind::Single, &ops, "ops:note:n1"),
            (NamespaceKind::Single, &Namespace::DEFAULT, "note:n1"),
            (NamespaceKind::Multiple, &ops, "note:n1"),
            (NamespaceKind::MultipleIsolated, &ops, "note:n1"),
            (NamespaceKind::Agnostic, &ops, "note:n1"),
        ];
        for (kind, namespace, expected) in table {
            let raw = RawId::new("note", kind, namespace, "n1").expect("valid");
            assert_eq!(raw.as_str(), expected);
            let field = if kind == NamespaceKind::Single { namespace.id_form() } else { None };
            assert_eq!(RawId::object_id(raw.as_str(), "note", kind, field), Some("n1"));
        }
    }

    #[test]
    fn ids_may_contain_colons_but_not_miss_the_prefix() {
        assert_eq!(RawId::object_id("note:a:b", "note", NamespaceKind::Agnostic, None), Some("a:b"));
        for bad in ["note:", "note", "other:a", ""] {
            assert_eq!(RawId::object_id(bad, "note", NamespaceKind::Agnostic, None), None, "{bad:?}");
        }
    }

    #[test]
    fn an_id_of_600_bytes_names_the_limit() {
        let error =
            RawId::new("note", NamespaceKind::Agnostic, &Namespace::DEFAULT, &"x".repeat(600)).expect_err("long");
        assert!(error.to_string().contains("at most 512 bytes"), "{error}");
        for bad in ["", "a/b", "a\u{0}"] {
            assert!(RawId::new("note", NamespaceKind::Agnostic, &Namespace::DEFAULT, bad).is_err());
        }
    }
}
