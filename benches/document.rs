//! Benchmark of the steps on one stored document, without a server: the time of each step in microseconds, as the
//! median of several rounds. `saved-objects bench …` measures whole operations and compares them with a raw loop. A
//! test run does each step once, to check that it works.

use std::collections::BTreeMap;
use std::hint::black_box;

use saved_objects::document::{DocumentHeader, StoredDocument};
use saved_objects::encryption::{Descriptor, EncryptionService, KeyRing, Secret, Secrets};
use saved_objects::environment::Environment;
use saved_objects::model::Transforms;
use saved_objects::tokens;

/// The number of rounds, and the number of repetitions in one round.
const MEASURED: (usize, u32) = (9, 5_000);
const TRIED: (usize, u32) = (1, 1);
const ID: &str = "2f1c9d5e-6d0b-4a53-9a57-0c9c1f6d8e01";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (rounds, times) = if std::env::args().any(|argument| argument == "--bench") { MEASURED } else { TRIED };
    let environment = Environment::system();
    let types = tokens::types()?;
    let token = types.iter().find(|definition| definition.name() == "connector_token").ok_or("no such type")?;
    let (history, sets) = (token.encryption(), &token.latest().sets);
    let encryption = EncryptionService::new(Some(KeyRing::demo()?), environment.clone());
    let descriptor = Descriptor { type_name: token.name(), namespace: None, id: ID };
    let secrets: Secrets =
        BTreeMap::from(["token", "refreshToken"].map(|name| (name.to_owned(), Secret::text(&"s3cr3t".repeat(36)))));

    let source = format!(
        r#"{{"type":"connector_token","references":[],"managed":false,"typeMigrationVersion":"10.1.0",
        "created_at":"2026-01-10T09:00:00.000Z","updated_at":"2026-01-10T09:00:00.000Z","connector_token":{{
        "connectorId":"{ID}","tokenType":"access_token","expiresAt":"2030-01-10T10:00:00.000Z",
        "createdAt":"2026-01-10T09:00:00.000Z","updatedAt":"2026-01-10T09:00:00.000Z"}}}}"#
    );
    let mut document = StoredDocument::from_source(source.as_bytes())?;
    encryption.seal(&descriptor, history, &mut document.attributes, &secrets)?;
    let source = String::from_utf8(document.to_source())?;

    let time = |step: &str, work: &mut dyn FnMut()| {
        let mut durations: Vec<f64> = (0..rounds)
            .map(|_| {
                let began = environment.clock().monotonic();
                (0..times).for_each(|_| work());
                environment.clock().monotonic().saturating_sub(began).as_secs_f64() * 1e6 / f64::from(times)
            })
            .collect();
        durations.sort_unstable_by(f64::total_cmp);
        println!("{step:<50} {:>7.2} µs", durations.get(rounds / 2).copied().unwrap_or_default());
    };
    println!("a document of {} bytes with two secrets", source.len());
    time("read its header", &mut || drop(black_box(DocumentHeader::from_source(&source))));
    time("read its header, then all of it", &mut || {
        drop(black_box(DocumentHeader::from_source(&source).and_then(DocumentHeader::into_document)));
    });
    time("read all of it at one go", &mut || drop(black_box(StoredDocument::from_source(source.as_bytes()))));
    time("read it at one go without its secrets", &mut || {
        let without_secrets = |_: &DocumentHeader<'_>| Some(|name: &str| !sets.encrypts(name));
        let header = DocumentHeader::with_attributes(&source, without_secrets);
        drop(black_box(header.and_then(DocumentHeader::into_document)));
    });
    time("upgrade a copy of it to the newest version", &mut || {
        let mut attributes = document.attributes.clone();
        drop(black_box(token.upgrade(&Transforms::default(), 1, &mut attributes)));
    });
    time("check it against the schema", &mut || drop(black_box(token.latest().create.validate(&document.attributes))));
    time("write it", &mut || drop(black_box(document.to_source())));
    let mut with_nonce = document.clone();
    with_nonce.root.write_nonce = Some("p8mB1cQ0pQ3m0mZ6a6d3Qq".to_owned());
    time("write it with a nonce", &mut || drop(black_box(with_nonce.to_source())));
    time("draw a nonce, which is done once a bulk", &mut || {
        let mut bytes = [0; 16];
        drop(black_box(environment.rng().fill(&mut bytes).map(|()| bytes)));
    });
    time("open its secrets", &mut || drop(black_box(encryption.open(&descriptor, history, &document.attributes))));
    let mut attributes = document.attributes.clone();
    time("seal its secrets", &mut || {
        drop(black_box(encryption.seal(&descriptor, history, &mut attributes, &secrets)));
    });
    Ok(())
}
