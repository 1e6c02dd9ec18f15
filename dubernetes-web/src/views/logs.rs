//! Output of the replicas of an app.

use askama::Template;
use dubernetes_api::wire::{LogLine, Pod};
use dubernetes_core::app::AppName;
use serde::Deserialize;

use super::{Frame, encoded, quoted};
use crate::ansi::{self, Span};

/// Most lines that are shown.
pub(crate) const LINES: u32 = 200;
const MOST: usize = 200;
/// Number of colours that tell pods apart.
const COLORS: usize = 6;

/// What is shown.
#[derive(Debug, Default, Clone, Deserialize)]
pub(crate) struct LogsQuery {
    /// Only lines of this pod.
    #[serde(default)]
    pub(crate) pod: String,
    /// Only lines that contain this text, in any case.
    #[serde(default)]
    pub(crate) filter: String,
    /// `off` to keep the page as it is.
    #[serde(default)]
    pub(crate) live: String,
}

/// The page.
#[derive(Debug, Template)]
#[template(path = "logs.html")]
pub(crate) struct LogsPage {
    frame: Frame,
    name: String,
    pods: Vec<String>,
    query: LogsQuery,
    is_live: bool,
    /// Address of the page in the other mode, live or paused.
    toggle: String,
    lines: Vec<LineRow>,
}

#[derive(Debug)]
struct LineRow {
    time: String,
    at: String,
    pod: String,
    color: usize,
    is_error: bool,
    spans: Vec<Span>,
}

/// Returns the page. `lines` is oldest first.
pub(crate) fn logs_page(
    program: &str,
    app: &AppName,
    pods: &[Pod],
    query: LogsQuery,
    lines: &[LogLine],
) -> LogsPage {
    let wanted = query.filter.to_lowercase();
    let mut names: Vec<String> = pods.iter().map(|pod| pod.name.to_string()).collect();
    let gone = lines.iter().map(|line| line.pod.to_string());
    names.extend(gone.chain((!query.pod.is_empty()).then(|| query.pod.clone())));
    names.sort();
    names.dedup();
    let mut rows: Vec<LineRow> = Vec::new();
    for line in lines.iter().rev() {
        let spans = ansi::spans(&line.text);
        if !ansi::plain(&spans).to_lowercase().contains(&wanted) {
            continue;
        }
        let color = names.iter().position(|name| line.pod == *name.as_str()).unwrap_or_default();
        rows.push(LineRow {
            time: line.time.strftime("%H:%M:%S").to_string(),
            at: line.time.to_string(),
            pod: line.pod.to_string(),
            color: color % COLORS,
            is_error: line.stderr,
            spans,
        });
        if rows.len() >= MOST {
            break;
        }
    }
    rows.reverse();
    let target = if query.pod.is_empty() { app.as_str() } else { &query.pod };
    let filter = match query.filter.as_str() {
        "" => String::new(),
        text => format!(" | grep -iF -- {}", quoted(text)),
    };
    let is_live = query.live != "off";
    let pairs = format!("pod={}&filter={}", encoded(&query.pod), encoded(&query.filter));
    let mode = if is_live { "&live=off" } else { "" };
    LogsPage {
        frame: Frame {
            title: format!("Logs of {app}"),
            section: "/",
            command: format!("{program} logs {} --tail {LINES}{filter}", quoted(target)),
            live: match is_live {
                true => format!("/live?app={app}&logs={}", encoded(target)),
                false => String::new(),
            },
        },
        name: app.to_string(),
        pods: names,
        is_live,
        toggle: format!("/apps/{app}/logs?{pairs}{mode}"),
        query,
        lines: rows,
    }
}
