//! The machine loses its power, and the unit starts the orchestrator at the next boot.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::program::docker;
use dubernetes_tests::unit::Unit;
use dubernetes_tests::{e2e, eventually, whoami};
use rustix::process::geteuid;

#[test]
fn start_of_the_unit_after_a_power_cut_brings_everything_back() {
    e2e!().run(async |s| {
        let unit = Unit::read();
        for key in ["After", "Wants"] {
            let units = unit.values(key).join(" ");
            assert!(units.contains("docker.service") && units.contains("network-online.target"));
        }
        s.serve().await;
        s.apply(&whoami("web", 2).host("web.test")).await;
        s.apply(&whoami("api", 1).host("api.test").with("after: [web]")).await;
        let _ = s.run_with(&["secret", "set", "db"], "canary").await.assert_success();
        let before = s.containers().await;

        s.kill().await;
        let ids: Vec<_> = before.iter().map(|container| container.id.to_string()).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        assert_eq!(ids.len(), 4, "three replicas and the ingress: {before:#?}");
        docker(&[&["kill"], &ids[..]].concat()).await;
        assert!(s.get("web.test", "/").await.is_err());

        // Any group will do. The owner of the state must give the socket to one that is not its
        // own, which needs a capability.
        let folder = std::fs::metadata(s.state_dir()).unwrap();
        let group = if geteuid().is_root() { 47110 } else { folder.gid() };
        let notify = s.state_dir().join("notify");
        let manager = UnixDatagram::bind(&notify).unwrap();
        manager.set_nonblocking(true).unwrap();
        let variables = [
            ("DUBERNETES_SOCKET_GROUP", group.to_string()),
            ("NOTIFY_SOCKET", notify.to_str().unwrap().to_owned()),
        ];
        s.serve_by_unit(&unit, &variables).await;
        eventually("the orchestrator says that it is ready", SOON, async || {
            let mut buffer = [0; 20];
            let heard = manager.recv(&mut buffer).map_err(|error| error.to_string())?;
            ensure(&buffer[..heard] == b"READY=1", buffer)
        })
        .await;
        let socket = std::fs::metadata(s.state_dir().join("dubernetes.sock")).unwrap();
        assert_eq!((socket.gid(), socket.mode() & 0o777), (group, 0o660));

        s.wait_for_replicas("web", 2, SOON).await;
        s.wait_for_replicas("api", 1, SOON).await;
        for app in ["web", "api"] {
            s.wait_for_phase(app, "Ready", SOON).await;
        }
        s.wait_for_balance_over("web.test", "web", 2).await;
        s.assert_served_by("api.test", "api").await;
        let secrets = s.run(&["secret", "list", "-o", "name"]).await.assert_success().stdout;
        assert_eq!(secrets, "secret/db\n");
        // What is published and routed needs no right that the unit lacks.
        s.apply(&whoami("web", 3).host("web.test").with("env: { A: b }")).await;
        s.wait_for_balance("web.test", 3).await;
        s.terminate().await;
    });
}
