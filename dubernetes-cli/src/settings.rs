//! Where things are: the state folder and the sockets, for the user who asks.
//!
//! Flags win over the environment, that over the settings file, and that over defaults; clap has
//! decided that already. What is left are defaults that depend on the user.

use std::path::{Path, PathBuf};

use dubernetes_core::app::InstanceName;

use crate::args::GlobalArgs;
use crate::report::{CliError, Result, USAGE};
use crate::settings_file::{Setting, SettingsFile};

/// The longest path that the kernel takes for a Unix socket.
const SOCKET_PATH_MAX: usize = 107;

/// Everything that the global flags decide.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The orchestrator that was named; none other is tried then.
    pub(crate) host: Option<String>,
    /// The instance.
    pub(crate) instance: InstanceName,
    /// Where its state and its sockets are.
    pub(crate) paths: Paths,
    /// What the settings file says, for flags that this command does not have.
    pub(crate) file: SettingsFile,
    /// Every setting and who set it, for the command that shows them.
    pub(crate) shown: Vec<Setting>,
}

impl Settings {
    /// The settings of these flags for this user.
    pub(crate) fn new(global: &GlobalArgs, user: &User, file: SettingsFile) -> Result<Self> {
        let paths = Paths::find(user, global.state_dir.as_deref(), &global.instance)?;
        let (host, instance) = (global.host.clone(), global.instance.clone());
        Ok(Self { host, instance, paths, file, shown: Vec::new() })
    }

    /// The same, with all settings to be shown.
    pub(crate) fn showing(mut self, shown: Vec<Setting>) -> Self {
        self.shown = shown;
        self
    }
}

