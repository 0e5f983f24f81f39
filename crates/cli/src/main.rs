//! The binary `saved-objects`.

use std::process::ExitCode;

fn main() -> ExitCode {
    saved_objects_cli::run()
}
