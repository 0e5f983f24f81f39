//! One line of a file.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::summary::NamedObject;
use crate::document::{Attributes, MAX_DEPTH, Reference, depth};
use crate::encryption::{Secret, Secrets};
use crate::{Error, ErrorKind, Result};

/// An object in a file.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    #[serde(flatten)]
    pub(super) object: NamedObject,
    /// Where it is seen; `default` is written out. Not for agnostic types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespaces: Option<Vec<String>>,
    pub(super) attributes: Attributes,
    /// Encrypted attributes as they are stored. An empty list says that the object has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) envelopes: Option<Attributes>,
    /// Encrypted attributes in the clear. An empty list says that the object has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secrets: Option<BTreeMap<String, Clear>>,
    pub(super) references: Vec<Reference>,
    #[serde(skip_serializing_if = "Given::is_absent")]
    pub(super) managed: Given<bool>,
    #[serde(skip_serializing_if = "Given::is_absent")]
    pub(super) origin_id: Given<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) type_migration_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) core_migration_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) access_control: Option<Value>,
    #[serde(rename = "created_at", skip_serializing_if = "Given::is_absent")]
    pub(super) created_at: Given<String>,
    #[serde(rename = "created_by", skip_serializing_if = "Option::is_none")]
    pub(super) created_by: Option<String>,
    #[serde(rename = "updated_at", skip_serializing_if = "Given::is_absent")]
    pub(super) updated_at: Given<String>,
    #[serde(rename = "updated_by", skip_serializing_if = "Option::is_none")]
    pub(super) updated_by: Option<String>,
}

/// A value of a line for which absent and null are two things: an absent one is left to the import, a null says that there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(super) enum Given<T> {
    #[default]
    Absent,
    Said(Option<T>),
}

impl<T> Given<T> {
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Returns what the line says, or else what `otherwise` gives.
    pub(super) fn unwrap_or_else(self, otherwise: impl FnOnce() -> Option<T>) -> Option<T> {
        match self {
            Self::Absent => otherwise(),
            Self::Said(value) => value,
        }
    }
}

/// A secret on its way into or out of a file, in the clear because its owner said so.
#[derive(Debug)]
pub(super) struct Clear(pub(super) Secret);

impl Serialize for Clear {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &serde_json::value::RawValue = serde_json::from_str(self.0.expose_json())
            .map_err(|_| serde::ser::Error::custom("a secret is not JSON"))?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Clear {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Secret::json(&value).map(Self).map_err(|_| D::Error::custom("null is not a secret"))
    }
}

/// What a line is.
#[derive(Debug)]
pub(super) enum Content {
    Object(Box<Line>),
    /// The last line of an export, which says how many objects are before it.
    Summary(u64),
}

/// Why a line cannot be read.
#[derive(Debug)]
pub(super) struct Malformed {
    /// The column, in bytes from 1.
    pub(super) column: u64,
    pub(super) error: Error,
}

impl Content {
    /// Reads a line.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Malformed> {
        let mut trouble = Trouble::default();
        let mut deserializer = serde_json::Deserializer::from_slice(line);
        let read = Reading(&mut trouble).deserialize(&mut deserializer);
        let read = read.and_then(|content| deserializer.end().map(|()| content));
        // serde's messages can quote values, and a value may be a secret: only the place is passed on.
        read.map_err(|error| Malformed {
            column: u64::try_from(error.column()).unwrap_or(u64::MAX).max(1),
            error: trouble.told(line, &error),
        })
    }
}

impl Line {
    /// Returns the namespaces that it names.
    pub(super) fn names(&self) -> &[String] {
        self.namespaces.as_deref().unwrap_or_default()
    }

    /// Takes the secrets that it has in the clear.
    pub(super) fn take_secrets(&mut self) -> Secrets {
        let secrets = self.secrets.take().unwrap_or_default();
        secrets.into_iter().map(|(name, Clear(secret))| (name, secret)).collect()
    }

