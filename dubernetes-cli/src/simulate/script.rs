//! Script of a simulation: the options of the command as one list of timed steps.

use std::path::PathBuf;
use std::time::Duration;

use dubernetes_core::app::{AppName, AppSpec, Artifact, PodName};
use dubernetes_core::ingress::PortSupport;
use dubernetes_testkit::Behaviour;

use crate::args::{Scheduled, SimulateArgs, VariableArgs};
use crate::report::Result;
use crate::sources::read_apps_in;

/// Exit code of a process that SIGKILL ended.
pub(super) const SIGKILL_CODE: u8 = 137;
/// How long processes in a crash loop run.
const CRASH_AFTER: Duration = Duration::from_millis(100);
/// Time limit after the last step without `--for`.
const LIMIT: Duration = Duration::from_secs(600);

/// A script, complete before the simulation starts.
#[derive(Debug)]
pub(super) struct Script {
    /// Steps, sorted by time.
    pub(super) steps: Vec<TimedStep>,
    /// Available images and programs.
    pub(super) artifacts: Vec<Artifact>,
    /// Behaviour of containers.
    pub(super) behaviour: Behaviour,
    /// Behaviour of the containers of some apps.
    pub(super) apps: Vec<(AppName, Behaviour)>,
    /// What the ingress publishes.
    pub(super) port_support: PortSupport,
    /// Latest end of the simulation.
    pub(super) limit: Duration,
    /// Whether to end earlier, when converged.
    pub(super) until_converged: bool,
}

/// A step and its time.
#[derive(Debug, Clone)]
pub(super) struct TimedStep {
    pub(super) time: Duration,
    pub(super) step: ScriptStep,
}

/// An action of the user, or an injected fault.
#[derive(Debug, Clone)]
pub(super) enum ScriptStep {
    /// Apply files.
    Apply(Vec<AppSpec>),
    /// Scale an app.
    Scale(AppName, u16),
    /// Delete an app.
    Delete(AppName),
    /// End the process of a pod with this code.
    Exit(PodName, u8),
    /// Make a pod refuse connections.
    Unready(PodName),
    /// Make the pod accept connections again.
    ReadyAgain(PodName),
    /// Make images unavailable that no app has used yet.
    BadImages,
    /// Make the engine unreachable.
    EngineUnreachable,
    /// Make the engine reachable again.
    EngineReachable,
}

impl Script {
    /// Builds the script from the options and the files that they name.
    pub(super) fn read(args: &SimulateArgs) -> Result<Self> {
        let variables = args.files.variables();
        let mut steps = Vec::new();
        let mut add = |time: Duration, step| steps.push(TimedStep { time, step });
        // Faults come before actions of the same time.
        if let Some(time) = args.bad_image {
            add(time.to_std(), ScriptStep::BadImages);
        }
        for Scheduled { time, what } in &args.engine_away {
            add(time.to_std(), ScriptStep::EngineUnreachable);
            add(time.to_std() + what.to_std(), ScriptStep::EngineReachable);
        }
        for Scheduled { time, what } in &args.kill {
            add(time.to_std(), ScriptStep::Exit(what.clone(), SIGKILL_CODE));
        }
        for Scheduled { time, what: (pod, code) } in &args.exit {
            add(time.to_std(), ScriptStep::Exit(pod.clone(), *code));
        }
        for Scheduled { time, what: (pod, span) } in &args.unready {
            add(time.to_std(), ScriptStep::Unready(pod.clone()));
            add(time.to_std() + span.to_std(), ScriptStep::ReadyAgain(pod.clone()));
        }
        add(Duration::ZERO, ScriptStep::Apply(read_specs(&args.files.paths(), variables)?));
        for Scheduled { time, what } in &args.apply {
            add(
                time.to_std(),
                ScriptStep::Apply(read_specs(std::slice::from_ref(what), variables)?),
            );
        }
        for Scheduled { time, what: (app, replicas) } in &args.scale {
            add(time.to_std(), ScriptStep::Scale(app.clone(), *replicas));
        }
        for Scheduled { time, what } in &args.delete {
            add(time.to_std(), ScriptStep::Delete(what.clone()));
        }
        // A stable sort keeps the order above for steps of the same time.
        steps.sort_by_key(|timed| timed.time);
        let last = steps.last().map_or(Duration::ZERO, |timed| timed.time);
        let ready_after = Some(args.slow_start.to_std());
        Ok(Self {
            artifacts: used_artifacts(&steps),
            steps,
            behaviour: Behaviour { ready_after, ..Behaviour::default() },
            apps: app_behaviours(args),
            port_support: port_support(args),
            limit: args.time.map_or(last + LIMIT, |time| time.to_std()),
            until_converged: args.time.is_none(),
        })
    }
}

fn read_specs(paths: &[PathBuf], variables: &VariableArgs) -> Result<Vec<AppSpec>> {
    Ok(read_apps_in(paths, variables)?.into_iter().map(|located| located.spec).collect())
}

fn used_artifacts(steps: &[TimedStep]) -> Vec<Artifact> {
    let specs = steps.iter().flat_map(|timed| match &timed.step {
        ScriptStep::Apply(specs) => specs.as_slice(),
        ScriptStep::Scale(..)
        | ScriptStep::Delete(_)
        | ScriptStep::Exit(..)
        | ScriptStep::Unready(_)
        | ScriptStep::ReadyAgain(_)
        | ScriptStep::BadImages
        | ScriptStep::EngineUnreachable
        | ScriptStep::EngineReachable => &[],
    });
    specs.map(|spec| spec.artifact.clone()).collect()
}

fn port_support(args: &SimulateArgs) -> PortSupport {
    if args.no_stream_module {
        let reason = "the image of the ingress has no stream module of nginx".to_owned();
        return PortSupport::Missing { reason };
    }
    PortSupport::Supported
}

fn app_behaviours(args: &SimulateArgs) -> Vec<(AppName, Behaviour)> {
    let crashes = args.crash_loop.iter().map(|(app, code)| {
        let exits = Behaviour::exits(CRASH_AFTER, i64::from(*code));
        (app.clone(), Behaviour { ready_after: None, ..exits })
    });
    let fails = args.start_fails.iter().map(|app| {
        let error = "failure injected by --start-fails".to_owned();
        (app.clone(), Behaviour { start_error: Some(error), ..Behaviour::default() })
    });
    crashes.chain(fails).collect()
}
