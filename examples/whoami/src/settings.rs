//! Settings from environment variables and arguments.

use std::path::PathBuf;
use std::time::Duration;

/// All settings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Port to listen on; 0 means any free port.
    pub(crate) port: u16,
    /// Time to wait before listening.
    pub(crate) start_delay: Duration,
    /// Exit code, and the time after which to exit.
    pub(crate) exit: Option<(u8, Duration)>,
    /// Whether to ignore SIGTERM.
    pub(crate) ignore_term: bool,
    /// File in which to count requests.
    pub(crate) count_file: Option<PathBuf>,
    /// Address of another app to call for each request, such as `db:5432`.
    pub(crate) call: Option<String>,
    /// UDP port whose datagrams are answered.
    pub(crate) udp_port: Option<u16>,
    /// Identity of this replica.
    pub(crate) identity: Identity,
}

/// Identity of this replica, from its environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Name chosen by the user.
    pub(crate) name: Option<String>,
    /// Name of the app.
    pub(crate) app: Option<String>,
    /// Name of the replica.
    pub(crate) replica: Option<String>,
    /// Revision of the app.
    pub(crate) revision: Option<String>,
}

impl Settings {
    /// Reads arguments and environment variables. Arguments win.
    pub(crate) fn read(
        mut args: impl Iterator<Item = String>,
        env: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let mut port = env("WHOAMI_PORT").or_else(|| env("PORT"));
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
                _ => return Err(format!("unknown argument `{flag}`; expected --port or --name")),
            }
        }
        let exit = match env("WHOAMI_EXIT") {
            Some(code) => {
                Some((parse_number(&code)?, parse_optional_duration(env("WHOAMI_EXIT_AFTER"))?))
            }
            None => None,
        };
        Ok(Self {
            port: port.map_or(Ok(80), |text| parse_number(&text))?,
            start_delay: parse_optional_duration(env("WHOAMI_START_DELAY"))?,
            exit,
            ignore_term: env("WHOAMI_IGNORE_TERM").is_some_and(|value| value == "1"),
            count_file: env("WHOAMI_COUNT_FILE").map(PathBuf::from),
            call: env("WHOAMI_CALL"),
            udp_port: env("WHOAMI_UDP_PORT").map(|text| parse_number(&text)).transpose()?,
            identity: Identity {
                name,
                app: env("DUBERNETES_APP"),
                replica: env("DUBERNETES_REPLICA"),
                revision: env("DUBERNETES_REVISION"),
            },
        })
    }
}

/// Parses a duration such as `500ms`, `2s` or `1m`. A number without unit means seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit);
    let bad = || format!("`{text}` is not a duration, such as `500ms`, `2s` or `1m`");
    let amount: u32 = digits.parse().map_err(|_| bad())?;
    let one = match unit {
        "ms" => Duration::from_millis(1),
        "s" | "" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err(bad()),
    };
    Ok(one * amount)
}

fn parse_optional_duration(text: Option<String>) -> Result<Duration, String> {
    text.map_or(Ok(Duration::ZERO), |text| parse_duration(&text))
}

fn parse_number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is not a number in range"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Settings, String> {
        let find = |name: &str| env.iter().find(|(k, _)| *k == name).map(|(_, v)| (*v).to_owned());
        Settings::read(args.iter().map(|a| (*a).to_owned()), find)
    }

    #[test]
    fn argument_overrides_variable_and_default_port_is_80() {
        assert_eq!(read(&[], &[]).unwrap().port, 80);
        assert_eq!(read(&[], &[("PORT", "81")]).unwrap().port, 81);
        assert_eq!(read(&[], &[("WHOAMI_PORT", "81"), ("PORT", "82")]).unwrap().port, 81);
        assert_eq!(read(&["--port", "82"], &[("WHOAMI_PORT", "81")]).unwrap().port, 82);
        assert_eq!(read(&["--port=83"], &[]).unwrap().port, 83);
    }

    #[test]
    fn invalid_settings_are_refused() {
        assert!(read(&["--prot", "1"], &[]).is_err());
        assert!(read(&["--port"], &[]).is_err());
        assert!(read(&[], &[("WHOAMI_PORT", "65536")]).is_err());
        assert!(read(&[], &[("WHOAMI_EXIT", "256")]).is_err());
        assert!(read(&[], &[("WHOAMI_START_DELAY", "2 weeks")]).is_err());
    }

    #[test]
    fn duration_without_unit_means_seconds() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_duration("3"), Ok(Duration::from_secs(3)));
        assert_eq!(parse_duration("1m"), Ok(Duration::from_secs(60)));
        assert!(parse_duration("s").is_err());
        assert!(parse_duration("1h").is_err());
    }
}
