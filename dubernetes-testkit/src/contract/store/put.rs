//! Checks of [`Store::put`].

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    assert_stale, at, delete, get, image, image_id, list, name, pin, put, request, spec, try_put,
    with_image, with_route,
};
use dubernetes_core::app::{
    AppSpec, ConfigFile, Content, ContentRef, ContentSource, Cpu, Duration, EnvName, EnvValue,
    FileMode, FilePath, FileTarget, Generation, Memory, PullPolicy, Resources, RevisionId, Secret,
    Signal, Stop, Volume, VolumeSource,
};
use dubernetes_core::store::{Change, PutApp, Store, StoreError};

pub(super) async fn new_app_is_created(store: &Arc<dyn Store>) {
    let done = put(store, spec("web")).await;
    assert_eq!(done.change, Change::Created, "a new name is created");
    let app = &done.app;
    assert_eq!(
        (app.generation, app.revision),
        (Generation(1), RevisionId(1)),
        "a new app counts from 1"
    );
    assert_eq!(app.deleted_through, RevisionId::NONE, "a new name was never deleted");
    assert_eq!(app.image_id, None, "a new revision has no image yet");
    assert_eq!((app.created_at, app.updated_at), (at(0), at(0)), "times are the caller's");
    assert_eq!(get(store, "web").await, *app, "`get` returns what `put` answered");
    assert_eq!(list(store).await.apps[&name("web")], *app, "`list` returns what `put` answered");
}

pub(super) async fn same_specification_changes_nothing(store: &Arc<dyn Store>) {
    let first = put(store, spec("web")).await;
    pin(store, "web", 1, "a", false).await;
    let repeated = PutApp { now: at(9), newest_seen: RevisionId(1), ..request(spec("web")) };
    let again = store.put(repeated).await.expect("the same specification is accepted");
    assert_eq!(again.change, Change::Unchanged, "the same specification is unchanged");
    assert_eq!(again.app.updated_at, first.app.updated_at, "nothing is written without a change");
    assert_eq!(
        (again.app.generation, again.app.revision),
        (Generation(1), RevisionId(1)),
        "without a change, nothing is counted"
    );
    assert_eq!(again.app.image_id, Some(image_id("a")), "the answer is the stored app");
    assert_eq!(get(store, "web").await, again.app, "nothing is written without a change");
    let restored = PutApp { newest_seen: RevisionId(7), ..request(spec("web")) };
    let newest = store.put(restored).await.expect("a put over a restored store is accepted");
    assert_eq!(newest.change, Change::Configured, "a restored store gets a new revision");
    assert_eq!(newest.app.revision, RevisionId(8), "a new revision is above observed ones");
}

pub(super) async fn other_specification_counts_generation_and_revision(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    pin(store, "web", 1, "a", false).await;
    let changed = PutApp { now: at(9), ..request(with_image("web", 2)) };
    let done = store.put(changed).await.expect("a change is accepted");
    assert_eq!(done.change, Change::Configured, "another specification configures");
    assert_eq!(
        (done.app.generation, done.app.revision),
        (Generation(2), RevisionId(2)),
        "both numbers rise"
    );
    assert_eq!(done.app.image_id, None, "a new revision does not inherit the image");
    assert_eq!(
        (done.app.created_at, done.app.updated_at),
        (at(0), at(9)),
        "only the update time changes"
    );
    assert_eq!(get(store, "web").await, done.app, "`get` returns what `put` answered");

    let back = put(store, spec("web")).await.app;
    assert_eq!(
        (back.generation, back.revision),
        (Generation(3), RevisionId(3)),
        "an earlier specification is a new revision"
    );
    assert_eq!(back.image_id, None, "the image is resolved again");
}

