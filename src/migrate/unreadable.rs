//! The policy for secrets that must be encrypted again and cannot be decrypted, and the reasons that reports name
//! (record 26).

use std::fmt;
use std::str::FromStr;

use super::defect::Defect;
use crate::encryption::DecryptionCause;
use crate::{Error, Result};

/// What a migration does with documents with a secret that must be encrypted again and cannot be decrypted. A missing
/// key is far more common than a broken secret, so no policy deletes a document, and only [`Strip`](Self::Strip) loses
/// a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnreadable {
    /// Names all of them and fails. They stay as they are.
    #[default]
    Fail,
    /// Puts them into quarantine. They can be restored from there.
    Quarantine,
    /// Removes the attribute that cannot be decrypted, and keeps the rest of the document.
    Strip,
}

impl FromStr for OnUnreadable {
    type Err = Error;

    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) unless `text` is `fail`, `quarantine` or `strip`.
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

/// Returns the reason why secrets of a document cannot be decrypted, for each attribute. `is_of_kibana`: Kibana
/// encrypted them, so they are not envelopes.
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

/// Returns the defect of a document whose secrets cannot be decrypted.
pub(super) fn defect(type_name: &str, unreadable: &[(String, DecryptionCause)], is_of_kibana: bool) -> Defect {
    Defect {
        type_name: Some(type_name.to_owned()),
        reason: reason(unreadable, is_of_kibana),
        unreadable: unreadable.first().map(|(name, _)| name.clone()),
        ..Defect::default()
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
        assert!("discard".parse::<OnUnreadable>().is_err(), "a secret that cannot be decrypted is never discarded");
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
