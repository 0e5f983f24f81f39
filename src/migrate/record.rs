use serde_json::{Value, json};

use crate::cluster::{Cluster, ClusterErrorKind};
use crate::layout::IndexMeta;
use crate::{Error, ErrorKind, Result};

/// How often a record is repeated that other nodes overwrote at the same moment.
const MAX_ROUNDS: u32 = 10;

/// Adds `mapping` to the index and merges `facts` into its `_meta`. Elasticsearch has no compare-and-set for mappings:
/// what is there is read, merged by maximum, written and read back, until it holds the facts (design decision 6).
///
/// # Errors
/// [`Conflict`](ErrorKind::Conflict) if other nodes overwrote it in every round, and whatever the cluster answers.
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
                .with_cure("keep the field's mapping and add a new field, which is possible in place")
                .with_source(error));
            }
            Err(error) => return Err(error.into()),
        }
        current = read(cluster, index).await?;
    }
    Err(Error::new(ErrorKind::Conflict, format!("other nodes keep overwriting the _meta of {index}"))
        .with_cure("start again when they are done"))
}

/// Merges `facts` into the `_meta` of the index, and leaves its mapping as it is.
///
/// # Errors
/// As [`record`].
pub(super) async fn record_facts(cluster: &dyn Cluster, index: &str, facts: &IndexMeta) -> Result<()> {
    record(cluster, index, &json!({}), facts).await
}

async fn read(cluster: &dyn Cluster, index: &str) -> Result<Value> {
    let found = cluster.indices(&[index]).await?.remove(index);
    found.map(|state| state.mapping).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("the index {index} is gone"))
            .with_cure("start again, and it is planned anew")
    })
}

/// Whether every property of `wanted` is in `current`, at any depth. What the index has beyond that is no matter.
fn has_mapping(current: &Value, wanted: &Value) -> bool {
    match (current, wanted) {
        (Value::Object(current), Value::Object(wanted)) => wanted.iter().all(|(name, wanted)| {
            // Elasticsearch leaves the default out.
            let is_default = name == "type" && *wanted == json!("object") && current.contains_key("properties");
            is_default || current.get(name).is_some_and(|current| has_mapping(current, wanted))
        }),
        (current, wanted) => current == wanted || as_text(current) == as_text(wanted),
    }
}

/// Elasticsearch answers booleans and numbers of a mapping as texts in some places.
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
