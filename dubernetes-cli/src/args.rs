//! What may be typed: the whole command line as types. Help, exit codes of usage errors and
//! suggestions are clap's work; nothing here does anything.

mod basic;
mod error_format;
mod inspect;
mod manifest;
mod orchestrate;
mod resource;
mod rollout;
mod shared;
mod simulate;
mod suggestions;
mod top;

pub(crate) use basic::{
    ApplyArgs, DeleteArgs, DiffArgs, PlanArgs, ScaleArgs, ValidateArgs, VerifyArgs,
};
pub(crate) use error_format::ask_for_json;
pub(crate) use inspect::{
    DescribeArgs, DoctorArgs, EventType, EventsArgs, ExecArgs, GetArgs, LogsArgs, StatusArgs,
    VersionArgs, WhyArgs,
};
pub(crate) use manifest::{ExplainArgs, InitArgs};
pub(crate) use orchestrate::{
    CompletionArgs, DownArgs, IngressArgs, LogFormat, ManArgs, ServeArgs, UpArgs,
};
pub(crate) use resource::{Kind, ObjectName, Resource};
pub(crate) use rollout::{
    ChangeArgs, HistoryArgs, PauseArgs, RolloutArgs, RolloutStatusArgs, RolloutVerb, UndoArgs,
};
pub(crate) use shared::{
    ColorWhen, FileArgs, Format, FormatArgs, GlobalArgs, ProgressStyle, SelectorArgs, WaitArgs,
};
pub(crate) use simulate::{At, HelpArgs, Moment, ReplayArgs, SimulateArgs};
pub(crate) use suggestions::explained;
pub(crate) use top::{
    Condition, ForwardFormat, PortForwardArgs, PortPair, SortBy, TopArgs, WaitForArgs,
};

use clap::{CommandFactory as _, Parser, Subcommand};

/// Exit codes, at the end of every `--help`.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed: rejected, not found, or a rollout failed
  2    wrong usage
  3    no orchestrator answers
  4    timed out waiting
  130  interrupted";

/// Keeps containers running as small files say.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = false,
    disable_help_subcommand = true,
    after_long_help = EXIT_CODES,
    long_about = "Keeps containers running as small files say.

Examples:
  dubernetes apply app.yaml     make it so, with or without a running orchestrator
  dubernetes get pods           see what runs
  dubernetes serve              keep it so from now on"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The command line under the name `program`.
    pub(crate) fn named(program: &'static str) -> clap::Command {
        Self::command().name(program).bin_name(program)
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make apps run as files say.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Make apps run as files say, and wait until they do.

All files are checked before anything is sent: one bad document, and nothing is changed.

Examples:
  dubernetes apply app.yaml
  dubernetes apply -f apps/ --timeout 10m
  dubernetes apply app.yaml --verify --verify-budget 5
  cat app.yaml | dubernetes apply -"
    )]
    Apply(ApplyArgs),
    /// Delete apps, or have single pods replaced.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Delete apps, or have single pods replaced. Volumes are kept.

Examples:
  dubernetes delete web
  dubernetes delete -f app.yaml
  dubernetes delete pods web-2      a new pod takes its place"
    )]
    Delete(DeleteArgs),
    /// Change how many replicas an app has.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Change how many replicas an app has.

Examples:
  dubernetes scale web 5
  dubernetes scale web 0"
    )]
    Scale(ScaleArgs),
    /// Show what applying files would change in the specifications.
    #[command(
        after_long_help = "Exit codes:
  0  nothing differs
  1  something differs
  2  an error, or more",
        long_about = "Show what applying files would change in the specifications.

Examples:
  dubernetes diff app.yaml
  dubernetes diff app.yaml && echo nothing to do"
    )]
    Diff(DiffArgs),
    /// Show what applying files would do, step by step.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Show what applying files would do, step by step. Nothing is carried out.

Examples:
  dubernetes plan app.yaml
  dubernetes plan app.yaml -o json"
    )]
    Plan(PlanArgs),
    /// Check files without sending them.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Check files without sending them. Needs no orchestrator and no engine.

