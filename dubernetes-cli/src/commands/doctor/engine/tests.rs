use clap::Parser as _;
use dubernetes_core::error::SharedError;

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
    let Command::Serve(args) = Cli::try_parse_from(words).unwrap().command else {
        panic!("not `serve`");
    };
    args.ingress
}

fn failed() -> RuntimeError {
    RuntimeError::Failed { operation: "list networks".into(), cause: SharedError::text("no space") }
}

#[test]
fn unreachable_or_old_engine_fails() {
    let version = RuntimeInfo {
        name: "Docker Engine".into(),
        version: "29.1".into(),
        api_version: "1.52".into(),
        platform: "linux/amd64".into(),
    };
    check(&check_version(&Ok(version), "unix:///e.sock"), CheckResult::Ok, "29.1 (API 1.52");
    let unreachable = RuntimeError::Unreachable {
        endpoint: "unix:///e.sock".into(),
        cause: SharedError::text("no such file"),
    };
    let found = check_version(&Err(unreachable), "unix:///e.sock");
    check(&found, CheckResult::Fail, "unix:///e.sock does not answer: no such file");
    assert!(found.help.unwrap().contains("DOCKER_HOST"));
    let old = RuntimeError::Rejected { operation: "x".into(), message: "API 1.24".into() };
    let found = check_version(&Err(old), "unix:///e.sock");
    check(&found, CheckResult::Fail, "API 1.24");
    let help = found.help.unwrap();
    assert!(help.contains("20.10") && help.contains("Podman 5"), "{help}");
}

#[test]
fn every_check_is_reported_without_engine() {
    let address = Listen { address: "127.0.0.1:1".parse().unwrap(), https: false };
    let checks = checks_without_engine(Check::fail("engine", "x", "y"), &[address]);
    let names: Vec<_> = checks.iter().map(|check| check.check).collect();
    let expected = ["engine", "clock", "engine-disk", "network", "image", "port", "exposure"];
    assert_eq!(names, expected);
}

#[test]
fn clock_skew_warns_beyond_request_time() {
    let at = |seconds| Timestamp::from_second(seconds).unwrap();
    for time in [98, 100, 105, 110, 112] {
        check(&check_clock(Some(at(time)), at(100), at(110)), CheckResult::Ok, "agree");
    }
    let ahead = check_clock(Some(at(115)), at(100), at(110));
    check(&ahead, CheckResult::Warn, "5.0s ahead of");
    let behind = check_clock(Some(at(40)), at(100), at(110));
    check(&behind, CheckResult::Warn, "1m00s behind");
    check(&check_clock(None, at(100), at(110)), CheckResult::Warn, "does not report");
}

#[test]
fn network_check_needs_free_subnet() {
    let subnet = || "10.201.0.0/22".parse().unwrap();
    check(&check_network(Ok(Subnet::Own(subnet()))), CheckResult::Ok, "has 10.201.0.0/22");
    check(&check_network(Ok(Subnet::Free(subnet()))), CheckResult::Ok, "is free");
    check(&check_network(Ok(Subnet::AllTaken)), CheckResult::Fail, "use every subnet");
    check(&check_network(Err(failed())), CheckResult::Fail, "no space");
}

#[test]
fn image_check_needs_recent_or_pullable_image() {
    let present = |version: Option<&str>, warning: Option<&str>| {
        let image = Image::Present {
            version: version.map(str::to_owned),
            warning: warning.map(str::to_owned),
        };
        check_image(&ingress(), Ok(image))
    };
    check(&present(Some("1.30.6"), None), CheckResult::Ok, "`nginx:1` is nginx 1.30.6");
    let old = present(Some("1.22.1"), Some("older than 1.27.4"));
    check(&old, CheckResult::Warn, "older than 1.27.4");
    check(&present(None, None), CheckResult::Warn, "does not report");
    check(&check_image(&ingress(), Ok(Image::Pullable)), CheckResult::Ok, "can be pulled");
    let missing = check_image(&ingress(), Ok(Image::Missing("no such host".into())));
    check(&missing, CheckResult::Fail, "cannot be pulled: no such host");
    check(&check_image(&ingress(), Err(failed())), CheckResult::Fail, "no space");
}

#[test]
fn invisible_engine_disk_warns() {
    let invisible = check_engine_disk(Some("/nonexistent/docker".into()));
    check(&invisible, CheckResult::Warn, "is not visible");
    check(&check_engine_disk(None), CheckResult::Warn, "does not report");
}

#[test]
fn image_without_what_names_need_warns() {
    check(&check_names(&ingress(), Ok(None)), CheckResult::Ok, "`nginx:1` has what names");
    let found = check_names(&ingress(), Ok(Some("no program `ip`, so")));
    check(&found, CheckResult::Warn, "`nginx:1` has no program `ip`");
    assert!(found.help.unwrap().contains("nginx:stable-alpine"));
    check(&check_names(&ingress(), Err(failed())), CheckResult::Warn, "no space");
}

#[test]
fn image_that_cannot_count_requests_warns_if_metrics_are_served() {
    let with = |requests| ImageWarnings { requests, ..ImageWarnings::default() };
    let lacks = with(Some("no nginx module for JavaScript that works, so"));
    assert!(check_metrics(&ingress(), Some(&lacks)).is_none(), "metrics are not served");
    let served = IngressArgs { metrics_listen: "127.0.0.1:9464".parse().ok(), ..ingress() };
    let found = check_metrics(&served, Some(&lacks)).unwrap();
    check(&found, CheckResult::Warn, "`nginx:1` has no nginx module for JavaScript");
    let found = check_metrics(&served, Some(&with(None))).unwrap();
    check(&found, CheckResult::Ok, "127.0.0.1:9464");
    let process = IngressArgs { ingress: Some(IngressKind::Proxy), ..served };
    assert!(check_metrics(&process, Some(&lacks)).is_none(), "the proxy counts requests");
}
