//! What happens in a simulation, and when: the options of the command as one list.

use std::path::PathBuf;
use std::time::Duration;

use dubernetes_core::app::{AppName, AppSpec, ImageRef};
use dubernetes_testkit::Behaviour;

use crate::args::{At, SimulateArgs};
use crate::report::Result;
use crate::sources::read_apps;

/// How long the processes of a crash loop run.
const CRASH_AFTER: Duration = Duration::from_millis(100);
/// The longest simulation whose end was not said.
const LIMIT: Duration = Duration::from_secs(600);

/// Everything that is known before it begins.
#[derive(Debug)]
pub(super) struct Script {
    /// What is done and what breaks, in the order of time.
    pub(super) steps: Vec<TimedStep>,
    /// Every image that can be had.
    pub(super) images: Vec<ImageRef>,
    /// What containers do.
    pub(super) behaviour: Behaviour,
    /// What those of some apps do instead.
    pub(super) apps: Vec<(AppName, Behaviour)>,
    /// When it ends at the latest.
    pub(super) limit: Duration,
    /// Whether it ends before, once nothing is left to do.
    pub(super) until_quiet: bool,
}

/// A step and its time.
#[derive(Debug, Clone)]
pub(super) struct TimedStep {
    pub(super) time: Duration,
    pub(super) step: ScriptStep,
}

/// Something that a user does, or that breaks.
#[derive(Debug, Clone)]
pub(super) enum ScriptStep {
    /// Files are applied.
    Apply(Vec<AppSpec>),
    /// An app is scaled.
    Scale(AppName, u16),
    /// An app is deleted.
    Delete(AppName),
    /// A process ends with this code.
    End(String, u8),
    /// A pod takes no connections.
    Unready(String),
    /// It takes them again.
    ReadyAgain(String),
    /// New images cannot be had.
    BadImages,
    /// The engine does not answer.
    EngineAway,
    /// It answers again.
    EngineBack,
}

impl Script {
    /// Reads the options and the files that they name.
    pub(super) fn read(args: &SimulateArgs) -> Result<Self> {
        let mut steps = Vec::new();
        let mut add = |time: Duration, step| steps.push(TimedStep { time, step });
        // What breaks at some time has broken before anything is asked for then.
        if let Some(time) = args.bad_image {
            add(time.to_std(), ScriptStep::BadImages);
        }
        for At { time, what } in &args.engine_away {
            add(time.to_std(), ScriptStep::EngineAway);
            add(time.to_std() + what.to_std(), ScriptStep::EngineBack);
        }
        for At { time, what } in &args.kill {
            add(time.to_std(), ScriptStep::End(what.clone(), 137));
        }
        for At { time, what: (pod, code) } in &args.exit {
            add(time.to_std(), ScriptStep::End(pod.clone(), *code));
        }
        for At { time, what: (pod, span) } in &args.unready {
            add(time.to_std(), ScriptStep::Unready(pod.clone()));
            add(time.to_std() + span.to_std(), ScriptStep::ReadyAgain(pod.clone()));
        }
        add(Duration::ZERO, ScriptStep::Apply(specs(&args.files.paths())?));
        for At { time, what } in &args.apply {
            add(time.to_std(), ScriptStep::Apply(specs(std::slice::from_ref(what))?));
        }
        for At { time, what: (app, replicas) } in &args.scale {
            add(time.to_std(), ScriptStep::Scale(app.clone(), *replicas));
        }
        for At { time, what } in &args.delete {
            add(time.to_std(), ScriptStep::Delete(what.clone()));
        }
        // The sort is stable: what is above comes first at one time.
        steps.sort_by_key(|timed| timed.time);
        let last = steps.last().map_or(Duration::ZERO, |timed| timed.time);
        let (limit, until_quiet) = match args.time {
            Some(time) => (time.to_std(), false),
            None => (last + LIMIT, true),
        };
        let (images, apps) = (images(&steps), behaviours(args));
        let ready_after = Some(args.slow_start.to_std());
        let behaviour = Behaviour { ready_after, ..Behaviour::default() };
        Ok(Self { steps, images, behaviour, apps, limit, until_quiet })
    }
}

fn specs(paths: &[PathBuf]) -> Result<Vec<AppSpec>> {
    Ok(read_apps(paths)?.into_iter().map(|located| located.spec).collect())
}

fn images(steps: &[TimedStep]) -> Vec<ImageRef> {
    let specs = steps.iter().flat_map(|timed| match &timed.step {
        ScriptStep::Apply(specs) => specs.as_slice(),
        ScriptStep::Scale(..)
        | ScriptStep::Delete(_)
        | ScriptStep::End(..)
        | ScriptStep::Unready(_)
        | ScriptStep::ReadyAgain(_)
        | ScriptStep::BadImages
        | ScriptStep::EngineAway
        | ScriptStep::EngineBack => &[],
    });
    specs.map(|spec| spec.image.clone()).collect()
}

fn behaviours(args: &SimulateArgs) -> Vec<(AppName, Behaviour)> {
    let crashes = args.crash_loop.iter().map(|(app, code)| {
        let exits = Behaviour::exits(CRASH_AFTER, i64::from(*code));
        (app.clone(), Behaviour { ready_after: None, ..exits })
    });
    let fails = args.start_fails.iter().map(|app| {
        let error = "it was told to fail".to_owned();
        (app.clone(), Behaviour { start_error: Some(error), ..Behaviour::default() })
    });
    crashes.chain(fails).collect()
}
