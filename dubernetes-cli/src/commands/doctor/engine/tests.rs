use clap::Parser as _;
use dubernetes_core::error::Cause;

use super::super::check::CheckResult;
use super::*;
use crate::args::{Cli, Command};

#[track_caller]
fn check(found: &Check, result: CheckResult, part: &str) {
    assert_eq!(found.result, result, "{found:?}");
    assert!(found.message.contains(part), "{found:?}");
    assert_eq!(found.help.is_some(), result != CheckResult::Ok, "{found:?}");
}

fn ingress() -> IngressArgs {
    let words = ["dubernetes", "serve", "--ingress-image", "nginx:1"];
    match Cli::try_parse_from(words).unwrap().command {
        Command::Serve(args) => args.ingress,
        other => panic!("{other:?}"),
    }
}

fn broken() -> RuntimeError {
    RuntimeError::Failed { operation: "list networks".into(), cause: Cause::text("no space") }
}

#[test]
fn an_engine_answers_is_away_or_too_old() {
    let version = EngineVersion {
        name: "Docker Engine".into(),
        version: "29.1".into(),
        api_version: "1.52".into(),
        platform: "linux/amd64".into(),
    };
    check(&version_check(&Ok(version), "unix:///e.sock"), CheckResult::Ok, "29.1 (API 1.52");
    let away = RuntimeError::Unreachable {
        endpoint: "unix:///e.sock".into(),
        cause: Cause::text("no such file"),
    };
    let found = version_check(&Err(away), "unix:///e.sock");
    check(&found, CheckResult::Fail, "unix:///e.sock does not answer: no such file");
    assert!(found.help.unwrap().contains("DOCKER_HOST"));
    let old = RuntimeError::Rejected { operation: "x".into(), message: "API 1.24".into() };
    let found = version_check(&Err(old), "unix:///e.sock");
    check(&found, CheckResult::Fail, "API 1.24");
    assert!(found.help.unwrap().contains("20.10"));
}

#[test]
fn without_an_engine_everything_else_is_looked_at_and_told() {
    let place = "127.0.0.1:1".parse().unwrap();
    let checks = without(Check::fail("engine", "x", "y"), place, port::check_exposure(place.ip()));
    let names: Vec<_> = checks.iter().map(|check| check.check).collect();
    let expected = ["engine", "clock", "engine-disk", "network", "image", "port", "exposure"];
    assert_eq!(names, expected);
}

#[test]
fn clocks_agree_as_far_as_the_question_took() {
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    for time in [98, 100, 105, 110, 112] {
        check(&clock(Some(at(time)), at(100), at(110)), CheckResult::Ok, "agree");
    }
    check(&clock(Some(at(115)), at(100), at(110)), CheckResult::Warn, "5.0s ahead of");
    check(&clock(Some(at(40)), at(100), at(110)), CheckResult::Warn, "1m00s behind");
    check(&clock(None, at(100), at(110)), CheckResult::Warn, "does not say");
}

#[test]
fn a_network_is_there_can_be_made_or_not() {
    check(&network(Ok(Subnet::Own("10.201.0.0/22".into()))), CheckResult::Ok, "has 10.201.0.0/22");
    check(&network(Ok(Subnet::Free("10.201.0.0/22".into()))), CheckResult::Ok, "is free");
    check(&network(Ok(Subnet::AllTaken)), CheckResult::Fail, "take every subnet");
    check(&network(Err(broken())), CheckResult::Fail, "no space");
}

#[test]
fn an_image_is_there_old_unknown_pullable_or_missing() {
    let here = |version: Option<&str>, warning: Option<&str>| {
        let (version, warning) = (version.map(str::to_owned), warning.map(str::to_owned));
        image(&ingress(), Ok(Image::Here { version, warning }))
    };
    check(&here(Some("1.30.6"), None), CheckResult::Ok, "`nginx:1` is nginx 1.30.6");
    check(&here(Some("1.22.1"), Some("older than 1.27.4")), CheckResult::Warn, "older than 1.27.4");
    check(&here(None, None), CheckResult::Warn, "does not say");
    check(&image(&ingress(), Ok(Image::Pullable)), CheckResult::Ok, "can be pulled");
    let missing = Image::Missing("no such host".into());
    check(&image(&ingress(), Ok(missing)), CheckResult::Fail, "cannot be pulled: no such host");
    check(&image(&ingress(), Err(broken())), CheckResult::Fail, "no space");
}

#[test]
fn a_disk_that_cannot_be_seen_is_told() {
    check(&engine_disk(Some("/nonexistent/docker".into())), CheckResult::Warn, "cannot be seen");
    check(&engine_disk(None), CheckResult::Warn, "does not say");
}
