//! The keys themselves, in the order in which people write them.

use dubernetes_core::app::rules::{MAX_ENV_FILES, MAX_LIST};
use dubernetes_core::app::{
    Health, MAX_ENV_ENTRIES, MAX_FILES, MAX_REPLICAS, OnFailure, Order, PullPolicy, Rollout, Signal,
};

use super::grammar::{
    BASE64, CPU, DURATION, ENV_NAME, ENV_VALUE, FILE_PATH, FILE_TARGET, HASH, HOST, IMAGE,
    LABEL_KEY, LABEL_VALUE, MEMORY, MODE, NAME, OWNER, PATH, URL_PATH, VOLUME, WORD,
};
use super::{DefaultValue, Key, Kind, ListKind, ObjectKind};

const PORT: Kind = Kind::WholeNumber { min: 1, max: u16::MAX };
const COUNT: Kind = Kind::WholeNumber { min: 1, max: Health::MAX_COUNT };
const SPAN: Kind = Kind::Text(&DURATION);
const WORDS: ListKind = ListKind { item: &Kind::Text(&WORD), min: 0, max: MAX_LIST };
const PROGRAM: ListKind = ListKind { min: 1, ..WORDS };
const FILE_REF_OBJECT: ObjectKind = ObjectKind { keys: FILE_REF, one_of: &[], body_only: CONTENT };
const CONFIG_FILE_OBJECT: ObjectKind =
    ObjectKind { keys: CONFIG_FILE, one_of: &[], body_only: CONTENT };

const fn object(keys: &'static [Key]) -> Kind {
    Kind::Object(ObjectKind::new(keys))
}

/// The keys of an app.
pub const APP: &[Key] = &[
    Key {
        name: "name",
        description: "The app's name, unique in its instance. Replicas are named after it: web-1, \
            web-2.",
        kind: Kind::Text(&NAME),
        default: DefaultValue::Required,
        example: "name: myapp",
    },
    Key {
        name: "image",
        description: "The image of every replica. It is resolved once per revision: all replicas \
            of a revision run the same image, even if the tag moves.",
        kind: Kind::Text(&IMAGE),
        default: DefaultValue::Required,
        example: "image: myapp-image:1.5",
    },
    Key {
        name: "replicas",
        description: "The number of replicas to keep running. With 0, the app's hosts answer 503.",
        kind: Kind::WholeNumber { min: 0, max: MAX_REPLICAS },
        default: DefaultValue::Value("1"),
        example: "replicas: 3",
    },
    Key {
        name: "port",
        description: "The port on which each replica listens, inside its container. No host port \
            is published.",
        kind: PORT,
        default: DefaultValue::Value("80"),
        example: "port: 8080",
    },
    Key {
        name: "access",
        description: "The hosts and path that are routed to the app.",
        kind: object(ACCESS),
        default: DefaultValue::Described("no route"),
        example: "access: { host: myapp.local }",
    },
    Key {
        name: "env",
        description: "Environment variables, each a text or { file: ./path }. Values are passed \
            literally, without a shell: at most 32 KiB each, and 256 KiB together.",
        kind: Kind::Map {
            key: &ENV_NAME,
            value: &Kind::TextOrObject(&ENV_VALUE, FILE_REF_OBJECT),
            max: MAX_ENV_ENTRIES,
        },
        default: DefaultValue::Described("those of the image"),
        example: "env: { LOG_LEVEL: info }",
    },
    Key {
        name: "env_file",
        description: "Files with lines KEY=VALUE. They are read by apply. Later files override \
            earlier ones, and env overrides all.",
        kind: Kind::OneOrList(ListKind {
            item: &Kind::TextOrObject(&FILE_PATH, FILE_REF_OBJECT),
            min: 0,
            max: MAX_ENV_FILES,
        }),
        default: DefaultValue::Described("none"),
        example: "env_file: ./.env",
    },
    Key {
        name: "files",
        description: "Files that are copied into every container before it starts, each a path or \
            { file: ./path, mode: \"0400\", owner: \"1000:1000\" }. They are read by apply, relative to \
            the manifest.",
        kind: Kind::Map {
            key: &FILE_TARGET,
            value: &Kind::TextOrObject(&FILE_PATH, CONFIG_FILE_OBJECT),
            max: MAX_FILES,
        },
        default: DefaultValue::Described("none"),
        example: "files: { /etc/myapp/app.conf: ./app.conf }",
    },
    Key {
        name: "command",
        description: "Replaces the image's entry point. It is run without a shell.",
        kind: Kind::List(WORDS),
        default: DefaultValue::Described("the image's own"),
        example: "command: [\"sleep\", \"60\"]",
    },
    Key {
        name: "args",
        description: "Replaces the image's default arguments. They are passed without a shell.",
        kind: Kind::List(WORDS),
        default: DefaultValue::Described("the image's own"),
        example: "args: [\"--verbose\"]",
    },
    Key {
        name: "health",
        description: "How a replica is probed. Only ready replicas receive requests, and a \
            rollout continues only with ready replicas.",
        kind: Kind::Object(ObjectKind {
            keys: HEALTH,
            one_of: &["http", "tcp", "exec"],
            body_only: &[],
        }),
        default: DefaultValue::Described(
            "ready when the port accepts a connection, or without access after running for 2s",
        ),
        example: "health: { http: /healthz }",
    },
    Key {
        name: "rollout",
        description: "How one revision replaces another: how many replicas at a time, in which \
            order, and what happens on failure.",
        kind: object(ROLLOUT),
        default: DefaultValue::Described("one replica at a time, with none missing"),
        example: "rollout: { max_surge: 2 }",
    },
    Key {
        name: "pre_deploy",
        description: "A command that must succeed once before a new revision replaces anything, \
            such as a database migration.",
        kind: object(PRE_DEPLOY),
        default: DefaultValue::Described("none"),
        example: "pre_deploy: { command: [\"/bin/migrate\"] }",
    },
    Key {
        name: "stop",
        description: "How a replica is stopped. It leaves the routes, finishes its requests, \
            receives the stop signal, and is killed after the grace period.",
        kind: object(STOP),
        default: DefaultValue::Described("the defaults of its keys"),
        example: "stop: { grace: 30s }",
    },
    Key {
        name: "resources",
        description: "Resource limits of each replica.",
        kind: object(RESOURCES),
        default: DefaultValue::Described("no limit"),
        example: "resources: { memory: 256Mi }",
    },
    Key {
        name: "volumes",
        description: "Named volumes and host folders. A named volume is shared by the app's \
            replicas, and kept when the app is deleted. Folders of the system cannot be mounted.",
        kind: Kind::List(ListKind { item: &Kind::Text(&VOLUME), min: 0, max: MAX_LIST }),
        default: DefaultValue::Described("none"),
        example: "volumes: [\"cache:/var/cache/myapp\"]",
    },
    Key {
        name: "labels",
        description: "Labels for your own use, set on every container.",
        kind: Kind::Map { key: &LABEL_KEY, value: &Kind::Text(&LABEL_VALUE), max: MAX_LIST },
        default: DefaultValue::Described("none"),
        example: "labels: { team: shop }",
    },
    Key {
        name: "pull",
        description: "When the image of a new revision is pulled. With never, the image must be \
            on the engine.",
        kind: Kind::Choice(PullPolicy::WORDS),
        default: DefaultValue::Value("missing"),
        example: "pull: always",
    },
];

