//! The grammars of texts, in words and as patterns.
//!
//! A pattern accepts every text that the type of the core accepts, and a few more: only the type
//! itself checks rules such as "no two dots in a row".

use dubernetes_core::app::MAX_CONTENT_BYTES;

/// The grammar of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grammar {
    /// What the text is, in one or two words, singular.
    pub noun: &'static str,
    /// The legal texts in words; empty if every text is legal.
    pub rule: &'static str,
    /// The legal texts as a regular expression; empty if every text is legal.
    pub pattern: &'static str,
    /// The largest number of characters.
    pub max_chars: usize,
    /// Unquoted YAML scalars of other types that are read as this text.
    pub scalars: Scalars,
}

/// Unquoted YAML scalars of other types that are read as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalars {
    /// None.
    Text,
    /// Numbers, such as `0.5`.
    Numbers,
    /// Numbers, and booleans such as `true`.
    All,
}

const fn text(
    noun: &'static str,
    rule: &'static str,
    pattern: &'static str,
    max_chars: usize,
) -> Grammar {
    Grammar { noun, rule, pattern, max_chars, scalars: Scalars::Text }
}

impl Grammar {
    /// Reads unquoted scalars of other types as well.
    const fn reading(self, scalars: Scalars) -> Self {
        Self { scalars, ..self }
    }
}

pub(super) const NAME: Grammar = text(
    "name",
    "1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends; not ingress",
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    63,
)
.reading(Scalars::All);
pub(super) const SECRET_NAME: Grammar = text(
    "name",
    "1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends",
    "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
    63,
)
.reading(Scalars::All);
pub(super) const IMAGE: Grammar = text(
    "image reference",
    "[host[:port]/]path[:tag][@sha256:digest], at most 255 characters",
    "^[A-Za-z0-9][A-Za-z0-9._:/@-]*$",
    255,
)
.reading(Scalars::All);
pub(super) const HOST: Grammar = text(
    "host name",
    "labels of a-z, 0-9 and - joined by dots; no wildcard, port, scheme, path or address",
    "^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
    253,
)
.reading(Scalars::All);
pub(super) const HOST_PATTERN: Grammar = text(
    "host name",
    "labels of a-z, 0-9 and - joined by dots, with *. in front for any one label; no port, \
        scheme, path or address",
    "^(\\*\\.)?[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
    255,
)
.reading(Scalars::All);
pub(super) const PATH: Grammar = text(
    "path",
    "/, then letters, digits, . _ ~ - and /, at most 255 characters",
    "^/[A-Za-z0-9._~/-]*$",
    255,
);
pub(super) const URL_PATH: Grammar = text(
    "URL path",
    "/, then visible ASCII characters except #, at most 1024 characters",
    "^/[!-\"$-~]*$",
    1024,
);
pub(super) const ENV_NAME: Grammar = text(
    "name",
    "a letter or _, then letters, digits, _ . and -, at most 256 characters",
    "^[A-Za-z_][A-Za-z0-9_.-]*$",
    256,
);
pub(super) const ENV_VALUE: Grammar =
    text("text", "at most 32 KiB", "", 32 << 10).reading(Scalars::All);
pub(super) const LABEL_KEY: Grammar = text(
    "key",
    "1 to 128 letters, digits, . _ - and /, not starting with dubernetes",
    "^[A-Za-z0-9._/-]+$",
    128,
);
pub(super) const LABEL_VALUE: Grammar =
    text("text", "at most 4 KiB", "", 4096).reading(Scalars::All);
