//! The only way to write nginx configuration: directives made of typed tokens.
//!
//! There is no token for raw text. What can be written is a name or path that was parsed by the
//! core's grammar, an address, a number, or a word of our own source code; each is checked once more
//! against an allow-list before it is written, so that a grammar which is widened one day
//! cannot reach nginx unnoticed. Comments are words of our own, never a user's.

use std::fmt::{self, Write as _};
use std::net::Ipv4Addr;

use dubernetes_core::app::{AppName, HostName, RoutePath};
use thiserror::Error;

/// One argument of a directive.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Token<'a> {
    /// A word of our own, written bare; variables are allowed.
    Word(&'static str),
    /// Text of our own, written in quotes; may be empty, has no variables.
    Text(&'static str),
    /// A host.
    Host(&'a HostName),
    /// A path, matched exactly or as a prefix.
    Path(&'a RoutePath),
    /// What lies below a path: the path and a slash.
    Below(&'a RoutePath),
    /// The name of the app's n-th upstream.
    Upstream(&'a AppName, usize),
    /// The same as the target of `proxy_pass`.
    UpstreamUrl(&'a AppName, usize),
    /// An address.
    Address(Ipv4Addr),
    /// An address and a port.
    Socket(Ipv4Addr, u16),
    /// A number.
    Number(usize),
    /// A size in units of 1024 bytes.
    Kibibytes(usize),
    /// The name of a generation.
    Digest(&'a Digest),
}

/// The name of a generation: half a SHA-256, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// How many digits it has.
    const DIGITS: usize = 32;

    /// The digest of a whole hash.
    pub(crate) fn of(hash: &[u8]) -> Self {
        let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        Self(digits.take(Self::DIGITS).filter_map(|d| char::from_digit(d.into(), 16)).collect())
    }

    /// Reads what nginx answered; `None` if it is not a digest.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        (text.len() == Self::DIGITS && text.chars().all(hex)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A token with a character that is not on its allow-list.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{}` cannot be written into the configuration", .0.escape_debug())]
pub struct IllegalToken(String);

/// One configuration file under construction.
#[derive(Debug)]
pub(crate) struct Conf {
    text: String,
    depth: usize,
}

impl Conf {
    /// An empty file that says where it comes from.
    pub(crate) fn new() -> Self {
        let text = "# Written by Dubernetes, which overwrites any change.\n".to_owned();
        Self { text, depth: 0 }
    }

    /// Writes `name argument...;`.
    pub(crate) fn line(
        &mut self,
        name: &'static str,
        arguments: &[Token<'_>],
    ) -> Result<(), IllegalToken> {
        self.head(name, arguments)?;
        self.text.push_str(";\n");
        Ok(())
    }

    /// Writes a line whose arguments are all words of our own.
    pub(crate) fn words(
        &mut self,
        name: &'static str,
        arguments: &[&'static str],
    ) -> Result<(), IllegalToken> {
        let tokens: Vec<_> = arguments.iter().map(|word| Token::Word(word)).collect();
        self.line(name, &tokens)
    }

    /// Writes `name argument... {`, what `inside` writes, and `}`.
    pub(crate) fn block(
        &mut self,
        name: &'static str,
        arguments: &[Token<'_>],
        inside: impl FnOnce(&mut Self) -> Result<(), IllegalToken>,
    ) -> Result<(), IllegalToken> {
        self.head(name, arguments)?;
        self.text.push_str(" {\n");
        self.depth += 1;
        inside(self)?;
        self.depth -= 1;
        self.indent();
        self.text.push_str("}\n");
        Ok(())
    }

    /// The whole file.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn head(&mut self, name: &'static str, arguments: &[Token<'_>]) -> Result<(), IllegalToken> {
        self.indent();
        self.text.push_str(&checked(name.to_owned(), is_word)?);
        for token in arguments {
            self.text.push(' ');
            self.text.push_str(&written(*token)?);
        }
        Ok(())
    }

    fn indent(&mut self) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{:1$}", "", self.depth * 4);
    }
}

fn written(token: Token<'_>) -> Result<String, IllegalToken> {
    match token {
        Token::Word(word) => checked(word.to_owned(), is_word),
        Token::Text(text) => checked_text(text),
        Token::Host(host) => checked(host.to_string(), is_name),
        Token::Path(path) => checked(path.to_string(), is_path),
        Token::Below(path) => checked(format!("{}/", path.as_str().trim_end_matches('/')), is_path),
        Token::Upstream(app, n) => checked(format!("{app}.{n}"), is_name),
        Token::UpstreamUrl(app, n) => {
            Ok(format!("http://{}", checked(format!("{app}.{n}"), is_name)?))
        }
        Token::Address(address) => Ok(address.to_string()),
        Token::Socket(address, port) => Ok(format!("{address}:{port}")),
        Token::Number(number) => Ok(number.to_string()),
        Token::Kibibytes(size) => Ok(format!("{size}k")),
        Token::Digest(digest) => checked(digest.to_string(), is_name),
    }
}

fn checked(text: String, legal: fn(char) -> bool) -> Result<String, IllegalToken> {
    if !text.is_empty() && text.chars().all(legal) { Ok(text) } else { Err(IllegalToken(text)) }
}

fn checked_text(text: &str) -> Result<String, IllegalToken> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | ',' | '.' | '-');
    if text.chars().all(legal) {
        Ok(format!("\"{text}\""))
    } else {
        Err(IllegalToken(text.to_owned()))
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-')
}

fn is_path(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '~' | '-')
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '=' | '$' | '*' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_can_end_its_directive() {
        for bad in ["", "a;b", "a b", "a{", "a}", "a\n", "a#", "a\"", "a'", "a\\", "~a b", "é"] {
            for legal in [is_name, is_path, is_word] {
                assert!(checked(bad.to_owned(), legal).is_err(), "{bad:?}");
            }
        }
        for bad in ["$host", "a\"", "a\\", "a\n"] {
            assert!(checked_text(bad).is_err(), "{bad:?}");
        }
        assert!(checked("$host".to_owned(), is_path).is_err());
        assert!(checked("*.a".to_owned(), is_name).is_err());
    }

    #[test]
    fn a_digest_is_read_back() {
        let digest = Digest::of(&[0xab; 32]);
        assert_eq!(Digest::parse(&format!("{digest}\n")), Some(digest));
        assert_eq!(Digest::parse("../../etc"), None);
    }
}
