//! From a route table to configuration files. Pure: the same input gives the same bytes.
//!
//! Each generation is a folder of its own: `nginx.conf` with all that never changes,
//! `apps/APP.conf` with the upstreams of one app, `hosts/HOST.conf` with the routes of one host (a host that
//! occurs in two server blocks would silently be served by the first), `generation.conf` with the private
//! listener that says which generation serves, and `table.json`, the table that it was made of.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bytes::Bytes;
use dubernetes_core::app::{AppName, HostName, RoutePath};
use dubernetes_core::ingress::{Route, RouteTable};
use dubernetes_core::runtime::FileEntry;
use sha2::{Digest as _, Sha256};

use crate::directive::Token::{
    Address, Below, Host, Kibibytes, Number, Path, Socket, Text, Upstream, UpstreamUrl, Word,
};
use crate::directive::{Conf, Token};
pub use crate::directive::{Digest, IllegalToken};
use crate::version::Version;

/// The folder of all generations, in the nginx container.
pub const ROOT: &str = "/etc/nginx/dubernetes";
/// The port of the private listener on the container's address; never published.
pub const PRIVATE_PORT: u16 = 8079;
/// How many processes answer requests. Each reload leaves as many for as long as they have connections,
/// so there are only few; and two, so that one that crashes takes not all connections with it.
pub(crate) const WORKERS: usize = 2;
/// The path on it that answers with the generation's digest.
pub const GENERATION_PATH: &str = "/generation";

/// Where the configuration will be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// The nginx container's address.
    pub address: Ipv4Addr,
    /// The network's gateway, from which the private listener is asked.
    pub gateway: Ipv4Addr,
    /// Which nginx it is; while that is not known, only what each version understands is written.
    pub version: Option<Version>,
}

/// The files that serve one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The name, derived from every byte of the files.
    pub digest: Digest,
    /// The table that they serve.
    pub table: RouteTable,
    /// The contents by path, relative to the generation's folder.
    pub files: BTreeMap<String, Bytes>,
}

impl Generation {
    /// The folder of a generation.
    pub fn folder(digest: &Digest) -> String {
        format!("{ROOT}/gen-{digest}")
    }

    /// The files, to be put into the container.
    pub fn entries(&self) -> Vec<FileEntry> {
        let folder = Self::folder(&self.digest);
        let file = |(path, contents): (&String, &Bytes)| FileEntry::File {
            path: format!("{folder}/{path}"),
            contents: contents.clone(),
        };
        self.files.iter().map(file).collect()
    }

    /// The link that makes this generation the one that nginx reads at its next reload or start.
    pub fn link(&self) -> FileEntry {
        FileEntry::Symlink {
            path: format!("{ROOT}/current"),
            target: format!("gen-{}", self.digest),
        }
    }
}

/// Writes the files for `table`. Of two routes with one host and path the first counts.
///
/// # Errors
///
/// A value of the table that is not on the writer's allow-list.
pub fn write(table: &RouteTable, site: &Site) -> Result<Generation, IllegalToken> {
    let mut files = BTreeMap::new();
    files.insert("nginx.conf".to_owned(), main(site)?);
    let upstreams = Upstreams::of(table);
    for (app, pools) in &upstreams.0 {
        files.insert(format!("apps/{app}.conf"), app_file(app, pools, site)?);
    }
    for (host, routes) in by_host(table) {
        files.insert(host_file_name(host), host_file(host, &routes, &upstreams)?);
    }
    // A table has only text, numbers and lists, so it always serializes.
    files.insert("table.json".to_owned(), serde_json::to_string(table).unwrap_or_default());
    let digest = digest(&files, site);
    files.insert("generation.conf".to_owned(), private_listener(&digest, site)?);
    let files = files.into_iter().map(|(path, text)| (path, Bytes::from(text))).collect();
    Ok(Generation { digest, table: table.clone(), files })
}

/// Where the requests of an upstream go, in order.
type Pool = Vec<(Ipv4Addr, u16)>;

/// The distinct upstreams of each app, in the order of its routes.
struct Upstreams<'a>(BTreeMap<&'a AppName, Vec<Pool>>);

impl<'a> Upstreams<'a> {
    fn of(table: &'a RouteTable) -> Self {
        let mut apps: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for route in table.routes.iter().filter(|route| !route.endpoints.is_empty()) {
            let pools = apps.entry(&route.app).or_default();
            let pool = pool(route);
            if !pools.contains(&pool) {
                pools.push(pool);
            }
        }
        Self(apps)
    }

    /// The number of the route's upstream, from 1; `None` where it has no endpoint.
    fn number(&self, route: &Route) -> Option<usize> {
        let wanted = pool(route);
        Some(self.0.get(&route.app)?.iter().position(|pool| *pool == wanted)? + 1)
    }
}

