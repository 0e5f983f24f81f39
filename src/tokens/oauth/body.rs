//! The body of a provider's answer: JSON or a form, searched for members and error codes at any depth; pure.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::codes::is_same;
use super::http::Answer;
use crate::encryption::Secret;

/// The number of levels of an answer that are read. Those of known providers have three.
const DEPTH: usize = 8;

/// The JSON of an answer.
pub(super) struct Body<'a> {
    /// The answer and the values in it, level by level.
    values: Vec<&'a RawValue>,
}

/// The members of an object. Their values are borrowed, so that no copy of a secret remains in memory.
pub(super) struct Members<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Members<'a> {
    fn of(value: &'a RawValue) -> Option<Self> {
        // The errors of serde quote values, so they are dropped.
        value.get().starts_with('{').then(|| serde_json::from_str(value.get()).ok().map(Self))?
    }

    /// Returns a member that is not null.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|value| value.get() != "null")
    }

    /// Returns the first of these members that exists.
    pub(super) fn first(&self, names: &[&str]) -> Option<&'a RawValue> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Returns the first of these members that is a text or a number, as text.
    pub(super) fn text(&self, names: &[&str]) -> Option<Zeroizing<String>> {
        names.iter().find_map(|name| text_of(self.get(name)?))
    }

    /// Returns the first of these members that can be sent in a header.
    pub(super) fn token(&self, names: &[&str]) -> Option<Zeroizing<String>> {
        let is_sendable = |text: &Zeroizing<String>| !text.trim().is_empty() && !text.trim().contains(char::is_control);
        names.iter().find_map(|name| text_of(self.get(name)?).filter(is_sendable))
    }
}

impl<'a> Body<'a> {
    /// Reads an answer's [JSON](json_of). Text that is not JSON has no values.
    pub(super) fn of(text: &'a str) -> Self {
        let mut values = Vec::new();
        let mut level: Vec<&RawValue> = serde_json::from_str(text).into_iter().collect();
        for _ in 0..DEPTH {
            let next = level.iter().flat_map(|value| inner(value)).collect();
            values.append(&mut level);
            level = next;
        }
        Self { values }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns all objects, the outermost first.
    pub(super) fn objects(&self) -> impl Iterator<Item = Members<'a>> {
        self.values.iter().filter_map(|value| Members::of(value))
    }

    /// Returns the object at a path of names.
    pub(super) fn at(&self, path: &[String]) -> Option<Members<'a>> {
        let mut object = self.objects().next()?;
        for name in path {
            object = Members::of(object.get(name)?)?;
        }
        Some(object)
    }

    /// Returns the first result of `read` for the texts and numbers that may be error codes. Providers report them in
    /// `error`, `status`, `code` or `message`, at the top, in an object, or in a list.
    pub(super) fn find_code<T>(&self, mut read: impl FnMut(&str) -> Option<T>) -> Option<T> {
        const LONGEST: usize = 200;
        let short = self.values.iter().filter(|value| value.get().len() <= LONGEST);
        short.filter_map(|value| text_of(value)).find_map(|text| read(&text))
    }

    /// Returns whether the answer has one of these codes.
    pub(super) fn has_code<C: AsRef<str>>(&self, codes: &[C]) -> bool {
        self.find_code(|text| codes.iter().any(|code| is_same(code.as_ref(), text)).then_some(())).is_some()
    }
}

/// Returns the values in an object or a list.
fn inner(value: &RawValue) -> Vec<&RawValue> {
    match Members::of(value) {
        Some(members) => members.0.into_values().collect(),
        None if value.get().starts_with('[') => serde_json::from_str(value.get()).unwrap_or_default(),
        None => Vec::new(),
    }
}

/// Returns a text that is not empty, or the digits of a number.
pub(super) fn text_of(value: &RawValue) -> Option<Zeroizing<String>> {
    let json = value.get();
    let text = match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok().map(Zeroizing::new)?,
        b'-' | b'0'..=b'9' => Zeroizing::new(json.to_owned()),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// Returns the answer as JSON. Some providers answer with a form, whatever the request accepts.
pub(super) fn json_of(answer: &Answer) -> Zeroizing<String> {
    let text = std::str::from_utf8(&answer.body).unwrap_or_default().trim_start_matches('\u{feff}').trim();
    let is_form = text.contains('=') && !text.starts_with(['{', '[', '"', '<']) && !text.contains(char::is_whitespace);
    if !is_form {
        return Zeroizing::new(text.to_owned());
    }
    // Capacity for the longest escapes: growing would leave a copy of a secret in memory.
    let mut json = Zeroizing::new(String::with_capacity(6 * text.len() + 16));
    json.push('{');
    for (name, value) in text.split('&').filter_map(|pair| pair.split_once('=')) {
        if json.len() > 1 {
            json.push(',');
        }
        json.push_str(decoded(name).expose_json());
        json.push(':');
        json.push_str(decoded(value).expose_json());
    }
    json.push('}');
    json
}

/// Decodes a name or a value of a form.
fn decoded(part: &str) -> Secret {
    let spaced = Zeroizing::new(part.replace('+', " "));
    let text = Zeroizing::new(percent_decode_str(&spaced).decode_utf8_lossy().into_owned());
    Secret::text(&text)
}
