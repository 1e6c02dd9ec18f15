//! Renders a route table into configuration files. Pure: the same input gives the same bytes.
//!
//! Each generation is a directory of its own:
//!
//! - `nginx.conf`: everything that does not depend on the table.
//! - `apps/APP.conf`: the upstreams of one app, and its name for requests.
//! - `streams/APP.conf`: the name of one app for connections.
//! - `hosts/HOST.conf`: the routes of one host. One server block holds all routes of a host: if
//!   two blocks named the same host, nginx would silently ignore the second.
//! - `certificates/HOST.pem` and `certificates/HOST.key`: the certificate of one host.
//! - `proxies.conf`: what proxies in front are believed, for each host. Only if some are.
//! - `requests.js`: counts requests. Only if they are counted.
//! - `generation.conf`: the private listener that names the generation being served.
//! - `table.json`: the table that the files were rendered from.

mod access_log;
mod h2c;
mod hosts;
mod keepalive;
mod listener;
pub(crate) mod names;
mod proxies;
mod requests;
mod tls;
mod unreached;
mod upstreams;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use bytes::Bytes;
use dubernetes_core::app::{Duration, HostPattern, RouteProtocol, Secret};
use dubernetes_core::certificate::KeyPair;
use dubernetes_core::ingress::{Protocol, RouteTable};
use dubernetes_core::runtime::FileEntry;
use sha2::{Digest as _, Sha256};

use crate::directive::Token::{Number, Socket, Text, Word};
use crate::directive::{Conf, KEPT, Token};
pub use crate::directive::{Digest, IllegalToken};
use crate::features::Features;
use crate::version::Version;
use names::Names;
pub use proxies::Proxies;
pub(crate) use requests::PATH as COUNTS_PATH;
pub(crate) use tls::ANSWERS;
use upstreams::Upstreams;

/// Directory of all generations, in the nginx container.
pub const ROOT: &str = "/etc/nginx/dubernetes";
/// Port of the private listener on the container's address. Never published.
pub const PRIVATE_PORT: u16 = 8079;
/// Path on the private listener that answers with the generation's digest.
pub const GENERATION_PATH: &str = "/generation";
/// Number of worker processes. Few, because each reload leaves this number of old workers until
/// their connections end; more than one, so that a crash does not end every connection.
pub(crate) const WORKERS: usize = 2;

/// Time limit of one attempt to connect to a replica. A replica is on this host: it accepts at
/// once, or it is overloaded or gone. So one that is gone costs a client half a second, and one
/// that is overloaded still has [`TRIES`] times as long to accept.
pub(crate) const CONNECT_TIMEOUT: &str = "500ms";
/// Number of attempts, at one or several replicas.
pub(crate) const TRIES: &str = "4";
/// The same as a number: each upstream has at least as many servers, if necessary the same twice.
pub(crate) const SERVERS: usize = 4;

/// Other names of the headers that nginx sets. CGI and WSGI apps read `_` and `-` as the same, so
/// these would be another way to forge them.
const ALIASES: [&str; 30] = [
    "X_Real_IP",
    "X_Real-IP",
    "X-Real_IP",
    "X_Forwarded_For",
    "X_Forwarded-For",
    "X-Forwarded_For",
    "X_Forwarded_Host",
    "X_Forwarded-Host",
    "X-Forwarded_Host",
    "X_Forwarded_Proto",
    "X_Forwarded-Proto",
    "X-Forwarded_Proto",
    "X_Forwarded_Port",
    "X_Forwarded-Port",
    "X-Forwarded_Port",
    "X_Forwarded_Prefix",
    "X_Forwarded-Prefix",
    "X-Forwarded_Prefix",
    "X_Forwarded_Ssl",
    "X_Forwarded-Ssl",
    "X-Forwarded_Ssl",
    "X_Forwarded_Scheme",
    "X_Forwarded-Scheme",
    "X-Forwarded_Scheme",
    "X_Url_Scheme",
    "X_Url-Scheme",
    "X-Url_Scheme",
    "Front_End_Https",
    "Front_End-Https",
    "Front-End_Https",
];

