//! Which sequences of calls can return a secret: only those of a caller who may read secrets in the object's namespace.

use std::io::Cursor;
use std::sync::Arc;

use async_trait::async_trait;
use libtest_mimic::Trial;
use saved_objects::document::Namespace;
use saved_objects::encryption::Secret;
use saved_objects::repository::{
    Action, Authorization, ChangeNamespaces, Create, Decision, Delete, Draft, Export, Find, Import, ObjectKey,
    OnConflict, Repository, SecretForm,
};
use saved_objects::{Result, Start};
use serde_json::{Value, json};

use super::changing::Changing;
use super::{key, object, refresh, store_of, types};
use crate::context::Context;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        secrets_are_learnt_only_by_whom_may_read_them_where_they_live,
        an_import_needs_no_more_without_envelopes
    )
}

const SECRET: &str = "what the red team hides";
const TYPES: [&str; 4] = ["page", "board", "card", "login"];

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).expect("a name")
}

fn of_red(type_name: &str) -> ObjectKey {
    match type_name {
        "login" => key("login", "a"),
        _ => key(type_name, "a").in_namespace(namespace("red")),
    }
}

/// A caller who may do everything in `blue`, and in `red` and on objects without a namespace what `elsewhere` allows.
#[derive(Debug, Clone, Copy)]
struct Blue {
    elsewhere: fn(Action) -> bool,
}

#[async_trait]
impl Authorization for Blue {
    async fn allows(&self, action: Action, _type_name: &str, namespace: &Namespace) -> bool {
        namespace.as_str() == "blue" || (self.elsewhere)(action)
    }
}

/// Allows everything except reading secrets and sharing.
fn all_but_secrets(action: Action) -> bool {
    !matches!(action, Action::GetSecrets | Action::Share | Action::ShareEverywhere)
}

fn exporting(action: Action) -> bool {
    action == Action::Export
}

fn nothing(_: Action) -> bool {
    false
}

async fn lines(repository: &Repository, type_name: &str, secrets: SecretForm) -> Result<Vec<Value>> {
    lines_at(repository, of_red(type_name), secrets).await
}

