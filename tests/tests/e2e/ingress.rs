//! nginx between clients and replicas: headers, bodies, streaming, and the host port.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::http::{Connection, Request, once};
use dubernetes_tests::program::docker;
use dubernetes_tests::websocket::WebSocket;
use dubernetes_tests::{Scenario, busybox, e2e, eventually, whoami};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};

#[test]
fn forwarded_headers_name_client_and_cannot_be_forged() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let forged = [
            ("X-Forwarded-For", "6.6.6.6"),
            ("X-Forwarded-Host", "evil.test"),
            ("X-Forwarded-Proto", "https"),
            ("X-Real-IP", "6.6.6.6"),
            ("Forwarded", "for=6.6.6.6"),
            ("X-Own", "kept"),
        ];
        let request =
            Request { headers: &forged, ..Request::get("web.test", "/some/path?a=b%20c") };
        let answer = once(s.port, request).await.unwrap();
        let text = answer.text();
        assert!(text.contains("GET /some/path?a=b%20c HTTP/1.1\n"), "{text}");
        assert!(!text.contains("6.6.6.6") && !text.contains("evil.test"), "{text}");
        let client = answer.field("X-Real-Ip").unwrap();
        assert!(client.parse::<std::net::Ipv4Addr>().is_ok(), "{text}");
        for (header, value) in [
            ("X-Forwarded-For", client.as_str()),
            ("X-Forwarded-Host", "web.test"),
            ("X-Forwarded-Proto", "http"),
            ("Host", "web.test"),
            ("X-Own", "kept"),
        ] {
            assert_eq!(answer.field(header).as_deref(), Some(value), "{header}: {text}");
        }
    });
}

#[test]
fn large_bodies_and_slow_answers_pass_through() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let upload = vec![b'x'; 20 << 20];
        let answer = once(s.port, Request::post("web.test", "/", &upload)).await.unwrap();
        assert_eq!((answer.status, answer.field("BodyLength")), (200, Some("20971520".into())));
        let answer = s.get("web.test", "/data?size=20&unit=MB").await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 20 << 20));
        let start = Instant::now();
        assert_eq!(s.get("web.test", "/?wait=3s").await.unwrap().status, 200);
        assert!(start.elapsed() >= Duration::from_secs(3));
    });
}

#[test]
fn websocket_survives_deploy_of_another_app() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("chat", 1).host("chat.test")).await;
        let mut socket = WebSocket::open(s.port, "chat.test").await.unwrap();
        for round in ["before", "deploy", "scale", "after"] {
            match round {
                "deploy" => drop(s.apply(&whoami("web", 2).host("web.test")).await),
                "scale" => drop(s.run(&["scale", "web", "1"]).await.assert_success()),
                _ => {}
            }
            socket.echo(round).await.unwrap();
        }
    });
}

#[test]
fn server_sent_events_arrive_unbuffered() {
    e2e!().run(async |s| {
        s.serve().await;
        // The app sends the second event after the client has received the first one.
        let cgi = "#!/bin/sh\nprintf 'Content-Type: text/event-stream\\r\\n\\r\\ndata: 1\\n\\n'\n\
                   while ! [ -e /tmp/seen ]; do sleep 0.1; done\nprintf 'data: 2\\n\\n'\n";
        let script = format!(
            "mkdir -p /www/cgi-bin; cat > /www/cgi-bin/events <<'END'\n{cgi}END\n\
             echo '#!/bin/sh' > /www/cgi-bin/seen\n\
             echo 'touch /tmp/seen; printf \"Content-Length: 0\\r\\n\\r\\n\"' \
             >> /www/cgi-bin/seen\n\
             chmod +x /www/cgi-bin/*; exec httpd -f -p 80 -h /www"
        );
        s.apply(&busybox("feed", 1, &script).host("feed.test")).await;
        let mut connection = Connection::open(s.port).await.unwrap();
        let stream = connection.stream();
        let request =
            "GET /cgi-bin/events HTTP/1.1\r\nHost: feed.test\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        let first = async {
            while !text.contains("data: 1") {
                assert_ne!(stream.read_line(&mut text).await.unwrap(), 0, "{text}");
            }
        };
        tokio::time::timeout(SOON, first).await.unwrap();
        let mut seen = Connection::open(s.port).await.unwrap();
        let _ = seen.send(Request::get("feed.test", "/cgi-bin/seen")).await;
        let rest = stream.read_to_string(&mut text);
        tokio::time::timeout(SOON, rest).await.unwrap().unwrap();
        assert!(text.contains("data: 2"), "{text}");
    });
}

