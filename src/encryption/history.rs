//! What each model version of a type encrypts and binds, up to the version of one document: it says under which of these
//! versions an envelope in that document may have been sealed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::canonical_json;
use super::envelope::Envelope;
use crate::document::Attributes;
use crate::model::EncryptionSets;
use crate::{Error, ErrorKind, Result};

/// SHA-256 of the sets of a model version, in an order of their own.
pub(super) type SetsDigest = [u8; 32];

/// The sets of the model versions of a type, from the first to the version of a document. Cloning shares them.
///
/// An envelope names the model version that it was sealed under. It opens at a document's version if that is not lower, and if
/// all versions in between encrypt and expose its attribute alike and bind the same of the document.
#[derive(Debug, Clone)]
pub struct EncryptionHistory {
    earlier: Vec<Arc<VersionSets>>,
    last: Arc<VersionSets>,
    /// The newest version that this software knows. What those after it encrypt and bind, an index says.
    known: u32,
}

#[derive(Debug, PartialEq, Eq)]
struct VersionSets {
    number: u32,
    /// As the definition declares them.
    sets: EncryptionSets,
    digest: SetsDigest,
}

impl VersionSets {
    fn new(number: u32, sets: EncryptionSets) -> Arc<Self> {
        let digest = digest(&sets);
        Arc::new(Self { number, sets, digest })
    }
}

impl VersionSets {
    /// Returns whether both encrypt and expose `attribute` alike, and bind the same of a document with these attributes.
    fn is_alike(&self, other: &Self, attribute: &str, attributes: &Attributes) -> bool {
        let exposed =
            |sets: &EncryptionSets| sets.encrypted.iter().find(|of| of.name == attribute).map(|of| of.exposed);
        let (one, two) = (&self.sets, &other.sets);
        let mut bound = one.bound.iter().chain(&two.bound);
        self.digest == other.digest
            || exposed(one).is_some()
                && exposed(one) == exposed(two)
                && bound.all(|name| one.binds(name) == two.binds(name) || !attributes.contains_key(name))
    }
}

impl EncryptionHistory {
    /// Creates the history of a type whose first model version has the sets `first`, and the later ones `later`.
    pub fn new(first: EncryptionSets, later: impl IntoIterator<Item = EncryptionSets>) -> Self {
        let mut history = Self { earlier: Vec::new(), last: VersionSets::new(1, first), known: 1 };
        for sets in later {
            history.push(sets);
        }
        history.known = history.version();
        history
    }

