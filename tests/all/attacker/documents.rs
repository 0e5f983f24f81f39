//! Changes of a document: of its version, its id, its attributes and its envelopes.

use libtest_mimic::Trial;
use saved_objects::migrate::Outcome;
use saved_objects::{ErrorKind, Start};
use serde_json::{Value, json};

use super::*;
use crate::named_trials;

pub(super) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        a_changed_document_is_refused,
        a_document_that_was_set_back_is_not_migrated,
        a_document_that_is_still_to_be_migrated_takes_nothing_planted,
        an_envelope_is_refused_in_another_place,
        a_bound_attribute_cannot_be_added_to_an_envelope_of_before,
    )
}

/// What the attacker has copied earlier.
struct Spoils {
    /// The document as the first release wrote it.
    earlier: Value,
    /// Another vault, a safe, and a vault with the same name in another namespace.
    others: [Value; 3],
}

type Change = fn(&mut Value, &Spoils);

/// Sets a field of a document's attributes.
fn set(name: &str, value: Value, source: &mut Value) {
    source["vault"][name] = value;
}

fn envelope(source: &Value, name: &str) -> Value {
    let body = source.get("vault").or_else(|| source.get("safe")).expect("attributes");
    body[name].clone()
}

/// Returns another spelling of the envelope, which the upgrade turns back into the envelope.
fn padded(envelope: &Value) -> Value {
    json!(format!(" {}", envelope.as_str().expect("an envelope")))
}

fn set_back(source: &mut Value) {
    source["typeMigrationVersion"] = json!("10.1.0");
}

/// Changes that set the document back to an older version.
const SET_BACK: &[(&str, Change)] = &[
    ("set back", |source, _| set_back(source)),
    ("set back before all versions", |source, _| source["typeMigrationVersion"] = json!("10.0.0")),
    ("set back before model versions", |source, _| source["typeMigrationVersion"] = json!("8.7.0")),
    ("without a version", |source, _| drop(source.as_object_mut().expect("an object").remove("typeMigrationVersion"))),
    ("set back, with a secret in clear", |source, _| {
        set_back(source);
        set("refreshToken", json!("planted"), source);
    }),
    ("set back, with nothing but a secret in clear", |source, _| {
        set_back(source);
        source["vault"] = json!({"owner": "kim", "refreshToken": "planted"});
    }),
    ("set back, with nothing but a hint in clear", |source, _| {
        set_back(source);
        source["vault"] = json!({"owner": "kim", "hint": "planted"});
    }),
    ("set back, with one secret as another", |source, _| {
        set_back(source);
        set("refreshToken", envelope(source, "token"), source);
    }),
    ("set back, with a hidden secret as the hint", |source, _| {
        set_back(source);
        set("hint", envelope(source, "token"), source);
    }),
    ("set back, with a hidden secret where the upgrade fetches the hint", |source, _| {
        set_back(source);
        set("oldHint", envelope(source, "token"), source);
    }),
    ("set back, with a hidden secret that the upgrade makes the hint of", |source, _| {
        set_back(source);
        set("oldHint", padded(&envelope(source, "token")), source);
    }),
    ("set back, with a bound attribute", |source, _| {
        set_back(source);
        set("scope", json!("everything"), source);
    }),
    ("set back, with another bound attribute", |source, _| {
        set_back(source);
        set("owner", json!("mallory"), source);
    }),
    ("set back, with envelopes that say so", |source, _| {
        set_back(source);
        for name in ["token", "memo", "refreshToken", "hint"] {
            set(name, renamed(&envelope(source, name), 1), source);
        }
    }),
    ("set back, with the envelopes of then, and those of now", |source, spoils| {
        set_back(source);
        for name in ["token", "memo"] {
            set(name, envelope(&spoils.earlier, name), source);
        }
    }),
];

