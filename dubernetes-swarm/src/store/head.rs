//! The head of a shared state: the config whose labels say who holds the lease, and which root
//! counts. Both are changed together, by who knows the version: so a write of one who has lost the
//! lease cannot count.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dubernetes_core::error::chain;
use dubernetes_core::labels::STATE_ID;
use dubernetes_docker::SwarmConfig;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::configs::{Configs, Labels};
use crate::lease::{RENEW, VALID};

/// Id of the config that lists the parts of the state. Missing in an empty state.
pub(crate) const ROOT: &str = "dubernetes.store.root";
/// Random id of the process that holds the lease; empty if none does.
pub(crate) const HOLDER: &str = "dubernetes.store.holder";
/// Name of its node.
pub(crate) const NODE: &str = "dubernetes.store.node";
/// Counts those who have held the lease.
pub(crate) const TERM: &str = "dubernetes.store.term";
/// Counts the changes of one holder, so that each of them is another version.
const BEAT: &str = "dubernetes.store.beat";

/// Pause before a change of the head is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// The head, held by this process until the lease is lost.
#[derive(Debug)]
pub(crate) struct Head {
    configs: Arc<dyn Configs>,
    /// As it was last read or changed.
    config: tokio::sync::Mutex<SwarmConfig>,
    renewed_at: Mutex<Instant>,
    /// Why the lease was lost.
    lost: watch::Sender<Option<String>>,
}

impl Head {
    /// Wraps a head whose lease was taken at `since`.
    pub(crate) fn new(configs: Arc<dyn Configs>, config: SwarmConfig, since: Instant) -> Self {
        let (lost, _) = watch::channel(None);
        let config = tokio::sync::Mutex::new(config);
        Self { configs, config, renewed_at: Mutex::new(since), lost }
    }

    /// Renews the lease until it is lost.
    pub(crate) async fn keep(&self) {
        let renew = async {
            loop {
                sleep(RENEW).await;
                if self.change(|_| {}).await.is_err() {
                    return;
                }
            }
        };
        let expire = async {
            loop {
                let end = self.end();
                sleep_until(end).await;
                if Instant::now() >= self.end() {
                    let seconds = VALID.as_secs();
                    self.lose(&format!("it could not be renewed for {seconds} s"));
                    return;
                }
            }
        };
        // Neither arm is polled again: both end with the lease.
        tokio::select! {
            () = renew => {}
            () = expire => {}
        }
    }

    /// Makes another root count.
    ///
    /// # Errors
    ///
    /// Why the lease is lost. Then it is not known whether the root counts.
    pub(crate) async fn set_root(&self, root: &str) -> Result<(), String> {
        self.change(|labels| drop(labels.insert(ROOT.to_owned(), root.to_owned()))).await
    }

    /// Makes the state an empty one.
    pub(crate) async fn clear_root(&self) -> Result<(), String> {
        self.change(|labels| drop(labels.remove(ROOT))).await
    }

    /// Removes the head: the swarm has no state of the instance then, until another manager creates
    /// one. To be called right after a change, so that no other one has the lease.
    pub(crate) async fn remove(&self) -> Result<(), String> {
        let config = self.config.lock().await;
        self.check()?;
        self.configs.remove(&config.id).await.map_err(|error| chain(&error))?;
        self.lose("the state was empty, and is removed");
        Ok(())
    }

    /// Gives the state another id.
    pub(crate) async fn set_id(&self, id: &str) -> Result<(), String> {
        self.change(|labels| drop(labels.insert(STATE_ID.to_owned(), id.to_owned()))).await
    }

    /// Gives the lease back, so that another manager takes over at once.
    pub(crate) async fn release(&self) -> Result<(), String> {
        let released = self.change(|labels| drop(labels.insert(HOLDER.to_owned(), String::new())));
        released.await?;
        self.lose("it was given back");
        Ok(())
    }

    /// Fails if the lease is lost.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &*self.lost.borrow() {
            Some(why) => Err(why.clone()),
            None => Ok(()),
        }
    }

    /// Resolves once the lease is lost, with the reason.
    pub(crate) async fn lost(&self) -> String {
        let mut lost = self.lost.subscribe();
        let why = lost.wait_for(Option::is_some).await.map(|why| why.clone());
        match why {
            Ok(why) => why.unwrap_or_default(),
            // The sender is a part of this value.
            Err(_) => std::future::pending().await,
        }
    }

    /// Changes the labels, which renews the lease. Tries until it is known whether they are
    /// changed, or until the lease is lost.
    async fn change(&self, change: impl FnOnce(&mut Labels)) -> Result<(), String> {
        let mut config = self.config.lock().await;
        let start = Instant::now();
        let mut labels = config.labels.clone();
        change(&mut labels);
        let beat = labels.get(BEAT).and_then(|beat| beat.parse::<u64>().ok()).unwrap_or_default();
        labels.insert(BEAT.to_owned(), beat.wrapping_add(1).to_string());
        loop {
            self.check()?;
            // The answer says too little, and an attempt that failed may have an effect later. But
            // all attempts are the same change of the same version, so one of them counts at most.
            let changed = self.configs.set_labels(&config, &labels).await;
            match self.configs.find(&config.id).await {
                Ok(Some(found)) if found.labels == labels => {
                    *config = found;
                    *self.renewed_at() = start;
                    return Ok(());
                }
                Ok(Some(found)) if found.version == config.version => {
                    if let Err(error) = changed {
                        tracing::debug!(error = chain(&error), "the lease is not renewed");
                    }
                }
                Ok(Some(found)) => {
                    let node = found.labels.get(NODE).map_or("", String::as_str);
                    return Err(self.lose(&format!("node `{node}` has taken it over")));
                }
                Ok(None) => return Err(self.lose("the config of the state was removed")),
                Err(error) => tracing::debug!(error = chain(&error), "the lease is not renewed"),
            }
            sleep(RETRY).await;
        }
    }

    /// Ends what this process may do. The first reason counts.
    fn lose(&self, why: &str) -> String {
        self.lost.send_if_modified(|lost| {
            let is_first = lost.is_none();
            lost.get_or_insert_with(|| why.to_owned());
            is_first
        });
        self.check().err().unwrap_or_default()
    }

    fn end(&self) -> Instant {
        *self.renewed_at() + VALID
    }

    fn renewed_at(&self) -> MutexGuard<'_, Instant> {
        // Each change is one assignment.
        self.renewed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
