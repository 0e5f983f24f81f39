//! Selects the settings and aliases that operators gave an index, so that its copy gets them too. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cluster::{AliasAction, AliasState, IndexSettings, IndexState, TOTAL_FIELDS_LIMIT};
use crate::layout::IndexNames;

/// Settings that belong to one index, or that its creation decides, by their names without `index.`. A name that ends
/// in a dot stands for all settings that begin with it.
const NOT_CARRIED: &[&str] = &[
    "archived.",
    "blocks.",
    "creation_date",
    "creation_date_string",
    "downsample.",
    "frozen",
    "history.uuid",
    "lifecycle.indexing_complete",
    "lifecycle.origination_date",
    "mode",
    "number_of_routing_shards",
    "number_of_shards",
    "provided_name",
    "recovery.",
    "replication.",
    "resize.",
    "rollup.",
    "routing.allocation.initial_recovery.",
    "routing_partition_size",
    "routing_path",
    "search.throttled",
    "shrink.",
    "soft_deletes.",
    "store.snapshot.",
    "store.type",
    "time_series.",
    "transport_version.",
    "uuid",
    "verified_before_close",
    "verified_read_only",
    "version.",
    // The staging index has no replicas to wait for.
    "write.wait_for_active_shards",
    "xpack.",
];
/// Settings that only a complete copy gets. In a staging index they would slow down the copying, or change the
/// documents.
const ONLY_WHEN_COMPLETE: &[&str] = &[
    "auto_expand_replicas",
    "default_pipeline",
    "final_pipeline",
    "lifecycle.",
    "number_of_replicas",
    "refresh_interval",
];

/// The settings and aliases that operators gave an index.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Carried {
    settings: IndexSettings,
    aliases: BTreeMap<String, AliasState>,
}

impl Carried {
    /// Returns the settings and aliases that differ from those of an index that the engine creates.
    pub(super) fn of(names: &IndexNames, state: &IndexState) -> Self {
        let expands = state.settings.get("auto_expand_replicas").is_some_and(|value| text(value) == "0-1");
        let is_operators = |(name, value): &(&String, &Value)| {
            let is_derived = expands && *name == "number_of_replicas";
            !(is_derived || is_among(NOT_CARRIED, name) || is_ours(name, &text(value)))
        };
        let own = |(name, value): (&String, &Value)| (name.clone(), value.clone());
        Self {
            settings: state.settings.iter().filter(is_operators).map(own).collect(),
            aliases: operators_aliases(names, state),
        }
    }

    /// Returns the settings of the staging index.
    pub(super) fn while_copying(&self) -> IndexSettings {
        self.settings_that(|name| !is_among(ONLY_WHEN_COMPLETE, name))
    }

    /// Returns the settings that the complete copy has in addition to those of the staging index.
    pub(super) fn when_complete(&self) -> IndexSettings {
        self.settings_that(|name| is_among(ONLY_WHEN_COMPLETE, name))
    }

    fn settings_that(&self, is_chosen: impl Fn(&str) -> bool) -> IndexSettings {
        let chosen = self.settings.iter().filter(|(name, _)| is_chosen(name));
        chosen.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Returns the limit of fields of a copy.
    pub(super) fn total_fields_limit(&self) -> u64 {
        limit_of(&self.settings, "mapping.total_fields.limit").unwrap_or(TOTAL_FIELDS_LIMIT)
    }

    /// Returns the settings and aliases as reports name them.
    pub(super) fn reported(&self) -> Vec<String> {
        let settings = self.settings.iter().map(|(name, value)| format!("setting index.{name} = {}", text(value)));
        settings.chain(self.aliases.keys().map(|alias| format!("alias {alias}"))).collect()
    }
}

/// Returns the aliases of an index that the engine did not create.
fn operators_aliases(names: &IndexNames, state: &IndexState) -> BTreeMap<String, AliasState> {
    let theirs = state.aliases.iter().filter(|(alias, _)| !names.is_own_alias(alias));
    theirs.map(|(alias, state)| (alias.clone(), state.clone())).collect()
}

/// Returns the actions that move the aliases of operators from one index to another.
pub(super) fn move_aliases(names: &IndexNames, from: &str, state: &IndexState, to: &str) -> Vec<AliasAction> {
    let moving = |(alias, state): (String, AliasState)| {
        let remove = AliasAction::Remove { index: from.to_owned(), alias: alias.clone() };
        [remove, AliasAction::AddAs { index: to.to_owned(), alias, state }]
    };
    operators_aliases(names, state).into_iter().flat_map(moving).collect()
}

/// Returns a limit in `settings`.
pub(super) fn limit_of(settings: &IndexSettings, name: &str) -> Option<u64> {
    settings.get(name).and_then(|limit| text(limit).parse().ok())
}

fn is_among(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| name == *known || known.ends_with('.') && name.starts_with(known))
}