/// The keys of `access`.
pub const ACCESS: &[Key] = &[
    Key {
        name: "host",
        description: "The host names of the app.",
        kind: Kind::OneOrList(ListKind { item: &Kind::Text(&HOST), min: 1, max: MAX_LIST }),
        default: DefaultValue::Required,
        example: "host: myapp.local",
    },
    Key {
        name: "path",
        description: "The path prefix that is routed to the app, in whole segments. If several \
            apps share a host, the longest matching path wins.",
        kind: Kind::Text(&PATH),
        default: DefaultValue::Value("/"),
        example: "path: /shop",
    },
];

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
        default: DefaultValue::Described("the first host of access, else the app's name"),
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
        default: DefaultValue::Described("1"),
        example: "max_surge: 25%",
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

/// The keys of `resources`.
pub const RESOURCES: &[Key] = &[
    Key {
        name: "cpu",
        description: "CPU limit, in cores.",
        kind: Kind::Text(&CPU),
        default: DefaultValue::Described("no limit"),
        example: "cpu: 0.5",
    },
    Key {
        name: "memory",
        description: "Memory limit. A replica that exceeds it is killed and restarted.",
        kind: Kind::Text(&MEMORY),
        default: DefaultValue::Described("no limit"),
        example: "memory: 256Mi",
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

const FILE: Key = Key {
    name: "file",
    description: "The path of the file on the machine where apply runs. Relative paths start at \
        the folder of the manifest.",
    kind: Kind::Text(&FILE_PATH),
    default: DefaultValue::Required,
    example: "file: ./password",
};
const SHA256: Key = Key {
    name: "sha256",
    description: "The first 16 digits of the SHA-256 that the content must have. A file that cannot \
        be read is then taken from the app as it is stored.",
    kind: Kind::Text(&HASH),
    default: DefaultValue::Described("any content is accepted"),
    example: "sha256: 0123456789abcdef",
};

/// The keys of a file reference in `env` and `env_file`.
pub const FILE_REF: &[Key] = &[FILE, SHA256];

/// The keys of a file reference in `files`.
pub const CONFIG_FILE: &[Key] = &[
    FILE,
    SHA256,
    Key {
        name: "mode",
        description: "The permissions of the file, as chmod writes them.",
        kind: Kind::Text(&MODE),
        default: DefaultValue::Value("0644"),
        example: "mode: \"0400\"",
    },
    Key {
        name: "owner",
        description: "The owner of the file, as numbers.",
        kind: Kind::Text(&OWNER),
        default: DefaultValue::Described(
            "the user of the container where it is a number, else root",
        ),
        example: "owner: \"1000:1000\"",
    },
];

/// The key that a file reference may also have in a JSON body.
pub const CONTENT: &[Key] = &[Key {
    name: "content",
    description: "The content in base64.",
    kind: Kind::Text(&BASE64),
    default: DefaultValue::Described("the content that the app already has with this sha256"),
    example: "content: aGVsbG8=",
}];
