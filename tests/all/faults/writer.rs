//! A writer that works while others migrate, and what must be stored in the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use saved_objects::encryption::{Secret, Secrets};
use saved_objects::repository::{Create, Draft, ObjectKey, Repository};
use saved_objects::{ErrorKind, Start};
use serde_json::json;

use super::deployment::Deployment;
use super::seed::Dice;
use crate::migration::object;

/// The answers that the writer got, and what must therefore be stored.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The owner of each vault; `None` if it is deleted.
    owners: BTreeMap<String, Option<String>>,
    /// What writes with an unknown outcome would have left of each vault, since the last write that was answered. `None`
    /// if the server always answers.
    perhaps: Option<BTreeMap<String, Vec<Option<String>>>>,
    /// The number of writes that were answered as done.
    pub(super) done: u64,
    /// The number of refused writes, by the kind of their error.
    pub(super) refused: BTreeMap<String, u64>,
}

impl Ledger {
    /// Returns the ledger of what release 1 has written.
    pub(super) fn of_release_1() -> Self {
        Self {
            owners: (0..5).map(|number| (format!("v{number}"), Some("kim".to_owned()))).collect(),
            ..Self::default()
        }
    }

    /// Lets the server stop between a write and its answer.
    pub(super) fn without_some_answers(self) -> Self {
        Self { perhaps: Some(BTreeMap::new()), ..self }
    }
}

/// Updates, deletes and creates vaults continuously. No other process changes their owners.
#[derive(Debug)]
pub(super) struct Writer {
    /// The nodes that it writes through, in turn.
    pub(super) nodes: Vec<Repository>,
    pub(super) dice: Dice,
    pub(super) ledger: Arc<Mutex<Ledger>>,
}

impl Writer {
    /// Writes until `others` have ended, and returns their outcome.
    pub(super) async fn while_running<T>(self, others: impl Future<Output = T>) -> T {
        let is_over = AtomicBool::new(false);
        let others = async {
            let ended = others.await;
            is_over.store(true, Ordering::Relaxed);
            ended
        };
        // Waits for the last write: dropped, its outcome would be unknown.
        futures::future::join(others, self.run(&is_over)).await.0
    }

    async fn run(self, is_over: &AtomicBool) {
        for step in 0_u64.. {
            if is_over.load(Ordering::Relaxed) {
                return;
            }
            let node = &self.nodes[self.dice.below(self.nodes.len() as u64) as usize];
            let id = format!("v{}", self.dice.below(8));
            let key = ObjectKey::new("vault", &id);
            let owner = format!("w{step}");
            let known = self.ledger.lock().expect("not poisoned").owners.get(&id).cloned().flatten();
            let (answer, now) = match (&known, self.dice.happens(15)) {
                (None, _) => {
                    let vault = Create::new("vault", object(json!({"title": id, "owner": owner}))).id(&id);
                    let created = node.create(vault.secret("password", Secret::text("hidden"))).await.map(drop);
                    (created, Some(owner))
                }
                (Some(_), true) => (node.delete(&key).await, None),
                (Some(_), false) => {
                    let change = |draft: &mut Draft| {
                        draft.attributes.insert("owner".to_owned(), owner.as_str().into());
                        Ok(())
                    };
                    (node.update(&key, change).await.map(drop), Some(owner.clone()))
                }
            };
            let mut ledger = self.ledger.lock().expect("not poisoned");
            match answer {
                Ok(()) => {
                    ledger.perhaps.iter_mut().for_each(|perhaps| drop(perhaps.remove(&id)));
                    ledger.owners.insert(id, now);
                    ledger.done += 1;
                }
                Err(error) => {
                    // Refused for now: a block, a generation that is gone, a newer document. The write must not be half
                    // done.
                    let passing =
                        [ErrorKind::Forbidden, ErrorKind::NotFound, ErrorKind::Conflict, ErrorKind::Incompatible];
                    match (error.kind(), &mut ledger.perhaps) {
                        (ErrorKind::OutcomeUnknown, Some(perhaps)) => perhaps.entry(id).or_default().push(now),
                        (ErrorKind::Unavailable, Some(_)) => {}
                        (kind, _) => assert!(passing.contains(&kind), "{error}"),
                    }
                    *ledger.refused.entry(format!("{:?}", error.kind())).or_default() += 1;
                }
            }
        }
    }
}

/// Asserts that no update is lost, and that no deleted object exists again.
pub(super) async fn check_objects(deployment: &Deployment, ledger: &Ledger, target: u32) {
    let repository = deployment.repository(deployment.cluster(), target, Start::Skip).await;
    for (id, owner) in &ledger.owners {
        let found = repository.get_with_secrets_opt(&ObjectKey::new("vault", id)).await.expect("readable");
        let stored = found.as_ref().map(|(vault, _)| vault.attributes["owner"].as_str().expect("a text").to_owned());
        let perhaps =
            ledger.perhaps.as_ref().and_then(|perhaps| perhaps.get(id)).is_some_and(|all| all.contains(&stored));
        assert!(stored == *owner || perhaps, "the owner of {id} is {stored:?}: {ledger:?}");
        if let Some((_, secrets)) = found.filter(|_| id != "v0") {
            assert_eq!(secrets, Secrets::from([("password".to_owned(), Secret::text("hidden"))]), "of {id}");
        }
    }
}

/// Asserts that every document is readable and at the newest version, and that nothing of the copies is left.
pub(super) async fn check_documents(deployment: &Deployment, target: u32) {
    let stored = deployment.stored().await;
    assert_eq!(stored.unreadable, 0, "{stored:?}");
    assert!(stored.indices.keys().all(|name| !name.contains("-fill-")), "{stored:?}");
    for found in stored.documents.iter().flat_map(|index| &index.types) {
        let newest = match found.type_name.as_str() {
            "relic" => 1,
            "connector_token" => target.min(2),
            _ => target,
        };
        assert!(found.by_version.keys().all(|version| *version == newest.to_string()), "{found:?}");
    }
}
