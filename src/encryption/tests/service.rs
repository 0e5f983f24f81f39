//! Tests of the encryption service: refusals, malformed envelopes and plaintexts.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::ErrorKind;
use crate::encryption::associated_data::AssociatedData;
use crate::encryption::envelope::Envelope;

fn open_access(value: Value) -> Result<Option<Secret>, crate::Error> {
    let mut attributes = example();
    attributes.insert("access".to_owned(), value);
    service().open_attribute(&TOKEN, &sets(), &attributes, "access")
}

/// Returns the example's envelope with its bytes changed by `change`.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut bytes = STANDARD.decode(stored(&example(), "access")).expect("base64");
    change(&mut bytes);
    json!(STANDARD.encode(bytes))
}

/// Returns an envelope in the example's place that holds `plaintext`, which need not be JSON.
fn envelope_of(plaintext: &str) -> Value {
    let (ring, sets, attributes) = (KeyRing::new(SECRET_A.into(), Vec::new()).expect("a good key"), sets(), example());
    let associated_data = AssociatedData::new(&TOKEN, &sets, &attributes).expect("few bound attributes");
    let type_key = ring.primary().type_key(TOKEN.type_name).expect("derived");
    let envelope = Envelope::seal(ring.primary_key_id(), &type_key, [7; 16], &associated_data, "access", plaintext)
        .expect("sealed");
    json!(envelope.encode())
}

#[test]
fn causes_are_looked_at_in_their_order() {
    let other_key = KeyRing::new(SECRET_B.into(), Vec::new()).expect("a good key").primary_key_id();
    let unknown_key = |bytes: &mut Vec<u8>| bytes[4..12].copy_from_slice(&other_key.to_bytes());
    let text = stored(&example(), "access");
    let plain = json!({"connector": "c1", "limit": 10, "note": "n"});
    let padded = stored(&sealed(plain, &[("access", json!("ab"))]), "access");
    assert!(padded.ends_with('='));
    let cases = [
        (json!(5), DecryptionCause::NotAString),
        (json!({"token": "x"}), DecryptionCause::NotAString),
        (json!(""), DecryptionCause::Malformed),
        (json!("not base64!"), DecryptionCause::Malformed),
        (json!(padded.trim_end_matches('=')), DecryptionCause::Malformed),
        (json!(format!("{text}\n")), DecryptionCause::Malformed),
        (json!(text.replacen("U09FA", "U0-FA", 1)), DecryptionCause::Malformed),
        (changed(|bytes| bytes.truncate(48)), DecryptionCause::Malformed),
        (changed(|bytes| bytes.truncate(47)), DecryptionCause::Malformed),
        (changed(|bytes| bytes[2] = b'X'), DecryptionCause::Malformed),
        (changed(|bytes| bytes[2..4].copy_from_slice(b"X\x02")), DecryptionCause::Malformed),
        (changed(|bytes| bytes[3] = 0), DecryptionCause::UnsupportedVersion(0)),
        (
            changed(|bytes| {
                bytes[3] = 2;
                unknown_key(bytes);
            }),
            DecryptionCause::UnsupportedVersion(2),
        ),
        (
            changed(|bytes| {
                bytes[15] = 2;
                unknown_key(bytes);
            }),
            DecryptionCause::UnknownKeyId(other_key),
        ),
        (
            changed(|bytes| {
                bytes[15] = 2;
                bytes[48] ^= 1;
            }),
            DecryptionCause::ModelVersion(2),
        ),
        (changed(|bytes| bytes[15] = 0), DecryptionCause::ModelVersion(0)),
        (changed(|bytes| bytes[48] ^= 1), DecryptionCause::Authentication),
        (changed(|bytes| bytes.truncate(49)), DecryptionCause::Authentication),
        (changed(|bytes| bytes.push(0)), DecryptionCause::Authentication),
        (envelope_of("hunter2"), DecryptionCause::PlaintextNotJson),
        (envelope_of("1 2"), DecryptionCause::PlaintextNotJson),
    ];
    for (value, expected) in cases {
        let error = open_access(value.clone()).expect_err("it does not open");
        assert_eq!((error.kind(), cause(&error)), (ErrorKind::Decrypt, expected), "{value}");
    }
    assert_eq!(open_access(envelope_of("\"a\"  ")).expect("padded"), Some(Secret::text("a")));
}

#[test]
fn one_message_for_all_causes() {
    let expected = "unable to decrypt attribute \"access\" of saved object \"marketing,token,id-1\"; check that every key that \
                    this object's secrets were written with is configured, and that the document was not changed from outside";
    for value in [json!(5), json!("x"), envelope_of("hunter2"), changed(|bytes| bytes[20] ^= 1)] {
        let error = open_access(value).expect_err("it does not open");
        assert_eq!(error.to_string(), expected);
        assert!(!format!("{error:?}").contains("hunter2"));
        let attribute_error = error.find_source::<AttributeError>().expect("an attribute error");
        assert_eq!((attribute_error.attribute.as_str(), attribute_error.operation), ("access", Operation::Decrypt));
    }
}

