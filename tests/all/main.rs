//! The integration tests: one binary, one real Elasticsearch that it starts and stops, and an index prefix for each
//! test. Tests that need only the trait `Cluster` also run on the cluster in memory (`memory::…`), without a server. On a
//! machine without a JDK or Maven the tests of a server are skipped.
//!
//! | variable | effect |
//! |---|---|
//! | `SAVED_OBJECTS_TEST_URL` | uses a server that runs already |
//! | `SAVED_OBJECTS_TEST_SERVER` | `required`: fails if no server can be started, in place of skipping its tests |
//! | `SAVED_OBJECTS_TEST_VERSION` | starts another version |
//! | `SAVED_OBJECTS_TEST_NODES` | starts several nodes |
//! | `SAVED_OBJECTS_TEST_ROTATION_DOCUMENTS` | number of documents of the killed rotation |
//! | `SAVED_OBJECTS_TEST_STALLED_COPIES` | number of copies that are stopped while they fill their staging index |
//! | `SAVED_OBJECTS_TEST_STALLED_DOCUMENTS` | number of objects of each of these copies |
//! | `SAVED_OBJECTS_TEST_SEED` | seed (`7`) or seeds (`100..300`) of the tests in `faults` |
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attacker;
mod backup;
mod bad_documents;
mod batches;
mod carried;
mod cli;
mod cli_exits;
mod cli_operators;
mod cli_paused;
mod cli_sight;
mod cli_stopped;
mod cli_terminal;
mod cli_tokens;
mod cli_transfer;
mod cli_transfer_files;
mod clock;
mod conformance;
mod context;
mod dice;
mod digits;
mod elastic;
mod faults;
mod foreign_answers;
mod generations;
mod guide;
mod healing;
mod hints;
mod hygiene;
mod in_the_way;
mod keys;
mod kill;
mod lease;
mod log;
mod memory_answers;
mod messages;
mod migration;
mod moved;
mod oauth_server;
mod ownership;
mod pages;
mod platform_binary;
mod platform_types;
mod proof;
mod proxy;
mod real_input;
mod repository;
mod restores;
mod sealing;
mod secured;
mod server;
mod starts;
mod take_over;
mod telemetry;
mod tokens;
mod unmapped;
mod unreadable;
mod verify;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use context::{Context, MEMORY};
use server::{ABSENT, Closing, Server};

fn main() -> ExitCode {
    if let Ok(order) = std::env::var(tokens::CHILD) {
        runtime().expect("a runtime").block_on(tokens::child(&order));
        return ExitCode::SUCCESS;
    }
    if let Ok(url) = std::env::var(secured::CHILD) {
        runtime().expect("a runtime").block_on(secured::child(&url));
        return ExitCode::SUCCESS;
    }
    if std::env::var_os(platform_binary::CHILD).is_some() {
        return platform_binary::child();
    }
    let arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials(ABSENT)).exit_code();
    }
    let option = |name: &str, variable: &str| Some([name.to_owned(), std::env::var(variable).ok()?]);
    let options: Vec<String> =
        [option("--version", "SAVED_OBJECTS_TEST_VERSION"), option("--nodes", "SAVED_OBJECTS_TEST_NODES")]
            .into_iter()
            .flatten()
            .flatten()
            .collect();
    // A test that passes deletes its indices by a pattern, and the indices of those that fail are many on a bad day.
    let settings =
        ["--setting", "action.destructive_requires_name=false", "--setting", "cluster.max_shards_per_node=5000"];
    let options: Vec<&str> = options.iter().map(String::as_str).chain(["--heap", "1g"]).chain(settings).collect();
    let server = match Server::start(&options) {
        Ok(server) => server,
        Err(error) => return server::not_started("the server for the tests", &error),
    };
    let conclusion = libtest_mimic::run(&arguments, trials(server.as_ref().map_or(ABSENT, Server::url)));
    faults::stop_own_server();
    secured::stop_own_server();
    let left_open = server.as_ref().map_or(0, Server::open_search_contexts);
    if left_open > 0 {
        eprintln!("{left_open} points in time or other search contexts were left open");
    }
    let failed = conclusion.num_failed + u64::from(left_open > 0);
    println!("{}", Closing { passed: conclusion.num_passed, failed, skipped: conclusion.num_ignored });
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns the tests of a module for the server at a URL, or for the cluster in memory.
type Trials = fn(&str) -> Vec<Trial>;

