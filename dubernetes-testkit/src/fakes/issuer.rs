//! A certificate authority in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::faults::Faults;
use super::ingress::FakeIngress;
use super::runtime::TokioClock;
use dubernetes_core::app::{HostName, HostPattern, Secret};
use dubernetes_core::certificate::{
    Authority, Certificate, CertificateError, CertificateInfo, CertificateIssuer,
};
use dubernetes_core::clock::Clock as _;
use dubernetes_core::error::SharedError;

/// How long each call takes.
const DELAY: Duration = Duration::from_millis(100);

/// A certificate authority in memory. Its certificates are made-up text, which
/// [`inspect`](CertificateIssuer::inspect) reads. Clones share the state.
///
/// Each call takes a moment of virtual time. As with a real one, each order with
/// [`Authority::Acme`] fails unless the proxy answers the challenges of the host, if
/// [`FakeIssuer::ask`] says which proxy to ask.
#[derive(Debug, Clone)]
pub struct FakeIssuer {
    clock: TokioClock,
    state: Arc<Mutex<State>>,
    faults: Faults<IssuerOperation>,
}

#[derive(Debug)]
struct State {
    lifetime: SignedDuration,
    directory: String,
    asked: Option<FakeIngress>,
    troubles: BTreeMap<Option<HostName>, Trouble>,
    registrations: u32,
    orders: Vec<FakeOrder>,
    serial: u32,
}

/// An operation of [`FakeIssuer`], for faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IssuerOperation {
    /// `CertificateIssuer::register`.
    Register,
    /// `CertificateIssuer::issue`.
    Issue,
}

impl IssuerOperation {
    /// Every operation.
    pub const ALL: [Self; 2] = [Self::Register, Self::Issue];
}

/// Why [`FakeIssuer`] issues no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It does not answer.
    Away,
    /// It refuses orders until a time.
    RateLimited(Timestamp),
    /// It could not verify the host, for this reason.
    NotVerified(String),
}

/// An attempt to get a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeOrder {
    /// When it was made.
    pub at: Timestamp,
    /// The authority.
    pub authority: Authority,
    /// The account.
    pub account: String,
    /// The host.
    pub host: HostName,
    /// Whether it led to a certificate.
    pub is_issued: bool,
}

impl FakeIssuer {
    /// Creates an authority whose certificates are valid for 90 days.
    pub fn new(clock: TokioClock) -> Self {
        let state = State {
            lifetime: SignedDuration::from_hours(90 * 24),
            directory: "first".to_owned(),
            asked: None,
            troubles: BTreeMap::new(),
            registrations: 0,
            orders: Vec::new(),
            serial: 0,
        };
        Self { clock, state: Arc::new(Mutex::new(state)), faults: Faults::default() }
    }

    /// Returns its time.
    pub fn clock(&self) -> TokioClock {
        self.clock
    }

    /// Sets the proxy that has to answer for a host.
    pub fn ask(&self, ingress: &FakeIngress) {
        self.state().asked = Some(ingress.clone());
    }

    /// Sets how long new certificates are valid.
    pub fn set_lifetime(&self, lifetime: SignedDuration) {
        self.state().lifetime = lifetime;
    }

    /// Sets at which directory the authority is. Accounts of another one are unknown.
    pub fn set_directory(&self, directory: &str) {
        self.state().directory = directory.to_owned();
    }

    /// Sets why no host gets a certificate, or with `None` that all do.
    pub fn set_trouble(&self, trouble: Option<Trouble>) {
        self.change_trouble(None, trouble);
    }

    /// Sets why one host gets no certificate, or with `None` that it does.
    pub fn set_trouble_of(&self, host: &HostName, trouble: Option<Trouble>) {
        self.change_trouble(Some(host.clone()), trouble);
    }

    /// Returns how many accounts were created.
    pub fn registrations(&self) -> u32 {
        self.state().registrations
    }

    /// Returns every order, oldest first.
    pub fn orders(&self) -> Vec<FakeOrder> {
        self.state().orders.clone()
    }

