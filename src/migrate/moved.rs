//! Finds types that the definitions moved to another index group while their documents stayed, where no read finds
//! them.

use std::collections::BTreeMap;

use super::survey::Survey;
use super::{Blocker, CheckName};
use crate::Result;
use crate::cluster::{Cluster, ClusterErrorKind, IndexState};
use crate::layout::{IndexMeta, Prefix};
use crate::registry::Registry;

/// A current index under the prefix, whether its group is registered or not.
#[derive(Debug)]
struct Current<'a> {
    index: &'a str,
    group: &'a str,
    meta: IndexMeta,
}

/// Documents in the index of a group whose types are registered in others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moved {
    /// The index that has them.
    index: String,
    /// The group of that index.
    group: String,
    /// The types, each with the number of its documents, and the group that it is registered in.
    types: BTreeMap<String, (u64, String)>,
    rest: Rest,
}

/// What else belongs to the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// Other types are registered in it.
    Types,
    /// Nothing: its index has no other documents.
    Nothing,
    /// Its index has documents of types that are not registered.
    Documents,
}

/// Returns the current indices among those of a prefix.
fn current<'a>(prefix: &Prefix, indices: &'a BTreeMap<String, IndexState>) -> impl Iterator<Item = Current<'a>> {
    let start = format!("{prefix}-");
    indices.iter().filter_map(move |(index, state)| {
        let (group, _) = index.strip_prefix(&start)?.rsplit_once('-')?;
        let names = prefix.group(group);
        // The name of a group has no hyphen: a name with one belongs to a longer prefix, or is the engine's own.
        let is_current = !group.contains('-')
            && names != prefix.control()
            && names.generation(index).is_some()
            && state.aliases.contains_key(names.alias());
        let meta = IndexMeta::from_mapping(&state.mapping).ok().filter(|_| is_current)?;
        Some(Current { index, group, meta })
    })
}

/// Finds documents of registered types in the indices of other groups. Counts only in indices whose `_meta` records
/// such types.
///
/// # Errors
/// Those of the cluster.
pub(super) async fn find(
    cluster: &dyn Cluster,
    registry: &Registry,
    prefix: &Prefix,
    indices: &BTreeMap<String, IndexState>,
) -> Result<Vec<Moved>> {
    let mut found = Vec::new();
    for current_index in current(prefix, indices) {
        let Current { index, group, meta, .. } = &current_index;
        let registered = |name: &str| registry.get(name).map(|definition| definition.group().to_owned());
        let elsewhere = |name: &str| registered(name).filter(|registered| registered != group);
        if !meta.types.keys().any(|name| elsewhere(name).is_some()) {
            continue;
        }
        // So that recent writes count too, if the credentials and the index allow a refresh.
        if let Err(error) = cluster.refresh(index).await {
            tracing::debug!(index, %error, "an index was not refreshed before its documents were counted");
        }
        let counts = match cluster.count_by_type(index).await {
            Ok(counts) => counts,
            // If its group is registered, a blocker says so.
            Err(error) if is_unreadable(error.kind) => continue,
            Err(error) => return Err(error.into()),
        };
        let (mut types, mut has_others) = (BTreeMap::new(), false);
        for count in counts {
            match count.type_name.and_then(|name| Some((elsewhere(&name)?, name))) {
                Some((to, name)) => types.entry(name).or_insert((0, to)).0 += count.documents,
                None => has_others = true,
            }
        }
        if types.is_empty() {
            continue;
        }
        let rest = match (registry.groups().contains_key(group), has_others) {
            (true, _) => Rest::Types,
            (false, false) => Rest::Nothing,
            (false, true) => Rest::Documents,
        };
        found.push(Moved { index: (*index).to_owned(), group: (*group).to_owned(), types, rest });
    }
    Ok(found)
}

/// Returns whether an index is closed, or has a block that keeps it from being read.
pub(super) fn is_unreadable(kind: ClusterErrorKind) -> bool {
    matches!(kind, ClusterErrorKind::IndexClosed | ClusterErrorKind::Blocked)
}

/// Returns the current indices of groups that are no longer registered.
pub(super) fn unregistered(
    registry: &Registry,
    prefix: &Prefix,
    indices: &BTreeMap<String, IndexState>,
) -> Vec<String> {
    let groups = registry.groups();
    let is_one = |current: &Current<'_>| !groups.contains_key(current.group) && !current.meta.types.is_empty();
    current(prefix, indices).filter(is_one).map(|current| current.index.to_owned()).collect()
}

/// Adds the documents of `unregistered` indices to the survey. Documents of registered types are left out: a blocker
/// names them.
pub(super) async fn survey(
    cluster: &dyn Cluster,
    registry: &Registry,
    unregistered: &[String],
    survey: &mut Survey,
) -> Result<()> {
    for index in unregistered {
        match cluster.count_by_type(index).await {
            Ok(counts) => survey.add_unregistered(
                counts
                    .into_iter()
                    .filter(|count| count.type_name.as_deref().is_none_or(|it| registry.get(it).is_none())),
            ),
            Err(error) if is_unreadable(error.kind) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl Moved {
    /// Returns the blocker. An operator can perform each step of its hint as it is written.
    pub(super) fn blocker(&self) -> Blocker {
        let Self { index, group, types, rest } = self;
        let counted = types.iter().map(|(name, (count, to))| format!("{count} of type {name} (group {to})"));
        let files: Vec<String> = types.keys().map(|name| format!("mappings/{name}.json")).collect();
        let (files, flags) = (files.join(", "), types.keys().map(|name| format!(" --type {name}")).collect::<String>());
        let export = format!(
            "`saved-objects export moved.ndjson --all-namespaces --secrets encrypted{flags}` (it takes types that are \
             exportable), and see that it exports all of them"
        );
        let back = "`saved-objects migrate`; `saved-objects import moved.ndjson`";
        let set_back = format!("set \"group\": \"{group}\" in {files} again");
        let move_anyway = match rest {
            Rest::Documents => String::new(),
            Rest::Types => format!(
                ". To move them anyway, do that, and stop the software that uses them; {export}; set \"removed\": true \
                 in {files}; `saved-objects migrate --delete-removed`; take \"removed\" away and set the new group; \
                 {back}"
            ),
            Rest::Nothing => format!(
                ". To move them anyway, do that, and stop the software that uses them; {export}; DELETE /{index}; set \
                 the new group; {back}"
            ),
        };
        Blocker {
            check: CheckName::Definitions,
            what: format!(
                "{index} has documents of types that are registered in other groups, so that no read finds them: {}",
                counted.collect::<Vec<_>>().join(", ")
            ),
            hint: format!("{set_back}{move_anyway}"),
        }
    }

    /// Returns the moved types.
    pub(super) fn types(&self) -> impl Iterator<Item = &String> {
        self.types.keys()
    }
}
