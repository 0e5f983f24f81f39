//! Whether the store has an object as a file has it: what an import that was cut off has written.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::references::can_move;
use super::targets::{Says, Unsealed};
use crate::document::{Attributes, RootFields};
use crate::encryption::Secrets;
use crate::repository::read::Fetched;
use crate::repository::{ObjectKey, Repository};
use crate::{ErrorKind, Result};

/// What an object holds, as far as a line of a file says it. Where the object comes from is no part of it, and neither are the ids
/// of referred objects that may have been written under another one.
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

    /// Returns whether the object of the store holds the same. One that cannot be read does not.
    pub(super) async fn is_of(&self, repository: &Repository, key: &ObjectKey, stored: Fetched) -> Result<bool> {
        let definition = repository.definition(&key.type_name)?;
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
    let root = json!({
        "namespace": root.namespace,
        "namespaces": namespaces,
        "references": root.references.iter().map(reference).collect::<Vec<_>>(),
        "managed": root.managed.filter(|_| says.managed),
        "core": root.core_migration_version,
        "others": root.others,
        "created": [root.created_at.as_ref().filter(|_| says.created_at), root.created_by.as_ref()],
        "updated": [root.updated_at.as_ref().filter(|_| says.updated_at), root.updated_by.as_ref()],
    });
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    };
    add(&root.to_string());
    add(&json!(attributes).to_string());
    for (name, secret) in secrets {
        add(name);
        add(secret.expose_json());
    }
    hash.finalize().into()
}
