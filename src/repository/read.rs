//! From a hit to an object: is it the one that was asked for, at which model version is it, and what of it may be seen.

use std::sync::Arc;

use serde_json::Value;

use super::object::Header;
use super::{ObjectKey, Repository, SavedObject, content};
use crate::conversion::{self, Standing};
use crate::document::{
    Attributes, DocumentHeader, Namespace, NamespaceKind, RawId, RootFields, StoredDocument, VersionToken,
};
use crate::encryption::{AttributeError, EncryptionHistory, Secrets};
use crate::model::VirtualVersion;
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result};

/// A document as it is stored.
#[derive(Clone)]
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
    /// Set if that version is beyond this software.
    pub(super) newer: Option<Newer>,
    pub(super) unopened: Option<Unopened>,
}

/// A model version that this software does not know.
#[derive(Debug, Clone)]
pub(super) struct Newer {
    pub(super) version: u32,
    /// What the versions up to it encrypt and bind, as the index says; none if it does not say.
    pub(super) sets: Option<Arc<EncryptionHistory>>,
}

impl Loaded {
    /// What is encrypted and bound in the document as it is now.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if it is at a newer version, and the index does not say.
    fn sets<'a>(&'a self, definition: &'a TypeDefinition) -> Result<&'a EncryptionHistory> {
        sets_of(definition, self.newer.as_ref())
    }
}

/// What is encrypted and bound in a document at this newer version; without one, in a document that was brought to the
/// newest version here.
///
/// # Errors
/// [`Incompatible`](ErrorKind::Incompatible) if the index does not say.
pub(super) fn sets_of<'a>(definition: &'a TypeDefinition, newer: Option<&'a Newer>) -> Result<&'a EncryptionHistory> {
    match newer {
        None => Ok(definition.encryption()),
        Some(newer) => newer.sets.as_deref().ok_or_else(|| conversion::unrecorded(definition, newer.version)),
    }
}

/// The secrets of an older document that would have to be encrypted again at the newest model version, but do not open.
/// They are no longer in the document.
pub(super) struct Unopened {
    pub(super) names: Vec<String>,
    pub(super) error: Error,
}

impl Repository {
    /// Brings a document to the newest model version. Secrets that do not open keep nobody from reading the rest, and neither
    /// does a newer version of which the index does not say what it encrypts.
    pub(super) async fn load(&self, definition: &TypeDefinition, id: &str, fetched: Fetched) -> Result<Loaded> {
        let mut loaded = self.converted(definition, id, fetched)?;
        self.learn_sets(definition, &mut loaded).await?;
        Ok(loaded)
    }

    /// As [`load`](Self::load), for whoever opens or seals the document's secrets.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if the index does not say, even when asked anew, what the document's version
    /// encrypts.
    pub(super) async fn load_for_secrets(
        &self,
        definition: &TypeDefinition,
        id: &str,
        fetched: Fetched,
    ) -> Result<Loaded> {
        let mut loaded = self.converted(definition, id, fetched)?;
        self.learn_sets_for_secrets(definition, id, &mut loaded).await?;
        Ok(loaded)
    }

    /// Looks up what a newer version encrypts.
    pub(super) async fn learn_sets(&self, definition: &TypeDefinition, loaded: &mut Loaded) -> Result<()> {
        let generation = loaded.version.generation;
        if let Some(newer) = &mut loaded.newer {
            newer.sets = self.recorded_sets(definition, generation, newer.version).await?;
        }
        Ok(())
    }

    /// Looks up what a newer version encrypts, which must be known.
    pub(super) async fn learn_sets_for_secrets(
        &self,
        definition: &TypeDefinition,
        id: &str,
        loaded: &mut Loaded,
    ) -> Result<()> {
        let generation = loaded.version.generation;
        if let Some(newer) = &mut loaded.newer {
            newer.sets = self.recorded_sets_now(definition, generation, newer.version).await?;
        }
        loaded.sets(definition).map_err(about(definition, id)).map(drop)
    }

    /// Brings a document to the newest model version, as far as that can be done without asking the server.
    pub(super) fn converted(&self, definition: &TypeDefinition, id: &str, fetched: Fetched) -> Result<Loaded> {
        self.convert(definition, id, fetched).map_err(about(definition, id))
    }

    fn convert(&self, definition: &TypeDefinition, id: &str, fetched: Fetched) -> Result<Loaded> {
        let Fetched { mut document, version } = fetched;
        let model_version = VirtualVersion::of_document(document.root.type_migration_version.as_deref())?.number();
        let mut unopened = None;
        let conversion = &self.shared.conversion;
        let standing = if model_version >= definition.latest().number || !definition.encrypts() {
            conversion.upgrade(definition, id, &mut document)?
        } else {
            let before = (document.attributes.clone(), document.root.type_migration_version.clone());
            match conversion.upgrade(definition, id, &mut document) {
                Err(error) if error.kind() == ErrorKind::Decrypt => {
                    (document.attributes, document.root.type_migration_version) = before;
                    let names = strip(definition, model_version, &mut document.attributes);
                    unopened = Some(Unopened { names, error });
                    conversion.upgrade(definition, id, &mut document)?
                }
                outcome => outcome?,
            }
        };
        let newer = match standing {
            Standing::Newer(version) => Some(Newer { version, sets: None }),
            Standing::Current | Standing::Older => None,
        };
        Ok(Loaded { document, version, model_version, newer, unopened })
    }

