//! Commands that run the orchestrator or remove what it owns, and the settings of `serve`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum, value_parser};
use dubernetes_core::app::{Duration, ImageRef, IssuedTls, Permissions};
use dubernetes_core::ingress::{TrustedProxies, UrlPorts};

use super::node::NodeAddress;
use super::shared::{FileArgs, ProgressStyle};
use crate::metrics::parse_metrics_address;
use crate::report::{CliError, Result, USAGE};
use crate::wiring::parse_acme_directory;

/// Settings of engine, ingress and event retention. Commands that run without an orchestrator read
/// them from the environment and the settings file.
#[derive(Debug, Clone, Args)]
pub(crate) struct IngressArgs {
    /// What replicas are: containers of a container engine, containers of the engines of a Docker
    /// swarm, or processes of this machine, which needs no engine and runs `program` instead of
    /// `image`.
    #[arg(long, env = "DUBERNETES_RUNTIME", value_name = "RUNTIME", default_value = "docker")]
    pub(crate) runtime: RuntimeKind,
    /// Where the state is kept: in a file of this machine, or in the swarm, for `--runtime swarm`,
    /// where `serve` on another manager takes over if this one is lost.
    #[arg(long, env = "DUBERNETES_STORE", value_name = "STORE", default_value = "sqlite")]
    pub(crate) store: StoreKind,
    /// What routes requests: nginx in a container, or a proxy in the orchestrator's own process,
    /// which ends with it. Default: proxy with `--runtime process`, else nginx.
    #[arg(long, env = "DUBERNETES_INGRESS", value_name = "INGRESS")]
    pub(crate) ingress: Option<IngressKind>,
    /// Port of this machine on which the ingress listens.
    #[arg(
        long,
        env = "DUBERNETES_HTTP_PORT",
        value_name = "PORT",
        default_value_t = 80,
        value_parser = value_parser!(u16).range(1..)
    )]
    pub(crate) http_port: u16,
    /// Port of this machine on which the ingress listens for HTTPS, such as 443; for apps with
    /// `tls`. Without it, all apps are served over HTTP.
    #[arg(
        long,
        env = "DUBERNETES_HTTPS_PORT",
        value_name = "PORT",
        value_parser = value_parser!(u16).range(1..)
    )]
    pub(crate) https_port: Option<u16>,
    /// Where certificates of hosts come from whose apps do not say so by `tls`: `auto` is the ACME
    /// authority, `internal` the instance's own one. Without it, they are served over HTTP.
    #[arg(long, env = "DUBERNETES_DEFAULT_TLS", value_name = "TLS", default_value = "none")]
    pub(crate) default_tls: IssuedTls,
    /// Directory of the ACME authority that issues certificates for apps with `tls: auto`.
    #[arg(
        long,
        env = "DUBERNETES_ACME_DIRECTORY",
        value_name = "URL",
        default_value = LETS_ENCRYPT,
        value_parser = parse_acme_directory
    )]
    pub(crate) acme_directory: String,
    /// Mail address that the ACME authority may write to.
    #[arg(long, env = "DUBERNETES_ACME_CONTACT", value_name = "ADDRESS")]
    pub(crate) acme_contact: Option<String>,
    /// PEM file with the root certificate of the ACME authority's own server, for a private one.
    #[arg(long, env = "DUBERNETES_ACME_ROOT", value_name = "FILE")]
    pub(crate) acme_root: Option<PathBuf>,
    /// Addresses of this machine on which the ingress listens, separated by commas; `0.0.0.0` for
    /// all IPv4 addresses, `::` for all addresses.
    #[arg(
        long,
        env = "DUBERNETES_HTTP_BIND",
        value_name = "ADDRESSES",
        default_value = "127.0.0.1",
        value_parser = BindAddresses::parse
    )]
    pub(crate) http_bind: BindAddresses,
    /// Image of the ingress: nginx 1.27.4 or later.
    #[arg(
        long,
        env = "DUBERNETES_INGRESS_IMAGE",
        value_name = "IMAGE",
        default_value = INGRESS_IMAGE
    )]
    pub(crate) ingress_image: ImageRef,
    /// How long a change of routes keeps idle connections of clients open, from `1s` to `1m`. A
    /// replica that is replaced drains for half a second longer.
    #[arg(
        long,
        env = "DUBERNETES_KEEPALIVE_WINDOW",
        value_name = "TIME",
        default_value_t = KEEPALIVE_WINDOW,
        value_parser = keepalive_window
    )]
    pub(crate) keepalive_window: Duration,
    /// Proxies in front of the ingress, such as one that ends TLS, that are believed about client
    /// address, scheme, host and port: `none`, or a list of addresses and networks, and of
    /// `host-gateway` for programs of this machine that use its loopback address.
    #[arg(
        long,
        env = "DUBERNETES_TRUSTED_PROXIES",
        value_name = "NETWORKS",
        default_value = "none"
    )]
    pub(crate) trusted_proxies: TrustedProxies,
    /// Expect the PROXY protocol, version 1 or 2, on each connection to the ingress. Its addresses
    /// are believed if a trusted proxy sends them.
    #[arg(
        long,
        env = "DUBERNETES_PROXY_PROTOCOL",
        value_name = "true|false",
        default_value = "false",
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set
    )]
    pub(crate) proxy_protocol: bool,
    /// Log requests to apps, for `logs --access`, which the ingress nginx offers. The log is in
    /// memory: usually 16 MB, at most 64.
    #[arg(
        long,
        env = "DUBERNETES_ACCESS_LOG",
        value_name = "true|false",
        default_value = "true",
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set
    )]
    pub(crate) access_log: bool,
    /// Serve metrics for Prometheus at `/metrics` of this address, such as `127.0.0.1:9464`, to
    /// every client that can connect.
    #[arg(
        long,
        env = "DUBERNETES_METRICS_LISTEN",
        value_name = "ADDRESS:PORT",
        value_parser = parse_metrics_address
    )]
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// Container engine; defaults to DOCKER_HOST, else to the engine's usual socket.
    #[arg(long, env = "DUBERNETES_ENGINE", value_name = "URL")]
    pub(crate) engine: Option<String>,
    /// Engine of another node of the swarm, for `--runtime swarm`: its name as `docker node ls`
    /// prints it, and where it is, such as `worker-1=ssh://root@10.0.0.7`, or a socket of this
    /// machine, `worker-1=unix:///PATH`. A node without one gets no containers.
    #[arg(
        long = "node",
        env = "DUBERNETES_NODE",
        value_name = "NAME=URL",
        value_delimiter = ',',
        value_parser = NodeAddress::parse
    )]
    pub(crate) nodes: Vec<NodeAddress>,
    /// What apps may do to this machine: `none`, or a list of `cap_add` (capabilities that Docker
    /// does not give), `devices` and `host-paths` (folders and files of the system, such as the
    /// engine's socket). Each of them gives an app control of the machine.
    #[arg(long, env = "DUBERNETES_ALLOW", value_name = "LIST", default_value = "none")]
    pub(crate) allow: Permissions,
    /// Number of newest events to keep. Needs `--store sqlite`.
    #[arg(
        long,
        env = "DUBERNETES_EVENTS_KEEP",
        value_name = "COUNT",
        default_value_t = EVENTS_KEEP,
        value_parser = value_parser!(u64).range(1..=100_000_000)
    )]
    pub(crate) events_keep: u64,
    /// How long to keep events, such as `12h` or `30d`. Needs `--store sqlite`.
    #[arg(
        long,
        env = "DUBERNETES_EVENTS_AGE",
        value_name = "TIME",
        default_value = EVENTS_AGE,
        value_parser = long_duration
    )]
    pub(crate) events_age: Duration,
}

