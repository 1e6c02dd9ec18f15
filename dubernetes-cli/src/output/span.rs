//! Durations of commands as text.

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
    fn span_has_tenths_below_a_minute() {
        assert_eq!(span(Duration::from_millis(5_580)), "5.5s");
        assert_eq!(span(Duration::from_secs(130)), "2m10s");
        assert_eq!(seconds(Duration::from_millis(90)), "  0.0s");
        assert_eq!(seconds(Duration::from_secs(75)), " 75.0s");
    }
}
