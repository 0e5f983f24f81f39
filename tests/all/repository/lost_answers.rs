//! Several callers write one object while answers get lost: a write of one caller is never reported to another caller
//! as its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use jiff::Timestamp;
use libtest_mimic::Trial;
use saved_objects::cluster::Elastic;
use saved_objects::document::Namespace;
use saved_objects::environment::{Clock, Environment, SystemClock, SystemRng};
use saved_objects::repository::{
    ChangeNamespaces, Create, Delete, Draft, Export, Import, Increment, OnConflict, Replace, Repository,
};
use saved_objects::{ErrorKind, Result, SavedObject, Start};
use serde_json::json;

use super::{key, object, refresh, store_of, stored, types};
use crate::context::{Context, MEMORY};
use crate::faults::seed::{Named, seeds};
use crate::migration::notes_before_and_after;
use crate::named_trials;
use crate::proxy::{Proxy, lost_answers};

pub(super) fn trials(url: &str) -> Vec<Trial> {
    let nonces =
        named_trials!(url, every_write_has_a_nonce_of_its_own_that_is_not_shown, a_migration_carries_the_nonce_on);
    if url == MEMORY {
        return nonces;
    }
    let lost = named_trials!(
        url,
        every_increment_that_is_answered_is_counted_once,
        no_version_is_told_for_two_updates,
        of_many_who_delete_one_version_one_is_told_so,
    );
    nonces.into_iter().chain(lost).collect()
}

const CALLERS: usize = 16;
const TIMES: usize = 6;
/// The percentage of writes that lose their answer.
const LOST: u64 = 20;

/// A clock whose time of day stands still: writes of several callers at the same moment have the same bytes.
#[derive(Debug)]
struct StillClock(SystemClock);

#[async_trait]
impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        self.0.monotonic()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }
}

/// Returns a repository whose writes go through `proxy`.
async fn through(context: &Context, proxy: &Proxy) -> Repository {
    let environment = Environment::new(Arc::new(StillClock(SystemClock::start())), Arc::new(SystemRng));
    let cluster = Elastic::builder(proxy.url()).environment(environment.clone()).build().expect("a fine URL");
    let builder = context.builder(types::all_exportable()).cluster(Arc::new(cluster)).environment(environment);
    builder.start(Start::Skip).await.expect("nothing is asked at the start").repository().clone()
}

/// Lets many callers call `write` several times each, one call after the other, and returns all answers.
async fn answers<F: AsyncFn() -> Result<SavedObject>>(write: F) -> Vec<Result<SavedObject>> {
    let caller = async |_| {
        let mut answers = Vec::new();
        for _ in 0..TIMES {
            answers.push(write().await);
        }
        answers
    };
    join_all((0..CALLERS).map(caller)).await.concat()
}

/// Returns the answers of writes that were done, and the number of answers with an unknown outcome. All others say that
/// the write was not done.
fn done_and_unknown(answers: &[Result<SavedObject>]) -> (Vec<&SavedObject>, usize) {
    let unknown = answers.iter().filter(|answer| {
        answer.as_ref().is_err_and(|error| match error.kind() {
            ErrorKind::OutcomeUnknown => true,
            ErrorKind::Conflict | ErrorKind::Unavailable => false,
            kind => panic!("{kind:?}: {error}"),
        })
    });
    (answers.iter().flatten().collect(), unknown.count())
}

fn assert_versions_differ(done: &[&SavedObject]) {
    let versions: BTreeSet<String> = done.iter().map(|object| format!("{:?}", object.version)).collect();
    assert_eq!(versions.len(), done.len(), "a version was told for several writes");
}

