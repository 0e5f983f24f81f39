//! The permission to import encrypted attributes. An import opens them where they were sealed and seals them again at
//! their target. So it needs the permission to read them where they were sealed; an export of encrypted attributes
//! needs none.

use std::collections::BTreeSet;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::line::Line;
use super::summary::NamedObject;
use crate::document::{Attributes, Namespace, NamespaceKind};
use crate::encryption::{DecryptionCause, KeysOf};
use crate::model::{EncryptionSets, VirtualVersion};
use crate::registry::TypeDefinition;
use crate::repository::access::Admitted;
use crate::repository::pipeline::seen_namespaces::EVERYWHERE;
use crate::repository::{Action, ObjectKey, Repository};
use crate::{Error, ErrorKind, Result};

/// The envelopes of a file that may be opened. For types whose objects live in exactly one namespace: those of an
/// object in that namespace. For types with several namespaces, whose envelopes are bound to none: exactly these
/// envelopes of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SealedAt {
    namespace: Option<String>,
    object: NamedObject,
    digest: Option<[u8; 32]>,
}

/// All envelopes that may be opened.
pub(super) type Opened = BTreeSet<SealedAt>;

impl SealedAt {
    /// Returns where the envelopes of a line were sealed; `None` if it has none.
    pub(super) fn of(definition: &TypeDefinition, line: &Line) -> Option<Self> {
        envelopes(definition, line).next()?;
        let digest = definition.namespace_kind().is_multiple().then(|| digest(envelopes(definition, line)));
        Some(Self { namespace: namespace_of(definition, line), object: line.object.clone(), digest })
    }
}

/// Returns the encrypted attributes of a line as they were stored, including those among its attributes.
fn envelopes<'a>(definition: &TypeDefinition, line: &'a Line) -> impl Iterator<Item = (&'a String, &'a Value)> {
    // The upgrade to the newest version may open what any version encrypts.
    let is_encrypted = move |name: &str| definition.versions().iter().any(|version| version.sets.encrypts(name));
    let among_attributes = line.attributes.values.iter().filter(move |(name, _)| is_encrypted(name));
    among_attributes.chain(line.envelopes.iter().flatten()).filter(|(_, value)| !value.is_null())
}

fn digest<'a>(envelopes: impl Iterator<Item = (&'a String, &'a Value)>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (name, value) in envelopes {
        hash.update(Value::from(vec![Value::from(name.as_str()), value.clone()]).to_string());
    }
    hash.finalize().into()
}

/// Returns the namespace of a line's object, if its type has exactly one and it is not the default one.
pub(super) fn namespace_of(definition: &TypeDefinition, line: &Line) -> Option<String> {
    let first = line.names().first().filter(|name| *name != Namespace::DEFAULT.as_str());
    first.filter(|_| definition.namespace_kind() == NamespaceKind::Single).cloned()
}

/// Refuses secrets in clear among the attributes of a line at this model version.
///
/// # Errors
/// As [`check_form`].
pub(super) fn check_line(definition: &TypeDefinition, version: Option<&str>, attributes: &Attributes) -> Result<()> {
    let number = VirtualVersion::of_document(version).map_or(0, VirtualVersion::number);
    definition.version(number.max(1)).map_or(Ok(()), |version| check_form(&version.sets, attributes))
}

/// Refuses secrets in clear where envelopes belong.
///
/// # Errors
/// [`Invalid`](crate::ErrorKind::Invalid) if the value of an encrypted attribute is not an envelope.
pub(super) fn check_form(sets: &EncryptionSets, attributes: &Attributes) -> Result<()> {
    let failures = KeysOf::attributes(sets, attributes).failures;
    let is_clear = |cause| matches!(cause, DecryptionCause::NotAString | DecryptionCause::Malformed);
    match failures.into_iter().find(|(_, cause)| is_clear(*cause)) {
        None => Ok(()),
        Some((name, cause)) => Err(Error::invalid(
            format!("the attribute {name:?} is encrypted: {cause}"),
            "give it in `secrets`, as an export with `--secrets clear` does; or leave it out",
        )),
    }
}

impl Repository {
    /// Admits the opening of a line's envelopes, or refuses it: the caller needs `GetSecrets` in the namespace that
    /// they are bound to. The envelopes of types with several namespaces are bound to none. For those, the store's
    /// object must have the same envelopes, and a namespace in which the caller may read secrets must see it. The
    /// refusal is the same whether or not there is such an object.
    pub(super) async fn admit_opening(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        line: &Line,
    ) -> Result<Admitted> {
        let (type_name, id) = (definition.name(), Some(line.object.id.as_str()));
        let is_bound_to = match definition.namespace_kind() {
            NamespaceKind::Agnostic => Namespace::DEFAULT,
            NamespaceKind::Single => {
                namespace_of(definition, line).map_or(Ok(Namespace::DEFAULT), |name| Namespace::new(&name))?
            }
            NamespaceKind::Multiple | NamespaceKind::MultipleIsolated => {
                let readable = self.readable_from(definition, key, line).await?;
                let namespace = readable.as_ref().unwrap_or(&key.namespace);
                let heard = self.heard(readable.is_some(), &[Action::GetSecrets], type_name, id, namespace);
                return readable.map(|_| heard).ok_or_else(|| refused(&line.object));
            }
        };
        self.admit_to(Action::GetSecrets, type_name, id, &is_bound_to).await
    }

    /// Returns a namespace in which the caller may read the secrets of the store's object that has the line's id and
    /// its envelopes.
    async fn readable_from(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        line: &Line,
    ) -> Result<Option<Namespace>> {
        if self.allows_everywhere(Action::GetSecrets, definition.name()).await {
            return Ok(Some(key.namespace.clone()));
        }
        // An invalid id is refused later, if at all.
        let Ok(target) = self.target(key.clone()) else { return Ok(None) };
        let document = match self.fetch_any(&target).await {
            Ok(Some(found)) if found.document.type_name == definition.name() => found.document,
            Ok(_) => return Ok(None),
            // It is not possible to know where it was sealed.
            Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(None),
            Err(error) => return Err(error),
        };
        if !envelopes(definition, line).all(|(name, value)| document.attributes.get(name) == Some(value)) {
            return Ok(None);
        }
        for name in document.root.namespaces.iter().flatten() {
            let namespace = match name.as_str() {
                EVERYWHERE => key.namespace.clone(),
                name => match Namespace::new(name) {
                    Ok(namespace) => namespace,
                    Err(_) => continue,
                },
            };
            if self.allows(Action::GetSecrets, definition.name(), &namespace).await {
                return Ok(Some(namespace));
            }
        }
        Ok(None)
    }
}

/// Names no namespace, and does not reveal whether the store has the object.
fn refused(object: &NamedObject) -> Error {
    let NamedObject { type_name, id } = object;
    Error::new(
        ErrorKind::Forbidden,
        format!(
            "the envelopes of {type_name}/{id} must not be imported: the store has no object with them in a namespace in which \
             the caller may read secrets"
        ),
    )
    .with_hint("ask an administrator for permission to read secrets where the object lives, or import its secrets in clear")
}
