//! Settings that every command needs: host, context, instance, state folder and sockets.
//!
//! clap has already resolved flags over environment over settings file over defaults. This module
//! adds the defaults that depend on the user.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dubernetes_core::app::InstanceName;
use tokio::sync::OnceCell;

use crate::args::GlobalArgs;
use crate::contexts::Contexts;
use crate::host::Host;
use crate::report::{CliError, Result, USAGE};
use crate::settings_file::{Setting, SettingsFile};
use crate::ssh::Tunnel;

/// Longest path of a Unix socket that the kernel accepts.
const SOCKET_PATH_MAX: usize = 107;

/// Settings from the global flags.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Orchestrator named by `--host` or a context; no other one is tried then.
    pub(crate) host: Option<String>,
    /// Program, with options, for hosts at the other end of `ssh`.
    pub(crate) ssh: String,
    /// Connection to such a host, from its first use on.
    pub(crate) tunnel: Arc<OnceCell<Tunnel>>,
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
            // An empty variable is no host.
            host: global.host.clone().filter(|host| !host.is_empty()),
            ssh: global.ssh.clone(),
            tunnel: Arc::default(),
            instance: global.instance.clone(),
            paths,
            file,
            shown: Vec::new(),
        })
    }

    /// Takes the host of a context: the one that `--context` names, or else, without `--host`, the
    /// one in use.
    pub(crate) fn with_context(mut self, named: Option<&str>, user: &User) -> Result<Self> {
        if named.is_none() && self.host.is_some() {
            return Ok(self);
        }
        let contexts = Contexts::read(user)?;
        let name = named.unwrap_or(contexts.current());
        self.host = contexts.host(name)?.map(str::to_owned);
        for setting in self.shown.iter_mut().filter(|setting| setting.name == "host") {
            setting.value.clone_from(&self.host);
            if self.host.is_some() {
                setting.origin = format!("context {name}");
            }
        }
        Ok(self)
    }

    /// Returns whether the orchestrator is at the other end of `ssh`.
    pub(crate) fn is_remote(&self) -> bool {
        matches!(self.host.as_deref().map(Host::parse), Some(Ok(Host::Ssh(_))))
    }

    /// Refuses a host at the other end of `ssh` for a command that works on this machine alone.
    pub(crate) fn check_local(&self, command: &str, why: &str) -> Result {
        let Some(Host::Ssh(host)) = self.host.as_deref().map(Host::parse).transpose()? else {
            return Ok(());
        };
        let what = format!("`{command}` {why}, and {} is another machine", host.url);
        Err(CliError::with_exit(USAGE, what)
            .help(format!("run it there: `ssh {} dubernetes {command}`", host.machine)))
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
        let folder = if self.root { Some("/etc/dubernetes".into()) } else { self.config_folder() };
        Some(folder?.join("config.yaml"))
    }

    /// Returns the folder for what concerns this user alone, such as contexts.
    pub(crate) fn config_folder(&self) -> Option<PathBuf> {
        let home = || self.home.as_ref().map(|home| home.join(".config"));
        Some(self.config_home.clone().or_else(home)?.join("dubernetes"))
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
