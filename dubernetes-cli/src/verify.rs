//! Requests of our own through the ingress while an apply waits, and what became of them: GET
//! only, 20 a second, on kept connections.

mod requests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use dubernetes_api::wire::{App, RolloutAction, RolloutWish};
use dubernetes_core::app::{AppName, AppSpec, Check};
use futures_util::future::select_all;

use crate::args::{ProgressStyle, VerifyArgs};
use crate::follow::{Follower, Goal};
use crate::report::{self, CliError, Result, USAGE};
use crate::resolve::existing;
use crate::target::Target;
use requests::{Question, Requests, Tally};

/// Refuses apps that cannot be asked through the ingress.
pub(crate) fn check(args: &VerifyArgs, specs: &[AppSpec]) -> Result {
    let closed = specs.iter().find(|spec| args.verify && spec.access.is_none());
    closed.map_or(Ok(()), |spec| {
        let what = format!("app `{}` has no `access`, so `--verify` cannot ask it", spec.name);
        Err(CliError::with_exit(USAGE, what)
            .help("add `access: { host: NAME }` to its file, or leave out `--verify`"))
    })
}

/// The requests to all apps of one apply; none if nobody wants them.
pub(crate) struct Verifiers {
    all: Vec<Verifier>,
    budget: Option<u64>,
}

/// The requests to one app.
struct Verifier {
    app: AppName,
    requests: Requests,
    /// The app before the apply, if it was there.
    before: Option<App>,
}

impl Verifiers {
    /// Begins to ask, before anything is changed.
    pub(crate) async fn start(
        args: &VerifyArgs,
        specs: &[AppSpec],
        target: &Target,
    ) -> Result<Self> {
        let mut all = Vec::new();
        if args.verify {
            let ingress = target.client.status().await?.ingress;
            let address = SocketAddr::new(reachable(ingress.address), ingress.port);
            for spec in specs {
                let question = Question { address, host: host(spec), path: path(args, spec) };
                let before = existing(target.client.get_app(spec.name.as_str()).await)?;
                let requests = Requests::start(question)?;
                all.push(Verifier { app: spec.name.clone(), requests, before });
            }
        }
        Ok(Self { all, budget: args.verify_budget })
    }

    /// Waits until the apps are ready, and tells in the end what became of the requests. Too many
    /// that fail end the waiting, and the app goes back.
    pub(crate) async fn run_alongside(
        &mut self,
        target: &Target,
        follower: &mut Follower<'_>,
        sent: &[App],
    ) -> Result {
        let goals = sent.iter().map(Goal::of).collect();
        let waited = tokio::select! {
            result = follower.until_ready(goals) => result.map(|()| None),
            // Nothing is lost: the tallies are kept, and the follower goes on from where it was.
            index = over_budget(&mut self.all, self.budget) => Ok(Some(index)),
        };
        let result = match waited {
            Ok(None) => Ok(()),
            Ok(Some(index)) => self.give_up(index, target, follower, sent).await,
            Err(failure) => Err(failure),
        };
        let single = self.all.len() == 1;
        for Verifier { app, requests, .. } in self.all.drain(..) {
            let tally = requests.end().await;
            tell(&app, &tally, single, follower.style());
        }
        result
    }

    /// Takes the app whose requests failed back to where it was.
    async fn give_up(
        &self,
        index: usize,
        target: &Target,
        follower: &mut Follower<'_>,
        sent: &[App],
    ) -> Result {
        let Some(Verifier { app, requests, before }) = self.all.get(index) else { return Ok(()) };
        let (budget, tally) = (self.budget.unwrap_or_default(), requests.tally());
        let what = format!(
            "{} of {} requests to app/{app} failed, more than {budget}",
            tally.failed, tally.requests
        );
        let failure = CliError::new(what).line(format!("the last one: {}", tally.last));
        let applied = sent.iter().find(|sent| sent.name == *app);
        let moved = |before: &&App| {
            applied.is_some_and(|app| app.status.revision != before.status.revision)
        };
        let Some(before) = before.as_ref().filter(moved) else {
            return Err(failure.help("nothing was rolled out, so there is nothing to go back to"));
        };
        let present = target.client.get_app(app.as_str()).await?.status.revision;
        if applied.is_some_and(|applied| applied.status.revision != present) {
            return Err(failure.line(format!("revision {present} has taken its place already")));
        }
        let complete = matches!(before.status.rollout.as_str(), "complete" | "stable");
        let to = complete.then_some(before.status.revision);
        let wish = RolloutWish { action: RolloutAction::Undo, to };
        let undone = target.client.rollout(app.as_str(), wish).await?.app;
        failure.line(format!("back to what revision {} was", before.status.revision)).report();
        // However the way back ends, the apply has failed.
        match follower.until_ready(vec![Goal::of(&undone)]).await {
            Ok(()) => Err(CliError::already_reported(report::FAILED)),
            Err(failure) => Err(failure),
        }
    }
}

/// The first app of whose requests more have failed than is allowed.
async fn over_budget(all: &mut [Verifier], budget: Option<u64>) -> usize {
    match budget {
        Some(budget) if !all.is_empty() => {
            let each = all.iter_mut().map(|one| Box::pin(one.requests.fail_more_than(budget)));
            select_all(each).await.1
        }
        Some(_) | None => std::future::pending().await,
    }
}

fn tell(app: &AppName, tally: &Tally, single: bool, style: ProgressStyle) {
    if style == ProgressStyle::Json {
        report::print_line(&tally.json(app));
        return;
    }
    let name = if single { String::new() } else { format!("app/{app}: ") };
    report::print_line(&format!("verify: {name}{}", tally.text()));
    if tally.requests == 0 {
        report::help("`--verify-path` names a path that the app answers with a status below 400");
    }
}

/// An ingress that listens on all addresses is asked on this machine's own.
fn reachable(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(any) if any.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(any) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        one => one,
    }
}

fn host(spec: &AppSpec) -> String {
    let hosts = spec.access.as_ref().map(|access| access.hosts.as_slice()).unwrap_or_default();
    hosts.first().map(ToString::to_string).unwrap_or_default()
}

fn path(args: &VerifyArgs, spec: &AppSpec) -> String {
    if let Some(path) = &args.verify_path {
        return path.to_string();
    }
    match spec.health.as_ref().map(|health| &health.check) {
        Some(Check::Http(path)) => path.to_string(),
        Some(Check::Tcp | Check::Exec(_)) | None => {
            let path = spec.access.as_ref().map(|access| access.path.to_string());
            path.unwrap_or_else(|| "/".to_owned())
        }
    }
}
