//! Rules over several fields of one specification, or over a whole list. Of a list that is too
//! long, nothing more is said.
//!
//! The same rules serve the file (which adds line and column) and the API (which adds nothing to the path).

mod contents;

pub use contents::{MAX_ENV_FILES, contents, env_files, files};

use std::collections::BTreeMap;

use super::escape::quoted;
use super::{Access, AppSpec, Check, EnvName, EnvValue, Health, Order, PreDeploy, Rollout, Volume};

/// The largest `replicas`: a bridge ends near 1,000 ports, and one replica costs about 13 MB
/// outside its container.
pub const MAX_REPLICAS: u16 = 250;
/// The largest number of entries in `env`.
pub const MAX_ENV_ENTRIES: usize = 256;
/// The longest value of one entry in `env`, in bytes.
pub const MAX_ENV_VALUE_BYTES: usize = 32 << 10;
/// The longest `env` with all its names and values, in bytes.
pub const MAX_ENV_BYTES: usize = 256 << 10;
/// The largest number of entries in `command`, `args`, `labels`, `volumes` and `access.host`.
pub const MAX_LIST: usize = 256;

/// A rule that a specification breaks, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field: keys and list positions joined by dots, such as `env.PATH` or `volumes.1`.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
    /// What to do, where that is not plain from the message.
    pub hint: Option<String>,
}

/// A [`Problem`], and the entry that it stands against where there are two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What is wrong, and where.
    pub problem: Problem,
    /// Path of the earlier value that this one collides with.
    pub first: Option<String>,
}

impl Violation {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        let problem = Problem { path: path.into(), message: message.into(), hint: None };
        Self { problem, first: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }

    fn first(mut self, path: impl Into<String>) -> Self {
        self.first = Some(path.into());
        self
    }
}

/// The sentence for a number of replicas above [`MAX_REPLICAS`].
pub fn too_many_replicas(found: &str) -> Violation {
    let message = format!("`replicas` is at most {MAX_REPLICAS}, not {found}");
    Violation::new("replicas", message).hint(
        "one machine's network bridge holds about 1000 ports, and a replica costs about 13 MB",
    )
}

/// The sentence for a port that no socket has.
pub fn no_port(found: &str) -> Violation {
    Violation::new("port", format!("`port` is a number from 1 to 65535, not {found}"))
}

pub(super) fn problems(spec: &AppSpec) -> Vec<Problem> {
    let mut found = Vec::new();
    if spec.replicas > MAX_REPLICAS {
        found.push(too_many_replicas(&spec.replicas.to_string()));
    }
    if spec.port == 0 {
        found.push(no_port("0"));
    }
    if let Some(access) = &spec.access {
        hosts(access, &mut found);
    }
    argv("command", &spec.command, &mut found);
    argv("args", &spec.args, &mut found);
    env(&spec.env, &mut found);
    labels(&spec.labels, &mut found);
    volumes(&spec.volumes, &mut found);
    if let Some(asked) = &spec.health {
        health(asked, &mut found);
    }
    rollout(&spec.rollout, &mut found);
    if let Some(before) = &spec.pre_deploy {
        pre_deploy(before, &mut found);
    }
    env_files(&spec.env_file, &mut found);
    files(&spec.files, &spec.volumes, &mut found);
    contents(spec, &mut found);
    found.into_iter().map(|broken| broken.problem).collect()
}

/// The rules for the hosts of one app.
pub fn hosts(access: &Access, found: &mut Vec<Violation>) {
    if access.hosts.is_empty() || access.hosts.len() > MAX_LIST {
        found.push(Violation::new(
            "access.host",
            format!("`access.host` has 1 to {MAX_LIST} entries, not {}", access.hosts.len()),
        ));
        return;
    }
    let mut seen = BTreeMap::new();
    for (index, host) in access.hosts.iter().enumerate() {
        match seen.get(host) {
            Some(first) => found.push(
                Violation::new(
                    format!("access.host.{index}"),
                    format!("the host `{host}` is named twice"),
                )
                .hint("name each host once")
                .first(format!("access.host.{first}")),
            ),
            None => {
                seen.insert(host, index);
            }
        }
    }
}

