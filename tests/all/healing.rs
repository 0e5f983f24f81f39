//! Disorder that a start finds: it is healed, or it is a blocker whose hint is followed literally, as it is written in
//! the blocker and in `docs/migrations.md`.

use std::sync::Arc;

use libtest_mimic::Trial;
use saved_objects::cluster::{AliasAction, CreateIndex, Elastic, IndexPurpose};
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::migrate::{OnBad, Outcome};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Create, ObjectKey};
use saved_objects::{SavedObjects, Start};
use serde_json::{Value, json};

use crate::clock::ImpatientClock;
use crate::context::{Context, MEMORY};
use crate::faults;
use crate::hints::{blocker, hint, hint_on_page};
use crate::migration::{current, note, notes_before_and_after, object, seed_version_1, version, version_1};
use crate::named_trials;
use crate::proxy::{Fault, Proxy};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let mut trials = named_trials!(
        url,
        an_older_start_undoes_a_dead_copy,
        a_missing_alias_for_writes_is_given_back,
        an_index_without_the_field_of_the_nonce_gets_it,
        a_missing_alias_is_a_blocker,
        a_control_index_without_its_alias_is_a_blocker,
        an_alias_on_two_indices_is_a_blocker,
        an_index_under_the_name_of_the_alias_is_a_blocker,
        an_alias_of_ours_on_an_index_of_others_is_a_blocker,
        a_foreign_write_block_is_a_blocker,
    );
    trials.extend(match url {
        MEMORY => named_trials!(url, too_few_shards_are_a_blocker, room_for_the_control_index_is_counted),
        _ => named_trials!(
            url,
            a_red_index_is_a_blocker,
            a_full_disk_is_a_blocker_that_is_never_lifted,
            a_disk_that_is_full_in_the_middle_is_named,
            an_interfering_template_is_a_blocker,
            templates_interfere_only_with_what_is_not_said_anyway,
            an_index_without_sequence_numbers_is_a_blocker,
        ),
    });
    trials
}

/// Returns the tokens' types, and a type of another group that can be migrated in place.
fn platform(release: u32) -> Vec<TypeDefinition> {
    let sets = || json!({"encrypted": [], "bound": []});
    let first = version(json!({"title": {"type": "string"}}), sets());
    let mut second = version(json!({"title": {"type": "string"}, "stars": {"type": "integer"}}), sets());
    second["changes"] = json!([{"type": "data_backfill", "defaults": {"stars": 0}}]);
    let mapping = json!({"dynamic": false, "properties": {"title": {"type": "keyword"}}});
    let mut types = note(first, mapping, &[second][..release as usize - 1]);
    types.extend(if release == 1 { version_1() } else { current() });
    types
}

/// Stores forty tokens and a note as the first release writes them.
async fn seed(context: &Context) {
    seed_version_1(context).await;
    create(&context.store(platform(1)).await, "1").await;
}

async fn create(store: &SavedObjects, id: &str) {
    let request = Create::new("note", object(json!({"title": "t"}))).id(id);
    store.repository().create(request).await.expect("it takes writes");
}

fn newest() -> Vec<TypeDefinition> {
    platform(2)
}

