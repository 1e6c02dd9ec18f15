//! `replay`: repeats recorded decisions of the controller with the same function.

use std::collections::VecDeque;

use dubernetes_core::error::one_line;
use dubernetes_core::replay::{Decision, Journal as _};
use jiff::Timestamp;

use crate::args::{Moment, ReplayArgs};
use crate::journal::JournalFolder;
use crate::output;
use crate::report::{self, CliError, Result};
use crate::settings::Settings;

pub(super) fn run(args: &ReplayArgs, settings: &Settings) -> Result {
    settings.check_local("replay", "reads the state folder of this machine")?;
    let folder = &settings.paths.state_dir;
    let now = Timestamp::now();
    let until = match args.at {
        Some(Moment::Time(time)) => time,
        Some(Moment::Ago(ago)) => now.saturating_sub(ago).unwrap_or(Timestamp::MIN),
        None => Timestamp::MAX,
    };
    let count = usize::from(args.last.unwrap_or(1));
    let mut found: VecDeque<Decision> = VecDeque::new();
    let unread = JournalFolder(folder.clone()).read(&mut |decision| {
        if decision.at <= until {
            found.push_back(decision);
        }
        if found.len() > count {
            found.pop_front();
        }
    });
    let unread = unread.map_err(|error| {
        let what = format!("cannot read the journal in `{}`", folder.display());
        CliError::with_io_source(&what, &error)
    })?;
    if unread > 0 {
        report::note(&format!("skipped {unread} lines that are cut or from another version"));
    }
    if found.is_empty() {
        let when = if args.at.is_some() { " up to that time" } else { "" };
        let what = format!("no decision{when} is recorded in `{}`", folder.display());
        return Err(CliError::new(what)
            .help("`serve`, `up` and commands without an orchestrator record decisions"));
    }
    let mut different = 0;
    for decision in &found {
        let replayed = decision.replay().to_string();
        different += usize::from(replayed != decision.plan);
        output::print(&decision_text(decision, &replayed, now))?;
    }
    if different > 0 {
        let what = format!("{different} of {} decisions differ", found.len());
        return Err(CliError::new(what).help("another version of the program recorded them"));
    }
    Ok(())
}

fn decision_text(decision: &Decision, replayed: &str, now: Timestamp) -> String {
    let mut out = format!("{}, {} ago\n", decision.at, output::age(decision.at, now));
    let mut push_block = |title: &str, text: &str| {
        out.push_str(&format!("{title}:\n"));
        let text = if text.is_empty() { "nothing to do" } else { text };
        for line in text.lines() {
            out.push_str(&format!("  {}\n", one_line(line)));
        }
    };
    push_block("given", &decision.input());
    push_block("plan", replayed);
    if replayed == decision.plan {
        out.push_str("same as recorded\n\n");
    } else {
        push_block("recorded plan", &decision.plan);
        out.push('\n');
    }
    out
}
