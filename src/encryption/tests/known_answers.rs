use aes_siv::KeyInit;
use aes_siv::siv::Aes128Siv;

use super::*;

/// Seals `plaintext` as the attribute `name`, compares the envelope, and opens it again.
fn check(
    service: &EncryptionService,
    descriptor: &Descriptor<'_>,
    sets: &EncryptionSets,
    mut attributes: Attributes,
    secret: Secret,
    expected: &str,
) {
    let name = sets.encrypted.first().expect("one attribute").name.clone();
    let secrets = Secrets::from([(name.clone(), secret)]);
    service.seal(descriptor, sets, &mut attributes, &secrets).expect("sealed");
    assert_eq!(stored(&attributes, &name), expected);
    assert_eq!(service.open(descriptor, sets, &attributes).expect("opened"), secrets);
}

#[test]
fn a_text_without_namespace() {
    let nonce = std::array::from_fn(|index| u8::try_from(index).expect("below 16"));
    let bound = ["connectorId", "tokenType", "expiresAt", "createdAt", "updatedAt"];
    check(
        &service_with_nonce(SECRET_A, nonce),
        &Descriptor { type_name: "connector_token", namespace: None, id: "2f1c9d5e-6d0b-4a53-9a57-0c9c1f6d8e01" },
        &sets_of(&["token"], &bound),
        attributes(json!({
            "connectorId": "c1",
            "createdAt": "2026-01-10T09:00:00.000Z",
            "expiresAt": "2026-01-10T10:00:00.000Z",
            "tokenType": "access_token",
            "updatedAt": "2026-01-10T09:00:00.000Z",
        })),
        Secret::text("Bearer abc"),
        "U09FAa+DxpAR4akEAAECAwQFBgcICQoLDA0ODxsD6R5D3/DVLYICUFHCyTgxRLAZBM/dMXWAmFY=",
    );
}

#[test]
fn an_object_in_a_namespace() {
    let nonce = std::array::from_fn(|index| 0xff - 0x11 * u8::try_from(index).expect("below 16"));
    // The known answer has the keys in this order, which a JSON map of ours would change.
    #[derive(serde::Serialize)]
    struct Credentials {
        user: &'static str,
        password: &'static str,
    }
    check(
        &service_with_nonce(SECRET_B, nonce),
        &Descriptor { type_name: "demo_secret", namespace: Some("marketing"), id: "id-1" },
        &sets_of(&["secret"], &["limit", "config"]),
        attributes(json!({"config": {"z": 1, "a": {"y": null, "x": [3, 1, 2]}}, "limit": 10})),
        Secret::json(&Credentials { user: "svc", password: "p" }).expect("an object"),
        "U09FAQ8+UKAWQZs0/+7dzLuqmYh3ZlVEMyIRACaXp2EFpIdjxmhsJP7lMhFsShaA8d0IZhfzZOnvoGQnhl06VBy0zugRmf3yHA==",
    );
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).expect("a hex digit")).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits")).collect()
}

#[test]
fn the_cipher_is_that_of_rfc_5297() {
    let appendix_a1 = (
        "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
        vec!["101112131415161718191a1b1c1d1e1f2021222324252627"],
        "112233445566778899aabbccddee",
        "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c",
    );
    let appendix_a2 = (
        "7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f",
        vec![
            "00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100",
            "102030405060708090a0",
            "09f911029d74e35bd84156c5635688c0",
        ],
        "7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553",
        "7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d",
    );
    for (key, components, plaintext, expected) in [appendix_a1, appendix_a2] {
        let components: Vec<_> = components.into_iter().map(bytes).collect();
        let mut cipher = Aes128Siv::new_from_slice(&bytes(key)).expect("a key of 32 bytes");
        let sealed = cipher.encrypt(&components, &bytes(plaintext)).expect("few components");
        assert_eq!(sealed, bytes(expected));
        assert_eq!(cipher.decrypt(&components, &sealed).expect("authentic"), bytes(plaintext));
    }
}
