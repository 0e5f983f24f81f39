//! The upgrade of attributes to the newest model version.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use super::{Change, ModelVersion, Transforms};
use crate::document::Attributes;
use crate::{Error, ErrorKind};

/// The reason why a document could not be upgraded to the newest version. Its text quotes no value of the document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UpgradeError {
    /// A version names a transform that this software does not have.
    #[error("model version {version} needs the transform `{name}`, which this software does not have")]
    MissingTransform {
        /// The version that names the transform.
        version: u32,
        /// The transform's name.
        name: String,
    },
    /// A transform refused the document.
    #[error("the transform `{name}` of model version {version} refused the document: {reason}")]
    Refused {
        /// The version that names the transform.
        version: u32,
        /// The transform's name.
        name: String,
        /// The transform's own text.
        reason: String,
    },
    /// A transform panicked. Its message may quote the document and goes only to the standard error output.
    #[error("the transform `{name}` of model version {version} panicked")]
    Panicked {
        /// The version that names the transform.
        version: u32,
        /// The transform's name.
        name: String,
    },
}

impl From<UpgradeError> for Error {
    fn from(error: UpgradeError) -> Self {
        let (kind, hint) = match &error {
            UpgradeError::MissingTransform { .. } => {
                (ErrorKind::Incompatible, "register the transform, or run the software that has it")
            }
            UpgradeError::Refused { .. } => {
                (ErrorKind::Corrupt, "correct the document, or let the transform accept it")
            }
            UpgradeError::Panicked { .. } => (
                ErrorKind::Corrupt,
                "let the transform take the document, or correct the document: the standard error output has the place of the panic",
            ),
        };
        Self::new(kind, error.to_string()).with_hint(hint).with_source(error)
    }
}

/// Upgrades `attributes` from model version `from` to the last of `versions`, which are in ascending order. The changes
/// of each version above `from` run in order. If `from` is the last version or a newer one, nothing changes.
///
/// Encrypted attributes are passed on as given, as envelopes or decrypted. Declared changes cannot look into them, and
/// a transform sees what the caller passes.
///
/// # Errors
/// [`UpgradeError`]. The attributes are then partly upgraded and must not be stored.
pub fn upgrade(
    versions: &[Arc<ModelVersion>],
    transforms: &Transforms,
    from: u32,
    attributes: &mut Attributes,
) -> Result<(), UpgradeError> {
    for version in versions.iter().filter(|version| version.number > from) {
        for change in &version.changes {
            apply(change, version.number, transforms, attributes)?;
        }
    }
    Ok(())
}

fn apply(
    change: &Change,
    version: u32,
    transforms: &Transforms,
    attributes: &mut Attributes,
) -> Result<(), UpgradeError> {
    match change {
        Change::MappingsAddition { .. } | Change::MappingsDeprecation { .. } | Change::MappingsChange { .. } => {}
        Change::DataBackfill { defaults } => fill_absent(attributes, defaults),
        Change::DataRemoval { paths } => paths.iter().for_each(|path| path.remove_from(attributes)),
        Change::Transform { name } => {
            let transform =
                transforms.get(name).ok_or_else(|| UpgradeError::MissingTransform { version, name: name.clone() })?;
            // After a panic the attributes are dropped, so their state does not matter.
            let transformed = catch_unwind(AssertUnwindSafe(|| transform(attributes)));
            transformed
                .map_err(|_| UpgradeError::Panicked { version, name: name.clone() })?
                .map_err(|reason| UpgradeError::Refused { version, name: name.clone(), reason })?;
        }
    }
    Ok(())
}

