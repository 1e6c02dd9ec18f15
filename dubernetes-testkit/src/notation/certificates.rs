//! Certificates of hosts.

use dubernetes_core::app::{HostName, Secret};
use dubernetes_core::call::{CallFailure, FailureKind};
use dubernetes_core::certificate::{
    Authority, IssueFailure, IssuedCertificate, KeyPair, StoredCertificate,
};
use dubernetes_core::ingress::HostTls;
use jiff::SignedDuration;

use super::line::Line;
use super::{NOW, Parser, before};

impl Parser {
    pub(super) fn certificate(&mut self, line: &mut Line) -> Result<(), String> {
        let authority = if line.take_word("internal") {
            Authority::Internal
        } else if line.take_word("acme") {
            Authority::Acme
        } else {
            return Err("an authority is `internal` or `acme`".to_owned());
        };
        let is_served = line.take_word("served");
        let is_permanent = line.take_word("permanent");
        let renew_in = line.take_span("renew-in")?;
        let due = line.take_span("due")?.map(|ago| before(Some(ago)));
        let times: Option<u32> = line.take_value("times")?;
        let host: HostName = line.require_name("the host is missing")?;
        let renew_at = renew_in.map(|span| NOW.saturating_add(span).unwrap_or(NOW)).or(due);
        let issued = renew_at.map(|renew_at| {
            let third = SignedDuration::from_hours(30 * 24);
            IssuedCertificate {
                authority,
                pair: KeyPair::from_hash(Secret::new(host.to_string()).hash()),
                not_before: renew_at.saturating_sub(third.saturating_mul(2)).unwrap_or(NOW),
                not_after: renew_at.saturating_add(third).unwrap_or(NOW),
                renew_at,
            }
        });
        let failure = times.map(|count| -> Result<IssueFailure, String> {
            let at = before(line.take_span("ago")?);
            let message = line.take_message()?;
            let kind = if is_permanent { FailureKind::Permanent } else { FailureKind::Transient };
            let failure = CallFailure { count, at, message, kind };
            Ok(IssueFailure { authority, failure, retry_at: None })
        });
        if is_served {
            self.served_hosts.insert(host.clone());
        }
        let stored = StoredCertificate { issued, failure: failure.transpose()? };
        self.scenario.desired.certificates.insert(host, stored);
        Ok(())
    }

    /// Returns what the ingress serves over HTTPS: the hosts of all apps, those that are not
    /// `served` without a certificate.
    pub(super) fn tls(&self) -> Vec<HostTls> {
        let desired = &self.scenario.desired;
        if self.scenario.observed.https_port.is_none() {
            return Vec::new();
        }
        let hosts = desired.apps.iter().flat_map(|(app, stored)| {
            stored.spec.tls_hosts(None).filter_map(move |(host, tls)| {
                let name = host.name()?;
                let served =
                    self.served_hosts.contains(name).then(|| desired.certificates.get(name));
                let issued = served.flatten().and_then(|stored| stored.issued.as_ref());
                Some(HostTls {
                    host: host.clone(),
                    app: app.clone(),
                    certificate: issued.map(|issued| issued.pair.clone()),
                    answers_challenges: tls.authority() == Some(Authority::Acme),
                })
            })
        });
        let mut hosts: Vec<_> = hosts.collect();
        hosts.sort_by(|a, b| (&a.host, &a.app).cmp(&(&b.host, &b.app)));
        hosts.dedup_by(|later, first| later.host == first.host);
        hosts
    }
}
