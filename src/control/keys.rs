use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Control, Kind};
use crate::cluster::Cluster;
use crate::encryption::{KeyId, KeyRing};
use crate::layout::Prefix;
use crate::registry::Registry;
use crate::{Error, ErrorKind, Result};

/// The document's id.
const ID: &str = "in-use";

/// The `keys` document (design decision 18): the ids of the keys that objects may be encrypted with. A key gets into it before
/// anything is written under it, and out of it only when a rotation has found nothing under it any more, or when it is given
/// up as lost. So a node that has all of them can open everything.
#[derive(Debug, Clone)]
pub(crate) struct KeysInUse {
    control: Control,
    /// The key that this process knows to be recorded.
    recorded: Arc<Mutex<Option<KeyId>>>,
}

/// What the document says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct InUse {
    keys: BTreeSet<KeyId>,
}

/// What the keys of a node are, beside those that are in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has all, and may write.
    Fine,
    /// It has all, but its primary key is new: that has to be recorded before the first write.
    NewPrimary,
    /// It has not all: it would not open everything.
    Lacking(LackingKeys),
}

/// The keys that a node has, and those in use that it has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LackingKeys {
    had: Vec<KeyId>,
    lacking: BTreeSet<KeyId>,
}

impl LackingKeys {
    /// What is wrong.
    pub(crate) fn what(&self) -> String {
        let mut text = format!("objects are encrypted with {}, which this node does not have: ", named(&self.lacking));
        let _ = match self.had.split_first() {
            None => write!(text, "it has no key at all"),
            Some((primary, [])) => write!(text, "its only key is {primary}"),
            Some((primary, others)) => {
                write!(text, "its primary key is {primary}, and for decryption it has {}", named(others))
            }
        };
        text
    }

    /// The refusal of what would write, called `what`.
    pub(crate) fn refusal(&self, what: &str) -> Error {
        Error::new(ErrorKind::Incompatible, format!("{what}: {}", self.what())).with_cure(self.cure())
    }

    /// What the operator does about it.
    pub(crate) fn cure(&self) -> String {
        let lacking = named(&self.lacking);
        format!(
            "add {lacking} to this node's decryption-only keys; or run `saved-objects keys rotate` on a node that has it, after \
             which it is not needed any more; or, if it is lost for good, give it up with `saved-objects keys forget`"
        )
    }
}

fn named<'a>(keys: impl IntoIterator<Item = &'a KeyId>) -> String {
    let keys: Vec<String> = keys.into_iter().map(ToString::to_string).collect();
    format!("{} {}", if keys.len() == 1 { "the key" } else { "the keys" }, keys.join(", "))
}

impl KeysInUse {
    /// The keys in use under `prefix`. Nothing is sent yet.
    pub(crate) fn new(cluster: Arc<dyn Cluster>, prefix: &Prefix) -> Self {
        Self { control: Control::new(cluster, prefix), recorded: Arc::default() }
    }

    /// The ids of the keys in use; none if nothing was ever encrypted. One request.
    ///
    /// # Errors
    /// As [`Control::read`].
    pub(crate) async fn read(&self) -> Result<BTreeSet<KeyId>> {
        let found = self.control.read::<InUse>(Kind::Keys, ID).await?;
        Ok(found.map(|found| found.body.keys).unwrap_or_default())
    }

    /// How a node with the keys of `ring` stands. One request; none if no type of `registry` encrypts.
    ///
    /// # Errors
    /// As [`Control::read`].
    pub(crate) async fn standing(&self, ring: Option<&KeyRing>, registry: &Registry) -> Result<Standing> {
        if !registry.types().any(|definition| definition.encrypts()) {
            return Ok(Standing::Fine);
        }
        Ok(standing(&self.read().await?, ring))
    }

    /// Records the primary key of `ring` as in use, unless the ring lacks a key that is. Whoever records at the same time
    /// is not overwritten.
    ///
    /// # Errors
    /// As [`Control::create`].
    pub(crate) async fn record(&self, ring: &KeyRing) -> Result<Standing> {
        let mut outcome = Standing::Fine;
        let primary = ring.primary_key_id();
        self.change(|keys| {
            outcome = standing(keys, Some(ring));
            if outcome == Standing::NewPrimary {
                keys.insert(primary);
            }
        })
        .await?;
        match outcome {
            Standing::Lacking(_) => Ok(outcome),
            Standing::NewPrimary | Standing::Fine => {
                if outcome == Standing::NewPrimary {
                    tracing::info!(key = %primary, "objects are encrypted with this key from now on");
                }
                self.remember(ring);
                Ok(Standing::Fine)
            }
        }
    }

    /// Notes that the primary key of `ring` is recorded, so that the first write under it need not ask.
    pub(crate) fn remember(&self, ring: &KeyRing) {
        *self.recorded.lock().unwrap_or_else(PoisonError::into_inner) = Some(ring.primary_key_id());
    }

