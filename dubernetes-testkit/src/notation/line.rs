//! One line of the notation as words, each of which must be asked for.

use std::str::FromStr;

use jiff::SignedDuration;

/// What a line says that nobody has asked for yet.
#[derive(Debug)]
pub(super) struct Line {
    /// The first word: what the line is about.
    pub(super) what: String,
    /// Words without a value, in their order.
    words: Vec<String>,
    /// Words with one.
    values: Vec<(String, String)>,
}

impl Line {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut line = Self { what: String::new(), words: Vec::new(), values: Vec::new() };
        for word in split(text)? {
            match word.split_once('=') {
                _ if line.what.is_empty() => line.what = word,
                Some((key, value)) => line.values.push((key.to_owned(), value.replace('"', ""))),
                None => line.words.push(word.replace('"', "")),
            }
        }
        Ok(line)
    }

    /// Whether the word is there.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let before = self.words.len();
        self.words.retain(|other| other != word);
        self.words.len() < before
    }

    /// The next word that is no keyword: a name, or a number.
    pub(super) fn name<T: FromStr>(&mut self) -> Result<Option<T>, String> {
        if self.words.is_empty() {
            return Ok(None);
        }
        let word = self.words.remove(0);
        word.parse().map(Some).map_err(|_| format!("`{word}` is not what belongs there"))
    }

    /// The next word, or what is missing.
    pub(super) fn name_or<T: FromStr>(&mut self, missing: &str) -> Result<T, String> {
        self.name()?.ok_or_else(|| missing.to_owned())
    }

    /// The value of a key.
    pub(super) fn value<T: FromStr>(&mut self, key: &str) -> Result<Option<T>, String> {
        let Some(at) = self.values.iter().position(|(other, _)| other == key) else {
            return Ok(None);
        };
        let (_, value) = self.values.remove(at);
        value.parse().map(Some).map_err(|_| format!("`{value}` is no value of `{key}`"))
    }

    /// A span of time, such as `5s` or `2m 3s`.
    pub(super) fn span(&mut self, key: &str) -> Result<Option<SignedDuration>, String> {
        self.value(key)
    }

    /// The text after `says=`; empty without it.
    pub(super) fn says(&mut self) -> Result<String, String> {
        Ok(self.value("says")?.unwrap_or_default())
    }

    /// Refuses what nobody has asked for.
    pub(super) fn finish(&self) -> Result<(), String> {
        let keys = self.values.iter().map(|(key, _)| key);
        match self.words.iter().chain(keys).next() {
            Some(word) => Err(format!("`{word}` means nothing here, or stands there twice")),
            None => Ok(()),
        }
    }
}

/// Splits at blanks outside of quotes.
fn split(text: &str) -> Result<Vec<String>, String> {
    let mut quoted = false;
    let blank = |c: char| {
        quoted ^= c == '"';
        c.is_whitespace() && !quoted
    };
    let words: Vec<_> =
        text.split(blank).filter(|word| !word.is_empty()).map(str::to_owned).collect();
    if quoted { Err("a quote is not closed".to_owned()) } else { Ok(words) }
}
