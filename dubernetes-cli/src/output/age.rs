//! Durations as text: ages such as `12s`, `14m`, `5h`, `2d`, and times of commands.

use jiff::Timestamp;

/// Returns the age of `then` in one unit. A time in the future is `0s`: clocks differ.
pub(crate) fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Returns a duration, with tenths of a second below a minute: `5.5s`, `2m10s`.
pub(crate) fn span(span: std::time::Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}.{}s", span.subsec_millis() / 100),
        _ => format!("{}m{:02}s", seconds / 60, seconds % 60),
    }
}

/// Returns seconds since the start of a command, padded to six characters.
pub(crate) fn seconds(since: std::time::Duration) -> String {
    format!("{:>6}", format!("{}.{}s", since.as_secs(), since.subsec_millis() / 100))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn age_has_one_unit() {
        let at = |second| Timestamp::from_second(second).unwrap();
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (3599, "59m"),
            (3600, "1h"),
            (172_799, "47h"),
            (172_800, "2d"),
            (864_000, "10d"),
        ] {
            assert_eq!(age(at(1_000_000), at(1_000_000 + seconds)), text);
        }
    }

    #[test]
    fn span_has_tenths_below_a_minute() {
        assert_eq!(span(Duration::from_millis(5_580)), "5.5s");
        assert_eq!(span(Duration::from_secs(130)), "2m10s");
        assert_eq!(seconds(Duration::from_millis(90)), "  0.0s");
        assert_eq!(seconds(Duration::from_secs(75)), " 75.0s");
    }
}
