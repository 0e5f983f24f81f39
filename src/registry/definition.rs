//! The definition of a type.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{definition_file, digest, mapping, problem::DefinitionProblems, rules};
use crate::document::{Attributes, NamespaceKind};
use crate::encryption::EncryptionHistory;
use crate::model::{self, Change, EncryptedAttribute, ModelVersion, Transforms, UpgradeError};
use crate::telemetry::TypeLabel;
use crate::{Error, Result};

/// A type: where its objects are stored, how they are found, and every version of its documents. A constructed
/// definition is consistent and never changes.
#[derive(Debug, Clone)]
pub struct TypeDefinition {
    /// Shared with the labels of metrics.
    pub(super) name: Arc<str>,
    pub(super) group: String,
    pub(super) namespace_kind: NamespaceKind,
    pub(super) hidden: bool,
    pub(super) exportable: bool,
    pub(super) random_id: bool,
    pub(super) identity: Option<Vec<String>>,
    pub(super) removed: bool,
    pub(super) mapping: Value,
    pub(super) versions: Vec<Arc<ModelVersion>>,
    pub(super) latest: Arc<ModelVersion>,
    encryption: EncryptionHistory,
}

impl TypeDefinition {
    /// Reads a definition from the text of its files. `mapping_file` is `mappings/<type>.json`, and `source_name` is
    /// its name for errors. `versions` are the name and text of each `model_versions/<type>/<n>.json`, in any order.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) with file, location and hint. The source is [`DefinitionProblems`], which
    /// lists all problems.
    pub fn from_json(source_name: &str, mapping_file: &str, versions: &[(String, String)]) -> Result<Self> {
        Self::read(source_name, mapping_file, versions).map_err(Error::from)
    }

