//! The content of new documents: rules for ids, attributes and secrets, and the sealing of secrets.

use serde_json::Value;
use uuid::{Uuid, Variant};

use super::target::Target;
use crate::document::{Attributes, RootFields, StoredDocument};
use crate::encryption::{Secret, Secrets};
use crate::engine::conversion;
use crate::model::{EncryptionSets, Violation, VirtualVersion};
use crate::registry::TypeDefinition;
use crate::repository::{ObjectKey, Repository};
use crate::{Error, Result};

impl Repository {
    /// Returns a whole document at the newest model version: checked, and with its secrets sealed. It has only what
    /// `attributes` and `secrets` have.
    pub(in crate::repository) fn seal_whole(
        &self,
        target: &Target,
        root: RootFields,
        mut attributes: Attributes,
        mut secrets: Secrets,
    ) -> Result<StoredDocument> {
        let definition = &target.definition;
        take_exposed(definition, &mut attributes, &mut secrets)?;
        check_attributes(definition, &definition.latest().sets, &attributes)?;
        check_secret_names(definition, secrets.keys().map(String::as_str))?;
        let descriptor = conversion::descriptor(definition, root.namespace.as_deref(), &target.key.id);
        self.shared.engine.encryption.seal(&descriptor, definition.encryption(), &mut attributes, &secrets)?;
        finish(target, root, attributes)
    }
}

/// Returns the document of these parts, if its attributes satisfy the create schema.
pub(in crate::repository) fn finish(
    target: &Target,
    mut root: RootFields,
    mut attributes: Attributes,
) -> Result<StoredDocument> {
    let definition = &target.definition;
    if let Err(violations) = definition.latest().create.validate_in_place(&mut attributes) {
        return Err(violates_schema(target, &violations));
    }
    keep_digits(&target.key, &mut root, &attributes)?;
    root.type_migration_version = Some(VirtualVersion::of(definition.latest().number).to_string());
    Ok(StoredDocument { type_name: definition.name().to_owned(), attributes, root })
}

/// Keeps the digits of those numbers in the changed `attributes` that were stored.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if it is ambiguous which digits are whose; the message names the attribute.
pub(in crate::repository) fn keep_digits(
    key: &ObjectKey,
    root: &mut RootFields,
    attributes: &Attributes,
) -> Result<()> {
    root.numbers = root.numbers.of_changed(attributes).map_err(|ambiguous| {
        Error::invalid(
            format!("saved object {key}: {ambiguous}"),
            "leave these numbers where they are, or store them as texts",
        )
    })?;
    Ok(())
}

/// Refuses the id of a new object if the type demands random ids and it does not look like one. Ids of objects with
/// secrets must neither be guessable nor be used twice on purpose; those of other types are free.
pub(in crate::repository) fn check_new_id(target: &Target) -> Result<()> {
    let definition = &target.definition;
    if !definition.encrypts() || !definition.random_id() || is_uuid(&target.key.id) {
        return Ok(());
    }
    Err(Error::invalid(
        format!("the type {} takes only UUIDs as ids of new objects", definition.name()),
        "leave the id out, or give a UUID",
    ))
}

/// Returns whether `id` is a hyphenated UUID of version 1 to 8, or the nil one.
fn is_uuid(id: &str) -> bool {
    const HYPHENATED: usize = 36;
    let Ok(uuid) = Uuid::try_parse(id) else { return false };
    let is_versioned = (1..=8).contains(&uuid.get_version_num()) && uuid.get_variant() == Variant::RFC4122;
    id.len() == HYPHENATED && (uuid.is_nil() || is_versioned)
}

/// Moves exposed attributes to the secrets: they are read like other attributes, so callers write them like those.
fn take_exposed(definition: &TypeDefinition, attributes: &mut Attributes, secrets: &mut Secrets) -> Result<()> {
    for exposed in definition.exposed() {
        let Some(value) = attributes.remove(&exposed.name).filter(|value| !value.is_null()) else { continue };
        if secrets.insert(exposed.name.clone(), Secret::json(&value)?).is_some() {
            return Err(Error::invalid(
                format!("the attribute {:?} is given twice: as an attribute and as a secret", exposed.name),
                "give it once",
            ));
        }
    }
    Ok(())
}

/// Refuses attributes that must not be stored in the clear.
pub(in crate::repository) fn check_attributes(
    definition: &TypeDefinition,
    sets: &EncryptionSets,
    attributes: &Attributes,
) -> Result<()> {
    match attributes.keys().find(|name| sets.encrypts(name)) {
        None => Ok(()),
        Some(name) => Err(Error::invalid(
            format!("the attribute {name:?} of the type {} is encrypted, and is given in the clear", definition.name()),
            "pass it as a secret",
        )),
    }
}

