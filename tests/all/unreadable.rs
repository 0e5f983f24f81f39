//! Model versions that change what is encrypted or bound, and what happens to secrets that cannot be decrypted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::encryption::{EncryptionService, Secret, Secrets};
use saved_objects::environment::{Environment, Rng, SystemClock, SystemRng};
use saved_objects::internals::Engine;
use saved_objects::migrate::{Fate, Migrator, OnBad, OnUnreadable, Outcome, Report, Way};
use saved_objects::registry::{Registry, TypeDefinition};
use saved_objects::repository::{Create, ObjectKey, Repository};
use saved_objects::verify::Verifier;
use saved_objects::{SavedObjects, Start};
use serde_json::{Value, json};

use crate::context::{Context, MEMORY, key_ring};
use crate::migration::{object, version};
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        what_versions_change_is_encrypted_again_in_place,
        what_versions_change_is_encrypted_again_by_a_copy,
        only_what_needs_it_is_encrypted_again,
        a_migration_that_changes_no_sets_seals_nothing_anew,
        secrets_that_do_not_open_fail_a_migration_in_place,
        secrets_that_do_not_open_fail_a_copy,
        secrets_that_do_not_open_go_to_quarantine,
        a_copy_leaves_secrets_that_do_not_open_in_quarantine,
        secrets_that_do_not_open_are_stripped,
        a_copy_strips_secrets_that_do_not_open,
    );
    if url != MEMORY {
        trials.extend(named_trials!(url, the_command_line_knows_the_policies));
    }
    trials
}

const LETTERS: usize = 30;

/// Returns letters as releases 1 to 5 have them. The second encrypts the pin under another name, removes the memo, and
/// binds the kind instead of the title; the third binds a level, which most letters do not have; the fourth raises it;
/// the fifth changes nothing that is encrypted or bound.
fn letters(release: usize, way: Way) -> Vec<TypeDefinition> {
    let encrypted =
        |names: &[&str]| names.iter().map(|name| json!({"name": name, "exposed": false})).collect::<Value>();
    let text = || json!({"type": "string"});
    let mut first = version(
        json!({"title": text(), "kind": text(), "pin": text(), "level": {"type": "integer"}, "body": text(), "memo": text()}),
        json!({"encrypted": encrypted(&["body", "memo"]), "bound": ["title"]}),
    );
    first["forward"] = Value::Null;
    let newer = |bound: Value, waived: &str| {
        let mut newer = version(
            json!({"title": text(), "kind": text(), "level": {"type": "integer"}, "body": text(), "sealedPin": text()}),
            json!({"encrypted": encrypted(&["body", "sealedPin"]), "bound": bound}),
        );
        newer["waivers"] = json!([{"rule": "two_releases", "attributes": [waived], "reason": "to encrypt again"}]);
        newer
    };
    let mut second = newer(json!(["kind"]), "kind");
    second["changes"] = json!([
        {"type": "transform", "name": "seal_pin"},
        {"type": "data_removal", "paths": ["memo"]},
    ]);
    if way == Way::Copy {
        let changes = second["changes"].as_array_mut().expect("a list");
        changes.push(json!({"type": "mappings_change", "attributes": ["title"]}));
    }
    let third = newer(json!(["kind", "level"]), "level");
    let mut fourth = third.clone();
    fourth["changes"] = json!([{"type": "transform", "name": "raise_level"}]);
    let mut fifth = third.clone();
    fifth["changes"] = json!([{"type": "data_backfill", "defaults": {"folder": "inbox"}}]);
    fifth["create"]["properties"]["folder"] = text();
    let title = if way == Way::Copy && release > 1 { "text" } else { "keyword" };
    let mapping = json!({"type": "letter", "group": "letters", "namespace_kind": "agnostic", "hidden": false, "exportable": true,
        "random_id": false, "identity": null, "removed": false,
        "mapping": {"dynamic": false, "properties": {"title": {"type": title}}}});
    let versions: Vec<_> = (1..)
        .zip([first, second, third, fourth, fifth])
        .take(release)
        .map(|(number, version)| (format!("{number}.json"), version.to_string()))
        .collect();
    vec![TypeDefinition::from_json("letter.json", &mapping.to_string(), &versions).expect("a valid definition")]
}

