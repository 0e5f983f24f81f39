use super::access::Admitted;
use super::create_many::strongest;
use super::many::{Items, Named, Pages, only};
use super::read::{self, Fetched, Owner};
use super::rounds::Rounds;
use super::write::{Write, Written};
use super::{Action, ObjectKey, Repository, SavedObject, errors};
use crate::cluster::{Gone, Refresh};
use crate::document::{NamespaceKind, VersionToken};
use crate::registry::TypeDefinition;
use crate::{Error, ErrorKind, Result};

/// An object to be deleted.
#[derive(Debug, Clone)]
pub struct Delete {
    key: ObjectKey,
    version: Option<VersionToken>,
    force: bool,
    gone_is_done: bool,
    refresh: Refresh,
}

impl Delete {
    /// The object called `key`, whatever is there.
    pub fn new(key: impl Into<ObjectKey>) -> Self {
        Self { key: key.into(), version: None, force: false, gone_is_done: false, refresh: Refresh::Later }
    }

    /// `object`, if it still is as it was read. Of an object that is seen from several namespaces it is the first in which it
    /// must be allowed.
    pub fn of<A>(object: &SavedObject<A>) -> Self {
        Self::new(object.key()).version(object.version)
    }

    /// Deletes this version only. Of several who delete one version at most one is told that it did.
    #[must_use]
    pub fn version(mut self, version: VersionToken) -> Self {
        self.version = Some(version);
        self
    }

    /// Counts as done, if the answer is lost and the object is gone, whoever deleted it: for callers who only want it to be gone.
    #[must_use]
    pub(crate) fn gone_is_done(mut self) -> Self {
        self.gone_is_done = true;
        self
    }

    fn gone(&self) -> Gone {
        if self.version.is_none() || self.gone_is_done { Gone::Done } else { Gone::Unknown }
    }

    /// Deletes the object even if it is seen from other namespaces too, and even if it is corrupt, so that nothing can read it.
    #[must_use]
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }

    /// Decides when [`Repository::find`] no longer sees it. Reads by id miss it at once in any case.
    #[must_use]
    pub fn refresh(mut self, refresh: Refresh) -> Self {
        self.refresh = refresh;
        self
    }
}

impl From<&ObjectKey> for Delete {
    fn from(key: &ObjectKey) -> Self {
        Self::new(key)
    }
}

impl From<ObjectKey> for Delete {
    fn from(key: ObjectKey) -> Self {
        Self::new(key)
    }
}

impl Repository {
    /// Deletes an object. With the version of an agnostic object whose id has no `:` that is one request, else it is read first.
    ///
    /// Deleted is not forgotten by networks: a copy of a request that was to [create](Self::create) the object, held back or sent
    /// twice on the way, may arrive after this and create it again, as that request has it, even if it overwrote the object or was
    /// answered with a conflict. For what must not come back, a grant that
    /// was revoked, say, let an [`update`](Self::update) mark it first, and delete it only when no request can be under way any more:
    /// an hour later is plenty. Nothing that arrives late changes or overwrites an object that is there.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{Delete, ObjectKey, Repository};
    /// # async fn example(repository: &Repository, key: &ObjectKey) -> saved_objects::Result<()> {
    /// let object = repository.get(key).await?;
    /// repository.delete(Delete::of(&object)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`NotFound`](crate::ErrorKind::NotFound) if there is no such object that is seen from the key's namespace, or if
    ///   the index does not exist.
    /// - [`Conflict`](crate::ErrorKind::Conflict) if the object no longer is at the version given, or is gone; if none was
    ///   given, if others went on writing it.
    /// - [`Invalid`](crate::ErrorKind::Invalid) if the object is seen from other namespaces too and the request does not say
    ///   [`Delete::force`]; if the type is not available here.
    /// - [`OutcomeUnknown`](crate::ErrorKind::OutcomeUnknown) if a version was given, the answer was lost and the object is gone:
    ///   another caller may have deleted it. Without a version that is done. As for other writes, too.
    /// - [`Corrupt`](crate::ErrorKind::Corrupt) if the document is not a well-formed object and the request does not say
    ///   [`Delete::force`]. With it, whose the document is, is taken from its `_id` and from what of it can be read; if that does not
    ///   say from which namespaces it is seen, the caller needs [`Action::ShareEverywhere`] too, else it is
    ///   [`Forbidden`](crate::ErrorKind::Forbidden).
    /// - [`Forbidden`](crate::ErrorKind::Forbidden) if the index takes no writes,
    ///   [`Unavailable`](crate::ErrorKind::Unavailable).
    pub async fn delete(&self, request: impl Into<Delete>) -> Result<()> {
        only(self.delete_many([request.into()]).await)
    }

