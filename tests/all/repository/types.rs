//! The types of the repository's tests.

use saved_objects::registry::TypeDefinition;
use serde_json::{Value, json};

pub(super) fn all() -> Vec<TypeDefinition> {
    let mut types = vec![note(), login(1), vault(), badge()];
    types.extend(["page", "board", "card"].into_iter().zip(["single", "multiple", "multiple-isolated"]).map(titled));
    types
}

/// Returns the same types; those that the export tests use may be exported.
pub(super) fn all_exportable() -> Vec<TypeDefinition> {
    let mut types = vec![with_exports(note_parts()), with_exports(login_parts(2)), vault(), badge()];
    let titled = ["page", "board", "card"].into_iter().zip(["single", "multiple", "multiple-isolated"]);
    types.extend(titled.map(|kind| with_exports(titled_parts(kind))));
    types
}

fn with_exports((mut file, versions): Parts) -> TypeDefinition {
    file["exportable"] = json!(true);
    definition(file, &versions)
}

/// The file of a definition, and its versions.
type Parts = (Value, Vec<Value>);

fn definition(mut file: Value, versions: &[Value]) -> TypeDefinition {
    file["group"] = json!("things");
    let versions: Vec<_> = (1..).zip(versions).map(|(n, version)| (format!("{n}.json"), version.to_string())).collect();
    TypeDefinition::from_json("type.json", &file.to_string(), &versions).expect("the definition is fine")
}

/// Without encrypted attributes.
fn note() -> TypeDefinition {
    let (file, versions) = note_parts();
    definition(file, &versions)
}

fn note_parts() -> Parts {
    let keyword = json!({ "type": "keyword" });
    let properties = json!({
        "title": keyword, "count": { "type": "long" }, "text": { "type": "text", "fields": { "raw": keyword } },
        "tags": keyword, "owner": { "properties": { "name": keyword } }, "at": { "type": "date" },
    });
    let create = json!({ "type": "object", "additionalProperties": false, "required": ["title"], "properties": {
        "title": { "type": "string" }, "count": { "type": "integer", "minimum": 0 }, "text": { "type": "string" },
        "tags": {}, "owner": { "type": "object" }, "at": { "type": "string" }, "free": {}
    }});
    let file = json!({
        "type": "note", "namespace_kind": "agnostic", "mapping": { "dynamic": false, "properties": properties }
    });
    (file, vec![json!({ "create": create })])
}

/// With a secret `password` and an exposed `hint`, bound to `user`; from version 2 on also to `realm`, which version 2
/// fills in.
pub(super) fn login(versions: usize) -> TypeDefinition {
    let (file, versions) = login_parts(versions);
    definition(file, &versions)
}

/// Like [`login`] at version 1; version 2 exposes no attribute.
pub(super) fn login_that_hides(versions: usize) -> TypeDefinition {
    let (file, mut all) = login_parts(1);
    let mut second = all[0].clone();
    second["encrypted"] = json!([{ "name": "password" }, { "name": "hint" }]);
    all.push(second);
    definition(file, &all[..versions])
}

fn login_parts(versions: usize) -> Parts {
    let text = json!({ "type": "string" });
    let file = json!({
        "type": "login", "namespace_kind": "agnostic", "random_id": false,
        "mapping": { "dynamic": false, "properties": { "user": { "type": "keyword" } } }
    });
    let names = ["user", "password", "hint", "note", "realm"];
    let properties: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), text.clone())).collect();
    let create = |count: usize| {
        let properties: serde_json::Map<String, Value> =
            names[..count].iter().map(|name| ((*name).to_owned(), text.clone())).collect();
        json!({ "type": "object", "additionalProperties": false, "required": ["user"], "properties": properties })
    };
    let encrypted = json!([{ "name": "password" }, { "name": "hint", "exposed": true }]);
    let forward = json!({ "type": "object", "properties": properties });
    let waiver = json!({ "rule": "two_releases", "attributes": ["realm"], "reason": "a test has one release only" });
    let all = [
        json!({ "create": create(4), "forward": forward, "encrypted": encrypted, "bound": ["user"] }),
        json!({
            "create": create(5), "forward": forward, "encrypted": encrypted, "bound": ["user", "realm"],
            "changes": [{ "type": "data_backfill", "defaults": { "realm": "main" } }], "waivers": [waiver]
        }),
    ];
    (file, all[..versions].to_vec())
}

/// Hidden, with random ids only.
fn vault() -> TypeDefinition {
    let create = json!({ "type": "object", "properties": { "secret": { "type": "string" } } });
    definition(
        json!({
            "type": "vault", "namespace_kind": "agnostic", "hidden": true,
            "mapping": { "dynamic": false, "properties": {} }
        }),
        &[json!({ "create": create, "encrypted": [{ "name": "secret" }] })],
    )
}

/// Its id is derived from the attribute `number`.
fn badge() -> TypeDefinition {
    let create = json!({ "type": "object", "properties": { "number": { "type": "string" }, "color": {} } });
    definition(
        json!({
            "type": "badge", "namespace_kind": "agnostic", "identity": ["number"],
            "mapping": { "dynamic": false, "properties": { "number": { "type": "keyword" } } }
        }),
        &[json!({ "create": create })],
    )
}

/// Returns a type with a title and a secret, of a namespace kind.
fn titled(kind: (&str, &str)) -> TypeDefinition {
    let (file, versions) = titled_parts(kind);
    definition(file, &versions)
}

fn titled_parts((name, namespace_kind): (&str, &str)) -> Parts {
    let text = json!({ "type": "string" });
    let create = json!({ "type": "object", "properties": { "title": text, "secret": text } });
    let file = json!({
        "type": name, "namespace_kind": namespace_kind, "random_id": false,
        "mapping": { "dynamic": false, "properties": { "title": { "type": "keyword" } } }
    });
    (file, vec![json!({ "create": create, "encrypted": [{ "name": "secret" }] })])
}
