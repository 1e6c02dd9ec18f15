//! The verbs, with their help.

use clap::Subcommand;

use super::exported_keys;
use super::{
    ApplyArgs, BackupArgs, CompletionArgs, ContextArgs, DeleteArgs, DescribeArgs, DownArgs,
    EventsArgs, ExecArgs, ExplainArgs, ExportArgs, FileArgs, FormatArgs, GetArgs, ImportArgs,
    InitArgs, LogsArgs, ManArgs, PlanArgs, PortForwardArgs, PushArgs, RenewArgs, ReplayArgs,
    RestoreArgs, RolloutArgs, RunArgs, ScaleArgs, SecretArgs, ServeArgs, SimulateArgs, TopArgs,
    UiArgs, UndoArgs, UpArgs, WaitForArgs, WhyArgs,
};

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create or update the apps in files, and wait until they are ready.
    #[command(long_about = "\
Create or update the apps in files, and wait until they are ready.

All files are checked before anything is sent. If one document is invalid, nothing changes.

Examples:
  dubernetes apply app.yaml
  dubernetes apply -f apps/ --timeout 10m
  dubernetes apply app.yaml --verify --verify-budget 5
  dubernetes apply app.yaml --push --host ssh://ada@server.example
  cat app.yaml | dubernetes apply -")]
    Apply(ApplyArgs),
    /// Delete apps, or replace single pods.
    #[command(long_about = "\
Delete apps, or replace single pods. Volumes are kept.

Examples:
  dubernetes delete web
  dubernetes delete -f app.yaml
  dubernetes delete pods web-2      a new pod takes its place")]
    Delete(DeleteArgs),
    /// Set the number of replicas of an app.
    #[command(long_about = "\
Set the number of replicas of an app.

Examples:
  dubernetes scale web 5
  dubernetes scale web 0")]
    Scale(ScaleArgs),
    /// Show what an apply would change in the specs.
    #[command(
        after_long_help = "\
Exit codes:
  0  no differences
  1  differences
  2  or higher: an error",
        long_about = "\
Show what an apply would change in the specs, as a unified diff.

Examples:
  dubernetes diff app.yaml
  dubernetes diff app.yaml && echo nothing to do"
    )]
    Diff(FileArgs),
    /// Show the steps that an apply would take.
    #[command(long_about = "\
Show the steps that an apply would take. Nothing is carried out.

Examples:
  dubernetes plan app.yaml
  dubernetes plan app.yaml -o json")]
    Plan(PlanArgs),
    /// Check files without sending them.
    #[command(long_about = "\
Check files without sending them. Needs no orchestrator and no engine.

Examples:
  dubernetes validate app.yaml
  dubernetes validate apps/")]
    Validate(FileArgs),
    /// Run the orchestrator with the apps in files, and show their events.
    #[command(long_about = "\
Run the orchestrator in the foreground, apply files, and show the events of their apps.

Examples:
  dubernetes up app.yaml
  dubernetes up app.yaml --http-port 8080
  dubernetes up app.yaml --step       one action at a time, each explained first")]
    Up(UpArgs),
    /// Remove everything that this instance owns.
    #[command(long_about = "\
Remove everything that this instance owns: apps, pods, ingress and network.
Volumes are kept.

Examples:
  dubernetes down
  dubernetes down --yes")]
    Down(DownArgs),
    /// List apps, pods, revisions, events or routes.
    #[command(long_about = "\
List apps, pods, revisions, events or routes. `apply` reads what `get apps -o yaml` or
`-o json` prints: it takes each `spec`, and files that it cannot read from the stored app.

Examples:
  dubernetes get pods
  dubernetes get app/web -o yaml
  dubernetes get apps -l tier=web -w")]
    Get(GetArgs),
    /// Show the details of an app or a pod.
    #[command(long_about = "\
Show the details of an app or a pod, with its pods, probe results and last events.

Examples:
  dubernetes describe web
  dubernetes describe pod/web-1")]
    Describe(DescribeArgs),
    /// Explain the state of an app or a pod.
    #[command(long_about = "\
Explain the state of an app or a pod. The first line is the cause. The lines below it show
the desired and the observed state, the rule that applied, the decision, its result, and
the time of the next pass.

Examples:
  dubernetes why web
  dubernetes why pod/web-1 -o json")]
    Why(WhyArgs),
    /// Show events.
    #[command(long_about = "\
Show events, newest first.

