//! The keys themselves, in the order in which people would write them.

use super::grammar::{
    BASE64, CPU, DURATION, ENV_NAME, ENV_VALUE, FILE_PATH, FILE_TARGET, HASH, HOST, IMAGE,
    LABEL_KEY, LABEL_VALUE, MEMORY, MODE, NAME, PATH, URL_PATH, VOLUME, WORD,
};
use super::{Items, Key, Kind, Level, Unless};
use dubernetes_core::app::rules::{MAX_ENV_FILES, MAX_LIST};
use dubernetes_core::app::{Health, MAX_ENV_ENTRIES, MAX_FILES, MAX_REPLICAS, Rollout};

const PORT: Kind = Kind::Whole { min: 1, max: u16::MAX };
const COUNT: Kind = Kind::Whole { min: 1, max: Health::MAX_COUNT };
const SPAN: Kind = Kind::Text(&DURATION);
const WORDS: Items = Items { item: &Kind::Text(&WORD), min: 0, max: MAX_LIST };
const PROGRAM: Items = Items { min: 1, ..WORDS };

const REFERENCE: Level = Level { keys: &FILE_REF, one_of: &[], body_only: &CONTENT };

const fn mapping(keys: &'static [Key]) -> Kind {
    Kind::Mapping(Level { keys, one_of: &[], body_only: &[] })
}

/// The keys of an app.
pub const APP: [Key; 18] = [
    Key {
        name: "name",
        about: "The app's name, unique in its instance. Replicas are named after it: web-1, web-2.",
        kind: Kind::Text(&NAME),
        unless: Unless::Required,
        example: "name: myapp",
    },
    Key {
        name: "image",
        about: "The image that every replica runs. It is looked up once for each revision; then all \
            replicas run the same one, even if the tag moves.",
        kind: Kind::Text(&IMAGE),
        unless: Unless::Required,
        example: "image: myapp-image:1.5",
    },
    Key {
        name: "replicas",
        about: "How many replicas to keep running. With 0, the app's hosts answer 503.",
        kind: Kind::Whole { min: 0, max: MAX_REPLICAS },
        unless: Unless::Value("1"),
        example: "replicas: 3",
    },
    Key {
        name: "port",
        about: "The port on which each replica listens, inside its container. No port of the host \
            is published.",
        kind: PORT,
        unless: Unless::Value("80"),
        example: "port: 8080",
    },
    Key {
        name: "access",
        about: "How requests reach the app: under which hosts, and which paths of them.",
        kind: mapping(&ACCESS),
        unless: Unless::Means("no request is routed to the app"),
        example: "access: { host: myapp.local }",
    },
    Key {
        name: "env",
        about: "Environment variables. Values are passed as they are written, through no shell.",
        kind: Kind::Map {
            key: &ENV_NAME,
            value: &Kind::TextOr(&ENV_VALUE, REFERENCE),
            max: MAX_ENV_ENTRIES,
        },
        unless: Unless::Means("those of the image"),
        example: "env: { LOG_LEVEL: info }",
    },
    Key {
        name: "env_file",
        about: "One file or several with lines KEY=VALUE, read when they are applied. Later files win \
            over earlier ones, and env over all.",
        kind: Kind::OneOrList(Items {
            item: &Kind::TextOr(&FILE_PATH, REFERENCE),
            min: 0,
            max: MAX_ENV_FILES,
        }),
        unless: Unless::Means("none"),
        example: "env_file: ./.env",
    },
    Key {
        name: "files",
        about: "Files that are put into every container, by their path there. They are read when they \
            are applied, from the folder of the file that names them.",
        kind: Kind::Map {
            key: &FILE_TARGET,
            value: &Kind::TextOr(
                &FILE_PATH,
                Level { keys: &CONFIG_FILE, one_of: &[], body_only: &CONTENT },
            ),
            max: MAX_FILES,
        },
        unless: Unless::Means("none"),
        example: "files: { /etc/myapp/app.conf: ./app.conf }",
    },
    Key {
        name: "command",
        about: "Replaces the image's entry point. A list of words, passed through no shell.",
        kind: Kind::List(WORDS),
        unless: Unless::Means("the image's own"),
        example: "command: [\"sleep\", \"60\"]",
    },
    Key {
        name: "args",
        about: "Replaces the image's default arguments. A list of words, passed through no shell.",
        kind: Kind::List(WORDS),
        unless: Unless::Means("the image's own"),
        example: "args: [\"--verbose\"]",
    },
    Key {
        name: "health",
        about: "How a replica is asked whether it takes requests. Only ready replicas get requests, \
            and a rollout goes on only with ready ones.",
        kind: Kind::Mapping(Level {
            keys: &HEALTH,
            one_of: &["http", "tcp", "exec"],
            body_only: &[],
        }),
        unless: Unless::Means(
            "ready once the port takes a connection, or without access after 2s of running",
        ),
        example: "health: { http: /healthz }",
    },
    Key {
        name: "rollout",
        about: "How one revision takes the place of another: how many replicas at a time, in which \
            order, and what happens when it fails.",
        kind: mapping(&ROLLOUT),
        unless: Unless::Means("one replica at a time, and none too few"),
        example: "rollout: { max_surge: 2 }",
    },
    Key {
        name: "pre_deploy",
        about: "A command that has to succeed once before a new revision replaces anything, such as \
            a migration.",
        kind: mapping(&PRE_DEPLOY),
        unless: Unless::Means("nothing is run"),
        example: "pre_deploy: { command: [\"/bin/migrate\"] }",
    },
    Key {
        name: "stop",
        about: "How a replica is stopped: it leaves the routes, finishes its requests, gets a signal, \
            and at last is killed.",
        kind: mapping(&STOP),
        unless: Unless::Means("the defaults of its keys"),
        example: "stop: { grace: 30s }",
    },
    Key {
        name: "resources",
        about: "Limits on what one replica may use.",
        kind: mapping(&RESOURCES),
        unless: Unless::Means("no limit"),
        example: "resources: { memory: 256Mi }",
    },
    Key {
        name: "volumes",
        about: "Named volumes and folders of the host. A named volume is shared by the app's \
            replicas, and kept when the app is deleted.",
        kind: Kind::List(Items { item: &Kind::Text(&VOLUME), min: 0, max: MAX_LIST }),
        unless: Unless::Means("none"),
        example: "volumes: [\"cache:/var/cache/myapp\"]",
    },
    Key {
        name: "labels",
        about: "Labels for your own use, set on every container.",
        kind: Kind::Map { key: &LABEL_KEY, value: &Kind::Text(&LABEL_VALUE), max: MAX_LIST },
        unless: Unless::Means("none"),
        example: "labels: { team: shop }",
    },
    Key {
        name: "pull",
        about: "When the image of a new revision is pulled. With never it must be on the engine.",
        kind: Kind::Choice(&["missing", "always", "never"]),
        unless: Unless::Value("missing"),
        example: "pull: always",
    },
];

