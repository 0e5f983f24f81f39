//! What a store may delete: no index only for its name or number, and no generation that users may have written to.

use std::collections::BTreeMap;
use std::path::Path;

use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::cluster::memory::{RestoreOptions, Snapshot};
use saved_objects::cluster::{AliasAction, CreateIndex, History, IndexPurpose, IndexState};
use saved_objects::encryption::KeyRing;
use saved_objects::layout::{Complete, CopyRecord, Gate, IndexMeta, IndexNames, Prefix};
use saved_objects::migrate::{Blocker, OnBad, Outcome, Way};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Create, Delete, ObjectKey};
use saved_objects::rotation::KeyRotation;
use serde_json::json;

use crate::backup::Backup;
use crate::context::{Context, KEY, MEMORY, registry};
use crate::faults;
use crate::hints::{blocker, hint};
use crate::migration::{notes_before_and_after, object, version};
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        neighbours_are_left_alone,
        the_alias_moved_back_by_hand_loses_nothing,
        too_many_fields_leave_the_source_as_it_was,
    );
    if url == MEMORY {
        trials.extend(named_trials!(
            url,
            prefixes_that_run_into_each_other_are_refused,
            a_restored_generation_loses_nothing,
            a_number_is_not_given_again_after_a_restore,
            what_deletes_an_index_has_proof,
        ));
    }
    trials
}

/// Returns notes of one group at three releases: the second is reached in place, the third by a copy.
fn notes(group: &str, release: usize) -> Vec<TypeDefinition> {
    let sets = || json!({"encrypted": [], "bound": []});
    let first = version(json!({"title": {"type": "string"}}), sets());
    let mut second = version(json!({"title": {"type": "string"}, "stars": {"type": "integer"}}), sets());
    let mut third = second.clone();
    second["changes"] = json!([{"type": "data_backfill", "defaults": {"stars": 0}}]);
    third["changes"] = json!([{"type": "mappings_change", "attributes": ["title"]}]);
    let kind = if release == 3 { "text" } else { "keyword" };
    let mapping = json!({"type": "note", "group": group, "namespace_kind": "agnostic", "hidden": false, "exportable": true,
        "random_id": false, "identity": null, "removed": false,
        "mapping": {"dynamic": false, "properties": {"title": {"type": kind}}}});
    let versions: Vec<_> = [first, second, third][..release]
        .iter()
        .enumerate()
        .map(|(index, version)| (format!("{}.json", index + 1), version.to_string()))
        .collect();
    vec![TypeDefinition::from_json("note.json", &mapping.to_string(), &versions).expect("a valid definition")]
}

pub(crate) fn note(id: &str) -> Create {
    Create::new("note", object(json!({"title": "t"}))).id(id)
}

/// Returns a context of the same cluster with another prefix.
fn with_prefix(context: &Context, prefix: String) -> Context {
    Context { prefix: prefix.parse().expect("a prefix"), ..context.clone() }
}

type Indices = BTreeMap<String, (IndexState, History)>;

/// Returns the state of the indices with these names, and the number of writes that each has taken.
async fn indices(context: &Context, names: &[String]) -> Indices {
    let cluster = context.cluster();
    let mut all = BTreeMap::new();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for (name, state) in cluster.indices(&names).await.expect("answered") {
        let history = cluster.history(&name).await.expect("answered");
        all.insert(name, (state, history));
    }
    all
}

