//! What happens in a simulation, and when: the options of the command as one list.

use std::path::PathBuf;
use std::time::Duration;

use dubernetes_core::app::{AppName, AppSpec, ImageRef};
use dubernetes_testkit::Behaviour;

use crate::args::{At, SimulateArgs};
use crate::report::Outcome;
use crate::sources::read_apps;

/// How long the processes of a crash loop run.
const CRASH_AFTER: Duration = Duration::from_millis(100);
/// The longest simulation whose end was not said.
const LIMIT: Duration = Duration::from_secs(600);

/// Everything that is known before it begins.
#[derive(Debug)]
pub(super) struct Script {
    /// What is done and what breaks, in the order of time.
    pub(super) steps: Vec<Timed>,
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
pub(super) struct Timed {
    pub(super) time: Duration,
    pub(super) step: Step,
}

/// Something that a user does, or that breaks.
#[derive(Debug, Clone)]
pub(super) enum Step {
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
    pub(super) fn read(args: &SimulateArgs) -> Outcome<Self> {
        let mut steps = Vec::new();
        let mut add = |time: Duration, step| steps.push(Timed { time, step });
        // What breaks at some time has broken before anything is asked for then.
        if let Some(time) = args.bad_image {
            add(time.to_std(), Step::BadImages);
        }
        for At { time, what } in &args.engine_away {
            add(time.to_std(), Step::EngineAway);
            add(time.to_std() + what.to_std(), Step::EngineBack);
        }
        for At { time, what } in &args.kill {
            add(time.to_std(), Step::End(what.clone(), 137));
        }
        for At { time, what: (pod, code) } in &args.exit {
            add(time.to_std(), Step::End(pod.clone(), *code));
        }
        for At { time, what: (pod, span) } in &args.unready {
            add(time.to_std(), Step::Unready(pod.clone()));
            add(time.to_std() + span.to_std(), Step::ReadyAgain(pod.clone()));
        }
        add(Duration::ZERO, Step::Apply(specs(&args.files.paths())?));
        for At { time, what } in &args.apply {
            add(time.to_std(), Step::Apply(specs(std::slice::from_ref(what))?));
        }
        for At { time, what: (app, replicas) } in &args.scale {
            add(time.to_std(), Step::Scale(app.clone(), *replicas));
        }
        for At { time, what } in &args.delete {
            add(time.to_std(), Step::Delete(what.clone()));
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

fn specs(paths: &[PathBuf]) -> Outcome<Vec<AppSpec>> {
    Ok(read_apps(paths)?.into_iter().map(|located| located.spec).collect())
}

fn images(steps: &[Timed]) -> Vec<ImageRef> {
    let specs = steps.iter().flat_map(|timed| match &timed.step {
        Step::Apply(specs) => specs.as_slice(),
        Step::Scale(..)
        | Step::Delete(_)
        | Step::End(..)
        | Step::Unready(_)
        | Step::ReadyAgain(_)
        | Step::BadImages
        | Step::EngineAway
        | Step::EngineBack => &[],
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
