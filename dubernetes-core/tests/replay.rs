//! Replays of recorded decisions, and the text of their input.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use dubernetes_core::app::{EnvName, ImageRef, RevisionId};
use dubernetes_core::reconcile;
use dubernetes_core::replay::Decision;
use dubernetes_core::store::{Outcome, Revision, RevisionCause, RevisionFailure, RevisionRollout};
use dubernetes_testkit::build::app_name;
use dubernetes_testkit::notation;

fn decision(text: &str) -> Decision {
    let given = notation::parse(text).unwrap();
    let plan = reconcile(&given.desired, &given.observed, given.now).to_string();
    let (desired, observed, at) = (given.desired, given.observed, given.now);
    Decision { at, desired, observed, plan }
}

const ROLLOUT: &str = "
    network
    app web rev=2 replicas=2 host=web.local
    web-1 rev=1 ready routed
    web-2 rev=1 exited code=3 ran=1.0s ago=10s restarts=2
    web-3 unready msg=\"connection refused\" ready-until=4s
    quarantined web msg=\"no\"
    active ago=7s
    gone-1 rev=1 draining=5s ready
    tombstone gone ago=10s
    in-flight container web-3
    failed create web-4 2 msg=\"no space\" times=2 ago=1s
";

#[test]
fn decision_round_trips_through_json() {
    let decision = decision(ROLLOUT);
    let text = serde_json::to_string(&decision).unwrap();
    let read: Decision = serde_json::from_str(&text).unwrap();
    assert_eq!(read, decision);
    assert_eq!(read.replay().to_string(), decision.plan);
}

#[test]
fn decision_input_uses_scenario_notation() {
    let expected = "\
active ago=7.0s
quarantined web msg=\"no\"
network 10.9.0.0/22
ingress serving
app web rev=2 gen=2 image=web:2 replicas=2 host=web.local
tombstone gone ago=10s
";
    let input = decision(ROLLOUT).input();
    assert!(input.starts_with(expected), "{input}");
    for line in [
        "web-1 rev=1 ready ago=1m0s address=",
        "exited code=3 ran=1.0s ago=10s restarts=2 streak=2 address=",
        "msg=\"connection refused\"",
        "draining=5.0s",
        " ready-until=4.0s",
        "in-flight container web-3 rev=2 restarts=0\n",
        "failed create web-4 2 times=2 ago=1.0s msg=\"no space\"\n",
    ] {
        assert!(input.contains(line), "{line}\n{input}");
    }
}

/// Two revisions differ only in a secret, and one replica of each runs.
#[test]
fn masking_hides_values_and_keeps_the_plan() {
    let mut decision = decision(
        "network
         app web rev=2 replicas=2
         web-1 rev=1 ready
         web-2 rev=2 ready",
    );
    let name = app_name("web");
    let stored = decision.desired.apps.get_mut(&name).unwrap();
    stored.spec.update(|spec| spec.artifact = ImageRef::parse("web:1").unwrap().into());
    let mut specs = [stored.spec.clone(), stored.spec.clone()];
    for (spec, secret) in specs.iter_mut().zip(["hunter2", "hunter3"]) {
        let name = EnvName::parse("TOKEN").unwrap();
        spec.update(|spec| drop(spec.env.insert(name, secret.into())));
    }
    stored.spec = specs[1].clone();
    let failure = RevisionFailure {
        at: decision.at,
        reason: "exit code 3".to_owned(),
        pod: None,
        log: vec!["my token is hunter2".to_owned()],
        call: None,
    };
    let rollout = RevisionRollout {
        outcome: Outcome::Failed(Box::new(failure.clone())),
        ..RevisionRollout::default()
    };
    stored.rollout.cause = RevisionCause::RollBack {
        from: RevisionId(1),
        to: RevisionId(1),
        failure: Box::new(failure),
    };
    let old = Revision {
        revision: RevisionId(1),
        spec: specs[0].clone(),
        image_id: stored.image_id.clone(),
        created_at: decision.at,
        rollout,
    };
    decision.desired.revisions.insert(name, vec![old]);
    for (replica, spec) in decision.observed.replicas.iter_mut().zip(&specs) {
        replica.labels.spec_hash = dubernetes_core::identity::spec_hash(spec);
    }
    decision.plan = decision.replay().to_string();
    assert!(decision.plan.contains("web-"), "one of them is outdated: {}", decision.plan);
    decision.mask_environment(|value| {
        format!("masked {}", value.len() + usize::from(value.ends_with('3')))
    });
    let text = serde_json::to_string(&decision).unwrap();
    assert!(text.contains("masked 8") && !text.contains("hunter"), "{text}");
    assert_eq!(decision.replay().to_string(), decision.plan);
}

#[test]
fn decision_about_an_app_leaves_out_the_others() {
    let both = "
        network
        app shop rev=1 replicas=1 host=shop.local
        app web rev=1 replicas=2 host=web.local
        shop-1 unready msg=\"shop refuses\"
        web-1 ready routed
        quarantined shop msg=\"no\"
        failed create shop-1 1 msg=\"no space\" times=2 ago=1s
        lacks statistics
    ";
    let made = decision(both);
    let all = made.plan.clone();
    let web = made.clone().about(&app_name("web")).unwrap();
    assert!(web.is_reproduced);
    assert_eq!(web.desired, ["app web rev=1 gen=1 image=web:1 replicas=2 host=web.local"]);
    let text = [web.observed.join("\n"), web.plan.join("\n")].join("\n");
    assert!(!text.contains("shop") && !text.contains("lacks"), "{text}");
    for part in ["ingress serving", "web-1 rev=1 ready", "create   web-2        2 replicas"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(made.clone().about(&app_name("gone")).is_none());

    let mut changed = made.clone();
    changed.plan = "another plan\n".to_owned();
    let changed = changed.about(&app_name("web")).unwrap();
    assert_eq!((changed.is_reproduced, changed.plan.join(" ")), (false, "another plan".to_owned()));

    // The other app has changed.
    let later = decision(&both.replace("shop-1 unready msg=\"shop refuses\"", "shop-1 ready"));
    assert_ne!(later.plan, all);
    assert!(web.is_repeated_by(&later.about(&app_name("web")).unwrap()));
    let later = decision(&both.replace("web-1 ready routed", "web-1 unready msg=\"no\" routed"));
    assert!(!web.is_repeated_by(&later.about(&app_name("web")).unwrap()));
}