/// Creates indices whose names look like a group's staging indices, but that do not belong to it.
async fn indices_called_like_fills(context: &Context, names: &IndexNames) {
    let of_another_name = CopyRecord {
        source: names.index(1),
        source_uuid: "another".to_owned(),
        source_writes: 3,
        definitions: "d".to_owned(),
        complete: Some(Complete { uuid: "another".to_owned(), writes: 0 }),
        ..CopyRecord::default()
    };
    let with_record = IndexMeta { highest_generation: 9, copy: Some(of_another_name), ..IndexMeta::default() };
    for (name, mapping) in [
        (names.fill("report"), json!({"dynamic": false})),
        (names.fill("0123456789abcdef"), json!({"dynamic": false})),
        (names.fill("fedcba9876543210"), json!({"dynamic": false, "_meta": with_record.into_meta(None)})),
    ] {
        let aliases = vec![format!("{name}-write")];
        let request =
            CreateIndex { name, mapping, aliases, purpose: IndexPurpose::Serving, settings: Default::default() };
        context.cluster().create_index(&request).await.expect("created");
    }
}

/// Runs starts, migrations in place and by copy, an undone copy, a rollback, the deletion of old generations, and a key
/// rotation. After each of them the neighbours must be unchanged.
async fn live(context: &Context, group: &str, neighbours: &Indices) {
    let names: Vec<String> = neighbours.keys().cloned().collect();
    let untouched = async |what: &str| assert_eq!(&indices(context, &names).await, neighbours, "{what}");
    let migrator = |release| context.migrator(notes(group, release));
    let store = context.store(notes(group, 1)).await;
    for id in ["1", "2", "3"] {
        store.repository().create(note(id)).await.expect("created");
    }
    untouched("the first start").await;
    assert_eq!(migrator(1).migrate().await.outcome, Outcome::NothingToDo);
    untouched("a start with nothing to do").await;
    let report = migrator(2).migrate().await;
    assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::InPlace), "{report:?}");
    untouched("in place").await;
    context.put(group, "note:bad", &json!({"type": "note", "typeMigrationVersion": "10.1.0"})).await;
    let report = migrator(3).migrate().await;
    assert_eq!((report.outcome, report.bad_total), (Outcome::Failed, 1), "{report:?}");
    untouched("a copy that is undone").await;
    let discarding = async || {
        let report = migrator(3).on_bad(OnBad::Discard).migrate().await;
        assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::Copy), "{report:?}");
        report.indices[0].index.clone()
    };
    let of_group = context.prefix.group(group);
    assert_eq!(discarding().await, of_group.index(2), "the numbers of others say nothing");
    untouched("a copy").await;
    let report = migrator(3).rollback().await;
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    untouched("a rollback").await;
    assert_eq!(discarding().await, of_group.index(3));
    untouched("the copy after it").await;
    let report = migrator(3).drop_old().await;
    assert_eq!((report.outcome, report.dropped), (Outcome::Dropped, vec![of_group.index(1), of_group.index(2)]));
    untouched("the end of what was kept").await;
    let ring = KeyRing::new("another key for tests only: 0123456789".into(), vec![KEY.into()]).expect("fine keys");
    let rotation = KeyRotation::new(&context.engine(registry(notes(group, 3)), ring));
    rotation.rotate().await.expect("it ends");
    untouched("other keys").await;
}

/// Creates a store whose copy died just before its swap, with a staging index and a clone that another store could take
/// for its own.
async fn neighbour(context: &Context, group: &str) {
    let store = context.store(notes(group, 1)).await;
    store.repository().create(note("1")).await.expect("created");
    faults::killed_at_swap(context, notes(group, 3), OnBad::Fail).await;
}

async fn neighbours_are_left_alone(context: Context) {
    // The name of the group `notes` of one store begins with that of the group `own` of another store.
    for (round, lives_inside) in [("a", true), ("b", false)] {
        let part = |end: &str| with_prefix(&context, format!("{}-{round}{end}", context.prefix));
        let (around, own, within, beside) = (part(""), part("-own"), part("-own-notes"), part("-own-own"));
        let (living, group) = if lives_inside { (&own, "notes") } else { (&around, "own") };
        for (store, of_store) in [(&around, "own"), (&own, "notes"), (&within, "notes"), (&beside, "own")] {
            if store.prefix != living.prefix {
                neighbour(store, of_store).await;
            }
        }
        indices_called_like_fills(&context, &living.prefix.group(group)).await;
        let all = indices(&context, &[format!("{}-{round}*", context.prefix)]).await;
        assert!(all.len() > 8, "{:?}", all.keys());
        live(living, group, &all).await;
    }
}

