//! Brings one stored document to the model version that this software knows: older ones are upgraded, newer ones
//! projected. Migration and repository both read through here, so a document means the same to both.

use std::cmp::Ordering;
use std::sync::Arc;

use serde_json::Value;

use crate::document::{Attributes, NamespaceKind, StoredDocument};
use crate::encryption::{DecryptionCause, Descriptor, EncryptionService, KibanaCodec, Opened, Secret, Secrets};
use crate::environment::Environment;
use crate::layout::IndexMeta;
use crate::model::{EncryptionSets, VirtualVersion};
use crate::registry::{Registry, TypeDefinition};
use crate::{Error, ErrorKind, Result};

/// Converts stored documents between model versions, and encrypts anew where a version changes what is bound.
#[derive(Debug, Clone)]
pub(crate) struct Conversion {
    registry: Arc<Registry>,
    encryption: EncryptionService,
    stored: StoredSecrets,
}

/// What the secrets of stored documents are.
#[derive(Debug, Clone)]
enum StoredSecrets {
    /// Envelopes of this library.
    Envelopes,
    /// What Kibana encrypted, whatever the document's version: only a take-over reads it.
    OfKibana(KibanaCodec),
    /// Nobody opens them: they are passed on as they are, for a look at the rest of the document.
    Closed,
}

/// How a document's model version stood to this software's before it was converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It was at the newest version that this software knows.
    Current,
    /// It was older, and was upgraded.
    Older,
    /// It is newer, at this version.
    Newer(u32),
}

/// A document after its conversion.
#[derive(Debug)]
pub(crate) struct Upgraded {
    pub(crate) standing: Standing,
    /// The attributes that were to be encrypted again and do not open, and why. They are as they were stored, and bound to
    /// what the document no longer is.
    pub(crate) unreadable: Vec<(String, DecryptionCause)>,
}

impl Conversion {
    /// Returns the environment that conversions run in.
    pub(crate) fn environment(&self) -> &Environment {
        self.encryption.environment()
    }

    /// A conversion for the types of `registry`.
    pub(crate) fn new(registry: Arc<Registry>, encryption: EncryptionService) -> Self {
        Self { registry, encryption, stored: StoredSecrets::Envelopes }
    }

    /// One of documents that Kibana wrote: every document of a type that encrypts is opened with `codec` and encrypted anew.
    pub(crate) fn taking_over(self, codec: KibanaCodec) -> Self {
        Self { stored: StoredSecrets::OfKibana(codec), ..self }
    }

    /// One that needs no keys, for a look at what else of a document could keep it from being converted.
    pub(crate) fn leaving_secrets_closed(self) -> Self {
        Self { stored: StoredSecrets::Closed, ..self }
    }

    /// Whether there is a key to encrypt with.
    pub(crate) fn can_encrypt(&self) -> bool {
        self.encryption.can_encrypt()
    }

    /// Whether documents of the type are converted whatever their version.
    pub(crate) fn converts_all(&self, definition: &TypeDefinition) -> bool {
        definition.encrypts() && !matches!(self.stored, StoredSecrets::Envelopes)
    }

    /// Brings `document`, whose object id is `id`, to the newest version of `definition`, its type. Its secrets stay
    /// envelopes; they are opened and encrypted again only if the versions differ in what of this document is encrypted or
    /// bound (design decision 17). A newer document is left as it is.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if the version is malformed or a transform refuses the document,
    /// [`Incompatible`](ErrorKind::Incompatible) if a transform is missing, [`Decrypt`](ErrorKind::Decrypt) if a secret that must be
    /// encrypted again does not open. The document is then half-way and must not be stored.
    pub(crate) fn upgrade(
        &self,
        definition: &TypeDefinition,
        id: &str,
        document: &mut StoredDocument,
    ) -> Result<Standing> {
        let upgraded = self.upgrade_each(definition, id, document)?;
        let descriptor = descriptor(definition, document.root.namespace.as_deref(), id);
        Opened { secrets: Secrets::new(), failures: upgraded.unreadable }.into_secrets(&descriptor)?;
        Ok(upgraded.standing)
    }

