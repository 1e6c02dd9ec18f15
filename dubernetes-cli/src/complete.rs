//! Names that exist, while a command is being typed. The shell asks this program, and this asks
//! the orchestrator, if one runs: completion starts nothing, waits for nobody, and says nothing
//! of what went wrong.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use clap::ValueEnum as _;
use clap_complete::env::{CompleteEnv, Shells};
use clap_complete::{CompletionCandidate, Shell};
use dubernetes_api::Client;
use dubernetes_manifest::reference::{self, Key};

use crate::args::{Cli, Condition, Kind};
use crate::report::{Failure, Outcome};
use crate::settings::Settings;
use crate::target::running;

/// Set by the shell's script when it asks.
const VARIABLE: &str = "DUBERNETES_COMPLETE";
/// How long names may take; who types does not wait longer.
const LIMIT: Duration = Duration::from_millis(100);
/// The flags that say which orchestrator is meant.
const WHERE: [&str; 4] = ["--host", "--state-dir", "--instance", "--config"];

/// Answers the shell, if it is the one who asks.
pub(crate) fn answer(program: &'static str) -> Outcome<bool> {
    let folder = std::env::current_dir().ok();
    CompleteEnv::with_factory(|| Cli::named(program))
        .var(VARIABLE)
        .bin(program)
        .completer(program)
        .try_complete(std::env::args_os(), folder.as_deref().map(Path::new))
        .map_err(Failure::from)
}

/// The script that makes a shell ask.
pub(crate) fn script(shell: Shell, program: &str) -> Outcome<Vec<u8>> {
    let name = shell.to_string();
    let shells = Shells::builtins();
    let Some(completer) = shells.completer(&name) else {
        return Err(Failure::new(format!("there is no completion for {name}")));
    };
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, program, program, program, &mut script)?;
    Ok(script)
}

/// Names of apps.
pub(crate) fn apps(current: &OsStr) -> Vec<CompletionCandidate> {
    named(current, Kind::Apps)
}

/// Names of apps and pods; `app/…` and `pod/…` as well.
pub(crate) fn apps_and_pods(current: &OsStr) -> Vec<CompletionCandidate> {
    match kind_of(current) {
        Some((prefix, kind)) => with_prefix(current, &prefix, kind),
        None => named(current, Kind::Apps).into_iter().chain(named(current, Kind::Pods)).collect(),
    }
}

/// Kinds of things, and `app/…` and `pod/…`.
pub(crate) fn kinds(current: &OsStr) -> Vec<CompletionCandidate> {
    if let Some((prefix, kind)) = kind_of(current) {
        return with_prefix(current, &prefix, kind);
    }
    let kinds = Kind::value_variants().iter().filter_map(clap::ValueEnum::to_possible_value);
    candidates(current, kinds.map(|kind| kind.get_name().to_owned()))
}

/// Names of the kind that was typed before: `pods web-1`, `revisions web`.
pub(crate) fn of_typed_kind(current: &OsStr) -> Vec<CompletionCandidate> {
    let kind = words().iter().rev().find_map(|word| Kind::from_str(word.to_str()?, false).ok());
    match kind {
        Some(kind @ (Kind::Apps | Kind::Pods)) => named(current, kind),
        // These are listed for an app.
        Some(Kind::Revisions | Kind::Events) => named(current, Kind::Apps),
        Some(Kind::Routes) => Vec::new(),
        None => apps_and_pods(current),
    }
}

/// Numbers of the revisions that are kept of the app that was typed before.
pub(crate) fn revisions(current: &OsStr) -> Vec<CompletionCandidate> {
    let typed = words();
    let mut after_verb = typed.iter().skip_while(|word| {
        !["rollback", "undo", "history"].iter().any(|verb| word.as_os_str() == OsStr::new(verb))
    });
    after_verb.next();
    let app = after_verb.filter_map(|word| word.to_str()).find(|word| !word.starts_with('-'));
    let app = app.map(|app| app.rsplit('/').next().unwrap_or(app).to_owned());
    candidates(current, app.map(|app| ask(What::RevisionsOf(app))).unwrap_or_default())
}

