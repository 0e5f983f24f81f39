//! Tests of encrypting secrets again under another key.

use super::*;

fn rotating() -> EncryptionService {
    let ring = KeyRing::new(SECRET_B.into(), vec![SECRET_A.into()]).expect("good keys");
    EncryptionService::new(Some(ring), Environment::system())
}

fn id(secret: &str) -> KeyId {
    KeyRing::new(secret.into(), Vec::new()).expect("a good key").primary_key_id()
}

#[test]
fn only_what_is_under_another_key_is_encrypted_anew() {
    let mut attributes = example();
    let service = rotating();
    service.seal(&TOKEN, &sets(), &mut attributes, &secrets(&[("refresh", json!("new"))])).expect("sealed");
    let before = attributes.clone();
    assert_eq!(KeysOf::attributes(sets().sets(), &attributes).keys, [id(SECRET_A), id(SECRET_B)].into());

    let resealed = service.reseal(&TOKEN, &sets(), &mut attributes).expect("resealed");
    assert_eq!((resealed.keys, resealed.changed), ([id(SECRET_A), id(SECRET_B)].into(), 1));
    assert!(resealed.failures.is_empty());
    assert_eq!(attributes["refresh"], before["refresh"], "what is under the primary key stays");
    assert_ne!(attributes["access"], before["access"]);
    assert_eq!(KeysOf::attributes(sets().sets(), &attributes).keys, [id(SECRET_B)].into());
    let with_new_only = service_with_nonce(SECRET_B, [0; 16]);
    let opened = with_new_only.open(&TOKEN, &sets(), &attributes).expect("opened");
    assert_eq!(opened, secrets(&[("access", json!("a")), ("refresh", json!("new"))]));

    let again = service.reseal(&TOKEN, &sets(), &mut attributes).expect("resealed");
    assert_eq!((again.keys, again.changed), ([id(SECRET_B)].into(), 0));
}

#[test]
fn what_does_not_open_stays_and_keeps_nothing_from_it() {
    let mut attributes = example();
    attributes.insert("refresh".to_owned(), attributes["access"].clone());
    let before = attributes.clone();
    let resealed = rotating().reseal(&TOKEN, &sets(), &mut attributes).expect("resealed");
    assert_eq!(resealed.failures, [("refresh".to_owned(), DecryptionCause::Authentication)]);
    assert_eq!((resealed.changed, &attributes["refresh"]), (1, &before["refresh"]));

    let mut attributes = before;
    attributes.insert("refresh".to_owned(), json!(7));
    let service = service_with_nonce(SECRET_B, [0; 16]);
    let resealed = service.reseal(&TOKEN, &sets(), &mut attributes).expect("resealed");
    let unknown = DecryptionCause::UnknownKeyId(id(SECRET_A));
    let failures = [("refresh".to_owned(), DecryptionCause::NotAString), ("access".to_owned(), unknown)];
    assert_eq!((resealed.failures.as_slice(), resealed.changed), (failures.as_slice(), 0));
}

#[test]
fn envelopes_are_found_wherever_they_are() {
    let envelope = example()["access"].clone();
    let document = json!({"type": 7, "rest": [{"deep": envelope}, "U09FA", "U09FAQ=="]});
    assert_eq!(KeysOf::anywhere(&document).keys, [id(SECRET_A)].into());
    assert!(KeysOf::anywhere(&json!({"a": "b"})).keys.is_empty());
}

#[test]
fn all_clones_change_their_keys_together() {
    let service = service();
    let clone = service.clone();
    let mut attributes = example();
    service.replace_key_ring(KeyRing::new(SECRET_B.into(), vec![SECRET_A.into()]).expect("good keys"));
    assert!(clone.open(&TOKEN, &sets(), &attributes).is_ok());
    clone.seal(&TOKEN, &sets(), &mut attributes, &secrets(&[("access", json!("b"))])).expect("sealed");
    assert_eq!(KeysOf::attributes(sets().sets(), &attributes).keys, [id(SECRET_A), id(SECRET_B)].into());
}

#[test]
fn key_ids_are_texts_and_back() {
    let text = id(SECRET_A).to_string();
    assert_eq!(text.parse::<KeyId>().expect("an id"), id(SECRET_A));
    assert_eq!(serde_json::to_value(id(SECRET_A)).expect("JSON"), json!(text));
    for odd in ["", "af83c69011e1a90", "af83c69011e1a9044", "AF83C69011E1A904", "af83c69011e1a90g", "+f83c69011e1a904"]
    {
        assert!(odd.parse::<KeyId>().is_err(), "{odd}");
    }
}
