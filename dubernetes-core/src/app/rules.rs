//! Rules over several fields of one specification, or over a whole list. A list that is too long
//! gets no further checks.
//!
//! The manifest reader and the API share these rules. The reader adds line and column.

mod access;
mod container;
mod contents;

pub use access::{check_access, check_ports, no_entries};
pub use container::check_container;
pub use contents::{MAX_ENV_FILES, check_contents, check_env_files, check_files};

use std::collections::BTreeMap;
use std::fmt;

use super::escape::quote;
use super::{
    AppName, AppSpec, Check, EnvName, EnvValue, Health, Order, PreDeploy, Rollout, Volume,
};

/// The largest `replicas`: a network bridge supports about 1,000 ports, and each replica uses
/// about 13 MB outside its container.
pub const MAX_REPLICAS: u16 = 250;
/// The largest number of entries in `env`.
pub const MAX_ENV_ENTRIES: usize = 256;
/// The largest value of one entry in `env`, in bytes.
pub const MAX_ENV_VALUE_BYTES: usize = 32 << 10;
/// The largest `env` with all its names and values, in bytes.
pub const MAX_ENV_BYTES: usize = 256 << 10;
/// The largest number of entries in `command`, `args`, `labels`, `volumes`, `access`,
/// `access.host` and `ports`.
pub const MAX_LIST: usize = 256;
/// The longest key of a label, in bytes.
const MAX_LABEL_KEY_BYTES: usize = 128;
/// The longest value of a label, in bytes.
const MAX_LABEL_VALUE_BYTES: usize = 4096;

/// A rule that a specification breaks.
///
/// Displays on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field: keys and list positions joined by dots, such as `env.PATH` or `volumes.1`.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
    /// What to do, unless the message makes that plain.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// A [`Problem`] with the earlier value that it collides with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The broken rule.
    pub problem: Problem,
    /// The path of the earlier value, if two values collide.
    pub first: Option<String>,
}

impl Violation {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        let problem = Problem { path: path.into(), message: message.into(), hint: None };
        Self { problem, first: None }
    }

    fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }

    fn with_first(mut self, path: impl Into<String>) -> Self {
        self.first = Some(path.into());
        self
    }
}

/// Returns the violation of a `replicas` above [`MAX_REPLICAS`].
pub fn too_many_replicas(found: &str) -> Violation {
    let message = format!("`replicas` must be at most {MAX_REPLICAS}, not {found}");
    Violation::new("replicas", message)
        .with_hint("a network bridge supports about 1000 ports, and a replica uses about 13 MB")
}

/// Returns the violation of a port that does not exist.
pub fn port_out_of_range(path: &str, found: &str) -> Violation {
    Violation::new(path, format!("`{path}` must be a number from 1 to 65535, not {found}"))
}

/// Returns the violation of a count of probe results that is out of range.
pub fn count_out_of_range(path: &str, found: &str) -> Violation {
    let max = Health::MAX_COUNT;
    Violation::new(path, format!("`{path}` must be a number from 1 to {max}, not {found}"))
}

/// Returns the violation of a `rollout.history` that is out of range.
pub fn history_out_of_range(found: &str) -> Violation {
    let max = Rollout::MAX_HISTORY;
    let message = format!("`rollout.history` must be a number from 1 to {max}, not {found}");
    Violation::new("rollout.history", message)
}

pub(super) fn problems(spec: &AppSpec) -> Vec<Problem> {
    let mut found = Vec::new();
    if spec.replicas > MAX_REPLICAS {
        found.push(too_many_replicas(&spec.replicas.to_string()));
    }
    if spec.port == Some(0) {
        found.push(port_out_of_range("port", "0"));
    }
    found.extend(check_access(&spec.access, spec.access.len() > 1));
    found.extend(check_ports(&spec.ports));
    found.extend(check_after(&spec.name, &spec.after));
    found.extend(check_argv("command", &spec.command));
    found.extend(check_argv("args", &spec.args));
    found.extend(check_env(&spec.env));
    found.extend(check_labels(&spec.labels));
    found.extend(check_volumes(&spec.volumes));
    found.extend(spec.health.iter().flat_map(check_health));
    found.extend(check_rollout(&spec.rollout));
    found.extend(spec.pre_deploy.iter().flat_map(check_pre_deploy));
    found.extend(check_env_files(&spec.env_file));
    found.extend(check_files(&spec.files, &spec.volumes));
    found.extend(check_container(spec));
    found.extend(check_contents(spec));
    found.into_iter().map(|violation| violation.problem).collect()
}

