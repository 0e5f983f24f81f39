//! What a start finds in disorder: healed, or a blocker whose cure is tried as it is written, here and in `docs/migrations.md`.

use std::collections::BTreeMap;
use std::sync::Arc;

use libtest_mimic::Trial;
use saved_objects::cluster::{AliasAction, Cluster, CreateIndex, Elastic, IndexPurpose, IndexState};
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::migrate::{Blocker, OnBad, Outcome};
use saved_objects::registry::TypeDefinition;
use saved_objects::repository::{Create, ObjectKey};
use saved_objects::{SavedObjects, Start};
use serde_json::{Value, json};

use crate::clock::ImpatientClock;
use crate::context::{Context, MEMORY};
use crate::faults;
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
        an_alias_on_two_indices_is_a_blocker,
        an_index_under_the_name_of_the_alias_is_a_blocker,
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
        ),
    });
    trials
}

/// The tokens' types, and another group's type that can be migrated in place.
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

/// Forty tokens and a note as the first release writes them.
async fn seed(context: &Context) {
    seed_version_1(context).await;
    create(&context.store(platform(1)).await, "1").await;
}

async fn create(store: &SavedObjects, id: &str) {
    let request = Create::new("note", object(json!({"title": "t"}))).id(id);
    store.repository().create(request).await.expect("it takes writes");
}

/// All indices of the test, and how many writes each has taken.
async fn all(context: &Context) -> BTreeMap<String, (IndexState, Option<u64>)> {
    let cluster = context.cluster();
    let mut all = BTreeMap::new();
    for (name, state) in cluster.indices(&[&format!("{}-*", context.prefix)]).await.expect("answered") {
        let writes = cluster.write_count(&name).await.ok();
        all.insert(name, (state, writes));
    }
    all
}

/// What blocks a start of these types. Nothing is written to any group then.
pub(crate) async fn blocker(context: &Context, types: fn() -> Vec<TypeDefinition>) -> Blocker {
    let before = all(context).await;
    let plan = context.migrator(types()).describe().await;
    let report = context.migrator(types()).migrate().await;
    assert_eq!((report.outcome, plan.outcome), (Outcome::Blocked, Outcome::Blocked), "{report:?}");
    assert_eq!(plan.blockers, report.blockers);
    assert_eq!(context.migrator(types()).status().await.expect("answered").blockers, report.blockers);
    assert_eq!(before, all(context).await, "nothing was written");
    report.blockers[0].clone()
}

fn newest() -> Vec<TypeDefinition> {
    platform(2)
}

async fn assert_migrates(context: &Context) {
    let report = context.migrator(newest()).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:?}");
    assert_eq!(context.migrator(newest()).migrate().await.outcome, Outcome::NothingToDo);
}

/// Does what the cure of a blocker says, as it is written: the first request in it, which is also the one of the page for whoever
/// is on call. What stands in angle brackets is replaced.
pub(crate) async fn cure(context: &Context, blocker: &Blocker, values: &[(&str, &str)]) {
    let fill_in = |text: &str| values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    let cured = fill_in(&blocker.cure);
    if let Some(on_page) = request_in(&fill_in(&cure_on_page(blocker))) {
        assert_eq!(request_in(&cured), Some(on_page), "the page says something else than {cured}");
    }
    let (method, path, body) = request_in(&cured).expect("a request");
    match &context.memory {
        None => {
            let answer = context.raw(&method, &path, body).await;
            assert_eq!(answer["acknowledged"], true, "{cured}: {answer}");
        }
        Some(memory) => apply_in_memory(memory, &method, &path, &body.unwrap_or_default()).await,
    }
}

/// The row about a blocker in `docs/migrations.md`: its last column.
fn cure_on_page(blocker: &Blocker) -> String {
    let page = include_str!("../../docs/migrations.md");
    let page = page.split("## It does not start").nth(1).expect("the chapter is there");
    let is_about = |pattern: &str| {
        let mut rest = blocker.what.as_str();
        pattern.trim_matches(['`', ' ']).split('…').all(|part| match rest.find(part.trim()) {
            Some(at) => {
                rest = &rest[at + part.trim().len()..];
                true
            }
            None => false,
        })
    };
    let rows = page.lines().filter(|line| line.starts_with("| `")).filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
        (cells.len() == 3 && is_about(cells[0])).then(|| cells[2].to_owned())
    });
    let rows: Vec<String> = rows.collect();
    assert_eq!(rows.len(), 1, "rows of the page about {blocker:?}: {rows:?}");
    rows[0].clone()
}

