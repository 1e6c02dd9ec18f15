//! Claims: which orchestrator owns an instance.
//!
//! An owner is named by its state directory. The network of the instance carries the name as a
//! label; this module remembers the claims of this process, which the network may not carry yet.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dubernetes_core::app::InstanceName;
use dubernetes_core::error::one_line;
use dubernetes_core::runtime::RuntimeError;

/// Owners of instances, as claimed in this process.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    claimed: Mutex<BTreeMap<InstanceName, String>>,
}

impl Owners {
    pub(crate) fn find(&self, instance: &InstanceName) -> Option<String> {
        self.lock().get(instance).cloned()
    }

    /// Records `owner`. Fails while another owner has claimed the instance and still exists.
    pub(crate) fn claim(&self, instance: &InstanceName, owner: &str) -> Result<(), RuntimeError> {
        let mut claimed = self.lock();
        if let Some(other) = claimed.get(instance) {
            check_owner(instance, other, owner)?;
        }
        claimed.insert(instance.clone(), owner.to_owned());
        Ok(())
    }

    pub(crate) fn release(&self, instance: &InstanceName) {
        self.lock().remove(instance);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceName, String>> {
        // A panic cannot leave the map half changed: each change is one call on it.
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks that `owner` may work on an instance that `current` owns: both are the same, or the
/// state directory `current` was moved or deleted.
pub(crate) fn check_owner(
    instance: &InstanceName,
    current: &str,
    owner: &str,
) -> Result<(), RuntimeError> {
    if current == owner || is_deleted(Path::new(current)) {
        return Ok(());
    }
    Err(RuntimeError::OwnedByOtherState { instance: instance.clone(), folder: one_line(current) })
}

/// A directory that cannot be read counts as existing, and so does a name that is not a path.
fn is_deleted(folder: &Path) -> bool {
    let is_missing = |error: std::io::Error| error.kind() == ErrorKind::NotFound;
    folder.is_absolute() && std::fs::symlink_metadata(folder).is_err_and(is_missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab() -> InstanceName {
        InstanceName::parse("lab").unwrap()
    }

    #[test]
    fn instance_of_another_state_is_refused_until_that_state_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let one = path("one");
        let two = path("two");
        std::fs::create_dir(&one).unwrap();
        assert!(check_owner(&lab(), &one, &one).is_ok());
        assert!(check_owner(&lab(), &two, &two).is_ok());
        let refused = check_owner(&lab(), &one, &two).unwrap_err().to_string();
        assert!(refused.contains("`lab`") && refused.contains("/one`"), "{refused}");
        std::fs::rename(&one, &two).unwrap();
        assert!(check_owner(&lab(), &one, &two).is_ok(), "the directory was moved");
        assert!(check_owner(&lab(), "a name", &two).is_err());
    }

    #[test]
    fn second_claim_is_refused_until_release() {
        let owners = Owners::default();
        owners.claim(&lab(), "one").unwrap();
        owners.claim(&lab(), "one").unwrap();
        assert!(owners.claim(&lab(), "two").is_err());
        assert_eq!(owners.find(&lab()).as_deref(), Some("one"));
        owners.release(&lab());
        owners.claim(&lab(), "two").unwrap();
    }
}
