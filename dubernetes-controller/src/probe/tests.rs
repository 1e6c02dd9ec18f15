//! When a replica counts as ready, and when it is to be replaced.

use super::*;
use dubernetes_core::app::{Check, Health};
use dubernetes_testkit::notation;

/// The readiness after each answer, one a second from the start: `+` good, `-` bad.
fn readiness(health: &Health, answers: &str) -> String {
    let given = notation::parse("network\napp web replicas=1 host=a.test\nweb-1 unknown ago=0s");
    let given = given.unwrap();
    let replica = &given.observed.replicas[0];
    let mut spec = given.desired.apps.values().next().unwrap().spec.clone();
    spec.update(|spec| spec.health = Some(health.clone()));
    let mut probes = Probes::default();
    let probe = ProbeSpec::new(replica, &spec, &spec);
    let mut instant = Instant::now();
    probes.follow(&given.observed.replicas, |_| probe.clone(), instant);
    let mut now = given.now;
    let told = answers.chars().map(|answer| {
        let attempts = probes.take_due(instant + Duration::from_secs(60));
        assert_eq!(attempts.len(), 1);
        now = now.saturating_add(SignedDuration::from_secs(1)).unwrap();
        instant += Duration::from_secs(1);
        let answer = match answer {
            '+' => ProbeAnswer::Connected,
            _ => ProbeAnswer::Failed { reason: "connection refused".to_owned() },
        };
        probes.on_answer(&attempts[0], &answer, now, instant);
        match probes.readiness(&replica.id, now) {
            Readiness::Unknown => '?',
            Readiness::Settling { .. } => 's',
            Readiness::Ready { .. } => 'r',
            Readiness::NotReady { .. } => 'n',
            Readiness::Unhealthy { .. } => 'U',
        }
    });
    told.collect()
}

#[tokio::test]
async fn answers_in_a_row_decide() {
    let second = dubernetes_core::app::Duration::from_secs(1);
    let default = Health { interval: second, timeout: second, ..Health::new(Check::Tcp) };
    let rare = Health { interval: dubernetes_core::app::Duration::from_secs(5), ..default.clone() };
    let slow =
        Health { start_period: dubernetes_core::app::Duration::from_secs(5), ..default.clone() };
    let strict = Health { success: 3, failures: 1, replace_after: 2, ..default.clone() };
    for (health, answers, expected) in [
        // One good answer makes it ready, two bad ones take it out, six replace it.
        (&default, "-+-+--+------", "nrrrrnrrnnnnU"),
        // However often one that is not ready is asked, one failure an interval counts.
        (&rare, "+-------------------------------", "rrnnnnnnnnnnnnnnnnnnnnnnnnUUUUUU"),
        // One that was never ready has a minute.
        (&default, "---------", "nnnnnnnnn"),
        (&slow, "------------", "nnnnnnnnnnUU"),
        (&strict, "++-+++--+", "??nnnrnUU"),
    ] {
        assert_eq!(readiness(health, answers), expected, "{answers} {health:?}");
    }
}