    pub(super) fn read(
        source_name: &str,
        mapping_file: &str,
        versions: &[(String, String)],
    ) -> Result<Self, DefinitionProblems> {
        let mut problems = DefinitionProblems::default();
        let file = definition_file::parse(mapping_file, &mut problems.of(source_name));
        let versions = rules::read_versions(source_name, versions, &mut problems);
        let (Some(file), [first, later @ ..], true) = (file, versions.as_slice(), problems.is_empty()) else {
            return Err(problems);
        };
        let latest = Arc::clone(&later.last().unwrap_or(first).version);
        let sets_of = |read: &rules::ReadVersion<'_>| read.version.sets.clone();
        let encryption = EncryptionHistory::new(sets_of(first), later.iter().map(sets_of));
        rules::check_type(source_name, &file, &versions, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            name: file.name.into(),
            group: file.group,
            namespace_kind: file.namespace_kind,
            hidden: file.hidden,
            exportable: file.exportable,
            random_id: file.random_id,
            identity: file.identity,
            removed: file.removed,
            mapping: mapping::as_returned(&file.mapping),
            versions: versions.into_iter().map(|read| read.version).collect(),
            latest,
            encryption,
        })
    }

    /// Returns the type's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the type's name as the value of a label of metrics.
    pub(crate) fn label(&self) -> TypeLabel {
        self.name.clone().into()
    }

    /// Returns the group of types whose documents share an index with this type's.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// Returns how objects relate to namespaces.
    pub fn namespace_kind(&self) -> NamespaceKind {
        self.namespace_kind
    }

    /// Returns whether only clients that ask for the type by name may use it.
    pub fn hidden(&self) -> bool {
        self.hidden
    }

    /// Returns whether objects may be exported and imported.
    pub fn exportable(&self) -> bool {
        self.exportable
    }

    /// Returns whether the id that a caller chooses for a new object must be a UUID.
    pub fn random_id(&self) -> bool {
        self.random_id
    }

    /// Returns the attributes that name an object, in order, if ids are derived from attributes (record 30).
    pub fn identity(&self) -> Option<&[String]> {
        self.identity.as_deref()
    }

    /// Returns whether the type is no longer used. Its name stays reserved, and its documents stay until they are
    /// deleted.
    pub fn removed(&self) -> bool {
        self.removed
    }

    /// Returns the type's mapping, in the form in which the server returns it.
    pub fn mapping(&self) -> &Value {
        &self.mapping
    }

    /// Returns all model versions, from 1 upwards without gaps.
    pub fn versions(&self) -> &[Arc<ModelVersion>] {
        &self.versions
    }

    /// Returns the newest model version.
    pub fn latest(&self) -> &ModelVersion {
        &self.latest
    }

    /// Returns the model version `number`.
    pub fn version(&self, number: u32) -> Option<&ModelVersion> {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        self.versions.get(index).map(Arc::as_ref)
    }

    /// Returns the type as software with the newest model version `number` knows it: later versions and their additions
    /// to the mapping are left out. Returns `None` if there is no such version.
    pub fn as_of(&self, number: u32) -> Option<Self> {
        let latest = self.versions.iter().find(|version| version.number == number)?.clone();
        let (versions, later): (Vec<_>, Vec<_>) =
            self.versions.iter().cloned().partition(|version| version.number <= number);
        let mut mapping = self.mapping.clone();
        for change in later.iter().flat_map(|version| &version.changes) {
            if let Change::MappingsAddition { properties } = change {
                mapping::remove_properties(&mut mapping, properties);
            }
        }
        let encryption = self.encryption.up_to(number)?.into_owned();
        Some(Self { mapping, versions, latest, encryption, ..self.clone() })
    }

    /// Returns whether the newest version encrypts anything.
    pub fn encrypts(&self) -> bool {
        !self.latest.sets.is_empty()
    }

    /// Returns the encryption sets of each version, up to the newest one.
    pub fn encryption(&self) -> &EncryptionHistory {
        &self.encryption
    }

    /// Returns the attributes that the newest version encrypts and that ordinary reads return decrypted.
    pub(crate) fn exposed(&self) -> impl Iterator<Item = &EncryptedAttribute> {
        self.latest.sets.encrypted.iter().filter(|attribute| attribute.exposed)
    }

    /// Returns the newest version that changed the mapping, or 1 if none did.
    pub fn mapping_version(&self) -> u32 {
        self.mapping_version_of(u32::MAX)
    }

    /// Returns the version whose mapping documents of the model version `number` need: the last one up to `number` that
    /// changes the mapping.
    pub(crate) fn mapping_version_of(&self, number: u32) -> u32 {
        let changes_mapping = |version: &&Arc<ModelVersion>| version.changes.iter().any(Change::changes_mapping);
        let mut earlier = self.versions.iter().rev().filter(|version| version.number <= number);
        earlier.find(changes_mapping).map_or(1, |version| version.number)
    }

    /// Returns whether an index with documents at version `from` can be migrated to the newest version only by a copy.
    pub fn requires_copy_from(&self, from: u32) -> bool {
        let is_mappings_change = |change: &Change| matches!(change, Change::MappingsChange { .. });
        self.versions.iter().any(|version| version.number > from && version.changes.iter().any(is_mappings_change))
    }

    /// Returns whether all documents at version `from` keep their envelopes in an upgrade to the newest version. Then
    /// [`EncryptionHistory::keeps`] holds for each envelope, because the encryption sets are the same and no change can
    /// alter an attribute that a version encrypts or binds. Earlier versions count too, because envelopes may name
    /// them.
    pub(crate) fn keeps_envelopes_from(&self, from: u32) -> bool {
        let later = self.versions.iter().filter(|version| version.number > from);
        let mut changes = later.flat_map(|version| &version.changes);
        self.encryption.is_same_since(from.max(1))
            && (!self.encrypts() || changes.all(|change| !change.can_alter(|name| self.encryption.names(name))))
    }

    /// Upgrades attributes from version `from` to the newest one: see [`model::upgrade`].
    ///
    /// # Errors
    /// [`UpgradeError`]. The attributes are then partly upgraded and must not be stored.
    pub fn upgrade(&self, transforms: &Transforms, from: u32, attributes: &mut Attributes) -> Result<(), UpgradeError> {
        model::upgrade(&self.versions, transforms, from, attributes)
    }

    /// Returns the SHA-256 digest of type, encrypted attributes, bound attributes and the random-id rule, joined by
    /// `|`. Kibana pins its registry of encrypted types by this digest (record 29).
    pub fn registration_digest(&self, version: &ModelVersion) -> String {
        let mut parts = vec![self.name()];
        parts.extend(version.sets.encrypted.iter().map(|attribute| attribute.name.as_str()));
        parts.extend(version.sets.bound.iter().map(String::as_str));
        parts.push(if self.random_id { "true" } else { "false" });
        digest::text(&parts.join("|"))
    }

    /// Returns the SHA-256 digest of everything that determines what is stored at `version`: the type's mapping, group,
    /// namespace kind and identity, and the version's content.
    pub fn digest(&self, version: &ModelVersion) -> String {
        digest::json(&json!({
            "type": self.name(),
            "group": self.group,
            "namespace_kind": self.namespace_kind,
            "identity": self.identity,
            "mapping": self.mapping,
            "number": version.number,
            "content": version.content_digest,
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::registry::testing::{create, note, read, version};

    use super::*;

    #[test]
    fn what_an_earlier_version_bound_counts_as_bound() {
        let sets = |bound: &[&str]| json!({ "encrypted": [{ "name": "body" }], "bound": bound });
        let with = |mut sets: Value, changes: Value| {
            sets["changes"] = changes;
            sets["create"] = create(&["title", "body", "kind", "other"]);
            version(sets)
        };
        for (name, is_kept) in [("kind", false), ("other", true)] {
            let backfill = json!([{ "type": "data_backfill", "defaults": { name: "t" } }]);
            let versions = [
                with(sets(&["title", "kind"]), json!([])),
                with(sets(&["title"]), json!([])),
                with(sets(&["title"]), backfill),
            ];
            let definition = read(&note(json!({})), &versions).expect("valid");
            assert_eq!(definition.keeps_envelopes_from(2), is_kept, "{name}");
        }
    }

    #[test]
    fn envelopes_are_kept_where_nothing_can_alter_them() {
        let sets = json!({ "encrypted": [{ "name": "body" }], "bound": ["title"] });
        let (no_bound, none) = (json!({ "bound": [] }), json!({ "encrypted": [], "bound": [] }));
        let backfill = |name: &str| json!([{ "type": "data_backfill", "defaults": { name: "t" } }]);
        let removal = |path: &str| json!([{ "type": "data_removal", "paths": [path] }]);
        let transform = json!([{ "type": "transform", "name": "tidy" }]);
        let table = [
            (&sets, &sets, json!([]), true),
            (&sets, &sets, backfill("kind"), true),
            (&sets, &sets, backfill("title"), false),
            (&sets, &sets, removal("old"), true),
            (&sets, &sets, removal("title.old"), false),
            (&sets, &sets, transform.clone(), false),
            (&sets, &no_bound, json!([]), false),
            (&none, &none, transform, true),
        ];
        for (first, second, changes, is_kept) in table {
            let mut second = second.clone();
            second["changes"] = changes;
            second["create"] = create(&["title", "body", "kind"]);
            let definition = read(&note(json!({})), &[version(first.clone()), version(second.clone())]).expect("valid");
            assert_eq!([0, 1].map(|from| definition.keeps_envelopes_from(from)), [is_kept; 2], "{first} {second}");
        }
    }
}
