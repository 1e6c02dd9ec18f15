//! Words that other tools have taught, and what they are here; and usage errors that say so.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Cli;
use crate::report::{CliError, USAGE};

/// Commands of docker and kubectl, each with the command that does the same here. A word without
/// one is not listed.
const COMMANDS: &[(&[&str], &str)] = &[
    (
        &["ps", "ls", "list", "pods", "apps", "container"],
        "`dubernetes get pods` and `dubernetes get apps` list what runs",
    ),
    (&["run", "create", "new"], "`dubernetes init` writes a file, `dubernetes apply FILE` runs it"),
    (
        &["compose", "stack"],
        "`dubernetes apply FILE` runs the apps of files, `dubernetes up FILE` in the foreground",
    ),
    (
        &["set", "edit", "patch", "replace", "update", "deploy"],
        "change the file, then `dubernetes apply FILE`; `dubernetes diff FILE` shows what differs",
    ),
    (
        &["label", "annotate"],
        "write `labels` into the file, then `dubernetes apply FILE`; \
         `dubernetes explain labels` says how",
    ),
    (
        &["expose", "port"],
        "write `port` and `access` into the file: `dubernetes explain access` says how; \
         `dubernetes port-forward NAME LOCAL:REMOTE` leads to it from this machine alone",
    ),
    (&["rm", "remove"], "`dubernetes delete NAME` deletes an app, `dubernetes down` everything"),
    (&["destroy", "prune"], "`dubernetes down` removes everything of this instance"),
    (&["stop"], "`dubernetes scale NAME 0` stops an app, `dubernetes delete NAME` deletes it"),
    (&["start"], "`dubernetes scale NAME N` starts an app, `dubernetes serve` the orchestrator"),
    (&["restart"], "`dubernetes rollout restart NAME` restarts an app"),
    (&["kill"], "`dubernetes delete pods NAME` has a pod replaced"),
    (&["pause"], "`dubernetes rollout pause NAME` holds a rollout"),
    (&["resume", "unpause"], "`dubernetes rollout resume NAME` lets a rollout go on"),
    (&["undo"], "`dubernetes rollback NAME` goes back to an earlier revision"),
    (&["history"], "`dubernetes rollout history NAME` lists the revisions"),
    (
        &["inspect"],
        "`dubernetes describe NAME` shows all, `dubernetes get apps NAME -o json` as JSON",
    ),
    (&["stats"], "`dubernetes top` shows processor time and memory"),
    (&["attach"], "`dubernetes logs NAME -f` follows the output"),
    (&["watch"], "`dubernetes get apps -w` goes on with each change"),
    (&["info", "cluster-info"], "`dubernetes status` shows how everything is"),
    (&["daemon", "server"], "`dubernetes serve` runs the orchestrator"),
];

/// Kinds of kubectl that are apps here.
const APPS: &[&str] = &[
    "deployment",
    "deployments",
    "deploy",
    "service",
    "services",
    "svc",
    "replicaset",
    "replicasets",
    "rs",
    "statefulset",
    "statefulsets",
    "sts",
];

/// What a kind of other tools is here.
pub(super) fn kind(word: &str) -> Option<&'static str> {
    match word {
        word if APPS.contains(&word) => Some("app"),
        "container" | "containers" => Some("pod"),
        "ingress" | "ingresses" | "ing" => Some("route"),
        _ => None,
    }
}

/// A usage error with the right word for one that other tools know, and with a line of usage that
/// does not take what the environment gives for what must be typed.
pub(crate) fn explained<T: Clone + Into<OsString>>(
    mut error: clap::Error,
    program: &'static str,
    words: &[T],
) -> CliError {
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && let Some(hint) = command(word)
    {
        let what = format!("unrecognized subcommand '{}'", word.escape_debug());
        return CliError::with_exit(USAGE, what).help(hint);
    }
    if error.get(ContextKind::Usage).is_some() {
        let usage = usage(program, words);
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    CliError::from(error)
}

fn command(word: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(words, _)| words.contains(&word)).map(|(_, hint)| *hint)
}

/// The usage of the command that these words lead to.
fn usage<T: Clone + Into<OsString>>(
    program: &'static str,
    words: &[T],
) -> clap::builder::StyledStr {
    let whole = Cli::named(program).ignore_errors(true).try_get_matches_from(words.iter().cloned());
    let mut names = Vec::new();
    let mut level = whole.as_ref().ok();
    while let Some((name, below)) = level.and_then(clap::ArgMatches::subcommand) {
        names.push(name.to_owned());
        level = Some(below);
    }
    let mut command = Cli::named(program);
    command.build();
    for name in names {
        if let Some(below) = command.find_subcommand(&name).cloned() {
            command = below;
        }
    }
    command.render_usage()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_hint_names_commands_that_exist_for_a_word_that_is_none() {
        let cli = Cli::command();
        for (words, hint) in COMMANDS {
            for word in *words {
                assert!(cli.find_subcommand(word).is_none(), "{word} is a command");
            }
            let named = hint.split('`').filter_map(|part| part.strip_prefix("dubernetes "));
            let named: Vec<_> = named.map(|part| part.split(' ').next().unwrap()).collect();
            assert!(!named.is_empty(), "{hint}");
            for verb in named {
                assert!(cli.find_subcommand(verb).is_some(), "{verb} is no command: {hint}");
            }
        }
        let all: Vec<_> = COMMANDS.iter().flat_map(|(words, _)| *words).collect();
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(all.len(), different.len(), "a word is there twice");
    }
}
