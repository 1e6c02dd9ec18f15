//! Rules for the files that an app refers to and, where their contents are known, for those. No
//! message says anything of a content but its size.

use std::collections::BTreeMap;

use super::{LARGE_ENV, MAX_ENV_BYTES, MAX_ENV_ENTRIES, MAX_ENV_VALUE_BYTES, Violation};
use crate::app::config_file::{describe, volume_above};
use crate::app::env::{environment, parse_env_file, value_text};
use crate::app::escape::quoted;
use crate::app::{
    AppSpec, ConfigFile, EnvValue, FileRef, FileTarget, MAX_CONTENT_BYTES, MAX_CONTENTS_BYTES,
    MAX_FILES, Volume,
};

/// The largest number of entries in `env_file`.
pub const MAX_ENV_FILES: usize = 16;

/// The rules for `env_file`.
pub fn env_files(files: &[FileRef], found: &mut Vec<Violation>) {
    if files.len() > MAX_ENV_FILES {
        let message =
            format!("`env_file` has at most {MAX_ENV_FILES} entries, not {}", files.len());
        found.push(Violation::new("env_file", message).hint("put them together into fewer files"));
    }
}

/// The rules for `files`, beside the volumes.
pub fn files(
    files: &BTreeMap<FileTarget, ConfigFile>,
    volumes: &[Volume],
    found: &mut Vec<Violation>,
) {
    if files.len() > MAX_FILES {
        let message = format!("`files` has at most {MAX_FILES} entries, not {}", files.len());
        found.push(Violation::new("files", message).hint("mount a folder with `volumes`"));
        return;
    }
    for target in files.keys() {
        if let Some(volume) = volume_above(target, volumes) {
            let message = format!("`{target}` lies in {}", describe(volume));
            found.push(Violation::new(format!("files.{target}"), message).hint(
                "choose a target outside of it: what is put there would outlive the replica",
            ));
        }
    }
}

/// The rules for contents, as far as they are known.
pub fn contents(spec: &AppSpec, found: &mut Vec<Violation>) {
    let before = found.len();
    let mut total = 0;
    for (keys, reference) in spec.references() {
        let Some(secret) = reference.known() else { continue };
        let bytes = secret.reveal().len();
        total += bytes;
        if bytes > MAX_CONTENT_BYTES {
            let message = format!(
                "the file {} has more than {MAX_CONTENT_BYTES} bytes",
                quoted(reference.file.as_str())
            );
            found.push(Violation::new(keys.join("."), message).hint(LARGE_FILE));
        }
    }
    if total > MAX_CONTENTS_BYTES {
        let message = format!(
            "all files of an app have at most {MAX_CONTENTS_BYTES} bytes together, not {total}"
        );
        found.push(Violation::new("", message).hint(LARGE_FILE));
    }
    values(spec, found);
    lines(spec, found);
    if found.len() == before {
        together(spec, found);
    }
}

const LARGE_FILE: &str = "mount its folder with `volumes`";

/// Each file that is one value.
fn values(spec: &AppSpec, found: &mut Vec<Violation>) {
    for (name, value) in &spec.env {
        let EnvValue::File(reference) = value else { continue };
        let Some(secret) = reference.known() else { continue };
        let file = quoted(reference.file.as_str());
        let wrong = match value_text(secret) {
            Err(what) => format!("the file {file} {what}, so it is no value of a variable"),
            Ok(text) if text.len() > MAX_ENV_VALUE_BYTES => format!(
                "the value in {file} has {} bytes, at most {MAX_ENV_VALUE_BYTES} are allowed",
                text.len()
            ),
            Ok(_) => continue,
        };
        found.push(Violation::new(format!("env.{name}"), wrong).hint(AS_FILE));
    }
}

const AS_FILE: &str =
    "give the replica the file itself: `files: { /etc/myapp/file: ./file }`, and its path in `env`";

/// Each env file.
fn lines(spec: &AppSpec, found: &mut Vec<Violation>) {
    for (index, reference) in spec.env_file.iter().enumerate() {
        let Some(secret) = reference.known() else { continue };
        if let Err(bad) = parse_env_file(secret.reveal()) {
            let file = quoted(reference.file.as_str());
            let message = format!("line {} of {file} {}", bad.line, bad.what);
            found.push(
                Violation::new(format!("env_file.{index}"), message)
                    .hint("write `KEY=VALUE`, one a line; a comment begins with `#`"),
            );
        }
    }
}

/// The environment as a whole.
fn together(spec: &AppSpec, found: &mut Vec<Violation>) {
    if spec.env_file.is_empty() {
        // `env` alone has rules of its own.
        if spec.env.values().all(|value| matches!(value, EnvValue::Text(_))) {
            return;
        }
    }
    let all = environment(spec);
    let count = all.plain.len() + all.secret.len();
    let sizes = all.plain.iter().map(|(name, value)| (name, value.len()));
    let hidden = all.secret.iter().map(|(name, value)| (name, value.reveal().len()));
    let sizes: Vec<_> = sizes.chain(hidden).collect();
    let total: usize = sizes.iter().map(|(name, bytes)| name.len() + bytes).sum();
    if count > MAX_ENV_ENTRIES {
        let message = format!(
            "`env_file` and `env` have at most {MAX_ENV_ENTRIES} variables together, not {count}"
        );
        found.push(Violation::new("env_file", message).hint(LARGE_ENV));
    }
    if let Some((name, bytes)) = sizes.iter().find(|(_, bytes)| *bytes > MAX_ENV_VALUE_BYTES) {
        let message = format!(
            "the value of {} has {bytes} bytes, at most {MAX_ENV_VALUE_BYTES} are allowed",
            quoted(name)
        );
        found.push(Violation::new("env_file", message).hint(LARGE_ENV));
    }
    if total > MAX_ENV_BYTES {
        let message = format!(
            "`env_file` and `env` have {total} bytes together with their names, at most {MAX_ENV_BYTES} are allowed"
        );
        let at = if spec.env_file.is_empty() { "env" } else { "env_file" };
        found.push(Violation::new(at, message).hint(LARGE_ENV));
    }
}
