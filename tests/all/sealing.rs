//! Readable secrets stay readable, whatever versions bind and whatever is written, migrated and rotated.

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use saved_objects::document::Attributes;
use saved_objects::encryption::{KeyRing, Secret};
use saved_objects::internals::Engine;
use saved_objects::migrate::{Migrator, Outcome, Way};
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::repository::{Create, Draft, ObjectKey, Repository, SecretChange};
use saved_objects::rotation::KeyRotation;
use saved_objects::verify::Verifier;
use saved_objects::{ErrorKind, SavedObjects, Start};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::context::{Context, MEMORY};
use crate::faults::seed::{Dice, Named, seeds};
use crate::migration::object;
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        an_update_seals_anew_what_an_earlier_version_bound,
        a_migration_seals_anew_what_an_earlier_version_bound,
        a_secret_under_the_name_of_a_bound_attribute_breaks_no_other,
        what_was_readable_stays_readable,
    )
}

/// A release: what it binds, whether it exposes `t`, and the changes of its model version.
#[derive(Debug, Clone)]
struct Release {
    bound: Vec<&'static str>,
    exposes: bool,
    changes: Value,
}

const CLEAR: [&str; 3] = ["a", "b", "c"];
const SECRETS: [&str; 2] = ["s", "t"];

fn binding(bound: &[&'static str], changes: Value) -> Release {
    Release { bound: bound.to_vec(), exposes: false, changes }
}

fn backfill(name: &str) -> Value {
    json!([{"type": "data_backfill", "defaults": {name: "filled in"}}])
}

/// Returns a version of papers, which have three clear attributes and two secrets at every version.
fn version(release: &Release) -> Value {
    let texts = |names: &[&str]| -> Value {
        names
            .iter()
            .map(|name| ((*name).to_owned(), json!({"type": "string"})))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let properties = texts(&[&CLEAR[..], &SECRETS[..]].concat());
    json!({
        "create": {"type": "object", "properties": properties, "additionalProperties": false},
        "forward": {"type": "object", "properties": properties},
        "encrypted": [{"name": "s"}, {"name": "t", "exposed": release.exposes}],
        "bound": release.bound, "changes": release.changes,
    })
}

fn paper(versions: &[Value]) -> TypeDefinition {
    let file = json!({
        "type": "paper", "group": "papers", "namespace_kind": "agnostic", "random_id": false,
        "mapping": {"dynamic": false, "properties": {}},
    });
    let versions: Vec<_> = (1..).zip(versions).map(|(n, version)| (format!("{n}.json"), version.to_string())).collect();
    TypeDefinition::from_json("paper.json", &file.to_string(), &versions).expect("a valid definition")
}

/// The software of each release on one store, and its keys.
struct Platform {
    context: Context,
    versions: Vec<Value>,
    keys: Vec<String>,
}

impl Platform {
    fn new(context: &Context, versions: Vec<Value>) -> Self {
        Self { context: context.clone(), versions, keys: vec!["the first key for papers: 0123456789abcdef".to_owned()] }
    }

    fn of(context: &Context, releases: &[Release]) -> Self {
        Self::new(context, releases.iter().map(version).collect())
    }

    fn registry(&self, release: usize) -> Registry {
        let touch = |attributes: &mut saved_objects::document::Attributes| {
            if let Some(value) = attributes.get_mut("a") {
                *value = json!("touched");
            }
            Ok(())
        };
        let builder = Registry::builder().with([paper(&self.versions[..release])]).transform("touch", touch);
        builder.build().expect("the type is fine")
    }

    fn ring(&self) -> KeyRing {
        let mut keys = self.keys.iter().rev().map(|key| SecretString::from(key.as_str()));
        KeyRing::new(keys.next().expect("a key"), keys.collect()).expect("fine keys")
    }

    fn engine(&self, release: usize) -> Engine {
        self.context.engine(self.registry(release), self.ring())
    }

    async fn node(&self, release: usize, start: Start) -> Repository {
        let builder = SavedObjects::builder(self.registry(release)).prefix(self.context.prefix.clone());
        let builder = builder.key_ring(self.ring()).cluster(self.context.cluster());
        builder.start(start).await.expect("the store starts").repository().clone()
    }

    async fn migrate(&self, release: usize) -> Outcome {
        let report = Migrator::new(&self.engine(release)).migrate().await;
        assert!(matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo), "{report:?}");
        assert!(report.indices.iter().all(|index| index.way != Way::Copy), "{report:?}");
        report.outcome
    }

    /// Encrypts everything with a new key.
    async fn rotate(&mut self, release: usize) {
        self.keys.push(format!("the key number {} for papers: 0123456789abcdef", self.keys.len()));
        let report = KeyRotation::new(&self.engine(release)).rotate().await.expect("it ends");
        assert!(report.not_rotated.is_empty(), "{report:?}");
    }

    async fn unreadable(&self, release: usize) -> Vec<(String, Option<String>)> {
        let verifier = Verifier::new(&self.engine(release));
        let report = verifier.expect("it has keys").verify().await.expect("everything can be reached");
        report.unreadable.into_iter().map(|one| (one.id, one.attribute)).collect()
    }

    async fn stored(&self, id: &str) -> Value {
        self.context.stored("papers", &format!("paper:{id}")).await
    }
}

fn key(id: &str) -> ObjectKey {
    ObjectKey::new("paper", id)
}

async fn secret(repository: &Repository, name: &str) -> Option<Secret> {
    repository.get_with_secrets(&key("1")).await.expect("it is readable").1.remove(name)
}

/// Creates a paper without `b`, which the first release binds, and migrates it to the second release, which does not
/// bind it.
async fn migrated(context: &Context, third: Release) -> Platform {
    let releases = [binding(&["a", "b"], json!([])), binding(&["a"], json!([])), third];
    let platform = Platform::of(context, &releases);
    let first = platform.node(1, Start::Migrate).await;
    let request = Create::new("paper", object(json!({"a": "x"}))).id("1").secret("s", Secret::text("hidden"));
    first.create(request).await.expect("created");
    let before = platform.stored("1").await;
    assert_eq!(platform.migrate(2).await, Outcome::Migrated);
    assert_eq!(platform.stored("1").await["paper"]["s"], before["paper"]["s"], "nothing of it changed: it is kept");
    platform
}

async fn an_update_seals_anew_what_an_earlier_version_bound(context: Context) {
    let platform = migrated(&context, binding(&["a"], json!([]))).await;
    let second = platform.node(2, Start::Skip).await;
    let before = platform.stored("1").await;
    let set = |name: &'static str| {
        move |draft: &mut Draft| {
            draft.attributes.insert(name.to_owned(), json!("added"));
            Ok(())
        }
    };
    second.update(key("1"), set("c")).await.expect("updated");
    assert_eq!(platform.stored("1").await["paper"]["s"], before["paper"]["s"], "no version binds it");
    second.update(key("1"), set("b")).await.expect("updated");
    assert_eq!(secret(&second, "s").await, Some(Secret::text("hidden")));
    assert_ne!(platform.stored("1").await["paper"]["s"], before["paper"]["s"]);
    assert_eq!(platform.unreadable(2).await, []);
}