    /// As [`upgrade`](Self::upgrade), for whoever decides what becomes of secrets that do not open: the others are
    /// encrypted again.
    ///
    /// # Errors
    /// As [`upgrade`](Self::upgrade), but for `Decrypt`.
    pub(crate) fn upgrade_each(
        &self,
        definition: &TypeDefinition,
        id: &str,
        document: &mut StoredDocument,
    ) -> Result<Upgraded> {
        let from = VirtualVersion::of_document(document.root.type_migration_version.as_deref())?.number();
        let to = definition.latest();
        let standing = match from.cmp(&to.number) {
            Ordering::Less => Standing::Older,
            Ordering::Equal => Standing::Current,
            Ordering::Greater => Standing::Newer(from),
        };
        let mut upgraded = Upgraded { standing, unreadable: Vec::new() };
        if standing != Standing::Older && !self.converts_all(definition) {
            return Ok(upgraded);
        }
        if let Standing::Newer(version) = standing {
            return Err(newer(definition, version));
        }
        let old_sets = definition.version(from.max(1)).map_or(&to.sets, |version| &version.sets);
        let keeps_envelopes = match self.stored {
            StoredSecrets::Envelopes => definition.keeps_envelopes_from(from),
            StoredSecrets::OfKibana(_) => old_sets.is_empty() && to.sets.is_empty(),
            StoredSecrets::Closed => true,
        };
        if keeps_envelopes {
            definition.upgrade(self.registry.transforms(), from, &mut document.attributes)?;
        } else {
            // Kibana lists an attribute as bound one release before it begins to write it, at the same version.
            let next = definition.version(from.max(1) + 1).map(|version| &version.sets);
            let before = part_of(&document.attributes, [old_sets, &to.sets].into_iter().chain(next));
            definition.upgrade(self.registry.transforms(), from, &mut document.attributes)?;
            let descriptor = descriptor(definition, document.root.namespace.as_deref(), id);
            let attributes = &mut document.attributes;
            match &self.stored {
                StoredSecrets::OfKibana(codec) => {
                    let all: Vec<&EncryptionSets> = std::iter::once(old_sets).chain(next).collect();
                    let opened = codec.open_each(&descriptor, &all, &before);
                    let was = Before { attributes: &before, sets: &all, opened };
                    upgraded.unreadable = self.encrypt_again(&descriptor, was, &to.sets, attributes)?;
                }
                _ if !is_encrypted_alike((old_sets, &before), (&to.sets, attributes))
                    || to.sets.encrypted.iter().any(|of| before.get(&of.name) != attributes.get(&of.name)) =>
                {
                    let opened = self.encryption.open_each(&descriptor, old_sets, &before)?;
                    let was = Before { attributes: &before, sets: &[old_sets], opened };
                    upgraded.unreadable = self.encrypt_again(&descriptor, was, &to.sets, attributes)?;
                }
                _ => {}
            }
        }
        document.root.type_migration_version = Some(VirtualVersion::of(to.number).to_string());
        Ok(upgraded)
    }

    /// What of a document's attributes this software understands, if the document is at the newer version `version`.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if the type's newest version here has no forward schema.
    pub(crate) fn project(
        &self,
        definition: &TypeDefinition,
        version: u32,
        attributes: &Attributes,
    ) -> Result<Attributes> {
        match &definition.latest().forward {
            Some(forward) => Ok(forward.project(attributes)),
            None => Err(newer(definition, version)),
        }
    }

    /// Puts envelopes of what opened into `attributes`, as they will be stored, and of what is there in clear: because it was not
    /// encrypted before, or because a transform set it. Gives what did not open and is still there.
    fn encrypt_again(
        &self,
        descriptor: &Descriptor<'_>,
        was: Before<'_>,
        new_sets: &EncryptionSets,
        attributes: &mut Attributes,
    ) -> Result<Vec<(String, DecryptionCause)>> {
        let is_left = |name: &String| !new_sets.encrypts(name) && is_present(attributes, name);
        if let Some(name) = was.opened.secrets.keys().find(|name| is_left(name)) {
            return Err(Error::new(
                ErrorKind::Incompatible,
                format!("the attribute {name:?} of {descriptor} stops being encrypted while it has a value"),
            )
            .with_cure("remove the attribute with data_removal, or keep it encrypted"));
        }
        let mut unreadable: Vec<_> = was.opened.failures.iter().filter(|(name, _)| is_left(name)).cloned().collect();
        let mut secrets = Secrets::new();
        for name in new_sets.encrypted.iter().map(|attribute| &attribute.name) {
            let Some(value) = attributes.get(name).filter(|value| !value.is_null()) else { continue };
            match was.envelope(name, value) {
                None => drop(secrets.insert(name.clone(), Secret::json(value)?)),
                Some(Ok(secret)) => drop(secrets.insert(name.clone(), secret)),
                Some(Err(cause)) => unreadable.push((name.clone(), cause)),
            }
        }
        self.encryption.seal(descriptor, new_sets, attributes, &secrets)?;
        Ok(unreadable)
    }
}

/// A document before its upgrade, and what of its secrets opened.
struct Before<'a> {
    attributes: &'a Attributes,
    /// What may have been encrypted in it.
    sets: &'a [&'a EncryptionSets],
    opened: Opened,
}

