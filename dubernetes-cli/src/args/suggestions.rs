//! Usage errors with a suggestion for commands of docker and kubectl.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Cli;
use crate::report::{CliError, USAGE};

/// Commands of docker and kubectl, each with our equivalent.
const COMMANDS: &[(&[&str], &str)] = &[
    (
        &["ps", "ls", "list", "pods", "apps", "container"],
        "`dubernetes get pods` and `dubernetes get apps` list what is running",
    ),
    (&["create", "new"], "`dubernetes init` writes a file, `dubernetes apply FILE` runs it"),
    (
        &["compose", "stack"],
        "`dubernetes apply FILE` runs the apps in a file, `dubernetes up FILE` in the foreground",
    ),
    (
        &["set", "edit", "patch", "replace", "update", "deploy"],
        "edit the file, then `dubernetes apply FILE`; `dubernetes diff FILE` shows the changes",
    ),
    (
        &["label", "annotate"],
        "add `labels` to the file, then `dubernetes apply FILE`; \
         `dubernetes explain labels` describes them",
    ),
    (
        &["expose", "port"],
        "add `port` and `access` to the file (see `dubernetes explain access`); \
         `dubernetes port-forward NAME LOCAL:REMOTE` forwards a local port",
    ),
    (&["rm", "remove"], "`dubernetes delete NAME` deletes an app, `dubernetes down` everything"),
    (&["destroy", "prune"], "`dubernetes down` removes everything that this instance owns"),
    (&["stop"], "`dubernetes scale NAME 0` stops an app, `dubernetes delete NAME` deletes it"),
    (&["start"], "`dubernetes scale NAME N` starts an app, `dubernetes serve` the orchestrator"),
    (&["restart"], "`dubernetes rollout restart NAME` restarts an app"),
    (&["kill"], "`dubernetes delete pods NAME` replaces a pod"),
    (&["pause"], "`dubernetes rollout pause NAME` pauses a rollout"),
    (&["resume", "unpause"], "`dubernetes rollout resume NAME` resumes a rollout"),
    (&["undo"], "`dubernetes rollback NAME` rolls back to an earlier revision"),
    (&["history"], "`dubernetes rollout history NAME` lists the revisions"),
    (
        &["inspect"],
        "`dubernetes describe NAME` shows the details, `dubernetes get apps NAME -o json` as JSON",
    ),
    (&["stats"], "`dubernetes top` shows CPU and memory usage"),
    (&["attach"], "`dubernetes logs NAME -f` follows the output"),
    (&["watch"], "`dubernetes get apps -w` shows each change"),
    (&["info", "cluster-info"], "`dubernetes status` shows the status of all parts"),
    (&["daemon", "server"], "`dubernetes serve` runs the orchestrator"),
];

/// Converts clap's usage error. Adds our equivalent of a command of other tools, and renders the
/// usage line again: that of clap lists flags that the environment sets as required.
pub(crate) fn usage_error(
    mut error: clap::Error,
    program: &'static str,
    words: &[OsString],
) -> CliError {
    if error.kind() == ErrorKind::InvalidSubcommand
        && let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand)
        && let Some(hint) = hint_for(word)
    {
        let what = format!("unrecognized subcommand '{}'", word.escape_debug());
        return CliError::with_exit(USAGE, what).help(hint);
    }
    if error.get(ContextKind::Usage).is_some() {
        let usage = render_usage(program, words);
        error.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    CliError::from(error)
}

fn hint_for(word: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(words, _)| words.contains(&word)).map(|(_, hint)| *hint)
}

/// Renders the usage of the command that `words` name.
fn render_usage(program: &'static str, words: &[OsString]) -> clap::builder::StyledStr {
    // `help rollout` is about `rollout`.
    let words = words.iter().filter(|word| *word != "help");
    let whole = Cli::named(program).ignore_errors(true).try_get_matches_from(words);
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
    fn hints_name_existing_commands_for_unknown_words() {
        let cli = Cli::command();
        for (words, hint) in COMMANDS {
            for word in *words {
                assert!(cli.find_subcommand(word).is_none(), "{word} is a command");
            }
            let named = hint.split('`').filter_map(|part| part.strip_prefix("dubernetes "));
            let named: Vec<_> = named.map(|part| part.split(' ').next().unwrap()).collect();
            assert!(!named.is_empty(), "{hint}");
            for verb in named {
                assert!(cli.find_subcommand(verb).is_some(), "{verb} is not a command: {hint}");
            }
        }
        let all: Vec<_> = COMMANDS.iter().flat_map(|(words, _)| *words).collect();
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(all.len(), distinct.len(), "a word is listed twice");
    }
}