/// The container and network that a configuration is rendered for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderContext {
    /// Address of the nginx container.
    pub address: Ipv4Addr,
    /// Gateway of the network: the orchestrator's address as the private listener sees it.
    pub gateway: Ipv4Addr,
    /// Whether requests from outside arrive at any address of the container.
    pub any_address: bool,
    /// Version of nginx. While it is unknown, only directives that every version accepts are
    /// written.
    pub version: Option<Version>,
    /// What the image offers for names. Names that need more are left out.
    pub features: Features,
    /// How long a reload keeps idle connections of clients open.
    pub keepalive_window: Duration,
    /// What is in front of nginx.
    pub proxies: Proxies,
    /// The host's port for HTTPS, if nginx listens for it.
    pub https_port: Option<u16>,
    /// Whether requests to apps are logged.
    pub access_log: bool,
    /// Whether requests to apps are counted, if the image can do that.
    pub count_requests: bool,
}

impl RenderContext {
    /// Returns true if the files of `table` say which proxies are believed. No proxy is in front
    /// of the names of apps.
    fn believes_proxies(&self, table: &RouteTable) -> bool {
        self.proxies.believes() && !table.routes.is_empty()
    }
}

/// The files that serve one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The name, a digest of all files.
    pub digest: Digest,
    /// The table that the files serve.
    pub table: RouteTable,
    /// The contents by path, relative to the generation's directory.
    pub files: BTreeMap<String, Bytes>,
}

impl Generation {
    /// Returns the directory of a generation.
    pub fn folder(digest: &Digest) -> String {
        format!("{ROOT}/gen-{digest}")
    }

    /// Returns the files to be put into the container.
    pub fn entries(&self) -> Vec<FileEntry> {
        let folder = Self::folder(&self.digest);
        let file = |(path, contents): (&String, &Bytes)| {
            let (at, contents) = (format!("{folder}/{path}"), contents.clone());
            match path.starts_with(tls::FOLDER) {
                true => FileEntry::PrivateFile { path: at, contents },
                false => FileEntry::File { path: at, contents },
            }
        };
        self.files.iter().map(file).collect()
    }

    /// Returns the files to be put into a container that has run, with their directories: then
    /// the engine need not look whether these exist.
    pub fn entries_with_directories(&self) -> Vec<FileEntry> {
        let folder = Self::folder(&self.digest);
        let below = ["apps", "hosts", "streams", tls::FOLDER];
        let below = below.map(|name| format!("{folder}/{name}"));
        let paths = [ROOT.to_owned(), folder].into_iter().chain(below);
        paths.map(|path| FileEntry::Directory { path }).chain(self.entries()).collect()
    }

    /// Returns the symbolic link that makes nginx read this generation at its next reload or
    /// start.
    pub fn link(&self) -> FileEntry {
        FileEntry::Symlink {
            path: format!("{ROOT}/current"),
            target: format!("gen-{}", self.digest),
        }
    }

    /// Returns the link alone, for a container that has run and has the files.
    pub(crate) fn switch(&self) -> Vec<FileEntry> {
        vec![FileEntry::Directory { path: ROOT.to_owned() }, self.link()]
    }

    /// Returns the files and then the link, for a container that has run: the engine puts them in
    /// this order, so the link leads to complete files.
    pub(crate) fn files_and_switch(&self) -> Vec<FileEntry> {
        self.entries_with_directories().into_iter().chain([self.link()]).collect()
    }
}

/// Renders the files for `table`. Of two routes with the same host and path, the first counts.
///
/// # Errors
///
/// [`IllegalToken`] if a value of the table has a character that is not allowed in its place.
pub fn write(table: &RouteTable, context: &RenderContext) -> Result<Generation, IllegalToken> {
    let mut files = BTreeMap::new();
    let names = Names::collect(table, context.features);
    let upstreams = Upstreams::collect(table, &names);
    files.insert("nginx.conf".to_owned(), main_file(table, context, &names, &upstreams)?);
    for (app, pools) in &upstreams.0 {
        let names = names.http.get(app).map_or(&[][..], Vec::as_slice);
        files.insert(format!("apps/{app}.conf"), upstreams::app_file(app, pools, names, context)?);
    }
    for (app, listeners) in &names.streams {
        files.insert(format!("streams/{app}.conf"), names::stream_file(app, listeners)?);
    }
    let secured = table.tls.iter().filter(|_| context.https_port.is_some());
    let secured: BTreeMap<_, _> = secured.map(|tls| (&tls.host, tls)).collect();
    for (host, routes) in hosts::routes_by_host(table) {
        let tls = secured.get(host).copied();
        let text = hosts::host_file(host, &routes, &upstreams, context, tls)?;
        files.insert(hosts::file_name("hosts", host, "conf"), text);
        files.extend(tls.into_iter().flat_map(tls::files));
    }
    let counts = requests::is_written(table, &names, context);
    if counts {
        files.insert(requests::FILE.to_owned(), requests::script());
    }
    if context.believes_proxies(table) {
        files.insert(proxies::FILE.to_owned(), context.proxies.file()?);
    }
    // A table has only text, numbers and lists, so it always serializes.
    files.insert("table.json".to_owned(), serde_json::to_string(table).unwrap_or_default());
    let digest = digest_files(&files, context);
    files.insert("generation.conf".to_owned(), listener::write(&digest, context, counts)?);
    let files = files.into_iter().map(|(path, text)| (path, Bytes::from(text))).collect();
    Ok(Generation { digest, table: table.clone(), files })
}

