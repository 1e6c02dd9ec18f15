//! The client and the server over a real Unix socket, with an orchestrator on fakes behind it.
#![expect(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

#[path = "support/api.rs"]
mod api;
#[path = "support/served.rs"]
mod served;

use std::time::Duration;

use dubernetes_api::client::{Endpoint, EventsQuery, LogQuery, LogTarget};
use dubernetes_api::wire::{Change, ExecRequest, HealthState, LogItem, ProblemKind, WatchKind};
use dubernetes_api::{Client, ClientError};
use dubernetes_core::app::{AppSpec, Generation, RevisionId};
use dubernetes_core::ingress::PortSupport;
use dubernetes_core::plan::Phase;
use dubernetes_core::runtime::{ExecOutput, ExecSession, LogLine, RuntimeError, TerminalSize};
use dubernetes_testkit::MockContainerRuntime;
use dubernetes_testkit::build::{app, app_name, worker};
use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::compat::TokioAsyncWriteCompatExt as _;

use served::{LIMIT, Served, soon};

#[tokio::test]
async fn every_client_call_reaches_its_endpoint() {
    let served = Served::start();
    let client = &served.client;
    let web = app("web", "web:1", 2);
    let applied = client.apply(&web, Some(Generation::NONE)).await.unwrap();
    assert_eq!((applied.change, applied.app.generation), (Change::Created, Generation(1)));
    assert_eq!(client.apply(&web, None).await.unwrap().change, Change::Unchanged);
    served.orchestrator.until_ready("web").await;

    assert_eq!(client.get_app("web").await.unwrap().status.phase, Phase::Ready);
    assert_eq!(client.list_apps().await.unwrap().len(), 1);
    assert_eq!(client.pods(Some("web")).await.unwrap().len(), 2);
    assert_eq!(client.pods(Some("api")).await.unwrap(), []);
    assert_eq!(client.get_pod("web-2").await.unwrap().image.as_deref(), Some("web:1"));
    assert_eq!(client.revisions("web").await.unwrap()[0].revision, RevisionId(1));
    assert_eq!(client.routes().await.unwrap()[0].endpoints.len(), 2);
    assert_eq!(client.status().await.unwrap().apps["Ready"], 1);
    assert_eq!(client.version().await.unwrap().version, "1.2.3");
    assert_eq!(client.health().await.unwrap().status, HealthState::Ok);
    let plan = client.plan(&[app("web", "web:2", 2)]).await.unwrap();
    assert_eq!(
        (plan.apps[0].revision_from, plan.apps[0].revision_to),
        (Some(RevisionId(1)), RevisionId(2))
    );
    let query = EventsQuery {
        app: Some(app_name("web")),
        kind: Some(dubernetes_core::event::EventKind::Normal),
        since: Some(jiff::Timestamp::UNIX_EPOCH),
        after: Some(0),
        limit: Some(1),
    };
    assert_eq!(client.events(&query).await.unwrap().len(), 1);

    assert_eq!(client.scale("web", 1).await.unwrap().app.spec.replicas, 1);
    client.delete_pod("web-1").await.unwrap();
    client.delete_app("web").await.unwrap();
    assert!(client.get_app("web").await.unwrap_err().is_not_found());
    soon(client.down()).await.unwrap();
    assert_eq!(served.orchestrator.runtime.containers(), []);
}

#[tokio::test]
async fn plan_says_why_a_replica_that_publishes_ports_stops_first() {
    let served = Served::start();
    let reason = "the image of the ingress has no stream module of nginx".to_owned();
    served.orchestrator.ingress.set_port_support(PortSupport::Missing { reason });
    let db = |image: &str, replicas| AppSpec {
        ports: vec!["5432:5432".parse().unwrap()],
        ..worker("db", image, replicas)
    };
    served.client.apply(&db("web:1", 1), None).await.unwrap();
    served.orchestrator.until_ready("db").await;
    let plan = served.client.plan(&[db("web:2", 1)]).await.unwrap();
    assert_eq!(
        plan.apps[0].downtime,
        "the replica publishes `ports` itself, so the old one stops first: the image of the \
         ingress has no stream module of nginx"
    );
    let plan = served.client.plan(&[db("web:2", 2)]).await.unwrap();
    let last = plan.apps[0].forecast.steps.last().unwrap();
    assert!(last.action == "blocked" && last.reason.contains("allows one replica"), "{last:?}");
}

