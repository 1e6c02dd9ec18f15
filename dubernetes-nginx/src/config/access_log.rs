//! Which requests are logged, where, and how.
//!
//! The log is a file in the memory of the container. Standard output is no place for it: it is a
//! pipe that the engine reads, and while the engine hangs, workers would wait for it after some
//! hundred requests, and serve none.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dubernetes_core::app::AppName;
use dubernetes_core::ingress::{Route, RouteTable};

use super::names::Names;
use super::{RenderContext, requests};
use crate::access_log::PATH;
use crate::directive::Token::{App, Format, LastAddress, Pod, Word};
use crate::directive::{Conf, IllegalToken};

/// The name of the format.
const FORMAT: &str = "dubernetes";
/// The variable with the app that a request is for.
const APP: &str = "$dubernetes_app";
/// The variable with the pod that answered it, or was asked last.
const POD: &str = "$dubernetes_pod";
/// One line. The app comes first, so that lines of others are skipped without a look at the rest.
const LINE: &str = r#"{"app":"$dubernetes_app","pod":"$dubernetes_pod","connected":"$upstream_connect_time","time":"$msec","client":"$remote_addr","method":"$request_method","host":"$host","path":"$request_uri","protocol":"$server_protocol","status":"$status","bytes":"$body_bytes_sent","seconds":"$request_time"}"#;

/// Returns true if some request is logged. A format names variables, which nginx does not know if
/// no server sets them.
pub(super) fn is_written(table: &RouteTable, names: &Names<'_>, context: &RenderContext) -> bool {
    context.access_log && !(table.routes.is_empty() && names.http.is_empty())
}

/// Writes the form of a line, and whose address is whose.
pub(super) fn write_format(
    conf: &mut Conf,
    table: &RouteTable,
    names: &Names<'_>,
) -> Result<(), IllegalToken> {
    conf.block("map", &[Word("$upstream_addr"), Word(POD)], |conf| {
        // The variable lists the addresses of all attempts. As the names of hosts, they are found
        // by their end, without a pattern for each.
        conf.words("hostnames", &[])?;
        let mut pods = BTreeMap::new();
        let routed = table.routes.iter().flat_map(|route| &route.endpoints);
        let named = names.http.values().flatten().flat_map(|name| &name.endpoints);
        for endpoint in routed.chain(named) {
            if let SocketAddr::V4(socket) = endpoint.socket() {
                let [_, rest @ ..] = socket.ip().octets();
                pods.entry((rest, socket.port())).or_insert(&endpoint.pod);
            }
        }
        pods.into_iter()
            .try_for_each(|((rest, port), pod)| conf.entry(LastAddress(rest, port), Pod(pod)))
    })?;
    conf.line("log_format", &[Word(FORMAT), Word("escape=json"), Format(LINE)])
}

/// Writes into a server that its requests are logged and counted, and for which app, if all are for
/// one.
pub(super) fn write_server(
    conf: &mut Conf,
    context: &RenderContext,
    app: Option<&AppName>,
) -> Result<(), IllegalToken> {
    if context.access_log {
        // Several lines are written at once: that costs less.
        conf.words("access_log", &[PATH, FORMAT, "buffer=32k", "flush=1s"])?;
    }
    requests::write_server(conf, context)?;
    app.map_or(Ok(()), |app| write_app(conf, context, app))
}

/// Writes for which app the requests of a server or location are.
pub(super) fn write_app(
    conf: &mut Conf,
    context: &RenderContext,
    app: &AppName,
) -> Result<(), IllegalToken> {
    if !context.access_log && !context.counts() {
        return Ok(());
    }
    conf.line("set", &[Word(APP), App(app)])
}

/// Returns the app of all these routes, if it is one.
pub(super) fn only_app<'a>(mut routes: impl Iterator<Item = &'a &'a Route>) -> Option<&'a AppName> {
    let first = &routes.next()?.app;
    routes.all(|route| route.app == *first).then_some(first)
}
