//! The typed client `Objects<T>`.

use futures::TryStreamExt;
use libtest_mimic::Trial;
use saved_objects::document::Namespace;
use saved_objects::encryption::{Secret, Secrets};
use saved_objects::repository::{Action, AuditOutcome, ChangeNamespaces, Find, RecordingAudit, SecretChange};
use saved_objects::{Change, Error, ErrorKind, Object, Objects, Result, SecretAttributes, Start};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{kind, put, refresh, store_of, stored, types};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_typed_object_lives_from_create_to_delete,
        an_update_keeps_what_the_struct_does_not_know,
        attributes_that_do_not_fit_the_struct_are_told_apart,
        what_is_refused_of_many_changes_no_secret,
        a_client_reaches_what_its_namespace_sees,
    )
}

struct Login;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LoginAttributes {
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Password(Secret);

impl Object for Login {
    const TYPE: &'static str = "login";
    type Attributes = LoginAttributes;
    type Secrets = Password;
}

impl SecretAttributes for Password {
    fn from_secrets(mut secrets: Secrets) -> Result<Self> {
        let missing = || Error::new(ErrorKind::Corrupt, "the password is missing");
        secrets.remove("password").map(Self).ok_or_else(missing)
    }

    fn into_secrets(self) -> Secrets {
        [("password".to_owned(), self.0)].into()
    }
}

struct Vault;

impl Object for Vault {
    const TYPE: &'static str = "vault";
    type Attributes = serde_json::Map<String, serde_json::Value>;
    type Secrets = ();
}

async fn logins(context: &Context) -> Objects<Login> {
    store_of(context, types::all(), Start::Migrate).await.0.objects().expect("registered")
}

fn kim() -> LoginAttributes {
    LoginAttributes { user: "kim".to_owned(), hint: Some("h".to_owned()) }
}

async fn a_typed_object_lives_from_create_to_delete(context: Context) {
    let logins = logins(&context).await;
    let created = logins.create(&kim(), Password(Secret::text("P"))).await.expect("created");
    assert_eq!(created.attributes, kim());
    let (read, password) = logins.get_with_secrets(&created.id).await.expect("there");
    assert_eq!((read, password), (created.clone(), Password(Secret::text("P"))));

    let updated = logins.update(&created.id, |login| login.user = "lee".to_owned()).await.expect("updated");
    assert_eq!(updated.attributes.user, "lee");
    assert_eq!(kind(logins.update(Change::of(&created), |_| ()).await), ErrorKind::Conflict);
    let new = SecretChange::Set(Secret::text("NEW"));
    let updated = logins.update(Change::of(&updated).secret("password", new), |login| login.hint = None).await;
    let updated = updated.expect("updated");
    let (read, password) = logins.get_with_secrets(&created.id).await.expect("there");
    assert_eq!((read.attributes.hint, password), (None, Password(Secret::text("NEW"))));
    let refused = logins.try_update(&created.id, |_| Err(Error::invalid("no", "ask again"))).await;
    assert_eq!(kind(refused), ErrorKind::Invalid);

    let replaced = logins.replace(&updated, &kim(), Password(Secret::text("P"))).await.expect("replaced");
    assert_eq!(logins.get(&created.id).await.expect("there"), replaced);
    assert_eq!(kind(logins.delete(&created.id, Some(updated.version)).await), ErrorKind::Conflict);
    logins.delete(&created.id, Some(replaced.version)).await.expect("deleted");
    assert_eq!(logins.get_opt(&created.id).await.expect("answered"), None);
    assert_eq!(logins.get_with_secrets_opt(&created.id).await.expect("answered"), None);

    let (store, _) = store_of(&context, types::all(), Start::Skip).await;
    assert_eq!(kind(store.objects::<Vault>()), ErrorKind::Invalid, "hidden");
    Objects::<Vault>::new(store.repository().including(&["vault"]).expect("registered")).expect("reached by name");
}

async fn an_update_keeps_what_the_struct_does_not_know(context: Context) {
    let logins = logins(&context).await;
    let created = logins.create(&kim(), Password(Secret::text("P"))).await.expect("created");
    let raw_id = format!("login:{}", created.id);
    let mut source = stored(&context, "things", &raw_id).await;
    source["login"]["note"] = json!("not in the struct");
    put(&context, "things", &raw_id, source).await;
    logins.update(&created.id, |login| login.user = "lee".to_owned()).await.expect("updated");
    let source = stored(&context, "things", &raw_id).await;
    assert_eq!((&source["login"]["note"], &source["login"]["user"]), (&json!("not in the struct"), &json!("lee")));
    logins.get_with_secrets(&created.id).await.expect("the secrets still open");
}

async fn attributes_that_do_not_fit_the_struct_are_told_apart(context: Context) {
    let logins = logins(&context).await;
    let created = logins.create(&kim(), Password(Secret::text("P"))).await.expect("created");
    put(&context, "things", "login:bad", json!({"type": "login", "login": {"user": 7}, "references": []})).await;
    let error = logins.get("bad").await.expect_err("a number");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("login/bad") && error.message().contains("user"), "{error}");
    // The last two have ids that other software writes, and this library does not.
    put(&context, "things", "login:a/bad", json!({"type": "login", "login": {"user": 7}})).await;
    put(&context, "things", "login:a/b", json!({"type": "login", "login": {"user": "lee"}})).await;
    refresh(&context).await;
    let found = logins.find(Find::new()).await.expect("found");
    let mut ids: Vec<_> = found.objects.iter().map(|object| object.id.clone()).collect();
    let mut unreadable: Vec<_> = found.unreadable.iter().map(|document| document.raw_id.clone()).collect();
    let streamed: Vec<_> = logins.stream(Find::new()).expect("a stream").try_collect().await.expect("streamed");
    let raw_ids = streamed.iter().filter_map(|item| item.as_ref().err()).map(|document| document.raw_id.clone());
    [&mut ids, &mut unreadable].into_iter().for_each(|ids| ids.sort());
    let mut expected = [created.id, "a/b".to_owned()];
    expected.sort();
    assert_eq!((ids, found.total), (expected.to_vec(), 4));
    assert_eq!(unreadable, ["login:a/bad", "login:bad"]);
    assert_eq!(raw_ids.collect::<std::collections::BTreeSet<_>>(), unreadable.into_iter().collect());
}