impl Before<'_> {
    /// What is in `value`, which the attribute `name` has now, if it was encrypted before: there, or in another attribute from
    /// which a transform moved it. None if it is in clear.
    fn envelope(&self, name: &str, value: &Value) -> Option<Result<Secret, DecryptionCause>> {
        let encrypted = self.sets.iter().flat_map(|sets| &sets.encrypted).map(|attribute| attribute.name.as_str());
        let mut holding: Vec<&str> = encrypted.filter(|of| self.attributes.get(*of) == Some(value)).collect();
        holding.sort_unstable_by_key(|of| *of != name);
        let holding = holding.first()?;
        match self.opened.secrets.get(*holding) {
            Some(secret) => Some(Ok(secret.clone())),
            None => self.opened.failures.iter().find(|(of, _)| of == holding).map(|(_, cause)| Err(*cause)),
        }
    }
}

/// Where the secrets of an object belong whose document has this `namespace`. That counts only for a type whose objects live in
/// exactly one, whatever a document of another type says.
pub(crate) fn descriptor<'a>(
    definition: &'a TypeDefinition,
    namespace: Option<&'a str>,
    id: &'a str,
) -> Descriptor<'a> {
    let namespace = namespace.filter(|_| definition.namespace_kind() == NamespaceKind::Single);
    Descriptor { type_name: definition.name(), namespace, id }
}

/// The error for a document at a version that this software cannot handle.
pub(crate) fn newer(definition: &TypeDefinition, version: u32) -> Error {
    Error::new(
        ErrorKind::Incompatible,
        format!(
            "a document of type {} is at model version {version}, and this software knows versions up to {}",
            definition.name(),
            definition.latest().number
        ),
    )
    .with_cure("use software that knows the newer version")
}

/// The error for a document at a newer version of which the index does not say what it encrypts.
pub(crate) fn unrecorded(definition: &TypeDefinition, version: u32) -> Error {
    Error::new(
        ErrorKind::Incompatible,
        format!(
            "the index does not say what model version {version} of type {} encrypts, and this software does not know it",
            definition.name()
        ),
    )
    .with_cure("run `saved-objects migrate` with the software that knows the newer version, which records it")
}

/// What is encrypted and bound in a document that is stored at `version`, in an index that says `meta` of itself.
///
/// # Errors
/// [`Incompatible`](ErrorKind::Incompatible) if neither this software nor the index knows.
pub(crate) fn stored_sets<'a>(
    definition: &'a TypeDefinition,
    meta: &'a IndexMeta,
    version: u32,
) -> Result<&'a EncryptionSets> {
    if let Some(known) = definition.version(version.max(1)) {
        return Ok(&known.sets);
    }
    let recorded = meta.types.get(definition.name()).and_then(|recorded| recorded.sets.get(&version));
    recorded.ok_or_else(|| {
        Error::new(
            ErrorKind::Incompatible,
            format!("neither this software nor the index knows what model version {version} encrypts"),
        )
    })
}

fn is_present(attributes: &Attributes, name: &str) -> bool {
    attributes.get(name).is_some_and(|value| !value.is_null())
}

/// Those of the attributes that one of the sets names.
fn part_of<'a>(attributes: &Attributes, sets: impl Iterator<Item = &'a EncryptionSets> + Clone) -> Attributes {
    let is_named = |name: &String| sets.clone().any(|sets| sets.encrypts(name) || sets.binds(name));
    let named = attributes.iter().filter(|(name, _)| is_named(name));
    named.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Whether envelopes of one open as those of the other: the same present values are encrypted, and the same bound values are
/// present.
fn is_encrypted_alike(
    (old_sets, before): (&EncryptionSets, &Attributes),
    (new_sets, after): (&EncryptionSets, &Attributes),
) -> bool {
    let encrypted = |sets: &EncryptionSets, attributes: &Attributes, name: &str| {
        sets.encrypts(name) && is_present(attributes, name)
    };
    let mut is_any = false;
    for attribute in old_sets.encrypted.iter().chain(&new_sets.encrypted) {
        let (was, is) = (encrypted(old_sets, before, &attribute.name), encrypted(new_sets, after, &attribute.name));
        if was != is {
            return false;
        }
        is_any |= is;
    }
    // Nothing is bound where nothing is encrypted.
    !is_any
        || old_sets.bound.iter().chain(&new_sets.bound).all(|name| {
            let was = before.get(name).filter(|_| old_sets.binds(name));
            was == after.get(name).filter(|_| new_sets.binds(name))
        })
}

#[cfg(test)]
mod tests;
