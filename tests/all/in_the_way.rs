//! What is in the way of a start or of users is told at any time, for every index of ours, before anything is written,
//! and by everything that tells it alike: a start, a plan, a status and a diagnosis.

use std::collections::BTreeSet;

use libtest_mimic::Trial;
use saved_objects::cluster::{AliasAction, Health, Privileges};
use saved_objects::migrate::{Blocker, CheckName, CheckState, Fate, OnBad, Outcome};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Create, Draft, ObjectKey};
use serde_json::{Value, json};

use crate::cli_sight::{folder, path, run};
use crate::context::{Context, MEMORY};
use crate::hints::hint;
use crate::migration::{current, notes_before_and_after, object};
use crate::named_trials;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        a_block_is_told_at_any_time_for_every_index,
        a_closed_index_is_told_at_any_time_for_every_index,
        own_indices_without_their_aliases_are_told,
        a_foreign_control_index_is_told,
        a_new_mapping_is_held_against_the_documents_before_it_is_added,
        a_policy_puts_aside_what_a_new_mapping_does_not_fit,
    );
    if url != MEMORY {
        trials.extend(named_trials!(
            url,
            templates_are_found_for_every_index_to_be_made,
            a_failed_run_says_what_was_created,
            a_doctor_tells_everything_in_one_look,
        ));
    }
    trials
}

/// Returns a context with a prefix of its own.
fn within(context: &Context, name: &str) -> Context {
    let prefix = format!("{}-{name}", context.prefix).parse().expect("a prefix");
    Context { prefix, ..context.clone() }
}

/// Creates a store at its registered versions, with a document in quarantine. Returns its indices.
async fn settled(context: &Context) -> [String; 3] {
    drop(context.store(current()).await);
    let bad = json!({"type": "connector_token", "typeMigrationVersion": "10.1.0"});
    context.put("connectors", "connector_token:bad", &bad).await;
    let put_aside = context.migrator(current()).rescan().on_bad(OnBad::Quarantine).migrate().await;
    assert_eq!((put_aside.outcome, put_aside.bad_total), (Outcome::Migrated, 1), "{put_aside:?}");
    assert_nothing_to_do(context).await;
    [context.index("connectors"), context.index("control"), context.index("control-quarantine")]
}

async fn assert_nothing_to_do(context: &Context) {
    let report = context.migrator(current()).migrate().await;
    assert_eq!(report.outcome, Outcome::NothingToDo, "{report:?}");
}

/// Returns the blockers, which everything that tells them must tell alike.
async fn told(context: &Context, types: Vec<TypeDefinition>) -> Vec<Blocker> {
    let report = context.migrator(types.clone()).migrate().await;
    assert_eq!(report.outcome, Outcome::Blocked, "{report:?}");
    let plan = context.migrator(types.clone()).describe().await;
    assert_eq!((plan.outcome, &plan.blockers), (Outcome::Blocked, &report.blockers));
    let status = context.migrator(types.clone()).status().await.expect("answered");
    assert_eq!(status.blockers, report.blockers);
    let diagnosis = context.migrator(types).diagnose("migrate", &Privileges::default()).await.expect("answered");
    assert!(!diagnosis.ok);
    for Blocker { check, what, hint } in &report.blockers {
        let is_it = |state| move |it: &&saved_objects::migrate::Finding| it.check == *check && it.state == state;
        let mut blocked = diagnosis.checks.iter().filter(is_it(CheckState::Blocked));
        assert!(blocked.any(|it| it.what == *what && it.hint == *hint), "{what}: {diagnosis:?}");
        assert_eq!(diagnosis.checks.iter().filter(is_it(CheckState::Ok)).count(), 0, "{diagnosis:?}");
    }
    report.blockers
}

async fn a_block_is_told_at_any_time_for_every_index(context: Context) {
    for index in settled(&context).await {
        for block in ["write", "read_only_allow_delete", "read_only", "read", "metadata"] {
            let setting = format!("index.blocks.{block}");
            context.raw("PUT", &format!("/{index}/_settings"), Some(json!({ setting: true }))).await;
            let blockers = told(&context, current()).await;
            assert_eq!(blockers.len(), 1, "{block}: {blockers:?}");
            assert!(blockers[0].check == CheckName::Blocks && blockers[0].what.contains(&index), "{blockers:?}");
            hint(&context, &blockers[0], &[("<index>", &index), ("<block>", block)]).await;
        }
    }
    assert_nothing_to_do(&context).await;
}

