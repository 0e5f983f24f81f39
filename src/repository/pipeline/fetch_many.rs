//! Reads of documents by id, in real time: they see every write.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::errors;
use super::item::{Items, go_on};
use super::many::{PAGE, on_pool, unanswered};
use super::read::Fetched;
use super::target::Target;
use crate::cluster::{ClusterError, ClusterErrorKind, Hit, HitRef};
use crate::document::{Corruption, StoredDocument, VersionToken};
use crate::layout::IndexNames;
use crate::repository::Repository;
use crate::{Error, Result};

/// The outcome of the read of one object, once it is known.
type Answer = Option<Result<Option<Fetched>>>;

impl Repository {
    /// Reads what is stored under the `_id`s of the open items, whichever objects it is.
    pub(in crate::repository) async fn fetch_items<S, A>(&self, items: Items<S, A>) -> Items<(S, Option<Fetched>), A> {
        let fetched = self.fetch_many(&items.targets()).await;
        items.zip(fetched, |_, state, fetched| go_on(fetched.map(|fetched| (state, fetched))))
    }

    /// Reads the objects of the open items. `missing` answers those that are not seen from their namespaces.
    pub(in crate::repository) async fn fetch_seen<S, A>(
        &self,
        items: Items<S, A>,
        missing: impl Fn(&Target) -> Result<A>,
    ) -> Items<(S, Fetched), A> {
        let fetched = self.fetch_many(&items.targets()).await;
        items.zip(fetched, |target, state, fetched| match fetched {
            Ok(Some(fetched)) if target.is_in(&fetched.document) => ControlFlow::Continue((state, fetched)),
            Ok(_) => ControlFlow::Break(missing(target)),
            Err(error) => ControlFlow::Break(Err(error)),
        })
    }

    /// Returns the object at `target`, if there is one that is seen from its namespace. One request.
    pub(in crate::repository) async fn fetch(&self, target: &Target) -> Result<Option<Fetched>> {
        let found = self.fetch_any(target).await?;
        Ok(found.filter(|fetched| target.is_in(&fetched.document)))
    }

    /// Returns the document that has the `_id` of `target`, whichever object it is. One request.
    pub(in crate::repository) async fn fetch_any(&self, target: &Target) -> Result<Option<Fetched>> {
        let Some((hit, version)) = self.hit(target).await? else { return Ok(None) };
        let document = parsed(&hit).map_err(|corruption| errors::corrupt(&target.key, corruption))?;
        Ok(Some(Fetched { document, version }))
    }

    /// Returns what is stored under the `_id` of `target`, in any form, and its version. One request.
    pub(in crate::repository) async fn hit(&self, target: &Target) -> Result<Option<(Hit, VersionToken)>> {
        let names = self.names(&target.definition);
        let hit = self.shared.engine.cluster.get(names.alias(), target.raw_id.as_str()).await;
        let Some(hit) = hit.map_err(|error| unread(&names, error))? else { return Ok(None) };
        let version = self.version_of(&names, hit.borrowed())?;
        self.remember_generation(target.definition.group(), version.generation);
        Ok(Some((hit, version)))
    }

    /// Returns the documents that have the `_id`s of these targets, whichever objects they are, in order. One request
    /// for a thousand of a group; one object is read by itself.
    pub(in crate::repository) async fn fetch_many(&self, targets: &[&Target]) -> Vec<Result<Option<Fetched>>> {
        if let [target] = targets {
            return vec![self.fetch_any(target).await];
        }
        let mut answers: Vec<Answer> = targets.iter().map(|_| None).collect();
        let mut groups: BTreeMap<&str, Vec<(&Target, &mut Answer)>> = BTreeMap::new();
        for (&target, answer) in targets.iter().zip(&mut answers) {
            groups.entry(target.definition.group()).or_default().push((target, answer));
        }
        for (group, asked) in groups {
            let names = self.shared.engine.prefix.group(group);
            let ids: Vec<&str> = asked.iter().map(|(target, _)| target.raw_id.as_str()).collect();
            let hits = self.hits_of(&names, &ids).await;
            let mut found = Vec::with_capacity(hits.len());
            let mut unparsed = Vec::with_capacity(hits.len());
            for ((target, answer), hit) in asked.into_iter().zip(hits) {
                match hit.and_then(|hit| hit.map(|hit| Ok((self.version_of(&names, hit.borrowed())?, hit))).transpose())
                {
                    Ok(Some((version, hit))) => {
                        self.remember_generation(group, version.generation);
                        found.push((target, answer));
                        unparsed.push((version, hit));
                    }
                    Ok(None) => *answer = Some(Ok(None)),
                    Err(error) => *answer = Some(Err(error)),
                }
            }
            let parsing = |(version, hit): (VersionToken, Hit)| Ok((version, parsed(&hit)));
            let parsed = on_pool(&self.shared.engine.environment, unparsed, parsing).await;
            for ((target, answer), parsed) in found.into_iter().zip(parsed) {
                *answer = Some(parsed.and_then(|(version, document)| {
                    let document = document.map_err(|corruption| errors::corrupt(&target.key, corruption))?;
                    Ok(Some(Fetched { document, version }))
                }));
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(unanswered()))).collect()
    }

    /// Returns what the alias has under these `_id`s.
    async fn hits_of(&self, names: &IndexNames, ids: &[&str]) -> Vec<Result<Option<Hit>>> {
        let mut hits = Vec::with_capacity(ids.len());
        for page in ids.chunks(PAGE) {
            match self.shared.engine.cluster.get_many(names.alias(), page).await {
                Ok(found) => hits.extend(found.into_iter().map(Ok)),
                Err(error) => {
                    let error = unread(names, error);
                    hits.extend(page.iter().map(|_| Err(error.clone())));
                }
            }
        }
        hits
    }

    pub(in crate::repository) fn version_of(&self, names: &IndexNames, hit: HitRef<'_>) -> Result<VersionToken> {
        let generation = names.generation(hit.index).ok_or_else(|| errors::not_one_generation(names, &[hit.index]))?;
        Ok(VersionToken { seq_no: hit.sequence.seq_no, primary_term: hit.sequence.primary_term, generation })
    }
}

fn parsed(hit: &Hit) -> Result<StoredDocument, Corruption> {
    StoredDocument::from_source(hit.source.get().as_bytes())
}

/// Returns the error for an alias that could not be read.
fn unread(names: &IndexNames, error: ClusterError) -> Error {
    match error.kind {
        ClusterErrorKind::IndexNotFound => errors::no_index(names).with_source(error),
        _ => error.into(),
    }
}
