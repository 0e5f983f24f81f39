//! Tests of KQL: a filter that is written is parsed as the same filter.

use proptest::prelude::*;

use super::super::Kql;
use super::super::tree::{Literal, Node, Operator, Value};

fn literal(value: Value) -> Literal {
    Literal { place: 0, value }
}

/// A text without blanks at its ends, like one that is parsed without quotes.
fn plain() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        any::<String>(),
        Just("null".to_owned()),
        Just("cannot do".to_owned()),
        Just("a or b".to_owned()),
        Just(r#"\u0041\(){}:<>"* and "#.to_owned()),
        Just("😀".to_owned()),
    ];
    let is_blank = |character: char| matches!(character, ' ' | '\t' | '\r' | '\n' | '\u{a0}');
    text.prop_map(move |text| text.trim_matches(is_blank).to_owned())
        .prop_filter("an empty text has quotes", |text| !text.is_empty())
        .prop_filter("it would be a value of its own kind", |text| !matches!(text.as_str(), "null" | "true" | "false"))
}

fn value() -> impl Strategy<Value = Literal> {
    let value = prop_oneof![
        Just(Value::Null),
        Just(Value::True),
        Just(Value::False),
        plain().prop_map(Value::Text),
        any::<String>().prop_map(Value::Quoted),
        prop::collection::vec(plain(), 2..4).prop_map(Value::Pattern),
        Just(Value::Pattern(vec![String::new(), String::new()])),
    ];
    value.prop_map(literal)
}

fn node() -> impl Strategy<Value = Node> {
    let operator = prop::sample::select(Operator::ALL.map(|(_, operator)| operator).to_vec());
    let leaf = prop_oneof![
        (prop::option::of(value()), value()).prop_map(|(field, value)| Node::Is { field, value }),
        (value(), operator, value()).prop_map(|(field, operator, value)| Node::Range { field, operator, value }),
    ];
    leaf.prop_recursive(6, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(Node::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Node::Or),
            inner.clone().prop_map(|node| Node::Not(Box::new(node))),
            (value(), inner).prop_map(|(field, node)| Node::Nested { field, node: Box::new(node) }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(node in node()) {
        let kql = Kql { node: Some(node), text: String::new() };
        let text = kql.to_string();
        let read: Kql = text.parse().map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(read, kql, "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in r#"([ -~äß\u{a0}\n]|and |or |not |[(){}:<>"*\\])*"#) {
        match text.parse::<Kql>() {
            Ok(kql) => prop_assert_eq!(kql.to_string().parse::<Kql>(), Ok(kql)),
            Err(error) => {
                let position = error.problems()[0].position;
                prop_assert!((1..=text.chars().count() + 1).contains(&position), "{}", error);
            }
        }
    }
}