fn pool(route: &Route) -> Pool {
    route.endpoints.iter().map(|endpoint| (endpoint.address, endpoint.port)).collect()
}

fn by_host(table: &RouteTable) -> BTreeMap<&HostName, BTreeMap<&RoutePath, &Route>> {
    let mut hosts: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for route in &table.routes {
        hosts.entry(&route.host).or_default().entry(&route.path).or_insert(route);
    }
    hosts
}

/// File systems end a name at 255 bytes, and a host may have 253; so a long one is cut, and
/// its hash keeps it apart.
fn host_file_name(host: &HostName) -> String {
    match host.as_str().get(..200) {
        Some(head) => format!("hosts/{head}-{}.conf", Digest::of(&Sha256::digest(host.as_str()))),
        None => format!("hosts/{host}.conf"),
    }
}

fn digest(files: &BTreeMap<String, String>, site: &Site) -> Digest {
    let mut hash = Sha256::new();
    for (path, text) in files {
        // Lengths keep a file's end apart from the next one's start.
        hash.update(format!("{path} {}\n{text}", text.len()));
    }
    hash.update(format!("{} {}", site.address, site.gateway));
    Digest::of(&hash.finalize())
}

fn main(site: &Site) -> Result<String, IllegalToken> {
    let mut conf = Conf::new();
    conf.line("worker_processes", &[Number(WORKERS)])?;
    conf.words("pid", &["/etc/nginx/dubernetes/nginx.pid"])?;
    conf.words("error_log", &["stderr", "error"])?;
    // Each connection is an open file, and some engines allow 1024 of these.
    conf.words("worker_rlimit_nofile", &["8192"])?;
    conf.block("events", &[], |conf| conf.words("worker_connections", &["4096"]))?;
    conf.block("http", &[], |conf| {
        client_settings(conf, site)?;
        proxy_settings(conf)?;
        conf.block("server", &[], |conf| {
            conf.words("listen", &["80", "default_server"])?;
            conf.line("return", &[Word("404"), Text("no app answers under this host")])
        })?;
        conf.words("include", &["generation.conf"])?;
        conf.words("include", &["apps/*.conf"])?;
        conf.words("include", &["hosts/*.conf"])
    })?;
    Ok(conf.finish())
}

fn client_settings(conf: &mut Conf, site: &Site) -> Result<(), IllegalToken> {
    conf.words("access_log", &["off"])?;
    conf.words("server_tokens", &["off"])?;
    conf.words("default_type", &["text/plain"])?;
    // A host may have 253 characters, the default bucket takes about 50.
    conf.words("server_names_hash_bucket_size", &["512"])?;
    conf.words("server_names_hash_max_size", &["8192"])?;
    conf.words("proxy_headers_hash_max_size", &["1024"])?;
    conf.words("proxy_headers_hash_bucket_size", &["128"])?;
    // The folders of the build may be missing in a small image; this one is ours.
    conf.words("client_body_temp_path", &["/etc/nginx/dubernetes/tmp-body"])?;
    conf.words("proxy_temp_path", &["/etc/nginx/dubernetes/tmp-proxy"])?;
    conf.words("fastcgi_temp_path", &["/etc/nginx/dubernetes/tmp-fastcgi"])?;
    conf.words("uwsgi_temp_path", &["/etc/nginx/dubernetes/tmp-uwsgi"])?;
    conf.words("scgi_temp_path", &["/etc/nginx/dubernetes/tmp-scgi"])?;
    // How much may be uploaded is the app's business.
    conf.words("client_max_body_size", &["0"])?;
    conf.words("large_client_header_buffers", &["4", "16k"])?;
    // A connection without a request holds up what drains, so it ends before the limit of that.
    conf.words("client_header_timeout", &["20s"])?;
    conf.words("keepalive_timeout", &["75s"])?;
    if site.version.is_some_and(Version::has_min_timeout) {
        // A reload leaves kept connections this long, so no request meets a connection that closes.
        conf.words("keepalive_min_timeout", &["1s"])?;
    }
    Ok(())
}