fn fill_absent(object: &mut Map<String, Value>, defaults: &Map<String, Value>) {
    for (name, default) in defaults {
        match (object.get_mut(name), default) {
            (None, _) => drop(object.insert(name.clone(), default.clone())),
            (Some(Value::Object(inner)), Value::Object(defaults)) => fill_absent(inner, defaults),
            (Some(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::registry::TypeDefinition;
    use crate::registry::testing::{create, note, read, version};

    /// Version 2 fills `kind` and `options.size`, version 3 removes `old` and a part of `tags`, version 4 transforms.
    fn definition() -> TypeDefinition {
        let names = ["title", "body", "kind", "options", "tags", "old"];
        let mut schema = create(&names);
        schema["properties"]["options"] = json!({ "type": "object" });
        schema["properties"]["tags"] = json!({ "type": "array" });
        let at = |changes: Value| version(json!({ "changes": changes, "create": schema }));
        let mut newest = schema.clone();
        newest["properties"].as_object_mut().expect("an object").remove("old");
        let versions = [
            at(json!([])),
            at(json!([{ "type": "data_backfill", "defaults": { "kind": "plain", "options": { "size": 1 } } }])),
            at(json!([{ "type": "data_removal", "paths": ["old", "tags.colour"] }])),
            version(json!({ "changes": [{ "type": "transform", "name": "shout" }], "create": newest })),
        ];
        read(&note(json!({})), &versions).expect("valid")
    }

    fn transforms() -> Transforms {
        let mut transforms = Transforms::default();
        let shout = |attributes: &mut Attributes| match attributes.get_mut("title") {
            Some(Value::String(title)) => {
                *title = title.to_uppercase();
                Ok(())
            }
            Some(_) => Err("the title is no text".to_owned()),
            None => Ok(()),
        };
        transforms.insert("shout", Arc::new(shout));
        transforms
    }

    fn upgraded(from: u32, attributes: Value) -> Result<Value, UpgradeError> {
        let mut attributes: Attributes = serde_json::from_value(attributes).expect("an object");
        definition().upgrade(&transforms(), from, &mut attributes).map(|()| Value::Object(attributes))
    }

    #[test]
    fn each_version_above_runs_once_and_in_order() {
        let table = [
            (0, json!({ "title": "a" }), json!({ "title": "A", "kind": "plain", "options": { "size": 1 } })),
            (
                1,
                json!({ "kind": null, "options": { "x": 2 } }),
                json!({ "kind": null, "options": { "x": 2, "size": 1 } }),
            ),
            (1, json!({ "kind": "k", "options": 5 }), json!({ "kind": "k", "options": 5 })),
            (1, json!({ "options": { "size": 9 } }), json!({ "kind": "plain", "options": { "size": 9 } })),
            (2, json!({ "old": 1, "tags": [{ "colour": 1, "name": 2 }] }), json!({ "tags": [{ "name": 2 }] })),
            (3, json!({ "title": "a", "old": 1 }), json!({ "title": "A", "old": 1 })),
            (4, json!({ "title": "a", "old": 1 }), json!({ "title": "a", "old": 1 })),
            (9, json!({ "title": "a" }), json!({ "title": "a" })),
        ];
        for (from, before, after) in table {
            assert_eq!(upgraded(from, before.clone()), Ok(after), "from {from}: {before}");
        }
    }

    #[test]
    fn a_transform_that_refuses_or_is_missing_is_named() {
        let refused = Error::from(upgraded(1, json!({ "title": 7 })).expect_err("refused"));
        assert_eq!(refused.kind(), ErrorKind::Corrupt);
        assert_eq!(
            refused.message(),
            "the transform `shout` of model version 4 refused the document: the title is no text"
        );
        let mut attributes = Attributes::new();
        let missing = definition().upgrade(&Transforms::default(), 1, &mut attributes).expect_err("missing");
        assert_eq!(missing, UpgradeError::MissingTransform { version: 4, name: "shout".to_owned() });
        assert_eq!(Error::from(missing).kind(), ErrorKind::Incompatible);
    }

    proptest! {
        #[test]
        fn upgrades_end_valid_and_are_done_once(
            from in 0_u32..5,
            title in "[a-z]{0,4}",
            old in any::<bool>(),
            kind in any::<bool>(),
        ) {
            let mut attributes: Attributes = serde_json::from_value(json!({ "title": title })).expect("an object");
            if kind {
                attributes.insert("kind".to_owned(), json!("k"));
            }
            if old && from < 3 {
                attributes.insert("old".to_owned(), json!("o"));
            }
            let definition = definition();
            definition.upgrade(&transforms(), from, &mut attributes).expect("upgrades");
            prop_assert_eq!(definition.latest().create.validate(&attributes), Ok(()));
            for again in [from, definition.latest().number] {
                let mut twice = attributes.clone();
                definition.upgrade(&transforms(), again, &mut twice).expect("upgrades");
                prop_assert_eq!(&twice, &attributes);
            }
        }
    }
}
