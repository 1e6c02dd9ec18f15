//! What a client gets if nginx reached no replica of an app.
//!
//! nginx would answer 502 or 504 then. For a client it is the same as if the app had no ready
//! replica, which the table says a moment later. An answer of the app itself stays as it is, and so
//! does a request that reached the app and broke off.

use super::hosts::answer_unavailable;
use super::keepalive;
use crate::directive::Token::{Text, Word};
use crate::directive::{Conf, IllegalToken};

/// What `$upstream_connect_time` says if no attempt made a connection. A pattern would be shorter,
/// but the first pattern of the configuration cost each worker 1.2 MB.
const NEVER: [&str; 4] = ["-", "-, -", "-, -, -", "-, -, -, -"];

/// Writes which failed requests go to which location.
pub(super) fn write_settings(conf: &mut Conf, keeps: bool) -> Result<(), IllegalToken> {
    let broken_off = if keeps { keepalive::AGAIN } else { "@broken_off" };
    write_map(conf, "$dubernetes_502", broken_off)?;
    write_map(conf, "$dubernetes_504", "@timed_out")?;
    conf.words("error_page", &["502", "=", "$dubernetes_502"])?;
    conf.words("error_page", &["504", "=", "$dubernetes_504"])
}

fn write_map(
    conf: &mut Conf,
    place: &'static str,
    reached: &'static str,
) -> Result<(), IllegalToken> {
    conf.block("map", &[Word("$upstream_connect_time"), Word(place)], |conf| {
        conf.words("default", &[reached])?;
        NEVER.iter().try_for_each(|never| conf.entry(Text(never), Word("@unreached")))
    })
}

/// Writes these locations into a server that passes requests on.
pub(super) fn write_locations(
    conf: &mut Conf,
    keeps: bool,
    strips: bool,
) -> Result<(), IllegalToken> {
    if keeps {
        keepalive::write_again(conf, strips)?;
    }
    conf.block("location", &[Word("@unreached")], answer_unavailable)?;
    conf.block("location", &[Word("@broken_off")], |conf| conf.words("return", &["502"]))?;
    conf.block("location", &[Word("@timed_out")], |conf| conf.words("return", &["504"]))
}
