//! Reads the access log, which nginx writes as `config::access_log` says, and bounds it.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;

use dubernetes_core::app::{AppName, PodName};
use dubernetes_core::error::chain;
use dubernetes_core::ingress::{AccessLog, AccessLogEntry, AccessLogQuery, IngressError};
use dubernetes_core::runtime::{
    Capability, ContainerId, ExecOutput, ExecRequest, ExecSession, RuntimeError, RuntimeStream,
    require,
};
use futures_util::io::AsyncWrite;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;

use crate::proxy::{Nginx, RunningNginx};

/// The file of the log. The file system is in memory, and has 64 MiB: nginx stops to log once it is
/// full, but not to serve.
pub(crate) const PATH: &str = "/dev/shm/dubernetes-access.log";

/// Bounds the log from now on, once for each run of the container: a log of more than 8 MiB gets
/// another name, in place of the former such one, and nginx begins a new one. The loop outlives the
/// orchestrator. It is no child of nginx, whose other children are its workers.
const ROTATE_CMD: &str = "\
    f=/dev/shm/dubernetes-access.log; mkdir $f.rotation || exit 0; \
    (while sleep 5; do s=$(stat -c %s $f) && [ $s -gt 8388608 ] && mv $f $f.1 && \
    kill -USR1 $(cat /etc/nginx/dubernetes/nginx.pid); done >/dev/null 2>&1 &)";

/// Prints the log. With the argument `follow`, then an empty line, and what is added until the
/// input ends: it ends with the client, and a command does not.
const READ_CMD: &str = "\
    f=/dev/shm/dubernetes-access.log; s=$(stat -c %s $f) || exit 0; cat $f.1; head -c $s $f; \
    [ \"$1\" = follow ] || exit 0; echo; tail -c +$((s+1)) -F $f & cat >/dev/null; kill $!";

/// Maximum length of a line. nginx takes requests with a head of 288 KiB.
const MAX_LINE: usize = 512 << 10;

impl Nginx {
    /// Ensures that the log of a running container is bounded. A failure leaves it to the limit of
    /// its file system.
    pub(crate) async fn rotate_access_log(&self, id: &ContainerId) {
        if self.config.access_log
            && let Err(error) = self.run_command(id, &["sh", "-c", ROTATE_CMD], None).await
        {
            tracing::debug!(error = chain(&error), "the access log is not rotated");
        }
    }

    /// Returns requests to an app; `None` if none is logged.
    pub(crate) async fn access_log(
        &self,
        query: &AccessLogQuery,
    ) -> Result<Option<AccessLog>, IngressError> {
        if !self.config.access_log {
            return Ok(None);
        }
        let found = self.find().await?;
        let running = found.and_then(|found| RunningNginx::from_container(&found).ok());
        let Some(nginx) = running else { return Ok(Some(stream::empty().boxed())) };
        let follow = if query.follow { "follow" } else { "" };
        let command = ["sh", "-c", READ_CMD, "sh", follow];
        let request = ExecRequest {
            command: command.map(str::to_owned).to_vec(),
            stdin: true,
            ..ExecRequest::default()
        };
        let exec = require(self.runtime.exec(), Capability::Exec)?;
        let ExecSession { input, output, .. } = exec.exec(&nginx.id, &request).await?;
        let log = Log { output: Some(output), _input: input, lines: Lines::new(query.clone()) };
        Ok(Some(
            stream::unfold(log, |mut log| async move { Some((log.next().await?, log)) }).boxed(),
        ))
    }
}

/// The output of [`READ_CMD`].
struct Log {
    /// `None` after its end.
    output: Option<RuntimeStream<ExecOutput>>,
    /// Kept open: the command ends with it.
    _input: Pin<Box<dyn AsyncWrite + Send>>,
    lines: Lines,
}

impl Log {
    async fn next(&mut self) -> Option<Result<AccessLogEntry, RuntimeError>> {
        loop {
            if let Some(entry) = self.lines.ready.pop_front() {
                return Some(Ok(entry));
            }
            let next = self.output.as_mut()?.next().await;
            match next {
                Some(Ok(ExecOutput::Stdout(bytes))) => self.lines.push(&bytes),
                Some(Ok(ExecOutput::Stderr(_))) => {}
                Some(Err(error)) => {
                    self.output = None;
                    return Some(Err(error));
                }
                Some(Ok(ExecOutput::Exit(126 | 127))) => {
                    self.output = None;
                    let what = "the access log: the image of the ingress has no shell";
                    return Some(Err(RuntimeError::Unsupported { what }));
                }
                Some(Ok(ExecOutput::Exit(_))) | None => {
                    self.output = None;
                    self.lines.end_history();
                }
            }
        }
    }
}