    /// Returns the line's bytes, with the line break.
    pub(super) fn to_bytes(&self) -> Result<zeroize::Zeroizing<Vec<u8>>> {
        let mut bytes = zeroize::Zeroizing::new(Vec::with_capacity(2048));
        serde_json::to_writer(&mut *bytes, self)
            .map_err(|_| Error::new(ErrorKind::Internal, "an object cannot be written as JSON"))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

/// The keys of an object.
const KEYS: &[&str] = &[
    "type",
    "id",
    "namespaces",
    "attributes",
    "envelopes",
    "secrets",
    "references",
    "managed",
    "originId",
    "typeMigrationVersion",
    "coreMigrationVersion",
    "accessControl",
    "created_at",
    "created_by",
    "updated_at",
    "updated_by",
];
/// What Kibana's exports have and means nothing in another store.
const IGNORED_KEYS: &[&str] = &["version", "migrationVersion", "score", "sort"];
/// What the last line of an export has beside the number of objects.
const SUMMARY_KEYS: &[&str] = &["excludedObjects", "excludedObjectsCount", "missingRefCount", "missingReferences"];

/// What was being read when the reading failed, as far as it can be told without quoting values.
#[derive(Debug, Default)]
enum Trouble {
    /// No key.
    #[default]
    None,
    /// The value of this key, which has another form.
    Value(&'static str),
    /// A key that no object has.
    Unknown(String),
    /// A key that is there twice.
    Twice(&'static str),
    /// A key that is not there.
    Missing(&'static str),
}

impl Trouble {
    fn told(&self, line: &[u8], error: &serde_json::Error) -> Error {
        const FORM: &str = "each line is one JSON object with `type`, `id` and `attributes`, as an export writes it";
        let Ok(text) = std::str::from_utf8(line) else {
            return Error::invalid("the line is not UTF-8", "save the file as UTF-8");
        };
        if depth::is_unreadable(text) {
            return Error::invalid(
                format!("the line is nested too deep: the value of an attribute may have {MAX_DEPTH} levels"),
                depth::FLATTEN,
            );
        }
        let column = error.column().max(1);
        match self {
            Self::Unknown(key) => Error::invalid(format!("an object has no key {}", shown(key)), meant(key)),
            Self::Twice(key) => Error::invalid(format!("the key `{key}` is there twice"), "leave one of them out"),
            Self::Missing(key) => Error::invalid(format!("the key `{key}` is missing"), FORM),
            Self::Value(key) if error.is_data() => {
                Error::invalid(format!("`{key}` is not {}, at column {column}", form_of(key)), FORM)
            }
            _ if error.is_eof() && !text.ends_with('\n') => Error::invalid(
                format!("the line ends within its JSON, at column {column}: the file may have been cut"),
                "take a whole copy of the file",
            ),
            _ if text.trim_start().starts_with('[') => Error::invalid(
                "the line is a list, and not one object",
                "write each object of the list on a line of its own",
            ),
            _ if error.is_data() => Error::invalid("the line is no JSON object", FORM),
            _ => Error::invalid(format!("the line is not JSON, at column {column}"), FORM),
        }
    }
}

/// A key as messages show it.
fn shown(key: &str) -> String {
    let mut shown: String = key.chars().take(40).collect();
    if shown.len() < key.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// What an unknown key may be meant to be.
fn meant(key: &str) -> String {
    let plain =
        |key: &str| key.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    let key = plain(key);
    let nearest = KEYS.iter().map(|known| (distance(&key, &plain(known)), known)).min();
    match nearest.filter(|(distance, known)| *distance <= known.len() / 3) {
        Some((_, known)) => format!("call it `{known}`, if that is meant, or leave it out"),
        None => format!("leave it out; the keys are {}", KEYS.join(", ")),
    }
}

/// How many letters of `one` must be changed, added or removed to make `other` of it.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, letter) in one.chars().take(40).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, against) in other.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *against);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

fn form_of(key: &str) -> &'static str {
    match key {
        "namespaces" => "a list of texts",
        "attributes" | "envelopes" | "accessControl" => "an object",
        "secrets" => "an object without nulls",
        "references" => "a list of objects with `name`, `type` and `id`",
        "managed" => "true or false",
        "exportedCount" => "a number of objects",
        _ => "a text",
    }
}

/// Reads a line, and notes where it is.
struct Reading<'t>(&'t mut Trouble);

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Content;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// What was read of a line so far.
#[derive(Default)]
struct Parts {
    type_name: Option<String>,
    id: Option<String>,
    attributes: Option<Attributes>,
    references: Option<Vec<Reference>>,
    namespaces: Option<Vec<String>>,
    envelopes: Option<Attributes>,
    secrets: Option<BTreeMap<String, Clear>>,
    managed: Given<bool>,
    texts: BTreeMap<&'static str, Option<String>>,
    access_control: Option<Value>,
    exported_count: Option<u64>,
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of an export")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let Self(trouble) = self;
        let failed = |trouble: &mut Trouble, what: Trouble| {
            *trouble = what;
            Err(A::Error::custom("no line of an export"))
        };
        let mut parts = Parts::default();
        let mut seen: Vec<&'static str> = Vec::new();
        let mut of_summary = None;
        while let Some(name) = map.next_key::<String>()? {
            let name = name.as_str();
            if SUMMARY_KEYS.contains(&name) {
                map.next_value::<IgnoredAny>()?;
                of_summary.get_or_insert_with(|| name.to_owned());
                continue;
            }
            if IGNORED_KEYS.contains(&name) {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let known = KEYS.iter().chain(&["exportedCount"]).find(|known| **known == name);
            let Some(&key) = known else { return failed(trouble, Trouble::Unknown(name.to_owned())) };
            if seen.contains(&key) {
                return failed(trouble, Trouble::Twice(key));
            }
            seen.push(key);
            *trouble = Trouble::Value(key);
            match key {
                "type" => parts.type_name = Some(map.next_value()?),
                "id" => parts.id = Some(map.next_value()?),
                "attributes" => parts.attributes = Some(map.next_value()?),
                "references" => parts.references = map.next_value()?,
                "namespaces" => parts.namespaces = map.next_value()?,
                "envelopes" => parts.envelopes = map.next_value()?,
                "secrets" => parts.secrets = map.next_value()?,
                "managed" => parts.managed = Given::Said(map.next_value()?),
                "accessControl" => {
                    let control: Option<Attributes> = map.next_value()?;
                    parts.access_control = control.map(Value::Object);
                }
                "exportedCount" => parts.exported_count = Some(map.next_value()?),
                text => drop(parts.texts.insert(text, map.next_value()?)),
            }
            *trouble = Trouble::None;
        }
        match (parts.exported_count, of_summary) {
            (Some(count), _) if parts.type_name.is_none() && parts.attributes.is_none() => {
                return Ok(Content::Summary(count));
            }
            (Some(_), _) => return failed(trouble, Trouble::Unknown("exportedCount".to_owned())),
            (None, Some(key)) => return failed(trouble, Trouble::Unknown(key)),
            (None, None) => {}
        }
        let missing = match &parts {
            Parts { type_name: None, .. } => "type",
            Parts { id: None, .. } => "id",
            _ => "attributes",
        };
        let Parts { type_name: Some(type_name), id: Some(id), attributes: Some(attributes), mut texts, .. } = parts
        else {
            return failed(trouble, Trouble::Missing(missing));
        };
        let mut given = |key: &str| texts.remove(key).map_or(Given::Absent, Given::Said);
        let (origin_id, created_at, updated_at) = (given("originId"), given("created_at"), given("updated_at"));
        let mut text = |key: &str| texts.remove(key).flatten();
        Ok(Content::Object(Box::new(Line {
            object: NamedObject { type_name, id },
            namespaces: parts.namespaces,
            attributes,
            envelopes: parts.envelopes,
            secrets: parts.secrets,
            references: parts.references.unwrap_or_default(),
            managed: parts.managed,
            origin_id,
            type_migration_version: text("typeMigrationVersion"),
            core_migration_version: text("coreMigrationVersion"),
            access_control: parts.access_control,
            created_at,
            created_by: text("created_by"),
            updated_at,
            updated_by: text("updated_by"),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> (u64, String) {
        let malformed = Content::parse(line.as_bytes()).expect_err(line);
        assert!(malformed.error.cure().is_some(), "{line}");
        (malformed.column, malformed.error.to_string())
    }

    #[test]
    fn what_is_wrong_with_a_line_is_named_without_its_values() {
        let table = [
            ("not json\n", "not JSON, at column"),
            ("[{}]\n", "is a list"),
            ("\"SECRET\"\n", "no JSON object"),
            ("{\"type\":\"n\",\"id\":\"1\",\"attrib", "may have been cut"),
            ("{\"type\":\"n\",\"id\":\"1\"}\n", "`attributes` is missing"),
            ("{\"id\":\"1\",\"attributes\":{}}\n", "`type` is missing"),
            ("{\"type\":\"n\",\"attributes\":{}}\n", "`id` is missing"),
            ("{\"type\":\"n\",\"id\":5,\"attributes\":{}}\n", "`id` is not a text"),
            ("{\"type\":\"n\",\"id\":\"1\",\"attributes\":\"SECRET\"}\n", "`attributes` is not an object"),
            (
                "{\"type\":\"n\",\"id\":\"1\",\"attributes\":{},\"managed\":\"SECRET\"}\n",
                "`managed` is not true or false",
            ),
            (
                "{\"type\":\"n\",\"id\":\"1\",\"attributes\":{},\"references\":[{\"type\":\"n\"}]}\n",
                "`references` is not a list",
            ),
            (
                "{\"type\":\"n\",\"id\":\"1\",\"attributes\":{},\"secrets\":{\"a\":null}}\n",
                "`secrets` is not an object without",
            ),
            ("{\"type\":\"n\",\"id\":\"1\",\"attributes\":{},\"id\":\"2\"}\n", "`id` is there twice"),
            ("{\"type\":\"n\",\"id\":\"1\",\"atributes\":{}}\n", "call it `attributes`"),
            ("{\"type\":\"n\",\"id\":\"1\",\"attributes\":{},\"createdAt\":\"x\"}\n", "call it `created_at`"),
            ("{\"type\":\"n\",\"id\":\"1\",\"attributes\":{},\"reference\":[]}\n", "call it `references`"),
            ("{\"type\":\"n\",\"id\":\"1\",\"attributes\":{},\"whatever\":[]}\n", "the keys are type, id"),
            ("{\"type\":\"n\",\"id\":\"1\",\"attributes\":{},\"exportedCount\":1}\n", "no key \"exportedCount\""),
            ("{\"missingRefCount\":0}\n", "no key \"missingRefCount\""),
            ("{}\n", "`type` is missing"),
            ("{\"exportedCount\":-1}\n", "not a number of objects"),
            ("{\"type\":\"n\",\"id\":\"1\",\"attributes\":{}} x\n", "not JSON, at column"),
        ];
        for (line, expected) in table {
            let (column, message) = refused(line);
            assert!(message.contains(expected), "{line}: {message}");
            assert!(
                column >= 1 && column <= line.len() as u64 && !message.contains("SECRET"),
                "{line}: {column} {message}"
            );
        }
        let malformed = Content::parse(b"{\"type\":\"\xff\"}").expect_err("not UTF-8");
        assert!(malformed.error.message().contains("UTF-8"));
        assert!(matches!(Content::parse(b"{\"excludedObjects\":[],\"exportedCount\":3}"), Ok(Content::Summary(3))));
    }

    #[test]
    fn what_a_line_does_not_say_is_not_what_it_denies() {
        let read = |more: &str| {
            let line = format!("{{\"type\":\"n\",\"id\":\"1\",\"attributes\":{{}}{more}}}");
            match Content::parse(line.as_bytes()) {
                Ok(Content::Object(line)) => line,
                other => panic!("{line}: {other:?}"),
            }
        };
        let silent = read("");
        assert!(silent.created_at.is_absent() && silent.managed.is_absent() && silent.secrets.is_none());
        let denying = read(",\"created_at\":null,\"managed\":null,\"secrets\":{},\"version\":\"WzEsMV0=\"");
        assert_eq!((&denying.created_at, &denying.managed), (&Given::Said(None), &Given::Said(None)));
        let written = String::from_utf8(denying.to_bytes().expect("JSON").to_vec()).expect("UTF-8");
        assert!(written.contains("\"created_at\":null") && written.contains("\"secrets\":{}"), "{written}");
        assert!(!written.contains("version"), "{written}");
    }
}
