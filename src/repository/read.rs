//! From a hit to an object: is it the one that was asked for, at which model version is it, and what of it may be seen.

use serde_json::Value;

use super::object::Header;
use super::{ObjectKey, Repository, SavedObject, content, errors};
use crate::cluster::{ClusterErrorKind, Hit};
use crate::conversion::Standing;
use crate::document::{Attributes, Namespace, NamespaceKind, RawId, RootFields, StoredDocument, VersionToken};
use crate::encryption::{AttributeError, Descriptor, Secrets};
use crate::layout::IndexNames;
use crate::model::VirtualVersion;
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result};

/// A document as it is stored.
pub(super) struct Fetched {
    pub(super) document: StoredDocument,
    pub(super) version: VersionToken,
}

/// A document brought to the newest model version that this software knows, if it was not beyond it.
pub(super) struct Loaded {
    pub(super) document: StoredDocument,
    pub(super) version: VersionToken,
    /// The model version at which it is stored.
    pub(super) model_version: u32,
    pub(super) standing: Standing,
    pub(super) unopened: Option<Unopened>,
}

/// The secrets of an older document that would have to be encrypted again at the newest model version, but do not open.
/// They are no longer in the document.
pub(super) struct Unopened {
    pub(super) names: Vec<String>,
    pub(super) error: Error,
}

impl Repository {
    /// The document at `key`, if there is one that is seen from its namespace. One request.
    pub(super) async fn fetch(&self, definition: &TypeDefinition, key: &ObjectKey) -> Result<Option<Fetched>> {
        let found = self.fetch_any(definition, key).await?;
        Ok(found.filter(|fetched| is_asked_for(definition, key, &fetched.document)))
    }

    /// The document that has the `_id` of `key`, whichever it is. One request.
    pub(super) async fn fetch_any(&self, definition: &TypeDefinition, key: &ObjectKey) -> Result<Option<Fetched>> {
        let names = self.names(definition);
        let raw_id = RawId::new(definition.name(), definition.namespace_kind(), &key.namespace, &key.id)?;
        let hit = match self.shared.cluster.get(names.alias(), raw_id.as_str()).await {
            Ok(Some(hit)) => hit,
            Ok(None) => return Ok(None),
            Err(error) if error.kind == ClusterErrorKind::IndexNotFound => {
                return Err(errors::no_index(&names).with_source(error));
            }
            Err(error) => return Err(error.into()),
        };
        let version = self.version_of(&names, &hit)?;
        self.remember_generation(definition.group(), version.generation);
        let document = StoredDocument::from_source(hit.source.get().as_bytes())
            .map_err(|corruption| errors::corrupt(key, corruption))?;
        Ok(Some(Fetched { document, version }))
    }

    pub(super) fn version_of(&self, names: &IndexNames, hit: &Hit) -> Result<VersionToken> {
        let generation =
            names.generation(&hit.index).ok_or_else(|| errors::not_one_generation(names, &[hit.index.as_str()]))?;
        Ok(VersionToken { seq_no: hit.sequence.seq_no, primary_term: hit.sequence.primary_term, generation })
    }

    /// Brings a document to the newest model version. Secrets that do not open keep nobody from reading the rest.
    pub(super) fn load(&self, definition: &TypeDefinition, id: &str, fetched: Fetched) -> Result<Loaded> {
        let about = |error: Error| error.context(format!("saved object {}/{id}", definition.name()));
        self.convert(definition, id, fetched).map_err(about)
    }

    fn convert(&self, definition: &TypeDefinition, id: &str, fetched: Fetched) -> Result<Loaded> {
        let Fetched { mut document, version } = fetched;
        let model_version = VirtualVersion::of_document(document.root.type_migration_version.as_deref())?.number();
        let mut unopened = None;
        let conversion = &self.shared.conversion;
        let standing = if model_version >= definition.latest().number || !definition.encrypts() {
            conversion.upgrade(definition, id, &mut document)?
        } else {
            let before = document.attributes.clone();
            match conversion.upgrade(definition, id, &mut document) {
                Err(error) if error.kind() == ErrorKind::Decrypt => {
                    document.attributes = before;
                    let names = strip(definition, model_version, &mut document.attributes);
                    unopened = Some(Unopened { names, error });
                    conversion.upgrade(definition, id, &mut document)?
                }
                outcome => outcome?,
            }
        };
        Ok(Loaded { document, version, model_version, standing, unopened })
    }

    /// The decrypted values of a document.
    pub(super) fn open(&self, definition: &TypeDefinition, id: &str, loaded: &mut Loaded) -> Result<Secrets> {
        if let Some(unopened) = loaded.unopened.take() {
            return Err(unopened.error);
        }
        let descriptor = descriptor(definition, &loaded.document.root, id);
        self.shared.encryption.open(&descriptor, &definition.latest().sets, &loaded.document.attributes)
    }

