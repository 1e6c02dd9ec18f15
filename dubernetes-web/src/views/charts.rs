//! Charts of what an app used in the last hour, as inline pictures with their figures as text.

use dubernetes_api::text::size_text;
use dubernetes_api::wire::{App, History, HistoryPoint};
use jiff::Timestamp;

/// Size of a chart, in its own units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 60.0;
/// What a chart shows.
const SECONDS: f64 = 3600.0;
/// Two points further apart have a gap between them.
const GAP_SECONDS: f64 = 100.0;
/// Names of the classes of status, and of their lines in the style sheet.
const CLASSES: [(&str, &str); 5] =
    [("1xx", "other"), ("2xx", "ok"), ("3xx", "other"), ("4xx", "client"), ("5xx", "server")];

/// The charts of an app.
#[derive(Debug)]
pub(crate) struct ChartsView {
    pub(crate) charts: Vec<Chart>,
    /// Why something is not shown.
    pub(crate) notes: Vec<&'static str>,
    /// Whether CPU and memory are measured.
    pub(crate) measured: bool,
}

/// A chart.
#[derive(Debug)]
pub(crate) struct Chart {
    /// What it shows.
    pub(crate) title: &'static str,
    /// Its unit or limit; may be empty.
    pub(crate) detail: String,
    /// The figures of each line, such as `5xx: now 0, lowest 0, highest 7`.
    pub(crate) figures: Vec<Figures>,
    /// Paths of the lines, each with a class of the style sheet.
    pub(crate) lines: Vec<(&'static str, String)>,
}

/// The figures of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Figures {
    /// What the line is about, if there are several; else empty.
    pub(crate) name: &'static str,
    /// Class of the line.
    pub(crate) class: &'static str,
    pub(crate) text: String,
}

/// Values at times; `None` is a gap.
type Series = Vec<(Timestamp, Option<u64>)>;

/// Returns the charts of an app.
pub(crate) fn charts(app: &App, history: &History, now: Timestamp) -> ChartsView {
    let points = history.points.iter();
    let points: Vec<_> = points.filter(|point| seconds_ago(point.at, now) <= SECONDS).collect();
    let series = |value: fn(&HistoryPoint) -> Option<u64>| -> Series {
        points.iter().map(|point| (point.at, value(point))).collect()
    };
    let resources = &app.spec.resources;
    let limit = |each: Option<u64>| {
        Some(each?.saturating_mul(u64::from(app.spec.replicas))).filter(|limit| *limit > 0)
    };
    let cpu_limit = limit(resources.cpu.map(|cpu| u64::from(cpu.millis())));
    let memory_limit = limit(resources.memory.map(|memory| memory.bytes()));
    let millis = |value: u64| format!("{value}m");
    let mut charts = Vec::new();
    charts.extend(usage_chart("CPU", &series(|point| point.cpu), cpu_limit, millis, now));
    charts.extend(usage_chart("Memory", &series(|p| p.memory), memory_limit, size_text, now));
    let mut notes = Vec::new();
    if !history.measured {
        notes.push("This runtime does not measure CPU and memory.");
    } else if charts.is_empty() {
        notes.push("CPU and memory are not measured yet: that takes up to two minutes.");
    }
    if !app.spec.access.is_empty() {
        let requests = request_chart(&points, now);
        if requests.is_none() {
            notes.push(match history.counted || points.is_empty() {
                true => "No requests are counted yet: that takes up to two minutes.",
                false => {
                    "Requests are not counted: nginx counts them if the orchestrator serves \
                     metrics, as with `dubernetes serve --metrics-listen 127.0.0.1:9180`."
                }
            });
        }
        charts.extend(requests);
    }
    ChartsView { charts, notes, measured: history.measured }
}

/// Returns a chart of one line, and its limit; `None` if nothing is known.
fn usage_chart(
    title: &'static str,
    series: &Series,
    limit: Option<u64>,
    show: impl Fn(u64) -> String,
    now: Timestamp,
) -> Option<Chart> {
    let text = figures(series, &show)?;
    let top = highest(series).max(limit);
    let mut lines = vec![("", path(series, top, now))];
    lines.extend(limit.map(|limit| ("limit", limit_path(limit, top))));
    let detail = limit.map(|limit| format!("all replicas, limit {}", show(limit)));
    Some(Chart {
        title,
        detail: detail.unwrap_or_else(|| "all replicas".to_owned()),
        figures: vec![Figures { name: "", class: "", text }],
        lines,
    })
}