/// Fills in the certificates of a table, of which it has the hashes, from its files. One whose
/// files were changed keeps its hash alone.
pub(crate) fn restore_certificates(table: &mut RouteTable, files: &BTreeMap<String, Bytes>) {
    for tls in &mut table.tls {
        let [chain, key] = tls::paths(tls).map(|path| files.get(&path).cloned());
        let found = chain.zip(key).map(|(c, k)| KeyPair::new(Secret::new(c), Secret::new(k)));
        if let Some(found) = found.filter(|found| Some(found) == tls.certificate.as_ref()) {
            tls.certificate = Some(found);
        }
    }
}

/// Returns whether a certificate of the table is known by its hash alone.
pub(crate) fn lacks_certificate(table: &RouteTable) -> bool {
    table.tls.iter().any(|tls| is_lost(tls.certificate.as_ref()))
}

/// Drops the certificates that are known by their hashes alone, so that the table differs from one
/// that has them.
pub(crate) fn drop_lost_certificates(mut table: RouteTable) -> RouteTable {
    for tls in &mut table.tls {
        tls.certificate.take_if(|pair| is_lost(Some(pair)));
    }
    table
}

fn is_lost(certificate: Option<&KeyPair>) -> bool {
    certificate.is_some_and(|pair| pair.pem().is_none())
}

/// Returns true if `table` differs from `served` in the addresses of endpoints alone, and has none
/// where that has none: then nginx accepted each of its directives before. It accepts any address,
/// but not port 0.
pub(crate) fn differs_in_addresses_alone(table: &RouteTable, served: &RouteTable) -> bool {
    table.is_same_but_for_endpoints(served, |new, old| new.is_empty() || !old.is_empty())
        && table.endpoints().all(|endpoint| endpoint.port() != 0)
}

/// Returns true if a route or a listener leads to endpoints that speak HTTP/2.
pub(crate) fn needs_h2c(table: &RouteTable) -> bool {
    table.routes.iter().any(|route| route.protocol == RouteProtocol::H2c)
        || table.listeners.iter().any(|listener| listener.protocol == Protocol::H2c)
}

fn digest_files(files: &BTreeMap<String, String>, context: &RenderContext) -> Digest {
    let mut hash = Sha256::new();
    for (path, text) in files {
        // The length separates the end of a file from the start of the next one.
        hash.update(format!("{path} {}\n{text}", text.len()));
    }
    hash.update(format!("{} {}", context.address, context.gateway));
    Digest::from_hash(&hash.finalize())
}

/// Writes where errors go, and how many connections a worker takes.
pub(crate) fn write_limits(conf: &mut Conf) -> Result<(), IllegalToken> {
    // Errors belong to the container's log.
    conf.words("error_log", &["stderr", "error"])?;
    // Each connection is an open file, and some engines allow only 1024.
    conf.words("worker_rlimit_nofile", &["8192"])?;
    // Below the limit of open files. A proxied request takes two connections.
    conf.block("events", &[], |conf| conf.words("worker_connections", &["4096"]))
}

