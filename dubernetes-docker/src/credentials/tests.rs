//! Which credentials belong to which image. The registries are made up.

use serde_json::json;

use super::*;

const INDEX: &str = "https://index.registry.test/v1/";

fn config(text: serde_json::Value) -> Config {
    serde_json::from_value(text).unwrap()
}

#[test]
fn an_image_without_a_registry_comes_from_the_engines_own() {
    for (reference, server) in [
        ("web:1", INDEX),
        ("team/web", INDEX),
        ("registry.test/team/web", INDEX),
        ("index.registry.test/team/web", INDEX),
        ("other.test/web", "other.test"),
        ("localhost:5000/web", "localhost:5000"),
        ("localhost/web", "localhost"),
    ] {
        assert_eq!(server_of(reference, INDEX), server, "{reference}");
    }
}

#[test]
fn stored_credentials_are_found_however_their_key_is_written() {
    let auth = STANDARD.encode("me:pass:word");
    for key in ["other.test", "https://other.test", "https://other.test/v2/"] {
        let config =
            config(json!({"auths": {"elsewhere.test": {"auth": "x"}, key: {"auth": auth}}}));
        let Source::Stored(found) = config.source("other.test") else { panic!("none for {key}") };
        assert_eq!(found.username.as_deref(), Some("me"));
        assert_eq!(found.password.as_deref(), Some("pass:word"));
        assert_eq!(found.serveraddress.as_deref(), Some("other.test"));
    }
}

#[test]
fn a_token_stands_alone_and_an_empty_entry_is_none() {
    let token = config(json!({"auths": {"a.test": {"identitytoken": "t"}}}));
    let Source::Stored(found) = token.source("a.test") else { panic!("no token") };
    assert_eq!((found.identitytoken.as_deref(), found.username), (Some("t"), None));
    assert_eq!(config(json!({"auths": {"a.test": {}}})).source("a.test"), Source::None);
    assert_eq!(config(json!({"auths": {"a.test": {"auth": "?"}}})).source("a.test"), Source::None);
    assert_eq!(config(json!({"auths": {}})).source("a.test"), Source::None);
}

#[test]
fn a_helper_for_one_registry_wins_over_the_one_for_all() {
    let auth = json!({"auth": STANDARD.encode("a:b")});
    let config = config(json!({
        "auths": {"a.test": auth}, "credsStore": "all", "credHelpers": {"a.test": "one"},
    }));
    assert_eq!(config.source("a.test"), Source::Helper("one".into()));
    assert_eq!(config.source("b.test"), Source::Helper("all".into()));
}

#[test]
fn what_else_the_configuration_has_is_none_of_ours() {
    let config = config(json!({"HttpHeaders": {"a": "b"}, "psFormat": "x", "auths": {}}));
    assert!(config.is_empty());
}

/// Runs a script as a helper, by a path that a shell would find it under.
async fn answer_of(script: &str) -> std::io::Result<std::process::Output> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("docker-credential-test");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    run_helper(program.to_str().unwrap(), "a.test").await
}

#[tokio::test]
async fn a_helper_is_asked_for_the_registry_on_its_input() {
    let script = r#"printf '{"ServerURL":"%s","Username":"me","Secret":"%s"}' "$(cat)" "$1""#;
    let output = answer_of(script).await.unwrap();
    let answer: Answer = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((answer.username.as_str(), answer.secret.as_str()), ("me", "get"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("a.test"));
}

#[tokio::test]
async fn a_helper_that_is_missing_or_misnamed_is_named() {
    let missing = ask_helper("no-such-helper", "a.test").await.unwrap_err();
    assert!(missing.contains("docker-credential-no-such-helper"), "{missing}");
    let misnamed = ask_helper("../evil", "a.test").await.unwrap_err();
    assert!(misnamed.contains("is not the name of a helper"), "{misnamed}");
}
