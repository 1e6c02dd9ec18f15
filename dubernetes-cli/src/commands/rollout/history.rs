//! `rollout history`: lists the stored revisions, or shows the details of one.

use std::fmt::Write as _;

use dubernetes_api::wire::Revision;
use dubernetes_core::app::PodName;
use dubernetes_core::error::{is_unsafe, one_line};
use dubernetes_manifest::to_yaml;
use jiff::Timestamp;

use crate::args::{Format, HistoryArgs};
use crate::output::{self, Cell, ListStyle, Table, age, or_none, short_id};
use crate::report::{CliError, Result};
use crate::resolve::find_app;
use crate::settings::Settings;
use crate::target::{Mode, Target};

pub(super) async fn run(args: &HistoryArgs, settings: &Settings) -> Result {
    let (app, mut revisions) = Target::with(settings, Mode::Observe, async |target: &Target| {
        let app = find_app(&target.client, &args.name).await?;
        let revisions = target.client.revisions(app.name.as_str()).await?;
        Ok((app.name, revisions))
    })
    .await?;
    let format = args.list.format();
    let now = Timestamp::now();
    if let Some(number) = args.revision {
        let existing: Vec<_> = revisions.iter().map(|item| item.revision.to_string()).collect();
        revisions.retain(|item| item.revision == number);
        if revisions.is_empty() {
            return Err(CliError::new(format!("app `{app}` has no revision {number}"))
                .help(format!("existing revisions: {}", existing.join(", "))));
        }
    }
    let text = match (format, args.revision, &revisions[..]) {
        (Format::Table | Format::Wide, Some(_), [revision]) => details_text(revision, now),
        (Format::Table | Format::Wide, _, _) => {
            let wide = format == Format::Wide;
            revisions_table(&revisions, wide, now).render(!args.list.no_headers, output::width())
        }
        (Format::Json | Format::Yaml | Format::Name, number, _) => {
            let style = ListStyle { format, headers: true, single: number.is_some() };
            output::list(&revisions, style, now)?
        }
    };
    output::print(&text)
}

fn revisions_table(revisions: &[Revision], wide: bool, now: Timestamp) -> Table {
    let mut table = Table::new(&["REVISION", "IMAGE", "DIGEST", "CAUSE", "OUTCOME", "AGE"]);
    for revision in revisions {
        let digest = revision.digest.as_ref();
        let short = digest.map(|id| if wide { id.to_string() } else { short_id(&id.0) });
        table.push(vec![
            Cell::new(revision.revision.to_string()),
            Cell::new(&revision.image),
            Cell::new(or_none(short)),
            Cell::new(&revision.cause),
            Cell::new(revision.outcome.as_str()),
            Cell::new(age(revision.created_at, now)),
        ]);
    }
    table
}

fn details_text(revision: &Revision, now: Timestamp) -> String {
    let current = if revision.current { " (current)" } else { "" };
    let mut text = String::new();
    let mut add = |label: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<10}{}", format!("{label}:"), one_line(value));
    };
    add("App", revision.app.as_str());
    add("Revision", &format!("{}{current}", revision.revision));
    let digest = revision.digest.as_ref().map(|id| format!(" ({})", id.0)).unwrap_or_default();
    add("Image", &format!("{}{digest}", revision.image));
    add("Created", &format!("{} ago, {}", age(revision.created_at, now), revision.created_at));
    add("Cause", &revision.cause);
    let reason = revision.failure.as_ref().map(|failure| format!(": {}", failure.reason));
    add("Outcome", &format!("{}{}", revision.outcome, reason.unwrap_or_default()));
    if let Some(failure) = revision.failure.as_ref().filter(|failure| !failure.log.is_empty()) {
        let pod = failure.pod.as_ref().map_or("a pod", PodName::as_str);
        push_lines(&mut text, &format!("Last lines of {pod}"), &failure.log);
    }
    if !revision.pre_deploy_log.is_empty() {
        push_lines(&mut text, "Last lines of pre_deploy", &revision.pre_deploy_log);
    }
    let _ = writeln!(text, "Spec:");
    for line in to_yaml(&revision.spec).lines() {
        let _ = writeln!(text, "  {}", line.replace(is_unsafe, ""));
    }
    text
}

fn push_lines(text: &mut String, label: &str, lines: &[String]) {
    let _ = writeln!(text, "{label}:");
    for line in lines {
        let _ = writeln!(text, "  | {}", one_line(line));
    }
}
