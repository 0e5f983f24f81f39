//! The platform's rules are asked first, and hear of everything.

use std::sync::Arc;

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::document::Namespace;
use saved_objects::repository::{
    Action, Authorization, Delete, Export, Find, Import, RecordingAudit, Replace, SecretForm,
};
use serde_json::json;

use super::{key, kind, note, object, store_of, types};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, what_is_not_allowed_is_refused_first, every_operation_is_heard_of)
}

/// Allows one action on notes.
#[derive(Debug)]
struct Only(Option<Action>);

#[async_trait]
impl Authorization for Only {
    async fn allows(&self, action: Action, type_name: &str, _namespace: &Namespace) -> bool {
        Some(action) == self.0 && type_name == "note"
    }
}

async fn what_is_not_allowed_is_refused_first(context: Context) {
    let open = store_of(&context, types::all_exportable(), saved_objects::Start::Migrate).await.0.repository().clone();
    let there = open.create(note("there", json!({"title": "t"}))).await.expect("created");
    let none = open.authorized_by(Arc::new(Only(None)));
    // Refused alike, whether or not the object is there.
    for id in ["there", "missing"] {
        assert_eq!(kind(none.get(&key("note", id)).await), ErrorKind::Forbidden);
        assert_eq!(kind(none.get_with_secrets(&key("note", id)).await), ErrorKind::Forbidden);
        assert_eq!(kind(none.create(note(id, json!({"title": "t"}))).await), ErrorKind::Forbidden);
        assert_eq!(kind(none.update(&key("note", id), |_| Ok(())).await), ErrorKind::Forbidden);
        assert_eq!(kind(none.delete(Delete::new(key("note", id))).await), ErrorKind::Forbidden);
    }
    assert_eq!(kind(none.replace(Replace::of(&there, object(json!({"title": "u"})))).await), ErrorKind::Forbidden);
    assert_eq!(kind(none.find(&["note"], Find::new()).await), ErrorKind::Forbidden);
    let mut stream = none.stream(&["note"], Find::new()).expect("a stream");
    let first = futures::StreamExt::next(&mut stream).await.expect("an item");
    assert_eq!(first.expect_err("refused").kind(), ErrorKind::Forbidden);
    assert_eq!(kind(none.export(Export::found(["note"], Find::new()), Vec::new()).await), ErrorKind::Forbidden);
    let line = json!({"type": "note", "id": "n", "attributes": {"title": "t"}}).to_string();
    let file = || std::io::Cursor::new(line.clone().into_bytes());
    assert_eq!(kind(none.import(Import::new(), file()).await), ErrorKind::Forbidden);

    let reader = open.authorized_by(Arc::new(Only(Some(Action::Get))));
    assert_eq!(reader.get(&key("note", "there")).await.expect("allowed").id, "there");
    assert_eq!(kind(reader.find(&["note"], Find::new()).await), ErrorKind::Forbidden);
    assert_eq!(kind(reader.get(&key("login", "there")).await), ErrorKind::Forbidden, "another type");
    // Secrets in the clear need more than an export.
    let exporter = open.authorized_by(Arc::new(Only(Some(Action::Export))));
    let export = || Export::found(["note"], Find::new());
    assert!(exporter.export(export(), Vec::new()).await.is_ok());
    let clear = export().secrets(SecretForm::Clear);
    assert_eq!(kind(exporter.export(clear, Vec::new()).await), ErrorKind::Forbidden);
    let unchanged = open.get(&key("note", "there")).await.expect("it is there");
    assert_eq!(unchanged, there, "nothing was written");
}

async fn every_operation_is_heard_of(context: Context) {
    let audit = RecordingAudit::default();
    let open = store_of(&context, types::all(), saved_objects::Start::Migrate).await.0.repository().clone();
    let repository = open.audited_by(Arc::new(audit.clone()));
    let created = repository.create(note("a", json!({"title": "do not tell"}))).await.expect("created");
    repository.get(&key("note", "a")).await.expect("read");
    repository.find(&["note", "badge"], Find::new()).await.expect("found");
    repository.delete(Delete::of(&created)).await.expect("deleted");
    let refused = repository.authorized_by(Arc::new(Only(None)));
    assert!(refused.get(&key("note", "a")).await.is_err());
    let events = audit.events();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.action, event.type_name.as_str(), event.id.as_deref(), event.admitted))
        .collect();
    assert_eq!(
        told,
        [
            (Action::Create, "note", Some("a"), true),
            (Action::Get, "note", Some("a"), true),
            (Action::Find, "note", None, true),
            (Action::Find, "badge", None, true),
            (Action::Delete, "note", Some("a"), true),
            (Action::Get, "note", Some("a"), false),
        ]
    );
    assert!(!format!("{events:?}").contains("do not tell"));
}
