//! Repeated `kill -9` of a process that takes over.

use futures::StreamExt;
use saved_objects::cluster::{Cluster, Query, Search, SearchIn};
use saved_objects::repository::ObjectKey;
use saved_objects::tokens;
use saved_objects::{Start, encryption::Secrets};
use serde_json::{Value, json};

use super::kibana::{CORRUPT, Kibana, Truth, broken, documents, keys, truth};
use super::{migrate, path};
use crate::cli::{run_with, spawn};
use crate::context::{Context, KEY};
use crate::faults::seed::{Dice, Named, seeds};
use crate::kill::run_until_killed;
use crate::proxy::{Fault, Seen};

/// The least number of requests that fill the staging index and come before.
const REQUESTS: u64 = 60;
/// When a process is killed: during the copying of documents, and at moments after it.
const MOMENTS: [Moment; 10] = [
    Moment::Any,
    Moment::Any,
    Moment::Any,
    Moment::Any,
    Moment::Any,
    Moment::Any,
    Moment::Any,
    Moment::Any,
    Moment::At("/_clone/", Fault::LoseAnswer),
    Moment::At("/_aliases", Fault::LoseRequest),
];

#[derive(Debug, Clone, Copy)]
enum Moment {
    /// One of the first requests, either lost or done.
    Any,
    /// The first request whose path contains this.
    At(&'static str, Fault),
}

pub(super) async fn killed_ten_times_it_ends_the_same(context: Context) {
    // The names are those of a real cluster.
    let kibana = Kibana::load(&context, ".kibana_alerting_cases").await;
    let (cluster, file) = (context.cluster(), keys(true));
    let (_, writes) = kibana.state(cluster.as_ref()).await;
    let seed = seeds(1..2).start;
    let (_named, dice) = (Named(seed), Dice::new(seed));
    for (number, moment) in MOMENTS.into_iter().enumerate() {
        let (at, lost) = match moment {
            Moment::Any => {
                (dice.below(REQUESTS), if dice.happens(50) { Fault::LoseRequest } else { Fault::LoseAnswer })
            }
            Moment::At(_, fault) => (0, fault),
        };
        let is_meant = move |seen: &Seen| match moment {
            // Requests while it waits for the lease of the killed process change nothing.
            Moment::Any => !seen.path.contains("-control"),
            Moment::At(path, _) => seen.path.contains(path),
        };
        kill_at(&context, &kibana, path(&file), (at as usize, lost), is_meant, number).await;
    }

    let policies = ["--on-unreadable", "quarantine", "--on-bad", "quarantine"];
    let ended = migrate(&context, &kibana, &policies, Some(path(&file))).await;
    assert_eq!((ended.code, &ended.json()["outcome"]), (0, &json!("migrated")), "{ended:?}");
    assert!(ended.err.contains("to go back to Kibana") && ended.err.contains("/_settings"), "{}", ended.err);
    // Kibana's keys are not needed any more.
    let again = migrate(&context, &kibana, &[], None).await;
    assert_eq!((again.code, &again.json()["outcome"]), (0, &json!("nothing_to_do")), "{again:?}");

    check_quarantine(&context).await;
    check_truth(&context).await;
    check_others(&context).await;
    check_source(&context, &kibana, writes).await;
    kibana.remove(cluster.as_ref()).await;
}

/// Kills a process that takes over at matching request number `at`.
async fn kill_at(
    context: &Context,
    kibana: &Kibana,
    keys: &str,
    (at, lost): (usize, Fault),
    is_meant: impl Fn(&Seen) -> bool + Send + Sync + 'static,
    number: usize,
) {
    let start = |url: &str| {
        let argument = kibana.argument();
        let policies = ["--on-unreadable", "quarantine", "--on-bad", "quarantine"];
        let arguments = [&["migrate", "--take-over", &argument][..], &policies].concat();
        spawn(url, &context.prefix, &arguments, &[("SAVED_OBJECTS_KIBANA_KEYS_FILE", keys)])
    };
    let (output, _) = run_until_killed(&context.url, is_meant, Some(at), lost, start).await;
    assert_eq!(output.status.code(), None, "kill {number} at {at}: it ended before: {output:?}");
}

/// Asserts that the quarantine has the documents that cannot be decrypted, and those that are no saved objects.
async fn check_quarantine(context: &Context) {
    let run = async |arguments: &[&str]| run_with(context, arguments, &[("SAVED_OBJECTS_ENCRYPTION_KEY", KEY)]).await;
    let listed = run(&["quarantine", "list", "--json"]).await.json();
    let listed = listed["quarantined"].as_array().expect("a list");
    let ids = |is_meant: fn(&Value) -> bool| {
        let meant = listed.iter().filter(|one| is_meant(one));
        meant.map(|one| one["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(|one| one["attribute"].is_string()), broken(), "{listed:?}");
    assert_eq!(ids(|one| one.get("attribute").is_none()), CORRUPT);
    let verified = run(&["verify", "--json"]).await;
    let report = verified.json();
    assert_eq!((verified.code, &report["ok"], &report["unreadable"]), (0, &json!(true), &json!([])), "{report}");
    let quarantined = report["quarantined"].as_array().expect("a list");
    assert_eq!(quarantined.len(), 13);
    assert_eq!(quarantined.iter().filter(|one| one["attribute"].is_string()).count(), 10);
}

/// Asserts that all other documents have the same contents under our keys as under Kibana's.
async fn check_truth(context: &Context) {
    let builder = context.builder(tokens::types().expect("built-in types"));
    let store = builder.start(Start::Skip).await.expect("the store starts");
    let all = ["connector_token", "user_connector_token"];
    let repository = store.repository().including(&all).expect("registered");
    let check = |truth: Truth| {
        let repository = repository.clone();
        async move {
            let (type_name, id) = truth.id.split_once(':').expect("a type");
            let key = ObjectKey::new(type_name, id);
            if !truth.opens {
                let read = repository.get_opt(&key).await.expect("answered");
                assert!(read.is_none(), "{} is in quarantine only", truth.id);
                return 0;
            }
            let (object, secrets): (_, Secrets) = repository.get_with_secrets(&key).await.expect("readable");
            let mut attributes = object.attributes;
            for (name, secret) in secrets {
                attributes.insert(name, secret.parse().expect("JSON"));
            }
            assert_eq!(Value::Object(attributes), truth.attributes, "{}", truth.id);
            1
        }
    };
    let readable: Vec<u32> = futures::stream::iter(truth()).map(check).buffer_unordered(16).collect().await;
    assert_eq!(readable.into_iter().sum::<u32>(), 1_390);
}

/// Returns all documents of an index.
async fn everything(cluster: &dyn Cluster, index: &str) -> Vec<(String, Value)> {
    let mut search = Search::new(SearchIn::Index(index.to_owned()), Query::Everything);
    search.size = 10_000;
    let page = cluster.search(&search).await.expect("found");
    let mut all: Vec<_> =
        page.hits.into_iter().map(|hit| (hit.id, serde_json::from_str(hit.source.get()).expect("JSON"))).collect();
    all.sort_unstable_by(|(one, _): &(String, Value), (other, _)| one.cmp(other));
    all
}

/// Asserts that documents of unregistered types were copied unchanged.
async fn check_others(context: &Context) {
    let is_note = |(_, source): &(String, Value)| source["type"] == "connector_usage_note";
    let index = context.index("connectors");
    let mut notes = everything(context.cluster().as_ref(), &index).await;
    assert_eq!(notes.len(), 1_420);
    notes.retain(is_note);
    let expected: Vec<_> = documents().into_iter().filter(is_note).collect();
    assert_eq!((notes.len(), notes), (30, expected));
    let found = context.cluster().indices(&[&index]).await.expect("answered");
    let mapping = &found[&index].mapping;
    assert!(mapping["properties"]["connector_usage_note"].is_object(), "{mapping}");
    assert!(mapping["_meta"].get("indexTypesMap").is_none(), "what Kibana says of its index is not said of ours");
}

/// Asserts that Kibana's index has a write block and no other change, and is usable for Kibana when the block is
/// lifted.
async fn check_source(context: &Context, kibana: &Kibana, writes: u64) {
    let cluster = context.cluster();
    assert_eq!(kibana.state(cluster.as_ref()).await, (true, writes));
    let stored = everything(cluster.as_ref(), &kibana.index).await;
    assert_eq!(stored, documents().into_iter().collect::<Vec<_>>());
    let rolled_back = run_with(context, &["migrate", "--rollback", "--json"], &[]).await;
    assert_eq!(rolled_back.code, 2, "{rolled_back:?}");
    let blocker = &rolled_back.json()["blockers"][0];
    assert!(blocker["what"].as_str().expect("words").contains("was taken over from"), "{blocker}");
    let hint = blocker["hint"].as_str().expect("a hint");
    assert!(hint.contains(&format!("PUT /{}/_settings", kibana.index)), "{hint}");
    let lifted = json!({"index.blocks.write": null});
    context.raw("PUT", &format!("/{}/_settings", kibana.index), Some(lifted)).await;
    kibana.put(cluster.as_ref(), &documents().into_iter().take(1).collect::<Vec<_>>()).await;
}
