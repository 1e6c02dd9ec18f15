//! Shell completion: names and revisions that exist, while a command is being typed.
//!
//! The shell runs this program, which asks the orchestrator, if one is running. Completion starts
//! nothing, waits only briefly, and reports no errors.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use clap::{Arg, Command, ValueEnum as _};
use clap_complete::env::{CompleteEnv, Shells};
use clap_complete::{ArgValueCompleter, CompletionCandidate, Shell};
use dubernetes_manifest::reference::{self, Key};

use crate::args::{Cli, Condition, Kind};
use crate::contexts::Contexts;
use crate::parse::parse;
use crate::report::{CliError, Result};
use crate::settings::{Settings, User};
use crate::target::find_running;

/// Environment variable that the shell's script sets.
const VARIABLE: &str = "DUBERNETES_COMPLETE";
/// How long fetching names may take: a user who types does not wait longer.
const TIMEOUT: Duration = Duration::from_millis(100);
/// Flags that select the orchestrator.
const TARGET_FLAGS: [&str; 5] = ["--host", "--context", "--state-dir", "--instance", "--config"];

/// Answers a shell that asks for completions. Returns whether a shell asked.
pub(crate) fn answer_shell(program: &'static str) -> Result<bool> {
    let folder = std::env::current_dir().ok();
    CompleteEnv::with_factory(|| with_completers(Cli::named(program)))
        .var(VARIABLE)
        .bin(program)
        .completer(program)
        .try_complete(std::env::args_os(), folder.as_deref().map(Path::new))
        .map_err(CliError::from)
}

/// Returns the script that makes a shell ask this program.
pub(crate) fn script(shell: Shell, program: &str) -> Result<Vec<u8>> {
    let name = shell.to_string();
    let shells = Shells::builtins();
    let Some(completer) = shells.completer(&name) else {
        return Err(CliError::new(format!("there is no completion for {name}")));
    };
    let mut script = Vec::new();
    completer.write_registration(VARIABLE, program, program, program, &mut script)?;
    Ok(script)
}

/// Adds a completer to every argument with values that can be listed.
fn with_completers(command: Command) -> Command {
    let name = command.get_name().to_owned();
    command
        .mut_args(|arg| match completer(&name, &arg) {
            Some(completer) => arg.add(completer),
            None => arg,
        })
        .mut_subcommands(with_completers)
}

fn completer(command: &str, arg: &Arg) -> Option<ArgValueCompleter> {
    Some(match (command, arg.get_id().as_str()) {
        ("init" | "add", _) => return None,
        ("get", "resource") => ArgValueCompleter::new(complete_kinds),
        ("get" | "delete" | "top" | "describe" | "why", "name" | "names" | "words") => {
            ArgValueCompleter::new(complete_names_of_typed_kind)
        }
        ("logs" | "exec" | "events" | "port-forward" | "wait", "name" | "names") => {
            ArgValueCompleter::new(complete_apps_and_pods)
        }
        ("use" | "remove", "name") | (_, "context") => ArgValueCompleter::new(complete_contexts),
        (_, "secret" | "secrets") => ArgValueCompleter::new(complete_secrets),
        (_, "name" | "app") => ArgValueCompleter::new(complete_apps),
        (_, "to" | "revision") => ArgValueCompleter::new(complete_revisions),
        (_, "condition") => ArgValueCompleter::new(complete_conditions),
        (_, "key") => ArgValueCompleter::new(complete_keys),
        _ => return None,
    })
}

fn complete_apps(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, fetch(Listing::Names(Kind::Apps)))
}

fn complete_contexts(current: &OsStr) -> Vec<CompletionCandidate> {
    let contexts = Contexts::read(&User::current()).unwrap_or_default();
    candidates(current, contexts.all().map(|(name, _)| name.to_owned()))
}

fn complete_secrets(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, fetch(Listing::Secrets))
}

/// Completes names of apps and pods, `app/…` and `pod/…`.
fn complete_apps_and_pods(current: &OsStr) -> Vec<CompletionCandidate> {
    match typed_prefix(current) {
        Some((prefix, kind)) => prefixed_candidates(current, &prefix, kind),
        None => {
            let apps = fetch(Listing::Names(Kind::Apps));
            candidates(current, apps.into_iter().chain(fetch(Listing::Names(Kind::Pods))))
        }
    }
}

/// Completes kinds, `app/…` and `pod/…`.
fn complete_kinds(current: &OsStr) -> Vec<CompletionCandidate> {
    if let Some((prefix, kind)) = typed_prefix(current) {
        return prefixed_candidates(current, &prefix, kind);
    }
    let kinds = Kind::value_variants().iter().filter_map(clap::ValueEnum::to_possible_value);
    candidates(current, kinds.map(|kind| kind.get_name().to_owned()))
}

/// Completes names of the kind that was typed before: `pods web-1`, `revisions web`.
fn complete_names_of_typed_kind(current: &OsStr) -> Vec<CompletionCandidate> {
    let words = typed_words();
    let kind = words.iter().rev().find_map(|word| Kind::from_str(word.to_str()?, false).ok());
    match kind {
        Some(kind @ (Kind::Apps | Kind::Pods)) => candidates(current, fetch(Listing::Names(kind))),
        // These are listed by app.
        Some(Kind::Revisions | Kind::Events | Kind::Certificates) => complete_apps(current),
        Some(Kind::Routes | Kind::Nodes) => Vec::new(),
        None => complete_apps_and_pods(current),
    }
}

