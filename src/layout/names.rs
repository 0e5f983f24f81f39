use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// The longest prefix: what is left of 255 bytes for group and generation is ample.
const MAX_PREFIX_BYTES: usize = 100;

/// The first part of all names that a store uses, `saved-objects` unless said otherwise.
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
    /// [`Invalid`](crate::ErrorKind::Invalid) if the text cannot begin the name of an index.
    fn from_str(text: &str) -> Result<Self> {
        let is_letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let first_is_fine = text.strip_prefix('.').unwrap_or(text).starts_with(is_letter);
        let rest_is_fine = text.chars().all(|c| is_letter(c) || matches!(c, '-' | '_' | '.'));
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

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Prefix {
    /// The names of index group `group`.
    pub fn group(&self, group: &str) -> IndexNames {
        IndexNames { alias: format!("{}-{group}", self.0) }
    }

    /// The names of the control index: no group may be called so.
    pub(crate) fn control(&self) -> IndexNames {
        self.group("control")
    }
}

/// The names of one index group (design decision 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexNames {
    alias: String,
}

impl IndexNames {
    /// The alias that reads go through: `<prefix>-<group>`.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// The index of a generation: `<alias>-000001`.
    pub fn index(&self, generation: u32) -> String {
        format!("{}-{generation:06}", self.alias)
    }

    /// The alias that writes to a generation go through: it disappears with the generation's turn, so that a late write
    /// fails.
    pub fn write_alias(&self, generation: u32) -> String {
        format!("{}-{generation:06}-write", self.alias)
    }

    /// The index that a copy to the definitions of `digest` is filled in before it becomes a generation.
    pub fn fill(&self, digest: &str) -> String {
        format!("{}-fill-{digest}", self.alias)
    }

    /// The alias that writes to a fill go through.
    pub fn fill_alias(&self, digest: &str) -> String {
        format!("{}-fill-{digest}-write", self.alias)
    }

    /// The alias that an index has while it is copied: as long as it is there, a write block of the index is the copy's.
    pub fn copy_mark(&self, generation: u32) -> String {
        format!("{}-{generation:06}-copying", self.alias)
    }

    /// The alias that a generation has from when a copy has looked at it for the last time until the swap.
    pub fn copy_checked(&self, generation: u32) -> String {
        format!("{}-{generation:06}-checked", self.alias)
    }

    /// Whether an index is a fill of this group.
    pub fn is_fill(&self, index: &str) -> bool {
        index.strip_prefix(&self.alias).is_some_and(|rest| rest.starts_with("-fill-"))
    }

    /// A pattern that finds every generation and every fill of the group.
    pub fn any(&self) -> String {
        format!("{}-*", self.alias)
    }

    /// The generation of the index `index`; none if it is not one of this group's.
    pub fn generation(&self, index: &str) -> Option<u32> {
        let digits = index.strip_prefix(&self.alias)?.strip_prefix('-')?;
        // Six digits or more, and more only if they are needed: the one form that `index` gives.
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
        for bad in ["", "-a", "_a", "A", "a b", "a/b", "a*", "..", "ä", &"x".repeat(101)] {
            let error = bad.parse::<Prefix>().expect_err(bad);
            assert!(error.cure().is_some());
        }
    }
}
