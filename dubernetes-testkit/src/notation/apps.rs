//! Apps, their revisions and tombstones.

use dubernetes_core::app::{
    Access, AppName, AppSpec, Check, CountOrPercent, Health, ImageRef, OnFailure, Order, PreDeploy,
    PullPolicy, Rollout, Signal, Stop, Volume,
};
use dubernetes_core::runtime::ImageId;
use dubernetes_core::store::{
    Outcome, Revision, RevisionCause, RevisionFailure, RevisionRollout, StoredApp, Tombstone,
};

use super::line::Line;
use super::replicas::LONG;
use super::{NOW, Reading, before};

impl Reading {
    pub(super) fn app(&mut self, line: &mut Line) -> Result<(), String> {
        let unpinned = line.word("unpinned");
        let (paused, rollout) = (line.word("paused"), revision_rollout(line)?);
        let rollout_started_at = before(line.span("since")?.or(Some(LONG)));
        let fallback = line.value("fallback")?;
        let name: AppName = line.name_or("the app's name is missing")?;
        let revision = line.value("rev")?.unwrap_or(1);
        let mut spec = AppSpec::new(name.clone(), image(&name, revision)?);
        change(&mut spec, line)?;
        let stored = StoredApp {
            generation: line.value("gen")?.unwrap_or(revision),
            revision,
            image_id: (!unpinned).then(|| image_id(&spec)),
            deleted_through: line.value("removed-through")?.unwrap_or(0),
            created_at: NOW,
            updated_at: NOW,
            spec,
            rollout,
            rollout_started_at,
            paused,
            fallback,
        };
        self.given.desired.apps.insert(name, stored);
        Ok(())
    }

    pub(super) fn revision(&mut self, line: &mut Line) -> Result<(), String> {
        let (lost, failed) = (line.word("lost"), line.word("failed"));
        let name: AppName = line.name_or("the app's name is missing")?;
        let number = line.name_or("the revision's number is missing")?;
        let mut spec = self.spec(&name, number)?;
        change(&mut spec, line)?;
        if lost {
            self.lost.insert((name.clone(), number));
        }
        if failed {
            self.failed.insert((name.clone(), number));
        }
        self.specs.insert((name, number), spec);
        Ok(())
    }

    pub(super) fn tombstone(&mut self, line: &mut Line) -> Result<(), String> {
        let name = line.name_or("the app's name is missing")?;
        let mut stop = Stop::default();
        self::stop(&mut stop, line)?;
        let tombstone = Tombstone { deleted_at: before(line.span("ago")?), stop };
        self.given.desired.tombstones.insert(name, tombstone);
        Ok(())
    }

    /// What a revision of an app runs: what a line says, or what the app does with the image of
    /// that number.
    pub(super) fn spec(&self, name: &AppName, revision: u64) -> Result<AppSpec, String> {
        if let Some(spec) = self.specs.get(&(name.clone(), revision)) {
            return Ok(spec.clone());
        }
        let image = image(name, revision)?;
        match self.given.desired.apps.get(name) {
            Some(stored) if stored.revision == revision => Ok(stored.spec.clone()),
            Some(stored) => Ok(AppSpec { image, ..stored.spec.clone() }),
            None => Ok(AppSpec::new(name.clone(), image)),
        }
    }

    /// As the orchestrator does, older revisions are known where a replica runs one.
    pub(super) fn keep_revisions(&mut self) {
        let mut kept = std::collections::BTreeMap::new();
        for replica in &self.given.observed.replicas {
            let labels = &replica.labels;
            let Some(stored) = self.given.desired.apps.get(&labels.app) else { continue };
            let place = (labels.app.clone(), labels.revision);
            let known = stored.deleted_through + 1..stored.revision;
            if !known.contains(&labels.revision) || self.lost.contains(&place) {
                continue;
            }
            let Ok(spec) = self.spec(&labels.app, labels.revision) else { continue };
            let image_id = Some(image_id(&spec));
            let revision = labels.revision;
            let outcome = match self.failed.contains(&place) {
                true => Outcome::Failed(Box::new(failure("it was bad".to_owned()))),
                false => Outcome::Stable,
            };
            let rollout = RevisionRollout { outcome, ..RevisionRollout::default() };
            kept.insert(place, Revision { revision, spec, image_id, created_at: NOW, rollout });
        }
        for ((name, _), revision) in kept {
            self.given.desired.revisions.entry(name).or_default().push(revision);
        }
    }
}

