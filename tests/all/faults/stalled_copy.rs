//! A copy that is stopped (`kill -STOP`) while it fills its staging index, undone by a node of the older release, made
//! again by another process, and resumed (`kill -CONT`). Meanwhile users change every object through the older release:
//! every write that was answered as done must be stored in the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use futures::future::{join, join3};
use saved_objects::document::VersionToken;
use saved_objects::encryption::Secret;
use saved_objects::repository::{Create, ObjectKey, Repository};
use saved_objects::{Error, ErrorKind, Start};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::sync::{oneshot, watch};

use super::deployment::Deployment;
use super::processes::{definitions, deployment, migrate, outcome};
use super::seed::{Dice, Named, seeds};
use super::types::NEWEST;
use crate::context::Context;
use crate::kill::signal;
use crate::migration::object;
use crate::proxy::{Fault, Proxy, Seen};

/// The variable with the number of stopped copies.
const ROUNDS: &str = "SAVED_OBJECTS_TEST_STALLED_COPIES";
/// The variable with the number of objects of each copy.
const DOCUMENTS: &str = "SAVED_OBJECTS_TEST_STALLED_DOCUMENTS";
/// The number of rounds that run at the same time. For much of the time they wait for the lease of the stopped process.
const AT_ONCE: usize = 2;

fn number(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap_or_else(|error| panic!("{variable}: {error}")))
}

pub(super) async fn a_stalled_copy_loses_nothing_that_was_answered(context: Context) {
    let (rounds, documents) = (number(ROUNDS, 2), number(DOCUMENTS, 2_000));
    let rounds = seeds(1..rounds as u64 + 1).map(|seed| Round::run(&context, seed, documents));
    let started = Instant::now();
    let ledgers = futures::stream::iter(rounds).buffer_unordered(AT_ONCE).collect::<Vec<_>>().await;
    let sum = |figure: fn(&Ledger) -> u64| ledgers.iter().map(figure).sum::<u64>();
    println!(
        "{} rounds of {documents} objects: {} answered updates, {} answered deletions, none missing; {} refused, {} unknown; \
         {:.1?}",
        ledgers.len(),
        sum(|ledger| ledger.updated),
        sum(|ledger| ledger.deleted),
        sum(|ledger| ledger.refused.values().sum()),
        sum(|ledger| ledger.unknown),
        started.elapsed(),
    );
}

/// When something happens; at the latest when the process that copies again has ended.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Once the writer has tried to write this many pages.
    Pages(usize),
    /// Once the process that copies again has sent this many bulks to its staging index.
    Bulks(usize),
    /// Once it has sent this many requests.
    Requests(usize),
    Ended,
}

/// The progress of the writer and of the process that copies again.
#[derive(Debug, Default)]
struct Counts {
    pages: usize,
    bulks: usize,
    requests: usize,
    has_ended: bool,
}

impl Moment {
    fn drawn(dice: &Dice, documents: usize) -> Self {
        let below = |end: usize| dice.below(end as u64) as usize;
        match dice.below(8) {
            0 | 1 => Self::Pages(below(pages(documents) + 1)),
            2..6 => Self::Bulks(1 + below(bulks(documents))),
            6 => Self::Requests(1 + below(40)),
            _ => Self::Ended,
        }
    }

    fn has_come(self, counts: &Counts) -> bool {
        counts.has_ended
            || match self {
                Self::Pages(pages) => counts.pages >= pages,
                Self::Bulks(bulks) => counts.bulks >= bulks,
                Self::Requests(requests) => counts.requests >= requests,
                Self::Ended => false,
            }
    }
}

/// Returns how many objects the writer changes in one call.
fn page(documents: usize) -> usize {
    (documents / 20).clamp(1, 1_000)
}

fn pages(documents: usize) -> usize {
    documents.div_ceil(page(documents))
}

/// Returns the least number of bulks that fill a staging index: a page of a copy has a thousand documents at most, and
/// the first pages have fewer.
fn bulks(documents: usize) -> usize {
    documents / 1_000 + 2
}

fn is_fill_bulk(seen: &Seen) -> bool {
    seen.path.contains("-fill-") && seen.path.contains("/_bulk")
}

/// The random choices of a round.
#[derive(Debug)]
struct Drawn {
    /// The number of the bulk to the staging index at which the first process is stopped.
    stop: usize,
    /// What happens to that bulk.
    fault: Fault,
    /// How many pages the writer has tried when the second copy starts.
    again: Moment,
    /// When the first process resumes.
    resume: Moment,
    /// When that bulk lands, if it is late.
    land: Moment,
}

