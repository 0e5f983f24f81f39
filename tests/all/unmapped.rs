//! What is stored at a model version is found by every field that the version maps, at the latest after the next
//! migration: however software was started, and whatever software wrote the document.

use std::io::Cursor;

use libtest_mimic::Trial;
use saved_objects::layout::{IndexMeta, Mapped};
use saved_objects::migrate::{Outcome, Way};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Create, Draft, Filter, Find, Import, ObjectKey, OnConflict, Replace};
use saved_objects::{ErrorKind, Repository, Result, Start};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        nothing_is_written_that_its_index_does_not_map,
        what_was_written_before_its_mapping_is_found_after_the_migration,
        a_migration_that_stopped_after_the_mapping_is_ended,
        a_rescan_finds_what_nothing_says_the_mapping_of,
        a_rescan_that_was_stopped_is_ended,
        a_mapping_that_a_rollback_took_back_is_missed,
        what_an_older_node_writes_late_is_found_after_a_rescan,
    )
}

const NEWEST: u32 = 5;
/// The releases that map a field, each with the field; the last one changes the mapping of `title`, which requires a
/// copy.
const FIELDS: &[(u32, &str)] = &[(2, "level"), (4, "rank")];

fn types(release: u32) -> Vec<TypeDefinition> {
    let title = if release < 5 { "keyword" } else { "text" };
    let mut fields = json!({"title": {"type": title}});
    let mut names = vec!["title"];
    for (_, field) in FIELDS.iter().filter(|(since, _)| *since <= release) {
        fields[*field] = json!({"type": "long"});
    }
    let changes = [
        json!([]),
        json!([{"type": "mappings_addition", "properties": {"level": {"type": "long"}}},
               {"type": "data_backfill", "defaults": {"level": 7}}]),
        json!([{"type": "data_backfill", "defaults": {"stars": 7}}]),
        json!([{"type": "mappings_addition", "properties": {"rank": {"type": "long"}}},
               {"type": "data_backfill", "defaults": {"rank": 7}}]),
        json!([{"type": "mappings_change", "attributes": ["title"]}]),
    ];
    let mapping = json!({
        "type": "page", "group": "pages", "namespace_kind": "agnostic", "exportable": true, "random_id": false,
        "mapping": {"dynamic": false, "properties": fields},
    });
    let mut versions = Vec::new();
    for number in 1..=release {
        names.extend([None, Some("level"), Some("stars"), Some("rank"), None][number as usize - 1]);
        let all: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        let version = json!({
            "changes": changes[number as usize - 1],
            "create": {"type": "object", "properties": all, "additionalProperties": false},
            "forward": {"type": "object", "properties": all},
        });
        versions.push((format!("{number}.json"), version.to_string()));
    }
    vec![TypeDefinition::from_json("page.json", &mapping.to_string(), &versions).expect("a valid definition")]
}

/// Returns the release whose mapping documents of this release need.
fn mapping_of(release: u32) -> u32 {
    [1, 2, 2, 4, 5][release as usize - 1]
}

fn attributes(release: u32) -> Map<String, Value> {
    let all = [(1, "title", json!("t")), (2, "level", json!(7)), (3, "stars", json!(7)), (4, "rank", json!(7))];
    let known = all.into_iter().filter(|(since, ..)| *since <= release);
    known.map(|(_, name, value)| (name.to_owned(), value)).collect()
}

fn document(release: u32) -> Value {
    json!({"type": "page", "page": attributes(release), "references": [], "typeMigrationVersion": format!("10.{release}.0")})
}

fn page(id: &str) -> ObjectKey {
    ObjectKey::new("page", id)
}

fn within(context: &Context, name: &str) -> Context {
    let prefix = format!("{}-{name}", context.prefix).parse().expect("a prefix");
    Context { prefix, ..context.clone() }
}

/// Returns pairs of an older and a newer release: all pairs in memory, some on a server.
fn releases(context: &Context) -> Vec<(u32, u32)> {
    match context.memory {
        Some(_) => (1..NEWEST).flat_map(|from| (from + 1..=NEWEST).map(move |to| (from, to))).collect(),
        None => vec![(1, 2), (2, 3), (1, 4), (3, NEWEST)],
    }
}

async fn skipping(context: &Context, release: u32) -> Repository {
    context.builder(types(release)).start(Start::Skip).await.expect("it starts").repository().clone()
}