pub(super) async fn scaling_and_access_keep_revision_and_image(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    pin(store, "web", 1, "a", false).await;
    let scaled = put(store, AppSpec { replicas: 5, ..spec("web") }).await;
    assert_eq!(scaled.change, Change::Configured, "scaling configures");
    assert_eq!(
        (scaled.app.generation, scaled.app.revision),
        (Generation(2), RevisionId(1)),
        "scaling makes no revision"
    );
    assert_eq!(scaled.app.image_id, Some(image_id("a")), "scaling keeps the image");
    let routed = put(store, with_route("web", "web.local", "/")).await;
    assert_eq!(
        (routed.app.generation, routed.app.revision),
        (Generation(3), RevisionId(1)),
        "access makes no revision"
    );
    assert_eq!(get(store, "web").await, routed.app, "scaling and access are stored");
}

pub(super) async fn new_revision_is_above_observed_ones(store: &Arc<dyn Store>) {
    let seen = |spec, newest_seen| PutApp { newest_seen, ..request(spec) };
    let new = store.put(seen(spec("web"), RevisionId(6))).await.expect("a new app is accepted").app;
    assert_eq!(
        (new.generation, new.revision),
        (Generation(1), RevisionId(7)),
        "a new app is above observed revisions"
    );
    assert_eq!(
        new.deleted_through,
        RevisionId::NONE,
        "containers that outlived a lost store may be adopted"
    );
    let below = store
        .put(seen(with_image("web", 2), RevisionId(3)))
        .await
        .expect("a change is accepted")
        .app;
    assert_eq!(below.revision, RevisionId(8), "a revision is above the stored one");
    let above = store
        .put(seen(with_image("web", 3), RevisionId(20)))
        .await
        .expect("a change is accepted")
        .app;
    assert_eq!(above.revision, RevisionId(21), "a revision is above observed ones");
    let scaled = AppSpec { replicas: 2, ..with_image("web", 3) };
    let scaled = store.put(seen(scaled, RevisionId(40))).await.expect("scaling is accepted").app;
    assert_eq!(scaled.revision, RevisionId(21), "scaling makes no revision");
}

pub(super) async fn exhausted_revision_numbers_are_refused(store: &Arc<dyn Store>) {
    let before = put(store, spec("web")).await.app;
    let impossible = PutApp { newest_seen: RevisionId(u64::MAX), ..request(with_image("web", 2)) };
    let got = store.put(impossible).await;
    assert!(
        matches!(got, Err(StoreError::Failed(_))),
        "no revision number is used twice; seen: {got:?}"
    );
    assert_eq!(get(store, "web").await, before, "a refused put stores nothing");
}

pub(super) async fn stale_generation_is_refused(store: &Arc<dyn Store>) {
    let expecting =
        |spec, generation| PutApp { expected_generation: Some(generation), ..request(spec) };
    let got = store.put(expecting(spec("web"), Generation(1))).await;
    assert_stale(got, Generation(1), Generation::NONE, "expecting a missing app");
    assert!(list(store).await.apps.is_empty(), "a refused put stores nothing");

    put(store, spec("web")).await;
    let second = store.put(expecting(with_image("web", 2), Generation(1))).await;
    let second = second.expect("the current generation is accepted").app;
    for stale in [0, 1, 3, u64::MAX] {
        let got = store.put(expecting(with_image("web", 3), Generation(stale))).await;
        assert_stale(got, Generation(stale), Generation(2), "another generation");
        let got = store.put(expecting(with_image("web", 2), Generation(stale))).await;
        assert_stale(
            got,
            Generation(stale),
            Generation(2),
            "another generation with the stored specification",
        );
    }
    assert_eq!(get(store, "web").await, second, "a refused put stores nothing");
}

pub(super) async fn generation_zero_refuses_existing_app(store: &Arc<dyn Store>) {
    let create = PutApp { expected_generation: Some(Generation::NONE), ..request(spec("web")) };
    let done = store.put(create.clone()).await.expect("0 accepts a name that is free");
    assert_eq!(done.change, Change::Created, "0 creates");
    assert_stale(
        store.put(create).await,
        Generation::NONE,
        Generation(1),
        "creating an existing app",
    );
}

