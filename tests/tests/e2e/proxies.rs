//! Proxies in front of the ingress that are believed, as settings of `serve`.

use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::http::{Connection, Request, once};
use dubernetes_tests::load::Load;
use dubernetes_tests::program::docker;
use dubernetes_tests::{busybox, e2e, eventually, whoami};
use tokio::io::AsyncWriteExt as _;

const HTTPS: &[(&str, &str)] =
    &[("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "203.0.113.9")];

#[test]
fn restart_takes_over_trusted_proxies_without_a_failed_request() {
    e2e!().run(async |s| {
        s.serve().await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        s.apply(&busybox("client", 1, "while :; do sleep 1; done")).await;
        let request = Request { headers: HTTPS, ..Request::get("web.test", "/") };
        let answer = once(s.port, request).await.unwrap();
        assert_eq!(answer.field("X-Forwarded-Proto").as_deref(), Some("http"));
        let container = docker(&["inspect", "-f", "{{.Id}}", &s.ingress()]).await;

        let load = Load::start(s.port, "web.test", "web", 50);
        s.terminate().await;
        // Also what contains every replica.
        let trusted = "host-gateway,10.0.0.0/8";
        s.serve_with(&[("DUBERNETES_TRUSTED_PROXIES", trusted)]).await;
        eventually("the trusted proxy is believed", SOON, async || {
            let answer = once(s.port, request).await?;
            let told = ["X-Forwarded-Proto", "X-Real-Ip"].map(|name| answer.field(name));
            ensure(told == ["https", "203.0.113.9"].map(|value| Some(value.to_owned())), told)
        })
        .await;
        load.wait_for_requests(50).await;
        load.stop().await.assert_no_failures(50);
        assert_eq!(docker(&["inspect", "-f", "{{.Id}}", &s.ingress()]).await, container);
        let status = s.run(&["status"]).await.assert_success().stdout;
        assert!(status.contains(", behind host-gateway,10.0.0.0/8\n"), "{status}");
        let doctor = s.run(&["doctor"]).await.assert_success().stdout;
        assert!(doctor.contains("host-gateway,10.0.0.0/8 may say who the client is"), "{doctor}");

        // At the name of an app, no header is believed.
        let wget = "wget -q -O - --header 'X-Forwarded-Proto: https' http://web/";
        let call = ["exec", "client", "--", "sh", "-c", wget];
        let answer = s.run(&call).await.assert_success().stdout;
        assert!(answer.contains("X-Forwarded-Proto: http\n"), "{answer}");
    });
}

#[test]
fn proxy_protocol_needs_a_trusted_proxy_and_verify_speaks_it() {
    e2e!().run(async |s| {
        let refused = s.run(&["serve", "--proxy-protocol"]).await.assert_code(2);
        let help = "name the proxy that sends it with `serve --trusted-proxies`";
        assert!(refused.stderr.contains(help), "{}", refused.stderr);
        let refused = s.run(&["serve", "--trusted-proxies", "10.1.2.3/8"]).await.assert_code(2);
        assert!(refused.stderr.contains("use `10.0.0.0/8` for the network"), "{}", refused.stderr);

        let settings =
            [("DUBERNETES_TRUSTED_PROXIES", "host-gateway"), ("DUBERNETES_PROXY_PROTOCOL", "true")];
        s.serve_with(&settings).await;
        s.apply(&whoami("web", 1).host("web.test")).await;
        let mut connection = Connection::open(s.port).await.unwrap();
        let head = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n";
        connection.stream().write_all(head).await.unwrap();
        let answer = connection.send(Request::get("web.test", "/")).await.unwrap();
        let told = ["X-Forwarded-Proto", "X-Real-Ip"].map(|name| answer.field(name));
        assert_eq!(told, ["https", "203.0.113.9"].map(|value| Some(value.to_owned())));
        assert!(s.get("web.test", "/").await.is_err(), "a request without the protocol");

        let changed = whoami("web", 1).host("web.test").with("env: { A: b }");
        let file = s.write_file("web.yaml", &changed.to_string());
        let verified = s.run(&["apply", &file, "--verify"]).await.assert_success();
        assert!(verified.stderr.contains(" requests, 0 failed"), "{}", verified.stderr);
        let status = s.run(&["status"]).await.assert_success().stdout;
        assert!(status.contains(", behind host-gateway, with the PROXY protocol\n"), "{status}");
    });
}
