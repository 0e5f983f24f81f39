//! The operations through a network that loses, delays, cuts and repeats requests: each answer is true, or says that
//! the outcome is unknown. The answers are compared with a model that keeps every state that an object may have
//! according to the answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use libtest_mimic::Trial;
use saved_objects::cluster::Elastic;
use saved_objects::document::{Namespace, Reference};
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::repository::{
    ChangeNamespaces, CollectReferences, CollectedState, Create, Delete, Draft, Export, Find, IdState, Import,
    Increment, ObjectKey, OnConflict, Replace, Repository,
};
use saved_objects::{Error, ErrorKind, Result, SavedObject, Start};
use serde_json::{Value, json};

use super::{key, object, store_of, types};
use crate::clock::ImpatientClock;
use crate::context::{Context, MEMORY};
use crate::elastic::DONE_BUT;
use crate::faults::seed::{Dice, Named, seeds};
use crate::named_trials;
use crate::proxy::{Fault, Proxy, weather};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    if url == MEMORY {
        Vec::new()
    } else {
        named_trials!(url, what_is_answered_in_bad_weather_is_so, what_was_done_is_told_so_whatever_was_answered)
    }
}

/// The percentage of requests that meet a fault.
const BAD_WEATHER: u64 = 30;
const STEPS: u64 = 60;
const IDS: [&str; 3] = ["a", "b", "c"];

/// A stored object, as far as the operations change it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    mark: i64,
    count: i64,
    in_ops: bool,
    refers: bool,
}

/// `None` if the object does not exist.
type Maybe = Option<State>;

/// The states that an object may have.
#[derive(Debug, Default)]
struct Possible {
    states: BTreeSet<Maybe>,
    /// Every creation that was sent, whatever its answer. The network may deliver it again after the object was
    /// deleted, and no server can detect that.
    created: BTreeSet<State>,
}

impl Possible {
    fn nothing() -> Self {
        Self { states: [None].into(), created: BTreeSet::new() }
    }

    fn all(&self) -> BTreeSet<Maybe> {
        let mut all = self.states.clone();
        if all.contains(&None) {
            all.extend(self.created.iter().cloned().map(Some));
        }
        all
    }

    /// Applies the answer to an operation that changes a state to `next`, or refuses it with a kind of error.
    fn answered<T>(&mut self, what: &str, answer: &Result<T>, next: impl Fn(&Maybe) -> Result<Maybe, ErrorKind>) {
        let made: BTreeSet<Maybe> = self.all().iter().filter_map(|state| next(state).ok()).collect();
        if self.all().iter().any(|state| state.is_none() && next(state).is_ok()) {
            self.created.extend(made.iter().flatten().cloned());
        }
        match answer.as_ref().map(|_| ()).map_err(Error::kind) {
            Ok(()) => {
                assert!(!made.is_empty(), "{what}: done, but it cannot have been: {self:?}");
                self.states = made;
            }
            Err(ErrorKind::OutcomeUnknown) => self.states.extend(made),
            Err(ErrorKind::Unavailable) => {}
            Err(kind) => {
                let is_right = self.all().iter().any(|state| next(state) == Err(kind));
                assert!(is_right, "{what}: {:?}, but that is not so: {self:?}", answer.as_ref().err());
            }
        }
    }

