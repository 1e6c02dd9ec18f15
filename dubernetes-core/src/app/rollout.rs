//! How one revision replaces another: how many replicas at a time, in which order, what counts as
//! success, and what happens on failure.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::escape::quote;
use super::is_default;
use super::quantity::{Duration, parse_whole};
use super::text::{ParseError, parse_traits, word_enum};

/// The rollout settings of an app. Changing them does not make a new revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rollout {
    /// Number of live replicas above `replicas` during a rollout, without terminating ones; a
    /// percentage is rounded up. Default: 25 %, at least 1. Cannot be combined with
    /// [`Order::StopFirst`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<CountOrPercent>,
    /// Number of replicas that may still drain or stop while their successors start, in addition
    /// to `max_surge`; a percentage is rounded up. Default: as `max_surge`. Cannot be combined with
    /// [`Order::StopFirst`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_terminating: Option<CountOrPercent>,
    /// Number of replicas that may be missing during a rollout; a percentage is rounded down.
    /// Default: 0.
    #[serde(skip_serializing_if = "is_default")]
    pub max_unavailable: CountOrPercent,
    /// Time that a new replica must stay ready to count as available. Default: 2 s.
    #[serde(skip_serializing_if = "Rollout::is_default_min_ready")]
    pub min_ready: Duration,
    /// Time without progress after which a revision has failed. Default: 2 min.
    #[serde(skip_serializing_if = "Rollout::is_default_deadline")]
    pub progress_deadline: Duration,
    /// The order of starting and stopping. Default: start first, except for an app of one replica
    /// that writes to a volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// The reaction to a failed revision. Default: roll back.
    #[serde(skip_serializing_if = "is_default")]
    pub on_failure: OnFailure,
    /// Number of revisions that are kept, 1 to [`Rollout::MAX_HISTORY`]. Default: 10.
    #[serde(skip_serializing_if = "Rollout::is_default_history")]
    pub history: u16,
}

impl Rollout {
    /// The largest `history`.
    pub const MAX_HISTORY: u16 = 100;
    /// The default `history`.
    pub const HISTORY: u16 = 10;
    /// The default `min_ready`.
    pub const MIN_READY: Duration = Duration::from_secs(2);
    /// The default `progress_deadline`.
    pub const DEADLINE: Duration = Duration::from_secs(120);

    fn is_default_min_ready(value: &Duration) -> bool {
        *value == Self::MIN_READY
    }

    fn is_default_deadline(value: &Duration) -> bool {
        *value == Self::DEADLINE
    }

    fn is_default_history(value: &u16) -> bool {
        *value == Self::HISTORY
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            max_surge: None,
            max_terminating: None,
            max_unavailable: CountOrPercent::default(),
            min_ready: Self::MIN_READY,
            progress_deadline: Self::DEADLINE,
            order: None,
            on_failure: OnFailure::default(),
            history: Self::HISTORY,
        }
    }
}

/// A number of replicas, or a percentage of all of them. Written `2` or `25%`.
///
/// # Examples
///
/// ```
/// use dubernetes_core::app::CountOrPercent;
///
/// let surge = CountOrPercent::parse("25%")?;
/// assert_eq!(surge.resolve_ceil(5), 2);
/// assert_eq!(surge.resolve_floor(5), 1);
/// assert_eq!(CountOrPercent::parse("2")?.resolve_floor(5), 2);
/// # Ok::<(), dubernetes_core::app::ParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawCountOrPercent", into = "RawCountOrPercent")]
pub enum CountOrPercent {
    /// A number of replicas, at most [`super::MAX_REPLICAS`].
    Count(u16),
    /// A percentage of all replicas, at most 100.
    Percent(u8),
}