/// Completes revisions of the app that was typed before.
fn complete_revisions(current: &OsStr) -> Vec<CompletionCandidate> {
    let words = typed_words();
    let mut after_verb = words.iter().skip_while(|word| {
        !["rollback", "undo", "history"].iter().any(|verb| word.as_os_str() == OsStr::new(verb))
    });
    after_verb.next();
    let app = after_verb.filter_map(|word| word.to_str()).find(|word| !word.starts_with('-'));
    let app = app.map(|app| app.rsplit('/').next().unwrap_or(app).to_owned());
    candidates(current, app.map(|app| fetch(Listing::Revisions(app))).unwrap_or_default())
}

fn complete_conditions(current: &OsStr) -> Vec<CompletionCandidate> {
    candidates(current, Condition::all_words())
}

/// Completes keys of the manifest.
fn complete_keys(current: &OsStr) -> Vec<CompletionCandidate> {
    fn collect(above: &str, keys: &'static [Key], found: &mut Vec<String>) {
        for key in keys {
            let path = format!("{above}{}", key.name);
            if let Some(level) = key.kind.fixed_keys() {
                collect(&format!("{path}."), level.keys, found);
            }
            found.push(path);
        }
    }
    let mut found = Vec::new();
    collect("", reference::APP, &mut found);
    candidates(current, found)
}

/// Returns the `kind/` that the current word begins with.
fn typed_prefix(current: &OsStr) -> Option<(String, Kind)> {
    let (kind, _) = current.to_str()?.split_once('/')?;
    Some((format!("{kind}/"), Kind::from_str(kind, false).ok()?))
}

fn prefixed_candidates(current: &OsStr, prefix: &str, kind: Kind) -> Vec<CompletionCandidate> {
    let names = fetch(Listing::Names(kind)).into_iter().map(|name| format!("{prefix}{name}"));
    candidates(current, names)
}

fn candidates(
    current: &OsStr,
    names: impl IntoIterator<Item = String>,
) -> Vec<CompletionCandidate> {
    let start = current.to_str().unwrap_or_default();
    let matching = names.into_iter().filter(|name| name.starts_with(start));
    matching.map(CompletionCandidate::new).collect()
}

/// Returns the words of the command line that is being typed.
fn typed_words() -> Vec<OsString> {
    std::env::args_os().skip_while(|word| word != "--").skip(1).collect()
}

/// What to ask the orchestrator for.
enum Listing {
    /// Names of this kind.
    Names(Kind),
    /// Names of secrets.
    Secrets,
    /// Revisions of this app.
    Revisions(String),
}

/// Asks the orchestrator. Returns nothing if no answer comes in time.
fn fetch(listing: Listing) -> Vec<String> {
    let (send, receive) = mpsc::channel();
    // The process ends without waiting for this thread, whatever it is blocked on.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let names = runtime.ok().and_then(|runtime| runtime.block_on(request(listing)));
        // The receiver is gone after the timeout.
        let _ = send.send(names.unwrap_or_default());
    });
    receive.recv_timeout(TIMEOUT).unwrap_or_default()
}

async fn request(listing: Listing) -> Option<Vec<String>> {
    let (cli, file, _) = parse("dubernetes", typed_target_flags()).ok()?;
    let user = User::current();
    let settings = Settings::new(&cli.global, &user, file).ok()?;
    let settings = settings.with_context(cli.global.context.as_deref(), &user).ok()?;
    if settings.is_remote() {
        // A connection takes longer than a user waits, and may ask for a passphrase.
        return None;
    }
    let client = find_running(&settings).await.ok()??;
    match listing {
        Listing::Secrets => {
            let secrets = client.secrets().await.ok()?;
            Some(secrets.into_iter().map(|secret| secret.name.into()).collect())
        }
        Listing::Revisions(app) => {
            let revisions = client.revisions(&app).await.ok()?;
            Some(revisions.into_iter().map(|revision| revision.revision.to_string()).collect())
        }
        Listing::Names(Kind::Pods) => {
            let pods = client.pods(None).await.ok()?;
            Some(pods.into_iter().map(|pod| pod.name.into()).collect())
        }
        Listing::Names(
            Kind::Apps
            | Kind::Revisions
            | Kind::Events
            | Kind::Routes
            | Kind::Certificates
            | Kind::Nodes,
        ) => {
            let apps = client.list_apps().await.ok()?;
            Some(apps.into_iter().map(|app| app.name.to_string()).collect())
        }
    }
}

/// Returns a valid command line with those typed flags that select the orchestrator.
fn typed_target_flags() -> Vec<OsString> {
    let mut kept = vec![OsString::from("dubernetes")];
    let mut words = typed_words().into_iter();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy().into_owned();
        if TARGET_FLAGS.contains(&text.as_str()) {
            kept.extend([Some(word), words.next()].into_iter().flatten());
        } else if TARGET_FLAGS.iter().any(|flag| text.starts_with(&format!("{flag}="))) {
            kept.push(word);
        }
    }
    kept.push("status".into());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_argument_has_a_completer() {
        let mut cli = Cli::named("dubernetes");
        cli.build();
        let below = |name| cli.find_subcommand(name).unwrap().get_subcommands();
        for command in cli
            .get_subcommands()
            .chain(below("rollout"))
            .chain(below("secret"))
            .chain(below("context"))
        {
            let name = command.get_name();
            for arg in command.get_arguments() {
                let is_name = arg.get_value_names().is_some_and(|names| names == ["NAME"]);
                let is_completed = completer(name, arg).is_some();
                let expected = is_name && name != "init" && arg.get_id() != "instance";
                assert!(is_completed || !expected, "{name}: {}", arg.get_id());
            }
        }
    }
}
