//! Tests of the rules for definitions.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::registry::DefinitionProblems;
use crate::registry::testing::{create, note, read, version};

/// Returns the problems of a definition, one per line.
fn problems(file: &Value, versions: &[Value]) -> String {
    let error = read(file, versions).expect_err("the definition is wrong");
    assert_eq!(error.kind(), crate::ErrorKind::Invalid);
    error.find_source::<DefinitionProblems>().expect("the list is the source").to_string()
}

#[track_caller]
fn assert_refused(file: &Value, versions: &[Value], expected: &str) {
    let problems = problems(file, versions);
    assert!(problems.lines().any(|problem| problem.starts_with(expected)), "{problems}\nlacks\n{expected}");
    for problem in problems.lines() {
        assert!(problem.contains("; "), "no hint: {problem}");
    }
}

#[test]
fn a_definition_that_follows_the_rules_is_read() {
    let definition = read(&note(json!({})), &[version(json!({})), version(json!({}))]).expect("valid");
    assert_eq!(definition.latest().number, 2);
    assert_eq!(definition.version(0).map(|version| version.number), None);
    assert_eq!(definition.version(1).map(|version| version.number), Some(1));
    assert_eq!(definition.version(3).map(|version| version.number), None);
    assert!(definition.random_id() && !definition.hidden() && !definition.exportable() && !definition.removed());
    assert!(definition.encrypts());
}

#[test]
fn type_files() {
    let long = "x".repeat(101);
    let table = [
        (json!({ "type": "Note" }), "note.json: type: \"Note\" is not the name of a type; use lower-case"),
        (json!({ "type": "_note" }), "note.json: type: \"_note\" is not the name of a type"),
        (json!({ "type": "" }), "note.json: type: \"\" is not the name of a type"),
        (json!({ "type": long }), "note.json: type: \"xxx"),
        (json!({ "type": "references" }), "note.json: type: the type `references` has the name of a field"),
        (json!({ "group": "control" }), "note.json: group: the group `control` has a name that the engine uses"),
        (json!({ "group": "my-notes" }), "note.json: group: \"my-notes\" is not the name of a group"),
        (json!({ "group": "" }), "note.json: group: \"\" is not the name of a group"),
        (json!({ "namespace_kind": "shared" }), "note.json: namespace_kind: unknown variant `shared`, expected"),
        (json!({ "hiden": true }), "note.json: hiden: unknown field `hiden`, expected one of `type`, `group`"),
        (json!({ "hidden": "yes" }), "note.json: hidden: invalid type: string \"yes\", expected a boolean"),
        (json!({ "identity": [] }), "note.json: identity: no attribute is named; name the attributes"),
        (json!({ "identity": ["title", "title"] }), "note.json: identity[1]: the attribute `title` is named twice"),
        (json!({ "identity": ["body"] }), "note.json: identity[0]: the attribute `body` is encrypted"),
        (
            json!({ "identity": ["other"] }),
            "note.json: identity[0]: the create schema of model version 1 does not declare the attribute `other`",
        ),
    ];
    for (keys, expected) in table {
        assert_refused(&note(keys), &[version(json!({}))], expected);
    }
}