async fn assert_migrates(context: &Context) {
    let report = context.migrator(newest()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    assert_eq!(context.migrator(newest()).migrate().await.outcome, Outcome::NothingToDo);
}

async fn an_older_start_undoes_a_dead_copy(context: Context) {
    let (before, after) = notes_before_and_after();
    create(&context.store(before.clone()).await, "1").await;
    // The newer software is killed just before its swap, and does not start again.
    faults::killed_at_swap(&context, after.clone(), OnBad::Fail).await;
    let names = context.prefix.group("notes");
    let found = context.cluster().indices(&[&names.any()]).await.expect("answered");
    assert!(found[&names.index(1)].write_blocked && found.keys().any(|name| names.is_fill(name)), "{found:?}");
    let status = context.migrator(before.clone()).status().await.expect("answered");
    let [closed] = status.blockers.as_slice() else { panic!("it is nobody else's block: {status:?}") };
    assert!(closed.what.contains(&format!("{} takes no writes", names.index(1))), "{closed:?}");

    let old = context.store(before.clone()).await;
    create(&old, "2").await;
    let found = context.cluster().indices(&[&names.any()]).await.expect("answered");
    assert!(!found.keys().any(|name| names.is_fill(name)), "the fill is gone");
    assert_eq!(context.migrator(before).migrate().await.outcome, Outcome::NothingToDo);
    // The newer software starts again, and nothing that was written meanwhile is lost.
    let new = context.store(after).await;
    for id in ["1", "2"] {
        new.repository().get(&ObjectKey::new("note", id)).await.expect("not lost");
    }
}

async fn a_missing_alias_for_writes_is_given_back(context: Context) {
    let (before, _) = notes_before_and_after();
    create(&context.store(before.clone()).await, "1").await;
    let names = context.prefix.group("notes");
    let remove = [AliasAction::Remove { index: names.index(1), alias: names.write_alias(1) }];
    context.cluster().update_aliases(&remove).await.expect("removed");
    create(&context.store(before).await, "2").await;
}

/// Creates the index of the notes as it was before writes had a nonce, with a note in it.
async fn without_nonce_field(context: &Context) {
    let (cluster, names) = (context.cluster(), context.prefix.group("notes"));
    let index = names.index(1);
    let mut mapping = cluster.indices(&[&index]).await.expect("answered")[&index].mapping.clone();
    let properties = mapping["properties"].as_object_mut().expect("properties");
    properties.remove("writeNonce").expect("the index had the field");
    cluster.delete_index(&index).await.expect("deleted");
    let aliases = vec![names.alias().to_owned(), names.write_alias(1)];
    let old =
        CreateIndex { name: index, mapping, aliases, purpose: IndexPurpose::Serving, settings: Default::default() };
    cluster.create_index(&old).await.expect("created");
    let source = json!({"type": "note", "note": {"title": "old"}, "references": [], "typeMigrationVersion": "10.1.0"});
    context.put("notes", "note:old", &source).await;
}

/// Asserts that the notes can be written and are as before.
async fn assert_takes_nonces(context: &Context, made: &Value, store: &SavedObjects) {
    let old = ObjectKey::new("note", "old");
    let change = |draft: &mut saved_objects::repository::Draft| {
        draft.attributes.insert("title".to_owned(), json!("new"));
        Ok(())
    };
    store.repository().update(&old, change).await.expect("it takes writes");
    create(store, "1").await;
    for id in ["note:old", "note:1"] {
        assert!(context.stored("notes", id).await["writeNonce"].is_string(), "{id}");
    }
    let index = context.index("notes");
    assert_eq!(context.cluster().indices(&[&index]).await.expect("answered")[&index].mapping, *made);
}

async fn an_index_without_the_field_of_the_nonce_gets_it(context: Context) {
    let (notes, _) = notes_before_and_after();
    let index = context.index("notes");
    context.store(notes.clone()).await;
    let made = context.cluster().indices(&[&index]).await.expect("answered")[&index].mapping.clone();
    let again = async || context.migrator(notes.clone()).migrate().await;
    assert_eq!(again().await.outcome, Outcome::NothingToDo);

    without_nonce_field(&context).await;
    // As with everything that is healed, the start reports that it did something, and no document is migrated.
    let healed = again().await;
    assert_eq!((healed.outcome, healed.indices[0].documents.written), (Outcome::Migrated, 0));
    assert_eq!(again().await.outcome, Outcome::NothingToDo);
    assert_eq!(context.cluster().indices(&[&index]).await.expect("answered")[&index].mapping, made);
    assert_takes_nonces(&context, &made, &context.store(notes.clone()).await).await;

    // A start that migrates nothing: the first write heals, whether or not the node knows the generation from a read.
    let skipping = async || context.builder(notes.clone()).start(Start::Skip).await.expect("it starts");
    without_nonce_field(&context).await;
    let store = skipping().await;
    assert_takes_nonces(&context, &made, &store).await;
    without_nonce_field(&context).await;
    assert_takes_nonces(&context, &made, &store).await;
    without_nonce_field(&context).await;
    create(&skipping().await, "2").await;
    assert!(context.stored("notes", "note:2").await["writeNonce"].is_string());
}

async fn a_missing_alias_is_a_blocker(context: Context) {
    seed(&context).await;
    let names = context.prefix.group("connectors");
    let remove = |alias: &str| AliasAction::Remove { index: names.index(1), alias: alias.to_owned() };
    let remove = [remove(names.alias()), remove(&names.write_alias(1))];
    context.cluster().update_aliases(&remove).await.expect("removed");
    let blocker = blocker(&context, newest).await;
    assert!(blocker.what.contains("is missing"), "{blocker:?}");
    hint(&context, &blocker, &[]).await;
    assert_migrates(&context).await;
}

/// Without it, no key would seem to be in use.
async fn a_control_index_without_its_alias_is_a_blocker(context: Context) {
    seed(&context).await;
    let names = context.prefix.group("control");
    let remove = [AliasAction::Remove { index: names.index(1), alias: names.alias().to_owned() }];
    context.cluster().update_aliases(&remove).await.expect("removed");
    let blocker = blocker(&context, newest).await;
    assert!(blocker.what.starts_with(&format!("the alias {} is missing", names.alias())), "{blocker:?}");
    hint(&context, &blocker, &[]).await;
    assert_migrates(&context).await;
}

async fn an_alias_on_two_indices_is_a_blocker(context: Context) {
    seed(&context).await;
    let (alias, other) =
        (context.prefix.group("connectors").alias().to_owned(), format!("{}-restored", context.prefix));
    let restored = CreateIndex {
        name: other.clone(),
        mapping: json!({"dynamic": false}),
        aliases: vec![alias.clone()],
        purpose: IndexPurpose::Serving,
        settings: Default::default(),
    };
    context.cluster().create_index(&restored).await.expect("created");
    let blocker = blocker(&context, newest).await;
    assert!(blocker.what.contains("several indices"), "{blocker:?}");
    hint(&context, &blocker, &[("<the other>", &other), ("<alias>", &alias)]).await;
    assert_migrates(&context).await;
}

async fn an_index_under_the_name_of_the_alias_is_a_blocker(context: Context) {
    let name = context.prefix.group("connectors").alias().to_owned();
    let mapping = json!({"dynamic": false});
    let index = CreateIndex {
        name: name.clone(),
        mapping,
        aliases: Vec::new(),
        purpose: IndexPurpose::Serving,
        settings: Default::default(),
    };
    context.cluster().create_index(&index).await.expect("created");
    let blocker = blocker(&context, newest).await;
    hint(&context, &blocker, &[("<index>", &name)]).await;
    assert_migrates(&context).await;
}

async fn an_alias_of_ours_on_an_index_of_others_is_a_blocker(context: Context) {
    let (alias, theirs) = (context.prefix.group("connectors").alias().to_owned(), format!("{}-theirs", context.prefix));
    let mapping = json!({"dynamic": false});
    let index = CreateIndex {
        name: theirs.clone(),
        mapping,
        aliases: vec![alias.clone()],
        purpose: IndexPurpose::Serving,
        settings: Default::default(),
    };
    context.cluster().create_index(&index).await.expect("created");
    let blocker = blocker(&context, newest).await;
    assert_eq!(blocker.what, format!("the name {alias} leads to the index {theirs}, which this library did not make"));
    assert_eq!(
        blocker.hint,
        format!(
            "use another prefix (--prefix), or have those who use the alias name the index by another one, and rename it: POST /_aliases \
             {{\"actions\":[{{\"add\":{{\"index\":\"{theirs}\",\"alias\":\"<another name>\"}}}},{{\"remove\":{{\"index\":\"{theirs}\",\
             \"alias\":\"{alias}\"}}}}]}}"
        ),
        "nothing of theirs is deleted"
    );
    let other = Context { prefix: format!("{}-other", context.prefix).parse().expect("a prefix"), ..context.clone() };
    let report = other.migrator(newest()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "another prefix is free: {report:?}");
    let renamed = format!("{alias}-renamed");
    hint(&context, &blocker, &[("<another name>", &renamed)]).await;
    assert_migrates(&context).await;
    let found = context.cluster().indices(&[&theirs]).await.expect("answered");
    assert_eq!(found[&theirs].aliases.keys().collect::<Vec<_>>(), [&renamed]);
}

async fn a_foreign_write_block_is_a_blocker(context: Context) {
    seed(&context).await;
    let index = context.index("connectors");
    context.cluster().add_write_block(&index).await.expect("blocked");
    let blocker = blocker(&context, newest).await;
    hint(&context, &blocker, &[("<index>", &index)]).await;
    assert_migrates(&context).await;
}

async fn a_red_index_is_a_blocker(context: Context) {
    create(&context.store(platform(1)).await, "1").await;
    let (index, names) = (context.index("connectors"), context.prefix.group("connectors"));
    context.cluster().delete_index(&index).await.expect("deleted");
    let hidden = json!({"is_hidden": true});
    // There is no node that may have its shard.
    let body = json!({
        "aliases": {names.alias(): hidden, names.write_alias(1): hidden},
        "settings": {"index": {"hidden": true, "number_of_replicas": 0, "routing.allocation.require._name": "no-such-node"}},
    });
    context.raw("PUT", &format!("/{index}?wait_for_active_shards=0"), Some(body)).await;
    let blocker = blocker(&context, newest).await;
    assert!(blocker.what.contains("is red") && blocker.hint.contains("/_cluster/allocation/explain"), "{blocker:?}");
    assert!(hint_on_page(&blocker).contains("/_cluster/allocation/explain"));
    let explain = json!({"index": index, "shard": 0, "primary": true});
    let explained = context.raw("GET", "/_cluster/allocation/explain", Some(explain)).await;
    assert!(explained.to_string().contains("no-such-node"), "{explained}");
    let anywhere = json!({"index.routing.allocation.require._name": null});
    context.raw("PUT", &format!("/{index}/_settings"), Some(anywhere)).await;
    assert_migrates(&context).await;
}

const FLOOD: &str = "index.blocks.read_only_allow_delete";

async fn set_flood_block(context: &Context, index: &str) {
    let answer = context.raw("PUT", &format!("/{index}/_settings"), Some(json!({FLOOD: true}))).await;
    assert_eq!(answer["acknowledged"], true, "{answer}");
}

async fn has_flood_block(context: &Context, index: &str) -> bool {
    let found = context.cluster().indices(&[index]).await.expect("answered");
    found[index].other_blocks.contains("read_only_allow_delete")
}

async fn a_full_disk_is_a_blocker_that_is_never_lifted(context: Context) {
    seed(&context).await;
    let index = context.index("connectors");
    set_flood_block(&context, &index).await;
    let flooded = blocker(&context, newest).await;
    assert!(flooded.what.contains(FLOOD), "{flooded:?}");
    assert!(has_flood_block(&context, &index).await, "it is not ours to lift");
    let older = context.migrator(platform(1)).migrate().await;
    assert_eq!(older.outcome, Outcome::Blocked, "a start with nothing to do tells it too: {older:?}");
    assert_eq!(older.blockers[0], flooded);
    hint(&context, &flooded, &[("<index>", &index)]).await;
    // Blocks of other maintenance are reported in the same way.
    context.raw("PUT", &format!("/{index}/_settings"), Some(json!({"index.blocks.read_only": true}))).await;
    let blocker = blocker(&context, newest).await;
    hint(&context, &blocker, &[("<index>", &index), ("<block>", "read_only")]).await;
    assert_migrates(&context).await;
}

async fn a_disk_that_is_full_in_the_middle_is_named(context: Context) {
    seed(&context).await;
    let (index, inner) = (context.index("connectors"), context.clone());
    let handle = tokio::runtime::Handle::current();
    let proxy = Proxy::start(&context.url, move |seen, before| {
        if seen.path.contains("connectors-000001-write/_bulk") && before == 0 {
            let (context, handle) = (inner.clone(), handle.clone());
            let set = async move { set_flood_block(&context, &context.index("connectors")).await };
            // This must not block a worker thread: all other tasks may wait for it to poll the network.
            tokio::task::block_in_place(|| handle.block_on(set));
        }
        Fault::None
    })
    .await;
    let environment = Environment::new(Arc::new(ImpatientClock::default()), Arc::new(SystemRng));
    let cluster = Elastic::builder(proxy.url()).environment(environment).build().expect("a fine URL");
    let report = context.migrator_on(Arc::new(cluster), newest()).migrate().await;
    assert_eq!(report.outcome, Outcome::Failed, "{report:?}");
    let error = report.error.expect("it failed");
    assert!(error.message.contains("flood-stage") && !error.hint.is_empty(), "{error:?}");
    assert!(has_flood_block(&context, &index).await, "it is not ours to lift");
    let blocker = blocker(&context, newest).await;
    hint(&context, &blocker, &[("<index>", &index)]).await;
    assert_migrates(&context).await;
    assert_eq!(context.migrator(newest()).status().await.expect("answered").indices[0].outdated, Some(0));
}

async fn an_index_without_sequence_numbers_is_a_blocker(context: Context) {
    create(&context.store(platform(1)).await, "1").await;
    let (index, source) = (context.index("notes"), context.stored("notes", "note:1").await);
    let made = context.raw("GET", &format!("/{index}"), None).await[&index].clone();
    let make_anew = async |settings: Value| {
        context.raw("DELETE", &format!("/{index}"), None).await;
        let body = json!({"mappings": made["mappings"], "aliases": made["aliases"], "settings": {"index": settings}});
        context.raw("PUT", &format!("/{index}"), Some(body)).await
    };
    let answer = make_anew(json!({"hidden": true, "disable_sequence_numbers": true})).await;
    if answer["acknowledged"] != true {
        // Versions before 9.4 do not know the setting.
        assert!(answer.to_string().contains("unknown setting"), "{answer}");
        return;
    }
    let document = format!("/{index}/_doc/note:1");
    context.raw("PUT", &document, Some(source.clone())).await;
    let refused = context.raw("PUT", &format!("{document}?if_seq_no=0&if_primary_term=1"), Some(source.clone())).await;
    assert_eq!(refused["status"], 400, "{refused}");
    let blocker = blocker(&context, newest).await;
    assert!(blocker.what.contains(&format!("the index {index} keeps no sequence numbers")), "{blocker:?}");
    assert!(hint_on_page(&blocker).contains("POST /_reindex"), "{blocker:?}");
    // The hint, by other requests: the tests' server lacks the module for `_reindex`.
    make_anew(json!({"hidden": true})).await;
    context.raw("PUT", &document, Some(source)).await;
    assert_migrates(&context).await;
    let note = context.store(newest()).await.repository().get(&ObjectKey::new("note", "1")).await.expect("not lost");
    assert_eq!(note.attributes["title"], "t");
}

async fn too_few_shards_are_a_blocker(context: Context) {
    let (before, after) = notes_before_and_after();
    assert_eq!(context.migrator(before).migrate().await.outcome, Outcome::Migrated);
    let memory = context.memory.as_ref().expect("it is in memory");
    memory.limit_shards(Some(2));
    let blocker = blocker(&context, || notes_before_and_after().1).await;
    assert!(blocker.hint.contains("cluster.max_shards_per_node"), "{blocker:?}");
    memory.limit_shards(None);
    assert_eq!(context.migrator(after).migrate().await.outcome, Outcome::Migrated);
}

/// The first start also creates the control index, which records the keys in use.
async fn room_for_the_control_index_is_counted(context: Context) {
    let memory = context.memory.as_ref().expect("it is in memory");
    memory.limit_shards(Some(1));
    let blocker = blocker(&context, current).await;
    assert!(blocker.what.contains("takes 1 more shards") && blocker.what.contains("2 are needed"), "{blocker:?}");
    assert!(context.cluster().indices(&["*"]).await.expect("answered").is_empty(), "nothing was made");
    memory.limit_shards(Some(2));
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated);
}