    /// Returns a certificate of a user and its key, as text.
    pub fn provided(
        &self,
        hosts: &[&str],
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> (String, String) {
        let mut state = self.state();
        state.serial += 1;
        let text = Text { hosts: hosts.join(" "), not_before, not_after, issuer: "a user" };
        (text.chain(state.serial), key(state.serial))
    }

    /// Returns the faults of this authority.
    pub fn faults(&self) -> &Faults<IssuerOperation> {
        &self.faults
    }

    fn change_trouble(&self, host: Option<HostName>, trouble: Option<Trouble>) {
        let troubles = &mut self.state().troubles;
        match trouble {
            Some(trouble) => troubles.insert(host, trouble),
            None => troubles.remove(&host),
        };
    }

    async fn enter(&self, operation: IssuerOperation) -> Result<(), CertificateError> {
        tokio::time::sleep(DELAY).await;
        if self.faults.apply(&operation).await {
            return Err(CertificateError::Failed(SharedError::text("injected fault")));
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked with the lock has failed already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self, authority: Authority, host: Option<&HostName>) -> Result<(), CertificateError> {
        if authority == Authority::Internal {
            return Ok(());
        }
        let of_host = host.and_then(|host| self.troubles.get(&Some(host.clone())));
        match of_host.or_else(|| self.troubles.get(&None)) {
            Some(Trouble::Away) => {
                Err(CertificateError::Unreachable(SharedError::text("connection refused")))
            }
            Some(Trouble::RateLimited(until)) => Err(CertificateError::RateLimited {
                message: "too many certificates".to_owned(),
                retry_at: Some(*until),
            }),
            Some(Trouble::NotVerified(message)) => match host {
                Some(host) => Err(not_verified(host, message)),
                None => Ok(()),
            },
            None => host.map_or(Ok(()), |host| self.verify(host)),
        }
    }

    /// Asks the proxy whether it answers for the host.
    fn verify(&self, host: &HostName) -> Result<(), CertificateError> {
        let Some(asked) = &self.asked else { return Ok(()) };
        let observed = asked.observed();
        let mut hosts = observed.table().into_iter().flat_map(|table| &table.tls);
        match hosts.any(|tls| tls.host.name() == Some(host) && tls.answers_challenges) {
            true => Ok(()),
            false => Err(not_verified(host, "404 Not Found")),
        }
    }
}

fn not_verified(host: &HostName, message: &str) -> CertificateError {
    CertificateError::NotVerified { host: host.clone(), message: message.to_owned() }
}

#[async_trait]
impl CertificateIssuer for FakeIssuer {
    fn inspect(&self, chain: &[u8], key: &[u8]) -> Result<CertificateInfo, String> {
        let chain = str::from_utf8(chain).map_err(|_| "the certificate is no PEM")?;
        let key = str::from_utf8(key).map_err(|_| "the key is no PEM")?;
        let field = |name: &str| {
            let mut lines = chain.lines().filter_map(|line| line.split_once(": "));
            let found = lines.find(|(found, _)| *found == name);
            found.map(|(_, value)| value).ok_or("the certificate is no PEM")
        };
        let time = |name: &str| {
            field(name)?.parse().map_err(|_| "the certificate has no dates".to_owned())
        };
        let mut lines = key.lines().filter_map(|line| line.strip_prefix("key of: "));
        if lines.next() != Some(field("serial")?) {
            return Err("the key does not belong to the certificate".to_owned());
        }
        let hosts = field("hosts")?.split_whitespace().map(str::parse::<HostPattern>);
        Ok(CertificateInfo {
            hosts: hosts.collect::<Result<_, _>>().map_err(|error| error.to_string())?,
            not_before: time("not before")?,
            not_after: time("not after")?,
            issuer: field("issuer")?.to_owned(),
        })
    }

    fn offers(&self, _: Authority) -> bool {
        true
    }

    async fn register(&self, authority: Authority) -> Result<Secret, CertificateError> {
        self.enter(IssuerOperation::Register).await?;
        let mut state = self.state();
        state.check(authority, None)?;
        state.registrations += 1;
        let number = state.registrations;
        Ok(Secret::new(format!("account {number} of {authority} at {}", state.directory)))
    }

    async fn issue(
        &self,
        authority: Authority,
        account: &Secret,
        host: &HostName,
    ) -> Result<Certificate, CertificateError> {
        let now = self.clock.now();
        let account = String::from_utf8_lossy(account.reveal()).into_owned();
        let order = FakeOrder { at: now, authority, account, host: host.clone(), is_issued: false };
        self.state().orders.push(order);
        self.enter(IssuerOperation::Issue).await?;
        let mut state = self.state();
        state.check(authority, Some(host))?;
        if let Some(order) = state.orders.iter_mut().rev().find(|order| order.host == *host) {
            order.is_issued = true;
        }
        state.serial += 1;
        let not_after = now.saturating_add(state.lifetime).unwrap_or(Timestamp::MAX);
        let renew_at = now.saturating_add(state.lifetime * 2 / 3).unwrap_or(not_after);
        let issuer = authority.as_str();
        let text = Text { hosts: host.to_string(), not_before: now, not_after, issuer };
        let (chain, key) = (text.chain(state.serial), Secret::new(key(state.serial)));
        Ok(Certificate { chain, key, not_before: now, not_after, renew_at })
    }

    fn knows(&self, _: Authority, account: &Secret) -> bool {
        let directory = format!(" at {}", self.state().directory);
        String::from_utf8_lossy(account.reveal()).ends_with(&directory)
    }

    fn root(
        &self,
        authority: Authority,
        account: &Secret,
    ) -> Result<Option<String>, CertificateError> {
        let account = String::from_utf8_lossy(account.reveal());
        Ok((authority == Authority::Internal).then(|| format!("root of {account}\n")))
    }
}

/// What a certificate says.
struct Text<'a> {
    hosts: String,
    not_before: Timestamp,
    not_after: Timestamp,
    issuer: &'a str,
}

impl Text<'_> {
    fn chain(&self, serial: u32) -> String {
        let Self { hosts, not_before, not_after, issuer } = self;
        format!(
            "-----BEGIN FAKE CERTIFICATE-----\nserial: {serial}\nhosts: {hosts}\n\
             not before: {not_before}\nnot after: {not_after}\nissuer: {issuer}\n\
             -----END FAKE CERTIFICATE-----\n"
        )
    }
}

fn key(serial: u32) -> String {
    format!("-----BEGIN FAKE KEY-----\nkey of: {serial}\n-----END FAKE KEY-----\n")
}