/// Changes of documents at the newest version.
const CHANGED: &[(&str, Change)] = &[
    ("set forward beyond what anybody knows", |source, _| source["typeMigrationVersion"] = json!("10.7.0")),
    ("set forward as far as can be", |source, _| source["typeMigrationVersion"] = json!("10.4294967295.0")),
    ("of another engine", |source, _| source["typeMigrationVersion"] = json!("11.0.0")),
    ("of no version at all", |source, _| source["typeMigrationVersion"] = json!("latest")),
    ("with one secret as another", |source, _| set("refreshToken", envelope(source, "token"), source)),
    ("with a hidden secret as the hint", |source, _| set("hint", envelope(source, "token"), source)),
    ("with a secret of another object", |source, spoils| set("token", envelope(&spoils.others[0], "token"), source)),
    ("with a secret of another type", |source, spoils| set("token", envelope(&spoils.others[1], "token"), source)),
    ("with a secret of another namespace", |source, spoils| set("token", envelope(&spoils.others[2], "token"), source)),
    ("with a secret of before the migration", |source, spoils| {
        set("token", envelope(&spoils.earlier, "token"), source)
    }),
    ("with a secret of before, as one of now", |source, spoils| {
        set("token", renamed(&envelope(&spoils.earlier, "token"), 2), source);
    }),
    ("with a secret of a version to come", |source, _| set("token", renamed(&envelope(source, "token"), 3), source)),
    ("with a secret of no version", |source, _| set("token", renamed(&envelope(source, "token"), 0), source)),
    ("with another bound attribute", |source, _| set("owner", json!("mallory"), source)),
    ("without a bound attribute", |source, _| {
        drop(source["vault"].as_object_mut().expect("an object").remove("owner"))
    }),
    ("with a bound attribute added", |source, _| set("scope", json!("everything"), source)),
    ("with a bound attribute added that is null", |source, _| set("scope", Value::Null, source)),
    ("with a secret in clear", |source, _| set("token", json!("planted"), source)),
    ("with a number for a secret", |source, _| set("token", json!(7), source)),
    ("with an object for a secret", |source, _| set("token", json!({"planted": true}), source)),
    ("with an envelope whose key is another", |source, _| {
        set("token", changed(&envelope(source, "token"), |bytes| bytes[4] ^= 1), source);
    }),
    ("with a bit of the nonce changed", |source, _| {
        set("token", changed(&envelope(source, "token"), |bytes| bytes[16] ^= 1), source);
    }),
    ("with a bit of the tag changed", |source, _| {
        set("token", changed(&envelope(source, "token"), |bytes| bytes[32] ^= 1), source);
    }),
    ("with a bit of the secret changed", |source, _| {
        set("token", changed(&envelope(source, "token"), |bytes| bytes[48] ^= 1), source);
    }),
    ("with an envelope that was cut", |source, _| {
        set("token", changed(&envelope(source, "token"), |bytes| bytes.truncate(bytes.len() - 1)), source);
    }),
    ("with an envelope that was extended", |source, _| {
        set("token", changed(&envelope(source, "token"), |bytes| bytes.push(0)), source);
    }),
    ("with an envelope of another format", |source, _| {
        set("token", changed(&envelope(source, "token"), |bytes| bytes[3] = 2), source);
    }),
];

