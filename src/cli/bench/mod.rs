//! `bench`: how fast the engine is, each time beside a raw loop that does the same without it, in the same run.

mod crypto;
mod memory;
mod migrate;
mod raw;
mod reads;
mod result;
mod token;
mod transfer;

use clap::Subcommand;

use crate::Result;
use crate::cli::connection::Connection;
use crate::cli::exit::Exit;
use crate::cli::output::Output;
use crate::environment::Environment;

/// How often both sides are measured, alternating, after a warm-up of each.
const RUNS: usize = 5;

/// Measure the engine beside a raw loop, under the prefix saved-objects-bench
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
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
}

pub(super) async fn run(
    arguments: &Arguments,
    connection: &Connection,
    environment: &Environment,
    output: Output,
) -> Result<Exit> {
    let result = match &arguments.measure {
        Measure::Migrate(arguments) => migrate::run(arguments, connection, environment, output).await?,
        Measure::Crypto => crypto::run(environment)?,
        Measure::Find => reads::run(reads::Read::Find, connection, environment, output).await?,
        Measure::Transfer(arguments) => transfer::run(arguments, connection, environment, output).await?,
        Measure::Get => reads::run(reads::Read::Get, connection, environment, output).await?,
    };
    output.say(result.to_string());
    output.document(&result)?;
    Ok(Exit::Done)
}
