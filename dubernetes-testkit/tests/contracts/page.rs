//! `docs/conformance.md`: which adapter keeps which promise. The page is made from the reports of
//! the adapters' own tests in `docs/conformance`.

use std::fmt::Write as _;
use std::path::Path;

use dubernetes_testkit::contract::Subject;
use dubernetes_testkit::contract::container_runtime::RuntimeSubject;
use dubernetes_testkit::contract::ingress::IngressSubject;
use dubernetes_testkit::contract::store::StoreSubject;
use serde_json::Value;

use super::golden;

const HEAD: &str = "\
# Conformance

Every check of the contract suites in `dubernetes_testkit::contract`, and the adapters that pass it.
\"needs …\" says why a check is skipped. The page is made from the reports in
[conformance](conformance), which the tests of the adapters compare with what they see.
";

/// Returns the results of an adapter: the checks of its suite, and none that fails.
fn results<S: Subject>(adapter: &str) -> Vec<String> {
    let report: Value = serde_json::from_slice(&std::fs::read(golden(adapter)).unwrap()).unwrap();
    let results = report["results"].as_array().unwrap();
    let names: Vec<_> = results.iter().map(|result| result["name"].as_str().unwrap()).collect();
    let checks: Vec<_> = S::checks().iter().map(|check| check.name).collect();
    assert_eq!(names, checks, "the report of {adapter} is out of date: run its tests");
    let cell = |result: &Value| match result["outcome"].as_str() {
        Some("passed") => "✓".to_owned(),
        Some("skipped") => result["reason"].as_str().unwrap().to_owned(),
        other => panic!("{adapter} has a result {other:?}"),
    };
    results.iter().map(cell).collect()
}

fn section<S: Subject>(page: &mut String, adapters: &[(&str, &str)]) {
    let checks = S::checks();
    let columns: Vec<_> = adapters.iter().map(|(_, file)| results::<S>(file)).collect();
    let titles: Vec<_> = adapters.iter().map(|(title, _)| *title).collect();
    write!(page, "\n## The {} suite: {} checks\n\n", S::SUITE, checks.len()).unwrap();
    writeln!(page, "| Promise | Check | {} |", titles.join(" | ")).unwrap();
    writeln!(page, "|---|---|{}", "---|".repeat(titles.len())).unwrap();
    for (row, check) in checks.iter().enumerate() {
        let cells: Vec<_> = columns.iter().map(|column| column[row].as_str()).collect();
        writeln!(page, "| {} | `{}` | {} |", check.promise, check.name, cells.join(" | ")).unwrap();
    }
}

#[test]
fn conformance_page_shows_every_check() {
    let mut page = HEAD.to_owned();
    let runtimes = [
        ("Docker", "docker"),
        ("swarm", "swarm"),
        ("processes", "processes"),
        ("fake", "fake-runtime"),
    ];
    section::<RuntimeSubject>(&mut page, &runtimes);
    section::<IngressSubject>(
        &mut page,
        &[("nginx", "nginx"), ("proxy", "proxy"), ("fake", "fake-ingress")],
    );
    section::<StoreSubject>(
        &mut page,
        &[("SQLite", "sqlite"), ("swarm", "swarm-store"), ("memory", "memory-store")],
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md");
    if std::env::var_os("DUBERNETES_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let seen = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        seen == page,
        "docs/conformance.md is out of date: run with DUBERNETES_UPDATE_GOLDEN=1"
    );
}
