//! Rules for the options of a container.

use super::{MAX_LIST, Violation, check_len};
use crate::app::AppSpec;
use crate::app::escape::quote;

/// Checks the options of the container, against each other and against `volumes` and `files`.
pub fn check_container(spec: &AppSpec) -> Vec<Violation> {
    let lists = [
        ("cap_add", spec.options.cap_add.len()),
        ("cap_drop", spec.options.cap_drop.len()),
        ("devices", spec.options.devices.len()),
        ("tmpfs", spec.options.tmpfs.len()),
        ("extra_hosts", spec.options.extra_hosts.len()),
    ];
    let mut found: Vec<Violation> =
        lists.into_iter().filter_map(|(key, len)| check_len(key, len, MAX_LIST)).collect();
    if !found.is_empty() {
        return found;
    }
    found.extend(check_tmpfs(spec));
    if spec.options.read_only && !spec.files.is_empty() {
        let message = "`read_only` cannot be combined with `files`: no engine copies files into a \
            read-only container";
        found.push(
            Violation::new("read_only", message)
                .with_hint("mount a folder instead: `volumes: [\"./config:/etc/myapp:ro\"]`"),
        );
    }
    found
}

fn check_tmpfs(spec: &AppSpec) -> Vec<Violation> {
    let mut found = Vec::new();
    for (index, tmpfs) in spec.options.tmpfs.iter().enumerate() {
        let target = tmpfs.target();
        let path = format!("tmpfs.{index}");
        let mut above = spec.options.tmpfs.iter().take(index);
        if spec.volumes.iter().any(|volume| volume.target == target)
            || above.any(|other| other.target() == target)
        {
            let message = format!("{} is already the target of another mount", quote(target));
            found.push(Violation::new(path, message).with_hint("give each mount its own target"));
            continue;
        }
        let is_inside = |file: &str| {
            file.strip_prefix(target).is_some_and(|rest| rest.starts_with('/') || rest.is_empty())
        };
        if let Some(file) = spec.files.keys().find(|file| is_inside(file.as_str())) {
            let message = format!("{} would hide the file `{file}`", quote(target));
            found.push(
                Violation::new(path, message).with_hint("choose a target outside the folder"),
            );
        }
    }
    found
}
