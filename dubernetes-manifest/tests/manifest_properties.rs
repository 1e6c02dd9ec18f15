//! Properties of all manifests: damaged ones are accepted or refused with a place, and every valid
//! specification round-trips.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "manifest_properties/access.rs"]
mod access;

use std::fs;
use std::path::Path;

use dubernetes_core::app::{
    AppName, AppSpec, Check, ConfigFile, ContainerOptions, ContentHash, ContentRef, ContentSource,
    CountOrPercent, Cpu, Duration, EnvName, EnvValue, FileMode, FileOwner, FilePath, FileTarget,
    Health, HostName, ImageRef, MAX_REPLICAS, Memory, OnFailure, Order, ParseError, PreDeploy,
    PullPolicy, Resources, Rollout, SecretName, Signal, Stop, UrlPath, Volume,
};
use dubernetes_manifest::{JsonError, Source};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// A change to the bytes of a file; positions are fractions of its length.
#[derive(Debug, Clone)]
enum Mutation {
    Flip(f64, u8),
    Delete(f64, usize),
    Double(f64, usize),
    Splice(f64, Vec<u8>),
    Move(f64, f64, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = 0.0..1.0;
    let snippets: Vec<&[u8]> = vec![
        b"\t",
        b"\0",
        b"\r",
        b"\n",
        b"---\n",
        b"...\n",
        b"- ",
        b": ",
        b"? ",
        b"&a ",
        b"*a",
        b"!!int ",
        b"<<: ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"'",
        b"|\n",
        b">-\n",
        b"#",
        b"%YAML 1.2\n",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xae",
        b"99999999999999999999",
        b"-1",
        b"0x10",
        b"~",
        b"null",
        b"\\u0000",
    ];
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, mask)| Mutation::Flip(at, mask)),
        (at.clone(), 1..20_usize).prop_map(|(at, count)| Mutation::Delete(at, count)),
        (at.clone(), 1..40_usize).prop_map(|(at, count)| Mutation::Double(at, count)),
        (at.clone(), prop::sample::select(snippets))
            .prop_map(|(at, text)| Mutation::Splice(at, text.to_vec())),
        (at.clone(), at, 1..40_usize).prop_map(|(from, to, count)| Mutation::Move(from, to, count)),
    ]
}

#[expect(
    clippy::as_conversions,
    reason = "a fraction of a small length has no other way back to a position"
)]
fn position(bytes: &[u8], fraction: f64) -> usize {
    (fraction * bytes.len() as f64) as usize
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    let piece = |bytes: &[u8], at: usize, count: usize| at..(at + count).min(bytes.len());
    match mutation {
        Mutation::Flip(at, mask) => {
            let at = position(bytes, *at);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= mask;
            }
        }
        Mutation::Delete(at, count) => {
            let at = position(bytes, *at);
            bytes.drain(piece(bytes, at, *count));
        }
        Mutation::Double(at, count) => {
            let at = position(bytes, *at);
            let copy = bytes[piece(bytes, at, *count)].to_vec();
            bytes.splice(at..at, copy);
        }
        Mutation::Splice(at, text) => {
            let at = position(bytes, *at);
            bytes.splice(at..at, text.iter().copied());
        }
        Mutation::Move(from, to, count) => {
            let from = position(bytes, *from);
            let moved: Vec<u8> = bytes.drain(piece(bytes, from, *count)).collect();
            let to = position(bytes, *to);
            bytes.splice(to..to, moved);
        }
    }
}

fn good_files() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifests/good");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Checks that every problem has an existing place, a printable message and a hint.
fn check_located(text: &[u8], problems: &dubernetes_manifest::Diagnostics) {
    assert!(!problems.list.is_empty());
    let breaks = text.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    for problem in &problems.list {
        assert!((1..=breaks + 1).contains(&problem.line), "{problem:?}");
        assert!((1..=text.len() + 1).contains(&problem.column), "{problem:?}");
        assert!(!problem.message.is_empty() && problem.hint.is_some(), "{problem:?}");
    }
    let shown = problems.to_string();
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    let last = shown.lines().last().unwrap();
    assert!(last.starts_with("error: ") && last.ends_with("; nothing was changed"), "{shown}");
}