/// Returns the violation of a list or mapping with more than `max` entries.
fn check_len(key: &str, len: usize, max: usize) -> Option<Violation> {
    (len > max)
        .then(|| Violation::new(key, format!("`{key}` may have at most {max} entries, not {len}")))
}

/// Checks the apps after which an app starts.
pub fn check_after(app: &AppName, after: &[AppName]) -> Vec<Violation> {
    if let Some(too_long) = check_len("after", after.len(), MAX_LIST) {
        return vec![too_long];
    }
    let violation = |(index, name): (usize, &AppName)| {
        let path = format!("after.{index}");
        if name == app {
            return Some(Violation::new(path, format!("`{app}` cannot start after itself")));
        }
        let first = after[..index].iter().position(|earlier| earlier == name)?;
        let message = format!("`{name}` is listed twice");
        Some(Violation::new(path, message).with_first(format!("after.{first}")))
    };
    after.iter().enumerate().filter_map(violation).collect()
}

/// Checks `command` or `args`, whichever `key` names.
pub fn check_argv(key: &str, words: &[String]) -> Vec<Violation> {
    if let Some(too_long) = check_len(key, words.len(), MAX_LIST) {
        return vec![too_long];
    }
    let bad = words.iter().enumerate().filter(|(_, word)| word.contains('\0'));
    bad.map(|(index, _)| {
        let message = format!("entry {} of `{key}` contains a NUL character", index + 1);
        Violation::new(format!("{key}.{index}"), message).with_hint(NO_NUL)
    })
    .collect()
}

const NO_NUL: &str = "a program cannot receive NUL characters: remove it";

/// Checks the environment variables that have a text as value.
pub fn check_env(env: &BTreeMap<EnvName, EnvValue>) -> Vec<Violation> {
    if let Some(too_long) = check_len("env", env.len(), MAX_ENV_ENTRIES) {
        return vec![too_long];
    }
    let mut found = Vec::new();
    let mut total = 0;
    for (name, value) in env {
        let EnvValue::Text(value) = value else { continue };
        total += name.as_str().len() + value.len();
        let path = format!("env.{name}");
        if value.contains('\0') {
            let message = format!("the value of `{name}` contains a NUL character");
            found.push(Violation::new(path, message).with_hint(NO_NUL));
        } else if value.len() > MAX_ENV_VALUE_BYTES {
            found.push(env_value_too_large(path, name.as_str(), value.len()));
        }
    }
    if total > MAX_ENV_BYTES {
        let message = format!(
            "`env` has {total} bytes with its names, but at most {MAX_ENV_BYTES} are allowed"
        );
        found.push(Violation::new("env", message).with_hint(LARGE_ENV));
    }
    found
}

fn env_value_too_large(path: impl Into<String>, name: &str, bytes: usize) -> Violation {
    let message = format!(
        "the value of {} has {bytes} bytes, but at most {MAX_ENV_VALUE_BYTES} are allowed",
        quote(name)
    );
    Violation::new(path, message).with_hint(LARGE_ENV)
}

const LARGE_ENV: &str = "put large values into a file, and mount its folder with `volumes`";

/// Checks the labels of the user.
pub fn check_labels(labels: &BTreeMap<String, String>) -> Vec<Violation> {
    if let Some(too_long) = check_len("labels", labels.len(), MAX_LIST) {
        return vec![too_long];
    }
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    let mut found = Vec::new();
    for (key, value) in labels {
        let path = format!("labels.{key}");
        let shown = quote(key);
        if key.is_empty() || key.len() > MAX_LABEL_KEY_BYTES || !key.chars().all(is_legal) {
            let message = format!(
                "a label key must be 1 to {MAX_LABEL_KEY_BYTES} letters, digits, `.`, `_`, `-` and \
                 `/`, not {shown}"
            );
            found.push(Violation::new(path, message));
        } else if key == "dubernetes" || key.starts_with("dubernetes.") {
            found.push(
                Violation::new(path, format!("the label {shown} is reserved"))
                    .with_hint("choose a key that does not start with `dubernetes`"),
            );
        } else if value.len() > MAX_LABEL_VALUE_BYTES || value.contains('\0') {
            let message = format!(
                "the value of the label {shown} may have at most {MAX_LABEL_VALUE_BYTES} bytes, \
                 and no NUL character"
            );
            found.push(Violation::new(path, message));
        }
    }
    found
}

