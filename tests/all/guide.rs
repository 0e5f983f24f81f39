//! The examples of `docs/using.md` work as they are written there.

use std::path::Path;

use libtest_mimic::Trial;
use saved_objects::registry::{Registry, read_definitions};
use saved_objects::repository::{Create, ObjectKey};
use saved_objects::{Repository, SavedObjects, Start};
use serde_json::json;

use crate::context::Context;
use crate::named_trials;

const PAGE: &str = include_str!("../../docs/using.md");

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, the_guides_type_goes_from_one_version_to_the_next)
}

/// Returns the page's files in order: each JSON block, under the name that precedes it.
fn files() -> Vec<(&'static str, &'static str)> {
    let named = PAGE.split("\n`definitions/").skip(1);
    named
        .map(|part| {
            let (name, rest) = part.split_once('`').expect("a name");
            let (_, rest) = rest.split_once("```json\n").expect("a block follows");
            (name, rest.split_once("```").expect("the block ends").0)
        })
        .collect()
}

async fn started(context: &Context, folder: &Path) -> Repository {
    let types = read_definitions(folder).expect("the definitions are fine");
    let registry = Registry::builder().with(types).build().expect("the types are fine");
    let builder = SavedObjects::builder(registry).cluster(context.cluster()).prefix(context.prefix.clone());
    builder.start(Start::Migrate).await.expect("it starts").repository().clone()
}

async fn the_guides_type_goes_from_one_version_to_the_next(context: Context) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = files();
    let names: Vec<_> = files.iter().map(|(name, _)| *name).collect();
    let (mapping, first, second) = ("mappings/note.json", "model_versions/note/1.json", "model_versions/note/2.json");
    assert_eq!(names, [mapping, first, mapping, second]);
    let write = |files: &[(&str, &str)]| {
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        }
    };
    write(&files[..2]);
    let attributes = json!({"title": "Milk", "text": "two bottles"});
    let note = |id: &str| Create::new("note", attributes.as_object().cloned().expect("an object")).id(id);
    let created = started(&context, folder.path()).await.create(note("n1")).await.expect("created");
    assert_eq!(created.model_version, 1);
    write(&files[2..]);
    let migrated = started(&context, folder.path()).await.get(&ObjectKey::new("note", "n1")).await.expect("there");
    assert_eq!((migrated.model_version, &migrated.attributes["state"]), (2, &json!("open")));
}