/// Finds the selected requests in lines.
#[derive(Debug)]
struct Lines {
    query: AccessLogQuery,
    /// How the lines of the app begin.
    start: String,
    partial: Vec<u8>,
    is_cut: bool,
    /// Requests up to now, by time: each worker writes its own a while later. The number tells
    /// those of one time apart. `None` once they are known.
    history: Option<BTreeMap<(Timestamp, u64), AccessLogEntry>>,
    count: u64,
    ready: VecDeque<AccessLogEntry>,
}

impl Lines {
    fn new(query: AccessLogQuery) -> Self {
        let start = format!("{{\"app\":\"{}\",", query.app);
        Self {
            query,
            start,
            partial: Vec::new(),
            is_cut: false,
            history: Some(BTreeMap::new()),
            count: 0,
            ready: VecDeque::new(),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, is_end) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            self.is_cut |= self.partial.len() + text.len() > MAX_LINE;
            if self.is_cut {
                self.partial.clear();
            } else {
                self.partial.extend_from_slice(text);
            }
            if is_end {
                let line = std::mem::take(&mut self.partial);
                if !std::mem::take(&mut self.is_cut) {
                    self.add(&line);
                }
            }
        }
    }

    fn add(&mut self, line: &[u8]) {
        if line.is_empty() {
            return self.end_history();
        }
        if !line.starts_with(self.start.as_bytes()) {
            return;
        }
        let Some(entry) = parse(line).filter(|entry| self.query.selects(entry)) else { return };
        let Some(history) = &mut self.history else { return self.ready.push_back(entry) };
        self.count += 1;
        history.insert((entry.time, self.count), entry);
        let tail = self.query.tail.and_then(|tail| usize::try_from(tail).ok());
        if tail.is_some_and(|tail| history.len() > tail) {
            history.pop_first();
        }
    }

    fn end_history(&mut self) {
        self.ready.extend(self.history.take().into_iter().flat_map(BTreeMap::into_values));
    }
}

