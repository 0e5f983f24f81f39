//! The conversion of one stored document to the model version that this software knows. Older documents are upgraded,
//! newer ones are projected. Migration and repository both use it, so a document means the same to both.

mod sealing;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use crate::document::numbers::Numbers;
use crate::document::{Attributes, NamespaceKind, StoredDocument};
use crate::encryption::{
    DecryptionCause, Descriptor, EncryptionHistory, EncryptionService, Opened, Secrets, SourceReader,
};
use crate::environment::Environment;
use crate::layout::IndexMeta;
use crate::model::VirtualVersion;
use crate::registry::{Registry, TypeDefinition};
use crate::{Error, ErrorKind, Result};
use sealing::Before;

/// Converts stored documents between model versions, and encrypts secrets again if a version changes what is bound.
#[derive(Debug, Clone)]
pub(crate) struct Conversion {
    registry: Arc<Registry>,
    encryption: EncryptionService,
    stored: StoredSecrets,
}

/// The form of the secrets of stored documents.
#[derive(Debug, Clone)]
enum StoredSecrets {
    /// Envelopes of this library.
    Envelopes,
    /// Values that another system encrypted, at any document version. Only a take-over reads them.
    Foreign(Arc<dyn SourceReader>),
    /// Values that stay encrypted and unchanged, for a check of the rest of the document.
    Closed,
}

/// The relation of a document's model version to this software's, before the conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VersionStatus {
    /// The document was at the newest version that this software knows.
    Current,
    /// The document was older, and was upgraded.
    Older,
    /// The document is newer, at this version.
    Newer(u32),
}

/// The result of the conversion of a document.
#[derive(Debug)]
pub(crate) struct Upgraded {
    pub(crate) status: VersionStatus,
    /// The attributes that must be encrypted again and cannot be decrypted, or whose envelopes name a later version
    /// than the document's, with the cause. They keep their stored value, which is bound to the document before its
    /// conversion.
    pub(crate) unreadable: Vec<(String, DecryptionCause)>,
}

impl Conversion {
    /// Returns the environment of conversions.
    pub(crate) fn environment(&self) -> &Environment {
        self.encryption.environment()
    }

    /// Creates a conversion for the types of `registry`.
    pub(crate) fn new(registry: Arc<Registry>, encryption: EncryptionService) -> Self {
        Self { registry, encryption, stored: StoredSecrets::Envelopes }
    }

    /// Returns a conversion of documents that another system wrote. The secrets of every document of a type that
    /// encrypts are decrypted by `reader` and encrypted again.
    pub(crate) fn taking_over(self, reader: Arc<dyn SourceReader>) -> Self {
        Self { stored: StoredSecrets::Foreign(reader), ..self }
    }

    /// Returns a conversion that needs no keys, for finding out whether anything except secrets prevents a conversion.
    pub(crate) fn leaving_secrets_closed(self) -> Self {
        Self { stored: StoredSecrets::Closed, ..self }
    }

    /// Returns the encryption service.
    pub(crate) fn encryption(&self) -> &EncryptionService {
        &self.encryption
    }

    /// Returns whether there is a key to encrypt with.
    pub(crate) fn can_encrypt(&self) -> bool {
        self.encryption.can_encrypt()
    }

    /// Returns whether documents of the type are converted at every version.
    pub(crate) fn converts_all(&self, definition: &TypeDefinition) -> bool {
        definition.encrypts() && !matches!(self.stored, StoredSecrets::Envelopes)
    }

    /// Upgrades `document`, whose object id is `id`, to the newest version of its type `definition`. Its secrets stay
    /// envelopes. They are decrypted and encrypted again only if the versions differ in what they encrypt or bind of
    /// this document (record 26). A newer document stays unchanged.
    ///
    /// # Errors
    /// [`Corrupt`](ErrorKind::Corrupt) if the version is malformed or a transform refuses the document,
    /// [`Incompatible`](ErrorKind::Incompatible) if a transform is missing, [`Decrypt`](ErrorKind::Decrypt) if a secret
    /// that must be encrypted again cannot be decrypted. The document is then partly converted and must not be stored.
    pub(crate) fn upgrade(
        &self,
        definition: &TypeDefinition,
        id: &str,
        document: &mut StoredDocument,
    ) -> Result<VersionStatus> {
        let upgraded = self.upgrade_each(definition, id, document)?;
        let descriptor = descriptor(definition, document.root.namespace.as_deref(), id);
        Opened { secrets: Secrets::new(), failures: upgraded.unreadable }.into_secrets(&descriptor)?;
        Ok(upgraded.status)
    }