/// How the revision went: `stable` unless it is said.
fn revision_rollout(line: &mut Line) -> Result<RevisionRollout, String> {
    let outcome = if line.word("progressing") {
        Outcome::Progressing
    } else if let Some(ago) = line.span("complete")? {
        Outcome::Complete { at: before(Some(ago)) }
    } else if line.word("failed") {
        let failure = failure(line.says()?);
        Outcome::Failed(Box::new(failure))
    } else {
        Outcome::Stable
    };
    let cause = match line.value("back-from")? {
        Some(from) => {
            let to = line.value("back-to")?.unwrap_or(1);
            RevisionCause::RollBack { from, to, failure: Box::new(failure(line.says()?)) }
        }
        None => RevisionCause::Apply,
    };
    let restart_nonce = line.value("nonce")?.unwrap_or(0);
    let pre_deployed = line.word("pre-deployed");
    Ok(RevisionRollout {
        cause,
        outcome,
        restart_nonce,
        pre_deployed,
        ..RevisionRollout::default()
    })
}

fn failure(reason: String) -> RevisionFailure {
    RevisionFailure { at: NOW, reason, pod: None, log: Vec::new(), call: None }
}

/// Sets what the line says of how replicas are stopped.
fn stop(stop: &mut Stop, line: &mut Line) -> Result<(), String> {
    if let Some(grace) = line.value("grace")? {
        stop.grace = grace;
    }
    if let Some(name) = line.value::<String>("signal")? {
        let signal = Signal::ALL.into_iter().find(|signal| signal.as_str() == name);
        stop.signal = Some(signal.ok_or_else(|| format!("`{name}` is no signal"))?);
    }
    Ok(())
}

/// Sets what the line says of a specification.
fn change(spec: &mut AppSpec, line: &mut Line) -> Result<(), String> {
    rollout(&mut spec.rollout, line)?;
    if let Some(path) = line.value("http")? {
        spec.health = Some(Health::new(Check::Http(path)));
    }
    if let Some(drain) = line.value("drain")? {
        spec.stop.drain = drain;
    }
    if let Some(command) = line.value("pre-deploy")? {
        let timeout = PreDeploy::TIMEOUT;
        spec.pre_deploy = Some(PreDeploy { command: vec![command], timeout });
    }
    if let Some(image) = line.value("image")? {
        spec.image = image;
    }
    if let Some(replicas) = line.value("replicas")? {
        spec.replicas = replicas;
    }
    if let Some(host) = line.value("host")? {
        let path = line.value("path")?.unwrap_or_default();
        spec.access = Some(Access { hosts: vec![host], path });
    }
    if let Some(port) = line.value("port")? {
        spec.port = port;
    }
    while let Some(volume) = line.value::<String>("volume")? {
        spec.volumes.push(Volume::parse(&volume)?);
    }
    if let Some(memory) = line.value("memory")? {
        spec.resources.memory = Some(memory);
    }
    stop(&mut spec.stop, line)?;
    if let Some(pull) = line.value::<String>("pull")? {
        spec.pull = match pull.as_str() {
            "always" => PullPolicy::Always,
            "never" => PullPolicy::Never,
            "missing" => PullPolicy::Missing,
            _ => return Err(format!("`{pull}` is no value of `pull`")),
        };
    }
    Ok(())
}

fn rollout(rollout: &mut Rollout, line: &mut Line) -> Result<(), String> {
    let share = |text: Option<String>| text.map(|text| CountOrPercent::parse(&text)).transpose();
    if let Some(surge) = share(line.value("surge")?)? {
        rollout.max_surge = Some(surge);
    }
    if let Some(unavailable) = share(line.value("unavailable")?)? {
        rollout.max_unavailable = unavailable;
    }
    if let Some(min_ready) = line.value("min-ready")? {
        rollout.min_ready = min_ready;
    }
    if let Some(deadline) = line.value("deadline")? {
        rollout.progress_deadline = deadline;
    }
    if line.word("stop-first") {
        rollout.order = Some(Order::StopFirst);
    }
    if line.word("start-first") {
        rollout.order = Some(Order::StartFirst);
    }
    if line.word("pause-on-failure") {
        rollout.on_failure = OnFailure::Pause;
    }
    Ok(())
}

fn image(name: &AppName, revision: u64) -> Result<ImageRef, String> {
    Ok(ImageRef::parse(&format!("{name}:{revision}"))?)
}

pub(super) fn image_id(spec: &AppSpec) -> ImageId {
    ImageId(format!("id-of-{}", spec.image))
}
