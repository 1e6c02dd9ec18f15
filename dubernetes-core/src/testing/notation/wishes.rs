//! Apps, their revisions and tombstones.

use crate::app::{Access, AppName, AppSpec, ImageRef, PullPolicy, Signal, Volume};
use crate::runtime::ImageId;
use crate::store::{Revision, StoredApp, Tombstone};

use super::line::Line;
use super::{NOW, Reading, before};

impl Reading {
    pub(super) fn app(&mut self, line: &mut Line) -> Result<(), String> {
        let unpinned = line.word("unpinned");
        let name: AppName = line.name_or("the app's name is missing")?;
        let revision = line.value("rev")?.unwrap_or(1);
        let mut spec = AppSpec::new(name.clone(), image(&name, revision)?);
        change(&mut spec, line)?;
        let stored = StoredApp {
            generation: line.value("gen")?.unwrap_or(revision),
            revision,
            image_id: (!unpinned).then(|| image_id(&spec)),
            removed_through: line.value("removed-through")?.unwrap_or(0),
            created_at: NOW,
            updated_at: NOW,
            spec,
        };
        self.given.desired.apps.insert(name, stored);
        Ok(())
    }

    pub(super) fn revision(&mut self, line: &mut Line) -> Result<(), String> {
        let lost = line.word("lost");
        let name: AppName = line.name_or("the app's name is missing")?;
        let number = line.name_or("the revision's number is missing")?;
        let mut spec = self.spec(&name, number)?;
        change(&mut spec, line)?;
        if lost {
            self.lost.insert((name.clone(), number));
        }
        self.specs.insert((name, number), spec);
        Ok(())
    }

    pub(super) fn tombstone(&mut self, line: &mut Line) -> Result<(), String> {
        let name = line.name_or("the app's name is missing")?;
        let tombstone = Tombstone { deleted_at: before(line.span("ago")?) };
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
            let known = stored.removed_through + 1..stored.revision;
            if !known.contains(&labels.revision) || self.lost.contains(&place) {
                continue;
            }
            let Ok(spec) = self.spec(&labels.app, labels.revision) else { continue };
            let image_id = Some(image_id(&spec));
            let revision = labels.revision;
            kept.insert(place, Revision { revision, spec, image_id, created_at: NOW });
        }
        for ((name, _), revision) in kept {
            self.given.desired.revisions.entry(name).or_default().push(revision);
        }
    }
}

/// Sets what the line says of a specification.
fn change(spec: &mut AppSpec, line: &mut Line) -> Result<(), String> {
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
    if let Some(grace) = line.value("grace")? {
        spec.stop.grace = grace;
    }
    if let Some(name) = line.value::<String>("signal")? {
        let signal = Signal::ALL.into_iter().find(|signal| signal.as_str() == name);
        spec.stop.signal = Some(signal.ok_or_else(|| format!("`{name}` is no signal"))?);
    }
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

fn image(name: &AppName, revision: u64) -> Result<ImageRef, String> {
    ImageRef::parse(&format!("{name}:{revision}"))
}

pub(super) fn image_id(spec: &AppSpec) -> ImageId {
    ImageId(format!("id-of-{}", spec.image))
}
