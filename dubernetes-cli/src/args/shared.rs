//! Flags that several commands have.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dubernetes_core::app::{Duration, InstanceName};
use dubernetes_core::selector::Selector;

/// Which orchestrator is meant, and how the program behaves on the terminal.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// The orchestrator: `unix:///path/to/socket` or `http://127.0.0.1:PORT`.
    #[arg(
        long,
        global = true,
        env = "DUBERNETES_HOST",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) host: Option<String>,
    /// The folder of the state, and of the socket as well.
    #[arg(
        long,
        global = true,
        env = "DUBERNETES_STATE_DIR",
        hide_env_values = true,
        value_name = "DIR"
    )]
    pub(crate) state_dir: Option<PathBuf>,
    /// The instance: one orchestrator and all that it owns on the engine.
    #[arg(long, global = true, env = "DUBERNETES_INSTANCE", hide_env_values = true, value_name = "NAME",
          default_value = "default", value_parser = InstanceName::parse)]
    pub(crate) instance: InstanceName,
    /// The settings file; else `/etc/dubernetes/config.yaml` for root, and for others
    /// `~/.config/dubernetes/config.yaml`.
    #[arg(
        long,
        global = true,
        env = "DUBERNETES_CONFIG",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub(crate) config: Option<PathBuf>,
    /// When to use colour.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorWhen,
    /// Say more about what is done; twice for even more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How results are written.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct FormatArgs {
    /// How the result is written.
    #[arg(
        short,
        long,
        env = "DUBERNETES_OUTPUT",
        hide_env_values = true,
        value_name = "FORMAT",
        default_value = "table"
    )]
    output: Format,
    /// Names alone, as with `-o name`; wins over any other format.
    #[arg(short, long)]
    quiet: bool,
}

impl FormatArgs {
    /// The format that was asked for.
    pub(crate) fn format(self) -> Format {
        if self.quiet { Format::Name } else { self.output }
    }
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For people with more columns.
    Wide,
    /// JSON, as the API gives it.
    Json,
    /// The same as YAML.
    Yaml,
    /// `kind/name`, one on each line.
    Name,
}

/// Which apps are meant, by their labels.
#[derive(Debug, Clone, Args)]
pub(crate) struct SelectorArgs {
    /// Only apps with these labels: `key=value`, `key!=value`, `key`, `!key`, joined by commas.
    #[arg(short = 'l', long, value_name = "SELECTOR", value_parser = Selector::parse)]
    pub(crate) selector: Option<Selector>,
}

/// How long to wait, and what is told meanwhile.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WaitArgs {
    /// Do not wait until it is done.
    #[arg(long)]
    pub(crate) detach: bool,
    /// How long to wait at most.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = Duration::parse,
          conflicts_with = "detach")]
    pub(crate) timeout: Duration,
    /// How progress is told on standard error.
    #[arg(long, value_name = "STYLE", default_value = "auto", conflicts_with = "detach")]
    pub(crate) progress: ProgressStyle,
}

impl WaitArgs {
    /// Waits as long as the clock runs.
    pub(crate) fn endless(progress: ProgressStyle) -> Self {
        // Everything that happens is told, and stays to be read.
        let progress = match progress {
            ProgressStyle::Auto => ProgressStyle::Plain,
            other => other,
        };
        Self { detach: false, timeout: Duration::from_millis(u64::MAX), progress }
    }
}

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressStyle {
    /// As `tty` on a terminal, else as `plain`.
    Auto,
    /// One line for each app, drawn anew with each change; as `plain` where no terminal can.
    Tty,
    /// One line for each change.
    Plain,
    /// One event for each line, as JSON.
    Json,
    /// Nothing.
    Quiet,
}

/// Files with apps.
#[derive(Debug, Clone, Args)]
pub(crate) struct FileArgs {
    /// Files, folders with `*.yaml` files, or `-` for standard input.
    #[arg(value_name = "FILE", required_unless_present = "filename")]
    files: Vec<PathBuf>,
    /// The same, as kubectl has it: repeatable, or a list with commas.
    #[arg(short, long, value_name = "FILE", value_delimiter = ',')]
    filename: Vec<PathBuf>,
}

impl FileArgs {
    /// All that were named.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().chain(&self.filename).cloned().collect()
    }
}