/// The user who asks, as far as paths depend on it.
#[derive(Debug, Clone, Default)]
pub(crate) struct User {
    /// Whether it is root.
    pub(crate) root: bool,
    /// `$HOME`.
    pub(crate) home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`.
    pub(crate) config_home: Option<PathBuf>,
    /// `$XDG_STATE_HOME`.
    pub(crate) state_home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub(crate) runtime_dir: Option<PathBuf>,
}

impl User {
    /// The user of this process.
    pub(crate) fn present() -> Self {
        // A relative path in these variables is to be ignored: it would mean something else in
        // each folder.
        let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        Self {
            root: rustix::process::geteuid().is_root(),
            home: folder("HOME"),
            config_home: folder("XDG_CONFIG_HOME"),
            state_home: folder("XDG_STATE_HOME"),
            runtime_dir: folder("XDG_RUNTIME_DIR"),
        }
    }

    /// Where the settings file is, if none is named.
    pub(crate) fn settings_file(&self) -> Option<PathBuf> {
        let folder = match (&self.config_home, &self.home) {
            _ if self.root => PathBuf::from("/etc"),
            (Some(folder), _) => folder.clone(),
            (None, Some(home)) => home.join(".config"),
            (None, None) => return None,
        };
        Some(folder.join("dubernetes/config.yaml"))
    }
}

/// Where an instance's state and sockets are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paths {
    /// The folder of the state.
    pub(crate) state_dir: PathBuf,
    /// The socket on which `serve` listens, and where an orchestrator is looked for first.
    pub(crate) socket: PathBuf,
    /// Where it is looked for then.
    pub(crate) system_socket: Option<PathBuf>,
}

impl Paths {
    /// The paths of an instance. A folder that was named is taken as it is; elsewhere each
    /// instance but the default one has a folder of its own.
    pub(crate) fn find(
        user: &User,
        state_dir: Option<&Path>,
        instance: &InstanceName,
    ) -> Result<Self> {
        let paths = match state_dir {
            Some(folder) => {
                let folder = std::path::absolute(folder).map_err(|error| {
                    CliError::with_source("the state folder cannot be used", &error)
                })?;
                let socket = folder.join("dubernetes.sock");
                Self { state_dir: folder, socket, system_socket: None }
            }
            None if user.root => {
                Self { state_dir: below("/var/lib/dubernetes", instance), ..Self::system(instance) }
            }
            None => Self::of_user(user, instance)?,
        };
        let length = paths.socket.as_os_str().len();
        if length > SOCKET_PATH_MAX {
            return Err(CliError::new(format!(
                "the path of the socket `{}` has {length} bytes, and a socket's may have \
                 {SOCKET_PATH_MAX}",
                paths.socket.display()
            ))
            .help("choose a shorter folder with `--state-dir`"));
        }
        Ok(paths)
    }

    fn system(instance: &InstanceName) -> Self {
        let socket = Path::new("/run/dubernetes").join(socket_name(instance));
        Self { state_dir: PathBuf::new(), socket, system_socket: None }
    }

    fn of_user(user: &User, instance: &InstanceName) -> Result<Self> {
        let base = match (&user.state_home, &user.home) {
            (Some(state), _) => state.join("dubernetes"),
            (None, Some(home)) => home.join(".local/state/dubernetes"),
            (None, None) => {
                return Err(CliError::with_exit(
                    USAGE,
                    "there is no folder for the state: neither XDG_STATE_HOME nor HOME is set",
                )
                .help("name one with `--state-dir`"));
            }
        };
        let state_dir = below(base, instance);
        let socket = match &user.runtime_dir {
            Some(folder) => folder.join("dubernetes").join(socket_name(instance)),
            None => state_dir.join("dubernetes.sock"),
        };
        Ok(Self { state_dir, socket, system_socket: Some(Self::system(instance).socket) })
    }
}

fn below(base: impl AsRef<Path>, instance: &InstanceName) -> PathBuf {
    let base = base.as_ref();
    if *instance == InstanceName::default() {
        base.to_owned()
    } else {
        base.join("instances").join(instance.as_str())
    }
}

fn socket_name(instance: &InstanceName) -> String {
    if *instance == InstanceName::default() {
        "dubernetes.sock".to_owned()
    } else {
        format!("{instance}.sock")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::Cli;

    fn user() -> User {
        User {
            root: false,
            home: Some("/home/ada".into()),
            config_home: None,
            state_home: None,
            runtime_dir: Some("/run/user/1000".into()),
        }
    }

    fn check(user: &User, flags: &[&str], state: &str, socket: &str, system: Option<&str>) {
        let typed = ["dubernetes"].iter().chain(flags).chain(&["status"]);
        let cli = Cli::try_parse_from(typed).unwrap();
        let paths = Settings::new(&cli.global, user, SettingsFile::default()).unwrap().paths;
        let expected = Paths {
            state_dir: state.into(),
            socket: socket.into(),
            system_socket: system.map(PathBuf::from),
        };
        assert_eq!(paths, expected);
    }

    #[test]
    fn root_has_the_folders_of_the_system() {
        let root = User { root: true, ..user() };
        check(&root, &[], "/var/lib/dubernetes", "/run/dubernetes/dubernetes.sock", None);
        check(
            &root,
            &["--instance", "lab"],
            "/var/lib/dubernetes/instances/lab",
            "/run/dubernetes/lab.sock",
            None,
        );
    }

    #[test]
    fn users_have_their_own_and_know_the_systems_socket() {
        let system = Some("/run/dubernetes/dubernetes.sock");
        let socket = "/run/user/1000/dubernetes/dubernetes.sock";
        check(&user(), &[], "/home/ada/.local/state/dubernetes", socket, system);
        let state = User { state_home: Some("/state".into()), ..user() };
        check(&state, &[], "/state/dubernetes", socket, system);
        let bare = User { runtime_dir: None, ..user() };
        let state = "/home/ada/.local/state/dubernetes";
        check(&bare, &[], state, &format!("{state}/dubernetes.sock"), system);
    }

    #[test]
    fn the_flag_moves_state_and_socket() {
        let root = User { root: true, ..user() };
        for user in [user(), root] {
            check(&user, &["--state-dir", "/srv/d"], "/srv/d", "/srv/d/dubernetes.sock", None);
        }
    }

    #[test]
    fn the_settings_file_is_the_systems_for_root_and_the_users_own_else() {
        let file = |user: User| user.settings_file();
        assert_eq!(file(User { root: true, ..user() }), Some("/etc/dubernetes/config.yaml".into()));
        assert_eq!(file(user()), Some("/home/ada/.config/dubernetes/config.yaml".into()));
        let moved = User { config_home: Some("/conf".into()), ..user() };
        assert_eq!(file(moved), Some("/conf/dubernetes/config.yaml".into()));
        assert_eq!(file(User::default()), None);
    }

    #[test]
    fn what_the_kernel_would_cut_is_refused() {
        let long = PathBuf::from(format!("/{}", "x".repeat(120)));
        let failure = Paths::find(&user(), Some(&long), &InstanceName::default()).unwrap_err();
        assert!(failure.text().contains("107"), "{}", failure.text());
        let nowhere = Paths::find(&User::default(), None, &InstanceName::default()).unwrap_err();
        assert_eq!(nowhere.exit_code(), USAGE);
    }
}
