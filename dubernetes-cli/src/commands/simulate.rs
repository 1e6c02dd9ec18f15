//! `simulate`: what would become of files' apps, as a timeline and a chart. Nothing is touched.

use crate::args::{Format, SimulateArgs};
use crate::output::{self, Cell, Table, style};
use crate::report::{self, Outcome};
use crate::settings::Settings;
use crate::simulate::chart::{Signs, chart};
use crate::simulate::{Course, Entry, simulate};

use dubernetes_core::event::{Event, EventKind};

pub(super) async fn run(args: &SimulateArgs, settings: &Settings) -> Outcome {
    let course = simulate(args, settings).await?;
    let events = course.entries.iter().filter_map(|(_, entry)| match entry {
        Entry::Event(event) => Some(&**event),
        Entry::Step { .. } => None,
    });
    match args.format.format() {
        Format::Table | Format::Wide => {
            let chart = chart(&course, Signs::of_environment(), output::width());
            output::print(&format!("{}\n{chart}", timeline(&course)))?;
        }
        format @ (Format::Json | Format::Yaml | Format::Name) => {
            for event in events {
                output::print(&line(event, format)?)?;
            }
        }
    }
    if args.time.is_none() && !course.converged {
        report::note(&format!("something is still to be done after {}", output::span(course.took)));
        report::help("`--for TIME` goes on longer");
    }
    Ok(())
}

/// An event as `events -w` writes it.
fn line(event: &Event, format: Format) -> Outcome<String> {
    Ok(match format {
        Format::Yaml => format!("---\n{}", output::value(event, Format::Yaml)?),
        Format::Name => format!("event/{}\n", event.id),
        Format::Table | Format::Wide | Format::Json => output::change("ADDED", event)?,
    })
}

fn timeline(course: &Course) -> String {
    let mut table = Table::new(&["TIME", "OBJECT", "WHAT", "MESSAGE"]);
    for (time, entry) in &course.entries {
        let mut row = vec![Cell::exact(output::seconds(*time))];
        match entry {
            Entry::Event(event) => {
                let object = event.pod.as_deref().or(event.app.as_ref().map(|app| app.as_str()));
                row.push(Cell::new(object.unwrap_or("dubernetes")));
                row.push(match event.kind {
                    EventKind::Normal => Cell::new(&event.reason),
                    EventKind::Warning => Cell::styled(&event.reason, style::WARNING),
                });
                row.push(Cell::new(&event.message));
            }
            Entry::Step { object, word, text } => {
                row.push(Cell::new(object));
                row.push(Cell::styled(format!("> {word}"), style::NOTE));
                row.push(Cell::new(text));
            }
        }
        table.push(row);
    }
    table.render(true, output::width())
}
