//! Writes nginx configuration from typed tokens; there is no other way to write a directive.
//!
//! No token holds raw text of a user. A token is a name or path that the core's grammar parsed, an
//! address, a number, or a word of this crate's source code. Each is checked once more against an
//! allow-list when it is written, so that a grammar that is extended later cannot reach nginx
//! unnoticed.

use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use dubernetes_core::app::{AppName, Duration, HostName, PodName, RoutePath};
use ipnet::IpNet;
use thiserror::Error;

/// The end of the name of an upstream with kept connections. No app has a `.` in its name.
pub(crate) const KEPT: &str = ".kept";

/// One argument of a directive.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Token<'a> {
    /// A word of this crate, written bare. Variables are allowed.
    Word(&'static str),
    /// Text of this crate, written in quotes. May be empty; has no variables.
    Text(&'static str),
    /// A host.
    Host(&'a HostName),
    /// All hosts with exactly one label in front of this one, as a pattern.
    AnyLabel(&'a HostName),
    /// A pattern of this crate, written in quotes.
    Pattern(&'static str),
    /// A path.
    Path(&'a RoutePath),
    /// All paths below a path, as a pattern whose group is the rest with its slash.
    Below(&'a RoutePath),
    /// The prefix of all paths below a path: the path and a slash.
    PathBelow(&'a RoutePath),
    /// The name of an app.
    App(&'a AppName),
    /// The name of a pod.
    Pod(&'a PodName),
    /// The form of a line of the log, with text and variables of this crate.
    Format(&'static str),
    /// The end of each list of addresses whose last one has these three last bytes and this port.
    LastAddress([u8; 3], u16),
    /// The name of the n-th upstream of an app.
    Upstream(&'a AppName, usize),
    /// The name of the same upstream, with kept connections.
    KeptUpstream(&'a AppName, usize),
    /// An upstream as the target of `proxy_pass`, followed by variables of this crate.
    UpstreamUrl(&'a AppName, usize, &'static [&'static str]),
    /// An upstream as the target of `grpc_pass`.
    GrpcUrl(&'a AppName, usize),
    /// An address.
    Address(Ipv4Addr),
    /// An address and a port.
    Socket(SocketAddr),
    /// A network.
    Network(IpNet),
    /// A number.
    Number(usize),
    /// A span of time.
    Duration(Duration),
    /// A size in KiB.
    Kibibytes(usize),
    /// The name of a generation.
    Digest(&'a Digest),
    /// The path of a file of a host, relative to the generation.
    HostFile(&'a str),
    /// The same request over HTTPS, at this port.
    SameOverHttps(u16),
}

/// The name of a generation: the first half of a SHA-256 hash, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// Number of digits.
    const DIGITS: usize = 32;

    /// Creates a digest from a SHA-256 hash.
    pub(crate) fn from_hash(hash: &[u8]) -> Self {
        let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        Self(digits.take(Self::DIGITS).filter_map(|d| char::from_digit(d.into(), 16)).collect())
    }

    /// Parses a response of nginx. Returns `None` if it is not a digest.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        (text.len() == Self::DIGITS && text.chars().all(is_hex)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A token with a character that its allow-list does not contain.
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
    /// Creates a file with a comment that names its author.
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

    /// Writes a line whose arguments are all words of this crate.
    pub(crate) fn words(
        &mut self,
        name: &'static str,
        arguments: &[&'static str],
    ) -> Result<(), IllegalToken> {
        let tokens: Vec<_> = arguments.iter().map(|word| Token::Word(word)).collect();
        self.line(name, &tokens)
    }

    /// Writes `name argument... {`, the directives of `inside`, and `}`.
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

    /// Writes an entry of a map: what its source has to be, and the value.
    pub(crate) fn entry(
        &mut self,
        source: Token<'_>,
        value: Token<'_>,
    ) -> Result<(), IllegalToken> {
        self.indent();
        let entry = format!("{} {};\n", render(source)?, render(value)?);
        self.text.push_str(&entry);
        Ok(())
    }

    /// Returns the whole file.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn head(&mut self, name: &'static str, arguments: &[Token<'_>]) -> Result<(), IllegalToken> {
        self.indent();
        self.text.push_str(&check(name.to_owned(), is_word)?);
        for token in arguments {
            self.text.push(' ');
            self.text.push_str(&render(*token)?);
        }
        Ok(())
    }

    fn indent(&mut self) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{:1$}", "", self.depth * 4);
    }
}

fn render(token: Token<'_>) -> Result<String, IllegalToken> {
    match token {
        Token::Word(word) => check(word.to_owned(), is_word),
        Token::Text(text) => quote(text),
        Token::Host(host) => check(host.to_string(), is_name),
        Token::AnyLabel(host) => {
            let host = check(host.to_string(), is_name)?;
            Ok(format!("~^[^.]+\\.{}$", host.replace('.', "\\.")))
        }
        Token::Pattern(pattern) => Ok(format!("\"{}\"", check(pattern.to_owned(), is_pattern)?)),
        Token::Path(path) => check(path.to_string(), is_path),
        Token::Below(path) => {
            let path = check(path.to_string(), is_path)?;
            Ok(format!("^{}(/.*)$", path.replace('.', "\\.")))
        }
        Token::PathBelow(path) => {
            check(format!("{}/", path.as_str().trim_end_matches('/')), is_path)
        }
        Token::App(app) => check(app.to_string(), is_name),
        Token::Pod(pod) => check(pod.to_string(), is_name),
        Token::Format(line) => Ok(format!("'{}'", check(line.to_owned(), is_format)?)),
        Token::LastAddress([a, b, c], port) => Ok(format!("\"*.{a}.{b}.{c}:{port}\"")),
        Token::Upstream(app, n) => check(format!("{app}.{n}"), is_name),
        Token::KeptUpstream(app, n) => check(format!("{app}.{n}{KEPT}"), is_name),
        Token::UpstreamUrl(app, n, variables) => {
            let name = check(format!("{app}.{n}"), is_name)?;
            let variables = variables.iter().map(|word| check((*word).to_owned(), is_word));
            Ok(format!("http://{name}{}", variables.collect::<Result<String, _>>()?))
        }
        Token::GrpcUrl(app, n) => Ok(format!("grpc://{}", check(format!("{app}.{n}"), is_name)?)),
        Token::Address(address) => Ok(address.to_string()),
        Token::Socket(endpoint) => Ok(endpoint.to_string()),
        Token::Network(network) => Ok(network.to_string()),
        Token::Number(number) => Ok(number.to_string()),
        Token::Duration(duration) => Ok(format!("{}ms", duration.millis())),
        Token::Kibibytes(size) => Ok(format!("{size}k")),
        Token::Digest(digest) => check(digest.to_string(), is_name),
        Token::HostFile(path) => check(path.to_owned(), is_path),
        Token::SameOverHttps(443) => Ok("https://$host$request_uri".to_owned()),
        Token::SameOverHttps(port) => Ok(format!("https://$host:{port}$request_uri")),
    }
}

fn check(text: String, is_legal: fn(char) -> bool) -> Result<String, IllegalToken> {
    if !text.is_empty() && text.chars().all(is_legal) { Ok(text) } else { Err(IllegalToken(text)) }
}

fn quote(text: &str) -> Result<String, IllegalToken> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | ',' | '.' | '-');
    if text.chars().all(is_legal) {
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

fn is_format(c: char) -> bool {
    is_word(c) || matches!(c, '{' | '}' | '"' | ':' | ',')
}

fn is_pattern(c: char) -> bool {
    is_word(c)
        || matches!(
            c,
            '~' | '^' | '[' | ']' | '(' | ')' | '<' | '>' | '?' | ':' | '\\' | '+' | '|' | ','
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_cannot_end_its_directive() {
        for bad in ["", "a;b", "a b", "a{", "a}", "a\n", "a#", "a\"", "a'", "a\\", "~a b", "é"] {
            for legal in [is_name, is_path, is_word] {
                assert!(check(bad.to_owned(), legal).is_err(), "{bad:?}");
            }
        }
        for bad in ["$host", "a\"", "a\\", "a\n"] {
            assert!(quote(bad).is_err(), "{bad:?}");
        }
        assert!(check("$host".to_owned(), is_path).is_err());
        assert!(check("*.a".to_owned(), is_name).is_err());
        for bad in ["", "a'", "a b", "a;", "a\\", "a\n", "a#"] {
            assert!(check(bad.to_owned(), is_format).is_err(), "{bad:?}");
        }
        for bad in ["a\"", "a b", "a;", "a{2}", "a'", "a\n", "a#"] {
            assert!(check(bad.to_owned(), is_pattern).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn dots_in_patterns_are_literal() {
        let host = HostName::parse("a-1.test").unwrap();
        assert_eq!(render(Token::AnyLabel(&host)).unwrap(), "~^[^.]+\\.a-1\\.test$");
        let path = RoutePath::parse("/v1.2/~x").unwrap();
        assert_eq!(render(Token::Below(&path)).unwrap(), "^/v1\\.2/~x(/.*)$");
    }

    #[test]
    fn digest_round_trips_through_text() {
        let digest = Digest::from_hash(&[0xab; 32]);
        assert_eq!(Digest::parse(&format!("{digest}\n")), Some(digest));
        assert_eq!(Digest::parse("../../etc"), None);
    }
}
