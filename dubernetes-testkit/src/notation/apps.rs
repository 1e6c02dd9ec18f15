//! Apps, their revisions and tombstones.

use dubernetes_core::app::{
    Access, AppName, AppSpec, Artifact, Check, CountOrPercent, Generation, Health, HostPattern,
    ImageRef, OnFailure, Order, PreDeploy, PullPolicy, RevisionId, Rollout, Signal, Stop, Tls,
    Volume,
};
use dubernetes_core::runtime::{ContainerId, ImageId};
use dubernetes_core::store::{
    Outcome, Revision, RevisionCause, RevisionFailure, RevisionRollout, StoredApp, Tombstone,
};

use super::line::Line;
use super::replicas::LONG;
use super::{NOW, Parser, before};

impl Parser {
    pub(super) fn app(&mut self, line: &mut Line) -> Result<(), String> {
        let unpinned = line.take_word("unpinned");
        let (paused, rollout) = (line.take_word("paused"), revision_rollout(line)?);
        let rollout_started_at = before(line.take_span("since")?.or(Some(LONG)));
        let fallback = line.take_value("fallback")?;
        let evicted = line.take_value("evicted")?.map(ContainerId).into_iter().collect();
        let name: AppName = line.require_name("the app's name is missing")?;
        let revision = line.take_value("rev")?.unwrap_or(RevisionId::FIRST);
        let mut spec = AppSpec::new(name.clone(), image(&name, revision)?);
        set_fields(&mut spec, line)?;
        let stored = StoredApp {
            generation: line.take_value("gen")?.unwrap_or(Generation(revision.0)),
            revision,
            image_id: (!unpinned).then(|| image_id(&spec)),
            deleted_through: line.take_value("deleted-through")?.unwrap_or(RevisionId::NONE),
            created_at: NOW,
            updated_at: NOW,
            spec: spec.into(),
            rollout,
            rollout_started_at,
            paused,
            fallback,
            evicted,
        };
        self.scenario.desired.apps.insert(name, stored);
        Ok(())
    }

    pub(super) fn revision(&mut self, line: &mut Line) -> Result<(), String> {
        let (lost, failed) = (line.take_word("lost"), line.take_word("failed"));
        let name: AppName = line.require_name("the app's name is missing")?;
        let number = line.require_name("the revision's number is missing")?;
        let mut spec = self.spec(&name, number)?;
        set_fields(&mut spec, line)?;
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
        let name = line.require_name("the app's name is missing")?;
        let mut stop = Stop::default();
        set_stop(&mut stop, line)?;
        let tombstone = Tombstone { deleted_at: before(line.take_span("ago")?), stop };
        self.scenario.desired.tombstones.insert(name, tombstone);
        Ok(())
    }

    /// Returns the specification of a revision: that of its line, or that of the app with the image
    /// of the revision.
    pub(super) fn spec(&self, name: &AppName, revision: RevisionId) -> Result<AppSpec, String> {
        if let Some(spec) = self.specs.get(&(name.clone(), revision)) {
            return Ok(spec.clone());
        }
        let image = image(name, revision)?;
        match self.scenario.desired.apps.get(name) {
            Some(stored) if stored.revision == revision => Ok(AppSpec::clone(&stored.spec)),
            Some(stored) => Ok(AppSpec { artifact: image.into(), ..AppSpec::clone(&stored.spec) }),
            None => Ok(AppSpec::new(name.clone(), image)),
        }
    }

    /// Adds the older revisions that replicas run, as the orchestrator does.
    pub(super) fn keep_revisions(&mut self) {
        let mut kept = std::collections::BTreeMap::new();
        for replica in &self.scenario.observed.replicas {
            let labels = &replica.labels;
            let Some(stored) = self.scenario.desired.apps.get(&labels.app) else { continue };
            let key = (labels.app.clone(), labels.revision);
            let known = stored.deleted_through.next()..stored.revision;
            if !known.contains(&labels.revision) || self.lost.contains(&key) {
                continue;
            }
            let Ok(spec) = self.spec(&labels.app, labels.revision) else { continue };
            let image_id = Some(image_id(&spec));
            let revision = labels.revision;
            let outcome = match self.failed.contains(&key) {
                true => Outcome::Failed(Box::new(failure("it failed".to_owned()))),
                false => Outcome::Stable,
            };
            let rollout = RevisionRollout { outcome, ..RevisionRollout::default() };
            kept.insert(
                key,
                Revision { revision, spec: spec.into(), image_id, created_at: NOW, rollout },
            );
        }
        for ((name, _), revision) in kept {
            self.scenario.desired.revisions.entry(name).or_default().push(revision);
        }
    }
}

