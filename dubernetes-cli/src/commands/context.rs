//! `context`: names for the hosts that commands talk to.

use jiff::Timestamp;
use serde::Serialize;

use crate::args::{ContextAddArgs, ContextArgs, ContextVerb, ListArgs};
use crate::contexts::Contexts;
use crate::output::{self, Cell, Column, Row, column, yes_or_no};
use crate::report::{self, Result};
use crate::settings::{Settings, User};

pub(super) fn run(args: &ContextArgs, settings: &Settings) -> Result {
    let user = User::current();
    let mut contexts = Contexts::read(&user)?;
    match &args.verb {
        ContextVerb::Add(args) => add(args, contexts, &user),
        ContextVerb::List(args) => list(args, &contexts),
        ContextVerb::Use(args) => {
            contexts.select(&args.name)?;
            contexts.write(&user)?;
            if let Some(host) = &settings.host {
                report::warn(&format!("the setting `host` ({host}) wins over contexts"));
            }
            output::print(&format!("context/{} in use\n", args.name))
        }
        ContextVerb::Remove(args) => {
            contexts.remove(&args.name)?;
            contexts.write(&user)?;
            output::print(&format!("context/{} removed\n", args.name))
        }
    }
}

fn add(args: &ContextAddArgs, mut contexts: Contexts, user: &User) -> Result {
    let is_new = contexts.add(&args.name, &args.url, args.replace)?;
    contexts.write(user)?;
    let change = if is_new { "added" } else { "configured" };
    output::print(&format!("context/{} {change}\n", args.name))?;
    if is_new {
        report::help(&format!("`dubernetes context use {}` makes it the one in use", args.name));
    }
    Ok(())
}

/// A context, as it is listed.
#[derive(Debug, PartialEq, Serialize)]
struct Context<'a> {
    name: &'a str,
    /// Null for this machine.
    host: Option<&'a str>,
    current: bool,
}

impl Row for Context<'_> {
    fn columns() -> Vec<Column<Self>> {
        vec![
            column("NAME", |context, _| Cell::new(context.name)),
            column("CURRENT", |context, _| yes_or_no(context.current)),
            column("HOST", |context, _| Cell::new(context.host.unwrap_or("this machine"))),
        ]
    }

    fn full_name(&self) -> String {
        format!("context/{}", self.name)
    }
}

fn list(args: &ListArgs, contexts: &Contexts) -> Result {
    let current = contexts.current();
    let listed = |(name, host)| Context { name, host, current: name == current };
    let items: Vec<_> = contexts.all().map(listed).collect();
    output::print(&output::list(&items, args.style(), Timestamp::now())?)
}
