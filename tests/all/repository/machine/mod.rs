//! Random operations of several clients on random namespaces. Each answer, and after each step everything that is
//! stored, is compared with a simple model.

mod model;
mod operations;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use libtest_mimic::Trial;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use saved_objects::document::{Namespace, Reference, VersionToken};
use saved_objects::encryption::Secret;
use saved_objects::repository::{
    ChangeNamespaces, CollectReferences, CollectedState, Create, Delete, DeleteNamespace, Draft, Export, Filter, Find,
    Import, Increment, ObjectKey, OnConflict, Replace, Repository, Swept, Update,
};
use saved_objects::{Error, ErrorKind, Result, SavedObject, Start};
use serde_json::json;
use tokio::runtime::Handle;

use super::{object, store_of, types};
use crate::context::{Context, MEMORY};
use crate::faults::seed::{Named, seeds};
use crate::named_trials;
use model::{CLIENTS, Collected, Expected, Item, Model, State, Stored};
use operations::{Change, Key, New, Operation, Step, Target, Wanted};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, random_operations_do_as_the_model_says)
}

async fn random_operations_do_as_the_model_says(context: Context) {
    // On the server each case needs its own index, and each step takes time.
    let (seeds, cases, steps) = if context.url == MEMORY { (seeds(1..5), 40, 5..50) } else { (seeds(1..3), 2, 20..40) };
    let handle = Handle::current();
    let running = tokio::task::spawn_blocking(move || {
        for seed in seeds {
            let _named = Named(seed);
            SETUP.set(Some(Setup { context: context.clone(), handle: handle.clone() }));
            let config = Config { cases, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&seed.to_le_bytes());
            let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
            let mut runner = TestRunner::new_with_rng(config.clone(), random);
            let run = |(model, steps, seen)| {
                Clients::test_sequential(config.clone(), model, steps, seen);
                Ok(())
            };
            runner.run(&Model::sequential_strategy(steps.clone()), run).unwrap_or_else(|failure| panic!("{failure}"));
        }
    });
    running.await.expect("no case fails");
}

/// Where the cases of this thread run.
#[derive(Clone)]
struct Setup {
    context: Context,
    handle: Handle,
}

thread_local! {
    static SETUP: RefCell<Option<Setup>> = const { RefCell::new(None) };
}

/// Several clients of one store, each of which remembers the versions that it read.
struct Clients {
    setup: Setup,
    repositories: Vec<Repository>,
    known: BTreeMap<(usize, String), VersionToken>,
}

impl StateMachineTest for Clients {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_model: &Model) -> Self {
        static CASES: AtomicU64 = AtomicU64::new(0);
        let mut setup = SETUP.with_borrow(Clone::clone).expect("the thread has a setup");
        let case = CASES.fetch_add(1, Ordering::Relaxed);
        let context = &mut setup.context;
        context.prefix = format!("{}-{case}", context.prefix).parse().expect("a fine prefix");
        if context.memory.is_some() {
            *context = Context { prefix: context.prefix.clone(), ..Context::new(MEMORY, "machine") };
        }
        let repositories = setup.handle.block_on(async {
            let mut repositories = Vec::new();
            for _ in 0..CLIENTS {
                repositories.push(
                    store_of(&setup.context, types::all_exportable(), Start::Migrate).await.0.repository().clone(),
                );
            }
            repositories
        });
        Self { setup, repositories, known: BTreeMap::new() }
    }

    fn apply(mut clients: Self, model: &Model, step: Step) -> Self {
        let handle = clients.setup.handle.clone();
        handle.block_on(clients.do_step(model, step));
        clients
    }

    /// Asserts that everything that should exist does exist, with the right content.
    fn check_invariants(clients: &Self, model: &Model) {
        let expected: Vec<_> = model.objects.values().collect();
        let keys: Vec<ObjectKey> = expected
            .iter()
            .map(|stored| {
                let namespace = stored.namespaces.iter().find(|name| *name != "*").map_or("default", String::as_str);
                ObjectKey::new(stored.key.type_name, stored.key.id).in_namespace(namespace_of(namespace))
            })
            .collect();
        let found = clients.setup.handle.block_on(clients.repositories[0].get_many(&keys));
        for (stored, found) in expected.into_iter().zip(found) {
            assert_same(&Ok(Some(stored.clone())), &found.map(Some));
        }
    }

    /// Asserts that nothing else exists.
    fn teardown(clients: Self, model: Model) {
        let documents = clients.setup.handle.block_on(clients.setup.context.documents("things"));
        assert_eq!(documents, model.objects.len() as u64, "documents stored");
    }
}

