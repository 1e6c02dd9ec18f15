//! Checks of state folder, socket and disk space.

use std::path::{Path, PathBuf};

use dubernetes_api::wire::Status;
use rustix::fs::{Access, access, statvfs};

use super::check::Check;
use crate::report::CliError;
use crate::settings::Settings;
use crate::state_dir;
use crate::wiring::diagnostics::{StoreCheck, check_store};

/// With less free space a write may fail at any moment.
const FULL: u64 = 64 << 20;
/// With less free space the user should free some.
const LOW: u64 = 1 << 30;
/// Help for a path that cannot be used.
const OTHER_FOLDER: &str = "choose another folder with `--state-dir`";

/// Checks the folders and the store, unless that is a shared one, which was checked before.
pub(super) fn run_checks(
    settings: &Settings,
    running: Option<&Status>,
    shared: Option<Check>,
) -> Vec<Check> {
    let (folder, problem) = match running {
        Some(status) => (&status.orchestrator.state_dir, status.store_problem.as_deref()),
        None => (&settings.paths.state_dir, None),
    };
    vec![
        shared.unwrap_or_else(|| check_state(folder, running.is_some(), problem)),
        check_disk("state-disk", folder),
        check_socket(&settings.paths.socket, running.is_some()),
    ]
}

fn check_state(folder: &Path, is_running: bool, problem: Option<&str>) -> Check {
    const NAME: &str = "state";
    let shown = folder.display();
    if is_running {
        return match problem {
            None => Check::ok(NAME, format!("the orchestrator has `{shown}` open")),
            Some(problem) => Check::fail(
                NAME,
                format!("the orchestrator has a problem with its store: {problem}"),
                format!("free disk space and check the permissions in `{shown}`"),
            ),
        };
    }
    if let Err(error) = state_dir::check_owner(folder) {
        return failed_check(NAME, &error);
    }
    let message = match check_store(folder) {
        StoreCheck::Refused(why) => {
            return Check::fail(NAME, why, "fix it, or choose another folder with `--state-dir`");
        }
        StoreCheck::Locked(holder) => {
            let message = format!("`{shown}` is in use by {holder}, which does not answer");
            return Check::warn(NAME, message, "wait until it exits");
        }
        StoreCheck::Missing => format!("`{shown}` has no apps yet"),
        StoreCheck::Readable => format!("the store in `{shown}` is readable"),
    };
    match check_writable(folder) {
        Ok(()) => Check::ok(NAME, message),
        Err(why) => Check::fail(NAME, why, OTHER_FOLDER),
    }
}

fn check_socket(path: &Path, is_running: bool) -> Check {
    const NAME: &str = "socket";
    if is_running {
        return Check::ok(NAME, "the orchestrator answers at its socket");
    }
    if let Err(error) = state_dir::socket_exists(path) {
        return failed_check(NAME, &error);
    }
    let folder = path.parent().unwrap_or(path);
    if let Err(error) = state_dir::check_folder(folder) {
        return failed_check(NAME, &error);
    }
    match check_writable(folder) {
        Ok(()) => Check::ok(NAME, format!("`{}` can be created", path.display())),
        Err(why) => Check::fail(NAME, why, OTHER_FOLDER),
    }
}

/// Checks the free space on a folder's disk.
pub(super) fn check_disk(name: &'static str, folder: &Path) -> Check {
    let existing = nearest_existing(folder);
    match statvfs(&existing) {
        Ok(found) => {
            check_free_space(name, &existing, found.f_bavail.saturating_mul(found.f_frsize))
        }
        Err(error) => {
            let what = format!("cannot inspect the disk of `{}`: {error}", existing.display());
            Check::warn(name, what, "inspect it with `df`")
        }
    }
}

fn check_free_space(name: &'static str, folder: &Path, free: u64) -> Check {
    let message = format!("{} free at `{}`", size_text(free), folder.display());
    let help = "free disk space; `docker system df` shows what the engine uses";
    if free < FULL {
        Check::fail(name, message, help)
    } else if free < LOW {
        Check::warn(name, message, help)
    } else {
        Check::ok(name, message)
    }
}

fn size_text(bytes: u64) -> String {
    match bytes >> 20 {
        mebibytes @ 0..1024 => format!("{mebibytes} MiB"),
        mebibytes => format!("{} GiB", mebibytes >> 10),
    }
}

/// Returns the folder, or the nearest parent that exists.
fn nearest_existing(folder: &Path) -> PathBuf {
    let mut above = folder.ancestors();
    above.find(|folder| folder.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// Checks that this user can create files in a folder, or the folder itself.
fn check_writable(folder: &Path) -> Result<(), String> {
    let existing = nearest_existing(folder);
    access(&existing, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| format!("`{}` is not writable: {error}", existing.display()))
}

fn failed_check(name: &'static str, error: &CliError) -> Check {
    Check::fail(name, error.message(), error.first_help().unwrap_or(OTHER_FOLDER))
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
    fn state_check_reports_each_problem_of_folder() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("state");
        let set_mode = |mode| fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
        check(&check_state(&folder, false, None), CheckResult::Ok, "no apps yet");
        assert!(!folder.exists());
        fs::create_dir(&folder).unwrap();
        set_mode(0o777);
        check(&check_state(&folder, false, None), CheckResult::Fail, "(mode 0777)");
        set_mode(0o700);
        fs::write(folder.join("dubernetes.db"), "").unwrap();
        check(&check_state(&folder, false, None), CheckResult::Fail, "is damaged");
        let file = Path::new("/dev/null");
        check(&check_state(file, false, None), CheckResult::Fail, "is not a folder");
        let failing = check_state(&folder, true, Some("disk I/O error"));
        check(&failing, CheckResult::Fail, "disk I/O error");
        check(&check_state(&folder, true, None), CheckResult::Ok, "has `");
    }

    #[test]
    fn unwritable_path_is_reported() {
        // Root can write to every folder, but no user can create a folder below a file.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "text").unwrap();
        let why = check_writable(&file.join("state")).unwrap_err();
        assert!(why.contains("is not writable: "), "{why}");
        check(&check_socket(&file.join("d.sock"), false), CheckResult::Fail, "cannot inspect");
        assert_eq!(check_writable(&folder.path().join("a/b/c")), Ok(()));
    }

    #[test]
    fn socket_check_needs_private_folder_and_free_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("d.sock");
        check(&check_socket(&path, false), CheckResult::Ok, "can be created");
        check(&check_socket(&path, true), CheckResult::Ok, "answers");
        fs::write(&path, "text").unwrap();
        check(&check_socket(&path, false), CheckResult::Fail, "is not a socket");
        fs::remove_file(&path).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        check(&check_socket(&path, false), CheckResult::Fail, "other users can write");
    }

    #[test]
    fn low_disk_space_warns_and_full_disk_fails() {
        let folder = Path::new("/");
        check(&check_free_space("disk", folder, 5 << 30), CheckResult::Ok, "5 GiB free");
        check(&check_free_space("disk", folder, 500 << 20), CheckResult::Warn, "500 MiB free");
        check(&check_free_space("disk", folder, 10 << 20), CheckResult::Fail, "10 MiB free");
    }
}