/// The keys of `access`.
pub const ACCESS: [Key; 2] = [
    Key {
        name: "host",
        about: "One host or several, under which the app answers.",
        kind: Kind::OneOrList(Items { item: &Kind::Text(&HOST), min: 1, max: MAX_LIST }),
        unless: Unless::Required,
        example: "host: myapp.local",
    },
    Key {
        name: "path",
        about: "Requests whose path begins with these segments are the app's. Of several apps under \
            one host the one with the longest path gets a request.",
        kind: Kind::Text(&PATH),
        unless: Unless::Value("/"),
        example: "path: /shop",
    },
];

/// The keys of `health`.
pub const HEALTH: [Key; 10] = [
    Key {
        name: "http",
        about: "GET this path: a status from 200 to 399 is a good answer.",
        kind: Kind::Text(&URL_PATH),
        unless: Unless::Means("tcp or exec is written"),
        example: "http: /healthz",
    },
    Key {
        name: "tcp",
        about: "Open a connection: that it opens is a good answer.",
        kind: Kind::True,
        unless: Unless::Means("http or exec is written"),
        example: "tcp: true",
    },
    Key {
        name: "exec",
        about: "Run this command in the container: exit code 0 is a good answer.",
        kind: Kind::List(PROGRAM),
        unless: Unless::Means("http or tcp is written"),
        example: "exec: [\"/bin/check\"]",
    },
    Key {
        name: "port",
        about: "The port that is asked, where it is another one. Has no meaning beside exec.",
        kind: PORT,
        unless: Unless::Means("the app's port"),
        example: "port: 8081",
    },
    Key {
        name: "interval",
        about: "The time between two questions to a replica that is ready. One that is not is asked \
            at least once a second.",
        kind: SPAN,
        unless: Unless::Value("5s"),
        example: "interval: 10s",
    },
    Key {
        name: "timeout",
        about: "How long an answer may take; at most interval.",
        kind: SPAN,
        unless: Unless::Value("2s"),
        example: "timeout: 1s",
    },
    Key {
        name: "start_period",
        about: "How long a replica may take to start: bad answers until then do not count for \
            replace_after, unless it was ready before.",
        kind: SPAN,
        unless: Unless::Value("1m"),
        example: "start_period: 2m",
    },
    Key {
        name: "success",
        about: "So many good answers in a row make a replica ready.",
        kind: COUNT,
        unless: Unless::Value("1"),
        example: "success: 2",
    },
    Key {
        name: "failures",
        about: "So many bad answers in a row take a ready replica out of the routes.",
        kind: COUNT,
        unless: Unless::Value("2"),
        example: "failures: 3",
    },
    Key {
        name: "replace_after",
        about: "So many bad answers in a row have the replica replaced; at least failures.",
        kind: COUNT,
        unless: Unless::Value("6"),
        example: "replace_after: 12",
    },
];

