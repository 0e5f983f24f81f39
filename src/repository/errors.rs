//! One constructor for each cause that several operations share.

use std::fmt::Display;

use super::ObjectKey;
use crate::cluster::{ItemError, ItemErrorKind};
use crate::document::Corruption;
use crate::layout::IndexNames;
use crate::{Error, ErrorKind};

const MIGRATE: &str = "run `saved-objects migrate`, or start the store with `Start::Migrate`";

pub(super) fn unavailable_type(type_name: &str) -> Error {
    Error::invalid(
        format!("the type {type_name:?} is not available here"),
        "register it; if it is hidden, ask for it by name with `including`",
    )
}

pub(super) fn not_found(key: &ObjectKey) -> Error {
    let namespace = &key.namespace;
    Error::new(ErrorKind::NotFound, format!("saved object {key} not found in namespace {namespace}"))
        .with_cure("create it, or check type, id and namespace")
}

pub(super) fn exists_already(key: &ObjectKey) -> Error {
    Error::new(ErrorKind::Conflict, format!("saved object {key} exists already"))
        .with_cure("update or replace it, or let create overwrite it")
}

pub(super) fn exists_elsewhere(key: &ObjectKey) -> Error {
    let namespace = &key.namespace;
    Error::new(
        ErrorKind::Conflict,
        format!("the id of saved object {key} is taken by an object that is not seen from namespace {namespace}"),
    )
    .with_cure("use another id")
}

pub(super) fn changed(key: &ObjectKey) -> Error {
    Error::new(ErrorKind::Conflict, format!("saved object {key} was changed or deleted since it was read"))
        .with_cure("read it again and repeat the change")
}

pub(super) fn corrupt(what: impl Display, corruption: Corruption) -> Error {
    Error::new(ErrorKind::Corrupt, format!("saved object {what} is corrupt: {corruption}"))
        .with_cure("correct it, or delete it with `force`; `saved-objects verify` lists all such documents")
        .with_source(corruption)
}

pub(super) fn no_index(names: &IndexNames) -> Error {
    no_indices(&[names.alias()])
}

pub(super) fn no_indices(aliases: &[&str]) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no index behind the alias {}", aliases.join(" or ")))
        .with_cure(MIGRATE)
}

pub(super) fn not_one_generation(names: &IndexNames, indices: &[&str]) -> Error {
    Error::new(
        ErrorKind::Incompatible,
        format!("{} does not stand for exactly one generation: it names {}", names.alias(), indices.join(", ")),
    )
    .with_cure(format!(
        "let {} be an alias of one index called like {}; `saved-objects status` shows what is there",
        names.alias(),
        names.index(1)
    ))
}

pub(super) fn no_write_alias(names: &IndexNames, generation: u32) -> Error {
    let alias = names.write_alias(generation);
    Error::new(ErrorKind::NotFound, format!("the alias {alias}, which writes go through, is missing"))
        .with_cure(MIGRATE)
}

/// The index behind the alias has a block.
pub(super) fn takes_no_writes(names: &IndexNames) -> Error {
    Error::new(ErrorKind::Forbidden, format!("the index of {} takes no writes", names.alias())).with_cure(UNBLOCK)
}

const UNBLOCK: &str = "wait for the migration that blocks it; if none is running, look at the index's `blocks` settings and at the disk space";

/// An error for an item whose kind is not acted upon.
pub(super) fn refused_write(key: &ObjectKey, error: &ItemError) -> Error {
    let (kind, what, cure) = match error.kind {
        ItemErrorKind::Conflict => return changed(key),
        ItemErrorKind::NotFound => return not_found(key),
        ItemErrorKind::WriteBlocked => (ErrorKind::Forbidden, "the index takes no writes", UNBLOCK),
        ItemErrorKind::Forbidden => (
            ErrorKind::Forbidden,
            "the server refuses the credentials",
            "give credentials that may write the indices of the prefix",
        ),
        ItemErrorKind::MappingRefused => (
            ErrorKind::Invalid,
            "the index's mapping does not take it",
            "give values that fit the type's mapping; if they do, the index is behind: run `saved-objects migrate`",
        ),
        ItemErrorKind::TooLarge => (
            ErrorKind::Invalid,
            "it is too large",
            "store less in one object, or raise http.max_content_length of the server",
        ),
        ItemErrorKind::Unavailable => (ErrorKind::Unavailable, "the server is too busy", "try again later"),
        ItemErrorKind::OutcomeUnknown => (
            ErrorKind::OutcomeUnknown,
            "the answer was lost, and reading back does not tell whether it happened",
            "read the object and decide anew",
        ),
        _ => (ErrorKind::Internal, "the server refused it", "check the reason that the server gives"),
    };
    error.clone().into_error(kind, format_args!("saved object {key} cannot be written: {what}"), cure)
}
