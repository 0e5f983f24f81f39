//! The command `bench`: measures the engine against a raw loop that does the same work without it, in the same run.

mod crypto;
mod live;
mod migrate;
mod place;
mod plot;
mod process;
mod raw;
mod reads;
mod result;
mod rounds;
mod scale;
mod token;
mod tokens;
mod transfer;
mod writes;

use std::fmt::Display;

use clap::Subcommand;
use serde::Serialize;

use crate::connection::Connection;
use crate::exit::Exit;
use crate::output::Output;
use saved_objects::Result;
use saved_objects::environment::Environment;

/// Measure the engine against a raw loop, under the prefix saved-objects-bench
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How many times each side is measured, in turns, after a warm-up of each
    #[arg(long, global = true, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Debug, Subcommand)]
enum Measure {
    Migrate(migrate::Arguments),
    Live(live::Arguments),
    Scale(scale::Arguments),
    /// Measure encrypting and decrypting 1 KB, against the bare cipher
    Crypto,
    /// Measure finding pages of 1,000 objects of 1 KB, against the bare search
    Find,
    /// Measure getting objects of 1 KB by id, against the bare request
    Get,
    Transfer(transfer::Arguments),
    BulkCreate(writes::Arguments),
    /// Measure reading tokens, against the bare request and one decryption; also count the requests of each operation
    Tokens,
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    let runs = usize::try_from(arguments.runs).unwrap_or(usize::MAX);
    let result = match &arguments.measure {
        Measure::Live(arguments) => {
            return print(&live::run(arguments, connection, environment, output).await?, output);
        }
        Measure::Scale(arguments) => {
            return print(&scale::run(arguments, runs, connection, environment, output).await?, output);
        }
        Measure::Migrate(arguments) => migrate::run(arguments, runs, connection, environment, output).await?,
        Measure::Crypto => crypto::run(runs, environment)?,
        Measure::Find => reads::run(reads::Read::Find, runs, connection, environment, output).await?,
        Measure::Get => reads::run(reads::Read::Get, runs, connection, environment, output).await?,
        Measure::Transfer(arguments) => transfer::run(arguments, runs, connection, environment, output).await?,
        Measure::BulkCreate(arguments) => writes::run(arguments, runs, connection, environment, output).await?,
        Measure::Tokens => tokens::run(runs, connection, environment, output).await?,
    };
    print(&result, output)
}

fn print(result: &(impl Display + Serialize), output: Output) -> Result<Exit> {
    output.say(result.to_string());
    output.document(result)?;
    Ok(Exit::Done)
}
