//! A terminal with the program on it, as a person's own would be.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Termios, Winsize, tcgetattr, tcsetwinsize};

use crate::checks::{SOON, eventually};
use crate::scenario::Scenario;

/// Both ends of a terminal: the keyboard and screen, and what a program sees.
#[derive(Debug)]
pub struct Terminal {
    person: File,
    program: File,
    screen: Arc<Mutex<String>>,
    before: Termios,
}

impl Terminal {
    /// A terminal of this many columns and rows, on which nothing runs.
    ///
    /// # Panics
    ///
    /// If the system gives none.
    pub fn new(columns: u16, rows: u16) -> Self {
        let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&person).unwrap();
        unlockpt(&person).unwrap();
        let path = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
        let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
        let program =
            File::options().read(true).write(true).custom_flags(flags).open(path).unwrap();
        let before = tcgetattr(&program).unwrap();
        let person = File::from(person);
        let terminal = Self { person, program, screen: Arc::default(), before };
        terminal.resize(columns, rows);
        terminal.show();
        terminal
    }

    /// Gathers what appears, until the test's process ends.
    fn show(&self) {
        let (mut person, screen) = (self.person.try_clone().unwrap(), Arc::clone(&self.screen));
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(size) = person.read(&mut part) {
                screen.lock().unwrap().push_str(&String::from_utf8_lossy(&part[..size]));
            }
        });
    }

    /// Starts a command of the program on it, in a session of its own.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    pub fn start(&self, scenario: &Scenario, arguments: &[&str]) -> Child {
        let plain = scenario.command("dubernetes", arguments);
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(plain.get_program()).args(plain.get_args());
        for (key, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        let end = || self.program.try_clone().unwrap();
        command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap()
    }

    /// Presses keys.
    ///
    /// # Panics
    ///
    /// If the terminal is broken.
    pub fn press(&self, keys: &str) {
        (&self.person).write_all(keys.as_bytes()).unwrap();
    }

    /// Pulls the window to another size.
    ///
    /// # Panics
    ///
    /// If the terminal is broken.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.person, size).unwrap();
    }

    /// Waits until a text has appeared.
    pub async fn shows(&self, text: &str) {
        eventually(&format!("the terminal shows {text:?}"), SOON, async || {
            let screen = self.screen.lock().unwrap().clone();
            if screen.contains(text) { Ok(()) } else { Err(screen) }
        })
        .await;
    }

    /// Waits until every key is passed on as it is pressed.
    pub async fn is_raw(&self) {
        eventually("the terminal is raw", SOON, async || {
            let raw = !self.now().local_modes.contains(LocalModes::ICANON);
            if raw { Ok(()) } else { Err(self.screen.lock().unwrap().clone()) }
        })
        .await;
    }

    /// Whether it is set as it was before anything ran on it.
    ///
    /// # Panics
    ///
    /// If the terminal is broken.
    pub fn is_as_before(&self) -> bool {
        let modes = |t: &Termios| (t.input_modes, t.output_modes, t.control_modes, t.local_modes);
        modes(&self.now()) == modes(&self.before)
    }

    fn now(&self) -> Termios {
        tcgetattr(&self.program).unwrap()
    }
}

/// Waits until a command has ended, and gives its exit code.
///
/// # Panics
///
/// If it goes on for too long.
pub async fn exit_code(child: Child) -> Option<i32> {
    let child = Mutex::new(child);
    let status = eventually("the command ends", SOON, async || {
        let ended = child.lock().unwrap().try_wait().unwrap();
        ended.ok_or_else(|| "it still runs".to_owned())
    });
    status.await.code()
}
