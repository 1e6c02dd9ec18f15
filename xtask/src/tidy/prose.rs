//! Rules for text: maximum line length, and idioms that readers have to read twice.
//!
//! A phrase that is quoted on its own, such as `"nobody"`, is a value and not prose. Test data and
//! this file are not checked.

use std::collections::BTreeMap;
use std::path::Path;

use super::{TextFile, has_extension, is_test_data};

/// Maximum length of a line of Rust or Markdown.
const MAX_COLUMNS: usize = 100;

/// Phrases that are not used in code, comments and documents, with what to write instead. `a|b`
/// stands for either word. Matches whole words in any case, across line breaks, and in identifiers.
const IDIOMS: &[(&str, &str)] = &[
    ("so many", "`the number of …`, or the number"),
    ("as good as", "`equals`, or the condition"),
    ("foresee|foresees|foresaw|foreseen", "`forecast`, `predict`"),
    ("foretell|foretells|foretold", "`forecast`, `predict`"),
    ("whoever", "the subject: `a client that …`"),
    ("is|are|was|were told", "`shown`, `reported`"),
    ("make|makes|made it so", "`apply`"),
    ("stand|stands|stood in the way", "`blocks`"),
    ("gets|got on", "`makes progress`, `continues`"),
    ("is|are none that", "a positive statement"),
    ("who is who", "what is listed"),
    ("nobody", "the subject: `no process`, `no client`"),
    ("somebody", "the subject: `another process`, `a user`"),
    ("anew", "`again`"),
    ("under way", "`in progress`, `in flight`"),
    ("to be had", "`available`"),
    ("to go over", "`to migrate`"),
    ("the word of", "what is meant"),
    ("wish|wishes|wished", "`request`"),
];

const THIS_FILE: &str = "xtask/src/tidy/prose.rs";

/// Returns all violations in a file.
pub(super) fn problems(file: &TextFile) -> Vec<String> {
    if file.path == Path::new(THIS_FILE) || is_test_data(&file.path) {
        return Vec::new();
    }
    let path = file.path.display();
    let long = long_lines(file).into_iter().map(|(number, columns)| {
        format!("{path}:{number}: {columns} columns, the limit is {MAX_COLUMNS}")
    });
    let idioms = idioms(&file.text).into_iter().map(|(number, phrase, instead)| {
        format!("{path}:{number}: do not write \"{phrase}\", but {instead}")
    });
    long.chain(idioms).collect()
}

/// Returns number and length of the lines that are too long.
///
/// Lines that cannot be broken are accepted: raw strings in Rust; tables, links and code blocks in
/// Markdown.
fn long_lines(file: &TextFile) -> Vec<(usize, usize)> {
    let is_markdown = has_extension(&file.path, "md");
    if !is_markdown && !has_extension(&file.path, "rs") {
        return Vec::new();
    }
    let mut in_code_block = false;
    let mut found = Vec::new();
    for (number, line) in file.lines() {
        in_code_block ^= is_markdown && line.trim_start().starts_with("```");
        let is_unbreakable = if is_markdown {
            in_code_block || line.trim_start().starts_with('|') || line.contains("](")
        } else {
            line.contains("r#\"")
        };
        let columns = line.chars().count();
        if columns > MAX_COLUMNS && !is_unbreakable {
            found.push((number, columns));
        }
    }
    found
}

/// A word in lower case, with its position in the text.
#[derive(Debug)]
struct Word {
    text: String,
    start: usize,
    end: usize,
    line: usize,
    /// Whether punctuation separates this word from the previous one.
    starts_clause: bool,
}

/// Returns line, phrase and replacement of each idiom in the text.
fn idioms(text: &str) -> Vec<(usize, String, &'static str)> {
    let words = split_words(text);
    let idioms = idioms_by_first_word();
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        for (rest, instead) in idioms.get(word.text.as_str()).into_iter().flatten() {
            let Some(phrase) = words.get(at..=at + rest.len()) else { continue };
            let is_match = phrase.iter().skip(1).zip(rest).all(|(word, alternatives)| {
                !word.starts_clause && alternatives.contains(&word.text.as_str())
            });
            if is_match && !is_quoted(text, phrase) {
                let phrase: Vec<&str> = phrase.iter().map(|word| word.text.as_str()).collect();
                found.push((word.line, phrase.join(" "), *instead));
            }
        }
    }
    found
}

/// The alternatives for each further word of an idiom, and what to write instead.
type Idiom = (Vec<Vec<&'static str>>, &'static str);

