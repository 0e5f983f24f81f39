//! Hits of a search to objects with their decrypted secrets.

use std::sync::Arc;

use futures::FutureExt;

use super::fields;
use super::found::{ReadApart, Unreadable, Wanted};
use crate::Result;
use crate::cluster::{Hit, Hits};
use crate::encryption::Secrets;
use crate::repository::pipeline::many::on_pool;
use crate::repository::pipeline::read::{Fetched, Loaded};
use crate::repository::{Repository, SavedObject};

/// A document, with the type and the id of its object.
struct Of<D> {
    type_name: String,
    id: String,
    document: D,
}

impl Repository {
    /// Reads these hits and decrypts their secrets, in a task of its own that begins now. Returns them in their order.
    pub(super) fn read_with_secrets(&self, wanted: &Arc<Wanted>, hits: Vec<Hit>) -> ReadApart<(SavedObject, Secrets)> {
        let reading = self.clone().open_part(Arc::clone(wanted), Hits::from(hits));
        self.shared.engine.environment.spawn(reading).ending_with_owner().boxed()
    }

    async fn open_part(self, wanted: Arc<Wanted>, hits: Hits) -> Vec<Result<(SavedObject, Secrets), Unreadable>> {
        let environment = &self.shared.engine.environment;
        let raw_ids: Vec<String> = hits.iter().map(|hit| hit.id.to_owned()).collect();
        let fetched = self.documents_of(&wanted, &hits);
        drop(hits);
        let repository = self.clone();
        let converting = move |of: Result<Of<Fetched>>| {
            let Of { type_name, id, document } = of?;
            let document = repository.converted(repository.definition(&type_name)?, &id, document)?;
            Ok(Of { type_name, id, document })
        };
        let mut loaded: Vec<Result<Of<Loaded>>> = on_pool(environment, fetched, converting).await.collect();
        for of in &mut loaded {
            if let Ok(Of { type_name, id, document }) = of
                && let Err(error) = self.learn_sets_by_name(type_name, id, document).await
            {
                *of = Err(error);
            }
        }
        let repository = self.clone();
        let opening = move |of: Result<Of<Loaded>>| {
            let Of { type_name, id, mut document } = of?;
            let definition = repository.definition(&type_name)?;
            let secrets = repository.open(definition, &id, &mut document)?;
            let mut object = repository.view(definition, &id, document)?;
            if let Some(fields) = wanted.fields() {
                fields::pick(fields, &mut object.attributes);
            }
            Ok((object, secrets))
        };
        let opened = on_pool(environment, loaded, opening).await;
        raw_ids.into_iter().zip(opened).map(|(raw_id, it)| it.map_err(|error| Unreadable { raw_id, error })).collect()
    }

    fn documents_of(&self, wanted: &Wanted, hits: &Hits) -> Vec<Result<Of<Fetched>>> {
        let asked = self.asked(wanted.types().filter_map(|name| self.definition(name).ok()));
        let document_of = |hit| {
            let (definition, id, document) = self.document_of(&asked, hit, |_, _| &[])?;
            Ok(Of { type_name: definition.name().to_owned(), id: id.to_owned(), document })
        };
        hits.iter().map(document_of).collect()
    }

