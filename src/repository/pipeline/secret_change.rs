//! A change of an encrypted attribute.

use crate::encryption::Secret;

/// A change of an encrypted attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SecretChange {
    /// Leaves it as it is.
    #[default]
    Keep,
    /// Gives it this value.
    Set(Secret),
    /// Removes it.
    Remove,
}