    /// Returns the history up to `version`, or `None` if that is not known here. Version 0, of documents from before model
    /// versions, counts as the first one.
    pub fn up_to(&self, version: u32) -> Option<Cow<'_, Self>> {
        let version = version.max(1);
        if version == self.version() {
            return Some(Cow::Borrowed(self));
        }
        let index = usize::try_from(version).ok()?.checked_sub(1)?;
        let (last, earlier) = self.earlier.get(..=index)?.split_last()?;
        Some(Cow::Owned(Self { earlier: earlier.to_vec(), last: Arc::clone(last), known: self.known.min(version) }))
    }

    /// Returns the history up to `version`, which is beyond this one: of the versions in between an index has recorded the sets.
    /// `None` if it did not record one of them.
    pub(crate) fn continued_to(&self, version: u32, recorded: &BTreeMap<u32, EncryptionSets>) -> Option<Self> {
        let mut history = self.clone();
        while history.version() < version {
            history.push(recorded.get(&history.version().checked_add(1)?)?.clone());
        }
        (history.version() == version).then_some(history)
    }

    /// Returns the number of the last version.
    pub fn version(&self) -> u32 {
        self.last.number
    }

    /// Returns what the last version encrypts and binds.
    pub fn sets(&self) -> &EncryptionSets {
        &self.last.sets
    }

    /// Returns whether `version` is one of these, and all versions after it encrypt, expose and bind what it does: an envelope that
    /// was sealed under it is good at the last one.
    pub(crate) fn is_same_since(&self, version: u32) -> bool {
        if version == self.last.number {
            return true;
        }
        let index = version.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let since = index.and_then(|index| self.earlier.get(index..)).unwrap_or_default();
        !since.is_empty() && since.iter().all(|earlier| earlier.digest == self.last.digest)
    }

    /// Checks that secrets of the type may be sealed under the last version: if an index says what that is, which may be made up,
    /// it must bind everything that the newest version does which this software knows. What a document has does not count: an
    /// attribute that is not bound could be added later.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if it does not.
    pub(crate) fn check_protection(&self, type_name: &str) -> Result<()> {
        let known = self.known.checked_sub(1).and_then(|index| self.earlier.get(usize::try_from(index).ok()?));
        let unbound = known.and_then(|known| known.sets.bound.iter().find(|name| !self.last.sets.binds(name)));
        let Some(name) = unbound else { return Ok(()) };
        Err(Error::new(
            ErrorKind::Incompatible,
            format!(
                "as the index says, model version {} of the type {type_name} does not bind secrets to the attribute {name:?}, to \
                 which this software binds them",
                self.version()
            ),
        )
        .with_cure("use software that knows that version; if there is none, the index was changed by an attacker"))
    }

    /// Returns whether one of these versions encrypts or binds the attribute `name`.
    pub(crate) fn names(&self, name: &str) -> bool {
        let mut all = self.earlier.iter().chain([&self.last]);
        all.any(|version| version.sets.encrypts(name) || version.sets.binds(name))
    }

    /// Returns the digest of the sets of `version`, if an envelope of `attribute` that was sealed under it is good in a document with
    /// these attributes at the last version: all versions since encrypt and expose the attribute alike, and what of the document
    /// they bind is the same.
    pub(super) fn sealed_under(&self, version: u32, attribute: &str, attributes: &Attributes) -> Option<&SetsDigest> {
        if version == self.last.number {
            return Some(&self.last.digest);
        }
        let index = version.checked_sub(1).and_then(|index| usize::try_from(index).ok())?;
        let since = self.earlier.get(index..)?;
        let is_alike = |earlier: &Arc<VersionSets>| earlier.is_alike(&self.last, attribute, attributes);
        since.iter().all(is_alike).then(|| since.first().map(|earlier| &earlier.digest))?
    }

    /// Returns whether the stored `value` of `attribute` stays as it is when a document that has the attributes `before`, at the
    /// last version of `old`, gets the attributes `after`, at the last version of this history, which begins with `old`. An
    /// envelope stays if what it is bound to does not change, and if it is good after the change: what counts is the version that
    /// the envelope names. A value that does not open before counts as one of the document's version, so that only what has a
    /// meaning for the document's sets touches it.
    pub(crate) fn keeps(
        &self,
        attribute: &str,
        value: &Value,
        (old, before): (&Self, &Attributes),
        after: &Attributes,
    ) -> bool {
        let named = Envelope::named_version(value);
        let version = named.filter(|version| old.sealed_under(*version, attribute, before).is_some());
        self.binds_as((old, before), after)
            && self.sealed_under(version.unwrap_or(old.version()), attribute, after).is_some()
    }

    /// Returns whether what the last version binds of the attributes `after` is what the last version of `old` binds of `before`.
    fn binds_as(&self, (old, before): (&Self, &Attributes), after: &Attributes) -> bool {
        let (old, new) = (old.sets(), self.sets());
        old.bound.iter().chain(&new.bound).all(|name| {
            let was = before.get(name).filter(|_| old.binds(name));
            was == after.get(name).filter(|_| new.binds(name))
        })
    }

    fn push(&mut self, sets: EncryptionSets) {
        let next = VersionSets::new(self.last.number.saturating_add(1), sets);
        self.earlier.push(std::mem::replace(&mut self.last, next));
    }
}

