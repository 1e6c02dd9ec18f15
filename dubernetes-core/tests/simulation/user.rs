//! User changes: apply, scale, delete, undo, restart, pause and resume, evict, tear down.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::choices::Choices;
use crate::world::World;
use dubernetes_core::app::{
    AppName, AppSpec, CountOrPercent, EnvName, OnFailure, PreDeploy, RevisionId, Volume,
};
use dubernetes_core::store::{
    ExistingApp, PutApp, RolloutAction, RolloutCommand, StoreDecision, StoreError, Tombstone,
    decide_put, decide_rollout_command,
};
use dubernetes_testkit::build::{app, app_name, worker};

impl World {
    /// Applies, scales, updates or deletes one of three apps, changes its rollout, evicts a replica
    /// or requests a teardown; often does nothing.
    pub(crate) fn change_something(&mut self) {
        let name = ["a", "b", "c"][usize::from(self.choices.below(3))];
        let replicas = u16::from(self.choices.below(5));
        let image = format!("{name}:{}", self.choices.below(3));
        match self.choices.below(13) {
            0 => self.apply_spec(app(name, &image, replicas)),
            1 => self.apply_spec(worker(name, &image, replicas)),
            2 => {
                let mut db = worker(name, &image, 1);
                db.volumes = vec![Volume::parse("data:/data").unwrap()];
                self.apply_spec(db);
            }
            3 => self.delete(&app_name(name)),
            4 => self.rollout_action(name, RolloutAction::Undo { to: None }),
            5 => self.rollout_action(name, RolloutAction::Restart),
            6 => self.rollout_action(name, RolloutAction::Pause),
            7 => self.rollout_action(name, RolloutAction::Resume),
            8 => self.scale(name, replicas),
            9 => self.evict(),
            10 => self.tear_down(),
            _ => {}
        }
    }

    /// Applies the stored specification with another number of replicas.
    fn scale(&mut self, name: &str, replicas: u16) {
        let Some(stored) = self.desired.apps.get(&app_name(name)) else { return };
        let spec = AppSpec { replicas, ..AppSpec::clone(&stored.spec) };
        self.put(spec, false);
    }

    /// Applies a specification with random rollout settings.
    fn apply_spec(&mut self, mut spec: AppSpec) {
        let shares = [
            CountOrPercent::Count(0),
            CountOrPercent::Count(1),
            CountOrPercent::Percent(50),
            CountOrPercent::Percent(100),
        ];
        let share = |choices: &mut Choices| shares[usize::from(choices.below(4))];
        if self.choices.one_in(2) {
            spec.rollout.max_surge = Some(share(&mut self.choices));
            spec.rollout.max_terminating = Some(share(&mut self.choices));
            spec.rollout.max_unavailable = share(&mut self.choices);
            let both = [spec.rollout.max_surge.unwrap(), spec.rollout.max_unavailable];
            if both.iter().all(CountOrPercent::is_zero) {
                spec.rollout.max_unavailable = CountOrPercent::Count(1);
            }
        }
        if self.choices.one_in(4) {
            spec.rollout.on_failure = OnFailure::Pause;
        }
        if self.choices.one_in(4) {
            let command = vec!["migrate".to_owned()];
            spec.pre_deploy = Some(PreDeploy { command, timeout: PreDeploy::TIMEOUT });
        }
        let retry = self.choices.one_in(2);
        self.put(spec, retry);
    }

    /// Evicts a replica of an app.
    fn evict(&mut self) {
        let Some(replica) = self.observed.replicas.first() else { return };
        if let Some(stored) = self.desired.apps.get_mut(&replica.labels.app) {
            stored.evicted.insert(replica.id.clone());
        }
    }

    /// Sometimes requests a teardown.
    fn tear_down(&mut self) {
        if self.choices.one_in(3) {
            self.desired.teardown = Some(self.now);
            for name in ["a", "b", "c"] {
                self.delete(&app_name(name));
            }
        }
    }

    fn newest_seen(&self, name: &AppName) -> RevisionId {
        let own = self.observed.replicas.iter().filter(|r| r.labels.app == *name);
        own.map(|r| r.labels.revision).max().unwrap_or(RevisionId::NONE)
    }

    pub(crate) fn put(&mut self, mut spec: AppSpec, retry: bool) {
        if self.desired.teardown.is_some() {
            return;
        }
        let name = spec.name.clone();
        let secret = format!("hunter of {}", spec.artifact);
        spec.env.insert(EnvName::parse("TOKEN").unwrap(), secret.into());
        let newest_seen = self.newest_seen(&name);
        let revisions = self.desired.revisions.get(&name).cloned().unwrap_or_default();
        let stored = self.desired.apps.get(&name).cloned();
        let before = match (&stored, self.desired.tombstones.contains_key(&name)) {
            (Some(app), _) => ExistingApp::Live { app, revisions: &revisions },
            (None, true) => {
                let (generation, revision) = self.last[&name];
                ExistingApp::Deleted { generation, revision, revisions: &revisions }
            }
            (None, false) => ExistingApp::Absent,
        };
        let put = PutApp { newest_seen, retry, ..PutApp::new(spec, self.now) };
        match decide_put(before, [], &put) {
            Ok(decided) => self.store(decided),
            Err(StoreError::PreviouslyFailed { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn rollout_action(&mut self, name: &str, action: RolloutAction) {
        let name = app_name(name);
        let Some(app) = self.desired.apps.get(&name) else { return };
        let newest_seen = self.newest_seen(&name);
        let update_rollout =
            RolloutCommand { name: name.clone(), action, newest_seen, now: self.now };
        match decide_rollout_command(app, &self.desired.revisions[&name], &update_rollout) {
            Ok(decided) => self.store(decided),
            Err(StoreError::NoRevision { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn store(&mut self, decided: StoreDecision) {
        let StoreDecision { put, written, dropped } = decided;
        let name = put.app.spec.name.clone();
        let kept = self.desired.revisions.entry(name.clone()).or_default();
        kept.retain(|old| !dropped.contains(&old.revision));
        kept.retain(|old| written.iter().all(|new| new.revision != old.revision));
        kept.extend(written);
        kept.sort_by_key(|kept| kept.revision);
        self.desired.tombstones.remove(&name);
        self.last.insert(name.clone(), (put.app.generation, put.app.revision));
        self.desired.apps.insert(name, put.app);
    }

    pub(crate) fn delete(&mut self, name: &AppName) {
        if let Some(app) = self.desired.apps.remove(name) {
            let tombstone = Tombstone { deleted_at: self.now, stop: app.spec.stop.clone() };
            self.desired.tombstones.insert(name.clone(), tombstone);
        }
    }

    /// Resumes paused and failed rollouts.
    pub(crate) fn resume_everything(&mut self) {
        for name in ["a", "b", "c"] {
            // Resume has an effect on a paused rollout only.
            self.rollout_action(name, RolloutAction::Pause);
            self.rollout_action(name, RolloutAction::Resume);
        }
    }
}
