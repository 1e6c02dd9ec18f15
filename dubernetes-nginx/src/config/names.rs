//! The listeners for the names of apps.

use std::collections::BTreeMap;

use dubernetes_core::app::{AppName, RouteProtocol};
use dubernetes_core::ingress::{Listener, Protocol, RouteTable};

use super::hosts::Target;
use super::upstreams::{self, Pool, number_of};
use super::{RenderContext, access_log, unreached};
use crate::directive::Token::{Socket, Upstream, Word};
use crate::directive::{Conf, IllegalToken, Token};
use crate::features::{Features, STREAM_MODULE, Stream};

/// The listeners that the image can serve, by app.
#[derive(Default)]
pub(super) struct Names<'a> {
    pub(super) http: BTreeMap<&'a AppName, Vec<&'a Listener>>,
    /// Without those that have no endpoint: there, the kernel refuses connections.
    pub(super) streams: BTreeMap<&'a AppName, Vec<&'a Listener>>,
    stream: Option<Stream>,
}

impl<'a> Names<'a> {
    pub(super) fn collect(table: &'a RouteTable, features: Features) -> Self {
        let mut names = Self { stream: features.stream, ..Self::default() };
        for listener in table.listeners.iter().filter(|_| features.names) {
            let kind = match listener.protocol {
                Protocol::Http | Protocol::H2c => &mut names.http,
                Protocol::Tcp | Protocol::Udp
                    if features.stream.is_none() || listener.endpoints.is_empty() =>
                {
                    continue;
                }
                Protocol::Tcp | Protocol::Udp => &mut names.streams,
            };
            kind.entry(&listener.app).or_default().push(listener);
        }
        names
    }

    /// Loads the stream module, if a listener needs it and nginx does not have it built in.
    pub(super) fn write_module(&self, conf: &mut Conf) -> Result<(), IllegalToken> {
        if self.streams.is_empty() || self.stream != Some(Stream::Module) {
            return Ok(());
        }
        conf.words("load_module", &[STREAM_MODULE])
    }

    /// Writes the block that includes the listeners for connections.
    pub(super) fn write_stream(&self, conf: &mut Conf) -> Result<(), IllegalToken> {
        if self.streams.is_empty() {
            return Ok(());
        }
        conf.block("stream", &[], |conf| {
            write_stream_settings(conf)?;
            conf.words("include", &["streams/*.conf"])
        })
    }
}

/// Writes how connections are passed on.
pub(crate) fn write_stream_settings(conf: &mut Conf) -> Result<(), IllegalToken> {
    // A replica is on this host: it accepts at once, or it is overloaded or gone.
    conf.words("proxy_connect_timeout", &["2s"])?;
    // A client waits for at most three endpoints.
    conf.words("proxy_next_upstream_tries", &["3"])?;
    // Connections of a pool may be silent for long. The kernel finds those that are dead.
    conf.words("proxy_timeout", &["24h"])?;
    conf.words("proxy_socket_keepalive", &["on"])
}

/// Writes the `listen` of a server for datagrams, and how long it remembers a client.
pub(crate) fn write_udp_listener(conf: &mut Conf, socket: Token<'_>) -> Result<(), IllegalToken> {
    // Without `reuseport`, workers take turns, and each sends a client elsewhere.
    conf.line("listen", &[socket, Word("udp"), Word("reuseport")])?;
    conf.words("proxy_timeout", &["1m"])
}

/// Writes the name of an app for requests: one server for all listeners that lead to the same
/// endpoints.
pub(super) fn write_http(
    conf: &mut Conf,
    app: &AppName,
    pools: &[Pool],
    listeners: &[&Listener],
    context: &RenderContext,
) -> Result<(), IllegalToken> {
    let key = |name: &Listener| {
        (name.protocol, name.keepalive, name.buffer_requests, name.endpoints.clone())
    };
    let is_same = |a: &Listener, b: &Listener| key(a) == key(b);
    for (index, first) in listeners.iter().enumerate() {
        if listeners[..index].iter().any(|earlier| is_same(earlier, first)) {
            continue;
        }
        let protocol = match first.protocol {
            Protocol::H2c => RouteProtocol::H2c,
            Protocol::Http | Protocol::Tcp | Protocol::Udp => RouteProtocol::Http,
        };
        conf.block("server", &[], |conf| {
            for listener in listeners.iter().filter(|listener| is_same(listener, first)) {
                conf.line("listen", &[Socket((listener.address, listener.port).into())])?;
            }
            access_log::write_server(conf, context, Some(app))?;
            conf.block("location", &[Word("/")], |conf| {
                let upstream = number_of(pools, &first.endpoints);
                let Listener { keepalive, buffer_requests, .. } = **first;
                let target = Target { app, upstream, protocol, keepalive, buffer_requests };
                target.write(conf, &[])
            })?;
            match first.endpoints[..] {
                [] => Ok(()),
                [_, ..] => unreached::write_locations(conf, first.keepalive, false),
            }
        })?;
    }
    Ok(())
}

/// Renders the name of an app for connections.
pub(super) fn stream_file(app: &AppName, listeners: &[&Listener]) -> Result<String, IllegalToken> {
    let mut conf = Conf::new();
    for (index, listener) in listeners.iter().enumerate() {
        let name = Upstream(app, index + 1);
        conf.block("upstream", &[name], |conf| {
            upstreams::write_stream(conf, name, &listener.endpoints)
        })?;
        conf.block("server", &[], |conf| {
            let socket = Socket((listener.address, listener.port).into());
            match listener.protocol {
                Protocol::Udp => write_udp_listener(conf, socket)?,
                Protocol::Http | Protocol::H2c | Protocol::Tcp => {
                    conf.line("listen", &[socket, Word("so_keepalive=on")])?;
                }
            }
            conf.line("proxy_pass", &[name])
        })?;
    }
    Ok(conf.finish())
}
