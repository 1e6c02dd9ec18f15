//! Faults injected into a fake: calls that fail, panic or hang.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Returns an error without an effect.
    Error,
    /// Panics, like an adapter with a bug.
    Panic,
    /// Never returns.
    Hang,
}

/// The number of calls for a fault without an end.
pub const FOREVER: u32 = u32::MAX;

/// The faults of a fake, by operation. Clones share them.
#[derive(Debug, Clone)]
pub struct Faults<O: Ord>(Arc<Mutex<BTreeMap<O, (Fault, u32)>>>);

impl<O: Ord> Default for Faults<O> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<O: Ord> Faults<O> {
    /// Makes the next `times` calls of an operation go wrong.
    pub fn inject(&self, operation: O, fault: Fault, times: u32) {
        self.lock().insert(operation, (fault, times));
    }

    /// Ends all faults. Calls that hang already still hang.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Takes the fault of one call. Returns whether the call fails.
    ///
    /// # Panics
    ///
    /// For [`Fault::Panic`].
    pub(crate) async fn apply(&self, operation: &O) -> bool {
        match self.take(operation) {
            None => false,
            Some(Fault::Error) => true,
            Some(Fault::Panic) => panic!("injected panic"),
            Some(Fault::Hang) => std::future::pending().await,
        }
    }

    fn take(&self, operation: &O) -> Option<Fault> {
        let mut faults = self.lock();
        let (fault, left) = faults.get_mut(operation).filter(|(_, left)| *left > 0)?;
        if *left != FOREVER {
            *left -= 1;
        }
        Some(*fault)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<O, (Fault, u32)>> {
        // A panic cannot leave the map half changed: each change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