async fn a_closed_index_is_told_at_any_time_for_every_index(context: Context) {
    for index in settled(&context).await {
        context.raw("POST", &format!("/{index}/_close"), None).await;
        let blockers = told(&context, current()).await;
        assert_eq!(blockers.len(), 1, "{blockers:?}");
        assert_eq!(
            blockers[0].what,
            format!("the index {index} is closed, so that it can be neither read nor written")
        );
        hint(&context, &blockers[0], &[("<index>", &index)]).await;
        let patience = std::time::Duration::from_secs(60);
        let health = context.cluster().wait_for_health(&index, Health::Yellow, patience).await.expect("answered");
        assert_ne!(health, Health::Red);
        assert_nothing_to_do(&context).await;
    }
}

async fn own_indices_without_their_aliases_are_told(context: Context) {
    let [_, control, quarantine] = settled(&context).await;
    let own = |index: &str| index.strip_suffix("-000001").expect("a first generation").to_owned();
    let write = format!("{quarantine}-write");
    let table = [
        (&control, vec![own(&control)]),
        (&quarantine, vec![own(&quarantine), write.clone()]),
        (&quarantine, vec![write]),
    ];
    for (index, aliases) in table {
        let remove = aliases.iter().map(|alias| AliasAction::Remove { index: index.clone(), alias: alias.clone() });
        context.cluster().update_aliases(&remove.collect::<Vec<_>>()).await.expect("removed");
        let blockers = told(&context, current()).await;
        let what = format!("the alias {} is missing, and there are indices that it once led to: {index}", aliases[0]);
        assert!(blockers.len() == 1 && blockers[0].what == what, "{blockers:?}");
        hint(&context, &blockers[0], &[]).await;
        assert_nothing_to_do(&context).await;
        let found = context.cluster().indices(&[index]).await.expect("answered");
        assert!(aliases.iter().all(|alias| found[index].aliases[alias].is_hidden), "{found:?}");
    }
    // The quarantine takes documents again.
    let in_quarantine = context.quarantine().list().await.expect("listed");
    assert_eq!(in_quarantine.len(), 1);
}

async fn a_foreign_control_index_is_told(context: Context) {
    let name = context.prefix.group("control").alias().to_owned();
    context.raw("PUT", &format!("/{name}"), None).await;
    let blockers = told(&context, current()).await;
    assert_eq!(blockers[0].what, format!("the name {name} leads to the index {name}, which this library did not make"));
    hint(&context, &blockers[0], &[("<index>", &name)]).await;
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated);
}

/// Returns pages whose second version maps three attributes that the first one has without a mapping.
fn pages(release: usize) -> Vec<TypeDefinition> {
    let names = ["title", "url", "when", "count"].map(|name| (name.to_owned(), json!({})));
    let known: Value = names.into_iter().collect::<serde_json::Map<_, _>>().into();
    let added = json!({"url": {"type": "keyword"}, "when": {"type": "date"}, "count": {"type": "integer"}});
    let mut fields = json!({"title": {"type": "keyword"}});
    if release > 1 {
        fields.as_object_mut().expect("fields").extend(added.as_object().expect("fields").clone());
    }
    let version = |changes: Value| {
        json!({"changes": changes, "create": {"type": "object", "properties": known, "additionalProperties": false},
            "forward": {"type": "object", "properties": known}})
    };
    let versions = [version(json!([])), version(json!([{"type": "mappings_addition", "properties": added}]))];
    let mapping = json!({"type": "page", "group": "pages", "namespace_kind": "agnostic", "exportable": true,
        "random_id": false, "mapping": {"dynamic": false, "properties": fields}});
    let versions: Vec<_> = (1..=release).zip(versions).map(|(at, it)| (format!("{at}.json"), it.to_string())).collect();
    vec![TypeDefinition::from_json("page.json", &mapping.to_string(), &versions).expect("a valid definition")]
}

