//! Arguments of `simulate`, and the small notation for what happens when.

use std::path::PathBuf;

use clap::Args;
use dubernetes_core::app::{AppName, Duration, MAX_REPLICAS, PodName};

use super::shared::{FileArgs, FormatArgs};

/// Arguments of `simulate`.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    /// Kill a pod's process with SIGKILL.
    #[arg(long, value_name = "POD@TIME", value_parser = Scheduled::parse_pod)]
    pub(crate) kill: Vec<Scheduled<PodName>>,
    /// End a pod's process with an exit code.
    #[arg(long, value_name = "POD@TIME=CODE", value_parser = parse_exit)]
    pub(crate) exit: Vec<Scheduled<(PodName, u8)>>,
    /// Make a pod refuse connections for some time.
    #[arg(long, value_name = "POD@TIME+TIME", value_parser = parse_unready)]
    pub(crate) unready: Vec<Scheduled<(PodName, Duration)>>,
    /// Make every process of an app exit shortly after its start, with code 1 or CODE.
    #[arg(long, value_name = "APP[=CODE]", value_parser = parse_crash_loop)]
    pub(crate) crash_loop: Vec<(AppName, u8)>,
    /// Make the engine refuse to start containers of an app.
    #[arg(long, value_name = "APP")]
    pub(crate) start_fails: Vec<AppName>,
    /// Time from a pod's start until it accepts connections.
    #[arg(long, value_name = "TIME", default_value = "500ms")]
    pub(crate) slow_start: Duration,
    /// From this time on, make images unavailable that no app has run yet.
    #[arg(long, value_name = "TIME")]
    pub(crate) bad_image: Option<Duration>,
    /// Make the engine unreachable for some time.
    #[arg(long, value_name = "TIME+TIME", value_parser = parse_engine_away)]
    pub(crate) engine_away: Vec<Scheduled<Duration>>,
    /// Take the stream module out of the ingress, so that replicas publish their ports themselves.
    #[arg(long)]
    pub(crate) no_stream_module: bool,
    /// Apply another file.
    #[arg(long, value_name = "FILE@TIME", value_parser = Scheduled::parse_file)]
    pub(crate) apply: Vec<Scheduled<PathBuf>>,
    /// Scale an app.
    #[arg(long, value_name = "APP=N@TIME", value_parser = parse_scale)]
    pub(crate) scale: Vec<Scheduled<(AppName, u16)>>,
    /// Delete an app.
    #[arg(long, value_name = "APP@TIME", value_parser = Scheduled::parse_app)]
    pub(crate) delete: Vec<Scheduled<AppName>>,
    /// Length of the simulation; defaults to until converged, at most 10 minutes.
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) time: Option<Duration>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Something that happens at a given time of the simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scheduled<T> {
    /// Time since the start.
    pub(crate) time: Duration,
    /// What it happens to.
    pub(crate) what: T,
}

impl<T> Scheduled<T> {
    fn new(what: T, time: &str) -> Result<Self, String> {
        Ok(Self { time: Duration::parse(time)?, what })
    }
}

impl Scheduled<PodName> {
    fn parse_pod(text: &str) -> Result<Self, String> {
        let (pod, time) = split_time(text, "POD@TIME, such as `web-2@3s`")?;
        Self::new(PodName::parse(pod)?, time)
    }
}

impl Scheduled<PathBuf> {
    fn parse_file(text: &str) -> Result<Self, String> {
        let (file, time) = split_time(text, "FILE@TIME, such as `web2.yaml@10s`")?;
        Self::new(PathBuf::from(file), time)
    }
}

impl Scheduled<AppName> {
    fn parse_app(text: &str) -> Result<Self, String> {
        let (app, time) = split_time(text, "APP@TIME, such as `web@10s`")?;
        Self::new(AppName::parse(app)?, time)
    }
}

