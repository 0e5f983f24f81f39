use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::cli::output::Output;

/// Sends the log to standard error. `RUST_LOG` says how much; without it a person who watches sees warnings, and a log file
/// gets the steps too.
pub(super) fn start(output: Output) {
    let default = if output.is_terminal() { "warn" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A program that embeds this command line may have a log of its own; that one stays.
    let _ = subscriber.try_init();
}
