//! Hosts that are served over HTTPS, with certificates of ACME, of the instance's own authority,
//! and of users.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::sync::Arc;
use std::time::Duration;

use dubernetes_core::app::HostName;
use dubernetes_core::certificate::{Authority, CertificateIssuer as _};
use dubernetes_core::clock::SystemClock;
use dubernetes_tests::checks::{SOON, ensure};
use dubernetes_tests::http::{Request, once};
use dubernetes_tests::load::setting;
use dubernetes_tests::manifest::Manifest;
use dubernetes_tests::pebble::Pebble;
use dubernetes_tests::port::Port;
use dubernetes_tests::program::{docker, run};
use dubernetes_tests::{Scenario, e2e, eventually, whoami};
use dubernetes_tls::TlsIssuer;
use tokio::process::Command;

const HOST: &str = "shop.example.test";

/// An orchestrator that serves HTTPS.
struct Https<'a> {
    s: &'a Scenario,
    port: Port,
}

impl<'a> Https<'a> {
    async fn serve(s: &'a Scenario, pebble: Option<&Pebble>) -> Self {
        Self::serve_with(s, pebble, &[]).await
    }

    async fn serve_with(
        s: &'a Scenario,
        pebble: Option<&Pebble>,
        further: &[(&str, &str)],
    ) -> Self {
        let port = Port::take();
        let number = port.number.to_string();
        let mut variables = vec![("DUBERNETES_HTTPS_PORT", number.as_str())];
        let settings = pebble.map(Pebble::settings);
        let root = settings.as_ref().and_then(|settings| settings.root.as_ref());
        let root = root.map(|root| root.display().to_string()).unwrap_or_default();
        if let Some(settings) = &settings {
            variables.push(("DUBERNETES_ACME_DIRECTORY", &settings.directory));
            variables.push(("DUBERNETES_ACME_ROOT", &root));
        }
        variables.extend(further);
        s.serve_with(&variables).await;
        Self { s, port }
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.port.number)
    }

    /// Sends a request with curl, and returns its exit code and output.
    async fn curl(&self, host: &str, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new("curl");
        let at = format!("{host}:{}:127.0.0.1", self.port.number);
        command.args(["--silent", "--max-time", "20", "--resolve", &at]);
        command.args(arguments).arg(self.url(host));
        let ran = run(command, format!("curl {}", arguments.join(" ")), "").await;
        (ran.code, ran.stdout)
    }

    /// Returns what an answer over HTTPS says. Any issuer of the certificate will do.
    async fn get(&self, host: &str) -> String {
        let (code, body) = self.curl(host, &["--insecure"]).await;
        assert_eq!(code, Some(0), "{body}");
        body
    }

    async fn certificate(&self, host: &str) -> serde_json::Value {
        let listed = self.s.run(&["get", "certificates", "-o", "json"]).await.assert_success();
        let items = listed.json()["items"].as_array().unwrap().clone();
        items.into_iter().find(|found| found["host"] == host).unwrap()
    }

    /// Writes the certificate of an authority of its own, and its key, which is returned.
    async fn write_pair(&self, name: &str, host: &str) -> String {
        let issuer = TlsIssuer::new(name, Arc::new(SystemClock));
        let account = issuer.register(Authority::Internal).await.unwrap();
        let host = HostName::parse(host).unwrap();
        let issued = issuer.issue(Authority::Internal, &account, &host).await.unwrap();
        self.s.write_file(&format!("{name}.pem"), &issued.chain);
        let key = String::from_utf8(issued.key.reveal().to_vec()).unwrap();
        self.s.write_file(&format!("{name}.key"), &key);
        key
    }
}

fn with_tls(tls: &str) -> Manifest {
    whoami("web", 2).with(&format!("access: {{ host: {HOST}, tls: {tls} }}"))
}

