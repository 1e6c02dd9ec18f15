//! Certificates of the instance.

use dubernetes_core::app::{
    AppName, AppSpec, HostName, HostPattern, InvalidSpec, Problem, ProvidedTls, Tls,
};
use dubernetes_core::certificate::{
    Authority, CertificateInfo, IssuedCertificate, StoredCertificate,
};
use dubernetes_core::error::SharedError;
use dubernetes_core::store::StoreError;
use jiff::Timestamp;

use super::Handle;

/// The certificate of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostCertificate {
    /// The host, or several.
    pub host: HostPattern,
    /// The app that brings the certificate.
    pub app: AppName,
    /// Who issues it; `None` if the user has it.
    pub authority: Option<Authority>,
    /// What the certificate says of itself, if there is one that can be read.
    pub info: Option<CertificateInfo>,
    /// When it is due to be replaced, if an authority issued it.
    pub renew_at: Option<Timestamp>,
    /// Whether the ingress serves it.
    pub is_served: bool,
    /// Why there is no newer one, or none at all.
    pub problem: Option<String>,
    /// When that is tried again.
    pub next_try: Option<Timestamp>,
}

impl Handle {
    /// Returns the certificate of each host that is served over HTTPS, ordered by host, as of the
    /// last pass.
    pub fn certificates(&self) -> Vec<HostCertificate> {
        let snapshot = self.snapshot();
        let served = snapshot.observed.ingress.table();
        let certificates = snapshot.plan.routes.table.tls.iter().map(|tls| {
            let is_served = tls.certificate.is_some()
                && served.is_some_and(|table| table.tls_of(&tls.host) == Some(tls));
            let stored = snapshot.desired.apps.get(&tls.app);
            let default = snapshot.desired.default_tls.as_ref();
            let mut hosts = stored.into_iter().flat_map(|stored| stored.spec.tls_hosts(default));
            let source = hosts.find(|(host, _)| **host == tls.host).map(|(_, source)| source);
            let authority = source.and_then(Tls::authority);
            let known = tls.host.name().and_then(|host| snapshot.desired.certificates.get(host));
            let known = known.filter(|_| authority.is_some());
            let failed = known.and_then(|known| known.failure.as_ref());
            let issued = known.and_then(|known| known.issued.as_ref());
            let pem = tls.certificate.as_ref().and_then(|pair| pair.pem());
            let info = pem.zip(self.issuer.as_ref()).map(|((c, k), issuer)| issuer.inspect(c, k));
            let (info, unreadable) = match info {
                Some(Ok(info)) => (Some(info), None),
                Some(Err(why)) => (None, Some(why)),
                None => (None, None),
            };
            HostCertificate {
                host: tls.host.clone(),
                app: tls.app.clone(),
                authority,
                info,
                renew_at: issued.map(|issued| issued.renew_at),
                is_served,
                problem: failed.map(|failed| failed.failure.message.clone()).or(unreadable),
                next_try: failed.map(|failed| failed.next_try()),
            }
        });
        certificates.collect()
    }

    /// Has the certificate of a host replaced now, or ordered again after a failure. The present
    /// one is served until then. Returns whether an authority issues one for the host.
    ///
    /// # Errors
    ///
    /// Those of [`Store::list`](dubernetes_core::store::Store::list).
    pub async fn renew_certificate(&self, host: &HostName) -> Result<bool, StoreError> {
        let state = self.store.list().await?;
        let snapshot = self.snapshot();
        let default = snapshot.desired.default_tls.as_ref();
        let is_issued = state.apps.values().any(|stored| {
            stored
                .spec
                .tls_hosts(default)
                .any(|(own, tls)| own.name() == Some(host) && tls.authority().is_some())
        });
        if let Some(stored) = state.certificates.get(host).filter(|_| is_issued) {
            let now = self.clock.now();
            let issued = stored.issued.clone();
            let issued = issued.map(|issued| IssuedCertificate { renew_at: now, ..issued });
            let due = StoredCertificate { issued, failure: None };
            self.store.set_certificate(host, &due).await?;
        }
        Ok(is_issued)
    }

    /// Returns the certificate that clients have to trust, as PEM, so that they trust those of the
    /// instance's own authority; `None` if it has not issued any yet.
    ///
    /// # Errors
    ///
    /// Those of [`Store::authority_account`](dubernetes_core::store::Store::authority_account).
    pub async fn internal_root(&self) -> Result<Option<String>, StoreError> {
        let account = self.store.authority_account(Authority::Internal).await?;
        let Some((account, issuer)) = account.zip(self.issuer.as_ref()) else { return Ok(None) };
        let root = issuer.root(Authority::Internal, &account);
        root.map_err(|error| StoreError::Failed(SharedError::new(error)))
    }

    /// Checks that hosts with `tls` can be served over HTTPS, and the certificates of users, as far
    /// as their contents are known.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] with every problem.
    pub(super) async fn check_certificates(&self, spec: &AppSpec) -> Result<(), StoreError> {
        if spec.tls_hosts(None).next().is_none() {
            return Ok(());
        }
        let problems = match self.ingress.https_port() {
            None => vec![Problem {
                path: tls_path(spec, 0),
                message: "the orchestrator takes no requests over HTTPS".to_owned(),
                hint: Some("start it with `dubernetes serve --https-port 443`".to_owned()),
            }],
            Some(_) => {
                let resolved = self.store.resolve_secrets(spec.clone()).await?;
                let own = resolved.access.iter().enumerate().filter_map(|(at, access)| {
                    let Some(Tls::Provided(provided)) = &access.tls else { return None };
                    let (message, hint) = self.check_provided(provided, &access.hosts).err()?;
                    Some(Problem { path: tls_path(spec, at), message, hint: Some(hint.to_owned()) })
                });
                own.collect()
            }
        };
        if problems.is_empty() {
            return Ok(());
        }
        Err(StoreError::Invalid { name: spec.name.clone(), problems: InvalidSpec::new(problems) })
    }

    /// Checks the certificate of a user. Returns what is wrong and what to do.
    fn check_provided(
        &self,
        provided: &ProvidedTls,
        hosts: &[HostPattern],
    ) -> Result<(), (String, &'static str)> {
        let Some((pair, issuer)) = provided.pair().zip(self.issuer.as_ref()) else { return Ok(()) };
        let Some((chain, key)) = pair.pem() else { return Ok(()) };
        let info = issuer.inspect(chain, key).map_err(|why| {
            (why, "`cert` is the certificate as PEM, with those of its authorities, `key` its key")
        })?;
        if let Some(host) = hosts.iter().find(|host| !info.covers(host)) {
            let of: Vec<_> = info.hosts.iter().map(ToString::to_string).collect();
            let message = format!("the certificate is not for `{host}`, but for {}", of.join(", "));
            return Err((message, "use the certificate of that host"));
        }
        let now = self.clock.now();
        if info.not_after <= now {
            let message = format!("the certificate expired on {}", date(info.not_after));
            return Err((message, "renew it, and apply the app again"));
        }
        if info.not_before > now {
            let message = format!("the certificate is valid from {} on", date(info.not_before));
            return Err((message, "check the clock of this machine, or wait until then"));
        }
        Ok(())
    }
}

fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Returns the path of `tls` in an entry of `access`, which is a list only if it has several.
fn tls_path(spec: &AppSpec, at: usize) -> String {
    if spec.access.len() == 1 { "access.tls".to_owned() } else { format!("access.{at}.tls") }
}