#[tokio::test]
async fn client_errors_distinguish_problem_and_unreachable() {
    let served = Served::start();
    let client = &served.client;
    client.apply(&app("web", "web:1", 1), None).await.unwrap();
    let stale = client.apply(&app("web", "web:2", 1), Some(Generation(9))).await.unwrap_err();
    assert!(stale.is(ProblemKind::StaleGeneration), "{stale:?}");
    assert_eq!(stale.problem().unwrap().generation(), Some(Generation(1)));
    assert_eq!(stale.to_string(), "app `web` has generation 1, not 9");
    let odd = client.get_app("../pods?x#y").await.unwrap_err();
    assert!(odd.is_not_found(), "{odd:?}");
    assert!(client.get_pod("..").await.unwrap_err().is_not_found());

    let absent = Client::unix("/nowhere/socket").unwrap();
    let error = absent.version().await.unwrap_err();
    assert_eq!(error.to_string(), "no orchestrator answers at unix:///nowhere/socket");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(error.is_unreachable() && cause.starts_with("No such file"), "{cause}");
    let lines = absent.watch_apps(None).next().await.unwrap().unwrap_err();
    assert!(lines.is_unreachable());
    let request = ExecRequest { command: vec!["true".to_owned()], ..ExecRequest::default() };
    assert!(absent.exec("web-1", &request).await.unwrap_err().is_unreachable());
}

#[tokio::test]
async fn client_accepts_only_http_urls() {
    let client = Client::http("http://127.0.0.1:9/").unwrap();
    assert_eq!(*client.endpoint(), Endpoint::Http("http://127.0.0.1:9".to_owned()));
    assert!(client.version().await.unwrap_err().is_unreachable());
    for url in ["https://127.0.0.1", "127.0.0.1:9", "http://", "http://a/b", "http://u@h"] {
        assert!(matches!(Client::http(url), Err(ClientError::Protocol { .. })), "{url}");
    }
}

/// Responds to the first request of each connection with `answer` and closes it.
fn fake_server(answer: &'static str) -> (Client, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let listener = UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (Client::unix(socket).unwrap(), folder)
}

#[tokio::test]
async fn foreign_server_is_protocol_error_and_lost_connection_is_unreachable() {
    let (web_server, _folder) = fake_server("HTTP/1.1 404 x\r\ncontent-length: 2\r\n\r\nno");
    let error = web_server.version().await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
    let (other, _folder) = fake_server("HTTP/1.1 200 x\r\ncontent-length: 2\r\n\r\n{}");
    let error = other.version().await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
    let (dying, _folder) = fake_server("HTTP/1.1 200 x\r\ncontent-length: 9999\r\n\r\n{");
    assert!(dying.version().await.unwrap_err().is_unreachable());
    let (silent, _folder) = fake_server("");
    assert!(silent.version().await.unwrap_err().is_unreachable());
    let head = "HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n";
    let cut: &'static str = format!("{head}5\r\n{{\"pod\r\n").leak();
    let (cut, _folder) = fake_server(cut);
    let error = cut.watch_apps(None).next().await.unwrap().unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
}

#[tokio::test]
async fn watch_continues_until_server_stops() {
    let served = Served::start();
    served.ready(&worker("web", "web:1", 1)).await;
    let mut apps = served.client.watch_apps(Some("web"));
    let first = soon(apps.next()).await.unwrap().unwrap();
    assert_eq!((first.kind, first.object.name), (WatchKind::Added, app_name("web")));
    served.client.scale("web", 2).await.unwrap();
    loop {
        let event = soon(apps.next()).await.unwrap().unwrap();
        if event.object.status.ready == 2 {
            break;
        }
    }
    let mut events = served.client.follow_events(&EventsQuery::default());
    soon(events.next()).await.unwrap().unwrap();

    let stopped = tokio::time::Instant::now();
    served.stop.cancel();
    soon(served.server).await.unwrap().unwrap();
    // The server waits this long for requests in flight.
    assert!(stopped.elapsed() < Duration::from_secs(5), "{:?}", stopped.elapsed());
    let last = loop {
        if let Err(error) = soon(apps.next()).await.unwrap() {
            break error;
        }
    };
    assert!(last.is_unreachable(), "{last:?}");
    assert!(apps.next().await.is_none());
    drop(std::fs::remove_file(&served.socket));
    assert!(served.client.version().await.unwrap_err().is_unreachable());
}

