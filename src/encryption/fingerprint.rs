//! Fingerprints of decrypted documents, to compare the content of indices.

use std::fmt;
use std::ops::AddAssign;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Serialize, Serializer};
use serde_json::Value;
use sha2::Sha256;

use super::{Secrets, canonical_json};
use crate::document::StoredDocument;
use crate::document::numbers::Numbers;
use crate::{Error, ErrorKind, Result};

/// The key of fingerprints when no key is configured. Documents then have no secrets that a fingerprint could contain.
const PUBLIC_KEY: &[u8] = b"saved-objects/fingerprint/without-keys";

/// A keyed hash of one or more decrypted documents: the sum modulo 2^256 of each document's HMAC-SHA-256, so that the
/// order does not matter. Without the key it reveals nothing of the documents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// The limbs of the number, the lowest first.
    limbs: [u64; 4],
}

impl AddAssign for Fingerprint {
    fn add_assign(&mut self, other: Self) {
        let mut carry = false;
        for (limb, added) in self.limbs.iter_mut().zip(other.limbs) {
            let (sum, overflowed) = limb.overflowing_add(added);
            let (sum, overflowed_again) = sum.overflowing_add(u64::from(carry));
            *limb = sum;
            carry = overflowed || overflowed_again;
        }
    }
}

/// Formats the fingerprint as 64 hexadecimal digits.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limbs.iter().rev().try_for_each(|limb| write!(f, "{limb:016x}"))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Computes fingerprints with a key derived from the primary key. Fingerprints under different primary keys differ.
#[derive(Clone)]
pub struct Fingerprinter(Hmac<Sha256>);

impl Fingerprinter {
    /// Creates a fingerprinter with `key`, or with a public key if there is none.
    pub(super) fn new(key: Option<&[u8]>) -> Result<Self> {
        let keyed = Hmac::new_from_slice(key.unwrap_or(PUBLIC_KEY)).map_err(|error| {
            Error::new(ErrorKind::Internal, "the keyed hash refused the length of its key").with_source(error)
        })?;
        Ok(Self(keyed))
    }

    /// Returns the fingerprint of the document whose `_id` is `raw_id` and whose decrypted secrets are `secrets`. It
    /// covers everything in the document except `updated_at` and the nonce of its last write. JSON is hashed in its
    /// canonical form, and a secret as the exact text that was encrypted. Envelopes of decrypted secrets are left out,
    /// so that encrypting again makes no difference.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if the document cannot be written as JSON.
    pub fn fingerprint(&self, raw_id: &str, document: StoredDocument, secrets: &Secrets) -> Result<Fingerprint> {
        let StoredDocument { type_name, mut attributes, mut root } = document;
        root.updated_at = None;
        root.write_nonce = None;
        attributes.retain(|name, _| !secrets.contains_key(name));
        let numbers = [std::mem::take(&mut root.numbers), std::mem::take(&mut root.other_numbers)];
        let root = serde_json::to_value(&root)
            .map_err(|_| Error::new(ErrorKind::Internal, "the root fields of a document cannot be written as JSON"))?;

        let mut hash = self.0.clone();
        for part in [raw_id, &type_name, &canonical(&root), &canonical(&Value::Object(attributes))] {
            add(&mut hash, part);
        }
        // By value, so that the written form does not matter.
        for (pointer, decimal) in numbers.iter().flat_map(Numbers::beyond_doubles) {
            add(&mut hash, pointer);
            add(&mut hash, &decimal.to_string());
        }
        for (name, secret) in secrets {
            add(&mut hash, name);
            add(&mut hash, secret.expose_json());
        }
        let bytes: [u8; 32] = hash.finalize().into_bytes().into();
        let mut fingerprint = Fingerprint::default();
        for (limb, bytes) in fingerprint.limbs.iter_mut().zip(bytes.as_chunks().0) {
            *limb = u64::from_le_bytes(*bytes);
        }
        Ok(fingerprint)
    }
}

