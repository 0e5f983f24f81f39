//! Fuzz target: version tokens. `src/fuzzing.rs` says what must hold for any input.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &str| saved_objects::fuzzing::version_token(data));
