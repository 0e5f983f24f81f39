//! Constructors of the errors that several operations return.

use std::fmt::Display;

use crate::cluster::{ItemError, ItemErrorKind};
use crate::document::Corruption;
use crate::layout::IndexNames;
use crate::registry::TypeDefinition;
use crate::repository::ObjectKey;
use crate::{Error, ErrorKind};

const MIGRATE: &str = "run `saved-objects migrate`, or start the store with `Start::Migrate`";

pub(in crate::repository) fn unavailable_type(type_name: &str) -> Error {
    Error::invalid(
        format!("the type {type_name:?} is not available here"),
        "register it; if it is hidden, ask for it by name with `including`",
    )
}

pub(in crate::repository) fn not_found(key: &ObjectKey) -> Error {
    let namespace = &key.namespace;
    Error::new(ErrorKind::NotFound, format!("saved object {key} not found in namespace {namespace}"))
        .with_hint("create it, or check type, id and namespace")
}

pub(in crate::repository) fn exists_already(key: &ObjectKey) -> Error {
    Error::new(ErrorKind::Conflict, format!("saved object {key} exists already"))
        .with_hint("update or replace it, or let create overwrite it")
}

pub(in crate::repository) fn exists_elsewhere(key: &ObjectKey) -> Error {
    let namespace = &key.namespace;
    Error::new(
        ErrorKind::Conflict,
        format!("the id of saved object {key} is taken by an object that is not seen from namespace {namespace}"),
    )
    .with_hint("use another id")
}

pub(in crate::repository) fn changed(key: &ObjectKey) -> Error {
    Error::new(ErrorKind::Conflict, format!("saved object {key} was changed or deleted since it was read"))
        .with_hint("read it again and repeat the change")
}

pub(in crate::repository) fn corrupt(what: impl Display, corruption: Corruption) -> Error {
    Error::new(ErrorKind::Corrupt, format!("saved object {what} is corrupt: {corruption}"))
        .with_hint("correct it (`saved-objects verify` lists all such documents); if it is not needed, `Delete::force` deletes it")
        .with_source(corruption)
}

pub(in crate::repository) fn no_index(names: &IndexNames) -> Error {
    no_indices(&[names.alias()])
}

pub(in crate::repository) fn no_indices(aliases: &[&str]) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no index behind the alias {}", aliases.join(" or ")))
        .with_hint(MIGRATE)
}

pub(in crate::repository) fn not_one_generation(names: &IndexNames, indices: &[&str]) -> Error {
    Error::new(
        ErrorKind::Incompatible,
        format!("{} does not stand for exactly one generation: it names {}", names.alias(), indices.join(", ")),
    )
    .with_hint(format!(
        "let {} be an alias of one index called like {}; `saved-objects status` shows what is there",
        names.alias(),
        names.index(1)
    ))
}

/// The index lacks the mapping of the document to write: it would be stored, and searches would not find it.
pub(in crate::repository) fn not_mapped(definition: &TypeDefinition, names: &IndexNames, version: u32) -> Error {
    Error::new(
        ErrorKind::Incompatible,
        format!(
            "{} was not migrated to model version {version} of type {}: what is written now would not be found by all fields",
            names.alias(),
            definition.name()
        ),
    )
    .with_hint(MIGRATE)
}

pub(in crate::repository) fn no_write_alias(names: &IndexNames, generation: u32) -> Error {
    let alias = names.write_alias(generation);
    Error::new(ErrorKind::NotFound, format!("the alias {alias}, which writes go through, is missing"))
        .with_hint(MIGRATE)
}

/// The index behind the alias has a block.
pub(in crate::repository) fn takes_no_writes(names: &IndexNames) -> Error {
    Error::new(ErrorKind::Forbidden, format!("the index of {} takes no writes", names.alias())).with_hint(format!(
        "wait if `saved-objects status` shows a migration at work; else see which block it has, and who set it: GET \
         /{}/_settings/index.blocks.*",
        names.alias()
    ))
}

/// As [`takes_no_writes`] where the index is not known.
const UNBLOCK: &str =
    "wait if `saved-objects status` shows a migration at work; else lift the block that it or the reason names";

/// The hint for an object that fits into no request.
pub(in crate::repository) const TOO_LARGE: &str =
    "store less in one object, or raise http.max_content_length in the elasticsearch.yml of all nodes";

/// The error for an item that the server refused.
pub(in crate::repository) fn refused_write(key: &ObjectKey, error: &ItemError) -> Error {
    let of_block = error.block_hint();
    let (kind, what, hint) = match error.kind {
        ItemErrorKind::Conflict => return changed(key),
        ItemErrorKind::NotFound => return not_found(key),
        ItemErrorKind::WriteBlocked => {
            (ErrorKind::Forbidden, "the index takes no writes", of_block.as_deref().unwrap_or(UNBLOCK))
        }
        ItemErrorKind::Forbidden => (
            ErrorKind::Forbidden,
            "the server refuses the credentials",
            "give credentials that may write the indices of the prefix: `saved-objects privileges run` prints what they need",
        ),
        ItemErrorKind::MappingRefused => (
            ErrorKind::Invalid,
            "the index's mapping does not take it",
            "give values that fit the type's mapping; if they do, the index is behind: run `saved-objects migrate`",
        ),
        ItemErrorKind::TooLarge => (ErrorKind::Invalid, "it is too large", TOO_LARGE),
        ItemErrorKind::Unavailable => (ErrorKind::Unavailable, "the server is too busy", "try again later"),
        ItemErrorKind::OutcomeUnknown => (
            ErrorKind::OutcomeUnknown,
            "the answer was lost, and reading back does not tell whether it happened",
            "read the object and decide anew",
        ),
        _ => (
            ErrorKind::Internal,
            "the server refused it",
            "see the reason that the server gives; report it if it looks right",
        ),
    };
    error.clone().into_error(kind, format_args!("saved object {key} cannot be written: {what}"), hint)
}