#[test]
fn one_apply_leads_to_https_with_a_certificate_of_acme() {
    e2e!().run(async |s| {
        let test = "one_apply_leads_to_https_with_a_certificate_of_acme";
        let Some(pebble) = Pebble::start(test, s.port, &[HOST]).await else { return };
        let https = Https::serve(s, Some(&pebble)).await;
        s.apply(&with_tls("auto")).await;

        let body = https.get(HOST).await;
        assert!(body.contains("X-Forwarded-Proto: https"), "{body}");
        let found = https.certificate(HOST).await;
        assert_eq!((&found["state"], &found["source"]), (&"Served".into(), &"auto".into()));
        let issuer = found["issuer"].as_str().unwrap();
        assert!(issuer.starts_with("Pebble Intermediate CA"), "{issuer}");
        let (code, _) = https.curl(HOST, &[]).await;
        assert_eq!(code, Some(60), "curl does not know the authority");
        let version = ["--insecure", "--http2", "-o", "/dev/null", "-w", "%{http_version}"];
        assert_eq!(https.curl(HOST, &version).await, (Some(0), "2".to_owned()));
        let (code, _) = https.curl("other.test", &["--insecure"]).await;
        assert_eq!(code, Some(35), "no certificate is for another host");
        let plain = once(s.port, Request::get(HOST, "/cart?page=2")).await.unwrap();
        let to = format!("{}cart?page=2", https.url(HOST));
        assert_eq!((plain.status, plain.header("location")), (308, Some(to.as_str())));

        // Another orchestrator orders nothing, and touches nothing.
        let before = (https.certificate(HOST).await, s.container_ids("web").await);
        let container = docker(&["inspect", "-f", "{{.Id}}", &s.ingress()]).await;
        pebble.stop().await;
        s.terminate().await;
        let number = https.port.number.to_string();
        s.serve_with(&[("DUBERNETES_HTTPS_PORT", &number)]).await;
        s.apply(&with_tls("auto")).await;
        assert_eq!((https.certificate(HOST).await, s.container_ids("web").await), before);
        assert_eq!(docker(&["inspect", "-f", "{{.Id}}", &s.ingress()]).await, container);
        let urls = s.get_app("web").await["urls"].clone();
        assert_eq!(urls, serde_json::json!([https.url(HOST).trim_end_matches('/')]));
    });
}

#[test]
fn host_that_leads_elsewhere_fails_with_the_words_of_the_authority() {
    e2e!().run(async |s| {
        let test = "host_that_leads_elsewhere_fails_with_the_words_of_the_authority";
        let Some(pebble) = Pebble::start(test, s.port, &[]).await else { return };
        let https = Https::serve(s, Some(&pebble)).await;
        let failed = s.try_apply(&with_tls("auto")).await.assert_code(1);
        let says = format!("the certificate authority could not verify {HOST}");
        assert!(failed.stderr.contains(&says), "{}", failed.stderr);
        let why = s.run(&["why", "web"]).await.stdout;
        assert!(why.contains(&says), "{why}");
        let found = https.certificate(HOST).await;
        assert_eq!(found["state"], "Failed");
        assert!(found["next_try"].is_string(), "{found}");
        // No request is answered in clear, and no replica is blamed.
        let plain = once(s.port, Request::get(HOST, "/")).await.unwrap();
        assert_eq!(
            (plain.status, plain.text().as_str()),
            (503, "this host has no certificate yet")
        );
        assert_eq!(s.get_app("web").await["status"]["ready"], 2);
    });
}

/// Each of three clients sends `DUBERNETES_LOAD_REQUESTS` requests, in about 20 s.
#[test]
fn root_of_the_own_authority_is_trusted_and_switches_fail_no_request() {
    e2e!().run(async |s| {
        let https = Https::serve(s, None).await;
        let early = s.run(&["trust"]).await.assert_code(1).stderr;
        assert!(early.contains("has issued no certificate of its own yet"), "{early}");
        s.apply(&with_tls("internal")).await;
        let root = s.run(&["trust"]).await.assert_success().stdout;
        let root = s.write_file("root.pem", &root);
        let (code, body) = https.curl(HOST, &["--cacert", &root]).await;
        assert_eq!(code, Some(0), "{body}");

        https.write_pair("first", HOST).await;
        https.write_pair("second", HOST).await;
        let at = format!("{HOST}:{}:127.0.0.1", https.port.number);
        let requests = setting("LOAD_REQUESTS", 4000_usize);
        let url = format!("{}?[1-{requests}]", https.url(HOST));
        let rate = format!("{}/s", requests / 20);
        // At a reload nginx ends connections with HTTP/2, also those on which a request is on its
        // way. Browsers send it again.
        let retry = ["--retry", "3", "--retry-all-errors", "--retry-delay", "0"];
        let load = |version: &'static str| {
            let mut command = Command::new("curl");
            command.args(["--silent", version, "--insecure", "--resolve", &at, "--rate", &rate]);
            if version == "--http2" {
                command.args(retry);
            }
            command.args(["-o", "/dev/null", "-w", "%{http_code} %{errormsg}\n", &url]);
            tokio::spawn(run(command, format!("curl {version}"), ""))
        };
        let loads = ["--http1.1", "--http1.1", "--http2"].map(load);
        for tls in ["first", "second", "first"] {
            let own = format!("{{ cert: ./{tls}.pem, key: ./{tls}.key }}");
            s.apply(&with_tls(&own)).await;
            assert_eq!(https.certificate(HOST).await["source"], "provided");
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        s.apply(&with_tls("internal")).await;
        let renewed = s.run(&["renew", HOST]).await.assert_success().stdout;
        assert_eq!(renewed, format!("certificate/{HOST} is renewed now\n"));
        for load in loads {
            let ran = load.await.unwrap();
            let answers: Vec<_> = ran.stdout.lines().collect();
            let failed: Vec<_> = answers.iter().filter(|code| !code.starts_with("200")).collect();
            assert_eq!((ran.code, answers.len()), (Some(0), requests), "{}", ran.line);
            assert!(failed.is_empty(), "{}: {failed:?}", ran.line);
        }
        let (code, _) = https.curl(HOST, &["--cacert", &root]).await;
        assert_eq!(code, Some(0), "the renewed certificate leads to the same root");
    });
}

