use std::collections::BTreeMap;

use serde_json::Value;

use super::many::{Items, on_pool, only};
use super::read::{Fetched, Loaded, Newer, Unopened};
use super::write::{Sources, Write};
use super::{ObjectKey, Repository, SavedObject, content, limits, merge, read};
use crate::Result;
use crate::cluster::Refresh;
use crate::conversion;
use crate::document::{Attributes, Reference, RootFields, StoredDocument, VersionToken};
use crate::encryption::{EncryptionHistory, Secret, Secrets};
use crate::registry::TypeDefinition;

/// Which object is to be changed.
#[derive(Debug, Clone)]
pub struct Update {
    pub(crate) key: ObjectKey,
    pub(super) version: Option<VersionToken>,
    pub(super) refresh: Refresh,
}

/// An object while it is changed. What the change does not touch stays.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The attributes, as [`Repository::get`] gives them.
    pub attributes: Attributes,
    /// The references to other objects.
    pub references: Vec<Reference>,
    secrets: BTreeMap<String, SecretChange>,
}

/// A document between its reading and its writing.
struct Drafted {
    read: VersionToken,
    stored: StoredDocument,
    /// The attributes before the change.
    shown: Attributes,
    newer: Option<Newer>,
    unopened: Option<Unopened>,
    draft: Draft,
}

/// What a change made of a document.
pub(super) struct Changed {
    pub(super) document: StoredDocument,
    pub(super) newer: Option<Newer>,
    pub(super) write: Write,
}

/// What becomes of an encrypted attribute.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SecretChange {
    /// It stays as it is.
    #[default]
    Keep,
    /// It gets this value.
    Set(Secret),
    /// It is removed.
    Remove,
}

impl Update {
    /// The object called `key`, whatever is there.
    pub fn new(key: impl Into<ObjectKey>) -> Self {
        Self { key: key.into(), version: None, refresh: Refresh::Later }
    }

    /// Changes this version only.
    #[must_use]
    pub fn version(mut self, version: VersionToken) -> Self {
        self.version = Some(version);
        self
    }

    /// Decides when [`Repository::find`] sees it. Reads by id see it at once in any case.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }
}

impl From<&ObjectKey> for Update {
    fn from(key: &ObjectKey) -> Self {
        Self::new(key)
    }
}

impl From<ObjectKey> for Update {
    fn from(key: ObjectKey) -> Self {
        Self::new(key)
    }
}

impl Draft {
    /// Says what becomes of the encrypted attribute `name`. The last word counts.
    pub fn secret(&mut self, name: impl Into<String>, change: SecretChange) {
        self.secrets.insert(name.into(), change);
    }
}

impl Repository {
    /// Changes an object: reads it, lets `change` change it, and writes it if nobody wrote it meanwhile; else all of that is
    /// repeated, a few times. With [`Update::version`] there is one attempt.
    ///
    /// Secrets that the change does not speak of stay. If it touches neither a secret nor an attribute that secrets are
    /// bound to, their ciphertexts stay byte for byte; if it changes a bound attribute, they are decrypted and encrypted
    /// again in the same write.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{ObjectKey, Repository};
    /// # async fn example(repository: &Repository, key: &ObjectKey) -> saved_objects::Result<()> {
    /// let object = repository
    ///     .update(key, |draft| {
    ///         draft.attributes.insert("title".to_owned(), "new".into());
    ///         Ok(())
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such object that is seen from the key's namespace, or if
    ///   the index does not exist.
    /// - [`Conflict`](crate::ErrorKind::Conflict) if the object no longer is at the version given; if none was given, if
    ///   others went on writing it.
    /// - [`Invalid`](crate::ErrorKind::Invalid) if an attribute or secret is not one that the type takes, if the attributes
    ///   do not satisfy the create schema any more, if an identity attribute changes.
    /// - [`Decrypt`](crate::ErrorKind::Decrypt) if a secret must be encrypted again and does not open; not if the change sets
    ///   or removes every secret that the object has.
    /// - [`Incompatible`](crate::ErrorKind::Incompatible) if the document is at a newer model version, and this software has no
    ///   forward schema to read it with, or the index does not say what that version encrypts, or says that it binds less than
    ///   this software does. Otherwise the change is merged into it: what this software does not know of it stays, and so does
    ///   its version.
    /// - [`Corrupt`](crate::ErrorKind::Corrupt), [`Forbidden`](crate::ErrorKind::Forbidden) if the index takes no writes,
    ///   [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown), [`Unavailable`](crate::ErrorKind::Unavailable).
    /// - Those of `change`, unchanged.
    pub async fn update<F>(&self, request: impl Into<Update>, mut change: F) -> Result<SavedObject>
    where
        F: FnMut(&mut Draft) -> Result<()>,
    {
        only(self.update_many([request.into()], |_, draft| change(draft)).await)
    }

