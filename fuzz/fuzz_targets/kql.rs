//! Fuzz target: filters as KQL text. `src/fuzzing.rs` says what must hold for any input.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| saved_objects::fuzzing::kql(text));
