//! Commands that run the orchestrator or end what it owns, and its settings.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use dubernetes_core::app::{Duration, ImageRef};

use super::{FileArgs, ProgressStyle};
use crate::settings_file::SettingsFile;

/// Where the engine and the ingress are. Commands that work without an orchestrator read these
/// from the environment and the settings file.
#[derive(Debug, Clone, Args)]
pub(crate) struct IngressArgs {
    /// The port of this machine on which the ingress takes requests.
    #[arg(long, env = "DUBERNETES_HTTP_PORT", hide_env_values = true, value_name = "PORT", default_value_t = 80,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) http_port: u16,
    /// The address of this machine on which it does; `0.0.0.0` for all of them.
    #[arg(
        long,
        env = "DUBERNETES_HTTP_BIND",
        hide_env_values = true,
        value_name = "ADDRESS",
        default_value = "127.0.0.1"
    )]
    pub(crate) http_bind: IpAddr,
    /// The image of the ingress: nginx 1.27.4 or later.
    #[arg(long, env = "DUBERNETES_INGRESS_IMAGE", hide_env_values = true, value_name = "IMAGE",
          default_value = "nginx:stable-alpine", value_parser = ImageRef::parse)]
    pub(crate) ingress_image: ImageRef,
    /// The container engine; else what DOCKER_HOST says, else the engine's usual socket.
    #[arg(long, env = "DUBERNETES_ENGINE", hide_env_values = true, value_name = "URL")]
    pub(crate) engine: Option<String>,
    /// How many of the newest events are kept.
    #[arg(long, env = "DUBERNETES_EVENTS_KEEP", hide_env_values = true, value_name = "COUNT", default_value_t = 100_000,
          value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) events_keep: u64,
    /// How long events are kept, such as `12h` or `30d`.
    #[arg(
        long,
        env = "DUBERNETES_EVENTS_AGE",
        hide_env_values = true,
        value_name = "TIME",
        default_value = "30d",
        value_parser = long_time
    )]
    pub(crate) events_age: Duration,
}

/// Hours and days as well, which the times of an app's file do not need.
///
/// # Errors
///
/// What was expected.
pub(crate) fn long_time(text: &str) -> Result<Duration, String> {
    let whole = |unit: char, seconds: u64| {
        let number = text.strip_suffix(unit)?.parse::<u32>().ok()?;
        Some(Duration::from_secs(u64::from(number) * seconds))
    };
    let parsed = whole('h', 3600).or_else(|| whole('d', 24 * 3600));
    match parsed.map_or_else(|| Duration::parse(text), Ok) {
        Ok(time) if time.millis() >= 1_000 => Ok(time),
        Ok(_) | Err(_) => Err("a time such as `10m`, `12h` or `30d` was expected".to_owned()),
    }
}

impl IngressArgs {
    /// What the environment and the settings file say, for commands without these flags.
    ///
    /// # Errors
    ///
    /// clap's own, naming the flag of the variable that makes no sense.
    pub(crate) fn without_flags(file: &SettingsFile) -> Result<Self, clap::Error> {
        #[derive(Parser)]
        struct Bare {
            #[command(flatten)]
            args: IngressArgs,
        }
        let matches = file.defaults(Bare::command()).try_get_matches_from(["dubernetes"])?;
        Bare::from_arg_matches(&matches).map(|bare| bare.args)
    }
}

/// `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) ingress: IngressArgs,
    /// How log lines are written.
    #[arg(
        long,
        env = "DUBERNETES_LOG_FORMAT",
        hide_env_values = true,
        value_name = "FORMAT",
        default_value = "text"
    )]
    pub(crate) log_format: LogFormat,
    /// Do one action at a time: show what is desired and observed, the rule, the action and what
    /// comes next, and wait for Enter (`c`: go on without stopping; `q`: quit, leave all as it is).
    #[arg(long)]
    pub(crate) step: bool,
}

/// `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) ingress: IngressArgs,
    /// How progress is told on standard error.
    #[arg(long, value_name = "STYLE", default_value = "auto")]
    pub(crate) progress: ProgressStyle,
    /// Do one action at a time: show what is desired and observed, the rule, the action and what
    /// comes next, and wait for Enter (`c`: go on without stopping; `q`: quit, leave all as it is).
    #[arg(long)]
    pub(crate) step: bool,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object on each line.
    Json,
}

/// `down`.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// Do not ask.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write a page for each command into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// `completion`.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell.
    pub(crate) shell: clap_complete::Shell,
}
