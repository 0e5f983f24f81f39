//! The keys in use, recorded in the control index.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Control, Kind};
use crate::cluster::Cluster;
use crate::encryption::{EncryptionService, KeyId, KeyRing};
use crate::layout::Prefix;
use crate::registry::Registry;
use crate::{Error, ErrorKind, Result};

/// The document's id.
const ID: &str = "in-use";

/// The `keys` document (record 27): the ids of the keys that objects may be encrypted with. A key is added when
/// something was sealed under it, before that is written. It is removed only when a rotation finds nothing under it, or
/// when an operator gives it up as lost. A node that has all of these keys can therefore decrypt everything. A key that
/// was configured by mistake locks out no other node before anything is encrypted with it.
#[derive(Debug, Clone)]
pub(crate) struct KeysInUse {
    control: Control,
    /// The keys that this process last saw in the document.
    seen: Arc<Mutex<BTreeSet<KeyId>>>,
}

/// The content of the document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct InUse {
    keys: BTreeSet<KeyId>,
}

/// The keys of a node, and the keys in use that it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LackingKeys {
    had: Vec<KeyId>,
    lacking: BTreeSet<KeyId>,
}

impl fmt::Display for LackingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what())
    }
}

impl std::error::Error for LackingKeys {}

impl LackingKeys {
    fn of(ring: Option<&KeyRing>, in_use: &BTreeSet<KeyId>) -> Option<Self> {
        let had = ring.map(KeyRing::key_ids).unwrap_or_default();
        let lacking: BTreeSet<_> = in_use.iter().filter(|key| !had.contains(key)).copied().collect();
        (!lacking.is_empty()).then_some(Self { had, lacking })
    }

    /// Returns the problem as text.
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

    /// Returns the error that refuses the operation `what`.
    pub(crate) fn refusal(&self, what: &str) -> Error {
        Error::new(ErrorKind::Incompatible, format!("{what}: {}", self.what()))
            .with_hint(self.hint())
            .with_source(self.clone())
    }

    /// Returns the hint for the operator.
    pub(crate) fn hint(&self) -> String {
        let lacking = named(&self.lacking);
        let commands: Vec<String> = self.lacking.iter().map(|id| format!("`saved-objects keys forget {id}`")).collect();
        let forget = format!("if it is lost for good, give it up with {}", commands.join(" and "));
        match self.had.first() {
            None => format!("give this node the keys of the others, with {lacking} among them; or, {forget}"),
            Some(primary) => format!(
                "add {lacking} to this node's decryption-only keys; or, to be rid of it, run `saved-objects keys rotate` with the \
                 primary key {primary} and {lacking} for decryption; or, {forget}"
            ),
        }
    }
}

fn named<'a>(keys: impl IntoIterator<Item = &'a KeyId>) -> String {
    let keys: Vec<String> = keys.into_iter().map(ToString::to_string).collect();
    format!("{} {}", if keys.len() == 1 { "the key" } else { "the keys" }, keys.join(", "))
}

impl KeysInUse {
    /// Creates the keys in use under `prefix`. Sends nothing.
    pub(crate) fn new(cluster: Arc<dyn Cluster>, prefix: &Prefix) -> Self {
        Self { control: Control::new(cluster, prefix), seen: Arc::default() }
    }

    /// Returns the ids of the keys in use. The set is empty if nothing was ever encrypted. Sends one request.
    ///
    /// # Errors
    /// Those of [`Control::read`].
    pub(crate) async fn read(&self) -> Result<BTreeSet<KeyId>> {
        let found = self.control.read::<InUse>(Kind::Keys, ID).await?;
        let keys = found.map(|found| found.body.keys).unwrap_or_default();
        self.seen().clone_from(&keys);
        Ok(keys)
    }

    /// Returns the keys in use that `ring` lacks. Sends one request, unless no type of `registry` encrypts.
    ///
    /// # Errors
    /// Those of [`Control::read`].
    pub(crate) async fn lacking(&self, ring: Option<&KeyRing>, registry: &Registry) -> Result<Option<LackingKeys>> {
        if !registry.types().any(|definition| definition.encrypts()) {
            return Ok(None);
        }
        Ok(LackingKeys::of(ring, &self.read().await?))
    }

    /// Checks that a ring lacks no key in use. Sends one request.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if it lacks one, and those of [`Control::read`].
    pub(crate) async fn check(&self, ring: &KeyRing) -> Result<()> {
        match LackingKeys::of(Some(ring), &self.read().await?) {
            Some(lacking) => Err(lacking.refusal("nothing is encrypted with these keys")),
            None => Ok(()),
        }
    }

    /// Records the keys of sealed values before the values are written. Sends no request if the keys are known to be
    /// recorded. A process that lacks a key in use writes nothing encrypted. Other processes may record keys at the
    /// same time.
    ///
    /// # Errors
    /// [`Incompatible`](ErrorKind::Incompatible) if the ring lacks a key in use, and those of [`Control::create`].
    pub(crate) async fn before_writing(&self, encryption: &EncryptionService) -> Result<()> {
        let new = encryption.retain_unrecorded(&self.seen());
        if new.is_empty() {
            return Ok(());
        }
        let (ring, mut lacking) = (encryption.key_ring(), None);
        self.change(|keys| {
            lacking = LackingKeys::of(ring.as_deref(), keys);
            if lacking.is_none() {
                keys.extend(&new);
            }
        })
        .await?;
        match lacking {
            Some(lacking) => Err(lacking.refusal("nothing is encrypted with these keys")),
            None => {
                // The new keys are recorded now, so the service need not name them again.
                encryption.retain_unrecorded(&self.seen());
                new.iter().for_each(|key| tracing::info!(%key, "objects are encrypted with this key from now on"));
                Ok(())
            }
        }
    }

