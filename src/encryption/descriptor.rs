//! The place of a secret.

use std::fmt;

/// The object that a secret is bound to. [`fmt::Display`] shows the parts joined by `,`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor<'a> {
    /// The type's name.
    pub type_name: &'a str,
    /// The namespace, for types whose objects live in exactly one. `None` for the default namespace and all other
    /// types, so that sharing an object requires no new encryption.
    pub namespace: Option<&'a str>,
    /// The object's id, without type and namespace.
    pub id: &'a str,
}

impl fmt::Display for Descriptor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = self.namespace {
            write!(f, "{namespace},")?;
        }
        write!(f, "{},{}", self.type_name, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_its_parts_joined_by_commas() {
        let descriptor = Descriptor { type_name: "note", namespace: None, id: "1" };
        assert_eq!(descriptor.to_string(), "note,1");
        assert_eq!(Descriptor { namespace: Some("marketing"), ..descriptor }.to_string(), "marketing,note,1");
    }
}
