//! What the runners say, as numbers and as the reasons of what was skipped.

use std::collections::BTreeSet;
use std::fmt;

/// How a test says that it could not run, as a line of its own on standard error.
const SKIPPED: &str = "skipped ";

/// The results of all tests so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    passed: usize,
    failed: BTreeSet<String>,
    skipped: BTreeSet<String>,
}

impl Report {
    /// Reads the file that nextest leaves.
    pub(super) fn of_junit(text: &str) -> Self {
        let mut report = Self::default();
        for case in text.split("<testcase ").skip(1) {
            let name = format!("{} {}", attribute(case, "classname"), attribute(case, "name"));
            let said = case.split_once("<system-err>").map_or("", |(_, said)| said);
            if case.contains("<failure") || case.contains("<error") {
                report.failed.insert(name);
            } else if !report.take_skipped(said.lines().map(unescaped)) {
                report.passed += 1;
            }
        }
        report
    }

    /// Reads the lines of the standard runner. A test that is skipped passes there.
    pub(super) fn of_lines(lines: &[String]) -> Self {
        let mut report = Self::default();
        report.take_skipped(lines.iter().cloned());
        for line in lines {
            if let Some(counts) = line.trim().strip_prefix("test result: ") {
                report.passed += count(counts, "passed");
            } else if let Some(test) = line.strip_prefix("test ")
                && let Some(name) = test.strip_suffix(" ... FAILED")
            {
                report.failed.insert(name.to_owned());
            }
        }
        report.passed = report.passed.saturating_sub(report.skipped.len());
        report
    }

    /// A runner that fails without a failed test has not run them all; that is a failure too.
    pub(super) fn or_failed(mut self, succeeded: bool, step: &str) -> Self {
        if !succeeded && self.failed.is_empty() {
            self.failed.insert(format!("{step} (see above)"));
        }
        self
    }

    /// Adds the results of another runner.
    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
    }

    /// Counts what could not be checked, with its reason.
    pub(super) fn skip(&mut self, what: &str) {
        self.skipped.insert(what.to_owned());
    }

    /// Whether nothing failed.
    pub(super) fn is_good(&self) -> bool {
        self.failed.is_empty()
    }

    /// Keeps the lines that say that something was skipped, and says whether there was one.
    fn take_skipped(&mut self, lines: impl Iterator<Item = String>) -> bool {
        let mut found = false;
        for line in lines {
            if let Some(what) = line.trim().strip_prefix(SKIPPED) {
                self.skipped.insert(what.to_owned());
                found = true;
            }
        }
        found
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failed in &self.failed {
            writeln!(f, "failed {failed}")?;
        }
        for skipped in &self.skipped {
            writeln!(f, "{SKIPPED}{skipped}")?;
        }
        let (failed, skipped) = (self.failed.len(), self.skipped.len());
        writeln!(f, "{} passed, {failed} failed, {skipped} skipped", self.passed)
    }
}

fn attribute(case: &str, name: &str) -> String {
    let value = case.split_once(&format!("{name}=\"")).map_or("", |(_, rest)| rest);
    unescaped(value.split('"').next().unwrap_or_default())
}

fn unescaped(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    plain.replace("&apos;", "'").replace("&amp;", "&")
}

/// The number in front of a word, as in `5 passed; 0 failed`.
fn count(counts: &str, word: &str) -> usize {
    let part = counts.split(['.', ';']).find_map(|part| part.trim().strip_suffix(word));
    part.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_file_of_nextest_is_counted_test_by_test() {
        let text = r#"<testsuites name="nextest-run" tests="3" failures="1">
<testsuite name="a">
<testcase name="good" classname="a"><system-out>running 1 test</system-out><system-err></system-err></testcase>
<testcase name="bad" classname="a"><failure message="x"/><system-err>skipped nothing: it failed</system-err></testcase>
<testcase name="away" classname="a"><system-out></system-out><system-err>skipped away: no engine (&quot;gone&quot;)
more</system-err></testcase>
</testsuite>
</testsuites>"#;
        let said =
            "failed a bad\nskipped away: no engine (\"gone\")\n1 passed, 1 failed, 1 skipped\n";
        assert_eq!(Report::of_junit(text).to_string(), said);
    }

    #[test]
    fn the_lines_of_the_standard_runner_are_counted() {
        let text = "skipped away: no engine\ntest a ... ok\ntest b ... FAILED\n\
                    test result: FAILED. 3 passed; 1 failed; 0 ignored\n\
                    test result: ok. 2 passed; 0 failed; 0 ignored";
        let said = "failed b\nskipped away: no engine\n4 passed, 1 failed, 1 skipped\n";
        assert_eq!(Report::of_lines(&lines(text)).to_string(), said);
    }

    #[test]
    fn a_runner_that_fails_is_never_good() {
        assert!(!Report::default().or_failed(false, "building").is_good());
        assert!(Report::default().or_failed(true, "building").is_good());
    }
}
