//! Check of the certificates that the orchestrator serves.

use dubernetes_api::wire::{Certificate, CertificateSource, CertificateState};
use jiff::{SignedDuration, Timestamp};

use super::check::Check;
use crate::report::Result;
use crate::settings::Settings;
use crate::target::find_running;

const NAME: &str = "certificates";
/// How long before it expires a certificate is reported that nothing renews.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Makes a check with a problem.
type Make = fn(&'static str, String, &'static str) -> Check;

/// Checks the certificates of the running orchestrator, if it has any.
pub(super) async fn run_check(settings: &Settings) -> Option<Check> {
    match fetch(settings).await {
        Ok(found) => check_certificates(&found, Timestamp::now()),
        Err(error) => Some(Check::warn(NAME, error.message(), "run the command again")),
    }
}

async fn fetch(settings: &Settings) -> Result<Vec<Certificate>> {
    match find_running(settings).await? {
        Some(client) => Ok(client.certificates().await?),
        None => Ok(Vec::new()),
    }
}

/// Reports the worst of all certificates.
fn check_certificates(found: &[Certificate], now: Timestamp) -> Option<Check> {
    let next = found.iter().filter_map(|one| Some((one.not_after?, one))).min_by_key(|one| one.0);
    let checks: [(_, Make); 3] = [
        (worst(found, is_unusable), Check::fail),
        (worst(found, |one| !one.message.is_empty()), Check::warn),
        (worst(found, |one| expires_soon(one, now)), Check::warn),
    ];
    for (bad, check) in checks {
        if let Some((one, others)) = bad {
            return Some(check(NAME, describe(one) + &others, help(one)));
        }
    }
    let count = match found.len() {
        0 => return None,
        1 => "1 certificate".to_owned(),
        count => format!("{count} certificates"),
    };
    Some(Check::ok(
        NAME,
        match next {
            Some((at, one)) => {
                format!("{count}; that of `{}` expires first, on {}", one.host, date(at))
            }
            None => format!("{count}, in order"),
        },
    ))
}

/// Returns the first certificate of these, and how many others there are.
fn worst(
    found: &[Certificate],
    is_bad: impl Fn(&Certificate) -> bool,
) -> Option<(&Certificate, String)> {
    let mut bad = found.iter().filter(|one| is_bad(one));
    let first = bad.next()?;
    Some((
        first,
        match bad.count() {
            0 => String::new(),
            count => format!("; {count} more like this"),
        },
    ))
}

fn is_unusable(one: &Certificate) -> bool {
    matches!(one.state, CertificateState::Expired | CertificateState::Failed)
}

/// Whether a certificate expires soon. One that an authority issues for a short time is not
/// reported before its renewal is due.
fn expires_soon(one: &Certificate, now: Timestamp) -> bool {
    let is_due = one.renew_at.is_none_or(|at| at <= now);
    is_due && one.not_after.is_some_and(|at| at.duration_since(now) < SOON)
}

fn describe(one: &Certificate) -> String {
    let host = &one.host;
    let date = one.not_after.map_or_else(String::new, date);
    let why = if one.message.is_empty() { String::new() } else { format!(": {}", one.message) };
    match one.state {
        CertificateState::Failed => format!("`{host}` has no certificate{why}"),
        CertificateState::Expired => format!("the certificate of `{host}` expired on {date}{why}"),
        CertificateState::Served | CertificateState::Pending if why.is_empty() => {
            format!("the certificate of `{host}` expires on {date}")
        }
        CertificateState::Served | CertificateState::Pending => {
            format!("the certificate of `{host}` is not renewed, and expires on {date}{why}")
        }
    }
}

fn help(one: &Certificate) -> &'static str {
    match one.source {
        CertificateSource::Auto => {
            "the authority must reach port 80 of the host; `get certificates` says when the order \
             is repeated"
        }
        CertificateSource::Internal => "`dubernetes get certificates` says when it is tried again",
        CertificateSource::Provided => "renew it, and apply the app with the new one",
    }
}

fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::super::check::CheckResult;
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn days(days: i64) -> Timestamp {
        NOW.saturating_add(SignedDuration::from_hours(24 * days)).unwrap()
    }

    /// Returns a served certificate that expires after some days.
    fn served(host: &str, source: CertificateSource, expires: i64) -> Certificate {
        let is_provided = source == CertificateSource::Provided;
        Certificate {
            host: host.parse().unwrap(),
            app: "web".parse().unwrap(),
            source,
            state: CertificateState::Served,
            issuer: None,
            not_before: None,
            not_after: Some(days(expires)),
            renew_at: (!is_provided).then(|| days(expires - 30)),
            message: String::new(),
            next_try: None,
        }
    }

    fn failed(state: CertificateState, message: &str) -> Certificate {
        let not_after = (state != CertificateState::Failed).then(|| days(-1));
        let message = message.to_owned();
        Certificate { state, message, not_after, ..served("x.test", CertificateSource::Auto, 9) }
    }

    #[test]
    fn worst_certificate_is_reported() {
        use CertificateSource::{Auto, Provided};
        assert_eq!(check_certificates(&[], NOW), None);
        let fine = || vec![served("a.test", Auto, 90), served("b.test", Provided, 60)];
        let renewing = Certificate { message: "it is away".into(), ..served("c.test", Auto, 20) };
        let short = Certificate { renew_at: Some(days(2)), ..served("s.test", Auto, 6) };
        let pending = Certificate {
            state: CertificateState::Pending,
            not_after: None,
            ..served("p.test", Auto, 0)
        };
        let broken = failed(CertificateState::Failed, "no A record");
        let expired = failed(CertificateState::Expired, "");
        for (more, result, message) in [
            (
                vec![],
                CheckResult::Ok,
                "2 certificates; that of `b.test` expires first, on 1970-03-02",
            ),
            (vec![short], CheckResult::Ok, "3 certificates; that of `s.test` expires first"),
            (vec![pending], CheckResult::Ok, "3 certificates; that of `b.test`"),
            (
                vec![renewing.clone()],
                CheckResult::Warn,
                "`c.test` is not renewed, and expires on 1970-01-21: it is away",
            ),
            (
                vec![served("d.test", Provided, 13)],
                CheckResult::Warn,
                "`d.test` expires on 1970-01-14",
            ),
            (vec![served("d.test", Provided, 14)], CheckResult::Ok, "3 certificates"),
            (
                vec![renewing, broken.clone(), broken],
                CheckResult::Fail,
                "`x.test` has no certificate: no A record; 1 more like this",
            ),
            (vec![expired], CheckResult::Fail, "`x.test` expired on 1969-12-31"),
        ] {
            let check = check_certificates(&[fine(), more].concat(), NOW).unwrap();
            assert_eq!(check.result, result, "{check:?}");
            assert!(check.message.contains(message), "{check:?}");
            assert_eq!(check.help.is_some(), result != CheckResult::Ok);
        }
    }

    #[test]
    fn help_depends_on_where_the_certificate_comes_from() {
        let help = |source| {
            let expired =
                Certificate { state: CertificateState::Expired, ..served("a.test", source, -1) };
            check_certificates(&[expired], NOW).unwrap().help.unwrap()
        };
        assert!(help(CertificateSource::Provided).contains("apply the app"));
        assert!(help(CertificateSource::Auto).contains("port 80"));
        assert!(help(CertificateSource::Internal).contains("get certificates"));
    }
}
