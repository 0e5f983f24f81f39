#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| saved_objects::fuzzing::definition(data));
