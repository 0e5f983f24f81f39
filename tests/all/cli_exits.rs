//! The exit codes, by command and situation.

use libtest_mimic::Trial;
use saved_objects::encryption::Secret;
use saved_objects::repository::Create;
use serde_json::json;

use crate::cli::{Ran, run_with};
use crate::cli_sight::{folder, path, platform};
use crate::context::{Context, KEY};
use crate::migration::object;
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(url, exit_codes_by_command_and_situation, a_kept_generation_needs_its_key, a_refused_restore_is_2)
}

const OTHER_KEY: &str = "another key for tests only: 0123456789";

/// A situation, with the exit codes of the commands in [`COMMANDS`].
struct Situation {
    name: &'static str,
    codes: [i32; COMMANDS.len()],
    /// The configured key, if there is one.
    key: Option<&'static str>,
    /// The release of the definitions.
    release: u32,
}

/// Commands that change nothing come first.
const COMMANDS: [&[&str]; 15] = [
    &["doctor"],
    &["status"],
    &["migrate", "--plan"],
    &["verify"],
    &["keys", "status"],
    &["quarantine", "list"],
    &["tokens", "list"],
    &["tokens", "show", "shared:a9106551-bfa7-872d-84d0-610d668914aa"],
    &["tokens", "clean-up", "--dry-run"],
    &["namespaces"],
    &["export"],
    &["migrate", "--rollback"],
    &["migrate", "--drop-old", "--yes"],
    &["keys", "rotate"],
    &["migrate"],
];

const SITUATIONS: &[Situation] = &[
    Situation { name: "fine", codes: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0], key: Some(KEY), release: 1 },
    Situation { name: "to-migrate", codes: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0], key: Some(KEY), release: 2 },
    Situation { name: "nothing", codes: [0, 0, 0, 2, 2, 0, 1, 1, 1, 0, 1, 2, 0, 2, 0], key: Some(KEY), release: 1 },
    Situation {
        name: "wrong-key",
        codes: [2, 2, 2, 2, 2, 0, 0, 2, 0, 0, 0, 2, 0, 2, 2],
        key: Some(OTHER_KEY),
        release: 1,
    },
    Situation { name: "no-key", codes: [2, 2, 2, 2, 2, 0, 0, 2, 0, 0, 0, 2, 0, 1, 2], key: None, release: 1 },
    Situation {
        name: "bad-document",
        codes: [0, 0, 2, 2, 0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 1],
        key: Some(KEY),
        release: 2,
    },
    Situation {
        name: "broken-secret",
        codes: [0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0],
        key: Some(KEY),
        release: 1,
    },
    Situation { name: "blocked", codes: [2, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 0, 2], key: Some(KEY), release: 1 },
];

async fn run(context: &Context, situation: &Situation, arguments: &[&str]) -> Ran {
    let folder = folder(situation.release);
    let variables: Vec<_> = situation.key.map(|key| ("SAVED_OBJECTS_ENCRYPTION_KEY", key)).into_iter().collect();
    run_with(context, &[arguments, &["--types", path(folder.path())]].concat(), &variables).await
}

/// Creates the situation that the name describes.
async fn prepare(context: &Context, situation: &Situation) {
    if situation.name == "nothing" {
        return;
    }
    drop(platform(context).await);
    let connectors = context.index("connectors");
    match situation.name {
        "bad-document" => {
            context.put("vaults", "vault:bad", &json!({"type": "vault", "typeMigrationVersion": "10.1.0"})).await;
        }
        "broken-secret" => {
            let id = "connector_token:a9106551-bfa7-872d-84d0-610d668914aa";
            let mut document = context.stored("connectors", id).await;
            let envelope = document["connector_token"]["token"].as_str().expect("an envelope").to_owned();
            let (start, end) = envelope.split_at(envelope.len() - 8);
            let changed = if end.starts_with('A') { end.replacen('A', "B", 1) } else { format!("A{}", &end[1..]) };
            document["connector_token"]["token"] = format!("{start}{changed}").into();
            context.put("connectors", id, &document).await;
        }
        "blocked" => {
            let block = json!({"index.blocks.write": true});
            context.raw("PUT", &format!("/{connectors}/_settings"), Some(block)).await;
        }
        _ => {}
    }
}