fn proxy_settings(conf: &mut Conf) -> Result<(), IllegalToken> {
    // Websockets are passed on and nothing else is: `h2c` would carry requests past the routes.
    conf.block("map", &[Word("$http_upgrade"), Word("$dubernetes_connection")], |conf| {
        conf.words("default", &["close"])?;
        conf.words("websocket", &["upgrade"])
    })?;
    conf.block("map", &[Word("$http_upgrade"), Word("$dubernetes_upgrade")], |conf| {
        conf.line("default", &[Text("")])?;
        conf.words("websocket", &["websocket"])
    })?;
    conf.words("proxy_http_version", &["1.1"])?;
    for (name, value) in [
        ("Host", Word("$http_host")),
        ("Connection", Word("$dubernetes_connection")),
        ("Upgrade", Word("$dubernetes_upgrade")),
        ("X-Real-IP", Word("$remote_addr")),
        // The client is not trusted: what it claims of itself is replaced or dropped.
        ("X-Forwarded-For", Word("$remote_addr")),
        ("X-Forwarded-Host", Word("$http_host")),
        ("X-Forwarded-Proto", Word("$scheme")),
        ("X-Forwarded-Port", Text("")),
        ("X-Forwarded-Prefix", Text("")),
        ("Forwarded", Text("")),
        ("Proxy", Text("")),
    ] {
        conf.line("proxy_set_header", &[Word(name), value])?;
    }
    // No answer of an app steers nginx itself.
    conf.words("proxy_ignore_headers", &["X-Accel-Redirect", "X-Accel-Charset"])?;
    conf.words("proxy_redirect", &["off"])?;
    // A body is passed on as it comes: an upload that is under way is a connection to its replica
    // then, and not a request that some worker will send at some time.
    conf.words("proxy_request_buffering", &["off"])?;
    // Event streams arrive as they are written.
    conf.words("proxy_buffering", &["off"])?;
    // Only the head of an answer has to fit; nginx wants the two in proportion all the same.
    conf.words("proxy_buffer_size", &["16k"])?;
    conf.words("proxy_buffers", &["8", "16k"])?;
    conf.words("proxy_connect_timeout", &["2s"])?;
    conf.words("proxy_read_timeout", &["1h"])?;
    conf.words("proxy_send_timeout", &["1h"])?;
    // What could not be connected goes to the next one; what was sent only if it is idempotent.
    conf.words("proxy_next_upstream", &["error", "timeout"])?;
    conf.words("proxy_next_upstream_tries", &["3"])
}

/// Answers with the generation, for the orchestrator alone. `return` would come before the
/// check of the address, hence the way over `try_files`, which comes after it.
fn private_listener(digest: &Digest, site: &Site) -> Result<String, IllegalToken> {
    let mut conf = Conf::new();
    conf.block("server", &[], |conf| {
        conf.line("listen", &[Socket(site.address, PRIVATE_PORT)])?;
        conf.line("allow", &[Address(site.gateway)])?;
        conf.line("allow", &[Address(site.address)])?;
        conf.words("deny", &["all"])?;
        conf.block("location", &[Word("="), Word(GENERATION_PATH)], |conf| {
            conf.words("try_files", &["/none", "@generation"])
        })?;
        conf.block("location", &[Word("@generation")], |conf| {
            conf.line("return", &[Word("200"), Token::Digest(digest)])
        })
    })?;
    Ok(conf.finish())
}

fn app_file(app: &AppName, pools: &[Pool], site: &Site) -> Result<String, IllegalToken> {
    let mut conf = Conf::new();
    for (index, pool) in pools.iter().enumerate() {
        let number = index + 1;
        conf.block("upstream", &[Upstream(app, number)], |conf| {
            // Shared by all workers, so that requests go round evenly; 32 endpoints fit in 64 KiB.
            let size = Kibibytes(64 * (1 + pool.len() / 32));
            conf.line("zone", &[Upstream(app, number), size])?;
            for (address, port) in pool {
                // One slip must not keep requests from an only replica for 10 s.
                conf.line("server", &[Socket(*address, *port), Word("max_fails=0")])?;
            }
            if site.version.is_some_and(Version::keeps_upstreams) {
                // A kept connection can outlive its route, and a POST on a stale one fails.
                conf.words("keepalive", &["0"])?;
            }
            Ok(())
        })?;
    }
    Ok(conf.finish())
}

fn host_file(
    host: &HostName,
    routes: &BTreeMap<&RoutePath, &Route>,
    upstreams: &Upstreams<'_>,
) -> Result<String, IllegalToken> {
    let mut conf = Conf::new();
    conf.block("server", &[], |conf| {
        conf.words("listen", &["80"])?;
        conf.line("server_name", &[Host(host)])?;
        for (path, route) in routes {
            let number = upstreams.number(route);
            if !path.is_root() {
                conf.block("location", &[Word("="), Path(path)], |conf| {
                    pass(conf, &route.app, number)
                })?;
            }
            conf.block("location", &[Below(path)], |conf| pass(conf, &route.app, number))?;
        }
        if routes.keys().all(|path| !path.is_root()) {
            conf.block("location", &[Word("/")], |conf| {
                conf.line("return", &[Word("404"), Text("no app answers under this path")])
            })?;
        }
        Ok(())
    })?;
    Ok(conf.finish())
}

fn pass(conf: &mut Conf, app: &AppName, upstream: Option<usize>) -> Result<(), IllegalToken> {
    match upstream {
        Some(number) => conf.line("proxy_pass", &[UpstreamUrl(app, number)]),
        None => {
            conf.words("add_header", &["Retry-After", "5", "always"])?;
            conf.line("return", &[Word("503"), Text("this app has no ready replica")])
        }
    }
}
