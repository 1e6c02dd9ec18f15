//! `replay`: decisions that the controller has made, made again by the same function.

use std::collections::VecDeque;

use dubernetes_core::error::one_line;
use dubernetes_core::replay::Decision;
use jiff::Timestamp;

use crate::args::{Moment, ReplayArgs};
use crate::journal;
use crate::output;
use crate::report::{self, CliError, Result};
use crate::settings::Settings;

pub(super) fn run(args: &ReplayArgs, settings: &Settings) -> Result {
    let folder = &settings.paths.state_dir;
    let now = Timestamp::now();
    let until = match args.at {
        Some(Moment::Time(time)) => time,
        Some(Moment::Ago(ago)) => now.saturating_sub(ago).unwrap_or(Timestamp::MIN),
        None => Timestamp::MAX,
    };
    let count = usize::from(args.last.unwrap_or(1));
    let mut found: VecDeque<Decision> = VecDeque::new();
    let unread = journal::read(folder, |decision| {
        if decision.at <= until {
            found.push_back(decision);
        }
        if found.len() > count {
            found.pop_front();
        }
    })?;
    if unread > 0 {
        report::note(&format!(
            "{unread} lines were written by another version, or cut, and left out"
        ));
    }
    if found.is_empty() {
        let when = if args.at.is_some() { " of that time or before" } else { "" };
        let what = format!("no decision{when} is kept in `{}`", folder.display());
        return Err(CliError::new(what)
            .help("what acts keeps them: `serve`, `up`, and commands without an orchestrator"));
    }
    let mut others = 0;
    for decision in &found {
        let again = decision.again().to_string();
        others += usize::from(again != decision.plan);
        output::print(&text(decision, &again, now))?;
    }
    if others > 0 {
        let what = format!("{others} of {} decisions are other ones now", found.len());
        return Err(CliError::new(what).help("another version of the program has made them"));
    }
    Ok(())
}

fn text(decision: &Decision, again: &str, now: Timestamp) -> String {
    let mut out = format!("{}, {} ago\n", decision.at, output::age(decision.at, now));
    let mut block = |title: &str, text: &str| {
        out.push_str(&format!("{title}:\n"));
        for line in text.lines() {
            out.push_str(&format!("  {}\n", one_line(line)));
        }
    };
    block("given", &decision.input());
    let or_nothing = |text: &str| if text.is_empty() { "nothing to do\n" } else { text }.to_owned();
    block("plan", &or_nothing(again));
    if again == decision.plan {
        out.push_str("the same as then\n\n");
    } else {
        block("but then it was", &or_nothing(&decision.plan));
        out.push('\n');
    }
    out
}
