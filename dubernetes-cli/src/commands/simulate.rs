//! `simulate`: simulates apps, and shows a timeline and a chart. Touches nothing outside.

use dubernetes_core::event::{Event, EventKind};

use crate::args::{Format, SimulateArgs};
use crate::output::{self, Cell, Table};
use crate::report::{self, Result};
use crate::settings::Settings;
use crate::simulate::chart::{Glyphs, chart};
use crate::simulate::simulate;
use crate::simulate::timeline::{Entry, Timeline};
use crate::style;

pub(super) async fn run(args: &SimulateArgs, settings: &Settings) -> Result {
    let timeline = simulate(args, settings).await?;
    match args.format.format() {
        Format::Table | Format::Wide => {
            let chart = chart(&timeline, Glyphs::from_environment(), output::width());
            output::print(&format!("{}\n{chart}", timeline_table(&timeline)))?;
        }
        format @ (Format::Json | Format::Yaml | Format::Name) => {
            for (_, entry) in &timeline.entries {
                match entry {
                    Entry::Event(event) => output::print(&event_text(event, format)?)?,
                    Entry::Injected { .. } => {}
                }
            }
        }
    }
    if args.time.is_none() && !timeline.converged {
        report::note(&format!("not converged after {}", output::span(timeline.took)));
        report::help("`--for TIME` simulates longer");
    }
    Ok(())
}

/// Returns an event as `events -w` prints it.
fn event_text(event: &Event, format: Format) -> Result<String> {
    Ok(match format {
        Format::Yaml => format!("---\n{}", output::value(event, Format::Yaml)?),
        Format::Name => format!("event/{}\n", event.id),
        Format::Table | Format::Wide | Format::Json => output::change("ADDED", event)?,
    })
}

fn timeline_table(timeline: &Timeline) -> String {
    let mut table = Table::new(&["TIME", "OBJECT", "WHAT", "MESSAGE"]);
    for (time, entry) in &timeline.entries {
        let mut row = vec![Cell::exact(output::seconds(*time))];
        match entry {
            Entry::Event(event) => {
                let object = event.object();
                row.push(Cell::new(object.unwrap_or("dubernetes")));
                row.push(match event.kind {
                    EventKind::Normal => Cell::new(&event.reason),
                    EventKind::Warning => Cell::styled(&event.reason, style::WARNING),
                });
                row.push(Cell::new(&event.message));
            }
            Entry::Injected { object, word, text } => {
                row.push(Cell::new(object));
                row.push(Cell::styled(format!("> {word}"), style::NOTE));
                row.push(Cell::new(text));
            }
        }
        table.push(row);
    }
    table.render(true, output::width())
}