#[test]
fn host_without_tls_gets_the_default() {
    e2e!().run(async |s| {
        let https = Https::serve_with(s, None, &[("DUBERNETES_DEFAULT_TLS", "internal")]).await;
        s.apply(&whoami("web", 1).host(HOST)).await;
        assert!(https.get(HOST).await.contains("X-Forwarded-Proto: https"));
        assert_eq!(https.certificate(HOST).await["source"], "internal");
        let urls = s.get_app("web").await["urls"].clone();
        assert_eq!(urls, serde_json::json!([https.url(HOST).trim_end_matches('/')]));
        s.apply(&whoami("web", 1).with(&format!("access: {{ host: {HOST}, tls: none }}"))).await;
        s.assert_served_by(HOST, "web").await;
    });
}

#[test]
fn certificate_of_a_user_is_checked_before_anything_changes() {
    e2e!().run(async |s| {
        let https = Https::serve(s, None).await;
        let key = https.write_pair("shop", HOST).await;
        https.write_pair("other", "other.test").await;
        s.apply(&with_tls("{ cert: ./shop.pem, key: ./shop.key }")).await;
        let before = s.get_app("web").await["generation"].clone();
        for (tls, says) in [
            ("{ cert: ./shop.pem, key: ./other.key }", "the key does not belong"),
            ("{ cert: ./other.pem, key: ./other.key }", "not for `shop.example.test`, but for"),
            ("{ cert: ./shop.pem }", "`access.tls.key`"),
            ("{ cert: ./missing.pem, key: ./shop.key }", "missing.pem"),
            ("sometimes", "must be one of `auto`, `internal`"),
        ] {
            let refused = s.try_apply(&with_tls(tls)).await;
            assert_ne!(refused.code, Some(0), "{tls}");
            assert!(refused.stderr.contains(says), "{tls}: {}", refused.stderr);
        }
        assert_eq!(s.get_app("web").await["generation"], before);
        assert!(https.get(HOST).await.contains("X-Forwarded-Proto: https"));

        // The key is in no output, and in no file of the state directory.
        let canary = key.lines().nth(1).unwrap();
        let shown = s.run(&["get", "apps", "web", "-o", "yaml"]).await.assert_success().stdout;
        assert!(shown.contains("cert:") && !shown.contains(canary), "{shown}");
        crate::secrets::assert_files_hide(&s.state_dir(), &[canary]);
    });
}

#[test]
fn tls_without_a_port_for_https_is_refused() {
    e2e!().run(async |s| {
        s.serve().await;
        let refused = s.try_apply(&with_tls("internal")).await;
        assert_ne!(refused.code, Some(0));
        let says = "start it with `dubernetes serve --https-port 443`";
        assert!(refused.stderr.contains(says), "{}", refused.stderr);
        assert!(s.containers().await.is_empty());

        // A new port replaces the ingress, which goes on to serve what it served.
        s.apply(&whoami("web", 1).host("web.test")).await;
        s.terminate().await;
        let https = Https::serve(s, None).await;
        s.apply(&with_tls("internal")).await;
        eventually("HTTPS is served", SOON, async || {
            let (code, body) = https.curl(HOST, &["--insecure"]).await;
            ensure(code == Some(0), body)
        })
        .await;
    });
}