/// Returns whether the engine or the server gives an index this setting.
fn is_ours(name: &str, value: &str) -> bool {
    match name {
        "hidden" => value == "true",
        "auto_expand_replicas" => value == "0-1",
        "refresh_interval" => value == "1s",
        "mapping.total_fields.limit" => value == TOTAL_FIELDS_LIMIT.to_string(),
        "routing.allocation.include._tier_preference" => value == "data_content",
        _ => false,
    }
}

/// Returns the value of a setting as text, in the server's form.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::layout::Prefix;

    fn names() -> IndexNames {
        "p".parse::<Prefix>().expect("a prefix").group("notes")
    }

    fn state(settings: Value, aliases: &[&str]) -> IndexState {
        IndexState {
            uuid: "u".to_owned(),
            mapping: json!({}),
            aliases: aliases.iter().map(|&alias| (alias.to_owned(), AliasState::hidden())).collect(),
            write_blocked: false,
            other_blocks: Default::default(),
            settings: serde_json::from_value(settings).expect("settings"),
        }
    }

    #[test]
    fn what_the_engine_and_the_server_set_is_not_an_operators() {
        let made = json!({
            "uuid": "u", "provided_name": "p-notes-000001", "creation_date": "1", "version.created": "9", "hidden": "true",
            "number_of_shards": "1", "number_of_replicas": "1", "auto_expand_replicas": "0-1", "refresh_interval": "1s",
            "mapping.total_fields.limit": "1500", "routing.allocation.include._tier_preference": "data_content",
            "resize.source.name": "x", "routing.allocation.initial_recovery._id": "n", "history.uuid": "h",
            "verified_read_only": "true",
        });
        let own = ["p-notes", "p-notes-000001-write", "p-notes-000001-copying-a", "p-notes-000001-undoing-b"];
        assert_eq!(Carried::of(&names(), &state(made, &own)), Carried::default());
    }

    #[test]
    fn settings_and_aliases_of_operators_are_carried() {
        let changed = json!({
            "auto_expand_replicas": "false", "number_of_replicas": "2", "refresh_interval": "30s", "codec": "best_compression",
            "mapping.total_fields.limit": "3000", "query.default_field": ["a", "b"],
        });
        let state = state(changed, &["p-notes", "p-notes-report", "dashboards"]);
        let carried = Carried::of(&names(), &state);
        assert_eq!(carried.total_fields_limit(), 3_000);
        let names_of = |settings: IndexSettings| settings.into_keys().collect::<Vec<_>>();
        assert_eq!(names_of(carried.while_copying()), ["codec", "mapping.total_fields.limit", "query.default_field"]);
        assert_eq!(
            names_of(carried.when_complete()),
            ["auto_expand_replicas", "number_of_replicas", "refresh_interval"]
        );
        let reported = carried.reported();
        assert!(reported.contains(&"setting index.codec = best_compression".to_owned()), "{reported:?}");
        assert_eq!(reported[reported.len() - 2..], ["alias dashboards", "alias p-notes-report"]);
        let moved = move_aliases(&names(), "p-notes-000001", &state, "p-notes-000002");
        let (index, alias) = ("p-notes-000001".to_owned(), "dashboards".to_owned());
        assert_eq!(moved.len(), 4);
        assert_eq!(moved[0], AliasAction::Remove { index, alias });
        assert!(matches!(&moved[1], AliasAction::AddAs { index, .. } if index == "p-notes-000002"));
    }
}
