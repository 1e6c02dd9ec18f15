//! Contexts: names for the hosts that a user works with, and the one that commands use.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::report::{CliError, Result, USAGE};
use crate::settings::User;

/// The context of this machine. It always exists.
pub(crate) const LOCAL: &str = "local";
/// Longest name.
const NAME_MAX: usize = 63;

/// The contexts of a user, as their file holds them.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contexts {
    /// Name of the context in use; none is [`LOCAL`].
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    /// Value of `--host` by name.
    hosts: BTreeMap<String, String>,
}

impl Contexts {
    /// Returns the path of the file, if the user has a folder for it.
    pub(crate) fn path(user: &User) -> Option<PathBuf> {
        Some(user.config_folder()?.join("contexts.json"))
    }

    /// Reads the contexts of a user; none without a file.
    pub(crate) fn read(user: &User) -> Result<Self> {
        let Some(path) = Self::path(user) else { return Ok(Self::default()) };
        let what = format!("cannot read the contexts in `{}`", path.display());
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(CliError::with_io_source(&what, &error).exiting_with(USAGE)),
        };
        serde_json::from_slice(&text).map_err(|error| {
            CliError::with_source(&what, &error)
                .exiting_with(USAGE)
                .help("repair the file, or remove it and add the contexts again")
        })
    }

    /// Writes the contexts of a user. The file changes as a whole or not at all.
    pub(crate) fn write(&self, user: &User) -> Result {
        let Some(path) = Self::path(user) else {
            let what = "no folder for contexts: neither XDG_CONFIG_HOME nor HOME is set";
            return Err(CliError::new(what).help("set one of them"));
        };
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let written = fs::create_dir_all(folder).and_then(|()| {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        });
        let what = format!("cannot write the contexts to `{}`", path.display());
        written.map_err(|error| CliError::with_io_source(&what, &error))
    }

    /// Returns the name of the context in use.
    pub(crate) fn current(&self) -> &str {
        self.current.as_deref().unwrap_or(LOCAL)
    }

    /// Returns the host of a context; none for this machine.
    ///
    /// # Errors
    ///
    /// There is no such context.
    pub(crate) fn host(&self, name: &str) -> Result<Option<&str>> {
        if name == LOCAL {
            return Ok(None);
        }
        match self.hosts.get(name) {
            Some(host) => Ok(Some(host)),
            None => Err(self.unknown(name)),
        }
    }

    /// Returns all contexts with their hosts, this machine first.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let hosts = self.hosts.iter().map(|(name, host)| (name.as_str(), Some(host.as_str())));
        std::iter::once((LOCAL, None)).chain(hosts)
    }

    /// Adds a context, or changes its host if `replace`. Returns whether it is new.
    pub(crate) fn add(&mut self, name: &str, host: &str, replace: bool) -> Result<bool> {
        check_name(name)?;
        Host::parse(host)?;
        match self.hosts.get(name) {
            Some(found) if found != host && !replace => {
                Err(CliError::new(format!("the context `{name}` exists, with the host {found}"))
                    .help("`--replace` changes it"))
            }
            found => {
                let is_new = found.is_none();
                self.hosts.insert(name.to_owned(), host.to_owned());
                Ok(is_new)
            }
        }
    }

    /// Makes a context the one that commands use.
    pub(crate) fn select(&mut self, name: &str) -> Result {
        self.current = self.host(name)?.is_some().then(|| name.to_owned());
        Ok(())
    }

    /// Removes a context. One in use gives way to that of this machine.
    pub(crate) fn remove(&mut self, name: &str) -> Result {
        if name == LOCAL {
            let what = format!("the context `{LOCAL}` is this machine, and cannot be removed");
            return Err(CliError::with_exit(USAGE, what));
        }
        if self.hosts.remove(name).is_none() {
            return Err(self.unknown(name));
        }
        self.current.take_if(|current| current == name);
        Ok(())
    }

    fn unknown(&self, name: &str) -> CliError {
        let names: Vec<_> = self.all().map(|(name, _)| format!("`{name}`")).collect();
        CliError::new(format!("there is no context `{}`", name.escape_debug()))
            .help(format!("contexts: {}; `dubernetes context add` adds one", names.join(", ")))
    }
}

fn check_name(name: &str) -> Result {
    let is_valid = (1..=NAME_MAX).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && !name.starts_with(['-', '.']);
    let what = match name {
        LOCAL => format!("the context `{LOCAL}` is this machine, and cannot be changed"),
        _ if is_valid => return Ok(()),
        _ => format!("`{}` is no name of a context", name.escape_debug()),
    };
    Err(CliError::with_exit(USAGE, what)
        .help(format!("a name has 1 to {NAME_MAX} letters, digits, `-`, `_` and `.`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(folder: &Path) -> User {
        User { config_home: Some(folder.to_owned()), ..User::default() }
    }

    #[test]
    fn contexts_survive_in_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let user = user(folder.path());
        let mut contexts = Contexts::read(&user).unwrap();
        assert_eq!(contexts, Contexts::default());
        assert!(contexts.add("prod", "ssh://ada@server", false).unwrap());
        contexts.select("prod").unwrap();
        contexts.write(&user).unwrap();
        let read = Contexts::read(&user).unwrap();
        assert_eq!(
            (read.current(), read.host("prod").unwrap()),
            ("prod", Some("ssh://ada@server"))
        );
        fs::write(Contexts::path(&user).unwrap(), "{").unwrap();
        let error = Contexts::read(&user).unwrap_err();
        assert!(error.text().contains("contexts.json"), "{}", error.text());
    }

    #[test]
    fn existing_context_changes_only_when_told_so() {
        let mut contexts = Contexts::default();
        contexts.add("prod", "ssh://one", false).unwrap();
        assert!(!contexts.add("prod", "ssh://one", false).unwrap());
        let error = contexts.add("prod", "ssh://two", false).unwrap_err();
        assert!(error.text().contains("--replace"), "{}", error.text());
        assert!(!contexts.add("prod", "ssh://two", true).unwrap());
        assert_eq!(contexts.host("prod").unwrap(), Some("ssh://two"));
    }

    #[test]
    fn removed_context_gives_way_to_this_machine() {
        let mut contexts = Contexts::default();
        contexts.add("prod", "ssh://one", false).unwrap();
        contexts.select("prod").unwrap();
        contexts.remove("prod").unwrap();
        assert_eq!(contexts.current(), LOCAL);
        assert_eq!(contexts.host(LOCAL).unwrap(), None);
        for error in [contexts.remove("prod"), contexts.select("prod"), contexts.remove(LOCAL)] {
            error.unwrap_err();
        }
    }

    #[test]
    fn names_and_hosts_are_checked_before_anything_is_stored() {
        let mut contexts = Contexts::default();
        for name in ["", "local", "-x", ".x", "a b", "a/b", &"x".repeat(64)] {
            contexts.add(name, "ssh://one", false).unwrap_err();
        }
        contexts.add("prod", "server", false).unwrap_err();
        assert_eq!(contexts, Contexts::default());
    }
}
