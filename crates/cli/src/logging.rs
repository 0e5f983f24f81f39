//! The log of the command line, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::output::Output;
use crate::terminal::LogWriter;
use saved_objects::environment::WAITING;

/// Sends the log to standard error. `RUST_LOG` sets the level. Without it, a terminal shows warnings and waits, and a
/// log file also gets the steps.
pub(super) fn start(output: Output) {
    let default = if output.is_terminal() { format!("warn,{WAITING}=info") } else { "info".to_owned() };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| LogWriter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal());
    // A program that embeds this command line may have its own logger; that one stays.
    let _ = subscriber.try_init();
}
