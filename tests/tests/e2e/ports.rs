//! Published ports: from the host to the ready replicas, by TCP and UDP.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use dubernetes_tests::checks::SOON;
use dubernetes_tests::manifest::Manifest;
use dubernetes_tests::port::Port;
use dubernetes_tests::program::docker;
use dubernetes_tests::{Scenario, e2e, eventually, whoami};
use tokio::net::UdpSocket;
use tokio::time::timeout;

fn published(name: &str, replicas: u32, ports: &[String]) -> Manifest {
    let ports = ports.join(", ");
    whoami(name, replicas).with(&format!("args: [--port, '5432']\nports: [{ports}]"))
}

fn tcp(host: u16) -> String {
    format!("'127.0.0.1:{host}:5432'")
}

/// Returns the name of the replica that answers at a port of the host.
async fn tcp_answer(port: u16) -> Result<String, String> {
    let request = dubernetes_tests::http::Request::get("any.test", "/");
    let answer = dubernetes_tests::http::once(port, request).await?;
    answer.field("Replica").ok_or_else(|| format!("status {}", answer.status))
}

async fn expect_tcp(port: u16, replica: &str) {
    eventually(&format!("{replica} answers at port {port}"), SOON, async || {
        let found = tcp_answer(port).await?;
        if found == replica { Ok(()) } else { Err(format!("`{found}` answers")) }
    })
    .await;
}

/// Waits until a replica answers datagrams to a port of 127.0.0.2.
async fn expect_udp(port: u16, replica: &str) {
    eventually(&format!("{replica} answers datagrams"), SOON, async || {
        let answer = timeout(Duration::from_secs(1), udp_answer(port)).await;
        let found = answer.map_err(|_| "no answer")?.map_err(|error| error.to_string())?;
        if found == replica { Ok(()) } else { Err(format!("`{found}` answers")) }
    })
    .await;
}

async fn udp_answer(port: u16) -> std::io::Result<String> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.send_to(b"who", ("127.0.0.2", port)).await?;
    let mut answer = [0; 64];
    let length = socket.recv(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// Returns the name of an nginx image that cannot publish ports: without its stream module, or
/// where that is built in, without `ip`.
async fn image_without_ports(s: &Scenario) -> String {
    const TAKE_OUT: &str = "rm -f /usr/lib/nginx/modules/ngx_stream_module.so; \
                            if nginx -V 2>&1 | grep -q -e '--with-stream '; \
                            then rm -f $(command -v ip); fi";
    let tag = s.tag(s.ingress_image()).await;
    let id = s.create_container(&["--entrypoint", "sh", &tag, "-c", TAKE_OUT]).await;
    docker(&["start", "-a", id.trim()]).await;
    docker(&["commit", id.trim(), &tag]).await;
    tag
}

/// Returns the ids of the containers that publish ports.
async fn port_containers(s: &Scenario) -> String {
    let instance = format!("label=dubernetes.instance={}", s.instance);
    let ports = "label=dubernetes.component=ports";
    docker(&["ps", "-aq", "--no-trunc", "--filter", &instance, "--filter", ports]).await
}

#[test]
fn published_port_leads_to_ready_replicas_and_an_update_loses_no_request() {
    e2e!().run(async |s| {
        s.serve().await;
        let port = Port::take();
        s.apply(&published("db", 2, &[tcp(port.number)])).await;
        let ingress = docker(&["inspect", "-f", "{{.Id}}", &s.ingress()]).await;
        let publishes = port_containers(s).await;

        // Each request has its own connection: a kept one holds a replica until its drain ends.
        let changed = published("db", 2, &[tcp(port.number)]).with("env: { V: '2' }");
        let update = s.apply(&changed);
        tokio::pin!(update);
        let mut sent = 0;
        loop {
            tokio::select! {
                _ = &mut update => break,
                answer = tcp_answer(port.number) => sent += answer.map(|_| 1).unwrap(),
            }
        }
        assert!(sent > 100, "only {sent} requests were sent");

        // Another port of another app, and a change of replicas, touch neither container.
        let other = Port::take();
        s.apply(&published("other", 1, &[tcp(other.number)])).await;
        expect_tcp(other.number, "other-1").await;
        assert_eq!(docker(&["inspect", "-f", "{{.Id}}", &s.ingress()]).await, ingress);
        assert!(port_containers(s).await.contains(publishes.trim()));

        // A container that is gone is made again.
        docker(&["rm", "-f", publishes.trim()]).await;
        eventually("the port is published again", SOON, async || {
            tcp_answer(port.number).await.map(drop)
        })
        .await;

        // An app without ports publishes none.
        s.apply(&whoami("db", 2).with("args: [--port, '5432']\nport: 5432\nenv: { V: '2' }")).await;
        eventually("the port is free", SOON, async || {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port.number))
                .map(drop)
                .map_err(|error| error.to_string())
        })
        .await;
        expect_tcp(other.number, "other-1").await;
        let _ = s.run(&["delete", "other"]).await.assert_success();
        assert_eq!(port_containers(s).await.trim(), "");
    });
}

