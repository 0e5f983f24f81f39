//! The comparison of a verification with the report of an earlier one.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::output::Output;
use saved_objects::encryption::KeyId;
use saved_objects::verify::{DigestForm, VerificationReport};
use saved_objects::{Error, ErrorKind, Result};

/// What a comparison found.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Comparison {
    /// Whether the documents of every type are the same.
    pub(super) same: bool,
    differences: Vec<Difference>,
}

/// A type whose documents differ.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Difference {
    r#type: String,
    documents_before: u64,
    documents_now: u64,
}

/// An earlier report of `verify --json`, as far as it is compared. Aliases are not, because a restored store may have
/// another prefix.
#[derive(Debug, Deserialize)]
pub(super) struct Earlier {
    digests: Option<EarlierForm>,
    indices: Vec<Index>,
}

#[derive(Debug, Deserialize)]
struct EarlierForm {
    key: Option<KeyId>,
    namespaces: bool,
}

#[derive(Debug, Deserialize)]
struct Index {
    types: Vec<OfType>,
}

#[derive(Debug, Deserialize)]
struct OfType {
    r#type: String,
    documents: u64,
    digest: String,
}

/// The numbers of documents and the digests of a type, in each index that has some.
type Digests = Vec<(u64, String)>;

impl Earlier {
    /// Reads a report, whose digests must be computed as the new ones will be.
    pub(super) fn read(file: &Path, form: DigestForm) -> Result<Self> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            Error::new(ErrorKind::Invalid, format!("the file {} cannot be read: {error}", file.display()))
                .with_hint("name a file that `saved-objects verify --json` wrote")
                .with_source(error)
        })?;
        Self::parse(&text, form).map_err(|error| error.context(file.display()))
    }

    fn parse(text: &str, form: DigestForm) -> Result<Self> {
        let earlier: Self = serde_json::from_str(text).map_err(|error| {
            let what =
                format!("it is no report of `verify --json`, see line {}, column {}", error.line(), error.column());
            Error::new(ErrorKind::Invalid, what).with_hint("name a file that `saved-objects verify --json` wrote")
        })?;
        let refused = |what: String, hint: &str| Err(Error::invalid(what, hint));
        let of_key = |key: Option<KeyId>| key.map_or("without a key".to_owned(), |key| format!("with the key {key}"));
        match &earlier.digests {
            Some(EarlierForm { key, .. }) if *key != form.key => refused(
                format!("its digests were computed {}, and these would be {}", of_key(*key), of_key(form.key)),
                "name the file of that key by --digest-key; after a rotation that is the file of the old key",
            ),
            Some(EarlierForm { namespaces, .. }) if *namespaces != form.namespaces => refused(
                "its digests and these do not both leave out namespaces".to_owned(),
                "give --without-namespaces to both commands, or to neither",
            ),
            Some(_) => Ok(earlier),
            None => refused(
                "it does not say how its digests were computed".to_owned(),
                "make it again with this version of the command",
            ),
        }
    }

    /// Compares the documents of each type.
    pub(super) fn compare(self, now: &VerificationReport) -> Comparison {
        let now = now.indices.iter().flat_map(|index| &index.types);
        let now = by_type(now.map(|it| (it.type_name.clone(), it.documents, it.digest.to_string())));
        let before = self.indices.into_iter().flat_map(|index| index.types);
        let before = by_type(before.map(|it| (it.r#type, it.documents, it.digest)));
        let nothing = Digests::new();
        let mut names: Vec<&String> = before.keys().chain(now.keys()).collect();
        names.sort_unstable();
        names.dedup();
        let count = |digests: &Digests| digests.iter().map(|(documents, _)| documents).sum();
        let difference = |name: &String| {
            let (before, now) = (before.get(name).unwrap_or(&nothing), now.get(name).unwrap_or(&nothing));
            (before != now).then(|| Difference {
                r#type: name.clone(),
                documents_before: count(before),
                documents_now: count(now),
            })
        };
        let differences: Vec<Difference> = names.into_iter().filter_map(difference).collect();
        Comparison { same: differences.is_empty(), differences }
    }
}

/// Returns the digests of each type that has documents, in an order of their own.
fn by_type(types: impl Iterator<Item = (String, u64, String)>) -> BTreeMap<String, Digests> {
    let mut by_type: BTreeMap<String, Digests> = BTreeMap::new();
    for (name, documents, digest) in types.filter(|(_, documents, _)| *documents > 0) {
        by_type.entry(name).or_default().push((documents, digest));
    }
    by_type.values_mut().for_each(|digests| digests.sort_unstable());
    by_type
}

impl Comparison {
    /// Says what differs.
    pub(super) fn describe(&self, output: Output) {
        for Difference { r#type, documents_before, documents_now } in &self.differences {
            output.say(match documents_before == documents_now {
                true => format!("differs: of the {documents_now} documents of {type}, some have changed"),
                false => format!("differs: {type} had {documents_before} documents, and has {documents_now}"),
            });
        }
        if self.same {
            output.say("the documents of every type are the same as in the earlier report");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KEY: &str = "0123456789abcdef";

    fn form(key: Option<&str>, namespaces: bool) -> DigestForm {
        DigestForm { key: key.map(|key| key.parse().expect("a key id")), namespaces }
    }

    fn report(digests: &Value, types: &Value) -> String {
        json!({ "ok": true, "digests": digests, "indices": [{ "alias": "a", "types": types }], "unreadable": [] })
            .to_string()
    }

    #[test]
    fn only_digests_of_the_same_form_are_compared() {
        let with = |key: Value, namespaces: bool| report(&json!({ "key": key, "namespaces": namespaces }), &json!([]));
        let table = [
            (with(json!(KEY), true), None),
            (with(json!("1111111111111111"), true), Some("--digest-key")),
            (with(json!(null), true), Some("--digest-key")),
            (with(json!(KEY), false), Some("--without-namespaces")),
            (report(&json!(null), &json!([])), Some("make it again")),
            ("{".to_owned(), Some("verify --json")),
            (r#"{"outcome":"planned"}"#.to_owned(), Some("verify --json")),
        ];
        for (text, expected) in table {
            let refused = Earlier::parse(&text, form(Some(KEY), true)).err().map(|error| error.to_string());
            match (expected, refused) {
                (None, None) => {}
                (Some(part), Some(error)) => assert!(error.contains(part), "{error}"),
                (expected, refused) => panic!("{text}: {expected:?} {refused:?}"),
            }
        }
    }

    #[test]
    fn types_are_compared_wherever_they_are() {
        let types = |list: Value| -> BTreeMap<String, Digests> {
            let list: Vec<OfType> = serde_json::from_value(list).expect("types");
            by_type(list.into_iter().map(|it| (it.r#type, it.documents, it.digest)))
        };
        let one = |name: &str, documents: u64, digest: &str| json!({ "type": name, "documents": documents, "digest": digest });
        assert_eq!(
            types(json!([one("a", 1, "x"), one("a", 2, "y"), one("empty", 0, "0")])),
            types(json!([one("a", 2, "y"), one("a", 1, "x")]))
        );
        assert_ne!(types(json!([one("a", 1, "x")])), types(json!([one("a", 1, "z")])));
    }
}
