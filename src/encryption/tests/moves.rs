//! Tests that a secret can be decrypted only in the place and with the bound attributes that it was sealed with.

use super::*;

#[test]
fn a_secret_does_not_open_elsewhere() {
    let attributes = example();
    assert!(service().open(&TOKEN, &sets(), &attributes).is_ok());
    let elsewhere = [
        Descriptor { id: "id-2", ..TOKEN },
        Descriptor { namespace: None, ..TOKEN },
        Descriptor { namespace: Some("sales"), ..TOKEN },
        Descriptor { type_name: "other", ..TOKEN },
        // The concatenated text is the same, but the components differ.
        Descriptor { type_name: "token", namespace: Some("marketingi"), id: "d-1" },
        Descriptor { type_name: "tokenm", namespace: Some("arketing"), id: "id-1" },
    ];
    for descriptor in elsewhere {
        assert!(authentication_fails(&descriptor, &sets(), &attributes), "{descriptor}");
    }
}

#[test]
fn secrets_of_one_object_cannot_be_exchanged() {
    let mut attributes = example();
    let access = attributes.remove("access").expect("sealed");
    attributes.insert("refresh".to_owned(), access);
    assert!(authentication_fails(&TOKEN, &sets(), &attributes));
}

#[test]
fn bound_attributes_cannot_change() {
    let cases = [
        (json!({"connector": "c1"}), json!({"connector": "c2"})),
        (json!({"connector": "c1"}), json!({})),
        (json!({}), json!({"connector": "c1"})),
        (json!({"connector": null}), json!({})),
        (json!({"connector": null}), json!({"connector": ""})),
        (json!({"connector": ""}), json!({})),
        (json!({"connector": "1"}), json!({"connector": 1})),
        (json!({"connector": "c1", "limit": 1}), json!({"connector": 1, "limit": "c1"})),
        (json!({"limit": 0}), json!({"limit": false})),
        (json!({"limit": []}), json!({"limit": {}})),
        (json!({"limit": [1, 2]}), json!({"limit": [2, 1]})),
        (json!({"limit": {"a": {"b": null}}}), json!({"limit": {"a": {}}})),
        (json!({"limit": 9_007_199_254_740_992_u64}), json!({"limit": 9_007_199_254_740_993_u64})),
        (json!({"limit": u64::MAX}), json!({"limit": u64::MAX - 1})),
        (json!({"limit": i64::MIN}), json!({"limit": i64::MIN + 1})),
    ];
    for (before, after) in cases {
        let mut attributes = sealed(before.clone(), &[("access", json!("a"))]);
        for name in ["connector", "limit"] {
            attributes.remove(name);
        }
        attributes.extend(super::attributes(after.clone()));
        assert!(authentication_fails(&TOKEN, &sets(), &attributes), "{before} -> {after}");
    }
}

#[test]
fn what_is_the_same_may_be_written_differently() {
    let texts = [
        r#"{"limit": {"a": 1, "b": [1.0, -0.0, 1e2]}, "connector": "\u0063\/"}"#,
        r#"{"connector":"c/","limit":{"b":[1,0,100],"a":1}}"#,
    ];
    let [first, second] = texts.map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
    let mut attributes = sealed(first, &[("access", json!("a"))]);
    attributes.extend(super::attributes(second));
    // The order of the bound attributes in the definition does not matter, and neither do plain attributes.
    attributes.insert("note".to_owned(), json!("changed"));
    let sets = sets_of(&["refresh", "access"], &["connector", "limit"]);
    assert!(service().open(&TOKEN, &sets, &attributes).is_ok());
}