#[test]
fn mappings() {
    let table = [
        (json!([]), "note.json: mapping: the mapping is not an object; write `{\"dynamic\": false"),
        (json!({ "properties": {} }), "note.json: mapping: `dynamic` is missing"),
        (json!({ "dynamic": true, "properties": {} }), "note.json: mapping.dynamic: `dynamic` is neither false nor"),
        (json!({ "dynamic": false }), "note.json: mapping.properties: `properties` is not an object"),
        (
            json!({ "dynamic": false, "properties": {}, "enabled": false }),
            "note.json: mapping.enabled: `enabled` is no part of a type's mapping; keep only",
        ),
    ];
    for (mapping, expected) in table {
        assert_refused(&note(json!({ "mapping": mapping })), &[version(json!({}))], expected);
    }
    let table = [
        (json!({ "title": 1 }), "note.json: mapping.properties.title: the field is not an object"),
        (json!({ "title": {} }), "note.json: mapping.properties.title: the field has no type; add `type`"),
        (
            json!({ "title": { "type": "wildcard" } }),
            "note.json: mapping.properties.title.type: not every server has the field type `wildcard`; use one of",
        ),
        (
            json!({ "title": { "properties": { "a": { "type": "long", "index": false } } } }),
            "note.json: mapping.properties.title.properties.a.index: `index: false` can never be undone in place",
        ),
        (
            json!({ "title": { "type": "object", "enabled": "false" } }),
            "note.json: mapping.properties.title.enabled: `enabled: false` can never be undone",
        ),
        (
            json!({ "title.raw": { "type": "keyword" } }),
            "note.json: mapping.properties.title.raw: \"title.raw\" is not the name of a field; write nested",
        ),
        (
            json!({ "title": { "type": "text", "fields": [] } }),
            "note.json: mapping.properties.title.fields: `fields` is not an object",
        ),
        (
            json!({ "body": { "type": "keyword" } }),
            "note.json: mapping.properties.body: `body` is encrypted and cannot be searched; leave it out",
        ),
        (
            json!({ "gone": { "type": "keyword" } }),
            "note.json: mapping.properties.gone: `gone` is mapped, but model version 1 does not know it; declare it",
        ),
    ];
    for (properties, expected) in table {
        let mapping = json!({ "dynamic": false, "properties": properties });
        assert_refused(&note(json!({ "mapping": mapping })), &[version(json!({}))], expected);
    }
}

#[test]
fn model_versions() {
    let many: Vec<String> = (0..61).map(|number| format!("a{number}")).collect();
    let table = [
        (json!({ "creat": {} }), "1.json: creat: unknown field `creat`, expected one of `changes`, `create`"),
        (json!({ "create": {} }), "1.json: create: the create schema does not declare attributes; begin with"),
        (
            json!({ "create": { "type": "object", "properties": { "title": { "type": "strin" } } } }),
            "1.json: create: the create schema cannot be used: ",
        ),
        (
            json!({ "forward": { "type": "object", "properties": { "a": { "items": { "oneOf": [] } } } } }),
            "1.json: forward.properties.a.items: `oneOf` cannot be used in a forward schema; name what is kept",
        ),
        (json!({ "forward": { "type": "object" } }), "1.json: forward: the schema names no `properties` to keep"),
        (json!({ "changes": [{ "type": "rename" }] }), "1.json: changes[0].type: unknown variant `rename`, expected"),
        (
            json!({ "changes": [{ "type": "data_removal", "paths": ["a"], "path": "b" }] }),
            "1.json: changes[0]: unknown field `path`, expected `paths`",
        ),
        (
            json!({ "changes": [{ "type": "data_removal", "paths": ["a..b"] }] }),
            "1.json: changes[0]: the path \"a..b\" has an empty name",
        ),
        (
            json!({ "changes": [{ "type": "data_removal", "paths": ["body.inner"] }] }),
            "1.json: changes[0].paths[0]: `body.inner` is inside the encrypted attribute `body`; remove the whole",
        ),
        (
            json!({ "changes": [{ "type": "data_backfill", "defaults": { "body": "x" } }] }),
            "1.json: changes[0].defaults.body: the encrypted attribute `body` cannot have a default",
        ),
        (
            json!({ "changes": [{ "type": "data_backfill", "defaults": { "titel": "x" } }] }),
            "1.json: changes[0].defaults.titel: the create schema does not know the attribute `titel`",
        ),
        (
            json!({ "changes": [{ "type": "mappings_addition", "properties": { "at": { "type": "date" } } }] }),
            "1.json: changes[0].properties.at.type: the type's mapping does not say the same; let `mapping.prop",
        ),
        (
            json!({ "changes": [{ "type": "mappings_deprecation", "attributes": ["at"] }] }),
            "1.json: changes[0].attributes: the attribute `at` is not mapped; keep the mapping",
        ),
        (json!({ "changes": [{ "type": "transform", "name": " " }] }), "1.json: changes[0].name: the transform has"),
        (json!({ "encrypted": [{ "name": "a.b" }] }), "1.json: encrypted: \"a.b\" is not the name of an attribute"),
        (json!({ "encrypted": [{ "name": "no" }] }), "1.json: encrypted[0].name: the create schema does not declare"),
        (
            json!({ "encrypted": [{ "name": "body", "expose": true }] }),
            "1.json: encrypted[0].expose: unknown field `expose`, expected `name` or `exposed`",
        ),
        (json!({ "bound": ["title", "title"] }), "1.json: bound: the attribute `title` is named twice"),
        (json!({ "bound": ["body"] }), "1.json: bound: the attribute `body` is named twice; name each attribute once"),
        (json!({ "bound": ["titel"] }), "1.json: bound[0]: no create schema declares the bound attribute `titel`"),
        (json!({ "bound": many }), "1.json: bound: 61 attributes are bound; bind at most 60"),
        (json!({ "encrypted": [] }), "1.json: bound: attributes are bound, but to nothing that is encrypted"),
        (
            json!({ "create": { "type": "object", "properties": { "title": {}, "body": { "type": "object" } } } }),
            "1.json: create.properties.body: the encrypted attribute `body` is not declared as a string; write",
        ),
        (
            json!({ "waivers": [{ "rule": "additive", "attributes": [], "reason": "r" }] }),
            "1.json: waivers[0].rule: unknown variant `additive`, expected `two_releases`",
        ),
        (
            json!({ "waivers": [{ "rule": "two_releases", "attributes": ["title"], "reason": "" }] }),
            "1.json: waivers[0].reason: no reason is given; say why",
        ),
    ];
    for (keys, expected) in table {
        assert_refused(&note(json!({})), &[version(keys)], expected);
    }
}