pub(super) async fn deleted_app_counts_as_missing(store: &Arc<dyn Store>) {
    put(store, spec("web")).await;
    delete(store, "web").await;
    let old = PutApp { expected_generation: Some(Generation(1)), ..request(spec("web")) };
    assert_stale(store.put(old).await, Generation(1), Generation::NONE, "expecting a deleted app");
    let create = PutApp { expected_generation: Some(Generation::NONE), ..request(spec("web")) };
    let done = store.put(create).await.expect("0 accepts a name that is being deleted");
    assert_eq!(done.change, Change::Created, "a deleted app is created again");
}

pub(super) async fn taken_route_is_refused_and_nothing_is_stored(store: &Arc<dyn Store>) {
    put(store, with_route("web", "web.local", "/api")).await;
    put(store, spec("other")).await;
    let before = list(store).await;
    for app in ["other", "new"] {
        let got = try_put(store, with_route(app, "web.local", "/api")).await;
        let Err(StoreError::RouteTaken(conflict)) = got else {
            panic!("a taken route is refused; seen: {got:?}");
        };
        let expected = "the host `web.local` with the path `/api` is taken by app `web`";
        assert_eq!(conflict.to_string(), expected, "the refusal names host, path and owner");
    }
    assert_eq!(list(store).await, before, "a refused put stores nothing");
}

pub(super) async fn start_cycle_is_refused_and_nothing_is_stored(store: &Arc<dyn Store>) {
    let after = |app: &str, other: &str| AppSpec { after: vec![name(other)], ..spec(app) };
    put(store, after("db", "cache")).await;
    put(store, after("cache", "web")).await;
    let before = list(store).await;
    let got = try_put(store, after("web", "db")).await;
    let Err(StoreError::Invalid { problems, .. }) = got else {
        panic!("an app that would wait for itself is refused; seen: {got:?}");
    };
    assert_eq!(problems.problems[0].path, "after.0", "the refusal names the entry");
    assert_eq!(list(store).await, before, "a refused put stores nothing");
    put(store, spec("cache")).await;
    put(store, after("web", "db")).await;
}

pub(super) async fn taken_port_is_refused_and_nothing_is_stored(store: &Arc<dyn Store>) {
    let with_port = |app: &str, port: &str| AppSpec {
        ports: vec![port.parse().expect("a legal port")],
        ..spec(app)
    };
    put(store, with_port("db", "5432:5432")).await;
    put(store, with_port("dns", "5432:53/udp")).await;
    let before = list(store).await;
    let got = try_put(store, with_port("other", "127.0.0.1:5432:80")).await;
    let Err(StoreError::RouteTaken(conflict)) = got else {
        panic!("a taken port is refused; seen: {got:?}");
    };
    let expected = "TCP port 5432 of this machine is taken by app `db`";
    assert_eq!(conflict.to_string(), expected, "the refusal names port and owner");
    assert_eq!(list(store).await, before, "a refused put stores nothing");
}

pub(super) async fn only_same_host_and_path_conflict(store: &Arc<dyn Store>) {
    put(store, with_route("web", "web.local", "/")).await;
    put(store, with_route("api", "web.local", "/api")).await;
    put(store, with_route("shop", "shop.local", "/")).await;
    let own = AppSpec { replicas: 3, ..with_route("web", "web.local", "/") };
    assert_eq!(put(store, own).await.change, Change::Configured, "an app keeps its own route");
    assert_eq!(list(store).await.apps.len(), 3, "other hosts and other paths are free");
}

pub(super) async fn deleted_app_frees_its_route(store: &Arc<dyn Store>) {
    put(store, with_route("web", "web.local", "/")).await;
    delete(store, "web").await;
    put(store, with_route("other", "web.local", "/")).await;
    let got = try_put(store, with_route("web", "web.local", "/")).await;
    assert!(
        matches!(got, Err(StoreError::RouteTaken(_))),
        "a re-created app has no claim on its route; seen: {got:?}"
    );
    assert!(list(store).await.tombstones.contains_key(&name("web")), "the tombstone stays");
}

