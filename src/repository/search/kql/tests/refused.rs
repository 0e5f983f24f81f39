//! Tests of KQL: texts that are refused, and their errors.

use super::query;

/// A text, the position in characters from 1, and the message.
const TABLE: &[(&str, usize, &str)] = &[
    // Syntax.
    ("note.attributes.title:", 23, r#"expected "(", "{", value, but the text ends"#),
    ("note.attributes.title: ", 24, r#"expected "(", "{", value, but the text ends"#),
    ("note.attributes.count >", 24, "expected value, but the text ends"),
    ("note.attributes.count >= ", 26, "expected value, but the text ends"),
    ("note.attributes.count > (1)", 25, "expected value, but there is '('"),
    ("note.attributes.title: a or ", 29, r#"expected "(", NOT, field name, value, but the text ends"#),
    ("note.attributes.title: a and ", 30, r#"expected "(", NOT, field name, value, but the text ends"#),
    ("note.attributes.title: a:b", 25, "expected AND, OR, end of the text, but there is ':'"),
    ("note.attributes.title: a)", 25, "expected AND, OR, end of the text, but there is ')'"),
    ("(note.attributes.title: a", 26, "but the text ends"),
    ("((note.attributes.title: a)", 28, r#"expected ")", AND, OR, but the text ends"#),
    ("note.attributes.title: (a", 26, r#"expected ")", AND, OR, but the text ends"#),
    ("note.attributes.title: (a or", 29, r#"expected ")", AND, OR, but the text ends"#),
    ("note.attributes.title: (a or )", 30, r#"expected "(", NOT, value, but there is ')'"#),
    ("note.attributes.title: ()", 25, r#"expected "(", NOT, value, but there is ')'"#),
    ("()", 2, r#"expected "(", NOT, field name, value, but there is ')'"#),
    (")", 1, r#"expected "(", NOT, end of the text, field name, value, but there is ')'"#),
    (": a", 1, r#"expected "(", NOT, end of the text, field name, value, but there is ':'"#),
    ("{", 1, "but there is '{'"),
    ("}", 1, "but there is '}'"),
    ("<", 1, "but there is '<'"),
    ("note.attributes.title: \"a", 26, "expected a closing \", but the text ends"),
    ("note.attributes.title: \"", 25, "expected a closing \", but the text ends"),
    ("note.attributes.title: a\"", 25, "expected AND, OR, end of the text, but there is '\"'"),
    ("note.attributes.title: \"a\" b", 28, "expected AND, OR, end of the text, but there is 'b'"),
    ("not not note.attributes.title: a", 5, "but there is 'n'"),
    ("not", 1, "expected a key before the value"),
    ("not ", 5, r#"expected "(", field name, value, but the text ends"#),
    ("note.attributes.title: cannot do", 27, "expected AND, OR, end of the text, but there is 'n'"),
    ("note.attributes.title: \\x", 24, "but there is '\\\\'"),
    ("note.attributes.title: \\", 24, "but there is '\\\\'"),
    ("note.attributes.title: \\u00g0", 24, "but there is '\\\\'"),
    ("note.attributes.title: \\ud800", 24, "but there is '\\\\'"),
    ("note.attributes.title: \\udc00", 24, "but there is '\\\\'"),
    ("note.attributes.steps: { name: a", 33, r#"expected "}", AND, OR, but the text ends"#),
    ("note.attributes.steps: { }", 26, r#"expected "(", NOT, field name, value, but there is '}'"#),
    ("note.attributes.steps: {{ name: a }}", 25, r#"expected "(", NOT, field name, value, but there is '{'"#),
    ("note.attributes.title: < 5", 24, r#"expected "(", "{", value, but there is '<'"#),
    ("note.attributes.count = 5 > 3", 1, "is not searchable"),
    ("note.attributes.count >> 5", 24, "expected value, but there is '>'"),
    ("note.attributes.count =< 5", 1, "is not searchable"),
    ("note.attributes.steps: {a}", 25, "expected a key before the value"),
    ("äöü: (", 7, "but the text ends"),
    // Keys.
    ("free text", 1, "expected a key before the value, such as note.attributes.NAME"),
    ("*", 1, "expected a key before the value"),
    ("\"quoted\"", 1, "expected a key before the value"),
    ("title: a", 1, r#"the key "title" does not begin with a type"#),
    ("*: a", 1, "a key cannot have wildcards"),
    ("*: *", 1, "a key cannot have wildcards"),
    ("note.attributes.ti*: a", 1, "a key cannot have wildcards"),
    ("null: a", 1, r#"the key "null" does not begin with a type"#),
    ("true: a", 1, r#"the key "true" does not begin with a type"#),
    ("board.attributes.title: a", 1, r#"the type "board" is not among those asked for: expected note, page"#),
    (
        "note.title: a",
        1,
        r#"there is no field "title": expected attributes.title for an attribute, or one of id, created_at"#,
    ),
    ("note.references: a", 1, r#"there is no field "references""#),
    ("note.namespace: a", 1, r#"there is no field "namespace""#),
    ("note.: a", 1, r#"there is no field """#),
    ("note.attributes: a", 1, r#"there is no field "attributes""#),
    ("note.attributes.: a", 1, "is not searchable"),
    ("note.attributes.nothing: a", 1, "is not searchable"),
    ("note.attributes.free: a", 1, "is not searchable"),
    ("note.attributes.owner: a", 1, "is mapped as object, which is not compared with values"),
    ("note.attributes.owner.age: a", 1, "is not searchable"),
    ("note.attributes.body: a", 1, "is encrypted"),
    ("note.attributes.body: *", 1, "is encrypted"),
    (
        "note.attributes.text > a",
        1,
        "is mapped as text, which is not compared with values as a whole; look for its words",
    ),
    ("note.attributes.text.other: a", 1, "is not searchable"),
    ("note.attributes.steps.name: a", 1, "in KQL `note.attributes.steps: { … }`"),
    ("note.attributes.title: { name: a }", 1, "is not a list of nested objects"),
    ("note.attributes.steps: a", 1, "in KQL `note.attributes.steps: { … }`"),
    ("note.attributes.steps: { nothing: a }", 26, "is not searchable"),
    ("note.attributes.steps: { tries.result: a }", 26, "lies in the list of nested objects"),
    ("note.attributes.steps: { note.attributes.title: a }", 26, "is not searchable"),
    ("note.updated_at: { name: a }", 1, "expected an attribute that holds nested objects"),
    ("note.id: { name: a }", 1, "expected an attribute that holds nested objects"),
    ("page.attributes.count: 1", 1, "is not searchable"),
    // Values.
    ("note.attributes.title: null", 24, "null is not a value"),
    ("note.attributes.count > null", 25, "expected a number, a date or a text"),
    ("note.attributes.count > true", 25, "expected a number, a date or a text"),
    ("note.attributes.title > a*", 25, "expected a number, a date or a text"),
    ("note.attributes.count: 1*", 1, "is mapped as long, which is not compared with patterns"),
    ("note.attributes.labels.a: x*", 1, "is mapped as flattened, which is not compared with patterns"),
    ("note.updated_at: 2026*", 1, "cannot be compared with a pattern"),
    ("note.managed: t*", 1, "cannot be compared with a pattern"),
    ("note.id: n*", 10, "expected a whole id"),
    ("note.id: null", 10, "expected a whole id"),
    ("note.id > a", 1, "an id cannot be compared so"),
];

#[test]
fn what_is_refused_points_at_the_place() {
    let mut wrong = Vec::new();
    for (text, position, message) in TABLE {
        let error = match query(text) {
            Err(error) => error,
            Ok(query) => {
                wrong.push(format!("{text} became {query:?}"));
                continue;
            }
        };
        let problem = error.problems()[0].clone();
        if problem.position != *position || !problem.message.contains(message) {
            wrong.push(format!("{text}: {problem}"));
        }
        let error = crate::Error::from(error);
        assert!(error.kind() == crate::ErrorKind::Invalid && error.hint().is_some());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(TABLE.len() >= 75);
}

#[test]
fn all_wrong_keys_are_named_at_once() {
    let error =
        query("title: a and (note.attributes.x: b or note.attributes.title: null)").expect_err("three problems");
    let positions: Vec<_> = error.problems().iter().map(|problem| problem.position).collect();
    assert_eq!(positions, [1, 15, 62]);
}

#[test]
fn depth_is_limited_and_length_is_not() {
    let nested = |depth: usize| format!("{}note.attributes.title: a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(query(&nested(50)).is_ok());
    let error = query(&nested(51)).expect_err("too deep");
    assert_eq!(error.problems()[0].position, 51);
    assert!(error.problems()[0].message.contains("more than 50 deep"), "{error}");
    for text in ["(".repeat(1_000_000), "note.attributes.title:(".repeat(100_000), "not (".repeat(100_000)] {
        assert!(query(&text).is_err());
    }
    let long = vec!["note.attributes.title: a"; 20_000].join(" or ");
    assert!(query(&long).is_ok());
    assert!(query(&format!("note.attributes.title: a{}b", " ".repeat(1_000_000))).is_ok());
}
