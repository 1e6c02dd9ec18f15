//! The upstreams of each app.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dubernetes_core::app::AppName;
use dubernetes_core::ingress::{Endpoint, Listener, RouteTable};

use super::names::{self, Names};
use super::{RenderContext, SERVERS, keepalive};
use crate::directive::Token::{KeptUpstream, Kibibytes, Socket, Upstream, Word};
use crate::directive::{Conf, IllegalToken, Token};
use crate::version::Version;

/// The endpoints of one upstream.
#[derive(Debug)]
pub(super) struct Pool {
    /// In the order of the route.
    sockets: Vec<SocketAddr>,
    /// Whether a route or a listener keeps connections to them.
    is_kept: bool,
}

/// The distinct upstreams of each app, in the order of the app's routes.
#[derive(Debug)]
pub(super) struct Upstreams<'a>(pub(super) BTreeMap<&'a AppName, Vec<Pool>>);

impl<'a> Upstreams<'a> {
    pub(super) fn collect(table: &'a RouteTable, names: &Names<'a>) -> Self {
        let routes = table.routes.iter();
        let routes = routes.map(|route| (&route.app, &route.endpoints, route.keepalive));
        let listeners = names.http.values().flatten();
        let listeners = listeners.map(|name| (&name.app, &name.endpoints, name.keepalive));
        let mut apps: BTreeMap<_, Vec<Pool>> = BTreeMap::new();
        for (app, endpoints, is_kept) in routes.chain(listeners) {
            let sockets = sockets(endpoints);
            if sockets.is_empty() && !names.http.contains_key(app) {
                continue;
            }
            let pools = apps.entry(app).or_default();
            match pools.iter_mut().find(|pool| pool.sockets == sockets) {
                Some(pool) => pool.is_kept |= is_kept,
                None if sockets.is_empty() => {}
                None => pools.push(Pool { sockets, is_kept }),
            }
        }
        Self(apps)
    }

    /// Returns the number of the upstream of `app` with these endpoints, from 1, or `None` without
    /// endpoints.
    pub(super) fn number_of(&self, app: &AppName, endpoints: &[Endpoint]) -> Option<usize> {
        number_of(self.0.get(app)?, endpoints)
    }

    /// Returns true if connections to some endpoints are kept.
    pub(super) fn keeps_connections(&self) -> bool {
        self.0.values().flatten().any(|pool| pool.is_kept)
    }
}

/// Returns the number of the upstream with these endpoints, from 1.
pub(super) fn number_of(pools: &[Pool], endpoints: &[Endpoint]) -> Option<usize> {
    let sockets = sockets(endpoints);
    Some(pools.iter().position(|known| known.sockets == sockets)? + 1)
}

fn sockets(endpoints: &[Endpoint]) -> Vec<SocketAddr> {
    endpoints.iter().map(Endpoint::socket).collect()
}

/// Renders the upstreams of one app, and its name for requests.
pub(super) fn app_file(
    app: &AppName,
    pools: &[Pool],
    names: &[&Listener],
    context: &RenderContext,
) -> Result<String, IllegalToken> {
    let mut conf = Conf::new();
    for (index, pool) in pools.iter().enumerate() {
        let name = Upstream(app, index + 1);
        // A server of a pool is tried once for a request, so that of a small pool is in it again.
        let rounds = SERVERS.div_ceil(pool.sockets.len().max(1));
        conf.block("upstream", &[name], |conf| {
            write_servers(conf, name, &pool.sockets, rounds)?;
            if context.version.is_some_and(Version::keeps_upstream_connections) {
                // A kept connection may outlive its route, and a POST on a stale one fails.
                conf.words("keepalive", &["0"])?;
            }
            Ok(())
        })?;
        if pool.is_kept {
            let name = KeptUpstream(app, index + 1);
            conf.block("upstream", &[name], |conf| {
                write_servers(conf, name, &pool.sockets, rounds)?;
                keepalive::write_limits(conf)
            })?;
        }
    }
    names::write_http(&mut conf, app, pools, names, context)?;
    Ok(conf.finish())
}

/// Writes the servers of the upstream for connections with these endpoints.
pub(super) fn write_stream(
    conf: &mut Conf,
    name: Token<'_>,
    endpoints: &[Endpoint],
) -> Result<(), IllegalToken> {
    write_servers(conf, name, &sockets(endpoints), 1)
}

fn write_servers(
    conf: &mut Conf,
    name: Token<'_>,
    sockets: &[SocketAddr],
    rounds: usize,
) -> Result<(), IllegalToken> {
    // Shared by all workers, so that requests are spread evenly. 64 KiB hold 32 endpoints.
    conf.line("zone", &[name, Kibibytes(64 * (1 + sockets.len() / 32))])?;
    for socket in sockets.iter().cycle().take(rounds * sockets.len()) {
        // By default, one failure would keep requests from an only replica for 10 s.
        conf.line("server", &[Socket(*socket), Word("max_fails=0")])?;
    }
    Ok(())
}
