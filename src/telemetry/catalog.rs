//! The metrics, each with its labels and their values.

use super::{LabelValues, Metric, MetricKind, MetricLabel, MetricUnit};

const fn metric(
    name: &'static str,
    kind: MetricKind,
    unit: MetricUnit,
    labels: &'static [MetricLabel],
    meaning: &'static str,
) -> Metric {
    Metric { name, kind, unit, labels, meaning }
}

const fn one_of(name: &'static str, values: &'static [&'static str]) -> MetricLabel {
    MetricLabel { name, values: LabelValues::OneOf(values) }
}

const TYPE: MetricLabel = MetricLabel { name: "type", values: LabelValues::Type };
const ALIAS: MetricLabel = MetricLabel { name: "alias", values: LabelValues::Alias };
const ACTION: MetricLabel = one_of(
    "action",
    &[
        "create",
        "get",
        "get_secrets",
        "find",
        "update",
        "delete",
        "export",
        "import",
        "share",
        "share_everywhere",
        "delete_namespace",
        "everywhere",
        "list_namespaces",
    ],
);
const OPERATION_OUTCOME: MetricLabel = one_of(
    "outcome",
    &[
        "done",
        "refused",
        "given_up",
        "not_found",
        "conflict",
        "invalid",
        "forbidden",
        "decrypt",
        "unavailable",
        "incompatible",
        "corrupt",
        "outcome_unknown",
        "internal",
    ],
);
const API: MetricLabel = one_of(
    "api",
    &[
        "aliases", "block", "bulk", "clone", "cluster", "get", "index", "mapping", "mget", "nodes", "other", "pit",
        "refresh", "search", "security", "settings", "stats", "template",
    ],
);
const ATTEMPT_OUTCOME: MetricLabel = one_of(
    "outcome",
    &[
        "answered",
        "refused",
        "busy",
        "failed",
        "unavailable",
        "credentials",
        "not_connected",
        "misconfigured",
        "lost",
        "timeout",
    ],
);
const REPEAT_REASON: MetricLabel =
    one_of("reason", &["busy", "failed", "unavailable", "credentials", "not_connected", "lost", "timeout", "no_shard"]);
const SETTLED: MetricLabel = one_of("outcome", &["done", "not_done", "conflict", "unknown"]);
const CAUSE: MetricLabel = one_of(
    "cause",
    &[
        "not_a_string",
        "no_keys",
        "not_sealed",
        "malformed",
        "unsupported_version",
        "unknown_key",
        "model_version",
        "unrecorded_version",
        "authentication",
        "not_json",
    ],
);
const CLAIM_KIND: MetricLabel = one_of("kind", &["lease", "claim"]);
const CLAIM_OUTCOME: MetricLabel = one_of("outcome", &["taken", "taken_over", "held_by_other", "released", "lost"]);
const FATE: MetricLabel = one_of("fate", &["kept", "quarantined", "stripped", "discarded"]);
const RUN_OUTCOME: MetricLabel = one_of(
    "outcome",
    &["migrated", "nothing_to_do", "waited", "planned", "rolled_back", "dropped", "blocked", "failed"],
);
const ROLE: MetricLabel = one_of("role", &["holder", "watcher"]);
const SCOPE: MetricLabel = one_of("scope", &["shared", "per-user"]);
const REFRESH_OUTCOME: MetricLabel = one_of(
    "outcome",
    &[
        "refreshed",
        "expired",
        "refresh_expired",
        "revoked",
        "transient",
        "refused",
        "deleted",
        "not_stored",
        "no_token",
        "unreadable",
        "failed",
    ],
);
const WAIT_OUTCOME: MetricLabel = one_of("outcome", &["taken", "replaced", "given_up"]);
const PROVIDER_OUTCOME: MetricLabel = one_of("outcome", &["granted", "invalid_grant", "transient", "refused"]);
const PAUSE_REASON: MetricLabel = one_of("reason", &["busy", "refused"]);

pub(super) const OPERATIONS: Metric = metric(
    "saved_objects_repository_operations_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[ACTION, TYPE, OPERATION_OUTCOME],
    "Operations of the repository that ended, each object of a call on many by itself.",
);
pub(super) const OPERATION_DURATION: Metric = metric(
    "saved_objects_repository_operation_duration_seconds",
    MetricKind::Histogram,
    MetricUnit::Seconds,
    &[ACTION, TYPE],
    "The time from the admission of an operation to its answer, of a stream to its end.",
);
pub(super) const CONFLICTS: Metric = metric(
    "saved_objects_repository_conflicts_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[TYPE],
    "Conditional writes of the repository that lost against another writer. Most are read, changed and written again.",
);
pub(super) const REQUESTS: Metric = metric(
    "saved_objects_cluster_requests_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[API, ATTEMPT_OUTCOME],
    "Requests to Elasticsearch, each attempt by itself.",
);
pub(super) const REQUEST_DURATION: Metric = metric(
    "saved_objects_cluster_request_duration_seconds",
    MetricKind::Histogram,
    MetricUnit::Seconds,
    &[API],
    "The time of one attempt at a request, to the last byte of its answer.",
);
pub(super) const REPEATS: Metric = metric(
    "saved_objects_cluster_repeats_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[REPEAT_REASON],
    "Requests that are sent again, by what happened to the attempt before.",
);
pub(super) const SETTLED_WRITES: Metric = metric(
    "saved_objects_cluster_settled_writes_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[SETTLED],
    "Writes of documents whose answer was lost, by what reading back showed.",
);
pub(super) const BULK_OPERATIONS: Metric = metric(
    "saved_objects_cluster_bulk_operations",
    MetricKind::Histogram,
    MetricUnit::Count,
    &[],
    "Operations in a bulk request.",
);
pub(super) const BULK_BYTES: Metric = metric(
    "saved_objects_cluster_bulk_bytes",
    MetricKind::Histogram,
    MetricUnit::Bytes,
    &[],
    "The size of the body of a bulk request.",
);
pub(super) const UNOPENED_SECRETS: Metric = metric(
    "saved_objects_encryption_unopened_secrets_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[TYPE, CAUSE],
    "Attempts to decrypt a secret that failed.",
);
pub(super) const CLAIMS: Metric = metric(
    "saved_objects_control_claims_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[CLAIM_KIND, CLAIM_OUTCOME],
    "Attempts to take, and ends of, the lease of a migration and the claims on tokens.",
);
pub(super) const DOCUMENTS_READ: Metric = metric(
    "saved_objects_migration_documents_read_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[ALIAS],
    "Documents that migrations have read.",
);
pub(super) const DOCUMENTS_WRITTEN: Metric = metric(
    "saved_objects_migration_documents_written_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[ALIAS],
    "Documents that migrations have written.",
);
pub(super) const LEFT_DOCUMENTS: Metric = metric(
    "saved_objects_migration_left_documents",
    MetricKind::Gauge,
    MetricUnit::Count,
    &[ALIAS],
    "Documents that the migration of an index group still has to convert. Zero after its end, and not after a failure.",
);
pub(super) const BAD_DOCUMENTS: Metric = metric(
    "saved_objects_migration_bad_documents_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[ALIAS, FATE],
    "Documents that a migration could not convert, counted in each pass, by what happened to them.",
);
pub(super) const RUNS: Metric = metric(
    "saved_objects_migration_runs_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[RUN_OUTCOME],
    "Migrations, plans, rollbacks and deletions of kept generations, by their outcome.",
);
pub(super) const RUN_DURATION: Metric = metric(
    "saved_objects_migration_run_duration_seconds",
    MetricKind::Histogram,
    MetricUnit::Seconds,
    &[RUN_OUTCOME],
    "The time of each of these runs, with its waits for other nodes.",
);
pub(super) const LEASE_AGE: Metric = metric(
    "saved_objects_migration_lease_age_seconds",
    MetricKind::Gauge,
    MetricUnit::Seconds,
    &[ROLE],
    "The time since the lease of a migration was last renewed: by this node (holder), or as this node has seen it while \
     it waits (watcher). Zero while there is no migration.",
);
pub(super) const QUARANTINED_DOCUMENTS: Metric = metric(
    "saved_objects_quarantine_documents",
    MetricKind::Gauge,
    MetricUnit::Count,
    &[],
    "Documents in quarantine when this process last listed them.",
);
pub(super) const REFRESHES: Metric = metric(
    "saved_objects_tokens_refreshes_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[SCOPE, REFRESH_OUTCOME],
    "Refreshes of tokens in this process, each for all callers that wait for it.",
);
pub(super) const CLAIM_WAIT: Metric = metric(
    "saved_objects_tokens_claim_wait_seconds",
    MetricKind::Histogram,
    MetricUnit::Seconds,
    &[WAIT_OUTCOME],
    "The time that a refresh waits for its claim: until this process has it, or another one has replaced the token.",
);
pub(super) const PROVIDER_DURATION: Metric = metric(
    "saved_objects_tokens_provider_duration_seconds",
    MetricKind::Histogram,
    MetricUnit::Seconds,
    &[PROVIDER_OUTCOME],
    "The time that providers take to answer a refresh.",
);
pub(super) const PAUSES: Metric = metric(
    "saved_objects_tokens_provider_pauses_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[PAUSE_REASON],
    "Pauses that began: a provider asked for one, or refused a refresh token.",
);
pub(super) const HELD_OFF: Metric = metric(
    "saved_objects_tokens_held_off_total",
    MetricKind::Counter,
    MetricUnit::Count,
    &[PAUSE_REASON],
    "Calls for a token that was due, for which the provider was not asked because of a pause.",
);
pub(super) const UNSTORED_GRANTS: Metric = metric(
    "saved_objects_tokens_unstored_grants",
    MetricKind::Gauge,
    MetricUnit::Count,
    &[],
    "Grants of providers that could not be stored, and that only this process has.",
);

/// All metrics.
pub const METRICS: &[Metric] = &[
    OPERATIONS,
    OPERATION_DURATION,
    CONFLICTS,
    REQUESTS,
    REQUEST_DURATION,
    REPEATS,
    SETTLED_WRITES,
    BULK_OPERATIONS,
    BULK_BYTES,
    UNOPENED_SECRETS,
    CLAIMS,
    DOCUMENTS_READ,
    DOCUMENTS_WRITTEN,
    LEFT_DOCUMENTS,
    BAD_DOCUMENTS,
    RUNS,
    RUN_DURATION,
    LEASE_AGE,
    QUARANTINED_DOCUMENTS,
    REFRESHES,
    CLAIM_WAIT,
    PROVIDER_DURATION,
    PAUSES,
    HELD_OFF,
    UNSTORED_GRANTS,
];