    fn read(&self, what: &str, answer: Result<Maybe>) {
        match answer {
            Ok(state) => assert!(self.all().contains(&state), "{what}: {state:?} is none of {self:?}"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{what}: {error}"),
        }
    }
}

fn state_of(object: &SavedObject) -> State {
    let number = |name: &str| object.attributes.get(name).and_then(serde_json::Value::as_i64).unwrap_or_default();
    State {
        mark: number("mark"),
        count: number("count"),
        in_ops: object.namespaces.iter().any(|name| name == "ops"),
        refers: !object.references.is_empty(),
    }
}

fn board(id: &str) -> ObjectKey {
    key("board", id)
}

fn target() -> Reference {
    Reference { name: "target".to_owned(), type_name: "board".to_owned(), id: "target".to_owned() }
}

fn ops() -> Namespace {
    Namespace::new("ops").expect("a name")
}

fn there(state: &Maybe, change: impl Fn(State) -> Maybe) -> Result<Maybe, ErrorKind> {
    state.clone().map(change).ok_or(ErrorKind::NotFound)
}

async fn what_is_answered_in_bad_weather_is_so(context: Context) {
    let calm = store_of(&context, types::all_exportable(), Start::Migrate).await.0.repository().clone();
    let mut told = BTreeMap::new();
    for seed in seeds(1..4) {
        let _named = Named(seed);
        let proxy = Proxy::start(&context.url, weather(seed, BAD_WEATHER)).await;
        let environment = Environment::new(Arc::new(ImpatientClock::default()), Arc::new(SystemRng));
        let cluster = Elastic::builder(proxy.url()).environment(environment.clone()).build().expect("a fine URL");
        let through = context
            .builder(types::all_exportable())
            .cluster(Arc::new(cluster))
            .environment(environment)
            .start(Start::Skip)
            .await
            .expect("nothing is asked at the start");
        let mut model: BTreeMap<&str, Possible> = IDS.map(|id| (id, Possible::nothing())).into();
        let dice = Dice::new(seed);
        for step in 0..STEPS {
            let id = IDS[dice.below(3) as usize];
            one_step(through.repository(), &mut model, id, step as i64, dice.below(24), &mut told).await;
        }
        // Requests that were sent long ago land now.
        proxy.land_all().await;
        drop(proxy);
        for (id, possible) in &model {
            let state = calm.get_opt(&board(id)).await.map(|object| object.as_ref().map(state_of));
            possible.read(&format!("seed {seed}: {id} in the end"), state);
            let _ = calm.delete(Delete::new(board(id)).force()).await;
        }
    }
    println!("answers in bad weather: {told:?}");
    assert!(told.get("Done").is_some_and(|done| *done > 50), "hardly anything was done: {told:?}");
    remove_all(&context).await;
}

/// Every write is done, and its answer is replaced by one that does not say so.
async fn what_was_done_is_told_so_whatever_was_answered(context: Context) {
    let calm = store_of(&context, types::all_exportable(), Start::Migrate).await.0.repository().clone();
    for (number, fault) in (0..).zip(DONE_BUT) {
        let proxy = Proxy::start(&context.url, move |seen, _| if seen.is_write() { fault } else { Fault::None }).await;
        let environment = Environment::new(Arc::new(ImpatientClock::default()), Arc::new(SystemRng));
        let cluster = Elastic::builder(proxy.url()).environment(environment.clone()).build().expect("a fine URL");
        let builder = context.builder(types::all_exportable()).cluster(Arc::new(cluster)).environment(environment);
        let through = builder.start(Start::Skip).await.expect("nothing is asked at the start");
        let (repository, board) = (through.repository(), board(&number.to_string()));
        let stored = async || calm.get_opt(&board).await.expect("read").as_ref().map(state_of);
        let state = |mark, count| Some(State { mark, count, in_ops: false, refers: false });

        let create = Create::new("board", object(json!({"mark": 1, "count": 0}))).id(board.id.clone());
        repository.create(create).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(stored().await, state(1, 0), "{fault:?}");
        let marked = |draft: &mut Draft| {
            draft.attributes.insert("mark".to_owned(), json!(2));
            Ok(())
        };
        repository.update(&board, marked).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(stored().await, state(2, 0), "{fault:?}");
        let increment = Increment::new(board.clone()).field("count");
        repository.increment(increment).await.unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        assert_eq!(stored().await, state(2, 1), "{fault:?}: counted once");
        let deleted = repository.delete(Delete::new(board.clone())).await.map_err(|error| error.kind());
        assert!(matches!(deleted, Ok(()) | Err(ErrorKind::OutcomeUnknown)), "{fault:?}: {deleted:?}");
        assert_eq!(stored().await, None, "{fault:?}");
    }
}

/// Deletes the indices, and with them what a lost answer left open on the server.
async fn remove_all(context: &Context) {
    let cluster = context.cluster();
    let found = cluster.indices(&[&format!("{}-*", context.prefix)]).await.expect("answered");
    for name in found.keys() {
        cluster.delete_index(name).await.expect("deleted");
    }
}

async fn one_step(
    repository: &Repository,
    model: &mut BTreeMap<&str, Possible>,
    id: &str,
    mark: i64,
    what: u64,
    told: &mut BTreeMap<String, u64>,
) {
    let possible = model.get_mut(id).expect("one of the ids");
    let new = || State { mark, count: 0, in_ops: false, refers: true };
    let marked = move |draft: &mut Draft| {
        draft.attributes.insert("mark".to_owned(), json!(mark));
        Ok(())
    };
    let kind = match what {
        0..=2 => {
            let request = Create::new("board", object(json!({"mark": mark, "count": 0})));
            let request = request.id(id).references(vec![target()]);
            let request = if what == 2 { request.overwrite() } else { request };
            let answer = repository.create(request).await;
            // The creation was sent without a look for an existing object.
            possible.created.insert(new());
            possible.answered("create", &answer, |state| match state {
                None => Ok(Some(new())),
                Some(old) if what == 2 => Ok(Some(State { in_ops: old.in_ops, ..new() })),
                Some(_) => Err(ErrorKind::Conflict),
            });
            outcome(&answer)
        }
        3 | 4 => {
            let answer = repository.update(&board(id), marked).await;
            possible.answered("update", &answer, |state| there(state, |old| Some(State { mark, ..old })));
            outcome(&answer)
        }
        5 | 6 => {
            let answer = repository.increment(Increment::new(board(id)).field("count")).await;
            possible.answered("increment", &answer, |state| {
                there(state, |old| Some(State { count: old.count + 1, ..old }))
            });
            outcome(&answer)
        }
        7 => {
            let attributes = object(json!({"mark": mark}));
            let answer = repository.increment(Increment::new(board(id)).by("count", 5).or_create(attributes)).await;
            possible.answered("increment or create", &answer, |state| {
                Ok(Some(match state {
                    Some(old) => State { count: old.count + 5, ..old.clone() },
                    None => State { count: 5, refers: false, ..new() },
                }))
            });
            outcome(&answer)
        }
        8 => {
            let answer = repository.replace(Replace::new(board(id), object(json!({"mark": mark})))).await;
            possible.answered("replace", &answer, |state| there(state, |old| Some(State { mark, count: 0, ..old })));
            outcome(&answer)
        }
        9 | 10 => {
            let request = ChangeNamespaces::new([board(id)]);
            let request = if what == 9 { request.add(ops()) } else { request.remove(ops()) };
            let answer = repository.change_namespaces(request).await.expect("the request is fine").remove(0);
            possible.answered("change namespaces", &answer, |state| {
                there(state, |old| Some(State { in_ops: what == 9, ..old }))
            });
            outcome(&answer)
        }
        11 => {
            let answer = repository.delete(Delete::new(board(id)).force()).await;
            possible.answered("delete", &answer, |state| there(state, |_| None));
            outcome(&answer)
        }
        12 => {
            let answer = repository.remove_references_to(&key("board", "target")).await;
            // An object that the answer does not report has lost its references or was not reached.
            for possible in model.values_mut() {
                let without: Vec<Maybe> =
                    possible.all().into_iter().flatten().map(|old| Some(State { refers: false, ..old })).collect();
                possible.states.extend(without);
            }
            outcome(&answer)
        }
        13 => {
            let answer = repository.get_opt(&board(id)).await;
            let kind = outcome(&answer);
            possible.read("get", answer.map(|object| object.as_ref().map(state_of)));
            kind
        }
        14 => {
            let answer = repository.check_conflicts(&[board(id)]).await.remove(0);
            let kind = outcome(&answer);
            if let Ok(state) = answer {
                let is_right = possible.all().iter().any(|maybe| maybe.is_some() == (state == IdState::Taken));
                assert!(is_right, "{state:?} is not so: {possible:?}");
            }
            kind
        }
        15..=17 => {
            many_at_once(repository, model, mark, what, told).await;
            return;
        }
        18 => {
            let answer = repository
                .upsert(
                    Create::new("board", object(json!({"mark": mark, "count": 0}))).id(id).references(vec![target()]),
                    marked,
                )
                .await;
            possible.answered("upsert", &answer, |state| {
                Ok(Some(match state {
                    Some(old) => State { mark, ..old.clone() },
                    None => new(),
                }))
            });
            outcome(&answer)
        }
        19 => {
            // A search may return older states than the stored ones, but it is complete, or reports that it is not.
            let answer = pages(repository).await;
            if let Err(error) = &answer {
                assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::NotFound), "{error}");
            }
            outcome(&answer)
        }
        20 | 21 => {
            let answer = exported(repository).await;
            let kind = outcome(&answer);
            match answer {
                Ok(found) => {
                    for (id, possible) in model.iter() {
                        possible.read("export", Ok(found.get(*id).cloned()));
                    }
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
            kind
        }
        22 => {
            let answer = imported(repository, id, mark).await;
            possible.answered("import", &answer, |state| {
                Ok(Some(match state {
                    Some(old) => State { in_ops: old.in_ops, ..new() },
                    None => new(),
                }))
            });
            outcome(&answer)
        }
        _ => {
            let resolved = repository.resolve(&board(id)).await;
            let answer = resolved.map(|resolved| Some(state_of(&resolved.object)));
            let kind = outcome(&answer);
            let missing = matches!(&answer, Err(error) if error.kind() == ErrorKind::NotFound);
            possible.read("resolve", if missing { Ok(None) } else { answer });
            let collected = repository.collect_references(CollectReferences::new([board(id)])).await;
            if let Ok(collected) = &collected {
                let is_there = matches!(collected[0].state, CollectedState::Found { .. });
                assert!(possible.all().iter().any(|maybe| maybe.is_some() == is_there), "{collected:?}: {possible:?}");
            }
            let found = repository.find(&["board"], Find::new()).await;
            assert!(found.is_ok() || found.is_err_and(|error| error.kind() == ErrorKind::Unavailable));
            kind
        }
    };
    *told.entry(kind).or_default() += 1;
}

/// Reads all pages of a point in time.
async fn pages(repository: &Repository) -> Result<usize> {
    let mut reader = repository.open_point_in_time(&["board"], std::time::Duration::from_secs(60)).await?;
    let request = Find::new().per_page(1);
    let (mut count, mut cursor) = (0, None);
    loop {
        let page = reader.page(&request, cursor.as_ref()).await?;
        assert_eq!(page.found.unreadable.len(), 0);
        count += page.found.objects.len();
        cursor = page.next;
        if cursor.is_none() {
            assert_eq!(count as u64, page.found.total);
            reader.close().await;
            return Ok(count);
        }
    }
}

/// Returns the objects as an export by id has them.
async fn exported(repository: &Repository) -> Result<BTreeMap<String, State>> {
    let mut lines = Vec::new();
    let summary = repository.export(Export::objects(IDS.map(board)).without_summary(), &mut lines).await?;
    let text = String::from_utf8(lines).expect("UTF-8");
    let state = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let number = |name: &str| line["attributes"][name].as_i64().unwrap_or_default();
        let is_ops = |name: &Value| name == "ops";
        let state = State {
            mark: number("mark"),
            count: number("count"),
            in_ops: line["namespaces"].as_array().is_some_and(|names| names.iter().any(is_ops)),
            refers: line["references"].as_array().is_some_and(|references| !references.is_empty()),
        };
        (line["id"].as_str().expect("text").to_owned(), state)
    };
    let found: BTreeMap<String, State> = text.lines().map(state).collect();
    assert_eq!((summary.exported_count, summary.excluded_objects_count), (found.len() as u64, 0));
    assert_eq!(summary.missing_ref_count, (IDS.len() - found.len()) as u64);
    Ok(found)
}