fn registry(release: usize, way: Way) -> Registry {
    let seal_pin = |attributes: &mut saved_objects::document::Attributes| {
        if let Some(pin) = attributes.remove("pin") {
            attributes.insert("sealedPin".to_owned(), pin);
        }
        Ok(())
    };
    let raise_level = |attributes: &mut saved_objects::document::Attributes| {
        if let Some(level) = attributes.get("level").and_then(Value::as_i64) {
            attributes.insert("level".to_owned(), json!(level + 1));
        }
        Ok(())
    };
    let builder = Registry::builder().with(letters(release, way)).transform("seal_pin", seal_pin);
    builder.transform("raise_level", raise_level).build().expect("the types go together")
}

fn migrator(context: &Context, release: usize, way: Way) -> Migrator {
    Migrator::new(&context.engine(registry(release, way), key_ring()))
}

async fn store(context: &Context, release: usize, way: Way, start: Start) -> Repository {
    let builder = SavedObjects::builder(registry(release, way)).prefix(context.prefix.clone()).key_ring(key_ring());
    let store = builder.cluster(context.cluster()).start(start).await.expect("the store starts");
    store.repository().clone()
}

fn id(number: usize) -> String {
    format!("letter-{number:02}")
}

fn key(number: usize) -> ObjectKey {
    ObjectKey::new("letter", id(number))
}

/// Stores letters of release 1: every third without secrets, every second with a pin in clear, every fifth with a
/// level.
async fn seed(context: &Context, way: Way) {
    let repository = store(context, 1, way, Start::Migrate).await;
    for number in 0..LETTERS {
        let mut attributes = object(json!({"title": format!("t{number}"), "kind": "private"}));
        if number % 2 == 0 {
            attributes.insert("pin".to_owned(), json!(format!("PIN-{number}")));
        }
        if number % 5 == 0 {
            attributes.insert("level".to_owned(), json!(number));
        }
        let mut create = Create::new("letter", attributes).id(id(number));
        if number % 3 != 0 {
            create = create.secret("body", Secret::text(&format!("dear {number}"))).secret("memo", Secret::text("old"));
        }
        repository.create(create).await.expect("created");
    }
    context.cluster().refresh(context.prefix.group("letters").alias()).await.expect("refreshed");
}

async fn stored(context: &Context, number: usize) -> Value {
    context.stored("letters", &format!("letter:{}", id(number))).await
}

fn expected_secrets(number: usize) -> Secrets {
    let mut secrets = Secrets::new();
    if !number.is_multiple_of(3) {
        secrets.insert("body".to_owned(), Secret::text(&format!("dear {number}")));
    }
    if number.is_multiple_of(2) {
        secrets.insert("sealedPin".to_owned(), Secret::text(&format!("PIN-{number}")));
    }
    secrets
}

async fn check_secrets(context: &Context, release: usize, way: Way, numbers: impl Iterator<Item = usize>) {
    let repository = store(context, release, way, Start::Skip).await;
    for number in numbers {
        let (_, secrets) = repository.get_with_secrets(&key(number)).await.expect("readable");
        assert_eq!(secrets, expected_secrets(number), "{number}");
    }
}

async fn unreadable(context: &Context, release: usize, way: Way) -> Vec<(String, Option<String>)> {
    let verifier = Verifier::new(&context.engine(registry(release, way), key_ring()));
    let report = verifier.expect("it has keys").verify().await.expect("everything can be reached");
    report.unreadable.into_iter().map(|one| (one.id, one.attribute)).collect()
}

async fn what_versions_change_is_encrypted_again_in_place(context: Context) {
    what_versions_change_is_encrypted_again(&context, Way::InPlace).await;
}

