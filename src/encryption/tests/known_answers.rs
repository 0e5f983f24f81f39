//! Tests with known envelopes: made with OpenSSL's AES-SIV, and composed a second time here from the crate `aes-siv`
//! and code that shares nothing with the module.

use aes_siv::KeyInit;
use aes_siv::siv::Aes256Siv;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use sha2::{Digest, Sha256, Sha512};

use super::*;

/// The parts of an envelope. All JSON is canonical text.
struct Known<'a> {
    secret: &'a str,
    place: Descriptor<'a>,
    attribute: &'a str,
    version: u32,
    sets: &'a str,
    bound: &'a [(&'a str, &'a str)],
    nonce: [u8; 16],
    plaintext: &'a str,
}

/// Composes the envelope as the module's documentation describes it.
fn composed(known: &Known<'_>) -> String {
    let keys = Hkdf::<Sha512>::new(Some(b"saved-objects/attribute-encryption/v1"), known.secret.as_bytes());
    let (mut key_id, mut key) = ([0; 8], [0; 64]);
    keys.expand(b"key-id", &mut key_id).expect("short");
    let label = [b"aes-256-siv\0", known.place.type_name.as_bytes()].concat();
    keys.expand(&label, &mut key).expect("short");
    let header = [b"SOE\x01".as_slice(), &key_id, &known.version.to_be_bytes()].concat();
    let first = [header.as_slice(), &Sha256::digest(known.sets)].concat();
    let mut components: Vec<&[u8]> = vec![
        &first,
        known.place.type_name.as_bytes(),
        known.place.namespace.unwrap_or("").as_bytes(),
        known.place.id.as_bytes(),
        known.attribute.as_bytes(),
    ];
    components.extend(known.bound.iter().flat_map(|(name, json)| [name.as_bytes(), json.as_bytes()]));
    components.push(&known.nonce);
    let sealed = Aes256Siv::new(&key.into()).encrypt(components, known.plaintext.as_bytes()).expect("few components");
    STANDARD.encode([header.as_slice(), &known.nonce, &sealed].concat())
}

/// Seals at the last version of `history`, compares the envelope, and decrypts it.
fn check(known: &Known<'_>, history: &EncryptionHistory, plain: Value, expected: &str) {
    assert_eq!(composed(known), expected, "the second composition");
    let service = service_with_nonce(known.secret, known.nonce);
    let secret = Secret::from_plaintext(Zeroizing::new(known.plaintext.to_owned())).expect("JSON");
    let secrets = Secrets::from([(known.attribute.to_owned(), secret)]);
    let mut attributes = attributes(plain);
    service.seal(&known.place, history, &mut attributes, &secrets).expect("sealed");
    assert_eq!(stored(&attributes, known.attribute), expected);
    assert_eq!(service.open(&known.place, history, &attributes).expect("opened"), secrets);
}

#[test]
fn a_text_without_namespace() {
    let known = Known {
        secret: SECRET_A,
        place: Descriptor { type_name: "connector_token", namespace: None, id: "2f1c9d5e-6d0b-4a53-9a57-0c9c1f6d8e01" },
        attribute: "token",
        version: 1,
        sets: r#"{"bound":["connectorId","createdAt","expiresAt","tokenType","updatedAt"],"encrypted":[{"exposed":false,"name":"token"}]}"#,
        bound: &[
            ("connectorId", r#""c1""#),
            ("createdAt", r#""2026-01-10T09:00:00.000Z""#),
            ("expiresAt", r#""2026-01-10T10:00:00.000Z""#),
            ("tokenType", r#""access_token""#),
            ("updatedAt", r#""2026-01-10T09:00:00.000Z""#),
        ],
        nonce: std::array::from_fn(|index| u8::try_from(index).expect("below 16")),
        plaintext: r#""Bearer abc""#,
    };
    check(
        &known,
        &sets_of(&["token"], &["connectorId", "tokenType", "expiresAt", "createdAt", "updatedAt"]),
        json!({
            "connectorId": "c1",
            "createdAt": "2026-01-10T09:00:00.000Z",
            "expiresAt": "2026-01-10T10:00:00.000Z",
            "tokenType": "access_token",
            "updatedAt": "2026-01-10T09:00:00.000Z",
        }),
        "U09FAa+DxpAR4akEAAAAAQABAgMEBQYHCAkKCwwNDg//yANM6vdGWLmsbQMAyUaaTJ/P4hDAgckkL8jX",
    );
}

#[test]
fn an_object_in_a_namespace_at_a_later_version() {
    let known = Known {
        secret: SECRET_B,
        place: Descriptor { type_name: "demo_secret", namespace: Some("marketing"), id: "id-1" },
        attribute: "secret",
        version: 3,
        sets: r#"{"bound":["absent","config","limit"],"encrypted":[{"exposed":false,"name":"other"},{"exposed":true,"name":"secret"}]}"#,
        bound: &[("config", r#"{"a":{"x":[3,1,2],"y":null},"z":1}"#), ("limit", "10")],
        nonce: std::array::from_fn(|index| 0xff - 0x11 * u8::try_from(index).expect("below 16")),
        plaintext: r#"{"user":"svc","password":"p"}"#,
    };
    let mut third = version_of(&["secret", "other"], &["limit", "config", "absent"]);
    third.encrypted[0].exposed = true;
    check(
        &known,
        &EncryptionHistory::new(version_of(&["secret"], &[]), [version_of(&["secret"], &["limit"]), third]),
        json!({"config": {"z": 1, "a": {"y": null, "x": [3, 1, 2]}}, "limit": 10}),
        "U09FAQ8+UKAWQZs0AAAAA//u3cy7qpmId2ZVRDMiEQBhVwvkZDAAdPjUL2Cxe2MLXKnx0GuHMN4ecgpoukSEclTr9yViJ6JvXicR7Uw=",
    );
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// Both compositions produce the same envelope for any place, version and nonce.
    #[test]
    fn a_second_composition_makes_the_same_envelope(
        type_name in "[a-z]{1,20}", namespace in proptest::option::of("[a-z]{1,20}"), id in "[a-z:]{1,40}",
        version in 1_u32..6, nonce in proptest::array::uniform16(0_u8..), text in "[a-z]{0,80}", limit in 0_u64..,
    ) {
        let plaintext = format!("\"{text}\"");
        let limit_text = limit.to_string();
        let known = Known {
            secret: SECRET_A,
            place: Descriptor { type_name: &type_name, namespace: namespace.as_deref(), id: &id },
            attribute: "access",
            version,
            sets: r#"{"bound":["limit"],"encrypted":[{"exposed":false,"name":"access"}]}"#,
            bound: &[("limit", &limit_text)],
            nonce,
            plaintext: &plaintext,
        };
        let sets = version_of(&["access"], &["limit"]);
        let later = std::iter::repeat_n(sets.clone(), usize::try_from(version - 1).expect("few"));
        check(&known, &EncryptionHistory::new(sets.clone(), later), json!({"limit": limit}), &composed(&known));
    }
}
