//! `logs`: what pods print. Lines are data and go to standard output; notes about the stream do not.

use dubernetes_api::client::{LogQuery, LogTarget};
use dubernetes_api::wire::LogItem;
use dubernetes_core::error::is_unsafe;
use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};

use crate::args::LogsArgs;
use crate::output;
use crate::report::{self, Failure, Outcome};
use crate::resolve::{Found, find};
use crate::settings::Settings;
use crate::target::{Intent, Target};

pub(super) async fn run(args: &LogsArgs, settings: &Settings) -> Outcome {
    let query = LogQuery {
        follow: args.follow,
        tail: Some(args.tail),
        since: since(args, Timestamp::now())?,
    };
    Target::with(settings, Intent::Read, async |target: &Target| {
        let (whose, named) = match find(&target.client, &args.name).await? {
            Found::App(app) => (LogTarget::App(app.name), true),
            Found::Pod(pod) => (LogTarget::Pod(pod.name), false),
        };
        let mut items = target.client.logs(&whose, &query);
        while let Some(item) = items.next().await {
            match item? {
                LogItem::Line(line) => {
                    let text = if args.raw { line.text } else { safe(&line.text) };
                    let pod = if named { format!("{} | ", line.pod) } else { String::new() };
                    output::print_raw(format!("{pod}{text}\n").as_bytes())?;
                }
                LogItem::Note(note) => report::note(&note),
            }
        }
        Ok(())
    })
    .await
}

fn since(args: &LogsArgs, now: Timestamp) -> Outcome<Option<Timestamp>> {
    let Some(since) = args.since else { return Ok(None) };
    let back = SignedDuration::try_from(since.to_std())
        .and_then(|span| now.checked_sub(span))
        .map_err(|error| Failure::because("`--since` is too long ago", &error))?;
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
    fn output_of_containers_cannot_act_on_the_terminal() {
        assert_eq!(safe("a\tb\u{1b}[31mc\u{202e}\r"), "a\tb[31mc");
    }
}
