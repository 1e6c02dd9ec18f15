//! Any bytes as a file: an app that survives being written again, or problems with places.

#![no_main]

use dubernetes_manifest::{Source};
use libfuzzer_sys::fuzz_target;

fn read(text: Vec<u8>) -> Result<dubernetes_manifest::Parsed, dubernetes_manifest::Diagnostics> {
    dubernetes_manifest::parse(&[Source { name: "app.yaml".into(), text }])
}

fuzz_target!(|text: &[u8]| {
    match read(text.to_vec()) {
        Ok(parsed) => {
            for app in parsed.apps {
                assert!(app.spec.problems().is_empty(), "accepted, and not valid");
                let yaml = dubernetes_manifest::to_yaml(&app.spec);
                match read(yaml.clone().into_bytes()) {
                    Ok(again) => assert_eq!(again.apps[0].spec, app.spec, "{yaml}"),
                    Err(problems) => panic!("{problems}\n{yaml}"),
                }
            }
        }
        Err(problems) => {
            assert!(!problems.list.is_empty(), "refused, and not said why");
            assert!(problems.list.iter().all(|problem| problem.line > 0 && problem.column > 0));
            let shown = problems.to_string();
            assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
        }
    }
});
