//! Whether the store has an object as a file has it, because an interrupted import wrote it.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::references::can_move;
use super::targets::{Says, Unsealed};
use crate::document::exact::exact_json;
use crate::document::{Attributes, RootFields};
use crate::encryption::Secrets;
use crate::repository::Repository;
use crate::repository::pipeline::read::Fetched;
use crate::repository::pipeline::target::Target;
use crate::{ErrorKind, Result};

/// The content of an object, as far as a line of a file contains it. The origin is not part of it, and neither are the
/// ids of referenced objects that may have been written under another one.
#[derive(Debug, Clone)]
pub(super) struct Sameness {
    digest: [u8; 32],
    says: Says,
}

impl Sameness {
    pub(super) fn of(repository: &Repository, object: &Unsealed) -> Self {
        let Unsealed { root, attributes, secrets, says, .. } = object;
        Self { digest: digest(repository, *says, root, attributes, secrets), says: *says }
    }

    /// Returns whether the object of the store has the same content. False for an object that cannot be read.
    pub(super) async fn is_of(&self, repository: &Repository, target: &Target, stored: Fetched) -> Result<bool> {
        let Target { definition, key, .. } = target;
        let mut loaded = match repository.load_for_secrets(definition, &key.id, stored).await {
            Err(error) if error.kind() != ErrorKind::Unavailable => return Ok(false),
            outcome => outcome?,
        };
        if loaded.newer.is_some() {
            return Ok(false);
        }
        let secrets = match self.says.secrets {
            false => Secrets::new(),
            true => match repository.open(definition, &key.id, &mut loaded) {
                Ok(secrets) => secrets,
                Err(_) => return Ok(false),
            },
        };
        let (mut attributes, root) = (loaded.document.attributes, loaded.document.root);
        for encrypted in &definition.latest().sets.encrypted {
            attributes.remove(&encrypted.name);
        }
        Ok(digest(repository, self.says, &root, &attributes, &secrets) == self.digest)
    }
}

fn digest(
    repository: &Repository,
    says: Says,
    root: &RootFields,
    attributes: &Attributes,
    secrets: &Secrets,
) -> [u8; 32] {
    let reference = |reference: &crate::document::Reference| {
        let is_movable = repository.definition(&reference.type_name).is_ok_and(can_move);
        json!([reference.name, reference.type_name, (!is_movable).then_some(&reference.id)])
    };
    let mut namespaces = root.namespaces.clone().unwrap_or_default();
    namespaces.sort();
    let fields = json!({
        "namespace": root.namespace,
        "namespaces": namespaces,
        "references": root.references.iter().map(reference).collect::<Vec<_>>(),
        "managed": root.managed.filter(|_| says.managed),
        "core": root.core_migration_version,
        "created": [root.created_at.as_ref().filter(|_| says.created_at), root.created_by.as_ref()],
        "updated": [root.updated_at.as_ref().filter(|_| says.updated_at), root.updated_by.as_ref()],
    });
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    };
    add(&fields.to_string());
    add(&exact_json(&root.others, &root.other_numbers));
    add(&exact_json(attributes, &root.numbers));
    for (name, secret) in secrets {
        add(name);
        add(secret.expose_json());
    }
    hash.finalize().into()
}
