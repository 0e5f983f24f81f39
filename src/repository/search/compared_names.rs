//! The names of namespaces that a search compares objects with. A caller with rules must not find out names that the
//! caller may not know.

use std::collections::BTreeSet;

use crate::{Error, ErrorKind, Result};

/// The names, with the types whose objects are compared with them.
pub(in crate::repository) type ComparedNames = BTreeSet<(String, String)>;

/// Adds a name for each of the types.
pub(in crate::repository) fn add(types: &[&str], name: &str, names: &mut ComparedNames) -> Result<()> {
    names.extend(types.iter().map(|type_name| ((*type_name).to_owned(), name.to_owned())));
    Ok(())
}

/// Returns the error of a search that would reveal names: `what` must not be done in, or by, the field.
pub(in crate::repository) fn telling(what: &str) -> Error {
    Error::new(
        ErrorKind::Forbidden,
        format!("{what} the field namespaces: it would tell names of namespaces that the caller may not know"),
    )
    .with_hint(
        "compare it with whole names of namespaces in which the caller may do something with objects of the type, or search \
         in one namespace after the other",
    )
}
