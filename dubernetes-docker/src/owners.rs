//! Claims: which orchestrator owns an instance.
//!
//! An owner is a state with a random id. The network of the instance carries the id as a label, and
//! this module remembers the claims of this process, which the network may not carry yet.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dubernetes_core::app::InstanceName;
use dubernetes_core::error::one_line;
use dubernetes_core::labels;
use dubernetes_core::runtime::{Owner, RuntimeError};

/// Owners of instances, as claimed in this process.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    claimed: Mutex<BTreeMap<InstanceName, Owner>>,
}

impl Owners {
    pub(crate) fn find(&self, instance: &InstanceName) -> Option<Owner> {
        self.lock().get(instance).cloned()
    }

    /// Records `owner`. Fails if another owner has claimed the instance.
    pub(crate) fn claim(&self, instance: &InstanceName, owner: &Owner) -> Result<(), RuntimeError> {
        let mut claimed = self.lock();
        if let Some(other) = claimed.get(instance) {
            check_owner(instance, other, owner)?;
        }
        claimed.insert(instance.clone(), owner.clone());
        Ok(())
    }

    pub(crate) fn release(&self, instance: &InstanceName) {
        self.lock().remove(instance);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceName, Owner>> {
        // A panic cannot leave the map half changed: each change is one call on it.
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks that `owner` may work on an instance whose network has these labels.
pub(crate) fn check_labels(
    instance: &InstanceName,
    labels: &HashMap<String, String>,
    owner: &Owner,
) -> Result<(), RuntimeError> {
    let folder = labels.get(labels::STATE_DIR).map_or("", String::as_str);
    match labels.get(labels::STATE_ID) {
        Some(id) => check_owner(instance, &Owner { id: id.clone(), folder: folder.into() }, owner),
        // An earlier version created the network: all it knew of its state is the directory, which
        // may have been moved since.
        None if folder.is_empty() || folder == owner.folder || is_deleted(Path::new(folder)) => {
            Ok(())
        }
        None => Err(RuntimeError::OwnedByOtherState {
            instance: instance.clone(),
            folder: one_line(folder),
            id: None,
        }),
    }
}

fn check_owner(
    instance: &InstanceName,
    current: &Owner,
    owner: &Owner,
) -> Result<(), RuntimeError> {
    if current.id == owner.id {
        return Ok(());
    }
    Err(RuntimeError::OwnedByOtherState {
        instance: instance.clone(),
        folder: one_line(&current.folder),
        id: Some(current.id.clone()),
    })
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

    fn owner(id: &str, folder: &str) -> Owner {
        Owner { id: id.into(), folder: folder.into() }
    }

    fn check(network: &[(&str, &str)], owner: &Owner) -> Result<(), RuntimeError> {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        check_labels(&lab(), &network.iter().map(pair).collect(), owner)
    }

    #[test]
    fn id_decides_ownership_wherever_the_state_is() {
        let network = [(labels::STATE_ID, "a"), (labels::STATE_DIR, "/")];
        assert!(check(&network, &owner("a", "/")).is_ok());
        assert!(check(&network, &owner("a", "/moved")).is_ok());
        let refused = check(&network, &owner("b", "/")).unwrap_err();
        assert!(refused.to_string().contains("`lab`"), "{refused}");
        assert!(
            matches!(refused, RuntimeError::OwnedByOtherState { id: Some(id), .. } if id == "a")
        );
        let gone = [(labels::STATE_ID, "a"), (labels::STATE_DIR, "/nonexistent")];
        assert!(check(&gone, &owner("b", "/")).is_err(), "a path is no identity");
        assert!(check(&[], &owner("b", "/")).is_ok(), "no state has claimed the network");
    }

    #[test]
    fn network_of_earlier_version_is_refused_while_its_state_dir_exists_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (one, two) = (path("one"), path("two"));
        std::fs::create_dir(&one).unwrap();
        let network = [(labels::STATE_DIR, one.as_str())];
        assert!(check(&network, &owner("a", &one)).is_ok());
        let refused = check(&network, &owner("a", &two)).unwrap_err().to_string();
        assert!(refused.contains("`lab`") && refused.contains("/one`"), "{refused}");
        std::fs::rename(&one, &two).unwrap();
        assert!(check(&network, &owner("a", &two)).is_ok(), "the directory was moved");
        assert!(check(&[(labels::STATE_DIR, "a name")], &owner("a", &two)).is_err());
    }

    #[test]
    fn second_claim_is_refused_until_release() {
        let owners = Owners::default();
        owners.claim(&lab(), &owner("a", "/one")).unwrap();
        owners.claim(&lab(), &owner("a", "/two")).unwrap();
        assert!(owners.claim(&lab(), &owner("b", "/two")).is_err());
        assert_eq!(owners.find(&lab()), Some(owner("a", "/two")));
        owners.release(&lab());
        owners.claim(&lab(), &owner("b", "/two")).unwrap();
    }
}
