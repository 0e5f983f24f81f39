//! What a start finds in disorder: healed, or a blocker whose cure is tried as it is written.

use std::sync::Arc;

use libtest_mimic::Trial;
use saved_objects::SavedObjects;
use saved_objects::cluster::InMemory;
use saved_objects::environment::Environment;
use saved_objects::migrate::{Blocker, Migrator, Outcome};
use saved_objects::registry::Registry;
use saved_objects::repository::{Create, ObjectKey};
use serde_json::{Value, json};

use crate::context::Context;
use crate::migration::{current, notes_before_and_after, object, seed_version_1};
use crate::named_trials;
use crate::proxy::{Fault, Proxy};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    named_trials!(
        url,
        an_older_start_undoes_a_dead_copy,
        a_missing_alias_for_writes_is_given_back,
        a_missing_alias_is_a_blocker,
        an_alias_on_two_indices_is_a_blocker,
        an_index_under_the_name_of_the_alias_is_a_blocker,
        a_foreign_write_block_is_a_blocker,
        a_red_index_is_a_blocker,
        too_few_shards_are_a_blocker,
        an_interfering_template_is_a_blocker,
    )
}

/// Does what a cure says, as it is written: the first request in it.
async fn apply(context: &Context, cure: &str) {
    let begin = ["POST /", "PUT /", "DELETE /"].iter().filter_map(|verb| cure.find(verb)).min().expect("a request");
    let mut words = cure[begin..].splitn(3, ' ');
    let (method, path) = (words.next().expect("a method"), words.next().expect("a path"));
    let path = path.trim_end_matches([';', ',']);
    let body = words.next().and_then(|rest| serde_json::Deserializer::from_str(rest).into_iter::<Value>().next()?.ok());
    let answer = context.raw(method, path, body).await;
    assert_eq!(answer["acknowledged"], true, "{cure}: {answer}");
}

async fn blocker(context: &Context) -> Blocker {
    let before = context.raw("GET", &format!("/{}*?expand_wildcards=all", context.prefix), None).await;
    let plan = context.migrator(current()).describe().await;
    let report = context.migrator(current()).migrate().await;
    assert_eq!((report.outcome, plan.outcome), (Outcome::Blocked, Outcome::Blocked), "{report:?}");
    assert_eq!(plan.blockers, report.blockers);
    let after = context.raw("GET", &format!("/{}*?expand_wildcards=all", context.prefix), None).await;
    assert_eq!(before, after, "nothing was written");
    report.blockers[0].clone()
}

async fn create(store: &SavedObjects, id: &str) {
    let request = Create::new("note", object(json!({"title": "t"}))).id(id);
    store.repository().create(request).await.expect("it takes writes");
}

async fn an_older_start_undoes_a_dead_copy(context: Context) {
    let (before, after) = notes_before_and_after();
    create(&context.store(before.clone()).await, "1").await;
    // The newer software dies just before its swap, and was not heard of again.
    let proxy = Proxy::start(&context.url, |seen, _| match seen.path.starts_with("/_aliases") {
        true => Fault::Status(400),
        false => Fault::None,
    })
    .await;
    let through = Context { url: proxy.url().to_owned(), ..context.clone() };
    assert_eq!(through.migrator(after.clone()).migrate().await.outcome, Outcome::Failed);
    let names = context.prefix.group("notes");
    let found = context.raw("GET", &format!("/{}?expand_wildcards=all", names.index(1)), None).await;
    assert_eq!(found[names.index(1)]["settings"]["index"]["blocks"]["write"], "true");

    let old = context.store(before.clone()).await;
    create(&old, "2").await;
    let found = context.raw("GET", &format!("/{}-fill-*?expand_wildcards=all", names.alias()), None).await;
    assert_eq!(found, json!({}), "the fill is gone");
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
    let remove = json!({"actions": [{"remove": {"index": names.index(1), "alias": names.write_alias(1)}}]});
    context.raw("POST", "/_aliases", Some(remove)).await;
    create(&context.store(before).await, "2").await;
}

async fn a_missing_alias_is_a_blocker(context: Context) {
    seed_version_1(&context).await;
    let names = context.prefix.group("connectors");
    let remove = json!({"actions": [{"remove": {"index": names.index(1), "alias": "*"}}]});
    context.raw("POST", "/_aliases", Some(remove)).await;
    let blocker = blocker(&context).await;
    assert!(blocker.what.contains("is missing"), "{blocker:?}");
    apply(&context, &blocker.cure).await;
    let report = context.migrator(current()).migrate().await;
    assert_eq!((report.outcome, report.indices[0].documents.written), (Outcome::Migrated, 40));
}