Examples:
  dubernetes events web -w
  dubernetes events -l tier=web
  dubernetes events --app web --type Warning --since 10m")]
    Events(EventsArgs),
    /// Print logs.
    #[command(long_about = "\
Print the logs of a pod, or of all pods of an app, ordered by time. With `--access`, print the
requests that the ingress has answered for them: time, pod, client, method, path without its query,
status and duration.

Examples:
  dubernetes logs web -f
  dubernetes logs web-1 --tail 20 --since 5m
  dubernetes logs web-1 --previous      of the container that crashed last
  dubernetes logs web --access -f       requests to the app
  dubernetes logs web-1 --access -o json")]
    Logs(LogsArgs),
    /// Run a command in a pod.
    #[command(
        after_long_help = "\
Exit codes: the command's own; 127 if the pod has no such command, 126 if the command
cannot be run; 1 or above if the pod cannot be reached.",
        long_about = "\
Run a command in a pod. The name of an app picks one of its ready pods.

Examples:
  dubernetes exec web-1 -- cat /etc/hostname
  dubernetes exec -it web -- sh"
    )]
    Exec(ExecArgs),
    /// Run a command in a one-off container of an app.
    #[command(
        after_long_help = "\
Exit codes: the command's own, 128 and the number of the signal that ended it; 127 if the
image has no such command, 126 if it cannot be run; 1 if the container cannot be created.",
        long_about = "\
Run a command in a one-off container of an app, with its image, environment, files, volumes
and limits, where the names of other apps resolve. The container has no port and no route,
is no replica, and is removed at the end: also if this command is killed, or, at its next
start, the orchestrator. Without a command that of the app runs. The first Ctrl-C goes to
the command, the second one stops the container.

Examples:
  dubernetes run web -- rake db:migrate
  dubernetes run -it web -- sh
  dubernetes run -i web -- psql < dump.sql"
    )]
    Run(RunArgs),
    /// Show CPU and memory usage of apps and pods.
    #[command(long_about = "\
Show CPU and memory usage of apps and pods. CPU is in millicores (`250m`), measured over
half a second; memory is without the page cache.

Examples:
  dubernetes top
  dubernetes top pods web --sort-by memory")]
    Top(TopArgs),
    /// Serve a web page about the apps, and open it.
    #[command(long_about = "\
Serve a web page about the apps on this machine, until interrupted, and open it in a browser:
what needs attention and why, pods, rollouts, events, logs, and changes with their plan. The
link logs in one browser, once. The orchestrator may be elsewhere: `--host ssh://…`.

Examples:
  dubernetes ui
  dubernetes ui --read-only
  dubernetes ui --host ssh://ada@server.example --no-browser")]
    Ui(UiArgs),
    /// Forward local ports to a pod.
    #[command(long_about = "\
Forward local ports to a pod until interrupted. The name of an app picks one of its ready
pods, and another one when that pod is no longer ready. The image needs nothing for it.

Examples:
  dubernetes port-forward web 8080:80
  dubernetes port-forward web-1 :5432 9000")]
    PortForward(PortForwardArgs),
    /// Wait until apps or pods are ready, deleted, or in a phase.
    #[command(long_about = "\
Wait until apps or pods are ready, deleted, or in a phase.

Examples:
  dubernetes wait web --for ready
  dubernetes wait -l tier=test --for deleted --timeout 30s")]
    Wait(WaitForArgs),
    /// Show the status of orchestrator, engine, ingress and apps.
    #[command(
        after_long_help = "\
Exit codes: 0 if all is well; 1 if the engine does not answer, the store has a problem or
an app failed; 3 if no orchestrator is running.",
        long_about = "\
Show the status of orchestrator, engine, ingress and apps. `-o wide` adds every setting
and its origin.

Examples:
  dubernetes status
  dubernetes status -o json"
    )]
    Status(FormatArgs),
    /// Check what an orchestrator needs.
    #[command(long_about = "\
Check what an orchestrator needs: engine, image, network, port, folders, disks and clocks.
Each line is `ok`, `warn` or `fail`, with what to do. Nothing is changed.

Examples:
  dubernetes doctor
  dubernetes doctor -o json")]
    Doctor(FormatArgs),
    /// Manage rollouts: status, history, undo, restart, pause and resume.
    #[command(
        disable_help_subcommand = true,
        long_about = "\
Manage rollouts: show status and history, undo, restart, pause and resume.

