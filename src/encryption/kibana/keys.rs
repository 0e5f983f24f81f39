//! The keys that Kibana was configured with.

use std::fmt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::encryption::key_source::KeyText;
use crate::encryption::{KIBANA_KEYS_FILE_VARIABLE, secret_file};
use crate::{Error, Result};

/// The shortest key that Kibana accepts, in UTF-16 units.
const MIN_KEY_UNITS: usize = 32;
const FORM: &str = "write {\"encryptionKey\": \"…\", \"decryptionOnlyKeys\": [\"…\"]}, as kibana.yml has them under \
                    xpack.encryptedSavedObjects";

/// The keys that Kibana was configured with: `xpack.encryptedSavedObjects.encryptionKey`, and its decryption-only ones.
pub struct KibanaKeys {
    primary: SecretString,
    decryption_only: Vec<SecretString>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct KeysFile {
    encryption_key: KeyText,
    #[serde(default)]
    decryption_only_keys: Vec<KeyText>,
}

impl KibanaKeys {
    /// Creates the set of keys. The primary key is tried first.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if a key is shorter than Kibana accepts or is listed twice. The error
    /// contains no key.
    pub fn new(primary: SecretString, decryption_only: Vec<SecretString>) -> Result<Self> {
        let keys = Self { primary, decryption_only };
        for (index, key) in keys.iter().enumerate() {
            let text = key.expose_secret();
            if text.encode_utf16().count() < MIN_KEY_UNITS {
                return Err(Error::invalid(
                    format!("Kibana's key {} has less than {MIN_KEY_UNITS} characters", index + 1),
                    "give the key as kibana.yml has it",
                ));
            }
            if keys.iter().take(index).any(|earlier| earlier.expose_secret() == text) {
                return Err(Error::invalid(format!("Kibana's key {} is listed twice", index + 1), "list it once"));
            }
        }
        Ok(keys)
    }

    /// Reads the keys from the file that [`KIBANA_KEYS_FILE_VARIABLE`] names. Returns `None` if the variable is not
    /// set.
    ///
    /// # Errors
    /// Those of [`KibanaKeys::from_file`].
    pub fn from_env_opt() -> Result<Option<Self>> {
        let path = std::env::var_os(KIBANA_KEYS_FILE_VARIABLE).filter(|path| !path.is_empty());
        let ring = path.map(|path| Self::from_file(Path::new(&path)));
        ring.transpose().map_err(|error| error.context(KIBANA_KEYS_FILE_VARIABLE))
    }

    /// Reads the keys from the file at `path`: the JSON `{"encryptionKey": "…", "decryptionOnlyKeys": ["…"]}`.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the file cannot be read, is larger than 64 KiB, has another form, or
    /// is accessible to every user of the machine, and those of [`KibanaKeys::new`]. The error contains no content of
    /// the file.
    pub fn from_file(path: &Path) -> Result<Self> {
        secret_file::read(path)
            .and_then(|text| parse(&text))
            .map_err(|error| error.context(format_args!("the file of Kibana's keys {}", secret_file::Shown(path))))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &SecretString> {
        std::iter::once(&self.primary).chain(&self.decryption_only)
    }
}

impl fmt::Debug for KibanaKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KibanaKeys").field("count", &self.iter().count()).finish_non_exhaustive()
    }
}

fn parse(text: &str) -> Result<KibanaKeys> {
    // serde's own error quotes the offending text, which may be a key.
    let file: KeysFile = serde_json::from_str(text).map_err(|error| {
        Error::invalid(
            format!("it is not JSON of the known form, see line {}, column {}", error.line(), error.column()),
            FORM,
        )
    })?;
    KibanaKeys::new(file.encryption_key.0, file.decryption_only_keys.into_iter().map(|key| key.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "first-key-for-tests-0123456789-abcdef";
    const B: &str = "other-key-for-tests-0123456789-abcdef";

    #[test]
    fn reads_the_known_form_only_and_quotes_no_key() {
        let good = format!(r#"{{"encryptionKey": "{A}", "decryptionOnlyKeys": ["{B}"]}}"#);
        assert_eq!(parse(&good).expect("two keys").iter().count(), 2);
        let bad = [
            A.to_owned(),
            format!(r#"{{"encryptionKey": ["{A}"]}}"#),
            format!(r#"{{"{A}": 1}}"#),
            format!(r#"{{"encryptionKey": "{A}", "decryptionOnlyKeys": ["{A}"]}}"#),
            format!(r#"{{"encryptionKey": "{}"}}"#, &A[..31]),
        ];
        for text in bad {
            let error = parse(&text).expect_err("refused");
            assert!(!format!("{error} {error:?}").contains(&A[..31]), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let keys = KibanaKeys::new(A.into(), vec![B.into()]).expect("two keys");
        assert_eq!(format!("{keys:?}"), "KibanaKeys { count: 2, .. }");
    }
}
