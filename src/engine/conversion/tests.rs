//! Tests of conversions and of their effect on secrets.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::encryption::{KeyRing, Secret};
use crate::environment::Environment;
use crate::registry::testing::{create, note, read, version};

const NAMES: [&str; 4] = ["title", "body", "memo", "kept"];

/// Returns notes of two versions: the first encrypts `body` and `memo`, the second `body` and `kept`, after the
/// transform `tidy`.
fn definition(kind: &str) -> TypeDefinition {
    let encrypted = |names: [&str; 2]| json!(names.map(|name| json!({ "name": name })));
    let first = version(json!({ "create": create(&NAMES[..3]), "encrypted": encrypted(["body", "memo"]) }));
    let second = version(json!({
        "create": create(&["title", "body", "kept"]), "encrypted": encrypted(["body", "kept"]),
        "changes": [{ "type": "transform", "name": "tidy" }, { "type": "data_removal", "paths": ["memo"] }],
    }));
    read(&note(json!({ "namespace_kind": kind })), &[first, second]).expect("valid")
}

struct Converting {
    definition: TypeDefinition,
    encryption: EncryptionService,
    conversion: Conversion,
}

fn converting(kind: &str, tidy: impl Fn(&mut Attributes) + Send + Sync + 'static) -> Converting {
    let ring = KeyRing::new("a key for tests only: 0123456789abcdef".into(), Vec::new()).expect("a good key");
    let encryption = EncryptionService::new(Some(ring), Environment::system());
    let transform = move |attributes: &mut Attributes| {
        tidy(attributes);
        Ok(())
    };
    let registry = Registry::builder().with([definition(kind)]).transform("tidy", transform).build().expect("valid");
    let conversion = Conversion::new(Arc::new(registry), encryption.clone());
    Converting { definition: definition(kind), encryption, conversion }
}

impl Converting {
    /// Returns a note of version 1 with these secrets, sealed as an object without a namespace.
    fn note(&self, secrets: &[(&str, &str)]) -> StoredDocument {
        let mut attributes: Attributes = [("title".to_owned(), json!("t"))].into_iter().collect();
        let secrets = secrets.iter().map(|(name, text)| ((*name).to_owned(), Secret::text(text))).collect();
        let sets = self.definition.encryption().up_to(1).expect("there");
        self.encryption
            .seal(&descriptor(&self.definition, None, "1"), &sets, &mut attributes, &secrets)
            .expect("sealed");
        let source = json!({ "type": "note", "note": attributes, "typeMigrationVersion": "10.1.0" });
        StoredDocument::from_source(source.to_string().as_bytes()).expect("well-formed")
    }

    /// Returns the secrets after the upgrade, by name, and the attributes that could not be decrypted.
    fn upgraded(&self, document: &mut StoredDocument) -> (BTreeMap<String, String>, Vec<String>) {
        let upgraded = self.conversion.upgrade_each(&self.definition, "1", document).expect("upgraded");
        let unreadable: Vec<String> = upgraded.unreadable.into_iter().map(|(name, _)| name).collect();
        let place = descriptor(&self.definition, None, "1");
        let opened = self.encryption.open_each(&place, self.definition.encryption(), &document.attributes);
        let opened = opened.expect("few bound attributes");
        let not_open: Vec<&String> = opened.failures.iter().map(|(name, _)| name).collect();
        assert_eq!(not_open, unreadable.iter().collect::<Vec<_>>(), "what opened then opens now");
        let text = |(name, secret): (String, Secret)| (name, secret.expose_text().expect("a text").to_string());
        (opened.secrets.into_iter().map(text).collect(), unreadable)
    }
}

