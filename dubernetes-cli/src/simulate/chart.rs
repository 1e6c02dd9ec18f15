//! Availability chart: ready replicas over time, one row per app.

use std::time::Duration;

use dubernetes_web::simulation::{Availability, Summary};

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
pub(crate) fn chart(summary: &Summary, glyphs: Glyphs, width: Option<usize>) -> String {
    let names = summary.apps.iter().map(|app| app.app.as_str().len()).max().unwrap_or(0);
    let room = width.map_or(DEFAULT_COLUMNS, |width| width.saturating_sub(names + 2));
    let columns = room.clamp(MIN_COLUMNS, MAX_COLUMNS);
    let columns = u32::try_from(columns).unwrap_or(1);
    let end = output::span(Duration::from_secs_f64(summary.seconds));
    let slot = summary.seconds / f64::from(columns);
    let mut out = format!("ready replicas from 0.0s to {end}, {:.0}ms per column\n", slot * 1e3);
    for app in &summary.apps {
        let fewest = |column| {
            let start = f64::from(column);
            app.fewest_between(slot * start, slot * (start + 1.0))
        };
        let row: String =
            (0..columns).map(|column| glyphs.glyph(fewest(column), app.desired)).collect();
        out.push_str(&format!("{:<names$}  {}\n", app.app.as_str(), row.trim_end()));
    }
    for app in &summary.apps {
        out.push_str(&totals(app));
    }
    out
}

fn totals(app: &Availability) -> String {
    let fewest = match app.fewest {
        Some(fewest) => format!("fewest ready {fewest} of {} once complete", app.desired),
        None => format!("never complete, {} desired", app.desired),
    };
    let downtime = output::span(Duration::from_secs_f64(app.downtime));
    format!("{}: {fewest}; downtime {downtime}; restarts {}\n", app.app, app.restarts)
}

#[cfg(test)]
mod tests {
    use dubernetes_core::app::AppName;
    use jiff::Timestamp;

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
        let app = Availability {
            app: AppName::parse("web").unwrap(),
            desired: 2,
            fewest: Some(1),
            downtime: 0.0,
            restarts: 0,
            ready: vec![(0.0, 0), (10.0, 2), (30.1, 1), (30.2, 2)],
        };
        let start = Timestamp::UNIX_EPOCH;
        let summary = Summary { start, seconds: 60.0, converged: true, apps: vec![app] };
        let text = chart(&summary, Glyphs::Ascii, None);
        let row = format!("web  {}{}1{}\n", "0".repeat(10), "2".repeat(20), "2".repeat(29));
        assert!(text.contains(&row), "{text}");
    }
}