    /// The object as callers see it. Exposed attributes are opened before the projection of a newer document, which would
    /// take away what they are bound to.
    pub(super) fn view(&self, definition: &TypeDefinition, id: &str, loaded: Loaded) -> Result<SavedObject> {
        let Loaded { document, version, model_version, standing, unopened } = loaded;
        let StoredDocument { mut attributes, root, .. } = document;
        let (exposed, mut failures) = self.open_exposed(definition, id, &root, &attributes)?;
        failures.extend(unopened.and_then(|unopened| unopened.error.find_source::<AttributeError>().cloned()));
        for encrypted in &definition.latest().sets.encrypted {
            attributes.remove(&encrypted.name);
        }
        attributes.extend(exposed);
        if let Standing::Newer(newer) = standing {
            attributes = self.shared.conversion.project(definition, newer, &attributes)?;
        }
        let header = Header {
            type_name: definition.name().to_owned(),
            id: id.to_owned(),
            kind: definition.namespace_kind(),
            version,
            model_version,
            identity: content::identity_of(definition, &attributes),
        };
        Ok(SavedObject::new(header, root, attributes, failures))
    }

    fn open_exposed(
        &self,
        definition: &TypeDefinition,
        id: &str,
        root: &RootFields,
        attributes: &Attributes,
    ) -> Result<(Attributes, Vec<AttributeError>)> {
        let sets = &definition.latest().sets;
        let descriptor = descriptor(definition, root, id);
        let mut opened = Attributes::new();
        let mut failures = Vec::new();
        for exposed in sets.encrypted.iter().filter(|encrypted| encrypted.exposed) {
            match self.shared.encryption.open_attribute(&descriptor, sets, attributes, &exposed.name) {
                Ok(None) => {}
                Ok(Some(secret)) => drop(opened.insert(exposed.name.clone(), secret.parse::<Value>()?)),
                Err(error) => match error.find_source::<AttributeError>() {
                    Some(failure) => failures.push(failure.clone()),
                    None => return Err(error),
                },
            }
        }
        Ok((opened, failures))
    }
}

/// Where the secrets of an object belong.
pub(super) fn descriptor<'a>(definition: &'a TypeDefinition, root: &'a RootFields, id: &'a str) -> Descriptor<'a> {
    let namespace = match definition.namespace_kind() {
        NamespaceKind::Single => root.namespace.as_deref(),
        NamespaceKind::Agnostic | NamespaceKind::Multiple | NamespaceKind::MultipleIsolated => None,
    };
    Descriptor { type_name: definition.name(), namespace, id }
}

/// Whether a document with the `_id` of `key` is the one that it means: ids of different types and namespaces can have one
/// stored form.
pub(super) fn is_asked_for(definition: &TypeDefinition, key: &ObjectKey, document: &StoredDocument) -> bool {
    document.type_name == definition.name() && is_seen_from(&document.root, definition.namespace_kind(), &key.namespace)
}

/// Whether a document is seen from `namespace`.
fn is_seen_from(root: &RootFields, kind: NamespaceKind, namespace: &Namespace) -> bool {
    match kind {
        NamespaceKind::Agnostic => true,
        NamespaceKind::Single => root.namespace.as_deref() == namespace.id_form(),
        NamespaceKind::Multiple | NamespaceKind::MultipleIsolated => {
            root.namespaces.iter().flatten().any(|name| name == namespace.as_str() || name == "*")
        }
    }
}

/// Takes the encrypted attributes out of a document at `model_version`, and names those that had a value.
fn strip(definition: &TypeDefinition, model_version: u32, attributes: &mut Attributes) -> Vec<String> {
    let newest = &definition.latest().sets;
    let stored = definition.version(model_version.max(1)).map_or(newest, |version| &version.sets);
    let mut had_value = |name: &String| attributes.remove(name).is_some_and(|value| !value.is_null());
    stored.encrypted.iter().map(|attribute| attribute.name.clone()).filter(|name| had_value(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_seen_from_its_namespaces() {
        let namespace = |name: &str| Namespace::new(name).expect("a name");
        let single = |name: Option<&str>| RootFields { namespace: name.map(str::to_owned), ..RootFields::default() };
        let shared = |names: &[&str]| RootFields {
            namespaces: Some(names.iter().map(|name| (*name).to_owned()).collect()),
            ..RootFields::default()
        };
        let table = [
            (single(None), NamespaceKind::Single, "default", true),
            (single(None), NamespaceKind::Single, "ops", false),
            (single(Some("ops")), NamespaceKind::Single, "ops", true),
            (single(Some("ops")), NamespaceKind::Single, "default", false),
            (shared(&["default", "ops"]), NamespaceKind::Multiple, "ops", true),
            (shared(&["default"]), NamespaceKind::MultipleIsolated, "ops", false),
            (shared(&["*"]), NamespaceKind::Multiple, "ops", true),
            (single(None), NamespaceKind::Multiple, "default", false),
            (single(None), NamespaceKind::Agnostic, "ops", true),
        ];
        for (root, kind, name, expected) in table {
            assert_eq!(is_seen_from(&root, kind, &namespace(name)), expected, "{kind:?} {name} {root:?}");
        }
    }
}
