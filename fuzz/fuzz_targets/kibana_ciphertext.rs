//! Fuzz target: ciphertexts of Kibana. `src/fuzzing.rs` says what must hold for any input.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| saved_objects::fuzzing::kibana_ciphertext(data));
