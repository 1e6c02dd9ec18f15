//! Whether a former generation's workers may still send requests to an address.
//!
//! After a reload the older workers answer the requests that they have, and for the time of
//! `keepalive_min_timeout` one more on each kept connection. So an address is drained when that window
//! has passed since a table without it was acknowledged, and nginx holds no connection to it.

use std::net::Ipv4Addr;
use std::time::Duration;

use dubernetes_core::ingress::IngressError;
use dubernetes_core::runtime::exec_to_end;

use crate::error::failed;
use crate::proxy::{Nginx, Run};

/// `keepalive_min_timeout` is 1 s; the rest is for timers that fire late.
pub(crate) const WINDOW: Duration = Duration::from_millis(1500);

/// The kernel's table of connections, as a container sees its own.
const CONNECTIONS: &str = "/proc/net/tcp";

impl Nginx {
    /// Whether nginx holds a connection to `address`, on whatever port.
    pub(crate) async fn is_connected(
        &self,
        run: &Run,
        address: Ipv4Addr,
    ) -> Result<bool, IngressError> {
        let result = exec_to_end(&*self.runtime, &run.id, &["cat", CONNECTIONS]).await?;
        if result.code != 0 {
            let code = result.code;
            return Err(failed(format!("`cat {CONNECTIONS}` ended with code {code} in nginx")));
        }
        let table = String::from_utf8_lossy(&result.stdout);
        Ok(table.lines().skip(1).any(|line| is_to(line, address)))
    }
}

/// Whether a line of the kernel's table is a connection to `address` that a request may be on.
fn is_to(line: &str, address: Ipv4Addr) -> bool {
    let mut fields = line.split_whitespace().skip(2);
    let (Some(remote), Some(state)) = (fields.next(), fields.next()) else {
        return false;
    };
    // The kernel prints the address as a number of the machine's own byte order.
    let wanted = format!("{:08X}", u32::from_ne_bytes(address.octets()));
    let Some((remote, _port)) = remote.split_once(':') else {
        return false;
    };
    remote == wanted && is_in_use(state)
}

/// Established, being established, or closed by the other end alone. In the other states nginx
/// itself has closed: it is done with the request.
fn is_in_use(state: &str) -> bool {
    matches!(state, "01" | "02" | "03" | "08")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_in_use_count() {
        let line = |remote: &str, state: &str| {
            format!("   1: 0200590A:C350 {remote}:0050 {state} 00000000:00000000 00:00000000 0")
        };
        let replica = Ipv4Addr::new(10, 89, 0, 5);
        let remote = format!("{:08X}", u32::from_ne_bytes([10, 89, 0, 5]));
        for (state, expected) in
            [("01", true), ("02", true), ("08", true), ("06", false), ("05", false), ("0A", false)]
        {
            assert_eq!(is_to(&line(&remote, state), replica), expected, "{state}");
        }
        assert!(!is_to(&line("0600590A", "01"), replica));
        assert!(!is_to("", replica));
    }
}
