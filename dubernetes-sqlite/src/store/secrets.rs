//! Secrets: statements inside a transaction.

use std::collections::BTreeMap;

use dubernetes_core::app::{AppName, AppSpec, Secret, SecretName};
use dubernetes_core::store::{
    Change, SecretInfo, SecretPut, SetSecret, StoreError, decide_secret_change, resolve_secrets,
};
use rusqlite::params;

use crate::error::TransactionError;
use crate::keyring::Place;
use crate::row;
use crate::session::Session;

use super::apps;

/// Fills in the secrets that a specification names.
pub(super) fn resolve(session: &Session<'_>, spec: &mut AppSpec) -> Result<(), TransactionError> {
    let mut values = BTreeMap::new();
    for name in spec.secret_names() {
        if let Some(value) = find(session, name)? {
            values.insert(name.clone(), value);
        }
    }
    Ok(resolve_secrets(spec, &values)?)
}

pub(super) fn set(session: &Session<'_>, set: &SetSecret) -> Result<SecretPut, TransactionError> {
    let change = match find(session, &set.name)? {
        None => Change::Created,
        Some(old) if old == set.value => Change::Unchanged,
        Some(_) => Change::Configured,
    };
    if change != Change::Unchanged {
        let name = set.name.as_str();
        let value = session.keys.seal(Place::Secret(name), set.value.reveal())?;
        let write = "INSERT OR REPLACE INTO secrets (name, value, updated_at) VALUES (?1, ?2, ?3)";
        session.execute(write, params![name, value, row::format_time(set.now)?])?;
    }
    let mut changed = Vec::new();
    for (name, app) in apps::list(session)?.apps {
        let revisions = apps::all_revisions(session, &name)?;
        if let Some(decision) = decide_secret_change(&app, &revisions, set)? {
            apps::write_decision(session, &decision)?;
            changed.push(decision.put.app);
        }
    }
    Ok(SecretPut { change, apps: changed })
}

pub(super) fn list(session: &Session<'_>) -> Result<Vec<SecretInfo>, TransactionError> {
    let apps = apps::list(session)?.apps;
    let users = |name: &SecretName| -> Vec<AppName> {
        let using = apps.iter().filter(|(_, app)| app.spec.secret_names().contains(name));
        using.map(|(app, _)| app.clone()).collect()
    };
    let mut select =
        session.prepare_cached("SELECT name, value, updated_at FROM secrets ORDER BY name")?;
    let infos = select.query_and_then([], |found| {
        let name: String = found.get(0)?;
        let value = session.keys.open(Place::Secret(&name), &found.get::<_, Vec<u8>>(1)?)?;
        let name = SecretName::parse(&name).map_err(TransactionError::unreadable)?;
        Ok(SecretInfo {
            hash: Secret::new(value).hash(),
            updated_at: row::parse_time(found.get(2)?)?,
            used_by: users(&name),
            name,
        })
    })?;
    infos.collect()
}

pub(super) fn delete(session: &Session<'_>, name: &SecretName) -> Result<(), TransactionError> {
    let secrets = list(session)?;
    let Some(found) = secrets.into_iter().find(|secret| secret.name == *name) else {
        return Err(StoreError::SecretNotFound { name: name.clone() }.into());
    };
    if !found.used_by.is_empty() {
        return Err(StoreError::SecretInUse { name: name.clone(), apps: found.used_by }.into());
    }
    session.execute("DELETE FROM secrets WHERE name = ?1", [name.as_str()])?;
    Ok(())
}

fn find(session: &Session<'_>, name: &SecretName) -> Result<Option<Secret>, TransactionError> {
    let mut select = session.prepare_cached("SELECT value FROM secrets WHERE name = ?1")?;
    let mut found = select.query_and_then([name.as_str()], |found| {
        let sealed: Vec<u8> = found.get(0)?;
        session.keys.open(Place::Secret(name.as_str()), &sealed).map(Secret::new)
    })?;
    found.next().transpose()
}