/// The first request in a text that changes something, if it is there with all that it needs.
fn request_in(text: &str) -> Option<(String, String, Option<Value>)> {
    let begin = ["POST /", "PUT /", "DELETE /"].iter().filter_map(|verb| text.find(verb)).min()?;
    let mut words = text[begin..].splitn(3, ' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.trim_end_matches([';', ',', '`']).to_owned());
    let body = words.next().and_then(|rest| serde_json::Deserializer::from_str(rest).into_iter::<Value>().next()?.ok());
    (method == "DELETE" || body.is_some()).then_some((method, path, body))
}

async fn apply_in_memory(cluster: &dyn Cluster, method: &str, path: &str, body: &Value) {
    let done = match (method, path.trim_start_matches('/').split_once('/')) {
        ("POST", None) => {
            let text = |value: &Value| value.as_str().expect("a name").to_owned();
            let action = |action: &Value| {
                let (name, action) = action.as_object().and_then(|action| action.iter().next()).expect("an action");
                let (index, alias) = (text(&action["index"]), text(&action["alias"]));
                if name == "add" { AliasAction::Add { index, alias } } else { AliasAction::Remove { index, alias } }
            };
            let actions: Vec<_> = body["actions"].as_array().expect("actions").iter().map(action).collect();
            cluster.update_aliases(&actions).await
        }
        ("PUT", Some((index, "_settings"))) => cluster.remove_write_block(index).await,
        ("DELETE", None) => cluster.delete_index(path.trim_start_matches('/')).await,
        other => panic!("{other:?} is not known in memory"),
    };
    done.expect("done");
}

async fn an_older_start_undoes_a_dead_copy(context: Context) {
    let (before, after) = notes_before_and_after();
    create(&context.store(before.clone()).await, "1").await;
    // The newer software dies just before its swap, and was not heard of again.
    faults::killed_at_swap(&context, after.clone(), OnBad::Fail).await;
    let names = context.prefix.group("notes");
    let found = context.cluster().indices(&[&names.any()]).await.expect("answered");
    assert!(found[&names.index(1)].write_blocked && found.keys().any(|name| names.is_fill(name)), "{found:?}");
    let status = context.migrator(before.clone()).status().await.expect("answered");
    assert_eq!(status.blockers, [], "it is nobody else's block");

    let old = context.store(before.clone()).await;
    create(&old, "2").await;
    let found = context.cluster().indices(&[&names.any()]).await.expect("answered");
    assert!(!found.keys().any(|name| names.is_fill(name)), "the fill is gone");
    assert_eq!(context.migrator(before).migrate().await.outcome, Outcome::NothingToDo);
    // The newer one comes again, and what was written meanwhile is not lost.
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

/// Makes the index of the notes anew as it was before writes had a nonce, with a note in it.
async fn without_nonce_field(context: &Context) {
    let (cluster, names) = (context.cluster(), context.prefix.group("notes"));
    let index = names.index(1);
    let mut mapping = cluster.indices(&[&index]).await.expect("answered")[&index].mapping.clone();
    let properties = mapping["properties"].as_object_mut().expect("properties");
    properties.remove("writeNonce").expect("the index had the field");
    cluster.delete_index(&index).await.expect("deleted");
    let aliases = vec![names.alias().to_owned(), names.write_alias(1)];
    let old = CreateIndex { name: index, mapping, aliases, purpose: IndexPurpose::Serving };
    cluster.create_index(&old).await.expect("created");
    let source = json!({"type": "note", "note": {"title": "old"}, "references": [], "typeMigrationVersion": "10.1.0"});
    context.put("notes", "note:old", &source).await;
}

/// Whether the notes are as they were once they are written again.
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
    // As with everything that is healed: the start says that it did something, and no document is migrated.
    let healed = again().await;
    assert_eq!((healed.outcome, healed.indices[0].documents.written), (Outcome::Migrated, 0));
    assert_eq!(again().await.outcome, Outcome::NothingToDo);
    assert_eq!(context.cluster().indices(&[&index]).await.expect("answered")[&index].mapping, made);
    assert_takes_nonces(&context, &made, &context.store(notes.clone()).await).await;

    // A start that migrates nothing: by the first write, whether it knows the generation from a read or not.
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
    cure(&context, &blocker, &[]).await;
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
    };
    context.cluster().create_index(&restored).await.expect("created");
    let blocker = blocker(&context, newest).await;
    assert!(blocker.what.contains("several indices"), "{blocker:?}");
    cure(&context, &blocker, &[("<the other>", &other), ("<alias>", &alias)]).await;
    assert_migrates(&context).await;
}

async fn an_index_under_the_name_of_the_alias_is_a_blocker(context: Context) {
    let name = context.prefix.group("connectors").alias().to_owned();
    let mapping = json!({"dynamic": false});
    let index = CreateIndex { name: name.clone(), mapping, aliases: Vec::new(), purpose: IndexPurpose::Serving };
    context.cluster().create_index(&index).await.expect("created");
    let blocker = blocker(&context, newest).await;
    cure(&context, &blocker, &[("<index>", &name)]).await;
    assert_migrates(&context).await;
}

async fn a_foreign_write_block_is_a_blocker(context: Context) {
    seed(&context).await;
    let index = context.index("connectors");
    context.cluster().add_write_block(&index).await.expect("blocked");
    let blocker = blocker(&context, newest).await;
    cure(&context, &blocker, &[("<index>", &index)]).await;
    assert_migrates(&context).await;
}

async fn a_red_index_is_a_blocker(context: Context) {
    create(&context.store(platform(1)).await, "1").await;
    let (index, names) = (context.index("connectors"), context.prefix.group("connectors"));
    context.cluster().delete_index(&index).await.expect("deleted");
    let hidden = json!({"is_hidden": true});
    // Its shard has no node that it may go to.
    let body = json!({
        "aliases": {names.alias(): hidden, names.write_alias(1): hidden},
        "settings": {"index": {"hidden": true, "number_of_replicas": 0, "routing.allocation.require._name": "no-such-node"}},
    });
    context.raw("PUT", &format!("/{index}?wait_for_active_shards=0"), Some(body)).await;
    let blocker = blocker(&context, newest).await;
    assert!(blocker.what.contains("is red") && blocker.cure.contains("/_cluster/allocation/explain"), "{blocker:?}");
    assert!(cure_on_page(&blocker).contains("/_cluster/allocation/explain"));
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
    cure(&context, &flooded, &[("<index>", &index)]).await;
    // Blocks of somebody else's maintenance are told in the same way.
    context.raw("PUT", &format!("/{index}/_settings"), Some(json!({"index.blocks.read_only": true}))).await;
    let blocker = blocker(&context, newest).await;
    cure(&context, &blocker, &[("<index>", &index), ("<block>", "read_only")]).await;
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
            // Not a blocked worker: it may be the one that all others wait for to hear from the network.
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
    assert!(error.message.contains("flood-stage") && !error.cure.is_empty(), "{error:?}");
    assert!(has_flood_block(&context, &index).await, "it is not ours to lift");
    let blocker = blocker(&context, newest).await;
    cure(&context, &blocker, &[("<index>", &index)]).await;
    assert_migrates(&context).await;
    assert_eq!(context.migrator(newest()).status().await.expect("answered").indices[0].outdated, 0);
}

async fn too_few_shards_are_a_blocker(context: Context) {
    let (before, after) = notes_before_and_after();
    assert_eq!(context.migrator(before).migrate().await.outcome, Outcome::Migrated);
    let memory = context.memory.as_ref().expect("it is in memory");
    memory.limit_shards(Some(2));
    let blocker = blocker(&context, || notes_before_and_after().1).await;
    assert!(blocker.cure.contains("cluster.max_shards_per_node"), "{blocker:?}");
    memory.limit_shards(None);
    assert_eq!(context.migrator(after).migrate().await.outcome, Outcome::Migrated);
}

/// The first start makes the control index too, which says which keys are in use.
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
    cure(&context, &blocker, &[("<name>", &name)]).await;
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
        // The server takes no legacy template beside a composable one, but the other way round.
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
    // The server takes one composable template, that of the highest priority, or else all legacy ones.
    let delete = async |kind: &str, name: &str| {
        context.raw("DELETE", &format!("/{kind}/{prefix}-{name}"), None).await;
    };
    let found = async || context.cluster().interfering_templates(&context.index("notes")).await.expect("answered");
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
