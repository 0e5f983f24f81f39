//! The functions that record metrics. Values of labels are static texts, or share the text of a type's definition, so
//! that nothing is copied for a recorder that is not there.

use std::time::Duration;

use metrics::{Label, SharedString};

use super::catalog::*;
use super::{LabelValues, Metric, SEVERAL_TYPES, UNREGISTERED_TYPE};

/// The most series of a counter that begins at zero.
const MAX_SERIES: usize = 32;

/// The value of the label `type`.
pub(crate) type TypeLabel = SharedString;

/// The value of the label `type` for an operation on objects of several types.
pub(crate) fn several_types() -> TypeLabel {
    SharedString::const_str(SEVERAL_TYPES)
}

/// The value of the label `type` for a type that is not registered.
pub(crate) fn unregistered_type() -> TypeLabel {
    SharedString::const_str(UNREGISTERED_TYPE)
}

fn labels<const N: usize>(metric: &Metric, values: [SharedString; N]) -> Vec<Label> {
    debug_assert_eq!(metric.labels.len(), N, "the labels of {}", metric.name);
    metric.labels.iter().zip(values).map(|(label, value)| Label::new(label.name, value)).collect()
}

/// Sets all series of a counter to zero, if they are known and few.
pub(super) fn begin_at_zero(metric: &Metric) {
    let mut series: Vec<Vec<Label>> = vec![Vec::new()];
    for label in metric.labels {
        let LabelValues::OneOf(values) = label.values else { return };
        let with_each = |labels: &Vec<Label>| {
            let with = |value: &&'static str| [labels.as_slice(), &[Label::new(label.name, *value)]].concat();
            values.iter().map(with).collect::<Vec<_>>()
        };
        series = series.iter().flat_map(with_each).collect();
    }
    if series.len() <= MAX_SERIES {
        series.into_iter().for_each(|labels| metrics::counter!(metric.name, labels).increment(0));
    }
}

fn count<const N: usize>(metric: &Metric, values: [SharedString; N], by: u64) {
    metrics::counter!(metric.name, labels(metric, values)).increment(by);
}

fn set<const N: usize>(metric: &Metric, values: [SharedString; N], value: f64) {
    metrics::gauge!(metric.name, labels(metric, values)).set(value);
}

fn record<const N: usize>(metric: &Metric, values: [SharedString; N], value: f64) {
    metrics::histogram!(metric.name, labels(metric, values)).record(value);
}

/// Records the end of an admitted operation of the repository.
pub(crate) fn operation_ended(action: &'static str, type_name: TypeLabel, outcome: &'static str, took: Duration) {
    record(&OPERATION_DURATION, [action.into(), type_name.clone()], took.as_secs_f64());
    operation_counted(action, type_name, outcome);
}

/// Records an operation of the repository whose duration says nothing: it was refused, or was part of an import.
pub(crate) fn operation_counted(action: &'static str, type_name: TypeLabel, outcome: &'static str) {
    count(&OPERATIONS, [action.into(), type_name, outcome.into()], 1);
}

/// Records a conditional write of the repository that lost against another writer.
pub(crate) fn conflict(type_name: TypeLabel) {
    count(&CONFLICTS, [type_name], 1);
}

/// Records one attempt at a request to the cluster.
pub(crate) fn attempt_ended(api: &'static str, outcome: &'static str, took: Duration) {
    count(&REQUESTS, [api.into(), outcome.into()], 1);
    record(&REQUEST_DURATION, [api.into()], took.as_secs_f64());
}

/// Records that a request is sent again.
pub(crate) fn repeated(reason: &'static str) {
    count(&REPEATS, [reason.into()], 1);
}

/// Records what became known of a write whose answer was lost.
pub(crate) fn settled(outcome: &'static str) {
    count(&SETTLED_WRITES, [outcome.into()], 1);
}

/// Records the size of a bulk request.
pub(crate) fn bulk_sent(operations: usize, bytes: usize) {
    // A bulk has far fewer operations and bytes than a float can count exactly.
    record(&BULK_OPERATIONS, [], operations as f64);
    record(&BULK_BYTES, [], bytes as f64);
}

/// Records an attempt to decrypt a secret that failed.
pub(crate) fn secret_unopened(type_name: &str, cause: &'static str) {
    count(&UNOPENED_SECRETS, [type_name.to_owned().into(), cause.into()], 1);
}

/// Records what an attempt to take a claim or a lease came to, or how one ended.
pub(crate) fn claim(kind: &'static str, outcome: &'static str) {
    count(&CLAIMS, [kind.into(), outcome.into()], 1);
}

/// Records the documents that a migration has read and written.
pub(crate) fn documents_migrated(alias: &str, read: u64, written: u64) {
    count(&DOCUMENTS_READ, [alias.to_owned().into()], read);
    count(&DOCUMENTS_WRITTEN, [alias.to_owned().into()], written);
}

/// Records how many documents of an index group are left to convert.
pub(crate) fn documents_left(alias: &str, documents: u64) {
    set(&LEFT_DOCUMENTS, [alias.to_owned().into()], documents as f64);
}

/// Records documents that a migration could not convert.
pub(crate) fn bad_documents(alias: &str, fate: &'static str, documents: u64) {
    if documents > 0 {
        count(&BAD_DOCUMENTS, [alias.to_owned().into(), fate.into()], documents);
    }
}

/// Records the end of a run of a migrator.
pub(crate) fn run_ended(outcome: &'static str, took: Duration) {
    count(&RUNS, [outcome.into()], 1);
    record(&RUN_DURATION, [outcome.into()], took.as_secs_f64());
}

/// Records the time since the lease that this node holds was renewed.
pub(crate) fn held_lease_age(age: Duration) {
    set(&LEASE_AGE, ["holder".into()], age.as_secs_f64());
}

/// Records the time for which this node has seen the lease of another node unchanged.
pub(crate) fn watched_lease_age(age: Duration) {
    set(&LEASE_AGE, ["watcher".into()], age.as_secs_f64());
}

/// Records the number of documents in quarantine.
pub(crate) fn quarantined(documents: usize) {
    set(&QUARANTINED_DOCUMENTS, [], documents as f64);
}

/// Records the end of a refresh of a token.
pub(crate) fn refresh_ended(scope: &'static str, outcome: &'static str) {
    count(&REFRESHES, [scope.into(), outcome.into()], 1);
}

/// Records how long a refresh waited for its claim.
pub(crate) fn claim_waited(outcome: &'static str, wait: Duration) {
    record(&CLAIM_WAIT, [outcome.into()], wait.as_secs_f64());
}

/// Records the answer of a provider to a refresh.
pub(crate) fn provider_answered(outcome: &'static str, took: Duration) {
    record(&PROVIDER_DURATION, [outcome.into()], took.as_secs_f64());
}

/// Records that a pause of a provider begins.
pub(crate) fn provider_paused(reason: &'static str) {
    count(&PAUSES, [reason.into()], 1);
}

/// Records that a provider was not asked because of a pause.
pub(crate) fn held_off(reason: &'static str) {
    count(&HELD_OFF, [reason.into()], 1);
}

/// Records that the number of grants that only this process has grew by `by`.
pub(crate) fn unstored_grants_changed(by: i32) {
    metrics::gauge!(UNSTORED_GRANTS.name).increment(f64::from(by));
}
