//! Commands that show how it decides: on fakes, or again.

use std::path::PathBuf;

use clap::Args;
use clap_complete::ArgValueCompleter;
use dubernetes_core::app::{AppName, Duration, MAX_REPLICAS};
use jiff::{SignedDuration, Timestamp};

use super::{FileArgs, FormatArgs};
use crate::complete;

/// `help`.
#[derive(Debug, Args)]
pub(crate) struct HelpArgs {
    /// The command, such as `apply` or `rollout undo`; none for all of them.
    #[arg(value_name = "COMMAND", add = ArgValueCompleter::new(complete::commands))]
    pub(crate) command: Vec<String>,
}

/// `simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    /// End a pod's process as SIGKILL does.
    #[arg(long, value_name = "POD@TIME", value_parser = At::pod)]
    pub(crate) kill: Vec<At<String>>,
    /// End a pod's process with an exit code.
    #[arg(long, value_name = "POD@TIME=CODE", value_parser = exit)]
    pub(crate) exit: Vec<At<(String, u8)>>,
    /// Have a pod take no connections for some time.
    #[arg(long, value_name = "POD@TIME+TIME", value_parser = unready)]
    pub(crate) unready: Vec<At<(String, Duration)>>,
    /// Have every process of an app end with an exit code (1) a moment after its start.
    #[arg(long, value_name = "APP[=CODE]", value_parser = crash_loop)]
    pub(crate) crash_loop: Vec<(AppName, u8)>,
    /// Have the engine refuse every start of an app.
    #[arg(long, value_name = "APP", value_parser = AppName::parse)]
    pub(crate) start_fails: Vec<AppName>,
    /// How long after its start a pod takes connections.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = Duration::parse)]
    pub(crate) slow_start: Duration,
    /// From then on no image can be had that no app has run yet.
    #[arg(long, value_name = "TIME", value_parser = Duration::parse)]
    pub(crate) bad_image: Option<Duration>,
    /// Have the engine not answer for some time.
    #[arg(long, value_name = "TIME+TIME", value_parser = engine_away)]
    pub(crate) engine_away: Vec<At<Duration>>,
    /// Apply another file then.
    #[arg(long, value_name = "FILE@TIME", value_parser = At::file)]
    pub(crate) apply: Vec<At<PathBuf>>,
    /// Change an app's number of replicas then.
    #[arg(long, value_name = "APP=N@TIME", value_parser = scale)]
    pub(crate) scale: Vec<At<(AppName, u16)>>,
    /// Delete an app then.
    #[arg(long, value_name = "APP@TIME", value_parser = At::app)]
    pub(crate) delete: Vec<At<AppName>>,
    /// How long to go on; else until nothing is left to do, at most 10 minutes.
    #[arg(long = "for", value_name = "TIME", value_parser = Duration::parse)]
    pub(crate) time: Option<Duration>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Something that happens at some time of a simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At<T> {
    /// So long after its beginning.
    pub(crate) time: Duration,
    /// To what.
    pub(crate) what: T,
}

impl<T> At<T> {
    fn new(what: T, time: &str) -> Result<Self, String> {
        Ok(Self { time: Duration::parse(time)?, what })
    }
}

impl At<String> {
    fn pod(text: &str) -> Result<Self, String> {
        let (pod, time) = split(text, "POD@TIME, such as `web-2@3s`,")?;
        Self::new(pod_name(pod)?, time)
    }
}

impl At<PathBuf> {
    fn file(text: &str) -> Result<Self, String> {
        let (file, time) = split(text, "FILE@TIME, such as `web2.yaml@10s`,")?;
        Self::new(PathBuf::from(file), time)
    }
}

impl At<AppName> {
    fn app(text: &str) -> Result<Self, String> {
        let (app, time) = split(text, "APP@TIME, such as `web@10s`,")?;
        Self::new(AppName::parse(app)?, time)
    }
}

/// `replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// How many of the last decisions, the oldest first; 1 unless given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) last: Option<u16>,
    /// As of this time, such as `2026-11-26T13:00:00Z`, or so long ago, such as `5m`.
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    pub(crate) at: Option<Moment>,
}

/// A time, or a time span before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Then.
    Time(Timestamp),
    /// So long ago.
    Ago(SignedDuration),
}

impl Moment {
    fn parse(text: &str) -> Result<Self, String> {
        let ago = text.parse::<SignedDuration>().ok().filter(|span| !span.is_negative());
        let time = || text.parse::<Timestamp>().ok().map(Self::Time);
        ago.map(Self::Ago).or_else(time).ok_or_else(|| {
            wanted("a time with its zone, such as `2026-11-26T13:00:00Z`, or a span, such as `5m`,")
        })
    }
}

