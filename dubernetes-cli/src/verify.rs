//! `apply --verify`: sends GET requests through the ingress during a rollout, 20 per second on
//! persistent connections, and rolls back if too many fail.

mod relay;
mod requests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dubernetes_api::wire::{App, RolloutAction, RolloutRequest};
use dubernetes_core::app::{Access, AppName, AppSpec, Check, HostPattern, Tls};
use futures_util::future::select_all;

use crate::args::{ProgressStyle, VerifyArgs};
use crate::follow::{Follower, Goal};
use crate::report::{self, CliError, Result, USAGE};
use crate::resolve::none_if_missing;
use crate::target::Target;
use relay::Relay;
use requests::{RequestLoop, RequestTarget, Tally};

/// Refuses apps that the ingress does not route.
pub(crate) fn check_access(args: &VerifyArgs, specs: &[AppSpec]) -> Result {
    for spec in specs.iter().filter(|_| args.verify) {
        if spec.access.is_empty() {
            let what = format!("`--verify` needs `access`, and app `{}` has none", spec.name);
            return Err(CliError::with_exit(USAGE, what)
                .help("add `access: { host: NAME }` to its file, or omit `--verify`"));
        }
        verified(spec, None)?;
    }
    Ok(())
}

/// Returns the route that requests are sent to: one over HTTPS would only be redirected.
fn verified<'a>(spec: &'a AppSpec, default: Option<&Tls>) -> Result<&'a Access> {
    let is_secured = |host| spec.tls_hosts(default).any(|(secured, _)| secured == host);
    let found = spec.access.iter().find(|access| !access.hosts.iter().any(is_secured));
    found.ok_or_else(|| {
        let app = &spec.name;
        let what =
            format!("`--verify` sends requests over HTTP, and all hosts of app `{app}` have `tls`");
        CliError::with_exit(USAGE, what).help("omit `--verify`")
    })
}

/// Request loops of all apps of one apply; empty without `--verify`.
pub(crate) struct Verifiers {
    all: Vec<Verifier>,
    budget: Option<u64>,
    /// Held as long as requests are sent.
    _relay: Option<Relay>,
}

/// Request loop of one app.
struct Verifier {
    app: AppName,
    requests: RequestLoop,
    /// App before the apply, if it existed.
    before: Option<App>,
}

impl Verifiers {
    /// Starts to send requests. Must be called before the change.
    pub(crate) async fn start(
        args: &VerifyArgs,
        specs: &[AppSpec],
        target: &Target,
    ) -> Result<Self> {
        let mut all = Vec::new();
        let mut relay = None;
        if args.verify {
            let ingress = target.client.status().await?.ingress;
            let default = ingress.default_tls.map(Tls::Issued);
            let Some(first) = ingress.listens.first() else {
                return Err(CliError::new("the ingress listens on no address"));
            };
            let address = SocketAddr::new(reachable(first.ip()), first.port());
            if ingress.proxy_protocol {
                relay = Some(Relay::start(address).await?);
            }
            let address = relay.as_ref().map_or(address, Relay::address);
            for spec in specs {
                let before = none_if_missing(target.client.get_app(spec.name.as_str()).await)?;
                let access = verified(spec, default.as_ref())?;
                let requests = RequestLoop::start(RequestTarget {
                    address,
                    host: request_host(access),
                    path: request_path(args, spec, access),
                })?;
                all.push(Verifier { app: spec.name.clone(), requests, before });
            }
        }
        Ok(Self { all, budget: args.verify_budget, _relay: relay })
    }

    /// Waits until the apps are ready, then reports the requests. Rolls an app back as soon as
    /// more of its requests have failed than the budget allows.
    pub(crate) async fn run_alongside(
        &mut self,
        target: &Target,
        follower: &mut Follower<'_>,
        sent: &[App],
    ) -> Result {
        let waited = tokio::select! {
            result = follower.until_ready(Goal::for_apps(sent)) => result.map(|()| None),
            // Cancel-safe: the tallies are kept, and the follower keeps its position.
            index = over_budget(&mut self.all, self.budget) => Ok(Some(index)),
        };
        let result = match waited {
            Ok(None) => Ok(()),
            Ok(Some(index)) => self.roll_back(index, target, follower, sent).await,
            Err(error) => Err(error),
        };
        let single = self.all.len() == 1;
        for Verifier { app, requests, .. } in self.all.drain(..) {
            let tally = requests.finish().await;
            report_tally(&app, &tally, single, follower.style());
        }
        result
    }

    /// Rolls back the app whose requests failed.
    async fn roll_back(
        &self,
        index: usize,
        target: &Target,
        follower: &mut Follower<'_>,
        sent: &[App],
    ) -> Result {
        let Some(Verifier { app, requests, before }) = self.all.get(index) else { return Ok(()) };
        let tally = requests.tally();
        let what = format!(
            "{} of {} requests to app/{app} failed; the budget is {}",
            tally.failed,
            tally.requests,
            self.budget.unwrap_or_default()
        );
        let error = CliError::new(what).line(format!("last failure: {}", tally.last));
        let applied = sent.iter().find(|sent| sent.name == *app);
        let is_new_revision = |before: &&App| {
            applied.is_some_and(|app| app.status.revision != before.status.revision)
        };
        let Some(before) = before.as_ref().filter(is_new_revision) else {
            return Err(error.help("there is no rollout to roll back"));
        };
        let current = target.client.get_app(app.as_str()).await?.status.revision;
        if applied.is_some_and(|applied| applied.status.revision != current) {
            return Err(error.line(format!("revision {current} has already replaced it")));
        }
        let complete = before.status.rollout.was_complete();
        let to = complete.then_some(before.status.revision);
        let request = RolloutRequest { action: RolloutAction::Undo, to };
        let undone = target.client.rollout(app.as_str(), request).await?.app;
        error.line(format!("rolling back to revision {}", before.status.revision)).report();
        follower.until_ready(vec![Goal::for_app(&undone)]).await?;
        // The apply has failed even if the rollback succeeds.
        Err(CliError::already_reported(report::FAILED))
    }
}

/// Returns the first app with more failed requests than the budget allows.
async fn over_budget(all: &mut [Verifier], budget: Option<u64>) -> usize {
    match budget {
        Some(budget) if !all.is_empty() => {
            let each = all.iter_mut().map(|one| Box::pin(one.requests.exceed_budget(budget)));
            select_all(each).await.1
        }
        Some(_) | None => std::future::pending().await,
    }
}

fn report_tally(app: &AppName, tally: &Tally, single: bool, style: ProgressStyle) {
    if style == ProgressStyle::Json {
        report::print_line(&tally.json(app));
        return;
    }
    let name = if single { String::new() } else { format!("app/{app}: ") };
    report::print_line(&format!("verify: {name}{}", tally.text()));
    if tally.requests == 0 {
        report::help("set `--verify-path` to a path that the app answers with a status below 400");
    }
}

/// Returns an address of this machine for an ingress that listens on all addresses.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        one => one,
    }
}

fn request_host(access: &Access) -> String {
    access.patterns().first().map(HostPattern::example).unwrap_or_default()
}

fn request_path(args: &VerifyArgs, spec: &AppSpec, access: &Access) -> String {
    if let Some(path) = &args.verify_path {
        return path.to_string();
    }
    let prefix = access.strip_prefix.then(|| access.path.as_str());
    match spec.health.as_ref().map(|health| &health.check) {
        Some(Check::Http(path)) => format!("{}{path}", prefix.unwrap_or_default()),
        Some(Check::Tcp | Check::Exec(_)) | None => access.path.to_string(),
    }
}
