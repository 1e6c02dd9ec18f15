//! Parses arbitrary bytes as a request body: the result is either problems, or a valid app that is
//! equal after a round trip.

#![no_main]

use dubernetes_core::app::to_json_with_contents;
use dubernetes_manifest::JsonError;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    match dubernetes_manifest::from_json(body) {
        Ok(spec) => {
            assert!(spec.problems().is_empty(), "an invalid app was accepted");
            let Ok(written) = to_json_with_contents(&spec) else {
                panic!("an accepted app cannot be written")
            };
            let written = written.to_string();
            assert_eq!(dubernetes_manifest::from_json(written.as_bytes()), Ok(spec), "{written}");
        }
        Err(JsonError::Invalid(problems)) => assert!(!problems.is_empty()),
        Err(JsonError::Syntax { line, .. }) => assert!(line > 0 || body.is_empty()),
    }
});