impl Drawn {
    fn of(seed: u64, documents: usize) -> Self {
        let dice = Dice::new(seed);
        Self {
            stop: dice.below(bulks(documents) as u64) as usize,
            fault: [Fault::None, Fault::LoseAnswer, Fault::Late(usize::MAX)][dice.below(3) as usize],
            again: Moment::Pages(dice.below(pages(documents) as u64 + 1) as usize),
            resume: Moment::drawn(&dice, documents),
            land: Moment::drawn(&dice, documents),
        }
    }
}

/// The round of one stopped copy.
struct Round<'a> {
    context: &'a Context,
    deployment: Deployment,
    types: TempDir,
    counts: watch::Sender<Counts>,
}

impl Round<'_> {
    async fn run(context: &Context, seed: u64, documents: usize) -> Ledger {
        let (_named, drawn) = (Named(seed), Drawn::of(seed, documents));
        let deployment = deployment(context, &seed.to_string()).await;
        let round = Round { context, deployment, types: definitions(NEWEST), counts: watch::Sender::default() };
        create(&round.deployment, documents).await;

        let (child, proxy) = round.stopped(drawn.stop, drawn.fault).await;
        let stopped = Instant::now();
        let node = round.deployment.repository(context.cluster(), 1, Start::Migrate).await;
        let undone = stopped.elapsed();
        let mut ledger = Ledger::of(documents);
        let is_over = AtomicBool::new(false);
        let processes = async {
            let first = async {
                round.wait(drawn.resume).await;
                signal("-CONT", child.id().expect("it was not waited for"));
                child.wait_with_output().await.expect("it ends")
            };
            let landing = async {
                round.wait(drawn.land).await;
                proxy.land_all().await;
            };
            let (first, again, ()) = join3(first, round.again(drawn.again), landing).await;
            is_over.store(true, Ordering::Relaxed);
            (first, again)
        };
        let (ended, ()) = join(processes, ledger.write(&node, &is_over, &round.counts)).await;
        for output in [&ended.0, &ended.1] {
            let is_well = ["migrated", "waited", "nothing_to_do"].contains(&outcome(output).as_str());
            assert!(is_well && output.status.success(), "{output:?}, {drawn:?}");
        }
        let ended = (outcome(&ended.0), outcome(&ended.1));
        let by_release_1 = ledger.updated;
        assert!(by_release_1 > 0, "the copy was undone, and users write: {ledger}");
        round.check_gates("both have ended").await;
        let newest = round.deployment.repository(context.cluster(), NEWEST, Start::Skip).await;
        ledger.write_rest(&newest).await;

        let output = migrate(&context.url, &round.deployment, &round.types).wait_with_output().await.expect("it ends");
        assert!(["migrated", "nothing_to_do"].contains(&outcome(&output).as_str()), "{output:?}");
        round.check_gates("one more start").await;
        let indices = context.cluster().indices(&[&format!("{}-*", round.deployment.prefix)]).await.expect("answered");
        assert!(indices.keys().all(|name| !name.contains("-fill-")), "{:?}", indices.keys());
        round.check_objects(&newest, &ledger).await;
        round.deployment.remove().await;
        println!(
            "seed {seed}: undone after {undone:.1?}, {by_release_1} updates by release 1, {ended:?}, {ledger}, {:.1?}, {drawn:?}",
            stopped.elapsed()
        );
        ledger
    }

    /// Starts a process that copies and is stopped, and the proxy that it uses.
    async fn stopped(&self, at: usize, fault: Fault) -> (Child, Proxy) {
        let (process, count) = (Arc::new(AtomicU32::new(0)), AtomicUsize::new(0));
        let (sender, hit) = oneshot::channel();
        let (for_rule, sender) = (process.clone(), Mutex::new(Some(sender)));
        let proxy = Proxy::start(&self.context.url, move |seen, _| {
            if !is_fill_bulk(seen) || count.fetch_add(1, Ordering::Relaxed) != at {
                return Fault::None;
            }
            signal("-STOP", for_rule.load(Ordering::Acquire));
            let sender = sender.lock().expect("not poisoned").take();
            let _ = sender.map(|sender| sender.send(()));
            fault
        })
        .await;
        let mut child = migrate(proxy.url(), &self.deployment, &self.types);
        process.store(child.id().expect("it was not waited for"), Ordering::Release);
        tokio::select! {
            hit = hit => hit.expect("the proxy tells"),
            ended = child.wait() => panic!("it ended before bulk {at}: {ended:?}, {:?}", proxy.seen()),
        }
        (child, proxy)
    }

    /// Copies again, by another process.
    async fn again(&self, start: Moment) -> Output {
        self.wait(start).await;
        let counts = self.counts.clone();
        let proxy = Proxy::start(&self.context.url, move |seen, _| {
            counts.send_modify(|counts| {
                counts.requests += 1;
                counts.bulks += usize::from(is_fill_bulk(seen));
            });
            Fault::None
        })
        .await;
        let output = migrate(proxy.url(), &self.deployment, &self.types).wait_with_output().await.expect("it ends");
        self.counts.send_modify(|counts| counts.has_ended = true);
        output
    }

    async fn wait(&self, moment: Moment) {
        let mut counts = self.counts.subscribe();
        // The sender is in `self`, so it cannot be dropped.
        drop(counts.wait_for(|counts| moment.has_come(counts)).await);
    }

    /// Asserts that the current index of each group takes writes, and that nothing of a copy is left at it.
    async fn check_gates(&self, when: &str) {
        for group in ["connectors", "vaults"] {
            let names = self.deployment.prefix.group(group);
            let current = self.context.cluster().indices(&[names.alias()]).await.expect("answered");
            assert_eq!(current.len(), 1, "{when}: {current:#?}");
            for (name, state) in &current {
                let generation = names.generation(name).expect("it is a generation");
                let plain = [names.alias().to_owned(), names.write_alias(generation)];
                assert!(!state.write_blocked, "{when}: {name} is blocked");
                assert!(state.aliases.keys().eq(&plain), "{when}: {:?}", state.aliases.keys());
            }
        }
    }

    /// Asserts that every answered write is stored, and that deleted objects stay deleted.
    async fn check_objects(&self, newest: &Repository, ledger: &Ledger) {
        let names = self.deployment.prefix.group("vaults");
        let current = self.context.cluster().indices(&[names.alias()]).await.expect("answered");
        let current = current.keys().find_map(|name| names.generation(name));
        let keys: Vec<_> = (0..ledger.answered.len()).map(key).collect();
        let (mut missing, mut revived, mut found) = (Vec::new(), Vec::new(), 5);
        for ((key, answered), stored) in keys.iter().zip(&ledger.answered).zip(newest.get_many(&keys).await) {
            let stored = match stored {
                Ok(stored) => Some(stored),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NotFound, "{key}: {error}");
                    None
                }
            };
            found += u64::from(stored.is_some());
            let owner = stored.as_ref().and_then(|stored| stored.attributes["owner"].as_str());
            match (&answered.is_deleted, owner) {
                (Some(true), None) | (None, None) => {}
                (Some(true), Some(_)) => revived.push(&key.id),
                (_, Some(owner))
                    if owner == answered.owner || answered.unknown.iter().any(|unknown| unknown == owner) => {}
                (_, owner) => missing.push((&key.id, &answered.owner, owner.map(str::to_owned))),
            }
            // A version of another generation cannot be compared with this one.
            if let (Some(version), Some(stored)) = (answered.version.filter(|_| answered.unknown.is_empty()), &stored)
                && Some(generation(version)) == current
            {
                assert_eq!(stored.version, version, "of {key}");
            }
        }
        let first = missing.iter().take(5).collect::<Vec<_>>();
        assert!(missing.is_empty(), "{} of {} answered updates are missing: {first:?}", missing.len(), ledger.updated);
        assert!(revived.is_empty(), "{} deleted objects are back: {revived:?}", revived.len());

        self.deployment.cluster().refresh(names.alias()).await.expect("refreshed");
        let report = self.deployment.verifier().verify().await.expect("everything can be reached");
        assert!(report.ok, "{report:#?}");
        let vaults = report.indices.iter().flat_map(|index| &index.types).find(|found| found.type_name == "vault");
        assert_eq!(vaults.map(|vaults| vaults.documents), Some(found), "{report:#?}");
    }
}

