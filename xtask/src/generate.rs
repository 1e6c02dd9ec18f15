//! Generated parts of the repository: the table of keys in README.md.

use anyhow::{Context as _, Result};
use dubernetes_manifest::reference::markdown_table;

use crate::run;

const BEGIN: &str = "<!-- keys:begin -->\n";
const END: &str = "<!-- keys:end -->\n";

/// Writes the generated parts. The tests of `dubernetes-manifest` fail if they are outdated.
pub(crate) fn generate() -> Result<()> {
    let path = run::root().join("README.md");
    let text = std::fs::read_to_string(&path).context("cannot read README.md")?;
    let markers = text.split_once(BEGIN);
    let parts = markers.and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.context("README.md has no markers `keys:begin` and `keys:end`")?;
    let table = markdown_table();
    std::fs::write(path, format!("{before}{BEGIN}{table}{END}{after}"))
        .context("cannot write README.md")
}
