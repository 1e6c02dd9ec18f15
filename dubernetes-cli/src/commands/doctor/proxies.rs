//! Check of the proxies in front of the ingress that are believed.

use std::net::{IpAddr, Ipv4Addr};

use super::check::Check;
use crate::args::IngressArgs;

const NAME: &str = "proxies";

/// Checks the trusted proxies, if there are any. `gateway` is that of the instance's network, and
/// `lacks` what the ingress image lacks.
pub(super) fn check_proxies(
    ingress: &IngressArgs,
    gateway: Option<Ipv4Addr>,
    lacks: Option<&'static str>,
) -> Option<Check> {
    if let Err(error) = ingress.check() {
        return Some(Check::fail(NAME, error.message(), error.first_help().unwrap_or_default()));
    }
    let trusted = &ingress.trusted_proxies;
    if trusted.is_empty() {
        return None;
    }
    if let Some(lacks) = lacks {
        let message = format!("`{}` has {lacks}", ingress.ingress_image);
        let help = "use `nginx:stable-alpine`, or another one that has it, with \
                    DUBERNETES_INGRESS_IMAGE or `serve --ingress-image`";
        return Some(Check::warn(NAME, message, help));
    }
    if let Some(everyone) = trusted.everyone() {
        let message = format!("`{everyone}` trusts everyone: a client can forge its address");
        let help = "name only what is in front, with `serve --trusted-proxies`";
        return Some(Check::warn(NAME, message, help));
    }
    let trusts_gateway = gateway.map_or(trusted.includes_host_gateway(), |gateway| {
        trusted.networks(gateway).iter().any(|network| network.contains(&IpAddr::V4(gateway)))
    });
    let is_open = |bind: &IpAddr| bind.is_ipv6() && !bind.is_loopback();
    let open = ingress.http_bind.0.iter().find(|bind| is_open(bind));
    if let Some(open) = open.filter(|_| trusts_gateway) {
        let message = format!(
            "clients of {open} can forge their address: over IPv6, the engine passes on every \
             connection from the trusted address of the network's gateway"
        );
        let help = "listen for the network on IPv4 alone, such as `serve --http-bind 0.0.0.0`, or \
                    only on loopback addresses";
        return Some(Check::warn(NAME, message, help));
    }
    let how = if ingress.proxy_protocol { ", with the PROXY protocol" } else { "" };
    Some(Check::ok(NAME, format!("{trusted} may say who the client is{how}")))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::check::CheckResult;
    use super::*;
    use crate::args::{Cli, Command};

    fn check(words: &[&str], lacks: Option<&'static str>) -> Option<Check> {
        let words = ["dubernetes", "serve"].iter().chain(words);
        let Command::Serve(args) = Cli::try_parse_from(words).unwrap().command else {
            panic!("not `serve`");
        };
        check_proxies(&args.ingress, Some([10, 201, 0, 1].into()), lacks)
    }

    #[test]
    fn trusted_proxies_are_named_and_risks_warned_about() {
        assert_eq!(check(&[], Some("x")), None);
        for (words, result, part) in [
            (
                &["--trusted-proxies", "host-gateway", "--proxy-protocol"][..],
                CheckResult::Ok,
                "host-gateway may say who the client is, with the PROXY protocol",
            ),
            (&["--trusted-proxies=::/0"], CheckResult::Warn, "`::/0` trusts everyone"),
            (&["--trusted-proxies=10.0.0.0/8"], CheckResult::Ok, "10.0.0.0/8 may say"),
            (
                &["--trusted-proxies=10.0.0.0/8", "--http-bind=::"],
                CheckResult::Warn,
                "clients of :: can forge",
            ),
            (
                &["--trusted-proxies=192.0.2.7", "--http-bind=::"],
                CheckResult::Ok,
                "192.0.2.7 may say",
            ),
            (&["--proxy-protocol"], CheckResult::Fail, "without a trusted proxy"),
        ] {
            let found = check(words, None).unwrap();
            assert_eq!(found.result, result, "{found:?}");
            assert!(found.message.contains(part), "{found:?}");
            assert_eq!(found.help.is_some(), result != CheckResult::Ok, "{found:?}");
        }
        let found = check(&["--trusted-proxies=192.0.2.7"], Some("no realip module")).unwrap();
        assert_eq!(found.result, CheckResult::Warn);
        assert!(found.message.contains("has no realip module"), "{found:?}");
    }
}