async fn what_is_refused_of_many_changes_no_secret(context: Context) {
    let logins = logins(&context).await;
    let created = logins.create(&kim(), Password(Secret::text("P"))).await.expect("created");
    // The second change names the object again, and is refused completely.
    let other = Change::new(&created.id).secret("password", SecretChange::Set(Secret::text("OTHER")));
    let updated = logins.update_many([Change::new(&created.id), other], |_, login| login.hint = None).await;
    assert!(updated[0].is_ok() && updated[1].as_ref().is_err_and(|error| error.kind() == ErrorKind::Invalid));
    let (read, password) = logins.get_with_secrets(&created.id).await.expect("there");
    assert_eq!((read.attributes.hint, password), (None, Password(Secret::text("P"))));
}

struct Board;

impl Object for Board {
    const TYPE: &'static str = "board";
    type Attributes = serde_json::Map<String, serde_json::Value>;
    type Secrets = ();
}

async fn a_client_reaches_what_its_namespace_sees(context: Context) {
    let (store, _) = store_of(&context, types::all(), Start::Migrate).await;
    let audit = RecordingAudit::default();
    let audited = store.repository().audited_by(std::sync::Arc::new(audit.clone()));
    let boards = Objects::<Board>::new(audited).expect("registered");
    let namespace = |name: &str| Namespace::new(name).expect("a name");
    let (ops, dev) = (boards.in_namespace(namespace("ops")), boards.in_namespace(namespace("dev")));
    let attributes = serde_json::Map::new();
    let created = boards.create(&attributes, ()).await.expect("created");
    let share = ChangeNamespaces::new([created.key()]).add(namespace("ops"));
    store.repository().change_namespaces(share).await.expect("answered").remove(0).expect("shared");
    let shared = ops.get(&created.id).await.expect("seen");
    assert_eq!(kind(dev.replace(&shared, &attributes, ()).await), ErrorKind::NotFound);
    ops.replace(&shared, &attributes, ()).await.expect("replaced");
    // The audit names the namespace of the client, not the first namespace of the object.
    let event = audit.events().pop().expect("heard");
    assert_eq!((event.action, event.namespace, event.outcome), (Action::Update, namespace("ops"), AuditOutcome::Done));
}
