//! The progress of pulls in flight, layer by layer.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bollard::models::CreateImageInfo;
use dubernetes_core::runtime::PullProgress;

/// Pulls in flight, by image reference: for each layer, the bytes that have arrived and all bytes.
#[derive(Debug, Default)]
pub(crate) struct Pulls(Mutex<BTreeMap<String, Layers>>);

type Layers = BTreeMap<String, PullProgress>;

impl Pulls {
    /// Begins to follow a pull, until the returned value is dropped.
    pub(crate) fn follow(&self, reference: &str) -> Pull<'_> {
        self.lock().insert(reference.to_owned(), Layers::new());
        Pull { pulls: self, reference: reference.to_owned() }
    }

    /// Returns the progress of a pull in flight over all layers whose size is known.
    pub(crate) fn progress(&self, reference: &str) -> Option<PullProgress> {
        let pulls = self.lock();
        let layers = pulls.get(reference)?.values();
        Some(layers.fold(PullProgress::default(), |sum, layer| PullProgress {
            done: sum.done.saturating_add(layer.done),
            total: sum.total.saturating_add(layer.total),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Layers>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pull in flight.
#[derive(Debug)]
pub(crate) struct Pull<'a> {
    pulls: &'a Pulls,
    reference: String,
}

impl Pull<'_> {
    /// Takes a message of the engine into account. Only downloads count: the engine reports the
    /// extraction of a layer with the same numbers again.
    pub(crate) fn advance(&self, message: &CreateImageInfo) {
        let Some(layer) = &message.id else { return };
        let mut pulls = self.pulls.lock();
        let Some(layers) = pulls.get_mut(&self.reference) else { return };
        match message.status.as_deref() {
            Some("Downloading") => {
                let detail = message.progress_detail.clone().unwrap_or_default();
                let bytes = |count: Option<i64>| u64::try_from(count.unwrap_or(0)).unwrap_or(0);
                let (done, total) = (bytes(detail.current), bytes(detail.total));
                layers.insert(layer.clone(), PullProgress { done, total });
            }
            Some("Download complete" | "Pull complete") => {
                if let Some(known) = layers.get_mut(layer) {
                    known.done = known.total;
                }
            }
            Some(_) | None => {}
        }
    }
}

impl Drop for Pull<'_> {
    fn drop(&mut self) {
        self.pulls.lock().remove(&self.reference);
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    fn message(id: &str, status: &str, current: i64, total: i64) -> CreateImageInfo {
        let progress_detail = Some(ProgressDetail { current: Some(current), total: Some(total) });
        let (id, status) = (Some(id.to_owned()), Some(status.to_owned()));
        CreateImageInfo { id, status, progress_detail, ..CreateImageInfo::default() }
    }

    #[test]
    fn progress_is_the_sum_of_the_downloads() {
        let pulls = Pulls::default();
        let pull = pulls.follow("web:1");
        for message in [
            message("1", "Pulling from web", 0, 0),
            message("a", "Downloading", 10, 100),
            message("b", "Downloading", 5, 20),
            message("b", "Download complete", 0, 0),
            message("b", "Extracting", 1, 20),
            message("c", "Already exists", 0, 0),
            message("a", "Downloading", 40, 100),
        ] {
            pull.advance(&message);
        }
        assert_eq!(pulls.progress("web:1"), Some(PullProgress { done: 60, total: 120 }));
        assert_eq!(pulls.progress("web:2"), None);
        drop(pull);
        assert_eq!(pulls.progress("web:1"), None);
    }
}