    /// A document that was just written, as callers see it.
    pub(super) fn updated(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        document: StoredDocument,
        version: VersionToken,
        newer: Option<Newer>,
    ) -> Result<SavedObject> {
        let model_version = newer.as_ref().map_or(definition.latest().number, |newer| newer.version);
        let loaded = Loaded { document, version, model_version, newer, unopened: None };
        self.view(definition, &key.id, loaded)
    }

    /// What `change` makes of documents that were read, each with its key: on the blocking pool but for the change itself.
    pub(super) async fn changed(
        &self,
        read: Vec<(ObjectKey, Fetched)>,
        change: &mut impl FnMut(&ObjectKey, &mut Draft) -> Result<()>,
    ) -> Vec<Result<Changed>> {
        let repository = self.clone();
        let converting = on_pool(&self.shared.environment, read, move |(key, fetched)| {
            let loaded = repository.converted(repository.definition(&key.type_name)?, &key.id, fetched)?;
            Ok((key, loaded))
        });
        let mut items = Items::new(0);
        let mut loaded = Vec::new();
        for (at, converted) in converting.await.enumerate() {
            items.add();
            match self.with_sets(converted).await {
                Ok(one) => loaded.push((at, one)),
                Err(error) => items.answer(at, Err(error)),
            }
        }
        let repository = self.clone();
        let drafting = move |(key, loaded): (ObjectKey, Loaded)| {
            let drafted = repository.drafted(repository.definition(&key.type_name)?, &key, loaded)?;
            Ok((key, drafted))
        };
        let mut changed = Vec::new();
        for (at, drafted) in items.each(&self.shared.environment, loaded, drafting).await {
            let (key, mut drafted) = drafted;
            match change(&key, &mut drafted.draft) {
                Ok(()) => changed.push((at, (key, drafted))),
                Err(error) => items.answer(at, Err(error)),
            }
        }
        let repository = self.clone();
        let mut sources = Sources::of(changed.len(), &self.shared.environment);
        let sealing = move |(key, drafted): (ObjectKey, Drafted)| {
            let definition = repository.definition(&key.type_name)?;
            let (read, newer) = (drafted.read, drafted.newer.clone());
            let document = repository.sealed(definition, &key, drafted)?;
            let write = Write::replace(definition, &key, &document, read, &mut sources)?;
            Ok(Changed { document, newer, write })
        };
        for (at, sealed) in items.each(&self.shared.environment, changed, sealing).await {
            items.answer(at, Ok(sealed));
        }
        items.end()
    }

    async fn with_sets(&self, converted: Result<(ObjectKey, Loaded)>) -> Result<(ObjectKey, Loaded)> {
        let (key, mut loaded) = converted?;
        self.learn_sets_for_secrets(self.definition(&key.type_name)?, &key.id, &mut loaded).await?;
        Ok((key, loaded))
    }

    /// A document as a change sees it.
    fn drafted(&self, definition: &TypeDefinition, key: &ObjectKey, mut loaded: Loaded) -> Result<Drafted> {
        let unopened = loaded.unopened.take();
        let (read, newer, stored) = (loaded.version, loaded.newer.clone(), loaded.document.clone());
        let shown = self.view(definition, &key.id, loaded)?.attributes;
        let draft =
            Draft { attributes: shown.clone(), references: stored.root.references.clone(), secrets: BTreeMap::new() };
        Ok(Drafted { read, stored, shown, newer, unopened, draft })
    }

