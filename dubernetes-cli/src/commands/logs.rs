//! `logs`: what pods print. Lines are data and go to standard output; notes about the stream do not.

use dubernetes_api::client::{Items, LogQuery, LogTarget};
use dubernetes_api::wire::LogItem;
use dubernetes_core::error::is_unsafe;
use futures_util::StreamExt as _;
use jiff::Timestamp;

use crate::args::LogsArgs;
use crate::output::{self, style};
use crate::report::{self, CliError, Result};
use crate::resolve::{Found, find};
use crate::settings::Settings;
use crate::target::{Mode, Target};

pub(super) async fn run(args: &LogsArgs, settings: &Settings) -> Result {
    let query = LogQuery {
        follow: args.follow,
        tail: Some(args.tail),
        since: since(args, Timestamp::now())?,
        previous: args.previous,
    };
    Target::with(settings, Mode::Observe, async |target: &Target| {
        let mut printer = Printer::new(args.raw);
        match (&args.name, &args.selector.selector) {
            (Some(name), _) => {
                let (whose, named) = match find(&target.client, name).await? {
                    Found::App(app) => (LogTarget::App(app.name), true),
                    Found::Pod(pod) => (LogTarget::Pod(pod.name), false),
                };
                printer.named = named;
                let mut items = target.client.logs(&whose, &query);
                while let Some(item) = items.next().await {
                    printer.print(item?)?;
                }
                Ok(())
            }
            (None, Some(selector)) => {
                let apps = target.client.select_apps(selector).await?;
                if apps.is_empty() {
                    report::print_line("No apps found.");
                }
                let apps = apps.into_iter().map(|app| LogTarget::App(app.name));
                let streams = apps.map(|app| target.client.logs(&app, &query)).collect();
                let mut items = if args.follow { any(streams) } else { by_time(streams) };
                while let Some(item) = items.next().await {
                    printer.print(item?)?;
                }
                Ok(())
            }
            (None, None) => Ok(()),
        }
    })
    .await
}

/// Items of several apps as they come.
fn any(streams: Vec<Items<LogItem>>) -> Items<LogItem> {
    futures_util::stream::select_all(streams).boxed()
}

/// Items of several apps in the order of time; each stream has that order already. Notes come as
/// soon as they are met.
fn by_time(streams: Vec<Items<LogItem>>) -> Items<LogItem> {
    let streams: Vec<_> = streams.into_iter().map(|stream| Box::pin(stream.peekable())).collect();
    futures_util::stream::unfold(streams, |mut streams| async move {
        let mut oldest: Option<(usize, Option<Timestamp>)> = None;
        for (at, stream) in streams.iter_mut().enumerate() {
            let time = match stream.as_mut().peek().await {
                None => continue,
                Some(Ok(LogItem::Line(line))) => Some(line.time),
                Some(Ok(LogItem::Note(_)) | Err(_)) => None,
            };
            if oldest.is_none_or(|(_, before)| time < before) {
                oldest = Some((at, time));
            }
        }
        let (at, _) = oldest?;
        let item = streams.get_mut(at)?.next().await?;
        Some((item, streams))
    })
    .boxed()
}

/// Writes lines, each behind the name of its pod where there may be several.
struct Printer {
    raw: bool,
    named: bool,
    colored: bool,
    /// The pods in the order in which they were met: each has a colour of its own.
    pods: Vec<String>,
}

impl Printer {
    fn new(raw: bool) -> Self {
        let choice = anstream::AutoStream::choice(&std::io::stdout());
        Self { raw, named: true, colored: choice != anstream::ColorChoice::Never, pods: Vec::new() }
    }

    fn print(&mut self, item: LogItem) -> Result {
        match item {
            LogItem::Line(line) => {
                let text = if self.raw { line.text } else { safe(&line.text) };
                let pod = self.prefix(&line.pod);
                output::print_raw(format!("{pod}{text}\n").as_bytes())
            }
            LogItem::Note(note) => {
                report::note(&note);
                Ok(())
            }
        }
    }

    fn prefix(&mut self, pod: &str) -> String {
        if !self.named {
            return String::new();
        }
        let known = self.pods.iter().position(|known| known == pod);
        let at = known.unwrap_or_else(|| {
            self.pods.push(pod.to_owned());
            self.pods.len() - 1
        });
        if !self.colored {
            return format!("{pod} | ");
        }
        let style = style::pod_name(at);
        format!("{}{pod} |{} ", style.render(), style.render_reset())
    }
}

fn since(args: &LogsArgs, now: Timestamp) -> Result<Option<Timestamp>> {
    let Some(since) = args.since else { return Ok(None) };
    let back = now
        .checked_sub(since.to_signed())
        .map_err(|error| CliError::with_source("`--since` is too long ago", &error))?;
    Ok(Some(back))
}

/// The text without what could act on a terminal. A tab is only a wide space.
pub(super) fn safe(text: &str) -> String {
    text.chars().filter(|c| *c == '\t' || !is_unsafe(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pod_has_a_colour_of_its_own_where_there_are_colours() {
        let mut printer = Printer { raw: false, named: true, colored: true, pods: Vec::new() };
        let (one, two) = (printer.prefix("web-1"), printer.prefix("web-2"));
        assert_ne!(one.replace("web-1", ""), two.replace("web-2", ""));
        assert_eq!(printer.prefix("web-1"), one, "a pod keeps its colour");
        assert_eq!(anstream::adapter::strip_str(&one).to_string(), "web-1 | ");
        let mut plain = Printer { colored: false, ..printer };
        assert_eq!(plain.prefix("web-1"), "web-1 | ");
    }

    #[tokio::test]
    async fn lines_of_several_apps_come_in_the_order_of_time() {
        let line = |pod: &str, second| {
            Ok(LogItem::Line(dubernetes_api::wire::LogLine {
                pod: pod.to_owned(),
                time: Timestamp::from_second(second).unwrap(),
                stderr: false,
                text: second.to_string(),
            }))
        };
        let stream = |items: Vec<_>| futures_util::stream::iter(items).boxed();
        let a = stream(vec![line("a-1", 1), line("a-1", 4), line("a-1", 5)]);
        let b = stream(vec![line("b-1", 2), Ok(LogItem::Note("n".into())), line("b-1", 3)]);
        let all: Vec<_> = by_time(vec![a, b, stream(Vec::new())]).collect().await;
        let told: Vec<_> = all
            .into_iter()
            .map(|item| match item.unwrap() {
                LogItem::Line(line) => line.text,
                LogItem::Note(note) => note,
            })
            .collect();
        assert_eq!(told, ["1", "2", "n", "3", "4", "5"]);
    }

    #[test]
    fn output_of_containers_cannot_act_on_the_terminal() {
        assert_eq!(safe("a\tb\u{1b}[31mc\u{202e}\r"), "a\tb[31mc");
    }
}