/// Stores pages of the first version, of which the mapping of the second does not fit all but two.
async fn seed_pages(context: &Context) {
    let store = context.store(pages(1)).await;
    let pages = [
        ("fine", json!({"url": "http://x", "when": "2026-01-01", "count": 3})),
        ("long", json!({"url": "u".repeat(40_000)})),
        ("date", json!({"when": "yesterday"})),
        ("count", json!({"count": 99_999_999_999_i64})),
        ("object", json!({"count": {"a": 1}})),
        ("none", json!({"title": "t"})),
    ];
    for (id, attributes) in pages {
        store.repository().create(Create::new("page", object(attributes)).id(id)).await.expect("created");
    }
}

const MISFITS: [&str; 4] = ["page:count", "page:date", "page:long", "page:object"];

async fn a_new_mapping_is_held_against_the_documents_before_it_is_added(context: Context) {
    seed_pages(&context).await;
    let index = context.index("pages");
    let mapping = async || context.cluster().indices(&[&index]).await.expect("answered")[&index].mapping.clone();
    let before = mapping().await;
    let plan = context.migrator(pages(2)).describe().await;
    let report = context.migrator(pages(2)).migrate().await;
    for (what, report) in [("plan", &plan), ("migration", &report)] {
        let named: BTreeSet<&str> = report.bad.iter().map(|bad| bad.id.as_str()).collect();
        assert_eq!(named, BTreeSet::from(MISFITS), "{what}: {report:?}");
        assert!(report.bad.iter().all(|bad| bad.fate == Fate::Kept && !bad.reason.contains("yesterday")), "{report:?}");
        let long = report.bad.iter().find(|bad| bad.id == "page:long").expect("named");
        assert!(long.reason.contains("\"url\" has 40000 bytes, and as keyword it may have 32766 at most"), "{long:?}");
        let error = report.error.as_ref().expect("it fails, or would fail");
        assert!(error.hint.contains("--on-bad quarantine"), "{error:?}");
    }
    assert_eq!((plan.outcome, report.outcome), (Outcome::Planned, Outcome::Failed));
    let message = report.error.expect("it failed").message;
    assert!(message.contains("did not get the new mapping, and nothing was written to it"), "{message}");
    assert_eq!(before, mapping().await);
    // Older software goes on.
    let older = context.store(pages(1)).await;
    let change = |draft: &mut Draft| {
        draft.attributes.insert("title".to_owned(), json!("new"));
        Ok(())
    };
    for id in MISFITS {
        let id = id.trim_start_matches("page:");
        older.repository().update(&ObjectKey::new("page", id), change).await.expect("it takes writes");
        older.repository().delete(&ObjectKey::new("page", id)).await.expect("deleted");
    }
    let migrated = context.migrator(pages(2)).migrate().await;
    assert_eq!((migrated.outcome, migrated.indices[0].documents.written), (Outcome::Migrated, 2), "{migrated:?}");
    assert!(migrated.indices[0].done);
}

async fn a_policy_puts_aside_what_a_new_mapping_does_not_fit(context: Context) {
    seed_pages(&context).await;
    let plan = context.migrator(pages(2)).on_bad(OnBad::Quarantine).describe().await;
    assert_eq!((plan.outcome, plan.bad_total, &plan.error), (Outcome::Planned, 4, &None), "{plan:?}");
    let report = context.migrator(pages(2)).on_bad(OnBad::Quarantine).migrate().await;
    assert_eq!((report.outcome, report.bad_total), (Outcome::Migrated, 4), "{report:?}");
    let (planned, done): (BTreeSet<_>, BTreeSet<_>) =
        (plan.bad.iter().map(|bad| &bad.id).collect(), report.bad.iter().map(|bad| &bad.id).collect());
    assert_eq!(planned, done);
}

