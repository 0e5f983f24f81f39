//! What a command does not see and must report: writes of the last second, indices that no registered type belongs to,
//! and a prefix without any index.

use std::collections::BTreeMap;

use crate::output::Output;
use saved_objects::cluster::Unseen;
use saved_objects::cluster::{ClusterErrorKind, TypeCount};
use saved_objects::internals::UnderPrefix;
use saved_objects::layout::Prefix;
use saved_objects::repository::Repository;
use saved_objects::{Result, SavedObjects};

/// Refreshes the indices, as far as the credentials allow, so that searches see earlier writes.
pub(super) async fn see_all_writes<'a>(
    repository: &Repository,
    types: impl IntoIterator<Item = &'a str>,
    output: Output,
) -> Result<()> {
    for unrefreshed in repository.refresh_each(types.into_iter()).await? {
        output.say(format!("{}; {}", unrefreshed.what(), unrefreshed.hint()));
    }
    Ok(())
}

/// Returns what exists under the prefix.
pub(super) async fn look(store: &SavedObjects) -> Result<UnderPrefix> {
    Ok(UnderPrefix::read(store.engine()).await?)
}

/// Names the indices and the documents that belong to no registered type. Returns whether there are none.
pub(super) async fn say_what_is_not_registered(store: &SavedObjects, output: Output) -> Result<bool> {
    let engine = store.engine();
    let (cluster, registry, prefix) = (engine.cluster(), engine.registry(), engine.prefix());
    let UnderPrefix { not_visited, .. } = look(store).await?;
    say_not_visited(&not_visited, output);
    let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
    for group in registry.groups().into_keys() {
        let counts = match cluster.count_by_type(prefix.group(group).alias()).await {
            Err(error) if error.kind == ClusterErrorKind::IndexNotFound => continue,
            // The command has already done its work, so this error does not fail it.
            Err(error) => {
                output.say(format!("not looked whether the group {group} has documents of other types: {error}"));
                continue;
            }
            Ok(counts) => counts,
        };
        for TypeCount { type_name, documents, .. } in counts {
            let name = type_name.unwrap_or_else(|| "no type at all".to_owned());
            let is_known = registry.get(&name).is_some() || registry.removed_types().any(|it| it.name() == name);
            if !is_known {
                *unknown.entry(name).or_default() += documents;
            }
        }
    }
    for (name, documents) in &unknown {
        output.say(format!("not registered: {documents} documents of {name}"));
    }
    Ok(not_visited.is_empty() && unknown.is_empty())
}

/// Names indices that were not visited because no registered type belongs to them.
pub(super) fn say_not_visited(indices: &[String], output: Output) {
    if !indices.is_empty() {
        output.say(format!(
            "not visited: {}, since no type is registered here that belongs there; name the folder of its definition with --types",
            indices.join(", ")
        ));
    }
}

/// Says that nothing is stored under the prefix.
pub(super) fn say_nothing(prefix: &Prefix, output: Output) {
    output.say(format!("there is no index under the prefix {prefix}: check --prefix and the URL"));
}

/// Names the indices that the credentials do not see.
pub(super) fn say_unseen(unseen: &[String], output: Output) {
    if !unseen.is_empty() {
        let unseen = Unseen(unseen.to_vec());
        output.say(format!("{}; {}", unseen.what(), unseen.hint()));
    }
}