async fn lines_at(repository: &Repository, key: ObjectKey, secrets: SecretForm) -> Result<Vec<Value>> {
    let mut bytes = Vec::new();
    let export = Export::objects([key]).secrets(secrets).without_summary();
    repository.export(export, &mut bytes).await?;
    let text = String::from_utf8(bytes).expect("UTF-8");
    Ok(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

fn file(lines: &[Value]) -> Vec<u8> {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

/// Reads everything that the caller can read, with secrets, in every namespace.
async fn read_all(context: &Context, repository: &Repository) -> String {
    refresh(context).await;
    let mut received = String::new();
    for name in ["blue", "red", "default"] {
        for type_name in TYPES {
            let found = repository.find(&[type_name], Find::new().namespaces([namespace(name)])).await;
            for object in found.map(|found| found.objects).unwrap_or_default() {
                let its = ObjectKey::new(&object.type_name, &object.id).in_namespace(namespace(name));
                received += &read(repository, &its).await;
            }
        }
    }
    received
}

async fn read(repository: &Repository, key: &ObjectKey) -> String {
    match repository.get_with_secrets(key).await {
        Ok((object, secrets)) => {
            let secrets = secrets.values().map(|secret| secret.expose_json().to_owned()).collect::<String>();
            format!("{object:?} {} {secrets}", Value::Object(object.attributes.clone()))
        }
        Err(error) => format!("{error:?}"),
    }
}

async fn import(context: &Context, repository: &Repository, request: Import, lines: &[Value]) -> String {
    let summary = repository.import(request, Cursor::new(file(lines))).await;
    format!("{summary:?} {}", read_all(context, repository).await)
}

/// A sequence of calls that might return the secret of an object of the red team to the caller.
#[derive(Debug, Clone, Copy)]
enum Sequence {
    ReadIt,
    ReadItFromBlue,
    ExportInClear,
    ExportEncrypted,
    ImportIntoBlue,
    ImportUnderAnotherId,
    ImportUnderAChosenId,
    ImportInItsPlace,
    ImportAsOneOfBlue,
    ImportAmongTheAttributes,
    ImportFromAChangedFile,
    ImportAfterADeletion,
    ImportOverAnotherOfItsId,
    ImportFromAFileThatChangesToIt,
    Overwrite,
    Update,
    ShareWithBlue,
    ShareWithAll,
}

const SEQUENCES: [Sequence; 18] = [
    Sequence::ReadIt,
    Sequence::ReadItFromBlue,
    Sequence::ExportInClear,
    Sequence::ExportEncrypted,
    Sequence::ImportIntoBlue,
    Sequence::ImportUnderAnotherId,
    Sequence::ImportUnderAChosenId,
    Sequence::ImportInItsPlace,
    Sequence::ImportAsOneOfBlue,
    Sequence::ImportAmongTheAttributes,
    Sequence::ImportFromAChangedFile,
    Sequence::ImportAfterADeletion,
    Sequence::ImportOverAnotherOfItsId,
    Sequence::ImportFromAFileThatChangesToIt,
    Sequence::Overwrite,
    Sequence::Update,
    Sequence::ShareWithBlue,
    Sequence::ShareWithAll,
];

impl Sequence {
    /// Runs the sequence as `caller` on the object of this type, and returns everything that the caller receives.
    /// `exported` is an export with encrypted attributes that another caller made.
    async fn run(self, context: &Context, caller: &Repository, type_name: &str, exported: &[Value]) -> String {
        let into_blue = || Import::new().namespace(namespace("blue"));
        let mut lines_of = exported.to_vec();
        match self {
            Self::ReadIt => read(caller, &of_red(type_name)).await,
            Self::ReadItFromBlue => read(caller, &key(type_name, "a").in_namespace(namespace("blue"))).await,
            Self::ExportInClear => format!("{:?}", lines(caller, type_name, SecretForm::Clear).await),
            Self::ExportEncrypted => format!("{:?}", lines(caller, type_name, SecretForm::Encrypted).await),
            Self::ImportIntoBlue => import(context, caller, into_blue(), &lines_of).await,
            Self::ImportUnderAnotherId => {
                let received = import(context, caller, into_blue().on_conflict(OnConflict::NewIds), &lines_of).await;
                received + &import(context, caller, Import::new().on_conflict(OnConflict::NewIds), &lines_of).await
            }
            Self::ImportUnderAChosenId => {
                let chosen = into_blue().decide(type_name, "a", Decision::NewId(Some("chosen".to_owned())));
                import(context, caller, chosen, &lines_of).await
            }
            Self::ImportInItsPlace => {
                import(context, caller, Import::new().on_conflict(OnConflict::Overwrite), &lines_of).await
            }
            Self::ImportAsOneOfBlue => {
                lines_of[0]["namespaces"] = json!(["blue"]);
                let received = import(context, caller, Import::new(), &lines_of).await;
                received + &import(context, caller, Import::new().on_conflict(OnConflict::NewIds), &lines_of).await
            }
            Self::ImportAmongTheAttributes => {
                let envelopes = lines_of[0]["envelopes"].take();
                lines_of[0].as_object_mut().expect("an object").remove("envelopes");
                let attributes = lines_of[0]["attributes"].as_object_mut().expect("an object");
                attributes.extend(envelopes.as_object().expect("envelopes").clone());
                import(context, caller, into_blue().on_conflict(OnConflict::NewIds), &lines_of).await
            }
            Self::ImportFromAChangedFile => {
                let second = file(&lines_of);
                lines_of[0].as_object_mut().expect("an object").remove("envelopes");
                let changing = Changing::new(file(&lines_of), second);
                let summary = caller.import(into_blue().on_conflict(OnConflict::NewIds), changing).await;
                format!("{summary:?} {}", read_all(context, caller).await)
            }
            Self::ImportAfterADeletion => {
                let _ = caller.delete(Delete::new(of_red(type_name)).force()).await;
                lines_of[0]["namespaces"] = json!(["blue"]);
                import(context, caller, into_blue(), &lines_of).await
            }
            Self::ImportOverAnotherOfItsId => {
                replace_by_one_of_blue(caller, type_name).await;
                lines_of[0]["namespaces"] = json!(["blue"]);
                import(context, caller, into_blue().on_conflict(OnConflict::Overwrite), &lines_of).await
            }
            Self::ImportFromAFileThatChangesToIt => {
                replace_by_one_of_blue(caller, type_name).await;
                let own = key(type_name, "a").in_namespace(namespace("blue"));
                let own = lines_at(caller, own, SecretForm::Encrypted).await.unwrap_or_else(|_| lines_of.clone());
                lines_of[0]["namespaces"] = json!(["blue"]);
                let changing = Changing::new(file(&own), file(&lines_of));
                let summary = caller.import(into_blue().on_conflict(OnConflict::NewIds), changing).await;
                format!("{summary:?} {}", read_all(context, caller).await)
            }
            Self::Overwrite => {
                let create = Create::new(type_name, attributes(type_name)).id("a").overwrite();
                let namespace = of_red(type_name).namespace;
                format!("{:?} {}", caller.create(create.namespace(namespace)).await, read_all(context, caller).await)
            }
            Self::Update => {
                let change = |draft: &mut Draft| {
                    draft.attributes.extend(attributes(type_name));
                    Ok(())
                };
                format!("{:?}", caller.update(of_red(type_name), change).await)
            }
            Self::ShareWithBlue => {
                let share = ChangeNamespaces::new([of_red(type_name)]).add(namespace("blue"));
                format!("{:?} {}", caller.change_namespaces(share).await, read_all(context, caller).await)
            }
            Self::ShareWithAll => {
                let share = ChangeNamespaces::new([of_red(type_name)]).add_everywhere();
                format!("{:?} {}", caller.change_namespaces(share).await, read_all(context, caller).await)
            }
        }
    }
}

/// Deletes the object of the red team, and stores an object of the blue team with its id, as far as the caller may.
async fn replace_by_one_of_blue(caller: &Repository, type_name: &str) {
    let _ = caller.delete(Delete::new(of_red(type_name)).force()).await;
    let name = secret_of(type_name);
    let own = Create::new(type_name, attributes(type_name)).id("a").namespace(namespace("blue"));
    let _ = caller.create(own.secret(name, Secret::text("known to blue"))).await;
}

fn secret_of(type_name: &str) -> &'static str {
    if type_name == "login" { "password" } else { "secret" }
}

fn attributes(type_name: &str) -> saved_objects::document::Attributes {
    match type_name {
        "login" => object(json!({"user": "lee"})),
        _ => object(json!({"title": "another"})),
    }
}

/// Stores the object of the red team with its secret, and returns an export of its envelopes.
async fn prepare(context: &Context, repository: &Repository, type_name: &str) -> Vec<Value> {
    refresh(context).await;
    for type_name in TYPES {
        for name in ["blue", "red", "default"] {
            let found = repository.find(&[type_name], Find::new().namespaces([namespace(name)])).await.expect("found");
            for object in found.objects {
                let its = ObjectKey::new(&object.type_name, &object.id).in_namespace(namespace(name));
                // An object that is seen from several namespaces is deleted already.
                let _ = repository.delete(Delete::new(its).force()).await;
            }
        }
    }
    let name = secret_of(type_name);
    let (secret, its) = (Secret::text(SECRET), of_red(type_name));
    let create = Create::new(type_name, attributes(type_name)).id("a").namespace(its.namespace).secret(name, secret);
    repository.create(create).await.expect("created");
    lines(repository, type_name, SecretForm::Encrypted).await.expect("exported")
}

async fn secrets_are_learnt_only_by_whom_may_read_them_where_they_live(context: Context) {
    let open = store_of(&context, types::all_exportable(), Start::Migrate).await.0.repository().clone();
    type May = fn(Action) -> bool;
    let callers: [(&str, May); 5] = [
        ("nothing in red", nothing),
        ("exports in red", exporting),
        ("all in red but secrets and sharing", all_but_secrets),
        ("all in red but secrets", |action| action != Action::GetSecrets),
        ("all in red", |_| true),
    ];
    for type_name in TYPES {
        for (who, elsewhere) in callers {
            let caller = open.authorized_by(Arc::new(Blue { elsewhere }));
            for sequence in SEQUENCES {
                let exported = prepare(&context, &open, type_name).await;
                assert!(!exported[0].to_string().contains(SECRET), "an export of envelopes tells nothing");
                let received = sequence.run(&context, &caller, type_name, &exported).await;
                let learns = received.contains(SECRET);
                let what = format!("{type_name}, {who}, {sequence:?}: {received}");
                let may_read = elsewhere(Action::GetSecrets);
                match sequence {
                    _ if !may_read => assert!(!learns, "{what}"),
                    Sequence::ReadIt | Sequence::ExportInClear => assert!(learns, "{what}"),
                    Sequence::ImportUnderAnotherId | Sequence::ImportUnderAChosenId => assert!(learns, "{what}"),
                    Sequence::ShareWithBlue if type_name == "board" => assert!(learns, "{what}"),
                    _ => {}
                }
            }
        }
    }
}

async fn an_import_needs_no_more_without_envelopes(context: Context) {
    let open = store_of(&context, types::all_exportable(), Start::Migrate).await.0.repository().clone();
    let caller = open.authorized_by(Arc::new(Blue { elsewhere: nothing }));
    let mut line = json!({"type": "page", "id": "p", "namespaces": ["blue"], "attributes": {"title": "t"}});
    let summary = caller.import(Import::new(), Cursor::new(file(&[line.clone()]))).await.expect("imported");
    assert!(summary.success, "{summary:?}");
    // The caller knows the secret in clear already.
    line["id"] = json!("q");
    line["secrets"] = json!({"secret": "known"});
    let summary = caller.import(Import::new(), Cursor::new(file(&[line]))).await.expect("imported");
    assert!(summary.success, "{summary:?}");
}