/// Defaults of what is kept of events.
const EVENTS_KEEP: u64 = 100_000;
const EVENTS_AGE: &str = "30d";
/// The default image of the ingress.
const INGRESS_IMAGE: &str = "nginx:stable-alpine";
/// The default of the keep-alive window.
const KEEPALIVE_WINDOW: Duration = Duration::from_secs(1);

/// What replicas are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeKind {
    /// Containers of Docker, or of Podman with Docker's API.
    Docker,
    /// Containers of the nodes of a Docker swarm, from a manager of it.
    Swarm,
    /// Processes of this machine.
    Process,
}

/// Where the state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    /// SQLite file in the state folder.
    Sqlite,
    /// Configs of the swarm.
    Swarm,
}

/// What routes requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IngressKind {
    /// nginx in a container.
    Nginx,
    /// A proxy in the orchestrator's process.
    Proxy,
}

/// The production directory of Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

impl IngressArgs {
    /// Returns the ports for URLs.
    pub(crate) fn url_ports(&self) -> UrlPorts {
        UrlPorts { http: self.http_port, https: self.https_port }
    }

    /// Returns the ingress: the given one, or else the usual one of the runtime.
    pub(crate) fn ingress(&self) -> IngressKind {
        self.ingress.unwrap_or(match self.runtime {
            RuntimeKind::Docker | RuntimeKind::Swarm => IngressKind::Nginx,
            RuntimeKind::Process => IngressKind::Proxy,
        })
    }

