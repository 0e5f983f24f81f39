//! Random registries and histories of model versions, in memory. Whatever a platform released, and whichever releases a
//! cluster has seen, a migration ends, loses nothing, and has nothing to do the second time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use saved_objects::cluster::Cluster;
use saved_objects::document::Attributes;
use saved_objects::encryption::Secret;
use saved_objects::migrate::{Migrator, Outcome};
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::repository::{Create, ObjectKey, Repository};
use saved_objects::{ErrorKind, SavedObjects, Start};
use serde_json::{Value, json};

use super::deployment::{Deployment, in_its_own_time};
use super::seed::{Named, seeds};
use crate::context::key_ring;

/// The number of attributes that a type may have next to its secret.
const FIELDS: usize = 5;
const CASES: u32 = 60;

/// One change of a release. A change that is not applicable at its turn is skipped.
#[derive(Debug, Clone, Copy)]
enum Step {
    Add(usize),
    Backfill(usize, u8),
    Remove(usize),
    Remap(usize),
    Bind(usize),
}

/// An object that a release wrote: its attributes, and whether it has a secret.
#[derive(Debug, Clone)]
struct Written {
    release: usize,
    fields: Vec<bool>,
    has_secret: bool,
}

#[derive(Debug, Clone)]
struct History {
    releases: Vec<Vec<Step>>,
    /// Which releases the cluster sees in addition to the newest.
    installed: Vec<bool>,
    objects: Vec<Written>,
}

fn histories() -> impl Strategy<Value = History> {
    let field = 0..FIELDS;
    let step = prop_oneof![
        3 => field.clone().prop_map(Step::Add),
        3 => (field.clone(), any::<u8>()).prop_map(|(field, value)| Step::Backfill(field, value)),
        1 => field.clone().prop_map(Step::Remove),
        1 => field.clone().prop_map(Step::Remap),
        1 => field.prop_map(Step::Bind),
    ];
    let object = (0..5_usize, vec(any::<bool>(), FIELDS), any::<bool>())
        .prop_map(|(release, fields, has_secret)| Written { release, fields, has_secret });
    (vec(vec(step, 0..4), 1..5), vec(any::<bool>(), 5), vec(object, 1..8))
        .prop_map(|(releases, installed, objects)| History { releases, installed, objects })
}

fn name(field: usize) -> String {
    format!("f{field}")
}

/// A type as it is at one release.
#[derive(Debug, Clone, Default)]
struct Shape {
    known: BTreeSet<usize>,
    removed: BTreeSet<usize>,
    mapped: BTreeMap<usize, &'static str>,
    bound: BTreeSet<usize>,
    versions: Vec<Value>,
}

impl Shape {
    fn searches(&self, field: usize) -> bool {
        self.known.contains(&field) && self.mapped.contains_key(&field)
    }

    fn release(&mut self, steps: &[Step]) {
        let mut changes = Vec::new();
        let mut newly_bound = Vec::new();
        let mut added = BTreeSet::new();
        for step in steps {
            match *step {
                Step::Add(field) if !self.known.contains(&field) && !self.removed.contains(&field) => {
                    self.known.insert(field);
                    added.insert(field);
                    self.mapped.insert(field, "keyword");
                    let properties = json!({name(field): {"type": "keyword"}});
                    changes.push(json!({"type": "mappings_addition", "properties": properties}));
                }
                Step::Backfill(field, value) if self.known.contains(&field) => {
                    changes.push(json!({"type": "data_backfill", "defaults": {name(field): format!("b{value}")}}));
                }
                Step::Remove(field) if self.known.contains(&field) && !self.bound.contains(&field) => {
                    self.known.remove(&field);
                    self.removed.insert(field);
                    changes.push(json!({"type": "data_removal", "paths": [name(field)]}));
                    if self.mapped.contains_key(&field) {
                        changes.push(json!({"type": "mappings_deprecation", "attributes": [name(field)]}));
                    }
                    // Neither this nor a later version may give a default for it.
                    changes.retain(|change| change["defaults"].get(name(field)).is_none());
                }
                // A field that the same release adds gets its final mapping there.
                Step::Remap(field) if self.searches(field) && !added.contains(&field) => {
                    let kind = if self.mapped[&field] == "text" { "keyword" } else { "text" };
                    self.mapped.insert(field, kind);
                    changes.push(json!({"type": "mappings_change", "attributes": [name(field)]}));
                }
                Step::Bind(field) if self.known.contains(&field) && self.bound.insert(field) => {
                    newly_bound.push(name(field));
                }
                _ => {}
            }
        }
        let mut properties: Value = json!({"password": {"type": "string"}});
        for field in &self.known {
            properties[name(*field)] = json!({"type": "string"});
        }
        let bound: Vec<String> = self.bound.iter().map(|field| name(*field)).collect();
        let waivers = match newly_bound.is_empty() || self.versions.is_empty() {
            true => json!([]),
            false => json!([{"rule": "two_releases", "attributes": newly_bound, "reason": "a random history"}]),
        };
        self.versions.push(json!({
            "changes": changes,
            "create": {"type": "object", "properties": properties, "additionalProperties": false},
            "forward": {"type": "object", "properties": properties},
            "encrypted": [{"name": "password", "exposed": false}], "bound": bound, "waivers": waivers,
        }));
    }

