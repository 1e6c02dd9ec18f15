//! Pages of an orchestrator on fakes, behind a real Unix socket.
#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

#[path = "../../../dubernetes-api/tests/support/state.rs"]
mod state;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use dubernetes_api::Client;
use dubernetes_api::server::{router, serve_unix};
use dubernetes_core::app::AppSpec;
use dubernetes_testkit::Behaviour;
use dubernetes_testkit::build::TestOrchestrator;
use dubernetes_web::{Guard, Site};
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use state::recorded;

pub(crate) const PORT: u16 = 4321;
pub(crate) const AUTHORITY: &str = "dubernetes.localhost:4321";

/// Pages, and the orchestrator that they show.
pub(crate) struct Pages {
    pub(crate) orchestrator: TestOrchestrator,
    pub(crate) client: Client,
    pub(crate) guard: Arc<Guard>,
    pub(crate) stop: CancellationToken,
    router: Router,
    cookie: String,
    pub(crate) folder: tempfile::TempDir,
}

/// Stands for the program: keeps its input and arguments, and prints one line, or an error if an
/// argument asks for it.
const PROGRAM: &str = r#"#!/bin/sh
cat > "$0.file"
printf '%s\n' "$@" > "$0.args"
case "$*" in *bad*) echo 'error: <b>no</b>' >&2; exit 1;; esac
tr -d '\n' <<END
{"type":"INJECTED","object":{"time":"2026-01-01T00:00:03Z","object":"web-1","action":"kill",
"message":"<i>x</i>"}}
END
echo
tr -d '\n' <<END
{"type":"SUMMARY","object":{"start":"2026-01-01T00:00:00Z","seconds":9.5,"converged":true,
"apps":[{"app":"web","desired":2,"fewest":1,"downtime":0.5,"restarts":1,
"ready":[[0.0,0],[1.5,2]]}]}}
END
"#;

impl Pages {
    /// Starts with the images `web:1`, `web:2` and `crash:1`, and logs in.
    pub(crate) async fn start() -> Self {
        Self::start_with(false).await
    }

    pub(crate) async fn start_with(read_only: bool) -> Self {
        let (orchestrator, state) = recorded();
        let crash = Behaviour::exits(Duration::from_millis(100), 1);
        orchestrator.runtime.add_image("web:1", Behaviour::default());
        orchestrator.runtime.add_image("web:2", Behaviour::default());
        orchestrator.runtime.add_image("crash:1", crash);
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(serve_unix(listener, router(state), stop.clone()));
        let client = Client::unix(&socket).unwrap();
        let guard = Arc::new(Guard::new(PORT, read_only).unwrap());
        let executable = folder.path().join("dubernetes");
        std::fs::write(&executable, PROGRAM).unwrap();
        let runs = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&executable, runs).unwrap();
        let site = Site {
            client: client.clone(),
            guard: Arc::clone(&guard),
            program: "dubernetes".to_owned(),
            executable: executable.into(),
        };
        let router = dubernetes_web::router(site);
        let cookie = String::new();
        let pages = Self { orchestrator, client, guard, stop, router, cookie, folder };
        let link = pages.guard.link();
        let path = link.strip_prefix(&format!("http://{AUTHORITY}")).unwrap();
        let answer = pages.get(path).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { cookie, ..pages }
    }

    pub(crate) async fn ready(&self, spec: &AppSpec) {
        self.client.apply(spec, None).await.unwrap();
        self.orchestrator.until_ready(spec.name.as_str()).await;
    }

    /// Writes a line of output of a pod of revision 1.
    pub(crate) fn print(&self, pod: &str, line: &str) {
        self.orchestrator.runtime.write_log(&format!("dubernetes.default.{pod}.r1"), line);
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let headers = response.headers().clone();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer { status, headers, text: String::from_utf8(body.to_vec()).unwrap() }
    }

    /// Returns a request as a browser sends it that has logged in.
    pub(crate) fn request(&self, method: &str, path: &str) -> axum::http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, AUTHORITY)
            .header(header::COOKIE, &self.cookie)
            .header("sec-fetch-site", if method == "GET" { "none" } else { "same-origin" })
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path).body(Body::empty()).unwrap()).await
    }

    /// Returns the page at `path`.
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer.text
    }

    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        let request = self.request("POST", path);
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    /// Confirms the form of a page, and returns the answer.
    pub(crate) async fn confirm(&self, path: &str, page: &str) -> Answer {
        self.post(path, &fields(page)).await
    }

    /// Returns the stream at `path`.
    pub(crate) async fn stream(&self, path: &str) -> axum::body::BodyDataStream {
        let request = self.request("GET", path).body(Body::empty()).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.into_body().into_data_stream()
    }
}

/// Returns the hidden fields of the form of a page.
pub(crate) fn fields(page: &str) -> String {
    let inputs = page.split("<input type=\"hidden\" ").skip(1);
    let pairs = inputs.map(|input| {
        let value = |key: &str| {
            let rest = input.split_once(&format!("{key}=\"")).unwrap().1;
            rest.split('"').next().unwrap().to_owned()
        };
        format!("{}={}", value("name"), value("value"))
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}
