//! A pseudo terminal on which the program runs.

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

/// Both ends of a pseudo terminal.
#[derive(Debug)]
pub struct Terminal {
    /// Keyboard and screen.
    controller: File,
    /// End that the program sees.
    tty: File,
    screen: Arc<Mutex<String>>,
    initial: Termios,
}

impl Terminal {
    /// Opens a terminal of this size.
    ///
    /// # Panics
    ///
    /// If the system provides none.
    pub fn new(columns: u16, rows: u16) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let path = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
        let flags = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
        let tty = File::options().read(true).write(true).custom_flags(flags).open(path).unwrap();
        let initial = tcgetattr(&tty).unwrap();
        let controller = File::from(controller);
        let terminal = Self { controller, tty, screen: Arc::default(), initial };
        terminal.resize(columns, rows);
        terminal.record_screen();
        terminal
    }

    /// Records all output, until the test process exits.
    fn record_screen(&self) {
        let mut controller = self.controller.try_clone().unwrap();
        let screen = Arc::clone(&self.screen);
        std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(size) = controller.read(&mut part) {
                screen.lock().unwrap().push_str(&String::from_utf8_lossy(&part[..size]));
            }
        });
    }

    /// Starts a command of the program on the terminal, in a session of its own.
    ///
    /// # Panics
    ///
    /// If the command does not start.
    pub fn start(&self, scenario: &Scenario, arguments: &[&str]) -> Child {
        let inner = scenario.command("dubernetes", arguments);
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(inner.get_program()).args(inner.get_args());
        for (key, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None => command.env_remove(key),
            };
        }
        let tty = || self.tty.try_clone().unwrap();
        command.stdin(tty()).stdout(tty()).stderr(tty()).spawn().unwrap()
    }

    /// Types keys.
    ///
    /// # Panics
    ///
    /// If the terminal is closed.
    pub fn type_keys(&self, keys: &str) {
        (&self.controller).write_all(keys.as_bytes()).unwrap();
    }

    /// Changes the window size.
    ///
    /// # Panics
    ///
    /// If the terminal is closed.
    pub fn resize(&self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.controller, size).unwrap();
    }

    /// Waits until a text appears.
    pub async fn wait_for_text(&self, text: &str) {
        eventually(&format!("the terminal shows {text:?}"), SOON, async || {
            let screen = self.screen.lock().unwrap().clone();
            if screen.contains(text) { Ok(()) } else { Err(screen) }
        })
        .await;
    }

    /// Waits until the terminal is in raw mode.
    pub async fn wait_for_raw_mode(&self) {
        eventually("the terminal is raw", SOON, async || {
            let raw = !self.modes().local_modes.contains(LocalModes::ICANON);
            if raw { Ok(()) } else { Err(self.screen.lock().unwrap().clone()) }
        })
        .await;
    }

    /// Whether the terminal has its initial modes.
    ///
    /// # Panics
    ///
    /// If the terminal is closed.
    pub fn is_restored(&self) -> bool {
        let flags = |t: &Termios| (t.input_modes, t.output_modes, t.control_modes, t.local_modes);
        flags(&self.modes()) == flags(&self.initial)
    }

    fn modes(&self) -> Termios {
        tcgetattr(&self.tty).unwrap()
    }
}

/// Waits for a command to exit, and returns its exit code.
///
/// # Panics
///
/// If the command does not exit within [`SOON`].
pub async fn exit_code(child: Child) -> Option<i32> {
    let child = Mutex::new(child);
    let status = eventually("the command exits", SOON, async || {
        let exited = child.lock().unwrap().try_wait().unwrap();
        exited.ok_or_else(|| "it still runs".to_owned())
    });
    status.await.code()
}
