//! The passes of a rotation over all indices and the quarantine, until one finds nothing to do.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::Instrument;

use super::inspect::{Inspector, Work};
use super::progress::{ProgressSender, RotationProgress};
use super::report::{ByKey, KeptIndex, KeyCounts, KeyStatus, Keys, RotationCounts, RotationOutcome, RotationReport};
use super::scan::IndexScan;
use super::tally::{Tally, add_counts};
use crate::cluster::{Pace, Unseen};
use crate::encryption::{KeyId, KeyRing};
use crate::engine::Engine;
use crate::engine::quarantine::{Quarantine, Quarantined};
use crate::engine::under_prefix::GroupIndex;
use crate::environment::WAITING;
use crate::layout::IndexMeta;
use crate::migrate::is_staging_index;
use crate::{Error, ErrorKind, Result, telemetry};

/// The largest number of passes. Two are enough unless other processes keep writing under another key.
const MAX_PASSES: u32 = 10;
/// The time between two passes while a migration is in progress.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts the keys of the secrets under one prefix, and encrypts the secrets again with the primary key.
#[derive(Debug)]
pub struct KeyRotation {
    engine: Engine,
    inspector: Inspector,
    quarantine: Quarantine,
    progress: ProgressSender,
    pace: Pace,
}

/// The result of one pass over all indices and the quarantine.
#[derive(Debug, Default)]
struct Pass {
    current: Tally,
    quarantine: Tally,
    kept: Vec<KeptIndex>,
    /// Whether a copy is in progress, or was interrupted.
    is_copied: bool,
    /// The indices that the pass found.
    indices: BTreeSet<IndexIdentity>,
}

/// The name and the uuid of an index, and whether it is current.
type IndexIdentity = (String, String, bool);

impl Pass {
    fn kept_by_key(&self) -> ByKey {
        let mut sum = ByKey::new();
        self.kept.iter().for_each(|kept| add_counts(&mut sum, &kept.documents));
        sum
    }

    /// Returns true if this pass found nothing to rotate and met no conflicts. A document that another process wrote
    /// during the pass may be counted in its earlier state.
    fn is_settled(&self) -> bool {
        [&self.current, &self.quarantine]
            .iter()
            .all(|tally| tally.counts.rotated == 0 && tally.counts.conflicts == 0 && tally.unsettled == 0)
    }
}

impl KeyRotation {
    /// Creates a rotation of the engine's objects.
    pub fn new(engine: &Engine) -> Self {
        let inspector = Inspector::new(engine.registry.clone(), engine.encryption.clone());
        let (quarantine, progress) = (Quarantine::new(engine), ProgressSender::new());
        Self { engine: engine.clone(), inspector, quarantine, progress, pace: Pace::default() }
    }

    /// Lets a rotation write at most `max_rate` documents in a second, so that it disturbs users less. Documents that it
    /// only reads do not count.
    #[must_use]
    pub fn max_rate(mut self, max_rate: NonZeroU32) -> Self {
        self.pace = Pace::at_most(max_rate);
        self
    }

    /// Returns the progress of a running rotation.
    pub fn progress(&self) -> watch::Receiver<RotationProgress> {
        self.progress.subscribe()
    }

    /// Reads all documents and counts the keys of their secrets. Decrypts nothing, writes nothing, and needs no keys.
    ///
    /// # Errors
    /// - [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be reached.
    /// - [`Incompatible`](ErrorKind::Incompatible) if an alias leads to several indices, or if this version does not
    ///   understand the `_meta` of an index.
    pub async fn status(&self) -> Result<KeyStatus> {
        let found = self.scan_all(Work::Count).await?;
        let in_use = self.engine.keys.read().await?;
        let configured = self.engine.encryption.key_ring().map(|ring| ring.key_ids()).unwrap_or_default();
        let keys = Keys {
            configured: &configured,
            in_use: &in_use,
            documents: &found.current.by_key,
            quarantined: &found.quarantine.by_key,
            kept: &found.kept_by_key(),
        }
        .counts();
        let unseen = self.unseen().await?;
        let is_configured = |key: &KeyCounts| key.configured || !key.in_use && !key.is_needed();
        let ok = unseen.is_empty() && keys.iter().all(is_configured);
        let malformed = |tally: &Tally| {
            let of_attributes = tally.not_rotated.iter().filter(|one| one.attribute.is_some());
            of_attributes.map(|one| (&one.alias, &one.id)).collect::<BTreeSet<_>>().len() as u64
        };
        let malformed = malformed(&found.current);
        let indices = found.indices.len();
        let (primary, kept) = (configured.first().copied(), found.kept);
        Ok(KeyStatus { primary, indices, keys, kept, malformed, ok: ok && indices > 0, unseen })
    }

