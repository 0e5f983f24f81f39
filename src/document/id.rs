use std::fmt;

use super::{Corruption, Namespace, NamespaceKind};
use crate::{Error, Result};

/// The longest `_id` that Elasticsearch stores, in bytes of UTF-8.
pub const MAX_RAW_ID_BYTES: usize = 512;

/// Refuses an object id that cannot be stored: empty, with `/`, or with control characters.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid), naming the type and the rule.
pub fn check_object_id(type_name: &str, id: &str) -> Result<()> {
    if id.is_empty() {
        return Err(Error::invalid(format!("an id of type {type_name} is empty"), "give the object's id"));
    }
    // No branch, for every object comes through here: so the compiler makes it work on many bytes at a time.
    let is_plain = id.bytes().fold(true, |all, byte| all & (byte > 0x1f) & (byte != b'/') & (byte < 0x7f));
    if !is_plain && (id.contains('/') || id.contains(char::is_control)) {
        return Err(Error::invalid(
            format!("an id of type {type_name} contains `/` or a control character"),
            "use an id without them, such as a UUID",
        ));
    }
    Ok(())
}

/// The `_id` of a stored object: `<type>:<id>`, or `<namespace>:<type>:<id>` for an object of a single-namespace type
/// outside the default namespace (facts/migrations.md 1.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RawId(String);

impl RawId {
    /// The `_id` of object `id` of type `type_name`.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the id cannot be stored: see [`check_object_id`], or if the whole is
    /// longer than [`MAX_RAW_ID_BYTES`] (one such id would make the server refuse a whole bulk).
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

    /// The `_id` of an object that is stored, even if none could be stored like it.
    pub(crate) fn of_stored(type_name: &str, kind: NamespaceKind, namespace: &Namespace, id: &str) -> String {
        match namespace.id_form() {
            Some(name) if kind == NamespaceKind::Single => [name, ":", type_name, ":", id].concat(),
            _ => [type_name, ":", id].concat(),
        }
    }

    /// The `_id` as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The object's id within `raw_id`, the `_id` of a stored document of type `type_name` whose `namespace` field is
    /// `namespace`; none if the `_id` does not have the form that such a document must have. The prefix is cut by its
    /// length: ids may contain `:`.
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

    /// As [`object_id`](Self::object_id), with an error that says which form the `_id` should have.
    ///
    /// # Errors
    /// [`Corruption::WrongId`].
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
