//! Tests with shell scripts in the place of `ssh`. `tests/tests/e2e/ssh.rs` has the real one.

use super::*;
use crate::host::Host;

/// Connects by a script in the place of `ssh`.
async fn open(script: &str) -> Result<Tunnel> {
    let Ok(Host::Ssh(host)) = Host::parse("ssh://ada@server:2222") else { panic!("no ssh host") };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ssh");
    std::fs::write(&path, script).unwrap();
    let program = format!("sh {}", path.display());
    Tunnel::open(&program, &host, &InstanceName::parse("lab").unwrap()).await
}

async fn error(script: &str) -> String {
    let error = open(script).await.unwrap_err();
    assert_eq!(error.exit_code(), UNREACHABLE);
    error.text()
}

#[tokio::test]
async fn exit_code_of_ssh_says_what_is_missing() {
    let text = error("echo 'Permission denied (publickey).' >&2; exit 255").await;
    assert!(text.contains("cannot connect to ssh://ada@server:2222"), "{text}");
    assert!(text.contains("  Permission denied (publickey).\n"), "{text}");
    assert!(text.contains("`ssh ada@server` has to work"), "{text}");
    for (code, expected) in [
        ("126", "the program `dubernetes` was not found on server"),
        ("127", "the program `dubernetes` was not found on server"),
        ("2", "does not support `ssh://`"),
        ("3", "no orchestrator is running on server"),
        ("1", "ended with exit status: 1"),
    ] {
        let text = error(&format!("exit {code}")).await;
        assert!(text.contains(expected), "{text}");
    }
}

#[tokio::test]
async fn socket_is_found_after_noise_of_the_remote_shell() {
    let script = r#"
        case "$*" in
            *"-O forward"*) exit 0;;
        esac
        echo welcome; echo unix://relative; echo unix:///run/dubernetes/lab.sock; exec cat
    "#;
    let tunnel = open(script).await.unwrap();
    assert_eq!(tunnel.client().unwrap().endpoint().to_string(), "ssh://ada@server:2222");
}

#[tokio::test]
async fn refused_forwarding_names_socket_and_reason() {
    let script = r#"
        case "$*" in
            *"-O forward"*) echo "forwarding request failed" >&2; exit 255;;
        esac
        echo unix:///run/dubernetes/lab.sock; exec cat
    "#;
    let text = error(script).await;
    assert!(text.contains("cannot forward the socket `/run/dubernetes/lab.sock`"), "{text}");
    assert!(text.contains("  forwarding request failed\n"), "{text}");
}

#[tokio::test]
async fn missing_ssh_is_named() {
    let Ok(Host::Ssh(host)) = Host::parse("ssh://server") else { panic!("no ssh host") };
    let opened = Tunnel::open("no-such-ssh", &host, &InstanceName::default()).await;
    let text = opened.unwrap_err().text();
    assert!(text.contains("the program `no-such-ssh` was not found"), "{text}");
}
