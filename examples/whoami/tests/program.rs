//! Tests of the running program, over HTTP.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

/// A running program.
struct Program {
    child: Child,
    port: u16,
    stderr: JoinHandle<String>,
}

impl Program {
    /// Starts the program on a free port and waits until it listens.
    fn start(env: &[(&str, &str)]) -> Self {
        let mut child = command(env).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        let port = first.trim_end().rsplit(':').next().unwrap().parse().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut rest = String::new();
            lines.read_to_string(&mut rest).unwrap();
            rest
        });
        Self { child, port, stderr }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for the exit, and returns status and standard error.
    fn wait(mut self) -> (ExitStatus, String) {
        (self.child.wait().unwrap(), self.stderr.join().unwrap())
    }
}

fn command(env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whoami"));
    command.env("WHOAMI_PORT", "0").envs(env.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Sends a single request and reads the whole answer.
fn send(mut connection: &TcpStream, request: &str) -> String {
    write!(connection, "{request}\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    read(connection)
}

fn read(mut connection: &TcpStream) -> String {
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn answer_has_identity_and_request() {
    let program = Program::start(&[("DUBERNETES_APP", "web"), ("DUBERNETES_REVISION", "r2")]);
    let answer = send(&program.connect(), "GET /some/path HTTP/1.1");
    for line in
        ["App: web", "Revision: r2", "IP: 127.0.0.1", "GET /some/path HTTP/1.1", "Host: test"]
    {
        assert!(answer.lines().any(|l| l == line), "`{line}` is missing in:\n{answer}");
    }
    assert!(send(&program.connect(), "GET /health HTTP/1.1").starts_with("HTTP/1.1 200 "));
    assert!(send(&program.connect(), "GET /bench HTTP/1.1").ends_with("\r\n1"));
    let data = send(&program.connect(), "GET /data?size=20&unit=kb HTTP/1.1");
    assert_eq!(data.split_once("\r\n\r\n").unwrap().1.len(), 20 * 1024);
    program.terminate();
    assert_eq!(program.wait().0.code(), Some(0));
}

#[test]
fn answer_has_body_length() {
    let program = Program::start(&[]);
    let connection = program.connect();
    let head = "POST /api HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
    write!(&connection, "{head}hello").unwrap();
    assert!(read(&connection).contains("\"bodyLength\":5"));
    program.terminate();
    program.wait();
}

#[test]
fn health_answers_posted_status() {
    let program = Program::start(&[]);
    let connection = program.connect();
    let head =
        "POST /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 3\r\n\r\n";
    write!(&connection, "{head}503").unwrap();
    assert!(read(&connection).starts_with("HTTP/1.1 200 "));
    assert!(send(&program.connect(), "GET /health HTTP/1.1").starts_with("HTTP/1.1 503 "));
    program.terminate();
    program.wait();
}

#[test]
fn sigterm_finishes_request_in_flight_and_closes_idle_connections() {
    let program = Program::start(&[]);
    // An idle keep-alive connection must not keep the program running.
    let idle = program.connect();
    write!(&idle, "GET /bench HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    let mut first = [0; 12];
    (&idle).read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    let slow = program.connect();
    // The server sends `100 Continue` once the request has reached its handler.
    let head = "POST /?wait=300ms HTTP/1.1\r\nHost: test\r\n\
                Expect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    write!(&slow, "{head}").unwrap();
    let mut interim = [0; 25];
    (&slow).read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    program.terminate();
    write!(&slow, "ok").unwrap();
    let answer = read(&slow);
    assert!(answer.contains("BodyLength: 2\n"), "{answer}");

    let (status, stderr) = program.wait();
    assert_eq!(status.code(), Some(0));
    assert!(stderr.contains("stopping"), "{stderr}");
}

#[test]
fn program_exits_with_configured_code() {
    let mut child =
        command(&[("WHOAMI_EXIT", "7"), ("WHOAMI_EXIT_AFTER", "10ms")]).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn sigterm_during_start_delay_exits_at_once() {
    let mut child =
        command(&[("WHOAMI_START_DELAY", "1m"), ("WHOAMI_EXIT", "9"), ("WHOAMI_EXIT_AFTER", "1m")])
            .spawn()
            .unwrap();
    // Before the handler is installed the signal would kill the program, so wait for the handler.
    let status = format!("/proc/{}/status", child.id());
    while !catches_sigterm(&std::fs::read_to_string(&status).unwrap()) {
        std::thread::yield_now();
    }
    kill_process(Pid::from_raw(child.id().try_into().unwrap()).unwrap(), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Whether SIGTERM (15) is in the set of caught signals, at bit 14.
fn catches_sigterm(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(line.trim(), 16).unwrap() & (1 << 14) != 0
}

#[test]
fn unknown_argument_is_refused() {
    let output = command(&[]).args(["--prot", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--prot"));
}
