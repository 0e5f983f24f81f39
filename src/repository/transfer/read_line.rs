//! The parser of one line of an export. Its errors name the location and never quote a value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::line::{Clear, Given, Line};
use super::once::Once;
use super::summary::NamedObject;
use crate::document::exact::Numbered;
use crate::document::{Attributes, MAX_DEPTH, Reference, depth, numbers};
use crate::repository::search::nearest;
use crate::{Error, Result};

/// The content of a line.
#[derive(Debug)]
pub(super) enum Content {
    Object(Box<Line>),
    /// The last line of an export: the number of objects before it.
    Summary(u64),
}

/// The reason why a line cannot be read.
#[derive(Debug)]
pub(super) struct Malformed {
    /// The column, in bytes from 1.
    pub(super) column: u64,
    pub(super) error: Error,
}

impl Content {
    /// Parses a line.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Malformed> {
        let mut trouble = Trouble::default();
        let mut deserializer = serde_json::Deserializer::from_slice(line);
        let read = Reading(&mut trouble).deserialize(&mut deserializer);
        let read = read.and_then(|content| deserializer.end().map(|()| content.with_numbers_of(line)));
        // serde's messages can quote values, and a value may be a secret, so only the position is passed on.
        read.map_err(|error| Malformed {
            column: u64::try_from(error.column()).unwrap_or(u64::MAX).max(1),
            error: trouble.told(line, &error),
        })
    }

    /// Adds the digits of the line's numbers.
    fn with_numbers_of(self, line: &[u8]) -> Self {
        let json = std::str::from_utf8(line).unwrap_or_default();
        match self {
            Self::Object(mut object) => {
                object.attributes.read_numbers(json, "/attributes");
                if let Some(control) = &mut object.access_control {
                    control.read_numbers(json, "/accessControl");
                }
                Self::Object(object)
            }
            Self::Summary(count) => Self::Summary(count),
        }
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
/// Keys of Kibana's exports that have no meaning in another store.
const IGNORED_KEYS: &[&str] = &["version", "migrationVersion", "score", "sort"];
/// The keys of the last line of an export, other than the number of objects.
const SUMMARY_KEYS: &[&str] = &["excludedObjects", "excludedObjectsCount", "missingRefCount", "missingReferences"];

/// What the parser was reading when it failed, as far as that can be reported without quoting values.
#[derive(Debug, Default)]
enum Trouble {
    /// No key.
    #[default]
    None,
    /// The value of this key, which has a wrong form.
    Value(&'static str),
    /// An unknown key.
    Unknown(String),
    /// A key that occurs twice.
    Twice(&'static str),
    /// An attribute whose value is given in two ways.
    Ambiguous(String),
    /// A missing key.
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
        if let Some(pointer) = numbers::too_large(text) {
            return Error::invalid(
                format!("the number at {pointer:?} of the line is too large to be read"),
                "give a number that a double can hold, or a text",
            );
        }
        let column = error.column().max(1);
        match self {
            Self::Unknown(key) => Error::invalid(format!("an object has no key {}", shown(key)), meant(key)),
            Self::Ambiguous(name) => Error::invalid(
                format!("two of `attributes`, `envelopes` and `secrets` have {}", shown(name)),
                "leave one of them out",
            ),
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

/// Returns a key as messages show it.
fn shown(key: &str) -> String {
    let mut shown: String = key.chars().take(40).collect();
    if shown.len() < key.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}

/// Returns the hint for an unknown key: the similar known keys.
fn meant(key: &str) -> String {
    match nearest::to(key, KEYS.iter().copied()).as_slice() {
        [] => format!("leave it out; the keys are {}", KEYS.join(", ")),
        near => format!("call it `{}`, if that is meant, or leave it out", near.join("` or `")),
    }
}

fn form_of(key: &str) -> &'static str {
    match key {
        "namespaces" => "a list of texts",
        "attributes" | "envelopes" => "an object that has each name once",
        "accessControl" => "an object",
        "secrets" => "an object without nulls that has each name once",
        "references" => "a list of objects with `name`, `type` and `id`",
        "managed" => "true or false",
        "exportedCount" => "a number of objects",
        _ => "a text",
    }
}

/// Parses a line, and records where it is.
struct Reading<'t>(&'t mut Trouble);

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Content;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        deserializer.deserialize_map(self)
    }
}

/// The parts of a line that were read so far.
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
    access_control: Option<Numbered>,
    exported_count: Option<u64>,
}

impl Parts {
    /// Returns an attribute whose value is given in two ways.
    fn ambiguous(&self) -> Option<String> {
        let attributes = self.attributes.iter().flat_map(Attributes::keys);
        let envelopes = self.envelopes.iter().flat_map(Attributes::keys);
        let mut seen = BTreeSet::new();
        let secrets = self.secrets.iter().flat_map(BTreeMap::keys);
        attributes.chain(envelopes).chain(secrets).find(|name| !seen.insert(name.as_str())).cloned()
    }
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
                "attributes" => parts.attributes = Some(map.next_value::<Once<Attributes>>()?.0),
                "references" => parts.references = map.next_value()?,
                "namespaces" => parts.namespaces = map.next_value()?,
                "envelopes" => parts.envelopes = map.next_value::<Option<Once<Attributes>>>()?.map(|once| once.0),
                "secrets" => parts.secrets = map.next_value::<Option<Once<BTreeMap<_, _>>>>()?.map(|once| once.0),
                "managed" => parts.managed = Given::Said(map.next_value()?),
                "accessControl" => {
                    let control: Option<Attributes> = map.next_value()?;
                    parts.access_control = control.map(Numbered::of);
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
        if let Some(name) = parts.ambiguous() {
            return failed(trouble, Trouble::Ambiguous(name));
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
            attributes: Numbered::of(attributes),
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
        assert!(malformed.error.hint().is_some(), "{line}");
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
            ("{\"type\":\"n\",\"id\":\"1\",\"attributes\":{\"a\":[1e400]}}\n", "number at \"/attributes/a/0\""),
            (
                "{\"type\":\"n\",\"id\":\"1\",\"attributes\":{},\"secrets\":{\"a\":-1e999}}\n",
                "number at \"/secrets/a\"",
            ),
            ("{\"type\":\"n\",\"id\":\"1\",\"attributes\":{},\"id\":\"2\"}\n", "`id` is there twice"),
            (
                "{\"type\":\"n\",\"id\":\"1\",\"attributes\":{\"a\":1,\"a\":2}}\n",
                "`attributes` is not an object that has each name once",
            ),
            (
                "{\"type\":\"n\",\"id\":\"1\",\"attributes\":{},\"secrets\":{\"a\":\"SECRET\",\"a\":\"SECRET\"}}\n",
                "each name once",
            ),
            (
                "{\"type\":\"n\",\"id\":\"1\",\"attributes\":{},\"envelopes\":{\"a\":\"SECRET\"},\"secrets\":{\"a\":\"SECRET\"}}\n",
                "`secrets` have \"a\"",
            ),
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
