//! Sharing: changes from which namespaces objects are seen.

use std::collections::BTreeSet;
use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::ControlFlow;

use futures::future::Either;

use crate::cluster::{Gone, Refresh};
use crate::document::{Namespace, NamespaceKind, Reference, VersionToken};
use crate::repository::access::Admitted;
use crate::repository::pipeline::attempts::Attempts;
use crate::repository::pipeline::errors;
use crate::repository::pipeline::item::Items;
use crate::repository::pipeline::read::Fetched;
use crate::repository::pipeline::seen_namespaces::{EVERYWHERE, KnownNames, MAX_NAMESPACES};
use crate::repository::pipeline::target::Target;
use crate::repository::pipeline::write::{Sources, Write, Written};
use crate::repository::{Action, ObjectKey, Repository, SavedObject};
use crate::{Error, Result};

/// A request to change from which namespaces objects are seen.
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

/// The namespaces of an object after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacesChanged {
    /// Its namespaces: `default` is written out, `*` is everywhere. Empty if the object was deleted with the last one.
    /// Without the namespaces in which the caller may do nothing with objects of the type.
    pub namespaces: Vec<String>,
    /// Its version, unless it was deleted.
    pub version: Option<VersionToken>,
    /// Its references to objects that are not seen from all of the added namespaces, so that a reader there cannot follow
    /// them. [`collect_references`](Repository::collect_references) finds what to share as well. Empty if the caller may
    /// not read the object; without references that the caller may not follow, or whose objects could not be read.
    pub dangling: Vec<Reference>,
}

impl ChangeNamespaces {
    /// Creates a request for these objects, at any version.
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

    /// Adds this object, if it is still at the version that was read.
    #[must_use]
    pub fn of<A>(mut self, object: &SavedObject<A>) -> Self {
        self.objects.push((object.key(), Some(object.version)));
        self
    }

    /// Adds a namespace from which the objects are seen.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "a builder next to `remove`")]
    pub fn add(mut self, namespace: Namespace) -> Self {
        self.add.insert(namespace);
        self
    }

    /// Removes a namespace. An object that is then seen from no namespace is deleted.
    #[must_use]
    pub fn remove(mut self, namespace: Namespace) -> Self {
        self.remove.insert(namespace);
        self
    }

    /// Makes the objects seen from every namespace, including future ones. They keep their other namespaces too.
    #[must_use]
    pub fn add_everywhere(mut self) -> Self {
        self.add_everywhere = true;
        self
    }

    /// Reverts [`add_everywhere`](Self::add_everywhere): the objects are seen from their other namespaces. An object
    /// that has none is deleted.
    #[must_use]
    pub fn remove_everywhere(mut self) -> Self {
        self.remove_everywhere = true;
        self
    }

    /// Sets when [`Repository::find`] sees the change. Reads by id always see it at once.
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

    /// Returns the namespaces after the change: those that stay in their order, then new ones.
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

    /// Returns the answer for an object: with the write that makes the change, or alone if nothing changes. Its
    /// `dangling` has all references of the object, if it is added to a namespace.
    fn change(
        &self,
        target: &Target,
        expected: Option<VersionToken>,
        fetched: Fetched,
        (now, actor): (&str, Option<&str>),
        sources: &mut Sources,
    ) -> Result<Either<NamespacesChanged, (NamespacesChanged, Write)>> {
        let Fetched { mut document, version } = fetched;
        if expected.is_some_and(|expected| expected != version) {
            return Err(errors::changed(&target.key));
        }
        let before = document.root.namespaces.take().unwrap_or_default();
        let namespaces = self.apply(&before);
        if namespaces.len() > MAX_NAMESPACES {
            return Err(Error::invalid(
                format!("saved object {} would have more than {MAX_NAMESPACES} namespaces", target.key),
                "share it with every namespace",
            ));
        }
        if namespaces == before {
            let unchanged = NamespacesChanged { namespaces, version: Some(version), dangling: Vec::new() };
            return Ok(Either::Left(unchanged));
        }
        if namespaces.is_empty() {
            let gone = if expected.is_some() { Gone::Unknown } else { Gone::Done };
            let deleted = NamespacesChanged { namespaces, version: None, dangling: Vec::new() };
            return Ok(Either::Right((deleted, Write::delete(version, gone))));
        }
        document.root.namespaces = Some(namespaces.clone());
        document.root.updated_at = Some(now.to_owned());
        document.root.updated_by = actor.map(str::to_owned);
        let write = Write::replace(target, &document, version, sources)?;
        let dangling = if self.added().is_empty() { Vec::new() } else { document.root.references };
        Ok(Either::Right((NamespacesChanged { namespaces, version: Some(version), dangling }, write)))
    }
}