async fn templates_are_found_for_every_index_to_be_made(context: Context) {
    let templates: [(&str, &str, Value, &[&str]); 4] = [
        ("stream", "-*", json!({"data_stream": {}}), &["connectors", "control", "control-quarantine"]),
        (
            "box",
            "-*",
            json!({"template": {"settings": {"index.routing.allocation.require.box": "none"}}}),
            &["connectors", "control", "control-quarantine"],
        ),
        ("pipe", "-control-0*", json!({"template": {"settings": {"index.default_pipeline": "none"}}}), &["control"]),
        (
            "mapped",
            "-control-quarantine-*",
            json!({"template": {"mappings": {"properties": {"theirs": {"type": "keyword"}}}}}),
            &["control-quarantine"],
        ),
    ];
    for (name, pattern, template, groups) in templates {
        let context = within(&context, name);
        let mut template = template;
        template["index_patterns"] = json!([format!("{}{pattern}", context.prefix)]);
        template["priority"] = json!(1_000);
        let name = format!("{}-template", context.prefix);
        let made = context.raw("PUT", &format!("/_index_template/{name}"), Some(template)).await;
        assert_eq!(made["acknowledged"], true, "{made}");
        let blockers = told(&context, current()).await;
        let all = format!("{}-*", context.prefix);
        let left = context.cluster().indices(&[&all]).await.expect("answered");
        assert!(left.is_empty(), "{left:?}");
        let indices = groups.iter().map(|group| context.index(group)).collect::<Vec<_>>().join(", ");
        assert!(blockers.len() == 1 && blockers[0].check == CheckName::Templates, "{blockers:?}");
        assert!(blockers[0].what.ends_with(&format!(": {indices}")), "{blockers:?}");
        hint(&context, &blockers[0], &[("<name>", &name)]).await;
        assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated);
    }
}

async fn a_failed_run_says_what_was_created(context: Context) {
    let mut types = current();
    types.extend(notes_before_and_after().0);
    // An index has the name of an alias that the second group's index needs.
    let theirs = context.prefix.group("notes").write_alias(1);
    context.raw("PUT", &format!("/{theirs}"), None).await;
    let report = context.migrator(types).migrate().await;
    assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
    let done: Vec<_> = report.indices.iter().map(|index| (index.index.clone(), index.done)).collect();
    assert_eq!(done, [(context.index("connectors"), true), (context.index("notes"), false)]);
}

async fn a_doctor_tells_everything_in_one_look(context: Context) {
    let first = folder(1);
    let types = ["--types", path(first.path())];
    let doctor = async |more: &[&str]| run(&context, &[&["doctor"], more, &types].concat()).await;
    let checks = |json: &Value| -> BTreeSet<String> {
        let checks = json["checks"].as_array().expect("checks");
        checks.iter().map(|it| it["check"].as_str().expect("a name").to_owned()).collect()
    };
    let empty = doctor(&["--json"]).await;
    assert_eq!((empty.code, &empty.json()["ok"]), (0, &json!(true)), "{empty:?}");
    assert_eq!(checks(&empty.json()).len(), CheckName::ALL.len(), "{empty:?}");
    assert!(empty.out.contains("there is no index under the prefix"), "{empty:?}");
    assert!(empty.out.contains("security is off"), "{empty:?}");
    assert!(context.cluster().indices(&[&format!("{}-*", context.prefix)]).await.expect("answered").is_empty());

    drop(crate::cli_sight::platform(&context).await);
    // An older node wrote this one after the migration.
    let late = json!({"type": "vault", "vault": {"title": "v", "owner": "kim"}, "references": []});
    context.put("vaults", "vault:late", &late).await;
    let well = doctor(&[]).await;
    assert_eq!(well.code, 0, "{well:?}");
    assert!(well.out.contains("late writers: 1 documents of") && well.out.contains("--rescan"), "{well:?}");
    assert!(well.out.lines().all(|line| line.chars().count() <= 80), "{well:?}");
    assert!(well.out.ends_with("nothing stands in the way\n"), "{well:?}");

    let index = context.index("connectors");
    context.raw("PUT", &format!("/{index}/_settings"), Some(json!({"index.blocks.read_only": true}))).await;
    let template = json!({"index_patterns": [format!("{}-vaults-fill-*", context.prefix)], "priority": 9,
        "template": {"settings": {"index.codec": "best_compression"}}});
    let name = format!("{}-template", context.prefix);
    context.raw("PUT", &format!("/_index_template/{name}"), Some(template)).await;
    let blocked = doctor(&["--json"]).await;
    context.raw("DELETE", &format!("/_index_template/{name}"), None).await;
    context.raw("PUT", &format!("/{index}/_settings"), Some(json!({"index.blocks.read_only": null}))).await;
    assert_eq!((blocked.code, &blocked.json()["ok"]), (2, &json!(false)), "{blocked:?}");
    let json = blocked.json();
    let in_the_way: BTreeSet<&str> = json["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .filter(|it| it["state"] == "blocked")
        .filter_map(|it| it["check"].as_str())
        .collect();
    assert_eq!(in_the_way, BTreeSet::from(["blocks", "templates"]), "{json:#}");
}
