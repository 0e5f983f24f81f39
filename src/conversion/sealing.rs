//! What an upgrade of a document means for its secrets: which envelopes stay, which are sealed anew, and which values are
//! refused because neither an upgrade nor the key made them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::is_present;
use crate::document::Attributes;
use crate::encryption::{DecryptionCause, Descriptor, EncryptionHistory, EncryptionService, Opened, Secret, Secrets};
use crate::environment::Environment;
use crate::model::EncryptionSets;
use crate::{Error, ErrorKind, Result};

/// Attributes that do not open, and why.
pub(super) type Unreadable = Vec<(String, DecryptionCause)>;

/// A document before its upgrade, as far as it counts for secrets, and what the upgrade did with its encrypted values.
pub(super) struct Before<'a> {
    /// The attributes that a version encrypts or binds.
    attributes: Attributes,
    /// What may have been encrypted.
    sets: Vec<&'a EncryptionSets>,
    /// The attributes that have an encrypted value now, each with the one that had it before.
    moved: BTreeMap<String, String>,
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

/// Texts that stand for encrypted values while an upgrade runs. They are random, so an attribute that has one of them afterwards has
/// it from the upgrade: whatever was planted in the document, nothing can be made of it that counts as an encrypted value.
struct StandIns {
    /// The attributes, and their stored values, by the texts.
    values: BTreeMap<String, (String, Value)>,
}

impl StandIns {
    /// Puts them in the place of the values that `sets` encrypt.
    fn put(environment: &Environment, sets: &[&EncryptionSets], attributes: &mut Attributes) -> Result<Self> {
        let names: BTreeSet<&String> =
            sets.iter().flat_map(|sets| &sets.encrypted).map(|attribute| &attribute.name).collect();
        let mut values = BTreeMap::new();
        let mut random = None;
        for (number, name) in names.into_iter().enumerate() {
            let Some(value) = attributes.get_mut(name).filter(|value| !value.is_null()) else { continue };
            let random = match random {
                Some(random) => random,
                None => {
                    let mut bytes = [0; 8];
                    environment.rng().fill(&mut bytes)?;
                    *random.insert(u64::from_be_bytes(bytes))
                }
            };
            let text = format!("{random:016x}-{number}");
            let stored = std::mem::replace(value, Value::String(text.clone()));
            values.insert(text, (name.clone(), stored));
        }
        Ok(Self { values })
    }

    /// Takes them out again, wherever they are now. Returns the attributes that had one, each with the one that it stood for.
    fn take_out(&self, attributes: &mut Attributes) -> BTreeMap<String, String> {
        if self.values.is_empty() {
            return BTreeMap::new();
        }
        let of = |value: &Value| self.values.get(value.as_str()?).map(|(name, _)| name.clone());
        let moved = attributes.iter().filter_map(|(name, value)| Some((name.clone(), of(value)?))).collect();
        attributes.values_mut().for_each(|value| self.take_out_of(value));
        moved
    }

    fn take_out_of(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some((_, stored)) = self.values.get(text) {
                    *value = stored.clone();
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.take_out_of(value)),
            Value::Object(values) => values.values_mut().for_each(|value| self.take_out_of(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl<'a> Before<'a> {
    /// Runs `upgrade`, which brings `attributes` to the last version of `new`. `sets` say what may be encrypted in them.
    ///
    /// # Errors
    /// Those of `upgrade`, and [`Internal`](ErrorKind::Internal) if there is no randomness.
    pub(super) fn upgrading(
        environment: &Environment,
        attributes: &mut Attributes,
        (sets, new): (Vec<&'a EncryptionSets>, &EncryptionHistory),
        upgrade: impl FnOnce(&mut Attributes) -> Result<()>,
    ) -> Result<Self> {
        let named = attributes.iter().filter(|(name, _)| new.names(name));
        let named = named.map(|(name, value)| (name.clone(), value.clone())).collect();
        let stand_ins = StandIns::put(environment, &sets, attributes)?;
        upgrade(attributes)?;
        Ok(Self { attributes: named, sets, moved: stand_ins.take_out(attributes) })
    }

    pub(super) fn sets(&self) -> &[&'a EncryptionSets] {
        &self.sets
    }

    pub(super) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Returns where `value` comes from, which the attribute `name` has now.
    ///
    /// The upgrade made neither a value that the attribute had before, in clear, nor a copy of an encrypted value that it did not
    /// move. Such values were planted.
    fn origin(&self, name: &str, value: &Value) -> Origin<'_> {
        if let Some(of) = self.moved.get(name) {
            return Origin::Envelope(of);
        }
        let mut encrypted = self.sets.iter().flat_map(|sets| &sets.encrypted).map(|attribute| attribute.name.as_str());
        let is_of = |name: &str| self.attributes.get(name) == Some(value);
        if is_of(name) || encrypted.any(is_of) { Origin::Clear } else { Origin::Upgrade }
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
        let is_in_place = before.moved.get(name) == Some(name);
        match is_in_place && new.keeps(name, value, (old, &before.attributes), attributes) {
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
