//! Options of a container, with the names and the meaning that they have in Compose.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::escape::quote;
use super::is_default;
use super::quantity::{Memory, parse_whole};
use super::text::{ParseError, checked_text, text_traits};
use super::volume::check_absolute;

/// Options of a replica's container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerOptions {
    /// The user, and optionally the group, that runs the command. Default: that of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// The folder in which the command runs. Default: that of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<WorkingDir>,
    /// Whether an init process is process 1. Default: true.
    #[serde(skip_serializing_if = "is_true")]
    pub init: bool,
    /// Whether the container's own files are read-only.
    #[serde(skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Whether programs such as `sudo` cannot give a process more rights. Default: true.
    #[serde(skip_serializing_if = "is_true")]
    pub no_new_privileges: bool,
    /// Capabilities of the kernel beyond those of the engine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<KernelCapability>,
    /// Capabilities of the kernel that are taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cap_drop: Vec<KernelCapability>,
    /// Devices of the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<Device>,
    /// Folders in memory.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tmpfs: Vec<Tmpfs>,
    /// The size of `/dev/shm`. Default: that of the engine, 64 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shm_size: Option<Memory>,
    /// Limits of the kernel for each process.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub ulimits: BTreeMap<UlimitName, Ulimit>,
    /// Lines added to `/etc/hosts`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub extra_hosts: Vec<ExtraHost>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_true(flag: &bool) -> bool {
    *flag
}

impl Default for ContainerOptions {
    fn default() -> Self {
        Self {
            user: None,
            working_dir: None,
            init: true,
            read_only: false,
            no_new_privileges: true,
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            devices: Vec::new(),
            tmpfs: Vec::new(),
            shm_size: None,
            ulimits: BTreeMap::new(),
            extra_hosts: Vec::new(),
        }
    }
}

checked_text!(
    /// A user, and optionally a group: names of the image, or numbers.
    User,
    check_user
);

fn check_user(text: &str) -> Result<String, ParseError> {
    let is_name = |name: &str| {
        let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        !name.is_empty() && name.len() <= 64 && !name.starts_with('-') && name.chars().all(is_legal)
    };
    let mut parts = text.split(':');
    if parts.clone().count() <= 2 && parts.all(is_name) {
        return Ok(text.to_owned());
    }
    Err(format!("expected `USER` or `USER:GROUP`, by name or number, not {}", quote(text)).into())
}

checked_text!(
    /// The folder in which a command runs: an absolute path in the container.
    WorkingDir,
    check_working_dir
);

fn check_working_dir(path: &str) -> Result<String, ParseError> {
    check_absolute(path, "the working folder")
}

checked_text!(
    /// A folder in memory: `/path`, or `/path:size=64m,mode=1777`.
    Tmpfs,
    check_tmpfs
);

/// The options of a folder in memory that need a value, and those without one.
const TMPFS_VALUES: [&str; 5] = ["size", "mode", "uid", "gid", "nr_inodes"];
const TMPFS_FLAGS: [&str; 8] = ["ro", "rw", "exec", "noexec", "suid", "nosuid", "dev", "nodev"];

impl Tmpfs {
    /// Returns the path in the container.
    pub fn target(&self) -> &str {
        self.as_str().split(':').next().unwrap_or_default()
    }

    /// Returns the options, as the kernel reads them.
    pub fn options(&self) -> &str {
        self.as_str().split_once(':').map_or("", |(_, options)| options)
    }
}

fn check_tmpfs(text: &str) -> Result<String, ParseError> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    let path = check_absolute(path, "a folder in memory")?;
    if path == "/" {
        return Err("a folder in memory cannot be `/`".into());
    }
    if options.is_empty() {
        return Ok(path);
    }
    let is_legal = |option: &str| match option.split_once('=') {
        Some((key, value)) => {
            let is_value = value.chars().all(|c| c.is_ascii_alphanumeric() || c == '%');
            TMPFS_VALUES.contains(&key) && !value.is_empty() && is_value
        }
        None => TMPFS_FLAGS.contains(&option),
    };
    match options.split(',').find(|option| !is_legal(option)) {
        None => Ok(format!("{path}:{options}")),
        Some(option) => {
            Err(format!("unknown option {} of a folder in memory", quote(option)).into())
        }
    }
}

checked_text!(
    /// The name of a limit of the kernel, such as `nofile`.
    UlimitName,
    check_ulimit_name
);

/// The limits of the kernel, as Docker names them.
const ULIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