async fn prefixes_that_run_into_each_other_are_refused(_: Context) {
    for prefix in ["so-notes-fill", "so-control", "so-notes-000001"] {
        let error = prefix.parse::<Prefix>().expect_err(prefix);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains(prefix) && error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
    }
}

pub(crate) fn before() -> Vec<TypeDefinition> {
    notes_before_and_after().0
}

pub(crate) fn after() -> Vec<TypeDefinition> {
    notes_before_and_after().1
}

pub(crate) async fn create(context: &Context, types: Vec<TypeDefinition>, id: &str) {
    context.store(types).await.repository().create(note(id)).await.expect("it takes writes");
}

/// Returns whether an index has a note, through any alias.
async fn has(context: &Context, index: &str, id: &str) -> bool {
    context.cluster().get(index, &format!("note:{id}")).await.expect("answered").is_some()
}

/// Returns the blocker with the part of its hint that begins with `start`: `hint` sends the first of several requests.
pub(crate) fn from(blocker: &Blocker, start: &str) -> Blocker {
    let at = blocker.hint.find(start).unwrap_or_else(|| panic!("{start:?} is in {blocker:?}"));
    Blocker { what: blocker.what.clone(), hint: blocker.hint[at..].to_owned() }
}

async fn nothing_to_do(context: &Context) {
    let report = context.migrator(after()).migrate().await;
    assert_eq!(report.outcome, Outcome::NothingToDo, "{report:?}");
}

/// A further start copies the first generation into the third, and keeps the second, which users wrote note 2 to. Only
/// an operator deletes the second.
async fn copies_beside_the_second(context: &Context) {
    let names = context.prefix.group("notes");
    let report = context.migrator(after()).migrate().await;
    assert_eq!((report.outcome, &report.indices[0].index), (Outcome::Migrated, &names.index(3)), "{report:?}");
    nothing_to_do(context).await;
    assert!(has(context, &names.index(2), "2").await, "what users wrote is still there");
    let report = context.migrator(after()).drop_old().await;
    assert_eq!((report.outcome, &report.dropped), (Outcome::Dropped, &vec![names.index(1)]), "{report:?}");
    assert_eq!(report.blockers.len(), 1, "{report:?}");
    assert!(report.blockers[0].what.contains(&names.index(2)), "{report:?}");
    assert!(report.blockers[0].hint.contains(&format!("DELETE /{}", names.index(2))), "{report:?}");
    assert!(has(context, &names.index(2), "2").await, "what users wrote is still there");
}

async fn the_alias_moved_back_by_hand_loses_nothing(context: Context) {
    let names = context.prefix.group("notes");
    let (first, second, alias) = (names.index(1), names.index(2), names.alias().to_owned());
    create(&context, before(), "1").await;
    create(&context, after(), "2").await;
    let move_back = async || {
        let actions = [
            AliasAction::Remove { index: second.clone(), alias: alias.clone() },
            AliasAction::Add { index: first.clone(), alias: alias.clone() },
        ];
        context.cluster().update_aliases(&actions).await.expect("moved");
    };
    move_back().await;
    for types in [before as fn() -> _, after] {
        let found = blocker(&context, types).await;
        assert!(found.what.starts_with(&format!("{second} still has its alias for writes")), "{found:?}");
    }
    // The first hint: make the second generation current again.
    let found = blocker(&context, after).await;
    hint(&context, &from(&found, &format!("If {second} holds")), &[]).await;
    nothing_to_do(&context).await;
    create(&context, after(), "3").await;
    assert!(has(&context, &alias, "2").await && has(&context, &second, "3").await);

    // The second hint: close the second generation. The first generation, which the copy had blocked, is opened as its
    // blocker says.
    move_back().await;
    let found = blocker(&context, after).await;
    hint(&context, &from(&found, &format!("If {first} does")), &[]).await;
    let found = blocker(&context, after).await;
    assert!(found.what.contains(&first) && found.what.contains("write block"), "{found:?}");
    hint(&context, &found, &[("<index>", &first)]).await;
    copies_beside_the_second(&context).await;
    assert!(has(&context, &second, "3").await);
}