Examples:
  dubernetes validate app.yaml
  dubernetes validate apps/"
    )]
    Validate(ValidateArgs),
    /// Serve in the foreground with these apps.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Serve in the foreground with these apps: `serve`, `apply`, and their events.

Examples:
  dubernetes up app.yaml
  dubernetes up app.yaml --http-port 8080
  dubernetes up app.yaml --step       one action at a time, each explained before"
    )]
    Up(UpArgs),
    /// Remove all that this instance owns.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Remove all that this instance owns: apps, pods, ingress and network.
Volumes are kept.

Examples:
  dubernetes down
  dubernetes down --yes"
    )]
    Down(DownArgs),
    /// List apps, pods, revisions, events or routes.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "List apps, pods, revisions, events or routes.

Examples:
  dubernetes get pods
  dubernetes get app/web -o yaml
  dubernetes get apps -l tier=web -w"
    )]
    Get(GetArgs),
    /// Show an app or a pod with all that belongs to it.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Show an app or a pod with all that belongs to it.

Examples:
  dubernetes describe web
  dubernetes describe pod/web-1"
    )]
    Describe(DescribeArgs),
    /// Show why an app or a pod is as it is.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Show why an app or a pod is as it is. The first line is the cause; then follow what is
wanted, what is there, the rule that fired, what it decided, what came of it, and when
it is looked at next.

Examples:
  dubernetes why web
  dubernetes why pod/web-1 -o json"
    )]
    Why(WhyArgs),
    /// Show what happened.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Show what happened.

Examples:
  dubernetes events web -w
  dubernetes events -l tier=web
  dubernetes events --app web --type Warning --since 10m"
    )]
    Events(EventsArgs),
    /// Show what pods print.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Show what pods print: of one pod, or of all pods of an app, in the order of time.

Examples:
  dubernetes logs web -f
  dubernetes logs web-1 --tail 20 --since 5m
  dubernetes logs web-1 --previous      of the container that crashed last"
    )]
    Logs(LogsArgs),
    /// Run a command in a pod.
    #[command(
        after_long_help = "Exit codes: the command's own; 127 where the pod has no such command, 126 where it
may not be run; 1 and above also where the pod cannot be reached.",
        long_about = "Run a command in a pod. An app's name picks one of its ready pods.

Examples:
  dubernetes exec web-1 -- cat /etc/hostname
  dubernetes exec -it web -- sh"
    )]
    Exec(ExecArgs),
    /// Show what apps and pods use: processor time and memory.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Show what apps and pods use: processor time in thousandths of a core (`250m`), over half a
second, and memory without the page cache.

Examples:
  dubernetes top
  dubernetes top pods web --sort-by memory"
    )]
    Top(TopArgs),
    /// Lead ports of this machine to a pod.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Lead ports of this machine to a pod, until it is interrupted. An app's name picks one of its
ready pods, and another one once that is not ready any more. The image needs nothing for it.

Examples:
  dubernetes port-forward web 8080:80
  dubernetes port-forward web-1 :5432 9000"
    )]
    PortForward(PortForwardArgs),
    /// Wait until apps or pods are ready, deleted, or in a phase.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Wait until apps or pods are ready, deleted, or in a phase.

Examples:
  dubernetes wait web --for ready
  dubernetes wait -l tier=test --for deleted --timeout 30s"
    )]
    Wait(WaitForArgs),
    /// Show whether the orchestrator, the engine and the apps are well.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Show whether the orchestrator, the engine and the apps are well.

Examples:
  dubernetes status
  dubernetes status -o json"
    )]
    Status(StatusArgs),
    /// Check whether all that an orchestrator needs is there.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Check whether all that an orchestrator needs is there: engine, image, network, port,
folders, disks and clocks. Each line is `ok`, `warn` or `fail`, with a way out. Nothing is changed.

Examples:
  dubernetes doctor
  dubernetes doctor -o json"
    )]
    Doctor(DoctorArgs),
    /// See to rollouts: status, history, undo, restart, pause and resume.
    #[command(
        disable_help_subcommand = true,
        after_long_help = EXIT_CODES,
        long_about = "See to rollouts: how one goes, the revisions that are kept, going back, restarting, pausing.

