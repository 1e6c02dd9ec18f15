//! The rule for links in Markdown: a link within the repository leads to a file, and to a heading
//! of it.

use std::path::Path;

use super::{TextFile, has_extension};

/// Returns the links of a Markdown file that lead nowhere. `read` returns the text of a file of the
/// repository; of a folder or a file that is no text, an empty one.
pub(super) fn problems(file: &TextFile, read: &dyn Fn(&Path) -> Option<String>) -> Vec<String> {
    if !has_extension(&file.path, "md") {
        return Vec::new();
    }
    let found = prose(file).flat_map(|(number, line)| links(line).map(move |link| (number, link)));
    found
        .filter(|(_, link)| !link.contains("://"))
        .filter(|(_, link)| !leads_somewhere(file, link, read))
        .map(|(number, link)| format!("{}:{number}: `{link}` leads nowhere", file.path.display()))
        .collect()
}

/// Returns the lines outside code blocks.
fn prose(file: &TextFile) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    file.lines().filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        !in_block && !is_fence
    })
}

/// Returns the targets of the links and images in a line.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let after = ["](", "src=\"", "srcset=\""].into_iter().flat_map(|mark| line.split(mark).skip(1));
    after.map(|rest| rest.split([')', '"', ' ']).next().unwrap_or_default())
}

fn leads_somewhere(file: &TextFile, link: &str, read: &dyn Fn(&Path) -> Option<String>) -> bool {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let text = match path {
        "" => Some(file.text.clone()),
        _ => read(&normalized(&file.path.with_file_name(path))),
    };
    text.is_some_and(|text| anchor.is_empty() || headings(&text).any(|slug| slug == anchor))
}

/// Removes `x/..` from a path.
fn normalized(path: &Path) -> std::path::PathBuf {
    let mut parts: Vec<_> = Vec::new();
    for part in path {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.into_iter().collect()
}

/// Returns the anchors of all headings, as code hosts derive them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    #[test]
    fn link_that_leads_nowhere_is_reported() {
        let read = |path: &Path| match path.to_str() {
            Some("docs/file.md") => Some("# The file\n\n## What happens if …\n".to_owned()),
            Some("examples") => Some(String::new()),
            _ => None,
        };
        let found = |path: &str, text: &str| problems(&file(path, text), &read).len();
        for good in [
            "[a](docs/file.md) [b](examples)",
            "[a](docs/file.md#what-happens-if-)",
            "[a](https://example.org/x)",
            "## Own\n[a](#own)",
            "```text\n[a](nowhere.md)\n```",
        ] {
            assert_eq!(found("README.md", good), 0, "{good}");
        }
        assert_eq!(found("docs/loop.md", "[a](file.md) [b](../examples)"), 0);
        for bad in ["[a](file.md)", "[a](docs/file.md#x) ", "<img src=\"a.png\">", "[a](#own)"] {
            assert_eq!(found("README.md", bad), 1, "{bad}");
        }
        assert_eq!(found("src/lib.rs", "[a](nowhere.md)"), 0);
    }
}
