//! Creating objects where something is already.

use std::collections::BTreeMap;

use super::read::{self, Fetched};
use super::rounds::Rounds;
use super::write::{Sources, Write};
use super::{ObjectKey, Repository, SavedObject, content, errors};
use crate::Result;
use crate::cluster::Refresh;
use crate::document::{RootFields, StoredDocument};
use crate::registry::TypeDefinition;

impl Repository {
    /// Puts documents where others were when they were to be created. These may be gone by now: then they are created. Each is
    /// answered, with its place.
    pub(super) async fn overwrite(
        &self,
        documents: Vec<(usize, ObjectKey, Box<StoredDocument>)>,
        refresh: Refresh,
    ) -> impl Iterator<Item = (usize, Result<SavedObject>)> {
        let mut places = Vec::with_capacity(documents.len());
        let mut keys = Vec::with_capacity(documents.len());
        let mut news = Vec::with_capacity(documents.len());
        for (at, key, document) in documents {
            places.push(at);
            keys.push(key);
            news.push(document);
        }
        let mut rounds = Rounds::new(self, keys);
        while let Some(read) = rounds.read().await {
            let mut writes = Vec::new();
            let mut sources = Sources::of(read.len(), &self.shared.environment);
            let mut documents = BTreeMap::new();
            for (at, existing) in read {
                match self.overwriting(rounds.key(at), existing, &news[at], &mut sources) {
                    Ok((document, write)) => {
                        documents.insert(at, document);
                        writes.push((at, write));
                    }
                    Err(error) => rounds.end(at, Err(error)),
                }
            }
            let done = rounds.write(writes, refresh).await.into_iter();
            let written = done.filter_map(|(at, version)| Some((at, documents.remove(&at)?, None, version?)));
            rounds.end_written(written.collect()).await;
        }
        places.into_iter().zip(rounds.into_answers())
    }

    /// The write of `new` over what was read, if anything.
    fn overwriting(
        &self,
        key: &ObjectKey,
        existing: Option<Fetched>,
        new: &StoredDocument,
        sources: &mut Sources,
    ) -> Result<(StoredDocument, Write)> {
        let definition = self.definition(&key.type_name)?;
        match existing {
            None => Ok((new.clone(), Write::create(definition, key, new, sources)?)),
            Some(existing) if !read::is_asked_for(definition, key, &existing.document) => {
                Err(errors::exists_elsewhere(key))
            }
            Some(existing) => {
                let document = overwritten(definition, &existing.document, new.clone())?;
                let write = Write::replace(definition, key, &document, existing.version, sources)?;
                Ok((document, write))
            }
        }
    }
}

/// `new` in the place of `old`: who sees it and where it came from is not the writer's to change.
fn overwritten(definition: &TypeDefinition, old: &StoredDocument, mut new: StoredDocument) -> Result<StoredDocument> {
    content::check_identity(definition, &old.attributes, &new.attributes)?;
    new.root = RootFields {
        references: new.root.references,
        managed: new.root.managed,
        origin_id: new.root.origin_id.or_else(|| old.root.origin_id.clone()),
        type_migration_version: new.root.type_migration_version,
        updated_at: new.root.updated_at,
        updated_by: None,
        ..old.root.clone()
    };
    Ok(new)
}
