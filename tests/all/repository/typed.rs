use libtest_mimic::Trial;
use saved_objects::encryption::{Secret, Secrets};
use saved_objects::repository::{Find, SecretChange};
use saved_objects::{Change, Error, ErrorKind, Object, Objects, Result, SecretAttributes, Start};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{kind, put, store_of, stored, types};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_typed_object_lives_from_create_to_delete,
        an_update_keeps_what_the_struct_does_not_know,
        attributes_that_do_not_fit_the_struct_are_told_apart,
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
    let found = logins.find(Find::new()).await.expect("found");
    assert_eq!((found.objects, found.total), (vec![created], 2));
    assert_eq!(found.unreadable[0].raw_id, "login:bad");
}
