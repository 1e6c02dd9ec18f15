//! What the environment and the arguments ask for.

use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where to listen; 0 means any free port.
    pub(crate) port: u16,
    /// How long to wait before listening.
    pub(crate) start_delay: Duration,
    /// End with this code after this time.
    pub(crate) exit: Option<(u8, Duration)>,
    /// Whether SIGTERM is ignored.
    pub(crate) ignore_term: bool,
    /// Where requests are counted, if they are.
    pub(crate) count_file: Option<PathBuf>,
    /// What is said of this replica.
    pub(crate) identity: Identity,
}

/// The lines about this replica that come from its environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// A name of the user's choice.
    pub(crate) name: Option<String>,
    /// The app that this is a replica of.
    pub(crate) app: Option<String>,
    /// Which replica this is.
    pub(crate) replica: Option<String>,
    /// The app's revision.
    pub(crate) revision: Option<String>,
}

impl Settings {
    /// Reads the arguments, and what they do not say from the environment.
    pub(crate) fn read(
        mut args: impl Iterator<Item = String>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let mut port = env("WHOAMI_PORT");
        let mut name = env("WHOAMI_NAME");
        while let Some(arg) = args.next() {
            let (flag, value) = match arg.split_once('=') {
                Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
                None => (arg, args.next()),
            };
            let value = value.ok_or_else(|| format!("`{flag}` needs a value"))?;
            match flag.as_str() {
                "--port" | "-port" => port = Some(value),
                "--name" | "-name" => name = Some(value),
                _ => return Err(format!("unknown argument `{flag}`; there are --port and --name")),
            }
        }
        let exit = match env("WHOAMI_EXIT") {
            Some(code) => Some((number(&code)?, optional_duration(env("WHOAMI_EXIT_AFTER"))?)),
            None => None,
        };
        Ok(Self {
            port: port.map_or(Ok(80), |text| number(&text))?,
            start_delay: optional_duration(env("WHOAMI_START_DELAY"))?,
            exit,
            ignore_term: env("WHOAMI_IGNORE_TERM").is_some_and(|value| value == "1"),
            count_file: env("WHOAMI_COUNT_FILE").map(PathBuf::from),
            identity: Identity {
                name,
                app: env("DUBERNETES_APP"),
                replica: env("DUBERNETES_REPLICA"),
                revision: env("DUBERNETES_REVISION"),
            },
        })
    }
}

/// A duration such as `500ms`, `2s` or `1m`; a bare number means seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit);
    let bad = || format!("`{text}` is no duration such as `500ms`, `2s` or `1m`");
    let amount: u32 = digits.parse().map_err(|_| bad())?;
    let one = match unit {
        "ms" => Duration::from_millis(1),
        "s" | "" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err(bad()),
    };
    Ok(one * amount)
}

fn optional_duration(text: Option<String>) -> Result<Duration, String> {
    text.map_or(Ok(Duration::ZERO), |text| duration(&text))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number of the legal range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Settings, String> {
        let find = |name: &str| env.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned());
        Settings::read(args.iter().map(|a| (*a).to_owned()), find)
    }

    #[test]
    fn port_80_unless_the_environment_or_an_argument_says_otherwise() {
        assert_eq!(read(&[], &[]).unwrap().port, 80);
        assert_eq!(read(&[], &[("WHOAMI_PORT", "81")]).unwrap().port, 81);
        assert_eq!(read(&["--port", "82"], &[("WHOAMI_PORT", "81")]).unwrap().port, 82);
        assert_eq!(read(&["--port=83"], &[]).unwrap().port, 83);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(read(&["--prot", "1"], &[]).is_err());
        assert!(read(&["--port"], &[]).is_err());
        assert!(read(&[], &[("WHOAMI_PORT", "65536")]).is_err());
        assert!(read(&[], &[("WHOAMI_EXIT", "256")]).is_err());
        assert!(read(&[], &[("WHOAMI_START_DELAY", "2 weeks")]).is_err());
    }

    #[test]
    fn durations_have_a_unit_or_mean_seconds() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(duration("3"), Ok(Duration::from_secs(3)));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        assert!(duration("s").is_err());
        assert!(duration("1h").is_err());
    }
}
