use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::Instrument;

use super::inspect::{Inspector, Work};
use super::look::Look;
use super::progress::{Progress, ProgressSender};
use super::report::{DocumentCounts, KeptIndex, KeyCounts, KeyStatus, Outcome, Places, Report};
use super::tally::{ByKey, Tally, add_counts};
use crate::cluster::{Cluster, IndexState};
use crate::control::KeysInUse;
use crate::encryption::{EncryptionService, KeyId, KeyRing};
use crate::environment::Environment;
use crate::layout::{IndexMeta, IndexNames, Prefix};
use crate::migrate::is_staging_index;
use crate::quarantine::{Quarantine, Quarantined};
use crate::registry::Registry;
use crate::{Error, ErrorKind, Result};

/// How often everything is looked at. Twice is enough unless others keep writing under another key.
const MAX_PASSES: u32 = 10;
/// How long it waits for a migration that is at work.
const PAUSE: Duration = Duration::from_secs(1);

/// Brings the secrets under one prefix under the primary key, and says which keys they are under.
#[derive(Debug)]
pub struct KeyRotation {
    cluster: Arc<dyn Cluster>,
    prefix: Prefix,
    encryption: EncryptionService,
    environment: Environment,
    inspector: Inspector,
    quarantine: Quarantine,
    keys: KeysInUse,
    progress: ProgressSender,
}

/// One look at everything.
#[derive(Debug, Default)]
struct Everything {
    current: Tally,
    quarantine: Tally,
    kept: Vec<KeptIndex>,
    /// Whether a copy is being made, or was stopped.
    is_copied: bool,
    /// The indices that there were.
    places: BTreeSet<Place>,
}

/// An index's name and id, and whether it is current.
type Place = (String, String, bool);

/// A generation or a fill of a group.
#[derive(Debug)]
struct Index {
    names: IndexNames,
    name: String,
    state: IndexState,
}

impl Everything {
    fn kept_by_key(&self) -> ByKey {
        let mut sum = ByKey::new();
        self.kept.iter().for_each(|kept| add_counts(&mut sum, &kept.documents));
        sum
    }

    /// Whether everything was as it is to be, and still was when the look ended: what somebody else wrote meanwhile was counted as
    /// it had been.
    fn is_settled(&self) -> bool {
        [&self.current, &self.quarantine]
            .iter()
            .all(|tally| tally.counts.rotated == 0 && tally.counts.conflicts == 0 && tally.unsettled == 0)
    }
}

impl KeyRotation {
    /// A rotation of the objects under `prefix`.
    pub fn new(
        cluster: Arc<dyn Cluster>,
        registry: Arc<Registry>,
        prefix: Prefix,
        encryption: EncryptionService,
        environment: Environment,
    ) -> Self {
        let inspector = Inspector::new(registry, encryption.clone());
        let quarantine = Quarantine::new(cluster.clone(), prefix.clone());
        let keys = KeysInUse::new(cluster.clone(), &prefix);
        let progress = ProgressSender::new();
        Self { cluster, prefix, encryption, environment, inspector, quarantine, keys, progress }
    }