fn text() -> impl Strategy<Value = String> {
    let special = vec![
        "",
        "~",
        "null",
        "no",
        "true",
        "1.10",
        "0777",
        "0x1f",
        "- a",
        "a: b",
        "#c",
        "a #c",
        " a ",
        "'",
        "\"",
        "\\",
        "{}",
        "[a]",
        "!x",
        "&x",
        "*x",
        "|",
        ">",
        "%",
        "@",
        "`",
        "---",
        "...",
        "a\nb",
        "a\n",
        "\na",
        "\n",
        "  a\n b\n\n",
        "\t",
        "a\tb",
        "a\r\nb",
        "\u{1b}[0m",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{202e}",
        "=",
        "<<",
        "?",
        ":",
        "-",
        ".inf",
        "2026-11-22",
        "1:30",
        "a\\nb",
    ];
    prop_oneof![
        prop::sample::select(special).prop_map(str::to_owned),
        "[a-z ]{0,200}",
        any::<String>().prop_map(|text| text.replace('\0', "")),
    ]
}

fn parsed<T>(parse: impl Fn(&str) -> Result<T, ParseError>, text: &str) -> T {
    parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn name() -> impl Strategy<Value = AppName> {
    "[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?".prop_map(|text| parsed(AppName::parse, &text))
}

fn image() -> impl Strategy<Value = ImageRef> {
    "([a-z]{1,4}\\.test(:5000)?/)?[a-z0-9]{1,5}([._/-][a-z0-9]{1,5}){0,2}\
        (:[A-Za-z0-9_][A-Za-z0-9._-]{0,9})?"
        .prop_map(|text| parsed(ImageRef::parse, &text))
}

fn volume() -> impl Strategy<Value = Volume> {
    "([a-zA-Z0-9][a-zA-Z0-9_.-]{0,5}|/(srv|home|data)(/[a-z ]{1,4}){0,2})\
        :(/[a-z]{4,6}){1,2}(:r[ow])?"
        .prop_map(|text| parsed(Volume::parse, &text))
}

fn resources() -> impl Strategy<Value = Resources> {
    let cpu = (1..=1_024_000_u32).prop_map(|milli| parsed(Cpu::parse, &format!("{milli}m")));
    let memory =
        (6 << 10..=16_u64 << 30).prop_map(|kibi| parsed(Memory::parse, &format!("{kibi}Ki")));
    (prop::option::of(cpu), prop::option::of(memory))
        .prop_map(|(cpu, memory)| Resources { cpu, memory })
}

fn stop() -> impl Strategy<Value = Stop> {
    let signal = prop::option::of(prop::sample::select(Signal::ALL.to_vec()));
    (signal, span(), span()).prop_map(|(signal, grace, drain)| Stop { signal, grace, drain })
}

fn span() -> impl Strategy<Value = Duration> {
    (1..=3_600_000_u64).prop_map(Duration::from_millis)
}

fn health() -> impl Strategy<Value = Health> {
    let check = prop_oneof![
        "/[!-\"$-~]{0,9}".prop_map(|text| Check::Http(parsed(UrlPath::parse, &text))),
        Just(Check::Tcp),
        prop::collection::vec(text(), 1..3).prop_map(Check::Exec),
    ];
    let counts = (1..=9_u16, 1..=9_u16, 1..=9_u16);
    let port = prop::option::of(1..=u16::MAX);
    (check, port, (span(), span(), span()), counts).prop_map(|(check, port, spans, counts)| {
        Health {
            host: matches!(check, Check::Http(_)).then(|| parsed(HostName::parse, "a.test")),
            check,
            port,
            interval: spans.0.max(spans.1),
            timeout: spans.0.min(spans.1),
            start_period: spans.2,
            success: counts.0,
            failures: counts.1.min(counts.2),
            replace_after: counts.1.max(counts.2),
        }
    })
}

fn count_or_percent() -> impl Strategy<Value = CountOrPercent> {
    prop_oneof![
        (0..=250_u16).prop_map(CountOrPercent::Count),
        (0..=100_u8).prop_map(CountOrPercent::Percent)
    ]
}

fn rollout() -> impl Strategy<Value = Rollout> {
    let order = prop::option::of(prop::sample::select(Order::ALL.to_vec()));
    let on_failure = prop::sample::select(OnFailure::ALL.to_vec());
    let optional = || prop::option::of(count_or_percent());
    let counts = (optional(), optional(), count_or_percent());
    (counts, span(), span(), order, on_failure, 1..=100_u16).prop_map(
        |(
            (max_surge, max_terminating, max_unavailable),
            min_ready,
            progress_deadline,
            order,
            on_failure,
            history,
        )| {
            Rollout {
                max_surge,
                max_terminating,
                max_unavailable,
                min_ready,
                progress_deadline,
                order,
                on_failure,
                history,
            }
        },
    )
}

fn pre_deploy() -> impl Strategy<Value = PreDeploy> {
    (prop::collection::vec(text(), 1..3), span())
        .prop_map(|(command, timeout)| PreDeploy { command, timeout })
}

/// References as answers of the API have them: never with a content.
fn content_ref() -> impl Strategy<Value = ContentRef> {
    let hash = "[0-9a-f]{16}".prop_map(|text| parsed(ContentHash::parse, &text));
    let file = "[a-z./: #-]{1,9}";
    let file = file.prop_map(|text| ContentSource::File(parsed(FilePath::parse, &text)));
    let secret = "[a-z0-9]{1,9}";
    let secret = secret.prop_map(|text| ContentSource::Secret(parsed(SecretName::parse, &text)));
    (prop_oneof![file, secret], prop::option::of(hash))
        .prop_map(|(source, hash)| ContentRef::from_parts(source, hash, None).unwrap())
}

fn config_file() -> impl Strategy<Value = ConfigFile> {
    let mode = "0[0-7]{3}".prop_map(|text| parsed(FileMode::parse, &text));
    let owner = (0..=u32::MAX, 0..=u32::MAX).prop_map(|(user, group)| FileOwner { user, group });
    let owner = prop::option::of(owner);
    let source = content_ref();
    (source, mode, owner).prop_map(|(source, mode, owner)| ConfigFile { source, mode, owner })
}

fn env_value() -> impl Strategy<Value = EnvValue> {
    prop_oneof![text().prop_map(EnvValue::Text), content_ref().prop_map(EnvValue::From)]
}

fn spec() -> impl Strategy<Value = AppSpec> {
    let words = || prop::collection::vec(text(), 0..4);
    let env_name = "[A-Za-z_][A-Za-z0-9_.-]{0,8}".prop_map(|text| parsed(EnvName::parse, &text));
    let env = prop::collection::btree_map(env_name, env_value(), 0..4);
    let env_file = prop::collection::vec(content_ref(), 0..3);
    let target = "(/[a-z.]{1,3}x){1,3}".prop_map(|text| parsed(FileTarget::parse, &text));
    let files = prop::collection::btree_map(target, config_file(), 0..3);
    let labels = prop::collection::btree_map("[a-z0-9./_-]{1,9}", text(), 0..3);
    let volumes = prop::collection::btree_map("[a-z]", volume(), 0..3)
        .prop_map(|volumes| volumes.into_values().collect());
    let pull = prop::sample::select(PullPolicy::ALL.to_vec());
    let scalars = (name(), image(), 0..=MAX_REPLICAS, 1..=u16::MAX, pull);
    let published = prop::collection::vec(access::port_mapping(), 0..3);
    let lists = (words(), words(), env, env_file, files, labels, volumes);
    let life = (prop::option::of(health()), rollout(), prop::option::of(pre_deploy()));
    let routes = (access::list(), published);
    (scalars, lists, routes, resources(), stop(), life)
        .prop_map(|(scalars, lists, (access, ports), resources, stop, life)| {
            let (health, rollout, pre_deploy) = life;
            let (name, image, replicas, port, pull) = scalars;
            let (command, args, env, env_file, files, labels, volumes) = lists;
            // The lists of options are checked by the good files.
            let options = ContainerOptions {
                init: replicas % 2 == 0,
                no_new_privileges: port % 2 == 0,
                read_only: port % 3 == 0,
                ..ContainerOptions::default()
            };
            AppSpec {
                name,
                artifact: image.into(),
                replicas,
                access,
                port: Some(port),
                ports,
                command,
                args,
                env,
                env_file,
                files,
                resources,
                volumes,
                labels,
                stop,
                pull,
                health,
                rollout,
                pre_deploy,
                // Read like every list of names.
                after: Vec::new(),
                options,
            }
        })
        .prop_filter("the specification is valid", |spec| spec.problems().is_empty())
}

/// Returns a configuration with this number of cases, unless `PROPTEST_CASES` is set.
fn config(cases: u32) -> ProptestConfig {
    let default = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return default;
    }
    ProptestConfig { cases, ..default }
}