    fn seen(&self) -> MutexGuard<'_, BTreeSet<KeyId>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the ids by `change`, which is called again if another process changed them in the meantime. Writes
    /// nothing if there is no difference. Returns the ids after the change.
    ///
    /// # Errors
    /// Those of [`Control::create`].
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
                self.seen().clone_from(&after.keys);
                return Ok(after.keys);
            }
            let written = match read {
                None => self.control.create(Kind::Keys, ID, &after).await?,
                Some(read) => self.control.replace(Kind::Keys, ID, &after, read).await?,
            };
            if written.is_some() {
                self.seen().clone_from(&after.keys);
                return Ok(after.keys);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::InMemory;
    use crate::document::Attributes;
    use crate::encryption::{Descriptor, Secret};
    use crate::environment::Environment;

    fn ring(primary: char, others: &str) -> KeyRing {
        let secret = |name: char| format!("a key for tests only, called {name}: 0123456789").into();
        KeyRing::new(secret(primary), others.chars().map(secret).collect()).expect("fine keys")
    }

    fn keys() -> KeysInUse {
        KeysInUse::new(Arc::new(InMemory::new(Environment::system())), &Prefix::default())
    }

    /// Returns a service that has sealed something with its primary key.
    fn sealed(ring: KeyRing) -> EncryptionService {
        let service = EncryptionService::new(Some(ring), Environment::system());
        seal(&service);
        service
    }

    fn seal(service: &EncryptionService) {
        let types = crate::tokens::types().expect("built-in");
        let token = types.iter().find(|definition| definition.name() == "connector_token").expect("built-in");
        let descriptor = Descriptor { type_name: token.name(), namespace: None, id: "1" };
        let secrets = [("token".to_owned(), Secret::text("hidden"))].into();
        service.seal(&descriptor, token.encryption(), &mut Attributes::new(), &secrets).expect("sealed");
    }

    #[tokio::test]
    async fn a_key_is_recorded_once_it_has_sealed_something() {
        let keys = keys();
        let idle = EncryptionService::new(Some(ring('b', "")), Environment::system());
        keys.before_writing(&idle).await.expect("nothing was sealed");
        assert_eq!(keys.read().await.expect("read"), BTreeSet::new());
        keys.before_writing(&sealed(ring('a', ""))).await.expect("recorded");
        keys.before_writing(&sealed(ring('a', "b"))).await.expect("recorded");
        let a = ring('a', "").primary_key_id();
        assert_eq!(keys.read().await.expect("read"), BTreeSet::from([a]), "what only decrypts is not in use");
        let b = ring('b', "").primary_key_id();
        let what =
            format!("objects are encrypted with the key {a}, which this node does not have: its only key is {b}");
        let refused = keys.check(&ring('b', "")).await.expect_err("it lacks a key");
        assert_eq!(refused.kind(), ErrorKind::Incompatible);
        assert!(refused.message().ends_with(&what), "{refused}");
        let hint = refused.hint().unwrap_or_default();
        assert!(hint.contains("keys rotate") && hint.contains(&a.to_string()), "{hint}");
        let refused = keys.before_writing(&sealed(ring('b', ""))).await.expect_err("it lacks a key");
        assert!(refused.message().ends_with(&what), "{refused}");
        assert_eq!(keys.read().await.expect("read"), BTreeSet::from([a]), "a refused one is not recorded");
        keys.before_writing(&sealed(ring('b', "a"))).await.expect("recorded");
        assert_eq!(keys.read().await.expect("read"), BTreeSet::from([a, b]));
        assert!(LackingKeys::of(None, &BTreeSet::from([a])).is_some());
        assert_eq!(LackingKeys::of(None, &BTreeSet::new()), None);
    }

    #[tokio::test]
    async fn a_key_that_went_out_of_use_does_not_come_back() {
        let keys = keys();
        let (a, b) = (ring('a', "").primary_key_id(), ring('b', "").primary_key_id());
        let service = sealed(ring('a', ""));
        keys.before_writing(&service).await.expect("recorded");
        service.replace_key_ring(ring('b', "a"));
        seal(&service);
        keys.before_writing(&service).await.expect("recorded");
        assert_eq!(keys.read().await.expect("read"), BTreeSet::from([a, b]));
        keys.change(|keys| keys.retain(|key| *key != a)).await.expect("a rotation drops it");
        service.replace_key_ring(ring('b', ""));
        seal(&service);
        keys.before_writing(&service).await.expect("nothing is new");
        assert_eq!(keys.read().await.expect("read"), BTreeSet::from([b]));
    }

    #[tokio::test]
    async fn keys_that_are_recorded_at_the_same_time_are_all_kept() {
        let keys = keys();
        let services: Vec<EncryptionService> =
            "abcdefgh".chars().map(|name| sealed(ring(name, "abcdefgh".replace(name, "").as_str()))).collect();
        let nodes: Vec<KeysInUse> =
            services.iter().map(|_| KeysInUse { seen: Arc::default(), ..keys.clone() }).collect();
        let recording = nodes.iter().zip(&services).map(|(node, service)| node.before_writing(service));
        futures::future::join_all(recording).await;
        assert_eq!(keys.read().await.expect("read").len(), services.len());
    }
}