/// Returns the chart of requests: one line for each class of status that has occurred.
fn request_chart(points: &[&HistoryPoint], now: Timestamp) -> Option<Chart> {
    let of_class = |class: usize| -> Series {
        let rate = |point: &HistoryPoint| point.requests?.get(class).copied();
        points.iter().map(|point| (point.at, rate(point))).collect()
    };
    let all = CLASSES.iter().enumerate();
    let all = all.map(|(class, (name, style))| (*name, *style, of_class(class)));
    // Successes show that there are counts.
    let shown: Vec<_> = all
        .filter(|(name, _, series)| *name == "2xx" || highest(series).is_some_and(|most| most > 0))
        .collect();
    let top = shown.iter().filter_map(|(_, _, series)| highest(series)).max();
    let mut chart = Chart {
        title: "Requests",
        detail: "a minute, by class of status".to_owned(),
        figures: Vec::new(),
        lines: Vec::new(),
    };
    for (name, class, series) in shown {
        let text = figures(&series, &|value| value.to_string())?;
        chart.figures.push(Figures { name, class, text });
        chart.lines.push((class, path(&series, top, now)));
    }
    Some(chart)
}

fn highest(series: &Series) -> Option<u64> {
    series.iter().filter_map(|(_, value)| *value).max()
}

/// Returns the newest, the lowest and the highest value.
fn figures(series: &Series, show: &impl Fn(u64) -> String) -> Option<String> {
    let known = || series.iter().filter_map(|(_, value)| *value);
    let (least, most) = (known().min()?, known().max()?);
    let last = series.last().and_then(|(_, value)| *value);
    let last = last.map_or_else(|| "unknown".to_owned(), show);
    Some(format!("now {last}, lowest {}, highest {}", show(least), show(most)))
}

/// Returns a line, with an interruption for each gap.
fn path(series: &Series, top: Option<u64>, now: Timestamp) -> String {
    let mut path = String::new();
    let mut last = None;
    for (at, value) in series {
        let Some(value) = *value else {
            last = None;
            continue;
        };
        let ago = seconds_ago(*at, now);
        let (x, y) = (WIDTH - ago / SECONDS * WIDTH, height(value, top));
        let is_joined = last.is_some_and(|last: f64| last - ago < GAP_SECONDS);
        last = Some(ago);
        // A line of no length is a dot, so that a point between two gaps is seen.
        path.push_str(&match is_joined {
            true => format!("L{x:.1},{y:.1}"),
            false => format!("M{x:.1},{y:.1}h0"),
        });
    }
    path
}

fn seconds_ago(at: Timestamp, now: Timestamp) -> f64 {
    now.duration_since(at).as_secs_f64().max(0.0)
}

fn limit_path(limit: u64, top: Option<u64>) -> String {
    format!("M0,{:.1}h{WIDTH:.0}", height(limit, top))
}

/// Returns the place of a value below the top of the chart.
fn height(value: u64, top: Option<u64>) -> f64 {
    let top = u128::from(top.unwrap_or(0).max(1));
    let share = u32::try_from(u128::from(value) * 1000 / top).unwrap_or(1000);
    HEIGHT - f64::from(share) / 1000.0 * HEIGHT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    #[test]
    fn line_is_interrupted_by_gaps() {
        let series = vec![
            (minute(40), Some(0)),
            (minute(41), Some(50)),
            (minute(42), None),
            (minute(43), Some(100)),
            (minute(70), Some(25)),
        ];
        let line = path(&series, highest(&series), minute(100));
        assert_eq!(line, "M0.0,60.0h0L10.0,30.0M30.0,0.0h0M300.0,45.0h0");
    }

    #[test]
    fn figures_name_newest_lowest_and_highest() {
        let show = |value: u64| format!("{value}m");
        let series = vec![(minute(1), Some(7)), (minute(2), Some(3)), (minute(3), Some(5))];
        let text = figures(&series, &show);
        assert_eq!(text.as_deref(), Some("now 5m, lowest 3m, highest 7m"));
        let gap = [series, vec![(minute(4), None)]].concat();
        let text = figures(&gap, &show);
        assert_eq!(text.as_deref(), Some("now unknown, lowest 3m, highest 7m"));
        assert_eq!(figures(&vec![(minute(4), None)], &show), None);
    }

    #[test]
    fn values_fit_into_the_chart() {
        for (value, top, y) in [(0, None, 60.0), (0, Some(0), 60.0), (64, Some(128), 30.0)] {
            assert!((height(value, top) - y).abs() < 1e-9, "{value} of {top:?}");
        }
        assert!(height(u64::MAX, Some(u64::MAX)).abs() < 1e-9);
    }

    #[test]
    fn chart_of_requests_has_a_line_for_each_class_that_occurred() {
        let points = (0..60).map(|at| HistoryPoint {
            at: minute(at),
            cpu: None,
            memory: None,
            requests: Some([0, 120, 0, u64::from(at == 5), 0]),
        });
        let points: Vec<_> = points.collect();
        let chart = request_chart(&points.iter().collect::<Vec<_>>(), minute(59)).unwrap();
        let names: Vec<_> = chart.figures.iter().map(|figures| figures.name).collect();
        assert_eq!(names, ["2xx", "4xx"]);
        assert_eq!(chart.figures[1].text, "now 0, lowest 0, highest 1");
        let size: usize = chart.lines.iter().map(|(_, line)| line.len()).sum();
        assert!(size < 2000, "{size} bytes");
        assert!(request_chart(&[], minute(59)).is_none());
    }
}
