//! What an upgrade of a document means for its secrets: which envelopes stay, which are sealed anew, and which values are
//! refused because neither an upgrade nor the key made them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::is_present;
use crate::document::Attributes;
use crate::encryption::{DecryptionCause, Descriptor, EncryptionHistory, EncryptionService, Opened, Secret, Secrets};
use crate::model::EncryptionSets;
use crate::{Error, ErrorKind, Result};

/// Attributes that do not open, and why.
pub(super) type Unreadable = Vec<(String, DecryptionCause)>;

/// A document before its upgrade, as far as it counts for secrets.
pub(super) struct Before<'a> {
    /// The attributes that a version encrypts or binds.
    attributes: Attributes,
    /// What may have been encrypted.
    sets: Vec<&'a EncryptionSets>,
    /// The encrypted attributes whose value is in the document more than once.
    copied: BTreeSet<String>,
}

/// Where a value comes from that an encrypted attribute has after the upgrade.
enum Origin<'a> {
    /// The upgrade made it, in clear.
    Upgrade,
    /// This attribute had it, which was encrypted.
    Envelope(&'a str),
    /// It was in the document, at a place that was not encrypted.
    Clear,
}

impl<'a> Before<'a> {
    /// Remembers what `attributes` are before the upgrade to the last version of `new`. `sets` say what may be encrypted in them.
    pub(super) fn new(attributes: &Attributes, sets: Vec<&'a EncryptionSets>, new: &EncryptionHistory) -> Self {
        let named = attributes.iter().filter(|(name, _)| new.names(name));
        let named: Attributes = named.map(|(name, value)| (name.clone(), value.clone())).collect();
        let is_copied = |name: &&String| {
            let text = named.get(*name).and_then(Value::as_str);
            text.is_some_and(|text| attributes.values().map(|value| occurrences(text, value)).sum::<usize>() > 1)
        };
        let encrypted = sets.iter().flat_map(|sets| &sets.encrypted).map(|attribute| &attribute.name);
        let copied = encrypted.filter(is_copied).cloned().collect();
        Self { attributes: named, sets, copied }
    }

    pub(super) fn sets(&self) -> &[&'a EncryptionSets] {
        &self.sets
    }

    pub(super) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Returns where `value` comes from, which the attribute `name` has now.
    ///
    /// What was there already was not made by the upgrade: a clear value that a version did not encrypt yet is one that somebody
    /// put there. An envelope was moved by the upgrade only if it was not there before, and only if one attribute had it:
    /// otherwise a copy that somebody made could have been moved in its place.
    fn origin(&self, name: &str, value: &Value) -> Origin<'_> {
        let mut encrypted = self.sets.iter().flat_map(|sets| &sets.encrypted).map(|attribute| attribute.name.as_str());
        if self.attributes.get(name) == Some(value) {
            return encrypted.find(|of| *of == name).map_or(Origin::Clear, Origin::Envelope);
        }
        match encrypted.find(|of| self.attributes.get(*of) == Some(value)) {
            None => Origin::Upgrade,
            Some(of) if self.copied.contains(of) => Origin::Clear,
            Some(of) => Origin::Envelope(of),
        }
    }
}

/// Seals anew what an upgrade requires in `attributes`, which were upgraded to the last version of `new`. `old` are the versions
/// up to the one that the document was at. Returns what does not open and must; it is left as it is.
///
/// # Errors
/// As [`seal_all`].
pub(super) fn seal_changed(
    encryption: &EncryptionService,
    descriptor: &Descriptor<'_>,
    before: &Before<'_>,
    (old, new): (&EncryptionHistory, &EncryptionHistory),
    attributes: &mut Attributes,
) -> Result<Unreadable> {
    let (mut staying, mut changing) = (Attributes::new(), BTreeSet::new());
    for name in old.sets().encrypted.iter().chain(&new.sets().encrypted).map(|attribute| &attribute.name) {
        let Some(value) = attributes.get(name).filter(|value| !value.is_null()) else { continue };
        let is_as_before = before.attributes.get(name) == Some(value);
        match is_as_before && new.keeps(name, value, (old, &before.attributes), attributes) {
            true => drop(staying.insert(name.clone(), value.clone())),
            false => drop(changing.insert(name.clone())),
        }
    }
    let mut unreadable = EncryptionService::sealed_later(old, &staying);
    if !changing.is_empty() {
        let opened = encryption.open_each(descriptor, old, &before.attributes)?;
        unreadable.extend(seal_all(encryption, descriptor, (before, opened), new, attributes, &changing)?);
    }
    Ok(unreadable)
}

/// Puts envelopes into `attributes`, as they will be stored, for those of them that `changing` names: of what opened, and of what
/// the upgrade wrote in clear. Returns what did not open and is still there.
///
/// # Errors
/// [`Incompatible`](ErrorKind::Incompatible) if one of them stops being encrypted while it has a value.
pub(super) fn seal_all(
    encryption: &EncryptionService,
    descriptor: &Descriptor<'_>,
    (before, opened): (&Before<'_>, Opened),
    new: &EncryptionHistory,
    attributes: &mut Attributes,
    changing: &BTreeSet<String>,
) -> Result<Unreadable> {
    let is_left = |name: &String| !new.sets().encrypts(name) && is_present(attributes, name);
    if let Some(name) = opened.secrets.keys().find(|name| is_left(name)) {
        return Err(Error::new(
            ErrorKind::Incompatible,
            format!("the attribute {name:?} of {descriptor} stops being encrypted while it has a value"),
        )
        .with_cure("remove the attribute with data_removal, or keep it encrypted"));
    }
    let mut unreadable: Unreadable = opened.failures.iter().filter(|(name, _)| is_left(name)).cloned().collect();
    let mut secrets = Secrets::new();
    for name in new.sets().encrypted.iter().map(|attribute| &attribute.name).filter(|name| changing.contains(*name)) {
        let Some(value) = attributes.get(name).filter(|value| !value.is_null()) else { continue };
        let secret = match before.origin(name, value) {
            Origin::Upgrade => Ok(Secret::json(value)?),
            Origin::Envelope(of) => found(&opened, of),
            Origin::Clear => Err(DecryptionCause::NotSealed),
        };
        match secret {
            Ok(secret) => drop(secrets.insert(name.clone(), secret)),
            Err(cause) => unreadable.push((name.clone(), cause)),
        }
    }
    encryption.seal(descriptor, new, attributes, &secrets)?;
    Ok(unreadable)
}

/// What opened of the attribute `name`.
fn found(opened: &Opened, name: &str) -> Result<Secret, DecryptionCause> {
    let failure = || opened.failures.iter().find(|(of, _)| of == name).map(|(_, cause)| *cause);
    opened.secrets.get(name).cloned().ok_or_else(|| failure().unwrap_or(DecryptionCause::NotSealed))
}

/// How often `text` is a value in `value`.
fn occurrences(text: &str, value: &Value) -> usize {
    match value {
        Value::String(found) => usize::from(found == text),
        Value::Array(values) => values.iter().map(|value| occurrences(text, value)).sum(),
        Value::Object(values) => values.values().map(|value| occurrences(text, value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}