Examples:
  dubernetes rollout history web
  dubernetes rollout undo web --to 3"
    )]
    Rollout(RolloutArgs),
    /// Roll back to an earlier revision: `rollout undo`.
    #[command(long_about = "\
Roll back to the last complete revision, or to the given one. The same as `rollout undo`.

Examples:
  dubernetes rollback web
  dubernetes rollback web --to 3")]
    Rollback(UndoArgs),
    /// Manage secrets: set, list, delete, and rotate their key.
    #[command(
        disable_help_subcommand = true,
        long_about = "\
Manage secrets: values that apps use as `env: { NAME: { secret: db-password } }` or
`files: { /run/key: { secret: tls-key } }`. Values go in, and no command shows them.

Examples:
  dubernetes secret set db-password
  dubernetes secret list"
    )]
    Secret(SecretArgs),
    /// Send images of this machine to the orchestrator's engine, without a registry.
    #[command(long_about = "\
Send images of this machine's engine to that of the orchestrator, without a registry. Only
the layers that are missing there are sent.

Examples:
  dubernetes push web:1.5 --host ssh://ada@server.example
  dubernetes push web:1.5 worker:1.5")]
    Push(PushArgs),
    /// Replace the certificate of a host now, or order it again after a failure.
    #[command(long_about = "\
Replace the certificate of a host with `tls: auto` or `tls: internal` now, or order it again after a
failure without waiting for the next try. The present certificate is served until then.

Examples:
  dubernetes renew shop.example.org
  dubernetes renew myapp.local --instance staging")]
    Renew(RenewArgs),
    /// Print the certificate that clients of hosts with `tls: internal` have to trust.
    #[command(long_about = "\
Print the certificate of the instance's own authority, as PEM, and how to trust it. Clients that
trust it accept the certificates of all hosts with `tls: internal`.

Examples:
  dubernetes trust > root.pem
  dubernetes trust --instance staging > staging.pem")]
    Trust,
    /// Manage contexts: names for the hosts that commands talk to.
    #[command(
        disable_help_subcommand = true,
        long_about = "\
Manage contexts: names for the hosts that commands talk to. `local` is this machine.
`--host` and `--context` of a command, and the variable DUBERNETES_HOST, win over the context
in use.

Examples:
  dubernetes context add prod ssh://ada@server.example
  dubernetes context use prod"
    )]
    Context(ContextArgs),
    /// Print the socket of the running orchestrator.
    #[command(
        hide = true,
        long_about = "\
Print the socket of the running orchestrator as a URL. `--host ssh://…` runs this on the other
machine.

Examples:
  dubernetes socket
  dubernetes socket --instance staging"
    )]
    Socket,
    /// Run the orchestrator.
    #[command(long_about = "\
Run the orchestrator until SIGTERM or SIGINT. Pods and ingress keep running when it exits;
the next start takes them over. With `--runtime process`, the ingress ends with it.

Examples:
  dubernetes serve
  dubernetes serve --http-port 8080 --log-format json
  dubernetes serve --step             one action at a time, each explained first")]
    Serve(ServeArgs),
    /// Write the state of an instance to a file.
    #[command(long_about = "\
Write the state of an instance to a file that only its owner can read: apps, revisions,
events, secrets, certificates, and the key that decrypts them, so keep the file safe. It may
be done while the orchestrator runs, as the same user. Data in volumes is not part of it.

Examples:
  dubernetes backup dubernetes.tar
  dubernetes backup - | age -r KEY > dubernetes.tar.age")]
    Backup(BackupArgs),
    /// Restore the state of an instance from a backup.
    #[command(long_about = "\
Restore the state of an instance into its state folder, which has to be empty. The file is
checked as a whole first. Then `dubernetes serve` takes over the containers of the instance
that exist on the engine, and creates those that are missing, as on a new machine.

Examples:
  dubernetes restore dubernetes.tar
  age -d -i KEY dubernetes.tar.age | dubernetes restore -")]
    Restore(RestoreArgs),
    /// Simulate apps in memory.
    #[command(long_about = "\
Simulate the apps in files: the same controller, on an engine in memory that starts empty,
with a virtual clock. Nothing outside is touched.

Every TIME counts from the start. All options except `--for`, `--slow-start` and
`--bad-image` can be repeated. Each column of the chart shows the fewest ready replicas
in that span: a full bar is the desired number, a dot none.
`-o json` writes the events as `events -w -o json` does.