    /// Lets a write under the primary key of `ring` go on: records it unless that is known to be done. A process whose keys lack one
    /// that is in use writes nothing encrypted, since a key that was configured by mistake would lock all others out.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if the ring lacks a key that is in use, and as [`Control::create`].
    pub(crate) async fn before_writing(&self, ring: &KeyRing) -> Result<()> {
        let recorded = *self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded == Some(ring.primary_key_id()) {
            return Ok(());
        }
        match self.record(ring).await? {
            Standing::Lacking(lacking) => Err(lacking.refusal("nothing is encrypted with this key")),
            Standing::Fine | Standing::NewPrimary => Ok(()),
        }
    }

    /// Changes the ids as `change` says, which is called again if others changed them meanwhile. Nothing is written if there
    /// is no difference.
    ///
    /// # Errors
    /// As [`Control::create`].
    pub(crate) async fn change(&self, mut change: impl FnMut(&mut BTreeSet<KeyId>)) -> Result<BTreeSet<KeyId>> {
        loop {
            let found = self.control.read::<InUse>(Kind::Keys, ID).await?;
            let (read, before) = match found {
                None => (None, InUse::default()),
                Some(found) => (Some(found.sequence), found.body),
            };
            let mut after = before.clone();
            change(&mut after.keys);
            if after == before {
                return Ok(after.keys);
            }
            let written = match read {
                None => self.control.create(Kind::Keys, ID, &after).await?,
                Some(read) => self.control.replace(Kind::Keys, ID, &after, read).await?,
            };
            if written.is_some() {
                return Ok(after.keys);
            }
        }
    }
}

fn standing(in_use: &BTreeSet<KeyId>, ring: Option<&KeyRing>) -> Standing {
    let had = ring.map(KeyRing::key_ids).unwrap_or_default();
    let lacking: BTreeSet<_> = in_use.iter().filter(|key| !had.contains(key)).copied().collect();
    match had.first() {
        _ if !lacking.is_empty() => Standing::Lacking(LackingKeys { had, lacking }),
        Some(primary) if !in_use.contains(primary) => Standing::NewPrimary,
        _ => Standing::Fine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::InMemory;
    use crate::environment::Environment;

    fn ring(primary: char, others: &str) -> KeyRing {
        let secret = |name: char| format!("a key for tests only, called {name}: 0123456789").into();
        KeyRing::new(secret(primary), others.chars().map(secret).collect()).expect("fine keys")
    }

    fn keys() -> KeysInUse {
        KeysInUse::new(Arc::new(InMemory::new(Environment::system())), &Prefix::default())
    }

    #[tokio::test]
    async fn a_key_is_recorded_once_and_by_whoever_can_open_everything() {
        let keys = keys();
        assert_eq!(keys.record(&ring('a', "")).await.expect("recorded"), Standing::Fine);
        assert_eq!(keys.record(&ring('a', "b")).await.expect("recorded"), Standing::Fine);
        let a = ring('a', "").primary_key_id();
        assert_eq!(keys.read().await.expect("read"), BTreeSet::from([a]), "what only decrypts is not in use");
        let Standing::Lacking(lacking) = keys.record(&ring('b', "")).await.expect("answered") else {
            panic!("it lacks a key");
        };
        let b = ring('b', "").primary_key_id();
        let what =
            format!("objects are encrypted with the key {a}, which this node does not have: its only key is {b}");
        assert_eq!(lacking.what(), what);
        assert!(lacking.cure().contains("keys rotate") && lacking.cure().contains(&a.to_string()));
        assert_eq!(keys.read().await.expect("read"), BTreeSet::from([a]), "a refused one is not recorded");
        let refused = keys.before_writing(&ring('b', "")).await.expect_err("it lacks a key");
        assert_eq!(refused.kind(), ErrorKind::Incompatible);
        assert!(refused.message().ends_with(&what), "{refused}");
        assert_eq!(keys.read().await.expect("read"), BTreeSet::from([a]));
        assert_eq!(keys.record(&ring('b', "a")).await.expect("recorded"), Standing::Fine);
        assert_eq!(keys.read().await.expect("read"), BTreeSet::from([a, b]));
        assert!(matches!(standing(&BTreeSet::from([a]), None), Standing::Lacking(_)));
        assert_eq!(standing(&BTreeSet::new(), None), Standing::Fine);
    }

    #[tokio::test]
    async fn who_records_at_the_same_time_is_not_lost() {
        let keys = keys();
        let rings: Vec<KeyRing> =
            "abcdefgh".chars().map(|name| ring(name, "abcdefgh".replace(name, "").as_str())).collect();
        futures::future::join_all(rings.iter().map(|ring| keys.record(ring))).await;
        assert_eq!(keys.read().await.expect("read").len(), rings.len());
    }
}
