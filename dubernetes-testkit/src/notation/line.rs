//! One line of the notation, as words that are taken one by one.

use std::fmt::Display;
use std::str::FromStr;

use jiff::SignedDuration;

/// The words of a line that were not taken yet.
#[derive(Debug)]
pub(super) struct Line {
    /// The first word: the kind of the object, or a pod.
    pub(super) subject: String,
    /// Words without a value, in order.
    words: Vec<String>,
    /// Words with a value, in order.
    values: Vec<(String, String)>,
}

impl Line {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut line = Self { subject: String::new(), words: Vec::new(), values: Vec::new() };
        for word in split(text)? {
            match word.split_once('=') {
                _ if line.subject.is_empty() => line.subject = current_word(&word).to_owned(),
                Some((key, value)) => {
                    line.values.push((current_word(key).to_owned(), value.replace('"', "")));
                }
                None => line.words.push(word.replace('"', "")),
            }
        }
        Ok(line)
    }

    /// Takes a flag. Returns whether the line has it.
    pub(super) fn take_word(&mut self, word: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|other| other != word);
        self.words.len() < before
    }

    /// Takes the next word without a value: a name, or a number.
    pub(super) fn take_name<T: FromStr<Err: Display>>(&mut self) -> Result<Option<T>, String> {
        if self.words.is_empty() {
            return Ok(None);
        }
        let word = self.words.remove(0);
        word.parse().map(Some).map_err(|error| format!("unexpected `{word}`: {error}"))
    }

    /// Takes the next word without a value, or fails with `missing`.
    pub(super) fn require_name<T: FromStr<Err: Display>>(
        &mut self,
        missing: &str,
    ) -> Result<T, String> {
        self.take_name()?.ok_or_else(|| missing.to_owned())
    }

    /// Takes the value of a key.
    pub(super) fn take_value<T: FromStr<Err: Display>>(
        &mut self,
        key: &str,
    ) -> Result<Option<T>, String> {
        let Some(at) = self.values.iter().position(|(other, _)| other == key) else {
            return Ok(None);
        };
        let (_, value) = self.values.remove(at);
        value.parse().map(Some).map_err(|error| format!("invalid `{key}={value}`: {error}"))
    }

    /// Takes a span of time, such as `5s` or `2m 3s`.
    pub(super) fn take_span(&mut self, key: &str) -> Result<Option<SignedDuration>, String> {
        self.take_value(key)
    }

    /// Takes the text of `msg=`; empty without it.
    pub(super) fn take_message(&mut self) -> Result<String, String> {
        Ok(self.take_value("msg")?.unwrap_or_default())
    }

    /// Fails if a word was not taken.
    pub(super) fn finish(&self) -> Result<(), String> {
        let keys = self.values.iter().map(|(key, _)| key);
        match self.words.iter().chain(keys).next() {
            Some(word) => Err(format!("`{word}` is unknown here, or is given twice")),
            None => Ok(()),
        }
    }
}

/// Returns the current word for a word of the first version of the notation.
fn current_word(word: &str) -> &str {
    match word {
        "says" => "msg",
        "acting" => "active",
        "under-way" => "in-flight",
        "job" => "pre-deploy",
        "removed-through" => "deleted-through",
        "back-from" => "rollback-from",
        "back-to" => "rollback-to",
        _ => word,
    }
}

/// Splits at white space outside quotes.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut quoted = false;
    let is_separator = |c: char| {
        quoted ^= c == '"';
        c.is_whitespace() && !quoted
    };
    let words: Vec<_> =
        text.split(is_separator).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    if quoted { Err("a quote is not closed".to_owned()) } else { Ok(words) }
}
