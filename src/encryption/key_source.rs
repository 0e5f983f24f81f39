//! The sources of a key ring: a file, or environment variables of the process. A command line is not a source, because
//! other users can list it.

use std::ffi::OsString;
use std::path::Path;

use secrecy::SecretString;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::KeyRing;
use super::key_ring::MIN_SECRET_BYTES;
use crate::encryption::secret_file;
use crate::{Error, Result};

/// The environment variable that holds the path of the key file.
pub const KEY_FILE_VARIABLE: &str = "SAVED_OBJECTS_ENCRYPTION_KEY_FILE";
/// The environment variable that holds the primary key.
pub const KEY_VARIABLE: &str = "SAVED_OBJECTS_ENCRYPTION_KEY";
/// The environment variable that holds the decryption-only keys used with [`KEY_VARIABLE`], separated by commas. A key
/// that contains a comma or begins or ends with white space needs the key file.
pub const DECRYPTION_ONLY_KEYS_VARIABLE: &str = "SAVED_OBJECTS_DECRYPTION_ONLY_KEYS";

/// The hint for a missing key.
pub(super) const KEY_SOURCES: &str = "set SAVED_OBJECTS_ENCRYPTION_KEY_FILE to the path of a key file, or \
                                      SAVED_OBJECTS_ENCRYPTION_KEY to a key, which `openssl rand -base64 48` makes";

/// The hint about the content of a key file.
const FORMS: &str = "write the key alone, in one line, or {\"primary\": \"…\", \"decryption_only\": [\"…\"]}; a key that looks like something \
                     else goes into that JSON";

impl KeyRing {
    /// Creates the ring that the process's environment specifies: [`KEY_FILE_VARIABLE`], or [`KEY_VARIABLE`] with
    /// [`DECRYPTION_ONLY_KEYS_VARIABLE`].
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if none of them is set, and those of [`KeyRing::from_env_opt`].
    pub fn from_env() -> Result<Self> {
        required(from_variables(|name| std::env::var_os(name))?)
    }

    /// Like [`KeyRing::from_env`], but returns `None` if no variable is set.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the variables contradict each other or are not UTF-8, and those of
    /// [`KeyRing::from_file`] and [`KeyRing::new`].
    pub fn from_env_opt() -> Result<Option<Self>> {
        from_variables(|name| std::env::var_os(name))
    }

    /// Reads the ring from the file at `path`: either the primary key alone on one line, or the JSON
    /// `{"primary": "…", "decryption_only": ["…"]}`. Trailing newlines are ignored.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the file cannot be read, is larger than 64 KiB, has another form
    /// (several lines, a JSON list, YAML, `NAME=VALUE`, a byte order mark, UTF-16), or is accessible to every user of
    /// the machine, and those of [`KeyRing::new`]. The error contains no content of the file.
    pub fn from_file(path: &Path) -> Result<Self> {
        secret_file::read(path)
            .and_then(|text| parse_key_file(&text))
            .map_err(|error| error.context(format_args!("the key file {}", secret_file::Shown(path))))
    }
}

fn required(ring: Option<KeyRing>) -> Result<KeyRing> {
    ring.ok_or_else(|| Error::invalid("no encryption key is configured", KEY_SOURCES))
}

