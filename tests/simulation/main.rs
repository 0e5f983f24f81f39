//! A deterministic simulation: whole platforms, each in one thread and made from a seed, in which no answered write may
//! be lost. See `docs/simulation.md`.
//!
//! `SAVED_OBJECTS_SIMULATION_SEED` (`7` or `100..300`) replays or tries seeds. `--hours 1` tries new seeds for an hour,
//! `--profile copy-race` one kind of worlds. `--story` prints a world's story even if no promise is broken, `--whole`
//! all of it.
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adversary;
mod aftermath;
mod claims;
#[path = "../all/dice.rs"]
mod dice;
mod executor;
mod history;
mod journal;
mod model;
mod network;
mod node;
mod operator;
mod profile;
mod refreshes;
mod request;
mod runs;
mod surroundings;
mod types;
mod users;
#[path = "../all/faults/vault.rs"]
mod vault;
mod weather;
mod witness;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    match runs::Order::from_args() {
        Ok(order) => runs::run(&order),
        Err(wrong) => {
            eprintln!("{wrong}");
            ExitCode::from(2)
        }
    }
}
