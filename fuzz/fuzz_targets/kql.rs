#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| saved_objects::fuzzing::kql(text));
