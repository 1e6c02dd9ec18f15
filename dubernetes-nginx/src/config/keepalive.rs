//! Connections to replicas that are kept for further requests.
//!
//! An app that asks for it has two upstreams with the same endpoints: one whose connections are
//! kept, and one with a new connection for each request. An app may close a kept connection at the
//! moment at which nginx sends the next request on it. nginx repeats such a request at the next
//! endpoint if it is safe to repeat. So only these requests go to the first upstream, and a POST
//! always gets a connection of its own. If the next endpoint closes its connection as well, the
//! request is repeated once more, over a new one.
//!
//! A reload empties the pools: new workers have none, and old ones close idle connections. So no
//! kept connection leads to an endpoint that has left the table.

use crate::directive::Token::{Pattern, Text, Word};
use crate::directive::{Conf, IllegalToken, KEPT, Token};

/// The end of the upstream's name: [`KEPT`], or nothing.
pub(super) const POOL: &str = "$dubernetes_pool";
/// The same, followed by the value of the header `Upgrade`. At most one of them is not empty.
pub(super) const POOL_AND_UPGRADE: &str = "$dubernetes_pool$http_upgrade";
/// The variable with the other upstream, in a location whose app asks for kept connections.
const UPSTREAM: &str = "$dubernetes_upstream";
/// What tells requests that are safe to repeat: those that change nothing and have no body. A body
/// of HTTP/2 has no header that announces it.
const REQUEST: &str = "$server_protocol:$request_method:$http_upgrade:$http_content_length:\
                       $http_transfer_encoding";
/// Such requests.
const REPEATABLE: [&str; 6] = [
    "HTTP/1.1:GET:::",
    "HTTP/1.1:HEAD:::",
    "HTTP/1.1:OPTIONS:::",
    "HTTP/1.0:GET:::",
    "HTTP/1.0:HEAD:::",
    "HTTP/1.0:OPTIONS:::",
];
/// Where a request goes that broke off: a variable.
pub(super) const AGAIN: &str = "$dubernetes_again";

/// Writes which upstream a request goes to, and where if it breaks off.
pub(super) fn write_maps(conf: &mut Conf) -> Result<(), IllegalToken> {
    let repeatable = "$dubernetes_repeatable";
    conf.block("map", &[Pattern(REQUEST), Word(repeatable)], |conf| {
        conf.line("default", &[Text("")])?;
        REPEATABLE.iter().try_for_each(|request| conf.entry(Pattern(request), Word(KEPT)))
    })?;
    conf.block("map", &[Word(UPSTREAM), Word(POOL)], |conf| {
        conf.words("default", &[repeatable])?;
        conf.entry(Text(""), Text(""))
    })?;
    conf.block("map", &[Word(POOL), Word(AGAIN)], |conf| {
        conf.words("default", &["@broken_off"])?;
        conf.entry(Word(KEPT), Word("@again"))
    })
}

/// Writes into a location that its app asks for kept connections. `other` is the upstream without.
pub(super) fn write_switch(conf: &mut Conf, other: Token<'_>) -> Result<(), IllegalToken> {
    conf.line("set", &[Word(UPSTREAM), other])
}

/// Writes the location that repeats a request over a new connection.
pub(super) fn write_again(conf: &mut Conf, strips: bool) -> Result<(), IllegalToken> {
    conf.block("location", &[Word("@again")], |conf| {
        conf.words("proxy_next_upstream", &["off"])?;
        let (url, stripped) =
            ("http://$dubernetes_upstream", "http://$dubernetes_upstream$dubernetes_target");
        conf.line("proxy_pass", &[Pattern(if strips { stripped } else { url })])
    })
}

/// Writes how many connections are kept, and how long.
pub(super) fn write_limits(conf: &mut Conf) -> Result<(), IllegalToken> {
    // Idle connections of each worker.
    conf.words("keepalive", &["32"])?;
    // By then most servers have not closed it yet: their limits are 2 s or more.
    conf.words("keepalive_timeout", &["1s"])?;
    conf.words("keepalive_requests", &["1000"])
}
