//! Availability chart: ready replicas over time, one row per app.

use dubernetes_core::app::AppName;

use super::timeline::{Availability, Timeline};
use crate::output;

/// Columns of a chart without a terminal.
const DEFAULT_COLUMNS: usize = 60;
/// Most columns on a terminal.
const MAX_COLUMNS: usize = 120;
/// Fewest columns on a terminal.
const MIN_COLUMNS: usize = 20;

/// Characters that show a number of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glyphs {
    /// Bars.
    Unicode,
    /// Digits, and `+` above 9.
    Ascii,
}

impl Glyphs {
    /// Returns the glyphs that the user's locale can show.
    pub(crate) fn from_environment() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let utf8 = |locale: String| {
            let locale = locale.to_ascii_lowercase();
            locale.ends_with("utf-8") || locale.ends_with("utf8")
        };
        if locale.is_some_and(utf8) { Self::Unicode } else { Self::Ascii }
    }

    fn glyph(self, ready: Option<u32>, desired: u32) -> char {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        match (self, ready) {
            (_, None) => ' ',
            (Self::Ascii, Some(ready)) => char::from_digit(ready, 10).unwrap_or('+'),
            (Self::Unicode, Some(0)) => '·',
            (Self::Unicode, Some(ready)) => {
                // All desired replicas are a full bar; a single one is never empty.
                let eighths = u64::from(ready) * 8 / u64::from(desired.max(1));
                let eighths = usize::try_from(eighths.clamp(1, 8)).unwrap_or(8);
                BARS[eighths - 1]
            }
        }
    }
}

/// Returns the chart, and one line of totals per app.
pub(crate) fn chart(timeline: &Timeline, glyphs: Glyphs, width: Option<usize>) -> String {
    let names = timeline.apps.keys().map(|name| name.as_str().len()).max().unwrap_or(0);
    let room = width.map_or(DEFAULT_COLUMNS, |width| width.saturating_sub(names + 2));
    let columns = room.clamp(MIN_COLUMNS, MAX_COLUMNS);
    let end = output::span(timeline.took);
    let slot = timeline.took / u32::try_from(columns).unwrap_or(1);
    let mut out = format!("ready replicas from 0.0s to {end}, {}ms per column\n", slot.as_millis());
    for (name, app) in &timeline.apps {
        let row: String = (0..u32::try_from(columns).unwrap_or(0))
            .map(|column| {
                let fewest = app.fewest_between(slot * column, slot * (column + 1));
                glyphs.glyph(fewest, app.desired)
            })
            .collect();
        out.push_str(&format!("{:<names$}  {}\n", name.as_str(), row.trim_end()));
    }
    for (name, app) in &timeline.apps {
        out.push_str(&totals(name, app));
    }
    out
}

fn totals(name: &AppName, app: &Availability) -> String {
    let fewest = match app.fewest {
        Some(fewest) => format!("fewest ready {fewest} of {} once complete", app.desired),
        None => format!("never complete, {} desired", app.desired),
    };
    let downtime = output::span(app.downtime);
    format!("{name}: {fewest}; downtime {downtime}; restarts {}\n", app.restarts())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn bar_is_full_if_all_are_ready_and_visible_if_one_is() {
        let bar = |ready| Glyphs::Unicode.glyph(Some(ready), 16);
        assert_eq!([0, 1, 8, 15, 16, 17].map(bar), ['·', '▁', '▄', '▇', '█', '█']);
        assert_eq!([0, 9, 10].map(|n| Glyphs::Ascii.glyph(Some(n), 3)), ['0', '9', '+']);
        assert_eq!(Glyphs::Ascii.glyph(None, 3), ' ');
    }

    #[test]
    fn column_shows_fewest_ready_replicas() {
        let mut timeline = Timeline { took: Duration::from_secs(60), ..Timeline::default() };
        let ready = vec![(Duration::ZERO, 0), (Duration::from_secs(10), 2)];
        let dip = [(Duration::from_millis(30_100), 1), (Duration::from_millis(30_200), 2)];
        let ready = ready.into_iter().chain(dip).collect();
        let app = timeline.apps.entry(AppName::parse("web").unwrap()).or_default();
        app.ready = ready;
        app.desired = 2;
        let text = chart(&timeline, Glyphs::Ascii, None);
        let row = format!("web  {}{}1{}\n", "0".repeat(10), "2".repeat(20), "2".repeat(29));
        assert!(text.contains(&row), "{text}");
    }
}