/// The clusters that the tests of a module are listed for. Some modules, such as `faults`, create further clusters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum On {
    Server,
    Memory,
    Both,
}

/// The modules with tests. The compiler reports a test that its module does not name: it is never used.
const MODULES: &[(Trials, On)] = &[
    (conformance::trials, On::Server),
    (attacker::trials, On::Both),
    (bad_documents::trials, On::Both),
    (batches::trials, On::Server),
    (carried::trials, On::Both),
    (cli::trials, On::Server),
    (cli_exits::trials, On::Server),
    (cli_operators::trials, On::Server),
    (cli_paused::trials, On::Server),
    (cli_sight::trials, On::Server),
    (cli_stopped::trials, On::Server),
    (cli_terminal::trials, On::Server),
    (cli_tokens::trials, On::Server),
    (cli_transfer::trials, On::Server),
    (cli_transfer_files::trials, On::Server),
    (digits::trials, On::Both),
    (elastic::trials, On::Server),
    (faults::trials, On::Server),
    (generations::trials, On::Server),
    (guide::trials, On::Both),
    (hygiene::trials, On::Server),
    (in_the_way::trials, On::Both),
    (keys::trials, On::Both),
    (lease::trials, On::Both),
    (healing::trials, On::Both),
    (memory_answers::trials, On::Server),
    (messages::trials, On::Both),
    (migration::trials, On::Server),
    (moved::trials, On::Both),
    (ownership::trials, On::Both),
    (pages::trials, On::Memory),
    (proof::trials, On::Memory),
    (starts::trials, On::Memory),
    (foreign_answers::trials, On::Memory),
    (platform_binary::trials, On::Server),
    (platform_types::trials, On::Server),
    (repository::trials, On::Both),
    (restores::trials, On::Server),
    (sealing::trials, On::Both),
    (secured::trials, On::Server),
    (tokens::trials, On::Both),
    (real_input::trials, On::Server),
    (take_over::trials, On::Server),
    (telemetry::trials, On::Both),
    (unmapped::trials, On::Both),
    (unreadable::trials, On::Both),
    (verify::trials, On::Server),
];

fn trials(url: &str) -> Vec<Trial> {
    let of_module = |&(trials, on): &(Trials, On)| {
        let server = (on != On::Memory).then(|| trials(url));
        let memory = (on != On::Server).then(|| trials(MEMORY));
        server.into_iter().chain(memory).flatten()
    };
    MODULES.iter().flat_map(of_module).collect()
}

/// Returns a trial for each test function, called `<module>::<function>`. A function of a submodule
/// (`submodule::function`) gets the same name as one of the module itself.
macro_rules! named_trials {
    ($url:expr, $($test:path),+ $(,)?) => {
        vec![$($crate::trial($url, module_path!(), stringify!($test), |context| Box::pin($test(context)))),+]
    };
}
pub(crate) use named_trials;

/// Like [`named_trials`], for tests that need neither a server nor the cluster in memory of their context. They also run
/// on a machine that cannot start a server.
macro_rules! trials_without_cluster {
    ($($test:path),+ $(,)?) => {
        $crate::named_trials!($crate::context::NOWHERE, $($test),+)
    };
}
pub(crate) use trials_without_cluster;

type Test = fn(Context) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

fn trial(url: &str, module: &str, path: &str, test: Test) -> Trial {
    let name = trial_name(module, path);
    let name = if url == MEMORY { format!("memory::{name}") } else { name };
    if url == ABSENT {
        return skipped(name);
    }
    let context = Context::new(url, &name);
    Trial::test(name, move || {
        runtime()?.block_on(async {
            test(context.clone()).await;
            context.remove().await;
        });
        Ok(())
    })
}

/// Returns the trial of a server that this machine cannot start.
fn skipped(name: String) -> Trial {
    Trial::ignorable_test(name, || Ok(Completion::ignored()))
}

/// Returns the name of the function at `path`, as one of `module`.
fn trial_name(module: &str, path: &str) -> String {
    let module = module.strip_prefix("all::").unwrap_or(module);
    let function = path.rsplit("::").next().unwrap_or(path).trim();
    format!("{module}::{function}")
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}
