//! The encryption sets of each model version of a type, up to the version of one document. They decide under which of
//! these versions an envelope in that document may have been sealed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::canonical_json;
use super::envelope_header::named_version;
use crate::document::Attributes;
use crate::model::EncryptionSets;
use crate::{Error, ErrorKind, Result};

/// The SHA-256 digest of the sets of a model version. It does not depend on the order in which the definition declares
/// them.
pub(super) type SetsDigest = [u8; 32];

/// The encryption sets of a type's model versions, from the first to the version of a document. Clones share them.
///
/// An envelope names the model version that it was sealed under. It is valid at a document's version if that version is
/// not lower, and if all versions in between encrypt and expose its attribute alike and bind the same of the document.
#[derive(Debug, Clone)]
pub struct EncryptionHistory {
    earlier: Vec<Arc<VersionSets>>,
    last: Arc<VersionSets>,
    /// The newest version that this software knows. The sets of later versions come from an index.
    known: u32,
}

#[derive(Debug, PartialEq, Eq)]
struct VersionSets {
    number: u32,
    /// The sets in the order of the definition.
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
    /// Returns whether both versions encrypt and expose `attribute` alike, and bind the same of a document with these
    /// attributes.
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
    /// Creates the history of a type whose first model version has the sets `first` and whose later versions have the
    /// sets `later`.
    pub fn new(first: EncryptionSets, later: impl IntoIterator<Item = EncryptionSets>) -> Self {
        let mut history = Self { earlier: Vec::new(), last: VersionSets::new(1, first), known: 1 };
        for sets in later {
            history.push(sets);
        }
        history.known = history.version();
        history
    }

    /// Returns the history up to `version`, or `None` if this history does not reach it. Version 0, of documents from
    /// before model versions, counts as version 1.
    pub fn up_to(&self, version: u32) -> Option<Cow<'_, Self>> {
        let version = version.max(1);
        if version == self.version() {
            return Some(Cow::Borrowed(self));
        }
        let index = usize::try_from(version).ok()?.checked_sub(1)?;
        let (last, earlier) = self.earlier.get(..=index)?.split_last()?;
        Some(Cow::Owned(Self { earlier: earlier.to_vec(), last: Arc::clone(last), known: self.known.min(version) }))
    }

    /// Returns the history extended to `version`, which is beyond this one, with the sets that an index has recorded.
    /// Returns `None` if the sets of a version in between are not recorded.
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

    /// Returns the encryption sets of the last version.
    pub fn sets(&self) -> &EncryptionSets {
        &self.last.sets
    }

    /// Returns whether `version` is in this history and all versions after it encrypt, expose and bind the same
    /// attributes. An envelope that was sealed under it is then valid at the last version.
    pub(crate) fn is_same_since(&self, version: u32) -> bool {
        if version == self.last.number {
            return true;
        }
        let index = version.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let since = index.and_then(|index| self.earlier.get(index..)).unwrap_or_default();
        !since.is_empty() && since.iter().all(|earlier| earlier.digest == self.last.digest)
    }

    /// Checks that secrets of the type may be sealed under the last version. If the sets of that version come from an
    /// index, they may be forged, so they must bind everything that the newest version known to this software binds.
    /// The attributes of a particular document do not count, since an unbound attribute could be added later.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if the last version binds less.
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
        .with_hint("use software that knows that version; if there is none, the index was changed by an attacker"))
    }

    /// Returns whether a version of this history encrypts or binds the attribute `name`.
    pub(crate) fn names(&self, name: &str) -> bool {
        let mut all = self.earlier.iter().chain([&self.last]);
        all.any(|version| version.sets.encrypts(name) || version.sets.binds(name))
    }

    /// Returns whether a version of this history encrypts the attribute `name`.
    pub(crate) fn encrypts(&self, name: &str) -> bool {
        self.earlier.iter().chain([&self.last]).any(|version| version.sets.encrypts(name))
    }

    /// Returns the digest of the sets of `version` if an envelope of `attribute` that was sealed under it is valid at
    /// the last version, in a document with these attributes. For that, all versions since then must encrypt and expose
    /// the attribute alike and bind the same of the document.
    pub(super) fn sealed_under(&self, version: u32, attribute: &str, attributes: &Attributes) -> Option<&SetsDigest> {
        if version == self.last.number {
            return Some(&self.last.digest);
        }
        let index = version.checked_sub(1).and_then(|index| usize::try_from(index).ok())?;
        let since = self.earlier.get(index..)?;
        let is_alike = |earlier: &Arc<VersionSets>| earlier.is_alike(&self.last, attribute, attributes);
        since.iter().all(is_alike).then(|| since.first().map(|earlier| &earlier.digest))?
    }

    /// Returns whether the stored `value` of `attribute` stays unchanged in a change of its document. The document
    /// changes from the attributes `before`, at the last version of `old`, to the attributes `after`, at the last
    /// version of this history, which begins with `old`. An envelope stays if what it is bound to does not change and
    /// if it is valid after the change, judged by the version that it names. A value that is not valid before counts as
    /// one of the document's version, so that it is changed only if the document's sets give a reason.
    pub(crate) fn keeps(
        &self,
        attribute: &str,
        value: &Value,
        (old, before): (&Self, &Attributes),
        after: &Attributes,
    ) -> bool {
        let named = named_version(value);
        let version = named.filter(|version| old.sealed_under(*version, attribute, before).is_some());
        self.binds_as((old, before), after)
            && self.sealed_under(version.unwrap_or(old.version()), attribute, after).is_some()
    }

    /// Returns whether the last version binds the same of the attributes `after` as the last version of `old` binds of
    /// `before`.
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

/// Returns the digest of the sets of a version. It does not depend on the order of the definition.
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
        // Version 4 has the sets of version 1, but versions 2 and 3 do not.
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

    /// Returns the header of an envelope that names this version, with filler behind it.
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
            // These values are not valid before the change, so that only what concerns the document's version affects
            // them.
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
            // An encrypted attribute is not bound.
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