/// A snapshot of one index.
enum Kept {
    Memory(Box<Snapshot>),
    Server(Backup),
}

impl Kept {
    /// Takes the snapshot. The server must have a folder for it.
    async fn of(context: &Context, index: &str) -> Self {
        match &context.memory {
            Some(memory) => Self::Memory(Box::new(memory.snapshot(&[index]).expect("it is there"))),
            None => Self::Server(Backup::of(context, index).await),
        }
    }

    /// Restores the snapshot with its aliases, next to the existing indices.
    async fn restore(self, context: &Context, index: &str) {
        match self {
            Self::Memory(snapshot) => {
                let options = RestoreOptions { with_aliases: true, over_closed: false };
                let memory = context.memory.as_ref().expect("it is in memory");
                memory.restore(&snapshot, index, options).expect("restored");
            }
            Self::Server(backup) => {
                backup.restore(index).await;
                backup.delete().await;
            }
        }
    }
}

pub(crate) async fn a_restored_generation_loses_nothing(context: Context) {
    for takes_from_the_second in [true, false] {
        let context = with_prefix(&context, format!("{}-{takes_from_the_second}", context.prefix));
        let names = context.prefix.group("notes");
        let (first, second) = (names.index(1), names.index(2));
        create(&context, before(), "1").await;
        let backup = Kept::of(&context, &first).await;
        create(&context, after(), "2").await;
        let dropped = context.migrator(after()).drop_old().await;
        assert_eq!(dropped.dropped, std::slice::from_ref(&first), "{dropped:?}");
        backup.restore(&context, &first).await;
        let found = blocker(&context, after).await;
        assert!(found.what.contains("several indices"), "{found:?}");
        let (other, current) = if takes_from_the_second { (&second, &first) } else { (&first, &second) };
        hint(&context, &found, &[("<the other>", other), ("<alias>", names.alias())]).await;
        let found = blocker(&context, after).await;
        assert!(found.what.starts_with(&format!("{other} still has its alias for writes")), "{found:?}");
        hint(&context, &from(&found, &format!("If {current} does")), &[]).await;
        if takes_from_the_second {
            copies_beside_the_second(&context).await;
            continue;
        }
        nothing_to_do(&context).await;
        create(&context, after(), "3").await;
        // No record is about the restored index.
        let report = context.migrator(after()).drop_old().await;
        assert_eq!((report.outcome, report.dropped.len()), (Outcome::Blocked, 0), "{report:?}");
        assert!(report.blockers[0].what.contains(&first), "{report:?}");
        assert!(has(&context, &first, "1").await && has(&context, names.alias(), "2").await);
    }
}

pub(crate) async fn a_number_is_not_given_again_after_a_restore(context: Context) {
    let names = context.prefix.group("notes");
    let (first, second) = (names.index(1), names.index(2));
    create(&context, before(), "1").await;
    let backup = Kept::of(&context, &first).await;
    let store = context.store(after()).await;
    let key = ObjectKey::new("note", "1");
    let stale = store.repository().get(&key).await.expect("copied").version;
    let dropped = context.migrator(after()).drop_old().await;
    assert_eq!(dropped.dropped, std::slice::from_ref(&first), "{dropped:?}");
    context.cluster().delete_index(&second).await.expect("deleted");
    backup.restore(&context, &first).await;
    let report = context.migrator(after()).migrate().await;
    assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::Copy), "{report:?}");
    assert_eq!(report.indices[0].index, names.index(3), "the control index knows that 2 was given");
    for store in [store, context.store(after()).await] {
        let delete = Delete::new(&key).version(stale);
        let error = store.repository().delete(delete).await.expect_err("it is of another generation");
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
}