    /// How far a running rotation is.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Reads everything and counts the keys that secrets are under. Opens nothing, writes nothing, and needs no keys.
    ///
    /// # Errors
    /// [`Unavailable`](ErrorKind::Unavailable) if the cluster cannot be reached, [`Incompatible`](ErrorKind::Incompatible) if
    /// an alias stands for several indices, or an index says of itself what this version does not understand.
    pub async fn status(&self) -> Result<KeyStatus> {
        let found = self.look_at_everything(Work::Count).await?;
        let in_use = self.keys.read().await?;
        let configured = self.encryption.key_ring().map(|ring| ring.key_ids()).unwrap_or_default();
        let keys = Places {
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
        Ok(KeyStatus { primary: configured.first().copied(), keys, kept: found.kept, malformed, ok, unseen })
    }

    /// Encrypts everything anew that is not under the primary key. Whatever cannot be opened is named and stays as it is, and
    /// does not end it. All nodes must have the primary key by now, and should write with it.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) if there are no keys, [`Incompatible`](ErrorKind::Incompatible) if they lack one that is in
    /// use, [`Conflict`](ErrorKind::Conflict) if others keep writing under another key or a migration does not end, and as
    /// [`status`](Self::status). What is done stays done.
    pub async fn rotate(&self) -> Result<Report> {
        let ring = self.encryption.key_ring().ok_or_else(|| {
            Error::invalid("there is no key to encrypt with", "configure the keys, the new one as the primary key")
        })?;
        let started = self.environment.clock().monotonic();
        self.keys.check(&ring).await?;
        let (mut documents, mut quarantine) = (DocumentCounts::default(), DocumentCounts::default());
        for pass in 1..=MAX_PASSES {
            // Only what was in use before this look can be out of use after it.
            let in_use = self.keys.read().await?;
            let span = tracing::info_span!("rotate", pass);
            let found = match self.look_at_everything(Work::Rotate).instrument(span).await {
                Ok(found) => found,
                // A migration is at work: its documents are looked at when it is done.
                Err(error)
                    if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) && pass < MAX_PASSES =>
                {
                    tracing::info!(%error, "looking again");
                    self.environment.clock().sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let add = |sum: &mut DocumentCounts, tally: &Tally| {
                let read = sum.read.max(tally.counts.read);
                sum.add(tally.counts);
                sum.read = read;
            };
            add(&mut documents, &found.current);
            add(&mut quarantine, &found.quarantine);
            let places: BTreeSet<Place> = self.indices().await?.iter().map(Index::place).collect();
            if found.is_copied {
                tracing::info!(pass, "waiting for a copy");
                self.environment.clock().sleep(PAUSE).await;
                continue;
            }
            if !found.is_settled() || places != found.places {
                tracing::info!(pass, rotated = found.current.counts.rotated, "looking whether that was all");
                continue;
            }
            let unseen = self.unseen().await?;
            let keys = match unseen.is_empty() {
                true => self.drop_unneeded(&ring, &in_use, &found).await?,
                // Secrets under any key may be in what is not seen.
                false => (BTreeSet::new(), in_use),
            };
            let elapsed = self.environment.clock().monotonic().saturating_sub(started);
            let report = report(&ring, (documents, quarantine), (pass, elapsed), found, keys);
            return Ok(Report { unseen, ..report });
        }
        Err(Error::new(ErrorKind::Conflict, "others keep writing under another key, or move the indices")
            .with_cure(
                "make the new key the primary one on every node, wait for migrations, and start again; a start of the software \
                 takes away what a migration that was stopped left behind",
            ))
    }

    /// Gives a key up that is lost: nodes start without it. Secrets that are under it stay where they are, and do not open.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if it is not in use, [`Invalid`](ErrorKind::Invalid) if this node has it.
    pub async fn forget(&self, key: KeyId) -> Result<()> {
        let has_it = self.encryption.key_ring().is_some_and(|ring| ring.key_ids().contains(&key));
        if has_it {
            return Err(Error::invalid(
                format!("the key {key} is not lost: this node has it"),
                "let `saved-objects keys rotate` drop it",
            ));
        }
        let mut was_in_use = false;
        self.keys.change(|keys| was_in_use = keys.remove(&key)).await?;
        match was_in_use {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::NotFound, format!("the key {key} is not in use"))
                .with_cure("see `saved-objects keys status`")),
        }
    }

    /// Takes the old keys of `ring` out of use that nothing was found under, and makes sure that those found are in use. Gives
    /// those dropped, and those in use now.
    async fn drop_unneeded(
        &self,
        ring: &KeyRing,
        in_use: &BTreeSet<KeyId>,
        found: &Everything,
    ) -> Result<(BTreeSet<KeyId>, BTreeSet<KeyId>)> {
        let kept = found.kept_by_key();
        let is_needed = |key: &KeyId| {
            [&found.current.by_key, &found.quarantine.by_key, &kept].iter().any(|by_key| by_key.contains_key(key))
        };
        // A key that this node does not have may be the new one of somebody who has written nothing yet.
        let old: Vec<KeyId> = ring.key_ids().into_iter().filter(|key| *key != ring.primary_key_id()).collect();
        let unneeded: BTreeSet<KeyId> =
            old.iter().filter(|key| in_use.contains(key) && !is_needed(key)).copied().collect();
        let in_use = self
            .keys
            .change(|keys| {
                keys.retain(|key| !unneeded.contains(key));
                keys.extend(ring.key_ids().iter().filter(|key| is_needed(key)));
            })
            .await?;
        unneeded.iter().for_each(|key| tracing::info!(%key, "nothing is encrypted with this key any more"));
        Ok((unneeded, in_use))
    }

    /// The names under the prefix that may belong to indices which the credentials do not see. One request.
    async fn unseen(&self) -> Result<Vec<String>> {
        Ok(self.cluster.unseen(&[&format!("{}-*", self.prefix)]).await?)
    }

    async fn look_at_everything(&self, work: Work) -> Result<Everything> {
        let mut found = Everything::default();
        let mut metas = BTreeMap::new();
        let indices = self.indices().await?;
        for index in &indices {
            let Index { names, name, state, .. } = index;
            // A node may encrypt with any of its keys into it, until it is current.
            if is_staging_index(names, name, state) {
                found.is_copied = true;
                continue;
            }
            let meta = Arc::new(IndexMeta::from_mapping(&state.mapping).map_err(|error| error.context(name))?);
            let tally = self.look_at(index, meta.clone(), work).await?;
            if index.is_current() {
                metas.insert(names.alias().to_owned(), meta);
                found.current.add(tally);
            } else if !tally.by_key.is_empty() {
                found.kept.push(KeptIndex { index: name.clone(), documents: tally.by_key });
            }
        }
        found.quarantine = self.look_at_quarantine(&metas, work).await?;
        found.places = indices.iter().map(Index::place).collect();
        Ok(found)
    }

