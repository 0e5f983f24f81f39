//! Records facts in an index's `_meta`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::GroupPlan;
use crate::cluster::{Cluster, ClusterErrorKind};
use crate::layout::IndexMeta;
use crate::{Error, ErrorKind, Result};

/// How often a record is written that other nodes overwrite at the same moment.
const MAX_ROUNDS: u32 = 10;

/// Adds `mapping` to the index and merges `facts` into its `_meta`. Elasticsearch has no compare-and-set for mappings,
/// so `_meta` is read, merged by maximum, written and read back, until it has the facts (record 22).
///
/// # Errors
/// [`Conflict`](ErrorKind::Conflict) if other nodes overwrote it in every round,
/// [`Incompatible`](ErrorKind::Incompatible) if the index refuses the mapping, and the errors of the cluster.
pub(super) async fn record(cluster: &dyn Cluster, index: &str, mapping: &Value, facts: &IndexMeta) -> Result<()> {
    let mut current = read(cluster, index).await?;
    for _ in 0..MAX_ROUNDS {
        let recorded = IndexMeta::from_mapping(&current)?;
        let merged = recorded.clone().merged(facts);
        if merged == recorded && has_mapping(&current, mapping) {
            return Ok(());
        }
        let mut update = mapping.clone();
        update["_meta"] = merged.into_meta(Some(&current));
        match cluster.put_mapping(index, &update).await {
            Ok(()) => {}
            Err(error) if error.kind == ClusterErrorKind::MappingRefused => {
                return Err(Error::new(
                    ErrorKind::Incompatible,
                    format!("{index} refuses the registered mapping: {error}"),
                )
                .with_hint("keep the field's mapping and add a new field, which is possible in place")
                .with_source(error));
            }
            Err(error) => return Err(error.into()),
        }
        current = read(cluster, index).await?;
    }
    Err(Error::new(ErrorKind::Conflict, format!("other nodes keep overwriting the _meta of {index}"))
        .with_hint("start again when they are done"))
}

/// Adds the mapping of a group to its index, and records the mapping and when the index got it. Returns how many writes
/// the index had taken before each type was mapped. Searches may miss fields of documents with earlier sequence
/// numbers.
///
/// # Errors
/// The same as [`record`].
pub(super) async fn record_mapping(cluster: &dyn Cluster, group: &GroupPlan) -> Result<BTreeMap<String, u64>> {
    let index = &group.index;
    record(cluster, index, &group.mapping, &group.meta_before()).await?;
    let planned = group.current.as_ref().map(|current| current.meta.clone()).unwrap_or_default();
    let meta = match group.not_marked(&planned).is_empty() {
        true => planned,
        false => mark(cluster, group).await?,
    };
    Ok(GroupPlan::writes_before_mapping(meta))
}

/// Records when the index got the mappings, for the types of which it has no such record. The index has all of them
/// now.
async fn mark(cluster: &dyn Cluster, group: &GroupPlan) -> Result<IndexMeta> {
    let index = &group.index;
    let recorded = IndexMeta::from_mapping(&read(cluster, index).await?)?;
    let types = group.not_marked(&recorded);
    if types.is_empty() {
        return Ok(recorded);
    }
    let facts = group.meta_of_mapped(&types, cluster.write_count(index).await?);
    record_facts(cluster, index, &facts).await?;
    Ok(recorded.merged(&facts))
}

/// Merges `facts` into the `_meta` of the index, without changing the rest of its mapping.
///
/// # Errors
/// The same as [`record`].
pub(super) async fn record_facts(cluster: &dyn Cluster, index: &str, facts: &IndexMeta) -> Result<()> {
    record(cluster, index, &json!({}), facts).await
}

async fn read(cluster: &dyn Cluster, index: &str) -> Result<Value> {
    let found = cluster.indices(&[index]).await?.remove(index);
    found.map(|state| state.mapping).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("the index {index} is gone"))
            .with_hint("start again, which makes a new plan")
    })
}

/// Returns whether every property of `wanted` is in `current`, at any depth. `current` may have more.
pub(super) fn has_mapping(current: &Value, wanted: &Value) -> bool {
    match (current, wanted) {
        (Value::Object(current), Value::Object(wanted)) => wanted.iter().all(|(name, wanted)| {
            // Elasticsearch omits the default type.
            let is_default = name == "type" && *wanted == json!("object") && current.contains_key("properties");
            is_default || current.get(name).is_some_and(|current| has_mapping(current, wanted))
        }),
        (current, wanted) => current == wanted || as_text(current) == as_text(wanted),
    }
}

/// Returns a value as text. Elasticsearch returns some booleans and numbers of a mapping as texts.
fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_is_there_when_all_of_it_is() {
        let wanted = json!({"dynamic": "strict", "properties": {"a": {"type": "keyword"}, "o": {"dynamic": false}}});
        let current = json!({"dynamic": "strict", "_meta": {}, "properties": {
            "a": {"type": "keyword"}, "b": {"type": "long"}, "o": {"dynamic": "false"}}});
        assert!(has_mapping(&current, &wanted));
        assert!(!has_mapping(&json!({"dynamic": "strict", "properties": {"a": {"type": "long"}}}), &wanted));
        assert!(!has_mapping(&json!({}), &wanted));
    }
}