/// Returns notes whose second version adds this many fields, or also changes the mapping.
fn wide(release: usize, is_change: bool) -> Vec<TypeDefinition> {
    let sets = || json!({"encrypted": [], "bound": []});
    let (mut properties, mut fields) = (json!({"title": {"type": "string"}}), json!({}));
    let first = version(properties.clone(), sets());
    for number in 0..1600 {
        properties[format!("f{number}")] = json!({"type": "string"});
        fields[format!("f{number}")] = json!({"type": "keyword"});
    }
    let mut second = version(properties, sets());
    let mut mapping = json!({"title": {"type": "keyword"}});
    let mut changes = vec![json!({"type": "mappings_addition", "properties": fields})];
    if is_change {
        changes.push(json!({"type": "mappings_change", "attributes": ["title"]}));
    }
    second["changes"] = json!(changes);
    if release == 2 {
        mapping.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        if is_change {
            mapping["title"] = json!({"type": "text"});
        }
    }
    let mapping = json!({"dynamic": false, "properties": mapping});
    crate::migration::note(first, mapping, &[second][..release - 1])
}

/// Asserts that users can write to the first generation as if there had been no copy, and that nothing of a copy is
/// left.
pub(crate) async fn assert_as_before(context: &Context) {
    let names = context.prefix.group("notes");
    let found = context.cluster().indices(&[&names.any()]).await.expect("answered");
    assert_eq!(found.keys().collect::<Vec<_>>(), [&names.index(1)]);
    let source = &found[&names.index(1)];
    assert_eq!(source.aliases.keys().collect::<Vec<_>>(), [names.alias(), &names.write_alias(1)]);
    assert!(!source.write_blocked && Gate::of(&names, 1, source.aliases.keys()).is_plain());
}

async fn too_many_fields_leave_the_source_as_it_was(context: Context) {
    for is_change in [false, true] {
        let context = with_prefix(&context, format!("{}-{is_change}", context.prefix));
        let old = context.store(wide(1, is_change)).await;
        old.repository().create(note("1")).await.expect("created");
        let report = context.migrator(wide(2, is_change)).migrate().await;
        assert_eq!(report.outcome, Outcome::Blocked, "{report:?}");
        let blocker = report.blockers.first().expect("it says why");
        assert!(blocker.hint.contains("index.mapping.total_fields.limit"), "{blocker:?}");
        assert_as_before(&context).await;
        old.repository().create(note("2")).await.expect("it takes writes");
        assert_eq!(context.migrator(wide(1, is_change)).migrate().await.outcome, Outcome::NothingToDo);
    }
}

/// The places where the engine deletes indices: file, code, and number of occurrences.
const DELETIONS: [(&str, &str, usize); 3] = [
    ("migrate/generations.rs", "RemoveIndex", 1),
    ("migrate/generations.rs", "delete_index(", 1),
    ("migrate/undo.rs", "RemoveIndex", 1),
];

async fn what_deletes_an_index_has_proof(_: Context) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src");
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            let name = path.strip_prefix(&root).expect("it is below").to_string_lossy().replace('\\', "/");
            // The requests themselves.
            if name == "cluster" {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("a text");
            let code = text.split("#[cfg(test)]").next().expect("split has a first part");
            for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
                for word in ["RemoveIndex", "delete_index("] {
                    *found.entry((name.clone(), word)).or_insert(0) += line.matches(word).count();
                }
            }
        }
    }
    let found: BTreeMap<_, _> = found.into_iter().filter(|(_, count)| *count > 0).collect();
    let known: BTreeMap<_, _> =
        DELETIONS.into_iter().map(|(file, word, count)| ((file.to_owned(), word), count)).collect();
    assert_eq!(found, known, "deletions need proof: see record 15");
}
