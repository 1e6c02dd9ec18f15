//! The value of `--host`: where an orchestrator is.

use std::path::PathBuf;

use dubernetes_api::Client;
use reqwest::Url;

use crate::report::{CliError, Result, USAGE};

/// Address of an orchestrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    /// `unix:///path`: a socket of this machine.
    Unix(PathBuf),
    /// `http://address:port`.
    Http(String),
    /// `ssh://user@machine`: the socket of another machine.
    Ssh(SshHost),
}

/// A machine that the user's own `ssh` reaches, and the orchestrator there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshHost {
    /// The URL, as it was given.
    pub(crate) url: String,
    /// User; by default as the configuration of `ssh` says.
    pub(crate) user: Option<String>,
    /// Name or address of the machine, or a name in the configuration of `ssh`.
    pub(crate) machine: String,
    /// Port; by default as the configuration of `ssh` says.
    pub(crate) port: Option<u16>,
    /// Socket on that machine; by default that of the orchestrator that runs there.
    pub(crate) socket: Option<String>,
}

impl Host {
    /// Parses the value of `--host`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let usage = |what: String| {
            CliError::with_exit(USAGE, what).help(
                "for example `--host unix:///run/dubernetes/dubernetes.sock` or \
                 `--host ssh://user@machine`",
            )
        };
        let shown = text.escape_debug();
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(usage(format!(
                    "`--host` expects an absolute socket path, not `{}`",
                    path.escape_debug()
                )));
            }
            return Ok(Self::Unix(path.into()));
        }
        if text.starts_with("ssh:") {
            let found = SshHost::parse(text).map(Self::Ssh);
            return found.ok_or_else(|| {
                usage(format!(
                    "`--host` expects `ssh://[user@]machine[:port][/socket]`, not `{shown}`"
                ))
            });
        }
        Client::http(text).map(|_| Self::Http(text.to_owned())).map_err(|_| {
            usage(format!(
                "`--host` expects `unix:///path`, `http://address:port` or \
                 `ssh://user@machine`, not `{shown}`"
            ))
        })
    }
}

impl SshHost {
    fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        // What `ssh` would read as an option, or a remote shell as more than a word, is no name.
        let is_name = |name: &str| {
            !name.is_empty()
                && !name.starts_with('-')
                && name.chars().all(|c| c.is_alphanumeric() || "-_.:+".contains(c))
        };
        let machine = url.host_str()?.trim_matches(['[', ']']).to_owned();
        let user = Some(url.username().to_owned()).filter(|user| !user.is_empty());
        let socket = Some(url.path().to_owned()).filter(|path| !matches!(path.as_str(), "" | "/"));
        let is_path =
            |path: &str| path.chars().all(|c| c.is_alphanumeric() || "-_./+@".contains(c));
        let is_valid = is_name(&machine)
            && user.as_deref().is_none_or(is_name)
            && socket.as_deref().is_none_or(is_path)
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        let url_text = text.trim_end_matches('/').to_owned();
        is_valid.then(|| Self { url: url_text, user, machine, port: url.port(), socket })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh(text: &str) -> SshHost {
        match Host::parse(text).unwrap() {
            Host::Ssh(host) => host,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ssh_host_has_user_port_and_socket() {
        let host = ssh("ssh://ada@server.example:2222/run/dubernetes/lab.sock");
        assert_eq!(host.user.as_deref(), Some("ada"));
        assert_eq!(host.machine, "server.example");
        assert_eq!(host.port, Some(2222));
        assert_eq!(host.socket.as_deref(), Some("/run/dubernetes/lab.sock"));
        let short = ssh("ssh://server/");
        assert_eq!((short.user, short.port, short.socket), (None, None, None));
        assert_eq!(short.url, "ssh://server");
        assert_eq!(ssh("ssh://root@[2001:db8::1]").machine, "2001:db8::1");
        assert_eq!(ssh("ssh://Build_Server").machine, "Build_Server");
    }

    #[test]
    fn anything_that_is_no_address_is_refused() {
        for text in [
            "ssh://",
            "ssh:server",
            "ssh://-oProxyCommand=evil/",
            "ssh://-l@server",
            "ssh://ada:secret@server",
            "ssh://server?x=1",
            "ssh://server/run/a'b.sock",
            "ssh://ser ver",
            "ssh://server$(id)",
            "unix://relative.sock",
            "ftp://server",
            "server",
            "",
        ] {
            let error = Host::parse(text).unwrap_err();
            assert_eq!(error.exit_code(), USAGE, "{text}");
        }
    }
}
