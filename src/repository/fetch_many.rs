//! Documents by id, in real time: every write is seen.

use std::collections::BTreeMap;

use super::many::{Items, PAGE, on_pool};
use super::read::{self, Fetched};
use super::{ObjectKey, Repository, errors};
use crate::cluster::{ClusterError, ClusterErrorKind, Hit, HitRef};
use crate::document::{RawId, StoredDocument, VersionToken};
use crate::layout::IndexNames;
use crate::registry::TypeDefinition;
use crate::{Error, Result};

impl Repository {
    /// The document at `key`, if there is one that is seen from its namespace. One request.
    pub(super) async fn fetch(&self, definition: &TypeDefinition, key: &ObjectKey) -> Result<Option<Fetched>> {
        let found = self.fetch_any(definition, key).await?;
        Ok(found.filter(|fetched| read::is_asked_for(definition, key, &fetched.document)))
    }

    /// The document that has the `_id` of `key`, whichever it is. One request.
    pub(super) async fn fetch_any(&self, definition: &TypeDefinition, key: &ObjectKey) -> Result<Option<Fetched>> {
        let raw_id = key.raw_id(definition)?;
        let Some((hit, version)) = self.hit(definition, raw_id.as_str()).await? else { return Ok(None) };
        let document = parsed(&hit).map_err(|corruption| errors::corrupt(key, corruption))?;
        Ok(Some(Fetched { document, version }))
    }

    /// What is stored under an `_id`, whatever it is, and at which version. One request.
    pub(super) async fn hit(&self, definition: &TypeDefinition, raw_id: &str) -> Result<Option<(Hit, VersionToken)>> {
        let names = self.names(definition);
        let hit = self.shared.cluster.get(names.alias(), raw_id).await;
        let Some(hit) = hit.map_err(|error| unread(&names, error))? else { return Ok(None) };
        let version = self.version_of(&names, hit.borrowed())?;
        self.remember_generation(definition.group(), version.generation);
        Ok(Some((hit, version)))
    }

    /// The documents that have the `_id`s of these keys, whichever they are. One request for a thousand of a group.
    pub(super) async fn fetch_many(&self, wanted: &[(&TypeDefinition, &ObjectKey)]) -> Vec<Result<Option<Fetched>>> {
        if let [(definition, key)] = wanted {
            return vec![self.fetch_any(definition, key).await];
        }
        let mut items = Items::new(wanted.len());
        let mut groups: BTreeMap<&str, Vec<(usize, RawId)>> = BTreeMap::new();
        for (at, (definition, key)) in wanted.iter().enumerate() {
            match key.raw_id(definition) {
                Ok(raw_id) => groups.entry(definition.group()).or_default().push((at, raw_id)),
                Err(error) => items.answer(at, Err(error)),
            }
        }
        for (group, asked) in groups {
            let names = self.shared.prefix.group(group);
            let ids: Vec<&str> = asked.iter().map(|(_, raw_id)| raw_id.as_str()).collect();
            let mut found = Vec::new();
            for ((at, _), hit) in asked.iter().zip(self.hits_of(&names, &ids).await) {
                match hit.and_then(|hit| hit.map(|hit| Ok((self.version_of(&names, hit.borrowed())?, hit))).transpose())
                {
                    Ok(Some((version, hit))) => {
                        self.remember_generation(group, version.generation);
                        found.push((*at, version, hit));
                    }
                    Ok(None) => items.answer(*at, Ok(None)),
                    Err(error) => items.answer(*at, Err(error)),
                }
            }
            let places: Vec<usize> = found.iter().map(|(at, ..)| *at).collect();
            let parsing = |(_, version, hit): (usize, VersionToken, Hit)| Ok((version, parsed(&hit)));
            for (at, parsed) in places.into_iter().zip(on_pool(&self.shared.environment, found, parsing).await) {
                let Some((_, key)) = wanted.get(at) else { continue };
                let fetched = parsed.and_then(|(version, document)| {
                    let document = document.map_err(|corruption| errors::corrupt(key, corruption))?;
                    Ok(Some(Fetched { document, version }))
                });
                items.answer(at, fetched);
            }
        }
        items.end()
    }

    /// What the alias has under these `_id`s.
    async fn hits_of(&self, names: &IndexNames, ids: &[&str]) -> Vec<Result<Option<Hit>>> {
        let mut hits = Vec::with_capacity(ids.len());
        for page in ids.chunks(PAGE) {
            match self.shared.cluster.get_many(names.alias(), page).await {
                Ok(found) => hits.extend(found.into_iter().map(Ok)),
                Err(error) => {
                    let error = unread(names, error);
                    hits.extend(page.iter().map(|_| Err(error.clone())));
                }
            }
        }
        hits
    }

    pub(super) fn version_of(&self, names: &IndexNames, hit: HitRef<'_>) -> Result<VersionToken> {
        let generation = names.generation(hit.index).ok_or_else(|| errors::not_one_generation(names, &[hit.index]))?;
        Ok(VersionToken { seq_no: hit.sequence.seq_no, primary_term: hit.sequence.primary_term, generation })
    }
}

fn parsed(hit: &Hit) -> Result<StoredDocument, crate::document::Corruption> {
    StoredDocument::from_source(hit.source.get().as_bytes())
}

/// Why nothing could be read from the alias.
fn unread(names: &IndexNames, error: ClusterError) -> Error {
    match error.kind {
        ClusterErrorKind::IndexNotFound => errors::no_index(names).with_source(error),
        _ => error.into(),
    }
}