    /// Refuses settings of another runtime, ingress or store.
    fn check_kinds(&self) -> Result {
        let of_docker = (self.runtime == RuntimeKind::Process, "runtime docker");
        let of_swarm = (self.runtime != RuntimeKind::Swarm, "runtime swarm");
        let of_nginx = (self.ingress() != IngressKind::Nginx, "ingress nginx");
        let of_sqlite = (self.store != StoreKind::Sqlite, "store sqlite");
        let has_age = long_duration(EVENTS_AGE) != Ok(self.events_age);
        let settings = [
            ("--events-keep", self.events_keep != EVENTS_KEEP, of_sqlite),
            ("--events-age", has_age, of_sqlite),
            ("--engine", self.engine.is_some(), of_docker),
            ("--node", !self.nodes.is_empty(), of_swarm),
            ("--store swarm", self.store == StoreKind::Swarm, of_swarm),
            ("--https-port", self.https_port.is_some(), of_nginx),
            ("--trusted-proxies", !self.trusted_proxies.is_empty(), of_nginx),
            ("--ingress-image", self.ingress_image != INGRESS_IMAGE, of_nginx),
            ("--keepalive-window", self.keepalive_window != KEEPALIVE_WINDOW, of_nginx),
            ("--acme-contact", self.acme_contact.is_some(), of_nginx),
            ("--acme-root", self.acme_root.is_some(), of_nginx),
        ];
        for (flag, is_set, (is_missing, needed)) in settings {
            if is_set && is_missing {
                let what = format!("`{flag}` has no effect without `--{needed}`");
                let error = CliError::with_exit(USAGE, what);
                return Err(error.help(format!("add `--{needed}`, or omit `{flag}`")));
            }
        }
        Ok(())
    }

    /// Refuses settings that exclude each other.
    pub(crate) fn check(&self) -> Result {
        self.check_kinds()?;
        if self.default_tls != IssuedTls::None && self.https_port.is_none() {
            let what = "`--default-tls` has no effect without a port for HTTPS";
            return Err(CliError::with_exit(USAGE, what).help(
                "name one with `serve --https-port` or DUBERNETES_HTTPS_PORT, such as 443, or omit \
                 `--default-tls`",
            ));
        }
        if self.runtime == RuntimeKind::Swarm && self.trusted_proxies.includes_host_gateway() {
            let what = "`host-gateway` is not known with `--runtime swarm`";
            return Err(CliError::with_exit(USAGE, what).help(
                "name the address with which the proxy's requests arrive: that of \
                 `docker_gwbridge`, as `ip address` prints it",
            ));
        }
        if !self.proxy_protocol || !self.trusted_proxies.is_empty() {
            return Ok(());
        }
        let what = "`--proxy-protocol` has no effect without a trusted proxy";
        Err(CliError::with_exit(USAGE, what).help(
            "name the proxy that sends it with `serve --trusted-proxies` or \
             DUBERNETES_TRUSTED_PROXIES, or omit `--proxy-protocol`",
        ))
    }
}

/// Addresses of this machine, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BindAddresses(pub(crate) Vec<IpAddr>);

