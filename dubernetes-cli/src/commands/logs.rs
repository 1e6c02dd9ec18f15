//! `logs`: prints the logs of pods. Lines go to standard output, notes to standard error.

mod access;

use dubernetes_api::client::{Items, LogQuery, LogTarget};
use dubernetes_api::wire::LogItem;
use dubernetes_core::app::PodName;
use dubernetes_core::error::is_unsafe;
use dubernetes_core::ingress::AccessLogQuery;
use futures_util::StreamExt as _;
use jiff::Timestamp;

use crate::args::LogsArgs;
use crate::output;
use crate::report::{self, CliError, Result};
use crate::resolve::{Found, find};
use crate::settings::Settings;
use crate::style;
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
                let found = find(&target.client, name).await?;
                if args.access {
                    let query = access_query(&query, found);
                    return access::print_all(target, &query, args.output).await;
                }
                let log_target = match found {
                    Found::App(app) => LogTarget::App(app.name),
                    Found::Pod(pod) => LogTarget::Pod(pod.name),
                };
                printer.prefixes = matches!(log_target, LogTarget::App(_));
                printer.print_all(target.client.logs(&log_target, &query)).await
            }
            (None, Some(selector)) => {
                let apps = target.client.select_apps(selector).await?;
                if apps.is_empty() {
                    report::print_line("No apps found.");
                }
                let apps = apps.into_iter().map(|app| LogTarget::App(app.name));
                let streams = apps.map(|app| target.client.logs(&app, &query)).collect();
                let items = if args.follow { merge(streams) } else { merge_by_time(streams) };
                printer.print_all(items).await
            }
            (None, None) => Ok(()),
        }
    })
    .await
}

fn access_query(query: &LogQuery, found: Found) -> AccessLogQuery {
    let LogQuery { follow, tail, since, .. } = *query;
    let (app, pod) = match found {
        Found::App(app) => (app.name, None),
        Found::Pod(pod) => (pod.app, Some(pod.name)),
    };
    AccessLogQuery { app, pod, follow, tail, since }
}

/// Merges the items of several apps as they arrive.
fn merge(streams: Vec<Items<LogItem>>) -> Items<LogItem> {
    futures_util::stream::select_all(streams).boxed()
}

/// Merges the items of several apps by time; each stream is already ordered. Notes come as soon as
/// they are read.
fn merge_by_time(streams: Vec<Items<LogItem>>) -> Items<LogItem> {
    let streams: Vec<_> = streams.into_iter().map(|stream| Box::pin(stream.peekable())).collect();
    futures_util::stream::unfold(streams, |mut streams| async move {
        let mut oldest: Option<(usize, Option<Timestamp>)> = None;
        for (index, stream) in streams.iter_mut().enumerate() {
            let time = match stream.as_mut().peek().await {
                None => continue,
                Some(Ok(LogItem::Line(line))) => Some(line.time),
                Some(Ok(LogItem::Note(_)) | Err(_)) => None,
            };
            if oldest.is_none_or(|(_, before)| time < before) {
                oldest = Some((index, time));
            }
        }
        let (index, _) = oldest?;
        let item = streams.get_mut(index)?.next().await?;
        Some((item, streams))
    })
    .boxed()
}

/// Prints lines, with the name of the pod in front if there may be several.
struct Printer {
    raw: bool,
    prefixes: bool,
    colored: bool,
    /// Pods in order of appearance, which decides their colours.
    pods: Vec<PodName>,
}

impl Printer {
    fn new(raw: bool) -> Self {
        let choice = anstream::AutoStream::choice(&std::io::stdout());
        let colored = choice != anstream::ColorChoice::Never;
        Self { raw, prefixes: true, colored, pods: Vec::new() }
    }

    async fn print_all(&mut self, mut items: Items<LogItem>) -> Result {
        while let Some(item) = items.next().await {
            self.print(item?)?;
        }
        Ok(())
    }

    fn print(&mut self, item: LogItem) -> Result {
        match item {
            LogItem::Line(line) => {
                let text = if self.raw { line.text } else { strip_controls(&line.text) };
                let pod = self.prefix(&line.pod);
                output::print_raw(format!("{pod}{text}\n").as_bytes())
            }
            LogItem::Note(note) => {
                report::note(&note);
                Ok(())
            }
        }
    }

    fn prefix(&mut self, pod: &PodName) -> String {
        if !self.prefixes {
            return String::new();
        }
        let known = self.pods.iter().position(|known| known == pod);
        let index = known.unwrap_or_else(|| {
            self.pods.push(pod.clone());
            self.pods.len() - 1
        });
        if !self.colored {
            return format!("{pod} | ");
        }
        format!("{0}{pod} |{0:#} ", style::pod_name(index))
    }
}

fn since(args: &LogsArgs, now: Timestamp) -> Result<Option<Timestamp>> {
    let Some(since) = args.since else { return Ok(None) };
    let back = now
        .checked_sub(since.to_signed())
        .map_err(|error| CliError::with_source("`--since` is out of range", &error))?;
    Ok(Some(back))
}

/// Removes characters that could control a terminal. Tabs are harmless.
fn strip_controls(text: &str) -> String {
    text.chars().filter(|c| *c == '\t' || !is_unsafe(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_have_different_colours() {
        let mut printer = Printer { raw: false, prefixes: true, colored: true, pods: Vec::new() };
        let [web_1, web_2] = ["web-1", "web-2"].map(|pod| PodName::parse(pod).unwrap());
        let one = printer.prefix(&web_1);
        let two = printer.prefix(&web_2);
        assert_ne!(one.replace("web-1", ""), two.replace("web-2", ""));
        assert_eq!(printer.prefix(&web_1), one, "a pod keeps its colour");
        assert_eq!(anstream::adapter::strip_str(&one).to_string(), "web-1 | ");
        let mut plain = Printer { colored: false, ..printer };
        assert_eq!(plain.prefix(&web_1), "web-1 | ");
    }

    #[tokio::test]
    async fn lines_of_several_apps_are_ordered_by_time() {
        let line = |pod: &str, second| {
            Ok(LogItem::Line(dubernetes_api::wire::LogLine {
                pod: pod.parse().unwrap(),
                time: Timestamp::from_second(second).unwrap(),
                stderr: false,
                text: second.to_string(),
            }))
        };
        let stream = |items: Vec<_>| futures_util::stream::iter(items).boxed();
        let a = stream(vec![line("a-1", 1), line("a-1", 4), line("a-1", 5)]);
        let b = stream(vec![line("b-1", 2), Ok(LogItem::Note("n".into())), line("b-1", 3)]);
        let all: Vec<_> = merge_by_time(vec![a, b, stream(Vec::new())]).collect().await;
        let texts: Vec<_> = all
            .into_iter()
            .map(|item| match item.unwrap() {
                LogItem::Line(line) => line.text,
                LogItem::Note(note) => note,
            })
            .collect();
        assert_eq!(texts, ["1", "2", "n", "3", "4", "5"]);
    }

    #[test]
    fn control_characters_are_removed() {
        assert_eq!(strip_controls("a\tb\u{1b}[31mc\u{202e}\r"), "a\tb[31mc");
    }
}
