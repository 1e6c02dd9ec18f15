//! Limits concurrent scenarios to two per machine, whatever test runner is used.
//!
//! Each scenario runs several containers, and the time limits assume a machine that is not
//! overloaded.

use std::fs::{File, TryLockError};
use std::time::Duration;

const SLOTS: u32 = 2;
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Permission to run a scenario. Released on drop, and by the kernel if the process is killed.
#[derive(Debug)]
pub(crate) struct Slot {
    _locked: File,
}

/// Waits for a free slot and takes it.
pub(crate) async fn take() -> Slot {
    let folder = std::env::temp_dir();
    let user = rustix::process::geteuid().as_raw();
    loop {
        for number in 0..SLOTS {
            let path = folder.join(format!("dubernetes-tests-{user}-{number}.lock"));
            let file = File::create(path).unwrap();
            match file.try_lock() {
                Ok(()) => return Slot { _locked: file },
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => panic!("cannot lock the slot file: {error}"),
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
