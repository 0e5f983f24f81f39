//! Tests of exact numbers: round trips, changes and moves.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::document::StoredDocument;
use crate::document::exact::exact_json;

/// Numbers in every form that JSON has.
fn numbers() -> impl Strategy<Value = String> {
    let listed = prop::sample::select(vec![
        "0",
        "-0",
        "0.0",
        "-0.0",
        "0e5",
        "1",
        "1.0",
        "1.00",
        "1e0",
        "1E5",
        "1e+5",
        "100000",
        "1e-400",
        "1e-401",
        "-1e-400",
        "0.1",
        "0.10",
        "0.1000000000000000055",
        "0.30000000000000001",
        "9007199254740993",
        "9007199254740993.0",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "123456789012345678901234567891",
        "1234567890123456789.01",
        "1.7976931348623157e308",
        "1e-99999999999999999999",
    ]);
    prop_oneof![
        listed.prop_map(str::to_owned),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?",
        any::<f64>().prop_filter("finite", |double| double.is_finite()).prop_map(|double| json!(double).to_string()),
        any::<i64>().prop_map(|integer| integer.to_string()),
    ]
}

/// JSON as this library writes it except for the numbers, so that texts can be compared.
fn values() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![4 => numbers(), 1 => prop::sample::select(vec!["null", "true", "\"1.50\"", "\"\\\"1e5\""]).prop_map(str::to_owned)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            members(inner),
        ]
    })
}

fn members(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::btree_map("[a-c/~é]{0,2}", value, 0..4).prop_map(|members| {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("{}:{value}", json!(name))).collect();
        format!("{{{}}}", members.join(","))
    })
}

fn parsed(json: &str) -> (Map<String, Value>, Numbers) {
    let values: Map<String, Value> = serde_json::from_str(json).expect("an object");
    let numbers = Numbers::read(json, "", &values);
    (values, numbers)
}