fn main_file(
    table: &RouteTable,
    context: &RenderContext,
    names: &Names<'_>,
    upstreams: &Upstreams<'_>,
) -> Result<String, IllegalToken> {
    let mut conf = Conf::new();
    names.write_module(&mut conf)?;
    let counts = requests::is_written(table, names, context);
    if counts {
        requests::write_module(&mut conf)?;
    }
    conf.line("worker_processes", &[Number(WORKERS)])?;
    // A fixed path: the snapshot of the workers reads the file.
    conf.words("pid", &["/etc/nginx/dubernetes/nginx.pid"])?;
    write_limits(&mut conf)?;
    conf.block("http", &[], |conf| {
        client_settings(conf, context)?;
        let strips = table.routes.iter().any(hosts::strips_prefix);
        let keeps = upstreams.keeps_connections();
        let headers = Headers { strips, believes: context.believes_proxies(table) };
        let logs = access_log::is_written(table, names, context);
        if strips || keeps || headers.believes || logs || counts {
            // Only some servers and locations set them.
            conf.words("uninitialized_variable_warn", &["off"])?;
        }
        if keeps {
            keepalive::write_maps(conf)?;
        }
        if headers.believes {
            context.proxies.write_maps(conf)?;
        }
        if logs {
            access_log::write_format(conf, table, names)?;
        }
        if counts {
            requests::write_settings(conf, context)?;
        }
        proxy_settings(conf, headers, keeps)?;
        if needs_h2c(table) {
            h2c::write_settings(conf, context, headers)?;
        }
        if strips {
            hosts::write_prefix_map(conf)?;
        }
        tls::write_settings(conf, table, context)?;
        if table.routes.iter().all(|route| route.host != HostPattern::Any) {
            // Answers requests for hosts that no app has.
            conf.block("server", &[], |conf| {
                proxies::write_listen(conf, context, true)?;
                conf.line("return", &[Word("404"), Text("no app answers under this host")])
            })?;
        }
        conf.words("include", &["generation.conf"])?;
        conf.words("include", &["apps/*.conf"])?;
        conf.words("include", &["hosts/*.conf"])
    })?;
    names.write_stream(&mut conf)?;
    Ok(conf.finish())
}

/// Returns the socket for requests from outside. Names may have the same port on other addresses.
fn http_socket(context: &RenderContext) -> Token<'static> {
    Socket(context.outside().0)
}

fn client_settings(conf: &mut Conf, context: &RenderContext) -> Result<(), IllegalToken> {
    // Only requests to apps are logged.
    conf.words("access_log", &["off"])?;
    // Clients do not need to know the version of nginx.
    conf.words("server_tokens", &["off"])?;
    // The type of the texts that nginx itself returns.
    conf.words("default_type", &["text/plain"])?;
    // A host may have 253 characters; the default bucket holds about 50.
    conf.words("server_names_hash_bucket_size", &["512"])?;
    conf.words("server_names_hash_max_size", &["8192"])?;
    // The headers set below need more than the default tables, and nginx would warn.
    conf.words("proxy_headers_hash_max_size", &["1024"])?;
    conf.words("proxy_headers_hash_bucket_size", &["128"])?;
    // A small image may lack the directories that nginx was built with; this one exists.
    conf.words("client_body_temp_path", &["/etc/nginx/dubernetes/tmp-body"])?;
    conf.words("proxy_temp_path", &["/etc/nginx/dubernetes/tmp-proxy"])?;
    conf.words("fastcgi_temp_path", &["/etc/nginx/dubernetes/tmp-fastcgi"])?;
    conf.words("uwsgi_temp_path", &["/etc/nginx/dubernetes/tmp-uwsgi"])?;
    conf.words("scgi_temp_path", &["/etc/nginx/dubernetes/tmp-scgi"])?;
    // Limiting uploads is up to the apps.
    conf.words("client_max_body_size", &["0"])?;
    // 64 KiB of headers, and some more: tickets and chains of cookies get that long.
    conf.words("large_client_header_buffers", &["4", "72k"])?;
    // Which names are valid is up to the apps: `api_key` and `x.dot` arrive.
    conf.words("underscores_in_headers", &["on"])?;
    conf.words("ignore_invalid_headers", &["off"])?;
    // A connection without a request delays draining, so it must end before `stop.drain` does.
    conf.words("client_header_timeout", &["20s"])?;
    // nginx's default.
    conf.words("keepalive_timeout", &["75s"])?;
    if context.version.is_some_and(Version::has_keepalive_min_timeout) {
        // A reload keeps idle connections open this long, so that a request that the client has
        // already sent does not meet a closed connection.
        conf.line("keepalive_min_timeout", &[Token::Duration(context.keepalive_window)])?;
    }
    Ok(())
}

