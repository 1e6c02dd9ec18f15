//! The ring of an app, and its numbers from counters that start again or are missing.

use dubernetes_testkit::build::app_name;

use super::*;

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn stats(at: i64, cpu_millis: u64) -> Stats {
    Stats { cpu_nanos: cpu_millis * 1_000_000, memory_bytes: 100, read_at: second(at) }
}

#[test]
fn hour_of_each_existing_app_is_kept() {
    let history = History::default();
    let point = |at| HistoryPoint { at: second(at), cpu: None, memory: Some(1), requests: None };
    let (web, shop) = (app_name("web"), app_name("shop"));
    for minute in 0..100 {
        let apps = [(web.clone(), point(minute)), (shop.clone(), point(minute))];
        history.add(true, apps.into());
    }
    let kept = history.of_app(&web);
    assert_eq!((kept.points.len(), kept.counts_requests), (60, true));
    assert_eq!((kept.points[0].at, kept.points[59].at), (second(40), second(99)));
    history.add(false, [(web.clone(), point(100))].into());
    assert_eq!(history.of_app(&shop), AppHistory::default(), "it was deleted");
    assert_eq!(history.of_app(&web).points.len(), 60);
}

#[test]
fn rates_never_fall_below_zero() {
    let start = Instant::now();
    let counts = |seconds, by_class| Counts {
        read_at: start + Duration::from_secs(seconds),
        apps: [(app_name("web"), RequestCounts { by_class, ..RequestCounts::default() })].into(),
    };
    let rate =
        |before: &Counts, now: &Counts| rates(before, now).map(|rates| rates[&app_name("web")]);
    let first = counts(0, [0, 100, 0, 0, 5]);
    assert_eq!(rate(&first, &counts(60, [0, 160, 0, 0, 5])), Some([0, 60, 0, 0, 0]));
    assert_eq!(rate(&first, &counts(120, [0, 160, 0, 0, 6])), Some([0, 30, 0, 0, 1]), "a gap");
    assert_eq!(rate(&first, &counts(60, [0, 7, 0, 1, 5])), Some([0, 7, 0, 1, 5]), "a new proxy");
    assert_eq!(rate(&first, &counts(0, [0, 160, 0, 0, 5])), None, "no time has passed");
    let none = Counts { read_at: start, apps: BTreeMap::new() };
    assert_eq!(rate(&none, &counts(60, [0, 3, 0, 0, 0])), Some([0, 3, 0, 0, 0]), "the first ones");
    let most = counts(60, [u64::MAX; 5]);
    assert_eq!(rate(&none, &most), Some([u64::MAX / 60_000; 5]));
}

#[test]
fn usage_of_an_app_is_known_if_that_of_all_replicas_is() {
    let running = |id: &str, started_at| Running {
        app: app_name("web"),
        id: ContainerId(id.into()),
        started_at: second(started_at),
    };
    let mut sampler = Sampler::default();
    let mut next = |at: i64, readings: Vec<(Running, Reading)>| {
        let usage = sampler.usage(readings, second(at));
        usage.get(&app_name("web")).map(|usage| (usage.cpu, usage.memory))
    };
    let taken = |id, started_at, stats| (running(id, started_at), Reading::Taken(stats));
    let first = vec![taken("a", 0, stats(100, 5000))];
    assert_eq!(next(100, first), Some((None, Some(100))), "it used 5 s, but since when");
    // Another one has started since then.
    let second = vec![taken("a", 0, stats(160, 11_000)), taken("b", 130, stats(160, 3000))];
    assert_eq!(next(160, second), Some((Some(150), Some(200))));
    let third = vec![(running("a", 0), Reading::Failed), taken("b", 130, stats(220, 3000))];
    assert_eq!(next(220, third), Some((None, None)), "a gap");
    let fourth = vec![taken("a", 0, stats(280, 23_000)), (running("b", 130), Reading::Ended)];
    assert_eq!(next(280, fourth), Some((Some(100), Some(100))), "12 s in two minutes");
    let again = vec![taken("a", 0, stats(340, 1000))];
    assert_eq!(next(340, again), Some((Some(0), Some(100))), "its counter began again");
    assert_eq!(next(400, Vec::new()), None);
}
