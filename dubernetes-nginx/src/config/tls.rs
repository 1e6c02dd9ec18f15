//! Hosts that are served over HTTPS.

use dubernetes_core::ingress::{HostTls, RouteTable};

use super::{ROOT, RenderContext, access_log, hosts, proxies};
use crate::directive::Token::{HostFile, Pattern, SameOverHttps, Socket, Text, Word};
use crate::directive::{Conf, IllegalToken, Token};
use crate::version::Version;

/// The directory of certificates, in that of a generation.
pub(super) const FOLDER: &str = "certificates";
/// What an authority asks for, at port 80.
const CHALLENGES: &str = "/.well-known/acme-challenge/";
/// The directory of the answers, in [`ROOT`].
pub(crate) const ANSWERS: &str = "acme";

/// Returns the certificate of a host with its key, as PEM.
pub(super) fn pem(tls: &HostTls) -> Option<[&str; 2]> {
    let (chain, key) = tls.certificate.as_ref()?.pem()?;
    Some([str::from_utf8(chain).ok()?, str::from_utf8(key).ok()?])
}

/// Returns the paths of the certificate of a host and its key.
pub(crate) fn paths(tls: &HostTls) -> [String; 2] {
    ["pem", "key"].map(|extension| hosts::file_name(FOLDER, &tls.host, extension))
}

/// Returns the files of a host.
pub(super) fn files(tls: &HostTls) -> Vec<(String, String)> {
    let Some(pem) = pem(tls) else { return Vec::new() };
    paths(tls).into_iter().zip(pem.map(str::to_owned)).collect()
}

/// Writes what all hosts share, if there are any.
pub(super) fn write_settings(
    conf: &mut Conf,
    table: &RouteTable,
    context: &RenderContext,
) -> Result<(), IllegalToken> {
    let has_any = context.https_port.is_some() && table.tls.iter().any(|tls| pem(tls).is_some());
    if !has_any {
        return Ok(());
    }
    // What browsers and programs of the last years speak, as Mozilla recommends it ("intermediate",
    // version 5.7). All ciphers are safe, so the client may choose the one that is fast for it.
    conf.words("ssl_protocols", &["TLSv1.2", "TLSv1.3"])?;
    conf.line("ssl_ciphers", &[CIPHERS])?;
    conf.words("ssl_prefer_server_ciphers", &["off"])?;
    // Workers share it, old ones too, so that a reload ends no session. Tickets would need a key
    // that changes.
    conf.line("ssl_session_cache", &[Token::Pattern("shared:dubernetes:10m")])?;
    conf.words("ssl_session_timeout", &["1d"])?;
    conf.words("ssl_session_tickets", &["off"])?;
    // No certificate is for a host that no app has.
    conf.block("server", &[], |conf| {
        proxies::write_listen_at(conf, context, https_socket(context), true, Some("ssl"))?;
        conf.words("ssl_reject_handshake", &["on"])
    })
}

const CIPHERS: Token<'static> = Pattern(
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
     ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305",
);

/// Writes the server of a host for requests over HTTP: redirects to HTTPS, and what an authority
/// asks for.
pub(super) fn write_http_server(
    conf: &mut Conf,
    tls: &HostTls,
    context: &RenderContext,
) -> Result<(), IllegalToken> {
    conf.block("server", &[], |conf| {
        proxies::write_listen(conf, context, false)?;
        hosts::write_name(conf, &tls.host)?;
        access_log::write_server(conf, context, Some(&tls.app))?;
        if tls.answers_challenges {
            conf.block("location", &[Word(CHALLENGES)], |conf| {
                conf.line("alias", &[HostFile(&format!("{ROOT}/{ANSWERS}/"))])
            })?;
        }
        conf.block("location", &[Word("/")], |conf| match (pem(tls), context.https_port) {
            (Some(_), Some(port)) => {
                // Unlike 301, it keeps the method.
                conf.line("return", &[Word("308"), SameOverHttps(port)])
            }
            (None, _) | (_, None) => {
                conf.words("add_header", &["Retry-After", "5", "always"])?;
                conf.line("return", &[Word("503"), Text("this host has no certificate yet")])
            }
        })
    })
}

/// Writes where the server of a host takes requests over HTTPS, and its certificate.
pub(super) fn write_https(
    conf: &mut Conf,
    tls: &HostTls,
    context: &RenderContext,
) -> Result<(), IllegalToken> {
    proxies::write_listen_at(conf, context, https_socket(context), false, Some("ssl"))?;
    if context.version.is_some_and(Version::has_http2_directive) {
        conf.words("http2", &["on"])?;
    }
    let [chain, key] = paths(tls);
    conf.line("ssl_certificate", &[HostFile(&chain)])?;
    conf.line("ssl_certificate_key", &[HostFile(&key)])
}

fn https_socket(context: &RenderContext) -> Token<'static> {
    Socket(context.outside().1)
}