fn parse_exit(text: &str) -> Result<Scheduled<(PodName, u8)>, String> {
    let form = "POD@TIME=CODE, such as `web-2@3s=1`";
    let (rest, code) = text.rsplit_once('=').ok_or_else(|| expected(form))?;
    let (pod, time) = split_time(rest, form)?;
    Scheduled::new((PodName::parse(pod)?, parse_exit_code(code)?), time)
}

fn parse_unready(text: &str) -> Result<Scheduled<(PodName, Duration)>, String> {
    let form = "POD@TIME+TIME, such as `web-2@3s+20s`";
    let (rest, span) = text.rsplit_once('+').ok_or_else(|| expected(form))?;
    let (pod, time) = split_time(rest, form)?;
    Scheduled::new((PodName::parse(pod)?, Duration::parse(span)?), time)
}

fn parse_engine_away(text: &str) -> Result<Scheduled<Duration>, String> {
    let form = "TIME+TIME, such as `10s+30s`";
    let (time, span) = text.split_once('+').ok_or_else(|| expected(form))?;
    Scheduled::new(Duration::parse(span)?, time)
}

fn parse_scale(text: &str) -> Result<Scheduled<(AppName, u16)>, String> {
    let form = "APP=N@TIME, such as `web=5@10s`";
    let (rest, time) = split_time(text, form)?;
    let (app, replicas) = rest.split_once('=').ok_or_else(|| expected(form))?;
    let count = replicas.parse().ok().filter(|count| *count <= MAX_REPLICAS);
    let count = count.ok_or_else(|| {
        format!("expected a number of replicas from 0 to {MAX_REPLICAS}, not `{replicas}`")
    })?;
    Scheduled::new((AppName::parse(app)?, count), time)
}

fn parse_crash_loop(text: &str) -> Result<(AppName, u8), String> {
    match text.split_once('=') {
        Some((app, code)) => Ok((AppName::parse(app)?, parse_exit_code(code)?)),
        None => Ok((AppName::parse(text)?, 1)),
    }
}

/// Splits at the last `@`: a file's name may hold one, too.
fn split_time<'a>(text: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    text.rsplit_once('@').ok_or_else(|| expected(form))
}

fn expected(form: &str) -> String {
    format!("expected {form}")
}

fn parse_exit_code(text: &str) -> Result<u8, String> {
    text.parse().map_err(|_| format!("expected an exit code from 0 to 255, not `{text}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn at<T>(time: u64, what: T) -> Result<Scheduled<T>, String> {
        Ok(Scheduled { time: seconds(time), what })
    }

    #[test]
    fn each_notation_is_parsed() {
        let web = || AppName::parse("web").unwrap();
        let pod = |name| PodName::parse(name).unwrap();
        assert_eq!(Scheduled::parse_pod("a-b-2@3s"), at(3, pod("a-b-2")));
        assert_eq!(parse_exit("web-1@3s=7"), at(3, (pod("web-1"), 7)));
        assert_eq!(parse_unready("web-1@3s+9s"), at(3, (pod("web-1"), seconds(9))));
        assert_eq!(parse_engine_away("3s+9s"), at(3, seconds(9)));
        assert_eq!(Scheduled::parse_file("a@b.yaml@1m"), at(60, "a@b.yaml".into()));
        assert_eq!(parse_scale("web=0@1s"), at(1, (web(), 0)));
        assert_eq!(parse_crash_loop("web"), Ok((web(), 1)));
        assert_eq!(parse_crash_loop("web=9"), Ok((web(), 9)));
    }

    #[test]
    fn malformed_text_is_refused_with_example() {
        assert!(Scheduled::parse_pod("web-2").unwrap_err().contains("web-2@3s"));
        assert!(Scheduled::parse_pod("web@3s").unwrap_err().contains("expected a pod"));
        assert!(parse_exit("web-1@3s").is_err() && parse_exit("web-1@3s=256").is_err());
        assert!(parse_scale("web=1000@1s").is_err() && parse_scale("web@1s").is_err());
        assert!(parse_unready("web-1@3s").is_err() && parse_engine_away("3s").is_err());
        assert!(parse_crash_loop("web=x").is_err());
    }
}