#[test]
fn taken_port_is_named_and_used_once_free() {
    e2e!().run(async |s| {
        let other = TcpListener::bind(("127.0.0.1", s.port)).unwrap();
        s.serve().await;
        let failed = s.try_apply(&whoami("web", 2).host("web.test")).await.assert_code(1);
        let port = s.port.to_string();
        assert!(failed.stderr.contains(&port), "{}", failed.stderr);
        let status = s.run(&["status"]).await.assert_code(1);
        let line = status.stdout.lines().find(|line| line.starts_with("Ingress:")).unwrap();
        assert!(line.contains(&port), "{}", status.stdout);
        // The replicas start anyway.
        s.wait_for_replicas("web", 2, SOON).await;
        let ids = s.container_ids("web").await;

        drop(other);
        let limit = Duration::from_secs(60);
        eventually("the host answers once the port is free", limit, async || {
            s.get("web.test", "/").await.map(drop)
        })
        .await;
        s.wait_for_phase("web", "Ready", SOON).await;
        s.wait_for_balance_over("web.test", "web", 2).await;
        assert_eq!(s.container_ids("web").await, ids);
    });
}

#[test]
fn two_instances_with_same_apps_are_isolated() {
    e2e!().run(async |s| {
        let other = s.second_instance();
        s.serve().await;
        other.serve().await;
        let web = |name: &str| {
            whoami("web", 2).host("web.test").with(&format!("env: {{ WHOAMI_NAME: {name} }}"))
        };
        let one = web("one");
        let two = web("two");
        tokio::join!(s.apply(&one), other.apply(&two));
        let name = async |s: &Scenario| s.assert_served_by("web.test", "web").await.field("Name");
        for _ in 0..4 {
            assert_eq!(name(s).await.as_deref(), Some("one"));
            assert_eq!(name(&other).await.as_deref(), Some("two"));
        }
        assert!(s.container_ids("web").await.is_disjoint(&other.container_ids("web").await));
        assert_ne!(s.networks().await, other.networks().await);

        let containers = other.containers().await;
        let _ = s.run(&["down", "--yes"]).await.assert_success();
        assert!(s.containers().await.is_empty());
        assert_eq!(other.containers().await, containers);
        assert_eq!(name(&other).await.as_deref(), Some("two"));
    });
}

#[test]
fn headers_of_64_kib_and_unusual_names_pass_and_aliases_do_not() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let long = "c".repeat(60 << 10);
        let headers =
            [("api_key", "1"), ("x.dot", "2"), ("X_Real_IP", "6.6.6.6"), ("Cookie", &long)];
        let request = Request { headers: &headers, ..Request::get("web.test", "/") };
        let text = once(s.port, request).await.unwrap().text();
        let text = text.to_ascii_lowercase();
        assert!(text.contains("api_key: 1") && text.contains("x.dot: 2"), "{text:.2000}");
        assert!(text.contains(&long) && !text.contains("6.6.6.6"), "{text:.2000}");
        let uri = format!("/{}", "u".repeat(60 << 10));
        assert_eq!(s.get("web.test", &uri).await.unwrap().status, 200);

        // An app whose answer has 60 KiB of headers.
        let cgi = "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\nContent-Length: 5\\r\\n'\n\
                   printf 'X-Long: '; head -c 61440 /dev/zero | tr '\\0' 'a'\n\
                   printf '\\r\\n\\r\\nwhole'\n";
        let script = format!(
            "cd /; mkdir -p /www/cgi-bin; cat > /www/cgi-bin/long <<'END'\n{cgi}END\n\
             sed s/61440/81920/ /www/cgi-bin/long > /www/cgi-bin/longer\n\
             chmod +x /www/cgi-bin/*; exec httpd -f -p 80 -h /www"
        );
        s.apply(&busybox("long", 1, &script).host("long.test")).await;
        let answer = s.get("long.test", "/cgi-bin/long").await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));

        // One with more is named.
        assert_eq!(s.get("long.test", "/cgi-bin/longer").await.unwrap().status, 502);
        let why = s.run(&["why", "long"]).await.assert_success().stdout;
        let line = "in place of long-1: the headers of its answer have more than 64 KiB";
        assert!(why.contains(line) && why.contains("once, "), "{why}");
    });
}

