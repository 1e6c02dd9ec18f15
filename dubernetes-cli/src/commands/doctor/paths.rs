//! The folders of state and socket, as this user sees them, and the room on their disks.

use std::path::{Path, PathBuf};

use dubernetes_api::wire::Status;
use rustix::fs::{Access, access, statvfs};

use super::check::Check;
use crate::report::CliError;
use crate::settings::Settings;
use crate::state_dir;
use crate::wiring::diagnostics::{StoreLook, store};

/// With less than this a write may fail any moment.
const FULL: u64 = 64 << 20;
/// With less than this a person should make room.
const NARROW: u64 = 1 << 30;

/// Looks at the folders and the store.
pub(super) fn run_checks(settings: &Settings, running: Option<&Status>) -> Vec<Check> {
    let (folder, problem) = match running {
        Some(status) => (&status.orchestrator.state_dir, status.store_problem.as_deref()),
        None => (&settings.paths.state_dir, None),
    };
    vec![
        state(folder, running.is_some(), problem),
        disk("state-disk", folder),
        socket(&settings.paths.socket, running.is_some()),
    ]
}

fn state(folder: &Path, runs: bool, problem: Option<&str>) -> Check {
    const NAME: &str = "state";
    let shown = folder.display();
    if runs {
        return match problem {
            None => Check::ok(NAME, format!("the orchestrator has `{shown}` open")),
            Some(problem) => Check::fail(
                NAME,
                format!("the orchestrator cannot read its store: {problem}"),
                format!("make room and look at the rights in `{shown}`"),
            ),
        };
    }
    if let Err(failure) = state_dir::check_owner(folder) {
        return refused(NAME, &failure);
    }
    let look = store(folder);
    let message = match look {
        StoreLook::Refused(why) => {
            return Check::fail(NAME, why, "mend it, or choose another folder with `--state-dir`");
        }
        StoreLook::Locked(pid) => {
            let who = pid.map_or_else(String::new, |pid| format!(", process {pid},"));
            let message = format!("another command{who} works on `{shown}`, and does not answer");
            return Check::warn(NAME, message, "wait until it has ended");
        }
        StoreLook::None => format!("`{shown}` has no apps yet"),
        StoreLook::Readable => format!("the store in `{shown}` can be read"),
    };
    match writable(folder) {
        Ok(()) => Check::ok(NAME, message),
        Err(why) => Check::fail(NAME, why, "choose another folder with `--state-dir`"),
    }
}

fn socket(path: &Path, runs: bool) -> Check {
    const NAME: &str = "socket";
    let shown = path.display();
    if runs {
        return Check::ok(NAME, "the orchestrator answers at its own");
    }
    if let Err(failure) = state_dir::check_free(path) {
        return refused(NAME, &failure);
    }
    let folder = path.parent().unwrap_or(path);
    if let Err(failure) = state_dir::check_folder(folder) {
        return refused(NAME, &failure);
    }
    match writable(folder) {
        Ok(()) => Check::ok(NAME, format!("`{shown}` can be made")),
        Err(why) => Check::fail(NAME, why, "choose another folder with `--state-dir`"),
    }
}

/// How much room a folder's disk has.
pub(super) fn disk(name: &'static str, folder: &Path) -> Check {
    let there = existing(folder);
    match statvfs(&there) {
        Ok(found) => room(name, &there, found.f_bavail.saturating_mul(found.f_frsize)),
        Err(error) => {
            let what = format!("the disk of `{}` cannot be looked at: {error}", there.display());
            Check::warn(name, what, "look at it with `df`")
        }
    }
}

fn room(name: &'static str, folder: &Path, free: u64) -> Check {
    let message = format!("{} free at `{}`", size(free), folder.display());
    let help = "make room: `docker system df` shows what the engine keeps";
    if free < FULL {
        Check::fail(name, message, help)
    } else if free < NARROW {
        Check::warn(name, message, help)
    } else {
        Check::ok(name, message)
    }
}

fn size(bytes: u64) -> String {
    match bytes >> 20 {
        mebibytes @ 0..1024 => format!("{mebibytes} MiB"),
        mebibytes => format!("{} GiB", mebibytes >> 10),
    }
}

/// The folder, or the nearest one above it that exists.
fn existing(folder: &Path) -> PathBuf {
    let mut above = folder.ancestors();
    above.find(|folder| folder.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// Whether this user may make something in a folder, or the folder itself.
fn writable(folder: &Path) -> Result<(), String> {
    let there = existing(folder);
    access(&there, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("`{}` cannot be written: {error}", there.display()))
}

fn refused(name: &'static str, failure: &CliError) -> Check {
    let help = failure.first_help().unwrap_or("choose another folder with `--state-dir`");
    Check::fail(name, failure.message(), help)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::check::CheckResult;
    use super::*;

    #[track_caller]
    fn check(found: &Check, result: CheckResult, part: &str) {
        assert_eq!(found.result, result, "{found:?}");
        assert!(found.message.contains(part), "{found:?}");
        assert_eq!(found.help.is_some(), result != CheckResult::Ok, "{found:?}");
    }

    #[test]
    fn a_state_folder_is_well_missing_shared_a_file_or_damaged() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("state");
        check(&state(&folder, false, None), CheckResult::Ok, "no apps yet");
        assert!(!folder.exists());
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
        check(
            &state(&folder, false, None),
            CheckResult::Fail,
            "can be written by others (mode 0777)",
        );
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).unwrap();
        fs::write(folder.join("dubernetes.db"), "").unwrap();
        check(&state(&folder, false, None), CheckResult::Fail, "is damaged");
        check(&state(Path::new("/dev/null"), false, None), CheckResult::Fail, "is not a folder");
        check(&state(&folder, true, Some("disk I/O error")), CheckResult::Fail, "disk I/O error");
        check(&state(&folder, true, None), CheckResult::Ok, "has `");
    }

    #[test]
    fn what_cannot_be_made_is_told() {
        // Root may write into every folder, but not even root into what is none.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "text").unwrap();
        let why = writable(&file.join("state")).unwrap_err();
        assert!(why.contains("cannot be written: "), "{why}");
        check(&socket(&file.join("d.sock"), false), CheckResult::Fail, "cannot look at");
        assert_eq!(writable(&folder.path().join("a/b/c")), Ok(()));
    }

    #[test]
    fn a_socket_needs_a_folder_of_its_own_and_a_free_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.sock");
        check(&socket(&path, false), CheckResult::Ok, "can be made");
        check(&socket(&path, true), CheckResult::Ok, "answers");
        fs::write(&path, "text").unwrap();
        check(&socket(&path, false), CheckResult::Fail, "is no socket");
        fs::remove_file(&path).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        check(&socket(&path, false), CheckResult::Fail, "can be written by others");
    }

    #[test]
    fn a_disk_has_room_a_little_or_none() {
        let folder = Path::new("/");
        check(&room("disk", folder, 5 << 30), CheckResult::Ok, "5 GiB free");
        check(&room("disk", folder, 500 << 20), CheckResult::Warn, "500 MiB free");
        check(&room("disk", folder, 10 << 20), CheckResult::Fail, "10 MiB free");
    }
}