#[test]
fn taken_port_is_named_and_what_is_published_stays() {
    e2e!().run(async |s| {
        s.serve().await;
        let (port, taken) = (Port::take(), Port::take());
        s.apply(&published("db", 1, &[tcp(port.number)])).await;
        let before = port_containers(s).await;

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, taken.number)).unwrap();
        let refused = s.try_apply(&published("db", 1, &[tcp(taken.number)])).await;
        let expected = format!("TCP port {} on 127.0.0.1 is taken by", taken.number);
        assert!(refused.assert_code(1).stderr.contains(&expected));
        assert_eq!(port_containers(s).await, before);
        expect_tcp(port.number, "db-1").await;

        drop(listener);
        expect_tcp(taken.number, "db-1").await;

        let conflict = s.try_apply(&published("web", 1, &[tcp(taken.number)])).await;
        let expected = format!("TCP port {} of this machine is taken by app `db`", taken.number);
        assert!(conflict.assert_code(1).stderr.contains(&expected));
    });
}

#[test]
fn published_udp_port_answers_through_an_update() {
    e2e!().run(async |s| {
        s.serve().await;
        let port = Port::take();
        // The number is reserved on 127.0.0.1, by UDP.
        let ports = format!("ports: ['127.0.0.2:{}:5353/udp']", port.number);
        let dns = |version: &str| {
            let env = format!("env: {{ WHOAMI_UDP_PORT: '5353', V: '{version}' }}");
            whoami("dns", 1).with(&format!("{env}\n{ports}"))
        };
        for (version, replica) in [("1", "dns-1"), ("2", "dns-2")] {
            s.apply(&dns(version)).await;
            expect_udp(port.number, replica).await;
        }
    });
}

#[test]
fn replica_publishes_ports_that_the_ingress_cannot() {
    e2e!().run(async |s| {
        let image = image_without_ports(s).await;
        s.serve_with(&[("DUBERNETES_INGRESS_IMAGE", &image)]).await;
        let port = Port::take();
        let db = |version: &str, replicas: u32| {
            let udp = format!("'127.0.0.2:{}:5353/udp'", port.number);
            let env = format!("env: {{ WHOAMI_UDP_PORT: '5353', V: '{version}' }}");
            published("db", replicas, &[tcp(port.number), udp]).with(&env)
        };
        s.apply(&db("1", 1)).await;
        expect_tcp(port.number, "db-1").await;
        expect_udp(port.number, "db-1").await;
        assert_eq!(port_containers(s).await.trim(), "");

        let path = s.write_file("update.yaml", &db("2", 1).to_string());
        let plan = s.run(&["plan", &path]).await.assert_success().stdout;
        let says = "downtime: the replica publishes `ports` itself, so the old one stops first: \
                    the image of the ingress has no";
        assert!(plan.contains(says), "{plan}");
        s.apply(&db("2", 1)).await;
        expect_tcp(port.number, "db-2").await;
        expect_udp(port.number, "db-2").await;

        let refused = s.try_apply(&db("2", 2)).await.assert_code(1).stderr;
        assert!(refused.contains("`ports` allows one replica, not 2"), "{refused}");
        expect_tcp(port.number, "db-2").await;

        // An image with the module publishes them, and the replica gives them up.
        s.terminate().await;
        s.serve().await;
        eventually("both replicas answer", SOON, async || {
            let found = [tcp_answer(port.number).await?, tcp_answer(port.number).await?];
            if found[0] == found[1] { Err(found[0].clone()) } else { Ok(()) }
        })
        .await;
        assert_ne!(port_containers(s).await.trim(), "");
        s.apply(&db("2", 2)).await;
    });
}

#[test]
fn taken_port_stops_no_replica_that_publishes_itself() {
    e2e!().run(async |s| {
        let image = image_without_ports(s).await;
        s.serve_with(&[("DUBERNETES_INGRESS_IMAGE", &image)]).await;
        let (port, taken) = (Port::take(), Port::take());
        s.apply(&published("db", 1, &[tcp(port.number)])).await;
        expect_tcp(port.number, "db-1").await;
        let before = s.container_ids("db").await;

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, taken.number)).unwrap();
        let changed = published("db", 1, &[tcp(taken.number)]).with("env: { V: '2' }");
        let refused = s.try_apply(&changed).await.assert_code(1).stderr;
        let expected = format!("TCP port {} on 127.0.0.1 is taken by", taken.number);
        assert!(refused.contains(&expected), "{refused}");
        assert_eq!(s.container_ids("db").await, before);
        expect_tcp(port.number, "db-1").await;

        drop(listener);
        expect_tcp(taken.number, "db-2").await;
        assert!(tcp_answer(port.number).await.is_err(), "the old port is given up");
    });
}
