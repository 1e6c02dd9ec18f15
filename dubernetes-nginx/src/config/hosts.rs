//! The routes of each host.

use std::collections::BTreeMap;

use dubernetes_core::app::{AppName, HostPattern, RoutePath, RouteProtocol};
use dubernetes_core::ingress::{HostTls, Route, RouteTable};
use sha2::{Digest as _, Sha256};

use super::keepalive::{self, POOL};
use super::upstreams::Upstreams;
use super::{RenderContext, access_log, proxies, tls, unreached};
use crate::directive::Token::{
    AnyLabel, Below, GrpcUrl, Host, Path, PathBelow, Pattern, Text, Upstream, UpstreamUrl, Word,
};
use crate::directive::{Conf, Digest, IllegalToken, Token};

/// The variable with the path prefix that a route removes.
pub(super) const PREFIX: &str = "$dubernetes_prefix";
/// The variable with the request target without that prefix, as the client wrote it. Empty if the
/// client wrote the prefix in another way, such as `/%61pi`.
const TARGET: &str = "$dubernetes_target";

/// Returns the routes of each host by path. Of two with the same path, the first counts.
pub(super) fn routes_by_host(
    table: &RouteTable,
) -> BTreeMap<&HostPattern, BTreeMap<&RoutePath, &Route>> {
    let mut hosts: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for route in &table.routes {
        hosts.entry(&route.host).or_default().entry(&route.path).or_insert(route);
    }
    hosts
}

/// Returns the path of a file for a host. File systems limit names to 255 bytes and a host may have
/// 253, so a long host is cut, and its hash makes the name unique. No host has a `_`.
pub(super) fn file_name(folder: &str, host: &HostPattern, extension: &str) -> String {
    let name = match host {
        HostPattern::Exact(name) => name.to_string(),
        HostPattern::AnyLabel(parent) => format!("_.{parent}"),
        HostPattern::Any => "_".to_owned(),
    };
    match name.get(..200) {
        Some(head) => {
            let hash = Digest::from_hash(&Sha256::digest(&name));
            format!("{folder}/{head}-{hash}.{extension}")
        }
        None => format!("{folder}/{name}.{extension}"),
    }
}

/// Returns true if the route has a location that sets [`PREFIX`]: nginx knows no variable that no
/// line sets.
pub(super) fn strips_prefix(route: &Route) -> bool {
    route.strip_prefix && !route.path.is_root() && !route.endpoints.is_empty()
}

/// Writes what turns the request target of a client into that of an app without its prefix. What
/// the client has encoded, such as `%2F`, stays as it is.
pub(super) fn write_prefix_map(conf: &mut Conf) -> Result<(), IllegalToken> {
    let source = Pattern("$dubernetes_prefix:$request_uri");
    conf.block("map", &[source, Word(TARGET)], |conf| {
        let below = Pattern(r"~^([^:]+):\1(?<dubernetes_below>/.*)$");
        conf.entry(below, Word("$dubernetes_below"))?;
        let exact = Pattern(r"~^([^:]+):\1(?<dubernetes_query>(\?.*)?)$");
        conf.entry(exact, Word("/$dubernetes_query"))
    })
}

