//! The verification of all groups under a prefix.

use std::sync::Arc;

use tokio::sync::watch;

use super::examine::Examiner;
use super::progress::{ProgressSender, VerificationProgress};
use super::report::{DigestForm, IndexReport, NotOpened, TypeReport, Unreadable, VerificationReport};
use super::tally::Tally;
use crate::cluster::{Hit, Query, Scan, Unseen};
use crate::encryption::KeyRing;
use crate::engine::Engine;
use crate::engine::quarantine::{Quarantine, Quarantined};
use crate::engine::under_prefix::UnderPrefix;
use crate::layout::{IndexMeta, IndexNames, TypeMeta};
use crate::{Error, ErrorKind, Result};

/// Reads all documents under one prefix. Writes nothing.
#[derive(Debug)]
pub struct Verifier {
    pub(super) engine: Engine,
    pub(super) examiner: Arc<Examiner>,
    pub(super) quarantine: Quarantine,
    progress: ProgressSender,
}

impl Verifier {
    /// Creates a verifier of the engine's objects. Without keys, it reports every secret as unreadable.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if the key of the digests cannot be derived.
    pub fn new(engine: &Engine) -> Result<Self> {
        let examiner = Arc::new(Examiner::new(engine.registry.clone(), engine.encryption.clone())?);
        let (quarantine, progress) = (Quarantine::new(engine), ProgressSender::new());
        Ok(Self { engine: engine.clone(), examiner, quarantine, progress })
    }

    /// Lets the digests be computed with a key that is derived from the primary key of `ring`, in the place of the
    /// primary key that encrypts. Digests with the same key can be compared across a key rotation, and across stores
    /// with different keys (record 36).
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if the key of the digests cannot be derived.
    pub fn digest_key(self, ring: &KeyRing) -> Result<Self> {
        let examiner = Arc::unwrap_or_clone(self.examiner).fingerprinting_with(ring)?;
        Ok(Self { examiner: Arc::new(examiner), ..self })
    }

    /// Lets the digests leave out the namespaces of objects of registered types, so that an import into another
    /// namespace can be compared.
    #[must_use]
    pub fn without_namespaces(self) -> Self {
        let examiner = Arc::unwrap_or_clone(self.examiner).without_namespaces();
        Self { examiner: Arc::new(examiner), ..self }
    }

    /// Returns how the digests are computed.
    pub fn digests(&self) -> DigestForm {
        self.examiner.digests()
    }

    /// Returns the progress of a running verification.
    pub fn progress(&self) -> watch::Receiver<VerificationProgress> {
        self.progress.subscribe()
    }

    /// Reads every document of every group as it is now, and decrypts every secret. Continues if one cannot be read.
    ///
    /// # Errors
    /// - [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be reached.
    /// - [`Incompatible`](ErrorKind::Incompatible) if an alias leads to several indices, or if this version does not
    ///   understand the `_meta` of an index.
    pub async fn verify(&self) -> Result<VerificationReport> {
        let mut tally = Tally::default();
        let (mut indices, mut missing, mut not_opened) = (Vec::new(), Vec::new(), Vec::new());
        let groups = || self.engine.registry.groups().into_keys().map(|group| self.engine.prefix.group(group));
        let names: Vec<String> = groups().chain([self.engine.prefix.control()]).flat_map(|names| names.all()).collect();
        let unseen = Unseen::among(self.engine.cluster.as_ref(), &names).await?.0;
        let is_unseen = |names: &IndexNames| names.all().iter().any(|name| unseen.contains(name));
        for (group, types) in self.engine.registry.groups() {
            let names = self.engine.prefix.group(group);
            types.iter().for_each(|definition| tally.begin(definition.name()));
            let meta = self.verify_group(&names, &mut tally).await?;
            let (alias, types) = (names.alias().to_owned(), tally.take_types());
            match meta {
                None if is_unseen(&names) => continue,
                None => missing.push(alias.clone()),
                Some(meta) => not_opened.extend(self.not_opened(&alias, &meta, &types)),
            }
            indices.push(IndexReport { alias, types });
        }
        let UnderPrefix { not_visited, .. } = UnderPrefix::read(&self.engine).await?;
        let quarantined = match is_unseen(&self.engine.prefix.control()) {
            true => Vec::new(),
            false => self.quarantine.list().await?.into_iter().map(Unreadable::from).collect(),
        };
        let Tally { mut unreadable, not_listed, .. } = tally;
        unreadable.sort_unstable();
        let is_visited = unseen.is_empty() && not_visited.is_empty() && missing.len() < indices.len();
        let ok = is_visited && not_opened.is_empty() && unreadable.is_empty();
        Ok(VerificationReport {
            ok,
            digests: self.digests(),
            indices,
            unreadable,
            not_listed,
            quarantined,
            unseen,
            missing,
            not_visited,
            not_opened,
        })
    }

