//! The unit of systemd, and an orchestrator that starts as the unit says, without systemd.

use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;

/// What the unit says about its process.
#[derive(Debug)]
pub struct Unit {
    text: String,
}

impl Unit {
    /// Reads the unit that the packages contain.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let text = std::fs::read_to_string(root.join("packaging/dubernetes.service")).unwrap();
        Self { text }
    }

    /// Returns all values of a key, in order.
    pub fn values(&self, key: &str) -> Vec<&str> {
        let lines = self.text.lines().filter_map(|line| line.split_once('='));
        lines.filter(|(found, _)| *found == key).map(|(_, value)| value).collect()
    }

    /// Returns its command with another path of the program, with its environment, and where this
    /// user may do so also with its capabilities.
    ///
    /// # Panics
    ///
    /// If the unit has not exactly one command, or the command is not that of the program.
    pub fn command(&self, program: &Path) -> Command {
        let [line] = self.values("ExecStart")[..] else { panic!("{}", self.text) };
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("/usr/bin/dubernetes"));
        let mut command = if geteuid().is_root() {
            let kept = self.values("CapabilityBoundingSet").join(" ");
            let kept = kept.split_whitespace().map(|capability| {
                format!(",+{}", capability.strip_prefix("CAP_").unwrap().to_lowercase())
            });
            let mut command = Command::new("setpriv");
            command.arg(format!("--bounding-set=-all{}", kept.collect::<String>()));
            command.arg("--no-new-privs").arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(words).envs(
            self.values("Environment").iter().map(|variable| variable.split_once('=').unwrap()),
        );
        command
    }
}
