//! How one revision takes the place of another: how many replicas at a time, in which order,
//! what counts as success, and what happens on failure.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::escape::quoted;
use super::quantity::Duration;

/// How a rollout goes. A change of it makes no new revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// So many replicas more than wanted may be live on the way; 1 unless given. A percentage of
    /// `replicas` is rounded up. Has no place beside [`Order::StopFirst`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_surge: Option<CountOrPercent>,
    /// So many of the wanted replicas may be missing on the way; 0 unless given. A percentage is
    /// rounded down.
    #[serde(default, skip_serializing_if = "is_no_replica")]
    pub max_unavailable: CountOrPercent,
    /// A new replica counts once it was ready for so long without a break, 2 s unless given.
    #[serde(default = "default_min_ready", skip_serializing_if = "is_default_min_ready")]
    pub min_ready: Duration,
    /// A revision that makes no progress for so long has failed; 2 min unless given.
    #[serde(default = "default_deadline", skip_serializing_if = "is_default_deadline")]
    pub progress_deadline: Duration,
    /// Which of the two comes first. Unless given, the new replica starts first, but for an app
    /// of one replica that writes to a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// What happens when the revision fails.
    #[serde(default, skip_serializing_if = "OnFailure::is_default")]
    pub on_failure: OnFailure,
    /// So many revisions are kept to go back to, 10 unless given; 1 to [`Rollout::MAX_HISTORY`].
    #[serde(default = "default_history", skip_serializing_if = "is_default_history")]
    pub history: u16,
}

impl Rollout {
    /// The largest `history`.
    pub const MAX_HISTORY: u16 = 100;

    /// Whether every field has its default.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            max_surge: None,
            max_unavailable: CountOrPercent::Count(0),
            min_ready: default_min_ready(),
            progress_deadline: default_deadline(),
            order: None,
            on_failure: OnFailure::default(),
            history: default_history(),
        }
    }
}

/// A number of replicas, or a part of all of them. Written `2` or `25%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenShare", into = "WrittenShare")]
pub enum CountOrPercent {
    /// So many, at most [`super::MAX_REPLICAS`].
    Count(u16),
    /// So many of a hundred, at most 100.
    Percent(u8),
}

impl CountOrPercent {
    /// Reads `2` or `25%`.
    ///
    /// # Errors
    ///
    /// What was expected, as a sentence fragment.
    pub fn parse(text: &str) -> Result<Self, String> {
        let whole = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            let short = digits == "0" || !digits.starts_with('0');
            (plain && short).then(|| digits.parse::<u16>().ok()).flatten()
        };
        let read = match text.strip_suffix('%') {
            Some(digits) => {
                let percent = whole(digits).and_then(|n| u8::try_from(n).ok());
                percent.filter(|n| *n <= 100).map(Self::Percent)
            }
            None => whole(text).filter(|n| *n <= super::MAX_REPLICAS).map(Self::Count),
        };
        read.ok_or_else(|| {
            format!(
                "a number from 0 to {} or a percentage from 0% to 100% was expected, such as `1` or `25%`, not {}",
                super::MAX_REPLICAS,
                quoted(text)
            )
        })
    }

    /// Whether it is nothing, however many replicas there are.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::Count(0) | Self::Percent(0))
    }

    /// Of `all`, rounded up.
    pub fn of_rounded_up(self, all: u32) -> u32 {
        match self {
            Self::Count(count) => u32::from(count),
            Self::Percent(percent) => (all * u32::from(percent)).div_ceil(100),
        }
    }

    /// Of `all`, rounded down.
    pub fn of_rounded_down(self, all: u32) -> u32 {
        match self {
            Self::Count(count) => u32::from(count),
            Self::Percent(percent) => all * u32::from(percent) / 100,
        }
    }
}

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

/// A number stays a number, and a percentage is text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenShare {
    Count(u16),
    Text(String),
}

impl TryFrom<WrittenShare> for CountOrPercent {
    type Error = String;

    fn try_from(written: WrittenShare) -> Result<Self, String> {
        match written {
            WrittenShare::Count(count) => Self::parse(&count.to_string()),
            WrittenShare::Text(text) => Self::parse(&text),
        }
    }
}

impl From<CountOrPercent> for WrittenShare {
    fn from(share: CountOrPercent) -> Self {
        match share {
            CountOrPercent::Count(count) => Self::Count(count),
            CountOrPercent::Percent(_) => Self::Text(share.to_string()),
        }
    }
}

/// Which comes first at a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// The new replica is ready before the old one goes.
    StartFirst,
    /// The old replica is gone before the new one starts.
    StopFirst,
}

impl Order {
    /// Both.
    pub const ALL: [Self; 2] = [Self::StartFirst, Self::StopFirst];

    /// `start-first` or `stop-first`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StartFirst => "start-first",
            Self::StopFirst => "stop-first",
        }
    }
}

/// What happens when a revision fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// The app returns to the last revision that was complete. Without one, it goes on trying.
    #[default]
    Rollback,
    /// Everything stays as it is.
    Pause,
}

impl OnFailure {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Rollback, Self::Pause];

    /// `rollback` or `pause`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollback => "rollback",
            Self::Pause => "pause",
        }
    }

    /// Whether this is the default, `rollback`.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A command that has to succeed before a new revision replaces anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreDeploy {
    /// The command and its arguments, run in the new image with the app's environment and
    /// volumes. Never passed through a shell.
    pub command: Vec<String>,
    /// How long it may take, 5 min unless given.
    #[serde(default = "default_pre_deploy_timeout", skip_serializing_if = "is_default_timeout")]
    pub timeout: Duration,
}

impl PreDeploy {
    /// How long it may take unless given.
    pub const TIMEOUT: Duration = Duration::from_secs(300);
}

fn is_no_replica(share: &CountOrPercent) -> bool {
    *share == CountOrPercent::default()
}

fn default_min_ready() -> Duration {
    Duration::from_secs(2)
}

fn is_default_min_ready(value: &Duration) -> bool {
    *value == default_min_ready()
}

fn default_deadline() -> Duration {
    Duration::from_secs(120)
}

fn is_default_deadline(value: &Duration) -> bool {
    *value == default_deadline()
}

fn default_history() -> u16 {
    10
}

fn is_default_history(value: &u16) -> bool {
    *value == default_history()
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
    fn shares_are_numbers_or_percentages_within_their_limits() {
        for (text, of_5) in [("0", (0, 0)), ("2", (2, 2)), ("25%", (2, 1)), ("100%", (5, 5))] {
            let share = CountOrPercent::parse(text).unwrap();
            assert_eq!((share.of_rounded_up(5), share.of_rounded_down(5)), of_5, "{text}");
            let json = serde_json::to_string(&share).unwrap();
            assert_eq!(serde_json::from_str::<CountOrPercent>(&json).unwrap(), share);
        }
        for text in ["", "-1", "1.5", "101%", "150%", "251", "01", "%", "1e3", " 1", "+1"] {
            assert!(CountOrPercent::parse(text).is_err(), "{text}");
        }
    }
}
