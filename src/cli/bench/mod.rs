//! `bench`: how fast the engine is, each time beside a raw loop that does the same without it, in the same run.

mod crypto;
mod migrate;
mod place;
mod process;
mod raw;
mod reads;
mod result;
mod rounds;
mod token;
mod tokens;
mod transfer;
mod writes;

use clap::Subcommand;

use crate::Result;
use crate::cli::connection::Connection;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::environment::Environment;

/// Measure the engine beside a raw loop, under the prefix saved-objects-bench
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// How often both sides are measured, by turns, after a warm-up of each
    #[arg(long, global = true, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    runs: u32,
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Debug, Subcommand)]
enum Measure {
    Migrate(migrate::Arguments),
    /// Encrypting and decrypting 1 KB, beside the cipher alone
    Crypto,
    /// Finding pages of 1,000 objects of 1 KB, beside the bare search
    Find,
    /// Getting objects of 1 KB by id, beside the bare request
    Get,
    Transfer(transfer::Arguments),
    BulkCreate(writes::Arguments),
    /// Reading tokens, beside the bare request and one decryption; and how many requests each operation makes
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
        Measure::Migrate(arguments) => migrate::run(arguments, runs, connection, environment, output).await?,
        Measure::Crypto => crypto::run(runs, environment)?,
        Measure::Find => reads::run(reads::Read::Find, runs, connection, environment, output).await?,
        Measure::Get => reads::run(reads::Read::Get, runs, connection, environment, output).await?,
        Measure::Transfer(arguments) => transfer::run(arguments, runs, connection, environment, output).await?,
        Measure::BulkCreate(arguments) => writes::run(arguments, runs, connection, environment, output).await?,
        Measure::Tokens => tokens::run(runs, connection, environment, output).await?,
    };
    output.say(result.to_string());
    output.document(&result)?;
    Ok(Exit::Done)
}