fn namespace_of(name: &str) -> Namespace {
    Namespace::new(name).expect("a name")
}

fn key_of(key: &Key) -> ObjectKey {
    ObjectKey::new(key.type_name, key.id).in_namespace(namespace_of(key.namespace))
}

fn creation(new: &New) -> Create {
    let references = new.refers_to.iter().map(|key| Reference {
        name: "it".to_owned(),
        type_name: key.type_name.to_owned(),
        id: key.id.to_owned(),
    });
    let request = Create::new(new.key.type_name, object(json!({"title": new.title, "count": 0})))
        .id(new.key.id)
        .namespace(namespace_of(new.key.namespace))
        .references(references.collect());
    let request = new.origin.into_iter().fold(request, Create::origin_id);
    let request = if new.key.type_name == "note" { request } else { request.secret("secret", Secret::text("s")) };
    if new.overwrite { request.overwrite() } else { request }
}

fn changing(change: &Change) -> impl Fn(&mut Draft) -> Result<()> {
    move |draft| {
        match change {
            Change::Count => {
                let count = draft.attributes["count"].as_u64().expect("a number");
                draft.attributes.insert("count".into(), (count + 1).into());
            }
            Change::Title(title) => drop(draft.attributes.insert("title".into(), title.as_str().into())),
            Change::Refuse => return Err(Error::invalid("not this one", "choose another")),
        }
        Ok(())
    }
}

type Answer = Result<Option<SavedObject>>;

impl Clients {
    /// Returns the version for the client's call, if the client knows one.
    fn version(&self, client: usize, (key, versioned): &Target) -> Option<VersionToken> {
        self.known.get(&(client, key.raw())).copied().filter(|_| *versioned)
    }

    fn update(&self, client: usize, target: &Target) -> Update {
        self.version(client, target).into_iter().fold(Update::new(key_of(&target.0)), Update::version)
    }

    fn deletion(&self, client: usize, target: &Target, force: bool) -> Delete {
        let request = Delete::new(key_of(&target.0));
        let request = self.version(client, target).into_iter().fold(request, Delete::version);
        if force { request.force() } else { request }
    }

