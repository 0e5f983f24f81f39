//! No generation is deleted, and none is made current again, without proof that nothing is lost; and no block or alias
//! of ours stays without a start that heals it or reports it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::cluster::elastic::HttpRequest;
use saved_objects::cluster::memory::RestoreOptions;
use saved_objects::cluster::{
    AliasAction, BulkAction, BulkOperation, BulkRequest, CloneIndex, CreateIndex, IndexPurpose, Refresh,
};
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::migrate::{OnBad, Outcome};
use saved_objects::registry::TypeDefinition;
use saved_objects::rotation::KeyRotation;
use serde_json::json;

use crate::clock::ImpatientClock;
use crate::context::{Context, key_ring, registry};
use crate::faults;
use crate::faults::disturbed::{Call, Disturbed, Disturber, Fate};
use crate::hints::{blocker, hint};
use crate::migration::notes_of_release;
use crate::named_trials;
use crate::ownership::{after, before, create, from, note};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        the_only_holder_of_writes_outlives_the_restore_of_its_source,
        the_record_of_an_undone_copy_proves_nothing,
        a_block_beside_a_mark_is_lifted_though_the_gate_is_open,
        an_alias_for_writes_that_leads_to_two_indices_is_told,
        a_removal_that_a_swap_overtakes_leaves_no_block,
        a_clone_that_an_operator_made_is_kept,
        an_index_with_the_meta_of_another_is_kept,
        a_block_that_comes_after_the_undoing_is_lifted,
        a_closed_clone_fails_no_start,
        a_blocked_neighbour_of_the_control_index_disturbs_no_start,
        a_neighbour_with_a_metadata_block_disturbs_no_start,
        a_rollback_does_not_go_to_a_restored_source,
        status_and_removal_take_a_closed_generation,
        a_removal_that_stalls_leaves_the_next_copy_alone,
        the_alias_for_writes_of_another_generation_is_told,
        a_start_that_may_not_delete_yet_says_that_it_did_something,
        a_rotation_waits_for_a_copy_that_was_stopped,
    )
}

/// Returns the indices that have a note, through any alias.
async fn anywhere(context: &Context, id: &str) -> Vec<String> {
    let cluster = context.cluster();
    let mut found = Vec::new();
    for name in cluster.indices(&["*"]).await.expect("answered").keys() {
        if let Ok(Some(_)) = cluster.get(name, &format!("note:{id}")).await {
            found.push(name.clone());
        }
    }
    found
}

fn remove(index: &str, alias: &str) -> AliasAction {
    AliasAction::Remove { index: index.to_owned(), alias: alias.to_owned() }
}

fn add(index: &str, alias: &str) -> AliasAction {
    AliasAction::Add { index: index.to_owned(), alias: alias.to_owned() }
}