Examples:
  dubernetes simulate app.yaml --kill web-2@3s
  dubernetes simulate app.yaml --apply next.yaml@10s --slow-start 20s
  dubernetes simulate app.yaml --bad-image 10s --apply next.yaml@10s
  dubernetes simulate app.yaml --crash-loop web=3 --for 1h")]
    Simulate(SimulateArgs),
    /// Replay recorded decisions.
    #[command(long_about = "\
Replay recorded decisions of the orchestrator with the same function, and show their inputs.
The journal in the state folder holds each decision that differs from the one before, up
to 1 MB, without the values of environments. Needs no orchestrator and no engine.

Examples:
  dubernetes replay
  dubernetes replay --last 20
  dubernetes replay --at 5m
  dubernetes replay --at 2026-11-26T13:00:00Z --last 3")]
    Replay(ReplayArgs),
    /// Create a manifest to start from.
    #[command(long_about = "\
Create a manifest to start from, with name and image, and every other key as a comment.

Examples:
  dubernetes init
  dubernetes init web --image web:1.5 -o web.yaml")]
    Init(InitArgs),
    /// Turn a Compose file into manifests.
    #[command(long_about = "\
Turn a Compose file into manifests, one app per service. What has no equivalent, is changed,
or has to be known is a note on standard error, with its line: nothing is dropped in
silence. Variables stay as they are, for `apply`. Nothing is started.

Examples:
  dubernetes import compose.yaml
  dubernetes import compose.yaml -o apps")]
    Import(ImportArgs),
    /// Turn apps into Kubernetes manifests.
    #[command(
        after_long_help = exported_keys(),
        long_about = "\
Turn apps into manifests of Kubernetes 1.33 and later. What has no equivalent, is changed, or
has to be known is a note on standard error, key by key: nothing is dropped in silence.
Values of `secret set` stay where they are; the pods read them from Secrets that a note
names. Contents of files become Secrets, in files of their own with `-o`.

Needs no orchestrator, no engine and no cluster.

Examples:
  dubernetes export app.yaml
  dubernetes export app.yaml -o kubernetes
  dubernetes export app.yaml | kubectl apply --dry-run=server -f -"
    )]
    Export(ExportArgs),
    /// Explain a manifest key.
    #[command(long_about = "\
Explain a manifest key: its type, its values, its default and an example.

Examples:
  dubernetes explain
  dubernetes explain rollout.max_surge")]
    Explain(ExplainArgs),
    /// Print the JSON schema of the manifest.
    #[command(long_about = "\
Print the JSON schema (draft 2020-12) of the manifest, for completion and checks in editors.
`validate` checks more.

Examples:
  dubernetes schema
  dubernetes schema > app.schema.json")]
    Schema,
    /// Print a shell completion script.
    #[command(long_about = "\
Print a shell completion script. It also completes names of apps and pods of a running
orchestrator.

Examples:
  dubernetes completion bash > /etc/bash_completion.d/dubernetes
  dubernetes completion fish > ~/.config/fish/completions/dubernetes.fish")]
    Completion(CompletionArgs),
    /// Print the manual page, or write one page per command.
    #[command(
        hide = true,
        long_about = "\
Print the manual page, or write one page per command.

Examples:
  dubernetes man | man -l -
  dubernetes man --out /usr/local/share/man/man1"
    )]
    Man(ManArgs),
    /// Show the versions of program, orchestrator and engine.
    #[command(
        after_long_help = "\
Exit codes: 0 if an orchestrator is running; 3 if none is. `-o name` shows the version of
this program only, and exits with 0.",
        long_about = "\
Show the versions of program, orchestrator and engine.

Examples:
  dubernetes version
  dubernetes version -o json"
    )]
    Version(FormatArgs),
}

impl Command {
    /// Returns whether the command talks to the orchestrator of the context in use. The others
    /// are about this machine, or need no orchestrator.
    pub(crate) fn uses_context(&self) -> bool {
        !matches!(
            self,
            Self::Up(_)
                | Self::Serve(_)
                | Self::Doctor(_)
                | Self::Replay(_)
                | Self::Backup(_)
                | Self::Restore(_)
                | Self::Context(_)
                | Self::Socket
                | Self::Validate(_)
                | Self::Simulate(_)
                | Self::Init(_)
                | Self::Import(_)
                | Self::Export(_)
                | Self::Explain(_)
                | Self::Schema
                | Self::Completion(_)
                | Self::Man(_)
        )
    }
}