/// Renders the routes of one host.
pub(super) fn host_file(
    host: &HostPattern,
    routes: &BTreeMap<&RoutePath, &Route>,
    upstreams: &Upstreams<'_>,
    context: &RenderContext,
    tls: Option<&HostTls>,
) -> Result<String, IllegalToken> {
    let mut conf = Conf::new();
    if let Some(tls) = tls {
        tls::write_http_server(&mut conf, tls, context)?;
        if tls::pem(tls).is_none() {
            return Ok(conf.finish());
        }
    }
    conf.block("server", &[], |conf| {
        match tls {
            Some(tls) => tls::write_https(conf, tls, context)?,
            None => proxies::write_listen(conf, context, *host == HostPattern::Any)?,
        }
        write_name(conf, host)?;
        if context.proxies.believes() {
            conf.words("include", &[proxies::FILE])?;
        }
        let only = access_log::only_app(routes.values());
        access_log::write_server(conf, context, only)?;
        let write_app = |conf: &mut Conf, route: &Route| match only {
            Some(_) => Ok(()),
            None => access_log::write_app(conf, context, &route.app),
        };
        for (path, route) in routes {
            let number = upstreams.number_of(&route.app, &route.endpoints);
            // nginx matches `/api/` as a prefix and `/api` exactly, and so not `/apix`.
            if !path.is_root() {
                conf.block("location", &[Word("="), Path(path)], |conf| {
                    write_app(conf, route)?;
                    write_route(conf, route, number, &[Pattern("^"), Word("/")])
                })?;
            }
            conf.block("location", &[PathBelow(path)], |conf| {
                write_app(conf, route)?;
                write_route(conf, route, number, &[Below(path), Word("$1")])
            })?;
        }
        let passing = || routes.values().filter(|route| !route.endpoints.is_empty());
        if passing().next().is_some() {
            let keeps = passing().any(|route| route.keepalive);
            unreached::write_locations(conf, keeps, passing().any(|route| strips_prefix(route)))?;
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

/// Writes for which hosts a server is.
pub(super) fn write_name(conf: &mut Conf, host: &HostPattern) -> Result<(), IllegalToken> {
    match host {
        HostPattern::Any => Ok(()),
        HostPattern::Exact(name) => conf.line("server_name", &[Host(name)]),
        HostPattern::AnyLabel(parent) => conf.line("server_name", &[AnyLabel(parent)]),
    }
}

/// Writes the inside of a location. `stripped` is the pattern of a path and the path without the
/// prefix, for a request target that [`TARGET`] does not have.
fn write_route(
    conf: &mut Conf,
    route: &Route,
    upstream: Option<usize>,
    stripped: &[Token<'_>; 2],
) -> Result<(), IllegalToken> {
    let Route { app, protocol, keepalive, buffer_requests, .. } = route.clone();
    let target = Target { app: &app, upstream, protocol, keepalive, buffer_requests };
    if !strips_prefix(route) {
        return target.write(conf, &[]);
    }
    conf.line("set", &[Word(PREFIX), Path(&route.path)])?;
    target.write(conf, stripped)
}

/// Where the requests of a location go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) app: &'a AppName,
    /// `None` without endpoints.
    pub(super) upstream: Option<usize>,
    pub(super) protocol: RouteProtocol,
    pub(super) keepalive: bool,
    pub(super) buffer_requests: bool,
}

impl Target<'_> {
    /// Writes a location that passes requests on; `rewrite` is how their path is changed, if it is.
    pub(super) fn write(&self, conf: &mut Conf, rewrite: &[Token<'_>]) -> Result<(), IllegalToken> {
        let Some(number) = self.upstream else { return answer_unavailable(conf) };
        if self.keepalive {
            keepalive::write_switch(conf, Upstream(self.app, number))?;
        }
        if !rewrite.is_empty() {
            // nginx ignores any `set` after this line.
            conf.line("rewrite", &[rewrite, &[Word("break")]].concat())?;
        }
        let variables: &[_] = match (self.keepalive, rewrite) {
            (true, [_, ..]) => &[POOL, TARGET],
            (true, []) => &[POOL],
            (false, [_, ..]) => &[TARGET],
            (false, []) => &[],
        };
        match self.protocol {
            RouteProtocol::Http => {
                if self.buffer_requests {
                    // An old worker with half a body delays the drain of every address.
                    conf.words("proxy_request_buffering", &["on"])?;
                }
                conf.line("proxy_pass", &[UpstreamUrl(self.app, number, variables)])
            }
            RouteProtocol::H2c => {
                // A stream of messages may be silent for long.
                conf.words("client_body_timeout", &["1h"])?;
                conf.line("grpc_pass", &[GrpcUrl(self.app, number)])
            }
        }
    }
}

/// Writes the answer of an app without a ready replica.
pub(super) fn answer_unavailable(conf: &mut Conf) -> Result<(), IllegalToken> {
    conf.words("add_header", &["Retry-After", "5", "always"])?;
    conf.line("return", &[Word("503"), Text("this app has no ready replica")])
}
