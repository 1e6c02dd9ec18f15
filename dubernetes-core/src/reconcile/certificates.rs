//! The certificates of hosts that are served over HTTPS: which one each host gets, when one is
//! ordered or renewed, and when one is dropped.

use std::collections::BTreeMap;

use crate::app::{AppName, HostName, HostPattern, Tls};
use crate::call::OperationKey;
use crate::certificate::{Authority, IssuedCertificate, StoredCertificate};
use crate::ingress::HostTls;
use crate::plan::{Action, Block, Planned, Reason, Wait};
use crate::state::DesiredState;

use super::app::App;
use super::backoff::attempt;
use super::context::Context;
use super::step::Step;

/// Returns the hosts of an app that are served over HTTPS, and the next step towards each
/// certificate.
pub(super) fn plan(context: &Context<'_>, app: &App<'_>) -> (Vec<HostTls>, Vec<Step>) {
    let wanted = wanted_by(context, app);
    if wanted.is_empty() {
        return (Vec::new(), Vec::new());
    }
    if context.observed.https_port.is_none() {
        return (Vec::new(), vec![Step::block(Some(app.name()), Block::NoHttps)]);
    }
    let hosts = wanted.iter().map(|(host, tls)| host_tls(context, app.name(), host, tls));
    let steps = wanted.iter().filter_map(|(host, tls)| {
        let (host, authority) = (host.name()?, tls.authority()?);
        next_step(context, app.name(), host, authority)
    });
    (hosts.collect(), steps.collect())
}

/// Returns which app brings the certificate of each host: of several with routes of one host, the
/// first one with `tls`.
pub(super) fn owners(desired: &DesiredState) -> BTreeMap<&HostPattern, &AppName> {
    let mut owners = BTreeMap::new();
    for (app, stored) in &desired.apps {
        for (host, _) in stored.spec.tls_hosts(desired.default_tls.as_ref()) {
            owners.entry(host).or_insert(app);
        }
    }
    owners
}

/// Returns the hosts for which an app brings the certificate, each once.
fn wanted_by<'a>(context: &Context<'a>, app: &App<'a>) -> BTreeMap<&'a HostPattern, &'a Tls> {
    let is_own = |host: &HostPattern| context.tls_owners.get(host) == Some(&app.name());
    let mut wanted = BTreeMap::new();
    let hosts = app.stored.spec.tls_hosts(context.desired.default_tls.as_ref());
    for (host, tls) in hosts.filter(|(host, _)| is_own(host)) {
        wanted.entry(host).or_insert(tls);
    }
    wanted
}

fn host_tls(context: &Context<'_>, app: &AppName, host: &HostPattern, tls: &Tls) -> HostTls {
    let issued = || Some(issued(context, host.name()?)?.pair.clone());
    let certificate = match tls {
        Tls::Provided(provided) => provided.pair(),
        Tls::Issued(_) => issued(),
    };
    let answers_challenges = tls.authority() == Some(Authority::Acme);
    HostTls { host: host.clone(), app: app.clone(), certificate, answers_challenges }
}

fn issued<'a>(context: &Context<'a>, host: &HostName) -> Option<&'a IssuedCertificate> {
    context.desired.certificates.get(host)?.issued.as_ref()
}

/// Returns the order of a certificate that is missing or due, or what it waits for.
fn next_step(
    context: &Context<'_>,
    app: &AppName,
    host: &HostName,
    authority: Authority,
) -> Option<Step> {
    let issued = issued(context, host);
    let reason = match issued {
        None => Reason::NoCertificate { authority },
        Some(issued) if issued.authority != authority => Reason::OtherAuthority { authority },
        Some(issued) if issued.renew_at <= context.now => {
            Reason::CertificateDue { not_after: issued.not_after }
        }
        Some(_) => return None,
    };
    let key = OperationKey::Certificate(host.clone());
    if context.observed.in_flight.contains_key(&key) {
        return Some(Step::wait(app, None, Wait::Certificate { host: host.clone() }, None));
    }
    let stored = context.desired.certificates.get(host);
    let failure = stored.and_then(|stored| stored.failure.as_ref());
    let waits =
        failure.filter(|failed| failed.authority == authority && failed.next_try() > context.now);
    if let Some(failed) = waits {
        let wait = Wait::Retry { call: key, failure: failed.failure.clone() };
        return Some(Step::wait(app, None, wait, Some(failed.next_try())));
    }
    let served = context.observed.ingress.table();
    let is_asked = served.is_some_and(|table| {
        table.tls.iter().any(|tls| tls.host.name() == Some(host) && tls.answers_challenges)
    });
    if authority == Authority::Acme && !is_asked {
        // The authority asks the ingress, which has to know the host before.
        return Some(Step::wait(app, None, Wait::Certificate { host: host.clone() }, None));
    }
    let action = Action::IssueCertificate { host: host.clone(), authority };
    Some(attempt(context, app, Planned::for_app(app, action, reason)))
}

/// Whether the ingress serves these hosts over HTTPS, of those that an app brings certificates for.
pub(super) fn are_served(served: &[&HostTls], wanted: &[HostTls]) -> bool {
    served.iter().copied().eq(wanted) && wanted.iter().all(|tls| tls.certificate.is_some())
}

/// Drops what is stored about hosts that no app has any more. A certificate is kept until it
/// expires: an app that comes back needs no other one.
pub(super) fn garbage(context: &Context<'_>) -> Vec<Step> {
    let is_expired = |stored: &StoredCertificate| {
        stored.issued.as_ref().is_none_or(|issued| issued.not_after <= context.now)
    };
    let is_wanted =
        |host: &HostName| context.tls_owners.contains_key(&HostPattern::Exact(host.clone()));
    let dropped = context.desired.certificates.iter();
    let dropped = dropped.filter(|(host, stored)| is_expired(stored) && !is_wanted(host));
    let step = |(host, _): (&HostName, _)| {
        let action = Action::DropCertificate { host: host.clone() };
        attempt(context, None, Planned::for_instance(action, Reason::HostGone))
    };
    dropped.map(step).collect()
}
