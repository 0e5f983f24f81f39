//! The integration tests: one binary, one real Elasticsearch that it starts and stops, an index prefix per test. What is built
//! on the cluster's trait runs on the cluster in memory too (`memory::…`), which needs no server.
//!
//! `SAVED_OBJECTS_TEST_URL` puts them on a server that runs already, `SAVED_OBJECTS_TEST_VERSION` on another version,
//! `SAVED_OBJECTS_TEST_NODES` on several nodes;
//! `SAVED_OBJECTS_TEST_ROTATION_DOCUMENTS` says how many documents the killed rotation has;
//! `SAVED_OBJECTS_TEST_STALLED_COPIES` and `SAVED_OBJECTS_TEST_STALLED_DOCUMENTS` say how many copies are stopped while they
//! fill, and how many objects each has;
//! `SAVED_OBJECTS_TEST_SEED` (`7` or `100..300`) replays or tries seeds of the tests in `faults`.
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attacker;
mod bad_documents;
mod batches;
mod cli;
mod cli_tokens;
mod cli_transfer;
mod cli_transfer_files;
mod clock;
mod conformance;
mod context;
mod dice;
mod elastic;
mod faults;
mod foreign_answers;
mod generations;
mod guide;
mod healing;
mod hygiene;
mod keys;
mod kill;
mod lease;
mod log;
mod memory_answers;
mod migration;
mod oauth_server;
mod ownership;
mod platform_types;
mod proof;
mod proxy;
mod real_input;
mod repository;
mod sealing;
mod secured;
mod server;
mod take_over;
mod tokens;
mod unreadable;
mod verify;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

use context::{Context, MEMORY};
use server::Server;

fn main() -> ExitCode {
    if let Ok(order) = std::env::var(tokens::CHILD) {
        runtime().expect("a runtime").block_on(tokens::child(&order));
        return ExitCode::SUCCESS;
    }
    if let Ok(url) = std::env::var(secured::CHILD) {
        runtime().expect("a runtime").block_on(secured::child(&url));
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, trials("")).exit_code();
    }
    let option = |name: &str, variable: &str| Some([name.to_owned(), std::env::var(variable).ok()?]);
    let options: Vec<String> =
        [option("--version", "SAVED_OBJECTS_TEST_VERSION"), option("--nodes", "SAVED_OBJECTS_TEST_NODES")]
            .into_iter()
            .flatten()
            .flatten()
            .collect();
    let server = match Server::start(&options.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("the server for the tests could not be started: {error}");
            println!("0 passed, 1 failed");
            return ExitCode::FAILURE;
        }
    };
    let conclusion = libtest_mimic::run(&arguments, trials(server.url()));
    faults::stop_own_server();
    secured::stop_own_server();
    let left_open = server.open_search_contexts();
    if left_open > 0 {
        eprintln!("{left_open} points in time or other search contexts were left open");
    }
    let failed = conclusion.num_failed + u64::from(left_open > 0);
    println!("{} passed, {failed} failed", conclusion.num_passed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn trials(url: &str) -> Vec<Trial> {
    [
        conformance::trials(url),
        attacker::trials(url),
        attacker::trials(MEMORY),
        bad_documents::trials(url),
        bad_documents::trials(MEMORY),
        batches::trials(url),
        cli::trials(url),
        cli_tokens::trials(url),
        cli_transfer::trials(url),
        cli_transfer_files::trials(url),
        elastic::trials(url),
        faults::trials(url),
        generations::trials(url),
        guide::trials(url),
        guide::trials(MEMORY),
        hygiene::trials(url),
        keys::trials(url),
        keys::trials(MEMORY),
        lease::trials(url),
        lease::trials(MEMORY),
        healing::trials(url),
        healing::trials(MEMORY),
        memory_answers::trials(url),
        migration::trials(url),
        ownership::trials(url),
        ownership::trials(MEMORY),
        proof::trials(MEMORY),
        foreign_answers::trials(MEMORY),
        platform_types::trials(url),
        repository::trials(url),
        repository::trials(MEMORY),
        sealing::trials(url),
        sealing::trials(MEMORY),
        secured::trials(url),
        tokens::trials(url),
        tokens::trials(MEMORY),
        real_input::trials(url),
        take_over::trials(url),
        unreadable::trials(url),
        unreadable::trials(MEMORY),
        unreadable::command_line_trials(url),
        verify::trials(url),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A trial for each named test function, called `<module>::<function>`.
macro_rules! named_trials {
    ($url:expr, $($test:ident),+ $(,)?) => {
        vec![$($crate::trial($url, concat!(module_path!(), "::", stringify!($test)), |context| Box::pin($test(context)))),+]
    };
}
pub(crate) use named_trials;

type Test = fn(Context) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

fn trial(url: &str, path: &str, test: Test) -> Trial {
    let name = path.strip_prefix("all::").unwrap_or(path);
    let name = if url == MEMORY { format!("memory::{name}") } else { name.to_owned() };
    let context = Context::new(url, &name);
    Trial::test(name, move || {
        runtime()?.block_on(test(context));
        Ok(())
    })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}
