//! From a stored document to an object: whether it is the one that was asked for, its conversion, and what callers see
//! of it.

use std::sync::Arc;

use serde_json::Value;

use super::content;
use super::item::Items;
use super::object::Header;
use super::target::Target;
use crate::document::{
    Attributes, DocumentHeader, Namespace, NamespaceKind, RawId, RootFields, StoredDocument, VersionToken,
};
use crate::encryption::{AttributeError, EncryptionHistory, Secrets};
use crate::engine::conversion::{self, VersionStatus};
use crate::model::VirtualVersion;
use crate::registry::TypeDefinition;
use crate::repository::client::Shared;
use crate::repository::{Repository, SavedObject};
use crate::{Error, ErrorKind, Result};

/// A document as it is stored.
#[derive(Clone)]
pub(in crate::repository) struct Fetched {
    pub(in crate::repository) document: StoredDocument,
    pub(in crate::repository) version: VersionToken,
}

/// A document that was converted to the newest model version that this software knows, unless it is at a newer one.
pub(in crate::repository) struct Loaded {
    pub(in crate::repository) document: StoredDocument,
    pub(in crate::repository) version: VersionToken,
    /// The model version at which it is stored.
    pub(in crate::repository) model_version: u32,
    /// Set if that version is newer than this software.
    pub(in crate::repository) newer: Option<Newer>,
    pub(in crate::repository) unopened: Option<Unopened>,
}

/// A model version that this software does not know.
#[derive(Debug, Clone)]
pub(in crate::repository) struct Newer {
    pub(in crate::repository) version: u32,
    /// What the versions up to it encrypt and bind, as the index records it. Empty if the index does not record it.
    pub(in crate::repository) sets: Option<Arc<EncryptionHistory>>,
}

impl Loaded {
    /// Returns what is encrypted and bound in the document as it is now.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if it is at a newer version and the index does not record what that
    /// encrypts.
    fn sets<'a>(&'a self, definition: &'a TypeDefinition) -> Result<&'a EncryptionHistory> {
        sets_of(definition, self.newer.as_ref())
    }
}

/// Returns what is encrypted and bound in a document at the version `newer`, or, without it, in a document that was
/// converted to the newest version that this software knows.
///
/// # Errors
/// [`Incompatible`](ErrorKind::Incompatible) if the index does not record it.
pub(in crate::repository) fn sets_of<'a>(
    definition: &'a TypeDefinition,
    newer: Option<&'a Newer>,
) -> Result<&'a EncryptionHistory> {
    match newer {
        None => Ok(definition.encryption()),
        Some(newer) => newer.sets.as_deref().ok_or_else(|| conversion::unrecorded(definition, newer.version)),
    }
}

/// The secrets of an older document that would have to be encrypted again at the newest model version, but cannot be
/// decrypted. They are no longer in the document.
pub(in crate::repository) struct Unopened {
    pub(in crate::repository) names: Vec<String>,
    pub(in crate::repository) error: Error,
}

impl Repository {
    /// Converts a document to the newest model version. Secrets that cannot be decrypted do not prevent reading the
    /// rest, and neither does a newer version if the index does not record what it encrypts.
    pub(in crate::repository) async fn load(
        &self,
        definition: &TypeDefinition,
        id: &str,
        fetched: Fetched,
    ) -> Result<Loaded> {
        let mut loaded = self.converted(definition, id, fetched)?;
        self.learn_sets(definition, &mut loaded).await?;
        Ok(loaded)
    }

    /// Like [`load`](Self::load), for callers that open or seal the document's secrets.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if the index does not record what the document's version encrypts,
    /// even when it is asked again.
    pub(in crate::repository) async fn load_for_secrets(
        &self,
        definition: &TypeDefinition,
        id: &str,
        fetched: Fetched,
    ) -> Result<Loaded> {
        let mut loaded = self.converted(definition, id, fetched)?;
        self.learn_sets_for_secrets(definition, id, &mut loaded).await?;
        Ok(loaded)
    }

