//! The keys of the life of a replica: `image`, `program`, `health`, `rollout`, `pre_deploy` and
//! `stop`.

use dubernetes_core::app::{Health, MAX_REPLICAS, OnFailure, Order, Rollout, Signal};

use super::grammar::{FILE_PATH, HOST, IMAGE, URL_PATH};
use super::table::{PORT, PROGRAM, SPAN};
use super::{DefaultValue, Key, Kind};

/// What each replica runs, if it is an image.
pub(super) const IMAGE_KEY: Key = Key {
    name: "image",
    description: "The image of every replica. It is resolved once per revision: all replicas \
        of a revision run the same image, even if the tag moves.",
    kind: Kind::Text(&IMAGE),
    default: ONE_OF_IMAGE_AND_PROGRAM,
    example: "image: myapp-image:1.5",
};
/// What each replica runs, if it is a program.
pub(super) const PROGRAM_KEY: Key = Key {
    name: "program",
    description: "A program of this machine that each replica runs as a process, instead of an \
        image: a path, or a name that apply finds in PATH. It runs in its own folder, and \
        listens on the port of 127.0.0.1 in its variable PORT. It needs serve --runtime \
        process.",
    kind: Kind::Text(&FILE_PATH),
    default: ONE_OF_IMAGE_AND_PROGRAM,
    example: "program: ./server",
};
const ONE_OF_IMAGE_AND_PROGRAM: DefaultValue =
    DefaultValue::Described("one of image and program is required");

const COUNT: Kind = Kind::WholeNumber { min: 1, max: Health::MAX_COUNT };

const ONE_PROBE: DefaultValue = DefaultValue::Described("one of http, tcp and exec is required");

/// The keys of `health`.
pub const HEALTH: &[Key] = &[
    Key {
        name: "http",
        description: "Sends a GET request for this path; a status from 200 to 399 is a success.",
        kind: Kind::Text(&URL_PATH),
        default: ONE_PROBE,
        example: "http: /healthz",
    },
    Key {
        name: "tcp",
        description: "Opens a connection; it is a success if it opens.",
        kind: Kind::True,
        default: ONE_PROBE,
        example: "tcp: true",
    },
    Key {
        name: "exec",
        description: "Runs this command in the container; exit code 0 is a success.",
        kind: Kind::List(PROGRAM),
        default: ONE_PROBE,
        example: "exec: [\"/bin/check\"]",
    },
    Key {
        name: "port",
        description: "The port to probe. Cannot be combined with exec.",
        kind: PORT,
        default: DefaultValue::Described("the app's port"),
        example: "port: 8081",
    },
    Key {
        name: "host",
        description: "The Host header of an http probe.",
        kind: Kind::Text(&HOST),
        default: DefaultValue::Described(
            "the first host of access without a wildcard, else the app's name",
        ),
        example: "host: myapp.local",
    },
    Key {
        name: "interval",
        description: "Time between two probes of a ready replica. A replica that is not ready is \
            probed at least once a second.",
        kind: SPAN,
        default: DefaultValue::Value("5s"),
        example: "interval: 10s",
    },
    Key {
        name: "timeout",
        description: "Time limit of one probe, at most interval. A shorter interval is also the \
            default.",
        kind: SPAN,
        default: DefaultValue::Value("2s"),
        example: "timeout: 1s",
    },
    Key {
        name: "start_period",
        description: "Time that a replica may take to start. Until then failures do not count \
            towards replace_after, unless the replica was ready before.",
        kind: SPAN,
        default: DefaultValue::Value("1m"),
        example: "start_period: 2m",
    },
    Key {
        name: "success",
        description: "Number of successes in a row that make a replica ready.",
        kind: COUNT,
        default: DefaultValue::Value("1"),
        example: "success: 2",
    },
    Key {
        name: "failures",
        description: "Number of failures in a row that remove a ready replica from the routes.",
        kind: COUNT,
        default: DefaultValue::Value("2"),
        example: "failures: 3",
    },
    Key {
        name: "replace_after",
        description: "Number of failures in a row, counted once per interval, after which a \
            replica is replaced. At least failures.",
        kind: COUNT,
        default: DefaultValue::Value("6"),
        example: "replace_after: 12",
    },
];

