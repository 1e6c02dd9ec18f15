//! The ingress's port: whether it can be had, else who has it, and who reaches it.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener};

use super::check::Check;

const NAME: &str = "port";

/// Who has the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PortOwner {
    /// Nobody.
    Free,
    /// Our own nginx.
    Ingress,
    /// Somebody else, as far as that can be seen.
    Other(Option<String>),
    /// The address belongs to no interface of this machine.
    NotLocal,
}

/// Looks who has the port. `publisher` is the container that publishes it, `own` our nginx's, and
/// `holder` finds the process that listens there.
pub(super) fn find_owner(
    place: SocketAddr,
    publisher: Option<&str>,
    own: &str,
    holder: impl FnOnce() -> Option<String>,
) -> PortOwner {
    match publisher {
        Some(name) if name == own => return PortOwner::Ingress,
        Some(name) => return PortOwner::Other(Some(format!("the container `{name}`"))),
        None => {}
    }
    match TcpListener::bind(place) {
        Ok(_) => PortOwner::Free,
        Err(error) if error.kind() == ErrorKind::AddrInUse => PortOwner::Other(holder()),
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => PortOwner::NotLocal,
        // This user may not try a low port, which the engine may take all the same.
        Err(_) => holder().map_or(PortOwner::Free, |who| PortOwner::Other(Some(who))),
    }
}

/// What follows from who has the port.
pub(super) fn check_owner(place: SocketAddr, port: PortOwner) -> Check {
    match port {
        PortOwner::Free => Check::ok(NAME, format!("{place} is free")),
        PortOwner::Ingress => Check::ok(NAME, format!("the ingress of this instance has {place}")),
        PortOwner::Other(who) => {
            let who = who.unwrap_or_else(|| "a process that this user cannot see".to_owned());
            let help = "end it, or choose another port with DUBERNETES_HTTP_PORT or \
                        `serve --http-port`";
            Check::fail(NAME, format!("{who} has {place}"), help)
        }
        PortOwner::NotLocal => {
            let message = format!("{} is no address of this machine", place.ip());
            Check::fail(NAME, message, "choose another one with `serve --http-bind`")
        }
    }
}

/// Who reaches the port.
pub(super) fn check_exposure(bind: IpAddr) -> Check {
    const NAME: &str = "exposure";
    if bind.is_loopback() {
        return Check::ok(NAME, "only this machine reaches the ingress");
    }
    let whose = if bind.is_unspecified() { "every network" } else { "the network" };
    let message = format!("{whose} of this machine reaches the ingress, without TLS, at {bind}");
    Check::warn(NAME, message, "`serve --http-bind 127.0.0.1` keeps it on this machine")
}

#[cfg(test)]
mod tests {
    use super::super::check::CheckResult;
    use super::*;

    fn found(place: SocketAddr, publisher: Option<&str>, holder: Option<&str>) -> Check {
        let holder = holder.map(str::to_owned);
        check_owner(place, find_owner(place, publisher, "dubernetes.ingress", || holder))
    }

    #[test]
    fn a_port_is_free_our_own_or_somebodys() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let place = listener.local_addr().unwrap();
        let own = found(place, Some("dubernetes.ingress"), None);
        assert_eq!((own.result, own.help), (CheckResult::Ok, None));
        for (publisher, holder, who) in [
            (Some("web"), None, "the container `web` has"),
            (None, Some("`nginx` (process 7)"), "`nginx` (process 7) has"),
            (None, None, "a process that this user cannot see has"),
        ] {
            let check = found(place, publisher, holder);
            assert_eq!(check.result, CheckResult::Fail);
            assert!(check.message.starts_with(who) && check.help.is_some(), "{check:?}");
        }
        drop(listener);
        assert_eq!(found(place, None, None).result, CheckResult::Ok);
    }

    #[test]
    fn an_address_of_another_machine_is_told() {
        let check = found("192.0.2.1:8080".parse().unwrap(), None, None);
        assert_eq!(check.result, CheckResult::Fail);
        assert!(check.message.contains("192.0.2.1 is no address"), "{check:?}");
    }

    #[test]
    fn an_open_ingress_is_a_warning() {
        let result = |bind: &str| check_exposure(bind.parse().unwrap()).result;
        assert_eq!(["127.0.0.1", "::1"].map(result), [CheckResult::Ok; 2]);
        assert_eq!(["0.0.0.0", "::", "192.0.2.1"].map(result), [CheckResult::Warn; 3]);
    }
}