#[tokio::test]
async fn client_follows_events() {
    let served = Served::start();
    let mut events = served
        .client
        .follow_events(&EventsQuery { app: Some(app_name("web")), ..EventsQuery::default() });
    served.client.apply(&worker("web", "web:1", 1), None).await.unwrap();
    let event = soon(events.next()).await.unwrap().unwrap();
    assert_eq!(event.app, Some(app_name("web")));
}

#[tokio::test]
async fn client_reads_logs_as_lines_and_notes() {
    let mut runtime = MockContainerRuntime::new();
    runtime.expect_read_logs().returning(|_, options| {
        let time = jiff::Timestamp::UNIX_EPOCH;
        let text = format!("{:?} {:?} \u{1b}[1m", options.tail, options.since.is_some());
        Ok(stream::iter([Ok(LogLine { time, stderr: false, text })]).boxed())
    });
    let served = Served::with_runtime(runtime);
    served.ready(&worker("web", "web:1", 1)).await;
    let since = Some(jiff::Timestamp::UNIX_EPOCH);
    let query = LogQuery { tail: Some(3), since, ..LogQuery::default() };
    let target = LogTarget::Pod("web-1".parse().unwrap());
    let items: Vec<_> = soon(served.client.logs(&target, &query).collect::<Vec<_>>()).await;
    let [Ok(LogItem::Line(line))] = &items[..] else { panic!("{items:?}") };
    assert_eq!((line.pod.as_str(), line.text.as_str()), ("web-1", "Some(3) true \u{1b}[1m"));

    let target = LogTarget::App(app_name("web"));
    let query = LogQuery { follow: true, ..LogQuery::default() };
    let mut items = served.client.logs(&target, &query);
    assert!(matches!(soon(items.next()).await, Some(Ok(LogItem::Line(_)))));
    let note = soon(items.next()).await.unwrap().unwrap();
    assert_eq!(note, LogItem::Note("web-1 stopped".to_owned()));

    let missing = LogTarget::App(app_name("nope"));
    let error = served.client.logs(&missing, &query).next().await.unwrap().unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
}

/// A runtime with a few commands, such as `cat`, which echoes its input. Others are rejected.
fn shell() -> MockContainerRuntime {
    let mut runtime = MockContainerRuntime::new();
    runtime.expect_run().returning(|_, request| match request.command[0].as_str() {
        "cat" => {
            let (input, command) = tokio::io::duplex(1024);
            let output = stream::unfold(Some(command), |command| async move {
                let mut command = command?;
                let mut buffer = vec![0; 512];
                match command.read(&mut buffer).await.unwrap() {
                    0 => Some((Ok(ExecOutput::Exit(7)), None)),
                    size => {
                        let part = bytes::Bytes::copy_from_slice(&buffer[..size]);
                        Some((Ok(ExecOutput::Stdout(part)), Some(command)))
                    }
                }
            });
            Ok(ExecSession::new(Box::pin(input.compat_write()), output.boxed()))
        }
        "flood" => {
            let part = bytes::Bytes::from(vec![b'x'; 3 << 20]);
            let output = [Ok(ExecOutput::Stderr(part)), Ok(ExecOutput::Exit(0))];
            Ok(ExecSession::new(
                Box::pin(tokio::io::sink().compat_write()),
                stream::iter(output).boxed(),
            ))
        }
        // Prints the new size of its terminal.
        "size" => {
            let (size, mut sizes) = tokio::sync::watch::channel(SIZE);
            let output = stream::once(async move {
                sizes.changed().await.unwrap();
                let TerminalSize { columns, rows } = *sizes.borrow();
                Ok(ExecOutput::Stdout(format!("{columns} {rows}").into()))
            });
            let input = Box::pin(tokio::io::sink().compat_write());
            let resize = Box::new(move |to| {
                size.send_replace(to);
            });
            Ok(ExecSession { input, output: output.boxed(), resize })
        }
        "hang" => Ok(ExecSession::new(
            Box::pin(tokio::io::sink().compat_write()),
            stream::pending().boxed(),
        )),
        command => Err(RuntimeError::NotRunning {
            operation: format!("run {command}"),
            message: "the container is restarting".to_owned(),
        }),
    });
    runtime
}