fn texts(secrets: &[(&str, &str)]) -> BTreeMap<String, String> {
    secrets.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn what_a_transform_writes_in_clear_is_encrypted() {
    type Tidy = fn(&mut Attributes);
    type Texts<'a> = &'a [(&'a str, &'a str)];
    let set: Tidy = |attributes| drop(attributes.insert("body".to_owned(), json!("new")));
    let fill: Tidy = |attributes| drop(attributes.insert("kept".to_owned(), json!("new")));
    let remove: Tidy = |attributes| drop(attributes.remove("body"));
    let leave: Tidy = |_| {};
    let table: [(Tidy, Texts<'_>, Texts<'_>); 7] = [
        (leave, &[("body", "b")], &[("body", "b")]),
        (set, &[("body", "b")], &[("body", "new")]),
        (set, &[], &[("body", "new")]),
        (set, &[("memo", "m")], &[("body", "new")]),
        (fill, &[("body", "b")], &[("body", "b"), ("kept", "new")]),
        (remove, &[("body", "b")], &[]),
        (remove, &[("body", "b"), ("memo", "m")], &[]),
    ];
    for (number, (tidy, before, after)) in table.into_iter().enumerate() {
        let converting = converting("agnostic", tidy);
        let mut document = converting.note(before);
        assert_eq!(converting.upgraded(&mut document), (texts(after), vec![]), "case {number}");
        assert!(!document.attributes.values().any(|value| value == "new"), "case {number}: {:?}", document.attributes);
    }
}

#[test]
fn a_transform_may_move_a_secret() {
    let move_memo = |attributes: &mut Attributes| {
        if let Some(memo) = attributes.remove("memo") {
            attributes.insert("kept".to_owned(), memo);
        }
    };
    let converting = converting("agnostic", move_memo);
    let mut document = converting.note(&[("body", "b"), ("memo", "m")]);
    assert_eq!(converting.upgraded(&mut document), (texts(&[("body", "b"), ("kept", "m")]), vec![]));

    let mut document = converting.note(&[("body", "b"), ("memo", "m")]);
    // Changes one character of the tag.
    let mut envelope = document.attributes["memo"].as_str().expect("an envelope").to_owned();
    envelope.replace_range(48..49, if envelope.as_bytes()[48] == b'A' { "B" } else { "A" });
    document.attributes.insert("memo".to_owned(), json!(envelope));
    let upgraded = converting.upgraded(&mut document);
    assert_eq!(upgraded, (texts(&[("body", "b")]), vec!["kept".to_owned()]), "it is named where it is now");
}

#[test]
fn what_no_upgrade_made_is_no_secret() {
    type Plant = fn(&mut Attributes);
    fn move_from(name: &'static str) -> impl Fn(&mut Attributes) + Send + Sync + 'static {
        move |attributes| {
            if let Some(value) = attributes.remove(name) {
                let trimmed = value.as_str().map(|text| json!(text.trim()));
                attributes.insert("kept".to_owned(), trimmed.unwrap_or(value));
            }
        }
    }
    fn put(attributes: &mut Attributes, name: &str, value: Value) {
        attributes.insert(name.to_owned(), value);
    }
    // What is planted in a document of the first version, and what the upgrade takes as the secret of the second
    // version.
    let table: [(&str, Plant, &'static str); 7] = [
        ("in clear", |it| put(it, "kept", json!("planted")), "nothing"),
        (
            "a copy",
            |it| {
                let copy = it["body"].clone();
                put(it, "kept", copy);
            },
            "nothing",
        ),
        (
            "a copy in clear",
            |it| {
                let copy = it["body"].clone();
                put(it, "plain", copy);
            },
            "plain",
        ),
        (
            "a copy in other words",
            |it| {
                let copy = json!(format!(" {}", it["body"].as_str().expect("an envelope")));
                put(it, "plain", copy);
            },
            "plain",
        ),
        (
            "a copy in other words of what the upgrade drops",
            |it| {
                let copy = json!(format!(" {}", it["memo"].as_str().expect("an envelope")));
                put(it, "plain", copy);
            },
            "plain",
        ),
        (
            "another secret",
            |it| {
                let copy = it["body"].clone();
                put(it, "memo", copy);
            },
            "memo",
        ),
        ("clear text", |it| put(it, "memo", json!("planted")), "memo"),
    ];
    for (what, plant, fetched) in table {
        let converting = converting("agnostic", move_from(fetched));
        let mut document = converting.note(&[("body", "b"), ("memo", "m")]);
        plant(&mut document.attributes);
        let upgraded = converting.upgraded(&mut document);
        assert_eq!(upgraded, (texts(&[("body", "b")]), vec!["kept".to_owned()]), "{what}");
    }
}

#[test]
fn what_a_transform_moves_is_the_same_whatever_copies_there_are() {
    let move_memo = |attributes: &mut Attributes| {
        assert!(!attributes["body"].as_str().expect("a text").starts_with("U09F"), "it sees no envelope");
        if let Some(memo) = attributes.remove("memo") {
            attributes.insert("archive".to_owned(), json!([{ "memo": memo }]));
            attributes.insert("kept".to_owned(), memo);
        }
    };
    let converting = converting("agnostic", move_memo);
    let mut document = converting.note(&[("body", "b"), ("memo", "m")]);
    let memo = document.attributes["memo"].clone();
    document.attributes.insert("list".to_owned(), json!([memo]));
    document.attributes.insert("plain".to_owned(), memo.clone());
    assert_eq!(converting.upgraded(&mut document), (texts(&[("body", "b"), ("kept", "m")]), vec![]));
    for place in ["/list/0", "/plain", "/archive/0/memo"] {
        let attributes = Value::Object(document.attributes.clone());
        assert_eq!(attributes.pointer(place), Some(&memo), "what is not encrypted is as it was");
    }
}

#[test]
fn a_document_that_was_set_back_is_not_upgraded() {
    // The bound attribute changes, so the secret is encrypted again.
    let converting = converting("agnostic", |attributes| drop(attributes.insert("title".to_owned(), json!("another"))));
    let mut document = converting.note(&[("body", "b")]);
    assert_eq!(converting.upgraded(&mut document).1, Vec::<String>::new());
    document.root.type_migration_version = Some("10.1.0".to_owned());
    let upgraded = converting.conversion.upgrade_each(&converting.definition, "1", &mut document).expect("upgraded");
    assert_eq!(upgraded.unreadable, [("body".to_owned(), DecryptionCause::ModelVersion(2))]);
}

#[test]
fn a_namespace_counts_only_for_objects_that_live_in_one() {
    for (kind, is_bound) in [("agnostic", false), ("multiple", false), ("multiple-isolated", false), ("single", true)] {
        let add_title = |attributes: &mut Attributes| drop(attributes.insert("title".to_owned(), json!("another")));
        let converting = converting(kind, add_title);
        assert_eq!(descriptor(&converting.definition, Some("ops"), "1").namespace.is_some(), is_bound, "{kind}");
        let mut document = converting.note(&[("body", "b")]);
        document.root.namespace = Some("ops".to_owned());
        let upgraded =
            converting.conversion.upgrade_each(&converting.definition, "1", &mut document).expect("upgraded");
        assert_eq!(!upgraded.unreadable.is_empty(), is_bound, "{kind}: it was sealed as of no namespace");
        if !is_bound {
            let place = descriptor(&converting.definition, None, "1");
            let sets = converting.definition.encryption();
            let opened = converting.encryption.open(&place, sets, &document.attributes).expect("readable as before");
            assert_eq!(opened.get("body"), Some(&Secret::text("b")));
        }
    }
}