pub(super) async fn contents_are_kept_with_every_revision(store: &Arc<dyn Store>) {
    let spec_with = |content: &[u8]| {
        let content = Content::Known(Secret::new(content.to_vec()));
        let file = FilePath::parse("./file").expect("a legal path");
        let source = ContentRef { source: ContentSource::File(file), content };
        let value = EnvValue::From(source.clone());
        let target = FileTarget::parse("/etc/web.conf").expect("a legal target");
        AppSpec {
            env: BTreeMap::from([(EnvName::parse("KEY").expect("a legal name"), value)]),
            env_file: vec![source.clone()],
            files: BTreeMap::from([(
                target,
                ConfigFile { source, mode: FileMode::default(), owner: None },
            )]),
            ..with_route("web", "web.local", "/")
        }
    };
    let (first, second) = (spec_with(b"A=1\n"), spec_with(b"A=2\n"));
    put(store, first.clone()).await;
    let again = put(store, first.clone()).await;
    assert_eq!(again.change, Change::Unchanged, "equal contents are no change");
    let changed = put(store, second.clone()).await;
    assert_eq!(changed.change, Change::Configured, "other contents are a change");
    assert_eq!(changed.app.revision, RevisionId(2), "other contents make a revision");
    assert_eq!(get(store, "web").await.spec, second, "`get` returns contents");
    assert_eq!(list(store).await.apps[&name("web")].spec, second, "`list` returns contents");
    let revisions = store.revisions(&name("web")).await.expect("the app is there");
    let kept: Vec<_> = revisions.into_iter().map(|revision| revision.spec).collect();
    assert_eq!(kept, [first, second], "each revision keeps its contents");
}

pub(super) async fn every_field_is_kept(store: &Arc<dyn Store>) {
    let text = "a \"quoted\" line\nand 'another' with \\ and ü";
    let full = AppSpec {
        artifact: image("images.test:5000/team/web:1.2"),
        replicas: 3,
        port: Some(8080),
        command: vec!["/bin/web".into(), text.into()],
        args: vec![String::new(), "--all".into()],
        env: BTreeMap::from([(EnvName::parse("TEXT").expect("a legal name"), text.into())]),
        resources: Resources {
            cpu: Some(Cpu::parse("0.25").expect("a legal limit")),
            memory: Some(Memory::parse("64Mi").expect("a legal limit")),
        },
        volumes: vec![
            Volume {
                source: VolumeSource::Named("data".into()),
                target: "/data".into(),
                read_only: false,
                relabel: None,
            },
            Volume {
                source: VolumeSource::Bind("/srv/site".into()),
                target: "/site".into(),
                read_only: true,
                relabel: None,
            },
        ],
        labels: BTreeMap::from([("team".into(), text.into())]),
        stop: Stop {
            signal: Some(Signal::SigInt),
            grace: Duration::from_secs(90),
            drain: Duration::from_secs(45),
        },
        pull: PullPolicy::Always,
        ..with_route("web", "web.local", "/shop")
    };
    let done = put(store, full.clone()).await;
    assert_eq!(done.app.spec, full, "the answer has every field");
    assert_eq!(get(store, "web").await.spec, full, "every field is stored");
    assert_eq!(
        put(store, full).await.change,
        Change::Unchanged,
        "the same specification is unchanged"
    );
}

pub(super) async fn apps_are_separate(store: &Arc<dyn Store>) {
    let api = put(store, spec("api")).await.app;
    for tag in 2..5 {
        put(store, with_image("web", tag)).await;
    }
    delete(store, "web").await;
    assert_eq!(get(store, "api").await, api, "changes of one app leave the others");
    let state = list(store).await;
    assert_eq!(state.apps.keys().collect::<Vec<_>>(), [&name("api")], "the list has live apps");
}