/// The keys of `rollout`.
pub const ROLLOUT: &[Key] = &[
    Key {
        name: "max_surge",
        description: "Number of extra replicas that may be live during a rollout. A percentage is \
            rounded up. Must be 0 with order: stop-first.",
        kind: Kind::CountOrPercent { max: MAX_REPLICAS },
        default: DefaultValue::Described("25%, at least 1"),
        example: "max_surge: 2",
    },
    Key {
        name: "max_terminating",
        description: "Number of further replicas that may still drain or stop while their \
            successors start. With 0, a successor waits until a replica has stopped.",
        kind: Kind::CountOrPercent { max: MAX_REPLICAS },
        default: DefaultValue::Described("as max_surge"),
        example: "max_terminating: 0",
    },
    Key {
        name: "max_unavailable",
        description: "Number of replicas that may be missing during a rollout. A percentage is \
            rounded down.",
        kind: Kind::CountOrPercent { max: MAX_REPLICAS },
        default: DefaultValue::Value("0"),
        example: "max_unavailable: 1",
    },
    Key {
        name: "min_ready",
        description: "Time that a new replica must stay ready to count as available.",
        kind: SPAN,
        default: DefaultValue::Value("2s"),
        example: "min_ready: 10s",
    },
    Key {
        name: "progress_deadline",
        description: "Time without progress after which a revision has failed.",
        kind: SPAN,
        default: DefaultValue::Value("2m"),
        example: "progress_deadline: 5m",
    },
    Key {
        name: "order",
        description: "Whether the new replica is ready before the old one is stopped, or the old \
            one is removed before the new one is started.",
        kind: Kind::Choice(Order::WORDS),
        default: DefaultValue::Described(
            "start-first, but stop-first for one replica that writes to a volume",
        ),
        example: "order: stop-first",
    },
    Key {
        name: "on_failure",
        description: "What happens when a revision fails: roll back to the last complete \
            revision, or pause the rollout.",
        kind: Kind::Choice(OnFailure::WORDS),
        default: DefaultValue::Value("rollback"),
        example: "on_failure: pause",
    },
    Key {
        name: "history",
        description: "Number of revisions that are kept.",
        kind: Kind::WholeNumber { min: 1, max: Rollout::MAX_HISTORY },
        default: DefaultValue::Value("10"),
        example: "history: 20",
    },
];

/// The keys of `pre_deploy`.
pub const PRE_DEPLOY: &[Key] = &[
    Key {
        name: "command",
        description: "The command and its arguments, run without a shell in the new image, with \
            the app's environment and volumes.",
        kind: Kind::List(PROGRAM),
        default: DefaultValue::Required,
        example: "command: [\"/bin/migrate\", \"up\"]",
    },
    Key {
        name: "timeout",
        description: "Time limit of the command.",
        kind: SPAN,
        default: DefaultValue::Value("5m"),
        example: "timeout: 10m",
    },
];

/// The keys of `stop`.
pub const STOP: &[Key] = &[
    Key {
        name: "signal",
        description: "The stop signal.",
        kind: Kind::Choice(Signal::WORDS),
        default: DefaultValue::Described("the image's own, usually SIGTERM"),
        example: "signal: SIGINT",
    },
    Key {
        name: "grace",
        description: "Grace period between the stop signal and SIGKILL.",
        kind: SPAN,
        default: DefaultValue::Value("10s"),
        example: "grace: 30s",
    },
    Key {
        name: "drain",
        description: "Time limit for requests in flight before the stop signal.",
        kind: SPAN,
        default: DefaultValue::Value("30s"),
        example: "drain: 1m",
    },
];
