//! Properties of sealing that hold for any values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::encryption::envelope::Envelope;

/// JSON values other than null.
fn secret_values() -> impl Strategy<Value = Value> {
    json_values().prop_filter("null is no secret", |value| !value.is_null())
}

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has finite numbers only", |number| number.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_value_but_null_comes_back(value in secret_values(), bound in json_values()) {
        let attributes = sealed(json!({"connector": bound}), &[("access", value.clone())]);
        let secret = service().open_attribute(&TOKEN, &sets(), &attributes, "access").expect("opened").expect("present");
        prop_assert_eq!(secret.parse::<Value>().expect("JSON"), value);
    }

    #[test]
    fn a_secret_opens_nowhere_else(
        type_name in "[a-c]{1,2}", namespace in prop::option::of("[a-c]{1,2}"), id in "[a-c]{1,2}",
        attribute in prop::sample::select(vec!["access", "refresh"]),
        other_type in "[a-c]{1,2}", other_namespace in prop::option::of("[a-c]{1,2}"), other_id in "[a-c]{1,2}",
        other_attribute in prop::sample::select(vec!["access", "refresh"]),
    ) {
        let here = Descriptor { type_name: &type_name, namespace: namespace.as_deref(), id: &id };
        let there = Descriptor { type_name: &other_type, namespace: other_namespace.as_deref(), id: &other_id };
        let mut attributes = attributes(json!({"limit": 1}));
        service().seal(&here, &sets(), &mut attributes, &secrets(&[(attribute, json!("a"))])).expect("sealed");
        let envelope = attributes.remove(attribute).expect("sealed");
        attributes.insert(other_attribute.to_owned(), envelope);
        let is_here = here == there && attribute == other_attribute;
        prop_assert_eq!(service().open(&there, &sets(), &attributes).is_ok(), is_here);
    }

    #[test]
    fn the_order_of_keys_does_not_matter(bound in json_values()) {
        // serde_json's maps are sorted, so only the text can have another order.
        fn reversed(value: &Value) -> String {
            match value {
                Value::Object(members) => {
                    let members: Vec<String> = members
                        .iter()
                        .rev()
                        .map(|(name, value)| format!("{}: {}", Value::from(name.as_str()), reversed(value)))
                        .collect();
                    format!("{{{}}}", members.join(" , "))
                }
                Value::Array(items) => format!("[{}]", items.iter().map(reversed).collect::<Vec<_>>().join(" , ")),
                other => other.to_string(),
            }
        }
        let mut attributes = sealed(json!({"limit": bound}), &[("access", json!("a"))]);
        attributes.insert("limit".to_owned(), serde_json::from_str(&reversed(&bound)).expect("JSON"));
        prop_assert!(service().open(&TOKEN, &sets(), &attributes).is_ok());
    }

    #[test]
    fn another_integer_is_noticed(before in any::<u64>(), difference in 1..5_u64) {
        // Beyond 2^53, doubles would not distinguish the two.
        let after = before.checked_add(difference).unwrap_or(before - difference);
        let mut attributes = sealed(json!({"limit": before}), &[("access", json!("a"))]);
        attributes.insert("limit".to_owned(), json!(after));
        prop_assert!(authentication_fails(&TOKEN, &sets(), &attributes));
    }

    #[test]
    fn sealing_twice_gives_different_envelopes(value in secret_values()) {
        let values = [("access", value)];
        prop_assert_ne!(sealed(json!({}), &values), sealed(json!({}), &values));
    }

    #[test]
    fn any_other_bound_value_is_noticed(before in json_values(), after in json_values()) {
        let mut attributes = sealed(json!({"limit": before}), &[("access", json!("a"))]);
        attributes.insert("limit".to_owned(), after.clone());
        // Numbers that differ only in their form are equal, so canonical texts are compared.
        let [mut text_before, mut text_after] = [String::new(), String::new()];
        canonical_json::write(&before, &mut text_before);
        canonical_json::write(&after, &mut text_after);
        prop_assume!(text_before != text_after);
        prop_assert!(authentication_fails(&TOKEN, &sets(), &attributes));
    }

    #[test]
    fn a_change_of_any_byte_is_noticed(value in secret_values(), index in any::<prop::sample::Index>(), bits in 1..=u8::MAX) {
        let mut attributes = sealed(json!({}), &[("access", value)]);
        let mut bytes = STANDARD.decode(stored(&attributes, "access")).expect("base64");
        *index.get_mut(&mut bytes) ^= bits;
        attributes.insert("access".to_owned(), json!(STANDARD.encode(bytes)));
        prop_assert!(service().open(&TOKEN, &sets(), &attributes).is_err());
    }

    #[test]
    fn there_is_one_text_of_an_envelope(index in any::<prop::sample::Index>(), character in any::<char>()) {
        let attributes = example();
        let mut text: Vec<char> = stored(&attributes, "access").chars().collect();
        let place = index.get_mut(&mut text);
        prop_assume!(*place != character);
        *place = character;
        let mut attributes = attributes;
        attributes.insert("access".to_owned(), json!(text.into_iter().collect::<String>()));
        prop_assert!(service().open(&TOKEN, &sets(), &attributes).is_err());
    }

    #[test]
    fn no_text_makes_decoding_panic(
        text in prop_oneof![
            any::<String>(),
            "[A-Za-z0-9+/]{0,120}={0,3}",
            "U09FA[A-Za-z0-9+/]{50,120}={0,3}",
            prop::collection::vec(any::<u8>(), 0..120).prop_map(|bytes| STANDARD.encode(bytes)),
        ],
    ) {
        if let Ok(envelope) = Envelope::decode(&text) {
            prop_assert_eq!(envelope.encode(), text);
        }
    }
}

#[test]
fn a_change_of_every_single_byte_is_noticed() {
    let attributes = example();
    let (service, bytes) = (service(), STANDARD.decode(stored(&attributes, "access")).expect("base64"));
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        for bit in 0..8 {
            changed[index] = bytes[index] ^ (1 << bit);
            let mut attributes = attributes.clone();
            attributes.insert("access".to_owned(), json!(STANDARD.encode(&changed)));
            let opened = service.open_attribute(&TOKEN, &sets(), &attributes, "access");
            assert!(opened.is_err(), "byte {index}, bit {bit}");
        }
    }
}
