//! The files of a stored state, for `backup` and `restore`.

use std::path::Path;

use dubernetes_sqlite::{EmptyState, OpenError, RestoreError, SqliteStore};

use crate::report::{CliError, Result};
use crate::settings::Settings;
use crate::state_dir;
use crate::target::ingress_args;
use crate::wiring::is_shared;

/// Names of the files of a state that cannot be made again.
pub(crate) const STATE_FILES: [&str; 2] = SqliteStore::STATE_FILES;

/// Returns the newest schema that this program reads.
pub(crate) fn newest_schema() -> u32 {
    SqliteStore::newest_schema()
}

/// Copies the files of the state into `target`, beside a process that has it open. Returns the
/// version of its schema.
pub(crate) fn copy_state(settings: &Settings, target: &Path) -> Result<u32> {
    let folder = &settings.paths.state_dir;
    let copied = SqliteStore::copy_state(folder, target)
        .map_err(|error| CliError::with_source("cannot copy the state", &error))?;
    copied.ok_or_else(|| no_state(folder))
}

/// Refuses a state folder that has no state, or that belongs to another user or instance.
pub(crate) fn check_state(settings: &Settings) -> Result {
    let folder = &settings.paths.state_dir;
    if is_shared(folder, ingress_args(settings)?.store) {
        return Err(CliError::new("the state is in the swarm, and `backup` copies that of a file")
            .help(
                "every manager has it; `dubernetes get apps -o yaml` prints the files of all apps, \
                 without secrets, and Docker documents how to back up a whole swarm",
            ));
    }
    if !SqliteStore::exists(folder) {
        return Err(no_state(folder));
    }
    state_dir::check_owner(folder)?;
    state_dir::is_claimed(folder, &settings.instance).map(drop)
}

/// Refuses to restore a state where `serve` keeps its state in the swarm.
pub(crate) fn check_restorable(settings: &Settings) -> Result {
    if !is_shared(&settings.paths.state_dir, ingress_args(settings)?.store) {
        return Ok(());
    }
    let what = "`restore` writes a file, and the state of this instance is in the swarm";
    Err(CliError::new(what).help(
        "stop `serve --store swarm`, and use the restored state with `--store sqlite` on one \
         manager",
    ))
}

fn no_state(folder: &Path) -> CliError {
    CliError::new(format!("there is no state in `{}`", folder.display())).help(
        "run the command as the user of `dubernetes serve`, or name its folder with `--state-dir`",
    )
}

/// An empty state folder that is locked, and the files that shall be its state.
#[derive(Debug)]
pub(crate) struct NewState(EmptyState);

impl NewState {
    /// Locks the state folder.
    pub(crate) fn lock(settings: &Settings) -> Result<Self> {
        let folder = &settings.paths.state_dir;
        state_dir::check_owner(folder)?;
        EmptyState::lock(folder).map(Self).map_err(|error| refused(&error))
    }

    /// Returns the folder for the files.
    pub(crate) fn part(&self) -> &Path {
        self.0.part()
    }

    /// Makes the files the state of the instance.
    pub(crate) fn install(self, settings: &Settings) -> Result {
        state_dir::claim(self.part(), &settings.instance)?;
        self.0.install().map(drop).map_err(|error| refused(&error))
    }
}

fn refused(error: &RestoreError) -> CliError {
    let reported = CliError::with_source("cannot restore the state", error);
    match error {
        RestoreError::State(OpenError::Locked { .. }) => {
            reported.help("stop that process, such as by `systemctl stop dubernetes`")
        }
        RestoreError::NotEmpty { .. } | RestoreError::Incomplete | RestoreError::State(_) => {
            reported
        }
    }
}
