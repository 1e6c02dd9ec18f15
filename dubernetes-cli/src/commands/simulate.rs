//! `simulate`: simulates apps, and shows a timeline and a chart. Touches nothing outside.

use dubernetes_core::app::AppName;
use dubernetes_core::event::{Event, EventKind};
use dubernetes_web::simulation::{Availability, Injection, SimulationLine, Summary};
use jiff::Timestamp;

use crate::args::{Format, SimulateArgs};
use crate::output::{self, Cell, Table};
use crate::report::{self, Result};
use crate::settings::Settings;
use crate::simulate::chart::{Glyphs, chart};
use crate::simulate::simulate;
use crate::simulate::timeline::{self, Entry, Timeline};
use crate::style;

pub(super) async fn run(args: &SimulateArgs, settings: &Settings) -> Result {
    let timeline = simulate(args, settings).await?;
    match args.format.format() {
        Format::Table | Format::Wide => {
            let chart = chart(&timeline, Glyphs::from_environment(), output::width());
            output::print(&format!("{}\n{chart}", timeline_table(&timeline)))?;
        }
        Format::Json => {
            for line in lines(&timeline) {
                output::print(&format!("{}\n", serde_json::to_string(&line)?))?;
            }
        }
        Format::Yaml => {
            for event in events(&timeline) {
                output::print(&format!("---\n{}", output::value(event, Format::Yaml)?))?;
            }
        }
        Format::Name => {
            for event in events(&timeline) {
                output::print(&format!("event/{}\n", event.id))?;
            }
        }
    }
    if args.time.is_none() && !timeline.converged {
        report::note(&format!("not converged after {}", output::span(timeline.took)));
        report::help("`--for TIME` simulates longer");
    }
    Ok(())
}

/// Returns the timeline as lines of JSON, with the availability of all apps in the last one.
fn lines(timeline: &Timeline) -> Vec<SimulationLine> {
    let entries = timeline.entries.iter().map(|(time, entry)| match entry {
        Entry::Event(event) => SimulationLine::Added(event.clone()),
        Entry::Injected { object, word, text } => SimulationLine::Injected(Injection {
            time: timeline.start.saturating_add(*time).unwrap_or(Timestamp::MAX),
            object: object.clone(),
            action: (*word).to_owned(),
            message: text.clone(),
        }),
    });
    let app = |(name, app): (&AppName, &timeline::Availability)| Availability {
        app: name.clone(),
        desired: app.desired,
        fewest: app.fewest,
        downtime: app.downtime.as_secs_f64(),
        restarts: app.restarts(),
        ready: app.ready.iter().map(|(time, ready)| (time.as_secs_f64(), *ready)).collect(),
    };
    let summary = Summary {
        start: timeline.start,
        seconds: timeline.took.as_secs_f64(),
        converged: timeline.converged,
        apps: timeline.apps.iter().map(app).collect(),
    };
    entries.chain([SimulationLine::Summary(summary)]).collect()
}

/// Returns the events of the timeline, without what the user did.
fn events(timeline: &Timeline) -> impl Iterator<Item = &Event> {
    timeline.entries.iter().filter_map(|(_, entry)| match entry {
        Entry::Event(event) => Some(event.as_ref()),
        Entry::Injected { .. } => None,
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