async fn what_versions_change_is_encrypted_again_by_a_copy(context: Context) {
    what_versions_change_is_encrypted_again(&context, Way::Copy).await;
}

async fn what_versions_change_is_encrypted_again(context: &Context, way: Way) {
    seed(context, way).await;
    let report = migrator(context, 2, way).migrate().await;
    assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, way), "{report:?}");
    assert_eq!((report.indices[0].documents.written, report.bad_total), (LETTERS as u64, 0), "{report:?}");
    check_secrets(context, 2, way, 0..LETTERS).await;
    for number in 0..LETTERS {
        let source = stored(context, number).await;
        let letter = &source["letter"];
        assert!(!source.to_string().contains("PIN-"), "no pin is in clear any more: {source}");
        assert!(letter.get("memo").is_none() && letter.get("pin").is_none(), "{source}");
        assert_eq!(letter.get("body").is_some(), number % 3 != 0, "{source}");
    }
    if way == Way::Copy {
        return;
    }
    // The kind is bound now, and the title is no longer bound.
    let (mut titled, mut of_other_kind) = (stored(context, 1).await, stored(context, 2).await);
    titled["letter"]["title"] = json!("changed");
    of_other_kind["letter"]["kind"] = json!("public");
    context.put("letters", "letter:letter-01", &titled).await;
    context.put("letters", "letter:letter-02", &of_other_kind).await;
    let of_kind = |name: &str| ("letter:letter-02".to_owned(), Some(name.to_owned()));
    assert_eq!(unreadable(context, 2, way).await, [of_kind("body"), of_kind("sealedPin")]);
}

async fn all_stored(context: &Context) -> Vec<Value> {
    let mut all = Vec::new();
    for number in 0..LETTERS {
        all.push(stored(context, number).await);
    }
    all
}

/// Draws nonces from the system, and counts them: each sealed secret takes one.
#[derive(Debug, Default)]
pub(crate) struct Counted(pub(crate) AtomicUsize);

impl Rng for Counted {
    fn fill(&self, bytes: &mut [u8]) -> saved_objects::Result<()> {
        self.0.fetch_add(bytes.len() / 16, Ordering::SeqCst);
        SystemRng.fill(bytes)
    }
}

/// Migrates to a release, and returns how many secrets were sealed for that.
async fn migrate_counted(context: &Context, release: usize) -> usize {
    let nonces = Arc::new(Counted::default());
    let environment = Environment::new(Arc::new(SystemClock::start()), nonces.clone());
    let encryption = EncryptionService::new(Some(key_ring()), environment);
    let (registry, prefix) = (Arc::new(registry(release, Way::InPlace)), context.prefix.clone());
    let engine = Engine::new(context.cluster(), registry, prefix, encryption, context.environment.clone());
    let report = Migrator::new(&engine).migrate().await;
    assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, Way::InPlace), "{report:?}");
    assert_eq!(report.indices[0].documents.written, LETTERS as u64, "every document is rewritten: {report:?}");
    nonces.0.load(Ordering::SeqCst)
}

async fn only_what_needs_it_is_encrypted_again(context: Context) {
    let way = Way::InPlace;
    seed(&context, way).await;
    assert_eq!(migrator(&context, 2, way).migrate().await.outcome, Outcome::Migrated);
    // Only an existing level is bound by the third release, and changed by the fourth.
    let sealed = |letters: &[Value]| -> usize {
        let has = |letter: &Value, name: &str| usize::from(letter["letter"][name].is_string());
        letters.iter().map(|letter| has(letter, "body") + has(letter, "sealedPin")).sum()
    };
    for release in [3, 4] {
        let before = all_stored(&context).await;
        let must_change = |number: usize| number.is_multiple_of(5);
        let changing: Vec<Value> =
            before.iter().enumerate().filter(|(number, _)| must_change(*number)).map(|(_, one)| one.clone()).collect();
        assert_eq!(migrate_counted(&context, release).await, sealed(&changing));
        for (number, (before, after)) in before.iter().zip(all_stored(&context).await).enumerate() {
            assert_eq!(after["typeMigrationVersion"], format!("10.{release}.0"));
            for name in ["body", "sealedPin"] {
                let (before, after) = (&before["letter"][name], &after["letter"][name]);
                assert_eq!(before != after, must_change(number) && before.is_string(), "{release} {number} {name}");
            }
        }
        check_secrets(&context, release, way, 0..LETTERS).await;
    }
}