/// What stands before the `/`, and what it means.
fn kind_of(current: &OsStr) -> Option<(String, Kind)> {
    let (kind, _) = current.to_str()?.split_once('/')?;
    Some((format!("{kind}/"), Kind::from_str(kind, false).ok()?))
}

fn with_prefix(current: &OsStr, prefix: &str, kind: Kind) -> Vec<CompletionCandidate> {
    let names = ask(What::Named(kind)).into_iter().map(|name| format!("{prefix}{name}"));
    candidates(current, names)
}

/// Keys of the file.
pub(crate) fn keys(current: &OsStr) -> Vec<CompletionCandidate> {
    fn collect(above: &str, keys: &'static [Key], found: &mut Vec<String>) {
        for key in keys {
            let path = format!("{above}{}", key.name);
            if let reference::Kind::Object(level) = key.kind {
                collect(&format!("{path}."), level.keys, found);
            }
            found.push(path);
        }
    }
    let mut found = Vec::new();
    collect("", reference::APP, &mut found);
    candidates(current, found)
}

/// What can be waited for.
pub(crate) fn conditions(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, Condition::words())
}

/// The commands; behind `rollout` those below it.
pub(crate) fn commands(current: &OsStr) -> Vec<CompletionCandidate> {
    let mut command = Cli::named("dubernetes");
    for word in words().iter().skip_while(|word| *word != "help").skip(1) {
        if let Some(below) = word.to_str().and_then(|word| command.find_subcommand(word)) {
            command = below.clone();
        }
    }
    let names = command.get_subcommands().filter(|command| !command.is_hide_set());
    candidates(current, names.map(|command| command.get_name().to_owned()))
}

fn named(current: &OsStr, kind: Kind) -> Vec<CompletionCandidate> {
    candidates(current, ask(What::Named(kind)))
}

fn candidates(
    current: &OsStr,
    names: impl IntoIterator<Item = String>,
) -> Vec<CompletionCandidate> {
    let begun = current.to_str().unwrap_or_default();
    let fitting = names.into_iter().filter(|name| name.starts_with(begun));
    fitting.map(CompletionCandidate::new).collect()
}

/// The words of the command that is being typed.
fn words() -> Vec<OsString> {
    std::env::args_os().skip_while(|word| word != "--").skip(1).collect()
}

/// What is asked for.
enum What {
    /// The names of this kind.
    Named(Kind),
    /// The numbers of the revisions of this app.
    RevisionsOf(String),
}

/// What the orchestrator says, or nothing if that cannot be had in time.
fn ask(what: What) -> Vec<String> {
    let (send, receive) = mpsc::channel();
    // A thread of its own: whatever it waits for, this process ends without it.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let names = runtime.ok().and_then(|runtime| runtime.block_on(names(what)));
        // Nobody listens any more once the time is over.
        let _ = send.send(names.unwrap_or_default());
    });
    receive.recv_timeout(LIMIT).unwrap_or_default()
}

async fn names(what: What) -> Option<Vec<String>> {
    let (cli, file, _) = crate::parse("dubernetes", where_typed()).ok()?;
    let settings = Settings::new(&cli.global, &crate::settings::User::present(), file).ok()?;
    let client: Client = running(&settings).await.ok()??;
    match what {
        What::RevisionsOf(app) => {
            let revisions = client.revisions(&app).await.ok()?;
            Some(revisions.into_iter().map(|kept| kept.revision.to_string()).collect())
        }
        What::Named(Kind::Pods) => {
            let pods = client.pods(None).await.ok()?;
            Some(pods.into_iter().map(|pod| pod.name).collect())
        }
        What::Named(Kind::Apps | Kind::Revisions | Kind::Events | Kind::Routes) => {
            let apps = client.list_apps().await.ok()?;
            Some(apps.into_iter().map(|app| app.name.to_string()).collect())
        }
    }
}

/// A whole command line with those of the typed words that say which orchestrator is meant.
fn where_typed() -> Vec<OsString> {
    let mut kept = vec![OsString::from("dubernetes")];
    let mut words = words().into_iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        if WHERE.contains(&text.as_str()) {
            kept.extend([Some(word), words.next()].into_iter().flatten());
        } else if WHERE.iter().any(|flag| text.starts_with(&format!("{flag}="))) {
            kept.push(word);
        }
    }
    kept.push("status".into());
    kept
}