Examples:
  dubernetes rollout history web
  dubernetes rollout undo web --to 3"
    )]
    Rollout(RolloutArgs),
    /// Go back to an earlier revision: `rollout undo`.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Go back to an earlier revision: to the last one that was complete, or to the one that is
named. The same as `rollout undo`.

Examples:
  dubernetes rollback web
  dubernetes rollback web --to 3"
    )]
    Rollback(UndoArgs),
    /// Run the orchestrator.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Run the orchestrator until SIGTERM or SIGINT. Ending it stops no pod and not the
ingress; the next start takes over what runs.

Examples:
  dubernetes serve
  dubernetes serve --http-port 8080 --log-format json
  dubernetes serve --step             one action at a time, each explained before"
    )]
    Serve(ServeArgs),
    /// Play through what would become of files' apps, in memory.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Play through what would become of files' apps: the same controller on an engine in
memory, from nothing on, and on a clock that does not wait. Nothing is touched.

Every TIME counts from the beginning. All options but `--for`, `--slow-start` and
`--bad-image` can be given several times. Of the ready replicas the chart shows the
fewest in each column: a full bar is all that are wanted, a dot none.
`-o json` writes the events as `events -w -o json` does.

Examples:
  dubernetes simulate app.yaml --kill web-2@3s
  dubernetes simulate app.yaml --apply next.yaml@10s --slow-start 20s
  dubernetes simulate app.yaml --bad-image 10s --apply next.yaml@10s
  dubernetes simulate app.yaml --crash-loop web=3 --for 1h"
    )]
    Simulate(SimulateArgs),
    /// Make decisions of the orchestrator again, and show what they were made of.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Make decisions of the orchestrator again, by the same function, and show what they
were made of: each is kept in the state folder where anything in it is new, the last
8 MB of them. Values of environments are not in it. Needs no orchestrator and no engine.

Examples:
  dubernetes replay
  dubernetes replay --last 20
  dubernetes replay --at 5m
  dubernetes replay --at 2026-11-26T13:00:00Z --last 3"
    )]
    Replay(ReplayArgs),
    /// Write a file to begin with.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Write a file to begin with: name and image, and every other key as a comment.

Examples:
  dubernetes init
  dubernetes init web --image web:1.5 -o web.yaml"
    )]
    Init(InitArgs),
    /// Say what a key of the file means.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Say what a key of the file means: its type, its values, its default and an example.

Examples:
  dubernetes explain
  dubernetes explain rollout.max_surge"
    )]
    Explain(ExplainArgs),
    /// Print the JSON schema of the file.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Print the JSON schema of the file (draft 2020-12), with which editors complete and check it.
The program itself checks more.

Examples:
  dubernetes schema
  dubernetes schema > app.schema.json"
    )]
    Schema,
    /// Print a script that completes commands in a shell.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Print a script that completes commands in a shell, and the names of apps and pods
of a running orchestrator.

Examples:
  dubernetes completion bash > /etc/bash_completion.d/dubernetes
  dubernetes completion fish > ~/.config/fish/completions/dubernetes.fish"
    )]
    Completion(CompletionArgs),
    /// Print the manual, or write a page for each command.
    #[command(
        hide = true,
        after_long_help = EXIT_CODES,
        long_about = "Print the manual, or write a page for each command.

Examples:
  dubernetes man | man -l -
  dubernetes man --out /usr/local/share/man/man1"
    )]
    Man(ManArgs),
    /// Show the versions of program, orchestrator and engine.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Show the versions of program, orchestrator and engine.

Examples:
  dubernetes version
  dubernetes version -o json"
    )]
    Version(VersionArgs),
    /// Show the help of a command.
    #[command(
        after_long_help = EXIT_CODES,
        long_about = "Show the help of a command: the same as `--help` behind it.

Examples:
  dubernetes help
  dubernetes help rollout undo"
    )]
    Help(HelpArgs),
}

#[cfg(test)]
mod tests;
