//! The names of a store's aliases and indices.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// The longest prefix. It leaves enough of the 255 bytes of an index name for group and generation.
const MAX_PREFIX_BYTES: usize = 100;

/// The first part of all names that a store uses. The default is `saved-objects`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Default for Prefix {
    fn default() -> Self {
        Self("saved-objects".to_owned())
    }
}

impl FromStr for Prefix {
    type Err = Error;

    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if the text cannot begin the name of an index, or ends like the name of a
    /// store's own index.
    fn from_str(text: &str) -> Result<Self> {
        let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let first_is_fine = text.strip_prefix('.').unwrap_or(text).starts_with(is_letter);
        let rest_is_fine = text.chars().all(|c| is_letter(c) || matches!(c, '-' | '_' | '.'));
        if let Some(end) = reserved_end(text) {
            return Err(Error::invalid(
                format!(
                    "the prefix {text:?} ends in `-{end}`, so its indices could be taken for those of another store"
                ),
                "end the prefix otherwise: the names of a store's own indices continue so after the prefix",
            ));
        }
        if !first_is_fine || !rest_is_fine || text.len() > MAX_PREFIX_BYTES {
            return Err(Error::invalid(
                format!("{text:?} cannot begin the name of an index"),
                format!(
                    "use a prefix of lower-case letters, digits, `-`, `_` and `.` that begins with a letter or digit, at most \
                     {MAX_PREFIX_BYTES} bytes"
                ),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Returns the end of the prefix if a store with a shorter prefix uses it in names of its own indices: its control
/// index, a staging index, a generation.
fn reserved_end(prefix: &str) -> Option<&str> {
    let (_, end) = prefix.rsplit_once('-')?;
    let is_generation = end.len() >= 6 && end.bytes().all(|byte| byte.is_ascii_digit());
    (is_generation || matches!(end, "fill" | "control")).then_some(end)
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Prefix {
    /// Returns the names of index group `group`.
    pub fn group(&self, group: &str) -> IndexNames {
        IndexNames { alias: format!("{}-{group}", self.0) }
    }

    /// Returns the names of the control index. No group may have its name.
    pub(crate) fn control(&self) -> IndexNames {
        self.group("control")
    }
}

/// The meaning of an alias that closes the gate of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A copy or a rollback reads the index, which must not change.
    Copying,
    /// The step that closed the gate is being undone.
    Undoing,
}

/// The names of one index group (record 20).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexNames {
    alias: String,
}

impl IndexNames {
    /// Returns the alias that reads go through: `<prefix>-<group>`.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// Returns the name of the index of a generation: `<alias>-000001`.
    pub fn index(&self, generation: u32) -> String {
        format!("{}-{generation:06}", self.alias)
    }

    /// Returns the alias that writes to a generation go through. It is removed when the generation is no longer
    /// current, so that a late write fails.
    pub fn write_alias(&self, generation: u32) -> String {
        format!("{}-{generation:06}-write", self.alias)
    }

    /// Returns whether an alias is the write alias of any generation.
    pub fn is_write_alias(&self, alias: &str) -> bool {
        alias.strip_suffix("-write").is_some_and(|index| self.generation(index).is_some())
    }

    /// Returns whether the engine made an alias of a generation: the alias for reads, a write alias, or a mark.
    pub fn is_own_alias(&self, alias: &str) -> bool {
        let Some(rest) = alias.strip_prefix(&self.alias) else { return false };
        let ends = ["-write", "-copying-", "-undoing-"];
        let of_generation = |end: &&str| {
            rest.split_once(end)
                .is_some_and(|(number, _)| self.generation(&format!("{}{number}", self.alias)).is_some())
        };
        rest.is_empty() || ends.iter().any(of_generation)
    }

    /// Returns the name of the staging index of the copy whose record has this digest ([`CopyRecord::digest`]).
    ///
    /// [`CopyRecord::digest`]: super::CopyRecord::digest
    pub fn fill(&self, digest: &str) -> String {
        format!("{}-fill-{digest}", self.alias)
    }

    /// Returns the alias that writes to a staging index go through.
    pub fn fill_alias(&self, digest: &str) -> String {
        format!("{}-fill-{digest}-write", self.alias)
    }

    /// Returns an alias that closes the gate of a generation: see [`Gate`](super::Gate). The nonce makes it unique.
    pub fn mark(&self, generation: u32, mark: Mark, nonce: &str) -> String {
        format!("{}{nonce}", self.mark_start(generation, mark))
    }

    pub(super) fn mark_start(&self, generation: u32, mark: Mark) -> String {
        let word = match mark {
            Mark::Copying => "copying",
            Mark::Undoing => "undoing",
        };
        format!("{}-{generation:06}-{word}-", self.alias)
    }

    /// Returns whether an index has the name of a staging index of this group. Its `_meta` decides whether it is one.
    pub fn is_fill(&self, index: &str) -> bool {
        let digest = index.strip_prefix(&self.alias).and_then(|rest| rest.strip_prefix("-fill-"));
        digest.is_some_and(|digest| {
            digest.len() == 16 && digest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        })
    }

    /// Returns a pattern that matches every generation and every staging index of the group.
    pub fn any(&self) -> String {
        format!("{}-*", self.alias)
    }

    /// Returns the alias and [the pattern](Self::any). They match every name of the group.
    pub(crate) fn all(&self) -> [String; 2] {
        [self.alias.clone(), self.any()]
    }

    /// Returns whether [the pattern](Self::any) matches a name.
    pub(crate) fn is_within(&self, name: &str) -> bool {
        name.strip_prefix(&self.alias).is_some_and(|rest| rest.starts_with('-'))
    }

    /// Returns the generation of the index `index`, or `None` if it is not one of this group.
    pub fn generation(&self, index: &str) -> Option<u32> {
        let digits = index.strip_prefix(&self.alias)?.strip_prefix('-')?;
        // Six digits, or more if they are needed: exactly the form that `index` returns.
        let is_padded = digits.len() == 6 || digits.len() > 6 && !digits.starts_with('0');
        let is_number = is_padded && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_back() {
        let names = Prefix::default().group("connectors");
        assert_eq!(names.alias(), "saved-objects-connectors");
        assert_eq!(names.index(12), "saved-objects-connectors-000012");
        assert_eq!(names.write_alias(1), "saved-objects-connectors-000001-write");
        let fill = names.fill("0123456789abcdef");
        assert!(names.is_fill(&fill) && !names.is_fill(&names.fill_alias("0123456789abcdef")));
        for own in ["", "-000001-write", "-000002-copying-a", "-000001-undoing-b"] {
            assert!(names.is_own_alias(&format!("saved-objects-connectors{own}")), "{own}");
        }
        for other in ["-report", "-000001", "-000001-read", "-x-write", "2"] {
            assert!(!names.is_own_alias(&format!("saved-objects-connectors{other}")), "{other}");
        }
        for other in ["report", "0123456789abcdeg", "0123456789abcdef0", "notes-000001"] {
            assert!(!names.is_fill(&format!("saved-objects-connectors-fill-{other}")), "{other}");
        }
        assert_eq!(names.generation(&names.index(12)), Some(12));
        assert_eq!(names.generation(&names.index(1_234_567)), Some(1_234_567));
        for digits in ["0000012", "+00012", "99999999999", "00001a", ""] {
            assert_eq!(names.generation(&format!("saved-objects-connectors-{digits}")), None, "{digits}");
        }
        for other in
            ["saved-objects-connectors", "saved-objects-connectors-12", "saved-objects-connectors-000001-write", "x"]
        {
            assert_eq!(names.generation(other), None, "{other}");
        }
    }

    #[test]
    fn odd_prefixes_are_refused() {
        for good in ["saved-objects", ".kibana", "a1_b"] {
            assert!(good.parse::<Prefix>().is_ok(), "{good}");
        }
        for bad in [
            "so-notes-fill",
            "so-control",
            "so-notes-000001",
            "",
            "-a",
            "_a",
            "A",
            "a b",
            "a/b",
            "a*",
            "..",
            "ä",
            &"x".repeat(101),
        ] {
            let error = bad.parse::<Prefix>().expect_err(bad);
            assert!(error.hint().is_some());
        }
    }
}