    async fn do_step(&mut self, model: &Model, (client, operation): Step) {
        let repository = self.repositories[client].clone();
        let gone = |answers: Vec<Result<()>>| answers.into_iter().map(|answer| answer.map(|()| None)).collect();
        let there = |answers: Vec<Result<SavedObject>>| answers.into_iter().map(|answer| answer.map(Some)).collect();
        let one = |answer: Result<SavedObject>| vec![answer.map(Some)];
        let (keys, answers): (Vec<Key>, Vec<Answer>) = match &operation {
            Operation::Create(new) => (vec![new.key.clone()], one(repository.create(creation(new)).await)),
            Operation::CreateMany(all) => (
                all.iter().map(|new| new.key.clone()).collect(),
                there(repository.create_many(all.iter().map(creation)).await),
            ),
            Operation::Get(key) => (vec![key.clone()], one(repository.get(&key_of(key)).await)),
            Operation::GetMany(keys) => {
                let asked: Vec<_> = keys.iter().map(key_of).collect();
                (keys.clone(), there(repository.get_many(&asked).await))
            }
            Operation::Update(target, change) => {
                let request = self.update(client, target);
                (vec![target.0.clone()], one(repository.update(request, changing(change)).await))
            }
            Operation::UpdateMany(targets, change) => {
                let requests: Vec<_> = targets.iter().map(|target| self.update(client, target)).collect();
                let change = changing(change);
                let answers = repository.update_many(requests, |_, draft| change(draft)).await;
                (targets.iter().map(|target| target.0.clone()).collect(), there(answers))
            }
            Operation::Upsert(new) => {
                (vec![new.key.clone()], one(repository.upsert(creation(new), changing(&Change::Count)).await))
            }
            Operation::Replace(target, title) => {
                let request = Replace::new(key_of(&target.0), object(json!({"title": title, "count": 0})));
                let request = self.version(client, target).into_iter().fold(request, Replace::version);
                (vec![target.0.clone()], one(repository.replace(request).await))
            }
            Operation::Delete(target, force) => {
                let answer = repository.delete(self.deletion(client, target, *force)).await;
                (vec![target.0.clone()], gone(vec![answer]))
            }
            Operation::DeleteMany(targets, force) => {
                let requests: Vec<_> = targets.iter().map(|target| self.deletion(client, target, *force)).collect();
                let answers = repository.delete_many(requests).await;
                (targets.iter().map(|target| target.0.clone()).collect(), gone(answers))
            }
            Operation::Increment(key, create) => {
                let request = Increment::new(key_of(key)).field("count");
                let request = if *create { request.or_create(object(json!({"title": "new"}))) } else { request };
                (vec![key.clone()], one(repository.increment(request).await))
            }
            Operation::CheckConflicts(keys) => {
                let asked: Vec<_> = keys.iter().map(key_of).collect();
                let states = repository.check_conflicts(&asked).await.into_iter().map(|state| state.expect("answered"));
                assert_eq!(Expected::Ids(states.collect()), model.expected);
                return;
            }
            Operation::Resolve(keys) => return self.resolve(model, &repository, keys).await,
            Operation::CollectReferences(roots) => return self.collect(model, &repository, roots).await,
            Operation::Find(wanted) => return self.find(model, &repository, wanted).await,
            Operation::Import(lines, overwrite) => {
                self.refresh().await;
                return import(model, &repository, lines, *overwrite).await;
            }
            Operation::ChangeNamespaces { keys, add, remove, everywhere } => {
                return self.change_namespaces(model, client, keys, (*add, *remove, *everywhere)).await;
            }
            Operation::RemoveReferencesTo(key) => {
                return assert_swept(model, repository.remove_references_to(&key_of(key)).await);
            }
            Operation::DeleteNamespace(name) => {
                return assert_swept(
                    model,
                    repository.delete_namespace(DeleteNamespace::new(namespace_of(name)).even_default()).await,
                );
            }
            Operation::CountAtOnce(keys) => return self.count_at_once(model, keys).await,
        };
        let Expected::Items(expected) = &model.expected else { panic!("{operation:?}: {:?}", model.expected) };
        assert_eq!(answers.len(), expected.len(), "{operation:?}");
        for ((key, answer), expected) in keys.iter().zip(&answers).zip(expected) {
            assert_same(expected, answer);
            if let Ok(Some(object)) = answer {
                self.known.insert((client, key.raw()), object.version);
            }
        }
    }

    async fn change_namespaces(
        &mut self,
        model: &Model,
        client: usize,
        keys: &[Key],
        (add, remove, everywhere): (Option<&str>, Option<&str>, bool),
    ) {
        let request = ChangeNamespaces::new(keys.iter().map(key_of));
        let request = add.map(namespace_of).into_iter().fold(request, ChangeNamespaces::add);
        let request = remove.map(namespace_of).into_iter().fold(request, ChangeNamespaces::remove);
        let request = if everywhere { request.add_everywhere() } else { request };
        let answers = match (self.repositories[client].change_namespaces(request).await, &model.expected) {
            (Err(error), Expected::Refused(kind)) => return assert_eq!(error.kind(), *kind),
            (answers, _) => answers.expect("it is not refused as a whole"),
        };
        let Expected::Items(expected) = &model.expected else { panic!("{answers:?}, not {:?}", model.expected) };
        assert_eq!(answers.len(), expected.len());
        for ((key, answer), expected) in keys.iter().zip(answers).zip(expected) {
            match (answer, expected) {
                (Ok(changed), Ok(stored)) => {
                    let namespaces = stored.as_ref().map_or(&[][..], |stored| &stored.namespaces);
                    assert_eq!(changed.namespaces, namespaces, "{key:?}");
                    if let Some(version) = changed.version {
                        self.known.insert((client, key.raw()), version);
                    }
                }
                (answer, expected) => {
                    assert_eq!(answer.err().map(|error| error.kind()), expected.as_ref().err().copied(), "{key:?}")
                }
            }
        }
    }

