//! Creating objects where others are stored already.

use super::attempts::Attempts;
use super::content;
use super::errors;
use super::item::Items;
use super::read::Fetched;
use super::target::Target;
use super::write::{Ready, Sources};
use crate::Result;
use crate::cluster::Refresh;
use crate::document::{RootFields, StoredDocument};
use crate::repository::{Repository, SavedObject};

impl Repository {
    /// Writes documents that met others when they were to be created. If those are gone by now, the documents are
    /// created. A write that loses against another writer is repeated, a few times. Items that are still open lost in
    /// each attempt.
    pub(in crate::repository) async fn overwrite(
        &self,
        mut items: Items<Box<StoredDocument>, SavedObject>,
        refresh: Refresh,
    ) -> Items<Box<StoredDocument>, SavedObject> {
        let environment = &self.shared.engine.environment;
        let mut attempts = Attempts::several(environment);
        loop {
            let read = self.fetch_items(items).await;
            let (repository, mut sources) = (self.clone(), Sources::of(read.open_count(), environment));
            let preparing = move |target: &mut Target, (new, existing): (Box<StoredDocument>, _)| {
                let ready = repository.overwriting(target, &new, existing, &mut sources)?;
                Ok((new, ready))
            };
            items = self.write_objects(read.each_on_pool(environment, preparing).await, refresh).await;
            if items.are_answered() || !attempts.wait_for_next().await {
                return items;
            }
        }
    }

    /// Prepares the write of `new` over what was read, if anything was.
    fn overwriting(
        &self,
        target: &Target,
        new: &StoredDocument,
        existing: Option<Fetched>,
        sources: &mut Sources,
    ) -> Result<Ready> {
        match existing {
            None => self.ready(target, new.clone(), None, None, sources),
            Some(existing) if !target.is_in(&existing.document) => Err(errors::exists_elsewhere(&target.key)),
            Some(existing) => {
                let document = overwritten(target, &existing.document, new.clone())?;
                self.ready(target, document, Some(existing.version), None, sources)
            }
        }
    }
}

/// Returns `new` in the place of `old`. Where the object is seen, when and by whom it was created and, unless `new`
/// says it, where it came from stays.
fn overwritten(target: &Target, old: &StoredDocument, mut new: StoredDocument) -> Result<StoredDocument> {
    let identity = content::identity_of(&target.definition, &old.attributes);
    content::check_identity(&target.definition, &identity, &new.attributes)?;
    new.root = RootFields {
        references: new.root.references,
        managed: new.root.managed,
        origin_id: new.root.origin_id.or_else(|| old.root.origin_id.clone()),
        type_migration_version: new.root.type_migration_version,
        updated_at: new.root.updated_at,
        updated_by: new.root.updated_by,
        numbers: new.root.numbers,
        ..old.root.clone()
    };
    Ok(new)
}