/// Returns the ring that the variables specify. `lookup` returns the value of a variable.
fn from_variables(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Option<KeyRing>> {
    let mut file = lookup(KEY_FILE_VARIABLE);
    let mut primary = text_variable(&lookup, KEY_VARIABLE)?;
    let mut decryption_only = text_variable(&lookup, DECRYPTION_ONLY_KEYS_VARIABLE)?;
    // If both a file and a key are given, the empty one counts as not set: tools that substitute variables leave empty
    // ones.
    if file.as_ref().is_some_and(|path| !path.is_empty()) {
        primary = primary.filter(|key| !key.is_empty());
        decryption_only = decryption_only.filter(|keys| !keys.is_empty());
    } else if primary.as_ref().is_some_and(|key| !key.is_empty()) {
        file = None;
    }
    match (file, primary, decryption_only) {
        (None, None, None) => Ok(None),
        (Some(path), None, None) => {
            KeyRing::from_file(Path::new(&path)).map_err(|error| error.context(KEY_FILE_VARIABLE)).map(Some)
        }
        (Some(_), Some(_), _) => {
            Err(Error::invalid(format!("both {KEY_FILE_VARIABLE} and {KEY_VARIABLE} are set"), "unset one of them"))
        }
        (Some(_), None, Some(_)) => Err(Error::invalid(
            format!("both {KEY_FILE_VARIABLE} and {DECRYPTION_ONLY_KEYS_VARIABLE} are set"),
            "put the decryption-only keys into the file: {\"primary\": \"…\", \"decryption_only\": [\"…\"]}",
        )),
        (None, None, Some(_)) => Err(Error::invalid(
            format!("{DECRYPTION_ONLY_KEYS_VARIABLE} is set, but there is no primary key"),
            format!("set {KEY_VARIABLE} too"),
        )),
        (None, Some(primary), decryption_only) => {
            let others = decryption_only.map(|list| split_list(&list)).transpose();
            plain_key(&primary)
                .and_then(|primary| KeyRing::new(primary, others?.unwrap_or_default()))
                .map_err(|error| error.context("the keys in the environment"))
                .map(Some)
        }
    }
}

fn text_variable(lookup: impl Fn(&str) -> Option<OsString>, name: &str) -> Result<Option<Zeroizing<String>>> {
    let Some(value) = lookup(name) else { return Ok(None) };
    let text = value.into_string().map_err(|_| Error::invalid(format!("{name} is not UTF-8"), "set it to a text"))?;
    Ok(Some(Zeroizing::new(text)))
}

fn split_list(list: &str) -> Result<Vec<SecretString>> {
    if list.trim().is_empty() {
        return Ok(Vec::new());
    }
    let key = |(number, key): (usize, &str)| {
        plain_key(key.trim()).map_err(|error| error.context(format_args!("decryption-only key {number}")))
    };
    (1..).zip(list.split(',')).map(key).collect()
}

/// Returns the key in `text`. Editors, `echo` and mounted secrets append a newline. Text in another form is refused:
/// used whole as a key it would encrypt, and the keys in it would decrypt nothing.
fn plain_key(text: &str) -> Result<SecretString> {
    let key = text.trim_end_matches(['\n', '\r']);
    match other_form(key) {
        Some(what) => Err(Error::invalid(what, FORMS)),
        None => Ok(SecretString::from(key)),
    }
}

/// Returns a description of the form of `key` if it is not a key alone.
fn other_form(key: &str) -> Option<&'static str> {
    let is_name = |name: &str| {
        let name = name.trim();
        let name = name.strip_prefix("export ").unwrap_or(name).trim_matches(['"', '\'', ' ']);
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    // A passphrase may contain such characters, but not two parts that are long enough for a key.
    let has_several =
        |separator: char| key.split(separator).filter(|part| part.trim().len() >= MIN_SECRET_BYTES).count() > 1;
    let names_a_key = |(name, value): (&str, &str)| {
        let name = name.to_ascii_lowercase();
        is_name(&name) && ["key", "primary", "secret"].iter().any(|word| name.contains(word)) && !value.is_empty()
    };
    // Base64 may end with `=`.
    let assigns = |(name, value): (&str, &str)| is_name(name) && !value.trim_start_matches('=').is_empty();
    let first = key.chars().next()?;
    let checks = [
        (first == '\u{feff}', "it begins with a byte order mark"),
        (key.contains(['\n', '\r']), "it has several lines"),
        (key.contains(char::is_control), "it has control characters, as a text in UTF-16 does"),
        (key.contains(is_invisible), "it has invisible characters"),
        (key.trim() != key, "it has white space around the key"),
        (key.starts_with('<'), "it has the form of XML"),
        (key.starts_with("-----BEGIN "), "it has the form of PEM"),
        (key.contains(" #") || key.contains("\t#"), "it has a comment behind the key"),
        (is_path(key), "it is the path of a file, which belongs into SAVED_OBJECTS_ENCRYPTION_KEY_FILE"),
        ("[{\"'".contains(first), "it begins as JSON or as a quoted text does, but is no JSON of the known form"),
        (key.starts_with("- ") || key.split_once(": ").is_some_and(assigns), "it has the form of YAML"),
        (key.split_once('=').is_some_and(assigns), "it has the form NAME=VALUE"),
        (key.split_once(':').is_some_and(names_a_key), "it has the form NAME:VALUE"),
        ([',', ';', '|', ' '].into_iter().any(has_several), "it has several keys"),
    ];
    checks.into_iter().find_map(|(is_so, what)| is_so.then_some(what))
}

/// Returns whether terminals do not show the character: a zero-width space, a directional mark, a soft hyphen.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Returns whether `key` names a file, or has the form of a path and not of base64.
fn is_path(key: &str) -> bool {
    let is_absolute = ["/", "./", "../", "~/"].iter().any(|begin| key.starts_with(begin));
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    (is_absolute && !key.bytes().all(is_base64)) || Path::new(key).is_file()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    primary: KeyText,
    #[serde(default)]
    decryption_only: Vec<KeyText>,
}

/// A key in JSON: any text without surrounding white space and invisible characters, such as a line break at its end.
pub(super) struct KeyText(pub(super) SecretString);

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        match text.contains(|c: char| c.is_control() || is_invisible(c)) || text.trim() != text.as_str() {
            true => Err(D::Error::custom("white space around a key, or invisible characters in it")),
            false => Ok(Self(SecretString::from(text.as_str()))),
        }
    }
}