    fn definition(&self) -> TypeDefinition {
        let mapped: serde_json::Map<String, Value> =
            self.mapped.iter().map(|(field, kind)| (name(*field), json!({"type": kind}))).collect();
        let file = json!({"type": "thing", "group": "things", "namespace_kind": "agnostic", "hidden": false,
            "exportable": true, "random_id": false, "identity": null, "removed": false,
            "mapping": {"dynamic": false, "properties": mapped}});
        let version = |(index, version): (usize, &Value)| (format!("{}.json", index + 1), version.to_string());
        let versions: Vec<_> = self.versions.iter().enumerate().map(version).collect();
        TypeDefinition::from_json("thing.json", &file.to_string(), &versions).expect("the history obeys the rules")
    }
}

/// Returns the type as each release has it. The first release knows two attributes and searches one.
fn shapes(history: &History) -> Vec<Shape> {
    let mut shape =
        Shape { known: [0, 1].into(), mapped: [(0, "keyword")].into(), bound: [0].into(), ..Shape::default() };
    shape.release(&[]);
    let mut shapes = vec![shape.clone()];
    for steps in &history.releases {
        shape.release(steps);
        shapes.push(shape.clone());
    }
    shapes
}

pub(crate) fn any_history_of_versions_is_migrated() {
    // The ordinary run is always the same; the variable tries other seeds.
    for seed in seeds(0..1) {
        let _named = Named(seed);
        let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
        let outcome = runner.run(&histories(), |history| {
            in_its_own_time(live_through(&history));
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{error}"));
    }
}

fn registry(shape: &Shape) -> Registry {
    Registry::builder().with([shape.definition()]).build().expect("one type")
}

fn migrator(deployment: &Deployment, shape: &Shape) -> Migrator {
    deployment.migrator(deployment.cluster(), Arc::new(registry(shape)))
}

async fn repository(deployment: &Deployment, shape: &Shape) -> Repository {
    let builder =
        SavedObjects::builder(registry(shape)).cluster(deployment.cluster()).prefix(deployment.prefix.clone());
    let started = builder.key_ring(key_ring()).environment(deployment.environment.clone()).start(Start::Skip).await;
    started.expect("it starts").repository().clone()
}

async fn live_through(history: &History) {
    let (deployment, shapes) = (Deployment::new(), shapes(history));
    let newest = shapes.len() - 1;
    let mut stored: BTreeMap<String, (Attributes, bool)> = BTreeMap::new();
    for (release, shape) in shapes.iter().enumerate() {
        if release != newest && !history.installed[release] {
            continue;
        }
        migrate_twice(&deployment, shape).await;
        let repository = repository(&deployment, shape).await;
        for (number, object) in history.objects.iter().enumerate().filter(|(_, object)| object.release == release) {
            let has = |field: &&usize| object.fields[**field];
            let attributes: Attributes =
                shape.known.iter().filter(has).map(|field| (name(*field), json!(format!("v{number}")))).collect();
            let id = number.to_string();
            let create = Create::new("thing", attributes.clone()).id(&id);
            let create = if object.has_secret { create.secret("password", Secret::text(&id)) } else { create };
            repository.create(create).await.expect("created");
            let mut expected = attributes;
            let (definition, registry) = (shapes[newest].definition(), registry(&shapes[newest]));
            let from = u32::try_from(release + 1).expect("few releases");
            definition.upgrade(registry.transforms(), from, &mut expected).expect("no transform refuses it");
            stored.insert(id, (expected, object.has_secret));
        }
    }
    // What the newest release wrote after its migration is stored too.
    check_all(&deployment, &shapes[newest], &stored).await;
    for older in &shapes[..newest] {
        look_back(&deployment, older, &stored).await;
    }
    assert_eq!(deployment.memory().open_points_in_time(), 0, "points in time are left open");
}

async fn migrate_twice(deployment: &Deployment, shape: &Shape) {
    let first = migrator(deployment, shape).migrate().await;
    assert!(matches!(first.outcome, Outcome::Migrated | Outcome::NothingToDo), "{first:#?}");
    let writes = deployment.memory().requests().writes;
    let second = migrator(deployment, shape).migrate().await;
    assert_eq!(second.outcome, Outcome::NothingToDo, "{second:#?}");
    assert_eq!(deployment.memory().requests().writes, writes, "a second run writes nothing");
}

async fn check_all(deployment: &Deployment, shape: &Shape, stored: &BTreeMap<String, (Attributes, bool)>) {
    let repository = repository(deployment, shape).await;
    for (id, (expected, has_secret)) in stored {
        let (found, secrets) = repository.get_with_secrets(&ObjectKey::new("thing", id)).await.expect("not lost");
        assert_eq!(&found.attributes, expected, "object {id}");
        assert_eq!(secrets.get("password"), has_secret.then(|| Secret::text(id)).as_ref(), "the secret of {id}");
    }
}

/// An older release writes nothing at its start. It reads the documents that it understands, and reports the others.
async fn look_back(deployment: &Deployment, older: &Shape, stored: &BTreeMap<String, (Attributes, bool)>) {
    let writes = deployment.memory().requests().writes;
    let report = migrator(deployment, older).migrate().await;
    assert!(matches!(report.outcome, Outcome::NothingToDo | Outcome::Blocked), "{report:#?}");
    assert_eq!(deployment.memory().requests().writes, writes, "an older release writes nothing at its start");
    let repository = repository(deployment, older).await;
    let known: BTreeSet<String> = older.known.iter().map(|field| name(*field)).collect();
    for (id, (newest, _)) in stored {
        match repository.get(&ObjectKey::new("thing", id)).await {
            Ok(found) => {
                let understood = newest.iter().filter(|(name, _)| known.contains(*name));
                let understood: Attributes = understood.map(|(name, value)| (name.clone(), value.clone())).collect();
                assert_eq!(found.attributes, understood, "object {id}, read by an older release");
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Incompatible, "object {id}: {error}"),
        }
    }
}
