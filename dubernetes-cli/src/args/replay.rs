//! Arguments of `replay`.

use clap::{Args, value_parser};
use jiff::{SignedDuration, Timestamp};

/// Arguments of `replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Number of last decisions, oldest first; defaults to 1.
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    pub(crate) last: Option<u16>,
    /// Only decisions up to this time: a time such as `2026-11-26T13:00:00Z`, or an age such as
    /// `5m`.
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    pub(crate) at: Option<Moment>,
}

/// A time, or an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A point in time.
    Time(Timestamp),
    /// A duration before now.
    Ago(SignedDuration),
}

impl Moment {
    fn parse(text: &str) -> Result<Self, String> {
        let ago = text.parse::<SignedDuration>().ok().filter(|span| !span.is_negative());
        let time = || text.parse::<Timestamp>().ok().map(Self::Time);
        ago.map(Self::Ago).or_else(time).ok_or_else(|| {
            "expected a time with its zone, such as `2026-11-26T13:00:00Z`, or an age, such as `5m`"
                .to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moment_is_time_or_age() {
        assert_eq!(Moment::parse("5m"), Ok(Moment::Ago(SignedDuration::from_mins(5))));
        let time = Timestamp::from_second(1_767_225_600).unwrap();
        assert_eq!(Moment::parse("2026-01-01T00:00:00Z"), Ok(Moment::Time(time)));
        assert_eq!(Moment::parse("2026-01-01T01:00:00+01:00"), Ok(Moment::Time(time)));
        assert!(Moment::parse("soon").is_err() && Moment::parse("-5m").is_err());
    }
}
