//! Test results: counts, failed tests, and skipped tests with the reason.

use std::collections::BTreeSet;
use std::fmt;

/// Prefix of the line on standard error with which a test reports that it was skipped.
const SKIPPED: &str = "skipped ";

/// Results of one or several test runs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Report {
    passed: usize,
    failed: BTreeSet<String>,
    skipped: BTreeSet<String>,
}

impl Report {
    /// Reads nextest's JUnit file.
    pub(super) fn from_junit(text: &str) -> Self {
        let mut report = Self::default();
        for case in text.split("<testcase ").skip(1) {
            let name = format!("{} {}", attribute(case, "classname"), attribute(case, "name"));
            let stderr = case.split_once("<system-err>").map_or("", |(_, stderr)| stderr);
            if case.contains("<failure") || case.contains("<error") {
                report.failed.insert(name);
            } else if !report.add_skipped(stderr.lines().map(unescape)) {
                report.passed += 1;
            }
        }
        report
    }

    /// Reads the output of `cargo test`, which counts skipped tests as passed.
    pub(super) fn from_lines(lines: &[String]) -> Self {
        let mut report = Self::default();
        report.add_skipped(lines.iter().cloned());
        for line in lines {
            if let Some(counts) = line.trim().strip_prefix("test result: ") {
                report.passed += parse_count(counts, "passed");
            } else if let Some(test) = line.strip_prefix("test ")
                && let Some(name) = test.strip_suffix(" ... FAILED")
            {
                report.failed.insert(name.to_owned());
            }
        }
        report.passed = report.passed.saturating_sub(report.skipped.len());
        report
    }

    /// Adds a failure if the runner failed without a failed test, for example in the build.
    pub(super) fn or_failed(mut self, succeeded: bool, step: &str) -> Self {
        if !succeeded && self.failed.is_empty() {
            self.fail(step);
        }
        self
    }

    /// Adds a failed step, whose output is above.
    pub(super) fn fail(&mut self, step: &str) {
        self.failed.insert(format!("{step} (see above)"));
    }

    /// Adds the results of another runner.
    pub(super) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.skipped.extend(other.skipped);
    }

    /// Adds a skipped check with its reason.
    pub(super) fn skip(&mut self, check: &str) {
        self.skipped.insert(check.to_owned());
    }

    /// Whether no test failed.
    pub(super) fn is_success(&self) -> bool {
        self.failed.is_empty()
    }

    /// Adds all skipped tests in these lines, and returns whether there was one.
    fn add_skipped(&mut self, lines: impl Iterator<Item = String>) -> bool {
        let mut found = false;
        for line in lines {
            if let Some(test) = line.trim().strip_prefix(SKIPPED) {
                self.skipped.insert(test.to_owned());
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
        let failed = self.failed.len();
        let skipped = self.skipped.len();
        writeln!(f, "{} passed, {failed} failed, {skipped} skipped", self.passed)
    }
}

fn attribute(case: &str, name: &str) -> String {
    let value = case.split_once(&format!("{name}=\"")).map_or("", |(_, rest)| rest);
    unescape(value.split('"').next().unwrap_or_default())
}

fn unescape(text: &str) -> String {
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    plain.replace("&apos;", "'").replace("&amp;", "&")
}

/// Returns the number in front of a word, as in `5 passed; 0 failed`.
fn parse_count(counts: &str, word: &str) -> usize {
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
    fn junit_file_is_counted_by_test() {
        let text = r#"<testsuites name="nextest-run" tests="3" failures="1">
<testsuite name="a">
<testcase name="good" classname="a">
<system-out>running 1 test</system-out><system-err></system-err></testcase>
<testcase name="bad" classname="a">
<failure message="x"/><system-err>skipped nothing: it failed</system-err></testcase>
<testcase name="away" classname="a">
<system-out></system-out><system-err>skipped away: no engine (&quot;gone&quot;)
more</system-err></testcase>
</testsuite>
</testsuites>"#;
        let report =
            "failed a bad\nskipped away: no engine (\"gone\")\n1 passed, 1 failed, 1 skipped\n";
        assert_eq!(Report::from_junit(text).to_string(), report);
    }

    #[test]
    fn cargo_test_output_is_counted() {
        let text = "skipped away: no engine\ntest a ... ok\ntest b ... FAILED\n\
                    test result: FAILED. 3 passed; 1 failed; 0 ignored\n\
                    test result: ok. 2 passed; 0 failed; 0 ignored";
        let report = "failed b\nskipped away: no engine\n4 passed, 1 failed, 1 skipped\n";
        assert_eq!(Report::from_lines(&lines(text)).to_string(), report);
    }

    #[test]
    fn failed_runner_without_failed_test_is_reported() {
        assert!(!Report::default().or_failed(false, "building").is_success());
        assert!(Report::default().or_failed(true, "building").is_success());
    }

    #[test]
    fn failed_step_is_counted_as_failed() {
        let mut report = Report::default();
        report.fail("lints");
        assert!(!report.is_success());
        let text = "failed lints (see above)\n0 passed, 1 failed, 0 skipped\n";
        assert_eq!(report.to_string(), text);
    }
}
