//! Certificates, and the accounts with their authorities: statements inside a transaction.

use std::collections::BTreeMap;

use dubernetes_core::app::{HostName, Secret};
use dubernetes_core::certificate::{Authority, KeyPair, StoredCertificate};
use rusqlite::params;

use crate::error::TransactionError;
use crate::keyring::Place;
use crate::row;
use crate::session::Session;

/// Returns true if there was a row.
pub(super) fn delete(session: &Session<'_>, host: &HostName) -> Result<bool, TransactionError> {
    Ok(session.execute("DELETE FROM certificates WHERE host = ?1", [host.as_str()])? > 0)
}

pub(super) fn set(
    session: &Session<'_>,
    host: &HostName,
    certificate: &StoredCertificate,
) -> Result<(), TransactionError> {
    let name = host.as_str();
    let info = serde_json::to_string(certificate).map_err(row::failed)?;
    let pem = certificate.issued.as_ref().and_then(|issued| issued.pair.pem());
    let pem = pem.map(|pem| session.keys.seal(Place::Certificate(name), &join(pem))).transpose()?;
    let write = "INSERT OR REPLACE INTO certificates (host, info, pem) VALUES (?1, ?2, ?3)";
    session.execute(write, params![name, info, pem])?;
    Ok(())
}

pub(super) fn list(
    session: &Session<'_>,
) -> Result<BTreeMap<HostName, StoredCertificate>, TransactionError> {
    let mut select = session.prepare_cached("SELECT host, info, pem FROM certificates")?;
    let found = select.query_and_then([], |found| {
        let (host, info): (String, String) = (found.get(0)?, found.get(1)?);
        let mut stored: StoredCertificate = row::parse_json(&info)?;
        if let (Some(issued), Some(sealed)) =
            (&mut stored.issued, found.get::<_, Option<Vec<u8>>>(2)?)
        {
            issued.pair = split(&session.keys.open(Place::Certificate(&host), &sealed)?)?;
        }
        let host = HostName::parse(&host).map_err(TransactionError::unreadable)?;
        Ok((host, stored))
    })?;
    found.collect()
}

pub(super) fn set_account(
    session: &Session<'_>,
    authority: Authority,
    account: &Secret,
) -> Result<(), TransactionError> {
    let name = authority.as_str();
    let sealed = session.keys.seal(Place::Authority(name), account.reveal())?;
    let write = "INSERT OR REPLACE INTO authorities (name, account) VALUES (?1, ?2)";
    session.execute(write, params![name, sealed])?;
    Ok(())
}

pub(super) fn account(
    session: &Session<'_>,
    authority: Authority,
) -> Result<Option<Secret>, TransactionError> {
    let name = authority.as_str();
    let mut select = session.prepare_cached("SELECT account FROM authorities WHERE name = ?1")?;
    let mut found = select.query_and_then([name], |found| {
        let sealed: Vec<u8> = found.get(0)?;
        session.keys.open(Place::Authority(name), &sealed).map(Secret::new)
    })?;
    found.next().transpose()
}

/// Returns a chain and a key as one value: the length of the chain, then both.
fn join((chain, key): (&[u8], &[u8])) -> Vec<u8> {
    let length = u32::try_from(chain.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&length[..], chain, key].concat()
}

fn split(joined: &[u8]) -> Result<KeyPair, TransactionError> {
    let parts = joined.split_first_chunk::<4>().and_then(|(length, rest)| {
        rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
    });
    let unreadable = || TransactionError::unreadable("a stored certificate is unreadable");
    let (chain, key) = parts.ok_or_else(unreadable)?;
    Ok(KeyPair::new(Secret::new(chain.to_vec()), Secret::new(key.to_vec())))
}