/// Checks the list of volumes.
pub fn check_volumes(volumes: &[Volume]) -> Vec<Violation> {
    if let Some(too_long) = check_len("volumes", volumes.len(), MAX_LIST) {
        return vec![too_long];
    }
    let mut seen = BTreeMap::new();
    let mut found = Vec::new();
    for (index, volume) in volumes.iter().enumerate() {
        let Some(first) = seen.get(&volume.target) else {
            seen.insert(&volume.target, index);
            continue;
        };
        let target = quote(&volume.target);
        let message = format!("{target} is already the target of entry {} of `volumes`", first + 1);
        found.push(
            Violation::new(format!("volumes.{index}"), message)
                .with_hint("give each volume its own target")
                .with_first(format!("volumes.{first}")),
        );
    }
    found
}

/// Checks `health`.
pub fn check_health(health: &Health) -> Vec<Violation> {
    let mut found = Vec::new();
    if health.port == Some(0) {
        found.push(port_out_of_range("health.port", "0"));
    }
    match &health.check {
        Check::Exec(words) => {
            found.extend(check_command("health.exec", words));
            if health.port.is_some() {
                found.push(
                    Violation::new("health.port", "`health.port` cannot be combined with `exec`")
                        .with_hint("delete it: the command chooses its own port"),
                );
            }
        }
        Check::Http(_) | Check::Tcp => {}
    }
    if health.host.is_some() && !matches!(health.check, Check::Http(_)) {
        found.push(
            Violation::new("health.host", "`health.host` can only be combined with `http`")
                .with_hint("delete it: only an HTTP request names a host"),
        );
    }
    let Health { timeout, interval, failures, replace_after, .. } = *health;
    if timeout > interval {
        let message = format!(
            "`health.timeout` must be at most `health.interval`, which is {interval}, not {timeout}"
        );
        let hint = format!("for example `timeout: {interval}`");
        found.push(Violation::new("health.timeout", message).with_hint(hint));
    }
    let counts = [
        ("health.success", health.success),
        ("health.failures", failures),
        ("health.replace_after", replace_after),
    ];
    for (path, count) in counts {
        if !(1..=Health::MAX_COUNT).contains(&count) {
            found.push(count_out_of_range(path, &count.to_string()));
        }
    }
    if replace_after < failures {
        let message = format!(
            "`health.replace_after` must be at least `health.failures`, which is {failures}, not \
             {replace_after}"
        );
        found.push(
            Violation::new("health.replace_after", message).with_hint(
                "a replica leaves the routes first, and is replaced if it keeps failing",
            ),
        );
    }
    found
}

/// Checks `rollout`.
pub fn check_rollout(rollout: &Rollout) -> Vec<Violation> {
    let mut found = Vec::new();
    let stops_first = rollout.order == Some(Order::StopFirst);
    let extra = [
        ("rollout.max_surge", rollout.max_surge),
        ("rollout.max_terminating", rollout.max_terminating),
    ];
    for (path, number) in extra {
        if let Some(number) = number.filter(|number| stops_first && !number.is_zero()) {
            let message = format!("`{path}` must be 0 with `order: stop-first`, not {number}");
            found.push(
                Violation::new(path, message)
                    .with_hint("delete one of them: stop-first never adds a replica"),
            );
        }
    }
    let has_no_surge = rollout.max_surge.is_some_and(|surge| surge.is_zero());
    if has_no_surge && !stops_first && rollout.max_unavailable.is_zero() {
        let message = "`rollout.max_surge` and `rollout.max_unavailable` are both 0, so nothing \
            can be replaced";
        found.push(
            Violation::new("rollout.max_surge", message)
                .with_hint("for example `max_unavailable: 1`"),
        );
    }
    if !(1..=Rollout::MAX_HISTORY).contains(&rollout.history) {
        found.push(history_out_of_range(&rollout.history.to_string()));
    }
    found
}

/// Checks `pre_deploy`.
pub fn check_pre_deploy(pre_deploy: &PreDeploy) -> Vec<Violation> {
    check_command("pre_deploy.command", &pre_deploy.command)
}

/// Checks a command, whose first word must name a program.
fn check_command(path: &str, words: &[String]) -> Vec<Violation> {
    if words.first().is_none_or(String::is_empty) {
        return vec![Violation::new(path, format!("`{path}` must name a program"))];
    }
    check_argv(path, words)
}