    /// Deletes objects, and answers for each in order: one that cannot be deleted keeps no other from being deleted. What was
    /// changed between the reading and the deleting is read again, as for [`delete`](Self::delete). Each object may be named
    /// once.
    ///
    /// ```no_run
    /// # use saved_objects::repository::{Delete, ObjectKey, Repository};
    /// # async fn example(repository: &Repository, keys: &[ObjectKey]) {
    /// for (key, deleted) in keys.iter().zip(repository.delete_many(keys).await) {
    ///     match deleted {
    ///         Ok(()) => println!("{key} is gone"),
    ///         Err(error) => eprintln!("{key}: {error}"),
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`delete`](Self::delete), for each object. What fails a whole request fails all objects that were sent in it.
    pub async fn delete_many<D: Into<Delete>>(&self, requests: impl IntoIterator<Item = D>) -> Vec<Result<()>> {
        let requests: Vec<Delete> = requests.into_iter().map(Into::into).collect();
        let refresh = strongest(requests.iter().map(|request| request.refresh));
        let mut items = Items::new(requests.len());
        let mut named = Named::new(requests.len());
        let mut admitted = Vec::with_capacity(requests.len());
        for (at, request) in requests.into_iter().enumerate() {
            let admission = self.admit_deletion(&request, &mut named).await;
            admitted.extend(items.admit(at, admission.map(|it| ((at, request), it))));
        }
        for page in Pages::new(admitted, |_| 0) {
            let (places, page): (Vec<usize>, Vec<Delete>) = page.into_iter().unzip();
            for (at, answer) in places.into_iter().zip(self.delete_page(page, refresh).await) {
                items.answer(at, answer);
            }
        }
        items.end()
    }

    async fn admit_deletion(&self, request: &Delete, named: &mut Named) -> Result<Admitted> {
        self.check_type(&request.key.type_name)?;
        let admitted = self.admit(Action::Delete, &request.key).await?;
        match self.raw_id(&request.key).and_then(|raw_id| named.add(&request.key, raw_id)) {
            Ok(()) => Ok(admitted),
            Err(error) => admitted.end(Err(error)),
        }
    }

    async fn delete_page(&self, page: Vec<Delete>, refresh: Refresh) -> Vec<Result<()>> {
        let mut rounds = Rounds::new(self, page.iter().map(|request| request.key.clone()).collect());
        let known = page.iter().enumerate().filter_map(|(at, request)| Some((at, self.known_deletion(request)?)));
        self.write_deletions(&mut rounds, &page, known.collect(), refresh).await;
        while let Some(read) = rounds.read().await {
            let mut writes = Vec::with_capacity(read.len());
            for (at, fetched) in read {
                match self.deletion(&page[at], fetched) {
                    Ok(write) => writes.push((at, write)),
                    Err(error) => rounds.end(at, Err(error)),
                }
            }
            self.write_deletions(&mut rounds, &page, writes, refresh).await;
        }
        let mut answers = rounds.into_answers();
        for (request, answer) in page.iter().zip(&mut answers) {
            let is_corrupt = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Corrupt);
            if is_corrupt && request.force {
                *answer = self.delete_corrupt(request, refresh).await;
            }
        }
        answers
    }

    /// Deletes what is no well-formed object, if it is the one that the request means.
    async fn delete_corrupt(&self, request: &Delete, refresh: Refresh) -> Result<()> {
        let key = &request.key;
        let definition = self.definition(&key.type_name)?;
        let raw_id = key.raw_id(definition)?;
        let Some((hit, version)) = self.hit(definition, raw_id.as_str()).await? else {
            return Err(errors::not_found(key));
        };
        if request.version.is_some_and(|expected| expected != version) {
            return Err(errors::changed(key));
        }
        let document = (raw_id.as_str(), hit.source.get());
        match read::owner(definition, key, document, |name| self.shared.registry.get(name).is_some()) {
            Owner::Another => Err(errors::not_found(key)),
            Owner::Key => self.delete_at(definition, key, (version, request.gone()), refresh).await,
            Owner::Unknown => {
                let admitted = self.admit(Action::ShareEverywhere, key).await?;
                admitted.end(self.delete_at(definition, key, (version, request.gone()), refresh).await)
            }
        }
    }

    pub(super) async fn delete_at(
        &self,
        definition: &TypeDefinition,
        key: &ObjectKey,
        (version, gone): (VersionToken, Gone),
        refresh: Refresh,
    ) -> Result<()> {
        let write = Write::delete(definition, key, version, gone)?;
        match only(self.write_many(vec![(key, write)], refresh).await)? {
            Written::Done(_) => Ok(()),
            Written::Conflict => Err(errors::changed(key)),
        }
    }

    async fn write_deletions(
        &self,
        rounds: &mut Rounds<'_, ()>,
        page: &[Delete],
        writes: Vec<(usize, Write)>,
        refresh: Refresh,
    ) {
        for (at, done) in rounds.write(writes, refresh).await {
            let request = &page[at];
            match done {
                Some(_) => rounds.end(at, Ok(())),
                None if request.version.is_some() => rounds.end(at, Err(errors::changed(&request.key))),
                None => {}
            }
        }
    }

    /// What needs no reading: nobody asks where an agnostic object is seen. With `:` in its id it may be stored as an object of
    /// a namespace called like the type would be, and only reading tells them apart.
    fn known_deletion(&self, request: &Delete) -> Option<Write> {
        let definition = self.definition(&request.key.type_name).ok()?;
        if request.key.id.contains(':') {
            return None;
        }
        let version = request.version.filter(|_| definition.namespace_kind() == NamespaceKind::Agnostic)?;
        Write::delete(definition, &request.key, version, request.gone()).ok()
    }

    fn deletion(&self, request: &Delete, fetched: Option<Fetched>) -> Result<Write> {
        let definition = self.definition(&request.key.type_name)?;
        let is_seen = |fetched: &Fetched| read::is_asked_for(definition, &request.key, &fetched.document);
        let fetched = fetched.filter(is_seen).ok_or_else(|| errors::not_found(&request.key))?;
        if request.version.is_some_and(|expected| expected != fetched.version) {
            return Err(errors::changed(&request.key));
        }
        let namespaces = fetched.document.root.namespaces.unwrap_or_default();
        let is_shared = namespaces.len() > 1 || namespaces.iter().any(|name| name == "*");
        if definition.namespace_kind().is_multiple() && is_shared && !request.force {
            return Err(Error::invalid(
                // Which ones, the caller may not be allowed to know.
                format!("saved object {} is seen from several namespaces", request.key),
                "delete it with `force` to take it from all of them",
            ));
        }
        Write::delete(definition, &request.key, fetched.version, request.gone())
    }
}