fn key(number: usize) -> ObjectKey {
    ObjectKey::new("vault", format!("s{number}"))
}

/// Returns the generation that a version belongs to.
fn generation(version: VersionToken) -> u32 {
    let bytes = STANDARD.decode(version.to_string()).expect("base64");
    let (_, _, generation): (u64, u64, u32) = serde_json::from_slice(&bytes).expect("three numbers");
    generation
}

/// Writes the objects that are copied. Every tenth has a secret.
async fn create(deployment: &Deployment, documents: usize) {
    let node = deployment.repository(deployment.cluster(), 1, Start::Skip).await;
    let vaults = (0..documents).map(|number| {
        let vault = Create::new("vault", object(json!({"title": format!("t{number}"), "owner": "kim"})));
        let vault = vault.id(key(number).id);
        if number % 10 == 0 { vault.secret("password", Secret::text("hidden")) } else { vault }
    });
    for created in node.create_many(vaults).await {
        created.expect("created");
    }
}

/// What the answers say of one object.
#[derive(Debug)]
struct Answered {
    /// The owner of the last answered update.
    owner: String,
    /// The version of that update.
    version: Option<VersionToken>,
    /// The owners of later updates whose outcome is unknown.
    unknown: Vec<String>,
    /// `None` if the outcome of its deletion is unknown.
    is_deleted: Option<bool>,
}