/// The keys of `rollout`.
pub const ROLLOUT: [Key; 7] = [
    Key {
        name: "max_surge",
        about: "So many replicas more than wanted may be live on the way. A percentage of replicas \
            is rounded up. Has no place beside order: stop-first.",
        kind: Kind::CountOrPercent { max: MAX_REPLICAS },
        unless: Unless::Means("1"),
        example: "max_surge: 25%",
    },
    Key {
        name: "max_unavailable",
        about: "So many of the wanted replicas may be missing on the way. A percentage of replicas \
            is rounded down.",
        kind: Kind::CountOrPercent { max: MAX_REPLICAS },
        unless: Unless::Value("0"),
        example: "max_unavailable: 1",
    },
    Key {
        name: "min_ready",
        about: "A new replica counts once it was ready for so long without a break.",
        kind: SPAN,
        unless: Unless::Value("2s"),
        example: "min_ready: 10s",
    },
    Key {
        name: "progress_deadline",
        about: "A revision that makes no progress for so long has failed.",
        kind: SPAN,
        unless: Unless::Value("2m"),
        example: "progress_deadline: 5m",
    },
    Key {
        name: "order",
        about: "Whether the new replica is ready before the old one goes, or the old one is gone \
            before the new one starts.",
        kind: Kind::Choice(&["start-first", "stop-first"]),
        unless: Unless::Means(
            "start-first, but stop-first for an app of one replica that writes to a volume",
        ),
        example: "order: stop-first",
    },
    Key {
        name: "on_failure",
        about: "What happens when a revision fails: the app returns to the last one that was \
            complete, or everything stays as it is.",
        kind: Kind::Choice(&["rollback", "pause"]),
        unless: Unless::Value("rollback"),
        example: "on_failure: pause",
    },
    Key {
        name: "history",
        about: "So many revisions are kept to go back to.",
        kind: Kind::Whole { min: 1, max: Rollout::MAX_HISTORY },
        unless: Unless::Value("10"),
        example: "history: 20",
    },
];

/// The keys of `pre_deploy`.
pub const PRE_DEPLOY: [Key; 2] = [
    Key {
        name: "command",
        about: "The command and its arguments, run in the new image with the app's environment and \
            volumes. Passed through no shell.",
        kind: Kind::List(PROGRAM),
        unless: Unless::Required,
        example: "command: [\"/bin/migrate\", \"up\"]",
    },
    Key {
        name: "timeout",
        about: "How long it may take.",
        kind: SPAN,
        unless: Unless::Value("5m"),
        example: "timeout: 10m",
    },
];

/// The keys of `resources`.
pub const RESOURCES: [Key; 2] = [
    Key {
        name: "cpu",
        about: "Processor time, in cores.",
        kind: Kind::Text(&CPU),
        unless: Unless::Means("no limit"),
        example: "cpu: 0.5",
    },
    Key {
        name: "memory",
        about: "How much memory. A replica that needs more is killed, and started again.",
        kind: Kind::Text(&MEMORY),
        unless: Unless::Means("no limit"),
        example: "memory: 256Mi",
    },
];

/// The keys of `stop`.
pub const STOP: [Key; 3] = [
    Key {
        name: "signal",
        about: "The signal that asks a replica to end.",
        kind: Kind::Choice(&[
            "SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGWINCH",
        ]),
        unless: Unless::Means("the image's own, mostly SIGTERM"),
        example: "signal: SIGINT",
    },
    Key {
        name: "grace",
        about: "The time between the signal and the kill.",
        kind: SPAN,
        unless: Unless::Value("10s"),
        example: "grace: 30s",
    },
    Key {
        name: "drain",
        about: "How long requests under way may take before the signal comes all the same.",
        kind: SPAN,
        unless: Unless::Value("30s"),
        example: "drain: 1m",
    },
];

const FILE: Key = Key {
    name: "file",
    about: "The path of the file on the machine where it is applied. A relative one begins at the \
        folder of the file that it stands in.",
    kind: Kind::Text(&FILE_PATH),
    unless: Unless::Required,
    example: "file: ./password",
};
const SHA256: Key = Key {
    name: "sha256",
    about: "The first 16 digits of the SHA-256 that the content must have.",
    kind: Kind::Text(&HASH),
    unless: Unless::Means("any content is taken"),
    example: "sha256: 0123456789abcdef",
};

/// The keys of a file that is referred to, in `env` and `env_file`.
pub const FILE_REF: [Key; 2] = [FILE, SHA256];

/// The keys of a file in `files`.
pub const CONFIG_FILE: [Key; 3] = [
    FILE,
    SHA256,
    Key {
        name: "mode",
        about: "Who may read it, as chmod writes it. Its owner is root.",
        kind: Kind::Text(&MODE),
        unless: Unless::Value("0644"),
        example: "mode: \"0400\"",
    },
];

/// What a JSON body has beside them.
pub const CONTENT: [Key; 1] = [Key {
    name: "content",
    about: "The content in base64.",
    kind: Kind::Text(&BASE64),
    unless: Unless::Means("the content that the app has already, by its sha256"),
    example: "content: aGVsbG8=",
}];
