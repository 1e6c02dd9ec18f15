//! `import`: the manifests of a Compose file run.

use dubernetes_tests::checks::SOON;
use dubernetes_tests::http::{self, Request};
use dubernetes_tests::port::Port;
use dubernetes_tests::{e2e, eventually};

/// A web server that reads from a database by its old name's successor, and a worker.
const COMPOSE: &str = r#"
x-base: &base
  image: ${IMAGE:-dubernetes-test-busybox:1}
  restart: always

services:
  web:
    <<: *base
    command: >-
      /bin/sh -c "mkdir -p /www/cgi-bin; cp /etc/page /www/cgi-bin/page;
      chmod +x /www/cgi-bin/page; exec httpd -f -p 8080 -h /www"
    ports: ["127.0.0.1:${WEB_PORT:-8080}:8080"]
    depends_on: [db]
    environment:
      DB: http://db:5432
    env_file: web.env
    volumes:
      - ./page.sh:/etc/page:ro
    healthcheck:
      test: ["CMD-SHELL", "wget -q -O - http://127.0.0.1:8080/cgi-bin/page"]
      interval: 1s
      timeout: 1s
  db:
    <<: *base
    entrypoint: ["/bin/sh", "-c"]
    command: ["sleep 2; echo row > /data/index.html; exec httpd -f -p 5432 -h /data"]
    volumes: ["data:/data"]
    ulimits: {nofile: {soft: 1024, hard: 2048}}
    stop_grace_period: 2s
  worker:
    <<: *base
    command: sh -c 'while true; do wget -q -O - http://db:5432; sleep 1; done'
    depends_on: {db: {condition: service_healthy}}
    mem_limit: 64m

volumes:
  data:
"#;

const PAGE: &str = r#"#!/bin/sh
body="$GREETING $(wget -q -O - $DB)"
printf 'Content-Length: %s\r\n\r\n%s' ${#body} "$body"
"#;

#[test]
fn imported_apps_run() {
    e2e!().run(async |s| {
        s.serve().await;
        s.write_file("web.env", "GREETING=hello\n");
        s.write_file("page.sh", PAGE);
        let compose = s.write_file("compose.yaml", COMPOSE);
        let apps = compose.replace("compose.yaml", "apps");
        let imported = s.run(&["import", &compose, "-o", &apps]).await.assert_success();
        assert!(imported.stderr.contains("access: { host: web.localhost }"), "{}", imported.stderr);

        let port = Port::take();
        let image = "IMAGE=dubernetes-test-busybox:1";
        let web_port = format!("WEB_PORT={}", port.number);
        let _ = s.run(&["apply", &apps, "--set", image, "--set", &web_port]).await.assert_success();
        for app in ["web", "db", "worker"] {
            s.wait_for_phase(app, "Ready", SOON).await;
        }
        let page = eventually("the published port answers", SOON, async || {
            http::once(port.number, Request::get("any.test", "/cgi-bin/page")).await
        })
        .await;
        assert_eq!(page.text().trim(), "hello row");
    });
}
