//! Checks of the ingress port: whether it is free, who uses it, and who can reach it.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};

use super::check::Check;
use crate::args::IngressArgs;

/// Owner of the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PortOwner {
    /// The port is free.
    Free,
    /// Our own nginx.
    Ingress,
    /// Another process or container, if this user can see which.
    Other(Option<String>),
    /// The address belongs to no interface of this machine.
    NotLocal,
}

/// An address and port at which the ingress listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listen {
    /// Address and port.
    pub(super) address: SocketAddr,
    /// Whether it is for HTTPS.
    pub(super) https: bool,
}

/// Returns where an ingress with these settings listens.
pub(super) fn listens(ingress: &IngressArgs) -> Vec<Listen> {
    let listen = |port, https| {
        let addresses = ingress.http_bind.with_port(port).into_iter();
        addresses.map(move |address| Listen { address, https })
    };
    let https = ingress.https_port.map(|port| listen(port, true));
    listen(ingress.http_port, false).chain(https.into_iter().flatten()).collect()
}

/// Finds the owner of the port. `publisher` is the container that publishes the port, `own` the
/// name of our nginx, and `find_process` finds the process that listens.
pub(super) fn find_owner(
    address: SocketAddr,
    publisher: Option<&str>,
    own: &str,
    find_process: impl FnOnce() -> Option<String>,
) -> PortOwner {
    match publisher {
        Some(name) if name == own => return PortOwner::Ingress,
        Some(name) => return PortOwner::Other(Some(format!("the container `{name}`"))),
        None => {}
    }
    match TcpListener::bind(address) {
        Ok(_) => PortOwner::Free,
        Err(error) if error.kind() == ErrorKind::AddrInUse => PortOwner::Other(find_process()),
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => PortOwner::NotLocal,
        // This user may not bind a low port, but the engine may.
        Err(_) => find_process().map_or(PortOwner::Free, |name| PortOwner::Other(Some(name))),
    }
}

/// Checks that the ingress can have the port.
pub(super) fn check_owner(listen: &Listen, owner: PortOwner) -> Check {
    const NAME: &str = "port";
    let address = listen.address;
    match owner {
        PortOwner::Free => Check::ok(NAME, format!("{address} is free")),
        PortOwner::Ingress => {
            Check::ok(NAME, format!("the ingress of this instance has {address}"))
        }
        PortOwner::Other(name) => {
            let name = name.unwrap_or_else(|| "a process that this user cannot see".to_owned());
            let (variable, flag) = match listen.https {
                true => ("DUBERNETES_HTTPS_PORT", "--https-port"),
                false => ("DUBERNETES_HTTP_PORT", "--http-port"),
            };
            let help = format!("stop it, or choose another port with {variable} or `serve {flag}`");
            Check::fail(NAME, format!("{name} uses {address}"), help)
        }
        PortOwner::NotLocal => {
            let message = format!("{} is not an address of this machine", address.ip());
            Check::fail(NAME, message, "choose another address with `serve --http-bind`")
        }
    }
}

/// Checks who can reach a port for HTTP.
pub(super) fn check_exposure(listen: &Listen) -> Option<Check> {
    (!listen.https).then(|| check_bind(listen.address.ip()))
}

fn check_bind(bind: IpAddr) -> Check {
    const NAME: &str = "exposure";
    if bind.is_loopback() {
        return Check::ok(NAME, "only this machine can reach the ingress");
    }
    let network = if bind.is_unspecified() { "every network" } else { "the network" };
    let message = format!("{network} of this machine can reach the ingress at {bind}, without TLS");
    Check::warn(NAME, message, "`serve --http-bind 127.0.0.1` keeps it on this machine")
}

#[cfg(test)]
mod tests {
    use super::super::check::CheckResult;
    use super::*;

    fn check(address: SocketAddr, publisher: Option<&str>, process: Option<&str>) -> Check {
        let process = process.map(str::to_owned);
        let owner = find_owner(address, publisher, "dubernetes.ingress", || process);
        check_owner(&Listen { address, https: false }, owner)
    }

    #[test]
    fn port_used_by_others_fails() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let own = check(address, Some("dubernetes.ingress"), None);
        assert_eq!((own.result, own.help), (CheckResult::Ok, None));
        for (publisher, process, owner) in [
            (Some("web"), None, "the container `web` uses"),
            (None, Some("`nginx` (process 7)"), "`nginx` (process 7) uses"),
            (None, None, "a process that this user cannot see uses"),
        ] {
            let check = check(address, publisher, process);
            assert_eq!(check.result, CheckResult::Fail);
            assert!(check.message.starts_with(owner) && check.help.is_some(), "{check:?}");
        }
        drop(listener);
        assert_eq!(check(address, None, None).result, CheckResult::Ok);
    }

    #[test]
    fn address_of_another_machine_fails() {
        let check = check("192.0.2.1:8080".parse().unwrap(), None, None);
        assert_eq!(check.result, CheckResult::Fail);
        assert!(check.message.contains("192.0.2.1 is not an address"), "{check:?}");
    }

    #[test]
    fn exposed_ingress_warns() {
        let result = |bind: &str| check_bind(bind.parse().unwrap()).result;
        assert_eq!(["127.0.0.1", "::1"].map(result), [CheckResult::Ok; 2]);
        assert_eq!(["0.0.0.0", "::", "192.0.2.1"].map(result), [CheckResult::Warn; 3]);
    }

    #[test]
    fn taken_port_for_https_names_its_own_setting() {
        let listen = Listen { address: ([127, 0, 0, 1], 443).into(), https: true };
        let check = check_owner(&listen, PortOwner::Other(None));
        assert!(check.help.is_some_and(|help| help.contains("--https-port")));
        assert_eq!(check_exposure(&listen), None);
    }
}
