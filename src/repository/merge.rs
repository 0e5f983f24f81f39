//! Changes of this software merged into a document of a newer one (design decision 15): what this software does not know
//! stays as it is, and so does the document's version.

use std::collections::BTreeMap;

use super::{ObjectKey, SecretChange, content, difference};
use crate::document::Attributes;
use crate::encryption::EncryptionHistory;
use crate::model::{EncryptionSets, Violation};
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result};

/// The attributes of a newer document that are not encrypted, after the change that made `shown` (what this software sees of
/// them) into `changed`. `sets` are those of the document's version.
pub(super) fn merged(
    definition: &TypeDefinition,
    sets: &EncryptionSets,
    stored: &Attributes,
    shown: &Attributes,
    changed: &Attributes,
) -> Attributes {
    let is_encrypted = |name: &str| sets.encrypts(name) || definition.latest().sets.encrypts(name);
    let clear = |attributes: &Attributes| -> Attributes {
        let clear = attributes.iter().filter(|(name, _)| !is_encrypted(name));
        clear.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    // What this software encrypts and the newer version does not is hidden from this one, and stays.
    let mut target: Attributes = stored
        .iter()
        .filter(|(name, _)| !sets.encrypts(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    difference::apply(&clear(shown), &clear(changed), &mut target);
    target
}

/// Refuses to store a secret in an attribute that the document's version does not encrypt.
pub(super) fn check_secret_changes(
    definition: &TypeDefinition,
    sets: &EncryptionSets,
    changes: &BTreeMap<String, SecretChange>,
) -> Result<()> {
    let is_change = |change: &SecretChange| !matches!(change, SecretChange::Keep);
    match changes.iter().find(|(name, change)| is_change(change) && !sets.encrypts(name)) {
        None => Ok(()),
        Some((name, _)) => Err(Error::new(
            ErrorKind::Incompatible,
            format!(
                "the attribute {name:?} of the type {} is no longer encrypted at the document's model version",
                definition.name()
            ),
        )
        .with_cure("change it with software that knows the newer version")),
    }
}

/// Refuses to change a document with secrets if none could be sealed under its version. Otherwise an attribute that its secrets are
/// bound to could change without them.
pub(super) fn check_protection(
    definition: &TypeDefinition,
    history: &EncryptionHistory,
    stored: &Attributes,
) -> Result<()> {
    let mut encrypted = history.sets().encrypted.iter().chain(&definition.latest().sets.encrypted);
    match encrypted.any(|of| stored.get(&of.name).is_some_and(|value| !value.is_null())) {
        true => history.check_protection(definition.name()),
        false => Ok(()),
    }
}

/// Refuses a change that breaks the create schema, as far as this software's schema can judge a newer document: what does
/// not satisfy it before the change either is the newer version's business.
pub(super) fn check_schema(
    definition: &TypeDefinition,
    key: &ObjectKey,
    before: &Attributes,
    after: &Attributes,
) -> Result<()> {
    let latest = definition.latest();
    let Some(forward) = &latest.forward else { return Ok(()) };
    let violations = |attributes| latest.create.validate(&forward.project(attributes)).err().unwrap_or_default();
    let earlier = violations(before);
    let new: Vec<Violation> = violations(after).into_iter().filter(|violation| !earlier.contains(violation)).collect();
    if new.is_empty() { Ok(()) } else { Err(content::violates_schema(definition, key, &new)) }
}