#[test]
fn restart_takes_over_changed_ingress_settings_and_says_so() {
    e2e!().run(async |s| {
        s.serve_with(&[("DUBERNETES_HTTP_BIND", "::")]).await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let ports = async || docker(&["port", &s.ingress()]).await;
        let both = ports().await;
        assert!(both.contains("0.0.0.0:") && both.contains("[::]:"), "{both}");
        s.terminate().await;
        s.serve_with(&[("DUBERNETES_HTTP_BIND", "127.0.0.1,127.0.0.2")]).await;
        let name = format!("name=^{}$", s.ingress());
        eventually("the ingress has its new settings", SOON, async || {
            // Unlike `docker port`, this succeeds while the container is replaced.
            let published = docker(&["ps", "--filter", &name, "--format", "{{.Ports}}"]).await;
            let is_new = published.contains("127.0.0.2") && !published.contains("0.0.0.0");
            ensure(is_new, published)
        })
        .await;
        s.wait_for_status_code("web.test", 200, SOON).await;
        let address = format!("http://127.0.0.2:{}", s.port);
        eventually("status shows the new address", SOON, async || {
            let status = s.run(&["status"]).await.assert_success().stdout;
            ensure(status.contains(&address), status)
        })
        .await;
        let events = s.event_messages().await;
        let said = events.iter().any(|(_, text)| text.contains("its settings changed"));
        assert!(said, "{events:?}");
    });
}

#[test]
fn ingress_whose_wanted_image_is_missing_goes_on_and_is_said_to_serve() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        s.terminate().await;
        s.serve_with(&[("DUBERNETES_INGRESS_IMAGE", "dubernetes.invalid/nginx:none")]).await;
        eventually("the missing image is reported", SOON, async || {
            let events = s.event_messages().await;
            let is_said = |(reason, text): &(String, String)| {
                reason == "IngressWarning" && text.contains("keeps its former settings: image `")
            };
            ensure(events.iter().any(is_said), events)
        })
        .await;
        // What serves gets new routes, and no status says that it does not.
        s.apply(&whoami("web", 2).host("web.test")).await;
        s.wait_for_balance("web.test", 2).await;
        let status = s.run(&["status"]).await.assert_success().stdout;
        assert!(status.contains("1 Ready"), "{status}");
        assert_eq!(s.get_app("web").await["status"]["phase"], "Ready");
    });
}

#[test]
fn request_after_death_of_only_replica_gets_503_at_once() {
    e2e!().run(async |s| {
        s.serve().await;
        // It takes a while to be ready again.
        let script = "sleep 3; exec httpd -f -p 80 -h /";
        s.apply(&busybox("web", 1, script).host("web.test")).await;
        let id = s.container_ids("web").await.into_iter().next().unwrap();
        docker(&["kill", &id]).await;
        let died = Instant::now();
        s.wait_for_status_code("web.test", 503, SOON).await;
        let took = died.elapsed();
        let start = Instant::now();
        assert_eq!(s.status_code("web.test").await, 503);
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
        assert!(took < Duration::from_secs(3), "{took:?}");
    });
}
