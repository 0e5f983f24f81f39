//! The `saved-objects` command line; everything it does is in the library's `cli` module.

use std::process::ExitCode;

fn main() -> ExitCode {
    saved_objects::cli::run()
}