    async fn learn_sets_by_name(&self, type_name: &str, id: &str, loaded: &mut Loaded) -> Result<()> {
        self.learn_sets_for_secrets(self.definition(type_name)?, id, loaded).await
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use futures::TryStreamExt;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::{BulkAction, BulkOperation, BulkRequest, Refresh};
    use crate::document::Namespace;
    use crate::encryption::Secret;
    use crate::registry::{Registry, testing};
    use crate::repository::{Action, AuditOutcome, Authorization, Create, Find, ObjectKey, RecordingAudit};
    use crate::{ErrorKind, SavedObjects, Start};

    /// A store with `count` notes, whose secret is a `body`.
    async fn notes(count: usize) -> Repository {
        let file = testing::note(json!({ "random_id": false }));
        let note = testing::read(&file, &[testing::version(json!({}))]).expect("the type is fine");
        let registry = Registry::builder().with([note]).build().expect("the types are fine");
        let store = SavedObjects::in_memory(registry).expect("a store").start(Start::Migrate).await.expect("it starts");
        let repository = store.repository().clone();
        let create = |n: usize| {
            let attributes = json!({ "title": format!("t{n}") }).as_object().cloned().expect("an object");
            let secret = Secret::text(&format!("body of t{n}"));
            Create::new("note", attributes).id(format!("n{n}")).secret("body", secret).refresh(Refresh::WaitFor)
        };
        for created in repository.create_many((0..count).map(create)).await {
            created.expect("created");
        }
        repository
    }

    /// Replaces the envelope of a note by a value that cannot be decrypted.
    async fn tamper(repository: &Repository, id: &str) {
        let names = repository.names(repository.definition("note").expect("known"));
        let cluster = &repository.shared.engine.cluster;
        let hit = cluster.get(names.alias(), id).await.expect("answered").expect("stored");
        let mut source: Value = serde_json::from_str(hit.source.get()).expect("JSON");
        source["note"]["body"] = json!("bm90IGFuIGVudmVsb3Bl");
        let action = BulkAction::Replace { source: Bytes::from(source.to_string()), read: hit.sequence };
        let operations = [BulkOperation { id: id.to_owned(), action }];
        let request = BulkRequest { alias: &names.write_alias(1), operations: &operations, refresh: Refresh::WaitFor };
        cluster.bulk(&request).await.expect("answered").remove(0).expect("replaced");
        cluster.refresh(names.alias()).await.expect("refreshed");
    }

    #[tokio::test]
    async fn a_stream_returns_each_object_with_its_secrets() {
        // More than one part of a page, and more than is decrypted without the blocking pool.
        let repository = notes(300).await;
        tamper(&repository, "note:n7").await;
        let stream = repository.stream_with_secrets(&["note"], Find::new()).expect("the request is fine");
        let items: Vec<_> = stream.try_collect().await.expect("read");
        assert_eq!(items.len(), 300);
        let (read, unreadable): (Vec<_>, Vec<_>) = items.into_iter().partition(Result::is_ok);
        for (object, secrets) in read.into_iter().flatten() {
            let title = object.attributes["title"].as_str().expect("a text");
            assert_eq!(secrets["body"], Secret::text(&format!("body of {title}")));
            assert_eq!(object, repository.get(&ObjectKey::new("note", &object.id)).await.expect("read"));
        }
        let unreadable: Vec<_> = unreadable.into_iter().filter_map(Result::err).collect();
        let unreadable: Vec<_> = unreadable.iter().map(|it| (it.raw_id.as_str(), it.error.kind())).collect();
        assert_eq!(unreadable, [("note:n7", ErrorKind::Decrypt)]);

        let none = Find::new().fields(Vec::<String>::new());
        let stream = repository.stream_with_secrets(&["note"], none).expect("the request is fine");
        let items: Vec<_> = stream.try_collect().await.expect("read");
        assert!(items.iter().flatten().all(|(object, secrets)| object.attributes.is_empty() && secrets.len() == 1));
    }

    /// Allows one action.
    #[derive(Debug)]
    struct Only(Action);

    #[async_trait]
    impl Authorization for Only {
        async fn allows(&self, action: Action, _type_name: &str, _namespace: &Namespace) -> bool {
            action == self.0
        }
    }

    #[tokio::test]
    async fn a_stream_with_secrets_needs_two_permissions_and_the_audit_is_told_of_both() {
        let repository = notes(1).await;
        for action in [Action::Find, Action::GetSecrets] {
            let caller = repository.authorized_by(Arc::new(Only(action)));
            let stream = caller.stream_with_secrets(&["note"], Find::new()).expect("the request is fine");
            let refused = stream.try_collect::<Vec<_>>().await.expect_err("refused");
            assert_eq!(refused.kind(), ErrorKind::Forbidden, "{action:?} alone");
        }
        let audit = RecordingAudit::default();
        let caller = repository.audited_by(Arc::new(audit.clone()));
        let stream = caller.stream_with_secrets(&["note"], Find::new()).expect("the request is fine");
        assert_eq!(stream.try_collect::<Vec<_>>().await.expect("read").len(), 1);
        let told: Vec<_> = audit.events().into_iter().map(|event| (event.action, event.outcome)).collect();
        let both = |outcome| [(Action::Find, outcome), (Action::GetSecrets, outcome)];
        assert_eq!(told, [both(AuditOutcome::Admitted), both(AuditOutcome::Done)].concat());
    }
}
