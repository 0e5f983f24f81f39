//! Changes of an index's `_meta`, from which a node reads the encryption sets of model versions that it does not know.

use libtest_mimic::Trial;
use saved_objects::ErrorKind;
use saved_objects::encryption::KeyRing;
use saved_objects::migrate::{OnBad, Outcome};
use saved_objects::rotation::KeyRotation;
use serde_json::{Value, json};

use super::*;
use crate::context::KEY;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        sets_that_somebody_made_up_open_and_unbind_nothing,
        sets_that_unbind_what_a_document_lacks_seal_nothing,
        a_rotation_seals_nothing_under_sets_that_somebody_made_up,
        sets_that_this_software_knows_are_not_read_from_the_index,
        an_older_node_refuses_what_sets_that_were_changed_do_not_fit,
        a_node_that_knows_a_version_says_what_it_encrypts,
        a_version_that_nobody_has_costs_nothing,
        what_was_sealed_at_a_version_that_was_made_up_does_not_open_below_it,
    )
}

/// Overwrites the recorded sets of some versions in the index's `_meta`.
async fn forge(context: &Context, sets: &[(u32, Value)]) {
    let (cluster, index) = (context.cluster(), context.index("vaults"));
    let mut mapping = cluster.indices(&[&index]).await.expect("answered").remove(&index).expect("there").mapping;
    let meta = &mut mapping["_meta"];
    for (version, sets) in sets {
        meta["saved_objects"]["types"]["vault"]["sets"][version.to_string()] = sets.clone();
    }
    cluster.put_mapping(&index, &json!({ "_meta": meta.take() })).await.expect("taken");
}

/// Returns what the index records of a version.
async fn recorded(context: &Context, version: u32) -> Value {
    let (cluster, index) = (context.cluster(), context.index("vaults"));
    let mapping = cluster.indices(&[&index]).await.expect("answered").remove(&index).expect("there").mapping;
    mapping["_meta"]["saved_objects"]["types"]["vault"]["sets"][version.to_string()].clone()
}

fn sealed(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "exposed": false})).collect()
}

/// Returns the sets of the second release; an invented version may have the same sets.
fn second() -> Value {
    let mut encrypted = sealed(&["token", "memo", "refreshToken", "sealedPin"]);
    encrypted.as_array_mut().expect("a list").push(json!({"name": "hint", "exposed": true}));
    json!({"encrypted": encrypted, "bound": ["owner", "scope"]})
}

async fn vault(context: &Context) -> Repository {
    let new = store(context, 2, Start::Migrate).await;
    for id in ["a", "bare"] {
        create(&new, "vault", id, "default").await;
    }
    add_secrets(&new, "a").await;
    let unsealed = |draft: &mut Draft| {
        draft.secret("token", SecretChange::Remove);
        draft.secret("memo", SecretChange::Remove);
        Ok(())
    };
    new.update(key("bare"), unsealed).await.expect("updated");
    new
}

async fn claim(context: &Context, id: &str, version: u32) {
    let mut source = stored(context, id).await;
    source["typeMigrationVersion"] = json!(format!("10.{version}.0"));
    put(context, id, &source).await;
}

/// Asserts that each single secret can neither be kept, nor set, nor removed.
async fn expect_no_write(context: &Context, repository: &Repository, id: &str, what: &str) {
    let before = stored(context, id).await;
    let set_all = |draft: &mut Draft| {
        draft.secret("token", SecretChange::Set(Secret::text("the next token")));
        for name in ["memo", "refreshToken", "hint"] {
            draft.secret(name, SecretChange::Remove);
        }
        Ok(())
    };
    let error = repository.update(key(id), set_all).await.map(drop).expect_err(what);
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{what}: {error:?}");
    assert_eq!(stored(context, id).await, before, "{what}: nothing was written");
}

