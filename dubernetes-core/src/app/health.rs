//! How a replica is asked whether it takes requests, and what its answers mean.
//!
//! The orchestrator asks, so an image needs no tools for `http` and `tcp`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::checked_text;
use super::quantity::Duration;

/// How a replica is asked, and how many answers count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Health {
    /// What is asked.
    pub check: Check,
    /// The port that is asked; the app's own unless given.
    pub port: Option<u16>,
    /// The time between two questions to a replica that is ready, 5 s unless given. One that is
    /// not is asked at least once a second.
    pub interval: Duration,
    /// How long an answer may take, 2 s unless given; at most [`Health::interval`].
    pub timeout: Duration,
    /// How long a replica may take to start, 1 min unless given: failures until then do not
    /// count for [`Health::replace_after`], unless it was ready before.
    pub start_period: Duration,
    /// So many good answers in a row make a replica ready, 1 unless given.
    pub success: u16,
    /// So many bad answers in a row take a ready replica out of the routes, 2 unless given.
    pub failures: u16,
    /// So many bad answers in a row, one an interval, have the replica replaced; 6 unless given.
    pub replace_after: u16,
}

impl Health {
    /// The largest `success`, `failures` and `replace_after`.
    pub const MAX_COUNT: u16 = 1000;
    /// The time between two questions unless given.
    pub const INTERVAL: Duration = Duration::from_secs(5);
    /// How long an answer may take unless given, or the interval if that is shorter.
    pub const TIMEOUT: Duration = Duration::from_secs(2);
    /// How long a start may take unless given.
    pub const START_PERIOD: Duration = Duration::from_secs(60);
    /// Good answers that make a replica ready, unless given.
    pub const SUCCESS: u16 = 1;
    /// Bad answers that take a replica out of the routes, unless given.
    pub const FAILURES: u16 = 2;
    /// Bad answers that have a replica replaced, unless given.
    pub const REPLACE_AFTER: u16 = 6;

    /// This check, with the defaults for everything else.
    pub fn new(check: Check) -> Self {
        Self {
            check,
            port: None,
            interval: Self::INTERVAL,
            timeout: Self::TIMEOUT,
            start_period: Self::START_PERIOD,
            success: Self::SUCCESS,
            failures: Self::FAILURES,
            replace_after: Self::REPLACE_AFTER,
        }
    }
}

/// What a replica is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// `GET` this path: a status from 200 to 399 is a good answer.
    Http(UrlPath),
    /// Open a connection: that it opens is a good answer.
    Tcp,
    /// Run this command in the container: exit code 0 is a good answer.
    Exec(Vec<String>),
}

checked_text!(
    /// The path of a request with its query: `/` and then visible ASCII characters but `#`; at
    /// most 1,024.
    UrlPath,
    check_url_path
);

fn check_url_path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("a path begins with `/`".into());
    }
    if text.len() > 1024 {
        return Err("a path has at most 1024 characters".into());
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || *c == '#') {
        return Err(format!(
            "a path has only visible ASCII characters without `#`, not `{}`",
            super::escape::shown(bad.encode_utf8(&mut [0; 4]))
        ));
    }
    Ok(text.to_owned())
}

/// The shape of the file: one of three keys says what is asked.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<UrlPath>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tcp: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exec: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interval: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_period: Option<Duration>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    success: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failures: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replace_after: Option<u16>,
}

impl TryFrom<Written> for Health {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let check = match (written.http, written.tcp, written.exec) {
            (Some(path), None, None) => Check::Http(path),
            (None, Some(true), None) => Check::Tcp,
            (None, None, Some(command)) => Check::Exec(command),
            _ => return Err("`health` has exactly one of `http`, `tcp: true` and `exec`"),
        };
        let interval = written.interval.unwrap_or(Self::INTERVAL);
        Ok(Self {
            check,
            port: written.port,
            interval,
            timeout: written.timeout.unwrap_or(Self::TIMEOUT.min(interval)),
            start_period: written.start_period.unwrap_or(Self::START_PERIOD),
            success: written.success.unwrap_or(Self::SUCCESS),
            failures: written.failures.unwrap_or(Self::FAILURES),
            replace_after: written.replace_after.unwrap_or(Self::REPLACE_AFTER),
        })
    }
}

impl From<Health> for Written {
    fn from(health: Health) -> Self {
        let unless = |value: Duration, default: Duration| (value != default).then_some(value);
        let mut written = Self {
            port: health.port,
            interval: unless(health.interval, Health::INTERVAL),
            timeout: unless(health.timeout, Health::TIMEOUT),
            start_period: unless(health.start_period, Health::START_PERIOD),
            success: (health.success != Health::SUCCESS).then_some(health.success),
            failures: (health.failures != Health::FAILURES).then_some(health.failures),
            replace_after: (health.replace_after != Health::REPLACE_AFTER)
                .then_some(health.replace_after),
            ..Self::default()
        };
        match health.check {
            Check::Http(path) => written.http = Some(path),
            Check::Tcp => written.tcp = Some(true),
            Check::Exec(command) => written.exec = Some(command),
        }
        written
    }
}
