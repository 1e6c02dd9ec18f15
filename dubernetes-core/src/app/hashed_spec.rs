//! Specifications that keep their hash, which is computed once.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use smol_str::SmolStr;

use super::{AppSpec, ValidSpec};
use crate::identity::spec_hash;

/// A specification with its hash. Only [`HashedSpec::update`] changes it, so that the hash always
/// fits. Clones share both, and are cheap.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "AppSpec")]
pub struct HashedSpec(Arc<Hashed>);

#[derive(Clone, PartialEq, Eq)]
struct Hashed {
    spec: AppSpec,
    hash: SmolStr,
}

impl HashedSpec {
    /// Returns the [`spec_hash`] of the specification.
    pub fn hash(&self) -> &SmolStr {
        &self.0.hash
    }

    /// Returns the specification.
    pub fn into_inner(self) -> AppSpec {
        Arc::unwrap_or_clone(self.0).spec
    }

    /// Changes the specification, and hashes the changed one. Clones keep the former one.
    pub fn update(&mut self, change: impl FnOnce(&mut AppSpec)) {
        let mut spec = self.0.spec.clone();
        change(&mut spec);
        *self = spec.into();
    }
}

impl From<AppSpec> for HashedSpec {
    fn from(spec: AppSpec) -> Self {
        let hash = spec_hash(&spec);
        Self(Arc::new(Hashed { spec, hash }))
    }
}

impl From<ValidSpec> for HashedSpec {
    fn from(spec: ValidSpec) -> Self {
        spec.into_inner().into()
    }
}

impl Deref for HashedSpec {
    type Target = AppSpec;

    fn deref(&self) -> &AppSpec {
        &self.0.spec
    }
}

impl PartialEq<AppSpec> for HashedSpec {
    fn eq(&self, spec: &AppSpec) -> bool {
        self.0.spec == *spec
    }
}

impl fmt::Debug for HashedSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.spec.fmt(f)
    }
}

impl Serialize for HashedSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.spec.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ImageRef;
    use super::*;

    #[test]
    fn update_hashes_again_and_keeps_clones() {
        let spec = AppSpec::new("web".parse().unwrap(), "web:1".parse().unwrap());
        let before = HashedSpec::from(spec.clone());
        let mut after = before.clone();
        after.update(|spec| spec.artifact = ImageRef::parse("web:2").unwrap().into());
        assert_eq!((before.hash(), after.hash()), (&spec_hash(&spec), &spec_hash(&after)));
        assert_ne!(before.hash(), after.hash());
        assert_eq!(before, spec);
    }
}
