use std::collections::BTreeSet;

use super::access::Admitted;
use super::many::Items;
use super::read::{self, Fetched};
use super::rewrite::{Candidate, Decision, Rewritten};
use super::seen_namespaces::Told;
use super::{Action, ObjectKey, Repository, SavedObject, errors};
use crate::cluster::{Gone, Refresh};
use crate::document::{Namespace, NamespaceKind, VersionToken};
use crate::registry::TypeDefinition;
use crate::{Error, Result};

/// What stands for every namespace.
pub(super) const EVERYWHERE: &str = "*";
/// Namespaces that one object can have.
pub(super) const MAX_NAMESPACES: usize = 100;

/// From where objects are to be seen, and from where no longer.
///
/// ```
/// # use saved_objects::document::Namespace;
/// # use saved_objects::repository::{ChangeNamespaces, ObjectKey};
/// # fn example() -> saved_objects::Result<ChangeNamespaces> {
/// let request = ChangeNamespaces::new([ObjectKey::new("board", "b1")])
///     .add(Namespace::new("team-a")?)
///     .remove(Namespace::DEFAULT);
/// # Ok(request)
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ChangeNamespaces {
    objects: Vec<(ObjectKey, Option<VersionToken>)>,
    add: BTreeSet<Namespace>,
    remove: BTreeSet<Namespace>,
    add_everywhere: bool,
    remove_everywhere: bool,
    refresh: Refresh,
}

/// From where an object is seen after a change of its namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacesChanged {
    /// Its namespaces: `default` is written out, `*` is everywhere. None are left if it was deleted with the last. Without the
    /// namespaces in which the caller may do nothing with objects of the type.
    pub namespaces: Vec<String>,
    /// Its version, unless it was deleted.
    pub version: Option<VersionToken>,
}

impl ChangeNamespaces {
    /// These objects, whatever is there.
    pub fn new(keys: impl IntoIterator<Item = ObjectKey>) -> Self {
        Self {
            objects: keys.into_iter().map(|key| (key, None)).collect(),
            add: BTreeSet::new(),
            remove: BTreeSet::new(),
            add_everywhere: false,
            remove_everywhere: false,
            refresh: Refresh::Later,
        }
    }

    /// This object too, if it still is as it was read.
    #[must_use]
    pub fn of<A>(mut self, object: &SavedObject<A>) -> Self {
        self.objects.push((object.key(), Some(object.version)));
        self
    }

    /// Lets them be seen from this namespace too.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "a builder beside `remove`")]
    pub fn add(mut self, namespace: Namespace) -> Self {
        self.add.insert(namespace);
        self
    }

    /// Lets them be seen from this namespace no longer. An object that is then seen from nowhere is deleted.
    #[must_use]
    pub fn remove(mut self, namespace: Namespace) -> Self {
        self.remove.insert(namespace);
        self
    }

    /// Lets them be seen from every namespace, those to come included. The namespaces that they have stay beside it.
    #[must_use]
    pub fn add_everywhere(mut self) -> Self {
        self.add_everywhere = true;
        self
    }

    /// Takes [`add_everywhere`](Self::add_everywhere) back: they are seen from the namespaces that they have beside it. An object
    /// that has none is deleted.
    #[must_use]
    pub fn remove_everywhere(mut self) -> Self {
        self.remove_everywhere = true;
        self
    }

    /// Decides when [`Repository::find`] sees it. Reads by id see it at once in any case.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }

    fn check(&self) -> Result<()> {
        let (adds, removes) = (self.added(), self.removed());
        if adds.is_empty() && removes.is_empty() {
            return Err(Error::invalid("no namespace is named to be added or removed", "name at least one"));
        }
        match adds.iter().find(|name| removes.contains(name)) {
            None => Ok(()),
            Some(name) => Err(Error::invalid(
                format!("the namespace {name} is named to be added and to be removed"),
                "name it once",
            )),
        }
    }

    fn added(&self) -> Vec<&str> {
        let everywhere = self.add_everywhere.then_some(EVERYWHERE);
        self.add.iter().map(Namespace::as_str).chain(everywhere).collect()
    }