fn proxy_settings(conf: &mut Conf, headers: Headers, keeps: bool) -> Result<(), IllegalToken> {
    // Only websocket upgrades are passed on: `h2c` would carry requests past the routes.
    let source = if keeps { keepalive::POOL_AND_UPGRADE } else { "$http_upgrade" };
    conf.block("map", &[Word(source), Word("$dubernetes_connection")], |conf| {
        conf.words("default", &["close"])?;
        if keeps {
            conf.line(KEPT, &[Text("")])?;
        }
        conf.words("websocket", &["upgrade"])
    })?;
    conf.block("map", &[Word("$http_upgrade"), Word("$dubernetes_upgrade")], |conf| {
        conf.line("default", &[Text("")])?;
        conf.words("websocket", &["websocket"])
    })?;
    // Websockets and streamed bodies need HTTP/1.1.
    conf.words("proxy_http_version", &["1.1"])?;
    conf.words("proxy_set_header", &["Connection", "$dubernetes_connection"])?;
    conf.words("proxy_set_header", &["Upgrade", "$dubernetes_upgrade"])?;
    headers.write(conf, "proxy_set_header")?;
    // A response of an app must not control nginx itself.
    conf.words("proxy_ignore_headers", &["X-Accel-Redirect", "X-Accel-Charset"])?;
    // Apps know the public host, so their redirects are right as they are.
    conf.words("proxy_redirect", &["off"])?;
    // Request bodies are streamed. So an upload in flight is a connection to its replica, which
    // draining sees, and not a request that a worker has yet to send.
    conf.words("proxy_request_buffering", &["off"])?;
    // Event streams arrive as they are written.
    conf.words("proxy_buffering", &["off"])?;
    // Only the head of a response has to fit, but nginx requires both sizes in proportion.
    conf.words("proxy_buffer_size", &["72k"])?;
    conf.words("proxy_buffers", &["8", "72k"])?;
    conf.words("proxy_connect_timeout", &[CONNECT_TIMEOUT])?;
    // Websockets and event streams may be silent for long.
    conf.words("proxy_read_timeout", &["1h"])?;
    conf.words("proxy_send_timeout", &["1h"])?;
    // A failed connection is retried on the next endpoint; a request that was already sent, only
    // if its method is idempotent.
    conf.words("proxy_next_upstream", &["error", "timeout"])?;
    conf.words("proxy_next_upstream_tries", &[TRIES])?;
    unreached::write_settings(conf, keeps)
}

/// The headers with which a request is passed to an app.
#[derive(Debug, Clone, Copy)]
struct Headers {
    /// Whether some route removes a prefix of paths.
    strips: bool,
    /// Whether some proxy in front is believed.
    believes: bool,
}

impl Headers {
    fn write(self, conf: &mut Conf, directive: &'static str) -> Result<(), IllegalToken> {
        let prefix = if self.strips { Word(hosts::PREFIX) } else { Text("") };
        let (host, scheme, port) = if self.believes {
            (Word(proxies::HOST), Word(proxies::SCHEME), Word(proxies::PORT))
        } else {
            (Word("$http_host"), Word("$scheme"), Text(""))
        };
        for (name, value) in [
            // Routes go by it, and so do the apps that believe no other header.
            ("Host", Word("$http_host")),
            ("X-Real-IP", Word("$remote_addr")),
            // The client is not trusted: what it claims about itself is replaced or dropped. One
            // address, also behind trusted proxies: apps disagree on which of several counts.
            ("X-Forwarded-For", Word("$remote_addr")),
            ("X-Forwarded-Host", host),
            ("X-Forwarded-Proto", scheme),
            ("X-Forwarded-Port", port),
            ("X-Forwarded-Prefix", prefix),
            ("Forwarded", Text("")),
            // Older headers by which some apps take a request for one over TLS.
            ("X-Forwarded-Ssl", Text("")),
            ("X-Forwarded-Scheme", Text("")),
            ("X-Url-Scheme", Text("")),
            ("Front-End-Https", Text("")),
            // A CGI app would read this header as the variable `HTTP_PROXY` ("httpoxy").
            ("Proxy", Text("")),
        ] {
            conf.line(directive, &[Word(name), value])?;
        }
        for name in ALIASES {
            conf.line(directive, &[Word(name), Text("")])?;
        }
        Ok(())
    }
}
