//! Limits concurrent scenarios to three per machine, whatever test runner is used.
//!
//! Each scenario runs several containers, and the time limits assume a machine that is not
//! overloaded. A scenario mostly waits, so that two cores have room for three.

use std::fs::{File, TryLockError};
use std::ops::Range;
use std::time::Duration;

const SLOTS: u32 = 3;
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Permission to run a scenario. Released on drop, and by the kernel if the process is killed.
#[derive(Debug)]
pub(crate) struct Slot {
    _locked: File,
}

/// Waits for a free slot and takes it.
pub(crate) async fn take() -> Slot {
    take_one_of(0..SLOTS).await
}

/// Waits until no scenario runs, and takes all slots.
pub(crate) async fn take_all() -> Vec<Slot> {
    let mut slots = Vec::new();
    for number in 0..SLOTS {
        slots.push(take_one_of(number..number + 1).await);
    }
    slots
}

async fn take_one_of(numbers: Range<u32>) -> Slot {
    let folder = std::env::temp_dir();
    let user = rustix::process::geteuid().as_raw();
    loop {
        for number in numbers.clone() {
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
