//! What proxies in front of nginx are believed.
//!
//! Only the servers of hosts include [`FILE`], so at the name of an app no header is believed:
//! those requests come from replicas. A value that is believed is still checked, since a proxy may
//! pass on what its client has written. Any other counts as missing.

use std::net::{Ipv4Addr, SocketAddr};

use ipnet::IpNet;

use super::{RenderContext, http_socket};
use crate::directive::Token::{Network, Pattern, Text, Word};
use crate::directive::{Conf, IllegalToken, Token};
use crate::request::outside_ports;

/// The file that the servers of hosts include.
pub(super) const FILE: &str = "proxies.conf";
/// The variables with what an app hears about a request.
pub(super) const SCHEME: &str = "$dubernetes_scheme";
pub(super) const HOST: &str = "$dubernetes_host";
pub(super) const PORT: &str = "$dubernetes_port";
/// 1 in a server of hosts if the headers of the request are believed.
const IS_BELIEVED: &str = "$dubernetes_is_believed";
/// 1 if the address that sent the headers is trusted.
const IS_TRUSTED: &str = "$dubernetes_is_trusted";
/// 1 if the address that opened the connection is trusted.
const IS_TRUSTED_PEER: &str = "$dubernetes_is_trusted_peer";
/// The scheme as far as the connection tells.
const OWN_SCHEME: &str = "$dubernetes_own_scheme";

/// What is in front of nginx.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// The networks of proxies that are believed.
    pub trusted: Vec<IpNet>,
    /// Whether connections start with the PROXY protocol. Then only its addresses are believed,
    /// and the headers of a request if these addresses are those of a trusted proxy: what speaks
    /// the PROXY protocol passes on the headers of its clients.
    pub proxy_protocol: bool,
    /// Whether nginx has the realip module. Without it, no proxy is believed.
    pub has_realip: bool,
}

impl Proxies {
    /// Returns true if nginx believes some proxy.
    pub(super) fn believes(&self) -> bool {
        self.has_realip && !self.trusted.is_empty()
    }

    /// Returns why the trusted proxies are not believed, if they are not.
    pub(crate) fn warning(&self) -> Option<String> {
        (!self.has_realip && !self.trusted.is_empty()).then(|| {
            "no trusted proxy is believed: nginx in the image of the ingress has no realip \
             module; use `nginx:stable-alpine`"
                .to_owned()
        })
    }

    /// Writes the maps of the values that an app hears.
    pub(super) fn write_maps(&self, conf: &mut Conf) -> Result<(), IllegalToken> {
        let own_scheme = if self.proxy_protocol {
            self.write_trusted(conf, "$realip_remote_addr", IS_TRUSTED_PEER)?;
            self.write_trusted(conf, "$remote_addr", IS_TRUSTED)?;
            // What speaks the PROXY protocol to clients at this port has decrypted the request.
            let source = Pattern("$dubernetes_is_trusted_peer:$proxy_protocol_server_port");
            conf.block("map", &[source, Word(OWN_SCHEME)], |conf| {
                conf.words("default", &["$scheme"])?;
                conf.entry(Pattern("1:443"), Word("https"))
            })?;
            OWN_SCHEME
        } else {
            self.write_trusted(conf, "$realip_remote_addr", IS_TRUSTED)?;
            "$scheme"
        };
        let source = Pattern("$dubernetes_is_believed:$http_x_forwarded_proto");
        conf.block("map", &[source, Word(SCHEME)], |conf| {
            conf.words("default", &[own_scheme])?;
            // Some proxies append, and name the scheme of a websocket.
            conf.entry(Pattern(r"~*^1:(.*,)?\s*(https|wss)\s*(,.*)?$"), Word("https"))
        })?;
        let source = Pattern("$dubernetes_is_believed:$http_x_forwarded_host");
        conf.block("map", &[source, Word(HOST)], |conf| {
            conf.words("default", &["$http_host"])?;
            let name = r"~^1:(?<dubernetes_named>([\w.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]+)?)$";
            conf.entry(Pattern(name), Word("$dubernetes_named"))
        })?;
        let source = Pattern("$dubernetes_is_believed:$http_x_forwarded_port");
        conf.block("map", &[source, Word(PORT)], |conf| {
            conf.line("default", &[Text("")])?;
            let number = "~^1:(?<dubernetes_number>[1-9][0-9]?[0-9]?[0-9]?[0-9]?)$";
            conf.entry(Pattern(number), Word("$dubernetes_number"))
        })
    }

    fn write_trusted(
        &self,
        conf: &mut Conf,
        address: &'static str,
        variable: &'static str,
    ) -> Result<(), IllegalToken> {
        conf.block("geo", &[Word(address), Word(variable)], |conf| {
            let one = Word("1");
            self.trusted.iter().try_for_each(|network| conf.entry(Network(*network), one))
        })
    }

    /// Renders [`FILE`].
    pub(super) fn file(&self) -> Result<String, IllegalToken> {
        let mut conf = Conf::new();
        conf.words("set", &[IS_BELIEVED, IS_TRUSTED])?;
        for network in &self.trusted {
            conf.line("set_real_ip_from", &[Network(*network)])?;
        }
        let source = if self.proxy_protocol { "proxy_protocol" } else { "X-Forwarded-For" };
        conf.words("real_ip_header", &[source])?;
        conf.words("real_ip_recursive", &["on"])?;
        Ok(conf.finish())
    }
}

impl RenderContext {
    /// Returns where requests from outside arrive, over HTTP and over HTTPS.
    pub(super) fn outside(&self) -> (SocketAddr, SocketAddr) {
        let (http, https) = outside_ports(self.any_address);
        let address = if self.any_address { Ipv4Addr::UNSPECIFIED } else { self.address };
        ((address, http).into(), (address, https).into())
    }
}

/// Writes at which socket a server takes requests from outside over HTTP, and whom it believes.
pub(super) fn write_listen(
    conf: &mut Conf,
    context: &RenderContext,
    is_default: bool,
) -> Result<(), IllegalToken> {
    write_listen_at(conf, context, http_socket(context), is_default, None)
}

/// Writes at which socket a server takes requests from outside.
pub(super) fn write_listen_at(
    conf: &mut Conf,
    context: &RenderContext,
    socket: Token<'_>,
    is_default: bool,
    protection: Option<&'static str>,
) -> Result<(), IllegalToken> {
    let default = is_default.then_some(Word("default_server"));
    let protocol = context.proxies.proxy_protocol.then_some(Word("proxy_protocol"));
    let words = [Some(socket), protection.map(Word), default, protocol];
    conf.line("listen", &Vec::<Token<'_>>::from_iter(words.into_iter().flatten()))
}