#[test]
fn one_version_after_another() {
    let first = || version(json!({}));
    assert_refused(&note(json!({})), &[], "note.json: the type has no model version; add `model_versions/<type>/1");
    let table = [
        (
            json!({ "encrypted": [{ "name": "title" }, { "name": "body" }], "bound": [] }),
            "2.json: encrypted[0].name: the attribute `title` was stored in the open by the version before; encrypt",
        ),
        (
            json!({ "encrypted": [], "bound": [] }),
            "2.json: encrypted: the attribute `body` was encrypted by the version before and now is not; keep it",
        ),
        (
            json!({ "encrypted": [], "bound": [], "create": create(&["title"]) }),
            "2.json: encrypted: the attribute `body` is no longer encrypted, but stays in documents; add the change",
        ),
    ];
    for (keys, expected) in table {
        assert_refused(&note(json!({})), &[first(), version(keys)], expected);
    }
    // Only in the newest version may a bound attribute still be undeclared.
    let announces = || version(json!({ "bound": ["title", "owner"] }));
    read(&note(json!({})), &[first(), announces()]).expect("the next version may write it");
    let expected = "2.json: bound[1]: no create schema declares the bound attribute `owner`";
    assert_refused(&note(json!({})), &[first(), announces(), announces()], expected);
    // An encrypted attribute is retired in two steps or removed in one.
    let unwritten = version(json!({ "create": create(&["title"]) }));
    read(&note(json!({})), &[first(), unwritten]).expect("older documents still have it");
    let removed = version(json!({
        "changes": [{ "type": "data_removal", "paths": ["body"] }],
        "create": create(&["title"]), "encrypted": [], "bound": []
    }));
    read(&note(json!({})), &[first(), removed]).expect("nothing encrypted is left");
}

