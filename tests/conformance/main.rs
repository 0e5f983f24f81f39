//! Prints the result of each case of the conformance suite on each cluster: in memory, and on every kind of server.
//!
//! `cargo test --test conformance` runs all clusters, `cargo test --test conformance -- memory 8.19.0` some.
#![allow(missing_docs, clippy::disallowed_methods, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "the other test binary uses more of it")]
#[path = "../all/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use saved_objects::cluster::{Cluster, Elastic, InMemory, conformance};
use saved_objects::environment::Environment;

use server::{Closing, Server};

/// The number of cases that run at the same time.
const AT_ONCE: usize = 8;

/// The kind of a cluster.
#[derive(Clone, Copy)]
enum ClusterKind {
    Memory,
    /// In memory, reached through the client of servers.
    MemoryHttp,
    /// A server that is started with these options of `saved-objects dev up`.
    Server(&'static [&'static str]),
}

/// The clusters, by name.
const CLUSTERS: &[(&str, ClusterKind)] = &[
    ("memory", ClusterKind::Memory),
    ("memory_http", ClusterKind::MemoryHttp),
    ("9.5.3", ClusterKind::Server(&["--version", "9.5.3"])),
    ("9.2.2", ClusterKind::Server(&["--version", "9.2.2"])),
    ("8.19.0", ClusterKind::Server(&["--version", "8.19.0"])),
    ("three-nodes", ClusterKind::Server(&["--nodes", "3"])),
];

/// The result of each case: `None`, or what differed.
type Results = BTreeMap<&'static str, Option<String>>;

fn main() -> ExitCode {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked.iter().find(|name| CLUSTERS.iter().all(|(known, _)| known != name)) {
        let names: Vec<&str> = CLUSTERS.iter().map(|(name, _)| *name).collect();
        eprintln!("there is no cluster {unknown:?} here; use some of {}", names.join(", "));
        return ExitCode::FAILURE;
    }
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    let (mut columns, mut skipped) = (Vec::new(), 0);
    for (name, kind) in CLUSTERS.iter().filter(|(name, _)| is_asked(name)) {
        let started = Instant::now();
        match run_on(*kind) {
            Ok(Some(results)) => {
                eprintln!("{name}: {} cases in {:.1} s", results.len(), started.elapsed().as_secs_f64());
                columns.push((*name, results));
            }
            Ok(None) => {
                eprintln!("{name}: skipped");
                skipped += conformance::cases().count();
            }
            Err(error) => return server::not_started(name, &error),
        }
    }
    print(&columns, skipped)
}

/// Returns the results on a cluster; `None` if it is a server that this machine cannot start.
fn run_on(kind: ClusterKind) -> Result<Option<Results>, String> {
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    let options = match kind {
        ClusterKind::Memory => {
            return Ok(Some(runtime.block_on(run_cases(|| Arc::new(InMemory::new(Environment::system()))))));
        }
        ClusterKind::MemoryHttp => return Ok(Some(runtime.block_on(run_cases(over_http)))),
        ClusterKind::Server(options) => options,
    };
    let Some(server) = Server::start(options)? else { return Ok(None) };
    let connect =
        || Arc::new(Elastic::builder(server.url()).build().expect("a server has a fine URL")) as Arc<dyn Cluster>;
    let mut results = runtime.block_on(run_cases(connect));
    let left_open = server.open_search_contexts();
    results.insert("(points in time are closed)", (left_open > 0).then(|| format!("{left_open} were left open")));
    Ok(Some(results))
}

fn over_http() -> Arc<dyn Cluster> {
    let wire = Arc::new(InMemory::new(Environment::system()).transport());
    Arc::new(Elastic::builder("http://memory").transport(wire).build().expect("nothing is wrong with it"))
}

/// Runs the cases, each with its own client.
async fn run_cases(connect: impl Fn() -> Arc<dyn Cluster>) -> Results {
    let run = |case: &'static conformance::Case| {
        let cluster = connect();
        async move { (case.name(), case.run(cluster, "conformance").await.err().map(|failure| failure.to_string())) }
    };
    futures::stream::iter(conformance::cases()).map(run).buffer_unordered(AT_ONCE).collect().await
}

fn print(columns: &[(&str, Results)], skipped: usize) -> ExitCode {
    let names = columns.iter().flat_map(|(_, results)| results.keys()).collect::<std::collections::BTreeSet<_>>();
    let width = names.iter().map(|name| name.len()).max().unwrap_or_default();
    let heads: Vec<String> = columns.iter().map(|(name, _)| format!("{name:>11}")).collect();
    println!("{:width$}  {}", "case", heads.join("  "));
    for name in names {
        let word = |(_, results): &(&str, Results)| match results.get(name) {
            Some(None) => "ok",
            Some(Some(_)) => "FAILED",
            None => "-",
        };
        let words: Vec<String> = columns.iter().map(|column| format!("{:>11}", word(column))).collect();
        println!("{name:width$}  {}", words.join("  "));
    }
    let failures = |(cluster, results): &(&str, Results)| -> Vec<String> {
        let failed = results.iter().filter_map(|(name, failure)| failure.as_ref().map(|failure| (name, failure)));
        failed.map(|(name, failure)| format!("{name} on {cluster}: {failure}")).collect()
    };
    let failures: Vec<String> = columns.iter().flat_map(failures).collect();
    failures.iter().for_each(|failure| println!("\n{failure}"));
    let passed = columns.iter().map(|(_, results)| results.len()).sum::<usize>() - failures.len();
    let word = if failures.is_empty() { "ok" } else { "FAILED" };
    println!("\ntest result: {word}. {passed} passed; {} failed; {skipped} ignored", failures.len());
    let [passed, failed, skipped] = [passed, failures.len(), skipped].map(|count| count as u64);
    println!("{}", Closing { passed, failed, skipped });
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
