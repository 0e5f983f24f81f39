//! What a platform sees of this library from outside: metrics, by the crate `metrics`, and spans, by the crate
//! `tracing`. This module alone names them. The rest of the library calls its functions, each of which records one
//! fact.
//!
//! A platform installs a recorder of the crate `metrics`, such as the exporter for Prometheus, before it starts a store.
//! Without a recorder nothing is recorded, and nothing is allocated but short lists of labels. [`METRICS`] and
//! [`SPANS`] describe everything; `docs/observability.md` has the same as tables, with alerts.
//!
//! No label and no span has a secret, an id of an object, a namespace or the name of a user. Each label has a bounded
//! number of values ([`LabelValues`]).

mod catalog;
#[cfg(test)]
mod documented;
mod record;
mod spans;

use metrics::Unit;

pub use catalog::METRICS;
pub(crate) use record::*;
pub use spans::SPANS;
pub(crate) use spans::{migration, migration_step, refresh, request, rotation, start};

/// A metric of this library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name: `saved_objects_<area>_<what>_<unit>`, or `…_total` for a counter.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// The unit of its values.
    pub unit: MetricUnit,
    /// Its labels, in order.
    pub labels: &'static [MetricLabel],
    /// What it measures.
    pub meaning: &'static str,
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// It is the latest value.
    Gauge,
    /// It is a distribution of values.
    Histogram,
}

/// The unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricUnit {
    /// A number of things, which the metric's name says.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// A label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricLabel {
    /// Its name.
    pub name: &'static str,
    /// The values that it can have.
    pub values: LabelValues,
}

/// The values that a label can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelValues {
    /// One of these.
    OneOf(&'static [&'static str]),
    /// The name of a registered type; [`SEVERAL_TYPES`] or [`UNREGISTERED_TYPE`].
    Type,
    /// The alias of an index group, `<prefix>-<group>`.
    Alias,
}

/// The value of a label for an operation on objects of several types.
pub const SEVERAL_TYPES: &str = "several";
/// The value of a label for a type that is not registered.
pub const UNREGISTERED_TYPE: &str = "unregistered";

/// A span of this library. Its name is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpanDescription {
    /// Its name.
    pub name: &'static str,
    /// Its level.
    pub level: tracing::Level,
    /// The names of its fields, in order.
    pub fields: &'static [&'static str],
    /// The work that it lasts for.
    pub meaning: &'static str,
}

/// Describes all metrics, with their units, to the installed recorder. Counters that have few series, all known, begin at
/// zero, so that a rate sees their first event. [`start`](crate::SavedObjectsBuilder::start) calls this; call it if the
/// recorder is installed later.
pub fn describe() {
    metrics::with_recorder(|recorder| {
        for metric in METRICS {
            let unit = match metric.unit {
                MetricUnit::Count => Unit::Count,
                MetricUnit::Seconds => Unit::Seconds,
                MetricUnit::Bytes => Unit::Bytes,
            };
            let (name, meaning) = (metric.name.into(), metric.meaning.into());
            match metric.kind {
                MetricKind::Counter => recorder.describe_counter(name, Some(unit), meaning),
                MetricKind::Gauge => recorder.describe_gauge(name, Some(unit), meaning),
                MetricKind::Histogram => recorder.describe_histogram(name, Some(unit), meaning),
            }
        }
    });
    let counters = METRICS.iter().filter(|metric| metric.kind == MetricKind::Counter);
    counters.for_each(record::begin_at_zero);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const AREAS: [&str; 7] = ["repository", "cluster", "encryption", "control", "migration", "quarantine", "tokens"];

    #[test]
    fn names_follow_one_scheme() {
        let names: BTreeSet<&str> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len(), "a name is given twice");
        for metric in METRICS {
            let rest = metric.name.strip_prefix("saved_objects_").expect("every name begins with the library's");
            assert!(AREAS.iter().any(|area| rest.starts_with(&format!("{area}_"))), "{}", metric.name);
            let endings: &[&str] = match (metric.kind, metric.unit) {
                (MetricKind::Counter, _) => &["_total"],
                (_, MetricUnit::Seconds) => &["_seconds"],
                (_, MetricUnit::Bytes) => &["_bytes"],
                (_, MetricUnit::Count) => &["_operations", "_documents", "_grants"],
            };
            assert!(endings.iter().any(|ending| rest.ends_with(ending)), "{}", metric.name);
            assert!(metric.meaning.ends_with('.') && !metric.meaning.contains('|'), "{}", metric.name);
        }
    }

    #[test]
    fn labels_have_few_values() {
        for label in METRICS.iter().flat_map(|metric| metric.labels) {
            if let LabelValues::OneOf(values) = label.values {
                let different: BTreeSet<_> = values.iter().collect();
                assert!(different.len() == values.len() && values.len() < 32, "{}: {values:?}", label.name);
                let is_plain = |value: &&str| value.chars().all(|c| c.is_ascii_lowercase() || "_-".contains(c));
                assert!(values.iter().all(is_plain), "{}: {values:?}", label.name);
            }
        }
    }
}
