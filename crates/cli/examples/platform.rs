//! A platform's own command line: that of `saved-objects`, with the platform's types and the transforms of its model versions.
//!
//! ```text
//! cargo run -p saved-objects-cli --example platform -- status
//! ```

use std::process::ExitCode;

use saved_objects::registry::Registry;
use saved_objects::{Result, tokens};

fn main() -> ExitCode {
    match registry() {
        Ok(registry) => saved_objects_cli::run_with(registry),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the registry with which the platform also starts.
fn registry() -> Result<Registry> {
    let trim = |attributes: &mut saved_objects::document::Attributes| {
        if let Some(title) =
            attributes.get("title").and_then(|title| title.as_str()).map(|title| title.trim().to_owned())
        {
            attributes.insert("title".to_owned(), title.into());
        }
        Ok(())
    };
    Registry::builder().with(tokens::types()?).transform("trim_title", trim).build()
}
