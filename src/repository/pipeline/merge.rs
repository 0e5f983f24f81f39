//! Merges changes of this software into a document of a newer model version (record 25). What this software does not
//! know stays as it is, and so does the document's version.

use std::collections::BTreeMap;

use super::content;
use super::difference;
use super::target::Target;
use crate::document::Attributes;
use crate::encryption::EncryptionHistory;
use crate::model::{EncryptionSets, Violation};
use crate::registry::TypeDefinition;
use crate::repository::SecretChange;
use crate::{Error, ErrorKind, Result};

/// Returns the attributes of a newer document that are not encrypted, after a change. The change made `changed` of
/// `shown`, which is what this software sees of them. `sets` are those of the document's version.
pub(in crate::repository) fn merged(
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
    // `shown` lacks an attribute that this software encrypts and the newer version does not. The attribute stays as it
    // is stored.
    let mut target: Attributes = stored
        .iter()
        .filter(|(name, _)| !sets.encrypts(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    difference::apply(&clear(shown), &clear(changed), &mut target);
    target
}

/// Refuses to store a secret in an attribute that the document's version does not encrypt.
pub(in crate::repository) fn check_secret_changes(
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
        .with_hint("change it with software that knows the newer version")),
    }
}

/// Refuses to change a document with secrets if no secret could be sealed under its version. Otherwise an attribute
/// that its secrets are bound to could change without them.
pub(in crate::repository) fn check_protection(
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

/// Refuses a change that violates the create schema, as far as this software's schema applies to a newer document. What
/// violates it before the change already is left to the newer version.
pub(in crate::repository) fn check_schema(target: &Target, before: &Attributes, after: &Attributes) -> Result<()> {
    let latest = target.definition.latest();
    let Some(forward) = &latest.forward else { return Ok(()) };
    let violations = |attributes| latest.create.validate(&forward.project(attributes)).err().unwrap_or_default();
    let earlier = violations(before);
    let new: Vec<Violation> = violations(after).into_iter().filter(|violation| !earlier.contains(violation)).collect();
    if new.is_empty() { Ok(()) } else { Err(content::violates_schema(target, &new)) }
}
