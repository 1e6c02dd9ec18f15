//! Generated parts of the repository: the table of keys, and the scenarios in the documentation.

use anyhow::{Context as _, Result};
use dubernetes_manifest::reference::markdown_table;

use crate::run;

/// The page with the table of keys, between two markers.
const KEYS: &str = "docs/file.md";
const BEGIN: &str = "<!-- keys:begin -->\n";
const END: &str = "<!-- keys:end -->\n";
/// The page with scenarios of the planner, each after a marker that names its file.
const LOOP: &str = "docs/loop.md";
const MARKER: &str = "<!-- scenario:";
const SCENARIOS: &str = "dubernetes-core/tests/scenarios";

/// Writes the generated parts.
pub(crate) fn generate() -> Result<()> {
    for (path, text) in generated()? {
        std::fs::write(run::root().join(path), text).with_context(|| cannot("write", path))?;
    }
    Ok(())
}

/// Returns each page with generated parts, as it should be.
fn generated() -> Result<[(&'static str, String); 2]> {
    let root = run::root();
    let read =
        |path: &str| std::fs::read_to_string(root.join(path)).with_context(|| cannot("read", path));
    let scenario = |name: &str| read(&format!("{SCENARIOS}/{name}.txt"));
    Ok([(KEYS, with_keys(&read(KEYS)?)?), (LOOP, with_scenarios(&read(LOOP)?, scenario)?)])
}

fn cannot(verb: &str, path: &str) -> String {
    format!("cannot {verb} {path}")
}

fn with_keys(page: &str) -> Result<String> {
    let markers = page.split_once(BEGIN);
    let parts = markers.and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.context("the markers `keys:begin` and `keys:end` are missing")?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", markdown_table()))
}

/// Puts each scenario, as a code block, after its marker.
fn with_scenarios(page: &str, read: impl Fn(&str) -> Result<String>) -> Result<String> {
    let mut parts = page.split(MARKER);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->\n").context("a marker has no end")?;
        let scenario = read(name)?;
        let rest = rest.trim_start_matches('\n');
        let after = match rest.strip_prefix("```text\n") {
            Some(block) => block.split_once("```\n").context("a code block has no end")?.1,
            None => rest,
        };
        let after = after.trim_start_matches('\n');
        text.push_str(&format!("{MARKER}{name} -->\n\n```text\n{scenario}```\n\n{after}"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_parts_are_current() {
        for (path, text) in generated().unwrap() {
            let found = std::fs::read_to_string(run::root().join(path)).unwrap();
            assert!(found == text, "{path} is outdated: run `cargo xtask generate`");
        }
    }

    #[test]
    fn scenario_follows_its_marker() {
        let read = |name: &str| match name {
            "a" => Ok("# A\n".to_owned()),
            _ => anyhow::bail!("no scenario"),
        };
        let new = "x\n\n<!-- scenario:a -->\n\n```text\n# A\n```\n\ny\n";
        for page in ["x\n\n<!-- scenario:a -->\n\ny\n", &new.replace("# A", "# B"), new] {
            assert_eq!(with_scenarios(page, read).unwrap(), new);
        }
        assert!(with_scenarios("<!-- scenario:b -->\n", read).is_err());
    }
}
