//! Finds the documents that an index would refuse once it has the mapping of the registered types. An index cannot give
//! back a mapping, and older software could no longer write such a document.

use std::collections::BTreeMap;

use serde_json::Value;

use super::defect::Defect;
use super::record::has_mapping;
use super::{GroupPlan, TypePlan, Way};
use crate::document::StoredDocument;
use crate::registry::misfit::{Judged, misfit};

/// What the mappings of a group's types have and that of the current index does not, by type.
#[derive(Debug, Clone, Default)]
pub(super) struct NewMappings(BTreeMap<String, Value>);

impl NewMappings {
    /// Returns what a migration by the plan adds or changes.
    pub(super) fn of(plan: &GroupPlan) -> Self {
        let current = plan.current.as_ref().filter(|_| matches!(plan.way, Way::InPlace | Way::Copy));
        let Some(current) = current else { return Self::default() };
        let new = |of_type: &TypePlan| {
            let name = of_type.definition.name();
            let current = current.mapping.get("properties").and_then(|fields| fields.get(name));
            Some((name.to_owned(), added(current, of_type.definition.mapping())?))
        };
        Self(plan.types.iter().filter_map(new).collect())
    }

    /// Leaves out the types whose documents cannot have the new fields yet: no earlier model version knows them.
    pub(super) fn of_known_fields(mut self, plan: &GroupPlan) -> Self {
        self.0.retain(|name, new| {
            let Some(definition) = plan.definition(name) else { return false };
            let fields = || new.get("properties").and_then(Value::as_object).into_iter().flatten();
            let earlier = definition.versions().iter().filter(|it| it.number < definition.mapping_version());
            earlier
                .map(|version| &version.create)
                .any(|create| create.is_open() || fields().any(|(field, _)| create.attribute(field).is_some()))
        });
        self
    }

    /// Returns the types with new fields.
    pub(super) fn types(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Returns the defect of a document, in its new form, that the new mapping does not fit.
    pub(super) fn defect(&self, source: &[u8]) -> Option<Defect> {
        if self.0.is_empty() {
            return None;
        }
        let document = StoredDocument::from_source(source).ok()?;
        let misfit = misfit(self.0.get(&document.type_name)?, &document, Judged::Values)?;
        let of = misfit.of.map(|of| format!("{of} ")).unwrap_or_default();
        let reason = format!("the new mapping of its index does not fit it: {of}{}; {}", misfit.why, misfit.hint);
        Some(Defect { type_name: Some(document.type_name), reason, ..Defect::default() })
    }
}

/// Returns the part of the mapping `wanted` that `current` does not have. It leaves out `dynamic`, because names that
/// are not mapped are not new.
fn added(current: Option<&Value>, wanted: &Value) -> Option<Value> {
    if current.is_some_and(|current| has_mapping(current, wanted)) {
        return None;
    }
    let mut part = wanted.clone();
    let members = part.as_object_mut()?;
    members.remove("dynamic");
    if let Some(fields) = members.get_mut("properties").and_then(Value::as_object_mut) {
        let of_current = |name: &str| current?.get("properties")?.get(name);
        let new = |(name, field): (&String, &Value)| Some((name.clone(), added(of_current(name), field)?));
        *fields = fields.iter().filter_map(new).collect();
    }
    Some(part)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_is_new_is_held_against_a_document() {
        let current = json!({ "dynamic": "false", "properties": {
            "a": { "type": "keyword" }, "o": { "properties": { "x": { "type": "long" } } }, "t": { "type": "keyword" },
        } });
        let wanted = json!({ "dynamic": false, "properties": {
            "a": { "type": "keyword" },
            "b": { "dynamic": "strict", "properties": { "y": { "type": "date" } } },
            "o": { "properties": { "x": { "type": "long" }, "z": { "type": "ip" } } },
            "t": { "type": "text" },
        } });
        let expected = json!({ "properties": {
            "b": { "properties": { "y": { "type": "date" } } },
            "o": { "properties": { "z": { "type": "ip" } } },
            "t": { "type": "text" },
        } });
        assert_eq!(added(Some(&current), &wanted), Some(expected));
        assert_eq!(added(Some(&current), &current), None);
    }
}