    /// Returns the types that are not registered here and have secrets according to the `_meta` of their index.
    fn not_opened(&self, alias: &str, meta: &IndexMeta, types: &[TypeReport]) -> Vec<NotOpened> {
        let is_one = |of_type: &&TypeReport| {
            let name = of_type.type_name.as_str();
            let is_known = self.engine.registry.get(name).is_some()
                || self.engine.registry.removed_types().any(|it| it.name() == name);
            !is_known && meta.types.get(name).is_some_and(TypeMeta::encrypts)
        };
        let not_opened = |of_type: &TypeReport| NotOpened {
            alias: alias.to_owned(),
            type_name: of_type.type_name.clone(),
            documents: of_type.documents,
        };
        types.iter().filter(is_one).map(not_opened).collect()
    }

    /// Returns the name and the `_meta` of a group's index, or `None` if there is no index.
    pub(super) async fn index_of(&self, names: &IndexNames) -> Result<Option<(String, IndexMeta)>> {
        let found = self.engine.cluster.indices(&[names.alias()]).await?;
        let mut indices = found.iter();
        let (index, state) = match (indices.next(), indices.next()) {
            (None, _) => return Ok(None),
            (Some(index), None) => index,
            (Some(_), Some(_)) => return Err(several_indices(names, found.keys())),
        };
        let meta = IndexMeta::from_mapping(&state.mapping).map_err(|error| error.context(index))?;
        Ok(Some((index.clone(), meta)))
    }

    /// Verifies the documents of a group. Returns the `_meta` of its index, or `None` if there is no index.
    async fn verify_group(&self, names: &IndexNames, tally: &mut Tally) -> Result<Option<Arc<IndexMeta>>> {
        let Some((index, meta)) = self.index_of(names).await? else { return Ok(None) };
        let (index, meta) = (&index, Arc::new(meta));
        self.engine.cluster.refresh(index).await?;
        let counts = self.engine.cluster.count_by_type(index).await?;
        self.progress.begin(names.alias(), counts.iter().map(|count| count.documents).sum());
        let environment = self.examiner.environment();
        let scan = Scan { cluster: &self.engine.cluster, environment, index, query: Query::Everything, pace: None };
        let add = |examined: Tally| {
            self.progress.add(examined.documents());
            tally.add(examined);
        };
        scan.run(|page| self.examine(names, &meta, page), add).await?;
        Ok(Some(meta))
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

impl From<Quarantined> for Unreadable {
    fn from(document: Quarantined) -> Self {
        let Quarantined { alias, id, type_name, attribute, reason, .. } = document;
        Self { alias, id, type_name, attribute, reason }
    }
}

fn several_indices<'a>(names: &IndexNames, indices: impl Iterator<Item = &'a String>) -> Error {
    let indices: Vec<&str> = indices.map(String::as_str).collect();
    Error::new(
        ErrorKind::Incompatible,
        format!("the alias {} points to several indices: {}", names.alias(), indices.join(", ")),
    )
    .with_hint("find out which one holds the objects, and remove the alias from the others")
}