impl Repository {
    /// Changes from which namespaces objects of types with several namespaces are seen. Each object is answered, in
    /// order, and one that cannot be changed does not prevent changing the others. If another writer changes an object
    /// meanwhile, it is read again, unless it was given with its version. **An object that is no longer seen from any
    /// namespace is deleted.**
    ///
    /// ```no_run
    /// # use saved_objects::document::Namespace;
    /// # use saved_objects::repository::{ChangeNamespaces, ObjectKey, Repository};
    /// # async fn example(repository: &Repository) -> saved_objects::Result<()> {
    /// let boards = ["b1", "b2"].map(|id| ObjectKey::new("board", id));
    /// let request = ChangeNamespaces::new(boards).add(Namespace::new("team-a")?);
    /// for answer in repository.change_namespaces(request).await? {
    ///     println!("{}", answer?.namespaces.join(", "));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) if no namespace is named, or if one is both added and removed. For each
    /// object:
    /// - [`Invalid`](crate::ErrorKind::Invalid) if its type is not available here or its objects cannot have several
    ///   namespaces (kind `multiple`), if it is named twice, if it would have more than 100.
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if the caller may not share it so. Adding a namespace to an object
    ///   of a type with secrets also needs [`GetSecrets`](Action::GetSecrets) in its key's namespace.
    /// - [`NotFound`](crate::ErrorKind::NotFound) if it is not seen from its key's namespace.
    /// - [`Conflict`](crate::ErrorKind::Conflict) if it is no longer at the given version; without a version, if other
    ///   writers kept changing it.
    /// - [`Corrupt`](crate::ErrorKind::Corrupt), [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown),
    ///   [`Unavailable`](crate::ErrorKind::Unavailable).
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "change_namespaces"))]
    pub async fn change_namespaces(&self, request: ChangeNamespaces) -> Result<Vec<Result<NamespacesChanged>>> {
        request.check()?;
        let objects = &request.objects;
        let mut items = Items::with_capacity(objects.len());
        let mut named: BTreeSet<(&str, &str)> = BTreeSet::new();
        for (at, (key, expected)) in objects.iter().enumerate() {
            let admission = match named.insert((&key.type_name, &key.id)) {
                true => self.admit_sharing(&request, key).await,
                false => {
                    Err(Error::invalid(format!("saved object {key} is named twice in one request"), "name it once"))
                }
            };
            items.admit(at, admission, *expected);
        }
        let mut changed = Items::with_capacity(objects.len());
        for page in items.pages() {
            changed.append(self.change_namespaces_page(page, &request).await);
        }
        let mut answers = changed.end(objects.len(), |target, _| Err(errors::changed(&target.key)));
        let mut known = KnownNames::default();
        for (answer, (key, _)) in answers.iter_mut().zip(objects) {
            let Ok(changed) = answer else { continue };
            changed.namespaces = self.known_namespaces(&key.type_name, &changed.namespaces, &mut known).await;
        }
        self.leave_what_dangles(&request, &mut answers).await;
        Ok(answers)
    }

    /// Leaves those references in the answers that lead to no object in one of the added namespaces. The objects are written
    /// already, so a reference whose object cannot be read is left out.
    async fn leave_what_dangles(&self, request: &ChangeNamespaces, answers: &mut [Result<NamespacesChanged>]) {
        let everywhere = request.add_everywhere.then_some(Namespace::DEFAULT);
        let added: Vec<&Namespace> = request.add.iter().chain(&everywhere).collect();
        let mut allowed: BTreeMap<(String, usize), bool> = BTreeMap::new();
        let mut wanted: BTreeMap<(usize, &str, &str), Target> = BTreeMap::new();
        for ((key, _), answer) in request.objects.iter().zip(&mut *answers) {
            let Ok(changed) = answer else { continue };
            // The references are the object's content.
            if changed.dangling.is_empty() || !self.allows(Action::Get, &key.type_name, &key.namespace).await {
                changed.dangling = Vec::new();
            }
        }
        for changed in answers.iter().flatten() {
            for reference in &changed.dangling {
                for (at, namespace) in added.iter().enumerate() {
                    let referred =
                        ObjectKey::new(&reference.type_name, &reference.id).in_namespace((*namespace).clone());
                    let Ok(target) = self.target(referred) else { continue };
                    if target.definition.namespace_kind() == NamespaceKind::Agnostic {
                        continue;
                    }
                    let may_read = match allowed.entry((reference.type_name.clone(), at)) {
                        Entry::Occupied(known) => *known.get(),
                        Entry::Vacant(unknown) => {
                            *unknown.insert(self.allows(Action::Get, &reference.type_name, namespace).await)
                        }
                    };
                    if may_read {
                        wanted.insert((at, &reference.type_name, &reference.id), target);
                    }
                }
            }
        }
        let fetched = self.fetch_many(&wanted.values().collect::<Vec<_>>()).await;
        let mut unseen: BTreeSet<(String, String)> = BTreeSet::new();
        for (((at, type_name, id), target), fetched) in wanted.iter().zip(fetched) {
            let Ok(fetched) = fetched else { continue };
            let is_seen = fetched.is_some_and(|fetched| match *at < request.add.len() {
                true => target.is_in(&fetched.document),
                false => {
                    fetched.document.root.namespaces.is_some_and(|names| names.iter().any(|name| name == EVERYWHERE))
                }
            });
            if !is_seen {
                unseen.insert(((*type_name).to_owned(), (*id).to_owned()));
            }
        }
        for changed in answers.iter_mut().flatten() {
            changed.dangling.retain(|it| unseen.contains(&(it.type_name.clone(), it.id.clone())));
        }
    }

    /// Changes the namespaces of the open items, each over the version that its caller expects, if any. Items that are
    /// still open lost against other writers in each attempt.
    async fn change_namespaces_page(
        &self,
        mut items: Items<Option<VersionToken>, NamespacesChanged>,
        request: &ChangeNamespaces,
    ) -> Items<Option<VersionToken>, NamespacesChanged> {
        let environment = &self.shared.engine.environment;
        let (now, actor) = (environment.now_iso(), self.actor());
        let mut attempts = Attempts::several(environment);
        loop {
            let read = self.fetch_seen(items, |target| Err(errors::not_found(&target.key))).await;
            let mut sources = Sources::of(read.open_count(), environment);
            let changes = read.each_or_answer(|target, (expected, fetched)| {
                match request.change(target, expected, fetched, (&now, actor.as_deref()), &mut sources) {
                    Ok(Either::Left(unchanged)) => ControlFlow::Break(Ok(unchanged)),
                    Ok(Either::Right((changed, write))) => ControlFlow::Continue(((expected, changed), write)),
                    Err(error) => ControlFlow::Break(Err(error)),
                }
            });
            let written = self.write_items(changes, request.refresh).await;
            items = written.each_or_answer(|_, ((expected, mut changed), written)| match written {
                Written::Done(version) => {
                    changed.version = changed.version.map(|_| version);
                    ControlFlow::Break(Ok(changed))
                }
                Written::Conflict => ControlFlow::Continue(expected),
            });
            if items.are_answered() || !attempts.wait_for_next().await {
                return items;
            }
        }
    }

    /// Admits the change of the object's namespaces, if it is allowed in all namespaces of the request. Secrets can be
    /// read wherever the object is seen, so adding a namespace needs the permission to read them.
    async fn admit_sharing(&self, request: &ChangeNamespaces, key: &ObjectKey) -> Result<(Target, Admitted)> {
        let definition = self.registered(&key.type_name)?;
        if definition.namespace_kind() != NamespaceKind::Multiple {
            return Err(Error::invalid(
                format!("objects of the type {} cannot be in several namespaces", definition.name()),
                "share objects of types whose `namespace_kind` is `multiple`",
            ));
        }
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
        admitted.with(Target::new(definition, key.clone()))
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
