//! Holds a document against a mapping: whether an index with that mapping takes it, as far as that can be known without
//! the server.

use serde_json::{Map, Value};

use super::mapped_values::{self, type_of};
use crate::document::StoredDocument;

/// The longest term that an index can hold, in bytes of UTF-8. Source: Lucene, `IndexWriter.MAX_TERM_LENGTH`.
pub(crate) const MAX_TERM_BYTES: usize = 32_766;
/// The nested objects that one document may have. Source: the index setting `index.mapping.nested_objects.limit`.
pub(crate) const MAX_NESTED: usize = 10_000;

/// What is held against the mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    /// Lengths and numbers, which no setting of the server changes.
    Limits,
    /// Also the names and values of fields.
    Values,
}

/// Why an index would refuse a document. Nothing quotes a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misfit {
    /// The part of the document, or `None` for the document itself.
    pub(crate) of: Option<String>,
    /// What is wrong with it: "has 32767 bytes, …".
    pub(crate) why: String,
    /// What its owner can do.
    pub(crate) hint: String,
}

/// Returns why an index in which a type has this mapping would refuse the document.
pub(crate) fn misfit(mapping: &Value, document: &StoredDocument, judged: Judged) -> Option<Misfit> {
    Check { nested: document.root.references.len(), judged }.document(mapping, document).err()
}

struct Check {
    nested: usize,
    judged: Judged,
}

/// An object of a mapping, and whether the index refuses names in it that are not mapped.
#[derive(Clone, Copy)]
struct Mapped<'a> {
    field: &'a Value,
    is_strict: bool,
}

impl<'a> Mapped<'a> {
    /// Returns the object that `field` maps, within this one.
    fn within(self, field: &'a Value) -> Self {
        let is_strict = field.get("dynamic").map_or(self.is_strict, |dynamic| dynamic == "strict");
        Self { field, is_strict }
    }
}

impl Check {
    fn judges_values(&self) -> bool {
        self.judged == Judged::Values
    }

    fn document(mut self, mapping: &Value, document: &StoredDocument) -> Result<(), Misfit> {
        let root = &document.root;
        for (at, reference) in root.references.iter().enumerate() {
            for (name, value) in [("name", &reference.name), ("type", &reference.type_name), ("id", &reference.id)] {
                self.term(&format!("references[{at}].{name}"), value, None)?;
            }
        }
        for (name, value) in
            [("originId", &root.origin_id), ("created_by", &root.created_by), ("updated_by", &root.updated_by)]
        {
            if let Some(value) = value {
                self.term(name, value, None)?;
            }
        }
        for name in root.namespaces.iter().flatten() {
            self.term("namespaces", name, None)?;
        }
        let root = Mapped { field: mapping, is_strict: false };
        self.members("", root.within(mapping), &document.attributes)?;
        if self.nested <= MAX_NESTED {
            return Ok(());
        }
        Err(Misfit {
            of: None,
            why: format!("has {} references and nested objects, and a document may have {MAX_NESTED}", self.nested),
            hint: "divide it into several objects".to_owned(),
        })
    }

    /// Checks the members of the object at `path`.
    fn members(&mut self, path: &str, object: Mapped<'_>, members: &Map<String, Value>) -> Result<(), Misfit> {
        for (name, value) in members {
            // A name with dots stands for objects, one within the other. As the server splits it: empty names at its
            // end do not count.
            let names: Vec<&str> = name.trim_end_matches('.').split('.').collect();
            if self.judges_values() && names.iter().any(|name| name.trim().is_empty()) {
                let within = if path.is_empty() { String::new() } else { format!(" of {path:?}") };
                return Err(self.refused(
                    &format!("the name {name:?}{within}"),
                    "is empty, or empty before or after a dot",
                    "rename it",
                ));
            }
            self.named(path, object, &names, value)?;
        }
        Ok(())
    }