fn check_ulimit_name(text: &str) -> Result<String, ParseError> {
    if ULIMITS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("{} is no limit of the kernel: {}", quote(text), ULIMITS.join(", ")).into())
}

/// A limit of the kernel: `1024`, or `1024:4096` for a soft and a hard one; -1 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ulimit {
    /// The limit that applies, which a process may raise up to the hard one.
    pub soft: i64,
    /// The highest limit.
    pub hard: i64,
}

impl Ulimit {
    /// Parses `LIMIT` or `SOFT:HARD`.
    ///
    /// # Errors
    ///
    /// Returns the rule that `text` breaks.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        let limit = Self { soft: parse_limit(soft)?, hard: parse_limit(hard)? };
        let is_above = limit.hard != -1 && (limit.soft == -1 || limit.soft > limit.hard);
        if is_above {
            return Err(format!("the soft limit {soft} is above the hard limit {hard}").into());
        }
        Ok(limit)
    }
}

fn parse_limit(digits: &str) -> Result<i64, ParseError> {
    let number = if digits == "-1" {
        Some(-1)
    } else {
        parse_whole(digits).and_then(|number| i64::try_from(number).ok())
    };
    number.ok_or_else(|| {
        format!("expected `LIMIT` or `SOFT:HARD`, each a number or -1, not {}", quote(digits))
            .into()
    })
}

text_traits!(Ulimit);

impl fmt::Display for Ulimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.soft == self.hard {
            write!(f, "{}", self.soft)
        } else {
            write!(f, "{}:{}", self.soft, self.hard)
        }
    }
}

checked_text!(
    /// A capability of the kernel, such as `NET_ADMIN`, or `ALL`.
    KernelCapability,
    check_capability
);

/// The capabilities that a container of Docker has by default.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
/// The other capabilities of the kernel. Most of them give control of the host.
const HOST_CAPABILITIES: [&str; 27] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "DAC_READ_SEARCH",
    "IPC_LOCK",
    "IPC_OWNER",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "NET_ADMIN",
    "NET_BROADCAST",
    "PERFMON",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

impl KernelCapability {
    /// Returns whether a container of Docker has it by default.
    pub fn is_default(&self) -> bool {
        DEFAULT_CAPABILITIES.contains(&self.as_str())
    }
}

fn check_capability(text: &str) -> Result<String, ParseError> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    let known = DEFAULT_CAPABILITIES.contains(&name) || HOST_CAPABILITIES.contains(&name);
    if known || name == "ALL" {
        return Ok(name.to_owned());
    }
    Err(format!("{} is no capability of the kernel", quote(text)).into())
}

checked_text!(
    /// A device of the host: `/dev/ttyUSB0`, with `:/dev/other` for another path in the container
    /// and `:r`, `:rw` or `:rwm` for what it may do.
    Device,
    check_device
);

impl Device {
    /// Returns the path on the host, the path in the container, and the permissions.
    pub fn parts(&self) -> [&str; 3] {
        let mut parts = self.as_str().splitn(3, ':');
        let host = parts.next().unwrap_or_default();
        [host, parts.next().unwrap_or(host), parts.next().unwrap_or("rwm")]
    }
}

fn check_device(text: &str) -> Result<String, ParseError> {
    let mut parts: Vec<&str> = text.split(':').collect();
    if let [host, permissions @ ("r" | "w" | "m" | "rw" | "rm" | "wm" | "rwm")] = parts[..] {
        parts = vec![host, host, permissions];
    }
    let [host, rest @ ..] = parts.as_slice() else { return Err("a device needs a path".into()) };
    let host = check_absolute(host, "a device")?;
    if !host.starts_with("/dev/") {
        return Err(format!("a device must be below `/dev`, not {}", quote(&host)).into());
    }
    let is_permission = |text: &str| !text.is_empty() && text.chars().all(|c| "rwm".contains(c));
    match rest {
        [] => Ok(host),
        [target] => Ok(format!("{host}:{}", check_absolute(target, "a device")?)),
        [target, permissions] if is_permission(permissions) => {
            Ok(format!("{host}:{}:{permissions}", check_absolute(target, "a device")?))
        }
        _ => Err(format!("expected `/dev/NAME[:/dev/NAME][:rwm]`, not {}", quote(text)).into()),
    }
}

checked_text!(
    /// A line of `/etc/hosts`: `NAME:ADDRESS`. The address `host-gateway` is that of the host.
    ExtraHost,
    check_extra_host
);

