//! Calls to the engine that are under way, or that failed.

use std::net::Ipv4Addr;

use dubernetes_core::app::AppName;
use dubernetes_core::plan::OperationKey;
use dubernetes_core::runtime::ContainerId;
use dubernetes_core::state::{CallFailure, FailureKind, InFlight};

use super::line::Line;
use super::replicas::pods;
use super::{Reading, before};

impl Reading {
    pub(super) fn call(&mut self, line: &mut Line) -> Result<(), String> {
        let kind = if line.word("image-missing") {
            FailureKind::ImageMissing
        } else if line.word("lasting") {
            FailureKind::Permanent
        } else if line.word("image-gone") {
            FailureKind::ImageGone
        } else if line.word("image-missing") {
            FailureKind::ImageMissing
        } else if line.word("image-denied") {
            FailureKind::ImageDenied
        } else if line.word("port-taken") {
            FailureKind::PortTaken
        } else {
            FailureKind::Transient
        };
        let (key, address) = self.key(line)?;
        if line.what == "under-way" {
            self.given.observed.in_flight.insert(key, InFlight { address });
            return Ok(());
        }
        let count = line.value("times")?.unwrap_or(1);
        let at = before(line.span("ago")?);
        let failure = CallFailure { count, at, message: line.says()?, kind };
        self.given.observed.failures.insert(key, failure);
        Ok(())
    }

    /// The call, and the address that a create has reserved.
    fn key(&mut self, line: &mut Line) -> Result<(OperationKey, Option<Ipv4Addr>), String> {
        let what: String = line.name_or("it is not said which call")?;
        let key = match what.as_str() {
            "network" => OperationKey::Network,
            "routes" => OperationKey::Routes,
            "forget" => OperationKey::PurgeTombstone(line.name_or("the app's name is missing")?),
            "image" => {
                let app: AppName = line.name_or("the app's name is missing")?;
                let revision = self.revision_of(line.name()?, &app)?;
                OperationKey::Image { app, revision }
            }
            "create" => {
                let (app, ordinal) = pod(line)?;
                let revision = self.revision_of(line.name()?, &app)?;
                let address = self.reserve_address(&app, ordinal)?;
                return Ok((OperationKey::Create { app, ordinal, revision }, Some(address)));
            }
            "job" => {
                let app: AppName = line.name_or("the app's name is missing")?;
                let revision = self.revision_of(line.name()?, &app)?;
                let address = self.reserve_address(&app, 0)?;
                return Ok((OperationKey::CreatePreDeploy { app, revision }, Some(address)));
            }
            "container" => OperationKey::Container(self.container(line)?),
            _ => return Err(format!("there is no call `{what}`")),
        };
        Ok((key, None))
    }

    fn reserve_address(&mut self, app: &AppName, ordinal: u32) -> Result<Ipv4Addr, String> {
        let address = self.free_address(app, ordinal).ok_or("the subnet has no address left")?;
        self.taken.insert(address);
        Ok(address)
    }

    /// The revision that is named, or the app's.
    fn revision_of(&self, named: Option<u64>, app: &AppName) -> Result<u64, String> {
        let stored = self.given.desired.apps.get(app);
        let revision = named.or(stored.map(|stored| stored.revision));
        revision.ok_or_else(|| format!("there is no app `{app}`, so the revision must be said"))
    }

    fn container(&self, line: &mut Line) -> Result<ContainerId, String> {
        let (app, ordinal) = pod(line)?;
        let (revision, restarts): (Option<u64>, Option<u32>) =
            (line.value("rev")?, line.value("restarts")?);
        let mut found = self.given.observed.replicas.iter().filter(|r| {
            r.labels.app == app
                && r.labels.ordinal == ordinal
                && revision.is_none_or(|revision| revision == r.labels.revision)
                && restarts.is_none_or(|restarts| restarts == r.labels.restarts)
        });
        match (found.next(), found.next()) {
            (Some(replica), None) => Ok(replica.id.clone()),
            (None, _) => Err("there is no such container".to_owned()),
            (Some(_), Some(_)) => Err("it has two: say `rev=` or `restarts=`".to_owned()),
        }
    }
}

fn pod(line: &mut Line) -> Result<(AppName, u32), String> {
    let name: String = line.name_or("the pod's name is missing")?;
    let (app, mut ordinals) = pods(&name)?;
    match (ordinals.next(), ordinals.next()) {
        (Some(ordinal), None) => Ok((app, ordinal)),
        _ => Err("one pod at a time".to_owned()),
    }
}