async fn a_migration_that_changes_no_sets_seals_nothing_anew(context: Context) {
    let way = Way::InPlace;
    seed(&context, way).await;
    assert_eq!(migrator(&context, 4, way).migrate().await.outcome, Outcome::Migrated);
    let before = all_stored(&context).await;
    assert_eq!(migrate_counted(&context, 5).await, 0);
    for (before, after) in before.iter().zip(all_stored(&context).await) {
        assert_eq!((&after["typeMigrationVersion"], &after["letter"]["folder"]), (&json!("10.5.0"), &json!("inbox")));
        for name in ["body", "sealedPin"] {
            assert_eq!(before["letter"][name], after["letter"][name]);
        }
    }
    check_secrets(&context, 5, way, 0..LETTERS).await;
}

/// Stores letters, three of which cannot be decrypted: their titles, which are bound, were changed past the library.
async fn seed_with_unreadable(context: &Context, way: Way) -> Vec<String> {
    seed(context, way).await;
    let spoilt = [1, 2, 4];
    for number in spoilt {
        let mut source = stored(context, number).await;
        source["letter"]["title"] = json!("changed from outside");
        context.put("letters", &format!("letter:{}", id(number)), &source).await;
    }
    spoilt.map(|number| format!("letter:{}", id(number))).to_vec()
}

fn named(report: &Report) -> Vec<(String, Fate)> {
    let mut named: Vec<_> = report.bad.iter().map(|bad| (bad.id.clone(), bad.fate)).collect();
    named.sort_unstable_by(|one, other| one.0.cmp(&other.0));
    named
}

fn with_fate(ids: &[String], fate: Fate) -> Vec<(String, Fate)> {
    ids.iter().map(|id| (id.clone(), fate)).collect()
}

/// Returns the numbers of the unchanged letters.
fn good() -> impl Iterator<Item = usize> {
    (0..LETTERS).filter(|number| ![1, 2, 4].contains(number))
}

async fn secrets_that_do_not_open_fail_a_migration_in_place(context: Context) {
    secrets_that_do_not_open_fail(&context, Way::InPlace).await;
    let written = stored(&context, 0).await;
    assert_eq!(written["typeMigrationVersion"], "10.2.0", "the good ones are converted");
}

async fn secrets_that_do_not_open_fail_a_copy(context: Context) {
    secrets_that_do_not_open_fail(&context, Way::Copy).await;
    let names = context.prefix.group("letters");
    let indices = context.cluster().indices(&[&names.any()]).await.expect("answered");
    let (index, state) = indices.first_key_value().expect("an index");
    assert_eq!((indices.len(), index.as_str(), state.write_blocked), (1, names.index(1).as_str(), false));
}

/// The policy for other bad documents does not matter.
async fn secrets_that_do_not_open_fail(context: &Context, way: Way) {
    let ids = seed_with_unreadable(context, way).await;
    for on_bad in [OnBad::Fail, OnBad::Discard, OnBad::Quarantine] {
        let report = migrator(context, 2, way).on_bad(on_bad).migrate().await;
        assert_eq!((report.outcome, named(&report)), (Outcome::Failed, with_fate(&ids, Fate::Kept)), "{report:?}");
        let error = report.error.expect("an error");
        assert_eq!(error.kind, ErrorKind::Decrypt);
        assert!(error.hint.contains("--on-unreadable") && error.message.contains("3 of them"), "{error:?}");
        assert!(report.bad.iter().all(|bad| bad.reason.contains("the attribute \"body\" does not open")));
    }
}

