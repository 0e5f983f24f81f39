//! Upserts: an object is changed, or created if it is not there.

use futures::future::Either;

use super::create::Content;
use crate::cluster::Refresh;
use crate::repository::pipeline::attempts::Attempts;
use crate::repository::pipeline::change::Draft;
use crate::repository::pipeline::errors;
use crate::repository::pipeline::item::Items;
use crate::repository::pipeline::many::{Named, only};
use crate::repository::pipeline::read::Fetched;
use crate::repository::pipeline::target::Target;
use crate::repository::pipeline::write::Sources;
use crate::repository::{Action, Create, ObjectKey, Repository, SavedObject};
use crate::{Error, Result};

impl Repository {
    /// Creates the object that the request describes, or calls `change` with a draft of the object that exists. If
    /// another writer is faster, the object is read and this is decided again, a few times, so that no write is
    /// overwritten unseen. For an object that exists, the parts of the request that describe a new one are ignored,
    /// including [`Create::overwrite`]. The caller must be allowed to create and to update.
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
    /// # let versions = [("1.json".to_owned(), version.to_owned())];
    /// # let types = vec![TypeDefinition::from_json("visit.json", file, &versions)?];
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
    /// - [`Conflict`](crate::ErrorKind::Conflict) if the id is taken by an object that is not seen from the namespace,
    ///   or if other writers kept changing the object.
    /// - The other errors of [`create`](Self::create) and [`update`](Self::update), and those of `change`.
    #[tracing::instrument(name = "operation", level = "debug", skip_all, fields(operation = "upsert"))]
    pub async fn upsert<F>(&self, request: Create, change: F) -> Result<SavedObject>
    where
        F: FnMut(&mut Draft) -> Result<()>,
    {
        let Create { type_name, id, namespace, content, refresh } = request;
        if id.is_none() {
            return Err(Error::invalid(
                format!("an upsert of an object of type {type_name} has no id"),
                "give the id of the object; to create one with a random id, use `create`",
            ));
        }
        let (target, to_create) = self.admit_new(type_name, id, namespace, &mut Named::default()).await?;
        if let Some(unfit) = &content.unfit {
            return to_create.end(Err(unfit.clone().context(&target.key)));
        }
        let admitted = match self.admit(Action::Update, &target.key).await {
            Ok(to_update) => to_create.and(to_update),
            Err(refused) => return to_create.end(Err(refused)),
        };
        let mut items = Items::with_capacity(1);
        items.admit(0, Ok((target, admitted)), ());
        let attempts = Attempts::several(&self.shared.engine.environment);
        let create = |_: &Target| Ok(content.clone());
        let mut change = change;
        self.change_or_create(items, attempts, Some(create), &mut |_, draft| change(draft), refresh).await
    }

    /// Calls `change` with a draft of the object of a call, or creates what `create` returns if the object does not
    /// exist. Without `create`, the object must exist.
    pub(in crate::repository) async fn change_or_create(
        &self,
        mut items: Items<(), SavedObject>,
        mut attempts: Attempts<'_>,
        create: Option<impl Fn(&Target) -> Result<Content>>,
        change: &mut impl FnMut(&ObjectKey, &mut Draft) -> Result<()>,
        refresh: Refresh,
    ) -> Result<SavedObject> {
        let environment = &self.shared.engine.environment;
        loop {
            let read = self.fetch_items(items).await;
            let found = read.each(|target, ((), fetched)| seen(target, fetched, create.is_some()));
            let (there, missing) = found.divide(|_, fetched| match fetched {
                Some(fetched) => Either::Left(((), fetched)),
                None => Either::Right(()),
            });
            let mut ready = self.change_items(there, change).await;
            ready.append(missing.each(|target, ()| {
                let Some(create) = &create else { return Err(errors::not_found(&target.key)) };
                let document = self.new_document(target, create(target)?, &environment.now_iso())?;
                Ok(((), self.ready(target, document, None, None, &mut Sources::of(1, environment))?))
            }));
            items = self.write_objects(ready, refresh).await;
            if items.are_answered() || !attempts.wait_for_next().await {
                break;
            }
        }
        let mut written = only(items.end(1, |target, ()| Err(errors::changed(&target.key))))?;
        self.leave_out_unseen(vec![&mut written]).await;
        Ok(written)
    }
}

/// Returns what was read, if it is seen from the key's namespace. An object that is not seen prevents the creation.
fn seen(target: &Target, fetched: Option<Fetched>, is_to_create: bool) -> Result<Option<Fetched>> {
    match fetched {
        Some(fetched) if target.is_in(&fetched.document) => Ok(Some(fetched)),
        Some(_) if is_to_create => Err(errors::exists_elsewhere(&target.key)),
        _ => Ok(None),
    }
}