/// The digest of what a version encrypts, exposes and binds, whatever the order in which its definition names them.
fn digest(sets: &EncryptionSets) -> SetsDigest {
    let mut encrypted: Vec<(&str, bool)> =
        sets.encrypted.iter().map(|attribute| (attribute.name.as_str(), attribute.exposed)).collect();
    encrypted.sort_unstable();
    let mut bound: Vec<&str> = sets.bound.iter().map(String::as_str).collect();
    bound.sort_unstable();
    let encrypted: Vec<_> =
        encrypted.into_iter().map(|(name, exposed)| json!({ "exposed": exposed, "name": name })).collect();
    let mut text = String::with_capacity(256);
    canonical_json::write(&json!({ "bound": bound, "encrypted": encrypted }), &mut text);
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EncryptedAttribute;

    fn sets(encrypted: &[(&str, bool)], bound: &[&str]) -> EncryptionSets {
        EncryptionSets {
            encrypted: encrypted
                .iter()
                .map(|(name, exposed)| EncryptedAttribute { name: (*name).to_owned(), exposed: *exposed })
                .collect(),
            bound: bound.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn the_order_in_which_a_definition_names_attributes_does_not_count() {
        let one = digest(&sets(&[("a", false), ("b", true)], &["c", "d"]));
        assert_eq!(one, digest(&sets(&[("b", true), ("a", false)], &["d", "c"])));
        let others = [
            sets(&[("a", true), ("b", true)], &["c", "d"]),
            sets(&[("a", false), ("b", true)], &["c"]),
            sets(&[("a", false), ("b", true)], &["c", "d", "e"]),
            sets(&[("a", false)], &["b", "c", "d"]),
            sets(&[], &[]),
        ];
        for other in &others {
            assert_ne!(one, digest(other), "{other:?}");
        }
    }

    #[test]
    fn an_envelope_is_good_until_the_sets_change() {
        let (one, two) = (sets(&[("a", false)], &["c"]), sets(&[("a", false)], &["c", "d"]));
        // Version 4 is as version 1 was, but not as those in between.
        let history = EncryptionHistory::new(one.clone(), [two.clone(), two.clone(), one.clone(), one.clone()]);
        let table = [
            (5, [false, false, false, false, true, true, false]),
            (4, [false, false, false, false, true, false, false]),
            (3, [false, false, true, true, false, false, false]),
            (2, [false, false, true, false, false, false, false]),
            (1, [false, true, false, false, false, false, false]),
        ];
        for (version, good) in table {
            let history = history.up_to(version).expect("known");
            assert_eq!(history.version(), version);
            let found: Vec<bool> = (0..7).map(|sealed| history.is_same_since(sealed)).collect();
            assert_eq!(found, good, "at version {version}");
        }
        assert_eq!(history.up_to(0).expect("as the first").version(), 1);
        assert!([6, u32::MAX].iter().all(|version| history.up_to(*version).is_none()));
    }

    fn attributes(value: Value) -> Attributes {
        value.as_object().cloned().expect("an object")
    }

    /// An envelope as far as its header goes, which names this version.
    fn naming(version: u8) -> Value {
        use base64::Engine;
        use base64::engine::general_purpose::STANDARD;
        let header = [b"SOE\x01--key---\0\0\0".as_slice(), &[version], &[0; 33]].concat();
        json!(STANDARD.encode(header))
    }

    #[test]
    fn an_envelope_stays_by_the_version_that_it_names() {
        let (more, less) = (sets(&[("s", false)], &["a", "b"]), sets(&[("s", false)], &["a"]));
        let history = EncryptionHistory::new(more, [less.clone(), less]);
        let second = history.up_to(2).expect("known");
        let (without, with) = (json!({"a": 1}), json!({"a": 1, "b": 2}));
        let (null, other) = (json!({"a": 1, "b": null}), json!({"a": 2}));
        let clear = json!("planted");
        let table = [
            (naming(1), &without, &without, true),
            (naming(1), &without, &with, false),
            (naming(1), &without, &null, false),
            (naming(1), &without, &other, false),
            (naming(2), &without, &with, true),
            (naming(2), &with, &without, true),
            (naming(2), &without, &other, false),
            // These do not open before: only what concerns the document's version touches them.
            (naming(1), &with, &with, true),
            (naming(0), &without, &with, true),
            (naming(3), &without, &with, true),
            (naming(3), &without, &other, false),
            (clear.clone(), &without, &with, true),
            (clear, &without, &other, false),
        ];
        for (value, before, after, stays) in table {
            let (before, after) = (attributes(before.clone()), attributes(after.clone()));
            for new in [&*second, &history] {
                assert_eq!(new.keeps("s", &value, (&second, &before), &after), stays, "{value} {before:?} {after:?}");
            }
        }
    }

    #[test]
    fn what_an_index_says_must_not_bind_less() {
        let known = EncryptionHistory::new(sets(&[("s", false)], &[]), [sets(&[("s", false)], &["a", "b"])]);
        let recorded = [
            (sets(&[("s", false)], &["a", "b", "c"]), true),
            (sets(&[("s", false)], &["a"]), false),
            (sets(&[("s", false)], &[]), false),
            // What is encrypted itself is not bound.
            (sets(&[("s", false), ("b", false)], &["a", "b"]), false),
            (sets(&[], &[]), false),
        ];
        for (recorded, is_fine) in recorded {
            let history =
                known.continued_to(4, &[(3, sets(&[], &[])), (4, recorded.clone())].into()).expect("recorded");
            assert_eq!(history.check_protection("note").is_ok(), is_fine, "{recorded:?}");
        }
        for version in 0..3 {
            let history = known.up_to(version).expect("known");
            assert!(history.check_protection("note").is_ok(), "this software knows what version {version} binds");
        }
        // Software whose newest version is the first one.
        let older = known.up_to(1).expect("known").continued_to(2, &[(2, sets(&[("s", false)], &["z"]))].into());
        assert!(older.expect("recorded").check_protection("note").is_ok());
    }

    #[test]
    fn an_index_continues_it_without_a_gap() {
        let one = sets(&[("a", false)], &["c"]);
        let history = EncryptionHistory::new(one.clone(), [one.clone()]);
        let recorded: BTreeMap<u32, EncryptionSets> =
            [(1, sets(&[], &[])), (3, one.clone()), (5, one.clone()), (u32::MAX, one.clone())].into();
        let third = history.continued_to(3, &recorded).expect("recorded");
        assert_eq!((third.version(), third.sets()), (3, &one));
        assert!(third.is_same_since(1), "what this software knows of version 1 counts");
        for missing in [4, 5, u32::MAX] {
            assert!(history.continued_to(missing, &recorded).is_none(), "{missing}");
        }
    }
}
