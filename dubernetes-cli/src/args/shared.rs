//! Flags that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dubernetes_core::app::{Duration, InstanceName};
use dubernetes_core::selector::Selector;

use crate::output::ListStyle;

/// Flags of every command: the orchestrator, and the behaviour on the terminal.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Orchestrator: `ssh://user@machine`, `unix:///path/to/socket` or `http://127.0.0.1:PORT`.
    #[arg(long, global = true, env = "DUBERNETES_HOST", value_name = "URL")]
    pub(crate) host: Option<String>,
    /// Use the host of this context (`dubernetes context list`) instead of DUBERNETES_HOST.
    #[arg(long, global = true, value_name = "CONTEXT")]
    pub(crate) context: Option<String>,
    /// Program, with options, that connects to `ssh://` hosts.
    #[arg(
        long,
        global = true,
        env = "DUBERNETES_SSH",
        value_name = "COMMAND",
        default_value = "ssh"
    )]
    pub(crate) ssh: String,
    /// Folder of the state and of the socket.
    #[arg(long, global = true, env = "DUBERNETES_STATE_DIR", value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Instance: one orchestrator and everything it owns on the engine.
    #[arg(
        long,
        global = true,
        env = "DUBERNETES_INSTANCE",
        value_name = "NAME",
        default_value = "default"
    )]
    pub(crate) instance: InstanceName,
    /// Settings file; defaults to `/etc/dubernetes/config.yaml` for root and to
    /// `~/.config/dubernetes/config.yaml` for other users.
    #[arg(long, global = true, env = "DUBERNETES_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// When to use colour.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorWhen,
    /// Log more; repeat for even more.
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

/// Flags for the output format.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct FormatArgs {
    /// Output format.
    #[arg(short, long, env = "DUBERNETES_OUTPUT", value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Print names only, like `-o name`; overrides `--output`.
    #[arg(short, long)]
    quiet: bool,
}

impl FormatArgs {
    /// Returns the output format.
    pub(crate) fn format(self) -> Format {
        if self.quiet { Format::Name } else { self.output }
    }
}

/// Flags of commands that list objects.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    format: FormatArgs,
    /// Omit the header line.
    #[arg(long)]
    pub(crate) no_headers: bool,
}

impl ListArgs {
    /// Returns the output format.
    pub(crate) fn format(self) -> Format {
        self.format.format()
    }

    /// Returns the style of a list of several objects.
    pub(crate) fn style(self) -> ListStyle {
        ListStyle { format: self.format(), headers: !self.no_headers, single: false }
    }
}

/// Output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Table.
    Table,
    /// Table with more columns.
    Wide,
    /// JSON, in the shape of the API.
    Json,
    /// YAML, in the shape of the API.
    Yaml,
    /// One `kind/name` per line.
    Name,
}

/// Flag that selects apps by label.
#[derive(Debug, Clone, Args)]
pub(crate) struct SelectorArgs {
    /// Only apps with these labels: `key=value`, `key!=value`, `key`, `!key`, joined by commas.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub(crate) selector: Option<Selector>,
}

/// Flags for waiting and its progress output.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WaitArgs {
    /// Return at once instead of waiting.
    #[arg(long)]
    pub(crate) detach: bool,
    /// Longest time to wait.
    #[arg(long, value_name = "TIME", default_value = "5m", conflicts_with = "detach")]
    pub(crate) timeout: Duration,
    /// How to show progress on standard error.
    #[arg(long, value_name = "STYLE", default_value = "auto", conflicts_with = "detach")]
    pub(crate) progress: ProgressStyle,
}

impl WaitArgs {
    /// Returns flags for waiting without a timeout.
    pub(crate) fn without_timeout(progress: ProgressStyle) -> Self {
        // Redrawn lines would not keep the events readable.
        let progress =
            if progress == ProgressStyle::Auto { ProgressStyle::Plain } else { progress };
        Self { detach: false, timeout: Duration::from_millis(u64::MAX), progress }
    }
}

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressStyle {
    /// `tty` on a terminal, else `plain`.
    Auto,
    /// One line per app, redrawn with each change; `plain` if the terminal cannot redraw.
    Tty,
    /// One line per change.
    Plain,
    /// One event per line, as JSON.
    Json,
    /// Nothing.
    Quiet,
}

/// Files that define apps.
#[derive(Debug, Clone, Args)]
pub(crate) struct FileArgs {
    /// Files, folders with `*.yaml` files, or `-` for standard input.
    #[arg(value_name = "FILE", required_unless_present = "filename")]
    files: Vec<PathBuf>,
    /// Same as FILE, as in kubectl; can be repeated or a list with commas.
    #[arg(short, long, value_name = "FILE", value_delimiter = ',')]
    filename: Vec<PathBuf>,
    #[command(flatten)]
    variables: VariableArgs,
}

/// Variables for `${NAME}` in files.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct VariableArgs {
    /// Replace `${NAME}` in the values of the files; can be repeated. `${NAME:-default}` and
    /// `${NAME:?text}` work as in Compose, and `$$` is a `$`. Without `--set`, `--env` and
    /// `--env-file`, a `$` has no meaning.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_pair)]
    pub(crate) set: Vec<(String, String)>,
    /// Replace `${NAME}` by this variable of the environment; can be repeated.
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) env: Vec<String>,
    /// Replace variables by those of a file with lines `NAME=VALUE`; can be repeated.
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected `NAME=VALUE`".to_owned()),
    }
}

impl FileArgs {
    /// Returns the flags for variables.
    pub(crate) fn variables(&self) -> &VariableArgs {
        &self.variables
    }

    /// Returns all given paths.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().chain(&self.filename).cloned().collect()
    }

    /// Returns all given paths as text, as they were typed.
    pub(crate) fn joined(&self) -> String {
        let paths = self.files.iter().chain(&self.filename);
        paths.map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")
    }
}