    /// Refreshes the indices.
    async fn refresh(&self) {
        super::refresh(&self.setup.context).await;
    }

    async fn resolve(&self, model: &Model, repository: &Repository, keys: &[Key]) {
        self.refresh().await;
        let asked: Vec<ObjectKey> = keys.iter().map(key_of).collect();
        let answers = repository.resolve_many(&asked).await;
        let Expected::Resolved(expected) = &model.expected else { panic!("{:?}", model.expected) };
        assert_eq!(answers.len(), expected.len());
        for (answer, expected) in answers.into_iter().zip(expected) {
            match (answer, expected) {
                (Ok(resolved), Ok((stored, resolution))) => {
                    assert_eq!(resolved.resolution, *resolution, "{stored:?}");
                    assert_same(&Ok(Some(stored.clone())), &Ok(Some(resolved.object)));
                }
                (answer, expected) => {
                    assert_eq!(answer.err().map(|error| error.kind()), expected.as_ref().err().copied());
                }
            }
        }
    }

    async fn collect(&self, model: &Model, repository: &Repository, roots: &[Key]) {
        self.refresh().await;
        let collected = repository.collect_references(CollectReferences::new(roots.iter().map(key_of))).await;
        let told = collected.expect("collected").into_iter().map(|object| Collected {
            type_name: object.type_name,
            id: object.id,
            state: match object.state {
                CollectedState::Found { namespaces, origin_id, namespaces_of_same_origin } => {
                    State::Found { namespaces, origin: origin_id, of_same_origin: namespaces_of_same_origin }
                }
                CollectedState::Missing => State::Missing,
                CollectedState::NotFollowed => State::NotFollowed,
                CollectedState::Unreadable(error) => panic!("{error}"),
            },
            inbound: object.inbound.into_iter().map(|inbound| (inbound.type_name, inbound.id)).collect(),
        });
        assert_eq!(Expected::Collected(told.collect()), model.expected);
    }