/// Asserts that each field finds all documents.
async fn check_found(context: &Context, release: u32, what: &str) {
    let all = context.documents("pages").await;
    let repository = skipping(context, release).await;
    for (_, field) in FIELDS.iter().filter(|(since, _)| *since <= release) {
        let found = repository.find(&["page"], Find::new().filter(Filter::equals(*field, 7))).await.expect("found");
        assert_eq!(found.total, all, "{what}: by {field}");
    }
}

/// Writes an object of a release in every way.
async fn write(repository: &Repository, release: u32) -> Vec<(&'static str, Result<()>)> {
    let create = Create::new("page", attributes(release)).id("created");
    let overwriting = Create::new("page", attributes(release)).id("old").overwrite();
    let update = |draft: &mut Draft| {
        draft.attributes.insert("title".to_owned(), json!("t"));
        Ok(())
    };
    let line = |id: &str| {
        let line = json!({"type": "page", "id": id, "attributes": attributes(release),
            "typeMigrationVersion": format!("10.{release}.0"), "references": []});
        Cursor::new(format!("{line}\n").into_bytes())
    };
    let overwrite = || Import::new().on_conflict(OnConflict::Overwrite);
    vec![
        ("create", repository.create(create).await.map(drop)),
        ("overwrite", repository.create(overwriting).await.map(drop)),
        ("update", repository.update(&page("old"), update).await.map(drop)),
        ("replace", repository.replace(Replace::new(page("old"), attributes(release))).await.map(drop)),
        (
            "import",
            repository.import(Import::new(), line("imported")).await.map(|done| assert!(done.success, "{done:?}")),
        ),
        (
            "import over",
            repository.import(overwrite(), line("old")).await.map(|done| assert!(done.success, "{done:?}")),
        ),
    ]
}

async fn nothing_is_written_that_its_index_does_not_map(context: Context) {
    for (from, to) in releases(&context) {
        let (context, what) = (within(&context, &format!("{from}-{to}")), format!("{from} to {to}"));
        let older = context.store(types(from)).await;
        older.repository().create(Create::new("page", attributes(from)).id("old")).await.expect("created");
        let before = context.stored("pages", "page:old").await;
        let newer = skipping(&context, to).await;
        let is_refused = mapping_of(from) < mapping_of(to);
        for (way, written) in write(&newer, to).await {
            match written {
                Err(error) if is_refused => {
                    assert_eq!(error.kind(), ErrorKind::Incompatible, "{what}, {way}: {error}");
                    assert!(error.hint().is_some_and(|hint| hint.contains("migrate")), "{error}");
                }
                written => assert!(written.is_ok() && !is_refused, "{what}, {way}: {written:?}"),
            }
        }
        if is_refused {
            assert_eq!(context.documents("pages").await, 1, "{what}");
            assert_eq!(context.stored("pages", "page:old").await, before, "{what}");
        }
        // Another node migrates, and this node continues unchanged.
        assert_eq!(context.migrator(types(to)).migrate().await.outcome, Outcome::Migrated, "{what}");
        check_found(&context, to, &what).await;
        if is_refused {
            for (way, written) in write(&newer, to).await {
                assert!(written.is_ok(), "{what}, {way}: {written:?}");
            }
            check_found(&context, to, &what).await;
        }
    }
}

async fn what_was_written_before_its_mapping_is_found_after_the_migration(context: Context) {
    for (from, to) in releases(&context) {
        let (context, what) = (within(&context, &format!("{from}-{to}")), format!("{from} to {to}"));
        context.store(types(from)).await;
        for release in 1..=to {
            context.put("pages", &format!("page:{release}"), &document(release)).await;
        }
        let report = context.migrator(types(to)).migrate().await;
        assert_eq!(report.outcome, Outcome::Migrated, "{what}: {report:?}");
        check_found(&context, to, &what).await;
        let again = context.migrator(types(to)).rescan().migrate().await;
        assert_eq!(again.outcome, Outcome::NothingToDo, "{what}: {again:?}");
    }
}

/// Gives the first index the mapping of `release`, and the `_meta` of an index that this release created, without what
/// `leave_out` removes.
async fn map_by_hand(context: &Context, release: u32, leave_out: impl Fn(&mut IndexMeta)) {
    let other = within(context, "other");
    other.store(types(release)).await;
    let (index, like) = (context.index("pages"), other.index("pages"));
    let cluster = context.cluster();
    let mut mapping = cluster.indices(&[&like]).await.expect("answered").remove(&like).expect("there").mapping;
    let mut meta = IndexMeta::from_mapping(&mapping).expect("ours");
    leave_out(&mut meta);
    mapping["_meta"] = meta.into_meta(None);
    cluster.put_mapping(&index, &mapping).await.expect("it only adds");
}