async fn a_migration_seals_anew_what_an_earlier_version_bound(context: Context) {
    let platform = migrated(&context, binding(&["a"], backfill("b"))).await;
    let third = platform.node(3, Start::Skip).await;
    assert_eq!(secret(&third, "s").await, Some(Secret::text("hidden")), "before the migration");
    assert_eq!(platform.unreadable(3).await, []);
    assert_eq!(platform.migrate(3).await, Outcome::Migrated);
    assert_eq!(platform.stored("1").await["paper"]["b"], "filled in");
    assert_eq!(secret(&third, "s").await, Some(Secret::text("hidden")), "after it");
    assert_eq!(platform.unreadable(3).await, []);
}

async fn a_secret_under_the_name_of_a_bound_attribute_breaks_no_other(context: Context) {
    let mut versions: Vec<Value> = (0..3).map(|_| version(&binding(&["a"], json!([])))).collect();
    versions[0]["encrypted"] = json!([{"name": "s"}]);
    versions[0]["bound"] = json!(["a", "t"]);
    versions[1]["encrypted"] = json!([{"name": "s"}]);
    versions[1]["create"]["properties"].as_object_mut().expect("an object").remove("t");
    let platform = Platform::new(&context, versions);
    let first = platform.node(1, Start::Migrate).await;
    let request = Create::new("paper", object(json!({"a": "x"}))).id("1").secret("s", Secret::text("hidden"));
    first.create(request).await.expect("created");
    assert_eq!(platform.migrate(3).await, Outcome::Migrated);
    let third = platform.node(3, Start::Skip).await;
    let set = |draft: &mut Draft| {
        draft.secret("t", SecretChange::Set(Secret::text("another")));
        Ok(())
    };
    third.update(key("1"), set).await.expect("updated");
    assert_eq!(secret(&third, "s").await, Some(Secret::text("hidden")));
    assert_eq!(secret(&third, "t").await, Some(Secret::text("another")));
}