fn check_extra_host(text: &str) -> Result<String, ParseError> {
    let expected = || -> ParseError {
        format!("expected `NAME:ADDRESS` or `NAME:host-gateway`, not {}", quote(text)).into()
    };
    let (name, address) = text.split_once([':', '=']).ok_or_else(expected)?;
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let is_name = !name.is_empty() && name.len() <= 253 && name.chars().all(is_legal);
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = bare.unwrap_or(address);
    if !is_name || (address != "host-gateway" && address.parse::<IpAddr>().is_err()) {
        return Err(expected());
    }
    Ok(format!("{name}:{address}"))
}

#[cfg(test)]
mod tests {
    use super::super::AppSpec;
    use super::*;

    #[test]
    fn options_are_keys_of_the_specification_and_unknown_keys_are_refused() {
        let json = serde_json::json!({ "name": "web", "image": "web:1", "cap_drop": ["ALL"] });
        let spec: AppSpec = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(spec.options.cap_drop.len(), 1);
        assert_eq!(serde_json::to_value(&spec).unwrap()["cap_drop"], json["cap_drop"]);
        let unknown = serde_json::json!({ "name": "web", "image": "web:1", "cap_drops": [] });
        let error = serde_json::from_value::<AppSpec>(unknown).unwrap_err();
        assert!(error.to_string().contains("cap_drops"), "{error}");
    }

    fn check<T: fmt::Display>(
        parse: impl Fn(&str) -> Result<T, ParseError>,
        good: &[(&str, &str)],
        bad: &[&str],
    ) {
        for (text, shown) in good {
            assert_eq!(parse(text).map(|value| value.to_string()).as_deref(), Ok(*shown), "{text}");
        }
        for text in bad {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn user_is_a_name_or_number_with_an_optional_group() {
        let good = [("app", "app"), ("1000", "1000"), ("1000:100", "1000:100"), ("a:b", "a:b")];
        check(User::parse, &good, &["", ":", "a:", ":b", "a:b:c", "a b", "-1", "a\n"]);
    }

    #[test]
    fn tmpfs_is_a_path_with_known_options() {
        let good = [("/run", "/run"), ("//run/:size=64m,mode=1777", "/run:size=64m,mode=1777")];
        check(Tmpfs::parse, &good, &["", "run", "/", "/a:b", "/a:size", "/a:size=", "/a:ro=1"]);
        let tmpfs = Tmpfs::parse("/run:size=64m").unwrap();
        assert_eq!((tmpfs.target(), tmpfs.options()), ("/run", "size=64m"));
    }

    #[test]
    fn ulimit_is_one_number_or_two() {
        let good = [("1024", "1024"), ("1:2", "1:2"), ("-1", "-1"), ("5:-1", "5:-1")];
        check(Ulimit::parse, &good, &["", "2:1", "-2", "-1:5", "1:2:3", "x", "1k"]);
        check(UlimitName::parse, &[("nofile", "nofile")], &["files", "NOFILE", ""]);
    }

    #[test]
    fn capability_is_known_with_or_without_its_prefix() {
        let good = [("NET_ADMIN", "NET_ADMIN"), ("cap_net_raw", "NET_RAW"), ("all", "ALL")];
        check(KernelCapability::parse, &good, &["", "CAP_", "NET", "CAP_ALL_", "ROOT"]);
        let is_default = |name| KernelCapability::parse(name).unwrap().is_default();
        assert!(is_default("CHOWN") && !is_default("SYS_ADMIN") && !is_default("ALL"));
    }

    #[test]
    fn device_is_below_dev() {
        let good = [
            ("/dev/a", "/dev/a"),
            ("/dev/a:/dev/b", "/dev/a:/dev/b"),
            ("/dev/a:/dev/b:r", "/dev/a:/dev/b:r"),
            ("/dev/a:rw", "/dev/a:/dev/a:rw"),
        ];
        check(Device::parse, &good, &["", "/dev", "/etc/x", "dev/a", "/dev/a:b", "/dev/a:/b:x"]);
        assert_eq!(Device::parse("/dev/a").unwrap().parts(), ["/dev/a", "/dev/a", "rwm"]);
    }

    #[test]
    fn extra_host_has_an_address_or_the_gateway() {
        let good = [
            ("db:10.0.0.1", "db:10.0.0.1"),
            ("db=10.0.0.1", "db:10.0.0.1"),
            ("v6:[::1]", "v6:::1"),
            ("host.docker.internal:host-gateway", "host.docker.internal:host-gateway"),
        ];
        check(ExtraHost::parse, &good, &["", "db", "db:", ":1.2.3.4", "db:x", "a b:1.2.3.4"]);
    }
}
