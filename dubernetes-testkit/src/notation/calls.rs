//! Calls to the engine that are in flight, or that failed.

use std::net::IpAddr;

use dubernetes_core::app::{AppName, PodName, RevisionId};
use dubernetes_core::call::{CallFailure, FailureKind, InFlight, OperationKey};
use dubernetes_core::runtime::ContainerId;

use super::line::Line;
use super::replicas::{one_off, pods};
use super::{Parser, before};

impl Parser {
    pub(super) fn call(&mut self, line: &mut Line) -> Result<(), String> {
        let kind = if line.take_word("permanent") || line.take_word("lasting") {
            FailureKind::Permanent
        } else if line.take_word("image-gone") {
            FailureKind::ImageGone
        } else if line.take_word("image-missing") {
            FailureKind::ImageMissing
        } else if line.take_word("image-denied") {
            FailureKind::ImageDenied
        } else if line.take_word("port-taken") {
            FailureKind::PortTaken
        } else {
            FailureKind::Transient
        };
        let (key, address) = self.key(line)?;
        if line.subject == "in-flight" {
            let restarts = line.take_value("restarts")?.unwrap_or_else(|| self.restarts(&key));
            self.scenario.observed.in_flight.insert(key, InFlight { address, restarts });
            return Ok(());
        }
        let count = line.take_value("times")?.unwrap_or(1);
        let at = before(line.take_span("ago")?);
        let failure = CallFailure { count, at, message: line.take_message()?, kind };
        self.scenario.observed.failures.insert(key, failure);
        Ok(())
    }

    /// Returns the key of a call, and the address that a create has reserved.
    fn key(&mut self, line: &mut Line) -> Result<(OperationKey, Option<IpAddr>), String> {
        let call: String = line.require_name("the call is missing")?;
        let key = match call.as_str() {
            "network" => OperationKey::Network,
            "routes" => OperationKey::Routes,
            "teardown" => OperationKey::Teardown,
            "clear" => OperationKey::ClearEviction {
                app: line.require_name("the app's name is missing")?,
                id: ContainerId(line.require_name("the id of the container is missing")?),
            },
            "purge" | "forget" => {
                OperationKey::PurgeTombstone(line.require_name("the app's name is missing")?)
            }
            "image" => {
                let app: AppName = line.require_name("the app's name is missing")?;
                let revision = self.find_revision(line.take_name()?, &app)?;
                OperationKey::Image { app, revision }
            }
            "create" => {
                let (app, ordinal) = pod(line)?;
                let revision = self.find_revision(line.take_name()?, &app)?;
                let address = self.reserve_address(&app, ordinal)?;
                return Ok((OperationKey::Create { app, ordinal, revision }, address));
            }
            "pre-deploy" | "job" => {
                let app: AppName = line.require_name("the app's name is missing")?;
                let revision = self.find_revision(line.take_name()?, &app)?;
                let address = self.reserve_address(&app, 0)?;
                return Ok((OperationKey::CreatePreDeploy { app, revision }, address));
            }
            "run" => {
                let pod: PodName = line.require_name("the name of the pod is missing")?;
                let (app, id) = one_off(&pod)?;
                let address = self.reserve_address(&app, 0)?;
                return Ok((OperationKey::CreateOneOff { app, id }, address));
            }
            "certificate" => OperationKey::Certificate(line.require_name("the host is missing")?),
            "container" => OperationKey::Container(self.container(line)?),
            _ => return Err(format!("unknown call `{call}`")),
        };
        Ok((key, None))
    }

    fn reserve_address(&mut self, app: &AppName, ordinal: u32) -> Result<Option<IpAddr>, String> {
        let address = self.planned_address(app, ordinal)?;
        self.taken.extend(address);
        Ok(address)
    }

    /// Returns the restarts of the container that a create makes: one more than the pod has.
    fn restarts(&self, key: &OperationKey) -> u32 {
        let OperationKey::Create { app, ordinal, revision } = key else { return 0 };
        let replicas = self.scenario.observed.replicas.iter().map(|replica| &replica.labels);
        let same = replicas.filter(|labels| {
            (&labels.app, &labels.ordinal, &labels.revision) == (app, ordinal, revision)
        });
        same.map(|labels| labels.restarts + 1).max().unwrap_or(0)
    }

    /// Returns the revision named, or the app's.
    fn find_revision(
        &self,
        named: Option<RevisionId>,
        app: &AppName,
    ) -> Result<RevisionId, String> {
        let stored = self.scenario.desired.apps.get(app);
        let revision = named.or(stored.map(|stored| stored.revision));
        revision.ok_or_else(|| format!("no app `{app}`: name the revision"))
    }

    fn container(&self, line: &mut Line) -> Result<ContainerId, String> {
        let (app, ordinal) = pod(line)?;
        let (revision, restarts): (Option<RevisionId>, Option<u32>) =
            (line.take_value("rev")?, line.take_value("restarts")?);
        let mut found = self.scenario.observed.replicas.iter().filter(|r| {
            r.labels.app == app
                && r.labels.ordinal == ordinal
                && revision.is_none_or(|revision| revision == r.labels.revision)
                && restarts.is_none_or(|restarts| restarts == r.labels.restarts)
        });
        match (found.next(), found.next()) {
            (Some(replica), None) => Ok(replica.id.clone()),
            (None, _) => Err("no such container".to_owned()),
            (Some(_), Some(_)) => {
                Err("the pod has two containers: add `rev=` or `restarts=`".to_owned())
            }
        }
    }
}

fn pod(line: &mut Line) -> Result<(AppName, u32), String> {
    let name: String = line.require_name("the pod's name is missing")?;
    let (app, mut ordinals) = pods(&name)?;
    match (ordinals.next(), ordinals.next()) {
        (Some(ordinal), None) => Ok((app, ordinal)),
        _ => Err("a call is about one pod".to_owned()),
    }
}
