//! Requests that schemathesis derives from the OpenAPI document: what it promises is kept, and
//! nothing is answered by a server error.

#[path = "support/state.rs"]
mod state;

use std::io::Write as _;
use std::process::Stdio;

use dubernetes_api::server::router;
use dubernetes_testkit::Behaviour;
use dubernetes_testkit::build::app;
use tokio::net::TcpListener;
use tokio::process::Command;

/// Streams without an end, sessions, and images, which the fake engine has no part for.
const EXCLUDED: [&str; 5] = [
    "/v1/watch",
    "/v1/apps/{name}/run",
    "/v1/pods/{name}/exec",
    "/v1/pods/{name}/forward",
    "/v1/images",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn api_is_as_its_openapi_document_says() {
    let program = std::env::var("SCHEMATHESIS").unwrap_or_else(|_| "schemathesis".to_owned());
    if Command::new(&program).arg("--version").output().await.is_err() {
        let test = "api_is_as_its_openapi_document_says";
        let line =
            format!("skipped {test}: schemathesis is not installed (`pip install schemathesis`)\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    }
    let (orchestrator, state) = state::recorded();
    orchestrator.runtime.add_image("web:1", Behaviour::default());
    orchestrator.apply(&app("web", "web:1", 2)).await.unwrap();
    orchestrator.until_ready("web").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router(state)).await });
    let mut command = Command::new(program);
    let examples = std::env::var("SCHEMATHESIS_EXAMPLES").unwrap_or_else(|_| "10".to_owned());
    command.args(["run", "--seed=1", "--phases=examples,coverage,fuzzing"]);
    command.arg(format!("--max-examples={examples}"));
    command.args(["--checks=not_a_server_error,content_type_conformance,status_code_conformance"]);
    command.args(EXCLUDED.map(|path| format!("--exclude-path={path}")));
    command.arg(format!("http://{address}/openapi.json"));
    let folder = tempfile::tempdir().unwrap();
    let output = command.current_dir(folder.path()).stdin(Stdio::null()).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
}
