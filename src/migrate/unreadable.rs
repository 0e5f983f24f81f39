//! What becomes of secrets that do not open when they are to be encrypted again (design decision 17).

use std::fmt;
use std::str::FromStr;

use super::bad::Defect;
use crate::encryption::DecryptionCause;
use crate::{Error, Result};

/// What a migration does with documents of which a secret that is to be encrypted again does not open. A key is missing far
/// more often than a secret is broken, so none of it deletes a document, and only one loses a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnreadable {
    /// Names all of them and fails: they stay as they are.
    #[default]
    Fail,
    /// Puts them into quarantine, from where they can be restored.
    Quarantine,
    /// Removes the attribute that does not open, and keeps the rest of the document.
    Strip,
}

impl FromStr for OnUnreadable {
    type Err = Error;

    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) for any other word than `fail`, `quarantine` and `strip`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "fail" => Ok(Self::Fail),
            "quarantine" => Ok(Self::Quarantine),
            "strip" => Ok(Self::Strip),
            _ => Err(Error::invalid(
                format!("{text:?} is no policy for secrets that do not open"),
                "use fail, quarantine or strip",
            )),
        }
    }
}

impl fmt::Display for OnUnreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fail => "fail",
            Self::Quarantine => "quarantine",
            Self::Strip => "strip",
        })
    }
}

/// Why the secrets of a document do not open, attribute by attribute. `is_of_kibana`: they are not envelopes of ours.
pub(super) fn reason(unreadable: &[(String, DecryptionCause)], is_of_kibana: bool) -> String {
    let of_attribute = |(name, cause): &(String, DecryptionCause)| match cause {
        DecryptionCause::Authentication if is_of_kibana => format!(
            "the attribute {name:?} does not open with any of Kibana's keys given here: one is missing, or it, a bound \
             attribute or the _id was changed"
        ),
        DecryptionCause::Malformed if is_of_kibana => {
            format!("the attribute {name:?} does not open: the stored value is not one that Kibana encrypted")
        }
        cause => format!("the attribute {name:?} does not open: {cause}"),
    };
    unreadable.iter().map(of_attribute).collect::<Vec<_>>().join("; ")
}

/// The defect of a document whose secrets do not open.
pub(super) fn defect(type_name: &str, unreadable: &[(String, DecryptionCause)], is_of_kibana: bool) -> Defect {
    Defect {
        type_name: Some(type_name.to_owned()),
        reason: reason(unreadable, is_of_kibana),
        unreadable: unreadable.first().map(|(name, _)| name.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_words() {
        for policy in [OnUnreadable::Fail, OnUnreadable::Quarantine, OnUnreadable::Strip] {
            assert_eq!(policy.to_string().parse::<OnUnreadable>().expect("a policy"), policy);
        }
        assert!("discard".parse::<OnUnreadable>().is_err(), "a secret that does not open is never discarded");
    }

    #[test]
    fn every_attribute_is_named() {
        let unreadable =
            [("a".to_owned(), DecryptionCause::Authentication), ("b".to_owned(), DecryptionCause::Malformed)];
        let ours = reason(&unreadable, false);
        assert!(ours.contains("\"a\"") && ours.contains("\"b\"") && !ours.contains("Kibana"), "{ours}");
        assert!(reason(&unreadable, true).contains("any of Kibana's keys"));
        assert_eq!(defect("note", &unreadable, true).unreadable.as_deref(), Some("a"));
    }
}