#[test]
fn versions_are_consecutive_and_named_by_their_number() {
    let read = |names: &[&str]| {
        let text = version(json!({})).to_string();
        let files: Vec<_> = names.iter().map(|name| ((*name).to_owned(), text.clone())).collect();
        crate::registry::TypeDefinition::from_json("note.json", &note(json!({})).to_string(), &files)
    };
    assert_eq!(
        read(&["v/10.json", "v/2.json", "v/1.json"]).expect_err("a gap").message(),
        "note.json: model version 3 is missing; add `3.json`: versions begin with 1 and have no gaps"
    );
    for name in ["0.json", "01.json", "+1.json", "one.json", "1.yaml", "4294967296.json"] {
        let error = read(&["1.json", name]).expect_err(name);
        assert!(error.message().starts_with(&format!("{name}: the file's name is not the number")), "{error}");
    }
    let twice = read(&["a/1.json", "b/1.json"]).expect_err("one number twice");
    assert!(twice.message().contains("model version 2 is missing"), "{twice}");
}

#[test]
fn a_later_change_of_a_mapping_supersedes_an_addition() {
    let add = json!({ "changes": [{ "type": "mappings_addition", "properties": { "title": { "type": "text" } } }] });
    let change = json!({ "changes": [{ "type": "mappings_change", "attributes": ["title"] }] });
    let versions = [version(json!({})), version(add), version(change)];
    let definition = read(&note(json!({})), &versions).expect("valid");
    assert_eq!(definition.mapping_version(), 3);
    assert!(definition.requires_copy_from(2) && !definition.requires_copy_from(3));
}

#[test]
fn an_error_counts_the_problems_that_it_does_not_show() {
    let error = read(&note(json!({ "group": "fill", "type": "type" })), &[version(json!({}))]).expect_err("wrong");
    assert!(error.message().contains("(and 1 more; `saved-objects check` lists them)"), "{error}");
}

/// JSON values with names that definitions use.
fn json_value() -> impl Strategy<Value = Value> {
    let name = || {
        prop::sample::select(vec![
            "type",
            "group",
            "mapping",
            "dynamic",
            "properties",
            "fields",
            "title",
            "body",
            "changes",
            "create",
            "forward",
            "items",
            "encrypted",
            "bound",
            "name",
            "waivers",
            "paths",
            "attributes",
            "defaults",
            "index",
            "a.b",
            "",
        ])
    };
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        name().prop_map(Value::from),
        prop::sample::select(vec!["object", "keyword", "data_removal", "mappings_addition", "\u{0}"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
        ]
    })
}

/// Puts `value` into `file` at the location that `at` selects.
fn replace_somewhere(file: &mut Value, at: &[prop::sample::Index], value: Value) {
    let Some((index, rest)) = at.split_first() else {
        *file = value;
        return;
    };
    let chosen = match file {
        Value::Object(object) if !object.is_empty() => {
            let index = index.index(object.len());
            object.values_mut().nth(index)
        }
        Value::Array(elements) if !elements.is_empty() => {
            let index = index.index(elements.len());
            elements.get_mut(index)
        }
        _ => None,
    };
    match chosen {
        Some(chosen) => replace_somewhere(chosen, rest, value),
        None => *file = value,
    }
}

proptest! {
    #[test]
    fn whatever_definition_files_say_is_read_or_refused(
        at in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
        value in json_value(),
        which in 0..3_usize,
    ) {
        let second = version(json!({
            "changes": [
                { "type": "mappings_addition", "properties": { "title": { "type": "keyword" } } },
                { "type": "data_backfill", "defaults": { "title": "t" } },
                { "type": "data_removal", "paths": ["title.a"] }
            ],
            "waivers": [{ "rule": "two_releases", "attributes": ["title"], "reason": "r" }]
        }));
        let mut files = [note(json!({ "identity": ["title"] })), version(json!({})), second];
        replace_somewhere(&mut files[which], &at, value);
        if let Ok(definition) = read(&files[0], &files[1..]) {
            crate::registry::check(&[definition], &crate::registry::Lock::default());
        }
    }

    #[test]
    fn whatever_text_is_in_a_definition_file_is_refused(text in "\\PC{0,40}") {
        let good = (note(json!({})).to_string(), vec![("1.json".to_owned(), version(json!({})).to_string())]);
        let read = crate::registry::TypeDefinition::from_json;
        prop_assert!(read("note.json", &text, &good.1).is_err());
        prop_assert!(read("note.json", &good.0, &[("1.json".to_owned(), text)]).is_err());
    }
}
