//! Fuzz target: envelopes of secrets. `src/fuzzing.rs` says what must hold for any input.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| saved_objects::fuzzing::envelope(data));
