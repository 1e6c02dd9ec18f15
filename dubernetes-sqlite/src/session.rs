//! A transaction, and the keys for the values that it reads and writes.

use std::fmt;
use std::ops::Deref;

use rusqlite::Transaction;

use crate::keyring::Keyring;

/// A transaction with the keys of the store.
pub(crate) struct Session<'c> {
    pub(crate) transaction: Transaction<'c>,
    pub(crate) keys: &'c Keyring,
}

impl<'c> Deref for Session<'c> {
    type Target = Transaction<'c>;

    fn deref(&self) -> &Transaction<'c> {
        &self.transaction
    }
}

impl fmt::Debug for Session<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("keys", &self.keys).finish_non_exhaustive()
    }
}
