//! What lies between a client and the replicas: headers, bodies, time, and the port itself.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use dubernetes_tests::checks::SOON;
use dubernetes_tests::http::{Connection, Request, once};
use dubernetes_tests::websocket::WebSocket;
use dubernetes_tests::{Scenario, busybox, eventually, here, whoami};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};

#[test]
fn replicas_learn_who_asks_and_nobody_can_pretend() {
    here!().run(async |s| {
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
        let client = answer.says("X-Real-Ip").unwrap();
        assert!(client.parse::<std::net::Ipv4Addr>().is_ok(), "{text}");
        for (header, value) in [
            ("X-Forwarded-For", client.as_str()),
            ("X-Forwarded-Host", "web.test"),
            ("X-Forwarded-Proto", "http"),
            ("Host", "web.test"),
            ("X-Own", "kept"),
        ] {
            assert_eq!(answer.says(header).as_deref(), Some(value), "{header}: {text}");
        }
    });
}

#[test]
fn big_bodies_pass_both_ways_and_slow_answers_are_waited_for() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let upload = vec![b'x'; 20 << 20];
        let answer = once(s.port, Request::post("web.test", "/", &upload)).await.unwrap();
        assert_eq!((answer.status, answer.says("BodyLength")), (200, Some("20971520".into())));
        let answer = s.ask("web.test", "/data?size=20&unit=MB").await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 20 << 20));
        let start = Instant::now();
        assert_eq!(s.ask("web.test", "/?wait=3s").await.unwrap().status, 200);
        assert!(start.elapsed() >= Duration::from_secs(3));
    });
}

#[test]
fn a_websocket_outlives_the_deploy_of_another_app() {
    here!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("chat", 1).host("chat.test")).await;
        let mut socket = WebSocket::open(s.port, "chat.test").await.unwrap();
        for round in ["before", "deploy", "scale", "after"] {
            match round {
                "deploy" => drop(s.apply(&whoami("web", 2).host("web.test")).await),
                "scale" => drop(s.run(&["scale", "web", "1"]).await.succeeds()),
                _ => {}
            }
            socket.echo(round).await.unwrap();
        }
    });
}

#[test]
fn events_of_a_server_arrive_as_they_are_sent() {
    here!().run(async |s| {
        s.serve().await;
        // The second event comes once the first one was seen.
        let cgi = "#!/bin/sh\nprintf 'Content-Type: text/event-stream\\r\\n\\r\\ndata: 1\\n\\n'\n\
                   while ! [ -e /tmp/seen ]; do sleep 0.1; done\nprintf 'data: 2\\n\\n'\n";
        let script = format!(
            "mkdir -p /www/cgi-bin; cat > /www/cgi-bin/events <<'END'\n{cgi}END\n\
             echo '#!/bin/sh' > /www/cgi-bin/seen\n\
             echo 'touch /tmp/seen; printf \"Content-Length: 0\\r\\n\\r\\n\"' >> /www/cgi-bin/seen\n\
             chmod +x /www/cgi-bin/*; exec httpd -f -p 80 -h /www"
        );
        s.apply(&busybox("feed", 1, &script).host("feed.test")).await;
        let mut connection = Connection::open(s.port).await.unwrap();
        let stream = connection.stream();
        let request = "GET /cgi-bin/events HTTP/1.1\r\nHost: feed.test\r\nConnection: close\r\n\r\n";
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
fn a_taken_port_is_named_and_used_once_it_is_free() {
    here!().run(async |s| {
        let other = TcpListener::bind(("127.0.0.1", s.port)).unwrap();
        s.serve().await;
        let failed = s.try_apply(&whoami("web", 2).host("web.test")).await.fails(1);
        let port = s.port.to_string();
        assert!(failed.stderr.contains(&port), "{}", failed.stderr);
        let status = s.run(&["status"]).await.succeeds();
        let line = status.stdout.lines().find(|line| line.starts_with("Ingress:")).unwrap();
        assert!(line.contains(&port), "{}", status.stdout);
        // The replicas have nothing to do with it.
        s.settles("web", 2, SOON).await;
        let ids = s.ids("web").await;

        drop(other);
        let limit = Duration::from_secs(60);
        eventually("it answers once the port is free", limit, async || {
            s.ask("web.test", "/").await.map(drop)
        })
        .await;
        s.is_in("Ready", "web", SOON).await;
        s.answers_evenly("web.test", "web", 2).await;
        assert_eq!(s.ids("web").await, ids);
    });
}

#[test]
fn two_instances_with_the_same_apps_are_apart() {
    here!().run(async |s| {
        let other = s.another();
        s.serve().await;
        other.serve().await;
        let web = |name: &str| {
            whoami("web", 2).host("web.test").with(&format!("env: {{ WHOAMI_NAME: {name} }}"))
        };
        let (one, two) = (web("one"), web("two"));
        tokio::join!(s.apply(&one), other.apply(&two));
        let says = async |s: &Scenario| s.answers("web.test", "web").await.says("Name");
        for _ in 0..4 {
            assert_eq!(says(s).await.as_deref(), Some("one"));
            assert_eq!(says(&other).await.as_deref(), Some("two"));
        }
        assert!(s.ids("web").await.is_disjoint(&other.ids("web").await));
        assert_ne!(s.networks().await, other.networks().await);

        let left = other.containers().await;
        let _ = s.run(&["down", "--yes"]).await.succeeds();
        assert!(s.containers().await.is_empty());
        assert_eq!(other.containers().await, left);
        assert_eq!(says(&other).await.as_deref(), Some("two"));
    });
}
