//! Model versions in the form in which documents carry them.

use std::fmt;
use std::str::FromStr;

use semver::Version;

use crate::{Error, ErrorKind, Result};

/// The major number that marks a model version. Documents of engines before model versions carry a version below it.
const MAJOR: u64 = 10;

/// A model version in the stored form: model version `n` is written `10.<n>.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VirtualVersion(u32);

impl VirtualVersion {
    /// Returns the virtual version of model version `number`. Number 0 is before the first.
    pub fn of(number: u32) -> Self {
        Self(number)
    }

    /// Returns the model version's number.
    pub fn number(self) -> u32 {
        self.0
    }

    /// Returns the model version of a stored document from its `typeMigrationVersion`. A version that is absent, empty
    /// or below 10 (written before model versions existed) counts as 0, so that every upgrade runs.
    ///
    /// # Errors
    /// See [`VirtualVersion::from_str`].
    pub fn of_document(type_migration_version: Option<&str>) -> Result<Self> {
        let text = type_migration_version.unwrap_or_default();
        if text.is_empty() {
            return Ok(Self(0));
        }
        if let Some(version) = Self::of_usual(text) {
            return Ok(version);
        }
        match Version::parse(text) {
            Ok(version) if version.major < MAJOR => Ok(Self(0)),
            _ => text.parse(),
        }
    }

    /// Reads the form that all documents of this library have. This fast path exists because every document that is
    /// read comes through here.
    fn of_usual(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("10.")?.strip_suffix(".0")?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        is_number.then(|| digits.parse().ok().map(Self)).flatten()
    }

    /// Returns the name of a stored document's version in reports: its number, or the stored text if it has none.
    pub(crate) fn label(type_migration_version: Option<&str>) -> String {
        match Self::of_document(type_migration_version) {
            Ok(version) => version.number().to_string(),
            Err(_) => type_migration_version.unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for VirtualVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MAJOR}.{}.0", self.0)
    }
}

impl FromStr for VirtualVersion {
    type Err = Error;

    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if the major number is above 10, since another engine wrote the
    /// document. [`Corrupt`](ErrorKind::Corrupt) for everything else that is not `10.<n>.0`.
    fn from_str(text: &str) -> Result<Self> {
        let corrupt = || {
            // The text comes from a document. It is cut, so that the error stays on one line.
            let shown: String = text.chars().take(40).collect();
            Error::new(ErrorKind::Corrupt, format!("the document version {shown:?} is not a model version"))
                .with_hint("correct the document's typeMigrationVersion to `10.<model version>.0`")
        };
        let version = Version::parse(text).map_err(|_| corrupt())?;
        if version.major > MAJOR {
            return Err(Error::new(
                ErrorKind::Incompatible,
                format!(
                    "the document version {}.{}.{} is of another engine",
                    version.major, version.minor, version.patch
                ),
            )
            .with_hint("read it with the software that wrote it"));
        }
        let number = u32::try_from(version.minor).map_err(|_| corrupt())?;
        if version != Version::new(MAJOR, version.minor, 0) {
            return Err(corrupt());
        }
        Ok(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_before_model_versions_are_at_0() {
        for (text, number) in [
            (None, 0),
            (Some(""), 0),
            (Some("8.7.0"), 0),
            (Some("0.0.0"), 0),
            (Some("10.0.0"), 0),
            (Some("10.12.0"), 12),
        ] {
            assert_eq!(VirtualVersion::of_document(text).expect("a version").number(), number, "{text:?}");
        }
        assert_eq!(VirtualVersion::of(12).to_string(), "10.12.0");
    }

    #[test]
    fn others_are_refused_with_their_text() {
        let table = [
            ("11.0.0", ErrorKind::Incompatible),
            ("10.1.3", ErrorKind::Corrupt),
            ("10.1.0-beta", ErrorKind::Corrupt),
            ("10.1.0+build", ErrorKind::Corrupt),
            ("10.4294967296.0", ErrorKind::Corrupt),
            ("10.1", ErrorKind::Corrupt),
            ("10.01.0", ErrorKind::Corrupt),
            ("10..0", ErrorKind::Corrupt),
            ("latest", ErrorKind::Corrupt),
        ];
        for (text, kind) in table {
            let error = VirtualVersion::of_document(Some(text)).expect_err(text);
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.to_string().contains(text), "{error}");
        }
        let long = "x".repeat(10_000);
        assert!(VirtualVersion::of_document(Some(&long)).expect_err("long").to_string().len() < 300);
    }
}