const SIZE: TerminalSize = TerminalSize { columns: 80, rows: 24 };

fn command(word: &str) -> ExecRequest {
    ExecRequest { command: vec![word.to_owned()], stdin: true, tty: Some(SIZE) }
}

#[tokio::test]
async fn exec_passes_input_output_and_exit_code() {
    let served = Served::with_runtime(shell());
    served.ready(&worker("web", "web:1", 1)).await;
    let mut session = soon(served.client.exec("web-1", &command("cat"))).await.unwrap();
    let sent: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let copy = sent.clone();
    let writer = tokio::spawn(async move {
        session.input.write_all(&copy).await.unwrap();
        session.input.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    let code = loop {
        match soon(session.output.next()).await.unwrap().unwrap() {
            ExecOutput::Stdout(part) => received.extend_from_slice(&part),
            ExecOutput::Stderr(part) => panic!("{part:?}"),
            ExecOutput::Exit(code) => break code,
        }
    };
    assert_eq!((code, received == sent), (7, true), "{} bytes", received.len());
    assert!(session.output.next().await.is_none());
    writer.await.unwrap();
}

#[tokio::test]
async fn large_exec_output_arrives_complete() {
    let served = Served::with_runtime(shell());
    served.ready(&worker("web", "web:1", 1)).await;
    assert_eq!(run(&served.client, "flood").await, (3 << 20, 0));
}

/// Returns the number of bytes that a command prints, and its exit code.
async fn run(client: &Client, word: &str) -> (usize, i64) {
    let mut session = soon(client.exec("web-1", &command(word))).await.unwrap();
    let mut size = 0;
    loop {
        match soon(session.output.next()).await.unwrap().unwrap() {
            ExecOutput::Stdout(part) | ExecOutput::Stderr(part) => size += part.len(),
            ExecOutput::Exit(code) => return (size, code),
        }
    }
}

#[tokio::test]
async fn terminal_resize_reaches_the_command() {
    let served = Served::with_runtime(shell());
    served.ready(&worker("web", "web:1", 1)).await;
    let mut session = soon(served.client.exec("web-1", &command("size"))).await.unwrap();
    session.size.send_replace(TerminalSize { columns: 132, rows: 43 });
    let shown = soon(session.output.next()).await.unwrap().unwrap();
    assert_eq!(shown, ExecOutput::Stdout("132 43".into()));
}

#[tokio::test]
async fn failed_exec_reports_reason() {
    let served = Served::with_runtime(shell());
    served.ready(&worker("web", "web:1", 1)).await;
    let refused = soon(served.client.exec("web-1", &command("x"))).await.unwrap_err();
    assert!(refused.is(ProblemKind::Rejected), "{refused:?}");
    assert!(refused.to_string().contains("the container is restarting"), "{refused}");
    let missing = soon(served.client.exec("web-9", &command("cat"))).await.unwrap_err();
    assert!(missing.is_not_found(), "{missing:?}");
    let empty = ExecRequest::default();
    let empty = soon(served.client.exec("web-1", &empty)).await.unwrap_err();
    assert!(empty.is(ProblemKind::InvalidRequest), "{empty:?}");
}

#[tokio::test]
async fn exec_in_stopped_pod_is_not_running() {
    let served = Served::with_runtime(shell());
    served.client.apply(&worker("bad", "crash:1", 1), None).await.unwrap();
    let down = served.orchestrator.until("it waits for a restart", LIMIT, |seen| {
        let pods = seen.plan.statuses.values().flat_map(|status| &status.pods);
        pods.into_iter().any(|pod| pod.state == dubernetes_core::plan::PodState::BackOff)
    });
    down.await;
    let error = soon(served.client.exec("bad-1", &command("cat"))).await.unwrap_err();
    assert!(error.is(ProblemKind::NotRunning), "{error:?}");
}

#[tokio::test]
async fn exec_session_ends_when_server_stops() {
    let served = Served::with_runtime(shell());
    served.ready(&worker("web", "web:1", 1)).await;
    let mut session = soon(served.client.exec("web-1", &command("hang"))).await.unwrap();
    served.stop.cancel();
    let end = soon(session.output.next()).await.unwrap().unwrap_err();
    assert!(end.is_unreachable(), "{end:?}");
}

#[tokio::test]
async fn exec_without_subprotocol_is_rejected() {
    let served = Served::with_runtime(shell());
    served.ready(&worker("web", "web:1", 1)).await;
    served.refuses_without_subprotocol("/v1/pods/web-1/exec", "application/problem+json").await;
}

#[tokio::test]
async fn malformed_heads_end_only_their_connection() {
    let served = Served::start();
    let many = "x: y\r\n".repeat(1_000);
    let long = "a".repeat(64 << 10);
    for (request, statuses) in [
        (format!("GET /v1/apps HTTP/1.1\r\nhost: x\r\n{many}\r\n"), ["431", "400"]),
        (format!("GET /v1/apps HTTP/1.1\r\nhost: x\r\nx: {long}\r\n\r\n"), ["431", "431"]),
        (format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70_000)), ["414", "431"]),
        ("\u{0}\u{1}garbage\r\n\r\n".to_owned(), ["400", "400"]),
    ] {
        let mut socket = UnixStream::connect(&served.socket).await.unwrap();
        // The server may respond and close before it has read everything.
        let _ = socket.write_all(request.as_bytes()).await;
        let mut answer = [0; 64];
        let size = soon(socket.read(&mut answer)).await.unwrap_or(0);
        let answer = String::from_utf8_lossy(&answer[..size]).into_owned();
        let status = answer.get(9..12).unwrap_or_default();
        assert!(statuses.contains(&status), "{answer}");
    }
    assert_eq!(served.client.health().await.unwrap().status, HealthState::Ok);
}