pub(super) fn parse_key_file(text: &str) -> Result<KeyRing> {
    if !text.trim_start().starts_with('{') {
        return KeyRing::new(plain_key(text)?, Vec::new());
    }
    // serde's own error quotes the offending text, which may be a key.
    let file: KeyFile = serde_json::from_str(text).map_err(|error| {
        Error::invalid(
            format!("it is not JSON of the known form, see line {}, column {}", error.line(), error.column()),
            "write {\"primary\": \"…\", \"decryption_only\": [\"…\"]} without line breaks and blanks around the keys, or the key alone",
        )
    })?;
    KeyRing::new(file.primary.0, file.decryption_only.into_iter().map(|key| key.0).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tempfile::NamedTempFile;

    use super::*;
    use crate::ErrorKind;

    const A: &str = "kat-secret-A-0123456789abcdefghijklmnopqrstuv";
    const B: &str = "kat-secret-B-0123456789abcdefghijklmnopqrstuv";
    const A_ID: &str = "af83c69011e1a904";
    const B_ID: &str = "0f3e50a016419b34";

    fn key_file(content: impl AsRef<[u8]>) -> NamedTempFile {
        let mut file = NamedTempFile::new().expect("a temporary file");
        file.write_all(content.as_ref()).expect("written");
        file
    }

    fn ids(ring: &KeyRing) -> Vec<String> {
        ring.key_ids().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reads_both_forms_of_key_file() {
        let cases: [(String, &[&str]); 6] = [
            (A.to_owned(), &[A_ID]),
            (format!("{A}\n"), &[A_ID]),
            (format!("{A}\r\n\n"), &[A_ID]),
            (format!(r#"{{"primary": "{A}"}}"#), &[A_ID]),
            (format!("\n{{\"primary\": \"{A}\", \"decryption_only\": []}}\n"), &[A_ID]),
            (format!(r#"{{"decryption_only": ["{B}"], "primary": "{A}"}}"#), &[A_ID, B_ID]),
        ];
        for (content, expected) in cases {
            assert_eq!(ids(&KeyRing::from_file(key_file(&content).path()).expect(&content)), expected, "{content}");
        }
    }

    #[test]
    fn a_key_may_look_odd() {
        // Base64 padding assigns nothing, and JSON quotes any text.
        for content in [
            "v0VGYJ1tUOaQ8qXkDj3vFq4r1oQ1v1b0m9Wc5mF0s0E=",
            "v0VGYJ1tUOaQ8qXkDj3vFq4r1oQ1v1b0m9Wc5mF0sA==\n",
            "correct horse: battery staple = 20 more words",
            "Zm9v:YmFy,cXV4;0123456789abcdefghijklmnopqrstuv",
            r#"{"primary": "NAME=0123456789012345678901234567890123456789"}"#,
        ] {
            assert!(KeyRing::from_file(key_file(content).path()).is_ok(), "{content}");
        }
    }

    #[test]
    fn refuses_other_files_without_quoting_them() {
        let form = "it is not JSON of the known form";
        let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let cases: [(Vec<u8>, &str); 37] = [
            (format!("\u{feff}{A}").into(), "a byte order mark"),
            (format!("\u{feff}{{\"primary\": \"{A}\"}}").into(), "a byte order mark"),
            (utf_16(A), "UTF-16"),
            (utf_16(&format!("\u{feff}{A}")), "not UTF-8"),
            (format!("{A}\n{B}\n").into(), "several lines"),
            (format!("# comment\n{A}").into(), "several lines"),
            (format!("[\"{A}\", \"{B}\"]").into(), "as JSON"),
            (format!("\"{A}\"\n").into(), "a quoted text"),
            (format!("primary: {A}").into(), "YAML"),
            (format!("primary: {A}\ndecryption_only:\n  - {B}").into(), "several lines"),
            (format!("- {A}").into(), "YAML"),
            (format!("SAVED_OBJECTS_ENCRYPTION_KEY={A}\n").into(), "NAME=VALUE"),
            (format!("export KEY = \"{A}\"").into(), "NAME=VALUE"),
            (format!("{A} ").into(), "white space"),
            (format!("{A},{B}").into(), "several keys"),
            (format!("{A}, {B}").into(), "several keys"),
            (format!("{A};{B}").into(), "several keys"),
            (format!("{A} {B}").into(), "several keys"),
            (format!("{A}|{B}").into(), "several keys"),
            (format!("primary:{A}").into(), "NAME:VALUE"),
            (format!("{A} # the old one").into(), "a comment"),
            (format!("{A}\u{200b}").into(), "invisible characters"),
            (format!("<key>{A}</key>").into(), "XML"),
            (format!("-----BEGIN PRIVATE KEY-----{A}").into(), "PEM"),
            (b"/run/secrets/saved-objects-encryption-key".to_vec(), "the path of a file"),
            (format!(r#"{{"primary": "{A}\n"}}"#).into(), form),
            (format!(r#"{{"primary": " {A}"}}"#).into(), form),
            (format!(r#"{{"primary": "{A}", "decryption_only": ["{B}\u200b"]}}"#).into(), form),
            (Vec::new(), "the primary key has 0 bytes"),
            (b"hunter2".to_vec(), "the primary key has 7 bytes"),
            (vec![b'x'; 64 * 1024 + 1], "more than 65536 bytes"),
            (vec![0xff; 64], "not UTF-8"),
            (format!(r#"{{"primary": "{A}", "hunter2": 1}}"#).into(), form),
            (format!(r#"{{"primary": "{A}", "decryption_only": "hunter2"}}"#).into(), form),
            (br#"{"primary": 5}"#.to_vec(), form),
            (br#"{"decryption_only": []}"#.to_vec(), form),
            (format!(r#"{{"primary": "{A}"}} hunter2"#).into(), form),
        ];
        for (content, expected) in cases {
            let file = key_file(&content);
            let error = KeyRing::from_file(file.path()).expect_err(expected);
            let text = format!("{error} {error:?}");
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.message().starts_with(&format!("the key file {}: ", file.path().display())), "{text}");
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("hunter2") && !text.contains("kat-secret"), "{text}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("missing");
        let error = KeyRing::from_file(&path).expect_err("no file");
        let path = path.display();
        assert_eq!(
            error.to_string(),
            format!("the key file {path}: it cannot be read: entity not found; check the path and who may read it")
        );
        assert!(error.find_source::<std::io::Error>().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn refuses_files_that_everyone_can_read() {
        use std::fs::{Permissions, set_permissions};
        use std::os::unix::fs::PermissionsExt;

        let file = key_file(A);
        for (mode, accepted) in
            [(0o400, true), (0o600, true), (0o640, true), (0o644, false), (0o604, false), (0o602, false)]
        {
            set_permissions(file.path(), Permissions::from_mode(mode)).expect("permissions set");
            let result = KeyRing::from_file(file.path());
            assert_eq!(result.is_ok(), accepted, "{mode:o}");
            let Err(error) = result else { continue };
            assert_eq!(error.hint(), Some(format!("chmod 600 {}", file.path().display()).as_str()));
        }
    }

    fn ring_of(variables: &[(&str, &str)]) -> Result<Option<KeyRing>> {
        from_variables(|name| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn variables_name_the_keys() {
        let file = key_file(A);
        let path = file.path().to_str().expect("a UTF-8 path");
        let padded = format!(" {B} ");
        assert!(ring_of(&[]).expect("nothing is set").is_none());
        let cases: [(&[_], &[_]); 6] = [
            (&[(KEY_FILE_VARIABLE, path)], &[A_ID]),
            (&[(KEY_FILE_VARIABLE, path), (KEY_VARIABLE, ""), (DECRYPTION_ONLY_KEYS_VARIABLE, "")], &[A_ID]),
            (&[(KEY_FILE_VARIABLE, ""), (KEY_VARIABLE, A)], &[A_ID]),
            (&[(KEY_VARIABLE, A)], &[A_ID]),
            (&[(KEY_VARIABLE, A), (DECRYPTION_ONLY_KEYS_VARIABLE, "")], &[A_ID]),
            (&[(KEY_VARIABLE, A), (DECRYPTION_ONLY_KEYS_VARIABLE, &padded)], &[A_ID, B_ID]),
        ];
        for (variables, expected) in cases {
            assert_eq!(ids(&ring_of(variables).expect("good keys").expect("a ring")), expected);
        }
    }

    #[test]
    fn refuses_variables_that_contradict_each_other_or_are_wrong() {
        let file = key_file(A);
        let path = file.path().to_str().expect("a UTF-8 path");
        let json = &*format!("{{\"primary\": \"{A}\"}}");
        let cases: [(&[_], _); 8] = [
            (&[(KEY_VARIABLE, json)], "the keys in the environment: it begins as JSON"),
            (&[(KEY_VARIABLE, "")], "the keys in the environment: the primary key has 0 bytes"),
            (&[(KEY_VARIABLE, A), (DECRYPTION_ONLY_KEYS_VARIABLE, "x,")], "decryption-only key 1 has 1 bytes"),
            (&[(KEY_VARIABLE, A), (DECRYPTION_ONLY_KEYS_VARIABLE, A)], "is also listed as decryption-only"),
            (&[(KEY_FILE_VARIABLE, path), (KEY_VARIABLE, B)], "; unset one of them"),
            (
                &[(KEY_FILE_VARIABLE, path), (DECRYPTION_ONLY_KEYS_VARIABLE, B)],
                "; put the decryption-only keys into the file",
            ),
            (&[(DECRYPTION_ONLY_KEYS_VARIABLE, B)], "; set SAVED_OBJECTS_ENCRYPTION_KEY too"),
            (&[(KEY_FILE_VARIABLE, "")], "it cannot be read"),
        ];
        for (variables, expected) in cases {
            let error = ring_of(variables).expect_err(expected);
            let text = format!("{error} {error:?}");
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("kat-secret"), "{text}");
        }
    }

    #[test]
    fn a_required_key_that_is_missing_has_a_hint() {
        let error = required(None).expect_err("no key");
        assert_eq!(
            error.to_string(),
            "no encryption key is configured; set SAVED_OBJECTS_ENCRYPTION_KEY_FILE to the path of a key file, or \
             SAVED_OBJECTS_ENCRYPTION_KEY to a key, which `openssl rand -base64 48` makes"
        );
    }
}
