//! The type that the benchmarks use: like `connector_token`, about 1 KB a document, with two random secrets, which
//! cannot be compressed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::seed::Seed;
use saved_objects::encryption::{Secret, Secrets};
use saved_objects::environment::Environment;
use saved_objects::registry::TypeDefinition;
use saved_objects::{Error, ErrorKind, Result};

pub(super) const TYPE: &str = "bench_token";
pub(super) const GROUP: &str = "bench";

/// The number of random bytes in one secret; its envelope then has 356 characters.
const SECRET_BYTES: usize = 165;
/// The number of seeded documents for each connector.
const TOKENS_A_CONNECTOR: usize = 10;

const TEXTS: [&str; 7] =
    ["connectorId", "tokenType", "token", "refreshToken", "expiresAt", "createdAt", "refreshTokenExpiresAt"];

/// Returns the type with two model versions. The second backfills an attribute. With `encrypts_again` it binds one more
/// attribute, so that both secrets of every document are encrypted again; with `copies` it changes the mapping, so that
/// the index is copied.
pub(super) fn definition(encrypts_again: bool, copies: bool) -> Result<TypeDefinition> {
    let file = json!({
        "type": TYPE, "group": GROUP, "namespace_kind": "agnostic", "random_id": false, "exportable": true,
        "mapping": { "dynamic": false, "properties": {
            "connectorId": { "type": "keyword" }, "tokenType": { "type": "keyword" }, "scope": { "type": "keyword" } } },
    });
    let bound = ["connectorId", "tokenType", "expiresAt", "createdAt"];
    let first = version(json!([]), &TEXTS, &bound);
    let mut changes = vec![
        json!({ "type": "mappings_addition", "properties": { "scope": { "type": "keyword" } } }),
        json!({ "type": "data_backfill", "defaults": { "scope": "shared" } }),
    ];
    if copies {
        changes.push(json!({ "type": "mappings_change", "attributes": ["tokenType"] }));
    }
    let changes = Value::from(changes);
    let bound = if encrypts_again { [&bound[..], &["refreshTokenExpiresAt"]].concat() } else { bound.to_vec() };
    let second = version(changes, &[&TEXTS[..], &["scope"]].concat(), &bound);
    let versions = [("1.json".to_owned(), first.to_string()), ("2.json".to_owned(), second.to_string())];
    TypeDefinition::from_json("bench_token.json", &file.to_string(), &versions)
}

/// Returns the type with only its first model version. Its secrets are ordinary texts unless `is_encrypted`.
pub(super) fn first_definition(is_encrypted: bool) -> Result<TypeDefinition> {
    let definition = definition(false, false)?;
    let missing = || Error::new(ErrorKind::Internal, "the measured type has no version 1");
    if is_encrypted {
        return definition.as_of(1).ok_or_else(missing);
    }
    let file = json!({
        "type": TYPE, "group": GROUP, "namespace_kind": "agnostic", "random_id": false, "mapping": definition.as_of(1).ok_or_else(missing)?.mapping(),
    });
    let mut first = version(json!([]), &TEXTS, &[]);
    first["encrypted"] = json!([]);
    TypeDefinition::from_json("bench_token.json", &file.to_string(), &[("1.json".to_owned(), first.to_string())])
}

fn version(changes: Value, attributes: &[&str], bound: &[&str]) -> Value {
    let properties: Map<String, Value> =
        attributes.iter().map(|name| ((*name).to_owned(), json!({ "type": "string" }))).collect();
    json!({
        "changes": changes,
        "create": { "type": "object", "additionalProperties": false, "properties": properties, "required": attributes },
        "encrypted": [{ "name": "token" }, { "name": "refreshToken" }],
        "bound": bound,
    })
}

/// Returns document `number` at version 1.
pub(super) fn seed(number: usize, environment: &Environment) -> Result<Seed> {
    let now = environment.now_iso();
    let attributes = [
        ("connectorId", format!("connector-{}", number / TOKENS_A_CONNECTOR)),
        ("tokenType", format!("token-{}", number % TOKENS_A_CONNECTOR)),
        ("expiresAt", "2030-01-01T00:00:00.000Z".to_owned()),
        ("refreshTokenExpiresAt", "2030-02-01T00:00:00.000Z".to_owned()),
        ("createdAt", now),
    ];
    Ok(Seed {
        id: environment.random_uuid()?.to_string(),
        attributes: attributes.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect(),
        secrets: Secrets::from([
            ("token".to_owned(), random_secret(environment)?),
            ("refreshToken".to_owned(), random_secret(environment)?),
        ]),
    })
}

/// Like [`seed`], but with at least `bytes` bytes.
pub(super) fn large_seed(number: usize, bytes: usize, environment: &Environment) -> Result<Seed> {
    let mut seed = seed(number, environment)?;
    if bytes > 0 {
        let mut random = vec![0; bytes / 4 * 3];
        environment.rng().fill(&mut random)?;
        seed.attributes.insert("refreshTokenExpiresAt".to_owned(), URL_SAFE_NO_PAD.encode(random).into());
    }
    Ok(seed)
}

fn random_secret(environment: &Environment) -> Result<Secret> {
    let mut bytes = [0; SECRET_BYTES];
    environment.rng().fill(&mut bytes)?;
    Ok(Secret::text(&URL_SAFE_NO_PAD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_variant_that_encrypts_again_binds_more() {
        for encrypts_again in [false, true] {
            let definition = definition(encrypts_again, false).expect("valid");
            let [first, second] = definition.versions() else { panic!("two versions") };
            assert_eq!(first.sets != second.sets, encrypts_again);
        }
    }

    #[test]
    fn only_the_variant_that_copies_forces_a_copy() {
        for copies in [false, true] {
            let definition = definition(false, copies).expect("valid");
            assert_eq!(definition.requires_copy_from(1), copies);
        }
    }

    #[test]
    fn the_first_version_has_its_texts_in_clear_or_encrypted() {
        for is_encrypted in [false, true] {
            assert_eq!(first_definition(is_encrypted).expect("valid").encrypts(), is_encrypted);
        }
    }
}