async fn a_migration_that_stopped_after_the_mapping_is_ended(context: Context) {
    context.store(types(1)).await;
    context.put("pages", "page:old", &document(1)).await;
    context.put("pages", "page:early", &document(2)).await;
    map_by_hand(&context, 2, |meta| {
        let page = meta.types.get_mut("page").expect("recorded");
        (page.mapped, page.document_version) = (None, 1);
    })
    .await;
    let report = context.migrator(types(2)).migrate().await;
    assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::InPlace), "{report:?}");
    check_found(&context, 2, "after a stop").await;
}

async fn a_rescan_finds_what_nothing_says_the_mapping_of(context: Context) {
    context.store(types(1)).await;
    context.put("pages", "page:early", &document(2)).await;
    map_by_hand(&context, 2, |meta| meta.types.get_mut("page").expect("recorded").mapped = None).await;
    context.put("pages", "page:late", &document(2)).await;
    assert_eq!(context.migrator(types(2)).migrate().await.outcome, Outcome::NothingToDo, "a start does not look");
    let before = context.stored("pages", "page:early").await;
    let report = context.migrator(types(2)).rescan().migrate().await;
    assert_eq!((report.outcome, report.indices[0].documents.written), (Outcome::Migrated, 2), "{report:?}");
    assert_eq!(context.stored("pages", "page:early").await, before, "it is written again as it is");
    check_found(&context, 2, "after a rescan").await;
    let again = context.migrator(types(2)).rescan().migrate().await;
    assert_eq!(again.outcome, Outcome::NothingToDo, "{again:?}");
}

/// The stopped rescan had recorded when the index got the mapping, and had written no document again.
async fn a_rescan_that_was_stopped_is_ended(context: Context) {
    context.store(types(1)).await;
    context.put("pages", "page:early", &document(2)).await;
    let mapped = Some(Mapped { version: 2, writes: 1 });
    map_by_hand(&context, 2, |meta| meta.types.get_mut("page").expect("recorded").mapped = mapped).await;
    context.put("pages", "page:late", &document(2)).await;
    let report = context.migrator(types(2)).rescan().migrate().await;
    assert_eq!((report.outcome, report.indices[0].documents.written), (Outcome::Migrated, 1), "{report:?}");
    check_found(&context, 2, "after the second rescan").await;
    let again = context.migrator(types(2)).rescan().migrate().await;
    assert_eq!(again.outcome, Outcome::NothingToDo, "{again:?}");
}

async fn a_mapping_that_a_rollback_took_back_is_missed(context: Context) {
    let older = context.store(types(2)).await;
    older.repository().create(Create::new("page", attributes(2)).id("old")).await.expect("created");
    let newer = context.store(types(NEWEST)).await;
    assert_eq!(newer.start_report().expect("migrated").indices[0].way, Way::Copy);
    assert_eq!(context.migrator(types(NEWEST)).rollback().await.outcome, Outcome::RolledBack);
    // Nothing was stopped.
    for (way, written) in write(newer.repository(), NEWEST).await {
        let error = written.expect_err(way);
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{way}: {error}");
    }
    older.repository().create(Create::new("page", attributes(2)).id("more")).await.expect("older software goes on");
    context.put("pages", "page:past", &document(NEWEST)).await;
    assert_eq!(context.migrator(types(NEWEST)).migrate().await.outcome, Outcome::Migrated);
    check_found(&context, NEWEST, "after another copy").await;
    newer.repository().create(Create::new("page", attributes(NEWEST)).id("new")).await.expect("it goes on");
    check_found(&context, NEWEST, "of the newer node").await;
}

async fn what_an_older_node_writes_late_is_found_after_a_rescan(context: Context) {
    let older = context.store(types(1)).await;
    let report = context.migrator(types(2)).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated);
    older.repository().create(Create::new("page", attributes(1)).id("late")).await.expect("it goes on");
    let report = context.migrator(types(2)).rescan().migrate().await;
    assert_eq!((report.outcome, report.indices[0].documents.written), (Outcome::Migrated, 1), "{report:?}");
    check_found(&context, 2, "after a rescan").await;
}