pub(super) const WORD: Grammar = text("text", "", "", 1 << 20).reading(Scalars::All);
pub(super) const CPU: Grammar = text(
    "number of cores",
    "0.001 to 1024, or 1m to 1024000m in thousandths",
    "^((0|[1-9][0-9]*)(\\.[0-9]{1,3})?|[1-9][0-9]*m)$",
    16,
)
.reading(Scalars::Numbers);
pub(super) const MEMORY: Grammar = text(
    "size",
    "6Mi to 16Ti, such as 64Mi or 1Gi; k, m and g mean Ki, Mi and Gi",
    "^[1-9][0-9]*(Ki|Mi|Gi|Ti|k|m|g)$",
    24,
);
pub(super) const DURATION: Grammar = text(
    "duration",
    "1ms to 1h, such as 500ms, 10s or 1m30s",
    "^((0|[1-9][0-9]*)(ms|s|m|h))+$",
    1024,
);
pub(super) const VOLUME: Grammar = text(
    "volume",
    "NAME:/target, ./folder:/target or /folder:/target, with :ro for read-only",
    "^[^:]+:/[^:]*(:(ro|rw|shared|external|z|Z)(,(ro|rw|shared|external|z|Z))*)?$",
    3072,
);
pub(super) const PORT_MAPPING: Grammar = text(
    "published port",
    "HOST_PORT:PORT or ADDRESS:HOST_PORT:PORT, with /udp for datagrams",
    "^((([0-9]{1,3}\\.){3}[0-9]{1,3}|\\[[0-9a-f:.]+\\]):)?[0-9]{1,5}:[0-9]{1,5}(/(tcp|udp))?$",
    64,
);
pub(super) const FILE_PATH: Grammar =
    text("file path", "at most 1024 characters, not starting with ~", "^[^~]", 1024)
        .reading(Scalars::All);
pub(super) const ISSUED_TLS: Grammar = text(
    "word",
    "auto, internal or none, or the cert and key that you have",
    "^(auto|internal|none)$",
    8,
);
pub(super) const FILE_TARGET: Grammar =
    text("container path", "an absolute path, outside /proc, /sys and /dev", "^/.", 1024);
pub(super) const HASH: Grammar =
    text("hash", "16 digits of 0-9 and a-f", "^[0-9a-f]{16}$", 16).reading(Scalars::Numbers);
pub(super) const MODE: Grammar =
    text("mode", "three octal digits, with an optional 0 in front", "^0?[0-7]{3}$", 4)
        .reading(Scalars::Numbers);
pub(super) const OWNER: Grammar =
    text("owner", "UID or UID:GID, in numbers", "^[0-9]+(:[0-9]+)?$", 21).reading(Scalars::Numbers);
pub(super) const USER: Grammar =
    text("user", "USER or USER:GROUP, by name or number", "^[A-Za-z0-9_.:-]+$", 129)
        .reading(Scalars::Numbers);
pub(super) const CONTAINER_FOLDER: Grammar =
    text("container path", "an absolute path in the container", "^/", 1024);
pub(super) const CAPABILITY: Grammar =
    text("capability", "a capability of Linux, or ALL", "^[A-Za-z_]+$", 32);
pub(super) const DEVICE: Grammar =
    text("device", "/dev/NAME, with :/dev/NAME in the container and :rwm", "^/.", 2060);
pub(super) const TMPFS: Grammar =
    text("folder", "/path, with options such as :size=64m,mode=1777", "^/.", 1280);
pub(super) const ULIMIT_NAME: Grammar = text("limit", "nofile, nproc, memlock …", "^[a-z]+$", 10);
pub(super) const ULIMIT: Grammar =
    text("limit", "a number, or SOFT:HARD; -1 is no limit", "^-?[0-9]+(:-?[0-9]+)?$", 41)
        .reading(Scalars::Numbers);
pub(super) const LIMIT: Grammar =
    text("number", "a number; -1 is no limit", "^-?[0-9]+$", 20).reading(Scalars::Numbers);
pub(super) const EXTRA_HOST: Grammar = text(
    "host",
    "NAME:ADDRESS, or NAME:host-gateway for the host itself",
    "^[A-Za-z0-9_.-]+[:=].",
    320,
);
pub(super) const BASE64: Grammar =
    text("base64", "", "^[A-Za-z0-9+/]*={0,2}$", 4 * MAX_CONTENT_BYTES.div_ceil(3));