async fn sets_that_somebody_made_up_open_and_unbind_nothing(context: Context) {
    let new = vault(&context).await;
    let mut exposing = second();
    exposing["encrypted"][0]["exposed"] = json!(true);
    let mut unbound = second();
    unbound["bound"] = json!([]);
    let mut less = second();
    less["bound"] = json!(["scope"]);
    let nothing = json!({"encrypted": [], "bound": []});
    // Each case has its own versions, because a node remembers what an index records of a version.
    let cases = [
        ("unbound", unbound, true),
        ("bound less", less, true),
        ("exposing", exposing, false),
        ("nothing", nothing, true),
    ];
    for ((what, sets, unbinds), first) in cases.into_iter().zip([3, 13, 23, 33]) {
        let versions: Vec<(u32, Value)> = (3..=first + 1).map(|version| (version, sets.clone())).collect();
        forge(&context, &versions).await;
        for id in ["a", "bare"] {
            claim(&context, id, first + 1).await;
        }
        if what == "nothing" {
            let read = new.get_with_secrets(&key("a")).await;
            assert!(read.is_ok_and(|(_, secrets)| secrets.is_empty()), "nothing is encrypted, and so nothing opens");
            let rename = |draft: &mut Draft| {
                draft.attributes.insert("owner".to_owned(), json!("somebody else"));
                Ok(())
            };
            let error = new.update(key("a"), rename).await.map(drop).expect_err("its secrets would be bound no longer");
            assert_eq!(error.kind(), ErrorKind::Incompatible, "{error:?}");
        } else {
            expect_refused(&context, &new, "a", what).await;
        }
        if unbinds {
            expect_no_write(&context, &new, "a", what).await;
            expect_no_write(&context, &new, "bare", what).await;
        }
    }
}

