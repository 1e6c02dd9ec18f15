//! The availability chart: one row an app, ready replicas over time.

use dubernetes_core::app::AppName;

use super::Timeline;
use super::timeline::Availability;
use crate::output;

/// The columns of a chart where there is no terminal.
const COLUMNS: usize = 60;
/// The most and the fewest columns of one on a terminal.
const MOST: usize = 120;
const FEWEST: usize = 20;

/// What a column looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Glyphs {
    /// Bars.
    Unicode,
    /// The number itself: `0` to `9`, and `+` above.
    Ascii,
}

impl Glyphs {
    /// What the user's terminal can show, as the environment says.
    pub(crate) fn from_environment() -> Self {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        let utf8 = |locale: String| {
            let locale = locale.to_ascii_lowercase();
            locale.ends_with("utf-8") || locale.ends_with("utf8")
        };
        if locale.is_some_and(utf8) { Self::Unicode } else { Self::Ascii }
    }

    fn of(self, ready: Option<u32>, wanted: u32) -> char {
        const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        match (self, ready) {
            (_, None) => ' ',
            (Self::Ascii, Some(ready)) => char::from_digit(ready, 10).unwrap_or('+'),
            (Self::Unicode, Some(0)) => '·',
            (Self::Unicode, Some(ready)) => {
                // All that are wanted are a full bar, and one is never none.
                let eighths = u64::from(ready) * 8 / u64::from(wanted.max(1));
                let at = usize::try_from(eighths.clamp(1, 8)).unwrap_or(8);
                BARS[at - 1]
            }
        }
    }
}

/// The chart and one line of sums for each app.
pub(crate) fn chart(timeline: &Timeline, glyphs: Glyphs, width: Option<usize>) -> String {
    let names = timeline.apps.keys().map(|name| name.as_str().len()).max().unwrap_or(0);
    let room = width.map_or(COLUMNS, |width| width.saturating_sub(names + 2));
    let columns = room.clamp(FEWEST, MOST);
    let end = output::span(timeline.took);
    let slot = timeline.took / u32::try_from(columns).unwrap_or(1);
    let mut out = format!("ready replicas from 0.0s to {end}, {}ms a column\n", slot.as_millis());
    for (name, app) in &timeline.apps {
        let row: String = (0..u32::try_from(columns).unwrap_or(0))
            .map(|column| {
                glyphs.of(app.fewest_between(slot * column, slot * (column + 1)), app.wanted)
            })
            .collect();
        out.push_str(&format!("{:<names$}  {}\n", name.as_str(), row.trim_end()));
    }
    for (name, app) in &timeline.apps {
        out.push_str(&sums(name, app));
    }
    out
}

fn sums(name: &AppName, app: &Availability) -> String {
    let fewest = match app.fewest {
        Some(fewest) => format!("fewest ready once complete {fewest} of {}", app.wanted),
        None => format!("never complete, {} wanted", app.wanted),
    };
    let downtime = output::span(app.downtime);
    format!("{name}: {fewest}; downtime {downtime}; restarts {}\n", app.restarts())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bar_is_full_where_all_are_ready_and_one_is_not_nothing() {
        let bar = |ready| Glyphs::Unicode.of(Some(ready), 16);
        assert_eq!([0, 1, 8, 15, 16, 17].map(bar), ['·', '▁', '▄', '▇', '█', '█']);
        assert_eq!([0, 9, 10].map(|n| Glyphs::Ascii.of(Some(n), 3)), ['0', '9', '+']);
        assert_eq!(Glyphs::Ascii.of(None, 3), ' ');
    }

    #[test]
    fn a_row_shows_the_worst_of_each_column() {
        let mut timeline = Timeline { took: Duration::from_secs(60), ..Timeline::default() };
        let ready = vec![(Duration::ZERO, 0), (Duration::from_secs(10), 2)];
        let dip = [(Duration::from_millis(30_100), 1), (Duration::from_millis(30_200), 2)];
        let ready = ready.into_iter().chain(dip).collect();
        let app = timeline.apps.entry(AppName::parse("web").unwrap()).or_default();
        (app.ready, app.wanted) = (ready, 2);
        let text = chart(&timeline, Glyphs::Ascii, None);
        let row = format!("web  {}{}1{}\n", "0".repeat(10), "2".repeat(20), "2".repeat(29));
        assert!(text.contains(&row), "{text}");
    }
}