async fn exit_codes_by_command_and_situation(context: Context) {
    let mut wrong = Vec::new();
    for situation in SITUATIONS {
        let prefix = format!("{}-{}", context.prefix, situation.name).parse().expect("a prefix");
        let context = Context { prefix, ..context.clone() };
        prepare(&context, situation).await;
        for (command, code) in COMMANDS.iter().zip(situation.codes) {
            let ran = run(&context, situation, command).await;
            if ran.code != code {
                wrong.push(format!("{}: {command:?} ended with {} and not {code}: {ran:?}", situation.name, ran.code));
            }
            let said = format!("{}{}", ran.out, ran.err);
            assert!(!said.trim().is_empty(), "{}: {command:?} says nothing", situation.name);
            assert!(!said.contains("s3cret"), "{said}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
    let nowhere = Context { url: format!("http://{free}"), ..context };
    let situation = SITUATIONS.first().expect("some");
    let runs = COMMANDS.iter().map(|command| run(&nowhere, situation, command));
    for (ran, command) in futures::future::join_all(runs).await.iter().zip(COMMANDS) {
        assert_eq!(ran.code, 1, "no server: {command:?}: {ran:?}");
        let said = format!("{}{}", ran.out, ran.err);
        assert!(said.contains(&free.to_string()), "the address is named: {command:?}: {ran:?}");
        assert!(!said.contains("trying again, "), "nothing is waited for: {command:?}: {ran:?}");
    }
}

/// The plan announces the exit code of the migration, as far as a plan has such a code.
async fn a_kept_generation_needs_its_key(context: Context) {
    drop(platform(&context).await);
    let third = folder(3);
    let keys = [("SAVED_OBJECTS_ENCRYPTION_KEY", OTHER_KEY), ("SAVED_OBJECTS_DECRYPTION_ONLY_KEYS", KEY)];
    let run = async |arguments: &[&str]| {
        run_with(&context, &[arguments, &["--types", path(third.path())]].concat(), &keys).await
    };
    let migrated = run(&["migrate", "--json"]).await;
    assert_eq!(migrated.code, 0, "{migrated:?}");
    let rotated = run(&["keys", "rotate"]).await;
    assert_eq!(rotated.code, 2, "{rotated:?}");
    assert!(rotated.out.contains("is still needed") && rotated.out.contains("migrate --drop-old"), "{rotated:?}");
    assert!(!rotated.out.contains("can be removed"), "{rotated:?}");
    assert_eq!(run(&["migrate", "--drop-old", "--yes"]).await.code, 0);
    let again = run(&["keys", "rotate"]).await;
    assert!(again.code == 0 && again.out.contains("can be removed"), "{again:?}");
}

async fn a_refused_restore_is_2(context: Context) {
    let (store, _) = platform(&context).await;
    context.put("vaults", "vault:bad", &json!({"type": "vault", "typeMigrationVersion": "10.1.0"})).await;
    let second = folder(2);
    let run = async |arguments: &[&str]| {
        let key = [("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)];
        run_with(&context, &[arguments, &["--types", path(second.path())]].concat(), &key).await
    };
    let plan = run(&["migrate", "--plan"]).await;
    assert_eq!(plan.code, 2, "{plan:?}");
    assert!(plan.out.contains("it would fail: 1 documents of") && plan.out.contains("--on-bad quarantine"), "{plan:?}");
    let plan = run(&["migrate", "--plan", "--on-bad", "quarantine"]).await;
    assert!(plan.code == 0 && plan.out.contains("(would go to quarantine)"), "{plan:?}");
    assert_eq!(run(&["migrate", "--on-bad", "quarantine"]).await.code, 0);
    // Its id is taken again.
    let taken = Create::new("vault", object(json!({"title": "v", "owner": "kim"}))).id("bad");
    store.repository().create(taken.secret("password", Secret::text("s3cret"))).await.expect("created");
    let refused = run(&["quarantine", "restore", "--all"]).await;
    assert!(refused.code == 2 && refused.out.contains("not restored: vault:bad"), "{refused:?}");
    let unknown = run(&["quarantine", "restore", "vault:none"]).await;
    assert!(unknown.code == 1 && unknown.out.contains("not in quarantine: vault:none"), "{unknown:?}");
}