    fn removed(&self) -> Vec<&str> {
        let everywhere = self.remove_everywhere.then_some(EVERYWHERE);
        self.remove.iter().map(Namespace::as_str).chain(everywhere).collect()
    }

    /// The namespaces after the change: those that stay in their order, then new ones.
    fn apply(&self, before: &[String]) -> Vec<String> {
        let removed = self.removed();
        let mut after: Vec<String> = before.iter().filter(|name| !removed.contains(&name.as_str())).cloned().collect();
        for name in self.added() {
            if !after.iter().any(|other| other == name) {
                after.push(name.to_owned());
            }
        }
        after
    }
}

impl Repository {
    /// Changes from where objects of types with several namespaces are seen. Each object is answered, in order, and one that cannot
    /// be changed does not keep the others from it. An object that somebody else writes meanwhile is read again, unless it was
    /// given with its version. **An object that is seen from nowhere any more is deleted.**
    ///
    /// ```no_run
    /// # use saved_objects::document::Namespace;
    /// # use saved_objects::repository::{ChangeNamespaces, ObjectKey, Repository};
    /// # async fn example(repository: &Repository) -> saved_objects::Result<()> {
    /// let boards = ["b1", "b2"].map(|id| ObjectKey::new("board", id));
    /// for answer in repository.change_namespaces(ChangeNamespaces::new(boards).add(Namespace::new("team-a")?)).await? {
    ///     println!("{}", answer?.namespaces.join(", "));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if no namespace is named, or one to be added and removed at once. Of each object:
    /// - [`Invalid`](crate::ErrorKind::Invalid) if its type is not available here or its objects cannot have several namespaces
    ///   (kind `multiple`), if it is named twice, if it would have more than 100.
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if it must not be shared so. Adding a namespace to an object of a type with
    ///   secrets needs [`GetSecrets`](Action::GetSecrets) in its key's namespace, too.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if it is not seen from its key's namespace.
    /// - [`Conflict`](crate::ErrorKind::Conflict) if it no longer is at the version given; if none was given, if others went on
    ///   writing it.
    /// - [`Corrupt`](crate::ErrorKind::Corrupt), [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown),
    ///   [`Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn change_namespaces(&self, request: ChangeNamespaces) -> Result<Vec<Result<NamespacesChanged>>> {
        request.check()?;
        let mut items = Items::new(request.objects.len());
        let mut candidates = Vec::new();
        let mut asked = Vec::new();
        let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
        for (at, (key, _)) in request.objects.iter().enumerate() {
            if !seen.insert((&key.type_name, &key.id)) {
                let twice = format!("saved object {key} is named twice in one request");
                items.answer(at, Err(Error::invalid(twice, "name it once")));
                continue;
            }
            let admission = match self.shareable(key) {
                Ok(definition) => {
                    self.admit_sharing(&request, definition, key).await.map(|admitted| (definition, admitted))
                }
                Err(error) => Err(error),
            };
            if let Some(definition) = items.admit(at, admission) {
                candidates.push(Candidate { definition, key: key.clone(), fetched: None });
                asked.push(at);
            }
        }
        let mut results: Vec<Option<NamespacesChanged>> = vec![None; candidates.len()];
        let expected: Vec<_> = asked.iter().map(|&at| request.objects.get(at).and_then(|(_, v)| *v)).collect();
        let now = self.shared.environment.now_iso();
        let decide = |at: usize, candidate: &Candidate<'_>, fetched: Option<Fetched>| {
            let seen = fetched
                .filter(|fetched| read::is_asked_for(candidate.definition, &candidate.key, &fetched.document))
                .ok_or_else(|| errors::not_found(&candidate.key))?;
            let Fetched { mut document, version } = seen;
            let expected = expected.get(at).copied().flatten();
            if expected.is_some_and(|expected| expected != version) {
                return Err(errors::changed(&candidate.key));
            }
            let before = document.root.namespaces.take().unwrap_or_default();
            let namespaces = request.apply(&before);
            if namespaces.len() > MAX_NAMESPACES {
                return Err(Error::invalid(
                    format!("saved object {} would have more than {MAX_NAMESPACES} namespaces", candidate.key),
                    "share it with every namespace",
                ));
            }
            if let Some(result) = results.get_mut(at) {
                *result = Some(NamespacesChanged { namespaces: namespaces.clone(), version: Some(version) });
            }
            if namespaces == before {
                return Ok(Decision::Keep);
            }
            if namespaces.is_empty() {
                return Ok(Decision::Delete(if expected.is_some() { Gone::Unknown } else { Gone::Done }));
            }
            document.root.namespaces = Some(namespaces);
            document.root.updated_at = Some(now.clone());
            document.root.updated_by = None;
            Ok(Decision::Replace(Box::new(document)))
        };
        let answers = self.rewrite(candidates, decide, request.refresh).await;
        for ((at, result), answer) in asked.into_iter().zip(results).zip(answers) {
            let answer = answer.map(|rewritten| {
                let mut result = result.unwrap_or(NamespacesChanged { namespaces: Vec::new(), version: None });
                match rewritten {
                    Rewritten::Kept => {}
                    Rewritten::Replaced(version) => result.version = Some(version),
                    Rewritten::Deleted => result.version = None,
                }
                result
            });
            items.answer(at, answer);
        }
        let mut answers = items.end();
        let mut told = Told::default();
        for (answer, (key, _)) in answers.iter_mut().zip(&request.objects) {
            let Ok(changed) = answer else { continue };
            changed.namespaces = self.known_namespaces(&key.type_name, &changed.namespaces, &mut told).await;
        }
        Ok(answers)
    }

    fn shareable(&self, key: &ObjectKey) -> Result<&TypeDefinition> {
        let definition = self.definition(&key.type_name)?;
        match definition.namespace_kind() {
            NamespaceKind::Multiple => Ok(definition),
            _ => Err(Error::invalid(
                format!("objects of the type {} cannot be in several namespaces", definition.name()),
                "share objects of types whose `namespace_kind` is `multiple`",
            )),
        }
    }

    /// Lets the object's namespaces be changed, if that may be done in all that the change is about. Secrets can be read
    /// wherever the object is seen, so adding a namespace needs the permission to read them.
    async fn admit_sharing(
        &self,
        request: &ChangeNamespaces,
        definition: &TypeDefinition,
        key: &ObjectKey,
    ) -> Result<Admitted> {
        let mut admitted = self.admit(Action::Share, key).await?;
        let others = request.add.iter().chain(&request.remove).filter(|namespace| **namespace != key.namespace);
        let mut more: Vec<_> = others.map(|namespace| (Action::Share, namespace)).collect();
        if request.add_everywhere || request.remove_everywhere {
            more.push((Action::ShareEverywhere, &key.namespace));
        }
        let is_seen_from_more = request.add_everywhere || request.add.iter().any(|name| *name != key.namespace);
        if is_seen_from_more && definition.encrypts() {
            more.push((Action::GetSecrets, &key.namespace));
        }
        for (action, namespace) in more {
            match self.admit_to(action, &key.type_name, Some(&key.id), namespace).await {
                Ok(another) => admitted = admitted.and(another),
                Err(refused) => return admitted.end(Err(refused)),
            }
        }
        Ok(admitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_ones_come_first_and_everything_is_checked() {
        let name = |name: &str| Namespace::new(name).expect("a name");
        let request = || ChangeNamespaces::new([ObjectKey::new("board", "b")]);
        let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let table = [
            (request().add(name("a")), &["default"][..], &["default", "a"][..]),
            (request().add(name("default")), &["b", "default"], &["b", "default"]),
            (request().remove(name("b")).add(name("a")), &["c", "b", "d"], &["c", "d", "a"]),
            (request().remove(name("b")), &["b"], &[]),
            (request().add_everywhere(), &["b"], &["b", "*"]),
            (request().remove_everywhere(), &["*"], &[]),
            (request().remove_everywhere().add(name("a")), &["*"], &["a"]),
            (request().remove(name("x")), &["*"], &["*"]),
        ];
        for (request, before, after) in table {
            request.check().expect("fine");
            assert_eq!(request.apply(&strings(before)), strings(after), "{request:?}");
        }
        for refused in
            [request(), request().add(name("a")).remove(name("a")), request().add_everywhere().remove_everywhere()]
        {
            assert_eq!(refused.check().expect_err("refused").kind(), crate::ErrorKind::Invalid, "{refused:?}");
        }
    }
}