/// Refuses secrets of attributes that are not encrypted.
pub(in crate::repository) fn check_secret_names<'a>(
    definition: &TypeDefinition,
    mut names: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let sets = &definition.latest().sets;
    match names.find(|name| !sets.encrypts(name)) {
        None => Ok(()),
        Some(name) => Err(Error::invalid(
            format!("the attribute {name:?} of the type {} is not an encrypted one", definition.name()),
            format!(
                "check its name: those are {}; what is not encrypted belongs among the attributes",
                sets.encrypted.iter().map(|encrypted| encrypted.name.as_str()).collect::<Vec<_>>().join(", ")
            ),
        )),
    }
}

/// The values of an object's identity attributes, in the order of [`TypeDefinition::identity`]. Each object that is
/// read has them, so the names are not repeated.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::repository) struct Identity(Box<[Option<Value>]>);

/// Returns the values of the identity attributes.
pub(in crate::repository) fn identity_of(definition: &TypeDefinition, attributes: &Attributes) -> Identity {
    let names = definition.identity().unwrap_or_default();
    Identity(names.iter().map(|name| attributes.get(name).cloned()).collect())
}

/// Refuses another value for an attribute from which the id is derived.
pub(in crate::repository) fn check_identity(
    definition: &TypeDefinition,
    before: &Identity,
    after: &Attributes,
) -> Result<()> {
    let names = definition.identity().unwrap_or_default();
    let pairs = names.iter().zip(&before.0);
    let changed: Vec<_> =
        pairs.filter(|(name, before)| before.as_ref() != after.get(*name)).map(|(name, _)| name.as_str()).collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(
        format!("the type {} is named by attributes that cannot be changed: {}", definition.name(), changed.join(", ")),
        "create another object with the new values, and delete this one",
    ))
}

/// Returns the error for attributes that violate the create schema.
pub(in crate::repository) fn violates_schema(target: &Target, violations: &[Violation]) -> Error {
    let Target { definition, key, .. } = target;
    let list: Vec<_> = violations.iter().map(Violation::to_string).collect();
    Error::invalid(
        format!(
            "saved object {key} does not satisfy the create schema of model version {}: {}",
            definition.latest().number,
            list.join("; ")
        ),
        "correct these attributes; encrypted ones are checked in their stored form, a text",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::registry::testing::{note, read, version};

    fn object(value: Value) -> Attributes {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn random_ids_are_uuids() {
        let table = [
            ("a9106551-bfa7-872d-84d0-610d668914aa", true),
            ("A9106551-BFA7-872D-84D0-610D668914AA", true),
            ("00000000-0000-0000-0000-000000000000", true),
            ("a9106551-bfa7-072d-84d0-610d668914aa", false),
            ("a9106551-bfa7-972d-84d0-610d668914aa", false),
            ("a9106551-bfa7-472d-c4d0-610d668914aa", false),
            ("a9106551bfa7472d84d0610d668914aa", false),
            ("{a9106551-bfa7-472d-84d0-610d668914aa}", false),
            ("urn:uuid:a9106551-bfa7-472d-84d0-610d668914aa", false),
            ("my-id", false),
        ];
        for (id, expected) in table {
            assert_eq!(is_uuid(id), expected, "{id}");
        }
    }

    #[test]
    fn exposed_attributes_become_secrets_and_hidden_ones_are_refused() {
        let encrypted = json!([{ "name": "body" }, { "name": "hint", "exposed": true }]);
        let create = crate::registry::testing::create(&["title", "body", "hint"]);
        let definition = read(&note(json!({})), &[version(json!({ "encrypted": encrypted, "create": create }))]);
        let definition = definition.expect("fine");

        let mut attributes = object(json!({"title": "t", "hint": "h"}));
        let mut secrets = Secrets::new();
        take_exposed(&definition, &mut attributes, &mut secrets).expect("fine");
        assert_eq!(attributes, object(json!({"title": "t"})));
        assert_eq!(secrets.get("hint"), Some(&Secret::text("h")));

        let mut twice = object(json!({"hint": "h"}));
        assert!(take_exposed(&definition, &mut twice, &mut secrets).is_err());
        for hidden in [json!({"body": "b"}), json!({"body": null})] {
            let error =
                check_attributes(&definition, &definition.latest().sets, &object(hidden)).expect_err("in the clear");
            assert_eq!(error.hint(), Some("pass it as a secret"));
        }
        assert!(check_secret_names(&definition, ["body", "hint"].into_iter()).is_ok());
        assert!(check_secret_names(&definition, ["title"].into_iter()).is_err());
    }

    #[test]
    fn identity_cannot_change() {
        let mapping = json!({ "dynamic": false, "properties": { "title": { "type": "keyword" } } });
        let definition = read(&note(json!({ "identity": ["title"], "mapping": mapping })), &[version(json!({}))]);
        let definition = definition.expect("fine");
        let before = identity_of(&definition, &object(json!({"title": "t"})));
        assert!(check_identity(&definition, &before, &object(json!({"title": "t", "x": 1}))).is_ok());
        for after in [json!({}), json!({"title": null}), json!({"title": "u"})] {
            let error = check_identity(&definition, &before, &object(after)).expect_err("changed");
            assert!(error.message().ends_with("cannot be changed: title"), "{error}");
        }
    }
}