/// The rules for `command` and `args`.
pub fn argv(key: &str, words: &[String], found: &mut Vec<Violation>) {
    if words.len() > MAX_LIST {
        found.push(Violation::new(
            key,
            format!("`{key}` has at most {MAX_LIST} entries, not {}", words.len()),
        ));
        return;
    }
    for (index, word) in words.iter().enumerate() {
        if word.contains('\0') {
            let message = format!("entry {} of `{key}` has a NUL character", index + 1);
            found.push(Violation::new(format!("{key}.{index}"), message).hint(NO_NUL));
        }
    }
}

const NO_NUL: &str = "no program can be given that character: leave it out";

/// The rules for environment variables that are written out.
pub fn env(env: &BTreeMap<EnvName, EnvValue>, found: &mut Vec<Violation>) {
    if env.len() > MAX_ENV_ENTRIES {
        found.push(Violation::new(
            "env",
            format!("`env` has at most {MAX_ENV_ENTRIES} entries, not {}", env.len()),
        ));
        return;
    }
    let mut total = 0;
    for (name, value) in env {
        let EnvValue::Text(value) = value else { continue };
        total += name.as_str().len() + value.len();
        let (path, shown) = (format!("env.{name}"), quoted(name.as_str()));
        if value.contains('\0') {
            let message = format!("the value of {shown} has a NUL character");
            found.push(Violation::new(path, message).hint(NO_NUL));
        } else if value.len() > MAX_ENV_VALUE_BYTES {
            let message = format!(
                "the value of {shown} has {} bytes, at most {MAX_ENV_VALUE_BYTES} are allowed",
                value.len()
            );
            found.push(Violation::new(path, message).hint(LARGE_ENV));
        }
    }
    if total > MAX_ENV_BYTES {
        let message = format!(
            "all of `env` has {total} bytes with its names, at most {MAX_ENV_BYTES} are allowed"
        );
        found.push(Violation::new("env", message).hint(LARGE_ENV));
    }
}

const LARGE_ENV: &str = "put large values into a file, and mount its folder with `volumes`";

/// The rules for the user's own labels.
pub fn labels(labels: &BTreeMap<String, String>, found: &mut Vec<Violation>) {
    if labels.len() > MAX_LIST {
        found.push(Violation::new(
            "labels",
            format!("`labels` has at most {MAX_LIST} entries, not {}", labels.len()),
        ));
        return;
    }
    for (key, value) in labels {
        let path = format!("labels.{key}");
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        if key.is_empty() || key.len() > 128 || !key.chars().all(legal) {
            found.push(Violation::new(
                path,
                format!(
                    "the key of a label has 1 to 128 letters, digits, `.`, `_`, `-` and `/`, unlike {}",
                    quoted(key)
                ),
            ));
        } else if key == "dubernetes" || key.starts_with("dubernetes.") {
            let message = format!("the label {} is reserved", quoted(key));
            found.push(
                Violation::new(path, message)
                    .hint("choose a key that does not begin with `dubernetes`"),
            );
        } else if value.len() > 4096 || value.contains('\0') {
            found.push(Violation::new(
                path,
                format!(
                    "the value of the label {} has at most 4096 bytes and no NUL character",
                    quoted(key)
                ),
            ));
        }
    }
}

/// The rules for the list of volumes.
pub fn volumes(volumes: &[Volume], found: &mut Vec<Violation>) {
    if volumes.len() > MAX_LIST {
        found.push(Violation::new(
            "volumes",
            format!("`volumes` has at most {MAX_LIST} entries, not {}", volumes.len()),
        ));
        return;
    }
    let mut seen = BTreeMap::new();
    for (index, volume) in volumes.iter().enumerate() {
        let Some(first) = seen.get(&volume.target) else {
            seen.insert(&volume.target, index);
            continue;
        };
        let message = format!(
            "{} is already the target of entry {} of `volumes`",
            quoted(&volume.target),
            first + 1
        );
        found.push(
            Violation::new(format!("volumes.{index}"), message)
                .hint("give each volume a target of its own")
                .first(format!("volumes.{first}")),
        );
    }
}

