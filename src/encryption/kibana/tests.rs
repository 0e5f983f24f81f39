//! Tests with the file of vectors, which were made by the encryption library that Kibana uses.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::associated_data::associated_data;
use super::ciphertext::Ciphertext;
use super::{KibanaCodec, KibanaKeys};
use crate::document::Attributes;
use crate::encryption::SourceReader;
use crate::encryption::{DecryptionCause, Descriptor};
use crate::environment::Environment;
use crate::model::{EncryptedAttribute, EncryptionSets};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/fixtures/kibana_crypto_vectors.json")).expect("the vectors")
}

fn codec(primary: &str, decryption_only: &[&str]) -> KibanaCodec {
    let keys = KibanaKeys::new(primary.into(), decryption_only.iter().map(|key| (*key).into()).collect());
    KibanaCodec::new(keys.expect("good keys"), Environment::system())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect("a text")
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().expect("a list").iter().map(|item| item.as_str().expect("a text").to_owned()).collect()
}

fn sets(registration: &Value) -> EncryptionSets {
    EncryptionSets {
        encrypted: texts(&registration["attributesToEncrypt"])
            .into_iter()
            .map(|name| EncryptedAttribute { name, exposed: false })
            .collect(),
        bound: texts(&registration["attributesToIncludeInAAD"]),
    }
}

#[test]
fn every_value_opens() {
    let vectors = vectors();
    let values = vectors["vectors"].as_array().expect("a list");
    assert_eq!(values.len(), 20);
    for vector in values {
        let secret = codec(text(vector, "key"), &[]).open(&[text(vector, "aad").to_owned()], &vector["ciphertext"]);
        let secret = secret.unwrap_or_else(|cause| panic!("{}: {cause}", vector["name"]));
        assert_eq!(secret.parse::<Value>().expect("JSON"), vector["plaintext"], "{}", vector["name"]);
        assert_eq!(secret.expose_json(), text(vector, "plaintext_text"), "{}", vector["name"]);
    }
}

#[test]
fn every_failure_is_refused_for_its_reason() {
    let vectors = vectors();
    let failures = vectors["must_fail"].as_array().expect("a list");
    assert_eq!(failures.len(), 6);
    for failure in failures {
        let expected = match text(failure, "reason") {
            "authentication" => DecryptionCause::Authentication,
            "malformed" => DecryptionCause::Malformed,
            "plaintext_not_json" => DecryptionCause::PlaintextNotJson,
            other => panic!("an unknown reason {other}"),
        };
        let opened = codec(text(failure, "key"), &[]).open(&[text(failure, "aad").to_owned()], &failure["ciphertext"]);
        assert_eq!(opened.expect_err("must fail"), expected, "{}", failure["name"]);
    }
}

#[test]
fn every_document_opens_with_associated_data_rebuilt_from_its_source() {
    let vectors = vectors();
    let documents = vectors["documents"].as_array().expect("a list");
    assert_eq!(documents.len(), 9);
    for document in documents {
        let name = text(document, "name");
        let sets = sets(&vectors["registrations"][text(document, "registration")]);
        let (source, type_name) = (&document["source"], text(&document["descriptor"], "type"));
        // Only single-namespace types have the root field `namespace`.
        let descriptor =
            Descriptor { type_name, namespace: source["namespace"].as_str(), id: text(&document["descriptor"], "id") };
        let mut attributes = source[type_name].as_object().expect("attributes").clone();
        assert_eq!(associated_data(&descriptor, &sets, &attributes), text(document, "aad"), "{name}");

        // The document's key is not the first one here.
        let codec = codec("a-key-that-opens-nothing-0123456789-abc", &[text(document, "key")]);
        let opened = codec.open_each(&descriptor, &[&EncryptionSets::default(), &sets], &attributes);
        assert_eq!(opened.failures, [], "{name}");
        for (attribute, secret) in &opened.secrets {
            attributes.insert(attribute.clone(), secret.parse().expect("JSON"));
        }
        assert_eq!(Value::Object(attributes), document["decrypted_attributes"], "{name}");
        assert!(!codec.derivation_time().is_zero(), "{name}");
    }
}

#[test]
fn the_associated_data_of_free_values_is_canonical() {
    for vector in vectors()["vectors"].as_array().expect("a list") {
        let parsed: Vec<Value> = serde_json::from_str(text(vector, "aad")).expect("a list");
        let bound: Attributes = parsed.last().expect("attributes").as_object().expect("an object").clone();
        let place: Vec<&str> = parsed.iter().filter_map(Value::as_str).collect();
        let (namespace, rest) = if place.len() == 3 { (Some(place[0]), &place[1..]) } else { (None, &place[..]) };
        let descriptor = Descriptor { type_name: rest[0], namespace, id: rest[1] };
        let sets = EncryptionSets { encrypted: Vec::new(), bound: bound.keys().rev().cloned().collect() };
        assert_eq!(associated_data(&descriptor, &sets, &bound), text(vector, "aad"), "{}", vector["name"]);
    }
}

#[test]
fn integers_are_rounded_to_doubles() {
    let sets = EncryptionSets { encrypted: Vec::new(), bound: vec!["n".to_owned()] };
    let descriptor = Descriptor { type_name: "t", namespace: None, id: "1" };
    let attributes: Attributes = json!({"n": 9_007_199_254_740_993_u64}).as_object().expect("an object").clone();
    assert_eq!(associated_data(&descriptor, &sets, &attributes), r#"["t","1",{"n":9007199254740992}]"#);
}

#[test]
fn what_is_no_text_and_what_is_no_base64_is_refused_without_deriving_a_key() {
    let codec = codec("a-key-that-opens-nothing-0123456789-abc", &[]);
    let short = STANDARD.encode([0; 92]);
    let cases = [
        (json!(1), DecryptionCause::NotAString),
        (json!({"a": 1}), DecryptionCause::NotAString),
        (json!(""), DecryptionCause::Malformed),
        (json!("no base64!"), DecryptionCause::Malformed),
        (json!(short), DecryptionCause::Malformed),
    ];
    for (stored, expected) in cases {
        assert_eq!(codec.open(&["[]".to_owned()], &stored).expect_err("refused"), expected, "{stored}");
    }
    assert!(codec.derivation_time().is_zero());
}

#[test]
fn every_single_byte_counts() {
    let vectors = vectors();
    let vector = &vectors["vectors"][0];
    let bytes = STANDARD.decode(text(vector, "ciphertext")).expect("base64");
    // The salt is left out, since a change of it changes the key, which takes milliseconds to derive each time.
    let whole = Ciphertext::decode(text(vector, "ciphertext")).expect("well-formed");
    let key = whole.derive_key(text(vector, "key").as_bytes());
    whole.open(&key, text(vector, "aad")).expect("it opens");
    for position in 64..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 1;
        let changed = Ciphertext::decode(&STANDARD.encode(changed)).expect("well-formed");
        let cause = changed.open(&key, text(vector, "aad")).expect_err("changed");
        assert_eq!(cause, DecryptionCause::Authentication, "byte {position}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "(?s).{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Ciphertext::decode(&text);
        let decoded = Ciphertext::decode(&STANDARD.encode(&bytes));
        prop_assert_eq!(decoded.is_ok(), bytes.len() >= 93);
    }
}
