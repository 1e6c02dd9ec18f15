//! Parses arbitrary bytes as a manifest: the result is either problems with positions, or valid
//! apps that are equal after a round trip.

#![no_main]

use dubernetes_manifest::Source;
use libfuzzer_sys::fuzz_target;

fn parse(text: Vec<u8>) -> Result<dubernetes_manifest::Parsed, dubernetes_manifest::Diagnostics> {
    dubernetes_manifest::parse(&[Source { name: "app.yaml".into(), text }])
}

fuzz_target!(|text: &[u8]| {
    match parse(text.to_vec()) {
        Ok(parsed) => {
            for app in parsed.apps {
                assert!(app.spec.problems().is_empty(), "an invalid app was accepted");
                let yaml = dubernetes_manifest::to_yaml(&app.spec);
                match parse(yaml.clone().into_bytes()) {
                    Ok(again) => assert_eq!(again.apps[0].spec, app.spec, "{yaml}"),
                    Err(problems) => panic!("{problems}\n{yaml}"),
                }
            }
        }
        Err(problems) => {
            assert!(!problems.list.is_empty(), "refused without a problem");
            assert!(problems.list.iter().all(|problem| problem.line > 0 && problem.column > 0));
            let shown = problems.to_string();
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        }
    }
});
