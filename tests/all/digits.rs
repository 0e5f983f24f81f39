//! Numbers that no caller changes keep their digits in all operations on their documents; or they are refused by name
//! before anything is written.

use std::collections::BTreeMap;
use std::io::Cursor;

use libtest_mimic::Trial;
use saved_objects::encryption::KeyRing;
use saved_objects::migrate::{OnBad, Outcome, Way};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Export, Import, ImportSummary, ObjectKey, OnConflict, Replace, SecretForm};
use saved_objects::rotation::KeyRotation;
use saved_objects::{ErrorKind, Repository, Start};
use secrecy::SecretString;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::context::{Context, KEY, registry};
use crate::dice::Dice;
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        numbers_keep_their_digits_whatever_is_done,
        numbers_of_newer_documents_keep_their_digits,
        a_number_that_cannot_be_read_is_named,
        an_import_of_other_digits_is_another_object,
    )
}

const OBJECTS: usize = 12;

/// Returns a type that takes any attributes; the second release adds one, and the third release is reached by a copy.
fn types(release: usize) -> Vec<TypeDefinition> {
    let title = if release < 3 { "keyword" } else { "text" };
    let mapping = json!({
        "type": "loose", "group": "loose", "namespace_kind": "agnostic", "exportable": true, "random_id": false,
        "mapping": {"dynamic": false, "properties": {"title": {"type": title}}},
    });
    let changes = [
        json!([]),
        json!([{"type": "data_backfill", "defaults": {"added": 0.1}}]),
        json!([{"type": "mappings_change", "attributes": ["title"]}, {"type": "data_backfill", "defaults": {"more": 0.0}}]),
    ];
    let version = |number: usize| {
        let names = [&["title", "password", "data"][..], &["added"], &["more"]];
        let names = names[..=number].concat();
        let of = |name: &&str| if *name == "password" { json!({"type": "string"}) } else { json!({}) };
        let all: serde_json::Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), of(name))).collect();
        let version = json!({
            "changes": changes[number], "encrypted": [{"name": "password"}], "bound": ["data"],
            "create": {"type": "object", "additionalProperties": true, "properties": all},
            "forward": {"type": "object", "properties": all},
        });
        (format!("{}.json", number + 1), version.to_string())
    };
    let versions: Vec<_> = (0..release).map(version).collect();
    vec![TypeDefinition::from_json("loose.json", &mapping.to_string(), &versions).expect("a valid definition")]
}

/// Returns JSON with numbers of all kinds, without spaces and with sorted names.
fn data(dice: &Dice, depth: u64) -> String {
    const NUMBERS: &[&str] = &[
        "0",
        "-0",
        "-0.0",
        "1.0",
        "1.00",
        "1e0",
        "1E5",
        "1e-400",
        "-1e-401",
        "0.1",
        "0.10",
        "0.12345678901234567890123",
        "1234567890123456789.01",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "123456789012345678901234567890",
        "123456789012345678901234567891",
        "1.7976931348623157e308",
        "1e-99999999999",
    ];
    match (depth, dice.below(4)) {
        (1.., 0) => {
            let items: Vec<String> = (0..dice.below(4)).map(|_| data(dice, depth - 1)).collect();
            format!("[{}]", items.join(","))
        }
        (1.., 1 | 2) => {
            let members: Vec<String> =
                ["a", "b/c", "d~"].iter().map(|name| format!("\"{name}\":{}", data(dice, depth - 1))).collect();
            format!("{{{}}}", members.join(","))
        }
        _ => NUMBERS[usize::try_from(dice.below(NUMBERS.len() as u64)).expect("small")].to_owned(),
    }
}

fn all_data() -> Vec<String> {
    let dice = Dice::new(11);
    (0..OBJECTS).map(|_| data(&dice, 3)).collect()
}

const SECRET: &str = r#"{"n":[123456789012345678901234567890,1E5]}"#;

fn line(id: usize, data: &str) -> String {
    format!(
        "{{\"type\":\"loose\",\"id\":\"{id}\",\"attributes\":{{\"title\":\"t\",\"data\": {data} }},\"references\":[],\
         \"accessControl\":{{\"n\":1.50}},\"secrets\":{{\"password\": {SECRET} }}}}\n"
    )
}