async fn secrets_that_do_not_open_go_to_quarantine(context: Context) {
    secrets_that_do_not_open_are_put_aside(&context, Way::InPlace).await;
    // A restored letter is as it was, and a rescan would quarantine it again.
    let quarantine = context.quarantine();
    let restored = quarantine.restore(&["letter:letter-01".to_owned()]).await.expect("restored");
    assert_eq!((restored.restored.len(), restored.refused.len()), (1, 0));
    assert_eq!(stored(&context, 1).await["letter"]["title"], "changed from outside");
    let report = migrator(&context, 2, Way::InPlace).rescan().on_unreadable(OnUnreadable::Quarantine).migrate().await;
    assert_eq!((report.outcome, report.bad_total), (Outcome::Migrated, 1), "{report:?}");
}

async fn a_copy_leaves_secrets_that_do_not_open_in_quarantine(context: Context) {
    secrets_that_do_not_open_are_put_aside(&context, Way::Copy).await;
}

async fn secrets_that_do_not_open_are_put_aside(context: &Context, way: Way) {
    let ids = seed_with_unreadable(context, way).await;
    let report = migrator(context, 2, way).on_unreadable(OnUnreadable::Quarantine).migrate().await;
    assert_eq!((report.outcome, named(&report)), (Outcome::Migrated, with_fate(&ids, Fate::Quarantined)), "{report:?}");
    let documents = report.indices[0].documents;
    assert_eq!((documents.written, documents.quarantined), (LETTERS as u64 - 3, 3));
    assert_eq!(migrator(context, 2, way).migrate().await.outcome, Outcome::NothingToDo);
    assert_eq!(unreadable(context, 2, way).await, []);
    check_secrets(context, 2, way, good()).await;
    let quarantine = context.quarantine();
    let listed = quarantine.list().await.expect("listed");
    let listed: Vec<_> = listed.into_iter().map(|one| (one.id, one.attribute.expect("an attribute"))).collect();
    assert_eq!(listed, ids.into_iter().map(|id| (id, "body".to_owned())).collect::<Vec<_>>());
}

async fn secrets_that_do_not_open_are_stripped(context: Context) {
    strip(&context, Way::InPlace).await;
}

async fn a_copy_strips_secrets_that_do_not_open(context: Context) {
    strip(&context, Way::Copy).await;
}

async fn strip(context: &Context, way: Way) {
    let ids = seed_with_unreadable(context, way).await;
    let report = migrator(context, 2, way).on_unreadable(OnUnreadable::Strip).migrate().await;
    assert_eq!((report.outcome, named(&report)), (Outcome::Migrated, with_fate(&ids, Fate::Stripped)), "{report:?}");
    assert_eq!(report.indices[0].documents.written, LETTERS as u64, "{report:?}");
    check_secrets(context, 2, way, good()).await;
    let repository = store(context, 2, way, Start::Skip).await;
    for number in [1, 2, 4] {
        let (letter, secrets) = repository.get_with_secrets(&key(number)).await.expect("the rest is there");
        assert_eq!(letter.attributes["title"], "changed from outside");
        let mut expected = expected_secrets(number);
        expected.remove("body");
        assert_eq!(secrets, expected, "only what does not open is removed");
    }
    assert_eq!(unreadable(context, 2, way).await, []);
    assert_eq!(migrator(context, 2, way).migrate().await.outcome, Outcome::NothingToDo);
}

async fn the_command_line_knows_the_policies(context: Context) {
    let run = async |arguments: &[&str]| crate::cli::run(&context, arguments).await;
    let created = run(&["migrate", "--on-unreadable", "strip", "--on-bad", "discard", "--json"]).await;
    assert_eq!((created.code, &created.json()["outcome"]), (0, &json!("migrated")), "{created:?}");
    assert_eq!(run(&["migrate", "--on-unreadable", "discard"]).await.code, 64, "no secret is ever discarded");
}