    /// Converts what was read of the open items, on the blocking pool if there are many, and looks up what newer
    /// versions encrypt: like [`load_for_secrets`](Self::load_for_secrets) if the secrets are opened or sealed,
    /// otherwise like [`load`](Self::load).
    pub(in crate::repository) async fn load_items<S: Send + 'static, A>(
        &self,
        items: Items<(S, Fetched), A>,
        for_secrets: bool,
    ) -> Items<(S, Loaded), A> {
        let repository = self.clone();
        let converting = move |Target { definition, key, .. }: &mut Target, (state, fetched)| {
            Ok((state, repository.converted(definition, &key.id, fetched)?))
        };
        let mut items = items.each_on_pool(&self.shared.engine.environment, converting).await;
        for item in items.iter_mut() {
            let Some((Target { definition, key, .. }, (_, loaded))) = item.open() else { continue };
            let learnt = match for_secrets {
                true => self.learn_sets_for_secrets(definition, &key.id, loaded).await,
                false => self.learn_sets(definition, loaded).await,
            };
            if let Err(error) = learnt {
                item.answer(Err(error));
            }
        }
        items
    }

    /// Returns the open items with the objects that were read, as callers see them.
    pub(in crate::repository) async fn view_items<S: Send + 'static, A>(
        &self,
        items: Items<(S, Fetched), A>,
    ) -> Items<(S, SavedObject), A> {
        let loaded = self.load_items(items, false).await;
        let repository = self.clone();
        let viewing = move |Target { definition, key, .. }: &mut Target, (state, loaded)| {
            Ok((state, repository.view(definition, &key.id, loaded)?))
        };
        loaded.each_on_pool(&self.shared.engine.environment, viewing).await
    }

    /// Returns the open items with the objects that were read, as callers see them, and their decrypted secrets.
    pub(in crate::repository) async fn open_items<A>(
        &self,
        items: Items<((), Fetched), A>,
    ) -> Items<(SavedObject, Secrets), A> {
        let loaded = self.load_items(items, true).await;
        let repository = self.clone();
        let opening = move |Target { definition, key, .. }: &mut Target, ((), mut loaded)| {
            let secrets = repository.open(definition, &key.id, &mut loaded)?;
            Ok((repository.view(definition, &key.id, loaded)?, secrets))
        };
        loaded.each_on_pool(&self.shared.engine.environment, opening).await
    }

    /// Looks up what a newer version encrypts.
    pub(in crate::repository) async fn learn_sets(
        &self,
        definition: &TypeDefinition,
        loaded: &mut Loaded,
    ) -> Result<()> {
        let generation = loaded.version.generation;
        if let Some(newer) = &mut loaded.newer {
            let Shared { engine, recorded_sets, .. } = &*self.shared;
            newer.sets = recorded_sets.sets(engine, definition, generation, newer.version).await?;
        }
        Ok(())
    }

    /// Looks up what a newer version encrypts, which must be known.
    pub(in crate::repository) async fn learn_sets_for_secrets(
        &self,
        definition: &TypeDefinition,
        id: &str,
        loaded: &mut Loaded,
    ) -> Result<()> {
        let generation = loaded.version.generation;
        if let Some(newer) = &mut loaded.newer {
            let Shared { engine, recorded_sets, .. } = &*self.shared;
            newer.sets = recorded_sets.sets_now(engine, definition, generation, newer.version).await?;
        }
        loaded.sets(definition).map_err(about(definition, id)).map(drop)
    }

    /// Converts a document to the newest model version, as far as that is possible without a request.
    pub(in crate::repository) fn converted(
        &self,
        definition: &TypeDefinition,
        id: &str,
        fetched: Fetched,
    ) -> Result<Loaded> {
        self.convert(definition, id, fetched).map_err(about(definition, id))
    }

    fn convert(&self, definition: &TypeDefinition, id: &str, fetched: Fetched) -> Result<Loaded> {
        let Fetched { mut document, version } = fetched;
        let model_version = VirtualVersion::of_document(document.root.type_migration_version.as_deref())?.number();
        let mut unopened = None;
        let conversion = &self.shared.engine.conversion;
        let status = if model_version >= definition.latest().number || !definition.encrypts() {
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
        let newer = match status {
            VersionStatus::Newer(version) => Some(Newer { version, sets: None }),
            VersionStatus::Current | VersionStatus::Older => None,
        };
        Ok(Loaded { document, version, model_version, newer, unopened })
    }

    /// Returns the decrypted values of a document, as far as this software knows their attributes.
    pub(in crate::repository) fn open(
        &self,
        definition: &TypeDefinition,
        id: &str,
        loaded: &mut Loaded,
    ) -> Result<Secrets> {
        if let Some(unopened) = loaded.unopened.take() {
            return Err(unopened.error);
        }
        let sets = loaded.sets(definition)?;
        let descriptor = conversion::descriptor(definition, loaded.document.root.namespace.as_deref(), id);
        let mut secrets = self.shared.engine.encryption.open(&descriptor, sets, &loaded.document.attributes)?;
        if loaded.newer.is_some() {
            secrets.retain(|name, _| definition.latest().sets.encrypts(name));
        }
        Ok(secrets)
    }

    /// Returns the object as callers see it. Exposed attributes are opened before the projection of a newer document,
    /// which would remove what they are bound to.
    pub(in crate::repository) fn view(
        &self,
        definition: &TypeDefinition,
        id: &str,
        loaded: Loaded,
    ) -> Result<SavedObject> {
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
            attributes = self.shared.engine.conversion.project(definition, newer.version, &attributes)?;
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

    /// Refuses to copy an object whose document is at a newer model version, because what this software does not know
    /// of it would be lost.
    pub(crate) fn check_copyable<A>(&self, object: &SavedObject<A>) -> Result<()> {
        let definition = self.definition(&object.type_name)?;
        if object.model_version <= definition.latest().number {
            return Ok(());
        }
        Err(conversion::newer(definition, object.model_version).context(format!("saved object {}", object.key())))
    }

    /// Returns the decrypted values of attributes that both this software and the document's version expose, and the
    /// attributes that cannot be decrypted: all that this software exposes, if it is not known what the document's
    /// version encrypts.
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
            match self.shared.engine.encryption.open_attribute(&descriptor, history, attributes, &exposed.name) {
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

/// Adds to an error which object it is about.
fn about<'a>(definition: &'a TypeDefinition, id: &'a str) -> impl Fn(Error) -> Error + 'a {
    move |error| error.context(format!("saved object {}/{id}", definition.name()))
}

impl Target {
    /// Returns whether a document with this `_id` is the object that the key names. Ids of different types and
    /// namespaces can have the same stored form.
    pub(in crate::repository) fn is_in(&self, document: &StoredDocument) -> bool {
        let Self { definition, key, .. } = self;
        let is_seen = || is_seen_from(&document.root, definition.namespace_kind(), &key.namespace);
        document.type_name == definition.name() && is_seen()
    }
}

/// Which object a document belongs to that is not a well-formed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::repository) enum Owner {
    /// The object that the key names.
    Key,
    /// An object of another type, or one that is not seen from the key's namespace.
    Another,
    /// It cannot be known: the fields that say it are missing or cannot be read.
    Unknown,
}

/// Returns which object the document at `target` belongs to, as far as that can be known of a source that is not a
/// well-formed object. `is_type` returns whether a name is that of a type.
pub(in crate::repository) fn owner(target: &Target, source: &str, is_type: impl Fn(&str) -> bool) -> Owner {
    let Target { definition, key, raw_id } = target;
    let kind = definition.namespace_kind();
    let Ok(header) = DocumentHeader::from_source(source) else {
        // The `_id` alone says it, unless it is that of an object of another type or namespace as well.
        let is_clear = !kind.is_multiple()
            && !key.id.contains(':')
            && key.namespace.id_form().is_none_or(|name| kind != NamespaceKind::Single || !is_type(name));
        return if is_clear { Owner::Key } else { Owner::Unknown };
    };
    let is_in_default = || RawId::object_id(raw_id.as_str(), definition.name(), kind, None).is_some();
    let is_keys = header.type_name() == definition.name()
        && match (kind, header.namespace()) {
            (NamespaceKind::Agnostic, _) => true,
            (NamespaceKind::Single, Some(name)) => Some(name) == key.namespace.id_form(),
            // The `_id` has the namespace, if it is not that of an object of the default one.
            (NamespaceKind::Single, None) => key.namespace.id_form().is_none() || !is_in_default(),
            (NamespaceKind::Multiple | NamespaceKind::MultipleIsolated, _) => match header.namespaces() {
                Some(names) => names.iter().any(|name| name == key.namespace.as_str() || name == "*"),
                None => return Owner::Unknown,
            },
        };
    if is_keys { Owner::Key } else { Owner::Another }
}

/// Returns whether a document is seen from `namespace`.
pub(in crate::repository) fn is_seen_from(root: &RootFields, kind: NamespaceKind, namespace: &Namespace) -> bool {
    match kind {
        NamespaceKind::Agnostic => true,
        NamespaceKind::Single => root.namespace.as_deref() == namespace.id_form(),
        NamespaceKind::Multiple | NamespaceKind::MultipleIsolated => {
            root.namespaces.iter().flatten().any(|name| name == namespace.as_str() || name == "*")
        }
    }
}

/// Removes the encrypted attributes of a document at `model_version`, and returns the names of those that had a value.
/// Attributes that only the newest version encrypts are among them: their values cannot have been sealed.
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
    use crate::repository::ObjectKey;

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
            let key = ObjectKey::new("note", id).in_namespace(Namespace::new(namespace).expect("a name"));
            let target = Target::new(&Arc::new(of_kind(kind)), key).expect("an id");
            let found = owner(&target, source, |name| name == "board");
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