/// Creates vaults that the first release wrote and the second release migrated and added secrets to, and changes each
/// in one way. Returns their ids and what was changed.
async fn changed_documents(context: &Context, changes: &[(&'static str, Change)]) -> Vec<(String, &'static str)> {
    let old = store(context, 1, Start::Migrate).await;
    let ids: Vec<(String, &str)> =
        changes.iter().enumerate().map(|(number, (what, _))| (format!("v{number:02}"), *what)).collect();
    for (id, _) in &ids {
        create(&old, "vault", id, "default").await;
        create(&old, "vault", id, "ops").await;
        create(&old, "safe", id, "default").await;
    }
    create(&old, "vault", "other", "default").await;
    let mut earlier = Vec::new();
    for (id, _) in &ids {
        earlier.push(stored(context, id).await);
    }
    let new = store(context, 2, Start::Migrate).await;
    for (((id, _), (_, change)), earlier) in ids.iter().zip(changes).zip(earlier) {
        add_secrets(&new, id).await;
        let others = [
            stored(context, "other").await,
            context.stored("vaults", &format!("safe:{id}")).await,
            context.stored("vaults", &format!("ops:vault:{id}")).await,
        ];
        let mut source = stored(context, id).await;
        assert_ne!(source["vault"]["token"], earlier["vault"]["token"], "the migration sealed it anew");
        change(&mut source, &Spoils { earlier, others });
        put(context, id, &source).await;
    }
    ids
}

async fn a_changed_document_is_refused(context: Context) {
    let changes: Vec<_> = SET_BACK.iter().chain(CHANGED).copied().collect();
    let documents = changed_documents(&context, &changes).await;
    let reader = store(&context, 2, Start::Skip).await;
    let unreadable = unreadable(&context, 2).await;
    for (id, what) in &documents {
        expect_refused(&context, &reader, id, what).await;
        assert!(unreadable.contains(&format!("vault:{id}")), "{what}: a verification names it");
    }
    let (_, secrets) = reader.get_with_secrets(&key("other")).await.expect("nobody changed it");
    assert_eq!(secrets["token"], Secret::text(TOKEN));
}

async fn a_document_that_was_set_back_is_not_migrated(context: Context) {
    let documents = changed_documents(&context, SET_BACK).await;
    let mut before = Vec::new();
    for (id, _) in &documents {
        before.push(stored(&context, id).await);
    }
    for release in [2, 3] {
        let report = migrator(&context, release).rescan().migrate().await;
        assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
        assert_eq!(report.error.as_ref().expect("an error").kind, ErrorKind::Decrypt, "{report:?}");
        for ((id, what), before) in documents.iter().zip(&before) {
            assert!(
                report.bad.iter().any(|bad| bad.id == format!("vault:{id}")),
                "release {release}, {what}: {report:?}"
            );
            assert_eq!(stored(&context, id).await, *before, "release {release}, {what}");
        }
        assert_eq!(report.bad_total, documents.len() as u64, "{report:?}");
    }
}

/// Changes of documents at the first version, before the second release migrates them.
const PLANTED: &[(&str, Change)] = &[
    ("a secret in clear", |source, _| set("refreshToken", json!("planted"), source)),
    ("a hint in clear", |source, _| set("hint", json!("planted"), source)),
    ("one secret as another", |source, _| set("refreshToken", envelope(source, "token"), source)),
    ("a hidden secret as the hint", |source, _| set("hint", envelope(source, "token"), source)),
    ("a hidden secret where the hint is fetched", |source, _| set("oldHint", envelope(source, "token"), source)),
    ("a hidden secret that the hint is made of", |source, _| {
        set("oldHint", padded(&envelope(source, "token")), source);
    }),
    ("a secret in clear where one was sealed", |source, _| set("token", json!("planted"), source)),
    ("one secret in the place of another", |source, _| set("memo", envelope(source, "token"), source)),
    ("another bound attribute", |source, _| set("owner", json!("mallory"), source)),
    ("the next version, with what it binds", |source, _| {
        source["typeMigrationVersion"] = json!("10.2.0");
        set("scope", json!("everything"), source);
    }),
    ("the next version, in the envelopes too", |source, _| {
        source["typeMigrationVersion"] = json!("10.2.0");
        for name in ["token", "memo"] {
            set(name, renamed(&envelope(source, name), 2), source);
        }
    }),
];

async fn a_document_that_is_still_to_be_migrated_takes_nothing_planted(context: Context) {
    let old = store(&context, 1, Start::Migrate).await;
    let ids: Vec<String> = (0..PLANTED.len()).map(|number| format!("v{number:02}")).collect();
    for (id, (_, change)) in ids.iter().zip(PLANTED) {
        create(&old, "vault", id, "default").await;
        let mut source = stored(&context, id).await;
        let spoils = Spoils { earlier: Value::Null, others: [const { Value::Null }; 3] };
        change(&mut source, &spoils);
        put(&context, id, &source).await;
    }
    let reader = store(&context, 2, Start::Skip).await;
    for (id, (what, _)) in ids.iter().zip(PLANTED) {
        expect_refused(&context, &reader, id, what).await;
    }
    let before = unreadable(&context, 2).await;
    let report = migrator(&context, 2).migrate().await;
    assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
    let after = unreadable(&context, 2).await;
    for (id, (what, _)) in ids.iter().zip(PLANTED) {
        expect_refused(&context, &reader, id, what).await;
        let raw_id = format!("vault:{id}");
        assert!(before.contains(&raw_id) && after.contains(&raw_id), "{what}: a verification names it");
        let is_current = stored(&context, id).await["typeMigrationVersion"] == "10.2.0";
        let is_named = report.bad.iter().any(|bad| bad.id == raw_id);
        // Damage that does not matter for the new sets is migrated unchanged: the secret can be decrypted neither
        // before nor after.
        let spoilt =
            ["a secret in clear where one was sealed", "one secret in the place of another", "another bound attribute"];
        let stays = what.starts_with("the next version") || spoilt.contains(what);
        assert_eq!((is_named, is_current), (!stays, stays), "{what}: {report:?}");
    }
}

async fn a_bound_attribute_cannot_be_added_to_an_envelope_of_before(context: Context) {
    let old = store(&context, 1, Start::Migrate).await;
    create(&old, "vault", "a", "default").await;
    let before = stored(&context, "a").await;
    let new = store(&context, 2, Start::Migrate).await;
    let mut source = stored(&context, "a").await;
    assert_eq!(
        source["vault"]["token"], before["vault"]["token"],
        "nothing of it changed, and so it was not sealed anew"
    );
    new.get_with_secrets(&key("a")).await.expect("it opens");
    source["vault"]["scope"] = json!("everything");
    put(&context, "a", &source).await;
    expect_refused(&context, &new, "a", "a scope is bound at the second version").await;
}

async fn an_envelope_is_refused_in_another_place(context: Context) {
    let new = store(&context, 2, Start::Migrate).await;
    create(&new, "vault", "a", "default").await;
    let source = stored(&context, "a").await;
    // Stores it with another id, in another namespace, and as another type.
    put(&context, "b", &source).await;
    let mut elsewhere = source.clone();
    elsewhere["namespace"] = json!("ops");
    context.put("vaults", "ops:vault:a", &elsewhere).await;
    let mut other = source.clone();
    let body = other["vault"].take();
    other = json!({"type": "safe", "safe": body, "typeMigrationVersion": "10.2.0"});
    context.put("vaults", "safe:a", &other).await;
    let ops = Namespace::new("ops").expect("a name");
    for moved in [key("b"), key("a").in_namespace(ops), ObjectKey::new("safe", "a")] {
        let error = new.get_with_secrets(&moved).await.map(drop).expect_err("it is bound to its place");
        assert_eq!(error.kind(), ErrorKind::Decrypt, "{moved}");
    }
    assert_eq!(unreadable(&context, 2).await.len(), 6, "two secrets of each");
}