    async fn find(&self, model: &Model, repository: &Repository, wanted: &Wanted) {
        self.refresh().await;
        let request = Find::new().namespaces(wanted.namespaces.iter().map(|name| namespace_of(name)));
        let request =
            wanted.title.iter().fold(request, |request, title| request.filter(Filter::equals("title", title.as_str())));
        let Expected::Found(expected) = &model.expected else { panic!("{:?}", model.expected) };
        // By type, namespaces and id, which together identify one object.
        let name = |type_name: &str, namespaces: &[String], id: &str| format!("{type_name} {namespaces:?} {id}");
        let expected: BTreeMap<String, &Stored> = expected
            .iter()
            .map(|stored| (name(stored.key.type_name, &stored.namespaces, stored.key.id), stored))
            .collect();
        let hold = |objects: Vec<SavedObject>| {
            let objects: BTreeMap<String, SavedObject> = objects
                .into_iter()
                .map(|object| (name(&object.type_name, &object.namespaces, &object.id), object))
                .collect();
            assert_eq!(objects.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{wanted:?}");
            for (object, stored) in objects.into_values().zip(expected.values()) {
                assert_same(&Ok(Some((*stored).clone())), &Ok(Some(object)));
            }
        };
        let found = repository.find(&wanted.types, request.clone().per_page(1_000)).await.expect("found");
        assert_eq!((found.total, found.unreadable.len()), (expected.len() as u64, 0));
        hold(found.objects);
        // Pages of two, so that there are several.
        let stream = repository.stream(&wanted.types, request.clone().per_page(2)).expect("a stream");
        hold(stream.map(|item| item.expect("read").expect("readable")).collect().await);
        let minute = std::time::Duration::from_secs(60);
        let mut reader = repository.open_point_in_time(&wanted.types, minute).await.expect("opened");
        let (mut objects, mut cursor) = (Vec::new(), None);
        loop {
            let page = reader.page(&request.clone().per_page(2), cursor.as_ref()).await.expect("a page");
            objects.extend(page.found.objects);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        reader.close().await;
        hold(objects);
        let mut lines = Vec::new();
        let export = Export::found(wanted.types.clone(), request).without_summary();
        let summary = repository.export(export, &mut lines).await.expect("exported");
        assert_eq!((summary.exported_count, summary.excluded_objects_count), (expected.len() as u64, 0));
        let mut exported: Vec<String> = String::from_utf8(lines)
            .expect("UTF-8")
            .lines()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let namespaces: Vec<String> = serde_json::from_value(line["namespaces"].clone()).unwrap_or_default();
                name(line["type"].as_str().expect("text"), &namespaces, line["id"].as_str().expect("text"))
            })
            .collect();
        exported.sort();
        assert_eq!(exported.iter().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    }

    async fn count_at_once(&mut self, model: &Model, keys: &[Key]) {
        let mut named = std::collections::BTreeSet::new();
        let keys: Vec<Key> = keys.iter().filter(|key| named.insert(key.raw())).cloned().collect();
        let counting = |repository: Repository| {
            let asked: Vec<ObjectKey> = keys.iter().map(key_of).collect();
            tokio::spawn(async move {
                let count = changing(&Change::Count);
                repository.update_many(asked, |_, draft| count(draft)).await
            })
        };
        let clients: Vec<_> = self.repositories.iter().cloned().map(counting).collect();
        let Expected::Items(expected) = &model.expected else { panic!("{:?}", model.expected) };
        for client in clients {
            for (answer, expected) in client.await.expect("no client panics").iter().zip(expected) {
                let (answer, expected) = (answer.as_ref().err().map(Error::kind), expected.as_ref().err().copied());
                assert_eq!(answer, expected);
            }
        }
        for key in &keys {
            self.known.retain(|(_, raw), _| *raw != key.raw());
        }
    }
}

async fn import(model: &Model, repository: &Repository, lines: &[New], overwrite: bool) {
    let line = |new: &New| {
        let references: Vec<_> =
            new.refers_to.iter().map(|key| json!({"name": "it", "type": key.type_name, "id": key.id})).collect();
        let line = json!({
            "type": new.key.type_name, "id": new.key.id, "namespaces": [new.key.namespace], "originId": new.origin,
            "attributes": {"title": new.title, "count": 0}, "references": references,
        });
        format!("{line}\n")
    };
    let file = std::io::Cursor::new(lines.iter().map(line).collect::<String>().into_bytes());
    let on_conflict = if overwrite { OnConflict::Overwrite } else { OnConflict::Fail };
    let told = match repository.import(Import::new().on_conflict(on_conflict), file).await {
        Ok(summary) if summary.errors.iter().any(|problem| problem.message.contains("twice")) => {
            assert!(!summary.success && summary.success_count == 0, "{summary:?}");
            Expected::Refused(ErrorKind::Invalid)
        }
        Ok(summary) => {
            assert_eq!(summary.success, summary.errors.is_empty(), "{summary:?}");
            assert!(summary.errors.iter().all(|problem| problem.kind == "conflict"), "{summary:?}");
            let conflicts = summary.errors.iter().map(|problem| problem.line).collect();
            Expected::Imported { written: summary.success_count, conflicts }
        }
        Err(error) => Expected::Refused(error.kind()),
    };
    assert_eq!(told, model.expected);
}

fn assert_swept(model: &Model, swept: Result<Swept>) {
    let swept = swept.expect("swept");
    assert!(swept.is_complete(), "{swept:?}");
    assert_eq!(Expected::Swept { updated: swept.updated, deleted: swept.deleted }, model.expected);
}

fn assert_same(expected: &Item, answer: &Answer) {
    let (stored, object) = match (expected, answer) {
        (Ok(Some(stored)), Ok(Some(object))) => (stored, object),
        (Ok(None), Ok(None)) => return,
        (expected, answer) => {
            let kind = |kind: Option<ErrorKind>| kind;
            let answered = kind(answer.as_ref().err().map(Error::kind));
            assert_eq!(answered, expected.as_ref().err().copied(), "{answer:?}, not {expected:?}");
            return;
        }
    };
    let refers_to = object.references.first().map(|reference| (reference.type_name.clone(), reference.id.clone()));
    let count = object.attributes.get("count").and_then(serde_json::Value::as_u64).unwrap_or_default();
    assert_eq!(
        (object.id.as_str(), &object.namespaces, &object.attributes["title"], count, &refers_to),
        (stored.key.id, &stored.namespaces, &json!(stored.title), stored.count, &stored.refers_to),
        "{stored:?}"
    );
}