/// Imports one object with overwriting, and returns what the summary reports of it.
async fn imported(repository: &Repository, id: &str, mark: i64) -> Result<()> {
    let reference = json!({"name": "target", "type": "board", "id": "target"});
    let line = json!({
        "type": "board", "id": id, "attributes": {"mark": mark, "count": 0}, "references": [reference]
    });
    let file = std::io::Cursor::new(line.to_string().into_bytes());
    let summary = repository.import(Import::new().on_conflict(OnConflict::Overwrite), file).await?;
    let told = |kind| Err(Error::new(kind, summary.errors[0].message.clone()));
    match summary.errors.first().map(|problem| problem.kind) {
        None => {
            assert_eq!((summary.success, summary.success_count, summary.stopped_at_line), (true, 1, None));
            Ok(())
        }
        Some("outcome_unknown") => told(ErrorKind::OutcomeUnknown),
        // A request that was sent long ago landed between the import's read and its write.
        Some("conflict" | "unavailable") => told(ErrorKind::Unavailable),
        Some(other) => panic!("{other}: {summary:?}"),
    }
}

/// Calls one operation on all objects, each of which has its own answer.
async fn many_at_once(
    repository: &Repository,
    model: &mut BTreeMap<&str, Possible>,
    mark: i64,
    what: u64,
    told: &mut BTreeMap<String, u64>,
) {
    let keys = IDS.map(board);
    let answers: Vec<Result<()>> = match what {
        15 => {
            let request = |id| {
                let request = Create::new("board", object(json!({"mark": mark, "count": 0})));
                request.id(id).references(vec![target()])
            };
            let answers = repository.create_many(IDS.map(request)).await;
            answers.into_iter().map(|answer| answer.map(drop)).collect()
        }
        16 => {
            let marked = |_: &ObjectKey, draft: &mut Draft| {
                draft.attributes.insert("mark".to_owned(), json!(mark));
                Ok(())
            };
            let answers = repository.update_many(&keys, marked).await;
            answers.into_iter().map(|answer| answer.map(drop)).collect()
        }
        _ => repository.delete_many(keys.into_iter().map(|key| Delete::new(key).force())).await,
    };
    for (id, answer) in IDS.iter().zip(answers) {
        let possible = model.get_mut(id).expect("one of the ids");
        if what == 15 {
            possible.created.insert(State { mark, count: 0, in_ops: false, refers: true });
        }
        possible.answered(&format!("many: {what}"), &answer, |state| match (what, state) {
            (15, None) => Ok(Some(State { mark, count: 0, in_ops: false, refers: true })),
            (15, Some(_)) => Err(ErrorKind::Conflict),
            (16, state) => there(state, |old| Some(State { mark, ..old })),
            (_, state) => there(state, |_| None),
        });
        *told.entry(outcome(&answer)).or_default() += 1;
    }
}

fn outcome<T>(answer: &Result<T>) -> String {
    answer.as_ref().map_or_else(|error| format!("{:?}", error.kind()), |_| "Done".to_owned())
}