    async fn look_at(&self, index: &Index, meta: Arc<IndexMeta>, work: Work) -> Result<Tally> {
        let Index { names, name, .. } = index;
        let generation = names.generation(name).filter(|_| index.is_current() && work == Work::Rotate);
        let write_alias = generation.map(|generation| names.write_alias(generation));
        self.cluster.refresh(name).await?;
        let documents = self.cluster.count_by_type(name).await?.iter().map(|count| count.documents).sum();
        self.progress.begin(name, documents);
        let look = Look {
            cluster: self.cluster.as_ref(),
            inspector: &self.inspector,
            progress: &self.progress,
            alias: names.alias(),
            index: name,
            meta,
            write_alias: write_alias.as_deref(),
            keys: &self.keys,
            encryption: &self.encryption,
        };
        look.run().await
    }

    async fn look_at_quarantine(&self, metas: &BTreeMap<String, Arc<IndexMeta>>, work: Work) -> Result<Tally> {
        let names = self.quarantine.names();
        let nothing = IndexMeta::default();
        let mut tally = Tally::default();
        let look = |document: &Quarantined, source: &str| {
            let meta = metas.get(&document.alias).map_or(&nothing, Arc::as_ref);
            let mut inspected = self.inspector.inspect(meta, &document.id, source, work);
            let source = inspected.source.take();
            // Whatever is in quarantine has a defect; here only those count that keep a key in use.
            if work == Work::Rotate && inspected.keys.is_empty() {
                inspected.defects.clear();
            }
            ((document.id.clone(), inspected), source)
        };
        let mut read = 0;
        let rewritten = self
            .quarantine
            .rewrite((&self.keys, &self.encryption), look, |(id, inspected)| {
                read += 1;
                tally.count(names.alias(), &id, inspected);
            })
            .await?;
        tally.counts = DocumentCounts { read, rotated: rewritten.replaced, conflicts: rewritten.conflicts };
        tally.unsettled = rewritten.conflicts;
        Ok(tally)
    }

    /// The generations and staging indices of all groups under the prefix, be their types registered here or not.
    async fn indices(&self) -> Result<Vec<Index>> {
        let prefix = format!("{}-", self.prefix);
        let found = self.cluster.indices(&[&format!("{prefix}*")]).await?;
        let index = |(name, state): (String, IndexState)| {
            // Groups have no hyphen in their names, so what has one more belongs to a longer prefix.
            let (group, _) = name.strip_prefix(&prefix)?.split_once('-')?;
            let names = self.prefix.group(group);
            let is_ours = names.generation(&name).is_some() || is_staging_index(&names, &name, &state);
            (is_ours && names != self.prefix.control()).then_some(Index { names, name, state })
        };
        let indices: Vec<Index> = found.into_iter().filter_map(index).collect();
        let mut current = indices.iter().filter(|index| index.is_current()).peekable();
        while let Some(index) = current.next() {
            if let Some(other) = current.peek().filter(|other| other.names == index.names) {
                let (alias, names) = (index.names.alias(), format!("{}, {}", index.name, other.name));
                let what = format!("the alias {alias} points to several indices: {names}");
                return Err(Error::new(ErrorKind::Incompatible, what)
                    .with_cure("find out which one holds the objects, and remove the alias from the others"));
            }
        }
        Ok(indices)
    }
}

impl Index {
    fn is_current(&self) -> bool {
        self.state.aliases.contains_key(self.names.alias())
    }

    fn place(&self) -> Place {
        (self.name.clone(), self.state.uuid.clone(), self.is_current())
    }
}

fn report(
    ring: &KeyRing,
    (documents, quarantine): (DocumentCounts, DocumentCounts),
    (passes, elapsed): (u32, Duration),
    found: Everything,
    (dropped, in_use): (BTreeSet<KeyId>, BTreeSet<KeyId>),
) -> Report {
    let primary = ring.primary_key_id();
    let kept_by_key = found.kept_by_key();
    let Everything { current, quarantine: in_quarantine, kept, .. } = found;
    let places = Places {
        configured: &ring.key_ids(),
        in_use: &in_use,
        documents: &current.by_key,
        quarantined: &in_quarantine.by_key,
        kept: &kept_by_key,
    };
    let still_needed = places.counts().into_iter().filter(|key| key.id != primary && key.is_needed()).collect();
    let mut not_rotated = current.not_rotated;
    not_rotated.extend(in_quarantine.not_rotated);
    not_rotated.sort_unstable();
    let rotated = documents.rotated + quarantine.rotated;
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    Report {
        outcome: if rotated == 0 { Outcome::NothingToDo } else { Outcome::Rotated },
        primary,
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
