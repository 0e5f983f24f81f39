//! Finds the transforms that stored documents need and this software does not have.

use std::collections::BTreeSet;

use super::{Blocker, CheckName, GroupPlan, Migrator, Plan, Way};
use crate::Result;
use crate::cluster::{ClusterErrorKind, TypeCount};
use crate::model::{Transforms, VirtualVersion};
use crate::registry::TypeDefinition;

impl Migrator {
    /// Adds a blocker to `plan` for every missing transform that a stored document needs. Documents of the groups that
    /// have a type with a missing transform are counted; in the usual case there is no such group, and no request.
    pub(super) async fn add_missing_transforms(&self, plan: &mut Plan) -> Result<()> {
        let transforms = self.engine.registry.transforms();
        let mut needed = BTreeSet::new();
        for group in plan.groups.iter().filter(|group| group.way != Way::Create) {
            if !definitions(group).any(|definition| missing(definition, transforms).next().is_some()) {
                continue;
            }
            let counts = match self.count(&group.index, &mut Vec::new()).await {
                Ok(counts) => counts,
                // The preflight waits for such an index and names it. A pass ends if it meets a document that needs the
                // transform, so nothing depends on this count.
                Err(error) if error.kind == ClusterErrorKind::Unavailable || !plan.blockers.is_empty() => continue,
                Err(error) => return Err(error.into()),
            };
            needed.extend(definitions(group).flat_map(|definition| needed_by(definition, transforms, &counts)));
        }
        plan.blockers.extend(needed.into_iter().map(blocker));
        Ok(())
    }
}

fn definitions(group: &GroupPlan) -> impl Iterator<Item = &TypeDefinition> {
    group.types.iter().map(|plan| plan.definition.as_ref())
}

/// Returns the missing transforms of a type, each with the model version that runs it.
fn missing<'d>(definition: &'d TypeDefinition, transforms: &Transforms) -> impl Iterator<Item = (u32, &'d str)> {
    let all = definition.versions().iter().flat_map(|version| version.transforms().map(|name| (version.number, name)));
    all.filter(|(_, name)| transforms.get(name).is_none())
}

/// Returns the missing transforms that run when the counted documents of the type are converted. A document whose
/// version cannot be read is taken for the oldest.
fn needed_by<'d>(
    definition: &'d TypeDefinition,
    transforms: &Transforms,
    counts: &[TypeCount],
) -> impl Iterator<Item = &'d str> {
    let of_type = counts.iter().filter(|count| count.type_name.as_deref() == Some(definition.name()));
    let version_of = |count: &TypeCount| VirtualVersion::of_document(count.version.as_deref());
    let oldest = of_type.map(|count| version_of(count).map_or(0, |version| version.number())).min();
    let needed =
        missing(definition, transforms).filter(move |(version, _)| oldest.is_some_and(|oldest| oldest < *version));
    needed.map(|(_, name)| name)
}

fn blocker(name: &str) -> Blocker {
    Blocker {
        check: CheckName::Definitions,
        what: format!(
            "a stored document needs the transform `{name}` of a model version, which this software does not have"
        ),
        hint: "register the transform with the registry, or migrate with the software that has it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::registry::testing::{note, read, version};

    #[test]
    fn a_transform_is_needed_by_documents_before_its_version() {
        let change = |name: &str| json!({ "changes": [{ "type": "transform", "name": name }] });
        let versions = [version(json!({})), version(change("here")), version(change("missing")), version(json!({}))];
        let definition = read(&note(json!({})), &versions).expect("valid");
        let mut transforms = Transforms::default();
        transforms.insert("here", Arc::new(|_| Ok(())));
        let count = |type_name: &str, version: Option<&str>| TypeCount {
            type_name: Some(type_name.to_owned()),
            version: version.map(str::to_owned),
            documents: 1,
        };
        let table = [
            (vec![], false),
            (vec![count("note", Some("10.3.0"))], false),
            (vec![count("note", Some("10.4.0"))], false),
            (vec![count("note", Some("10.2.0"))], true),
            (vec![count("note", Some("10.4.0")), count("note", Some("10.1.0"))], true),
            (vec![count("note", None)], true),
            (vec![count("note", Some("?"))], true),
            (vec![count("other", Some("10.1.0"))], false),
        ];
        for (counts, is_needed) in table {
            let needed: Vec<&str> = needed_by(&definition, &transforms, &counts).collect();
            assert_eq!(needed, if is_needed { vec!["missing"] } else { vec![] }, "{counts:?}");
        }
    }
}