/// The rules for `health`.
pub fn health(health: &Health, found: &mut Vec<Violation>) {
    if health.port == Some(0) {
        found.push(Violation::new(
            "health.port",
            "`health.port` is a number from 1 to 65535, not 0".to_owned(),
        ));
    }
    match &health.check {
        Check::Exec(words) => {
            command("health.exec", words, found);
            if health.port.is_some() {
                found.push(
                    Violation::new("health.port", "`health.port` has no meaning beside `exec`")
                        .hint("delete it: a command finds its own way to what it asks"),
                );
            }
        }
        Check::Http(_) | Check::Tcp => {}
    }
    if health.timeout > health.interval {
        let (timeout, interval) = (health.timeout, health.interval);
        let message = format!(
            "`health.timeout` is at most `health.interval`, which is {interval}, not {timeout}"
        );
        found.push(
            Violation::new("health.timeout", message)
                .hint(format!("for example `timeout: {interval}`")),
        );
    }
    let counts = [
        ("health.success", health.success),
        ("health.failures", health.failures),
        ("health.replace_after", health.replace_after),
    ];
    for (path, count) in counts {
        if !(1..=Health::MAX_COUNT).contains(&count) {
            found.push(Violation::new(path, count_range(path, &count.to_string())));
        }
    }
    if health.replace_after < health.failures {
        let (after, failures) = (health.replace_after, health.failures);
        let message = format!(
            "`health.replace_after` is at least `health.failures`, which is {failures}, not {after}"
        );
        found.push(
            Violation::new("health.replace_after", message).hint(
                "a replica first leaves the routes, and is replaced if it does not come back",
            ),
        );
    }
}

/// The sentence for a number of answers that is out of range.
pub fn count_range(path: &str, found: &str) -> String {
    format!("`{path}` is a number from 1 to {}, not {found}", Health::MAX_COUNT)
}

/// The rules for `rollout`.
pub fn rollout(rollout: &Rollout, found: &mut Vec<Violation>) {
    match (rollout.order, rollout.max_surge) {
        (Some(Order::StopFirst), Some(surge)) if !surge.is_none() => {
            found.push(
                Violation::new(
                    "rollout.max_surge",
                    format!("`rollout.max_surge` is 0 with `order: stop-first`, not {surge}"),
                )
                .hint("delete one of the two: what stops first never has one replica more"),
            );
        }
        (Some(Order::StopFirst), _) => {}
        (_, Some(surge)) if surge.is_none() && rollout.max_unavailable.is_none() => {
            found.push(
                Violation::new(
                    "rollout.max_surge",
                    "`rollout.max_surge` and `rollout.max_unavailable` are both 0, so nothing can be replaced",
                )
                .hint("for example `max_unavailable: 1`"),
            );
        }
        (_, _) => {}
    }
    if !(1..=Rollout::MAX_HISTORY).contains(&rollout.history) {
        found.push(history_range(&rollout.history.to_string()));
    }
}

/// The sentence for a number of kept revisions that is out of range.
pub fn history_range(found: &str) -> Violation {
    let most = Rollout::MAX_HISTORY;
    Violation::new(
        "rollout.history",
        format!("`rollout.history` is a number from 1 to {most}, not {found}"),
    )
}

/// The rules for `pre_deploy`.
pub fn pre_deploy(pre_deploy: &PreDeploy, found: &mut Vec<Violation>) {
    command("pre_deploy.command", &pre_deploy.command, found);
}

/// A command that has to name a program.
fn command(path: &str, words: &[String], found: &mut Vec<Violation>) {
    if words.first().is_none_or(String::is_empty) {
        found.push(Violation::new(path, format!("`{path}` names no program")));
        return;
    }
    argv(path, words, found);
}
