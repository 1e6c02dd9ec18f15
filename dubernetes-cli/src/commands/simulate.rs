//! `simulate`: simulates apps, and shows a timeline and a chart. Touches nothing outside.

use std::time::Duration;

use dubernetes_core::event::{Event, EventKind};
use dubernetes_web::simulation::{Simulation, SimulationLine};
use jiff::Timestamp;

use crate::args::{Format, SimulateArgs};
use crate::output::{self, Cell, Table};
use crate::report::{self, Result};
use crate::settings::Settings;
use crate::simulate::chart::{Glyphs, chart};
use crate::simulate::simulate;
use crate::style;

pub(super) async fn run(args: &SimulateArgs, settings: &Settings) -> Result {
    let simulation = simulate(args, settings).await?;
    let summary = &simulation.summary;
    match args.format.format() {
        Format::Table | Format::Wide => {
            let chart = chart(summary, Glyphs::from_environment(), output::width());
            output::print(&format!("{}\n{chart}", timeline(&simulation)))?;
        }
        Format::Json => {
            simulation.lines.iter().try_for_each(print_line)?;
            print_line(&SimulationLine::Summary(summary.clone()))?;
        }
        Format::Yaml => {
            for event in events(&simulation) {
                output::print(&format!("---\n{}", output::value(event, Format::Yaml)?))?;
            }
        }
        Format::Name => {
            for event in events(&simulation) {
                output::print(&format!("event/{}\n", event.id))?;
            }
        }
    }
    if args.time.is_none() && !summary.converged {
        let took = Duration::from_secs_f64(summary.seconds);
        report::note(&format!("not converged after {}", output::span(took)));
        report::help("`--for TIME` simulates longer");
    }
    Ok(())
}

fn print_line(line: &SimulationLine) -> Result {
    output::print(&format!("{}\n", serde_json::to_string(line)?))
}

/// Returns the events of a simulation, without what the user did.
fn events(simulation: &Simulation) -> impl Iterator<Item = &Event> {
    simulation.lines.iter().filter_map(|line| match line {
        SimulationLine::Added(event) => Some(event.as_ref()),
        SimulationLine::Injected(_) | SimulationLine::Summary(_) => None,
    })
}

fn timeline(simulation: &Simulation) -> String {
    let mut table = Table::new(&["TIME", "OBJECT", "WHAT", "MESSAGE"]);
    let start = simulation.summary.start;
    let cell = |time: Timestamp| {
        let since = Duration::try_from(time.duration_since(start)).unwrap_or_default();
        Cell::exact(output::seconds(since))
    };
    for line in &simulation.lines {
        table.push(match line {
            SimulationLine::Added(event) => vec![
                cell(event.time),
                Cell::new(event.object().unwrap_or("dubernetes")),
                match event.kind {
                    EventKind::Normal => Cell::new(&event.reason),
                    EventKind::Warning => Cell::styled(&event.reason, style::WARNING),
                },
                Cell::new(&event.message),
            ],
            SimulationLine::Injected(injected) => vec![
                cell(injected.time),
                Cell::new(&injected.object),
                Cell::styled(format!("> {}", injected.action), style::NOTE),
                Cell::new(&injected.message),
            ],
            SimulationLine::Summary(_) => continue,
        });
    }
    table.render(true, output::width())
}
