//! The JSON of a plan, for programs that read it.

use dubernetes_core::reconcile;
use dubernetes_testkit::notation;
use serde_json::json;

#[test]
fn plan_serializes_with_stable_snake_case_tags() {
    let given = notation::parse(
        "network
         app web replicas=1 host=web.local
         web-1 exited code=3 ran=1s ago=0s restarts=2
         ghost-1 ready
         tombstone gone ago=3m",
    );
    let given = given.unwrap();
    let plan = reconcile(&given.desired, &given.observed, given.now);
    let mut json = serde_json::to_value(&plan).unwrap();
    let statuses = json.as_object_mut().unwrap().remove("statuses").unwrap();
    let expected = json!({
        "actions": [{
            "app": "gone",
            "action": { "type": "purge_tombstone", "app": "gone" },
            "reason": { "type": "nothing_left" },
        }],
        "waiting": [{
            "app": "web",
            "pod": "web-1",
            "wait": { "type": "back_off", "cause": "exit code 3 after 1.0s", "restarts": 2 },
            "until": "2027-01-15T12:00:02Z",
        }],
        "blocked": [{
            "app": "ghost",
            "block": { "type": "orphans", "containers": ["dubernetes.default.ghost-1.r1"] },
        }],
        "routes": {
            "table": {
                "routes": [{ "host": "web.local", "path": "/", "app": "web", "endpoints": [] }],
                "listeners": [{
                    "app": "web",
                    "address": "10.9.2.246",
                    "port": 80,
                    "protocol": "http",
                    "endpoints": [],
                }],
            },
            "step": "apply",
        },
        "drain_checks": [],
        "next_drain_check": null,
    });
    assert_eq!(json, expected, "{json:#}");
    let (web, pod) = (&statuses["web"], &statuses["web"]["pods"][0]);
    assert_eq!(
        (&web["phase"], &web["desired"], &web["ready"]),
        (&json!("Failed"), &json!(1), &json!(0))
    );
    assert_eq!((&pod["name"], &pod["state"]), (&json!("web-1"), &json!("BackOff")));
}

/// An environment may hold secrets, so a container to be created is only named.
#[test]
fn created_container_serializes_as_its_name() {
    let given = notation::parse("network\napp web replicas=1").unwrap();
    let plan = reconcile(&given.desired, &given.observed, given.now);
    let action = serde_json::to_value(&plan.actions[0].action).unwrap();
    assert_eq!(action["type"], "create");
    assert_eq!(action["container"], "dubernetes.default.web-1.r1");
}
