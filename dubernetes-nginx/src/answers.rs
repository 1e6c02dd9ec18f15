//! Finds answers of apps in nginx's log that nginx could not pass on.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dubernetes_core::ingress::{AnswerProblem, IngressError};
use dubernetes_core::runtime::{LogLine, LogOptions};
use futures_util::StreamExt as _;

use crate::proxy::Nginx;

/// Number of newest lines of the log that are searched.
const TAIL: u32 = 1000;
/// What nginx says, what it means, and what a person can do.
struct Kind {
    /// All of these are in the line.
    says: &'static [&'static str],
    what: &'static str,
    remedy: &'static str,
}

const TOO_BIG: Kind = Kind {
    says: &["upstream sent too big header"],
    what: "the headers of its answer have more than 64 KiB",
    remedy: "let the app send fewer or shorter headers, such as cookies",
};
/// The host reaches a ready replica, but nginx does not: the host itself is not affected by what it
/// forwards. Here packets are dropped.
const UNREACHABLE: Kind = Kind {
    says: &["upstream timed out", "while connecting to upstream"],
    what: "nginx cannot connect to it",
    remedy: "if no request reaches the app, a firewall of this machine may drop or refuse what \
             containers send to each other: see the FORWARD chain of `iptables -S`, or of \
             `nft list ruleset`",
};
/// The same where packets are refused.
const REFUSED: Kind = Kind { says: &["connect() failed (113: "], ..UNREACHABLE };
static KINDS: [Kind; 3] = [TOO_BIG, UNREACHABLE, REFUSED];

impl Nginx {
    /// Returns the answers that nginx could not pass on, as far as its log tells.
    pub(crate) async fn answer_problems(&self) -> Result<Vec<AnswerProblem>, IngressError> {
        let (Some(logs), Some(container)) = (self.runtime.logs(), self.find().await?) else {
            return Ok(Vec::new());
        };
        let options = LogOptions { tail: Some(TAIL), ..LogOptions::default() };
        let mut lines = logs.read(&container.id, &options).await?;
        let mut found = BTreeMap::new();
        while let Some(line) = lines.next().await {
            add_line(&mut found, &line?);
        }
        Ok(found.into_values().collect())
    }
}

fn add_line(found: &mut BTreeMap<(SocketAddr, &str), AnswerProblem>, line: &LogLine) {
    let Some((endpoint, Kind { what, remedy, .. })) = parse_problem(&line.text) else { return };
    let problem = found.entry((endpoint, what)).or_insert_with(|| AnswerProblem {
        endpoint,
        what: (*what).to_owned(),
        remedy: (*remedy).to_owned(),
        count: 0,
        first: line.time,
        last: line.time,
    });
    problem.count += 1;
    problem.last = line.time;
}

/// Returns the endpoint whose answer could not be passed on, and why, if the line says so. The
/// request in the line is the client's text, so what nginx says itself comes before it.
fn parse_problem(line: &str) -> Option<(SocketAddr, &'static Kind)> {
    let (said, request) = line.split_once(", client: ")?;
    let kind = KINDS.iter().find(|kind| kind.says.iter().all(|text| said.contains(text)))?;
    let (_, upstream) = request.split_once(", upstream: \"")?;
    let endpoint = upstream.split_once("://")?.1.split(['/', '"']).next()?.parse().ok()?;
    Some((endpoint, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "2026/11/29 09:54:44 [error] 22#22: *8 upstream sent too big header while \
        reading response header from upstream, client: 10.201.0.1, server: a.test, request: \
        \"GET / HTTP/1.1\", upstream: \"http://10.201.0.36:8080/\", host: \"a.test\"";

    #[test]
    fn answers_are_counted_by_endpoint() {
        let mut found = BTreeMap::new();
        let other = LINE.replace("0.36", "0.37");
        let (_, said) = LINE.split_once("*8 ").unwrap();
        let (said, _) = said.split_once(", client").unwrap();
        let reset = LINE.replace(said, "recv() failed (104: Connection reset by peer)");
        let forged = reset.replace("GET /", "GET /upstream sent too big header");
        let timeout = "upstream timed out (110: Connection timed out) while ";
        let slow = LINE.replace(said, &format!("{timeout}reading response header from upstream"));
        let unreached = LINE.replace(said, &format!("{timeout}connecting to upstream"));
        let refused = "connect() failed (113: No route to host) while connecting to upstream";
        let refused = LINE.replace(said, refused);
        let lines = [LINE, &other, &reset, &forged, LINE, &slow, &unreached, &refused];
        for (second, text) in (1..).zip(lines) {
            let time = format!("1970-01-01T00:00:0{second}Z").parse().unwrap();
            add_line(&mut found, &LogLine { time, stderr: true, text: text.to_owned() });
        }
        let shown = found.values().map(|problem| {
            let AnswerProblem { endpoint, what, count, first, last, .. } = problem;
            let last = last.as_second();
            format!("{} {what} {count} {} {last}", endpoint.ip(), first.as_second())
        });
        let expected = [
            format!("10.201.0.36 {} 2 7 8", UNREACHABLE.what),
            format!("10.201.0.36 {} 2 1 5", TOO_BIG.what),
            format!("10.201.0.37 {} 1 2 2", TOO_BIG.what),
        ];
        assert_eq!(Vec::from_iter(shown), expected);
    }
}
