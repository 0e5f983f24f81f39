//! The exact texts of stored numbers. A [`Value`] holds 64-bit integers and doubles, so it loses digits of
//! `123456789012345678901234567890`, `0.10000000000000000001`, `1e-400` or `1E5`. The texts of such numbers accompany a
//! document from where it is read to where it is written. All other code works with the values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Number, Value};

use super::json_tokens::{escaped, number_tokens};

mod decimal;

pub(crate) use decimal::Decimal;

/// The texts of the numbers in a JSON object. Empty if the values hold every number exactly.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Numbers(Option<Arc<Texts>>);

/// The texts of all numbers that are doubles as values. Those that are held exactly are included, so that no text is
/// mistaken for another.
#[derive(Debug, Default, PartialEq)]
struct Texts {
    /// The texts by JSON pointer.
    by_pointer: BTreeMap<String, Box<str>>,
    /// The outermost lists that contain such numbers, by JSON pointer, with their JSON as the values give it. In a list
    /// that changed, positions identify nothing.
    lists: BTreeMap<String, String>,
}

/// The location of a number whose digits cannot be determined: it was moved, and other numbers of the document are the
/// same double.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ambiguous {
    /// The JSON pointer.
    pub(crate) pointer: String,
}

impl Numbers {
    /// Reads the numbers of the object at the pointer `within` of the text `json`, which was parsed to `values`. If the
    /// values include no doubles, the text is not scanned.
    pub(crate) fn read(json: &str, within: &str, values: &Map<String, Value>) -> Self {
        if !values.values().any(has_double) {
            return Self::default();
        }
        let mut is_any = false;
        number_tokens(json, |_, text| is_any = is_any || !is_held(text));
        if !is_any {
            return Self::default();
        }
        let mut by_pointer = BTreeMap::new();
        number_tokens(json, |pointer, text| {
            if let Some(pointer) = pointer.strip_prefix(within).filter(|rest| rest.starts_with('/')) {
                // Of members with the same name, the last one counts.
                by_pointer.insert(pointer.to_owned(), Box::from(text));
            }
        });
        by_pointer.retain(|pointer, text| at(values, pointer).is_some_and(|value| is_text_of(text, value)));
        Self::of(by_pointer, values)
    }

    fn of(by_pointer: BTreeMap<String, Box<str>>, values: &Map<String, Value>) -> Self {
        if by_pointer.values().all(|text| is_held(text)) {
            return Self::default();
        }
        let lists: BTreeMap<&str, &Value> =
            by_pointer.keys().filter_map(|pointer| outermost_list(values, pointer)).collect();
        let lists = lists.into_iter().map(|(pointer, list)| (pointer.to_owned(), list.to_string())).collect();
        Self(Some(Arc::new(Texts { by_pointer, lists })))
    }

    /// Returns the text of the number `value` at `pointer`, if one is kept.
    pub(super) fn text_of(&self, pointer: &str, value: &Value) -> Option<&str> {
        let text = self.0.as_ref()?.by_pointer.get(pointer)?;
        is_text_of(text, value).then_some(&**text)
    }

    /// Returns whether the values hold all numbers exactly.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the numbers of the member `name`, which is an object.
    pub(crate) fn of_member(&self, name: &str) -> Self {
        self.moved(|pointer| {
            pointer.strip_prefix(&pointer_to(name)).filter(|rest| rest.starts_with('/')).map(str::to_owned)
        })
    }

    /// Returns these numbers for an object that becomes the member `name` of another.
    pub(crate) fn within_member(&self, name: &str) -> Self {
        self.moved(|pointer| Some(format!("{}{pointer}", pointer_to(name))))
    }

    fn moved(&self, to: impl Fn(&str) -> Option<String>) -> Self {
        let Some(texts) = &self.0 else { return Self::default() };
        let by_pointer =
            texts.by_pointer.iter().filter_map(|(pointer, text)| Some((to(pointer)?, text.clone()))).collect();
        let lists = texts.lists.iter().filter_map(|(pointer, list)| Some((to(pointer)?, list.clone()))).collect();
        let moved = Texts { by_pointer, lists };
        Self((!moved.by_pointer.is_empty()).then(|| Arc::new(moved)))
    }

