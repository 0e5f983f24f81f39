//! Tests of KQL: texts that are filters, and their queries.

use serde_json::{Value, json};

use super::json_of;

fn terms(field: &str, value: &str) -> Value {
    json!({ "terms": { field: [value] } })
}

fn title(value: &str) -> Value {
    terms("note.title", value)
}

fn words(value: &str) -> Value {
    json!({ "match": { "note.text": { "query": value } } })
}

fn phrase(value: &str) -> Value {
    json!({ "match_phrase": { "note.text": { "query": value } } })
}

fn pattern(field: &str, query: &str) -> Value {
    json!({ "query_string": { "fields": [field], "query": query, "analyze_wildcard": true } })
}

fn exists(field: &str) -> Value {
    json!({ "exists": { "field": field } })
}

fn range(field: &str, bounds: Value) -> Value {
    json!({ "range": { field: bounds } })
}

fn and<const N: usize>(queries: [Value; N]) -> Value {
    json!({ "bool": { "filter": queries.as_slice() } })
}

/// Returns a query for any of them. Values of one field are one condition.
fn or<const N: usize>(queries: [Value; N]) -> Value {
    let mut any: Vec<Value> = Vec::new();
    for query in queries {
        let field = |query: &Value| query["terms"].as_object().and_then(|terms| terms.keys().next().cloned());
        match (any.last_mut(), field(&query)) {
            (Some(last), Some(name)) if field(last).as_ref() == Some(&name) => {
                let values = last["terms"][&name].as_array_mut().expect("values");
                values.extend(query["terms"][&name].as_array().cloned().unwrap_or_default());
            }
            _ => any.push(query),
        }
    }
    if any.len() == 1 { any.remove(0) } else { json!({ "bool": { "should": any, "minimum_should_match": 1 } }) }
}

fn not(query: Value) -> Value {
    json!({ "bool": { "must_not": [query] } })
}

fn nested(path: &str, query: Value) -> Value {
    json!({ "nested": { "path": path, "query": query, "score_mode": "none" } })
}

fn check(table: &[(&str, Value)]) {
    for (text, expected) in table {
        assert_eq!(json_of(text), *expected, "{text}");
    }
}

#[test]
fn values() {
    check(&[
        ("", and([])),
        ("  \t\r\n\u{a0}", and([])),
        ("note.attributes.title: a", title("a")),
        ("note.attributes.title:a", title("a")),
        ("note.attributes.title :a", title("a")),
        (" \t note.attributes.title \n : \u{a0} a \r\n", title("a")),
        ("note.attributes.title: a b", title("a b")),
        ("note.attributes.title: a   b  ", title("a   b")),
        ("note.attributes.title: \"a\"", title("a")),
        ("note.attributes.title: \" a \"", title(" a ")),
        ("note.attributes.title: \"\"", title("")),
        ("\"note.attributes.title\": a", title("a")),
        ("note.attributes.title: 5", title("5")),
        ("note.attributes.count: 5", terms("note.count", "5")),
        ("note.attributes.count: -5.5", terms("note.count", "-5.5")),
        ("note.attributes.done: true", terms("note.done", "true")),
        ("note.attributes.done: false", terms("note.done", "false")),
        ("note.attributes.title: true", title("true")),
        ("note.attributes.title: \"null\"", title("null")),
        ("note.attributes.title: nullable", title("nullable")),
        ("note.attributes.title: TRUE", title("TRUE")),
        ("note.attributes.at: \"2026-01-01T00:00:00Z\"", terms("note.at", "2026-01-01T00:00:00Z")),
        ("note.attributes.at: 2026-01-01", terms("note.at", "2026-01-01")),
        ("note.attributes.text: one two", words("one two")),
        ("note.attributes.text: true", words("true")),
        ("note.attributes.text: \"one two\"", phrase("one two")),
        ("note.attributes.text.raw: one two", terms("note.text.raw", "one two")),
        ("note.attributes.text.raw: \"one two\"", terms("note.text.raw", "one two")),
        ("note.attributes.labels.any.key: x", terms("note.labels.any.key", "x")),
        ("note.attributes.labels: x", terms("note.labels", "x")),
        ("note.attributes.owner.name: kim", terms("note.owner.name", "kim")),
        ("note.attributes.id: x", terms("note.id", "x")),
        ("note.attributes.title: ä ß 😀", title("ä ß 😀")),
    ]);
}