fn releases(dice: &Dice) -> Vec<Release> {
    let mut releases: Vec<Release> = Vec::new();
    for _ in 0..2 + dice.below(4) {
        let mut bound: Vec<&'static str> = CLEAR.into_iter().filter(|_| dice.happens(50)).collect();
        let mut exposes = dice.happens(20);
        if let Some(before) = releases.last().filter(|_| dice.happens(40)) {
            (bound, exposes) = (before.bound.clone(), before.exposes);
        }
        let name = CLEAR[dice.below(3) as usize];
        let changes = match dice.below(6) {
            0 | 1 => backfill(name),
            2 => json!([{"type": "data_removal", "paths": [name]}]),
            3 => json!([{"type": "transform", "name": "touch"}]),
            _ => json!([]),
        };
        releases.push(Release { bound, exposes, changes });
    }
    releases
}

/// The secrets that papers must have, by id.
type Papers = BTreeMap<String, BTreeMap<String, Secret>>;

/// What an update does with a name: nothing, or it sets this value, or it removes the value.
type Changes<T> = BTreeMap<&'static str, Option<T>>;

struct Writer<'a> {
    platform: &'a Platform,
    dice: &'a Dice,
    papers: Papers,
    written: u64,
}

impl Writer<'_> {
    fn secret(&mut self) -> Secret {
        self.written += 1;
        Secret::text(&format!("secret {}", self.written))
    }

    async fn create(&mut self, node: &Repository) {
        let clear = CLEAR.iter().filter(|_| self.dice.happens(50)).map(|name| ((*name).to_owned(), json!("created")));
        let id = self.papers.len().to_string();
        let mut request = Create::new("paper", clear.collect::<Attributes>()).id(&id);
        let mut secrets = BTreeMap::new();
        for name in SECRETS {
            if self.dice.happens(70) {
                let secret = self.secret();
                request = request.secret(name, secret.clone());
                secrets.insert(name.to_owned(), secret);
            }
        }
        node.create(request).await.expect("created");
        self.papers.insert(id, secrets);
    }

    /// Updates a paper by a node that may be of an older release.
    async fn update(&mut self, node: &Repository, is_newest: bool) {
        let Some(id) = self.papers.keys().nth(self.dice.below(self.papers.len().max(1) as u64) as usize).cloned()
        else {
            return;
        };
        let mut clear: Changes<Value> = Changes::new();
        for name in CLEAR.into_iter().filter(|_| self.dice.happens(30)) {
            clear.insert(name, self.dice.happens(60).then(|| json!("updated")));
        }
        let mut secrets: Changes<Secret> = Changes::new();
        for name in SECRETS.into_iter().filter(|_| self.dice.happens(20)) {
            let secret = if self.dice.happens(70) { Some(self.secret()) } else { None };
            secrets.insert(name, secret);
        }
        let change = |draft: &mut Draft| {
            for (name, value) in &clear {
                match value {
                    Some(value) => drop(draft.attributes.insert((*name).to_owned(), value.clone())),
                    None => drop(draft.attributes.remove(*name)),
                }
            }
            for (name, secret) in &secrets {
                draft.secret(*name, secret.clone().map_or(SecretChange::Remove, SecretChange::Set));
            }
            Ok(())
        };
        match node.update(key(&id), change).await {
            Ok(_) => {
                let paper = self.papers.get_mut(&id).expect("there");
                for (name, secret) in secrets {
                    match secret {
                        Some(secret) => drop(paper.insert(name.to_owned(), secret)),
                        None => drop(paper.remove(name)),
                    }
                }
            }
            Err(error) => assert!(!is_newest && error.kind() == ErrorKind::Incompatible, "{error:?}"),
        }
    }

    async fn check(&self, node: &Repository, what: &str, is_newest: bool) {
        for (id, expected) in &self.papers {
            match node.get_with_secrets(&key(id)).await {
                Ok((_, secrets)) => {
                    let secrets: BTreeMap<_, _> = secrets.into_iter().collect();
                    assert_eq!(secrets, *expected, "paper {id} after {what}: {}", self.platform.stored(id).await);
                }
                Err(error) => assert!(
                    !is_newest && error.kind() == ErrorKind::Incompatible,
                    "paper {id} after {what}: {error:?} {}",
                    self.platform.stored(id).await
                ),
            }
        }
    }
}