fn exit(text: &str) -> Result<At<(String, u8)>, String> {
    let form = "POD@TIME=CODE, such as `web-2@3s=1`,";
    let (rest, code) = text.rsplit_once('=').ok_or_else(|| wanted(form))?;
    let (pod, time) = split(rest, form)?;
    At::new((pod_name(pod)?, exit_code(code)?), time)
}

fn unready(text: &str) -> Result<At<(String, Duration)>, String> {
    let form = "POD@TIME+TIME, such as `web-2@3s+20s`,";
    let (rest, span) = text.rsplit_once('+').ok_or_else(|| wanted(form))?;
    let (pod, time) = split(rest, form)?;
    At::new((pod_name(pod)?, Duration::parse(span)?), time)
}

fn engine_away(text: &str) -> Result<At<Duration>, String> {
    let (time, span) =
        text.split_once('+').ok_or_else(|| wanted("TIME+TIME, such as `10s+30s`,"))?;
    At::new(Duration::parse(span)?, time)
}

fn scale(text: &str) -> Result<At<(AppName, u16)>, String> {
    let form = "APP=N@TIME, such as `web=5@10s`,";
    let (rest, time) = split(text, form)?;
    let (app, replicas) = rest.split_once('=').ok_or_else(|| wanted(form))?;
    let count = replicas.parse().ok().filter(|count| *count <= MAX_REPLICAS);
    let count =
        count.ok_or_else(|| format!("`{replicas}` is no number from 0 to {MAX_REPLICAS}"))?;
    At::new((AppName::parse(app)?, count), time)
}

fn crash_loop(text: &str) -> Result<(AppName, u8), String> {
    match text.split_once('=') {
        Some((app, code)) => Ok((AppName::parse(app)?, exit_code(code)?)),
        None => Ok((AppName::parse(text)?, 1)),
    }
}

fn split<'a>(text: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    text.rsplit_once('@').ok_or_else(|| wanted(form))
}

fn wanted(form: &str) -> String {
    format!("{form} was expected")
}

fn pod_name(text: &str) -> Result<String, String> {
    let parts = text.rsplit_once('-');
    let legal = parts.is_some_and(|(app, ordinal)| {
        AppName::parse(app).is_ok() && ordinal.parse::<u32>().is_ok_and(|ordinal| ordinal > 0)
    });
    if legal { Ok(text.to_owned()) } else { Err(format!("`{text}` is no pod such as `web-2`")) }
}

fn exit_code(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| format!("`{text}` is no exit code from 0 to 255"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_happens_when_is_read_from_the_right() {
        let web = || AppName::parse("web").unwrap();
        assert_eq!(At::pod("a-b-2@3s"), Ok(At { time: seconds(3), what: "a-b-2".into() }));
        assert_eq!(exit("web-1@3s=7"), Ok(At { time: seconds(3), what: ("web-1".into(), 7) }));
        assert_eq!(
            unready("web-1@3s+9s"),
            Ok(At { time: seconds(3), what: ("web-1".into(), seconds(9)) })
        );
        assert_eq!(engine_away("3s+9s"), Ok(At { time: seconds(3), what: seconds(9) }));
        assert_eq!(At::file("a@b.yaml@1m"), Ok(At { time: seconds(60), what: "a@b.yaml".into() }));
        assert_eq!(scale("web=0@1s"), Ok(At { time: seconds(1), what: (web(), 0) }));
        assert_eq!(crash_loop("web"), Ok((web(), 1)));
        assert_eq!(crash_loop("web=9"), Ok((web(), 9)));
    }

    #[test]
    fn a_moment_is_a_time_or_a_span() {
        assert_eq!(Moment::parse("5m"), Ok(Moment::Ago(SignedDuration::from_mins(5))));
        let time = Timestamp::from_second(1_767_225_600).unwrap();
        assert_eq!(Moment::parse("2026-01-01T00:00:00Z"), Ok(Moment::Time(time)));
        assert_eq!(Moment::parse("2026-01-01T01:00:00+01:00"), Ok(Moment::Time(time)));
        assert!(Moment::parse("soon").is_err() && Moment::parse("-5m").is_err());
    }

    #[test]
    fn what_is_malformed_is_refused_with_an_example() {
        assert!(At::pod("web-2").unwrap_err().contains("web-2@3s"));
        assert!(At::pod("web@3s").unwrap_err().contains("no pod"));
        assert!(exit("web-1@3s").is_err() && exit("web-1@3s=256").is_err());
        assert!(scale("web=1000@1s").is_err() && scale("web@1s").is_err());
        assert!(unready("web-1@3s").is_err() && engine_away("3s").is_err());
        assert!(crash_loop("web=x").is_err());
    }
}
