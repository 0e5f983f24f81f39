//! The effect of an upgrade on a document's secrets: which envelopes stay, which values are encrypted again, and which
//! are refused because they come neither from the upgrade nor from an envelope.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::document::Attributes;
use crate::document::numbers::{Numbers, pointer_to};
use crate::encryption::{DecryptionCause, Descriptor, EncryptionHistory, EncryptionService, Opened, Secret, Secrets};
use crate::environment::Environment;
use crate::model::EncryptionSets;
use crate::{Error, ErrorKind, Result};

/// Attributes that cannot be decrypted, with the cause.
pub(super) type Unreadable = Vec<(String, DecryptionCause)>;

/// The state of a document before its upgrade, as far as secrets depend on it, and where the upgrade moved encrypted
/// values.
pub(super) struct Before<'a> {
    /// The attributes that a version encrypts or binds.
    attributes: Attributes,
    /// The sets of attributes that may be encrypted in the document.
    sets: Vec<&'a EncryptionSets>,
    /// The attributes that have an encrypted value after the upgrade, each with the attribute that had the value
    /// before.
    moved: BTreeMap<String, String>,
    /// The texts of the numbers after the upgrade that the values do not hold.
    numbers: Numbers,
}

/// The origin of the value that an encrypted attribute has after the upgrade.
enum Origin<'a> {
    /// The upgrade created the value, in clear text.
    Upgrade,
    /// The value was the encrypted value of this attribute.
    Envelope(&'a str),
    /// The value was in the document in clear text, where nothing was encrypted.
    Clear,
}

/// Random texts that replace encrypted values while an upgrade runs. An attribute that has such a text afterwards got
/// it from the upgrade. Nothing planted in the document can therefore become a value that counts as encrypted.
struct StandIns {
    /// The attributes and their stored values, by text.
    values: BTreeMap<String, (String, Value)>,
}

impl StandIns {
    /// Replaces the values that `sets` encrypt by random texts.
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

    /// Restores the stored values wherever the texts are now. Returns the attributes that had one, each with the
    /// attribute whose value it replaced.
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
    /// Runs `upgrade`, which upgrades `attributes` to the last version of `new`. `sets` are the encryption sets that
    /// may apply to them before.
    ///
    /// # Errors
    /// Those of `upgrade`, and [`Internal`](ErrorKind::Internal) if there is no randomness.
    pub(super) fn upgrading(
        environment: &Environment,
        attributes: &mut Attributes,
        (sets, new): (Vec<&'a EncryptionSets>, &EncryptionHistory),
        upgrade: impl FnOnce(&mut Attributes) -> Result<Numbers>,
    ) -> Result<Self> {
        let named = attributes.iter().filter(|(name, _)| new.names(name));
        let named = named.map(|(name, value)| (name.clone(), value.clone())).collect();
        let stand_ins = StandIns::put(environment, &sets, attributes)?;
        let numbers = upgrade(attributes)?;
        Ok(Self { attributes: named, sets, moved: stand_ins.take_out(attributes), numbers })
    }

    pub(super) fn into_numbers(self) -> Numbers {
        self.numbers
    }

    pub(super) fn sets(&self) -> &[&'a EncryptionSets] {
        &self.sets
    }

    pub(super) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Returns the origin of `value`, which the attribute `name` has now.
    ///
    /// A value that the attribute had before in clear text does not come from the upgrade, and neither does a copy of
    /// an encrypted value that the upgrade did not move. Such values were planted.
    fn origin(&self, name: &str, value: &Value) -> Origin<'_> {
        if let Some(of) = self.moved.get(name) {
            return Origin::Envelope(of);
        }
        let mut encrypted = self.sets.iter().flat_map(|sets| &sets.encrypted).map(|attribute| attribute.name.as_str());
        let is_of = |name: &str| self.attributes.get(name) == Some(value);
        if is_of(name) || encrypted.any(is_of) { Origin::Clear } else { Origin::Upgrade }
    }
}

/// Encrypts again the secrets in `attributes` whose protection the upgrade to the last version of `new` changed. `old`
/// has the versions up to the document's version before. Returns the secrets that must be encrypted again and cannot be
/// decrypted. They stay unchanged.
///
/// # Errors
/// Those of [`seal_all`].
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

/// Adds envelopes to `attributes`, which are otherwise in the form that is stored, for the attributes in `changing`.
/// The values are those that were decrypted, and those that the upgrade wrote in clear text. Returns the attributes
/// that could not be decrypted and are still present.
///
/// # Errors
/// [`Incompatible`](ErrorKind::Incompatible) if a decrypted attribute stops being encrypted while it has a value.
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
        .with_hint("remove the attribute with data_removal, or keep it encrypted"));
    }
    let mut unreadable: Unreadable = opened.failures.iter().filter(|(name, _)| is_left(name)).cloned().collect();
    let mut secrets = Secrets::new();
    for name in new.sets().encrypted.iter().map(|attribute| &attribute.name).filter(|name| changing.contains(*name)) {
        let Some(value) = attributes.get(name).filter(|value| !value.is_null()) else { continue };
        let secret = match before.origin(name, value) {
            Origin::Upgrade => Ok(Secret::numbered(value, &before.numbers, &pointer_to(name))?),
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

/// Returns the decrypted value of the attribute `name`, or the cause why there is none.
fn found(opened: &Opened, name: &str) -> Result<Secret, DecryptionCause> {
    let failure = || opened.failures.iter().find(|(of, _)| of == name).map(|(_, cause)| *cause);
    opened.secrets.get(name).cloned().ok_or_else(|| failure().unwrap_or(DecryptionCause::NotSealed))
}

fn is_present(attributes: &Attributes, name: &str) -> bool {
    attributes.get(name).is_some_and(|value| !value.is_null())
}