async fn what_was_readable_stays_readable(context: Context) {
    let usual = if context.url == MEMORY { 1..41 } else { 1..4 };
    for seed in seeds(usual) {
        let _named = Named(seed);
        let dice = Dice::new(seed);
        let releases = releases(&dice);
        let prefix = format!("{}-{seed}", context.prefix).parse().expect("a fine prefix");
        let mut platform = Platform::of(&Context { prefix, ..context.clone() }, &releases);
        let mut newest = 1;
        let mut nodes = vec![platform.node(1, Start::Migrate).await];
        let (mut papers, mut written) = (Papers::new(), 0);
        for step in 0..25 {
            let is_last = newest == releases.len();
            let what = match dice.below(10) {
                0 | 1 if papers.len() < 3 => "create",
                // A node of the next release may write before anything is migrated.
                2 if !is_last => "start",
                3 => "migrate",
                4 => "rotate",
                _ => "update",
            };
            match what {
                "start" => {
                    newest += 1;
                    nodes.push(platform.node(newest, Start::Skip).await);
                }
                "migrate" => drop(platform.migrate(newest).await),
                "rotate" => {
                    platform.rotate(newest).await;
                    for (release, node) in (1..).zip(&mut nodes) {
                        *node = platform.node(release, Start::Skip).await;
                    }
                }
                _ => {}
            }
            let mut writer = Writer { platform: &platform, dice: &dice, papers, written };
            let by = if dice.happens(70) { newest } else { 1 + dice.below(newest as u64) as usize };
            match what {
                "create" => writer.create(&nodes[newest - 1]).await,
                "update" => writer.update(&nodes[by - 1], by == newest).await,
                _ => {}
            }
            let told = format!("step {step}, {what} by release {by} of {newest}: {releases:?}");
            for (release, node) in (1..).zip(&nodes) {
                writer.check(node, &told, release == newest).await;
            }
            Writer { papers, written, .. } = writer;
        }
        assert_eq!(platform.unreadable(newest).await, [], "{releases:?}");
        platform.migrate(releases.len()).await;
        assert_eq!(platform.unreadable(releases.len()).await, [], "{releases:?}");
    }
}
