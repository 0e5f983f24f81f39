//! Brings one stored document to the model version that this software knows: older ones are upgraded, newer ones
//! projected. Migration and repository both read through here, so a document means the same to both.

mod sealing;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use crate::document::{Attributes, NamespaceKind, StoredDocument};
use crate::encryption::{
    DecryptionCause, Descriptor, EncryptionHistory, EncryptionService, KibanaCodec, Opened, Secrets,
};
use crate::environment::Environment;
use crate::layout::IndexMeta;
use crate::model::VirtualVersion;
use crate::registry::{Registry, TypeDefinition};
use crate::{Error, ErrorKind, Result};
use sealing::Before;

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
    /// The attributes that were to be encrypted again and do not open, or that only a later version can have, and why. They are
    /// as they were stored, and bound to what the document no longer is.
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

    /// Returns what encrypts.
    pub(crate) fn encryption(&self) -> &EncryptionService {
        &self.encryption
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
        let new = definition.encryption();
        // It is not newer, and so known.
        let old = new.up_to(from).unwrap_or(Cow::Borrowed(new));
        let descriptor = descriptor(definition, document.root.namespace.as_deref(), id);
        let attributes = &mut document.attributes;
        let run = |attributes: &mut Attributes| -> Result<()> {
            Ok(definition.upgrade(self.registry.transforms(), from, attributes)?)
        };
        match &self.stored {
            StoredSecrets::Closed => run(attributes)?,
            StoredSecrets::Envelopes if definition.keeps_envelopes_from(from) => {
                upgraded.unreadable = EncryptionService::sealed_later(&old, attributes);
                run(attributes)?;
            }
            StoredSecrets::Envelopes => {
                let before = Before::upgrading(self.environment(), attributes, (vec![old.sets()], new), run)?;
                upgraded.unreadable =
                    sealing::seal_changed(&self.encryption, &descriptor, &before, (&old, new), attributes)?;
            }
            StoredSecrets::OfKibana(_) if old.sets().is_empty() && new.sets().is_empty() => run(attributes)?,
            StoredSecrets::OfKibana(codec) => {
                // Kibana lists an attribute as bound one release before it begins to write it, at the same version.
                let next = definition.version(from.max(1).saturating_add(1)).map(|version| &version.sets);
                let sets = std::iter::once(old.sets()).chain(next).collect();
                let before = Before::upgrading(self.environment(), attributes, (sets, new), run)?;
                let opened = codec.open_each(&descriptor, before.sets(), before.attributes());
                let all = new.sets().encrypted.iter().map(|attribute| attribute.name.clone()).collect();
                upgraded.unreadable =
                    sealing::seal_all(&self.encryption, &descriptor, (&before, opened), new, attributes, &all)?;
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

/// What the model versions up to `version` encrypt and bind, of a document that is stored at it in an index that says `meta` of
/// itself.
///
/// # Errors
/// [`Incompatible`](ErrorKind::Incompatible) if neither this software nor the index knows.
pub(crate) fn stored_sets<'a>(
    definition: &'a TypeDefinition,
    meta: &IndexMeta,
    version: u32,
) -> Result<Cow<'a, EncryptionHistory>> {
    if let Some(known) = definition.encryption().up_to(version) {
        return Ok(known);
    }
    recorded_sets(definition, meta, version).map(Cow::Owned).ok_or_else(|| {
        Error::new(
            ErrorKind::Incompatible,
            format!("neither this software nor the index knows what model version {version} encrypts"),
        )
    })
}

/// What the model versions up to `version` encrypt and bind, which is beyond what this software knows, if an index says it in
/// its `meta`.
pub(crate) fn recorded_sets(definition: &TypeDefinition, meta: &IndexMeta, version: u32) -> Option<EncryptionHistory> {
    definition.encryption().continued_to(version, &meta.types.get(definition.name())?.sets)
}

fn is_present(attributes: &Attributes, name: &str) -> bool {
    attributes.get(name).is_some_and(|value| !value.is_null())
}

#[cfg(test)]
mod tests;
