//! Objects as users name them in arguments: `TYPE/ID`, or the `_id` of the stored document.
//!
//! An id contains no `/`, so a text with one is `TYPE/ID`. An `_id` is `TYPE:ID`, or `NAMESPACE:TYPE:ID` for an object of
//! a single-namespace type outside the default namespace. Words of the command line name objects by `_id`.

use std::fmt;
use std::str::FromStr;

use saved_objects::document::{Namespace, NamespaceKind};
use saved_objects::registry::Registry;
use saved_objects::repository::ObjectKey;
use saved_objects::{Error, Result};

/// The name of an object in an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectName(String);

impl FromStr for ObjectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(['/', ':']) {
            Some((type_name, id)) if !type_name.is_empty() && !id.is_empty() => Ok(Self(text.to_owned())),
            _ => Err("give TYPE/ID, or an `_id` such as TYPE:ID".to_owned()),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the `_id`s that a text in an argument may stand for: it may be an `_id` itself, of any form.
pub(crate) fn raw_ids(text: &str) -> Vec<String> {
    let from_key = text.split_once('/').map(|(type_name, id)| format!("{type_name}:{id}"));
    [text.to_owned()].into_iter().chain(from_key).collect()
}

impl ObjectName {
    /// Returns the `_id`s that the name may stand for.
    pub(crate) fn raw_ids(&self) -> Vec<String> {
        raw_ids(&self.0)
    }

    /// Returns the key of the object. `namespace` is that of a name without one.
    ///
    /// # Errors
    /// `Invalid` if the name is an `_id` whose namespace is another one than `namespace`.
    pub(crate) fn key(&self, registry: &Registry, namespace: Option<&Namespace>) -> Result<ObjectKey> {
        let (of_name, type_name, id) = self.parts(registry)?;
        let namespace = match (of_name, namespace) {
            (Some(of_name), Some(named)) if of_name != *named => {
                return Err(Error::invalid(
                    format!("{} is in the namespace {of_name}, and the command is for {named}", self.0),
                    "leave out --namespace, or name the object as TYPE/ID",
                ));
            }
            (Some(of_name), _) => of_name,
            (None, named) => named.cloned().unwrap_or_default(),
        };
        Ok(ObjectKey::new(type_name, id).in_namespace(namespace))
    }

    /// Returns the namespace, if the name has one, the type and the id.
    fn parts(&self, registry: &Registry) -> Result<(Option<Namespace>, &str, &str)> {
        let text = self.0.as_str();
        if let Some((type_name, id)) = text.split_once('/') {
            return Ok((None, type_name, id));
        }
        let (first, rest) = text.split_once(':').unwrap_or((text, ""));
        let in_namespace = rest.split_once(':').filter(|(type_name, id)| {
            let definition = registry.get(type_name);
            let is_single = definition.is_some_and(|it| it.namespace_kind() == NamespaceKind::Single);
            is_single && registry.get(first).is_none() && !id.is_empty()
        });
        match in_namespace {
            Some((type_name, id)) => Ok((Some(Namespace::new(first)?), type_name, id)),
            None => Ok((None, first, rest)),
        }
    }
}

/// Parses the name of an object in a file, where the line says the namespace: `TYPE/ID` or `TYPE:ID`.
pub(crate) fn object_of_file(text: &str) -> Result<ObjectKey, String> {
    text.parse::<ObjectName>()?;
    let (type_name, id) = text.split_once('/').or_else(|| text.split_once(':')).unwrap_or((text, ""));
    Ok(ObjectKey::new(type_name, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use saved_objects::registry::TypeDefinition;
    use saved_objects::tokens;
    use serde_json::json;

    fn registry() -> Registry {
        let mapping = json!({"type": "note", "group": "notes", "namespace_kind": "single",
            "mapping": {"dynamic": false, "properties": {}}});
        let version = json!({"changes": [], "create": {"type": "object", "properties": {}}});
        let versions = [("1.json".to_owned(), version.to_string())];
        let note = TypeDefinition::from_json("note.json", &mapping.to_string(), &versions).expect("a definition");
        Registry::builder().with(tokens::types().expect("built-in")).with([note]).build().expect("valid")
    }

    #[test]
    fn both_forms_name_the_same_object() {
        let registry = registry();
        let ops = Namespace::new("ops").expect("valid");
        let table = [
            ("note/n1", None, "default", "note", "n1"),
            ("note:n1", None, "default", "note", "n1"),
            ("note/n1", Some(&ops), "ops", "note", "n1"),
            ("note:n1", Some(&ops), "ops", "note", "n1"),
            ("ops:note:n1", None, "ops", "note", "n1"),
            ("ops:note:n1", Some(&ops), "ops", "note", "n1"),
            // Ids may contain colons.
            ("note:a:b", None, "default", "note", "a:b"),
            ("note/a:b", None, "default", "note", "a:b"),
            ("note:note:n1", None, "default", "note", "note:n1"),
            // A type that is not single is in no `_id` after a namespace.
            ("ops:connector_token:x", None, "default", "ops", "connector_token:x"),
            ("unknown:x", None, "default", "unknown", "x"),
        ];
        for (text, namespace, in_namespace, type_name, id) in table {
            let key = text
                .parse::<ObjectName>()
                .and_then(|name| name.key(&registry, namespace).map_err(|error| error.to_string()));
            let expected = ObjectKey::new(type_name, id).in_namespace(Namespace::new(in_namespace).expect("valid"));
            assert_eq!(key, Ok(expected), "{text}");
        }
        let other = "ops:note:n1".parse::<ObjectName>().expect("a name");
        let error = other.key(&registry, Some(&Namespace::DEFAULT)).expect_err("two namespaces");
        assert!(error.to_string().contains("is in the namespace ops"), "{error}");
    }

    #[test]
    fn what_names_no_object_is_refused() {
        for text in ["", "note", "note/", "/n1", ":n1", "note:"] {
            assert!(text.parse::<ObjectName>().is_err() && object_of_file(text).is_err(), "{text:?}");
        }
        assert_eq!(object_of_file("note:a"), object_of_file("note/a"));
    }

    #[test]
    fn an_id_as_it_is_stored_is_always_among_the_readings() {
        for text in ["no-type", "note:n1", "ops:note:n1", "note/n1", "a/b:c"] {
            assert!(raw_ids(text).contains(&text.to_owned()));
        }
        assert_eq!(raw_ids("note/n1"), ["note/n1", "note:n1"]);
    }
}
