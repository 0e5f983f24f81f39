//! Seeds that can be replayed.

use std::ops::Range;

pub(crate) use crate::dice::Dice;

/// The variable that replays a seed (`7`) or tries others (`100..300`).
const VARIABLE: &str = "SAVED_OBJECTS_TEST_SEED";

/// Returns the seeds to try: `usual`, or those that the variable names.
pub(crate) fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var(VARIABLE) else { return usual };
    let number = |text: &str| text.parse::<u64>().unwrap_or_else(|error| panic!("{VARIABLE}={text}: {error}"));
    match text.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&text)..number(&text) + 1,
    }
}

/// Prints the seed if a test panics while this value exists.
pub(crate) struct Named(pub(crate) u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {0}; {VARIABLE}={0} replays it", self.0);
        }
    }
}