async fn every_write_has_a_nonce_of_its_own_that_is_not_shown(context: Context) {
    let repository = store_of(&context, types::all_exportable(), Start::Migrate).await.0.repository().clone();
    let board = key("board", "b");
    let mut nonces = BTreeSet::new();
    let mut stored = async || {
        let nonce = stored(&context, "things", "board:b").await["writeNonce"].as_str().map(str::to_owned);
        assert!(nonces.insert(nonce.expect("a nonce")), "it is another one: {nonces:?}");
    };
    let ops = Namespace::new("ops").expect("a name");
    let create = || Create::new("board", object(json!({"mark": 1}))).id("b");
    let created = repository.create(create()).await.expect("created");
    stored().await;
    repository.create(create().overwrite()).await.expect("overwritten");
    stored().await;
    repository.update(&board, |_| Ok(())).await.expect("updated");
    stored().await;
    repository.increment(Increment::new(board.clone()).field("count")).await.expect("counted");
    stored().await;
    repository.change_namespaces(ChangeNamespaces::new([board.clone()]).add(ops)).await.expect("shared");
    stored().await;
    let replaced = repository.replace(Replace::new(&board, object(json!({"mark": 2})))).await.expect("replaced");
    stored().await;
    assert_eq!((replaced.attributes, created.attributes), (object(json!({"mark": 2})), object(json!({"mark": 1}))));

    refresh(&context).await;
    let mut lines = Vec::new();
    repository.export(Export::objects([board.clone()]), &mut lines).await.expect("exported");
    let lines = String::from_utf8(lines).expect("UTF-8");
    assert!(!lines.contains("riteNonce") && lines.contains("\"mark\":2"), "{lines}");
    // The file has no `writeNonce`, and must not have one.
    let given = lines.replacen('{', r#"{"writeNonce":"of the file","#, 1);
    let import = async |file: String| {
        let request = Import::new().on_conflict(OnConflict::Overwrite);
        repository.import(request, std::io::Cursor::new(file)).await.expect("it came to an end")
    };
    assert!(import(given).await.errors[0].message.contains("writeNonce"));
    let summary = import(lines).await;
    assert_eq!(summary.success_count, 1, "{summary:?}");
    stored().await;
}

async fn a_migration_carries_the_nonce_on(context: Context) {
    let (before, after) = notes_before_and_after();
    let note = Create::new("note", object(json!({"title": "t"}))).id("1");
    context.store(before).await.repository().create(note).await.expect("created");
    let old = stored(&context, "notes", "note:1").await;
    context.store(after).await;
    let new = stored(&context, "notes", "note:1").await;
    assert_eq!((&new["note"]["stars"], &new["writeNonce"]), (&json!(0), &old["writeNonce"]));
    assert!(new["writeNonce"].is_string(), "{new}");
}

async fn every_increment_that_is_answered_is_counted_once(context: Context) {
    let calm = store_of(&context, types::all_exportable(), Start::Migrate).await.0.repository().clone();
    for seed in seeds(1..4) {
        let _named = Named(seed);
        let id = format!("counter-{seed}");
        calm.create(Create::new("board", object(json!({"count": 0}))).id(&id)).await.expect("created");
        let proxy = Proxy::start(&context.url, lost_answers(seed, LOST)).await;
        let repository = through(&context, &proxy).await;
        let board = key("board", &id);
        let answers = answers(async || repository.increment(Increment::new(board.clone()).field("count")).await).await;
        let (done, unknown) = done_and_unknown(&answers);
        let counter = calm.get(&board).await.expect("read").attributes["count"].as_u64().expect("a number") as usize;
        println!("seed {seed}: {} were counted, {unknown} may have been, of {}", done.len(), answers.len());
        assert!(done.len() > CALLERS, "hardly anything was counted");
        let values: BTreeSet<u64> = done.iter().filter_map(|object| object.attributes["count"].as_u64()).collect();
        assert_eq!(values.len(), done.len(), "a value was told to several callers");
        assert_versions_differ(&done);
        assert!((done.len()..=done.len() + unknown).contains(&counter), "{} and {unknown}: {counter}", done.len());
    }
}

async fn no_version_is_told_for_two_updates(context: Context) {
    let calm = store_of(&context, types::all_exportable(), Start::Migrate).await.0.repository().clone();
    for seed in seeds(1..4) {
        let _named = Named(seed);
        let board = key("board", &format!("updated-{seed}"));
        calm.create(Create::new("board", object(json!({"mark": 0}))).id(&board.id)).await.expect("created");
        let proxy = Proxy::start(&context.url, lost_answers(seed, LOST)).await;
        let repository = through(&context, &proxy).await;
        let marked = |draft: &mut Draft| {
            draft.attributes.insert("mark".to_owned(), json!(1));
            Ok(())
        };
        let answers = answers(async || repository.update(&board, marked).await).await;
        let (done, unknown) = done_and_unknown(&answers);
        println!("seed {seed}: {} were written, {unknown} may have been, of {}", done.len(), answers.len());
        assert!(done.len() > CALLERS, "hardly anything was written");
        assert_versions_differ(&done);
    }
}

async fn of_many_who_delete_one_version_one_is_told_so(context: Context) {
    let calm = store_of(&context, types::all_exportable(), Start::Migrate).await.0.repository().clone();
    let (mut told, mut unknown) = (0, 0);
    for seed in seeds(1..13) {
        let _named = Named(seed);
        let request = Create::new("board", object(json!({}))).id(format!("deleted-{seed}"));
        let board = calm.create(request).await.expect("created");
        let proxy = Proxy::start(&context.url, lost_answers(seed, LOST)).await;
        let repository = through(&context, &proxy).await;
        let deletions = join_all((0..CALLERS).map(|_| repository.delete(Delete::of(&board)))).await;
        let done = deletions.iter().filter(|answer| answer.is_ok()).count();
        let open = deletions.iter().flat_map(|answer| answer.as_ref().err()).filter(|error| match error.kind() {
            ErrorKind::OutcomeUnknown => true,
            ErrorKind::Conflict | ErrorKind::NotFound => false,
            kind => panic!("{kind:?}: {error}"),
        });
        let open = open.count();
        assert!(
            done == 1 || (done == 0 && open > 0),
            "{done} were told that they deleted it, and {open} that they may have"
        );
        assert_eq!(calm.get_opt(&board.key()).await.expect("read"), None);
        told += done;
        unknown += open;
    }
    println!("{told} deletions were told, {unknown} may have been");
    assert!(told > 0, "no deletion was told");
}