fn idioms_by_first_word() -> BTreeMap<&'static str, Vec<Idiom>> {
    let mut idioms: BTreeMap<_, Vec<Idiom>> = BTreeMap::new();
    for (phrase, instead) in IDIOMS {
        let mut words = phrase.split(' ').map(|word| word.split('|').collect::<Vec<_>>());
        let first = words.next().unwrap_or_default();
        let rest: Vec<_> = words.collect();
        for word in first {
            idioms.entry(word).or_default().push((rest.clone(), instead));
        }
    }
    idioms
}

fn split_words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut line = 1;
    let mut word_start = None;
    let mut starts_clause = true;
    for (at, c) in text.char_indices().chain([(text.len(), '\n')]) {
        if c.is_alphanumeric() {
            word_start.get_or_insert(at);
            continue;
        }
        if let Some(start) = word_start.take() {
            let word = text[start..at].to_lowercase();
            words.push(Word { text: word, start, end: at, line, starts_clause });
            starts_clause = false;
        }
        line += usize::from(c == '\n');
        starts_clause |= is_clause_break(c);
    }
    words
}

fn is_clause_break(c: char) -> bool {
    matches!(c, '.' | ',' | ';' | ':' | '?' | '!' | '(' | ')' | '[' | ']' | '{' | '}' | '|')
}

/// Whether quotes enclose exactly this phrase.
fn is_quoted(text: &str, phrase: &[Word]) -> bool {
    let [Word { start, .. }, ..] = phrase else { return false };
    let [.., Word { end, .. }] = phrase else { return false };
    let is_quote = |c: Option<char>| c.is_some_and(|c| "\"`'“”".contains(c));
    is_quote(text[..*start].chars().next_back()) && is_quote(text[*end..].chars().next())
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    fn phrases(text: &str) -> Vec<(usize, String)> {
        idioms(text).into_iter().map(|(line, phrase, _)| (line, phrase)).collect()
    }

    #[test]
    fn idiom_is_reported_with_its_line() {
        assert_eq!(phrases("fine\n/// So many replicas."), [(2, "so many".to_owned())]);
        assert_eq!(
            phrases("It makes it so, and are told."),
            [(1, "makes it so".to_owned()), (1, "are told".to_owned())]
        );
    }

    #[test]
    fn idiom_across_line_break_is_reported() {
        assert_eq!(phrases("/// a call under\n    /// way ends"), [(1, "under way".to_owned())]);
    }

    #[test]
    fn idiom_in_identifier_is_reported() {
        assert_eq!(phrases("fn nobody_acts() {}"), [(1, "nobody".to_owned())]);
        assert_eq!(phrases("key: under-way"), [(1, "under way".to_owned())]);
    }

    #[test]
    fn part_of_word_is_accepted() {
        assert_eq!(phrases("canewash foretolds everybody gets one"), []);
    }

    #[test]
    fn punctuation_separates_words() {
        assert_eq!(phrases("if so, many tests. What it gets. On a host (so) many"), []);
    }

    #[test]
    fn quoted_phrase_is_accepted() {
        assert_eq!(phrases("user \"nobody\" and `under way`"), []);
        assert_eq!(phrases("\"nobody listens\""), [(1, "nobody".to_owned())]);
    }

    #[test]
    fn long_line_is_reported() {
        let long = "a ".repeat(51);
        let found = |path, text: &str| long_lines(&file(path, text)).len();
        assert_eq!(found("a/src/lib.rs", &long), 1);
        assert_eq!(found("README.md", &long), 1);
        assert_eq!(found("README.md", &long[..100]), 0);
        assert_eq!(found("Cargo.toml", &long), 0);
        assert_eq!(found("README.md", &"ä".repeat(100)), 0);
    }

    #[test]
    fn unbreakable_line_is_accepted() {
        let long = "a ".repeat(51);
        let found = |path, text: &str| long_lines(&file(path, text)).len();
        assert_eq!(found("README.md", &format!("| {long} |")), 0);
        assert_eq!(found("README.md", &format!("[a](b) {long}")), 0);
        assert_eq!(found("README.md", &format!("```text\n{long}\n```\n{long}")), 1);
        assert_eq!(found("a/src/lib.rs", &format!("r#\"{long}\"#")), 0);
    }

    #[test]
    fn test_data_and_this_file_are_not_checked() {
        assert!(problems(&file("a/tests/golden/a.md", "nobody")).is_empty());
        assert!(problems(&file(THIS_FILE, "nobody")).is_empty());
        assert_eq!(problems(&file("a.md", "nobody")).len(), 1);
    }
}
