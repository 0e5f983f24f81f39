//! Brings one stored document to the model version that this software knows: older ones are upgraded, newer ones
//! projected. Migration and repository both read through here, so a document means the same to both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::document::{Attributes, StoredDocument};
use crate::encryption::{Descriptor, EncryptionService, Secret, Secrets};
use crate::model::{EncryptionSets, VirtualVersion};
use crate::registry::{Registry, TypeDefinition};
use crate::{Error, ErrorKind, Result};

/// Converts stored documents between model versions, and encrypts anew where a version changes what is bound.
#[derive(Debug, Clone)]
pub(crate) struct Conversion {
    registry: Arc<Registry>,
    encryption: EncryptionService,
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

impl Conversion {
    /// A conversion for the types of `registry`.
    pub(crate) fn new(registry: Arc<Registry>, encryption: EncryptionService) -> Self {
        Self { registry, encryption }
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
        let from = VirtualVersion::of_document(document.root.type_migration_version.as_deref())?.number();
        let to = definition.latest();
        if from >= to.number {
            return Ok(if from == to.number { Standing::Current } else { Standing::Newer(from) });
        }
        let old_sets = definition.version(from.max(1)).map_or(&to.sets, |version| &version.sets);
        if definition.keeps_envelopes_from(from) {
            definition.upgrade(self.registry.transforms(), from, &mut document.attributes)?;
        } else {
            let before = document.attributes.clone();
            definition.upgrade(self.registry.transforms(), from, &mut document.attributes)?;
            if encryption_of(old_sets, &before) != encryption_of(&to.sets, &document.attributes) {
                let namespace = document.root.namespace.clone();
                let descriptor = Descriptor { type_name: definition.name(), namespace: namespace.as_deref(), id };
                self.encrypt_again(&descriptor, old_sets, &before, &to.sets, &mut document.attributes)?;
            }
        }
        document.root.type_migration_version = Some(VirtualVersion::of(to.number).to_string());
        Ok(Standing::Older)
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

    fn encrypt_again(
        &self,
        descriptor: &Descriptor<'_>,
        old_sets: &EncryptionSets,
        before: &Attributes,
        new_sets: &EncryptionSets,
        attributes: &mut Attributes,
    ) -> Result<()> {
        let opened = self.encryption.open(descriptor, old_sets, before)?;
        let mut secrets = Secrets::new();
        for (name, secret) in opened {
            if !is_present(attributes, &name) {
                continue;
            }
            if !new_sets.encrypts(&name) {
                return Err(Error::new(
                    ErrorKind::Incompatible,
                    format!("the attribute {name:?} of {descriptor} stops being encrypted while it has a value"),
                )
                .with_cure("remove the attribute with data_removal, or keep it encrypted"));
            }
            secrets.insert(name, secret);
        }
        for attribute in &new_sets.encrypted {
            if let Some(value) = attributes.get(&attribute.name).filter(|value| !value.is_null())
                && !old_sets.encrypts(&attribute.name)
            {
                secrets.insert(attribute.name.clone(), Secret::json(value)?);
            }
        }
        self.encryption.seal(descriptor, new_sets, attributes, &secrets)
    }
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

fn is_present(attributes: &Attributes, name: &str) -> bool {
    attributes.get(name).is_some_and(|value| !value.is_null())
}

/// What an envelope depends on: which present values are encrypted, and the present bound values.
type EncryptionOf<'a> = (BTreeSet<&'a str>, BTreeMap<&'a str, &'a Value>);

fn encryption_of<'a>(sets: &'a EncryptionSets, attributes: &'a Attributes) -> EncryptionOf<'a> {
    let encrypted: BTreeSet<&str> = sets
        .encrypted
        .iter()
        .map(|attribute| attribute.name.as_str())
        .filter(|name| is_present(attributes, name))
        .collect();
    // Nothing is bound where nothing is encrypted.
    let bound = match encrypted.is_empty() {
        true => BTreeMap::new(),
        false => sets.bound.iter().filter_map(|name| Some((name.as_str(), attributes.get(name)?))).collect(),
    };
    (encrypted, bound)
}