async fn the_only_holder_of_writes_outlives_the_restore_of_its_source(context: Context) {
    let names = context.prefix.group("notes");
    let (first, second) = (names.index(1), names.index(2));
    let memory = context.memory.clone().expect("memory");
    create(&context, before(), "1").await;
    let backup = memory.snapshot(&[&first]).expect("taken");
    create(&context, before(), "2").await;
    let report = context.migrator(after()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    memory.restore(&backup, &first, RestoreOptions { with_aliases: true, over_closed: true }).expect("restored");
    let found = blocker(&context, after).await;
    assert!(found.what.contains("several indices"), "{found:?}");
    hint(&context, &found, &[("<the other>", &second), ("<alias>", names.alias())]).await;
    let found = blocker(&context, after).await;
    hint(&context, &from(&found, &format!("If {first} does")), &[]).await;
    assert_eq!(anywhere(&context, "2").await, vec![second.clone()], "before the start");
    let report = context.migrator(before()).migrate().await;
    assert_eq!(anywhere(&context, "2").await, vec![second], "after the start: {report:?}");
}

async fn the_record_of_an_undone_copy_proves_nothing(context: Context) {
    let names = context.prefix.group("notes");
    let (first, second) = (names.index(1), names.index(2));
    create(&context, before(), "1").await;
    create(&context, after(), "2").await;
    faults::killed_at_swap(&context, notes_of_release(3), OnBad::Fail).await;
    let cluster = context.cluster();
    cluster.remove_write_block(&first).await.expect("lifted");
    let moved = [remove(&second, names.alias()), add(&first, names.alias()), add(&first, &names.write_alias(1))];
    cluster.update_aliases(&moved).await.expect("moved");
    let report = context.migrator(before()).drop_old().await;
    assert!(anywhere(&context, "2").await.contains(&second), "{report:?}: {:?}", anywhere(&context, "2").await);
}

async fn a_block_beside_a_mark_is_lifted_though_the_gate_is_open(context: Context) {
    let names = context.prefix.group("notes");
    create(&context, before(), "1").await;
    faults::killed_at_swap(&context, after(), OnBad::Fail).await;
    context.cluster().update_aliases(&[add(&names.index(1), &names.write_alias(1))]).await.expect("by hand");
    let report = context.migrator(before()).migrate().await;
    let state = context.cluster().indices(&[&names.index(1)]).await.expect("answered").remove(&names.index(1));
    let blocked = state.expect("there").write_blocked;
    let second = context.migrator(before()).migrate().await;
    assert!(!blocked, "{report:?}\n{second:?}");
}

async fn an_alias_for_writes_that_leads_to_two_indices_is_told(context: Context) {
    let names = context.prefix.group("notes");
    let store = context.store(before()).await;
    store.repository().create(note("1")).await.expect("created");
    let other = CreateIndex {
        name: format!("restored-{}", names.index(1)),
        mapping: json!({"dynamic": false}),
        aliases: vec![names.write_alias(1)],
        purpose: IndexPurpose::Serving,
        settings: Default::default(),
    };
    context.cluster().create_index(&other).await.expect("created");
    let error = store.repository().create(note("2")).await.expect_err("no write index");
    let status = context.migrator(before()).status().await.expect("answered");
    let report = context.migrator(before()).migrate().await;
    assert!(!status.blockers.is_empty() || status.indices[0].closed.is_some(), "{error:?}\n{status:?}\n{report:?}");
}

/// Lets another node migrate before this node sets its first write block in a state.
struct Overtaken {
    state: &'static str,
    context: Context,
    types: fn() -> Vec<TypeDefinition>,
    is_done: AtomicBool,
}

impl fmt::Debug for Overtaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Overtaken")
    }
}

#[async_trait]
impl Disturber for Overtaken {
    async fn fate(&self, call: &Call) -> Fate {
        if (call.method, call.state) == ("add_write_block", self.state) && !self.is_done.swap(true, Ordering::SeqCst) {
            let report = self.context.migrator((self.types)()).without_lease().migrate().await;
            assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
        }
        Fate::Done
    }
}

fn overtaken(context: &Context, state: &'static str, types: fn() -> Vec<TypeDefinition>) -> Arc<Disturbed> {
    let disturber = Overtaken { state, context: context.clone(), types, is_done: AtomicBool::new(false) };
    Arc::new(Disturbed::new(context.cluster(), Arc::new(disturber)))
}

async fn a_removal_that_a_swap_overtakes_leaves_no_block(context: Context) {
    let names = context.prefix.group("notes");
    create(&context, before(), "1").await;
    faults::killed_at_swap(&context, after(), OnBad::Fail).await;
    let cluster = overtaken(&context, "planning", after);
    let _ = context.migrator_on(cluster, after()).drop_old().await;
    let found = context.cluster().indices(&[names.alias()]).await.expect("answered");
    let start = context.migrator(after()).migrate().await;
    assert!(
        found.values().all(|state| !state.write_blocked),
        "{:?}\n{start:?}",
        found.iter().map(|(n, s)| (n, &s.aliases, s.write_blocked)).collect::<Vec<_>>()
    );
}

