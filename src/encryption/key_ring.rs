use secrecy::{ExposeSecret, SecretString};

use super::key::{Key, KeyId};
use crate::{Error, Result};

const MIN_SECRET_BYTES: usize = 32;
const MAKE_A_KEY: &str = "make one: openssl rand -base64 48";
const DEMO_SECRET: &str = "saved-objects demo key: everyone can read it";

/// The configured keys: the primary one, which encrypts, and those that are still needed to read what was encrypted
/// before. Envelopes name their key, so nothing is tried out.
///
/// All nodes that work on one index need the same keys. To change the primary key without downtime: add the new key
/// everywhere as decryption-only, make it primary everywhere, encrypt everything anew, remove the old one.
#[derive(Debug)]
pub struct KeyRing {
    primary: Key,
    decryption_only: Vec<Key>,
}

impl KeyRing {
    /// A ring of these secrets: texts of at least 32 bytes with high entropy. They are used as they are: a passphrase must
    /// be stretched before.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if a secret is shorter, repeats one byte, is listed twice, or is the demo
    /// key. The secret is not in the error.
    pub fn new(primary: SecretString, decryption_only: Vec<SecretString>) -> Result<Self> {
        let mut ring = Self { primary: checked_key(&primary, "the primary key")?, decryption_only: Vec::new() };
        for (index, secret) in decryption_only.iter().enumerate() {
            let key = checked_key(secret, &format!("decryption-only key {}", index + 1))?;
            ring.add_decryption_only(key)?;
        }
        Ok(ring)
    }

    /// The key of the demonstration, which everyone can read. All other ways to make a ring refuse it.
    ///
    /// # Errors
    /// As [`KeyRing::new`].
    pub fn demo() -> Result<Self> {
        Ok(Self { primary: demo_key()?, decryption_only: Vec::new() })
    }

    /// The key that encrypts.
    pub fn primary_key_id(&self) -> KeyId {
        self.primary.id()
    }

    /// All keys, the primary one first.
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.keys().map(Key::id).collect()
    }

    pub(super) fn primary(&self) -> &Key {
        &self.primary
    }

    /// The key called `id`.
    pub(super) fn key(&self, id: KeyId) -> Option<&Key> {
        self.keys().find(|key| key.id() == id)
    }

    fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.primary).chain(&self.decryption_only)
    }

    /// The same secret twice has the same id twice, so comparing ids finds both.
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

/// The key of `secret`, which `name` calls in errors.
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