impl fmt::Debug for Fingerprinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprinter(redacted)")
    }
}

fn canonical(value: &Value) -> String {
    let mut text = String::with_capacity(512);
    canonical_json::write(value, &mut text);
    text
}

/// Adds one part, preceded by its length, so that two different lists of parts are never hashed alike.
fn add(hash: &mut Hmac<Sha256>, part: &str) {
    hash.update(&(part.len() as u64).to_be_bytes());
    hash.update(part.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encryption::Secret;

    fn keyed(key: &[u8]) -> Fingerprinter {
        Fingerprinter::new(Some(key)).expect("any length is fine")
    }

    fn fingerprint(source: &str, secrets: &[(&str, &str)]) -> Fingerprint {
        let document = StoredDocument::from_source(source.as_bytes()).expect("well-formed");
        let secrets = secrets.iter().map(|(name, text)| ((*name).to_owned(), Secret::text(text))).collect();
        keyed(b"key").fingerprint("note:1", document, &secrets).expect("JSON")
    }

    #[test]
    fn order_of_keys_time_of_change_and_envelopes_do_not_count() {
        let first = fingerprint(
            r#"{"type":"note","note":{"a":1,"s":"one envelope"},"created_at":"x","updated_at":"y"}"#,
            &[("s", "secret")],
        );
        let second = fingerprint(
            r#"{"references":[],"created_at":"x","note":{"s":"another","a":1},"type":"note"}"#,
            &[("s", "secret")],
        );
        assert_eq!(first, second);
    }

    #[test]
    fn everything_else_counts() {
        let source = r#"{"type":"note","note":{"a":1,"s":"e"},"created_at":"x"}"#;
        let first = fingerprint(source, &[("s", "secret")]);
        let others = [
            fingerprint(source, &[("s", "Secret")]),
            fingerprint(source, &[]),
            fingerprint(r#"{"type":"note","note":{"a":2,"s":"e"},"created_at":"x"}"#, &[("s", "secret")]),
            fingerprint(r#"{"type":"note","note":{"a":1,"s":"e"},"created_at":"y"}"#, &[("s", "secret")]),
            fingerprint(r#"{"type":"other","other":{"a":1,"s":"e"},"created_at":"x"}"#, &[("s", "secret")]),
        ];
        assert!(!others.contains(&first));
        let document = || StoredDocument::from_source(source.as_bytes()).expect("well-formed");
        let plain = keyed(b"key").fingerprint("note:1", document(), &Secrets::new()).expect("JSON");
        assert_ne!(plain, keyed(b"key").fingerprint("note:2", document(), &Secrets::new()).expect("JSON"));
        assert_ne!(plain, keyed(b"another").fingerprint("note:1", document(), &Secrets::new()).expect("JSON"));
    }

    #[test]
    fn sums_carry_and_wrap() {
        let mut sum = Fingerprint { limbs: [u64::MAX, u64::MAX, 0, 0] };
        sum += Fingerprint { limbs: [1, 0, 0, 0] };
        assert_eq!(sum.to_string(), format!("{:032x}{:032x}", 1, 0));
        let mut sum = Fingerprint { limbs: [u64::MAX; 4] };
        sum += Fingerprint { limbs: [2, 0, 0, 0] };
        assert_eq!(sum, Fingerprint { limbs: [1, 0, 0, 0] });
    }

    proptest! {
        #[test]
        fn the_order_does_not_matter(limbs in proptest::collection::vec(any::<[u64; 4]>(), 0..8)) {
            let sum = |limbs: &mut dyn Iterator<Item = &[u64; 4]>| {
                let mut sum = Fingerprint::default();
                limbs.for_each(|&limbs| sum += Fingerprint { limbs });
                sum
            };
            prop_assert_eq!(sum(&mut limbs.iter()), sum(&mut limbs.iter().rev()));
        }
    }
}
