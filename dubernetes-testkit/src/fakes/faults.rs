//! Faults injected into a fake: calls that fail, panic or hang.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::effects::Effects;

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
pub struct Faults<O: Ord>(Arc<Mutex<Injected<O>>>);

#[derive(Debug)]
struct Injected<O> {
    by_operation: BTreeMap<O, (Fault, u32)>,
    effects: Option<Effects>,
}

impl<O: Ord> Default for Faults<O> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Injected { by_operation: BTreeMap::new(), effects: None })))
    }
}

impl<O: Ord + Debug> Faults<O> {
    /// Makes the next `times` calls of an operation go wrong.
    pub fn inject(&self, operation: O, fault: Fault, times: u32) {
        self.lock().by_operation.insert(operation, (fault, times));
    }

    /// Counts the changing calls of this fake in `effects` from now on.
    pub fn count(&self, effects: &Effects) {
        self.lock().effects = Some(effects.clone());
    }

    /// Ends all faults of operations. Calls that hang already still hang.
    pub fn clear(&self) {
        self.lock().by_operation.clear();
    }

    /// Takes the fault of one call. Returns whether the call fails.
    ///
    /// # Panics
    ///
    /// For [`Fault::Panic`].
    pub(crate) async fn apply(&self, operation: &O) -> bool {
        if let Some(effects) = self.effects() {
            effects.alive().await;
        }
        match self.take(operation) {
            None => false,
            Some(Fault::Error) => true,
            Some(Fault::Panic) => panic!("injected panic"),
            Some(Fault::Hang) => std::future::pending().await,
        }
    }

    /// Makes one changing call, after [`Self::apply`]. `None`: its answer is an error.
    pub(crate) async fn effect<R>(
        &self,
        operation: &O,
        object: &str,
        effect: impl FnOnce() -> R,
    ) -> Option<R> {
        match self.effects() {
            Some(effects) => effects.run(format!("{operation:?} {object}"), effect).await,
            None => Some(effect()),
        }
    }

    fn effects(&self) -> Option<Effects> {
        self.lock().effects.clone()
    }

    fn take(&self, operation: &O) -> Option<Fault> {
        let mut injected = self.lock();
        let found = injected.by_operation.get_mut(operation);
        let (fault, left) = found.filter(|(_, left)| *left > 0)?;
        if *left != FOREVER {
            *left -= 1;
        }
        Some(*fault)
    }

    fn lock(&self) -> MutexGuard<'_, Injected<O>> {
        // A panic cannot leave the faults half changed: each change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
