//! Credentials by image. The registries are invented.

use serde_json::json;

use super::*;

const INDEX: &str = "https://index.registry.test/v1/";

fn parse_config(text: serde_json::Value) -> Config {
    serde_json::from_value(text).unwrap()
}

#[test]
fn image_without_registry_uses_the_default_one() {
    for (reference, server) in [
        ("web:1", INDEX),
        ("team/web", INDEX),
        ("registry.test/team/web", INDEX),
        ("index.registry.test/team/web", INDEX),
        ("other.test/web", "other.test"),
        ("localhost:5000/web", "localhost:5000"),
        ("localhost/web", "localhost"),
    ] {
        let image = ImageRef::parse(reference).unwrap();
        assert_eq!(find_server(&image, INDEX), server, "{reference}");
    }
}

#[test]
fn stored_credentials_match_keys_with_scheme_or_path() {
    let auth = STANDARD.encode("me:pass:word");
    for key in ["other.test", "https://other.test", "https://other.test/v2/"] {
        let config =
            parse_config(json!({"auths": {"elsewhere.test": {"auth": "x"}, key: {"auth": auth}}}));
        let Source::Stored(found) = config.find_source("other.test") else {
            panic!("nothing found for {key}")
        };
        assert_eq!(found.username.as_deref(), Some("me"));
        assert_eq!(found.password.as_deref(), Some("pass:word"));
        assert_eq!(found.serveraddress.as_deref(), Some("other.test"));
    }
}

#[test]
fn token_needs_no_user_and_empty_entry_is_ignored() {
    let token = parse_config(json!({"auths": {"a.test": {"identitytoken": "t"}}}));
    let Source::Stored(found) = token.find_source("a.test") else { panic!("no token") };
    assert_eq!((found.identitytoken.as_deref(), found.username), (Some("t"), None));
    assert_eq!(parse_config(json!({"auths": {"a.test": {}}})).find_source("a.test"), Source::None);
    assert_eq!(
        parse_config(json!({"auths": {"a.test": {"auth": "?"}}})).find_source("a.test"),
        Source::None
    );
    assert_eq!(parse_config(json!({"auths": {}})).find_source("a.test"), Source::None);
}

#[test]
fn registry_helper_takes_precedence_over_global_helper() {
    let auth = json!({"auth": STANDARD.encode("a:b")});
    let config = parse_config(json!({
        "auths": {"a.test": auth}, "credsStore": "all", "credHelpers": {"a.test": "one"},
    }));
    assert_eq!(config.find_source("a.test"), Source::Helper("one".into()));
    assert_eq!(config.find_source("b.test"), Source::Helper("all".into()));
}

#[test]
fn unrelated_configuration_is_ignored() {
    let config = parse_config(json!({"HttpHeaders": {"a": "b"}, "psFormat": "x", "auths": {}}));
    assert!(config.is_empty());
}

/// Runs a script as a helper.
async fn run_script(script: &str) -> std::io::Result<std::process::Output> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("docker-credential-test");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    run_helper(program.to_str().unwrap(), "a.test").await
}

#[tokio::test]
async fn helper_receives_the_registry_on_stdin() {
    let script = r#"printf '{"ServerURL":"%s","Username":"me","Secret":"%s"}' "$(cat)" "$1""#;
    let output = run_script(script).await.unwrap();
    let answer: HelperResponse = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((answer.username.as_str(), answer.secret.as_str()), ("me", "get"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("a.test"));
}

#[tokio::test]
async fn missing_or_misnamed_helper_is_an_error() {
    let missing = ask_helper("no-such-helper", "a.test").await.unwrap_err();
    assert!(missing.contains("docker-credential-no-such-helper"), "{missing}");
    let misnamed = ask_helper("../evil", "a.test").await.unwrap_err();
    assert!(misnamed.contains("invalid name"), "{misnamed}");
}
