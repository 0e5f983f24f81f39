//! Secrets of overwritten objects: kept, replaced or removed by a line.

use std::io::Cursor;

use saved_objects::encryption::Secret;
use saved_objects::repository::{Create, Decision, Delete, Export, Import, Repository, SecretForm};
use serde_json::json;

use super::super::{key, object, put};
use super::{import, line, login, overwriting, repository};
use crate::context::Context;

async fn secrets_of(repository: &Repository) -> Vec<String> {
    let (_, secrets) = repository.get_with_secrets(&key("login", "l")).await.expect("they open");
    secrets.into_iter().map(|(name, secret)| format!("{name}={}", secret.expose_json())).collect()
}

pub(super) async fn a_line_without_secrets_keeps_those_of_what_it_overwrites(context: Context) {
    let repository = repository(&context).await;
    let request = Create::new("login", object(json!({"user": "kim"}))).id("l");
    repository.create(request.secret("password", Secret::text("s3cret"))).await.expect("created");
    let kept = r#"password="s3cret""#;

    // Unchanged, and with a changed bound attribute: then the secret is sealed again.
    for (user, has_changed) in [("kim", false), ("lee", true)] {
        let before = context.stored("things", "login:l").await["login"]["password"].clone();
        let summary = import(&repository, overwriting(), &[login(json!({"attributes": {"user": user}}))]).await;
        assert_eq!((summary.success, summary.success_count, summary.kept_secrets_count), (true, 1, 1), "{summary:?}");
        assert_eq!(secrets_of(&repository).await, [kept], "{user}");
        let after = context.stored("things", "login:l").await["login"]["password"].clone();
        assert_eq!(before != after, has_changed, "{user}");
    }
    // A decision about this one object overwrites as well.
    let decided = Import::new().decide("login", "l", Decision::Overwrite(None));
    assert_eq!(import(&repository, decided, &[login(json!({}))]).await.kept_secrets_count, 1);
    // The lines of an export without secrets can be imported again.
    let mut lines = Vec::new();
    repository.export(Export::objects([key("login", "l")]), &mut lines).await.expect("exported");
    let summary = repository.import(overwriting(), Cursor::new(lines)).await.expect("imported");
    assert_eq!(
        (summary.success, summary.kept_secrets_count, summary.is_complete),
        (true, 1, Some(true)),
        "{summary:?}"
    );
    assert_eq!(secrets_of(&repository).await, [kept]);

    // A line with one secret replaces all secrets, and a line with an empty set removes them.
    let summary = import(&repository, overwriting(), &[login(json!({"secrets": {"hint": "h"}}))]).await;
    assert_eq!((summary.kept_secrets_count, secrets_of(&repository).await), (0, vec![r#"hint="h""#.to_owned()]));
    let summary = import(&repository, overwriting(), &[login(json!({"secrets": {}}))]).await;
    assert_eq!((summary.kept_secrets_count, secrets_of(&repository).await.len()), (0, 0), "{summary:?}");
    // An export with secrets writes it in this way.
    let mut lines = Vec::new();
    let request = Export::objects([key("login", "l")]).secrets(SecretForm::Encrypted);
    repository.export(request, &mut lines).await.expect("exported");
    repository.delete(Delete::new(key("login", "l"))).await.expect("deleted");
    let request = Create::new("login", object(json!({"user": "kim"}))).id("l");
    repository.create(request.secret("password", Secret::text("later"))).await.expect("created");
    assert!(repository.import(overwriting(), Cursor::new(lines)).await.expect("imported").success);
    assert_eq!(secrets_of(&repository).await.len(), 0, "the object is as it was");
}

pub(super) async fn secrets_that_cannot_be_kept_are_found_first(context: Context) {
    let repository = repository(&context).await;
    let envelope = json!({"user": "kim", "password": "no envelope", "realm": "main"});
    put(&context, "things", "login:l", json!({"type": "login", "login": envelope, "typeMigrationVersion": "10.2.0"}))
        .await;
    let changed = login(json!({"attributes": {"user": "lee", "realm": "main"}}));
    let summary = import(&repository, overwriting(), &[line("note", "fine"), changed]).await;
    let told: Vec<_> = summary.errors.iter().map(|problem| (problem.line, problem.kind)).collect();
    assert_eq!((told, summary.success_count), (vec![(2, "unreadable")], 0), "{summary:?}");
    assert_eq!(repository.get_opt(&key("note", "fine")).await.expect("read"), None, "nothing was written");
    // A line with its own secrets overwrites the object.
    let whole = login(json!({"attributes": {"user": "lee", "realm": "main"}, "secrets": {"password": "new"}}));
    assert!(import(&repository, overwriting(), &[whole]).await.success);
    assert_eq!(secrets_of(&repository).await, [r#"password="new""#]);
}