/// The answers of all objects, and the writes that are left.
#[derive(Debug)]
struct Ledger {
    answered: Vec<Answered>,
    /// The objects of each page that is left to write.
    waiting: VecDeque<Vec<usize>>,
    versions: BTreeSet<String>,
    attempts: u64,
    updated: u64,
    deleted: u64,
    unknown: u64,
    /// The number of refused writes, by the kind of the error.
    refused: BTreeMap<String, u64>,
}

impl Ledger {
    fn of(documents: usize) -> Self {
        let answered =
            |_| Answered { owner: "kim".to_owned(), version: None, unknown: Vec::new(), is_deleted: Some(false) };
        let numbers: Vec<_> = (0..documents).collect();
        Self {
            answered: (0..documents).map(answered).collect(),
            waiting: numbers.chunks(page(documents)).map(<[usize]>::to_vec).collect(),
            versions: BTreeSet::new(),
            attempts: 0,
            updated: 0,
            deleted: 0,
            unknown: 0,
            refused: BTreeMap::new(),
        }
    }

    /// Writes until everything is answered, or the processes have ended.
    async fn write(&mut self, node: &Repository, is_over: &AtomicBool, counts: &watch::Sender<Counts>) {
        while !is_over.load(Ordering::Relaxed)
            && let Some(numbers) = self.waiting.pop_front()
        {
            let refused = self.write_page(node, &numbers).await;
            if !refused.is_empty() {
                self.waiting.push_back(refused);
            }
            counts.send_modify(|counts| counts.pages += 1);
        }
    }

    /// Writes what was refused, when nothing blocks writes any more.
    async fn write_rest(&mut self, node: &Repository) {
        while let Some(numbers) = self.waiting.pop_front() {
            let refused = self.write_page(node, &numbers).await;
            assert!(refused.is_empty(), "{} writes are refused after all has ended: {self}", refused.len());
        }
    }

    /// Deletes one object of fifty, and updates the others. Returns the refused ones.
    async fn write_page(&mut self, node: &Repository, numbers: &[usize]) -> Vec<usize> {
        self.attempts += 1;
        let (doomed, others): (Vec<usize>, Vec<usize>) = numbers.iter().partition(|&number| number % 50 == 7);
        let owner = |key: &ObjectKey| format!("w{}-{}", self.attempts, key.id);
        let keys: Vec<_> = others.into_iter().map(|number| (number, key(number))).collect();
        let updating = node.update_many(keys.iter().map(|(_, key)| key), |key, draft| {
            draft.attributes.insert("owner".to_owned(), owner(key).into());
            Ok(())
        });
        let updated = updating.await;
        let owners: Vec<_> = keys.iter().map(|(_, key)| owner(key)).collect();
        let mut refused = Vec::new();
        for (((number, key), owner), answer) in keys.into_iter().zip(owners).zip(updated) {
            let answered = &mut self.answered[number];
            match answer {
                Ok(object) => {
                    let version = object.version;
                    assert!(self.versions.insert(version.to_string()), "{key}: another write has version {version}");
                    let is_deleted = answered.is_deleted;
                    *answered = Answered { owner, version: Some(version), unknown: Vec::new(), is_deleted };
                    self.updated += 1;
                }
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                    answered.unknown.push(owner);
                    self.unknown += 1;
                }
                Err(error) => {
                    self.refuse(&error);
                    refused.push(number);
                }
            }
        }
        let keys: Vec<_> = doomed.iter().map(|&number| key(number)).collect();
        for (number, answer) in doomed.into_iter().zip(node.delete_many(&keys).await) {
            match answer {
                Ok(()) => {
                    self.answered[number].is_deleted = Some(true);
                    self.deleted += 1;
                }
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {
                    self.answered[number].is_deleted = None;
                    self.unknown += 1;
                }
                Err(error) => {
                    self.refuse(&error);
                    refused.push(number);
                }
            }
        }
        refused
    }

    /// Counts a refusal: a closed gate, a generation that is gone, a newer document. The write must not be half done.
    fn refuse(&mut self, error: &Error) {
        let passing = [ErrorKind::Forbidden, ErrorKind::NotFound, ErrorKind::Conflict, ErrorKind::Incompatible];
        assert!(passing.contains(&error.kind()), "{error}");
        *self.refused.entry(format!("{:?}", error.kind())).or_default() += 1;
    }
}

impl std::fmt::Display for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { updated, deleted, unknown, refused, .. } = self;
        write!(f, "{updated} updated, {deleted} deleted, {unknown} unknown, refused: {refused:?}")
    }
}