impl BindAddresses {
    /// Parses a list such as `127.0.0.1,[::1]`. `localhost` and `::` stand for both families.
    ///
    /// # Errors
    ///
    /// Says what was expected.
    fn parse(text: &str) -> Result<Self, String> {
        let mut addresses = Vec::new();
        for word in text.split(',').map(str::trim) {
            let bare = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let parsed: Vec<IpAddr> = match bare.unwrap_or(word) {
                "localhost" => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
                // The engine publishes `::` for IPv6 alone.
                "::" => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
                address => vec![address.parse().map_err(|_| {
                    format!("`{word}` is not an address such as `127.0.0.1`, `::1` or `localhost`")
                })?],
            };
            for address in parsed {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Ok(Self(addresses))
    }

    /// Returns the addresses with a port.
    pub(crate) fn with_port(&self, port: u16) -> Vec<SocketAddr> {
        self.0.iter().map(|address| SocketAddr::new(*address, port)).collect()
    }
}

/// Parses a duration that may also be in hours or days, which the manifest does not need.
///
/// # Errors
///
/// Says what was expected.
pub(super) fn long_duration(text: &str) -> Result<Duration, String> {
    let whole = |unit: char, seconds: u64| {
        let number = text.strip_suffix(unit)?.parse::<u32>().ok()?;
        Some(Duration::from_secs(u64::from(number) * seconds))
    };
    let parsed = whole('h', 3600).or_else(|| whole('d', 24 * 3600));
    match parsed.map_or_else(|| Duration::parse(text), Ok) {
        Ok(time) if time.millis() >= 1_000 => Ok(time),
        Ok(_) | Err(_) => Err("expected a duration such as `10m`, `12h` or `30d`".to_owned()),
    }
}

/// Parses how long idle connections of clients stay open.
///
/// # Errors
///
/// Says what was expected.
fn keepalive_window(text: &str) -> Result<Duration, String> {
    match Duration::parse(text) {
        Ok(time) if (1_000..=60_000).contains(&time.millis()) => Ok(time),
        Ok(_) | Err(_) => Err("expected a duration from `1s` to `1m`".to_owned()),
    }
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) ingress: IngressArgs,
    /// Log format.
    #[arg(long, env = "DUBERNETES_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
    /// Group of this machine, by name or number, whose members may use the socket; without it, only
    /// the orchestrator's user and root may. Members control the machine, as those of `docker` do.
    #[arg(long, env = "DUBERNETES_SOCKET_GROUP", value_name = "GROUP")]
    pub(crate) socket_group: Option<String>,
    /// Take over an instance whose state is lost or no longer used: from now on it belongs to this
    /// state, and its replicas wait until their files are applied again.
    #[arg(long)]
    pub(crate) adopt: bool,
    /// Do one action at a time: show desired and observed state, the rule, the action and the next
    /// steps, and wait for Enter (`c`: continue without asking; `q`: quit, leaving all as it is).
    #[arg(long)]
    pub(crate) step: bool,
}

/// Arguments of `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,
    #[command(flatten)]
    pub(crate) ingress: IngressArgs,
    /// How to show progress on standard error.
    #[arg(long, value_name = "STYLE", default_value = "auto")]
    pub(crate) progress: ProgressStyle,
    /// Do one action at a time: show desired and observed state, the rule, the action and the next
    /// steps, and wait for Enter (`c`: continue without asking; `q`: quit, leaving all as it is).
    #[arg(long)]
    pub(crate) step: bool,
}

/// Log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Text.
    Text,
    /// One JSON object per line.
    Json,
}

/// Arguments of `down`.
#[derive(Debug, Args)]
pub(crate) struct DownArgs {
    /// Do not ask for confirmation.
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write one page per command to this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Arguments of `completion`.
#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// Shell.
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bind_addresses_are_a_list_of_both_families() {
        let parse = |text: &str| {
            let parsed = BindAddresses::parse(text).map(|addresses| addresses.with_port(80));
            parsed.map(|all| all.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" "))
        };
        for (text, expected) in [
            ("127.0.0.1", "127.0.0.1:80"),
            ("127.0.0.1, [::1]", "127.0.0.1:80 [::1]:80"),
            ("localhost", "127.0.0.1:80 [::1]:80"),
            ("::1,localhost", "[::1]:80 127.0.0.1:80"),
            ("::", "0.0.0.0:80 [::]:80"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "127.0.0.1,", "[::1", "example.org", "127.0.0.1:80"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