#[test]
fn escapes() {
    check(&[
        (r"note.attributes.title: a\:b", title("a:b")),
        (r"note.attributes.title: \(a\)", title("(a)")),
        (r"note.attributes.title: \{a\}", title("{a}")),
        (r"note.attributes.title: \<\>", title("<>")),
        (r"note.attributes.title: a\*", title("a*")),
        (r"note.attributes.title: a\\b", title(r"a\b")),
        (r#"note.attributes.title: \"a\""#, title("\"a\"")),
        (r"note.attributes.title: a\tb", title("a\tb")),
        (r"note.attributes.title: a\r\nb", title("a\r\nb")),
        (r"note.attributes.title: \u0041\u00e4", title("Aä")),
        (r"note.attributes.title: \ud83d\ude00", title("😀")),
        (r"note.attributes.title: \and", title("and")),
        (r"note.attributes.title: a \or b", title("a or b")),
        (r"note.attributes.title: a \AND b", title("a AND b")),
        (r"note.attributes.title: \not a", title("not a")),
        (r"note.attributes.title: a\nothing", title("a\nothing")),
        (r"note.attributes.title: can\not do", title("cannot do")),
        (r#"note.attributes.title: "a \"b\" c""#, title("a \"b\" c")),
        (r#"note.attributes.title: "a\\b""#, title(r"a\b")),
        (r#"note.attributes.title: "a\tb\r\n""#, title("a\tb\r\n")),
        (r#"note.attributes.title: "\u0041""#, title("A")),
        (r#"note.attributes.title: "\ud83d\ude00""#, title("😀")),
        (r#"note.attributes.title: "a\xb""#, title(r"a\xb")),
        (r#"note.attributes.title: "a*b""#, title("a*b")),
        (r#"note.attributes.title: "a or b and not (c:d)""#, title("a or b and not (c:d)")),
    ]);
}

#[test]
fn words_that_are_keywords_elsewhere() {
    check(&[
        ("note.attributes.title: and", title("and")),
        ("note.attributes.title: or", title("or")),
        ("note.attributes.title: not", title("not")),
        ("note.attributes.title: a or", title("a or")),
        ("note.attributes.title: android", title("android")),
        ("note.attributes.title: a orb", title("a orb")),
        ("note.attributes.title: a andb", title("a andb")),
        ("note.attributes.title: a nota", title("a nota")),
        ("note.attributes.title: nor", title("nor")),
    ]);
}

#[test]
fn patterns() {
    check(&[
        ("note.attributes.title: *", exists("note.title")),
        ("note.attributes.title: **", exists("note.title")),
        ("note.attributes.owner.name: *", exists("note.owner.name")),
        ("note.attributes.owner: *", exists("note.owner")),
        ("note.attributes.text: *", exists("note.text")),
        ("note.updated_by: *", exists("updated_by")),
        ("note.attributes.title: a*", pattern("note.title", "a*")),
        ("note.attributes.title: *a", pattern("note.title", "*a")),
        ("note.attributes.title: a*b*c", pattern("note.title", "a*b*c")),
        ("note.attributes.title: a b*", pattern("note.title", r"a\ b*")),
        (r"note.attributes.title: a\**", pattern("note.title", r"a\**")),
        ("note.attributes.title: a.b-c/*", pattern("note.title", r"a\.b\-c\/*")),
        ("note.attributes.title: OR*", pattern("note.title", r"\O\R*")),
        ("note.attributes.text: o*", pattern("note.text", "o*")),
        ("note.attributes.text.raw: o*", pattern("note.text.raw", "o*")),
        ("note.created_by: u*", pattern("created_by", "u*")),
    ]);
}

#[test]
fn ranges() {
    check(&[
        ("note.attributes.count > 5", range("note.count", json!({"gt": "5"}))),
        ("note.attributes.count >= 5", range("note.count", json!({"gte": "5"}))),
        ("note.attributes.count < 5", range("note.count", json!({"lt": "5"}))),
        ("note.attributes.count <= 5", range("note.count", json!({"lte": "5"}))),
        ("note.attributes.count<=5", range("note.count", json!({"lte": "5"}))),
        ("note.attributes.count > -5", range("note.count", json!({"gt": "-5"}))),
        ("note.attributes.title > \"a b\"", range("note.title", json!({"gt": "a b"}))),
        ("note.attributes.at > now-1d", range("note.at", json!({"gt": "now-1d"}))),
        ("note.updated_at >= \"2026-01-01T00:00:00Z\"", range("updated_at", json!({"gte": "2026-01-01T00:00:00Z"}))),
        (
            "note.attributes.count > 1 and note.attributes.count < 5",
            and([range("note.count", json!({"gt": "1"})), range("note.count", json!({"lt": "5"}))]),
        ),
    ]);
}

#[test]
fn keys() {
    let nothing = json!({ "match_none": {} });
    check(&[
        ("note.managed: true", terms("managed", "true")),
        ("note.namespaces: ops", terms("namespaces", "ops")),
        ("note.originId: x", terms("originId", "x")),
        ("note.type: note", terms("type", "note")),
        ("note.created_at: 2026-01-01", terms("created_at", "2026-01-01")),
        ("note.id: \"note:n1\"", json!({"ids": {"values": ["note:n1"]}})),
        (r"note.id: note\:n1", json!({"ids": {"values": ["note:n1"]}})),
        ("note.id: *", and([])),
        // The same key in another type: no note matches.
        ("page.attributes.title: a", nothing.clone()),
        ("page.updated_at > 2026", nothing.clone()),
        ("page.id: \"page:p\"", nothing.clone()),
        ("not page.attributes.title: a", not(nothing.clone())),
        ("page.attributes.title: a or note.attributes.title: b", or([nothing, title("b")])),
    ]);
}

#[test]
fn connections() {
    let [a, b, c, d] = ["a", "b", "c", "d"].map(title);
    let long = |text: &str| text.replace("T:", "note.attributes.title:");
    let table = [
        ("T: a or T: b", or([a.clone(), b.clone()])),
        ("T: a OR T: b", or([a.clone(), b.clone()])),
        ("T: a Or T: b", or([a.clone(), b.clone()])),
        ("T: a and T: b", and([a.clone(), b.clone()])),
        ("T: a AND T: b", and([a.clone(), b.clone()])),
        ("T: a or T: b or T: c", or([a.clone(), b.clone(), c.clone()])),
        ("T: a and T: b and T: c", and([a.clone(), b.clone(), c.clone()])),
        ("T: a or T: b and T: c", or([a.clone(), and([b.clone(), c.clone()])])),
        ("T: a and T: b or T: c", or([and([a.clone(), b.clone()]), c.clone()])),
        ("(T: a or T: b) and T: c", and([or([a.clone(), b.clone()]), c.clone()])),
        ("( T: a or T: b )", or([a.clone(), b.clone()])),
        ("((T: a))", a.clone()),
        ("(T: a) or (T: b)", or([a.clone(), b.clone()])),
        ("(T: a or T: b) or T: c", or([or([a.clone(), b.clone()]), c.clone()])),
        ("not T: a", not(a.clone())),
        ("NOT T: a", not(a.clone())),
        ("not (T: a or T: b)", not(or([a.clone(), b.clone()]))),
        ("not (not T: a)", not(not(a.clone()))),
        ("T: a and not T: b", and([a.clone(), not(b.clone())])),
        ("not T: a and not T: b", and([not(a.clone()), not(b.clone())])),
        ("T: \"a\" or T: \"b\"", or([a.clone(), b.clone()])),
        ("T: a\nor\nT: b", or([a.clone(), b.clone()])),
        ("T: (a)", a.clone()),
        ("T: (a or b)", or([a.clone(), b.clone()])),
        ("T: (a or b or c)", or([a.clone(), b.clone(), c.clone()])),
        ("T: (a and b)", and([a.clone(), b.clone()])),
        ("T: (not a)", not(a.clone())),
        ("T: (a and not b)", and([a.clone(), not(b.clone())])),
        ("T: (a or (b and c))", or([a.clone(), and([b.clone(), c.clone()])])),
        ("T: (\"a\" or b) and not T: (c or d)", and([or([a.clone(), b]), not(or([c, d]))])),
        ("T: (a b)", title("a b")),
        ("T: (a* or *)", or([pattern("note.title", "a*"), exists("note.title")])),
    ];
    for (text, expected) in table {
        let text = long(text);
        assert_eq!(json_of(&text), expected, "{text}");
    }
}

#[test]
fn nested_objects() {
    let name = |value| terms("note.steps.name", value);
    check(&[
        ("note.attributes.steps: { name: a }", nested("note.steps", name("a"))),
        ("note.attributes.steps:{name:a}", nested("note.steps", name("a"))),
        (
            "note.attributes.steps: { name: a and took > 5 }",
            nested("note.steps", and([name("a"), range("note.steps.took", json!({"gt": "5"}))])),
        ),
        ("note.attributes.steps: { name: (a or b) }", nested("note.steps", or([name("a"), name("b")]))),
        ("note.attributes.steps: { not name: a }", nested("note.steps", not(name("a")))),
        ("not note.attributes.steps: { name: a }", not(nested("note.steps", name("a")))),
        ("note.attributes.steps: { name: * }", nested("note.steps", exists("note.steps.name"))),
        (
            "note.attributes.steps: { tries: { result: ok } }",
            nested("note.steps", nested("note.steps.tries", terms("note.steps.tries.result", "ok"))),
        ),
    ]);
}
