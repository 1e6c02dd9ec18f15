//! `serve` as a service: what its service manager hears, and who may use its socket. No engine is
//! needed: it listens without one.

#![expect(clippy::unwrap_used, reason = "a failure here fails the test")]

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};

const PROGRAM: &str = env!("CARGO_BIN_EXE_dubernetes");
const LIMIT: Duration = Duration::from_secs(20);

struct Serve(Child);

impl Serve {
    fn start(state: &Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(PROGRAM);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("DUBERNETES_") {
                command.env_remove(name);
            }
        }
        command.env("DOCKER_HOST", "unix:///nonexistent/engine.sock").arg("serve");
        command.env("DUBERNETES_STATE_DIR", state).envs(variables.iter().copied());
        let serve = Self(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        let deadline = Instant::now() + LIMIT;
        let answers = || {
            let mut command = Command::new(PROGRAM);
            command.env("DUBERNETES_STATE_DIR", state).args(["version", "-o", "json"]);
            command.output().is_ok_and(|output| output.status.success())
        };
        while !answers() {
            assert!(Instant::now() < deadline, "it does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        serve
    }

    fn terminate(&self) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns a state folder that everybody could reach, if its own permissions allowed it.
fn reachable() -> (tempfile::TempDir, PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    fs::set_permissions(outer.path(), Permissions::from_mode(0o755)).unwrap();
    let state = outer.path().join("state");
    (outer, state)
}

#[test]
fn service_manager_hears_of_start_and_end() {
    let (outer, state) = reachable();
    let path = outer.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let hear = || {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let serve = Serve::start(&state, &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert_eq!(hear(), "READY=1");
    serve.terminate();
    assert_eq!(hear(), "STOPPING=1");
}

#[test]
fn members_of_the_socket_group_may_use_it_and_others_not() {
    const TEST: &str = "members_of_the_socket_group_may_use_it_and_others_not";
    let has_setpriv = Command::new("setpriv").arg("--version").output().is_ok();
    if !geteuid().is_root() || !has_setpriv {
        let line = format!("skipped {TEST}: it needs root and `setpriv`\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    }
    let (outer, state) = reachable();
    let program = outer.path().join("dubernetes");
    fs::copy(PROGRAM, &program).unwrap();
    let socket = state.join("dubernetes.sock");
    let host = format!("unix://{}", socket.display());
    let call = |groups: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--groups", groups]);
        command.arg(&program).args(["--host", &host, "get", "apps"]);
        command.env("HOME", "/nonexistent").env_remove("XDG_CONFIG_HOME").output().unwrap()
    };
    {
        let _serve = Serve::start(&state, &[("DUBERNETES_SOCKET_GROUP", "47110")]);
        let found = fs::metadata(&socket).unwrap();
        assert_eq!((found.gid(), found.mode() & 0o7777), (47110, 0o660));
        let member = call("47111,47110");
        assert!(member.status.success(), "{member:?}");
        let other = call("47111");
        assert_eq!(other.status.code(), Some(3), "{other:?}");
        assert!(String::from_utf8_lossy(&other.stderr).contains("permission denied"), "{other:?}");
    }
    let _serve = Serve::start(&state, &[]);
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(call("47111,47110").status.code(), Some(3), "without the setting");
}
