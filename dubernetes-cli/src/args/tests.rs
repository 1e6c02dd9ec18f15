use clap::{Command as Clap, CommandFactory as _};

use super::*;

/// Returns every command of ours, nested ones included, with its words.
fn all_commands() -> Vec<(Vec<String>, Clap)> {
    fn walk(above: &[String], commands: &[&Clap], found: &mut Vec<(Vec<String>, Clap)>) {
        // clap writes the help of its own `help`.
        for command in commands.iter().filter(|command| command.get_name() != "help") {
            let mut words = above.to_vec();
            words.push(command.get_name().to_owned());
            let below: Vec<&Clap> = command.get_subcommands().collect();
            walk(&words, &below, found);
            found.push((words, (*command).clone()));
        }
    }
    let mut cli = Cli::named("dubernetes");
    cli.build();
    let mut found = Vec::new();
    walk(&[], &cli.get_subcommands().collect::<Vec<_>>(), &mut found);
    found
}

/// Returns the words of each example, without shell syntax.
fn parse_examples(help: &str) -> Vec<Vec<&str>> {
    let section = help.split_once("Examples:\n").map_or("", |(_, rest)| rest);
    let lines = section.lines().take_while(|line| line.starts_with("  "));
    let program = lines.flat_map(|line| line.split(['|', ';']).flat_map(|part| part.split("&&")));
    let program = program.map(str::trim).filter(|part| part.starts_with("dubernetes "));
    program
        .map(|part| {
            let command = part.split('>').next().unwrap_or_default();
            // A description follows after two spaces.
            command.split("  ").next().unwrap_or_default().split_whitespace().collect()
        })
        .collect()
}

#[test]
fn command_line_passes_debug_assert() {
    Cli::command().debug_assert();
}

#[test]
fn every_help_has_summary_valid_examples_and_exit_codes() {
    for (words, mut command) in all_commands() {
        let shown = words.join(" ");
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        assert!(!about.is_empty() && !about.contains('\n'), "{shown}: {about:?}");
        let help = command.render_long_help().to_string();
        assert!(help.contains("Exit codes:"), "{help}");
        let examples = parse_examples(&help);
        assert!(examples.len() >= 2, "{shown} has fewer than two examples:\n{help}");
        for example in examples {
            let parsed = Cli::command().try_get_matches_from(&example);
            let parsed = parsed.unwrap_or_else(|error| panic!("{}: {error}", example.join(" ")));
            let mut found = Vec::new();
            let mut level = &parsed;
            while let Some((name, below)) = level.subcommand() {
                found.push(name.to_owned());
                level = below;
            }
            let ours = found.starts_with(&words);
            assert!(ours, "{shown} shows an example of another command: {}", example.join(" "));
        }
    }
}

#[test]
fn every_option_has_help_with_its_variable() {
    let mut variables = 0;
    for (words, mut command) in all_commands() {
        let shown = words.join(" ");
        let help: String =
            command.render_long_help().to_string().split_whitespace().collect::<Vec<_>>().join(" ");
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            assert!(arg.get_help().is_some(), "{shown}: {} has no help", arg.get_id());
            let Some(variable) = arg.get_env() else { continue };
            let variable = format!("[env: {}", variable.to_string_lossy());
            assert!(help.contains(&variable), "{shown}: {variable} is not in its help");
            variables += 1;
        }
    }
    assert!(variables > 5, "no variables found");
}
