//! The configured keys of a process.

use secrecy::{ExposeSecret, SecretString};

use super::fingerprint::Fingerprinter;
use super::key::{Key, KeyId};
use crate::{Error, Result};

pub(super) const MIN_SECRET_BYTES: usize = 32;
const MAKE_A_KEY: &str = "make one: openssl rand -base64 48";
const DEMO_SECRET: &str = "saved-objects demo key: everyone can read it";

/// The configured keys: a primary key, which encrypts, and decryption-only keys, which are needed to read older
/// envelopes. Envelopes name their key, so no keys are tried in turn.
///
/// All nodes that work on one index need the same keys. To change the primary key without downtime: add the new key as
/// decryption-only on all nodes, make it primary on all nodes, encrypt everything again, and remove the old key.
#[derive(Debug)]
pub struct KeyRing {
    primary: Key,
    decryption_only: Vec<Key>,
}

impl KeyRing {
    /// Creates a ring from these secrets: texts of at least 32 bytes with high entropy. They are used unchanged, so a
    /// passphrase must be stretched first.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if a secret is shorter, repeats one byte, is listed twice, or is the demo
    /// key. The error does not contain the secret.
    pub fn new(primary: SecretString, decryption_only: Vec<SecretString>) -> Result<Self> {
        let mut ring = Self { primary: checked_key(&primary, "the primary key")?, decryption_only: Vec::new() };
        for (index, secret) in decryption_only.iter().enumerate() {
            let key = checked_key(secret, &format!("decryption-only key {}", index + 1))?;
            ring.add_decryption_only(key)?;
        }
        Ok(ring)
    }

    /// Creates a ring with the key of the demonstration, which everyone can read. All other constructors refuse that
    /// key.
    ///
    /// # Errors
    /// Those of [`KeyRing::new`].
    pub fn demo() -> Result<Self> {
        Ok(Self { primary: demo_key()?, decryption_only: Vec::new() })
    }

    /// Returns the id of the key that encrypts.
    pub fn primary_key_id(&self) -> KeyId {
        self.primary.id()
    }

    /// Returns the ids of all keys, the primary one first.
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.keys().map(Key::id).collect()
    }

    /// Returns a fingerprinter for decrypted documents, keyed with the primary key.
    ///
    /// # Errors
    /// [`Internal`](crate::ErrorKind::Internal) if its key cannot be derived.
    pub(crate) fn fingerprinter(&self) -> Result<Fingerprinter> {
        Fingerprinter::new(Some(self.primary.fingerprint_key()?.as_slice()))
    }

    pub(super) fn primary(&self) -> &Key {
        &self.primary
    }

    /// Returns the key with the id `id`.
    pub(super) fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys().find(|key| key.id() == id)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.primary).chain(&self.decryption_only)
    }

    /// Adds a key. The same secret always has the same id, so comparing ids finds duplicates.
    fn add_decryption_only(&mut self, key: Key) -> Result<()> {
        let id = key.id();
        if id == self.primary.id() {
            return Err(Error::invalid(
                format!("the primary key {id} is also listed as decryption-only"),
                "remove it from the decryption-only keys",
            ));
        }
        if self.key(id).is_some() {
            return Err(Error::invalid(format!("the decryption-only key {id} is listed twice"), "list it once"));
        }
        self.decryption_only.push(key);
        Ok(())
    }
}

/// Returns the key of `secret` after checking it. Errors call it `name`.
fn checked_key(secret: &SecretString, name: &str) -> Result<Key> {
    let bytes = secret.expose_secret().as_bytes();
    if bytes.len() < MIN_SECRET_BYTES {
        return Err(Error::invalid(
            format!("{name} has {} bytes, at least {MIN_SECRET_BYTES} are needed", bytes.len()),
            MAKE_A_KEY,
        ));
    }
    if bytes.iter().all(|byte| Some(byte) == bytes.first()) {
        return Err(Error::invalid(format!("{name} repeats one byte"), MAKE_A_KEY));
    }
    let key = Key::derive(secret)?;
    if key.id() == demo_key()?.id() {
        return Err(Error::invalid(
            format!("{name} is the demo key, which everyone can read"),
            format!("use your own key; {MAKE_A_KEY}"),
        ));
    }
    Ok(key)
}

fn demo_key() -> Result<Key> {
    Key::derive(&SecretString::from(DEMO_SECRET))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const A: &str = "kat-secret-A-0123456789abcdefghijklmnopqrstuv";
    const B: &str = "kat-secret-B-0123456789abcdefghijklmnopqrstuv";

    fn ring(primary: &str, decryption_only: &[&str]) -> Result<KeyRing> {
        KeyRing::new(primary.into(), decryption_only.iter().map(|secret| SecretString::from(*secret)).collect())
    }

    #[test]
    fn knows_its_keys_by_id() {
        let ring = ring(A, &[B]).expect("two keys");
        assert_eq!(ring.primary_key_id().to_string(), "af83c69011e1a904");
        let ids: Vec<_> = ring.key_ids().iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["af83c69011e1a904", "0f3e50a016419b34"]);
        assert!(ring.key_ids().into_iter().all(|id| ring.key(id).is_some_and(|key| key.id() == id)));
        assert!(ring.key(demo_key().expect("the demo key").id()).is_none());
    }

    #[test]
    fn refuses_weak_and_repeated_keys() {
        let (short, exact) = ("0123456789abcdef0123456789abcde", "0123456789abcdef0123456789abcdef");
        let same = "a".repeat(40);
        let cases: [(&str, &[&str], &str); 9] = [
            ("", &[], "the primary key has 0 bytes, at least 32 are needed; make one: openssl rand -base64 48"),
            (short, &[], "the primary key has 31 bytes, at least 32 are needed; make one: openssl rand -base64 48"),
            (&same, &[], "the primary key repeats one byte; make one: openssl rand -base64 48"),
            (
                A,
                &[B, short],
                "decryption-only key 2 has 31 bytes, at least 32 are needed; make one: openssl rand -base64 48",
            ),
            (A, &[&same], "decryption-only key 1 repeats one byte; make one: openssl rand -base64 48"),
            (
                A,
                &[B, A],
                "the primary key af83c69011e1a904 is also listed as decryption-only; remove it from the decryption-only keys",
            ),
            (A, &[B, exact, B], "the decryption-only key 0f3e50a016419b34 is listed twice; list it once"),
            (
                DEMO_SECRET,
                &[],
                "the primary key is the demo key, which everyone can read; use your own key; make one: openssl rand -base64 48",
            ),
            (
                A,
                &[DEMO_SECRET],
                "decryption-only key 1 is the demo key, which everyone can read; use your own key; make one: openssl rand -base64 48",
            ),
        ];
        for (primary, decryption_only, expected) in cases {
            let error = ring(primary, decryption_only).expect_err(expected);
            assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Invalid, expected));
        }
        assert!(ring(exact, &[]).is_ok(), "32 bytes are enough");
    }

    #[test]
    fn demo_is_the_way_to_the_demo_key() {
        let ring = KeyRing::demo().expect("the demo ring");
        assert_eq!(ring.key_ids(), [demo_key().expect("the demo key").id()]);
    }

    #[test]
    fn debug_shows_ids_only() {
        let text = format!("{:?}", ring(A, &[B]).expect("two keys"));
        assert!(text.contains("af83c69011e1a904") && text.contains("0f3e50a016419b34"), "{text}");
        assert!(!text.contains("kat-secret"), "{text}");
    }
}
