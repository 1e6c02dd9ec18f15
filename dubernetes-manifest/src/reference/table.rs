//! The keys themselves, in the order in which people write them.

use dubernetes_core::app::rules::{MAX_ENV_FILES, MAX_LIST};
use dubernetes_core::app::{MAX_ENV_ENTRIES, MAX_FILES, MAX_REPLICAS, PullPolicy, RouteProtocol};

use super::grammar::{
    BASE64, CAPABILITY, CONTAINER_FOLDER, CPU, DEVICE, DURATION, ENV_NAME, ENV_VALUE, EXTRA_HOST,
    FILE_PATH, FILE_TARGET, HASH, HOST_PATTERN, ISSUED_TLS, LABEL_KEY, LABEL_VALUE, LIMIT, MEMORY,
    MODE, NAME, OWNER, PATH, PORT_MAPPING, SECRET_NAME, TMPFS, ULIMIT, ULIMIT_NAME, USER, VOLUME,
    WORD,
};
use super::lifecycle::{HEALTH, IMAGE_KEY, PRE_DEPLOY, PROGRAM_KEY, ROLLOUT, STOP};
use super::{DefaultValue, Key, Kind, ListKind, ObjectKind};

pub(super) const PORT: Kind = Kind::WholeNumber { min: 1, max: u16::MAX };
pub(super) const SPAN: Kind = Kind::Text(&DURATION);
const WORDS: ListKind = ListKind { item: &Kind::Text(&WORD), min: 0, max: MAX_LIST };
pub(super) const PROGRAM: ListKind = ListKind { min: 1, ..WORDS };
const CONTENT_REF_OBJECT: ObjectKind =
    ObjectKind { keys: CONTENT_REF, one_of: SOURCES, body_only: CONTENT };
const CONFIG_FILE_OBJECT: ObjectKind =
    ObjectKind { keys: CONFIG_FILE, one_of: SOURCES, body_only: CONTENT };