    /// Like [`upgrade`](Self::upgrade), but returns the secrets that cannot be decrypted for the caller to handle. The
    /// others are encrypted again.
    ///
    /// # Errors
    /// Those of [`upgrade`](Self::upgrade) except `Decrypt`.
    pub(crate) fn upgrade_each(
        &self,
        definition: &TypeDefinition,
        id: &str,
        document: &mut StoredDocument,
    ) -> Result<Upgraded> {
        let from = VirtualVersion::of_document(document.root.type_migration_version.as_deref())?.number();
        let to = definition.latest();
        let status = match from.cmp(&to.number) {
            Ordering::Less => VersionStatus::Older,
            Ordering::Equal => VersionStatus::Current,
            Ordering::Greater => VersionStatus::Newer(from),
        };
        let mut upgraded = Upgraded { status, unreadable: Vec::new() };
        if status != VersionStatus::Older && !self.converts_all(definition) {
            return Ok(upgraded);
        }
        if let VersionStatus::Newer(version) = status {
            return Err(newer(definition, version));
        }
        let new = definition.encryption();
        // The document is not newer, so its version is known.
        let old = new.up_to(from).unwrap_or(Cow::Borrowed(new));
        let descriptor = descriptor(definition, document.root.namespace.as_deref(), id);
        let attributes = &mut document.attributes;
        let numbers = document.root.numbers.clone();
        let run = |attributes: &mut Attributes| -> Result<Numbers> {
            definition.upgrade(self.registry.transforms(), from, attributes)?;
            numbers.of_changed(attributes).map_err(|ambiguous| {
                Error::new(ErrorKind::Corrupt, ambiguous.to_string())
                    .with_hint("let the transform leave these numbers where they are, or make texts of them")
            })
        };
        document.root.numbers = match &self.stored {
            StoredSecrets::Closed => run(attributes)?,
            StoredSecrets::Envelopes if definition.keeps_envelopes_from(from) => {
                upgraded.unreadable = EncryptionService::sealed_later(&old, attributes);
                run(attributes)?
            }
            StoredSecrets::Envelopes => {
                let before = Before::upgrading(self.environment(), attributes, (vec![old.sets()], new), run)?;
                upgraded.unreadable =
                    sealing::seal_changed(&self.encryption, &descriptor, &before, (&old, new), attributes)?;
                before.into_numbers()
            }
            StoredSecrets::Foreign(_) if old.sets().is_empty() && new.sets().is_empty() => run(attributes)?,
            StoredSecrets::Foreign(reader) => {
                // Kibana declares an attribute as bound one release before it first writes it, at the same version.
                let next = definition.version(from.max(1).saturating_add(1)).map(|version| &version.sets);
                let sets = std::iter::once(old.sets()).chain(next).collect();
                let before = Before::upgrading(self.environment(), attributes, (sets, new), run)?;
                let opened = reader.open_each(&descriptor, before.sets(), before.attributes());
                let all = new.sets().encrypted.iter().map(|attribute| attribute.name.clone()).collect();
                upgraded.unreadable =
                    sealing::seal_all(&self.encryption, &descriptor, (&before, opened), new, attributes, &all)?;
                before.into_numbers()
            }
        };
        document.root.type_migration_version = Some(VirtualVersion::of(to.number).to_string());
        Ok(upgraded)
    }

    /// Returns the attributes that this software understands, of a document at the newer version `version`.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if the newest version of the type in this software has no forward
    /// schema.
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

/// Returns the descriptor of an object's secrets, for a document with this `namespace`. The namespace counts only for a
/// single-namespace type, whatever a document of another type contains.
pub(crate) fn descriptor<'a>(
    definition: &'a TypeDefinition,
    namespace: Option<&'a str>,
    id: &'a str,
) -> Descriptor<'a> {
    let namespace = namespace.filter(|_| definition.namespace_kind() == NamespaceKind::Single);
    Descriptor { type_name: definition.name(), namespace, id }
}

/// Returns the error for a document at a version that this software cannot handle.
pub(crate) fn newer(definition: &TypeDefinition, version: u32) -> Error {
    Error::new(
        ErrorKind::Incompatible,
        format!(
            "a document of type {} is at model version {version}, and this software knows versions up to {}",
            definition.name(),
            definition.latest().number
        ),
    )
    .with_hint("use software that knows the newer version")
}

/// Returns the error for a document at a newer version whose encryption sets the index does not record.
pub(crate) fn unrecorded(definition: &TypeDefinition, version: u32) -> Error {
    Error::new(
        ErrorKind::Incompatible,
        format!(
            "the index does not say what model version {version} of type {} encrypts, and this software does not know it",
            definition.name()
        ),
    )
    .with_hint("run `saved-objects migrate` with the software that knows the newer version, which records it")
}

/// Returns the encryption history up to `version`, for a document that is stored at that version in an index with this
/// `meta`.
///
/// # Errors
/// [`Incompatible`](ErrorKind::Incompatible) if neither this software nor the index knows the sets.
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

/// Returns the encryption history up to `version`, which is beyond what this software knows, if the index's `meta`
/// records it.
pub(crate) fn recorded_sets(definition: &TypeDefinition, meta: &IndexMeta, version: u32) -> Option<EncryptionHistory> {
    definition.encryption().continued_to(version, &meta.types.get(definition.name())?.sets)
}

#[cfg(test)]
mod tests;
