//! References of a file's objects to objects that the file does not have.

use std::collections::{BTreeMap, BTreeSet};

use super::line::Line;
use super::problem::MAX_NAMED;
use super::request::Import;
use super::summary::{NamedObject, Problem};
use crate::registry::TypeDefinition;
use crate::repository::{ObjectKey, Repository, Resolution};
use crate::{Error, ErrorKind, Result};

/// The largest number of references that are looked up at once.
const BATCH: usize = 500;

/// The references of the file's objects.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// The objects that refer to each object, with their lines: only those that a message names, at most a thousand.
    targets: BTreeMap<ObjectKey, Vec<(u64, NamedObject)>>,
}

/// The result of looking up references.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Objects that have another id now: references to them lead to that.
    pub(super) moved: BTreeMap<ObjectKey, String>,
    pub(super) problems: Vec<Problem>,
}

impl Outgoing {
    /// Records the references of an object, if the request needs them.
    pub(super) fn note(
        &mut self,
        repository: &Repository,
        request: &Import,
        number: u64,
        key: &ObjectKey,
        line: &Line,
    ) {
        for reference in &line.references {
            let is_required = request.is_required(&line.object, &reference.type_name);
            if !is_required && !repository.definition(&reference.type_name).is_ok_and(can_move) {
                continue;
            }
            let target = ObjectKey::new(&reference.type_name, &reference.id).in_namespace(key.namespace.clone());
            let referring = self.targets.entry(target).or_default();
            if is_required && referring.len() < MAX_NAMED && referring.last().map(|(line, _)| *line) != Some(number) {
                referring.push((number, line.object.clone()));
            }
        }
    }

    /// Returns the references without those to objects of the file.
    pub(super) fn outside(mut self, repository: &Repository, in_file: &BTreeSet<String>) -> Self {
        self.targets.retain(|key, _| {
            let raw_id = repository.definition(&key.type_name).and_then(|definition| key.raw_id(definition));
            raw_id.map_or(true, |raw_id| !in_file.contains(raw_id.as_str()))
        });
        self
    }

    /// Returns the types of the referenced objects.
    pub(super) fn types(&self) -> impl Iterator<Item = &str> {
        self.targets.keys().map(|key| key.type_name.as_str())
    }

    /// Looks up the referenced objects: under their ids, or under the ids that an earlier import gave them.
    pub(super) async fn follow(self, repository: &Repository) -> Result<Followed> {
        let outside: Vec<_> = self.targets.into_iter().collect();
        let mut followed = Followed::default();
        let mut missing: BTreeMap<(u64, NamedObject), Vec<NamedObject>> = BTreeMap::new();
        for batch in outside.chunks(BATCH) {
            let keys: Vec<ObjectKey> = batch.iter().map(|(key, _)| key.clone()).collect();
            for ((key, referring), answer) in batch.iter().zip(repository.resolve_many(&keys).await) {
                match answer {
                    Ok(resolved) if resolved.resolution == Resolution::OriginMatch => {
                        followed.moved.insert(key.clone(), resolved.object.id);
                    }
                    Err(error) if leads_nowhere(&error) => {
                        let target = NamedObject { type_name: key.type_name.clone(), id: key.id.clone() };
                        for object in referring {
                            missing.entry(object.clone()).or_default().push(target.clone());
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
                    // The object exists, no matter what else is wrong with it.
                    _ => {}
                }
            }
        }
        followed.problems.extend(missing.into_iter().map(|((line, object), missing)| {
            let names: Vec<String> =
                missing.iter().take(10).map(|target| format!("{}/{}", target.type_name, target.id)).collect();
            Problem {
                line,
                column: None,
                object: Some(object),
                kind: "missing_references",
                message: format!(
                    "it refers to what is neither in the file nor in the store: {}; import that too, let the references lead \
                     elsewhere, or say that they may be missing",
                    names.join(", ")
                ),
                destinations: Vec::new(),
                missing,
            }
        }));
        Ok(followed)
    }
}

/// Returns whether objects of a type may be written under another id than the file's if that one is taken.
pub(super) fn can_move(definition: &TypeDefinition) -> bool {
    definition.namespace_kind().is_multiple() && definition.identity().is_none()
}

/// Returns whether an object that was looked up does not exist.
fn leads_nowhere(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Invalid)
}