/// Returns the CPU time of this thread in ns, if the kernel reports it. Other processes do not
/// change it.
fn cpu_time() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok()
}

/// Returns a line of `/proc/self/status` in KiB, such as the memory in use or its peak.
fn memory(key: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim_start_matches([':', '\t', ' ']).trim_end_matches(" kB").parse().ok()
}

/// The CPU time and memory that no file may exceed: a second, and 64 MiB.
const MAX_CPU_NANOS: u64 = 1_000_000_000;
const MAX_MEMORY_KIB: u64 = 64 << 10;

/// `PROPTEST_CASES=10000` tries 10,000 changes of each good file.
#[test]
fn damaged_files_are_accepted_or_refused_with_a_place() {
    let files = good_files();
    assert!(files.len() > 10, "the good files are missing");
    let memory_before = memory("VmRSS");
    for file in files {
        let mut runner =
            TestRunner::new(ProptestConfig { failure_persistence: None, ..config(1_000) });
        let mutations = prop::collection::vec(mutation(), 1..5);
        let result = runner.run(&mutations, |mutations| {
            let mut text = file.clone();
            mutations.iter().for_each(|mutation| mutate(&mut text, mutation));
            let before = cpu_time();
            let read = dubernetes_manifest::parse(&[Source {
                name: "app.yaml".into(),
                text: text.clone(),
            }]);
            if let (Some(before), Some(after)) = (before, cpu_time()) {
                prop_assert!(after - before < MAX_CPU_NANOS, "it took {} ns", after - before);
            }
            match read {
                Ok(parsed) => {
                    for located in parsed.apps {
                        prop_assert_eq!(located.spec.problems(), []);
                    }
                }
                Err(problems) => check_located(&text, &problems),
            }
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&file)));
    }
    if let (Some(before), Some(peak)) = (memory_before, memory("VmHWM")) {
        assert!(
            peak.saturating_sub(before) < MAX_MEMORY_KIB,
            "{before} KiB before, {peak} KiB at the peak"
        );
    }
}

