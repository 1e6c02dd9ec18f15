//! Health checks: how the orchestrator probes a replica, and what the results mean.
//!
//! The orchestrator itself sends the probes, so `http` and `tcp` need no tools in the image.

use serde::{Deserialize, Serialize};

use super::access::HostName;
use super::escape::quote_char;
use super::quantity::Duration;
use super::text::{ParseError, checked_text};

/// A health check and its thresholds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawHealth", into = "RawHealth")]
pub struct Health {
    /// The probe.
    pub check: Check,
    /// The port to probe. Default: the app's port.
    pub port: Option<u16>,
    /// The host that an `http` probe names. Default: the app's first host without a wildcard, or
    /// the app's name.
    pub host: Option<HostName>,
    /// Time between two probes of a ready replica. Default: 5 s. A replica that is not ready is
    /// probed at least once a second.
    pub interval: Duration,
    /// Time limit of one probe, at most [`Health::interval`]. Default: 2 s.
    pub timeout: Duration,
    /// Time that a replica may take to start. Until then failures do not count towards
    /// [`Health::replace_after`], unless the replica was ready before. Default: 1 min.
    pub start_period: Duration,
    /// Number of successes in a row that make a replica ready. Default: 1.
    pub success: u16,
    /// Number of failures in a row that remove a ready replica from the routes. Default: 2.
    pub failures: u16,
    /// Number of failures in a row, counted once per interval, after which the replica is
    /// replaced. Default: 6.
    pub replace_after: u16,
}

impl Health {
    /// The largest `success`, `failures` and `replace_after`.
    pub const MAX_COUNT: u16 = 1000;
    /// The default `interval`.
    pub const INTERVAL: Duration = Duration::from_secs(5);
    /// The default `timeout`, unless the interval is shorter.
    pub const TIMEOUT: Duration = Duration::from_secs(2);
    /// The default `start_period`.
    pub const START_PERIOD: Duration = Duration::from_secs(60);
    /// The default `success`.
    pub const SUCCESS: u16 = 1;
    /// The default `failures`.
    pub const FAILURES: u16 = 2;
    /// The default `replace_after`.
    pub const REPLACE_AFTER: u16 = 6;

    /// Returns `check` with the default thresholds.
    pub fn new(check: Check) -> Self {
        Self {
            check,
            port: None,
            host: None,
            interval: Self::INTERVAL,
            timeout: Self::TIMEOUT,
            start_period: Self::START_PERIOD,
            success: Self::SUCCESS,
            failures: Self::FAILURES,
            replace_after: Self::REPLACE_AFTER,
        }
    }
}

/// How a replica is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// Sends a GET request for this path; a status from 200 to 399 is a success.
    Http(UrlPath),
    /// Opens a connection; success if it opens.
    Tcp,
    /// Runs this command in the container; exit code 0 is a success.
    Exec(Vec<String>),
}

checked_text!(
    /// The path of a request, with an optional query: `/`, then visible ASCII characters except
    /// `#`; at most 1,024 characters.
    UrlPath,
    check_url_path
);

fn check_url_path(text: &str) -> Result<String, ParseError> {
    if !text.starts_with('/') {
        return Err("a path must start with `/`".into());
    }
    if text.len() > 1024 {
        return Err("a path may have at most 1024 characters".into());
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || *c == '#') {
        return Err(format!(
            "a path may only contain visible ASCII characters except `#`, not {}",
            quote_char(bad)
        )
        .into());
    }
    Ok(text.to_owned())
}

/// The shape of the manifest: one of three keys selects the probe.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHealth {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<UrlPath>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tcp: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exec: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host: Option<HostName>,
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

impl TryFrom<RawHealth> for Health {
    type Error = ParseError;

    fn try_from(raw: RawHealth) -> Result<Self, ParseError> {
        let check = match (raw.http, raw.tcp, raw.exec) {
            (Some(path), None, None) => Check::Http(path),
            (None, Some(true), None) => Check::Tcp,
            (None, None, Some(command)) => Check::Exec(command),
            _ => return Err("`health` must have exactly one of `http`, `tcp: true`, `exec`".into()),
        };
        let interval = raw.interval.unwrap_or(Self::INTERVAL);
        Ok(Self {
            check,
            port: raw.port,
            host: raw.host,
            interval,
            timeout: raw.timeout.unwrap_or(Self::TIMEOUT.min(interval)),
            start_period: raw.start_period.unwrap_or(Self::START_PERIOD),
            success: raw.success.unwrap_or(Self::SUCCESS),
            failures: raw.failures.unwrap_or(Self::FAILURES),
            replace_after: raw.replace_after.unwrap_or(Self::REPLACE_AFTER),
        })
    }
}

impl From<Health> for RawHealth {
    fn from(health: Health) -> Self {
        let mut raw = Self {
            port: health.port,
            host: health.host,
            interval: (health.interval != Health::INTERVAL).then_some(health.interval),
            timeout: (health.timeout != Health::TIMEOUT).then_some(health.timeout),
            start_period: (health.start_period != Health::START_PERIOD)
                .then_some(health.start_period),
            success: (health.success != Health::SUCCESS).then_some(health.success),
            failures: (health.failures != Health::FAILURES).then_some(health.failures),
            replace_after: (health.replace_after != Health::REPLACE_AFTER)
                .then_some(health.replace_after),
            ..Self::default()
        };
        match health.check {
            Check::Http(path) => raw.http = Some(path),
            Check::Tcp => raw.tcp = Some(true),
            Check::Exec(command) => raw.exec = Some(command),
        }
        raw
    }
}
