use std::sync::Arc;

use super::examine::Examiner;
use super::report::{IndexReport, Report, Unreadable};
use super::tally::Tally;
use crate::cluster::{Cluster, Hit, Query, Scan, Unseen};
use crate::encryption::EncryptionService;
use crate::layout::{IndexMeta, IndexNames, Prefix};
use crate::quarantine::{Quarantine, Quarantined};
use crate::registry::Registry;
use crate::{Error, ErrorKind, Result};

/// Reads everything that is stored under one prefix. Writes nothing.
#[derive(Debug)]
pub struct Verifier {
    cluster: Arc<dyn Cluster>,
    registry: Arc<Registry>,
    prefix: Prefix,
    examiner: Arc<Examiner>,
    quarantine: Quarantine,
}

impl Verifier {
    /// A verifier of the indices under `prefix`. Without keys, every secret is unreadable.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if the key of the digests cannot be derived.
    pub fn new(
        cluster: Arc<dyn Cluster>,
        registry: Arc<Registry>,
        prefix: Prefix,
        encryption: EncryptionService,
    ) -> Result<Self> {
        let examiner = Arc::new(Examiner::new(registry.clone(), encryption)?);
        let quarantine = Quarantine::new(cluster.clone(), prefix.clone());
        Ok(Self { cluster, registry, prefix, examiner, quarantine })
    }

    /// Reads every document of every group as it is now, and opens every secret. What cannot be read does not end it.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be reached, [`Incompatible`](ErrorKind::Incompatible) if
    /// an alias stands for several indices, or an index says of itself what this version does not understand.
    pub async fn verify(&self) -> Result<Report> {
        let mut tally = Tally::default();
        let mut indices = Vec::new();
        let groups = || self.registry.groups().into_keys().map(|group| self.prefix.group(group));
        let names: Vec<String> = groups().chain([self.prefix.control()]).flat_map(|names| names.all()).collect();
        let unseen = Unseen::among(self.cluster.as_ref(), &names).await?.0;
        let is_unseen = |names: &IndexNames| names.all().iter().any(|name| unseen.contains(name));
        for (group, types) in self.registry.groups() {
            let names = self.prefix.group(group);
            types.iter().for_each(|definition| tally.begin(definition.name()));
            if !self.verify_group(&names, &mut tally).await? && is_unseen(&names) {
                tally.take_types();
                continue;
            }
            indices.push(IndexReport { alias: names.alias().to_owned(), types: tally.take_types() });
        }
        let entry = |document: Quarantined| Unreadable {
            alias: document.alias,
            id: document.id,
            type_name: document.type_name,
            attribute: document.attribute,
            reason: document.reason,
        };
        let quarantined = match is_unseen(&self.prefix.control()) {
            true => Vec::new(),
            false => self.quarantine.list().await?.into_iter().map(entry).collect(),
        };
        let Tally { mut unreadable, not_listed, .. } = tally;
        unreadable.sort_unstable();
        let ok = unreadable.is_empty() && unseen.is_empty();
        Ok(Report { ok, indices, unreadable, not_listed, quarantined, unseen })
    }

    /// Returns whether the group has an index.
    async fn verify_group(&self, names: &IndexNames, tally: &mut Tally) -> Result<bool> {
        let found = self.cluster.indices(&[names.alias()]).await?;
        let mut indices = found.iter();
        let (index, state) = match (indices.next(), indices.next()) {
            (None, _) => return Ok(false),
            (Some(index), None) => index,
            (Some(_), Some(_)) => return Err(several_indices(names, found.keys())),
        };
        let meta = Arc::new(IndexMeta::from_mapping(&state.mapping).map_err(|error| error.context(index))?);
        self.cluster.refresh(index).await?;
        let scan = Scan { cluster: self.cluster.as_ref(), index, query: Query::Everything };
        scan.run(|page| self.examine(names, &meta, page), |examined| tally.add(examined)).await?;
        Ok(true)
    }

    async fn examine(&self, names: &IndexNames, meta: &Arc<IndexMeta>, page: Vec<Hit>) -> Result<Tally> {
        let (examiner, meta, alias) = (self.examiner.clone(), meta.clone(), names.alias().to_owned());
        let examining = move || {
            let mut tally = Tally::default();
            for hit in page {
                tally.count(&alias, &hit.id, examiner.examine(&meta, &hit));
            }
            tally
        };
        let environment = self.examiner.environment();
        environment.blocking(examining).await.map_err(|error| error.context("examining documents"))
    }
}

fn several_indices<'a>(names: &IndexNames, indices: impl Iterator<Item = &'a String>) -> Error {
    let indices: Vec<&str> = indices.map(String::as_str).collect();
    Error::new(
        ErrorKind::Incompatible,
        format!("the alias {} points to several indices: {}", names.alias(), indices.join(", ")),
    )
    .with_cure("find out which one holds the objects, and remove the alias from the others")
}
