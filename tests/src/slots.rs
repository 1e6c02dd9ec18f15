//! At most two scenarios at a time on one machine, whatever the test runner does: each has
//! several containers, and limits of time are meant for a machine that is not flooded.

use std::fs::{File, TryLockError};
use std::time::Duration;

const SLOTS: u32 = 2;
const PAUSE: Duration = Duration::from_millis(50);

/// The right to run; it ends with its holder, also if that is killed.
#[derive(Debug)]
pub(crate) struct Slot {
    _locked: File,
}

/// Waits for a free slot.
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
                Err(TryLockError::Error(error)) => panic!("no lock can be taken: {error}"),
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
