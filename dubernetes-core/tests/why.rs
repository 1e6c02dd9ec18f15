//! Explanations: each file under `tests/whys` is one cause; and what holds of the explanation of
//! every scenario.
//!
//! A file is a story (`#`), `given:` in the notation of [`dubernetes_testkit::notation`], and a
//! section `why NAME:` for an app or a pod. `DUBERNETES_UPDATE_GOLDEN=1` rewrites the latter.
#![expect(clippy::unwrap_used, reason = "what cannot be read or written fails the test")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use dubernetes_core::app::{AppName, PodName, RevisionId};
use dubernetes_core::call::OperationKey;
use dubernetes_core::event::{Event, EventKind};
use dubernetes_core::ingress::AnswerProblem;
use dubernetes_core::plan::{Cause, Phase, Plan};
use dubernetes_core::store::Outcome;
use dubernetes_core::why::{self, ChainStep, ExplainInput, LINE_LENGTH, Why};
use dubernetes_testkit::notation::{self, Scenario};

/// The indentation of a section's text.
const INDENT: &str = "       ";

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The text from `given:` up to the next section.
fn given(text: &str) -> Scenario {
    let lines = text.lines().skip_while(|line| !line.starts_with("given:"));
    let first = lines.clone().take(1).map(|line| line.trim_start_matches("given:"));
    let rest = lines.skip(1).take_while(|line| line.starts_with(INDENT));
    let text: Vec<_> = first.chain(rest).map(str::trim).collect();
    notation::parse(&text.join("\n")).unwrap()
}

struct Case {
    given: Scenario,
    plan: Plan,
    events: Vec<Event>,
}

impl Case {
    fn new(given: Scenario) -> Self {
        let plan = dubernetes_core::reconcile(&given.desired, &given.observed, given.now);
        Self { given, plan, events: Vec::new() }
    }

    fn input(&self) -> ExplainInput<'_> {
        let Scenario { desired, observed, now } = &self.given;
        let requeue_at = self.plan.requeue_at();
        ExplainInput {
            desired,
            observed,
            plan: &self.plan,
            events: &self.events,
            requeue_at,
            now: *now,
        }
    }

    fn why(&self, name: &str) -> Option<Why> {
        let app = AppName::parse(name).unwrap();
        why::explain_app(&self.input(), &app).or_else(|| why::explain_pod(&self.input(), name))
    }
}

fn text(why: &Why) -> String {
    let mut text = format!("{}\n", why.headline());
    for link in &why.chain {
        writeln!(text, "{:<9}{} | {}", link.step, link.text, link.detail).unwrap();
    }
    for help in &why.help {
        writeln!(text, "help     {help}").unwrap();
    }
    text.lines().map(|line| line.trim_end_matches([' ', '|']).to_owned() + "\n").collect()
}

#[test]
fn every_cause_yields_its_explanation() {
    let update = std::env::var_os("DUBERNETES_UPDATE_GOLDEN").is_some();
    let files = files("whys");
    assert!(files.len() > 10, "the stories are missing");
    for file in files {
        let written = fs::read_to_string(&file).unwrap();
        let case = Case::new(given(&written));
        let (mut found, mut asked) = (String::new(), 0);
        for line in written.lines() {
            let name = line.strip_prefix("why ").and_then(|rest| rest.split_once(':'));
            if let Some((name, _)) = name {
                asked += 1;
                let why = case.why(name).unwrap_or_else(|| panic!("{name} in {}", file.display()));
                writeln!(found, "why {name}:").unwrap();
                text(&why).lines().for_each(|line| writeln!(found, "{INDENT}{line}").unwrap());
            } else if asked == 0 {
                writeln!(found, "{line}").unwrap();
            }
        }
        assert!(asked > 0, "{} asks nothing", file.display());
        if update {
            fs::write(&file, found).unwrap();
        } else {
            assert_eq!(found, written, "{}", file.display());
        }
    }
}

#[test]
fn app_that_finds_no_address_for_its_name_says_so() {
    let apps = (0..256).map(|n| format!("app a{n:03} replicas=0 port=5432\n"));
    let last = "app zoo replicas=0 port=5432 publish=5432:5432";
    let text: String = ["network\n".to_owned()].into_iter().chain(apps).collect();
    let case = Case::new(notation::parse(&(text + last)).unwrap());
    let why = case.why("zoo").unwrap();
    assert_eq!(
        why.headline(),
        "zoo is Failed: other apps cannot reach it by its name, and its `ports` are not \
         published: all 256 addresses for names are in use"
    );
    assert_eq!(why.help, ["delete an app with `access` or `port`, or use a second instance"]);
    assert!(!case.why("a255").unwrap().cause.contains("addresses"));
}

#[test]
fn every_scenario_has_a_full_explanation() {
    let files = files("scenarios");
    assert!(files.len() > 25, "the scenarios are missing");
    for file in files {
        let case = Case::new(given(&fs::read_to_string(&file).unwrap()));
        for (name, status) in &case.plan.statuses {
            let why = case.why(name.as_str()).unwrap();
            let place = format!("{}: {}", file.display(), text(&why));
            assert_eq!(status.cause.to_string(), status.message, "{place}");
            assert!(why.headline().ends_with(&status.message), "{place}");
            let is_well = matches!(status.cause, Cause::None);
            assert!(is_well || status.phase != Phase::Ready || status.ready > 0, "{place}");
            let steps: Vec<_> = why.chain.iter().map(|link| link.step).collect();
            assert!(steps.is_sorted(), "{place}");
            for step in
                [ChainStep::Desired, ChainStep::Observed, ChainStep::Rule, ChainStep::Decision]
            {
                assert!(steps.contains(&step), "{place}");
            }
            assert!(why.chain.iter().all(|link| !link.text.is_empty()), "{place}");
            for pod in &status.pods {
                let why = why::explain_pod(&case.input(), pod.name.as_str()).unwrap();
                assert!(why.headline().starts_with(&format!("{} is ", pod.name)), "{place}");
            }
        }
    }
}

