//! Migrations through a network that loses, delays, cuts and repeats requests, on the real server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use saved_objects::cluster::{Cluster, Elastic};
use saved_objects::environment::{Environment, SystemRng};
use saved_objects::migrate::{Outcome, Report};

use super::deployment::{Deployment, Stored};
use super::seed::{Named, seeds};
use super::types::registry;
use crate::clock::ImpatientClock;
use crate::context::Context;
use crate::proxy::{Fault, Proxy, weather};

/// The percentage of requests that meet a fault.
const BAD_WEATHER: u64 = 25;
/// How often a migration that ended with an error is started again.
const STARTS: usize = 8;
/// The number of seeds that run at the same time.
const AT_ONCE: usize = 4;

/// How often each kind of fault occurred.
type Met = Arc<Mutex<BTreeMap<String, u64>>>;

pub(super) async fn migrations_in_place_through_a_bad_network(context: Context) {
    through_bad_networks(context, 2).await;
}

pub(super) async fn copies_through_a_bad_network(context: Context) {
    through_bad_networks(context, 3).await;
}

async fn through_bad_networks(context: Context, release: u32) {
    let calm = deployment(&context, "calm").await;
    let report = calm.migrator(context.cluster(), registry(release)).migrate().await;
    assert_eq!(report.outcome, Outcome::Migrated, "{report:#?}");
    let expected = calm.stored_anywhere().await;
    calm.remove().await;
    let met = Met::default();
    let runs = seeds(1..9).map(|seed| through_bad_network(&context, release, seed, &expected, met.clone()));
    futures::stream::iter(runs).buffer_unordered(AT_ONCE).collect::<()>().await;
    let met = met.lock().expect("not poisoned");
    println!("faults met on the way to release {release}: {met:?}");
}

/// Each index change and every third bulk is done, and its answer is replaced by one that does not say so.
pub(super) async fn migrations_whose_answers_are_replaced(context: Context) {
    let faults = [Fault::DoneButStatus(500), Fault::DoneButForeign(404), Fault::DoneButGarbled];
    let cases = (0..).zip(faults).flat_map(|case| [(2, case), (3, case)]);
    let runs = cases.map(|(release, (number, fault))| {
        let context = context.clone();
        async move {
            let deployment = deployment(&context, &format!("{release}-{number}")).await;
            let proxy =
                Proxy::start(
                    &context.url,
                    move |seen, before| {
                        if seen.is_write() && before % 3 == 0 { fault } else { Fault::None }
                    },
                )
                .await;
            let report = deployment.migrator(impatient(proxy.url()), registry(release)).migrate().await;
            assert_eq!(report.outcome, Outcome::Migrated, "release {release}, {fault:?}: {report:#?}");
            drop(proxy);
            let again = deployment.migrator(context.cluster(), registry(release)).migrate().await;
            assert_eq!(again.outcome, Outcome::NothingToDo, "release {release}, {fault:?}: {again:#?}");
            deployment.remove().await;
        }
    });
    futures::stream::iter(runs).buffer_unordered(AT_ONCE).collect::<()>().await;
}

async fn deployment(context: &Context, name: &str) -> Deployment {
    let deployment = Deployment::on(context.cluster(), format!("{}-{name}", context.prefix).parse().expect("a prefix"));
    deployment.seeded_with_release_1().await
}

async fn through_bad_network(context: &Context, release: u32, seed: u64, expected: &Stored, met: Met) {
    let _named = Named(seed);
    let deployment = deployment(context, &seed.to_string()).await;
    let rule = weather(seed, BAD_WEATHER);
    let proxy = Proxy::start(&context.url, move |seen, before| {
        let fault = rule(seen, before);
        if fault != Fault::None {
            let kind = format!("{fault:?}").split('(').next().unwrap_or_default().to_owned();
            *met.lock().expect("not poisoned").entry(kind).or_default() += 1;
        }
        fault
    })
    .await;
    let mut last: Option<Report> = None;
    for _ in 0..STARTS {
        let report = deployment.migrator(impatient(proxy.url()), registry(release)).migrate().await;
        let ended = matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo | Outcome::Waited);
        last = Some(report);
        if ended {
            break;
        }
    }
    let report = last.expect("at least one start");
    assert!(
        matches!(report.outcome, Outcome::Migrated | Outcome::NothingToDo | Outcome::Waited),
        "seed {seed}: after {STARTS} starts: {report:#?}"
    );
    // Requests that were sent long ago land, and the next start cleans up.
    proxy.land_all().await;
    drop(proxy);
    let healed = deployment.migrator(context.cluster(), registry(release)).migrate().await;
    assert!(
        matches!(healed.outcome, Outcome::Migrated | Outcome::NothingToDo | Outcome::Waited),
        "seed {seed}: {healed:#?}"
    );
    let again = deployment.migrator(context.cluster(), registry(release)).migrate().await;
    assert_eq!(again.outcome, Outcome::NothingToDo, "seed {seed}: {again:#?}");
    assert_eq!(&deployment.stored_anywhere().await, expected, "seed {seed}");
    deployment.remove().await;
}

/// Returns a client that does not wait between attempts, however long the server asks it to.
fn impatient(url: &str) -> Arc<dyn Cluster> {
    let environment = Environment::new(Arc::new(ImpatientClock::default()), Arc::new(SystemRng));
    Arc::new(Elastic::builder(url).environment(environment).build().expect("a fine URL"))
}

/// From one request on, everything except the closing of points in time is answered with 400.
pub(super) async fn an_error_anywhere_leaves_no_point_in_time_open_on_the_server(context: Context) {
    let (mut all_opened, mut failed) = (0, 0);
    for release in [2, 3] {
        for from in (8..44).step_by(6) {
            let deployment = deployment(&context, &format!("{release}-{from}")).await;
            let (count, opened) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
            let for_rule = opened.clone();
            let proxy = Proxy::start(&context.url, move |seen, _| {
                let is_of_point = seen.path.contains("_pit");
                if is_of_point && seen.method == "DELETE" {
                    return Fault::None;
                }
                if count.fetch_add(1, Ordering::Relaxed) >= from {
                    return Fault::Status(400);
                }
                for_rule.fetch_add(usize::from(is_of_point), Ordering::Relaxed);
                Fault::None
            })
            .await;
            let report = deployment.migrator(impatient(proxy.url()), registry(release)).migrate().await;
            let closed = proxy.seen().iter().filter(|seen| seen.starts_with("DELETE /_pit")).count();
            let opened = opened.load(Ordering::Relaxed);
            assert_eq!(closed, opened, "release {release}, refused from {from} on: {report:#?}");
            all_opened += opened;
            failed += usize::from(report.outcome == Outcome::Failed);
            // The end of the test run checks on the server that they are closed; this start removes none of them.
            let healed = deployment.migrator(context.cluster(), registry(release)).migrate().await;
            assert!(healed.error.is_none(), "release {release}, refused from {from} on: {healed:#?}");
        }
    }
    assert!(all_opened > 6 && failed > 6, "{all_opened} were opened, {failed} migrations failed");
}
