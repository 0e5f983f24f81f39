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
