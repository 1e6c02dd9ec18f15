//! Settings that every command needs: host, instance, state folder and sockets.
//!
//! clap has already resolved flags over environment over settings file over defaults. This module
//! adds the defaults that depend on the user.

use std::path::{Path, PathBuf};

use dubernetes_core::app::InstanceName;

use crate::args::GlobalArgs;
use crate::report::{CliError, Result, USAGE};
use crate::settings_file::{Setting, SettingsFile};

/// Longest path of a Unix socket that the kernel accepts.
const SOCKET_PATH_MAX: usize = 107;

/// Settings from the global flags.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Orchestrator named by `--host`; no other one is tried then.
    pub(crate) host: Option<String>,
    /// Instance.
    pub(crate) instance: InstanceName,
    /// Paths of its state folder and sockets.
    pub(crate) paths: Paths,
    /// Settings file, for flags that this command does not have.
    pub(crate) file: SettingsFile,
    /// Every setting and its origin, for `status`.
    pub(crate) shown: Vec<Setting>,
}

impl Settings {
    /// Resolves the global flags for this user.
    pub(crate) fn new(global: &GlobalArgs, user: &User, file: SettingsFile) -> Result<Self> {
        let paths = Paths::find(user, global.state_dir.as_deref(), &global.instance)?;
        Ok(Self {
            host: global.host.clone(),
            instance: global.instance.clone(),
            paths,
            file,
            shown: Vec::new(),
        })
    }

    /// Adds the settings that `status` shows.
    pub(crate) fn with_shown(self, shown: Vec<Setting>) -> Self {
        Self { shown, ..self }
    }
}

/// Properties of the calling user that decide default paths.
#[derive(Debug, Clone, Default)]
pub(crate) struct User {
    /// Whether the user is root.
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
    /// Returns the user of this process.
    pub(crate) fn current() -> Self {
        // The XDG specification says to ignore relative paths.
        let folder = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
        Self {
            root: rustix::process::geteuid().is_root(),
            home: folder("HOME"),
            config_home: folder("XDG_CONFIG_HOME"),
            state_home: folder("XDG_STATE_HOME"),
            runtime_dir: folder("XDG_RUNTIME_DIR"),
        }
    }

    /// Returns the default path of the settings file.
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

/// Paths of an instance's state folder and sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Paths {
    /// State folder.
    pub(crate) state_dir: PathBuf,
    /// Socket on which `serve` listens, and the first one that commands try.
    pub(crate) socket: PathBuf,
    /// Socket that commands try next.
    pub(crate) system_socket: Option<PathBuf>,
}

impl Paths {
    /// Finds the paths of an instance. A state folder that the user named is used as it is;
    /// otherwise every instance except the default one gets a subfolder.
    pub(crate) fn find(
        user: &User,
        state_dir: Option<&Path>,
        instance: &InstanceName,
    ) -> Result<Self> {
        let paths = match state_dir {
            Some(folder) => {
                let folder = std::path::absolute(folder).map_err(|error| {
                    CliError::with_source("cannot use the state folder", &error)
                })?;
                let socket = folder.join("dubernetes.sock");
                Self { state_dir: folder, socket, system_socket: None }
            }
            None if user.root => {
                let state_dir = instance_folder("/var/lib/dubernetes", instance);
                Self { state_dir, ..Self::of_system(instance) }
            }
            None => Self::of_user(user, instance)?,
        };
        let length = paths.socket.as_os_str().len();
        if length > SOCKET_PATH_MAX {
            return Err(CliError::new(format!(
                "the socket path `{}` is {length} bytes long; the limit is {SOCKET_PATH_MAX}",
                paths.socket.display()
            ))
            .help("choose a shorter folder with `--state-dir`"));
        }
        Ok(paths)
    }

    fn of_system(instance: &InstanceName) -> Self {
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
                    "no state folder: neither XDG_STATE_HOME nor HOME is set",
                )
                .help("name one with `--state-dir`"));
            }
        };
        let state_dir = instance_folder(base, instance);
        let socket = match &user.runtime_dir {
            Some(folder) => folder.join("dubernetes").join(socket_name(instance)),
            None => state_dir.join("dubernetes.sock"),
        };
        Ok(Self { state_dir, socket, system_socket: Some(Self::of_system(instance).socket) })
    }
}

fn instance_folder(base: impl AsRef<Path>, instance: &InstanceName) -> PathBuf {
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
        let words = ["dubernetes"].iter().chain(flags).chain(&["status"]);
        let cli = Cli::try_parse_from(words).unwrap();
        let paths = Settings::new(&cli.global, user, SettingsFile::default()).unwrap().paths;
        let expected = Paths {
            state_dir: state.into(),
            socket: socket.into(),
            system_socket: system.map(PathBuf::from),
        };
        assert_eq!(paths, expected);
    }

    #[test]
    fn root_gets_system_paths() {
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
    fn user_gets_own_paths_and_system_socket() {
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
    fn state_dir_flag_moves_state_and_socket() {
        let root = User { root: true, ..user() };
        for user in [user(), root] {
            check(&user, &["--state-dir", "/srv/d"], "/srv/d", "/srv/d/dubernetes.sock", None);
        }
    }

    #[test]
    fn settings_file_depends_on_user() {
        let file = |user: User| user.settings_file();
        assert_eq!(file(User { root: true, ..user() }), Some("/etc/dubernetes/config.yaml".into()));
        assert_eq!(file(user()), Some("/home/ada/.config/dubernetes/config.yaml".into()));
        let moved = User { config_home: Some("/conf".into()), ..user() };
        assert_eq!(file(moved), Some("/conf/dubernetes/config.yaml".into()));
        assert_eq!(file(User::default()), None);
    }

    #[test]
    fn socket_path_over_kernel_limit_is_refused() {
        let long = PathBuf::from(format!("/{}", "x".repeat(120)));
        let error = Paths::find(&user(), Some(&long), &InstanceName::default()).unwrap_err();
        assert!(error.text().contains("107"), "{}", error.text());
        let nowhere = Paths::find(&User::default(), None, &InstanceName::default()).unwrap_err();
        assert_eq!(nowhere.exit_code(), USAGE);
    }
}
