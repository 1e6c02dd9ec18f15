//! The secrets of a [`StoreContent`].

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::StoreContent;
use crate::app::{AppName, AppSpec, Secret, SecretName};
use crate::store::{
    Change, SecretInfo, SecretPut, SetSecret, StoreError, decide_secret_change, resolve_secrets,
};

/// Secrets, in clear.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Secrets {
    pub(super) values: BTreeMap<SecretName, Secret>,
    pub(super) updated_at: BTreeMap<SecretName, Timestamp>,
}

impl Secrets {
    pub(super) fn values(&self) -> &BTreeMap<SecretName, Secret> {
        &self.values
    }

    /// Returns what may be shown of each secret. `specs` are those of the live apps.
    pub(super) fn infos<'a>(&self, specs: impl Iterator<Item = &'a AppSpec>) -> Vec<SecretInfo> {
        let specs: Vec<_> = specs.collect();
        let info = |(name, value): (&SecretName, &Secret)| SecretInfo {
            name: name.clone(),
            hash: value.hash(),
            updated_at: self.updated_at.get(name).copied().unwrap_or_default(),
            used_by: users(name, specs.iter().copied()),
        };
        self.values.iter().map(info).collect()
    }

    fn set(&mut self, set: &SetSecret) -> Change {
        let change = match self.values.get(&set.name) {
            None => Change::Created,
            Some(old) if *old == set.value => return Change::Unchanged,
            Some(_) => Change::Configured,
        };
        self.values.insert(set.name.clone(), set.value.clone());
        self.updated_at.insert(set.name.clone(), set.now);
        change
    }
}

impl StoreContent {
    pub(in crate::store) fn secrets(&self) -> Vec<SecretInfo> {
        self.secrets.infos(self.specs())
    }

    pub(in crate::store) fn resolve_secrets(&self, spec: &mut AppSpec) -> Result<(), StoreError> {
        resolve_secrets(spec, self.secrets.values())
    }

    pub(in crate::store) fn set_secret(
        &mut self,
        set: &SetSecret,
    ) -> Result<SecretPut, StoreError> {
        // Every decision is made before anything is written: a refused value changes nothing.
        let live = self.apps.values().filter(|kept| kept.deleted.is_none());
        let decisions = live.map(|kept| decide_secret_change(&kept.app, &kept.revisions, set));
        let decisions = decisions.collect::<Result<Vec<_>, _>>()?;
        let change = self.secrets.set(set);
        let apps = decisions.into_iter().flatten().map(|decision| self.write(decision).app);
        Ok(SecretPut { change, apps: apps.collect() })
    }

    pub(in crate::store) fn delete_secret(&mut self, name: &SecretName) -> Result<(), StoreError> {
        if !self.secrets.values.contains_key(name) {
            return Err(StoreError::SecretNotFound { name: name.clone() });
        }
        let apps = users(name, self.specs());
        if !apps.is_empty() {
            return Err(StoreError::SecretInUse { name: name.clone(), apps });
        }
        self.secrets.values.remove(name);
        self.secrets.updated_at.remove(name);
        Ok(())
    }
}

fn users<'a>(name: &SecretName, specs: impl Iterator<Item = &'a AppSpec>) -> Vec<AppName> {
    specs.filter(|spec| spec.secret_names().contains(name)).map(|spec| spec.name.clone()).collect()
}
