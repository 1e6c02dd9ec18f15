//! Route tables.

use std::net::Ipv4Addr;

use dubernetes_core::app::{AppName, RoutePath};
use dubernetes_core::ingress::{Endpoint, Listener, Protocol, Route, RouteTable};

pub(crate) fn table(routes: &[Route]) -> RouteTable {
    RouteTable { routes: routes.to_vec(), ..RouteTable::default() }
}

pub(crate) fn route(host: &str, path: &str, app: &str, endpoints: &[Endpoint]) -> Route {
    let path = RoutePath::parse(path).unwrap();
    Route::new(host.parse().unwrap(), path, AppName::parse(app).unwrap(), endpoints.to_vec())
}

pub(crate) fn listener(app: &str, port: u16, protocol: Protocol, to: &[Endpoint]) -> Listener {
    Listener {
        app: AppName::parse(app).unwrap(),
        address: Ipv4Addr::new(10, 89, 0, 130),
        port,
        protocol,
        endpoints: to.to_vec(),
        keepalive: false,
        buffer_requests: false,
    }
}

pub(crate) fn endpoint(last: u8, port: u16) -> Endpoint {
    let pod = format!("pod-{last}").parse().unwrap();
    Endpoint { pod, address: Ipv4Addr::new(10, 89, 0, last).into(), port }
}