    /// The decrypted values of a document, as far as this software knows their attributes.
    pub(super) fn open(&self, definition: &TypeDefinition, id: &str, loaded: &mut Loaded) -> Result<Secrets> {
        if let Some(unopened) = loaded.unopened.take() {
            return Err(unopened.error);
        }
        let sets = loaded.sets(definition)?;
        let descriptor = conversion::descriptor(definition, loaded.document.root.namespace.as_deref(), id);
        let mut secrets = self.shared.encryption.open(&descriptor, sets, &loaded.document.attributes)?;
        if loaded.newer.is_some() {
            secrets.retain(|name, _| definition.latest().sets.encrypts(name));
        }
        Ok(secrets)
    }

    /// The object as callers see it. Exposed attributes are opened before the projection of a newer document, which would
    /// take away what they are bound to.
    pub(super) fn view(&self, definition: &TypeDefinition, id: &str, loaded: Loaded) -> Result<SavedObject> {
        let known = &definition.latest().sets;
        let Loaded { document, version, model_version, newer, unopened } = loaded;
        let history = sets_of(definition, newer.as_ref()).ok();
        let StoredDocument { type_name, mut attributes, root } = document;
        let (exposed, mut failures) = self.open_exposed(definition, history, id, &root, &attributes)?;
        failures.extend(unopened.and_then(|unopened| unopened.error.find_source::<AttributeError>().cloned()));
        let of_newer = history.filter(|_| newer.is_some()).map_or(&[][..], |history| &history.sets().encrypted);
        for encrypted in known.encrypted.iter().chain(of_newer) {
            attributes.remove(&encrypted.name);
        }
        attributes.extend(exposed);
        if let Some(newer) = &newer {
            attributes = self.shared.conversion.project(definition, newer.version, &attributes)?;
        }
        let header = Header {
            type_name,
            id: id.to_owned(),
            kind: definition.namespace_kind(),
            version,
            model_version,
            identity: content::identity_of(definition, &attributes),
        };
        Ok(SavedObject::new(header, root, attributes, failures))
    }

    /// Refuses to copy an object whose document is at a newer model version: what this software does not know of it would be
    /// lost.
    pub(crate) fn check_copyable<A>(&self, object: &SavedObject<A>) -> Result<()> {
        let definition = self.definition(&object.type_name)?;
        if object.model_version <= definition.latest().number {
            return Ok(());
        }
        Err(conversion::newer(definition, object.model_version).context(format!("saved object {}", object.key())))
    }