    /// Returns the numbers of this object extended by those of `other`, whose members override this object's.
    pub(crate) fn extended(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (None, _) => other.clone(),
            (_, None) => self.clone(),
            (Some(mine), Some(others)) => {
                let mut by_pointer = mine.by_pointer.clone();
                by_pointer.extend(others.by_pointer.clone());
                let mut lists = mine.lists.clone();
                lists.extend(others.lists.clone());
                Self(Some(Arc::new(Texts { by_pointer, lists })))
            }
        }
    }

    /// Returns the decimal numbers that a double does not hold, with their pointers.
    pub(crate) fn beyond_doubles(&self) -> impl Iterator<Item = (&str, Decimal)> {
        let all = self.0.iter().flat_map(|texts| &texts.by_pointer);
        all.filter_map(|(pointer, text)| {
            let decimal = Decimal::of(text)?;
            (Some(&decimal) != Decimal::of(&shown(text)?).as_ref()).then_some((pointer.as_str(), decimal))
        })
    }

    /// Returns the numbers of the same object after it was changed to `values`. A number keeps its text if the value at
    /// its pointer is still the same double. A number that was moved takes its text along.
    ///
    /// # Errors
    /// [`Ambiguous`] if a moved number may be one of several.
    pub(crate) fn of_changed(&self, values: &Map<String, Value>) -> Result<Self, Ambiguous> {
        let Some(texts) = &self.0 else { return Ok(Self::default()) };
        let changed: BTreeSet<&str> = texts
            .lists
            .iter()
            .filter(|(pointer, list)| {
                at(values, pointer).is_none_or(|now| {
                    let text = now.to_string();
                    text != **list
                })
            })
            .map(|(pointer, _)| pointer.as_str())
            .collect();
        let list_of = |pointer: &str| around(pointer).any(|list| changed.contains(list));
        let stays = |pointer: &str, text: &str| {
            !list_of(pointer) && at(values, pointer).is_some_and(|value| is_text_of(text, value))
        };
        let (mut kept, mut gone) = (BTreeMap::new(), BTreeMap::<u64, Vec<Gone<'_>>>::new());
        let mut is_any_gone = false;
        for (pointer, text) in &texts.by_pointer {
            if stays(pointer, text) {
                kept.insert(pointer.clone(), text.clone());
            } else if let Some(bits) = bits_of_text(text) {
                is_any_gone = is_any_gone || !is_held(text);
                gone.entry(bits).or_default().push(Gone { text, was_in_list: list_of(pointer) });
            }
        }
        let meant: BTreeMap<u64, Option<&str>> = gone.iter().map(|(bits, gone)| (*bits, meant(*bits, gone))).collect();
        for (pointer, bits) in doubles(values) {
            if kept.contains_key(&pointer) {
                continue;
            }
            let text = match meant.get(&bits).filter(|_| is_any_gone) {
                Some(Some(text)) => (*text).to_owned(),
                Some(None) => return Err(Ambiguous { pointer }),
                None => Value::from(f64::from_bits(bits)).to_string(),
            };
            kept.insert(pointer, text.into());
        }
        Ok(Self::of(kept, values))
    }
}

impl fmt::Display for Ambiguous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the digits of the number at {:?} cannot be kept: it was moved, and other numbers that went are the same as a double",
            self.pointer
        )
    }
}

/// Returns the JSON pointer of the member `name`.
pub(crate) fn pointer_to(name: &str) -> String {
    format!("/{}", escaped(name))
}

/// Returns the JSON pointer of the first number of a text that is larger than any double, and can therefore not be
/// read.
pub(crate) fn too_large(json: &str) -> Option<String> {
    let mut first = None;
    number_tokens(json, |pointer, text| {
        if first.is_none() && text.parse::<f64>().is_ok_and(f64::is_infinite) {
            first = Some(pointer.to_owned());
        }
    });
    first
}

/// Returns the JSON in which numbers that are larger than any double are replaced by strings.
#[cfg(any(test, feature = "in-memory"))]
pub(crate) fn with_large_as_texts(json: &str) -> String {
    let (mut written, mut at) = (String::with_capacity(json.len().saturating_add(16)), 0_usize);
    number_tokens(json, |_, text| {
        if text.parse::<f64>().is_ok_and(f64::is_infinite) {
            let start = text.as_ptr().addr().saturating_sub(json.as_ptr().addr());
            written.push_str(json.get(at..start).unwrap_or_default());
            written.push_str(&format!("\"{text}\""));
            at = start.saturating_add(text.len());
        }
    });
    written.push_str(json.get(at..).unwrap_or_default());
    written
}