    /// The document after the change.
    fn sealed(&self, definition: &TypeDefinition, key: &ObjectKey, drafted: Drafted) -> Result<StoredDocument> {
        let Drafted { stored, shown, newer, unopened, draft, .. } = drafted;
        let history = read::sets_of(definition, newer.as_ref())?;
        let sets = history.sets();
        let Draft { mut attributes, references, mut secrets } = draft;
        take_exposed_changes(definition, &shown, &mut attributes, &mut secrets)?;
        content::check_attributes(definition, &definition.latest().sets, &attributes)?;
        content::check_secret_names(definition, secrets.keys().map(String::as_str))?;
        content::check_identity(definition, &shown, &attributes)?;
        // Those that are stored already keep no change of another attribute from being made.
        if references != stored.root.references {
            limits::check_references(key, &references)?;
        }
        if let Some(unopened) = unopened
            && unopened.names.iter().any(|name| is_kept(&secrets, name))
        {
            return Err(unopened.error);
        }
        if newer.is_some() {
            merge::check_secret_changes(definition, sets, &secrets)?;
            content::check_attributes(definition, sets, &attributes)?;
            attributes = merge::merged(definition, sets, &stored.attributes, &shown, &attributes);
            merge::check_protection(definition, history, &stored.attributes)?;
        }
        self.seal_changes(definition, history, key, &stored, &mut attributes, secrets)?;
        let stored_attributes = stored.attributes;
        let root = RootFields {
            references,
            updated_at: Some(self.shared.environment.now_iso()),
            updated_by: None,
            ..stored.root
        };
        if newer.is_some() {
            merge::check_schema(definition, key, &stored_attributes, &attributes)?;
            return Ok(StoredDocument { type_name: stored.type_name, attributes, root });
        }
        content::finish(definition, key, root, attributes)
    }

    /// Adds the envelopes to the changed attributes: those that stay, and new ones where they must be new.
    pub(super) fn seal_changes(
        &self,
        definition: &TypeDefinition,
        history: &EncryptionHistory,
        key: &ObjectKey,
        stored: &StoredDocument,
        attributes: &mut Attributes,
        changes: BTreeMap<String, SecretChange>,
    ) -> Result<()> {
        let encryption = &self.shared.encryption;
        let descriptor = conversion::descriptor(definition, stored.root.namespace.as_deref(), &key.id);
        let kept = history.sets().encrypted.iter().filter(|encrypted| is_kept(&changes, &encrypted.name));
        let kept = kept.filter_map(|encrypted| stored.attributes.get_key_value(&encrypted.name));
        let kept: Vec<_> = kept.filter(|(_, value)| !value.is_null()).collect();
        let mut secrets = Secrets::new();
        for (name, change) in changes {
            if let SecretChange::Set(secret) = change {
                secrets.insert(name, secret);
            }
        }
        // Which envelopes stay depends on all attributes that there will be.
        attributes.extend(kept.iter().map(|&(name, envelope)| (name.clone(), envelope.clone())));
        attributes.extend(secrets.keys().map(|name| (name.clone(), Value::Null)));
        for (name, envelope) in kept {
            if history.keeps(name, envelope, (history, &stored.attributes), attributes) {
                continue;
            }
            if let Some(secret) = encryption.open_attribute(&descriptor, history, &stored.attributes, name)? {
                secrets.insert(name.clone(), secret);
            }
        }
        encryption.seal(&descriptor, history, attributes, &secrets)
    }
}

fn is_kept(changes: &BTreeMap<String, SecretChange>, name: &str) -> bool {
    matches!(changes.get(name), None | Some(SecretChange::Keep))
}

/// Takes the exposed attributes out of `attributes`, and notes what was changed about them. What was said of them as secrets
/// goes first.
fn take_exposed_changes(
    definition: &TypeDefinition,
    shown: &Attributes,
    attributes: &mut Attributes,
    changes: &mut BTreeMap<String, SecretChange>,
) -> Result<()> {
    for exposed in definition.exposed() {
        let after = attributes.remove(&exposed.name);
        if after.as_ref() == shown.get(&exposed.name) || !is_kept(changes, &exposed.name) {
            continue;
        }
        let change = match after.filter(|value| !value.is_null()) {
            Some(value) => SecretChange::Set(Secret::json(&value)?),
            None => SecretChange::Remove,
        };
        changes.insert(exposed.name.clone(), change);
    }
    Ok(())
}
