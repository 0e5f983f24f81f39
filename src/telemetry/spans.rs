//! The spans. Each has one function that opens it, but for `operation`, which is an attribute of the methods of the
//! repository.

use std::fmt;

use tracing::{Level, Span};

use super::SpanDescription;

/// The target of all spans, for filters.
const TARGET: &str = "saved_objects";

/// All spans.
pub const SPANS: &[SpanDescription] = &[
    span("start", Level::INFO, &["prefix", "start"], "The start of a store, with its migration."),
    span("migrate", Level::INFO, &["alias", "way"], "The migration of one index group."),
    span("step", Level::DEBUG, &["state"], "One state of the migration of an index group."),
    span("rotate", Level::INFO, &["pass"], "One pass of a key rotation over everything that is stored."),
    span(
        "operation",
        Level::DEBUG,
        &["operation"],
        "One call of the repository: `operation` is the method. Streams have none.",
    ),
    span("refresh", Level::INFO, &["token"], "The refresh of a token, which outlives its caller."),
    span("request", Level::DEBUG, &["api", "method"], "A request to Elasticsearch, with its repeats."),
];

const fn span(
    name: &'static str,
    level: Level,
    fields: &'static [&'static str],
    meaning: &'static str,
) -> SpanDescription {
    SpanDescription { name, level, fields, meaning }
}

pub(crate) fn start(prefix: impl fmt::Display, start: impl fmt::Debug) -> Span {
    tracing::info_span!(target: TARGET, "start", %prefix, ?start)
}

pub(crate) fn migration(alias: &str, way: impl fmt::Debug) -> Span {
    tracing::info_span!(target: TARGET, "migrate", alias, ?way)
}

pub(crate) fn migration_step(state: impl fmt::Debug) -> Span {
    tracing::debug_span!(target: TARGET, "step", ?state)
}

pub(crate) fn rotation(pass: u32) -> Span {
    tracing::info_span!(target: TARGET, "rotate", pass)
}

/// `token` is the id that the log names the token by.
pub(crate) fn refresh(token: impl fmt::Display) -> Span {
    tracing::info_span!(target: TARGET, "refresh", %token)
}

pub(crate) fn request(api: &'static str, method: &'static str) -> Span {
    tracing::debug_span!(target: TARGET, "request", api, method)
}