/// The server responds with 413 and stops reading.
#[tokio::test]
async fn endless_body_is_rejected_without_buffering() {
    let served = Served::start();
    let head = "PUT /v1/apps/web HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let blank = " ".repeat(64 << 10);
    let chunk = format!("{:x}\r\n{blank}\r\n", blank.len());
    for (kind, piece) in [
        (format!("content-length: {}\r\n\r\n", 1_u64 << 40), blank.clone()),
        ("transfer-encoding: chunked\r\n\r\n".to_owned(), chunk),
    ] {
        let before = memory();
        let socket = UnixStream::connect(&served.socket).await.unwrap();
        let (mut reader, mut writer) = socket.into_split();
        let sending = async {
            writer.write_all(format!("{head}{kind}").as_bytes()).await.unwrap();
            let mut sent = 0_usize;
            while writer.write_all(piece.as_bytes()).await.is_ok() {
                sent += piece.len();
            }
            sent
        };
        let mut answer = Vec::new();
        // The server closes the connection while the client still sends.
        let (sent, _) =
            soon(async { tokio::join!(sending, reader.read_to_end(&mut answer)) }).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        assert!(sent < 64 << 20, "{sent} bytes were taken");
        let grown = memory().saturating_sub(before);
        assert!(grown < 64 << 10, "{grown} KiB more memory after {sent} bytes");
    }
    assert_eq!(served.client.health().await.unwrap().status, HealthState::Ok);
}

/// Returns the memory of this process in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn concurrent_applies_of_same_generation_have_one_winner() {
    let served = Served::start();
    let one = &served.client;
    let other = Client::unix(&served.socket).unwrap();
    served.client.apply(&app("web", "web:1", 1), Some(Generation::NONE)).await.unwrap();
    for generation in 1..=20 {
        let port = u16::try_from(generation).unwrap();
        let spec = |image: &str, replicas| {
            let mut spec = app("web", image, replicas);
            spec.port = Some(1000 + port);
            spec
        };
        let first = spec("web:1", 1);
        let second = spec("web:2", 2);
        let (one, other) = tokio::join!(
            one.apply(&first, Some(Generation(generation))),
            other.apply(&second, Some(Generation(generation))),
        );
        let (won, lost) = match (one, other) {
            (Ok(_), Err(lost)) => (first, lost),
            (Err(lost), Ok(_)) => (second, lost),
            both => panic!("not exactly one won: {both:?}"),
        };
        assert_eq!(lost.problem().map(|problem| problem.status), Some(409), "{lost}");
        let stored = served.client.get_app("web").await.unwrap();
        assert_eq!((stored.generation, stored.spec), (Generation(generation + 1), won));
    }
}