/// Parses a line. Anything else than a line of nginx, whole and for an app, is `None`.
fn parse(line: &[u8]) -> Option<AccessLogEntry> {
    // nginx escapes control characters, but leaves bytes that are no UTF-8 as they are.
    let line: serde_json::Value =
        serde_json::from_slice(String::from_utf8_lossy(line).as_bytes()).ok()?;
    let field = |name| line.get(name)?.as_str();
    let text = |name| field(name).map(str::to_owned);
    // That of the last attempt: `-` if it made no connection.
    let connected = field("connected")?.rsplit([' ', ',']).next()?;
    let pod = field("pod").filter(|_| !matches!(connected, "" | "-"));
    let millis = |text: &str| {
        let (seconds, millis) = text.split_once('.').filter(|(_, millis)| millis.len() == 3)?;
        seconds.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(millis.parse().ok()?)
    };
    let time = i64::try_from(millis(field("time")?)?).ok()?;
    Some(AccessLogEntry {
        time: Timestamp::from_millisecond(time).ok()?,
        app: AppName::parse(field("app")?).ok()?,
        pod: pod.and_then(|pod| PodName::parse(pod).ok()),
        client: field("client")?.parse().ok()?,
        method: text("method")?,
        host: text("host")?,
        path: field("path")?.split('?').next()?.to_owned(),
        protocol: text("protocol")?,
        status: field("status")?.parse().ok()?,
        bytes: field("bytes")?.parse().ok()?,
        duration_ms: millis(field("seconds")?)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(app: &str, pod: &str, second: u32, path: &str) -> String {
        format!(
            "{{\"app\":\"{app}\",\"pod\":\"{pod}\",\"connected\":\"0.000\",\
             \"time\":\"17959{second:05}.250\",\"client\":\"203.0.113.9\",\"method\":\"GET\",\
             \"host\":\"web.test\",\"path\":\"{path}\",\"protocol\":\"HTTP/1.1\",\
             \"status\":\"200\",\"bytes\":\"12\",\"seconds\":\"1.012\"}}\n"
        )
    }

    fn query(tail: Option<u32>) -> AccessLogQuery {
        AccessLogQuery { tail, ..AccessLogQuery::new(AppName::parse("web").unwrap()) }
    }

    /// Returns the paths of the selected requests, in order.
    fn paths(query: AccessLogQuery, pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::new(query);
        pieces.iter().for_each(|piece| lines.push(piece));
        lines.end_history();
        lines.ready.into_iter().map(|entry| entry.path).collect()
    }

    #[test]
    fn line_is_parsed_without_its_query() {
        let text = line("web", "web-1", 7, r#"/a%20b\u001b\"\\?token=secret"#);
        let entry = parse(text.as_bytes()).unwrap();
        assert_eq!(entry.time, "2026-11-28T21:06:47.250Z".parse().unwrap());
        assert_eq!(entry.pod, PodName::parse("web-1").ok());
        assert_eq!(entry.path, "/a%20b\u{1b}\"\\");
        assert_eq!((entry.status, entry.bytes, entry.duration_ms), (200, 12, 1012));
        assert_eq!(entry.client.to_string(), "203.0.113.9");
        let mut raw = text.replace("/a%20b", "/X").into_bytes();
        let at = raw.iter().position(|byte| *byte == b'X').unwrap();
        raw[at] = 0xff;
        assert!(parse(&raw).unwrap().path.starts_with("/\u{fffd}"));
    }

    #[test]
    fn pod_is_that_of_the_last_attempt_if_it_was_reached() {
        let pod = |connected: &str| {
            let text = line("web", "web-2", 7, "/").replace("\"0.000\"", connected);
            parse(text.as_bytes()).unwrap().pod.map(String::from)
        };
        for connected in ["\"0.001\"", "\"-, 0.001\"", "\"-, 0.000 : 0.001\""] {
            assert_eq!(pod(connected).as_deref(), Some("web-2"), "{connected}");
        }
        for connected in ["\"\"", "\"-\"", "\"0.001, -\""] {
            assert_eq!(pod(connected), None, "{connected}");
        }
    }

    #[test]
    fn lines_of_others_and_damaged_ones_are_left_out() {
        let own = line("web", "web-1", 7, "/own");
        let other = line("web-2", "web-2-1", 7, "/other");
        let cut = &own[..own.len() / 2];
        let long = line("web", "web-1", 7, &"x".repeat(MAX_LINE));
        let foreign = "{\"app\":\"web\",\"pod\":1}\n{\"app\":\"web\",[[[\nnginx: [alert]\n";
        let all = [cut, "\n", &other, foreign, &long, &own].concat();
        for size in [1, 7, 4096, all.len()] {
            let pieces: Vec<_> = all.as_bytes().chunks(size).collect();
            assert_eq!(paths(query(None), &pieces), ["/own"], "{size}");
        }
        // Only a path of less than the limit is whole.
        let long = line("web", "web-1", 7, &format!("/{}", "y".repeat(72 << 10)));
        assert_eq!(paths(query(None), &[long.as_bytes()])[0].len(), (72 << 10) + 1);
    }

    #[test]
    fn last_requests_are_those_by_time_and_selected_ones() {
        let of = |pod, second| line("web", pod, second, &format!("/{pod}/{second}"));
        let all = [of("web-1", 3), of("web-2", 1), of("web-1", 2), of("web-1", 2)].concat();
        let all = [all.as_bytes()];
        assert_eq!(paths(query(Some(3)), &all), ["/web-1/2", "/web-1/2", "/web-1/3"]);
        assert_eq!(paths(query(Some(0)), &all), Vec::<String>::new());
        let pod = PodName::parse("web-2").ok();
        assert_eq!(paths(AccessLogQuery { pod, ..query(Some(1)) }, &all), ["/web-2/1"]);
        let since = "2026-11-28T21:06:43.250Z".parse().ok();
        assert_eq!(paths(AccessLogQuery { since, ..query(None) }, &all), ["/web-1/3"]);
    }

    #[test]
    fn followed_requests_come_as_they_are_read() {
        let [old, older, new, newer] = [(4, "/old"), (3, "/older"), (2, "/new"), (9, "/newer")]
            .map(|(second, path)| line("web", "web-1", second, path));
        let all = [&old, &older, "\n", &new, &newer].map(|text: &str| text.as_bytes());
        assert_eq!(paths(query(Some(1)), &all), ["/old", "/new", "/newer"]);
    }
}