/// A number text that is no longer at its pointer.
struct Gone<'a> {
    text: &'a str,
    was_in_list: bool,
}

/// Returns the text for a double that appears at a new pointer, chosen from the removed numbers that are the same
/// double. Returns `None` if it may be one of several numbers.
fn meant<'a>(bits: u64, gone: &[Gone<'a>]) -> Option<&'a str> {
    let (first, others) = gone.split_first()?;
    let decimal = Decimal::of(first.text);
    let is_one = others.iter().all(|other| Decimal::of(other.text) == decimal);
    // A zero may be a true zero, or what a double holds of a number that is too small.
    let is_zero = f64::from_bits(bits) == 0.0 && decimal.is_some_and(|decimal| !decimal.is_zero());
    (is_one && (first.was_in_list || !is_zero)).then_some(first.text)
}

/// Returns whether `text` is a text of the double `value`.
fn is_text_of(text: &str, value: &Value) -> bool {
    bits_of(value).is_some_and(|bits| bits_of_text(text) == Some(bits))
}

/// Returns the bits of a double.
fn bits_of(value: &Value) -> Option<u64> {
    value.as_number().filter(|number| number.is_f64())?.as_f64().map(f64::to_bits)
}

fn bits_of_text(text: &str) -> Option<u64> {
    serde_json::from_str(text).ok().map(f64::to_bits)
}

/// Returns how the value that is parsed from `text` is written.
fn shown(text: &str) -> Option<String> {
    serde_json::from_str::<Number>(text).ok().map(|number| number.to_string())
}

/// Returns whether the value that is parsed from `text` is written as `text`.
fn is_held(text: &str) -> bool {
    shown(text).is_none_or(|shown| shown == text)
}

fn has_double(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_double),
        Value::Object(members) => members.values().any(has_double),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// Returns the doubles among `values`, with their pointers.
fn doubles(values: &Map<String, Value>) -> Vec<(String, u64)> {
    fn collect(value: &Value, pointer: &mut String, found: &mut Vec<(String, u64)>) {
        match value {
            Value::Number(_) => found.extend(bits_of(value).map(|bits| (pointer.clone(), bits))),
            Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| {
                within(pointer, &index.to_string(), |pointer| collect(item, pointer, found));
            }),
            Value::Object(members) => collect_members(members, pointer, found),
            _ => {}
        }
    }
    fn collect_members(members: &Map<String, Value>, pointer: &mut String, found: &mut Vec<(String, u64)>) {
        for (name, value) in members {
            within(pointer, name, |pointer| collect(value, pointer, found));
        }
    }
    let mut found = Vec::new();
    collect_members(values, &mut String::new(), &mut found);
    found
}

/// Calls `then` with the pointer extended by the member `name`.
pub(super) fn within<R>(pointer: &mut String, name: &str, then: impl FnOnce(&mut String) -> R) -> R {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(&escaped(name));
    let result = then(pointer);
    pointer.truncate(length);
    result
}

fn at<'v>(values: &'v Map<String, Value>, pointer: &str) -> Option<&'v Value> {
    let rest = pointer.strip_prefix('/')?;
    let (name, inner) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let value = match name.contains('~') {
        true => values.get(&name.replace("~1", "/").replace("~0", "~")),
        false => values.get(name),
    };
    value?.pointer(inner)
}

/// Returns the outermost list that contains the value at `pointer`, with the list's own pointer.
fn outermost_list<'p, 'v>(values: &'v Map<String, Value>, pointer: &'p str) -> Option<(&'p str, &'v Value)> {
    around(pointer).find_map(|around| match at(values, around) {
        Some(list @ Value::Array(_)) => Some((around, list)),
        _ => None,
    })
}

/// Returns the pointers to everything that contains the value at `pointer`, the outermost first.
fn around(pointer: &str) -> impl Iterator<Item = &str> {
    let ends = pointer.match_indices('/').map(|(end, _)| end).skip(1);
    ends.filter_map(|end| pointer.get(..end))
}

#[cfg(test)]
mod tests;