#[test]
fn without_keys_only_what_needs_them_fails() {
    let service = EncryptionService::new(None, Environment::system());
    assert!(!service.can_encrypt());
    let mut plain = attributes(json!({"connector": "c1", "access": null}));
    service.seal(&TOKEN, &sets(), &mut plain, &Secrets::new()).expect("nothing to encrypt");
    assert_eq!(service.open(&TOKEN, &sets(), &plain).expect("nothing to decrypt"), Secrets::new());

    let error = service.seal(&TOKEN, &sets(), &mut plain, &secrets(&[("access", json!("a"))])).expect_err("no key");
    assert_eq!((error.kind(), cause(&error)), (ErrorKind::Invalid, DecryptionCause::NoKeys));
    assert!(error.to_string().contains(KEY_FILE_VARIABLE), "{error}");
    assert_eq!(plain, attributes(json!({"connector": "c1", "access": null})), "unchanged");

    let error = service.open(&TOKEN, &sets(), &example()).expect_err("no key");
    assert_eq!((error.kind(), cause(&error)), (ErrorKind::Decrypt, DecryptionCause::NoKeys));
}

#[test]
fn decryption_only_keys_open_and_the_primary_key_seals() {
    let ring = KeyRing::new(SECRET_B.into(), vec![SECRET_A.into()]).expect("two keys");
    let primary = ring.primary_key_id();
    let service = EncryptionService::new(Some(ring), Environment::system());
    let opened = service.open(&TOKEN, &sets(), &example()).expect("sealed with the other key");
    let mut again = example();
    service.seal(&TOKEN, &sets(), &mut again, &opened).expect("sealed");
    let key_id = Envelope::decode(&stored(&again, "access")).map(|envelope| envelope.key_id());
    assert_eq!(key_id.ok(), Some(primary));
    assert_eq!(service.open(&TOKEN, &sets(), &again).expect("opened"), opened);
}

#[test]
fn absent_and_null_have_no_secret_and_empty_values_have_one() {
    let values = [("access", json!("")), ("refresh", json!(0))];
    let mut attributes = sealed(json!({}), &values);
    assert_eq!(service().open(&TOKEN, &sets(), &attributes).expect("opened"), secrets(&values));

    attributes.insert("access".to_owned(), Value::Null);
    attributes.remove("refresh");
    assert_eq!(service().open(&TOKEN, &sets(), &attributes).expect("nothing to open"), Secrets::new());
    for name in ["access", "refresh"] {
        assert_eq!(service().open_attribute(&TOKEN, &sets(), &attributes, name).expect("nothing to open"), None);
    }
}

#[test]
fn plain_attributes_are_neither_sealed_nor_opened() {
    let mut attributes = example();
    let before = attributes.clone();
    let both = secrets(&[("access", json!("x")), ("note", json!("y"))]);
    let error = service().seal(&TOKEN, &sets(), &mut attributes, &both).expect_err("note is plain");
    assert_eq!(error.message(), "the attribute \"note\" of the type \"token\" is not an encrypted one");
    assert_eq!(attributes, before);
    let error = service().open_attribute(&TOKEN, &sets(), &attributes, "note").expect_err("note is plain");
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[test]
fn as_many_attributes_can_be_bound_as_the_cipher_takes() {
    let names: Vec<_> = (0..=MAX_BOUND_ATTRIBUTES).map(|index| format!("b{index}")).collect();
    let mut attributes: Attributes = names.iter().map(|name| (name.clone(), json!(1))).collect();
    let binding = |bound: &[String]| {
        EncryptionHistory::new(EncryptionSets { bound: bound.to_vec(), ..sets().sets().clone() }, [])
    };
    let secrets = secrets(&[("access", json!("a"))]);
    let error = service().seal(&TOKEN, &binding(&names), &mut attributes, &secrets).expect_err("one too many");
    assert_eq!(error.to_string(), "the type \"token\" binds 61 attributes; bind at most 60");

    let sets = binding(&names[..MAX_BOUND_ATTRIBUTES]);
    service().seal(&TOKEN, &sets, &mut attributes, &secrets).expect("60 are bound");
    assert_eq!(service().open(&TOKEN, &sets, &attributes).expect("opened"), secrets);
}

#[test]
fn debug_shows_no_secret() {
    let service = service();
    let error = open_access(envelope_of("hunter2")).expect_err("no JSON");
    let text =
        format!("{service:?} {:?} {TOKEN:?} {error:?} {:?}", service.clone(), secrets(&[("access", json!("hunter2"))]));
    assert!(text.contains("af83c69011e1a904"), "{text}");
    assert!(!text.contains("kat-secret") && !text.contains("hunter2"), "{text}");
}