async fn an_alias_on_two_indices_is_a_blocker(context: Context) {
    seed_version_1(&context).await;
    let names = context.prefix.group("connectors");
    context.raw("PUT", &format!("/{}-restored", context.prefix), None).await;
    let add = json!({"actions": [{"add": {"index": format!("{}-restored", context.prefix), "alias": names.alias()}}]});
    // An alias must be hidden on all indices or on none.
    let _ = context.raw("POST", "/_aliases", Some(add.clone())).await;
    let add = json!({"actions": [{"add": {"index": format!("{}-restored", context.prefix), "alias": names.alias(), "is_hidden": true}}]});
    context.raw("POST", "/_aliases", Some(add)).await;
    let blocker = blocker(&context).await;
    assert!(blocker.what.contains("several indices"), "{blocker:?}");
    apply(&context, &blocker.cure.replace("<the other>", &format!("{}-restored", context.prefix))).await;
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated);
}

async fn an_index_under_the_name_of_the_alias_is_a_blocker(context: Context) {
    context.raw("PUT", &format!("/{}", context.prefix.group("connectors").alias()), None).await;
    let blocker = blocker(&context).await;
    apply(&context, &blocker.cure).await;
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated);
}

async fn a_foreign_write_block_is_a_blocker(context: Context) {
    seed_version_1(&context).await;
    context.raw("PUT", &format!("/{}/_block/write", context.index("connectors")), None).await;
    let blocker = blocker(&context).await;
    apply(&context, &blocker.cure).await;
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated);
}

async fn a_red_index_is_a_blocker(context: Context) {
    let (index, names) = (context.index("connectors"), context.prefix.group("connectors"));
    let hidden = json!({"is_hidden": true});
    // Its shard has no node that it may go to.
    let body = json!({
        "aliases": {names.alias(): hidden, names.write_alias(1): hidden},
        "settings": {"index": {"hidden": true, "number_of_replicas": 0, "routing.allocation.require._name": "no-such-node"}},
    });
    context.raw("PUT", &format!("/{index}?wait_for_active_shards=0"), Some(body)).await;
    let blocker = blocker(&context).await;
    assert!(blocker.what.contains("is red") && blocker.cure.contains("/_cluster/allocation/explain"), "{blocker:?}");
    let explain = json!({"index": index, "shard": 0, "primary": true});
    let explained = context.raw("GET", "/_cluster/allocation/explain", Some(explain)).await;
    assert!(explained.to_string().contains("no-such-node"), "{explained}");
    let anywhere = json!({"index.routing.allocation.require._name": null});
    context.raw("PUT", &format!("/{index}/_settings"), Some(anywhere)).await;
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated);
}

async fn too_few_shards_are_a_blocker(context: Context) {
    let cluster = InMemory::new(Environment::system());
    let migrator = |types| {
        let registry = Arc::new(Registry::builder().with(types).build().expect("the test's types are fine"));
        let (prefix, encryption) = (context.prefix.clone(), context.encryption());
        Migrator::new(Arc::new(cluster.clone()), registry, prefix, encryption, context.environment.clone())
    };
    let (before, after) = notes_before_and_after();
    assert_eq!(migrator(before).migrate().await.outcome, Outcome::Migrated);
    cluster.limit_shards(Some(2));
    let report = migrator(after.clone()).migrate().await;
    assert_eq!(report.outcome, Outcome::Blocked, "{report:?}");
    assert!(report.blockers[0].cure.contains("cluster.max_shards_per_node"), "{report:?}");
    cluster.limit_shards(None);
    assert_eq!(migrator(after).migrate().await.outcome, Outcome::Migrated);
}

async fn an_interfering_template_is_a_blocker(context: Context) {
    let name = format!("{}-template", context.prefix);
    let template = json!({"index_patterns": [format!("{}-conn*", context.prefix)], "priority": 7,
        "template": {"mappings": {"properties": {"theirs": {"type": "keyword"}}}}});
    context.raw("PUT", &format!("/_index_template/{name}"), Some(template)).await;
    let blocker = blocker(&context).await;
    assert!(blocker.what.contains(&name), "{blocker:?}");
    apply(&context, &blocker.cure).await;
    assert_eq!(context.migrator(current()).migrate().await.outcome, Outcome::Migrated);
}