    /// Checks the value at the path `names` within the object at `path`.
    fn named(&mut self, path: &str, object: Mapped<'_>, names: &[&str], value: &Value) -> Result<(), Misfit> {
        let Some((name, rest)) = names.split_first() else { return Ok(()) };
        let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
        let Some(field) = object.field.get("properties").and_then(|fields| fields.get(name)) else {
            return match self.judges_values() && object.is_strict {
                true => Err(self.refused(
                    &format!("{path:?}"),
                    "is not in the mapping, which says `strict`",
                    "leave it out, or add it to the mapping with a new model version",
                )),
                false => Ok(()),
            };
        };
        if rest.is_empty() {
            return self.field(&path, object.within(field), value);
        }
        match type_of(field) {
            "object" | "nested" => self.named(&path, object.within(field), rest, value),
            // The rest of the name makes an object of it.
            _ => self.judge(
                &path,
                field,
                &Value::Object(rest.iter().take(1).map(|name| ((*name).to_owned(), Value::Null)).collect()),
            ),
        }
    }

    /// Checks the value at `path`.
    fn field(&mut self, path: &str, mapped: Mapped<'_>, value: &Value) -> Result<(), Misfit> {
        let field = mapped.field;
        match value {
            Value::Null => return Ok(()),
            Value::Array(elements) => return elements.iter().try_for_each(|element| self.field(path, mapped, element)),
            _ => self.judge(path, field, value)?,
        }
        match (type_of(field), value) {
            ("keyword", Value::String(text)) => self.term(path, text, ignore_above(field))?,
            ("flattened", Value::Object(_)) => self.flattened(path, "", field, value)?,
            ("nested", Value::Object(members)) => {
                self.nested += 1;
                self.members(path, mapped, members)?;
            }
            ("object", Value::Object(members)) => self.members(path, mapped, members)?,
            _ => {}
        }
        for (name, again) in field.get("fields").and_then(Value::as_object).into_iter().flatten() {
            self.field(&format!("{path}.{name}"), mapped.within(again), value)?;
        }
        Ok(())
    }

    fn judge(&self, path: &str, field: &Value, value: &Value) -> Result<(), Misfit> {
        match mapped_values::refusal(field, value).filter(|_| self.judges_values()) {
            None => Ok(()),
            Some(takes) => Err(self.refused(
                &format!("{path:?}"),
                &format!("has a value that its mapping as {} refuses", type_of(field)),
                &format!("it {takes}"),
            )),
        }
    }

    fn refused(&self, of: &str, why: &str, hint: &str) -> Misfit {
        Misfit { of: Some(of.to_owned()), why: why.to_owned(), hint: hint.to_owned() }
    }

    /// Each value within a flattened field is a term by itself, and one with its path before it.
    fn flattened(&self, path: &str, within: &str, field: &Value, value: &Value) -> Result<(), Misfit> {
        match value {
            Value::Object(members) => members.iter().try_for_each(|(name, value)| {
                let within = if within.is_empty() { name.clone() } else { format!("{within}.{name}") };
                self.flattened(path, &within, field, value)
            }),
            Value::Array(elements) => {
                elements.iter().try_for_each(|element| self.flattened(path, within, field, element))
            }
            Value::String(text) if !is_ignored(text, ignore_above(field)) => {
                self.bytes(&format!("{path}.{within}"), within.len() + 1 + text.len(), "flattened")
            }
            _ => Ok(()),
        }
    }

    fn term(&self, path: &str, text: &str, ignore_above: Option<u64>) -> Result<(), Misfit> {
        if is_ignored(text, ignore_above) { Ok(()) } else { self.bytes(path, text.len(), "keyword") }
    }

    fn bytes(&self, path: &str, bytes: usize, kind: &str) -> Result<(), Misfit> {
        if bytes <= MAX_TERM_BYTES {
            return Ok(());
        }
        Err(self.refused(
            &format!("{path:?}"),
            &format!("has {bytes} bytes, and as {kind} it may have {MAX_TERM_BYTES} at most"),
            "shorten it; or map it as `text`, or with `ignore_above`, in a new model version",
        ))
    }
}

fn ignore_above(field: &Value) -> Option<u64> {
    field.get("ignore_above").and_then(Value::as_u64)
}

/// Returns whether the server leaves a text out of the index because of its length in characters.
fn is_ignored(text: &str, ignore_above: Option<u64>) -> bool {
    // The server counts UTF-16 units.
    ignore_above.is_some_and(|limit| text.encode_utf16().count() as u64 > limit)
}
