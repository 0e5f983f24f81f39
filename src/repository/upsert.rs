use super::create::Content;
use super::many::{Named, only};
use super::read::{self, Fetched, Newer};
use super::rounds::Rounds;
use super::write::{Sources, Write};
use super::{Action, Create, Draft, ObjectKey, Repository, SavedObject, errors};
use crate::cluster::Refresh;
use crate::document::StoredDocument;
use crate::{Error, Result};

impl Repository {
    /// Creates the object that the request describes, or lets `change` change the one that is there: whichever it is at the
    /// moment of the write. If others write meanwhile, it is read and decided again, a few times; nothing is overwritten
    /// unseen. What of the request describes a new object means nothing for one that is there, [`Create::overwrite`]
    /// included. It must be allowed to create and to update.
    ///
    /// ```
    /// # use saved_objects::registry::{Registry, TypeDefinition};
    /// # use saved_objects::repository::Create;
    /// # use saved_objects::{SavedObjects, Start};
    /// # use serde_json::json;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> saved_objects::Result<()> {
    /// # let file = r#"{ "type": "visit", "group": "visits", "namespace_kind": "agnostic",
    /// #     "mapping": { "dynamic": false, "properties": {} } }"#;
    /// # let version = r#"{ "create": { "type": "object", "properties": { "count": {} } } }"#;
    /// # let types = vec![TypeDefinition::from_json("visit.json", file, &[("1.json".to_owned(), version.to_owned())])?];
    /// # let store = SavedObjects::in_memory(Registry::builder().with(types).build()?)?.start(Start::Migrate).await?;
    /// # let repository = store.repository();
    /// for expected in [1, 2, 3] {
    ///     let first = json!({ "count": 1 }).as_object().cloned().unwrap_or_default();
    ///     let visit = repository
    ///         .upsert(Create::new("visit", first).id("kim"), |draft| {
    ///             let count = draft.attributes.get("count").and_then(|count| count.as_u64()).unwrap_or_default();
    ///             draft.attributes.insert("count".to_owned(), (count + 1).into());
    ///             Ok(())
    ///         })
    ///         .await?;
    ///     assert_eq!(visit.attributes["count"], expected);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// - [`Invalid`](crate::ErrorKind::Invalid) if the request has no id, and as for [`create`](Self::create) and
    ///   [`update`](Self::update).
    /// - [`Conflict`](crate::ErrorKind::Conflict) if the id is taken by an object that is not seen from the namespace, or if
    ///   others went on writing it.
    /// - The others of [`create`](Self::create) and [`update`](Self::update), and those of `change`.
    pub async fn upsert<F>(&self, request: Create, change: F) -> Result<SavedObject>
    where
        F: FnMut(&mut Draft) -> Result<()>,
    {
        if request.id.is_none() {
            return Err(Error::invalid(
                format!("an upsert of an object of type {} has no id", request.type_name),
                "give the id of the object; to create one with a random id, use `create`",
            ));
        }
        let refresh = request.refresh;
        let ((key, content), to_create) = self.admit_creation(request, &mut Named::default()).await?;
        let admitted = match self.admit(Action::Update, &key).await {
            Ok(to_update) => to_create.and(to_update),
            Err(refused) => return to_create.end(Err(refused)),
        };
        let create = || Ok(content.clone());
        admitted.end(self.change_or_create(Rounds::new(self, vec![key]), Some(create), change, refresh).await)
    }

    /// Lets `change` change the one object of `rounds`, or creates what `create` describes if there is none; without `create`
    /// it must be there.
    pub(super) async fn change_or_create(
        &self,
        mut rounds: Rounds<'_, SavedObject>,
        create: Option<impl Fn() -> Result<Content>>,
        mut change: impl FnMut(&mut Draft) -> Result<()>,
        refresh: Refresh,
    ) -> Result<SavedObject> {
        while let Some(read) = rounds.read().await {
            for (at, fetched) in read {
                let key = rounds.key(at).clone();
                let prepared = match (self.seen(&key, fetched, create.is_some()), &create) {
                    (Ok(Some(fetched)), _) => {
                        let changed = self.changed(vec![(key, fetched)], &mut |_, draft| change(draft)).await;
                        only(changed).map(|changed| (changed.document, changed.newer, changed.write))
                    }
                    (Ok(None), Some(create)) => self.to_be_created(&key, create),
                    (Ok(None), None) => Err(errors::not_found(&key)),
                    (Err(error), _) => Err(error),
                };
                let (document, newer, write) = match prepared {
                    Ok(prepared) => prepared,
                    Err(error) => {
                        rounds.end(at, Err(error));
                        continue;
                    }
                };
                if let Some((at, Some(version))) = rounds.write(vec![(at, write)], refresh).await.pop() {
                    rounds.end_written(vec![(at, document, newer, version)]).await;
                }
            }
        }
        let mut written = only(rounds.into_answers())?;
        self.leave_out_unseen(vec![&mut written]).await;
        Ok(written)
    }

    /// What was read, if it is seen from the key's namespace. One that is not seen is in the way of creating the object.
    fn seen(&self, key: &ObjectKey, fetched: Option<Fetched>, is_to_create: bool) -> Result<Option<Fetched>> {
        let definition = self.definition(&key.type_name)?;
        match fetched {
            Some(fetched) if read::is_asked_for(definition, key, &fetched.document) => Ok(Some(fetched)),
            Some(_) if is_to_create => Err(errors::exists_elsewhere(key)),
            _ => Ok(None),
        }
    }

    fn to_be_created(
        &self,
        key: &ObjectKey,
        create: impl Fn() -> Result<Content>,
    ) -> Result<(StoredDocument, Option<Newer>, Write)> {
        let definition = self.definition(&key.type_name)?;
        let document = self.new_document(definition, key, create()?, &self.shared.environment.now_iso())?;
        let write = Write::create(definition, key, &document, &mut Sources::of(1, &self.shared.environment))?;
        Ok((document, None, write))
    }
}
