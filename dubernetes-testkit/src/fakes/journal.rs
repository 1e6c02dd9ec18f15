//! A journal of decisions in memory.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use dubernetes_core::replay::{Decision, Journal, Recorder};

/// Decisions that are kept.
const KEPT: usize = 200;

/// A journal in memory, which masks nothing. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryJournal(Arc<Mutex<VecDeque<Decision>>>);

impl Recorder for MemoryJournal {
    fn record(&self, decision: &Decision) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(decision.clone());
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }
}

impl Journal for MemoryJournal {
    fn read(&self, take: &mut dyn FnMut(Decision)) -> io::Result<usize> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        kept.into_iter().for_each(take);
        Ok(0)
    }
}
