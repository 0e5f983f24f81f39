use std::collections::BTreeMap;

use super::access::Admitted;
use super::create_many::strongest;
use super::many::{Items, Named, Pages};
use super::read;
use super::rounds::Rounds;
use super::{Action, Draft, ObjectKey, Repository, SavedObject, Update, errors};
use crate::Result;
use crate::cluster::Refresh;

impl Repository {
    /// Changes objects: reads them, lets `change` change each, and writes those that nobody wrote meanwhile; the others are
    /// read, changed and written again, a few times. With [`Update::version`] there is one attempt at an object. Each is
    /// answered in order, and one that cannot be changed keeps no other from being changed. Each object may be named once.
    ///
    /// A thousand objects are read by one request and written by another. `change` hears which object it is about.
    ///
    /// ```
    /// # use saved_objects::registry::{Registry, TypeDefinition};
    /// # use saved_objects::repository::{Create, ObjectKey};
    /// # use saved_objects::{ErrorKind, SavedObjects, Start};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let file = r#"{ "type": "note", "group": "notes", "namespace_kind": "agnostic",
    /// #     "mapping": { "dynamic": false, "properties": {} } }"#;
    /// # let version = r#"{ "create": { "type": "object", "properties": { "state": {} } } }"#;
    /// # let types = vec![TypeDefinition::from_json("note.json", file, &[("1.json".to_owned(), version.to_owned())])?];
    /// # let store = SavedObjects::in_memory(Registry::builder().with(types).build()?)?.start(Start::Migrate).await?;
    /// # let repository = store.repository();
    /// # repository.create(Create::new("note", serde_json::Map::new()).id("n1")).await?;
    /// let keys = [ObjectKey::new("note", "n1"), ObjectKey::new("note", "missing")];
    /// let closed = repository
    ///     .update_many(&keys, |_key, draft| {
    ///         draft.attributes.insert("state".to_owned(), "closed".into());
    ///         Ok(())
    ///     })
    ///     .await;
    /// assert!(closed[0].is_ok());
    /// assert!(closed[1].as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`update`](Self::update), for each object. What fails a whole request fails all objects that were sent in it.
    pub async fn update_many<U, F>(
        &self,
        requests: impl IntoIterator<Item = U>,
        mut change: F,
    ) -> Vec<Result<SavedObject>>
    where
        U: Into<Update>,
        F: FnMut(&ObjectKey, &mut Draft) -> Result<()>,
    {
        let requests: Vec<Update> = requests.into_iter().map(Into::into).collect();
        let refresh = strongest(requests.iter().map(|request| request.refresh));
        let mut items = Items::new(requests.len());
        let mut named = Named::new(requests.len());
        let mut admitted = Vec::with_capacity(requests.len());
        for (at, request) in requests.into_iter().enumerate() {
            let admission = self.admit_update(&request, &mut named).await;
            admitted.extend(items.admit(at, admission.map(|it| ((at, request), it))));
        }
        for page in Pages::new(admitted, |_| 0) {
            let (places, page): (Vec<usize>, Vec<Update>) = page.into_iter().unzip();
            for (at, answer) in places.into_iter().zip(self.update_page(page, refresh, &mut change).await) {
                items.answer(at, answer);
            }
        }
        let mut answers = items.end();
        self.leave_out_unseen(answers.iter_mut().flatten().collect()).await;
        answers
    }

    async fn admit_update(&self, request: &Update, named: &mut Named) -> Result<Admitted> {
        self.check_type(&request.key.type_name)?;
        let admitted = self.admit(Action::Update, &request.key).await?;
        match self.raw_id(&request.key).and_then(|raw_id| named.add(&request.key, raw_id)) {
            Ok(()) => Ok(admitted),
            Err(error) => admitted.end(Err(error)),
        }
    }

    async fn update_page(
        &self,
        page: Vec<Update>,
        refresh: Refresh,
        change: &mut impl FnMut(&ObjectKey, &mut Draft) -> Result<()>,
    ) -> Vec<Result<SavedObject>> {
        let mut rounds = Rounds::new(self, page.iter().map(|request| request.key.clone()).collect());
        while let Some(read) = rounds.read().await {
            let mut places = Vec::with_capacity(read.len());
            let mut to_change = Vec::with_capacity(read.len());
            for (at, fetched) in read {
                match self.to_be_updated(&page[at], fetched) {
                    Ok(fetched) => {
                        places.push(at);
                        to_change.push((page[at].key.clone(), fetched));
                    }
                    Err(error) => rounds.end(at, Err(error)),
                }
            }
            let mut writes = Vec::with_capacity(places.len());
            let mut documents = BTreeMap::new();
            for (at, changed) in places.into_iter().zip(self.changed(to_change, change).await) {
                match changed {
                    Ok(changed) => {
                        documents.insert(at, (changed.document, changed.newer));
                        writes.push((at, changed.write));
                    }
                    Err(error) => rounds.end(at, Err(error)),
                }
            }
            let mut written = Vec::with_capacity(writes.len());
            for (at, version) in rounds.write(writes, refresh).await {
                match (version, documents.remove(&at)) {
                    (Some(version), Some((document, newer))) => written.push((at, document, newer, version)),
                    _ if page[at].version.is_some() => rounds.end(at, Err(errors::changed(&page[at].key))),
                    _ => {}
                }
            }
            rounds.end_written(written).await;
        }
        rounds.into_answers()
    }

    fn to_be_updated(&self, request: &Update, fetched: Option<read::Fetched>) -> Result<read::Fetched> {
        let definition = self.definition(&request.key.type_name)?;
        let is_seen = |fetched: &read::Fetched| read::is_asked_for(definition, &request.key, &fetched.document);
        let fetched = fetched.filter(is_seen).ok_or_else(|| errors::not_found(&request.key))?;
        match request.version.is_some_and(|expected| expected != fetched.version) {
            true => Err(errors::changed(&request.key)),
            false => Ok(fetched),
        }
    }
}
