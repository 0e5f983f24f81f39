//! Any text is read as a filter or refused at one of its places; what is read is printed as a text that is read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use saved_objects::repository::Kql;

fuzz_target!(|text: &str| match text.parse::<Kql>() {
    Ok(kql) => assert_eq!(kql.to_string().parse::<Kql>().as_ref(), Ok(&kql)),
    Err(error) => {
        let last = text.chars().count() + 1;
        assert!(error.problems().iter().all(|problem| (1..=last).contains(&problem.position)));
    }
});
