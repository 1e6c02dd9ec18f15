//! Rules for referenced files and secrets and, as far as they are known, for their contents. No
//! message reveals more of a content than its size.

use std::collections::BTreeMap;

use super::{
    LARGE_ENV, MAX_ENV_BYTES, MAX_ENV_ENTRIES, MAX_ENV_VALUE_BYTES, Violation, env_value_too_large,
};
use crate::app::config_file::{describe_volume, volume_above};
use crate::app::env::{parse_env_file, value_text};
use crate::app::{
    AppSpec, ConfigFile, ContentRef, EnvValue, FileTarget, MAX_CONTENT_BYTES, MAX_CONTENTS_BYTES,
    MAX_FILES, Volume,
};

/// The largest number of entries in `env_file`.
pub const MAX_ENV_FILES: usize = 16;

/// Checks `env_file`.
pub fn check_env_files(files: &[ContentRef]) -> Vec<Violation> {
    let too_long = super::check_len("env_file", files.len(), MAX_ENV_FILES);
    too_long.into_iter().map(|found| found.with_hint("merge them into fewer files")).collect()
}

/// Checks `files` against each other and against the volumes.
pub fn check_files(files: &BTreeMap<FileTarget, ConfigFile>, volumes: &[Volume]) -> Vec<Violation> {
    if let Some(too_long) = super::check_len("files", files.len(), MAX_FILES) {
        return vec![too_long.with_hint("mount a folder with `volumes`")];
    }
    let hint = "choose a target outside the volume: a file there would outlive the replica";
    let in_volumes =
        files.keys().filter_map(|target| Some((target, volume_above(target, volumes)?)));
    in_volumes
        .map(|(target, volume)| {
            let message = format!("`{target}` is inside {}", describe_volume(volume));
            Violation::new(format!("files.{target}"), message).with_hint(hint)
        })
        .collect()
}

/// Checks the contents that are known.
pub fn check_contents(spec: &AppSpec) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut total = 0;
    for (path, reference) in spec.content_refs() {
        let Some(secret) = reference.known_content() else { continue };
        let bytes = secret.reveal().len();
        total += bytes;
        if bytes > MAX_CONTENT_BYTES {
            let source = reference.source.describe();
            let message = format!("{source} has more than {MAX_CONTENT_BYTES} bytes");
            found.push(Violation::new(path.join("."), message).with_hint(LARGE_FILE));
        }
    }
    if total > MAX_CONTENTS_BYTES {
        let message = format!(
            "the files of an app may have at most {MAX_CONTENTS_BYTES} bytes together, not {total}"
        );
        found.push(Violation::new("", message).with_hint(LARGE_FILE));
    }
    found.extend(check_env_values(spec));
    found.extend(check_env_lines(spec));
    if found.is_empty() {
        found = check_merged_env(spec);
    }
    found
}

const LARGE_FILE: &str = "mount its folder with `volumes`";

/// Checks each file that is the value of one variable.
fn check_env_values(spec: &AppSpec) -> Vec<Violation> {
    let files = spec.env.iter().filter_map(|(name, value)| Some((name, value.content_ref()?)));
    let mut found = Vec::new();
    for (name, reference) in files {
        let Some(secret) = reference.known_content() else { continue };
        let source = reference.source.describe();
        let message = match value_text(secret) {
            Err(reason) => format!("{source} {reason}, so it cannot be a variable's value"),
            Ok(text) if text.len() > MAX_ENV_VALUE_BYTES => format!(
                "the value in {source} has {} bytes, but at most {MAX_ENV_VALUE_BYTES} are allowed",
                text.len()
            ),
            Ok(_) => continue,
        };
        found.push(Violation::new(format!("env.{name}"), message).with_hint(AS_FILE));
    }
    found
}

const AS_FILE: &str = "give the replica the file itself, with `files: { /etc/myapp/file: ./file }` \
    or `{ secret: name }`, and its path in `env`";

/// Checks the syntax of each env file.
fn check_env_lines(spec: &AppSpec) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, reference) in spec.env_file.iter().enumerate() {
        let Some(secret) = reference.known_content() else { continue };
        if let Err(error) = parse_env_file(secret.reveal()) {
            let source = reference.source.describe();
            let message = format!("line {} of {source} {}", error.line, error.reason);
            found.push(Violation::new(format!("env_file.{index}"), message).with_hint(ENV_LINES));
        }
    }
    found
}

const ENV_LINES: &str =
    "write one `KEY=VALUE` per line; quotes may span lines, and comments start with `#`";

/// Checks the sizes of `env_file` and `env` together. `env` without files has its own rules.
fn check_merged_env(spec: &AppSpec) -> Vec<Violation> {
    let is_text = |value: &EnvValue| value.content_ref().is_none();
    if spec.env_file.is_empty() && spec.env.values().all(is_text) {
        return Vec::new();
    }
    let merged = spec.environment();
    let plain = merged.plain.iter().map(|(name, value)| (name, value.len()));
    let secret = merged.secret.iter().map(|(name, value)| (name, value.reveal().len()));
    let sizes: Vec<_> = plain.chain(secret).collect();
    let count = sizes.len();
    let total: usize = sizes.iter().map(|(name, bytes)| name.len() + bytes).sum();
    let mut found = Vec::new();
    if count > MAX_ENV_ENTRIES {
        let message = format!(
            "`env_file` and `env` may have at most {MAX_ENV_ENTRIES} variables together, not \
             {count}"
        );
        found.push(Violation::new("env_file", message).with_hint(LARGE_ENV));
    }
    if let Some((name, bytes)) = sizes.iter().find(|(_, bytes)| *bytes > MAX_ENV_VALUE_BYTES) {
        found.push(env_value_too_large("env_file", name, *bytes));
    }
    if total > MAX_ENV_BYTES {
        let message = format!(
            "`env_file` and `env` have {total} bytes with their names, but at most \
             {MAX_ENV_BYTES} are allowed"
        );
        let path = if spec.env_file.is_empty() { "env" } else { "env_file" };
        found.push(Violation::new(path, message).with_hint(LARGE_ENV));
    }
    found
}