#[test]
fn result_is_the_newest_warning_about_the_culprit() {
    let mut case = Case::new(
        notation::parse("network\napp web host=web.local\nweb-1 exited code=1 ago=0s restarts=3")
            .unwrap(),
    );
    let event = |id, kind, pod: Option<&str>, reason: &str| Event {
        id,
        time: case.given.now,
        first_at: case.given.now,
        kind,
        app: Some("web".parse().unwrap()),
        pod: pod.map(|pod| PodName::parse(pod).unwrap()),
        revision: None,
        reason: reason.to_owned(),
        message: "why".to_owned(),
        count: id,
    };
    let events = vec![
        event(1, EventKind::Warning, Some("web-2"), "Other"),
        event(2, EventKind::Warning, Some("web-1"), "Exited"),
        event(3, EventKind::Normal, Some("web-1"), "Created"),
        event(4, EventKind::Normal, None, "Routed"),
    ];
    case.events = events;
    let why = case.why("web").unwrap();
    let result = why.chain.iter().find(|link| link.step == ChainStep::Result).unwrap();
    assert_eq!(
        (result.text.as_str(), result.detail.as_str()),
        ("Exited, 2 times", "why, 0.0s ago")
    );
    let (pod, container) = why::app_evidence(&case.input(), &"web".parse().unwrap()).unwrap();
    assert_eq!((pod.as_str(), container.0.contains("web-1")), ("web-1", true));
}

#[test]
fn answer_that_the_ingress_cannot_pass_on_is_shown_with_its_pod() {
    let case = "network\napp web replicas=2 host=web.test\nweb-1 ready\nweb-2 ready";
    let case = Case::new(notation::parse(case).unwrap());
    let input = case.input();
    let replica = input.observed.replicas.iter().find(|r| r.pod() == "web-2").unwrap();
    let ago = |seconds| input.now - jiff::SignedDuration::from_secs(seconds);
    let problem = AnswerProblem {
        endpoint: replica.endpoint.unwrap(),
        what: "its headers are too long".to_owned(),
        remedy: "send fewer headers".to_owned(),
        count: 3,
        first: ago(70),
        last: ago(10),
    };
    let other = AnswerProblem { endpoint: "192.0.2.1:80".parse().unwrap(), ..problem.clone() };
    let problems = [other, problem];
    let why = case.why("web").unwrap().with_answer_problems(&input, &problems);
    let shown = text(&why);
    let line = "observed the ingress answered in place of web-2: its headers are too long | \
                3 times within 1m0s, last 10s ago\n";
    assert!(shown.contains(line), "{shown}");
    assert_eq!(
        (shown.matches("the ingress answered").count(), why.help.last().unwrap().as_str()),
        (1, "send fewer headers")
    );
    let steps = Vec::from_iter(why.chain.iter().map(|link| link.step));
    assert!(steps.is_sorted(), "{steps:?}");
    let of_pod = case.why("web-1").unwrap().with_answer_problems(&input, &problems);
    assert!(!text(&of_pod).contains("the ingress answered"), "it is about another pod");
}

#[test]
fn output_is_escaped_and_truncated() {
    let case = Case::new(notation::parse("network\napp web\nweb-1 exited restarts=1").unwrap());
    let lines = ["\u{1b}[2Jred".to_owned(), "x".repeat(LINE_LENGTH + 1)];
    let why = case.why("web").unwrap().with_output("web-1".parse().unwrap(), &lines);
    let lines = why.output.unwrap().lines;
    assert_eq!(lines[0], "\\u{1b}[2Jred");
    assert_eq!(lines[1], format!("{}...", "x".repeat(LINE_LENGTH)));
    let silent = case.why("web").unwrap().with_output("web-1".parse().unwrap(), &[]);
    assert_eq!(silent.output, None);
}

#[test]
fn unknown_names_have_no_explanation() {
    let case = Case::new(notation::parse("network\napp web\nweb-1 ready").unwrap());
    assert_eq!(case.why("unknown"), None);
    assert_eq!(case.why("web-7"), None);
}

/// The remedy follows from the failed call, whatever the texts say.
#[test]
fn failed_revision_is_explained_by_its_failed_call() {
    let given = "network
        app web rev=2 unpinned host=web.local failed msg=\"registry denies access\"
        failed image web msg=\"denied\" times=3 ago=1s image-denied";
    let mut given = notation::parse(given).unwrap();
    let name = AppName::parse("web").unwrap();
    let help = |given: &Scenario| Case::new(given.clone()).why("web").unwrap().help;
    assert!(help(&given)[0].starts_with("correct the file of `web`"), "{:?}", help(&given));
    let stored = given.desired.apps.get_mut(&name).unwrap();
    if let Outcome::Failed(failure) = &mut stored.rollout.outcome {
        failure.call = Some(OperationKey::Image { app: name, revision: RevisionId(2) });
    }
    assert!(help(&given)[0].starts_with("run `docker login`"), "{:?}", help(&given));
}