async fn an_interfering_template_is_a_blocker(context: Context) {
    let name = format!("{}-template", context.prefix);
    let template = json!({"index_patterns": [format!("{}-conn*", context.prefix)], "priority": 7,
        "template": {"mappings": {"properties": {"theirs": {"type": "keyword"}}}}});
    context.raw("PUT", &format!("/_index_template/{name}"), Some(template)).await;
    let blocker = blocker(&context, newest).await;
    assert!(blocker.what.contains(&name), "{blocker:?}");
    hint(&context, &blocker, &[("<name>", &name)]).await;
    assert_migrates(&context).await;
}

async fn templates_interfere_only_with_what_is_not_said_anyway(context: Context) {
    let (prefix, pattern) = (context.prefix.to_string(), format!("{}-*", context.prefix));
    let component = json!({"template": {"settings": {"index": {"codec": "best_compression"}}}});
    context.raw("PUT", &format!("/_component_template/{prefix}-part"), Some(component)).await;
    let composable = |priority: u64, pattern: &str, more: Value| {
        let mut template = json!({"index_patterns": [pattern], "priority": priority});
        template.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        template
    };
    let mappings = json!({"template": {"mappings": {"properties": {"theirs": {"type": "keyword"}}}}});
    let templates = [
        // The server accepts no legacy template in addition to a composable one, but the reverse.
        ("_template", "aliased", json!({"index_patterns": [pattern], "aliases": {format!("{prefix}.all"): {}}})),
        ("_template", "plain", json!({"index_patterns": [pattern], "settings": {"number_of_shards": 1}})),
        ("_index_template", "mapped", composable(1, &pattern, mappings.clone())),
        ("_index_template", "composed", composable(2, &pattern, json!({"composed_of": [format!("{prefix}-part")]}))),
        (
            "_index_template",
            "ours",
            composable(3, &pattern, json!({"template": {"settings": {"number_of_replicas": 2}}})),
        ),
        ("_index_template", "others", composable(4, "somebody-else-*", mappings)),
    ];
    for (kind, name, template) in &templates {
        let answer = context.raw("PUT", &format!("/{kind}/{prefix}-{name}"), Some(template.clone())).await;
        assert_eq!(answer["acknowledged"], true, "{name}: {answer}");
    }
    // The server applies one composable template, the one with the highest priority, or otherwise all legacy templates.
    let delete = async |kind: &str, name: &str| {
        context.raw("DELETE", &format!("/{kind}/{prefix}-{name}"), None).await;
    };
    let found = async || -> Vec<String> {
        let found = context.cluster().interfering_templates(&[&context.index("notes")]).await.expect("answered");
        found.into_iter().map(|interference| interference.template).collect()
    };
    assert_eq!(found().await, Vec::<String>::new());
    for next in ["ours", "composed", "mapped"] {
        let expected = if next == "ours" { vec![] } else { vec![format!("_index_template/{prefix}-{next}")] };
        assert_eq!(found().await, expected);
        delete("_index_template", next).await;
    }
    assert_eq!(found().await, [format!("_template/{prefix}-aliased")]);
    for (kind, name) in [("_index_template", "others"), ("_template", "aliased"), ("_template", "plain")] {
        delete(kind, name).await;
    }
    context.raw("DELETE", &format!("/_component_template/{prefix}-part"), None).await;
}