fn check_refused_with_places(text: &[u8]) {
    let source = Source { name: "x".into(), text: text.to_owned() };
    if let Err(problems) = dubernetes_manifest::parse(&[source]) {
        check_located(text, &problems);
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn bytes_are_accepted_or_refused_with_a_place(
        text in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        check_refused_with_places(&text);
    }

    #[test]
    fn text_is_accepted_or_refused_with_a_place(
        text in "[a-z:\\-\\[\\]{}\"'|>&*!%@#?, \n\t\u{feff}\u{85}\u{2028}é🦀]{0,80}",
    ) {
        check_refused_with_places(text.as_bytes());
    }

    #[test]
    fn specification_round_trips_through_yaml(spec in spec()) {
        let yaml = dubernetes_manifest::to_yaml(&spec);
        let source = Source { name: "app.yaml".into(), text: yaml.clone().into_bytes() };
        match dubernetes_manifest::parse(&[source]) {
            Ok(parsed) => prop_assert_eq!(&parsed.apps[0].spec, &spec, "{}", yaml),
            Err(problems) => prop_assert!(false, "{}\n{}", problems, yaml),
        }
    }

    #[test]
    fn specification_round_trips_through_json(spec in spec()) {
        let json = serde_json::to_vec(&spec).unwrap();
        prop_assert_eq!(dubernetes_manifest::from_json(&json), Ok(spec.clone()));
        prop_assert_eq!(serde_json::from_slice::<AppSpec>(&json).unwrap(), spec);
    }

    #[test]
    fn damaged_json_is_accepted_or_refused(
        spec in spec(),
        mutations in prop::collection::vec(mutation(), 1..5),
    ) {
        let mut body = serde_json::to_vec(&spec).unwrap();
        mutations.iter().for_each(|mutation| mutate(&mut body, mutation));
        match dubernetes_manifest::from_json(&body) {
            Ok(spec) => prop_assert_eq!(spec.problems(), []),
            Err(JsonError::Invalid(problems)) => prop_assert!(!problems.is_empty()),
            Err(JsonError::Syntax { line, .. }) => prop_assert!(line >= 1),
        }
    }
}