async fn import(repository: &Repository, request: Import, file: &str) -> ImportSummary {
    repository.import(request, Cursor::new(file.as_bytes().to_vec())).await.expect("it came to an end")
}

async fn export(repository: &Repository, secrets: SecretForm) -> String {
    let keys = (0..OBJECTS).map(|id| ObjectKey::new("loose", id.to_string()));
    let mut bytes = Vec::new();
    repository.export(Export::objects(keys).secrets(secrets), &mut bytes).await.expect("exported");
    String::from_utf8(bytes).expect("UTF-8")
}

type Raw = BTreeMap<String, Box<RawValue>>;

/// Returns the text of a stored document.
async fn source(context: &Context, id: usize) -> String {
    let names = context.prefix.group("loose");
    let hit = context.cluster().get(names.alias(), &format!("loose:{id}")).await.expect("the cluster answers");
    hit.expect("it is there").source.get().to_owned()
}

/// Asserts that what was written first is stored digit for digit.
async fn check(context: &Context, what: &str) {
    for (id, data) in all_data().iter().enumerate() {
        let source = source(context, id).await;
        let root: Raw = serde_json::from_str(&source).expect("JSON");
        let attributes: Raw = serde_json::from_str(root["loose"].get()).expect("JSON");
        assert_eq!(attributes["data"].get(), data, "{what}: {source}");
        assert_eq!(root["accessControl"].get(), r#"{"n":1.50}"#, "{what}: {source}");
    }
}

async fn check_secrets(repository: &Repository) {
    for id in 0..OBJECTS {
        let (_, secrets) = repository.get_with_secrets(&key(id)).await.expect("opens");
        assert_eq!(secrets["password"].expose_json(), SECRET);
    }
}

fn key(id: usize) -> ObjectKey {
    ObjectKey::new("loose", id.to_string())
}

async fn numbers_keep_their_digits_whatever_is_done(context: Context) {
    let file: String = all_data().iter().enumerate().map(|(id, data)| line(id, data)).collect();
    let store = context.store(types(1)).await;
    let repository = store.repository();
    let summary = import(repository, Import::new(), &file).await;
    assert!(summary.success, "{summary:?}");
    check(&context, "import").await;
    check_secrets(repository).await;
    let again = import(repository, Import::new().on_conflict(OnConflict::Resume), &file).await;
    assert_eq!((again.success, again.already_there_count), (true, OBJECTS as u64), "{again:?}");

    for id in 0..OBJECTS {
        let change = |draft: &mut saved_objects::repository::Draft| {
            draft.attributes.insert("title".to_owned(), json!("another"));
            draft.attributes.insert("tags".to_owned(), json!([0.1, 0.0]));
            Ok(())
        };
        let updated = repository.update(&key(id), change).await.expect("updated");
        let mut attributes = updated.attributes.clone();
        attributes.insert("title".to_owned(), json!("replaced"));
        let (_, secrets) = repository.get_with_secrets(&key(id)).await.expect("opens");
        repository.replace(Replace::of(&updated, attributes).secrets(secrets)).await.expect("replaced");
    }
    check(&context, "update and replace").await;

    for (release, way) in [(2, Way::InPlace), (3, Way::Copy)] {
        let report = context.migrator(types(release)).migrate().await;
        assert_eq!((report.outcome, report.indices[0].way), (Outcome::Migrated, way), "{report:?}");
        check(&context, "migration").await;
    }
    let added: Raw = serde_json::from_str(&source(&context, 0).await).expect("JSON");
    assert!(added["loose"].get().contains(r#""added":0.1"#) && added["loose"].get().contains(r#""more":0.0"#));
    let ring = KeyRing::new(SecretString::from("another key for tests: 0123456789abcdef"), vec![KEY.into()]);
    let rotation = KeyRotation::new(&context.engine(registry(types(3)), ring.expect("fine keys")));
    let report = rotation.rotate().await.expect("it ends");
    assert_eq!((report.documents.rotated, report.not_rotated.len()), (OBJECTS as u64, 0), "{report:?}");
    check(&context, "rotation").await;

    let ring = KeyRing::new(SecretString::from("another key for tests: 0123456789abcdef"), vec![KEY.into()]);
    let store =
        context.builder(types(3)).key_ring(ring.expect("fine keys")).start(Start::Migrate).await.expect("starts");
    check_secrets(store.repository()).await;
    for secrets in [SecretForm::Encrypted, SecretForm::Clear] {
        let file = export(store.repository(), secrets).await;
        for id in 0..OBJECTS {
            store.repository().delete(&key(id)).await.expect("deleted");
        }
        let summary = import(store.repository(), Import::new(), &file).await;
        assert!(summary.success, "{summary:?}");
        check(&context, "export and import").await;
        check_secrets(store.repository()).await;
        let overwriting = Import::new().on_conflict(OnConflict::Overwrite);
        assert!(import(store.repository(), overwriting, &file).await.success);
        check(&context, "overwriting").await;
    }
}

async fn numbers_of_newer_documents_keep_their_digits(context: Context) {
    let store = context.store(types(1)).await;
    let file: String = all_data().iter().enumerate().map(|(id, data)| line(id, data)).collect();
    assert!(import(store.repository(), Import::new(), &file).await.success);
    assert_eq!(context.migrator(types(2)).migrate().await.outcome, Outcome::Migrated);
    for id in 0..OBJECTS {
        let change = |draft: &mut saved_objects::repository::Draft| {
            draft.attributes.insert("title".to_owned(), json!("by older software"));
            Ok(())
        };
        store.repository().update(&key(id), change).await.expect("merged");
        let stored: Value = serde_json::from_str(&source(&context, id).await).expect("JSON");
        assert_eq!(stored["typeMigrationVersion"], "10.2.0");
    }
    check(&context, "merging").await;
    check_secrets(store.repository()).await;
}

async fn a_number_that_cannot_be_read_is_named(context: Context) {
    let store = context.store(types(1)).await;
    let repository = store.repository();
    let file = line(0, "1.50") + &line(1, r#"[1,{"x":-1e400}]"#);
    let refused = import(repository, Import::new(), &file).await;
    assert_eq!((refused.success, refused.success_count), (false, 0), "nothing is written: {refused:?}");
    assert_eq!(refused.errors[0].line, 2);
    assert!(refused.errors[0].message.contains("/attributes/data/1/x"), "{refused:?}");
    assert_eq!(context.documents("loose").await, 0);

    let stored = r#"{"type":"loose","loose":{"data":[1e400]},"typeMigrationVersion":"10.1.0"}"#;
    context.put_text("loose", "loose:0", stored.to_owned()).await;
    let error = repository.get(&key(0)).await.expect_err("it cannot be read");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("/data/0"), "{error}");
    let report = context.migrator(types(2)).migrate().await;
    assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
    assert!(report.bad[0].reason.contains("/data/0"), "{report:?}");
    assert_eq!(source(&context, 0).await, stored);
    // The document goes into quarantine and comes back unchanged.
    let report = context.migrator(types(2)).on_bad(OnBad::Quarantine).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    assert_eq!(context.documents("loose").await, 0);
    let quarantine = context.quarantine();
    quarantine.restore(&["loose:0".to_owned()]).await.expect("restored");
    assert_eq!(source(&context, 0).await, stored);
}

async fn an_import_of_other_digits_is_another_object(context: Context) {
    let store = context.store(types(1)).await;
    let resume = || Import::new().on_conflict(OnConflict::Resume);
    assert!(import(store.repository(), resume(), &line(0, "123456789012345678901234567890")).await.success);
    let there = import(store.repository(), resume(), &line(0, "123456789012345678901234567890")).await;
    assert_eq!((there.success, there.already_there_count), (true, 1), "{there:?}");
    let other = import(store.repository(), resume(), &line(0, "123456789012345678901234567891")).await;
    assert_eq!((other.success, other.already_there_count), (false, 0), "{other:?}");
    // After an overwrite the object has the digits of the file.
    let overwrite = Import::new().on_conflict(OnConflict::Overwrite);
    assert!(import(store.repository(), overwrite, &line(0, "123456789012345678901234567891")).await.success);
    assert!(source(&context, 0).await.contains("123456789012345678901234567891"));
}