impl CountOrPercent {
    /// Parses `2` or `25%`.
    ///
    /// # Errors
    ///
    /// Returns the expected form.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let parsed = match text.strip_suffix('%') {
            Some(digits) => {
                let percent = parse_whole(digits).and_then(|n| u8::try_from(n).ok());
                percent.filter(|n| *n <= 100).map(Self::Percent)
            }
            None => {
                let count = parse_whole(text).and_then(|n| u16::try_from(n).ok());
                count.filter(|n| *n <= super::MAX_REPLICAS).map(Self::Count)
            }
        };
        parsed.ok_or_else(|| {
            format!(
                "expected a number from 0 to {} or a percentage from 0% to 100%, such as `1` or \
                 `25%`, not {}",
                super::MAX_REPLICAS,
                quote(text)
            )
            .into()
        })
    }

    /// Returns whether this is zero for any number of replicas.
    pub fn is_zero(&self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(0))
    }

    /// Returns the number of replicas out of `total`, with a percentage rounded up.
    pub fn resolve_ceil(self, total: u32) -> u32 {
        match self {
            Self::Count(count) => u32::from(count),
            Self::Percent(percent) => (total * u32::from(percent)).div_ceil(100),
        }
    }

    /// Returns the number of replicas out of `total`, with a percentage rounded down.
    pub fn resolve_floor(self, total: u32) -> u32 {
        match self {
            Self::Count(count) => u32::from(count),
            Self::Percent(percent) => total * u32::from(percent) / 100,
        }
    }
}

parse_traits!(CountOrPercent);

impl Default for CountOrPercent {
    fn default() -> Self {
        Self::Count(0)
    }
}

impl fmt::Display for CountOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// The serialized form: a count is a number, a percentage is text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum RawCountOrPercent {
    Count(u16),
    Text(String),
}

impl TryFrom<RawCountOrPercent> for CountOrPercent {
    type Error = ParseError;

    fn try_from(raw: RawCountOrPercent) -> Result<Self, ParseError> {
        match raw {
            RawCountOrPercent::Count(count) => Self::parse(&count.to_string()),
            RawCountOrPercent::Text(text) => Self::parse(&text),
        }
    }
}

impl From<CountOrPercent> for RawCountOrPercent {
    fn from(value: CountOrPercent) -> Self {
        match value {
            CountOrPercent::Count(count) => Self::Count(count),
            CountOrPercent::Percent(_) => Self::Text(value.to_string()),
        }
    }
}

word_enum!(
    /// The order of starting a new replica and stopping the old one.
    Order of "rollout.order" {
        /// The new replica is ready before the old one is stopped.
        StartFirst = "start-first",
        /// The old replica is removed before the new one is started.
        StopFirst = "stop-first",
    }
);

word_enum!(
    /// The reaction to a failed revision.
    #[derive(Default)]
    OnFailure of "rollout.on_failure" {
        /// The app rolls back to the last complete revision. Without one, the rollout continues.
        #[default]
        Rollback = "rollback",
        /// The rollout is paused as it is.
        Pause = "pause",
    }
);

/// A pre-deploy hook: a command that must succeed before a new revision replaces anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreDeploy {
    /// The command and its arguments, run without a shell in the new image, with the app's
    /// environment and volumes.
    pub command: Vec<String>,
    /// Time limit of the command. Default: 5 min.
    #[serde(default = "default_pre_deploy_timeout", skip_serializing_if = "is_default_timeout")]
    pub timeout: Duration,
}

impl PreDeploy {
    /// The default `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(300);
}

fn default_pre_deploy_timeout() -> Duration {
    PreDeploy::TIMEOUT
}

fn is_default_timeout(value: &Duration) -> bool {
    *value == PreDeploy::TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_or_percent_parses_within_its_limits() {
        for (text, of_5) in [("0", (0, 0)), ("2", (2, 2)), ("25%", (2, 1)), ("100%", (5, 5))] {
            let value = CountOrPercent::parse(text).unwrap();
            assert_eq!((value.resolve_ceil(5), value.resolve_floor(5)), of_5, "{text}");
            let json = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<CountOrPercent>(&json).unwrap(), value);
        }
        for text in ["", "-1", "1.5", "101%", "150%", "251", "01", "%", "1e3", " 1", "+1"] {
            assert!(CountOrPercent::parse(text).is_err(), "{text}");
        }
    }
}