async fn a_clone_that_an_operator_made_is_kept(context: Context) {
    let names = context.prefix.group("notes");
    create(&context, before(), "1").await;
    let report = context.migrator(after()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    let cluster = context.cluster();
    cluster.add_write_block(&names.index(2)).await.expect("blocked");
    let clone =
        CloneIndex { source: names.index(2), target: names.index(9), aliases: vec![], settings: Default::default() };
    cluster.clone_index(&clone).await.expect("cloned");
    cluster.remove_write_block(&names.index(2)).await.expect("lifted");
    create(&context, after(), "2").await;
    let _ = context.migrator(after()).migrate().await;
    assert!(anywhere(&context, "1").await.contains(&names.index(9)), "{:?}", anywhere(&context, "1").await);
}

async fn an_index_with_the_meta_of_another_is_kept(context: Context) {
    let names = context.prefix.group("notes");
    create(&context, before(), "1").await;
    let report = context.migrator(after()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    let cluster = context.cluster();
    let mapping = cluster.indices(&[&names.index(2)]).await.expect("answered")[&names.index(2)].mapping.clone();
    let request = CreateIndex {
        name: names.index(9),
        mapping,
        aliases: vec!["mine".to_owned()],
        purpose: IndexPurpose::Serving,
        settings: Default::default(),
    };
    cluster.create_index(&request).await.expect("created");
    let operations = [BulkOperation {
        id: "note:other".to_owned(),
        action: BulkAction::Put { source: r#"{"type":"note"}"#.into() },
    }];
    let request = BulkRequest { alias: "mine", operations: &operations, refresh: Refresh::Later };
    cluster.bulk(&request).await.expect("written")[0].clone().expect("written");
    let report = context.migrator(after()).migrate().await;
    assert_eq!(anywhere(&context, "other").await, vec![names.index(9)], "{report:?}");
}

async fn a_block_that_comes_after_the_undoing_is_lifted(context: Context) {
    let names = context.prefix.group("notes");
    create(&context, before(), "1").await;
    let cluster = overtaken(&context, "block_source", before);
    let migrator = context.migrator_on(cluster.clone(), after()).without_lease();
    cluster.watch(migrator.progress());
    let report = tokio::time::timeout(Duration::from_secs(100), migrator.migrate()).await.expect("in time");
    let found = context.cluster().indices(&[names.alias()]).await.expect("answered");
    assert!(found.values().all(|state| !state.write_blocked), "{report:?}");
}

async fn a_closed_clone_fails_no_start(context: Context) {
    let names = context.prefix.group("notes");
    create(&context, before(), "1").await;
    faults::killed_at_swap(&context, after(), OnBad::Fail).await;
    context.memory.as_ref().expect("memory").close_index(&names.index(2)).expect("closed");
    let report = context.migrator(before()).migrate().await;
    let again = context.migrator(before()).migrate().await;
    assert_ne!(report.outcome, Outcome::Failed, "{report:?}\n{again:?}");
}

/// Creates an index of other software whose name begins as ours do. Returns its name.
async fn create_neighbour(context: &Context, name: &str) -> String {
    let name = format!("{}-{name}", context.prefix);
    let request = CreateIndex {
        name: name.clone(),
        mapping: json!({}),
        aliases: vec![],
        purpose: IndexPurpose::Serving,
        settings: Default::default(),
    };
    context.cluster().create_index(&request).await.expect("created");
    name
}

async fn a_blocked_neighbour_of_the_control_index_disturbs_no_start(context: Context) {
    create(&context, before(), "1").await;
    let name = create_neighbour(&context, "control-report").await;
    context.cluster().add_write_block(&name).await.expect("blocked");
    let report = context.migrator(before()).migrate().await;
    assert_eq!(report.outcome, Outcome::NothingToDo, "{report:?}");
}

async fn a_neighbour_with_a_metadata_block_disturbs_no_start(context: Context) {
    create(&context, before(), "1").await;
    let name = create_neighbour(&context, "notes-report").await;
    let put = HttpRequest {
        method: "PUT",
        path: format!("{name}/_block/metadata"),
        query: vec![],
        content_type: "application/json",
        body: None,
        timeout: Duration::from_secs(1),
    };
    let answer = context.memory.as_ref().expect("memory").answer(&put);
    assert_eq!(answer.status, 200, "{answer:?}");
    let report = context.migrator(before()).migrate().await;
    assert_eq!(report.outcome, Outcome::NothingToDo, "{report:?}");
}

async fn a_rollback_does_not_go_to_a_restored_source(context: Context) {
    let names = context.prefix.group("notes");
    let (first, second) = (names.index(1), names.index(2));
    let memory = context.memory.clone().expect("memory");
    create(&context, before(), "1").await;
    let backup = memory.snapshot(&[&first]).expect("taken");
    create(&context, before(), "2").await;
    let report = context.migrator(after()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    memory.restore(&backup, &first, RestoreOptions { with_aliases: false, over_closed: true }).expect("restored");
    let rolled = context.migrator(after()).rollback().await;
    let dropped = context.migrator(before()).drop_old().await;
    assert_eq!(anywhere(&context, "2").await, vec![second], "{rolled:?}\n{dropped:?}");
}

async fn status_and_removal_take_a_closed_generation(context: Context) {
    let names = context.prefix.group("notes");
    create(&context, before(), "1").await;
    create(&context, after(), "2").await;
    context.memory.as_ref().expect("memory").close_index(&names.index(1)).expect("closed");
    let status = context.migrator(after()).status().await.map_err(|e| e.to_string());
    let start = context.migrator(after()).migrate().await.outcome;
    let dropped = context.migrator(after()).drop_old().await;
    assert!(status.is_ok(), "{status:?}\n{start:?}\n{dropped:?}");
}

/// A stalled start undid the copy of another release, and resumes during the next copy.
async fn a_removal_that_stalls_leaves_the_next_copy_alone(context: Context) {
    let names = context.prefix.group("notes");
    create(&context, before(), "1").await;
    faults::killed_at_swap(&context, after(), OnBad::Fail).await;
    // The older release undoes the copy, but stalls before it blocks the clone; meanwhile the newer release copies.
    let cluster = overtaken(&context, "planning", after);
    let report = context.migrator_on(cluster, before()).without_lease().migrate().await;
    let found = context.cluster().indices(&[names.alias()]).await.expect("answered");
    assert!(
        found.values().all(|state| !state.write_blocked),
        "{report:?} {:?}",
        found.iter().map(|(n, s)| (n, s.write_blocked)).collect::<Vec<_>>()
    );
}

/// An operator moves aliases of both kinds from the first to the second generation: the write alias keeps its old name.
async fn the_alias_for_writes_of_another_generation_is_told(context: Context) {
    let names = context.prefix.group("notes");
    let (first, second) = (names.index(1), names.index(2));
    create(&context, before(), "1").await;
    create(&context, after(), "2").await;
    context.cluster().update_aliases(&[add(&second, &names.write_alias(1))]).await.expect("by hand");
    let status = context.migrator(after()).status().await.expect("answered");
    let start = context.migrator(after()).migrate().await;
    assert!(!status.blockers.is_empty(), "{first} {status:?} {start:?}");
}

/// The start has marked and blocked what it must then leave.
async fn a_start_that_may_not_delete_yet_says_that_it_did_something(context: Context) {
    let second = context.prefix.group("notes").index(2);
    let memory = context.memory.clone().expect("memory");
    create(&context, before(), "1").await;
    faults::killed_at_swap(&context, after(), OnBad::Fail).await;
    memory.begin_snapshot(&[&second]);
    for start in 0..2 {
        let report = context.migrator(before()).migrate().await;
        assert_eq!(report.outcome, Outcome::Migrated, "start {start}: {report:?}");
        let found = context.cluster().indices(&[&second]).await.expect("answered");
        assert_eq!(found[&second].aliases.len(), 0, "it is left as it was: {found:?}");
    }
    memory.end_snapshot();
    assert_eq!(context.migrator(before()).migrate().await.outcome, Outcome::Migrated);
    assert!(context.cluster().indices(&[&second]).await.expect("answered").is_empty());
    assert_eq!(context.migrator(before()).migrate().await.outcome, Outcome::NothingToDo);
}

/// A node may have encrypted into the staging index with an old key, and a swap would make the staging index current.
async fn a_rotation_waits_for_a_copy_that_was_stopped(context: Context) {
    create(&context, before(), "1").await;
    faults::killed_at_swap(&context, after(), OnBad::Fail).await;
    let environment = Environment::new(Arc::new(ImpatientClock::default()), Arc::new(SystemRng));
    let impatient = Context { environment, ..context.clone() };
    let rotation = KeyRotation::new(&impatient.engine(registry(before()), key_ring()));
    let error = rotation.rotate().await.expect_err("the copy was not undone");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    let undone = context.migrator(before()).migrate().await;
    assert_eq!(undone.outcome, Outcome::Migrated, "{undone:?}");
    rotation.rotate().await.expect("the copy was undone");
}