/// Where a content comes from.
const SOURCES: &[&str] = &["file", "secret"];

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
    IMAGE_KEY,
    PROGRAM_KEY,
    Key {
        name: "replicas",
        description: "The number of replicas to keep running. With 0, the app's hosts answer 503.",
        kind: Kind::WholeNumber { min: 0, max: MAX_REPLICAS },
        default: DefaultValue::Value("1"),
        example: "replicas: 3",
    },
    Key {
        name: "port",
        description: "The port on which each replica listens, inside its container. Other apps \
            reach the ready replicas by the app's name and this port. It is no port of the host: \
            see ports.",
        kind: PORT,
        default: DefaultValue::Described("80 with access, else the first TCP port of ports"),
        example: "port: 8080",
    },
    Key {
        name: "ports",
        description: "Ports of the host that lead to a port of the ready replicas, for protocols \
            other than HTTP, as in Compose: \"5432:5432\", \"127.0.0.1:5432:5432\", \
            \"53:53/udp\". Without an address, all IPv4 addresses of the host. Where the image of \
            the ingress has no stream module, one replica publishes them, and updates stop it \
            first.",
        kind: Kind::List(ListKind { item: &Kind::Text(&PORT_MAPPING), min: 0, max: MAX_LIST }),
        default: DefaultValue::Described("none"),
        example: "ports: [\"5432:5432\"]",
    },
    Key {
        name: "access",
        description: "The hosts and path that are routed to the app. An app with several ports or \
            paths has a list of such mappings.",
        kind: Kind::OneOrList(ListKind { item: &object(ACCESS), min: 1, max: MAX_LIST }),
        default: DefaultValue::Described("no route"),
        example: "access: { host: myapp.local }",
    },
    Key {
        name: "env",
        description: "Environment variables, each a text, { file: ./path } or { secret: name }. \
            Values are passed literally, without a shell: at most 32 KiB each, and 256 KiB \
            together.",
        kind: Kind::Map {
            key: &ENV_NAME,
            value: &Kind::TextOrObject(&ENV_VALUE, CONTENT_REF_OBJECT),
            max: MAX_ENV_ENTRIES,
        },
        default: DefaultValue::Described("those of the image"),
        example: "env: { LOG_LEVEL: info }",
    },
    Key {
        name: "env_file",
        description: "Files with lines KEY=VALUE, each a path or { secret: name }. Paths are read \
            by apply. Later files override earlier ones, and env overrides all.",
        kind: Kind::OneOrList(ListKind {
            item: &Kind::TextOrObject(&FILE_PATH, CONTENT_REF_OBJECT),
            min: 0,
            max: MAX_ENV_FILES,
        }),
        default: DefaultValue::Described("none"),
        example: "env_file: ./.env",
    },
    Key {
        name: "files",
        description: "Files that are copied into every container before it starts, each a path, \
            { file: ./path, mode: \"0400\", owner: \"1000:1000\" } or { secret: name }. Paths \
            are read by apply, relative to the manifest.",
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
            rollout continues only with ready replicas. The HEALTHCHECK of the image is not used.",
        kind: Kind::Object(ObjectKind {
            keys: HEALTH,
            one_of: &["http", "tcp", "exec"],
            body_only: &[],
        }),
        default: DefaultValue::Described(
            "ready when the port accepts a connection, or without port and access after running \
             for 2s",
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
        name: "after",
        description: "Apps that must be ready before this one starts for the first time. Later \
            they are independent.",
        kind: Kind::List(ListKind { item: &Kind::Text(&NAME), min: 0, max: MAX_LIST }),
        default: DefaultValue::Described("none"),
        example: "after: [db]",
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
        description: "Named volumes and host folders. A named volume belongs to the app, or with \
            :shared to all apps, or with :external exists on the engine; it is kept when the app \
            is deleted. :z and :Z label a folder for SELinux. Folders of the system need serve \
            --allow host-paths.",
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
    Key {
        name: "user",
        description: "The user that runs the command, with an optional group.",
        kind: Kind::Text(&USER),
        default: DefaultValue::Described("the image's own"),
        example: "user: \"1000:1000\"",
    },
    Key {
        name: "working_dir",
        description: "The folder in which the command runs.",
        kind: Kind::Text(&CONTAINER_FOLDER),
        default: DefaultValue::Described("the image's own"),
        example: "working_dir: /srv",
    },
    Key {
        name: "init",
        description: "Whether process 1 is an init that reaps orphans and passes signals on. \
            Images with an init of their own, such as s6-overlay or systemd, need false.",
        kind: Kind::Bool,
        default: DefaultValue::Value("true"),
        example: "init: false",
    },
    Key {
        name: "read_only",
        description: "Whether the files of the image are read-only. Cannot be combined with files.",
        kind: Kind::Bool,
        default: DefaultValue::Value("false"),
        example: "read_only: true",
    },
    Key {
        name: "no_new_privileges",
        description: "Whether setuid programs and file capabilities, such as those of sudo and \
            ping, have no effect.",
        kind: Kind::Bool,
        default: DefaultValue::Value("true"),
        example: "no_new_privileges: false",
    },
    Key {
        name: "cap_add",
        description: "Capabilities to add. Those that Docker does not give by default need \
            serve --allow cap_add.",
        kind: Kind::List(ListKind { item: &Kind::Text(&CAPABILITY), min: 0, max: MAX_LIST }),
        default: DefaultValue::Described("none"),
        example: "cap_add: [NET_ADMIN]",
    },
    Key {
        name: "cap_drop",
        description: "Capabilities to take away.",
        kind: Kind::List(ListKind { item: &Kind::Text(&CAPABILITY), min: 0, max: MAX_LIST }),
        default: DefaultValue::Described("none"),
        example: "cap_drop: [ALL]",
    },
    Key {
        name: "devices",
        description: "Devices of the host. They need serve --allow devices.",
        kind: Kind::List(ListKind { item: &Kind::Text(&DEVICE), min: 0, max: MAX_LIST }),
        default: DefaultValue::Described("none"),
        example: "devices: [\"/dev/ttyUSB0\"]",
    },
    Key {
        name: "tmpfs",
        description: "Folders in memory.",
        kind: Kind::OneOrList(ListKind { item: &Kind::Text(&TMPFS), min: 0, max: MAX_LIST }),
        default: DefaultValue::Described("none"),
        example: "tmpfs: [\"/run\", \"/tmp:size=64m\"]",
    },
    Key {
        name: "shm_size",
        description: "The size of /dev/shm.",
        kind: Kind::Text(&MEMORY),
        default: DefaultValue::Described("64Mi"),
        example: "shm_size: 256Mi",
    },
    Key {
        name: "ulimits",
        description: "Limits of the kernel for each process, each a number or \
            { soft: N, hard: N }.",
        kind: Kind::Map {
            key: &ULIMIT_NAME,
            value: &Kind::TextOrObject(&ULIMIT, ObjectKind::new(ULIMITS)),
            max: 16,
        },
        default: DefaultValue::Described("those of the engine"),
        example: "ulimits: { nofile: 65536 }",
    },
    Key {
        name: "extra_hosts",
        description: "Lines for /etc/hosts.",
        kind: Kind::List(ListKind { item: &Kind::Text(&EXTRA_HOST), min: 0, max: MAX_LIST }),
        default: DefaultValue::Described("none"),
        example: "extra_hosts: [\"host.docker.internal:host-gateway\"]",
    },
];

/// The keys of a limit in `ulimits`.
pub const ULIMITS: &[Key] = &[
    Key {
        name: "soft",
        description: "The limit that applies.",
        kind: Kind::Text(&LIMIT),
        default: DefaultValue::Required,
        example: "soft: 1024",
    },
    Key {
        name: "hard",
        description: "The limit up to which a process may raise its own.",
        kind: Kind::Text(&LIMIT),
        default: DefaultValue::Required,
        example: "hard: 65536",
    },
];

/// The keys of `access`.
pub const ACCESS: &[Key] = &[
    Key {
        name: "host",
        description: "The host names. *.myapp.local is every host with exactly one label in front \
            of myapp.local. A name wins over a wildcard. Without host, as in access: {}, the app \
            gets the requests to all hosts that no other app has.",
        kind: Kind::OneOrList(ListKind { item: &Kind::Text(&HOST_PATTERN), min: 1, max: MAX_LIST }),
        default: DefaultValue::Described("every host that no other app has"),
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
    Key {
        name: "port",
        description: "The port in the container that gets these requests. The app's own port \
            still decides whether a replica is ready.",
        kind: PORT,
        default: DefaultValue::Described("the app's port"),
        example: "port: 9090",
    },
    Key {
        name: "strip_prefix",
        description: "Whether path is removed before the app gets the request: with path: /shop, \
            /shop/cart arrives as /cart. The app finds the prefix in the header \
            X-Forwarded-Prefix.",
        kind: Kind::Bool,
        default: DefaultValue::Value("false"),
        example: "strip_prefix: true",
    },
    Key {
        name: "protocol",
        description: "What the app speaks. With h2c, which gRPC needs, requests reach it over \
            HTTP/2 without TLS, and clients may use HTTP/2 too. It needs nginx 1.25.1 or later.",
        kind: Kind::Choice(RouteProtocol::WORDS),
        default: DefaultValue::Value("http"),
        example: "protocol: h2c",
    },
    Key {
        name: "keepalive",
        description: "Whether connections to a replica are kept, and used for further GET, HEAD \
            and OPTIONS requests without a body. It makes an app with thousands of requests per \
            second faster. An app that serves one connection at a time needs false.",
        kind: Kind::Bool,
        default: DefaultValue::Value("false"),
        example: "keepalive: true",
    },
    Key {
        name: "buffer_requests",
        description: "Whether the ingress reads the whole body of a request before the app gets \
            it, always with a Content-Length. It is for apps that cannot read chunked bodies, and \
            spares apps slow clients. Without it a body is passed on as it arrives.",
        kind: Kind::Bool,
        default: DefaultValue::Value("false"),
        example: "buffer_requests: true",
    },
    Key {
        name: "tls",
        description: "Where the certificate of the hosts comes from; they are then served over \
            HTTPS, and HTTP is redirected. With auto, an authority such as Let's Encrypt issues \
            it; it has to reach the hosts at port 80. With internal, the instance's own authority \
            does, which clients have to trust. It needs serve --https-port; none is HTTP alone.",
        kind: Kind::TextOrObject(&ISSUED_TLS, ObjectKind::new(TLS)),
        default: DefaultValue::Described("none, or serve --default-tls"),
        example: "tls: auto",
    },
];

/// The keys of `access.tls`.
const TLS: &[Key] = &[
    Key {
        name: "cert",
        description: "The certificate and those that lead to its authority, as PEM: a path, or \
            { secret: name }.",
        kind: Kind::TextOrObject(&FILE_PATH, CONTENT_REF_OBJECT),
        default: DefaultValue::Required,
        example: "cert: ./shop.pem",
    },
    Key {
        name: "key",
        description: "The private key of the certificate, as PEM: a path, or { secret: name }.",
        kind: Kind::TextOrObject(&FILE_PATH, CONTENT_REF_OBJECT),
        default: DefaultValue::Required,
        example: "key: { secret: shop-key }",
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

const FILE: Key = Key {
    name: "file",
    description: "The path of the file on the machine where apply runs. Relative paths start at \
        the folder of the manifest.",
    kind: Kind::Text(&FILE_PATH),
    default: DefaultValue::Described("one of file and secret is required"),
    example: "file: ./password",
};
const SECRET: Key = Key {
    name: "secret",
    description: "The name of a secret, which dubernetes secret set creates. When its value \
        changes, the app rolls.",
    kind: Kind::Text(&SECRET_NAME),
    default: DefaultValue::Described("one of file and secret is required"),
    example: "secret: db-password",
};
const SHA256: Key = Key {
    name: "sha256",
    description: "The first 16 digits of the SHA-256 that the content must have. A file that \
        cannot be read is then taken from the app as it is stored.",
    kind: Kind::Text(&HASH),
    default: DefaultValue::Described("any content is accepted"),
    example: "sha256: 0123456789abcdef",
};

/// The keys of a reference to a file or a secret in `env` and `env_file`.
pub const CONTENT_REF: &[Key] = &[FILE, SECRET, SHA256];

/// The keys of a reference to a file or a secret in `files`.
pub const CONFIG_FILE: &[Key] = &[
    FILE,
    SECRET,
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