    /// The decrypted values of attributes that both this software and the document's version expose, and those that do not open:
    /// all that this software exposes if nobody knows what the document's version encrypts.
    fn open_exposed(
        &self,
        definition: &TypeDefinition,
        history: Option<&EncryptionHistory>,
        id: &str,
        root: &RootFields,
        attributes: &Attributes,
    ) -> Result<(Attributes, Vec<AttributeError>)> {
        let exposed = definition.exposed();
        let descriptor = conversion::descriptor(definition, root.namespace.as_deref(), id);
        let mut opened = Attributes::new();
        let mut failures = Vec::new();
        let Some(history) = history else {
            let present = exposed.filter(|exposed| attributes.get(&exposed.name).is_some_and(|value| !value.is_null()));
            let failures = present.map(|exposed| AttributeError::unrecorded(&descriptor, &exposed.name)).collect();
            return Ok((opened, failures));
        };
        for exposed in exposed.filter(|exposed| history.sets().exposes(&exposed.name)) {
            match self.shared.encryption.open_attribute(&descriptor, history, attributes, &exposed.name) {
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

/// Says of an error which object it is about.
fn about<'a>(definition: &'a TypeDefinition, id: &'a str) -> impl Fn(Error) -> Error + 'a {
    move |error| error.context(format!("saved object {}/{id}", definition.name()))
}

/// Whether a document with the `_id` of `key` is the one that it means: ids of different types and namespaces can have one
/// stored form.
pub(super) fn is_asked_for(definition: &TypeDefinition, key: &ObjectKey, document: &StoredDocument) -> bool {
    document.type_name == definition.name() && is_seen_from(&document.root, definition.namespace_kind(), &key.namespace)
}

/// Whose a document is that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// It is the object that the key means.
    Key,
    /// It is of another type, or not seen from the key's namespace.
    Another,
    /// What would say it is missing or has no readable form.
    Unknown,
}

/// Whose the document with this `_id`, which is that of `key`, is, as far as it can be known of one that is not a well-formed
/// object. `is_type` knows the types.
pub(super) fn owner(
    definition: &TypeDefinition,
    key: &ObjectKey,
    (raw_id, source): (&str, &str),
    is_type: impl Fn(&str) -> bool,
) -> Owner {
    let kind = definition.namespace_kind();
    let Ok(header) = DocumentHeader::from_source(source) else {
        // The `_id` alone says it, unless it is that of an object of another type or namespace as well.
        let is_clear = !kind.is_multiple()
            && !key.id.contains(':')
            && key.namespace.id_form().is_none_or(|name| kind != NamespaceKind::Single || !is_type(name));
        return if is_clear { Owner::Key } else { Owner::Unknown };
    };
    let is_keys = header.type_name() == definition.name()
        && match (kind, header.namespace()) {
            (NamespaceKind::Agnostic, _) => true,
            (NamespaceKind::Single, Some(name)) => Some(name) == key.namespace.id_form(),
            // The `_id` has the namespace, if it is not that of an object of the default one.
            (NamespaceKind::Single, None) => {
                key.namespace.id_form().is_none() || RawId::object_id(raw_id, definition.name(), kind, None).is_none()
            }
            (NamespaceKind::Multiple | NamespaceKind::MultipleIsolated, _) => match header.namespaces() {
                Some(names) => names.iter().any(|name| name == key.namespace.as_str() || name == "*"),
                None => return Owner::Unknown,
            },
        };
    if is_keys { Owner::Key } else { Owner::Another }
}

/// Whether a document is seen from `namespace`.
pub(super) fn is_seen_from(root: &RootFields, kind: NamespaceKind, namespace: &Namespace) -> bool {
    match kind {
        NamespaceKind::Agnostic => true,
        NamespaceKind::Single => root.namespace.as_deref() == namespace.id_form(),
        NamespaceKind::Multiple | NamespaceKind::MultipleIsolated => {
            root.namespaces.iter().flatten().any(|name| name == namespace.as_str() || name == "*")
        }
    }
}

/// Takes the encrypted attributes out of a document at `model_version`, and names those that had a value: also what only the newest
/// version encrypts, for nobody can have sealed that.
fn strip(definition: &TypeDefinition, model_version: u32, attributes: &mut Attributes) -> Vec<String> {
    let newest = &definition.latest().sets;
    let stored = definition.version(model_version.max(1)).map_or(newest, |version| &version.sets);
    let mut had_value = |name: &String| attributes.remove(name).is_some_and(|value| !value.is_null());
    let all = stored.encrypted.iter().chain(&newest.encrypted);
    all.map(|attribute| attribute.name.clone()).filter(|name| had_value(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_document_is_of_the_key_that_its_id_and_its_fields_name() {
        use crate::registry::testing::{note, read, version};
        let of_kind = |kind: &str| {
            read(&note(serde_json::json!({ "namespace_kind": kind })), &[version(serde_json::json!({}))]).expect("fine")
        };
        let (key, another, unknown) = (Owner::Key, Owner::Another, Owner::Unknown);
        let note = r#"{"type":"note"}"#;
        let table = [
            ("single", "default", "1", note, key),
            ("single", "ops", "1", note, key),
            ("single", "ops", "1", r#"{"type":"note","namespace":"ops"}"#, key),
            ("single", "ops", "1", r#"{"type":"note","namespace":7}"#, key),
            ("single", "ops", "1", r#"{"type":"note","namespace":"dev"}"#, another),
            ("single", "default", "1", r#"{"type":"note","namespace":"dev"}"#, another),
            ("single", "default", "1", r#"{"type":"board"}"#, another),
            // That of the default namespace whose id is `note:1`.
            ("single", "note", "1", note, another),
            ("single", "default", "1", "{}", key),
            ("single", "ops", "1", "{}", key),
            ("single", "board", "1", "{}", unknown),
            ("single", "default", "a:1", "{}", unknown),
            ("agnostic", "ops", "1", note, key),
            ("agnostic", "board", "1", "{}", key),
            ("agnostic", "default", "a:1", "{}", unknown),
            ("multiple", "ops", "1", note, unknown),
            ("multiple", "ops", "1", "{}", unknown),
            ("multiple", "ops", "1", r#"{"type":"note","namespaces":["ops",7]}"#, unknown),
            ("multiple", "ops", "1", r#"{"type":"note","namespaces":["dev"]}"#, another),
            ("multiple", "ops", "1", r#"{"type":"note","namespaces":"ops"}"#, key),
            ("multiple-isolated", "ops", "1", r#"{"type":"note","namespaces":["*"]}"#, key),
        ];
        for (kind, namespace, id, source, expected) in table {
            let definition = of_kind(kind);
            let namespace = Namespace::new(namespace).expect("a name");
            let asked = ObjectKey::new("note", id).in_namespace(namespace.clone());
            let raw_id = asked.raw_id(&definition).expect("an id");
            let found = owner(&definition, &asked, (raw_id.as_str(), source), |name| name == "board");
            assert_eq!(found, expected, "{kind} {namespace} {id} {source}");
        }
    }

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