/// Takes the rollout of an app's revision; stable if omitted.
fn revision_rollout(line: &mut Line) -> Result<RevisionRollout, String> {
    let outcome = if line.take_word("progressing") {
        Outcome::Progressing
    } else if let Some(ago) = line.take_span("complete")? {
        Outcome::Complete { at: before(Some(ago)) }
    } else if line.take_word("failed") {
        let failure = failure(line.take_message()?);
        Outcome::Failed(Box::new(failure))
    } else {
        Outcome::Stable
    };
    let cause = match line.take_value("rollback-from")? {
        Some(from) => {
            let to = line.take_value("rollback-to")?.unwrap_or(1);
            RevisionCause::RollBack {
                from,
                to: RevisionId(to),
                failure: Box::new(failure(line.take_message()?)),
            }
        }
        None => RevisionCause::Apply,
    };
    let restart_nonce = line.take_value("nonce")?.unwrap_or(0);
    let pre_deployed = line.take_word("pre-deployed");
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

/// Takes the stop settings.
fn set_stop(stop: &mut Stop, line: &mut Line) -> Result<(), String> {
    if let Some(grace) = line.take_value("grace")? {
        stop.grace = grace;
    }
    if let Some(name) = line.take_value::<String>("signal")? {
        let signal = Signal::ALL.into_iter().find(|signal| signal.as_str() == name);
        stop.signal = Some(signal.ok_or_else(|| format!("unknown signal `{name}`"))?);
    }
    Ok(())
}

/// Takes the fields of a specification.
fn set_fields(spec: &mut AppSpec, line: &mut Line) -> Result<(), String> {
    set_rollout(&mut spec.rollout, line)?;
    if let Some(path) = line.take_value("http")? {
        spec.health = Some(Health::new(Check::Http(path)));
    }
    if let Some(drain) = line.take_value("drain")? {
        spec.stop.drain = drain;
    }
    if let Some(command) = line.take_value("pre-deploy")? {
        let timeout = PreDeploy::TIMEOUT;
        spec.pre_deploy = Some(PreDeploy { command: vec![command], timeout });
    }
    if let Some(image) = line.take_value("image")? {
        spec.artifact = Artifact::Image(image);
    }
    if let Some(program) = line.take_value("program")? {
        spec.artifact = Artifact::Program(program);
    }
    if let Some(replicas) = line.take_value("replicas")? {
        spec.replicas = replicas;
    }
    while let Some(host) = line.take_value::<HostPattern>("host")? {
        let path = line.take_value("path")?.unwrap_or_default();
        let hosts = Vec::from_iter((host != HostPattern::Any).then_some(host));
        let port = line.take_value("to")?;
        let tls = line.take_value("tls")?.map(Tls::Issued);
        spec.access.push(Access { hosts, path, port, tls, ..Access::default() });
    }
    if let Some(port) = line.take_value("port")? {
        spec.port = Some(port);
    }
    while let Some(mapping) = line.take_value("publish")? {
        spec.ports.push(mapping);
    }
    while let Some(volume) = line.take_value::<String>("volume")? {
        spec.volumes.push(Volume::parse(&volume)?);
    }
    if let Some(memory) = line.take_value("memory")? {
        spec.resources.memory = Some(memory);
    }
    while let Some(after) = line.take_value("after")? {
        spec.after.push(after);
    }
    set_stop(&mut spec.stop, line)?;
    if let Some(pull) = line.take_value::<String>("pull")? {
        spec.pull = match pull.as_str() {
            "always" => PullPolicy::Always,
            "never" => PullPolicy::Never,
            "missing" => PullPolicy::Missing,
            _ => return Err(format!("invalid `pull={pull}`: use `always`, `missing` or `never`")),
        };
    }
    Ok(())
}

fn set_rollout(rollout: &mut Rollout, line: &mut Line) -> Result<(), String> {
    let parse_share =
        |text: Option<String>| text.map(|text| CountOrPercent::parse(&text)).transpose();
    if let Some(surge) = parse_share(line.take_value("surge")?)? {
        rollout.max_surge = Some(surge);
    }
    if let Some(terminating) = parse_share(line.take_value("terminating")?)? {
        rollout.max_terminating = Some(terminating);
    }
    if let Some(unavailable) = parse_share(line.take_value("unavailable")?)? {
        rollout.max_unavailable = unavailable;
    }
    if let Some(min_ready) = line.take_value("min-ready")? {
        rollout.min_ready = min_ready;
    }
    if let Some(deadline) = line.take_value("deadline")? {
        rollout.progress_deadline = deadline;
    }
    if line.take_word("stop-first") {
        rollout.order = Some(Order::StopFirst);
    }
    if line.take_word("start-first") {
        rollout.order = Some(Order::StartFirst);
    }
    if line.take_word("pause-on-failure") {
        rollout.on_failure = OnFailure::Pause;
    }
    Ok(())
}

fn image(name: &AppName, revision: RevisionId) -> Result<ImageRef, String> {
    Ok(ImageRef::parse(&format!("{name}:{revision}"))?)
}

pub(super) fn image_id(spec: &AppSpec) -> ImageId {
    ImageId(format!("id-of-{}", spec.artifact))
}