/// Returns sets that do not bind the scope.
fn without_scope() -> [(&'static str, Value); 2] {
    let mut less = second();
    less["bound"] = json!(["owner"]);
    // An attribute that is encrypted itself cannot be bound.
    let mut encrypted = second();
    encrypted["encrypted"].as_array_mut().expect("a list").push(json!({"name": "scope", "exposed": false}));
    [("unbound", less), ("encrypted", encrypted)]
}

async fn sets_that_unbind_what_a_document_lacks_seal_nothing(context: Context) {
    let new = store(&context, 2, Start::Migrate).await;
    create(&new, "vault", "a", "default").await;
    for ((what, sets), last) in without_scope().into_iter().zip([9, 19]) {
        let versions: Vec<(u32, Value)> = (3..=last).map(|version| (version, sets.clone())).collect();
        forge(&context, &versions).await;
        claim(&context, "a", last).await;
        let (_, secrets) =
            new.get_with_secrets(&key("a")).await.expect("it has no scope: its envelopes are good still");
        assert_eq!(secrets["token"], Secret::text(TOKEN), "{what}");
        let before = stored(&context, "a").await;
        let set = |draft: &mut Draft| {
            draft.secret("token", SecretChange::Set(Secret::text("the next token")));
            Ok(())
        };
        let rename = |draft: &mut Draft| {
            draft.attributes.insert("owner".to_owned(), json!("somebody else"));
            Ok(())
        };
        for error in [new.update(key("a"), set).await.map(drop), new.update(key("a"), rename).await.map(drop)] {
            let error = error.expect_err("a scope could be added to what is sealed now");
            assert_eq!(error.kind(), ErrorKind::Incompatible, "{what}: {error:?}");
        }
        assert_eq!(stored(&context, "a").await, before, "{what}: nothing was written");
    }
}

async fn a_rotation_seals_nothing_under_sets_that_somebody_made_up(context: Context) {
    let new = store(&context, 2, Start::Migrate).await;
    for id in ["a", "b", "c"] {
        create(&new, "vault", id, "default").await;
    }
    // Creates the quarantine.
    context.put("vaults", "vault:odd", &json!({"type": "vault"})).await;
    let report = migrator(&context, 2).rescan().on_bad(OnBad::Quarantine).migrate().await;
    assert_eq!(report.bad_total, 1, "{report:?}");
    let versions: Vec<(u32, Value)> =
        without_scope().into_iter().zip(3..).map(|((_, sets), version)| (version, sets)).collect();
    forge(&context, &versions).await;
    claim(&context, "a", 3).await;
    claim(&context, "b", 4).await;
    let mut held = stored(&context, "c").await;
    held["typeMigrationVersion"] = json!("10.3.0");
    let entry = json!({
        "alias": context.prefix.group("vaults").alias(), "id": "vault:c", "type": "vault", "reason": "odd",
        "since": "2026-01-01T00:00:00.000Z", "source": held,
    });
    context.put("control-quarantine", "planted", &entry).await;
    let before = [stored(&context, "a").await, stored(&context, "b").await];

    let keys = KeyRing::new("a new key for tests only: 0123456789abcdef".into(), vec![KEY.into()]).expect("fine keys");
    let rotation = KeyRotation::new(&context.engine(registry(2), keys));
    let report = rotation.rotate().await.expect("it ends");
    let named: Vec<&str> = report.not_rotated.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(named, ["vault:c", "vault:a", "vault:b"], "{report:?}");
    assert!(report.not_rotated.iter().all(|one| one.reason.contains("\"scope\"")), "{report:?}");
    assert_eq!((report.documents.rotated, report.quarantine.rotated), (1, 0), "{report:?}");
    assert_eq!([stored(&context, "a").await, stored(&context, "b").await], before);
    assert_eq!(context.stored("control-quarantine", "planted").await, entry);
}

async fn sets_that_this_software_knows_are_not_read_from_the_index(context: Context) {
    let new = vault(&context).await;
    forge(
        &context,
        &[(1, json!({"encrypted": [], "bound": []})), (2, json!({"encrypted": sealed(&["token"]), "bound": []}))],
    )
    .await;
    let (_, secrets) = new.get_with_secrets(&key("a")).await.expect("opens");
    assert_eq!(secrets["token"], Secret::text(TOKEN));
    let set = |draft: &mut Draft| {
        draft.secret("token", SecretChange::Set(Secret::text(TOKEN)));
        Ok(())
    };
    new.update(key("a"), set).await.expect("updated");
    let mut source = stored(&context, "a").await;
    source["vault"]["owner"] = json!("mallory");
    put(&context, "a", &source).await;
    expect_refused(&context, &new, "a", "the owner is bound still").await;
}

async fn an_older_node_refuses_what_sets_that_were_changed_do_not_fit(context: Context) {
    vault(&context).await;
    let old = store(&context, 1, Start::Skip).await;
    let (_, secrets) = old.get_with_secrets(&key("a")).await.expect("opens by what the index says");
    assert_eq!(secrets["token"], Secret::text(TOKEN));
    let mut exposing = second();
    exposing["encrypted"][0]["exposed"] = json!(true);
    let mut more = second();
    more["bound"] = json!(["owner", "scope", "note"]);
    let mut less = second();
    less["bound"] = json!([]);
    for (what, sets) in [("exposing", exposing), ("binding more", more), ("binding nothing", less)] {
        forge(&context, &[(2, sets)]).await;
        // A node that has not read the index's record yet.
        let old = store(&context, 1, Start::Skip).await;
        expect_refused(&context, &old, "a", what).await;
    }
}

async fn a_node_that_knows_a_version_says_what_it_encrypts(context: Context) {
    vault(&context).await;
    forge(&context, &[(2, json!({"encrypted": [], "bound": []})), (3, json!({"encrypted": [], "bound": []}))]).await;
    let report = migrator(&context, 3).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    for version in [2, 3] {
        assert_eq!(recorded(&context, version).await, second(), "what was made up is replaced");
    }
    let old = store(&context, 1, Start::Skip).await;
    assert_eq!(old.get_with_secrets(&key("a")).await.expect("opens").1["token"], Secret::text(TOKEN));
}

async fn a_version_that_nobody_has_costs_nothing(context: Context) {
    let new = vault(&context).await;
    forge(&context, &[(u32::MAX, second()), (7, second())]).await;
    claim(&context, "a", u32::MAX).await;
    let error = new.get_with_secrets(&key("a")).await.map(drop).expect_err("versions are missing in between");
    assert_eq!(error.kind(), ErrorKind::Incompatible, "{error:?}");
    let report = migrator(&context, 3).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    assert_eq!(stored(&context, "bare").await["typeMigrationVersion"], "10.3.0");
}

async fn what_was_sealed_at_a_version_that_was_made_up_does_not_open_below_it(context: Context) {
    let new = vault(&context).await;
    // With the same sets the secret can be decrypted, and new secrets bind the same attributes.
    forge(&context, &[(3, second()), (4, second())]).await;
    claim(&context, "a", 4).await;
    assert_eq!(new.get_with_secrets(&key("a")).await.expect("opens").1["token"], Secret::text(TOKEN));
    let set = |draft: &mut Draft| {
        draft.secret("token", SecretChange::Set(Secret::text("the next token")));
        Ok(())
    };
    new.update(key("a"), set).await.expect("updated");
    let written = stored(&context, "a").await;
    claim(&context, "a", 2).await;
    expect_refused(&context, &new, "a", "set back below its envelope").await;
    put(&context, "a", &written).await;
    let mut changed = written.clone();
    changed["vault"]["owner"] = json!("mallory");
    put(&context, "a", &changed).await;
    expect_refused(&context, &new, "a", "the owner is bound").await;
}