/// Applies `change` to `before` and returns the resulting text.
fn changed(before: &str, change: impl FnOnce(&mut Map<String, Value>)) -> Result<String, String> {
    let (mut values, numbers) = parsed(before);
    change(&mut values);
    numbers.of_changed(&values).map(|numbers| exact_json(&values, &numbers)).map_err(|ambiguous| ambiguous.pointer)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_document_is_written_as_it_was_read(attributes in members(values()), others in members(values())) {
        let in_order = format!(r#"{{"type":"no/te","references":[],"no/te":{attributes}}}"#);
        let document = StoredDocument::from_source(in_order.as_bytes()).expect("well-formed");
        prop_assert_eq!(String::from_utf8(document.to_source()).expect("UTF-8"), in_order);
        let later = format!(r#"{{"type":"no/te","references":[],"later":{others},"no/te":{attributes}}}"#);
        let document = StoredDocument::from_source(later.as_bytes()).expect("well-formed");
        prop_assert_eq!(String::from_utf8(document.to_source()).expect("UTF-8"), later);
        prop_assert_eq!(StoredDocument::from_source(&document.to_source()), Ok(document.clone()));
        let any_order = format!(r#"{{"no/te":{attributes},"type":"no/te","later":{others}}}"#);
        prop_assert_eq!(StoredDocument::from_source(any_order.as_bytes()), Ok(document));
    }

    #[test]
    fn what_is_not_changed_keeps_its_digits(json in members(values()), moved in values()) {
        let with_more = changed(&json, |values| {
            values.insert("more".to_owned(), json!({ "a": [1.5, 2], "b": "x" }));
        });
        let more = r#""more":{"a":[1.5,2],"b":"x"}"#;
        let (mut expected, numbers) = parsed(&json);
        prop_assert_eq!(exact_json(&expected, &numbers), json.clone());
        expected.insert("more".to_owned(), json!(null));
        let expected = exact_json(&expected, &numbers).replace("\"more\":null", more);
        prop_assert_eq!(with_more, Ok(expected));
        // A renamed attribute keeps all digits, or the change reports that it cannot.
        let before = format!(r#"{{"old":{moved},"other":1.5}}"#);
        let renamed = changed(&before, |values| {
            let value = values.remove("old").unwrap_or_default();
            values.insert("new".to_owned(), value);
        });
        if let Ok(renamed) = renamed {
            let expected = format!(r#"{{"new":{moved},"other":1.5}}"#);
            let decimals = |json: &str| {
                let mut found = Vec::new();
                number_tokens(json, |pointer, text| found.push((pointer.to_owned(), Decimal::of(text))));
                found
            };
            prop_assert_eq!(decimals(&renamed), decimals(&expected), "{} {}", renamed, expected);
        }
    }
}

#[test]
fn a_number_that_moves_takes_its_digits_along() {
    let big = "123456789012345678901234567890";
    let rename = |values: &mut Map<String, Value>| {
        let value = values.remove("old").expect("there");
        values.insert("new".to_owned(), json!({ "in": [value] }));
    };
    let table = [
        (format!(r#"{{"old":{big}}}"#), Ok(format!(r#"{{"new":{{"in":[{big}]}}}}"#))),
        (format!(r#"{{"a":1.50,"old":[1.50,{big}]}}"#), Ok(format!(r#"{{"a":1.50,"new":{{"in":[[1.50,{big}]]}}}}"#))),
        // Both are the same number, in two forms.
        (r#"{"old":[1.50,1.5]}"#.to_owned(), Ok(r#"{"new":{"in":[[1.50,1.50]]}}"#.to_owned())),
        (r#"{"old":[1e-400,0.0]}"#.to_owned(), Err("/new/in/0/0".to_owned())),
        (r#"{"old":{"x":1e-400}}"#.to_owned(), Err("/new/in/0/x".to_owned())),
    ];
    for (before, expected) in table {
        assert_eq!(changed(&before, rename), expected, "{before}");
    }
}

#[test]
fn a_value_that_is_set_is_written_as_it_is_set() {
    let set = |value: Value| move |values: &mut Map<String, Value>| drop(values.insert("b".to_owned(), value));
    let table = [
        (r#"{"a":1e-400}"#, json!(0.0), r#"{"a":1e-400,"b":0.0}"#),
        (r#"{"a":0.30000000000000001}"#, json!(0.3), r#"{"a":0.30000000000000001,"b":0.3}"#),
        (r#"{"a":[1.50,1E5],"b":1E5}"#, json!(1.5), r#"{"a":[1.50,1E5],"b":1.5}"#),
        (r#"{"a":-0,"b":-0}"#, json!(0), r#"{"a":-0,"b":0}"#),
        (r#"{"b":-0}"#, json!(0.0), r#"{"b":0.0}"#),
        (r#"{"b":[1e-400,1e-401,2]}"#, json!([0.0, 0.0, 2]), r#"{"b":[1e-400,1e-401,2]}"#),
    ];
    for (before, value, expected) in table {
        assert_eq!(changed(before, set(value)), Ok(expected.to_owned()), "{before}");
    }
}

#[test]
fn in_a_list_that_changed_numbers_are_found_by_what_they_are() {
    let drop_first = |values: &mut Map<String, Value>| drop(values["l"].as_array_mut().expect("a list").remove(0));
    let big = "123456789012345678901234567890";
    let table = [
        (format!(r#"{{"l":[1.50,{big}]}}"#), Ok(format!(r#"{{"l":[{big}]}}"#))),
        (format!(r#"{{"l":[{{"n":{big}}},{{"n":1E5}}]}}"#), Ok(r#"{"l":[{"n":1E5}]}"#.to_owned())),
        (r#"{"l":[1,1e-400]}"#.to_owned(), Ok(r#"{"l":[1e-400]}"#.to_owned())),
        (r#"{"l":[1e-400,1e-401]}"#.to_owned(), Err("/l/0".to_owned())),
    ];
    for (before, expected) in table {
        assert_eq!(changed(&before, drop_first), expected, "{before}");
    }
}

#[test]
fn decimals_are_compared_by_value() {
    let same =
        [("1.50", "15e-1"), ("0", "0.0"), ("0e5", "0"), ("100000", "1E+5"), ("-1.0", "-10e-1"), ("1e-400", "0.1e-399")];
    for (one, other) in same {
        assert_eq!(Decimal::of(one), Decimal::of(other), "{one} {other}");
    }
    for (one, other) in [("1", "-1"), ("0", "-0"), ("1e-400", "0"), ("10", "1"), ("1e-400", "1e-401")] {
        assert_ne!(Decimal::of(one), Decimal::of(other), "{one} {other}");
    }
    let beyond =
        |json: &str| parsed(json).1.beyond_doubles().map(|(at, number)| format!("{at} {number}")).collect::<Vec<_>>();
    assert_eq!(beyond(r#"{"a":1E5,"b":1.50,"c":100000000000000000000000000000,"d":-0}"#), Vec::<String>::new());
    assert_eq!(
        beyond(r#"{"a":1e-400,"b":[0.10,0.100000000000000000010]}"#),
        ["/a 1e-400", "/b/1 10000000000000000001e-20"]
    );
}

#[test]
fn a_number_beyond_doubles_is_named() {
    assert_eq!(too_large(r#"{"a":[1,{"b/c":-1e400}],"d":1e999}"#), Some("/a/1/b~1c".to_owned()));
    assert_eq!(too_large(r#"{"a":[1,"1e400",1e308]}"#), None);
    assert_eq!(with_large_as_texts(r#"{"a":[1e5,-1e400],"b":1e999}"#), r#"{"a":[1e5,"-1e400"],"b":"1e999"}"#);
}