    /// Encrypts all secrets again that are not under the primary key. Secrets that cannot be decrypted stay as they
    /// are; the report names them, and the rotation continues. Before the rotation, all nodes must have the primary
    /// key, and they should encrypt with it.
    ///
    /// # Errors
    /// - [`Invalid`](ErrorKind::Invalid) if this node has no keys.
    /// - [`Incompatible`](ErrorKind::Incompatible) if this node lacks a key in use.
    /// - [`Conflict`](ErrorKind::Conflict) if other processes keep writing under another key, or if a migration does
    ///   not end.
    /// - Those of [`status`](Self::status).
    ///
    /// Documents that were written stay written.
    pub async fn rotate(&self) -> Result<RotationReport> {
        let ring = self.engine.encryption.key_ring().ok_or_else(|| {
            Error::invalid("there is no key to encrypt with", "configure the keys, the new one as the primary key")
        })?;
        let started = self.engine.environment.clock().monotonic();
        self.engine.keys.check(&ring).await?;
        let (mut documents, mut quarantine) = (RotationCounts::default(), RotationCounts::default());
        for pass in 1..=MAX_PASSES {
            // This pass can only take those keys out of use that were in use before it.
            let in_use = self.engine.keys.read().await?;
            let span = telemetry::rotation(pass);
            let found = match self.scan_all(Work::Rotate).instrument(span).await {
                Ok(found) => found,
                // A migration is in progress. The next pass reads its documents.
                Err(error)
                    if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) && pass < MAX_PASSES =>
                {
                    tracing::info!(target: WAITING, %error, "looking again");
                    self.engine.environment.stop().or(self.engine.environment.clock().sleep(PAUSE)).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let add = |sum: &mut RotationCounts, tally: &Tally| {
                let read = sum.read.max(tally.counts.read);
                sum.add(tally.counts);
                sum.read = read;
            };
            add(&mut documents, &found.current);
            add(&mut quarantine, &found.quarantine);
            let indices: BTreeSet<IndexIdentity> = self.indices().await?.iter().map(identity).collect();
            if found.is_copied {
                tracing::info!(target: WAITING, pass, "waiting for the end of a migration that copies documents");
                self.engine.environment.stop().or(self.engine.environment.clock().sleep(PAUSE)).await?;
                continue;
            }
            if !found.is_settled() || indices != found.indices {
                tracing::info!(pass, rotated = found.current.counts.rotated, "looking whether that was all");
                continue;
            }
            let unseen = self.unseen().await?;
            let keys = match unseen.is_empty() && !found.indices.is_empty() {
                true => self.drop_unneeded(&ring, &in_use, &found).await?,
                // Unseen indices, or indices that do not exist at this moment, may have secrets under any key.
                false => (BTreeSet::new(), in_use),
            };
            let elapsed = self.engine.environment.clock().monotonic().saturating_sub(started);
            let report = report(&ring, (documents, quarantine), (pass, elapsed), found, keys);
            return Ok(RotationReport { unseen, ..report });
        }
        Err(Error::new(ErrorKind::Conflict, "others keep writing under another key, or move the indices")
            .with_hint(
                "make the new key the primary one on every node, wait for migrations, and start again; a start of the software \
                 takes away what a migration that was stopped left behind",
            ))
    }

    /// Gives up a lost key, so that nodes start without it. Secrets under the key stay stored and cannot be decrypted.
    ///
    /// # Errors
    /// - [`NotFound`](ErrorKind::NotFound) if the key is not in use.
    /// - [`Invalid`](ErrorKind::Invalid) if this node has the key.
    pub async fn forget(&self, key: KeyId) -> Result<()> {
        self.check_lost(key)?;
        let mut was_in_use = false;
        self.engine.keys.change(|keys| was_in_use = keys.remove(&key)).await?;
        if was_in_use { Ok(()) } else { Err(not_in_use(key)) }
    }

    /// Counts what [`forget`](Self::forget) would give up: the documents with secrets under the key. Writes nothing.
    ///
    /// # Errors
    /// Those of [`forget`](Self::forget) and [`status`](Self::status).
    pub async fn would_forget(&self, key: KeyId) -> Result<KeyCounts> {
        self.check_lost(key)?;
        let counts = self.status().await?.keys.into_iter().find(|counts| counts.id == key && counts.in_use);
        counts.ok_or_else(|| not_in_use(key))
    }

    fn check_lost(&self, key: KeyId) -> Result<()> {
        let has_it = self.engine.encryption.key_ring().is_some_and(|ring| ring.key_ids().contains(&key));
        match has_it {
            true => Err(Error::invalid(
                format!("the key {key} is not lost: this node has it"),
                "let `saved-objects keys rotate` drop it",
            )),
            false => Ok(()),
        }
    }

    /// Takes those old keys of `ring` out of use that the pass found nothing under, and records the keys that it found
    /// as in use. Returns the keys that were dropped, and the keys that are in use now.
    async fn drop_unneeded(
        &self,
        ring: &KeyRing,
        in_use: &BTreeSet<KeyId>,
        found: &Pass,
    ) -> Result<(BTreeSet<KeyId>, BTreeSet<KeyId>)> {
        let kept = found.kept_by_key();
        let is_needed = |key: &KeyId| {
            [&found.current.by_key, &found.quarantine.by_key, &kept].iter().any(|by_key| by_key.contains_key(key))
        };
        // A key that this node lacks may be the new key of a node that has written nothing yet.
        let old: Vec<KeyId> = ring.key_ids().into_iter().filter(|key| *key != ring.primary_key_id()).collect();
        let unneeded: BTreeSet<KeyId> =
            old.iter().filter(|key| in_use.contains(key) && !is_needed(key)).copied().collect();
        let in_use = self
            .engine
            .keys
            .change(|keys| {
                keys.retain(|key| !unneeded.contains(key));
                keys.extend(ring.key_ids().iter().filter(|key| is_needed(key)));
            })
            .await?;
        unneeded.iter().for_each(|key| tracing::info!(%key, "nothing is encrypted with this key any more"));
        Ok((unneeded, in_use))
    }

    /// Returns the names under the prefix that may belong to indices which the credentials do not see. Sends one
    /// request.
    async fn unseen(&self) -> Result<Vec<String>> {
        Ok(self.engine.cluster.unseen(&[&format!("{}-*", self.engine.prefix)]).await?)
    }

    /// Makes one pass over all indices and the quarantine.
    async fn scan_all(&self, work: Work) -> Result<Pass> {
        let mut found = Pass::default();
        let mut metas = BTreeMap::new();
        let indices = self.indices().await?;
        for index in &indices {
            let GroupIndex { names, name, state, .. } = index;
            // Until the index is current, a node may write to it with any of its keys.
            if is_staging_index(names, name, state) {
                found.is_copied = true;
                continue;
            }
            let meta = Arc::new(IndexMeta::from_mapping(&state.mapping).map_err(|error| error.context(name))?);
            let tally = self.scan_index(index, meta.clone(), work).await?;
            if index.is_current() {
                metas.insert(names.alias().to_owned(), meta);
                found.current.add(tally);
            } else if !tally.by_key.is_empty() {
                found.kept.push(KeptIndex { index: name.clone(), documents: tally.by_key });
            }
        }
        found.quarantine = match self.scan_quarantine(&metas, work).await {
            // The report names the quarantine with all other unseen indices.
            Err(error) if error.find_source::<Unseen>().is_some() => Tally::default(),
            scanned => scanned?,
        };
        found.indices = indices.iter().map(identity).collect();
        Ok(found)
    }

    /// Returns the pace of a scan. Counting has no limit.
    fn pace_of(&self, work: Work) -> Option<&Pace> {
        (work == Work::Rotate).then_some(&self.pace)
    }

    async fn scan_index(&self, index: &GroupIndex, meta: Arc<IndexMeta>, work: Work) -> Result<Tally> {
        let GroupIndex { names, name, .. } = index;
        let generation = names.generation(name).filter(|_| index.is_current() && work == Work::Rotate);
        let write_alias = generation.map(|generation| names.write_alias(generation));
        self.engine.cluster.refresh(name).await?;
        let documents = self.engine.cluster.count_by_type(name).await?.iter().map(|count| count.documents).sum();
        self.progress.begin(name, documents);
        let scan = IndexScan {
            engine: &self.engine,
            inspector: &self.inspector,
            progress: &self.progress,
            alias: names.alias(),
            index: name,
            meta,
            write_alias: write_alias.as_deref(),
            pace: self.pace_of(work),
        };
        scan.run().await
    }

    async fn scan_quarantine(&self, metas: &BTreeMap<String, Arc<IndexMeta>>, work: Work) -> Result<Tally> {
        let names = self.quarantine.names();
        let nothing = IndexMeta::default();
        let mut tally = Tally::default();
        let inspect = |document: &Quarantined, source: &str| {
            let meta = metas.get(&document.alias).map_or(&nothing, Arc::as_ref);
            let mut inspected = self.inspector.inspect(meta, &document.id, source, work);
            let source = inspected.source.take();
            // Every document in quarantine has a defect. Only defects that keep a key in use count here.
            if work == Work::Rotate && inspected.keys.is_empty() {
                inspected.defects.clear();
            }
            ((document.id.clone(), inspected), source)
        };
        let mut read = 0;
        let rewritten = self
            .quarantine
            .rewrite((&self.engine.keys, &self.engine.encryption), self.pace_of(work), inspect, |(id, inspected)| {
                read += 1;
                tally.count(names.alias(), &id, inspected);
            })
            .await?;
        tally.counts = RotationCounts { read, rotated: rewritten.replaced, conflicts: rewritten.conflicts };
        tally.unsettled = rewritten.conflicts;
        Ok(tally)
    }

    /// Returns the generations and staging indices of all groups under the prefix, including groups without a
    /// registered type.
    async fn indices(&self) -> Result<Vec<GroupIndex>> {
        let mut indices = GroupIndex::all(&self.engine).await?;
        indices.retain(|GroupIndex { names, name, state, .. }| {
            names.generation(name).is_some() || is_staging_index(names, name, state)
        });
        let mut current = indices.iter().filter(|index| index.is_current()).peekable();
        while let Some(index) = current.next() {
            if let Some(other) = current.peek().filter(|other| other.names == index.names) {
                let (alias, names) = (index.names.alias(), format!("{}, {}", index.name, other.name));
                let what = format!("the alias {alias} points to several indices: {names}");
                return Err(Error::new(ErrorKind::Incompatible, what)
                    .with_hint("find out which one holds the objects, and remove the alias from the others"));
            }
        }
        Ok(indices)
    }
}

fn not_in_use(key: KeyId) -> Error {
    Error::new(ErrorKind::NotFound, format!("the key {key} is not in use")).with_hint("see `saved-objects keys status`")
}

fn identity(index: &GroupIndex) -> IndexIdentity {
    (index.name.clone(), index.state.uuid.clone(), index.is_current())
}

fn report(
    ring: &KeyRing,
    (documents, quarantine): (RotationCounts, RotationCounts),
    (passes, elapsed): (u32, Duration),
    found: Pass,
    (dropped, in_use): (BTreeSet<KeyId>, BTreeSet<KeyId>),
) -> RotationReport {
    let primary = ring.primary_key_id();
    let kept_by_key = found.kept_by_key();
    let Pass { current, quarantine: in_quarantine, kept, indices, .. } = found;
    let keys = Keys {
        configured: &ring.key_ids(),
        in_use: &in_use,
        documents: &current.by_key,
        quarantined: &in_quarantine.by_key,
        kept: &kept_by_key,
    };
    let still_needed = keys.counts().into_iter().filter(|key| key.id != primary && key.is_needed()).collect();
    let mut not_rotated = current.not_rotated;
    not_rotated.extend(in_quarantine.not_rotated);
    not_rotated.sort_unstable();
    let rotated = documents.rotated + quarantine.rotated;
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    RotationReport {
        outcome: if rotated == 0 { RotationOutcome::NothingToDo } else { RotationOutcome::Rotated },
        primary,
        indices: indices.len(),
        elapsed_ms,
        documents,
        quarantine,
        docs_per_s: (rotated * 1000).checked_div(elapsed_ms).unwrap_or_default(),
        passes,
        not_rotated,
        not_named: current.not_named + in_quarantine.not_named,
        kept,
        dropped,
        still_needed,
        unseen: Vec::new(),
    }
}
